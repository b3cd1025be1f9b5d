import numpy as np
import pytest
import xarray as xr

from neurovis.core import Score, make_neural_data, make_provenance
from neurovis.io import (
    atomic_path,
    netcdf,
    read_features,
    read_json,
    read_neural_data,
    read_prediction,
    read_provenance,
    read_score,
    read_table,
    write_features,
    write_json,
    write_neural_data,
    write_prediction,
    write_score,
)


@pytest.fixture
def data(rng):
    return make_neural_data(
        rng.normal(size=(4, 3)).astype("f4"),
        rows="presentation",
        row_coords={
            "stimulus_id": list("abab"),
            "repeat": [0, 0, 1, 1],
            "session": ["1"] * 4,
            "run": [1] * 4,
        },
        neuroid_coords={
            "neuroid_id": ["n0", "n1", "n2"],
            "subject": ["01"] * 3,
            "region": ["V1", "FFA", ""],
            "hemisphere": ["left", "right", "left"],
            "in_V1": [True, False, False],
            "ncsnr": [0.5, 1.5, np.nan],
        },
        units="percent",
        source="test",
        t_r=2.0,
    )


def test_neural_data_survives_the_file_bit_for_bit(data, tmp_path):
    path = write_neural_data(data, tmp_path / "sub" / "a.nc")
    xr.testing.assert_identical(read_neural_data(path), data)


def test_provenance_is_stored(data, tmp_path):
    record = make_provenance("test", {"alpha": 1.0}, {"stimuli": __file__})
    path = write_neural_data(data, tmp_path / "a.nc", provenance=record)
    assert read_provenance(path) == record
    assert len(record["inputs"]["stimuli"]["sha256"]) == 64


def test_score_and_features_survive_the_file(data, tmp_path, rng):
    values = xr.DataArray(rng.random(3), dims="neuroid", coords={"region": ("neuroid", ["V1", "FFA", "PPA"])})
    path = write_score(Score(values, "pearson_r", values * 0 + 0.9), tmp_path / "s.nc")
    again = read_score(path)
    assert again.metric == "pearson_r"
    np.testing.assert_allclose(again.ceiled.values, values.values / 0.9)
    features = xr.DataArray(
        rng.random((2, 5)).astype("f4"),
        dims=("stimulus", "feature"),
        coords={"stimulus_id": ("stimulus", ["a", "b"])},
    )
    xr.testing.assert_identical(read_features(write_features(features, tmp_path / "f.nc")), features)


def test_features_with_nan_are_refused(tmp_path):
    features = xr.DataArray(
        [[np.nan]], dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", ["a"])}
    )
    with pytest.raises(ValueError, match="NaN"):
        write_features(features, tmp_path / "f.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 100, 3000, -1])
def test_truncated_file_is_refused(data, tmp_path, keep):
    path = write_neural_data(data, tmp_path / "a.nc")
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    with pytest.raises(ValueError, match=r"a\.nc is truncated"):
        read_neural_data(path)


def test_foreign_files_are_refused(data, tmp_path):
    (tmp_path / "text.nc").write_text("not a netCDF file")
    with pytest.raises(ValueError, match="not a netCDF"):
        read_neural_data(tmp_path / "text.nc")
    with pytest.raises(FileNotFoundError, match="run the step"):
        read_neural_data(tmp_path / "none.nc")
    xr.Dataset({"x": 1.0}).to_netcdf(tmp_path / "foreign.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="foreign netCDF"):
        read_neural_data(tmp_path / "foreign.nc")
    path = write_neural_data(data, tmp_path / "a.nc")
    with pytest.raises(ValueError, match="must hold neurovis 'score', got 'neural_data'"):
        read_score(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_folder_replaces_the_old_one(tmp_path):
    for text in ("one", "two"):
        with atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / text).write_text(text)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["two"]


def test_json_and_tables_refuse_broken_files(tmp_path):
    path = write_json({"a": np.float32(1.5), "b": np.arange(2)}, tmp_path / "a.json")
    assert read_json(path) == {"a": 1.5, "b": [0, 1]}
    path.write_text('{"a": 1')
    with pytest.raises(ValueError, match="truncated or not JSON"):
        read_json(path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": np.nan}, tmp_path / "b.json")
    table = tmp_path / "t.tsv"
    table.write_text("onset,duration\n1,2\n")
    with pytest.raises(ValueError, match=r"without \['onset', 'duration'\]"):
        read_table(table, required=("onset", "duration"))
    table.write_text("")
    with pytest.raises(ValueError, match="empty"):
        read_table(table)


def test_predictions_survive_the_file(tmp_path, rng):
    coords = {"stimulus_id": ("stimulus", ["a", "b"]), "region": ("neuroid", ["V1", "V1", "FFA"])}
    truth = xr.DataArray(rng.random((2, 3)), dims=("stimulus", "neuroid"), coords=coords)
    path = write_prediction(truth, truth + 1, tmp_path / "p.nc")
    for read, written in zip(read_prediction(path), (truth, truth + 1), strict=True):
        xr.testing.assert_identical(read, written)
    with pytest.raises(ValueError, match="prediction must have the shape of truth"):
        write_prediction(truth, truth[:1], tmp_path / "q.nc")


def test_rows_of_some_stimuli_are_read_alone(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(netcdf, "_SLAB_ROWS", 3)
    ids = [f"s{i}" for i in range(10)]
    coords = {"stimulus_id": ("stimulus", ids), "layer": ("feature", ["a", "a", "b", "b"])}
    features = xr.DataArray(
        rng.random((10, 4)), dims=("stimulus", "feature"), coords=coords, attrs={"features": "x"}
    )
    path = write_features(features, tmp_path / "f.nc")
    for wanted in (["s9", "s0", "s4", "elsewhere"], ["s3"], ids):
        rows = [ids.index(item) for item in sorted(set(wanted) & set(ids), key=ids.index)]
        xr.testing.assert_identical(read_features(path, stimulus_ids=wanted), features[rows])
    assert read_features(path, stimulus_ids=["elsewhere"]).shape == (0, 4)
