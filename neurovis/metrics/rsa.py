"""Inference on RDMs: noise ceilings, bootstraps over stimuli and subjects, permutation tests.

After Nili et al., "A toolbox for representational similarity analysis", PLoS Comput Biol 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import squareform

from neurovis.core import check_option, make_rng
from neurovis.metrics.ranks import DenseRanks, compute_tau_a, rank_densely, rank_rows
from neurovis.metrics.rdm import (
    COMPARISONS,
    WHITENED,
    check_rdms,
    compare_rdms,
    make_units,
    scale_ranks,
    scale_to_unit,
)
from neurovis.metrics.significance import compute_p_value
from neurovis.metrics.whitening import count_stimuli, whiten_sample

_RANKED = ("spearman_r", "rho_a", "kendall_tau_a")


def compute_rsa_ceiling(
    rdms: ArrayLike, *, comparison: str = "spearman_r", covariance: ArrayLike | None = None
) -> tuple[float, float]:
    """Bounds on how well any model RDM can match a group of subjects, in the comparison's own unit.

    Upper: mean similarity of each subject with the mean RDM of all, which contains the subject. Lower: with
    the mean of the other subjects (Nili et al. 2014, "noise ceiling"). RDMs are averaged after the
    normalisation of the comparison: ranks, z-scores or unit length, whitened where the comparison whitens.

    Parameters
    ----------
    rdms : array of shape (n_subjects, n_pairs)
        One RDM per subject (or per independent part of one subject's data), at least two.
    comparison, covariance
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
    The mean maximises the mean similarity for Pearson, Spearman, rho-a and the cosines. For Kendall's tau-a
    the mean of ranks is used as an approximation, so that the upper bound can be slightly low.
    """
    check_option("comparison", comparison, COMPARISONS)
    rdms = check_rdms("rdms", rdms)
    if len(rdms) < 2:
        raise ValueError(f"rdms must hold at least 2 subjects for a ceiling, got {len(rdms)}; add subjects.")
    if comparison in _RANKED:
        return _bound_ranks(rank_rows(rdms), comparison)
    units = make_units(rdms, comparison=comparison, covariance=covariance)
    return _bound_inner_products(units @ units.T)


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
    check_option("comparison", comparison, COMPARISONS)
    subjects, models = _check_sets(subject_rdms, model_rdms)
    rng, n_stimuli = make_rng(seed, "bootstrap-rsa"), count_stimuli("subject_rdms", subjects)
    drawn, rows = [], []
    for _ in range(n_bootstraps):
        if resample != "subjects":
            drawn.append(_draw_distinct(rng, n_stimuli))
        rows.append(
            np.arange(len(subjects))
            if resample == "stimuli"
            else rng.integers(len(subjects), size=len(subjects))
        )
    samples = _score_samples(subjects, models, comparison, drawn or [np.arange(n_stimuli)])
    if resample == "subjects":
        samples = repeat(next(samples))
    similarity = np.empty((n_bootstraps, len(models)))
    ceiling = np.full((n_bootstraps, 2), np.nan)
    for sample, (own, (across, within)) in enumerate(zip(rows, samples, strict=False)):
        similarity[sample] = across[own].mean(axis=0)
        if len(subjects) > 1 and comparison in _RANKED:
            ceiling[sample] = _bound_ranks(within[own], comparison)
        elif len(subjects) > 1:
            ceiling[sample] = _bound_inner_products(within[np.ix_(own, own)])
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
    subjects, models = _check_sets(subject_rdms, model_rdms)
    n_stimuli = count_stimuli("subject_rdms", subjects)
    rng = make_rng(seed, "permutation-rsa")
    orders = [rng.permutation(n_stimuli) for _ in range(n_permutations)]
    if comparison == "kendall_tau_a":
        observed, null = _permute_ranks(subjects, models, orders)
    else:
        observed, null = _permute_inner_products(subjects, models, comparison, orders)
    return compute_p_value(observed, null)


def _check_sets(subject_rdms: ArrayLike, model_rdms: ArrayLike) -> tuple[NDArray, NDArray]:
    subjects, models = check_rdms("subject_rdms", subject_rdms), check_rdms("model_rdms", model_rdms)
    count_stimuli("subject_rdms", subjects)
    if models.shape[1] != subjects.shape[1]:
        raise ValueError(
            f"model_rdms must hold the {subjects.shape[1]} pairs of subject_rdms, got {models.shape[1]}; "
            "compute both on the same stimuli in the same order."
        )
    return subjects, models


def _draw_distinct(rng: np.random.Generator, n: int) -> NDArray[np.intp]:
    while True:
        drawn = rng.integers(n, size=n)
        if len(np.unique(drawn)) >= 3:
            return drawn


def _score_samples(
    subjects: NDArray, models: NDArray, comparison: str, drawn: list[NDArray[np.intp]]
) -> Iterator[tuple[NDArray, NDArray]]:
    """For each sample of stimuli, similarities (n_subjects, n_models) and what the ceiling is made from.

    That is the subjects' ranks for comparisons of ranks, and otherwise their similarities with each other.
    """
    n, rdms = len(subjects), np.concatenate([subjects, models])
    if comparison not in _RANKED:
        for gram in _make_grams(rdms, comparison, drawn, n):
            yield gram[:n, n:], gram[:n, :n]
        return
    numbers = squareform(np.arange(rdms.shape[1]), checks=False)
    corners = np.triu_indices(len(numbers), k=1)
    for own in drawn:
        first, second = own[corners[0]], own[corners[1]]
        ranks = rank_rows(rdms[:, numbers[first, second][first != second]])
        yield _compare_ranks(ranks[:n], ranks[n:], comparison), ranks[:n]


def _make_grams(
    rdms: NDArray, comparison: str, drawn: list[NDArray[np.intp]], n_subjects: int
) -> Iterator[NDArray[np.float64]]:
    """Similarities (n, n) of each sample; those between models are left out.

    A stimulus drawn w times gives each of its pairs the weight w w', so that the sums over the pairs of all
    samples are quadratic forms of the weights in products of square RDMs.
    """
    if comparison == "pearson_r":
        rdms = rdms - rdms.mean(axis=1, keepdims=True)  # the offset would cost digits below
    squares = np.stack([squareform(rdm, checks=False) for rdm in rdms])
    n, n_stimuli = squares.shape[:2]
    if comparison in WHITENED:
        centre = WHITENED[comparison] == "pearson_r"
        for own in drawn:
            units = scale_to_unit(whiten_sample(squares, own, centre=centre))
            yield units @ units.T
        return
    weights = np.stack([np.bincount(own, minlength=n_stimuli) for own in drawn]).astype(np.float64)

    def total(square: NDArray) -> NDArray[np.float64]:
        return np.einsum("bi,bi->b", weights @ square, weights) / 2

    grams, product = np.zeros((len(drawn), n, n)), np.empty_like(squares[0])
    for first in range(n):
        for second in range(first, n):
            if first < n_subjects or first == second:
                np.multiply(squares[first], squares[second], out=product)
                grams[:, first, second] = total(product)
                grams[:, second, first] = grams[:, first, second]
    if comparison == "pearson_r":
        mean = np.stack([total(square) for square in squares], axis=1)
        n_pairs = (weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)) / 2
        grams -= mean[:, :, None] * mean[:, None] / n_pairs[:, None, None]
    energy = np.diagonal(grams, axis1=1, axis2=2)
    # Rounding is all that a sample of equal dissimilarities keeps.
    whole = (rdms**2).sum(axis=1)
    scale = np.zeros_like(energy)
    np.divide(1, np.sqrt(np.maximum(energy, 0)), out=scale, where=energy > 1e-14 * whole)
    yield from np.clip(grams * scale[:, :, None] * scale[:, None], -1.0, 1.0)


def _bound_inner_products(gram: NDArray[np.float64]) -> tuple[float, float]:
    """Ceiling of subjects whose similarities are inner products of unit vectors."""
    total = gram.sum(axis=1)
    own = np.diagonal(gram)
    length = np.sqrt(max(total.sum(), 0.0))
    # The sum of the others: its product with the subject, and its own length.
    product, others = total - own, np.sqrt(np.maximum(total.sum() - 2 * total + own, 0))
    lower = np.divide(product, others, out=np.zeros_like(product), where=others > 1e-12)
    upper = total / length if length > 1e-12 else np.zeros_like(total)
    return float(lower.mean()), float(upper.mean())


def _bound_ranks(ranks: NDArray[np.float64], comparison: str) -> tuple[float, float]:
    total = ranks.sum(axis=0)
    # Sums of plain ranks are exact, so that ties stay ties when they are ranked again.
    upper = _compare_ranks(ranks, rank_rows(total[None]), comparison).mean()
    left_out = rank_rows(total - ranks)
    if comparison == "kendall_tau_a":
        pairs = zip(ranks, left_out, strict=True)
        lower = np.mean([compute_tau_a(rank_densely(own), rank_densely(others)) for own, others in pairs])
    else:
        units, others = scale_ranks(ranks, comparison), scale_ranks(left_out, comparison)
        lower = np.einsum("ij,ij->i", units, others).mean()
    return float(lower), float(upper)


def _compare_ranks(a: NDArray[np.float64], b: NDArray[np.float64], comparison: str) -> NDArray[np.float64]:
    if comparison == "kendall_tau_a":
        return compare_rdms(a, b, comparison=comparison)
    return scale_ranks(a, comparison) @ scale_ranks(b, comparison).T


def _permute_inner_products(
    subjects: NDArray, models: NDArray, comparison: str, orders: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean similarity of each model, as it is and with its stimuli in each order.

    Lengths and ranks do not depend on the order, and the mean over subjects can be taken first; reordering
    the mean backwards is the same as reordering every model forwards.
    """
    mean = make_units(subjects, comparison=comparison).mean(axis=0)
    units = make_units(models, comparison=comparison)
    observed = units @ mean
    if comparison in WHITENED:
        square = mean.reshape(len(orders[0]), -1)
    else:
        square = squareform(mean, checks=False) / 2
        units = np.stack([squareform(unit, checks=False).ravel() for unit in units])
    null = np.empty((len(orders), len(models)))
    rows, moved = np.empty((2, *square.shape))
    for number, order in enumerate(orders):
        back = np.argsort(order)
        np.take(square, back, axis=0, out=rows, mode="clip")
        np.take(rows, back, axis=1, out=moved, mode="clip")
        null[number] = units @ moved.ravel()
    return observed, null


def _permute_ranks(
    subjects: NDArray, models: NDArray, orders: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    fixed, ranked = [rank_densely(own) for own in subjects], [rank_densely(model) for model in models]
    squares = [squareform(model.ranks, checks=False) for model in ranked]
    first, second = np.triu_indices(len(squares[0]), k=1)
    scores = [
        [
            np.mean([compute_tau_a(own, DenseRanks(moved, model.n_tied)) for own in fixed])
            for model, moved in (
                (model, square[order[first], order[second]])
                for model, square in zip(ranked, squares, strict=True)
            )
        ]
        for order in (np.arange(len(squares[0])), *orders)
    ]
    return np.array(scores[0]), np.array(scores[1:])
