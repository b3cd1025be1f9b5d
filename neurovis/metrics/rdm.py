"""Representational dissimilarity matrices (RDMs) and how alike two of them are.

An RDM is kept as the vector of its upper triangle, ``n (n - 1) / 2`` pairs in the order of
:func:`scipy.spatial.distance.pdist`; ``scipy.spatial.distance.squareform`` turns it into a matrix and back.
Inference over stimuli and subjects is in :mod:`neurovis.metrics.rsa`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option
from neurovis.metrics.ranks import compute_tau_a, rank_densely, rank_rows
from neurovis.metrics.whitening import whiten_rdms

DISTANCES = ("correlation", "cosine", "euclidean", "squared_euclidean")
WHITENED = {"whitened_cosine": "cosine", "whitened_pearson_r": "pearson_r"}
COMPARISONS = ("pearson_r", "spearman_r", "rho_a", "kendall_tau_a", "cosine", *WHITENED)

_BLOCK = 8192  # pairs at a time


def compute_rdm(patterns: ArrayLike, *, distance: str = "correlation") -> NDArray[np.float64]:
    """Dissimilarity of every pair of response patterns.

    Parameters
    ----------
    patterns : array of shape (n_stimuli, n_neuroids)
        Responses or features; finite, at least two stimuli.
    distance : {"correlation", "cosine", "euclidean", "squared_euclidean"}
        1 - Pearson r over neuroids (in [0, 2]), 1 - cosine (in [0, 2]), the Euclidean distance, or its square
        divided by the number of neuroids.

    Returns
    -------
    array of shape (n_pairs,)
        At least 0.

    Raises
    ------
    ValueError
        If the distance is unknown, or undefined because a pattern is constant (correlation) or zero (cosine).
    """
    check_option("distance", distance, DISTANCES)
    patterns = check_array("patterns", patterns, ndim=2, dtype=np.float64, remedy="drop incomplete neuroids")
    if len(patterns) < 2:
        raise ValueError(f"patterns must have at least 2 stimuli, got {len(patterns)}; add rows.")
    pairs = np.triu_indices(len(patterns), k=1)
    if distance in ("correlation", "cosine"):
        return _compute_angles(patterns, pairs, distance)
    # A common mean changes no difference but costs digits in the expansion of the square.
    centred = patterns - patterns.mean(axis=0)
    squared = _expand_squares(centred @ centred.T)[pairs]
    # The expansion leaves rounding of the lengths between equal patterns.
    energy = (centred**2).sum(axis=1)
    squared[squared < 1e-14 * (energy[pairs[0]] + energy[pairs[1]])] = 0.0
    return np.sqrt(squared) if distance == "euclidean" else squared / patterns.shape[1]


def compute_crossnobis(patterns: ArrayLike, *, precision: ArrayLike | None = None) -> NDArray[np.float64]:
    """Cross-validated squared Mahalanobis distance, whose expectation is 0 between equal patterns.

    The product of the differences of two stimuli in two independent parts of the data, averaged over all
    pairs of parts and divided by the number of neuroids (Walther et al., NeuroImage 2016, eq. 10; Nili et
    al., PLoS Comput Biol 2014).

    Parameters
    ----------
    patterns : array of shape (n_parts, n_stimuli, n_neuroids)
        One pattern per stimulus from each independent part of the data (runs, repeats); at least two parts.
    precision : array of shape (n_neuroids, n_neuroids), optional
        Inverse of the noise covariance; the identity by default.

    Returns
    -------
    array of shape (n_pairs,)
        Any sign; squared units of the patterns.

    Raises
    ------
    ValueError
        If there are fewer than two parts or stimuli, or shapes disagree.
    """
    patterns = check_array("patterns", patterns, ndim=3, dtype=np.float64, remedy="drop incomplete neuroids")
    n_parts, n_stimuli, n_neuroids = patterns.shape
    if n_parts < 2 or n_stimuli < 2:
        raise ValueError(
            f"patterns must have at least 2 independent parts and 2 stimuli, got {n_parts} and {n_stimuli}; "
            "keep runs or repeats apart."
        )
    whitened = patterns
    if precision is not None:
        precision = check_array("precision", precision, shape=(n_neuroids, n_neuroids), dtype=np.float64)
        whitened = patterns @ precision
    # All ordered pairs of different parts: everything with everything, minus each part with itself.
    product = patterns.sum(axis=0) @ whitened.sum(axis=0).T - np.einsum("aip,ajp->ij", patterns, whitened)
    product /= n_parts * (n_parts - 1) * n_neuroids
    return _expand_squares((product + product.T) / 2)[np.triu_indices(n_stimuli, k=1)]


def compare_rdms(
    rdms_a: ArrayLike,
    rdms_b: ArrayLike,
    *,
    comparison: str = "spearman_r",
    covariance: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Similarity of every RDM of one set with every RDM of another.

    Parameters
    ----------
    rdms_a : array of shape (n_a, n_pairs) or (n_pairs,)
        Dissimilarities; finite, the same pairs in the same order in both sets.
    rdms_b : array of shape (n_b, n_pairs) or (n_pairs,)
        The other set.
    comparison : str
        ``"pearson_r"``, ``"spearman_r"``, ``"cosine"``; ``"rho_a"`` is Spearman's coefficient expected under
        random breaking of ties (Schütt et al., eLife 2023); it and ``"kendall_tau_a"`` do not reward models
        that predict ties (Nili et al. 2014). ``"whitened_cosine"`` and ``"whitened_pearson_r"`` allow for
        the correlated errors of pairs that share a stimulus (:mod:`neurovis.metrics.whitening`).
    covariance : array of shape (n_stimuli, n_stimuli), optional
        For whitened comparisons: covariance over stimuli of the errors of the patterns.

    Returns
    -------
    array of shape (n_a, n_b)
        In [-1, 1]; 0 where an RDM is constant (or zero, for the cosines).

    Raises
    ------
    ValueError
        If the comparison is unknown, pairs differ in number or are fewer than two, or a covariance comes with
        a comparison that does not whiten.
    """
    check_option("comparison", comparison, COMPARISONS)
    # These find out in their one pass over the pairs whether all are finite.
    quick = comparison in ("cosine", "pearson_r") and covariance is None
    a, b = (
        check_rdms(name, rdms, finite=not quick) for name, rdms in (("rdms_a", rdms_a), ("rdms_b", rdms_b))
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"rdms_b must have the {a.shape[1]} pairs of rdms_a, got {b.shape[1]}; "
            "compute both on the same stimuli in the same order."
        )
    if comparison == "kendall_tau_a":
        ranked_a, ranked_b = ([rank_densely(rdm) for rdm in rdms] for rdms in (a, b))
        return np.array([[compute_tau_a(one, other) for other in ranked_b] for one in ranked_a])
    same = rdms_a is rdms_b
    if comparison == "spearman_r" and covariance is None:
        a = rank_rows(a)
        b = a if same else rank_rows(b)
        return _compare_rows(a, b, centre=True)
    if quick:
        with np.errstate(invalid="ignore"):
            return _compare_rows(a, b, centre=comparison == "pearson_r")
    vectors_a, scale_a = _make_vectors(a, comparison, covariance)
    vectors_b, scale_b = (vectors_a, scale_a) if same else _make_vectors(b, comparison, covariance)
    return np.clip((vectors_a @ vectors_b.T) * scale_a[:, None] * scale_b, -1.0, 1.0)


def make_units(
    rdms: ArrayLike, *, comparison: str, covariance: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Vectors whose inner products are the similarities of the RDMs.

    Parameters
    ----------
    rdms : array of shape (n, n_pairs)
        Dissimilarities.
    comparison, covariance
        As :func:`compare_rdms`, without ``"kendall_tau_a"``, which is no inner product of short vectors.

    Returns
    -------
    array of shape (n, n_pairs), or (n, n_stimuli ** 2) for whitened comparisons
        0 throughout for an RDM without variance (cosines: without length).

    Raises
    ------
    ValueError
        As :func:`compare_rdms`.
    """
    check_option("comparison", comparison, [name for name in COMPARISONS if name != "kendall_tau_a"])
    vectors, scale = _make_vectors(check_rdms("rdms", rdms), comparison, covariance)
    return vectors * scale[:, None]


def scale_ranks(ranks: NDArray[np.float64], comparison: str) -> NDArray[np.float64]:
    """Ranks as vectors whose inner products are the comparison.

    Parameters
    ----------
    ranks : array of shape (n, n_pairs)
        From :func:`neurovis.metrics.ranks.rank_rows`.
    comparison : {"spearman_r", "rho_a"}
        Which one.
    """
    vectors, scale = _scale_ranks(ranks, comparison)
    return vectors * scale[:, None]


def check_rdms(parameter: str, rdms: ArrayLike, *, finite: bool = True) -> NDArray[np.float64]:
    """Return RDMs as a float64 array ``(n, n_pairs)``; one vector becomes one row.

    Parameters
    ----------
    parameter : str
        Name of the parameter, as the caller wrote it.
    rdms : array of shape (n, n_pairs) or (n_pairs,)
        What came.
    finite : bool
        Refuse NaN and infinity.

    Raises
    ------
    ValueError
        If a value is not finite or there are fewer than three pairs.
    """
    pairs = np.atleast_2d(check_array(parameter, rdms, ndim=(1, 2), finite=False, dtype=np.float64))
    if finite and not np.isfinite(pairs.sum()):
        check_array(parameter, pairs)
    if pairs.shape[1] < 3:
        raise ValueError(
            f"{parameter} must have at least 3 pairs (3 stimuli), got {pairs.shape[1]}; "
            "pass upper triangles as from compute_rdm, not square matrices."
        )
    return pairs


def _compare_rows(a: NDArray[np.float64], b: NDArray[np.float64], *, centre: bool) -> NDArray[np.float64]:
    """Cosine (Pearson r if centred) of every row of one set with every row of another.

    One pass in blocks that stay in cache, since reading the pairs costs more than the arithmetic.
    """
    means = [rows.mean(axis=1) if centre else np.zeros(len(rows)) for rows in (a, b)]
    products, squares = np.zeros((len(a), len(b))), [np.zeros(len(a)), np.zeros(len(b))]
    for start in range(0, a.shape[1], _BLOCK):
        parts = [rows[:, start : start + _BLOCK] for rows in (a, b)]
        if centre:
            parts = [part - mean[:, None] for part, mean in zip(parts, means, strict=True)]
        products += parts[0] @ parts[1].T
        squares = [
            square + np.einsum("ij,ij->i", part, part) for square, part in zip(squares, parts, strict=True)
        ]
    for name, rows, square in (("rdms_a", a, squares[0]), ("rdms_b", b, squares[1])):
        if not np.isfinite(square).all():
            check_array(name, rows)
    scales = [
        _invert(np.sqrt(square), _find_limit(mean, a.shape[1]))
        for square, mean in zip(squares, means, strict=True)
    ]
    return np.clip(products * scales[0][:, None] * scales[1], -1.0, 1.0)


def _make_vectors(
    rdms: NDArray[np.float64], comparison: str, covariance: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vectors and a factor for each, so that only their few inner products need to be scaled."""
    if comparison in WHITENED:
        if WHITENED[comparison] == "pearson_r":
            vectors, scale = _centre_rows(rdms)
            rdms = np.where(scale[:, None] > 0, vectors, 0.0)
        vectors = whiten_rdms(rdms, covariance=covariance)
        return vectors, _invert_lengths(vectors)
    if covariance is not None:
        raise ValueError(f"comparison must whiten to use a covariance, got {comparison!r}; leave it out.")
    if comparison == "cosine":
        return rdms, _invert_lengths(rdms)
    if comparison == "pearson_r":
        return _centre_rows(rdms)
    return _scale_ranks(rank_rows(rdms), comparison)


def _scale_ranks(
    ranks: NDArray[np.float64], comparison: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if comparison == "spearman_r":
        return _centre_rows(ranks)
    n = ranks.shape[1]
    return ranks - (n + 1) / 2, np.full(len(ranks), np.sqrt(12 / (float(n) ** 3 - n)))


def _centre_rows(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows without their mean and the inverse of their lengths, 0 for a constant row."""
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    return centred, _invert_lengths(centred, _find_limit(mean, values.shape[1]))


def _find_limit(mean: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Length that rounding leaves of a constant row after its mean is taken out."""
    return 4 * np.finfo(np.float64).eps * np.sqrt(n) * np.abs(mean)


def _invert_lengths(rows: NDArray[np.float64], limit: float | NDArray = 0.0) -> NDArray[np.float64]:
    return _invert(np.sqrt(np.einsum("ij,ij->i", rows, rows)), limit)


def _invert(length: NDArray[np.float64], limit: float | NDArray) -> NDArray[np.float64]:
    return np.divide(1.0, length, out=np.zeros_like(length), where=length > limit)


def scale_to_unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1; rows of zeros stay as they are."""
    return rows * _invert_lengths(rows)[:, None]


def _compute_angles(
    patterns: NDArray[np.float64], pairs: tuple[NDArray, NDArray], distance: str
) -> NDArray[np.float64]:
    """One minus the cosine of every pair, of centred patterns for ``"correlation"``."""
    vectors, scale = (
        _centre_rows(patterns) if distance == "correlation" else (patterns, _invert_lengths(patterns))
    )
    undefined = np.flatnonzero(scale == 0)
    if len(undefined):
        what = "constant over neuroids" if distance == "correlation" else "zero"
        raise ValueError(
            f"patterns must vary for the {distance} distance, got {len(undefined)} {what}, the first is "
            f"row {undefined[0]}; drop those stimuli or use distance='euclidean'."
        )
    products = vectors @ vectors.T
    products *= scale
    products *= scale[:, None]
    return np.clip(1 - products[pairs], 0.0, 2.0)


def _expand_squares(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """``|a|^2 + |b|^2 - 2 ab`` of every pair from the matrix of inner products."""
    own = np.diagonal(products)
    return own[:, None] + own - 2 * products
