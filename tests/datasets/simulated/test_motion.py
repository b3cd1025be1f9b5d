import numpy as np
import pandas as pd
import pytest
import torch

from neurovis.core import make_grid_dva
from neurovis.datasets.simulated.early import compute_luminance, make_pooling, prepare_images
from neurovis.datasets.simulated.motion import (
    MOTION_GRID,
    compute_contrast_maps,
    compute_motion_maps,
    compute_motion_response,
    compute_static_response,
    make_motion_tuning,
)

FPS = 24.0


def make_drifting(direction_deg, speed_dps, frequency_cpd=0.8, n_frames=24):
    x, y = make_grid_dva((64, 64), (8.0, 8.0))
    angle = np.deg2rad(direction_deg)
    time = np.arange(n_frames)[:, None, None] / FPS
    along = x * np.cos(angle) + y * np.sin(angle) - speed_dps * time
    frames = 0.5 + 0.3 * np.cos(2 * np.pi * frequency_cpd * along)
    return np.repeat(frames[..., None], 3, axis=3)


def respond(table, movie):
    luminance = compute_luminance(prepare_images(movie, size_dva=(8.0, 8.0)))
    pooling = torch.from_numpy(make_pooling(table, grid=MOTION_GRID))
    contrast = compute_contrast_maps(luminance).mean(0)
    energy = compute_motion_maps(luminance, fps=FPS)
    return compute_motion_response(
        energy, contrast, pooling, torch.from_numpy(make_motion_tuning(table))
    ).numpy()


def make_vertices(directions, speeds):
    return pd.DataFrame(
        {"x_dva": 0.5, "y_dva": 0.0, "sigma_dva": 1.5, "direction_deg": directions, "speed_dps": speeds}
    )


def test_direction_tuning_peaks_where_stated():
    preferred = np.array([10.0, 95.0, 200.0, 310.0])
    directions = np.arange(0, 360, 20.0)
    table = make_vertices(preferred, np.full(4, 3.0))
    responses = np.stack([respond(table, make_drifting(d, 3.0)) for d in directions])
    estimated = np.degrees(np.angle((responses**2 * np.exp(1j * np.deg2rad(directions))[:, None]).sum(0)))
    assert (np.abs((estimated - preferred + 180) % 360 - 180) < 12).all()
    opposite = np.array([respond(table, make_drifting(d + 180, 3.0))[i] for i, d in enumerate(preferred)])
    assert (responses.max(0) > 4 * opposite).all()


def test_speed_tuning_orders_speeds():
    table = make_vertices(np.zeros(3), np.array([1.5, 3.0, 6.0]))
    responses = np.stack([respond(table, make_drifting(0.0, speed)) for speed in (1.5, 3.0, 6.0)])
    assert (responses.argmax(axis=0) == np.arange(3)).all()


def test_a_still_movie_drives_contrast_but_not_motion():
    table = make_vertices(np.array([0.0]), np.array([3.0]))
    still = make_drifting(0.0, 0.0)
    assert respond(table, still) < 0.15 * respond(table, make_drifting(0.0, 3.0))
    luminance = compute_luminance(prepare_images(still[:1], size_dva=(8.0, 8.0)))
    pooling = torch.from_numpy(make_pooling(table, grid=MOTION_GRID))
    weak = compute_static_response(compute_contrast_maps(0.2 * luminance), pooling)
    strong = compute_static_response(compute_contrast_maps(luminance), pooling)
    assert 0 < weak < strong < 1


def test_messages():
    luminance = torch.zeros(1, 64, 64)
    with pytest.raises(ValueError, match=r"at least 2 frames and a positive fps, got 1 frames at 24.0 Hz"):
        compute_motion_maps(luminance, fps=24.0)
