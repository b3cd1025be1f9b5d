"""A bank of natural image embeddings on disk: memory-mapped shards, and disjoint repeats drawn from them.

Built by :func:`neurovis.captioning.bank_building.build_bank`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.captioning.projection import Tile
from neurovis.core import check_array, make_rng
from neurovis.io import read_json, read_table

FORMAT = "embedding_bank"
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Shard:
    """One folder of a bank: its name, the source its images come from and how many rows it holds."""

    name: str
    source: str
    n_rows: int


@dataclass(frozen=True)
class EmbeddingBank:
    """Embeddings of many images, read shard by shard.

    Parameters
    ----------
    folder : path
        Written by :func:`neurovis.captioning.bank_building.build_bank`.
    space : str
        Name of the embedding, e.g. ``"open_clip:ViT-B-32"``; encoder and caption model must share it.
    dim : int
        Dimension of the embedding.
    shards : tuple of Shard
        In the order of their rows: row ``r`` of the bank lies in the first shard whose cumulative size
        exceeds ``r``.
    dropped : array of int
        Rows that are left out, sorted; rows keep their numbers.
    """

    folder: Path
    space: str
    dim: int
    shards: tuple[Shard, ...]
    dropped: NDArray[np.int64] = field(default_factory=_NONE.copy)

    def __len__(self) -> int:
        return int(self.ends[-1]) - len(self.dropped)

    @property
    def ends(self) -> NDArray[np.int64]:
        """One past the last row of each shard."""
        return np.cumsum([shard.n_rows for shard in self.shards], dtype=np.int64)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row numbers that are not dropped, ascending."""
        return np.setdiff1d(np.arange(self.ends[-1]), self.dropped, assume_unique=True)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in order."""
        return tuple(dict.fromkeys(shard.source for shard in self.shards))

    def drop(self, rows: ArrayLike) -> EmbeddingBank:
        """The same bank without some rows."""
        rows = self._check_rows(rows)
        return replace(self, dropped=np.union1d(self.dropped, rows).astype(np.int64))

    def find_rows(self, source: str) -> NDArray[np.int64]:
        """Rows of one source that are not dropped, ascending.

        Raises
        ------
        ValueError
            If there is no such source.
        """
        if source not in self.sources:
            raise ValueError(f"source must be one of {self.sources}, got {source!r}; check the bank.")
        ends = self.ends
        parts = [
            np.arange(end - shard.n_rows, end)
            for shard, end in zip(self.shards, ends, strict=True)
            if shard.source == source
        ]
        return np.setdiff1d(np.concatenate(parts), self.dropped, assume_unique=True)

    def iterate_tiles(self, rows: ArrayLike | None = None, *, tile_rows: int = 16384) -> Iterator[Tile]:
        """Directions and norms of some rows, shard by shard.

        Parameters
        ----------
        rows : array of int, optional
            Row numbers, e.g. a repeat of :func:`draw_repeats`; all rows that are not dropped by default. Read
            in ascending order.
        tile_rows : int
            Largest number of rows of a tile.

        Raises
        ------
        ValueError
            If a row does not exist, comes twice or was dropped.
        FileNotFoundError
            If a shard is missing.
        """
        check_array("tile_rows", tile_rows, ndim=0, minimum=1, remedy="for example tile_rows=16384")
        wanted = self.rows if rows is None else np.sort(self._check_rows(rows))
        if rows is not None and np.isin(wanted, self.dropped).any():
            raise ValueError("rows must not hold dropped rows; draw repeats from this bank.")
        for shard, own in self._split(wanted):
            directions, norms = self._open(shard, "directions"), self._open(shard, "norms")
            for start in range(0, len(own), tile_rows):
                part = own[start : start + tile_rows]
                # A run of neighbours is sliced, which reads the file once from front to back.
                chosen = slice(part[0], part[-1] + 1) if part[-1] - part[0] == len(part) - 1 else part
                yield Tile(np.array(directions[chosen]), np.array(norms[chosen]))

    def read_embeddings(self, rows: ArrayLike) -> NDArray[np.float32]:
        """Unnormalised embeddings of a few rows, in the order given, (n, d)."""
        rows = self._check_rows(rows)
        order = np.argsort(rows, kind="stable")
        tiles = [t.directions * t.norms[:, None] for t in replace(self, dropped=_NONE).iterate_tiles(rows)]
        found = np.empty((len(rows), self.dim), dtype=np.float32)
        found[order] = np.concatenate(tiles) if tiles else found
        return found

    def read_images(self, rows: ArrayLike) -> pd.DataFrame:
        """``image_id`` and ``source`` of a few rows, in the order given, indexed by ``bank_row``."""
        rows = self._check_rows(rows)
        ids = pd.Series("", index=pd.Index(rows, name="bank_row"), dtype=object)
        sources = ids.copy()
        for shard, own in self._split(np.sort(rows)):
            table = read_table(self.folder / "shards" / shard.name / "images.tsv", dtype={"image_id": str})
            first = self._find_start(shard)
            ids.loc[own + first] = table["image_id"].to_numpy()[own]
            sources.loc[own + first] = shard.source
        return pd.DataFrame({"image_id": ids, "source": sources})

    def iterate_fingerprints(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
        """Row numbers (k,) and fingerprints (k, 3) of each shard, dropped rows left out.

        The first two columns are the first 128 bits of the SHA-256 of the pixels, the third the perceptual
        hash; see :mod:`neurovis.captioning.leakage`.
        """
        for shard, own in self._split(self.rows):
            yield own + self._find_start(shard), np.array(self._open(shard, "fingerprints")[own])

    def _check_rows(self, rows: ArrayLike) -> NDArray[np.int64]:
        rows = np.asarray(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise ValueError(
                f"rows must be a list of row numbers, got {rows.dtype} of shape {rows.shape}; pass integers."
            )
        if rows.size and (rows.min() < 0 or rows.max() >= self.ends[-1]):
            raise ValueError(
                f"rows must lie in 0 to {self.ends[-1] - 1}, got {rows.min()} to {rows.max()}; draw them "
                "from this bank."
            )
        if len(np.unique(rows)) != len(rows):
            raise ValueError(
                f"rows must not repeat, got {len(rows) - len(np.unique(rows))} twice; drop them."
            )
        return rows.astype(np.int64)

    def _split(self, rows: NDArray[np.int64]) -> Iterator[tuple[Shard, NDArray[np.int64]]]:
        """Ascending row numbers as (shard, rows within it), without shards that have none."""
        ends = self.ends
        cuts = np.searchsorted(rows, np.concatenate([[0], ends]))
        for i, shard in enumerate(self.shards):
            if cuts[i + 1] > cuts[i]:
                yield shard, rows[cuts[i] : cuts[i + 1]] - (ends[i] - shard.n_rows)

    def _find_start(self, shard: Shard) -> int:
        place = self.shards.index(shard)
        return int(self.ends[place]) - shard.n_rows

    def _open(self, shard: Shard, name: str) -> NDArray:
        path = self.folder / "shards" / shard.name / f"{name}.npy"
        if not path.is_file():
            raise FileNotFoundError(f"no file at {path}; build the bank again.")
        try:
            array: NDArray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{path} is truncated or foreign ({error}); delete its folder and build again."
            ) from error
        if len(array) != shard.n_rows:
            raise ValueError(
                f"{path} must hold {shard.n_rows} rows as index.json says, got {len(array)}; delete its "
                "folder and build again."
            )
        return array


def read_bank(folder: str | Path) -> EmbeddingBank:
    """Open a bank; nothing but its index is read.

    Raises
    ------
    FileNotFoundError
        If there is no finished bank.
    ValueError
        If the index is foreign or the bank is empty.
    """
    folder = Path(folder)
    record = read_json(folder / "index.json")
    if record.get("format") != FORMAT:
        raise ValueError(
            f"{folder} must hold a bank of embeddings, got format {record.get('format')!r}; check the folder."
        )
    shards = tuple(Shard(**entry) for entry in record["shards"])
    if not any(shard.n_rows for shard in shards):
        raise ValueError(f"the bank at {folder} must hold images, got none; see failed.tsv there.")
    return EmbeddingBank(folder, record["space"], record["dim"], shards)


def draw_repeats(
    bank: EmbeddingBank,
    n_repeats: int = 5,
    *,
    seed: int = 0,
    rows_per_repeat: int | None = None,
    redrawn: Mapping[str, float] | None = None,
) -> list[NDArray[np.int64]]:
    """Rows of the bank for independent projections.

    Parameters
    ----------
    bank : EmbeddingBank
        Any bank.
    n_repeats : int
        Number of repeats.
    seed : int
        Seed of the draw.
    rows_per_repeat : int, optional
        Rows of the disjoint part of a repeat; by default every row is used once and repeats differ by at most
        one row where the number does not divide.
    redrawn : mapping of str to float, optional
        Sources of which every repeat takes a random share anew, so that repeats overlap in them. The
        published banks redraw half of two small sources (``{"open-images": 0.5, "words": 0.5}``) and share
        out the large one.

    Returns
    -------
    list of array of int
        Ascending row numbers. Outside the redrawn sources no row is in two repeats.

    Raises
    ------
    ValueError
        If there are too few rows, a source is unknown or a share is not in (0, 1].
    """
    check_array("n_repeats", n_repeats, ndim=0, minimum=1, remedy="for example n_repeats=5")
    redrawn = dict(redrawn or {})
    for source, share in redrawn.items():
        if not 0 < share <= 1:
            raise ValueError(
                f"redrawn shares must be in (0, 1], got {share} for {source!r}; for example 0.5."
            )
    common = {source: bank.find_rows(source) for source in redrawn}
    owned = np.setdiff1d(bank.rows, np.concatenate([_NONE, *common.values()]), assume_unique=True)
    per_repeat = len(owned) // n_repeats if rows_per_repeat is None else rows_per_repeat
    if per_repeat * n_repeats > len(owned) or per_repeat < (0 if redrawn else 1):
        raise ValueError(
            f"n_repeats x rows_per_repeat must not exceed the {len(owned)} rows that repeats share out and "
            f"be at least 1, got {n_repeats} x {per_repeat}; take fewer repeats or build a larger bank."
        )
    order = make_rng(seed, "bank", "repeats").permutation(owned)
    used = order if rows_per_repeat is None else order[: n_repeats * per_repeat]
    repeats = []
    for number, part in enumerate(np.array_split(used, n_repeats)):
        rng = make_rng(seed, "bank", "redrawn", number)
        extra = [
            rng.choice(rows, size=max(1, round(redrawn[source] * len(rows))), replace=False)
            for source, rows in common.items()
        ]
        repeats.append(np.sort(np.concatenate([part, *extra])))
    return repeats
