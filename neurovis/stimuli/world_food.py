"""Food: single fruit and dishes on plates. Local units: the thing spans about -1 to 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurovis.stimuli.world_canvas import Colour, Pen, smooth_outline
from neurovis.stimuli.world_palette import darker, lighter, pick_colour, vary

FRUIT = (
    "apple",
    "pear",
    "banana",
    "orange",
    "strawberry",
    "grapes",
    "lemon",
    "watermelon",
    "cherries",
    "pineapple",
)
DISHES = ("pizza", "spaghetti", "salad", "fried eggs", "soup", "burger", "cake", "sushi")
_LEAF = (78, 128, 58)
_STEM = (96, 70, 44)


def draw_fruit(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw one kind of fruit.

    Returns
    -------
    dict
        Attributes: ``phrase`` for the caption, ``colour`` and ``kind``.
    """
    kind = FRUIT[rng.integers(len(FRUIT))]
    painters: dict[str, Callable[[Pen, np.random.Generator], str]] = {
        "apple": _draw_apple,
        "pear": _draw_pear,
        "banana": _draw_banana,
        "orange": _draw_orange,
        "strawberry": _draw_strawberry,
        "grapes": _draw_grapes,
        "lemon": _draw_lemon,
        "watermelon": _draw_watermelon,
        "cherries": _draw_cherries,
        "pineapple": _draw_pineapple,
    }
    colour = painters[kind](pen, rng)
    phrase = "slice of watermelon" if kind == "watermelon" else kind
    if kind in ("grapes", "cherries"):
        phrase = f"bunch of {colour} {kind}"
    elif kind not in ("orange", "watermelon"):
        phrase = f"{colour} {kind}"
    return {"phrase": phrase, "colour": colour, "kind": kind, "identity": int(rng.integers(1_000_000))}


def _highlight(pen: Pen, x: float, y: float, radius: float) -> None:
    toward = pen.canvas.light.vector
    pen.ellipse(
        x + 0.45 * toward[0], y + 0.45 * toward[1], radius, radius * 0.7, (255, 252, 244), grain=0, shade=1.15
    )


def _draw_leaf(pen: Pen, x: float, y: float, turn_deg: float, size: float) -> None:
    leaf = pen.at(x, y, size, turn_deg)
    leaf.shape(smooth_outline([(0, 0), (0.4, -0.28), (1, 0), (0.4, 0.28)]), _LEAF, relief=0.5)
    leaf.limb([(0, 0), (0.85, 0)], 0.06, lighter(_LEAF, 0.3))


def _draw_apple(pen: Pen, rng: np.random.Generator) -> str:
    name, colour = pick_colour(rng, ("red", "green", "yellow"))
    outline = [(0, -0.72), (0.45, -0.88), (0.95, -0.4), (0.85, 0.4), (0.4, 0.95), (0, 0.85)]
    outline += [(-x, y) for x, y in outline[-2:0:-1]]
    pen.shape(smooth_outline(outline), colour, relief=0.95, grain=0.1)
    pen.ellipse(0, -0.68, 0.28, 0.09, darker(colour, 0.4))
    pen.limb([(0, -0.66), (0.08, -1.05)], [0.08, 0.1], _STEM)
    _draw_leaf(pen, 0.08, -0.95, 20, 0.55)
    _highlight(pen, 0, 0, 0.15)
    return name


def _draw_pear(pen: Pen, rng: np.random.Generator) -> str:
    name, colour = pick_colour(rng, ("green", "yellow"))
    outline = [(0, -0.9), (0.3, -0.78), (0.42, -0.2), (0.75, 0.3), (0.62, 0.85), (0, 0.98)]
    outline += [(-x, y) for x, y in outline[-2:0:-1]]
    pen.shape(smooth_outline(outline), colour, relief=0.9, grain=0.14)
    pen.limb([(0, -0.85), (0.1, -1.15)], [0.07, 0.09], _STEM)
    _draw_leaf(pen, 0.06, -1.0, 15, 0.45)
    _highlight(pen, 0, 0.35, 0.13)
    return name


def _draw_banana(pen: Pen, rng: np.random.Generator) -> str:
    colour = vary(rng, (232, 200, 62), 8)
    for shift in ((0.0, 0.0), (0.1, 0.3))[: int(rng.integers(1, 3))]:
        curve = smooth_outline(
            [(-0.95, -0.5), (-0.7, 0.1), (-0.1, 0.45), (0.55, 0.3), (0.95, -0.2)], closed=False
        )
        curve = curve + shift
        widths = 0.08 + 0.36 * np.sin(np.linspace(0.08, np.pi - 0.12, len(curve))) ** 0.7
        pen.limb(curve, widths, colour, relief=0.8)
        pen.limb(np.add(curve[4:-4], (0, 0.05)), 0.03, darker(colour, 0.25))
        pen.limb(curve[:2], 0.12, (92, 78, 40))
        pen.limb(curve[-2:], 0.09, (70, 56, 36))
    return "yellow"


def _draw_orange(pen: Pen, rng: np.random.Generator) -> str:
    colour = vary(rng, (238, 140, 34), 8)
    pen.ellipse(0, 0, 0.92, 0.9, colour, relief=0.95, grain=0.2)
    pen.ellipse(0.05, -0.7, 0.1, 0.06, (92, 118, 50))
    _highlight(pen, 0, 0, 0.16)
    if rng.random() < 0.5:
        pen.ellipse(0.75, 0.55, 0.58, 0.5, colour, relief=0.3)
        pen.ellipse(0.75, 0.55, 0.5, 0.42, (252, 226, 178))
        for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False):
            pen.ellipse(
                0.75 + 0.27 * np.cos(angle),
                0.55 + 0.22 * np.sin(angle),
                0.15,
                0.08,
                (248, 164, 56),
                turn_deg=-np.rad2deg(angle),
            )
    return "orange"


def _draw_strawberry(pen: Pen, rng: np.random.Generator) -> str:
    colour = vary(rng, (206, 40, 46), 8)
    outline = [(0, -0.7), (0.6, -0.72), (0.85, -0.25), (0.5, 0.5), (0, 1.0)]
    outline += [(-x, y) for x, y in outline[-2:0:-1]]
    pen.shape(smooth_outline(outline), colour, relief=0.85)
    for row, y in enumerate((-0.45, -0.18, 0.1, 0.38, 0.64)):
        span = 0.68 - 0.13 * row
        for x in np.linspace(-span, span, 5 - row // 2) + (0.08 if row % 2 else 0):
            pen.ellipse(x, y, 0.045, 0.065, (244, 208, 112), grain=0)
    for angle in (-35, 0, 35, 145, 180, 215):
        _draw_leaf(pen, 0, -0.72, angle, 0.6)
    _highlight(pen, 0, 0, 0.11)
    return "red"


def _draw_grapes(pen: Pen, rng: np.random.Generator) -> str:
    name, colour = pick_colour(rng, ("purple", "green", "red"))
    pen.limb([(0, -0.7), (0.05, -1.1)], 0.09, _STEM)
    _draw_leaf(pen, 0.02, -0.85, 10, 0.7)
    for row, count in enumerate((4, 5, 4, 3, 2, 1)):
        for x in (np.arange(count) - (count - 1) / 2) * 0.4:
            place = (x + rng.normal(0, 0.03), -0.6 + 0.31 * row)
            pen.ellipse(place[0], place[1], 0.23, 0.23, vary(rng, colour, 7), relief=0.95, grain=0.03)
            pen.ellipse(
                place[0] + 0.08 * pen.canvas.light.vector[0],
                place[1] - 0.08,
                0.05,
                0.05,
                lighter(colour, 0.7),
                grain=0,
            )
    return name


def _draw_lemon(pen: Pen, rng: np.random.Generator) -> str:
    name, colour = ("yellow", (238, 212, 60)) if rng.random() < 0.7 else ("green", (128, 176, 62))
    colour = vary(rng, colour, 6)
    outline = [
        (-1.05, 0),
        (-0.85, -0.2),
        (-0.5, -0.58),
        (0.1, -0.68),
        (0.65, -0.45),
        (0.88, -0.15),
        (1.08, 0.02),
    ]
    outline += [(x, -y) for x, y in outline[-2:0:-1]]
    pen.shape(smooth_outline(outline), colour, relief=0.9, grain=0.2)
    _highlight(pen, 0, 0, 0.13)
    return name


def _draw_watermelon(pen: Pen, rng: np.random.Generator) -> str:
    flesh = vary(rng, (226, 66, 74), 8)
    angle = np.linspace(0, np.pi, 20)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for size, tone in ((1.0, (44, 110, 52)), (0.92, (206, 226, 168)), (0.84, flesh)):
        pen.shape(np.add(arc * size * (1, 0.95), (0, -0.4)), tone, relief=0.15, grain=0.12)
    for spot in arc[2:-2:3]:
        for size in (0.38, 0.64):
            pen.ellipse(spot[0] * size, spot[1] * size - 0.38, 0.035, 0.06, (36, 24, 22), grain=0)
    return "red"


def _draw_cherries(pen: Pen, rng: np.random.Generator) -> str:
    colour = vary(rng, (168, 24, 40), 8)
    for x, y in ((-0.5, 0.5), (0.5, 0.35)):
        pen.limb(
            smooth_outline([(0.1, -1.0), (0.1 + x * 0.5, -0.4), (x, y - 0.35)], closed=False),
            0.06,
            (104, 112, 52),
        )
        pen.ellipse(x, y, 0.47, 0.45, colour, relief=0.95, grain=0.04)
        pen.ellipse(x + 0.16 * pen.canvas.light.vector[0], y - 0.16, 0.09, 0.06, (255, 236, 232), grain=0)
    _draw_leaf(pen, 0.1, -0.98, 5, 0.8)
    return "red"


def _draw_pineapple(pen: Pen, rng: np.random.Generator) -> str:
    colour = vary(rng, (206, 150, 52), 8)
    for angle in (150, 30, 130, 50, 110, 70, 90):
        _draw_leaf(pen, 0, -0.3, angle, 0.85)
    pen.ellipse(0, 0.35, 0.55, 0.68, colour, relief=0.85, grain=0.2)
    for shift in np.linspace(-0.9, 0.9, 8):
        for side in (-1, 1):
            start, stop = (shift - 0.35 * side, -0.2), (shift + 0.35 * side, 0.9)
            ends = [
                p
                for p in np.linspace(start, stop, 12)
                if (p[0] / 0.53) ** 2 + ((p[1] - 0.35) / 0.66) ** 2 < 1
            ]
            if len(ends) > 1:
                pen.limb([ends[0], ends[-1]], 0.035, darker(colour, 0.4))
    return "yellow"


def draw_dish(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a dish on a plate or in a bowl, seen at an angle; attributes as in :func:`draw_fruit`."""
    kind = DISHES[rng.integers(len(DISHES))]
    plate_name, plate = pick_colour(rng, ("white", "white", "beige", "blue", "teal", "black"), spread=6)
    tilt = float(rng.uniform(0.55, 0.9))
    flat = pen.at(0, 0, (1, tilt))
    flat.ellipse(0, 0.06, 1.0, 1.0, darker(plate, 0.35))
    flat.ellipse(0, 0, 1.0, 1.0, plate, relief=0.2, grain=0.02)
    flat.ellipse(0, 0.02, 0.76, 0.76, darker(plate, 0.1), grain=0.02)
    painters: dict[str, Callable[[Pen, Pen, np.random.Generator], None]] = {
        "pizza": _draw_pizza,
        "spaghetti": _draw_spaghetti,
        "salad": _draw_salad,
        "fried eggs": _draw_eggs,
        "soup": _draw_soup,
        "burger": _draw_burger,
        "cake": _draw_cake,
        "sushi": _draw_sushi,
    }
    painters[kind](pen, flat, rng)
    vessel = f"in a {plate_name} bowl" if kind == "soup" else f"on a {plate_name} plate"
    amount = "" if kind in ("pizza", "burger", "salad") else "portion of "
    return {
        "phrase": f"{amount}{kind} {vessel}",
        "colour": plate_name,
        "kind": kind,
        "tilt": tilt,
        "identity": int(rng.integers(1_000_000)),
    }


def _scatter(rng: np.random.Generator, count: int, radius: float) -> list[tuple[float, float]]:
    distance, angle = radius * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    return list(zip(distance * np.cos(angle), distance * np.sin(angle), strict=True))


def _draw_pizza(_pen: Pen, flat: Pen, rng: np.random.Generator) -> None:
    flat.ellipse(0, 0, 0.88, 0.88, (196, 138, 74), relief=0.4, grain=0.2)
    flat.ellipse(0, 0, 0.76, 0.76, (200, 66, 42), grain=0.2)
    flat.ellipse(0, 0, 0.7, 0.7, (240, 204, 112), grain=0.35)
    for x, y in _scatter(rng, 8, 0.58):
        flat.ellipse(x, y, 0.13, 0.13, (176, 44, 38), relief=0.3)
    for x, y in _scatter(rng, 7, 0.6):
        flat.ellipse(x, y, 0.08, 0.05, (62, 116, 50), turn_deg=float(rng.uniform(0, 180)))
    for angle in np.linspace(0, np.pi, 4)[:-1] + rng.uniform(0, 1):
        tip = 0.86 * np.array([np.cos(angle), np.sin(angle)])
        flat.limb([-tip, tip], 0.022, (168, 112, 58))


def _draw_spaghetti(_pen: Pen, flat: Pen, rng: np.random.Generator) -> None:
    base: Colour = (232, 200, 118)
    flat.ellipse(0, -0.05, 0.68, 0.6, darker(base, 0.25), relief=0.5, grain=0.2)
    for _ in range(16):
        centre, radius = rng.normal(0, 0.16, 2), rng.uniform(0.2, 0.42)
        angle = np.linspace(0, rng.uniform(3, 6), 9) + rng.uniform(0, 6)
        curl = np.stack(
            [centre[0] + radius * np.cos(angle), centre[1] - 0.08 + radius * 0.8 * np.sin(angle)], axis=1
        )
        flat.limb(curl, 0.055, vary(rng, base, 9), grain=0.03)
    flat.ellipse(0, -0.2, 0.36, 0.28, (180, 50, 34), relief=0.7, grain=0.35)
    for x, y in _scatter(rng, 3, 0.22):
        flat.ellipse(x, y - 0.25, 0.12, 0.12, (122, 62, 40), relief=0.7)
    _draw_leaf(flat, 0, -0.3, 40, 0.25)


def _draw_salad(_pen: Pen, flat: Pen, rng: np.random.Generator) -> None:
    for x, y in _scatter(rng, 16, 0.58):
        green = vary(rng, (104, 158, 58), 16)
        bumps = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        edge = (
            0.26 * (1 + 0.25 * rng.normal(size=9))[:, None] * np.stack([np.cos(bumps), np.sin(bumps)], axis=1)
        )
        flat.shape(smooth_outline(np.add(edge, (x, y)), n_between=2), green, relief=0.6, grain=0.3)
    for x, y in _scatter(rng, 5, 0.5):
        flat.ellipse(x, y, 0.15, 0.15, (208, 52, 42), relief=0.8)
        flat.ellipse(x - 0.04, y - 0.05, 0.04, 0.03, (255, 226, 216), grain=0)
    for x, y in _scatter(rng, 3, 0.5):
        flat.ellipse(x, y, 0.15, 0.13, (198, 222, 150), relief=0.2)


def _draw_eggs(_pen: Pen, flat: Pen, rng: np.random.Generator) -> None:
    for x in (-0.32, 0.3)[: int(rng.integers(1, 3))]:
        bumps = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        edge = (
            0.42 * (1 + 0.12 * rng.normal(size=8))[:, None] * np.stack([np.cos(bumps), np.sin(bumps)], axis=1)
        )
        flat.shape(smooth_outline(np.add(edge, (x, 0.02))), (250, 246, 236), relief=0.25, grain=0.03)
        flat.ellipse(x, 0, 0.19, 0.19, (244, 172, 40), relief=0.8, grain=0)
        flat.ellipse(x - 0.06, -0.06, 0.05, 0.04, (255, 246, 214), grain=0)
    for y in (0.4, 0.55):
        strip = smooth_outline([(-0.5, y), (-0.2, y - 0.08), (0.1, y + 0.04), (0.45, y - 0.04)], closed=False)
        flat.limb(strip, 0.13, (160, 62, 48), relief=0.3, grain=0.4)


def _draw_soup(_pen: Pen, flat: Pen, rng: np.random.Generator) -> None:
    colour = vary(rng, [(212, 108, 48), (196, 60, 40), (140, 158, 72), (222, 188, 112)][rng.integers(4)], 8)
    rim = smooth_outline([(-0.95, 0.05), (-0.7, 0.85), (0, 1.15), (0.7, 0.85), (0.95, 0.05)])
    flat.shape(rim, (224, 222, 216), relief=0.6, grain=0.03)
    flat.ellipse(0, 0, 0.95, 0.8, (244, 242, 238), grain=0.02)
    flat.ellipse(0, 0.03, 0.82, 0.68, colour, relief=0.15, grain=0.15)
    for x, y in _scatter(rng, 7, 0.5):
        flat.ellipse(x, y, 0.09, 0.07, vary(rng, (110, 140, 60), 20), relief=0.3)
    swirl = np.linspace(0, 7, 16)
    flat.limb(
        np.stack([0.04 * swirl * np.cos(swirl), 0.035 * swirl * np.sin(swirl)], axis=1), 0.05, (250, 240, 220)
    )


def _draw_burger(pen: Pen, _flat: Pen, rng: np.random.Generator) -> None:
    bun = vary(rng, (204, 140, 70), 8)
    pen.limb([(-0.45, 0.28), (0.45, 0.28)], 0.32, bun, relief=0.5, grain=0.1)
    pen.limb([(-0.52, 0.08), (0.52, 0.08)], 0.22, (98, 56, 38), relief=0.5, grain=0.4)
    pen.shape([(-0.6, -0.06), (0.6, -0.06), (0.35, 0.14), (0.1, -0.02), (-0.25, 0.16)], (246, 194, 60))
    pen.limb([(-0.5, -0.1), (0.5, -0.1)], 0.11, (206, 54, 42))
    leaf = smooth_outline(
        [(-0.64, -0.16), (-0.3, -0.08), (0, -0.18), (0.3, -0.08), (0.64, -0.17)], closed=False
    )
    pen.limb(leaf, 0.12, (110, 170, 66), relief=0.3)
    dome = [(-0.64, -0.2), (-0.55, -0.55), (0, -0.78), (0.55, -0.55), (0.64, -0.2), (0, -0.15)]
    pen.shape(smooth_outline(dome), bun, relief=0.8, grain=0.08)
    for x, y in _scatter(rng, 12, 0.4):
        pen.ellipse(x, -0.52 + y * 0.3, 0.04, 0.025, (250, 234, 196), grain=0)


def _draw_cake(pen: Pen, _flat: Pen, rng: np.random.Generator) -> None:
    cream = vary(rng, [(250, 236, 214), (98, 56, 40), (240, 178, 190)][rng.integers(3)], 6)
    sponge = vary(rng, [(226, 180, 110), (110, 66, 44)][rng.integers(2)], 8)
    pen.shape([(-0.62, -0.32), (0.55, -0.1), (0.55, 0.5), (-0.62, 0.22)], sponge, grain=0.3)
    pen.shape([(-0.62, -0.09), (0.55, 0.14), (0.55, 0.23), (-0.62, 0.0)], cream)
    pen.shape([(-0.62, -0.32), (0.3, -0.62), (0.55, -0.1)], cream, relief=0.25, grain=0.04)
    pen.shape([(-0.62, -0.32), (0.55, -0.1), (0.55, 0.0), (-0.62, -0.22)], cream, shade=0.92)
    pen.ellipse(0.2, -0.46, 0.16, 0.16, (202, 34, 46), relief=0.9)
    pen.ellipse(0.15, -0.52, 0.04, 0.03, (255, 230, 226), grain=0)


def _draw_sushi(pen: Pen, _flat: Pen, rng: np.random.Generator) -> None:
    for x, y in ((-0.4, -0.32), (0.1, -0.38), (-0.48, 0.18), (0.02, 0.12), (0.48, -0.05), (0.4, 0.4)):
        core = [(238, 124, 84), (108, 158, 66), (246, 206, 74)][rng.integers(3)]
        pen.limb([(x, y), (x, y + 0.14)], 0.46, (30, 40, 34), relief=0.3)
        pen.ellipse(x, y, 0.23, 0.18, (34, 46, 40))
        pen.ellipse(x, y, 0.18, 0.14, (248, 246, 240), grain=0.25)
        pen.ellipse(x, y, 0.09, 0.07, vary(rng, core, 8))
