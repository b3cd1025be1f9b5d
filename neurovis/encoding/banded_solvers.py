"""Banded ridge: one penalty per feature space and neuroid, as pure functions on arrays.

For each neuroid ``minimise ||y - b0 - sum_s X_s b_s||^2 + sum_s (alpha / gamma_s) ||b_s||^2`` over feature
spaces s (Nunez-Elizalde, Huth & Gallant, NeuroImage 2019), with the mixture gamma on the simplex. Spaces
scaled by ``sqrt(gamma_s)`` turn this into ridge, so that a search over mixtures (Dupre la Tour et al.,
NeuroImage 2022) costs one ridge per mixture, and all of :mod:`neurovis.encoding.ridge_solvers` applies to it.

1. Inner products of rows are additive over spaces: each space's Gram matrix is formed once, and that of a
   mixture is their weighted sum. Mixtures of fewer features than rows use the features' Gram matrix instead.
2. A mixture leaves behind one error per neuroid and penalty, of which only the least is kept, never a
   prediction. Weights are computed at the end, one decomposition per mixture that some neuroid chose.
3. After the random mixtures, more are drawn near those that neuroids chose: each profits from what is tried
   for its like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, make_rng
from neurovis.encoding.ridge_solvers import (
    Folds,
    choose_alpha,
    compute_cv_error,
    compute_kernel_cv_error,
    solve_kernel_ridge,
    solve_ridge,
)

CONCENTRATIONS = (0.1, 1.0)
"""Of the Dirichlet distributions: mixtures of few spaces, and mixtures drawn evenly from the simplex."""

_STEPS = (1.5, 1.0, 0.7, 0.5, 0.35)  # of the rounds of the local search, in units of log gamma
_FLOOR = 1e-3  # share at which a space that was left out re-enters the local search


@dataclass(frozen=True)
class BandedSolution:
    """Coefficients, and the mixture and penalty that cross-validation chose for each neuroid.

    Parameters
    ----------
    coef : array of shape (n_features, n_neuroids)
        Weights of the features as given.
    intercept : array of shape (n_neuroids,)
        Zero when no intercept was fitted.
    gamma : array of shape (n_spaces, n_neuroids)
        Mixture; at least 0, sums to 1 over spaces. A space at 0 is left out.
    alpha : array of shape (n_neuroids,)
        Penalty of the mixture; that of space s is ``alpha / gamma[s]``.
    mixtures : array of shape (n_mixtures, n_spaces)
        Every mixture that was tried, in order.
    cv_error : array of shape (n_mixtures, n_neuroids)
        Mean squared error on the held-out rows of all folds, at each mixture's best penalty.
    """

    coef: NDArray
    intercept: NDArray
    gamma: NDArray[np.float64]
    alpha: NDArray[np.float64]
    mixtures: NDArray[np.float64]
    cv_error: NDArray[np.float64]


def make_mixtures(
    n_spaces: int, n_random: int, *, concentrations: ArrayLike = CONCENTRATIONS, seed: int = 0
) -> NDArray[np.float64]:
    """Mixtures of feature spaces for a random search: the even one, each space alone, then random ones.

    Parameters
    ----------
    n_spaces : int
        At least 1; a single space has a single mixture.
    n_random : int
        Draws from symmetric Dirichlet distributions that take turns.
    concentrations : sequence of float
        Of these distributions, positive.
    seed : int
        Of the draws.

    Returns
    -------
    array of shape (n_spaces + 1 + n_random, n_spaces), or (1, 1) for a single space
        Rows sum to 1.

    Raises
    ------
    ValueError
        If a number is too small.
    """
    concentrations = check_array("concentrations", concentrations, ndim=1, dtype=np.float64)
    if n_spaces < 1 or n_random < 0 or not len(concentrations) or (concentrations <= 0).any():
        raise ValueError(
            "n_spaces must be at least 1, n_random at least 0 and concentrations positive, got "
            f"{n_spaces}, {n_random} and {concentrations.tolist()}; 20 random mixtures suit 3 spaces."
        )
    if n_spaces == 1:
        return np.ones((1, 1))
    rng = make_rng(seed, "mixtures")
    drawn = [
        rng.dirichlet(np.full(n_spaces, concentrations[number % len(concentrations)]))
        for number in range(n_random)
    ]
    return np.vstack([np.full((1, n_spaces), 1 / n_spaces), np.eye(n_spaces), *drawn])


def solve_banded_ridge_cv(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    bands: ArrayLike,
    mixtures: ArrayLike,
    alphas: ArrayLike,
    folds: Folds,
    n_refinements: int = 0,
    fit_intercept: bool = True,
    method: str = "auto",
    device: str = "cpu",
    seed: int = 0,
) -> BandedSolution:
    """Banded ridge with mixture and penalty of each neuroid chosen by cross-validation, then refitted.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Features of all spaces, finite; the columns of a space may lie anywhere.
    Y : array of shape (n, n_neuroids)
        Responses, finite.
    bands : array of int of shape (n_features,)
        Space of each feature, from 0; every space has a feature.
    mixtures : array of shape (n_mixtures, n_spaces)
        Candidate mixtures, at least 0 with a positive sum each; scaled to sum to 1.
    alphas : array of shape (n_alphas,)
        Candidate penalties, positive.
    folds, fit_intercept, device
        As :func:`neurovis.encoding.ridge_solvers.solve_ridge_cv`.
    n_refinements : int
        More mixtures, drawn ever nearer to those that neuroids chose. They come closer than as many random
        ones where neuroids are alike, as in a region, and do as well where each has its own mixture.
    method : {"auto", "primal", "dual"}
        Decompose the features' Gram matrix, the rows', or for each mixture the smaller one.
    seed : int
        Of the refinements.

    Returns
    -------
    BandedSolution

    Raises
    ------
    ValueError
        As the ridge, or if bands or mixtures do not fit the features.

    Notes
    -----
    The error is pooled over the rows of all folds. Among mixtures of equal error the first one wins.
    Memory beyond the input: a Gram matrix (n, n) in float64 per space if a mixture is solved in the rows, and
    one error per penalty and neuroid.
    """
    check_option("method", method, ("auto", "primal", "dual"))
    features = check_array("X", X, ndim=2, remedy="drop rows and features with missing values")
    responses = check_array("Y", Y, ndim=2, remedy="drop rows and neuroids with missing values")
    dtype = np.float32 if features.dtype == np.float32 else np.float64
    features, responses = features.astype(dtype, copy=False), responses.astype(dtype, copy=False)
    labels = _check_bands(bands, features.shape[1])
    candidates = _check_mixtures(mixtures, labels.max() + 1)
    mean = features.mean(0, dtype=np.float64).astype(dtype) * dtype(fit_intercept)
    search = _Search(
        _Spaces(features - mean if fit_intercept else features, labels, method),
        responses,
        np.asarray(alphas, dtype=np.float64),
        {"fit_intercept": fit_intercept, "device": device},
    )
    search.evaluate(candidates, folds)
    if n_refinements and candidates.shape[1] > 1:
        rng = make_rng(seed, "refinements")
        ends = np.linspace(0, n_refinements, len(_STEPS) + 1).round().astype(int)
        for step, n_drawn in zip(_STEPS, np.diff(ends), strict=True):
            search.evaluate(search.propose(rng, int(n_drawn), step), folds)
    tried, cv_error = np.vstack(search.tried), np.vstack(search.errors)
    coef = search.refit(tried)
    intercept = (responses.mean(0, dtype=np.float64) - mean @ coef.astype(np.float64)).astype(dtype)
    return BandedSolution(
        coef,
        intercept if fit_intercept else np.zeros(len(intercept), dtype),
        tried[search.chosen].T,
        search.alpha,
        tried,
        cv_error,
    )


class _Spaces:
    """The features, ready to be solved under any mixture."""

    def __init__(self, X: NDArray, bands: NDArray[np.intp], method: str) -> None:
        self.X, self.bands, self.method = X, bands, method
        self.grams: dict[int, NDArray[np.float64]] = {}

    def is_dual(self, gamma: NDArray[np.float64], n_rows: int) -> bool:
        n_features = int((gamma[self.bands] > 0).sum())
        return n_rows < n_features if self.method == "auto" else self.method == "dual"

    def scale(self, gamma: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray]:
        """Features that take part, and their square roots of gamma."""
        used = np.flatnonzero(gamma[self.bands] > 0)
        return used, np.sqrt(gamma[self.bands[used]]).astype(self.X.dtype)

    def mix(self, gamma: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inner products of the rows under the mixture."""
        total = np.zeros((len(self.X), len(self.X)))
        for band in np.flatnonzero(gamma):
            if band not in self.grams:
                own = self.X[:, self.bands == band].astype(np.float64)
                self.grams[band] = own @ own.T
            total += gamma[band] * self.grams[band]
        return total


class _Search:
    """What is known after the mixtures tried so far: for each neuroid the best one and its penalty."""

    def __init__(
        self, spaces: _Spaces, Y: NDArray, alphas: NDArray[np.float64], options: dict[str, Any]
    ) -> None:
        self.spaces, self.Y, self.alphas, self.options = spaces, Y, alphas, options
        self.tried: list[NDArray[np.float64]] = []
        self.errors: list[NDArray[np.float64]] = []
        self.least = np.full(Y.shape[1], np.inf)
        self.alpha = np.ones(Y.shape[1])
        self.chosen = np.zeros(Y.shape[1], dtype=np.intp)

    def evaluate(self, mixtures: NDArray[np.float64], folds: Folds) -> None:
        options = {"alphas": self.alphas, "folds": folds, **self.options}
        n_train = max((len(train) for train, _ in folds), default=0)
        for gamma in mixtures:
            if self.spaces.is_dual(gamma, n_train):
                error = compute_kernel_cv_error(self.spaces.mix(gamma), self.Y, **options)
            else:
                used, root = self.spaces.scale(gamma)
                error = compute_cv_error(self.spaces.X[:, used] * root, self.Y, method="primal", **options)
            least = error.min(axis=0)
            better = least < self.least
            self.least[better], self.chosen[better] = least[better], len(self.tried)
            self.alpha[better] = choose_alpha(self.alphas, error[:, better])
            self.tried.append(gamma)
            self.errors.append(least)

    def propose(self, rng: np.random.Generator, n: int, step: float) -> NDArray[np.float64]:
        """Mixtures near those chosen; neuroids count by how much the choice matters to them."""
        tried = np.vstack(self.tried)
        weight = 1 - self.least / np.maximum(np.vstack(self.errors).max(axis=0), np.finfo(float).tiny)
        votes = np.bincount(self.chosen, weight + 1e-9, minlength=len(tried))
        centres = tried[rng.choice(len(tried), size=n, p=votes / votes.sum())]
        level = np.log(np.maximum(centres, _FLOOR)) + step * rng.standard_normal(centres.shape)
        drawn = np.exp(level - level.max(axis=1, keepdims=True))
        return drawn / drawn.sum(axis=1, keepdims=True)

    def refit(self, tried: NDArray[np.float64]) -> NDArray:
        """Weights of the features from all rows, one decomposition per chosen mixture."""
        X, bands = self.spaces.X, self.spaces.bands
        coef = np.zeros((X.shape[1], self.Y.shape[1]), dtype=X.dtype)
        for number in np.unique(self.chosen):
            own, gamma = np.flatnonzero(self.chosen == number), tried[number]
            used, root = self.spaces.scale(gamma)
            if self.spaces.is_dual(gamma, len(X)):
                dual = solve_kernel_ridge(
                    self.spaces.mix(gamma), self.Y[:, own], alpha=self.alpha[own], **self.options
                )
                weights = X[:, used].T @ dual * gamma[bands[used], None].astype(X.dtype)
            else:
                options = {"alpha": self.alpha[own], "method": "primal", **self.options}
                weights = solve_ridge(X[:, used] * root, self.Y[:, own], **options).coef * root[:, None]
            coef[np.ix_(used, own)] = weights
        return coef


def _check_bands(bands: ArrayLike, n_features: int) -> NDArray[np.intp]:
    labels = np.asarray(bands)
    found = np.unique(labels)
    if labels.shape != (n_features,) or not np.array_equal(found, np.arange(len(found))):
        raise ValueError(
            f"bands must number the spaces of the {n_features} features from 0 without gaps, got shape "
            f"{labels.shape} with {found[:5].tolist()}; use np.unique(names, return_inverse=True)[1]."
        )
    return labels.astype(np.intp)


def _check_mixtures(mixtures: ArrayLike, n_spaces: int) -> NDArray[np.float64]:
    weights = check_array(
        "mixtures",
        mixtures,
        shape=(None, int(n_spaces)),
        minimum=0,
        dtype=np.float64,
        remedy="give one row per mixture and one column per space",
    )
    if not len(weights) or not (weights.sum(axis=1) > 0).all():
        raise ValueError(
            f"mixtures must hold at least one row, each with a positive sum, got {len(weights)} rows; "
            "np.ones((1, n_spaces)) is ridge."
        )
    return weights / weights.sum(axis=1, keepdims=True)
