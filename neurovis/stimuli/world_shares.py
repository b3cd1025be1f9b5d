"""How much of each place of a scene each subtype covers: what networks learn from the stimulus world."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.stimuli.world import CATEGORY_OF, Scene

SUBTYPE_NAMES = tuple(CATEGORY_OF)
"""The twelve subtypes, two of each category: the channels of :func:`compute_subtype_shares`."""


def compute_subtype_shares(scene: Scene, *, n_cells: int = 16) -> NDArray[np.float32]:
    """Visible share of every cell of a square grid, by subtype.

    Parameters
    ----------
    scene : Scene
        Square, with a side that ``n_cells`` divides.
    n_cells : int
        Cells along each side.

    Returns
    -------
    array of shape (12, n_cells, n_cells)
        0-1, subtypes in the order of :data:`SUBTYPE_NAMES`.

    Raises
    ------
    ValueError
        If ``n_cells`` does not divide the side of the scene.
    """
    height, width = scene.image.shape[:2]
    if height != width or n_cells < 1 or height % n_cells:
        raise ValueError(
            f"n_cells must divide the side of a square scene, got {n_cells} for {height} x {width} px; "
            "pass a divisor of the side."
        )
    cell = height // n_cells
    shares = np.zeros((len(SUBTYPE_NAMES), n_cells, n_cells), dtype=np.float32)
    for thing in scene.objects:
        covered = thing.mask.reshape(n_cells, cell, n_cells, cell).mean(axis=(1, 3))
        shares[SUBTYPE_NAMES.index(thing.subtype)] += covered
    return np.minimum(shares, 1.0)
