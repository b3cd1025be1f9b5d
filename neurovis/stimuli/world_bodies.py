"""Bodies of people and animals with articulated limbs. Local units: the body spans about -1 to 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.stimuli.world_canvas import Colour, Pen, smooth_outline
from neurovis.stimuli.world_palette import FUR, HAIR, SKIN, add_article, darker, lighter, pick_colour, vary

# Angles of upper and lower arm, upper and lower leg of the left and right side [degrees from hanging
# straight down, positive to the right of the image].
POSES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "standing": (-12, -6, 12, 6, -5, -3, 5, 3),
        "walking": (-30, 5, 28, 50, -24, -32, 26, 10),
        "running": (-55, 20, 50, 110, -35, -95, 55, -10),
        "waving": (-14, -8, 120, 165, -6, -4, 6, 4),
        "jumping": (-140, -155, 140, 155, -38, -20, 38, 20),
        "dancing": (-75, -140, 80, 30, -12, -4, 48, -20),
        "sitting": (-16, 35, 20, 60, 68, 2, 84, 6),
    }
)
SPECIES = ("dog", "cat", "horse", "cow", "zebra", "giraffe", "elephant", "sheep", "bird")


@dataclass(frozen=True)
class _Build:
    """Proportions of a quadruped in local units and degrees."""

    length: float
    depth: float
    leg: float
    neck: float
    neck_deg: float
    head: float
    tail: float
    thick: float


_BUILDS: Mapping[str, _Build] = MappingProxyType(
    {
        "dog": _Build(0.62, 0.27, 0.52, 0.3, 55, 0.22, 0.45, 0.13),
        "cat": _Build(0.58, 0.24, 0.42, 0.2, 50, 0.21, 0.65, 0.11),
        "horse": _Build(0.62, 0.3, 0.72, 0.55, 58, 0.2, 0.55, 0.12),
        "cow": _Build(0.72, 0.36, 0.5, 0.26, 25, 0.24, 0.5, 0.14),
        "zebra": _Build(0.62, 0.3, 0.62, 0.46, 55, 0.2, 0.45, 0.12),
        "giraffe": _Build(0.5, 0.27, 0.75, 1.0, 68, 0.17, 0.35, 0.1),
        "elephant": _Build(0.7, 0.48, 0.5, 0.15, 20, 0.36, 0.4, 0.24),
        "sheep": _Build(0.56, 0.38, 0.42, 0.18, 35, 0.2, 0.12, 0.12),
    }
)


def draw_person(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a whole person from behind or in front, with a head too small to show a face.

    Returns
    -------
    dict
        Attributes: ``phrase`` for the caption, ``colour`` of the clothes, ``identity`` and ``pose``.
    """
    skin_name, skin = pick_colour(rng, palette=SKIN, spread=5)
    _, hair = pick_colour(rng, palette=HAIR, spread=7)
    shirt_name, shirt = pick_colour(rng)
    _, trousers = pick_colour(rng, ("blue", "black", "grey", "brown", "beige", "white"))
    pose = list(POSES)[rng.integers(len(POSES))]
    outfit = ("trousers", "shorts", "dress", "skirt")[rng.choice(4, p=[0.5, 0.2, 0.15, 0.15])]
    identity = int(rng.integers(1_000_000))
    angles = np.array(POSES[pose]) + rng.normal(0, 7, 8)
    build = rng.uniform(0.85, 1.2)
    striped = rng.random() < 0.25
    hip, shoulder = 0.1, 0.2 * build
    lean = 0.12 if pose == "running" else 0.0
    neck = np.array([lean, -0.62])
    arms = [
        _reach(np.add(neck, (side * shoulder, 0.06)), angles[i : i + 2], 0.3, 0.29)
        for side, i in ((-1, 0), (1, 2))
    ]
    legs = [
        _reach(np.array([side * hip * build, 0.1]), angles[i : i + 2], 0.42, 0.42)
        for side, i in ((-1, 4), (1, 6))
    ]
    sleeve = shirt if rng.random() < 0.5 else skin
    cover = skin if outfit in ("dress", "skirt") else trousers
    if pose == "sitting":
        wood = vary(rng, (128, 90, 58), 14)
        for x in (-0.3, 0.3):
            pen.limb([(x, 0.2), (x * 1.15, 0.92)], 0.07, darker(wood, 0.25), relief=0.4)
        pen.limb([(-0.32, 0.2), (0.32, 0.2)], 0.12, wood, relief=0.4, grain=0.2)
    shoe = darker(pick_colour(rng, ("black", "brown", "white", "red"))[1], 0.2)
    for side, leg in zip((-1, 1), legs, strict=True):
        lower = skin if outfit != "trousers" else trousers
        pen.limb(leg[1:], [0.15 * build, 0.1], lower, relief=0.6, grain=0.1)
        pen.limb(leg[:2], [0.22 * build, 0.16 * build], cover, relief=0.6, grain=0.12)
        toe = np.add(leg[2], (side * 0.09 if pose in ("standing", "waving", "jumping") else 0.11, 0.02))
        pen.limb([leg[2], toe], [0.11, 0.09], shoe, relief=0.4)
    pen.limb(arms[0][1:], [0.11 * build, 0.08], skin, relief=0.6)
    pen.limb(arms[0][:2], [0.14 * build, 0.11 * build], sleeve, relief=0.6)
    torso: list[ArrayLike] = [
        np.add(neck, (-0.08, -0.02)), np.add(neck, (-shoulder - 0.03, 0.06)), (lean / 2 - 0.15 * build, -0.2),
        (-0.19 * build, 0.16), (0.19 * build, 0.16), (lean / 2 + 0.15 * build, -0.2),
        np.add(neck, (shoulder + 0.03, 0.06)), np.add(neck, (0.08, -0.02)),
    ]  # fmt: skip
    pen.limb([np.add(neck, (0, 0.05)), np.add(neck, (0, -0.12))], 0.11, darker(skin, 0.15))
    if outfit not in ("dress", "skirt"):
        pen.shape(
            [(-0.19 * build, 0.05), (0.19 * build, 0.05), (0.2 * build, 0.2), (-0.2 * build, 0.2)],
            cover,
            relief=0.4,
        )
    pen.shape(smooth_outline(torso), shirt, relief=0.6, grain=0.15)
    if striped:
        for y in (-0.46, -0.3, -0.14, 0.02):
            pen.limb(
                [(-0.14 * build + lean / 2, y), (0.14 * build + lean / 2, y)], 0.05, lighter(shirt, 0.55)
            )
    if outfit in ("dress", "skirt"):
        cloth = shirt if outfit == "dress" else trousers
        flare = rng.uniform(0.3, 0.42)
        pen.shape([(-0.16, 0.0), (0.16, 0.0), (flare, 0.48), (-flare, 0.48)], cloth, relief=0.5, grain=0.15)
    pen.limb(arms[1][1:], [0.11 * build, 0.08], skin, relief=0.6)
    pen.limb(arms[1][:2], [0.14 * build, 0.11 * build], sleeve, relief=0.6)
    for arm in arms:
        pen.ellipse(arm[2][0], arm[2][1], 0.06, 0.065, skin, relief=0.4)
    back = rng.random() < 0.5
    x, y = np.add(neck, (lean * 0.4, -0.22))
    if rng.random() < 0.4:
        pen.limb([(x, y - 0.04), (x, y + 0.2)], [0.3, 0.26], hair, relief=0.4, grain=0.3)
    pen.ellipse(x, y, 0.13, 0.165, hair if back else skin, relief=0.6, grain=0.25 if back else 0.05)
    if not back:
        cap = [
            (x - 0.14, y),
            (x - 0.13, y - 0.13),
            (x, y - 0.19),
            (x + 0.13, y - 0.13),
            (x + 0.14, y),
            (x, y - 0.08),
        ]
        pen.shape(smooth_outline(cap), hair, relief=0.4, grain=0.3)
    wear = "dress" if outfit == "dress" else "shirt"
    return {
        "phrase": f"{pose} person in {add_article(shirt_name)} {wear}",
        "colour": shirt_name,
        "identity": identity,
        "pose": pose,
        "skin": skin_name,
        "outfit": outfit,
    }


def _reach(start: NDArray, angles_deg: NDArray, upper: float, lower: float) -> NDArray[np.float64]:
    """Joints of a two-part limb that hangs from ``start``."""
    angle = np.deg2rad(angles_deg)
    steps = np.stack([np.sin(angle), np.cos(angle)], axis=1) * np.array([[upper], [lower]])
    return np.concatenate([[start], start + np.cumsum(steps, axis=0)])


def draw_animal_body(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw an animal from the side, walking or standing; attributes as in :func:`draw_person`."""
    species = SPECIES[rng.integers(len(SPECIES))]
    palette_of = {
        "zebra": ("white",), "elephant": ("grey",), "sheep": ("white",), "giraffe": ("tan",),
        "horse": ("brown", "black", "tan", "white"), "cow": ("white", "brown"), "bird": None,
    }  # fmt: skip
    colour_name, colour = pick_colour(rng, palette_of.get(species), palette=FUR, spread=8)
    identity = int(rng.integers(1_000_000))
    pose = ("standing", "walking")[rng.integers(2)]
    if species == "bird":
        colour_name, colour = pick_colour(rng, ("red", "blue", "yellow", "brown", "grey", "white", "green"))
        _draw_bird(pen, colour)
    else:
        _draw_quadruped(pen, rng, species, colour, stride_deg=22.0 if pose == "walking" else 5.0)
    return {
        "phrase": f"{colour_name} {species}"
        + (" that is walking" if pose == "walking" and species != "bird" else ""),
        "colour": colour_name,
        "identity": identity,
        "pose": pose,
        "species": species,
    }


def _draw_quadruped(
    pen: Pen, rng: np.random.Generator, species: str, colour: Colour, *, stride_deg: float
) -> None:
    build = _BUILDS[species]
    phase = rng.uniform(0, 2 * np.pi)
    half, depth = build.length, build.depth
    top = 0.85 - build.leg - depth
    dark = darker(colour, 0.25)
    far = darker(colour, 0.3)

    def draw_legs(pairs: tuple[tuple[float, float], ...], tone: Colour) -> None:
        for x, shift in pairs:
            swing = stride_deg * np.sin(phase + shift)
            leg = _reach(
                np.array([x, top + depth * 0.5]), np.array([swing, swing - abs(stride_deg) * 0.5]),
                (build.leg + depth * 0.5) * 0.5, (build.leg + depth * 0.5) * 0.5,
            )  # fmt: skip
            pen.limb(leg, [build.thick * 1.7, build.thick, build.thick * 0.8], tone, relief=0.5, grain=0.2)
            pen.limb([leg[2], np.add(leg[2], (0.05, 0.0))], build.thick, darker(tone, 0.6))

    draw_legs(((-half * 0.62, 0.0), (half * 0.72, 2.2)), far)
    tail = [
        (-half * 0.95, top - 0.05),
        (-half - 0.15, top - build.tail * (0.4 if species in ("cat", "dog") else -0.3)),
    ]
    tail.append((-half - 0.18, top + build.tail * (-0.9 if species in ("cat", "dog") else 0.9)))
    pen.limb(smooth_outline(tail, closed=False), 0.07, dark, relief=0.4, grain=0.2)
    neck_angle = np.deg2rad(build.neck_deg)
    base = np.array([half * 0.72, top - depth * 0.2])
    head = base + (build.neck + 0.22) * np.array([np.cos(neck_angle), -np.sin(neck_angle)])
    trunk = [
        (-half, top - depth * 0.1), (-half * 0.7, top - depth * 0.85), (0, top - depth * 0.78),
        (half * 0.7, top - depth * 0.9), (half * 1.02, top - depth * 0.1), (half * 0.75, top + depth * 0.75),
        (0, top + depth * 0.85), (-half * 0.75, top + depth * 0.7),
    ]  # fmt: skip
    if species == "sheep":
        trunk = [
            (half * 1.1 * np.cos(a) * (1 + 0.07 * (-1) ** k), top + depth * np.sin(a) * (1 + 0.1 * (-1) ** k))
            for k, a in enumerate(np.linspace(0, 2 * np.pi, 18, endpoint=False))
        ]
    pen.limb([base, head], [depth * 1.1, build.head * 1.1], colour, relief=0.6, grain=0.2)
    pen.shape(smooth_outline(trunk), colour, relief=0.75, grain=0.3 if species == "sheep" else 0.2)
    _draw_pattern(pen, rng, species, half, depth, top, base, head)
    draw_legs(((-half * 0.78, 3.1), (half * 0.58, 5.3)), colour)
    _draw_head(pen, species, colour, head, build)


def _draw_pattern(
    pen: Pen,
    rng: np.random.Generator,
    species: str,
    half: float,
    depth: float,
    top: float,
    base: NDArray,
    head: NDArray,
) -> None:
    dark = (48, 42, 42)
    if species == "zebra":
        for x in np.linspace(-half * 0.8, half * 0.85, 8):
            pen.limb([(x, top - depth * 0.75), (x - 0.05, top + depth * 0.6)], [0.06, 0.04], dark)
        for share in (0.25, 0.5, 0.75):
            spot = base + share * (head - base)
            pen.limb([np.add(spot, (-0.13, -0.05)), np.add(spot, (0.11, 0.06))], 0.05, dark)
        pen.limb([np.add(base, (-0.12, -0.12)), np.add(head, (-0.12, -0.06))], 0.09, dark)
    elif species == "horse":
        mane = darker((90, 60, 40), rng.uniform(0, 0.6))
        pen.limb([np.add(base, (-0.14, -0.12)), np.add(head, (-0.12, -0.05))], [0.16, 0.12], mane, grain=0.3)
    elif species in ("cow", "giraffe"):
        tone = (56, 44, 40) if species == "cow" else (142, 88, 46)
        for _ in range(5 if species == "cow" else 10):
            x, y = rng.uniform(-half * 0.8, half * 0.8), top + rng.uniform(-0.5, 0.5) * depth
            radius = rng.uniform(0.1, 0.17) if species == "cow" else rng.uniform(0.06, 0.09)
            pen.ellipse(x, y, radius, radius * rng.uniform(0.7, 1), tone, grain=0.2)
        if species == "giraffe":
            for share in np.linspace(0.15, 0.85, 6):
                spot = base + share * (head - base) + rng.normal(0, 0.02, 2)
                pen.ellipse(spot[0], spot[1], 0.055, 0.05, tone, grain=0.2)


def _draw_head(pen: Pen, species: str, colour: Colour, head: NDArray, build: _Build) -> None:
    size = build.head
    tone = (70, 62, 60) if species == "sheep" else colour
    long_nosed = species in ("horse", "zebra", "cow", "dog", "giraffe")
    tip = np.add(head, (size * (1.5 if long_nosed else 0.9), size * 0.75))
    if species == "elephant":
        trunk = [
            np.add(head, (size * 0.6, 0.1)),
            np.add(head, (size * 1.1, 0.35)),
            np.add(head, (size * 1.0, 0.7)),
            np.add(head, (size * 1.3, 0.85)),
        ]
        pen.limb(smooth_outline(trunk, closed=False), 0.16, tone, relief=0.5, grain=0.2)
        pen.limb(
            [np.add(head, (size * 0.7, 0.2)), np.add(head, (size * 1.5, 0.32))], [0.07, 0.04], (238, 232, 214)
        )
    pen.limb([head, tip], [size * 1.5, size * 0.85], tone, relief=0.65, grain=0.18)
    if species == "elephant":
        pen.ellipse(
            head[0] - size * 0.25,
            head[1] + 0.02,
            size * 0.62,
            size * 0.85,
            darker(tone, 0.12),
            relief=0.6,
            grain=0.2,
        )
    elif species in ("cat", "dog", "horse", "zebra"):
        ear = darker(tone, 0.2)
        if species == "dog":
            pen.limb(
                [np.add(head, (-size * 0.3, -size * 0.4)), np.add(head, (-size * 0.5, size * 0.5))],
                [0.12, 0.1],
                ear,
                relief=0.4,
            )
        else:
            pen.shape(
                [
                    np.add(head, (-size * 0.6, -size * 0.4)),
                    np.add(head, (-size * 0.35, -size * 1.4)),
                    np.add(head, (size * 0.1, -size * 0.6)),
                ],
                ear,
            )
    elif species in ("cow", "giraffe"):
        pen.limb(
            [np.add(head, (0, -size * 0.5)), np.add(head, (-size * 0.1, -size * 1.3))], 0.05, (214, 200, 170)
        )
        pen.limb(
            [np.add(head, (-size * 0.4, -size * 0.2)), np.add(head, (-size * 1.1, -size * 0.3))],
            [0.1, 0.06],
            darker(tone, 0.25),
        )
    pen.ellipse(head[0] + size * 0.3, head[1] - size * 0.2, 0.035, 0.035, (20, 18, 20), grain=0)
    pen.ellipse(
        tip[0] + size * 0.2, tip[1] - size * 0.05, size * 0.18, size * 0.15, darker(tone, 0.65), grain=0
    )


def _draw_bird(pen: Pen, colour: Colour) -> None:
    for x in (-0.05, 0.12):
        pen.limb([(x, 0.4), (x + 0.02, 0.85), (x + 0.14, 0.88)], 0.05, (190, 130, 50))
    pen.shape(
        [(-0.5, 0.05), (-1.0, 0.4), (-0.9, 0.58), (-0.35, 0.4)], darker(colour, 0.35), relief=0.3, grain=0.2
    )
    body = [(0.5, -0.3), (0.62, 0.1), (0.3, 0.5), (-0.25, 0.5), (-0.6, 0.2), (-0.3, -0.1), (0.1, -0.35)]
    pen.shape(smooth_outline(body), colour, relief=0.8, grain=0.2)
    pen.ellipse(0.3, 0.22, 0.26, 0.22, lighter(colour, 0.55), relief=0.3, grain=0.2)
    pen.ellipse(0.42, -0.45, 0.3, 0.28, colour, relief=0.7, grain=0.2)
    wing = [(0.2, -0.1), (0.1, 0.28), (-0.4, 0.42), (-0.7, 0.38), (-0.35, 0.0)]
    pen.shape(smooth_outline(wing), darker(colour, 0.3), relief=0.5, grain=0.25)
    pen.shape([(0.66, -0.55), (1.0, -0.42), (0.66, -0.34)], (226, 160, 52), relief=0.3)
    pen.ellipse(0.5, -0.5, 0.06, 0.06, (18, 16, 18), grain=0)
