"""Training of the denoiser and the text encoder of a small latent diffusion model, together.

Noise is predicted (Ho et al., 2020, NeurIPS, equation 14) with losses weighted by the smaller of the signal
to noise ratio and five (Hang et al., 2023, ICCV, equation 8); prompts are dropped at random so that the
model can be guided without a classifier (Ho & Salimans, 2022, algorithm 1).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurovis.core import import_optional
from neurovis.features.weights import build_seeded
from neurovis.generation.diffusion_data import DiffusionScenes, make_short_prompts
from neurovis.generation.training_vae import LATENT_CHANNELS, RowBatches, split_steps
from neurovis.training.loop import TrainingResult, train

CHANNELS = (64, 96, 128)
TEXT_WIDTH = 96

_PROMPT_SHARES = (0.5, 0.2, 0.08, 0.07)
"""Of caption, first clause, subtype and category, before empty prompts take theirs."""

_LARGEST_SNR = 5.0
_AVERAGE_DECAY = 0.999


@dataclass(frozen=True)
class PromptTable:
    """Tokens of all distinct prompts (k, length) and which ones fit each scene, (n, 5) int64.

    The columns of ``rows`` are the kinds of prompt: caption, first clause, subtype, category, empty.
    """

    tokens: Tensor
    rows: Tensor

    def draw(self, scenes: Tensor, *, empty_share: float) -> Tensor:
        """Random prompts of the given scenes, tokens (batch, length), with torch's own generator."""
        filled = torch.tensor(_PROMPT_SHARES, device=scenes.device)
        filled *= (1 - empty_share) / filled.sum()
        shares = torch.cat([filled, filled.new_tensor([empty_share])])
        kinds = torch.multinomial(shares, len(scenes), replacement=True)
        return self.tokens[self.rows[scenes, kinds]]

    def to(self, device: str) -> PromptTable:
        """The table on another device."""
        return PromptTable(self.tokens.to(device), self.rows.to(device))


def make_prompt_table(scenes: DiffusionScenes, tokenizer: Any) -> PromptTable:
    """All prompts that training may show with each scene, as tokens."""
    prompts = [
        (caption, *short, "")
        for caption, short in zip(scenes.captions, make_short_prompts(scenes), strict=True)
    ]
    distinct = list(dict.fromkeys(prompt for group in prompts for prompt in group))
    number = {prompt: k for k, prompt in enumerate(distinct)}
    rows = torch.from_numpy(np.array([[number[prompt] for prompt in group] for group in prompts]))
    return PromptTable(tokenize(distinct, tokenizer), rows)


def tokenize(prompts: Sequence[str], tokenizer: Any) -> Tensor:
    """Padded and cut token numbers (n, length), as diffusers' pipelines make them."""
    return tokenizer(
        list(prompts), padding="max_length", truncation=True, max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids  # fmt: skip


def build_scheduler() -> Any:
    """Noise of 1000 steps, scaled linearly.

    Its last step is noisier (beta 0.02) than Stable Diffusion's (0.012): of maps of 16 x 16 the latter leaves
    the mean visible, so that samples started from pure noise come out with washed-out means.
    """
    diffusers = import_optional("diffusers", extra="diffusion")
    return diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.02, beta_schedule="scaled_linear", clip_sample=False,
        steps_offset=1, set_alpha_to_one=False,
    )  # fmt: skip


def build_unet(
    *,
    latent_px: int = 16,
    channels: tuple[int, int, int] = CHANNELS,
    text_width: int = TEXT_WIDTH,
    seed: int = 0,
) -> Any:
    """Untrained denoiser of three levels; the second and the middle attend to themselves and to the text."""
    diffusers = import_optional("diffusers", extra="diffusion")
    return build_seeded(
        lambda: diffusers.UNet2DConditionModel(
            sample_size=latent_px, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS,
            block_out_channels=channels, layers_per_block=1, norm_num_groups=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=text_width, attention_head_dim=4,
        ),
        seed,
    )  # fmt: skip


def build_text_encoder(tokenizer: Any, *, width: int = TEXT_WIDTH, n_layers: int = 2, seed: int = 0) -> Any:
    """Untrained causal transformer in CLIP's format for the tokens of ``tokenizer``."""
    transformers = import_optional("transformers", extra="diffusion")
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=n_layers,
        num_attention_heads=4, max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return build_seeded(lambda: transformers.CLIPTextModel(config), seed)


class TextDenoiser(nn.Module):
    """Denoiser and text encoder with a running average of both.

    Parameters
    ----------
    unet : diffusers.UNet2DConditionModel
    text_encoder : transformers.CLIPTextModel
    """

    n_updates: Tensor

    def __init__(self, unet: Any, text_encoder: Any) -> None:
        super().__init__()
        self.current = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})
        self.average = copy.deepcopy(self.current).requires_grad_(False)
        self.register_buffer("n_updates", torch.zeros(()))

    def forward(self, noisy: Tensor, steps: Tensor, tokens: Tensor) -> Tensor:
        """Noise in latents (n, 4, h, w) at ``steps`` (n,), given tokens (n, length)."""
        text = self.current["text_encoder"](tokens).last_hidden_state
        return self.current["unet"](noisy, steps, encoder_hidden_states=text).sample

    @torch.no_grad()
    def update_average(self) -> None:
        """Move the averages by a thousandth, at the beginning by more, towards the weights of now."""
        decay = min(_AVERAGE_DECAY, (1 + float(self.n_updates)) / (10 + float(self.n_updates)))
        self.n_updates += 1
        pairs = list(zip(self.average.parameters(), self.current.parameters(), strict=True))
        torch._foreach_lerp_([a.data for a, _ in pairs], [c.data for _, c in pairs], 1 - decay)


def train_denoiser(
    latents: Tensor,
    prompts: PromptTable,
    tokenizer: Any,
    *,
    n_steps: int,
    seed: int,
    empty_share: float = 0.15,
    start: tuple[Any, Any] | None = None,
    weights: Tensor | None = None,
    channels: tuple[int, int, int] = CHANNELS,
    text_width: int = TEXT_WIDTH,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
) -> tuple[Any, Any, TrainingResult]:
    """Train a denoiser of scaled latents together with its text encoder.

    Parameters
    ----------
    latents : tensor of shape (n, 4, h, w)
        Scaled to unit variance; h and w divisible by 4.
    prompts : PromptTable
        Of the same n scenes.
    tokenizer : transformers.CLIPTokenizer
        That made the tokens.
    n_steps : int
        Updates, rounded up to whole hundreds.
    seed : int
        Seed of weights, order, noise and choice of prompts.
    empty_share : float
        Share of empty prompts.
    start : tuple of (UNet2DConditionModel, CLIPTextModel), optional
        Trained networks to go on from, which stay as they are; new ones by default.
    weights : tensor of shape (n,), optional
        Weight of each scene in the loss; 1 by default.
    channels : tuple of int
        Of the three levels, finest first.
    text_width : int
        Of the text encoder.
    batch_size, learning_rate, device, checkpoint
        As in :func:`neurovis.training.loop.train`.

    Returns
    -------
    (UNet2DConditionModel, CLIPTextModel, TrainingResult)
        Running averages of the weights (decay 0.999), in evaluation mode, on the CPU, and the history.
    """
    unet, text_encoder = copy.deepcopy(start) or (
        build_unet(latent_px=latents.shape[-1], channels=channels, text_width=text_width, seed=seed),
        build_text_encoder(tokenizer, width=text_width, seed=seed),
    )
    if torch.device(device).type == "cpu":
        # The fused attention of torch takes a quarter of a step in its backward pass on CPUs.
        attention = import_optional("diffusers.models.attention_processor", extra="diffusion")
        unet.set_attn_processor(attention.AttnProcessor())
        text_encoder.set_attn_implementation("eager")
    model = TextDenoiser(unet.requires_grad_(True), text_encoder.requires_grad_(True)).to(
        memory_format=torch.channels_last
    )
    signal = build_scheduler().alphas_cumprod.to(device)
    latents, prompts = latents.to(device), prompts.to(device)
    worth = (torch.ones(len(latents)) if weights is None else weights).to(device)
    n_epochs, in_epoch = split_steps(n_steps)

    def compute_loss(model: TextDenoiser, rows: Tensor) -> Tensor:
        model.update_average()
        clean, noise = latents[rows], torch.randn_like(latents[rows])
        steps = torch.randint(len(signal), (len(rows),), device=device)
        share = signal[steps].view(-1, 1, 1, 1)
        noisy = (share.sqrt() * clean + (1 - share).sqrt() * noise).contiguous(
            memory_format=torch.channels_last
        )
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            found = model(noisy, steps, prompts.draw(rows, empty_share=empty_share))
        snr = signal[steps] / (1 - signal[steps])
        errors = (found.float() - noise).square().mean(dim=(1, 2, 3))
        return (errors * worth[rows] * snr.clamp(max=_LARGEST_SNR) / snr).mean()

    result = train(
        model, RowBatches(len(latents), batch_size, in_epoch, seed), compute_loss, n_epochs=n_epochs,
        seed=seed, learning_rate=learning_rate, weight_decay=0.01, device=device, checkpoint=checkpoint,
    )  # fmt: skip
    model.update_average()
    model.to("cpu")
    model.eval()
    return model.average["unet"], model.average["text_encoder"], result
