"""Scenes, prompts and a tokenizer for training a diffusion model of the stimulus world."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, import_optional
from neurovis.io import atomic_path, read_json, write_json
from neurovis.stimuli.world import CATEGORY_OF, WORLD_VERSION, make_scene, pick_dominant_subtype

CATEGORY_PHRASES = MappingProxyType(
    {
        "face": "a face",
        "body": "a body",
        "place": "a place",
        "word": "a word",
        "food": "food",
        "object": "an object",
    }
)
"""What a prompt calls each category of the world."""

SUBTYPE_PHRASES = MappingProxyType(
    {
        "human": "a human face",
        "animal": "an animal face",
        "person": "a person",
        "animal_body": "an animal",
        "indoor": "an indoor place",
        "outdoor": "an outdoor place",
        "print": "a printed word",
        "script": "a handwritten word",
        "fruit": "a fruit",
        "dish": "a dish",
        "tool": "a tool",
        "vehicle": "a vehicle",
    }
)
"""What a prompt calls each subtype of the world."""

_START, _END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class DiffusionScenes:
    """Scenes as arrays: images (n, size, size, 3) uint8, their captions and their dominant subtypes."""

    images: NDArray[np.uint8]
    captions: tuple[str, ...]
    subtypes: tuple[str, ...]


def make_diffusion_scenes(
    n_images: int, *, seed: int, size_px: int = 64, folder: str | Path | None = None
) -> DiffusionScenes:
    """Draw scenes of the stimulus world with captions, once.

    Parameters
    ----------
    n_images : int
        Scenes 0 to ``n_images - 1``.
    seed : int
        Seed of the world.
    size_px : int
        Side of the images [px].
    folder : path, optional
        Keeps ``images.npy`` and ``captions.json``, and is read from when it holds these scenes already.

    Raises
    ------
    ValueError
        If ``n_images`` is not positive, or ``folder`` holds other scenes.
    """
    from tqdm import tqdm

    check_array("n_images", n_images, ndim=0, minimum=1, remedy="pass how many scenes to make")
    subtypes = tuple(pick_dominant_subtype(seed, row) for row in range(n_images))
    settings = {"n_images": n_images, "seed": seed, "size_px": size_px, "world_version": WORLD_VERSION}
    if folder is not None and (Path(folder) / "captions.json").is_file():
        stored = read_json(Path(folder) / "captions.json")
        if stored["settings"] != settings:
            raise ValueError(
                f"folder must hold scenes with {settings}, got {stored['settings']} in {folder}; "
                "pass another folder or delete it."
            )
        images = np.load(Path(folder) / "images.npy", mmap_mode="r")
        return DiffusionScenes(images, tuple(stored["captions"]), subtypes)
    images = np.empty((n_images, size_px, size_px, 3), dtype=np.uint8)
    captions = []
    for row in tqdm(range(n_images), desc="making scenes", disable=None, file=sys.stderr):
        scene = make_scene(seed, row, size_px=size_px)
        images[row] = scene.image
        captions.append(scene.caption)
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with atomic_path(Path(folder) / "images.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, images)
        # Written last: its presence says that the images are complete.
        write_json({"settings": settings, "captions": captions}, Path(folder) / "captions.json")
    return DiffusionScenes(images, tuple(captions), subtypes)


def make_short_prompts(scenes: DiffusionScenes) -> list[tuple[str, str, str]]:
    """Three short prompts of each scene: its first clause, its subtype and its category.

    The first clause is the caption up to the background or to the other things. The other two read "a photo
    of ..." with the phrases of :data:`SUBTYPE_PHRASES` and :data:`CATEGORY_PHRASES`.
    """
    return [
        (
            caption.split(" in front of ")[0].split(", with ")[0],
            f"a photo of {SUBTYPE_PHRASES[subtype]}",
            f"a photo of {CATEGORY_PHRASES[CATEGORY_OF[subtype]]}",
        )
        for caption, subtype in zip(scenes.captions, scenes.subtypes, strict=True)
    ]


def make_world_tokenizer(texts: Iterable[str], *, max_length: int = 48) -> Any:
    """Tokenizer in CLIP's format to which every word of ``texts`` is one token.

    Byte-pair merges (Sennrich et al., 2016, ACL, algorithm 1) are learned on the list of distinct words,
    each counted once, until all are whole. Other words fall apart into known pieces and, at worst, bytes,
    so no text is refused.

    Parameters
    ----------
    texts : iterable of str
        Captions and prompts.
    max_length : int
        Length to which prompts are padded or cut, with the two end marks.

    Returns
    -------
    transformers.CLIPTokenizer
        The same for the same words in any order.
    """
    transformers = import_optional("transformers", extra="diffusion")
    alphabet = _list_byte_letters()
    plain = _build_tokenizer(transformers, alphabet, [], max_length)
    backend = plain.backend_tokenizer
    words = set()
    for text in set(texts):
        normal = backend.normalizer.normalize_str(text)
        words |= {piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(normal)}
    return _build_tokenizer(transformers, alphabet, learn_merges(sorted(words)), max_length)


def learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Byte-pair merges that make every word one piece, the most frequent pair first, ties by spelling."""
    pieces = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for word in pieces for pair in itertools.pairwise(word))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [_merge(word, best) for word in pieces]


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    position = 0
    while position < len(word):
        if tuple(word[position : position + 2]) == pair:
            merged.append(pair[0] + pair[1])
            position += 2
        else:
            merged.append(word[position])
            position += 1
    return merged


def _list_byte_letters() -> list[str]:
    """The printable stand-ins of the 256 bytes, as GPT-2 and CLIP write them."""
    convert = import_optional("transformers.convert_slow_tokenizer", extra="diffusion")
    return list(convert.bytes_to_unicode().values())


def _build_tokenizer(
    transformers: Any, alphabet: list[str], merges: list[tuple[str, str]], max_length: int
) -> Any:
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    pieces += dict.fromkeys(first + second for first, second in merges)
    vocabulary = {piece: number for number, piece in enumerate([*pieces, _START, _END])}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)
