"""Ceilings against rsatoolbox, bootstraps and permutations against their slow definitions."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kstest

from neurovis.core import make_rng
from neurovis.metrics.rdm import COMPARISONS, WHITENED, compare_rdms
from neurovis.metrics.rsa import bootstrap_rsa, compute_rsa_ceiling, compute_rsa_p_value

THEIRS = dict(
    zip(COMPARISONS, ("corr", "spearman", "rho-a", "tau-a", "cosine", "cosine_cov", "corr_cov"), strict=True)
)


@pytest.fixture
def rdms(rng):
    shared = rng.normal(size=(12, 20))
    return np.array([pdist(shared + rng.normal(size=(12, 20))) for _ in range(5)])


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau based on averaged ranks")
@pytest.mark.parametrize("comparison", [name for name in COMPARISONS if name not in WHITENED])
@pytest.mark.parametrize("ties", [False, True])
def test_ceiling_equals_rsatoolbox(comparison, ties, rdms, rsatoolbox):
    values = np.round(rdms) if ties else rdms
    reference = rsatoolbox.inference.boot_noise_ceiling(
        rsatoolbox.rdm.RDMs(values), method=THEIRS[comparison]
    )
    np.testing.assert_allclose(compute_rsa_ceiling(values, comparison=comparison), reference, atol=1e-10)


@pytest.mark.parametrize("comparison", WHITENED)
def test_whitened_ceiling_equals_its_definition(comparison, rdms, rng, rsatoolbox):
    # The toolbox averages RDMs of equal length before whitening, which is not the best mean; see its pooling.
    root = rng.normal(size=(12, 30))
    inverse = np.linalg.inv(rsatoolbox.util.matrix.get_v(12, root @ root.T).toarray())
    centred = rdms - rdms.mean(1, keepdims=True) if WHITENED[comparison] == "pearson_r" else rdms
    units = centred / np.sqrt(np.einsum("ij,jk,ik->i", centred, inverse, centred))[:, None]

    def compare(mean, own):
        return own @ inverse @ mean / np.sqrt(mean @ inverse @ mean)

    lower, upper = compute_rsa_ceiling(rdms, comparison=comparison, covariance=root @ root.T)
    np.testing.assert_allclose(upper, np.mean([compare(units.mean(0), own) for own in units]))
    left_out = [compare(np.delete(units, row, axis=0).mean(0), own) for row, own in enumerate(units)]
    np.testing.assert_allclose(lower, np.mean(left_out))


@pytest.mark.parametrize("comparison", ["pearson_r", "cosine"])
def test_no_model_beats_the_upper_bound_and_the_truth_beats_the_lower(comparison, rng):
    truth = pdist(rng.normal(size=(25, 30)))
    rdms = truth + rng.normal(size=(8, len(truth)))
    lower, upper = compute_rsa_ceiling(rdms, comparison=comparison)
    of_truth = compare_rdms(rdms, truth, comparison=comparison).mean()
    others = compare_rdms(rdms, rdms.mean(0) + 0.1 * rng.normal(size=(50, len(truth))), comparison=comparison)
    assert lower < of_truth < upper
    assert (others.mean(0) <= upper + 1e-12).all()


@pytest.mark.parametrize("comparison", [name for name in COMPARISONS if name not in WHITENED])
@pytest.mark.parametrize("resample", ["stimuli", "both", "subjects"])
def test_bootstrap_equals_a_resampled_square_matrix(comparison, resample, rdms):
    models = np.stack([rdms[1], np.round(rdms[2])])
    ours = bootstrap_rsa(rdms, models, comparison=comparison, resample=resample, n_bootstraps=3, seed=4)
    # The same draws, written out on square matrices.
    generator = make_rng(4, "bootstrap-rsa")
    for sample in range(3):
        drawn = np.arange(12) if resample == "subjects" else generator.integers(12, size=12)
        rows = np.arange(5) if resample == "stimuli" else generator.integers(5, size=5)
        keep = [(i, j) for i in range(12) for j in range(i + 1, 12) if drawn[i] != drawn[j]]
        vectors, predicted = (
            np.array([[squareform(rdm)[drawn[i], drawn[j]] for i, j in keep] for rdm in part])
            for part in (rdms[rows], models)
        )
        expected = compare_rdms(vectors, predicted, comparison=comparison).mean(0)
        np.testing.assert_allclose(ours.similarity[sample], expected, atol=1e-10)
        ceiling = compute_rsa_ceiling(vectors, comparison=comparison)
        np.testing.assert_allclose(ours.ceiling[sample], ceiling, atol=1e-10)


@pytest.mark.parametrize("comparison", WHITENED)
def test_whitened_bootstrap_equals_the_inverse_over_known_pairs(comparison, rdms, rsatoolbox):
    ours = bootstrap_rsa(rdms, rdms[:2], comparison=comparison, resample="stimuli", n_bootstraps=3, seed=1)
    generator = make_rng(1, "bootstrap-rsa")
    over_pairs = rsatoolbox.util.matrix.get_v(12, None).toarray()
    corners = np.triu_indices(12, k=1)
    for sample in range(3):
        drawn = generator.integers(12, size=12)
        known = drawn[corners[0]] != drawn[corners[1]]
        assert not known.all()
        own = np.array([squareform(rdm)[np.ix_(drawn, drawn)][corners][known] for rdm in rdms])
        if WHITENED[comparison] == "pearson_r":
            own -= own.mean(1, keepdims=True)
        products = own @ np.linalg.solve(over_pairs[np.ix_(known, known)], own.T)
        length = np.sqrt(np.diag(products))
        expected = (products / length / length[:, None])[:, :2].mean(0)
        np.testing.assert_allclose(ours.similarity[sample], expected, atol=1e-10)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_permutation_equals_reordered_square_matrices(comparison, rdms):
    models = np.array([rdms[0] + 3 * rdms[3][::-1], np.round(rdms[1] + 4 * np.roll(rdms[2], 5))])
    p = compute_rsa_p_value(rdms, models, comparison=comparison, n_permutations=30, seed=2)
    generator = make_rng(2, "permutation-rsa")
    null = []
    for _ in range(30):
        order = generator.permutation(12)
        moved = [squareform(squareform(model)[np.ix_(order, order)], checks=False) for model in models]
        null.append(compare_rdms(rdms, np.array(moved), comparison=comparison).mean(0))
    observed = compare_rdms(rdms, models, comparison=comparison).mean(0)
    expected = (1 + (np.array(null) >= observed - 1e-12).sum(0)) / 31
    assert expected.max() > 1 / 31
    np.testing.assert_allclose(p, expected)


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
    with pytest.raises(ValueError, match="must hold the 66 pairs of subject_rdms, got 45"):
        compute_rsa_p_value(rdms, rdms[:, :45])
    with pytest.raises(ValueError, match=r"subject_rdms must hold all .* got 65 pairs"):
        bootstrap_rsa(rdms[:, :65], rdms[:, :65])
