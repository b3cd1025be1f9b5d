"""What a contrastive image-text model knows of the stimulus world, and how its embeddings lie."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, import_optional
from neurovis.features.contrastive_scenes import (
    CATEGORY_OF_SUBTYPE,
    CATEGORY_PHRASES,
    SUBTYPE_PHRASES,
    CaptionedScenes,
)
from neurovis.stimuli.world_shares import SUBTYPE_NAMES

TEMPLATES = ("{}", "a photo of {}")
"""Prompts around a name."""

WORLD_PHRASES: Mapping[str, tuple[str, ...]] = {
    "human": (
        "a smiling face with brown hair", "a face with black hair and glasses", "a face with a bald head",
        "a surprised face with blond hair", "a frowning face with grey hair",
    ),
    "animal": (
        "a cat face with grey fur", "a dog face with brown fur", "a bear face with brown fur",
        "a rabbit face with white fur", "a fox face with orange fur", "a monkey face with tan fur",
        "a panda face with white fur", "a pig face with pink skin",
    ),
    "person": (
        "a walking person in a blue shirt", "a waving person in a red shirt",
        "a running person in a white shirt",
        "a jumping person in a green shirt",
    ),
    "animal_body": (
        "a brown dog", "a grey cat", "a brown horse that is walking", "a white cow", "a white zebra",
        "a tan giraffe", "a grey elephant", "a white sheep", "a blue bird",
    ),
    "indoor": (
        "a bedroom with blue walls", "a living room with teal walls", "a kitchen with yellow walls",
        "an office with green walls", "a corridor with grey walls", "an empty room with white walls",
    ),
    "outdoor": (
        "a mountain under a clear sky", "a beach under a cloudy sky", "a forest under a clear sky",
        "a street under a clear sky", "a field under a cloudy sky", "a desert under a clear sky",
        "a lake under a cloudy sky",
    ),
    "print": (
        "a black printed word 'HOTEL' on a sign", "an orange printed word 'SUGAR'",
        "a red printed word 'garden'", "a yellow printed word 'morning' on a sign",
    ),
    "script": (
        "a white handwritten word 'welcome'", "a yellow handwritten word 'paper' on paper",
        "a black handwritten word 'garden'", "a blue handwritten word 'coffee' on paper",
    ),
    "fruit": (
        "a red apple", "a yellow lemon", "a bunch of green grapes", "a red strawberry", "a yellow pineapple",
        "an orange", "a yellow banana",
    ),
    "dish": (
        "a pizza on a white plate", "a portion of spaghetti on a white plate", "a salad on a blue plate",
        "a portion of fried eggs on a white plate", "a portion of soup in a white bowl",
        "a burger on a white plate", "a portion of cake on a white plate",
        "a portion of sushi on a black plate",
    ),
    "tool": (
        "a hammer with an orange handle", "a wrench", "a screwdriver with a red handle",
        "a pair of scissors with a black handle", "a saw with a brown handle",
        "a paintbrush with a blue handle", "an axe with a red handle", "a pair of pliers with a red handle",
    ),
    "vehicle": (
        "a green car", "a yellow bus", "a red truck", "a blue bicycle", "a white sailing boat",
        "a brown aeroplane", "a red train",
    ),
}  # fmt: skip
"""Phrases in the manner of the world's captions, for zero-shot recognition of the twelve subtypes."""


def embed_images(model: Any, images: NDArray[np.uint8], *, batch_size: int = 100) -> NDArray[np.float32]:
    """Unnormalised image embeddings of a model of open_clip for images of its own size.

    Parameters
    ----------
    model : open_clip model
        In evaluation mode, on the CPU.
    images : array of shape (n, height, width, 3), uint8
        RGB.

    Returns
    -------
    array of shape (n, embed_dim)
    """
    torch = import_optional("torch", extra="torch")
    mean, std = (torch.tensor(model.visual.preprocess_cfg[key])[:, None, None] for key in ("mean", "std"))
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size]).permute(0, 3, 1, 2).float() / 255
            parts.append(model.encode_image((batch - mean) / std).numpy())
    return np.concatenate(parts)


def embed_texts(model: Any, texts: Sequence[str], *, batch_size: int = 100) -> NDArray[np.float32]:
    """Unnormalised text embeddings of a model of open_clip with CLIP's own tokenizer, (n, embed_dim)."""
    torch = import_optional("torch", extra="torch")
    tokenise = make_tokeniser(model.context_length)
    with torch.no_grad():
        parts = [
            model.encode_text(tokenise(list(texts[start : start + batch_size]))).numpy()
            for start in range(0, len(texts), batch_size)
        ]
    return np.concatenate(parts)


@functools.cache
def make_tokeniser(context_length: int) -> Any:
    """CLIP's byte-pair encoding, which ships with open_clip; read once, which takes a second."""
    return import_optional("open_clip", extra="torch").SimpleTokenizer(context_length=context_length)


def measure_contrastive(model: Any, scenes: CaptionedScenes) -> dict[str, Any]:
    """Retrieval, zero-shot recognition and the geometry of the embeddings on unseen scenes.

    Parameters
    ----------
    model : open_clip model
        In evaluation mode, on the CPU.
    scenes : CaptionedScenes
        Unseen ones.

    Returns
    -------
    dict
        ``retrieval``: candidates -> direction -> ``top1``, ``top5``; ``category`` and ``subtype``: zero-shot
        accuracy by kind of prompt; ``geometry``: see :func:`describe_geometry`.
    """
    model.eval()
    images, texts = embed_images(model, scenes.images), embed_texts(model, scenes.captions)
    similarity = to_unit(images) @ to_unit(texts).T
    retrieval = {
        str(n): measure_retrieval(similarity, scenes.captions, n_candidates=n)
        for n in (100, 500)
        if n <= len(scenes.captions)
    }
    unit = to_unit(images)
    named = unit @ make_prompt_embeddings(model, CATEGORY_PHRASES).T
    subtype_named = unit @ make_prompt_embeddings(model, SUBTYPE_PHRASES).T
    phrased = unit @ make_phrase_embeddings(model).T
    return {
        "retrieval": retrieval,
        "category": {
            "names": _share_right(named.argmax(axis=1), scenes.categories),
            "subtype_names": _share_right(
                CATEGORY_OF_SUBTYPE[subtype_named.argmax(axis=1)], scenes.categories
            ),
            "phrases": _share_right(CATEGORY_OF_SUBTYPE[phrased.argmax(axis=1)], scenes.categories),
        },
        "subtype": {
            "subtype_names": _share_right(subtype_named.argmax(axis=1), scenes.subtypes),
            "phrases": _share_right(phrased.argmax(axis=1), scenes.subtypes),
        },
        "geometry": describe_geometry(images, texts),
    }


def make_prompt_embeddings(model: Any, names: Mapping[str, str]) -> NDArray[np.float32]:
    """Mean direction of the prompts of every name, unit length, (n_names, embed_dim)."""
    return _average_directions(
        model, [[template.format(name) for template in TEMPLATES] for name in names.values()]
    )


def make_phrase_embeddings(model: Any) -> NDArray[np.float32]:
    """Mean direction of the world's phrases of every subtype, unit length, (12, embed_dim)."""
    return _average_directions(model, [WORLD_PHRASES[name] for name in SUBTYPE_NAMES])


def measure_retrieval(
    similarity: NDArray[np.floating], captions: Sequence[str], *, n_candidates: int
) -> dict[str, dict[str, float]]:
    """How often the right one is the nearest, or among the five nearest, of a number of candidates.

    Parameters
    ----------
    similarity : array of shape (n_images, n_texts)
        Row i and column i belong together.
    captions : sequence of str
        Texts of the columns; a candidate with the same text is as right as the own one.
    n_candidates : int
        The pairs are cut into blocks of so many in order; a rest is left out.

    Returns
    -------
    dict
        ``image_to_text`` and ``text_to_image``, each ``top1`` and ``top5``, 0-1.

    Raises
    ------
    ValueError
        If there are fewer pairs than candidates.
    """
    check_array("n_candidates", n_candidates, ndim=0, minimum=1, remedy="pass for example 100")
    n_blocks = len(captions) // n_candidates
    if n_blocks == 0:
        raise ValueError(
            f"n_candidates must be at most the {len(captions)} pairs, got {n_candidates}; pass fewer."
        )
    _, numbers = np.unique(np.asarray(captions), return_inverse=True)
    ranks: dict[str, list[NDArray[np.int64]]] = {"image_to_text": [], "text_to_image": []}
    for block in range(n_blocks):
        inside = slice(block * n_candidates, (block + 1) * n_candidates)
        same = numbers[inside, None] == numbers[None, inside]
        found = similarity[inside, inside]
        for direction, values in (("image_to_text", found), ("text_to_image", found.T)):
            best = np.where(same, values, -np.inf).max(axis=1, keepdims=True)
            ranks[direction].append(((values > best) & ~same).sum(axis=1))
    return {
        direction: {
            f"top{k}": round(float((np.concatenate(found) < k).mean()), 4) for k in (1, 5)
        }
        for direction, found in ranks.items()
    }  # fmt: skip


def describe_geometry(images: NDArray[np.floating], texts: NDArray[np.floating]) -> dict[str, float]:
    """Norms, cones and the gap between the two kinds of embeddings.

    Parameters
    ----------
    images, texts : array of shape (n, embed_dim)
        Unnormalised embeddings of pairs.

    Returns
    -------
    dict
        ``image_norm_mean``, ``image_norm_sd`` and the same of texts; ``image_cone``: mean cosine of an image
        with the direction of the mean of unit embeddings, and ``text_cone``; ``gap``: distance between the
        two means of unit embeddings (Liang et al. 2022, NeurIPS, sec. 2); ``pair_cosine`` and
        ``other_cosine``: mean cosine of an image with its own text and with another.
    """
    unit = {"image": to_unit(images), "text": to_unit(texts)}
    cosines = unit["image"] @ unit["text"].T
    n = len(images)
    out = {}
    for kind, array in (("image", images), ("text", texts)):
        norms = np.linalg.norm(array, axis=1)
        mean = unit[kind].mean(axis=0)
        out[f"{kind}_norm_mean"], out[f"{kind}_norm_sd"] = norms.mean(), norms.std()
        out[f"{kind}_cone"] = (unit[kind] @ (mean / np.linalg.norm(mean))).mean()
    out["gap"] = np.linalg.norm(unit["image"].mean(axis=0) - unit["text"].mean(axis=0))
    out["pair_cosine"] = np.trace(cosines) / n
    out["other_cosine"] = (cosines.sum() - np.trace(cosines)) / (n * (n - 1))
    return {key: round(float(value), 4) for key, value in out.items()}


def to_unit(array: NDArray[Any]) -> NDArray[Any]:
    """Rows at unit length."""
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def _average_directions(model: Any, groups: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    return to_unit(np.stack([to_unit(embed_texts(model, texts)).mean(axis=0) for texts in groups]))


def _share_right(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return round(float((found == truth).mean()), 4)
