import numpy as np
import pandas as pd
import pytest
from miniatures import HAXBY_CATEGORIES, make_haxby2001

from neurovis.core import check_neural_data
from neurovis.datasets.haxby2001 import CATEGORIES, load_haxby2001


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return make_haxby2001(tmp_path_factory.mktemp("haxby"))


@pytest.mark.parametrize("resolution", ["slice", "25mm"])
def test_runs_are_masked_and_follow_each_other(miniature, resolution):
    found = load_haxby2001(root=miniature, resolution=resolution)
    check_neural_data(found.responses, rows="time")
    assert found.responses.shape == (8 * 121, 20)
    assert found.responses.attrs["t_r"] == 2.5
    np.testing.assert_array_equal(np.argwhere(found.mask)[[0, -1]], [[1, 1, 0], [4, 5, 0]])
    assert found.responses["x"].values[0] == pytest.approx(-3.1)
    time_s = found.responses["time_s"].values
    assert time_s[found.responses["run"].values == 8][[0, -1]].tolist() == [0.0, 300.0]
    assert found.responses.values.min() > 1000
    assert len(found.events) == 64
    assert set(CATEGORIES) == set(HAXBY_CATEGORIES)


def test_truncated_and_wrong_files_are_refused(tmp_path):
    root = make_haxby2001(tmp_path)
    run = root / "haxby2001_slice" / "sub001" / "BOLD" / "task001_run003"
    events = pd.read_csv(run / "bold_events.tsv", sep="\t")
    events.assign(trial_type="face").to_csv(run / "bold_events.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match=r"one block of each of.*run003|run003.*one block of each of"):
        load_haxby2001(root=root)
    path = run / "bold_1slice.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"run003.*truncated"):
        load_haxby2001(root=root)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="run003"):
        load_haxby2001(root=root)


def test_bad_options_and_missing_data_are_explained(tmp_path):
    with pytest.raises(ValueError, match="only subject 1"):
        load_haxby2001(subject="2")
    with pytest.raises(ValueError, match="resolution must be"):
        load_haxby2001(resolution="3mm")
    with pytest.raises(FileNotFoundError, match=r"PyMVPA.*CC BY-SA 3\.0"):
        load_haxby2001(root=tmp_path)


def test_real_slice_has_about_530_voxels_in_the_head(shared_data):
    found = load_haxby2001(root=shared_data)
    assert found.responses.sizes["neuroid"] == pytest.approx(530, abs=20)
    assert found.mask.shape == (40, 20, 1)
    assert found.responses.sizes["time"] == 8 * 121
    assert load_haxby2001(root=shared_data, resolution="25mm").mask.shape == (6, 10, 10)
