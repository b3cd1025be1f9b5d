"""Recurrent adaptive integration of the middle temporal area: the second stage of Sun et al. (2023, NeurIPS).

Places of the motion map are nodes of a graph whose edges are the cosine similarities of learnt features. The
symmetrically normalised graph spreads motion over a surface, gated recurrent units keep what came, and one
set of weights is applied again and again.

What makes it small: the graph is never written down. Its normalised product is softmax attention between two
scalings by the degree of each node, and the gradient is computed in strips of rows.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

DENSE_LIMIT = 1024
"""Nodes up to which the whole graph is kept, which is faster for small maps."""

_STRIP = 512  # rows of the graph that are held at a time
_LARGEST_GAIN = 3 * math.pi
_POSITION_GAIN = 0.45 * math.pi
_POSITION_PERIOD = 10_000.0


def spread_dense(features: Tensor, gain: Tensor, values: Tensor) -> Tensor:
    """Values spread over the cosine graph of features, by its matrix.

    Parameters
    ----------
    features : Tensor of shape (n, n_nodes, n_features)
        Unit vectors u.
    gain : Tensor of shape (n, 1, 1)
        Sharpness s of the graph ``A = exp(s * u u')``.
    values : Tensor of shape (n, n_nodes, n_values)
        What spreads.

    Returns
    -------
    Tensor of shape (n, n_nodes, n_values)
        ``D^-1/2 A D^-1/2`` times ``values``, D the row sums of A.

    Notes
    -----
    The authors divide A by its largest entry and add 1e-6 to the roots of the degrees. The first cancels, the
    second is below 1e-6 of a result because every node is its own neighbour at the largest weight.
    """
    logits = gain * features @ features.transpose(1, 2)
    degree = torch.logsumexp(logits, dim=-1, keepdim=True)
    return torch.exp(logits - (degree + degree.transpose(1, 2)) / 2) @ values


def spread_streamed(features: Tensor, gain: Tensor, values: Tensor) -> Tensor:
    """As :func:`spread_dense`, in memory that grows with the nodes instead of their square."""
    return _Spread.apply(features, gain, values)


class _Spread(torch.autograd.Function):
    """Symmetrically normalised graph product with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, gain: Tensor, values: Tensor) -> Tensor:
        query = gain * features
        degree = _compute_log_degree(query, features)
        result = _multiply(query, features, degree, values)
        ctx.save_for_backward(features, gain, values, degree, result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, gain, values, degree, result = ctx.saved_tensors
        (gradient,) = gradients
        query = gain * features
        # The normalised graph is its own transpose.
        to_values = _multiply(query, features, degree, gradient)
        # d log-degree is a softmax-weighted sum of d logits; these are its coefficients.
        through_degree = (
            (gradient * result).sum(-1, keepdim=True) + (values * to_values).sum(-1, keepdim=True)
        ) / 2
        to_query, to_key = torch.zeros_like(features), torch.zeros_like(features)
        for start in range(0, features.shape[1], _STRIP):
            rows = slice(start, start + _STRIP)
            logits = query[:, rows] @ features.transpose(1, 2)
            softmax = torch.exp(logits - degree[:, rows])
            graph = softmax * torch.exp((degree[:, rows] - degree.transpose(1, 2)) / 2)
            to_logits = (
                graph * (gradient[:, rows] @ values.transpose(1, 2)) - through_degree[:, rows] * softmax
            )
            to_query[:, rows] = to_logits @ features
            to_key += to_logits.transpose(1, 2) @ query[:, rows]
        to_gain = (to_query * features).sum(dim=(1, 2), keepdim=True)
        return gain * to_query + to_key, to_gain, to_values


def _compute_log_degree(query: Tensor, features: Tensor) -> Tensor:
    strips = query.split(_STRIP, dim=1)
    keys = features.transpose(1, 2)
    return torch.cat([torch.logsumexp(strip @ keys, dim=-1, keepdim=True) for strip in strips], dim=1)


def _multiply(query: Tensor, features: Tensor, degree: Tensor, values: Tensor) -> Tensor:
    # Relative to the middle degree no factor overflows.
    root = (degree - degree.mean(dim=1, keepdim=True)) / 2
    scaled = torch.exp(-root) * values
    spread = functional.scaled_dot_product_attention(
        query[:, None], features[:, None], scaled[:, None], scale=1.0
    )
    return torch.exp(root) * spread[:, 0]


class SeparableGRU(nn.Module):
    """Convolutional gated recurrent unit, along rows and then along columns (Teed and Deng 2020, ECCV)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.gates, self.candidates = nn.ModuleList(), nn.ModuleList()
        for size in ((1, 5), (5, 1)):
            padding = (size[0] // 2, size[1] // 2)
            self.gates.append(nn.Conv2d(2 * n_channels, 2 * n_channels, size, padding=padding))
            self.candidates.append(nn.Conv2d(2 * n_channels, n_channels, size, padding=padding))

    def forward(self, state: Tensor, message: Tensor) -> Tensor:
        """State and message, both (n, n_channels, height, width), to the next state."""
        for gate, candidate in zip(self.gates, self.candidates, strict=True):
            update, reset = torch.sigmoid(gate(torch.cat([state, message], dim=1))).chunk(2, dim=1)
            proposed = torch.tanh(candidate(torch.cat([reset * state, message], dim=1)))
            state = (1 - update) * state + update * proposed
        return state


class IntegrationStep(nn.Module):
    """One iteration: spread the values over the graph, update values and graph."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        n, wide = n_channels, 4 * n_channels
        self.to_features = nn.Sequential(nn.Linear(n, n, bias=False), nn.ReLU(), nn.Linear(n, n, bias=False))
        self.to_values = nn.Linear(n, n, bias=False)
        self.merge = nn.Linear(n, n, bias=False)
        self.norm = nn.LayerNorm(n)
        self.mix = nn.Sequential(
            nn.Linear(2 * n, wide, bias=False), nn.GELU(), nn.Linear(wide, wide, bias=False), nn.GELU(),
            nn.Linear(wide, n, bias=False), nn.LayerNorm(n),
        )  # fmt: skip
        self.value_gru = SeparableGRU(n)
        self.attention_message = nn.Sequential(nn.Linear(n, n, bias=False), nn.LayerNorm(n))
        self.attention_mix = nn.Sequential(
            nn.Conv2d(2 * n, n, 1), nn.GELU(), nn.Conv2d(n, n, 3, padding=1), nn.GELU(),
            nn.Conv2d(n, n, 3, padding=1), nn.GELU(),
        )  # fmt: skip
        self.attention_gru = SeparableGRU(n)

    def compute_graph(self, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors (n, height * width, n_channels) and gain (n, 1, 1) of the graph."""
        features = self.to_features(_to_nodes(attention))
        gain = 1 + _LARGEST_GAIN * torch.sigmoid(features.mean(dim=(1, 2), keepdim=True))
        return functional.normalize(features, dim=-1), gain

    def forward(self, values: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Values and attention features (n, n_channels, height, width) to the next ones."""
        features, gain = self.compute_graph(attention)
        nodes = _to_nodes(values)
        spread = spread_dense if nodes.shape[1] <= DENSE_LIMIT else spread_streamed
        spreading = self.to_values(nodes)
        # Exponentials of half-precision similarities would be off by percents.
        with torch.autocast(nodes.device.type, enabled=False):
            message = spread(features.float(), gain.float(), spreading.float())
        message = self.norm(self.merge(message))
        message = self.mix(torch.cat([nodes, message], dim=-1))
        shown = _to_map(self.attention_message(message), values)
        attention = self.attention_gru(attention, self.attention_mix(torch.cat([attention, shown], dim=1)))
        return self.value_gru(values, _to_map(message, values)), attention


class MTStage(nn.Module):
    """Recurrent integration of a motion map.

    Parameters
    ----------
    n_channels : int
        Channels of the map; 256 in the paper. A multiple of 4.

    Notes
    -----
    Equations: Sun et al. (2023), section 4. The paper's mean absolute value of a whole batch is taken for
    each sample here, so that a movie's result does not depend on its neighbours.
    """

    def __init__(self, n_channels: int = 256) -> None:
        super().__init__()
        self.step = IntegrationStep(n_channels)
        self.readout = nn.Sequential(
            nn.Linear(n_channels, n_channels), nn.GELU(), nn.Linear(n_channels, n_channels)
        )
        self.gain = nn.Parameter(torch.tensor(1.8))
        self.semisaturation = nn.Parameter(torch.tensor(1.0))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, energy: Tensor, n_iterations: int) -> tuple[list[Tensor], list[Tensor]]:
        """Integrate.

        Parameters
        ----------
        energy : Tensor of shape (n, n_channels, height, width)
            Map of the first stage.
        n_iterations : int
            Applications of the step.

        Returns
        -------
        responses, attention : list of Tensor
            After each iteration, as ``energy``; responses are not negative.
        """
        values, attention = energy, add_position(energy)
        responses, states = [], []
        for _ in range(n_iterations):
            values, attention = self.step(values, attention)
            squared = self.readout(_to_nodes(values)).square()
            pool = squared.mean(dim=(1, 2), keepdim=True) + self.semisaturation**2
            responses.append(_to_map(self.gain.abs() * squared / pool, values))
            states.append(attention)
        return responses, states


def add_position(energy: Tensor) -> Tensor:
    """Map with a sine code of place added, at its own mean absolute value."""
    n_channels, height, width = energy.shape[1:]
    size = energy.abs().mean(dim=(1, 2, 3), keepdim=True)
    code = _make_position_code(n_channels, height, width).to(energy)
    placed = energy + _POSITION_GAIN * size * code / code.mean()
    return placed * size / placed.abs().mean(dim=(1, 2, 3), keepdim=True)


def _make_position_code(n_channels: int, height: int, width: int) -> Tensor:
    """Sines and cosines of the row, then of the column: (n_channels, height, width)."""
    n_waves = n_channels // 4
    rate = _POSITION_PERIOD ** (-torch.arange(n_waves) / n_waves)
    halves = []
    for n_places in (height, width):
        place = 2 * math.pi * torch.arange(1, n_places + 1) / n_places
        angle = rate[:, None] * place
        halves.append(torch.stack([torch.sin(angle), torch.cos(angle)], dim=1).flatten(0, 1))
    rows = halves[0][:, :, None].expand(-1, height, width)
    columns = halves[1][:, None, :].expand(-1, height, width)
    return torch.cat([rows, columns])


def _to_nodes(values: Tensor) -> Tensor:
    return values.flatten(2).transpose(1, 2)


def _to_map(nodes: Tensor, like: Tensor) -> Tensor:
    return nodes.transpose(1, 2).reshape(len(nodes), -1, *like.shape[2:])
