"""Is it more than chance, and how sure: permutation tests, false-discovery control, confidence intervals.

Permutation p-values are ``(b + 1) / (m + 1)`` with b of m null values at or above the observed one (Phipson &
Smyth, Stat Appl Genet Mol Biol 2010): never 0, and valid for any number of permutations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from neurovis.core import Metric, check_array, check_option, make_rng
from neurovis.metrics.regression import check_pair, pearson_r, standardise_columns
from neurovis.metrics.resampling import draw_counts, score_samples

_BLOCK = 256  # neuroids whose rows of all stimuli stay in cache while they are permuted
_TIE = 1e-10  # equal statistics differ by rounding when their rows are summed in another order


@dataclass(frozen=True)
class PermutationTest:
    """Observed scores with one-sided p-values.

    Parameters
    ----------
    observed : array of shape (k,)
        Score of the unpermuted prediction.
    p_value : array of shape (k,)
        Per neuroid, uncorrected; pass to :func:`compute_fdr`.
    p_value_max : array of shape (k,)
        Corrected over neuroids by the largest null score of each permutation (family-wise error).
    null_95 : array of shape (k,)
        95th percentile of the null of each neuroid.
    """

    observed: NDArray[np.float64]
    p_value: NDArray[np.float64]
    p_value_max: NDArray[np.float64]
    null_95: NDArray[np.float64]


def compute_permutation_test(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    metric: Metric = pearson_r,
    n_permutations: int = 1000,
    block_length: int = 1,
    seed: int = 0,
) -> PermutationTest:
    """Test predictions of held-out responses by permuting which row belongs to which.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Held-out responses and their predictions; one row per stimulus (average repeats first, since rows must
        be exchangeable under the null).
    metric : Metric
        Larger is better.
    n_permutations : int
        Permutations m; the same ones for every neuroid, so that the maximum keeps their dependence.
    block_length : int
        Rows per block that moves as one; above 1 for time series, longer than their autocorrelation.
    seed : int
        Seed of the permutations.

    Returns
    -------
    PermutationTest

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite, or there are fewer than four blocks.
    """
    observed, null = compute_permutation_null(
        truth,
        prediction,
        metric=metric,
        n_permutations=n_permutations,
        block_length=block_length,
        seed=seed,
    )
    return PermutationTest(
        observed,
        compute_p_value(observed, null),
        compute_p_value(observed, null.max(axis=1, keepdims=True)),
        np.percentile(null, 95, axis=0),
    )


def compute_permutation_null(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    metric: Metric = pearson_r,
    n_permutations: int = 1000,
    block_length: int = 1,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores as they are and under permutations, for tests of whole maps (:mod:`neurovis.metrics.cluster`).

    Parameters
    ----------
    truth, prediction, metric, n_permutations, block_length, seed
        As :func:`compute_permutation_test`.

    Returns
    -------
    observed : array of shape (k,)
    null : array of shape (n_permutations, k)

    Raises
    ------
    ValueError
        As :func:`compute_permutation_test`.
    """
    truth, prediction = check_pair(truth, prediction)
    n_blocks = -(-len(truth) // max(1, block_length))
    if block_length < 1 or n_blocks < 4:
        raise ValueError(
            f"block_length must leave at least 4 blocks of the {len(truth)} rows, got {block_length}; "
            "use shorter blocks or more rows."
        )
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}; 1000 are usual.")
    rng = make_rng(seed, "permutation")
    blocks = np.array_split(np.arange(len(truth)), np.arange(block_length, len(truth), block_length))
    orders = [
        np.concatenate([blocks[place] for place in rng.permutation(len(blocks))])
        for _ in range(n_permutations)
    ]
    observed = metric(truth, prediction)
    null = np.empty((n_permutations, len(observed)))
    for start in range(0, truth.shape[1], _BLOCK):
        own = slice(start, start + _BLOCK)
        score = _make_row_score(metric, truth[:, own], prediction[:, own])
        for number, order in enumerate(orders):
            null[number, own] = score(order)
    return observed, null


def compute_p_value(observed: ArrayLike, null: ArrayLike) -> NDArray[np.float64]:
    """One-sided permutation p: ``(1 + nulls at or above the observed value) / (1 + permutations)``.

    Parameters
    ----------
    observed : array of shape (k,) or float
        Statistic, larger is more extreme.
    null : array of shape (m, k), (m, 1) or (m,)
        Statistic under permutation.

    Returns
    -------
    array of shape (k,)
        In [1 / (m + 1), 1].

    Raises
    ------
    ValueError
        If a value is not finite or there is no permutation.
    """
    statistic = np.atleast_1d(check_array("observed", observed, dtype=np.float64))
    permuted = check_array("null", null, ndim=(1, 2), dtype=np.float64)
    if not len(permuted):
        raise ValueError("null must hold at least one permutation, got none; permute first.")
    at_least = statistic - _TIE * np.maximum(1, np.abs(statistic))
    reached = (permuted[:, None] if permuted.ndim == 1 else permuted) >= at_least
    return (1 + reached.sum(axis=0)) / (1 + len(permuted))


def compute_fdr(p_values: ArrayLike, *, method: str = "bh") -> NDArray[np.float64]:
    """Adjusted p-values that control the false-discovery rate: reject where they are at most the rate.

    Parameters
    ----------
    p_values : array of shape (k,)
        In [0, 1]; leave out neuroids that were not tested.
    method : {"bh", "by"}
        Benjamini & Hochberg (1995), for independent or positively dependent tests, or Benjamini & Yekutieli
        (2001), for any dependence.

    Returns
    -------
    array of shape (k,)

    Raises
    ------
    ValueError
        If a p-value is NaN or outside [0, 1].
    """
    check_option("method", method, ("bh", "by"))
    p_values = check_array("p_values", p_values, ndim=1, minimum=0, maximum=1, dtype=np.float64)
    return stats.false_discovery_control(p_values, method=method) if len(p_values) else p_values


def compute_bootstrap_ci(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    metric: Metric = pearson_r,
    level: float = 0.95,
    method: str = "percentile",
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence interval of a score over the sampling of stimuli, per neuroid.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Held-out responses and predictions; rows are resampled together.
    metric : Metric
        Score; a summary such as ``lambda t, p: np.median(pearson_r(t, p), keepdims=True)`` gives the interval
        of the summary.
    level : float
        Coverage, in (0, 1).
    method : {"percentile", "bca"}
        BCa corrects bias and skewness (Efron, JASA 1987), at the price of n more evaluations.
    n_bootstraps : int
        Samples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    low, high : array of shape (k,)

    Raises
    ------
    ValueError
        If shapes disagree, an option is unknown or the level is outside (0, 1).
    """
    check_option("method", method, ("percentile", "bca"))
    _check_level(level)
    truth, prediction = check_pair(truth, prediction)
    n = len(truth)
    counts = draw_counts(n, n_bootstraps, seed=seed)
    replicates = score_samples(metric, truth, prediction, counts)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])[:, None]
    if method == "bca":
        jackknife = score_samples(metric, truth, prediction, 1 - np.eye(n, dtype=int))
        tails = _correct_tails(tails, metric(truth, prediction), replicates, jackknife)
    replicates.sort(axis=0)
    place = np.broadcast_to(tails, (2, replicates.shape[1])) * (n_bootstraps - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, n_bootstraps - 1)
    lower, upper = (np.take_along_axis(replicates, index, axis=0) for index in (below, above))
    low, high = lower + (place - below) * (upper - lower)
    return low, high


def compute_summary_ci(
    values: ArrayLike,
    *,
    statistic: Callable[..., NDArray] = np.mean,
    level: float = 0.95,
    n_bootstraps: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """BCa bootstrap interval of a mean or median over independent values: subjects, seeds, folds.

    Parameters
    ----------
    values : array of shape (n,)
        Independent values, at least two.
    statistic : callable
        Takes ``axis``, e.g. ``np.mean`` or ``np.median``.
    level, n_bootstraps, seed
        As :func:`compute_bootstrap_ci`.

    Returns
    -------
    low, high : float
        Equal for equal values.

    Raises
    ------
    ValueError
        If there are fewer than two values or one is not finite.
    """
    _check_level(level)
    values = check_array("values", values, ndim=1, dtype=np.float64)
    if len(values) < 2:
        raise ValueError(f"values must hold at least 2 independent values, got {len(values)}; add some.")
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    result = stats.bootstrap(
        (values,),
        statistic,
        confidence_level=level,
        n_resamples=n_bootstraps,
        method="BCa",
        rng=make_rng(seed, "summary"),
    ).confidence_interval
    return float(result.low), float(result.high)


def compute_binomial_test(
    n_correct: int, n_total: int, *, chance: float, level: float = 0.95
) -> tuple[float, float, float]:
    """Exact one-sided p of an accuracy against chance, and its Wilson interval.

    Parameters
    ----------
    n_correct, n_total : int
        Correct and all independent predictions.
    chance : float
        Probability of a correct guess, in (0, 1).
    level : float
        Coverage of the interval.

    Returns
    -------
    p_value, low, high : float

    Raises
    ------
    ValueError
        If the counts or the chance are impossible.

    Notes
    -----
    Cross-validated predictions of one data set are not quite independent; a permutation null that refits
    (:func:`neurovis.decoding.classification.compute_permutation_null`) is the safer test.
    """
    _check_level(level)
    if not 0 <= n_correct <= n_total or n_total < 1 or not 0 < chance < 1:
        raise ValueError(
            f"n_correct, n_total and chance must satisfy 0 <= n_correct <= n_total, n_total >= 1 and "
            f"0 < chance < 1, got {n_correct}, {n_total} and {chance}; pass counts, not percentages."
        )
    result = stats.binomtest(int(n_correct), int(n_total), chance, alternative="greater")
    both_sides = stats.binomtest(int(n_correct), int(n_total), chance)
    interval = both_sides.proportion_ci(level, method="wilson")
    return float(result.pvalue), float(interval.low), float(interval.high)


def _make_row_score(
    metric: Metric, truth: NDArray[np.float64], prediction: NDArray[np.float64]
) -> Callable[[NDArray[np.intp]], NDArray[np.float64]]:
    """Score as a function of the order of the rows of the truth; correlations standardise once."""
    if metric is pearson_r:
        truth, prediction = standardise_columns(truth), standardise_columns(prediction)
        return lambda order: np.einsum("ij,ij->j", truth[order], prediction)
    return lambda order: metric(truth[order], prediction)


def _correct_tails(
    tails: NDArray[np.float64],
    observed: NDArray[np.float64],
    replicates: NDArray[np.float64],
    jackknife: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Percentiles of the BCa interval (2, k) from those of the plain one (Efron 1987)."""
    n_samples = len(replicates)
    share = ((replicates < observed).sum(axis=0) + (replicates <= observed).sum(axis=0)) / (2 * n_samples)
    bias = stats.norm.ppf(np.clip(share, 0.5 / n_samples, 1 - 0.5 / n_samples))
    deviation = jackknife.mean(axis=0) - jackknife
    spread = (deviation**2).sum(axis=0) ** 1.5
    acceleration = np.divide(
        (deviation**3).sum(axis=0), 6 * spread, out=np.zeros_like(spread), where=spread > 0
    )
    shifted = bias + stats.norm.ppf(tails)
    return stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}; 0.95 is usual.")
