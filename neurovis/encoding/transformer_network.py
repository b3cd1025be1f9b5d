"""Networks of region tokens: something picks one token per region from a map, and neuroids read it linearly.

The picking is cross-attention from learned queries in :class:`CrossAttention` and one fixed map per region
in :class:`StaticMaps`. Cross-attention follows the description in Adeli, Minni & Kriegeskorte (2025,
"Transformer brain encoders explain human high-level visual responses", NeurIPS, arXiv 2505.17329); the
positional code is that of Carion et al. (2020, ECCV). Implemented from the description alone.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_TEMPERATURE = 1e4


def make_sine_code(rows: NDArray, columns: NDArray, width: int) -> NDArray[np.float32]:
    """Fixed two-dimensional sine code of places on a grid.

    Parameters
    ----------
    rows, columns : int array of shape (n_tokens,)
        Places.
    width : int
        Channels, a multiple of 4: the first half codes the row, the second the column.

    Returns
    -------
    array of shape (n_tokens, width)
        In [-1, 1]; sines and cosines of wavelengths that grow geometrically up to 1e4 grids.
    """
    return np.concatenate([_make_axis_code(axis, width // 2) for axis in (rows, columns)], axis=1)


class CrossAttention(nn.Module):
    """One pre-norm decoder layer whose queries are learned and start from a target of zero.

    ``h = norm(0) + q``; attention with keys ``x + p`` and values ``x``, without a residual from the query;
    ``t + FF(norm(t))``; and a last normalisation.

    Parameters
    ----------
    code : array of shape (n_tokens, width)
        Positional code, added to the keys.
    n_channels, n_queries, n_heads, n_hidden : int
        Channels of a token, queries, heads and units of the feed-forward part. ``width`` is a multiple of
        ``n_heads``; tokens of another number of channels are brought to it by a linear map.
    dropout : float
        Share of entries dropped after attention and after the feed-forward part.
    """

    code: Tensor

    def __init__(
        self, code: NDArray, *, n_channels: int, n_queries: int, n_heads: int, n_hidden: int, dropout: float
    ) -> None:
        super().__init__()
        width = code.shape[1]
        self.n_heads = n_heads
        self.register_buffer("code", torch.from_numpy(code), persistent=False)
        self.lift = nn.Identity() if n_channels == width else nn.Linear(n_channels, width)
        self.queries = nn.Parameter(torch.randn(n_queries, width))
        # The norm of a target of zero is its shift alone.
        self.target = nn.Parameter(torch.zeros(width))
        self.to_query, self.to_key, self.to_value, self.merge = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width)
        self.hidden, self.output = nn.Linear(width, n_hidden), nn.Linear(n_hidden, width)
        self.last_norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        for layer in (self.to_query, self.to_key, self.to_value, self.merge, self.hidden, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def width(self) -> int:
        """Channels of a region token."""
        return self.queries.shape[1]

    def forward(self, tokens: Tensor) -> Tensor:
        """Map of tokens (n, n_tokens, n_channels) to region tokens (n, n_queries, width)."""
        lifted = self.lift(tokens)
        queries, keys = self._make_pairs(lifted)
        values = self._split(self.to_value(lifted))
        queries = queries.expand(len(tokens), -1, -1, -1)
        picked = nn.functional.scaled_dot_product_attention(queries, keys, values)
        t = self.drop(self.merge(picked.transpose(1, 2).flatten(2)))
        t = t + self.drop(self.output(torch.relu(self.hidden(self.norm(t)))))
        return self.last_norm(t)

    def attend(self, tokens: Tensor) -> Tensor:
        """Attention weights (n, n_queries, n_heads, n_tokens), which sum to 1 over tokens."""
        queries, keys = self._make_pairs(self.lift(tokens))
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
        return scores.softmax(dim=-1).transpose(1, 2)

    def _make_pairs(self, lifted: Tensor) -> tuple[Tensor, Tensor]:
        queries = self._split(self.to_query(self.target + self.queries)[None])
        return queries, self._split(self.to_key(lifted + self.code))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class StaticMaps(nn.Module):
    """One softmax map over places per query, the same for every image.

    Parameters
    ----------
    n_tokens, n_channels, n_queries : int
        Places, channels and maps; maps start out flat.
    """

    def __init__(self, *, n_tokens: int, n_channels: int, n_queries: int) -> None:
        super().__init__()
        self.width = n_channels
        self.logits = nn.Parameter(torch.zeros(n_queries, n_tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map of tokens (n, n_tokens, n_channels) to region tokens (n, n_queries, n_channels)."""
        return self.logits.softmax(dim=-1) @ tokens

    def attend(self, tokens: Tensor) -> Tensor:
        """The maps as attention weights (n, n_queries, 1, n_tokens)."""
        return self.logits.softmax(dim=-1)[:, None].expand(len(tokens), -1, -1, -1)


class GroupedReadout(nn.Module):
    """Linear readout of mixtures of region tokens, one matrix product per group of neuroids.

    A neuroid v of several regions reads ``w_v . sum_r m_r t_r + b_v``: its bias counts once, and nothing of
    shape (n, n_neuroids, n_queries) is ever formed.

    Parameters
    ----------
    mixing : float array of shape (n_patterns, n_queries)
        Mixture of each group.
    pattern : int array of shape (n_neuroids,)
        Group of each neuroid.
    width : int
        Channels of a region token.
    """

    mixing: Tensor
    order: Tensor
    inverse: Tensor

    def __init__(self, mixing: NDArray, pattern: NDArray, *, width: int) -> None:
        super().__init__()
        order = np.argsort(pattern, kind="stable")
        self.sizes = np.bincount(pattern, minlength=len(mixing)).tolist()
        self.register_buffer("mixing", torch.from_numpy(mixing), persistent=False)
        self.register_buffer("order", torch.from_numpy(order), persistent=False)
        self.register_buffer("inverse", torch.from_numpy(np.argsort(order)), persistent=False)
        # Rows go by group, so that each group's weights are a view and never a copy.
        self.weight, self.bias = _make_weights(len(pattern), width)

    def mix(self, regions: Tensor, patterns: slice = slice(None)) -> Tensor:
        """Region tokens (n, n_queries, width) to what some groups read, (n_patterns, n, width)."""
        return torch.einsum("pq,nqd->pnd", self.mixing[patterns], regions)

    def forward(self, regions: Tensor) -> Tensor:
        """Region tokens (n, n_queries, width) to responses (n, n_neuroids)."""
        parts = [
            nn.functional.linear(mixed, weight, bias)
            for mixed, weight, bias in zip(
                self.mix(regions), self.weight.split(self.sizes), self.bias.split(self.sizes), strict=True
            )
        ]
        return torch.cat(parts, dim=1)[:, self.inverse]


class NeuroidReadout(nn.Module):
    """Linear readout where every neuroid has a token of its own: a product row by row.

    Parameters
    ----------
    n_neuroids, width : int
        Neuroids, which are as many as region tokens, and channels of a token.
    """

    def __init__(self, n_neuroids: int, *, width: int) -> None:
        super().__init__()
        self.weight, self.bias = _make_weights(n_neuroids, width)

    def forward(self, regions: Tensor) -> Tensor:
        """Tokens (n, n_neuroids, width) to responses (n, n_neuroids)."""
        return torch.einsum("nvd,vd->nv", regions, self.weight) + self.bias


class RegionNetwork(nn.Module):
    """Maps of tokens to responses, both in their own units.

    Parameters
    ----------
    selector : CrossAttention or StaticMaps
        Standardised tokens to region tokens.
    readout : GroupedReadout or NeuroidReadout
        Region tokens to standardised responses.
    n_channels, n_neuroids : int
        Sizes of the scales that :meth:`set_scales` fills.
    """

    selector: CrossAttention | StaticMaps
    readout: GroupedReadout | NeuroidReadout
    token_mean: Tensor
    token_scale: Tensor
    response_mean: Tensor
    response_scale: Tensor

    def __init__(
        self,
        selector: CrossAttention | StaticMaps,
        readout: GroupedReadout | NeuroidReadout,
        *,
        n_channels: int,
        n_neuroids: int,
    ) -> None:
        super().__init__()
        self.selector = selector
        self.readout = readout
        for name, size in (("token", n_channels), ("response", n_neuroids)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def select(self, tokens: Tensor) -> Tensor:
        """Tokens (n, n_tokens, n_channels) to region tokens (n, n_queries, width)."""
        return self.selector(self.standardise(tokens))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (n, n_tokens, n_channels) to responses (n, n_neuroids)."""
        return self.readout(self.select(tokens)) * self.response_scale + self.response_mean

    def attend(self, tokens: Tensor) -> Tensor:
        """Tokens to attention weights (n, n_queries, n_heads, n_tokens)."""
        return self.selector.attend(self.standardise(tokens))

    def standardise(self, tokens: Tensor) -> Tensor:
        """Tokens on the scale of the training rows."""
        return (tokens - self.token_mean) / self.token_scale


def make_readout(mixing: NDArray, pattern: NDArray, *, width: int) -> GroupedReadout | NeuroidReadout:
    """Readout of groups, or of one token per neuroid where ``mixing`` is empty."""
    if len(mixing):
        return GroupedReadout(mixing, pattern, width=width)
    return NeuroidReadout(len(pattern), width=width)


def _make_weights(n_neuroids: int, width: int) -> tuple[nn.Parameter, nn.Parameter]:
    weight = torch.empty(n_neuroids, width)
    nn.init.uniform_(weight, -1 / math.sqrt(width), 1 / math.sqrt(width))
    return nn.Parameter(weight), nn.Parameter(torch.zeros(n_neuroids))


def _make_axis_code(positions: NDArray, width: int) -> NDArray[np.float32]:
    """Angles run from just above 0 to 2 pi over the grid; even channels are sines, odd ones cosines."""
    ordinal = positions - positions.min() + 1
    angle = 2 * np.pi * ordinal / ordinal.max()
    scaled = angle[:, None] / _TEMPERATURE ** (np.arange(0, width, 2) / width)
    return (
        np.stack([np.sin(scaled), np.cos(scaled)], axis=-1).reshape(len(positions), width).astype(np.float32)
    )
