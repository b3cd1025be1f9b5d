"""A classifier with an eye: a retina, the normalisation of its network, and the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from neurovis.foveation.sampling import Retina

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class FoveatedClassifier(nn.Module):
    """Images and fixations to logits.

    Parameters
    ----------
    retina : Retina
        Any :class:`~neurovis.foveation.sampling.LogPolarSampler` or
        :class:`~neurovis.foveation.sampling.CartesianSampler`.
    backbone : torch.nn.Module
        Retinal images (n, channels, rows, columns) to logits (n, n_classes), e.g. of torchvision or timm;
        for a log-polar retina after :func:`neurovis.foveation.padding.convert_padding`.
    mean, std : sequence of float
        Taken off and divided by, per channel, after sampling: what lies outside the image or the mask is the
        negative mean.
    freeze_bn : bool
        Leave batch normalisation in evaluation mode while training, so that its statistics stay those of the
        weights that one started from.

    Raises
    ------
    ValueError
        If ``mean`` and ``std`` differ in length or ``std`` is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        retina: Retina,
        backbone: nn.Module,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        freeze_bn: bool = False,
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f"mean and std must be of one length and std positive, got {tuple(mean)} and {tuple(std)}; "
                "pass one number per channel."
            )
        self.retina, self.backbone, self.freeze_bn = retina, backbone, freeze_bn
        for name, values in (("mean", mean), ("std", std)):
            numbers = torch.tensor(values, dtype=torch.float32)[:, None, None]
            self.register_buffer(name, numbers, persistent=False)

    def look(
        self,
        images: Tensor,
        fixations: Tensor | ArrayLike | None = None,
        *,
        angle_deg: float = 0.0,
        retina: Retina | None = None,
    ) -> Tensor:
        """Normalised retinal images; parameters as of :meth:`forward`."""
        retinal = (self.retina if retina is None else retina)(images, fixations, angle_deg=angle_deg)
        return (retinal - self.mean) / self.std

    def forward(
        self,
        images: Tensor,
        fixations: Tensor | ArrayLike | None = None,
        *,
        angle_deg: float = 0.0,
        retina: Retina | None = None,
    ) -> Tensor:
        """Logits of what is seen from one or several fixations.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
            In [0, 1].
        fixations : array or Tensor of shape (n, 2) or (n, k, 2), optional
            (x, y) in [-1, 1]; the middle by default.
        angle_deg : float
            The image is turned counter-clockwise by this angle about the fixation.
        retina : Retina, optional
            Instead of its own, e.g. ``classifier.retina.zoom(2)``.

        Returns
        -------
        Tensor of shape (n, n_classes) or (n, k, n_classes)
        """
        retinal = self.look(images, fixations, angle_deg=angle_deg, retina=retina)
        if retinal.ndim == 4:
            return self.backbone(retinal)
        return self.backbone(retinal.flatten(0, 1)).unflatten(0, retinal.shape[:2])

    def train(self, mode: bool = True) -> FoveatedClassifier:
        """Switch to training or evaluation mode, apart from frozen batch normalisation."""
        super().train(mode)
        if mode and self.freeze_bn:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 (torch's base class)
                    module.eval()
        return self
