"""What search scanpaths show: how soon targets are found, how far eyes jump, how reliable people are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, make_rng
from neurovis.core.fixations import Fixations, iterate_scanpaths
from neurovis.metrics.resampling import draw_counts


def compute_success_curve(
    trials: pd.DataFrame,
    *,
    n_saccades: int,
    level: float = 0.95,
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of searches that found the target by each saccade.

    Parameters
    ----------
    trials : pandas.DataFrame
        ``stimulus_id, found, n_saccades``.
    n_saccades : int
        Length of the curve.
    level : float
        Coverage of the interval, which resamples stimuli with all their searches.
    n_bootstraps, seed
        Resamples and their seed.

    Returns
    -------
    pandas.DataFrame
        Index ``n_saccades`` from 0; columns ``found, low, high``, 0-1.
    """
    check_array("n_saccades", n_saccades, ndim=0, minimum=1)
    when = np.where(trials["found"].astype(bool), trials["n_saccades"].astype(float), np.inf)
    by = when[:, None] <= np.arange(n_saccades + 1)
    shown, number = np.unique(trials["stimulus_id"].astype(str), return_inverse=True)
    hits = np.zeros((len(shown), n_saccades + 1))
    np.add.at(hits, number, by)
    counts = np.bincount(number)
    weights = draw_counts(len(shown), n_bootstraps, seed=seed)
    curves = weights @ hits / (weights @ counts)[:, None]
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    table = pd.DataFrame({"found": by.mean(axis=0), "low": low, "high": high})
    return table.rename_axis("n_saccades")


def score_recorded_search(
    fixations: Fixations, boxes: Mapping[str, Sequence[float]] | pd.DataFrame, *, reach_px: float = 0.0
) -> pd.DataFrame:
    """Trials of recorded scanpaths, of people or models, in the form of simulated ones.

    Parameters
    ----------
    fixations : Fixations
        Index 0 is the start, before any saccade.
    boxes : mapping of stimulus_id to (top, left, bottom, right), or the table of a StimulusSet
        Of the targets [px], bottom and right exclusive.
    reach_px : float
        A fixation this near to the box finds the target.

    Returns
    -------
    pandas.DataFrame
        ``stimulus_id, subject, trial, found, n_saccades``: saccades until the first fixation on the target,
        or all of them.

    Raises
    ------
    KeyError
        If a stimulus has no box.
    """
    if isinstance(boxes, pd.DataFrame):
        edges = boxes[["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]]
        boxes = {str(name): tuple(row) for name, row in zip(boxes.index, edges.to_numpy(float), strict=True)}
    rows = []
    for (subject, stimulus_id, trial), path in iterate_scanpaths(fixations):
        top, left, bottom, right = boxes[stimulus_id]
        x, y = path["x_px"].to_numpy(), path["y_px"].to_numpy()
        hit = (
            (x >= left - reach_px) & (x < right + reach_px) & (y >= top - reach_px) & (y < bottom + reach_px)
        )
        n = int(hit.argmax()) if hit.any() else len(path) - 1
        rows.append((stimulus_id, subject, trial, bool(hit.any()), n))
    return pd.DataFrame(rows, columns=["stimulus_id", "subject", "trial", "found", "n_saccades"])


def compute_saccade_sizes(fixations: Fixations, *, px_per_dva: float) -> NDArray[np.float64]:
    """Lengths of all saccades [degrees], scanpath by scanpath.

    Parameters
    ----------
    fixations : Fixations
        Sorted, as ``check_fixations`` returns them.
    px_per_dva : float
        Pixels per degree.
    """
    check_array("px_per_dva", px_per_dva, ndim=0, minimum=1e-9)
    place = fixations[["x_px", "y_px"]].to_numpy(float)
    follows = fixations["index"].to_numpy()[1:] > 0
    return np.hypot(*np.diff(place, axis=0)[follows].T) / px_per_dva


def compute_split_half_reliability(values: ArrayLike, *, n_splits: int = 200, seed: int = 0) -> float:
    """Mean correlation between halves of the subjects of what they show on average for each stimulus.

    Parameters
    ----------
    values : array of shape (n_subjects, n_stimuli)
        E.g. saccades until the target is found; NaN where a subject did not search.
    n_splits : int
        Random splits into halves; of an odd number, one half has one more.
    seed : int
        Seed of the splits.

    Returns
    -------
    float
        -1 to 1, of halves: not stepped up to the full number of subjects.
    """
    table = check_array("values", values, ndim=2, finite=False, dtype=np.float64)
    if len(table) < 2 or table.shape[1] < 3:
        raise ValueError(f"values must be of at least 2 subjects and 3 stimuli, got {table.shape}; add some.")
    rng = make_rng(seed, "split halves")
    found = []
    for _ in range(n_splits):
        order = rng.permutation(len(table))
        halves = [np.nanmean(table[part], axis=0) for part in np.array_split(order, 2)]
        both = np.isfinite(halves[0]) & np.isfinite(halves[1])
        found.append(np.corrcoef(halves[0][both], halves[1][both])[0, 1])
    return float(np.mean(found))
