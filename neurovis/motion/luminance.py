"""Luminance of RGB frames as the motion models take it: CIE L* under sRGB and D65, 0 to 100."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Y_WEIGHTS = (0.212671, 0.715160, 0.072169)  # of linear red, green and blue (ITU-R BT.709)
_LINEAR_BELOW = 0.008856  # of Y: CIE L* is linear there


def compute_luminance(frames: ArrayLike, *, dtype: str = "float32") -> NDArray:
    """CIE L* of 8-bit RGB frames.

    Parameters
    ----------
    frames : uint8 array of shape (..., height, width, 3)
        sRGB, 0-255.
    dtype : {"float32", "float64"}
        Of the result.

    Returns
    -------
    array of shape (..., height, width)
        0 (black) to 100 (white).

    Raises
    ------
    TypeError
        If the frames are not 8-bit numbers.
    ValueError
        If the last axis is not red, green and blue.
    """
    pixels = np.asarray(frames)
    if pixels.dtype != np.uint8:
        raise TypeError(
            f"frames must be uint8, got {pixels.dtype}; scale to 0-255 and convert, or pass luminance itself."
        )
    if pixels.ndim < 3 or pixels.shape[-1] != 3:
        raise ValueError(
            f"frames must have the shape (..., height, width, 3), got {pixels.shape}; repeat a grey channel "
            "three times or move the channels last."
        )
    code = np.arange(256) / 255
    linear = np.where(code < 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    # A table per channel: 8-bit codes take 256 values, powers are slow.
    red, green, blue = ((linear * weight).astype(dtype) for weight in _Y_WEIGHTS)
    luminance = red[pixels[..., 0]]
    luminance += green[pixels[..., 1]]
    luminance += blue[pixels[..., 2]]
    dark = luminance < _LINEAR_BELOW
    slope = 116 * 7.787 * luminance[dark] + (116 * 4 / 29 - 16)
    np.cbrt(luminance, out=luminance)
    luminance *= 116
    luminance -= 16
    luminance[dark] = slope
    return luminance
