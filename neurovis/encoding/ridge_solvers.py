"""Ridge regression with one penalty per neuroid: pure functions on arrays.

For each neuroid ``minimise ||y - b0 - X b||^2 + alpha ||b||^2`` with the intercept b0 unpenalised, and choose
``alpha`` by cross-validation. What makes it fast:

1. One Gram matrix of all rows. That of a fold's training rows is the total minus the part of the other rows
   (primal) or a block of it (dual), with the change of mean applied exactly. Gram matrices are formed and
   decomposed in float64, because their difference loses digits; the rest runs in the dtype of X.
2. One eigendecomposition per fold serves every penalty: held-out predictions are
   ``B diag(1 / (w + alpha)) A``. Over neighbouring eigenvalues w the filters of all penalties span only a few
   dimensions, so the spectrum is cut into groups with a small basis of filters each, and the errors of all
   penalties come from inner products of a few basis predictions, never from one prediction per penalty.
3. Neuroids run in blocks, so that the working set stays small whatever their number.

One code path serves numpy arrays and, for other devices than ``"cpu"``, torch tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, import_optional

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]

_EIGENVALUE_TOLERANCE = 1e-12  # of the largest: below it an eigenvalue is rounding of the Gram matrix
_GROUPS = (1, 2, 4, 8, 16, 32)  # numbers of spectral groups that are tried; the cheapest one runs
_BLOCK_BYTES = 32e6
_GRAM_BYTES = 64e6


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
    cv_error = compute_cv_error(
        X, Y, alphas=alphas, folds=folds, fit_intercept=fit_intercept, method=method, device=device
    )
    chosen = choose_alpha(alphas, cv_error)
    refit = solve_ridge(X, Y, alpha=chosen, fit_intercept=fit_intercept, method=method, device=device)
    return RidgeSolution(refit.coef, refit.intercept, chosen, cv_error)


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
    n_features, n_neuroids = features.shape[1], responses.shape[1]
    alphas = np.array(np.broadcast_to(_check_alphas("alpha", np.atleast_1d(alpha)), n_neuroids))
    xp, Xc, x_mean = _prepare(features, fit_intercept, device)
    _, Yc, y_mean = _prepare(responses.astype(x_mean.dtype, copy=False), fit_intercept, device)
    dual = _choose_dual(method, *features.shape)
    w, U = _decompose(xp, _compute_gram(xp, Xc if dual else Xc.T), Xc.dtype)
    penalty = _like(xp, alphas, Xc)
    coef = np.empty((n_features, n_neuroids), dtype=x_mean.dtype)
    for block in _make_blocks(n_neuroids, 2 * sum(features.shape) * x_mean.itemsize):
        A = U.T @ (Yc[:, block] if dual else Xc.T @ Yc[:, block])
        weights = U @ (A / (w[:, None] + penalty[block]))
        coef[:, block] = _to_numpy(Xc.T @ weights if dual else weights)
    return RidgeSolution(coef, y_mean - x_mean @ coef, alphas)


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
    penalties = _check_alphas("alphas", alphas)
    _check_folds(folds, len(features))
    xp, Xc, x_mean = _prepare(features, fit_intercept, device)
    _, Yc, _ = _prepare(responses.astype(x_mean.dtype, copy=False), fit_intercept, device)
    dual = _choose_dual(method, max(len(train) for train, _ in folds), features.shape[1])
    gram = _compute_gram(xp, Xc if dual else Xc.T)
    cross = None if dual else Xc.T @ Yc
    error = np.zeros((len(penalties), responses.shape[1]))
    for train, test in folds:
        if dual:
            split = _split_dual(xp, Yc, gram, train, test, fit_intercept)
        else:
            split = _split_primal(xp, Xc, Yc, gram, cross, train, test, fit_intercept)
        error += _compute_fold_error(xp, split, penalties)
    return error / sum(len(test) for _, test in folds)


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
    penalties = _check_alphas("alphas", alphas)
    _check_folds(folds, len(kernel))
    xp, Yc, _ = _prepare(responses, fit_intercept, device)
    kernel = _like(xp, kernel, Yc, np.float64)
    error = np.zeros((len(penalties), responses.shape[1]))
    for train, test in folds:
        split = _split_dual(xp, Yc, kernel, train, test, fit_intercept)
        error += _compute_fold_error(xp, split, penalties)
    return error / sum(len(test) for _, test in folds)


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
    n_neuroids = responses.shape[1]
    alphas = np.array(np.broadcast_to(_check_alphas("alpha", np.atleast_1d(alpha)), n_neuroids))
    xp, Yc, y_mean = _prepare(responses, fit_intercept, device)
    kernel = _like(xp, kernel, Yc, np.float64)
    if fit_intercept:
        column = kernel.mean(0)
        kernel = kernel - column[:, None] - column + column.mean()
    w, U = _decompose(xp, kernel, Yc.dtype)
    penalty = _like(xp, alphas, Yc)
    dual = np.empty(responses.shape, dtype=y_mean.dtype)
    for block in _make_blocks(n_neuroids, 3 * len(kernel) * dual.itemsize):
        dual[:, block] = _to_numpy(U @ ((U.T @ Yc[:, block]) / (w[:, None] + penalty[block])))
    return dual


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
class _Split:
    """A fold in the coordinates of its training Gram matrix: predictions are B diag(1 / (w + alpha)) A."""

    w: NDArray[np.float64]  # (rank,) eigenvalues, ascending
    B: Any  # (n_test, rank)
    project: Callable[[slice], Any]  # block of neuroids -> A (rank, n_block)
    held_out: Any  # (n_test, n_neuroids), minus the mean of the training rows


def _split_primal(
    xp: ModuleType, X: Any, Y: Any, gram: Any, cross: Any, train: NDArray, test: NDArray, centre: bool
) -> _Split:
    # Every row outside the training set is taken out, also one that is not tested (a gap in time).
    out = np.setdiff1d(np.arange(len(X)), train)
    X_out = X[out]
    x_mean, y_mean = (_train_mean(xp, Z[out], len(train), centre) for Z in (X, Y))
    own = gram - _compute_gram(xp, X_out.T) - len(train) * x_mean[:, None] * x_mean
    w, U = _decompose(xp, own, X.dtype)
    x_mean, y_mean = (xp.asarray(mean, dtype=X.dtype) for mean in (x_mean, y_mean))

    def project(block: slice) -> Any:
        own_cross = cross[:, block] - X_out.T @ Y[:, block][out]
        return U.T @ (own_cross - len(train) * x_mean[:, None] * y_mean[block])

    return _Split(_to_numpy(w), (X[test] - x_mean) @ U, project, Y[test] - y_mean)


def _split_dual(xp: ModuleType, Y: Any, gram: Any, train: NDArray, test: NDArray, centre: bool) -> _Split:
    out = np.setdiff1d(np.arange(len(Y)), train)
    own, across = gram[train][:, train], gram[test][:, train]
    if centre:
        column, grand = own.mean(0), own.mean()
        across = across - across.mean(1)[:, None] - column + grand
        own = own - column[:, None] - column + grand
    w, U = _decompose(xp, own, Y.dtype)
    y_mean = xp.asarray(_train_mean(xp, Y[out], len(train), centre), dtype=Y.dtype)
    # Centring makes the eigenvectors orthogonal to a constant, so that Y need not be centred for A.
    B = xp.asarray(across, dtype=Y.dtype) @ U
    return _Split(_to_numpy(w), B, lambda block: U.T @ Y[:, block][train], Y[test] - y_mean)


def _compute_fold_error(xp: ModuleType, split: _Split, alphas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Summed squared error of the held-out rows (n_alphas, n_neuroids)."""
    n_test, rank = split.B.shape
    # Filters relative to that of the smallest penalty lie in (0, 1]; its square root goes to either side.
    weakest = alphas.min()
    root = _like(xp, 1 / np.sqrt(split.w + weakest), split.B)
    filters = (split.w[:, None] + weakest) / (split.w[:, None] + alphas)
    groups = _compress_filters(filters, tolerance=1e-5 if split.B.itemsize == 4 else 1e-9)
    B, rotation = split.B * root, None
    if n_test > rank:
        # ||y - B a||^2 = ||y||^2 - ||Q'y||^2 + ||Q'y - R a||^2: predict rank rows instead of n_test.
        rotation, B = xp.linalg.qr(B)
    predictors = [
        (_like(xp, basis, B).T[:, None, :] * B[:, rows]).reshape(-1, basis.shape[0])
        for rows, basis, _ in groups
    ]
    # The last row stands for the truth, so that one product of inner products gives the squared error.
    mixture = np.vstack([*(mix for *_, mix in groups), np.full(len(alphas), -1.0)])
    mixing = _like(xp, mixture, B)
    error = np.empty((len(alphas), split.held_out.shape[1]))
    per_neuroid = len(mixture) * (len(B) + len(mixture) + len(alphas)) + 2 * rank
    for block in _make_blocks(error.shape[1], per_neuroid * B.itemsize):
        A = split.project(block) * root[:, None]
        y = split.held_out[:, block]
        unreachable = 0.0
        if rotation is not None:
            rotated = rotation.T @ y
            unreachable = ((y**2).sum(0) - (rotated**2).sum(0))[:, None]
            y = rotated
        predicted = _empty(xp, (A.shape[1], len(mixture), len(B)), A)
        start = 0
        for (rows, basis, _), predictor in zip(groups, predictors, strict=True):
            stop = start + basis.shape[1]
            predicted[:, start:stop] = (A[rows].T @ predictor.T).reshape(-1, stop - start, len(B))
            start = stop
        predicted[:, -1] = y.T
        products = predicted @ predicted.swapaxes(1, 2)
        error[:, block] = _to_numpy(((products @ mixing) * mixing).sum(1) + unreachable).T
    return error


def _compress_filters(
    filters: NDArray[np.float64], *, tolerance: float
) -> list[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Contiguous groups of the spectrum: rows, basis (n_rows, n_basis) and mixture (n_basis, n_alphas).

    ``basis @ mixture`` equals the filters of the group up to ``tolerance``.
    """

    level = np.log(filters[:, filters[-1].argmin()])

    def compress(n_groups: int) -> list[tuple[slice, NDArray, NDArray]]:
        # Steps that are even in both count and logarithm keep a group short as well as narrow.
        place = np.linspace(0, 1, len(filters)) + (level - level[0]) / max(np.ptp(level), 1e-12)
        inner = np.searchsorted(place, np.linspace(0, place[-1], n_groups + 1)[1:-1])
        edges = np.unique([0, *inner, len(filters)])
        groups = []
        for start, stop in itertools.pairwise(edges):
            U, s, Vt = np.linalg.svd(filters[start:stop], full_matrices=False)
            keep = max(1, int((s > tolerance).sum()))
            groups.append((slice(start, stop), U[:, :keep] * s[:keep], Vt[:keep]))
        return groups

    def cost(groups: list[tuple[slice, NDArray, NDArray]]) -> int:
        # Products of the basis predictions are small and batched: each counts about double.
        return sum(basis.size for _, basis, _ in groups) + 2 * sum(len(mix) for *_, mix in groups) ** 2

    return min((compress(n_groups) for n_groups in _GROUPS), key=cost)


def _compute_gram(xp: ModuleType, Z: Any) -> Any:
    """``Z @ Z.T`` in float64, a slab of columns at a time."""
    total, width = 0.0, max(1, int(_GRAM_BYTES / 8 / max(1, len(Z))))
    for start in range(0, Z.shape[1], width):
        slab = xp.asarray(Z[:, start : start + width], dtype=xp.float64)
        total = total + slab @ slab.T
    return total


def _decompose(xp: ModuleType, gram: Any, dtype: Any) -> tuple[Any, Any]:
    """Eigenvalues above rounding (rank,), ascending, and their eigenvectors (m, rank) in ``dtype``."""
    w, U = xp.linalg.eigh(gram)
    keep = w > w[-1] * _EIGENVALUE_TOLERANCE
    keep[-1] = True  # constant features have no eigenvalue above rounding, and predict nothing
    return w[keep].clip(0), xp.asarray(U[:, keep], dtype=dtype)


def _train_mean(xp: ModuleType, out: Any, n_train: int, centre: bool) -> Any:
    """Mean of the training rows in float64; the rows of all sum to 0, so those left out tell it."""
    return out.sum(0, dtype=xp.float64) * (-float(centre) / n_train)


def _prepare(Z: NDArray, centre: bool, device: str) -> tuple[ModuleType, Any, NDArray]:
    """Array of the chosen device, of zero mean if ``centre``, and the mean as a numpy array."""
    dtype = np.float32 if Z.dtype == np.float32 else np.float64
    Z = Z.astype(dtype, copy=False)
    mean = Z.mean(0, dtype=np.float64).astype(dtype) * dtype(centre)
    if centre:
        Z = Z - mean
    if device == "cpu":
        return np, Z, mean
    torch = import_optional("torch", extra="torch")
    return torch, torch.as_tensor(Z, device=device), mean


def _choose_dual(method: str, n_rows: int, n_features: int) -> bool:
    check_option("method", method, ("auto", "primal", "dual"))
    return n_rows < n_features if method == "auto" else method == "dual"


def _make_blocks(n: int, bytes_each: float) -> Iterator[slice]:
    size = max(16, int(_BLOCK_BYTES / bytes_each))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _like(xp: ModuleType, values: NDArray, other: Any, dtype: Any = None) -> Any:
    """Values as an array of the library and device of ``other``, and of its dtype unless one is given."""
    if xp is np:
        return values.astype(dtype or other.dtype, copy=False)
    if dtype is not None:
        values, dtype = values.astype(dtype, copy=False), None
        return xp.as_tensor(values, device=other.device)
    return xp.as_tensor(values, dtype=other.dtype, device=other.device)


def _empty(xp: ModuleType, shape: tuple[int, ...], other: Any) -> Any:
    return xp.empty(shape, dtype=other.dtype) if xp is np else other.new_empty(shape)


def _to_numpy(values: Any) -> NDArray:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _check_kernel(gram: ArrayLike, Y: ArrayLike) -> tuple[NDArray, NDArray]:
    kernel, responses = _check_rows(gram, Y, parameter="gram")
    if kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"gram must be square, got shape {kernel.shape}; pass X @ X.T.")
    return kernel, responses


def _check_rows(X: ArrayLike, Y: ArrayLike, parameter: str = "X") -> tuple[NDArray, NDArray]:
    features = check_array(parameter, X, ndim=2, remedy="drop rows and features with missing values")
    responses = check_array("Y", Y, ndim=2, remedy="drop rows and neuroids with missing values")
    if len(features) != len(responses) or len(features) < 2:
        raise ValueError(
            f"{parameter} and Y must have the same number of rows, at least 2, got {len(features)} and "
            f"{len(responses)}; align features and responses by stimulus_id."
        )
    return features, responses


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
