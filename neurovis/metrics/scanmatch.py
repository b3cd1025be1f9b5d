"""ScanMatch: scanpaths as strings of regions, compared as proteins are.

Cristino, Mathôt, Theeuwes & Gilchrist (2010) ScanMatch: a novel method for comparing fixation sequences.
Behavior Research Methods 42:692-700.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.alignment import align_sequences
from neurovis.metrics.gaze_arrays import ScanpathPairs, check_on_screen, check_size, pair_scanpaths


def compute_scanmatch(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    *,
    size_px: tuple[int, int],
    grid: tuple[int, int] = (8, 12),
    threshold: float = 3.5,
    gap: float = 0.0,
    bin_s: float | None = None,
    outside: str = "raise",
) -> NDArray[np.float64]:
    """Similarity of pairs of scanpaths in place, order and, if wanted, time.

    Parameters
    ----------
    first, second : sequence of array of shape (n, 2) or (n, 3)
        x, y [px] and durations [s]; pairs as in :mod:`neurovis.metrics.gaze_arrays`.
    size_px : tuple of int
        (height, width) of the screen [px].
    grid : tuple of int
        Rows and columns of regions: (8, 12) in the toolbox, (12, 16) in GazeXplain.
    threshold : float
        Distance [regions] at which matching two regions gains nothing. The toolbox takes two standard
        deviations of the amplitudes of saccades (:func:`estimate_threshold`).
    gap : float
        What leaving out a region gains; not positive.
    bin_s : float, optional
        Repeat each region round(duration / bin_s) times (0.05 in the toolbox), so that durations count. A
        fixation of less than half a bin disappears; a scanpath of such fixations only is refused.
    outside : {"raise", "clip"}
        Refuse fixations beyond the screen, or move them to its border (which the toolbox does).

    Returns
    -------
    array of shape (n_pairs,)
        ``max F / (threshold * length of the longer string)``; 1 for equal strings, 0 and above as long as
        gaps are free.

    Raises
    ------
    ValueError
        If a scanpath is empty, lies beyond the screen or has no durations for binning, or a choice is out of
        range.
    """
    if threshold <= 0:
        raise ValueError(f"threshold must be positive, got {threshold}; it is a distance in regions.")
    pairs = pair_scanpaths(first, second, durations=bin_s is not None)
    symbols, lengths = _bin_scanpaths(pairs, size_px, grid, bin_s, outside)
    scores = make_substitution_scores(grid, threshold)
    end = "best" if gap else "corner"
    best = align_sequences(symbols, lengths, pairs.first, pairs.second, scores, gap=gap, end=end)
    return best / (threshold * np.maximum(lengths[pairs.first], lengths[pairs.second]))


def make_substitution_scores(grid: tuple[int, int], threshold: float) -> NDArray[np.float64]:
    """What matching one region with another gains: the threshold minus the distance of their centres.

    Returns
    -------
    array of shape (n_regions, n_regions)
        Regions counted along rows; distances in regions.
    """
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return threshold - np.hypot(rows[:, None] - rows, columns[:, None] - columns)


def estimate_threshold(
    scanpaths: Sequence[ArrayLike], *, size_px: tuple[int, int], grid: tuple[int, int] = (8, 12)
) -> float:
    """The toolbox's threshold: two standard deviations of the amplitudes of saccades [regions].

    Raises
    ------
    ValueError
        If there are fewer than two saccades.
    """
    (height, width), (n_rows, n_columns) = check_size(size_px), grid
    scale = np.array([n_columns / width, n_rows / height])
    steps = [np.diff(np.asarray(path, dtype=float)[:, :2] * scale, axis=0) for path in scanpaths]
    amplitudes = np.hypot(*np.concatenate(steps or [np.empty((0, 2))]).T)
    if len(amplitudes) < 2:
        raise ValueError(
            f"scanpaths must have at least 2 saccades, got {len(amplitudes)}; pass more of them."
        )
    return float(2 * amplitudes.std(ddof=1))


def _bin_scanpaths(
    pairs: ScanpathPairs,
    size_px: tuple[int, int],
    grid: tuple[int, int],
    bin_s: float | None,
    outside: str,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Regions of all scanpaths, counted along rows, and how many each scanpath has."""
    check_array("grid", grid, shape=(2,), minimum=1)
    xy = check_on_screen("scanpaths", pairs.values[:, :2], size_px, outside=outside)
    height, width = check_size(size_px)
    column = (xy[:, 0] * (grid[1] / width)).astype(np.intp)
    row = (xy[:, 1] * (grid[0] / height)).astype(np.intp)
    # A position just below the border may round up to it.
    regions = np.minimum(row, grid[0] - 1) * grid[1] + np.minimum(column, grid[1] - 1)
    if bin_s is None:
        return regions, pairs.lengths
    if bin_s <= 0:
        raise ValueError(f"bin_s must be positive, got {bin_s}; it is in seconds, 0.05 in the toolbox.")
    repeats = np.rint(pairs.values[:, 2] / bin_s).astype(np.intp)
    lengths = np.add.reduceat(repeats, np.cumsum(pairs.lengths) - pairs.lengths)
    if not lengths.all():
        raise ValueError(
            f"scanpaths must last for at least one bin of {bin_s:g} s, got {int((lengths == 0).sum())} that "
            "do not; leave them out or make bin_s smaller."
        )
    return np.repeat(regions, repeats), lengths
