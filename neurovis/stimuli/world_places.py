"""Places that fill the scene: rooms in perspective and landscapes. Local units: x and y from 0 to 1, y down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neurovis.stimuli.textures import make_fractal_field
from neurovis.stimuli.world_canvas import Colour, Pen, smooth_outline
from neurovis.stimuli.world_palette import darker, lighter, mix, pick_colour, vary

ROOMS = ("bedroom", "living room", "kitchen", "office", "corridor", "empty room")
LANDSCAPES = ("mountain", "beach", "forest", "street", "field", "desert", "lake")


def draw_indoor(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a room seen from inside.

    Returns
    -------
    dict
        Attributes: ``phrase`` for the caption, ``colour`` of the walls, ``layout`` and the back wall's edges.
    """
    room = ROOMS[rng.integers(len(ROOMS))]
    wall_name, wall = pick_colour(rng, ("beige", "white", "grey", "blue", "green", "yellow", "pink", "teal"))
    wall = lighter(wall, 0.25)
    floor = vary(
        rng,
        [(150, 104, 66), (112, 76, 50), (168, 156, 140), (126, 60, 54), (96, 104, 112)][rng.integers(5)],
        8,
    )
    half_width = rng.uniform(0.12, 0.16) if room == "corridor" else rng.uniform(0.24, 0.36)
    middle = 0.5 + rng.uniform(-0.12, 0.12)
    left, right = middle - half_width, middle + half_width
    top, bottom = rng.uniform(0.14, 0.26), rng.uniform(0.56, 0.66)
    side_light = rng.uniform(0.8, 0.95)
    pen.shape([(0, 0), (1, 0), (right, top), (left, top)], lighter(wall, 0.4), grain=0.03)
    pen.shape([(0, 0), (left, top), (left, bottom), (0, 1.02)], wall, grain=0.06, shade=side_light)
    pen.shape([(1, 0), (right, top), (right, bottom), (1, 1.02)], wall, grain=0.06, shade=1.7 - side_light)
    pen.shape([(left, top), (right, top), (right, bottom), (left, bottom)], wall, grain=0.06)
    _draw_floor(pen, rng, floor, (left, right, bottom))
    trim = lighter(wall, 0.65)
    for points in (
        [(left, bottom), (right, bottom)],
        [(0, 1.0), (left, bottom)],
        [(right, bottom), (1, 1.0)],
    ):
        pen.limb(points, 0.014, trim)
    for points in (
        [(left, top), (right, top)],
        [(left, top), (left, bottom)],
        [(right, top), (right, bottom)],
    ):
        pen.limb(points, 0.006, darker(wall, 0.25))
    back = _Wall(left, right, top, bottom)
    _draw_window(pen, rng, back, at=rng.uniform(0.2, 0.75))
    side = -1 if rng.random() < 0.5 else 1
    _draw_door(pen, rng, back, side)
    furnish: dict[str, Callable[[Pen, np.random.Generator, _Wall], None]] = {
        "bedroom": _draw_bed,
        "living room": _draw_sofa,
        "kitchen": _draw_kitchen,
        "office": _draw_desk,
        "corridor": _draw_corridor,
    }
    if room in furnish:
        furnish[room](pen, rng, back)
    return {
        "phrase": f"{room} with {wall_name} walls",
        "colour": wall_name,
        "layout": room,
        "wall_left": left,
        "wall_right": right,
        "wall_bottom": bottom,
    }


class _Wall:
    """Back wall of a room, and where a spot on the floor appears."""

    def __init__(self, left: float, right: float, top: float, bottom: float) -> None:
        self.left, self.right, self.top, self.bottom = left, right, top, bottom

    def spot(self, x: float, depth: float, height: float = 0.0) -> tuple[float, float]:
        """Point at x (0 left wall, 1 right wall), depth (0 near, 1 back wall) and height (0 floor, 1 ceiling)."""
        # Perspective: equal steps of depth shrink towards the back wall.
        near = 1 - depth
        share = near * (self.right - self.left) / (1 - depth * (1 - (self.right - self.left)))
        low = self.bottom + (1.02 - self.bottom) * share
        high = self.top - self.top * share
        from_left = self.left * (1 - share)
        from_right = self.right + (1 - self.right) * share
        return from_left + x * (from_right - from_left), low + height * (high - low)

    def box(
        self,
        pen: Pen,
        x: tuple[float, float],
        depth: tuple[float, float],
        height: tuple[float, float],
        colour: Colour,
    ) -> None:
        """Draw a block of furniture."""
        (x0, x1), (d0, d1), (h0, h1) = x, depth, height
        inner, inner_side = (x1, 1.12) if (x0 + x1) / 2 < 0.5 else (x0, 0.72)
        pen.shape(
            [self.spot(inner, d0, h0), self.spot(inner, d1, h0), self.spot(inner, d1, h1), self.spot(inner, d0, h1)],
            colour, shade=inner_side * 0.85, grain=0.08,
        )  # fmt: skip
        pen.shape(
            [self.spot(x0, d0, h1), self.spot(x1, d0, h1), self.spot(x1, d1, h1), self.spot(x0, d1, h1)],
            colour, shade=1.25, grain=0.08,
        )  # fmt: skip
        pen.shape(
            [self.spot(x0, d0, h0), self.spot(x1, d0, h0), self.spot(x1, d0, h1), self.spot(x0, d0, h1)],
            colour, shade=0.92, grain=0.08,
        )  # fmt: skip


def _draw_floor(pen: Pen, rng: np.random.Generator, floor: Colour, back: tuple[float, float, float]) -> None:
    left, right, bottom = back
    pen.shape([(0, 1.02), (left, bottom), (right, bottom), (1, 1.02)], floor, grain=0.12)
    line = darker(floor, 0.3)
    for share in np.linspace(0, 1, 11)[1:-1]:
        pen.limb([(left + share * (right - left), bottom), (3 * share - 1, 1.35)], [0.003, 0.012], line)
    if rng.random() < 0.5:
        for share in (0.05, 0.14, 0.28, 0.5, 0.82):
            y = bottom + share * (1 - bottom)
            pen.limb([(left * (1 - share), y), (right + (1 - right) * share, y)], 0.004 + 0.006 * share, line)


def _draw_window(pen: Pen, rng: np.random.Generator, wall: _Wall, *, at: float) -> None:
    width, height = (
        (wall.right - wall.left) * rng.uniform(0.26, 0.36),
        (wall.bottom - wall.top) * rng.uniform(0.4, 0.5),
    )
    x = wall.left + at * (wall.right - wall.left - width) + 0.02
    y = wall.top + (wall.bottom - wall.top) * 0.18
    frame = (236, 234, 228)
    pen.shape(
        [(x, y), (x + width, y), (x + width, y + height), (x, y + height)],
        (190, 220, 244),
        shade=1.25,
        grain=0.02,
    )
    pen.shape(
        [(x, y + height * 0.65), (x + width, y + height * 0.6), (x + width, y + height), (x, y + height)],
        (106, 150, 88),
    )
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    pen.limb(corners, 0.018, frame, shade=1.1)
    pen.limb([(x + width / 2, y), (x + width / 2, y + height)], 0.01, frame)
    pen.limb([(x, y + height / 2), (x + width, y + height / 2)], 0.01, frame)
    if rng.random() < 0.5:
        _, cloth = pick_colour(rng)
        for edge in (x - 0.02, x + width + 0.02):
            pen.limb(
                [(edge, y - 0.02), (edge, y + height + 0.05)], [0.05, 0.065], cloth, relief=0.5, grain=0.15
            )


def _draw_door(pen: Pen, rng: np.random.Generator, wall: _Wall, side: int) -> None:
    x = 0.0 if side < 0 else 1.0
    near, far = 0.55, 0.85
    wood = vary(rng, (142, 98, 62), 16)
    panel = [wall.spot(x, near), wall.spot(x, far), wall.spot(x, far, 0.72), wall.spot(x, near, 0.72)]
    pen.shape(panel, wood, shade=0.9, grain=0.12)
    pen.limb([*panel[1:], panel[0]], 0.008, darker(wood, 0.4))


def _draw_bed(pen: Pen, rng: np.random.Generator, wall: _Wall) -> None:
    _, cover = pick_colour(rng)
    start = rng.uniform(0.12, 0.4)
    wood = vary(rng, (120, 80, 52), 12)
    wall.box(pen, (start, start + 0.42), (0.9, 0.95), (0, 0.42), wood)
    wall.box(pen, (start, start + 0.42), (0.35, 0.92), (0, 0.2), cover)
    wall.box(pen, (start + 0.03, start + 0.2), (0.78, 0.9), (0.2, 0.27), (236, 234, 228))
    wall.box(pen, (start + 0.23, start + 0.4), (0.78, 0.9), (0.2, 0.27), (236, 234, 228))
    stand = start + 0.48
    wall.box(pen, (stand, stand + 0.12), (0.8, 0.92), (0, 0.22), wood)
    x, y = wall.spot(stand + 0.06, 0.86, 0.33)
    pen.shape(
        [(x - 0.025, y), (x + 0.025, y), (x + 0.04, y + 0.045), (x - 0.04, y + 0.045)],
        (250, 226, 160),
        shade=1.3,
    )


def _draw_sofa(pen: Pen, rng: np.random.Generator, wall: _Wall) -> None:
    _, cloth = pick_colour(rng)
    _, rug = pick_colour(rng)
    corners = [wall.spot(0.2, 0.1), wall.spot(0.8, 0.1), wall.spot(0.8, 0.6), wall.spot(0.2, 0.6)]
    pen.shape(corners, rug, grain=0.25)
    start = rng.uniform(0.1, 0.35)
    wall.box(pen, (start, start + 0.5), (0.82, 0.94), (0, 0.38), darker(cloth, 0.1))
    wall.box(pen, (start, start + 0.5), (0.6, 0.85), (0, 0.18), cloth)
    wall.box(pen, (start - 0.05, start + 0.02), (0.6, 0.9), (0, 0.27), cloth)
    wall.box(pen, (start + 0.48, start + 0.55), (0.6, 0.9), (0, 0.27), cloth)
    wood = vary(rng, (110, 72, 46), 12)
    wall.box(pen, (0.38, 0.62), (0.25, 0.42), (0.1, 0.13), wood)
    _draw_picture(pen, rng, wall, start + 0.2)


def _draw_picture(pen: Pen, rng: np.random.Generator, wall: _Wall, x: float) -> None:
    _, art = pick_colour(rng)
    (x0, y0), (x1, y1) = wall.spot(x, 1.0, 0.75), wall.spot(x + 0.2, 1.0, 0.52)
    pen.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], art, grain=0.4)
    pen.limb([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], 0.01, (70, 50, 36))


def _draw_kitchen(pen: Pen, rng: np.random.Generator, wall: _Wall) -> None:
    _, front = pick_colour(rng, ("white", "beige", "blue", "green", "red", "brown"))
    wall.box(pen, (0.0, 1.0), (0.85, 1.0), (0, 0.34), front)
    wall.box(pen, (0.0, 0.16), (0.3, 1.0), (0, 0.34), front)
    for x in np.linspace(0.2, 0.9, 5):
        pen.limb([wall.spot(x, 0.85, 0.03), wall.spot(x, 0.85, 0.31)], 0.006, darker(front, 0.4))
    wall.box(pen, (0.75, 0.95), (0.82, 1.0), (0, 0.78), (224, 226, 228))
    wall.box(pen, (0.02, 0.2), (0.9, 1.0), (0.6, 0.9), front)
    wood = vary(rng, (140, 96, 60), 12)
    wall.box(pen, (0.35, 0.7), (0.25, 0.5), (0.24, 0.28), wood)
    for x in (0.38, 0.67):
        pen.limb([wall.spot(x, 0.27, 0.24), wall.spot(x, 0.27, 0)], 0.022, darker(wood, 0.3))


def _draw_desk(pen: Pen, rng: np.random.Generator, wall: _Wall) -> None:
    wood = vary(rng, (156, 112, 70), 14)
    start = rng.uniform(0.15, 0.4)
    wall.box(pen, (start, start + 0.5), (0.6, 0.85), (0.26, 0.3), wood)
    for x in (start + 0.02, start + 0.48):
        pen.limb([wall.spot(x, 0.61, 0.27), wall.spot(x, 0.61, 0)], 0.02, darker(wood, 0.4))
    x0, y0 = wall.spot(start + 0.15, 0.75, 0.55)
    x1, y1 = wall.spot(start + 0.37, 0.75, 0.33)
    pen.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], (36, 38, 44))
    pen.shape(
        [(x0 + 0.01, y0 + 0.01), (x1 - 0.01, y0 + 0.01), (x1 - 0.01, y1 - 0.01), (x0 + 0.01, y1 - 0.01)],
        (120, 170, 214),
    )
    wall.box(pen, (0.82, 1.0), (0.6, 0.95), (0, 0.8), darker(wood, 0.2))
    for height in (0.2, 0.4, 0.6):
        for depth in np.linspace(0.64, 0.9, 6):
            _, book = pick_colour(rng)
            pen.limb([wall.spot(0.82, depth, height), wall.spot(0.82, depth, height + 0.12)], 0.014, book)


def _draw_corridor(pen: Pen, rng: np.random.Generator, wall: _Wall) -> None:
    wood = vary(rng, (130, 92, 62), 14)
    for side in (0.0, 1.0):
        for near, far in ((0.12, 0.28), (0.62, 0.78)):
            panel = [
                wall.spot(side, near),
                wall.spot(side, far),
                wall.spot(side, far, 0.7),
                wall.spot(side, near, 0.7),
            ]
            pen.shape(panel, wood, grain=0.12, shade=0.9)
            pen.limb(panel, 0.008, darker(wood, 0.4))
    for depth in (0.2, 0.55, 0.8):
        x, y = wall.spot(0.5, depth, 1.0)
        pen.ellipse(x, y, 0.07 * (1.1 - depth), 0.02 * (1.1 - depth), (255, 250, 230), shade=1.5, grain=0)


def draw_outdoor(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a landscape or a street; attributes as in :func:`draw_indoor`, with the horizon's height."""
    kind = LANDSCAPES[rng.integers(len(LANDSCAPES))]
    horizon = float(rng.uniform(0.36, 0.58))
    mood = ("clear", "cloudy", "sunset")[rng.choice(3, p=[0.5, 0.3, 0.2])]
    high, low = {
        "clear": ((84, 142, 212), (196, 222, 240)),
        "cloudy": ((134, 150, 168), (208, 212, 214)),
        "sunset": ((92, 98, 160), (246, 178, 120)),
    }[mood]
    steps = 14
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
    pen.shape(np.concatenate([curve + (0, 0.012), [(1.1, 1.1), (-0.1, 1.1)]]), sand, grain=0.12)
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
        edge = vanish
        near = vanish + side * 0.95
        for share in (0.16, 0.3, 0.5, 0.78, 1.2):
            start = vanish + side * share * abs(near - vanish) * 1.0
            _, facade = pick_colour(rng, ("red", "beige", "grey", "brown", "yellow", "white", "teal"))
            inner, outer = (share * 0.62, share)
            rise = rng.uniform(0.9, 1.5) * horizon
            x0, x1 = vanish + side * inner * 0.95, start
            tops = (horizon - inner * rise, horizon - share * rise)
            feet = (horizon + inner * 0.34, horizon + share * 0.34)
            tone = 1.1 if side < 0 else 0.78
            pen.shape(
                [(x0, feet[0]), (x1, feet[1]), (x1, tops[1]), (x0, tops[0])], facade, shade=tone, grain=0.1
            )
            for column in (0.25, 0.6):
                for row in (0.2, 0.45, 0.7):
                    x = x0 + column * (x1 - x0)
                    low, high = feet[0] + column * (feet[1] - feet[0]), tops[0] + column * (tops[1] - tops[0])
                    y, wide = low + (row + 0.1) * (high - low), 0.2 * (x1 - x0)
                    tall = 0.13 * (low - high)
                    pane = [(x, y), (x + wide, y - 0.2 * side * 0), (x + wide, y - tall), (x, y - tall)]
                    pen.shape(pane, (62, 76, 96), grain=0.02)
            edge = x1
    road = [(vanish - 0.02, horizon), (vanish + 0.02, horizon), (vanish + 0.75, 1.02), (vanish - 0.75, 1.02)]
    pen.shape(road, vary(rng, (84, 84, 88), 6), grain=0.15)
    for share in (0.08, 0.2, 0.42, 0.75):
        y = horizon + share * (1 - horizon)
        pen.limb(
            [(vanish, y), (vanish, y + share * 0.12)], [0.012 * share + 0.004, 0.03 * share], (236, 232, 220)
        )
    return "grey"


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
