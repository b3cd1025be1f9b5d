"""StimulusSet: what was shown, by id, with its size on the screen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class StimulusSet:
    """A table of images or movies on disk; nothing is read before :meth:`load`.

    Parameters
    ----------
    name : str
        Name of the set.
    table : pandas.DataFrame
        Index ``stimulus_id`` (unique strings); column ``path`` relative to ``root``; further columns
        describe the stimuli.
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
        if min(self.size_dva) <= 0 or (self.fps is not None and self.fps <= 0):
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
        """
        if stimulus_id not in self.table.index:
            raise KeyError(f"stimulus_id {stimulus_id!r} is not in stimulus set {self.name!r}")
        return self.root / str(self.table.loc[stimulus_id, "path"])

    def load(self, stimulus_id: str) -> NDArray[np.uint8]:
        """Pixels of one stimulus.

        Returns
        -------
        array of shape ([frame,] height, width, 3)
            RGB, 0-255. ``.npy`` files hold movies (or images) as they are; every other file is read
            as an image.

        Raises
        ------
        FileNotFoundError
            If the file is missing.
        ValueError
            If a ``.npy`` file does not hold uint8 RGB.
        """
        path = self.path(stimulus_id)
        if not path.is_file():
            raise FileNotFoundError(
                f"stimulus {stimulus_id!r} of {self.name!r} has no file at {path}; check the set's root."
            )
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
        """SHA-256 over ids and file contents, in order: the identity of what was shown."""
        digest = hashlib.sha256(repr((self.size_dva, self.fps)).encode())
        for stimulus_id in self.table.index:
            digest.update(stimulus_id.encode() + b"\0")
            digest.update(hashlib.sha256(self.path(stimulus_id).read_bytes()).digest())
        return digest.hexdigest()
