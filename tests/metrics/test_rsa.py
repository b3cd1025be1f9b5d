"""Ceilings against rsatoolbox, bootstraps and permutations against their slow definitions."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kstest

from neurovis.core import make_rng
from neurovis.metrics.rdm import COMPARISONS, compare_rdms
from neurovis.metrics.rsa import bootstrap_rsa, compute_rsa_ceiling, compute_rsa_p_value

THEIRS = dict(zip(COMPARISONS, ("corr", "spearman", "rho-a", "tau-a", "cosine"), strict=True))


@pytest.fixture
def rdms(rng):
    shared = rng.normal(size=(12, 20))
    return np.array([pdist(shared + rng.normal(size=(12, 20))) for _ in range(5)])


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau based on averaged ranks")
@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("ties", [False, True])
def test_ceiling_equals_rsatoolbox(comparison, ties, rdms, rsatoolbox):
    values = np.round(rdms) if ties else rdms
    reference = rsatoolbox.inference.boot_noise_ceiling(
        rsatoolbox.rdm.RDMs(values), method=THEIRS[comparison]
    )
    np.testing.assert_allclose(compute_rsa_ceiling(values, comparison=comparison), reference, atol=1e-10)


@pytest.mark.parametrize("comparison", ["pearson_r", "cosine"])
def test_no_model_beats_the_upper_bound_and_the_truth_beats_the_lower(comparison, rng):
    truth = pdist(rng.normal(size=(25, 30)))
    rdms = truth + rng.normal(size=(8, len(truth)))
    lower, upper = compute_rsa_ceiling(rdms, comparison=comparison)
    of_truth = compare_rdms(rdms, truth, comparison=comparison).mean()
    others = compare_rdms(rdms, rdms.mean(0) + 0.1 * rng.normal(size=(50, len(truth))), comparison=comparison)
    assert lower < of_truth < upper
    assert (others.mean(0) <= upper + 1e-12).all()


def test_bootstrap_equals_a_resampled_square_matrix(rdms):
    ours = bootstrap_rsa(rdms, rdms[:2], resample="stimuli", n_bootstraps=3, seed=4)
    # The same draws, written out on square matrices.
    generator = make_rng(4, "bootstrap-rsa")
    for sample in range(3):
        drawn = generator.integers(12, size=12)
        keep = [(i, j) for i in range(12) for j in range(i + 1, 12) if drawn[i] != drawn[j]]
        vectors = np.array([[squareform(rdm)[drawn[i], drawn[j]] for i, j in keep] for rdm in rdms])
        expected = compare_rdms(vectors, vectors[:2]).mean(0)
        np.testing.assert_allclose(ours.similarity[sample], expected)
        np.testing.assert_allclose(ours.ceiling[sample], compute_rsa_ceiling(vectors))


def test_bootstrap_over_subjects_keeps_the_mean_and_its_error(rdms):
    model = rdms.mean(0, keepdims=True) + np.linspace(-1, 1, rdms.shape[1])
    boot = bootstrap_rsa(rdms, model, resample="subjects", n_bootstraps=800).similarity[:, 0]
    single = compare_rdms(rdms, model)[:, 0]
    np.testing.assert_allclose(boot.mean(), single.mean(), atol=0.01)
    np.testing.assert_allclose(boot.std(), single.std() / np.sqrt(5), rtol=0.15)
    again = bootstrap_rsa(rdms, model, n_bootstraps=5, seed=3)
    np.testing.assert_array_equal(
        again.similarity, bootstrap_rsa(rdms, model, n_bootstraps=5, seed=3).similarity
    )


def test_one_subject_has_no_ceiling(rdms):
    assert np.isnan(bootstrap_rsa(rdms[:1], rdms[1:2], n_bootstraps=3).ceiling).all()
    with pytest.raises(ValueError, match="at least 2 subjects for a ceiling, got 1"):
        compute_rsa_ceiling(rdms[:1])


def test_permutation_p_is_uniform_without_an_effect(rng):
    p = []
    for seed in range(150):
        data, model = (pdist(rng.normal(size=(8, 5))) for _ in range(2))
        p.append(compute_rsa_p_value(data, model, n_permutations=99, comparison="pearson_r", seed=seed)[0])
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) < 0.1


def test_permutation_finds_an_effect(rdms):
    unrelated = np.roll(rdms[1], 7)
    p = compute_rsa_p_value(rdms, np.array([rdms[0], unrelated]), n_permutations=199)
    assert p[0] == 1 / 200
    assert p[1] > 0.05


def test_bad_input(rdms):
    with pytest.raises(ValueError, match=r"resample must be .* got 'voxels'"):
        bootstrap_rsa(rdms, rdms, resample="voxels")
    with pytest.raises(ValueError, match="got 66 and 45 pairs"):
        compute_rsa_p_value(rdms, rdms[:, :45])
    with pytest.raises(ValueError, match="got 65 and 65 pairs"):
        bootstrap_rsa(rdms[:, :65], rdms[:, :65])
