"""Paired comparisons: planted differences are found, equal models pass at the rate of the test."""

import numpy as np
import pytest
from scipy import stats

from neurovis.core import make_rng
from neurovis.metrics.paired import compute_paired_bootstrap, compute_swap_test
from neurovis.metrics.regression import explained_variance, pearson_r, r2, spearman_r
from neurovis.metrics.resampling import draw_counts, score_samples


def simulate(rng, n, k, noise_a, noise_b):
    signal = rng.normal(size=(n, k))
    truth = signal + rng.normal(size=(n, k))
    return (
        truth,
        signal + noise_a * rng.normal(size=(n, k)),
        5 * signal + 5 * noise_b * rng.normal(size=(n, k)),
    )


def take_median(scores):
    return np.median(scores, axis=-1, keepdims=True)


@pytest.mark.parametrize("metric", [pearson_r, r2, explained_variance, spearman_r])
def test_scores_of_samples_equal_repeated_rows(metric, rng):
    truth, prediction, _ = simulate(rng, 15, 4, 0.5, 1)
    truth[:, 1], prediction[:, 2] = 0.1, 0.3
    counts = draw_counts(15, 20, seed=3)
    expected = [metric(np.repeat(truth, own, axis=0), np.repeat(prediction, own, axis=0)) for own in counts]
    np.testing.assert_allclose(
        score_samples(metric, truth + 50, prediction + 50, counts), expected, atol=1e-8
    )


def test_blocks_of_rows_are_drawn_as_one():
    counts = draw_counts(11, 30, block_length=4)
    np.testing.assert_array_equal(counts[:, :4], counts[:, [0]].repeat(4, axis=1))
    np.testing.assert_array_equal(counts[:, 8:], counts[:, [8]].repeat(3, axis=1))
    assert (counts[:, [0, 4, 8]].sum(1) == 3).all()


@pytest.mark.parametrize("metric", [pearson_r, explained_variance])
def test_bootstrap_equals_the_loop(metric, rng):
    truth, a, b = simulate(rng, 20, 6, 0.5, 1)
    test = compute_paired_bootstrap(truth, a, b, metric=metric, summary=take_median, n_bootstraps=50, seed=2)
    samples = []
    for own in draw_counts(20, 50, seed=2):
        t, one, two = (np.repeat(values, own, axis=0) for values in (truth, a, b))
        samples.append(np.median(metric(t, one)) - np.median(metric(t, two)))
    np.testing.assert_allclose(test.difference, np.median(metric(truth, a)) - np.median(metric(truth, b)))
    np.testing.assert_allclose([test.low[0], test.high[0]], np.percentile(samples, [2.5, 97.5]))
    smaller = min((np.array(samples) <= 0).sum(), (np.array(samples) >= 0).sum())
    np.testing.assert_allclose(test.p_value, min(1, 2 * (1 + smaller) / 51))


def test_neuroids_are_tested_in_blocks(rng, monkeypatch):
    truth, a, b = simulate(rng, 20, 7, 0.5, 1)
    whole, swapped = compute_paired_bootstrap(truth, a, b, n_bootstraps=30), compute_swap_test(truth, a, b)
    monkeypatch.setattr("neurovis.metrics.paired._BLOCK", 3)
    parts = compute_paired_bootstrap(truth, a, b, n_bootstraps=30)
    for name in ("difference", "low", "high", "p_value"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name))
    np.testing.assert_allclose(compute_swap_test(truth, a, b), swapped)


def test_swaps_equal_the_loop(rng):
    truth, a, b = simulate(rng, 12, 5, 0.5, 1)
    difference, p = compute_swap_test(truth, a, b, n_permutations=60, seed=4)
    np.testing.assert_allclose(difference, pearson_r(truth, a) - pearson_r(truth, b))
    one, two = ((values - values.mean(0)) / values.std(0) for values in (a, b))
    null = []
    for swap in make_rng(4, "swap").integers(0, 2, size=(60, 12)).astype(bool):
        mixed = np.where(swap[:, None], two, one), np.where(swap[:, None], one, two)
        null.append(np.abs(pearson_r(truth, mixed[0]) - pearson_r(truth, mixed[1])))
    np.testing.assert_allclose(p, (1 + (np.array(null) >= np.abs(difference) - 1e-10).sum(0)) / 61)


def test_a_planted_difference_is_found_and_has_its_sign(rng):
    truth, a, b = simulate(rng, 150, 30, 0.3, 1.5)
    median = compute_paired_bootstrap(truth, a, b, summary=take_median, n_bootstraps=200)
    assert median.low[0] > 0.05
    assert median.p_value[0] < 0.02
    assert (compute_swap_test(truth, a, b, n_permutations=199)[1] <= 0.05).mean() > 0.8
    assert compute_paired_bootstrap(truth, b, a, n_bootstraps=200).high.mean() < 0


def test_equal_models_pass_at_the_rate_of_the_test(rng):
    truth, a, b = simulate(rng, 60, 500, 0.7, 0.7)
    swap = compute_swap_test(truth, a, b, n_permutations=199)[1]
    assert stats.kstest(swap, "uniform").pvalue > 0.01
    boot = compute_paired_bootstrap(truth, a, b, n_bootstraps=300)
    assert 0.02 < (boot.p_value <= 0.05).mean() < 0.09
    covered = (boot.low <= 0) & (boot.high >= 0)
    assert covered.mean() > 0.92


def test_median_over_neuroids_covers_no_difference():
    covered = []
    for seed in range(80):
        truth, a, b = simulate(np.random.default_rng(seed), 60, 15, 0.7, 0.7)
        test = compute_paired_bootstrap(truth, a, b, summary=take_median, n_bootstraps=200, seed=seed)
        covered.append(test.low[0] <= 0 <= test.high[0])
    assert 0.88 <= np.mean(covered) <= 1.0


def test_bad_input(rng):
    truth, a, b = simulate(rng, 10, 3, 1, 1)
    with pytest.raises(ValueError, match="prediction must have the shape of truth"):
        compute_paired_bootstrap(truth, a, b[:5])
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        compute_paired_bootstrap(truth, a, b, level=95, n_bootstraps=3)
    with pytest.raises(ValueError, match="at least 2 blocks of the 10 rows"):
        compute_paired_bootstrap(truth, a, b, block_length=10)
    with pytest.raises(ValueError, match="n_permutations must be at least 1, got 0"):
        compute_swap_test(truth, a, b, n_permutations=0)
