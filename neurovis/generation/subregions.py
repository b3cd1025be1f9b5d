"""Subdivisions of a region: clusters of neuroids by what their encoder weights prefer, over all subjects.

Luo et al. (2023, arXiv 2306.03089, section 4.4) part the food region and OPA by k-means on the encoders'
weights, and guide image synthesis for each part by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from neurovis.core import check_array, make_rng

_N_STARTS = 10


@dataclass(frozen=True)
class Subregions:
    """Clusters of neuroids.

    Parameters
    ----------
    labels : dict of str to int array of shape (n_neuroids,)
        Cluster of each neuroid of each subject, from 0 by falling number of neuroids over all subjects.
    centres : array of shape (n_clusters, n_features)
        Mean unit-normalised weights of each cluster (with a covariance, of the weights times its root).
    silhouette : float
        Mean silhouette of all neuroids (Euclidean, of what was clustered), in [-1, 1].
    stability : float
        Mean adjusted Rand index between clusterings of all neuroids by centres that were fitted to random
        halves of them; 1 is the same parts every time, 0 chance.
    """

    labels: dict[str, NDArray[np.int64]]
    centres: NDArray[np.float64]
    silhouette: float
    stability: float


def find_subregions(
    weights: Mapping[str, ArrayLike],
    *,
    n_clusters: int = 2,
    covariance: ArrayLike | None = None,
    n_halves: int = 10,
    seed: int = 0,
) -> Subregions:
    """Cluster the neuroids of a region by their encoder weights, jointly over subjects.

    Parameters
    ----------
    weights : mapping of str to array of shape (n_neuroids, n_features)
        Weights of each subject's encoder in the region, one row per neuroid (``coef_.T`` of a ridge); the
        same features for all.
    n_clusters : int
        Parts to find.
    covariance : array of shape (n_features, n_features), optional
        Of the features over stimuli. With it neuroids are compared by their predicted responses to these
        stimuli, ``w' C w`` in the place of ``w' w``; without it by their weights, as in the paper.
    n_halves : int
        Random halves of the neuroids for the stability.
    seed : int
        Of the starts and the halves.

    Returns
    -------
    Subregions

    Raises
    ------
    ValueError
        If features differ between subjects, a neuroid's weights are all zero, there are too few neuroids, or
        a number is out of range.

    Notes
    -----
    Weights are divided by their norm: a neuroid's preference counts, not its gain or noise. Clusters are
    found in whatever is given; compare silhouette and stability with those of :func:`shuffle_weights`. Leave
    out neuroids that the encoder does not predict: those with a signal and those without one are the first
    two clusters.

    With noisy data the paper's weights are a poor measure, since directions in which features hardly vary
    are estimated worst and count as much as any other; the covariance weighs them by what they do to the
    responses. But it also weighs a small preference for large things above a large one for small things.
    """
    root = None if covariance is None else _take_root(covariance)
    rows = {subject: _normalise(subject, part, root) for subject, part in weights.items()}
    widths = {part.shape[1] for part in rows.values()}
    if len(widths) != 1:
        raise ValueError(
            f"weights must have the same features for all subjects, got {sorted(widths) or 'no subject'}; "
            "fit the encoders to one feature space."
        )
    joined = np.concatenate(list(rows.values()))
    if not 2 <= n_clusters <= len(joined) // 4:
        raise ValueError(
            f"n_clusters must be between 2 and a quarter of the {len(joined)} neuroids, got {n_clusters}."
        )
    if n_halves < 2:
        raise ValueError(f"n_halves must be at least 2, got {n_halves}; pass for example 10.")
    model = _fit(joined, n_clusters, seed, "all")
    order = np.argsort(-np.bincount(model.labels_, minlength=n_clusters), kind="stable")
    labels = np.argsort(order)[model.labels_]
    halves = []
    for number in range(n_halves):
        half = make_rng(seed, "half", number).permutation(len(joined))[: len(joined) // 2]
        halves.append(_fit(joined[half], n_clusters, seed, number).predict(joined))
    stability = np.mean([adjusted_rand_score(one, other) for one, other in combinations(halves, 2)])
    ends = np.cumsum([len(part) for part in rows.values()])[:-1]
    return Subregions(
        dict(zip(rows, np.split(labels.astype(np.int64), ends), strict=True)),
        model.cluster_centers_[order].astype(np.float64),
        float(silhouette_score(joined, labels)),
        float(stability),
    )


def shuffle_weights(weights: Mapping[str, ArrayLike], *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Control without clusters: every feature's weights in another random order over a subject's neuroids.

    Parameters
    ----------
    weights : mapping of str to array of shape (n_neuroids, n_features)
        As for :func:`find_subregions`.
    seed : int
        Of the orders.

    Returns
    -------
    dict of str to array of shape (n_neuroids, n_features)
        Each feature keeps its distribution in each subject, and loses its relation to the others.
    """
    return {
        subject: make_rng(seed, "shuffle", subject).permuted(
            check_array(f"weights of {subject!r}", part, ndim=2, dtype=np.float64), axis=0
        )
        for subject, part in weights.items()
    }


def _take_root(covariance: ArrayLike) -> NDArray[np.float64]:
    """Symmetric root R of C, so that rows w R have the inner products w' C w."""
    matrix = check_array("covariance", covariance, ndim=2, dtype=np.float64)
    if matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T):
        raise ValueError(f"covariance must be square and symmetric, got shape {matrix.shape}.")
    variance, axes = np.linalg.eigh(matrix)
    return (axes * np.sqrt(np.maximum(variance, 0.0))) @ axes.T


def _normalise(subject: str, weights: ArrayLike, root: NDArray | None) -> NDArray[np.float64]:
    rows = check_array(
        f"weights of {subject!r}",
        weights,
        shape=(None, None if root is None else len(root)),
        dtype=np.float64,
    )
    rows = rows if root is None else rows @ root
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    if not len(rows) or (norm == 0).any():
        raise ValueError(
            f"weights of {subject!r} must hold neuroids with weights, got {int((norm == 0).sum())} of "
            f"{len(rows)} that are all zero; leave those out."
        )
    return rows / norm


def _fit(rows: NDArray, n_clusters: int, seed: int, purpose: str | int) -> KMeans:
    state = int(make_rng(seed, "k-means", purpose).integers(2**31))
    return KMeans(n_clusters, n_init=_N_STARTS, random_state=state).fit(rows)
