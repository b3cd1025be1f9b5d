"""Features of language models: a text per stimulus, from a column of the stimulus table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_option
from neurovis.features.arrays import choose_layers, make_feature_array, split_ids
from neurovis.features.capture import Batch, Execution, check_layers, collect_layers
from neurovis.features.reduction import make_places
from neurovis.features.torch_module import describe_network

if TYPE_CHECKING:
    from torch import Tensor, nn

TOKENS = ("mean", "last", "first")


@dataclass(frozen=True)
class TextFeatures:
    """Feature space of a text model.

    Parameters
    ----------
    name : str
        Name of the feature space.
    module : torch.nn.Module
        Called with what the tokenizer returns, as keyword arguments.
    layers : tuple of str
        Default layers, as in :class:`neurovis.features.torch_module.ModuleFeatures`.
    tokenize : callable
        Texts to (keyword arguments of shape (n, tokens), mask (n, tokens) of what is text); its ``repr`` is
        part of the identity of the features.
    column : str
        Column of the stimulus table that holds the text.
    tokens : {"mean", "last", "first"}
        What to keep of (n, tokens, channels): the mean over the text, its last token (what a causal model
        makes of the whole text), or its first (the class token of BERT).
    version : str
        Anything else that decides the numbers.
    execution : Execution
        Precision and compilation.

    Raises
    ------
    ValueError
        If a layer does not exist or an option is unknown.
    """

    name: str
    module: nn.Module
    layers: tuple[str, ...]
    tokenize: Callable[[Sequence[str]], tuple[dict[str, Tensor], Tensor]]
    column: str = "caption"
    tokens: str = "mean"
    version: str = ""
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        check_option("tokens", self.tokens, TOKENS)
        object.__setattr__(self, "layers", tuple(self.layers))
        check_layers(self.module, self.layers, self.name)

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 32,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Features of every stimulus's text; parameters and result as :class:`ModuleFeatures`.

        Raises
        ------
        ValueError
            If the column is missing or a text is empty, besides the errors of :class:`ModuleFeatures`.
        """
        wanted = self.layers if layers is None else choose_layers(layers, layers, name=self.name)
        found = collect_layers(
            self.module, self._make_batches(stimuli, batch_size), wanted, self._reduce,
            name=self.name, execution=self.execution, device=device,
        )  # fmt: skip
        return {
            layer: make_feature_array(values, stimuli, name=self.name, layer=layer, coords=coords)
            for layer, (values, coords) in found.items()
        }

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable."""
        return {
            **describe_network(self.module, self.tokenize, self.execution),
            "kind": "text", "name": self.name, "version": self.version, "tokens": self.tokens,
            "column": self.column,
        }  # fmt: skip

    def compute_stimuli_hash(self, stimuli: StimulusSet) -> str:
        """SHA-256 over ids and texts: what of a stimulus set decides these features."""
        pairs = list(zip(stimuli.stimulus_ids, self._read_texts(stimuli), strict=True))
        return hashlib.sha256(repr(pairs).encode()).hexdigest()

    def _read_texts(self, stimuli: StimulusSet) -> list[str]:
        if self.column not in stimuli.table.columns:
            raise ValueError(
                f"the table of {stimuli.name!r} must have the column {self.column!r}, got "
                f"{list(stimuli.table.columns)}; add it or pass column."
            )
        texts = list(stimuli.table[self.column])
        for stimulus_id, text in zip(stimuli.stimulus_ids, texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(
                    f"column {self.column!r} of {stimuli.name!r} must hold a text for every stimulus, got "
                    f"{text!r} for {stimulus_id!r}; fill it in or leave the stimulus out."
                )
        return texts

    def _make_batches(self, stimuli: StimulusSet, batch_size: int) -> Iterator[Batch]:
        texts = dict(zip(stimuli.stimulus_ids, self._read_texts(stimuli), strict=True))
        for ids in split_ids(stimuli, batch_size=batch_size, name=self.name):
            inputs, mask = self.tokenize([texts[stimulus_id] for stimulus_id in ids])
            yield Batch(inputs, len(ids), mask)

    def _reduce(
        self, output: Tensor, layer: str, batch: Batch
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.int32]]]:
        if batch.mask is None or len(output) != batch.n_rows or output.ndim not in (2, 3):
            raise ValueError(
                f"layer {layer!r} must return (texts[, tokens], channels), got shape {tuple(output.shape)} "
                f"for {batch.n_rows} texts; choose another layer."
            )
        if output.ndim == 3:
            mask = batch.mask.to(output.device)
            if output.shape[1] != mask.shape[1]:
                raise ValueError(
                    f"layer {layer!r} must keep the {mask.shape[1]} tokens of the text, got shape "
                    f"{tuple(output.shape)}; choose another layer."
                )
            if self.tokens == "mean":
                weight = mask[..., None].to(output.dtype)
                output = (output * weight).sum(dim=1) / weight.sum(dim=1)
            else:
                place = mask.sum(dim=1) - 1 if self.tokens == "last" else mask.sum(dim=1) * 0
                output = output[range(len(output)), place]
        return output.cpu().numpy(), make_places(output.shape[1], None)
