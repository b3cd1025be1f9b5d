"""Flow files against other readers, and the data sets' folders in miniature."""

import numpy as np
import pytest
from PIL import Image

from neurovis.motion.flow_io import list_flyingthings, list_kitti, list_sintel, read_flow, write_flow

SIZE = (5, 7)


@pytest.fixture
def flow(rng):
    return rng.normal(0, 20, (*SIZE, 2)).astype(np.float32)


def write_image(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), 9, dtype=np.uint8)).save(path)


def write_pfm(path, flow, order="<"):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.concatenate([flow, np.zeros((*SIZE, 1))], axis=-1)[::-1].astype(f"{order}f4")
    scale = -1.0 if order == "<" else 1.0
    path.write_bytes(f"PF\n{SIZE[1]} {SIZE[0]}\n{scale}\n".encode() + rows.tobytes())


def write_kitti(path, flow, known):
    cv2 = pytest.importorskip("cv2")
    path.parent.mkdir(parents=True, exist_ok=True)
    u, v = np.moveaxis(np.rint(flow * 64 + 2**15), -1, 0)
    cv2.imwrite(str(path), np.stack([known, v, u], axis=-1).astype(np.uint16))


def test_flo_is_what_opencv_reads_and_writes(tmp_path, flow):
    cv2 = pytest.importorskip("cv2")
    np.testing.assert_array_equal(cv2.readOpticalFlow(str(write_flow(flow, tmp_path / "a.flo"))), flow)
    cv2.writeOpticalFlow(str(tmp_path / "b.flo"), flow)
    np.testing.assert_array_equal(read_flow(tmp_path / "b.flo"), flow)


def test_unknown_flow_stays_unknown(tmp_path, flow):
    flow[2, 3] = np.nan
    np.testing.assert_array_equal(read_flow(write_flow(flow, tmp_path / "a.flo")), flow)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm(tmp_path, flow, order):
    write_pfm(tmp_path / "a.pfm", flow, order)
    np.testing.assert_array_equal(read_flow(tmp_path / "a.pfm"), flow)


def test_kitti(tmp_path, flow):
    known = np.ones(SIZE)
    known[0, 1] = 0
    write_kitti(tmp_path / "a.png", flow, known)
    found = read_flow(tmp_path / "a.png")
    assert np.isnan(found[0, 1]).all()
    np.testing.assert_allclose(found[known == 1], flow[known == 1], atol=1 / 128)


def test_damaged_files_are_refused(tmp_path, flow):
    path = write_flow(flow, tmp_path / "a.flo")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="cut short"):
        read_flow(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"tag of a \.flo"):
        read_flow(path)
    write_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match="16-bit"):
        read_flow(tmp_path / "a.png")
    (tmp_path / "a.pfm").write_bytes(b"Pf\n7 5\n-1\n")
    with pytest.raises(ValueError, match="grey ones hold disparity"):
        read_flow(tmp_path / "a.pfm")
    with pytest.raises(ValueError, match="suffix"):
        read_flow(tmp_path / "a.npy")
    with pytest.raises(FileNotFoundError, match="no flow at"):
        read_flow(tmp_path / "b.flo")


def test_sintel(tmp_path, flow):
    for number in range(1, 14):
        write_image(tmp_path / f"training/clean/alley_1/frame_{number:04d}.png")
        path = tmp_path / f"training/flow/alley_1/frame_{number:04d}.flo"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 13:
            write_flow(flow + number, path)
    samples = list_sintel(tmp_path)
    assert [sample.name for sample in samples] == [f"alley_1/frame_{n:04d}" for n in (6, 7, 8)]
    assert [frame.stem for frame in samples[0].frames] == [f"frame_{n:04d}" for n in range(1, 12)]
    frames, found = samples[0].load()
    assert frames.shape == (11, *SIZE, 3)
    np.testing.assert_array_equal(found, flow + 6)
    with pytest.raises(FileNotFoundError, match="fewer frames"):
        list_sintel(tmp_path, n_frames=21)
    with pytest.raises(ValueError, match="render"):
        list_sintel(tmp_path, render="dirty")


def test_portrait_flow_of_landscape_frames_is_refused(tmp_path, flow):
    for number in (1, 2):
        write_image(tmp_path / f"training/clean/alley_1/frame_{number:04d}.png", SIZE[::-1])
    (tmp_path / "training/flow/alley_1").mkdir(parents=True)
    write_flow(flow, tmp_path / "training/flow/alley_1/frame_0001.flo")
    with pytest.raises(ValueError, match="swapped"):
        list_sintel(tmp_path, n_frames=2)[0].load()


def test_kitti_and_flyingthings_folders(tmp_path, flow):
    for number in (10, 11):
        write_image(tmp_path / f"training/image_2/000003_{number}.png")
    write_kitti(tmp_path / "training/flow_occ/000003_10.png", flow, np.ones(SIZE))
    (sample,) = list_kitti(tmp_path)
    assert [frame.name for frame in sample.frames] == ["000003_10.png", "000003_11.png"]
    assert sample.load()[1].shape == (*SIZE, 2)
    with pytest.raises(FileNotFoundError, match="training/flow_occ"):
        list_kitti(tmp_path, n_frames=11)

    for number in range(6, 16):
        write_image(tmp_path / f"frames_cleanpass/TRAIN/A/0000/left/{number:04d}.png")
    folder = tmp_path / "optical_flow/TRAIN/A/0000/into_future/left"
    for number in (9, 10):
        write_pfm(folder / f"OpticalFlowIntoFuture_{number:04d}_L.pfm", flow)
    (sample,) = list_flyingthings(tmp_path)
    assert sample.frames[4].name == "0010.png"
    np.testing.assert_array_equal(sample.load()[1], flow)
