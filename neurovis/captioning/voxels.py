"""From encoder weights to sentences: projection onto each repeat of the bank, then decoding."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.captioning.bank import EmbeddingBank, draw_repeats
from neurovis.captioning.decoding import Decoding
from neurovis.captioning.projection import (
    INVERSE_TEMPERATURE,
    compute_repeat_agreement,
    project_weights,
)
from neurovis.core import (
    OtherConfigurationError,
    check_array,
    compute_config_hash,
    compute_file_hash,
    make_rng,
)
from neurovis.io import atomic_path, read_json, read_table, write_json, write_table

if TYPE_CHECKING:
    from neurovis.captioning.captioner import PrefixCaptioner

VOXEL_COLUMNS = ("subject", "hemisphere", "voxel", "region")


@dataclass(frozen=True)
class VoxelCaptions:
    """Captions of voxels.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per repeat and voxel, repeats outermost: the columns of the voxel table, then ``repeat``,
        ``direction`` ("increase" or "suppress"), ``caption``, ``score`` (mean log probability of its tokens
        [nat]) and ``complete`` (False if it was cut).
    embeddings : array of shape (n_repeats, n_voxels, d), float32
        Projected embeddings.
    agreement : array of shape (n_voxels,)
        Mean cosine across repeats; NaN for one repeat.
    n_effective : array of shape (n_repeats, n_voxels)
        Number of bank images behind each embedding.
    """

    table: pd.DataFrame
    embeddings: NDArray[np.float32]
    agreement: NDArray[np.float64]
    n_effective: NDArray[np.float32]

    @property
    def captions(self) -> NDArray[np.object_]:
        """Sentences as an array of shape (n_repeats, n_voxels)."""
        return self.table["caption"].to_numpy(dtype=object).reshape(len(self.embeddings), -1)


def caption_voxels(
    weights: ArrayLike,
    voxels: pd.DataFrame,
    bank: EmbeddingBank,
    captioner: PrefixCaptioner,
    *,
    inverse_temperature: float = INVERSE_TEMPERATURE,
    repeats: Sequence[NDArray[np.int64]] | None = None,
    suppression: bool = False,
    decoding: Decoding | None = None,
    batch_size: int = 128,
    merge_above: float | None = 0.999,
    precision: str = "float32",
    device: str = "cpu",
    folder: str | Path | None = None,
) -> VoxelCaptions:
    """Caption voxels from their encoder weights.

    Parameters
    ----------
    weights : array of shape (n_voxels, d)
        Weights of a linear encoder of unit-norm embeddings of the bank's space, its intercept left out.
    voxels : pandas.DataFrame
        One row per voxel with at least ``subject, hemisphere, voxel, region``: a caption is of no use without
        its place.
    bank : EmbeddingBank
        Natural images that hold no evaluation image; see :mod:`neurovis.captioning.leakage`.
    captioner : PrefixCaptioner
        Caption model of the same space.
    inverse_temperature : float
        See :func:`neurovis.captioning.projection.project_weights`.
    repeats : sequence of array of int, optional
        Bank rows of each repeat, from :func:`neurovis.captioning.bank.draw_repeats`; five disjoint parts by
        default.
    suppression : bool
        Caption the negated weights: what lowers the response.
    decoding, batch_size, merge_above
        See :meth:`neurovis.captioning.captioner.PrefixCaptioner.caption`.
    precision, device
        Of the projection.
    folder : path, optional
        Every repeat is written there, and read instead of made again if it is there.

    Returns
    -------
    VoxelCaptions

    Raises
    ------
    ValueError
        If shapes or spaces do not fit or the voxel table lacks a column.
    OtherConfigurationError
        If the folder holds captions made with other settings.

    Notes
    -----
    The encoder's intercept and a voxel's mean response play no part: a caption says what raises the response
    (or lowers it, with ``suppression``), not what the voxel encodes.
    """
    weights = check_array("weights", weights, shape=(None, bank.dim), dtype=np.float64)
    missing = [column for column in VOXEL_COLUMNS if column not in voxels.columns]
    if missing or len(voxels) != len(weights):
        raise ValueError(
            f"voxels must have one row per voxel and the columns {list(VOXEL_COLUMNS)}, got {len(voxels)} "
            f"rows for {len(weights)} weight vectors and no {missing}; take them from the encoder's neuroids."
        )
    if bank.space != captioner.space or bank.dim != captioner.embedding_dim:
        raise ValueError(
            f"bank and captioner must share one embedding, got {bank.space!r} ({bank.dim}) and "
            f"{captioner.space!r} ({captioner.embedding_dim}); embed the bank with the captioner's network."
        )
    repeats = draw_repeats(bank) if repeats is None else repeats
    if not len(repeats):
        raise ValueError("repeats must hold at least one set of bank rows, got none; use draw_repeats.")
    signed = -weights if suppression else weights
    decoding = decoding or Decoding(max_tokens=captioner.max_tokens)
    if folder is not None:
        settings = {
            "inverse_temperature": inverse_temperature, "suppression": suppression,
            "decoding": asdict(decoding), "merge_above": merge_above, "precision": precision,
            "bank": compute_file_hash(bank.folder / "index.json"), "repeats": _hash_arrays(repeats),
            "weights": _hash_arrays([signed]), "captioner": captioner.compute_hash(),
        }  # fmt: skip
        _check_settings(Path(folder), settings)
    parts = []
    for number, rows in enumerate(repeats):
        stem = None if folder is None else Path(folder) / f"repeat-{number}"
        if stem is not None and stem.is_dir():
            parts.append(_read_repeat(stem))
            continue
        projected = project_weights(
            signed, bank.iterate_tiles(rows), inverse_temperature, precision=precision, device=device
        )
        found = captioner.caption(
            projected.embeddings[0], decoding, batch_size=batch_size, merge_above=merge_above
        )
        table = pd.DataFrame({"caption": found.texts, "score": found.scores, "complete": found.complete})
        parts.append((table, projected.embeddings[0], projected.n_effective[0]))
        if stem is not None:
            _write_repeat(stem, *parts[-1])
    embeddings = np.stack([part[1] for part in parts])
    agreement = compute_repeat_agreement(embeddings) if len(parts) > 1 else np.full(len(weights), np.nan)
    direction = "suppress" if suppression else "increase"
    tables = [
        pd.concat([voxels.reset_index(drop=True).assign(repeat=k, direction=direction), part[0]], axis=1)
        for k, part in enumerate(parts)
    ]
    n_effective = np.stack([part[2] for part in parts])
    return VoxelCaptions(pd.concat(tables, ignore_index=True), embeddings, agreement, n_effective)


def caption_random_images(
    bank: EmbeddingBank,
    captioner: PrefixCaptioner,
    *,
    n_images: int = 1000,
    seed: int = 0,
    decoding: Decoding | None = None,
    batch_size: int = 128,
) -> list[str]:
    """Captions of random bank images: the base rate of words, with the caption model's own habits.

    Parameters
    ----------
    bank, captioner, decoding, batch_size
        As :func:`caption_voxels`.
    n_images : int
        Images drawn; all of the bank's if it holds fewer.
    seed : int
        Of the draw.
    """
    check_array("n_images", n_images, ndim=0, minimum=1, remedy="for example 1000")
    rows = make_rng(seed, "bank", "base rate").permutation(bank.rows)[:n_images]
    found = captioner.caption(bank.read_embeddings(rows), decoding, batch_size=batch_size)
    return found.texts


def _hash_arrays(arrays: Sequence[NDArray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / "settings.json"
    if not path.is_file():
        write_json(settings, path)
    elif compute_config_hash(read_json(path)) != compute_config_hash(settings):
        raise OtherConfigurationError(
            f"folder must be empty or hold captions of the same weights, bank and settings, got {folder} "
            "with others; delete it or choose another folder."
        )


def _write_repeat(
    folder: Path, table: pd.DataFrame, embeddings: NDArray[np.float32], n_effective: NDArray[np.float32]
) -> None:
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write_table(table, temporary / "captions.tsv")
        np.save(temporary / "embeddings.npy", embeddings)
        np.save(temporary / "n_effective.npy", n_effective)


def _read_repeat(folder: Path) -> tuple[pd.DataFrame, NDArray[np.float32], NDArray[np.float32]]:
    table = read_table(folder / "captions.tsv", required=("caption", "score", "complete"))
    table["caption"] = table["caption"].fillna("")
    return table, np.load(folder / "embeddings.npy"), np.load(folder / "n_effective.npy")
