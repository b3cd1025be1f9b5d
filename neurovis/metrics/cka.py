"""Centred kernel alignment (CKA) of two sets of patterns of the same stimuli.

Linear CKA is the squared length of the cross-covariance of features and responses over the lengths of their
own covariances (Kornblith et al., ICML 2019, eq. 3). It is the cosine of centred Gram matrices, and thereby
the whitened cosine of squared Euclidean RDMs (:mod:`neurovis.metrics.whitening`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array


def compute_cka(a: ArrayLike, b: ArrayLike, *, debiased: bool = True) -> float:
    """Linear CKA of two sets of patterns.

    Parameters
    ----------
    a : array of shape (n_stimuli, n_features)
        Patterns; finite.
    b : array of shape (n_stimuli, n_neuroids)
        Patterns of the same stimuli in the same order.
    debiased : bool
        Use the unbiased estimate of every inner product (Song et al., JMLR 2012, eq. 5), so that unrelated
        patterns give 0 on average. The plain value grows towards 1 with the number of features per stimulus.

    Returns
    -------
    float
        Plain: in [0, 1]. Debiased: in [-1, 1], below 0 by chance only.

    Raises
    ------
    ValueError
        If the numbers of stimuli differ, there are fewer than three (four debiased), a value is not finite,
        a set of patterns is constant over stimuli, or (debiased) all stimuli are equally far apart.

    Notes
    -----
    Invariant to rotations, an offset and a common scale of each set, not to other linear maps. The debiased
    value divides by the root of two unbiased estimates, and is itself not quite unbiased in small sets.
    """
    grams = [_make_gram("a", a, debiased), _make_gram("b", b, debiased)]
    if grams[0].shape != grams[1].shape:
        raise ValueError(
            f"b must have the {len(grams[0])} stimuli of a, got {len(grams[1])}; align both by stimulus_id."
        )
    return _align(*grams)


def compute_gram_cka(a: ArrayLike, b: ArrayLike, *, debiased: bool = True) -> float:
    """CKA of two kernel matrices, for kernels that are not linear.

    Parameters
    ----------
    a, b : array of shape (n_stimuli, n_stimuli)
        Symmetric kernel matrices of the same stimuli; they are centred here.
    debiased : bool
        As :func:`compute_cka`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If a matrix is not symmetric, the shapes differ, or a matrix holds no structure, as in
        :func:`compute_cka`.
    """
    first = check_array("a", a, ndim=2, dtype=np.float64)
    second = check_array("b", b, shape=first.shape, dtype=np.float64)
    for name, gram in (("a", first), ("b", second)):
        if gram.shape[0] != gram.shape[1] or not np.allclose(gram, gram.T):
            raise ValueError(f"{name} must be a symmetric matrix, got shape {gram.shape}; pass kernels.")
    _check_number(len(first), debiased)
    return _align(*(_centre(name, gram, debiased) for name, gram in (("a", first), ("b", second))))


def _make_gram(name: str, patterns: ArrayLike, debiased: bool) -> NDArray[np.float64]:
    values = check_array(name, patterns, ndim=2, dtype=np.float64, remedy="drop incomplete columns")
    _check_number(len(values), debiased)
    values = values - values.mean(axis=0)
    if not np.ptp(values, axis=0).any():
        raise ValueError(f"{name} must vary over stimuli, got equal patterns; check the features.")
    return _centre(name, values @ values.T, debiased)


def _check_number(n: int, debiased: bool) -> None:
    least = 4 if debiased else 3
    if n < least:
        raise ValueError(f"a and b must have at least {least} stimuli, got {n}; add stimuli.")


def _centre(name: str, gram: NDArray[np.float64], debiased: bool) -> NDArray[np.float64]:
    if debiased:
        centred = _take_out_bias(gram)
    else:
        rows = gram.mean(axis=0)
        centred = gram - rows - rows[:, None] + rows.mean()
    # The ratio of what rounding leaves would be any number.
    if np.abs(centred).max() <= 1e-12 * np.abs(gram).max():
        raise ValueError(
            f"{name} must tell stimuli apart by their distances, got ones that are all equally far apart; "
            "check the features."
        )
    return centred


def _take_out_bias(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """The U-centred matrix: no diagonal, and rows whose other entries sum to 0 (Székely & Rizzo 2014)."""
    n = len(gram)
    bare = gram - np.diag(np.diagonal(gram))
    rows = bare.sum(axis=0) / (n - 2)
    centred = bare - rows - rows[:, None] + bare.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    return centred


def _align(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b)))
