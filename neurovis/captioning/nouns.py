"""Nouns of captions, without a tagger: the last word of every run between function words.

Captions are short noun phrases joined by prepositions ("a man riding a wave on a surfboard"). Cut at
determiners, prepositions, conjunctions, auxiliaries and present participles, what remains are runs of
adjectives that end in their noun.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

_DETERMINERS = (
    "a an the this that these those some any several many few two three four five six seven eight nine ten "
    "his her its their my your our one another other each every no both all"
)
_LINKS = (
    "of in on at by with without from to into onto over under above below behind beside between near next "
    "around through across along against inside outside during for as up down off out while and or but "
    "that which who is are was were be been being has have had does do did it he she they there very than "
    "then so not only"
)
_PLACES = "left right top bottom middle center centre front back side sides corner edge end rest"
_ADJECTIVES = (
    "small large big little tall short long old young new black white red green blue yellow orange pink "
    "purple brown grey gray beige teal tan blond pale dark light clear cloudy upper lower handwritten printed"
)
_NOUNS_IN_ING = (
    "building ceiling painting clothing wedding railing king ring string wing thing spring evening morning "
    "parking living dining lighting crossing landing offering pudding dressing frosting icing sibling viking "
    "earring being swing sling"
)
_PERSONS = (
    "person people man men woman women boy boys girl girls child children kid kids baby babies toddler "
    "toddlers lady ladies guy guys gentleman couple family group crowd player players skier skiers surfer "
    "surfers snowboarder skateboarder rider riders batter pitcher catcher chef cook worker workers passenger "
    "passengers pedestrian pedestrians bride groom friend friends soldier soldiers student students adult "
    "adults audience team somebody someone individual individuals human humans"
)

DETERMINERS = frozenset(_DETERMINERS.split())
FUNCTION_WORDS = DETERMINERS | frozenset(_LINKS.split())
PLACE_WORDS = frozenset(_PLACES.split())
"""Heads that say where something is rather than what."""

ADJECTIVES = frozenset(_ADJECTIVES.split())
"""Words that end a run without a noun behind them ("the grass is green")."""

NOUNS_IN_ING = frozenset(_NOUNS_IN_ING.split())
PERSON_WORDS = frozenset(_PERSONS.split())
"""Words for people. "group" and "crowd" are among them since captions use them for people."""

_IRREGULAR = {
    "men": "man", "women": "woman", "people": "person", "children": "child", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "geese": "goose", "knives": "knife", "leaves": "leaf", "shelves": "shelf",
    "wolves": "wolf", "loaves": "loaf", "sheep": "sheep", "fish": "fish", "glasses": "glasses",
    "scissors": "scissors", "pliers": "pliers", "jeans": "jeans", "bus": "bus", "grass": "grass",
    "tennis": "tennis", "lens": "lens",
    "dress": "dress", "glass": "glass", "cherries": "cherry", "movies": "movie", "cookies": "cookie",
    "pies": "pie", "ties": "tie", "skies": "sky", "axes": "axe",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[,.;:!?]")


def find_words(caption: str) -> list[str]:
    """Words of a caption in lower case, without punctuation.

    Parameters
    ----------
    caption : str
        Any sentence.
    """
    return [word for word in _WORD.findall(caption.lower()) if word[0].isalpha()]


def find_nouns(caption: str, *, vocabulary: Collection[str] | None = None) -> list[str]:
    """Nouns of a caption in the singular, in order, as often as they come.

    Parameters
    ----------
    caption : str
        Any English caption.
    vocabulary : collection of str, optional
        Nouns to look for, in the singular: every word of the caption that is one counts, also within a run
        ("dog" in "dog face"). Without it, the last word of each run between function words counts.

    Returns
    -------
    list of str

    Notes
    -----
    The rule is meant for captions. It takes an adjective without a noun behind it for a noun unless it is one
    of :data:`ADJECTIVES`, and a noun in "-ing" for a verb unless a determiner stands before it or it is one
    of :data:`NOUNS_IN_ING`.
    """
    words = _WORD.findall(caption.lower())
    if vocabulary is not None:
        return [stem for stem in map(make_singular, words) if stem in vocabulary]
    return [
        make_singular(run[-1])
        for run in _split_runs(words)
        if run[-1] not in ADJECTIVES and run[-1] not in PLACE_WORDS
    ]


def make_singular(noun: str) -> str:
    """Singular of an English noun by its ending; irregular ones of common captions from a table.

    Parameters
    ----------
    noun : str
        In lower case.
    """
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if len(noun) < 4 or not noun.endswith("s") or noun.endswith(("ss", "us", "is")):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "xes", "sses", "zes", "oes")):
        return noun[:-2]
    return noun[:-1]


def _split_runs(words: Sequence[str]) -> Iterator[list[str]]:
    """Runs of words between function words, punctuation and participles."""
    run: list[str] = []
    before = ""
    for word in words:
        if not word[0].isalpha() or word in FUNCTION_WORDS or _is_participle(word, before):
            if run:
                yield run
            run = []
        else:
            run.append(word)
        before = word
    if run:
        yield run


def _is_participle(word: str, before: str) -> bool:
    return word.endswith("ing") and len(word) > 4 and word not in NOUNS_IN_ING and before not in DETERMINERS
