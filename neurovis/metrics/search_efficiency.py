"""How fast search reaches its target: target-fixation probability, its area, mismatch, and scanpath ratio.

Yang et al. (2020) Predicting goal-directed human attention using inverse reinforcement learning, CVPR
193-202; Chen et al. (2021) Scientific Reports 11:8776. Steps count fixations, the given first one included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.gaze_arrays import stack_scanpaths


def find_first_hits(
    scanpaths: Sequence[ArrayLike], boxes_px: ArrayLike, *, margin_px: float = 0.0
) -> NDArray[np.float64]:
    """Step at which each scanpath first lies on its target.

    Parameters
    ----------
    scanpaths : sequence of array of shape (n, 2) or (n, 3)
        x, y [px], one per trial.
    boxes_px : array of shape (n_trials, 4)
        Top, left, bottom and right of the target [px], bottom and right exclusive.
    margin_px : float
        By how much the box is widened on all sides [px].

    Returns
    -------
    array of shape (n_trials,)
        1 for the first fixation; infinity if the target is never reached.

    Raises
    ------
    ValueError
        If numbers differ, a scanpath is empty, or a box has no area (as where the target is absent).
    """
    values, lengths, boxes = _check_trials(scanpaths, boxes_px)
    top, left, bottom, right = np.repeat(boxes + margin_px * np.array([-1, -1, 1, 1]), lengths, axis=0).T
    x, y = values[:, 0], values[:, 1]
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    starts = np.cumsum(lengths) - lengths
    step = np.arange(len(values)) - np.repeat(starts, lengths) + 1.0
    return np.minimum.reduceat(np.where(inside, step, np.inf), starts)


def compute_target_fixation_curve(
    first_hits: ArrayLike, n_steps: int, *, categories: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Cumulative probability that the target has been fixated.

    Parameters
    ----------
    first_hits : array of shape (n_trials,)
        As :func:`find_first_hits` returns them.
    n_steps : int
        Length of the curve: the largest number of saccades plus 1 (7 for six saccades).
    categories : array of shape (n_trials,), optional
        What was looked for: the curve of each is averaged with the same weight. Without them every trial has
        the same weight.

    Returns
    -------
    array of shape (n_steps,)
        At k = 1 the first fixation counts; does not fall.

    Raises
    ------
    ValueError
        If there is no trial, or numbers differ.
    """
    hits = check_array("first_hits", first_hits, ndim=1, minimum=1, finite=False, dtype=float)
    if not hits.size or np.isnan(hits).any() or n_steps < 1:
        raise ValueError(
            f"first_hits must hold a step or infinity for at least one trial and n_steps be at least 1, got "
            f"{hits.size} trials and {n_steps}."
        )
    reached = hits[:, None] <= np.arange(1, n_steps + 1)
    if categories is None:
        return reached.mean(axis=0)
    names = np.asarray(categories)
    if names.shape != hits.shape:
        raise ValueError(f"categories must have shape {hits.shape}, got {names.shape}; one per trial.")
    return np.mean([reached[names == name].mean(axis=0) for name in np.unique(names)], axis=0)


def compute_target_fixation_area(curve: ArrayLike) -> float:
    """TFP-AUC: the plain sum of the curve over its steps, as in the reference code, not divided by them."""
    return float(check_array("curve", curve, ndim=1, minimum=0, maximum=1, dtype=float).sum())


def compute_probability_mismatch(model: ArrayLike, human: ArrayLike) -> float:
    """Sum over steps of the absolute difference of two curves; 0 for equal ones.

    Raises
    ------
    ValueError
        If the curves differ in length or are not probabilities.
    """
    own = check_array("model", model, ndim=1, minimum=0, maximum=1, dtype=float)
    other = check_array("human", human, shape=own.shape, minimum=0, maximum=1, dtype=float)
    return float(np.abs(own - other).sum())


def compute_scanpath_ratio(
    scanpaths: Sequence[ArrayLike], boxes_px: ArrayLike, *, max_steps: int | None = None
) -> NDArray[np.float64]:
    """Straight distance from the first fixation to the target's centre, over the distance travelled.

    Parameters
    ----------
    scanpaths : sequence of array of shape (n, 2) or (n, 3)
        x, y [px], one per trial; what comes after the first fixation of the target is left out.
    boxes_px : array of shape (n_trials, 4)
        Top, left, bottom and right of the target [px].
    max_steps : int, optional
        Trials that take longer count as failures.

    Returns
    -------
    array of shape (n_trials,)
        At most 1, the straight way. NaN for failures and for trials that begin on the target, which are left
        out of the mean.

    Raises
    ------
    ValueError
        As :func:`find_first_hits`.
    """
    values, lengths, boxes = _check_trials(scanpaths, boxes_px)
    hits = find_first_hits(scanpaths, boxes_px)
    centre = np.column_stack([boxes[:, [1, 3]].mean(axis=1), boxes[:, [0, 2]].mean(axis=1)])
    starts = np.cumsum(lengths) - lengths
    straight = np.hypot(*(centre - values[starts, :2]).T)
    # Way up to each row of the stacked scanpaths; differences of it are the ways within one.
    way = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(values[:, :2], axis=0).T))])
    result = np.full(len(hits), np.nan)
    counted = np.isfinite(hits) & (hits > 1) & (hits <= (np.inf if max_steps is None else max_steps))
    reached = starts[counted] + hits[counted].astype(np.intp) - 1
    result[counted] = np.minimum(straight[counted] / (way[reached] - way[starts[counted]]), 1.0)
    return result


def _check_trials(
    scanpaths: Sequence[ArrayLike], boxes_px: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    values, lengths = stack_scanpaths("scanpaths", scanpaths)
    remedy = "one box (top, left, bottom, right) per trial, none where the target is absent"
    boxes = check_array("boxes_px", boxes_px, shape=(len(lengths), 4), dtype=float, remedy=remedy)
    if not (boxes[:, 2:] > boxes[:, :2]).all():
        raise ValueError(f"boxes_px must have a bottom below the top and a right beyond the left; {remedy}.")
    return values, lengths, boxes
