"""Movies from files: what was written comes back, ranges and sizes hold, and broken files say so."""

import numpy as np
import pytest
from PIL import Image

from neurovis.io.video import find_cuts, read_video_blocks, read_video_frames, read_video_info

cv2 = pytest.importorskip("cv2")

FPS, N, SIZE = 12.5, 30, (48, 64)


def draw(number):
    """A grey level that tells the number, with a mark in the top left corner and a reddish tint."""
    frame = np.full((*SIZE, 3), (60 + 5 * number, 40 + 5 * number, 40), np.uint8)
    frame[:8, :8] = 255
    return frame


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "movie.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, SIZE[::-1])
    for number in range(N):
        writer.write(cv2.cvtColor(draw(number), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_video_is_rgb_upright_and_in_order(video):
    info = read_video_info(video)
    assert (info.n_frames, info.size_px) == (N, SIZE)
    assert info.fps == pytest.approx(FPS)
    frames = read_video_frames(video, fps=FPS)
    assert frames.shape == (N, *SIZE, 3)
    expected = np.stack([draw(number) for number in range(N)])
    assert np.abs(frames[:, 16:, 16:].astype(int) - expected[:, 16:, 16:]).max() <= 6  # JPEG
    assert frames[:, :6, :6].min() > 230


@pytest.mark.parametrize("n_frames", [1, 7, 64])
def test_blocks_join_to_the_range(video, n_frames):
    whole = read_video_frames(video)
    blocks = list(read_video_blocks(video, n_frames=n_frames, start=4, stop=25))
    assert max(map(len, blocks)) <= n_frames
    np.testing.assert_array_equal(np.concatenate(blocks), whole[4:25])


def test_arrays_and_folders_read_alike(tmp_path):
    frames = np.stack([draw(number) for number in range(5)])
    np.save(tmp_path / "movie.npy", frames)
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number:04d}.png")
    for path in (tmp_path / "movie.npy", tmp_path / "frames"):
        info = read_video_info(path)
        assert (info.n_frames, info.fps, tuple(info.size_px)) == (5, None, SIZE)
        np.testing.assert_array_equal(read_video_frames(path, start=1), frames[1:])


def test_shrinking_averages(tmp_path, rng):
    frames = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "movie.npy", frames)
    small = read_video_frames(tmp_path / "movie.npy", size_px=(4, 8))
    means = frames.reshape(3, 4, 4, 8, 2, 3).mean((2, 4))
    assert np.abs(small - means).max() <= 1


def test_bad_files_say_what_is_wrong(video, tmp_path):
    with pytest.raises(FileNotFoundError, match="no movie"):
        read_video_info(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_bytes(b"not a video")
    with pytest.raises(ValueError, match="at least one frame"):
        read_video_info(tmp_path / "text.mp4")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="convert it first"):
        read_video_info(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"12\.5 frames per second, got 25"):
        read_video_frames(video, fps=25)
    for fps in (np.nan, 0, -12):
        with pytest.raises(ValueError, match="fps must be"):
            read_video_frames(video, fps=fps)
    with pytest.raises(ValueError, match="size_px must be at least 1"):
        read_video_frames(video, size_px=(0, 4))
    for start, stop in ((0, N + 1), (5, 5), (-1, 3), (0.5, 3)):
        with pytest.raises(ValueError, match="within the 30 frames"):
            read_video_frames(video, start=start, stop=stop)
    np.save(tmp_path / "none.npy", np.zeros((0, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="at least one"):
        read_video_frames(tmp_path / "none.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold images"):
        read_video_info(tmp_path / "empty")
    for name, side in (("a", 8), ("b", 9)):
        Image.new("RGB", (side, side)).save(tmp_path / "empty" / f"{name}.png")
    with pytest.raises(ValueError, match="one size"):
        read_video_frames(tmp_path / "empty")


def test_a_truncated_video_is_refused(video, tmp_path):
    content = video.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="truncated"):
        read_video_frames(cut)


def test_cuts_are_found_and_motion_is_not(rng):
    scenes = rng.integers(0, 256, (2, 60, 200, 3), dtype=np.uint8)
    scenes = [cv2.GaussianBlur(scene, (0, 0), 3) // 2 + 40 * number for number, scene in enumerate(scenes)]
    movie = np.stack([scenes[t >= 13][:, 2 * t : 2 * t + 80] for t in range(26)])
    assert find_cuts([movie[:5], movie[5:20], movie[20:]]) == [13]
    assert find_cuts([movie[:13]]) == []
    with pytest.raises(TypeError, match="blocks must be uint8"):
        find_cuts([movie / 255])
    with pytest.raises(ValueError, match="repeat a grey channel"):
        find_cuts([movie[..., 0]])
    with pytest.raises(ValueError, match="at least one frame"):
        find_cuts([])


def test_cuts_of_a_real_film(shared_data):
    path = shared_data / "motion_clips" / "video" / "bikes.mp4"
    if not path.is_file():
        pytest.skip(f"no clip at {path}")
    assert find_cuts(read_video_blocks(path, size_px=(68, 160))) == [30, 76, 137, 187, 242]
