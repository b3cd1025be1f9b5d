"""Train object-level transformers on people's scanpaths and set them beside baselines, chance and people.

Everything is fitted on one part of a split and measured on another; see
:func:`neurovis.gaze.oat_trials.split_trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovis.core import check_option
from neurovis.gaze.oat import OATConfig
from neurovis.gaze.oat_behaviour import compare_object_models
from neurovis.gaze.oat_training import OATPredictor, train_oat, write_oat
from neurovis.gaze.oat_trials import ObjectTrial, split_trials
from neurovis.gaze.spatial_baselines import ObjectScanpathModel, fit_spatial_baselines
from neurovis.training.loop import TrainingResult

_CARD_METRICS = {
    "accuracy": "accuracy", "bits_per_step": "bits per step", "correct": "ends on the target",
    "length": "length", "sequence_score": "sequence score", "delta": "delta",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ObjectComparison:
    """Result of :func:`compare_oat`.

    Parameters
    ----------
    table : pandas.DataFrame
        As from :func:`neurovis.gaze.oat_behaviour.compare_object_models`.
    predictors : dict of str to OATPredictor
        Trained transformers by name.
    results : dict of str to TrainingResult
        How their training went.
    baselines : dict of str to ObjectScanpathModel
        Fitted baselines by name.
    parts : tuple of three lists of ObjectTrial
        Training, validation and test.
    """

    table: pd.DataFrame
    predictors: dict[str, OATPredictor]
    results: dict[str, TrainingResult]
    baselines: dict[str, ObjectScanpathModel]
    parts: tuple[list[ObjectTrial], list[ObjectTrial], list[ObjectTrial]]


def make_oat_config(
    trials: Sequence[ObjectTrial],
    *,
    d_model: int = 64,
    n_layers: int = 2,
    n_heads: int = 4,
    dropout: float = 0.1,
    pyramid_levels: int = 0,
    target_position: str = "none",
    appearance: str = "seen",
) -> OATConfig:
    """Configuration that fits trials: crops or features, grid or irregular places, steps of the grid.

    Parameters
    ----------
    trials : sequence of ObjectTrial
        All trials that the model will read.
    d_model, n_layers, n_heads, dropout, pyramid_levels
        As in :class:`neurovis.gaze.oat.OATConfig`, by default much smaller than published: a few hundred
        scanpaths do not carry more. The layers' inner width is twice ``d_model``.
    target_position : {"none", "true"}
        ``"true"`` tells the model where the target is, in the query and in the decoder, as published.
    appearance : {"seen", "none"}
        As in :class:`neurovis.gaze.oat.OATConfig`.

    Returns
    -------
    OATConfig

    Raises
    ------
    ValueError
        If there are no trials, or crops and features are mixed.
    """
    if not trials:
        raise ValueError("trials must hold at least one trial, got none; check what was selected.")
    shapes = {trial.query.shape for trial in trials}
    if len(shapes) != 1:
        raise ValueError(
            f"trials must have queries of one shape, got {sorted(shapes)}; cut all crops to one size."
        )
    (shape,) = shapes
    cells = [trial.layout.cells for trial in trials]
    on_grid = [place for place in cells if place is not None]
    return OATConfig(
        crop_px=(shape[0], shape[1]) if len(shape) == 3 else None,
        n_features=shape[0] if len(shape) == 1 else None,
        pyramid_levels=pyramid_levels, d_model=d_model, n_heads=n_heads, n_layers=n_layers,
        d_feedforward=2 * d_model, dropout=dropout,
        layout="grid" if len(on_grid) == len(trials) else "centres",
        n_steps=max((int(place.max()) + 1 for place in on_grid), default=1),
        target_position=target_position, flag_fixated_target=target_position == "true",
        appearance=appearance,
    )  # fmt: skip


def compare_oat(
    trials: Sequence[ObjectTrial],
    configs: Mapping[str, OATConfig],
    *,
    by: str = "image",
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
    group_of: Callable[[ObjectTrial], str] | None = None,
    n_epochs: int = 40,
    batch_size: int = 20,
    learning_rate: float = 1e-3,
    monitor: str = "loss",
    patience: int = 6,
    n_paths: int = 100,
    n_bootstraps: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> ObjectComparison:
    """Split, train, fit the baselines and measure.

    Parameters
    ----------
    trials : sequence of ObjectTrial
        All trials.
    configs : mapping of name to OATConfig
        Transformers to train, e.g. from :func:`make_oat_config`.
    by, shares, group_of
        As in :func:`neurovis.gaze.oat_trials.split_trials`. With ``by="observer"`` the other people's
        scanpaths on the tested images set the human ceiling.
    n_epochs, batch_size, learning_rate, monitor, patience, device, progress
        As in :func:`neurovis.gaze.oat_training.train_oat`; the defaults suit a few hundred scanpaths and
        small models.
    n_paths, n_bootstraps
        As in :func:`neurovis.gaze.oat_behaviour.compare_object_models`.
    seed : int
        Decides the split, the training, the sampled scanpaths and the bootstrap.
    checkpoint : path, optional
        Folder in which killed trainings resume.

    Returns
    -------
    ObjectComparison

    Raises
    ------
    ValueError
        If a model has the name of a baseline, or as the functions named above.

    Notes
    -----
    Without pictures a target is a label. A label that no training trial had would say something arbitrary,
    so that labels are withheld from all models where the split is by target.
    """
    given = list(trials)
    if by == "target" and given and given[0].query.ndim == 1:
        given = [replace(trial, query=np.zeros_like(trial.query)) for trial in given]
    parts = split_trials(given, by=by, shares=shares, seed=seed, group_of=group_of)
    training, validation, test = parts
    baselines = {model.name: model for model in fit_spatial_baselines(training)}
    for name in configs:
        if name in baselines:
            raise ValueError(f"configs must not use the name of a baseline, got {name!r}; rename it.")
    predictors, results = {}, {}
    for name, config in configs.items():
        path = None if checkpoint is None else Path(checkpoint) / f"{name.replace(' ', '-')}.safetensors"
        predictors[name], results[name] = train_oat(
            training, validation, config, n_epochs=n_epochs, batch_size=batch_size,
            learning_rate=learning_rate, monitor=monitor, patience=patience, seed=seed, name=name,
            device=device, checkpoint=path, progress=progress,
        )  # fmt: skip
    table = compare_object_models(
        [*baselines.values(), *predictors.values()], test,
        peers=[*training, *validation] if by == "observer" else (),
        n_paths=n_paths, n_bootstraps=n_bootstraps, seed=seed,
    )  # fmt: skip
    return ObjectComparison(table, predictors, results, dict(baselines), parts)


def write_compared_oat(
    folder: str | Path, comparison: ObjectComparison, name: str, *, source: str, command: str, split: str
) -> dict[str, Any]:
    """Write one trained transformer with what was measured, to be read by ``load_oat``.

    Parameters
    ----------
    folder : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    comparison : ObjectComparison
        Where it was trained and measured.
    name : str
        Which of its predictors.
    source : str
        Name of the data, for the card.
    command : str
        What trained it, for the card.
    split : str
        What training and test do not share, for the card.

    Returns
    -------
    dict
        As :func:`neurovis.gaze.oat_training.write_oat`.

    Raises
    ------
    ValueError
        If there is no such predictor.
    """
    check_option("name", name, comparison.predictors)
    result, table = comparison.results[name], comparison.table
    chosen = table[table["metric"].isin(_CARD_METRICS)]
    quality = {
        str(metric): {
            model: [round(float(value), 4) for value in ends]
            for model, *ends in rows[["model", "value", "low", "high"]].itertuples(index=False)
        }
        for metric, rows in chosen.groupby("metric", sort=False)
    }
    description = {
        "training": {
            "source": source, "command": command, "split": split,
            "n_trials": [len(part) for part in comparison.parts],
            "n_epochs": len(result.history), "best_epoch": result.best_epoch,
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": quality,
    }  # fmt: skip
    return write_oat(folder, comparison.predictors[name], description, format_card=_format_card)


def _format_card(config: dict[str, Any]) -> str:
    training, quality, told = config["training"], config["quality"], config["architecture"]["target_position"]
    metrics = [metric for metric in _CARD_METRICS if metric in quality]
    models = list(dict.fromkeys(model for metric in metrics for model in quality[metric]))
    lines = [
        f"| {model} | {' | '.join(_format_cell(quality[metric].get(model)) for metric in metrics)} |"
        for model in models
    ]
    rows = "\n".join(lines)
    n_training, n_validation, n_test = training["n_trials"]
    return f"""# {config["name"]}

Object-level attention transformer (Fang et al. 2024, ECCV) trained on the scanpaths of people.

- **Architecture**: `neurovis.gaze.oat`, {config["n_parameters"]} parameters,
  {config["n_bytes"] / 2**20:.2f} MiB. Position of the target: {told}.
- **Data**: {training["source"]}; {n_training} scanpaths to train on, {n_validation} that end the training and
  {n_test} to measure on, {training["split"]}. Its licence is that of the data.
- **Command**: `{training["command"]}`; {training["minutes"]} minutes, epoch {training["best_epoch"] + 1} of
  {training["n_epochs"]}.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`
- **Use**: `neurovis.gaze.oat_training.load_oat(folder)`.

Measured on the test, with 95 % intervals over images. Accuracy and bits are of the next object given the
person's own past, the end included; the rest is of sampled scanpaths. Delta is the mean relative difference
from people's behaviour, 0 at best.

| model | {" | ".join(_CARD_METRICS[metric] for metric in metrics)} |
|---|{"---|" * len(metrics)}
{rows}
"""


def _format_cell(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f} [{ends[1]:.3f}, {ends[2]:.3f}]"
