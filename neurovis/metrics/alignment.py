"""Alignment of sequences of symbols: Needleman-Wunsch and edit distance, many pairs at once.

Needleman & Wunsch (1970) Journal of Molecular Biology 48:443-453; Levenshtein (1966) Soviet Physics Doklady
10:707-710. The table of the dynamic programme is filled along its anti-diagonals, whose cells do not depend
on each other, for all pairs of a batch together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option
from neurovis.metrics.gaze_arrays import iterate_batches, pad_rows


def stack_sequences(sequences: Sequence[ArrayLike]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sequences of symbols one after the other, and their lengths.

    Parameters
    ----------
    sequences : sequence of array of int of shape (n,)
        Symbols 0, 1, 2 and so on.

    Raises
    ------
    ValueError
        If there is no sequence, or one is empty or does not hold whole numbers.
    """
    rows = [np.asarray(sequence) for sequence in sequences]
    if not rows:
        raise ValueError("sequences must hold at least one sequence, got none; check what was selected.")
    for place, row in enumerate(rows):
        if row.ndim != 1 or not row.size or row.dtype.kind not in "iu":
            raise ValueError(
                f"sequences[{place}] must be a row of whole numbers with at least one, got {row.dtype} of "
                f"shape {row.shape}; leave out empty sequences."
            )
    return np.concatenate(rows).astype(np.intp), np.array([row.size for row in rows], dtype=np.intp)


def align_sequences(
    symbols: NDArray[np.intp],
    lengths: NDArray[np.intp],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    scores: ArrayLike,
    *,
    gap: float = 0.0,
    end: str = "corner",
) -> NDArray[np.float64]:
    """Best global alignment of pairs of sequences (Needleman & Wunsch 1970).

    Parameters
    ----------
    symbols, lengths : array of int
        As :func:`stack_sequences` returns them.
    first, second : array of int of shape (n_pairs,)
        Numbers of the sequences that are aligned.
    scores : array of shape (n_symbols, n_symbols)
        What matching one symbol with another gains.
    gap : float
        What leaving out a symbol gains; not positive.
    end : {"corner", "best"}
        The score of both whole sequences, or the largest of the table, as in ScanMatch. Without a penalty of
        gaps they are the same.

    Returns
    -------
    array of shape (n_pairs,)

    Raises
    ------
    ValueError
        If a symbol has no score, or the gap is positive.
    """
    table = check_array("scores", scores, ndim=2, dtype=float)
    n_symbols = len(table)
    check_array("scores", table, shape=(n_symbols, n_symbols))
    check_option("end", end, ("corner", "best"))
    if gap > 0:
        raise ValueError(f"gap must not be positive, got {gap}; it is what leaving out a symbol gains.")
    check_array("symbols", symbols, minimum=0, maximum=n_symbols - 1, remedy="give a score to every symbol")
    padded = pad_rows(symbols, lengths, fill=n_symbols)
    # The filler gains nothing with anything, so that what lies beyond a pair's own table is never better.
    extended = np.full((n_symbols + 1, n_symbols + 1), -np.inf)
    extended[:-1, :-1] = table
    result = np.empty(len(first))
    for batch in iterate_batches(lengths[first], lengths[second]):
        # The shortest pairs last, where they are left out as soon as they are done.
        batch = batch[np.argsort(-(lengths[first[batch]] + lengths[second[batch]]), kind="stable")]  # noqa: PLW2901
        a, b = first[batch], second[batch]
        n_a, n_b = lengths[a], lengths[b]
        own, other = padded[a, : n_a.max()], padded[b, : n_b.max()]
        result[batch] = _fill(own, n_a, other, n_b, extended, gap, end == "best")
    return result


def compute_edit_distance(
    symbols: NDArray[np.intp],
    lengths: NDArray[np.intp],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
) -> NDArray[np.int64]:
    """Levenshtein (1966) distance of pairs of sequences, every operation at unit cost.

    Parameters
    ----------
    symbols, lengths, first, second : array of int
        As in :func:`align_sequences`.

    Returns
    -------
    array of int of shape (n_pairs,)
        Not divided by the length; lower is more alike.
    """
    scores = np.eye(int(symbols.max()) + 1) - 1
    return np.rint(-align_sequences(symbols, lengths, first, second, scores, gap=-1)).astype(np.int64)


def _fill(
    a: NDArray[np.intp],
    n_a: NDArray[np.intp],
    b: NDArray[np.intp],
    n_b: NDArray[np.intp],
    scores: NDArray[np.float64],
    gap: float,
    best: bool,
) -> NDArray[np.float64]:
    """Table F (n + 1, m + 1) of every pair, of which three anti-diagonals are kept, indexed by the row.

    F[i, j] = max(F[i-1, j-1] + score, F[i-1, j] + gap, F[i, j-1] + gap). Symbols run along the first axis
    and pairs along the last, longest pairs first, so that every step works on long contiguous rows.
    """
    n_pairs, n = a.shape
    m = b.shape[1]
    flat = scores.ravel()
    # Of symbol i of one and j of the other, on one anti-diagonal, i rises while j falls.
    above = np.ascontiguousarray(a.T) * len(scores)
    beside = np.ascontiguousarray(b[:, ::-1].T)
    older, old, new = (np.zeros((n + 1, n_pairs)) for _ in range(3))
    old[0] = old[1] = gap
    gain, index = np.empty(n * n_pairs), np.empty(n * n_pairs, dtype=np.intp)
    result = np.zeros(n_pairs)
    # Pairs whose table reaches each anti-diagonal.
    left = np.searchsorted(-(n_a + n_b), -np.arange(n + m + 2), side="right").tolist()
    for total in range(2, n + m + 1):
        low, high, k = max(1, total - m), min(n, total - 1), left[total]
        here, before = (slice(low, high + 1), slice(k)), (slice(low - 1, high), slice(k))
        shape = (high + 1 - low, k)
        gained, places = gain[: shape[0] * k].reshape(shape), index[: shape[0] * k].reshape(shape)
        np.add(above[before], beside[m - total + low : m - total + high + 1, :k], out=places)
        # All are valid: "wrap" is the mode that checks least.
        np.take(flat, places, out=gained, mode="wrap")
        gained += older[before]
        found = new[here]
        np.maximum(old[before], old[here], out=found)
        if gap:
            found += gap
        np.maximum(found, gained, out=found)
        if low == 1:
            new[0] = total * gap
        if high == total - 1 and total <= n:
            new[total] = total * gap
        if best:
            np.maximum(result[:k], found.max(axis=0), out=result[:k])
        elif left[total + 1] < k:
            done = slice(left[total + 1], k)
            result[done] = new[n_a[done], np.arange(done.start, k)]
        older, old, new = old, new, older
    return result
