"""Items of the classic search-asymmetry experiments, in degrees, as coverages of square patches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array
from neurovis.stimuli.search_arrays import make_bar_item

N_GREY_STEPS = 16


def make_padded_bar(
    *, length_dva: float, width_dva: float, orientation_deg: float, patch_dva: float, px_per_dva: float
) -> NDArray[np.float64]:
    """A bar in the middle of a larger patch.

    Parameters
    ----------
    length_dva, width_dva, patch_dva : float
        Bar and side of the patch [degrees].
    orientation_deg : float
        From horizontal, counter-clockwise [degrees].
    px_per_dva : float
        Pixels per degree.

    Returns
    -------
    array of shape (side, side)
        1 on the bar, 0 off it, antialiased.
    """
    side = compute_side(patch_dva, px_per_dva)
    bar = make_bar_item(
        size_dva=length_dva, px_per_dva=px_per_dva, orientation_deg=orientation_deg,
        thickness=width_dva / length_dva,
    )  # fmt: skip
    room = side - len(bar)
    if room < 0:
        raise ValueError(
            f"patch_dva must hold the bar of {length_dva} degrees, got {patch_dva}; pass a larger patch."
        )
    return np.pad(bar, (room // 2, room - room // 2))


def make_stroke_item(
    strokes: Sequence[tuple[float, float, float, float]], *, patch_dva: float, px_per_dva: float
) -> NDArray[np.float64]:
    """Upright rectangles, of which letters and crosses are made.

    Parameters
    ----------
    strokes : sequence of (top, left, bottom, right)
        Edges from the patch's top left corner [degrees].
    patch_dva, px_per_dva : float
        Side of the patch [degrees] and pixels per degree.

    Returns
    -------
    array of shape (side, side)
        Share of each pixel that a stroke covers, 0 to 1.
    """
    side = compute_side(patch_dva, px_per_dva)
    edges = np.arange(side)
    item = np.zeros((side, side))
    for top, left, bottom, right in np.asarray(strokes, dtype=float) * px_per_dva:
        down = np.clip(np.minimum(edges + 1, bottom) - np.maximum(edges, top), 0, 1)
        across = np.clip(np.minimum(edges + 1, right) - np.maximum(edges, left), 0, 1)
        item = np.maximum(item, down[:, None] * across)
    return item


def make_arc_item(
    *,
    radius_dva: float,
    angle_rad: float,
    width_dva: float,
    turn_deg: float,
    patch_dva: float,
    px_per_dva: float,
) -> NDArray[np.float64]:
    """An arc whose middle in height lies in the middle of the patch.

    Parameters
    ----------
    radius_dva, width_dva : float
        Radius of the circle and width of the stroke [degrees].
    angle_rad : float
        Angle that the arc spans [rad].
    turn_deg : float
        Rotation of the patch, counter-clockwise [degrees]; without it the arc opens upwards.
    patch_dva, px_per_dva : float
        Side of the patch [degrees] and pixels per degree.

    Returns
    -------
    array of shape (side, side)
        1 on the arc, 0 off it, antialiased.
    """
    side = compute_side(patch_dva, px_per_dva)
    place = ((np.arange(side) + 0.5) - side / 2) / px_per_dva
    x, y = np.meshgrid(place, -place)
    turn = np.deg2rad(turn_deg)
    x, y = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    # From the circle's centre, which lies above: the arc's height is centred on the patch.
    y = y - radius_dva * (1 + np.cos(angle_rad / 2)) / 2
    off_circle = np.abs(np.hypot(x, y) - radius_dva)
    beyond_end = radius_dva * np.clip(np.abs(np.arctan2(x, -y)) - angle_rad / 2, 0, None)
    return np.clip((width_dva / 2 - np.hypot(off_circle, beyond_end)) * px_per_dva + 0.5, 0, 1)


def make_shaded_disc(
    *, diameter_dva: float, light: str, background: float, px_per_dva: float
) -> NDArray[np.float64]:
    """A disc with a ramp from black to white in 16 steps: it looks like a bump or a dent lit from one side.

    Parameters
    ----------
    diameter_dva, px_per_dva : float
        Diameter [degrees] and pixels per degree; the patch is as large.
    light : {"top", "bottom", "left", "right"}
        The white side.
    background : float
        Luminance around the disc, 0 to 1.

    Returns
    -------
    array of shape (side, side)
        Luminance, 0 to 1 (not a coverage).
    """
    turns = {"top": 0, "left": 1, "bottom": 2, "right": 3}
    if light not in turns:
        raise ValueError(f"light must be 'top', 'bottom', 'left' or 'right', got {light!r}.")
    side = compute_side(diameter_dva, px_per_dva)
    steps = np.floor(N_GREY_STEPS * (np.arange(side)[::-1] + 0.5) / side) / (N_GREY_STEPS - 1)
    ramp = np.rot90(np.repeat(steps[:, None], side, axis=1), turns[light])
    place = np.arange(side) + 0.5 - side / 2
    cover = np.clip(side / 2 - np.hypot(place[:, None], place) + 0.5, 0, 1)
    return background + cover * (ramp - background)


def compute_side(size_dva: float, px_per_dva: float) -> int:
    """Whole pixels within a size in degrees."""
    check_array("size_dva", size_dva, ndim=0, minimum=4 / px_per_dva, remedy="4 px are the least")
    # What is left of rounding must not cost a pixel: 2.3 * 30 is 69.
    return int(size_dva * px_per_dva + 1e-6)
