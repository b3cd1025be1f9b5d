"""What a density says about fixations on other images: a permutation null, and shuffled AUC.

A model that reads the image must tell fixations on it better than the density of another image does; what the
two share is the centre bias (Tatler, Baddeley & Gilchrist 2005, Vision Research 45:643-659).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import GazeModel, check_array, make_rng
from neurovis.gaze.gaze_comparison import AnyGazeModel, GazeComparison
from neurovis.gaze.likelihood import TrialGazeModel, compute_log_density, score_positions
from neurovis.gaze.models import get_size
from neurovis.metrics.saliency_auc import compute_auc

EXCHANGED = ("gain_over_uniform_bits", "auc", "nss")
"""Metrics of :class:`OtherImages`, in the order of its last axis."""


@dataclass(frozen=True, eq=False)
class OtherImages:
    """Result of :func:`score_other_images`.

    Parameters
    ----------
    sums : array of shape (n_stimuli, n_stimuli, 3)
        Sum over the fixations on one stimulus (first axis) of their scores (:data:`EXCHANGED`) under the
        density of another one (second axis).
    shuffled_auc : pandas.DataFrame
        One row per test fixation: ``image`` and ``shuffled_auc``, under the density of its own image against
        the fixations on all other images.
    n_fixations : int
        Test fixations.
    """

    sums: NDArray[np.float64]
    shuffled_auc: pd.DataFrame
    n_fixations: int

    def permute(self, n_permutations: int, *, seed: int = 0) -> NDArray[np.float64]:
        """Mean scores when densities are dealt out to the stimuli anew.

        Parameters
        ----------
        n_permutations : int
            How often.
        seed : int
            Decides the orders.

        Returns
        -------
        array of shape (n_permutations, 3)
            One column for each of :data:`EXCHANGED`.
        """
        check_array("n_permutations", n_permutations, ndim=0, minimum=1)
        rng, own = make_rng(seed, "other images"), np.arange(len(self.sums))
        return np.array(
            [
                self.sums[own, rng.permutation(len(own))].sum(axis=0) / self.n_fixations
                for _ in range(n_permutations)
            ]
        )


def score_other_images(comparison: GazeComparison, name: str) -> OtherImages:
    """Score every test fixation under the density of every test image.

    Parameters
    ----------
    comparison : GazeComparison
        Of :func:`neurovis.gaze.gaze_comparison.compare_gaze_models`.
    name : str
        A model of it without a history. A model that knows what people did is asked for the density of the
        same person on the other image.

    Returns
    -------
    OtherImages
        Places are taken relative to the size of their image.

    Raises
    ------
    ValueError
        If the model uses the history, which belongs to one image, or there is one image only.
    """
    model, table = comparison.models[name], comparison.fixations
    stimulus_ids = list(dict.fromkeys(table["stimulus_id"]))
    if uses_history(comparison, name):
        raise ValueError(
            f"model {name!r} must not use the history, which belongs to one image; leave it out, see "
            "uses_history."
        )
    images = np.array([comparison.group_of(key) for key in stimulus_ids], dtype=object)
    if len(set(images)) < 2:
        raise ValueError(f"comparison must hold at least 2 test images, got {len(set(images))}; add some.")
    sizes = np.array([get_size(comparison.load_image(key)) for key in stimulus_ids], dtype=float)
    row_of = {key: row for row, key in enumerate(stimulus_ids)}
    shown = table["stimulus_id"].map(row_of).to_numpy(dtype=int)
    relative = table[["x_px", "y_px"]].to_numpy(dtype=float) / sizes[shown][:, ::-1]
    subjects = table["subject"].to_numpy(dtype=object)
    # Everybody at once, unless the density is one person's.
    people = list(dict.fromkeys(subjects)) if isinstance(model, TrialGazeModel) else [""]
    sums = np.zeros((len(stimulus_ids), len(stimulus_ids), len(EXCHANGED)))
    shuffled = np.zeros(len(table))
    for column, key in enumerate(stimulus_ids):
        image, target = comparison.load_image(key), comparison.load_target(key)
        size = sizes[column][::-1]
        xy = np.minimum(relative * size, np.nextafter(size, 0))
        others = xy[images[shown] != images[column]]
        for subject in people:
            mine = (subjects == subject) if subject else np.ones(len(table), dtype=bool)
            bound = _bind(model, key, str(subject))
            log_density = compute_log_density(bound, image, table.iloc[:0], target=target)
            scores = score_positions(log_density, xy[mine])
            scores[:, 0] = (scores[:, 0] + math.log(size.prod())) / math.log(2)
            np.add.at(sums[:, column], shown[mine], scores)
            own = mine & (shown == column)
            if own.any():
                shuffled[own] = compute_auc(log_density, xy[own], negatives=others)
    scored = pd.DataFrame({"image": images[shown], "shuffled_auc": shuffled})
    return OtherImages(sums, scored, len(table))


def uses_history(comparison: GazeComparison, name: str) -> bool:
    """Whether a model of a comparison predicts from the fixations before, so that no null is defined here."""
    first = comparison.fixations.iloc[0]
    bound = _bind(comparison.models[name], str(first["stimulus_id"]), str(first["subject"]))
    return bool(getattr(bound, "uses_history", True))


def _bind(model: AnyGazeModel, stimulus_id: str, subject: str) -> GazeModel:
    return model.for_trial(stimulus_id, subject) if isinstance(model, TrialGazeModel) else model
