"""Feature-weighted receptive field: one Gaussian field and one set of channel weights per neuroid.

St-Yves & Naselaris (2018) NeuroImage 180:188. A response is a weighted sum over channels of what a Gaussian
field, shared by all channels, sees of their maps (eq. 2-4). Where that is how a neuroid works, it needs
n_channels + 3 numbers in place of one for every channel and place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import BaseCrossValidator

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
from neurovis.encoding.receptive_fields import (
    SpatialLayout,
    check_size,
    find_places,
    make_fields,
    make_layout,
    pool_fields,
)
from neurovis.encoding.ridge_solvers import Folds, choose_alpha, compute_cv_error, solve_ridge


class FeatureWeightedRF(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge over channels pooled by a Gaussian receptive field that is chosen for each neuroid.

    Parameters
    ----------
    rows, columns : array of int of shape (n_features,), optional
        Place of each feature on its channel's grid, row 0 on top; -1 in both for features without a place
        (class tokens), which every field sees alike. By default no feature has a place, and the model is a
        ridge.
    channels : array of shape (n_features,), optional
        Channel of each feature; channels may have different grids. By default all features with a place
        are one channel.
    size_dva : sequence of float, optional
        (height, width) of the image [degrees]; needed with places.
    n_positions : int
        Centres of candidate fields along each side of the image.
    sigmas_dva : sequence of float, optional
        Standard deviations of candidate fields [degrees]; by default four octaves up to half the smaller
        side.
    alphas, cv, standardise, fit_intercept, method, device
        As :class:`neurovis.encoding.ridge.Ridge`, for the ridge over channels; ``standardise`` divides each
        pooled channel by its standard deviation.

    Attributes
    ----------
    x_dva_, y_dva_, sigma_dva_ : array of shape (n_neuroids,)
        Field of each neuroid, right and up positive [degrees]; 0, 0 and 1 where no feature has a place.
    coef_ : array of shape (n_channels, n_neuroids)
        Weights of the pooled channels, sorted by label, then of the features without a place.
    intercept_, alpha_ : array of shape (n_neuroids,)
        As in Ridge.
    field_error_ : array of shape (n_fields, n_neuroids)
        Least mean squared error on held-out rows with each candidate field.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    Field and penalty are chosen together by the error on the inner held-out rows, as the paper does on one
    held-out set; the weights are then refitted on all rows. The paper descends the gradient of the weights
    with early stopping; a ridge takes its place here, so that one decomposition per field and fold serves all
    neuroids and penalties. A nonlinearity of the features (the paper's compressive one) belongs to their
    extraction. Memory is bounded: fields are pooled in blocks, and only errors are kept. With a single
    response vector the attributes have no axis of neuroids.
    """

    _FITTED: ClassVar[tuple[str, ...]] = (
        "x_dva_",
        "y_dva_",
        "sigma_dva_",
        "coef_",
        "intercept_",
        "alpha_",
    )

    def __init__(
        self,
        rows: ArrayLike | None = None,
        columns: ArrayLike | None = None,
        channels: ArrayLike | None = None,
        *,
        size_dva: Sequence[float] | None = None,
        n_positions: int = 8,
        sigmas_dva: Sequence[float] | None = None,
        alphas: float | Iterable[float] | None = None,
        cv: int | BaseCrossValidator | Iterable[tuple[NDArray, NDArray]] = 5,
        standardise: bool = True,
        fit_intercept: bool = True,
        method: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.size_dva = size_dva
        self.n_positions = n_positions
        self.sigmas_dva = sigmas_dva
        self.alphas = alphas
        self.cv = cv
        self.standardise = standardise
        self.fit_intercept = fit_intercept
        self.method = method
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose a field and a penalty for each neuroid and fit the weights of the channels.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Flat maps. float32 is computed in float32.
        y : array of shape (n, n_neuroids) or (n,)
            Responses.
        groups : array of shape (n,), optional
            Rows of one group never fall on both sides of an inner fold.

        Returns
        -------
        FeatureWeightedRF
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ, places do not fit the features, a penalty or size is not
            positive, or there are too few rows or groups for the folds.
        """
        features, responses, single = check_training(self, X, y)
        layout = self._make_layout()
        fields = np.array([[0.0, 0.0, 1.0]])
        if layout.n_maps:
            fields = make_fields(
                check_size(self.size_dva), n_positions=self.n_positions, sigmas_dva=self.sigmas_dva
            )
        folds = make_folds(self.cv, features, groups)
        chosen, alpha, error = self._choose(features, responses, layout, fields, folds)
        coef, intercept = self._refit(features, responses, layout, fields, chosen, alpha)
        x_dva, y_dva, sigma = fields[chosen].T.copy()
        keep_fitted(self, single, x_dva_=x_dva, y_dva_=y_dva, sigma_dva_=sigma, field_error_=error)
        keep_fitted(self, single, coef_=coef, intercept_=intercept, alpha_=alpha)
        return self

    def predict(self, X: ArrayLike) -> NDArray:
        """Predicted responses.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Flat maps in the unit of the training features.

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
        coef = self.coef_.reshape(len(self.coef_), -1)
        fields = np.stack(
            [np.atleast_1d(part) for part in (self.x_dva_, self.y_dva_, self.sigma_dva_)], axis=1
        )
        used, field_of = np.unique(fields, axis=0, return_inverse=True)
        prediction = np.empty((len(features), len(fields)), dtype=np.result_type(features, coef))
        for index, pooled in pool_fields(features, self._make_layout(), used):
            here = field_of == index
            prediction[:, here] = pooled @ coef[:, here]
        return (prediction[:, 0] if self.coef_.ndim == 1 else prediction) + self.intercept_

    def score(self, X: ArrayLike, y: ArrayLike) -> Any:
        """R^2 of each neuroid, never averaged.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Flat maps.
        y : array of shape (n, n_neuroids) or (n,)
            Measured responses.

        Returns
        -------
        array of shape (n_neuroids,), or float for a single response vector
        """
        return score_neuroids(y, self.predict(X))

    def _make_layout(self) -> SpatialLayout:
        return make_layout(
            self.n_features_in_,
            rows=self.rows,
            columns=self.columns,
            channels=self.channels,
            size_dva=self.size_dva,
        )

    def _choose(
        self, X: NDArray, Y: NDArray, layout: SpatialLayout, fields: NDArray, folds: Folds
    ) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        """Number of each neuroid's field, its penalty, and the error of every field."""
        alphas = check_penalties(self.alphas)
        field_error = np.empty((len(fields), Y.shape[1]))
        alpha = np.empty_like(field_error)
        for index, pooled in pool_fields(X, layout, fields):
            scaled, _ = scale_features(pooled, self.standardise)
            error = compute_cv_error(scaled, Y, alphas=alphas, folds=folds, **self._options())
            field_error[index], alpha[index] = error.min(axis=0), choose_alpha(alphas, error)
        chosen = field_error.argmin(axis=0)
        return chosen, alpha[chosen, np.arange(Y.shape[1])], field_error

    def _refit(
        self,
        X: NDArray,
        Y: NDArray,
        layout: SpatialLayout,
        fields: NDArray,
        chosen: NDArray,
        alpha: NDArray,
    ) -> tuple[NDArray, NDArray]:
        coef = np.empty((layout.n_channels, Y.shape[1]), dtype=X.dtype)
        intercept = np.empty(Y.shape[1], dtype=X.dtype)
        used = np.unique(chosen)
        for index, pooled in pool_fields(X, layout, fields[used]):
            here = chosen == used[index]
            scaled, scale = scale_features(pooled, self.standardise)
            solution = solve_ridge(scaled, Y[:, here], alpha=alpha[here], **self._options())
            coef[:, here], intercept[here] = solution.coef / scale[:, None], solution.intercept
        return coef, intercept

    def _options(self) -> dict[str, Any]:
        return {"fit_intercept": self.fit_intercept, "method": self.method, "device": self.device}


def make_fwrf(
    features: xr.DataArray,
    data: NeuralData,  # noqa: ARG001 (every builder's; this one needs no neuroid)
    *,
    seed: int = 0,  # noqa: ARG001 (nothing is random)
    device: str = "cpu",
    **options: Any,
) -> FeatureWeightedRF:
    """Unfitted feature-weighted receptive fields for maps or patch tokens.

    Parameters
    ----------
    features : xarray.DataArray of dims (rows, "feature")
        With the coordinates ``row``, ``column`` and ``channel`` along "feature" and the attribute
        ``size_dva``; a channel of another ``layer`` or ``space`` is another one.
    data : NeuralData
        Not used.
    seed : int
        Not used.
    device : str
        ``"cpu"``, or a torch device.
    **options
        Of :class:`FeatureWeightedRF`.

    Raises
    ------
    ValueError
        If a coordinate or ``size_dva`` is missing.
    TypeError
        If an option is unknown.
    """
    places = find_places(features, "fwrf")
    if "channel" not in features.coords:
        raise ValueError(
            "features must hold the coordinate channel for 'fwrf', got "
            f"{sorted(map(str, features.coords))}; extract maps or patch tokens."
        )
    keys = [name for name in ("space", "layer", "channel") if name in features.coords]
    labels = np.stack([np.unique(features[name].values, return_inverse=True)[1] for name in keys], axis=1)
    channels = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    return FeatureWeightedRF(**places, channels=channels, device=device, **options)
