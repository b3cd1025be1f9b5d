"""Scanpaths as strings of places: string edit distance, sequence score, its timed and its semantic form.

String edit distance: Brandt & Stark (1997) Journal of Cognitive Neuroscience 9:27-38, with the grid of VAME
(Zanca, Serchi, Piu, Rosini & Rufa 2018). Sequence score: Borji, Tavakoli, Sihite & Itti (2013) Analysis of
scores, datasets, and models in visual saliency prediction, ICCV 921-928, with the regions of Yang et al.
(2020, CVPR) and the labels of Yang et al. (2022, ECCV; semantic).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.alignment import align_sequences, compute_edit_distance, stack_sequences
from neurovis.metrics.gaze_arrays import (
    check_on_screen,
    check_size,
    find_pixels,
    pair_scanpaths,
    stack_scanpaths,
)

#: Multiples of the estimated bandwidth among which the regions of gaze are chosen.
FACTORS = (0.2, 0.5, 0.8, 1.0, 1.2, 1.5, 1.8)


def compute_string_edit_distance(
    first: Sequence[ArrayLike],
    second: Sequence[ArrayLike],
    *,
    size_px: tuple[int, int],
    n_cells: int = 5,
    outside: str = "raise",
) -> NDArray[np.int64]:
    """Levenshtein distance of scanpaths as strings of cells of a grid.

    Parameters
    ----------
    first, second : sequence of array of shape (n, 2) or (n, 3)
        x, y [px]; pairs as in :mod:`neurovis.metrics.gaze_arrays`.
    size_px : tuple of int
        (height, width) of the screen [px].
    n_cells : int
        Rows and columns of the grid. A cell is ``width // n_cells`` wide and ``height // n_cells`` high, and
        the last row and column take what is left.
    outside : {"raise", "clip"}
        Refuse fixations beyond the screen or move them to its border.

    Returns
    -------
    array of int of shape (n_pairs,)
        Insertions, deletions and substitutions, not divided by the length; lower is more alike.

    Raises
    ------
    ValueError
        If a scanpath is empty or beyond the screen, or the screen is smaller than the grid.
    """
    height, width = check_size(size_px)
    if not 1 <= n_cells <= min(height, width):
        raise ValueError(f"n_cells must be from 1 to {min(height, width)} px, got {n_cells}.")
    pairs = pair_scanpaths(first, second)
    xy = check_on_screen("scanpaths", pairs.values[:, :2], size_px, outside=outside)
    column = np.minimum(xy[:, 0] // (width // n_cells), n_cells - 1)
    row = np.minimum(xy[:, 1] // (height // n_cells), n_cells - 1)
    symbols = (row * n_cells + column).astype(np.intp)
    return compute_edit_distance(symbols, pairs.lengths, pairs.first, pairs.second)


def compute_sequence_score(
    first: Sequence[ArrayLike], second: Sequence[ArrayLike], *, max_length: int | None = None
) -> NDArray[np.float64]:
    """Alignment of pairs of strings of labels: matches of the best alignment over the longer length.

    Parameters
    ----------
    first, second : sequence of array of int of shape (n,)
        Labels of any kind: regions of gaze (:func:`label_regions`), objects, or classes of a segmentation
        (:func:`label_classes`). For the timed score repeat them first (:func:`repeat_labels`).
    max_length : int, optional
        Only the first so many labels count: 16 for free viewing, 6 in search.

    Returns
    -------
    array of shape (n_pairs,)
        0 to 1, equal strings.

    Raises
    ------
    ValueError
        If numbers differ, a string is empty, or labels are not whole numbers.
    """
    if len(first) != len(second):
        raise ValueError(
            f"first and second must hold the same number of strings, got {len(first)} and {len(second)}; the "
            "k-th of one is compared with the k-th of the other."
        )
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}; None compares whole strings.")
    labels, lengths = stack_sequences([np.asarray(string)[:max_length] for string in (*first, *second)])
    different, symbols = np.unique(labels, return_inverse=True)
    own, other = np.arange(len(first)), np.arange(len(first), 2 * len(first))
    matches = align_sequences(symbols, lengths, own, other, np.eye(len(different)))
    return matches / np.maximum(lengths[own], lengths[other])


def find_gaze_regions(
    scanpaths: Sequence[ArrayLike], *, factors: Sequence[float] = FACTORS
) -> NDArray[np.float64]:
    """Regions of gaze on one image: mean-shift clusters of the fixations of all people.

    The bandwidth is the multiple of scikit-learn's estimate that maximises (transitions between clusters -
    transitions within) / number of clusters; the first of equals.

    Parameters
    ----------
    scanpaths : sequence of array of shape (n, 2) or (n, 3)
        x, y [px] of each person on this image, for this task. Fixations of people only: a model that is
        scored must not shape the regions.
    factors : sequence of float
        Multiples to choose from.

    Returns
    -------
    array of shape (n_regions, 2)
        Centres x, y [px].

    Raises
    ------
    ValueError
        If a scanpath is empty or not finite, or a factor is not positive.
    """
    # Slow to import, and no other metric of this module needs it.
    from sklearn.cluster import MeanShift, estimate_bandwidth

    check_array("factors", factors, ndim=1, minimum=1e-6)
    values, lengths = stack_scanpaths("scanpaths", scanpaths)
    xy = values[:, :2]
    bandwidth = float(estimate_bandwidth(xy))
    if bandwidth == 0:  # all at a few places: each is a region
        return np.unique(xy, axis=0)
    within_path = np.ones(len(xy), dtype=bool)
    within_path[np.cumsum(lengths) - lengths] = False
    best, centres = -np.inf, xy
    for factor in factors:
        found = MeanShift(bandwidth=factor * bandwidth).fit(xy).cluster_centers_
        labels = label_regions(xy, found)
        stays = (labels[1:] == labels[:-1])[within_path[1:]]
        rate = ((~stays).sum() - stays.sum()) / len(found)
        if rate > best:
            best, centres = rate, found
    return centres


def label_regions(xy_px: ArrayLike, centres: ArrayLike) -> NDArray[np.intp]:
    """Number of the nearest region of each fixation.

    Parameters
    ----------
    xy_px : array of shape (n, 2) or (n, 3)
        x, y [px].
    centres : array of shape (n_regions, 2)
        As :func:`find_gaze_regions` returns them.
    """
    values, _ = stack_scanpaths("xy_px", [xy_px])
    places = check_array("centres", centres, shape=(None, 2), dtype=float)
    distance = ((values[:, None, :2] - places) ** 2).sum(axis=2)
    return distance.argmin(axis=1)


def label_classes(xy_px: ArrayLike, segmentation: ArrayLike, size_px: tuple[int, int]) -> NDArray[np.int64]:
    """Class of the pixel below each fixation, for the semantic sequence score.

    Parameters
    ----------
    xy_px : array of shape (n, 2) or (n, 3)
        x, y [px] of the image.
    segmentation : array of int of shape (height, width)
        Classes of a semantic or panoptic segmentation at any resolution (320 x 512 in COCO-Search18).
    size_px : tuple of int
        (height, width) of the image [px] that the positions refer to.

    Raises
    ------
    ValueError
        If a fixation lies beyond the image or classes are not whole numbers.
    """
    classes = check_array("segmentation", segmentation, ndim=2, remedy="one class per pixel")
    if classes.dtype.kind not in "iu":
        raise ValueError(f"segmentation must hold whole numbers, got {classes.dtype}; give class numbers.")
    rows, columns = find_pixels(xy_px, size_px)
    height, width = check_size(size_px)
    return classes[rows * classes.shape[0] // height, columns * classes.shape[1] // width].astype(np.int64)


def repeat_labels(labels: ArrayLike, duration_s: ArrayLike, *, bin_s: float = 0.05) -> NDArray[np.int64]:
    """Labels repeated ``int(duration / bin)`` times, for timed scores.

    Parameters
    ----------
    labels : array of int of shape (n,)
        One per fixation.
    duration_s : array of shape (n,)
        Durations [s].
    bin_s : float
        [s].

    Returns
    -------
    array of int
        Fixations shorter than a bin disappear.

    Raises
    ------
    ValueError
        If shapes differ, a duration is negative, or all fixations are shorter than a bin.
    """
    codes = check_array("labels", labels, ndim=1)
    seconds = check_array("duration_s", duration_s, shape=codes.shape, minimum=0, dtype=float)
    if bin_s <= 0:
        raise ValueError(f"bin_s must be positive, got {bin_s}; it is in seconds.")
    # 0.15 / 0.05 is a little less than 3.
    times = np.floor(seconds / bin_s + 1e-9).astype(np.intp)
    if not times.any():
        raise ValueError(
            f"duration_s must reach one bin of {bin_s:g} s, got {seconds.max():g} at most; pass seconds."
        )
    return np.repeat(codes, times).astype(np.int64)
