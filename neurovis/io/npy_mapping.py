"""A dictionary of labels in a ``.npy`` file, read without running the pickle that holds it.

NumPy can store any object as an array of type object, and then the file is a pickle, which may run code when
it is loaded. Published label tables are such files (``mapping_<class>.npy`` of Algonauts 2023, loaded by most
with ``allow_pickle=True``). Here the few names that such a table needs stand for inert records, so that
nothing named in the file is imported or called, and every other name is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_MOST_BYTES = 2**20


def read_npy_mapping(path: str | Path) -> dict[int, str]:
    """Dictionary of whole numbers to names from a ``.npy`` file.

    Parameters
    ----------
    path : path
        As ``numpy.save(path, {0: "Unknown", 1: "V1v"})`` writes it.

    Returns
    -------
    dict of int to str

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or foreign, holds something else than one such dictionary, or names anything
        that a dictionary of labels has no need of.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; check that the data set is complete.")
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(
            f"{path} must be a table of labels, got {path.stat().st_size} bytes; check the file."
        )
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read_header = np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(file)
            found = _LabelUnpickler(file).load() if dtype.hasobject and shape == () else None
    except (ValueError, EOFError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"{path} is truncated or not a NumPy file ({error}); get it again.") from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} must hold a dictionary of numbers to names and nothing else, got {error}; do not load "
            "it, and get it again from the source of the data set."
        ) from error
    content = found.content if isinstance(found, _Record) else None
    # The state of an array of objects ends with the list of its objects.
    items = content[-1] if isinstance(content, tuple) and content else None
    table = items[0] if isinstance(items, list) and len(items) == 1 else None
    if not isinstance(table, dict) or not all(
        isinstance(key, int) and isinstance(value, str) for key, value in table.items()
    ):
        raise ValueError(f"{path} must hold one dictionary of whole numbers to names; check the file.")
    return {int(key): value for key, value in table.items()}


class _Record:
    """What stands for an array or its type: keeps what it is given and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.content: Any = arguments

    def __setstate__(self, state: Any) -> None:
        # The state of a type says less than its name, which came as argument.
        if not (self.content and isinstance(self.content[0], str)):
            self.content = state


def _read_scalar(dtype: _Record, content: bytes) -> int:
    name = str(dtype.content[0])
    if name not in ("i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1") or len(content) != int(name[1]):
        raise pickle.UnpicklingError(f"a key of type {name}")
    return int.from_bytes(content, "little", signed=name[0] == "i")


class _LabelUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return _Record
        if module in _MODULES and name in ("_reconstruct", "scalar"):
            return _Record if name == "_reconstruct" else _read_scalar
        raise pickle.UnpicklingError(f"{module}.{name}")
