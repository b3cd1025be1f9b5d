import numpy as np
import pytest
from miniature_perceived_flow import make_perceived_flow

from neurovis.datasets.perceived_flow import load_perceived_flow
from neurovis.evaluation.studies import perceived_flow
from neurovis.evaluation.studies.perceived_flow import analyse_perceived_flow


@pytest.fixture(autouse=True)
def few_bootstraps(monkeypatch):
    monkeypatch.setattr(perceived_flow, "_N_BOOTSTRAPS", 15)


def _index(table):
    return table.set_index(["subject", "region", "quantity"]).sort_index()


def test_planted_truth_and_shared_deviations_are_found(tmp_path):
    result = analyse_perceived_flow(make_perceived_flow(tmp_path), n_permutations=15)
    table = _index(result.table)
    data = load_perceived_flow(root=tmp_path)
    own = data.probes[data.probes["source"] == "VIPER"]
    stacked = [np.concatenate([own[f"{kind}_u"], -own[f"{kind}_v"]]) for kind in ("human", "true")]
    found = table.loc[("mean", "VIPER", "r of report and truth")]
    assert found["value"] == pytest.approx(np.corrcoef(*stacked)[0, 1])
    assert found["p_value"] == 1 / 16
    assert table.loc[("mean", "temporal", "r of report and truth of frame 8"), "value"] > 0.8
    assert abs(table.loc[("mean", "temporal", "r of report and truth of frame 1"), "value"]) < 0.2
    ceiling = table.loc[("2", "temporal", "partial r of report and the other people (ceiling), truth fixed")]
    assert ceiling["value"] > 0.9
    model = table.loc[("mean", "temporal", "partial r of report and FlowNet 2, truth fixed")]
    assert 0.7 < model["value"] < 1
    assert model["p_value"] == 1 / 16
    assert result.figures_data["frame_r"].argmax() == 7
    other = table.loc[
        ("mean", "second order", "partial r of report and the other person (ceiling), truth fixed")
    ]
    assert other["value"] == pytest.approx(1 / 1.09, abs=0.03)
    assert (result.table.dropna(subset="ci_low")["ci_low"] <= result.table["value"]).all()


def test_nothing_is_found_in_noise(tmp_path):
    table = analyse_perceived_flow(make_perceived_flow(tmp_path, effect=0.0), n_permutations=19).table
    r = table[table["quantity"] == "r of report and truth"]
    assert (r["value"].abs() < 0.3).all()
    assert (r["p_value"] <= 0.05).mean() < 0.35


def test_real_reports_have_the_published_numbers(shared_data):
    result = analyse_perceived_flow(shared_data, n_permutations=19)
    table = _index(result.table)
    known = result.table.dropna(subset="reference")
    assert len(known) == 22
    # The ten kinds of movies were published over 12 sessions, of which 8 are here.
    shared = known["note"].str.contains("12 sessions")
    assert shared.sum() == 10
    np.testing.assert_allclose(known["value"][shared], known["reference"][shared], atol=0.06)
    rest = known[~shared]
    np.testing.assert_allclose(rest["value"], rest["reference"], atol=0.006)
    sintel = table.loc["mean"].loc["Sintel-slow"]["value"]
    ceiling = sintel["RCI of people themselves (ceiling)"]
    assert 0.2 < ceiling < 0.26
    assert sintel["RCI of mean of people and truth"] == pytest.approx(ceiling / 2)
    assert sintel["RCI of truth, and the opposite of people's deviation"] == pytest.approx(-ceiling / 3)
    assert abs(sintel["partial r of report and truth with noise of 0.5 px, truth fixed"]) < 0.15
    people = result.table[result.table["quantity"].str.contains("the other people")]
    assert (people["p_value"] == 1 / 20).all()
