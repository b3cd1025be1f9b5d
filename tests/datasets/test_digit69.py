import numpy as np
import pytest
from miniatures import make_digit69
from scipy.io import loadmat, savemat

from neurovis.core import check_neural_data
from neurovis.datasets.digit69 import load_digit69


def test_images_are_upright_and_rows_match(tmp_path):
    root = make_digit69(tmp_path)
    stimuli, responses = load_digit69(root=root, cache=tmp_path / "cache")
    check_neural_data(responses, rows="presentation")
    assert responses.shape == (40, 50)
    assert responses["stimulus_id"].values.tolist() == stimuli.stimulus_ids
    assert stimuli.table["digit"].tolist() == [6] * 20 + [9] * 20
    six, nine = (stimuli.load(stimuli.stimulus_ids[row])[..., 0] > 0 for row in (0, -1))
    assert six.shape == (28, 28)
    assert np.argwhere(six).mean(axis=0) == pytest.approx([18, 6], abs=3.1)
    assert np.argwhere(nine).mean(axis=0) == pytest.approx([6, 18], abs=3.1)


def test_wrong_files_are_refused(tmp_path):
    path = make_digit69(tmp_path) / "digit69_fmri" / "digit69_train.mat"
    arrays = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    savemat(path, arrays | {"labelTrn": arrays["labelTrn"] + 1})
    with pytest.raises(ValueError, match=r"1 \(six\) and 2 \(nine\)"):
        load_digit69(root=tmp_path, cache=tmp_path / "cache")
    savemat(path, arrays | {"stimTrn": arrays["stimTrn"][:-1]})
    with pytest.raises(ValueError, match=r"stimTrn .* shape \(40, 784\)"):
        load_digit69(root=tmp_path, cache=tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="truncated"):
        load_digit69(root=tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(FileNotFoundError, match="DGMM"):
        load_digit69(root=tmp_path / "elsewhere")


def test_real_sixes_are_heavier_below_and_nines_above(shared_data, tmp_path):
    stimuli, responses = load_digit69(root=shared_data, cache=tmp_path)
    assert responses.shape == (70, 3092)
    images = np.stack([stimuli.load(stimulus_id)[..., 0] for stimulus_id in stimuli.stimulus_ids]).astype(
        float
    )
    below = images[:, 14:].sum(axis=(1, 2)) - images[:, :14].sum(axis=(1, 2))
    six = stimuli.table["digit"].to_numpy() == 6
    assert six.sum() == 35
    assert (below[six] > 0).mean() > 0.9
    assert below[six].mean() > below[~six].mean() + 5 * below.std() / np.sqrt(70)
