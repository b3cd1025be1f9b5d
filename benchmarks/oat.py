"""Scanpaths over objects, and gaze models beside people, measured on every data set that applies.

    python benchmarks/oat.py searcher [--seeds 0 1 2 --steps 800 --rate 2e-3 --schedule one-cycle]
    python benchmarks/oat.py objects --set sti_amazon --split image [--paths 100 --epochs 60]
    python benchmarks/oat.py densities --set osie [--epochs 4]

``searcher`` trains on fresh displays of a searcher whose rule is known, with places and without. ``objects``
trains the transformer on people's scanpaths over the cells of a grid and prints it beside spatial baselines,
chance and the human ceiling; splits keep images, observers or targets apart. ``densities`` prints
likelihood, AUC and NSS of densities of the next fixation. Data are read from NEUROVIS_SHARED.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurovis.core import Fixations, StimulusSet
from neurovis.datasets.coco_search18 import load_coco_search18
from neurovis.datasets.interiors_search import load_interiors_search
from neurovis.datasets.osie import load_osie
from neurovis.datasets.sti_amazon import load_sti_amazon
from neurovis.features.weights import build_seeded
from neurovis.gaze.gaze_comparison import compare_gaze_models
from neurovis.gaze.oat import OAT, OATConfig
from neurovis.gaze.oat_batches import FreshBatches
from neurovis.gaze.oat_behaviour import compare_object_models
from neurovis.gaze.oat_displays import describe_grid, make_grid_trials
from neurovis.gaze.oat_training import OATPredictor, fit_network, train_oat
from neurovis.gaze.oat_trials import ObjectTrial, filter_by_length, split_trials
from neurovis.gaze.object_density import fit_object_density
from neurovis.gaze.simulated_searcher import GridSearcher
from neurovis.gaze.spatial_baselines import fit_spatial_baselines
from neurovis.training.loop import SCHEDULES

SMALL = OATConfig(n_features=1, d_model=64, n_layers=2, d_feedforward=128, dropout=0.1)


@dataclass(frozen=True)
class GazeSet:
    """How a data set becomes displays of objects."""

    load: Callable[[], tuple[StimulusSet, Fixations]]
    grid: tuple[int, int]
    shrink: int
    first_index: int = 0
    crop_px: tuple[int, int] | None = None
    n_sd: float | None = None


def group_by_image(stimulus_id: str) -> str:
    """Of COCO-Search18, whose ids are <task>_<image>; other ids stand for themselves."""
    return stimulus_id.rsplit("_", 1)[-1] if stimulus_id.rsplit("_", 1)[-1].isdigit() else stimulus_id


SETS = {
    "sti_amazon": GazeSet(load_sti_amazon, (6, 14), 20, n_sd=3.0),
    "coco_search18": GazeSet(load_coco_search18, (5, 8), 14, first_index=1),
    "interiors_search": GazeSet(load_interiors_search, (6, 8), 8, first_index=1, crop_px=(32, 32)),
    "osie": GazeSet(load_osie, (6, 8), 6, crop_px=(32, 32)),
}


def measure_searcher(seed: int, n_steps: int, learning_rate: float, schedule: str) -> None:
    searcher = GridSearcher()
    test = searcher.make_trials(1000, seed=987)
    for layout in ("grid", "none"):
        config = replace(SMALL, n_features=16, dropout=0.0, n_steps=6, layout=layout)
        network = build_seeded(partial(OAT, config), seed)
        start = time.perf_counter()
        batches = FreshBatches(searcher, config, 64, 100, seed)
        fit_network(
            network,
            batches,
            n_epochs=n_steps // 100,
            learning_rate=learning_rate,
            schedule=schedule,
            seed=seed,
        )
        predictor = OATPredictor(network, 24)
        steps = predictor.compute_log_probabilities(test)
        right = [one.argmax(axis=1) == [*trial.path, 24] for one, trial in zip(steps, test, strict=True)]
        print(
            f"seed {seed} places {layout:4s} accuracy {np.concatenate(right).mean():.3f} cross-entropy "
            f"{predictor.compute_mean_loss(test):.3f} in {time.perf_counter() - start:.0f} s",
            flush=True,
        )


def measure_objects(name: str, split: str, n_epochs: int, n_paths: int, monitor: str, seed: int) -> None:
    settings = SETS[name]
    stimuli, fixations = settings.load()
    trials = make_grid_trials(
        stimuli, fixations, settings.grid, crop_px=settings.crop_px, first_index=settings.first_index
    )
    if settings.n_sd is not None:
        trials = filter_by_length(trials, n_sd=settings.n_sd)
    group: Callable[[ObjectTrial], str] | None = None
    if split == "image":
        group = lambda trial: group_by_image(trial.stimulus_id)  # noqa: E731
    training, validation, test = split_trials(trials, by=split, seed=seed, group_of=group)
    print(
        f"{name} by {split}: {len(training)} training, {len(validation)} validation, {len(test)} test trials"
    )
    models: list[Any] = list(fit_spatial_baselines(training))
    searches = all(trial.target is not None for trial in trials)
    variants: dict[str, dict[str, Any]] = {"OAT": {}}
    if searches:
        variants["OAT, target marked when fixated"] = {"flag_fixated_target": True}
        variants["OAT, told where the target is"] = {"target_position": "true", "flag_fixated_target": True}
    for label, change in variants.items():
        looks: dict[str, Any] = (
            {"n_features": None, "crop_px": settings.crop_px}
            if settings.crop_px
            else {"n_features": len(trials[0].query)}
        )
        start = time.perf_counter()
        model, result = train_oat(
            training, validation, replace(SMALL, **looks, **change), n_epochs=n_epochs, learning_rate=1e-3,
            monitor=monitor, patience=6, seed=seed, name=label,
        )  # fmt: skip
        print(
            f"{label}: {len(result.history)} epochs, best {result.best_epoch}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
        models.append(model)
    start = time.perf_counter()
    table = compare_object_models(models, test, n_paths=n_paths, seed=seed)
    print(f"scored in {time.perf_counter() - start:.0f} s")
    show(table)


def measure_densities(name: str, n_epochs: int, seed: int) -> None:
    settings = SETS[name]
    stimuli, fixations = settings.load()

    looks: dict[str, Any] = (
        {"n_features": None, "crop_px": settings.crop_px} if settings.crop_px else {"n_features": 1}
    )
    fit_oat = partial(
        fit_object_density,
        describe=partial(describe_grid, grid=settings.grid, crop_px=settings.crop_px),
        config=replace(SMALL, **looks),
        n_epochs=n_epochs,
    )
    start = time.perf_counter()
    found = compare_gaze_models(
        stimuli, fixations, fit_models={"OAT": fit_oat}, first_index=settings.first_index,
        group_of=group_by_image, shrink=settings.shrink, seed=seed,
    )  # fmt: skip
    print(
        f"{name}: {len(found.training_ids)} training and {len(found.test_ids)} test stimuli, "
        f"{time.perf_counter() - start:.0f} s"
    )
    show(found.table)


def show(table: pd.DataFrame) -> None:
    text = table.assign(
        text=[
            f"{value:.3f} [{low:.3f}, {high:.3f}]"
            for value, low, high in zip(table["value"], table["low"], table["high"], strict=True)
        ]
    )
    wide = text.pivot_table(index="model", columns="metric", values="text", aggfunc="first", sort=False)
    counts = [name for name in ("n_images", "n_trials", "n_fixations") if name in table]
    print(", ".join(f"{name} {table[name].iloc[0]}" for name in counts))
    with pd.option_context("display.width", 400, "display.max_columns", 30, "display.max_colwidth", 40):
        print(wide.fillna("-").to_string(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["searcher", "objects", "densities"])
    parser.add_argument("--set", choices=list(SETS), default="sti_amazon")
    parser.add_argument("--split", choices=["image", "observer", "target"], default="image")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate, of searcher only")
    parser.add_argument("--schedule", choices=SCHEDULES, default="constant", help="of searcher only")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--paths", type=int, default=100)
    parser.add_argument("--monitor", choices=["loss", "delta"], default="loss")
    options = parser.parse_args()
    print(f"threads {torch.get_num_threads()}")
    for seed in options.seeds:
        if options.what == "searcher":
            measure_searcher(seed, options.steps, options.rate, options.schedule)
        elif options.what == "objects":
            measure_objects(options.set, options.split, options.epochs, options.paths, options.monitor, seed)
        else:
            measure_densities(options.set, options.epochs, seed)


if __name__ == "__main__":
    main()
