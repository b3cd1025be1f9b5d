"""Training of the two world classifiers: one function, one command.

``neurovis foveation train`` makes the shipped weights again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovis.core import check_array, check_option, make_rng
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.points import normalise_points
from neurovis.foveation.retraining import FixatedBatches, retrain_classifier
from neurovis.foveation.world import MODEL_NAMES, RETINAS, build_world_classifier
from neurovis.stimuli.world import CATEGORIES, WORLD_VERSION, make_scene
from neurovis.training.models import write_model

SCENE_SEED = 83_401
TEST_SEED = 83_402
"""Seeds of the scenes; other networks and experiments use others, so no scene is shown to both."""

SCENE_PX = 128
JITTER = 0.15
"""Standard deviation of training fixations around the middle of the thing, in half sides of the scene."""

_BATCH_SIZE = 40
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.02
_N_TEST = 600
_PLACE, _WORD = CATEGORIES.index("place"), CATEGORIES.index("word")


@dataclass(frozen=True, eq=False)
class WorldViews:
    """Scenes, what dominates them and where it lies.

    Parameters
    ----------
    images : array of shape (n, 128, 128, 3), uint8
    labels : array of shape (n,), int64
        Of :data:`neurovis.stimuli.world.CATEGORIES`.
    masks : array of shape (n, 128, 128), bool
        Where the dominant thing is seen.
    middles : array of shape (n, 2), float64
        (x, y) of the middle of the mask, in [-1, 1]; of a place, which is everywhere, the middle of the thing
        of another scene, so that the fixation does not tell the category.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_]
    middles: NDArray[np.float64]


def make_world_views(n_images: int, *, seed: int) -> WorldViews:
    """Scenes 0 to ``n_images - 1`` of a world and the places to look at.

    Raises
    ------
    ValueError
        If there are no scenes with a thing among them.
    """
    from tqdm import tqdm

    check_array("n_images", n_images, ndim=0, minimum=1, remedy="pass how many scenes to make")
    images = np.empty((n_images, SCENE_PX, SCENE_PX, 3), dtype=np.uint8)
    masks = np.empty((n_images, SCENE_PX, SCENE_PX), dtype=bool)
    labels = np.empty(n_images, dtype=np.int64)
    middles = np.empty((n_images, 2))
    for row in tqdm(range(n_images), desc="making scenes", disable=None, file=sys.stderr):
        scene = make_scene(seed, row, size_px=SCENE_PX)
        thing = scene.objects[0]
        images[row], masks[row], labels[row] = scene.image, thing.mask, CATEGORIES.index(thing.category)
        down, across = np.nonzero(thing.mask)
        centre_px = [[across.mean() + 0.5, down.mean() + 0.5]]
        middles[row] = normalise_points(centre_px, (SCENE_PX, SCENE_PX))[0]
    places, things = labels == _PLACE, middles[labels != _PLACE]
    if not len(things):
        raise ValueError(
            f"n_images must include a thing, got {n_images} scene(s) of places; pass 12 or more."
        )
    middles[places] = make_rng(seed, "views").choice(things, places.sum())
    return WorldViews(images, labels, masks, middles)


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 images (n, height, width, 3) to floats (n, 3, height, width) in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def train_foveated_world(
    out: str | Path,
    *,
    retina: str = "logpolar",
    n_images: int = 8000,
    n_epochs: int = 12,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
) -> dict[str, Any]:
    """Train a classifier of the stimulus world's six categories, measure it and write its folder.

    Parameters
    ----------
    out : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    retina : {"logpolar", "cartesian"}
        Log-polar samples and padding around the circle of angles, or a masked disc.
    n_images : int
        Scenes to train on.
    n_epochs : int
        Passes over them, each with fixations of its own.
    seed : int
        Seed of initial weights, fixations and order, the same for both retinas; the scenes have seeds of
        their own.
    device : str
        Torch device.
    checkpoint : path, optional
        Written after every epoch and resumed from.

    Returns
    -------
    dict
        Measured quality, as in ``config.json``; see :func:`measure_world_classifier`.

    Raises
    ------
    ValueError
        If a number is out of range or the retina unknown.

    Notes
    -----
    The only augmentations are those of the paper, a mirror, and a jitter of the fixation; no scene is turned
    or zoomed.
    """
    check_option("retina", retina, RETINAS)
    views = make_world_views(n_images, seed=SCENE_SEED)
    labels = torch.from_numpy(views.labels)
    batches = FixatedBatches(
        torch.from_numpy(views.images), labels, torch.from_numpy(views.middles), jitter=JITTER,
        mirror=labels != _WORD, batch_size=_BATCH_SIZE, seed=seed,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = build_world_classifier(retina)
    result = retrain_classifier(
        classifier, batches, n_epochs=n_epochs, seed=seed, learning_rate=_LEARNING_RATE,
        optimiser="adamw", weight_decay=_WEIGHT_DECAY, schedule="one-cycle", precision="bfloat16",
        device=device, checkpoint=checkpoint,
    )  # fmt: skip
    classifier.to("cpu")
    quality = measure_world_classifier(classifier, make_world_views(_N_TEST, seed=TEST_SEED))
    config = {
        "name": MODEL_NAMES[retina], "retina": retina, "sampler": repr(classifier.retina),
        "categories": list(CATEGORIES),
        "training": {
            "n_images": n_images, "n_epochs": n_epochs, "seed": seed, "scene_seed": SCENE_SEED,
            "world_version": WORLD_VERSION, "jitter": JITTER,
            "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": {"n_images": _N_TEST, "scene_seed": TEST_SEED, **quality},
    }  # fmt: skip
    write_model(out, classifier, config, format_card=_format_card)
    return quality


def measure_world_classifier(classifier: FoveatedClassifier, views: WorldViews) -> dict[str, Any]:
    """Accuracy on scenes that the network has not seen; chance is 1/6.

    Returns
    -------
    dict
        ``accuracy`` with fixation on the middle of the thing, ``accuracy_centre`` on that of the scene, and
        ``by_category``, the former for each category.
    """
    classifier.eval()
    images, middles = to_tensor(views.images), torch.from_numpy(views.middles)
    right = {}
    with torch.no_grad():
        for name, points in (("thing", middles), ("centre", torch.zeros_like(middles))):
            logits = [
                classifier(*part)
                for part in zip(images.split(_BATCH_SIZE), points.split(_BATCH_SIZE), strict=True)
            ]
            right[name] = torch.cat(logits).argmax(1).numpy() == views.labels
    return {
        "accuracy": round(float(right["thing"].mean()), 4),
        "accuracy_centre": round(float(right["centre"].mean()), 4),
        "by_category": {
            name: round(float(right["thing"][views.labels == code].mean()), 4)
            for code, name in enumerate(CATEGORIES)
        },
    }


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in quality["by_category"].items())
    kind = (
        "log-polar samples\naround fixation and padding around the circle of angles"
        if config["retina"] == "logpolar"
        else "a masked disc\nof regular samples, the control of `foveated-world`"
    )
    return f"""# {config["name"]}

A small residual network that names the category of the thing that it looks at: {kind}.

- **Architecture**: `neurovis.foveation.world`, {config["n_parameters"]} parameters,
  {config["n_bytes"] / 2**20:.2f} MiB; RGB in [0, 1], square images of any size.
- **Retina**: `{config["sampler"]}`
- **Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` (version {training["world_version"]},
  seed {training["scene_seed"]}) at {SCENE_PX} px, fixated at the middle of the dominant thing with a jitter
  of {training["jitter"]} half sides, mirrored at random; never turned or zoomed. No photograph and no
  person's data. Experiments use other seeds.
- **Target**: the category of the dominant thing, one of {", ".join(config["categories"])}.
- **Command**: `neurovis foveation train --retina {config["retina"]} --n-images {training["n_images"]}
  --n-epochs {training["n_epochs"]} --seed {training["seed"]}`; {training["minutes"]} minutes of training.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`

Measured on {quality["n_images"]} scenes of seed {quality["scene_seed"]} (chance 0.167): accuracy
{quality["accuracy"]:.3f} with fixation on the thing, {quality["accuracy_centre"]:.3f} on the scene's middle.

| category | accuracy |
|---|---|
{rows}
"""
