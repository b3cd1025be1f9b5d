"""Distilled single-neuron networks of macaque V4.

Cowley, Stan, Pillow & Smith (2023) Compact deep neural network models of visual cortex. bioRxiv
2023.11.22.568315. Architecture written from the layer list of the published state dicts; weights: GPL-3.0,
https://github.com/cowleygroup/V4_compact_models, not shipped here.

A network maps one image to one number; its mean and scale are arbitrary, so judge it by correlation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurovis.core import check_array

SIDE_PX = 112
_RGB_MEAN = (116.222, 109.270, 100.381)
_BATCH_NORM_EPSILON = 1e-3
_STRIDES = (2, 2, 1, 1)


class _SeparableBlock(nn.Module):
    """Depthwise 5x5 without bias, pointwise with bias, batch norm, ReLU."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.depth = nn.Conv2d(
            n_in, n_in, 5, stride, padding=0 if stride == 2 else 2, groups=n_in, bias=False
        )
        self.point = nn.Conv2d(n_in, n_out, 1)
        self.norm = nn.BatchNorm2d(n_out, eps=_BATCH_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        # The authors' framework pads a stride-2 "same" convolution on one side more than on the other.
        if self.stride == 2:
            x = functional.pad(x, (1, 3, 1, 3))
        return functional.relu(self.norm(self.point(self.depth(x))))


class CompactV4(nn.Module):
    """One neuron's network.

    Parameters
    ----------
    widths : tuple of int
        Channels after the first convolution and after each of the four separable blocks.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, padding=2)
        self.norm = nn.BatchNorm2d(widths[0], eps=_BATCH_NORM_EPSILON)
        self.blocks = nn.Sequential(
            *(
                _SeparableBlock(n_in, n_out, stride)
                for n_in, n_out, stride in zip(widths[:-1], widths[1:], _STRIDES, strict=True)
            )
        )
        self.readout = nn.Linear((SIDE_PX // 4) ** 2 * widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, 112, 112) in 0-255 to activity (n,)."""
        mean = torch.tensor(_RGB_MEAN, dtype=images.dtype, device=images.device)
        x = functional.relu(self.norm(self.stem(images - mean[:, None, None])))
        x = self.blocks(x)
        # The readout's weights run over height, width, channel.
        return self.readout(x.permute(0, 2, 3, 1).flatten(1))[:, 0]


def load_v4_compact(path: str | Path) -> CompactV4:
    """Load one published state dict.

    Parameters
    ----------
    path : path
        ``compact_model_<session>_neuron<k>.pt``.

    Returns
    -------
    CompactV4
        In single precision (the file holds doubles; correlations agree to 1e-4) and evaluation mode.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it is not a state dict of this architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no network at {path}; it belongs to the data set macaque_v4.")
    state = torch.load(path, weights_only=True, map_location="cpu")
    renamed = {_rename(name): value for name, value in state.items()}
    try:
        widths = (renamed["stem.bias"].shape[0], *(len(renamed[f"blocks.{i}.point.bias"]) for i in range(4)))
        network = CompactV4(widths)
        network.load_state_dict(renamed)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is not a compact V4 network ({error}); get the file again.") from error
    return network.eval()


def compute_v4_compact(network: CompactV4, images: NDArray[np.uint8], *, batch_size: int = 64) -> NDArray:
    """Activity of one network.

    Parameters
    ----------
    network : CompactV4
        From :func:`load_v4_compact`.
    images : uint8 array of shape (n, 112, 112, 3)
        RGB, 0-255.
    batch_size : int
        Images at a time.

    Returns
    -------
    array of shape (n,)
    """
    images = check_array(
        "images", images, shape=(None, SIDE_PX, SIDE_PX, 3), remedy="resize to 112 x 112 RGB"
    )
    outputs = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size]))
            outputs.append(network(batch.permute(0, 3, 1, 2).float()).numpy())
    return np.concatenate(outputs)


def _rename(name: str) -> str:
    """``layers.layer2_conv_depth.weight`` to ``blocks.1.depth.weight``, and so on."""
    part, _, kind = name.removeprefix("layers.").partition(".")
    if part == "Beta":
        return f"readout.{kind}"
    layer, _, what = part.removeprefix("layer").partition("_")
    if layer == "0":
        return f"{'norm' if what == 'bn' else 'stem'}.{kind}"
    role = {"conv_depth": "depth", "conv_point": "point", "bn": "norm"}[what]
    return f"blocks.{int(layer) - 1}.{role}.{kind}"
