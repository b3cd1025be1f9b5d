"""Convolution stacks without their pools: VGG-16 in three origins, and any network that pools between stages.

Simonyan & Zisserman (2015) Very deep convolutional networks for large-scale image recognition. ICLR.
The search models put pools of their own between the stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.core import check_array, find_model, import_optional
from neurovis.features.weights import build_pretrained, load_checkpoint
from neurovis.training.models import check_model

N_CONVS = (2, 2, 3, 3, 3)
"""Convolutions of the five stages."""

VGG16_WIDTHS = (64, 128, 256, 512, 512)
VGG_WORLD_WIDTHS = (8, 16, 32, 64, 64)
"""Channels of the five stages of VGG-16, and of the network that ships with neurovis: an eighth."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
# Means that Caffe, and after it Keras, subtracts from 0-255 (RGB here).
_CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)


@dataclass(frozen=True)
class Backbone:
    """Stages of a network, between which the search model pools.

    Parameters
    ----------
    name : str
        Name of the network and its weights.
    stages : torch.nn.ModuleList
        Each maps (n, c, h, w) to (n, c', h, w): same size, since pools between the stages halve it. Set to
        evaluation mode.
    mean, std : tuple of float
        Of the RGB channels in 0-1, taken off and divided by before the first stage.

    Examples
    --------
    Own stages, here of a residual network: strides of the stages go, the search model's pools take their
    place, and the comparison uses the last three of as many stages as there are::

        network = torchvision.models.resnet18(weights="DEFAULT").eval()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
        stages = nn.ModuleList([
            nn.Sequential(network.conv1, network.bn1, network.relu), nn.Identity(),
            network.layer1, network.layer2, network.layer3,
        ])
        backbone = Backbone("resnet18", stages, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

    The weights of such a network were trained with strides, not with pools; the effect is not known.
    """

    name: str
    stages: nn.ModuleList
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if len(self.stages) < 2:
            raise ValueError(
                f"stages must be at least 2, got {len(self.stages)}; pass the parts between the pools."
            )
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}; pass that of the channels in 0-1.")
        self.stages.eval()

    def prepare(self, images: NDArray[np.uint8]) -> Tensor:
        """Images (n, height, width, 3), 0-255, to the input of the first stage (n, 3, height, width).

        Raises
        ------
        TypeError
            If the images are not uint8.
        ValueError
            If they are not RGB.
        """
        images = check_array("images", images, shape=(None, None, None, 3))
        if images.dtype != np.uint8:
            raise TypeError(f"images must be uint8 in 0-255, got {images.dtype}; convert them first.")
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels / 255 - mean) / std


def make_vgg_stages(widths: Sequence[int] = VGG16_WIDTHS, *, batch_norm: bool = False) -> nn.ModuleList:
    """Five stages of 3x3 convolutions with ReLU, laid out as VGG-16, with random weights.

    Parameters
    ----------
    widths : sequence of int
        Channels of the five stages.
    batch_norm : bool
        Put batch normalisation behind every convolution, which then has no bias.
    """
    widths = check_array("widths", widths, shape=(len(N_CONVS),), minimum=1).tolist()
    stages, n_in = nn.ModuleList(), 3
    for width, n_convs in zip(widths, N_CONVS, strict=True):
        layers: list[nn.Module] = []
        for _ in range(n_convs):
            layers.append(nn.Conv2d(n_in, width, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            n_in = width
        stages.append(nn.Sequential(*layers))
    return stages


def split_at_pools(features: nn.Sequential) -> nn.ModuleList:
    """Stages of a network given as one sequence with pools, e.g. ``features`` of any VGG or AlexNet.

    The pools are left out, and so is what follows the last one.

    Parameters
    ----------
    features : torch.nn.Sequential
        Of torchvision or timm.

    Raises
    ------
    ValueError
        If there is no pool.
    """
    stages = nn.ModuleList()
    layers: list[nn.Module] = []
    for layer in features:
        if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            stages.append(nn.Sequential(*layers))
            layers = []
        else:
            layers.append(layer)
    if not len(stages):
        raise ValueError("features must hold pools to split at, got none; write the list of stages by hand.")
    return stages


def load_vgg_world(folder: str | Path | None = None) -> Backbone:
    """The narrow VGG-16 trained on the stimulus world that ships with neurovis.

    Parameters
    ----------
    folder : path, optional
        Folder of ``weights.safetensors`` and ``config.json``; the shipped model by default.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the weights are not those of the description.
    """
    config, weights = check_model(folder or find_model("vgg-world"), trainer="train_vgg_world")
    stages = load_checkpoint(make_vgg_stages(config["widths"]), weights)
    return Backbone(config["name"], stages)


def load_torchvision_vgg(
    model: str = "vgg16", *, pretrained: bool = True, checkpoint: str | Path | None = None
) -> Backbone:
    """A VGG of torchvision, e.g. VGG-16 trained on ImageNet.

    Parameters
    ----------
    model : str
        ``"vgg16"`` or another network of torchvision with ``features``.
    pretrained : bool
        Use torchvision's default weights, downloaded once by torchvision.
    checkpoint : path, optional
        Local weights instead.

    Raises
    ------
    FileNotFoundError
        If the weights are not here and cannot be fetched.

    Notes
    -----
    The authors used the Keras weights, whose input is mean-subtracted only (:func:`load_keras_vgg16`);
    torchvision's were trained anew, with ImageNet's mean and standard deviation. Layers are numbered alike:
    convolutions and pools counted from 1, so that the last convolutions of stages 3, 4 and 5 are layers 9,
    13 and 17, and the pools behind them 10, 14 and 18.
    """
    models: Any = import_optional("torchvision.models", extra="torch")
    if checkpoint is not None or not pretrained:
        network = models.get_model(model, weights=None)
        if checkpoint is not None:
            network = load_checkpoint(network, checkpoint)
    else:
        weights = models.get_model_weights(model).DEFAULT
        network = build_pretrained(
            lambda: models.get_model(model, weights=weights), name=f"torchvision:{model}", origin=weights.url,
            remedy="download that file elsewhere and pass it as checkpoint, or use vgg-world, which ships "
            "with neurovis",
        )  # fmt: skip
    return Backbone(f"torchvision:{model}", split_at_pools(network.features), _IMAGENET_MEAN, _IMAGENET_STD)


def load_keras_vgg16(path: str | Path) -> Backbone:
    """VGG-16 from a weights file of Keras (``.h5``), the format of the authors' networks.

    Parameters
    ----------
    path : path
        Groups ``block1_conv1`` to ``block5_conv3``, each with a kernel (3, 3, in, out) and a bias; other
        groups are not read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a layer is missing or has another shape.

    Notes
    -----
    Input is BGR with Caffe's means taken off and not scaled. Here the kernels of the first layer are turned
    round instead, so that images stay RGB.
    """
    h5py: Any = import_optional("h5py", extra="fmri")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; check the path.")
    found: dict[str, dict[int, NDArray]] = {}
    with h5py.File(path, "r") as file:

        def collect(name: str, entry: Any) -> None:
            layer = next((part for part in name.split("/") if part.startswith("block")), None)
            if layer is not None and isinstance(entry, h5py.Dataset):
                found.setdefault(layer, {})[entry.ndim] = entry[()]

        file.visititems(collect)
    widths = []
    for stage in range(1, len(N_CONVS) + 1):
        first = found.get(f"block{stage}_conv1", {})
        if set(first) != {1, 4}:
            raise ValueError(
                f"{path} must hold kernel and bias of block{stage}_conv1, got {sorted(found)}; pass the "
                "weights of a VGG-16 of Keras."
            )
        widths.append(len(first[1]))
    stages = make_vgg_stages(widths)
    for number, block in enumerate(stages, start=1):
        layers = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
        for place, layer in enumerate(layers, start=1):
            name = f"block{number}_conv{place}"
            arrays = found.get(name, {})
            kernel = arrays.get(4, np.empty((0,) * 4)).transpose(3, 2, 0, 1)
            if kernel.shape != tuple(layer.weight.shape) or 1 not in arrays:
                raise ValueError(
                    f"{name} of {path} must have a bias and a kernel (3, 3, in, out) that fits "
                    f"{tuple(layer.weight.shape)} (out, in, 3, 3), got {kernel.shape}; pass the weights of a "
                    "VGG-16 of Keras."
                )
            if name == "block1_conv1":
                kernel = kernel[:, ::-1]
            weights = {"weight": np.array(kernel, np.float32), "bias": np.array(arrays[1], np.float32)}
            layer.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return Backbone(path.stem, stages, _CAFFE_MEAN, (1 / 255, 1 / 255, 1 / 255))


def fold_batch_norm(stages: nn.ModuleList) -> nn.ModuleList:
    """The same stages without batch normalisation, which goes into the convolutions before it.

    Parameters
    ----------
    stages : torch.nn.ModuleList
        Of :func:`make_vgg_stages` with ``batch_norm``, trained, in evaluation mode.
    """
    folded = nn.ModuleList()
    for stage in stages:
        layers: list[nn.Module] = []
        parts = list(stage.children())
        for conv, norm in zip(parts[0::3], parts[1::3], strict=True):
            layers += [nn.utils.fusion.fuse_conv_bn_eval(conv, norm), nn.ReLU(inplace=True)]  # type: ignore[arg-type, type-var]
        folded.append(nn.Sequential(*layers))
    return folded.requires_grad_(False)
