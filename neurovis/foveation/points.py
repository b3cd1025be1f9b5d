"""Fixation points in normalised coordinates, and images brought to a square.

x runs to the right and y downwards, both from -1 to 1 across the square image: the outer edges of its pixels,
as in torch's ``grid_sample`` with ``align_corners=False``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from neurovis.core import check_array, check_option

SQUARES = ("pad", "crop")
"""Ways to a square: zeros around the whole image, or its central part."""


def make_square(images: Tensor, square: str | None = None) -> Tensor:
    """Square images around the same middle.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        Floating point.
    square : {"pad", "crop"}, optional
        What to do with images that are not square; by default they are refused, because rings sampled in
        normalised coordinates would be ellipses and a rotation no shift any more.

    Returns
    -------
    Tensor of shape (n, channels, side, side)

    Raises
    ------
    TypeError
        If the images are not floating point.
    ValueError
        If the shape is wrong, or the images are not square and ``square`` is not given.
    """
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"images must have shape (n, channels, height, width), got {tuple(images.shape)}; "
            "add a batch dimension to a single image."
        )
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point, got {images.dtype}; pass images.float() / 255.")
    height, width = images.shape[-2:]
    if height == width:
        return images
    if square is None:
        raise ValueError(
            f"images must be square, got {height} x {width} px; choose square='pad' or square='crop'."
        )
    check_option("square", square, SQUARES)
    if square == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return images[..., top : top + side, left : left + side]
    down, across = max(height, width) - height, max(height, width) - width
    return nn.functional.pad(images, (across // 2, across - across // 2, down // 2, down - down // 2))


def normalise_points(
    points_px: ArrayLike, size_px: tuple[int, int], *, square: str | None = None
) -> NDArray[np.float64]:
    """Pixel coordinates to those of the square image.

    Parameters
    ----------
    points_px : array of shape (n, 2)
        (x_px, y_px) from the image's top left corner.
    size_px : tuple of int
        (height, width) of the image.
    square : {"pad", "crop"}, optional
        As in :func:`make_square`.

    Returns
    -------
    array of shape (n, 2)
        (x, y); outside [-1, 1] for a point that the crop or the image does not hold.

    Raises
    ------
    ValueError
        If shapes are wrong, or the image is not square and ``square`` is not given.
    """
    points = check_array("points_px", points_px, ndim=2, shape=(None, 2), dtype=np.float64)
    height, width = size_px
    if height != width:
        check_option("square", square, SQUARES, remedy=f"the image of {height} x {width} px is not square")
    side = min(size_px) if square == "crop" else max(size_px)
    top, left = ((side - length) // 2 if side > length else -((length - side) // 2) for length in size_px)
    return 2 * (points + np.array([left, top])) / side - 1


def check_points(fixations: Tensor | ArrayLike | None, images: Tensor) -> Tensor:
    """Fixations as a tensor of shape (n, k, 2) on the images' device.

    Parameters
    ----------
    fixations : array or Tensor of shape (n, 2) or (n, k, 2), optional
        (x, y) of one or of k fixations of every image, in [-1, 1]; the middle by default.
    images : Tensor of shape (n, ...)

    Raises
    ------
    ValueError
        If the shape does not fit the images, or a fixation is not finite or outside [-1, 1].
    """
    n = len(images)
    if fixations is None:
        return torch.zeros(n, 1, 2, dtype=images.dtype, device=images.device)
    points = torch.as_tensor(fixations).to(dtype=images.dtype, device=images.device)
    if points.ndim not in (2, 3) or points.shape[-1] != 2 or points.shape[0] != n or 0 in points.shape:
        raise ValueError(
            f"fixations must have shape ({n}, 2) or ({n}, k, 2) for {n} image(s), got "
            f"{tuple(points.shape)}; pass (x, y) for every image."
        )
    worst = points.detach().abs().max()
    if not bool(worst <= 1):
        raise ValueError(
            f"fixations must lie in [-1, 1], got a coordinate of magnitude {float(worst):.4g}; bring pixels "
            "there with normalise_points."
        )
    return points[:, None] if points.ndim == 2 else points
