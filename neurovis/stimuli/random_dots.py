"""Random-dot kinematograms with coherence, lifetime and density in physical units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, compute_px_per_dva, make_rng


def make_random_dots(
    *,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    fps: float,
    n_frames: int,
    direction_deg: float,
    speed_dps: float,
    coherence: float,
    seed: int,
    density_per_dva2: float = 2.0,
    dot_dva: float = 0.15,
    lifetime_frames: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """White dots on black, a share of which moves in one direction.

    Every dot is signal or noise for its whole life (Britten et al. 1992 redraw the set each frame; with
    ``lifetime_frames=1`` that is what happens here). Signal dots move by ``speed_dps / fps``; noise dots move
    as far in random directions. Dots that leave re-enter on the opposite side.

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    fps : float
        Frames per second [Hz].
    n_frames : int
        Number of frames.
    direction_deg : float
        Direction of the signal dots [degrees, 0 right, counter-clockwise].
    speed_dps : float
        Speed of all dots [degrees per second].
    coherence : float
        Probability that a dot is signal, 0 to 1.
    seed : int
        Decides positions, directions and lifetimes.
    density_per_dva2 : float
        Dots per square degree.
    dot_dva : float
        Dot diameter [degrees].
    lifetime_frames : int, optional
        Frames after which a dot is redrawn elsewhere; unlimited by default.

    Returns
    -------
    frames : array of shape (n_frames, height, width)
        Luminance in [0, 1]; dots are antialiased discs.
    positions : array of shape (n_frames, n_dots, 2)
        (x, y) from the screen centre, y up [degrees].

    Raises
    ------
    ValueError
        If coherence is outside [0, 1] or a count is not positive.
    """
    check_array("coherence", coherence, ndim=0, minimum=0, maximum=1)
    check_array("n_frames", n_frames, ndim=0, minimum=1)
    if lifetime_frames is not None:
        check_array("lifetime_frames", lifetime_frames, ndim=0, minimum=1)
    px_per_dva = compute_px_per_dva(size_px, size_dva)
    rng = make_rng(seed, "random_dots")
    extent = np.array([size_dva[1], size_dva[0]])
    n_dots = max(1, round(density_per_dva2 * extent.prod()))
    place = rng.random((n_dots, 2)) * extent - extent / 2
    age = rng.integers(0, lifetime_frames, n_dots) if lifetime_frames else np.zeros(n_dots, dtype=int)
    velocity = _draw_velocity(rng, n_dots, direction_deg, speed_dps / fps, coherence)
    frames = np.empty((n_frames, *size_px))
    positions = np.empty((n_frames, n_dots, 2))
    for frame in range(n_frames):
        positions[frame] = place
        frames[frame] = _draw_dots(place, size_px, extent, px_per_dva, dot_dva)
        place = (place + velocity + extent / 2) % extent - extent / 2
        age += 1
        if lifetime_frames:
            dead = age >= lifetime_frames
            place[dead] = rng.random((dead.sum(), 2)) * extent - extent / 2
            velocity[dead] = _draw_velocity(rng, int(dead.sum()), direction_deg, speed_dps / fps, coherence)
            age[dead] = 0
    return frames, positions


def _draw_velocity(
    rng: np.random.Generator, n_dots: int, direction_deg: float, step_dva: float, coherence: float
) -> NDArray[np.float64]:
    signal = rng.random(n_dots) < coherence
    angle = np.where(signal, np.deg2rad(direction_deg), rng.uniform(0, 2 * np.pi, n_dots))
    return step_dva * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _draw_dots(
    place: NDArray, size_px: tuple[int, int], extent: NDArray, px_per_dva: float, dot_dva: float
) -> NDArray[np.float64]:
    """Only the pixels around each dot are touched; overlapping dots do not add up."""
    height, width = size_px
    frame = np.zeros(size_px)
    column = (place[:, 0] + extent[0] / 2) * px_per_dva - 0.5
    row = (extent[1] / 2 - place[:, 1]) * px_per_dva - 0.5
    radius = dot_dva * px_per_dva / 2
    reach = int(np.ceil(radius)) + 1
    offsets = np.arange(-reach, reach + 1)
    rows = np.round(row).astype(int)[:, None, None] + offsets[:, None]
    columns = np.round(column).astype(int)[:, None, None] + offsets[None, :]
    distance = np.hypot(rows - row[:, None, None], columns - column[:, None, None])
    cover = np.clip(radius + 0.5 - distance, 0, 1)
    rows, columns = np.broadcast_arrays(rows, columns)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    np.maximum.at(frame, (rows[inside], columns[inside]), cover[inside])
    return frame
