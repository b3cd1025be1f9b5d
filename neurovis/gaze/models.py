"""Densities of the next fixation that need no image: uniform, and the bias to the centre.

Every model here has the one method of :class:`neurovis.core.GazeModel`. A model whose attribute
``uses_history`` is false gives one density per image, which is then computed once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import logsumexp

from neurovis.core import Fixations, check_fixations, make_rng
from neurovis.metrics.gaze_arrays import find_pixels
from neurovis.metrics.saliency import compute_fixation_density

BANDWIDTHS = (0.01, 0.02, 0.03, 0.045, 0.065, 0.09, 0.13)
"""Widths that a fit chooses from, as shares of the image's longer side."""

FLOORS = (0.001, 0.01, 0.05)
"""Shares of a uniform density that a fit chooses from."""

# Longer side of the grid on which densities in relative coordinates are kept.
_GRID_SIDE = 160


def get_size(image: NDArray[Any]) -> tuple[int, int]:
    """(height, width) of an image [px]."""
    return int(image.shape[0]), int(image.shape[1])


def resize_log_density(log_density: NDArray[np.float64], size_px: tuple[int, int]) -> NDArray[np.float64]:
    """The same density on another number of pixels: interpolated in the logarithm, normalised again."""
    shape = log_density.shape
    if shape == tuple(size_px):
        return log_density
    axes = [
        np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        for size, n in zip(size_px, shape, strict=True)
    ]
    finer = ndimage.map_coordinates(log_density, np.meshgrid(*axes, indexing="ij"), order=1)
    return finer - logsumexp(finer)


@dataclass(frozen=True)
class UniformModel:
    """Every pixel is as probable as any other: chance."""

    name: str = "uniform"
    uses_history = False

    def log_density(
        self,
        image: NDArray[Any],
        history: Fixations,  # noqa: ARG002 (part of the protocol)
        *,
        target: NDArray[Any] | None = None,  # noqa: ARG002 (part of the protocol)
    ) -> NDArray[np.float64]:
        """See :class:`neurovis.core.GazeModel`."""
        height, width = get_size(image)
        return np.full((height, width), -math.log(height * width))


@dataclass(frozen=True, eq=False)
class CentreBias:
    """Where people look whatever is shown: fixations of training images, blurred.

    Parameters
    ----------
    grid : array of shape (height, width)
        Log-density in coordinates relative to the image.
    bandwidth, floor : float
        Width of the Gaussian as a share of the longer side, and the share of a uniform density.
    name : str
        Name in tables.
    """

    grid: NDArray[np.float64]
    bandwidth: float
    floor: float
    name: str = "centre bias"
    uses_history = False
    _sizes: dict[tuple[int, int], NDArray[np.float64]] = field(default_factory=dict, repr=False)

    def log_density(
        self,
        image: NDArray[Any],
        history: Fixations,  # noqa: ARG002 (part of the protocol)
        *,
        target: NDArray[Any] | None = None,  # noqa: ARG002 (part of the protocol)
    ) -> NDArray[np.float64]:
        """See :class:`neurovis.core.GazeModel`."""
        size = get_size(image)
        if size not in self._sizes:
            self._sizes[size] = resize_log_density(self.grid, size)
        return self._sizes[size].copy()


def fit_centre_bias(
    fixations: Fixations,
    sizes_px: Mapping[str, tuple[int, int]],
    *,
    bandwidths: Sequence[float] = BANDWIDTHS,
    floors: Sequence[float] = FLOORS,
    n_folds: int = 5,
    first_index: int = 0,
    seed: int = 0,
) -> CentreBias:
    """Fit the centre bias to training images; its width is chosen on images left out of the blur.

    Parameters
    ----------
    fixations : pandas.DataFrame
        Checked fixations of the training images, nothing else.
    sizes_px : mapping of stimulus_id to (height, width)
        Of the images [px]; fixations are put on one grid relative to them.
    bandwidths, floors : sequence of float
        Candidates: widths as shares of the longer side, and shares of a uniform density.
    n_folds : int
        Groups of images for the choice.
    first_index : int
        Fixations before this one were not chosen by the observer and are left out.
    seed : int
        Decides the groups.

    Returns
    -------
    CentreBias

    Raises
    ------
    ValueError
        If there are fewer images than folds, or a fixation lies beyond its image.
    """
    checked = check_fixations(fixations, size_px=sizes_px)
    checked = checked[checked["index"] >= first_index]
    images = sorted(set(checked["stimulus_id"]))
    if n_folds < 2 or len(images) < n_folds:
        raise ValueError(
            f"n_folds must be from 2 to the number of images, got {n_folds} for {len(images)} images; "
            "lower it."
        )
    sizes = np.array([sizes_px[name] for name in images], dtype=float)
    aspect = float(np.median(sizes[:, 0] / sizes[:, 1]))
    shape = (round(_GRID_SIDE * min(1.0, aspect)), round(_GRID_SIDE / max(1.0, aspect)))
    own = np.array([sizes_px[name] for name in checked["stimulus_id"]], dtype=float)
    relative = checked[["x_px", "y_px"]].to_numpy() / own[:, ::-1] * (shape[1], shape[0])
    order = make_rng(seed, "centre bias").permutation(len(images))
    fold_of = dict(zip(np.array(images)[order], np.arange(len(images)) % n_folds, strict=True))
    folds = checked["stimulus_id"].map(fold_of).to_numpy()

    def blur(points: NDArray[np.float64], bandwidth: float) -> NDArray[np.float64]:
        return compute_fixation_density(points, shape, sigma_px=bandwidth * _GRID_SIDE)

    best = (-np.inf, 0.0, 0.0)
    for bandwidth in bandwidths:
        held_out = []
        for fold in range(n_folds):
            pixels = find_pixels(relative[folds == fold], shape)
            held_out.append(blur(relative[folds != fold], bandwidth)[pixels])
        density = np.concatenate(held_out)
        for floor in floors:
            likelihood = float(np.log((1 - floor) * density + floor / math.prod(shape)).mean())
            best = max(best, (likelihood, bandwidth, floor))
    _, bandwidth, floor = best
    density = (1 - floor) * blur(relative, bandwidth) + floor / math.prod(shape)
    return CentreBias(np.log(density), float(bandwidth), float(floor))
