"""How well the next fixation is predicted, given the true ones before it: cIG, cNSS and cAUC.

Kümmerer, Bethge & Wallis (2022) DeepGaze III, Journal of Vision 22(5):7; Yang et al. (2022, 2024; HAT). A map
is asked for each fixation after the first, with the fixations of the person before it, so that the errors of
a model do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.gaze_arrays import check_log_density
from neurovis.metrics.saliency import compute_information_gain, compute_nss
from neurovis.metrics.saliency_auc import compute_auc


def score_next_fixations(
    log_densities: Iterable[ArrayLike], xy_px: ArrayLike, *, baseline: ArrayLike | None = None
) -> pd.DataFrame:
    """Scores of one map per fixation.

    Parameters
    ----------
    log_densities : iterable of array of shape (height, width)
        Natural logarithm of the density of the k-th next fixation; one map at a time is held.
    xy_px : array of shape (n_fixations, 2)
        Where the people looked then, x and y [px].
    baseline : array of shape (height, width), optional
        Log density that the gain is over: the prior of the task from *training* trials, without history;
        uniform by default.

    Returns
    -------
    pandas.DataFrame
        One row per fixation: ``information_gain`` [bits], ``nss`` (of the density, population standard
        deviation) and ``auc`` (negatives: all other pixels). Averages over rows are cIG, cNSS and cAUC.

    Raises
    ------
    ValueError
        If there are more or fewer maps than fixations, a map is not the logarithm of a density, or a fixation
        lies outside.

    Notes
    -----
    HAT integrates the ROC curve of a single fixation over (0, 0), (fp, 1), (1, 1), which makes chance 0.75;
    :func:`convert_auc_to_hat` gives those values.
    """
    xy = check_array("xy_px", xy_px, shape=(None, 2), dtype=float)
    rows = []
    maps = iter(log_densities)
    for number, place in enumerate(xy):
        values = next(maps, None)
        if values is None:
            raise ValueError(f"log_densities must be {len(xy)}, one per fixation, got {number}.")
        log_density = check_log_density(f"log_densities[{number}]", values)
        density = np.exp(log_density)
        own = place[None]
        rows.append(
            (
                compute_information_gain(log_density, own, baseline=baseline).item(),
                compute_nss(density, own).item(),
                compute_auc(density, own, negatives="unfixated").item(),
            )
        )
    if next(maps, None) is not None:
        raise ValueError(f"log_densities must be {len(xy)}, one per fixation, got more.")
    return pd.DataFrame(rows, columns=["information_gain", "nss", "auc"])


def convert_auc_to_hat(auc: ArrayLike) -> NDArray[np.float64]:
    """Areas as HAT reports them for one fixation: ``1 - fp / 2`` instead of ``1 - fp``; chance is 0.75."""
    return (1 + check_array("auc", auc, minimum=0, maximum=1, dtype=float)) / 2
