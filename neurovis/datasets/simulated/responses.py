"""Noise-free responses of a simulated subject to any images or movies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import StimulusSet, import_optional
from neurovis.datasets.simulated.anatomy import CATEGORY_OF_REGION, EARLY_REGIONS
from neurovis.datasets.simulated.early import (
    FIELD_DVA,
    GRID,
    SMOOTHING_DVA,
    SURROUND,
    compute_energy_maps,
    compute_luminance,
    compute_normalised_energy,
    make_channel_tuning,
    make_pooling,
    place_in_field,
    prepare_images,
)
from neurovis.datasets.simulated.evidence import (
    EVIDENCE_GRID,
    compute_evidence,
    load_evidence_network,
)
from neurovis.datasets.simulated.motion import (
    MOTION_GRID,
    STATIC_SHARE,
    compute_contrast_maps,
    compute_motion_maps,
    compute_motion_response,
    compute_static_response,
    make_motion_tuning,
)
from neurovis.io.video import read_movie
from neurovis.stimuli.world import make_scene
from neurovis.stimuli.world_shares import SUBTYPE_NAMES

if TYPE_CHECKING:
    from torch import Tensor

    from neurovis.datasets.simulated.subject import SimulatedSubject

N_REFERENCE_SCENES = 200
REFERENCE_SEED = 90210
"""Seed of the scenes that define ``signal_sd``; keep stimulus sets to other seeds."""

_EVIDENCE_SEMI_SATURATION = 0.3
_N_MOVIE_FRAMES = 8


class ResponseModel:
    """The forward model of one subject: pixels to percent signal change, differentiable.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject`.
    """

    def __init__(self, subject: SimulatedSubject) -> None:
        self.subject = subject
        self._readout = _Readout(subject.table)

    def __call__(self, pixels: Tensor, *, size_dva: tuple[float, float] = (FIELD_DVA, FIELD_DVA)) -> Tensor:
        """Responses to images.

        Parameters
        ----------
        pixels : torch.Tensor of shape (n_images, 3, height, width)
            RGB in [0, 1].
        size_dva : tuple of float
            (height, width) on the screen [degrees].

        Returns
        -------
        torch.Tensor of shape (n_images, n_vertices)
            Percent signal change without noise; zero in silent vertices.
        """
        return self._readout.respond_to_images(place_in_field(pixels, size_dva=size_dva)) * self._readout.gain

    def respond_to_movie(self, frames: Tensor, *, fps: float, size_dva: tuple[float, float]) -> Tensor:
        """Mean response over one movie, (n_frames, 3, height, width) to (n_vertices,)."""
        static, motion = self.split_movie(frames, fps=fps, size_dva=size_dva)
        return static + motion

    def split_movie(
        self, frames: Tensor, *, fps: float, size_dva: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """What the frames alone evoke and what motion adds, each (n_vertices,); see respond_to_movie."""
        placed = place_in_field(frames, size_dva=size_dva)
        parts = self._readout.split_movie(placed, fps)
        return parts[0] * self._readout.gain, parts[1] * self._readout.gain


def compute_true_responses(
    subject: SimulatedSubject,
    stimuli: StimulusSet | NDArray,
    *,
    size_dva: tuple[float, float] = (FIELD_DVA, FIELD_DVA),
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Noise-free responses, computed from pixels in batches.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject`.
    stimuli : StimulusSet or array of shape (n_images, height, width, 3)
        Images (uint8, or 0-1) or a set of images or movies (``fps`` given) on disk.
    size_dva : tuple of float
        (height, width) on the screen [degrees] of an array; a set knows its own.
    batch_size : int
        Images held in memory at once.

    Returns
    -------
    array of shape (n_stimuli, n_vertices)
        float32 [percent signal change]; the mean over time for movies; exactly zero in silent vertices.

    Raises
    ------
    ValueError
        If images have the wrong shape or range, or ``batch_size`` is not positive.
    """
    torch = import_optional("torch", extra="torch")
    from tqdm import tqdm

    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}; pass for example 64.")
    model = ResponseModel(subject)
    responses = np.zeros((len(stimuli), subject.n_vertices), dtype=np.float32)
    label = f"responses of sub-{subject.subject}"
    with torch.no_grad(), tqdm(total=len(stimuli), desc=label, disable=None, file=sys.stderr) as progress:
        if isinstance(stimuli, StimulusSet) and stimuli.fps is not None:
            for row, stimulus_id in enumerate(stimuli.stimulus_ids):
                movie = read_movie(stimuli, stimulus_id, minimum_frames=2)
                frames = prepare_images(movie, size_dva=stimuli.size_dva)
                responses[row] = model.respond_to_movie(
                    frames, fps=stimuli.fps, size_dva=(FIELD_DVA, FIELD_DVA)
                ).numpy()
                progress.update()
        else:
            row = 0
            for pixels in _iterate_batches(stimuli, size_dva, batch_size):
                responses[row : row + len(pixels)] = model(pixels).numpy()
                row += len(pixels)
                progress.update(len(pixels))
    return responses


def compute_reference_sd(table: pd.DataFrame) -> NDArray[np.float64]:
    """Standard deviation of the raw responses (gain 1) over the reference scenes.

    Returns
    -------
    array of shape (n_vertices,)
        Zero in silent vertices.
    """
    torch = import_optional("torch", extra="torch")
    readout = _Readout(table)
    with torch.no_grad():
        raw = [readout.respond_to_images(batch) for batch in load_reference_scenes().split(40)]
    return torch.cat(raw).to(torch.float64).std(0, correction=0).numpy()


@lru_cache(maxsize=1)
def load_reference_scenes() -> Tensor:
    """Scenes of the stimulus world that define the scale of the signal, (n, 3, 64, 64)."""
    images = np.stack([make_scene(REFERENCE_SEED, index).image for index in range(N_REFERENCE_SCENES)])
    return prepare_images(images, size_dva=(FIELD_DVA, FIELD_DVA))


class _Readout:
    """Tensors that turn the maps of early, category and motion stages into raw responses."""

    def __init__(self, table: pd.DataFrame) -> None:
        torch = import_optional("torch", extra="torch")
        self.n_vertices = len(table)
        self.gain = torch.from_numpy(table.get("gain", pd.Series(1.0, table.index)).to_numpy("float32"))
        responsive = table["responsive"].to_numpy()
        regions = table["region"]
        self.early = np.flatnonzero(responsive & regions.isin(EARLY_REGIONS).to_numpy())
        self.category = np.flatnonzero(responsive & regions.isin(list(CATEGORY_OF_REGION)).to_numpy())
        self.hmt = np.flatnonzero(responsive & (regions == "hMT").to_numpy())

        early, category, hmt = (table.iloc[rows] for rows in (self.early, self.category, self.hmt))
        self.early_pooling = torch.from_numpy(make_pooling(early, grid=GRID, smoothing_dva=SMOOTHING_DVA))
        self.early_surround = torch.from_numpy(make_pooling(early, grid=GRID, scale=SURROUND))
        self.early_tuning = torch.from_numpy(make_channel_tuning(early))
        self.category_pooling = torch.from_numpy(make_pooling(category, grid=EVIDENCE_GRID))
        weights = category[[f"w_{subtype}" for subtype in SUBTYPE_NAMES]].to_numpy("float32")
        self.category_weights = torch.from_numpy(weights)
        self.motion_pooling = torch.from_numpy(make_pooling(hmt, grid=MOTION_GRID))
        self.motion_tuning = torch.from_numpy(make_motion_tuning(hmt))
        self.network = load_evidence_network()

    def respond_to_images(self, pixels: Tensor) -> Tensor:
        luminance = compute_luminance(pixels)
        # What no vertex reads is left out: most of the time of a subject of few regions.
        early = category = hmt = pixels.new_zeros(len(pixels), 0)
        if len(self.early):
            maps = compute_energy_maps(luminance)
            early = compute_normalised_energy(
                maps, self.early_pooling, self.early_surround, self.early_tuning
            )
        if len(self.category):
            evidence = compute_evidence(self.network, pixels)
            drive = pixels.new_zeros(len(pixels), len(self.category))
            for subtype in range(evidence.shape[1]):
                pooled = evidence[:, subtype] @ self.category_pooling.T
                drive = drive + pooled * self.category_weights[:, subtype]
            category = drive / (drive + _EVIDENCE_SEMI_SATURATION)
        if len(self.hmt):
            hmt = STATIC_SHARE * compute_static_response(
                compute_contrast_maps(luminance), self.motion_pooling
            )
        return self._assemble(early, category, hmt)

    def split_movie(self, frames: Tensor, fps: float) -> tuple[Tensor, Tensor]:
        torch = import_optional("torch", extra="torch")
        chosen = np.unique(np.linspace(0, len(frames) - 1, _N_MOVIE_FRAMES).round().astype(int))
        static = self.respond_to_images(frames[chosen]).mean(0)
        motion = torch.zeros_like(static)
        if not len(self.hmt):
            return static, motion
        luminance = compute_luminance(frames)
        contrast = compute_contrast_maps(luminance).mean(0)
        energy = compute_motion_maps(luminance, fps=fps)
        response = compute_motion_response(energy, contrast, self.motion_pooling, self.motion_tuning)
        return static, motion.index_copy(0, _as_index(self.hmt), response)

    def _assemble(self, early: Tensor, category: Tensor, hmt: Tensor) -> Tensor:
        raw = early.new_zeros(len(early), self.n_vertices)
        raw = raw.index_copy(1, _as_index(self.early), early)
        raw = raw.index_copy(1, _as_index(self.category), category)
        return raw.index_copy(1, _as_index(self.hmt), hmt)


def _as_index(rows: NDArray) -> Tensor:
    torch = import_optional("torch", extra="torch")
    return torch.from_numpy(np.asarray(rows, dtype=np.int64))


def _iterate_batches(
    stimuli: StimulusSet | NDArray, size_dva: tuple[float, float], batch_size: int
) -> Iterator[Tensor]:
    if not isinstance(stimuli, StimulusSet):
        for start in range(0, len(stimuli), batch_size):
            yield prepare_images(stimuli[start : start + batch_size], size_dva=size_dva)
        return
    torch = import_optional("torch", extra="torch")
    ids = stimuli.stimulus_ids
    for start in range(0, len(ids), batch_size):
        # Images of one set may differ in pixels, so each is brought to the field before they are joined.
        loaded = [stimuli.load(stimulus_id)[None] for stimulus_id in ids[start : start + batch_size]]
        if len({image.shape for image in loaded}) == 1:
            yield prepare_images(np.concatenate(loaded), size_dva=stimuli.size_dva)
        else:
            yield torch.cat([prepare_images(image, size_dva=stimuli.size_dva) for image in loaded])
