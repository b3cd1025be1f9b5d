"""Pixels to a network's input, and which part of the image reaches the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import import_optional

if TYPE_CHECKING:
    from torch import Tensor

_LINEAR = 0.98
"""Least squared correlation of a shown ramp with what arrives, for the part seen to be told."""


@dataclass(frozen=True)
class ImagePreprocessing:
    """Pixels to a network's input.

    Parameters
    ----------
    resize : int or (int, int), optional
        Length of the shorter side, or (height, width) [px]; bilinear with antialiasing.
    crop : int, optional
        Side of the central square [px].
    mean, std : tuple of float
        Taken off and divided by, in RGB order, in the range that ``scale`` gives.
    scale : float
        Factor on 0-255 pixels.
    bgr : bool
        Whether the network wants blue first; channels are swapped last.
    """

    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: float = 1 / 255
    bgr: bool = False

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """One image (height, width, 3) to a tensor (3, height, width)."""
        torch = import_optional("torch", extra="torch")
        from PIL import Image

        size = self.find_size((image.shape[0], image.shape[1]))
        if size != image.shape[:2]:
            image = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        if self.crop is not None:
            top, left = self.find_corner(size)
            image = image[top : top + self.crop, left : left + self.crop]
        mean, std = (np.array(numbers, dtype=np.float32) for numbers in (self.mean, self.std))
        values = (image.astype(np.float32) * np.float32(self.scale) - mean) / std
        values = values[..., ::-1] if self.bgr else values
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))

    def find_size(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Height and width [px] after resizing an image of ``size_px``."""
        if self.resize is None:
            return size_px
        if not isinstance(self.resize, int):
            return self.resize
        ratio = self.resize / min(size_px)
        height, width = (max(self.resize, round(side * ratio)) for side in size_px)
        return height, width

    def find_corner(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Top and left [px] of the square that is cut out of a resized image.

        Raises
        ------
        ValueError
            If the square is larger than the image.
        """
        top, left = ((side - (self.crop or side)) // 2 for side in size_px)
        if min(top, left) < 0:
            raise ValueError(f"crop must not exceed the image, got {self.crop} for {size_px} px; set resize.")
        return top, left


@dataclass(frozen=True)
class LibraryPreprocessing:
    """A library's own transform of PIL images, with a text that says what it does."""

    transform: Callable[[Any], Tensor] = field(repr=False)
    description: str

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """One image (height, width, 3) to a tensor (3, height, width)."""
        from PIL import Image

        return self.transform(Image.fromarray(image))


def compute_seen_dva(
    preprocess: Callable[[NDArray[np.uint8]], Tensor], size_px: tuple[int, int], size_dva: tuple[float, float]
) -> tuple[float, float] | None:
    """Extent of the part of an image that reaches the network: less than all after a central crop.

    Parameters
    ----------
    preprocess : callable
        One uint8 image (height, width, 3) to a tensor (3, height, width).
    size_px : tuple of int
        Height and width of the stimuli [px].
    size_dva : tuple of float
        Their height and width on the screen [degrees].

    Returns
    -------
    tuple of float or None
        Height and width of what the network's input covers [degrees], around the image's centre; more than
        ``size_dva`` where the image is padded. None if the input is no linear image of the stimulus.

    Notes
    -----
    Measured by showing a black, a white and two ramp images, so it holds for any preprocessing; the error is
    below one pixel of the stimulus.
    """
    shown = [np.zeros((*size_px, 3), dtype=np.uint8), np.full((*size_px, 3), 255, dtype=np.uint8)]
    black, white = (np.asarray(preprocess(image))[0].astype(float) for image in shown)
    extent = []
    for axis in (0, 1):
        n = size_px[axis]
        if n < 2:
            return None
        ramp = np.round(np.arange(n) * 255 / (n - 1)).astype(np.uint8)
        image = np.broadcast_to(ramp[:, None] if axis == 0 else ramp, size_px)
        arrived = np.asarray(preprocess(np.repeat(image[..., None], 3, axis=2)))[0].astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (arrived - black).sum(axis=1 - axis) / (white - black).sum(axis=1 - axis)
        # Padding and the ends, where interpolation bends the ramp, say nothing about its slope.
        place = np.arange(len(share))
        inner = np.isfinite(share) & (share > 0.1) & (share < 0.9)
        if inner.sum() < 2 or np.corrcoef(place[inner], share[inner])[0, 1] ** 2 < _LINEAR:
            return None
        slope = np.polyfit(place[inner], share[inner], 1)[0]
        extent.append(float(slope * len(share) * (n - 1) / n * size_dva[axis]))
    return (extent[0], extent[1]) if min(extent) > 0 else None
