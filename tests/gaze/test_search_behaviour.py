import numpy as np
import pandas as pd
import pytest
from scipy import stats

from neurovis.gaze.search_behaviour import (
    HUMAN_RT_MS,
    analyse_asymmetry,
    compare_search_lines,
    compute_asymmetry_index,
    compute_asymmetry_indices,
    compute_reaction_times,
    compute_search_slopes,
    correlate_slopes,
    make_human_summary,
    summarise_reaction_times,
)
from neurovis.stimuli.asymmetry_experiments import CONDITIONS

HUMAN_SLOPES = {
    "curve_in_lines": 0.80, "line_in_curves": 7.59, "top_down": 4.21, "left_right": 23.88, "non_cross": 45.0,
    "cross": 96.0, "Ts": 14.0, "Ls": 33.0, "homo_t20": 2.38, "homo_t0": 9.86, "hetero_t0": 23.73,
    "hetero_t20": 71.12,
}  # fmt: skip
HUMAN_INDICES = [0.809, 0.701, 0.362, 0.404, 0.611, 0.500]


def make_trials(slopes, *, n=40, spread=0, seed=0):
    """Searches whose number of saccades rises with set size at these rates, for each condition."""
    rng = np.random.default_rng(seed)
    rows = []
    for condition, slope in slopes.items():
        for size in CONDITIONS[condition].set_sizes:
            noise = rng.integers(-spread, spread + 1, n)
            rows += [(condition, size, True, max(1, round(2 + slope * size) + k)) for k in noise]
    return pd.DataFrame(rows, columns=["condition", "set_size", "found", "n_saccades"])


def test_published_human_slopes_and_indices():
    slopes = compute_search_slopes(make_human_summary())
    # The published slopes come from positions in figures; ours from reaction times rounded to 0.01 ms.
    np.testing.assert_allclose(slopes[list(HUMAN_SLOPES)], list(HUMAN_SLOPES.values()), atol=0.011)
    indices = compute_asymmetry_indices(slopes)
    np.testing.assert_allclose(indices, HUMAN_INDICES, atol=0.0006)
    np.testing.assert_allclose(indices.mean(), 0.564, atol=0.0006)
    assert correlate_slopes(slopes, slopes) == pytest.approx(1)


def test_shared_table_holds_the_same_reaction_times(shared_data):
    path = shared_data / "visual_search_asymmetry" / "asymmetry_human_rt.tsv"
    if not path.is_file():
        pytest.skip(f"no human reaction times at {path}")
    table = pd.read_csv(path, sep="\t")
    assert table["condition"].nunique() == 8
    for condition, rows in table.groupby("condition"):
        name = condition.split("_", 1)[1]
        np.testing.assert_allclose(rows["human_rt_ms"], HUMAN_RT_MS[name], atol=0.011)


@pytest.mark.parametrize(
    ("hard", "easy", "index"), [(10, -3, 1), (0, 0, 0), (5, 15, -0.5), (-1, -2, 0), (-1, 2, -1), (3, 3, 0)]
)
def test_algebra_of_the_index(hard, easy, index):
    assert compute_asymmetry_index(hard, easy) == index


def test_rounding_of_flat_lines_is_no_asymmetry():
    assert compute_asymmetry_index(1e-13, 0.0) == 0
    assert compute_asymmetry_index(1e-13, 2.0) == -1
    assert np.isnan(compute_asymmetry_index(np.nan, 1.0))


def test_reaction_times_and_their_summary():
    trials = pd.DataFrame(
        {"condition": "Ts", "set_size": [3, 3, 6], "found": [True, True, False], "n_saccades": [1, 3, 10]}
    )
    rt = compute_reaction_times(trials)
    np.testing.assert_allclose(rt, 376.271 + 252.359 * np.array([1, 3, 6]))
    summary = summarise_reaction_times(trials)
    np.testing.assert_allclose(summary["rt_ms"], [376.271 + 252.359 * 2, rt[2]])
    np.testing.assert_allclose(summary["sem_ms"], [252.359 / np.sqrt(2), 0])
    assert summary["n_trials"].tolist() == [2, 1]


def test_slopes_are_those_of_least_squares():
    summary = make_human_summary(["hetero_t20", "Ts"])
    slopes = compute_search_slopes(summary)
    for condition, rows in summary.groupby("condition"):
        wanted = np.polyfit(rows["set_size"], rows["rt_ms"], 1)[0]
        np.testing.assert_allclose(slopes[condition], wanted)
    assert np.isnan(compute_search_slopes(summary[:1])["hetero_t20"])


def test_analysis_recovers_planted_slopes_with_intervals():
    planted = {"Ts": 1 / 3, "Ls": 1.0, "homo_t20": 0.0, "homo_t0": 1.0}
    report = analyse_asymmetry(make_trials(planted, spread=1), n_bootstraps=300)
    np.testing.assert_allclose(
        report.slopes["slope_ms"], [252.359 * planted[name] for name in report.slopes.index], atol=15
    )
    assert report.indices.index.tolist() == [4, 5, "mean"]
    found = report.indices.loc[4]
    assert found["low"] < 0.5 < found["high"]
    assert found["high"] - found["low"] < 0.3
    assert report.indices.loc[5, "asymmetry_index"] > 0.9
    assert (report.indices["p_value"] < 0.01).all()
    np.testing.assert_allclose(report.indices["human"], [0.404, 0.611, 0.5077], atol=6e-4)
    # The bootstrap's error of a slope against the textbook's.
    trials = make_trials({"Ts": 1 / 3}, spread=1)
    rt = compute_reaction_times(trials)
    size = trials["set_size"] - trials["set_size"].mean()
    residual = rt - trials.groupby("set_size")["n_saccades"].transform("mean") * 252.359 - 376.271
    wanted = np.sqrt((residual**2).mean() / (size**2).sum())
    sem = analyse_asymmetry(trials, n_bootstraps=2000).slopes.loc["Ts", "sem_ms"]
    np.testing.assert_allclose(sem, wanted, rtol=0.08)


def test_exchangeable_conditions_are_not_significant():
    flat = {"Ts": 0.0, "Ls": 0.0}
    p_values = [
        analyse_asymmetry(make_trials(flat, spread=2, seed=seed), n_bootstraps=100).indices.loc[4, "p_value"]
        for seed in range(30)
    ]
    # Uniform p-values: the mean of 30 has a standard error of 0.053.
    assert abs(np.mean(p_values) - 0.5) < 0.2
    assert np.mean(np.array(p_values) < 0.1) < 0.3


def test_lines_are_compared_as_a_linear_model_does():
    rng = np.random.default_rng(0)
    size = np.tile([3.0, 6, 9], 20)
    second = np.repeat([False, True], 30)
    rt = 400 + 20 * size + 30 * second * size + rng.normal(0, 60, 60)
    f, p = compare_search_lines(size, rt, second)
    # The same F from R^2 of the two nested models.
    columns = np.stack([size, second, second * size], axis=1)
    r2 = []
    for used in (columns[:, :1], columns):
        design = np.column_stack([np.ones(60), used])
        fitted = design @ np.linalg.pinv(design) @ rt
        r2.append(np.corrcoef(fitted, rt)[0, 1] ** 2)
    wanted = (r2[1] - r2[0]) / 2 / ((1 - r2[1]) / 56)
    np.testing.assert_allclose(f, wanted)
    np.testing.assert_allclose(p, stats.f.sf(wanted, 2, 56))
    assert p < 1e-6
    null = [
        compare_search_lines(size, 400 + 20 * size + rng.normal(0, 60, 60), second)[1] for _ in range(200)
    ]
    assert stats.kstest(null, "uniform").pvalue > 0.01
    assert compare_search_lines(size, 3 * size, second) == (0.0, 1.0)
    assert compare_search_lines(size, 3 * size + second, second) == (np.inf, 0.0)
    with pytest.raises(ValueError, match="at least 5 trials"):
        compare_search_lines(size[:4], rt[:4], second[:4])


def test_correlation_needs_slopes_that_differ():
    slopes = pd.Series({"Ts": 1.0, "Ls": 1.0 + 1e-13, "cross": 1.0})
    assert np.isnan(correlate_slopes(slopes, pd.Series(HUMAN_SLOPES)))
    assert np.isnan(correlate_slopes(slopes[:2], pd.Series(HUMAN_SLOPES)))
