"""Drifting sinusoidal gratings and plaids in degrees, cycles per degree and hertz.

Luminance lies in [0, 1] with the mean grey at 0.5. Directions follow the field of view: 0 degrees moves
rightwards, 90 degrees upwards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, make_grid_dva


def make_grating(
    *,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    spatial_frequency_cpd: float,
    direction_deg: float,
    temporal_frequency_hz: float = 0.0,
    fps: float = 24.0,
    n_frames: int = 1,
    contrast: float = 1.0,
    phase_deg: float = 0.0,
    aperture_dva: float | None = None,
) -> NDArray[np.float64]:
    """Sinusoidal grating drifting along its wave vector.

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) of a frame [px] and [degrees].
    spatial_frequency_cpd : float
        Cycles per degree; at most the Nyquist limit of the display.
    direction_deg : float
        Direction of drift [degrees, 0 right, counter-clockwise]; the bars are orthogonal to it.
    temporal_frequency_hz : float
        Drift [Hz]; speed is ``temporal_frequency_hz / spatial_frequency_cpd`` degrees per second.
    fps : float
        Frames per second [Hz].
    n_frames : int
        Number of frames.
    contrast : float
        Michelson contrast, 0 to 1.
    phase_deg : float
        Phase at the screen centre in the first frame [degrees]; 0 puts a luminance peak there.
    aperture_dva : float, optional
        Diameter of a circular window with a raised-cosine edge of a tenth of it [degrees].

    Returns
    -------
    array of shape (n_frames, height, width)
        Luminance in [0, 1].

    Raises
    ------
    ValueError
        If the contrast is outside [0, 1] or a frequency is above the Nyquist limit.
    """
    check_array("contrast", contrast, ndim=0, minimum=0, maximum=1)
    _check_nyquist("spatial_frequency_cpd", spatial_frequency_cpd, size_px[0] / size_dva[0], "larger size_px")
    if n_frames > 1:
        _check_nyquist("temporal_frequency_hz", temporal_frequency_hz, fps, "higher fps")
    x, y = make_grid_dva(size_px, size_dva)
    angle = np.deg2rad(direction_deg)
    distance = x * np.cos(angle) + y * np.sin(angle)
    seconds = np.arange(n_frames)[:, None, None] / fps
    cycles = spatial_frequency_cpd * distance - temporal_frequency_hz * seconds
    wave = np.cos(2 * np.pi * cycles + np.deg2rad(phase_deg))
    if aperture_dva is not None:
        wave = wave * make_aperture(size_px, size_dva, diameter_dva=aperture_dva)
    return 0.5 + 0.5 * contrast * wave


def make_plaid(
    *,
    directions_deg: tuple[float, float],
    contrast: float = 1.0,
    **grating: float | int | tuple[int, int] | tuple[float, float] | None,
) -> NDArray[np.float64]:
    """Sum of two gratings of half the contrast each.

    Parameters
    ----------
    directions_deg : tuple of float
        Drift direction of each component [degrees].
    contrast : float
        Contrast of the whole plaid, 0 to 1.
    **grating
        Further arguments of :func:`make_grating`, shared by both components.

    Returns
    -------
    array of shape (n_frames, height, width)
        Luminance in [0, 1]. With equal frequencies the pattern moves in the mean direction at
        ``speed / cos(half the angle between the components)`` (Adelson and Movshon 1982).
    """
    first, second = (
        make_grating(direction_deg=direction, contrast=contrast, **grating)  # type: ignore[arg-type]  # checked there
        for direction in directions_deg
    )
    return 0.5 * (first + second)


def make_aperture(
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    *,
    diameter_dva: float,
    centre_dva: tuple[float, float] = (0.0, 0.0),
    edge: float = 0.1,
) -> NDArray[np.float64]:
    """Circular window, 1 inside and 0 outside, with a raised-cosine edge.

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    diameter_dva : float
        Outer diameter [degrees].
    centre_dva : tuple of float
        (x, y) of the centre from the screen centre, y up [degrees].
    edge : float
        Share of the radius over which the window falls off, 0 (hard) to 1.
    """
    check_array("diameter_dva", diameter_dva, ndim=0, minimum=1e-6, remedy="pass the size in degrees")
    x, y = make_grid_dva(size_px, size_dva)
    radius = np.hypot(x - centre_dva[0], y - centre_dva[1]) / (diameter_dva / 2)
    if edge == 0:
        return (radius <= 1).astype(float)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - 1 + edge) / edge, 0, 1))


def _check_nyquist(parameter: str, frequency: float, rate: float, remedy: str) -> None:
    if frequency > rate / 2:
        raise ValueError(
            f"{parameter} must be at most the Nyquist limit {rate / 2:.3g} of this display, got {frequency}; "
            f"lower it or choose a {remedy}."
        )
