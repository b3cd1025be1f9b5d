"""StimulusSet: what was shown, by id, with its size on the screen.

A stimulus is a file, or one row of a "brick": an HDF5 array of images. The path of a row is
``<file>.hdf5#<array>/<row>``, e.g. ``nsd_stimuli.hdf5#imgBrick/123``, rows counted from 0.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core.imports import import_optional
from neurovis.core.validation import check_array

_BRICK = re.compile(r"(?P<file>.+\.(?:hdf5|h5))#(?P<array>.+)/(?P<row>\d+)")


@dataclass(frozen=True)
class StimulusSet:
    """A table of images or movies on disk; nothing is read before :meth:`load`.

    Parameters
    ----------
    name : str
        Name of the set.
    table : pandas.DataFrame
        Index ``stimulus_id`` (unique strings); column ``path`` relative to ``root``, of a file or of a row
        of a brick (see the module's docstring), empty if the stimulus itself is not part of the data;
        further columns describe the stimuli. Its attribute ``obtain`` says where to get files that do not
        come with the set.
    root : pathlib.Path
        Folder that the paths are relative to.
    size_dva : tuple of float
        (height, width) on the screen [degrees of visual angle].
    fps : float, optional
        Frames per second [Hz] of movies; ``None`` for images.

    Raises
    ------
    ValueError
        If the index is not made of unique strings, a column is missing or a size is not positive.
    """

    name: str
    table: pd.DataFrame
    root: Path
    size_dva: tuple[float, float]
    fps: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "size_dva", (float(self.size_dva[0]), float(self.size_dva[1])))
        ids = self.table.index
        if not all(isinstance(item, str) for item in ids):
            raise ValueError(
                f"table of stimulus set {self.name!r} must be indexed by stimulus_id strings, got "
                f"{ids.dtype}; set the index with table.set_index('stimulus_id') after astype(str)."
            )
        if not ids.is_unique:
            twice = ids[ids.duplicated()][0]
            raise ValueError(
                f"table of stimulus set {self.name!r} must have unique stimulus ids, got {twice!r} twice; "
                "drop or rename the repeated rows."
            )
        if "path" not in self.table.columns:
            raise ValueError(
                f"table of stimulus set {self.name!r} must have a column 'path' relative to root, got "
                f"columns {list(self.table.columns)}; add it."
            )
        sizes = check_array("size_dva and fps", [*self.size_dva, 1.0 if self.fps is None else self.fps])
        if sizes.min() <= 0:
            raise ValueError(
                f"size_dva and fps must be positive, got {self.size_dva} and {self.fps}; pass "
                "(height, width) in degrees and frames per second."
            )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def stimulus_ids(self) -> list[str]:
        """Stimulus ids in table order."""
        return list(self.table.index)

    def path(self, stimulus_id: str) -> Path:
        """Absolute or root-relative path of one stimulus file.

        Raises
        ------
        KeyError
            If the id is not in the set.
        FileNotFoundError
            If the stimulus is not part of the data.
        ValueError
            If the stimulus is a row of a brick, which has no file of its own.
        """
        entry = self._entry(stimulus_id)
        if _BRICK.fullmatch(entry):
            raise ValueError(
                f"stimulus {stimulus_id!r} of {self.name!r} must be a file of its own to have a path, got "
                f"{entry}; use load(), or export() to write it to a file."
            )
        return self.root / entry

    def load(self, stimulus_id: str) -> NDArray[np.uint8]:
        """Pixels of one stimulus.

        Returns
        -------
        array of shape ([frame,] height, width, 3)
            RGB, 0-255. ``.npy`` files hold movies (or images) as they are, rows of bricks are images as they
            are; every other file is read as an image.

        Raises
        ------
        FileNotFoundError
            If the file is missing or the stimulus is not part of the data.
        ValueError
            If a ``.npy`` file or a brick does not hold uint8 RGB, or a brick lacks the array or the row.
        """
        entry = self._entry(stimulus_id)
        brick = _BRICK.fullmatch(entry)
        path = self.root / (brick["file"] if brick else entry)
        if not path.is_file():
            remedy = self.table.attrs.get("obtain", "check the set's root")
            raise FileNotFoundError(
                f"stimulus {stimulus_id!r} of {self.name!r} has no file at {path}; {remedy}."
            )
        if brick:
            return _read_brick_row(path, brick["array"], int(brick["row"]))
        if path.suffix == ".npy":
            pixels = np.load(path, allow_pickle=False)
            if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
                raise ValueError(
                    f"{path.name} must hold uint8 ([frame,] height, width, 3), got {pixels.dtype} "
                    f"{pixels.shape}; convert it to RGB first."
                )
            return pixels
        from PIL import Image

        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    def export(self, stimulus_id: str, folder: str | Path) -> Path:
        """Copy one stimulus into a folder: its file, or, for a row of a brick, ``<stimulus_id>.png``.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        KeyError, FileNotFoundError, ValueError
            As :meth:`load`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not _BRICK.fullmatch(self._entry(stimulus_id)):
            source = self.path(stimulus_id)
            return Path(shutil.copyfile(source, folder / source.name))
        from PIL import Image

        target = folder / f"{stimulus_id}.png"
        Image.fromarray(self.load(stimulus_id)).save(target)
        return target

    def subset(self, stimulus_ids: Sequence[str]) -> StimulusSet:
        """The same set restricted to ``stimulus_ids``, in that order.

        Raises
        ------
        KeyError
            Naming the first id that is not in the set.
        """
        missing = [item for item in stimulus_ids if item not in self.table.index]
        if missing:
            raise KeyError(
                f"{len(missing)} stimulus ids are not in stimulus set {self.name!r}, the first is "
                f"{missing[0]!r}"
            )
        return StimulusSet(self.name, self.table.loc[list(stimulus_ids)], self.root, self.size_dva, self.fps)

    def compute_hash(self) -> str:
        """SHA-256 over ids and contents, in order: the identity of what was shown.

        The content is that of the file, or the pixels of the rows used of a brick, never the whole brick.
        """
        digest = hashlib.sha256(repr((self.size_dva, self.fps)).encode())
        for stimulus_id in self.table.index:
            digest.update(stimulus_id.encode() + b"\0")
            digest.update(hashlib.sha256(self._content(stimulus_id)).digest())
        return digest.hexdigest()

    def _entry(self, stimulus_id: str) -> str:
        if stimulus_id not in self.table.index:
            raise KeyError(f"stimulus_id {stimulus_id!r} is not in stimulus set {self.name!r}")
        entry: Any = self.table.loc[stimulus_id, "path"]
        # A table that was written and read again has NaN for what was empty.
        if pd.isna(entry) or not entry:
            remedy = self.table.attrs.get("obtain", "use its positions and labels only")
            raise FileNotFoundError(
                f"stimulus {stimulus_id!r} of {self.name!r} comes without its file (empty path); {remedy}."
            )
        return str(entry)

    def _content(self, stimulus_id: str) -> bytes:
        if not _BRICK.fullmatch(self._entry(stimulus_id)):
            return self.path(stimulus_id).read_bytes()
        pixels = self.load(stimulus_id)
        return repr(pixels.shape).encode() + pixels.tobytes()


def _read_brick_row(path: Path, name: str, row: int) -> NDArray[np.uint8]:
    h5py: Any = import_optional("h5py", extra="fmri")
    try:
        with h5py.File(path, "r") as file:
            brick = file.get(name)
            if not isinstance(brick, h5py.Dataset) or brick.ndim != 4 or brick.shape[-1] != 3:
                got = getattr(brick, "shape", f"the entries {sorted(file)}")
                raise ValueError(
                    f"{path} must hold the images {name!r} (n, height, width, 3), got {got}; check the file."
                )
            if brick.dtype != np.uint8 or row >= len(brick):
                raise ValueError(
                    f"{name!r} of {path} must hold uint8 RGB and have a row {row}, got {brick.dtype} and "
                    f"{len(brick)} rows; check the file, and that rows are counted from 0."
                )
            pixels: NDArray[np.uint8] = brick[row]
            return pixels
    except OSError as error:
        raise ValueError(f"{path} is truncated or not an HDF5 file ({error}); get it again.") from error
