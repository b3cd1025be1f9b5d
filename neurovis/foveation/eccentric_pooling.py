"""Eccentricity-dependent average pooling: windows grow with the distance from the middle of the map.

Gupta, Zhang, Wu, Wolfe & Kreiman (2021) Visual search asymmetry: deep nets and humans share similar inherent
biases. NeurIPS, section 3 (eccNET). The map's middle is where the eye looks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.core import check_array

ECCNET_PX_PER_DEG = (30, 15, 8, 4, 2)
"""Pixels per degree at the input of the five pools of a VGG-16 that sees 30 pixels per degree."""

ECCNET_SLOPES = (0.0, 0.0, 3.5 * 0.02, 8 * 0.02, 16 * 0.02)
"""Growth of the window [input px per px of eccentricity] in the five pools of eccNET."""

_STRIDE = 2


class Ring(NamedTuple):
    """One ring of a pool: its outer radius [output px], infinite for the last, and its window [input px]."""

    radius_px: float
    size_px: int


def compute_rings(
    n_in: int,
    *,
    px_per_deg: float,
    slope: float,
    fovea_deg: float = 4.0,
    ring_deg: float = 1.0,
    base_size: int = 2,
) -> tuple[Ring, ...]:
    """Rings of an eccentricity-dependent pool, from the fovea outwards.

    Parameters
    ----------
    n_in : int
        Side of the square map that is pooled [px].
    px_per_deg : float
        Its pixels per degree of visual angle; see :data:`ECCNET_PX_PER_DEG`.
    slope : float
        Growth of the window with eccentricity outside the fovea; 0 gives an ordinary pool everywhere.
    fovea_deg : float
        Diameter of the fovea [degrees].
    ring_deg : float
        Width of a ring [degrees].
    base_size : int
        Window in the fovea [px].

    Returns
    -------
    tuple of Ring
        Outer radii rise; the last one is infinite: everything outside. One ring if the fovea covers the map.

    Raises
    ------
    ValueError
        If a number is out of range, or a ring is narrower than one output pixel.

    Notes
    -----
    Radii and windows are rounded half to even, as by the authors. The window of a ring follows from its outer
    radius; that of the last from the first radius of the series at or beyond half the output's side.
    """
    check_array("n_in", n_in, ndim=0, minimum=2, remedy="pass the side of the map in px")
    check_array("slope", slope, ndim=0, minimum=0, remedy="windows grow with eccentricity")
    check_array("base_size", base_size, ndim=0, minimum=1, remedy="for example base_size=2")
    for name, value in (("px_per_deg", px_per_deg), ("fovea_deg", fovea_deg), ("ring_deg", ring_deg)):
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"{name} must be positive, got {value}; see ECCNET_PX_PER_DEG for an example.")
    half = compute_output_side(n_in) / 2
    radius = round(fovea_deg * px_per_deg / _STRIDE)
    step = round(ring_deg * px_per_deg / _STRIDE)
    if step < 1:
        raise ValueError(
            f"ring_deg must be at least one output pixel wide, got {ring_deg} at px_per_deg={px_per_deg}; "
            f"pass at least {1.01 * _STRIDE / 2 / px_per_deg:.3g}."
        )
    if radius > half:
        return (Ring(math.inf, base_size),)
    rings = [Ring(radius, base_size)]
    while radius + step < half:
        radius += step
        rings.append(Ring(radius, _grow(radius, base_size, slope, fovea_deg * px_per_deg)))
    last = _grow(radius + step, base_size, slope, fovea_deg * px_per_deg)
    return (*rings, Ring(math.inf, last))


def compute_output_side(n_in: int) -> int:
    """Side of the pooled map: half of ``n_in``, rounded up."""
    return (n_in + 1) // _STRIDE


def _grow(radius: int, base_size: int, slope: float, fovea_px: float) -> int:
    return base_size + round(slope * (_STRIDE * radius - fovea_px))


def make_size_map(n_out: int, rings: tuple[Ring, ...]) -> NDArray[np.int64]:
    """Window of every output pixel [input px], shape (n_out, n_out).

    A pixel belongs to the first ring whose radius exceeds its distance from pixel ``n_out // 2``.
    """
    offset = np.arange(n_out) - n_out // 2
    squared = offset[:, None] ** 2 + offset**2
    radii = np.array([ring.radius_px for ring in rings])
    return np.array([ring.size_px for ring in rings])[np.searchsorted(radii**2, squared, side="right")]


class EccentricPool2d(nn.Module):
    """Average pooling with stride 2 whose window grows with the distance from the map's middle.

    Parameters
    ----------
    n_in : int
        Larger side of the maps [px].
    px_per_deg, slope, fovea_deg, ring_deg, base_size
        As in :func:`compute_rings`.

    Attributes
    ----------
    rings : tuple of Ring
    n_out : int
        Side of the pooled map.

    Raises
    ------
    ValueError
        As :func:`compute_rings`.

    Notes
    -----
    Windows are placed as in TensorFlow's ``padding="same"``: an odd row or column of padding comes last, and
    padding is not counted in the divisor. The authors pool the whole map once per ring and mask; here every
    output pixel averages its own window once, so the cost does not depend on how many rings there are. Maps
    in channels-last memory are read without a copy, about ten times faster.
    """

    pixels: Tensor
    starts: Tensor

    def __init__(
        self,
        n_in: int,
        *,
        px_per_deg: float,
        slope: float,
        fovea_deg: float = 4.0,
        ring_deg: float = 1.0,
        base_size: int = 2,
    ) -> None:
        super().__init__()
        self.rings = compute_rings(
            n_in, px_per_deg=px_per_deg, slope=slope, fovea_deg=fovea_deg, ring_deg=ring_deg,
            base_size=base_size,
        )  # fmt: skip
        self.n_in, self.n_out = int(n_in), compute_output_side(n_in)
        size = make_size_map(self.n_out, self.rings)
        before = np.maximum((self.n_out - 1) * _STRIDE + size - n_in, 0) // 2
        first = _STRIDE * np.arange(self.n_out)
        top, left = first[:, None] - before, first - before
        bottom, right = (np.minimum(start + size, n_in) for start in (top, left))
        top, left = np.maximum(top, 0), np.maximum(left, 0)
        windows = [
            (np.arange(t, b)[:, None] * n_in + np.arange(le, r)).ravel()
            for t, le, b, r in zip(*(edge.ravel() for edge in (top, left, bottom, right)), strict=True)
        ]
        starts = np.cumsum([0, *(len(window) for window in windows[:-1])])
        # Input pixels of all windows, one window after the other, and where each window starts.
        self.register_buffer("pixels", torch.from_numpy(np.concatenate(windows)), persistent=False)
        self.register_buffer("starts", torch.from_numpy(starts), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w), the larger of h and w equal to ``n_in``, to (n, c, n_out, n_out).

        A map that is not square is first padded with zeros on both sides; these zeros count as values.

        Raises
        ------
        ValueError
            If the map has another number of dimensions or another size.
        """
        if x.ndim != 4 or max(x.shape[-2:]) != self.n_in:
            raise ValueError(
                f"x must have shape (n, channels, height, width) with a larger side of {self.n_in}, got "
                f"{tuple(x.shape)}; build the pool for the size of the maps."
            )
        if x.shape[-2] != x.shape[-1]:
            down, across = (self.n_in - side for side in x.shape[-2:])
            x = nn.functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        rows = x.permute(0, 2, 3, 1).flatten(1, 2)
        pooled = torch.stack(
            [nn.functional.embedding_bag(self.pixels, image, self.starts, mode="mean") for image in rows]
        )
        return pooled.unflatten(1, (self.n_out, self.n_out)).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Side and rings."""
        return f"n_in={self.n_in}, rings={[tuple(ring) for ring in self.rings]}"
