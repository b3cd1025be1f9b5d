"""Single trials brought to one scale: z-scored per neuroid with the statistics of reference trials."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array

_BLOCK = 1024  # neuroids at a time: keeps float64 copies of the trials small


def zscore_trials(trials: ArrayLike, reference: ArrayLike) -> tuple[NDArray, NDArray[np.bool_]]:
    """Z-score every neuroid with mean and standard deviation of the reference trials.

    Parameters
    ----------
    trials : array of shape (n, k)
        Trials of one session, finite.
    reference : array of bool, shape (n,)
        Trials that give the statistics, at least two.

    Returns
    -------
    z : array of shape (n, k)
        float32 for float32 trials, else float64; 0 where the neuroid is constant.
    varies : array of bool, shape (k,)
        False for neuroids that are constant over the reference trials.

    Raises
    ------
    ValueError
        If shapes disagree, a trial is not finite or there are fewer than two reference trials.
    """
    values = check_array("trials", trials, ndim=2)
    chosen = np.asarray(reference)
    if chosen.shape != (len(values),) or chosen.dtype != bool or chosen.sum() < 2:
        raise ValueError(
            f"reference must be a boolean mask of the {len(values)} trials with at least 2 chosen, got "
            f"{chosen.dtype} of shape {chosen.shape} with {int(np.count_nonzero(chosen))} chosen."
        )
    z = np.empty(values.shape, dtype=np.float32 if values.dtype == np.float32 else np.float64)
    varies = np.empty(values.shape[1], dtype=bool)
    for start in range(0, values.shape[1], _BLOCK):
        own = slice(start, start + _BLOCK)
        block = values[:, own].astype(np.float64)
        used = block[chosen]
        mean, sd = used.mean(axis=0), used.std(axis=0)
        varies[own] = sd > 1e-12 * np.maximum(np.abs(used).max(axis=0), np.finfo(np.float32).tiny)
        block -= mean
        z[:, own] = np.divide(block, sd, out=np.zeros_like(block), where=varies[own])
    return z, varies
