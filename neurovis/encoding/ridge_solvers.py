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

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, import_optional
from neurovis.encoding.ridge_folds import (
    Fold,
    Folds,
    compute_fold_error,
    compute_gram,
    decompose,
    make_dual_fold,
    make_primal_fold,
    to_numpy,
)

_BLOCK_BYTES = 48e6  # of the responses and their products with the features at a time
_DEVICE_BYTES = 4e9  # the same on an accelerator
_FOLD_BYTES = 1.5e9  # of decompositions that are kept; further folds take another pass over the neuroids


@dataclass(frozen=True)
class RidgeSolution:
    """Coefficients and the penalties that cross-validation chose.

    Parameters
    ----------
    coef : array of shape (n_features, n_neuroids)
        Weights.
    intercept : array of shape (n_neuroids,)
        Zero when no intercept was fitted.
    alpha : array of shape (n_neuroids,)
        Penalty used.
    cv_error : array of shape (n_alphas, n_neuroids), optional
        Mean squared error over the held-out rows of all folds, one row per candidate penalty in the order
        given; None when no choice was made.
    """

    coef: NDArray
    intercept: NDArray
    alpha: NDArray
    cv_error: NDArray | None = None


def solve_ridge_cv(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    alphas: ArrayLike,
    folds: Folds,
    fit_intercept: bool = True,
    method: str = "auto",
    device: str = "cpu",
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
        ``"cpu"`` for numpy, otherwise a torch device such as ``"cuda"``.

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
    problem = _make_problem(features, _count_rows(folds), fit_intercept, method, device)
    return RidgeSolution(*_solve(problem, responses, _check_alphas("alphas", alphas), folds))


def solve_ridge(
    X: ArrayLike,
    Y: ArrayLike,
    *,
    alpha: ArrayLike,
    fit_intercept: bool = True,
    method: str = "auto",
    device: str = "cpu",
) -> RidgeSolution:
    """Closed-form ridge with a given penalty per neuroid, from one eigendecomposition.

    Parameters
    ----------
    X, Y, fit_intercept, method, device
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
    problem = _make_problem(features, len(features), fit_intercept, method, device)
    return RidgeSolution(*_solve(problem, responses, penalties))


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
    problem = _make_problem(features, _count_rows(folds), fit_intercept, method, device)
    return _solve(problem, responses, _check_alphas("alphas", alphas), folds, refit=False)[3]


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
    return _solve(problem, responses, _check_alphas("alphas", alphas), folds, refit=False)[3]


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
    return _solve(problem, responses, penalties)[0]


def choose_alpha(alphas: ArrayLike, cv_error: NDArray) -> NDArray[np.float64]:
    """Penalty of least error per neuroid; the largest one among exact ties.

    Parameters
    ----------
    alphas : array of shape (n_alphas,)
        Candidates in any order.
    cv_error : array of shape (n_alphas, n_neuroids)
        Error of each.

    Returns
    -------
    array of shape (n_neuroids,)
    """
    penalties = np.asarray(alphas, dtype=np.float64)
    descending = np.argsort(-penalties, kind="stable")
    return penalties[descending[np.argmin(cv_error[descending], axis=0)]]


@dataclass(frozen=True)
class _Problem:
    """What all neuroids share, on the device of the computation."""

    xp: ModuleType
    X: Any  # (n, n_features), of zero mean if centred; None where only inner products are known
    x_mean: NDArray | None  # (n_features,), zero if not centred
    gram: Any  # float64, of the features (primal) or of the rows (dual)
    dual: bool
    centre: bool
    dtype: type[np.float32] | type[np.float64]
    device: str

    def place(self, values: NDArray) -> Any:
        values = values.astype(self.dtype, copy=False)
        return values if self.xp is np else self.xp.as_tensor(values, device=self.device)

    def prepare_fold(self, rows: tuple[NDArray, NDArray], alphas: NDArray[np.float64]) -> Fold:
        dtype = getattr(self.xp, self.dtype.__name__)
        if self.dual:
            return make_dual_fold(self.xp, self.gram, rows, alphas, centre=self.centre, dtype=dtype)
        return make_primal_fold(self.xp, self.X, self.gram, rows, alphas, centre=self.centre)


@dataclass(frozen=True)
class _Refit:
    """Decomposition of all rows: coefficients are ``back U'Z / (w + alpha)``."""

    w: Any  # (rank, 1)
    U: Any  # (m, rank)
    back: list[Any]  # factors, applied in turn

    def __call__(self, Z: Any, penalty: Any) -> Any:
        A = self.U.T @ Z
        A /= self.w + penalty
        for factor in self.back:
            A = factor @ A
        return A


def _solve(
    problem: _Problem,
    Y: NDArray,
    alphas: NDArray[np.float64],
    folds: Folds = (),
    *,
    refit: bool = True,
) -> tuple[NDArray, NDArray, NDArray[np.float64], Any]:
    """Coefficients, intercepts, penalties and errors; ``alphas`` are candidates if there are folds."""
    n_neuroids, n_coef = Y.shape[1], len(problem.gram) if problem.X is None else problem.X.shape[1]
    final = _decompose_all(problem, n_neuroids) if refit else None
    coef = np.empty((n_coef, n_neuroids if refit else 0), dtype=problem.dtype)
    intercept = np.zeros(n_neuroids, dtype=problem.dtype)
    chosen = np.empty(n_neuroids) if len(folds) else alphas
    error = np.zeros((len(alphas) if len(folds) else 0, n_neuroids))
    n_tested = sum(len(test) for _, test in folds)
    batches = _batch_folds(problem, folds)
    for number, batch in enumerate(batches):
        prepared = [problem.prepare_fold(rows, alphas) for rows in batch]
        trained = np.concatenate([train for train, _ in batch]) if batch else np.arange(0)
        whole = bool(batch) and (np.bincount(trained, minlength=len(Y)) == len(batch) - 1).all()
        for block in _make_blocks(problem, Y.shape, len(batch)):
            y, y_mean = _centre(problem, Y[:, block])
            cross, own = _compute_cross(problem, prepared, y, whole)
            for fold, part in zip(prepared, own, strict=True):
                summed = compute_fold_error(problem.xp, fold, y, part, centre=problem.centre)
                error[:, block] += to_numpy(summed) / n_tested
            if final is None or number < len(batches) - 1:
                continue
            if prepared:
                chosen[block] = choose_alpha(alphas, error[:, block])
            coef[:, block] = to_numpy(final(y if problem.dual else cross, problem.place(chosen[block])))
            if problem.x_mean is not None:
                intercept[block] = y_mean - problem.x_mean @ coef[:, block]
    return coef, intercept, chosen, error if len(folds) else None


def _compute_cross(problem: _Problem, folds: list[Fold], y: Any, whole: bool) -> tuple[Any, list[Any]]:
    """``X'y`` of all rows and of the training rows of each fold; nothing in the dual.

    The rows left out by the folds make up the whole where each is left out exactly once.
    """
    if problem.dual:
        return None, [None] * len(folds)
    left_out = [fold.X_out.T @ y[fold.out] for fold in folds]
    cross = sum(left_out[1:], left_out[0]) if whole else problem.X.T @ y
    return cross, [cross - part for part in left_out]


def _decompose_all(problem: _Problem, n_neuroids: int) -> _Refit:
    w, U = decompose(problem.xp, problem.gram, getattr(problem.xp, problem.dtype.__name__))
    back = [U]
    if problem.dual and problem.X is not None:
        wide = problem.X.shape[1] > n_neuroids
        back = [U, problem.X.T] if wide else [problem.X.T @ U]
    return _Refit(problem.place(w)[:, None], U, back)


def _make_problem(
    X: NDArray, n_rows: int, centre: bool, method: str, device: str, overwrite: bool = False
) -> _Problem:
    check_option("method", method, ("auto", "primal", "dual"))
    dual = n_rows < X.shape[1] if method == "auto" else method == "dual"
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    X = X.astype(dtype, copy=False)
    x_mean = X.mean(0, dtype=np.float64).astype(dtype) if centre else np.zeros(X.shape[1], dtype)
    if centre:
        X = np.subtract(X, x_mean, out=X if overwrite else None)
    xp = _find_library(device)
    placed = X if xp is np else xp.as_tensor(X, device=device)
    gram = compute_gram(xp, placed if dual else placed.T)
    return _Problem(xp, placed, x_mean, gram, dual, centre, dtype, device)


def _make_kernel_problem(gram: NDArray, Y: NDArray, centre: bool, device: str) -> _Problem:
    kernel = gram.astype(np.float64, copy=False)
    if centre:
        column = kernel.mean(0)
        kernel = kernel - column[:, None] - column + column.mean()
    xp, dtype = _find_library(device), np.float32 if Y.dtype == np.float32 else np.float64
    placed = kernel if xp is np else xp.as_tensor(kernel, device=device)
    return _Problem(xp, None, None, placed, True, centre, dtype, device)


def _find_library(device: str) -> ModuleType:
    return np if device == "cpu" else import_optional("torch", extra="torch")


def _centre(problem: _Problem, Y: NDArray) -> tuple[Any, NDArray]:
    """A block of neuroids on the device, of zero mean if centred, and the mean."""
    mean = np.zeros(Y.shape[1], problem.dtype)
    if not problem.centre:
        return problem.place(Y), mean
    mean = Y.mean(0, dtype=np.float64).astype(problem.dtype)
    return problem.place(np.subtract(Y, mean, dtype=problem.dtype)), mean


def _make_blocks(problem: _Problem, shape: tuple[int, ...], n_folds: int) -> Iterator[slice]:
    n, n_neuroids = shape
    n_features = 0 if problem.dual else len(problem.gram)
    each = problem.dtype().itemsize * (3 * n + (n_folds + 2) * n_features)
    size = max(64, int((_BLOCK_BYTES if problem.device.startswith("cpu") else _DEVICE_BYTES) / each))
    return (slice(start, min(start + size, n_neuroids)) for start in range(0, n_neuroids, size))


def _batch_folds(problem: _Problem, folds: Folds) -> list[Folds]:
    size = max(1, int(_FOLD_BYTES / (problem.gram.shape[0] ** 2 * problem.dtype().itemsize)))
    return [folds[start : start + size] for start in range(0, len(folds), size)] or [()]


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
    slab = max(1, int(_BLOCK_BYTES / 4 / max(1, responses.shape[1])))
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
