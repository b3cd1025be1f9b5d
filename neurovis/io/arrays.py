"""Named arrays from MATLAB files (version 5) and NumPy archives, refused when truncated or foreign."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_mat(path: str | Path, names: Sequence[str]) -> dict[str, NDArray]:
    """Variables of a MATLAB version 4-7.2 file.

    Parameters
    ----------
    path : path
        The ``.mat`` file.
    names : sequence of str
        Variables to read; every one must be there.

    Returns
    -------
    dict of str to array
        At least two-dimensional, as MATLAB keeps them; cell arrays have dtype object.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not a MATLAB file, or lacks a variable.
    """
    # scipy.io reads MATLAB's structs; the import is slow and only a few readers need it.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = _check_file(path)
    try:
        found = loadmat(path)
    except (MatReadError, ValueError, TypeError, OSError, EOFError, zlib.error, NotImplementedError) as error:
        raise ValueError(f"{path} is truncated or not a MATLAB 5 file ({error}); get it again.") from error
    return _select({k: v for k, v in found.items() if not k.startswith("__")}, names, path)


def read_npz(path: str | Path, names: Sequence[str]) -> dict[str, NDArray]:
    """Arrays of a NumPy archive; nothing pickled is ever loaded.

    Parameters
    ----------
    path : path
        The ``.npz`` file.
    names : sequence of str
        Arrays to read; every one must be there.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not a NumPy archive, holds pickles, or lacks an array.
    """
    path = _check_file(path)
    # numpy leaves the file open when the archive is broken, so that is asked first.
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is truncated or not a NumPy archive; get it again.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            present = {name: archive[name] if name in names else np.empty(0) for name in archive.files}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, zlib.error) as error:
        raise ValueError(f"{path} is truncated or not a NumPy archive ({error}); get it again.") from error
    return _select(present, names, path)


def _check_file(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; check that the data set is complete.")
    return path


def _select(found: dict[str, NDArray], names: Sequence[str], path: Path) -> dict[str, NDArray]:
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{path} must hold the arrays {list(names)}, got {sorted(found)} without {missing}; check "
            "that it is the right file."
        )
    return {name: found[name] for name in names}
