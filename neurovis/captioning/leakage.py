"""Images that a bank shares with an evaluation set: the same pixels, near copies, or the same embedding.

A bank that holds the test images leaks: a voxel's caption would then describe the image that it was tested
on. NSD shows photographs of COCO, which public collections copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.captioning.bank import EmbeddingBank
from neurovis.captioning.embedders import EmbedImages, check_embeddings
from neurovis.core import StimulusSet, check_array, check_option

POLICIES = ("refuse", "drop", "keep")

_HASH_SIDE = 8
_RESIZED_PX = 32
_N_BITS = 64


def compute_fingerprint(image: NDArray[np.uint8]) -> tuple[int, int, int]:
    """Fingerprint of one image.

    Parameters
    ----------
    image : array of shape (height, width, 3), uint8
        RGB.

    Returns
    -------
    tuple of int
        First and second 64 bits of the SHA-256 of size and pixels, and the 64 bits of the perceptual hash.

    Notes
    -----
    The perceptual hash is pHash (Zauner, 2010): the 8 x 8 lowest cosines of the grey image at 32 x 32, each
    above or below their median. Scaling, recompression and small changes of tone turn few bits.
    """
    from PIL import Image
    from scipy.fft import dctn

    digest = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).digest()
    grey = Image.fromarray(image).convert("L").resize((_RESIZED_PX, _RESIZED_PX), Image.Resampling.BILINEAR)
    lowest = dctn(np.asarray(grey, dtype=np.float32))[:_HASH_SIDE, :_HASH_SIDE].ravel()
    bits = lowest > np.median(lowest)
    perceptual = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big"), perceptual


def find_leaks(
    bank: EmbeddingBank,
    stimuli: StimulusSet,
    *,
    embed: EmbedImages | None = None,
    max_distance: int | None = 4,
    min_cosine: float = 0.995,
    batch_size: int = 64,
) -> pd.DataFrame:
    """Pairs of a bank image and an evaluation image that are the same or nearly so.

    Parameters
    ----------
    bank : EmbeddingBank
        The bank.
    stimuli : StimulusSet
        The images that captions will be judged with: all that the encoder was tested on.
    embed : callable, optional
        The bank's own embedding; without it embeddings are not compared.
    max_distance : int, optional
        Largest number of differing bits of the perceptual hash that counts as a copy, 0-16; ``None`` leaves
        the comparison out.
    min_cosine : float
        Smallest cosine of embeddings that counts as a copy.
    batch_size : int
        Images embedded at once.

    Returns
    -------
    pandas.DataFrame
        One row per pair and kind: ``bank_row``, ``image_id``, ``source``, ``stimulus_id``, ``kind`` ("exact",
        "perceptual" or "embedding") and ``value`` (0, differing bits, or cosine). An exact pair is not listed
        as a perceptual one again.

    Raises
    ------
    ValueError
        If a threshold is out of range or the embedding has another dimension.
    """
    if max_distance is not None:
        check_array("max_distance", max_distance, ndim=0, minimum=0, maximum=16, remedy="for example 4 bits")
    check_array("min_cosine", min_cosine, ndim=0, minimum=-1, maximum=1, remedy="for example 0.995")
    ids = stimuli.stimulus_ids
    known = np.array([compute_fingerprint(stimuli.load(item)) for item in ids], dtype=np.uint64)
    found: list[tuple[int, str, str, float]] = []
    for rows, prints in bank.iterate_fingerprints():
        exact = _join(prints[:, :2], known[:, :2])
        found += [(int(rows[a]), ids[b], "exact", 0.0) for a, b in exact]
        if max_distance is not None:
            near = _find_near(prints[:, 2], known[:, 2], max_distance)
            found += [(int(rows[a]), ids[b], "perceptual", float(bits)) for a, b, bits in near]
    seen = {entry[:2] for entry in found if entry[2] == "exact"}
    found = [entry for entry in found if entry[2] == "exact" or entry[:2] not in seen]
    if embed is not None:
        found += _find_alike(bank, stimuli, embed, min_cosine, batch_size)
    table = pd.DataFrame(found, columns=["bank_row", "stimulus_id", "kind", "value"])
    rows = table["bank_row"].to_numpy(dtype=np.int64)
    images = bank.read_images(np.unique(rows)).loc[rows]
    table = table.assign(image_id=images["image_id"].to_numpy(), source=images["source"].to_numpy())
    columns = ["bank_row", "image_id", "source", "stimulus_id", "kind", "value"]
    return table.sort_values(["kind", "bank_row", "stimulus_id"], ignore_index=True)[columns]


def remove_leaks(bank: EmbeddingBank, leaks: pd.DataFrame, *, policy: str = "refuse") -> EmbeddingBank:
    """The bank to go on with after :func:`find_leaks`.

    Parameters
    ----------
    bank : EmbeddingBank
        The bank.
    leaks : pandas.DataFrame
        From :func:`find_leaks`.
    policy : {"refuse", "drop", "keep"}
        Raise if there are any, leave their rows out, or keep them; report results of both if you keep them.

    Raises
    ------
    ValueError
        If the policy is unknown, or is ``"refuse"`` and there are leaks.
    """
    check_option("policy", policy, POLICIES)
    if not len(leaks) or policy == "keep":
        return bank
    rows = np.unique(leaks["bank_row"].to_numpy(dtype=np.int64))
    if policy == "drop":
        return bank.drop(rows)
    first = leaks.iloc[0]
    raise ValueError(
        f"the bank must not hold evaluation images, got {len(rows)} of {len(bank)} rows that match "
        f"{leaks['stimulus_id'].nunique()} stimuli, the first {first['image_id']!r} and "
        f"{first['stimulus_id']!r} ({first['kind']}, {first['value']:g}); pass policy='drop' to leave them "
        "out, or policy='keep' and say so."
    )


def _join(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs of equal rows of two arrays (n, 2)."""
    places: dict[tuple[int, ...], list[int]] = {}
    for b, row in enumerate(right.tolist()):
        places.setdefault(tuple(row), []).append(b)
    # Most rows have no partner, which one look-up of their first number tells.
    for a in np.flatnonzero(np.isin(left[:, 0], right[:, 0])).tolist():
        for b in places.get(tuple(left[a].tolist()), ()):
            yield a, b


def _find_near(
    left: NDArray[np.uint64], right: NDArray[np.uint64], distance: int
) -> Iterator[tuple[int, int, int]]:
    """Pairs of hashes that differ in at most ``distance`` bits.

    Of ``distance + 1`` disjoint bands of bits at least one agrees in every such pair, so only pairs that
    share a band are compared.
    """
    edges = np.linspace(0, _N_BITS, distance + 2).round().astype(int).tolist()
    seen: set[tuple[int, int]] = set()
    for low, high in pairwise(edges):
        shift, mask = np.uint64(low), np.uint64((1 << (high - low)) - 1)
        keys, wanted = (left >> shift) & mask, (right >> shift) & mask
        order = np.argsort(keys, kind="stable")
        first = np.searchsorted(keys[order], wanted, side="left")
        last = np.searchsorted(keys[order], wanted, side="right")
        for b in np.flatnonzero(last > first).tolist():
            candidates = order[first[b] : last[b]]
            bits = _count_bits(left[candidates] ^ right[b])
            for a, n in zip(
                candidates[bits <= distance].tolist(), bits[bits <= distance].tolist(), strict=True
            ):
                if (a, b) not in seen:
                    seen.add((a, b))
                    yield a, b, n


def _count_bits(numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.unpackbits(numbers[:, None].view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)


def _find_alike(
    bank: EmbeddingBank, stimuli: StimulusSet, embed: EmbedImages, min_cosine: float, batch_size: int
) -> list[tuple[int, str, str, float]]:
    ids = stimuli.stimulus_ids
    parts = []
    for start in range(0, len(ids), batch_size):
        images = [stimuli.load(item) for item in ids[start : start + batch_size]]
        parts.append(check_embeddings(embed(images), len(images), dim=bank.dim))
    units = np.concatenate(parts)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    found, rows, first = [], bank.rows, 0
    for tile in bank.iterate_tiles():
        cosine = tile.directions.astype(np.float32) @ units.T
        for a, b in np.argwhere(cosine >= min_cosine).tolist():
            found.append((int(rows[first + a]), ids[b], "embedding", float(cosine[a, b])))
        first += len(tile.norms)
    return found
