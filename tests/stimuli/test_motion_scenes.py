"""Scenes of simple motion: the flow is what moves the pixels, and the physics is as drawn."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from neurovis.stimuli.motion_scenes import KINDS, make_motion_scene


def compare_with_next(movie, t, flow):
    """Mean absolute difference of frame t and of frame t + 1 read where the flow points, on valid pixels."""
    grey = movie.frames.mean(-1)
    y, x = np.mgrid[: grey.shape[1], : grey.shape[2]]
    read = map_coordinates(grey[t + 1], [y + flow[t, ..., 1], x + flow[t, ..., 0]], order=1, mode="nearest")
    return np.abs(read - grey[t])[movie.valid[t]].mean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_frame_lies_where_the_flow_points(kind):
    with_flow, without, opposite = [], [], []
    for index in range(8):
        movie = make_motion_scene(4, index, kind=kind, n_frames=3)
        assert movie.frames.shape == (3, 64, 64, 3)
        assert movie.flow.shape == (2, 64, 64, 2)
        for errors, factor in ((with_flow, 1), (without, 0), (opposite, -1)):
            errors.append(compare_with_next(movie, 1, factor * movie.flow))
    assert np.mean(with_flow) < 0.5 * np.mean(without)
    assert np.mean(with_flow) < 0.4 * np.mean(opposite)


def test_a_grating_moves_by_its_latents():
    for index in range(12):
        movie = make_motion_scene(1, index, kind="grating", n_frames=9)
        angle, speed = np.deg2rad(movie.latents["direction_deg"]), movie.latents["speed_px"]
        velocity = np.array([np.cos(angle), -np.sin(angle)]) * speed
        np.testing.assert_allclose(movie.flow, np.broadcast_to(velocity, movie.flow.shape), atol=1e-5)
        assert speed * movie.latents["highest_frequency_cpp"] <= 0.4 + 1e-9


def test_grating_frequency_and_direction_are_in_the_pixels():
    """Phase of the strongest spatial frequency turns by what speed and direction say."""
    for index in range(10):
        movie = make_motion_scene(2, index, kind="grating", n_frames=6, size_px=128)
        if movie.latents["n_gratings"] == 2:
            continue
        spectra = np.fft.fft2((movie.frames[..., 0] / 255 - 0.5) * np.hanning(128)[:, None] * np.hanning(128))
        peak = np.unravel_index(np.abs(spectra[0]).argmax(), (128, 128))
        wave = np.array([np.fft.fftfreq(128)[peak[1]], np.fft.fftfreq(128)[peak[0]]])
        turned = np.angle(spectra[1][peak] / spectra[0][peak]) / (2 * np.pi)
        expected = -(wave @ movie.flow[0, 0, 0])
        assert turned == pytest.approx((expected + 0.5) % 1 - 0.5, abs=0.05)


def test_the_ground_of_plain_shapes_is_still():
    movie = make_motion_scene(0, 0, kind="shapes", n_frames=3)
    still = np.abs(movie.flow[1]).sum(-1) == 0
    assert still.mean() > 0.3
    ground, counts = np.unique(movie.frames[1][still], axis=0, return_counts=True)
    assert counts.max() > 0.8 * still.sum()
    for frame in movie.frames:
        assert (frame[still] == ground[counts.argmax()]).all(-1).mean() > 0.7


def test_speeds_stay_near_the_asked_for_ones():
    for kind in KINDS:
        slow, fast = (
            [make_motion_scene(5, i, kind=kind, n_frames=2, largest_speed_px=speed).flow for i in range(3)]
            for speed in (0.5, 5)
        )
        assert np.abs(slow).mean() < np.abs(fast).mean()


def test_scenes_depend_on_seed_and_index_alone():
    first, again = (make_motion_scene(3, 2, n_frames=4) for _ in range(2))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.flow, again.flow)
    assert first.latents == again.latents
    assert first.latents["kind"] == KINDS[2]
    assert not np.array_equal(make_motion_scene(4, 2, n_frames=4).frames, first.frames)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="kind"):
        make_motion_scene(0, 0, kind="plaid")
    with pytest.raises(ValueError, match="n_frames"):
        make_motion_scene(0, 0, n_frames=1)
    with pytest.raises(ValueError, match="size_px"):
        make_motion_scene(0, 0, size_px=4)
