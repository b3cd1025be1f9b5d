"""How a search is run: what the model sees, what returning costs, when the target counts as found.

Settings of Gupta et al. (2021, NeurIPS) for their four families of displays and for searches in scenes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from neurovis.core import check_option
from neurovis.stimuli.asymmetry_experiments import CONDITIONS

WEIGHTINGS = ("maximum", "equal")


@dataclass(frozen=True)
class SearchProtocol:
    """Settings of a search.

    Parameters
    ----------
    name : str
        Of the family of displays.
    max_saccades : int
        A search that has not found the target by then is given up.
    found_px : int
        Side of the square around a fixation that must touch the target's box [px].
    background : int
        Grey around the image, and of visited cells, 0-255.
    kernels : tuple of (size_px, sigma)
        Two Gaussians, whose difference sharpens the attention map; a sigma of 0 follows from the size.
    weighting : {"maximum", "equal"}
        Weights of the layers' maps: the maximum of each, or all alike.
    uses_cells : bool
        Searches in arrays go from cell to cell and repaint the visited ones; otherwise the square of side
        ``found_px`` around a fixation is not visited again, and the start may already find the target.
    size_px : tuple of int, optional
        (height, width) that scenes are resized to; as they are by default.
    target_px : int, optional
        Side that pictures of the target are resized to; as they are by default.
    px_per_dva : float
        Pixels per degree of what the model sees.
    margin_px : int
        Background that is always seen beyond the image [px].

    Raises
    ------
    ValueError
        If an option is unknown or a number is out of range.
    """

    name: str
    max_saccades: int
    found_px: int = 10
    background: int = 0
    kernels: tuple[tuple[int, float], tuple[int, float]] = ((3, 0), (5, 1))
    weighting: str = "maximum"
    uses_cells: bool = True
    size_px: tuple[int, int] | None = None
    target_px: int | None = None
    px_per_dva: float = 30.0
    margin_px: int = 64

    def __post_init__(self) -> None:
        check_option("weighting", self.weighting, WEIGHTINGS)
        for size, sigma in self.kernels:
            if size < 1 or size % 2 == 0 or sigma < 0:
                raise ValueError(
                    f"kernels must be two pairs of an odd size and a sigma of at least 0, got {self.kernels}."
                )
        if self.max_saccades < 1 or self.found_px < 1 or not 0 <= self.background <= 255:
            raise ValueError(
                "max_saccades and found_px must be at least 1 and background 0 to 255, got "
                f"{self.max_saccades}, {self.found_px} and {self.background}."
            )


_KERNELS_ORIENTATION = ((3, 1), (5, 3))
_KERNELS_INTERSECTION = ((5, 3), (7, 5))

PROTOCOLS: Mapping[str, SearchProtocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            SearchProtocol("orientation", 17, background=255, kernels=_KERNELS_ORIENTATION),
            SearchProtocol("curvature", 37, background=0, kernels=_KERNELS_ORIENTATION),
            SearchProtocol("intersection", 10, background=255, kernels=_KERNELS_INTERSECTION),
            SearchProtocol("lighting", 17, background=27),
            SearchProtocol("objects", 7, found_px=45, weighting="equal", size_px=(544, 544), target_px=64),
            SearchProtocol(
                "natural-design", 66, found_px=64, weighting="equal", uses_cells=False, size_px=(736, 896),
                target_px=32,
            ),
            SearchProtocol(
                "waldo", 81, found_px=64, weighting="equal", uses_cells=False, size_px=(736, 896),
                target_px=32,
            ),
        )
    }
)  # fmt: skip
"""The families of the paper: four of arrays, ``objects`` (six pictures on a ring) and two of scenes."""

_FAMILY = {1: "curvature", 2: "lighting", 3: "intersection", 4: "intersection", 5: "orientation"}


def find_protocol(condition: str) -> SearchProtocol:
    """Protocol of a condition of :data:`neurovis.stimuli.asymmetry_experiments.CONDITIONS`."""
    check_option("condition", condition, CONDITIONS)
    return PROTOCOLS[_FAMILY.get(CONDITIONS[condition].experiment, "orientation")]
