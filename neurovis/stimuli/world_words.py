"""Written words: printed signs and cursive handwriting. Local units: the word spans about -1 to 1 in x."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from neurovis.stimuli.world_canvas import Colour, Pen, smooth_outline
from neurovis.stimuli.world_palette import NAMED, darker, lighter, pick_colour, vary

_WORDS = (
    "open stop sale hotel music water coffee bread north south river stone light garden winter summer "
    "paper table house train bus park cafe bank news film book store pizza fresh happy dream ocean "
    "island forest mountain welcome exit east west green silver morning evening school museum bakery "
    "market station street bridge tower castle window flower apple lemon honey sugar tea soup salad "
    "radio piano guitar dance star moon sun cloud rain snow wind fire gold iron wood glass cotton "
    "silk"
)
VOCABULARY = tuple(_WORDS.split())
_FONT_PX = 64
# Cursive letters as strokes in units of the x-height: x grows to the right, y is 0 on the baseline and
# 1 at the x-height. One path for each letter, from the entry on the left to the exit on the right.
_CURSIVE: dict[str, tuple[float, str]] = {
    "a": (1.0, ".9,.8 .5,1 .15,.5 .45,0 .8,.4 .9,.9 .85,.2 1,.1"),
    "b": (0.9, ".1,.3 .4,1.5 .3,1.9 .15,1.4 .15,.2 .5,0 .75,.4 .6,.75 .9,.7"),
    "c": (0.8, ".75,.75 .5,1 .15,.5 .4,0 .8,.15"),
    "d": (1.0, ".85,.75 .5,1 .15,.5 .45,0 .8,.4 .9,1.9 .85,.2 1,.1"),
    "e": (0.8, ".1,.3 .55,.5 .6,.9 .35,1 .15,.5 .4,0 .8,.15"),
    "f": (0.7, ".05,.3 .45,1.4 .4,1.9 .25,1.5 .25,-.6 .4,-.8 .5,-.3 .3,.1 .7,.15"),
    "g": (1.0, ".85,.75 .5,1 .15,.5 .45,0 .85,.6 .85,-.6 .5,-.9 .35,-.6 1,.1"),
    "h": (1.0, ".05,.2 .4,1.5 .3,1.9 .15,1.4 .15,0 .3,.8 .6,1 .75,.6 .75,.1 1,.1"),
    "i": (0.5, ".05,.3 .25,1 .22,.2 .35,0 .5,.15"),
    "j": (0.5, ".05,.3 .3,1 .28,-.5 .1,-.9 -.1,-.6 .5,.15"),
    "k": (0.9, ".05,.2 .4,1.5 .3,1.9 .15,1.4 .15,0 .2,.6 .65,.95 .3,.5 .6,.05 .9,.1"),
    "l": (0.55, ".05,.2 .45,1.4 .35,1.9 .18,1.4 .2,.2 .35,0 .55,.15"),
    "m": (1.4, ".05,.7 .2,1 .2,0 .35,.8 .55,1 .65,.6 .65,0 .8,.8 1,1 1.12,.6 1.12,.1 1.4,.15"),
    "n": (1.0, ".05,.7 .2,1 .2,0 .35,.8 .6,1 .72,.6 .72,.1 1,.15"),
    "o": (0.9, ".65,.9 .4,1 .12,.5 .4,0 .72,.5 .5,.95 .9,.8"),
    "p": (0.95, ".05,.5 .25,1 .2,-.9 .25,.6 .5,1 .75,.5 .5,.05 .3,.15 .95,.15"),
    "q": (1.0, ".85,.75 .5,1 .15,.5 .45,0 .85,.6 .85,-.9 1,-.5 1,.1"),
    "r": (0.75, ".05,.4 .25,1.1 .35,.85 .6,.9 .5,.2 .75,.12"),
    "s": (0.75, ".05,.2 .4,1.05 .45,.7 .6,.3 .4,0 .1,.1 .75,.15"),
    "t": (0.6, ".05,.3 .3,1.6 .25,.2 .4,0 .6,.15"),
    "u": (1.0, ".1,.9 .15,.3 .4,0 .7,.4 .78,1 .75,.2 1,.12"),
    "v": (0.85, ".05,.9 .2,.7 .38,0 .6,.6 .62,1 .85,.85"),
    "w": (1.2, ".05,.9 .15,.3 .35,0 .55,.8 .65,.1 .85,.1 .98,1 1.2,.85"),
    "x": (0.9, ".1,.9 .4,.5 .7,.05 .5,.4 .75,.95 .15,.05 .9,.15"),
    "y": (0.95, ".1,.9 .15,.4 .4,.1 .7,.5 .78,1 .7,-.6 .4,-.9 .3,-.6 .95,.12"),
    "z": (0.85, ".1,.85 .35,1 .6,.85 .2,.1 .5,.1 .5,-.6 .25,-.8 .2,-.5 .85,.12"),
}


def draw_print(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a printed word, on a sign or straight on the background.

    The word owns its sign, or the quadrilateral around its letters where there is none.

    Returns
    -------
    dict
        Attributes: ``phrase`` for the caption, ``colour`` of the letters, ``text`` and style.
    """
    text = VOCABULARY[rng.integers(len(VOCABULARY))]
    case = ("upper", "capital", "lower")[rng.choice(3, p=[0.5, 0.25, 0.25])]
    shown = {"upper": text.upper(), "capital": text.capitalize(), "lower": text}[case]
    weight = int(rng.integers(0, 4))
    sign = rng.random() < 0.6
    ink_name, ink, board = _pick_ink(rng)
    glyphs = _render_glyphs(shown, weight)
    height, width = glyphs.shape
    stretch = float(rng.uniform(0.85, 1.6)) * (1.25 if len(text) > 6 else 1.0)
    half_height = float(min(0.62, height / width * stretch))
    shear = float(rng.normal(0, 0.08)) if rng.random() < 0.5 else 0.0
    tall = half_height * 1.5
    corners = [(-1.12, -tall), (1.12, -tall - shear), (1.12, tall - shear * 0.2), (-1.12, tall)]
    if sign:
        pen.shape(corners, board, grain=0.06)
        pen.limb([*corners, corners[0]], 0.05, darker(board, 0.3) if rng.random() < 0.5 else ink)
    else:
        pen.claim(corners)
    _stamp_glyphs(pen, glyphs, ink, half_height, shear)
    return {
        "phrase": f"{ink_name} printed word '{shown}'" + (" on a sign" if sign else ""),
        "colour": ink_name,
        "text": text,
        "case": case,
        "weight": weight,
    }


def draw_script(pen: Pen, rng: np.random.Generator) -> dict[str, float | str]:
    """Draw a handwritten word on paper, a board or the background; attributes as in :func:`draw_print`."""
    text = VOCABULARY[rng.integers(len(VOCABULARY))]
    ink_name, ink, board = _pick_ink(rng)
    slant, wobble = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.0, 0.06))
    weight = float(rng.uniform(0.05, 0.11))
    paper = rng.random() < 0.6
    strokes = trace_cursive(text, slant=slant, wobble=wobble, rng=rng)
    everything = np.concatenate(strokes)
    low, high = everything.min(0), everything.max(0)
    scale = min(2 / (high[0] - low[0]), 1.3 / (high[1] - low[1]))
    centre = (low + high) / 2
    half = (high - low) / 2 * scale + 0.12
    corners = [(-half[0], -half[1]), (half[0], -half[1]), (half[0], half[1]), (-half[0], half[1])]
    if paper:
        pen.shape(corners, board, grain=0.06)
        if rng.random() < 0.5:
            for y in (-0.4, 0.1, 0.6):
                pen.limb([(-half[0], y * half[1]), (half[0], y * half[1])], 0.015, darker(board, 0.2))
    else:
        pen.claim(corners)
    for stroke in strokes:
        pen.limb((stroke - centre) * scale, weight * 1.4 * max(scale, 0.6), ink, grain=0.03)
    return {
        "phrase": f"{ink_name} handwritten word '{text}'" + (" on paper" if paper else ""),
        "colour": ink_name,
        "text": text,
        "slant": slant,
        "weight": weight,
    }


def trace_cursive(
    text: str, *, slant: float, wobble: float, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Pen strokes of a word in joined handwriting.

    Parameters
    ----------
    text : str
        Lower-case letters a to z.
    slant : float
        Horizontal shift for each unit of height.
    wobble : float
        Standard deviation of the hand's error [x-heights].
    rng : numpy.random.Generator
        Source of the error.

    Returns
    -------
    list of array of shape (n, 2)
        The joined stroke of the word, then dots and crosses; x to the right, y **down**.
    """
    path, extra, x = [], [], 0.0
    for letter in text:
        width, knots = _CURSIVE[letter]
        points = np.array([[float(v) for v in pair.split(",")] for pair in knots.split()])
        path.append(np.add(points, (x, 0)))
        if letter in "ij":
            extra.append(np.array([(x + 0.32, 1.45), (x + 0.36, 1.5)]))
        if letter == "t":
            extra.append(np.array([(x + 0.02, 1.15), (x + 0.58, 1.2)]))
        x += width
    joined = np.concatenate(path)
    joined = joined + rng.normal(0, wobble, joined.shape)
    strokes = [smooth_outline(joined, closed=False, n_between=4), *extra]
    return [np.stack([s[:, 0] + slant * s[:, 1], -s[:, 1]], axis=1) for s in strokes]


def _pick_ink(rng: np.random.Generator) -> tuple[str, Colour, Colour]:
    """Name and colour of the ink, and a board that contrasts with it."""
    ink_name, ink = pick_colour(rng, ("black", "white", "red", "blue", "green", "yellow", "orange", "purple"))
    if ink_name in ("white", "yellow", "orange"):
        _, board = pick_colour(rng, ("black", "blue", "green", "red", "brown", "purple"))
        board = darker(board, 0.45)
    else:
        ink = darker(ink, 0.35)
        board = lighter(vary(rng, NAMED[("white", "beige", "yellow", "white")[rng.integers(4)]], 8), 0.3)
    return ink_name, ink, board


@lru_cache(maxsize=512)
def _render_glyphs(text: str, weight: int) -> NDArray[np.uint8]:
    """Coverage of a word in the font that ships with Pillow, cropped to its ink."""
    font = ImageFont.load_default(_FONT_PX)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError(
            "the printed words need a Pillow with FreeType, got one with bitmap fonts only; install the "
            "official wheel of pillow."
        )
    left, top, right, bottom = font.getbbox(text, stroke_width=weight)
    image = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)), 0)
    ImageDraw.Draw(image).text((-left, -top), text, fill=255, font=font, stroke_width=weight)
    return np.asarray(image)


def _stamp_glyphs(pen: Pen, glyphs: NDArray[np.uint8], ink: Colour, half_height: float, shear: float) -> None:
    height, width = glyphs.shape
    to_local = pen.at(-1, -half_height, (2 / width, 2 * half_height / height)).matrix.copy()
    to_local[:, 0] += pen.matrix[:, 1] * (-shear / width)
    inverse = np.linalg.inv(np.vstack([to_local, (0, 0, 1)]))[:2]
    side = pen.canvas.side_px
    mask = Image.fromarray(glyphs).transform(
        (side, side), Image.Transform.AFFINE, inverse.ravel().tolist(), Image.Resampling.BILINEAR
    )
    pen.canvas.stamp(mask, ink)
