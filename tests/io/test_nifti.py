"""Reading of NIfTI runs and masks against nibabel's whole-array reading, and what bad files say."""

import gzip

import nibabel
import numpy as np
import pytest

from neurovis.io import nifti

AFFINE = np.array([[-3.0, 0, 0, 60], [0, 3.5, 0, -30], [0, 0, 2.5, 10], [0, 0, 0, 1]])


@pytest.fixture
def run(tmp_path, rng):
    values = rng.integers(0, 4000, size=(5, 6, 4, 11)).astype(np.int16)
    return values, nifti.write_volume(values, tmp_path / "run_bold.nii.gz", affine=AFFINE, t_r=1.5)


def test_masked_series_equals_indexing_the_whole_array(run, tmp_path, rng, monkeypatch):
    values, path = run
    mask = rng.random((5, 6, 4)) > 0.6
    mask_path = nifti.write_volume(mask, tmp_path / "mask.nii.gz", affine=AFFINE)
    monkeypatch.setattr(nifti, "_BLOCK_BYTES", 5 * 6 * 4 * 8 * 3)  # three scans a block, the last one short
    for given in (mask, mask_path, nifti.Volume(mask, AFFINE)):
        series = nifti.read_masked_series(path, given)
        np.testing.assert_array_equal(series.values, values[mask].T)
        assert series.values.dtype == np.float32
        assert series.t_r == pytest.approx(1.5)
    i, j, k = series.ijk[7]
    np.testing.assert_allclose(series.xyz_mm[7], (AFFINE @ [i, j, k, 1])[:3])
    np.testing.assert_array_equal(nifti.unmask(series.values, mask)[mask], values[mask])
    assert not nifti.unmask(series.values, mask)[~mask].any()


def test_label_image_selects_its_labels(run):
    values, path = run
    labels = np.zeros((5, 6, 4), dtype=np.int16)
    labels[1:3], labels[4] = 7, 9
    series = nifti.read_masked_series(path, nifti.Volume(labels, AFFINE), labels=[9])
    np.testing.assert_array_equal(series.values, values[4].reshape(-1, 11).T)


def test_scaled_integers_are_scaled(tmp_path, rng):
    values = rng.normal(100, 5, size=(3, 3, 3, 6))
    image = nibabel.Nifti1Image(values, AFFINE)
    image.set_data_dtype(np.int16)
    image.to_filename(tmp_path / "scaled.nii")
    expected = nibabel.load(tmp_path / "scaled.nii").get_fdata().reshape(-1, 6).T
    np.testing.assert_allclose(nifti.read_masked_series(tmp_path / "scaled.nii").values, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (2.5, "sec", 2.5),
        (2000.0, "sec", 2.0),
        (2500.0, "msec", 2.5),
        (800, "msec", 0.8),
        (7.2e5, "usec", 0.72),
        (1.6, "unknown", 1.6),
        (0.0, "sec", None),
        (float("nan"), "sec", None),
    ],
)
def test_time_step_is_in_seconds(value, unit, expected):
    assert nifti.convert_time_step(value, unit) == (None if expected is None else pytest.approx(expected))


def test_real_run_and_real_header_in_milliseconds(shared_data):
    root = shared_data / "haxby2001_slice"
    bold = root / "sub001/BOLD/task001_run001/bold_25mm.nii.gz"
    hoc = root / "sub001/masks/25mm/hoc.nii.gz"
    series = nifti.read_masked_series(bold, hoc)
    image = nibabel.load(bold)
    mask = nibabel.load(hoc).get_fdata() != 0
    np.testing.assert_array_equal(series.values, image.get_fdata()[mask].T)
    assert series.t_r == pytest.approx(2.5)
    assert nifti.read_masked_series(root / "extra/example4d.nii.gz").t_r == pytest.approx(2.0)


def test_nan_voxels_are_refused_or_dropped(tmp_path, rng):
    values = rng.normal(size=(3, 4, 2, 8)).astype(np.float32)
    values[1, 2, 0, 5] = np.nan
    path = nifti.write_volume(values, tmp_path / "run.nii.gz", affine=AFFINE, t_r=2.0)
    with pytest.raises(ValueError, match=r"1 of 24 voxels, the first at \(1, 2, 0\).*invalid='drop'"):
        nifti.read_masked_series(path)
    series = nifti.read_masked_series(path, invalid="drop")
    assert series.values.shape == (8, 23)
    assert not series.mask[1, 2, 0]
    np.testing.assert_array_equal(series.values, values[series.mask].T)


def test_masks_that_do_not_fit_are_refused(run):
    _, path = run
    with pytest.raises(ValueError, match=r"mask must have the shape \(5, 6, 4\)"):
        nifti.read_masked_series(path, np.ones((5, 6, 3)))
    moved = AFFINE.copy()
    moved[0, 3] += 1
    with pytest.raises(ValueError, match=r"affine .* differs by up to 1 mm; resample"):
        nifti.read_masked_series(path, nifti.Volume(np.ones((5, 6, 4)), moved))
    with pytest.raises(ValueError, match=r"none for labels \[3\]"):
        nifti.read_masked_series(path, np.ones((5, 6, 4)), labels=[3])
    with pytest.raises(ValueError, match="labels need a label image"):
        nifti.read_masked_series(path, labels=[3])
    with pytest.raises(ValueError, match="values must have"):
        nifti.unmask(np.ones(3), np.ones((5, 6, 4), dtype=bool))


def test_broken_files_are_named(run, tmp_path, shared_data):
    _, path = run
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="truncated"):
        nifti.read_masked_series(path)
    (tmp_path / "foreign.nii.gz").write_bytes(gzip.compress(b"hello" * 100))
    with pytest.raises(ValueError, match="not an image"):
        nifti.read_masked_series(tmp_path / "foreign.nii.gz")
    with pytest.raises(FileNotFoundError, match="no image"):
        nifti.read_volume(tmp_path / "absent.nii.gz")
    flat = nifti.write_volume(np.ones((2, 2, 2)), tmp_path / "flat.nii", affine=AFFINE)
    with pytest.raises(ValueError, match="must be a 4-D series"):
        nifti.read_masked_series(flat)
    with pytest.raises(ValueError, match="t_r must be a positive"):
        nifti.write_volume(np.ones((2, 2, 2, 3)), tmp_path / "x.nii", affine=AFFINE)
    empty = shared_data / "bids_layouts/ds105/sub-2/func/sub-2_task-objectviewing_run-01_bold.nii.gz"
    with pytest.raises(ValueError, match=r"empty \(0 bytes\).*fetch its content"):
        nifti.read_masked_series(empty)
