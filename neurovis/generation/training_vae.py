"""Training of a small image autoencoder (Rombach et al., 2022, CVPR, section 3.1) on scenes in memory.

The adversarial term of the paper is left out: at this size the gradient and the feature term keep edges
sharp. Features are those of worldnet instead of VGG.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from neurovis.core import import_optional, make_rng
from neurovis.features.weights import build_seeded
from neurovis.features.worldnet import Worldnet, load_worldnet
from neurovis.training.loop import TrainingResult, train

CHANNELS = (24, 48, 64)
LATENT_CHANNELS = 4

_GRADIENT_WEIGHT = 0.5
_FEATURE_WEIGHT = 0.2
_KL_WEIGHT = 5e-4
_LATENT_NOISE = 0.04
_STEPS_IN_EPOCH = 100


@dataclass(frozen=True)
class RowBatches:
    """Row numbers of batches, drawn without replacement from one seeded order after another.

    Parameters
    ----------
    n_rows, batch_size : int
        Rows to draw from and rows in a batch.
    n_steps : int
        Batches in an epoch; an epoch is what lies between two checkpoints, not a pass over the data.
    seed : int
        Decides the orders.
    """

    n_rows: int
    batch_size: int
    n_steps: int
    seed: int

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self.n_steps

    def __call__(self, epoch: int) -> Iterator[Tensor]:
        """Row numbers (batch_size,) int64 of the batches of one epoch."""
        first = epoch * self.n_steps * self.batch_size
        positions = np.arange(first, first + self.n_steps * self.batch_size)
        passes = positions // self.n_rows
        orders = {
            int(number): make_rng(self.seed, "rows", int(number)).permutation(self.n_rows)
            for number in np.unique(passes)
        }
        rows = np.array(
            [orders[int(p)][k] for p, k in zip(passes, positions % self.n_rows, strict=True)], dtype=np.int64
        )
        yield from torch.from_numpy(rows).split(self.batch_size)


def split_steps(n_steps: int) -> tuple[int, int]:
    """Number of epochs and steps of an epoch, for at least ``n_steps`` steps with a checkpoint after each."""
    in_epoch = min(n_steps, _STEPS_IN_EPOCH)
    return -(-n_steps // in_epoch), in_epoch


def build_vae(*, size_px: int = 64, channels: tuple[int, ...] = CHANNELS, seed: int = 0) -> Any:
    """Untrained autoencoder; latents have 4 channels and a side of ``size_px / 2 ** (len(channels) - 1)``."""
    diffusers = import_optional("diffusers", extra="diffusion")
    return build_seeded(
        lambda: diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            block_out_channels=channels, latent_channels=LATENT_CHANNELS, layers_per_block=1,
            norm_num_groups=8, sample_size=size_px, mid_block_add_attention=False,
        ),
        seed,
    )  # fmt: skip


def train_vae(
    images: NDArray[np.uint8],
    *,
    n_steps: int,
    seed: int,
    channels: tuple[int, ...] = CHANNELS,
    batch_size: int = 16,
    learning_rate: float = 2e-3,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
) -> tuple[Any, TrainingResult]:
    """Train an autoencoder and set its ``scaling_factor`` to one over the latents' standard deviation.

    The loss is the mean absolute error of pixels in [-1, 1], that of their differences to the right and
    lower neighbour (weight 0.5), the error of worldnet's first stages relative to their power (0.2), and the
    Kullback-Leibler divergence from a normal distribution per latent (5e-4).

    Parameters
    ----------
    images : array of shape (n, size, size, 3), uint8
        May be a memory map.
    n_steps : int
        Updates, rounded up to whole hundreds.
    seed : int
        Seed of weights, order and posterior samples.
    channels : tuple of int
        Of the levels, finest first.
    batch_size, learning_rate, device, checkpoint
        As in :func:`neurovis.training.loop.train`.

    Returns
    -------
    (diffusers.AutoencoderKL, TrainingResult)
        The network in evaluation mode, on the CPU, and the history of the run.
    """
    vae = build_vae(size_px=images.shape[1], channels=channels, seed=seed)
    vae.to(memory_format=torch.channels_last)
    judge = load_worldnet().to(device).requires_grad_(False)
    n_epochs, in_epoch = split_steps(n_steps)

    def compute_loss(model: Any, rows: Tensor) -> Tensor:
        pixels = take_pixels(images, rows, device)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            posterior = model.encode(pixels).latent_dist
            found = model.decode(posterior.sample()).sample
        mean, spread = posterior.mean.float(), posterior.logvar.float()
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).mean()
        return _compute_error(found.float(), pixels, judge) + _KL_WEIGHT * divergence

    result = train(
        vae, RowBatches(len(images), batch_size, in_epoch, seed), compute_loss, n_epochs=n_epochs, seed=seed,
        learning_rate=learning_rate, device=device, checkpoint=checkpoint,
    )  # fmt: skip
    vae.to("cpu")
    some = make_rng(seed, "latent scale").permutation(len(images))[:2000]
    latents = encode_images(vae, images[np.sort(some)], device=device)
    vae.register_to_config(scaling_factor=round(float(1 / latents.std()), 5))
    return vae, result


def refine_decoder(
    vae: Any,
    images: NDArray[np.uint8],
    latents: Tensor,
    *,
    n_steps: int,
    seed: int,
    batch_size: int = 16,
    learning_rate: float = 1.5e-3,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
) -> TrainingResult:
    """Go on training the decoder alone, in place, so that latents keep their meaning.

    The loss is that of :func:`train_vae` without the divergence. Noise of 0.04 standard deviations is added
    to the latents, because those that a denoiser makes are not exact.

    Parameters
    ----------
    vae : diffusers.AutoencoderKL
        From :func:`train_vae`.
    images : array of shape (n, size, size, 3), uint8
        What to decode to.
    latents : tensor of shape (n, 4, h, w)
        Of the images, scaled to unit variance.
    n_steps, seed, batch_size, learning_rate, device, checkpoint
        As in :func:`train_vae`.
    """
    vae.requires_grad_(False)
    vae.decoder.requires_grad_(True)
    vae.post_quant_conv.requires_grad_(True)
    vae.to(memory_format=torch.channels_last)
    judge = load_worldnet().to(device).requires_grad_(False)
    n_epochs, in_epoch = split_steps(n_steps)

    def compute_loss(model: Any, rows: Tensor) -> Tensor:
        pixels, codes = take_pixels(images, rows, device), latents[rows.cpu()].to(device)
        noisy = (codes + _LATENT_NOISE * torch.randn_like(codes)) / model.config.scaling_factor
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            found = model.decode(noisy).sample
        return _compute_error(found.float(), pixels, judge)

    result = train(
        vae, RowBatches(len(images), batch_size, in_epoch, seed + 1), compute_loss, n_epochs=n_epochs,
        seed=seed, learning_rate=learning_rate, device=device, checkpoint=checkpoint,
    )  # fmt: skip
    vae.to("cpu")
    return result


def take_pixels(images: NDArray[np.uint8], rows: Tensor, device: str) -> Tensor:
    """Rows of uint8 images (n, h, w, 3) as (batch, 3, h, w) in [-1, 1], channels last in memory."""
    chosen = torch.from_numpy(images[rows.cpu().numpy()]).to(device).permute(0, 3, 1, 2)
    return chosen.float() / 127.5 - 1


def _compute_error(found: Tensor, pixels: Tensor, judge: Worldnet) -> Tensor:
    edges = sum(functional.l1_loss(found.diff(dim=dim), pixels.diff(dim=dim)) for dim in (2, 3))
    features = sum(
        functional.mse_loss(mine, truth) / truth.square().mean()
        for mine, truth in zip(_see(judge, found), _see(judge, pixels), strict=True)
    )
    return functional.l1_loss(found, pixels) + _GRADIENT_WEIGHT * edges + _FEATURE_WEIGHT * features


def _see(judge: Worldnet, images: Tensor) -> list[Tensor]:
    one = judge.stem(images)
    two = judge.stage2(judge.stage1(one))
    return [one, two, judge.stage3(two)]


@torch.no_grad()
def encode_images(
    vae: Any, images: NDArray[np.uint8], *, batch_size: int = 64, device: str = "cpu"
) -> Tensor:
    """Posterior means (n, 4, h, w), not scaled, of uint8 images (n, size, size, 3)."""
    vae.to(device).eval()
    parts = [
        vae.encode(take_pixels(images, rows, device)).latent_dist.mean.cpu()
        for rows in torch.arange(len(images)).split(batch_size)
    ]
    vae.to("cpu")
    return torch.cat(parts)


@torch.no_grad()
def decode_latents(
    vae: Any, latents: Tensor, *, batch_size: int = 64, device: str = "cpu"
) -> NDArray[np.uint8]:
    """Images (n, size, size, 3) of latents that are not scaled."""
    vae.to(device).eval()
    parts = [vae.decode(part.to(device)).sample.cpu() for part in latents.split(batch_size)]
    vae.to("cpu")
    pixels = torch.cat(parts).clamp(-1, 1).add(1).mul(127.5).round()
    return pixels.permute(0, 2, 3, 1).to(torch.uint8).numpy()
