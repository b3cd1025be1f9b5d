"""Mapping stimuli for population receptive fields: sweeping bars, rotating wedges, expanding rings.

Apertures are what a pRF model needs; :func:`make_checkerboard` fills them for the screen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, make_grid_dva


def make_bar_apertures(
    *,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    directions_deg: Sequence[float],
    width_dva: float,
    n_steps: int,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Bars that sweep the screen once in each direction, after Dumoulin and Wandell (2008).

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    directions_deg : sequence of float
        Direction of each sweep [degrees, 0 right, counter-clockwise]; NaN stands for a blank sweep.
    width_dva : float
        Width of the bar along the sweep [degrees].
    n_steps : int
        Positions of a sweep; the first and the last lie just outside the screen's half extent.

    Returns
    -------
    apertures : bool array of shape (n_sweeps * n_steps, height, width)
        True where the bar is.
    positions : array of shape (n_sweeps * n_steps, 2)
        (direction [degrees], signed distance of the bar's centre from the screen centre [degrees]); NaN when
        blank.
    """
    check_array("width_dva", width_dva, ndim=0, minimum=1e-6)
    check_array("n_steps", n_steps, ndim=0, minimum=2)
    x, y = make_grid_dva(size_px, size_dva)
    reach = max(size_dva) / 2 + width_dva / 2
    centres = np.linspace(-reach, reach, n_steps)
    apertures = np.zeros((len(directions_deg), n_steps, *size_px), dtype=bool)
    positions = np.full((len(directions_deg), n_steps, 2), np.nan)
    for sweep, direction in enumerate(directions_deg):
        if np.isnan(direction):
            continue
        angle = np.deg2rad(direction)
        distance = x * np.cos(angle) + y * np.sin(angle)
        apertures[sweep] = np.abs(distance - centres[:, None, None]) <= width_dva / 2
        positions[sweep] = np.stack([np.full(n_steps, direction), centres], axis=1)
    return apertures.reshape(-1, *size_px), positions.reshape(-1, 2)


def make_wedge_apertures(
    *,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    width_deg: float,
    n_steps: int,
    clockwise: bool = False,
    start_deg: float = 0.0,
) -> NDArray[np.bool_]:
    """One rotation of a wedge around the screen centre.

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    width_deg : float
        Angular width of the wedge [degrees of polar angle].
    n_steps : int
        Positions of a rotation.
    clockwise : bool
        Direction of rotation on the screen.
    start_deg : float
        Polar angle of the wedge's centre in the first frame [degrees, 0 right, counter-clockwise].

    Returns
    -------
    bool array of shape (n_steps, height, width)
    """
    check_array("width_deg", width_deg, ndim=0, minimum=1e-6, maximum=360)
    x, y = make_grid_dva(size_px, size_dva)
    polar = np.rad2deg(np.arctan2(y, x))
    turn = -360 if clockwise else 360
    centres = start_deg + turn * np.arange(n_steps)[:, None, None] / n_steps
    apart = (polar - centres + 180) % 360 - 180
    return np.abs(apart) <= width_deg / 2


def make_ring_apertures(
    *,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    n_steps: int,
    duty: float = 0.25,
    minimum_dva: float = 0.25,
    contracting: bool = False,
) -> NDArray[np.bool_]:
    """One expansion of a ring whose width grows with eccentricity (logarithmic steps).

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    n_steps : int
        Positions of an expansion.
    duty : float
        Share of the logarithmic eccentricity range that the ring covers at a time, 0 to 1.
    minimum_dva : float
        Innermost eccentricity [degrees].
    contracting : bool
        Run inwards instead.

    Returns
    -------
    bool array of shape (n_steps, height, width)
        Rings wrap around: the outermost one re-enters at the centre.
    """
    check_array("duty", duty, ndim=0, minimum=1e-6, maximum=1)
    check_array("minimum_dva", minimum_dva, ndim=0, minimum=1e-6, maximum=max(size_dva) / 2)
    x, y = make_grid_dva(size_px, size_dva)
    eccentricity = np.hypot(x, y)
    limit = min(size_dva) / 2
    depth = np.log(np.maximum(eccentricity, minimum_dva) / minimum_dva) / np.log(limit / minimum_dva)
    steps = np.arange(n_steps)[:, None, None] / n_steps
    if contracting:
        steps = 1 - steps
    return ((depth - steps) % 1 < duty) & (eccentricity <= limit) & (depth < 1)


def make_checkerboard(
    *, size_px: tuple[int, int], size_dva: tuple[float, float], check_dva: float, polarity: int = 1
) -> NDArray[np.float64]:
    """Black-and-white checkerboard, the usual carrier inside an aperture.

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    check_dva : float
        Side of a check [degrees].
    polarity : {1, -1}
        Reversing it flickers the board.

    Returns
    -------
    array of shape (height, width)
        Luminance 0 or 1.
    """
    check_array("check_dva", check_dva, ndim=0, minimum=1e-6)
    x, y = make_grid_dva(size_px, size_dva)
    parity = (np.floor(x / check_dva) + np.floor(y / check_dva)) % 2
    return parity if polarity > 0 else 1 - parity
