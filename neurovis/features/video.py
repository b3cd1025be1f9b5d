"""Features of networks that take clips: movies to windows of frames, one row for each movie or window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array, import_optional
from neurovis.features.arrays import choose_layers, make_feature_array, split_ids
from neurovis.features.capture import Batch, Execution, check_layers, collect_layers
from neurovis.features.preprocessing import compute_seen_dva
from neurovis.features.reduction import Reduction
from neurovis.features.torch_module import describe_network
from neurovis.io.video import check_frame_rate, read_movie, read_movie_blocks

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ClipSampling:
    """Which frames of a movie make a clip.

    Parameters
    ----------
    n_frames : int
        Frames of a clip; a movie that has fewer in its time shows some of them for longer.
    fps : float, optional
        Frames per second of a clip [Hz]; it lasts ``n_frames / fps``. None spreads the frames evenly over
        the whole movie.
    step_s : float, optional
        Time from one clip to the next [s], the first starting with the movie. None takes one clip from the
        middle of the movie.

    Raises
    ------
    ValueError
        If a number is not positive, or ``step_s`` is given without ``fps``.
    """

    n_frames: int = 16
    fps: float | None = None
    step_s: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and check_array(name, value, ndim=0) <= 0:
                raise ValueError(f"{name} must be positive, got {value}; leave it out for the default.")
        if self.n_frames % 1:
            raise ValueError(f"n_frames must be a whole number, got {self.n_frames}; round it.")
        if self.step_s is not None and self.fps is None:
            raise ValueError("fps must be given with step_s, got none; pass the frames per second of a clip.")

    def choose_frames(self, n_frames: int, fps: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Frames of every clip of one movie.

        Parameters
        ----------
        n_frames : int
            Length of the movie.
        fps : float
            Its frames per second [Hz].

        Returns
        -------
        frames : int array of shape (n_clips, n_frames of a clip)
            At each moment of the clip, the frame that is on the screen.
        centres : array of shape (n_clips,)
            Middle of each clip [s from the movie's start].

        Raises
        ------
        ValueError
            If the movie is shorter than a clip.
        """
        duration = n_frames / fps
        lasts = duration if self.fps is None else self.n_frames / self.fps
        if lasts > duration * (1 + 1e-9):
            raise ValueError(
                f"a movie must last as long as a clip, got {duration:.3g} s for {self.n_frames} frames at "
                f"{self.fps:g} Hz ({lasts:.3g} s); raise fps or lower n_frames."
            )
        if self.step_s is None:
            starts = np.array([(duration - lasts) / 2])
        else:
            starts = np.arange(int((duration - lasts) / self.step_s + 1e-9) + 1) * self.step_s
        moments = starts[:, None] + (np.arange(self.n_frames) + 0.5) * lasts / self.n_frames
        frames = np.clip(np.floor(moments * fps + 1e-9), 0, n_frames - 1).astype(np.int64)
        return frames, starts + lasts / 2


@dataclass(frozen=True)
class VideoFeatures:
    """Feature space of a torch module that takes clips.

    Parameters
    ----------
    name : str
        Name of the feature space.
    module : torch.nn.Module
        Clips (n, frames, 3, height, width) to anything.
    layers : tuple of str
        Default layers, as in :class:`neurovis.features.torch_module.ModuleFeatures`.
    preprocess : callable
        The frames of a clip, a list of uint8 arrays (height, width, 3), to a tensor (frames, 3, height,
        width); its ``repr`` is part of the identity of the features.
    sampling : ClipSampling
        Clips of a movie. With ``step_s`` the rows are ``"time"``, with the coordinates ``time`` (middle of
        the clip from the movie's start [s]) and ``stimulus_id``; else ``"stimulus"``.
    reduction : Reduction
        What to keep of maps and sequences; maps (n, channels, frames, height, width) are averaged over
        frames.
    version : str
        Anything else that decides the numbers.
    execution : Execution
        Precision and compilation.

    Notes
    -----
    A clip reaches half its length into the future of its middle; a model of responses in time has to wait
    for that long.
    """

    name: str
    module: nn.Module
    layers: tuple[str, ...]
    preprocess: Callable[[Sequence[NDArray[np.uint8]]], Tensor]
    sampling: ClipSampling = field(default_factory=ClipSampling)
    reduction: Reduction = field(default_factory=Reduction)
    version: str = ""
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        check_layers(self.module, self.layers, self.name)

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 8,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Features of every movie or clip.

        Parameters
        ----------
        stimuli : StimulusSet
            Movies.
        layers, device
            As in :class:`neurovis.features.torch_module.ModuleFeatures`.
        batch_size : int
            Clips in one forward pass.

        Returns
        -------
        dict of str to xarray.DataArray
            Dims ("stimulus" or "time", "feature"), float32.

        Raises
        ------
        ValueError
            If a stimulus is an image or a single frame, the set has no frame rate or another one than a
            file, movies lie on their side or differ in size after preprocessing, or one is shorter than a
            clip.
        """
        wanted = self.layers if layers is None else choose_layers(layers, layers, name=self.name)
        rows: list[tuple[str, float]] = []
        found = collect_layers(
            self.module, self._make_batches(stimuli, batch_size, rows), wanted, self._reduce,
            name=self.name, execution=self.execution, device=device,
        )  # fmt: skip
        height, width = next(read_movie_blocks(stimuli, stimuli.stimulus_ids[0], n_frames=1)).shape[1:3]
        seen = compute_seen_dva(
            lambda image: self.preprocess([image] * self.sampling.n_frames)[0],
            (height, width),
            stimuli.size_dva,
        )
        times = None if self.sampling.step_s is None else rows
        return {
            layer: make_feature_array(
                values, stimuli, name=self.name, layer=layer, coords=coords, size_dva=seen, times=times
            )
            for layer, (values, coords) in found.items()
        }

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable."""
        return {
            **describe_network(self.module, self.preprocess, self.execution),
            "kind": "video", "name": self.name, "version": self.version,
            **asdict(self.reduction), **asdict(self.sampling),
        }  # fmt: skip

    def iterate_clips(self, stimuli: StimulusSet, stimulus_id: str) -> Iterator[tuple[Tensor, float]]:
        """Clips of one movie as the network takes them.

        Yields
        ------
        clip : Tensor of shape (frames, 3, height, width)
        centre : float
            Its middle [s from the movie's start].

        Raises
        ------
        ValueError
            If the stimulus is an image or a single frame, the set has no frame rate or another one than the
            file, frames lie on their side, or the movie is shorter than a clip.
        """
        fps, movie = check_frame_rate(stimuli), read_movie(stimuli, stimulus_id, minimum_frames=2)
        for frames, centre in zip(*self.sampling.choose_frames(len(movie), fps), strict=True):
            yield self.preprocess(list(movie[frames])), float(centre)

    def _reduce(
        self, output: Tensor, layer: str, batch: Batch
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.int32]]]:
        height, width = batch.inputs.shape[-2:]  # type: ignore[union-attr]
        return self.reduction(output, layer=layer, n_rows=batch.n_rows, input_px=(height, width))

    def _make_batches(
        self, stimuli: StimulusSet, batch_size: int, rows: list[tuple[str, float]]
    ) -> Iterator[Batch]:
        """Clips in batches; ``rows`` receives the movie and the middle of each."""
        torch = import_optional("torch", extra="torch")
        clips: list[Tensor] = []
        shape = None
        for (stimulus_id,) in split_ids(stimuli, batch_size=1, name=self.name):
            for clip, centre in self.iterate_clips(stimuli, stimulus_id):
                if clip.shape != (shape or clip.shape):
                    raise ValueError(
                        f"clips must be of one shape after preprocessing, got {tuple(clip.shape)} for "
                        f"{stimulus_id!r} after {tuple(shape or ())}; resize the movies."
                    )
                shape = clip.shape
                rows.append((stimulus_id, centre))
                clips.append(clip)
                if len(clips) == batch_size:
                    yield Batch(torch.stack(clips), len(clips))
                    clips = []
        if clips:
            yield Batch(torch.stack(clips), len(clips))
