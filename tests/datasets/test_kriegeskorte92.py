import numpy as np
import pytest
from miniatures import make_kriegeskorte92
from scipy.io import loadmat, savemat

from neurovis.datasets.kriegeskorte92 import SUBJECTS, load_kriegeskorte92


def test_matrices_are_sorted_by_subject_and_session(tmp_path):
    root = make_kriegeskorte92(tmp_path)
    found = load_kriegeskorte92(root=root, cache=tmp_path / "cache")
    raw = loadmat(root / "kriegeskorte92" / "92_brainRDMs.mat")["RDM"]
    assert tuple(found.brain) == SUBJECTS
    np.testing.assert_array_equal(found.brain["KO"], raw[2:4])
    assert found.judgements.shape == (10, 92, 92)
    assert found.models["animacy"][0, 91] == 1
    assert len(found.stimuli) == 92
    assert found.stimuli.table["animal"].sum() == 48
    assert found.stimuli.load("niko01").shape == (12, 12, 3)
    only = load_kriegeskorte92(subject="SN", root=root, cache=tmp_path / "cache")
    np.testing.assert_array_equal(only.brain["SN"], raw[4:])
    assert tuple(only.brain) == ("SN",)


def test_wrong_files_are_refused(tmp_path):
    path = make_kriegeskorte92(tmp_path) / "kriegeskorte92" / "92_brainRDMs.mat"
    arrays = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    bent = arrays["RDM"].copy()
    bent[0, 3, 5] += 1
    savemat(path, arrays | {"RDM": bent})
    with pytest.raises(ValueError, match="symmetric"):
        load_kriegeskorte92(root=tmp_path, cache=tmp_path / "cache")
    savemat(path, arrays | {"name": arrays["name"][:, ::-1]})
    with pytest.raises(ValueError, match="must name its matrices"):
        load_kriegeskorte92(root=tmp_path, cache=tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="truncated"):
        load_kriegeskorte92(root=tmp_path, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="subject must be"):
        load_kriegeskorte92(subject="1", root=tmp_path)
    with pytest.raises(FileNotFoundError, match="rsatoolbox"):
        load_kriegeskorte92(root=tmp_path / "elsewhere")


def test_real_categories_come_in_order(shared_data, tmp_path):
    found = load_kriegeskorte92(root=shared_data, cache=tmp_path)
    order = list(dict.fromkeys(found.stimuli.table["category"]))
    assert order[0] == "human bodypart"
    assert order[-1] == "artificial inanimate"
    assert found.stimuli.table["animal"].tolist() == [1] * 48 + [0] * 44
    assert {"animacy", "V1", "EVA", "HMAX"} <= set(found.models)
