"""Sweeps: transforms by hand, the shortcut by columns against turned retinas, statistics against loops."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import pearsonr
from torch import nn

from neurovis.features.weights import build_seeded
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.padding import convert_padding
from neurovis.foveation.sampling import CartesianSampler, LogPolarSampler
from neurovis.foveation.sweeps import summarise_sweep, sweep_images, sweep_retina, transform_images


def make_network(*, circular):
    network = build_seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        ),
        0,
    )  # fmt: skip
    with torch.no_grad():
        network[-1].weight *= 20
    return convert_padding(network) if circular else network


@pytest.fixture
def scenes(rng):
    coarse = torch.from_numpy(rng.random((6, 3, 8, 8))).float()
    return nn.functional.interpolate(coarse, (48, 48), mode="bicubic").clamp(0, 1), rng.integers(0, 4, 6)


def test_quarter_turns_and_shifts_are_exact(rng):
    images = torch.from_numpy(rng.random((2, 3, 10, 10)))
    turned = transform_images(images, transform="rotation", amount=90)
    torch.testing.assert_close(turned, images.rot90(1, (2, 3)), atol=1e-12, rtol=0)
    moved = transform_images(images, transform="shift", amount=(0.2, -0.4))
    torch.testing.assert_close(moved, images.roll((-2, 1), (2, 3)))
    same = transform_images(images, transform="zoom", amount=1)
    torch.testing.assert_close(same, images, atol=1e-12, rtol=0)


def test_zoom_enlarges_about_the_middle():
    image = torch.zeros(1, 1, 16, 16)
    image[..., 6:10, 6:10] = 1
    assert float(transform_images(image, transform="zoom", amount=2).sum()) == pytest.approx(64)
    assert float(transform_images(image, transform="zoom", amount=0.5).sum()) == pytest.approx(4)


def test_columns_equal_turned_retinas(scenes):
    images, labels = scenes
    classifier = FoveatedClassifier(LogPolarSampler(16, 24), make_network(circular=True)).eval()
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (6, 2))
    angles = np.arange(-180, 181, 15.0)
    fast = sweep_retina(
        classifier, images, labels, transform="rotation", amounts=angles, fixations=points, batch_size=4
    )
    with torch.no_grad():
        for column, angle in enumerate(angles):
            logits = classifier(images, points, angle_deg=angle)
            wanted = logits.softmax(1)[torch.arange(6), torch.from_numpy(labels)]
            np.testing.assert_allclose(fast["probability"][:, column], wanted, atol=1e-5)
    # Angles between columns are sampled anew.
    between = sweep_retina(classifier, images, labels, transform="rotation", amounts=[0, 7.0, 15.0])
    assert np.abs(between["probability"][:, 1] - between["probability"][:, 0]).max() > 1e-3


def test_turning_the_image_is_like_turning_the_retina(scenes):
    images, labels = scenes
    for retina in (LogPolarSampler(16, 24, r_max=0.9), CartesianSampler(24, r_max=0.9)):
        classifier = FoveatedClassifier(retina, make_network(circular=False)).eval()
        options = {"transform": "rotation", "amounts": [-90.0, -45.0, 0.0, 45.0]}
        by_retina = sweep_retina(classifier, images, labels, **options)["probability"].values
        by_image = sweep_images(classifier, images, labels, **options)["probability"].values
        np.testing.assert_allclose(by_retina[:, [0, 2]], by_image[:, [0, 2]], atol=1e-4)
        same, opposite = (np.abs(by_retina[:, 3] - by_image[:, k]).mean() for k in (3, 1))
        assert same < opposite / 2


def test_zooms_of_image_and_retina_agree_and_the_inner_ring_may_stay(scenes):
    images, labels = scenes
    classifier = FoveatedClassifier(LogPolarSampler(16, 24, r_max=0.5), make_network(circular=False)).eval()
    options = {"transform": "zoom", "amounts": [0.7, 1.0, 1.4]}
    by_retina = sweep_retina(classifier, images, labels, **options)["probability"].values
    by_image = sweep_images(classifier, images, labels, **options)["probability"].values
    np.testing.assert_allclose(by_retina, by_image, atol=0.1)
    assert np.corrcoef(by_retina.ravel(), by_image.ravel())[0, 1] > 0.99
    kept = sweep_retina(classifier, images, labels, keep_inner=True, **options)["probability"].values
    np.testing.assert_allclose(kept[:, 1], by_retina[:, 1], atol=1e-6)
    assert np.abs(kept[:, 0] - by_retina[:, 0]).max() > 1e-3


def test_shifts_carry_both_coordinates(scenes):
    images, labels = scenes
    classifier = FoveatedClassifier(CartesianSampler(24, mask=False), make_network(circular=False)).eval()
    shifts = [(0.0, 0.0), (0.5, -0.25)]
    sweep = sweep_retina(classifier, images, labels, transform="shift", amounts=shifts)
    assert sweep["shift_y"].values.tolist() == [0.0, -0.25]
    with torch.no_grad():
        moved = classifier(images.roll((-6, 12), (2, 3))).argmax(1).numpy()
    np.testing.assert_array_equal(sweep["correct"][:, 1], moved == labels)


def make_sweep(seed, n=40, transform="rotation"):
    rng = np.random.default_rng(seed)
    amounts = [-90.0, -45.0, 0.0, 90.0] if transform == "rotation" else [0.5, 1.0, 1.5, 4.0]
    probability = rng.random((n, 4)).astype(np.float32)
    return xr.Dataset(
        {"probability": (("stimulus", "amount"), probability),
         "correct": (("stimulus", "amount"), probability > 0.4)},
        coords={"amount": amounts}, attrs={"transform": transform},
    )  # fmt: skip


@pytest.mark.parametrize("transform", ["rotation", "zoom"])
def test_summary_equals_a_loop(transform):
    sweep = make_sweep(0, transform=transform)
    table = summarise_sweep(sweep, n_bootstraps=500)
    still = sweep["amount"].values.tolist().index(0.0 if transform == "rotation" else 1.0)
    curve = sweep["correct"].values.mean(axis=0)
    place = sweep["amount"].values if transform == "rotation" else np.log2(sweep["amount"].values)
    area = sum((place[k + 1] - place[k]) * (curve[k] + curve[k + 1]) / 2 for k in range(3)) / (
        place[-1] - place[0]
    )
    likeness = np.mean([
        pearsonr(sweep["probability"].values[:, k], sweep["probability"].values[:, still])[0]
        for k in range(4) if k != still
    ])  # fmt: skip
    expected = [curve[still], area, curve.min(), curve[still] - area, likeness]
    np.testing.assert_allclose(table["value"], expected, atol=1e-6)
    assert (table["low"] <= table["value"] + 1e-9).all()
    spread = table.loc["unchanged", "high"] - table.loc["unchanged", "low"]
    binomial = 2 * 1.96 * np.sqrt(curve[still] * (1 - curve[still]) / 40)
    assert spread == pytest.approx(binomial, rel=0.2)


def test_a_difference_resamples_the_same_images():
    sweep, other = make_sweep(0), make_sweep(1)
    same = summarise_sweep(sweep, sweep)
    assert (same == 0).all(axis=None)
    table = summarise_sweep(sweep, other)
    separate = summarise_sweep(sweep)["value"] - summarise_sweep(other)["value"]
    np.testing.assert_allclose(table["value"], separate)


def test_bad_input_is_named(scenes):
    images, labels = scenes
    classifier = FoveatedClassifier(CartesianSampler(24), make_network(circular=False))
    with pytest.raises(ValueError, match="transform must be 'rotation', 'zoom' or 'shift', got 'shear'"):
        sweep_images(classifier, images, labels, transform="shear", amounts=[0])
    with pytest.raises(ValueError, match=r"amounts must be positive for a zoom, got -1"):
        sweep_images(classifier, images, labels, transform="zoom", amounts=[-1, 1])
    with pytest.raises(ValueError, match=r"amounts must have shape \(any, 2\), got \(2,\)"):
        sweep_retina(classifier, images, labels, transform="shift", amounts=[0, 1])
    with pytest.raises(ValueError, match="labels must be classes of logits"):
        sweep_images(classifier, images, labels + 4, transform="rotation", amounts=[0])
    with pytest.raises(ValueError, match=r"labels must have shape \(6\), got \(5,\)"):
        sweep_images(classifier, images, labels[:5], transform="rotation", amounts=[0])
    with pytest.raises(ValueError, match=r"images must be square"):
        transform_images(images[..., :20], transform="rotation", amount=1)
    with pytest.raises(ValueError, match="amounts must rise and include the one of no change"):
        summarise_sweep(make_sweep(0).isel(amount=[0, 1, 3]))
    with pytest.raises(ValueError, match="at least 3 rotations or zooms"):
        summarise_sweep(make_sweep(0).isel(amount=[1, 2]))
    with pytest.raises(ValueError, match="other must hold the same images"):
        summarise_sweep(make_sweep(0), make_sweep(1, n=39))
