"""Maps on a mesh tested as maps: cluster mass and threshold-free cluster enhancement (TFCE).

Both measures let neighbours support each other, and the largest value of every null map controls the
family-wise error over all vertices (Nichols & Holmes, Hum Brain Mapp 2002). Null maps come from
:func:`neurovis.metrics.significance.compute_permutation_null` (one subject: which row is which) or from sign
flips over subjects (:func:`compute_one_sample_clusters`).

Connected components are those of scipy. ``mne.stats`` 1.12 gives the same clusters, but it takes no null maps
from elsewhere, and its TFCE raises the height of a step instead of that of the threshold to the power H (mne
issue 14224), which leaves peaks without their weight.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from neurovis.core import check_array
from neurovis.metrics.one_sample import compute_t, draw_signs
from neurovis.metrics.significance import compute_p_value

_N_STEPS = 50
_POWERS = (0.5, 2.0)  # E and H of the paper


@dataclass(frozen=True)
class ClusterTest:
    """A map with its clusters and family-wise p-values.

    Parameters
    ----------
    observed : array of shape (k,)
        The map that was tested.
    enhanced : array of shape (k,)
        TFCE of every vertex, or the mass of the cluster that it lies in (0 outside), with the map's sign.
    p_value : array of shape (k,)
        Corrected over all vertices by the largest absolute enhanced value of each null map; 1 outside
        clusters.
    cluster : array of int of shape (k,)
        Number of the cluster, from 1 by falling mass; 0 outside. With TFCE, the connected sets of vertices
        with p at or below 0.05 and one sign.
    """

    observed: NDArray[np.float64]
    enhanced: NDArray[np.float64]
    p_value: NDArray[np.float64]
    cluster: NDArray[np.int64]


def make_adjacency(faces: ArrayLike, n_vertices: int) -> sparse.csr_matrix:
    """Which vertices of a mesh share an edge.

    Parameters
    ----------
    faces : array of int of shape (n_faces, 3)
        Corners of every triangle. Two hemispheres: add the number of left vertices to the right faces and
        stack them.
    n_vertices : int
        Vertices of the mesh.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n_vertices, n_vertices)
        Symmetric, ones without a diagonal.

    Raises
    ------
    ValueError
        If a corner is not a vertex.
    """
    corners = check_array("faces", faces, shape=(None, 3), minimum=0, maximum=n_vertices - 1, dtype=np.int64)
    ends = corners[:, [0, 1, 2]].ravel(), corners[:, [1, 2, 0]].ravel()
    edges = sparse.coo_matrix((np.ones(corners.size), ends), shape=(n_vertices, n_vertices)).tocsr()
    return ((edges + edges.T) > 0).astype(np.float64)


def find_clusters(
    scores: ArrayLike, adjacency: sparse.spmatrix, *, threshold: float, areas: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Connected sets of vertices beyond a threshold, positive and negative ones apart.

    Parameters
    ----------
    scores : array of shape (k,)
        A map of a statistic whose null is centred on 0.
    adjacency : sparse matrix of shape (k, k)
        From :func:`make_adjacency`; cut rows and columns to test a part of the mesh.
    threshold : float
        Cluster-forming, above 0, in the unit of the scores; fixed before looking at them.
    areas : array of shape (k,), optional
        Area of each vertex; 1 by default.

    Returns
    -------
    cluster : array of int of shape (k,)
        1, 2, ... by falling size of the mass, 0 outside.
    mass : array of shape (n_clusters,)
        Sum of scores times areas, signed.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite or the threshold is not positive.
    """
    scores, edges, areas = _check_map(scores, adjacency, areas)
    _check_threshold(threshold)
    return _label(scores, edges, areas, threshold)


def compute_tfce(
    scores: ArrayLike,
    adjacency: sparse.spmatrix,
    *,
    step: float | None = None,
    extent_power: float = 0.5,
    height_power: float = 2.0,
    areas: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Threshold-free cluster enhancement: what all cluster-forming thresholds together give a vertex.

    The sum over thresholds h below the score of ``extent(h)**E * h**H * step``, with the extent of the
    connected set that holds the vertex at h (Smith & Nichols, NeuroImage 2009, eq. 1).

    Parameters
    ----------
    scores : array of shape (k,)
        A map of a statistic whose null is centred on 0; negative scores are enhanced apart, with their sign.
    adjacency, areas
        As :func:`find_clusters`; without areas the extent is a number of vertices.
    step : float, optional
        Between thresholds, in the unit of the scores; the largest absolute score / 50 by default. Maps that
        are compared need one step.
    extent_power, height_power : float
        E and H; 0.5 and 2 are those of the paper.

    Returns
    -------
    array of shape (k,)

    Raises
    ------
    ValueError
        As :func:`find_clusters`, or if the step is not positive.
    """
    scores, edges, areas = _check_map(scores, adjacency, areas)
    powers = (extent_power, height_power)
    return _enhance_both(scores, edges, areas, _choose_step(scores, step), powers)


def compute_cluster_test(
    observed: ArrayLike,
    null: Iterable[ArrayLike],
    adjacency: sparse.spmatrix,
    *,
    threshold: float | None = None,
    step: float | None = None,
    areas: ArrayLike | None = None,
) -> ClusterTest:
    """Test a map against null maps by its clusters, or without a threshold by TFCE.

    Parameters
    ----------
    observed : array of shape (k,)
        A map of a statistic whose null is centred on 0: a correlation, a t value, a difference of scores.
    null : iterable of arrays of shape (k,)
        The map under each permutation, the same permutation for all vertices; may be a generator.
    adjacency, areas
        As :func:`find_clusters`.
    threshold : float, optional
        Cluster-forming threshold for cluster mass; TFCE if left out.
    step : float, optional
        Of TFCE; as :func:`compute_tfce` from the observed map.

    Returns
    -------
    ClusterTest
        Both signs are tested; p is two-sided.

    Raises
    ------
    ValueError
        As :func:`find_clusters`, or if there is no null map.

    Notes
    -----
    A small p of a cluster says that there is an effect in it, not that there is one in each of its vertices;
    a small p of TFCE belongs to the vertex.
    """
    scores, edges, areas = _check_map(observed, adjacency, areas)
    if threshold is not None and step is not None:
        raise ValueError("step must not come with a threshold, got both; a threshold asks for cluster mass.")
    chosen = _choose_step(scores, step)
    if threshold is not None:
        _check_threshold(threshold)

    def measure(values: NDArray) -> NDArray[np.float64]:
        if threshold is None:
            return _enhance_both(values, edges, areas, chosen, _POWERS)
        number, mass = _label(values, edges, areas, threshold)
        return np.append(0.0, mass)[number]

    enhanced = measure(scores)
    largest = []
    for values in null:
        permuted = check_array("null", values, shape=scores.shape, dtype=np.float64)
        largest.append(np.abs(measure(permuted)).max(initial=0.0))
    p_value = np.where(enhanced == 0, 1.0, compute_p_value(np.abs(enhanced), np.array(largest)))
    if threshold is None:
        cluster, _ = _label(np.where(p_value <= 0.05, enhanced, 0.0), edges, areas, 0.0)
    else:
        cluster, _ = _label(scores, edges, areas, threshold)
    return ClusterTest(scores, enhanced, p_value, cluster)


def compute_one_sample_clusters(
    values: ArrayLike,
    adjacency: sparse.spmatrix,
    *,
    threshold: float | None = None,
    step: float | None = None,
    areas: ArrayLike | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> ClusterTest:
    """Test over subjects whether a map differs from 0, by flipping the signs of whole subjects.

    Parameters
    ----------
    values : array of shape (n_subjects, k)
        One map per subject whose null is symmetric around 0, such as a difference between two models.
    adjacency, threshold, step, areas
        As :func:`compute_cluster_test`, for the one-sample t of each vertex.
    n_permutations, seed : int
        Sign flips; all of them where there are no more than this.

    Returns
    -------
    ClusterTest
        ``observed`` holds the t values.

    Raises
    ------
    ValueError
        As :func:`compute_cluster_test`, or with fewer than two subjects.
    """
    values = check_array("values", values, ndim=2, dtype=np.float64, remedy="drop incomplete vertices")
    signs = draw_signs(len(values), n_permutations, seed=seed)
    null = (compute_t(values, own[None])[0] for own in signs)
    observed = compute_t(values, np.ones((1, len(values))))[0]
    return compute_cluster_test(observed, null, adjacency, threshold=threshold, step=step, areas=areas)


def _check_map(
    scores: ArrayLike, adjacency: sparse.spmatrix, areas: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """The map, the edges of the mesh once each (2, n_edges), and the areas."""
    scores = check_array("scores", scores, ndim=1, dtype=np.float64, remedy="leave those vertices out")
    if adjacency.shape != (len(scores), len(scores)):
        raise ValueError(
            f"adjacency must have shape ({len(scores)}, {len(scores)}), got {adjacency.shape}; "
            "select the same vertices in both."
        )
    upper = sparse.triu(adjacency, k=1).tocoo()
    if areas is None:
        areas = np.ones(len(scores))
    areas = check_array("areas", areas, shape=scores.shape, minimum=0, dtype=np.float64)
    return scores, np.stack([upper.row, upper.col]).astype(np.intp), areas


def _check_threshold(threshold: float) -> None:
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, got {threshold}; it holds for both signs.")


def _choose_step(scores: NDArray[np.float64], step: float | None) -> float:
    if step is None:
        return float(np.abs(scores).max(initial=0.0)) / _N_STEPS or 1.0
    if not step > 0:
        raise ValueError(f"step must be above 0, got {step}; use about a fiftieth of the largest score.")
    return step


def _label(
    scores: NDArray[np.float64], edges: NDArray[np.intp], areas: NDArray[np.float64], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    sign = np.where(np.abs(scores) > threshold, np.sign(scores), 0)
    first, second = edges
    joined = (sign[first] != 0) & (sign[first] == sign[second])
    _, label = _join(len(scores), first[joined], second[joined])
    inside = sign != 0
    names, number = np.unique(label[inside], return_inverse=True)
    mass = np.bincount(number, weights=(scores * areas)[inside], minlength=len(names)).astype(np.float64)
    order = np.argsort(-np.abs(mass), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    cluster = np.zeros(len(scores), dtype=np.int64)
    cluster[inside] = rank[number]
    return cluster, mass[order]


def _enhance_both(
    scores: NDArray[np.float64],
    edges: NDArray[np.intp],
    areas: NDArray[np.float64],
    step: float,
    powers: tuple[float, float],
) -> NDArray[np.float64]:
    return _enhance(scores, edges, areas, step, powers) - _enhance(-scores, edges, areas, step, powers)


def _enhance(
    scores: NDArray[np.float64],
    edges: NDArray[np.intp],
    areas: NDArray[np.float64],
    step: float,
    powers: tuple[float, float],
) -> NDArray[np.float64]:
    """TFCE of the positive part, from the highest threshold down, so that sets only ever grow."""
    enhanced = np.zeros(len(scores))
    member = np.flatnonzero(scores > step)
    if not len(member):
        return enhanced
    place = np.full(len(scores), -1)
    place[member] = np.arange(len(member))
    own, first, second = scores[member], *place[edges]
    both = (first >= 0) & (second >= 0)
    first, second = first[both], second[both]
    # An edge is there while both of its ends are above the threshold.
    weight = np.minimum(own[first], own[second])
    order = np.argsort(-weight)
    first, second, weight = first[order], second[order], weight[order]
    label, n_sets, n_used = np.arange(len(member)), len(member), 0
    extent, total = areas[member], np.zeros(len(member))
    for height in step * np.arange(int(np.ceil(own.max() / step)) - 1, 0, -1):
        n_now = int(np.searchsorted(-weight, -height, side="left"))
        if n_now > n_used:
            new = slice(n_used, n_now)
            n_sets, merged = _join(n_sets, label[first[new]], label[second[new]])
            label, n_used = merged[label], n_now
            extent = np.bincount(merged, weights=extent, minlength=n_sets).astype(np.float64)
        above = own > height
        total[above] += extent[label[above]] ** powers[0] * height ** powers[1] * step
    enhanced[member] = total
    return enhanced


def _join(n: int, first: NDArray[np.intp], second: NDArray[np.intp]) -> tuple[int, NDArray[np.int64]]:
    edges = sparse.coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(n, n))
    n_sets, label = connected_components(edges, directed=False)
    return int(n_sets), label.astype(np.int64)
