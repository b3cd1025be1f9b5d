import numpy as np
import pandas as pd
import pytest
import torch

from neurovis.core import make_grid_dva
from neurovis.datasets.simulated.early import (
    FREQUENCIES_CPD,
    GRID,
    ORIENTATIONS_DEG,
    compute_energy_maps,
    compute_luminance,
    compute_normalised_energy,
    make_channel_tuning,
    make_pooling,
    prepare_images,
)

SIZE = (8.0, 8.0)


def make_grating(orientation_deg, frequency_cpd, contrast=0.5, phase=0.0):
    """Bars at ``orientation_deg`` from horizontal, counter-clockwise."""
    x, y = make_grid_dva((64, 64), SIZE)
    angle = np.deg2rad(orientation_deg)
    wave = np.cos(2 * np.pi * frequency_cpd * (y * np.cos(angle) - x * np.sin(angle)) + phase)
    return np.repeat((0.5 + 0.5 * contrast * wave)[:, :, None], 3, axis=2)


def make_vertices(**columns):
    base = {
        "x_dva": 0.0,
        "y_dva": 0.0,
        "sigma_dva": 0.8,
        "orientation_deg": 30.0,
        "spatial_frequency_cpd": 1.1,
    }
    return pd.DataFrame(
        {**base, **columns}, index=range(max(len(np.atleast_1d(v)) for v in columns.values()))
    )


def respond(table, images):
    pixels = prepare_images(np.stack(images), size_dva=SIZE)
    maps = compute_energy_maps(compute_luminance(pixels))
    pooling = torch.from_numpy(make_pooling(table, grid=GRID))
    surround = torch.from_numpy(make_pooling(table, grid=GRID, scale=2.0))
    tuning = torch.from_numpy(make_channel_tuning(table))
    return compute_normalised_energy(maps, pooling, surround, tuning).numpy()


def test_energy_equals_a_slow_convolution(rng):
    luminance = rng.normal(0, 0.1, (64, 64))
    maps = compute_energy_maps(torch.from_numpy(luminance[None]).float())
    maps = maps.reshape(len(FREQUENCIES_CPD), len(ORIENTATIONS_DEG), GRID, GRID).numpy()
    padded = np.zeros((96, 96))
    padded[:64, :64] = luminance
    frequencies = np.fft.fftfreq(96, 1 / 8.0)
    fy, fx = -frequencies[:, None], frequencies[None, :]
    centres = (np.arange(GRID) + 0.5) / GRID * 8.0
    pixels = (np.arange(96) + 0.5) / 8.0
    for which, frequency in ((2, FREQUENCIES_CPD[2]), (4, FREQUENCIES_CPD[4])):
        angle = np.deg2rad(ORIENTATIONS_DEG[3])
        cx, cy = -frequency * np.sin(angle), frequency * np.cos(angle)
        weight = np.exp(-0.5 * ((fx - cx) ** 2 + (fy - cy) ** 2) / (0.33 * frequency) ** 2)
        weight = weight * (fx * cx + fy * cy > 0)
        energy = np.abs(np.fft.ifft2(np.fft.fft2(padded) * weight)) ** 2
        smooth = np.exp(-0.5 * ((centres[:, None] - pixels[None, :]) / 0.25) ** 2)
        smooth /= smooth.sum(1, keepdims=True)
        expected = smooth @ energy @ smooth.T
        error = np.abs(maps[which, 3] - expected).mean() / expected.mean()
        assert error < 0.05, (frequency, error)


def test_energy_does_not_depend_on_phase():
    table = make_vertices(orientation_deg=[30.0])
    responses = respond(table, [make_grating(30, 1.1, phase=phase) for phase in np.arange(4) * np.pi / 4])
    assert np.ptp(responses) < 0.03 * responses.mean()


@pytest.mark.parametrize("preferred", [0.0, 22.5, 57.0, 100.0, 160.0])
def test_orientation_tuning_peaks_where_stated(preferred):
    orientations = np.arange(0, 180, 3.0)
    table = make_vertices(orientation_deg=[preferred])
    responses = respond(table, [make_grating(angle, 1.1) for angle in orientations])[:, 0]
    vector = (responses**2 * np.exp(2j * np.deg2rad(orientations))).sum()
    estimated = np.degrees(np.angle(vector)) / 2 % 180
    assert abs((estimated - preferred + 90) % 180 - 90) < 3
    assert responses.max() > 1.5 * responses.min()


@pytest.mark.parametrize("preferred", [0.6, 1.0, 1.8])
def test_spatial_frequency_tuning_peaks_where_stated(preferred):
    frequencies = np.geomspace(0.3, 3.0, 25)
    table = make_vertices(spatial_frequency_cpd=[preferred])
    pixels = prepare_images(np.stack([make_grating(30, f) for f in frequencies]), size_dva=SIZE)
    maps = compute_energy_maps(compute_luminance(pixels))
    drive = np.einsum(
        "ncp,vp,vc->nv",
        maps.numpy(),
        make_pooling(table, grid=GRID),
        make_channel_tuning(table),
        optimize=True,
    )[:, 0]
    assert abs(np.log2(frequencies[drive.argmax()] / preferred)) < 0.3


def test_receptive_field_is_where_stated():
    x, y = make_grid_dva((64, 64), SIZE)
    grating = make_grating(30, 1.1, contrast=0.8)
    images, places = [], [(-2.0, 1.5), (2.0, 1.5), (-2.0, -1.5), (2.0, -1.5)]
    for px, py in places:
        window = np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / 0.6**2)[:, :, None]
        images.append(0.5 + (grating - 0.5) * window)
    table = make_vertices(x_dva=[p[0] for p in places], y_dva=[p[1] for p in places])
    responses = respond(table, images)
    assert (responses.argmax(axis=0) == np.arange(4)).all()
    assert (np.sort(responses, axis=0)[-1] > 2 * np.sort(responses, axis=0)[-2]).all()


def test_contrast_saturates_and_uniform_images_are_silent():
    table = make_vertices(orientation_deg=[30.0])
    contrasts = [0.0, 0.05, 0.1, 0.2, 0.4, 0.8]
    responses = respond(table, [make_grating(30, 1.1, contrast=c) for c in contrasts])[:, 0]
    assert (np.diff(responses) > 0).all()
    assert responses[0] < 1e-3
    assert responses[-1] - responses[-2] < 0.5 * (responses[2] - responses[0])


def test_pooling_sums_to_one_and_puts_up_at_the_top():
    table = make_vertices(x_dva=[1.0, -3.0], y_dva=[2.0, 0.0])
    weights = make_pooling(table, grid=GRID)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
    first = weights[0].reshape(GRID, GRID)
    row, column = np.unravel_index(first.argmax(), first.shape)
    assert row < GRID / 2 < column


def test_image_size_only_matters_in_degrees(rng):
    coarse = rng.integers(0, 255, (1, 32, 32, 3), dtype=np.uint8)
    fine = coarse.repeat(4, 1).repeat(4, 2)
    a = prepare_images(fine, size_dva=SIZE)
    b = prepare_images(coarse.repeat(2, 1).repeat(2, 2), size_dva=SIZE)
    assert (a - b).abs().mean() < 0.02
    small = prepare_images(coarse, size_dva=(4.0, 4.0))
    np.testing.assert_allclose(small[0, :, :16].numpy(), 0.5)
    np.testing.assert_allclose(small[0, :, 16:48, 16:48].permute(1, 2, 0), coarse[0] / 255.0, atol=1e-6)
    large = prepare_images(fine, size_dva=(16.0, 16.0))
    np.testing.assert_allclose(large[0].permute(1, 2, 0), fine[0, 32:96, 32:96] / 255.0, atol=1e-6)


def test_gradients_reach_the_pixels():
    table = make_vertices(orientation_deg=[30.0])
    pixels = prepare_images(make_grating(30, 1.1)[None], size_dva=SIZE).requires_grad_(True)
    maps = compute_energy_maps(compute_luminance(pixels))
    pooling = torch.from_numpy(make_pooling(table, grid=GRID))
    tuning = torch.from_numpy(make_channel_tuning(table))
    compute_normalised_energy(maps, pooling, pooling, tuning).sum().backward()
    assert torch.isfinite(pixels.grad).all()
    assert pixels.grad.abs().max() > 0


def test_messages():
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\].*0 to 255"):
        prepare_images(np.array([[[[0.0, 255.0, 3.0]]]]), size_dva=SIZE)
    with pytest.raises(ValueError, match=r"images must have shape \(any, any, any, 3\), got \(1, 3, 8, 8\)"):
        prepare_images(np.zeros((1, 3, 8, 8)), size_dva=SIZE)
