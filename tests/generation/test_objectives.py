"""Objectives against plain arithmetic on the responses, and the choice of neuroids."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from neurovis.generation.objectives import (
    ContrastObjective,
    PatternObjective,
    RegionObjective,
    find_neuroids,
    find_region,
)

WEIGHTS = torch.linspace(-1, 1, 3 * 4 * 4 * 6, dtype=torch.float64).reshape(48, 6).cos()


def respond(images):
    return images.flatten(1) @ WEIGHTS


@pytest.fixture
def images(rng):
    return torch.from_numpy(rng.random((3, 3, 4, 4)))


@pytest.fixture
def neuroids():
    return pd.DataFrame(
        {
            "neuroid_id": [f"v{i}" for i in range(6)],
            "region": ["V1", "FFA", "FFA", "PPA", "PPA", "FFA"],
            "subdivision": ["", "FFA-1", "FFA-2", "", "", "FFA-2"],
        }
    )


def test_region_is_the_mean_of_each_image(images):
    expected = respond(images)[:, [1, 4]].mean(dim=1)
    torch.testing.assert_close(RegionObjective(respond, [1, 4])(images), expected)
    torch.testing.assert_close(RegionObjective(respond, [2])(images), respond(images)[:, 2])


def test_contrast_is_a_difference_of_means(images):
    responses = respond(images)
    expected = responses[:, [0, 1]].mean(dim=1) - 0.5 * responses[:, 2]
    torch.testing.assert_close(ContrastObjective(respond, [0, 1], [2], weight=0.5)(images), expected)


def test_pattern_is_a_correlation_or_a_distance(images, rng):
    columns, target = [0, 2, 3, 5], rng.normal(size=4)
    responses = respond(images)[:, columns].numpy()
    expected = [np.corrcoef(row, target)[0, 1] for row in responses]
    found = PatternObjective(respond, columns, target)(images)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    distance = PatternObjective(respond, columns, target, match="distance")(images)
    np.testing.assert_allclose(distance.numpy(), -((responses - target) ** 2).mean(axis=1), rtol=1e-9)
    own = PatternObjective(respond, columns, responses[1], match="distance")(images)
    assert own[1] == own.max() == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: RegionObjective(respond, [1, 3]),
        lambda: ContrastObjective(respond, [1], [2, 3]),
        lambda: PatternObjective(respond, [1, 2, 3], [0.5, -1.0, 2.0]),
        lambda: PatternObjective(respond, [1, 2, 3], [0.5, -1.0, 2.0], match="distance"),
    ],
)
def test_gradients_reach_the_pixels_of_each_image_alone(make, images):
    pixels = images.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(make(), (pixels,))
    (gradient,) = torch.autograd.grad(make()(pixels)[1], pixels)
    assert gradient[1].abs().max() > 0
    assert gradient[[0, 2]].abs().max() == 0


def test_neuroids_are_found_by_region_part_and_name(neuroids):
    assert find_region(neuroids, "FFA").tolist() == [1, 2, 5]
    assert find_region(neuroids, "FFA-2").tolist() == [2, 5]
    assert find_neuroids(neuroids, ["v4", "v0"]).tolist() == [4, 0]
    data = xr.Dataset({name: ("neuroid", neuroids[name]) for name in neuroids})
    assert find_region(data, "PPA").tolist() == [3, 4]


def test_neuroids_outside_the_encoder_raise_with_the_overlap(neuroids):
    with pytest.raises(ValueError, match=r"got 2 of 3 that are and 1 that are not, such as 'v9'"):
        find_neuroids(neuroids, ["v1", "v9", "v2"])
    with pytest.raises(ValueError, match="got 0 of 1"):
        find_neuroids(neuroids, ["v9"])
    with pytest.raises(ValueError, match=r"one of the encoder's \(FFA, FFA-1, FFA-2, PPA, V1\), got 'OFA'"):
        find_region(neuroids, "OFA")


def test_tells_what_does_not_fit(images):
    with pytest.raises(ValueError, match="neuroids must name at least one neuroid"):
        RegionObjective(respond, [])
    with pytest.raises(ValueError, match="none twice"):
        RegionObjective(respond, [1, 1])
    with pytest.raises(ValueError, match="must not share neuroids, got 1"):
        ContrastObjective(respond, [1, 2], [2])
    with pytest.raises(ValueError, match="target must vary"):
        PatternObjective(respond, [1, 2], [1.0, 1.0])
    with pytest.raises(ValueError, match="target must have shape"):
        PatternObjective(respond, [1, 2], [1.0])
    with pytest.raises(ValueError, match=r"with column 9, got shape \(3, 6\)"):
        RegionObjective(respond, [9])(images)
    with pytest.raises(ValueError, match="with column 0"):
        RegionObjective(lambda images: images.mean(dim=(1, 2, 3)), [0])(images)


def test_overlapping_regions_are_flags():
    neuroids = {
        "neuroid_id": ["a", "b", "c"],
        "region": ["V1", "FFA-1", "V1"],
        "in_FFA-1": [False, True, True],
    }
    assert find_region(neuroids, "FFA-1").tolist() == [1, 2]
    assert find_region(neuroids, "V1").tolist() == [0, 2]
