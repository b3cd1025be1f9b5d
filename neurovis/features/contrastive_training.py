"""Training of the contrastive image-text models of the stimulus world: one function, one command.

The symmetric loss of CLIP (Radford et al. 2021, ICML, fig. 3), with two deviations. A text that is also true
of another image of its batch is no negative of that image: about two pairs in a hundred are left out. While
training, a linear map head reads the share of each place that each of twelve things covers from the last
tokens or maps before the pooling; it makes few scenes go further and is not stored.

``neurovis features train-world-clip`` makes the shipped weights again.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from neurovis.core import check_option, import_optional, make_rng
from neurovis.features.contrastive_degradations import blur
from neurovis.features.contrastive_measures import make_tokeniser, measure_contrastive
from neurovis.features.contrastive_scenes import CaptionedScenes, make_captioned_scenes, mirror_text
from neurovis.features.open_clip import CONFIG_NAME, WEIGHTS_NAME
from neurovis.features.weights import build_seeded
from neurovis.io import write_json
from neurovis.stimuli.world import WORLD_VERSION
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.loop import ArrayBatches, train
from neurovis.training.models import write_model

TEST_SEED = 83_102
"""Seed of the scenes that every contrastive model is measured on."""

CONTEXT_LENGTH = 64
"""Tokens of a text: the longest caption has 56, its start and its end counted, with its prefix 59."""

PREFIX = "a photo of "
"""Put before a text in a third of the cases, so that prompts in the manner of CLIP are known."""

_N_VOCABULARY = 49_408
_START, _END = 49_406, 49_407
_BATCH_SIZE = 256
_LEARNING_RATE = 1e-3
_TEXTS_AT_ONCE = 64
_LARGEST_SCALE = 100.0
_MAP_WEIGHT = 3.0
# How often a scene comes with each of its descriptions, from all to little.
_DESCRIPTION_SHARES = (0.6, 0.12, 0.16, 0.06, 0.06)
_MEAN, _STD = 0.5, 0.5

PREPROCESS = {
    "size": [64, 64], "mode": "RGB", "mean": [_MEAN] * 3, "std": [_STD] * 3,
    "interpolation": "bicubic", "resize_mode": "shortest",
}  # fmt: skip
"""open_clip's ``preprocess_cfg``."""


@dataclass(frozen=True)
class Tower:
    """How one of the two models is built and trained.

    Parameters
    ----------
    name : str
        Of the model and its folder.
    scene_seed : int
        Seed of its training scenes.
    vision : mapping
        open_clip's ``vision_cfg``.
    tap : str
        Layer of the image tower that the map head reads: tokens with the class token first, or maps.
    tap_width : int
        Its channels.
    """

    name: str
    scene_seed: int
    vision: Mapping[str, Any]
    tap: str
    tap_width: int

    @property
    def model_cfg(self) -> dict[str, Any]:
        """open_clip's ``model_cfg``."""
        text = {
            "context_length": CONTEXT_LENGTH, "vocab_size": _N_VOCABULARY,
            "width": 64, "heads": 2, "layers": 3,
        }  # fmt: skip
        return {"embed_dim": 128, "vision_cfg": {"image_size": 64, **self.vision}, "text_cfg": text}


TOWERS = {
    "vit": Tower(
        "world-clip", 83_101, {"layers": 4, "width": 160, "head_width": 40, "patch_size": 8},
        "ln_post", 160,
    ),
    "resnet": Tower(
        "world-clip-resnet", 83_111, {"layers": [1, 2, 2, 1], "width": 24, "patch_size": None},
        "layer3", 384,
    ),
}  # fmt: skip
"""The shipped models by the kind of their image tower."""


def train_world_clip(
    out: str | Path,
    *,
    tower: str = "vit",
    n_images: int = 20000,
    n_epochs: int = 6,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    n_test: int = 1000,
) -> dict[str, Any]:
    """Train a contrastive model of the stimulus world, measure it on unseen scenes and write its folder.

    Parameters
    ----------
    out : path
        Receives open_clip's ``open_clip_config.json`` and ``open_clip_model.safetensors`` (float16; loading
        gives float32), ``config.json`` and the card ``README.md``.
    tower : {"vit", "resnet"}
        Image tower: a transformer over patches (``world-clip``), or open_clip's residual network
        (``world-clip-resnet``) with training scenes of its own.
    n_images, n_test : int
        Scenes to train on and to measure on.
    n_epochs : int
        Passes over the training scenes.
    seed : int
        Seed of initial weights, order and descriptions; the scenes have seeds of their own.
    device : str
        Torch device.
    checkpoint : path, optional
        ``.safetensors`` file, written after every epoch and resumed from if it exists.

    Returns
    -------
    dict
        Measured quality, as in ``config.json``; see
        :func:`neurovis.features.contrastive_measures.measure_contrastive`.

    Raises
    ------
    ValueError
        If ``tower`` is unknown, a number is out of range or the checkpoint is of another run.
    """
    check_option("tower", tower, TOWERS)
    chosen = TOWERS[tower]
    scenes = make_captioned_scenes(n_images, seed=chosen.scene_seed)
    trained = build_seeded(lambda: MapSupervised(build_contrastive(chosen), chosen), seed)
    result = train(
        trained, make_caption_batches(scenes, seed=seed), compute_contrastive_loss,
        n_epochs=n_epochs, seed=seed, learning_rate=_LEARNING_RATE, weight_decay=0.05, device=device,
        checkpoint=checkpoint,
    )  # fmt: skip
    # What is measured is what is stored: weights of 16 bits, in 32.
    model = trained.model.to("cpu").half().float()
    quality = measure_contrastive(model, make_captioned_scenes(n_test, seed=TEST_SEED))
    config = {
        "name": chosen.name,
        "training": {
            "tower": tower, "n_images": n_images, "n_epochs": n_epochs, "seed": seed,
            "scene_seed": chosen.scene_seed, "world_version": WORLD_VERSION, "batch_size": _BATCH_SIZE,
            "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": {"n_images": n_test, "scene_seed": TEST_SEED, **quality},
    }  # fmt: skip
    write_json({"model_cfg": chosen.model_cfg, "preprocess_cfg": PREPROCESS}, Path(out) / CONFIG_NAME)
    write_model(out, copy.deepcopy(model).half(), config, format_card=_format_card, weights_name=WEIGHTS_NAME)
    return quality


def build_contrastive(tower: Tower) -> Any:
    """An untrained model of open_clip; its weights come from torch's generator."""
    open_clip = import_optional("open_clip", extra="torch")
    model = open_clip.CLIP(**tower.model_cfg)
    open_clip.model.set_model_preprocess_cfg(model, PREPROCESS)
    return model


class MapSupervised(nn.Module):
    """A contrastive model with the map head that it has while it is trained."""

    def __init__(self, model: Any, tower: Tower) -> None:
        super().__init__()
        self.model: Any = model
        self.tap = tower.tap
        self.map_head = nn.Linear(tower.tap_width, len(SUBTYPE_NAMES))

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, 3, 64, 64) to embeddings (n, 128) and logits of shares (n, 12, cells, cells)."""
        seen: dict[str, Tensor] = {}
        layer = self.model.visual.get_submodule(self.tap)
        handle = layer.register_forward_hook(lambda _, __, output: seen.update(output=output))
        embedding = self.model.encode_image(images)
        handle.remove()
        found = seen["output"]
        # Tokens (n, 1 + cells, width), the class token first, or maps (n, width, cells, cells).
        places = found[:, 1:] if found.ndim == 3 else found.flatten(2).transpose(1, 2)
        logits = self.map_head(places).transpose(1, 2)
        return embedding, logits.unflatten(2, (round(logits.shape[2] ** 0.5), -1))


@dataclass(frozen=True)
class CaptionBatches:
    """Batches of scenes, mirrored and degraded at random, each with one of its descriptions.

    Parameters
    ----------
    images : Tensor of shape (n, 64, 64, 3), uint8
    shares : Tensor of shape (n, 12, 8, 8)
    text_ids : Tensor of shape (n, 2, 5)
        Number of every description of every scene, as it is and mirrored; equal texts have one number.
    tokens : Tensor of shape (2, n_texts, context_length)
        Of every text, plain and behind :data:`PREFIX`.
    mirrorable : Tensor of shape (n,), bool
        Scenes without writing.
    seed : int
        Of order and choices.
    """

    images: Tensor
    shares: Tensor
    text_ids: Tensor
    tokens: Tensor
    mirrorable: Tensor
    seed: int

    @property
    def rows(self) -> ArrayBatches:
        """Numbers of the scenes of every batch."""
        return ArrayBatches((torch.arange(len(self.images)),), _BATCH_SIZE, self.seed)

    def __len__(self) -> int:
        """Batches in one epoch."""
        return len(self.rows)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Images (n, 3, 64, 64) in [0, 1], shares, tokens, and pairs (image, text) to leave out (n, n)."""
        rng = make_rng(self.seed, "descriptions", epoch)
        for (rows,) in self.rows(epoch):
            n = len(rows)
            mirrored = torch.from_numpy(rng.random(n) < 0.5) & self.mirrorable[rows]
            level = torch.from_numpy(rng.choice(len(_DESCRIPTION_SHARES), n, p=_DESCRIPTION_SHARES))
            prefixed = torch.from_numpy((rng.random(n) < 1 / 3).astype(int))
            true_of = self.text_ids[rows, mirrored.long()]
            chosen = true_of[torch.arange(n), level]
            also_true = (true_of[:, None] == chosen[None, :, None]).any(dim=2)
            images = self.images[rows].permute(0, 3, 1, 2).float() / 255
            images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
            shares = self.shares[rows]
            shares = torch.where(mirrored[:, None, None, None], shares.flip(3), shares)
            yield (
                _vary(images, rng), shares, self.tokens[prefixed, chosen],
                also_true & ~torch.eye(n, dtype=torch.bool),
            )  # fmt: skip


def make_caption_batches(scenes: CaptionedScenes, *, seed: int) -> CaptionBatches:
    """Scenes with their descriptions as tokens."""
    numbers: dict[str, int] = {}
    mirrorable = np.array(["word '" not in texts[0] for texts in scenes.texts])
    ids = np.array(
        [
            [
                [numbers.setdefault(text, len(numbers)) for text in texts],
                [numbers.setdefault(mirror_text(text), len(numbers)) for text in texts],
            ]
            for texts in scenes.texts
        ]
    )
    tokens = torch.stack([tokenise_texts(numbers), tokenise_texts([PREFIX + text for text in numbers])])
    return CaptionBatches(
        torch.from_numpy(scenes.images), torch.from_numpy(scenes.shares), torch.from_numpy(ids), tokens,
        torch.from_numpy(mirrorable), seed,
    )  # fmt: skip


def tokenise_texts(texts: Iterable[str]) -> Tensor:
    """Tokens (n, 64) as open_clip's tokenizer gives them, each word encoded once.

    CLIP's byte-pair encoding never joins letters across a space, and cleaning a text takes over a
    millisecond.
    """
    known = list(texts)
    out = torch.zeros((len(known), CONTEXT_LENGTH), dtype=torch.long)
    for row, text in enumerate(known):
        ids = [_START, *(token for word in text.split(" ") for token in _encode_word(word)), _END]
        out[row, : len(ids)] = torch.tensor(ids)
    return out


@functools.cache
def _encode_word(word: str) -> tuple[int, ...]:
    return tuple(make_tokeniser(CONTEXT_LENGTH).encode(word))


def compute_contrastive_loss(trained: MapSupervised, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Symmetric cross-entropy over the pairs of a batch, and that of the map head."""
    functional = nn.functional
    images, shares, tokens, left_out = batch
    # For so few tokens, the backward pass of the plain kernel is several times as fast on a CPU.
    with sdpa_kernel(SDPBackend.MATH), torch.autocast(images.device.type, torch.bfloat16):
        embedding, map_logits = trained.encode_image((images - _MEAN) / _STD)
        text_embedding = encode_texts(trained.model, tokens)
    image_side, text_side = (functional.normalize(e.float(), dim=-1) for e in (embedding, text_embedding))
    scale = trained.model.logit_scale.exp().clamp(max=_LARGEST_SCALE)
    logits = (scale * image_side @ text_side.T).masked_fill(left_out, -torch.inf)
    own = torch.arange(len(images), device=images.device)
    cross = functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)
    covered = functional.adaptive_avg_pool2d(shares, map_logits.shape[-1])
    maps = functional.binary_cross_entropy_with_logits(map_logits.float(), covered)
    return cross / 2 + _MAP_WEIGHT * maps


def encode_texts(model: Any, tokens: Tensor) -> Tensor:
    """Text embeddings as ``model.encode_text``, those of similar length together and without their padding.

    Attention looks back only, so what follows the end of a text changes nothing.
    """
    lengths = tokens.argmax(dim=1) + 1
    order = lengths.argsort()
    parts = []
    for rows in order.split(_TEXTS_AT_ONCE):
        n = int(lengths[rows].max())
        ids = tokens[rows, :n]
        x = model.token_embedding(ids) + model.positional_embedding[:n]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:n, :n]))
        parts.append(x[torch.arange(len(rows)), ids.argmax(dim=1)] @ model.text_projection)
    return torch.cat(parts)[order.argsort()]


def _vary(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness and contrast of every image, and blur of every fourth batch."""
    gain, offset = (
        torch.from_numpy(rng.uniform(low, high, (len(images), 1, 1, 1))).float()
        for low, high in ((0.9, 1.1), (-0.05, 0.05))
    )
    varied = ((images - 0.5) * gain + 0.5 + offset).clamp(0, 1)
    return blur(varied, float(rng.uniform(0.3, 1.0))) if rng.random() < 0.25 else varied


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    rows = "\n".join(
        f"| {direction.replace('_', ' ')} among {n} | {found['top1']:.3f} | {found['top5']:.3f} |"
        for n, directions in quality["retrieval"].items()
        for direction, found in directions.items()
    )
    geometry = quality["geometry"]
    titles = {
        "names": 'names of the categories, plain and as "a photo of ..."',
        "subtype_names": "names of the subtypes, likewise",
        "phrases": "phrases in the manner of the captions",
    }
    zero_shot = "\n".join(
        f"| {title} | {quality['category'][key]:.3f} | "
        + (f"{quality['subtype'][key]:.3f} |" if key in quality["subtype"] else "|")
        for key, title in titles.items()
    )
    return f"""# {config["name"]}

A contrastive image-text model of the stimulus world in open_clip's format: images of 64 x 64 and the world's
captions in one space of 128 dimensions. It loads without any download:
`open_clip.create_model("local-dir:<this folder>")`, or as the feature spaces `open_clip:{config["name"]}` and
`open_clip-text:{config["name"]}`.

- **Architecture**: `open_clip_config.json`; {config["n_parameters"]} parameters, most of them the embedding
  of CLIP's 49408 tokens; {config["n_bytes"] / 2**20:.2f} MiB in float16, float32 once loaded. CLIP's own
  byte-pair encoding is kept because it ships with open_clip and is the tokenizer of the large models.
- **Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` (version {training["world_version"]},
  seed {training["scene_seed"]}) and their captions, in whole or in part, mirrored together with their left
  and right, slightly brightened and blurred; no photograph and no person's data.
- **Loss**: CLIP's, in batches of {training["batch_size"]}, and while training a map head on the last stage.
- **Command**: `neurovis features train-world-clip --tower {training["tower"]}
  --n-images {training["n_images"]} --n-epochs {training["n_epochs"]} --seed {training["seed"]}`;
  {training["minutes"]} minutes of training.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `{WEIGHTS_NAME}`: `{config["sha256"]}`

Measured on {quality["n_images"]} scenes of seed {quality["scene_seed"]}. Retrieval by cosine; a candidate
with the same caption is as right as the own one:

| retrieval | top 1 | top 5 |
|---|---|---|
{rows}

Zero-shot accuracy, the prompts of a class averaged:

| prompts | 6 categories | 12 subtypes |
|---|---|---|
{zero_shot}

The names of categories and subtypes stand in for the caption of one training scene in eight, so they are no
novel words to the model.

Geometry: norm of the unnormalised image embeddings {geometry["image_norm_mean"]:.2f} (sd
{geometry["image_norm_sd"]:.2f}), of the text embeddings {geometry["text_norm_mean"]:.2f} (sd
{geometry["text_norm_sd"]:.2f}); mean cosine with the mean direction {geometry["image_cone"]:.3f} of images
and {geometry["text_cone"]:.3f} of texts; distance between the two means of unit embeddings
{geometry["gap"]:.3f}; mean cosine of an image with its own caption {geometry["pair_cosine"]:.3f}, with
another {geometry["other_cosine"]:.3f}.
"""
