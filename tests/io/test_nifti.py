"""Reading of NIfTI runs and masks against nibabel's whole-array reading, and what bad files say."""

import gzip

import nibabel
import numpy as np
import pytest

from neurovis.io import nifti, nifti_scans

AFFINE = np.array([[-3.0, 0, 0, 60], [0, 3.5, 0, -30], [0, 0, 2.5, 10], [0, 0, 0, 1]])


@pytest.fixture
def run(tmp_path, rng):
    values = rng.integers(0, 4000, size=(5, 6, 4, 11)).astype(np.int16)
    return values, nifti.write_volume(values, tmp_path / "run_bold.nii.gz", affine=AFFINE, t_r=1.5)


def test_masked_series_equals_indexing_the_whole_array(run, tmp_path, rng):
    values, path = run
    mask = rng.random((5, 6, 4)) > 0.6
    mask_path = nifti.write_volume(mask, tmp_path / "mask.nii.gz", affine=AFFINE)
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


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair])
@pytest.mark.parametrize("stored", ["<i2", ">i2", "<u1", ">f4", "<f8", "<i4"])
@pytest.mark.parametrize("slope", [None, 0.37])
def test_every_layout_gives_what_nibabel_gives(tmp_path, rng, monkeypatch, kind, stored, slope):
    """Byte order, scaling, offset, compression and pairs of files, against nibabel's whole array."""
    monkeypatch.setattr(nifti_scans, "_BLOCK_BYTES", 4 * 3 * 5 * 8 * 2)  # two scans a block through nibabel
    values = rng.integers(0, 200, size=(4, 3, 5, 7)).astype(stored)
    header = nibabel.Nifti2Header if kind is nibabel.Nifti2Image else nibabel.Nifti1Header
    header = header(endianness=stored[0] if stored[0] in "<>" else "<")
    header.set_data_dtype(stored)
    if kind is not nibabel.Nifti1Pair:
        header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"moves the data further on"))
    mask = rng.random((4, 3, 5)) > 0.5
    for name in ("x.img", "x.img.gz") if kind is nibabel.Nifti1Pair else ("x.nii", "x.nii.gz"):
        image = kind(values, AFFINE, header)
        image.header.set_slope_inter(*((None, None) if slope is None else (slope, -3.5)))
        image.to_filename(tmp_path / name)
        expected = np.asanyarray(nibabel.load(tmp_path / name).dataobj)[mask].T
        series = nifti.read_masked_series(tmp_path / name, mask)
        np.testing.assert_array_equal(series.values, expected.astype(np.float32))
        kept = nifti.read_masked_series(tmp_path / name, mask, dtype=None).values
        np.testing.assert_array_equal(kept, expected)
        assert kept.dtype == (np.dtype(stored).newbyteorder("=") if slope is None else np.float64)


def test_a_stream_equals_the_whole_in_blocks_of_its_own(run, rng):
    values, path = run
    mask = rng.random((5, 6, 4)) > 0.6
    blocks = list(nifti.iterate_masked_series(path, mask, block=4, dtype=None))
    assert [len(block) for block in blocks] == [4, 4, 3]
    assert {block.dtype for block in blocks} == {np.dtype(np.int16)}
    np.testing.assert_array_equal(np.concatenate(blocks), values[mask].T)
    assert not any(np.shares_memory(blocks[0], block) for block in blocks[1:])
    with pytest.raises(ValueError, match="block must be at least 1"):
        nifti.iterate_masked_series(path, mask, block=0)
    with pytest.raises(ValueError, match="invalid must be 'raise' or 'keep', got 'drop'"):
        nifti.iterate_masked_series(path, mask, invalid="drop")


def test_types_that_lose_numbers_are_refused(run, tmp_path, rng):
    _, path = run
    with pytest.raises(ValueError, match=r"dtype must hold the int16 numbers .*, got uint8; pass"):
        nifti.read_masked_series(path, dtype=np.uint8)
    image = nibabel.Nifti1Image(rng.integers(0, 9, size=(2, 2, 2, 3)).astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 0)
    image.to_filename(tmp_path / "scaled.nii")
    with pytest.raises(ValueError, match="scaled by its header, got int16"):
        nifti.iterate_masked_series(tmp_path / "scaled.nii", dtype=np.int16)
    nibabel.Nifti1Image(np.ones((2, 2, 2, 3), np.complex64), AFFINE).to_filename(tmp_path / "complex.nii")
    with pytest.raises(ValueError, match="must hold real numbers, got complex64"):
        nifti.read_masked_series(tmp_path / "complex.nii")


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
    stream = nifti.iterate_masked_series(path, block=4)
    next(stream)
    with pytest.raises(ValueError, match=r"1 of 24 voxels, the first at \(1, 2, 0\).*invalid='keep'"):
        next(stream)
    kept = np.concatenate(list(nifti.iterate_masked_series(path, block=4, invalid="keep")))
    assert np.isnan(kept).sum() == 1


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
    # Past the header, where only reading the scans can find it.
    noise = np.random.default_rng(0).integers(0, 2**15, size=(20, 20, 20, 30)).astype(np.int16)
    for name in ("cut.nii", "cut.nii.gz"):
        path = nifti.write_volume(noise, tmp_path / name, affine=AFFINE, t_r=1.5)
        content = path.read_bytes()
        path.write_bytes(content[:-7000])
        with pytest.raises(ValueError, match=r"cut.nii.* truncated"):
            nifti.read_masked_series(path, np.ones((20, 20, 20)))
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0x55
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"cut.nii.* truncated or not an image"):
        nifti.read_masked_series(path, np.ones((20, 20, 20)))
    path.write_bytes(content[:-8] + bytes(8))
    with pytest.raises(ValueError, match=r"cut.nii.* truncated or not an image"):
        list(nifti.iterate_masked_series(path, block=10))
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
