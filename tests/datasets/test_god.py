"""Fabricated GOD files are read as made, a planted model reaches its ceiling, faults are named."""

import logging
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr
from miniature_god import LAYERS, N_VOXELS, make_god, write_bdata

from neurovis.datasets.god import AREAS, load_god, read_god_features, select_voxels
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.encoding import evaluate_encoding
from neurovis.evaluation.preparation import find_test_ids
from neurovis.io import read_neural_data, write_neural_data
from neurovis.io.bdata import open_bdata


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return make_god(tmp_path_factory.mktemp("god"))


@pytest.fixture
def broken(truth, tmp_path):
    shutil.copytree(truth.folder, tmp_path / truth.folder.name)
    return tmp_path, tmp_path / truth.folder.name / "Subject1.h5"


def name(number):
    text = f"{number:.6f}"
    return f"n{int(text[:-7]):08d}_{int(text[-6:])}"


def edit(path, key, change):
    """Replace the column of one key in place."""
    column = int(open_bdata(path).find_columns(key)[0])
    with h5py.File(path, "r+") as file:
        values = file["dataset"][:, column]
        file["dataset"][:, column] = change(values.copy())


def test_trials_voxels_and_regions_are_those_stored(truth, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="neurovis.datasets.god"):
        _, data = load_god(root=truth.root, rows="presentation", zscore="none")
    rows = truth.data_type != 3
    inside = truth.flags["VC"]
    assert f"Subject1.h5: {inside.sum()} voxels in VC" in caplog.text
    assert data.attrs["n_voxels"] == inside.sum() < N_VOXELS
    np.testing.assert_array_equal(data.values, truth.voxels[rows][:, inside].astype(np.float32))
    assert data["stimulus_id"].values.tolist() == [name(item) for item in truth.shown[rows]]
    np.testing.assert_array_equal(data["data_type"], truth.data_type[rows])
    np.testing.assert_array_equal(data["run"], 1 + np.arange(rows.sum()) // 50)
    assert data["repeat"].values.max() == 34
    for region, flag in truth.flags.items():
        np.testing.assert_array_equal(data[f"in_{region}"], flag[inside])
    for region, v1, v2 in zip(data["region"].values, data["in_V1"].values, data["in_V2"].values, strict=True):
        assert region == "V1" if v1 else (region == "V2") == v2
    _, v4 = load_god(root=truth.root, roi=["V4", "LOC"])
    assert set(v4["region"].values) <= {*AREAS} - {"V1", "V2", "V3", "PPA"}
    assert set(v4["neuroid_id"].values) <= {f"1-{n}" for n in range(N_VOXELS)}
    again = read_neural_data(write_neural_data(data, tmp_path / "data.nc"))
    xr.testing.assert_identical(again, data)


def test_test_categories_are_new_and_named(truth):
    stimuli, data = load_god(root=truth.root)
    test = find_test_ids(stimuli, data)
    assert set(test) == {name(item) for item in truth.test}
    table = stimuli.table
    assert not set(table.loc[test, "category"]) & set(table.loc[table["split"] == "train", "category"])
    assert table["n_repeats"][test].unique().tolist() == [35]
    assert data.attrs["test_repeats"] == "50 x 35"
    assert data.attrs["rule"] == table.attrs["rule"]
    with pytest.raises(
        FileNotFoundError, match=r"test/n.*JPEG; the images are given out on request only, at"
    ):
        stimuli.load(test[0])


def test_normalisation_sees_training_trials_only(truth, broken):
    root, path = broken
    options = {"rows": "presentation", "roi": "V1"}
    _, data = load_god(root=truth.root, **options)
    train = data["data_type"].values == 1
    varies = data.values[train].std(axis=0) > 0
    np.testing.assert_allclose(data.values[train].mean(axis=0, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(data.values[train][:, varies].std(axis=0, ddof=1, dtype=float), 1, rtol=1e-5)
    with h5py.File(path, "r+") as file:
        table = file["dataset"][()]
        table[1200:, :N_VOXELS] *= 30
        file["dataset"][...] = table
    _, scaled = load_god(root=root, **options)
    np.testing.assert_array_equal(scaled.values[train], data.values[train])
    assert np.abs(scaled.values[~train]).max() > 10 * np.abs(data.values[~train]).max()


def test_a_constant_voxel_is_zero(truth):
    area = next(region for region in AREAS if truth.flags[region][-1])
    _, data = load_god(root=truth.root, roi=area, rows="presentation")
    last = data["neuroid_id"].values == f"1-{N_VOXELS - 1}"
    assert last.sum() == 1
    assert not data.values[:, last].any()
    assert data["ncsnr"].values[last] == 0


@pytest.mark.parametrize(("rows", "zscore"), [("presentation", "none"), ("stimulus", "train")])
def test_planted_responses_reach_the_ceiling(truth, rows, zscore):
    stimuli, data = load_god(root=truth.root, rows=rows, zscore=zscore)
    features = read_god_features("cnn1", root=truth.root)
    result = evaluate_encoding(
        features, data, Ridge(), test_ids=find_test_ids(stimuli, data), n_permutations=20
    )
    ceiled = result.score.ceiled.values
    assert np.nanmedian(ceiled) == pytest.approx(1, abs=0.03)
    analytic = np.sqrt(0.5**2 / (0.5**2 + 1 / 35))
    assert np.median(result.score.ceiling.values) == pytest.approx(analytic, abs=0.03)
    other = read_god_features("gist", root=truth.root)
    chance = evaluate_encoding(other, data, Ridge(), test_ids=find_test_ids(stimuli, data), n_permutations=20)
    assert abs(np.nanmedian(chance.score.ceiled.values)) < 0.3


def test_imagery_replaces_perception(truth):
    stimuli, data = load_god(root=truth.root, test="imagery", rows="presentation", zscore="none")
    assert set(data["data_type"].values) == {1, 3}
    assert data.attrs["test_repeats"] == "50 x 10"
    inside = truth.flags["VC"]
    rows = truth.data_type != 2
    np.testing.assert_array_equal(data.values, truth.voxels[rows][:, inside].astype(np.float32))
    assert "imagined" in stimuli.table.attrs["rule"]


def test_features_of_every_kind(truth):
    images = read_god_features("cnn1", root=truth.root)
    assert images["stimulus_id"].values.tolist() == [name(item) for item in [*truth.train, *truth.test]]
    np.testing.assert_allclose(images.values[1201], truth.features[truth.test[1]], rtol=1e-6)
    assert images.attrs == {"features": "god", "layer": "cnn1"}
    means = read_god_features("sift", root=truth.root, kind="test_categories")
    assert means["stimulus_id"].values.tolist() == [name(item).split("_")[0] for item in truth.test]
    assert read_god_features("sift", root=truth.root, kind="candidate_categories").shape == (20, 15)
    assert [read_god_features(layer, root=truth.root).shape[0] for layer in LAYERS] == [1250] * 13
    with pytest.raises(ValueError, match="layer must be 'cnn1'"):
        read_god_features("fc6", root=truth.root)


def test_voxels_are_selected_on_training_trials(truth, broken):
    root, path = broken
    _, data = load_god(root=truth.root)
    target = read_god_features("cnn1", root=truth.root)
    chosen = select_voxels(data, target, n_voxels=7)
    train = data["data_type"].values == 1
    own = target.sel(
        stimulus=[list(target["stimulus_id"].values).index(i) for i in data["stimulus_id"].values]
    )
    for unit in range(6):
        with np.errstate(invalid="ignore"):
            r = [np.corrcoef(own.values[train, unit], voxel)[0, 1] for voxel in data.values[train].T]
        expected = np.argsort(-np.abs(np.nan_to_num(r)))[:7]
        np.testing.assert_array_equal(chosen[unit], expected)
    with h5py.File(path, "r+") as file:
        table = file["dataset"][()]
        table[1200:, :N_VOXELS] = np.random.default_rng(1).normal(size=(len(table) - 1200, N_VOXELS))
        file["dataset"][...] = table
    np.testing.assert_array_equal(select_voxels(load_god(root=root)[1], target, n_voxels=7), chosen)
    assert select_voxels(data, target, n_voxels=1000).shape == (6, data.shape[1])
    with pytest.raises(ValueError, match="must have the coordinate 'data_type'"):
        select_voxels(data.drop_vars("data_type"), target, n_voxels=7)


def test_files_with_older_names_read_the_same(truth, tmp_path):
    make_god(tmp_path, names=("dataSet", "metaData"))
    xr.testing.assert_identical(load_god(root=tmp_path)[1], load_god(root=truth.root)[1])


def test_faults_are_named(broken, truth):
    root, path = broken
    content = path.read_bytes()

    def refuse(message, key=None, change=None):
        if key:
            edit(path, key, change)
        with pytest.raises(ValueError, match=message):
            load_god(root=root)
        path.write_bytes(content)

    def replace(rows, value):
        def change(column):
            column[rows] = value
            return column

        return change

    refuse("single precision have lost the image", "stimulus_id", lambda x: x.astype(np.float32))
    refuse("DataType of .* whole numbers, got 1.5", "DataType", replace(3, 1.5))
    refuse("1199 training trials instead of 1200", "DataType", replace(3, 3))
    refuse("1199 training images instead of 1200", "stimulus_id", replace(3, truth.shown[4]))
    refuse("34 to 36 repeats", "stimulus_id", replace(1200, truth.shown[1201]))
    crossed = truth.shown.copy()
    old, new = truth.test[0], np.floor(truth.train[0]) + 0.000007
    refuse("got 1 that are", "stimulus_id", lambda x: np.where(crossed == old, new, x))
    refuse("Run of .* must be finite", "Run", replace(5, np.nan))
    assert truth.flags["VC"][0]
    refuse("voxels of .* must be finite", "VoxelData", replace(5, np.nan))
    path.write_bytes(content[: len(content) // 2])
    refuse("truncated or not an HDF5 file")
    with h5py.File(path, "w") as file:
        file["dataset"] = np.ones((3, 2))
    refuse(r"must hold dataset and metadata/key, value .* got \['dataset'\]")
    write_bdata(path, {"VoxelData": np.ones((3, 2))}, {})
    refuse("must have the key 'stimulus_id', got VoxelData")
    with pytest.raises(FileNotFoundError, match=r"no file at .*Subject2\.h5"):
        load_god(root=root, subject="2")
    with pytest.raises(ValueError, match="roi must be 'LVC'"):
        load_god(root=root, roi="V5")
