"""The world judge: a classifier of the stimulus world's categories that nothing is ever guided by.

A plain stack of convolutions after Simonyan and Zisserman (2015, ICLR) with batch normalisation, so it
shares neither architecture nor scenes nor seeds with the networks that generate, encode or describe.
Trained by :mod:`neurovis.features.world_judge_training`.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.core import check_option, find_model
from neurovis.features.contrastive_scenes import CATEGORY_OF_SUBTYPE, SIZE_PX
from neurovis.features.weights import load_checkpoint
from neurovis.stimuli.world import CATEGORIES
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.models import check_model

CHANNELS = (24, 40, 80, 128)
"""Of the stem and of the three pairs of convolutions."""

LEVELS = {"category": CATEGORIES, "subtype": SUBTYPE_NAMES}
"""What :func:`classify_images` tells apart, and the names of its columns in order."""


class WorldJudge(nn.Module):
    """Images (n, 3, 64, 64) in [-1, 1] to logits of the dominant thing's subtype (n, 12)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolve(3, CHANNELS[0], 5, stride=2)]
        for n_in, n_out in itertools.pairwise(CHANNELS):
            layers += [_convolve(n_in, n_out, 3), nn.MaxPool2d(2), _convolve(n_out, n_out, 3)]
        self.stages = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.subtype = nn.Linear(CHANNELS[-1], len(SUBTYPE_NAMES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits; a category's probability is the sum of those of its two subtypes."""
        return self.subtype(self.dropout(self.stages(x).mean(dim=(2, 3))))


def load_world_judge(folder: str | Path | None = None) -> WorldJudge:
    """Trained judge from its folder, checked against the SHA-256 in its ``config.json``.

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
    _, weights = check_model(folder or find_model("world-judge"), trainer="train_world_judge")
    return load_checkpoint(WorldJudge(), weights).eval()


def classify_images(
    images: NDArray[np.uint8],
    *,
    level: str = "category",
    judge: nn.Module | None = None,
    batch_size: int = 100,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Probabilities of what the dominant thing of each image is.

    Parameters
    ----------
    images : array of shape (n, height, width, 3), uint8
        Square RGB images of any size from 16; resized to 64 x 64, the size of the training.
    level : {"category", "subtype"}
        Six categories or twelve subtypes.
    judge : WorldJudge, optional
        The shipped one by default.
    batch_size : int
        Images in one forward pass.
    device : str
        Torch device.

    Returns
    -------
    array of shape (n, 6) or (n, 12)
        Rows sum to 1; columns in the order of ``LEVELS[level]``.

    Raises
    ------
    TypeError
        If the images are not uint8.
    ValueError
        If the images are of another shape, ``batch_size`` is not positive or ``level`` is unknown.
    """
    check_option("level", level, LEVELS)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}; pass for example 100.")
    array = _check_images(images)
    network = (judge if judge is not None else _load_shipped()).to(device).eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(array), batch_size):
            batch = to_input(torch.from_numpy(array[start : start + batch_size]).to(device))
            parts.append(network(batch).softmax(dim=1).cpu().numpy())
    subtypes = np.concatenate(parts)
    return subtypes if level == "subtype" else sum_subtypes(subtypes)


def sum_subtypes(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Probabilities of subtypes (n, 12) to those of categories (n, 6)."""
    out = np.zeros((len(probabilities), len(CATEGORIES)), dtype=np.float32)
    for column, category in enumerate(CATEGORY_OF_SUBTYPE):
        out[:, category] += probabilities[:, column]
    return out


def to_input(images: Tensor) -> Tensor:
    """uint8 (n, height, width, 3) to the network's input (n, 3, 64, 64)."""
    x = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    if x.shape[-1] != SIZE_PX:
        x = nn.functional.interpolate(
            x, size=(SIZE_PX, SIZE_PX), mode="bilinear", antialias=True, align_corners=False
        )
    return x


def _check_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    array = np.asarray(images)
    if array.dtype != np.uint8:
        raise TypeError(
            f"images must be uint8 from 0 to 255, got {array.dtype}; convert floats of [0, 1] by "
            "(images * 255).round().astype('uint8')."
        )
    if array.ndim != 4 or array.shape[3] != 3 or array.shape[1] != array.shape[2] or array.shape[1] < 16:
        raise ValueError(
            "images must be of shape (n, height, width, 3), square and at least 16 px wide, got "
            f"{array.shape}; crop or stack them first."
        )
    if not len(array):
        raise ValueError(f"images must hold at least one image, got shape {array.shape}; pass some.")
    return array


@lru_cache(maxsize=1)
def _load_shipped() -> WorldJudge:
    return load_world_judge()


def _convolve(n_in: int, n_out: int, size: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
    )
