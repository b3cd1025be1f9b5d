"""Projection of weights onto a bank: one streaming pass against the published form and against the products.

    python benchmarks/projection.py [--voxels 2000 --rows 65536 --dim 512 --betas 150 --pairs 3
                                     --precision float32 --device cpu]

The published form takes four voxels at a time against the whole bank and materialises their softmax. It is
timed on a part of the voxels (its time is proportional to their number) and one temperature. The limit is the
time of the matrix products alone, of the same shapes and precision: scores once, weighted sums once per
temperature. Prints bank rows x voxels per second, ratios (median over pairs of runs in alternation), the
largest difference of the results and the peak memory of the process.
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurovis.captioning.projection import make_tiles, project_weights

PUBLISHED_BATCH = 4


def project_as_published(
    units: torch.Tensor, directions: torch.Tensor, norms: torch.Tensor, beta: float
) -> torch.Tensor:
    """Four voxels at a time, all their scores at once."""
    found = []
    for start in range(0, len(units), PUBLISHED_BATCH):
        alpha = torch.softmax(beta * units[start : start + PUBLISHED_BATCH] @ directions.T, dim=-1)
        mean = alpha @ directions
        found.append(mean / torch.linalg.norm(mean, dim=-1, keepdim=True) * (alpha @ norms))
    return torch.cat(found)


def multiply(units: torch.Tensor, tiles: list[torch.Tensor], n_betas: int, block: int) -> None:
    """The matrix products of the streaming pass and nothing else."""
    alpha = torch.rand(min(block, len(units)), len(tiles[0]), device=units.device).to(units.dtype)
    for tile in tiles:
        for start in range(0, len(units), block):
            part = units[start : start + block]
            _ = part @ tile.T
            for _ in range(n_betas):
                _ = alpha[: len(part), : len(tile)] @ tile


def measure(function: Callable[[], Any], device: str) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = {"voxels": 2000, "rows": 65536, "dim": 512, "pairs": 3, "tile-rows": 8192, "seed": 0}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--betas", type=float, nargs="+", default=[150.0])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    # A cone, as image embeddings form.
    bank = rng.normal(size=(options.rows, options.dim)) + 1.5 * rng.normal(size=options.dim)
    bank = bank.astype(np.float32)
    weights = rng.normal(size=(options.voxels, options.dim))
    norms = np.linalg.norm(bank, axis=1, keepdims=True)
    tiles = list(make_tiles(bank, tile_rows=options.tile_rows))
    dtype, device = getattr(torch, options.precision), options.device
    directions = torch.from_numpy(bank / norms).to(device)
    units = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    units_t = torch.from_numpy(units.astype(np.float32)).to(device)
    products = [torch.from_numpy(tile.directions).to(device, dtype) for tile in tiles]
    some = units_t[: max(PUBLISHED_BATCH, options.voxels // 20)]
    norms_t = torch.from_numpy(norms).to(device)

    def stream() -> Any:
        return project_weights(
            weights, tiles, options.betas, precision=options.precision, device=options.device
        )

    def publish() -> torch.Tensor:
        return project_as_published(some, directions, norms_t, options.betas[0])

    def limit() -> None:
        multiply(units_t.to(dtype), products, len(options.betas), 1024)

    for function in (stream, publish, limit):
        function()
    rounds = [
        [measure(function, device) for function in (publish, stream, limit)] for _ in range(options.pairs)
    ]
    scale = options.voxels / len(some)
    seconds = [statistics.median(entry[i][0] for entry in rounds) for i in range(3)]
    per_second = options.voxels * options.rows / seconds[1]
    theirs = rounds[0][0][1].cpu().numpy()
    difference = np.abs(rounds[0][1][1].embeddings[0][: len(some)] - theirs).max() / np.abs(theirs).max()
    published = statistics.median(scale * entry[0][0] / entry[1][0] for entry in rounds)
    share = statistics.median(entry[2][0] / entry[1][0] for entry in rounds)
    print(
        f"{options.voxels} voxels, {options.rows} rows of {options.dim}, {len(options.betas)} temperature, "
        f"{options.precision} on {options.device}, threads {os.environ.get('OMP_NUM_THREADS', 'all')}, "
        f"{options.pairs} pairs of runs\n"
        f"streaming {seconds[1]:.2f} s: {per_second:.3g} rows x voxels per second\n"
        f"published form {scale * seconds[0]:.2f} s (one temperature, from {len(some)} voxels): "
        f"ratio {published:.1f}\n"
        f"products alone {seconds[2]:.2f} s: {share:.0%} of their speed\n"
        f"largest difference from the published form, relative: {difference:.1e}; peak memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
    )


if __name__ == "__main__":
    main()
