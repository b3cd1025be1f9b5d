"""Ridge regression with one penalty per neuroid: pure functions on arrays.

For each neuroid ``minimise ||y - b0 - X b||^2 + alpha ||b||^2`` with the intercept b0 unpenalised, and choose
``alpha`` by cross-validation. What makes it fast and small:

1. One Gram matrix of all rows. That of a fold's training rows is the total minus the part of the other rows
   (primal) or a block of it (dual), with the change of mean applied exactly. Gram matrices are formed and
   decomposed in float64, because their difference loses digits; the rest runs in the dtype of X.
2. One eigendecomposition per fold serves every penalty (:mod:`neurovis.encoding.ridge_folds`).
3. Neuroids pass once, in blocks: centred, cross-validated and refitted while they are in memory. Beside X, Y
   and the coefficients there are a decomposition per fold and the buffers of a block, whatever the number of
   neuroids.

One code path serves numpy arrays and, for other devices than ``"cpu"``, torch tensors; ``"cpu:0"`` runs torch
on the processor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.encoding.ridge_blocks import (
    RidgeProblem,
    RidgeSolution,
    choose_alpha,
    make_kernel_problem,
    make_problem,
    solve_problem,
)
from neurovis.encoding.ridge_folds import Folds

__all__ = [
    "Folds",
    "RidgeSolution",
    "choose_alpha",
    "compute_cv_error",
    "compute_kernel_cv_error",
    "solve_kernel_ridge",
    "solve_ridge",
    "solve_ridge_cv",
]

_CHECK_BYTES = 16e6


def solve_ridge_cv(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    alphas: ArrayLike,
    folds: Folds,
    fit_intercept: bool = True,
    method: str = "auto",
    device: str = "cpu",
    overwrite_X: bool = False,
    keep_dual: bool = False,
) -> RidgeSolution:
    """Ridge with the penalty of each neuroid chosen by cross-validation, then refitted on all rows.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Features, finite. float32 stays float32; everything else is computed in float64.
    Y : array of shape (n, n_neuroids)
        Responses, finite.
    alphas : array of shape (n_alphas,)
        Candidate penalties, positive.
    folds : sequence of (train rows, test rows)
        Integer rows of each fold, without overlap inside a fold. Rows in neither part are left out of it.
    fit_intercept : bool
        Centre X and Y on the training rows of each fold.
    method : {"auto", "primal", "dual"}
        Decompose the features' Gram matrix, the rows', or the smaller one.
    device : str
        ``"cpu"`` for numpy, otherwise a torch device such as ``"cuda"``, or ``"cpu:0"`` for torch on the
        processor.
    overwrite_X : bool
        Centre X in place, which saves a copy where the caller needs it no more.
    keep_dual : bool
        Where the rows' Gram matrix is decomposed, return the weights of the rows, which are fewer.

    Returns
    -------
    RidgeSolution
        Coefficients in the dtype of the computation; ``alpha`` and ``cv_error`` are float64.

    Raises
    ------
    ValueError
        If a penalty is not positive, a value is not finite, the numbers of rows differ or a fold is empty or
        trains on its own test rows.

    Notes
    -----
    The error is pooled over the rows of all folds, so that each held-out row counts once whatever the size of
    its fold. On exact ties, such as a constant neuroid, the largest penalty wins.
    """
    features, responses = _check_rows(X, Y)
    _check_folds(folds, len(features))
    problem = make_problem(
        features,
        _count_rows(folds),
        centre=fit_intercept,
        method=method,
        device=device,
        overwrite=overwrite_X,
        keep_dual=keep_dual,
    )
    return solve_problem(problem, responses, _check_alphas("alphas", alphas), folds)


def solve_ridge(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    alpha: ArrayLike,
    fit_intercept: bool = True,
    method: str = "auto",
    device: str = "cpu",
    overwrite_X: bool = False,
    keep_dual: bool = False,
) -> RidgeSolution:
    """Closed-form ridge with a given penalty per neuroid, from one eigendecomposition.

    Parameters
    ----------
    X, Y, fit_intercept, method, device, overwrite_X, keep_dual
        As :func:`solve_ridge_cv`.
    alpha : float or array of shape (n_neuroids,)
        Penalty, positive.

    Returns
    -------
    RidgeSolution

    Raises
    ------
    ValueError
        If a penalty is not positive, a value is not finite or the numbers of rows differ.
    """
    features, responses = _check_rows(X, Y)
    penalties = _check_alpha(alpha, responses.shape[1])
    problem = make_problem(
        features,
        len(features),
        centre=fit_intercept,
        method=method,
        device=device,
        overwrite=overwrite_X,
        keep_dual=keep_dual,
    )
    return solve_problem(problem, responses, penalties)


def compute_cv_error(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    alphas: ArrayLike,
    folds: Folds,
    fit_intercept: bool = True,
    method: str = "auto",
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Mean squared error on held-out rows for every penalty and neuroid.

    Parameters
    ----------
    X, Y, alphas, folds, fit_intercept, method, device
        As :func:`solve_ridge_cv`.

    Returns
    -------
    array of shape (n_alphas, n_neuroids)

    Raises
    ------
    ValueError
        As :func:`solve_ridge_cv`.
    """
    features, responses = _check_rows(X, Y)
    _check_folds(folds, len(features))
    problem = make_problem(
        features,
        _count_rows(folds),
        centre=fit_intercept,
        method=method,
        device=device,
    )
    return _compute_error(problem, responses, _check_alphas("alphas", alphas), folds)


def compute_kernel_cv_error(
    gram: ArrayLike,
    Y: ArrayLike,
    *,
    alphas: ArrayLike,
    folds: Folds,
    fit_intercept: bool = True,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """As :func:`compute_cv_error`, from the inner products of the rows in place of the features.

    Parameters
    ----------
    gram : array of shape (n, n)
        Inner products ``X @ X.T``, symmetric, or a positive sum of those of several feature spaces. It need
        not be centred.
    Y, alphas, folds, fit_intercept, device
        As :func:`solve_ridge_cv`. Y decides the dtype; the Gram matrix is decomposed in float64.

    Returns
    -------
    array of shape (n_alphas, n_neuroids)

    Raises
    ------
    ValueError
        As :func:`solve_ridge_cv`, or if ``gram`` is not square with a row per row of Y.
    """
    kernel, responses = _check_kernel(gram, Y)
    _check_folds(folds, len(kernel))
    problem = _make_kernel_problem(kernel, responses, fit_intercept, device)
    return _compute_error(problem, responses, _check_alphas("alphas", alphas), folds)


def solve_kernel_ridge(
    gram: ArrayLike, Y: ArrayLike, *, alpha: ArrayLike, fit_intercept: bool = True, device: str = "cpu"
) -> NDArray:
    """Dual coefficients of ridge from the inner products of the rows.

    Parameters
    ----------
    gram : array of shape (n, n)
        As :func:`compute_kernel_cv_error`.
    Y, fit_intercept, device
        As :func:`solve_ridge_cv`.
    alpha : float or array of shape (n_neuroids,)
        Penalty, positive.

    Returns
    -------
    array of shape (n, n_neuroids)
        Weights of the training rows: the coefficients are ``X.T @ dual``. With an intercept each column sums
        to 0, so that X need not be centred, and the intercept is ``Y.mean(0) - gram.mean(0) @ dual``.

    Raises
    ------
    ValueError
        As :func:`solve_ridge`, or if ``gram`` is not square with a row per row of Y.
    """
    kernel, responses = _check_kernel(gram, Y)
    penalties = _check_alpha(alpha, responses.shape[1])
    problem = _make_kernel_problem(kernel, responses, fit_intercept, device)
    return solve_problem(problem, responses, penalties).coef


def _compute_error(
    problem: RidgeProblem, Y: NDArray, alphas: NDArray[np.float64], folds: Folds
) -> NDArray[np.float64]:
    error = solve_problem(problem, Y, alphas, folds, refit=False).cv_error
    assert error is not None  # there are folds
    return error


def _make_kernel_problem(gram: NDArray, Y: NDArray, centre: bool, device: str) -> RidgeProblem:
    dtype = np.float32 if Y.dtype == np.float32 else np.float64
    return make_kernel_problem(gram, dtype, centre=centre, device=device)


def _count_rows(folds: Folds) -> int:
    return max(len(train) for train, _ in folds)


def _check_kernel(gram: ArrayLike, Y: ArrayLike) -> tuple[NDArray, NDArray]:
    kernel, responses = _check_rows(gram, Y, parameter="gram")
    if kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"gram must be square, got shape {kernel.shape}; pass X @ X.T.")
    return kernel, responses


def _check_rows(X: ArrayLike, Y: ArrayLike, parameter: str = "X") -> tuple[NDArray, NDArray]:
    features = check_array(parameter, X, ndim=2, remedy="drop rows and features with missing values")
    responses = check_array("Y", Y, ndim=2, finite=False)
    if len(features) != len(responses) or len(features) < 2:
        raise ValueError(
            f"{parameter} and Y must have the same number of rows, at least 2, got {len(features)} and "
            f"{len(responses)}; align features and responses by stimulus_id."
        )
    slab = max(1, int(_CHECK_BYTES / 4 / max(1, responses.shape[1])))
    for start in range(0, len(responses), slab):
        check_array("Y", responses[start : start + slab], remedy="drop rows and neuroids with missing values")
    return features, responses


def _check_alpha(alpha: ArrayLike, n_neuroids: int) -> NDArray[np.float64]:
    penalties = _check_alphas("alpha", np.atleast_1d(alpha))
    if len(penalties) not in (1, n_neuroids):
        raise ValueError(
            f"alpha must hold one penalty or one per neuroid, got {len(penalties)} for {n_neuroids} neuroids."
        )
    return np.array(np.broadcast_to(penalties, n_neuroids))


def _check_alphas(parameter: str, alphas: ArrayLike) -> NDArray[np.float64]:
    penalties = check_array(parameter, alphas, ndim=1, dtype=np.float64)
    if not len(penalties) or (penalties <= 0).any():
        raise ValueError(
            f"{parameter} must be positive, got {penalties.min() if len(penalties) else 'none'}; "
            "use a small penalty such as 1e-6 in place of 0."
        )
    return penalties


def _check_folds(folds: Folds, n: int) -> None:
    if not len(folds):
        raise ValueError("folds must hold at least one (train, test) pair of rows, got none.")
    for number, (train, test) in enumerate(folds):
        for name, rows in (("train", train), ("test", test)):
            if not len(rows) or len(np.unique(rows)) != len(rows) or np.min(rows) < 0 or np.max(rows) >= n:
                raise ValueError(
                    f"{name} rows of fold {number} must be distinct, within 0 and {n - 1} and at least one, "
                    f"got {len(rows)} rows; check the cross-validation splitter."
                )
        if len(np.intersect1d(train, test)):
            raise ValueError(
                f"fold {number} must not train on its own test rows, "
                f"got {len(np.intersect1d(train, test))} shared rows; check the cross-validation splitter."
            )
