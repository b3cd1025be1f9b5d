"""Appearances of objects as vectors: convolutions over crops, or nothing; see :mod:`neurovis.gaze.oat`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_CROP_CHANNELS = (16, 32)
# Without centring, what all crops share hides in what they differ: after 400 steps among things of the world
# the cross-entropy is 1.57 instead of 1.26 nats, and the target is not recognised.
_CROP_MEAN, _CROP_SD = 127.5, 64.0


class CropEncoder(nn.Module):
    """Crops (n, height, width, 3) uint8 to vectors (n, n_out): two convolutions, pooling and a linear map."""

    def __init__(self, n_out: int, crop_px: tuple[int, int], pyramid_levels: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _CROP_CHANNELS[0], 5)
        self.conv2 = nn.Conv2d(_CROP_CHANNELS[0], _CROP_CHANNELS[1], 3)
        self.pyramid_levels = int(pyramid_levels)
        height, width = (((side - 4) // 5 - 2) // (1 if pyramid_levels else 3) for side in crop_px)
        if min(height, width) < 1:
            raise ValueError(
                f"crop_px must leave something after two convolutions and poolings, got {crop_px}; pass at "
                "least (29, 29), or (19, 19) with pyramid_levels."
            )
        n_places = sum(4**level for level in range(self.pyramid_levels)) or height * width
        self.out = nn.Linear(n_places * _CROP_CHANNELS[1], n_out)

    def forward(self, crops: Tensor) -> Tensor:
        """Crops 0-255 are centred and scaled here, once, for every data set."""
        x = (crops.movedim(-1, 1).to(self.out.weight.dtype) - _CROP_MEAN) / _CROP_SD
        x = functional.max_pool2d(torch.relu(self.conv1(x)), 5)
        x = torch.relu(self.conv2(x))
        if self.pyramid_levels == 0:
            return self.out(functional.max_pool2d(x, 3).flatten(1))
        levels = [functional.adaptive_max_pool2d(x, 2**level) for level in range(self.pyramid_levels)]
        return self.out(torch.cat([level.flatten(1) for level in levels], dim=1))


class BlindEncoder(nn.Module):
    """Every appearance (n, ...) to zeros (n, n_out): the ablation without appearance."""

    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.n_out = n_out

    def forward(self, bank: Tensor) -> Tensor:
        """Only the number of appearances is read."""
        return torch.zeros(len(bank), self.n_out, device=bank.device)
