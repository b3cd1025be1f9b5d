"""How well responses are predicted, one value per neuroid: correlation and explained variance.

Every function has the signature of :data:`neurovis.core.Metric`: truth ``(n, k)`` and prediction ``(n, k)``
to ``(k,)``. Columns are never averaged here; a summary over neuroids is the caller's decision.

A column without variance has no defined correlation or explained variance. It scores 0 here: a constant
prediction explains none of the variance of the truth, and a constant truth leaves none to explain. Unlike
NaN, 0 passes through medians, permutation tests and false-discovery control as what it is, no evidence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from neurovis.core import check_array


def pearson_r(truth: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """Pearson correlation of each column of the truth with the same column of the prediction.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Measured and predicted responses, any unit; finite, ``n >= 2``.

    Returns
    -------
    array of shape (k,)
        In [-1, 1]; 0 where the truth or the prediction is constant (see the module's docstring).

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two rows, or a value is not finite.
    """
    truth, prediction = check_pair(truth, prediction)
    return np.clip((standardise_columns(truth) * standardise_columns(prediction)).sum(axis=0), -1.0, 1.0)


def spearman_r(truth: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """Spearman correlation per column: :func:`pearson_r` of the ranks, ties given their mean rank.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Measured and predicted responses; finite, ``n >= 2``.

    Returns
    -------
    array of shape (k,)
        In [-1, 1]; 0 where a column is constant.

    Raises
    ------
    ValueError
        As :func:`pearson_r`.
    """
    truth, prediction = check_pair(truth, prediction)
    return pearson_r(rankdata(truth, axis=0), rankdata(prediction, axis=0))


def r2(truth: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """Coefficient of determination per column: 1 - residual sum of squares / total sum of squares.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Measured and predicted responses in the same unit; finite, ``n >= 2``.

    Returns
    -------
    array of shape (k,)
        In (-inf, 1]; 0 for the mean of the truth as prediction, and where the truth is constant.

    Raises
    ------
    ValueError
        As :func:`pearson_r`.
    """
    truth, prediction = check_pair(truth, prediction)
    residual = ((truth - prediction) ** 2).sum(axis=0)
    return _one_minus_ratio(residual, truth)


def explained_variance(truth: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """One minus the variance of the residual over the variance of the truth; blind to an offset.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Measured and predicted responses in the same unit; finite, ``n >= 2``.

    Returns
    -------
    array of shape (k,)
        In (-inf, 1], at least :func:`r2`; 0 where the truth is constant.

    Raises
    ------
    ValueError
        As :func:`pearson_r`.
    """
    truth, prediction = check_pair(truth, prediction)
    residual = truth - prediction
    return _one_minus_ratio(((residual - residual.mean(axis=0)) ** 2).sum(axis=0), truth)


def check_pair(truth: ArrayLike, prediction: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return truth and prediction as float64 arrays of one shape ``(n, k)``; raise otherwise.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        What came.

    Raises
    ------
    ValueError
        If a value is not finite, the shapes differ or there are fewer than two rows.
    """
    truth = check_array(
        "truth", truth, ndim=2, dtype=np.float64, remedy="drop or fill the missing rows first"
    )
    prediction = check_array("prediction", prediction, ndim=2, dtype=np.float64)
    if truth.shape != prediction.shape:
        raise ValueError(
            f"prediction must have the shape of truth {truth.shape}, got {prediction.shape}; "
            "align rows by stimulus_id and columns by neuroid_id."
        )
    if len(truth) < 2:
        raise ValueError(f"truth must have at least 2 rows, got {len(truth)}; score more stimuli.")
    return truth, prediction


def standardise_columns(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of zero mean and unit length, so that their inner products are correlations.

    Parameters
    ----------
    values : array of shape (n, k)
        Finite.

    Returns
    -------
    array of shape (n, k)
        Constant columns are 0 throughout.
    """
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    varies = length > _rounding(values)
    return np.divide(centred, length, out=np.zeros_like(centred), where=varies)


def _rounding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length that rounding alone gives a constant column after its mean is taken out."""
    return 4 * np.finfo(np.float64).eps * np.sqrt(len(values)) * np.abs(values).max(axis=0)


def _one_minus_ratio(residual: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    varies = np.sqrt(total) > _rounding(truth)
    ratio: NDArray[np.float64] = np.divide(residual, total, out=np.ones_like(total), where=varies)
    return 1 - ratio
