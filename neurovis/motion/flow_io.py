"""Flow files, and the published data sets of dense flow for those who have them.

Formats: Middlebury ``.flo``, KITTI's 16-bit ``.png`` and Freiburg's ``.pfm``. Data sets: MPI Sintel (Butler
et al. 2012, ECCV), KITTI 2012 and 2015 (Geiger et al. 2012, CVPR; Menze and Geiger 2015, CVPR) and
FlyingThings3D (Mayer et al. 2016, CVPR), in the folders of their own archives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, check_option, import_optional
from neurovis.io import atomic_path

_FLO_TAG = 202021.25
_KITTI_ZERO, _KITTI_STEP = 2**15, 64.0
_UNKNOWN_PX = 1e9  # Middlebury writes larger values where flow is not known


@dataclass(frozen=True)
class FlowSample:
    """Consecutive frames and the file with the flow of the middle one.

    Parameters
    ----------
    name : str
        Movie and frame.
    frames : tuple of path
        Images, earliest first.
    flow : path
        Flow of frame ``(n_frames - 1) // 2`` to the next one.
    """

    name: str
    frames: tuple[Path, ...]
    flow: Path

    def load(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Frames (n_frames, height, width, 3) and flow (height, width, 2) with NaN where it is not known.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If frames and flow differ in size, or a file is damaged.
        """
        from PIL import Image

        frames = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in self.frames])
        flow = read_flow(self.flow)
        if flow.shape[:2] != frames.shape[1:3]:
            swapped = flow.shape[:2] == frames.shape[2:0:-1]
            remedy = "height and width are swapped" if swapped else "take both from one release"
            raise ValueError(
                f"{self.flow} must have the size of its frames {frames.shape[1:3]}, got {flow.shape[:2]}; "
                f"{remedy}."
            )
        return frames, flow


def read_flow(path: str | Path) -> NDArray[np.float32]:
    """Dense flow of a file, by its suffix.

    Parameters
    ----------
    path : path
        ``.flo``, ``.pfm`` or a 16-bit ``.png`` of KITTI.

    Returns
    -------
    array of shape (height, width, 2)
        [px per frame; x right, y down]; NaN where the file says that flow is not known.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the suffix is unknown or the file is damaged or holds no flow.
    """
    path = Path(path)
    read = _READERS[check_option("suffix of the flow file", path.suffix.lower(), _READERS)]
    if not path.is_file():
        raise FileNotFoundError(f"no flow at {path}; check the folder of the data set.")
    flow = read(path)
    flow[~(np.abs(flow) < _UNKNOWN_PX).all(axis=-1)] = np.nan
    return flow


def write_flow(flow: NDArray, path: str | Path) -> Path:
    """Write dense flow (height, width, 2) as ``.flo``, atomically; NaN becomes the format's unknown value.

    Raises
    ------
    ValueError
        If the array is no flow or the suffix is another one.
    """
    flow = check_array("flow", flow, shape=(None, None, 2), finite=False, dtype="<f4")
    check_option("suffix of the flow file", Path(path).suffix.lower(), (".flo",))
    height, width = flow.shape[:2]
    with atomic_path(path) as temporary, Path(temporary).open("wb") as stream:
        stream.write(np.array(_FLO_TAG, dtype="<f4").tobytes())
        stream.write(np.array([width, height], dtype="<i4").tobytes())
        stream.write(np.where(np.isnan(flow), np.float32(10 * _UNKNOWN_PX), flow).astype("<f4").tobytes())
    return Path(path)


def _read_flo(path: Path) -> NDArray[np.float32]:
    content = path.read_bytes()
    if len(content) < 12 or np.frombuffer(content, "<f4", 1)[0] != np.float32(_FLO_TAG):
        raise ValueError(f"{path} must begin with the tag of a .flo file, got something else; copy it again.")
    width, height = (int(side) for side in np.frombuffer(content, "<i4", 2, offset=4))
    return _shape_values(path, np.frombuffer(content, "<f4", offset=12), (height, width, 2))


def _read_pfm(path: Path) -> NDArray[np.float32]:
    kind, size, scale, values = path.read_bytes().split(b"\n", 3)
    if kind.strip() != b"PF":
        raise ValueError(f"{path} must be a colour .pfm (PF), got {kind[:8]!r}; grey ones hold disparity.")
    width, height = (int(side) for side in size.split())
    order = "<f4" if float(scale) < 0 else ">f4"
    # Rows are stored from the bottom; the third channel is empty.
    rows = _shape_values(path, np.frombuffer(values[: len(values) // 4 * 4], order), (height, width, 3))
    return np.ascontiguousarray(rows[::-1, :, :2], dtype=np.float32)


def _read_kitti(path: Path) -> NDArray[np.float32]:
    cv2 = import_optional("cv2", extra="video")
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        raise ValueError(f"{path} must be a 16-bit colour .png as KITTI's flow, got another; copy it again.")
    # OpenCV gives blue, green, red: known, v, u.
    flow = (stored[..., :0:-1].astype(np.float32) - _KITTI_ZERO) / _KITTI_STEP
    flow[stored[..., 0] == 0] = np.nan
    return flow


def _shape_values(path: Path, values: NDArray, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    if min(shape) < 1 or len(values) != np.prod(shape):
        raise ValueError(f"{path} must hold {shape} numbers as it says, got {len(values)}; it is cut short.")
    return values.reshape(shape).astype(np.float32)


_READERS: dict[str, Callable[[Path], NDArray[np.float32]]] = {
    ".flo": _read_flo,
    ".pfm": _read_pfm,
    ".png": _read_kitti,
}


def list_sintel(root: str | Path, *, n_frames: int = 11, render: str = "clean") -> list[FlowSample]:
    """Samples of MPI Sintel's training part.

    Parameters
    ----------
    root : path
        Folder that holds ``training``.
    n_frames : int
        Frames around each flow; the ends of movies are left out.
    render : {"clean", "final", "albedo"}
        Pass of the renderer.

    Raises
    ------
    FileNotFoundError
        If no flow is found.
    ValueError
        If ``render`` is unknown.
    """
    check_option("render", render, ("clean", "final", "albedo"))
    training = Path(root) / "training"
    return _list_samples(
        training / "flow",
        "*/frame_*.flo",
        lambda flow, shift: training / render / flow.parent.name / f"{_shift(flow.stem, shift)}.png",
        n_frames,
    )


def list_kitti(root: str | Path, *, n_frames: int = 2, year: int = 2015) -> list[FlowSample]:
    """Samples of KITTI's training part; more than two frames need its multi-view extension.

    Parameters
    ----------
    root : path
        Folder that holds ``training``.
    n_frames : int
        Frames around each flow, at most 21.
    year : {2012, 2015}
        Which benchmark: grey or colour camera.

    Raises
    ------
    FileNotFoundError
        If no flow with its frames is found.
    ValueError
        If ``year`` is unknown.
    """
    check_option("year", year, (2012, 2015))
    training = Path(root) / "training"
    images = training / ("image_2" if year == 2015 else "image_0")
    return _list_samples(
        training / "flow_occ",
        "*_10.png",
        lambda flow, shift: images / f"{_shift(flow.stem, shift)}.png",
        n_frames,
    )


def list_flyingthings(root: str | Path, *, n_frames: int = 10, render: str = "cleanpass") -> list[FlowSample]:
    """Samples of FlyingThings3D's training part, left camera, forward in time; its movies have ten frames.

    Parameters
    ----------
    root : path
        Folder that holds ``optical_flow`` and ``frames_cleanpass``.
    n_frames : int
        Frames around each flow.
    render : {"cleanpass", "finalpass"}
        Pass of the renderer.

    Raises
    ------
    FileNotFoundError
        If no flow with its frames is found.
    ValueError
        If ``render`` is unknown.
    """
    check_option("render", render, ("cleanpass", "finalpass"))
    flows = Path(root) / "optical_flow" / "TRAIN"

    def find_frame(flow: Path, shift: int) -> Path:
        movie = flow.relative_to(flows).parts[:2]
        number = _shift(flow.stem.removesuffix("_L").rpartition("_")[2], shift)
        return Path(root, f"frames_{render}", "TRAIN", *movie, "left", f"{number}.png")

    return _list_samples(flows, "*/*/into_future/left/*_L.pfm", find_frame, n_frames)


def _list_samples(
    folder: Path, pattern: str, find_frame: Callable[[Path, int], Path], n_frames: int
) -> list[FlowSample]:
    check_array("n_frames", n_frames, ndim=0, minimum=2, remedy="flow needs two frames")
    before = (n_frames - 1) // 2
    samples = []
    for flow in sorted(folder.glob(pattern)):
        frames = tuple(find_frame(flow, shift) for shift in range(-before, n_frames - before))
        if all(frame.is_file() for frame in frames):
            samples.append(FlowSample(str(flow.relative_to(folder).with_suffix("")), frames, flow))
    if not samples:
        raise FileNotFoundError(
            f"no flow {pattern} with {n_frames} frames around it under {folder}; unpack images and flow "
            "of the data set there, or ask for fewer frames."
        )
    return samples


def _shift(stem: str, shift: int) -> str:
    """Name of the frame so many later: ``frame_0003`` and 2 give ``frame_0005``."""
    head, mark, number = stem.rpartition("_")
    return f"{head}{mark}{int(number) + shift:0{len(number)}d}"
