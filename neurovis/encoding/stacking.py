"""Stacked regressions: a ridge for each feature space, mixed for each neuroid by weights of a simplex.

Breiman (1996) Mach Learn 24:49; for voxels Lin, Naselaris, Kay & Wehbe (2024) NeuroImage 298:120772. Each
space is fitted alone, so that none crowds out another; the weights minimise the error of held-out
predictions, are not negative and sum to one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils.validation import check_is_fitted

from neurovis.core import NeuralData, check_array
from neurovis.encoding.fitting import (
    check_penalties,
    check_rows,
    check_training,
    keep_fitted,
    make_folds,
    scale_features,
    score_neuroids,
)
from neurovis.encoding.labels import find_labels, number_labels
from neurovis.encoding.ridge_solvers import Folds, choose_alpha, compute_cv_error, solve_ridge

_RIDGE = 1e-10  # of the mean squared error: two spaces that predict alike still give one answer
_STEPS_PER_SPACE = 50  # a handful is enough; what is left after so many takes its best single space
_PATIENCE = 3  # full exchanges without progress before the safe rule takes over


class Stacked(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Convex mixture of one ridge per feature space, with weights for each neuroid.

    Parameters
    ----------
    spaces : array of shape (n_features,), optional
        Space of each feature: names or numbers, in any order. By default one space, which is
        :class:`neurovis.encoding.ridge.Ridge`.
    alphas, cv, standardise, fit_intercept, method, device
        As in Ridge; all spaces share the folds, each has a penalty of its own for each neuroid.

    Attributes
    ----------
    weights_ : array of shape (n_spaces, n_neuroids)
        Share of each space, not negative; sums to 1 over spaces.
    coef_ : array of shape (n_features, n_neuroids)
        Weights of the features as given, the shares multiplied in.
    intercept_ : array of shape (n_neuroids,)
        Response to features of zero.
    space_alpha_ : array of shape (n_spaces, n_neuroids)
        Chosen penalties.
    space_error_ : array of shape (n_spaces, n_neuroids)
        Mean squared error of each space alone on held-out rows, at its penalty.
    cv_error_ : array of shape (n_neuroids,)
        Mean squared error of the mixture on held-out rows, never above the least of ``space_error_``. The
        penalties and the weights were chosen on these rows: judge the encoder on others.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    With a single response vector the attributes have no axis of neuroids.
    """

    _FITTED: ClassVar[tuple[str, ...]] = ("coef_", "intercept_", "weights_", "space_alpha_")

    def __init__(
        self,
        spaces: ArrayLike | None = None,
        *,
        alphas: float | Iterable[float] | None = None,
        cv: int | BaseCrossValidator | Iterable[tuple[NDArray, NDArray]] = 5,
        standardise: bool = True,
        fit_intercept: bool = True,
        method: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.spaces = spaces
        self.alphas = alphas
        self.cv = cv
        self.standardise = standardise
        self.fit_intercept = fit_intercept
        self.method = method
        self.device = device

    @property
    def space_names_(self) -> list[Any]:
        """Names of the spaces in the order of their first features."""
        check_is_fitted(self)
        return number_labels(self.spaces, self.n_features_in_, parameter="spaces")[0]

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fit every space, and mix them by their errors on held-out rows.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features of all spaces. float32 is computed in float32.
        y : array of shape (n, n_neuroids) or (n,)
            Responses.
        groups : array of shape (n,), optional
            Rows of one group never fall on both sides of an inner fold, as in Ridge.

        Returns
        -------
        Stacked
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ, ``spaces`` does not have one entry per feature, a penalty
            is not positive or there are too few rows or groups for the folds.
        """
        features, responses, single = check_training(self, X, y)
        names, space_of = number_labels(self.spaces, features.shape[1], parameter="spaces")
        scaled, scale = scale_features(features, self.standardise)
        parts = [scaled[:, space_of == number] for number in range(len(names))]
        folds = make_folds(self.cv, features, groups)
        alphas = check_penalties(self.alphas)
        options: dict[str, Any] = {
            "fit_intercept": self.fit_intercept,
            "method": self.method,
            "device": self.device,
        }
        alpha = np.stack(
            [
                choose_alpha(alphas, compute_cv_error(part, responses, alphas=alphas, folds=folds, **options))
                for part in parts
            ]
        )
        products = compute_error_products(parts, responses, alpha, folds, **options)
        weights = solve_simplex(products)
        coef = np.empty((features.shape[1], responses.shape[1]), dtype=features.dtype)
        intercept = np.zeros(responses.shape[1], dtype=features.dtype)
        for number, part in enumerate(parts):
            here = space_of == number
            solution = solve_ridge(part, responses, alpha=alpha[number], **options)
            coef[here] = solution.coef * weights[number].astype(coef.dtype) / scale[here, None]
            intercept += (solution.intercept * weights[number]).astype(intercept.dtype)
        keep_fitted(
            self,
            single,
            coef_=coef,
            intercept_=intercept,
            weights_=weights,
            space_alpha_=alpha,
            space_error_=np.diagonal(products, axis1=1, axis2=2).T.copy(),
            cv_error_=np.einsum("kv,vkl,lv->v", weights, products, weights),
        )
        return self

    def predict(self, X: ArrayLike) -> NDArray:
        """Predicted responses.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features in the unit of the training features.

        Returns
        -------
        array of shape (n, n_neuroids) or (n,)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        ValueError
            If a value is not finite or the number of features differs.
        """
        return check_rows(self, X) @ self.coef_ + self.intercept_

    def score(self, X: ArrayLike, y: ArrayLike) -> Any:
        """R^2 of each neuroid, never averaged.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features.
        y : array of shape (n, n_neuroids) or (n,)
            Measured responses.

        Returns
        -------
        array of shape (n_neuroids,), or float for a single response vector
        """
        return score_neuroids(y, self.predict(X))


def compute_error_products(
    parts: list[NDArray], Y: NDArray, alpha: NDArray, folds: Folds, **options: Any
) -> NDArray[np.float64]:
    """Mean products of the spaces' errors on held-out rows.

    Parameters
    ----------
    parts : list of array of shape (n, n_space_features)
        Features of each space.
    Y : array of shape (n, n_neuroids)
        Responses.
    alpha : array of shape (n_spaces, n_neuroids)
        Penalties.
    folds : sequence of (train rows, test rows)
        Shared by all spaces.
    **options
        Of :func:`neurovis.encoding.ridge_solvers.solve_ridge`.

    Returns
    -------
    array of shape (n_neuroids, n_spaces, n_spaces)
        Of a mixture with weights w that sum to one, the mean squared error is ``w @ products @ w``. Only the
        held-out rows of one fold are in memory at a time.
    """
    products = np.zeros((Y.shape[1], len(parts), len(parts)))
    for train, test in folds:
        errors = []
        for part, penalty in zip(parts, alpha, strict=True):
            solution = solve_ridge(part[train], Y[train], alpha=penalty, **options)
            errors.append(Y[test] - (part[test] @ solution.coef + solution.intercept))
        for i, error in enumerate(errors):
            for j, other in enumerate(errors[: i + 1]):
                products[:, i, j] += np.einsum("nv,nv->v", error, other, dtype=np.float64)
    products = np.tril(products) + np.swapaxes(np.tril(products, -1), 1, 2)
    return products / sum(len(test) for _, test in folds)


def solve_simplex(products: ArrayLike) -> NDArray[np.float64]:
    """Weights that minimise ``w @ products @ w``, not negative and summing to one, for all neuroids at once.

    Parameters
    ----------
    products : array of shape (n_neuroids, n_spaces, n_spaces)
        Symmetric and positive semi-definite.

    Returns
    -------
    array of shape (n_spaces, n_neuroids)
        Exact up to rounding, and never worse than the best single space.

    Raises
    ------
    ValueError
        If the shape is wrong or a value is not finite.

    Notes
    -----
    The problem is that of ``minimise z @ products @ z / 2 - sum(z)`` over ``z >= 0``, scaled to sum to one.
    Block principal pivoting (Kim & Park 2011, SIAM J Sci Comput 33:3261, section 3) solves it: guess which
    weights are positive, solve for them, exchange those of the wrong sign. Where exchanging all makes no
    progress, only the last one is exchanged, which ends in finitely many steps.
    """
    gram = check_array("products", products, ndim=3, dtype=np.float64)
    n, k = gram.shape[:2]
    check_array("products", gram, shape=(n, k, k))
    scale = np.trace(gram, axis1=1, axis2=2) / k
    unit = gram / np.where(scale > 0, scale, 1.0)[:, None, None] + _RIDGE * np.eye(k)
    positive = np.ones((n, k), dtype=bool)
    z = np.zeros((n, k))
    fewest, patience = np.full(n, k + 1), np.full(n, _PATIENCE)
    active = np.arange(n)
    for _ in range(_STEPS_PER_SPACE * k):
        if not len(active):
            break
        here = positive[active]
        z[active] = _solve_support(unit[active], here)
        slope = np.einsum("vkl,vl->vk", unit[active], z[active]) - 1
        rounding = 1e-9 + 1e-12 * np.einsum("vkl,vl->vk", np.abs(unit[active]), np.abs(z[active]))
        wrong = np.where(here, z[active] < 0, slope < -rounding)
        count = wrong.sum(axis=1)
        progress = count < fewest[active]
        fewest[active] = np.where(progress, count, fewest[active])
        patience[active] = np.where(progress, _PATIENCE, patience[active] - 1)
        last = k - 1 - wrong[:, ::-1].argmax(axis=1)
        alone = wrong & (np.arange(k) == last[:, None])
        positive[active] ^= np.where((patience[active] >= 0)[:, None], wrong, alone)
        active = active[count > 0]
    best = np.eye(k)[np.diagonal(gram, axis1=1, axis2=2).argmin(axis=1)]
    weights = np.maximum(z, 0)
    total = weights.sum(axis=1, keepdims=True)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), best)
    lost = _evaluate(gram, weights) > _evaluate(gram, best)
    weights[lost] = best[lost]
    return np.ascontiguousarray(weights.T)


def make_stacked(
    features: xr.DataArray,
    data: NeuralData,  # noqa: ARG001 (every builder's; this one needs no neuroid)
    *,
    seed: int = 0,  # noqa: ARG001 (nothing is random)
    device: str = "cpu",
    **options: Any,
) -> Stacked:
    """Unfitted stack of the feature spaces, or of the layers where there is one space.

    Parameters
    ----------
    features : xarray.DataArray of dims (rows, "feature")
        With the coordinate ``space`` along "feature", or ``layer``.
    data : NeuralData
        Not used.
    seed : int
        Not used.
    device : str
        ``"cpu"``, or a torch device.
    **options
        Of :class:`Stacked`.

    Raises
    ------
    ValueError
        If the features have neither coordinate.
    TypeError
        If an option is unknown.
    """
    labels = find_labels(features, ("space", "layer"), encoder="stacked")
    return Stacked(labels, device=device, **options)


def _solve_support(gram: NDArray, support: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Solution of ``gram @ z = 1`` on each support, 0 elsewhere."""
    both = support[:, :, None] & support[:, None, :]
    outside = np.eye(support.shape[1]) * ~support[:, :, None]
    return np.linalg.solve(np.where(both, gram, outside), support[:, :, None].astype(float))[:, :, 0]


def _evaluate(gram: NDArray, weights: NDArray) -> NDArray[np.float64]:
    return np.einsum("vk,vkl,vl->v", weights, gram, weights)
