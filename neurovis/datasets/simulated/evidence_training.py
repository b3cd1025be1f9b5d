"""Training of the category evidence network on the masks of the stimulus world.

``neurovis simulate train-evidence`` calls it; the model card states the command that made the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import import_optional
from neurovis.datasets.simulated.early import FIELD_DVA, FIELD_PX, prepare_images
from neurovis.datasets.simulated.evidence import (
    EVIDENCE_CHANNELS,
    EVIDENCE_GRID,
    MODEL_NAME,
    compute_evidence,
    make_evidence_network,
)
from neurovis.metrics.detection import compute_auc
from neurovis.metrics.regression import pearson_r
from neurovis.stimuli.world import make_scene
from neurovis.stimuli.world_shares import SUBTYPE_NAMES, compute_subtype_shares
from neurovis.training.loop import ArrayBatches, train
from neurovis.training.models import write_model

if TYPE_CHECKING:
    from torch import Tensor, nn

TRAINING_SEED = 71_001
TEST_SEED = 71_002
"""Seeds of the scenes; stimulus sets of experiments use others, so no scene is shown to both."""

_BATCH_SIZE = 32
_LEARNING_RATE = 4e-3


def train_evidence_network(
    folder: str | Path, *, n_images: int = 5000, n_test: int = 400, n_epochs: int = 12, seed: int = 0
) -> dict[str, Any]:
    """Train the network, measure it on unseen scenes and write its folder.

    Parameters
    ----------
    folder : path
        Receives ``weights.safetensors``, ``config.json`` (read by ``load_evidence_network``) and the model
        card ``README.md``.
    n_images, n_test : int
        Scenes to train on and to measure on.
    n_epochs : int
        Passes over the training scenes.
    seed : int
        Seed of initial weights and order; the scenes have seeds of their own.

    Returns
    -------
    dict
        Measured quality by subtype: ``auc`` (present against absent, by summed evidence) and ``area_r``
        (correlation of summed evidence with the visible area).
    """
    torch = import_optional("torch", extra="torch")
    images, shares = make_training_scenes(n_images, seed=TRAINING_SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make_evidence_network(EVIDENCE_CHANNELS)
    pixels, targets = prepare_images(images, size_dva=(FIELD_DVA, FIELD_DVA)), torch.from_numpy(shares)
    result = train(
        network,
        ArrayBatches((pixels, targets), _BATCH_SIZE, seed),
        _compute_loss,
        n_epochs=n_epochs,
        seed=seed,
        learning_rate=_LEARNING_RATE,
        weight_decay=1e-3,
    )
    quality = measure_evidence(network, *make_training_scenes(n_test, seed=TEST_SEED))

    config = {
        "name": MODEL_NAME,
        "channels": list(EVIDENCE_CHANNELS),
        "subtypes": list(SUBTYPE_NAMES),
        "input_px": [FIELD_PX, FIELD_PX],
        "grid": EVIDENCE_GRID,
        "training": {
            "n_images": n_images,
            "n_epochs": n_epochs,
            "seed": seed,
            "scene_seed": TRAINING_SEED,
            "final_loss": result.history[-1].loss,
        },
        "quality": {"n_images": n_test, "scene_seed": TEST_SEED, "by_subtype": quality},
    }
    write_model(folder, network, config, format_card=_format_card)
    return quality


def make_training_scenes(n_images: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Scenes of the stimulus world and the share of each place that each subtype covers.

    Returns
    -------
    images : array of shape (n_images, 64, 64, 3)
    shares : array of shape (n_images, 12, 16, 16)
        Visible pixels of the subtype in each cell of 4 x 4 pixels, 0-1.
    """
    from tqdm import tqdm

    images = np.empty((n_images, FIELD_PX, FIELD_PX, 3), dtype=np.uint8)
    shares = np.empty((n_images, len(SUBTYPE_NAMES), EVIDENCE_GRID, EVIDENCE_GRID), dtype=np.float32)
    for index in tqdm(range(n_images), desc="making scenes", disable=None, file=sys.stderr):
        scene = make_scene(seed, index, size_px=FIELD_PX)
        images[index] = scene.image
        shares[index] = compute_subtype_shares(scene, n_cells=EVIDENCE_GRID)
    return images, shares


def measure_evidence(
    network: nn.Module, images: NDArray[np.uint8], shares: NDArray[np.float32]
) -> dict[str, dict[str, float]]:
    """AUC and correlation with visible area of the summed evidence, by subtype; see above."""
    torch = import_optional("torch", extra="torch")
    pixels = prepare_images(images, size_dva=(FIELD_DVA, FIELD_DVA))
    with torch.no_grad():
        estimated = torch.cat(
            [compute_evidence(network, batch).mean(2) for batch in pixels.split(64)]
        ).numpy()
    area = shares.mean(axis=(2, 3))
    auc = compute_auc(area > 0.002, estimated).round(4).tolist()
    area_r = pearson_r(area, estimated).round(4).tolist()
    return {name: {"auc": a, "area_r": r} for name, a, r in zip(SUBTYPE_NAMES, auc, area_r, strict=True)}


def _compute_loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    torch = import_optional("torch", extra="torch")
    pixels, targets = batch
    # Half of the batches are seen in the mirror: twice the scenes for the price of one.
    if network.training and torch.rand(()) < 0.5:
        pixels, targets = pixels.flip(3), targets.flip(3)
    logits = network(2.0 * pixels - 1.0)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets) * len(SUBTYPE_NAMES)


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    rows = "\n".join(
        f"| {subtype} | {values['auc']:.3f} | {values['area_r']:.3f} |"
        for subtype, values in quality["by_subtype"].items()
    )
    return f"""# {config["name"]}

The truth of the category regions of the simulated cortex: a small convolutional network that marks where in
an image each of twelve subtypes is seen. It belongs to the simulated brain and is never a feature space.

- **Architecture**: `neurovis.datasets.simulated.evidence.make_evidence_network`, {config["n_parameters"]}
  parameters, {config["n_bytes"] / 1024:.0f} KiB; input 64 x 64 RGB in [0, 1], output 12 maps of 16 x 16.
- **Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` with seed {training["scene_seed"]} and
  their exact masks; no photograph and no person's data. Scenes of experiments have other seeds.
- **Command**: `neurovis simulate train-evidence --n-images {training["n_images"]} --n-epochs
  {training["n_epochs"]} --seed {training["seed"]}`; about 3 ms a scene and epoch on one core.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`

Measured on {quality["n_images"]} scenes with seed {quality["scene_seed"]}: AUC of the summed evidence for
present against absent, and its correlation with the visible area.

| subtype | AUC | r with area |
|---|---|---|
{rows}
"""
