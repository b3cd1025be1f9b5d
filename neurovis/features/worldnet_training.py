"""Training of worldnet on the stimulus world: one function, one command.

``neurovis features train-worldnet`` makes the shipped weights again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, import_optional, make_rng
from neurovis.features.weights import build_seeded
from neurovis.features.worldnet import CHANNELS, Worldnet
from neurovis.metrics.detection import compute_auc
from neurovis.metrics.regression import pearson_r
from neurovis.stimuli.world import WORLD_VERSION, make_scene
from neurovis.stimuli.world_shares import SUBTYPE_NAMES, compute_subtype_shares
from neurovis.training.loop import ArrayBatches, train
from neurovis.training.models import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

SCENE_SEED = 82_001
TEST_SEED = 82_002
"""Seeds of the scenes; other networks and experiments use others, so no scene is shown to both."""

SIZE_PX = 64
CELL_PX = 4
"""Side of one place of the maps."""

_BATCH_SIZE = 20
_LEARNING_RATE = 2.5e-3
_LARGEST_SHIFT_CELLS = 1
_PRESENT_SHARE = 0.002
"""Smallest share of the image that counts as seen."""

_WORDS = [SUBTYPE_NAMES.index("print"), SUBTYPE_NAMES.index("script")]


@dataclass(frozen=True)
class WorldTargets:
    """Scenes as arrays: images (n, 64, 64, 3), shares (n, 12, 16, 16), main (n, 5); see :class:`Worldnet`."""

    images: NDArray[np.uint8]
    shares: NDArray[np.float32]
    main: NDArray[np.float32]


def make_world_targets(n_images: int, *, seed: int) -> WorldTargets:
    """Scenes of the stimulus world and what worldnet learns to say about them.

    Parameters
    ----------
    n_images : int
        Scenes 0 to ``n_images - 1``.
    seed : int
        Seed of the world.
    """
    from tqdm import tqdm

    check_array("n_images", n_images, ndim=0, minimum=1, remedy="pass how many scenes to make")
    side = SIZE_PX // CELL_PX
    images = np.empty((n_images, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    shares = np.empty((n_images, len(SUBTYPE_NAMES), side, side), dtype=np.float32)
    main = np.empty((n_images, 5), dtype=np.float32)
    for row in tqdm(range(n_images), desc="making scenes", disable=None, file=sys.stderr):
        scene = make_scene(seed, row, size_px=SIZE_PX)
        images[row] = scene.image
        shares[row] = compute_subtype_shares(scene, n_cells=side)
        mask = scene.objects[0].mask
        down, across = np.nonzero(mask)
        place = ((across.mean() + 0.5) / SIZE_PX, (down.mean() + 0.5) / SIZE_PX) if mask.any() else (0.5, 0.5)
        colour = scene.image[mask].mean(axis=0) / 255 if mask.any() else np.full(3, 0.5)
        main[row] = (*place, *colour)
    return WorldTargets(images, shares, main)


@dataclass(frozen=True)
class _ShiftedBatches:
    """Batches of scenes, shifted by whole places and, unless they hold words, mirrored at random."""

    plain: ArrayBatches
    seed: int

    def __len__(self) -> int:
        return len(self.plain)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        rng = make_rng(self.seed, "shifts", epoch)
        for images, shares, main in self.plain(epoch):
            down, across = (int(n) for n in rng.integers(-_LARGEST_SHIFT_CELLS, _LARGEST_SHIFT_CELLS + 1, 2))
            moved = images.roll((down * CELL_PX, across * CELL_PX), (1, 2))
            covered = shares.roll((down, across), (2, 3))
            target = main.clone()
            target[:, 0] += across * CELL_PX / SIZE_PX
            target[:, 1] += down * CELL_PX / SIZE_PX
            if rng.random() < 0.5:
                free = covered[:, _WORDS].sum(dim=(1, 2, 3)) == 0
                moved = moved.clone()
                moved[free], covered[free] = moved[free].flip(2), covered[free].flip(3)
                target[free, 0] = 1 - target[free, 0]
            yield moved, covered, target


def train_worldnet(
    out: str | Path,
    *,
    n_images: int = 10000,
    n_epochs: int = 10,
    seed: int = 0,
    device: str = "cpu",
    n_test: int = 600,
) -> dict[str, Any]:
    """Train worldnet, measure it on unseen scenes and write its folder.

    Parameters
    ----------
    out : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    n_images, n_test : int
        Scenes to train on and to measure on.
    n_epochs : int
        Passes over the training scenes.
    seed : int
        Seed of initial weights and order; the scenes have seeds of their own.
    device : str
        Torch device.

    Returns
    -------
    dict
        Measured quality, as in ``config.json``; see :func:`measure_worldnet`.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    torch = import_optional("torch", extra="torch")
    scenes = make_world_targets(n_images, seed=SCENE_SEED)
    arrays = tuple(torch.from_numpy(array) for array in (scenes.images, scenes.shares, scenes.main))
    network = build_seeded(Worldnet, seed)
    result = train(
        network, _ShiftedBatches(ArrayBatches(arrays, _BATCH_SIZE, seed), seed), _compute_loss,
        n_epochs=n_epochs, seed=seed, learning_rate=_LEARNING_RATE, weight_decay=0.02, device=device,
    )  # fmt: skip
    network.to("cpu")
    quality = measure_worldnet(network, make_world_targets(n_test, seed=TEST_SEED))
    config = {
        "name": "worldnet",
        "channels": list(CHANNELS),
        "subtypes": list(SUBTYPE_NAMES),
        "training": {
            "n_images": n_images, "n_epochs": n_epochs, "seed": seed, "scene_seed": SCENE_SEED,
            "world_version": WORLD_VERSION, "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": {"n_images": n_test, "scene_seed": TEST_SEED, **quality},
    }  # fmt: skip
    write_model(out, network, config, format_card=_format_card)
    return quality


def measure_worldnet(network: Worldnet, scenes: WorldTargets) -> dict[str, Any]:
    """Quality on scenes that the network has not seen.

    Returns
    -------
    dict
        ``by_subtype``: subtype -> ``auc`` (presence, seen against not seen) and ``area_r`` (correlation of
        the summed map with the visible area); ``place_r`` and ``colour_r``: correlations of the main thing's
        place and colour with the truth, averaged over coordinates and channels.

    Raises
    ------
    ValueError
        If a subtype is in all or in none of the scenes.
    """
    torch = import_optional("torch", extra="torch")
    network.eval()
    with torch.no_grad():
        parts = [network(_to_input(torch.from_numpy(batch))) for batch in _split(scenes.images)]
    presence, maps, main = (
        torch.cat([part[k] for part in parts]).numpy() for k in ("presence", "maps", "main")
    )
    area = scenes.shares.mean(axis=(2, 3))
    auc = compute_auc(area > _PRESENT_SHARE, presence).round(4).tolist()
    area_r = pearson_r(area, maps.mean(axis=(2, 3))).round(4).tolist()
    main_r = pearson_r(scenes.main, main)
    return {
        "by_subtype": {
            name: {"auc": a, "area_r": r} for name, a, r in zip(SUBTYPE_NAMES, auc, area_r, strict=True)
        },
        "place_r": round(float(main_r[:2].mean()), 4),
        "colour_r": round(float(main_r[2:].mean()), 4),
    }


def _to_input(images: Tensor) -> Tensor:
    """uint8 (n, 64, 64, 3) to the network's input (n, 3, 64, 64)."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def _split(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [images[start : start + _BATCH_SIZE] for start in range(0, len(images), _BATCH_SIZE)]


def _compute_loss(network: Worldnet, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    functional = import_optional("torch.nn.functional", extra="torch")
    images, shares, main = batch
    found = network(_to_input(images))
    area = shares.mean(dim=(2, 3))
    # Weights bring the terms to a similar size in the first epochs.
    return (
        10 * functional.binary_cross_entropy_with_logits(found["map_logits"], shares)
        + functional.binary_cross_entropy_with_logits(found["presence"], (area > _PRESENT_SHARE).float())
        + 5 * functional.mse_loss(found["area"], area.sqrt())
        + 2 * functional.mse_loss(found["main"], main)
    )


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    rows = "\n".join(
        f"| {subtype} | {values['auc']:.3f} | {values['area_r']:.3f} |"
        for subtype, values in quality["by_subtype"].items()
    )
    return f"""# worldnet

A small residual network for images of 64 x 64, trained from scratch on the stimulus world: a feature space
that loads without any download.

- **Architecture**: `neurovis.features.worldnet`, {config["n_parameters"]} parameters,
  {config["n_bytes"] / 2**20:.2f} MiB; RGB in [-1, 1], sides a multiple of 16.
- **Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` (version {training["world_version"]},
  seed {training["scene_seed"]}) with their exact masks, shifted and mirrored at random; no photograph and no
  person's data. Experiments and the simulated cortex use other seeds.
- **Targets**: where and how much of each of twelve subtypes is seen, the main thing's place and colour.
- **Command**: `neurovis features train-worldnet --n-images {training["n_images"]} --n-epochs
  {training["n_epochs"]} --seed {training["seed"]}`; {training["minutes"]} minutes of training.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`

Measured on {quality["n_images"]} scenes of seed {quality["scene_seed"]}: place of the main thing
r = {quality["place_r"]:.3f}, its colour r = {quality["colour_r"]:.3f}; AUC of presence and correlation of the
summed map with the visible area:

| subtype | AUC | r with area |
|---|---|---|
{rows}
"""
