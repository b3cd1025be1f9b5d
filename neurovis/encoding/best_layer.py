"""The layer that predicts each neuroid best, chosen inside the training rows.

Choosing a layer by its score on the test set favours whoever brings many layers. Here the choice is one more
parameter of the encoder: inner folds decide it, and the test rows never do.
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

from neurovis.core import NeuralData
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
from neurovis.encoding.ridge_solvers import choose_alpha, compute_cv_error, solve_ridge


class BestLayer(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge on one layer, chosen for each neuroid by cross-validation together with the penalty.

    Parameters
    ----------
    layers : array of shape (n_features,), optional
        Layer of each feature: names or numbers, in any order. By default one layer, which is
        :class:`neurovis.encoding.ridge.Ridge`.
    alphas, cv, standardise, fit_intercept, method, device
        As in Ridge; all layers share the folds. A single penalty is cross-validated too, since the layer is
        still to be chosen.

    Attributes
    ----------
    layer_ : array of shape (n_neuroids,)
        Number of the chosen layer in ``layer_names_``; a layer named earlier wins exact ties.
    coef_ : dict of str to array of shape (n_layer_features, n_chosen)
        For each layer the weights of its features, for the neuroids that chose it, in their order.
    intercept_, alpha_ : array of shape (n_neuroids,)
        As in Ridge, of the chosen layer.
    layer_error_ : array of shape (n_layers, n_neuroids)
        Least mean squared error of each layer on held-out rows. The least of these is optimistic; judge the
        encoder on other rows.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    With a single response vector the attributes but ``coef_`` have no axis of neuroids.
    """

    _FITTED: ClassVar[tuple[str, ...]] = ("layer_", "coef_", "intercept_", "alpha_")

    def __init__(
        self,
        layers: ArrayLike | None = None,
        *,
        alphas: float | Iterable[float] | None = None,
        cv: int | BaseCrossValidator | Iterable[tuple[NDArray, NDArray]] = 5,
        standardise: bool = True,
        fit_intercept: bool = True,
        method: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.layers = layers
        self.alphas = alphas
        self.cv = cv
        self.standardise = standardise
        self.fit_intercept = fit_intercept
        self.method = method
        self.device = device

    @property
    def layer_names_(self) -> list[Any]:
        """Names of the layers in the order of their first features."""
        check_is_fitted(self)
        return number_labels(self.layers, self.n_features_in_, parameter="layers")[0]

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose layer and penalty of each neuroid, and fit the weights.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features of all layers. float32 is computed in float32.
        y : array of shape (n, n_neuroids) or (n,)
            Responses.
        groups : array of shape (n,), optional
            Rows of one group never fall on both sides of an inner fold, as in Ridge.

        Returns
        -------
        BestLayer
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ, ``layers`` does not have one entry per feature, a penalty
            is not positive or there are too few rows or groups for the folds.
        """
        features, responses, single = check_training(self, X, y)
        names, layer_of = number_labels(self.layers, features.shape[1], parameter="layers")
        alphas = check_penalties(self.alphas)
        folds = make_folds(self.cv, features, groups)
        options: dict[str, Any] = {
            "fit_intercept": self.fit_intercept,
            "method": self.method,
            "device": self.device,
        }
        error = np.empty((len(names), responses.shape[1]))
        alpha = np.empty_like(error)
        for number in range(len(names)):
            scaled, _ = scale_features(features[:, layer_of == number], self.standardise)
            layer_error = compute_cv_error(scaled, responses, alphas=alphas, folds=folds, **options)
            error[number], alpha[number] = layer_error.min(axis=0), choose_alpha(alphas, layer_error)
        chosen = error.argmin(axis=0)
        alpha = alpha[chosen, np.arange(len(chosen))]
        self.coef_ = {}
        intercept = np.empty(len(chosen), dtype=features.dtype)
        for number, name in enumerate(names):
            here = chosen == number
            scaled, scale = scale_features(features[:, layer_of == number], self.standardise)
            self.coef_[str(name)] = np.empty((len(scale), 0), dtype=features.dtype)
            if here.any():
                solution = solve_ridge(scaled, responses[:, here], alpha=alpha[here], **options)
                self.coef_[str(name)] = solution.coef / scale[:, None]
                intercept[here] = solution.intercept
        keep_fitted(self, single, layer_=chosen, layer_error_=error, alpha_=alpha, intercept_=intercept)
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
        features = check_rows(self, X)
        names, layer_of = number_labels(self.layers, features.shape[1], parameter="layers")
        dtype = np.result_type(features, np.asarray(self.intercept_))
        chosen = np.atleast_1d(self.layer_)
        prediction = np.empty((len(features), len(chosen)), dtype=dtype)
        for number, name in enumerate(names):
            prediction[:, chosen == number] = features[:, layer_of == number] @ self.coef_[str(name)]
        return (prediction if np.ndim(self.layer_) else prediction[:, 0]) + self.intercept_

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


def make_best_layer(
    features: xr.DataArray,
    data: NeuralData,  # noqa: ARG001 (every builder's; this one needs no neuroid)
    *,
    seed: int = 0,  # noqa: ARG001 (nothing is random)
    device: str = "cpu",
    **options: Any,
) -> BestLayer:
    """Unfitted choice among the layers, or among the feature spaces where there are no layers.

    Parameters
    ----------
    features : xarray.DataArray of dims (rows, "feature")
        With the coordinate ``layer`` along "feature", or ``space``. Layers of one name in two spaces are two.
    data : NeuralData
        Not used.
    seed : int
        Not used.
    device : str
        ``"cpu"``, or a torch device.
    **options
        Of :class:`BestLayer`.

    Raises
    ------
    ValueError
        If the features have neither coordinate.
    TypeError
        If an option is unknown.
    """
    labels = find_labels(features, ("layer", "space"), encoder="best-layer")
    if {"layer", "space"} <= set(features.coords):
        labels = np.array(
            [f"{space}/{layer}" for space, layer in zip(features["space"].values, labels, strict=True)]
        )
    return BestLayer(labels, device=device, **options)
