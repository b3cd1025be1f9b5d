"""Rooms in perspective that fill the scene. Local units: x and y from 0 to 1, y down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurovis.stimuli.world_canvas import Colour, Pen
from neurovis.stimuli.world_palette import darker, lighter, pick_colour, vary

ROOMS = ("bedroom", "living room", "kitchen", "office", "corridor", "empty room")


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
    window_at = rng.uniform(0.0, 1.0)
    _draw_window(pen, rng, back, at=window_at)
    _draw_light_patch(pen, back, floor, at=window_at)
    side = -1 if rng.random() < 0.5 else 1
    _draw_door(pen, rng, back, side)
    furnish: dict[str, Callable[[Pen, np.random.Generator, _Wall], None]] = {
        "bedroom": _draw_bed,
        "living room": _draw_sofa,
        "kitchen": _draw_kitchen,
        "office": _draw_desk,
        "corridor": _draw_corridor,
    }
    if rng.random() < 0.6:
        _draw_picture(pen, rng, back, 0.06 if window_at > 0.5 else 0.72)
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
        """Point at x (0 left, 1 right wall), depth (0 near, 1 back wall) and height (0 floor, 1 ceiling)."""
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
            [self.spot(inner, depth, height) for depth, height in ((d0, h0), (d1, h0), (d1, h1), (d0, h1))],
            colour,
            shade=inner_side * 0.85,
        )
        pen.shape(
            [self.spot(x0, d0, h1), self.spot(x1, d0, h1), self.spot(x1, d1, h1), self.spot(x0, d1, h1)],
            colour,
            shade=1.25,
        )
        pen.shape(
            [self.spot(x0, d0, h0), self.spot(x1, d0, h0), self.spot(x1, d0, h1), self.spot(x0, d0, h1)],
            colour,
            shade=0.92,
        )


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


def _draw_light_patch(pen: Pen, wall: _Wall, floor: Colour, *, at: float) -> None:
    """Daylight of the window on the floor, drifting with the light of the scene."""
    drift = -0.25 * pen.canvas.light.vector[0]
    x = 0.1 + 0.5 * at
    corners = [(x, 0.75), (x + 0.26, 0.75), (x + 0.3 + drift, 0.35), (x - 0.02 + drift, 0.35)]
    pen.shape([wall.spot(*corner) for corner in corners], lighter(floor, 0.28), grain=0.12, shade=1.12)


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
