"""Ridge with a penalty per neuroid: ours against himalaya, in alternation in one process.

    python benchmarks/ridge.py [--n 500 --features 256 --neuroids 1000 --alphas 20 --folds 5 --pairs 3]

Prints one line per peer: median seconds and their ratio, agreement of penalties and of held-out scores. Sizes
of published comparisons: 1000 x 512 -> 20000, 1000 x 2048 -> 20000, 5000 x 512 -> 2000.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from neurovis.encoding.ridge import Ridge
from neurovis.metrics.regression import r2


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


def make_peers(alphas: NDArray, n_folds: int, backends: list[str], wide: bool) -> dict[str, Callable]:
    """The peer's solver for the shape (it warns when the other is faster), on each backend."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV

    peer = KernelRidgeCV if wide else RidgeCV

    def wrap(backend: str) -> Callable:
        def fit_predict(X: NDArray, Y: NDArray, X_test: NDArray) -> tuple[NDArray, NDArray]:
            set_backend(backend)
            model = peer(alphas=alphas, cv=KFold(n_folds)).fit(X, Y)
            return np.asarray(model.predict(X_test)), np.asarray(model.best_alphas_)

        return fit_predict

    return {f"himalaya {peer.__name__} ({backend})": wrap(backend) for backend in backends}


def measure(function: Callable, *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("n", 500), ("features", 256), ("neuroids", 1000), ("alphas", 20), ("folds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backends", nargs="+", default=["numpy"], help="numpy, torch")
    options = parser.parse_args()
    X, Y, X_test, Y_test = make_problem(options.n, options.features, options.neuroids, options.seed)
    alphas = np.logspace(-2, 5, options.alphas)

    def fit_ours(X: NDArray, Y: NDArray, X_test: NDArray) -> tuple[NDArray, NDArray]:
        model = Ridge(alphas, cv=options.folds, standardise=False, fit_intercept=False).fit(X, Y)
        return model.predict(X_test), model.alpha_

    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"{options.n} x {options.features} -> {options.neuroids}, {options.alphas} alphas, "
        f"{options.folds} folds, float32, threads {threads}, seed {options.seed}"
    )
    peers = make_peers(alphas, options.folds, options.backends, options.n < options.features)
    for name, peer in peers.items():
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for function in (peer, fit_ours):
            function(X, Y[:, :50], X_test)
        for _ in range(options.pairs):
            seconds, theirs = measure(peer, X, Y, X_test)
            times["peer"].append(seconds)
            seconds, ours = measure(fit_ours, X, Y, X_test)
            times["ours"].append(seconds)
        scores = [r2(Y_test, prediction) for prediction, _ in (ours, theirs)]
        ratio = statistics.median(p / o for p, o in zip(times["peer"], times["ours"], strict=True))
        print(
            f"{name:32s} peer {statistics.median(times['peer']):6.2f} s  ours "
            f"{statistics.median(times['ours']):6.2f} s  ratio {ratio:5.2f}  same alpha "
            f"{np.mean(np.isclose(ours[1], theirs[1], rtol=1e-3)):.4f}  "
            f"largest |R2 difference| {np.abs(scores[0] - scores[1]).max():.1e}  "
            f"mean R2 {scores[0].mean():.4f} / {scores[1].mean():.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
