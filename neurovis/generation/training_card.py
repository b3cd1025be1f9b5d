"""The card of the world's diffusion model, written from its description."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

_WIDTH = 108


def format_card(config: Mapping[str, Any]) -> str:
    """Text of ``README.md`` from what ``config.json`` holds."""
    quality, side, latent_side = config["quality"], config["size_px"], config["latent_px"]
    training, widths = config["training"], ", ".join(map(str, config["unet_channels"]))
    minutes, rebuilt = training["minutes"], quality["reconstruction"]
    frechet, near, n_samples = quality["frechet"], quality["neighbours"], quality["n_samples"]
    free, flowing = quality["unguided"], quality["deterministic"]
    parts = [
        f"# {config['name']}",
        _fill(
            f"""A small text-conditional latent diffusion model of images of {side} x {side}, trained from
            scratch on the stimulus world:"""
        ),
        '    StableDiffusionPipeline.from_pretrained("models/world-diffusion", local_files_only=True)',
        _list(
            f"""**Architecture**: an `AutoencoderKL` to latents of 4 x {latent_side} x {latent_side}, a
            `UNet2DConditionModel` (widths {widths}) that predicts noise, and a `CLIPTextModel` of two layers
            with a tokenizer to which every word of the world's captions is one token;
            {config["n_parameters"]} parameters, {config["n_bytes"] / 2**20:.1f} MiB, in half precision but
            for the text encoder; loaded in single precision.""",
            f"""**Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` (version
            {training["world_version"]}, seed {training["scene_seed"]}) with their captions; no photograph
            and no person's data. The prompt in training is the caption, its first clause, "a photo of
            <subtype>", "a photo of <category>" or, in 15 of 100 draws (50 after the first round), empty.""",
            f"""**Command**: `neurovis generation train-diffusion --n-images {training["n_images"]}
            --unet-steps {training["unet_steps"]} --unet-rounds {training["unet_rounds"]} --seed
            {training["seed"]}`: {training["vae_steps"]} updates of the autoencoder in {minutes["vae"]:.0f}
            minutes, {training["decoder_steps"]} of its decoder alone in {minutes["decoder"]:.0f}, and
            {training["unet_steps"] * (4 * training["unet_rounds"] - 1) // 2} of denoiser and text encoder in
            {minutes["unet"]:.0f}, the last {training["unet_steps"] // 2} with scenes weighted by how seldom
            their category was made without guidance; on a CPU shared with other work. Another processor or
            number of threads adds in another order, so the weights come out alike but not bit for bit.""",
            "**Licence**: BSD-3-Clause, as the rest of neurovis.",
        ),
        _fill(
            f"""Measured with {n_samples} samples without guidance, {n_samples} with prompts (guidance
            {quality["guidance_scale"]:g}), each of 50 steps of SDE-DPM-Solver++ (2M), {n_samples} without
            guidance and without noise in the steps (DPM-Solver++ 2M), and {2 * n_samples} unseen scenes (seed
            {quality["scene_seed"]}):"""
        ),
        _list(
            f"""**Reconstruction** of unseen scenes: {rebuilt["psnr_db"]:.1f} dB, SSIM
            {rebuilt["ssim"]:.3f}.""",
            f"""**Fréchet distance** to unseen scenes in worldnet's pooled features: samples
            {frechet["samples"]:.2f}, without noise {frechet["deterministic"]:.2f}, reconstructions
            {frechet["reconstructions"]:.2f}, other unseen scenes {frechet["other_half"]:.2f}. The
            autoencoder was trained with worldnet's first stages, which flatters all but the last.""",
            f"""**Nearest training image** at 16 x 16, median of the root mean squared difference in grey
            levels: samples {near["samples"]:.1f}, unseen scenes {near["unseen"]:.1f};
            {near["share_closer"]:.3f} of the samples are closer to one than 99 in 100 unseen scenes are.""",
            f"""**World-judge** is right on {quality["unseen"]["accuracy"]:.3f} of unseen scenes; its mean
            confidence is {quality["unseen"]["confidence"]:.3f} there and
            {free["confidence"]:.3f} on samples without guidance ({flowing["confidence"]:.3f} without
            noise).""",
            f"""**Categories in proportion**: the shares of categories in samples and in unseen scenes differ
            by a total variation of {free["distance"]:.3f} ({flowing["distance"]:.3f} without noise); 95 of
            100 pairs of equal sets of this size stay below {free["chance_distance"]:.3f}.""",
        ),
        _fill(
            """What world-judge finds, which has seen neither these scenes nor the model: shares of samples
            without guidance, with noise in the steps and without, of unseen scenes, and share of samples of
            "a photo of <category>" that are found to be so:"""
        ),
        _format_table(quality),
        "Weights, by SHA-256:",
        "\n".join(f"- `{name}`: `{value}`" for name, value in config["sha256"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def _fill(text: str, first: str = "", rest: str = "") -> str:
    words = " ".join(text.split())
    return textwrap.fill(words, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _list(*items: str) -> str:
    return "\n".join(_fill(item, "- ", "  ") for item in items)


def _format_table(quality: Mapping[str, Any]) -> str:
    lines = ["| | samples | without noise | unseen scenes | prompts followed |", "|---|---|---|---|---|"]
    for level in ("categories", "subtypes"):
        for name, share in quality["unguided"][level].items():
            followed = f"{quality['prompts'][name]:.3f}" if name in quality["prompts"] else ""
            others = [quality[kind][level][name] for kind in ("deterministic", "unseen")]
            lines.append(f"| {name} | {share:.3f} | {others[0]:.3f} | {others[1]:.3f} | {followed} |")
    return "\n".join(lines)
