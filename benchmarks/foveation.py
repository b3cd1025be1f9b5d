"""What sharing saves in foveation: rotations as column shifts, many fixations at once, pooling by rings.

    OMP_NUM_THREADS=1 python benchmarks/foveation.py

Each line compares the plain way with ours in one process: least processor time of five calls, which does not
count other programs, and their ratio (above 1: ours is faster). Results of both ways are compared first.
"""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.eccentric_pooling import EccentricPool2d
from neurovis.foveation.likelihood import FixationGrid, compute_fixation_maps, make_fixation_grid
from neurovis.foveation.sampling import CartesianSampler, LogPolarSampler, Retina
from neurovis.foveation.sweeps import sweep_images, sweep_retina
from neurovis.foveation.world import RetinalNet

ANGLES_DEG = np.arange(-180, 180, 5.625)
Row = tuple[str, float, float]


def measure(call: Callable[[], object], n_calls: int = 5) -> float:
    """Least processor time [ms]."""
    times = []
    for _ in range(n_calls):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def compare_rotations(images: Tensor) -> list[Row]:
    """64 turns of every image: turned and sampled one by one, against one sample whose columns shift."""
    rows = []
    free = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for name, network in (("sampling alone", free), ("with RetinalNet", RetinalNet())):
        classifier = FoveatedClassifier(LogPolarSampler(64, 64), network).eval()
        options = {"labels": np.zeros(len(images), int), "transform": "rotation", "amounts": ANGLES_DEG}
        plain = partial(sweep_images, classifier, images, **options)
        shared = partial(sweep_retina, classifier, images, **options)
        # Turning the image interpolates twice and loses its corners, so both agree only roughly.
        assert abs(plain()["probability"] - shared()["probability"]).max() < 0.1
        rows.append((f"64 rotations of {len(images)} images, {name}", measure(plain), measure(shared)))
    return rows


def look_one_by_one(classifier: FoveatedClassifier, retina: Retina, images: Tensor, points: Tensor) -> Tensor:
    """Logits (n, k, channels) of k fixations, one call each."""
    with torch.no_grad():
        looks = [
            [classifier(image[None], point[None], retina=retina) for point in points] for image in images
        ]
    return torch.stack([torch.cat(look) for look in looks])


def compare_fixations(images: Tensor) -> list[Row]:
    """A map of 11 x 11 fixations: one call for each, against one call for all."""
    grid: FixationGrid = make_fixation_grid("valid", scale=0.4)
    points = torch.from_numpy(np.stack(np.meshgrid(grid.fix_x, grid.fix_y), axis=-1).reshape(-1, 2))
    free = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    rows = []
    for retina in (LogPolarSampler(64, 64), CartesianSampler(64)):
        classifier = FoveatedClassifier(retina, free).eval()
        plain = partial(look_one_by_one, classifier, retina.zoom(0.4), images, points)
        shared = partial(compute_fixation_maps, classifier, images, grid)
        maps = shared().values.reshape(len(images), 121, -1)
        np.testing.assert_allclose(plain().softmax(-1), maps, atol=1e-5)
        name = f"121 fixations of {len(images)} images, {type(retina).__name__}"
        rows.append((name, measure(plain), measure(shared)))
    return rows


def pool_every_ring(pool: EccentricPool2d, masks: list[Tensor], maps: Tensor) -> Tensor:
    """The whole map pooled once per ring, masked and summed; correct away from the edges."""
    total = torch.zeros(1, maps.shape[1], pool.n_out, pool.n_out)
    for ring, mask in zip(pool.rings, masks, strict=True):
        size = ring.size_px
        pooled = nn.functional.avg_pool2d(nn.functional.pad(maps, (0, size - 2, 0, size - 2)), size, 2)
        total += pooled * mask
    return total


def compare_pools() -> list[Row]:
    """Pool 3 of eccNET at 806 px: the whole map once per ring, against one window per output pixel."""
    maps = torch.randn(1, 256, 202, 202)
    rows = []
    for slope in (0.0, 0.07, 0.14):
        pool = EccentricPool2d(202, px_per_deg=8, slope=slope)
        offset = torch.arange(pool.n_out) - pool.n_out // 2
        distance = torch.hypot(offset[:, None].double(), offset.double())
        edges = [0.0, *(ring.radius_px for ring in pool.rings)]
        masks = [((distance >= a) & (distance < b)).float() for a, b in pairwise(edges)]
        plain = partial(pool_every_ring, pool, masks, maps)
        shared = partial(pool, maps.to(memory_format=torch.channels_last))
        torch.testing.assert_close(plain()[..., 40:60, 40:60], shared()[..., 40:60, 40:60])
        rows.append((f"pool of {len(pool.rings)} rings, slope {slope}", measure(plain), measure(shared)))
    return rows


def main() -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 3, 128, 128)
    rows = [*compare_rotations(images), *compare_fixations(images), *compare_pools()]
    table = pd.DataFrame(rows, columns=["what", "one_by_one_ms", "shared_ms"])
    table["ratio"] = table["one_by_one_ms"] / table["shared_ms"]
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
