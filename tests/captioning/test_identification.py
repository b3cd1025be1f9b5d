import numpy as np
import pytest

from neurovis.captioning.identification import embed_captions, identify_voxels


@pytest.fixture
def world():
    """Voxels tuned to directions, captions that lie near them, in one space with images."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(60, 16))
    images = rng.normal(size=(300, 16))
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    texts = weights + 1.5 * rng.normal(size=weights.shape)
    return texts, images, units @ weights.T, np.repeat(["FFA", "PPA", "EBA"], 20)


def rank_slowly(texts, images, predicted, candidates):
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    ranks = []
    for v in range(len(texts)):
        profile = units @ texts[v] / np.linalg.norm(texts[v])
        r = [np.corrcoef(profile, predicted[:, u])[0, 1] for u in candidates[v]]
        own = np.corrcoef(profile, predicted[:, v])[0, 1]
        ranks.append(1 + sum(x > own + 1e-9 for x in r) + (sum(abs(x - own) <= 1e-9 for x in r) - 1) / 2)
    return ranks


def test_ranks_equal_plain_loops(world):
    texts, images, predicted, regions = world
    found = identify_voxels(*world, n_permutations=50)
    everyone = [range(60)] * 60
    assert found.table["rank_all"].tolist() == rank_slowly(texts, images, predicted, everyone)
    within = [np.flatnonzero(regions == region) for region in regions]
    assert found.table["rank_region"].tolist() == rank_slowly(texts, images, predicted, within)
    assert set(found.table["n_region"]) == {20}
    row = found.summary.loc["all"]
    expected = np.mean((60 - found.table["rank_all"]) / 59)
    assert row["pairwise_accuracy"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"]
    assert row["top_1"] > 0.2 > row["chance"]
    assert (found.summary["p"] == 1 / 51).all()


def test_base_captions_bridge_the_gap_between_text_and_images(world):
    texts, images, predicted, regions = world
    rng = np.random.default_rng(2)
    gap = 20 * rng.normal(size=16)
    base = gap + rng.normal(size=(500, 16))
    plain = identify_voxels(texts + gap, images, predicted, regions, n_permutations=0).summary
    bridged = identify_voxels(
        texts + gap, images, predicted, regions, base_embeddings=base, n_permutations=0
    ).summary
    assert bridged.loc["all", "top_1"] > 0.2 > plain.loc["all", "top_1"]


def test_captions_of_other_voxels_are_at_chance(world):
    texts, images, predicted, regions = world
    rng = np.random.default_rng(1)
    p = [
        identify_voxels(rng.permutation(texts), images, predicted, regions, n_permutations=99).summary
        for _ in range(20)
    ]
    accuracy = [s.loc["all", "pairwise_accuracy"] for s in p]
    assert np.mean(accuracy) == pytest.approx(0.5, abs=0.03)
    assert np.mean([s.loc["region", "p"] < 0.2 for s in p]) < 0.5


def test_one_caption_for_all_is_at_chance_and_ties_count_half(world):
    texts, images, predicted, regions = world
    found = identify_voxels(np.repeat(texts[:1], 60, axis=0), images, predicted, regions, n_permutations=20)
    assert found.summary.loc["all", "pairwise_accuracy"] == pytest.approx(0.5)
    assert np.isnan(found.summary.loc["all", "low"])
    same = identify_voxels(texts, images, np.repeat(predicted[:, :1], 60, axis=1), regions)
    assert (same.table["rank_all"] == 30.5).all()


def test_a_voxel_alone_in_its_region_has_no_rank_there(world):
    texts, images, predicted, _ = world
    regions = ["one"] + ["two"] * 59
    found = identify_voxels(texts, images, predicted, regions, n_permutations=0)
    assert np.isnan(found.table.loc[0, "rank_region"])
    assert found.summary.loc["region", "n_voxels"] == 59
    assert np.isnan(found.summary["p"]).all()
    lonely = identify_voxels(texts, images, predicted, [str(i) for i in range(60)])
    assert np.isnan(lonely.summary.loc["region", "pairwise_accuracy"])


def test_each_sentence_is_embedded_once():
    calls = []

    def embed(texts):
        calls.extend(texts)
        return np.array([[len(text), text.count("a")] for text in texts])

    found = embed_captions(["a cat", "dog", "a cat", "bat"], embed, batch_size=2)
    assert found.tolist() == [[5, 2], [3, 0], [5, 2], [3, 1]]
    assert sorted(calls) == ["a cat", "bat", "dog"]


def test_bad_input_is_named(world):
    texts, images, predicted, regions = world
    with pytest.raises(ValueError, match=r"caption_embeddings must have shape \(60, any\)"):
        identify_voxels(texts[:5], images, predicted, regions)
    with pytest.raises(ValueError, match=r"regions one name per voxel, got .* and 3 names"):
        identify_voxels(texts, images, predicted, ["a", "b", "c"])
    flat = predicted.copy()
    flat[:, 7] = 1.0
    with pytest.raises(ValueError, match=r"every predicted must vary over images, got 1 constant.* first 7"):
        identify_voxels(texts, images, flat, regions)
    with pytest.raises(ValueError, match="zero row"):
        identify_voxels(texts * 0, images, predicted, regions)
    with pytest.raises(ValueError, match="got none or an empty one"):
        embed_captions(["a", " "], lambda t: t)
