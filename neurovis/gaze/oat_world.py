"""The shipped model of scanpaths over objects: trained on a simulated searcher among things of the world.

A display scatters things cut from scenes of :mod:`neurovis.stimuli.world` over a square. The searcher looks
at what is of the target's kind and colour and lies near; see :func:`simulate_search`. Nobody's gaze is in it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, make_rng
from neurovis.features.weights import build_seeded
from neurovis.gaze.oat import OAT, OATConfig
from neurovis.gaze.oat_batches import FreshBatches
from neurovis.gaze.oat_behaviour import compare_object_models
from neurovis.gaze.oat_training import OATPredictor, fit_network, write_oat
from neurovis.gaze.oat_trials import ObjectLayout, ObjectTrial, cut_crops
from neurovis.gaze.simulated_searcher import simulate_search
from neurovis.gaze.spatial_baselines import fit_spatial_baselines
from neurovis.stimuli.world import WORLD_VERSION, make_scene

NAME = "oat-world"
SCENE_SEED = 83_601
TEST_SEED = 83_602
"""Seeds of the scenes and displays to train and to measure on; experiments use others."""

CROP_PX = (32, 32)
DISPLAY_PX = 240
_CONFIG = OATConfig(crop_px=CROP_PX, d_model=64, n_layers=2, d_feedforward=128, dropout=0.0, layout="centres")
_N_OBJECTS = (8, 14)
_BOX_PX = 40
# Smallest side in a scene of 64 px at which a thing can still be told.
_SMALLEST_PX = 14
_COLOUR_WIDTH = 0.2
_DISTANCE_WEIGHT = 6.0
_BATCH_SIZE = 32
_N_BATCHES = 50
_LEARNING_RATE = 1e-3
_MAX_LENGTH = 14


@dataclass(frozen=True, eq=False)
class ThingBank:
    """Things cut from scenes.

    Parameters
    ----------
    crops : array of shape (n_things, height, width, 3), uint8
        Pictures.
    categories, subtypes : array of str of shape (n_things,)
        What they are.
    colours : array of shape (n_things, 3)
        Mean RGB of each thing, 0-1.
    """

    crops: NDArray[np.uint8]
    categories: NDArray[np.str_]
    subtypes: NDArray[np.str_]
    colours: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.crops)


def make_thing_bank(n_scenes: int, *, seed: int) -> ThingBank:
    """Every thing of some scenes that is large enough; places are left out.

    Parameters
    ----------
    n_scenes : int
        Scenes 0 to ``n_scenes - 1``.
    seed : int
        Seed of the world.
    """
    from tqdm import tqdm

    check_array("n_scenes", n_scenes, ndim=0, minimum=1)
    crops, kinds, colours = [], [], []
    for number in tqdm(range(n_scenes), desc="cutting things", disable=None, file=sys.stderr):
        scene = make_scene(seed, number, size_px=64)
        for thing in scene.objects:
            top, left, bottom, right = thing.box
            if thing.category == "place" or min(bottom - top, right - left) < _SMALLEST_PX:
                continue
            crops.append(cut_crops(scene.image, np.array([thing.box], dtype=float), CROP_PX)[0])
            kinds.append((thing.category, thing.subtype))
            colours.append(scene.image[thing.mask].mean(axis=0) / 255)
    if len(crops) < _N_OBJECTS[1]:
        raise ValueError(
            f"n_scenes must give at least {_N_OBJECTS[1]} things, got {len(crops)} from {n_scenes}; raise it."
        )
    categories, subtypes = np.array(kinds).T
    return ThingBank(np.stack(crops), categories, subtypes, np.array(colours))


@dataclass(frozen=True, eq=False)
class WorldSearcher:
    """Displays of scattered things and scanpaths of a known rule over them.

    Parameters
    ----------
    bank : ThingBank
        What displays are made of.
    distance_weight : float
        Of a whole side of the display. Being of the target's category counts 0.5, of its subtype another
        0.5, and of its colour up to 1.
    """

    bank: ThingBank
    distance_weight: float = _DISTANCE_WEIGHT

    def make_trials(self, n_trials: int, *, seed: int) -> list[ObjectTrial]:
        """New displays and the searcher's scanpaths over them; reproducible."""
        rng = make_rng(seed, "world searcher")
        return [self._make_trial(rng, row) for row in range(n_trials)]

    def compute_similarity(self, things: NDArray[np.int_], target: int) -> NDArray[np.float64]:
        """How much things of the bank resemble one of them to the searcher, 0 to 2."""
        bank = self.bank
        squared = ((bank.colours[things] - bank.colours[target]) ** 2).sum(axis=1)
        return (
            0.5 * (bank.categories[things] == bank.categories[target])
            + 0.5 * (bank.subtypes[things] == bank.subtypes[target])
            + np.exp(-squared / (2 * _COLOUR_WIDTH**2))
        )

    def _make_trial(self, rng: np.random.Generator, row: int) -> ObjectTrial:
        n = int(rng.integers(_N_OBJECTS[0], _N_OBJECTS[1] + 1))
        things = rng.choice(len(self.bank), size=n, replace=False)
        layout = scatter_boxes(n, rng)
        target = int(rng.integers(n))
        path = simulate_search(
            self.compute_similarity(things, int(things[target])), layout.centres / DISPLAY_PX, target,
            start=(0.5, 0.5), distance_weight=self.distance_weight,
        )  # fmt: skip
        looks = self.bank.crops[things]
        name = str(self.bank.subtypes[things[target]])
        return ObjectTrial(
            f"display_{row}", "searcher", name, layout, looks, looks[target], target, tuple(path)
        )


def scatter_boxes(n: int, rng: np.random.Generator) -> ObjectLayout:
    """Boxes that do not overlap, at jittered places of a lattice in random cells."""
    per_side = DISPLAY_PX // (_BOX_PX + 8)
    cells = rng.choice(per_side**2, size=n, replace=False)
    step = DISPLAY_PX / per_side
    corner = np.column_stack(np.divmod(cells, per_side)) * step + rng.uniform(0, step - _BOX_PX, (n, 2))
    return ObjectLayout(np.column_stack([corner, corner + _BOX_PX]), (DISPLAY_PX, DISPLAY_PX))


def draw_display(trial: ObjectTrial) -> NDArray[np.uint8]:
    """Picture (height, width, 3) of a display of crops, on grey."""
    from PIL import Image

    canvas = Image.new("RGB", trial.layout.size_px[::-1], (128, 128, 128))
    for look, (top, left, bottom, right) in zip(trial.appearance, trial.layout.boxes.round(), strict=True):
        picture = Image.fromarray(look).resize((int(right - left), int(bottom - top)))
        canvas.paste(picture, (int(left), int(top)))
    return np.asarray(canvas)


def train_oat_world(
    out: str | Path,
    *,
    n_scenes: int = 1500,
    n_epochs: int = 100,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    n_test: int = 300,
) -> dict[str, Any]:
    """Train on simulated scanpaths, measure on unseen things and write the model's folder.

    Parameters
    ----------
    out : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    n_scenes : int
        Scenes that things are cut from.
    n_epochs : int
        Passes of 50 batches of 32 displays, each new.
    seed : int
        Seed of the initial weights; scenes and displays have seeds of their own.
    device : str
        Torch device.
    checkpoint : path, optional
        File that a killed run resumes from.
    n_test : int
        Displays to measure on, of things from other scenes.

    Returns
    -------
    dict
        Measured quality: metric -> model -> value; see
        :func:`neurovis.gaze.oat_behaviour.compare_object_models`.
    """
    searcher = WorldSearcher(make_thing_bank(n_scenes, seed=SCENE_SEED))
    network = build_seeded(lambda: OAT(_CONFIG), seed)
    batches = FreshBatches(searcher, _CONFIG, _BATCH_SIZE, _N_BATCHES, SCENE_SEED)
    result = fit_network(
        network, batches, n_epochs=n_epochs, learning_rate=_LEARNING_RATE, schedule="one-cycle", seed=seed,
        device=device, checkpoint=checkpoint,
    )  # fmt: skip
    predictor = OATPredictor(network.to("cpu"), _MAX_LENGTH, NAME)
    test = WorldSearcher(make_thing_bank(max(n_scenes // 4, 40), seed=TEST_SEED))
    baselines = fit_spatial_baselines(searcher.make_trials(400, seed=SCENE_SEED))
    table = compare_object_models(
        [predictor, *baselines], test.make_trials(n_test, seed=TEST_SEED), n_paths=20, n_bootstraps=200
    )
    chosen = table[table["metric"].isin(["accuracy", "bits_per_step", "correct", "length", "delta"])]
    quality = {
        str(metric): dict(zip(rows["model"], rows["value"].round(4).tolist(), strict=True))
        for metric, rows in chosen.groupby("metric", sort=False)
    }
    description = {
        "training": {
            "n_scenes": n_scenes, "n_epochs": n_epochs, "n_displays": n_epochs * _N_BATCHES * _BATCH_SIZE,
            "seed": seed, "scene_seed": SCENE_SEED, "world_version": WORLD_VERSION,
            "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": {"n_displays": n_test, "scene_seed": TEST_SEED, **quality},
    }  # fmt: skip
    write_oat(out, predictor, description, format_card=_format_card)
    return quality


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    metrics = ("accuracy", "bits_per_step", "correct", "length", "delta")
    models = list(quality["length"])
    cells = {
        model: [f"{quality[name][model]:.3f}" if model in quality[name] else "-" for name in metrics]
        for model in models
    }
    rows = "\n".join(f"| {model} | {' | '.join(values)} |" for model, values in cells.items())
    return f"""# {config["name"]}

Object-level attention transformer (Fang et al. 2024, ECCV) that predicts in what order the things of a
display are looked at during a search, from their pictures, their places and the picture of the target.

- **Architecture**: `neurovis.gaze.oat`, {config["n_parameters"]} parameters,
  {config["n_bytes"] / 2**20:.2f} MiB; crops of {CROP_PX[0]} x {CROP_PX[1]} px at irregular places. The
  target's place is not told.
- **Data**: {training["n_displays"]} displays of 8 to 14 things cut from {training["n_scenes"]} scenes of
  `neurovis.stimuli.world` (version {training["world_version"]}, seed {training["scene_seed"]}), and the
  scanpaths of a simulated searcher over them (`neurovis.gaze.oat_world`). **No person's gaze**: this model
  shows what the architecture can learn and predicts no observer.
- **Command**: `neurovis gaze train-oat-world --n-scenes {training["n_scenes"]} --n-epochs
  {training["n_epochs"]} --seed {training["seed"]}`; {training["minutes"]} minutes of training on one shared
  core.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`

Measured on {quality["n_displays"]} displays of things from other scenes (seed {quality["scene_seed"]});
"people" is the searcher itself. Accuracy and bits are of the next object given the searcher's own past, the
end included; the rest is of 20 sampled scanpaths per display:

| model | accuracy | bits per step | ends on the target | length | delta |
|---|---|---|---|---|---|
{rows}
"""
