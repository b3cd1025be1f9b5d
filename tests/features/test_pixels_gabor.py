"""Pixels and the Gabor pyramid: orientation, frequency, phase, position, contrast and physical units."""

import numpy as np
import pytest
from PIL import Image

from neurovis.core import FeatureExtractor, make_grid_dva
from neurovis.features.gabor import GaborPyramid
from neurovis.features.pixels import PixelFeatures


def _make_grating(frequency, orientation_deg, phase_deg=0.0, contrast=0.8, size_px=64, size_dva=8.0):
    x, y = make_grid_dva((size_px, size_px), (size_dva, size_dva))
    angle = np.deg2rad(orientation_deg)
    # Bars along the orientation: the wave runs across them (y grows upwards).
    across = -x * np.sin(angle) + y * np.cos(angle)
    wave = np.sin(2 * np.pi * frequency * across + np.deg2rad(phase_deg))
    return np.repeat(np.uint8(np.round(127.5 + 127.5 * contrast * wave))[..., None], 3, axis=2)


def _mean_by(features, coord):
    return features["energy"].groupby(coord).mean("feature")


def test_orientation_peaks_at_that_of_the_bars(make_stimuli):
    angles = [0.0, 22.5, 45.0, 90.0, 157.5]
    stimuli = make_stimuli([_make_grating(1.3, angle) for angle in angles])
    features = GaborPyramid()(stimuli)["energy"]
    near = features.isel(feature=features["spatial_frequency_cpd"].values == 1.3)
    by_orientation = near.groupby("orientation_deg").mean("feature")
    assert list(by_orientation["orientation_deg"].values[by_orientation.values.argmax(axis=1)]) == angles


@pytest.mark.parametrize("frequency", [0.55, 1.3, 2.0])
def test_frequency_peaks_in_cycles_per_degree_at_any_resolution(make_stimuli, frequency):
    sharp = make_stimuli([_make_grating(frequency, 90.0)])
    fine = make_stimuli([_make_grating(frequency, 90.0, size_px=160)], folder="fine")
    for stimuli in (sharp, fine):
        means = _mean_by(GaborPyramid()(stimuli), "spatial_frequency_cpd")
        assert means["spatial_frequency_cpd"].values[means.values[0].argmax()] == pytest.approx(frequency)


def test_a_set_shown_larger_has_lower_frequencies(make_stimuli):
    image = _make_grating(1.0, 0.0)
    pyramid = GaborPyramid(spatial_frequencies_cpd=(0.5, 1.0), grids=(4, 4))
    normal = _mean_by(pyramid(make_stimuli([image])), "spatial_frequency_cpd").values[0]
    double = _mean_by(pyramid(make_stimuli([image], size_dva=(16.0, 16.0))), "spatial_frequency_cpd").values[
        0
    ]
    assert normal[1] > 1.5 * normal[0]
    assert double[0] > 1.5 * double[1]


def test_phase_does_not_matter_and_contrast_does(make_stimuli):
    stimuli = make_stimuli(
        [_make_grating(1.3, 45.0, phase) for phase in (0, 60, 90, 180)] + [_make_grating(1.3, 45.0, 0, 0.05)]
    )
    features = GaborPyramid()(stimuli)["energy"]
    inner = (features["x_dva"].values ** 2 + features["y_dva"].values ** 2 < 4) & (
        features["spatial_frequency_cpd"].values == 1.3
    )
    tuned = features.values[:, inner & (features["orientation_deg"].values == 45.0)]
    np.testing.assert_allclose(tuned[1:4], np.repeat(tuned[:1], 3, axis=0), rtol=0.03)
    assert (tuned[4] < 0.8 * tuned[0]).all()


def test_places_follow_the_visual_field(make_stimuli):
    image = np.full((64, 64, 3), 127, dtype=np.uint8)
    image[:32, :32] = _make_grating(2.0, 0.0)[:32, :32]
    features = GaborPyramid()(make_stimuli([image]))["energy"]
    fine = features.values[0] * (features["spatial_frequency_cpd"].values == 2.0)
    best = fine.argmax()
    assert features["x_dva"].values[best] < 0
    assert features["y_dva"].values[best] > 0


def test_uniform_light_has_no_energy_and_colours_are_told(make_stimuli):
    grey, red, blue = (
        np.broadcast_to(np.uint8(c), (64, 64, 3)).copy() for c in ([128] * 3, [200, 60, 60], [40, 40, 220])
    )
    features = GaborPyramid()(make_stimuli([grey, red, blue]))
    inner = (np.abs(features["energy"]["x_dva"].values) < 2) & (
        np.abs(features["energy"]["y_dva"].values) < 2
    )
    fine = inner & (features["energy"]["spatial_frequency_cpd"].values > 1)
    assert np.abs(features["energy"].values[:, fine]).max() < 0.05
    means = features["colour"].groupby("colour").mean("feature")
    red_green, blue_yellow = means.sel(colour="red-green").values, means.sel(colour="blue-yellow").values
    assert abs(red_green[0]) < 0.01
    assert red_green.argmax() == 1
    assert blue_yellow.argmax() == 2


def test_energy_equals_filtering_with_full_gabors(make_stimuli, rng):
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    pyramid = GaborPyramid((1.0, 2.0), n_orientations=4, grids=(3, 4))
    features = pyramid(make_stimuli([image], size_dva=(4.0, 4.0)))["energy"].values[0]
    luminance = image.astype(float) @ [0.299, 0.587, 0.114] / 255 - 0.5
    x, y = make_grid_dva((32, 32), (4.0, 4.0))
    energies, lattices = [], []
    for frequency, grid in zip(pyramid.spatial_frequencies_cpd, pyramid.grids, strict=True):
        sigma = 0.42 / frequency
        n = max(grid, int(np.ceil(4.0 / sigma)))
        places = ((np.arange(n) + 0.5) / n - 0.5) * 4.0
        energy = np.empty((4, n, n))
        for k in range(4):
            angle = np.deg2rad(45.0 * k)
            for i, down in enumerate(places):
                for j, across in enumerate(places):
                    dx, dy = x - across, y + down
                    envelope = np.exp(-(dx**2 + dy**2) / (2 * sigma**2)) / (2 * np.pi * (sigma * 8) ** 2)
                    wave = np.exp(2j * np.pi * frequency * (-dx * np.sin(angle) + dy * np.cos(angle)))
                    kernel = envelope * (wave - np.exp(-2 * (np.pi * frequency * sigma) ** 2))
                    energy[k, i, j] = np.abs((kernel * luminance).sum()) ** 2
        energies.append(energy)
        lattices.append(places)

    def pool(values, places, grid, width):
        centres = ((np.arange(grid) + 0.5) / grid - 0.5) * 4.0
        weights = np.exp(-((centres[:, None] - places) ** 2) / (2 * width**2))
        weights /= weights.sum(axis=1, keepdims=True)
        return weights @ values @ weights.T

    expected = []
    for energy, places, grid in zip(energies, lattices, pyramid.grids, strict=True):
        # Frequencies 1 and 2 have the geometric mean sqrt(2), so their squares weigh 1/2 and 2, over 2.
        parts = zip(energies, lattices, (0.25, 1.0), strict=True)
        nearby = sum(w * pool(e.mean(axis=0), x, grid, pyramid.surround_dva) for e, x, w in parts)
        drive = pool(energy, places, grid, pyramid.pool_spacings * 4.0 / grid)
        expected.append((np.sqrt(drive) / (pyramid.semi_saturation + np.sqrt(nearby))).ravel())
    np.testing.assert_allclose(features, np.concatenate(expected), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_frequencies_cpd": (1.0, 5.0), "grids": (4, 4)}, "at most 4.0 cycles per degree.*got 5.0"),
        ({"grids": (4, 4)}, "one number for each spatial frequency, got 2 for 6"),
        ({"n_orientations": 0}, "n_orientations must be positive, got 0"),
    ],
)
def test_bad_pyramids_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GaborPyramid(**options)


def test_pixels_are_area_averages(make_stimuli, rng):
    images = rng.integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    features = PixelFeatures(6, 4)(make_stimuli(images))
    colour = images.reshape(3, 4, 6, 4, 6, 3).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(features["colour"], colour.reshape(3, -1), atol=1e-5)
    grey = (images @ [0.299, 0.587, 0.114]).reshape(3, 6, 4, 6, 4).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(features["grey"], grey.reshape(3, -1), atol=1e-5)
    with pytest.raises(ValueError, match="grey_px must be at least 1"):
        PixelFeatures(0)


@pytest.mark.parametrize("extractor", [PixelFeatures(), GaborPyramid()], ids=lambda e: e.name)
def test_protocol_layers_and_bad_names(extractor, make_stimuli):
    stimuli = make_stimuli([_make_grating(1.0, 0.0)])
    assert isinstance(extractor, FeatureExtractor)
    assert list(extractor(stimuli)) == list(extractor.layers)
    assert list(extractor(stimuli, layers=["colour"])) == ["colour"]
    with pytest.raises(ValueError, match=r"got \['color'\]; near names are colour"):
        extractor(stimuli, layers=["color"])
    with pytest.raises(TypeError, match="sequence of names"):
        extractor(stimuli, layers="colour")


def test_images_of_another_resolution_give_the_same_energy(make_stimuli):
    image = _make_grating(1.3, 45.0)
    large = np.asarray(Image.fromarray(image).resize((128, 128), Image.Resampling.BICUBIC))
    small, big = (
        GaborPyramid()(make_stimuli([i], folder=f))["energy"] for i, f in ((image, "a"), (large, "b"))
    )
    assert np.corrcoef(small.values[0], big.values[0])[0, 1] > 0.98


def test_places_of_pixels_and_of_uniform_grids(make_stimuli, rng):
    image = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    stimuli = make_stimuli([image])
    colour = PixelFeatures(6, 24)(stimuli)["colour"]
    expected = image[colour["row"].values, colour["column"].values, colour["channel"].values] / 255
    np.testing.assert_allclose(colour.values[0], expected, atol=1e-6)
    assert colour.attrs["size_dva"] == (8.0, 8.0)
    energy = GaborPyramid((1.0, 2.0), n_orientations=4, grids=(5, 5))(stimuli)["energy"]
    np.testing.assert_allclose(energy["x_dva"], ((energy["column"] + 0.5) / 5 - 0.5) * 8, atol=1e-9)
    np.testing.assert_allclose(energy["y_dva"], (0.5 - (energy["row"] + 0.5) / 5) * 8, atol=1e-9)
    channel = 4 * (energy["spatial_frequency_cpd"] == 2.0) + energy["orientation_deg"] / 45
    np.testing.assert_array_equal(energy["channel"], channel)
    assert "row" not in GaborPyramid((1.0, 2.0), grids=(5, 6))(stimuli)["energy"].coords
