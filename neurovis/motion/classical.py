"""Flow models of computer vision before networks, from OpenCV: two frames to dense flow.

Each is a :class:`~neurovis.motion.protocols.FlowModel`: it works on the grey levels of 8-bit frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from neurovis.core import check_array, check_option, import_optional

_DIS_PRESETS = ("ultrafast", "fast", "medium")


@dataclass(frozen=True)
class FarnebackFlow:
    """Polynomial expansion (Farneback, SCIA 2003).

    Parameters
    ----------
    n_levels : int
        Levels of the pyramid, each half as large as the one before.
    window_px : int
        Side over which displacements are averaged [px].
    n_iterations : int
        At each level.
    neighbourhood_px : int
        Side of the patch of each polynomial [px], 5 or 7.
    name : str
        In tables.
    """

    n_levels: int = 3
    window_px: int = 15
    n_iterations: int = 3
    neighbourhood_px: int = 5
    name: str = "Farneback"
    n_frames: ClassVar[int] = 2

    def __call__(self, frames: ArrayLike) -> NDArray[np.float32]:
        """Flow of two frames; as :class:`neurovis.motion.protocols.FlowModel`."""
        cv2 = import_optional("cv2", extra="video")
        first, second = _make_grey(frames)
        # The Gaussian of the polynomials, as OpenCV advises for both sizes.
        sigma = 1.2 if self.neighbourhood_px <= 5 else 1.5
        flow = cv2.calcOpticalFlowFarneback(
            first, second, None, 0.5, self.n_levels, self.window_px, self.n_iterations, self.neighbourhood_px,
            sigma, 0,
        )  # fmt: skip
        return np.asarray(flow, dtype=np.float32)


@dataclass(frozen=True)
class DISFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016).

    Parameters
    ----------
    preset : {"ultrafast", "fast", "medium"}
        OpenCV's trade of speed for accuracy.
    name : str
        In tables.
    """

    preset: str = "medium"
    name: str = "DIS"
    n_frames: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_option("preset", self.preset, _DIS_PRESETS)

    def __call__(self, frames: ArrayLike) -> NDArray[np.float32]:
        """Flow of two frames; as :class:`neurovis.motion.protocols.FlowModel`."""
        cv2 = import_optional("cv2", extra="video")
        first, second = _make_grey(frames, smallest_px=16)
        method = cv2.DISOpticalFlow_create(_DIS_PRESETS.index(self.preset))
        return np.asarray(method.calc(first, second, None), dtype=np.float32)


@dataclass(frozen=True)
class LucasKanadeFlow:
    """Pyramidal Lucas-Kanade on a grid (Bouguet 2001), interpolated to every pixel.

    Parameters
    ----------
    step_px : int
        Distance of the tracked points [px].
    window_px : int
        Side of the patch that is tracked [px].
    n_levels : int
        Levels of the pyramid above the frame itself.
    name : str
        In tables.

    Notes
    -----
    Points that cannot be tracked are left out; flow is linear between the others, and beyond them that of
    the nearest one. Without any point the flow is 0.
    """

    step_px: int = 6
    window_px: int = 15
    n_levels: int = 3
    name: str = "Lucas-Kanade"
    n_frames: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_array("step_px", self.step_px, ndim=0, minimum=1)
        check_array("window_px", self.window_px, ndim=0, minimum=3)

    def __call__(self, frames: ArrayLike) -> NDArray[np.float32]:
        """Flow of two frames; as :class:`neurovis.motion.protocols.FlowModel`."""
        cv2 = import_optional("cv2", extra="video")
        first, second = _make_grey(frames)
        height, width = first.shape
        grid = np.meshgrid(*(np.arange(self.step_px // 2, side, self.step_px) for side in (width, height)))
        points = np.stack([axis.ravel() for axis in grid], axis=1).astype(np.float32)
        settings: dict[str, Any] = {"winSize": (self.window_px, self.window_px), "maxLevel": self.n_levels}
        moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points[:, None], None, **settings)
        kept = found[:, 0] == 1
        if not kept.any():
            return np.zeros((height, width, 2), dtype=np.float32)
        return _spread(points[kept], (moved[:, 0] - points)[kept], (height, width))


def _spread(points: NDArray, flow: NDArray, size_px: tuple[int, int]) -> NDArray[np.float32]:
    """Dense flow from vectors at scattered points (x, y)."""
    rows, columns = np.mgrid[: size_px[0], : size_px[1]]
    places = np.stack([columns.ravel(), rows.ravel()], axis=1)
    dense = NearestNDInterpolator(points, flow)(places)
    # Three points off one line are the least for a triangle.
    if len(points) >= 3 and np.linalg.matrix_rank(points - points[0]) == 2:
        inside = LinearNDInterpolator(points, flow)(places)
        dense = np.where(np.isfinite(inside), inside, dense)
    return dense.reshape(*size_px, 2).astype(np.float32)


def _make_grey(frames: ArrayLike, *, smallest_px: int = 8) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Grey levels of two RGB frames, checked."""
    cv2 = import_optional("cv2", extra="video")
    pair = check_array("frames", frames, shape=(2, None, None, 3), remedy="pass two RGB frames")
    if pair.dtype != np.uint8:
        raise TypeError(f"frames must be uint8, got {pair.dtype}; scale them to 0-255 and convert.")
    if min(pair.shape[1:3]) < smallest_px:
        raise ValueError(
            f"frames must have sides of at least {smallest_px} px, got {pair.shape[1:3]}; enlarge them."
        )
    first, second = (cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in pair)
    return first, second
