"""Faces of people and animals. Local units: the head spans about -1 to 1 vertically."""

from __future__ import annotations

import numpy as np

from neurovis.stimuli.world_canvas import Colour, Pen, smooth_outline
from neurovis.stimuli.world_palette import FUR, HAIR, SKIN, darker, lighter, mix, pick_colour, vary

HAIR_STYLES = ("short", "long", "bob", "curly", "bald", "bun")
EXPRESSIONS = ("smiling", "neutral", "surprised", "frowning")
ANIMALS = ("cat", "dog", "bear", "rabbit", "fox", "monkey", "panda", "pig")


def draw_human_face(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a head with neck and shoulders; the shoulders are background, not face.

    Returns
    -------
    dict
        Attributes: ``phrase`` for the caption, ``colour``, ``identity`` and pose.
    """
    skin_name, skin = pick_colour(rng, palette=SKIN, spread=5)
    hair_name, hair = pick_colour(rng, palette=HAIR, spread=7)
    _, shirt = pick_colour(rng)
    style = HAIR_STYLES[rng.integers(len(HAIR_STYLES))]
    expression = EXPRESSIONS[rng.choice(4, p=[0.4, 0.3, 0.15, 0.15])]
    identity = int(rng.integers(1_000_000))
    jaw, width = rng.uniform(0.42, 0.62), rng.uniform(0.68, 0.8)
    yaw, nod = rng.normal(0, 0.28), rng.normal(0, 0.06)
    yaw = float(np.clip(yaw, -0.7, 0.7))
    beard = rng.random() < 0.2 and style in ("short", "bald", "curly")
    glasses = rng.random() < 0.2

    pen.at(0, 0, owner=0).limb([(0, 1.9), (0, 2.6)], [2.3, 2.6], shirt, relief=0.5)
    pen.at(0, 0, owner=0).limb([(-0.75, 1.75), (0.75, 1.75)], [0.75, 0.75], shirt, relief=0.4)
    if style in ("long", "bob"):
        length = 1.5 if style == "long" else 0.85
        back = [(-0.85, -0.5), (-0.5, -1.05), (0.5, -1.05), (0.85, -0.5), (0.95, length), (-0.95, length)]
        pen.shape(smooth_outline(back), darker(hair, 0.15), relief=0.4, grain=0.3)
    if style == "bun":
        pen.ellipse(-0.25 * yaw, -1.15, 0.38, 0.32, hair, relief=0.6, grain=0.3)
    pen.limb([(0, 0.6), (0, 1.45)], [0.62, 0.78], darker(skin, 0.22), relief=0.3)
    for side in (-1, 1):
        ear_x = side * (width + 0.02) - 0.25 * yaw
        pen.ellipse(ear_x, 0.02, 0.13, 0.22, darker(skin, 0.1), relief=0.5)
    head = [
        (0, -1), (width * 0.7, -0.85), (width, -0.25), (width * 0.95, 0.3), (jaw, 0.8), (jaw * 0.35, 1.0),
        (-jaw * 0.35, 1.0), (-jaw, 0.8), (-width * 0.95, 0.3), (-width, -0.25), (-width * 0.7, -0.85),
    ]  # fmt: skip
    pen.shape(smooth_outline(head), skin, relief=0.75, grain=0.05)
    cheek = mix(skin, (220, 90, 80), 0.22)
    front = pen.at(0.42 * yaw, nod)
    for side in (-1, 1):
        front.ellipse(side * 0.42, 0.32, 0.17, 0.13, cheek, grain=0.03)
    if beard:
        chin = [
            (-width * 0.94, 0.15), (-0.5, 0.4), (0, 0.36), (0.5, 0.4), (width * 0.94, 0.15),
            (jaw * 1.02, 0.8), (0, 1.06), (-jaw * 1.02, 0.8),
        ]  # fmt: skip
        pen.shape(smooth_outline(chin), darker(hair, 0.1), relief=0.35, grain=0.35)
    _draw_features(front, rng, skin, hair, expression, glasses=glasses)
    _draw_hair(pen, style, hair, width, yaw)
    adjective = "" if expression == "neutral" else expression + " "
    details = "a bald head" if style == "bald" else f"{hair_name} hair"
    extra = " and glasses" if glasses else " and a beard" if beard else ""
    return {
        "phrase": f"{adjective}face with {details}{extra}",
        "colour": skin_name,
        "identity": identity,
        "expression": expression,
        "hair": style,
        "hair_colour": hair_name,
        "yaw": yaw,
    }


def _draw_features(
    pen: Pen, rng: np.random.Generator, skin: Colour, hair: Colour, expression: str, *, glasses: bool
) -> None:
    spacing, eye_y = rng.uniform(0.3, 0.38), rng.uniform(-0.16, -0.04)
    eye = rng.uniform(0.13, 0.17)
    iris = vary(rng, [(70, 46, 30), (60, 90, 140), (74, 104, 66)][rng.integers(3)], 8)
    brow_lift = {"surprised": -0.1, "frowning": 0.04}.get(expression, 0.0)
    brow_tilt = {"surprised": 0.05, "frowning": -0.1}.get(expression, 0.02)
    gaze, nose, mouth_width = rng.normal(0, 0.03), rng.uniform(0.26, 0.36), rng.uniform(0.24, 0.34)
    open_eye = eye * (0.78 if expression == "surprised" else 0.52)
    for side in (-1, 1):
        x = side * spacing
        pen.ellipse(x, eye_y, eye * 1.25, open_eye * 1.7, darker(skin, 0.18), grain=0.03)
        pen.ellipse(x, eye_y + 0.01, eye, open_eye, (240, 238, 234), grain=0)
        pen.ellipse(x + gaze, eye_y + 0.01, open_eye * 0.98, open_eye * 0.98, iris, grain=0)
        pen.ellipse(x + gaze, eye_y + 0.01, open_eye * 0.5, open_eye * 0.5, (16, 14, 16), grain=0)
        pen.ellipse(x + gaze - 0.03, eye_y - 0.03, 0.025, 0.025, (255, 255, 255), grain=0)
        pen.limb([(x - eye, eye_y), (x, eye_y - open_eye), (x + eye, eye_y)], 0.045, darker(hair, 0.4))
        brow_y = eye_y - 0.24 + brow_lift
        brow = [
            (x - side * 0.17, brow_y - brow_tilt),
            (x, brow_y - 0.05),
            (x + side * 0.19, brow_y + brow_tilt),
        ]
        pen.limb(brow, [0.08, 0.09, 0.05], darker(hair, 0.25))
    pen.limb([(0.03, eye_y + 0.1), (0.06, 0.12 + nose * 0.5)], [0.08, 0.12], lighter(skin, 0.22))
    pen.ellipse(0.02, 0.12 + nose * 0.72, 0.15, 0.09, darker(skin, 0.12), relief=0.5)
    for side in (-1, 1):
        pen.ellipse(0.02 + side * 0.07, 0.15 + nose * 0.82, 0.04, 0.025, darker(skin, 0.55))
    lips, mouth_y = mix(darker(skin, 0.2), (178, 50, 58), 0.55), 0.64
    if expression == "surprised":
        pen.ellipse(0, mouth_y, 0.15, 0.17, lips)
        pen.ellipse(0, mouth_y, 0.1, 0.12, (60, 20, 22))
    elif expression == "smiling":
        curve = [(-mouth_width, -0.1), (0, 0.0), (mouth_width, -0.1), (mouth_width * 0.6, 0.08), (0, 0.15)]
        outline = smooth_outline(np.add([*curve, (-mouth_width * 0.6, 0.08)], (0, mouth_y)))
        pen.shape(outline, lips)
        teeth = [(-mouth_width * 0.75, -0.05), (0, 0.02), (mouth_width * 0.75, -0.05), (0, 0.09)]
        pen.shape(smooth_outline(np.add(np.array(teeth), (0, mouth_y))), (246, 244, 238), grain=0)
    else:
        bend = 0.1 if expression == "frowning" else -0.015
        corner = mouth_y + bend
        pen.limb(
            [(-mouth_width, corner), (0, mouth_y - 0.02), (mouth_width, corner)], [0.05, 0.1, 0.05], lips
        )
        pen.limb(
            [(-mouth_width, corner), (0, mouth_y - 0.02), (mouth_width, corner)], 0.025, darker(lips, 0.5)
        )
    if glasses:
        rim = (40, 36, 40)
        for side in (-1, 1):
            ring = smooth_outline(
                [
                    (x * 0.24 + side * spacing, y * 0.2 + eye_y)
                    for x, y in ((-1, -0.8), (1, -0.8), (0.9, 1), (-0.9, 1))
                ]
            )
            pen.limb(np.concatenate([ring, ring[:1]]), 0.045, rim)
        pen.limb([(-spacing + 0.22, eye_y - 0.05), (spacing - 0.22, eye_y - 0.05)], 0.045, rim)


def _draw_hair(pen: Pen, style: str, hair: Colour, width: float, yaw: float) -> None:
    if style == "bald":
        return
    if style == "curly":
        for angle in np.linspace(200, -20, 11):
            x, y = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
            pen.ellipse(x * width * 1.02, -0.42 - y * 0.62, 0.27, 0.26, hair, relief=0.6, grain=0.35)
        return
    part = 0.3 * yaw
    fringe = [
        (-width * 1.06, 0.0), (-width * 1.05, -0.6), (-0.4, -1.1), (0.4, -1.1), (width * 1.05, -0.6),
        (width * 1.06, 0.0), (width * 0.9, -0.3), (0.35 + part, -0.62), (part - 0.1, -0.55),
        (-width * 0.9, -0.3),
    ]  # fmt: skip
    pen.shape(smooth_outline(fringe), hair, relief=0.6, grain=0.3)
    pen.limb([(-0.4, -0.92), (0.05, -1.0), (0.35, -0.93)], 0.07, lighter(hair, 0.25), grain=0.3)
    if style == "long":
        for side in (-1, 1):
            lock = [(side * width * 1.02, -0.2), (side * width * 1.16, 0.6), (side * width * 1.05, 1.4)]
            pen.limb(lock, [0.24, 0.34, 0.3], hair, relief=0.5, grain=0.3)


def draw_animal_face(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw the frontal head of an animal; attributes as in :func:`draw_human_face`."""
    animal = ANIMALS[rng.integers(len(ANIMALS))]
    palette_of = {
        "fox": ("orange",), "panda": ("white",), "pig": ("tan",), "monkey": ("brown", "tan"),
        "bear": ("brown", "black", "tan"), "rabbit": ("white", "grey", "tan", "brown"),
    }  # fmt: skip
    fur_name, fur = pick_colour(rng, palette_of.get(animal), palette=FUR, spread=8)
    if animal == "pig":
        fur_name, fur = "pink", vary(rng, (226, 160, 150), 7)
    identity = int(rng.integers(1_000_000))
    yaw = float(np.clip(rng.normal(0, 0.22), -0.5, 0.5))
    pale = lighter(fur, 0.55)
    inner = mix(fur, (222, 150, 144), 0.6)
    _draw_ears(pen, animal, fur, inner)
    wide = {"cat": 0.95, "fox": 0.95, "rabbit": 0.78, "dog": 0.8, "monkey": 0.85}.get(animal, 0.95)
    low = {"cat": 0.82, "fox": 0.95, "dog": 0.95, "panda": 0.82}.get(animal, 0.88)
    head = [(0, -0.8), (wide * 0.7, -0.62), (wide, 0.05), (wide * 0.66, low * 0.72), (0, low)]
    head += [(-x, y) for x, y in head[-2:0:-1]]
    pen.shape(smooth_outline(head), fur, relief=0.75, grain=0.28)
    front = pen.at(0.35 * yaw, 0)
    if animal == "monkey":
        mask = [
            (0, -0.35),
            (0.45, -0.5),
            (0.62, -0.1),
            (0.6, 0.5),
            (0, 0.85),
            (-0.6, 0.5),
            (-0.62, -0.1),
            (-0.45, -0.5),
        ]
        front.shape(smooth_outline(mask), mix(pale, (214, 168, 134), 0.6), relief=0.4, grain=0.08)
    if animal == "fox":
        for side in (-1, 1):
            cheek = [(side * 0.05, 0.2), (side * 0.85, 0.1), (side * 0.6, 0.65), (0, 0.95)]
            front.shape(smooth_outline(cheek), (236, 230, 222), grain=0.25)
    if animal in ("dog", "cat") and rng.random() < 0.5:
        patch = lighter(fur, 0.5) if rng.random() < 0.6 else darker(fur, 0.5)
        front.shape(
            smooth_outline([(-0.13, -0.78), (0.13, -0.78), (0.16, 0.2), (-0.16, 0.2)]), patch, grain=0.25
        )
    if animal == "cat":
        for x in (-0.22, 0, 0.22):
            front.limb([(x, -0.72), (x * 0.8, -0.42)], [0.07, 0.03], darker(fur, 0.45), grain=0.2)
    _draw_muzzle(front, animal, fur, pale)
    _draw_animal_eyes(front, rng, animal)
    return {
        "phrase": f"{animal} face with {fur_name} {'skin' if animal == 'pig' else 'fur'}",
        "colour": fur_name,
        "identity": identity,
        "species": animal,
        "yaw": yaw,
    }


def _draw_ears(pen: Pen, animal: str, fur: Colour, inner: Colour) -> None:
    dark = (40, 38, 40)
    for side in (-1, 1):
        if animal in ("cat", "fox", "pig"):
            tip = (side * 0.82, -1.25) if animal != "pig" else (side * 0.95, -0.95)
            pen.shape([(side * 0.15, -0.65), tip, (side * 0.92, -0.1)], fur, relief=0.4, grain=0.28)
            pen.shape([(side * 0.36, -0.68), (side * 0.76, -1.05), (side * 0.78, -0.35)], inner, grain=0.1)
        elif animal == "rabbit":
            pen.ellipse(side * 0.34, -1.25, 0.2, 0.72, fur, turn_deg=-side * 8, relief=0.6, grain=0.28)
            pen.ellipse(side * 0.34, -1.22, 0.1, 0.55, inner, turn_deg=-side * 8)
        elif animal == "dog":
            ear = [
                (side * 0.45, -0.72),
                (side * 0.95, -0.6),
                (side * 1.15, 0.15),
                (side * 0.9, 0.45),
                (side * 0.7, -0.1),
            ]
            pen.shape(smooth_outline(ear), darker(fur, 0.35), relief=0.6, grain=0.28)
        else:
            x, y, radius = (0.72, -0.68, 0.32) if animal != "monkey" else (0.95, -0.05, 0.3)
            pen.ellipse(
                side * x, y, radius, radius, dark if animal == "panda" else fur, relief=0.6, grain=0.28
            )
            if animal != "panda":
                pen.ellipse(side * x, y, radius * 0.55, radius * 0.55, inner, grain=0.1)


def _draw_muzzle(pen: Pen, animal: str, fur: Colour, pale: Colour) -> None:
    black = (30, 26, 28)
    if animal == "pig":
        snout = darker(fur, 0.1)
        pen.ellipse(0, 0.3, 0.38, 0.27, snout, relief=0.6)
        for side in (-1, 1):
            pen.ellipse(side * 0.14, 0.3, 0.07, 0.11, darker(fur, 0.55))
        pen.limb([(-0.25, 0.66), (0, 0.72), (0.25, 0.66)], 0.05, darker(fur, 0.5))
        return
    if animal == "monkey":
        for side in (-1, 1):
            pen.ellipse(side * 0.07, 0.22, 0.04, 0.03, black)
        pen.limb([(-0.3, 0.5), (0, 0.56), (0.3, 0.5)], 0.06, darker(fur, 0.5))
        return
    size = {"dog": 1.25, "bear": 1.25, "rabbit": 0.85, "cat": 0.9}.get(animal, 1.0)
    if animal != "fox":
        pen.ellipse(0, 0.42, 0.4 * size, 0.32 * size, pale, relief=0.6, grain=0.2)
    nose = (214, 120, 124) if animal in ("cat", "rabbit") else black
    width = {"cat": 0.13, "rabbit": 0.1}.get(animal, 0.19)
    tip = [(-width, 0.2), (width, 0.2), (width * 0.5, 0.2 + width), (-width * 0.5, 0.2 + width)]
    pen.shape(smooth_outline(tip), nose, relief=0.6)
    pen.ellipse(-0.05, 0.22, 0.04, 0.025, lighter(nose, 0.6), grain=0)
    pen.limb([(0, 0.3), (0, 0.5)], 0.045, black)
    pen.limb([(-0.24 * size, 0.5), (-0.1, 0.58), (0, 0.5), (0.1, 0.58), (0.24 * size, 0.5)], 0.05, black)
    if animal == "dog":
        pen.ellipse(0, 0.68, 0.12, 0.16, (220, 110, 120), relief=0.4)
    if animal in ("cat", "rabbit"):
        for side in (-1, 1):
            for slope in (-0.06, 0.06):
                pen.limb(
                    [(side * 0.25, 0.42), (side * 1.0, 0.4 + 2 * slope)], 0.025, (240, 240, 240), grain=0
                )


def _draw_animal_eyes(pen: Pen, rng: np.random.Generator, animal: str) -> None:
    iris = {"cat": [(150, 180, 70), (210, 170, 60), (110, 160, 190)][rng.integers(3)], "fox": (196, 140, 50)}
    for side in (-1, 1):
        x, y = side * (0.3 if animal == "monkey" else 0.42), -0.12
        if animal == "panda":
            pen.ellipse(x, y + 0.04, 0.24, 0.3, (38, 36, 38), turn_deg=side * 30, grain=0.25)
        radius = 0.17 if animal in ("cat", "rabbit") else 0.13
        pen.ellipse(x, y, radius * 1.2, radius * 1.2, (30, 24, 24), grain=0)
        pen.ellipse(x, y, radius, radius, iris.get(animal, (92, 58, 34)), grain=0)
        pen.ellipse(x, y, radius * (0.35 if animal == "cat" else 0.6), radius * 0.85, (14, 12, 14), grain=0)
        pen.ellipse(x - 0.05, y - 0.06, 0.05, 0.05, (255, 255, 255), grain=0)
