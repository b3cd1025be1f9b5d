"""Surface series and labels: round trips, files as other tools write them, and bad files."""

import nibabel
import numpy as np
import pytest

from neurovis.io import gifti


def test_series_round_trip_and_nibabel_agreement(tmp_path, rng):
    values = rng.normal(size=(7, 30)).astype(np.float32)
    path = gifti.write_surface_series(values, tmp_path / "x_bold.func.gii", t_r=1.6, hemisphere="right")
    series = gifti.read_surface_series(path)
    np.testing.assert_array_equal(series.values, values)
    assert series.t_r == pytest.approx(1.6)
    assert series.hemisphere == "right"
    image = nibabel.load(path)
    np.testing.assert_array_equal(image.agg_data("time series").T, values)
    assert image.meta["TimeStep"] == "1600"


@pytest.mark.parametrize(("stored", "seconds"), [("2000.0", 2.0), ("0.8", 0.8), ("720", 0.72)])
def test_time_step_in_seconds_or_milliseconds(tmp_path, stored, seconds):
    array = nibabel.gifti.GiftiDataArray(np.zeros((4, 3), np.float32), intent="NIFTI_INTENT_TIME_SERIES")
    meta = nibabel.gifti.GiftiMetaData(TimeStep=stored)
    nibabel.gifti.GiftiImage(meta=meta, darrays=[array]).to_filename(tmp_path / "x.func.gii")
    series = gifti.read_surface_series(tmp_path / "x.func.gii")
    assert series.t_r == pytest.approx(seconds)
    assert series.values.shape == (3, 4)  # one (vertices, scans) array, as some tools write it
    assert series.hemisphere is None


def test_labels_round_trip(tmp_path, rng):
    labels = rng.integers(0, 3, size=40)
    names = {0: "unknown", 1: "V1", 2: "FFA"}
    path = gifti.write_surface_labels(labels, tmp_path / "x.label.gii", names=names, hemisphere="left")
    found, table = gifti.read_surface_labels(path)
    np.testing.assert_array_equal(found, labels)
    assert table == names
    with pytest.raises(ValueError, match=r"names must cover every label, got none for \[2\]"):
        gifti.write_surface_labels(labels, path, names={0: "unknown", 1: "V1"}, hemisphere="left")


def test_bad_files_and_parameters_are_named(tmp_path, rng):
    values = rng.normal(size=(5, 20))
    path = gifti.write_surface_series(values, tmp_path / "x.func.gii", t_r=2.0, hemisphere="left")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="truncated"):
        gifti.read_surface_series(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        gifti.read_surface_series(path)
    labels = gifti.write_surface_labels(
        np.zeros(3, int), tmp_path / "y.label.gii", names={0: "unknown"}, hemisphere="left"
    )
    with pytest.raises(ValueError, match="hemisphere must be 'left' or 'right', got 'L'"):
        gifti.write_surface_series(values, path, t_r=2.0, hemisphere="L")
    with pytest.raises(ValueError, match="t_r must be a positive"):
        gifti.write_surface_series(values, path, t_r=0.0, hemisphere="left")
    volume = tmp_path / "v.nii"
    nibabel.Nifti1Image(np.ones((2, 2, 2)), np.eye(4)).to_filename(volume)
    with pytest.raises(ValueError, match="must be a GIFTI file"):
        gifti.read_surface_series(volume)
    two = [nibabel.gifti.GiftiDataArray(np.zeros(n, np.float32)) for n in (3, 4)]
    nibabel.gifti.GiftiImage(darrays=two).to_filename(tmp_path / "two.func.gii")
    with pytest.raises(ValueError, match="one array of vertices per scan"):
        gifti.read_surface_series(tmp_path / "two.func.gii")
    assert gifti.read_surface_labels(labels)[1] == {0: "unknown"}
