import numpy as np
import pytest
from miniatures import make_objects81

from neurovis.core import check_neural_data
from neurovis.datasets.objects81 import REGIONS, load_objects81


def test_responses_and_features_share_their_rows(tmp_path):
    found = load_objects81(root=make_objects81(tmp_path))
    check_neural_data(found.responses, rows="stimulus")
    assert found.responses.shape == (54, 42)
    assert tuple(dict.fromkeys(found.responses["region"].values)) == REGIONS
    assert {name: array.shape for name, array in found.features.items()} == {
        "alexnet": (54, 20),
        "word2vec": (54, 30),
    }
    for features in found.features.values():
        np.testing.assert_array_equal(features["stimulus_id"], found.responses["stimulus_id"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"roi_names": np.array(["EVC"] * 7)}, "roi_names"),
        ({"roi_index": np.full(42, 8, dtype=np.uint8)}, "roi_index .* at most 7"),
        ({"alexnet_pcs": np.zeros((53, 20))}, r"alexnet_pcs .* shape \(54, any\)"),
        ({"betas": np.full((54, 42), np.nan)}, "betas .* finite"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, change, message):
    path = make_objects81(tmp_path) / "objects81_roi_betas" / "objects81.npz"
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **(arrays | change))
    with pytest.raises(ValueError, match=message):
        load_objects81(root=tmp_path)


def test_truncated_and_missing_files_are_refused(tmp_path):
    path = make_objects81(tmp_path) / "objects81_roi_betas" / "objects81.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated"):
        load_objects81(root=tmp_path)
    with pytest.raises(FileNotFoundError, match="QuantumMatter"):
        load_objects81(root=tmp_path / "elsewhere")


def test_real_extract_has_54_categories_and_696_voxels(shared_data):
    found = load_objects81(root=shared_data)
    assert found.responses.shape == (54, 696)
    region = found.responses["region"].values
    assert [int((region == name).sum()) for name in REGIONS] == [100, 100, 100, 96, 100, 100, 100]
    assert np.abs(found.responses.values.mean(axis=0)).max() < 0.5
