"""Held-out error of every ridge penalty at once, for one fold of a cross-validation.

One eigendecomposition per fold serves every penalty: held-out predictions are ``B diag(1 / (w + alpha)) A``.
Over neighbouring eigenvalues w the filters of all penalties span only a few dimensions, so the spectrum is
cut into groups with a small basis of filters each. A block of neuroids is predicted once per basis filter,
and one small matrix product turns these into the residuals of every penalty.

One code path serves numpy arrays and torch tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]

_EIGENVALUE_TOLERANCE = 1e-12  # of the largest: below it an eigenvalue is rounding of the Gram matrix
_GROUPS = (1, 2, 4, 6, 8, 12)  # numbers of spectral groups that are tried; the cheapest one runs
_GRAM_BYTES = 64e6
_CACHE_BYTES = 8e6  # of predictions at a time: they stay in the last-level cache of a processor
_DEVICE_BYTES = 512e6  # the same on an accelerator, which wants large products
_TEST_ROWS = 128


@dataclass(frozen=True)
class Fold:
    """A fold in the coordinates of its training Gram matrix, ready for blocks of neuroids.

    Parameters
    ----------
    train, test, out : slice or array of int
        Rows to learn from, rows to predict, and all rows that are not learnt from.
    n_train : int
        Number of rows to learn from.
    U : array of shape (m, rank)
        Eigenvectors over the features (primal) or the training rows (dual), divided by
        ``sqrt(w + min(alphas))``.
    X_out : array of shape (n_out, n_features), optional
        Features of the rows in ``out``; None in the dual.
    shift : array of shape (rank,), optional
        What the mean of the training rows adds to the projection of a neuroid of training mean 1.
    predictors : list of (slice, int, list of (slice, array))
        For a run of test rows: the first basis filter that reaches them, and per group from there its part of
        the spectrum and the predictors of its basis filters (n_basis * n_rows, n_spectrum).
    mixing : array of shape (n_alphas, n_basis_total + 1)
        Residuals of all penalties from the basis predictions and the truth.
    rotation : array of shape (n_test, rank), optional
        Where rows are more than dimensions, an orthonormal basis of what can be predicted of them.
    """

    train: Any
    test: Any
    out: Any
    n_train: int
    U: Any
    X_out: Any
    shift: Any
    predictors: list[tuple[slice, int, list[tuple[slice, Any]]]]
    mixing: Any
    rotation: Any


def make_primal_fold(
    xp: ModuleType,
    X: Any,
    gram: Any,
    rows: tuple[NDArray, NDArray],
    alphas: NDArray[np.float64],
    *,
    centre: bool,
) -> Fold:
    """Decompose the features' Gram matrix of a fold's training rows.

    Parameters
    ----------
    xp : module
        numpy or torch.
    X : array of shape (n, n_features)
        Features, of zero mean if ``centre``.
    gram : array of shape (n_features, n_features)
        Their Gram matrix in float64.
    rows : (train rows, test rows)
        The fold.
    alphas : array of shape (n_alphas,)
        Penalties.
    centre : bool
        Remove the mean of the training rows.

    Returns
    -------
    Fold
    """
    train, test = rows
    # Every row outside the training set is taken out, also one that is not tested (a gap in time).
    out = as_index(xp, np.setdiff1d(np.arange(len(X)), train), X)
    X_out, n_train = X[out], len(train)
    own = gram - compute_gram(xp, X_out.T)
    held_out, shift, x_mean = X[as_index(xp, test, X)], None, None
    if centre:
        x_mean = compute_train_mean(xp, X_out, n_train)
        own -= n_train * x_mean[:, None] * x_mean
        x_mean = xp.asarray(x_mean, dtype=X.dtype)
        held_out = held_out - x_mean
    w, U = decompose(xp, own, X.dtype)
    U, predict = _weigh(xp, w, U, held_out @ U, alphas)
    if centre:
        shift = n_train * (U.T @ x_mean)
    train, test = (as_index(xp, part, X) for part in rows)
    return Fold(train, test, out, n_train, U, X_out, shift, *predict)


def make_dual_fold(
    xp: ModuleType,
    gram: Any,
    rows: tuple[NDArray, NDArray],
    alphas: NDArray[np.float64],
    *,
    centre: bool,
    dtype: Any,
) -> Fold:
    """Decompose the Gram matrix of a fold's training rows.

    Parameters
    ----------
    xp, rows, alphas, centre
        As :func:`make_primal_fold`.
    gram : array of shape (n, n)
        Inner products of all rows in float64, centred or not.
    dtype : dtype
        Of the responses.

    Returns
    -------
    Fold
    """
    train, test, out = (
        as_index(xp, part, gram) for part in (*rows, np.setdiff1d(np.arange(len(gram)), rows[0]))
    )
    own, across = gram[train][:, train], gram[test][:, train]
    if centre:
        column, grand = own.mean(0), own.mean()
        across = across - across.mean(1)[:, None] - column + grand
        own = own - column[:, None] - column + grand
    w, U = decompose(xp, own, dtype)
    U, predict = _weigh(xp, w, U, xp.asarray(across, dtype=dtype) @ U, alphas)
    # Centring makes the eigenvectors orthogonal to a constant, so that responses need no shift.
    return Fold(train, test, out, len(rows[0]), U, None, None, *predict)


def _weigh(
    xp: ModuleType, w: NDArray[np.float64], U: Any, B: Any, alphas: NDArray[np.float64]
) -> tuple[Any, tuple[list, Any, Any]]:
    """Eigenvectors with a share of the filters, and (predictors, mixing, rotation)."""
    # Filters relative to that of the smallest penalty lie in (0, 1]; its square root goes to either side.
    weakest = alphas.min()
    root = like(xp, 1 / np.sqrt(w + weakest), U)
    filters = (w[:, None] + weakest) / (w[:, None] + alphas)
    groups = compress_filters(filters, tolerance=3e-5 if U.itemsize == 4 else 1e-9)
    U, B, rotation = U * root, B * root, None
    if len(B) > len(w):
        # ||y - B a||^2 = ||y||^2 - ||Q'y||^2 + ||Q'y - R a||^2: predict rank rows instead of n_test.
        rotation, B = _compute_qr(xp, B)
    starts = np.cumsum([0, *(len(mix) for *_, mix in groups)])
    predictors = []
    for start in range(0, len(B), _TEST_ROWS):
        rows = slice(start, start + _TEST_ROWS)
        # R is triangular: a part of the spectrum reaches no row below its end.
        first = 0 if rotation is None else sum(part.stop <= start for part, *_ in groups)
        weighted = [
            (part, (like(xp, basis.T, B)[:, None, :] * B[rows, part]).reshape(-1, len(basis)))
            for part, basis, _ in groups[first:]
        ]
        predictors.append((rows, int(starts[first]), weighted))
    # The last column stands for the truth, so that the products are residuals.
    mixture = np.vstack([*(mix for *_, mix in groups), np.full(len(alphas), -1.0)])
    return U, (predictors, like(xp, mixture.T, B), rotation)


def compute_fold_error(xp: ModuleType, fold: Fold, Y: Any, own_cross: Any, *, centre: bool) -> Any:
    """Summed squared error of a fold's held-out rows for a block of neuroids.

    Parameters
    ----------
    xp : module
        numpy or torch.
    fold : Fold
        From :func:`make_primal_fold` or :func:`make_dual_fold`.
    Y : array of shape (n, n_block)
        Responses, of zero mean if ``centre``.
    own_cross : array of shape (n_features, n_block), optional
        ``X.T @ Y`` over the training rows; None in the dual.
    centre : bool
        Remove the mean of the training rows.

    Returns
    -------
    array of shape (n_alphas, n_block)
    """
    A = fold.U.T @ (Y[fold.train] if own_cross is None else own_cross)
    truth = Y[fold.test]
    if centre:
        y_mean = xp.asarray(compute_train_mean(xp, Y[fold.out], fold.n_train), dtype=Y.dtype)
        truth = truth - y_mean
        if fold.shift is not None:
            A -= fold.shift[:, None] * y_mean
    n_block = A.shape[1]
    error = xp.zeros((len(fold.mixing), n_block), dtype=A.dtype, **_place(xp, A))
    if fold.rotation is not None:
        rotated = fold.rotation.T @ truth
        error += (truth**2).sum(0) - (rotated**2).sum(0)
        truth = rotated
    n_alphas, n_basis = fold.mixing.shape
    n_rows = min(_TEST_ROWS, len(truth))
    budget = _CACHE_BYTES if xp is np or A.device.type == "cpu" else _DEVICE_BYTES
    width = min(n_block, max(64, int(budget / ((n_alphas + n_basis) * n_rows * A.itemsize))))
    buffers = [_empty(xp, size * n_rows * width, A) for size in (n_basis, n_alphas)]
    for rows, skipped, groups in fold.predictors:
        mixing = fold.mixing[:, skipped:]
        for start in range(0, n_block, width):
            columns = slice(start, min(start + width, n_block))
            y = truth[rows, columns]
            predicted, residual = (
                buffer[: size * y.shape[0] * y.shape[1]].reshape(size, -1)
                for buffer, size in zip(buffers, mixing.shape[::-1], strict=True)
            )
            first = 0
            for part, predictor in groups:
                last = first + len(predictor) // len(y)
                out = predicted[first:last].reshape(len(predictor), -1)
                xp.matmul(predictor, A[part, columns], out=out)
                first = last
            predicted[-1] = y.reshape(-1)
            xp.matmul(mixing, predicted, out=residual)
            residual *= residual
            error[:, columns] += residual.reshape(n_alphas, len(y), -1).sum(1)
    return error


def compress_filters(
    filters: NDArray[np.float64], *, tolerance: float
) -> list[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
    """Contiguous groups of the spectrum with a small basis of filters each.

    Parameters
    ----------
    filters : array of shape (n_spectrum, n_alphas)
        Filter of each penalty over ascending eigenvalues, between 0 and 1.
    tolerance : float
        Largest error of an entry of the filters.

    Returns
    -------
    list of (rows, basis, mixture)
        ``basis @ mixture``, (n_rows, n_basis) @ (n_basis, n_alphas), equals the filters of the rows.
    """
    level = np.log(filters[:, filters[-1].argmin()])
    # Steps that are even in both count and logarithm keep a group short as well as narrow.
    place = np.linspace(0, 1, len(filters)) + (level - level[0]) / max(np.ptp(level), 1e-12)

    def compress(n_groups: int) -> list[tuple[slice, NDArray, NDArray]]:
        inner = np.searchsorted(place, np.linspace(0, place[-1], n_groups + 1)[1:-1])
        edges = np.unique([0, *inner, len(filters)])
        groups = []
        for start, stop in itertools.pairwise(edges):
            U, s, Vt = np.linalg.svd(filters[start:stop], full_matrices=False)
            keep = max(1, int((s > tolerance).sum()))  # enough for any entry; often fewer are
            while keep > 1 and np.abs((U[:, keep - 1 :] * s[keep - 1 :]) @ Vt[keep - 1 :]).max() <= tolerance:
                keep -= 1
            groups.append((slice(start, stop), U[:, :keep] * s[:keep], Vt[:keep]))
        return groups

    def cost(groups: list[tuple[slice, NDArray, NDArray]]) -> int:
        # A prediction is written and read, and mixing is a flat product at half the speed of a deep one.
        return sum(basis.size + 2 * mixture.size + 16 * len(mixture) for _, basis, mixture in groups)

    return min((compress(n_groups) for n_groups in _GROUPS), key=cost)


def compute_gram(xp: ModuleType, Z: Any) -> Any:
    """``Z @ Z.T`` in float64, a slab of columns at a time."""
    total, width = 0.0, max(1, int(_GRAM_BYTES / 8 / max(1, len(Z))))
    for start in range(0, Z.shape[1], width):
        slab = xp.asarray(Z[:, start : start + width], dtype=xp.float64)
        total = total + slab @ slab.T
    return total


def decompose(xp: ModuleType, gram: Any, dtype: Any) -> tuple[NDArray[np.float64], Any]:
    """Eigenvalues above rounding (rank,), ascending, and their eigenvectors (m, rank) in ``dtype``."""
    w, U = xp.linalg.eigh(gram)
    values = to_numpy(w)
    first = int(np.searchsorted(values, values[-1] * _EIGENVALUE_TOLERANCE, side="right"))
    first = min(first, len(values) - 1)  # constant features have no eigenvalue above rounding
    return values[first:].clip(0), xp.asarray(U[:, first:], dtype=dtype)


def _compute_qr(xp: ModuleType, B: Any) -> tuple[Any, Any]:
    if xp is np:  # whose own would work in float64
        return scipy.linalg.qr(B, mode="economic", check_finite=False)
    return xp.linalg.qr(B)


def compute_train_mean(xp: ModuleType, out: Any, n_train: int) -> Any:
    """Mean of the training rows in float64; the rows of all sum to 0, so those left out tell it."""
    return out.sum(0, dtype=xp.float64) / -n_train


def like(xp: ModuleType, values: NDArray, other: Any) -> Any:
    """Values as an array of the library, dtype and device of ``other``."""
    if xp is np:
        return values.astype(other.dtype, copy=False)
    return xp.as_tensor(values, dtype=other.dtype, device=other.device)


def as_index(xp: ModuleType, rows: NDArray, other: Any) -> Any:
    """Rows as a slice where they follow each other, so that they are read in place."""
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return slice(int(rows[0]), int(rows[0]) + len(rows))
    return np.asarray(rows) if xp is np else xp.as_tensor(rows, device=other.device)


def to_numpy(values: Any) -> NDArray:
    """Values on the host."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _place(xp: ModuleType, other: Any) -> dict[str, Any]:
    return {} if xp is np else {"device": other.device}


def _empty(xp: ModuleType, size: int, other: Any) -> Any:
    return xp.empty(size, dtype=other.dtype, **_place(xp, other))
