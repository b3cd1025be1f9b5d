"""MultiMatch: similarity of scanpaths in shape, direction, length, position and duration.

Jarodzka, Holmqvist & Nyström (2010) A vector-based, multidimensional scanpath similarity measure. ETRA
211-218; Dewhurst et al. (2012) Behavior Research Methods 44:1079-1100. Numbers and the rules of
simplification are those of multimatch-gaze 0.1.3 (Wagner, Halchenko & Hanke 2019, Journal of Open Source
Software 4:1525). Its search of the shortest path through a graph is replaced by dynamic programming, which
finds the same path, on all pairs of a batch at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.metrics.gaze_arrays import (
    check_size,
    iterate_batches,
    pad_rows,
    pair_scanpaths,
    stack_scanpaths,
)

DIMENSIONS = ("vector", "direction", "length", "position", "duration")
SHORTEST = 3  # fixations; with fewer there is no shape to compare

# Moves into a cell: 0 along both scanpaths, 1 along the first, 2 or 3 along the second.
_DOWN, _RIGHT = 1, 2


def compute_multimatch(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    *,
    size_px: tuple[int, int],
    amplitude_px: float = 0.0,
    direction_deg: float = 0.0,
    duration_s: float = 0.0,
) -> NDArray[np.float64]:
    """Five similarities of pairs of scanpaths.

    Saccades are aligned by the path of least summed ``|u_i - v_j|`` from the first to the last pair; each
    similarity is 1 minus a median along that path, relative to what is largest: twice the diagonal of the
    screen for vectors, pi for directions, the diagonal for lengths and positions (of the starts of saccades),
    the longer of two durations for durations.

    Parameters
    ----------
    first, second : sequence of array of shape (n, 2) or (n, 3)
        x, y [px] and durations [s]; pairs as in :mod:`neurovis.metrics.gaze_arrays`.
    size_px : tuple of int
        (height, width) of the screen [px].
    amplitude_px, direction_deg, duration_s : float
        Thresholds of simplification (:func:`simplify_scanpath`); without the first two there is none.

    Returns
    -------
    array of shape (n_pairs, 5)
        In the order of :data:`DIMENSIONS`; NaN if one of a pair has fewer than three fixations. The last is
        NaN for scanpaths without durations.

    Raises
    ------
    ValueError
        If a scanpath is empty or not finite, or simplification is asked for without durations.

    Notes
    -----
    Some public code pads short scanpaths with (1, 1) instead of leaving them out, which makes short paths
    look alike; here they stay NaN. Where two paths through the table cost the same, which happens with
    coordinates on a coarse grid, the library may take the other one.
    """
    pairs = pair_scanpaths(first, second)
    height, width = check_size(size_px)
    simplify = amplitude_px > 0 and direction_deg > 0
    if simplify and not pairs.timed:
        raise ValueError("scanpaths must have durations to be simplified; pass (n, 3) arrays.")
    long_enough = pairs.lengths >= SHORTEST
    saccades, counts = _list_saccades(pairs.values), pairs.lengths - 1
    if simplify:
        parts = [
            _simplify(rows[:-1], rows[:, 4].tolist(), amplitude_px, direction_deg, duration_s)
            for rows, long in zip(pairs.split(saccades), long_enough, strict=True)
            if long
        ]
        counts = np.zeros(len(counts), dtype=np.intp)
        counts[long_enough] = [len(rows) for rows in parts]
        saccades = np.concatenate([np.empty((0, 5)), *parts])
    else:
        # The last fixation of a scanpath starts no saccade.
        saccades = np.delete(saccades, np.cumsum(pairs.lengths) - 1, axis=0)
    kept = np.flatnonzero(long_enough[pairs.first] & long_enough[pairs.second])
    result = np.full((len(pairs.first), len(DIMENSIONS)), np.nan)
    if not len(kept):
        return result
    x, y, dx, dy, duration = saccades.T
    columns = (x, y, dx, dy, duration, np.arctan2(dy, dx) % (2 * np.pi), np.hypot(dx, dy))
    # (n_scanpaths, longest) of each.
    planes = np.stack([pad_rows(column, counts) for column in columns])
    diagonal = float(np.hypot(height, width))
    for batch in iterate_batches(counts[pairs.first[kept]], counts[pairs.second[kept]]):
        a, b = pairs.first[kept[batch]], pairs.second[kept[batch]]
        n_a, n_b = counts[a], counts[b]
        own, other = planes[:, a, : n_a.max()], planes[:, b, : n_b.max()]
        i, j, n_steps = _align(own, n_a, other, n_b)
        result[kept[batch]] = _compare(own, other, i, j, n_steps, diagonal)
    if not pairs.timed:
        result[:, -1] = np.nan
    return result


def simplify_scanpath(
    scanpath: ArrayLike, *, amplitude_px: float, direction_deg: float, duration_s: float
) -> NDArray[np.float64]:
    """Merge saccades that go on in one direction, and those that are small, across short fixations.

    Repeated until nothing changes: a saccade is joined with the next one if the angle between them is below
    ``direction_deg`` and the fixation between them shorter than ``duration_s``; then, if it is shorter than
    ``amplitude_px`` and the fixation before or after it shorter than ``duration_s``.

    Parameters
    ----------
    scanpath : array of shape (n, 3)
        x, y [px] and durations [s].
    amplitude_px, direction_deg, duration_s : float
        Thresholds; (150, 45, 0.05) in the example of multimatch-gaze.

    Returns
    -------
    array of shape (n_saccades, 5)
        Start x, y, vector dx, dy [px] and the duration [s] of the fixation before. What is merged keeps the
        start and the duration of its first part.

    Raises
    ------
    ValueError
        If the scanpath has no durations or fewer than three fixations.
    """
    path, _ = stack_scanpaths("scanpath", [scanpath])
    if path.shape[1] != 3 or len(path) < SHORTEST:
        raise ValueError(
            f"scanpath must be (n, 3) with at least {SHORTEST} fixations, got {path.shape}; durations decide "
            "what is merged."
        )
    saccades = _list_saccades(path)
    return _simplify(saccades[:-1], saccades[:, 4].tolist(), amplitude_px, direction_deg, duration_s)


def _list_saccades(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y, the vector to the next row and the duration of every row (n, 5); the last vector is 0."""
    xy = values[:, :2]
    steps = np.diff(xy, axis=0, append=xy[-1:])
    duration = values[:, 2] if values.shape[1] == 3 else np.zeros(len(values))
    return np.column_stack([xy, steps, duration])


def _simplify(
    rows: NDArray[np.float64], durations: list[float], amplitude: float, direction: float, duration: float
) -> NDArray[np.float64]:
    # Saccades as (x, y, dx, dy); durations are kept apart, since merging a last saccade leaves one duration
    # too many in the library, and its later rounds read the durations from the end.
    saccades: list[tuple[float, ...]] = [tuple(row) for row in rows[:, :4].tolist()]
    while True:
        before = len(durations)
        saccades, durations = _merge_directions(saccades, durations, direction, duration)
        saccades, durations = _merge_amplitudes(saccades, durations, amplitude, duration)
        if len(durations) == before:
            return np.column_stack([np.array(saccades), durations[: len(saccades)]])


_Steps = list[tuple[float, ...]]


def _join(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    """Two saccades as one, which starts where the first did."""
    return (one[0], one[1], one[2] + other[2], one[3] + other[3])


def _merge_directions(
    saccades: _Steps, durations: list[float], direction: float, duration: float
) -> tuple[_Steps, list[float]]:
    merged: _Steps = []
    kept: list[float] = []
    i, last = 0, len(saccades) - 1
    while i <= last:
        kept.append(durations[i])
        if i < last and durations[i + 1] < duration and _angle(saccades[i], saccades[i + 1]) < direction:
            merged.append(_join(saccades[i], saccades[i + 1]))
            i += 2
        else:
            merged.append(saccades[i])
            i += 1
    return merged, [*kept, durations[-1]]


def _angle(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Between two saccades [degrees]; infinite if one has no length and so no direction."""
    product = math.sqrt(one[2] ** 2 + one[3] ** 2) * math.sqrt(other[2] ** 2 + other[3] ** 2)
    if product == 0:
        return math.inf
    cosine = (one[2] * other[2] + one[3] * other[3]) / product
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def _merge_amplitudes(
    saccades: _Steps, durations: list[float], amplitude: float, duration: float
) -> tuple[_Steps, list[float]]:
    merged: _Steps = []
    kept: list[float] = []
    i, last = 0, len(saccades) - 1
    while i <= last:
        saccade = saccades[i]
        before, after = (durations[i], durations[i + 1]) if i < last else (durations[-2], durations[-1])
        small = saccade[2] ** 2 + saccade[3] ** 2 < amplitude**2 and (before < duration or after < duration)
        if small and i < last:
            merged.append(_join(saccade, saccades[i + 1]))
            kept.append(durations[i])
            i += 1
        elif small and merged:
            # The last one joins the saccade before it: its vector is added to the original one's.
            merged[-1] = (*merged[-1][:2], *_join(saccades[-2], saccade)[2:])
            kept.append(durations[i - 1])
        else:
            merged.append(saccade)
            kept.append(durations[i])
        i += 1
    return merged, [*kept, durations[-1]]


def _align(
    own: NDArray[np.float64], n_a: NDArray[np.intp], other: NDArray[np.float64], n_b: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Cells of the cheapest monotone path of each pair, from the last to the first.

    Returns ``i`` and ``j`` (n_pairs, longest path) and the numbers of steps; past its end a path repeats the
    cell (0, 0). The cost of the first cell is left out, as in the library, so that sums round alike.
    """
    n_pairs, n = own.shape[1:]
    m = other.shape[2]
    dx, dy = (np.ascontiguousarray(own[plane].T) for plane in (2, 3))
    ex, ey = (np.ascontiguousarray(other[plane][:, ::-1].T) for plane in (2, 3))
    # Three anti-diagonals of the table, indexed by the row plus one; outside of the table lies infinity.
    older, old, new = (np.full((n + 1, n_pairs), np.inf) for _ in range(3))
    moves = np.zeros((n + m - 1, n, n_pairs), dtype=np.int8)
    cost, best, rest = (np.empty((n, n_pairs)) for _ in range(3))
    worse = np.empty((n, n_pairs), dtype=bool)
    old[1] = 0.0
    for total in range(1, n + m - 1):
        low, high = max(0, total - m + 1), min(n - 1, total)
        size = high + 1 - low
        here, there = slice(low, high + 1), slice(m - 1 - total + low, m - total + high)
        c, w = cost[:size], worse[:size]
        np.subtract(dx[here], ex[there], out=c)
        np.multiply(c, c, out=c)
        np.subtract(dy[here], ey[there], out=rest[:size])
        np.multiply(rest[:size], rest[:size], out=rest[:size])
        np.sqrt(np.add(c, rest[:size], out=c), out=c)
        down, right = old[low : high + 1], old[low + 1 : high + 2]
        move = moves[total, here]
        # Diagonally unless another predecessor is cheaper.
        np.minimum(older[low : high + 1], down, out=best[:size])
        np.less(down, older[low : high + 1], out=move.view(bool))
        np.less(right, best[:size], out=w)
        np.minimum(best[:size], right, out=best[:size])
        np.multiply(w.view(np.int8), _RIGHT, out=w.view(np.int8))
        np.add(move, w.view(np.int8), out=move)
        new[low] = np.inf
        np.add(best[:size], c, out=new[low + 1 : high + 2])
        if high + 2 <= n:
            new[high + 2] = np.inf
        older, old, new = old, new, older
    return _walk_back(moves, n_a, n_b)


def _walk_back(
    moves: NDArray[np.int8], n_a: NDArray[np.intp], n_b: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    n_pairs = len(n_a)
    longest = int((n_a + n_b).max()) - 1
    i, j = (np.zeros((longest, n_pairs), dtype=np.intp) for _ in range(2))
    i[0], j[0] = n_a - 1, n_b - 1
    pair = np.arange(n_pairs)
    n_steps = np.ones(n_pairs, dtype=np.intp)
    for step in range(1, longest):
        a, b = i[step - 1], j[step - 1]
        going = (a > 0) | (b > 0)
        if not going.any():
            return i[:step].T, j[:step].T, n_steps
        move = moves[a + b, a, pair]
        i[step] = a - (going & (move < _RIGHT))
        j[step] = b - (going & (move != _DOWN))
        n_steps += going
    return i.T, j.T, n_steps


def _compare(
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    i: NDArray[np.intp],
    j: NDArray[np.intp],
    n_steps: NDArray[np.intp],
    diagonal: float,
) -> NDArray[np.float64]:
    """Medians along the paths as similarities (n_pairs, 5)."""
    pair = np.arange(len(n_steps))
    x1, y1, dx1, dy1, t1, angle1, length1 = own[:, pair[:, None], i]
    x2, y2, dx2, dy2, t2, angle2, length2 = other[:, pair[:, None], j]
    angle = np.abs(angle1 - angle2)
    longer = np.maximum(t1, t2)
    differences = np.stack(
        [
            np.hypot(dx1 - dx2, dy1 - dy2) / (2 * diagonal),
            np.minimum(angle, 2 * np.pi - angle) / np.pi,
            np.abs(length1 - length2) / diagonal,
            np.hypot(x1 - x2, y1 - y2) / diagonal,
            # Two fixations of no duration do not differ.
            np.divide(np.abs(t1 - t2), longer, out=np.zeros_like(longer), where=longer > 0),
        ]
    )
    differences[:, np.arange(i.shape[1]) >= n_steps[:, None]] = np.inf
    differences.sort(axis=2)
    middle = (differences[:, pair, (n_steps - 1) // 2] + differences[:, pair, n_steps // 2]) / 2
    return 1 - middle.T
