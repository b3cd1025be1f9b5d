"""A fabricated Algonauts 2023 folder: read as made, planted model at its ceiling, faults named."""

import shutil

import numpy as np
import pytest
import xarray as xr
from miniature_algonauts2023 import MAPPINGS, make_algonauts2023

from neurovis.datasets.algonauts2023 import REGIONS, load_algonauts2023
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.algonauts import compute_challenge_score
from neurovis.evaluation.encoding import evaluate_encoding
from neurovis.evaluation.preparation import find_test_ids
from neurovis.io import read_neural_data, write_neural_data


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return make_algonauts2023(tmp_path_factory.mktemp("algonauts"))


@pytest.fixture
def broken(truth, tmp_path):
    """A copy to break; the loader's arguments for it, and the subject's folder."""
    shutil.copytree(truth.root, tmp_path / "copy")
    return tmp_path / "copy", tmp_path / "copy" / "algonauts_2023" / "subj01"


def test_responses_images_and_regions_are_those_stored(truth, tmp_path):
    stimuli, data = load_algonauts2023(subject="1", root=truth.root)
    ids = [f"nsd_{number:05d}" for number in [*truth.train, *truth.test]]
    assert stimuli.stimulus_ids == ids
    assert data["stimulus_id"].values.tolist() == ids
    assert find_test_ids(stimuli, data) == ids[len(truth.train) :]
    assert stimuli.load(ids[5])[0, 0, 0] == truth.train[5] % 256
    stored = [np.hstack([truth.responses[split, h] for h in ("lh", "rh")]) for split in ("train", "test")]
    np.testing.assert_array_equal(data.values, np.vstack(stored))
    assert data.dtype == np.float32
    assert (data["hemisphere"].values == "left").sum() == len(truth.vertices["lh"])
    np.testing.assert_array_equal(data["vertex"], np.concatenate([truth.vertices[h] for h in ("lh", "rh")]))
    np.testing.assert_array_equal(
        data["noise_ceiling"], np.concatenate([truth.ceiling[h] for h in ("lh", "rh")])
    )
    expected = np.full(data.shape[1], "none", dtype=object)
    for name in reversed(REGIONS):
        labels = np.concatenate([truth.labels[name, h] for h in ("lh", "rh")])
        for number, region in enumerate(MAPPINGS[name], start=1):
            np.testing.assert_array_equal(data[f"in_{region}"], labels == number)
            expected[labels == number] = region
    assert data["region"].values.tolist() == expected.tolist()
    assert {"none", "V1v"} <= set(expected)
    assert stimuli.table.attrs["rule"] == data.attrs["rule"]
    again = read_neural_data(write_neural_data(data, tmp_path / "data.nc"))
    xr.testing.assert_identical(again, data)


def test_classes_of_regions_name_in_their_order(truth):
    _, data = load_algonauts2023(root=truth.root, regions=["streams"])
    assert set(data["region"].values) <= {*MAPPINGS["streams"], "none"}
    assert "in_V1v" not in data.coords
    with pytest.raises(ValueError, match="regions must be 'prf-visualrois'"):
        load_algonauts2023(root=truth.root, regions=["V1"])


def test_planted_responses_reach_the_ceiling_of_the_test_set(truth):
    stimuli, data = load_algonauts2023(root=truth.root)
    rows = stimuli.table["nsd_id"].to_numpy()
    features = xr.DataArray(
        truth.features[rows],
        dims=("stimulus", "feature"),
        coords={"stimulus_id": ("stimulus", stimuli.stimulus_ids)},
    )
    result = evaluate_encoding(
        features, data, Ridge(), test_ids=find_test_ids(stimuli, data), n_permutations=20
    )
    ceiling = data["noise_ceiling"].values
    np.testing.assert_array_equal(result.score.ceiling.values, np.sqrt(ceiling))
    folds = evaluate_encoding(features, data, Ridge(), splitter=2, n_permutations=20)
    assert folds.score.ceiling is None  # it is that of the test responses, not of what folds hold out
    score = compute_challenge_score(result.truth.values, result.prediction.values, ceiling)
    reliable = ceiling > 0
    explained = np.maximum(result.score.values.values[reliable], 0) ** 2
    assert np.mean(explained) / np.mean(ceiling[reliable]) == pytest.approx(1, abs=0.06)
    assert score.n_reliable == reliable.sum()
    assert 85 < score.median_reliable <= 100
    chance = compute_challenge_score(result.truth.values, result.prediction.values[::-1], ceiling)
    assert chance.median_reliable < 10


def test_without_test_responses_only_training_rows_remain(broken):
    root, folder = broken
    shutil.rmtree(folder / "test_split" / "test_fmri")
    shutil.rmtree(folder / "test_split" / "noise_ceiling")
    stimuli, data = load_algonauts2023(root=root)
    assert (stimuli.table["split"] == "test").sum() == 60
    assert data["stimulus_id"].values.tolist() == stimuli.stimulus_ids[:260]
    assert find_test_ids(stimuli, data) == []
    assert "noise_ceiling" not in data.coords


def test_vertices_with_nan_are_refused_or_dropped(broken):
    root, folder = broken
    path = folder / "training_split" / "training_fmri" / "rh_training_fmri.npy"
    values = np.load(path)
    values[3, 7] = np.nan
    np.save(path, values)
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 90 vertices; pass invalid='drop'"):
        load_algonauts2023(root=root)
    _, data = load_algonauts2023(root=root, invalid="drop")
    assert data.shape == (320, 89)


def test_faults_are_named(broken, truth):
    root, folder = broken
    images = folder / "training_split" / "training_images"
    first = next(images.glob("train-0001_*"))
    moved = first.rename(images / first.name.replace("0001", "0999"))
    with pytest.raises(ValueError, match=r"without a gap, got train-0002.* in place 1"):
        load_algonauts2023(root=root)
    moved.rename(first)
    test_image = next((folder / "test_split" / "test_images").glob("test-0001_*"))
    twice = test_image.rename(test_image.with_name(f"test-0001_{first.name.split('_')[1]}"))
    with pytest.raises(ValueError, match="in one split, got 1 in both"):
        load_algonauts2023(root=root)
    twice.rename(test_image)
    responses = folder / "test_split" / "test_fmri" / "lh_test_fmri.npy"
    values = np.load(responses)
    for wrong, message in (
        (values.astype(np.float64), "must hold float32, got float64"),
        (values[:-1], r"must have shape \(60, 40\), got \(59, 40\)"),
    ):
        np.save(responses, wrong)
        with pytest.raises(ValueError, match=message):
            load_algonauts2023(root=root)
    responses.write_bytes(responses.read_bytes()[:-50])
    with pytest.raises(ValueError, match="truncated"):
        load_algonauts2023(root=root)
    responses.unlink()
    with pytest.raises(FileNotFoundError, match="lh_test_fmri"):
        load_algonauts2023(root=root)
    np.save(responses, values)
    ceiling = folder / "test_split" / "noise_ceiling" / "lh_noise_ceiling.npy"
    np.save(ceiling, 100 * truth.ceiling["lh"])
    with pytest.raises(ValueError, match="share of variance, not percent"):
        load_algonauts2023(root=root)
    np.save(ceiling, truth.ceiling["lh"])
    labels = folder / "roi_masks" / "lh.streams_challenge_space.npy"
    np.save(labels, truth.labels["streams", "lh"][::-1])
    with pytest.raises(ValueError, match="must hold the labels of"):
        load_algonauts2023(root=root)
    np.save(labels, truth.labels["streams", "lh"])
    np.save(folder / "roi_masks" / "mapping_streams.npy", {0: "Unknown", 1: "early"})
    with pytest.raises(ValueError, match=r"must name every label .* got none for \[2"):
        load_algonauts2023(root=root)
    with pytest.raises(FileNotFoundError, match="no folder of subject 2"):
        load_algonauts2023(root=root, subject="2")
