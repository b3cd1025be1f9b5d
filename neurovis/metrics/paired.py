"""Two predictions of the same responses: how sure is the difference of their scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import Metric, check_array, make_rng
from neurovis.metrics.regression import check_pair, pearson_r, standardise_columns
from neurovis.metrics.resampling import draw_counts, score_samples
from neurovis.metrics.significance import compute_p_value

_BLOCK = 2048  # neuroids at a time: keeps samples x neuroids small


@dataclass(frozen=True)
class PairedTest:
    """Difference of the scores of two predictions.

    Parameters
    ----------
    difference : array of shape (k,)
        First minus second.
    low, high : array of shape (k,)
        Percentile interval.
    p_value : array of shape (k,)
        Two-sided, uncorrected.
    """

    difference: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p_value: NDArray[np.float64]


def compute_paired_bootstrap(
    truth: ArrayLike,
    prediction_a: ArrayLike,
    prediction_b: ArrayLike,
    *,
    metric: Metric = pearson_r,
    summary: Callable[[NDArray], NDArray] | None = None,
    level: float = 0.95,
    n_bootstraps: int = 1000,
    block_length: int = 1,
    seed: int = 0,
) -> PairedTest:
    """Resample rows, the same for both predictions, and look at the difference of the scores.

    Parameters
    ----------
    truth, prediction_a, prediction_b : array of shape (n, k)
        Held-out responses and two predictions of them.
    metric : Metric
        Larger is better.
    summary : callable, optional
        Of scores (n_samples, k) to (n_samples, m), before the difference is taken: the difference of medians
        is not the median of differences. One value per neuroid without it.
    level : float
        Coverage of the interval, in (0, 1).
    n_bootstraps, block_length, seed : int
        As :func:`neurovis.metrics.resampling.draw_counts`.

    Returns
    -------
    PairedTest
        ``p_value`` is twice the smaller share of samples on one side of 0, with one added to each count.

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite or an option is out of range.

    Notes
    -----
    The interval is about new stimuli, for the fitted models as they are; it does not hold the noise of
    training. With few rows percentile intervals are somewhat short.
    """
    truth, a = check_pair(truth, prediction_a)
    b = check_pair(truth, prediction_b)[1]
    counts = draw_counts(len(truth), n_bootstraps, block_length=block_length, seed=seed)
    counts = np.vstack([np.ones((1, len(truth)), dtype=int), counts])
    if summary is not None:
        scores = (summary(score_samples(metric, truth, prediction, counts)) for prediction in (a, b))
        return compare_samples(*scores, level=level)
    tests = [
        compare_samples(
            *(score_samples(metric, truth[:, own], part[:, own], counts) for part in (a, b)), level=level
        )
        for own in (slice(start, start + _BLOCK) for start in range(0, truth.shape[1], _BLOCK))
    ]
    fields = ("difference", "low", "high", "p_value")
    return PairedTest(*(np.concatenate([getattr(test, name) for test in tests]) for name in fields))


def compare_samples(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> PairedTest:
    """Difference of two statistics from their values in the same bootstrap samples.

    Parameters
    ----------
    a, b : array of shape (1 + n_samples, m)
        The statistic on the data as they are, then in every sample.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    PairedTest

    Raises
    ------
    ValueError
        If shapes differ or the level is impossible.
    """
    first = check_array("a", a, ndim=2, dtype=np.float64)
    second = check_array("b", b, shape=first.shape, dtype=np.float64)
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}; 0.95 is usual.")
    observed, samples = (first - second)[0], (first - second)[1:]
    low, high = np.percentile(samples, [50 * (1 - level), 50 * (1 + level)], axis=0)
    smaller = np.minimum((samples <= 0).sum(axis=0), (samples >= 0).sum(axis=0))
    return PairedTest(observed, low, high, np.minimum(2 * (1 + smaller) / (1 + len(samples)), 1.0))


def compute_swap_test(
    truth: ArrayLike,
    prediction_a: ArrayLike,
    prediction_b: ArrayLike,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Test the difference of two correlations by swapping the predictions of random rows.

    Parameters
    ----------
    truth, prediction_a, prediction_b : array of shape (n, k)
        Held-out responses and two predictions of them; one row per stimulus.
    n_permutations, seed : int
        Random sets of swapped rows, the same for every neuroid.

    Returns
    -------
    difference : array of shape (k,)
        Pearson r of the first minus that of the second.
    p_value : array of shape (k,)
        Two-sided, in [1 / (n_permutations + 1), 1].

    Raises
    ------
    ValueError
        If shapes disagree or a value is not finite.

    Notes
    -----
    Predictions are standardised first, since a correlation does not know their scale. The null is that the
    two predictions of a stimulus could be exchanged, which is more than equal correlations.
    """
    truth, a = check_pair(truth, prediction_a)
    b = check_pair(truth, prediction_b)[1]
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}; 1000 are usual.")
    swapped = make_rng(seed, "swap").integers(0, 2, size=(n_permutations, len(truth)))
    swapped = np.vstack([np.zeros((1, len(truth)), dtype=int), swapped]).astype(np.float64)
    difference, p_value = np.empty((2, truth.shape[1]))
    for start in range(0, truth.shape[1], _BLOCK):
        own = slice(start, start + _BLOCK)
        t, one, two = (standardise_columns(values[:, own]) for values in (truth, a, b))
        scores = _correlate_mixed(t, one, two, swapped) - _correlate_mixed(t, two, one, swapped)
        difference[own] = scores[0]
        p_value[own] = compute_p_value(np.abs(scores[0]), np.abs(scores[1:]))
    return difference, p_value


def _correlate_mixed(
    truth: NDArray[np.float64], own: NDArray[np.float64], other: NDArray[np.float64], swapped: NDArray
) -> NDArray[np.float64]:
    """Correlation with ``own`` where some rows are those of ``other``; all columns standardised before."""

    def mix(kept: NDArray, taken: NDArray) -> NDArray[np.float64]:
        return kept.sum(axis=0) + swapped @ (taken - kept)

    mean = mix(own, other) / len(truth)
    length = np.sqrt(np.maximum(mix(own**2, other**2) - len(truth) * mean**2, 0))
    product = mix(truth * own, truth * other)
    return np.divide(product, length, out=np.zeros_like(product), where=length > 1e-9)
