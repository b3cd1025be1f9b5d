"""Inference on RDMs: noise ceilings, bootstraps over stimuli and subjects, permutation tests.

After Nili et al., "A toolbox for representational similarity analysis", PLoS Comput Biol 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from neurovis.core import check_option, make_rng
from neurovis.metrics.rdm import COMPARISONS, check_rdms, compare_rdms, normalise_rdms
from neurovis.metrics.significance import compute_p_value


def compute_rsa_ceiling(rdms: ArrayLike, *, comparison: str = "spearman_r") -> tuple[float, float]:
    """Bounds on how well any model RDM can match a group of subjects, in the comparison's own unit.

    Upper: mean similarity of each subject with the mean RDM of all, which contains the subject. Lower: with
    the mean of the other subjects (Nili et al. 2014, "noise ceiling"). RDMs are averaged after the
    normalisation of the comparison: ranks, z-scores or unit length.

    Parameters
    ----------
    rdms : array of shape (n_subjects, n_pairs)
        One RDM per subject (or per independent part of one subject's data), at least two.
    comparison : str
        As :func:`neurovis.metrics.rdm.compare_rdms`.

    Returns
    -------
    lower, upper : float

    Raises
    ------
    ValueError
        If there are fewer than two subjects, or as :func:`neurovis.metrics.rdm.compare_rdms`.

    Notes
    -----
    The mean maximises the mean similarity for Pearson, Spearman, rho-a and cosine. For Kendall's tau-a the
    mean of ranks is used as an approximation, so that the upper bound can be slightly low.
    """
    rdms = check_rdms("rdms", rdms)
    if len(rdms) < 2:
        raise ValueError(f"rdms must hold at least 2 subjects for a ceiling, got {len(rdms)}; add subjects.")
    normal = normalise_rdms(rdms, comparison=comparison)
    total = normal.sum(axis=0)
    upper = compare_rdms(rdms, total, comparison=comparison).mean()
    left_out = zip(rdms, total - normal, strict=True)
    lower = [compare_rdms(own, others, comparison=comparison)[0, 0] for own, others in left_out]
    return float(np.mean(lower)), float(upper)


@dataclass(frozen=True)
class RsaBootstrap:
    """Model similarities and ceilings of every bootstrap sample.

    Parameters
    ----------
    similarity : array of shape (n_bootstraps, n_models)
        Mean over subjects.
    ceiling : array of shape (n_bootstraps, 2)
        Lower and upper bound; NaN with one subject.
    """

    similarity: NDArray[np.float64]
    ceiling: NDArray[np.float64]


def bootstrap_rsa(
    subject_rdms: ArrayLike,
    model_rdms: ArrayLike,
    *,
    comparison: str = "spearman_r",
    resample: str = "both",
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> RsaBootstrap:
    """Resample stimuli, subjects or both with replacement, to generalise to new ones.

    Parameters
    ----------
    subject_rdms : array of shape (n_subjects, n_pairs)
        Measured RDMs.
    model_rdms : array of shape (n_models, n_pairs)
        Model RDMs.
    comparison : str
        As :func:`neurovis.metrics.rdm.compare_rdms`.
    resample : {"stimuli", "subjects", "both"}
        What the result should generalise to.
    n_bootstraps : int
        Samples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    RsaBootstrap
        Percentiles of its columns are confidence intervals; models are compared within samples.

    Raises
    ------
    ValueError
        If an option is unknown or the pairs are not those of a whole number of stimuli.

    Notes
    -----
    Pairs of a stimulus with its own copy are left out of a sample, since their dissimilarity is 0 by
    construction. Samples with fewer than three different stimuli are drawn again.
    """
    check_option("resample", resample, ("stimuli", "subjects", "both"))
    subjects, models, numbers, corners = _check_sets(subject_rdms, model_rdms)
    n_stimuli, rng = len(numbers), make_rng(seed, "bootstrap-rsa")
    similarity = np.empty((n_bootstraps, len(models)))
    ceiling = np.full((n_bootstraps, 2), np.nan)
    for sample in range(n_bootstraps):
        pairs, rows = np.arange(subjects.shape[1]), np.arange(len(subjects))
        if resample != "subjects":
            drawn = _draw_distinct(rng, n_stimuli)
            first, second = drawn[corners[0]], drawn[corners[1]]
            pairs = numbers[first, second][first != second]
        if resample != "stimuli":
            rows = rng.integers(len(subjects), size=len(subjects))
        own = subjects[rows][:, pairs]
        similarity[sample] = compare_rdms(own, models[:, pairs], comparison=comparison).mean(axis=0)
        if len(subjects) > 1:
            ceiling[sample] = compute_rsa_ceiling(own, comparison=comparison)
    return RsaBootstrap(similarity, ceiling)


def compute_rsa_p_value(
    subject_rdms: ArrayLike,
    model_rdms: ArrayLike,
    *,
    comparison: str = "spearman_r",
    n_permutations: int = 1000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """One-sided p of each model's mean similarity, permuting which stimulus is which in the models.

    Parameters
    ----------
    subject_rdms : array of shape (n_subjects, n_pairs)
        Measured RDMs.
    model_rdms : array of shape (n_models, n_pairs)
        Model RDMs.
    comparison, n_permutations, seed
        As :func:`bootstrap_rsa`.

    Returns
    -------
    array of shape (n_models,)
        ``(b + 1) / (m + 1)``, at least ``1 / (n_permutations + 1)``; not corrected over models.

    Raises
    ------
    ValueError
        As :func:`bootstrap_rsa`.
    """
    check_option("comparison", comparison, COMPARISONS)
    subjects, models, numbers, corners = _check_sets(subject_rdms, model_rdms)
    if comparison == "spearman_r":
        # Another order of the pairs is another order of their ranks, so they are ranked once.
        subjects, models = (normalise_rdms(rdms, comparison=comparison) for rdms in (subjects, models))
        comparison = "pearson_r"
    rng = make_rng(seed, "permutation-rsa")

    def compare(pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        return compare_rdms(subjects, models[:, pairs], comparison=comparison).mean(axis=0)

    orders = (rng.permutation(len(numbers)) for _ in range(n_permutations))
    null = [compare(numbers[order[corners[0]], order[corners[1]]]) for order in orders]
    return compute_p_value(compare(np.arange(subjects.shape[1])), null)


def _check_sets(
    subject_rdms: ArrayLike, model_rdms: ArrayLike
) -> tuple[NDArray, NDArray, NDArray[np.intp], tuple[NDArray, NDArray]]:
    """Both sets, the place of each pair of stimuli in the vector, and the corners of the triangle."""
    subjects, models = check_rdms("subject_rdms", subject_rdms), check_rdms("model_rdms", model_rdms)
    n_pairs = subjects.shape[1]
    n_stimuli = round((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n_stimuli * (n_stimuli - 1) // 2 != n_pairs or models.shape[1] != n_pairs:
        raise ValueError(
            f"subject_rdms and model_rdms must hold all n (n - 1) / 2 pairs of the same stimuli, got "
            f"{n_pairs} and {models.shape[1]} pairs; compute both on the same stimuli in the same order."
        )
    return subjects, models, squareform(np.arange(n_pairs), checks=False), np.triu_indices(n_stimuli, k=1)


def _draw_distinct(rng: np.random.Generator, n: int) -> NDArray[np.intp]:
    while True:
        drawn = rng.integers(n, size=n)
        if len(np.unique(drawn)) >= 3:
            return drawn
