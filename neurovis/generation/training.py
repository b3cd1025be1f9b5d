"""Training of the small latent diffusion model of the stimulus world that ships with neurovis.

``neurovis generation train-diffusion`` makes ``models/world-diffusion`` again: an autoencoder, a denoiser and
a text encoder (Rombach et al., 2022, CVPR), as a pipeline folder of diffusers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from neurovis.core import check_array, compute_file_hash, import_optional
from neurovis.generation import training_unet, training_vae
from neurovis.generation.diffusion_data import (
    make_diffusion_scenes,
    make_short_prompts,
    make_world_tokenizer,
)
from neurovis.generation.training_card import format_card
from neurovis.generation.training_quality import GUIDANCE_SCALE, measure_diffusion, weigh_scenes
from neurovis.io import atomic_path, write_json
from neurovis.stimuli.world import WORLD_VERSION
from neurovis.training.loop import EpochRecord

SCENE_SEED = 83_001
TEST_SEED = 83_002
"""Seeds of the scenes; other networks and experiments use others, so no scene is shown to both."""

_EMPTY_SHARE = 0.15
_LATER_EMPTY_SHARE = 0.5
"""Prompts are learned sooner than what the world holds without them, which later rounds dwell on."""

_LAST_RATE = 3e-4
"""Learning rate of the last, short round, which only shifts how often each category is made."""

_DESCRIPTION = "config.json"


def train_world_diffusion(
    out: str | Path,
    *,
    n_images: int = 30_000,
    vae_steps: int = 1500,
    decoder_steps: int = 1000,
    unet_steps: int = 5500,
    unet_rounds: int = 1,
    size_px: int = 64,
    vae_channels: tuple[int, ...] = training_vae.CHANNELS,
    unet_channels: tuple[int, int, int] = training_unet.CHANNELS,
    seed: int = 0,
    device: str = "cpu",
    work: str | Path | None = None,
    n_samples: int = 300,
) -> dict[str, Any]:
    """Train the model, measure it on unseen scenes and write its folder.

    Parameters
    ----------
    out : path
        Receives the pipeline folder of diffusers with weights in half precision, ``config.json`` with all
        settings, numbers and hashes, and the card ``README.md``.
    n_images : int
        Scenes to train on.
    vae_steps, decoder_steps, unet_steps : int
        Updates of the autoencoder (batches of 16), of its decoder alone (16), and of the denoiser with the
        text encoder (32) in the first round, all rounded up to whole hundreds. On one free core of a CPU a
        hundred take about 40, 40 and 30 seconds.
    unet_rounds : int
        Times that the learning rate of the denoiser rises and falls (warm restarts, Loshchilov & Hutter,
        2017, ICLR, section 3), the later ones twice as long as the first; with the same ``work`` a run of
        more rounds goes on from one of fewer. 15 of 100 prompts are empty in the first round and 50 in the
        others. A last round, half as long as the first, weighs the scenes so that samples without guidance
        hold all categories in proportion
        (:func:`neurovis.generation.training_quality.weigh_scenes`).
    size_px : int
        Side of the images [px], a multiple of 16.
    vae_channels, unet_channels : tuple of int
        Of the levels, finest first; wider ones pay on a GPU.
    seed : int
        Seed of initial weights, order and noise; the scenes have seeds of their own.
    device : str
        Torch device.
    work : path, optional
        Keeps scenes, latents and checkpoints; a killed run with the same settings goes on from there.
    n_samples : int
        Samples to measure with.

    Returns
    -------
    dict
        Measured quality, as in ``config.json``; see
        :func:`neurovis.generation.training_quality.measure_diffusion`.

    Raises
    ------
    ValueError
        If a number is out of range, or ``work`` belongs to other settings.
    """
    steps = {
        "vae_steps": vae_steps, "decoder_steps": decoder_steps, "unet_steps": unet_steps,
        "unet_rounds": unet_rounds,
    }  # fmt: skip
    for name, number in steps.items():
        check_array(name, number, ndim=0, minimum=1, remedy="pass how many updates to make")

    def place(name: str) -> Path | None:
        return None if work is None else Path(work) / name

    scenes = make_diffusion_scenes(n_images, seed=SCENE_SEED, size_px=size_px, folder=place("scenes"))
    vae, first = training_vae.train_vae(
        scenes.images, n_steps=vae_steps, seed=seed, channels=vae_channels, device=device,
        checkpoint=place("vae.safetensors"),
    )  # fmt: skip
    latents = training_vae.encode_images(vae, scenes.images, device=device) * vae.config.scaling_factor
    second = training_vae.refine_decoder(
        vae, scenes.images, latents, n_steps=decoder_steps, seed=seed, device=device,
        checkpoint=place("decoder.safetensors"),
    )  # fmt: skip
    prompts = [text for group in make_short_prompts(scenes) for text in group]
    tokenizer = make_world_tokenizer([*scenes.captions, *prompts])
    table = training_unet.make_prompt_table(scenes, tokenizer)
    trained: tuple[Any, Any] | None = None
    history: list[EpochRecord] = []
    for number in range(unet_rounds):
        unet, text_encoder, third = training_unet.train_denoiser(
            latents, table, tokenizer, n_steps=unet_steps * (2 if number else 1), seed=seed + number,
            start=trained, empty_share=_LATER_EMPTY_SHARE if number else _EMPTY_SHARE, channels=unet_channels,
            device=device, checkpoint=place(f"unet-{number}.safetensors"),
        )  # fmt: skip
        trained = unet, text_encoder
        history += third.history
    parts = {"vae": vae, "tokenizer": tokenizer}
    pipeline = write_pipeline(out, unet=unet, text_encoder=text_encoder, **parts)
    weights = weigh_scenes(pipeline, scenes, n_samples=2 * n_samples, seed=seed + 1)
    unet, text_encoder, last = training_unet.train_denoiser(
        latents, table, tokenizer, n_steps=max(1, unet_steps // 2), seed=seed + unet_rounds, start=trained,
        empty_share=_LATER_EMPTY_SHARE, weights=weights, channels=unet_channels, learning_rate=_LAST_RATE,
        device=device, checkpoint=place(f"unet-{unet_rounds}-weighted.safetensors"),
    )  # fmt: skip
    history += last.history
    pipeline = write_pipeline(out, unet=unet, text_encoder=text_encoder, **parts)

    unseen = make_diffusion_scenes(2 * n_samples, seed=TEST_SEED, size_px=size_px, folder=place("unseen"))
    quality = measure_diffusion(pipeline, scenes, unseen, n_samples=n_samples, seed=seed)
    runs = {"vae": first.history, "decoder": second.history, "unet": history}
    config = {
        "name": "world-diffusion",
        "size_px": size_px,
        "latent_px": latents.shape[-1],
        "vae_channels": list(vae_channels),
        "unet_channels": list(unet_channels),
        "training": {
            "n_images": n_images, **steps, "seed": seed, "scene_seed": SCENE_SEED,
            "world_version": WORLD_VERSION,
            "minutes": {
                name: round(sum(epoch.seconds for epoch in run) / 60, 1) for name, run in runs.items()
            },
            "final_loss": {name: round(run[-1].loss, 4) for name, run in runs.items()},
        },
        "quality": {"scene_seed": TEST_SEED, "guidance_scale": GUIDANCE_SCALE, **quality},
        "n_parameters": sum(p.numel() for part in (vae, unet, text_encoder) for p in part.parameters()),
    }  # fmt: skip
    describe_folder(out, config)
    return quality


def write_pipeline(
    out: str | Path,
    *,
    vae: Any,
    unet: Any,
    text_encoder: Any,
    tokenizer: Any,
) -> Any:
    """Write the folder of a pipeline with weights in half precision, and load it again.

    Returns
    -------
    diffusers.StableDiffusionPipeline
        As anyone gets it from the folder, in single precision.
    """
    diffusers = import_optional("diffusers", extra="diffusion")
    # transformers loads in the precision of the file, so the small text encoder keeps single precision.
    halves = {
        name: copy.deepcopy(part).to(memory_format=torch.contiguous_format).half()
        for name, part in (("vae", vae), ("unet", unet))
    }
    diffusers.StableDiffusionPipeline(
        **halves, text_encoder=text_encoder, tokenizer=tokenizer,
        scheduler=training_unet.build_scheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(out)  # fmt: skip
    return diffusers.StableDiffusionPipeline.from_pretrained(str(out), local_files_only=True)


def describe_folder(out: str | Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json``, with size and SHA-256 of every file of weights, and the card ``README.md``."""
    weights = sorted(Path(out).rglob("*.safetensors"))
    written = {
        **config,
        "n_bytes": sum(path.stat().st_size for path in weights),
        "sha256": {path.relative_to(out).as_posix(): compute_file_hash(path) for path in weights},
    }
    write_json(written, Path(out) / _DESCRIPTION)
    with atomic_path(Path(out) / "README.md") as temporary:
        temporary.write_text(format_card(written))
