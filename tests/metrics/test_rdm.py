"""RDMs and comparisons against scipy and rsatoolbox."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, pearsonr, spearmanr

from neurovis.metrics.rdm import COMPARISONS, compare_rdms, compute_crossnobis, compute_rdm

THEIRS = dict(
    zip(COMPARISONS, ("corr", "spearman", "rho-a", "tau-a", "cosine", "cosine_cov", "corr_cov"), strict=True)
)


@pytest.fixture
def patterns(rng):
    return rng.normal(size=(9, 25)) + 40


@pytest.fixture
def rdms(rng):
    shared = rng.normal(size=(10, 20))
    return np.array([pdist(shared + rng.normal(size=(10, 20))) for _ in range(4)])


@pytest.mark.parametrize("distance", ["correlation", "cosine", "euclidean"])
def test_rdm_equals_scipy(distance, patterns):
    np.testing.assert_allclose(
        compute_rdm(patterns, distance=distance), pdist(patterns, distance), atol=1e-10
    )


@pytest.mark.parametrize(
    ("ours", "theirs"), [("correlation", "correlation"), ("squared_euclidean", "euclidean")]
)
def test_rdm_equals_rsatoolbox(ours, theirs, patterns, rsatoolbox):
    reference = rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(patterns), method=theirs).dissimilarities[0]
    np.testing.assert_allclose(compute_rdm(patterns, distance=ours), reference, atol=1e-10)


def test_invariances(patterns):
    np.testing.assert_allclose(compute_rdm(3 * patterns + 7), compute_rdm(patterns), atol=1e-10)
    np.testing.assert_allclose(
        compute_rdm(3 * patterns, distance="cosine"), compute_rdm(patterns, distance="cosine")
    )
    assert (compute_rdm(np.repeat(patterns, 2, axis=0), distance="euclidean")[0]) == 0


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_crossnobis_equals_rsatoolbox(rng, rsatoolbox):
    patterns = rng.normal(size=(4, 6, 10))
    precision = np.linalg.inv(np.cov(rng.normal(size=(10, 50))))
    data = rsatoolbox.data.Dataset(
        patterns.reshape(24, 10),
        obs_descriptors={"stimulus": np.tile(np.arange(6), 4), "run": np.repeat(np.arange(4), 6)},
    )
    for noise in (None, precision):
        reference = rsatoolbox.rdm.calc_rdm(
            data, method="crossnobis", descriptor="stimulus", cv_descriptor="run", noise=noise
        )
        np.testing.assert_allclose(
            compute_crossnobis(patterns, precision=noise), reference.dissimilarities[0], atol=1e-10
        )


def test_crossnobis_is_unbiased(rng):
    truth = rng.normal(size=(5, 200))
    truth[1] = truth[0]
    estimate = np.mean(
        [compute_crossnobis(truth + 3 * rng.normal(size=(3, 5, 200))) for _ in range(100)], axis=0
    )
    np.testing.assert_allclose(estimate, pdist(truth, "sqeuclidean") / 200, atol=0.25)
    assert abs(estimate[0]) < 0.15


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("ties", [False, True])
def test_comparison_equals_rsatoolbox(comparison, ties, rdms, rsatoolbox):
    values = np.round(rdms) if ties else rdms
    a, b = (rsatoolbox.rdm.RDMs(part) for part in (values[:2], values[1:]))
    reference = rsatoolbox.rdm.compare(a, b, method=THEIRS[comparison])
    np.testing.assert_allclose(
        compare_rdms(values[:2], values[1:], comparison=comparison), reference, atol=1e-12
    )


def test_comparisons_written_out(rdms):
    a, b = np.round(rdms[0]), np.round(rdms[1])
    pairs = list(itertools.combinations(range(len(a)), 2))
    tau_a = np.mean([np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i, j in pairs])
    expected = {
        "pearson_r": pearsonr(a, b).statistic,
        "spearman_r": spearmanr(a, b).statistic,
        "kendall_tau_a": tau_a,
        "cosine": a @ b / np.linalg.norm(a) / np.linalg.norm(b),
    }
    for comparison, value in expected.items():
        np.testing.assert_allclose(compare_rdms(a, b, comparison=comparison), [[value]], atol=1e-12)
    assert abs(tau_a) < abs(kendalltau(a, b).statistic)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_constant_rdm_scores_zero(comparison, rdms):
    constant = np.zeros(rdms.shape[1]) if comparison.endswith("cosine") else np.full(rdms.shape[1], 0.1)
    np.testing.assert_allclose(compare_rdms(rdms, constant, comparison=comparison), 0, atol=1e-12)


@pytest.mark.parametrize("comparison", ["whitened_cosine", "whitened_pearson_r"])
@pytest.mark.parametrize("equal_noise", [True, False])
def test_whitening_equals_the_inverse_over_pairs(comparison, equal_noise, rdms, rng, rsatoolbox):
    root = rng.normal(size=(10, 30))
    covariance = None if equal_noise else root @ root.T
    over_pairs = rsatoolbox.util.matrix.get_v(10, covariance).toarray()
    values = rdms - rdms.mean(1, keepdims=True) if comparison.endswith("r") else rdms
    products = values @ np.linalg.solve(over_pairs, values.T)
    length = np.sqrt(np.diag(products))
    ours = compare_rdms(rdms, rdms, comparison=comparison, covariance=covariance)
    np.testing.assert_allclose(ours, products / length / length[:, None], atol=1e-10)


def test_whitened_cosine_without_covariance_is_cka(patterns, rng):
    other = rng.normal(size=(9, 12))
    rdms = [compute_rdm(part, distance="squared_euclidean") for part in (patterns, other)]
    grams = [(part - part.mean(0)) @ (part - part.mean(0)).T for part in (patterns, other)]
    cka = (grams[0] * grams[1]).sum() / np.linalg.norm(grams[0]) / np.linalg.norm(grams[1])
    np.testing.assert_allclose(compare_rdms(*rdms, comparison="whitened_cosine"), [[cka]])


def test_bad_input(patterns, rdms):
    with pytest.raises(ValueError, match=r"distance must be .* got 'manhattan'"):
        compute_rdm(patterns, distance="manhattan")
    with pytest.raises(ValueError, match=r"must vary for the correlation distance, got 1 constant .* row 3"):
        compute_rdm(np.where(np.arange(9)[:, None] == 3, 0.1, patterns))
    with pytest.raises(ValueError, match="must vary for the cosine distance, got 1 zero"):
        compute_rdm(np.where(np.arange(9)[:, None] == 3, 0.0, patterns), distance="cosine")
    with pytest.raises(ValueError, match="patterns must be finite"):
        compute_rdm(patterns * np.nan)
    with pytest.raises(ValueError, match="at least 2 independent parts and 2 stimuli, got 1 and 9"):
        compute_crossnobis(patterns[None])
    with pytest.raises(ValueError, match="rdms_b must have the 45 pairs of rdms_a, got 44"):
        compare_rdms(rdms, rdms[:, :-1])
    for comparison in COMPARISONS:
        with pytest.raises(ValueError, match="rdms_b must be finite, got 1 NaN"):
            compare_rdms(rdms, np.where(rdms == rdms[0, 0], np.nan, rdms), comparison=comparison)
    with pytest.raises(ValueError, match=r"comparison must be .* got 'tau'"):
        compare_rdms(rdms, rdms, comparison="tau")
    with pytest.raises(ValueError, match="must whiten to use a covariance, got 'cosine'"):
        compare_rdms(rdms, rdms, comparison="cosine", covariance=np.eye(10))
    with pytest.raises(ValueError, match="covariance must be symmetric"):
        compare_rdms(rdms, rdms, comparison="whitened_cosine", covariance=np.triu(np.ones((10, 10))))
    with pytest.raises(ValueError, match="covariance must be positive definite over contrasts"):
        compare_rdms(rdms, rdms, comparison="whitened_cosine", covariance=np.ones((10, 10)))
    with pytest.raises(ValueError, match=r"rdms must hold all n .* got 44 pairs"):
        compare_rdms(rdms[:, :44], rdms[:, :44], comparison="whitened_cosine")
