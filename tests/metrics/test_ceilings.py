"""Ceilings against simulated truth, where the signal and noise variance of every neuroid are known."""

import numpy as np
import pytest

from neurovis.metrics.ceilings import (
    METHODS,
    compute_ceiling,
    compute_leave_one_out,
    compute_ncsnr,
    compute_noise_ceiling,
    compute_split_half,
)
from neurovis.metrics.regression import explained_variance, pearson_r, r2

NCSNR = np.repeat([0.0, 0.25, 0.5, 1.0, 2.0], 40)


def simulate(rng, n_repeats, ncsnr=NCSNR):
    """Trials in random order; ``n_repeats`` per stimulus. Returns the signal too."""
    n_repeats = np.asarray(n_repeats)
    signal = rng.normal(size=(len(n_repeats), len(ncsnr)))
    signal = (signal - signal.mean(0)) / signal.std(0, ddof=1) * ncsnr
    order = rng.permutation(np.repeat(np.arange(len(n_repeats)), n_repeats))
    return signal[order] + rng.normal(size=(len(order), len(ncsnr))), order, signal


def average(trials, order):
    return np.array([trials[order == j].mean(0) for j in np.unique(order)])


def by_level(values):
    return np.reshape(values, (5, 40)).mean(1)


def test_ncsnr_equals_the_analysis_of_variance_written_out(rng):
    trials, order, _ = simulate(rng, rng.integers(1, 5, 25))
    expected = []
    for y in trials.T:
        groups = [y[order == j] for j in np.unique(order)]
        n = np.array([len(g) for g in groups])
        within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (n - 1).sum()
        between = (n * (np.array([g.mean() for g in groups]) - y.mean()) ** 2).sum() / (len(n) - 1)
        m0 = (n.sum() - (n**2).sum() / n.sum()) / (len(n) - 1)
        expected.append(np.sqrt(max(0, (between - within) / m0) / within))
    np.testing.assert_allclose(compute_ncsnr(trials, order), expected, atol=1e-7)


def test_ncsnr_agrees_with_the_published_definition_on_z_scored_trials(rng):
    trials, order, _ = simulate(rng, np.full(400, 3))
    z = (trials - trials.mean(0)) / trials.std(0)
    noise = np.mean([z[order == j].var(0, ddof=1) for j in range(400)], axis=0)
    published = np.sqrt(np.maximum(0, 1 - noise) / noise)
    np.testing.assert_allclose(compute_ncsnr(z, order)[80:], published[80:], rtol=0.01)


@pytest.mark.parametrize("n_repeats", [np.full(300, 3), np.repeat([3, 2, 1], 120)])
def test_ncsnr_recovers_the_truth(n_repeats, rng):
    trials, order, _ = simulate(rng, n_repeats)
    estimate = by_level(compute_ncsnr(trials, order))
    np.testing.assert_allclose(estimate[2:], [0.5, 1.0, 2.0], rtol=0.03)
    assert estimate[0] < 0.12


@pytest.mark.parametrize("metric", [pearson_r, r2, explained_variance])
@pytest.mark.parametrize(
    "n_repeats", [np.full(400, 1), np.full(400, 2), np.full(400, 3), np.repeat([3, 2, 1], 133)]
)
def test_the_true_signal_reaches_the_ceiling(metric, n_repeats, rng):
    trials, order, signal = simulate(rng, n_repeats)
    score = metric(average(trials, order), signal)
    ceiling = compute_noise_ceiling(NCSNR, n_repeats, metric=metric.__name__)
    np.testing.assert_allclose(by_level(score)[1:], by_level(ceiling)[1:], rtol=0.03, atol=0.01)


def test_ceiling_values():
    np.testing.assert_allclose(compute_noise_ceiling([0, 1, np.inf], 3), [0, 0.75, 1])
    np.testing.assert_allclose(
        compute_noise_ceiling([0, 1, np.inf], 3, metric="pearson_r"), [0, 0.75**0.5, 1]
    )
    mixed = compute_noise_ceiling([0.7], np.repeat([3, 2, 1], [5, 3, 2]))
    np.testing.assert_allclose(mixed, 0.49 / (0.49 + (5 / 3 + 3 / 2 + 2) / 10))


@pytest.mark.parametrize(
    "n_repeats", [np.full(300, 2), np.full(300, 3), np.full(300, 4), np.repeat([4, 3, 2], 100)]
)
def test_split_half_estimates_the_ceiling_of_the_mean(n_repeats, rng):
    trials, order, _ = simulate(rng, n_repeats)
    reliability = compute_split_half(trials, order, n_splits=5, seed=1)
    np.testing.assert_allclose(
        by_level(reliability), by_level(compute_noise_ceiling(NCSNR, n_repeats)), atol=0.025
    )


def test_split_half_of_two_repeats_is_the_textbook_formula(rng):
    trials, order, _ = simulate(rng, np.full(50, 2))
    first = np.array([trials[order == j][0] for j in range(50)])
    second = np.array([trials[order == j][1] for j in range(50)])
    # Which repeat falls into which half matters for r, so compare the stepped-up mean over many splits.
    r = pearson_r(first, second)
    reliability = compute_split_half(trials, order, n_splits=40)
    np.testing.assert_allclose(reliability, 2 * r / (1 + abs(r)), atol=0.12)
    np.testing.assert_array_equal(reliability, compute_split_half(trials, order, n_splits=40))


def test_leave_one_out_brackets_the_ceiling_of_one_trial(rng):
    trials, order, _ = simulate(rng, np.full(400, 3))
    lower, upper = map(by_level, compute_leave_one_out(trials, order))
    truth = by_level(compute_noise_ceiling(NCSNR, 1, metric="pearson_r"))
    assert (lower[1:] < truth[1:]).all()
    assert (truth < upper).all()
    snr = np.unique(NCSNR) ** 2
    np.testing.assert_allclose(lower, snr / np.sqrt((snr + 1) * (snr + 1 / 2)), atol=0.02)
    np.testing.assert_allclose(upper, np.sqrt((snr + 1 / 3) / (snr + 1)), atol=0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("metric", [pearson_r, r2, explained_variance])
@pytest.mark.parametrize("n_repeats", [np.full(400, 3), np.repeat([5, 3, 2], 130), np.repeat([4, 2, 1], 150)])
def test_every_estimate_gives_the_score_of_the_true_signal(method, metric, n_repeats, rng):
    trials, order, signal = simulate(rng, n_repeats)
    score = by_level(metric(average(trials, order), signal))
    ceiling = compute_ceiling(trials, order, method=method, metric=metric.__name__, n_splits=5)
    np.testing.assert_allclose(by_level(ceiling)[2:], score[2:], atol=0.03)
    # Trained on some repeats, tested on others: the ceiling is that of the test stimuli.
    fewer, numbers, _ = simulate(rng, np.full(400, 2))
    other = compute_ceiling(fewer, numbers, method=method, metric=metric.__name__, n_repeats=n_repeats)
    np.testing.assert_allclose(by_level(other)[2:], score[2:], atol=0.03)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_keep_the_digits_of_large_offsets(dtype, rng, monkeypatch):
    trials, order, _ = simulate(rng, rng.integers(1, 5, 60))
    expected = compute_ncsnr(trials, order)
    monkeypatch.setattr("neurovis.metrics.ceilings._VALUES", 700)
    chunked = compute_ncsnr((trials + 100).astype(dtype), order)
    np.testing.assert_allclose(chunked, expected, atol=1e-9 if dtype is np.float64 else 2e-3)


def test_silent_and_noise_free_neuroids():
    stimulus = np.repeat(np.arange(5), 2)
    trials = np.column_stack([np.full(10, 0.1, "f4"), stimulus])
    np.testing.assert_array_equal(compute_ncsnr(trials, stimulus), [0, np.inf])
    np.testing.assert_allclose(compute_split_half(trials, stimulus), [0, 1])
    for method in METHODS:
        np.testing.assert_allclose(compute_ceiling(trials, stimulus, method=method), [0, 1])
    np.testing.assert_array_equal(compute_ncsnr(trials.astype("f4") + 7, stimulus), [0, np.inf])


@pytest.mark.parametrize("function", [compute_ncsnr, compute_split_half, compute_leave_one_out])
def test_bad_trials(function, rng):
    trials = rng.normal(size=(12, 2))
    with pytest.raises(ValueError, match=r"one entry per row of responses \(12, 2\), got shape \(11,\)"):
        function(trials, np.arange(11))
    with pytest.raises(ValueError, match=r"12 stimuli shown at most 1 time\(s\); a ceiling needs repeats"):
        function(trials, np.arange(12))
    with pytest.raises(ValueError, match="responses must be finite, got 1 NaN"):
        function(np.where(trials == trials[0, 0], np.nan, trials), np.arange(12) // 2)


def test_bad_parameters():
    with pytest.raises(ValueError, match=r"metric must be .* got 'spearman_r'"):
        compute_noise_ceiling([1.0], 3, metric="spearman_r")
    with pytest.raises(ValueError, match=r"method must be .* got 'halves'"):
        compute_ceiling(np.eye(6), np.arange(6) // 2, method="halves")
    with pytest.raises(ValueError, match="ncsnr must not be NaN, got 1 NaN of 2"):
        compute_noise_ceiling([1.0, np.nan], 3)
    with pytest.raises(ValueError, match="n_repeats must be at least 1, got 0"):
        compute_noise_ceiling([1.0], [3, 0])
    with pytest.raises(ValueError, match="repeat at least 3 stimuli for a correlation over stimuli, got 2"):
        compute_split_half(np.eye(4), [0, 0, 1, 1])
