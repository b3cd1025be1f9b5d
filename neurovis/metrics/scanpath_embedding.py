"""Scaled time-delay embedding: do pieces of a scanpath occur in another one.

Wang, Chen, Wang, Jiang, Fang & Yao (2011) Simulating human saccadic scanpaths on natural images, CVPR
441-448; scaled by length as in VAME (Zanca et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.metrics.gaze_arrays import check_size, iterate_batches, pad_rows, pair_scanpaths


def compute_time_delay_embedding(
    model: Sequence[ArrayLike], human: Sequence[ArrayLike], *, size_px: tuple[int, int]
) -> NDArray[np.float64]:
    """How close every piece of a scanpath comes to some piece of another.

    For each length k up to the shorter scanpath: of every window of k fixations of the model the least mean
    distance to a window of the human, relative to the longer side of the image, averaged over the model's
    windows to e_k. The score is the mean of ``exp(-e_k)``.

    Parameters
    ----------
    model, human : sequence of array of shape (n, 2) or (n, 3)
        x, y [px]; pairs as in :mod:`neurovis.metrics.gaze_arrays`.
    size_px : tuple of int
        (height, width) of the image [px].

    Returns
    -------
    array of shape (n_pairs,)
        Above 0, up to 1 if the model is a piece of the human scanpath; not symmetric.

    Raises
    ------
    ValueError
        If a scanpath is empty or not finite.
    """
    pairs = pair_scanpaths(model, human)
    scaled = pairs.values[:, :2] / max(check_size(size_px))
    planes = np.stack([pad_rows(column, pairs.lengths, fill=np.nan) for column in scaled.T])
    result = np.empty(len(pairs.first))
    for batch in iterate_batches(pairs.lengths[pairs.first], pairs.lengths[pairs.second]):
        a, b = pairs.first[batch], pairs.second[batch]
        n_a, n_b = pairs.lengths[a], pairs.lengths[b]
        own, other = planes[:, a, : n_a.max(), None], planes[:, b, None, : n_b.max()]
        result[batch] = _compare(np.hypot(*(own - other)), n_a, n_b)
    return result


def _compare(
    distance: NDArray[np.float64], n_a: NDArray[np.intp], n_b: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Scores of pairs from the distances of all their fixations (n_pairs, n, m), NaN beyond their ends."""
    shorter = np.minimum(n_a, n_b)
    distance = np.where(np.isnan(distance), np.inf, distance)
    windows = distance
    total = np.zeros(len(n_a))
    row = np.arange(distance.shape[1])
    for k in range(1, shorter.max() + 1):
        if k > 1:
            # A window of k is one of k - 1 and the pair of fixations after it.
            windows = windows[:, :-1, :-1] + distance[:, k - 1 :, k - 1 :]
        n_windows = np.maximum(n_a - k + 1, 1)
        least = np.where(row[: windows.shape[1]] < n_windows[:, None], windows.min(axis=2), 0)
        # Beyond the shorter of a pair nothing is left to compare: infinity, whose exp(-) is 0.
        total += np.exp(-least.sum(axis=1) / n_windows / k)
    return total / shorter
