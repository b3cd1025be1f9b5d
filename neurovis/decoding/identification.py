"""Which image was seen: the one whose predicted response pattern resembles the measured one most.

After Kay et al., "Identifying natural images from human brain activity", Nature 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold

from neurovis.core import Encoder, check_array
from neurovis.metrics.regression import check_pair, standardise_columns


@dataclass(frozen=True)
class Identification:
    """How each measured pattern ranks its own image among the candidates.

    Parameters
    ----------
    rank : array of shape (n,)
        Place of the true image, 1 best; ties count half.
    n_candidates : array of shape (n,)
        Candidates it was chosen from.
    """

    rank: NDArray[np.float64]
    n_candidates: NDArray[np.intp]

    @property
    def accuracy(self) -> float:
        """Share identified correctly; chance is :attr:`chance`."""
        return float(np.mean(self.rank == 1))

    @property
    def chance(self) -> float:
        """Expected :attr:`accuracy` of guessing."""
        return float(np.mean(1 / self.n_candidates))

    @property
    def pairwise_accuracy(self) -> float:
        """Mean share of wrong candidates that the true one beats; chance is 0.5 for any number of them."""
        return float(np.mean((self.n_candidates - self.rank) / (self.n_candidates - 1)))


def identify_stimuli(measured: ArrayLike, predicted: ArrayLike) -> Identification:
    """Rank all predicted patterns by their correlation with each measured pattern.

    Parameters
    ----------
    measured, predicted : array of shape (n_stimuli, n_neuroids)
        Held-out responses and predictions, row by row the same stimuli, each neuroid on a comparable scale
        (standardised with the training rows' mean and sd); at least two stimuli and neuroids.

    Returns
    -------
    Identification

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite or there are fewer than two neuroids.
    """
    measured, predicted = check_pair(measured, predicted)
    if measured.shape[1] < 2:
        raise ValueError(
            "measured must have at least 2 neuroids to correlate patterns, "
            f"got {measured.shape[1]}; add them."
        )
    r = standardise_columns(measured.T).T @ standardise_columns(predicted.T)
    own = np.diagonal(r)[:, None]
    tolerance = 1e-12
    better, tied = (r > own + tolerance).sum(axis=1), (np.abs(r - own) <= tolerance).sum(axis=1)
    return Identification(1 + better + (tied - 1) / 2, np.full(len(r), len(r)))


def cross_validate_identification(
    encoder: Encoder,
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_folds: int = 5,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Identification:
    """Identify each held-out stimulus among those of its fold, by an encoder fitted without them.

    Parameters
    ----------
    encoder : Encoder
        Cloned for each fold.
    X : array of shape (n, n_features)
        Features, one row per stimulus.
    y : array of shape (n, n_neuroids)
        Responses, repeats averaged.
    n_folds : int
        Folds; the candidates of a stimulus are the stimuli of its fold.
    groups : array of shape (n,), optional
        Stimuli that must not be on both sides, such as frames of one movie.
    seed : int
        Seed of the shuffled folds; without effect when ``groups`` are given.

    Returns
    -------
    Identification
        In the order of the rows.

    Raises
    ------
    ValueError
        If rows differ, a value is not finite, or a fold would hold fewer than two stimuli.
    """
    X, y = check_array("X", X, ndim=2), check_array("y", y, ndim=2)
    n_units = len(X) if groups is None else len(np.unique(np.asarray(groups)))
    if len(X) != len(y) or not 2 <= n_folds <= n_units or (groups is None and 2 * n_folds > len(X)):
        raise ValueError(
            f"n_folds must leave at least 2 stimuli to each fold of X and y with equally many rows, got "
            f"{n_folds} folds for {len(X)} and {len(y)} rows; use fewer folds."
        )
    splitter = KFold(n_folds, shuffle=True, random_state=seed) if groups is None else GroupKFold(n_folds)
    rank, n_candidates = np.empty(len(X)), np.empty(len(X), dtype=np.intp)
    for train, test in splitter.split(X, groups=groups):
        predicted = clone(encoder).fit(X[train], y[train]).predict(X[test])
        mean, sd = y[train].mean(axis=0), y[train].std(axis=0)
        sd = np.where(sd > 0, sd, 1.0)
        found = identify_stimuli((y[test] - mean) / sd, (predicted - mean) / sd)
        rank[test], n_candidates[test] = found.rank, found.n_candidates
    return Identification(rank, n_candidates)
