"""Movies that probe motion-sensitive units: gratings, plaids and the classic illusions.

Frequencies are in the units of the display, cycles per pixel and cycles per frame, which is what a model of
pixels knows; :func:`convert_frequencies` comes from degrees and hertz. Luminance lies in [0, 1] with the mean
grey at 0.5, directions are degrees, 0 right and counter-clockwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, compute_px_per_dva, make_grid_dva
from neurovis.stimuli.gratings import make_grating

_GREY = 0.5


def convert_frequencies(
    *,
    spatial_frequency_cpd: ArrayLike,
    temporal_frequency_hz: ArrayLike,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    fps: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cycles per degree and hertz on a display, in cycles per pixel and cycles per frame.

    Parameters
    ----------
    spatial_frequency_cpd, temporal_frequency_hz : float or array
        [cycles per degree of visual angle] and [Hz].
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    fps : float
        Frames per second [Hz].

    Returns
    -------
    spatial_frequency_cpp, temporal_frequency_cpf : array
        [cycles per px] and [cycles per frame].

    Raises
    ------
    ValueError
        If the pixels are not square or ``fps`` is not positive.
    """
    check_array("fps", fps, ndim=0, minimum=1e-6, remedy="pass frames per second")
    spatial = check_array("spatial_frequency_cpd", spatial_frequency_cpd, dtype=float)
    temporal = check_array("temporal_frequency_hz", temporal_frequency_hz, dtype=float)
    return spatial / compute_px_per_dva(size_px, size_dva), temporal / fps


def make_drifting_grating(
    *,
    size_px: tuple[int, int],
    n_frames: int,
    direction_deg: float,
    spatial_frequency_cpp: float,
    temporal_frequency_cpf: float,
    contrast: float = 1.0,
    phase_deg: float = 0.0,
) -> NDArray[np.float32]:
    """Sinusoidal grating that drifts along its wave vector.

    Parameters
    ----------
    size_px : tuple of int
        (height, width) [px].
    n_frames : int
        Number of frames.
    direction_deg : float
        Direction of drift [degrees].
    spatial_frequency_cpp : float
        [cycles per px], at most 0.5.
    temporal_frequency_cpf : float
        [cycles per frame], at most 0.5; speed is their ratio [px per frame].
    contrast : float
        Michelson contrast, 0 to 1.
    phase_deg : float
        Phase at the centre of the first frame [degrees].

    Returns
    -------
    array of shape (n_frames, height, width)

    Raises
    ------
    ValueError
        If the contrast or a frequency is out of range.
    """
    # One pixel per degree and one frame per second make the units of the display those of the field.
    movie = make_grating(
        size_px=size_px,
        size_dva=(float(size_px[0]), float(size_px[1])),
        spatial_frequency_cpd=spatial_frequency_cpp,
        direction_deg=direction_deg,
        temporal_frequency_hz=temporal_frequency_cpf,
        fps=1.0,
        n_frames=n_frames,
        contrast=contrast,
        phase_deg=phase_deg,
    )
    return movie.astype(np.float32)


def make_drifting_plaid(
    *, direction_deg: float, half_angle_deg: float = 60.0, contrast: float = 1.0, **grating: object
) -> NDArray[np.float32]:
    """Sum of two gratings on both sides of a direction, each of half the contrast.

    Parameters
    ----------
    direction_deg : float
        Direction in which the pattern moves [degrees].
    half_angle_deg : float
        Angle between it and each component [degrees]; 0 gives the grating itself.
    contrast : float
        Of the whole plaid.
    **grating
        Further arguments of :func:`make_drifting_grating`, those of each component.

    Returns
    -------
    array of shape (n_frames, height, width)
        The pattern moves at the speed of a component over the cosine of the half angle (Adelson & Movshon,
        Nature 1982).
    """
    first, second = (
        make_drifting_grating(direction_deg=direction_deg + side, contrast=contrast, **grating)  # type: ignore[arg-type]  # checked there
        for side in (half_angle_deg, -half_angle_deg)
    )
    return 0.5 * (first + second)


def make_counterphase(
    *, direction_deg: float, contrast: float = 1.0, **grating: object
) -> NDArray[np.float32]:
    """Standing grating whose contrast reverses: equal motion in a direction and against it.

    Parameters
    ----------
    direction_deg, contrast, **grating
        As :func:`make_drifting_plaid`.

    Returns
    -------
    array of shape (n_frames, height, width)
    """
    return make_drifting_plaid(
        direction_deg=direction_deg + 90.0, half_angle_deg=90.0, contrast=contrast, **grating
    )


def make_reverse_phi(movie: ArrayLike) -> NDArray[np.float32]:
    """The same movie with the contrast of every other frame inverted (Anstis, Vision Research 1970).

    Parameters
    ----------
    movie : array of shape (n_frames, height, width)
        Luminance in [0, 1], mean grey 0.5.

    Returns
    -------
    array of shape (n_frames, height, width)
        A grating of temporal frequency w becomes one of ``w - 0.5`` cycles per frame: quarter-cycle steps
        reverse exactly.

    Raises
    ------
    ValueError
        If the movie has another shape or leaves [0, 1].
    """
    frames = check_array("movie", movie, ndim=3, minimum=0, maximum=1, dtype=np.float32).copy()
    frames[1::2] = 1 - frames[1::2]
    return frames


def make_missing_fundamental(
    *,
    size_px: tuple[int, int],
    n_frames: int,
    period_px: float,
    direction_deg: float = 0.0,
    step_cycles: float = 0.25,
    contrast: float = 0.8,
    fundamental: bool = False,
) -> NDArray[np.float32]:
    """Square-wave grating without its first harmonic, moved in jumps (Adelson & Bergen, JOSA A 1985).

    After a jump of a quarter cycle the strongest harmonic left, the third, has moved by three quarters,
    which is a quarter backwards.

    Parameters
    ----------
    size_px, n_frames, direction_deg
        As :func:`make_drifting_grating`.
    period_px : float
        Period of the square wave [px], at least 6, so that there is a third harmonic.
    step_cycles : float
        Jump per frame [cycles].
    contrast : float
        Of the flat parts of the whole square wave, 0 to 0.8: its edges overshoot by a sixth.
    fundamental : bool
        Keep the first harmonic: a plain square wave.

    Returns
    -------
    array of shape (n_frames, height, width)
        Sum of the odd harmonics that pixels can show, 4 / (pi k) each, with an edge at the centre of the
        first frame.

    Raises
    ------
    ValueError
        If the period is too short or the contrast is out of range.
    """
    check_array("contrast", contrast, ndim=0, minimum=0, maximum=0.8)
    check_array("period_px", period_px, ndim=0, minimum=6, remedy="the third harmonic needs two pixels")
    size = (float(size_px[0]), float(size_px[1]))
    x, y = make_grid_dva(size_px, size)
    angle = np.deg2rad(direction_deg)
    cycles = (x * np.cos(angle) + y * np.sin(angle)) / period_px
    moved = cycles - step_cycles * np.arange(n_frames)[:, None, None]
    harmonics = np.arange(1 if fundamental else 3, period_px / 2, 2)
    wave = sum(4 / (np.pi * k) * np.sin(2 * np.pi * k * moved) for k in harmonics)
    return (_GREY + _GREY * contrast * wave).astype(np.float32)


def make_barber_pole(
    *,
    size_px: tuple[int, int],
    aperture_px: tuple[int, int],
    **grating: object,
) -> NDArray[np.float32]:
    """Drifting grating behind a rectangle on grey; people see it move along the longer side.

    Parameters
    ----------
    size_px : tuple of int
        (height, width) of the frames [px].
    aperture_px : tuple of int
        (height, width) of the centred rectangle [px], of the same parity as ``size_px``.
    **grating
        Further arguments of :func:`make_drifting_grating`.

    Returns
    -------
    array of shape (n_frames, height, width)

    Raises
    ------
    ValueError
        If the aperture does not fit or cannot be centred.
    """
    margins = [(size - side) / 2 for size, side in zip(size_px, aperture_px, strict=True)]
    if min(margins) < 0 or min(aperture_px) < 1 or any(margin != int(margin) for margin in margins):
        raise ValueError(
            f"aperture_px must fit into {size_px} with equal margins, got {aperture_px}; make both sides "
            "even or both odd."
        )
    top, left = (int(margin) for margin in margins)
    movie = make_drifting_grating(size_px=size_px, **grating)  # type: ignore[arg-type]  # checked there
    behind = np.full_like(movie, _GREY)
    inside = (slice(None), slice(top, size_px[0] - top), slice(left, size_px[1] - left))
    behind[inside] = movie[inside]
    return behind
