"""Motion energy of a movie: ours against every CPU backend of pymoten, in alternation in one process.

    python benchmarks/motion_energy.py [--sizes 96x128 144x256 --frames 300 --pairs 5]

Prints one line per size and backend: median seconds, their ratio, and the largest difference of amplitudes
relative to the largest one, with and without pymoten's mask of taps below 0.001. Its torch backend takes
float64 movies only.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import moten
import numpy as np
import torch
from moten import core
from moten.backend import set_backend
from numpy.typing import NDArray

from neurovis.motion.energy import MotionEnergyPyramid


@contextmanager
def every_tap() -> Iterator[None]:
    """Set pymoten's threshold of taps below zero."""
    functions = (core.dotspatial_frames, core.dotdelay_frames)
    kept = [function.__defaults__ for function in functions]
    for function in functions:
        function.__defaults__ = (-1.0,)
    try:
        yield
    finally:
        for function, defaults in zip(functions, kept, strict=True):
            function.__defaults__ = defaults


def make_peers(size: tuple[int, int], fps: int) -> dict[str, Callable[[NDArray], NDArray]]:
    pyramid = moten.pyramids.MotionEnergyPyramid(stimulus_vhsize=size, stimulus_fps=fps)

    def wrap(backend: str, batched: bool) -> Callable[[NDArray], NDArray]:
        def project(movie: NDArray) -> NDArray:
            set_backend(backend)
            run = core.project_stimulus_batched if batched else core.project_stimulus
            return np.asarray(run(movie, pyramid.filters, dtype="float32"))

        return project

    backends = ("numpy", "torch")
    return {
        f"{name}{' batched' if batched else ''}": wrap(name, batched)
        for name in backends
        for batched in (False, True)
    }


def measure(function: Callable, *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["96x128"], help="height x width [px]")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    core.iterator_func = lambda iterable, *_, **__: iterable  # no progress bars between the lines
    print(
        f"{options.frames} frames at {options.fps} Hz, float32, threads {torch.get_num_threads()}, "
        f"OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'unset')}, seed {options.seed}"
    )
    for text in options.sizes:
        height, width = (int(side) for side in text.split("x"))
        movie = np.random.default_rng(options.seed).uniform(0, 100, (options.frames, height, width))
        movie = movie.astype(np.float32)
        pyramid = MotionEnergyPyramid((height, width), options.fps, device=options.device)
        for name, peer in make_peers((height, width), options.fps).items():
            given = movie.astype(np.float64) if name.startswith("torch") else movie
            peer(given[:40])
            pyramid(movie[:40])
            times: dict[str, list[float]] = {"ours": [], "peer": []}
            for _ in range(options.pairs):
                seconds, theirs = measure(peer, given)
                times["peer"].append(seconds)
                seconds, ours = measure(pyramid, movie)
                times["ours"].append(seconds)
            difference = compare(ours, theirs)
            with every_tap():
                exact = compare(ours, make_peers((height, width), options.fps)["numpy"](movie))
            ratio = statistics.median(p / o for p, o in zip(times["peer"], times["ours"], strict=True))
            print(
                f"{text:8s} {len(pyramid.filters)} filters  pymoten {name:14s} "
                f"{statistics.median(times['peer']):6.3f} s  ours {statistics.median(times['ours']):6.4f} s  "
                f"ratio {ratio:6.1f}  relative difference {difference:.1e}, every tap {exact:.1e}",
                flush=True,
            )


def compare(ours: NDArray, theirs: NDArray) -> float:
    amplitudes = [np.exp(values.astype(np.float64)) for values in (ours, theirs)]
    return float(np.abs(amplitudes[0] - amplitudes[1]).max() / amplitudes[1].max())


if __name__ == "__main__":
    main()
