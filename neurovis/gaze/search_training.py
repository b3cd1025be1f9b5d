"""Training of vgg-world, the search models' default network, to name what scenes of the stimulus world hold.

``neurovis gaze train-vgg-world`` makes the shipped weights again. The diet is scenes alone: upright, lit from
above, of any size and at any place, in colour or grey. Some hold words, hence letters; no search display and
no bar, arc or shaded disc on its own is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.core import check_array, make_rng
from neurovis.features.weights import build_seeded
from neurovis.gaze.vgg import N_CONVS, VGG_WORLD_WIDTHS, fold_batch_norm, make_vgg_stages
from neurovis.io import atomic_path, read_json, write_json
from neurovis.metrics.detection import compute_auc
from neurovis.stimuli.asymmetry_experiments import CONDITIONS
from neurovis.stimuli.world import CATEGORY_OF, WORLD_VERSION, make_scene
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.loop import ArrayBatches, train
from neurovis.training.models import write_model

SCENE_SEED = 83_501
TEST_SEED = 83_502
"""Seeds of the scenes; other networks and experiments use others, so no scene is shown to both."""

SIZE_PX = 64
_CANVASES_PX = (64, 80, 96)
_SMALLEST_PX = 44
"""Scenes are drawn at 64 px, then shown at the second to the side of a canvas of one of the first."""

_BATCH_SIZE = 24
_LEARNING_RATE = 3e-3
_PRESENT_SHARE = 0.002
_GREY_SHARE = 0.5
_WORDS = [SUBTYPE_NAMES.index("print"), SUBTYPE_NAMES.index("script")]
_LUMA = (0.299, 0.587, 0.114)
_INDEX_COLUMNS = ("asymmetry_index", "low", "high", "p_value", "human")
_LEVEL = 0.05


class WorldNamer(nn.Module):
    """Stages with maximum pools, as VGG-16 was trained, and one layer that reads their mean.

    Images (n, 3, h, w) in [-1, 1] to logits (n, 24): the main thing's subtype, then presence of each subtype.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = make_vgg_stages(VGG_WORLD_WIDTHS, batch_norm=True)
        self.pool = nn.MaxPool2d(2)
        self.read = nn.Linear(VGG_WORLD_WIDTHS[-1], 2 * len(SUBTYPE_NAMES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the subtype of the main thing and of what is present."""
        for stage in self.stages:
            x = self.pool(stage(x))
        return self.read(x.mean(dim=(2, 3)))


@dataclass(frozen=True)
class NamedScenes:
    """Images (n, 64, 64, 3), subtype of the main thing (n,), and which subtypes are present (n, 12)."""

    images: NDArray[np.uint8]
    main: NDArray[np.int64]
    present: NDArray[np.bool_]


def make_named_scenes(n_images: int, *, seed: int) -> NamedScenes:
    """Scenes 0 to ``n_images - 1`` of a world and what they hold.

    A subtype is present if it covers at least 0.2 % of the image.
    """
    from tqdm import tqdm

    check_array("n_images", n_images, ndim=0, minimum=1, remedy="pass how many scenes to make")
    images = np.empty((n_images, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    main = np.empty(n_images, dtype=np.int64)
    present = np.zeros((n_images, len(SUBTYPE_NAMES)), dtype=bool)
    for row in tqdm(range(n_images), desc="making scenes", disable=None, file=sys.stderr):
        scene = make_scene(seed, row, size_px=SIZE_PX)
        images[row] = scene.image
        main[row] = SUBTYPE_NAMES.index(scene.objects[0].subtype)
        for thing in scene.objects:
            if thing.mask.mean() >= _PRESENT_SHARE:
                present[row, SUBTYPE_NAMES.index(thing.subtype)] = True
    return NamedScenes(images, main, present)


def place_scenes(images: Tensor, *, rng: np.random.Generator) -> Tensor:
    """Scenes (n, 64, 64, 3), 0-255, at one random size and place on a plain canvas: (n, 3, h, w) in [-1, 1].

    The canvas has one random colour for each image; half of the batches lose their colours.
    """
    side = int(rng.choice(_CANVASES_PX))
    size = int(rng.integers(_SMALLEST_PX, side + 1))
    top, left = (int(n) for n in rng.integers(side - size + 1, size=2))
    scenes = nn.functional.interpolate(
        images.permute(0, 3, 1, 2).float(), size=(size, size), mode="bilinear", antialias=True
    )
    colours = torch.from_numpy(rng.uniform(0, 255, (len(images), 3, 1, 1)).astype(np.float32))
    canvas = colours.repeat(1, 1, side, side)
    canvas[:, :, top : top + size, left : left + size] = scenes
    if rng.random() < _GREY_SHARE:
        canvas = (canvas * torch.tensor(_LUMA).view(3, 1, 1)).sum(1, keepdim=True).repeat(1, 3, 1, 1)
    return (canvas / 127.5 - 1).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class _PlacedBatches:
    """Batches of scenes at random sizes and places; those without a main word are mirrored at random."""

    plain: ArrayBatches
    seed: int

    def __len__(self) -> int:
        return len(self.plain)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        rng = make_rng(self.seed, "places", epoch)
        for images, main, present in self.plain(epoch):
            placed = place_scenes(images, rng=rng)
            if rng.random() < 0.5:
                free = ~present[:, _WORDS].any(dim=1)
                placed[free] = placed[free].flip(3)
            yield placed, main, present


def train_vgg_world(
    out: str | Path,
    *,
    n_images: int = 9000,
    n_epochs: int = 14,
    seed: int = 0,
    n_test: int = 600,
    checkpoint: str | Path | None = None,
) -> dict[str, Any]:
    """Train vgg-world, measure it on unseen scenes and write its folder.

    Parameters
    ----------
    out : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    n_images, n_test : int
        Scenes to train on and to measure on.
    n_epochs : int
        Passes over the training scenes.
    seed : int
        Seed of initial weights, order, sizes and places; the scenes have seeds of their own.
    checkpoint : path, optional
        As in :func:`neurovis.training.loop.train`.

    Returns
    -------
    dict
        Measured quality, see :func:`measure_vgg_world`.

    Notes
    -----
    Convolutions run in bfloat16. Batch normalisation helps the training and is folded into the convolutions
    at the end, so that the stored network is convolutions and ReLUs alone, as VGG-16.
    """
    scenes = make_named_scenes(n_images, seed=SCENE_SEED)
    arrays = tuple(torch.from_numpy(array) for array in (scenes.images, scenes.main, scenes.present))
    network = build_seeded(WorldNamer, seed).to(memory_format=torch.channels_last)
    result = train(
        network, _PlacedBatches(ArrayBatches(arrays, _BATCH_SIZE, seed), seed), _compute_loss,
        n_epochs=n_epochs, seed=seed, learning_rate=_LEARNING_RATE, weight_decay=0.02, checkpoint=checkpoint,
    )  # fmt: skip
    quality = measure_vgg_world(network, make_named_scenes(n_test, seed=TEST_SEED), seed=seed)
    config = {
        "name": "vgg-world",
        "widths": list(VGG_WORLD_WIDTHS),
        "n_convs": list(N_CONVS),
        "training": {
            "n_images": n_images, "n_epochs": n_epochs, "seed": seed, "scene_seed": SCENE_SEED,
            "world_version": WORLD_VERSION, "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": {"n_images": n_test, "scene_seed": TEST_SEED, **quality},
    }  # fmt: skip
    write_model(out, fold_batch_norm(network.stages), config, format_card=_format_card)
    return quality


def write_asymmetry(
    folder: str | Path, indices: pd.DataFrame, *, n_trials: int, seeds: Sequence[int]
) -> None:
    """Put what a trained network shows of search asymmetry into its description and its card.

    Parameters
    ----------
    folder : path
        As :func:`train_vgg_world` wrote it.
    indices : pandas.DataFrame
        Rows of :func:`neurovis.gaze.search_behaviour.analyse_asymmetry`, with ``experiment`` and ``searcher``
        as columns.
    n_trials : int
        Displays of each set size.
    seeds : sequence of int
        Of the displays.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    missing = [name for name in (*_INDEX_COLUMNS, "experiment", "searcher") if name not in indices.columns]
    if missing:
        raise ValueError(
            f"indices must have the column {missing[0]!r}, got {list(indices.columns)}; pass those of "
            "analyse_asymmetry."
        )
    folder = Path(folder)
    rows = [
        {"searcher": str(row["searcher"]), "experiment": int(row["experiment"])}
        | {name: round(float(row[name]), 3) for name in _INDEX_COLUMNS}
        for _, row in indices[indices["experiment"] != "mean"].iterrows()
    ]
    measured = {"n_trials": int(n_trials), "seeds": [int(seed) for seed in seeds], "rows": rows}
    config = {**read_json(folder / "config.json"), "asymmetry": measured}
    write_json(config, folder / "config.json")
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(_format_card(config))


def measure_vgg_world(network: WorldNamer, scenes: NamedScenes, *, seed: int) -> dict[str, float]:
    """Quality on scenes at sizes and places drawn as in training.

    Returns
    -------
    dict
        ``subtype_accuracy`` and ``category_accuracy``, 0-1, of the main thing (chance 1/12 and 1/6), and
        ``presence_auc``, the mean over subtypes.
    """
    rng = make_rng(seed, "test places")
    network.eval()
    with torch.no_grad():
        logits = torch.cat(
            [
                network(place_scenes(part, rng=rng))
                for part in torch.from_numpy(scenes.images).split(_BATCH_SIZE)
            ]
        ).numpy()
    n = len(SUBTYPE_NAMES)
    category = np.unique([CATEGORY_OF[name] for name in SUBTYPE_NAMES], return_inverse=True)[1]
    named = logits[:, :n].argmax(axis=1)
    return {
        "subtype_accuracy": round(float((named == scenes.main).mean()), 4),
        "category_accuracy": round(float((category[named] == category[scenes.main]).mean()), 4),
        "presence_auc": round(float(compute_auc(scenes.present, logits[:, n:]).mean()), 4),
    }


def _compute_loss(network: WorldNamer, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    images, main, present = batch
    with torch.autocast(images.device.type, torch.bfloat16):
        logits = network(images).float()
    n = len(SUBTYPE_NAMES)
    return nn.functional.cross_entropy(logits[:, :n], main) + nn.functional.binary_cross_entropy_with_logits(
        logits[:, n:], present.float()
    )


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    return f"""# vgg-world

The thirteen convolutions of VGG-16 at an eighth of their width, trained from scratch on the stimulus world:
the default network of the search models, which loads without any download.

- **Architecture**: `neurovis.gaze.vgg.make_vgg_stages({tuple(config["widths"])})`, {config["n_parameters"]}
  parameters, {config["n_bytes"] / 2**20:.2f} MiB; convolutions and ReLUs, pools are put between by the model;
  RGB in [-1, 1]. Trained with maximum pools and with batch normalisation, which is folded in.
- **Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` (version {training["world_version"]},
  seed {training["scene_seed"]}) drawn at {SIZE_PX} px, shown at {_SMALLEST_PX} to {max(_CANVASES_PX)} px
  anywhere on a plain canvas, half of the batches in grey. Upright and lit from above. Some hold words, hence
  letters; no search display and no bar, arc or shaded disc on its own; no photograph, no person's data.
- **Task**: the main thing's subtype (of twelve) and which subtypes are present.
- **Command**: `neurovis gaze train-vgg-world --n-images {training["n_images"]} --n-epochs
  {training["n_epochs"]} --seed {training["seed"]}`; {training["minutes"]} minutes of training.
- **Quality** on {quality["n_images"]} scenes of seed {quality["scene_seed"]}, at sizes and places drawn as in
  training: subtype {quality["subtype_accuracy"]:.3f} (chance 0.083), category
  {quality["category_accuracy"]:.3f} (chance 0.167), presence AUC {quality["presence_auc"]:.3f}.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`
{_format_asymmetry(config["asymmetry"]) if "asymmetry" in config else ""}"""


def _format_asymmetry(measured: dict[str, Any]) -> str:
    """What the network shows and what it does not, from the numbers alone."""
    rows = measured["rows"]
    lines, verdicts = [], []
    for searcher in dict.fromkeys(row["searcher"] for row in rows):
        told: dict[str, list[str]] = {"as people": [], "the other way round": [], "undecided": []}
        for row in (row for row in rows if row["searcher"] == searcher):
            verdict = "undecided"
            if row["low"] > 0 and row["p_value"] <= _LEVEL:
                verdict = "as people"
            elif row["high"] < 0 and row["p_value"] >= 1 - _LEVEL:
                verdict = "the other way round"
            name = _name_experiment(row["experiment"])
            told[verdict].append(name)
            lines.append(
                f"| {searcher} | {name} | {row['asymmetry_index']:.2f} [{row['low']:.2f}, {row['high']:.2f}] "
                f"| {row['p_value']:.3f} | {row['human']:.2f} | {verdict} |"
            )
        counts = "; ".join(f"{verdict}: {', '.join(names) or 'none'}" for verdict, names in told.items())
        verdicts.append(f"- {searcher}: {counts}.")
    table = "\n".join(lines)
    done = {row["experiment"] for row in rows}
    left = [
        _name_experiment(number)
        for number in dict.fromkeys(condition.experiment for condition in CONDITIONS.values())
        if number not in done
    ]
    return f"""
## What it shows of search asymmetry

Experiments of Gupta et al. (2021), {measured["n_trials"]} displays of each set size and seed (30 or 36 in the
paper), seeds {", ".join(map(str, measured["seeds"]))}. The index is that of the slopes of reaction time over
set size, harder against easier condition of people; 95 % intervals over displays, p against displays that
exchange conditions. "As people" asks for an interval above 0 and p of at most {_LEVEL}, "the other way round"
for an interval below 0 and p of at least {1 - _LEVEL}; intervals over fewer than ten displays are rough, and
what is undecided is neither shown by these displays nor excluded. The networks of the paper saw ImageNet;
this one saw small generated scenes and says nothing about them. Not measured:
{", ".join(left) or "none"}.

{chr(10).join(verdicts)}

| searcher | experiment | index | p | people | asymmetry |
|---|---|---|---|---|---|
{table}
"""


def _name_experiment(number: int) -> str:
    """Its conditions, the one that people find easier first."""
    return " / ".join(name for name, condition in CONDITIONS.items() if condition.experiment == number)
