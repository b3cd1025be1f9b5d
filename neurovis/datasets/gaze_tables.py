"""What every loader of eye movements needs: scanpaths to one table, off-screen positions, one subject."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import Fixations, StimulusSet, check_fixations, check_option
from neurovis.core.fixations import FIXATION_COLUMNS

OUTSIDE = ("clip", "drop", "keep")


def stack_scanpaths(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of a table of fixations from one record per scanpath.

    Parameters
    ----------
    records : iterable of mappings
        Each with ``subject``, ``stimulus_id``, the arrays ``x_px`` and ``y_px``, and, if recorded,
        ``duration_s`` and ``onset_s``; ``trial`` is 0 if left out. Every other entry is one value for the
        whole scanpath and becomes a column.

    Returns
    -------
    pandas.DataFrame
        Not checked yet; scanpaths without fixations have no rows.
    """
    found = list(records)
    lengths = [len(record["x_px"]) for record in found]
    n_rows = sum(lengths)
    columns: dict[str, Any] = {"trial": np.zeros(n_rows, dtype=np.int64)}
    arrays = ("x_px", "y_px", "onset_s", "duration_s")
    for name in dict.fromkeys(name for record in found for name in record if name not in arrays):
        values = [record.get(name, 0) for record in found]
        columns[name] = np.repeat(np.array(values, dtype=None if _is_number(values) else object), lengths)
    columns["index"] = np.concatenate([np.arange(n) for n in lengths] or [np.empty(0, int)])
    for name in arrays:
        parts = [np.asarray(record.get(name, np.full(len(record["x_px"]), np.nan))) for record in found]
        columns[name] = np.concatenate(parts or [np.empty(0)]).astype(float)
    return pd.DataFrame({name: columns[name] for name in [*FIXATION_COLUMNS, *columns]})


def finish_fixations(
    table: pd.DataFrame, sizes_px: Mapping[str, tuple[int, int]] | tuple[int, int], *, outside: str
) -> Fixations:
    """Checked fixations, after what lies beyond the image was handled.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`stack_scanpaths` returns it.
    sizes_px : tuple of int, or mapping of stimulus_id to such tuples
        (height, width) of the images [px].
    outside : {"clip", "drop", "keep"}
        Move fixations beyond the image to the middle of the nearest pixel, leave them out and number the
        rest of the scanpath again, or leave them as they were recorded.

    Raises
    ------
    ValueError
        If the choice is unknown, or as :func:`neurovis.core.check_fixations`.
    """
    check_option("outside", outside, OUTSIDE)
    if isinstance(sizes_px, Mapping):
        sizes = np.array([sizes_px[name] for name in table["stimulus_id"]], dtype=float).reshape(-1, 2)
    else:
        sizes = np.tile(np.asarray(sizes_px, dtype=float), (len(table), 1))
    if outside != "keep":
        xy = table[["x_px", "y_px"]].to_numpy()
        limit = sizes[:, ::-1]
        beyond = (xy < 0) | (xy >= limit)
        if outside == "clip":
            xy = np.where(beyond, np.clip(xy, 0.5, limit - 0.5), xy)
            table = table.assign(x_px=xy[:, 0], y_px=xy[:, 1])
        else:
            table = table[~beyond.any(axis=1)]
            order = table.groupby(["subject", "stimulus_id", "trial"], sort=False).cumcount()
            table = table.assign(index=order)
    return check_fixations(table, size_px=sizes_px, allow_outside=outside == "keep")


def list_sizes(table: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """(height, width) of each stimulus [px], from the columns ``height_px`` and ``width_px``."""
    pairs = table[["height_px", "width_px"]].to_numpy()
    return {name: (int(height), int(width)) for name, (height, width) in zip(table.index, pairs, strict=True)}


def select_subject(
    stimuli: StimulusSet, fixations: Fixations, subject: str | None, subjects: Sequence[str]
) -> tuple[StimulusSet, Fixations]:
    """Fixations of one subject and the stimuli that it saw; everything if ``subject`` is None.

    Raises
    ------
    ValueError
        If there is no such subject.
    """
    if subject is None:
        return stimuli, fixations
    check_option("subject", subject, subjects)
    own = fixations[fixations["subject"] == subject].reset_index(drop=True)
    shown = set(own["stimulus_id"])
    return stimuli.subset([name for name in stimuli.stimulus_ids if name in shown]), own


def read_json_records(path: Path, *, lines: bool = False) -> Any:
    """A JSON document, or a list of its lines.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the text is not JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; check that the data set is complete.")
    try:
        text = path.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is truncated or not JSON ({error}); get it again.") from error


def check_entries(path: Path, number: int, record: Any, entries: Sequence[str]) -> None:
    """Refuse a record that lacks an entry, with the file and the number of the record."""
    missing = [name for name in entries if not isinstance(record, Mapping) or name not in record]
    if missing:
        raise ValueError(
            f"record {number} of {path} must have the entries {list(entries)}, got none of {missing}; check "
            "that it is the right file."
        )


def check_lengths(path: Path, number: int, arrays: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Numbers of one scanpath, refused if they differ in length or are not finite."""
    found = {name: np.asarray(values, dtype=float) for name, values in arrays.items()}
    lengths = {name: values.shape for name, values in found.items()}
    if len(set(lengths.values())) != 1 or not all(np.isfinite(values).all() for values in found.values()):
        raise ValueError(
            f"record {number} of {path} must hold one finite value per fixation, got shapes {lengths}; "
            "restore the file."
        )
    return found


def _is_number(values: list[Any]) -> bool:
    return all(isinstance(value, (bool, int, float, np.number)) for value in values)
