"""BData files (BrainDecoderToolbox2, bdpy) in HDF5: one table, and for each column what it is.

A file holds ``dataset`` (rows, columns) and ``metadata/{key, value, description}``: ``value[i]`` has one
number per column under the name ``key[i]``. A key such as ``VoxelData`` or ``ROI_V1`` is 1 in the columns
that belong to it; a key such as ``voxel_x`` holds a quantity of the voxel; NaN is "does not apply". Older
files say ``dataSet`` and ``metaData``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neurovis.core import import_optional

_SPELLINGS = (("dataset", "metadata"), ("dataSet", "metaData"))


@dataclass(frozen=True)
class BData:
    """An opened file, of which only the metadata are held.

    Parameters
    ----------
    path : path
        The file.
    table : str
        Name of the table in the file.
    shape : tuple of int
        (rows, columns).
    metadata : mapping of str to array of shape (columns,)
        One number per column for each key.
    """

    path: Path
    table: str
    shape: tuple[int, int]
    metadata: Mapping[str, NDArray[np.float64]]

    def find_columns(self, key: str) -> NDArray[np.intp]:
        """Columns that belong to ``key``.

        Raises
        ------
        ValueError
            If there is no such key or no column belongs to it.
        """
        if key not in self.metadata:
            raise ValueError(
                f"{self.path} must have the key {key!r}, got {', '.join(sorted(self.metadata))}; check that "
                "it is the right file."
            )
        columns = np.flatnonzero(self.metadata[key] == 1)
        if not len(columns):
            raise ValueError(f"key {key!r} of {self.path} must mark columns with 1, got none.")
        return columns

    def read(
        self,
        columns: NDArray[np.intp],
        *,
        rows: NDArray[np.intp] | None = None,
        dtype: DTypeLike = np.float64,
    ) -> NDArray[Any]:
        """Part of the table.

        Parameters
        ----------
        columns : array of int
            Ascending, as from :meth:`find_columns`.
        rows : array of int, optional
            Ascending; all by default.
        dtype : dtype
            Of the result.

        Returns
        -------
        array of shape (n_rows, n_columns)

        Raises
        ------
        ValueError
            If the file is truncated.
        """
        h5py = import_optional("h5py", extra="fmri")
        rows = np.arange(self.shape[0]) if rows is None else rows
        # One rectangle is far quicker to read than picked rows and columns.
        first, left = int(rows[0]), int(columns[0])
        try:
            with h5py.File(self.path, "r") as file:
                part = file[self.table][first : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        except OSError as error:
            raise ValueError(f"{self.path} is truncated ({error}); get it again.") from error
        return part[np.ix_(rows - first, columns - left)].astype(dtype, copy=False)


def open_bdata(path: str | Path) -> BData:
    """Read the metadata of a BData file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not HDF5 or not laid out as BData.
    """
    h5py = import_optional("h5py", extra="fmri")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; check that the data set is complete.")
    try:
        with h5py.File(path, "r") as file:
            names = next((pair for pair in _SPELLINGS if all(name in file for name in pair)), None)
            if names is None or not {"key", "value"} <= set(file[names[1]]):
                raise ValueError(
                    f"{path} must hold dataset and metadata/key, value as BData does, got {sorted(file)}; "
                    "check that it is the HDF5 and not the MATLAB version."
                )
            shape = file[names[0]].shape
            keys = [key.decode() if isinstance(key, bytes) else str(key) for key in file[names[1]]["key"][()]]
            values = np.asarray(file[names[1]]["value"][()], dtype=np.float64)
    except OSError as error:
        raise ValueError(f"{path} is truncated or not an HDF5 file ({error}); get it again.") from error
    if len(shape) != 2 or values.shape != (len(keys), shape[1]) or len(set(keys)) != len(keys):
        raise ValueError(
            f"{path} must hold one value per key and column, got a table of shape {shape}, {len(keys)} keys "
            f"and values of shape {values.shape}; get it again."
        )
    return BData(path, names[0], (shape[0], shape[1]), dict(zip(keys, values, strict=True)))
