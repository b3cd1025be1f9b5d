"""Banded ridge: a scikit-learn estimator with one cross-validated penalty per feature space and neuroid.

The mathematics is in :mod:`neurovis.encoding.banded_solvers`; this class checks, scales and keeps results.
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

from neurovis.core import NeuralData, check_option
from neurovis.encoding.banded_solvers import make_mixtures, solve_banded_ridge_cv
from neurovis.encoding.fitting import (
    check_count,
    check_penalties,
    check_rows,
    check_training,
    compute_scale,
    keep_fitted,
    make_folds,
    scale_features,
    score_neuroids,
)
from neurovis.encoding.labels import find_labels, number_labels


class BandedRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression with a penalty for each feature space and neuroid, chosen by cross-validation.

    Nunez-Elizalde, Huth & Gallant (2019) NeuroImage 197:482; the search over mixtures of spaces is that of
    Dupre la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022) NeuroImage 264:119728.

    Parameters
    ----------
    spaces : array of shape (n_features,), optional
        Space of each feature: names or numbers, in any order. By default one space, which is
        :class:`neurovis.encoding.ridge.Ridge`.
    alphas : float or sequence of float, optional
        Candidate penalties, positive; by default those of Ridge.
    mixtures : int or array of shape (n_mixtures, n_spaces)
        Random mixtures to try beside the even one and each space alone, or exactly the mixtures to try.
    n_refinements : int
        Mixtures drawn near the best ones after that.
    cv : int, splitter or iterable of (train rows, test rows)
        Inner folds, as in Ridge.
    standardise : bool or "space"
        Divide each feature by its standard deviation over the rows given to :meth:`fit`, or all features of
        a space by the root of their mean variance, which keeps their proportions (principal components).
    fit_intercept : bool
        Centre features and responses on the training rows (of each inner fold).
    method : {"auto", "primal", "dual"}
        Which Gram matrix to decompose; all give the same result.
    device : str
        ``"cpu"``, or a torch device such as ``"cuda"``.
    seed : int
        Of the random mixtures.

    Attributes
    ----------
    coef_ : array of shape (n_features, n_neuroids)
        Weights of the features as given.
    intercept_ : array of shape (n_neuroids,)
        Response to features of zero.
    gamma_ : array of shape (n_spaces, n_neuroids)
        Chosen mixture; sums to 1 over spaces, 0 for a space that is left out.
    alpha_ : array of shape (n_neuroids,)
        Chosen penalty of the mixture.
    cv_error_ : array of shape (n_neuroids,)
        Mean squared error on held-out rows at the chosen mixture and penalty.
    mixtures_ : array of shape (n_tried, n_spaces)
        Every mixture that was tried.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    Scales come from all rows given to ``fit``, never from rows to be predicted, as in Ridge. Gamma weighs
    features, not spaces: at the even mixture every feature has the same penalty whatever the size of its
    space, which makes it the ridge over all of them. With a single response vector the attributes but
    ``mixtures_`` have no axis of neuroids.
    """

    _FITTED: ClassVar[tuple[str, ...]] = ("coef_", "intercept_", "gamma_", "alpha_")

    def __init__(
        self,
        spaces: ArrayLike | None = None,
        *,
        alphas: float | Iterable[float] | None = None,
        mixtures: int | ArrayLike = 20,
        n_refinements: int = 10,
        cv: int | BaseCrossValidator | Iterable[tuple[NDArray, NDArray]] = 5,
        standardise: bool | str = True,
        fit_intercept: bool = True,
        method: str = "auto",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.spaces = spaces
        self.alphas = alphas
        self.mixtures = mixtures
        self.n_refinements = n_refinements
        self.cv = cv
        self.standardise = standardise
        self.fit_intercept = fit_intercept
        self.method = method
        self.device = device
        self.seed = seed

    @property
    def deltas_(self) -> NDArray[np.float64]:
        """Log weights ``log(gamma / alpha)``, minus the logs of the penalties; -inf for a space left out."""
        check_is_fitted(self)
        with np.errstate(divide="ignore"):
            return np.log(self.gamma_ / self.alpha_)

    @property
    def space_names_(self) -> list[Any]:
        """Names of the spaces in the order of ``gamma_``: that of their first features."""
        check_is_fitted(self)
        return number_labels(self.spaces, self.n_features_in_, parameter="spaces")[0]

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose mixtures and penalties, and fit the weights.

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
        BandedRidge
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ, ``spaces`` does not have one entry per feature, a
            parameter is out of range or there are too few rows or groups for the folds.
        """
        check_option("standardise", self.standardise, (True, False, "space"))
        features, responses, single = check_training(self, X, y)
        names, bands = number_labels(self.spaces, features.shape[1], parameter="spaces")
        if self.standardise == "space":
            scale = _compute_space_scale(features, bands)
            scaled = features / scale
        else:
            scaled, scale = scale_features(features, bool(self.standardise))
        mixtures = np.asarray(self.mixtures)
        if mixtures.ndim == 0:
            n_mixtures = check_count("mixtures", self.mixtures, remedy="20 suit 3 spaces")
            mixtures = make_mixtures(len(names), n_mixtures, seed=self.seed)
        solution = solve_banded_ridge_cv(
            scaled,
            responses,
            bands=bands,
            mixtures=mixtures,
            alphas=check_penalties(self.alphas),
            folds=make_folds(self.cv, features, groups),
            n_refinements=check_count(
                "n_refinements", self.n_refinements, remedy="0 keeps to the first mixtures"
            ),
            fit_intercept=self.fit_intercept,
            method=self.method,
            device=self.device,
            seed=self.seed,
        )
        keep_fitted(
            self,
            single,
            coef_=solution.coef / scale[:, None],
            intercept_=solution.intercept,
            gamma_=solution.gamma,
            alpha_=solution.alpha,
            cv_error_=solution.cv_error.min(axis=0),
        )
        self.mixtures_ = solution.mixtures
        return self

    def predict(self, X: ArrayLike, *, split: bool = False) -> NDArray:
        """Predicted responses, whole or space by space.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features in the unit of the training features.
        split : bool
            Keep the contributions of the spaces apart.

        Returns
        -------
        array of shape (n, n_neuroids) or (n,), after (n_spaces,) if ``split``
            In the unit of the training responses. Contributions are without the intercept: their sum over
            spaces and ``intercept_`` is the prediction.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        ValueError
            If a value is not finite or the number of features differs.
        """
        features = check_rows(self, X)
        if not split:
            return features @ self.coef_ + self.intercept_
        names, bands = number_labels(self.spaces, features.shape[1], parameter="spaces")
        return np.stack(
            [features[:, bands == band] @ self.coef_[bands == band] for band in range(len(names))]
        )

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
            :func:`neurovis.metrics.regression.r2`.
        """
        return score_neuroids(y, self.predict(X))


def make_banded_ridge(
    features: xr.DataArray,
    data: NeuralData,  # noqa: ARG001 (every builder's; this one needs no neuroid)
    *,
    seed: int = 0,
    device: str = "cpu",
    **options: Any,
) -> BandedRidge:
    """Unfitted banded ridge whose bands are the feature spaces, or the layers where there is one space.

    Parameters
    ----------
    features : xarray.DataArray of dims (rows, "feature")
        With the coordinate ``space`` along "feature", or ``layer``.
    data : NeuralData
        Not used.
    seed : int
        Of the random mixtures.
    device : str
        ``"cpu"``, or a torch device.
    **options
        Of :class:`BandedRidge`.

    Returns
    -------
    BandedRidge

    Raises
    ------
    ValueError
        If the features have neither coordinate.
    TypeError
        If an option is unknown.
    """
    labels = find_labels(features, ("space", "layer"), encoder="banded-ridge")
    return BandedRidge(labels, seed=seed, device=device, **options)


def _compute_space_scale(X: NDArray, bands: NDArray[np.intp]) -> NDArray:
    scale = compute_scale(X)
    varies = X.max(axis=0) > X.min(axis=0)
    variance = np.bincount(bands, np.where(varies, scale.astype(np.float64) ** 2, 0)) / np.bincount(bands)
    return np.sqrt(np.where(variance > 0, variance, 1))[bands].astype(X.dtype)
