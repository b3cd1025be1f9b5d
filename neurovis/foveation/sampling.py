"""Retinal images: log-polar around fixation, and the masked disc that it is compared with.

Foveated retinotopy improves classification and localization in convolutional neural networks, arXiv
2402.15480 (Vision 2026, 10(2):17). Rows of a log-polar image are rings, the outermost first; columns are
polar angles from the right, clockwise on the screen because y runs downwards. A rotation about the fixation
is a circular shift of columns, a zoom a shift of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from neurovis.core import check_option
from neurovis.foveation.points import SQUARES, check_points, make_square
from neurovis.foveation.pyramid import sample_pyramid

OUTSIDE = ("zeros", "border")


class Retina(Protocol):
    """Images and where they are fixated to what reaches the network."""

    @property
    def r_max(self) -> float:
        """Radius of what is seen, in half sides of the image."""
        ...

    def __call__(
        self, images: Tensor, fixations: Tensor | ArrayLike | None = None, *, angle_deg: float = 0.0
    ) -> Tensor:
        """Images (n, c, h, w) and fixations (n, 2) or (n, k, 2) to (n, [k,] c, rows, columns)."""
        ...

    def zoom(self, ratio: float, *, keep_inner: bool = False) -> Retina:
        """The retina that sees a disc of ``ratio`` times the radius."""
        ...

    def invert(
        self, retinal: Tensor, fixations: Tensor | ArrayLike | None = None, *, side_px: int, fill: float = 0.0
    ) -> Tensor:
        """Retinal images or maps (n, c, rows, columns) to square images (n, c, side_px, side_px)."""
        ...


@dataclass(frozen=True)
class LogPolarSampler:
    """Log-polar sampling around fixation.

    Parameters
    ----------
    n_rho, n_theta : int
        Rings and angles.
    r_min, r_max : float
        Radii of the innermost and the outermost ring, in half sides of the square image.
    square : {"pad", "crop"}, optional
        For images that are not square; see :func:`neurovis.foveation.points.make_square`.
    outside : {"zeros", "border"}
        What lies beyond the image.
    antialias : bool
        Read each ring from a blurred image whose pixels are as far apart as its samples. The paper samples
        the image itself, which is undersampled where neighbours lie more than a pixel apart.

    Raises
    ------
    ValueError
        If a number is out of range or an option unknown.

    Notes
    -----
    Ring i of n has radius ``r_max (r_min / r_max)^(i / (n - 1))`` and angle j of m is ``2 pi j / m``.
    Sampling is bilinear and differentiable in the images and in the fixations.
    """

    n_rho: int = 224
    n_theta: int = 224
    r_min: float = 1 / 32
    r_max: float = 1.0
    square: str | None = None
    outside: str = "zeros"
    antialias: bool = True

    def __post_init__(self) -> None:
        if self.n_rho < 2 or self.n_theta < 2:
            raise ValueError(
                f"n_rho and n_theta must be at least 2, got {self.n_rho} and {self.n_theta}; pass for "
                "example 64 and 64."
            )
        if not 0 < self.r_min < self.r_max < math.inf:
            raise ValueError(
                f"r_min and r_max must satisfy 0 < r_min < r_max, got {self.r_min} and {self.r_max}; pass "
                "for example 1 / 32 and 1."
            )
        check_option("outside", self.outside, OUTSIDE)
        if self.square is not None:
            check_option("square", self.square, SQUARES)

    @property
    def n_octaves(self) -> float:
        """Octaves of eccentricity between the innermost and the outermost ring."""
        return math.log2(self.r_max / self.r_min)

    @property
    def radii(self) -> Tensor:
        """Radius of every ring, outermost first, float64, in half sides."""
        step = torch.arange(self.n_rho, dtype=torch.float64) / (self.n_rho - 1)
        return self.r_max * (self.r_min / self.r_max) ** step

    def compute_spacing(self, side_px: int) -> Tensor:
        """Larger one of the distances between neighbouring samples along and across each ring [px]."""
        across = 1 - 2 ** (-self.n_octaves / (self.n_rho - 1))
        return self.radii * (side_px / 2) * max(2 * math.pi / self.n_theta, across)

    def __call__(
        self, images: Tensor, fixations: Tensor | ArrayLike | None = None, *, angle_deg: float = 0.0
    ) -> Tensor:
        """Retinal images.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
            Floating point.
        fixations : array or Tensor of shape (n, 2) or (n, k, 2), optional
            (x, y) in [-1, 1] of the square image; the middle by default.
        angle_deg : float
            Angle of the first column, clockwise on the screen from the right: the retina turned that way,
            or the image turned counter-clockwise by it.

        Returns
        -------
        Tensor of shape (n, channels, n_rho, n_theta) or (n, k, channels, n_rho, n_theta)

        Raises
        ------
        TypeError, ValueError
            As :func:`neurovis.foveation.points.make_square` and ``check_points``.
        """
        images = make_square(images, self.square)
        points = check_points(fixations, images)
        theta = 2 * math.pi * torch.arange(self.n_theta, dtype=torch.float64) / self.n_theta
        theta = theta + math.radians(angle_deg)
        directions = torch.stack([theta.cos(), theta.sin()], dim=-1)
        offsets = (self.radii[:, None, None] * directions).to(images)
        spacing = self.compute_spacing(images.shape[-1]) if self.antialias else torch.ones(self.n_rho)
        grid = points[:, :, None, None] + offsets
        out = sample_pyramid(images, grid, spacing.tolist(), outside=self.outside)
        return out if fixations is not None and torch.as_tensor(fixations).ndim == 3 else out[:, 0]

    def zoom(self, ratio: float, *, keep_inner: bool = False) -> LogPolarSampler:
        """Sampler of a disc of ``ratio`` times the radius.

        Parameters
        ----------
        ratio : float
            Above 1 more is seen, so that things look smaller: a zoom of the image by ``1 / ratio``.
        keep_inner : bool
            Leave ``r_min``, so that the number of octaves changes, as in the paper's zoom protocol.
        """
        return replace(self, r_max=self.r_max * ratio, r_min=self.r_min * (1 if keep_inner else ratio))

    def invert(
        self, retinal: Tensor, fixations: Tensor | ArrayLike | None = None, *, side_px: int, fill: float = 0.0
    ) -> Tensor:
        """Square image from a log-polar one.

        Parameters
        ----------
        retinal : Tensor of shape (n, channels, rows, columns)
            A log-polar image, or a map of a network that read one; any number of rows and columns that
            divides the retina evenly.
        fixations : array or Tensor of shape (n, 2), optional
            As they were sampled.
        side_px : int
            Side of the image.
        fill : float
            Value where nothing was sampled: within the innermost ring and beyond the outermost.

        Returns
        -------
        Tensor of shape (n, channels, side_px, side_px)

        Raises
        ------
        ValueError
            If shapes do not fit.

        Notes
        -----
        Bilinear between rings and, around the circle, between angles. A map that is coarser than the retina
        stands for blocks of rings and angles, whose middles are used.
        """
        x, y = _measure_offsets(retinal, fixations, side_px)
        n_rows, n_columns = retinal.shape[-2:]
        radius = (x.square() + y.square()).sqrt()
        ring = torch.log2(self.r_max / radius.clamp(min=self.r_min / 4)) / self.n_octaves * (self.n_rho - 1)
        angle = torch.atan2(y, x) / (2 * math.pi) * self.n_theta % self.n_theta
        # Middles of blocks; a column of the other end on either side lets angles go around.
        row = (ring + 0.5) * n_rows / self.n_rho - 0.5
        column = (angle + 0.5) * n_columns / self.n_theta - 0.5 + 1
        wrapped = torch.cat([retinal[..., -1:], retinal, retinal[..., :1]], dim=-1)
        grid = torch.stack([(2 * column + 1) / (n_columns + 2) - 1, (2 * row + 1) / n_rows - 1], dim=-1)
        image = nn.functional.grid_sample(
            wrapped, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        seen = (radius >= self.r_min) & (radius <= self.r_max)
        return torch.where(seen[:, None], image, image.new_tensor(fill))


@dataclass(frozen=True)
class CartesianSampler:
    """A square around fixation on a regular grid, with or without the mask of the inscribed disc.

    Parameters
    ----------
    side : int
        Samples along each side.
    r_max : float
        Half side of the square, the radius of the disc, in half sides of the image.
    mask : bool
        Put zeros outside the disc.
    square, outside, antialias
        As in :class:`LogPolarSampler`.

    Raises
    ------
    ValueError
        If a number is out of range or an option unknown.

    Notes
    -----
    The mask keeps samples whose distance from the middle is below ``r_max``. The authors' grid includes the
    end points of the square, ours the middles of its pixels, as an image resized to ``side``.
    """

    side: int = 224
    r_max: float = 1.0
    mask: bool = True
    square: str | None = None
    outside: str = "zeros"
    antialias: bool = True

    def __post_init__(self) -> None:
        if self.side < 2 or not 0 < self.r_max < math.inf:
            raise ValueError(
                f"side must be at least 2 and r_max positive, got {self.side} and {self.r_max}; pass for "
                "example 64 and 1."
            )
        check_option("outside", self.outside, OUTSIDE)
        if self.square is not None:
            check_option("square", self.square, SQUARES)

    def __call__(
        self, images: Tensor, fixations: Tensor | ArrayLike | None = None, *, angle_deg: float = 0.0
    ) -> Tensor:
        """Retinal images (n, [k,] channels, side, side); parameters as of :class:`LogPolarSampler`."""
        images = make_square(images, self.square)
        points = check_points(fixations, images)
        step = (2 * torch.arange(self.side, dtype=torch.float64) + 1) / self.side - 1
        y, x = torch.meshgrid(step, step, indexing="ij")
        turn = math.radians(angle_deg)
        turned = torch.stack(
            [math.cos(turn) * x - math.sin(turn) * y, math.sin(turn) * x + math.cos(turn) * y], dim=-1
        )
        spacing = self.r_max * images.shape[-1] / self.side if self.antialias else 1.0
        grid = points[:, :, None, None] + (self.r_max * turned).to(images)
        out = sample_pyramid(images, grid, [spacing] * self.side, outside=self.outside)
        if self.mask:
            out = out * (torch.hypot(x, y) < 1).to(out)
        return out if fixations is not None and torch.as_tensor(fixations).ndim == 3 else out[:, 0]

    def zoom(self, ratio: float, *, keep_inner: bool = False) -> CartesianSampler:  # noqa: ARG002
        """Sampler of a disc of ``ratio`` times the radius; there is no inner ring to keep."""
        return replace(self, r_max=self.r_max * ratio)

    def invert(
        self, retinal: Tensor, fixations: Tensor | ArrayLike | None = None, *, side_px: int, fill: float = 0.0
    ) -> Tensor:
        """Square image from a retinal one; parameters and errors as of :meth:`LogPolarSampler.invert`."""
        x, y = _measure_offsets(retinal, fixations, side_px)
        grid = torch.stack([x.expand_as(x + y), y.expand_as(x + y)], dim=-1) / self.r_max
        image = nn.functional.grid_sample(
            retinal, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        radius = torch.hypot(x, y) if self.mask else torch.maximum(x.abs(), y.abs())
        return torch.where((radius < self.r_max)[:, None], image, image.new_tensor(fill))


def _measure_offsets(
    retinal: Tensor, fixations: Tensor | ArrayLike | None, side_px: int
) -> tuple[Tensor, Tensor]:
    """Offsets x (n, 1, side) and y (n, side, 1) of the pixels of a square image from the fixations."""
    if retinal.ndim != 4:
        raise ValueError(
            f"retinal must have shape (n, channels, rows, columns), got {tuple(retinal.shape)}; add the "
            "missing dimensions."
        )
    points = check_points(fixations, retinal)[:, 0]
    middle = (2 * torch.arange(side_px, dtype=retinal.dtype, device=retinal.device) + 1) / side_px - 1
    return middle[None, None, :] - points[:, 0, None, None], middle[None, :, None] - points[:, 1, None, None]
