"""Banded ridge over feature spaces: ours against himalaya on the same mixtures, in one process.

    python benchmarks/banded_ridge.py [--case kernel --n 1000 --sizes 512 1024 512 --neuroids 2000]

The peer is GroupRidgeCV (``--case group``) or MultipleKernelRidgeCV (``--case kernel``; kernels are made
inside the timed part on both sides), on each backend, in alternation with ours. Prints one line per backend:
median seconds and their ratio, agreement of mixtures and penalties, held-out scores, and growth of
memory in another run of each. Published comparisons: group 3000 x (200, 200, 200) -> 2000 with 5 mixtures;
kernel 1000 x (512, 1024, 512) -> 2000 with 10.
"""

import argparse
import ctypes
import os
import resource
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from neurovis.encoding.banded import BandedRidge
from neurovis.encoding.banded_solvers import CONCENTRATIONS
from neurovis.metrics.regression import r2

Fit = Callable[[NDArray, NDArray, NDArray], tuple[NDArray, NDArray]]


def make_problem(n: int, sizes: list[int], n_neuroids: int, seed: int) -> tuple[NDArray, ...]:
    """Spaces with decaying spectra; each neuroid has its own mixture of them and its own noise."""
    rng = np.random.default_rng(seed)
    bands = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(1, size + 1) for size in sizes])
    X = rng.normal(size=(2 * n, len(bands))) * place**-0.5
    signal = np.zeros((2 * n, n_neuroids))
    for band, share in enumerate(rng.dirichlet(np.full(len(sizes), 0.5), size=n_neuroids).T):
        part = X[:, bands == band] @ rng.normal(size=(sizes[band], n_neuroids))
        signal += np.sqrt(share) * part / part.std(axis=0)
    Y = signal * np.linspace(0, 1.5, n_neuroids) + rng.normal(size=signal.shape)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    X, Y = X - X[:n].mean(axis=0), Y - Y[:n].mean(axis=0)
    return bands, X[:n], Y[:n], X[n:], Y[n:]


def make_mixtures(n_spaces: int, n_mixtures: int, seed: int) -> NDArray:
    """The even mixture and Dirichlet samples, in float32 as the peer computes them."""
    rng = np.random.default_rng(seed)
    drawn = [
        rng.dirichlet(np.full(n_spaces, CONCENTRATIONS[number % len(CONCENTRATIONS)]))
        for number in range(n_mixtures - 1)
    ]
    mixtures = np.vstack([np.full((1, n_spaces), 1 / n_spaces), *drawn]).astype(np.float32)
    return mixtures / mixtures.sum(axis=1, keepdims=True)


def make_ours(bands: NDArray, mixtures: NDArray, alphas: NDArray, n_folds: int, device: str) -> Fit:
    def fit_predict(X: NDArray, Y: NDArray, X_test: NDArray) -> tuple[NDArray, NDArray]:
        model = BandedRidge(
            bands,
            alphas=alphas,
            mixtures=mixtures,
            n_refinements=0,
            cv=KFold(n_folds),
            standardise=False,
            fit_intercept=False,
            device=device,
        ).fit(X, Y)
        return model.predict(X_test), model.deltas_

    return fit_predict


def make_peer(
    bands: NDArray, mixtures: NDArray, alphas: NDArray, n_folds: int, case: str, backend: str
) -> Fit:
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import MultipleKernelRidgeCV
    from himalaya.ridge import GroupRidgeCV

    own = [bands == band for band in range(bands.max() + 1)]

    def fit_predict(X: NDArray, Y: NDArray, X_test: NDArray) -> tuple[NDArray, NDArray]:
        xp = set_backend(backend)
        search = {"n_iter": xp.asarray(mixtures), "alphas": xp.asarray(alphas), "progress_bar": False}
        if case == "group":
            model = GroupRidgeCV(
                groups="input",
                solver_params={**search, "warn": False},
                cv=KFold(n_folds),
                fit_intercept=False,
            ).fit([X[:, columns] for columns in own], Y)
            predicted = model.predict([X_test[:, columns] for columns in own])
        else:
            grams = np.stack([X[:, columns] @ X[:, columns].T for columns in own])
            across = np.stack([X_test[:, columns] @ X[:, columns].T for columns in own])
            model = MultipleKernelRidgeCV("precomputed", solver_params=search, cv=KFold(n_folds)).fit(
                grams, Y
            )
            predicted = model.predict(across)
        return np.asarray(predicted), np.asarray(model.deltas_)

    return fit_predict


def measure(fit: Fit, *arrays: NDArray) -> tuple[float, tuple[NDArray, NDArray]]:
    start = time.perf_counter()
    result = fit(*arrays)
    return time.perf_counter() - start, result


def measure_memory(fit: Fit, *arrays: NDArray) -> float:
    """Most memory that one run holds beyond what is held before it, sampled every few milliseconds [MB]."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # memory of earlier runs that was freed but kept
    done = threading.Event()
    held = [read_memory()]

    def watch() -> None:
        while not done.wait(0.003):
            held.append(read_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    fit(*arrays)
    done.set()
    watcher.join()
    return max(held) - held[0]


def read_memory() -> float:
    """Resident memory of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=("kernel", "group"), default="kernel")
    parser.add_argument("--sizes", type=int, nargs="+", default=[150, 300, 150], help="features per space")
    defaults = {"n": 300, "neuroids": 800, "mixtures": 5, "alphas": 20, "folds": 5, "pairs": 5, "seed": 0}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--backends", nargs="+", default=["numpy", "torch"], help="numpy, torch, torch_cuda")
    parser.add_argument("--device", default="cpu", help="of ours")
    options = parser.parse_args()
    bands, X, Y, X_test, Y_test = make_problem(options.n, options.sizes, options.neuroids, options.seed)
    mixtures = make_mixtures(len(options.sizes), options.mixtures, options.seed)
    shared = (bands, mixtures, np.logspace(-2, 5, options.alphas).astype(np.float32), options.folds)
    print(
        f"{options.case}: {options.n} x {tuple(options.sizes)} -> {options.neuroids}, "
        f"{options.mixtures} mixtures, {options.alphas} alphas, {options.folds} folds, float32, threads "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')}, seed {options.seed}, pairs {options.pairs}"
    )
    ours = make_ours(*shared, options.device)
    for backend in options.backends:
        peer = make_peer(*shared, options.case, backend)
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for fit in (peer, ours):
            fit(X, Y[:, :50], X_test)
        for _ in range(options.pairs):
            seconds, theirs = measure(peer, X, Y, X_test)
            times["peer"].append(seconds)
            seconds, own = measure(ours, X, Y, X_test)
            times["ours"].append(seconds)
        scores = [r2(Y_test, prediction).mean() for prediction, _ in (own, theirs)]
        same = np.isclose(own[1], theirs[1], rtol=1e-3, atol=1e-3).all(axis=0).mean()
        memory, peer_memory = (measure_memory(fit, X, Y, X_test) for fit in (ours, peer))
        ratio = statistics.median(p / o for p, o in zip(times["peer"], times["ours"], strict=True))
        print(
            f"himalaya ({backend}): peer {statistics.median(times['peer']):.2f} s  ours "
            f"{statistics.median(times['ours']):.2f} s  ratio {ratio:.2f}  "
            f"same mixture and alpha {same:.4f}  mean held-out R2 ours {scores[0]:.5f} peer {scores[1]:.5f}  "
            f"peak memory ours {memory:.0f} MB peer {peer_memory:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
