import numpy as np
import pytest
from miniatures import make_vtc_fivecat
from scipy.io import loadmat, savemat

from neurovis.core import check_neural_data
from neurovis.datasets.vtc_fivecat import CATEGORIES, TASKS, load_vtc_fivecat


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return make_vtc_fivecat(tmp_path_factory.mktemp("vtc"))


def test_rows_name_task_run_and_category(miniature):
    """Against the files read entry by entry: both layouts give the same labels to the same numbers."""
    folder = miniature / "vtc_fivecat_betas"
    first = loadmat(folder / "sub1_betas.mat")
    second = loadmat(folder / "sub2_betas.mat")["sub2_betas"]
    one, two = (load_vtc_fivecat(subject=name, root=miniature) for name in ("1", "2"))
    for task, variable in enumerate(("OB", "WM", "SA")):
        for category, name in enumerate(CATEGORIES):
            for run in range(3):
                for data, want in (
                    (one, first[variable][:30, category, run]),
                    (two, second[:30, 5 * task + category, run]),
                ):
                    row = (
                        (data["session"] == TASKS[task])
                        & (data["stimulus_id"] == name)
                        & (data["run"] == run + 1)
                    )
                    np.testing.assert_array_equal(data.values[row.values], want[None])


def test_padding_is_dropped_and_people_lie_side_by_side(miniature):
    data = check_neural_data(load_vtc_fivecat(root=miniature), rows="presentation")
    assert data.shape == (45, 90)
    assert data["subject"].values.tolist() == ["1"] * 30 + ["2"] * 30 + ["3"] * 30
    np.testing.assert_array_equal(data["repeat"].values, np.repeat(np.arange(9), 5))


def test_wrong_files_are_refused(tmp_path):
    root = make_vtc_fivecat(tmp_path)
    path = root / "vtc_fivecat_betas" / "sub2_betas.mat"
    savemat(path, {"sub2_betas": np.ones((60, 14, 3))})
    with pytest.raises(ValueError, match=r"sub2_betas of .* must have shape \(any, 15, 3\)"):
        load_vtc_fivecat(subject="2", root=root)
    savemat(path, {"sub2_betas": np.zeros((60, 15, 3))})
    with pytest.raises(ValueError, match="zeros only"):
        load_vtc_fivecat(subject="2", root=root)
    path = root / "vtc_fivecat_betas" / "sub1_betas.mat"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="truncated"):
        load_vtc_fivecat(subject="1", root=root)
    with pytest.raises(ValueError, match="subject must be '1', '2' or '3'"):
        load_vtc_fivecat(subject="4", root=root)
    with pytest.raises(FileNotFoundError, match="none stated"):
        load_vtc_fivecat(root=tmp_path / "elsewhere")


def test_real_files_keep_749_918_and_1176_voxels(shared_data):
    data = load_vtc_fivecat(root=shared_data)
    assert [int((data["subject"] == name).sum()) for name in "123"] == [749, 918, 1176]
