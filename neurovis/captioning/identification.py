"""Whether a caption tells its voxel from others: from the sentence back to the voxel it was written for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.captioning.statistics import bootstrap_mean
from neurovis.core import check_array, make_rng
from neurovis.metrics.ranks import rank_rows
from neurovis.metrics.regression import standardise_columns
from neurovis.metrics.significance import compute_p_value

EmbedTexts = Callable[[Sequence[str]], ArrayLike]
"""Sentences to embeddings (n, d) in the space of the images' embeddings."""


@dataclass(frozen=True)
class VoxelIdentification:
    """Ranks of the voxels that captions were written for.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per voxel: ``region``; ``rank_region`` and ``n_region``, its rank (1 best, ties count half)
        among the voxels of its region; ``rank_all`` and ``n_all`` among all.
    summary : pandas.DataFrame
        Rows "region" and "all": ``pairwise_accuracy``, the mean share of other voxels that the right one
        beats (chance 0.5), with ``low`` and ``high`` (bootstrap over different captions, voxels of one
        caption together), ``p`` (captions exchanged between voxels, within regions in the first row) and
        ``top_1``, the share identified outright, with its ``chance``; ``n_voxels`` that could be ranked.
    """

    table: pd.DataFrame
    summary: pd.DataFrame


def embed_captions(
    captions: Sequence[str], embed: EmbedTexts, *, batch_size: int = 256
) -> NDArray[np.float32]:
    """Embeddings of captions, each different one embedded once.

    Parameters
    ----------
    captions : sequence of str
        Any number of sentences.
    embed : callable
        The text tower that belongs to the image embedding.
    batch_size : int
        Sentences handed over at once.

    Returns
    -------
    array of shape (n, d), float32

    Raises
    ------
    ValueError
        If there are no captions, one is empty or the embeddings do not fit.
    """
    captions = list(captions)
    if not captions or not all(isinstance(text, str) and text.strip() for text in captions):
        raise ValueError("captions must be sentences, got none or an empty one; gate voxels first.")
    check_array("batch_size", batch_size, ndim=0, minimum=1, remedy="for example 256")
    unique = list(dict.fromkeys(captions))
    parts = []
    for start in range(0, len(unique), batch_size):
        texts = unique[start : start + batch_size]
        parts.append(check_array("embed(captions)", embed(texts), shape=(len(texts), None), dtype=np.float32))
    place = {text: row for row, text in enumerate(unique)}
    return np.concatenate(parts)[[place[text] for text in captions]]


def identify_voxels(
    caption_embeddings: ArrayLike,
    image_embeddings: ArrayLike,
    predicted: ArrayLike,
    regions: Sequence[str],
    *,
    base_embeddings: ArrayLike | None = None,
    n_permutations: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> VoxelIdentification:
    """Rank all voxels by how well a caption's profile over images matches their predicted responses.

    Parameters
    ----------
    caption_embeddings : array of shape (n_voxels, d)
        Text embeddings of the voxels' captions, from :func:`embed_captions`.
    image_embeddings : array of shape (n_images, d)
        Of images that neither the bank nor the encoder's training set holds; normalised here.
    predicted : array of shape (n_images, n_voxels)
        Responses that the encoder predicts for these images.
    regions : sequence of str of length n_voxels
        Region of each voxel.
    base_embeddings : array of shape (n, d), optional
        Text embeddings of captions of random images: their mean is taken off the voxels' captions, and with
        it what all captions have in common and the gap between the two modalities.
    n_permutations : int
        For the null; 0 for none.
    level : float
        Of the interval.
    seed : int
        Of bootstrap and permutations.

    Returns
    -------
    VoxelIdentification

    Raises
    ------
    ValueError
        If shapes disagree, a profile is constant or there are fewer than two voxels.

    Notes
    -----
    A caption's profile is its inner product, as a unit vector, with every image. Voxels that are alone in
    their region have no rank there and count in the second row only. The null exchanges captions, so p says
    that captions fit their own voxels better than each other's, given how similar neighbours are; it does not
    need voxels to be independent. The interval does, apart from voxels that share a caption. Memory grows
    with the square of the number of voxels: gate them first.
    """
    predicted = check_array("predicted", predicted, ndim=2, dtype=np.float64, remedy="(n_images, n_voxels)")
    n_images, n_voxels = predicted.shape
    texts = check_array("caption_embeddings", caption_embeddings, shape=(n_voxels, None), dtype=np.float64)
    shape = (n_images, texts.shape[1])
    images = check_array("image_embeddings", image_embeddings, shape=shape, dtype=np.float64)
    if n_voxels < 2 or n_images < 3 or len(regions) != n_voxels:
        raise ValueError(
            "predicted must have at least 3 images and 2 voxels and regions one name per voxel, got "
            f"{predicted.shape} and {len(regions)} names."
        )
    labels = np.asarray(list(regions), dtype=str)
    sentences = _scale_rows(texts)
    if base_embeddings is not None:
        base = check_array("base_embeddings", base_embeddings, shape=(None, texts.shape[1]), dtype=np.float64)
        sentences = sentences - _scale_rows(base).mean(axis=0)
    profiles = _scale_rows(images) @ sentences.T
    for name, values in (("caption profile", profiles), ("predicted", predicted)):
        flat = np.ptp(values, axis=0) == 0
        if flat.any():
            raise ValueError(
                f"every {name} must vary over images, got {int(flat.sum())} constant columns, the first "
                f"{int(np.flatnonzero(flat)[0])}; leave those voxels out."
            )
    # Row: caption; column: voxel.
    r = (standardise_columns(profiles).T @ standardise_columns(predicted)).astype(np.float32)
    _, sentence = np.unique(texts, axis=0, return_inverse=True)
    columns: dict[str, NDArray] = {}
    rows = []
    for name, own in (("region", labels), ("all", np.zeros(n_voxels))):
        groups = [np.flatnonzero(own == label) for label in np.unique(own)]
        rank, n = np.full(n_voxels, np.nan), np.empty(n_voxels, dtype=int)
        beaten = []
        for group in groups:
            n[group] = len(group)
            # A voxel's rank from below counts those it beats, ties half, and itself.
            beaten.append(rank_rows(r[np.ix_(group, group)]) - 1)
            if len(group) > 1:
                rank[group] = len(group) - np.diagonal(beaten[-1])
        columns |= {f"rank_{name}": rank, f"n_{name}": n}
        rng = make_rng(seed, "identification", name)
        null = [_exchange(beaten, rng) for _ in range(n_permutations)]
        rows.append({"among": name, **_summarise(rank, n, null, sentence.ravel(), level, seed)})
    summary = pd.DataFrame(rows).set_index("among")
    return VoxelIdentification(pd.DataFrame({"region": labels, **columns}), summary)


def _exchange(beaten: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> float:
    """Mean share of beaten voxels when captions change places within the groups they are compared in."""
    shares = [
        own[rng.permutation(len(own)), np.arange(len(own))] / (len(own) - 1) for own in beaten if len(own) > 1
    ]
    return float(np.concatenate(shares).mean()) if shares else float("nan")


def _summarise(
    rank: NDArray[np.float64],
    n: NDArray[np.int_],
    null: Sequence[float],
    sentence: NDArray[np.intp],
    level: float,
    seed: int,
) -> dict[str, float]:
    kept = n > 1
    if not kept.any():
        names = ("pairwise_accuracy", "low", "high", "p", "top_1", "chance")
        return {"n_voxels": 0.0, **dict.fromkeys(names, float("nan"))}
    accuracy = (n[kept] - rank[kept]) / (n[kept] - 1)
    low, high = bootstrap_mean(accuracy, sentence[kept], level=level, seed=seed)
    return {
        "n_voxels": float(kept.sum()), "pairwise_accuracy": float(accuracy.mean()), "low": low, "high": high,
        "p": float(compute_p_value(accuracy.mean(), null)[0]) if len(null) else float("nan"),
        "top_1": float((rank[kept] == 1).mean()), "chance": float((1 / n[kept]).mean()),
    }  # fmt: skip


def _scale_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    if not norms.all():
        raise ValueError("embeddings must not be zero, got a zero row; leave it out.")
    return values / norms
