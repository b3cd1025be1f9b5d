"""Degrees of visual angle and pixels. Sizes are always ``(height, width)``; origin top-left, y down."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.core.validation import check_array


def compute_px_per_dva(size_px: tuple[int, int], size_dva: tuple[float, float]) -> float:
    """Pixels per degree of visual angle of a display with square pixels.

    Parameters
    ----------
    size_px : tuple of int
        Height and width [px].
    size_dva : tuple of float
        Height and width [degrees of visual angle].

    Returns
    -------
    float
        Pixels per degree [px / dva].

    Raises
    ------
    ValueError
        If a size is not positive or the two axes differ by more than 1 %.
    """
    px = check_array("size_px", size_px, shape=(2,), minimum=1)
    dva = check_array("size_dva", size_dva, shape=(2,), dtype=float)
    if (dva <= 0).any():
        raise ValueError(f"size_dva must be positive, got {size_dva}; pass (height, width) in degrees.")
    ratio = px / dva
    if abs(ratio[0] - ratio[1]) > 0.01 * ratio.mean():
        raise ValueError(
            f"size_px {size_px} and size_dva {size_dva} give {ratio[0]:.3g} px/dva in height but "
            f"{ratio[1]:.3g} in width; pass matching (height, width) pairs of square pixels."
        )
    return float(ratio.mean())


def make_grid_dva(size_px: tuple[int, int], size_dva: tuple[float, float]) -> tuple[NDArray, NDArray]:
    """Pixel-centre coordinates relative to the screen centre.

    Parameters
    ----------
    size_px : tuple of int
        Height and width [px].
    size_dva : tuple of float
        Height and width [degrees of visual angle].

    Returns
    -------
    x, y : array of shape (height, width)
        Horizontal (right positive) and vertical (**up** positive) position [degrees], as in the visual
        field and unlike pixel rows, which grow downwards.
    """
    compute_px_per_dva(size_px, size_dva)
    height, width = size_px
    y = (0.5 - (np.arange(height) + 0.5) / height) * size_dva[0]
    x = ((np.arange(width) + 0.5) / width - 0.5) * size_dva[1]
    grid_x, grid_y = np.meshgrid(x, y)
    return grid_x, grid_y
