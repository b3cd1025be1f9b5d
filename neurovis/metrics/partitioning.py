"""How much of a response each feature space explains: product measure, unique and shared variance.

All rows enter as deviations from their mean, so that an offset neither adds nor takes. With ``y`` the
response and ``p`` a prediction, the explained variance is ``(2 cov(y, p) - var(p)) / var(y)``, which equals
R^2 where the prediction has the mean of the truth.

- *Product measure*: a joint linear model predicts ``p = sum_s p_s``. The share of space s is
  ``(2 cov(y, p_s) - cov(p_s, p)) / var(y)``; shares sum to the explained variance of p exactly (Pratt's
  measure in the form for held-out data of Dupre la Tour et al., NeuroImage 2022).
- *Unique variance*: explained variance of the model of all spaces minus that of the model refitted without s.
- *Venn regions*: from models of every subset of spaces, what is explained by each space of a set and by none
  outside it (Lescroart et al., Front Comput Neurosci 2015). A region is negative where spaces suppress each
  other or overfit; that is information, and nothing is clipped here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.regression import check_pair, standardise_columns

_MOST_SPACES = 12  # 4095 subsets


def compute_explained_share(
    truth: ArrayLike, part: ArrayLike, whole: ArrayLike, *, counts: ArrayLike | None = None
) -> NDArray[np.float64]:
    """``(2 cov(y, part) - cov(part, whole)) / var(y)`` per neuroid, also over resampled rows.

    Parameters
    ----------
    truth, part, whole : array of shape (n, k)
        Measured responses, contribution of one space, and the prediction that it is a part of. With
        ``part = whole`` this is the explained variance of the prediction.
    counts : array of int of shape (n_samples, n), optional
        How often each row is drawn in each bootstrap sample.

    Returns
    -------
    array of shape (k,), or (n_samples, k) with counts
        0 where the truth is constant.

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite or there are fewer than two rows.
    """
    y, a = check_pair(truth, part)
    b = check_pair(truth, whole)[1]
    drawn = np.ones((1, len(y))) if counts is None else check_array("counts", counts, dtype=np.float64)
    if drawn.ndim != 2 or drawn.shape[1] != len(y):
        raise ValueError(
            f"counts must have shape (n_samples, {len(y)}), got {drawn.shape}; draw them with multinomial."
        )
    # What rounding leaves of a constant truth has no share.
    varies = standardise_columns(y).any(axis=0)
    y, a, b = (values - values.mean(axis=0) for values in (y, a, b))
    weights = drawn / drawn.sum(axis=1, keepdims=True)
    y_mean, a_mean = weights @ y, weights @ a
    explained = 2 * (weights @ (y * a) - y_mean * a_mean)
    explained -= weights @ (a * b) - a_mean * (weights @ b)
    variance = weights @ y**2 - y_mean**2
    varies = varies & (variance > 1e-12 * (y**2).mean(axis=0))
    share = np.divide(explained, variance, out=np.zeros_like(explained), where=varies)
    return share[0] if counts is None else share


def compute_product_measure(truth: ArrayLike, contributions: ArrayLike) -> NDArray[np.float64]:
    """Share of each feature space in the explained variance of their joint prediction.

    Parameters
    ----------
    truth : array of shape (n, k)
        Held-out responses.
    contributions : array of shape (n_spaces, n, k)
        What each space adds to the prediction, with or without the intercept.

    Returns
    -------
    array of shape (n_spaces, k)
        Sums over spaces to :func:`neurovis.metrics.regression.explained_variance` of the summed prediction. A
        share may be negative or above the total.

    Raises
    ------
    ValueError
        If shapes disagree or a value is not finite.
    """
    parts = check_array("contributions", contributions, ndim=3, dtype=np.float64)
    whole = parts.sum(axis=0)
    return np.stack([compute_explained_share(truth, part, whole) for part in parts])


def make_subsets(n_spaces: int) -> NDArray[np.bool_]:
    """Membership of every non-empty subset of spaces, smaller subsets first, the full set last.

    Parameters
    ----------
    n_spaces : int
        1 to 12.

    Returns
    -------
    array of bool of shape (2**n_spaces - 1, n_spaces)

    Raises
    ------
    ValueError
        If the number is out of range.
    """
    if not 1 <= n_spaces <= _MOST_SPACES:
        raise ValueError(
            f"n_spaces must be between 1 and {_MOST_SPACES}, got {n_spaces}; join those that belong together."
        )
    members = [
        chosen for size in range(1, n_spaces + 1) for chosen in itertools.combinations(range(n_spaces), size)
    ]
    subsets = np.zeros((len(members), n_spaces), dtype=bool)
    for row, chosen in zip(subsets, members, strict=True):
        row[list(chosen)] = True
    return subsets


def compute_unique_variance(explained: ArrayLike, subsets: ArrayLike) -> NDArray[np.float64]:
    """What is lost when a space is left out: full model minus the model of all other spaces.

    Parameters
    ----------
    explained : array of shape (n_subsets, ...)
        Explained variance of the model of each subset.
    subsets : array of bool of shape (n_subsets, n_spaces)
        Spaces of each model, in any order; the full set and the sets without one space must be there. The
        model of no space explains 0.

    Returns
    -------
    array of shape (n_spaces, ...)

    Raises
    ------
    ValueError
        If a needed subset is missing.
    """
    values, members = _check_subsets(explained, subsets)
    n_spaces = members.shape[1]
    full = values[_find(members, range(n_spaces))]
    unique = []
    for space in range(n_spaces):
        others = [other for other in range(n_spaces) if other != space]
        unique.append(full - values[_find(members, others)] if others else full)
    return np.stack(unique)


def compute_venn_regions(explained: ArrayLike, subsets: ArrayLike) -> NDArray[np.float64]:
    """Variance explained by each space of a set and by none outside it, for every set.

    Parameters
    ----------
    explained : array of shape (n_subsets, ...)
        Explained variance of the model of each subset.
    subsets : array of bool of shape (n_subsets, n_spaces)
        All non-empty subsets, as from :func:`make_subsets`.

    Returns
    -------
    array of shape (n_subsets, ...)
        Region i belongs to exactly the spaces of ``subsets[i]``. Regions sum to the full model, those that
        hold a space to the model of that space alone, and regions of one space are its unique variance.

    Raises
    ------
    ValueError
        If a subset is missing.

    Notes
    -----
    Inclusion and exclusion: with U(S) explained by the spaces S and C those outside A, region A is
    ``sum over B in A of (-1)**(len(B) + 1) U(C + B)``, where B runs over all subsets, the empty one too.
    """
    values, members = _check_subsets(explained, subsets)
    regions = np.zeros_like(values)
    for number, inside in enumerate(members):
        within, outside = np.flatnonzero(inside), np.flatnonzero(~inside)
        for size in range(len(within) + 1):
            for chosen in itertools.combinations(within, size):
                union = [*outside, *chosen]
                if union:
                    regions[number] += (-1) ** (size + 1) * values[_find(members, union)]
    return regions


def name_subsets(names: Sequence[str], subsets: ArrayLike) -> list[str]:
    """``"only a"`` for one space, ``"a & b"`` for several.

    Parameters
    ----------
    names : sequence of str
        Of the spaces.
    subsets : array of bool of shape (n_subsets, n_spaces)
        As :func:`make_subsets`.
    """
    labels = []
    for inside in np.asarray(subsets, dtype=bool):
        chosen = [str(name) for name, use in zip(names, inside, strict=True) if use]
        labels.append(f"only {chosen[0]}" if len(chosen) == 1 else " & ".join(chosen))
    return labels


def _check_subsets(explained: ArrayLike, subsets: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = check_array("explained", explained, dtype=np.float64)
    members = np.asarray(subsets)
    if members.dtype != bool or members.ndim != 2 or values.ndim < 1 or len(members) != len(values):
        raise ValueError(
            f"subsets must be booleans (n_subsets, n_spaces), one row for each of explained {values.shape}, "
            f"got {members.dtype} of shape {members.shape}; use make_subsets."
        )
    return values, members


def _find(members: NDArray[np.bool_], chosen: Sequence[int] | range) -> int:
    wanted = np.isin(np.arange(members.shape[1]), list(chosen))
    found = np.flatnonzero((members == wanted).all(axis=1))
    if not len(found):
        raise ValueError(
            f"subsets must hold the spaces {sorted(map(int, chosen))}, got {len(members)} others; fit that "
            "model too."
        )
    return int(found[0])
