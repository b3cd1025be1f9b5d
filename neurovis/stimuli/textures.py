"""Natural textures: random fields with a 1/f amplitude spectrum that look the same at every resolution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neurovis.core import check_array

FINEST_CELLS = 128


def resize_field(field: NDArray, size_px: int) -> NDArray[np.float32]:
    """Bicubic resampling of a (height, width) field to a square of ``size_px`` pixels."""
    image = Image.fromarray(np.asarray(field, dtype=np.float32))
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BICUBIC))


def make_fractal_field(
    rng: np.random.Generator,
    size_px: int,
    *,
    slope: float = 1.0,
    coarsest_cells: int = 4,
    stretch: tuple[int, int] = (1, 1),
) -> NDArray[np.float32]:
    """Random field whose amplitude falls as 1 / frequency ** slope, built from octaves.

    Each octave doubles the number of cells; the random numbers do not depend on ``size_px``, so one
    generator state gives one field at any resolution.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the field.
    size_px : int
        Side of the square [px].
    slope : float
        Exponent of the amplitude spectrum; natural scenes have about 1.
    coarsest_cells : int
        Cells along a side in the first octave, at most 128; a larger number leaves out coarse structure.
    stretch : tuple of int
        (vertical, horizontal) number of periods left out of the finest cells: ``(1, 8)`` gives streaks
        along x, as in wood or water.

    Returns
    -------
    array of shape (size_px, size_px)
        Zero mean and unit variance before the last resampling, which changes them by a few percent.

    Raises
    ------
    ValueError
        If a size is out of range.
    """
    check_array("size_px", size_px, ndim=0, minimum=2)
    check_array("coarsest_cells", coarsest_cells, ndim=0, minimum=2, maximum=FINEST_CELLS)
    cells = coarsest_cells
    field = rng.standard_normal((cells, cells), dtype=np.float32)
    weight = 1.0
    while cells < FINEST_CELLS:
        cells = min(2 * cells, FINEST_CELLS)
        # Noise of every octave has one variance: its amplitude per octave is constant for slope 1.
        weight *= 2.0 ** (1.0 - slope)
        field = resize_field(field, cells) + np.float32(weight) * rng.standard_normal(
            (cells, cells), dtype=np.float32
        )
    if stretch != (1, 1):
        rows, columns = max(2, cells // stretch[0]), max(2, cells // stretch[1])
        field = field[:rows, :columns]
    field = (field - field.mean()) / (field.std() + np.float32(1e-6))
    return resize_field(field, size_px)
