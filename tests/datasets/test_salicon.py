import json

import numpy as np
import pytest
from miniature_gaze import SALICON_PLACES, make_salicon
from scipy.io import savemat

from neurovis.datasets.salicon import load_salicon

FIRST, SECOND = SALICON_PLACES


def test_json(tmp_path):
    stimuli, fixations = load_salicon(root=make_salicon(tmp_path))
    assert stimuli.stimulus_ids == [FIRST, SECOND]
    assert stimuli.load(FIRST).shape == (480, 640, 3)
    own = fixations.query("subject == '7' and stimulus_id == @FIRST")
    # Rows and columns counted from 1 become middles of pixels.
    np.testing.assert_array_equal(own[["x_px", "y_px"]], np.array(SALICON_PLACES[FIRST]["7"]) + 0.5)
    assert len(fixations) == 5
    assert set(fixations["subject"]) == {"7", "9"}  # 8 did not move


def test_matlab_files_hold_the_same(tmp_path):
    _, from_json = load_salicon(root=make_salicon(tmp_path / "a"))
    stimuli, from_mat = load_salicon(root=make_salicon(tmp_path / "b", layout="mat"))
    assert set(from_mat["subject"]) == {"1", "2"}  # places in the file
    columns = ["stimulus_id", "index", "x_px", "y_px"]
    order = [*columns[:2], "x_px"]
    np.testing.assert_array_equal(
        from_mat[columns].sort_values(order).to_numpy(), from_json[columns].sort_values(order).to_numpy()
    )
    assert stimuli.table[["height_px", "width_px"]].values.tolist() == [[480, 640]] * 2


def test_images_may_be_missing_and_one_worker_chosen(tmp_path):
    stimuli, fixations = load_salicon(root=make_salicon(tmp_path, images=False), subject="9")
    assert stimuli.stimulus_ids == [FIRST]
    assert len(fixations) == 1
    with pytest.raises(FileNotFoundError, match="images of SALICON"):
        stimuli.load(FIRST)
    with pytest.raises(ValueError, match="looked at an image of 'val', got '3'"):
        load_salicon(root=tmp_path, subject="3")


def test_wrong_files_are_refused(tmp_path):
    root = make_salicon(tmp_path)
    with pytest.raises(ValueError, match="'train' or 'val'"):
        load_salicon(root=root, split="test")
    with pytest.raises(FileNotFoundError, match=r"no \*\.mat at .*train"):
        load_salicon(root=root, split="train")
    path = root / "salicon" / "annotations" / "fixations_val2014.json"
    record = json.loads(path.read_text())
    for change, words in (
        ({"image_id": 5}, "must be of an image"),
        ({"fixations": [[1, 2, 3]]}, r"record 0 .* shape \(any, 2\)"),
        ({"fixations": [[1, None]]}, "finite"),
    ):
        changed = [record["annotations"][0] | change]
        path.write_text(json.dumps(record | {"annotations": changed}))
        with pytest.raises(ValueError, match=words):
            load_salicon(root=root)
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(ValueError, match="annotations"):
        load_salicon(root=root)
    root = make_salicon(tmp_path / "mat", layout="mat")
    savemat(root / "salicon" / "fixations" / "val" / f"{FIRST}.mat", {"gaze": [1], "resolution": [480, 640]})
    with pytest.raises(ValueError, match="field fixations"):
        load_salicon(root=root)
