import numpy as np
import pytest

from neurovis.captioning.projection import (
    Tile,
    compute_repeat_agreement,
    make_tiles,
    project_weights,
)


def project_densely(weights, embeddings, beta):
    """The definition, voxel by voxel, in float64."""
    norms = np.linalg.norm(embeddings, axis=1)
    directions = embeddings / norms[:, None]
    found = []
    for w in weights / np.linalg.norm(weights, axis=1, keepdims=True):
        score = beta * (directions @ w)
        alpha = np.exp(score - score.max())
        alpha /= alpha.sum()
        g = alpha @ directions
        found.append((alpha @ norms) * g / np.linalg.norm(g))
    return np.array(found)


@pytest.fixture
def space():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(700, 24)) + 2 * rng.normal(size=24)
    embeddings *= rng.uniform(10, 12, (700, 1)) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return rng.normal(size=(30, 24)), embeddings


@pytest.mark.parametrize("tile_rows", [1, 64, 700])
def test_streaming_equals_the_dense_softmax(space, tile_rows):
    weights, embeddings = space
    betas = (0.0, 15.0, 150.0, 1000.0)
    found = project_weights(weights, make_tiles(embeddings, tile_rows=tile_rows), betas)
    for beta, ours in zip(betas, found.embeddings, strict=True):
        dense = project_densely(weights, embeddings, beta)
        assert np.abs(ours - dense).max() < 1e-4
    assert np.allclose(found.norms, np.linalg.norm(found.embeddings, axis=2), rtol=1e-5)


def test_blocks_of_voxels_change_nothing(space, monkeypatch):
    weights, embeddings = space
    whole = project_weights(weights, make_tiles(embeddings), 150.0)
    monkeypatch.setattr("neurovis.captioning.projection._SCRATCH_BYTES", 4 * 700 * 7)
    parts = project_weights(weights, make_tiles(embeddings), 150.0)
    assert np.allclose(whole.embeddings, parts.embeddings, atol=1e-5)


def test_limits_are_the_nearest_image_and_the_mean(space):
    weights, embeddings = space
    found = project_weights(weights, make_tiles(embeddings, tile_rows=100), (0.0, 1e6))
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    mean = directions.mean(axis=0)
    expected = np.linalg.norm(embeddings, axis=1).mean() * mean / np.linalg.norm(mean)
    assert np.allclose(found.embeddings[0], expected, atol=1e-4)
    nearest = embeddings[(weights @ directions.T).argmax(axis=1)]
    assert np.allclose(found.embeddings[1], nearest, atol=1e-4)
    assert np.allclose(found.n_effective[0], 700, rtol=1e-4)
    assert np.allclose(found.n_effective[1], 1, rtol=1e-4)


def test_number_of_images_behind_the_mean(space):
    weights, embeddings = space
    found = project_weights(weights, make_tiles(embeddings, tile_rows=33), 40.0)
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    score = 40 * (weights / np.linalg.norm(weights, axis=1, keepdims=True)) @ directions.T
    alpha = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    assert np.allclose(found.n_effective[0], 1 / (alpha**2).sum(axis=1), rtol=1e-4)


def test_a_duplicate_shard_and_another_order_change_nothing(space):
    weights, embeddings = space
    once = project_weights(weights, make_tiles(embeddings), 150.0).embeddings
    twice = project_weights(weights, make_tiles(np.concatenate([embeddings] * 2), tile_rows=90), 150.0)
    assert np.abs(twice.embeddings - once).max() < 1e-5 * np.abs(once).max()
    order = np.random.default_rng(1).permutation(700)
    moved = project_weights(weights, make_tiles(embeddings[order], tile_rows=90), 150.0).embeddings
    assert np.abs(moved - once).max() < 1e-5 * np.abs(once).max()


def test_weights_count_by_their_direction_only(space):
    weights, embeddings = space
    scaled = weights * np.linspace(0.01, 50, 30)[:, None]
    first, second = (project_weights(w, make_tiles(embeddings), 50.0).embeddings for w in (weights, scaled))
    assert np.allclose(first, second, atol=1e-4)


def test_half_precision_keeps_directions(space):
    weights, embeddings = space
    exact = project_weights(weights, make_tiles(embeddings), (15.0, 150.0)).embeddings
    coarse = project_weights(weights, make_tiles(embeddings), (15.0, 150.0), precision="bfloat16").embeddings
    cosine = (exact * coarse).sum(-1) / np.linalg.norm(exact, axis=-1) / np.linalg.norm(coarse, axis=-1)
    assert cosine[0].min() > 1 - 1e-5
    assert cosine[1].min() > 1 - 1e-3


def test_agreement_is_the_mean_cosine_of_pairs(rng):
    embeddings = rng.normal(size=(4, 6, 9))
    units = embeddings / np.linalg.norm(embeddings, axis=2, keepdims=True)
    slow = [np.mean([units[a, v] @ units[b, v] for a in range(4) for b in range(a)]) for v in range(6)]
    assert np.allclose(compute_repeat_agreement(embeddings), slow)
    assert np.allclose(compute_repeat_agreement(np.stack([embeddings[0]] * 3)), 1)


def test_bad_input_is_named(space):
    weights, embeddings = space
    tiles = list(make_tiles(embeddings))
    with pytest.raises(ValueError, match=r"weights must not be zero, got 1 zero rows, the first at 3"):
        project_weights(np.where(np.arange(30)[:, None] == 3, 0, weights), tiles)
    with pytest.raises(ValueError, match="weights must be finite"):
        project_weights(np.full((2, 24), np.nan), tiles)
    with pytest.raises(ValueError, match="at least one tile, got none"):
        project_weights(weights, [])
    with pytest.raises(ValueError, match="unit norm and the norms apart"):
        project_weights(weights, [Tile(embeddings, np.ones(700))])
    with pytest.raises(ValueError, match=r"directions \(k, 24\).*same embedding"):
        project_weights(weights, make_tiles(embeddings[:, :20]))
    with pytest.raises(ValueError, match="positive finite norms"):
        project_weights(weights, [Tile(tiles[0].directions, 0 * tiles[0].norms)])
    with pytest.raises(ValueError, match="inverse_temperatures must be at least 0"):
        project_weights(weights, tiles, -1.0)
    with pytest.raises(ValueError, match="precision must be 'float32', 'bfloat16' or 'float16'"):
        project_weights(weights, tiles, precision="int8")
    with pytest.raises(ValueError, match="needs an accelerator"):
        project_weights(weights, tiles, precision="float16")
    with pytest.raises(ValueError, match="zero row 5"):
        list(make_tiles(np.where(np.arange(700)[:, None] == 5, 0, embeddings)))
    with pytest.raises(ValueError, match="at least 2 repeats"):
        compute_repeat_agreement(np.ones((1, 3, 4)))
    opposite = np.concatenate([np.eye(24), -np.eye(24)])
    with pytest.raises(ValueError, match="must not cancel out"):
        project_weights(weights, make_tiles(opposite), 0.0)
