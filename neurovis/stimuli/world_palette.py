"""Named colours of the stimulus world, with natural spread around each and the words for captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from neurovis.stimuli.world_canvas import Colour

NAMED: Mapping[str, Colour] = MappingProxyType(
    {
        "red": (196, 52, 46),
        "orange": (226, 132, 44),
        "yellow": (228, 200, 72),
        "green": (78, 148, 72),
        "teal": (48, 142, 140),
        "blue": (62, 104, 184),
        "purple": (124, 78, 156),
        "pink": (222, 140, 164),
        "brown": (126, 84, 52),
        "black": (44, 42, 46),
        "white": (232, 230, 224),
        "grey": (140, 142, 146),
        "beige": (208, 188, 156),
    }
)
SKIN: Mapping[str, Colour] = MappingProxyType(
    {
        "pale": (242, 208, 184),
        "light": (228, 182, 148),
        "tan": (204, 152, 112),
        "brown": (154, 104, 72),
        "dark": (104, 68, 48),
    }
)
HAIR: Mapping[str, Colour] = MappingProxyType(
    {
        "black": (38, 32, 32),
        "brown": (88, 58, 38),
        "blond": (206, 168, 98),
        "red": (158, 76, 40),
        "grey": (164, 162, 160),
    }
)
FUR: Mapping[str, Colour] = MappingProxyType(
    {
        "brown": (126, 86, 54),
        "grey": (132, 130, 130),
        "white": (222, 216, 206),
        "black": (54, 50, 52),
        "orange": (204, 128, 62),
        "tan": (190, 152, 106),
    }
)


def pick_colour(
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
    *,
    palette: Mapping[str, Colour] = NAMED,
    spread: float = 10.0,
) -> tuple[str, Colour]:
    """Name and a jittered colour of it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the choice.
    names : sequence of str, optional
        Names to choose from; all of ``palette`` by default.
    palette : mapping
        Name to RGB.
    spread : float
        Standard deviation of the jitter [grey levels].
    """
    choices = list(names or palette)
    name = choices[int(rng.integers(len(choices)))]
    return name, vary(rng, palette[name], spread)


def vary(rng: np.random.Generator, colour: Colour, spread: float = 10.0) -> Colour:
    """Colour with brightness and hue shifted a little."""
    shift = spread * (rng.normal() + 0.5 * rng.normal(size=3))
    red, green, blue = (
        int(min(255, max(0, base + delta))) for base, delta in zip(colour, shift, strict=True)
    )
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Colour between two: ``share`` of the second."""
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Colour, amount: float) -> Colour:
    """Colour moved towards black by ``amount`` (0 to 1)."""
    return mix(colour, (0, 0, 0), amount)


def lighter(colour: Colour, amount: float) -> Colour:
    """Colour moved towards white by ``amount`` (0 to 1)."""
    return mix(colour, (255, 255, 255), amount)


def add_article(phrase: str) -> str:
    """The phrase with "a" or "an" in front of it."""
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"
