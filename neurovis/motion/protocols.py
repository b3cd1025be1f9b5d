"""What a flow model and motion-sensitive units look like; structural types, nothing to inherit from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from numpy.typing import NDArray


@runtime_checkable
class FlowModel(Protocol):
    """Frames to dense flow: classical, trained, or ours."""

    @property
    def name(self) -> str:
        """Name of the model in tables."""
        ...

    @property
    def n_frames(self) -> int:
        """Frames that a call takes; the flow goes from frame ``(n_frames - 1) // 2`` to the next one."""
        ...

    def __call__(self, frames: NDArray) -> NDArray:
        """Flow between two of the frames.

        Parameters
        ----------
        frames : uint8 array of shape (n_frames, height, width, 3)
            Consecutive RGB frames, 0-255.

        Returns
        -------
        float32 array of shape (height, width, 2)
            Displacement [px per frame of the given resolution], x right, y **down**.
        """
        ...


@runtime_checkable
class MotionUnits(Protocol):
    """Motion-sensitive units whose physiology can be measured with movies alone."""

    @property
    def name(self) -> str:
        """Name of the model in tables."""
        ...

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages in order of processing, e.g. ``("v1", "mt1", "mt2")``."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second that the units take a movie to have [Hz]."""
        ...

    def respond(self, movie: NDArray) -> dict[str, NDArray]:
        """Responses to one movie, pooled over its time.

        Parameters
        ----------
        movie : float32 array of shape (n_frames, height, width)
            Grey, 0 (black) to 1 (white).

        Returns
        -------
        dict of str to array of shape (n_units, height of the map, width of the map)
            Stage -> responses, not negative.
        """
        ...
