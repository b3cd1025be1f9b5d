"""Pixels as features: what any other feature space has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet
from neurovis.features.arrays import choose_layers, load_batches, make_feature_array

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class PixelFeatures:
    """Grey and colour pixels, averaged down.

    Parameters
    ----------
    grey_px, colour_px : int
        Sides of the square images after averaging [px].
    name : str
        Name of the feature space.

    Raises
    ------
    ValueError
        If a side is not positive.

    Notes
    -----
    Layers are ``"grey"`` (luma with the weights of ITU-R BT.601) and ``"colour"`` (RGB), both 0-1, by row;
    coordinates ``channel``, ``row`` and ``column``.
    """

    grey_px: int = 24
    colour_px: int = 12
    name: str = "pixels"
    layers: ClassVar[tuple[str, ...]] = ("grey", "colour")

    def __post_init__(self) -> None:
        for parameter, side in (("grey_px", self.grey_px), ("colour_px", self.colour_px)):
            if side < 1:
                raise ValueError(f"{parameter} must be at least 1, got {side}; pass for example 24.")

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable."""
        from PIL import __version__

        return {"kind": "pixels", **asdict(self), "pillow": __version__}

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 256,
        device: str = "cpu",  # noqa: ARG002 (the protocol's; pixels need no device)
    ) -> dict[str, xr.DataArray]:
        """Pixels of every image; parameters and result as :class:`neurovis.core.FeatureExtractor`."""
        wanted = choose_layers(layers, self.layers, name=self.name)
        parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in wanted}
        for images in load_batches(stimuli, batch_size=batch_size, name=self.name):
            for layer in wanted:
                parts[layer] += [self._reduce(image, layer) for image in images]
        return {
            layer: make_feature_array(
                np.stack(rows), stimuli, name=self.name, layer=layer, coords=self._make_coords(layer),
                size_dva=stimuli.size_dva,
            )
            for layer, rows in parts.items()
        }  # fmt: skip

    def _make_coords(self, layer: str) -> dict[str, NDArray[np.int32]]:
        shape = (self.grey_px, self.grey_px, 1) if layer == "grey" else (self.colour_px, self.colour_px, 3)
        row, column, channel = np.indices(shape, dtype=np.int32).reshape(3, -1)
        return {"channel": channel, "row": row, "column": column}

    def _reduce(self, image: NDArray[np.uint8], layer: str) -> NDArray[np.float32]:
        grey = layer == "grey"
        planes = [image @ _LUMA] if grey else list(np.moveaxis(image.astype(np.float32), 2, 0))
        side = self.grey_px if grey else self.colour_px
        return np.stack([_average(plane, side) for plane in planes], axis=-1).ravel() / np.float32(255)


def _average(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Area average (height, width) to (side, side); every pixel counts by the part of it that is covered."""
    from PIL import Image

    return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BOX))
