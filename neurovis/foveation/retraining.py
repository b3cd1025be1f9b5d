"""Retraining of a classifier behind a retina.

arXiv 2402.15480 (Vision 2026, 10(2):17) puts a log-polar resampling before a trained network and fine-tunes
all of it. Any classifier of torchvision or timm can be taken::

    network = timm.create_model("resnet18", pretrained=True)
    classifier = build_foveated(network, LogPolarSampler(), freeze_bn=True)
    batches = FixatedBatches(images, labels, batch_size=256)
    retrain_classifier(classifier, batches, n_epochs=20, seed=0, checkpoint="resnet18.safetensors")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from neurovis.core import check_option, make_rng
from neurovis.foveation.classifier import IMAGENET_MEAN, IMAGENET_STD, FoveatedClassifier
from neurovis.foveation.padding import convert_padding
from neurovis.foveation.sampling import LogPolarSampler, Retina
from neurovis.training.loop import ArrayBatches, Batches, TrainingResult, train

PRECISIONS = ("float32", "bfloat16")
_FARTHEST = 0.9


def build_foveated(
    backbone: nn.Module,
    retina: Retina,
    *,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    freeze_bn: bool = False,
    r_mode: str = "zeros",
) -> FoveatedClassifier:
    """Put a retina before a trained classifier.

    Parameters
    ----------
    backbone : torch.nn.Module
        Images to logits; copied where its padding changes.
    retina : Retina
        Behind a log-polar one the network's padding goes around the circle of angles.
    mean, std, freeze_bn
        As in :class:`neurovis.foveation.classifier.FoveatedClassifier`. The authors' script never returns to
        training mode after its first validation: ``freeze_bn=True`` repeats that.
    r_mode : {"zeros", "replicate"}
        As in :func:`neurovis.foveation.padding.convert_padding`.

    Raises
    ------
    TypeError, ValueError
        As :func:`neurovis.foveation.padding.convert_padding`.
    """
    if isinstance(retina, LogPolarSampler):
        backbone = convert_padding(backbone, r_mode=r_mode)
    return FoveatedClassifier(retina, backbone, mean=mean, std=std, freeze_bn=freeze_bn)


@dataclass(frozen=True, eq=False)
class FixatedBatches:
    """Shuffled batches (images, fixations, labels) of square images held in memory.

    Parameters
    ----------
    images : Tensor of shape (n, height, width, 3), uint8
    labels : Tensor of shape (n,), int64
    fixations : Tensor of shape (n, 2), optional
        (x, y) in [-1, 1]; the middle by default.
    jitter : float
        Standard deviation of a normal shift of every fixation, new in every epoch; jittered fixations stay
        within 0.9.
    mirror : bool or Tensor of shape (n,)
        Mirror every other time, with the fixation; a tensor says which images may be.
    batch_size : int
        Images in a batch.
    seed : int
        Decides order, mirrors and jitter together with the epoch's number.

    Raises
    ------
    ValueError
        If shapes disagree or ``jitter`` is negative.
    """

    images: Tensor
    labels: Tensor
    fixations: Tensor | None = None
    jitter: float = 0.0
    mirror: bool | Tensor = True
    batch_size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        n = len(self.images)
        shapes = {"labels": (n,), "fixations": (n, 2), "mirror": (n,)}
        if self.images.ndim != 4 or self.images.shape[-1] != 3 or self.images.dtype != torch.uint8:
            raise ValueError(
                "images must be uint8 of shape (n, height, width, 3), got "
                f"{self.images.dtype} {tuple(self.images.shape)}; stack the images as they were read."
            )
        for name, shape in shapes.items():
            value = getattr(self, name)
            if isinstance(value, Tensor) and tuple(value.shape) != shape:
                raise ValueError(
                    f"{name} must have shape {shape} for {n} images, got {tuple(value.shape)}; pass one each."
                )
        if self.jitter < 0:
            raise ValueError(f"jitter must not be negative, got {self.jitter}; pass 0 for none.")

    def __len__(self) -> int:
        """Batches in one epoch."""
        return len(self._make_plain())

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images (k, 3, height, width) in [0, 1], fixations (k, 2) and labels (k,) of one epoch."""
        rng = make_rng(self.seed, "glances", epoch)
        for images, fixations, labels, free in self._make_plain()(epoch):
            mirrored = torch.from_numpy(rng.random(len(images)) < 0.5) & free
            seen = images.permute(0, 3, 1, 2).float() / 255
            seen[mirrored] = seen[mirrored].flip(3)
            points = fixations.double()
            points[mirrored, 0] *= -1
            if self.jitter:
                moved = points + torch.from_numpy(rng.normal(0, self.jitter, tuple(points.shape)))
                points = moved.clamp(-_FARTHEST, _FARTHEST)
            yield seen, points, labels

    def _make_plain(self) -> ArrayBatches:
        n = len(self.images)
        fixations = torch.zeros(n, 2) if self.fixations is None else self.fixations
        free = self.mirror if isinstance(self.mirror, Tensor) else torch.full((n,), self.mirror)
        return ArrayBatches((self.images, fixations, self.labels, free), self.batch_size, self.seed)


def retrain_classifier(
    classifier: FoveatedClassifier,
    batches: Batches,
    *,
    n_epochs: int = 20,
    seed: int,
    learning_rate: float = 5e-5,
    optimiser: str = "sgd",
    weight_decay: float = 0.0,
    schedule: str = "constant",
    precision: str = "float32",
    device: str = "cpu",
    validate: Callable[[nn.Module], float] | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
) -> TrainingResult:
    """Train all layers behind the retina with cross-entropy, in place.

    Parameters
    ----------
    classifier : FoveatedClassifier
    batches : Batches
        Each batch (images, fixations, labels), e.g. of :class:`FixatedBatches`; any object with the same two
        methods reads larger sets from disk.
    n_epochs, seed, learning_rate, optimiser, weight_decay, schedule, device, validate, patience, checkpoint
        As in :func:`neurovis.training.loop.train`. The defaults are those of the paper, apart from its
        momentum of 0.98, which is 0.9 with Nesterov's look-ahead here.
    precision : {"float32", "bfloat16"}
        Of the network; sampling and loss stay in single precision.

    Returns
    -------
    neurovis.training.loop.TrainingResult

    Raises
    ------
    ValueError
        If an option is unknown, and as :func:`neurovis.training.loop.train`.
    """
    check_option("precision", precision, PRECISIONS)

    def compute_loss(model: FoveatedClassifier, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        images, fixations, labels = batch
        retinal = model.look(images, fixations).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model.backbone(retinal)
        return nn.functional.cross_entropy(logits.float(), labels)

    classifier.to(memory_format=torch.channels_last)
    result = train(
        classifier, batches, compute_loss, n_epochs=n_epochs, seed=seed, learning_rate=learning_rate,
        optimiser=optimiser, weight_decay=weight_decay, schedule=schedule, device=device,
        validate=validate, patience=patience, checkpoint=checkpoint,
    )  # fmt: skip
    classifier.to(memory_format=torch.contiguous_format)
    return result
