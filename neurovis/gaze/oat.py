"""Object-level attention transformer: which object of a display is looked at next.

Fang, Yu, Zhang, van der Lans & Shi (2024, ECCV), "OAT: Object-Level Attention Transformer for Gaze Scanpath
Prediction" (arXiv 2407.13335); public code HKUST-NISL/oat_eccv24, which states no licence and was read, not
copied. An encoder sees every object and the target; a decoder sees the objects fixated so far and points at
one of them, or at the target's token to say that the search is over.

A display of N objects uses the ids 0 to N - 1, ``N`` for the end, ``N + 1`` for padding and ``N + 2`` for the
start. Displays of different sizes share a batch: N is then the largest, and absent objects are masked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.core import check_array, check_option
from neurovis.gaze.oat_appearance import BlindEncoder, CropEncoder
from neurovis.gaze.oat_positions import SIGMA_STEPS, compute_position_table

LAYOUTS = ("grid", "centres", "none")
TARGET_POSITIONS = ("none", "true")
APPEARANCES = ("seen", "none")

SIGMA_SHARE = 0.25
"""Width of the position kernel of irregular layouts, as a share of the display's longer side."""

_ORDER_BASE = 10_000.0


@dataclass(frozen=True)
class OATConfig:
    """Size of the model and what it is told.

    Parameters
    ----------
    crop_px : tuple of int, optional
        (height, width) of the objects' crops; exactly one of ``crop_px`` and ``n_features`` is given.
    n_features : int, optional
        Length of feature vectors that stand for the objects instead of crops.
    pyramid_levels : int
        Levels of spatial-pyramid pooling after the convolutions, which then take crops of any size; 0 for
        the published plain pooling.
    d_model, n_heads, n_layers, d_feedforward : int
        Width, attention heads, layers of the encoder and of the decoder each, width inside a layer.
    n_pointers : int
        Heads of the object attention.
    dropout : float
        In [0, 1).
    layout : {"grid", "centres", "none"}
        Places are rows and columns, centres in the image, or withheld (the ablation without distances).
    n_steps : int
        Largest number of rows or columns of a grid.
    sigma : float, optional
        Width of the position kernel: 2 steps of a grid, or a quarter of the display's longer side.
    target_position : {"none", "true"}
        Whether the target's token carries the target's place. The published model does, which tells it where
        to search.
    flag_fixated_target : bool
        Whether a fixated target is marked in the decoder, as published: the model need not recognise it.
    appearance : {"seen", "none"}
        Whether the model sees the objects and the target. Without, places and the past are left, which is
        more than a few dozen images teach about appearance.

    Raises
    ------
    ValueError
        If an option is unknown or sizes do not fit together.
    """

    crop_px: tuple[int, int] | None = None
    n_features: int | None = None
    pyramid_levels: int = 0
    d_model: int = 512
    n_heads: int = 4
    n_layers: int = 4
    d_feedforward: int = 512
    n_pointers: int = 2
    dropout: float = 0.1
    layout: str = "grid"
    n_steps: int = 14
    sigma: float | None = None
    target_position: str = "none"
    flag_fixated_target: bool = False
    appearance: str = "seen"

    def __post_init__(self) -> None:
        if (self.crop_px is None) == (self.n_features is None):
            raise ValueError(
                f"exactly one of crop_px and n_features must be given, got {self.crop_px} and "
                f"{self.n_features}; pass the crops' (height, width) or the length of feature vectors."
            )
        if self.crop_px is not None:
            object.__setattr__(self, "crop_px", tuple(int(side) for side in self.crop_px))
        check_option("layout", self.layout, LAYOUTS)
        check_option("target_position", self.target_position, TARGET_POSITIONS)
        check_option("appearance", self.appearance, APPEARANCES)
        for name in ("d_model", "n_heads", "n_layers", "d_feedforward", "n_pointers", "n_steps"):
            check_array(name, getattr(self, name), ndim=0, minimum=1)
        check_array("dropout", self.dropout, ndim=0, minimum=0, maximum=0.99)
        if self.d_model % 2 or self.d_model % self.n_heads:
            raise ValueError(
                f"d_model must be even and a multiple of n_heads, got {self.d_model} and {self.n_heads}; "
                "pass for example 64 and 4."
            )

    @property
    def n_place(self) -> int:
        """Entries of a token that hold its place; two coordinates of a grid, or one map of the image."""
        half = self.d_model // 2
        return half - 2 if self.layout == "centres" else 2 * math.ceil(half / 3)

    @property
    def place_sigma(self) -> float:
        """Width of the position kernel, in steps of a grid or as a share of the longer side."""
        return self.sigma or (SIGMA_SHARE if self.layout == "centres" else SIGMA_STEPS)


@dataclass(frozen=True, eq=False)
class ObjectBatch:
    """Displays, targets and scanpaths as tensors; made by :func:`neurovis.gaze.oat_trials.make_batch`.

    Parameters
    ----------
    bank : Tensor of shape (n_unique, height, width, 3), uint8, or (n_unique, n_features), float
        Every appearance once; row 0 is blank (white, or zeros).
    appearance : Tensor of shape (n_trials, n_objects + 1), int
        Rows of the bank; the target's appearance last.
    places : Tensor of shape (n_trials, n_objects + 1, n_place)
        Codes of the places; the last one is zeros unless the target's position is told.
    start : Tensor of shape (n_trials, n_place)
        Code of the place before the first fixation.
    present : Tensor of shape (n_trials, n_objects), bool
        False where a display has fewer objects than the largest of the batch.
    target : Tensor of shape (n_trials,), int
        Id of the target, or -1.
    paths : Tensor of shape (n_trials, n_steps), int
        Fixated objects, then the end, then padding.
    """

    bank: Tensor
    appearance: Tensor
    places: Tensor
    start: Tensor
    present: Tensor
    target: Tensor
    paths: Tensor

    @property
    def n_objects(self) -> int:
        """Objects of the largest display: the id of the end."""
        return self.present.shape[1]

    def to(self, device: Any) -> ObjectBatch:
        """The same batch on a device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True, eq=False)
class EncodedDisplays:
    """What decoding needs of displays that were encoded once.

    ``tokens`` (n, N + 3, d_model) are the decoder's inputs by id, ``memory`` (n, N + 1, d_model) is the
    encoder's output and ``attended`` (n, N + 1) tells which of its rows exist.
    """

    tokens: Tensor
    memory: Tensor
    attended: Tensor

    def repeat(self, times: int) -> EncodedDisplays:
        """Every display ``times`` times in a row, for many samples of each."""
        return EncodedDisplays(
            *(tensor.repeat_interleave(times, dim=0) for tensor in (self.tokens, self.memory, self.attended))
        )


class Attention(nn.Module):
    """Multi-head attention with its projections apart, so that keys and values can be kept."""

    def __init__(self, d_model: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.n_heads, self.dropout = n_heads, dropout
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.out.bias)

    def queries(self, x: Tensor) -> Tensor:
        """Tokens (n, t, d) to queries (n, heads, t, d / heads)."""
        return self._split(x, 0, 1)[0]

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, t, d) to keys and values, each (n, heads, t, d / heads)."""
        keys, values = self._split(x, 1, 2)
        return keys, values

    def attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, *, mask: Tensor | None, causal: bool = False
    ) -> Tensor:
        """Weighted values (n, t, d); ``mask`` is true where a key may be attended."""
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=causal,
            dropout_p=self.dropout if self.training else 0.0,
        )  # fmt: skip
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor, first: int, count: int) -> list[Tensor]:
        d = self.out.in_features
        rows = slice(first * d, (first + count) * d)
        projected = functional.linear(x, self.project.weight[rows], self.project.bias[rows])
        return [
            part.unflatten(2, (self.n_heads, d // self.n_heads)).transpose(1, 2)
            for part in projected.split(d, dim=2)
        ]


class EncoderLayer(nn.Module):
    """Post-norm transformer layer."""

    def __init__(self, config: OATConfig) -> None:
        super().__init__()
        d = config.d_model
        self.attention = Attention(d, config.n_heads, config.dropout)
        self.linear1, self.linear2 = nn.Linear(d, config.d_feedforward), nn.Linear(config.d_feedforward, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens (n, t, d); ``mask`` (n, 1, 1, t) is true where a token exists."""
        mixed = self.attention.attend(self.attention.queries(x), *self.attention.keys_values(x), mask=mask)
        x = self.norm1(x + self.dropout(mixed))
        inner = self.linear2(self.dropout(torch.relu(self.linear1(x))))
        return self.norm2(x + self.dropout(inner))


class DecoderLayer(nn.Module):
    """Post-norm transformer layer with cross-attention; runs on whole paths or one step at a time."""

    def __init__(self, config: OATConfig) -> None:
        super().__init__()
        d = config.d_model
        self.attention = Attention(d, config.n_heads, config.dropout)
        self.cross = Attention(d, config.n_heads, config.dropout)
        self.linear1, self.linear2 = nn.Linear(d, config.d_feedforward), nn.Linear(config.d_feedforward, d)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        seen: tuple[Tensor, Tensor] | None,
        memory: tuple[Tensor, Tensor],
        mask: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tokens (n, t, d) and the keys and values of earlier ones to tokens and all keys and values.

        Without ``seen`` the tokens are a whole path and attend causally; with it ``t`` is 1.
        """
        keys, values = self.attention.keys_values(x)
        if seen is not None:
            keys, values = torch.cat([seen[0], keys], dim=2), torch.cat([seen[1], values], dim=2)
        mixed = self.attention.attend(self.attention.queries(x), keys, values, mask=None, causal=seen is None)
        x = self.norm1(x + self.dropout(mixed))
        x = self.norm2(x + self.dropout(self.cross.attend(self.cross.queries(x), *memory, mask=mask)))
        inner = self.linear2(self.dropout(torch.relu(self.linear1(x))))
        return self.norm3(x + self.dropout(inner)), (keys, values)


class Pointer(nn.Module):
    """Object attention: scores of every object for every step, from several heads mixed into one."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.decoder_maps = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(n_heads))
        self.encoder_maps = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(n_heads))
        # The published bias adds one number to every score, which no softmax sees.
        self.mix = nn.Linear(n_heads, 1, bias=False)

    def forward(self, states: Tensor, memory: Tensor) -> Tensor:
        """States (n, t, d) and memory (n, N + 1, d) to scores (n, t, N + 1)."""
        scores = [
            decode(states) @ encode(memory).transpose(1, 2) / math.sqrt(states.shape[-1])
            for decode, encode in zip(self.decoder_maps, self.encoder_maps, strict=True)
        ]
        return self.mix(torch.stack(scores, dim=-1)).squeeze(-1)


class DecoderCache:
    """Keys and values of the steps so far, and of the encoder's output, layer by layer."""

    def __init__(self, memory: list[tuple[Tensor, Tensor]]) -> None:
        self.memory = memory
        self.steps: list[tuple[Tensor, Tensor] | None] = [None] * len(memory)
        self.n_steps = 0


class OAT(nn.Module):
    """Object-level attention transformer.

    Parameters
    ----------
    config : OATConfig
        Size and what the model is told.

    Notes
    -----
    Deviations from the public code: places come from the closed form of
    :mod:`neurovis.gaze.oat_positions`; the target's position is withheld by default; crops are centred and
    scaled alike for every data set, and blanks are white in training and in decoding alike.
    """

    flags: Tensor

    def __init__(self, config: OATConfig) -> None:
        super().__init__()
        self.config = config
        half = config.d_model // 2
        self.embed: nn.Module
        if config.appearance == "none":
            self.embed = BlindEncoder(half)
        elif config.crop_px is not None:
            self.embed = CropEncoder(half, config.crop_px, config.pyramid_levels)
        else:
            self.embed = nn.Linear(int(config.n_features or 0), half)
        flags = compute_position_table([0.0, 1.0], n_columns=half - config.n_place)
        self.register_buffer("flags", torch.tensor(flags, dtype=torch.float32), persistent=False)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_layers))
        self.pointer = Pointer(config.d_model, config.n_pointers)
        self.dropout = nn.Dropout(config.dropout)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, batch: ObjectBatch) -> Tensor:
        """Scores of every next step under teacher forcing.

        Returns
        -------
        Tensor of shape (n_trials, n_steps, N + 2)
            Of the objects, the end and padding (always 0); minus infinity for absent objects.
        """
        n = batch.n_objects
        start = torch.full_like(batch.paths[:, :1], n + 2)
        return self.decode(self.encode(batch), torch.cat([start, batch.paths[:, :-1]], dim=1))

    def encode(self, batch: ObjectBatch) -> EncodedDisplays:
        """Encode displays once, for any number of paths."""
        looks = self.embed(batch.bank)
        n_trials, n = batch.present.shape
        flag_of = torch.zeros_like(batch.appearance)
        flag_of[:, n] = 1
        tokens = torch.cat([looks[batch.appearance], batch.places, self.flags[flag_of]], dim=2)
        attended = torch.cat([batch.present, batch.present.new_ones(n_trials, 1)], dim=1)
        memory = tokens
        for layer in self.encoder:
            memory = layer(memory, attended[:, None, None])
        fixated = tokens[:, :n]
        if self.config.flag_fixated_target:
            is_target = torch.arange(n, device=tokens.device) == batch.target[:, None]
            marked = torch.cat([fixated[..., : -self.flags.shape[1]], self.flags[is_target.long()]], dim=2)
            fixated = marked
        blank = looks[0].expand(n_trials, -1)
        first = torch.cat([blank, batch.start, self.flags[0].expand(n_trials, -1)], dim=1)
        unused = tokens.new_zeros(n_trials, 2, tokens.shape[2])  # the end and padding are never read
        return EncodedDisplays(torch.cat([fixated, unused, first[:, None]], dim=1), memory, attended)

    def decode(self, displays: EncodedDisplays, ids: Tensor) -> Tensor:
        """Scores (n, t, N + 2) after each of the ids (n, t), which begin with the start's."""
        logits, _ = self._run(displays, ids, self.make_cache(displays))
        return logits

    def make_cache(self, displays: EncodedDisplays) -> DecoderCache:
        """Cache for :meth:`step`."""
        layers = cast("list[DecoderLayer]", list(self.decoder))
        return DecoderCache([layer.cross.keys_values(displays.memory) for layer in layers])

    def step(self, displays: EncodedDisplays, ids: Tensor, cache: DecoderCache) -> Tensor:
        """Scores (n, N + 2) after one more id (n,); ``cache`` is brought up to date."""
        logits, kept = self._run(displays, ids[:, None], cache)
        cache.steps, cache.n_steps = list(kept), cache.n_steps + 1
        return logits[:, 0]

    def _run(
        self, displays: EncodedDisplays, ids: Tensor, cache: DecoderCache
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        d = displays.tokens.shape[2]
        x = displays.tokens.gather(1, ids[..., None].expand(-1, -1, d))
        order = torch.arange(cache.n_steps, cache.n_steps + ids.shape[1], device=x.device)
        x = self.dropout(x + encode_order(order, d))
        mask = displays.attended[:, None, None]
        kept = []
        for layer, seen, memory in zip(self.decoder, cache.steps, cache.memory, strict=True):
            x, pair = layer(x, seen, memory, mask)
            kept.append(pair)
        scores = self.pointer(x, displays.memory)
        scores = scores.masked_fill(~displays.attended[:, None], -math.inf)
        return torch.cat([scores, scores.new_zeros(*scores.shape[:2], 1)], dim=2), kept


def encode_order(order: Tensor, d_model: int) -> Tensor:
    """Sinusoids (t, d_model) of the steps' numbers (t,), as in Vaswani et al. (2017)."""
    rates = torch.exp(torch.arange(0, d_model, 2, device=order.device) * (-math.log(_ORDER_BASE) / d_model))
    angles = order[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def compute_loss(network: OAT, batch: ObjectBatch) -> Tensor:
    """Mean cross-entropy of every next step, the end included and padding left out."""
    logits = network(batch)
    return functional.cross_entropy(
        logits.flatten(0, 1), batch.paths.flatten(), ignore_index=batch.n_objects + 1
    )
