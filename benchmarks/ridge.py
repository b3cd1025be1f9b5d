"""Ridge with a penalty per neuroid: ours against himalaya, in alternation in one process.

    OMP_NUM_THREADS=2 python benchmarks/ridge.py [--cases 1000-512-2000 ... | --all] [--pairs 5]

A case is rows-features-neuroids; ``--all`` runs those of the published table, without it one small case
runs. Each of the peer's solvers and backends that suits the shape fits once; the fastest is then timed in
turn with ours. Printed are median seconds of a fit and their ratio, that of fit and prediction, the share
of equal penalties, scores of as many held-out rows, and what a fit adds to the memory of a fresh process. The
last line sets the products of ours, counted by torch, against the speed of one plain float32 product in the
same run: the rest of the time goes to decompositions and to reading and writing memory. Threads of the peer
wait for each other and suffer more from a busy machine than ours; with OMP_NUM_THREADS=1 the ratio is that of
the work.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from neurovis.encoding.ridge import Ridge
from neurovis.metrics.regression import r2

FLOORS = {  # of the ratio, measured by a prototype
    "1000-512-2000": 2.3,
    "1000-512-20000": 3.8,
    "1000-2048-2000": 1.5,
    "1000-2048-20000": 3.2,
    "1000-8192-20000": 2.9,
    "5000-512-2000": 20.9,
}
Fit = Callable[[NDArray, NDArray], Any]


def make_problem(n: int, n_features: int, n_neuroids: int, seed: int) -> tuple[NDArray, ...]:
    """Features with a decaying spectrum, neuroids from silent to well predicted; both of zero mean."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * n, n_features)) * np.arange(1, n_features + 1) ** -0.5
    signal = X @ rng.normal(size=(n_features, n_neuroids))
    signal *= np.linspace(0, 1.5, n_neuroids) / signal.std(axis=0)
    Y = signal + rng.normal(size=signal.shape)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    X, Y = X - X[:n].mean(axis=0), Y - Y[:n].mean(axis=0)
    return X[:n], Y[:n], X[n:], Y[n:]


def make_fits(alphas: NDArray, n_folds: int, shape: tuple[int, int]) -> dict[str, Fit]:
    """Ours with the peer's objective, ours as it comes, and the peer's solvers that suit the shape."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV

    def wrap(solver: type, backend: str) -> Fit:
        def fit(X: NDArray, Y: NDArray) -> Any:
            set_backend(backend)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that the other solver may be faster
                return solver(alphas=alphas, cv=KFold(n_folds)).fit(X, Y)

        return fit

    def ours(X: NDArray, Y: NDArray, **options: Any) -> Ridge:
        return Ridge(alphas, cv=n_folds, **options).fit(X, Y)

    plain = {"standardise": False, "fit_intercept": False}
    fits: dict[str, Fit] = {
        "ours": lambda X, Y: ours(X, Y, **plain),
        "ours, standardised with intercept": ours,
        "ours, torch": lambda X, Y: ours(X, Y, **plain, device="cpu:0"),
    }
    # Four times off the square, the solver for the other shape is several times slower and needs gigabytes.
    n, n_features = shape
    solvers = [RidgeCV] * (n_features < 4 * n) + [KernelRidgeCV] * (n < 4 * n_features)
    return fits | {f"{s.__name__} {b}": wrap(s, b) for s in solvers for b in ("numpy", "torch")}


def measure(function: Callable, *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def measure_case(case: str, options: argparse.Namespace) -> None:
    n, n_features, n_neuroids = (int(size) for size in case.split("-"))
    X, Y, X_test, Y_test = make_problem(n, n_features, n_neuroids, options.seed)
    fits = make_fits(np.logspace(-2, 5, options.alphas), options.folds, X.shape)
    tried = {}
    for name, fit in fits.items():
        fit(X[:100, :50], Y[:100, :20])
        tried[name] = measure(fit, X, Y)[0]
    peer = min((name for name in tried if not name.startswith("ours")), key=tried.__getitem__)
    print(
        f"{n} x {n_features} -> {n_neuroids}, {options.alphas} alphas, {options.folds} folds, float32, "
        f"threads {os.environ.get('OMP_NUM_THREADS', 'all')}, seed {options.seed}\n"
        f"  one fit each: {', '.join(f'{name} {seconds:.2f} s' for name, seconds in tried.items())}"
    )
    models: dict[str, Any] = {}
    times: dict[str, list[tuple[float, float]]] = {peer: [], "ours": []}
    predictions: dict[str, NDArray] = {}
    speeds = []
    for _ in range(options.pairs):
        for name, measured in times.items():
            fitting, models[name] = measure(fits[name], X, Y)
            predicting, prediction = measure(models[name].predict, X_test)
            measured.append((fitting, predicting))
            predictions[name] = np.asarray(prediction)
        speeds.append(measure_product())
    ratio, whole = (
        statistics.median(part(p) / part(o) for p, o in zip(times[peer], times["ours"], strict=True))
        for part in (lambda pair: pair[0], sum)
    )
    same = np.isclose(models["ours"].alpha_, np.asarray(models[peer].best_alphas_), rtol=1e-3).mean()
    scores = [r2(Y_test, predictions[name]) for name in ("ours", peer)]
    seconds = [statistics.median(fitting for fitting, _ in times[name]) for name in (peer, "ours")]
    peaks = [measure_peak(name, case, options) for name in (peer, "ours")]
    floor = f" (floor {FLOORS[case]})" if case in FLOORS else ""
    print(
        f"  {peer} {seconds[0]:.2f} s, ours {seconds[1]:.2f} s, ratio {ratio:.2f}{floor}, with prediction "
        f"{whole:.2f}, same alpha {same:.4f}, R2 {scores[1].mean():.4f} / {scores[0].mean():.4f} "
        f"(largest difference {np.abs(scores[0] - scores[1]).max():.1e}), "
        f"memory +{peaks[0]:.0f} MB / +{peaks[1]:.0f} MB"
    )
    work, limit = count_products(fits["ours, torch"], X, Y), statistics.median(speeds)
    print(
        f"  {work / 1e9:.0f} GFLOP of products: {work / seconds[1] / 1e9:.0f} GFLOP/s, "
        f"{work / seconds[1] / limit:.0%} of the {limit / 1e9:.0f} of a plain product",
        flush=True,
    )


def measure_product(size: int = 2048) -> float:
    """Floating-point operations per second of a float32 matrix product."""
    values = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    return 2 * size**3 / min(measure(np.matmul, values, values)[0] for _ in range(3))


def count_products(fit: Fit, X: NDArray, Y: NDArray) -> int:
    """Operations in matrix products of a fit by torch, which takes the same path."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        fit(X, Y)
    return counter.get_total_flops()


def measure_peak(name: str, case: str, options: argparse.Namespace) -> float:
    """MB that a fit adds at its peak to a process that holds the data."""
    sizes = [str(value) for value in (options.alphas, options.folds, options.seed)]
    command = [sys.executable, __file__, "--cases", case, "--peak", name]
    command += [word for pair in zip(("--alphas", "--folds", "--seed"), sizes, strict=True) for word in pair]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(name: str, case: str, options: argparse.Namespace) -> None:
    n, n_features, n_neuroids = (int(size) for size in case.split("-"))
    X, Y = (np.array(part) for part in make_problem(n, n_features, n_neuroids, options.seed)[:2])
    fit = make_fits(np.logspace(-2, 5, options.alphas), options.folds, X.shape)[name]
    fit(X[:100, :50], Y[:100, :20])
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from what is held now
    before = read_memory("VmRSS")
    fit(X, Y)
    print(read_memory("VmHWM") - before)


def read_memory(key: str) -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in status if line.startswith(key)) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=["500-256-1000"], help="rows-features-neuroids")
    parser.add_argument("--all", action="store_true", help="the cases of the published table")
    for name, default in (("alphas", 20), ("folds", 5), ("pairs", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--peak", metavar="NAME", help="print what one fit adds to memory, and no more")
    options = parser.parse_args()
    for case in FLOORS if options.all else options.cases:
        if options.peak:
            print_peak(options.peak, case, options)
        else:
            measure_case(case, options)


if __name__ == "__main__":
    main()
