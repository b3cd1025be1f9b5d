"""Feature spaces of torch modules as differentiable functions of images or clips, to guide and to train."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurovis.features.arrays import choose_layers
from neurovis.features.capture import OUTPUT, capture_layers, check_layers, store_output
from neurovis.features.huggingface import FrameProcessor
from neurovis.features.preprocessing import ImagePreprocessing, LibraryPreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.video import VideoFeatures

_TO_TENSOR = ("ToTensor", "MaybeToTensor", "MaybeConvertMode")
_ON_TENSORS = ("Resize", "CenterCrop", "Normalize", "ImageClassification")
_MAX_PIXEL = 255
_ROUNDING = 0.02
"""Largest difference from a processor's own result, for rounded pixels, as a share of its range."""


class DifferentiableFeatures(nn.Module):
    """Images or clips to the joined features of some layers of a feature space.

    Parameters
    ----------
    extractor : ModuleFeatures or VideoFeatures
        The feature space; its module is shared.
    layers : sequence of str
        Layers, joined in this order.
    prepare : callable
        Images (n, 3, height, width) in [0, 1] to the network's input.
    """

    def __init__(
        self,
        extractor: ModuleFeatures | VideoFeatures,
        layers: Sequence[str],
        prepare: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.module = extractor.module
        self.layers = tuple(layers)
        self.prepare = prepare
        self.is_video = isinstance(extractor, VideoFeatures)
        self._reduction = extractor.reduction
        self._precision = extractor.execution.precision

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, height, width), or clips (n, frames, 3, height, width), in [0, 1] to features.

        Returns
        -------
        Tensor of shape (n, n_features)

        Raises
        ------
        ValueError
            If the input is of another shape, or a layer is not reached.
        """
        n_dims, shape = (
            (5, "(n, frames, 3, height, width)") if self.is_video else (4, "(n, 3, height, width)")
        )
        if images.ndim != n_dims or images.shape[-3] != 3:
            raise ValueError(f"images must have shape {shape}, got {tuple(images.shape)}; move the channels.")
        if not self.is_video:
            return self.encode(self.prepare(images))
        frames = self.prepare(images.flatten(0, 1))
        return self.encode(frames.unflatten(0, images.shape[:2]))

    def encode(self, x: Tensor) -> Tensor:
        """The network's own input, preprocessed already, to features (n, n_features).

        Raises
        ------
        ValueError
            If a layer is not reached.
        """
        half = self._precision != "float32"
        cast = torch.autocast(x.device.type, getattr(torch, self._precision)) if half else nullcontext()
        with cast, capture_layers(self.module, self.layers, keep_graph=True) as captured:
            output = self.module(x)
            wanted = [layer for layer in self.layers if layer.split("#")[0] == OUTPUT]
            store_output(captured, OUTPUT, wanted, output, keep_graph=True)
        missing = [layer for layer in self.layers if layer not in captured]
        if missing:
            raise ValueError(f"layer {missing[0]!r} did not run in the forward pass; choose another.")
        height, width = x.shape[-2:]
        parts = [
            self._reduction.reduce(captured[layer], layer=layer, n_rows=len(x), input_px=(height, width))[0]
            for layer in self.layers
        ]
        return torch.cat(parts, dim=1)


def make_differentiable(
    extractor: ModuleFeatures | VideoFeatures,
    *,
    layers: Sequence[str] | None = None,
    antialias: bool = True,
) -> DifferentiableFeatures:
    """A feature space as a differentiable function of images or of clips.

    Parameters
    ----------
    extractor : ModuleFeatures or VideoFeatures
        Of open_clip, timm, torchvision, transformers, worldnet or any torch module, with the preprocessing of
        one of these or :class:`~neurovis.features.preprocessing.ImagePreprocessing`.
    layers : sequence of str, optional
        Layers, joined in this order; default those of the extractor.
    antialias : bool
        Whether a smaller size is reached through averages, as the extractor's own resizing of uint8 images
        does. Without it (the published BrainDiVE) fine detail that the training never showed reaches the
        network, and guidance may exploit it.

    Returns
    -------
    torch.nn.Module
        Images (n, 3, height, width), or clips (n, frames, 3, height, width) of as many frames as the
        extractor's sampling takes, in [0, 1] to features (n, n_features) in float32 at least.

    Raises
    ------
    TypeError
        If the feature space or its preprocessing is of another kind.
    ValueError
        If a layer does not exist.

    Notes
    -----
    Images of the size at which the extractor resizes nothing give its own numbers. Others differ by the
    rounding of its resized pixels to 0-255. The module is the extractor's own, in evaluation mode, and its
    parameters no longer need gradients; an extractor in half precision runs in it here too.
    """
    if not isinstance(extractor, (ModuleFeatures, VideoFeatures)):
        raise TypeError(
            f"extractor must be ModuleFeatures or VideoFeatures, got {type(extractor).__name__}; only "
            "feature spaces of torch modules have a gradient."
        )
    wanted = extractor.layers if layers is None else choose_layers(layers, layers, name=extractor.name)
    check_layers(extractor.module, wanted, extractor.name)
    prepare = make_tensor_preprocessing(extractor.preprocess, antialias=antialias)
    return DifferentiableFeatures(extractor, wanted, prepare).requires_grad_(False).eval()


def make_tensor_preprocessing(preprocess: Any, *, antialias: bool = True) -> Callable[[Tensor], Tensor]:
    """The same preprocessing for batches of images (n, 3, height, width) in [0, 1], differentiable.

    Parameters
    ----------
    preprocess : ImagePreprocessing, LibraryPreprocessing or FrameProcessor
        Of single uint8 images, or of frames.
    antialias : bool
        As in :func:`make_differentiable`.

    Raises
    ------
    TypeError
        If it is of another kind, or a library's with a step that is not known here.
    """
    if isinstance(preprocess, ImagePreprocessing):
        return _make_own(preprocess, antialias)
    if isinstance(preprocess, LibraryPreprocessing):
        return _make_library(preprocess.transform, antialias)
    if isinstance(preprocess, FrameProcessor):
        return _make_processor(preprocess, antialias)
    raise TypeError(
        "preprocess must be ImagePreprocessing, LibraryPreprocessing or FrameProcessor, got "
        f"{type(preprocess).__name__}; write it as ImagePreprocessing."
    )


def _make_own(preprocess: ImagePreprocessing, antialias: bool) -> Callable[[Tensor], Tensor]:
    scale = _MAX_PIXEL * preprocess.scale

    def prepare(images: Tensor) -> Tensor:
        x, before = images, (images.shape[-2], images.shape[-1])
        size = preprocess.find_size(before)
        if size != before:
            x = nn.functional.interpolate(x, size=size, mode="bilinear", antialias=antialias)
        if preprocess.crop is not None:
            top, left = preprocess.find_corner(size)
            x = x[..., top : top + preprocess.crop, left : left + preprocess.crop]
        mean, std = (x.new_tensor(numbers)[:, None, None] for numbers in (preprocess.mean, preprocess.std))
        x = (x * scale - mean) / std
        return x.flip(1) if preprocess.bgr else x

    return prepare


def _make_library(transform: Any, antialias: bool) -> Callable[[Tensor], Tensor]:
    """The steps of torchvision take tensors too; those that only make tensors of images are left out."""
    steps = []
    for step in getattr(transform, "transforms", [transform]):
        kind = type(step).__name__
        if kind in _TO_TENSOR or getattr(step, "__name__", "") == "_convert_to_rgb":
            continue
        if kind not in _ON_TENSORS:
            raise TypeError(
                f"preprocess must consist of the steps {', '.join(_ON_TENSORS)}, got {kind}; write it as "
                "ImagePreprocessing."
            )
        own = copy.copy(step)
        if hasattr(own, "antialias"):
            own.antialias = antialias
        steps.append(own)

    def prepare(images: Tensor) -> Tensor:
        for step in steps:
            images = step(images)
        return images

    return prepare


def _make_processor(preprocess: FrameProcessor, antialias: bool) -> Callable[[Tensor], Tensor]:
    """The usual steps of the processors of transformers, found to be all that this one does."""
    processor = preprocess.processor

    def prepare(images: Tensor, antialias: bool = antialias) -> Tensor:
        x = images * _MAX_PIXEL
        if getattr(processor, "do_resize", False):
            x = processor.resize(x, processor.size, processor.resample, antialias=antialias)
        if getattr(processor, "do_center_crop", False):
            x = processor.center_crop(x, processor.crop_size)
        return processor.rescale_and_normalize(
            x, processor.do_rescale, processor.rescale_factor, processor.do_normalize,
            processor.image_mean, processor.image_std,
        )  # fmt: skip

    # Some processors crop or pad in a way of their own: smooth pictures tell them apart, whatever the size.
    rows, columns = np.mgrid[:48, :64] / 64
    probe = (255 * np.stack([rows, columns, rows * columns], axis=-1)).astype(np.uint8)
    try:
        expected = preprocess([probe] if preprocess.is_clip else probe).reshape(1, 3, -1)
        found = prepare(torch.from_numpy(probe).permute(2, 0, 1)[None] / _MAX_PIXEL, True).reshape(1, 3, -1)
        same = found.shape == expected.shape and bool(
            (found - expected).abs().max() <= _ROUNDING * (expected.max() - expected.min())
        )
    except AttributeError:
        same = False
    if not same:
        raise TypeError(
            f"preprocess must resize, crop and normalise only, got {type(processor).__name__}, which does "
            "something else; write it as ImagePreprocessing."
        )
    return prepare
