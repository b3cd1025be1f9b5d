import json

import numpy as np
import pytest
from miniature_gaze import make_coco_search18

from neurovis.datasets.coco_search18 import load_coco_search18


def test_published_layout(tmp_path):
    root = make_coco_search18(tmp_path)
    path = root / "coco_search18" / "coco_search18_fixations_TP_train_split1.json"
    raw = json.loads(path.read_text())
    stimuli, fixations = load_coco_search18(root=root, outside="keep")
    # The same photograph under two tasks is two stimuli.
    assert stimuli.stimulus_ids == ["potted-plant_000000000001", "tv_000000000001", "tv_000000000002"]
    assert stimuli.table["condition"].tolist() == ["present", "absent", "absent"]
    assert stimuli.load("potted-plant_000000000001").shape == (1050, 1680, 3)
    box = stimuli.table[["target_left_px", "target_top_px", "target_right_px", "target_bottom_px"]]
    assert box.iloc[0].tolist() == [100, 200, 150, 260]
    assert box.iloc[1:].isna().all(axis=None)
    own = fixations.query("subject == '10' and stimulus_id == 'potted-plant_000000000001'")
    np.testing.assert_array_equal(own[["x_px", "y_px"]], np.transpose([raw[2]["X"], raw[2]["Y"]]))
    np.testing.assert_allclose(own["duration_s"], np.array(raw[2]["T"]) / 1000)
    assert own["rt_s"].tolist() == [0.7] * len(own)
    absent = fixations[fixations["stimulus_id"].str.startswith("tv")]
    assert absent["rt_s"].isna().all()
    assert absent.groupby("subject")["correct"].all().to_dict() == {"1": True, "10": True, "2": False}


def test_parts(tmp_path):
    root = make_coco_search18(tmp_path)
    stimuli, fixations = load_coco_search18(root=root, condition="absent", subject="2")
    assert set(stimuli.table["target"]) == {"tv"}
    assert set(fixations["subject"]) == {"2"}
    assert (fixations["y_px"] < 1050).all()
    assert len(load_coco_search18(root=root, split="train")[0]) == 1
    with pytest.raises(ValueError, match=r"'split': 'test'.*got none"):
        load_coco_search18(root=root, split="test")
    with pytest.raises(ValueError, match="'present' or 'absent'"):
        load_coco_search18(root=root, condition="TP")


def test_images_may_be_missing(tmp_path):
    stimuli, _ = load_coco_search18(root=make_coco_search18(tmp_path, images=False))
    assert set(stimuli.table["path"]) == {""}
    with pytest.raises(FileNotFoundError, match="COCOSearch18-images-TP"):
        stimuli.load("tv_000000000001")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"length": 99}, "99 fixations"),
        ({"T": [1]}, "one finite value"),
        ({"condition": "TP"}, "'present' or 'absent'"),
        ({"bbox": [0, 0, 5, 5]}, "as the records before"),
        ({"X": None}, "one finite value"),
    ],
)
def test_wrong_records_are_refused(tmp_path, change, words):
    root = make_coco_search18(tmp_path, images=False)
    path = root / "coco_search18" / "coco_search18_fixations_TP_train_split1.json"
    trials = json.loads(path.read_text())
    trials[1] |= change
    path.write_text(json.dumps(trials))
    with pytest.raises(ValueError, match=rf"record 1 .*{words}"):
        load_coco_search18(root=root)


def test_no_data(tmp_path):
    (tmp_path / "coco_search18").mkdir()
    with pytest.raises(FileNotFoundError, match=r"fixations\*\.json"):
        load_coco_search18(root=tmp_path)
    with pytest.raises(FileNotFoundError, match="cocosearch"):
        load_coco_search18(root=tmp_path / "elsewhere")


def test_real_numbers(shared_data):
    stimuli, fixations = load_coco_search18(root=shared_data, outside="keep")
    assert stimuli.table.index.str.partition("_").to_frame()[2].nunique() == 235
    trials = fixations.groupby(["subject", "stimulus_id", "trial"])
    assert trials.ngroups == 2418
    assert trials.size().mean() == pytest.approx(3.65, abs=0.005)
    last = trials.last().join(stimuli.table, on="stimulus_id")
    last = last[last["correct"]]
    inside = (
        last["x_px"].between(last["target_left_px"] - 40, last["target_right_px"] + 40)
        & last["y_px"].between(last["target_top_px"] - 40, last["target_bottom_px"] + 40)
    )  # fmt: skip
    assert inside.mean() == pytest.approx(0.91, abs=0.005)
