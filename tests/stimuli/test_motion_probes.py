"""Motion probes against what their definitions promise."""

import numpy as np
import pytest

from neurovis.stimuli.gratings import make_grating
from neurovis.stimuli.motion_probes import (
    convert_frequencies,
    make_barber_pole,
    make_counterphase,
    make_drifting_grating,
    make_drifting_plaid,
    make_missing_fundamental,
    make_reverse_phi,
)

SHOWN = {"size_px": (32, 32), "n_frames": 8}
WAVE = {"spatial_frequency_cpp": 0.125, "temporal_frequency_cpf": 0.125}


def measure_wave(movie, fx, fy, w):
    """Complex amplitude of the wave exp(2 pi i (fx x + fy y_up - w t)) in a movie of whole cycles."""
    n, height, width = movie.shape
    spectrum = np.fft.fftn(movie - movie.mean()) / movie.size
    return spectrum[round(-w * n) % n, round(-fy * height) % height, round(fx * width) % width]


def test_pixels_and_degrees_show_the_same_grating():
    spatial, temporal = convert_frequencies(
        spatial_frequency_cpd=1.5, temporal_frequency_hz=3.0, size_px=(32, 48), size_dva=(4.0, 6.0), fps=24
    )
    assert (float(spatial), float(temporal)) == (1.5 / 8, 0.125)
    ours = make_drifting_grating(
        size_px=(32, 48), n_frames=5, direction_deg=40, spatial_frequency_cpp=float(spatial),
        temporal_frequency_cpf=float(temporal), contrast=0.7,
    )  # fmt: skip
    theirs = make_grating(
        size_px=(32, 48), size_dva=(4.0, 6.0), spatial_frequency_cpd=1.5, direction_deg=40,
        temporal_frequency_hz=3.0, fps=24, n_frames=5, contrast=0.7,
    )  # fmt: skip
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert ours.dtype == np.float32


@pytest.mark.parametrize(("direction", "shift"), [(0, (0, 1)), (90, (-1, 0)), (180, (0, -1)), (270, (1, 0))])
def test_grating_moves_one_pixel_per_frame_in_its_direction(direction, shift):
    movie = make_drifting_grating(direction_deg=direction, **SHOWN, **WAVE)
    np.testing.assert_allclose(movie[1], np.roll(movie[0], shift, axis=(0, 1)), atol=1e-6)


def test_plaid_pattern_moves_faster_than_its_components():
    # Components at 45 degrees to the right: the pattern moves to the right at 1 / (f sqrt(0.5)) of w.
    movie = make_drifting_plaid(
        direction_deg=0, half_angle_deg=45, spatial_frequency_cpp=0.125 * np.sqrt(2),
        temporal_frequency_cpf=0.125, **SHOWN,
    )  # fmt: skip
    np.testing.assert_allclose(movie[1], np.roll(movie[0], 1, axis=1), atol=1e-6)
    first, second = (np.abs(measure_wave(movie, 0.125, fy, 0.125)) for fy in (0.125, -0.125))
    assert first == pytest.approx(second)
    assert first == pytest.approx(0.125)  # a quarter of the contrast of 1, and half of that in each sign
    np.testing.assert_array_equal(
        make_drifting_plaid(direction_deg=30, half_angle_deg=0, **SHOWN, **WAVE),
        make_drifting_grating(direction_deg=30, **SHOWN, **WAVE),
    )


def test_counterphase_moves_equally_both_ways():
    movie = make_counterphase(direction_deg=0, **SHOWN, **WAVE)
    forward, backward = (np.abs(measure_wave(movie, fx, 0, 0.125)) for fx in (0.125, -0.125))
    assert forward == pytest.approx(backward)
    assert forward == pytest.approx(0.125)


def test_reverse_phi_shifts_temporal_frequency_by_a_half():
    movie = make_drifting_grating(
        direction_deg=0, spatial_frequency_cpp=0.125, temporal_frequency_cpf=0.25, **SHOWN
    )
    flipped = make_reverse_phi(movie)
    assert np.abs(measure_wave(flipped, 0.125, 0, 0.25)) == pytest.approx(0, abs=1e-6)
    assert np.abs(measure_wave(flipped, -0.125, 0, 0.25)) == pytest.approx(0.25)
    np.testing.assert_array_equal(flipped[::2], movie[::2])
    with pytest.raises(ValueError, match="at most 1"):
        make_reverse_phi(movie * 255)


@pytest.mark.parametrize("direction", [0, 90, 180])
def test_missing_fundamental_lacks_it_and_its_third_harmonic_goes_back(direction):
    movie = make_missing_fundamental(
        size_px=(48, 48), n_frames=8, period_px=24, direction_deg=direction, contrast=0.8
    )
    angle = np.deg2rad(direction)
    x, y = np.cos(angle), np.sin(angle)
    for harmonic, w, amplitude in ((1, 0.25, 0), (3, -0.25, 4 / (3 * np.pi)), (5, 0.25, 4 / (5 * np.pi))):
        wave = measure_wave(movie, x * harmonic / 24, y * harmonic / 24, w)
        assert np.abs(wave) == pytest.approx(amplitude * 0.4 / 2, abs=1e-6)
    assert movie.min() >= 0
    assert movie.max() <= 1


def test_square_wave_keeps_its_fundamental_and_its_range():
    movie = make_missing_fundamental(size_px=(48, 48), n_frames=4, period_px=24, fundamental=True)
    assert np.abs(measure_wave(movie, 1 / 24, 0, 0.25)) == pytest.approx(4 / np.pi * 0.4 / 2)
    assert movie.min() >= 0
    assert movie.max() <= 1
    np.testing.assert_allclose(movie[1], np.roll(movie[0], 6, axis=1), atol=1e-6)
    with pytest.raises(ValueError, match=r"contrast must be at most 0\.8"):
        make_missing_fundamental(size_px=(8, 8), n_frames=1, period_px=24, contrast=0.9)
    with pytest.raises(ValueError, match="third harmonic"):
        make_missing_fundamental(size_px=(8, 8), n_frames=1, period_px=4)


def test_barber_pole_is_grey_outside_its_aperture():
    movie = make_barber_pole(size_px=(32, 40), aperture_px=(24, 10), n_frames=3, direction_deg=45, **WAVE)
    full = make_drifting_grating(size_px=(32, 40), n_frames=3, direction_deg=45, **WAVE)
    np.testing.assert_array_equal(movie[:, 4:28, 15:25], full[:, 4:28, 15:25])
    assert (movie[:, :4] == 0.5).all()
    assert (movie[:, :, :15] == 0.5).all()
    assert (movie[:, :, 25:] == 0.5).all()
    with pytest.raises(ValueError, match="equal margins"):
        make_barber_pole(size_px=(32, 32), aperture_px=(11, 10), n_frames=1, direction_deg=0, **WAVE)
