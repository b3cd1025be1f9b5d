"""Early visual cortex: receptive fields over local contrast energy, from pixels.

Each vertex of V1-hV4 pools the energy of quadrature filters (Adelson & Bergen 1985) under a Gaussian
population receptive field (Dumoulin & Wandell 2008), weighs orientations and spatial frequencies by its own
continuous tuning, is normalised by the energy of all filters in a wider surround (Heeger 1992) and
compressed (Kay et al. 2013). Filters are Gaussians in the frequency plane, made here and used nowhere else.
Everything is differentiable, so that responses to generated images, and their gradients, are exact.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_array, import_optional

if TYPE_CHECKING:
    from torch import Tensor

FIELD_DVA = 8.0
PX_PER_DVA = 8.0
FIELD_PX = 64
GRID = 24
"""Side of the energy maps; their samples are FIELD_DVA / GRID apart."""

ORIENTATIONS_DEG = tuple(np.arange(8) * 22.5)
FREQUENCIES_CPD = tuple(np.geomspace(0.4, 2.8, 6))

_PADDED_PX = 96
_PADDED_DVA = _PADDED_PX / PX_PER_DVA
_RELATIVE_BANDWIDTH = 0.33
SMOOTHING_DVA = 0.25
_EDGE_DVA = 0.4
_GREY = 0.5

ORIENTATION_CONCENTRATION = 2.0
FREQUENCY_BANDWIDTH_OCTAVES = 0.5
UNTUNED_SHARE = 0.15
SURROUND = 2.0
SEMI_SATURATION = 0.015


def prepare_images(images: NDArray | Tensor, *, size_dva: tuple[float, float]) -> Tensor:
    """The central 8 x 8 degrees at 8 pixels per degree, as the simulated retina sees them.

    Parameters
    ----------
    images : array of shape (n_images, height, width, 3)
        uint8 (0-255) or floating point (0-1) RGB.
    size_dva : tuple of float
        (height, width) on the screen [degrees]. Smaller images are surrounded by mid-grey, larger ones
        are cut.

    Returns
    -------
    torch.Tensor of shape (n_images, 3, 64, 64)
        float32 in [0, 1]; differentiable with respect to a floating-point tensor.

    Raises
    ------
    ValueError
        If the shape is wrong or floating-point values lie outside [0, 1].
    """
    torch = import_optional("torch", extra="torch")
    if isinstance(images, torch.Tensor):
        tensor = images
    else:
        checked = check_array("images", images, ndim=4, shape=(None, None, None, 3))
        tensor = torch.from_numpy(np.ascontiguousarray(checked))
    if tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise ValueError(
            f"images must have shape (n_images, height, width, 3), got {tuple(tensor.shape)}; move the "
            "channels last."
        )
    if tensor.dtype == torch.uint8:
        pixels = tensor.to(torch.float32) / 255.0
    else:
        pixels = tensor.to(torch.float32)
        lowest, highest = float(pixels.detach().min()), float(pixels.detach().max())
        if lowest < -1e-3 or highest > 1.0 + 1e-3:
            raise ValueError(
                f"images must lie in [0, 1] when they are floating point, got {lowest:.3g} to "
                f"{highest:.3g}; divide by 255 or clip them."
            )
    return place_in_field(pixels.permute(0, 3, 1, 2), size_dva=size_dva)


def place_in_field(pixels: Tensor, *, size_dva: tuple[float, float]) -> Tensor:
    """Resample pixels (n, 3, height, width) in [0, 1] to the field, (n, 3, 64, 64); see prepare_images."""
    torch = import_optional("torch", extra="torch")
    height, width = (max(1, round(side * PX_PER_DVA)) for side in size_dva)
    if tuple(pixels.shape[-2:]) != (height, width):
        # Averages of whole pixels where there are enough of them, so that only the size in degrees matters.
        shrinks = pixels.shape[-2] >= height and pixels.shape[-1] >= width
        pixels = torch.nn.functional.interpolate(
            pixels, size=(height, width), mode="area" if shrinks else "bilinear"
        )
    if (height, width) != (FIELD_PX, FIELD_PX):
        top, left = (FIELD_PX - height) // 2, (FIELD_PX - width) // 2
        # Negative padding cuts what lies outside the field.
        padding = (left, FIELD_PX - width - left, top, FIELD_PX - height - top)
        pixels = torch.nn.functional.pad(pixels, padding, value=_GREY)
    return pixels


def compute_luminance(pixels: Tensor) -> Tensor:
    """Luma (BT.601 weights) minus mid-grey, (n, 3, h, w) to (n, h, w), fading at the border of the field."""
    torch = import_optional("torch", extra="torch")
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    luminance = (pixels * weights).sum(1) - _GREY
    side = luminance.shape[-1]
    distance = (torch.arange(side) + 0.5).minimum(side - 0.5 - torch.arange(side)) / PX_PER_DVA
    taper = torch.sin(torch.clamp(distance / _EDGE_DVA, max=1.0) * torch.pi / 2) ** 2
    return luminance * taper[:, None] * taper[None, :]


@lru_cache(maxsize=1)
def _make_filters() -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Per frequency: row and column indices of a spectral window, its weights, and the map resampler."""
    torch = import_optional("torch", extra="torch")
    filters = []
    centres = (np.arange(GRID) + 0.5) / GRID * FIELD_DVA
    for frequency in FREQUENCIES_CPD:
        width = _RELATIVE_BANDWIDTH * frequency
        half = max(18, int(np.ceil(3.0 * width * _PADDED_DVA)))
        offsets = np.arange(-half, half)
        rows, columns, weights = [], [], []
        for orientation in np.deg2rad(ORIENTATIONS_DEG):
            # Orientation is that of the bars, counter-clockwise from horizontal; frequency is perpendicular
            # to it, and image rows grow downwards.
            fy = -frequency * np.cos(orientation) * _PADDED_DVA
            fx = -frequency * np.sin(orientation) * _PADDED_DVA
            row, column = round(fy) + offsets, round(fx) + offsets
            squared = (row[:, None] - fy) ** 2 + (column[None, :] - fx) ** 2
            weight = np.exp(-0.5 * squared / (width * _PADDED_DVA) ** 2)
            # One half plane only (quadrature) and nothing at zero frequency (mean luminance is invisible).
            along = row[:, None] * fy + column[None, :] * fx
            weights.append(weight * (along > 0))
            rows.append(row % _PADDED_PX)
            columns.append(column % _PADDED_PX)
        # Samples of the short inverse transform lie _PADDED_DVA / (2 half) apart, the first at the corner.
        samples = np.arange(2 * half) * _PADDED_DVA / (2 * half) + 0.5 / PX_PER_DVA
        spacing = _PADDED_DVA / (2 * half)
        smoothing = max(SMOOTHING_DVA, 0.6 * spacing)
        resampler = np.exp(-0.5 * ((centres[:, None] - samples[None, :]) / smoothing) ** 2)
        resampler /= resampler.sum(axis=1, keepdims=True)
        scale = (2 * half / _PADDED_PX) ** 2
        filters.append(
            (
                torch.from_numpy(np.array(rows)),
                torch.from_numpy(np.array(columns)),
                torch.from_numpy(np.array(weights) * scale).to(torch.float32),
                torch.from_numpy(resampler).to(torch.float32),
            )
        )
    return filters


def compute_energy_maps(luminance: Tensor) -> Tensor:
    """Local contrast energy by orientation and spatial frequency.

    Parameters
    ----------
    luminance : torch.Tensor of shape (n_images, 64, 64)
        From :func:`compute_luminance`.

    Returns
    -------
    torch.Tensor of shape (n_images, n_frequencies * n_orientations, 24 * 24)
        Squared modulus of the complex filter output, smoothed with a Gaussian of 0.25 dva.

    Notes
    -----
    Only a window of the spectrum around each filter's centre is transformed back. Moving that window to
    zero frequency turns the phase of the output and leaves its modulus, so this is exact.
    """
    torch = import_optional("torch", extra="torch")
    spectrum = torch.fft.fft2(luminance, s=(_PADDED_PX, _PADDED_PX))
    maps = []
    for rows, columns, weights, resampler in _make_filters():
        window = spectrum[:, rows[:, :, None], columns[:, None, :]] * weights
        output = torch.fft.ifft2(window)
        energy = output.real**2 + output.imag**2
        maps.append((resampler @ energy @ resampler.T).flatten(2))
    return torch.cat(maps, dim=1)


def make_pooling(
    table: pd.DataFrame, *, grid: int, scale: float = 1.0, smoothing_dva: float = 0.0
) -> NDArray:
    """Gaussian receptive fields as weights over a square map of the field.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``x_dva``, ``y_dva``, ``sigma_dva`` [degrees].
    grid : int
        Side of the map.
    scale : float
        Factor on ``sigma_dva``.
    smoothing_dva : float
        Smoothing already in the map, taken off in quadrature.

    Returns
    -------
    array of shape (n_vertices, grid * grid)
        float32; rows sum to one over the field.
    """
    centres = (np.arange(grid) + 0.5) / grid * FIELD_DVA - FIELD_DVA / 2
    sigma = np.sqrt(np.maximum((scale * table["sigma_dva"].to_numpy()) ** 2 - smoothing_dva**2, 0.15**2))
    dx = centres[None, :] - table["x_dva"].to_numpy()[:, None]
    dy = -centres[None, :] - table["y_dva"].to_numpy()[:, None]
    across = np.exp(-0.5 * (dx / sigma[:, None]) ** 2)
    down = np.exp(-0.5 * (dy / sigma[:, None]) ** 2)
    weights = down[:, :, None] * across[:, None, :]
    weights /= np.maximum(weights.sum(axis=(1, 2), keepdims=True), 1e-12)
    return weights.reshape(len(table), grid * grid).astype(np.float32)


def make_channel_tuning(table: pd.DataFrame) -> NDArray:
    """Weight of each energy channel for each vertex.

    Von Mises in orientation (period 180 degrees), Gaussian in log2 spatial frequency, plus an untuned
    share, since a vertex holds many cells.

    Returns
    -------
    array of shape (n_vertices, n_frequencies * n_orientations)
        float32; rows sum to one.
    """
    preferred = np.deg2rad(table["orientation_deg"].to_numpy())[:, None]
    orientation = np.exp(
        ORIENTATION_CONCENTRATION * (np.cos(2 * (np.deg2rad(ORIENTATIONS_DEG)[None, :] - preferred)) - 1)
    )
    octaves = np.log2(np.array(FREQUENCIES_CPD)[None, :] / table["spatial_frequency_cpd"].to_numpy()[:, None])
    frequency = np.exp(-0.5 * (octaves / FREQUENCY_BANDWIDTH_OCTAVES) ** 2)
    tuning = frequency[:, :, None] * orientation[:, None, :]
    tuning /= tuning.sum(axis=(1, 2), keepdims=True)
    tuning = (1 - UNTUNED_SHARE) * tuning + UNTUNED_SHARE / (tuning.shape[1] * tuning.shape[2])
    return tuning.reshape(len(table), tuning.shape[1] * tuning.shape[2]).astype(np.float32)


def compute_normalised_energy(maps: Tensor, pooling: Tensor, surround: Tensor, tuning: Tensor) -> Tensor:
    """Responses of early vertices to energy maps.

    With drive D (tuned energy in the receptive field) and N (energy of all channels in the surround, each
    multiplied by its squared frequency to level the 1/f spectrum of natural images), the response is
    sqrt(D) / (s + sqrt(N)): contrast saturates, and at high contrast the share of the tuned channels is
    what remains.

    Parameters
    ----------
    maps : torch.Tensor of shape (n_images, n_channels, n_places)
        From :func:`compute_energy_maps`.
    pooling, surround : torch.Tensor of shape (n_vertices, n_places)
        From :func:`make_pooling`.
    tuning : torch.Tensor of shape (n_vertices, n_channels)
        From :func:`make_channel_tuning`.

    Returns
    -------
    torch.Tensor of shape (n_images, n_vertices)
        Non-negative.
    """
    torch = import_optional("torch", extra="torch")
    drive = maps.new_zeros(maps.shape[0], pooling.shape[0])
    for channel in range(maps.shape[1]):
        drive = drive + (maps[:, channel] @ pooling.T) * tuning[:, channel]
    level = torch.tensor(FREQUENCIES_CPD, dtype=maps.dtype).repeat_interleave(len(ORIENTATIONS_DEG)) ** 2
    total = torch.einsum("ncp,c->np", maps, level / len(level)) @ surround.T
    tiny = 1e-12
    return torch.sqrt(drive + tiny) / (SEMI_SATURATION + torch.sqrt(total + tiny))
