"""Landscapes and streets that fill the scene. Local units: x and y from 0 to 1, y down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neurovis.stimuli.textures import make_fractal_field
from neurovis.stimuli.world_canvas import Colour, Pen, smooth_outline
from neurovis.stimuli.world_palette import darker, lighter, mix, pick_colour, vary

LANDSCAPES = ("mountain", "beach", "forest", "street", "field", "desert", "lake")


def draw_outdoor(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a landscape or a street; with its horizon at a share of the height.

    Returns
    -------
    dict
        Attributes: ``phrase`` for the caption, ``colour``, ``layout``, ``sky`` and ``horizon``.
    """
    kind = LANDSCAPES[rng.integers(len(LANDSCAPES))]
    horizon = float(rng.uniform(0.36, 0.58))
    mood = ("clear", "cloudy", "sunset")[rng.choice(3, p=[0.5, 0.3, 0.2])]
    high, low = {
        "clear": ((84, 142, 212), (196, 222, 240)),
        "cloudy": ((134, 150, 168), (208, 212, 214)),
        "sunset": ((92, 98, 160), (246, 178, 120)),
    }[mood]
    steps = 24
    for step in range(steps):
        y = step / steps * (horizon + 0.05)
        pen.shape([(0, y), (1, y), (1, 1.0), (0, 1.0)], mix(high, low, step / steps), grain=0.0)
    _draw_clouds(pen, rng, horizon, (250, 214, 190) if mood == "sunset" else (250, 250, 250))
    painters: dict[str, Callable[[Pen, np.random.Generator, float], str]] = {
        "mountain": _draw_mountain,
        "beach": _draw_beach,
        "forest": _draw_forest,
        "street": _draw_street,
        "field": _draw_field,
        "desert": _draw_desert,
        "lake": _draw_lake,
    }
    tone = painters[kind](pen, rng, horizon)
    return {
        "phrase": f"{kind} under a {mood} sky" if mood != "sunset" else f"{kind} at sunset",
        "colour": tone,
        "layout": kind,
        "sky": mood,
        "horizon": horizon,
    }


def _draw_clouds(pen: Pen, rng: np.random.Generator, horizon: float, colour: Colour) -> None:
    side = pen.canvas.side_px
    field = make_fractal_field(rng, side, slope=1.4, stretch=(1, 2))
    cover = np.clip((field - rng.uniform(0.0, 0.9)) * 150, 0, 235)
    cover *= np.clip((horizon + 0.05 - np.linspace(0, 1, side)) * 8, 0, 1)[:, None]
    pen.canvas.stamp(Image.fromarray(cover.astype(np.uint8)), colour)


def _ridge(rng: np.random.Generator, base: float, height: float, n_knots: int) -> NDArray[np.float64]:
    """Outline of hills from the left to the right edge, closed along the bottom."""
    x = np.linspace(-0.1, 1.1, n_knots)
    y = base - height * rng.uniform(0.1, 1.0, n_knots)
    return np.concatenate([np.stack([x, y], axis=1), [(1.1, 1.05), (-0.1, 1.05)]])


def _draw_ground(pen: Pen, horizon: float, near: Colour, far: Colour, *, grain: float = 0.25) -> None:
    steps = 7
    for step in range(steps):
        share = (step / steps) ** 1.6
        y = horizon + share * (1 - horizon)
        pen.shape([(0, y), (1, y), (1, 1.02), (0, 1.02)], mix(far, near, step / (steps - 1)), grain=grain)


def _draw_conifer(pen: Pen, x: float, y: float, height: float, colour: Colour) -> None:
    pen.limb([(x, y), (x, y - height * 0.3)], height * 0.09, (84, 60, 44))
    for level in range(3):
        low, wide = y - height * (0.15 + 0.25 * level), height * (0.3 - 0.07 * level)
        pen.shape(
            [(x - wide, low), (x + wide, low), (x, low - height * 0.42)], colour, relief=0.5, grain=0.35
        )


def _draw_tree(pen: Pen, rng: np.random.Generator, x: float, y: float, height: float, colour: Colour) -> None:
    pen.limb([(x, y), (x, y - height * 0.5)], [height * 0.1, height * 0.07], (92, 68, 50), relief=0.4)
    for _ in range(5):
        dx, dy = rng.normal(0, 0.14, 2) * height
        pen.ellipse(
            x + dx, y - height * 0.7 + dy, height * 0.24, height * 0.22, colour, relief=0.6, grain=0.4
        )


def _draw_mountain(pen: Pen, rng: np.random.Generator, horizon: float) -> str:
    rock = vary(rng, (112, 116, 134), 10)
    for _ in range(3):
        x, height, wide = rng.uniform(0, 1), rng.uniform(0.16, 0.36), rng.uniform(0.25, 0.42)
        peak = horizon + 0.04 - height
        pen.shape(
            [(x - wide, horizon + 0.06), (x, peak), (x + wide, horizon + 0.06)], rock, grain=0.25, shade=1.1
        )
        pen.shape(
            [(x, peak), (x + wide, horizon + 0.06), (x + 0.1 * wide, horizon + 0.06)],
            rock,
            grain=0.25,
            shade=0.7,
        )
        cap = [(0, 0), (0.3, 0.3), (0.12, 0.26), (0.0, 0.36), (-0.12, 0.25), (-0.3, 0.3)]
        pen.shape([(x + a * wide, peak + b * height) for a, b in cap], (240, 244, 250), grain=0.05)
    _draw_ground(pen, horizon + 0.05, (74, 116, 58), (112, 144, 92))
    for _ in range(int(rng.integers(4, 10))):
        y = rng.uniform(horizon + 0.08, 0.9)
        _draw_conifer(pen, rng.uniform(0, 1), y, 0.1 + 0.35 * (y - horizon), vary(rng, (40, 82, 52), 8))
    return "grey"


def _draw_beach(pen: Pen, rng: np.random.Generator, horizon: float) -> str:
    sea = vary(rng, (44, 118, 156), 12)
    _draw_ground(pen, horizon, lighter(sea, 0.35), darker(sea, 0.1), grain=0.15)
    shore = horizon + rng.uniform(0.14, 0.26)
    slope = rng.uniform(-0.12, 0.12)
    sand = vary(rng, (226, 200, 150), 8)
    edge = [
        (-0.1, shore - slope),
        (0.2, shore - slope / 2 + 0.03),
        (0.5, shore),
        (0.8, shore + slope / 2 + 0.03),
        (1.1, shore + slope),
    ]
    curve = smooth_outline(edge, closed=False)
    pen.limb(curve, 0.04, (246, 250, 250), grain=0.2)
    pen.shape(np.concatenate([np.add(curve, (0, 0.012)), [(1.1, 1.1), (-0.1, 1.1)]]), sand, grain=0.12)
    if rng.random() < 0.6:
        x = rng.uniform(0.1, 0.9)
        pen.limb(
            smooth_outline([(x, 0.95), (x + 0.05, 0.6), (x + 0.12, 0.3)], closed=False),
            [0.045] * 6 + [0.03] * 5,
            (122, 92, 62),
            relief=0.5,
        )
        for angle in (-160, -120, -60, -20, 20, 200):
            tip = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]) * 0.2
            leaf = [
                (x + 0.12, 0.3),
                (x + 0.12 + tip[0] * 0.6, 0.27 + tip[1] * 0.7),
                (x + 0.12 + tip[0], 0.36 + tip[1] * 0.8),
            ]
            pen.limb(leaf, [0.03, 0.055, 0.01], vary(rng, (58, 128, 58), 10), relief=0.3)
    return "yellow"


def _draw_forest(pen: Pen, rng: np.random.Generator, horizon: float) -> str:
    pen.shape(_ridge(rng, horizon - 0.08, 0.14, 12), vary(rng, (60, 96, 68), 8), grain=0.4)
    _draw_ground(pen, horizon + 0.02, (66, 96, 44), (92, 118, 66), grain=0.35)
    conifers = rng.random() < 0.5
    for depth in np.sort(rng.uniform(0.02, 0.55, int(rng.integers(9, 15)))):
        x, y, height = rng.uniform(-0.05, 1.05), horizon + 0.02 + depth * 0.8, 0.22 + depth * 0.9
        leaf = vary(rng, (50, 100, 52) if conifers else (84, 132, 56), 10)
        if conifers:
            _draw_conifer(pen, x, y, height, leaf)
        else:
            _draw_tree(pen, rng, x, y, height, leaf)
    return "green"


def _draw_street(pen: Pen, rng: np.random.Generator, horizon: float) -> str:
    vanish = rng.uniform(0.38, 0.62)
    _draw_ground(pen, horizon, (150, 146, 140), (170, 168, 164), grain=0.1)
    for side in (-1, 1):
        for far, near in ((0.05, 0.16), (0.17, 0.3), (0.31, 0.52), (0.54, 0.8), (0.83, 1.25)):
            rise = rng.uniform(0.95, 1.7) * horizon
            _draw_house(pen, rng, (vanish, horizon), side, (far, near), rise)
    road = [(vanish - 0.02, horizon), (vanish + 0.02, horizon), (vanish + 0.75, 1.02), (vanish - 0.75, 1.02)]
    pen.shape(road, vary(rng, (84, 84, 88), 6), grain=0.15)
    for share in (0.08, 0.2, 0.42, 0.75):
        y = horizon + share * (1 - horizon)
        pen.limb(
            [(vanish, y), (vanish, y + share * 0.12)], [0.012 * share + 0.004, 0.03 * share], (236, 232, 220)
        )
    return "grey"


def _draw_house(
    pen: Pen,
    rng: np.random.Generator,
    vanish: tuple[float, float],
    side: int,
    span: tuple[float, float],
    rise: float,
) -> None:
    """House beside a street; ``span`` is the distance of its far and near edge from the vanishing point."""
    x, y = vanish
    names = ("red", "beige", "grey", "brown", "yellow", "white", "teal")
    _, facade = pick_colour(rng, names)

    def corner(out: float, up: float) -> tuple[float, float]:
        share = span[0] + out * (span[1] - span[0])
        return x + side * share, y + share * (0.34 - up * (0.34 + rise / 0.9))

    tone = 1.1 if side * pen.canvas.light.vector[0] < 0 else 0.75
    pen.shape([corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)], facade, shade=tone, grain=0.1)
    for out in (0.15, 0.6):
        for up in (0.3, 0.52, 0.74):
            pane = [
                corner(out, up),
                corner(out + 0.25, up),
                corner(out + 0.25, up + 0.13),
                corner(out, up + 0.13),
            ]
            pen.shape(pane, (62, 76, 96), grain=0.02)
    pen.shape([corner(0.4, 0), corner(0.6, 0), corner(0.6, 0.2), corner(0.4, 0.2)], darker(facade, 0.6))


def _draw_field(pen: Pen, rng: np.random.Generator, horizon: float) -> str:
    pen.shape(smooth_outline(_ridge(rng, horizon + 0.02, 0.1, 7)), vary(rng, (98, 134, 92), 8), grain=0.2)
    name, near = [("green", (104, 156, 62)), ("yellow", (214, 182, 78)), ("purple", (142, 104, 164))][
        rng.integers(3)
    ]
    _draw_ground(pen, horizon + 0.03, vary(rng, near, 8), mix(near, (150, 170, 120), 0.5), grain=0.3)
    vanish = rng.uniform(0.2, 0.8)
    for x in np.linspace(-2.0, 3.0, 15):
        pen.limb([(vanish, horizon + 0.03), (x, 1.05)], [0.002, 0.022], darker(near, 0.22), grain=0.3)
    x = rng.uniform(0.12, 0.88)
    if rng.random() < 0.6:
        wall = vary(rng, (170, 62, 52), 14)
        y = horizon + 0.1
        pen.shape([(x - 0.1, y), (x + 0.1, y), (x + 0.1, y - 0.12), (x - 0.1, y - 0.12)], wall, grain=0.1)
        pen.shape(
            [(x - 0.13, y - 0.12), (x + 0.13, y - 0.12), (x + 0.07, y - 0.2), (x - 0.07, y - 0.2)],
            (90, 84, 86),
        )
        pen.shape([(x - 0.03, y), (x + 0.03, y), (x + 0.03, y - 0.08), (x - 0.03, y - 0.08)], (60, 44, 38))
    for _ in range(int(rng.integers(1, 4))):
        _draw_tree(
            pen, rng, rng.uniform(0, 1), horizon + 0.12, rng.uniform(0.15, 0.3), vary(rng, (70, 118, 56), 8)
        )
    return name


def _draw_desert(pen: Pen, rng: np.random.Generator, horizon: float) -> str:
    sand = vary(rng, (222, 168, 102), 10)
    pen.shape(_ridge(rng, horizon + 0.02, 0.14, 6), mix(sand, (150, 90, 80), 0.55), grain=0.15)
    for step in range(4):
        tone = mix(darker(sand, 0.12), lighter(sand, 0.12), step / 3)
        pen.shape(
            smooth_outline(_ridge(rng, horizon + 0.08 + 0.15 * step, 0.09, 5)), tone, relief=0.2, grain=0.1
        )
    for _ in range(int(rng.integers(1, 4))):
        x, y, height = rng.uniform(0.08, 0.92), rng.uniform(horizon + 0.12, 0.92), rng.uniform(0.16, 0.36)
        leaf, wide = vary(rng, (70, 120, 66), 8), 0.24 * height
        pen.limb([(x, y), (x, y - height)], wide, leaf, relief=0.6, grain=0.2)
        for side in (-1, 1):
            bend = x + side * wide * 1.4
            pen.limb(
                [(x, y - height * 0.4), (bend, y - height * 0.45), (bend, y - height * 0.8)],
                wide * 0.65,
                leaf,
                relief=0.6,
            )
    return "orange"


def _draw_lake(pen: Pen, rng: np.random.Generator, horizon: float) -> str:
    far = _ridge(rng, horizon + 0.01, 0.2, 8)
    far[-2:, 1] = horizon + 0.01
    pen.shape(
        smooth_outline(far[:-2], closed=False).tolist() + far[-2:].tolist(),
        vary(rng, (84, 110, 110), 8),
        grain=0.25,
    )
    water = vary(rng, (72, 120, 158), 10)
    _draw_ground(pen, horizon, darker(water, 0.25), lighter(water, 0.4), grain=0.06)
    mirror = far.copy()
    mirror[:, 1] = 2 * horizon - 0.7 * (far[:, 1] - horizon) - horizon
    pen.shape(mirror, mix(water, (60, 84, 84), 0.6), grain=0.1)
    for _ in range(12):
        x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.05, 1)
        wide = 0.05 + 0.15 * (y - horizon)
        pen.limb([(x - wide, y), (x + wide, y)], 0.008, lighter(water, 0.6))
    pen.shape(smooth_outline([(-0.1, 1.1), (-0.1, 0.86), (0.2, 0.9), (0.45, 1.1)]), (78, 108, 52), grain=0.35)
    _draw_tree(pen, rng, rng.uniform(0.04, 0.2), 0.95, rng.uniform(0.3, 0.5), vary(rng, (66, 112, 56), 8))
    return "blue"
