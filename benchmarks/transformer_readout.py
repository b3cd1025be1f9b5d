"""Readout of region tokens grouped by pattern of regions against a naive masked sum over all regions.

    python benchmarks/transformer_readout.py [--images 16 --neuroids 5000 --regions 50 --width 256 --pairs 5]

The naive readout forms (images, neuroids, regions): what every neuroid would read from every region, masked
and summed. A step is forward and backward to weights and tokens, the two in alternation in one process; peak
memory is how far the first step grows a process of its own (Linux). The size of one subject is
``--neuroids 39548 --width 768``.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neurovis.encoding.region_queries import make_region_queries
from neurovis.encoding.transformer_network import GroupedReadout


def make_problem(options: argparse.Namespace) -> tuple[GroupedReadout, Tensor, Tensor]:
    """Readout, mask (n_neuroids, n_queries) in the readout's order and region tokens.

    A third of the neuroids is in no region, the rest in one to three that come in some forty combinations.
    """
    rng = np.random.default_rng(options.seed)
    n = options.neuroids
    n_regions = options.regions // 2 - 1  # in each hemisphere, beside neuroids of no region
    combinations = rng.random((n_regions, 40)) < 2 / n_regions
    members = combinations[:, rng.integers(40, size=n)]
    members[:, rng.random(n) < 1 / 3] = False
    queries = make_region_queries(
        n, regions=members, hemisphere=np.repeat(["left", "right"], [n // 2, n - n // 2])
    )
    torch.manual_seed(options.seed)
    readout = GroupedReadout(queries.mixing, queries.pattern, width=options.width)
    mask = torch.from_numpy(queries.mixing[queries.pattern[readout.order.numpy()]])
    tokens = torch.randn(options.images, len(queries.region), options.width, requires_grad=True)
    return readout, mask, tokens


def make_steps(options: argparse.Namespace) -> tuple[dict[str, Callable[[], tuple[Tensor, Tensor]]], str]:
    """Name -> one step that returns responses and the gradient of the weights; and a text of the sizes."""
    readout, mask, tokens = make_problem(options)

    def step_grouped() -> tuple[Tensor, Tensor]:
        return finish(readout(tokens))

    def step_naive() -> tuple[Tensor, Tensor]:
        everything = torch.einsum("nqd,vd->nvq", tokens, readout.weight)
        return finish(((everything * mask).sum(-1) + readout.bias)[:, readout.inverse])

    def finish(responses: Tensor) -> tuple[Tensor, Tensor]:
        readout.weight.grad = tokens.grad = None
        responses.square().mean().backward()
        assert readout.weight.grad is not None
        return responses.detach(), readout.weight.grad

    sizes = (
        f"{options.images} images, {options.neuroids} neuroids, {tokens.shape[1]} queries, "
        f"{len(readout.mixing)} patterns, width {options.width}, float32"
    )
    return {"grouped": step_grouped, "naive": step_naive}, sizes


def run_alone(name: str) -> float:
    """Growth of the resident memory [MiB] at the peak of the first step of a new process."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_peak(step: Callable[[], object]) -> float:
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the imports
    before = read_status("VmRSS")
    step()
    return read_status("VmHWM") - before


def read_status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("images", 16), ("neuroids", 5000), ("regions", 50), ("width", 256), ("pairs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("grouped", "naive"), help="print the peak of one step and stop")
    options = parser.parse_args()
    steps, sizes = make_steps(options)
    if options.only:
        print(measure_peak(steps[options.only]))
        return
    results = {name: step() for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.pairs):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    ratio = statistics.median(n / g for n, g in zip(seconds["naive"], seconds["grouped"], strict=True))
    peaks = {name: run_alone(name) for name in steps}
    differences = [
        float((ours - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in zip(results["grouped"], results["naive"], strict=True)
    ]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"{sizes}, threads {threads}, seed {options.seed}, {options.pairs} pairs")
    print(
        f"naive {1e3 * statistics.median(seconds['naive']):.1f} ms  "
        f"grouped {1e3 * statistics.median(seconds['grouped']):.1f} ms  ratio {ratio:.1f}  peak memory "
        f"{peaks['naive']:.0f} / {peaks['grouped']:.0f} MiB  ratio {peaks['naive'] / peaks['grouped']:.1f}  "
        f"largest relative difference of responses {differences[0]:.1e}, of gradients {differences[1]:.1e}"
    )


if __name__ == "__main__":
    main()
