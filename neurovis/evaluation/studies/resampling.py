"""Permutations and bootstraps over the cases of a study: runs, trials, stimuli."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array


def permute_within(groups: ArrayLike, rng: np.random.Generator) -> NDArray[np.intp]:
    """Row order that shuffles rows inside each group and leaves every row in its group.

    Parameters
    ----------
    groups : array of shape (n,)
        What rows are exchangeable within, e.g. the run of each block.
    rng : numpy.random.Generator
        As from :func:`neurovis.core.make_rng`.
    """
    groups = np.asarray(groups)
    order = np.arange(len(groups))
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        order[rows] = rng.permutation(rows)
    return order


def compute_bootstrap_ci(
    statistic: Callable[[NDArray[np.intp]], ArrayLike],
    n: int,
    rng: np.random.Generator,
    *,
    n_bootstraps: int = 1000,
) -> NDArray[np.float64]:
    """Percentile interval (95 %) of a statistic over resampled cases.

    Parameters
    ----------
    statistic : callable
        Rows (n,), drawn with replacement, to a number or an array of numbers.
    n : int
        Number of cases.
    rng : numpy.random.Generator
        As from :func:`neurovis.core.make_rng`.
    n_bootstraps : int
        Resamples.

    Returns
    -------
    array of shape (2, ...)
        Lower and upper ends.

    Raises
    ------
    ValueError
        If there are fewer than two cases or a resample gives no finite number.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2 cases to resample, got {n}; report the number without it.")
    draws = np.array([statistic(rng.integers(n, size=n)) for _ in range(n_bootstraps)], dtype=float)
    return np.percentile(check_array("statistic", draws), [2.5, 97.5], axis=0)
