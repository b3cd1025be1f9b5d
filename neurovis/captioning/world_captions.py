"""Captions of the stimulus world taken apart, so that they can be judged by what is known of their scenes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neurovis.captioning.nouns import FUNCTION_WORDS
from neurovis.stimuli.world import CATEGORY_OF
from neurovis.stimuli.world_palette import FUR, HAIR, NAMED, SKIN

COLOURS = frozenset((*NAMED, *FUR, *HAIR, *SKIN))
FIELDS = ("category", "subtype", "size", "colour", "phrase", "position", "background", "main", "caption")
"""What :func:`score_captions` compares; "main" is all but the small things named at the end."""

_POSITION = re.compile(
    r" (in the (?:upper|lower) (?:left|right)|on the (?:left|right)|at the (?:top|bottom))$"
)
_ARTICLE = re.compile(r"^(?:a|an|the) ")
_SIZE = re.compile(r"^(large|small) ")
_QUOTED = re.compile(r"'[^']*'?")
_MIN_COUNT = 3


@dataclass(frozen=True)
class WorldCaption:
    """Parts of a caption, in lower case; "" for what is not said.

    Parameters
    ----------
    phrase : str
        The main thing with its attributes, without article and size.
    size : str
        "large", "small" or "".
    position : str
        E.g. "in the upper left".
    background : str
        What is behind it.
    rest : str
        The small things besides.
    """

    phrase: str
    size: str
    position: str
    background: str
    rest: str

    @property
    def colours(self) -> tuple[str, ...]:
        """Colours in the phrase, in order."""
        return tuple(word for word in self.phrase.split() if word in COLOURS)


def parse_caption(caption: str) -> WorldCaption:
    """Take a caption of the stimulus world apart; anything else becomes one long phrase.

    Parameters
    ----------
    caption : str
        As :func:`neurovis.stimuli.world.make_scene` or a caption model writes it.
    """
    head, _, rest = caption.lower().strip(" .").partition(", with ")
    main, _, background = head.partition(" in front of ")
    found = _POSITION.search(main)
    main = main[: found.start()] if found else main
    main = _ARTICLE.sub("", main)
    size = _SIZE.match(main)
    phrase = main[size.end() :] if size else main
    return WorldCaption(
        phrase, size[1] if size else "", found[1] if found else "", _ARTICLE.sub("", background), rest
    )


def find_marker_words(captions: Iterable[str], subtypes: Iterable[str]) -> dict[str, str]:
    """Words by which the main thing's subtype can be told.

    Parameters
    ----------
    captions, subtypes : iterable of str
        True captions and the subtypes of their scenes.

    Returns
    -------
    dict of str to str
        Word -> subtype, for words that come at least three times in phrases of one subtype and of no other;
        written words, colours and function words do not count.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for caption, subtype in zip(captions, subtypes, strict=True):
        for word in _list_words(parse_caption(caption).phrase):
            counts[word][subtype] += 1
    return {
        word: next(iter(found))
        for word, found in sorted(counts.items())
        if len(found) == 1 and sum(found.values()) >= _MIN_COUNT
    }


def name_subtype(caption: str, markers: Mapping[str, str]) -> str:
    """Subtype that a caption's main thing is of: that of most of its marker words, "" if it has none."""
    votes = Counter(markers[word] for word in _list_words(parse_caption(caption).phrase) if word in markers)
    return votes.most_common(1)[0][0] if votes else ""


def score_captions(
    truth: Sequence[str], captions: Sequence[str], markers: Mapping[str, str]
) -> dict[str, float]:
    """Share of captions that are right about each part of their scene.

    Parameters
    ----------
    truth, captions : sequence of str
        True captions and those of a model, one of each per scene.
    markers : mapping of str to str
        From :func:`find_marker_words`.

    Returns
    -------
    dict of str to float
        By :data:`FIELDS`. Sizes, positions and backgrounds that neither names count as right; the subtype is
        judged by marker words, everything else by equal words.
    """
    pairs = [(_describe(a, markers), _describe(b, markers)) for a, b in zip(truth, captions, strict=True)]
    return {field: float(np.mean([a[field] == b[field] for a, b in pairs])) for field in FIELDS}


def _describe(caption: str, markers: Mapping[str, str]) -> dict[str, object]:
    parts, subtype = parse_caption(caption), name_subtype(caption, markers)
    return {
        "category": CATEGORY_OF.get(subtype, ""), "subtype": subtype, "size": parts.size,
        "colour": parts.colours, "phrase": parts.phrase, "position": parts.position,
        "background": parts.background,
        "main": (parts.size, parts.phrase, parts.position, parts.background), "caption": parts,
    }  # fmt: skip


def _list_words(phrase: str) -> list[str]:
    words = _QUOTED.sub("", phrase).split()
    return [word for word in words if word not in COLOURS and word not in FUNCTION_WORDS]
