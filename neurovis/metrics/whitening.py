"""RDMs in the space where the errors of their entries are independent.

Dissimilarities that share a stimulus have correlated errors. If the errors of the patterns have covariance
``S`` over stimuli, those of two squared distances covary as ``V[p, q] = (c_p' S c_q)**2`` with the contrasts
``c`` of the two pairs (Diedrichsen et al., Neurons, Behavior, Data Analysis & Theory 2021, eq. 14). The inner
product under the inverse of V is one of second-moment matrices: with ``J`` the centring matrix,
``G = -J D J / 2`` and ``W`` the root of the pseudo-inverse of ``J S J``,

    ``d1' inv(V) d2 = trace(W G1 W  W G2 W)``,

so that no matrix over pairs is ever made. With ``S = I`` the cosine is the linear CKA of the two geometries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from neurovis.core import check_array


def whiten_rdms(rdms: NDArray[np.float64], *, covariance: ArrayLike | None = None) -> NDArray[np.float64]:
    """Second-moment matrices whose inner products are those of the RDMs under the inverse of V.

    Parameters
    ----------
    rdms : array of shape (n, n_pairs)
        All pairs of ``n_stimuli`` stimuli; squared distances (crossnobis or squared Euclidean) by theory.
    covariance : array of shape (n_stimuli, n_stimuli), optional
        Covariance over stimuli of the errors of the patterns; the identity by default.

    Returns
    -------
    array of shape (n, n_stimuli ** 2)

    Raises
    ------
    ValueError
        If the pairs are not those of a whole number of stimuli, or the covariance has another shape, is not
        symmetric or has a direction without variance among the contrasts.
    """
    n_stimuli = count_stimuli("rdms", rdms)
    root = None if covariance is None else _make_root(covariance, n_stimuli)
    whitened = np.empty((len(rdms), n_stimuli, n_stimuli))
    for moment, own in zip(whitened, rdms, strict=True):
        moment[:] = _centre_twice(squareform(own, checks=False))
        if root is not None:
            moment[:] = root @ moment @ root
    return whitened.reshape(len(rdms), -1)


def whiten_sample(
    matrices: NDArray[np.float64], drawn: NDArray[np.intp], *, centre: bool
) -> NDArray[np.float64]:
    """As :func:`whiten_rdms` for a bootstrap sample, where pairs of a stimulus with its copy are unknown.

    Parameters
    ----------
    matrices : array of shape (n, n_stimuli, n_stimuli)
        Square RDMs.
    drawn : array of int of shape (n_drawn,)
        Stimuli of the sample, with repetitions.
    centre : bool
        Take out the mean over the known pairs first, for a correlation.

    Returns
    -------
    array of shape (n, n_drawn ** 2)

    Notes
    -----
    The quadratic form of the known entries under the inverse of their own part of V is the smallest one over
    all values of the unknown entries (Schur complement), and at that minimum the unknown entries of G are 0.
    """
    n_drawn = len(drawn)
    first, second = np.nonzero(np.triu(drawn[:, None] == drawn, k=1))
    shared = (first[:, None] == first).astype(float) + (first[:, None] == second)
    shared += (second[:, None] == first).astype(float) + (second[:, None] == second)
    inverse = 0.5 * (np.eye(len(first)) - shared / n_drawn + 2 / n_drawn**2)
    known = drawn[:, None] != drawn
    whitened = np.empty((len(matrices), n_drawn, n_drawn))
    for moment, own in zip(whitened, matrices, strict=True):
        sample = own[np.ix_(drawn, drawn)]
        if centre:
            sample = np.where(known, sample - sample[known].mean(), 0.0)
        sample[first, second] = sample[second, first] = 0.0
        # What is missing takes the values that bring its entries of G to zero.
        missing = np.linalg.solve(inverse, _centre_twice(sample)[first, second])
        sample[first, second] = sample[second, first] = missing
        moment[:] = _centre_twice(sample)
    return whitened.reshape(len(matrices), -1)


def count_stimuli(parameter: str, rdms: NDArray[np.float64]) -> int:
    """Number of stimuli whose pairs fill the rows.

    Parameters
    ----------
    parameter : str
        Name of the parameter, as the caller wrote it.
    rdms : array of shape (n, n_pairs)
        What came.

    Raises
    ------
    ValueError
        If no whole number of stimuli has that many pairs.
    """
    n_pairs = rdms.shape[1]
    n_stimuli = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n_stimuli * (n_stimuli - 1) // 2 != n_pairs:
        raise ValueError(
            f"{parameter} must hold all n (n - 1) / 2 pairs of n stimuli, got {n_pairs} pairs; "
            "keep every pair, in the order of compute_rdm."
        )
    return n_stimuli


def _centre_twice(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = matrix.mean(axis=0)
    return -0.5 * (matrix - rows - rows[:, None] + rows.mean())


def _make_root(covariance: ArrayLike, n_stimuli: int) -> NDArray[np.float64]:
    given = check_array("covariance", covariance, shape=(n_stimuli, n_stimuli), dtype=np.float64)
    if not np.allclose(given, given.T):
        raise ValueError(
            "covariance must be symmetric, got a matrix that is not; pass (matrix + matrix.T) / 2."
        )
    centring = np.eye(n_stimuli) - 1 / n_stimuli
    values, vectors = np.linalg.eigh(centring @ given @ centring)
    # The mean over stimuli is the one direction that no contrast sees.
    values, vectors = values[1:], vectors[:, 1:]
    if values[0] <= 1e-12 * values[-1]:
        raise ValueError(
            f"covariance must be positive definite over contrasts, got eigenvalues from {values[0]:.3g} to "
            f"{values[-1]:.3g}; shrink it towards its diagonal."
        )
    return (vectors / np.sqrt(values)) @ vectors.T
