"""Captions of image embeddings: a mapper to prefix embeddings and a causal language model behind them.

After Mokady et al., "ClipCap: CLIP Prefix for Image Captioning" (arXiv 2111.09734), section 3.2, with the
two-layer mapper. Models are folders of ``transformers`` with two more files: ``mapper.safetensors`` and the
description ``captioner.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from neurovis.captioning.decoding import MAX_TOKENS, Decoding, decode
from neurovis.core import check_array, compute_file_hash, import_optional
from neurovis.features.capture import compute_weights_hash
from neurovis.io import atomic_path, read_json, write_json
from neurovis.training.checkpoints import read_tensors, write_tensors

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

_MODEL, _MAPPER, _DESCRIPTION = "model.safetensors", "mapper.safetensors", "captioner.json"


class PrefixMapper(nn.Module):
    """Image embeddings (n, d) to prefix embeddings (n, prefix_length, width): two layers and a tanh between.

    Parameters
    ----------
    embedding_dim : int
        Dimension d of the image embedding.
    prefix_length : int
        Prefix embeddings, 10 in the paper.
    width : int
        Width of the language model.
    """

    def __init__(self, embedding_dim: int, prefix_length: int, width: int) -> None:
        super().__init__()
        self.embedding_dim, self.prefix_length = embedding_dim, prefix_length
        n_out = prefix_length * width
        self.model = nn.Sequential(
            nn.Linear(embedding_dim, n_out // 2), nn.Tanh(), nn.Linear(n_out // 2, n_out)
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Prefix embeddings."""
        return self.model(embeddings).unflatten(1, (self.prefix_length, -1))


@dataclass(frozen=True)
class Captions:
    """Sentences of some embeddings.

    Parameters
    ----------
    texts : list of str of length n
        Without the stop token.
    scores : array of shape (n,)
        Mean log probability of the tokens [nat].
    complete : array of shape (n,), bool
        Whether the sentence came to its end; False if it was cut.
    group : array of shape (n,), int
        Row whose embedding was decoded for this one: its own, or an earlier one nearly equal to it.
    """

    texts: list[str]
    scores: NDArray[np.float64]
    complete: NDArray[np.bool_]
    group: NDArray[np.intp]


@dataclass(frozen=True)
class PrefixCaptioner:
    """A caption model for image embeddings.

    Parameters
    ----------
    mapper : PrefixMapper
        Embeddings to prefixes.
    model : transformers.GPT2LMHeadModel
        Continues prefixes; on the device that is computed on.
    tokenizer : transformers.PreTrainedTokenizerBase
        Its tokenizer.
    space : str
        Name of the image embedding that the mapper was trained on; embeddings must not be normalised.
    stop : tuple of str
        Tokens that end a sentence.
    max_tokens : int
        Longest sentence.

    Raises
    ------
    ValueError
        If a stop token is not in the vocabulary, or prefix and sentence are longer than the model allows.
    """

    mapper: PrefixMapper
    model: GPT2LMHeadModel
    tokenizer: PreTrainedTokenizerBase
    space: str
    stop: tuple[str, ...] = (".",)
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        n_positions = self.model.config.n_positions
        if self.mapper.prefix_length + self.max_tokens > n_positions:
            raise ValueError(
                f"prefix_length + max_tokens must not exceed the model's {n_positions} positions, got "
                f"{self.mapper.prefix_length} + {self.max_tokens}; lower max_tokens."
            )
        self.mapper.eval()
        self.model.eval()
        self._find_stop_tokens()

    @property
    def embedding_dim(self) -> int:
        """Dimension of the embeddings."""
        return self.mapper.embedding_dim

    def compute_hash(self) -> str:
        """SHA-256 over all weights: the identity of the captioner."""
        return compute_weights_hash(nn.ModuleList([self.mapper, self.model]))

    def to(self, device: str, *, dtype: torch.dtype | None = None) -> PrefixCaptioner:
        """The same captioner, moved to a device and optionally to half precision (in place)."""
        self.mapper.to(device=device, dtype=dtype)
        nn.Module.to(self.model, device=device, dtype=dtype)
        return self

    def caption(
        self,
        embeddings: ArrayLike,
        decoding: Decoding | None = None,
        *,
        batch_size: int = 128,
        merge_above: float | None = 0.999,
        use_cache: bool = True,
    ) -> Captions:
        """Caption embeddings.

        Parameters
        ----------
        embeddings : array of shape (n, d)
            Unnormalised, as the image tower gives them.
        decoding : Decoding, optional
            By default beam search of width 5.
        batch_size : int
            Embeddings decoded together.
        merge_above : float, optional
            Embeddings with a higher cosine share one decoding, see :func:`merge_similar`; ``None`` decodes
            each.
        use_cache : bool
            Keep keys and values of earlier tokens. Without, every step reads the whole sentence again.

        Returns
        -------
        Captions

        Raises
        ------
        ValueError
            If the embeddings have another dimension or are not finite, or the sentences asked for are longer
            than the model's positions.
        """
        embeddings = check_array(
            "embeddings", embeddings, shape=(None, self.embedding_dim), dtype=np.float32,
            remedy=f"pass unnormalised embeddings of {self.space!r}",
        )  # fmt: skip
        check_array("batch_size", batch_size, ndim=0, minimum=1, remedy="for example 128")
        decoding = decoding or Decoding(max_tokens=self.max_tokens)
        room = self.model.config.n_positions - self.mapper.prefix_length
        if decoding.max_tokens > room:
            raise ValueError(f"max_tokens must be at most {room} for this model, got {decoding.max_tokens}.")
        group = np.arange(len(embeddings))
        if merge_above is not None and len(embeddings):
            group = merge_similar(embeddings, min_cosine=merge_above)
        leaders = np.unique(group)
        stop_tokens = self._find_stop_tokens()
        texts: list[str] = []
        scores, complete = np.empty(len(leaders)), np.empty(len(leaders), dtype=bool)
        for start in range(0, len(leaders), batch_size):
            part = slice(start, start + batch_size)
            prefix = self._make_prefix(embeddings[leaders[part]])
            follow = (_CachedGpt2 if use_cache else _PlainGpt2)(self.model, prefix)
            found = decode(follow, decoding, stop_tokens=stop_tokens, first_row=start)
            texts += [self._write(tokens, stop_tokens) for tokens in found.tokens]
            scores[part], complete[part] = found.scores, found.stopped
        place = np.searchsorted(leaders, group)
        return Captions([texts[i] for i in place], scores[place], complete[place], group)

    def _make_prefix(self, embeddings: NDArray[np.float32]) -> Tensor:
        weight = next(self.mapper.parameters())
        with torch.inference_mode():
            prefix: Tensor = self.mapper(torch.from_numpy(embeddings).to(weight.device, weight.dtype))
        return prefix

    def _find_stop_tokens(self) -> list[int]:
        # Looked up, not encoded: a tokenizer may put a space before a text.
        vocabulary = self.tokenizer.get_vocab()
        unknown = [text for text in self.stop if text not in vocabulary]
        if unknown:
            raise ValueError(f"stop must hold tokens of the vocabulary, got {unknown[0]!r}; for example '.'.")
        return [int(vocabulary[text]) for text in self.stop]

    def _write(self, tokens: Sequence[int], stop_tokens: Sequence[int]) -> str:
        kept = tokens[:-1] if tokens and tokens[-1] in stop_tokens else tokens
        return str(self.tokenizer.decode(list(kept))).strip()


class _CachedGpt2:
    """Next tokens with keys and values of all earlier ones kept."""

    def __init__(self, model: GPT2LMHeadModel, prefix: Tensor) -> None:
        self.model, self.prefix = model, prefix

    def start(self) -> Tensor:
        output = self.model(inputs_embeds=self.prefix, use_cache=True, logits_to_keep=1)
        self.cache = output.past_key_values
        return output.logits[:, -1]

    def extend(self, parents: Tensor, tokens: Tensor) -> Tensor:
        self.cache.batch_select_indices(parents)
        output = self.model(input_ids=tokens[:, None], past_key_values=self.cache, use_cache=True)
        self.cache = output.past_key_values
        return output.logits[:, -1]


class _PlainGpt2:
    """Next tokens from the whole sentence each time."""

    def __init__(self, model: GPT2LMHeadModel, prefix: Tensor) -> None:
        self.model, self.sequence = model, prefix

    def start(self) -> Tensor:
        return self.model(inputs_embeds=self.sequence, use_cache=False).logits[:, -1]

    def extend(self, parents: Tensor, tokens: Tensor) -> Tensor:
        added = self.model.transformer.wte(tokens[:, None])
        self.sequence = torch.cat([self.sequence[parents], added], dim=1)
        return self.start()


def merge_similar(
    embeddings: ArrayLike, *, min_cosine: float = 0.999, block_rows: int = 1024
) -> NDArray[np.intp]:
    """Group embeddings that are nearly equal, each under the first of its kind.

    Parameters
    ----------
    embeddings : array of shape (n, d)
        Not zero.
    min_cosine : float
        Rows with at least this cosine to a leader join it, unless their norms differ: the criterion is
        ``cosine - (|a| - |b|)^2 / (2 |a| |b|)``, the cosine of vectors of equal norm that are as far apart.
    block_rows : int
        Rows compared at once.

    Returns
    -------
    array of shape (n,), int
        Row of the leader of each row; a leader's own row for itself. Two leaders are never as near as
        ``min_cosine``.

    Raises
    ------
    ValueError
        If an embedding is zero or the threshold is not in [-1, 1].
    """
    embeddings = check_array("embeddings", embeddings, ndim=2, dtype=np.float32)
    check_array("min_cosine", min_cosine, ndim=0, minimum=-1, maximum=1, remedy="for example 0.999")
    norms = np.linalg.norm(embeddings, axis=1)
    if not norms.all():
        raise ValueError("embeddings must not be zero, got a zero row; leave those out.")
    units = embeddings / norms[:, None]
    group = np.arange(len(units))
    leaders = np.empty(0, dtype=np.intp)
    for start in range(0, len(units), block_rows):
        rows = np.arange(start, min(start + block_rows, len(units)))
        if len(leaders):
            nearness = _compute_nearness(units, norms, rows, leaders)
            near = nearness.max(axis=1) >= min_cosine
            group[rows[near]] = leaders[nearness.argmax(axis=1)[near]]
            rows = rows[~near]
        within = _compute_nearness(units, norms, rows, rows) >= min_cosine
        free = np.ones(len(rows), dtype=bool)
        for i in range(len(rows)):
            if free[i]:
                joined = np.flatnonzero(within[i] & free)
                group[rows[joined]] = rows[i]
                free[joined] = False
                leaders = np.append(leaders, rows[i])
    return group


def _compute_nearness(
    units: NDArray[np.float32], norms: NDArray[np.float32], a: NDArray[np.intp], b: NDArray[np.intp]
) -> NDArray[np.float32]:
    product = norms[a][:, None] * norms[b]
    return units[a] @ units[b].T - np.square(norms[a][:, None] - norms[b]) / (2 * product)


def write_captioner(
    folder: str | Path,
    captioner: PrefixCaptioner,
    *,
    description: Mapping[str, Any],
    format_card: Callable[[dict[str, Any]], str],
) -> dict[str, Any]:
    """Write a captioner as a folder that ``transformers`` reads too.

    Parameters
    ----------
    folder : path
        Receives the language model and tokenizer as ``transformers`` keep them, ``mapper.safetensors``,
        ``captioner.json`` and the card ``README.md``.
    captioner : PrefixCaptioner
        What to write.
    description : mapping
        JSON-serialisable: training and measured quality.
    format_card : callable
        Full description to the text of the card.

    Returns
    -------
    dict
        What ``captioner.json`` holds: ``description`` with ``space``, sizes, ``stop`` and the SHA-256 of both
        files of weights.
    """
    folder = Path(folder)
    modules = (captioner.model, captioner.mapper)
    with atomic_path(folder) as temporary:
        captioner.model.save_pretrained(temporary)
        captioner.tokenizer.save_pretrained(temporary)
        write_tensors(captioner.mapper.state_dict(), temporary / _MAPPER)
        written = {
            **description,
            "space": captioner.space, "embedding_dim": captioner.embedding_dim,
            "prefix_length": captioner.mapper.prefix_length, "stop": list(captioner.stop),
            "max_tokens": captioner.max_tokens,
            "n_parameters": sum(p.numel() for module in modules for p in module.parameters()),
            "n_bytes": sum((temporary / name).stat().st_size for name in (_MODEL, _MAPPER)),
            "sha256": {name: compute_file_hash(temporary / name) for name in (_MODEL, _MAPPER)},
        }  # fmt: skip
        write_json(written, temporary / _DESCRIPTION)
        (temporary / "README.md").write_text(format_card(written))
    return written


def read_captioner(folder: str | Path) -> PrefixCaptioner:
    """Read what :func:`write_captioner` wrote, after comparing the weights with their SHA-256.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or a file is missing.
    ValueError
        If weights differ from the description.
    """
    transformers = import_optional("transformers", extra="diffusion")
    folder = Path(folder)
    described = read_json(folder / _DESCRIPTION)
    for name, expected in described["sha256"].items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no weights at {folder / name}; restore them or train again.")
        found = compute_file_hash(folder / name)
        if found != expected:
            raise ValueError(
                f"{folder / name} must have sha256 {expected[:12]}..., got {found[:12]}...; restore the file "
                "or train again."
            )
    model = transformers.GPT2LMHeadModel.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    mapper = PrefixMapper(described["embedding_dim"], described["prefix_length"], model.config.n_embd)
    mapper.load_state_dict(read_tensors(folder / _MAPPER)[0])
    return PrefixCaptioner(
        mapper, model, tokenizer, described["space"], tuple(described["stop"]), described["max_tokens"]
    )
