"""Fixations: where people, or models of them, looked; one row of a table per fixation.

A scanpath is the rows of one subject, stimulus and trial, ordered by their index. Coordinates are pixels of
the image: x to the right, y down, the origin at the top left corner, so that the pixel of row r and column c
covers y in [r, r + 1) and x in [c, c + 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

Fixations = pd.DataFrame
"""Checked by :func:`check_fixations`."""

#: What tells scanpaths apart.
SCANPATH_KEYS = ["subject", "stimulus_id", "trial"]
FIXATION_COLUMNS = [*SCANPATH_KEYS, "index", "x_px", "y_px", "onset_s", "duration_s"]


def make_fixations(
    xy_px: ArrayLike,
    *,
    subject: str,
    stimulus_id: str,
    trial: int = 0,
    onset_s: ArrayLike | None = None,
    duration_s: ArrayLike | None = None,
) -> Fixations:
    """Table of one scanpath.

    Parameters
    ----------
    xy_px : array-like of shape (n_fixations, 2)
        (x, y) of the fixations in order [px].
    subject, stimulus_id : str
        Who looked at what.
    trial : int
        Number of the presentation, from 0.
    onset_s, duration_s : array-like of shape (n_fixations,), optional
        Times [s]; NaN where they were not recorded.

    Returns
    -------
    pandas.DataFrame
        With the columns :data:`FIXATION_COLUMNS`; no rows for a scanpath that has not begun.

    Raises
    ------
    ValueError
        If positions or times have the wrong shape.
    """
    xy = np.asarray(xy_px, dtype=float)
    if xy.size == 0:
        xy = xy.reshape(0, 2)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(
            f"xy_px must be (n_fixations, 2) of (x, y), got shape {xy.shape}; pass one row per fixation."
        )
    times = {}
    for name, values in {"onset_s": onset_s, "duration_s": duration_s}.items():
        times[name] = np.full(len(xy), np.nan) if values is None else np.asarray(values, dtype=float)
        if times[name].shape != (len(xy),):
            raise ValueError(
                f"{name} must have one value for each of {len(xy)} fixations, got shape "
                f"{times[name].shape}; leave it out if it was not recorded."
            )
    return pd.DataFrame(
        {
            "subject": pd.Series([subject] * len(xy), dtype=object),
            "stimulus_id": pd.Series([stimulus_id] * len(xy), dtype=object),
            "trial": np.full(len(xy), trial, dtype=np.int64),
            "index": np.arange(len(xy), dtype=np.int64),
            "x_px": xy[:, 0],
            "y_px": xy[:, 1],
            **times,
        }
    )


def check_fixations(
    table: pd.DataFrame,
    *,
    size_px: tuple[int, int] | Mapping[str, tuple[int, int]] | None = None,
    allow_outside: bool = False,
) -> Fixations:
    """Sorted copy of a table of fixations whose columns, order and positions are as they must be.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns :data:`FIXATION_COLUMNS`; further columns are kept.
    size_px : tuple of int, or mapping of stimulus_id to such tuples, optional
        (height, width) of the images [px]; positions are compared with it.
    allow_outside : bool
        Accept fixations beyond the image, which trackers record; they are left as they are.

    Returns
    -------
    pandas.DataFrame
        Sorted by scanpath and index, rows numbered from 0.

    Raises
    ------
    ValueError
        If columns are missing, there are no rows, positions are not finite, durations are negative, the
        indices of a scanpath are not 0, 1, 2 and so on, or fixations lie beyond the image; the message says
        so when exchanging x and y would put them inside.
    KeyError
        If ``size_px`` lacks a stimulus.
    """
    missing = [name for name in FIXATION_COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(
            f"fixations must have the columns {', '.join(FIXATION_COLUMNS)}; missing: {', '.join(missing)}; "
            "rename yours, and fill times that were not recorded with NaN."
        )
    if table.empty:
        raise ValueError("fixations must have at least one row, got none; check what was selected.")
    checked = table.astype({"subject": str, "stimulus_id": str})
    for name in ("trial", "index"):
        numbers = pd.to_numeric(checked[name], errors="coerce").to_numpy(dtype=float)
        if not (np.isfinite(numbers) & (numbers == np.round(numbers))).all():
            raise ValueError(f"fixations must have whole numbers as {name}; number them from 0.")
        checked[name] = numbers.astype(np.int64)
    for name in ("x_px", "y_px", "onset_s", "duration_s"):
        checked[name] = pd.to_numeric(checked[name], errors="raise").astype(float)
    finite = np.isfinite(checked[["x_px", "y_px"]].to_numpy()).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"fixations must have finite x_px and y_px, got {int((~finite).sum())} of {len(checked)} rows "
            f"without, first {_name_row(checked, ~finite)}; drop lost samples before."
        )
    if (checked["duration_s"] < 0).any():
        raise ValueError(
            f"fixations must have durations of at least 0 s, got {checked['duration_s'].min():g}; "
            "durations are seconds."
        )
    checked = checked.sort_values([*SCANPATH_KEYS, "index"], kind="stable", ignore_index=True)
    expected = checked.groupby(SCANPATH_KEYS, sort=False).cumcount().to_numpy()
    wrong = checked["index"].to_numpy() != expected
    if wrong.any():
        raise ValueError(
            "fixations must be numbered 0, 1, 2 and so on within a scanpath, got index "
            f"{checked['index'].to_numpy()[wrong][0]} where {expected[wrong][0]} was expected at "
            f"{_name_row(checked, wrong)}; number them again, give repeats their own trial."
        )
    if size_px is not None and not allow_outside:
        _check_inside(checked, size_px)
    return checked


def iterate_scanpaths(fixations: Fixations) -> Iterator[tuple[tuple[str, str, int], Fixations]]:
    """Scanpaths of a checked table one by one, in its order.

    Yields
    ------
    key : tuple
        (subject, stimulus_id, trial).
    scanpath : pandas.DataFrame
        Rows of that scanpath, numbered from 0.
    """
    for key, rows in fixations.groupby(SCANPATH_KEYS, sort=False):
        subject, stimulus_id, trial = cast("tuple[str, str, int]", key)
        yield (subject, stimulus_id, int(trial)), rows.reset_index(drop=True)


def _check_inside(fixations: pd.DataFrame, size_px: tuple[int, int] | Mapping[str, tuple[int, int]]) -> None:
    x, y = fixations["x_px"].to_numpy(), fixations["y_px"].to_numpy()
    height, width = _broadcast_sizes(fixations["stimulus_id"], size_px)
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    if not outside.any():
        return
    first = int(outside.argmax())
    swapped = ((y >= 0) & (y < width) & (x >= 0) & (x < height)).all()
    remedy = (
        "exchanging x and y puts all of them inside: are they (row, column)?"
        if swapped
        else "drop them, clip them or pass allow_outside=True."
    )
    raise ValueError(
        f"fixations must lie inside the image, got {int(outside.sum())} of {len(fixations)} outside, first "
        f"x={x[first]:g}, y={y[first]:g} of {_name_row(fixations, outside)} in an image of height "
        f"{height[first]:g} and width {width[first]:g}; {remedy}"
    )


def _broadcast_sizes(
    stimulus_ids: pd.Series, size_px: tuple[int, int] | Mapping[str, tuple[int, int]]
) -> tuple[Any, Any]:
    if not isinstance(size_px, Mapping):
        height, width = _check_size(size_px)
        return np.full(len(stimulus_ids), height), np.full(len(stimulus_ids), width)
    absent = [name for name in stimulus_ids.unique() if name not in size_px]
    if absent:
        raise KeyError(f"size_px has no entry for stimulus {absent[0]!r} ({len(absent)} are missing).")
    sizes = {name: _check_size(size_px[name]) for name in stimulus_ids.unique()}
    pairs = np.array([sizes[name] for name in stimulus_ids])
    return pairs[:, 0], pairs[:, 1]


def _check_size(size_px: Sequence[int]) -> tuple[int, int]:
    if len(size_px) != 2 or min(size_px) <= 0:
        raise ValueError(f"size_px must be a positive (height, width), got {tuple(size_px)}.")
    return int(size_px[0]), int(size_px[1])


def _name_row(fixations: pd.DataFrame, mask: Any) -> str:
    row = fixations.iloc[int(np.asarray(mask).argmax())]
    return f"subject {row['subject']}, stimulus {row['stimulus_id']}, fixation {row['index']}"
