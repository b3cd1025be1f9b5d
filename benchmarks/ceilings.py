"""Noise ceilings of every neuroid: ours against plain numpy, in alternation in one process.

    python benchmarks/ceilings.py [--stimuli 1000 --repeats 3 --neuroids 20000 --pairs 5 --dtype float32]

The peers are the published steps on an array of repeats (Allen et al. 2022): trials z-scored, variance over
repeats averaged over stimuli, then ncsnr and ceiling; and the same from two calls of ``var``, without
z-scores. Ours takes trials in the order in which they were shown. Prints one line per peer: median seconds,
their ratio, the largest difference of the ceilings (explained variance) and the peaks of new memory.
"""

import argparse
import os
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neurovis.metrics.ceilings import compute_ceiling


def score_published(trials: NDArray) -> NDArray:
    n_repeats, _, k = trials.shape
    z = (trials - trials.reshape(-1, k).mean(axis=0)) / trials.reshape(-1, k).std(axis=0)
    noise = z.var(axis=0, ddof=1).mean(axis=0)
    ncsnr = np.sqrt(np.maximum(1 - noise, 0)) / np.sqrt(noise)
    return ncsnr**2 / (ncsnr**2 + 1 / n_repeats)


def score_variances(trials: NDArray) -> NDArray:
    n_repeats, _, k = trials.shape
    noise = trials.var(axis=0, ddof=1).mean(axis=0)
    signal = np.maximum(trials.reshape(-1, k).var(axis=0, ddof=1) - noise, 0)
    return signal / (signal + noise / n_repeats)


def measure(function: Callable[[], NDArray]) -> tuple[float, NDArray]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure_peak(function: Callable[[], NDArray]) -> float:
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = {"stimuli": 1000, "repeats": 3, "neuroids": 20000, "pairs": 5, "seed": 0}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    shape = (options.repeats, options.stimuli, options.neuroids)
    trials = rng.standard_normal(shape, dtype=np.float32)
    trials += rng.standard_normal(shape[1:], dtype=np.float32) * np.linspace(0, 2, shape[2], dtype=np.float32)
    trials = trials.astype(options.dtype)
    shown = trials.reshape(-1, options.neuroids)
    stimulus_id = np.tile(np.arange(options.stimuli), options.repeats)

    def score_ours() -> NDArray:
        return compute_ceiling(shown, stimulus_id, metric="explained_variance")

    print(
        f"{options.repeats} x {options.stimuli} x {options.neuroids} {options.dtype}, threads "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')}, seed {options.seed}, {options.pairs} pairs of runs"
    )
    for name, peer in {"published steps": score_published, "two variances": score_variances}.items():

        def score_theirs(peer: Callable = peer) -> NDArray:
            return peer(trials)

        peaks = [measure_peak(score_theirs), measure_peak(score_ours)]
        rounds = [(measure(score_theirs), measure(score_ours)) for _ in range(options.pairs)]
        peer_s, ours_s = (statistics.median(entry[side][0] for entry in rounds) for side in (0, 1))
        print(
            f"{name:16s} peer {peer_s:7.3f} s  ours {ours_s:7.3f} s  ratio "
            f"{statistics.median(p[0] / o[0] for p, o in rounds):5.1f}  largest difference "
            f"{np.abs(rounds[0][0][1] - rounds[0][1][1]).max():.1e}  peak MB {peaks[0]:.0f} / {peaks[1]:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
