"""Worldnet: a small residual network trained on the stimulus world, whose weights ship with neurovis.

Residual blocks after He et al. (2016, CVPR); a map head over several stages after Lin et al. (2017, CVPR).
Trained by :mod:`neurovis.features.worldnet_training` to say where and how much of each of twelve things is
seen, where the main one lies and what colour it has.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from neurovis.core import find_model
from neurovis.features.preprocessing import ImagePreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import load_checkpoint
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.models import check_model

CHANNELS = (20, 32, 40, 80, 96)
"""Of the stem and the four stages."""

DEFAULT_LAYERS = ("stage2", "stage3", "stage4", "maps", "pooled")
_N_MAP_CHANNELS = 40


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a 1x1 shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, h, w) to (n, n_out, h / stride, w / stride)."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class MapHead(nn.Module):
    """Share of each place that each subtype covers, from three stages brought to one size."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(n, _N_MAP_CHANNELS, 1) for n in channels)
        self.bn = nn.BatchNorm2d(_N_MAP_CHANNELS)
        self.conv = nn.Conv2d(_N_MAP_CHANNELS, _N_MAP_CHANNELS, 3, padding=1)
        self.logits = nn.Conv2d(_N_MAP_CHANNELS, len(SUBTYPE_NAMES), 1)

    def forward(self, stages: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Three stages, finest first, to logits (n, 12, h, w) at the finest one's size."""
        size = stages[0].shape[-2:]
        merged = sum(
            nn.functional.interpolate(lateral(stage), size=size, mode="bilinear", align_corners=False)
            for lateral, stage in zip(self.lateral, stages, strict=True)
        )
        return self.logits(torch.relu(self.conv(torch.relu(self.bn(merged)))))


class Worldnet(nn.Module):
    """Images (n, 3, height, width) in [-1, 1], sides divisible by 16, to a dictionary of estimates."""

    def __init__(self) -> None:
        super().__init__()
        stem, *stages = CHANNELS
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 5, 2, padding=2, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        )
        self.stage1 = ResidualBlock(stem, stages[0], 2)
        self.stage2 = ResidualBlock(stages[0], stages[1], 1)
        self.stage3 = ResidualBlock(stages[1], stages[2], 2)
        self.stage4 = ResidualBlock(stages[2], stages[3], 2)
        self.map_head = MapHead((stages[1], stages[2], stages[3]))
        self.maps = nn.Sigmoid()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.pooled = nn.Flatten()
        self.presence = nn.Linear(stages[3], len(SUBTYPE_NAMES))
        self.area = nn.Linear(stages[3], len(SUBTYPE_NAMES))
        self.main = nn.Linear(stages[3], 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Estimates of what is seen.

        Returns
        -------
        dict of str to Tensor
            ``map_logits`` (n, 12, h / 4, w / 4); ``maps``, their sigmoid: the share of each place that is
            covered; ``presence`` (n, 12), logits; ``area`` (n, 12), square roots of shares of the image;
            ``main`` (n, 5), the main thing's place (x, y, shares of the image) and mean colour (RGB, 0-1).
        """
        two = self.stage2(self.stage1(self.stem(x)))
        three = self.stage3(two)
        four = self.stage4(three)
        logits = self.map_head((two, three, four))
        pooled = self.pooled(self.pool(four))
        return {
            "map_logits": logits, "maps": self.maps(logits), "presence": self.presence(pooled),
            "area": self.area(pooled), "main": self.main(pooled),
        }  # fmt: skip


def load_worldnet(folder: str | Path | None = None) -> Worldnet:
    """Trained network from its folder, checked against the SHA-256 in its ``config.json``.

    Parameters
    ----------
    folder : path, optional
        Folder of ``weights.safetensors`` and ``config.json``; the model shipped with neurovis by default.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the weights are not those of the description.
    """
    _, weights = check_model(folder or find_model("worldnet"), trainer="train_worldnet")
    return load_checkpoint(Worldnet(), weights).eval()


def make_worldnet(
    folder: str | Path | None = None,
    *,
    layers: tuple[str, ...] = DEFAULT_LAYERS,
    pool: int | None = 4,
    size_px: int = 64,
) -> ModuleFeatures:
    """Worldnet as a feature space.

    Parameters
    ----------
    folder : path, optional
        As in :func:`load_worldnet`.
    layers : tuple of str
        Default layers, of ``stem``, ``stage1`` to ``stage4``, ``maps`` and ``pooled``.
    pool : int, optional
        Places kept along each side of a map.
    size_px : int
        Images are resized to this side; a multiple of 16, trained at 64.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_worldnet`, and if ``size_px`` is not a positive multiple of 16.
    """
    if size_px < 16 or size_px % 16:
        raise ValueError(f"size_px must be a positive multiple of 16, got {size_px}; pass for example 64.")
    preprocess = ImagePreprocessing(resize=(size_px, size_px), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return ModuleFeatures("worldnet", load_worldnet(folder), layers, preprocess, pool)
