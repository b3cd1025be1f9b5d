"""Scanpaths and maps as plain arrays: what is accepted, and pairs of scanpaths of similar length in batches.

A scanpath is an array (n, 2) of x and y [px], or (n, 3) with durations [s]. Metrics of scanpaths take two
sequences of them, compare the k-th of one with the k-th of the other, and return one row per pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import Fixations, check_array, check_option
from neurovis.core.fixations import SCANPATH_KEYS

# A fixation of more than a minute is a duration in milliseconds.
_LONGEST_S = 60.0
# The exp of a log density may miss 1 by the rounding of single precision.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ScanpathPairs:
    """Pairs of scanpaths, each scanpath checked and kept once.

    Parameters
    ----------
    values : array of shape (n_fixations, 2) or (n_fixations, 3)
        The different scanpaths, one after the other.
    lengths : array of int of shape (n_scanpaths,)
        Numbers of fixations.
    first, second : array of int of shape (n_pairs,)
        Which scanpaths each pair is made of.
    """

    values: NDArray[np.float64]
    lengths: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]

    @property
    def timed(self) -> bool:
        """Whether there are durations."""
        return self.values.shape[1] == 3

    def split(self, values: NDArray) -> list[NDArray]:
        """Rows that belong to all fixations as one array per scanpath."""
        return np.split(values, np.cumsum(self.lengths)[:-1])


def stack_scanpaths(
    name: str, scanpaths: Sequence[ArrayLike]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Scanpaths one after the other, and their numbers of fixations.

    Raises
    ------
    ValueError
        If there is none or one is empty, has another shape or holds NaN; if some have durations and others do
        not; or if durations are negative or look like milliseconds.
    """
    arrays = [np.asarray(scanpath, dtype=float) for scanpath in scanpaths]
    if not arrays:
        raise ValueError(f"{name} must hold at least one scanpath, got none; check what was selected.")
    # Arrays that do not fit are looked for only where joining them shows that there are some.
    try:
        values = np.concatenate(arrays)
    except ValueError as error:
        raise _describe_misfit(name, arrays) from error
    lengths = np.fromiter(map(len, arrays), dtype=np.intp, count=len(arrays))
    if values.ndim != 2 or values.shape[1] not in (2, 3) or not lengths.all():
        raise _describe_misfit(name, arrays)
    if not np.isfinite(values).all():
        place = int(np.searchsorted(np.cumsum(lengths), np.argmin(np.isfinite(values).all(axis=1)), "right"))
        raise ValueError(
            f"{name}[{place}] must be finite, got NaN or infinity; drop lost samples, and pass x and y only "
            "if durations were not recorded."
        )
    if values.shape[1] == 3 and not 0 <= values[:, 2].min() <= values[:, 2].max() <= _LONGEST_S:
        raise ValueError(
            f"{name} must have durations from 0 to {_LONGEST_S:g} s, got {values[:, 2].min():g} to "
            f"{values[:, 2].max():g}; durations are seconds."
        )
    return values, lengths


def _describe_misfit(name: str, arrays: Sequence[NDArray]) -> ValueError:
    """What is wrong with arrays of which one is no scanpath, or that differ in their columns."""
    for place, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] not in (2, 3) or not len(array):
            return ValueError(
                f"{name}[{place}] must have shape (n, 2) of x and y, or (n, 3) with durations, and at least "
                f"one fixation, got shape {array.shape}; leave out empty scanpaths."
            )
    return ValueError(
        f"{name} must all have durations or all have none, got both; pass the first two columns only."
    )


def pair_scanpaths(
    first: Sequence[ArrayLike], second: Sequence[ArrayLike], *, durations: bool = False
) -> ScanpathPairs:
    """Check two sequences of scanpaths of the same length.

    Parameters
    ----------
    first, second : sequence of array of shape (n, 2) or (n, 3)
        The k-th of one is compared with the k-th of the other. The same object in many pairs is prepared
        once.
    durations : bool
        Whether every scanpath must have durations.

    Raises
    ------
    ValueError
        If the sequences differ in length, durations are missing, or as :func:`stack_scanpaths`.
    """
    if len(first) != len(second):
        raise ValueError(
            f"first and second must hold the same number of scanpaths, got {len(first)} and {len(second)}; "
            "the k-th of one is compared with the k-th of the other."
        )
    everything = [*first, *second]
    keys = list(map(id, everything))
    different = dict(zip(keys, everything, strict=True))
    known = dict(zip(different, range(len(different)), strict=True))
    number = np.fromiter(map(known.__getitem__, keys), dtype=np.intp, count=len(keys))
    values, lengths = stack_scanpaths("scanpaths", list(different.values()))
    if durations and values.shape[1] == 2:
        raise ValueError("scanpaths must have durations here, got x and y only; pass (n, 3) arrays.")
    return ScanpathPairs(values, lengths, number[: len(first)], number[len(first) :])


def check_on_screen(
    name: str, xy_px: NDArray[np.float64], size_px: tuple[int, int], *, outside: str = "raise"
) -> NDArray[np.float64]:
    """Positions (n, 2) that lie on the screen.

    Parameters
    ----------
    name : str
        What the positions are, for the message.
    xy_px : array of shape (n, 2)
        x and y [px].
    size_px : tuple of int
        (height, width) [px].
    outside : {"raise", "clip"}
        Refuse positions beyond the screen or move them to the middle of the nearest pixel.

    Raises
    ------
    ValueError
        If a position is beyond the screen; the message says so when exchanging x and y, or height and width,
        would put all of them inside.
    """
    check_option("outside", outside, ("raise", "clip"))
    height, width = check_size(size_px)
    # Column by column: operations on rows of two numbers take ten times as long.
    x, y = xy_px.T
    if x.size and min(x.min(), y.min()) >= 0 and x.max() < width and y.max() < height:
        return xy_px
    limit = np.array([width, height], dtype=float)
    beyond = (xy_px < 0) | (xy_px >= limit)
    if not beyond.any():
        return xy_px
    if outside == "clip":
        return np.where(beyond, np.clip(xy_px, 0.5, limit - 0.5), xy_px)
    place = int(beyond.any(axis=1).argmax())
    if ((xy_px >= 0) & (xy_px < limit[::-1])).all():
        remedy = "all lie inside when exchanged: are they (row, column), or is size_px (width, height)?"
    else:
        remedy = "drop them, or pass outside='clip' where it is offered."
    raise ValueError(
        f"{name} must lie on the screen of height {height} and width {width}, got {int(beyond.any(1).sum())} "
        f"of {len(xy_px)} beyond it, first x={xy_px[place, 0]:g}, y={xy_px[place, 1]:g}; {remedy}"
    )


def check_size(size_px: tuple[int, ...]) -> tuple[int, int]:
    """Positive (height, width)."""
    if len(size_px) != 2 or min(size_px) <= 0:
        raise ValueError(f"size_px must be a positive (height, width) in px, got {tuple(size_px)}.")
    return int(size_px[0]), int(size_px[1])


def check_map(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """A finite map (height, width) as floats."""
    remedy = "pass one value per pixel"
    checked = check_array(name, values, ndim=2, dtype=float, finite=False, remedy=remedy)
    # One pass without an array of flags: a NaN or an infinity stays in the sum.
    return checked if np.isfinite(checked.sum()) else check_array(name, checked, remedy=remedy)


def check_log_density(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Natural logarithm of a density (height, width); minus infinity is allowed, NaN is not.

    Raises
    ------
    ValueError
        If the map's ``exp`` does not sum to 1, as that of a saliency map does not.
    """
    checked = check_array(name, values, ndim=2, dtype=float, finite=False)
    with np.errstate(over="ignore"):
        total = np.exp(checked).sum()
    if not abs(total - 1) < _TOLERANCE:
        raise ValueError(
            f"{name} must be the natural logarithm of a density, whose exp sums to 1, got a sum of "
            f"{total:g}; make a density of a saliency map first, by blur, exponent and centre bias."
        )
    return checked


def find_pixels(
    xy_px: ArrayLike, size_px: tuple[int, ...], *, name: str = "xy_px"
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels that positions lie in.

    Parameters
    ----------
    xy_px : array of shape (n, 2) or (n, 3)
        x and y [px]; a third column of durations is not used.
    size_px : tuple of int
        (height, width) [px].
    name : str
        What the positions are, for the message.

    Raises
    ------
    ValueError
        If there is none, or as :func:`stack_scanpaths` and :func:`check_on_screen`.
    """
    values, _ = stack_scanpaths(name, [xy_px])
    xy = check_on_screen(name, values[:, :2], check_size(size_px))
    return np.floor(xy[:, 1]).astype(np.intp), np.floor(xy[:, 0]).astype(np.intp)


def list_scanpaths(fixations: Fixations) -> tuple[pd.DataFrame, list[NDArray[np.float64]]]:
    """Scanpaths of a checked table as arrays.

    Returns
    -------
    keys : pandas.DataFrame
        One row per scanpath: ``subject``, ``stimulus_id``, ``trial``.
    scanpaths : list of array
        (n, 3) of x, y [px] and durations [s], or (n, 2) if a duration of the table is not recorded.
    """
    timed = bool(np.isfinite(fixations["duration_s"].to_numpy(dtype=float)).all())
    values = fixations[["x_px", "y_px", "duration_s"][: 3 if timed else 2]].to_numpy(dtype=float)
    # A checked table is sorted: a scanpath starts wherever the index starts again.
    starts = np.flatnonzero(fixations["index"].to_numpy() == 0)
    keys = fixations.iloc[starts][SCANPATH_KEYS].reset_index(drop=True)
    return keys, np.split(values, starts[1:])


def pad_rows(values: NDArray, lengths: NDArray[np.intp], fill: float = 0) -> NDArray:
    """Rows (n_rows, longest) of values that follow one another, filled up at the end."""
    padded = np.full((len(lengths), lengths.max()), fill, dtype=values.dtype)
    padded[np.arange(lengths.max()) < lengths[:, None]] = values
    return padded


def iterate_batches(
    n_first: NDArray[np.intp], n_second: NDArray[np.intp], *, n_cells: int = 1_000_000
) -> Iterator[NDArray[np.intp]]:
    """Pairs in batches of similar lengths, so that little is padded and the working set stays in cache.

    Parameters
    ----------
    n_first, n_second : array of int of shape (n_pairs,)
        Lengths of the two members.
    n_cells : int
        Cells of all padded tables of a batch, about.

    Yields
    ------
    array of int
        Numbers of the pairs of a batch.
    """
    order = np.lexsort((n_second, n_first))
    start = 0
    while start < len(order):
        # The longest member of a batch sets the size of its tables: lengthen it until they are full.
        rows = np.maximum.accumulate(n_first[order[start:]])
        columns = np.maximum.accumulate(n_second[order[start:]])
        full = np.flatnonzero(rows * columns * np.arange(1, len(rows) + 1) > n_cells)
        stop = start + max(1, int(full[0])) if len(full) else len(order)
        yield order[start:stop]
        start = stop
