"""Fitted encoders as torch modules: features to responses, differentiable, for guidance and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from neurovis.core import check_option
from neurovis.encoding.banded import BandedRidge
from neurovis.encoding.best_layer import BestLayer
from neurovis.encoding.labels import number_labels
from neurovis.encoding.region_encoder import RegionEncoder
from neurovis.encoding.ridge import Ridge
from neurovis.encoding.stacking import Stacked

DTYPES = ("float32", "float64")


class LinearResponses(nn.Module):
    """Linear readout of features, whole or by layers.

    Parameters
    ----------
    parts : sequence of (columns, weights, neuroids)
        Features (n_part_features,) read by weights (n_part_features, n_part_neuroids) for neuroids
        (n_part_neuroids,); every neuroid is in one part.
    intercept : array of shape (n_neuroids,)
        Response to features of zero.
    n_features : int
        Features that come in.
    """

    intercept: Tensor
    order: Tensor

    def __init__(
        self,
        parts: Sequence[tuple[NDArray, NDArray, NDArray]],
        intercept: NDArray,
        *,
        n_features: int,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.n_parts = len(parts)
        for number, (columns, weights, _) in enumerate(parts):
            whole = len(columns) == n_features
            self.register_buffer(f"columns_{number}", None if whole else torch.from_numpy(columns))
            self.register_buffer(f"weights_{number}", torch.from_numpy(np.array(weights.T)).to(dtype))
        order = np.argsort(np.concatenate([neuroids for _, _, neuroids in parts]))
        self.register_buffer("order", torch.from_numpy(order))
        self.register_buffer("intercept", torch.from_numpy(np.array(intercept)).to(dtype))

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, n_features) to responses (n, n_neuroids)."""
        _check_features(features, self.n_features)
        responses = []
        for number in range(self.n_parts):
            columns = getattr(self, f"columns_{number}")
            read = features if columns is None else features[:, columns]
            responses.append(nn.functional.linear(read, getattr(self, f"weights_{number}")))
        joined = responses[0] if self.n_parts == 1 else torch.cat(responses, dim=1)[:, self.order]
        return joined + self.intercept


class TokenResponses(nn.Module):
    """A region network behind flat features.

    Parameters
    ----------
    network : torch.nn.Module
        Tokens (n, n_tokens, n_channels) to responses.
    index : int array of shape (n_tokens, n_channels)
        Column of the features with each channel at each place.
    n_features : int
        Features that come in.
    """

    index: Tensor

    def __init__(self, network: nn.Module, index: NDArray, *, n_features: int) -> None:
        super().__init__()
        self.network = network
        self.n_features = n_features
        self.register_buffer("index", torch.from_numpy(np.array(index)))

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, n_features) to responses (n, n_neuroids)."""
        _check_features(features, self.n_features)
        tokens = features[:, self.index.flatten()].unflatten(1, tuple(self.index.shape))
        return self.network(tokens)


def to_torch(encoder: Any, *, dtype: str = "float32") -> nn.Module:
    """A fitted encoder as a module that predicts what ``encoder.predict`` does.

    Parameters
    ----------
    encoder : estimator
        Fitted :class:`~neurovis.encoding.ridge.Ridge`, :class:`~neurovis.encoding.banded.BandedRidge`,
        :class:`~neurovis.encoding.stacking.Stacked`, :class:`~neurovis.encoding.best_layer.BestLayer`,
        :class:`~neurovis.encoding.transformer.TransformerEncoder` or
        :class:`~neurovis.encoding.factorised.Factorised`.
    dtype : {"float32", "float64"}
        Precision of weights, features and responses.

    Returns
    -------
    torch.nn.Module
        Features (n, n_features), in the unit and order of the fit, to responses (n, n_neuroids); also of an
        encoder of a single response vector, which has one neuroid. In evaluation mode, without parameters
        that need gradients, on the CPU.

    Raises
    ------
    TypeError
        If the encoder is of another class.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    """
    check_option("dtype", dtype, DTYPES)
    kind = getattr(torch, dtype)
    if not isinstance(encoder, (Ridge, BandedRidge, Stacked, BestLayer, RegionEncoder)):
        raise TypeError(
            f"encoder must be Ridge, BandedRidge, Stacked, BestLayer, TransformerEncoder or Factorised, got "
            f"{type(encoder).__name__}; its prediction has no torch form."
        )
    check_is_fitted(encoder)
    n_features = int(encoder.n_features_in_)
    if isinstance(encoder, RegionEncoder):
        module: nn.Module = TokenResponses(
            encoder.to_module().to(kind), encoder.grid_["index"], n_features=n_features
        )
    else:
        module = LinearResponses(
            _list_parts(encoder), np.atleast_1d(encoder.intercept_), n_features=n_features, dtype=kind
        )
    return module.requires_grad_(False).eval()


def _list_parts(encoder: Any) -> list[tuple[NDArray, NDArray, NDArray]]:
    n_features = int(encoder.n_features_in_)
    if not isinstance(encoder, BestLayer):
        weights = encoder.coef_.reshape(n_features, -1)
        return [(np.arange(n_features), weights, np.arange(weights.shape[1]))]
    names, layer_of = number_labels(encoder.layers, n_features, parameter="layers")
    chosen = np.atleast_1d(encoder.layer_)
    return [
        (np.flatnonzero(layer_of == number), encoder.coef_[str(name)], np.flatnonzero(chosen == number))
        for number, name in enumerate(names)
        if (chosen == number).any()
    ]


def _check_features(features: Tensor, n_features: int) -> None:
    if features.ndim != 2 or features.shape[1] != n_features:
        raise ValueError(
            f"features must have shape (n, {n_features}), got {tuple(features.shape)}; extract those that "
            "the encoder was fitted to."
        )
