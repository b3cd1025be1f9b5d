"""What lies behind the things of a scene that is not a place: textured walls, wood, cloth, grass and blur."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.stimuli.textures import make_fractal_field
from neurovis.stimuli.world_palette import mix, pick_colour

BACKDROPS = (
    "textured wall",
    "wooden board",
    "blurred background",
    "patterned cloth",
    "grassy background",
    "table top",
)


def make_backdrop(rng: np.random.Generator, side_px: int) -> tuple[NDArray[np.uint8], str]:
    """Textured background without things.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides everything.
    side_px : int
        Side of the square [px].

    Returns
    -------
    pixels : array of shape (side_px, side_px, 3), uint8
        RGB before lighting.
    phrase : str
        What it is, for the caption, e.g. ``"green textured wall"``.
    """
    kind = BACKDROPS[rng.choice(len(BACKDROPS), p=[0.3, 0.15, 0.2, 0.13, 0.1, 0.12])]
    name, base = pick_colour(rng)
    muted = np.array(mix(base, (136, 134, 130), float(rng.uniform(0.15, 0.6))), dtype=np.float32)
    second = np.array(mix(pick_colour(rng)[1], (136, 134, 130), 0.4), dtype=np.float32)
    position = np.linspace(0, 1, side_px, dtype=np.float32)
    contrast = np.float32(rng.uniform(0.08, 0.24))
    if kind == "wooden board":
        name = ""
        tones = ((150, 108, 70), (112, 78, 52), (190, 156, 112))
        muted = np.array(tones[rng.integers(3)], dtype=np.float32)
        field = make_fractal_field(rng, side_px, slope=0.7, stretch=(1, 10))
        planks = np.floor(position * int(rng.integers(3, 6)))
        shift = np.float32(0.12) * np.sin(planks * 12.9898)[:, None]
        gain = 1 + contrast * field * np.float32(0.7) + shift
        edge = np.abs(np.diff(planks, prepend=planks[:1])) > 0
        gain = gain * np.where(edge, np.float32(0.55), np.float32(1))[:, None]
        pixels = muted * gain[..., None]
        if rng.random() < 0.5:
            pixels = pixels.transpose(1, 0, 2)
    elif kind == "patterned cloth":
        field = make_fractal_field(rng, side_px, slope=0.6)
        periods, angle = rng.uniform(4, 11), rng.uniform(0, np.pi)
        wave = np.sin(
            2 * np.pi * periods * (np.cos(angle) * position[None, :] + np.sin(angle) * position[:, None])
        )
        if rng.random() < 0.5:
            wave = wave * np.sin(
                2 * np.pi * periods * (-np.sin(angle) * position[None, :] + np.cos(angle) * position[:, None])
            )
        share = np.clip(0.5 + 2.5 * wave, 0, 1).astype(np.float32)[..., None]
        pixels = (muted + share * (second - muted)) * (1 + np.float32(0.08) * field)[..., None]
    elif kind == "blurred background":
        field = make_fractal_field(rng, side_px, slope=2.2, coarsest_cells=2 + int(rng.integers(3)))
        share = np.clip(0.5 + 0.35 * field, 0, 1)[..., None]
        pixels = muted + share * (second - muted)
    elif kind == "grassy background":
        name = ""
        grass = np.array((92, 132, 62), dtype=np.float32) + rng.normal(0, 9, 3).astype(np.float32)
        field = make_fractal_field(rng, side_px, slope=0.5, stretch=(4, 1))
        pixels = grass * (1 + np.float32(0.22) * field)[..., None]
    elif kind == "table top":
        field = make_fractal_field(rng, side_px, slope=1.0)
        line = rng.uniform(0.3, 0.62)
        near = (position > line)[:, None, None]
        fall = (0.9 + 0.25 * position)[:, None, None]
        pixels = (
            np.where(near, muted * fall, second * np.float32(0.8)) * (1 + contrast * 0.5 * field)[..., None]
        )
    else:
        field = make_fractal_field(rng, side_px, slope=float(rng.uniform(0.8, 1.4)))
        pixels = muted * (1 + contrast * field)[..., None]
    return np.clip(pixels, 0, 255).astype(np.uint8), f"{name} {kind}".strip()
