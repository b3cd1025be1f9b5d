"""Training of the world judge: one function, one command.

``neurovis features train-world-judge`` makes the shipped weights again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.core import make_rng
from neurovis.features.contrastive_degradations import blur, compress, squeeze
from neurovis.features.contrastive_scenes import CaptionedScenes, make_captioned_scenes
from neurovis.features.weights import build_seeded
from neurovis.features.world_judge import CHANNELS, WorldJudge, classify_images, sum_subtypes
from neurovis.stimuli.world import CATEGORIES, WORLD_VERSION
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.loop import ArrayBatches, train
from neurovis.training.models import write_model

SCENE_SEED = 83_201
TEST_SEED = 83_202
"""Seeds of the scenes; no other network and no experiment uses them."""

_BATCH_SIZE = 64
_LEARNING_RATE = 3e-3
_N_BINS = 10

DEGRADATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "none": lambda images: images,
    "blur, 1 px": lambda images: blur(images, 1.0),
    "blur, 1.5 px": lambda images: blur(images, 1.5),
    "JPEG, quality 20": lambda images: compress(images, 20),
    "half resolution": lambda images: squeeze(images, 2.0),
    "third of the resolution": lambda images: squeeze(images, 3.0),
    "noise, sd 0.08": lambda images: add_noise(images, 0.08, make_rng(TEST_SEED, "noise")),
}
"""What the judge is measured under; images (n, 3, 64, 64) in [0, 1]."""


def train_world_judge(
    out: str | Path,
    *,
    n_images: int = 16000,
    n_epochs: int = 10,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    n_test: int = 1200,
) -> dict[str, Any]:
    """Train the judge, measure it on unseen scenes, whole and degraded, and write its folder.

    Parameters
    ----------
    out : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    n_images, n_test : int
        Scenes to train on and to measure on.
    n_epochs : int
        Passes over the training scenes.
    seed : int
        Seed of initial weights, order and augmentation; the scenes have seeds of their own.
    device : str
        Torch device.
    checkpoint : path, optional
        ``.safetensors`` file, written after every epoch and resumed from if it exists.

    Returns
    -------
    dict
        Measured quality, as in ``config.json``; see :func:`measure_judge`.

    Raises
    ------
    ValueError
        If a number is out of range or the checkpoint is of another run.
    """
    scenes = make_captioned_scenes(n_images, seed=SCENE_SEED)
    arrays = (torch.from_numpy(scenes.images), torch.from_numpy(scenes.subtypes))
    judge = build_seeded(WorldJudge, seed).to(memory_format=torch.channels_last)
    result = train(
        judge, AugmentedBatches(ArrayBatches(arrays, _BATCH_SIZE, seed), seed), _compute_loss,
        n_epochs=n_epochs, seed=seed, learning_rate=_LEARNING_RATE, weight_decay=0.05, device=device,
        checkpoint=checkpoint,
    )  # fmt: skip
    judge.to("cpu")
    quality = measure_judge(judge, make_captioned_scenes(n_test, seed=TEST_SEED))
    config = {
        "name": "world-judge",
        "channels": list(CHANNELS),
        "categories": list(CATEGORIES),
        "subtypes": list(SUBTYPE_NAMES),
        "training": {
            "n_images": n_images, "n_epochs": n_epochs, "seed": seed, "scene_seed": SCENE_SEED,
            "world_version": WORLD_VERSION, "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": {"n_images": n_test, "scene_seed": TEST_SEED, **quality},
    }  # fmt: skip
    write_model(out, judge, config, format_card=_format_card)
    return quality


@dataclass(frozen=True)
class AugmentedBatches:
    """Batches of (images, subtypes), turned into what a generator could make of them.

    Every image is moved, scaled, mirrored unless it shows writing, and coloured at random; every batch is
    left sharp, blurred, brought to a lower resolution or compressed, and made noisy.
    """

    plain: ArrayBatches
    seed: int

    def __len__(self) -> int:
        """Batches in one epoch."""
        return len(self.plain)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (n, 3, 64, 64) in [0, 1] and numbers of subtypes (n,)."""
        rng = make_rng(self.seed, "augmentation", epoch)
        writing = torch.tensor([SUBTYPE_NAMES.index("print"), SUBTYPE_NAMES.index("script")])
        for images, subtypes in self.plain(epoch):
            x = images.permute(0, 3, 1, 2).float() / 255
            x = _recolour(_move(x, ~torch.isin(subtypes, writing), rng), rng)
            kind = rng.integers(4)
            if kind == 1:
                x = blur(x, float(rng.uniform(0.4, 1.6)))
            elif kind == 2:
                x = squeeze(x, float(rng.uniform(1.5, 3.2)))
            elif kind == 3:
                x = compress(x, int(rng.integers(10, 60)))
            yield add_noise(x, float(rng.choice([0.0, 0.03, 0.08])), rng), subtypes


def _move(images: Tensor, mirrorable: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift by up to an eighth of the image, scale by 0.8 to 1.2 and mirror."""
    n = len(images)
    scale = torch.from_numpy(rng.uniform(0.8, 1.2, n)).float()
    shift = torch.from_numpy(rng.uniform(-0.25, 0.25, (n, 2))).float()
    sign = torch.where(torch.from_numpy(rng.random(n) < 0.5) & mirrorable, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * sign, scale, shift
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Gain of every channel, and gain, offset and saturation of the whole."""
    n = len(images)

    def draw(low: float, high: float, n_channels: int = 1) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n, n_channels, 1, 1))).float()

    grey = images.mean(dim=1, keepdim=True)
    saturated = grey + (images - grey) * draw(0.5, 1.3)
    return ((saturated - 0.5) * draw(0.7, 1.2) * draw(0.9, 1.1, 3) + 0.5 + draw(-0.1, 0.1)).clamp(0, 1)


def add_noise(images: Tensor, sd: float, rng: np.random.Generator) -> Tensor:
    """Independent noise of every value, of images in [0, 1]."""
    if sd == 0:
        return images
    return (images + sd * torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))).clamp(0, 1)


def _compute_loss(judge: WorldJudge, batch: tuple[Tensor, Tensor]) -> Tensor:
    images, subtypes = batch
    x = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16):
        logits = judge(x)
    return nn.functional.cross_entropy(logits.float(), subtypes)


def measure_judge(judge: WorldJudge, scenes: CaptionedScenes) -> dict[str, Any]:
    """Quality on scenes that the judge has not seen.

    Returns
    -------
    dict
        ``by_degradation``: name -> accuracy of ``category`` and ``subtype``; ``by_category``: share of the
        scenes of each category that is recognised; ``confusion``: scenes by true (row) and found (column)
        category; ``calibration``: see :func:`measure_calibration`; all without degradation but the first.
    """
    by_degradation = {}
    images = torch.from_numpy(scenes.images).permute(0, 3, 1, 2).float() / 255
    for name, degrade in DEGRADATIONS.items():
        shown = (degrade(images).permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
        subtypes = classify_images(shown, level="subtype", judge=judge)
        by_degradation[name] = {
            "category": _round((sum_subtypes(subtypes).argmax(axis=1) == scenes.categories).mean()),
            "subtype": _round((subtypes.argmax(axis=1) == scenes.subtypes).mean()),
        }
    probabilities = classify_images(scenes.images, judge=judge)
    confusion = np.zeros((len(CATEGORIES), len(CATEGORIES)), dtype=int)
    np.add.at(confusion, (scenes.categories, probabilities.argmax(axis=1)), 1)
    recalled = np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)
    return {
        "by_degradation": by_degradation,
        "by_category": {name: _round(value) for name, value in zip(CATEGORIES, recalled, strict=True)},
        "confusion": confusion.tolist(),
        "calibration": measure_calibration(probabilities, scenes.categories),
    }


def measure_calibration(
    probabilities: NDArray[np.floating[Any]], truth: NDArray[np.int64]
) -> dict[str, float]:
    """Whether the judge is as sure as it is right.

    Returns
    -------
    dict
        ``confidence``: mean largest probability; ``expected_error``: mean gap between confidence and accuracy
        over ten bins of confidence, weighted by their images (Guo et al. 2017, ICML, eq. 3); ``nll``: mean
        negative log probability of the truth [nat].
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * _N_BINS).astype(int), _N_BINS - 1)
    gap = sum(
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )
    own = np.maximum(probabilities[np.arange(len(truth)), truth], math.ulp(0.0))
    return {
        "confidence": _round(confidence.mean()),
        "expected_error": _round(gap),
        "nll": _round(-np.log(own).mean()),
    }


def _round(value: float) -> float:
    return round(float(value), 4)


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    degraded = "\n".join(
        f"| {name} | {values['category']:.3f} | {values['subtype']:.3f} |"
        for name, values in quality["by_degradation"].items()
    )
    confusion = "\n".join(
        f"| {name} | {quality['by_category'][name]:.3f} | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(CATEGORIES, quality["confusion"], strict=True)
    )
    calibration = quality["calibration"]
    return f"""# world-judge

A classifier of the dominant thing of a scene: six categories, twelve subtypes. It judges generated images
and is never what an image is guided by; architecture, scenes and seeds are its own.

- **Architecture**: `neurovis.features.world_judge`, a plain stack of convolutions,
  {config["n_parameters"]} parameters, {config["n_bytes"] / 2**20:.2f} MiB; RGB in [-1, 1], 64 x 64.
- **Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` (version {training["world_version"]},
  seed {training["scene_seed"]}), moved, scaled, mirrored and coloured at random, and blurred, brought to a
  lower resolution, compressed or made noisy; no photograph and no person's data.
- **Command**: `neurovis features train-world-judge --n-images {training["n_images"]} --n-epochs
  {training["n_epochs"]} --seed {training["seed"]}`; {training["minutes"]} minutes of training.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`

Measured on {quality["n_images"]} scenes of seed {quality["scene_seed"]}. Accuracy on the scenes as they are
and degraded:

| degradation | 6 categories | 12 subtypes |
|---|---|---|
{degraded}

Scenes by true category (row) and found category (column):

| category | recognised | {" | ".join(CATEGORIES)} |
|---|---|{"---|" * len(CATEGORIES)}
{confusion}

Calibration: mean confidence {calibration["confidence"]:.3f}, expected calibration error
{calibration["expected_error"]:.3f}, mean negative log probability {calibration["nll"]:.3f} nat.
"""
