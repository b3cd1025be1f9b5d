"""Two-stage motion model: trainable motion energy, then recurrent self-attention (Sun et al. 2023, NeurIPS).

First-order branch only. Architecture after the paper and its successor's public description (Sun et al. 2025,
Nature Machine Intelligence); no published weights are used, a small version trained in-house ships with
neurovis, see :mod:`neurovis.motion.flow_training`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurovis.core import check_array, find_model
from neurovis.motion.mt import MTStage
from neurovis.motion.v1 import V1Stage
from neurovis.training.checkpoints import read_tensors
from neurovis.training.models import check_model

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey movie."""

_SMALLEST_LEVEL_PX = 2
_WINDOWS_AT_ONCE = 4


@dataclass(frozen=True)
class V1MTSize:
    """How large the network is.

    Parameters
    ----------
    n_scales, n_units, span, radius_px, n_taps, n_frames, stride
        As :class:`neurovis.motion.v1.V1Stage`.
    n_iterations : int
        Of the second stage.
    """

    n_scales: int = 8
    n_units: int = 32
    span: float = 16.0
    radius_px: int = 7
    n_taps: int = 6
    n_frames: int = 11
    stride: int = 8
    n_iterations: int = 6

    @property
    def n_channels(self) -> int:
        """Channels of every map."""
        return self.n_scales * self.n_units


SIZES = {
    "paper": V1MTSize(),
    "small": V1MTSize(n_scales=4, n_units=12, span=4.0, radius_px=5, stride=4, n_iterations=3),
}
"""The size of the paper, and one that trains on a laptop."""


@dataclass(frozen=True)
class V1MTOutput:
    """What one pass gives.

    Parameters
    ----------
    v1 : Tensor of shape (n, n_channels, height / stride, width / stride)
        Map of the first stage.
    mt : list of Tensor
        Responses of each iteration, as ``v1``.
    flows : list of Tensor of shape (n, 2, height, width)
        Of each iteration, by the learnt upsampling [px per frame; x right, y down].
    coarse_flows : list of Tensor
        Bilinear flow of the first stage, then of each iteration.
    """

    v1: Tensor
    mt: list[Tensor]
    flows: list[Tensor]
    coarse_flows: list[Tensor]


class FlowDecoder(nn.Module):
    """Linear read-out of a map of responses, shared by both stages and all iterations."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        widths = [n_channels, n_channels, n_channels // 2, n_channels // 4, n_channels // 8]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.flow = nn.Conv2d(widths[-1] + widths[-2], 2, 3, padding=1)
        for parameter in self.layers.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, responses: Tensor) -> Tensor:
        """Responses (n, n_channels, h, w) to flow (n, 2, h, w) [places of the map per frame]."""
        for layer in self.layers:
            previous, responses = responses, layer(responses)
        return self.flow(torch.cat([responses, previous], dim=1))


class ConvexUpsampler(nn.Module):
    """Flow at every pixel as a learnt convex combination of nine places (Teed and Deng 2020, ECCV).

    Places beyond the edge repeat it, where the original has zeros, which slow the flow at the border.
    """

    def __init__(self, n_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weights = nn.Sequential(
            nn.Conv2d(n_channels + 2, n_channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(n_channels, n_channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(n_channels, 9 * stride**2, 3, padding=1),
        )  # fmt: skip

    def forward(self, flow: Tensor, attention: Tensor) -> Tensor:
        """Flow (n, 2, h, w) [places] and the graph's features to flow at every pixel [px]."""
        n, _, height, width = flow.shape
        k = self.stride
        weights = self.weights(torch.cat([flow, attention], dim=1)).view(n, 1, 9, k * k, height * width)
        around = functional.unfold(functional.pad(k * flow, (1, 1, 1, 1), mode="replicate"), 3)
        around = around.view(n, 2, 9, 1, height * width)
        fine = (weights.softmax(dim=2) * around).sum(dim=2).view(n, 2 * k * k, height, width)
        return functional.pixel_shuffle(fine, k)


class V1MT(nn.Module):
    """Grey movies to responses of both stages and dense flow.

    Parameters
    ----------
    size : V1MTSize
        See :data:`SIZES`.

    Notes
    -----
    The flow goes from the middle frame of the movie to the next one. 11.47 M parameters in the second stage,
    0.11 M in the decoder and 2.51 M in the upsampler at the paper's size.
    """

    def __init__(self, size: V1MTSize) -> None:
        super().__init__()
        self.size = size
        self.v1 = V1Stage(
            size.n_scales, size.n_units, span=size.span, radius_px=size.radius_px, n_taps=size.n_taps,
            n_frames=size.n_frames, stride=size.stride,
        )  # fmt: skip
        self.mt = MTStage(size.n_channels)
        self.decoder = FlowDecoder(size.n_channels)
        self.upsampler = ConvexUpsampler(size.n_channels, size.stride)

    def forward(
        self, movie: Tensor, *, n_iterations: int | None = None, only_last: bool = False
    ) -> V1MTOutput:
        """Responses and flow.

        Parameters
        ----------
        movie : Tensor of shape (n, n_frames, height, width)
            Grey, 0 to 1; height and width multiples of the stride.
        n_iterations : int, optional
            Of the second stage; as trained by default.
        only_last : bool
            Decode the flow of the last iteration alone.

        Raises
        ------
        ValueError
            If the movie has another number of frames, a size that is no multiple of the stride or is too
            small for the coarsest scale, or NaN.
        TypeError
            If the movie is not floating point.
        """
        self._check(movie)
        # Squares of the energies leave the range of half precision.
        with torch.autocast(movie.device.type, enabled=False):
            v1 = self.v1(movie.float())
        responses, states = self.mt(v1, n_iterations or self.size.n_iterations)
        if only_last:
            flow = self.decoder(responses[-1]).float()
            return V1MTOutput(v1, responses, [self.upsampler(flow, states[-1]).float()], [])
        coarse = [self.decoder(response).float() for response in (v1, *responses)]
        stride = self.size.stride
        return V1MTOutput(
            v1,
            responses,
            [self.upsampler(flow, state).float() for flow, state in zip(coarse[1:], states, strict=True)],
            [
                functional.interpolate(
                    stride * flow, scale_factor=stride, mode="bilinear", align_corners=True
                )
                for flow in coarse
            ],
        )

    @property
    def smallest_side_px(self) -> int:
        """Shortest side of a movie that leaves two pixels at the coarsest scale [px]."""
        return math.ceil(_SMALLEST_LEVEL_PX / self.v1.scale_step**self.size.n_scales)

    def check_side(self, height: int, width: int) -> None:
        """Raise if frames of this size [px] leave too little at the coarsest scale."""
        if min(height, width) < self.smallest_side_px:
            raise ValueError(
                f"frames must have sides of at least {self.smallest_side_px} px for {self.size.n_scales} "
                f"scales, got {height} x {width}; enlarge them or take a network with fewer scales."
            )

    def _check(self, movie: Tensor) -> None:
        size = self.size
        if not movie.is_floating_point():
            raise TypeError(
                f"movie must be floating point, 0 to 1, got {movie.dtype}; divide 8-bit frames by 255."
            )
        if movie.ndim != 4 or movie.shape[1] != size.n_frames:
            raise ValueError(
                f"movie must have the shape (n, {size.n_frames}, height, width), got {tuple(movie.shape)}; "
                f"cut it into windows of {size.n_frames} frames."
            )
        height, width = movie.shape[2:]
        if height % size.stride or width % size.stride:
            raise ValueError(
                f"movie must have sides that are multiples of {size.stride} px, got {height} x {width}; pad "
                "it, or call a V1MTModel, which does."
            )
        self.check_side(height, width)
        # One sum instead of a mask of the movie: NaN and infinity survive it.
        if not torch.isfinite(movie.sum()):
            raise ValueError("movie must be finite, got NaN or infinity; mend or drop those frames.")


@dataclass(frozen=True)
class V1MTModel:
    """A network as a flow model and as motion-sensitive units; see :mod:`neurovis.motion.protocols`.

    Parameters
    ----------
    network : V1MT
        In evaluation mode, on ``device``.
    name : str
        In tables.
    fps : float
        Frames per second that a movie is taken to have [Hz].
    n_iterations : int, optional
        Of the second stage; as trained by default.
    device : str
        Torch device.
    """

    network: V1MT
    name: str = "v1mt"
    fps: float = 30.0
    n_iterations: int | None = None
    device: str = "cpu"

    @property
    def n_frames(self) -> int:
        """Frames that a call takes."""
        return self.network.size.n_frames

    @property
    def stages(self) -> tuple[str, ...]:
        """``v1`` and one name per iteration."""
        n = self.n_iterations or self.network.size.n_iterations
        return ("v1", *(f"mt{i + 1}" for i in range(n)))

    def __call__(self, frames: ArrayLike) -> NDArray[np.float32]:
        """Flow from the middle frame to the next one.

        Parameters
        ----------
        frames : array of shape (n_frames, height, width, 3), uint8
            RGB; sides of any length, padded by their edge to multiples of the stride.

        Returns
        -------
        array of shape (height, width, 2)
            Flow [px per frame; x right, y down].

        Raises
        ------
        TypeError
            If the frames are not 8-bit.
        ValueError
            If there are not ``n_frames`` RGB frames, or they are too small.
        """
        movie = compute_luma(frames)
        if len(movie) != self.n_frames:
            raise ValueError(
                f"frames must be {self.n_frames}, got {len(movie)}; pass a window around the one of interest."
            )
        height, width = movie.shape[1:]
        with torch.inference_mode():
            output = self.network(self._prepare(movie[None]), n_iterations=self.n_iterations, only_last=True)
        return output.flows[-1][0, :, :height, :width].permute(1, 2, 0).cpu().numpy()

    def respond(self, movie: ArrayLike) -> dict[str, NDArray[np.float32]]:
        """Responses of every unit, averaged over all windows of the movie.

        Parameters
        ----------
        movie : array of shape (n, height, width), floating point
            Grey, 0 to 1; at least ``n_frames`` frames.

        Returns
        -------
        dict of str to array of shape (n_units, ceil(height / stride), ceil(width / stride))
            By stage, not negative.

        Raises
        ------
        TypeError
            If the movie is not floating point.
        ValueError
            If it is too short or too small, leaves 0 to 1, or holds NaN.
        """
        movie = np.asarray(movie)
        if movie.dtype.kind != "f":
            raise TypeError(
                f"movie must be floating point, 0 to 1, got {movie.dtype}; divide 8-bit frames by 255."
            )
        movie = check_array("movie", movie, ndim=3, minimum=0, maximum=1, remedy="pass a grey movie, 0 to 1")
        if len(movie) < self.n_frames:
            raise ValueError(
                f"movie must have at least {self.n_frames} frames, got {len(movie)}; make it longer."
            )
        windows = np.lib.stride_tricks.sliding_window_view(movie, self.n_frames, axis=0).transpose(0, 3, 1, 2)
        totals: dict[str, Any] = dict.fromkeys(self.stages, 0.0)
        with torch.inference_mode():
            for part in _split(windows):
                output = self.network(self._prepare(part), n_iterations=self.n_iterations, only_last=True)
                for stage, response in zip(self.stages, (output.v1, *output.mt), strict=True):
                    totals[stage] = totals[stage] + response.sum(dim=0)
        return {stage: (total / len(windows)).cpu().numpy() for stage, total in totals.items()}

    def _prepare(self, movies: NDArray) -> Tensor:
        height, width = movies.shape[-2:]
        self.network.check_side(height, width)
        stride = self.network.size.stride
        tensor = torch.from_numpy(np.ascontiguousarray(movies, dtype=np.float32)).to(self.device)
        return functional.pad(tensor, (0, -width % stride, 0, -height % stride), mode="replicate")


def compute_luma(frames: ArrayLike) -> NDArray[np.float32]:
    """Grey movie of RGB frames.

    Parameters
    ----------
    frames : array of shape (..., height, width, 3), uint8
        RGB.

    Returns
    -------
    array of shape (..., height, width)
        Rec. 601 luma, 0 to 1.

    Raises
    ------
    TypeError
        If the frames are not 8-bit.
    ValueError
        If the last dimension is not RGB.
    """
    frames = np.asarray(frames)
    if frames.dtype != np.uint8:
        raise TypeError(f"frames must be uint8, 0 to 255, got {frames.dtype}; convert them first.")
    if frames.ndim < 3 or frames.shape[-1] != 3:
        raise ValueError(
            f"frames must have the shape (..., height, width, 3), got {frames.shape}; repeat grey thrice."
        )
    return frames @ (np.array(LUMA, dtype=np.float32) / 255)


def load_v1mt(
    folder: str | Path | None = None, *, n_iterations: int | None = None, device: str = "cpu"
) -> V1MTModel:
    """Trained model from its folder, checked against the SHA-256 in its ``config.json``.

    Parameters
    ----------
    folder : path, optional
        As written by :func:`neurovis.motion.flow_training.train_v1mt`; ``v1mt-small``, which ships with
        neurovis, by default.
    n_iterations : int, optional
        Of the second stage; as trained by default.
    device : str
        Torch device.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the weights are not those of the description.
    """
    config, weights = check_model(folder or find_model("v1mt-small"), trainer="train_v1mt")
    network = V1MT(V1MTSize(**config["size"]))
    tensors, _ = read_tensors(weights)
    network.load_state_dict(tensors)
    return V1MTModel(network.to(device).eval(), config["name"], n_iterations=n_iterations, device=device)


def describe_size(size: V1MTSize) -> dict[str, int | float]:
    """Size as plain values for ``config.json``."""
    return asdict(size)


def _split(windows: NDArray) -> Iterator[NDArray]:
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        yield windows[start : start + _WINDOWS_AT_ONCE]
