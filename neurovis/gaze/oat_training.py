"""Training of the object-level attention transformer, and the trained model as a predictor of scanpaths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurovis.core import check_option, find_model
from neurovis.features.weights import build_seeded, load_checkpoint
from neurovis.gaze.oat import OAT, OATConfig, ObjectBatch, compute_loss
from neurovis.gaze.oat_batches import PlaceEncoder, TrialBatches, make_batch
from neurovis.gaze.oat_decoding import compute_step_log_probabilities, decode_greedy, sample_paths
from neurovis.gaze.oat_trials import ObjectTrial
from neurovis.metrics.object_paths import compute_behaviour_delta, describe_object_paths
from neurovis.training.loop import Batches, TrainingResult, train
from neurovis.training.models import check_model, write_model

MONITORS = ("loss", "delta")


@dataclass(frozen=True, eq=False)
class OATPredictor:
    """Trained network with what decoding needs.

    It is an :class:`neurovis.gaze.spatial_baselines.ObjectScanpathModel`.

    Parameters
    ----------
    network : OAT
        In evaluation mode.
    max_length : int
        Longest scanpath that is decoded.
    name : str
        Name in tables.
    batch_size : int
        Displays decoded at once.
    device : str
        Torch device.
    """

    network: OAT
    max_length: int
    name: str = "OAT"
    batch_size: int = 16
    device: str = "cpu"

    def compute_log_probabilities(self, trials: Sequence[ObjectTrial]) -> list[NDArray[np.float64]]:
        """Per trial (len(path) + 1, n_objects + 1); see :class:`ObjectScanpathModel`."""
        found = []
        for rows, batch in self._split(trials):
            values = compute_step_log_probabilities(self.network, batch).cpu().numpy().astype(float)
            for trial, own in zip(rows, values, strict=True):
                n = len(trial.layout)
                found.append(own[: len(trial.path) + 1][:, np.r_[:n, own.shape[1] - 1]])
        return found

    def sample(self, trials: Sequence[ObjectTrial], *, n_paths: int, seed: int) -> list[list[list[int]]]:
        """Per trial ``n_paths`` sampled scanpaths; see :class:`ObjectScanpathModel`."""
        paths: list[list[list[int]]] = []
        for part, (_, batch) in enumerate(self._split(trials)):
            found = sample_paths(
                self.network, batch, n_paths=n_paths, max_length=self.max_length, seed=seed + 1_000_003 * part
            )
            paths += found.to_lists()
        return paths

    def decode(self, trials: Sequence[ObjectTrial]) -> list[list[int]]:
        """The greedy scanpath of every trial's display."""
        return [
            path
            for _, batch in self._split(trials)
            for (path,) in decode_greedy(self.network, batch, max_length=self.max_length).to_lists()
        ]

    def compute_mean_loss(self, trials: Sequence[ObjectTrial]) -> float:
        """Mean cross-entropy per step, the end included [nats]."""
        total, n_steps = 0.0, 0
        for rows, batch in self._split(trials):
            steps = sum(len(trial.path) + 1 for trial in rows)
            with torch.no_grad():
                total += float(compute_loss(self.network, batch)) * steps
            n_steps += steps
        return total / n_steps

    def compute_delta(self, trials: Sequence[ObjectTrial]) -> float:
        """Behavioural delta of greedy scanpaths; see :mod:`neurovis.metrics.object_paths`."""
        targets = [-1 if trial.target is None else trial.target for trial in trials]
        own, human = (
            describe_object_paths([np.array(path) for path in paths], targets)
            for paths in (self.decode(trials), [trial.path for trial in trials])
        )
        return compute_behaviour_delta(own, human)

    def _split(self, trials: Sequence[ObjectTrial]) -> list[tuple[Sequence[ObjectTrial], ObjectBatch]]:
        encoder = PlaceEncoder(self.network.config)
        parts = [trials[start : start + self.batch_size] for start in range(0, len(trials), self.batch_size)]
        return [(part, make_batch(part, encoder).to(self.device)) for part in parts]


def train_oat(
    trials: Sequence[ObjectTrial],
    validation: Sequence[ObjectTrial],
    config: OATConfig,
    *,
    n_epochs: int = 500,
    batch_size: int = 20,
    learning_rate: float = 1e-4,
    monitor: str = "delta",
    patience: int = 30,
    seed: int = 1234,
    name: str = "OAT",
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> tuple[OATPredictor, TrainingResult]:
    """Train on people's scanpaths, by teacher forcing, until the validation trials get no better.

    Defaults are those published.

    Parameters
    ----------
    trials, validation : sequence of ObjectTrial
        Parts of a split; see :func:`neurovis.gaze.oat_trials.split_trials`.
    config : OATConfig
        Size of the model and what it is told.
    n_epochs, batch_size, learning_rate : number
        Adam at a constant rate, gradients clipped at norm 1.
    monitor : {"delta", "loss"}
        What ends the training: the behavioural delta of greedy scanpaths on the validation trials, as
        published, or their cross-entropy, which is less noisy where there are few.
    patience : int
        Epochs without improvement.
    seed : int
        Decides initial weights, order and dropout.
    name : str
        Name in tables.
    device : str
        Torch device.
    checkpoint : path, optional
        ``.safetensors`` file that a killed run resumes from.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    predictor : OATPredictor
        With the weights of the best epoch; it decodes paths up to the longest one of training.
    result : TrainingResult

    Raises
    ------
    ValueError
        If a part is empty, or as :func:`neurovis.training.loop.train`.
    """
    check_option("monitor", monitor, MONITORS)
    if not trials or not validation:
        raise ValueError(
            f"trials and validation must both hold trials, got {len(trials)} and {len(validation)}; split "
            "again."
        )
    network = build_seeded(lambda: OAT(config), seed)
    predictor = OATPredictor(network, max(len(trial.path) for trial in trials), name, device=device)
    measure = {"loss": predictor.compute_mean_loss, "delta": predictor.compute_delta}[monitor]

    def validate(_: nn.Module) -> float:
        return measure(validation)

    result = fit_network(
        network, TrialBatches(trials, config, batch_size, seed), n_epochs=n_epochs, seed=seed,
        learning_rate=learning_rate, device=device, validate=validate, patience=patience,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    return predictor, result


def fit_network(
    network: OAT,
    batches: Batches,
    *,
    n_epochs: int,
    learning_rate: float,
    seed: int,
    schedule: str = "constant",
    device: str = "cpu",
    validate: Callable[[nn.Module], float] | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Minimise the cross-entropy of the next object over batches, in place, with Adam.

    Parameters
    ----------
    network : OAT
        Initial weights.
    batches : Batches
        For example :class:`neurovis.gaze.oat_batches.FreshBatches`.
    n_epochs, learning_rate, seed, schedule, device, validate, patience, checkpoint, progress
        As in :func:`neurovis.training.loop.train`.

    Returns
    -------
    TrainingResult
    """
    # Without weight decay AdamW is the published Adam.
    return train(
        network, batches, compute_loss, n_epochs=n_epochs, seed=seed, learning_rate=learning_rate,
        schedule=schedule, clip_norm=1.0, device=device, validate=validate, patience=patience,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip


def write_oat(
    folder: str | Path,
    predictor: OATPredictor,
    description: Mapping[str, Any],
    *,
    format_card: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """Write a trained model, to be read by :func:`load_oat`.

    Parameters
    ----------
    folder : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    predictor : OATPredictor
        Trained model.
    description : mapping
        JSON-serialisable: what it was trained on, and its measured quality.
    format_card : callable
        Whole description to the text of the card.

    Returns
    -------
    dict
        The whole description, with the architecture, the number of parameters and the weights' SHA-256.
    """
    own = {
        "name": predictor.name,
        "architecture": asdict(predictor.network.config),
        "max_length": predictor.max_length,
    }
    return write_model(folder, predictor.network.to("cpu"), {**own, **description}, format_card=format_card)


def load_oat(folder: str | Path | None = None) -> OATPredictor:
    """Trained model from its folder, checked against the SHA-256 in its ``config.json``.

    Parameters
    ----------
    folder : path, optional
        As written by :func:`write_oat`; the model shipped with neurovis, ``oat-world``, by default.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the weights are not those of the description.
    """
    config, weights = check_model(folder or find_model("oat-world"), trainer="train_oat_world")
    network = load_checkpoint(OAT(OATConfig(**config["architecture"])), weights).eval()
    return OATPredictor(network, int(config["max_length"]), str(config["name"]))
