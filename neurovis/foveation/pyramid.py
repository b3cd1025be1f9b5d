"""Images at octave-spaced resolutions, sampled with a resolution of its own for every row of a grid.

Williams (1983) Pyramidal parametrics, SIGGRAPH: trilinear interpolation between levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def build_pyramid(images: Tensor, n_levels: int) -> list[Tensor]:
    """Images (n, c, side, side) and ``n_levels - 1`` halvings of them by 2 x 2 means.

    Odd sides are continued by one replicated row and column before they are halved.
    """
    levels = [images]
    while len(levels) < n_levels:
        finer = levels[-1]
        odd = finer.shape[-1] % 2
        if odd:
            finer = nn.functional.pad(finer, (0, 1, 0, 1), mode="replicate")
        levels.append(nn.functional.avg_pool2d(finer, 2))
    return levels


def sample_pyramid(images: Tensor, grid: Tensor, spacing_px: Sequence[float], *, outside: str) -> Tensor:
    """Sample images at the resolution that the distance between samples asks for.

    Parameters
    ----------
    images : Tensor of shape (n, c, side, side)
    grid : Tensor of shape (n, k, rows, columns, 2)
        Normalised (x, y).
    spacing_px : sequence of float, of length rows
        Distance between neighbouring samples of each row [px]; 1 and less read the image itself.
    outside : {"zeros", "border"}
        What lies beyond the image, as in torch's ``grid_sample``.

    Returns
    -------
    Tensor of shape (n, k, c, rows, columns)
    """
    (n, n_channels, side, _), (k, n_rows, n_columns) = images.shape, grid.shape[1:4]
    # Below 2 px there is nothing to halve.
    coarsest = max(0, math.floor(math.log2(side)) - 1)
    level = torch.tensor([min(max(0.0, math.log2(spacing)), coarsest) for spacing in spacing_px])
    out = images.new_zeros(n, n_channels, k, n_rows, n_columns)
    for number, plane in enumerate(build_pyramid(images, math.ceil(float(level.max())) + 1)):
        weight = (1 - (level - number).abs()).clamp(min=0)
        rows = torch.nonzero(weight)[:, 0].to(grid.device)
        if not len(rows):
            continue
        # A padded level is a little wider than the image.
        scale = side / (2**number * plane.shape[-1])
        places = (grid.index_select(2, rows) + 1) * scale - 1
        values = nn.functional.grid_sample(
            plane, places.flatten(1, 2), mode="bilinear", padding_mode=outside, align_corners=False
        ).view(n, n_channels, k, len(rows), n_columns)
        share = weight[weight > 0].to(values)[:, None]
        out = out.index_add(3, rows, values * share)
    return out.transpose(1, 2)
