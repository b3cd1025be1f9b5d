"""Clusters against mne and TFCE against its definition; planted patches are found, noise holds the rate."""

import numpy as np
import pytest
from scipy import sparse, stats

from neurovis.metrics.cluster import (
    compute_cluster_test,
    compute_one_sample_clusters,
    compute_tfce,
    find_clusters,
    make_adjacency,
)
from neurovis.metrics.significance import compute_permutation_null

SIDE = 14


@pytest.fixture(scope="module")
def faces():
    """A square sheet of triangles."""
    corner = np.array([[r * SIDE + c for c in range(SIDE - 1)] for r in range(SIDE - 1)]).ravel()
    lower = np.stack([corner, corner + 1, corner + SIDE], axis=1)
    upper = np.stack([corner + 1, corner + SIDE + 1, corner + SIDE], axis=1)
    return np.concatenate([lower, upper])


@pytest.fixture(scope="module")
def adjacency(faces):
    return make_adjacency(faces, SIDE * SIDE)


@pytest.fixture(scope="module")
def smooth(adjacency):
    """Operator that makes noise smooth, of variance 1."""
    operator = (adjacency + sparse.identity(SIDE * SIDE)).toarray()
    operator = operator @ operator
    return operator / np.linalg.norm(operator, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def patch():
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    return np.hypot(row - 4, column - 4) < 2.6


def flood(adjacency, inside):
    """Connected sets, one vertex at a time."""
    left, found = set(np.flatnonzero(inside)), []
    while left:
        front, members = [left.pop()], []
        while front:
            vertex = front.pop()
            members.append(vertex)
            near = adjacency.indices[adjacency.indptr[vertex] : adjacency.indptr[vertex + 1]]
            reached = left.intersection(near)
            left -= reached
            front += reached
        found.append(members)
    return found


def test_adjacency_holds_every_edge_once(faces, adjacency):
    edges = {tuple(sorted(pair)) for face in faces for pair in zip(face, np.roll(face, 1), strict=True)}
    assert adjacency.nnz == 2 * len(edges)
    assert all(adjacency[a, b] == adjacency[b, a] == 1 for a, b in edges)
    assert adjacency.diagonal().sum() == 0


@pytest.mark.parametrize("powers", [(0.5, 2.0), (1.0, 1.0), (0.5, 0.0)])
def test_tfce_equals_its_definition(powers, adjacency, smooth, rng):
    scores, areas = smooth @ rng.normal(size=SIDE * SIDE) * 2, rng.uniform(0.5, 2, SIDE * SIDE)
    step, expected = 0.2, np.zeros(SIDE * SIDE)
    for sign in (1, -1):
        for height in np.arange(step, np.abs(scores).max(), step):
            for members in flood(adjacency, sign * scores > height):
                expected[members] += sign * areas[members].sum() ** powers[0] * height ** powers[1] * step
    ours = compute_tfce(
        scores, adjacency, step=step, areas=areas, extent_power=powers[0], height_power=powers[1]
    )
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert (expected < 0).any()


def test_tfce_converges_with_finer_steps_and_grows_with_support(adjacency):
    scores = np.zeros(SIDE * SIDE)
    scores[20] = 2.0
    alone = compute_tfce(scores, adjacency, step=0.001)[20]
    np.testing.assert_allclose(alone, 2**3 / 3, rtol=0.01)
    scores[adjacency[20].indices] = 1.0
    assert compute_tfce(scores, adjacency, step=0.001)[20] > alone
    assert not compute_tfce(np.zeros(SIDE * SIDE), adjacency).any()


@pytest.fixture
def quiet_mne(monkeypatch, tmp_path):
    monkeypatch.setenv("_MNE_FAKE_HOME_DIR", str(tmp_path))
    monkeypatch.setenv("MNE_LOGGING_LEVEL", "ERROR")
    (tmp_path / ".mne").mkdir()
    return pytest.importorskip("mne")


def test_mass_and_its_p_equal_mne(adjacency, smooth, patch, rng, quiet_mne):
    values = rng.normal(size=(7, SIDE * SIDE)) @ smooth.T + 0.9 * patch
    ours = compute_one_sample_clusters(values, adjacency, threshold=2.0, n_permutations=127)
    t, clusters, p, _ = quiet_mne.stats.permutation_cluster_1samp_test(
        values, threshold=2.0, n_permutations="all", tail=0, adjacency=adjacency.tocoo(), out_type="indices"
    )
    np.testing.assert_allclose(ours.observed, t)
    np.testing.assert_allclose(ours.observed, stats.ttest_1samp(values, 0).statistic)
    assert ours.cluster.max() == len(clusters) > 3
    for (members,), own in zip(clusters, p, strict=True):
        assert len(np.unique(ours.cluster[members])) == 1
        np.testing.assert_allclose(ours.enhanced[members], t[members].sum())
        # mne makes one of each pair of mirrored flips and leaves one pair out.
        np.testing.assert_allclose(ours.p_value[members], own, atol=1 / 63)
    assert (ours.p_value[ours.cluster == 0] == 1).all()


def test_tfce_equals_mne_where_height_has_no_weight(adjacency, smooth, rng, quiet_mne):
    values = rng.normal(size=(9, SIDE * SIDE)) @ smooth.T + 0.3
    theirs, *_ = quiet_mne.stats.permutation_cluster_1samp_test(
        values,
        threshold={"start": 0.1, "step": 0.1, "h_power": 1, "e_power": 0.5},
        n_permutations=2,
        adjacency=adjacency.tocoo(),
        seed=0,
    )
    t = stats.ttest_1samp(values, 0).statistic
    np.testing.assert_allclose(compute_tfce(t, adjacency, step=0.1, height_power=0.0), theirs, atol=1e-9)


@pytest.mark.parametrize("threshold", [None, 2.0])
def test_a_planted_patch_is_found_over_subjects(threshold, adjacency, smooth, patch, rng):
    values = rng.normal(size=(12, SIDE * SIDE)) @ smooth.T + 1.2 * patch
    test = compute_one_sample_clusters(values, adjacency, threshold=threshold, n_permutations=300, seed=1)
    found = test.p_value <= 0.05
    assert found[patch].mean() > 0.8
    assert (test.cluster[patch] == 1).mean() > 0.8
    # The edge of a smooth patch reaches a vertex further; the far side does not.
    assert not found[100:].any()


@pytest.mark.parametrize("threshold", [None, 0.35])
def test_a_planted_patch_is_found_within_a_subject(threshold, adjacency, smooth, patch, rng):
    truth, noise = rng.normal(size=(2, 40, SIDE * SIDE))
    truth, noise = truth @ smooth.T, noise @ smooth.T
    prediction = np.where(patch, truth + 1.5 * noise, noise)
    observed, null = compute_permutation_null(truth, prediction, n_permutations=200)
    test = compute_cluster_test(observed, null, adjacency, threshold=threshold)
    assert (test.p_value <= 0.05)[patch].mean() > 0.8
    assert not (test.p_value <= 0.05)[100:].any()


@pytest.mark.parametrize("threshold", [None, 2.2])
def test_noise_passes_at_the_rate_of_the_test(threshold, adjacency, smooth):
    passed = 0
    for seed in range(60):
        values = np.random.default_rng(seed).normal(size=(8, SIDE * SIDE)) @ smooth.T
        test = compute_one_sample_clusters(
            values,
            adjacency,
            threshold=threshold,
            step=None if threshold else 1.0,  # coarse, which costs power but keeps the rate
            n_permutations=19,
            seed=seed,
        )
        passed += test.p_value.min() <= 0.1
    # 6 expected; a rate of 0.1 stays within these bounds in 99.6 % of cases.
    assert 1 <= passed <= 13


def test_bad_input(adjacency):
    scores = np.zeros(SIDE * SIDE)
    with pytest.raises(ValueError, match=r"adjacency must have shape \(5, 5\)"):
        compute_tfce(scores[:5], adjacency)
    with pytest.raises(ValueError, match="threshold must be above 0, got -1"):
        find_clusters(scores, adjacency, threshold=-1)
    with pytest.raises(ValueError, match="step must be above 0, got 0"):
        compute_tfce(scores, adjacency, step=0)
    with pytest.raises(ValueError, match="got both; a threshold asks for cluster mass"):
        compute_cluster_test(scores, [scores], adjacency, step=0.1, threshold=1.0)
    with pytest.raises(ValueError, match="null must hold at least one permutation"):
        compute_cluster_test(scores, [], adjacency)
    with pytest.raises(ValueError, match="faces must be at most 8, got 9"):
        make_adjacency([[0, 1, 9]], 9)
    with pytest.raises(ValueError, match="at least 2 subjects, got 1"):
        compute_one_sample_clusters(scores[None], adjacency)
