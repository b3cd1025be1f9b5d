"""Which voxels may be captioned, and the control that a caption must beat.

Every weight vector gives a fluent sentence, also that of a voxel without signal. A caption counts where the
encoder predicts the voxel relative to its noise ceiling and where disjoint banks lead to the same place.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, make_rng

MIN_CEILED = 0.4
MIN_AGREEMENT = 0.9


def gate_voxels(
    accuracy: ArrayLike,
    ceiling: ArrayLike,
    agreement: ArrayLike | None = None,
    *,
    min_ceiled: float = MIN_CEILED,
    min_agreement: float = MIN_AGREEMENT,
) -> pd.DataFrame:
    """Voxels whose captions may be interpreted.

    Parameters
    ----------
    accuracy : array of shape (n_voxels,)
        Held-out score of the encoder; NaN fails.
    ceiling : array of shape (n_voxels,)
        Noise ceiling in the same metric; a ceiling of 0 or NaN fails.
    agreement : array of shape (n_voxels,), optional
        Cosine across disjoint banks, from
        :func:`neurovis.captioning.projection.compute_repeat_agreement`.
    min_ceiled : float
        Smallest accuracy divided by ceiling.
    min_agreement : float
        Smallest agreement.

    Returns
    -------
    pandas.DataFrame
        One row per voxel: ``ceiled``, ``agreement`` (NaN if not given), ``passed`` and ``reason``: "" or the
        first that fails of "no ceiling", "accuracy", "agreement".

    Raises
    ------
    ValueError
        If lengths differ.
    """
    accuracy = check_array("accuracy", accuracy, ndim=1, finite=False, dtype=np.float64)
    shape = accuracy.shape
    ceiling = check_array("ceiling", ceiling, shape=shape, finite=False, dtype=np.float64)
    known = ceiling > 0
    ceiled = np.divide(accuracy, ceiling, out=np.full(shape, np.nan), where=known)
    reason = np.where(ceiled >= min_ceiled, "", "accuracy").astype(object)
    reason[~known] = "no ceiling"
    agrees = np.full(shape, np.nan)
    if agreement is not None:
        agrees = check_array("agreement", agreement, shape=shape, finite=False, dtype=np.float64)
        reason[(reason == "") & ~(agrees >= min_agreement)] = "agreement"
    return pd.DataFrame({"ceiled": ceiled, "agreement": agrees, "passed": reason == "", "reason": reason})


def permute_weights(weights: ArrayLike, *, seed: int = 0) -> NDArray[np.float64]:
    """Control weights: the entries of each voxel's vector in another random order.

    Parameters
    ----------
    weights : array of shape (n_voxels, d)
        Encoder weights.
    seed : int
        Seed of the orders.

    Returns
    -------
    array of shape (n_voxels, d)
        Same entries, and so the same norm, in a direction that says nothing about the voxel. Projections of
        these are natural embeddings and their captions fluent: what selectivity must be compared with.
    """
    weights = check_array("weights", weights, ndim=2, dtype=np.float64)
    return make_rng(seed, "permuted weights").permuted(weights, axis=1)
