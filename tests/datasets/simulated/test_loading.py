import numpy as np
import pytest

from neurovis.core import check_neural_data
from neurovis.datasets.simulated import load_simulated


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def test_loader_returns_stimuli_and_data_and_makes_the_world_once(root):
    stimuli, data = load_simulated(root=root, n_train=20, n_test=6, n_sessions=3)
    check_neural_data(data, rows="presentation")
    assert len(stimuli) == 26
    assert set(data["subject"].values) == {"01"}
    assert data.sizes["presentation"] == 20 * 2 + 6 * 6
    split = stimuli.table["split"].loc[data["stimulus_id"].values].to_numpy()
    np.testing.assert_array_equal(data["split"].values, split)
    files = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    assert len(files) == 26
    _, again = load_simulated(subject="01", root=root, n_train=20, n_test=6, n_sessions=3)
    np.testing.assert_array_equal(again.values, data.values)
    assert files == {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    _, other = load_simulated(subject="02", root=root, n_train=20, n_test=6, n_sessions=3)
    assert other.sizes["neuroid"] != data.sizes["neuroid"] or not np.allclose(other.values, data.values)


def test_messages(root):
    with pytest.raises(ValueError, match="n_train and n_test must be at least 1, got 0 and 5"):
        load_simulated(root=root, n_train=0, n_test=5)
