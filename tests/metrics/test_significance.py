"""Null distributions are uniform, intervals cover, and the false-discovery rate holds."""

import itertools

import numpy as np
import pytest
from scipy import stats

from neurovis.metrics.regression import pearson_r, r2, spearman_r
from neurovis.metrics.significance import (
    compute_binomial_test,
    compute_bootstrap_ci,
    compute_fdr,
    compute_p_value,
    compute_permutation_test,
    compute_summary_ci,
)


def test_p_value_is_b_plus_one_over_m_plus_one():
    np.testing.assert_allclose(compute_p_value([0.5, 2.0, -1.0], np.arange(3.0)), [3 / 4, 2 / 4, 1.0])


def test_p_values_are_uniform_without_an_effect(rng):
    truth, prediction = rng.normal(size=(2, 30, 600))
    test = compute_permutation_test(truth, prediction, n_permutations=199)
    assert stats.kstest(test.p_value, "uniform").pvalue > 0.01
    np.testing.assert_allclose(test.observed, pearson_r(truth, prediction))
    np.testing.assert_allclose(test.null_95.mean(), 0.306, atol=0.02)  # 1.645 / sqrt(29)


def test_p_value_equals_all_permutations_counted(rng):
    truth, prediction = rng.normal(size=(2, 5, 3))
    prediction += truth
    every = np.array([pearson_r(truth[list(o)], prediction) for o in itertools.permutations(range(5))])
    exact = (every >= pearson_r(truth, prediction) - 1e-9).mean(0)
    sampled = compute_permutation_test(truth, prediction, n_permutations=4000).p_value
    np.testing.assert_allclose(sampled, exact, atol=0.03)


@pytest.mark.parametrize("metric", [spearman_r, r2])
def test_other_metrics_follow_the_same_permutations(metric, rng):
    truth, prediction = rng.normal(size=(2, 12, 300))
    test = compute_permutation_test(truth, prediction, metric=metric, n_permutations=19)
    counts = np.bincount(np.round(test.p_value * 20).astype(int), minlength=21)[1:]
    assert counts.sum() == 300
    assert stats.chisquare(counts).pvalue > 0.01


def test_maximum_controls_the_family_wise_error(rng):
    rejected = [
        (
            compute_permutation_test(*rng.normal(size=(2, 20, 50)), n_permutations=99, seed=s).p_value_max
            <= 0.1
        ).any()
        for s in range(150)
    ]
    assert 0.03 < np.mean(rejected) < 0.18


def test_blocks_hold_the_rate_for_autocorrelated_rows(rng):
    noise = rng.normal(size=(2, 400, 300))
    for step in range(1, 400):
        noise[:, step] = 0.9 * noise[:, step - 1] + np.sqrt(1 - 0.81) * noise[:, step]
    naive = compute_permutation_test(*noise, n_permutations=199).p_value
    blocked = compute_permutation_test(*noise, n_permutations=199, block_length=40).p_value
    assert (naive <= 0.05).mean() > 0.2
    assert (blocked <= 0.05).mean() < 0.1


def test_fdr_holds_its_rate_and_finds_effects(rng):
    shares, power = [], []
    for seed in range(20):
        truth, prediction = rng.normal(size=(2, 40, 200))
        prediction[:, :50] += 2 * truth[:, :50]
        q = compute_fdr(compute_permutation_test(truth, prediction, n_permutations=499, seed=seed).p_value)
        found = q <= 0.05
        shares.append(found[50:].sum() / max(1, found.sum()))
        power.append(found[:50].mean())
    assert np.mean(shares) <= 0.05
    assert np.mean(power) > 0.95


def test_fdr_written_out():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(compute_fdr(p), [0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert compute_fdr([]).shape == (0,)


def test_a_constant_neuroid_is_never_significant(rng):
    truth, prediction = rng.normal(size=(2, 20, 2))
    truth[:, 1] = 0.1
    assert compute_permutation_test(truth, prediction, n_permutations=50).p_value[1] == 1


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_bootstrap_interval_covers_the_truth(method, rng):
    truth = rng.normal(size=(60, 500))
    prediction = 0.6 * truth + 0.8 * rng.normal(size=truth.shape)
    low, high = compute_bootstrap_ci(truth, prediction, method=method, n_bootstraps=500)
    assert 0.90 < ((low <= 0.6) & (high >= 0.6)).mean() < 0.985


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_matrix_products_equal_resampled_rows(method, rng):
    truth, prediction = rng.normal(size=(2, 25, 4))
    truth[:, 3] = 0.1
    fast = compute_bootstrap_ci(truth, prediction, method=method, n_bootstraps=100)
    slow = compute_bootstrap_ci(
        truth, prediction, metric=lambda t, p: pearson_r(t, p), method=method, n_bootstraps=100
    )
    np.testing.assert_allclose(fast, slow, atol=1e-9)


def test_bca_equals_scipy(rng):
    truth = rng.gamma(1.0, size=(40, 1))
    prediction = truth + rng.normal(size=(40, 1))
    ours = compute_bootstrap_ci(truth, prediction, method="bca", n_bootstraps=20000)
    reference = stats.bootstrap(
        (truth[:, 0], prediction[:, 0]),
        lambda t, p, axis: stats.pearsonr(t, p, axis=axis).statistic,
        paired=True,
        n_resamples=20000,
        method="BCa",
        rng=1,
    ).confidence_interval
    np.testing.assert_allclose(np.ravel(ours), [reference.low, reference.high], atol=0.01)


def test_interval_of_a_summary(rng):
    truth, prediction = rng.normal(size=(2, 30, 8))
    prediction += truth
    low, high = compute_bootstrap_ci(
        truth, prediction, metric=lambda t, p: np.median(pearson_r(t, p), keepdims=True), n_bootstraps=200
    )
    assert low.shape == (1,)
    assert low[0] < np.median(pearson_r(truth, prediction)) < high[0]


def test_summary_interval(rng):
    covered = []
    for seed in range(100):
        low, high = compute_summary_ci(rng.normal(loc=2, size=30), n_bootstraps=300, seed=seed)
        covered.append(low <= 2 <= high)
    assert 0.87 < np.mean(covered) <= 1
    assert compute_summary_ci([3.0, 3.0, 3.0]) == (3.0, 3.0)
    low, high = compute_summary_ci(rng.normal(size=50), statistic=np.median)
    assert low < high


def test_binomial():
    p, low, high = compute_binomial_test(8, 10, chance=0.5)
    np.testing.assert_allclose(p, 56 / 1024)
    assert low < 0.8 < high
    assert compute_binomial_test(0, 10, chance=0.5)[0] == 1


def test_bad_input(rng):
    truth, prediction = rng.normal(size=(2, 12, 2))
    with pytest.raises(ValueError, match="at least 4 blocks of the 12 rows, got 5"):
        compute_permutation_test(truth, prediction, block_length=5)
    with pytest.raises(ValueError, match="prediction must have the shape"):
        compute_permutation_test(truth, prediction[:, :1])
    with pytest.raises(ValueError, match="n_permutations must be at least 1, got 0"):
        compute_permutation_test(truth, prediction, n_permutations=0)
    with pytest.raises(ValueError, match="p_values must be finite, got 1 NaN"):
        compute_fdr([0.1, np.nan])
    with pytest.raises(ValueError, match=r"p_values must be at most 1, got 5.0"):
        compute_fdr([0.1, 5.0])
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        compute_bootstrap_ci(truth, prediction, level=95)
    with pytest.raises(ValueError, match="at least 2 independent values, got 1"):
        compute_summary_ci([1.0])
    with pytest.raises(ValueError, match="got 8, 10 and 50"):
        compute_binomial_test(8, 10, chance=50)
