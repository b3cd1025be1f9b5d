"""Generated movies with exact flow to train and to measure models of motion on, made as they are needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional, make_rng
from neurovis.motion.v1mt import compute_luma
from neurovis.stimuli.motion_scenes import KINDS as SCENE_KINDS
from neurovis.stimuli.motion_scenes import make_motion_scene
from neurovis.stimuli.world_movies import Movie, make_movie

if TYPE_CHECKING:
    from torch import Tensor

    from neurovis.motion.flow_io import FlowSample

KINDS = (*SCENE_KINDS, "world")
"""Kinds of motion: those of the simple scenes, and movies of the stimulus world."""

_SHARES = (0.15, 0.2, 0.25, 0.15, 0.25)
_LARGEST_SPEED_PX = 4.0
_WORLD_FPS = 16.0
_MOVIE_FRAMES = 16
_SAMPLES_PER_MOVIE = 8
_PUBLISHED_SHARE = 0.5


@dataclass(frozen=True)
class MotionBatches:
    """Batches of movies and flow, new ones in every epoch.

    Parameters
    ----------
    n_movies : int
        Generated for an epoch; each gives eight samples: windows in time, mirrored and turned by quarters at
        random, with inverted contrast at random.
    batch_size : int
        Samples in a batch.
    n_frames : int
        Frames of a sample.
    seed : int
        Decides everything together with the epoch's number.
    size_px : int
        Side of the frames [px].
    published : sequence of FlowSample
        Samples of published movies, as of :func:`neurovis.motion.flow_io.list_sintel`; with any, every other
        movie, at random, is one of them and gives eight random crops instead of windows in time.

    Notes
    -----
    A batch is (movies (n, n_frames, side, side) uint8 grey, flow (n, 2, side, side) float32): the flow of the
    middle frame to the next one. Epoch e holds movies ``e * n_movies`` and on, so none comes twice.
    """

    n_movies: int
    batch_size: int
    n_frames: int
    seed: int
    size_px: int = 64
    published: Sequence[FlowSample] = ()

    def __post_init__(self) -> None:
        for name in ("n_movies", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}; pass for example 8.")
        if not 2 <= self.n_frames <= _MOVIE_FRAMES:
            raise ValueError(
                f"n_frames must be 2 to {_MOVIE_FRAMES}, got {self.n_frames}; shorten the window."
            )
        if any(len(sample.frames) != self.n_frames for sample in self.published):
            raise ValueError(
                f"published must hold samples of {self.n_frames} frames, as the network sees; list them so."
            )

    def __len__(self) -> int:
        """Batches in one epoch."""
        return math.ceil(self.n_movies * _SAMPLES_PER_MOVIE / self.batch_size)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of one epoch."""
        torch = import_optional("torch", extra="torch")
        rng = make_rng(self.seed, "motion-batches", epoch)
        movies: list[NDArray[np.uint8]] = []
        flows: list[NDArray[np.float32]] = []
        for number in range(self.n_movies):
            index = epoch * self.n_movies + number
            for window, flow in self._draw_samples(index, rng):
                turned, moved = _turn(window, flow, int(rng.integers(8)))
                movies.append(np.invert(turned) if rng.random() < 0.5 else turned)
                flows.append(moved.transpose(2, 0, 1))
        order = rng.permutation(len(movies))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield (
                torch.from_numpy(np.stack([movies[row] for row in rows])),
                torch.from_numpy(np.stack([flows[row] for row in rows])),
            )

    def _draw_samples(
        self, index: int, rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """Eight windows of a new movie, or crops of a published one."""
        if self.published and rng.random() < _PUBLISHED_SHARE:
            sample = self.published[int(rng.integers(len(self.published)))]
            frames, flow = sample.load()
            room = np.array(flow.shape[:2]) - self.size_px
            if room.min() < 0:
                raise ValueError(
                    f"published must hold frames of at least {self.size_px} px, got {flow.shape[:2]} in "
                    f"{sample.name}; leave them out or train at a smaller size."
                )
            grey = np.rint(255 * compute_luma(frames)).astype(np.uint8)
            # Around pixels of known flow, since half of a frame of KITTI holds none.
            known = np.argwhere(np.isfinite(flow).all(axis=-1))
            if not len(known):
                raise ValueError(f"published must hold frames with known flow, got none in {sample.name}.")
            for pixel in rng.choice(known, _SAMPLES_PER_MOVIE):
                top, left = np.clip(pixel - rng.integers(self.size_px, size=2), 0, room)
                here = slice(top, top + self.size_px), slice(left, left + self.size_px)
                yield grey[:, here[0], here[1]], flow[here]
            return
        kind = KINDS[rng.choice(len(KINDS), p=_SHARES)]
        movie = make_flow_movie(self.seed, index, kind=kind, n_frames=_MOVIE_FRAMES, size_px=self.size_px)
        grey = np.rint(255 * compute_luma(movie.frames)).astype(np.uint8)
        for _ in range(_SAMPLES_PER_MOVIE):
            start = int(rng.integers(_MOVIE_FRAMES - self.n_frames + 1))
            yield grey[start : start + self.n_frames], movie.flow[start + (self.n_frames - 1) // 2]


def make_flow_movie(seed: int, index: int, *, kind: str, n_frames: int = 11, size_px: int = 64) -> Movie:
    """One generated movie of any kind of motion.

    Parameters
    ----------
    seed, index : int
        Which movie.
    kind : str
        One of :data:`KINDS`.
    n_frames : int
        At least 2.
    size_px : int
        Side of the frames [px].

    Raises
    ------
    ValueError
        If ``kind`` is unknown or a number is out of range.
    """
    check_option("kind", kind, KINDS)
    if kind == "world":
        return make_movie(seed, index, n_frames=n_frames, size_px=size_px, fps=_WORLD_FPS)
    return make_motion_scene(
        seed, index, kind=kind, n_frames=n_frames, size_px=size_px, largest_speed_px=_LARGEST_SPEED_PX
    )


def _turn(
    window: NDArray[np.uint8], flow: NDArray[np.float32], symmetry: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One of the eight symmetries of a square, applied to the frames and to the flow."""
    flow = flow.copy()
    if symmetry & 1:
        window, flow = window[:, :, ::-1], flow[:, ::-1] * np.array((-1, 1), dtype=np.float32)
    if symmetry & 2:
        window, flow = window[:, ::-1], flow[::-1] * np.array((1, -1), dtype=np.float32)
    if symmetry & 4:
        window, flow = window.transpose(0, 2, 1), flow.transpose(1, 0, 2)[..., ::-1]
    return window, flow
