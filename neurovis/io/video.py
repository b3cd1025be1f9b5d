"""Movies from files: video through OpenCV, folders of images and ``.npy`` arrays, whole or block by block.

Frames are uint8 RGB (frame, height, width, 3). Blocks stream, so that memory does not grow with the movie.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array, import_optional

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm")

_SAME_FPS = 0.01  # relative difference of frame rates that is rounding, e.g. 23.976 for 24
_SLACK_FRAMES = 2  # containers count frames that edit lists hide
_CUT_HEIGHT = 48  # [px] of the frames that are compared
_SAME_ASPECT = 0.02  # relative difference of aspects that is rounding


@dataclass(frozen=True)
class VideoInfo:
    """What a movie says of itself.

    Parameters
    ----------
    n_frames : int
        Frames; of a video file the number in its header.
    fps : float or None
        Frames per second [Hz]; None where images or arrays do not say.
    size_px : (int, int)
        Height and width [px].
    """

    n_frames: int
    fps: float | None
    size_px: tuple[int, int]


def read_video_info(path: str | Path) -> VideoInfo:
    """Length, frame rate and size of a movie.

    Parameters
    ----------
    path : path
        Video file, ``.npy`` array of uint8 (frame, height, width, 3), or folder of images of equal size, in
        the order of their names.

    Returns
    -------
    VideoInfo

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    ValueError
        If it is no movie or holds no frame.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no movie at {path}; check the path.")
    if path.is_dir():
        files = _list_images(path)
        height, width = _load_image(files[0]).shape[:2]
        return VideoInfo(len(files), None, (height, width))
    if path.suffix.lower() == ".npy":
        n_frames, height, width, _ = _open_array(path).shape
        return VideoInfo(n_frames, None, (height, width))
    capture, info = _open_video(path)
    capture.release()
    return info


def read_video_frames(
    path: str | Path,
    *,
    start: int = 0,
    stop: int | None = None,
    size_px: tuple[int, int] | None = None,
    fps: float | None = None,
) -> NDArray[np.uint8]:
    """Frames ``start`` to ``stop`` of a movie at once; parameters as :func:`read_video_blocks`.

    Returns
    -------
    uint8 array of shape (n_frames, height, width, 3)
        RGB.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_video_blocks`.
    """
    return np.concatenate(list(read_video_blocks(path, start=start, stop=stop, size_px=size_px, fps=fps)))


def read_video_blocks(
    path: str | Path,
    *,
    n_frames: int = 64,
    start: int = 0,
    stop: int | None = None,
    size_px: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Frames of a movie in blocks.

    Parameters
    ----------
    path : path
        As :func:`read_video_info`.
    n_frames : int
        Frames of a block; the last one may be shorter.
    start, stop : int
        First frame, and the first one not to be read; by default all.
    size_px : (int, int), optional
        Resize to this height and width [px]: averages where that shrinks both sides, else bilinear.
    fps : float, optional
        Frame rate that the movie is taken to have [Hz]; it must agree with the file's own to 1 %.

    Yields
    ------
    uint8 array of shape (m, height, width, 3)
        RGB.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    ValueError
        If it is no movie, the range is empty or longer than the movie, the frame rate is another, images
        differ in size, or the file ends before the frames that its header promises.
    """
    path, info = Path(path), read_video_info(path)
    if fps is not None:
        check_array("fps", fps, ndim=0, minimum=1e-3, remedy="pass frames per second")
    if size_px is not None:
        check_array("size_px", size_px, shape=(2,), minimum=1, remedy="pass height and width in pixels")
    last = info.n_frames if stop is None else stop
    whole = not any(number % 1 for number in (n_frames, start, last))
    if n_frames < 1 or not whole or not 0 <= start < last <= info.n_frames:
        raise ValueError(
            f"n_frames must be positive and start and stop must lie within the {info.n_frames} frames of "
            f"{path.name}, all whole numbers, got {n_frames}, {start} and {stop}; check the range."
        )
    if fps is not None and info.fps is not None and abs(fps / info.fps - 1) > _SAME_FPS:
        raise ValueError(
            f"fps must be that of {path.name}, {info.fps:g} frames per second, got {fps:g}; leave it out, or "
            "convert the file to another rate."
        )
    frames: Iterator[NDArray[np.uint8]]
    if path.is_dir():
        frames = _read_images(path, start, last)
    elif path.suffix.lower() == ".npy":
        frames = (np.array(frame) for frame in _open_array(path)[start:last])
    else:
        frames = _decode(path, start, last, to_end=stop is None)
    while block := list(itertools.islice(frames, n_frames)):
        yield np.stack([_resize(frame, size_px) for frame in block])


def check_frame_rate(stimuli: StimulusSet) -> float:
    """Frames per second [Hz] of a set of movies; raises a ValueError for images, which have none."""
    if stimuli.fps is None:
        raise ValueError(
            f"stimuli must be movies with a frame rate, got {stimuli.name!r} without fps; set fps or choose "
            "a feature space of images."
        )
    return stimuli.fps


def read_movie_blocks(
    stimuli: StimulusSet, stimulus_id: str, *, n_frames: int = 64
) -> Iterator[NDArray[np.uint8]]:
    """Frames of one movie of a stimulus set in blocks.

    Parameters
    ----------
    stimuli : StimulusSet
        Movies: video files, folders of images, or ``.npy`` arrays.
    stimulus_id : str
        Which one.
    n_frames : int
        Frames of a block; the last one may be shorter.

    Yields
    ------
    uint8 array of shape (m, height, width, 3)
        RGB; at least one block.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If the stimulus is an image or has no frame, the set has no frame rate or another one than the file,
        or height and width of the frames are those on the screen exchanged.
    """
    check_frame_rate(stimuli)
    entry = str(stimuli.table.loc[stimulus_id, "path"])
    if entry.lower().endswith(VIDEO_SUFFIXES) or (entry and (stimuli.root / entry).is_dir()):
        blocks = read_video_blocks(stimuli.path(stimulus_id), n_frames=n_frames, fps=stimuli.fps)
    else:
        movie = stimuli.load(stimulus_id)
        if movie.ndim != 4 or not len(movie):
            raise ValueError(
                f"stimuli must be movies (frame, height, width, 3), got shape {movie.shape} for "
                f"{stimulus_id!r}; choose a feature space of images."
            )
        blocks = (movie[start : start + n_frames] for start in range(0, len(movie), n_frames))
    for number, block in enumerate(blocks):
        if not number:
            _check_upright(block.shape[1], block.shape[2], stimuli, stimulus_id)
        yield block


def read_movie(stimuli: StimulusSet, stimulus_id: str, *, minimum_frames: int = 1) -> NDArray[np.uint8]:
    """All frames of one movie of a stimulus set; parameters and errors as :func:`read_movie_blocks`.

    Parameters
    ----------
    minimum_frames : int
        Raise if the movie has fewer.

    Returns
    -------
    uint8 array of shape (n_frames, height, width, 3)
        RGB.
    """
    movie = np.concatenate(list(read_movie_blocks(stimuli, stimulus_id)))
    if len(movie) < minimum_frames:
        raise ValueError(
            f"a movie must have at least {minimum_frames} frames, got {len(movie)} for {stimulus_id!r}; show "
            "still pictures as images."
        )
    return movie


def _check_upright(height: int, width: int, stimuli: StimulusSet, stimulus_id: str) -> None:
    """Raise if frames would fit the screen with height and width exchanged, and do not as they are."""
    aspect, shown = height / width, stimuli.size_dva[0] / stimuli.size_dva[1]
    if abs(aspect / shown - 1) > _SAME_ASPECT and abs(aspect * shown - 1) <= _SAME_ASPECT:
        raise ValueError(
            f"size_dva of {stimuli.name!r} must be (height, width) like the frames, got {stimuli.size_dva} "
            f"for {height} x {width} px of {stimulus_id!r}; height and width are swapped."
        )


def find_cuts(
    blocks: Iterable[NDArray[np.uint8]], *, minimum_difference: float = 12.0, ratio: float = 2.5
) -> list[int]:
    """Cuts between shots: frames that differ from the one before far more than their neighbours do.

    Parameters
    ----------
    blocks : iterable of uint8 array of shape (n, height, width, 3)
        Consecutive frames, e.g. from :func:`read_video_blocks`.
    minimum_difference : float
        Least mean absolute difference across a cut [grey levels, 0-255], at a height of 48 px.
    ratio : float
        Least ratio of that difference to each of those one and two frames before and after.

    Returns
    -------
    list of int
        First frame of each new shot, in order.

    Raises
    ------
    TypeError
        If the frames are not 8-bit: differences of frames from 0 to 1 would never count as cuts.
    ValueError
        If there is no frame, or a block is no RGB movie.

    Notes
    -----
    Finds hard cuts, not fades. Optical flow across a cut means nothing: leave such clips out.
    """
    previous: NDArray | None = None
    differences = [0.0]
    for block in blocks:
        if block.dtype != np.uint8:
            raise TypeError(
                f"blocks must be uint8, got {block.dtype}; scale the frames to 0-255 and convert."
            )
        check_array("blocks", block, shape=(None, None, None, 3), remedy="repeat a grey channel three times")
        for frame in block:
            height, width = frame.shape[:2]
            # Averages of 48 rows: noise and fine texture in motion do not count.
            small = _resize(frame, (_CUT_HEIGHT, max(1, round(width * _CUT_HEIGHT / height))))
            grey = small.mean(axis=-1, dtype=np.float32)
            if previous is not None:
                differences.append(float(np.abs(grey - previous).mean()))
            previous = grey
    if previous is None:
        raise ValueError("blocks must hold at least one frame, got none; check the movie.")
    steps = np.array(differences)
    padded = np.pad(steps, 2)
    around = np.max([padded[shift : shift + len(steps)] for shift in (0, 1, 3, 4)], axis=0)
    return np.flatnonzero((steps >= minimum_difference) & (steps >= ratio * around)).tolist()


def _open_video(path: Path) -> tuple[Any, VideoInfo]:
    cv2 = import_optional("cv2", extra="video")
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(
            f"path must be a video ({', '.join(VIDEO_SUFFIXES)}), a .npy array or a folder of images, got "
            f"{path.name}; convert it first."
        )
    capture = cv2.VideoCapture(str(path))
    n_frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    if n_frames < 1:
        capture.release()
        raise ValueError(
            f"{path} must be a video with at least one frame, got none; the file is empty, truncated or in "
            "an unknown format."
        )
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    size = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    return capture, VideoInfo(n_frames, fps if np.isfinite(fps) and fps > 0 else None, size)


def _decode(path: Path, start: int, stop: int, *, to_end: bool) -> Iterator[NDArray[np.uint8]]:
    """Frames by decoding from the beginning: seeking is exact in few formats."""
    cv2 = import_optional("cv2", extra="video")
    capture, _ = _open_video(path)
    try:
        for number in range(stop):
            read, frame = (capture.grab(), None) if number < start else capture.read()
            if not read:
                if to_end and number >= max(stop - _SLACK_FRAMES, start + 1):
                    return
                raise ValueError(
                    f"{path} must hold the {stop} frames that were asked for, got {number}; the file is "
                    "truncated: get it again, or set stop."
                )
            if frame is not None:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _list_images(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"{folder} must hold images ({', '.join(_IMAGE_SUFFIXES)}), got none; check it.")
    return files


def _read_images(folder: Path, start: int, stop: int) -> Iterator[NDArray[np.uint8]]:
    shape = None
    for file in _list_images(folder)[start:stop]:
        frame = _load_image(file)
        if frame.shape != (shape or frame.shape):
            raise ValueError(
                f"images of {folder} must be of one size, got {frame.shape[:2]} in {file.name} after "
                f"{shape[:2] if shape else None}; resize them."
            )
        shape = frame.shape
        yield frame


def _load_image(file: Path) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{file} is truncated or no image ({error}); get it again.") from error


def _open_array(path: Path) -> NDArray[np.uint8]:
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is truncated or no .npy array ({error}); write it again.") from error
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(
            f"{path} must hold uint8 frames (frame, height, width, 3), at least one, got {frames.dtype} of "
            f"shape {frames.shape}; convert it to RGB first."
        )
    return frames


def _resize(frame: NDArray[np.uint8], size_px: tuple[int, int] | None) -> NDArray[np.uint8]:
    if size_px is None or frame.shape[:2] == tuple(size_px):
        return frame
    cv2 = import_optional("cv2", extra="video")
    height, width = size_px
    shrinks = height <= frame.shape[0] and width <= frame.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(frame, (width, height), interpolation=way)
