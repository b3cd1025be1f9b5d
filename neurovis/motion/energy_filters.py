"""The filters of the motion-energy pyramid of Nishimoto et al. (Current Biology 2011), as in pymoten 0.1.3.

Every filter is a Gabor in space and time. Its isotropic envelope makes the spatial Gabor a sum of products of
profiles along x and along y, which :mod:`neurovis.motion.energy` uses.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_array

SPATIAL_FREQUENCIES_CPI = (0.0, 2.0, 4.0, 8.0, 16.0)
TEMPORAL_FREQUENCIES_HZ = (0.0, 2.0, 4.0)
DIRECTIONS_DEG = (0.0, 45.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0)

_CYCLES_PER_SD = 0.6  # spatial envelope sd = 0.6 / spatial frequency [image heights]
_LARGEST_SPATIAL_SD = 0.3  # [image heights]
SPACING_SD = 3.5
"""Distance of neighbouring centres [envelope sd]."""

_TEMPORAL_CYCLES_PER_SD = 10.0
_LARGEST_TEMPORAL_SD = 0.3  # [temporal windows]


def compute_window_frames(fps: float) -> int:
    """Frames of the temporal window: two thirds of a second, rounded down."""
    return int(fps * (2 / 3.0))


def make_filter_table(
    size_px: tuple[int, int],
    *,
    spatial_frequencies_cpi: Sequence[float] = SPATIAL_FREQUENCIES_CPI,
    temporal_frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ,
    directions_deg: Sequence[float] = DIRECTIONS_DEG,
    size_dva: tuple[float, float] | None = None,
    spacing_sd: float = SPACING_SD,
) -> pd.DataFrame:
    """One row per filter, in pymoten's order.

    Parameters
    ----------
    size_px : (int, int)
        Height and width of the frames [px].
    spatial_frequencies_cpi : sequence of float
        [cycles per image height]; 0 adds flicker detectors at every place, without a direction.
    temporal_frequencies_hz : sequence of float
        [Hz]; at 0 a filter has an orientation and no direction, so only the first half circle is kept.
    directions_deg : sequence of float
        Labels of pymoten [degrees]; see Notes.
    size_dva : (float, float), optional
        Height and width on the screen [degrees of visual angle], of square pixels; adds the columns in
        degrees.
    spacing_sd : float
        Distance of neighbouring centres [envelope sd]; pymoten's leaves gaps, 1.5 covers the frame evenly.

    Returns
    -------
    pandas.DataFrame
        ``spatial_frequency_cpi``, ``temporal_frequency_hz``, ``x`` and ``y`` of the centre [image heights
        from the left and from the top], ``spatial_sd`` [image heights], ``temporal_sd`` [windows],
        ``pymoten_direction_deg`` and ``direction_deg``: the direction of motion that drives the filter best,
        0 is rightward and angles go counter-clockwise; NaN without a direction. With ``size_dva`` also
        ``spatial_frequency_cpd``, ``x_dva``, ``y_dva`` (from the centre, up is positive), ``spatial_sd_dva``
        and ``speed_dva_s``.

    Raises
    ------
    ValueError
        If ``size_dva`` is not positive or has another aspect than the frames.

    Notes
    -----
    pymoten's labels are mirrored: its filter of direction 180 answers to rightward motion, because the stored
    filter is applied as an impulse response. ``direction_deg`` is the label plus 180 degrees.
    """
    aspect = size_px[1] / float(size_px[0])
    if size_dva is not None:
        check_square_pixels(size_px, size_dva)
    with_flicker = 0 in spatial_frequencies_cpi
    rows = []
    frequencies = [frequency for frequency in spatial_frequencies_cpi if frequency != 0]
    for frequency, label in itertools.product(frequencies, directions_deg):
        sd = min(_CYCLES_PER_SD / frequency, _LARGEST_SPATIAL_SD)
        for x, y in itertools.product(
            _place_centres(aspect, sd * spacing_sd), _place_centres(1.0, sd * spacing_sd)
        ):
            for temporal in temporal_frequencies_hz:
                if temporal == 0 and label >= 180:
                    continue
                temporal_sd = min(
                    np.inf if temporal == 0 else _TEMPORAL_CYCLES_PER_SD / temporal, _LARGEST_TEMPORAL_SD
                )
                moving = np.nan if temporal == 0 else (label + 180.0) % 360.0
                rows.append((frequency, temporal, x, y, sd, temporal_sd, label, moving))
                if label == 0 and with_flicker:
                    rows.append((0.0, temporal, x, y, sd, temporal_sd, label, np.nan))
    columns = [
        "spatial_frequency_cpi", "temporal_frequency_hz", "x", "y", "spatial_sd", "temporal_sd",
        "pymoten_direction_deg", "direction_deg",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    if size_dva is None:
        return table
    height = size_dva[0]
    cpd = table["spatial_frequency_cpi"] / height
    return table.assign(
        spatial_frequency_cpd=cpd,
        x_dva=(table["x"] - aspect / 2) * height,
        y_dva=(0.5 - table["y"]) * height,
        spatial_sd_dva=table["spatial_sd"] * height,
        speed_dva_s=np.divide(
            table["temporal_frequency_hz"], cpd, out=np.full(len(table), np.nan), where=cpd > 0
        ),
    )


def check_square_pixels(size_px: tuple[int, int], size_dva: tuple[float, float]) -> None:
    """Raise a ValueError if the size on the screen (height, width) does not fit square pixels."""
    height, width = check_array("size_dva", size_dva, shape=(2,), minimum=1e-6, dtype=float)
    rows, columns = size_px
    # Resampled frames are rounded to whole pixels.
    if abs(rows * width / height - columns) > max(1.0, 0.01 * columns):
        swapped = abs(rows * height / width - columns) <= max(1.0, 0.01 * columns)
        remedy = "height and width are swapped" if swapped else "check the size on the screen"
        raise ValueError(
            f"size_dva must be (height, width) of square pixels like size_px {tuple(size_px)}, got "
            f"{tuple(size_dva)}; {remedy}."
        )


def make_profiles(
    n_px: int, extent: float, centres: NDArray[np.float64], sd: float, frequencies: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine and sine profiles under the envelope along one axis.

    Parameters
    ----------
    n_px : int
        Pixels; the first lies at 0, the last at ``extent``.
    extent, centres, sd : float, array of shape (n_centres,), float
        [image heights].
    frequencies : array of shape (n_frequencies,)
        [cycles per image height], at least 0.

    Returns
    -------
    cosine, sine : array of shape (n_px, n_frequencies, n_centres)
    """
    distance = np.linspace(0, extent, n_px)[:, None, None] - centres
    envelope = np.exp(-(distance**2) / (2 * sd**2))
    phase = 2 * np.pi * frequencies[:, None] * distance
    return envelope * np.cos(phase), envelope * np.sin(phase)


def make_temporal_kernels(
    n_frames: int, fps: float, frequency_hz: float, sd: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine and sine kernels (n_frames,) of one temporal frequency; the window leaves out its end point."""
    time = np.arange(n_frames) / n_frames - 0.5
    envelope = np.exp(-(time**2) / (2 * sd**2))
    phase = 2 * np.pi * frequency_hz * (n_frames / fps) * time
    return envelope * np.cos(phase), envelope * np.sin(phase)


def _place_centres(extent: float, step: float) -> NDArray[np.float64]:
    n_each_side = max(np.floor((extent - step) / step / 2.0), 0)
    return step * np.arange(-n_each_side, n_each_side + 1) + extent / 2.0
