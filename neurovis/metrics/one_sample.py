"""Tests over subjects: sign flips of whole subjects and intervals of their mean.

Under the null that a value is symmetric around 0 in the population, the signs of the subjects can be
flipped freely (Nichols & Holmes, Hum Brain Mapp 2002). With few subjects all flips are made, which makes the
test exact and bounds p from below: five subjects cannot give a one-sided p under 1/32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from neurovis.core import check_array, check_option, make_rng
from neurovis.metrics.significance import PermutationTest, compute_p_value


def compute_sign_flip_test(
    values: ArrayLike, *, alternative: str = "greater", n_permutations: int = 4999, seed: int = 0
) -> PermutationTest:
    """One-sample t over subjects with p from sign flips.

    Parameters
    ----------
    values : array of shape (n_subjects, k)
        One value per subject, such as a difference between two models or a score minus chance.
    alternative : {"greater", "two-sided"}
        ``"two-sided"`` tests the size of t.
    n_permutations, seed : int
        Sign flips; all of them where there are no more than this.

    Returns
    -------
    PermutationTest
        ``observed`` is t (its size for ``"two-sided"``), corrected over columns in ``p_value_max``.

    Raises
    ------
    ValueError
        If there are fewer than two subjects, a value is not finite or an option is unknown.
    """
    check_option("alternative", alternative, ("greater", "two-sided"))
    values = check_array("values", values, ndim=2, dtype=np.float64, remedy="drop incomplete columns")
    signs = draw_signs(len(values), n_permutations, seed=seed)
    observed, null = compute_t(values, np.ones((1, len(values))))[0], compute_t(values, signs)
    if alternative == "two-sided":
        observed, null = np.abs(observed), np.abs(null)
    return PermutationTest(
        observed,
        compute_p_value(observed, null),
        compute_p_value(observed, null.max(axis=1, keepdims=True)),
        np.percentile(null, 95, axis=0),
    )


def compute_t_interval(
    values: ArrayLike, *, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Student's interval of the mean over subjects.

    Parameters
    ----------
    values : array of shape (n_subjects, k)
        Independent subjects.
    level : float
        Coverage, in (0, 1).

    Returns
    -------
    low, high : array of shape (k,)

    Raises
    ------
    ValueError
        If there are fewer than two subjects, a value is not finite or the level is impossible.
    """
    values = check_array("values", values, ndim=2, dtype=np.float64)
    _check_subjects(len(values))
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}; 0.95 is usual.")
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values, axis=0)
    mean = values.mean(axis=0)
    return mean - half, mean + half


def draw_signs(n_subjects: int, n_permutations: int, *, seed: int) -> NDArray[np.float64]:
    """Signs of every subject in every flip, without the flip that changes nothing.

    Parameters
    ----------
    n_subjects, n_permutations : int
        At least 2 and 1; all flips are listed where there are at most ``n_permutations``.
    seed : int
        Seed of random flips.

    Returns
    -------
    array of shape (n_flips, n_subjects)
        Of -1 and 1.
    """
    _check_subjects(n_subjects)
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}; 4999 are usual.")
    if n_subjects < 31 and 2**n_subjects - 1 <= n_permutations:
        flips = np.arange(1, 2**n_subjects)[:, None] >> np.arange(n_subjects) & 1
    else:
        flips = make_rng(seed, "sign-flips").integers(0, 2, size=(n_permutations, n_subjects))
    return 1.0 - 2.0 * flips


def compute_t(values: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """One-sample t of every column under every flip; 0 for a column of zeros.

    Parameters
    ----------
    values : array of shape (n_subjects, k)
    signs : array of shape (n_flips, n_subjects)

    Returns
    -------
    array of shape (n_flips, k)

    Notes
    -----
    Squares do not change with the sign, so that one matrix product gives all flips. A variance counts as at
    least 1e-16 of the mean square, so that the t of equal values is finite.
    """
    n = len(values)
    square = (values**2).mean(axis=0)
    mean = signs @ values / n
    variance = np.maximum(square - mean**2, 1e-16 * square) / (n - 1)
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 0)


def _check_subjects(n_subjects: int) -> None:
    if n_subjects < 2:
        raise ValueError(f"values must hold at least 2 subjects, got {n_subjects}; add subjects.")
