import numpy as np
import pytest
from miniature_gaze import make_mit1003
from scipy.io import savemat

from neurovis.datasets.mit1003 import SFREQ, detect_fixations_by_acceleration, load_mit1003


def test_fixations_lie_where_they_were_put(tmp_path):
    root, truth = make_mit1003(tmp_path)
    stimuli, fixations = load_mit1003(root=root)
    assert len(stimuli) == 2
    assert stimuli.load(stimuli.stimulus_ids[0]).shape == (768, 1024, 3)
    assert stimuli.table["height_px"].tolist() == [768, 405]
    assert set(fixations["subject"]) == {"CNG", "hp"}
    for name in stimuli.stimulus_ids:
        places, starts = truth["CNG", name]
        own = fixations.query("subject == 'CNG' and stimulus_id == @name")
        assert len(own) == len(places)
        np.testing.assert_allclose(own[["x_px", "y_px"]], places, atol=0.5)
        np.testing.assert_allclose(own["onset_s"], starts / SFREQ, atol=0.035)


def test_blinks_are_dropped_and_the_scanpath_numbered_again(tmp_path):
    root, truth = make_mit1003(tmp_path)
    stimuli, fixations = load_mit1003(root=root, subject="hp")
    name = stimuli.stimulus_ids[0]
    own = fixations[fixations["stimulus_id"] == name]
    assert own["index"].tolist() == list(range(len(own)))
    assert (own[["x_px", "y_px"]] > 0).all(axis=None)
    # Every place is still there, the fourth perhaps twice: before and after the blink.
    places, _ = truth["hp", name]
    distance = np.hypot(*(own[["x_px", "y_px"]].to_numpy()[:, None] - places).T)
    assert (distance.min(axis=1) < 1).all()
    kept = load_mit1003(root=root, subject="hp", outside="keep")[1]
    assert (kept["x_px"] < 0).any()


def _detect_slowly(xy):
    """The published rules, sample by sample."""
    n = len(xy)
    speed = [0.0] + [float(np.linalg.norm(xy[t] - xy[t - 1])) for t in range(1, n)]
    smooth = [sum(speed[max(0, t - 3) : t + 1]) / 4 for t in range(n)]
    acceleration = [0.0] * n
    for k in range(1, n - 5):
        one = sum(smooth[k : k + 5]) / (4 / 240)
        other = sum(smooth[k + 1 : k + 6]) / (4 / 240)
        acceleration[k] = other - one
    saccades, t = [], 0
    while t < n:
        if acceleration[t] <= 204:
            t += 1
            continue
        start = t
        while t < n and acceleration[t] > 204:
            t += 1
        if t - start < 3:
            continue
        for end in range(t, min(t + 26, n - 1)):
            if acceleration[end] < -204 and not acceleration[end + 1] < -204:
                saccades.append([start, end])
                break
    joined = []
    for start, end in saccades:
        if joined and start - joined[-1][1] <= 12:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    moving = [False] * n
    for number, (start, end) in enumerate(joined):
        if number == len(joined) - 1 and n - (end + 1) <= 12:
            end = n - 1
        for t in range(start, end + 1):
            moving[t] = True
    fixations, t = [], 0
    while t < n:
        start = t
        while t < n and not moving[t]:
            t += 1
        if t > start:
            fixations.append((start, t))
        t += 1
    return fixations


def test_detection_equals_the_rules(rng):
    counts = set()
    for _ in range(20):
        path = []
        for _ in range(8):
            path += [rng.uniform(0, 1000, 2)] * int(rng.integers(3, 60))
        smooth = np.array(
            [
                np.convolve(column, np.hanning(9) / np.hanning(9).sum(), "same")
                for column in np.transpose(path)
            ]
        )
        xy = smooth.T + rng.normal(scale=0.5, size=(len(path), 2))
        found = detect_fixations_by_acceleration(xy)
        assert found == _detect_slowly(xy)
        counts.add(len(found))
    assert len(counts) > 3
    assert detect_fixations_by_acceleration(np.ones((100, 2))) == [(0, 100)]


def test_wrong_files_are_refused(tmp_path):
    root, _ = make_mit1003(tmp_path)
    path = next((root / "mit1003" / "DATA" / "hp").glob("i05*.mat"))
    savemat(path, {path.stem: np.zeros(3)})
    with pytest.raises(ValueError, match=r"DATA\(1\)\.eyeData"):
        load_mit1003(root=root)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="i05june05"):
        load_mit1003(root=root)
    with pytest.raises(FileNotFoundError, match="WherePeopleLook"):
        load_mit1003(root=tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="must be finite"):
        detect_fixations_by_acceleration(np.full((10, 2), np.nan))
    for image in (root / "mit1003" / "ALLSTIMULI").iterdir():
        image.unlink()
    with pytest.raises(FileNotFoundError, match="ALLSTIMULI"):
        load_mit1003(root=root)
