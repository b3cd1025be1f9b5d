"""Self-attention guidance: away from what the network would predict if it saw its own focus blurred.

Hong, Lee, Jang & Kim (2023, "Improving sample quality of diffusion models using self-attention guidance",
ICCV, arXiv 2210.00939, algorithm 1), as BrainDiVE uses it: with weight 0.75, and without a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.generation.guidance import Predict, check_window
from neurovis.generation.schedules import Schedule

_KERNEL_PX = 9
_BLUR_PX = 1.0
_ATTENDED = 1.0
"""Attention that a place receives, summed over queries, above which it is blurred; 1 is the mean."""


@dataclass(frozen=True)
class SelfAttention:
    """Strength and steps of self-attention guidance.

    Parameters
    ----------
    scale : float
        Weight of the difference between the prediction and the one from the degraded latents.
    start, stop : float
        Steps that are guided, as shares of all steps.
    every : int
        Only every so many of these steps are guided.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    scale: float = 0.75
    start: float = 0.0
    stop: float = 1.0
    every: int = 1

    def __post_init__(self) -> None:
        check_window(self.start, self.stop, self.every)
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {self.scale}; the paper's is 0.75.")


def find_attention(unet: nn.Module) -> Any:
    """First self-attention of the network's middle block.

    Raises
    ------
    ValueError
        If it has none.
    """
    middle: Any = getattr(unet, "mid_block", None)
    transformers = getattr(middle, "attentions", None)
    if not transformers or not hasattr(transformers[0], "transformer_blocks"):
        raise ValueError(
            "self_attention needs a network whose middle block attends to itself, got "
            f"{type(middle).__name__}; pass self_attention=None."
        )
    return transformers[0].transformer_blocks[0].attn1


@contextmanager
def watch_attention(attention: Any) -> Iterator[list[Tensor]]:
    """Attention weights of the forward passes in the block, whatever way the module computes them.

    Parameters
    ----------
    attention : diffusers.models.attention_processor.Attention
        From :func:`find_attention`.

    Yields
    ------
    list of Tensor of shape (n, n_heads, n_queries, n_keys)
        Filled pass by pass; softmax over keys, float32, without gradient.
    """
    seen: list[Tensor] = []
    queries: list[Tensor] = []

    def keep_query(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        queries.append(_split(output, attention.heads))

    def keep_weights(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        scores = queries.pop() @ _split(output, attention.heads).transpose(-1, -2) * attention.scale
        seen.append(scores.softmax(dim=-1))

    handles = [
        attention.to_q.register_forward_hook(keep_query),
        attention.to_k.register_forward_hook(keep_weights),
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def compute_attention_mask(weights: Tensor, size: tuple[int, int]) -> Tensor:
    """Where the network attends more than on average.

    Parameters
    ----------
    weights : Tensor of shape (n, n_heads, n_queries, n_keys)
        From :func:`watch_attention`; keys are places row by row.
    size : (int, int)
        Height and width of the latents.

    Returns
    -------
    Tensor of shape (n, 1, height, width)
        1 where the mean over heads, summed over queries, is above 1.
    """
    received = weights.mean(dim=1).sum(dim=1)
    height = round(math.sqrt(received.shape[1] * size[0] / size[1]))
    mask = (received > _ATTENDED).to(weights.dtype).unflatten(1, (1, height, -1))
    return torch.nn.functional.interpolate(mask, size=size, mode="nearest")


def blur_latents(latents: Tensor) -> Tensor:
    """Latents (n, channels, h, w) under a Gaussian of 1 px cut off at 9 by 9, borders mirrored.

    Raises
    ------
    ValueError
        If the latents are smaller than the kernel's reach.
    """
    reach = _KERNEL_PX // 2
    if min(latents.shape[-2:]) <= reach:
        raise ValueError(
            f"latents must be larger than {reach} px to be blurred, got {tuple(latents.shape[-2:])}; pass "
            "self_attention=None."
        )
    line = torch.arange(-reach, reach + 1, dtype=latents.dtype, device=latents.device)
    weights = torch.exp(-0.5 * (line / _BLUR_PX) ** 2)
    weights = weights / weights.sum()
    n_channels = latents.shape[1]
    padded = torch.nn.functional.pad(latents, (reach,) * 4, mode="reflect")
    kernel = weights.expand(n_channels, 1, -1)
    down = torch.nn.functional.conv2d(padded, kernel[..., None], groups=n_channels)
    return torch.nn.functional.conv2d(down, kernel[:, :, None], groups=n_channels)


@torch.no_grad()
def compute_degraded_noise(
    noise: Tensor, weights: Tensor, latents: Tensor, predict: Predict, schedule: Schedule, step: int
) -> Tensor:
    """Noise prediction for latents whose attended places are blurred.

    The clean estimate is blurred where the mask is 1 and brought back to the step's noise level with the
    noise that was predicted.

    Parameters
    ----------
    noise : Tensor of shape (n, channels, h, w)
        Prediction for ``latents``.
    weights : Tensor of shape (n, n_heads, n_queries, n_keys)
        Attention during that prediction.
    latents : Tensor of shape (n, channels, h, w)
        State before the step.
    predict : callable
        The network that made the prediction.
    schedule : Schedule
        Noise levels.
    step : int
        Number of the step.
    """
    clean = schedule.to_clean(noise, latents, step)
    mask = compute_attention_mask(weights, (latents.shape[-2], latents.shape[-1])).to(latents.dtype)
    degraded = mask * blur_latents(clean) + (1 - mask) * clean
    noisy = schedule.alpha[step] * degraded + schedule.sigma[step] * noise
    return schedule.to_noise(predict(noisy, schedule.timesteps[step]), noisy, step)


def _split(output: Tensor, n_heads: int) -> Tensor:
    """(n, tokens, heads * width) to (n, heads, tokens, width), float32 at least, detached."""
    kept = output.detach()
    kept = kept.float() if kept.dtype in (torch.float16, torch.bfloat16) else kept
    return kept.unflatten(-1, (n_heads, -1)).transpose(1, 2)
