"""hMT: direction- and speed-tuned motion energy for movies, and a weak response to contrast in still images.

Filters are Gaussians in the spatiotemporal frequency domain on the planes of constant velocity (Adelson &
Bergen 1985; Simoncelli & Heeger 1998), made here and used nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import import_optional
from neurovis.datasets.simulated.early import FIELD_PX, PX_PER_DVA

if TYPE_CHECKING:
    from torch import Tensor

DIRECTIONS_DEG = tuple(np.arange(8) * 45.0)
SPEEDS_DPS = (1.5, 3.0, 6.0)
MOTION_GRID = 8
"""Side of the motion energy maps; their samples are one degree apart."""

STATIC_SHARE = 0.5
"""Weight of the response to contrast alone, beside a weight of 1 for motion."""

_FREQUENCIES_CPD = (0.5, 1.0)
_SPATIAL_BANDWIDTH = 0.4
_TEMPORAL_BANDWIDTH_HZ = 1.2
_SEMI_SATURATION = 0.02
DIRECTION_CONCENTRATION = 2.0
SPEED_BANDWIDTH_OCTAVES = 0.8


def compute_contrast_maps(luminance: Tensor) -> Tensor:
    """Contrast energy in all directions, (n, 64, 64) to (n, 8 * 8)."""
    torch = import_optional("torch", extra="torch")
    spectrum = torch.fft.fft2(luminance)
    total = luminance.new_zeros(luminance.shape[0], MOTION_GRID**2)
    for spatial, _ in _make_spatial_filters():
        total = total + _pool(torch.fft.ifft2(spectrum * spatial))
    return total


def compute_motion_maps(luminance: Tensor, *, fps: float) -> Tensor:
    """Mean motion energy of one movie, by direction and speed.

    Parameters
    ----------
    luminance : torch.Tensor of shape (n_frames, 64, 64)
        From :func:`neurovis.datasets.simulated.early.compute_luminance`; at least two frames.
    fps : float
        Frames per second [Hz].

    Returns
    -------
    torch.Tensor of shape (n_directions * n_speeds, 8 * 8)
        Averaged over time, summed over spatial frequencies of 0.5 and 1 cpd.

    Raises
    ------
    ValueError
        If there are fewer than two frames or ``fps`` is not positive.
    """
    torch = import_optional("torch", extra="torch")
    if luminance.shape[0] < 2 or fps <= 0:
        raise ValueError(
            f"a movie must have at least 2 frames and a positive fps, got {luminance.shape[0]} frames at "
            f"{fps} Hz; pass still images as images."
        )
    # The window keeps the step from the last to the first frame out of the spectrum.
    window = torch.hann_window(luminance.shape[0] + 2, periodic=False)[1:-1]
    window = window / torch.sqrt((window**2).mean())
    spectrum = torch.fft.fftn(luminance * window[:, None, None])
    ft = torch.fft.fftfreq(luminance.shape[0], 1.0 / fps)[:, None, None]
    channels = len(_FREQUENCIES_CPD), len(DIRECTIONS_DEG)
    energy = []
    for spatial, along in _make_spatial_filters():
        for speed in SPEEDS_DPS:
            # A pattern that moves with velocity v has its energy at ft = -(fx vx + fy vy).
            temporal = torch.exp(-0.5 * ((ft + speed * along) / _TEMPORAL_BANDWIDTH_HZ) ** 2)
            energy.append(_pool(torch.fft.ifftn(spectrum * (spatial * temporal))).mean(0))
    maps = torch.cat(energy).view(*channels, len(SPEEDS_DPS), -1)
    return maps.sum(0).flatten(0, 1)


def _make_spatial_filters() -> list[tuple[Tensor, Tensor]]:
    """Weights in the frequency plane and frequency along the direction [cpd], frequencies outermost."""
    torch = import_optional("torch", extra="torch")
    fy = -torch.fft.fftfreq(FIELD_PX, 1.0 / PX_PER_DVA)[:, None]
    fx = torch.fft.fftfreq(FIELD_PX, 1.0 / PX_PER_DVA)[None, :]
    filters = []
    for frequency in _FREQUENCIES_CPD:
        width = _SPATIAL_BANDWIDTH * frequency
        for direction in np.deg2rad(DIRECTIONS_DEG):
            cx, cy = np.cos(direction), np.sin(direction)
            spatial = torch.exp(-0.5 * ((fx - frequency * cx) ** 2 + (fy - frequency * cy) ** 2) / width**2)
            filters.append((spatial, fx * cx + fy * cy))
    return filters


def _pool(output: Tensor) -> Tensor:
    """Squared modulus averaged over squares of one degree, (n, 64, 64) to (n, 8 * 8)."""
    torch = import_optional("torch", extra="torch")
    energy = output.real**2 + output.imag**2
    return torch.nn.functional.avg_pool2d(energy[:, None], FIELD_PX // MOTION_GRID).flatten(1)


def make_motion_tuning(table: pd.DataFrame) -> NDArray:
    """Weight of each direction and speed channel for each vertex; opposite directions count negative.

    Returns
    -------
    array of shape (n_vertices, n_directions * n_speeds)
        float32; absolute values sum to one.
    """
    preferred = np.deg2rad(table["direction_deg"].to_numpy())[:, None]
    angle = np.deg2rad(DIRECTIONS_DEG)[None, :] - preferred
    same = np.exp(DIRECTION_CONCENTRATION * (np.cos(angle) - 1))
    opposite = np.exp(DIRECTION_CONCENTRATION * (-np.cos(angle) - 1))
    octaves = np.log2(np.array(SPEEDS_DPS)[None, :] / table["speed_dps"].to_numpy()[:, None])
    speed = np.exp(-0.5 * (octaves / SPEED_BANDWIDTH_OCTAVES) ** 2)
    tuning = (same - 0.95 * opposite)[:, :, None] * speed[:, None, :]
    tuning /= np.abs(tuning).sum(axis=(1, 2), keepdims=True)
    return tuning.reshape(len(table), tuning.shape[1] * tuning.shape[2]).astype(np.float32)


def compute_motion_response(energy: Tensor, contrast: Tensor, pooling: Tensor, tuning: Tensor) -> Tensor:
    """Motion part of the response of hMT to one movie.

    Rectified opponent motion energy in the receptive field, divided by the contrast energy there.

    Parameters
    ----------
    energy : torch.Tensor of shape (n_directions * n_speeds, 8 * 8)
        From :func:`compute_motion_maps`.
    contrast : torch.Tensor of shape (8 * 8,)
        From :func:`compute_contrast_maps`, averaged over frames.
    pooling : torch.Tensor of shape (n_vertices, 8 * 8)
        Receptive fields on the motion grid.
    tuning : torch.Tensor of shape (n_vertices, n_directions * n_speeds)
        From :func:`make_motion_tuning`.

    Returns
    -------
    torch.Tensor of shape (n_vertices,)
        Non-negative; about 1 for a high-contrast pattern in preferred motion.
    """
    torch = import_optional("torch", extra="torch")
    drive = torch.relu(((energy @ pooling.T).T * tuning).sum(1)) * len(DIRECTIONS_DEG)
    return torch.sqrt(drive / (_SEMI_SATURATION + pooling @ contrast) + 1e-12)


def compute_static_response(contrast: Tensor, pooling: Tensor) -> Tensor:
    """Response of hMT to contrast alone, (n_images, 8 * 8) to (n_images, n_vertices), below 1."""
    torch = import_optional("torch", extra="torch")
    amplitude = torch.sqrt(contrast @ pooling.T + 1e-12)
    return amplitude / (_SEMI_SATURATION**0.5 + amplitude)
