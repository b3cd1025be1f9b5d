"""Visual-search arrays: bars, letters T and L, or given patches on a jittered grid or a ring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_array, check_option, compute_px_per_dva, make_rng


@dataclass(frozen=True)
class SearchArray:
    """One search display.

    Parameters
    ----------
    image : array of shape (height, width)
        Luminance in [0, 1] on the background.
    items : pandas.DataFrame
        One row per item: ``x_dva, y_dva`` (from the centre, y up), ``top, left, bottom, right`` [px],
        ``is_target``.
    """

    image: NDArray[np.float64]
    items: pd.DataFrame


def make_bar_item(
    *, size_dva: float, px_per_dva: float, orientation_deg: float, thickness: float = 0.25
) -> NDArray[np.float64]:
    """Coverage of an oriented bar in a square patch.

    Parameters
    ----------
    size_dva : float
        Side of the patch and length of the bar [degrees].
    px_per_dva : float
        Pixels per degree.
    orientation_deg : float
        Orientation from horizontal, counter-clockwise [degrees].
    thickness : float
        Thickness over length.

    Returns
    -------
    array of shape (side, side)
        1 on the bar, 0 off it, antialiased.
    """
    u, v = _item_axes(size_dva, px_per_dva, orientation_deg)
    half = size_dva / 2
    return _cover(half - np.abs(u), px_per_dva) * _cover(thickness * half - np.abs(v), px_per_dva)


def make_letter_item(
    letter: str, *, size_dva: float, px_per_dva: float, orientation_deg: float = 0.0, thickness: float = 0.2
) -> NDArray[np.float64]:
    """Coverage of a T or an L of equal strokes, the classic slow search.

    Parameters
    ----------
    letter : {"T", "L"}
        Which letter.
    size_dva, px_per_dva : float
        Side of the patch [degrees] and pixels per degree.
    orientation_deg : float
        Rotation, counter-clockwise [degrees].
    thickness : float
        Stroke thickness over letter height.

    Returns
    -------
    array of shape (side, side)
    """
    check_option("letter", letter, ("T", "L"))
    # The letter's diagonal must fit the patch at every rotation.
    side = size_dva / np.sqrt(2)
    u, v = _item_axes(size_dva, px_per_dva, orientation_deg)
    half, stroke = side / 2, thickness * side
    centre = 0.0 if letter == "T" else -half + stroke / 2
    upright = _cover(stroke / 2 - np.abs(u - centre), px_per_dva) * _cover(half - np.abs(v), px_per_dva)
    level = half - stroke / 2 if letter == "T" else -half + stroke / 2
    across = _cover(half - np.abs(u), px_per_dva) * _cover(stroke / 2 - np.abs(v - level), px_per_dva)
    return np.maximum(upright, across)


def make_search_array(
    target: NDArray,
    distractors: list[NDArray],
    *,
    n_items: int,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    seed: int,
    layout: str = "grid",
    target_present: bool = True,
    background: float = 0.5,
    item_luminance: float = 0.0,
    jitter: float = 0.3,
) -> SearchArray:
    """Place one target (or none) and distractors drawn at random from a list.

    Parameters
    ----------
    target : array of shape (side, side)
        Coverage of the target, 0 to 1.
    distractors : list of array of shape (side, side)
        Coverages to draw from with replacement; all of one size.
    n_items : int
        Items in all, the target included.
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    seed : int
        Decides places, kinds and the target's position.
    layout : {"grid", "ring"}
        Jittered grid over the screen, or a ring at equal eccentricity around the centre.
    target_present : bool
        Whether one item is the target.
    background, item_luminance : float
        Luminance of the screen and of the items, 0 to 1.
    jitter : float
        Displacement on the grid as a share of the free room in a cell, 0 to 1.

    Returns
    -------
    SearchArray

    Raises
    ------
    ValueError
        If the items do not fit the screen without overlap.
    """
    check_option("layout", layout, ("grid", "ring"))
    check_array("n_items", n_items, ndim=0, minimum=1)
    check_array("jitter", jitter, ndim=0, minimum=0, maximum=1)
    patches = [check_array("target", target, ndim=2, minimum=0, maximum=1)]
    patches += [check_array("distractors", patch, shape=patches[0].shape) for patch in distractors]
    rng = make_rng(seed, "search_array")
    px_per_dva = compute_px_per_dva(size_px, size_dva)
    side = patches[0].shape[0]
    centres = (
        _place_on_grid(rng, n_items, size_px, side, jitter)
        if layout == "grid"
        else _place_on_ring(rng, n_items, size_px, side)
    )
    image = np.full(size_px, float(background))
    target_at = rng.integers(n_items) if target_present else -1
    rows = []
    for index, (row, column) in enumerate(centres):
        is_target = index == target_at
        patch = patches[0] if is_target else patches[1 + rng.integers(len(distractors))]
        top, left = round(row - side / 2), round(column - side / 2)
        view = image[top : top + side, left : left + side]
        view += patch * (item_luminance - view)
        x_dva = (left + side / 2 - size_px[1] / 2) / px_per_dva
        y_dva = (size_px[0] / 2 - top - side / 2) / px_per_dva
        rows.append((x_dva, y_dva, top, left, top + side, left + side, is_target))
    columns = ["x_dva", "y_dva", "top", "left", "bottom", "right", "is_target"]
    return SearchArray(image, pd.DataFrame(rows, columns=columns))


def _item_axes(size_dva: float, px_per_dva: float, rotation_deg: float) -> tuple[NDArray, NDArray]:
    side = round(size_dva * px_per_dva)
    if side < 4:
        raise ValueError(
            f"size_dva must give an item of at least 4 px, got {size_dva} at {px_per_dva:.3g} px per degree; "
            "enlarge the item or the display's resolution."
        )
    x, y = np.meshgrid((np.arange(side) + 0.5) / px_per_dva, (np.arange(side) + 0.5) / px_per_dva)
    x, y = x - size_dva / 2, size_dva / 2 - y
    angle = np.deg2rad(rotation_deg)
    return x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)


def _cover(inside_dva: NDArray, px_per_dva: float) -> NDArray[np.float64]:
    return np.clip(inside_dva * px_per_dva + 0.5, 0, 1)


def _place_on_grid(
    rng: np.random.Generator, n_items: int, size_px: tuple[int, int], side: int, jitter: float
) -> NDArray[np.float64]:
    height, width = size_px
    n_rows = max(1, round(np.sqrt(n_items * height / width)))
    n_columns = -(-n_items // n_rows)
    cell = np.array([height / n_rows, width / n_columns])
    if (cell < side).any():
        raise ValueError(
            f"n_items must fit the screen, got {n_items} items of {side} px on {size_px}; "
            "use fewer or smaller items."
        )
    chosen = rng.choice(n_rows * n_columns, n_items, replace=False)
    corners = np.stack([chosen // n_columns, chosen % n_columns], axis=1)
    free = (cell - side) * jitter
    return (corners + 0.5) * cell + (rng.random((n_items, 2)) - 0.5) * free


def _place_on_ring(
    rng: np.random.Generator, n_items: int, size_px: tuple[int, int], side: int
) -> NDArray[np.float64]:
    radius = min(size_px) / 2 - side * 0.75
    if n_items > 1 and 2 * radius * np.sin(np.pi / n_items) < side * np.sqrt(2):
        raise ValueError(
            f"n_items must fit the ring, got {n_items} items of {side} px on {size_px}; "
            "use fewer or smaller items."
        )
    angle = 2 * np.pi * (np.arange(n_items) + rng.random()) / n_items
    centre = np.array(size_px) / 2
    return centre + radius * np.stack([-np.sin(angle), np.cos(angle)], axis=1)
