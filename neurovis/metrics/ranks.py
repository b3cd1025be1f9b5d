"""Ranks of long vectors and Kendall's tau-a, by sorting and counting whole arrays at once.

A vector of dissimilarities has hundreds of thousands of entries. Ranks follow from one unstable sort, since
tied entries share their mean rank in any order; discordant pairs are the inversions of one vector in the
order of the other (Knight, J Am Stat Assoc 1966), counted while sorted runs are merged many at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RUN = 64  # entries compared each with each; also the step of the histograms
_FAN = 127  # runs merged at once: their numbers fit into a signed byte


@dataclass(frozen=True)
class DenseRanks:
    """A vector as whole numbers in the order of its values, equal for ties.

    Parameters
    ----------
    ranks : array of int of shape (n,)
        0, 1, ... without gaps.
    n_tied : int
        Pairs of entries with equal values.
    """

    ranks: NDArray[np.int64]
    n_tied: int


def rank_rows(values: NDArray) -> NDArray[np.float64]:
    """Ranks within each row, ties given their mean rank.

    Parameters
    ----------
    values : array of shape (n_rows, n)
        Finite.

    Returns
    -------
    array of shape (n_rows, n)
        In [1, n]; whole or half numbers.
    """
    ranks = np.empty(values.shape)
    places = np.arange(1.0, values.shape[1] + 1)
    for row, own in zip(ranks, values, strict=True):
        order = np.argsort(own)
        starts = _find_starts(own[order])
        if len(starts) == len(own):
            row[order] = places
        else:
            ends = np.append(starts[1:], len(own))
            row[order] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    return ranks


def rank_densely(values: NDArray) -> DenseRanks:
    """Dense ranks of one vector and its number of tied pairs.

    Parameters
    ----------
    values : array of shape (n,)
        Finite.
    """
    order = np.argsort(values)
    starts = _find_starts(values[order])
    sizes = np.diff(np.append(starts, len(values)))
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.repeat(np.arange(len(starts)), sizes)
    return DenseRanks(ranks, int((sizes * (sizes - 1) // 2).sum()))


def compute_tau_a(a: DenseRanks, b: DenseRanks) -> float:
    """Kendall's tau-a: concordant minus discordant pairs over all pairs.

    Parameters
    ----------
    a, b : DenseRanks
        From :func:`rank_densely`, of vectors of equal length ``n >= 2``.

    Returns
    -------
    float
        In [-1, 1]; 0 if a vector is constant.
    """
    n, base = len(a.ranks), int(b.ranks.max()) + 1
    # Sorted by a and then by b: pairs tied in a are in order, pairs tied in both are equal.
    keys = np.sort(a.ranks * base + b.ranks)
    sizes = np.diff(np.append(_find_starts(keys), n))
    n_both = int((sizes * (sizes - 1) // 2).sum())
    n_pairs = n * (n - 1) // 2
    untied = n_pairs - a.n_tied - b.n_tied + n_both
    return (untied - 2 * count_inversions(keys % base)) / n_pairs


def count_inversions(values: NDArray[np.integer]) -> int:
    """Number of pairs ``i < j`` with ``values[i] > values[j]``.

    Parameters
    ----------
    values : array of int of shape (n,)
        At least 0.

    Returns
    -------
    int
    """
    n_runs = -(-len(values) // _RUN)
    n_levels = max(1, int(np.ceil(np.log(max(n_runs, 2)) / np.log(_FAN) - 1e-12)))
    fan = max(2, int(np.ceil(n_runs ** (1 / n_levels) - 1e-9)))
    top = int(values.max(initial=0))
    kind: Any = np.int32 if (top + 1) * fan < 2**31 else np.int64
    # The largest value at the end adds no inversion.
    padded = np.full(_RUN * fan**n_levels, top, dtype=kind)
    padded[: len(values)] = values
    count, size = _count_within_runs(padded), _RUN
    for _ in range(n_levels):
        keys = (padded.reshape(-1, fan, size) * fan + np.arange(fan, dtype=kind)[:, None]).reshape(
            -1, fan * size
        )
        keys.sort(axis=1)
        padded = keys // fan
        # In order of the values, an entry of a later run before one of an earlier run is an inversion.
        run = keys - fan * padded
        count += _count_within_runs(run.astype(np.int8)) + _count_between_runs(run, fan)
        size *= fan
    return count


def _find_starts(ordered: NDArray) -> NDArray[np.intp]:
    """Where each group of equal entries begins."""
    return np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])


def _count_within_runs(values: NDArray) -> int:
    columns = np.ascontiguousarray(values.reshape(-1, _RUN).T)
    return sum(int(np.count_nonzero(columns[:-lag] > columns[lag:])) for lag in range(1, _RUN))


def _count_between_runs(numbers: NDArray, n_numbers: int) -> int:
    """Inversions within each row of small numbers between entries more than a run apart."""
    n_rows, length = numbers.shape
    cells = np.repeat(np.arange(n_rows * length // _RUN) * n_numbers, _RUN) + numbers.ravel()
    counts = np.bincount(cells, minlength=n_rows * length // _RUN * n_numbers)
    counts = counts.reshape(n_rows, length // _RUN, n_numbers)
    earlier = counts.cumsum(axis=1) - counts
    smaller = counts.cumsum(axis=2) - counts
    return int((earlier * smaller).sum())
