"""How well maps over fixations find the thing: overlap, pointing, energy and distance.

Measures of arXiv 2402.15480 (Vision 2026, 10(2):17); the pointing game is from Zhang et al. (2018) IJCV.
Every function scores maps of shape (n, rows, columns) one by one; means and intervals are the caller's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array

N_THRESHOLDS = 36
"""Thresholds from 0 to 1 of the paper's overlap curve."""


def rasterise_boxes(boxes_px: ArrayLike, size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Union of boxes as a mask.

    Parameters
    ----------
    boxes_px : array of shape (n_boxes, 4)
        (top, left, bottom, right), bottom and right exclusive; parts outside the image are cut off.
    size_px : tuple of int
        (height, width) of the image.

    Returns
    -------
    array of bool of shape ``size_px``

    Raises
    ------
    ValueError
        If the shape is wrong or a box has no area.
    """
    boxes = check_array("boxes_px", boxes_px, shape=(None, 4))
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError(
            f"boxes_px must be (top, left, bottom, right) with an area, got {boxes.tolist()}; check them."
        )
    mask = np.zeros(size_px, dtype=bool)
    for top, left, bottom, right in np.round(np.maximum(boxes, 0)).astype(int):
        mask[top:bottom, left:right] = True
    return mask


def sample_masks(masks: ArrayLike, fix_x: ArrayLike, fix_y: ArrayLike) -> NDArray[np.bool_]:
    """Masks at the resolution of a grid of fixations.

    Parameters
    ----------
    masks : array of shape (n, height, width)
        True on the thing; of the square image that is fixated.
    fix_x, fix_y : array of shape (columns,) and (rows,)
        Evenly spaced points in [-1, 1].

    Returns
    -------
    array of bool of shape (n, rows, columns)
        Whether the mask covers half of the cell around each point or more. A cell is as wide as the distance
        between points and is cut off at the image's edges.

    Raises
    ------
    ValueError
        If shapes are wrong or points lie outside.

    Notes
    -----
    The paper resizes the mask to the grid's size, which assumes that the grid fills the image.
    """
    values = check_array("masks", masks, ndim=3, dtype=np.float64)
    lines = [
        check_array(name, line, ndim=1, minimum=-1, maximum=1, dtype=np.float64)
        for name, line in (("fix_y", fix_y), ("fix_x", fix_x))
    ]
    rows, columns = (_make_cells(line, n) for line, n in zip(lines, values.shape[1:], strict=True))
    # The tolerance keeps exact halves from falling out by rounding.
    return np.einsum("rh,nhw,cw->nrc", rows, values, columns, optimize=True) >= 0.5 - 1e-9


def _make_cells(points: NDArray[np.float64], n_px: int) -> NDArray[np.float64]:
    """Share of every pixel in the mean over the cell of every point, shape (points, n_px)."""
    half = (points[1] - points[0]) / 2 if len(points) > 1 else 1.0
    low = np.clip((points - half + 1) / 2 * n_px, 0, n_px)[:, None]
    high = np.clip((points + half + 1) / 2 * n_px, 0, n_px)[:, None]
    edge = np.arange(n_px)
    covered = np.clip(np.minimum(high, edge + 1) - np.maximum(low, edge), 0, None)
    return covered / covered.sum(axis=1, keepdims=True)


def compute_iou_curve(
    maps: ArrayLike, masks: ArrayLike, *, thresholds: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Intersection over union of the places above a threshold with the mask.

    Parameters
    ----------
    maps : array of shape (n, rows, columns)
    masks : array of bool of the same shape
        At least one place of each is true.
    thresholds : array of shape (m,), optional
        36 values from 0 to 1 by default.

    Returns
    -------
    array of shape (n, m)

    Raises
    ------
    ValueError
        If shapes disagree or a mask is empty.
    """
    values, inside = _check_pair(maps, masks)
    levels = np.linspace(0, 1, N_THRESHOLDS) if thresholds is None else np.asarray(thresholds, dtype=float)
    above = values[:, None] > check_array("thresholds", levels, ndim=1)[:, None, None]
    both = (above & inside[:, None]).sum(axis=(2, 3))
    return both / (above | inside[:, None]).sum(axis=(2, 3))


def compute_pointing(maps: ArrayLike, masks: ArrayLike) -> NDArray[np.float64]:
    """Pointing game: whether the largest value lies on the mask.

    Parameters
    ----------
    maps : array of shape (n, rows, columns)
    masks : array of bool of the same shape

    Returns
    -------
    array of shape (n,)
        1 or 0; the share of hits among equal maxima, so that a constant map scores the mask's share of the
        grid: chance.

    Raises
    ------
    ValueError
        If shapes disagree or a mask is empty.
    """
    values, inside = _check_pair(maps, masks)
    largest = values == values.max(axis=(1, 2), keepdims=True)
    return (largest & inside).sum(axis=(1, 2)) / largest.sum(axis=(1, 2))


def compute_energy_ratio(maps: ArrayLike, masks: ArrayLike) -> NDArray[np.float64]:
    """Mean value on the mask over the mean value off it; 1 is chance.

    Parameters
    ----------
    maps : array of shape (n, rows, columns)
        Non-negative.
    masks : array of bool of the same shape
        Neither empty nor everywhere.

    Returns
    -------
    array of shape (n,)
        Infinite where nothing is off the mask; NaN for a map of zeros.

    Raises
    ------
    ValueError
        If shapes disagree, a value is negative, or a mask is empty or everywhere.
    """
    values, inside = _check_pair(maps, masks)
    if inside.all(axis=(1, 2)).any():
        raise ValueError("masks must leave a place free, got one that covers all; leave that image out.")
    check_array("maps", values, minimum=0, remedy="pass probabilities, or a rectified map")
    on, off = ((values * part).sum(axis=(1, 2)) / part.sum(axis=(1, 2)) for part in (inside, ~inside))
    with np.errstate(divide="ignore", invalid="ignore"):
        return on / off


def compute_box_distance(points: ArrayLike, boxes: ArrayLike) -> NDArray[np.float64]:
    """Distance of points from boxes, 0 inside.

    Parameters
    ----------
    points : array of shape (n, 2)
        (x, y) in any unit.
    boxes : array of shape (n, 4)
        (top, left, bottom, right) in the same unit.

    Returns
    -------
    array of shape (n,)

    Raises
    ------
    ValueError
        If shapes disagree.
    """
    at = check_array("points", points, shape=(None, 2), dtype=np.float64)
    box = check_array("boxes", boxes, shape=(len(at), 4), dtype=np.float64)
    low, high = box[:, [1, 0]], box[:, [3, 2]]
    return np.hypot(*np.maximum(np.maximum(low - at, at - high), 0).T)


def _check_pair(maps: ArrayLike, masks: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = check_array("maps", maps, ndim=3, dtype=np.float64)
    inside = check_array("masks", masks, shape=values.shape).astype(bool)
    if not inside.any(axis=(1, 2)).all():
        raise ValueError("masks must hold at least one place each, got an empty one; leave that image out.")
    return values, inside
