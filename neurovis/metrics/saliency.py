"""How well a map predicts where people look: NSS, CC, SIM, KL divergence and information gain.

Definitions of pysaliency and the MIT/Tübingen benchmark (Kümmerer, Wallis & Bethge 2018, Saliency
benchmarking made easy, ECCV; Bylinskii et al. 2019, IEEE TPAMI 41:740-757). A saliency map may have any
scale; a density is not negative and sums to 1. Metrics of fixations return one value per fixation: their
mean over all fixations weighs images by their fixations (pysaliency), the mean of the images' means does not
(MIT, SALICON).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_option
from neurovis.metrics.gaze_arrays import check_log_density, check_map, check_size, find_pixels
from neurovis.metrics.saliency_auc import compute_auc, compute_shuffled_auc

#: What the MIT benchmark adds inside the logarithm of the KL divergence.
EPS = 2.2204e-16
_PIECE = 1 << 15  # values that stay in cache between the steps
_TRUNCATE = 4.0  # sigma, as in scipy.ndimage
NORMALISATIONS = ("sum", "minmax_sum")
#: What the columns of :func:`score_saliency_maps` mean.
CONVENTIONS = {
    "auc": "negatives: all pixels of the image; ties count half; mean over the image's fixations",
    "sauc": "negatives: fixations of all other images, rescaled, with multiplicity; ties count half",
    "nss": "population standard deviation (ddof 0); constant map 0; mean over the image's fixations",
    "cc": "Pearson r over pixels with the blurred fixations; constant map 0",
    "sim": "both divided by their sum after subtracting the minimum if it is negative",
    "kl": f"sum D log(eps + D / (p + eps)), natural logarithm, eps {EPS:g}, D the blurred fixations",
}


def compute_fixation_density(
    xy_px: ArrayLike, size_px: tuple[int, int], *, sigma_px: float, background: float = 0.0
) -> NDArray[np.float64]:
    """Blurred map of fixations that sums to 1; of pooled fixations of training images, the centre bias.

    Parameters
    ----------
    xy_px : array of shape (n_fixations, 2)
        x and y [px] inside the image.
    size_px : tuple of int
        (height, width) [px].
    sigma_px : float
        Standard deviation of the Gaussian [px]; one degree of visual angle by custom.
    background : float
        Share of a uniform density that is mixed in (0-1), so that no pixel has probability 0.

    Returns
    -------
    array of shape (height, width)
        What the Gaussian would put beyond the border is lost, and the rest scaled up.

    Raises
    ------
    ValueError
        If there is no fixation, one lies outside, or a parameter is out of range.
    """
    if sigma_px <= 0 or not 0 <= background < 1:
        raise ValueError(
            f"sigma_px must be positive and background in [0, 1), got {sigma_px} and {background}; pass "
            "pixels and a share."
        )
    height, width = check_size(size_px)
    rows, columns = find_pixels(xy_px, size_px)
    used_rows, row = np.unique(rows, return_inverse=True)
    used_columns, column = np.unique(columns, return_inverse=True)
    counts = np.zeros((len(used_rows), len(used_columns)))
    np.add.at(counts, (row, column), 1.0)
    # The Gaussian is separable and most rows and columns hold no fixation: two thin products, not a filter.
    vertical, horizontal = _blur(height, used_rows, sigma_px), _blur(width, used_columns, sigma_px)
    blurred = vertical @ counts @ horizontal.T
    return (1 - background) * blurred / blurred.sum() + background / blurred.size


def compute_nss(saliency_map: ArrayLike, xy_px: ArrayLike, *, ddof: int = 0) -> NDArray[np.float64]:
    """Normalised scanpath saliency of each fixation (Peters, Iyer, Itti & Koch 2005).

    Parameters
    ----------
    saliency_map : array of shape (height, width)
        Any scale.
    xy_px : array of shape (n_fixations, 2)
        x and y [px].
    ddof : {0, 1}
        Of the standard deviation over pixels: 0 in pysaliency, 1 in MATLAB and torch code.

    Returns
    -------
    array of shape (n_fixations,)
        Standard deviations above the mean of the map; 0 for a constant map.

    Raises
    ------
    ValueError
        If the map is not finite or a fixation lies outside.
    """
    values = check_map("saliency_map", saliency_map)
    fixated = values[find_pixels(xy_px, values.shape)]
    deviation = _compute_deviation(values, ddof)
    return np.zeros(len(fixated)) if deviation == 0 else (fixated - values.mean()) / deviation


def compute_cc(saliency_map: ArrayLike, density: ArrayLike) -> float:
    """Pearson correlation over pixels of a map with the blurred fixations; 0 if one is constant.

    Raises
    ------
    ValueError
        If shapes differ or values are not finite.
    """
    first, second = _check_pair(saliency_map, density)
    deviations = _compute_deviation(first, 0), _compute_deviation(second, 0)
    if 0 in deviations:
        return 0.0
    one, other = first.ravel() - first.mean(), second.ravel() - second.mean()
    return float(np.clip(one @ other / (first.size * deviations[0] * deviations[1]), -1, 1))


def compute_sim(saliency_map: ArrayLike, density: ArrayLike, *, normalise: str = "sum") -> float:
    """Similarity: the mass that two densities share (Judd, Durand & Torralba 2012).

    Parameters
    ----------
    saliency_map, density : array of shape (height, width)
        Both are made to sum to 1.
    normalise : {"sum", "minmax_sum"}
        Divide by the sum, after subtracting the minimum only if it is negative (pysaliency), or scale to [0,
        1] first (MIT code), which gives other values.

    Returns
    -------
    float
        From 0 to 1, equal densities.

    Raises
    ------
    ValueError
        If shapes differ, values are not finite, or the choice is unknown.
    """
    check_option("normalise", normalise, NORMALISATIONS)
    first, second = _check_pair(saliency_map, density)
    return float(np.minimum(_normalise(first, normalise), _normalise(second, normalise)).sum())


def compute_kl_divergence(saliency_map: ArrayLike, density: ArrayLike, *, eps: float = EPS) -> float:
    """Kullback-Leibler divergence of a map, made a density, from the blurred fixations.

    Parameters
    ----------
    saliency_map, density : array of shape (height, width)
        Both are made to sum to 1, after subtracting the minimum if it is negative; ``density`` is the truth.
    eps : float
        ``sum D log(eps + D / (p + eps))``: 2.2e-16 in MIT's and TempSAL's code, 1e-15 in GazeXplain, 1e-12 in
        VAME. Where the map is 0 and people look, it decides the result.

    Returns
    -------
    float
        In nats; 0 for equal densities, lower is better.

    Raises
    ------
    ValueError
        If shapes differ, values are not finite, or eps is negative.
    """
    if eps < 0:
        raise ValueError(f"eps must be at least 0, got {eps}; it keeps the logarithm finite.")
    p, truth = (_normalise(values, "sum") for values in _check_pair(saliency_map, density))
    seen = truth > 0
    with np.errstate(divide="ignore"):  # without eps a map of 0 is infinitely wrong, and says so
        return float((truth[seen] * np.log(eps + truth[seen] / (p[seen] + eps))).sum())


def compute_information_gain(
    log_density: ArrayLike, xy_px: ArrayLike, *, baseline: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Information gain of each fixation over a baseline (Kümmerer, Wallis & Bethge 2015, PNAS 112:16054).

    Parameters
    ----------
    log_density : array of shape (height, width)
        Natural logarithm of a density; its ``exp`` sums to 1.
    xy_px : array of shape (n_fixations, 2)
        x and y [px].
    baseline : array of shape (height, width), optional
        Log density, by custom of the centre bias of *training* images; uniform by default.

    Returns
    -------
    array of shape (n_fixations,)
        ``log2 p - log2 b`` [bits]; minus infinity where the model rules a fixation out.

    Raises
    ------
    ValueError
        If a map is not the logarithm of a density, shapes differ, or a fixation lies outside.
    """
    own = check_log_density("log_density", log_density)
    pixels = find_pixels(xy_px, own.shape)
    if baseline is None:
        return own[pixels] / np.log(2) + np.log2(own.size)
    other = check_log_density("baseline", baseline)
    if other.shape != own.shape:
        raise ValueError(f"baseline must have the shape {own.shape} of log_density, got {other.shape}.")
    if not np.isfinite(other[pixels]).all():
        raise ValueError(
            "baseline must give every fixation a probability above 0, got minus infinity at one; mix in a "
            "share of the uniform density."
        )
    return (own[pixels] - other[pixels]) / np.log(2)


def score_saliency_maps(
    maps: Sequence[ArrayLike], xy_px: Sequence[ArrayLike], *, sigma_px: float
) -> pd.DataFrame:
    """AUC, shuffled AUC, NSS, CC, SIM and KL divergence of several images.

    Parameters
    ----------
    maps : sequence of array of shape (height, width)
        One per image, of any scale and size.
    xy_px : sequence of array of shape (n_fixations, 2)
        Fixations of all people on each image.
    sigma_px : float
        Blur of the fixations that CC, SIM and KL compare with [px].

    Returns
    -------
    pandas.DataFrame
        One row per image, columns ``auc``, ``sauc``, ``nss``, ``cc``, ``sim``, ``kl`` and ``n_fixations``.
        The attribute ``conventions`` says for each what its negatives, constants and averages are.

    Raises
    ------
    ValueError
        If there are fewer than two images (shuffled AUC needs others), numbers differ, or as the metrics.
    """
    if len(maps) != len(xy_px) or len(maps) < 2:
        raise ValueError(
            f"maps and xy_px must hold the same number of images, at least 2, got {len(maps)} and "
            f"{len(xy_px)}; shuffled AUC takes its negatives from other images."
        )
    checked = [check_map(f"maps[{place}]", values) for place, values in enumerate(maps)]
    rows = []
    sizes = [check_size(values.shape) for values in checked]
    shuffled = compute_shuffled_auc(checked, xy_px)
    for values, xy, size, areas in zip(checked, xy_px, sizes, shuffled, strict=True):
        density = compute_fixation_density(xy, size, sigma_px=sigma_px)
        rows.append(
            {
                "auc": compute_auc(values, xy).mean(),
                "sauc": areas.mean(),
                "nss": compute_nss(values, xy).mean(),
                "cc": compute_cc(values, density),
                "sim": compute_sim(values, density),
                "kl": compute_kl_divergence(values, density),
                "n_fixations": len(np.asarray(xy)),
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["conventions"] = CONVENTIONS
    return table


def _blur(n: int, places: NDArray[np.intp], sigma: float) -> NDArray[np.float64]:
    """What a unit at each place spreads to n pixels (n, n_places); the Gaussian ends at four sigma."""
    reach = int(_TRUNCATE * sigma + 0.5)
    total = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)).sum()
    distance = np.arange(n)[:, None] - places
    return np.where(np.abs(distance) <= reach, np.exp(-(distance**2) / (2 * sigma**2)), 0) / total


def _check_pair(saliency_map: ArrayLike, density: ArrayLike) -> tuple[NDArray, NDArray]:
    first = check_map("saliency_map", saliency_map)
    second = check_map("density", density)
    if first.shape != second.shape:
        remedy = "transpose one" if first.shape == second.shape[::-1] else "resize one to the other"
        raise ValueError(
            f"saliency_map and density must have one shape, got {first.shape} and {second.shape}; {remedy}."
        )
    return first, second


def _normalise(values: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    lowest = values.min()
    if how == "minmax_sum" or lowest < 0:
        values = values - lowest
    total = values.sum()
    # A constant map says nothing about place.
    return values / total if total > 0 else np.full(values.shape, 1 / values.size)


def _compute_deviation(values: NDArray[np.float64], ddof: int) -> float:
    """Standard deviation over pixels; exactly 0 for a constant map, whatever rounding leaves."""
    flat, mean = values.ravel(), values.mean()
    total = 0.0
    for start in range(0, flat.size, _PIECE):
        centred = flat[start : start + _PIECE] - mean
        total += float(centred @ centred)
    deviation = float(np.sqrt(total / (values.size - ddof)))
    nearly_constant = deviation <= 1e-7 * np.abs(values.flat[0])
    return 0.0 if nearly_constant and values.min() == values.max() else deviation
