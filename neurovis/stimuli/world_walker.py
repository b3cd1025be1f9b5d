"""A walking person as rigid limbs whose joint angles follow the phase of the step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.stimuli.textures import make_fractal_field
from neurovis.stimuli.world_canvas import (
    PLACE_OWNER,
    Canvas,
    Colour,
    Light,
    Pen,
    compute_supersample,
    smooth_outline,
)
from neurovis.stimuli.world_palette import HAIR, SKIN, add_article, darker, pick_colour

_OWNER = PLACE_OWNER + 1
# Lengths in units of half the person's height; the hip is the origin.
_SHOULDER = (0.0, -0.52)
_THIGH, _SHIN, _UPPER_ARM, _FOREARM = 0.44, 0.44, 0.3, 0.28
_SWING_DEG = 27.0

Part = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float64]]


def compute_gait(phase: ArrayLike, *, swing_deg: float = _SWING_DEG) -> dict[str, NDArray[np.float64]]:
    """Joint angles of a walker.

    Sinusoids with the amplitudes of normal walking: hip and shoulder in antiphase across the body, the
    knee bent while its leg swings forward, the elbow bent a little.

    Parameters
    ----------
    phase : array of shape (n,)
        Phase of the step cycle of the near leg [rad].
    swing_deg : float
        Amplitude of the hip [degrees].

    Returns
    -------
    dict
        ``thigh, shin, upper_arm, forearm``: angle from hanging down, positive forwards [degrees]; the
        far side is half a cycle apart.
    """
    phase = np.asarray(phase, dtype=float)
    thigh = swing_deg * np.sin(phase)
    knee = 8.0 + 46.0 * np.maximum(0.0, np.cos(phase)) ** 2
    upper_arm = -0.9 * swing_deg * np.sin(phase)
    return {
        "thigh": thigh,
        "shin": thigh - knee,
        "upper_arm": upper_arm,
        "forearm": upper_arm + 18.0 + 10.0 * np.sin(phase + np.pi),
    }


def make_walker(
    rng: np.random.Generator,
    light: Light,
    size_px: int,
    seconds: NDArray[np.float64],
    velocity_px: float,
) -> tuple[list[Part], str]:
    """Layers of a person who walks along x.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides looks, size, start and phase.
    light : Light
        Illumination.
    size_px : int
        Side of the frames [px].
    seconds : array of shape (n_frames,)
        Times of the frames.
    velocity_px : float
        Speed of the trunk, positive to the right [px / s].

    Returns
    -------
    parts : list of (pixels, alpha, poses)
        Painted limbs, back to front, with layer-to-frame maps (n_frames, 2, 3).
    phrase : str
        Words for the caption.
    """
    scale = float(rng.uniform(0.36, 0.45)) * size_px
    facing = 1.0 if velocity_px >= 0 else -1.0
    # One cycle is two steps: with this rate the standing foot hardly slides.
    stride_px = 4 * (_THIGH + _SHIN) * np.sin(np.deg2rad(_SWING_DEG)) * scale
    rate_hz = float(np.clip(abs(velocity_px) / stride_px, 0.5, 1.6))
    phase = 2 * np.pi * rate_hz * seconds + rng.uniform(0, 2 * np.pi)
    hip_x = size_px * (0.5 + rng.normal(0, 0.04)) + velocity_px * (seconds - seconds.mean())
    hip = np.stack([hip_x, size_px * 0.52 + 0.02 * scale * np.cos(2 * phase)], axis=1)
    _, skin = pick_colour(rng, palette=SKIN, spread=5)
    _, hair = pick_colour(rng, palette=HAIR, spread=7)
    shirt_name, shirt = pick_colour(rng)
    _, trousers = pick_colour(rng, ("blue", "black", "grey", "brown", "beige"))
    side = size_px * compute_supersample(size_px)
    grain = make_fractal_field(rng, side, slope=0.7, coarsest_cells=32)

    def add(draw: Callable[[Pen], None], joint: NDArray, angle_deg: NDArray) -> None:
        canvas = Canvas(size_px, light)
        draw(canvas.pen(_OWNER).at(0.5, 0.5, scale / size_px, mirror=facing < 0))
        pixels, owner = canvas.render(grain)
        poses = _place(joint, facing * angle_deg, size_px)
        parts.append((pixels, (owner == _OWNER).astype(np.float32), poses))

    parts: list[Part] = []
    shoulder = hip + scale * np.array(_SHOULDER)
    upright = np.zeros(len(hip))
    for name, cycle in (("far", phase + np.pi), ("near", phase)):
        gait = compute_gait(cycle)
        dim = 0.28 if name == "far" else 0.0
        sleeve, cloth, tone = darker(shirt, dim), darker(trousers, dim), darker(skin, dim)
        knee = hip + scale * _THIGH * _hang(facing * gait["thigh"])
        elbow = shoulder + scale * _UPPER_ARM * _hang(facing * gait["upper_arm"])
        add(partial(_paint_shin, cloth=cloth), knee, gait["shin"])
        add(partial(_paint_rod, length=_THIGH, widths=(0.23, 0.17), colour=cloth), hip, gait["thigh"])
        if name == "near":
            add(partial(_paint_trunk, skin=skin, hair=hair, shirt=shirt), hip, upright)
        add(partial(_paint_rod, length=_FOREARM, widths=(0.11, 0.09), colour=tone), elbow, gait["forearm"])
        add(
            partial(_paint_rod, length=_UPPER_ARM, widths=(0.15, 0.12), colour=sleeve),
            shoulder,
            gait["upper_arm"],
        )
    return parts, f"person in {add_article(shirt_name)} shirt walking"


def _hang(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors (n, 2) at an angle from hanging down, positive to the right."""
    angle = np.deg2rad(angle_deg)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _place(
    joint_px: NDArray[np.float64], angle_deg: NDArray[np.float64], size_px: int
) -> NDArray[np.float64]:
    """Poses that carry the middle of the frame to a joint and turn around it."""
    sine, cosine = _hang(angle_deg).T
    linear = np.stack([cosine, sine, -sine, cosine], axis=1).reshape(-1, 2, 2)
    shift = joint_px - linear @ np.full(2, size_px / 2)
    return np.concatenate([linear, shift[..., None]], axis=2)


def _paint_rod(pen: Pen, *, length: float, widths: tuple[float, float], colour: Colour) -> None:
    pen.limb([(0, 0), (0, length)], widths, colour, relief=0.6, grain=0.12)


def _paint_shin(pen: Pen, *, cloth: Colour) -> None:
    pen.limb([(-0.01, _SHIN), (0.12, _SHIN + 0.01)], [0.12, 0.09], (52, 40, 36), relief=0.4)
    pen.limb([(0, 0), (0, _SHIN - 0.03)], [0.17, 0.12], cloth, relief=0.6, grain=0.12)


def _paint_trunk(pen: Pen, *, skin: Colour, hair: Colour, shirt: Colour) -> None:
    """Trunk, neck and head from the side, with the hip at the origin."""
    pen.limb([(0.01, -0.6), (0.03, -0.74)], 0.11, darker(skin, 0.15))
    trunk = [
        (-0.1, -0.62),
        (0.1, -0.62),
        (0.17, -0.4),
        (0.13, -0.1),
        (0.14, 0.07),
        (-0.14, 0.07),
        (-0.13, -0.3),
    ]
    pen.shape(smooth_outline(trunk), shirt, relief=0.6, grain=0.15)
    pen.ellipse(0.04, -0.86, 0.14, 0.165, skin, relief=0.6, grain=0.05)
    pen.ellipse(0.18, -0.84, 0.035, 0.04, skin)
    cap = [(0.15, -0.95), (0.04, -1.05), (-0.12, -0.98), (-0.14, -0.8), (-0.04, -0.76), (0.0, -0.92)]
    pen.shape(smooth_outline(cap), hair, relief=0.4, grain=0.3)
