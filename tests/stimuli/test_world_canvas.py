"""The canvas, textures and letters that scenes are made of."""

import string

import numpy as np
import pytest

from neurovis.stimuli.textures import make_fractal_field, resize_field
from neurovis.stimuli.world_canvas import BACKGROUND_OWNER, PLACE_OWNER, Canvas, Light, smooth_outline
from neurovis.stimuli.world_words import VOCABULARY, trace_cursive


def _flat(canvas):
    return np.zeros((canvas.side_px, canvas.side_px), dtype=np.float32)


def test_ellipse_covers_its_analytic_area_after_turn_and_scale():
    canvas = Canvas(64, Light())
    canvas.pen(3).at(0.5, 0.5, (0.4, 0.2), 30.0).ellipse(0, 0, 0.8, 0.5, (200, 10, 10))
    _, owner = canvas.render(_flat(canvas))
    assert (owner == 3).mean() == pytest.approx(np.pi * 0.32 * 0.1, rel=0.03)


def test_relief_is_brighter_towards_the_light_and_the_shadow_falls_away():
    canvas = Canvas(64, Light(direction_deg=0.0, contrast=1.0, gradient=0.0))
    canvas.pen(2).ellipse(0.5, 0.5, 0.2, 0.2, (120, 120, 120), relief=1.0)
    image, owner = canvas.render(_flat(canvas))
    side = canvas.side_px
    right, left = image[side // 2, int(0.62 * side), 0], image[side // 2, int(0.36 * side), 0]
    assert right > left + 20
    rim_left, rim_right = image[side // 2, int(0.28 * side), 0], image[side // 2, int(0.72 * side), 0]
    assert owner[side // 2, int(0.28 * side)] == BACKGROUND_OWNER
    assert rim_left < rim_right - 3


def test_claim_changes_the_owner_and_no_colour():
    plain, claimed = Canvas(64, Light()), Canvas(64, Light())
    for canvas in (plain, claimed):
        canvas.pen(PLACE_OWNER).shape([(0, 0), (1, 0), (1, 1), (0, 1)], (90, 120, 60), grain=0.5)
    claimed.pen(5).claim([(0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)])
    grain = np.random.default_rng(0).normal(size=_flat(plain).shape).astype(np.float32)
    before, after = plain.render(grain), claimed.render(grain)
    np.testing.assert_array_equal(before[0], after[0])
    assert (after[1] == 5).mean() == pytest.approx(0.16, rel=0.05)


def test_smooth_outline_passes_through_its_corners(rng):
    corners = rng.normal(size=(6, 2))
    np.testing.assert_allclose(smooth_outline(corners, n_between=4)[::4], corners)
    np.testing.assert_allclose(smooth_outline(corners, closed=False, n_between=4)[::4], corners)


@pytest.mark.parametrize("slope", [0.5, 1.0, 1.6])
def test_amplitude_spectrum_has_the_asked_slope(slope):
    spectra = [
        np.abs(np.fft.fft2(make_fractal_field(np.random.default_rng(k), 128, slope=slope))) for k in range(12)
    ]
    frequency = np.fft.fftfreq(128, 1 / 128)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    bands = [(6, 9), (9, 13), (13, 19), (19, 27), (27, 40)]
    power = [np.mean([s[(radius >= a) & (radius < b)].mean() for s in spectra]) for a, b in bands]
    fitted = np.polyfit(np.log([np.sqrt(a * b) for a, b in bands]), np.log(power), 1)[0]
    assert fitted == pytest.approx(-slope, abs=0.25)


def test_field_is_the_same_at_another_resolution():
    small, large = (make_fractal_field(np.random.default_rng(1), side) for side in (128, 256))
    assert np.corrcoef(resize_field(large, 128).ravel(), small.ravel())[0, 1] > 0.97


def test_every_word_can_be_written_by_hand(rng):
    assert set("".join(VOCABULARY)) <= set(string.ascii_lowercase)
    upright = trace_cursive("titi", slant=0.0, wobble=0.0, rng=rng)
    slanted = trace_cursive("titi", slant=0.4, wobble=0.0, rng=rng)
    # One joined stroke, then two crosses and two dots.
    assert len(upright) == 5
    np.testing.assert_allclose(slanted[0][:, 0], upright[0][:, 0] - 0.4 * upright[0][:, 1])
    long, short = (np.ptp(trace_cursive(w, slant=0.0, wobble=0.0, rng=rng)[0][:, 0]) for w in ("stop", "so"))
    assert long > 1.5 * short
