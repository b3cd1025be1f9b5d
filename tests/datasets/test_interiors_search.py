import json

import numpy as np
import pytest
from miniature_gaze import make_interiors_search

from neurovis.datasets.interiors_search import load_interiors_search


def _rewrite(root, change):
    path = root / "interiors_search" / "trials.jsonl"
    trials = [json.loads(line) for line in path.read_text().splitlines()]
    change(trials)
    path.write_text("\n".join(json.dumps(trial) for trial in trials))


def test_trials_and_targets(tmp_path):
    root = make_interiors_search(tmp_path)
    raw = [json.loads(line) for line in (root / "interiors_search" / "trials.jsonl").read_text().splitlines()]
    stimuli, fixations = load_interiors_search(root=root, outside="keep")
    assert stimuli.stimulus_ids == ["grayscale_1_a", "grayscale_2_b"]
    box = stimuli.table.loc["grayscale_2_b"]
    assert box[["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]].tolist() == [
        450.0,
        400.0,
        522.0,
        472.0,
    ]
    assert (stimuli.root / box["target_path"]).is_file()
    assert stimuli.load("grayscale_1_a").shape == (768, 1024, 3)
    # S02 saw the first scene twice: the second time is another trial.
    trials = fixations.query("subject == 'S02' and stimulus_id == 'grayscale_1_a'")
    assert trials["trial"].unique().tolist() == [0, 1]
    second = trials[trials["trial"] == 1]
    np.testing.assert_array_equal(second["x_px"], raw[2]["fix_x"])
    assert second["found"].tolist() == [bool(raw[2]["target_found"])] * len(second)
    assert second["rt_s"].iloc[0] == raw[2]["search_rt_s"]
    np.testing.assert_allclose(second["duration_s"], np.array(raw[2]["fix_dur_ms"]) / 1000)
    assert second[["start_x_px", "start_y_px"]].iloc[0].tolist() == [512.0, 300.0]


def test_gaze_clamped_to_the_border_is_moved_inside(tmp_path):
    _, fixations = load_interiors_search(root=make_interiors_search(tmp_path))
    last = fixations.groupby(["subject", "stimulus_id", "trial"]).last()
    assert (last["x_px"] == 1023.5).all()
    assert (last["y_px"] == 767.5).all()


def test_one_subject(tmp_path):
    stimuli, fixations = load_interiors_search(root=make_interiors_search(tmp_path), subject="S03")
    assert set(fixations["subject"]) == {"S03"}
    assert len(stimuli) == 2
    with pytest.raises(ValueError, match="'S38', got 'S39'"):
        load_interiors_search(root=tmp_path, subject="S39")


def test_wrong_files_are_refused(tmp_path):
    root = make_interiors_search(tmp_path)
    _rewrite(root, lambda trials: trials[1].update(target_rect=[0, 0, 72, 72]))
    with pytest.raises(ValueError, match="one size and target"):
        load_interiors_search(root=root)
    _rewrite(root, lambda trials: trials[1].update(target_rect=trials[0]["target_rect"]))
    _rewrite(root, lambda trials: trials[3]["fix_y"].append(1.0))
    with pytest.raises(ValueError, match=r"record 3 .* one finite value per fixation"):
        load_interiors_search(root=root)
    _rewrite(root, lambda trials: trials[3].pop("fix_y"))
    with pytest.raises(ValueError, match=r"record 3 .* none of \['fix_y'\]"):
        load_interiors_search(root=root)
    path = root / "interiors_search" / "trials.jsonl"
    path.write_text(path.read_text()[:-10])
    with pytest.raises(ValueError, match="truncated or not JSON"):
        load_interiors_search(root=root)
    with pytest.raises(FileNotFoundError, match="gastonbujia"):
        load_interiors_search(root=tmp_path / "elsewhere")


def test_missing_target_is_named(tmp_path):
    root = make_interiors_search(tmp_path)
    (root / "interiors_search" / "templates" / "grayscale_2_b_template_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="grayscale_2_b_template_1"):
        load_interiors_search(root=root)


def test_real_numbers(shared_data):
    stimuli, fixations = load_interiors_search(root=shared_data, outside="keep")
    trials = fixations.groupby(["subject", "stimulus_id", "trial"]).last()
    assert (len(stimuli), len(trials)) == (40, 1489)
    found = trials.groupby("n_saccades_allowed")["found"].mean()
    np.testing.assert_allclose(found[[2, 4, 8, 12]], [0.14, 0.43, 0.62, 0.70], atol=0.005)
    hit = trials[trials["found"]].join(stimuli.table, on="stimulus_id")
    x = (hit["target_left_px"] + hit["target_right_px"]) / 2
    y = (hit["target_top_px"] + hit["target_bottom_px"]) / 2
    gaze = np.hypot(hit["x_px"] - x, hit["y_px"] - y).median()
    # The README says 29 for the report; the files give 31.
    report = np.hypot(hit["reported_x_px"] - x, hit["reported_y_px"] - y).median()
    assert (gaze, report) == (pytest.approx(32.4, abs=0.05), pytest.approx(31.1, abs=0.05))
