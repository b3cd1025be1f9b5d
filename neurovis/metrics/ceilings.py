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

_BLOCK = 4096  # neuroids at a time: keeps float64 copies of the trials small


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
    responses, group, n_repeats = _check_trials(responses, stimulus_id)
    ncsnr = np.empty(responses.shape[1])
    for start in range(0, responses.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        ncsnr[block] = _ncsnr_of_block(responses[:, block].astype(np.float64), group, n_repeats)
    return ncsnr


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


def _check_trials(
    responses: ArrayLike, stimulus_id: ArrayLike
) -> tuple[NDArray, NDArray[np.intp], NDArray[np.intp]]:
    """Trials, the stimulus number of each, and the repeats of each stimulus."""
    responses = check_array("responses", responses, ndim=2, remedy="drop incomplete trials first")
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


def _ncsnr_of_block(
    responses: NDArray[np.float64], group: NDArray[np.intp], n_repeats: NDArray[np.intp]
) -> NDArray[np.float64]:
    n, n_stimuli = len(responses), len(n_repeats)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(n_repeats)[:-1]])
    centred = responses - responses.mean(axis=0)
    means = np.add.reduceat(centred[order], starts, axis=0) / n_repeats[:, None]
    total = (centred**2).sum(axis=0)
    between = (n_repeats[:, None] * means**2).sum(axis=0)
    rounding = n * (4 * np.finfo(np.float64).eps * np.abs(responses).max(axis=0)) ** 2
    within = np.maximum(total - between, 0.0)
    within[within <= np.maximum(rounding, 1e-15 * total)] = 0.0
    noise = within / (n - n_stimuli)
    signal = (between - (n_stimuli - 1) * noise) / (n - (n_repeats**2).sum() / n)
    signal = np.where(total > rounding, np.maximum(signal, 0.0), 0.0)
    ratio = np.full(len(total), np.inf)
    np.divide(signal, noise, out=ratio, where=noise > 0)
    return np.sqrt(np.where(signal > 0, ratio, 0.0))


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
