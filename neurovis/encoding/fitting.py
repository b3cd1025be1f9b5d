"""What the encoders around ridge share: checked input, penalties, folds, scales and the shape of results."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.utils.validation import check_is_fitted

from neurovis.core import check_array, check_option
from neurovis.core.estimators import validate_estimator_input
from neurovis.encoding.ridge_solvers import Folds
from neurovis.metrics.regression import r2

DEFAULT_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-1, 8, 19))

_SLAB_BYTES = 16e6  # of columns at a time, in float64


def check_training(estimator: BaseEstimator, X: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray, bool]:
    """Features and responses for a fit.

    Parameters
    ----------
    estimator : BaseEstimator
        Keeps the number of features.
    X : array of shape (n, n_features)
        Features. float32 stays float32.
    y : array of shape (n, n_neuroids) or (n,)
        Responses.

    Returns
    -------
    features : array of shape (n, n_features)
    responses : array of shape (n, n_neuroids)
    single : bool
        Whether ``y`` was a single vector; see :func:`keep_fitted`.

    Raises
    ------
    ValueError
        If a value is not finite, rows differ or there are fewer than 2.
    """
    features, measured = validate_estimator_input(
        estimator, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True
    )
    if len(features) < 2:
        raise ValueError(f"X must have at least 2 rows, got {len(features)} sample; add rows.")
    single = measured.ndim == 1
    return features, measured[:, None] if single else measured, single


def check_rows(estimator: BaseEstimator, X: ArrayLike) -> NDArray:
    """Features to predict from, for a fitted estimator.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted.
    X : array of shape (n, n_features)
        Features in the unit of the training features.

    Returns
    -------
    array of shape (n, n_features)

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ValueError
        If a value is not finite or the number of features differs.
    """
    check_is_fitted(estimator)
    features: NDArray = validate_estimator_input(estimator, X, dtype=[np.float64, np.float32], reset=False)
    return features


def keep_fitted(estimator: BaseEstimator, single: bool, **fitted: NDArray) -> None:
    """Set fitted attributes whose last axis is the neuroid; a single response vector has no such axis.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets the attributes.
    single : bool
        From :func:`check_training`.
    **fitted : array of shape (..., n_neuroids)
        Attributes by name.
    """
    for name, values in fitted.items():
        setattr(estimator, name, values[..., 0] if single else values)


def check_penalties(alphas: float | Iterable[float] | None) -> NDArray[np.float64]:
    """Candidate penalties of the parameter ``alphas``.

    Parameters
    ----------
    alphas : float or sequence of float, optional
        Positive; by default 19 from 0.1 to 1e8.

    Returns
    -------
    array of shape (n_alphas,)

    Raises
    ------
    ValueError
        If they are no list of finite, positive numbers.
    """
    given = DEFAULT_ALPHAS if alphas is None else alphas
    remedy = "pass one penalty or a flat list of them, such as [1, 10, 100]"
    penalties = check_array("alphas", given, ndim=(0, 1), dtype=np.float64, remedy=remedy)
    if not penalties.size or penalties.min() <= 0:
        came = penalties.min() if penalties.size else "none"
        raise ValueError(
            f"alphas must be positive, got {came}; use a small penalty such as 1e-6 in place of 0."
        )
    return np.atleast_1d(penalties)


def check_count(parameter: str, value: Any, *, remedy: str) -> int:
    """A whole number of at least 0.

    Parameters
    ----------
    parameter : str
        Name of the argument, for the message.
    value : int
        What came.
    remedy : str
        What to do instead.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{parameter} must be a whole number of at least 0, got {value!r}; {remedy}.")
    return int(value)


def make_folds(cv: Any, X: NDArray, groups: ArrayLike | None) -> Folds:
    """Inner folds as pairs of rows, for the parameter ``cv`` and the ``groups`` of a fit.

    Parameters
    ----------
    cv : int, splitter or iterable of (train rows, test rows)
        A number means contiguous folds, or grouped ones when there are groups.
    X : array of shape (n, n_features)
        Features of the training rows.
    groups : array of shape (n,), optional
        Rows of one group stay together.

    Returns
    -------
    list of (train rows, test rows)

    Raises
    ------
    ValueError
        If ``cv`` is none of these, or there are too few rows or groups for the folds.
    """
    if isinstance(cv, Integral) and not isinstance(cv, bool):
        n_folds = int(cv)
        n_units = len(X) if groups is None else len(np.unique(np.asarray(groups)))
        if not 2 <= n_folds <= n_units:
            unit = "rows" if groups is None else "groups"
            raise ValueError(f"cv must be between 2 and the {n_units} {unit}, got {cv}; pass fewer folds.")
        cv = n_folds if groups is None else GroupKFold(n_folds)
    elif isinstance(cv, str) or not (hasattr(cv, "split") or isinstance(cv, Iterable)):
        raise ValueError(
            "cv must be a number of folds, a splitter or pairs of train and test rows, got "
            f"{cv!r}; pass for example 5."
        )
    return list(check_cv(cv).split(X, groups=groups))


def scale_features(X: NDArray, standardise: bool) -> tuple[NDArray, NDArray]:
    """Features divided by their standard deviation, and that scale.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Training rows.
    standardise : bool
        Otherwise the features are returned as they are, with a scale of 1.

    Returns
    -------
    scaled : array of shape (n, n_features)
    scale : array of shape (n_features,)

    Raises
    ------
    ValueError
        If ``standardise`` is something else.
    """
    check_option("standardise", standardise, (True, False), remedy="only BandedRidge also scales by 'space'")
    if not standardise:
        return X, np.ones(X.shape[1], dtype=X.dtype)
    scale = compute_scale(X)
    return X / scale, scale


def compute_scale(X: NDArray) -> NDArray:
    """Standard deviation of each feature in the dtype of ``X``; 1 where it is constant up to rounding."""
    scale = np.empty(X.shape[1], dtype=X.dtype)
    width = max(1, int(_SLAB_BYTES / 8 / len(X)))
    for start in range(0, X.shape[1], width):
        columns = X[:, start : start + width]
        sd = columns.std(axis=0, dtype=np.float64)
        constant = sd <= 10 * np.finfo(X.dtype).eps * np.abs(columns).max(axis=0)
        scale[start : start + width] = np.where(constant, 1.0, sd)
    return scale


def score_neuroids(truth: ArrayLike, prediction: NDArray) -> Any:
    """R^2 of each neuroid; a float where the prediction is a single vector.

    Parameters
    ----------
    truth : array of shape (n, n_neuroids) or (n,)
        Measured responses.
    prediction : array of the same shape
        What an encoder's ``predict`` returned.

    Returns
    -------
    array of shape (n_neuroids,) or float
        :func:`neurovis.metrics.regression.r2`.
    """
    if prediction.ndim == 1:
        return float(r2(np.reshape(truth, (-1, 1)), prediction[:, None])[0])
    measured = np.asarray(truth)
    width = max(1, int(_SLAB_BYTES / 8 / len(prediction)))
    if measured.shape != prediction.shape or measured.shape[1] <= width:
        return r2(measured, prediction)  # which also says what does not fit
    slabs = (slice(start, start + width) for start in range(0, prediction.shape[1], width))
    return np.concatenate([r2(measured[:, slab], prediction[:, slab]) for slab in slabs])
