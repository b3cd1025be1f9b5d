import numpy as np
import pandas as pd
import pytest
from miniature_gaze import make_gaze_reading

from neurovis.datasets.gaze_reading import load_gaze_reading


def test_pages(tmp_path):
    stimuli, samples = load_gaze_reading(root=make_gaze_reading(tmp_path))
    assert stimuli.stimulus_ids == ["0_1", "2_5"]
    assert stimuli.table[["text", "page"]].values.tolist() == [[0, 1], [2, 5]]
    raw = pd.read_csv(tmp_path / "gaze_samples_reading" / "trial_2_5.csv", sep="\t")
    own = samples[samples["stimulus_id"] == "2_5"]
    np.testing.assert_array_equal(own[["x_px", "y_px"]], raw[["x", "y"]])
    np.testing.assert_allclose(own["time_s"], np.arange(2000) / 1000)
    with pytest.raises(FileNotFoundError, match="comes without its file"):
        stimuli.load("0_1")


def test_wrong_files_are_refused(tmp_path):
    folder = make_gaze_reading(tmp_path) / "gaze_samples_reading"
    with pytest.raises(ValueError, match="one person"):
        load_gaze_reading(root=tmp_path, subject="2")
    table = pd.read_csv(folder / "trial_0_1.csv", sep="\t")
    table.assign(x=np.nan).to_csv(folder / "trial_0_1.csv", sep="\t", index=False)
    with pytest.raises(ValueError, match=r"trial_0_1\.csv must be finite"):
        load_gaze_reading(root=tmp_path)
    table.drop(columns="y").to_csv(folder / "trial_0_1.csv", sep="\t", index=False)
    with pytest.raises(ValueError, match=r"without \['y'\]"):
        load_gaze_reading(root=tmp_path)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="trial_<text>_<page>"):
        load_gaze_reading(root=tmp_path)


def test_real_numbers(shared_data):
    stimuli, samples = load_gaze_reading(root=shared_data)
    assert len(stimuli) == 3
    page = samples[samples["stimulus_id"] == "0_1"]
    assert len(page) == 17_223
    speed = np.hypot(page["x_px"].diff(), page["y_px"].diff())  # px per ms
    assert (speed.dropna() > 3).mean() == pytest.approx(0.08, abs=0.005)
    # Read from top to bottom: y points down.
    for _, own in samples.groupby("stimulus_id"):
        assert np.corrcoef(own["time_s"], own["y_px"])[0, 1] > 0.9
