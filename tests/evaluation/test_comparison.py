"""Model comparisons find planted differences with their sign, and hold their rate without one."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from neurovis.core import Score
from neurovis.evaluation.comparison import (
    compare_models,
    compare_neuroids,
    compare_subjects,
    summarise_subjects,
)
from neurovis.evaluation.encoding import METRICS, EncodingResult


def make_results(rng, *, noise, n=80, k=24, metric="pearson_r", subject="01", prefix="s", n_folds=1):
    """One result per model; ``noise`` maps a model to the noise of its prediction in V1 and in FFA."""
    region = np.where(np.arange(k) < k // 2, "V1", "FFA")
    coords = {
        "stimulus_id": ("stimulus", [f"{prefix}{i}" for i in range(n)]),
        "fold": ("stimulus", np.arange(n) % n_folds),
        "neuroid_id": ("neuroid", [f"{subject}-{i}" for i in range(k)]),
        "region": ("neuroid", region),
    }
    signal = rng.normal(size=(n, k))
    truth = xr.DataArray(signal + rng.normal(size=(n, k)), dims=("stimulus", "neuroid"), coords=coords)
    results = {}
    for name, (in_v1, in_ffa) in noise.items():
        level = np.where(region == "V1", in_v1, in_ffa)
        prediction = truth.copy(data=signal + level * rng.normal(size=(n, k)))
        neuroid = {key: coords[key] for key in ("neuroid_id", "region")}
        values = METRICS[metric](truth.values, prediction.values)
        score = Score(xr.DataArray(values, dims=("neuroid",), coords=neuroid), metric)
        results[name] = EncodingResult(score, truth, prediction)
    return results


PLANTED = {"good": (0.3, 1.0), "bad": (2.0, 1.0)}
EQUAL = {"one": (0.8, 0.8), "two": (0.8, 0.8)}


@pytest.mark.parametrize("metric", ["pearson_r", "r2", "explained_variance"])
def test_a_planted_difference_is_found_in_its_region_only(metric, rng):
    results = make_results(rng, noise=PLANTED, metric=metric, n=200)
    table = compare_models(results, n_bootstraps=300).set_index("region")
    assert table.loc["V1", "ci_low"] > 0.1
    assert table.loc["V1", "q_value"] <= 0.05
    assert table.loc["FFA", "ci_low"] < 0 < table.loc["FFA", "ci_high"]
    median = [np.median(result.score.values.values[:12]) for result in results.values()]
    np.testing.assert_allclose(table.loc["V1", ["median_a", "median_b"]].astype(float), median, atol=1e-8)
    assert table.loc["V1", "difference"] == pytest.approx(median[0] - median[1])
    assert (table["n_neuroids"] == 12).all()


def test_pairs_follow_the_reference_and_change_sign(rng):
    results = make_results(rng, noise={**PLANTED, "worst": (4.0, 4.0)}, n_folds=4)
    every = compare_models(results, n_bootstraps=50)
    assert every.groupby("region").size().tolist() == [3, 3]
    against = compare_models(results, reference="good", n_bootstraps=50)
    assert against[["model_a", "model_b"]].values.tolist() == [["bad", "good"], ["worst", "good"]] * 2
    same = every[(every["model_a"] == "good") & (every["model_b"] == "bad")].iloc[0]
    np.testing.assert_allclose(against.iloc[0]["difference"], -same["difference"])
    np.testing.assert_allclose(against.iloc[0]["ci_low"], -same["ci_high"])


def test_equal_models_are_covered_at_the_level():
    covered = []
    for seed in range(60):
        results = make_results(np.random.default_rng(seed), noise=EQUAL, n=60, k=10)
        table = compare_models(results, n_bootstraps=200, seed=seed)
        covered += ((table["ci_low"] <= 0) & (table["ci_high"] >= 0)).tolist()
    assert np.mean(covered) >= 0.9


def test_neuroids_keep_their_coordinates_and_differ_where_planted(rng):
    results = make_results(rng, noise=PLANTED, n=150)
    table = compare_neuroids(results["good"], results["bad"], n_permutations=199)
    assert table.columns.tolist() == [
        "neuroid_id", "region", "score_a", "score_b", "difference", "p_value", "q_value"
    ]  # fmt: skip
    planted = table["region"] == "V1"
    assert (table["q_value"][planted] <= 0.05).mean() > 0.8
    assert (table["q_value"][~planted] <= 0.05).mean() < 0.2
    np.testing.assert_allclose(table["difference"], table["score_a"] - table["score_b"], atol=1e-10)


@pytest.mark.parametrize("shared", [True, False])
def test_subjects_agree_on_a_planted_difference(shared, rng):
    results = {
        subject: make_results(rng, noise=PLANTED, subject=subject, prefix="s" if shared else subject, n=100)
        for subject in ("01", "02", "03", "04", "05", "06", "07")
    }
    table = compare_subjects(results, n_bootstraps=200).set_index("region")
    assert (table["stimuli"] == ("shared" if shared else "own")).all()
    v1, ffa = table.loc["V1"], table.loc["FFA"]
    own = [
        np.median(models["good"].score.values[:12]) - np.median(models["bad"].score.values[:12])
        for models in results.values()
    ]
    np.testing.assert_allclose(v1["difference"], np.mean(own), atol=1e-8)
    interval = stats.ttest_1samp(own, 0).confidence_interval()
    np.testing.assert_allclose([v1["t_low"], v1["t_high"]], [interval.low, interval.high])
    assert v1["p_value"] == pytest.approx(2 / 128)
    assert v1["boot_low"] > 0.1
    assert v1["p_bootstrap"] < 0.02
    assert ffa["t_low"] < 0 < ffa["t_high"]
    assert ffa["boot_low"] < 0 < ffa["boot_high"]


def test_hierarchical_bootstrap_holds_both_sources_of_variance():
    """Its variance is that over subjects / n plus the mean over subjects of that over stimuli / n."""
    rng = np.random.default_rng(3)
    results = {
        str(number): make_results(
            rng,
            noise={"a": (0.5 + 0.2 * number,) * 2, "b": (1.0, 1.0)},
            subject=str(number),
            prefix=str(number),
        )
        for number in range(6)
    }
    table = compare_subjects(results, n_bootstraps=4000).set_index("region").loc["V1"]
    within, centre = [], []
    for own in results.values():
        one = compare_models(own, n_bootstraps=2000).set_index("region").loc["V1"]
        within.append(((one["ci_high"] - one["ci_low"]) / 2 / 1.96) ** 2)
        centre.append(one["difference"])
    expected = np.sqrt(np.var(centre) / 6 + np.mean(within) / 6)
    width = (table["boot_high"] - table["boot_low"]) / 2 / 1.96
    np.testing.assert_allclose(width, expected, rtol=0.1)


def test_subjects_pass_at_the_rate_of_the_test_without_a_difference():
    passed = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        results = {name: make_results(rng, noise=EQUAL, n=30, k=6, subject=name) for name in "abcdef"}
        passed += (compare_subjects(results, n_bootstraps=20)["p_value"] <= 0.1).tolist()
    assert 0.03 <= np.mean(passed) <= 0.18


def test_summary_over_subjects_equals_scipy(rng):
    values = rng.normal(size=(9, 2)) + 0.5 + [0, 1]
    table = pd.DataFrame(
        {
            "subject": np.repeat(np.arange(9), 2),
            "region": ["V1", "FFA"] * 9,
            "accuracy": values.ravel(),
        }
    )
    summary = summarise_subjects(table, value="accuracy", chance=0.5).set_index("region")
    for column, region in enumerate(("V1", "FFA")):
        expected = stats.ttest_1samp(values[:, column], 0.5).confidence_interval()
        np.testing.assert_allclose(summary.loc[region, ["t_low", "t_high"]].astype(float), expected)
        np.testing.assert_allclose(summary.loc[region, "mean"], values[:, column].mean())
    assert summary.loc["FFA", "p_value"] < summary.loc["V1", "p_value"]
    with pytest.raises(ValueError, match="one row per subject and group, got 9 more"):
        summarise_subjects(table.assign(region="V1"), value="accuracy")
    with pytest.raises(ValueError, match="each named column must be"):
        summarise_subjects(table, value="r")


def test_bad_input(rng):
    results = make_results(rng, noise=EQUAL)
    with pytest.raises(ValueError, match="at least 2 models, got 1"):
        compare_models({"one": results["one"]})
    with pytest.raises(ValueError, match=r"reference must be .* got 'three'"):
        compare_models(results, reference="three")
    with pytest.raises(ValueError, match=r"by must be .* got 'colour'"):
        compare_models(results, by="colour")
    other = make_results(rng, noise=EQUAL)["two"]
    with pytest.raises(ValueError, match="same held-out responses, folds and metric, got others for two"):
        compare_models({"one": results["one"], "two": other})
    with pytest.raises(ValueError, match="must hold truth and prediction"):
        compare_models({**results, "three": EncodingResult(results["one"].score)})
    with pytest.raises(ValueError, match=r"metric must be 'pearson_r', got 'r2'"):
        compare_neuroids(*make_results(rng, noise=EQUAL, metric="r2").values())
    with pytest.raises(ValueError, match="at least 2 subjects, got 1"):
        compare_subjects({"01": results})
    with pytest.raises(ValueError, match=r"for every subject, got .* for 02"):
        compare_subjects({"01": results, "02": {"one": results["one"]}})
