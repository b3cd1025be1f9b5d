"""Ridge: a scikit-learn estimator with one cross-validated penalty per neuroid.

The mathematics is in :mod:`neurovis.encoding.ridge_solvers`; this class checks, scales and keeps results.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import BaseCrossValidator

from neurovis.core import NeuralData, check_option
from neurovis.encoding.fitting import (
    check_penalties,
    check_rows,
    check_training,
    keep_fitted,
    make_folds,
    scale_features,
    score_neuroids,
)
from neurovis.encoding.ridge_solvers import solve_ridge, solve_ridge_cv


class Ridge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression whose penalty is chosen for each neuroid by cross-validation.

    Parameters
    ----------
    alphas : float or sequence of float, optional
        Candidate penalties, positive; a single one is used without cross-validation. By default 19 from 0.1
        to 1e8 in half decades, which suits standardised features.
    cv : int, splitter or iterable of (train rows, test rows)
        Inner folds that choose the penalty. A number means contiguous, unshuffled folds, or grouped ones when
        ``groups`` are passed to :meth:`fit`; for rows sorted by category pass
        ``KFold(5, shuffle=True, random_state=0)``.
    standardise : bool
        Divide each feature by its standard deviation over the rows given to :meth:`fit`.
    fit_intercept : bool
        Centre features and responses on the training rows (of each inner fold).
    method : {"auto", "primal", "dual"}
        Which Gram matrix to decompose; all give the same result.
    device : str
        ``"cpu"``, or a torch device such as ``"cuda"``.

    Attributes
    ----------
    coef_ : array of shape (n_features, n_neuroids)
        Weights of the features as given; ``(n_features,)`` for a single response vector.
    dual_coef_ : array of shape (n, n_neuroids) or None
        Weights of the training rows, where these take less memory and time than those of the features; then
        ``coef_`` is formed when it is first asked for.
    X_fit_ : array of shape (n, n_features) or None
        Features of the training rows that belong to ``dual_coef_``: ``coef_`` is ``X_fit_.T @ dual_coef_``.
    intercept_ : array of shape (n_neuroids,)
        Response to features of zero.
    alpha_ : array of shape (n_neuroids,)
        Chosen penalty, on the scale of the standardised features.
    cv_error_ : array of shape (n_alphas, n_neuroids) or None
        Mean squared error on held-out rows of every candidate; None if there was one.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    The scale of a feature comes from all rows given to ``fit``, never from rows to be predicted. The inner
    folds share it, as in a scikit-learn pipeline of a scaler and a search, so that a penalty means the same
    in every fold and in the final fit. A constant feature gets weight 0; a constant neuroid is predicted by
    its value. With a single response vector the attributes have no axis of neuroids.
    """

    _FITTED: ClassVar[tuple[str, ...]] = ("coef_", "intercept_", "alpha_")
    _coef: Any

    def __init__(
        self,
        alphas: float | Iterable[float] | None = None,
        *,
        cv: int | BaseCrossValidator | Iterable[tuple[NDArray, NDArray]] = 5,
        standardise: bool = True,
        fit_intercept: bool = True,
        method: str = "auto",
        device: str = "cpu",
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.standardise = standardise
        self.fit_intercept = fit_intercept
        self.method = method
        self.device = device

    @property
    def coef_(self) -> NDArray:
        """Weights of the features; formed when first asked for where the fit has those of the rows."""
        if self._coef is None:
            self._coef = self.X_fit_.T @ self.dual_coef_
        return self._coef

    @coef_.setter
    def coef_(self, coef: NDArray) -> None:
        self._coef = coef

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose the penalties and fit the weights.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features. float32 is computed in float32.
        y : array of shape (n, n_neuroids) or (n,)
            Responses.
        groups : array of shape (n,), optional
            Rows of one group never fall on both sides of an inner fold: runs, or the stimulus of each trial
            when rows are single presentations.

        Returns
        -------
        Ridge
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ, a penalty is not positive or there are too few rows or
            groups for the folds.
        """
        check_option("method", self.method, ("auto", "primal", "dual"))
        features, responses, single = check_training(self, X, y)
        n, n_features = features.shape
        scaled, scale = scale_features(features, self.standardise)
        if not self.standardise:
            scaled = features.copy()  # is centred in place
        alphas = check_penalties(self.alphas)
        options: dict[str, Any] = {
            "fit_intercept": self.fit_intercept,
            "method": self.method,
            "device": self.device,
            "overwrite_X": True,
            "keep_dual": n * (n_features + responses.shape[1]) < n_features * responses.shape[1],
        }
        if len(alphas) == 1:
            solution = solve_ridge(scaled, responses, alpha=alphas[0], **options)
        else:
            folds = make_folds(self.cv, features, groups)
            solution = solve_ridge_cv(scaled, responses, alphas=alphas, folds=folds, **options)
        if solution.dual:
            scaled /= scale
        else:
            np.divide(solution.coef, scale[:, None], out=solution.coef)
        coef = solution.coef[:, 0] if single else solution.coef
        self.X_fit_: Any = scaled if solution.dual else None
        self.dual_coef_: Any = coef if solution.dual else None
        self._coef = None if solution.dual else coef
        self.cv_error_: Any = None
        keep_fitted(self, single, intercept_=solution.intercept, alpha_=solution.alpha)
        if solution.cv_error is not None:
            keep_fitted(self, single, cv_error_=solution.cv_error)
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
            In the unit of the training responses.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        ValueError
            If a value is not finite or the number of features differs.
        """
        features = check_rows(self, X)
        if getattr(self, "dual_coef_", None) is None:
            prediction = features @ self.coef_
        else:
            prediction = (features @ self.X_fit_.T) @ self.dual_coef_
        prediction += self.intercept_
        return prediction

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


def make_ridge(
    features: xr.DataArray,  # noqa: ARG001 (the signature of every builder)
    data: NeuralData,  # noqa: ARG001
    *,
    seed: int = 0,  # noqa: ARG001
    device: str = "cpu",
    **options: Any,
) -> Ridge:
    """The builder of the catalog: ridge needs neither the structure of the features nor that of the data.

    Parameters
    ----------
    features : xarray.DataArray
        Features of the stimuli.
    data : xarray.DataArray
        Neural data.
    seed : int
        Ignored: nothing is drawn.
    device : str
        As :class:`Ridge`.
    **options
        Of :class:`Ridge`: ``alphas``, ``cv``, ``standardise``, ``fit_intercept`` or ``method``.

    Returns
    -------
    Ridge
        Not fitted.

    Raises
    ------
    TypeError
        If an option is none of those of :class:`Ridge`.
    """
    return Ridge(**options, device=device)
