"""Where the eye goes next from where it is: short saccades, and what becomes of places already seen.

A first-order Markov model of saccade amplitudes on top of any density without a history, with a term for
returns: negative, it is inhibition of return (Klein 2000, Trends in Cognitive Sciences 4:138-147).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from neurovis.core import Fixations, GazeModel, check_array, make_rng
from neurovis.core.fixations import iterate_scanpaths
from neurovis.gaze.conditional_logit import fit_conditional_logit
from neurovis.gaze.likelihood import TrialGazeModel
from neurovis.gaze.models import get_size

# Amplitudes between which the log-density is linear, as shares of the image's longer side.
_KNOTS = (0.0, 0.02, 0.05, 0.09, 0.15, 0.25, 0.4, 0.7)
_RETURN_WIDTH = 0.04
"""Width of a place that was seen, as a share of the longer side: about one degree of visual angle."""

_N_PIXELS = 800


@dataclass(frozen=True, eq=False)
class SaccadeModel:
    """Density of the next fixation from the last ones; made by :func:`fit_saccade_model`.

    Parameters
    ----------
    prior : GazeModel
        Density without a history: the centre bias, or a saliency model.
    weights : array
        Exponent of the prior, slopes over the amplitude, and the weight of places seen before the present
        one.
    name : str
        Name in tables.

    Notes
    -----
    Before the first fixation the eye is taken to be in the middle of the image. The prior of the last image
    is kept until another array comes, so an image must not be changed in place between calls.
    """

    prior: GazeModel
    weights: NDArray[np.float64]
    name: str = "saccades"
    _last: list[Any] = field(default_factory=list, repr=False)

    @property
    def return_weight(self) -> float:
        """What having been seen adds to the log-density of a place; negative for inhibition of return."""
        return float(self.weights[-1])

    def log_density(
        self, image: NDArray[Any], history: Fixations, *, target: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """See :class:`neurovis.core.GazeModel`."""
        height, width = get_size(image)
        if not self._last or self._last[0] is not image or self._last[1] is not target:
            self._last[:] = [image, target, self.prior.log_density(image, history.iloc[:0], target=target)]
        y, x = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5
        past = history[["x_px", "y_px"]].to_numpy(dtype=float)
        scores = _describe_places(x, y, past, (height, width)) @ self.weights[1:]
        scores += self.weights[0] * self._last[2]
        return scores - logsumexp(scores)


@dataclass(frozen=True, eq=False)
class TrialSaccadeModel:
    """Saccades on a density that knows the stimulus; see :class:`SaccadeModel`.

    Parameters
    ----------
    prior : TrialGazeModel
        Density without a history for each stimulus, the same for every person.
    weights, name
        As in :class:`SaccadeModel`.
    """

    prior: TrialGazeModel
    weights: NDArray[np.float64]
    name: str = "saccades"

    def for_trial(self, stimulus_id: str, subject: str) -> SaccadeModel:
        """The model for one stimulus."""
        return SaccadeModel(self.prior.for_trial(stimulus_id, subject), self.weights, self.name)


def fit_saccade_model(
    load_image: Callable[[str], NDArray[Any]],
    fixations: Fixations,
    prior: GazeModel | TrialGazeModel,
    *,
    first_index: int = 0,
    n_fixations: int = 1500,
    seed: int = 0,
    name: str = "saccades",
) -> SaccadeModel | TrialSaccadeModel:
    """Fit to saccades on training images.

    Parameters
    ----------
    load_image : callable
        stimulus_id to image (height, width, 3).
    fixations : pandas.DataFrame
        Checked fixations on training images.
    prior : GazeModel or TrialGazeModel
        Fitted to the same images; it must not use the history, nor differ between people.
    first_index : int
        Fixations before this one are history only.
    n_fixations : int
        Fixations drawn for the fit; all if there are fewer.
    seed : int
        Decides which.
    name : str
        Name in tables.

    Returns
    -------
    SaccadeModel or TrialSaccadeModel
        The latter if the prior knows the stimulus.
    """
    check_array("n_fixations", n_fixations, ndim=0, minimum=1)
    every = [
        (stimulus_id, xy, step)
        for (_, stimulus_id, _), rows in iterate_scanpaths(fixations)
        for xy in [rows[["x_px", "y_px"]].to_numpy(dtype=float)]
        for step in range(first_index, len(xy))
    ]
    if not every:
        raise ValueError(f"fixations must hold some from index {first_index} on, got none; lower it.")
    order = make_rng(seed, "saccades").permutation(len(every))[:n_fixations]
    drawn = [every[row] for row in order]
    lattices = {}
    for stimulus_id in sorted({stimulus_id for stimulus_id, _, _ in drawn}):
        image = load_image(stimulus_id)
        bound = prior.for_trial(stimulus_id, "") if isinstance(prior, TrialGazeModel) else prior
        lattices[stimulus_id] = _Lattice(get_size(image), bound.log_density(image, fixations.iloc[:0]))
    n_options = max(lattice.n_options for lattice in lattices.values())
    features = np.zeros((len(drawn), n_options, len(_KNOTS) + 2))
    counts = np.zeros((len(drawn), n_options))
    available = np.zeros((len(drawn), n_options), dtype=bool)
    for row, (stimulus_id, xy, step) in enumerate(drawn):
        lattice = lattices[stimulus_id]
        own = slice(0, lattice.n_options)
        features[row, own, 0] = lattice.prior
        features[row, own, 1:] = _describe_places(lattice.x, lattice.y, xy[:step], lattice.size)
        counts[row, lattice.find(xy[step])] = 1
        available[row, own] = True
    weights = fit_conditional_logit(features, counts, available=available)
    if isinstance(prior, TrialGazeModel):
        return TrialSaccadeModel(prior, weights, name)
    return SaccadeModel(prior, weights, name)


class _Lattice:
    """Pixels that stand for an image in a fit."""

    def __init__(self, size: tuple[int, int], prior: NDArray[np.float64]) -> None:
        height, width = size
        self.size = size
        self._step = max(1, round((height * width / _N_PIXELS) ** 0.5))
        rows, columns = (np.arange(self._step // 2, side, self._step) for side in size)
        self._shape = (len(rows), len(columns))
        grid = np.meshgrid(rows, columns, indexing="ij")
        self.y, self.x = grid[0].ravel() + 0.5, grid[1].ravel() + 0.5
        self.prior = prior[grid[0].ravel(), grid[1].ravel()]
        self.n_options = len(self.x)

    def find(self, xy: NDArray[np.float64]) -> int:
        row = min(int(xy[1]) // self._step, self._shape[0] - 1)
        return row * self._shape[1] + min(int(xy[0]) // self._step, self._shape[1] - 1)


def _describe_places(
    x: NDArray[np.float64], y: NDArray[np.float64], past: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Ramps of the amplitude from the last fixation, and closeness to earlier ones: shape (..., n)."""
    side = max(size)
    here = past[-1] if len(past) else np.array([size[1] / 2, size[0] / 2])
    amplitude = np.hypot(x - here[0], y - here[1]) / side
    low, high = np.array(_KNOTS), np.array([*_KNOTS[1:], 1.5])
    ramps = np.clip((amplitude[..., None] - low) / (high - low), 0, 1)
    seen = np.zeros(amplitude.shape)
    for other in past[:-1]:
        squared = ((x - other[0]) ** 2 + (y - other[1]) ** 2) / (_RETURN_WIDTH * side) ** 2
        np.maximum(seen, np.exp(-squared / 2), out=seen)
    return np.concatenate([ramps, seen[..., None]], axis=-1)
