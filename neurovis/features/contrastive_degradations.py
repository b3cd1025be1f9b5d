"""Degradations of small images, for training that survives generated pictures and for measuring it."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


def blur(images: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur with mirrored borders.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    sigma_px : float
        Positive standard deviation [px].
    """
    radius = max(1, round(3 * sigma_px))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_px) ** 2)
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1)
    padded = nn.functional.pad(images, (radius,) * 4, mode="reflect")
    across = nn.functional.conv2d(padded, kernel[:, :, None, :], groups=images.shape[1])
    return nn.functional.conv2d(across, kernel[:, :, :, None], groups=images.shape[1])


def squeeze(images: Tensor, factor: float) -> Tensor:
    """Detail lost as in the latent image of an autoencoder: made smaller and enlarged again.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        In [0, 1].
    factor : float
        Above 1.
    """
    size = images.shape[-2:]
    small = nn.functional.interpolate(
        images, scale_factor=1 / factor, mode="bilinear", antialias=True, align_corners=False
    )
    large = nn.functional.interpolate(small, size=size, mode="bicubic", align_corners=False)
    return large.clamp(0, 1)


def compress(images: Tensor, quality: int) -> Tensor:
    """Images as JPEG leaves them, with colour at half resolution.

    Parameters
    ----------
    images : Tensor of shape (n, 3, height, width)
        In [0, 1], on the CPU.
    quality : int
        Of JPEG, 1-95.
    """
    arrays = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    out = np.empty_like(arrays)
    for row, array in enumerate(arrays):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, format="JPEG", quality=quality)
        out[row] = np.asarray(Image.open(stream))
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255
