"""Training of the small caption decoder on the stimulus world: one function, one command.

``neurovis captioning train-world-captioner`` makes the shipped weights again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.captioning.captioner import PrefixCaptioner, PrefixMapper, write_captioner
from neurovis.captioning.decoding import Decoding
from neurovis.captioning.embedders import EmbedImages, ExtractorEmbedder, check_embeddings
from neurovis.captioning.world_captions import FIELDS, find_marker_words, score_captions
from neurovis.core import check_array, import_optional, make_rng
from neurovis.features.contrastive_scenes import make_captioned_scenes
from neurovis.stimuli.world import WORLD_VERSION
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.loop import train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SCENE_SEED = 83_301
TEST_SEED = 83_302
"""Seeds of the scenes; other networks and experiments use others, so no scene is shown to both."""

PREFIX_LENGTH = 6
MAX_TOKENS = 64
NOISE = 0.3
"""Standard deviation of the noise on embeddings in training, relative to their norm."""

_SIZE: dict[str, Any] = {"n_layer": 4, "n_embd": 128, "n_head": 4}
_BATCH_SIZE = 64
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.02
_SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<eos>"}
_BUCKET = 16
_IGNORED = -100


@dataclass(frozen=True)
class EmbeddedScenes:
    """Scenes of the world as embeddings (n, d) with their captions and dominant subtypes."""

    embeddings: NDArray[np.float32]
    captions: list[str]
    subtypes: list[str]


def embed_scenes(n_images: int, embed: EmbedImages, *, seed: int, batch_size: int = 128) -> EmbeddedScenes:
    """Embed scenes 0 to ``n_images - 1`` of a world.

    Parameters
    ----------
    n_images : int
        Number of scenes, at least 1.
    embed : callable
        Images to unnormalised embeddings.
    seed : int
        Seed of the world.
    batch_size : int
        Images embedded at once.
    """
    scenes = make_captioned_scenes(n_images, seed=seed)
    batches = [scenes.images[start : start + batch_size] for start in range(0, n_images, batch_size)]
    embeddings = np.concatenate([check_embeddings(embed(list(images)), len(images)) for images in batches])
    return EmbeddedScenes(embeddings, list(scenes.captions), [SUBTYPE_NAMES[i] for i in scenes.subtypes])


def make_word_tokenizer(captions: Sequence[str]) -> PreTrainedTokenizerFast:
    """Tokenizer of one token per word over the words of some captions, in lower case.

    Parameters
    ----------
    captions : sequence of str
        Their words are the vocabulary; others become ``<unk>``.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        A word carries the space before it, so that decoding gives the sentence back exactly; quotation marks,
        commas and full stops are tokens of their own.
    """
    tokenizers = import_optional("tokenizers", extra="diffusion")
    transformers = import_optional("transformers", extra="diffusion")
    space = "▁"
    splitter = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Metaspace(replacement=space, prepend_scheme="always"),
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(f"{space}?['.,]"), behavior="isolated"),
        ]
    )
    words = {"."}
    for caption in captions:
        words |= {piece for piece, _ in splitter.pre_tokenize_str(f"{caption.lower()}.")}
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL.values(), *sorted(words)])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token=_SPECIAL["unk_token"]))
    inner.normalizer = tokenizers.normalizers.Lowercase()
    inner.pre_tokenizer = splitter
    inner.decoder = tokenizers.decoders.Metaspace(replacement=space, prepend_scheme="always")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **_SPECIAL)


class CaptionNetwork(nn.Module):
    """Mapper and language model as they are trained."""

    def __init__(self, embedding_dim: int, n_tokens: int, size: dict[str, Any], noise: float) -> None:
        super().__init__()
        transformers = import_optional("transformers", extra="diffusion")
        config = transformers.GPT2Config(
            vocab_size=n_tokens, n_positions=PREFIX_LENGTH + MAX_TOKENS, pad_token_id=0, bos_token_id=2,
            eos_token_id=2, **size,
        )  # fmt: skip
        self.noise = noise
        self.model = transformers.GPT2LMHeadModel(config)
        self.mapper = PrefixMapper(embedding_dim, PREFIX_LENGTH, config.n_embd)

    def compute_loss(self, embeddings: Tensor, tokens: Tensor) -> Tensor:
        """Cross-entropy of captions (n, length), padded with 0, given embeddings (n, d).

        In training, Gaussian noise is added to embeddings (Nukrai et al., CapDec, 2022): a projected weight
        vector is a mean of embeddings and never one that an image gave.
        """
        tokens = tokens[:, : int((tokens != 0).any(dim=0).sum())]
        if self.training:
            norms = embeddings.norm(dim=1, keepdim=True) / embeddings.shape[1] ** 0.5
            embeddings = embeddings + self.noise * norms * torch.randn_like(embeddings)
        words = self.model.transformer.wte(tokens[:, :-1])
        inputs = torch.cat([self.mapper(embeddings), words], dim=1)
        # The last prefix embedding foretells the first word.
        logits = self.model(inputs_embeds=inputs).logits[:, PREFIX_LENGTH - 1 :]
        wanted = tokens.masked_fill(tokens == 0, _IGNORED)
        return nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=_IGNORED
        )


@dataclass(frozen=True)
class _CaptionBatches:
    """Batches of captions of similar length, so that little is padding."""

    embeddings: Tensor
    tokens: Tensor
    seed: int

    def __len__(self) -> int:
        return math.ceil(len(self.tokens) / _BATCH_SIZE)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = make_rng(self.seed, "caption batches", epoch)
        order = rng.permutation(len(self.tokens))
        lengths = (self.tokens != 0).sum(dim=1).numpy()
        batches: list[NDArray[np.intp]] = []
        for start in range(0, len(order), _BUCKET * _BATCH_SIZE):
            rows = order[start : start + _BUCKET * _BATCH_SIZE]
            rows = rows[np.argsort(lengths[rows], kind="stable")]
            batches += [rows[i : i + _BATCH_SIZE] for i in range(0, len(rows), _BATCH_SIZE)]
        for number in rng.permutation(len(batches)):
            rows = batches[number]
            yield self.embeddings[rows], self.tokens[rows]


def train_world_captioner(
    out: str | Path,
    *,
    n_images: int = 24000,
    n_epochs: int = 6,
    seed: int = 0,
    device: str = "cpu",
    amp: bool = False,
    checkpoint: str | Path | None = None,
    embedder: ExtractorEmbedder | None = None,
    n_test: int = 1200,
    noise: float = NOISE,
    size: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train the caption decoder of the stimulus world, measure it on unseen scenes and write its folder.

    Parameters
    ----------
    out : path
        Receives the folder of :func:`neurovis.captioning.captioner.write_captioner`.
    n_images, n_test : int
        Scenes to train on and to measure on.
    n_epochs : int
        Passes over the training scenes.
    seed : int
        Of initial weights, order and noise; the scenes have seeds of their own.
    device : str
        Torch device.
    amp : bool
        Train in bfloat16 where torch deems it safe.
    checkpoint : path, optional
        File that a killed run resumes from, after embedding the scenes again.
    embedder : ExtractorEmbedder, optional
        By default the shipped ``world-clip-resnet``, which tells categories best.
    noise : float
        Standard deviation of the noise on embeddings, relative to their norm; at least 0.
    size : dict, optional
        ``n_layer``, ``n_embd`` and ``n_head`` of the language model.

    Returns
    -------
    dict
        Measured quality, as in ``captioner.json``.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    check_array("noise", noise, ndim=0, minimum=0, remedy="for example 0.3")
    embed = embedder or _make_default_embedder(device)
    scenes = embed_scenes(n_images, embed, seed=SCENE_SEED)
    tokenizer = make_word_tokenizer(scenes.captions)
    tokens = _tokenize(scenes.captions, tokenizer)
    shape = dict(_SIZE if size is None else size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CaptionNetwork(scenes.embeddings.shape[1], len(tokenizer), shape, noise)

    def compute_loss(model: CaptionNetwork, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=amp):
            return model.compute_loss(*batch)

    result = train(
        network, _CaptionBatches(torch.from_numpy(scenes.embeddings), tokens, seed), compute_loss,
        n_epochs=n_epochs, seed=seed, learning_rate=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY,
        device=device, checkpoint=checkpoint,
    )  # fmt: skip
    network.to("cpu")
    captioner = PrefixCaptioner(
        network.mapper, network.model, tokenizer, embed.space, (".", _SPECIAL["eos_token"]), MAX_TOKENS
    )
    markers = find_marker_words(scenes.captions, scenes.subtypes)
    test = embed_scenes(n_test, embed, seed=TEST_SEED)
    quality: dict[str, Any] = {"n_images": n_test, "scene_seed": TEST_SEED}
    for method in ("beam", "greedy"):
        decoding = Decoding(method, max_tokens=MAX_TOKENS)
        quality[method] = measure_captioner(captioner, test, markers, decoding)
    description = {
        "name": "world-captioner",
        "embedder": embed.describe().get("weights", embed.space),
        "markers": markers,
        "training": {
            "n_images": n_images, "n_epochs": n_epochs, "seed": seed, "scene_seed": SCENE_SEED,
            "world_version": WORLD_VERSION, "noise": noise, "amp": amp, **shape,
            "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": quality,
    }  # fmt: skip
    write_captioner(out, captioner, description=description, format_card=_format_card)
    return quality


def measure_captioner(
    captioner: PrefixCaptioner, scenes: EmbeddedScenes, markers: dict[str, str], decoding: Decoding
) -> dict[str, float]:
    """Share of captions right about each part of their scene; see
    :func:`neurovis.captioning.world_captions.score_captions`.
    """
    found = captioner.caption(scenes.embeddings, decoding, merge_above=None)
    scores = score_captions(scenes.captions, found.texts, markers)
    return {field: round(value, 4) for field, value in scores.items()}


def _make_default_embedder(device: str) -> ExtractorEmbedder:
    from neurovis.features.open_clip import make_open_clip

    return ExtractorEmbedder(make_open_clip("world-clip-resnet"), device=device)


def _tokenize(captions: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """Captions with full stop and end, padded with 0, (n, longest)."""
    rows = [tokenizer.encode(f"{caption}.{_SPECIAL['eos_token']}") for caption in captions]
    longest = max(map(len, rows))
    if longest > MAX_TOKENS:
        raise ValueError(f"captions must have at most {MAX_TOKENS} tokens, got {longest}; shorten them.")
    tokens = torch.zeros((len(rows), longest), dtype=torch.long)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return tokens


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    rows = "\n".join(f"| {f} | {quality['greedy'][f]:.3f} | {quality['beam'][f]:.3f} |" for f in FIELDS)
    return f"""# {config["name"]}

A caption decoder for image embeddings of `{config["space"]}`: a two-layer mapper to {config["prefix_length"]}
prefix embeddings and a small GPT-2 behind them, after CLIPCap (Mokady et al., arXiv 2111.09734), trained from
scratch on the stimulus world.

- **Architecture**: `neurovis.captioning.captioner`, {config["n_parameters"]} parameters,
  {config["n_bytes"] / 2**20:.2f} MiB; GPT-2 of {training["n_layer"]} layers, width {training["n_embd"]}, one
  token per word, lower case. Embeddings ({config["embedding_dim"]}-d) must not be normalised.
- **Format**: `transformers` (`GPT2LMHeadModel.from_pretrained`, `AutoTokenizer.from_pretrained`), besides
  `mapper.safetensors` and `captioner.json`; loaded as a whole by
  `neurovis.captioning.load_captioner("world-captioner")`.
- **Data**: {training["n_images"]} scenes of `neurovis.stimuli.world` (version {training["world_version"]},
  seed {training["scene_seed"]}) with their captions; no photograph and no person's data. Gaussian noise of
  {training["noise"]} of the norm on embeddings, so that means of embeddings read as images do.
- **Command**: `neurovis captioning train-world-captioner --n-images {training["n_images"]} --n-epochs
  {training["n_epochs"]} --seed {training["seed"]}{" --amp" if training["amp"] else ""}`;
  {training["minutes"]} minutes of training on one shared core.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `model.safetensors`: `{config["sha256"]["model.safetensors"]}`,
  of `mapper.safetensors`: `{config["sha256"]["mapper.safetensors"]}`
- **Embedding**: weights of `{config["space"]}` with the hash `{config["embedder"][:16]}`; train this decoder
  again when that model changes.

Share of {quality["n_images"]} scenes of seed {quality["scene_seed"]} about which the caption is right, word
for word ("phrase": the main thing with its attributes; "main": all but the small things at the side;
"caption": everything). One embedding of {config["embedding_dim"]} numbers does not hold all of it:

| | greedy | beam 5 |
|---|---|---|
{rows}
"""
