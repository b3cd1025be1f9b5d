"""Subdivisions that were found in a region: against the planted ones, and what each of them prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from neurovis.core import check_array, make_rng
from neurovis.metrics.significance import compute_p_value


def score_subregions(
    labels: Mapping[str, ArrayLike],
    planted: Mapping[str, ArrayLike],
    *,
    n_permutations: int = 500,
    n_bootstraps: int = 500,
    seed: int = 0,
) -> dict[str, float]:
    """Likeness of clusters to the parts that were planted.

    Parameters
    ----------
    labels : mapping of str to int array of shape (n_neuroids,)
        Clusters by subject, as of :func:`neurovis.generation.subregions.find_subregions`.
    planted : mapping of str to array of str of shape (n_neuroids,)
        True part of the same neuroids; "" for a neuroid of none, which is left out.
    n_permutations : int
        Exchanges of the true parts within each subject, which keep how large they are.
    n_bootstraps : int
        Resamples of each subject's neuroids.
    seed : int
        Of both.

    Returns
    -------
    dict
        ``n`` (neuroids); ``ari``, the adjusted Rand index (Hubert & Arabie 1985) over all subjects together,
        1 for the same parts and 0 by chance; ``ari_low, ari_high`` (95 %, percentiles); ``ari_null``, the
        95th percentile of the exchanged parts; ``p_value``; and ``agreement``, the share of neuroids in the
        right part where each cluster stands for one, as well as they can be matched.

    Raises
    ------
    ValueError
        If subjects or lengths differ, or fewer than two parts are known.

    Notes
    -----
    The intervals say how the neuroids vary with the clusters as they are; neighbours share noise, so true
    intervals are wider.
    """
    if list(labels) != list(planted):
        raise ValueError(f"labels and planted must hold the same subjects, got {[*labels]} and {[*planted]}.")
    found, true = [], []
    for subject, part in labels.items():
        own = check_array(f"labels of {subject!r}", part, ndim=1)
        known = np.asarray(planted[subject]).astype(str)
        if known.shape != own.shape:
            raise ValueError(
                f"planted of {subject!r} must name a part for each of {len(own)} neuroids, got {known.shape}."
            )
        found.append(own[known != ""])
        true.append(known[known != ""])
    joined, parts = np.concatenate(found), np.concatenate(true)
    if len(np.unique(parts)) < 2:
        raise ValueError(f"planted must hold at least 2 parts, got {np.unique(parts).tolist()}.")
    rng = make_rng(seed, "subregions")
    value = float(adjusted_rand_score(parts, joined))
    null = [
        adjusted_rand_score(np.concatenate([rng.permutation(part) for part in true]), joined)
        for _ in range(n_permutations)
    ]
    drawn = []
    for _ in range(n_bootstraps):
        rows = [rng.integers(len(part), size=len(part)) for part in true]
        drawn.append(
            adjusted_rand_score(
                np.concatenate([part[row] for part, row in zip(true, rows, strict=True)]),
                np.concatenate([part[row] for part, row in zip(found, rows, strict=True)]),
            )
        )
    low, high = np.quantile(drawn, [0.025, 0.975])
    counts = contingency_matrix(parts, joined)
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return {
        "n": len(parts), "ari": value, "ari_low": float(low), "ari_high": float(high),
        "ari_null": float(np.quantile(null, 0.95)), "p_value": float(compute_p_value(value, null)[0]),
        "agreement": float(matched / len(parts)),
    }  # fmt: skip


def rank_images(
    responses: Mapping[str, ArrayLike], labels: Mapping[str, ArrayLike], stimulus_ids: Sequence[str]
) -> pd.DataFrame:
    """Mean response of each cluster to each image, over the neuroids of all subjects.

    Parameters
    ----------
    responses : mapping of str to array of shape (n_images, n_neuroids)
        Predicted responses of a region's neuroids by subject.
    labels : mapping of str to int array of shape (n_neuroids,)
        Their clusters.
    stimulus_ids : sequence of str of length n_images
        Images.

    Returns
    -------
    pandas.DataFrame
        One row per cluster and image: ``cluster``, ``stimulus_id``, ``response`` and ``difference``, the
        response minus the mean of the other clusters'; by cluster and falling difference.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    clusters = np.concatenate(
        [check_array(f"labels of {subject!r}", part, ndim=1) for subject, part in labels.items()]
    )
    shape = [(len(stimulus_ids), len(np.asarray(labels[subject]))) for subject in labels]
    values = np.concatenate(
        [
            check_array(f"responses of {subject!r}", responses[subject], shape=wanted, dtype=np.float64)
            for subject, wanted in zip(labels, shape, strict=True)
        ],
        axis=1,
    )
    names = np.unique(clusters)
    means = np.stack([values[:, clusters == name].mean(axis=1) for name in names])
    rows = []
    for number, name in enumerate(names):
        difference = means[number] - np.delete(means, number, axis=0).mean(axis=0)
        table = pd.DataFrame(
            {
                "cluster": name, "stimulus_id": list(stimulus_ids), "response": means[number],
                "difference": difference,
            }
        )  # fmt: skip
        rows.append(table.sort_values("difference", ascending=False, kind="stable"))
    return pd.concat(rows, ignore_index=True)
