import numpy as np
import pytest
from miniatures import make_kriegeskorte92
from scipy.stats import spearmanr

from neurovis.datasets.kriegeskorte92 import load_kriegeskorte92
from neurovis.evaluation.studies import kriegeskorte92
from neurovis.evaluation.studies.kriegeskorte92 import analyse_kriegeskorte92


@pytest.fixture(autouse=True)
def few_bootstraps(monkeypatch):
    monkeypatch.setattr(kriegeskorte92, "_N_BOOTSTRAPS", 30)


def _index(table):
    return table.set_index(["subject", "quantity"])


def test_planted_animacy_is_found_and_matches_a_plain_spearman(tmp_path):
    root = make_kriegeskorte92(tmp_path)
    result = analyse_kriegeskorte92(root, n_permutations=50, cache=tmp_path / "cache")
    table = _index(result.table)
    data = load_kriegeskorte92(root=root, cache=tmp_path / "cache")
    pairs = np.triu_indices(92, 1)
    mean = np.mean([sessions.mean(axis=0)[pairs] for sessions in data.brain.values()], axis=0)
    found = table.loc[("group", "Spearman with animacy")]
    assert found["value"] == pytest.approx(spearmanr(data.models["animacy"][pairs], mean)[0])
    assert found["p_value"] == pytest.approx(1 / 51)
    assert found["ci_low"] < found["value"] < found["ci_high"]
    assert abs(table.loc[("group", "Spearman with V1"), "value"]) < 0.1
    assert table.loc[("KO", "Spearman of two sessions"), "value"] == pytest.approx(
        spearmanr(*(session[pairs] for session in data.brain["KO"]))[0]
    )
    lower, upper = result.figures_data["ceiling"]
    assert 0 < lower < upper < 1


def test_nothing_is_found_in_noise(tmp_path):
    root = make_kriegeskorte92(tmp_path, effect=0.0)
    table = _index(analyse_kriegeskorte92(root, n_permutations=50, cache=tmp_path / "cache").table)
    assert abs(table.loc[("group", "Spearman with animacy"), "value"]) < 0.06
    assert (table["p_value"].dropna() < 0.05).mean() < 0.35


def test_real_it_groups_by_animacy_and_not_as_v1(shared_data, tmp_path):
    result = analyse_kriegeskorte92(shared_data, n_permutations=50, cache=tmp_path)
    table = _index(result.table)
    assert np.abs(result.figures_data["null"]).max() < 0.2
    known = result.table.dropna(subset="reference")
    assert len(known) == 10
    np.testing.assert_allclose(known["value"], known["reference"], atol=0.006)
    assert table.loc[("group", "Spearman with animacy - with V1"), "ci_low"] > 0.3
    assert table.loc[("mean person", "noise ceiling, lower bound (Spearman)"), "value"] == pytest.approx(
        0.37, abs=0.01
    )
