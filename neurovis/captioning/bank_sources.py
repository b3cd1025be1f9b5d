"""Where the images of a bank come from: folders, tar shards (webdataset), parquet tables, stimulus sets.

Every source gives ``(image_id, content)`` in a fixed order; content is the bytes of an image file or its
pixels. Nothing is decoded and nothing is unpacked to disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurovis.core import StimulusSet, import_optional

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif")

Content = bytes | NDArray[np.uint8] | None
"""Bytes of an image file, pixels, or None for an image that its source lists but does not hold."""


class ImageSource(Protocol):
    """An ordered collection of images."""

    @property
    def name(self) -> str:
        """Name of the source; repeats can be drawn from each source apart."""
        ...

    def describe(self) -> dict[str, Any]:
        """What decides which images come, JSON-serialisable."""
        ...

    def iterate(self, start: int = 0) -> Iterator[tuple[str, Content]]:
        """Images from number ``start`` on."""
        ...


@dataclass(frozen=True)
class FolderImages:
    """All image files below a folder, in the order of their paths.

    Parameters
    ----------
    folder : path
        Any depth; ids are relative paths without suffix.
    name : str
        Name of the source.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """

    folder: Path
    name: str = "folder"

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no folder of images at {self.folder}; check the path.")

    def describe(self) -> dict[str, Any]:
        """Kind, number of files and their total size."""
        files = self._find()
        return {"kind": "folder", "n_files": len(files), "n_bytes": sum(f.stat().st_size for f in files)}

    def iterate(self, start: int = 0) -> Iterator[tuple[str, Content]]:
        """Images from number ``start`` on."""
        for path in self._find()[start:]:
            yield path.relative_to(self.folder).with_suffix("").as_posix(), path.read_bytes()

    def _find(self) -> list[Path]:
        found = (path for path in self.folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        return sorted((p for p in found if p.is_file()), key=lambda p: p.relative_to(self.folder).as_posix())


@dataclass(frozen=True)
class TarImages:
    """Images inside tar files, as webdataset shards hold them; other members are passed over.

    Parameters
    ----------
    paths : sequence of path
        The shards, compressed or not, in the order given.
    name : str
        Name of the source; ids are ``<shard>/<member without suffix>``.

    Raises
    ------
    ValueError
        If no shard is given.
    FileNotFoundError
        If a shard is missing.
    """

    paths: Sequence[Path]
    name: str = "tar"

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", _check_files(self.paths))

    def describe(self) -> dict[str, Any]:
        """Kind and, of each shard, name and size."""
        return {"kind": "tar", "files": [[path.name, path.stat().st_size] for path in self.paths]}

    def iterate(self, start: int = 0) -> Iterator[tuple[str, Content]]:
        """Images from number ``start`` on; the members before are passed over without being read.

        Raises
        ------
        ValueError
            If a shard is truncated or not a tar file.
        """
        number = 0
        for path in self.paths:
            stem = path.name.split(".")[0]
            try:
                with tarfile.open(path) as shard:
                    for member in shard:
                        if not member.isfile() or Path(member.name).suffix.lower() not in IMAGE_SUFFIXES:
                            continue
                        number += 1
                        if number > start:
                            stream = shard.extractfile(member)
                            content = stream.read() if stream is not None else None
                            yield f"{stem}/{Path(member.name).with_suffix('').as_posix()}", content
                    _check_end(shard)
            except (tarfile.TarError, EOFError, OSError) as error:
                raise ValueError(f"{path} is truncated or not a tar file ({error}); get it again.") from error


@dataclass(frozen=True)
class ParquetImages:
    """Images in a column of parquet files: bytes, or the pair of bytes and path that ``datasets`` writes.

    Parameters
    ----------
    paths : sequence of path
        The files, in the order given.
    name : str
        Name of the source; ids are ``<file>/<row>`` unless ``id_column`` names them.
    column : str
        Column of the images.
    id_column : str, optional
        Column of unique ids.

    Raises
    ------
    ValueError
        If no file is given.
    FileNotFoundError
        If a file is missing.
    """

    paths: Sequence[Path]
    name: str = "parquet"
    column: str = "image"
    id_column: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", _check_files(self.paths))

    def describe(self) -> dict[str, Any]:
        """Kind, columns and, of each file, name and size."""
        files = [[path.name, path.stat().st_size] for path in self.paths]
        return {"kind": "parquet", "files": files, "column": self.column, "id_column": self.id_column}

    def iterate(self, start: int = 0) -> Iterator[tuple[str, Content]]:
        """Images from number ``start`` on; whole row groups before are passed over without being read.

        Raises
        ------
        ValueError
            If a file is truncated or not parquet, lacks a column or holds something else than images.
        """
        parquet = import_optional("pyarrow.parquet", extra="parquet")
        arrow = import_optional("pyarrow", extra="parquet")
        columns = [self.column, *([self.id_column] if self.id_column else [])]
        first = 0
        for path in self.paths:
            try:
                with parquet.ParquetFile(path) as file:
                    missing = [column for column in columns if column not in file.schema_arrow.names]
                    if missing:
                        raise ValueError(
                            f"{path} must have the column {missing[0]!r}, got {file.schema_arrow.names}; "
                            "pass column and id_column."
                        )
                    yield from self._read(file, path.stem, columns, first, start)
                    first += file.metadata.num_rows
            except (arrow.ArrowException, OSError) as error:
                raise ValueError(
                    f"{path} is truncated or not a parquet file ({error}); get it again."
                ) from error

    def _read(
        self, file: Any, stem: str, columns: list[str], first: int, start: int
    ) -> Iterator[tuple[str, Content]]:
        """Rows of one file, whose first row has the number ``first`` among all."""
        row = 0
        for group in range(file.num_row_groups):
            n_rows = file.metadata.row_group(group).num_rows
            if first + row + n_rows <= start:
                row += n_rows
                continue
            for batch in file.iter_batches(batch_size=64, row_groups=[group], columns=columns):
                for record in batch.to_pylist():
                    if first + row >= start:
                        image_id = str(record[self.id_column]) if self.id_column else f"{stem}/{row:08d}"
                        yield image_id, _take_bytes(record[self.column], self.column)
                    row += 1


@dataclass(frozen=True)
class StimulusImages:
    """The images of a stimulus set.

    Parameters
    ----------
    stimuli : StimulusSet
        Files or rows of a brick; a missing file counts as a failed image.
    """

    stimuli: StimulusSet

    @property
    def name(self) -> str:
        """Name of the stimulus set."""
        return self.stimuli.name

    def describe(self) -> dict[str, Any]:
        """Kind, number of stimuli and their first and last id."""
        ids = self.stimuli.stimulus_ids
        return {"kind": "stimuli", "n_stimuli": len(ids), "ends": [*ids[:1], *ids[-1:]]}

    def iterate(self, start: int = 0) -> Iterator[tuple[str, Content]]:
        """Images from number ``start`` on."""
        for stimulus_id in self.stimuli.stimulus_ids[start:]:
            try:
                content: Content = self.stimuli.load(stimulus_id)
            except (OSError, ValueError):
                content = None
            yield stimulus_id, content


def decode_image(content: Content) -> NDArray[np.uint8]:
    """Pixels of an image, as :meth:`neurovis.core.StimulusSet.load` would give them.

    Parameters
    ----------
    content : bytes, array or None
        What a source gives.

    Returns
    -------
    array of shape (height, width, 3), uint8
        RGB.

    Raises
    ------
    ValueError
        With the reason, if there is no image, it is broken, or all its pixels are the same: such images stand
        for downloads that failed.
    """
    from PIL import Image

    if content is None or (isinstance(content, bytes) and not content):
        raise ValueError("no content")
    if isinstance(content, bytes):
        try:
            with Image.open(io.BytesIO(content)) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"not a readable image ({error})") from error
    else:
        pixels = content
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"not an RGB image of uint8 ({pixels.dtype} {pixels.shape})")
    if (pixels == pixels[0, 0]).all():
        raise ValueError("all pixels are the same")
    return pixels


def _check_files(paths: Sequence[Path | str]) -> tuple[Path, ...]:
    files = tuple(Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths))
    if not files:
        raise ValueError("paths must name at least one file, got none; check the pattern.")
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"no file at {missing[0]} ({len(missing)} are missing); check the paths.")
    return files


def _check_end(shard: tarfile.TarFile) -> None:
    """A shard cut between two members would otherwise pass for a shorter one."""
    stream: Any = shard.fileobj
    stream.seek(shard.offset)
    if len(stream.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("no end of archive")


def _take_bytes(value: Any, column: str) -> bytes | None:
    content = value.get("bytes") if isinstance(value, dict) else value
    if content is not None and not isinstance(content, bytes):
        raise ValueError(
            f"column {column!r} must hold the bytes of image files, got {type(content).__name__}; pass "
            "another column."
        )
    return content
