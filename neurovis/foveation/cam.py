"""Grad-CAM of a classifier with an eye, mapped back to the image that it looked at.

Selvaraju et al. (2017) ICCV. arXiv 2402.15480 compares it with likelihood maps after an inverse
log-polar lookup: ``classifier.retina.invert(cam, fixations, side_px=...)``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from neurovis.core import check_array
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.points import check_points


def compute_grad_cam(
    classifier: FoveatedClassifier,
    images: Tensor,
    labels: ArrayLike,
    *,
    layer: str,
    fixations: ArrayLike | None = None,
) -> Tensor:
    """Where in its retinal image a layer speaks for a class.

    Parameters
    ----------
    classifier : FoveatedClassifier
        Put into evaluation mode.
    images : Tensor of shape (n, channels, height, width)
    labels : array of int of shape (n,)
        Classes to explain.
    layer : str
        Dotted name of a layer of the backbone whose output is a map (n, c, rows, columns), e.g. ``"layer4"``
        of a ResNet.
    fixations : array of shape (n, 2), optional
        The middle by default.

    Returns
    -------
    Tensor of shape (n, 1, rows, columns)
        Non-negative; the sum over channels of the map times the mean gradient of the class's logit.

    Raises
    ------
    ValueError
        If the layer does not exist or gives no map, or the labels do not fit.
    """
    modules = dict(classifier.backbone.named_modules())
    if layer not in modules or not layer:
        raise ValueError(
            f"layer must be one of the backbone's, got {layer!r}; the last ones are "
            f"{', '.join(list(modules)[-6:])}."
        )
    wanted = torch.from_numpy(
        check_array("labels", labels, shape=(len(images),), minimum=0, dtype=np.int64)
    ).to(images.device)
    points = check_points(fixations, images)[:, 0]
    captured: list[Tensor] = []
    handle = modules[layer].register_forward_hook(lambda _module, _inputs, output: captured.append(output))
    classifier.eval()
    try:
        with torch.enable_grad():
            logits = classifier(images.detach().requires_grad_(), points)
    finally:
        handle.remove()
    if len(captured) != 1 or not isinstance(captured[0], Tensor) or captured[0].ndim != 4:
        raise ValueError(
            f"layer must give one map (n, channels, rows, columns), got {len(captured)} output(s) of another "
            f"kind from {layer!r}; choose a convolutional stage."
        )
    if int(wanted.max()) >= logits.shape[1]:
        raise ValueError(f"labels must be below {logits.shape[1]}, got {int(wanted.max())}; check them.")
    chosen = logits.gather(1, wanted[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, captured[0])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * captured[0].detach()).sum(dim=1, keepdim=True).clamp(min=0)
