"""Responses to the velocities of an object and of the camera: the ground truth of decoding optical flow.

A clip is a grid of cells in which one square object moves with a velocity of its own before a background that
moves with the camera. Voxels know velocities only; features of the first frame know the place of the object
only. Neither alone gives the flow inside the object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, make_rng

OBJECT_SD, CAMERA_SD = 3.0, 1.0
"""Standard deviation of each component of the velocities [cells per step]."""

_PREFERRED_SPEED = 3.0
_FEATURE_NOISE = 0.3
_TUNED_SD = np.array([0.3794, 0.2109])
"""Standard deviation of tuned responses to the object and to the camera, by integration over velocities."""


@dataclass(frozen=True)
class FlowClips:
    """Clips with responses.

    Parameters
    ----------
    brain : array of shape (n, n_voxels)
        Responses, float32.
    frame : array of shape (n, n_channels, grid, grid)
        Features of the first frame, float32.
    flow : array of shape (n, 1, grid, grid, 2)
        [cells per step], x right, y down; one step.
    mask : bool array of shape (n, grid, grid)
        The object.
    velocity : array of shape (n, 4)
        Of the object and of the camera, (x, y) each.
    """

    brain: NDArray[np.float32]
    frame: NDArray[np.float32]
    flow: NDArray[np.float32]
    mask: NDArray[np.bool_]
    velocity: NDArray[np.float32]


def simulate_flow_clips(
    n_clips: int,
    *,
    seed: int,
    part: str = "train",
    grid: int = 8,
    object_size: int = 3,
    n_channels: int = 6,
    n_voxels: int = 400,
    snr: float = 0.2,
) -> FlowClips:
    """Draw clips and the responses of one simulated brain to them.

    Parameters
    ----------
    n_clips : int
        Number of clips.
    seed : int
        Of the brain and, with ``part``, of the clips.
    part : str
        Other parts of one seed show other clips to the same brain.
    grid, object_size : int
        Sides of the frame and of the object [cells].
    n_channels : int
        Of the frame's features.
    n_voxels : int
        Half of them are tuned to a direction of the object or the camera like a cosine and grow with speed up
        to a limit; the others are linear in all four velocities.
    snr : float
        Variance of the signal over that of the noise in each voxel.

    Returns
    -------
    FlowClips

    Raises
    ------
    ValueError
        If a number is not positive or the object is larger than the frame.
    """
    for name, value in (("n_clips", n_clips), ("n_channels", n_channels), ("n_voxels", n_voxels)):
        check_array(name, value, ndim=0, minimum=1)
    check_array("snr", snr, ndim=0, minimum=1e-9, remedy="pass a positive ratio")
    if not 1 <= object_size <= grid:
        raise ValueError(f"object_size must lie between 1 and grid, got {object_size} of {grid}.")
    brain = make_rng(seed, "flow", "brain")
    preferred = brain.uniform(0, 2 * np.pi, n_voxels)
    mover = brain.integers(2, size=n_voxels)
    weights = brain.standard_normal((4, n_voxels)) / np.repeat([OBJECT_SD, CAMERA_SD], 2)[:, None]
    look = brain.standard_normal((2, n_channels))

    rng = make_rng(seed, "flow", part)
    velocity = rng.standard_normal((n_clips, 4)) * np.repeat([OBJECT_SD, CAMERA_SD], 2)
    corner = rng.integers(grid - object_size + 1, size=(n_clips, 2, 1))
    inside = (np.arange(grid) >= corner) & (np.arange(grid) < corner + object_size)
    mask = inside[:, 0, :, None] & inside[:, 1, None, :]
    flow = np.where(mask[..., None], velocity[:, None, None, :2], velocity[:, None, None, 2:])
    frame = np.moveaxis(look[mask.astype(int)], -1, 1)
    frame = frame + _FEATURE_NOISE * rng.standard_normal(frame.shape)

    pairs = velocity.reshape(n_clips, 2, 2)
    speed = np.hypot(*np.moveaxis(pairs, -1, 0))
    angle = np.arctan2(-pairs[..., 1], pairs[..., 0])  # counter-clockwise from right
    tuned = (speed / (speed + _PREFERRED_SPEED))[:, mover] * np.cos(angle[:, mover] - preferred)
    linear = (
        velocity
        @ weights
        / np.sqrt(((weights * np.repeat([OBJECT_SD, CAMERA_SD], 2)[:, None]) ** 2).sum(axis=0))
    )
    signal = np.where(np.arange(n_voxels) < n_voxels // 2, tuned / _TUNED_SD[mover], linear)
    noise = rng.standard_normal(signal.shape) / np.sqrt(snr)
    return FlowClips(
        (signal + noise).astype(np.float32), frame.astype(np.float32), flow[:, None].astype(np.float32), mask,
        velocity.astype(np.float32),
    )  # fmt: skip
