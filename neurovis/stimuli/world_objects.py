"""Objects: hand tools and vehicles. Local units: the thing spans about -1 to 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurovis.stimuli.world_canvas import Colour, Pen, smooth_outline
from neurovis.stimuli.world_palette import add_article, darker, lighter, pick_colour, vary

TOOLS = ("hammer", "wrench", "screwdriver", "scissors", "saw", "paintbrush", "axe", "pliers")
VEHICLES = ("car", "bus", "truck", "bicycle", "sailing boat", "aeroplane", "train")
_GLASS = (150, 190, 214)
_STEEL = (168, 172, 180)
_TYRE = (40, 40, 44)


def draw_tool(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a hand tool lying at any angle.

    Returns
    -------
    dict
        Attributes: ``phrase`` for the caption, ``colour`` of the handle, ``kind`` and ``turn_deg``.
    """
    kind = TOOLS[rng.integers(len(TOOLS))]
    colour_name, colour = pick_colour(rng, ("red", "yellow", "blue", "green", "orange", "black", "brown"))
    turn = float(rng.uniform(-70, 70))
    painters: dict[str, Callable[[Pen, Colour, Colour], None]] = {
        "hammer": _draw_hammer,
        "wrench": _draw_wrench,
        "screwdriver": _draw_screwdriver,
        "scissors": _draw_scissors,
        "saw": _draw_saw,
        "paintbrush": _draw_paintbrush,
        "axe": _draw_axe,
        "pliers": _draw_pliers,
    }
    painters[kind](pen.at(0, 0, 1.0, turn), colour, vary(rng, _STEEL, 10))
    article = "pair of " if kind in ("scissors", "pliers") else ""
    return {
        "phrase": f"{article}{kind}"
        if kind == "wrench"
        else f"{article}{kind} with {add_article(colour_name)} handle",
        "colour": "grey" if kind == "wrench" else colour_name,
        "kind": kind,
        "turn_deg": turn,
        "identity": int(rng.integers(1_000_000)),
    }


def _draw_hammer(pen: Pen, colour: Colour, steel: Colour) -> None:
    pen.limb([(0, -0.5), (0, 0.95)], [0.17, 0.2], colour, relief=0.7, grain=0.2)
    pen.limb([(0, 0.35), (0, 0.95)], 0.24, darker(colour, 0.35), relief=0.6)
    pen.limb([(-0.3, -0.68), (0.35, -0.68)], 0.3, steel, relief=0.8, grain=0.05)
    pen.shape([(0.4, -0.9), (0.62, -0.9), (0.62, -0.46), (0.4, -0.46)], darker(steel, 0.15), relief=0.5)
    claw = [(-0.25, -0.83), (-0.6, -0.75), (-0.85, -0.42), (-0.55, -0.55), (-0.25, -0.55)]
    pen.shape(smooth_outline(claw), steel, relief=0.6, grain=0.05)


def _draw_wrench(pen: Pen, _colour: Colour, steel: Colour) -> None:
    pen.limb([(0, -0.6), (0, 0.6)], 0.24, steel, relief=0.8, grain=0.05)
    pen.limb([(0, -0.35), (0, 0.35)], 0.09, darker(steel, 0.3))
    jaw = [
        (-0.14, -0.5),
        (-0.42, -0.72),
        (-0.4, -1.05),
        (-0.16, -1.05),
        (-0.16, -0.8),
        (0.16, -0.8),
        (0.16, -1.05),
        (0.4, -1.05),
        (0.42, -0.72),
        (0.14, -0.5),
    ]
    pen.shape(jaw, steel, relief=0.4, grain=0.05)
    angle = np.linspace(0, 2 * np.pi, 17)
    pen.limb(np.stack([0.22 * np.cos(angle), 0.78 + 0.22 * np.sin(angle)], axis=1), 0.17, steel, relief=0.6)


def _draw_screwdriver(pen: Pen, colour: Colour, steel: Colour) -> None:
    pen.limb([(0, -0.1), (0, -0.9)], 0.12, steel, relief=0.8, grain=0.03)
    pen.shape([(-0.1, -0.85), (0.1, -0.85), (0.07, -1.05), (-0.07, -1.05)], darker(steel, 0.2))
    handle = [
        (-0.12, -0.12),
        (0.12, -0.12),
        (0.24, 0.05),
        (0.2, 0.4),
        (0.25, 0.8),
        (0.12, 1.0),
        (-0.12, 1.0),
        (-0.25, 0.8),
        (-0.2, 0.4),
        (-0.24, 0.05),
    ]
    pen.shape(smooth_outline(handle), colour, relief=0.8)
    for x in (-0.1, 0.1):
        pen.limb([(x, 0.12), (x, 0.82)], 0.04, darker(colour, 0.35))


def _draw_scissors(pen: Pen, colour: Colour, steel: Colour) -> None:
    angle = np.linspace(0, 2 * np.pi, 15)
    for side in (-1, 1):
        pen.shape(
            [(side * 0.06, 0.25), (-side * 0.12, 0.15), (-side * 0.38, -1.0), (-side * 0.2, -0.9)],
            steel,
            relief=0.5,
            grain=0.05,
        )
        pen.limb([(0, 0.15), (side * 0.25, 0.45)], 0.15, colour, relief=0.5)
        ring = np.stack([side * 0.36 + 0.24 * np.cos(angle), 0.7 + 0.3 * np.sin(angle)], axis=1)
        pen.limb(ring, 0.14, colour, relief=0.7)
    pen.ellipse(0, 0.12, 0.07, 0.07, darker(steel, 0.4), relief=0.5)


def _draw_saw(pen: Pen, colour: Colour, steel: Colour) -> None:
    x = np.linspace(1.0, -0.35, 19)
    teeth = np.stack([x, 0.2 + 0.09 * (np.arange(19) % 2)], axis=1)
    pen.shape([(-0.35, -0.28), (1.02, -0.02), *teeth.tolist()], steel, relief=0.2, grain=0.06)
    handle = [(-0.3, -0.34), (-0.6, -0.4), (-1.0, -0.2), (-1.02, 0.25), (-0.7, 0.45), (-0.3, 0.36)]
    pen.limb(smooth_outline(handle), 0.2, colour, relief=0.7, grain=0.2)
    pen.limb([(-0.34, -0.34), (-0.34, 0.34)], 0.2, colour, relief=0.6, grain=0.2)


def _draw_paintbrush(pen: Pen, colour: Colour, steel: Colour) -> None:
    handle = [
        (-0.12, -0.1),
        (0.12, -0.1),
        (0.14, 0.2),
        (0.08, 0.6),
        (0.12, 0.95),
        (-0.12, 0.95),
        (-0.08, 0.6),
        (-0.14, 0.2),
    ]
    pen.shape(smooth_outline(handle), (186, 136, 84), relief=0.7, grain=0.15)
    pen.shape([(-0.24, -0.42), (0.24, -0.42), (0.2, -0.06), (-0.2, -0.06)], steel, relief=0.7, grain=0.03)
    pen.shape(
        [(-0.24, -0.4), (0.24, -0.4), (0.2, -1.0), (0.0, -0.93), (-0.2, -1.0)],
        (96, 70, 50),
        relief=0.4,
        grain=0.4,
    )
    pen.shape(
        [(-0.22, -0.72), (0.22, -0.72), (0.2, -1.02), (0.0, -0.95), (-0.2, -1.02)],
        colour,
        relief=0.4,
        grain=0.2,
    )


def _draw_axe(pen: Pen, colour: Colour, steel: Colour) -> None:
    pen.limb(
        smooth_outline([(0, -0.9), (0.03, 0), (0, 0.6), (0.1, 0.98)], closed=False),
        0.17,
        (168, 118, 70),
        relief=0.7,
        grain=0.2,
    )
    pen.limb([(0.0, 0.5), (0.1, 0.98)], 0.21, colour, relief=0.5)
    blade = [
        (0.14, -0.85),
        (-0.2, -0.85),
        (-0.62, -1.0),
        (-0.74, -0.6),
        (-0.6, -0.2),
        (-0.2, -0.42),
        (0.14, -0.45),
    ]
    pen.shape(smooth_outline(blade), colour, relief=0.3)
    edge = [(-0.55, -0.96), (-0.62, -1.0), (-0.76, -0.6), (-0.6, -0.2), (-0.5, -0.3), (-0.6, -0.6)]
    pen.shape(smooth_outline(edge), lighter(steel, 0.4), relief=0.2)


def _draw_pliers(pen: Pen, colour: Colour, steel: Colour) -> None:
    for side in (-1, 1):
        grip = smooth_outline([(side * 0.08, 0.0), (side * 0.38, 0.35), (side * 0.36, 0.95)], closed=False)
        pen.limb(grip, 0.19, colour, relief=0.7)
        jaw = [
            (-side * 0.18, 0.05),
            (-side * 0.26, -0.35),
            (-side * 0.1, -0.95),
            (-side * 0.02, -0.9),
            (side * 0.02, 0.05),
        ]
        pen.shape(smooth_outline(jaw), steel, relief=0.6, grain=0.05)
    pen.ellipse(0, -0.02, 0.2, 0.2, darker(steel, 0.15), relief=0.7)
    pen.ellipse(0, -0.02, 0.07, 0.07, darker(steel, 0.5))


def draw_vehicle(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a vehicle from the side; attributes as in :func:`draw_tool`."""
    kind = VEHICLES[rng.integers(len(VEHICLES))]
    colour_name, colour = pick_colour(rng)
    painters: dict[str, Callable[[Pen, Colour, np.random.Generator], None]] = {
        "car": _draw_car,
        "bus": _draw_bus,
        "truck": _draw_truck,
        "bicycle": _draw_bicycle,
        "sailing boat": _draw_boat,
        "aeroplane": _draw_aeroplane,
        "train": _draw_train,
    }
    painters[kind](pen, colour, rng)
    return {
        "phrase": f"{colour_name} {kind}",
        "colour": colour_name,
        "kind": kind,
        "identity": int(rng.integers(1_000_000)),
    }


def _draw_wheel(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.ellipse(x, y, radius, radius, _TYRE, relief=0.3)
    pen.ellipse(x, y, radius * 0.58, radius * 0.58, (186, 188, 194), relief=0.5)
    pen.ellipse(x, y, radius * 0.2, radius * 0.2, (80, 82, 88))


def _draw_car(pen: Pen, colour: Colour, rng: np.random.Generator) -> None:
    roof = rng.uniform(-0.5, -0.4)
    cabin = [(-0.62, -0.05), (-0.42, roof), (0.25, roof), (0.6, -0.05)]
    pen.shape(cabin, colour, relief=0.3)
    pen.shape([(-0.52, -0.07), (-0.38, roof + 0.08), (-0.07, roof + 0.08), (-0.07, -0.07)], _GLASS, shade=0.8)
    pen.shape([(0.0, -0.07), (0.0, roof + 0.08), (0.21, roof + 0.08), (0.47, -0.07)], _GLASS, shade=0.95)
    body = [
        (-1.0, 0.0),
        (-0.62, -0.1),
        (0.55, -0.1),
        (0.95, 0.02),
        (1.03, 0.28),
        (0.9, 0.36),
        (-0.95, 0.36),
        (-1.03, 0.2),
    ]
    pen.shape(body, colour, relief=0.5, grain=0.04)
    pen.limb([(-0.9, 0.06), (0.85, 0.06)], 0.04, lighter(colour, 0.45))
    pen.limb([(-0.03, -0.05), (-0.03, 0.3)], 0.02, darker(colour, 0.45))
    pen.ellipse(0.96, 0.13, 0.07, 0.06, (255, 246, 200), shade=1.2)
    pen.ellipse(-0.98, 0.13, 0.05, 0.07, (196, 30, 34))
    for x in (-0.58, 0.58):
        pen.ellipse(x, 0.33, 0.27, 0.27, darker(colour, 0.65))
        _draw_wheel(pen, x, 0.36, 0.23)


def _draw_bus(pen: Pen, colour: Colour, _rng: np.random.Generator) -> None:
    body = [(-1.05, -0.5), (-0.98, -0.58), (0.98, -0.58), (1.05, -0.45), (1.05, 0.42), (-1.05, 0.42)]
    pen.shape(body, colour, relief=0.3, grain=0.05)
    pen.shape([(-1.05, 0.12), (1.05, 0.12), (1.05, 0.26), (-1.05, 0.26)], lighter(colour, 0.6))
    for x in np.linspace(-0.86, 0.5, 5):
        pen.shape(
            [(x - 0.14, -0.42), (x + 0.14, -0.42), (x + 0.14, -0.02), (x - 0.14, -0.02)], _GLASS, shade=0.85
        )
    pen.shape([(0.74, -0.42), (1.02, -0.42), (1.02, 0.3), (0.74, 0.3)], _GLASS, shade=0.75)
    for x in (-0.62, 0.52):
        _draw_wheel(pen, x, 0.42, 0.2)


def _draw_truck(pen: Pen, colour: Colour, rng: np.random.Generator) -> None:
    _, cargo = pick_colour(rng, ("white", "grey", "beige", "blue", "red"))
    pen.shape([(-1.05, -0.62), (0.35, -0.62), (0.35, 0.3), (-1.05, 0.3)], cargo, relief=0.25, grain=0.06)
    for x in np.linspace(-0.85, 0.15, 6):
        pen.limb([(x, -0.55), (x, 0.22)], 0.025, darker(cargo, 0.2))
    cab = [(0.42, -0.38), (0.75, -0.38), (0.95, -0.02), (1.04, 0.04), (1.04, 0.36), (0.42, 0.36)]
    pen.shape(cab, colour, relief=0.4)
    pen.shape([(0.54, -0.28), (0.72, -0.28), (0.86, -0.02), (0.54, -0.02)], _GLASS, shade=0.85)
    pen.limb([(-1.0, 0.34), (1.0, 0.34)], 0.08, (50, 50, 54))
    for x in (-0.75, -0.35, 0.72):
        _draw_wheel(pen, x, 0.4, 0.19)


def _draw_bicycle(pen: Pen, colour: Colour, _rng: np.random.Generator) -> None:
    angle = np.linspace(0, 2 * np.pi, 25)
    for x in (-0.6, 0.6):
        pen.limb(np.stack([x + 0.4 * np.cos(angle), 0.3 + 0.4 * np.sin(angle)], axis=1), 0.075, _TYRE)
        for spoke in np.linspace(0, np.pi, 5)[:-1]:
            tip = 0.38 * np.array([np.cos(spoke), np.sin(spoke)])
            pen.limb([np.subtract((x, 0.3), tip), np.add((x, 0.3), tip)], 0.018, (190, 190, 194))
    frame = (
        [(-0.6, 0.3), (-0.22, -0.25), (0.42, -0.25), (0.02, 0.32), (-0.22, -0.25)],
        [(-0.6, 0.3), (0.02, 0.32)],
        [(0.6, 0.3), (0.38, -0.45)],
    )
    for part in frame:
        pen.limb(part, 0.085, colour, relief=0.5)
    pen.limb([(-0.22, -0.25), (-0.26, -0.42)], 0.06, (90, 90, 94))
    pen.limb([(-0.42, -0.45), (-0.12, -0.45)], 0.11, (40, 34, 32))
    pen.limb([(0.38, -0.45), (0.52, -0.52), (0.62, -0.4)], 0.06, (50, 50, 54))
    pen.ellipse(0.02, 0.32, 0.11, 0.11, (90, 90, 94))


def _draw_boat(pen: Pen, colour: Colour, _rng: np.random.Generator) -> None:
    pen.limb([(0.0, 0.5), (0.0, -1.0)], 0.06, (120, 90, 60))
    pen.shape([(0.06, -0.95), (0.75, 0.28), (0.06, 0.28)], (244, 242, 234), relief=0.25, grain=0.05)
    pen.shape([(-0.06, -0.8), (-0.6, 0.28), (-0.06, 0.28)], lighter(colour, 0.35), relief=0.25, grain=0.05)
    pen.shape(
        smooth_outline([(-0.98, 0.4), (0.0, 0.44), (1.0, 0.36), (0.7, 0.82), (-0.7, 0.84)]),
        colour,
        relief=0.5,
    )
    pen.limb([(-0.85, 0.5), (0.85, 0.47)], 0.05, lighter(colour, 0.6))


def _draw_aeroplane(pen: Pen, colour: Colour, rng: np.random.Generator) -> None:
    body = pen.at(0, 0, 1.0, float(rng.uniform(-5, 22)))
    body.shape([(0.0, -0.05), (-0.3, -0.05), (-0.5, -0.42), (-0.38, -0.42)], darker(colour, 0.3))
    fuselage = [(1.05, 0.04), (0.8, -0.13), (-0.7, -0.12), (-1.0, -0.08), (-0.7, 0.12), (0.8, 0.15)]
    body.shape(smooth_outline(fuselage), (234, 236, 240), relief=0.6, grain=0.02)
    body.shape([(-0.66, -0.08), (-1.08, -0.52), (-0.86, -0.52), (-0.4, -0.1)], colour, relief=0.2)
    body.limb([(-0.85, 0.03), (0.98, 0.06)], 0.06, colour)
    body.shape([(0.22, 0.05), (-0.18, 0.05), (-0.55, 0.58), (-0.36, 0.58)], (190, 194, 202), relief=0.2)
    body.shape([(-0.72, 0.0), (-0.9, 0.0), (-1.1, 0.22), (-0.98, 0.22)], (190, 194, 202))
    for x in np.linspace(-0.55, 0.7, 10):
        body.ellipse(x, -0.04, 0.035, 0.035, (70, 96, 130))
    body.limb([(0.06, 0.22), (-0.12, 0.22)], 0.11, (130, 134, 142), relief=0.5)


def _draw_train(pen: Pen, colour: Colour, _rng: np.random.Generator) -> None:
    pen.limb([(-1.2, 0.5), (1.2, 0.5)], 0.05, (104, 98, 94))
    nose = [(-1.1, -0.42), (0.55, -0.42), (0.85, -0.3), (1.08, 0.2), (1.04, 0.36), (-1.1, 0.36)]
    pen.shape(nose, colour, relief=0.4, grain=0.04)
    pen.shape([(-1.1, 0.06), (1.03, 0.06), (1.08, 0.2), (-1.1, 0.2)], lighter(colour, 0.6))
    for x in np.linspace(-0.92, 0.3, 5):
        pen.shape(
            [(x - 0.12, -0.3), (x + 0.12, -0.3), (x + 0.12, -0.02), (x - 0.12, -0.02)], _GLASS, shade=0.8
        )
    pen.shape([(0.62, -0.28), (0.8, -0.24), (0.96, 0.0), (0.62, 0.0)], (60, 80, 104))
    for x in (-0.85, -0.55, 0.45, 0.75):
        _draw_wheel(pen, x, 0.4, 0.12)
