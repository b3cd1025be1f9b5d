"""Areas under the ROC curve of a map that tells fixations from other places, by choice of those places.

Which places are the negatives makes the metric: all pixels, those that nobody fixated here, or fixations of
other images, which cancels the centre bias (Tatler, Baddeley & Gilchrist 2005, Vision Research 45:643-659).
The exact area is the mean over fixations of the share of negatives with a lower value, ties counted half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, make_rng
from neurovis.metrics.gaze_arrays import check_map, check_size, find_pixels

NEGATIVES = ("uniform", "unfixated")
# Classes of values, and the number of values from which on they pay: 30,000 are sorted as fast.
_N_CLASSES = 1 << 13
_FEW = 1 << 15
_PIECE = 1 << 15  # values that stay in cache between the steps


def compute_auc(
    saliency_map: ArrayLike, xy_px: ArrayLike, *, negatives: str | ArrayLike = "uniform"
) -> NDArray[np.float64]:
    """Exact area under the ROC curve, fixation by fixation.

    Parameters
    ----------
    saliency_map : array of shape (height, width)
        Any scale.
    xy_px : array of shape (n_fixations, 2)
        x and y [px].
    negatives : {"uniform", "unfixated"} or array of shape (n_negatives, 2)
        All pixels, all pixels without a fixation of ``xy_px``, or positions x and y [px], for shuffled AUC
        those of :func:`iterate_shuffled_negatives`; they count as often as they are given.

    Returns
    -------
    array of shape (n_fixations,)
        Share of the negatives below the fixation plus half of those equal to it; the mean is the area. 0.5
        is chance.

    Raises
    ------
    ValueError
        If the map is not finite, or a position lies outside, or there are no negatives.
    """
    if not isinstance(negatives, str):
        # Only these places matter: a map of any size costs nothing more.
        values = check_array("saliency_map", saliency_map, ndim=2, dtype=float, finite=False)
        fixated, other = (
            values[find_pixels(places, values.shape, name=name)]
            for name, places in (("xy_px", xy_px), ("negatives", negatives))
        )
        return _divide(*_count(check_array("saliency_map", fixated), other), other.size)
    check_option("negatives", negatives, NEGATIVES)
    values = check_array("saliency_map", saliency_map, ndim=2, dtype=float, finite=False)
    pixels = find_pixels(xy_px, values.shape)
    fixated = values[pixels]
    below, equal = _count(fixated, values.ravel())
    if negatives == "uniform":
        return _divide(below, equal, values.size)
    own = values.ravel()[np.unique(np.ravel_multi_index(pixels, values.shape))]
    if own.size == values.size:
        raise ValueError("xy_px must leave a pixel without a fixation, got one on each; use a larger map.")
    own_below, own_equal = _count(fixated, own)
    return _divide(below - own_below, equal - own_equal, values.size - own.size)


def iterate_shuffled_negatives(
    xy_px: Sequence[ArrayLike], sizes_px: Sequence[tuple[int, int]]
) -> Iterator[NDArray[np.float64]]:
    """For each image the fixations of all others, scaled to its size: the negatives of shuffled AUC.

    Parameters
    ----------
    xy_px : sequence of array of shape (n_fixations, 2)
        x and y [px] on each image.
    sizes_px : sequence of tuple of int
        (height, width) of each image [px].

    Yields
    ------
    array of shape (n_negatives, 2)
        A place is there as often as it was fixated.

    Raises
    ------
    ValueError
        If numbers differ, there are fewer than two images, or an image has no fixation.
    """
    pooled = _Pooled.gather(xy_px, sizes_px)
    for image, size in enumerate(sizes_px):
        scaled = pooled.scale(size)
        own = pooled.find_own(image)
        yield np.concatenate([scaled[: own.start], scaled[own.stop :]])


def compute_shuffled_auc(
    saliency_maps: Sequence[ArrayLike], xy_px: Sequence[ArrayLike]
) -> list[NDArray[np.float64]]:
    """Exact shuffled AUC of many images, fixation by fixation.

    The negatives are those of :func:`iterate_shuffled_negatives`, found once for all images of one size.

    Parameters
    ----------
    saliency_maps : sequence of array of shape (height, width)
        One per image, of any scale.
    xy_px : sequence of array of shape (n_fixations, 2)
        x and y [px] on each image.

    Returns
    -------
    list of array of shape (n_fixations,)
        As :func:`compute_auc` gives for each image.

    Raises
    ------
    ValueError
        As :func:`compute_auc` and :func:`iterate_shuffled_negatives`.
    """
    maps = [
        check_array(f"saliency_maps[{place}]", values, ndim=2, dtype=float, finite=False)
        for place, values in enumerate(saliency_maps)
    ]
    sizes = [(values.shape[0], values.shape[1]) for values in maps]
    pooled = _Pooled.gather(xy_px, sizes)
    areas: list[NDArray[np.float64]] = [np.empty(0)] * len(maps)
    for size in dict.fromkeys(sizes):
        pixels = np.ravel_multi_index(find_pixels(pooled.scale(size), size), size)
        # Negatives may come in any order, and in that of memory they are read several times faster.
        in_memory = np.sort(pixels)
        for image in [number for number, other in enumerate(sizes) if other == size]:
            values = maps[image].ravel()
            seen, own = values.take(in_memory), values.take(pixels[pooled.find_own(image)])
            # Everybody's fixations less those of this image.
            below, equal = _count(own, seen, name=f"saliency_maps[{image}]")
            own_below, own_equal = _count(own, own)
            areas[image] = _divide(below - own_below, equal - own_equal, seen.size - own.size)
    return areas


@dataclass(frozen=True)
class _Pooled:
    """Fixations (n, 2) of all images in order, how many belong to the images up to each, and their sizes."""

    xy: NDArray[np.float64]
    ends: NDArray[np.intp]
    sizes: NDArray[np.float64]

    @classmethod
    def gather(cls, xy_px: Sequence[ArrayLike], sizes_px: Sequence[tuple[int, int]]) -> _Pooled:
        if len(xy_px) != len(sizes_px) or len(xy_px) < 2:
            raise ValueError(
                "xy_px must hold fixations of the same number of images as there are sizes or maps, at least "
                f"2, got {len(xy_px)} and {len(sizes_px)}; negatives come from other images."
            )
        for xy, size in zip(xy_px, sizes_px, strict=True):
            find_pixels(xy, size)
        ends = np.cumsum([len(np.asarray(xy)) for xy in xy_px])
        sizes = np.array([check_size(size) for size in sizes_px], dtype=float)
        return cls(np.concatenate([np.asarray(xy, dtype=float)[:, :2] for xy in xy_px]), ends, sizes)

    def find_own(self, image: int) -> slice:
        """Rows of one image."""
        return slice(self.ends[image - 1] if image else 0, self.ends[image])

    def scale(self, size_px: tuple[int, int]) -> NDArray[np.float64]:
        """All fixations in the pixels of an image of one size."""
        size = np.array(size_px, dtype=float)
        if (self.sizes == size).all():
            return self.xy
        ratio = np.repeat((size / self.sizes)[:, ::-1], np.diff(self.ends, prepend=0), axis=0)
        return np.minimum(self.xy * ratio, np.nextafter(size[::-1], 0))


def compute_auc_judd(
    saliency_map: ArrayLike, xy_px: ArrayLike, *, jitter: float = 1e-7, seed: int = 0
) -> float:
    """AUC of the MIT code, whose thresholds are the fixated values only (Judd et al. 2009).

    The i-th highest fixated value gives the point (fp, tp) with ``tp = i / n`` and ``fp = (pixels at least as
    high - i) / (pixels - n)``; the area is that of the trapezia.

    Parameters
    ----------
    saliency_map : array of shape (height, width)
        Scaled to [0, 1] first.
    xy_px : array of shape (n_fixations, 2)
        x and y [px].
    jitter : float
        Uniform noise that breaks ties; 0 for none.
    seed : int
        Of the noise.

    Returns
    -------
    float
        Differs from :func:`compute_auc` in the third decimal.

    Raises
    ------
    ValueError
        As :func:`compute_auc`, or if there are as many fixations as pixels.
    """
    values = check_array("saliency_map", saliency_map, ndim=2, dtype=float, finite=False)
    fixated = np.ravel_multi_index(find_pixels(xy_px, values.shape), values.shape)
    n = len(fixated)
    if n >= values.size:
        raise ValueError(f"xy_px must be fewer than the {values.size} pixels, got {n}; use a larger map.")
    flat = values.ravel()
    low, high = _find_range(flat, "saliency_map")
    spread = jitter * (high - low) if high > low else jitter
    # Noise decides between nearly equal values only: no other pixel needs any.
    near, lower = _find_near(flat[fixated], flat, margin=spread, name="saliency_map")
    noisy = flat[near]
    if jitter:
        noisy = noisy + spread * make_rng(seed, "auc-judd").random(len(near))
    thresholds = noisy[np.searchsorted(near, fixated)]
    below = lower + np.searchsorted(np.sort(noisy), thresholds)
    below = below[np.argsort(thresholds)[::-1]]
    rank = np.arange(1, n + 1)
    # Two fixations on one pixel are counted as two pixels, which may leave less than none.
    false = np.maximum(values.size - below - rank, 0) / (values.size - n)
    return _integrate(rank / n, false)


def compute_auc_borji(
    saliency_map: ArrayLike,
    xy_px: ArrayLike,
    *,
    negatives: ArrayLike | None = None,
    n_random: int = 100_000,
    step: float = 0.01,
    seed: int = 0,
) -> float:
    """AUC with thresholds at regular steps (Borji, Sihite & Itti 2013, IEEE TIP 22:55-69).

    Parameters
    ----------
    saliency_map : array of shape (height, width)
        Scaled to [0, 1] first.
    xy_px : array of shape (n_fixations, 2)
        x and y [px].
    negatives : array of shape (n_negatives, 2), optional
        Positions [px]; random pixels by default. For the shuffled AUC of the SALICON code, fixations of other
        images: each place counts once there, and places that were fixated here do not count, so both are
        removed.
    n_random : int
        Random pixels, drawn with replacement.
    step : float
        Between thresholds.
    seed : int
        Of the random pixels.

    Returns
    -------
    float
        Coarse: values within one step are not told apart.

    Raises
    ------
    ValueError
        As :func:`compute_auc`, or if the step is not in (0, 1).
    """
    if not 0 < step < 1:
        raise ValueError(f"step must lie between 0 and 1, got {step}; the map is scaled to [0, 1].")
    values = _scale(check_map("saliency_map", saliency_map))
    pixels = find_pixels(xy_px, values.shape)
    if negatives is None:
        other = values.ravel()[make_rng(seed, "auc-borji").integers(values.size, size=n_random)]
    else:
        places = find_pixels(negatives, values.shape, name="negatives")
        flat, own = (np.ravel_multi_index(found, values.shape) for found in (places, pixels))
        other = values.ravel()[np.setdiff1d(flat, own)]
        if not other.size:
            raise ValueError(
                "negatives must include a place that was not fixated here, got none; add images."
            )
    thresholds = np.arange(0, 1 + step / 2, step)[::-1]
    hits, false = (
        (group.size - np.searchsorted(np.sort(group), thresholds)) / group.size
        for group in (values[pixels], other)
    )
    return _integrate(hits, false)


def _integrate(true: NDArray[np.float64], false: NDArray[np.float64]) -> float:
    """Area below the points (false, true), from (0, 0) to (1, 1)."""
    true, false = np.concatenate([[0], true, [1]]), np.concatenate([[0], false, [1]])
    return float((np.diff(false) * (true[1:] + true[:-1])).sum() / 2)


def _scale(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros(values.shape)


def _divide(below: NDArray[np.intp], equal: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    return (below + 0.5 * equal) / n


def _count(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], *, name: str = "saliency_map"
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many negatives lie below each positive, and how many equal it; refuses what is not finite."""
    if negatives.size <= _FEW:
        ordered, lower = np.sort(negatives), np.zeros(len(positives), dtype=np.intp)
        if not np.isfinite([ordered[0], ordered[-1]]).all():  # NaN is last
            check_array(name, negatives)
    else:
        near, lower = _find_near(positives, negatives, name=name)
        ordered = np.sort(negatives[near])
    # Keys in order keep to the part of memory that the search has just left.
    order = np.argsort(positives)
    keys = positives[order]
    left, equal = np.empty_like(order), np.empty_like(order)
    left[order] = first = ordered.searchsorted(keys)
    equal[order] = ordered.searchsorted(keys, side="right") - first
    return lower + left, equal


def _find_near(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], *, margin: float = 0.0, name: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Negatives that have to be compared with the positives, and how many others lie below each positive.

    Values are put into classes of equal width. Classes rise with the values, so everything of lower classes
    lies below, and only the few negatives in a class within the margin of a positive are left to be sorted. A
    full sort of a map takes twice as long. Maps are read in pieces that stay in cache between the steps.
    """
    low, high = _find_range(negatives, name)
    first, last = positives.min() - margin, positives.max() + margin
    with np.errstate(over="ignore", divide="ignore"):  # of equal values, or nearly so
        scale = np.divide(_N_CLASSES, high - low)
    if first == last or not np.isfinite(scale):
        near = np.flatnonzero((negatives >= first) & (negatives <= last))
        return near, np.full(len(positives), np.count_nonzero(negatives < first))

    def classify(values: NDArray[np.float64]) -> NDArray[np.intp]:
        return ((np.clip(values, low, high) - low) * scale).astype(np.intp)

    n_classes = _N_CLASSES + 1
    edges = np.zeros(n_classes + 1, dtype=np.intp)
    np.add.at(edges, classify(positives - margin), 1)
    np.add.at(edges, classify(positives + margin) + 1, -1)
    shared = np.cumsum(edges)[:n_classes] > 0
    counts = np.zeros(n_classes, dtype=np.intp)
    # The same memory for every piece: getting it anew would take as long as the arithmetic.
    scaled, flags = np.empty(_PIECE), np.empty(_PIECE, dtype=bool)
    narrow, classes = np.empty(_PIECE, dtype=np.int32), np.empty(_PIECE, dtype=np.intp)
    found = []
    for start in range(0, negatives.size, _PIECE):
        piece = negatives[start : start + _PIECE]
        size = len(piece)
        np.subtract(piece, low, out=scaled[:size])
        np.multiply(scaled[:size], scale, out=scaled[:size])
        # By way of 32 bits, to which processors convert several numbers at once.
        narrow[:size] = scaled[:size]
        classes[:size] = narrow[:size]
        counts += np.bincount(classes[:size], minlength=n_classes)
        # All are valid: "wrap" is the mode that checks least.
        np.take(shared, classes[:size], out=flags[:size], mode="wrap")
        found.append(start + np.flatnonzero(flags[:size]))
    lower = np.cumsum(np.where(shared, 0, counts))
    return np.concatenate(found), lower[classify(positives)]


def _find_range(values: NDArray[np.float64], name: str) -> tuple[float, float]:
    """Lowest and highest value, in one pass over memory; refuses what is not finite."""
    pieces = [values[start : start + _PIECE] for start in range(0, values.size, _PIECE)]
    extremes = [(piece.min(), piece.max()) for piece in pieces]
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    # A NaN is the lowest and the highest of its piece.
    if not np.isfinite(np.sum(extremes)):
        check_array(name, values)
    return float(low), float(high)
