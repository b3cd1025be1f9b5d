"""Classic stimuli against what their units promise."""

import itertools

import numpy as np
import pytest

from neurovis.stimuli.gratings import make_aperture, make_grating, make_plaid
from neurovis.stimuli.localisers import make_localiser_events
from neurovis.stimuli.noise import make_band_limited_noise, scramble_phase
from neurovis.stimuli.random_dots import make_random_dots
from neurovis.stimuli.retinotopy import (
    make_bar_apertures,
    make_checkerboard,
    make_ring_apertures,
    make_wedge_apertures,
)
from neurovis.stimuli.search_arrays import make_bar_item, make_letter_item, make_search_array

SCREEN = {"size_px": (64, 64), "size_dva": (8.0, 8.0)}


def spectrum_peak(image):
    """(horizontal, vertical-up) cycles per degree of the strongest component."""
    power = np.abs(np.fft.fft2(image - image.mean()))
    row, column = np.unravel_index(power.argmax(), power.shape)
    frequency = np.fft.fftfreq(64, 1 / 8)
    return frequency[column], -frequency[row]


@pytest.mark.parametrize("direction", [0, 45, 90, 135])
def test_grating_has_its_frequency_and_direction(direction):
    cpd = 1.0 if direction % 90 == 0 else np.sqrt(2) * 0.5
    frame = make_grating(**SCREEN, spatial_frequency_cpd=cpd, direction_deg=direction)[0]
    fx, fy = spectrum_peak(frame)
    assert np.hypot(fx, fy) == pytest.approx(cpd)
    assert np.rad2deg(np.arctan2(fy, fx)) % 180 == pytest.approx(direction)
    assert frame.min() >= 0
    assert frame.max() <= 1


@pytest.mark.parametrize(("direction", "shift"), [(0, (0, 1)), (180, (0, -1)), (90, (-1, 0)), (270, (1, 0))])
def test_grating_drifts_at_its_speed(direction, shift):
    # 8 px per degree, 2 Hz over 1 cpd = 2 degrees per second = 1 px per frame at 16 fps.
    movie = make_grating(
        **SCREEN,
        spatial_frequency_cpd=1.0,
        direction_deg=direction,
        temporal_frequency_hz=2.0,
        fps=16,
        n_frames=3,
    )
    np.testing.assert_allclose(movie[1], np.roll(movie[0], shift, axis=(0, 1)), atol=1e-9)


def test_grating_contrast_is_michelson():
    frame = make_grating(**SCREEN, spatial_frequency_cpd=0.5, direction_deg=0, contrast=0.4, phase_deg=7)[0]
    assert (frame.max() - frame.min()) / (frame.max() + frame.min()) == pytest.approx(0.4, rel=0.01)


def test_frequencies_above_nyquist_are_refused():
    with pytest.raises(ValueError, match="spatial_frequency_cpd must be at most the Nyquist limit 4"):
        make_grating(**SCREEN, spatial_frequency_cpd=5, direction_deg=0)
    with pytest.raises(ValueError, match="temporal_frequency_hz"):
        make_grating(
            **SCREEN,
            spatial_frequency_cpd=1,
            direction_deg=0,
            temporal_frequency_hz=13,
            fps=24,
            n_frames=2,
        )


def test_plaid_moves_in_the_mean_direction():
    # Components at +-60 degrees, 1 cpd, speed v: the pattern moves rightwards at v / cos(60) = 2 v.
    movie = make_plaid(
        directions_deg=(60, -60),
        **SCREEN,
        spatial_frequency_cpd=1.0,
        temporal_frequency_hz=1.0,
        fps=16,
        n_frames=2,
    )
    inner = movie[:, :, 2:-2]
    np.testing.assert_allclose(inner[1][:, 1:], inner[0][:, :-1], atol=1e-9)


def test_aperture_is_zero_outside():
    window = make_aperture(**SCREEN, diameter_dva=4)
    assert window[0, 0] == 0
    assert window[32, 32] == 1
    assert make_aperture(**SCREEN, diameter_dva=4, edge=0).sum() == pytest.approx(np.pi * 16**2, rel=0.02)


def test_dots_move_by_speed_and_coherence():
    _, positions = make_random_dots(
        **SCREEN,
        fps=20,
        n_frames=5,
        direction_deg=90,
        speed_dps=2.0,
        coherence=0.6,
        seed=1,
        density_per_dva2=20,
    )
    step = (np.diff(positions, axis=0) + 4) % 8 - 4
    np.testing.assert_allclose(np.hypot(*np.moveaxis(step, -1, 0)), 0.1, atol=1e-9)
    signal = np.isclose(step[..., 1], 0.1).all(0)
    assert signal.mean() == pytest.approx(0.6, abs=0.05)


def test_dots_are_drawn_where_they_are():
    frames, positions = make_random_dots(
        **SCREEN,
        fps=20,
        n_frames=2,
        direction_deg=0,
        speed_dps=1,
        coherence=1,
        seed=3,
        density_per_dva2=0.1,
        dot_dva=0.5,
    )
    x, y = positions[1].T
    rows, columns = ((4 - y) * 8).astype(int).clip(0, 63), ((x + 4) * 8).astype(int).clip(0, 63)
    assert (frames[1][rows, columns] > 0.5).all()
    assert frames[1].sum() == pytest.approx(len(x) * np.pi * 2**2, rel=0.25)


def test_dots_live_as_long_as_told():
    _, positions = make_random_dots(
        **SCREEN, fps=20, n_frames=6, direction_deg=0, speed_dps=1, coherence=1, seed=3, lifetime_frames=3
    )
    step = (np.diff(positions, axis=0) + 4) % 8 - 4
    moved_on = np.isclose(np.hypot(*np.moveaxis(step, -1, 0)), 0.05)
    assert moved_on.mean() == pytest.approx(2 / 3, abs=0.08)


def test_noise_stays_in_its_band_at_its_contrast():
    image = make_band_limited_noise(
        **SCREEN, spatial_frequency_cpd=1.0, bandwidth_octaves=1.0, rms_contrast=0.2, seed=0
    )
    assert image.std() / image.mean() == pytest.approx(0.2)
    power = np.abs(np.fft.fft2(image - image.mean())) ** 2
    frequency = np.fft.fftfreq(64, 1 / 8)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    inside = (radius >= 2**-0.5) & (radius <= 2**0.5)
    assert power[~inside].sum() < 1e-12 * power.sum()


@pytest.mark.parametrize("orientation", [0, 45, 90])
def test_noise_orientation_is_that_of_its_bars(orientation):
    image = make_band_limited_noise(
        **SCREEN,
        spatial_frequency_cpd=1.5,
        bandwidth_octaves=1.0,
        rms_contrast=0.2,
        seed=0,
        orientation_deg=orientation,
        orientation_bandwidth_deg=20,
    )
    fx, fy = spectrum_peak(image)
    apart = (np.rad2deg(np.arctan2(fy, fx)) - orientation - 90 + 90) % 180 - 90
    assert abs(apart) <= 10


def test_empty_band_is_refused():
    with pytest.raises(ValueError, match="spatial_frequency_cpd"):
        make_band_limited_noise(
            **SCREEN, spatial_frequency_cpd=40, bandwidth_octaves=1, rms_contrast=0.1, seed=0
        )


def test_scrambling_keeps_the_amplitude_spectrum(rng):
    image = rng.random((32, 48, 3)) ** 2
    scrambled = scramble_phase(image, seed=0)
    np.testing.assert_allclose(scrambled.mean((0, 1)), image.mean((0, 1)))
    np.testing.assert_allclose(scrambled.std((0, 1)), image.std((0, 1)))
    before, after = (np.abs(np.fft.rfft2(a, axes=(0, 1)))[1:16, 1:24] for a in (image, scrambled))
    np.testing.assert_allclose(after, before, rtol=0.02)
    assert abs(np.corrcoef(image.ravel(), scrambled.ravel())[0, 1]) < 0.2


def test_bars_cover_the_screen_once_per_sweep():
    apertures, positions = make_bar_apertures(
        **SCREEN, directions_deg=[0, np.nan, 90], width_dva=1.0, n_steps=10
    )
    assert apertures.shape == (30, 64, 64)
    assert not apertures[10:20].any()
    assert np.isnan(positions[10:20]).all()
    x = (np.arange(64) + 0.5) / 8 - 4
    shown = apertures[4].any(0)
    assert abs(x[shown].mean() - positions[4, 1]) < 0.07
    assert apertures[20:].any(0).all()


def test_wedges_and_rings_tile_the_disc():
    wedges = make_wedge_apertures(**SCREEN, width_deg=45, n_steps=8)
    assert (wedges.sum(0) >= 1).all()
    x = (np.arange(64) + 0.5) / 8 - 4
    assert x[wedges[0].any(0)].min() > 0
    # Counter-clockwise: after a quarter turn the wedge points up, the first rows.
    assert np.flatnonzero(wedges[2].any(1)).max() < 32
    rings = make_ring_apertures(**SCREEN, n_steps=8, duty=0.25)
    radius = np.hypot(*np.meshgrid(x, x))
    sizes = [radius[ring].mean() for ring in rings[:6]]
    assert sizes == sorted(sizes)
    assert rings.sum(0)[radius < 3.9].min() == 2


def test_checkerboard_reverses():
    board = make_checkerboard(**SCREEN, check_dva=1.0)
    np.testing.assert_array_equal(board + make_checkerboard(**SCREEN, check_dva=1.0, polarity=-1), 1)
    assert board.mean() == pytest.approx(0.5)


def test_localiser_is_balanced_and_timed():
    ids = {name: [f"{name}{i}" for i in range(20)] for name in ("face", "place", "word")}
    events = make_localiser_events(
        ids, n_blocks=4, block_s=12, stimulus_s=0.8, gap_s=0.2, rest_s=6, seed=0, one_back_rate=0.2
    )
    assert (events.groupby("trial_type")["block"].nunique() == 4).all()
    order = events.drop_duplicates("block")["trial_type"].tolist()
    assert all(a != b for a, b in itertools.pairwise(order))
    assert events["onset"].is_monotonic_increasing
    assert events["onset"].iloc[0] == 6
    assert events.groupby("block").size().eq(12).all()
    again = events["stimulus_id"].eq(events["stimulus_id"].shift())
    assert (again == events["one_back"]).all()
    assert events["one_back"].mean() == pytest.approx(0.2, abs=0.08)
    with pytest.raises(ValueError, match=r"stimulus_ids\['face'\] must have at least 30"):
        make_localiser_events(ids, n_blocks=1, block_s=30, stimulus_s=1, gap_s=0, rest_s=1, seed=0)


@pytest.mark.parametrize("layout", ["grid", "ring"])
def test_search_items_lie_in_their_boxes(layout):
    item = {"size_dva": 1.0, "px_per_dva": 16}
    target, distractor = (make_bar_item(**item, orientation_deg=angle) for angle in (90, 0))
    array = make_search_array(
        target, [distractor], n_items=8, size_px=(128, 160), size_dva=(8, 10), seed=2, layout=layout
    )
    assert array.items["is_target"].sum() == 1
    covered = np.zeros(array.image.shape, dtype=int)
    for item_row in array.items.itertuples():
        box = (slice(item_row.top, item_row.bottom), slice(item_row.left, item_row.right))
        covered[box] += 1
        expected = target if item_row.is_target else distractor
        np.testing.assert_allclose(array.image[box], 0.5 - 0.5 * expected)
    assert covered.max() == 1
    assert (array.image[covered == 0] == 0.5).all()
    if layout == "ring":
        eccentricity = np.hypot(array.items["x_dva"], array.items["y_dva"])
        assert np.ptp(eccentricity) < 0.1
    absent = make_search_array(
        target, [distractor], n_items=8, size_px=(128, 160), size_dva=(8, 10), seed=2, target_present=False
    )
    assert not absent.items["is_target"].any()


def test_letters_have_equal_ink_and_bad_input_is_refused():
    item = {"size_dva": 2.0, "px_per_dva": 40}
    ink = [make_letter_item(letter, **item, orientation_deg=30).sum() for letter in "TL"]
    assert ink[0] == pytest.approx(ink[1], rel=0.02)
    with pytest.raises(ValueError, match="letter must be"):
        make_letter_item("X", **item)
    with pytest.raises(ValueError, match="n_items must fit"):
        make_search_array(
            np.ones((40, 40)), [np.ones((40, 40))], n_items=30, size_px=(64, 64), size_dva=(8, 8), seed=0
        )
