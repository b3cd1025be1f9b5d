"""A small saliency map from contrast, colour and edges, and the way from any map to a density.

The map follows the idea of Itti, Koch & Niebur (1998, IEEE PAMI 20:1254-1259): centre-surround differences
of intensity and two colour opponents at several scales, and edges, each scaled to one range and added. It has
no free parameter. The density is fitted as Kümmerer, Wallis & Bethge (2015, PNAS 112:16054-16059) propose: a
monotone function of the blurred map times a centre bias, so that a map is judged by its order alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import logsumexp

from neurovis.core import Fixations, GazeModel, check_array
from neurovis.gaze.conditional_logit import fit_conditional_logit

SCALES = (0.008, 0.016, 0.032)
"""Widths of the centres, as shares of the image's longer side; surrounds are four times as wide."""

BLURS = (0.0, 0.01, 0.02, 0.04, 0.06)
"""Widths of the blur that a fit chooses from, as shares of the image's longer side."""

_SURROUND = 4.0
# Quantiles of the map between which the density rises linearly in the logarithm.
_KNOTS = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
# Pixels of an image that enter the normalisation of a fit, about.
_N_PIXELS = 1500
_LUMINANCE = (0.2126, 0.7152, 0.0722)
# An image without contrast must not have its rounding blown up to a map.
_SMALLEST_RANGE = 1e-3


def compute_saliency_map(image: NDArray[Any]) -> NDArray[np.float64]:
    """Saliency of every pixel, from contrast, colour and edges.

    Parameters
    ----------
    image : array of shape (height, width, 3), uint8
        RGB, 0-255.

    Returns
    -------
    array of shape (height, width)
        From 0 to 1: the mean of the channels of contrast, red against green, blue against yellow, and edges,
        each of which was summed over :data:`SCALES` and divided by its 99th percentile.

    Raises
    ------
    ValueError
        If the image does not have that shape.
    """
    pixels = check_array("image", image, shape=(None, None, 3), minimum=0, maximum=255) / 255.0
    red, green, blue = np.moveaxis(pixels, 2, 0)
    intensity = pixels @ np.array(_LUMINANCE)
    opponents = (intensity, red - green, blue - (red + green) / 2)
    side = max(image.shape[:2])
    channels = []
    for opponent in opponents:
        differences = [
            np.abs(_blur(opponent, scale * side) - _blur(opponent, _SURROUND * scale * side))
            for scale in SCALES
        ]
        channels.append(np.sum(differences, axis=0))
    edges = [ndimage.gaussian_gradient_magnitude(intensity, scale * side, mode="nearest") for scale in SCALES]
    channels.append(np.sum([edge * scale * side for edge, scale in zip(edges, SCALES, strict=True)], axis=0))
    scaled = [np.minimum(x / max(float(np.quantile(x, 0.99)), _SMALLEST_RANGE), 1) for x in channels]
    return np.mean(scaled, axis=0)


@dataclass(frozen=True, eq=False)
class MapDensity:
    """Density from any saliency map; made by :func:`fit_map_density`.

    Parameters
    ----------
    compute_map : callable
        Image (height, width, 3) to map (height, width); only its order matters.
    prior : GazeModel
        The centre bias.
    blur : float
        Width of the blur of the map, as a share of the image's longer side.
    weights : array
        Rise of the log-density between quantiles of the map, and the exponent of the prior.
    name : str
        Name in tables.
    """

    compute_map: Callable[[NDArray[Any]], NDArray[np.float64]]
    prior: GazeModel
    blur: float
    weights: NDArray[np.float64]
    name: str = "saliency"
    uses_history = False

    def log_density(
        self, image: NDArray[Any], history: Fixations, *, target: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """See :class:`neurovis.core.GazeModel`."""
        ramps = _describe_map(self.compute_map(image), self.blur)
        prior = self.prior.log_density(image, history, target=target)
        scores = ramps @ self.weights[:-1] + self.weights[-1] * prior
        return scores - logsumexp(scores)


def fit_map_density(
    images: Mapping[str, NDArray[Any]],
    fixations: Fixations,
    prior: GazeModel,
    *,
    compute_map: Callable[[NDArray[Any]], NDArray[np.float64]] = compute_saliency_map,
    blurs: Sequence[float] = BLURS,
    first_index: int = 0,
    name: str = "saliency",
) -> MapDensity:
    """Fit blur, monotone nonlinearity and weight of the prior to training images.

    Parameters
    ----------
    images : mapping of stimulus_id to array of shape (height, width, 3)
        Training images.
    fixations : pandas.DataFrame
        Checked fixations on them; those on other images are left out.
    prior : GazeModel
        Centre bias, fitted to the same images.
    compute_map : callable
        Image to saliency map of any range.
    blurs : sequence of float
        Candidate widths, as shares of the longer side; the most probable one is taken.
    first_index : int
        Fixations before this one are left out.
    name : str
        Name in tables.

    Returns
    -------
    MapDensity

    Raises
    ------
    ValueError
        If no fixation falls on the images.
    """
    chosen = fixations[(fixations["index"] >= first_index) & fixations["stimulus_id"].isin(list(images))]
    if chosen.empty:
        raise ValueError("fixations must hold some on the images, got none; check the stimulus ids.")
    groups = {str(key): rows[["x_px", "y_px"]].to_numpy() for key, rows in chosen.groupby("stimulus_id")}
    maps = {key: compute_map(images[key]) for key in groups}
    priors = {key: prior.log_density(images[key], chosen.iloc[:0]) for key in groups}
    best: tuple[float, float, NDArray[np.float64]] | None = None
    for blur in blurs:
        cases = [_make_case(maps[key], blur, priors[key], xy) for key, xy in groups.items()]
        n_options = max(len(counts) for _, counts in cases)
        features = np.zeros((len(cases), n_options, len(_KNOTS)))
        counts = np.zeros((len(cases), n_options))
        available = np.zeros((len(cases), n_options), dtype=bool)
        for row, (own, own_counts) in enumerate(cases):
            features[row, : len(own)], counts[row, : len(own)] = own, own_counts
            available[row, : len(own)] = True
        rising = np.ones(len(_KNOTS), dtype=bool)
        weights = fit_conditional_logit(features, counts, available=available, nonnegative=rising)
        scores = np.where(available, features @ weights, -np.inf)
        likelihood = float((counts * np.where(available, scores, 0)).sum())
        likelihood -= float((counts.sum(axis=1) * logsumexp(scores, axis=1)).sum())
        if best is None or likelihood > best[0]:
            best = (likelihood, float(blur), weights)
    if best is None:
        raise ValueError("blurs must hold at least one width, got none; leave it out for the default.")
    return MapDensity(compute_map, prior, best[1], best[2], name)


def _make_case(
    saliency: NDArray[np.float64], blur: float, prior: NDArray[np.float64], xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features and counts of a lattice of pixels that stands for one image."""
    height, width = saliency.shape
    step = max(1, round((height * width / _N_PIXELS) ** 0.5))
    rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
    described = np.concatenate([_describe_map(saliency, blur), prior[..., None]], axis=2)
    features = described[np.ix_(rows, columns)].reshape(len(rows) * len(columns), -1)
    row = np.minimum(xy[:, 1].astype(int) // step, len(rows) - 1)
    column = np.minimum(xy[:, 0].astype(int) // step, len(columns) - 1)
    counts = np.bincount(row * len(columns) + column, minlength=len(features)).astype(float)
    return features, counts


def _describe_map(saliency: NDArray[np.float64], blur: float) -> NDArray[np.float64]:
    """Ramps (height, width, n) of the ranks of a blurred map, so that only its order matters."""
    height, width = saliency.shape
    smooth = _blur(np.asarray(saliency, dtype=float), blur * max(height, width))
    values, place = np.unique(smooth, return_inverse=True)
    counts = np.bincount(place.ravel(), minlength=len(values))
    # Equal values share the middle of their ranks.
    ranks = ((counts.cumsum() - 0.5 * counts) / smooth.size)[place].reshape(height, width)
    low, high = np.array(_KNOTS[:-1]), np.array(_KNOTS[1:])
    return np.clip((ranks[..., None] - low) / (high - low), 0, 1)


def _blur(values: NDArray[np.float64], sigma_px: float) -> NDArray[np.float64]:
    return ndimage.gaussian_filter(values, sigma_px, mode="nearest") if sigma_px > 0 else values
