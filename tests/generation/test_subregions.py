"""Clusters of encoder weights: planted parts are found, shuffled weights hold none."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from neurovis.generation.subregions import find_subregions, shuffle_weights


def _plant(seed, *, n_parts=2, noise=1.0):
    """Weights of three subjects around shared directions, with gains of their own, and the true parts."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_parts, 30))
    weights, parts = {}, {}
    for subject, n in (("01", 60), ("02", 45), ("03", 80)):
        part = rng.choice(n_parts, n, p=np.arange(1, n_parts + 1)[::-1] / sum(range(n_parts + 1)))
        gain = np.exp(rng.normal(0, 1, (n, 1)))
        weights[subject] = gain * (centres[part] + noise * rng.normal(size=(n, 30)))
        parts[subject] = part
    return weights, parts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_parts", [2, 3])
def test_planted_parts_are_found_and_shuffled_ones_are_not(seed, n_parts):
    weights, parts = _plant(seed, n_parts=n_parts)
    found = find_subregions(weights, n_clusters=n_parts, seed=seed)
    joined = [np.concatenate(list(labels.values())) for labels in (found.labels, parts)]
    assert adjusted_rand_score(*joined) > 0.9
    assert found.stability > 0.9
    shuffled = find_subregions(shuffle_weights(weights, seed=seed), n_clusters=n_parts, seed=seed)
    assert shuffled.stability < 0.5
    assert shuffled.silhouette < 0.5 * found.silhouette
    mixed = np.concatenate(list(shuffled.labels.values()))
    assert adjusted_rand_score(mixed, joined[1]) < 0.1


def test_parts_are_named_alike_in_all_subjects():
    weights, parts = _plant(0)
    found = find_subregions(weights)
    assert list(found.labels) == ["01", "02", "03"]
    for subject, labels in found.labels.items():
        assert labels.shape == parts[subject].shape
        # Part 0 was planted as the larger one, and clusters are numbered by size.
        assert adjusted_rand_score(labels, parts[subject]) > 0.8
        assert (labels == parts[subject]).mean() > 0.9
    sizes = np.bincount(np.concatenate(list(found.labels.values())))
    assert sizes[0] >= sizes[1]
    unit = np.concatenate([rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in weights.values()])
    labels = np.concatenate(list(found.labels.values()))
    np.testing.assert_allclose(found.centres[1], unit[labels == 1].mean(axis=0), atol=1e-6)


def test_gain_does_not_matter():
    weights, _ = _plant(1)
    louder = {subject: rows * np.linspace(0.1, 9, len(rows))[:, None] for subject, rows in weights.items()}
    one, other = find_subregions(weights), find_subregions(louder)
    for subject in weights:
        assert (one.labels[subject] == other.labels[subject]).all()


def test_shuffling_keeps_each_feature_s_values():
    weights, _ = _plant(2)
    shuffled = shuffle_weights(weights, seed=1)
    for subject, rows in weights.items():
        np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(shuffled[subject], axis=0))
        assert not np.array_equal(rows, shuffled[subject])


def test_tells_what_does_not_fit():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"same features for all subjects, got \[3, 4\]"):
        find_subregions({"01": rng.normal(size=(9, 3)), "02": rng.normal(size=(9, 4))})
    with pytest.raises(ValueError, match="got no subject"):
        find_subregions({})
    with pytest.raises(ValueError, match="n_clusters must be between 2 and a quarter of the 9"):
        find_subregions({"01": rng.normal(size=(9, 3))}, n_clusters=3)
    with pytest.raises(ValueError, match="got 1 of 9 that are all zero"):
        find_subregions({"01": np.vstack([np.zeros((1, 3)), rng.normal(size=(8, 3))])})
    with pytest.raises(ValueError, match="n_halves must be at least 2"):
        find_subregions({"01": rng.normal(size=(9, 3))}, n_halves=1)
