"""Feature extraction: ours in four settings against a plain loop, in alternation in one process.

    python benchmarks/features.py [--model resnet18 --images 64 --batch 16 --pairs 5 --device cpu --compiled]

The peer is the loop that everyone writes: float32, eager, one batch of preprocessed images after the other,
a forward hook on each block, average pooling to 4 x 4, results concatenated. Weights are random: speed and
rounding do not depend on them. Prints one line per setting: median seconds of both and median ratio of pairs
(above 1: ours is faster), largest difference relative to the layer's largest value, and peak memory of the
process so far (of the GPU, with --device cuda).
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from neurovis.core import StimulusSet
from neurovis.features.torchvision import make_torchvision

POOL = 4


def make_images(folder: Path, n_images: int, size_px: int, seed: int) -> StimulusSet:
    """Smooth random images as PNG files."""
    rng = np.random.default_rng(seed)
    names = [f"{index:05d}" for index in range(n_images)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        coarse.resize((size_px, size_px), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    table = pd.DataFrame(
        {"path": [f"{name}.png" for name in names]}, index=pd.Index(names, name="stimulus_id")
    )
    return StimulusSet("benchmark", table, folder, (8.0, 8.0))


def make_loop(
    model: str, layers: tuple[str, ...], batch_size: int, device: str
) -> Callable[[StimulusSet], Any]:
    """The plain loop."""
    extractor = make_torchvision(model, pretrained=False)
    module = extractor.module.eval().to(device)

    def run(stimuli: StimulusSet) -> dict[str, NDArray]:
        caught: dict[str, torch.Tensor] = {}
        hooks = [
            module.get_submodule(name).register_forward_hook(
                lambda _m, _i, output, name=name: caught.__setitem__(name, output)
            )
            for name in layers
        ]
        parts: dict[str, list[NDArray]] = {name: [] for name in layers}
        ids = stimuli.stimulus_ids
        with torch.no_grad():
            for start in range(0, len(ids), batch_size):
                images = [extractor.preprocess(stimuli.load(i)) for i in ids[start : start + batch_size]]
                module(torch.stack(images).to(device))
                for name in layers:
                    pooled = torch.nn.functional.adaptive_avg_pool2d(caught[name], POOL)
                    parts[name].append(pooled.flatten(1).cpu().numpy())
        for hook in hooks:
            hook.remove()
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}

    return run


def measure(function: Callable, *arguments: Any, **options: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(*arguments, **options)
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18")
    for name, default in (("images", 64), ("batch", 16), ("pairs", 5), ("size-px", 256), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    # Not bn1: the rectification after it works in place, and the peer's hook does not copy.
    parser.add_argument("--layers", nargs="+", default=[f"layer{stage}" for stage in range(1, 5)])
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--compiled", action="store_true", help="also torch.compile, whose start takes minutes"
    )
    options = parser.parse_args()
    settings: dict[str, dict[str, Any]] = {
        "default": {},
        "channels_last": {"channels_last": True},
        "bfloat16": {"precision": "bfloat16"},
        "both": {"channels_last": True, "precision": "bfloat16"},
    }
    if options.compiled:
        settings["both, compiled"] = {**settings["both"], "compiled": True}
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"{options.model}, {options.images} images of {options.size_px} px, batch {options.batch}, "
        f"{options.device}, threads {threads}, seed {options.seed}"
    )
    with tempfile.TemporaryDirectory() as folder:
        stimuli = make_images(Path(folder), options.images, options.size_px, options.seed)
        warm = stimuli.subset(stimuli.stimulus_ids[: options.batch])
        run = {"batch_size": options.batch, "device": options.device}
        layers = tuple(options.layers)
        loop = make_loop(options.model, layers, options.batch, options.device)
        for name, setting in settings.items():
            ours = make_torchvision(options.model, layers=layers, pretrained=False, pool=POOL, **setting)
            loop(warm), ours(warm, **run)
            times: dict[str, list[float]] = {"loop": [], "ours": []}
            for _ in range(options.pairs):
                seconds, expected = measure(loop, stimuli)
                times["loop"].append(seconds)
                seconds, found = measure(ours, stimuli, **run)
                times["ours"].append(seconds)
            error = max(
                float(np.abs(found[k].values - expected[k]).max() / np.abs(expected[k]).max()) for k in layers
            )
            peak = (
                torch.cuda.max_memory_allocated() / 2**20
                if options.device.startswith("cuda")
                else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
            )
            ratio = statistics.median(p / o for p, o in zip(times["loop"], times["ours"], strict=True))
            print(
                f"{name:16s} loop {statistics.median(times['loop']):6.2f} s  ours "
                f"{statistics.median(times['ours']):6.2f} s  ratio {ratio:5.2f}  largest relative difference "
                f"{error:.1e}  peak {peak:.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
