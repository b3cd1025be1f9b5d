"""ResNet-20 for CIFAR-10 with real trained weights.

He et al. (2016) CVPR, section 4.2; weights from akamaster/pytorch_resnet_cifar10 (BSD-2-Clause). Shortcuts
subsample and pad channels with zeros (option A), so they have no parameters.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from neurovis.features.preprocessing import ImagePreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import find_weights, load_checkpoint

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PREPROCESS = ImagePreprocessing(resize=(32, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
DEFAULT_LAYERS = ("layer1", "layer2", "layer3")
_N_BLOCKS = 3


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a parameter-free shortcut."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.n_padded = stride, n_out - n_in
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, h, w) to (n, n_out, h / stride, w / stride)."""
        half = self.n_padded // 2
        shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, half))
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + shortcut)


class CifarResNet20(nn.Module):
    """Images (n, 3, 32, 32) to logits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _make_stage(16, 16, stride=1)
        self.layer2 = _make_stage(16, 32, stride=2)
        self.layer3 = _make_stage(32, 64, stride=2)
        self.linear = nn.Linear(64, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images that :data:`PREPROCESS` made, in the order of :data:`CLASSES`."""
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3)))


def _make_stage(n_in: int, n_out: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(n_in, n_out, stride)
    return nn.Sequential(first, *(BasicBlock(n_out, n_out, 1) for _ in range(_N_BLOCKS - 1)))


def load_cifar_resnet20(root: str | Path | None = None) -> CifarResNet20:
    """Network with the published weights; ``root`` and errors as in :func:`find_weights`."""
    return load_checkpoint(CifarResNet20(), find_weights("cifar-resnet20", root)).eval()


def make_cifar_resnet20(
    root: str | Path | None = None, *, layers: tuple[str, ...] = DEFAULT_LAYERS, pool: int | None = 4
) -> ModuleFeatures:
    """ResNet-20 as a feature space; images are resized to 32 x 32.

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
    return ModuleFeatures("cifar-resnet20", load_cifar_resnet20(root), layers, PREPROCESS, pool)
