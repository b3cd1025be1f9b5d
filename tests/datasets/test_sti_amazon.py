import json

import numpy as np
import pytest
from miniature_gaze import make_sti_amazon

from neurovis.datasets.sti_amazon import load_sti_amazon, map_to_grid


def test_each_observer_keeps_its_own_fixations(tmp_path):
    root = make_sti_amazon(tmp_path)
    raw = json.loads((root / "sti_amazon" / "Amazon.json").read_text())
    stimuli, fixations = load_sti_amazon(root=root)
    assert stimuli.stimulus_ids == ["1", "2"]
    assert stimuli.table["target"].tolist() == ["target_0.jpg", "target_1.jpg"]
    assert stimuli.table["target_right_px"].tolist() == [520.0, 520.0]
    for (subject, name), own in fixations.groupby(["subject", "stimulus_id"]):
        np.testing.assert_array_equal(own[["x_px", "y_px"]], raw[f"{name}.jpg"]["fixations"][subject])
    assert fixations["duration_s"].isna().all()
    assert len(fixations.groupby(["subject", "stimulus_id"])) == 12


def test_images_are_not_part_of_the_data(tmp_path):
    stimuli, fixations = load_sti_amazon(root=make_sti_amazon(tmp_path), subject="3")
    assert set(fixations["subject"]) == {"3"}
    with pytest.raises(FileNotFoundError, match=r"'1' of 'sti_amazon' comes without.*separate download"):
        stimuli.load("1")


def test_cells_of_the_grid():
    size = (1600, 2559)
    xy = [[0, 0], [2558.9, 1599.9], [2559 / 14 + 0.1, 0], [0, 1600 / 6 + 0.1], [-5, 3000]]
    assert map_to_grid(xy, size).tolist() == [0, 83, 1, 14, 70]


def test_wrong_files_are_refused(tmp_path):
    path = make_sti_amazon(tmp_path) / "sti_amazon" / "Amazon.json"
    raw = json.loads(path.read_text())
    for change, words in (
        ({"ground_truth": raw["1.jpg"]["ground_truth"] * 2}, "one target, got 2"),
        ({"ground_truth": [{"xmin": 1}]}, "none of"),
        ({"fixations": {"1": [[1, 2], [3, None]]}}, "finite"),
    ):
        path.write_text(json.dumps({"1.jpg": raw["1.jpg"] | change}))
        with pytest.raises(ValueError, match=words):
            load_sti_amazon(root=tmp_path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="got a list"):
        load_sti_amazon(root=tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="Amazon_shared"):
        load_sti_amazon(root=tmp_path)


def test_real_numbers(shared_data):
    stimuli, fixations = load_sti_amazon(root=shared_data, outside="keep")
    lengths = fixations.groupby(["subject", "stimulus_id"]).size()
    assert (len(stimuli), len(lengths)) == (67, 402)
    assert lengths.median() == 10
    np.testing.assert_array_equal(np.percentile(lengths, [5, 95]), [4, 43])
