"""Tensors of displays and scanpaths, as the object-level attention transformer reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovis.core import make_rng
from neurovis.gaze.oat import OATConfig, ObjectBatch
from neurovis.gaze.oat_positions import make_landmarks, make_position_map
from neurovis.gaze.oat_trials import ObjectLayout, ObjectTrial

_LANDMARK_SPACING = 0.75
"""Step of the lattice of irregular layouts, in widths of the position kernel."""


class PlaceEncoder:
    """Codes of the places of a display, as a model of a certain configuration reads them."""

    def __init__(self, config: OATConfig) -> None:
        self.config = config
        if config.layout == "centres":
            lattice = make_landmarks((1.0, 1.0), spacing=_LANDMARK_SPACING * config.place_sigma)
            self._map = make_position_map(lattice, sigma=config.place_sigma, n_columns=config.n_place)
        elif config.layout == "grid":
            steps = np.arange(config.n_steps, dtype=float)
            self._map = make_position_map(steps, sigma=config.place_sigma, n_columns=config.n_place // 2)

    def encode(self, layout: ObjectLayout, start_px: tuple[float, float] | None) -> NDArray[np.float64]:
        """Codes (n_objects + 1, n_place) of the objects, then of the start.

        Raises
        ------
        ValueError
            If the model reads grids and the layout is none, or has more rows or columns than the model knows.
        """
        if self.config.layout == "none":
            return np.zeros((len(layout) + 1, self.config.n_place))
        if self.config.layout == "centres":
            middle = (layout.size_px[1] / 2, layout.size_px[0] / 2)
            places = np.vstack([layout.centres, start_px or middle])
            # Positions beyond the edge, which trackers report, count as on it.
            return self._map(np.clip(places / max(layout.size_px), 0, 1))
        if layout.cells is None:
            raise ValueError(
                "layout must have cells (row, column) for a model of layout 'grid', got none; make the "
                "layout with make_grid_layout or the model with layout='centres'."
            )
        shape = layout.cells.max(axis=0) + 1
        if shape.max() > self.config.n_steps:
            raise ValueError(
                f"layout must have at most n_steps={self.config.n_steps} rows and columns, got "
                f"{shape.tolist()}; raise n_steps."
            )
        # As published, the start is half of the rows and columns, truncated.
        first = shape // 2 if start_px is None else layout.cells[layout.find_objects([start_px])[0]]
        cells = np.vstack([layout.cells, first]).astype(float)
        return np.concatenate([self._map(cells[:, 0]), self._map(cells[:, 1])], axis=1)


def make_batch(trials: Sequence[ObjectTrial], encoder: PlaceEncoder) -> ObjectBatch:
    """Tensors of trials; displays may differ in their number of objects.

    Parameters
    ----------
    trials : sequence of ObjectTrial
        With paths of at least one fixation.
    encoder : PlaceEncoder
        Of the model's configuration.

    Returns
    -------
    ObjectBatch
    """
    if not trials:
        raise ValueError("trials must hold at least one trial, got none; check the split.")
    n = max(len(trial.layout) for trial in trials)
    n_steps = max(len(trial.path) for trial in trials) + 1
    appearance = np.zeros((len(trials), n + 1), dtype=np.int64)
    places = np.zeros((len(trials), n + 1, encoder.config.n_place), dtype=np.float32)
    start = np.zeros((len(trials), encoder.config.n_place), dtype=np.float32)
    present = np.zeros((len(trials), n), dtype=bool)
    paths = np.full((len(trials), n_steps), n + 1, dtype=np.int64)
    bank = _Bank(trials[0].query)
    for row, trial in enumerate(trials):
        own = len(trial.layout)
        codes = encoder.encode(trial.layout, trial.start_px)
        places[row, :own], start[row] = codes[:own], codes[own]
        if encoder.config.target_position == "true":
            if trial.target is None:
                raise ValueError(
                    f"target must be one of the objects where target_position is 'true', got none in trial "
                    f"{trial.subject}, {trial.stimulus_id}; use target_position='none'."
                )
            places[row, n] = codes[trial.target]
        present[row, :own] = True
        appearance[row, :own], appearance[row, n] = bank.add(trial.appearance), bank.add(trial.query[None])[0]
        paths[row, : len(trial.path)] = trial.path
        paths[row, len(trial.path)] = n
    target = [-1 if trial.target is None else trial.target for trial in trials]
    return ObjectBatch(
        bank.stack(), torch.from_numpy(appearance), torch.from_numpy(places), torch.from_numpy(start),
        torch.from_numpy(present), torch.tensor(target), torch.from_numpy(paths),
    )  # fmt: skip


class _Bank:
    """Appearances without repeats of the same array; row 0 is blank."""

    def __init__(self, example: NDArray[Any]) -> None:
        blank = (
            np.full_like(example, 255) if example.dtype == np.uint8 else np.zeros(example.shape, np.float32)
        )
        self._parts: list[NDArray[Any]] = [blank[None]]
        self._rows: dict[tuple[Any, ...], NDArray[np.int64]] = {}
        self._kept: list[NDArray[Any]] = []
        self._n = 1

    def add(self, appearance: NDArray[Any]) -> NDArray[np.int64]:
        """Rows of an array of appearances, which is stored on first sight."""
        key = (appearance.__array_interface__["data"][0], appearance.shape, appearance.strides)
        if key not in self._rows:
            self._rows[key] = np.arange(self._n, self._n + len(appearance))
            self._n += len(appearance)
            self._parts.append(appearance)
            self._kept.append(appearance)  # so that no other array takes its place in memory
        return self._rows[key]

    def stack(self) -> Tensor:
        stacked = np.concatenate(self._parts)
        return torch.from_numpy(stacked if stacked.dtype == np.uint8 else stacked.astype(np.float32))


class Searcher(Protocol):
    """Whatever makes displays and scanpaths."""

    def make_trials(self, n_trials: int, *, seed: int) -> list[ObjectTrial]:
        """New trials, the same for the same seed."""
        ...


@dataclass(frozen=True)
class TrialBatches:
    """Shuffled batches of given trials.

    Parameters
    ----------
    trials : sequence of ObjectTrial
        Training trials.
    config : OATConfig
        Of the model that reads them.
    batch_size : int
        Trials in a batch; the last batch of an epoch may be smaller.
    seed : int
        Decides the order together with the epoch's number.
    """

    trials: Sequence[ObjectTrial]
    config: OATConfig
    batch_size: int
    seed: int

    def __len__(self) -> int:
        """Batches in one epoch."""
        return math.ceil(len(self.trials) / self.batch_size)

    def __call__(self, epoch: int) -> Iterator[ObjectBatch]:
        """Batches of one epoch in a seeded order."""
        encoder = PlaceEncoder(self.config)
        order = make_rng(self.seed, "batches", epoch).permutation(len(self.trials))
        for start in range(0, len(order), self.batch_size):
            yield make_batch([self.trials[row] for row in order[start : start + self.batch_size]], encoder)


@dataclass(frozen=True)
class FreshBatches:
    """Batches of displays that no other batch or epoch has shown.

    Parameters
    ----------
    searcher : Searcher
        Makes displays and scanpaths over them, e.g. :class:`neurovis.gaze.simulated_searcher.GridSearcher`.
    config : OATConfig
        Of the model that reads them.
    batch_size, n_batches : int
        Displays in a batch and batches in an epoch.
    seed : int
        Decides all displays together with the numbers of epoch and batch.
    """

    searcher: Searcher
    config: OATConfig
    batch_size: int
    n_batches: int
    seed: int

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self.n_batches

    def __call__(self, epoch: int) -> Iterator[ObjectBatch]:
        """Batches of one epoch."""
        encoder = PlaceEncoder(self.config)
        for number in range(self.n_batches):
            drawn = int(make_rng(self.seed, "fresh", epoch, number).integers(2**31))
            yield make_batch(self.searcher.make_trials(self.batch_size, seed=drawn), encoder)
