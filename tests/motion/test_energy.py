"""Motion energy against pymoten itself, against a slow loop, and against what motion is."""

import numpy as np
import pytest
import torch

from neurovis.motion.energy import MotionEnergyPyramid
from neurovis.motion.energy_filters import make_filter_table
from neurovis.motion.luminance import compute_luminance

moten = pytest.importorskip("moten")
SMALL = (36, 48)


@pytest.fixture
def every_tap(monkeypatch):
    """pymoten without its mask of small taps, which changes responses by up to a few parts in a thousand."""
    for name in ("dotspatial_frames", "dotdelay_frames"):
        monkeypatch.setattr(getattr(moten.core, name), "__defaults__", (-1.0,))


def make_movie(rng, n=40, size=SMALL):
    return rng.uniform(0, 100, size=(n, *size))


@pytest.mark.parametrize(
    ("size", "n_filters", "frequencies"),
    [
        ((96, 96), 1380, (0, 2, 4, 8, 16)),
        ((96, 128), 1840, (0, 2, 4, 8, 16)),
        ((72, 128), 2530, (0, 2, 4, 8, 16)),
        ((576, 1024), 2530, (0, 2, 4, 8, 16)),
        ((96, 96), 6555, (0, 2, 4, 8, 16, 32)),
        ((96, 128), 8395, (0, 2, 4, 8, 16, 32)),
        ((72, 128), 11845, (0, 2, 4, 8, 16, 32)),
    ],
)
def test_filters_are_those_of_pymoten(size, n_filters, frequencies):
    table = make_filter_table(size, spatial_frequencies_cpi=frequencies)
    assert len(table) == n_filters
    peer = moten.pyramids.MotionEnergyPyramid(
        stimulus_vhsize=size, stimulus_fps=24, spatial_frequencies=list(frequencies)
    ).parameters
    for ours, theirs in (
        ("x", "centerh"), ("y", "centerv"), ("pymoten_direction_deg", "direction"),
        ("spatial_frequency_cpi", "spatial_freq"), ("spatial_sd", "spatial_env"),
        ("temporal_frequency_hz", "temporal_freq"), ("temporal_sd", "temporal_env"),
    ):  # fmt: skip
        np.testing.assert_array_equal(table[ours], peer[theirs])


@pytest.mark.parametrize("fps", [15, 24, 25])
def test_responses_equal_pymoten(rng, every_tap, fps):
    movie = make_movie(rng)
    peer = moten.pyramids.MotionEnergyPyramid(stimulus_vhsize=SMALL, stimulus_fps=fps)
    ours = MotionEnergyPyramid(SMALL, fps, dtype="float64")
    sine, cosine = peer.raw_project_stimulus(movie, dtype="float64")
    quadrature = ours(movie, output="quadrature")
    scale = np.abs(sine).max()
    np.testing.assert_allclose(quadrature[..., 0], sine, atol=1e-8 * scale)
    np.testing.assert_allclose(quadrature[..., 1], cosine, atol=1e-8 * scale)
    np.testing.assert_allclose(
        np.exp(ours(movie)), np.exp(peer.project_stimulus(movie, dtype="float64")), atol=1e-8 * scale
    )


def test_masked_taps_of_pymoten_change_little(rng):
    movie = make_movie(rng)
    peer = moten.pyramids.MotionEnergyPyramid(stimulus_vhsize=SMALL, stimulus_fps=24)
    theirs = np.hypot(*peer.raw_project_stimulus(movie, dtype="float64"))
    ours = MotionEnergyPyramid(SMALL, 24, dtype="float64")(movie, output="amplitude")
    difference = np.abs(ours - theirs).max() / theirs.max()
    assert 0 < difference < 5e-3


def test_other_directions_and_no_flicker(rng, every_tap):
    options = {"spatial_frequencies": [3, 5.5], "spatial_directions": [0, 30, 77, 180, 300]}
    peer = moten.pyramids.MotionEnergyPyramid(stimulus_vhsize=SMALL, stimulus_fps=24, **options)
    ours = MotionEnergyPyramid(
        SMALL, 24, dtype="float64", spatial_frequencies_cpi=(3, 5.5), directions_deg=(0, 30, 77, 180, 300)
    )
    movie = make_movie(rng, 20)
    np.testing.assert_allclose(
        ours(movie, output="amplitude"),
        np.hypot(*peer.raw_project_stimulus(movie, dtype="float64")),
        atol=1e-9,
    )


def test_single_precision_is_close(rng):
    movie = make_movie(rng)
    exact = MotionEnergyPyramid(SMALL, 24, dtype="float64")(movie, output="amplitude")
    single = MotionEnergyPyramid(SMALL, 24)(movie.astype("f4"), output="amplitude")
    assert single.dtype == np.float32
    assert np.abs(single - exact).max() / exact.max() < 1e-6


def test_tensors_are_taken_as_they_are(rng):
    movie = make_movie(rng, 10).astype("f4")
    pyramid = MotionEnergyPyramid(SMALL, 24)
    np.testing.assert_array_equal(pyramid(torch.from_numpy(movie)), pyramid(movie))


@pytest.mark.parametrize("lengths", [(1,) * 30, (3, 0, 27), (30,), (200, 7)])
def test_streamed_blocks_equal_the_whole(rng, lengths):
    movie = make_movie(rng, sum(lengths)).astype("f4")
    pyramid = MotionEnergyPyramid(SMALL, 24)
    blocks = np.split(movie, np.cumsum(lengths)[:-1])
    streamed = np.concatenate(list(pyramid.stream(blocks)))
    np.testing.assert_allclose(streamed, pyramid(movie), atol=2e-4)


def test_stream_holds_no_more_than_blocks_and_windows(rng):
    """A frame comes out as soon as its window is complete."""
    pyramid = MotionEnergyPyramid(SMALL, 24)
    block = make_movie(rng, 64).astype("f4")
    taken = 0

    def give():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield block

    stream = pyramid.stream(give())
    n_out = 0
    for _ in range(20):
        n_out += len(next(stream))
        assert taken * 64 - n_out <= 2 * 64


def drift(direction_deg, *, frequency_cpi=8.0, temporal_hz=4.0, n=48, size=(64, 64), fps=24):
    """Grating that moves physically in ``direction_deg`` (0 right, 90 up)."""
    y, x = np.mgrid[: size[0], : size[1]] / (size[0] - 1)
    angle = np.deg2rad(direction_deg)
    along = x * np.cos(angle) - y * np.sin(angle)
    time = np.arange(n)[:, None, None] / fps
    return 50 + 50 * np.cos(2 * np.pi * (frequency_cpi * along - temporal_hz * time))


@pytest.mark.parametrize("direction", range(0, 360, 45))
def test_labels_name_the_direction_that_drives_a_filter(direction):
    pyramid = MotionEnergyPyramid((64, 64), 24, dtype="float64")
    response = pyramid(drift(direction), output="amplitude")[24]
    table = pyramid.filters
    tuned = table[(table["spatial_frequency_cpi"] == 8) & (table["temporal_frequency_hz"] == 4)]
    mean = response[tuned.index]
    mean = {label: mean[tuned["direction_deg"] == label].mean() for label in tuned["direction_deg"].unique()}
    assert max(mean, key=mean.get) == direction
    assert mean[(direction + 180.0) % 360] < 0.1 * mean[direction]


def test_rightward_motion_drives_pymotens_180():
    pyramid = MotionEnergyPyramid((64, 64), 24, dtype="float64")
    response = pyramid(drift(0), output="amplitude")[24]
    table = pyramid.filters
    directed = table["direction_deg"].notna().to_numpy()
    best = table.loc[np.where(directed, response, 0).argmax()]
    assert best["pymoten_direction_deg"] == 180
    assert best["direction_deg"] == 0


def test_static_filters_and_flicker_have_no_direction():
    table = make_filter_table(SMALL)
    undirected = (table["temporal_frequency_hz"] == 0) | (table["spatial_frequency_cpi"] == 0)
    np.testing.assert_array_equal(table["direction_deg"].isna(), undirected)


def test_physical_units():
    table = make_filter_table((96, 128), size_dva=(12.0, 16.0))
    moving = table[table["direction_deg"].notna()]
    np.testing.assert_allclose(moving["spatial_frequency_cpd"] * 12, moving["spatial_frequency_cpi"])
    np.testing.assert_allclose(
        moving["speed_dva_s"] * moving["spatial_frequency_cpd"], moving["temporal_frequency_hz"]
    )
    corner = table.loc[(table["x"] + table["y"]).idxmin()]
    assert corner["x_dva"] < 0 < corner["y_dva"]
    assert table["x_dva"].abs().max() < 8
    assert table["y_dva"].abs().max() < 6


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"size_px": (1, 4)}, ValueError, "size_px must be"),
        ({"size_px": (36.5, 48)}, ValueError, "whole px"),
        ({"fps": np.nan}, ValueError, "fps must be finite"),
        ({"fps": "24"}, TypeError, "fps must be numeric"),
        ({"temporal_frequencies_hz": (0, np.nan)}, ValueError, "temporal_frequencies_hz must be finite"),
        ({"size_dva": (12.0, 9.0)}, ValueError, "height and width are swapped"),
        ({"size_dva": (9.0, 10.0)}, ValueError, "of square pixels like size_px"),
        ({"fps": 0}, ValueError, "fps must be a positive"),
        ({"fps": 2}, ValueError, "fps must give a window"),
        ({"fps": 6}, ValueError, "temporal_frequencies_hz must lie between 0 and the Nyquist limit 3"),
        ({"spatial_frequencies_cpi": (0, 40)}, ValueError, "spatial_frequencies_cpi must lie between"),
        ({"spatial_frequencies_cpi": (0,)}, ValueError, "must hold a positive frequency"),
        ({"directions_deg": (0, 360)}, ValueError, "directions_deg must lie in"),
        ({"dtype": "float16"}, ValueError, "dtype must be"),
    ],
)
def test_impossible_pyramids_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        MotionEnergyPyramid(**{"size_px": SMALL, "fps": 24, **wrong})


@pytest.mark.parametrize(
    ("movie", "error", "message"),
    [
        (np.zeros((5, *SMALL), dtype=np.uint8), TypeError, "must be floating point"),
        (np.zeros((5, *SMALL[::-1])), ValueError, "height and width are swapped"),
        (np.zeros((5, 9, 9)), ValueError, "must have the shape"),
        (np.zeros(SMALL), ValueError, "must have the shape"),
        (np.full((5, *SMALL), np.nan), ValueError, "must be finite"),
        (np.zeros((0, *SMALL)), ValueError, "at least one frame"),
    ],
)
def test_wrong_movies_are_refused(movie, error, message):
    with pytest.raises(error, match=message):
        MotionEnergyPyramid(SMALL, 24)(movie)


def test_luminance_equals_pymoten(rng):
    frames = rng.integers(0, 256, size=(3, 10, 12, 3), dtype=np.uint8)
    frames[0, 0, :4] = [[0, 0, 0], [255, 255, 255], [1, 1, 1], [9, 0, 3]]
    lightness = np.stack([moten.colorspace.rgb2lab(frame / 255.0)[..., 0] for frame in frames])
    np.testing.assert_allclose(compute_luminance(frames, dtype="float64"), lightness, atol=1e-4)
    assert compute_luminance(frames).dtype == np.float32


def test_luminance_refuses_other_frames():
    with pytest.raises(TypeError, match="must be uint8"):
        compute_luminance(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="must have the shape"):
        compute_luminance(np.zeros((3, 4, 4), dtype=np.uint8))
