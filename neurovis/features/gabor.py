"""Gabor energy on a pyramid, pooled, normalised and compressed: a feature space for early visual cortex.

Quadrature pairs give local energy (Adelson & Bergen 1985), Gaussian windows on a grid pool it at every
spatial frequency, energy of all channels nearby divides it (Heeger 1992) and a square root compresses it
(Kay et al. 2013). Pools of luminance and of two opponent colours complete the space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array, import_optional
from neurovis.features.arrays import choose_layers, load_batches, make_feature_array

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = ("energy", "colour")
COLOUR_CHANNELS = ("luminance", "red-green", "blue-yellow")

_GREY = 0.5
_TO_COLOUR = np.array([[0.299, 0.587, 0.114], [0.5, -0.5, 0.0], [-0.25, -0.25, 0.5]], dtype=np.float32)
"""RGB to luma (ITU-R BT.601) and to two differences that are zero for greys."""

_ENVELOPE_CYCLES = 0.42
"""Standard deviation of a Gabor's envelope times its frequency: one octave of bandwidth at half height."""


@dataclass(frozen=True)
class GaborPyramid:
    """Feature space of pooled Gabor energy.

    Parameters
    ----------
    spatial_frequencies_cpd : tuple of float
        Centre frequencies [cycles per degree].
    n_orientations : int
        Orientations from 0 to 180 degrees.
    grids : tuple of int
        Places along each side of the image at each spatial frequency.
    pool_spacings : float
        Standard deviation of a pooling window in units of the grid's spacing.
    n_colour : int
        Places along each side of the image for the colour pools.
    surround_dva : float
        Standard deviation of the window whose energy, of all channels, divides a place [degrees].
    semi_saturation : float
        Contrast at which the normalisation sets in.
    px_per_dva : float
        Images are resampled to this [px / degree]; its half bounds the frequencies.
    name : str
        Name of the feature space.

    Raises
    ------
    ValueError
        If grids and frequencies differ in number, a number is not positive or a frequency is above the bound.

    Notes
    -----
    Layers are ``"energy"`` (coordinates ``spatial_frequency_cpd``, ``orientation_deg``, ``x_dva`` right
    positive and ``y_dva`` up positive) and ``"colour"`` (``colour``, ``x_dva``, ``y_dva``). Orientation is
    that of the bars: 0 is horizontal, counter-clockwise. The surround of an image is mid-grey. A layer whose
    channels share one grid has the coordinates ``channel``, ``row`` and ``column`` too.
    """

    spatial_frequencies_cpd: tuple[float, ...] = (0.35, 0.55, 0.85, 1.3, 2.0, 3.0)
    n_orientations: int = 8
    grids: tuple[int, ...] = (6, 6, 8, 8, 8, 8)
    pool_spacings: float = 0.6
    n_colour: int = 8
    surround_dva: float = 1.2
    semi_saturation: float = 0.04
    px_per_dva: float = 8.0
    name: str = "gabor"

    def __post_init__(self) -> None:
        frequencies = check_array(
            "spatial_frequencies_cpd", self.spatial_frequencies_cpd, ndim=1, dtype=float
        )
        if len(self.grids) != len(frequencies) or not len(frequencies):
            raise ValueError(
                f"grids must hold one number for each spatial frequency, got {len(self.grids)} for "
                f"{len(frequencies)}; pass tuples of equal length."
            )
        check_array("grids", self.grids, minimum=1)
        numbers: dict[str, float] = {"n_orientations": self.n_orientations, "n_colour": self.n_colour}
        numbers |= {"pool_spacings": self.pool_spacings, "semi_saturation": self.semi_saturation}
        numbers |= {
            "surround_dva": self.surround_dva,
            "px_per_dva": self.px_per_dva,
            "lowest spatial_frequencies_cpd": float(frequencies.min()),
        }
        for parameter, value in numbers.items():
            if value <= 0:
                raise ValueError(f"{parameter} must be positive, got {value}; see the class's default.")
        if frequencies.max() > self.px_per_dva / 2:
            raise ValueError(
                f"spatial_frequencies_cpd must be at most {self.px_per_dva / 2} cycles per degree (half of "
                f"px_per_dva), got {frequencies.max()}; raise px_per_dva or leave out the highest."
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """Layer names."""
        return LAYERS

    @cached_property
    def orientations_deg(self) -> tuple[float, ...]:
        """Orientations of the bars [degrees]."""
        return tuple(180.0 * index / self.n_orientations for index in range(self.n_orientations))

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable."""
        return {"kind": "gabor pyramid", **asdict(self)}

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 64,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Features of every image; parameters and result as :class:`neurovis.core.FeatureExtractor`."""
        torch = import_optional("torch", extra="torch")
        wanted = choose_layers(layers, LAYERS, name=self.name)
        down, across = (max(1, round(side * self.px_per_dva)) for side in stimuli.size_dva)
        size_px = (down, across)
        parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in wanted}
        bank = {layer: _make_bank(self, layer, size_px, stimuli.size_dva, device) for layer in wanted}
        for images in load_batches(stimuli, batch_size=batch_size, name=self.name):
            opponent = torch.cat([_prepare(image, size_px, device) for image in images])
            for layer in wanted:
                compute = _compute_energy if layer == "energy" else _compute_colour
                parts[layer].append(compute(self, opponent, bank[layer]).cpu().numpy())
        return {
            layer: make_feature_array(
                np.concatenate(arrays), stimuli, name=self.name, layer=layer,
                coords=_make_coords(self, layer, stimuli.size_dva), size_dva=stimuli.size_dva,
            )
            for layer, arrays in parts.items()
        }  # fmt: skip


def _prepare(image: NDArray[np.uint8], size_px: tuple[int, int], device: str) -> Tensor:
    """One image (h, w, 3) to luminance around mid-grey and opponent colours (1, 3, height, width)."""
    torch = import_optional("torch", extra="torch")
    pixels = (
        torch.from_numpy(np.array(image)).to(device).to(torch.float32).permute(2, 0, 1)[None] / 255 - _GREY
    )
    if tuple(pixels.shape[-2:]) != size_px:
        pixels = torch.nn.functional.interpolate(
            pixels, size=size_px, mode="bilinear", antialias=True, align_corners=False
        )
    return torch.einsum("ck,nkhw->nchw", torch.from_numpy(_TO_COLOUR).to(device), pixels)


def _find_places(n: int, side_dva: float) -> NDArray[np.float64]:
    """Centres of ``n`` equal parts of a side, relative to its middle [degrees]."""
    return ((np.arange(n) + 0.5) / n - 0.5) * side_dva


def _make_windows(places: NDArray, samples: NDArray, sigma: float) -> NDArray[np.float64]:
    """Gaussian weights (n_places, n_samples) that sum to one for each place."""
    weights = np.exp(-0.5 * ((places[:, None] - samples[None, :]) / sigma) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Scale:
    """One spatial frequency's filters as thin matrices over rows and over columns of the image."""

    rows: Tensor  # (height, n_orientations * 2 * n_down): real and imaginary taps of every orientation
    columns: Tensor  # (n_orientations, 2 * width, 2 * n_across): complex product as one real matrix
    mean_rows: Tensor  # (height, n_down) and (width, n_across): the envelope alone, to take off the mean
    mean_columns: Tensor
    mean_share: float
    pool_rows: Tensor  # (grid, n_down) and (grid, n_across)
    pool_columns: Tensor
    surrounds: tuple[tuple[Tensor, Tensor], ...]  # from every scale's samples to this one's grid
    level: float  # weight of this scale's energy, against the 1/f spectrum of natural images


def _make_bank(
    pyramid: GaborPyramid, layer: str, size_px: tuple[int, int], size_dva: tuple[float, float], device: str
) -> Any:
    torch = import_optional("torch", extra="torch")

    def to_tensor(array: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)

    pixels = [_find_places(n, side) for n, side in zip(size_px, size_dva, strict=True)]
    if layer == "colour":
        sigma = [pyramid.pool_spacings * side / pyramid.n_colour for side in size_dva]
        places = [_find_places(pyramid.n_colour, side) for side in size_dva]
        return tuple(to_tensor(_make_windows(places[i], pixels[i], sigma[i])) for i in (0, 1))
    frequencies, grids = np.array(pyramid.spatial_frequencies_cpd), pyramid.grids
    # Energy varies no faster than its envelope: one sample for each standard deviation will do.
    lattices = [
        [
            _find_places(max(grid, int(np.ceil(side * frequency / _ENVELOPE_CYCLES))), side)
            for side in size_dva
        ]
        for frequency, grid in zip(frequencies, grids, strict=True)
    ]
    scales = []
    for frequency, grid, samples in zip(frequencies, grids, lattices, strict=True):
        envelope = _ENVELOPE_CYCLES / frequency
        taps = [
            np.exp(-0.5 * ((samples[i][:, None] - pixels[i][None, :]) / envelope) ** 2)
            / (np.sqrt(2 * np.pi) * envelope * pyramid.px_per_dva)
            for i in (0, 1)
        ]
        distance = [pixels[i][None, :] - samples[i][:, None] for i in (0, 1)]
        rows, columns = [], []
        for orientation in np.deg2rad(pyramid.orientations_deg):
            # The wave runs across the bars; rows of pixels count downwards.
            down = taps[0] * np.exp(2j * np.pi * frequency * np.cos(orientation) * distance[0])
            across = taps[1] * np.exp(2j * np.pi * frequency * np.sin(orientation) * distance[1])
            rows.append(np.concatenate([down.real, down.imag]).T)
            real = np.concatenate([across.real, across.imag]).T
            imaginary = np.concatenate([-across.imag, across.real]).T
            columns.append(np.concatenate([real, imaginary]))
        places = [_find_places(grid, side) for side in size_dva]
        sigma = [pyramid.pool_spacings * side / grid for side in size_dva]
        pools = [_make_windows(places[i], samples[i], sigma[i]) for i in (0, 1)]
        surrounds = [
            (
                to_tensor(_make_windows(places[0], other[0], pyramid.surround_dva)),
                to_tensor(_make_windows(places[1], other[1], pyramid.surround_dva)),
            )
            for other in lattices
        ]
        scales.append(
            _Scale(
                to_tensor(np.concatenate(rows, axis=1)), to_tensor(np.stack(columns)),
                to_tensor(taps[0].T), to_tensor(taps[1].T),
                float(np.exp(-2 * (np.pi * frequency * envelope) ** 2)),
                to_tensor(pools[0]), to_tensor(pools[1]), tuple(surrounds),
                float(frequency**2 / (len(frequencies) * np.exp(np.log(frequencies).mean() * 2))),
            )
        )  # fmt: skip
    return scales


def _filter_scale(scale: _Scale, luminance: Tensor, n_orientations: int) -> Tensor:
    """Energy (n_orientations, n_images, n_down, n_across) of quadrature pairs."""
    torch = import_optional("torch", extra="torch")
    n_images, height, width = luminance.shape
    n_down, n_across = scale.mean_rows.shape[1], scale.mean_columns.shape[1]
    # (n, width, height) @ (height, ...) keeps one large product for all images and orientations.
    vertical = luminance.transpose(1, 2).reshape(-1, height) @ scale.rows
    vertical = vertical.reshape(n_images, width, n_orientations, 2, n_down).permute(2, 0, 4, 3, 1)
    both = vertical.reshape(n_orientations, n_images * n_down, 2 * width) @ scale.columns
    response = both.reshape(n_orientations, n_images, n_down, 2, n_across)
    mean = torch.einsum("nhw,hd,wa->nda", luminance, scale.mean_rows, scale.mean_columns)
    # A Gabor answers to uniform light; its envelope, scaled by that answer, takes it off.
    real = response[:, :, :, 0] - scale.mean_share * mean
    return real**2 + response[:, :, :, 1] ** 2


def _compute_energy(pyramid: GaborPyramid, opponent: Tensor, bank: list[_Scale]) -> Tensor:
    torch = import_optional("torch", extra="torch")
    energies = [_filter_scale(scale, opponent[:, 0], pyramid.n_orientations) for scale in bank]
    totals = [energy.mean(dim=0) * scale.level for energy, scale in zip(energies, bank, strict=True)]
    features = []
    for scale, energy in zip(bank, energies, strict=True):
        pooled = scale.pool_rows @ energy @ scale.pool_columns.T
        nearby = sum(
            down @ total @ across.T for (down, across), total in zip(scale.surrounds, totals, strict=True)
        )
        normalised = torch.sqrt(pooled) / (pyramid.semi_saturation + torch.sqrt(nearby))
        features.append(normalised.transpose(0, 1).flatten(1))
    return torch.cat(features, dim=1)


def _compute_colour(_pyramid: GaborPyramid, opponent: Tensor, bank: tuple[Tensor, Tensor]) -> Tensor:
    return (bank[0] @ opponent @ bank[1].T).flatten(1)


def _make_coords(pyramid: GaborPyramid, layer: str, size_dva: tuple[float, float]) -> dict[str, NDArray]:
    """What each feature is, in the order of the features."""
    if layer == "colour":
        y, x = (_find_places(pyramid.n_colour, side) for side in size_dva)
        colour, down, across = np.meshgrid(COLOUR_CHANNELS, -y, x, indexing="ij")
        colours = {"colour": colour.ravel(), "x_dva": across.ravel(), "y_dva": down.ravel()}
        return colours | _number_places((len(COLOUR_CHANNELS), pyramid.n_colour, pyramid.n_colour))
    columns: dict[str, list[NDArray]] = {
        key: [] for key in ("spatial_frequency_cpd", "orientation_deg", "y_dva", "x_dva")
    }
    for frequency, grid in zip(pyramid.spatial_frequencies_cpd, pyramid.grids, strict=True):
        y, x = (_find_places(grid, side) for side in size_dva)
        meshed = np.meshgrid([frequency], pyramid.orientations_deg, -y, x, indexing="ij")
        for key, values in zip(columns, meshed, strict=True):
            columns[key].append(values.ravel())
    coords: dict[str, NDArray] = {key: np.concatenate(values) for key, values in columns.items()}
    if len(set(pyramid.grids)) == 1:
        # One grid for all: every filter is a channel of maps.
        shape = (len(pyramid.grids) * pyramid.n_orientations, pyramid.grids[0], pyramid.grids[0])
        coords |= _number_places(shape)
    return coords


def _number_places(shape: tuple[int, int, int]) -> dict[str, NDArray]:
    channel, row, column = np.indices(shape, dtype=np.int32).reshape(3, -1)
    return {"channel": channel, "row": row, "column": column}
