"""Building a bank of image embeddings from any images: streamed, resumable, failed images listed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.captioning.bank import FORMAT, EmbeddingBank, Shard, read_bank
from neurovis.captioning.bank_sources import Content, ImageSource, decode_image
from neurovis.captioning.embedders import EmbedImages, check_embeddings
from neurovis.captioning.leakage import compute_fingerprint
from neurovis.core import OtherConfigurationError, check_array, compute_config_hash
from neurovis.io import atomic_path, read_json, read_table, write_json, write_table


def build_bank(
    folder: str | Path,
    sources: Sequence[ImageSource],
    embed: EmbedImages,
    *,
    space: str | None = None,
    shard_images: int = 65536,
    batch_size: int = 256,
) -> EmbeddingBank:
    """Embed all images of some sources; a run that was killed goes on after its last finished shard.

    Parameters
    ----------
    folder : path
        Receives ``index.json``, ``failed.tsv`` and one folder per shard with ``directions.npy`` (float16,
        unit norm), ``norms.npy`` (float32), ``fingerprints.npy`` (see
        :mod:`neurovis.captioning.leakage`) and ``images.tsv`` (ids).
    sources : sequence of ImageSource
        Read in order; names must differ.
    embed : callable
        Images to unnormalised embeddings, e.g. an
        :class:`~neurovis.captioning.embedders.ExtractorEmbedder`. Its ``describe()``, if it has one, guards
        against going on with another network.
    space : str, optional
        Name of the embedding; the embedder's own by default.
    shard_images : int
        Images read for one shard: what a killed run loses at most.
    batch_size : int
        Images handed to ``embed`` at once.

    Returns
    -------
    EmbeddingBank

    Raises
    ------
    ValueError
        If names repeat, ``space`` is not known, the embedder returns another shape, or no image is left.
    OtherConfigurationError
        If the folder holds parts of another bank.

    Notes
    -----
    Images without content, that cannot be read, whose pixels are all the same or whose embedding is zero or
    not finite are left out and listed with the reason in ``failed.tsv``. Norms are taken in float32 before
    directions are rounded to float16.
    """
    folder = Path(folder)
    check_array("shard_images", shard_images, ndim=0, minimum=1, remedy="for example 65536")
    check_array("batch_size", batch_size, ndim=0, minimum=1, remedy="for example 256")
    names = [source.name for source in sources]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"sources must have different names, got {names}; name them apart.")
    space = space if space is not None else getattr(embed, "space", None)
    if not space:
        raise ValueError("space must name the embedding, got None from a plain callable; pass space.")
    describe = getattr(embed, "describe", None)
    config = {
        "space": space, "embedder": describe() if describe else space, "shard_images": shard_images,
        "sources": [{"name": source.name, **source.describe()} for source in sources],
    }  # fmt: skip
    _check_config(folder, config)
    shards: list[Shard] = []
    failed: list[pd.DataFrame] = []
    for number, source in enumerate(sources):
        for shard, own_failed in _build_source(folder, number, source, embed, shard_images, batch_size):
            shards.append(shard)
            failed.append(own_failed)
    write_table(pd.concat(failed, ignore_index=True), folder / "failed.tsv")
    dims = {_read_dim(folder, shard) for shard in shards if shard.n_rows}
    if len(dims) > 1:
        raise ValueError(f"embed must always return one dimension, got {sorted(dims)}; check the embedder.")
    record = {
        "format": FORMAT, "space": space, "dim": dims.pop() if dims else 0,
        "n_rows": sum(shard.n_rows for shard in shards), "n_failed": sum(map(len, failed)),
        "shards": [vars(shard) for shard in shards],
    }  # fmt: skip
    write_json(record, folder / "index.json")
    return read_bank(folder)


def _build_source(
    folder: Path, number: int, source: ImageSource, embed: EmbedImages, shard_images: int, batch_size: int
) -> Iterator[tuple[Shard, pd.DataFrame]]:
    """Shards of one source, finished ones from disk, with their failed images."""
    from tqdm import tqdm

    chunk, stream, position = 0, None, 0
    with tqdm(desc=f"embedding {source.name}", unit="image", disable=None, file=sys.stderr) as progress:
        while True:
            name = f"{number:02d}-{chunk:06d}"
            place = folder / "shards" / name
            if not place.is_dir():
                if stream is None:
                    stream = source.iterate(position)
                images = islice(stream, shard_images)
                n_read = _write_shard(place, images, embed, batch_size, source.name, progress)
            else:
                n_read = int(read_json(place / "shard.json")["n_read"])
                progress.update(n_read)
            position += n_read
            record = read_json(place / "shard.json")
            failed = read_table(place / "failed.tsv", dtype=str, required=("image_id", "reason"))
            yield Shard(name, source.name, int(record["n_rows"])), failed
            if n_read < shard_images:
                return
            chunk += 1


def _write_shard(
    place: Path,
    images: Iterator[tuple[str, Content]],
    embed: EmbedImages,
    batch_size: int,
    source: str,
    progress: Any,
) -> int:
    """Embed and write the images of one shard; the number of images read."""
    rows = _Rows()
    while batch := list(islice(images, batch_size)):
        rows.add(batch, embed)
        progress.update(len(batch))
    with atomic_path(place) as temporary:
        temporary.mkdir()
        for name, array in rows.join().items():
            np.save(temporary / f"{name}.npy", array)
        write_table(pd.DataFrame({"image_id": rows.image_ids}), temporary / "images.tsv")
        failed = pd.DataFrame(rows.failed, columns=["image_id", "reason"])
        write_table(failed.assign(source=source), temporary / "failed.tsv")
        write_json({"n_read": rows.n_read, "n_rows": len(rows.image_ids)}, temporary / "shard.json")
    return rows.n_read


class _Rows:
    """Rows of one shard as they come."""

    def __init__(self) -> None:
        self.image_ids: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.directions: list[NDArray[np.float16]] = []
        self.norms: list[NDArray[np.float32]] = []
        self.fingerprints: list[tuple[int, int, int]] = []
        self.n_read = 0

    def add(self, batch: list[tuple[str, Content]], embed: EmbedImages) -> None:
        self.n_read += len(batch)
        ids, images = [], []
        for image_id, content in batch:
            try:
                images.append(decode_image(content))
            except ValueError as error:
                self.failed.append((image_id, str(error)))
            else:
                ids.append(image_id)
        if not images:
            return
        dim = self.directions[0].shape[1] if self.directions else None
        embeddings = check_embeddings(embed(images), len(images), dim=dim, finite=False)
        norms = np.linalg.norm(embeddings, axis=1)
        good = np.isfinite(norms) & (norms > 0)
        self.failed += [(ids[i], f"embedding of norm {norms[i]}") for i in np.flatnonzero(~good)]
        self.image_ids += [ids[i] for i in np.flatnonzero(good)]
        self.directions.append((embeddings[good] / norms[good, None]).astype(np.float16))
        self.norms.append(norms[good])
        self.fingerprints += [compute_fingerprint(images[i]) for i in np.flatnonzero(good)]

    def join(self) -> dict[str, NDArray]:
        return {
            "directions": np.concatenate(self.directions or [np.empty((0, 0), dtype=np.float16)]),
            "norms": np.concatenate(self.norms or [np.empty(0, dtype=np.float32)]),
            "fingerprints": np.array(self.fingerprints, dtype=np.uint64).reshape(-1, 3),
        }


def _read_dim(folder: Path, shard: Shard) -> int:
    path = folder / "shards" / shard.name / "directions.npy"
    return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[1])


def _check_config(folder: Path, config: dict[str, Any]) -> None:
    path = folder / "config.json"
    if not path.is_file():
        write_json({"config": config}, path)
        return
    old = read_json(path).get("config", {})
    if compute_config_hash(old) != compute_config_hash(config):
        changed = sorted(key for key in config if old.get(key) != config[key])
        raise OtherConfigurationError(
            f"folder must be empty or hold the same bank, got {folder} with another one "
            f"({', '.join(changed)} differ); delete it or choose another folder."
        )
