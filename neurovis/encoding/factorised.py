"""Factorised encoder: one fixed map over places per region times linear weights on channels.

The static rival of :class:`neurovis.encoding.transformer.TransformerEncoder`: what a neuroid reads may come
from anywhere in the image, but from the same places in every image. Space and features are separated as in
Klindt et al. (2017, NeurIPS); here a map is a softmax and is shared by the neuroids of a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurovis.core import NeuralData
from neurovis.encoding.region_encoder import RegionEncoder
from neurovis.encoding.region_queries import RegionQueries, read_region_coords
from neurovis.encoding.tokens import TokenGrid, read_token_coords

if TYPE_CHECKING:
    from neurovis.encoding.transformer_network import RegionNetwork


class Factorised(RegionEncoder):
    """A softmax map over places per region, then a linear readout of the pooled channels per neuroid.

    Parameters
    ----------
    rows, columns, channels, regions, region_names, hemisphere, queries, overlap
        As :class:`neurovis.encoding.transformer.TransformerEncoder`; what has a query there has a map here,
        with ``queries="neuroid"`` every neuroid.
    n_epochs, batch_size, learning_rate, weight_decay, validation_share, refit_readout, device, seed
        As there; maps start out flat and like a larger learning rate.

    Attributes
    ----------
    validation_r_, outside_, absent_, n_epochs_kept_, alpha_, state_, grid_, queries_
        As there; :meth:`attend` gives the maps, the same for every image.
    """

    def __init__(
        self,
        rows: ArrayLike | None = None,
        columns: ArrayLike | None = None,
        channels: ArrayLike | None = None,
        *,
        regions: ArrayLike | None = None,
        region_names: Sequence[str] | None = None,
        hemisphere: Sequence[str] | NDArray | None = None,
        queries: str = "region",
        overlap: str = "sum",
        n_epochs: int = 30,
        batch_size: int = 32,
        learning_rate: float = 3e-2,
        weight_decay: float = 1e-4,
        validation_share: float = 0.1,
        refit_readout: int | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.regions = regions
        self.region_names = region_names
        self.hemisphere = hemisphere
        self.queries = queries
        self.overlap = overlap
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_share = validation_share
        self.refit_readout = refit_readout
        self.device = device
        self.seed = seed

    def _make_network(self, grid: TokenGrid, queries: RegionQueries) -> RegionNetwork:
        from neurovis.encoding import transformer_network as blocks

        n_tokens, n_channels = grid.index.shape
        selector = blocks.StaticMaps(n_tokens=n_tokens, n_channels=n_channels, n_queries=len(queries.region))
        readout = blocks.make_readout(queries.mixing, queries.pattern, width=n_channels)
        return blocks.RegionNetwork(selector, readout, n_channels=n_channels, n_neuroids=len(queries.pattern))


def make_factorised(
    features: xr.DataArray, data: NeuralData, *, seed: int = 0, device: str = "cpu", **options: Any
) -> Factorised:
    """Unfitted encoder for these places, channels, regions and hemispheres; values are never read.

    Parameters
    ----------
    features, data, seed, device
        As :func:`neurovis.encoding.transformer.make_transformer`.
    **options
        Other parameters of :class:`Factorised`.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If a coordinate is missing.
    """
    found = {**read_token_coords(features), **read_region_coords(data)}
    return Factorised(**{**found, "seed": seed, "device": device, **options})
