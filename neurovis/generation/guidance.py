"""Guidance of sampling by the gradient of an objective of the image: BrainDiVE.

Luo, Henderson, Wehbe & Tarr (2023, "Brain diffusion for visual exploration", NeurIPS, arXiv 2306.03089). At
each step the noise prediction eps gives an estimate of the clean latents; a blend of it and the current
latents is decoded, an objective judges the image, and the gradient of the objective with regard to the
latents is taken off the noise prediction, ``eps - s * G``. That is classifier guidance (Dhariwal & Nichol
2021, NeurIPS, eq. 14) with an encoder of the brain in the place of the classifier.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.core import check_option
from neurovis.generation.schedules import Schedule

Objective = Callable[[Tensor], Tensor]
"""Images (n, 3, height, width) in [0, 1] to (n,), larger is better."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""Latents (n, ...) and timestep to what the network predicts, of the latents' shape."""

Decode = Callable[[Tensor], Tensor]
"""Latents (n, ...) to images (n, 3, height, width), black 0 and white 1, not clipped."""

GRADIENTS = ("decoder_only", "full")
CLAMPS = ("clamp", "straight_through")


@dataclass(frozen=True)
class Guidance:
    """What to maximise, how strongly and when.

    Parameters
    ----------
    objective : callable
        Differentiable; images (n, 3, height, width) in [0, 1] to one value each, larger is better. It brings
        them to the size that its network wants.
    scale : float
        Factor gamma on the objective. 0 leaves the sampler as it is, a negative one makes the objective
        small.
    start, stop : float
        Steps that are guided, as shares of all steps; 0 is noise and 1 the image.
    every : int
        The gradient is computed in every so many of these steps and kept in between, so that ``scale`` keeps
        its meaning.
    gradient : {"decoder_only", "full"}
        Where the gradient goes after the decoder: through the network too (the paper), or not, which saves
        the network's backward pass and activations; see :func:`compute_guidance`.
    clamp : {"clamp", "straight_through"}
        Pixels are always clipped to [0, 1] before the objective sees them. ``"clamp"`` (the paper) stops the
        gradient at clipped pixels, ``"straight_through"`` lets it pass.
    decode_scale : float
        Latents are shrunk to this share of their side before they are decoded for the objective, which costs
        its square in decoding: 0.4375 decodes 512 px at 224 px. Above 0, at most 1.

    Raises
    ------
    ValueError
        If an option is unknown or a number is out of range.
    """

    objective: Objective
    scale: float = 1.0
    start: float = 0.0
    stop: float = 1.0
    every: int = 1
    gradient: str = "decoder_only"
    clamp: str = "clamp"
    decode_scale: float = 1.0

    def __post_init__(self) -> None:
        check_window(self.start, self.stop, self.every)
        check_option("gradient", self.gradient, GRADIENTS)
        check_option("clamp", self.clamp, CLAMPS)
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {self.scale}; pass for example 100.")
        if not 0 < self.decode_scale <= 1:
            raise ValueError(
                f"decode_scale must be above 0 and at most 1, got {self.decode_scale}; 1 decodes all of it."
            )


@dataclass(frozen=True)
class GuidedPrediction:
    """What one evaluation of the guidance gives.

    Parameters
    ----------
    noise : Tensor of shape (n, ...)
        The network's noise prediction, without the guidance.
    gradient : Tensor of shape (n, ...)
        Gradient of ``scale * objective`` with regard to the latents, each image's own.
    value : Tensor of shape (n,)
        The objective of the blended image.
    saturated : Tensor of shape (n,)
        Share of the pixel values that were clipped to [0, 1].
    """

    noise: Tensor
    gradient: Tensor
    value: Tensor
    saturated: Tensor


def compute_guidance(
    guidance: Guidance, latents: Tensor, predict: Predict, decode: Decode, schedule: Schedule, step: int
) -> GuidedPrediction:
    """Noise prediction and the objective's gradient from one forward pass of the network.

    With signal a and noise s of the step, ``x0 = (z - s eps) / a`` and the image that is judged is that of
    ``u = s x0 + (1 - s) z``: nearly the clean estimate at first, nearly the latents themselves at the end.

    Parameters
    ----------
    guidance : Guidance
        What to maximise.
    latents : Tensor of shape (n, ...)
        State z before the step.
    predict, decode : callable
        Network and decoder.
    schedule : Schedule
        Noise levels.
    step : int
        Number of the step.

    Returns
    -------
    GuidedPrediction
        Detached. The objectives of the images are added, not averaged, so an image's gradient does not depend
        on how many others are in the batch.

    Raises
    ------
    ValueError
        If the objective does not give one value for each image.

    Notes
    -----
    The paper runs the network once for the prediction and again for the gradient; both are the same function
    of the same input. The scale is inside the differentiated sum, where it keeps small gradients of half
    precision from vanishing; multiplied afterwards it could not bring them back.

    Without the network's backward pass, ``d x0 / d z`` is taken to be a, as it is for latents of unit
    variance (``eps = s z``), which the decoder's scaling factor makes them. With eps as a constant it would
    be 1 / a: the first, most uncertain steps would have the largest gradients, and images would leave what
    the network knows at a small fraction of the scale.
    """
    sigma, alpha = schedule.sigma[step], schedule.alpha[step]
    full = guidance.gradient == "full"
    z = latents.detach().requires_grad_(full)
    with torch.set_grad_enabled(full):
        noise = schedule.to_noise(predict(z, schedule.timesteps[step]), z, step)
        blended = sigma * schedule.to_clean(noise, z, step) + (1 - sigma) * z
    origin = z if full else blended.requires_grad_(True)
    with torch.enable_grad():
        images = decode(_shrink(blended, guidance.decode_scale))
        value = guidance.objective(_clip(images, guidance.clamp))
        if value.shape != (len(z),):
            raise ValueError(
                f"objective must give one value for each of the {len(z)} images, got shape "
                f"{tuple(value.shape)}; reduce over neuroids, never over images."
            )
        (gradient,) = torch.autograd.grad((guidance.scale * value.to(z.dtype)).sum(), origin)
    if not full:
        gradient = gradient * (sigma * alpha + 1 - sigma)
    seen = images.detach()
    saturated = ((seen < 0) | (seen > 1)).flatten(1).to(z.dtype).mean(dim=1)
    return GuidedPrediction(noise.detach(), gradient, value.detach(), saturated)


def check_window(start: float, stop: float, every: int) -> None:
    """Raise a ValueError unless ``0 <= start < stop <= 1`` and ``every`` is a whole number from 1."""
    if not 0 <= start < stop <= 1:
        raise ValueError(
            f"start and stop must be shares of the steps with start below stop, got {start} and {stop}; pass "
            "for example 0 and 1."
        )
    if int(every) != every or every < 1:
        raise ValueError(f"every must be a whole number of at least 1, got {every}; 1 takes each step.")


def find_steps(start: float, stop: float, every: int, n_steps: int) -> tuple[range, range]:
    """Steps of a window, and those of them in which something is computed anew."""
    window = range(math.ceil(start * n_steps - 1e-9), math.ceil(stop * n_steps - 1e-9))
    return window, window[::every]


def _clip(images: Tensor, clamp: str) -> Tensor:
    clipped = images.clamp(0, 1)
    return clipped if clamp == "clamp" else images + (clipped - images).detach()


def _shrink(latents: Tensor, share: float) -> Tensor:
    if share == 1:
        return latents
    size = [max(1, round(share * side)) for side in latents.shape[-2:]]
    return torch.nn.functional.interpolate(latents, size=size, mode="bilinear", antialias=True)
