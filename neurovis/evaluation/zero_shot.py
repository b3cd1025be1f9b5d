"""Categories of images by a model of images and texts that never saw labels of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import FeatureExtractor, StimulusSet, check_array

TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}")


def embed_prompts(texts: FeatureExtractor, prompts: Mapping[str, Sequence[str]]) -> NDArray[np.float64]:
    """Mean direction of the prompts of each name.

    Parameters
    ----------
    texts : FeatureExtractor
        Of texts, such as ``open_clip-text:ViT-B-16``, that reads the column ``caption``.
    prompts : mapping of str to sequence of str
        Words for each name, put into :data:`TEMPLATES`.

    Returns
    -------
    array of shape (n_names, d)
        Unit length.

    Raises
    ------
    ValueError
        If a name has no word.
    """
    rows = [
        (name, template.format(word))
        for name, words in prompts.items()
        for word in words
        for template in TEMPLATES
    ]
    empty = [name for name, words in prompts.items() if not words]
    if not rows or empty:
        raise ValueError(f"prompts must hold a word for every name, got none for {empty}; add one.")
    names, captions = zip(*rows, strict=True)
    index = pd.Index([f"prompt-{number}" for number in range(len(rows))], name="stimulus_id")
    table = pd.DataFrame({"path": "", "caption": captions}, index)
    (features,) = texts(StimulusSet("prompts", table, Path(), (1.0, 1.0))).values()
    unit = _normalise(features.values)
    return _normalise(np.stack([unit[np.array(names) == name].mean(axis=0) for name in prompts]))


def classify_zero_shot(
    images: NDArray, prompts: NDArray, *, temperature: float = 0.01
) -> NDArray[np.float64]:
    """Probability of each name for each image (Radford et al. 2021, arXiv 2103.00020, section 3.1.2).

    Parameters
    ----------
    images : array of shape (n, d)
        Image embeddings of the model whose texts made the prompts.
    prompts : array of shape (n_names, d)
        From :func:`embed_prompts`.
    temperature : float
        Divides the cosines; CLIP learned 0.01.

    Returns
    -------
    array of shape (n, n_names)
        Rows sum to 1.

    Raises
    ------
    ValueError
        If dimensions differ or the temperature is not positive.
    """
    check_array("temperature", temperature, ndim=0, minimum=1e-6, remedy="pass for example 0.01")
    seen = _normalise(check_array("images", images, ndim=2, dtype=np.float64))
    wanted = _normalise(check_array("prompts", prompts, shape=(None, seen.shape[1]), dtype=np.float64))
    logits = seen @ wanted.T / temperature
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def _normalise(rows: NDArray) -> NDArray[np.float64]:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    if (norm == 0).any():
        raise ValueError("embeddings must not be zero; check the model that made them.")
    return rows / norm
