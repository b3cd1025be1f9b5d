"""Motion energy as features: equal to a plain average of the pyramid, and each layer sees its own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neurovis.core import FeatureExtractor, StimulusSet, make_grid_dva
from neurovis.motion.energy import MotionEnergyPyramid
from neurovis.motion.features import LAYERS, MotionEnergyFeatures
from neurovis.motion.luminance import compute_luminance

FPS, SIZE = 12.0, (32, 48)
EXTRACTOR = MotionEnergyFeatures(
    spatial_frequencies_cpi=(0, 4, 8), temporal_frequencies_hz=(0, 2, 4), compression="none"
)


def make_set(folder, movies, fps=FPS):
    for name, movie in movies.items():
        np.save(folder / f"{name}.npy", movie)
    table = pd.DataFrame(
        {"path": [f"{name}.npy" for name in movies]}, index=pd.Index(list(movies), name="stimulus_id")
    )
    return StimulusSet("movies", table, folder, (8.0, 12.0), fps)


def make_grating(direction_deg, tf_hz, n_frames=24, cpd=0.5, contrast=0.4):
    x, y = make_grid_dva(SIZE, (8.0, 12.0))
    angle = np.deg2rad(direction_deg)
    time = np.arange(n_frames)[:, None, None] / FPS
    wave = np.cos(2 * np.pi * (cpd * (x * np.cos(angle) + y * np.sin(angle)) - tf_hz * time))
    return np.repeat((127.5 * (1 + contrast * wave)).astype(np.uint8)[..., None], 3, axis=-1)


def compute_energy(movie, n_held=50):
    """Energy frame by frame with the ends held, by one call of the pyramid."""
    held = np.concatenate([movie[:1].repeat(n_held, 0), movie, movie[-1:].repeat(n_held, 0)])
    pyramid = MotionEnergyPyramid(SIZE, FPS, (0, 4, 8), (0, 2, 4))
    amplitude = pyramid(compute_luminance(held), output="amplitude")[n_held:-n_held]
    return amplitude.astype(float) ** 2, pyramid.filters


@pytest.mark.parametrize("batch_size", [5, 64, 200])
def test_rows_are_plain_means_whatever_the_blocks(tmp_path, rng, batch_size):
    movies = {name: rng.integers(0, 256, (n, *SIZE, 3), dtype=np.uint8) for name, n in (("a", 90), ("b", 4))}
    features = EXTRACTOR(make_set(tmp_path, movies), batch_size=batch_size)
    assert isinstance(EXTRACTOR, FeatureExtractor)
    assert tuple(features) == LAYERS
    for row, movie in enumerate(movies.values()):
        energy, table = compute_energy(movie)
        moving = (table.temporal_frequency_hz > 0) & (table.spatial_frequency_cpi > 0)
        for layer, chosen in (("motion_energy", moving), ("static_energy", table.temporal_frequency_hz == 0)):
            np.testing.assert_allclose(
                features[layer].values[row], energy[:, chosen].mean(0), rtol=1e-3, atol=1e-2
            )


@pytest.mark.parametrize("t_r", [0.5, 0.7, 0.05])
def test_samples_in_time_are_means_weighted_by_overlap(tmp_path, rng, t_r):
    movie = rng.integers(0, 256, (100, *SIZE, 3), dtype=np.uint8)
    stimuli = make_set(tmp_path, {"a": movie, "b": movie[::-1]})
    extractor = MotionEnergyFeatures((0, 4, 8), (0, 2, 4), t_r=t_r, compression="none")
    found = extractor(stimuli, layers=["static_energy"], batch_size=17)["static_energy"]
    energy, table = compute_energy(movie)
    energy = energy[:, table.temporal_frequency_hz == 0]
    # A hundred moments in every frame instead of the overlaps.
    moments = (np.arange(100 * 840) + 0.5) / (840 * FPS)
    sample = np.floor(moments / t_r).astype(int)
    n = int(100 / FPS / t_r + 1e-9)
    expected = np.stack([energy[np.floor(moments[sample == i] * FPS).astype(int)].mean(0) for i in range(n)])
    assert found.dims == ("time", "feature")
    assert found.sizes["time"] == 2 * n
    np.testing.assert_allclose(found.values[:n], expected, rtol=2e-3)
    np.testing.assert_allclose(found["time"].values[:n], (np.arange(n) + 0.5) * t_r)
    assert list(found["stimulus_id"].values[[0, n]]) == ["a", "b"]


def test_layers_tell_motion_from_pattern(tmp_path):
    movies = {
        "right": make_grating(0, 2), "left": make_grating(180, 2), "still": make_grating(0, 0),
        "up": make_grating(90, 2), "flicker": make_grating(0, 2, cpd=0),
    }  # fmt: skip
    features = EXTRACTOR(make_set(tmp_path, movies))
    opponent = features["opponent_energy"]
    tuned = opponent[
        :, (opponent.spatial_frequency_cpd == 0.5).values & (opponent.temporal_frequency_hz == 2)
    ]
    for row, direction in ((0, 0), (1, 180), (3, 90)):
        profile = tuned[row].groupby("direction_deg").mean()
        assert profile.direction_deg.values[profile.argmax()] == direction
        assert profile.sel(direction_deg=(direction + 180) % 360) < 0.02 * profile.max()
    strength = opponent.values.mean(1)
    assert strength[[2, 4]].max() < 0.02 * strength[0]
    static = features["static_energy"].values[:, features["static_energy"].spatial_frequency_cpd.values > 0]
    assert static[2].max() > 15 * static[0].max()
    bars = features["static_energy"]
    patterned = bars[:, bars.spatial_frequency_cpd.values > 0]
    assert patterned.orientation_deg.values[patterned.values[2].argmax()] == 90
    flicker = features["flicker_energy"].values.mean(1)
    assert flicker[4] > 5 * flicker[:4].max()


def test_a_reversed_movie_has_the_opposite_motion_and_the_same_pattern(tmp_path, rng):
    noise = rng.integers(0, 256, (SIZE[0], SIZE[1] + 60, 3), dtype=np.uint8)
    movie = np.stack([noise[:, t : t + SIZE[1]] for t in range(40)])
    # The window has an even number of frames, so that only a long mean is the same both ways.
    features = EXTRACTOR(make_set(tmp_path, {"forth": movie, "back": movie[::-1]}))
    opponent = features["opponent_energy"]
    by_direction = opponent.groupby("direction_deg").mean()
    turned = by_direction.sel(direction_deg=(by_direction.direction_deg.values + 180) % 360)
    np.testing.assert_allclose(
        by_direction.values[0], turned.values[1], rtol=0.15, atol=0.02 * float(opponent.max())
    )
    forth, back = features["static_energy"].values
    assert np.corrcoef(np.log(forth), np.log(back))[0, 1] > 0.99


def test_compression_and_height(tmp_path, rng):
    movie = rng.integers(0, 256, (12, 64, 96, 3), dtype=np.uint8)
    stimuli = make_set(tmp_path, {"a": movie})
    plain = MotionEnergyFeatures((4,), (0, 2), height_px=32, compression="none")(stimuli)["static_energy"]
    root = MotionEnergyFeatures((4,), (0, 2), height_px=32, compression="sqrt")(stimuli)["static_energy"]
    log = MotionEnergyFeatures((4,), (0, 2), height_px=32)(stimuli)["static_energy"]
    np.testing.assert_allclose(root.values**2, plain.values, rtol=1e-4)
    np.testing.assert_allclose(np.exp(log.values), root.values + 0.01, rtol=1e-4)
    denser = MotionEnergyFeatures((4,), (0, 2), height_px=32, spacing_sd=1.5)(stimuli)["static_energy"]
    assert denser.sizes["feature"] > plain.sizes["feature"]


def test_a_video_file_is_streamed(tmp_path):
    cv2 = pytest.importorskip("cv2")
    movie = make_grating(0, 2)
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), FPS, SIZE[::-1])
    for frame in movie:
        writer.write(frame)
    writer.release()
    table = pd.DataFrame({"path": ["a.avi"]}, index=pd.Index(["a"], name="stimulus_id"))
    video = EXTRACTOR(StimulusSet("v", table, tmp_path, (8.0, 12.0), FPS), batch_size=7)["opponent_energy"]
    array = EXTRACTOR(make_set(tmp_path, {"a": movie}))["opponent_energy"]
    np.testing.assert_allclose(video.values, array.values, atol=0.02 * array.values.max())


def test_description_tells_options_and_code_apart():
    described = EXTRACTOR.describe()
    assert described["code"]
    assert described != MotionEnergyFeatures(t_r=2.0).describe()
    assert described == MotionEnergyFeatures((0, 4, 8), (0, 2, 4), compression="none").describe()


def test_bad_input_is_refused(tmp_path, rng):
    movie = rng.integers(0, 256, (12, *SIZE, 3), dtype=np.uint8)
    stimuli = make_set(tmp_path, {"a": movie})
    with pytest.raises(ValueError, match="opposite of each"):
        MotionEnergyFeatures(directions_deg=(0, 90, 180))
    with pytest.raises(ValueError, match="t_r must be positive"):
        MotionEnergyFeatures(t_r=0)
    with pytest.raises(ValueError, match="last a sample of 2 s"):
        MotionEnergyFeatures((4,), (0, 2), t_r=2.0)(stimuli)
    with pytest.raises(ValueError, match="a layer needs its frequencies"):
        MotionEnergyFeatures((4,), (0, 2))(stimuli, layers=["flicker_energy"])
    with pytest.raises(ValueError, match="layers"):
        EXTRACTOR(stimuli, layers=["motion"])
    with pytest.raises(ValueError, match="frame rate"):
        EXTRACTOR(make_set(tmp_path, {"a": movie}, fps=None))
    with pytest.raises(ValueError, match="must be movies"):
        EXTRACTOR(make_set(tmp_path, {"a": movie[0]}))
    with pytest.raises(ValueError, match=r"one size, got \(16, 48\) px for 'b' after \(32, 48\)"):
        EXTRACTOR(make_set(tmp_path, {"a": movie, "b": movie[:, :16]}))
    with pytest.raises(ValueError, match="32 x 48 px of 'a'; height and width are swapped"):
        EXTRACTOR(replace(stimuli, size_dva=(12.0, 8.0)))
    with pytest.raises(ValueError, match="square pixels"):
        EXTRACTOR(replace(stimuli, size_dva=(8.0, 16.0)))
    with pytest.raises(ValueError, match="at least 2 frames, got 1 for 'a'"):
        EXTRACTOR(make_set(tmp_path, {"a": movie[:1]}))
    with pytest.raises(ValueError, match="uint8"):
        EXTRACTOR(make_set(tmp_path, {"a": movie / 255}))
    with pytest.raises(ValueError, match="Nyquist limit 3"):
        EXTRACTOR(replace(make_set(tmp_path, {"a": movie}), fps=6.0))
