"""Movies of the world: exact flow against warping and analytic fields, and limbs that hold together."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from neurovis.stimuli.world_canvas import Light
from neurovis.stimuli.world_movies import KINDS, make_movie, make_movie_world
from neurovis.stimuli.world_walker import compute_gait, make_walker


@pytest.fixture(scope="module")
def movies():
    return {kind: make_movie(4, index, kind=kind, n_frames=6) for index, kind in enumerate(KINDS)}


@pytest.mark.parametrize("kind", KINDS)
def test_next_frame_is_predicted_by_the_flow(movies, kind):
    movie = movies[kind]
    frames = movie.frames.astype(float)
    y, x = np.mgrid[:64, :64]
    moving = movie.valid & (np.hypot(*np.moveaxis(movie.flow, -1, 0)) > 0.5)
    assert moving.mean() > 0.02
    with_flow, without = [], []
    for t in range(len(frames) - 1):
        where = moving[t]
        target = np.stack([y + movie.flow[t, ..., 1], x + movie.flow[t, ..., 0]])[:, where]
        warped = np.stack(
            [map_coordinates(frames[t + 1, ..., c], target, order=1) for c in range(3)], axis=-1
        )
        with_flow.append(np.abs(warped - frames[t][where]))
        without.append(np.abs(frames[t + 1][where] - frames[t][where]))
    assert np.concatenate(with_flow).mean() < 0.5 * np.concatenate(without).mean()


def test_translation_is_the_same_vector_over_the_background():
    movie = make_movie(0, 0, kind="translation", speed_dps=3.0, direction_deg=90.0, fps=12.0, size_dva=8.0)
    # 3 deg/s at 8 px/deg and 12 Hz are 2 px a frame, upwards, hence negative in image rows.
    vectors, counts = np.unique(movie.flow.reshape(-1, 2).round(4), axis=0, return_counts=True)
    np.testing.assert_allclose(vectors[counts.argmax()], (0, -2), atol=1e-6)
    assert (vectors[:, 1] < 0).all()


def test_rotation_and_expansion_follow_the_analytic_fields():
    centre = 32.0
    y, x = np.mgrid[:64, :64] + 0.5 - centre
    for kind in ("rotation", "expansion"):
        movie = make_movie(1, 0, kind=kind, speed_dps=1.5, n_frames=3)
        step = float(movie.latents["sign"]) * 1.5 * 8 / 12 / 16
        angle_and_log_size = (step, 0.0) if kind == "rotation" else (0.0, step)
        factor = np.exp(angle_and_log_size[1] - 1j * angle_and_log_size[0])
        expected = (x + 1j * y) * (factor - 1)
        got = movie.flow[0, ..., 0] + 1j * movie.flow[0, ..., 1]
        background = np.abs(got - expected) < 1e-4
        corners = background[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.all()
        assert background.mean() > 0.5


def test_background_of_a_walker_rests_and_the_walker_moves_to_its_side(movies):
    movie = make_movie(2, 3, kind="biological", direction_deg=180.0, speed_dps=2.0)
    speed = np.hypot(*np.moveaxis(movie.flow, -1, 0))
    assert 0.7 < (speed == 0).mean() < 0.98
    assert movie.flow[speed > 0][:, 0].mean() == pytest.approx(-2 * 8 / 12, rel=0.5)
    assert movie.latents["direction_deg"] == 180.0


def test_limbs_of_a_walker_stay_joined(rng):
    seconds = np.arange(10) / 12
    parts, _ = make_walker(rng, Light(), 64, seconds, 12.0)
    poses = np.stack([part[2] for part in parts])
    # Limbs are painted hanging from the middle: shin, thigh (, trunk), forearm, upper arm on each side.
    middle = np.array([32.0, 32.0])
    joints = poses[..., :2] @ middle + poses[..., 2]
    far_shin, far_thigh, near_shin, near_thigh = joints[0], joints[1], joints[4], joints[5]
    length = np.hypot(*(far_shin - far_thigh).T)
    np.testing.assert_allclose(length, length[0])
    np.testing.assert_allclose(np.hypot(*(near_shin - near_thigh).T), length[0])
    np.testing.assert_allclose(far_thigh, near_thigh)
    np.testing.assert_allclose(np.linalg.det(poses[..., :2]), 1)


def test_gait_swings_the_sides_in_antiphase_and_never_bends_a_knee_forwards():
    phase = np.linspace(0, 2 * np.pi, 60)
    near, far = compute_gait(phase), compute_gait(phase + np.pi)
    np.testing.assert_allclose(near["thigh"], -far["thigh"], atol=1e-9)
    assert (near["thigh"] - near["shin"] > 0).all()
    assert np.corrcoef(near["thigh"], near["upper_arm"])[0, 1] < -0.99


def test_movie_folder_keeps_flow_beside_the_frames(tmp_path):
    movies = make_movie_world(tmp_path, n_movies=4, seed=9, n_frames=3)
    assert movies.fps == 12.0
    assert list(movies.table["kind"]) == list(KINDS)
    movie = make_movie(9, 1, n_frames=3)
    np.testing.assert_array_equal(movies.load("movie-world-00001"), movie.frames)
    flow = np.load(tmp_path / movies.table.loc["movie-world-00001", "flow_path"])
    np.testing.assert_array_equal(np.isnan(flow).any(-1), ~movie.valid)
    np.testing.assert_array_equal(flow[movie.valid], movie.flow[movie.valid])
    with pytest.raises(ValueError, match="n_frames: 3 there, 4 asked"):
        make_movie_world(tmp_path, n_movies=4, seed=9, n_frames=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"kind": "shear"},
            "kind must be 'translation', 'rotation', 'expansion' or 'biological', got 'shear'",
        ),
        ({"n_frames": 1}, "n_frames must be at least 2, got 1"),
        ({"speed_dps": -1.0}, "speed_dps must be at least 0, got -1.0"),
    ],
)
def test_wrong_input_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        make_movie(0, 0, **arguments)
