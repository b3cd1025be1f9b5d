"""Sampling from a latent diffusion model, plain or guided: a short loop in place of a pipeline class."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovis.generation.guidance import (
    Decode,
    Guidance,
    GuidedPrediction,
    Predict,
    compute_guidance,
    find_steps,
)
from neurovis.generation.model import LatentDiffusion
from neurovis.generation.schedules import Schedule, make_schedule
from neurovis.generation.self_attention import (
    SelfAttention,
    compute_degraded_noise,
    find_attention,
    watch_attention,
)


@dataclass(frozen=True)
class GuidanceLog:
    """What happened in each step; NaN where nothing was computed.

    Parameters
    ----------
    value : array of shape (n_images, n_steps)
        The objective of the blended image, before the step.
    gradient_norm : array of shape (n_images, n_steps)
        Norm of the gradient of ``scale * objective`` with regard to the latents.
    saturated : array of shape (n_images, n_steps)
        Share of pixel values that were clipped to [0, 1]; where it is large and clipped pixels give no
        gradient, the scale is too high.
    """

    value: NDArray[np.float32]
    gradient_norm: NDArray[np.float32]
    saturated: NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """Images of one call of :func:`sample`.

    Parameters
    ----------
    images : Tensor of shape (n, 3, height, width)
        In [0, 1], float32, on the CPU.
    seeds : tuple of int of length n
        Seed of each image.
    log : GuidanceLog
        What the guidance did.
    """

    images: Tensor
    seeds: tuple[int, ...]
    log: GuidanceLog


@dataclass(frozen=True)
class Attending:
    """Self-attention guidance bound to a network: its settings, the attention and the plain prediction.

    ``predict`` is the network without classifier-free guidance. Where it is the prediction that is sampled
    with, its forward pass is shared.
    """

    settings: SelfAttention
    attention: Any
    predict: Predict


def sample(
    model: LatentDiffusion,
    *,
    guidance: Guidance | None = None,
    self_attention: SelfAttention | None = None,
    seeds: Sequence[int] = (0,),
    n_steps: int = 50,
    sampler: str = "dpm++",
    prompt: str | Sequence[str] = "",
    prompt_scale: float = 1.0,
    size_px: tuple[int, int] | None = None,
    batch_size: int = 8,
) -> Samples:
    """Images from noise, one for each seed.

    Parameters
    ----------
    model : LatentDiffusion
        From :func:`neurovis.generation.model.load_latent_diffusion`.
    guidance : Guidance, optional
        What to maximise; plain sampling without it.
    self_attention : SelfAttention, optional
        Self-attention guidance, which the paper adds with weight 0.75.
    seeds : sequence of int
        An image depends on its seed, never on the others, up to the rounding of a batched network. Its noise
        comes from ``torch.Generator("cpu").manual_seed(seed)``, that of a stochastic sampler's steps after
        the first.
    n_steps : int
        Evaluations of the network for each image.
    sampler : {"dpm++", "sde-dpm++", "ddim", "euler"}
        As in :func:`neurovis.generation.schedules.make_schedule`.
    prompt : str or sequence of str of the seeds' length
        Text; empty for none.
    prompt_scale : float
        Classifier-free guidance ``eps(empty) + prompt_scale * (eps(prompt) - eps(empty))`` (Ho & Salimans
        2022, arXiv 2207.12598); 1 is the prompt alone and costs nothing more.
    size_px : (int, int), optional
        Height and width of the images; by default those the model was trained with.
    batch_size : int
        Images at a time.

    Returns
    -------
    Samples

    Raises
    ------
    ValueError
        If an option is unknown or out of range, the model cannot do what is asked, or latents are no longer
        finite.
    """
    seeds = tuple(int(seed) for seed in seeds)
    if not seeds or batch_size < 1:
        raise ValueError(
            f"seeds must not be empty and batch_size at least 1, got {len(seeds)} seeds and {batch_size}."
        )
    prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
    if len(prompts) != len(seeds):
        raise ValueError(
            f"prompt must be one text or one for each seed, got {len(prompts)} for {len(seeds)}."
        )
    schedule = make_schedule(model.scheduler_config, n_steps=n_steps, sampler=sampler)
    shape = model.make_latent_shape(size_px)
    images, logs = [], []
    with _make_progress(len(seeds) * n_steps) as bar:
        for first in range(0, len(seeds), batch_size):
            batch = seeds[first : first + batch_size]
            draw = _draw_noise(batch, shape, model)
            predict, plain = _make_predictions(model, prompts[first : first + batch_size], prompt_scale)
            latents, log = denoise(
                draw() * schedule.start, schedule, predict, guidance=guidance, decode=model.decode,
                attending=_attend(model, self_attention, plain), draw=draw, report=bar.update,
            )  # fmt: skip
            with torch.no_grad():
                images.append(model.decode(latents).clamp(0, 1).float().cpu())
            logs.append(log)
    joined = (
        np.concatenate([getattr(log, name) for log in logs])
        for name in ("value", "gradient_norm", "saturated")
    )
    return Samples(torch.cat(images), seeds, GuidanceLog(*joined))


def denoise(
    latents: Tensor,
    schedule: Schedule,
    predict: Predict,
    *,
    guidance: Guidance | None = None,
    decode: Decode | None = None,
    attending: Attending | None = None,
    draw: Callable[[], Tensor] | None = None,
    report: Any = None,
) -> tuple[Tensor, GuidanceLog]:
    """Latents from noise, for any network and decoder.

    Parameters
    ----------
    latents : Tensor of shape (n, ...)
        Noise of standard deviation ``schedule.start``.
    schedule : Schedule
        Noise levels.
    predict : callable
        Latents and timestep to what the schedule says that the network predicts.
    guidance : Guidance, optional
        What to maximise.
    decode : callable, optional
        Latents to images; needed for the guidance.
    attending : Attending, optional
        Self-attention guidance.
    draw : callable, optional
        Gives standard normal noise of the latents' shape in each call; needed where the schedule is
        stochastic.
    report : callable, optional
        Called with the number of images after each step.

    Returns
    -------
    latents : Tensor of shape (n, ...)
        Clean latents.
    log : GuidanceLog

    Raises
    ------
    ValueError
        If guidance has no decoder, a stochastic schedule no noise, or the latents are no longer finite.
    """
    n_steps = len(schedule)
    guided, computed = _find_guided(guidance, n_steps)
    attended = _find_attended(attending, n_steps)
    log = [np.full((len(latents), n_steps), np.nan, dtype=np.float32) for _ in range(3)]
    before: Tensor | None = None
    gradient: Tensor | None = None
    for step in range(n_steps):
        with ExitStack() as stack:
            seen: list[Tensor] = []
            if attending is not None and step in attended and attending.predict is predict:
                seen = stack.enter_context(watch_attention(attending.attention))
            if step in computed:
                found = _guide(guidance, latents, predict, decode, schedule, step)
                noise, gradient = found.noise, found.gradient
                norm = gradient.flatten(1).norm(dim=1)
                for rows, values in zip(log, (found.value, norm, found.saturated), strict=True):
                    rows[:, step] = values.float().cpu().numpy()
            else:
                noise = _predict_noise(latents, predict, schedule, step)
        moved = noise
        if attending is not None and step in attended:
            moved = noise + _compute_attending(attending, noise, seen, latents, schedule, step)
        if step in guided and gradient is not None:
            moved = moved - schedule.sigma[step] * gradient
        fresh = draw() if schedule.stochastic and draw is not None else None
        latents, before = schedule.advance(moved, latents, before, step, fresh)
        if report is not None:
            report(len(latents))
    if not torch.isfinite(latents).all():
        raise ValueError(
            "latents must stay finite, got NaN or infinity; lower the scale, or use float32 or bfloat16 in "
            "the place of float16."
        )
    return latents, GuidanceLog(*log)


def make_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise (n, *shape), float32 on the CPU, one generator for each seed."""
    return make_noise_source(seeds, shape)()


def make_noise_source(seeds: Sequence[int], shape: tuple[int, ...]) -> Callable[[], Tensor]:
    """Function that gives new noise as of :func:`make_noise` in each call, of which that is the first."""
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    return lambda: torch.stack([torch.randn(shape, generator=generator) for generator in generators])


def _guide(
    guidance: Guidance | None,
    latents: Tensor,
    predict: Predict,
    decode: Decode | None,
    schedule: Schedule,
    step: int,
) -> GuidedPrediction:
    if guidance is None or decode is None:
        raise ValueError("decode must be given with guidance, got None; pass the decoder of the latents.")
    return compute_guidance(guidance, latents, predict, decode, schedule, step)


def _find_guided(guidance: Guidance | None, n_steps: int) -> tuple[range, range]:
    if guidance is None or guidance.scale == 0:
        return range(0), range(0)
    return find_steps(guidance.start, guidance.stop, guidance.every, n_steps)


def _find_attended(attending: Attending | None, n_steps: int) -> range:
    if attending is None:
        return range(0)
    settings = attending.settings
    return find_steps(settings.start, settings.stop, settings.every, n_steps)[1]


@torch.no_grad()
def _predict_noise(latents: Tensor, predict: Predict, schedule: Schedule, step: int) -> Tensor:
    return schedule.to_noise(predict(latents, schedule.timesteps[step]), latents, step)


def _compute_attending(
    attending: Attending, noise: Tensor, seen: list[Tensor], latents: Tensor, schedule: Schedule, step: int
) -> Tensor:
    """What self-attention guidance adds to the noise prediction."""
    if not seen:  # the sampled prediction mixes prompts: the plain network is asked by itself
        with watch_attention(attending.attention) as seen:
            noise = _predict_noise(latents, attending.predict, schedule, step)
    degraded = compute_degraded_noise(noise, seen[0], latents, attending.predict, schedule, step)
    return attending.settings.scale * (noise - degraded)


def _make_predictions(
    model: LatentDiffusion, prompts: Sequence[str], scale: float
) -> tuple[Predict, Predict]:
    """The prediction to sample with, and the one without classifier-free guidance, which may be the same."""
    told = model.embed(prompts)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        return model.predict(latents, timestep, told)

    if scale == 1:
        return predict, predict
    empty = model.embed([""] * len(prompts))
    if told is None or empty is None:
        raise ValueError(f"prompt_scale must be 1 for a model without text, got {scale}.")
    both = torch.cat([empty, told])

    def predict_mixed(latents: Tensor, timestep: Tensor) -> Tensor:
        without, output = model.predict(torch.cat([latents, latents]), timestep, both).chunk(2)
        return without + scale * (output - without)

    def predict_empty(latents: Tensor, timestep: Tensor) -> Tensor:
        return model.predict(latents, timestep, empty)

    return predict_mixed, predict_empty


def _attend(model: LatentDiffusion, settings: SelfAttention | None, predict: Predict) -> Attending | None:
    if settings is None or settings.scale == 0:
        return None
    if model.compiled:
        raise ValueError(
            "self_attention needs a network that is not compiled, got a compiled one; load the model with "
            "compiled=False or pass self_attention=None."
        )
    return Attending(settings, find_attention(model.unet), predict)


def _draw_noise(seeds: Sequence[int], shape: tuple[int, ...], model: LatentDiffusion) -> Callable[[], Tensor]:
    """Source of noise where the model is, in float32, or float64 for a network in float64."""
    source = make_noise_source(seeds, shape)
    dtype = torch.float64 if model.unet.dtype == torch.float64 else torch.float32
    return lambda: source().to(model.device, dtype)


def _make_progress(n: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=n, desc="sample", unit="step", disable=None, leave=False, file=sys.stderr)
