"""Scenes of the stimulus world as arrays, with what can be said of each: the data of the trained models."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array
from neurovis.stimuli.world import CATEGORIES, CATEGORY_OF, Scene, make_scene
from neurovis.stimuli.world_palette import add_article
from neurovis.stimuli.world_shares import SUBTYPE_NAMES, compute_subtype_shares

SIZE_PX = 64
N_CELLS = 8
"""Places along each side of the maps of shares."""

CATEGORY_PHRASES = {
    "face": "a face",
    "body": "a body",
    "place": "a place",
    "word": "a word",
    "food": "food",
    "object": "an object",
}
"""How a category is called in a caption of its own."""

SUBTYPE_PHRASES = {
    "human": "a human face",
    "animal": "an animal face",
    "person": "a person",
    "animal_body": "an animal",
    "indoor": "an indoor scene",
    "outdoor": "an outdoor scene",
    "print": "a printed word",
    "script": "a handwritten word",
    "fruit": "a fruit",
    "dish": "a dish of food",
    "tool": "a tool",
    "vehicle": "a vehicle",
}
"""How a subtype is called in a caption of its own."""

CATEGORY_OF_SUBTYPE = np.array([CATEGORIES.index(CATEGORY_OF[name]) for name in SUBTYPE_NAMES])
"""Number of the category of every subtype, in the order of ``SUBTYPE_NAMES``."""


@dataclass(frozen=True)
class CaptionedScenes:
    """Scenes as arrays.

    Parameters
    ----------
    images : array of shape (n, 64, 64, 3), uint8
    shares : array of shape (n, 12, 8, 8), float32
        Visible share of every place by subtype, 0-1.
    subtypes : array of shape (n,), int
        Number of the dominant thing's subtype in ``SUBTYPE_NAMES``.
    texts : tuple of tuple of str
        Per scene what is true of it, from all to little: see :func:`describe_scene`.
    """

    images: NDArray[np.uint8]
    shares: NDArray[np.float32]
    subtypes: NDArray[np.int64]
    texts: tuple[tuple[str, ...], ...]

    @property
    def captions(self) -> tuple[str, ...]:
        """The whole captions."""
        return tuple(texts[0] for texts in self.texts)

    @property
    def categories(self) -> NDArray[np.int64]:
        """Number of the dominant thing's category in ``CATEGORIES``, (n,)."""
        return CATEGORY_OF_SUBTYPE[self.subtypes]


def make_captioned_scenes(n_images: int, *, seed: int) -> CaptionedScenes:
    """Scenes 0 to ``n_images - 1`` of a world.

    Parameters
    ----------
    n_images : int
        At least 1; a scene takes about 7 ms.
    seed : int
        Seed of the world.

    Raises
    ------
    ValueError
        If ``n_images`` is not positive.
    """
    from tqdm import tqdm

    check_array("n_images", n_images, ndim=0, minimum=1, remedy="pass how many scenes to make")
    images = np.empty((n_images, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    shares = np.empty((n_images, len(SUBTYPE_NAMES), N_CELLS, N_CELLS), dtype=np.float32)
    subtypes = np.empty(n_images, dtype=np.int64)
    texts = []
    for row in tqdm(range(n_images), desc="making scenes", disable=None, file=sys.stderr):
        scene = make_scene(seed, row, size_px=SIZE_PX)
        images[row] = scene.image
        shares[row] = compute_subtype_shares(scene, n_cells=N_CELLS)
        subtypes[row] = SUBTYPE_NAMES.index(scene.objects[0].subtype)
        texts.append(describe_scene(scene))
    return CaptionedScenes(images, shares, subtypes, tuple(texts))


def describe_scene(scene: Scene) -> tuple[str, ...]:
    """What is true of a scene, from all to little.

    Returns
    -------
    tuple of str
        The caption; the caption without the small things; the dominant thing's phrase; the name of its
        subtype; the name of its category.
    """
    main = scene.objects[0]
    return (
        scene.caption,
        scene.caption.split(", with ")[0],
        add_article(str(main.attributes["phrase"])),
        SUBTYPE_PHRASES[main.subtype],
        CATEGORY_PHRASES[main.category],
    )


def mirror_text(text: str) -> str:
    """Description of the mirrored scene: left and right change places."""
    words = {"left": "right", "right": "left"}
    return " ".join(
        words.get(word.rstrip(","), word.rstrip(",")) + "," * word.endswith(",") for word in text.split(" ")
    )
