"""Ridge in one pass over the neuroids: block by block they are centred, cross-validated and refitted.

All neuroids share the features, their Gram matrix and one decomposition per fold and for the final fit.
Beside these a pass holds the buffers of a few blocks, whatever the number of neuroids.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import ThreadpoolController

from neurovis.core import check_option, import_optional
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
    coef : array of shape (n_features, n_neuroids), or (n, n_neuroids) if ``dual``
        Weights.
    intercept : array of shape (n_neuroids,)
        Zero when no intercept was fitted.
    alpha : array of shape (n_neuroids,)
        Penalty used.
    cv_error : array of shape (n_alphas, n_neuroids), optional
        Mean squared error over the held-out rows of all folds, one row per candidate penalty in the order
        given; None when no choice was made.
    dual : bool
        ``coef`` are weights D of the training rows: those of the features are ``(X - X.mean(0)).T @ D``.
    """

    coef: NDArray
    intercept: NDArray
    alpha: NDArray
    cv_error: NDArray | None = None
    dual: bool = False


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
class RidgeProblem:
    """What all neuroids share, on the device of the computation.

    Parameters
    ----------
    xp : module
        numpy or torch.
    X : array of shape (n, n_features), optional
        Features, of zero mean if ``centre``; None where only inner products are known.
    offset : array of shape (n_features,) or (n,), optional
        What the intercept takes off the mean response per unit of a coefficient.
    gram : array of shape (n_features, n_features) or (n, n)
        In float64, of the features (primal) or of the rows (dual).
    dual : bool
        Which of the two it is.
    rows : bool
        Coefficients are asked for of the rows, not of the features.
    centre : bool
        Fit an intercept.
    dtype : type
        numpy's float32 or float64.
    device : str
        ``"cpu"`` for numpy, otherwise a torch device.
    """

    xp: ModuleType
    X: Any
    offset: NDArray | None
    gram: Any
    dual: bool
    rows: bool
    centre: bool
    dtype: type[np.float32] | type[np.float64]
    device: str

    def place(self, values: NDArray) -> Any:
        """Values in the dtype and on the device of the problem."""
        values = values.astype(self.dtype, copy=False)
        return values if self.xp is np else self.xp.as_tensor(values, device=self.device)

    def prepare_fold(self, rows: tuple[NDArray, NDArray], alphas: NDArray[np.float64]) -> Fold:
        """Decompose a fold, given as (train rows, test rows), for the candidate penalties."""
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


@dataclass(frozen=True)
class _Pass:
    """What one pass over the neuroids fills in, block by block."""

    problem: RidgeProblem
    Y: NDArray
    alphas: NDArray[np.float64]
    folds: list[Fold]
    whole: bool  # the rows that the folds leave out make up all rows, each once
    n_tested: int  # of all folds, also those of other passes
    final: _Refit | None  # in the last pass
    solution: RidgeSolution

    def __call__(self, block: slice) -> None:
        problem, solution = self.problem, self.solution
        y, y_mean = _centre(problem, self.Y[:, block])
        cross, own = _compute_cross(problem, self.folds, y, self.whole)
        if solution.cv_error is not None:
            for fold, part in zip(self.folds, own, strict=True):
                summed = compute_fold_error(problem.xp, fold, y, part, centre=problem.centre)
                solution.cv_error[:, block] += to_numpy(summed) / self.n_tested
        if self.final is None:
            return
        if solution.cv_error is not None:
            solution.alpha[block] = choose_alpha(self.alphas, solution.cv_error[:, block])
        penalty = problem.place(solution.alpha[block])
        coef = to_numpy(self.final(y if problem.dual else cross, penalty))
        solution.coef[:, block] = coef
        if problem.offset is not None:
            solution.intercept[block] = y_mean - problem.offset @ coef


def solve_problem(
    problem: RidgeProblem, Y: NDArray, alphas: NDArray[np.float64], folds: Folds = (), *, refit: bool = True
) -> RidgeSolution:
    """Coefficients for a penalty per neuroid or, with folds, for the candidate of least error.

    Parameters
    ----------
    problem : RidgeProblem
        From :func:`make_problem` or :func:`make_kernel_problem`.
    Y : array of shape (n, n_neuroids)
        Responses.
    alphas : array of shape (n_alphas,) or, without folds, (n_neuroids,)
        Penalties, positive.
    folds : sequence of (train rows, test rows)
        As :func:`neurovis.encoding.ridge_solvers.solve_ridge_cv`.
    refit : bool
        Compute coefficients, else errors only.

    Returns
    -------
    RidgeSolution
        Its ``coef`` are those of the rows where the problem says so.
    """
    n_neuroids, n_coef = Y.shape[1], len(problem.gram) if problem.rows else problem.X.shape[1]
    solution = RidgeSolution(
        np.empty((n_coef if refit else 0, n_neuroids), dtype=problem.dtype),
        np.zeros(n_neuroids, dtype=problem.dtype),
        np.empty(n_neuroids) if len(folds) else alphas,
        np.zeros((len(alphas), n_neuroids)) if len(folds) else None,
        problem.rows,
    )
    n_tested = sum(len(test) for _, test in folds)
    *first, last = _batch_folds(problem, folds)
    with _share_threads(problem.xp) as (run, n_workers):
        for batch in (*first, last):
            tasks: list[Callable[[], Any]] = [partial(problem.prepare_fold, rows, alphas) for rows in batch]
            if refit and batch is last:
                tasks.insert(0, partial(_decompose_all, problem, n_neuroids))
            prepared = list(run(lambda task: task(), tasks))
            final = prepared.pop(0) if refit and batch is last else None
            trained = np.concatenate([train for train, _ in batch]) if batch else np.arange(0)
            whole = bool(batch) and bool((np.bincount(trained, minlength=len(Y)) == len(batch) - 1).all())
            step = _Pass(problem, Y, alphas, prepared, whole, n_tested, final, solution)
            list(run(step, _make_blocks(problem, Y.shape, len(batch), n_workers)))
    return solution


def _compute_cross(problem: RidgeProblem, folds: list[Fold], y: Any, whole: bool) -> tuple[Any, list[Any]]:
    """``X'y`` of all rows and of the training rows of each fold; nothing in the dual."""
    if problem.dual:
        return None, [None] * len(folds)
    left_out = [fold.X_out.T @ y[fold.out] for fold in folds]
    cross = sum(left_out[1:], left_out[0]) if whole else problem.X.T @ y
    return cross, [cross - part for part in left_out]


def _decompose_all(problem: RidgeProblem, n_neuroids: int) -> _Refit:
    w, U = decompose(problem.xp, problem.gram, getattr(problem.xp, problem.dtype.__name__))
    back = [U]
    if problem.dual and not problem.rows:
        wide = problem.X.shape[1] > n_neuroids
        back = [U, problem.X.T] if wide else [problem.X.T @ U]
    return _Refit(problem.place(w)[:, None], U, back)


def make_problem(
    X: NDArray,
    n_rows: int,
    *,
    centre: bool,
    method: str,
    device: str,
    overwrite: bool = False,
    keep_dual: bool = False,
) -> RidgeProblem:
    """Centre the features and form their Gram matrix.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Features, finite.
    n_rows : int
        Rows of the largest training set, for the choice of the method.
    centre : bool
        Fit an intercept.
    method : {"auto", "primal", "dual"}
        As :func:`neurovis.encoding.ridge_solvers.solve_ridge_cv`.
    device : str
        ``"cpu"`` for numpy, otherwise a torch device.
    overwrite : bool
        Centre X in place.
    keep_dual : bool
        In the dual ask for coefficients of the rows.

    Returns
    -------
    RidgeProblem
    """
    check_option("method", method, ("auto", "primal", "dual"))
    dual = n_rows < X.shape[1] if method == "auto" else method == "dual"
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    X = X.astype(dtype, copy=False)
    offset = X.mean(0, dtype=np.float64).astype(dtype) if centre else np.zeros(X.shape[1], dtype)
    if centre:
        X = np.subtract(X, offset, out=X if overwrite else None)
    rows = dual and keep_dual
    if rows:
        offset = X @ offset
    xp = find_library(device)
    placed = X if xp is np else xp.as_tensor(X, device=device)
    gram = compute_gram(xp, placed if dual else placed.T)
    return RidgeProblem(xp, placed, offset, gram, dual, rows, centre, dtype, device)


def make_kernel_problem(
    gram: NDArray, dtype: type[np.float32] | type[np.float64], *, centre: bool, device: str
) -> RidgeProblem:
    """A problem of which only the inner products of the rows are known.

    Parameters
    ----------
    gram : array of shape (n, n)
        Inner products, finite and symmetric.
    dtype : type
        numpy's float32 or float64, of the computation after the decomposition.
    centre, device
        As :func:`make_problem`.

    Returns
    -------
    RidgeProblem
    """
    kernel = gram.astype(np.float64, copy=False)
    if centre:
        column = kernel.mean(0)
        kernel = kernel - column[:, None] - column + column.mean()
    xp = find_library(device)
    placed = kernel if xp is np else xp.as_tensor(kernel, device=device)
    return RidgeProblem(xp, None, None, placed, True, True, centre, dtype, device)


def find_library(device: str) -> ModuleType:
    """numpy, or torch for other devices than ``"cpu"``.

    Parameters
    ----------
    device : str
        ``"cpu"``, or a torch device of this machine.

    Raises
    ------
    ImportError
        If torch is needed and missing.
    ValueError
        If torch does not know the device or this machine has none.
    """
    if device == "cpu":
        return np
    torch = import_optional("torch", extra="torch")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device must be 'cpu' or a torch device of this machine such as 'cuda', got {device!r}; pass "
            "'cpu', which every machine has."
        ) from error
    return torch


def _centre(problem: RidgeProblem, Y: NDArray) -> tuple[Any, NDArray]:
    """A block of neuroids on the device, of zero mean if centred, and the mean."""
    mean = np.zeros(Y.shape[1], problem.dtype)
    if not problem.centre:
        return problem.place(Y), mean
    mean = Y.mean(0, dtype=np.float64).astype(problem.dtype)
    return problem.place(np.subtract(Y, mean, dtype=problem.dtype)), mean


def _make_blocks(problem: RidgeProblem, shape: tuple[int, ...], n_folds: int, n_workers: int) -> list[slice]:
    n, n_neuroids = shape
    n_cross = 1 if problem.dual else n_folds + 2
    n_features = 0 if problem.rows else problem.X.shape[1]
    each = problem.dtype().itemsize * (3 * n + n_cross * n_features)
    total = _BLOCK_BYTES if problem.device.startswith("cpu") else _DEVICE_BYTES
    size = max(64, int(total / n_workers / each))
    n_blocks = -(-n_neuroids // (size * n_workers)) * n_workers
    edges = np.unique(np.linspace(0, n_neuroids, n_blocks + 1).astype(int))
    return [slice(start, stop) for start, stop in itertools.pairwise(edges.tolist())]


@contextmanager
def _share_threads(xp: ModuleType) -> Iterator[tuple[Callable[..., Iterable[Any]], int]]:
    """A ``map`` over independent tasks, and how many of them run at a time.

    With numpy as many threads as BLAS may use run whole tasks with one BLAS thread each: decompositions and
    thin products gain nothing from threads inside, and elementwise work is shared too.
    """
    controller = ThreadpoolController().select(user_api="blas")
    n_threads = max((library["num_threads"] for library in controller.info()), default=1)
    if n_threads == 1 or xp is not np:
        yield map, 1
        return
    with controller.limit(limits=1), ThreadPoolExecutor(n_threads) as pool:
        yield pool.map, n_threads


def _batch_folds(problem: RidgeProblem, folds: Folds) -> list[Folds]:
    size = max(1, int(_FOLD_BYTES / (problem.gram.shape[0] ** 2 * problem.dtype().itemsize)))
    return [folds[start : start + size] for start in range(0, len(folds), size)] or [()]
