"""Noise ceilings per neuroid from repeated presentations, in the metric of the score they divide.

Model: a trial is ``signal(stimulus) + noise`` with independent noise of constant variance per neuroid.
``ncsnr`` is the signal's standard deviation over stimuli divided by the noise's over repeats (Allen et al.,
Nature Neuroscience 2022, methods, "noise ceiling"); everything else follows from it or is checked against it.

Trials come as ``responses (n_presentations, k)`` with ``stimulus_id (n_presentations,)``, in any order and
with any number of repeats per stimulus. Neuroids without variance have ncsnr, reliability and ceiling 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, make_rng
from neurovis.metrics.regression import pearson_r

_VALUES = 600_000  # of a chunk of stimuli: what stays in cache between its sums
METHODS = ("ncsnr", "split_half", "leave_one_out")


def compute_ncsnr(responses: ArrayLike, stimulus_id: ArrayLike) -> NDArray[np.float64]:
    """Signal standard deviation over noise standard deviation of a single trial.

    The noise variance is the variance over repeats pooled over stimuli; the signal variance is the total
    variance minus the noise variance, floored at 0.

    Parameters
    ----------
    responses : array of shape (n_presentations, k)
        Single trials in any unit; drifts between sessions should be gone (z-score within sessions).
    stimulus_id : array of shape (n_presentations,)
        What was shown in each trial.

    Returns
    -------
    array of shape (k,)
        At least 0, infinite for a neuroid with signal but exactly equal repeats, 0 for a constant one.

    Raises
    ------
    ValueError
        If a trial is not finite, the lengths differ, fewer than two stimuli were shown or none twice.

    Notes
    -----
    The paper takes the total variance to be 1 after z-scoring and averages the variance over images that
    were all shown three times. Here the total variance is measured, and both terms are weighted by their
    degrees of freedom, which makes the estimate of the signal variance that of a one-way random-effects
    analysis of variance: unbiased for unequal repeats. With z-scored trials and equal repeats the two
    agree up to terms of order 1 / n_presentations.
    """
    responses, group, n_repeats = _check_trials(responses, stimulus_id, finite=False)
    n, n_stimuli = len(responses), len(n_repeats)
    with np.errstate(invalid="ignore", over="ignore"):
        total, between, largest = _sum_squares(responses, group, n_repeats)
    if not np.isfinite(total).all():
        check_array("responses", responses, remedy="drop incomplete trials first")
    # What rounding leaves of equal trials.
    rounding = n * (4 * np.finfo(responses.dtype).eps * largest) ** 2
    within = np.maximum(total - between, 0.0)
    within[within <= np.maximum(rounding, 1e-15 * total)] = 0.0
    noise = within / (n - n_stimuli)
    signal = (between - (n_stimuli - 1) * noise) / (n - (n_repeats**2).sum() / n)
    signal = np.where(total > rounding, np.maximum(signal, 0.0), 0.0)
    ratio = np.full(len(total), np.inf)
    np.divide(signal, noise, out=ratio, where=noise > 0)
    return np.sqrt(np.where(signal > 0, ratio, 0.0))


def compute_noise_ceiling(
    ncsnr: ArrayLike, n_repeats: ArrayLike, *, metric: str = "explained_variance"
) -> NDArray[np.float64]:
    """Best expected score on the mean of repeats, given the signal-to-noise ratio of one trial.

    The fraction of the variance of the mean that the stimulus drives is
    ``NC = ncsnr**2 / (ncsnr**2 + mean(1 / n_repeats))`` (Allen et al. 2022); a perfect model of the
    signal reaches R^2 = NC and a correlation of sqrt(NC).

    Parameters
    ----------
    ncsnr : array of shape (k,)
        Signal sd / noise sd of a single trial, at least 0; see :func:`compute_ncsnr`.
    n_repeats : int or array of shape (n_stimuli,)
        Trials averaged in each test stimulus; mixed numbers enter through their mean reciprocal.
    metric : {"explained_variance", "r2", "pearson_r"}
        Metric of the score that will be divided by the ceiling.

    Returns
    -------
    array of shape (k,)
        In [0, 1].

    Raises
    ------
    ValueError
        If ``ncsnr`` is negative or NaN, a number of repeats is below 1, or the metric has no known ceiling.
    """
    check_option(
        "metric",
        metric,
        ("explained_variance", "r2", "pearson_r"),
        remedy="other metrics have no closed form; use split halves",
    )
    snr = check_array("ncsnr", ncsnr, finite=False, minimum=0, dtype=np.float64)
    if np.isnan(snr).any():
        raise ValueError(
            f"ncsnr must not be NaN, got {int(np.isnan(snr).sum())} NaN of {snr.size}; drop those neuroids."
        )
    repeats = np.atleast_1d(check_array("n_repeats", n_repeats, ndim=(0, 1), minimum=1, dtype=np.float64))
    noise = np.mean(1 / repeats)
    with np.errstate(divide="ignore"):
        ceiling = 1 / (1 + noise / snr**2)
    return np.sqrt(ceiling) if metric == "pearson_r" else ceiling


def compute_split_half(
    responses: ArrayLike,
    stimulus_id: ArrayLike,
    *,
    n_splits: int = 20,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Reliability of the mean over all repeats, from correlations between halves of the repeats.

    In each split the repeats of every stimulus fall at random into two halves of equal size (one repeat is
    left out where their number is odd). The mean correlation over splits is stepped up from the halves to
    all repeats with the Spearman-Brown formula.

    Parameters
    ----------
    responses : array of shape (n_presentations, k)
        Single trials in any unit.
    stimulus_id : array of shape (n_presentations,)
        What was shown in each trial; stimuli shown once are left out.
    n_splits : int
        Random splits, at least 1.
    seed : int
        Seed of the splits.

    Returns
    -------
    array of shape (k,)
        In [-1, 1]; the share of variance of the mean that is signal, comparable with
        ``compute_noise_ceiling(..., metric="r2")``. Its square root is the ceiling in Pearson r.

    Raises
    ------
    ValueError
        As :func:`compute_ncsnr`, or if fewer than three stimuli were repeated.

    Notes
    -----
    Spearman-Brown is written for mixed repeats: with ``q = mean(1 / n) / mean(1 / n_half)``, the reliability
    is ``r / (r + (1 - r) q)``, which is ``2 r / (1 + r)`` for even numbers. A negative correlation keeps its
    sign and is stepped up by its size, so that noise stays symmetric around 0.
    """
    if n_splits < 1:
        raise ValueError(f"n_splits must be at least 1, got {n_splits}; 20 are usually enough.")
    responses, group, n_repeats = _check_trials(responses, stimulus_id)
    rows = _rows_by_repeat(group, n_repeats)
    rng = make_rng(seed, "split-half")
    r = np.zeros(responses.shape[1])
    for _ in range(n_splits):
        shuffled = [rng.permutation(own) for own in rows]
        first = _mean_of_rows(responses, [own[: len(own) // 2] for own in shuffled])
        second = _mean_of_rows(responses, [own[len(own) // 2 : len(own) // 2 * 2] for own in shuffled])
        r += pearson_r(first, second) / n_splits
    n = np.array([len(own) for own in rows])
    q = np.mean(1 / n) / np.mean(1 / (n // 2))
    size = np.abs(r)
    return np.sign(r) * size / (size + (1 - size) * q)


def compute_leave_one_out(
    responses: ArrayLike, stimulus_id: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds on the ceiling of single trials, in Pearson r: one repeat against the mean of the others.

    The correlation of a left-out repeat with the mean of the others is what a predictor with that mean's
    noise reaches, hence a lower bound; with the mean of all repeats, itself included, it is an upper bound.

    Parameters
    ----------
    responses : array of shape (n_presentations, k)
        Single trials in any unit.
    stimulus_id : array of shape (n_presentations,)
        What was shown in each trial; stimuli shown once are left out.

    Returns
    -------
    lower, upper : array of shape (k,)
        Means over the repeats that every repeated stimulus has; the ceiling of one trial lies between them.

    Raises
    ------
    ValueError
        As :func:`compute_split_half`.
    """
    responses, group, n_repeats = _check_trials(responses, stimulus_id)
    rows = _rows_by_repeat(group, n_repeats)
    everything = _mean_of_rows(responses, rows)
    n_common = min(len(own) for own in rows)
    lower, upper = np.zeros(responses.shape[1]), np.zeros(responses.shape[1])
    for left_out in range(n_common):
        single = responses[[own[left_out] for own in rows]]
        others = _mean_of_rows(responses, [np.delete(own, left_out) for own in rows])
        lower += pearson_r(single, others) / n_common
        upper += pearson_r(single, everything) / n_common
    return lower, upper


def compute_ceiling(
    responses: ArrayLike,
    stimulus_id: ArrayLike,
    *,
    method: str = "ncsnr",
    metric: str = "pearson_r",
    n_repeats: ArrayLike | None = None,
    n_splits: int = 20,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Ceiling of a score on the mean of repeats, in the metric of the score, from any of three estimates.

    Each estimate is turned into the ratio of signal to noise of one trial, and this into the ceiling of
    :func:`compute_noise_ceiling`; with the same metric and repeats the three estimate the same number.

    Parameters
    ----------
    responses : array of shape (n_presentations, k)
        Single trials in any unit.
    stimulus_id : array of shape (n_presentations,)
        What was shown in each trial.
    method : {"ncsnr", "split_half", "leave_one_out"}
        Analysis of variance (:func:`compute_ncsnr`), stepped-up correlation of halves
        (:func:`compute_split_half`), or correlation of a repeat with the mean of the others
        (the lower bound of :func:`compute_leave_one_out`).
    metric : {"pearson_r", "r2", "explained_variance"}
        Metric of the score that will be divided by the ceiling.
    n_repeats : int or array of shape (n_test_stimuli,), optional
        Trials averaged in each test stimulus; by default those of ``responses``.
    n_splits, seed : int
        Random splits of ``method="split_half"``.

    Returns
    -------
    array of shape (k,)
        In [0, 1]; 0 where the estimate is negative.

    Raises
    ------
    ValueError
        As :func:`compute_split_half`, or if an option is unknown.

    Notes
    -----
    With ``x`` the ratio of signal to noise variance of one trial, a repeat correlates with the mean of m
    others as ``r = x / sqrt((x + 1) (x + 1 / m))``, which is solved for x. Numbers of others that differ
    between stimuli enter through their mean reciprocal.
    """
    check_option("method", method, METHODS)
    counts = np.unique(np.asarray(stimulus_id), return_counts=True)[1]
    repeated = counts[counts > 1]
    if method == "ncsnr":
        ncsnr = compute_ncsnr(responses, stimulus_id)
    elif method == "split_half":
        share = compute_split_half(responses, stimulus_id, n_splits=n_splits, seed=seed).clip(0, 1)
        with np.errstate(divide="ignore"):
            ncsnr = np.sqrt(np.mean(1 / repeated) * share / (1 - share))
    else:
        square = compute_leave_one_out(responses, stimulus_id)[0].clip(0, 1) ** 2
        others = np.mean(1 / (repeated - 1))
        half = square * (1 + others) / 2
        with np.errstate(divide="ignore"):
            ncsnr = np.sqrt((half + np.sqrt(half**2 + (1 - square) * square * others)) / (1 - square))
    return compute_noise_ceiling(ncsnr, counts if n_repeats is None else n_repeats, metric=metric)


def _check_trials(
    responses: ArrayLike, stimulus_id: ArrayLike, *, finite: bool = True
) -> tuple[NDArray, NDArray[np.intp], NDArray[np.intp]]:
    """Trials, the stimulus number of each, and the repeats of each stimulus."""
    responses = check_array(
        "responses", responses, ndim=2, finite=finite, remedy="drop incomplete trials first"
    )
    if responses.dtype not in (np.float32, np.float64):
        responses = responses.astype(np.float64)
    stimulus_id = np.asarray(stimulus_id)
    if stimulus_id.shape != (len(responses),):
        raise ValueError(
            f"stimulus_id must have one entry per row of responses {responses.shape}, "
            f"got shape {stimulus_id.shape}; pass single trials, not averages."
        )
    _, group, n_repeats = np.unique(stimulus_id, return_inverse=True, return_counts=True)
    if len(n_repeats) < 2 or n_repeats.max() < 2:
        raise ValueError(
            f"stimulus_id must name at least 2 stimuli, one of them repeated, got {len(n_repeats)} stimuli "
            f"shown at most {n_repeats.max(initial=0)} time(s); a ceiling needs repeats."
        )
    return responses, group, n_repeats


def _sum_squares(
    responses: NDArray, group: NDArray[np.intp], n_repeats: NDArray[np.intp]
) -> tuple[NDArray[np.float64], ...]:
    """Sums of squares about the grand mean, of trials and of stimuli, and a bound on the absolute values.

    One pass over the trials, in chunks that stay in cache. Differences are taken in the type of the trials,
    sums over chunks in float64; taking out a first guess of the mean keeps their digits.
    """
    k = responses.shape[1]
    guess = responses[:16].mean(axis=0, dtype=np.float64).astype(responses.dtype)
    total, between, mean = np.zeros((3, k))
    order = np.argsort(group, kind="stable")
    starts = np.cumsum(n_repeats) - n_repeats
    step = max(1, _VALUES // k)
    # New memory for every chunk would cost as much as the arithmetic.
    all_trials, all_sums = np.empty((2, step, k), dtype=responses.dtype)
    for times in np.unique(n_repeats):
        rows = order[starts[n_repeats == times][:, None] + np.arange(times)]
        for chunk in (rows[first : first + step] for first in range(0, len(rows), step)):
            trials, sums = all_trials[: len(chunk)], all_sums[: len(chunk)]
            for number, repeat in enumerate(chunk.T):
                np.take(responses, repeat, axis=0, out=trials, mode="clip")
                trials -= guess
                total += np.einsum("ij,ij->j", trials, trials)
                if number == 0:
                    sums[:] = trials
                else:
                    sums += trials
            between += np.einsum("ij,ij->j", sums, sums) / times
            mean += sums.sum(axis=0)
    offset = mean**2 / len(responses)
    return total - offset, between - offset, np.abs(guess) + np.sqrt(total)


def _rows_by_repeat(group: NDArray[np.intp], n_repeats: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Rows of each stimulus that was shown at least twice, in order of presentation."""
    order = np.argsort(group, kind="stable")
    rows = [own for own in np.split(order, np.cumsum(n_repeats)[:-1]) if len(own) >= 2]
    if len(rows) < 3:
        raise ValueError(
            f"stimulus_id must repeat at least 3 stimuli for a correlation over stimuli, got {len(rows)}; "
            "use compute_ncsnr instead."
        )
    return rows


def _mean_of_rows(responses: NDArray, rows: list[NDArray[np.intp]]) -> NDArray[np.float64]:
    sizes = np.array([len(own) for own in rows])
    gathered = responses[np.concatenate(rows)].astype(np.float64, copy=False)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return np.add.reduceat(gathered, starts, axis=0) / sizes[:, None]
