"""SqueezeNet v1.0 with the weights of Deep Compression.

Iandola et al. (2016) arXiv:1602.07360; weights pruned and quantised by Han, Mao & Dally (2016, ICLR), from
songhan/SqueezeNet-Deep-Compression (BSD-2-Clause). Input convention and padding are those of the Caffe model
the weights belong to, not torchvision's: BGR, 0-255, and a padded final 1x1 convolution.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from neurovis.features.preprocessing import ImagePreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import find_weights
from neurovis.io.arrays import read_npz

N_CLASSES = 1000
PREPROCESS = ImagePreprocessing(resize=(256, 256), crop=227, mean=(123.0, 117.0, 104.0), scale=1.0, bgr=True)
DEFAULT_LAYERS = ("pool1", "fire3", "fire5", "fire7", "fire9")


class Fire(nn.Module):
    """Squeeze by 1x1, then expand by 1x1 and 3x3 side by side."""

    def __init__(self, n_in: int, n_squeeze: int, n_expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(n_in, n_squeeze, 1)
        self.expand1x1 = nn.Conv2d(n_squeeze, n_expand, 1)
        self.expand3x3 = nn.Conv2d(n_squeeze, n_expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, h, w) to (n, 2 * n_expand, h, w)."""
        squeezed = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1))


class SqueezeNet(nn.Module):
    """Images (n, 3, 227, 227) to logits (n, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        self.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        # Channels in, squeezed, and of each of the two expansions: Table 1 of the paper.
        self.fire2 = Fire(96, 16, 64)
        self.fire3 = Fire(128, 16, 64)
        self.fire4 = Fire(128, 32, 128)
        self.pool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.fire5 = Fire(256, 32, 128)
        self.fire6 = Fire(256, 48, 192)
        self.fire7 = Fire(384, 48, 192)
        self.fire8 = Fire(384, 64, 256)
        self.pool8 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.fire9 = Fire(512, 64, 256)
        self.conv_final = nn.Conv2d(512, N_CLASSES, 1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images that :data:`PREPROCESS` made."""
        x = self.pool1(torch.relu(self.conv1(x)))
        x = self.pool4(self.fire4(self.fire3(self.fire2(x))))
        x = self.pool8(self.fire8(self.fire7(self.fire6(self.fire5(x)))))
        return torch.relu(self.conv_final(self.fire9(x))).mean(dim=(2, 3))


def load_squeezenet(root: str | Path | None = None) -> SqueezeNet:
    """Network with the published weights; ``root`` and errors as in :func:`find_weights`."""
    model = SqueezeNet()
    names = {"conv1": "conv1", "conv_final": "conv_final"}
    for number in range(2, 10):
        for ours, theirs in (("squeeze", "1x1_1"), ("expand1x1", "1x1_2"), ("expand3x3", "3x3_2")):
            names[f"fire{number}.{ours}"] = f"fire{number}/conv{theirs}"
    wanted = [f"{theirs}/{kind}" for theirs in names.values() for kind in ("weight", "bias")]
    arrays = read_npz(find_weights("squeezenet", root), wanted)
    state = {
        f"{ours}.{kind}": torch.from_numpy(arrays[f"{theirs}/{kind}"])
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }
    model.load_state_dict(state)
    return model.eval()


def make_squeezenet(
    root: str | Path | None = None, *, layers: tuple[str, ...] = DEFAULT_LAYERS, pool: int | None = 3
) -> ModuleFeatures:
    """SqueezeNet as a feature space (names ``conv1``, ``pool1``, ``fire2`` to ``fire9``, ``output`` ...).

    Parameters
    ----------
    root : path, optional
        Folder that holds ``pretrained_nets``.
    layers : tuple of str
        Default layers.
    pool : int, optional
        Places kept along each side of a map.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`neurovis.features.weights.find_weights`.
    """
    return ModuleFeatures("squeezenet", load_squeezenet(root), layers, PREPROCESS, pool)
