import numpy as np
import pandas as pd
import pytest

from neurovis.core.fixations import make_fixations
from neurovis.gaze.search_success import (
    compute_saccade_sizes,
    compute_split_half_reliability,
    compute_success_curve,
    score_recorded_search,
)


def test_success_rises_by_those_that_are_found():
    trials = pd.DataFrame(
        {"stimulus_id": ["a", "a", "b", "b", "c"], "found": [True, True, True, False, True],
         "n_saccades": [0, 2, 2, 3, 1]}
    )  # fmt: skip
    curve = compute_success_curve(trials, n_saccades=3, n_bootstraps=500)
    np.testing.assert_allclose(curve["found"], [0.2, 0.4, 0.8, 0.8])
    assert (curve["low"] <= curve["found"]).all()
    assert (curve["high"] >= curve["found"]).all()


def test_interval_resamples_stimuli_not_searches():
    # Every stimulus is found either by all of ten people or by none.
    rows = [(f"s{n}", n % 2 == 0, 1) for n in range(40) for _ in range(10)]
    trials = pd.DataFrame(rows, columns=["stimulus_id", "found", "n_saccades"])
    curve = compute_success_curve(trials, n_saccades=1, n_bootstraps=2000)
    width = curve.loc[1, "high"] - curve.loc[1, "low"]
    np.testing.assert_allclose(width, 2 * 1.96 * 0.5 / np.sqrt(40), rtol=0.1)


def test_recorded_scanpaths_are_scored_at_the_first_hit():
    paths = [
        make_fixations([(50, 50), (12, 22), (80, 80), (11, 21)], subject="S1", stimulus_id="a"),
        make_fixations([(50, 50), (20, 22)], subject="S2", stimulus_id="a"),
        make_fixations([(15, 25)], subject="S1", stimulus_id="b"),
    ]
    table = pd.concat(paths, ignore_index=True)
    boxes = pd.DataFrame(
        [(20, 10, 30, 20)] * 2, index=["a", "b"],
        columns=["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"],
    )  # fmt: skip
    trials = score_recorded_search(table, boxes).set_index(["subject", "stimulus_id"])
    assert trials.loc[("S1", "a"), ["found", "n_saccades"]].tolist() == [True, 1]
    # The box ends before 20.
    assert trials.loc[("S2", "a"), ["found", "n_saccades"]].tolist() == [False, 1]
    assert trials.loc[("S1", "b"), ["found", "n_saccades"]].tolist() == [True, 0]
    near = score_recorded_search(table, {"a": (20, 10, 30, 20), "b": (20, 10, 30, 20)}, reach_px=1)
    assert near["found"].all()
    with pytest.raises(KeyError):
        score_recorded_search(table, {"a": (20, 10, 30, 20)})


def test_saccades_do_not_join_scanpaths():
    table = pd.concat(
        [make_fixations([(0, 0), (30, 40)], subject="S", stimulus_id="a"),
         make_fixations([(500, 0), (500, 60), (500, 30)], subject="S", stimulus_id="b")],
        ignore_index=True,
    )  # fmt: skip
    np.testing.assert_allclose(compute_saccade_sizes(table, px_per_dva=10), [5, 6, 3])


def test_split_half_reliability_follows_spearman_and_brown():
    rng = np.random.default_rng(0)
    truth, n = rng.normal(size=400), 14
    values = truth + rng.normal(0, 2, (n, 400))
    # Halves of 7: signal 1, noise 4 / 7.
    np.testing.assert_allclose(compute_split_half_reliability(values), 1 / (1 + 4 / 7), atol=0.06)
    values[0, :50] = np.nan
    assert np.isfinite(compute_split_half_reliability(values, n_splits=5))
    with pytest.raises(ValueError, match="at least 2 subjects and 3 stimuli"):
        compute_split_half_reliability(values[:1])
