"""Scores against a small planted truth: right results pass, wrong ones fail."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurovis.core import Score, StimulusSet, make_neural_data
from neurovis.datasets.simulated import SimulatedSubject, SimulatedTruth
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation import recovery
from neurovis.evaluation.encoding import EncodingResult, evaluate_encoding
from neurovis.evaluation.preference import compute_preference
from neurovis.evaluation.truth import score_recovery, summarise_recovery

N_TRAIN, N_TEST, N_REPEATS, N_FEATURES, K = 500, 60, 5, 6, 200
IDS = [f"w{i:04d}" for i in range(N_TEST + N_TRAIN)]
CATEGORIES = {item: ("face", "place")[i % 2] for i, item in enumerate(IDS)}
MATCHING = {"V1": "right", "FFA": "right"}


def make_planted(seed=0):
    """Half V1, half FFA; every fourth vertex is silent."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(len(IDS), N_FEATURES))
    X[:, 0] = 2.0 * np.array([CATEGORIES[item] == "face" for item in IDS])
    weights = rng.normal(size=(N_FEATURES, K))
    weights[0, K // 2 :] = np.sign(weights[0, K // 2 :]) * 2
    responsive = np.arange(K) % 4 > 0
    responses = (X @ weights * responsive).astype(np.float32)
    table = pd.DataFrame(
        {
            "vertex": np.arange(K),
            "region": np.where(np.arange(K) < K // 2, "V1", "FFA"),
            "responsive": responsive,
            "noise_sd": np.full(K, 3.0),
        }
    )
    truth = SimulatedTruth(SimulatedSubject("01", seed, table), tuple(IDS), responses, {})
    rows = np.concatenate([np.tile(np.arange(N_TEST), N_REPEATS), np.arange(N_TEST, len(IDS))])
    data = make_neural_data(
        responses[rows] + 3.0 * rng.normal(size=(len(rows), K)),
        rows="presentation",
        row_coords={
            "stimulus_id": np.array(IDS)[rows],
            "repeat": np.concatenate([np.repeat(np.arange(N_REPEATS), N_TEST), np.zeros(N_TRAIN, int)]),
        },
        neuroid_coords={
            "neuroid_id": truth.subject.neuroid_ids,
            "subject": ["01"] * K,
            "region": table["region"].to_numpy(str),
        },
        units="percent",
        source="planted",
    )
    features = {
        name: xr.DataArray(values, dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", IDS)})
        for name, values in {"right": X, "wrong": rng.normal(size=X.shape)}.items()
    }
    return truth, data, features


@pytest.fixture(scope="module")
def planted():
    truth, data, features = make_planted()
    results = {
        name: evaluate_encoding(values, data, Ridge(), test_ids=IDS[:N_TEST], n_permutations=400)
        for name, values in features.items()
    }
    return truth, data, results


def find(table, quantity, region="all", features=""):
    chosen = table[(table["quantity"] == quantity) & (table["region"] == region)]
    return chosen[chosen["features"] == features].iloc[0]


def test_right_results_pass(planted):
    truth, data, results = planted
    preference = compute_preference(data, CATEGORIES)
    table = score_recovery(truth, results, matching=MATCHING, preference=preference, categories=CATEGORIES)
    assert set(table.loc[table["passed"] != "", "passed"]) == {"yes"}
    assert find(table, "ceiling ratio")["value"] == pytest.approx(1, abs=0.04)
    assert find(table, "share of ceiling", "V1", "right")["value"] > 0.95
    assert find(table, "share of ceiling", "V1", "wrong")["value"] < 0.2
    assert find(table, "share of ceiling", "V1", "wrong")["passed"] == ""
    assert find(table, "preference agreement")["n"] == 75
    assert find(table, "silent vertices passing")["n"] == 50


def test_wrong_results_fail(planted):
    truth, data, results = planted
    right = results["right"]
    values = right.score.values
    inflated = replace(right.score, ceiling=right.score.ceiling * 1.1)
    liberal = values.assign_coords(q_value=("neuroid", np.zeros(K)))
    preference = compute_preference(data, CATEGORIES)
    preference["preferred"] = np.where(preference["preferred"] == "face", "place", "face")
    broken = EncodingResult(Score(liberal, "pearson_r", inflated.ceiling), right.truth)
    table = score_recovery(
        truth, {"right": broken}, matching=MATCHING, preference=preference, categories=CATEGORIES
    )
    for quantity in (
        "ceiling ratio",
        "silent among discoveries",
        "silent vertices passing",
        "preference agreement",
    ):
        assert find(table, quantity)["passed"] == "no", quantity
    assert find(table, "silent vertices passing")["value"] == 1
    mismatched = score_recovery(truth, results, matching={"V1": "wrong", "FFA": "wrong"})
    assert find(mismatched, "share of ceiling", "FFA", "wrong")["passed"] == "no"


def test_summary_is_a_t_interval_over_seeds(planted):
    truth, _, results = planted
    table = score_recovery(truth, results, matching=MATCHING)
    moved = [table.assign(value=table["value"] + shift) for shift in (-0.01, 0.0, 0.01)]
    summary = summarise_recovery(moved)
    row = find(summary, "ceiling ratio")
    assert row["mean"] == pytest.approx(find(table, "ceiling ratio")["value"])
    # t(0.975, 2 df) = 4.303, sd 0.01, sqrt(3) values.
    assert row["ci_high"] - row["mean"] == pytest.approx(4.3027 * 0.01 / np.sqrt(3), rel=1e-4)
    assert (row["passed"], row["n_seeds"]) == ("yes", 3)
    assert find(summary, "silent vertices passing")["worst"] == pytest.approx(
        find(table, "silent vertices passing")["value"] + 0.01
    )
    assert np.isnan(summarise_recovery([table])["ci_low"]).all()
    with pytest.raises(ValueError, match="at least one table"):
        summarise_recovery([])


def test_results_from_files_need_the_held_out_repeats(planted):
    truth, _, results = planted
    stored = {"right": EncodingResult(results["right"].score)}
    with pytest.raises(ValueError, match="held_out must be given"):
        score_recovery(truth, stored, matching=MATCHING)
    held_out = dict.fromkeys(IDS[:N_TEST], N_REPEATS)
    pd.testing.assert_frame_equal(
        score_recovery(truth, stored, matching=MATCHING, held_out=held_out),
        score_recovery(truth, {"right": results["right"]}, matching=MATCHING),
    )


def test_other_vertices_are_refused(planted):
    truth, _, results = planted
    score = results["right"].score
    shuffled = EncodingResult(Score(score.values[::-1], "pearson_r", score.ceiling[::-1]))
    with pytest.raises(ValueError, match="in order"):
        score_recovery(truth, {"right": shuffled}, matching=MATCHING)
    with pytest.raises(ValueError, match="matching must be"):
        score_recovery(truth, results)


def test_recovery_runs_from_stimuli_to_table(tmp_path, monkeypatch):
    truth, data, features = make_planted(seed=4)
    monkeypatch.setattr(recovery, "make_subject", lambda subject, seed: truth.subject)
    monkeypatch.setattr(recovery, "compute_true_responses", lambda subject, stimuli: truth.responses)
    monkeypatch.setattr(recovery, "simulate_betas", lambda *args, **kwargs: data)
    table = pd.DataFrame({"path": "x.png", "category": list(CATEGORIES.values())}, index=IDS)
    stimuli = StimulusSet("planted", table, tmp_path, (8.0, 8.0))
    scored = recovery.run_recovery(
        stimuli, features, Ridge(), seed=4, n_test=N_TEST, matching=MATCHING, n_permutations=300
    )
    assert (scored["seed"] == 4).all()
    assert find(scored, "share of ceiling", "FFA", "right")["passed"] == "yes"
    assert find(scored, "preference agreement")["passed"] == "yes"
    with pytest.raises(ValueError, match="column 'category'"):
        recovery.run_recovery(stimuli, features, Ridge(), seed=4, n_test=400)
