"""The world judge: its interface, its training at small size, and the shipped weights."""

import json
import shutil

import numpy as np
import pytest
import torch

from neurovis.core import find_model
from neurovis.features.contrastive_scenes import make_captioned_scenes
from neurovis.features.weights import build_seeded
from neurovis.features.world_judge import (
    LEVELS,
    WorldJudge,
    classify_images,
    load_world_judge,
    sum_subtypes,
    to_input,
)
from neurovis.features.world_judge_training import (
    TEST_SEED,
    AugmentedBatches,
    measure_calibration,
    measure_judge,
    train_world_judge,
)
from neurovis.stimuli.world import CATEGORIES, CATEGORY_OF
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.loop import ArrayBatches


@pytest.fixture(scope="module")
def scenes():
    return make_captioned_scenes(240, seed=TEST_SEED)


def test_probabilities_are_those_of_the_network_in_named_columns(scenes):
    judge = build_seeded(WorldJudge, 0).eval()
    subtypes = classify_images(scenes.images[:7], level="subtype", judge=judge, batch_size=3)
    with torch.no_grad():
        expected = judge(to_input(torch.from_numpy(scenes.images[:7]))).softmax(dim=1)
    np.testing.assert_allclose(subtypes, expected, atol=1e-6)
    categories = classify_images(scenes.images[:7], judge=judge)
    assert categories.shape == (7, 6)
    np.testing.assert_allclose(categories.sum(axis=1), 1, atol=1e-6)
    for column, category in enumerate(LEVELS["category"]):
        own = [SUBTYPE_NAMES.index(name) for name in SUBTYPE_NAMES if CATEGORY_OF[name] == category]
        np.testing.assert_allclose(categories[:, column], subtypes[:, own].sum(axis=1), atol=1e-6)
    np.testing.assert_array_equal(categories, sum_subtypes(subtypes))


def test_shipped_judge_is_right_on_unseen_scenes_and_on_degraded_ones(scenes):
    folder = find_model("world-judge")
    config = json.loads((folder / "config.json").read_text())
    assert sum(path.stat().st_size for path in folder.iterdir()) < 15e6
    found, stated = measure_judge(load_world_judge(), scenes), config["quality"]
    # Three standard errors of 240 scenes below what 1200 gave.
    for name, expected in stated["by_degradation"].items():
        for level in LEVELS:
            assert found["by_degradation"][name][level] > expected[level] - 0.04, name
    assert found["by_degradation"]["none"]["category"] > 0.95
    assert np.trace(found["confusion"]) == pytest.approx(240 * found["by_degradation"]["none"]["category"])
    assert found["calibration"]["expected_error"] < 0.04


def test_shipped_judge_is_deterministic_and_indifferent_to_the_size(scenes):
    first = classify_images(scenes.images[:30])
    np.testing.assert_array_equal(first, classify_images(scenes.images[:30]))
    np.testing.assert_allclose(first, classify_images(scenes.images[:30], batch_size=7), atol=1e-5)
    doubled = scenes.images[:30].repeat(2, axis=1).repeat(2, axis=2)
    assert (classify_images(doubled).argmax(axis=1) == first.argmax(axis=1)).mean() > 0.9


def test_judge_says_what_it_takes(scenes, tmp_path):
    with pytest.raises(TypeError, match=r"images must be uint8 from 0 to 255, got float64; convert floats"):
        classify_images(scenes.images[:2] / 255)
    for wrong in (
        scenes.images[0],
        scenes.images[:2, :32],
        scenes.images[:2, :8, :8],
        scenes.images[..., :1],
    ):
        with pytest.raises(ValueError, match=r"shape \(n, height, width, 3\), square and at least 16 px"):
            classify_images(wrong)
    with pytest.raises(ValueError, match="at least one image"):
        classify_images(scenes.images[:0])
    with pytest.raises(ValueError, match="level must be 'category' or 'subtype', got 'kind'"):
        classify_images(scenes.images[:2], level="kind")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        classify_images(scenes.images[:2], batch_size=0)
    with pytest.raises(FileNotFoundError):
        load_world_judge(tmp_path / "nowhere")
    shutil.copytree(find_model("world-judge"), tmp_path / "judge")
    (tmp_path / "judge" / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"must have sha256 .*train_world_judge"):
        load_world_judge(tmp_path / "judge")


def test_augmented_batches_are_seeded_and_keep_writing_legible(scenes):
    arrays = (torch.from_numpy(scenes.images), torch.from_numpy(scenes.subtypes))
    batches = AugmentedBatches(ArrayBatches(arrays, 32, 0), 0)
    first = list(batches(0))
    assert len(first) == len(batches) == 8
    for (images, subtypes), (images_again, subtypes_again) in zip(first, batches(0), strict=True):
        torch.testing.assert_close(images, images_again)
        assert torch.equal(subtypes, subtypes_again)
        assert images.shape[1:] == (3, 64, 64)
        assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert not torch.equal(first[0][0], next(iter(batches(1)))[0])
    # A left half that is brighter than the right stays so in a picture of a word, and not in all others.
    ramp = torch.linspace(255, 0, 64).to(torch.uint8).expand(64, 64).unsqueeze(2).repeat(100, 1, 1, 3)
    ramp = ramp.reshape(100, 64, 64, 3)
    for name, mirrored in (("print", False), ("script", False), ("tool", True)):
        labels = torch.full((100,), SUBTYPE_NAMES.index(name))
        ((images, _),) = AugmentedBatches(ArrayBatches((ramp, labels), 100, 0), 0)(0)
        brighter_left = images[..., :20].mean(dim=(1, 2, 3)) > images[..., -20:].mean(dim=(1, 2, 3))
        assert bool((~brighter_left).any()) == mirrored


def test_calibration_by_a_slow_loop():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(6), 500)
    truth = np.array([rng.choice(6, p=row) for row in probabilities])
    found = measure_calibration(probabilities, truth)
    gap = 0.0
    for low in np.arange(10) / 10:
        rows = [r for r in range(500) if low <= probabilities[r].max() < low + 0.1]
        if rows:
            sure = np.mean([probabilities[r].max() for r in rows])
            right = np.mean([probabilities[r].argmax() == truth[r] for r in rows])
            gap += abs(sure - right) * len(rows) / 500
    assert found["expected_error"] == pytest.approx(gap, abs=1e-4)
    # Truth drawn from the probabilities: sure as often as right, within noise; sharpened ones are too sure.
    assert found["expected_error"] < 0.1
    sharp = probabilities**4 / (probabilities**4).sum(axis=1, keepdims=True)
    assert measure_calibration(sharp, truth)["expected_error"] > 0.2
    assert measure_calibration(np.eye(6)[[0, 1]], np.array([0, 2]))["nll"] > 100


def test_training_writes_a_model_that_loads(tmp_path):
    options = {"n_images": 24, "n_epochs": 2, "n_test": 24}
    quality = train_world_judge(tmp_path / "one", **options, checkpoint=tmp_path / "c.safetensors")
    train_world_judge(tmp_path / "two", **options)
    first, second = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("one", "two"))
    assert first == second
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    assert config["quality"]["by_degradation"] == quality["by_degradation"]
    assert tuple(config["categories"]) == CATEGORIES
    card = (tmp_path / "one" / "README.md").read_text()
    assert config["sha256"] in card
    assert "--n-images 24 --n-epochs\n  2 --seed 0" in card
    scenes = make_captioned_scenes(24, seed=TEST_SEED)
    again = measure_judge(load_world_judge(tmp_path / "one"), scenes)
    assert again["confusion"] == quality["confusion"]
