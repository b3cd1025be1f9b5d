"""Events of simulated gaze are found where they were put; those of a reader look like a reader's."""

import numpy as np
import pytest

from neurovis.datasets.gaze_reading import DISTANCE_CM, SFREQ, SIZE_CM, SIZE_PX, load_gaze_reading
from neurovis.gaze.events import METHODS, Screen, detect_fixations, detect_saccades, fit_main_sequence

pytest.importorskip("pymovements")

SCREEN = Screen(SIZE_PX, SIZE_CM, DISTANCE_CM)
V_MAX, CONSTANT = 500.0, 4.0


def _to_px(xy_dva):
    """Tangent screen, the origin in the upper left corner."""
    cm = np.tan(np.radians(xy_dva)) * DISTANCE_CM
    return cm * (np.array(SIZE_PX) / np.array(SIZE_CM))[::-1] + (np.array(SIZE_PX)[::-1] - 1) / 2


def _simulate(seed=0, n=15, noise_dva=0.004):
    """Fixations of 0.15-0.4 s and saccades of a minimum-jerk profile that follow the main sequence."""
    rng = np.random.default_rng(seed)
    place = np.zeros(2)
    path, fixations, saccades = [], [], []
    for number in range(n):
        duration = int(rng.uniform(150, 400))
        fixations.append((len(path), duration, place.copy()))
        path += [place.copy()] * duration
        if number == n - 1:
            break
        target = rng.uniform(-9, 9, 2)
        amplitude = np.hypot(*(target - place))
        peak = V_MAX * (1 - np.exp(-amplitude / CONSTANT))
        # The peak velocity of a minimum jerk is 1.875 amplitudes per duration.
        steps = round(1000 * 1.875 * amplitude / peak)
        t = np.arange(1, steps + 1) / steps
        way = 10 * t**3 - 15 * t**4 + 6 * t**5
        saccades.append((len(path), steps, amplitude, peak))
        path += list(place + way[:, None] * (target - place))
        place = target
    drift = np.cumsum(rng.normal(scale=noise_dva / 20, size=(len(path), 2)), axis=0)
    xy = np.array(path) + drift + rng.normal(scale=noise_dva, size=(len(path), 2))
    return np.arange(len(path)) / 1000, _to_px(xy), fixations, saccades


def _join_touching(found):
    """I-DT cuts a fixation in two where its window starts in the tail of a saccade and is full at once."""
    touching = found["onset_s"].sub((found["onset_s"] + found["duration_s"]).shift()).lt(0.0015)
    groups = (~touching).cumsum()
    joined = found.groupby(groups).agg({"onset_s": "first", "x_px": "last", "y_px": "last"})
    ends = (found["onset_s"] + found["duration_s"]).groupby(groups).last()
    return joined.assign(duration_s=ends - joined["onset_s"])


ABOUT = {"screen": SCREEN, "sfreq": SFREQ}
WHO = {"subject": "s", "stimulus_id": "i"}


@pytest.mark.parametrize(("method", "tolerance_s"), [("ivt", 0.02), ("idt", 0.03), ("engbert", 0.02)])
def test_fixations_are_found_where_they_were(method, tolerance_s):
    time, xy, fixations, _ = _simulate()
    found = _join_touching(detect_fixations(time, xy, **ABOUT, **WHO, method=method, velocity_dps=30))
    assert len(found) == len(fixations)
    np.testing.assert_allclose(
        found["onset_s"], [start / 1000 for start, _, _ in fixations], atol=tolerance_s
    )
    ends = found["onset_s"] + found["duration_s"]
    true_ends = [(start + duration) / 1000 for start, duration, _ in fixations]
    np.testing.assert_allclose(ends, true_ends, atol=tolerance_s)
    places = _to_px(np.array([place for _, _, place in fixations]))
    assert np.hypot(*(found[["x_px", "y_px"]].to_numpy() - places).T).max() < 0.3 * SCREEN.px_per_dva


def test_saccades_and_their_main_sequence():
    time, xy, _, saccades = _simulate(n=40)
    found = detect_saccades(time, xy, **ABOUT)
    assert len(found) == len(saccades)
    np.testing.assert_allclose(found["onset_s"], [start / 1000 for start, *_ in saccades], atol=0.01)
    amplitude, peak = np.array([saccade[2:] for saccade in saccades]).T
    np.testing.assert_allclose(found["amplitude_dva"], amplitude, rtol=0.06, atol=0.1)
    np.testing.assert_allclose(found["peak_velocity_dps"], peak, rtol=0.1)
    fitted = fit_main_sequence(found["amplitude_dva"], found["peak_velocity_dps"])
    assert fitted.v_max_dps == pytest.approx(V_MAX, rel=0.12)
    assert fitted.amplitude_constant_dva == pytest.approx(CONSTANT, rel=0.25)
    assert fitted.r > 0.97
    assert fitted.n_saccades == 39


def test_overshoots_are_one_saccade_if_wished():
    time, xy, *_ = _simulate(n=3)
    few, many = (detect_saccades(time, xy, **ABOUT, merge_s=merge) for merge in (10.0, 0.0))
    assert len(few) == 1
    assert len(many) >= 2


@pytest.mark.parametrize("method", METHODS)
def test_nothing_reaches_across_a_blink(method):
    time, xy, fixations, _ = _simulate()
    start, duration, _ = max(fixations, key=lambda fixation: fixation[1])
    middle = start + duration // 2
    lost = slice(middle - 10, middle + 10)
    xy[lost] = np.nan
    with pytest.raises(ValueError, match=r"20 of .* samples lost"):
        detect_fixations(time, xy, **ABOUT, **WHO, method=method)
    options = {"method": method, "missing": "split", "minimum_s": 0.08, "velocity_dps": 30}
    found = _join_touching(detect_fixations(time, xy, **ABOUT, **WHO, **options))
    assert len(found) == len(fixations) + 1
    ends = found["onset_s"] + found["duration_s"]
    gap = (time[lost.start], time[lost.stop - 1])
    assert not ((found["onset_s"] < gap[1]) & (ends > gap[0] + 1e-9)).any()
    padded = detect_fixations(time, xy, **ABOUT, **WHO, **options, padding_s=0.03)
    before = padded["onset_s"] + padded["duration_s"]
    assert not ((padded["onset_s"] < gap[1] + 0.029) & (before > gap[0] - 0.029)).any()


def test_a_page_of_text(shared_data):
    _, samples = load_gaze_reading(root=shared_data)
    own = samples[samples["stimulus_id"] == "0_1"]
    time, xy = own["time_s"], own[["x_px", "y_px"]]
    assert SCREEN.px_per_dva == pytest.approx(39.9, abs=0.1)
    fixations = detect_fixations(time, xy, **ABOUT, **WHO, method="engbert")
    assert fixations["duration_s"].median() == pytest.approx(0.19, abs=0.03)
    assert 60 < len(fixations) < 90  # about four a second
    saccades = detect_saccades(time, xy, **ABOUT)
    assert saccades["amplitude_dva"].median() == pytest.approx(1.9, abs=0.3)
    fitted = fit_main_sequence(saccades["amplitude_dva"], saccades["peak_velocity_dps"])
    assert 250 < fitted.v_max_dps < 500
    assert fitted.r > 0.8
    # Reading goes to the right in small steps and returns in large ones.
    step = saccades["end_x_px"] - saccades["start_x_px"]
    assert (step > 0).mean() > 0.6
    assert step.min() < -300


def test_units_and_rates_are_checked():
    time, xy, *_ = _simulate(n=3)
    with pytest.raises(ValueError, match="look like degrees"):
        detect_fixations(time, (xy - 600) / 40, **ABOUT, **WHO)
    with pytest.raises(ValueError, match=r"median 0\.001: 1000 Hz"):
        detect_fixations(time, xy, screen=SCREEN, sfreq=250, **WHO)
    with pytest.raises(ValueError, match="times are seconds"):
        detect_fixations(time * 1000, xy, **ABOUT, **WHO)
    with pytest.raises(ValueError, match="gaps in time need samples of NaN"):
        detect_saccades(np.delete(time, slice(50, 90)), np.delete(xy, slice(50, 90), axis=0), **ABOUT)
    corner = np.column_stack([np.full(len(time), 40.0), np.full(len(time), 1200.0)])
    with pytest.raises(ValueError, match="exchange x and y"):
        detect_fixations(time, corner + np.arange(len(time))[:, None] * 1e-3, **ABOUT, **WHO)
    with pytest.raises(ValueError, match="upper left corner"):
        detect_fixations(time, xy - 2000, **ABOUT, **WHO)
    with pytest.raises(ValueError, match="lost samples only"):
        detect_fixations(time, xy * np.nan, **ABOUT, **WHO, missing="split")
    with pytest.raises(ValueError, match="'ivt', 'idt' or 'engbert'"):
        detect_fixations(time, xy, **ABOUT, **WHO, method="hmm")
    with pytest.raises(ValueError, match="must hold a fixation, got none"):
        detect_fixations(time, xy, **ABOUT, **WHO, minimum_s=5)
    with pytest.raises(ValueError, match="vary from sample to sample"):
        detect_saccades(time, np.full_like(xy, 500.0), **ABOUT)
    with pytest.raises(ValueError, match="at least 5 samples"):
        detect_saccades(time[:3], xy[:3], **ABOUT)


def test_wrong_screens_and_sequences():
    with pytest.raises(ValueError, match="must be positive"):
        Screen((1024, 1280), (30.2, 38.0), 0)
    with pytest.raises(ValueError, match="about square"):
        Screen((1024, 1280), (38.0, 30.2), 68)
    with pytest.raises(ValueError, match="at least 5 saccades"):
        fit_main_sequence([1, 2], [100, 200])
    with pytest.raises(ValueError, match="above 0"):
        fit_main_sequence([0, 1, 2, 3, 4], [1, 100, 150, 200, 250])
