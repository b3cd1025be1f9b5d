"""TSV tables and JSON records, atomically, with provenance in a JSON file beside a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovis.io.atomic import atomic_path


def write_table(
    table: pd.DataFrame, path: str | Path, *, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write a table as TSV (missing values as ``n/a``, as in BIDS) and its provenance as ``<name>.json``."""
    path = Path(path)
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a")
    if provenance is not None:
        write_json({"provenance": dict(provenance)}, path.with_suffix(".json"))
    return path


def read_table(path: str | Path, *, required: tuple[str, ...] = (), dtype: Any = None) -> pd.DataFrame:
    """Read a TSV table.

    Parameters
    ----------
    path : path
        The file.
    required : tuple of str
        Columns that must be there.
    dtype : mapping, optional
        Column types, as in :func:`pandas.read_csv`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty or lacks a required column.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no table at {path}; run the step that makes it first.")
    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=True, dtype=dtype)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is empty or not a TSV table ({error}); restore the file.") from error
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise ValueError(
            f"{path} must have the columns {list(required)}, got {list(table.columns)} without {missing}; "
            "check that it is the right table and that it is separated by tabs."
        )
    return table


def write_json(record: Mapping[str, Any], path: str | Path) -> Path:
    """Write a JSON record atomically; NaN is refused, numpy numbers are converted."""
    path = Path(path)
    text = json.dumps(record, indent=2, default=_to_plain, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n")
    return path


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON record.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the text is not a JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no JSON file at {path}; run the step that makes it first.")
    try:
        record = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is truncated or not JSON ({error}); delete it and make it again."
        ) from error
    if not isinstance(record, dict):
        raise ValueError(  # noqa: TRY004 (the file is wrong, not the argument's type)
            f"{path} must hold a JSON object, got {type(record).__name__}."
        )
    return record


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
