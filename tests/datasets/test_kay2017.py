import numpy as np
import pytest
from miniatures import make_kay2017

from neurovis.core import check_neural_data
from neurovis.datasets.kay2017 import load_kay2017, load_kay2017_bootstraps, load_kay2017_experiment1
from neurovis.io import read_neural_data, write_neural_data


def test_images_are_the_middle_of_the_frame_and_labels_are_read(tmp_path):
    root = make_kay2017(tmp_path)
    stimuli, responses = load_kay2017(root=root, cache=tmp_path / "cache")
    check_neural_data(responses, rows="stimulus")
    assert responses["stimulus_id"].values.tolist() == stimuli.stimulus_ids
    assert responses["region"].values.tolist() == ["VWFA", "FFA"]
    face = stimuli.load("FACE")
    assert face.shape == (384, 384, 3)
    published = np.load(root / "kay2017_words_faces" / "experiment2.npz")["stimuli"][3]
    np.testing.assert_array_equal(face[..., 0], published[183:567, 183:567])
    assert stimuli.size_dva == (3.2, 3.2)
    table = stimuli.table
    assert table.loc[["BLANK", "WORDCON3", "WORD"], "contrast_percent"].tolist() == [0, 3, 100]
    assert table.loc[["NOISE", "FACEPH25", "FACE"], "coherence_percent"].tolist() == [0, 25, 100]
    assert table.loc[["WORDPH50", "NIKO14", "NIKO38", "NIKO92"], "kind"].tolist() == [
        *("word", "face", "animal face", "artificial")
    ]
    assert table["is_object"].sum() == 31


def test_standard_errors_survive_a_file(tmp_path):
    _, responses = load_kay2017(root=make_kay2017(tmp_path), cache=tmp_path / "cache")
    write_neural_data(responses, tmp_path / "responses.nc")
    again = read_neural_data(tmp_path / "responses.nc")
    np.testing.assert_allclose(again["standard_error"].values, 0.1, rtol=1e-6)


def test_groups_and_resamples_have_their_shapes(tmp_path):
    root = make_kay2017(tmp_path)
    groups = load_kay2017_experiment1(root)
    assert groups["response"].shape == (2, 2, 23)
    words = groups["category"].values == "WORD"
    assert words.sum() == 6
    vwfa = groups["response"].sel(region="VWFA", task="fixation").values
    assert vwfa[words].min() > vwfa[~words].max()
    assert load_kay2017_bootstraps(root).shape == (20, 49, 2)


def test_wrong_files_are_refused(tmp_path):
    path = make_kay2017(tmp_path) / "kay2017_words_faces" / "experiment2.npz"
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"roi_labels": np.array(["FFA", "VWFA"])})
    with pytest.raises(ValueError, match=r"roi_labels .* must be"):
        load_kay2017(root=tmp_path, cache=tmp_path / "cache")
    arrays["stimuli"][5, 0, 0] = 3
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="background"):
        load_kay2017(root=tmp_path, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="one person"):
        load_kay2017(subject="2", root=tmp_path)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(FileNotFoundError, match="vtcipsmodel"):
        load_kay2017(root=tmp_path / "elsewhere")


def test_real_images_and_numbers_are_those_published(shared_data, tmp_path):
    stimuli, responses = load_kay2017(root=shared_data, cache=tmp_path)
    assert responses.shape == (80, 2)
    table = stimuli.table
    faces = (table["kind"].isin(["face", "animal face"]) & table["is_object"]).to_numpy()
    others = table["is_object"].to_numpy() & ~faces
    np.testing.assert_allclose(responses.values[faces].mean(axis=0), [0.55, 1.17], atol=0.01)
    np.testing.assert_allclose(responses.values[others].mean(axis=0), [0.61, 0.49], atol=0.01)
    # Contrast as the labels state it.
    sd = {
        name: stimuli.load(name)[..., 0].astype(float).std()
        for name in ("FACE", "FACECON4", "WORD", "WORDCON3")
    }
    assert sd["FACECON4"] / sd["FACE"] == pytest.approx(0.04, abs=0.005)
    assert sd["WORDCON3"] / sd["WORD"] == pytest.approx(0.03, abs=0.005)
