"""Retraining behind a retina: batches, frozen statistics, resuming, and a task that it learns."""

import numpy as np
import pytest
import torch
from torch import nn

from neurovis.features.weights import build_seeded
from neurovis.foveation.padding import ThetaConv2d
from neurovis.foveation.retraining import FixatedBatches, build_foveated, retrain_classifier
from neurovis.foveation.sampling import CartesianSampler, LogPolarSampler


def make_network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 2),
    )  # fmt: skip


def make_spots(n, seed=0):
    """Images with a red and a green spot; the label is the colour of the one that is fixated."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 110, (n, 24, 24, 3)).astype(np.uint8)
    labels = rng.integers(0, 2, n)
    for image in images:
        image[6:10, 6:10, 0] = 250
        image[14:18, 14:18, 1] = 250
    points = np.where(labels[:, None] == 0, -1 / 3, 1 / 3) * np.ones(2)
    return torch.from_numpy(images), torch.from_numpy(labels), torch.from_numpy(points)


def test_batches_keep_fixations_on_what_they_fixate():
    images, labels, points = make_spots(40)
    batches = FixatedBatches(images, labels, points, batch_size=16, seed=3)
    assert len(batches) == 3
    seen = list(batches(0))
    assert [len(part[2]) for part in seen] == [16, 16, 8]
    retina = CartesianSampler(2, r_max=0.05, mask=False, antialias=False)
    mirrored = 0
    for pictures, where, own in seen:
        colours = retina(pictures, where).mean(dim=(2, 3))
        np.testing.assert_array_equal(colours[:, :2].argmax(1), own)
        mirrored += int((where[:, 0] != where[:, 1]).sum())
    assert 8 < mirrored < 32
    again, other = list(batches(0)), list(batches(1))
    assert all(torch.equal(a, b) for a, b in zip(seen[0], again[0], strict=True))
    assert not torch.equal(seen[0][0], other[0][0])


def test_mirrors_can_be_forbidden_and_fixations_jitter_within_bounds():
    images, labels, points = make_spots(200)
    free = labels == 0
    batches = FixatedBatches(images, labels, points, mirror=free, jitter=0.4, batch_size=200)
    _, where, own = next(iter(batches(0)))
    assert where.abs().max() <= 0.9
    # Label 1 is never mirrored: its mean fixation stays at 1/3 in both coordinates.
    np.testing.assert_allclose(where[own == 1].mean(0), [1 / 3, 1 / 3], atol=0.12)
    assert abs(float(where[own == 0][:, 0].mean())) < 0.12
    assert float((where[own == 1] - 1 / 3).std()) == pytest.approx(0.37, abs=0.06)
    middles = FixatedBatches(images, labels, mirror=False, batch_size=200)
    assert not next(iter(middles(0)))[1].any()


def test_bad_batches_are_named():
    images, labels, points = make_spots(4)
    with pytest.raises(ValueError, match=r"images must be uint8 of shape \(n, height, width, 3\)"):
        FixatedBatches(images.float(), labels)
    with pytest.raises(ValueError, match=r"fixations must have shape \(4, 2\) for 4 images, got \(3, 2\)"):
        FixatedBatches(images, labels, points[:3])
    with pytest.raises(ValueError, match="jitter must not be negative"):
        FixatedBatches(images, labels, jitter=-1)


def test_log_polar_retinas_turn_the_padding():
    network = make_network()
    assert type(build_foveated(network, LogPolarSampler()).backbone[0]) is ThetaConv2d
    assert build_foveated(network, CartesianSampler()).backbone is network


def test_retraining_learns_what_is_fixated():
    images, labels, points = make_spots(96)
    test_images, test_labels, test_points = make_spots(64, seed=1)

    def build():
        network = build_seeded(make_network, 0)
        return build_foveated(network, LogPolarSampler(12, 16, r_min=0.05, r_max=0.8))

    batches = FixatedBatches(images, labels, points, jitter=0.05, batch_size=32)
    options = {"seed": 0, "learning_rate": 0.02, "optimiser": "adamw"}
    classifier = build()
    result = retrain_classifier(classifier, batches, n_epochs=8, **options)
    assert result.history[-1].loss < result.history[0].loss
    pictures = test_images.permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        found = classifier(pictures, test_points).argmax(1)
        away = classifier(pictures, -test_points).argmax(1)
    assert (found == test_labels).float().mean() > 0.95
    # The same images, fixated at the other spot, are called by the other name.
    assert (away == 1 - test_labels).float().mean() > 0.95


def test_a_killed_run_ends_with_the_same_weights(tmp_path):
    images, labels, points = make_spots(48)
    batches = FixatedBatches(images, labels, points, jitter=0.05, batch_size=16)
    calls = []

    def run(validate, checkpoint=None):
        classifier = build_foveated(build_seeded(make_network, 0), LogPolarSampler(8, 8))
        retrain_classifier(
            classifier, batches, n_epochs=4, seed=0, learning_rate=0.01, validate=validate,
            checkpoint=checkpoint,
        )  # fmt: skip
        return classifier.state_dict()

    def interrupt(model):
        calls.append(model)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return -float(len(calls))

    with pytest.raises(KeyboardInterrupt):
        run(interrupt, tmp_path / "run.safetensors")
    values = iter(range(-3, -10, -1))
    resumed = run(lambda model: next(values), tmp_path / "run.safetensors")
    values = iter(range(-1, -10, -1))
    whole = run(lambda model: next(values))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.parametrize("freeze_bn", [True, False])
def test_frozen_statistics_stay(freeze_bn):
    images, labels, points = make_spots(32)
    classifier = build_foveated(build_seeded(make_network, 0), LogPolarSampler(8, 8), freeze_bn=freeze_bn)
    norm = classifier.backbone[1]
    before = norm.running_mean.clone()
    weight = classifier.backbone[0].weight.clone()
    batches = FixatedBatches(images, labels, points, batch_size=16)
    retrain_classifier(classifier, batches, n_epochs=2, seed=0, learning_rate=0.01, precision="bfloat16")
    assert torch.equal(norm.running_mean, before) is freeze_bn
    assert not torch.equal(classifier.backbone[0].weight, weight)
    with pytest.raises(ValueError, match="precision must be 'float32' or 'bfloat16', got 'int8'"):
        retrain_classifier(classifier, batches, n_epochs=1, seed=0, precision="int8")
