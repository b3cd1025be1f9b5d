"""Latent diffusion models from folders of diffusers: a network for noise, a decoder and a text encoder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurovis.core import check_option, compute_file_hash, find_model, import_optional
from neurovis.features.weights import HUB, build_pretrained
from neurovis.io import read_json

DTYPES = ("float32", "bfloat16", "float16", "float64")
SHIPPED = "world-diffusion"

_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
_PARTS = ("unet", "vae", "text_encoder", "tokenizer")
_FILES = ["model_index.json", *(f"{part}/*" for part in (*_PARTS, "scheduler"))]
_OTHER_COPIES = ["*.bin", "*.ckpt", "*.msgpack", "*.onnx*", "*.xml", "*fp16*", "*non_ema*"]
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class LatentDiffusion:
    """Parts of a latent diffusion model, frozen and in evaluation mode.

    Parameters
    ----------
    unet : torch.nn.Module
        Latents, timestep and text embedding to noise or v (``UNet2DConditionModel``).
    vae : torch.nn.Module
        Decoder of latents (``AutoencoderKL`` or ``AutoencoderTiny``); its ``scaling_factor`` is that of the
        latents.
    scheduler_config : mapping
        Noise schedule and kind of prediction, as diffusers stores them.
    text_encoder, tokenizer : optional
        CLIP's; None for a model without text.
    name : str
        For records.
    compiled : bool
        Whether the network was compiled, after which nothing can watch its parts.

    Raises
    ------
    ValueError
        If the network takes inputs beside latents, time and one text embedding.
    """

    unet: Any
    vae: Any
    scheduler_config: Mapping[str, Any]
    text_encoder: Any = None
    tokenizer: Any = None
    name: str = "latent diffusion"
    compiled: bool = False

    def __post_init__(self) -> None:
        unet, vae = self.unet.config, self.vae.config
        if getattr(unet, "addition_embed_type", None) or getattr(unet, "class_embed_type", None):
            raise ValueError(
                f"unet of {self.name!r} must take latents, time and one text embedding, got one that is also "
                "told sizes or classes (as SDXL is); use a model of the Stable Diffusion 1 or 2 family."
            )
        if unet.in_channels != vae.latent_channels or unet.out_channels != vae.latent_channels:
            raise ValueError(
                f"unet of {self.name!r} must map the decoder's {vae.latent_channels} channels to as many, "
                f"got {unet.in_channels} to {unet.out_channels}; inpainting and depth models do not fit."
            )
        if self.text_encoder is None and any("CrossAttn" in kind for kind in unet.down_block_types):
            raise ValueError(
                f"text_encoder of {self.name!r} must be given, got None for a network that attends to text; "
                "restore it in the folder."
            )
        for part in (self.unet, self.vae, self.text_encoder):
            if part is not None:
                part.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.unet.parameters()).device

    @property
    def reduction(self) -> int:
        """Image pixels along one side of a latent pixel."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def make_latent_shape(self, size_px: tuple[int, int] | None = None) -> tuple[int, int, int]:
        """Shape (channels, height, width) of the latents of an image; by default of the trained size.

        Raises
        ------
        ValueError
            If the size is no multiple of what the decoder and the network halve it to.
        """
        n_channels = int(self.unet.config.in_channels)
        if size_px is None:
            side = self.unet.config.sample_size
            height, width = (side, side) if isinstance(side, int) else side
            return n_channels, int(height), int(width)
        multiple = self.reduction * 2 ** (len(self.unet.config.block_out_channels) - 1)
        if any(side < multiple or side % multiple for side in size_px):
            raise ValueError(f"size_px must be positive multiples of {multiple}, got {size_px}; round them.")
        return n_channels, size_px[0] // self.reduction, size_px[1] // self.reduction

    def embed(self, prompts: Sequence[str]) -> Tensor | None:
        """Text embeddings (n, n_tokens, width); None for a model without text.

        Raises
        ------
        ValueError
            If there is a text but no text encoder, or a text is longer than the model reads.
        """
        if self.text_encoder is None or self.tokenizer is None:
            if any(prompts):
                raise ValueError(
                    f"prompt must be empty, got {next(filter(None, prompts))!r}: {self.name!r} has no text "
                    "encoder."
                )
            return None
        longest = self.tokenizer.model_max_length
        for prompt in prompts:
            if (length := len(self.tokenizer(prompt).input_ids)) > longest:
                raise ValueError(
                    f"prompt must have at most {longest} tokens with {self.name!r}, got {length} in "
                    f"{prompt[:40]!r}...; shorten it."
                )
        found = self.tokenizer(list(prompts), padding="max_length", max_length=longest, return_tensors="pt")
        with torch.no_grad():
            embedding: Tensor = self.text_encoder(found.input_ids.to(self.device))[0]
        return embedding

    def predict(self, latents: Tensor, timestep: Tensor, embedding: Tensor | None) -> Tensor:
        """What the network makes of latents (n, channels, h, w), in their precision; n embeddings or one."""
        if embedding is not None:
            embedding = embedding.expand(len(latents), -1, -1).to(self.unet.dtype)
        output = self.unet(
            latents.to(self.unet.dtype), timestep, encoder_hidden_states=embedding, return_dict=False
        )[0]
        return output.to(latents.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (n, channels, h, w) to images (n, 3, height, width), black 0 and white 1, not clipped."""
        shift = getattr(self.vae.config, "shift_factor", None) or 0
        scaled = latents / self.vae.config.scaling_factor + shift
        images = self.vae.decode(scaled.to(self.vae.dtype), return_dict=False)[0]
        return images.to(latents.dtype) / 2 + 0.5


def load_latent_diffusion(
    source: str | Path = SHIPPED,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
    checkpointing: bool = False,
) -> LatentDiffusion:
    """Load a model of the Stable Diffusion 1 or 2 family.

    Parameters
    ----------
    source : str or path
        Name of a model that ships with neurovis (``"world-diffusion"``), a local folder that
        ``StableDiffusionPipeline.save_pretrained`` wrote, or a name on the hub of Hugging Face such as
        ``"stabilityai/stable-diffusion-2-1-base"``, which is downloaded once.
    device : str
        Torch device.
    dtype : {"float32", "bfloat16", "float16", "float64"}
        Of the weights; latents and their gradient stay in float32 at least.
    channels_last : bool
        Keep maps with their channels innermost, which pays for convolutions.
    compiled : bool
        Compile network and decoder (``torch.compile``); pays on GPUs for many images of one size.
    checkpointing : bool
        Compute the activations of network and decoder again in the backward pass: less memory, a third more
        time.

    Returns
    -------
    LatentDiffusion

    Raises
    ------
    FileNotFoundError
        If there is no such model or folder, or it cannot be downloaded; the message says where it was looked
        for, where it comes from and how to point to a local copy.
    ValueError
        If it is a model of another family, its weights are not those of its description, or an option is
        unknown.
    """
    check_option("dtype", dtype, DTYPES)
    model = _read_folder(_find_folder(source), str(source), getattr(torch, dtype))
    for part in (model.unet, model.vae, model.text_encoder):
        if part is not None:
            part.to(device)
    if channels_last:
        model.unet.to(memory_format=torch.channels_last)
        model.vae.to(memory_format=torch.channels_last)
    if checkpointing:
        model.unet.enable_gradient_checkpointing()
        model.vae.enable_gradient_checkpointing()
    if compiled:
        model.unet.compile()
        model.vae.decoder.compile()
    return replace(model, compiled=compiled)


def _find_folder(source: str | Path) -> Path:
    """Folder of the model on this machine, downloaded if ``source`` is a name on the hub."""
    if (folder := Path(source)).is_dir():
        return folder
    text = str(source)
    if isinstance(source, str) and _HUB_NAME.fullmatch(text):
        hub = import_optional("huggingface_hub", extra="diffusion")
        return Path(
            build_pretrained(
                lambda: hub.snapshot_download(text, allow_patterns=_FILES, ignore_patterns=_OTHER_COPIES),
                name=text, origin=f"{HUB}/{text}",
                remedy=f"on a machine with a network run 'hf download {text} --local-dir FOLDER' and pass "
                f"that folder as source, or use {SHIPPED!r}, which ships with neurovis",
            )
        )  # fmt: skip
    if isinstance(source, Path) or not re.fullmatch(r"[\w-]+", text):
        raise FileNotFoundError(
            f"no folder at {source}; pass the folder that StableDiffusionPipeline.save_pretrained wrote, a "
            f"name on the hub of the form 'owner/name', or {SHIPPED!r}."
        )
    return find_model(text)


def _read_folder(folder: Path, name: str, dtype: torch.dtype) -> LatentDiffusion:
    """The parts of a pipeline, without the pipeline, whose imports take longer than the model."""
    index = read_json(folder / "model_index.json")
    if (kind := index.get("_class_name")) not in _PIPELINES:
        raise ValueError(
            f"source must be a pipeline of the Stable Diffusion 1 or 2 family ({' or '.join(_PIPELINES)}), "
            f"got {kind} in {name!r}; SDXL and later have several text encoders and other inputs."
        )
    _check_hashes(folder)
    parts: dict[str, Any] = {}
    for part in _PARTS:
        library, kind = index.get(part) or ("", "")
        if not library:
            parts[part] = None
            continue
        made = getattr(import_optional(library, extra="diffusion"), kind)
        options = {} if part == "tokenizer" else {"dtype": dtype}
        try:
            parts[part] = made.from_pretrained(str(folder / part), local_files_only=True, **options)
        except OSError as error:
            raise FileNotFoundError(
                f"{folder} must hold {part} as its model_index.json says, got {error}; restore the files."
            ) from error
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    return LatentDiffusion(
        parts["unet"], parts["vae"], scheduler, parts["text_encoder"], parts["tokenizer"], name
    )


def _check_hashes(folder: Path) -> None:
    """Compare files of weights with the SHA-256 in ``config.json``, which models of neurovis have."""
    path = folder / "config.json"
    for name, expected in (read_json(path).get("sha256", {}) if path.is_file() else {}).items():
        found = compute_file_hash(folder / name)
        if found != expected:
            raise ValueError(
                f"{folder / name} must have sha256 {expected[:12]}..., got {found[:12]}...; restore the file "
                "or train the model again."
            )
