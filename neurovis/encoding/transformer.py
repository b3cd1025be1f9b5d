"""Transformer brain encoder: every region of every hemisphere learns a query that picks, image by image,
which places of a feature map its neuroids read.

Adeli, Minni & Kriegeskorte (2025, "Transformer brain encoders explain human high-level visual responses",
NeurIPS, arXiv 2505.17329). The network is in :mod:`neurovis.encoding.transformer_network`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurovis.core import NeuralData, check_array
from neurovis.encoding.region_encoder import RegionEncoder
from neurovis.encoding.region_queries import RegionQueries, read_region_coords
from neurovis.encoding.tokens import TokenGrid, read_token_coords

if TYPE_CHECKING:
    from neurovis.encoding.transformer_network import RegionNetwork


class TransformerEncoder(RegionEncoder):
    """Cross-attention from learned region queries to a feature map, then a linear readout per neuroid.

    Parameters
    ----------
    rows, columns, channels : int array of shape (n_features,), optional
        Place (row 0 on top) and channel of each column of X, in any order; features without a place (-1)
        are left out. Without all three the features are one token.
    regions : bool array of shape (n_regions, n_neuroids) or sequence of str of length n_neuroids, optional
        Members of each region, which may overlap, or one label per neuroid (``""`` or ``"none"``: none).
        Neuroids of no region share one query per hemisphere; see ``outside_``.
    region_names : sequence of str of length n_regions, optional
        Names of the rows of a bool array.
    hemisphere : sequence of str of length n_neuroids, optional
        With it, a region has a query in each hemisphere.
    queries : {"region", "hemisphere", "neuroid"}
        What has a query.
    overlap : {"sum", "mean", "first"}
        What a neuroid of several regions reads of their tokens.
    width : int, optional
        Channels inside, a multiple of 4 and of ``n_heads``; by default those of the map, rounded up.
    n_heads : int
        Heads of attention.
    n_hidden : int
        Units of the feed-forward part.
    dropout : float
        In [0, 1).
    n_epochs, batch_size : int
        Passes over the training rows, and rows of a step.
    learning_rate, weight_decay : float
        Of AdamW, one-cycle; the gradient's norm is clipped at 0.1.
    validation_share : float
        Share of the rows given to :meth:`fit`, drawn by the seed, that chooses the epoch (by mean
        correlation) and the penalties and gives no gradient.
    refit_readout : int, optional
        How often the readout is solved in closed form, a ridge on region tokens with a penalty per neuroid,
        in turns with the gradient steps, over which the epochs are divided. 0 keeps the trained readout;
        None means 1, or 0 with a query per neuroid, where there is no ridge.
    device : str
        Torch device.
    seed : int
        Decides weights, validation rows, order and dropout; on a CPU the fit is deterministic.

    Attributes
    ----------
    validation_r_ : array of shape (n_neuroids,)
        Correlation on the validation rows, for :func:`compute_ensemble_weights`. Epoch and penalties were
        chosen on them: judge the encoder on other rows.
    outside_ : bool array of shape (n_neuroids,)
        Neuroids of no region; report them apart.
    absent_ : str array
        Regions without a neuroid, which have no query.
    n_epochs_kept_ : int array of shape (n_turns,)
        Epochs after which validation was best.
    alpha_ : array of shape (n_neuroids,)
        Penalty of each readout; missing with ``refit_readout=0``.
    state_, grid_, queries_ : dict of str to array
        Weights and scales, places, and queries.

    Notes
    -----
    After the description of the paper, except: channels and responses are standardised on the training rows
    inside (a channel over all its places, so that a value means the same everywhere); the loss is one mean
    over neuroids, not the sum of those of two hemispheres; the bias of a neuroid of several regions counts
    once; the learning rate follows one cycle; nothing is dropped between the two feed-forward layers; the
    layer's unused parts (self-attention of the queries) are not there; validation rows come from the seed;
    and the readout is solved again in closed form.
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
        width: int | None = None,
        n_heads: int = 16,
        n_hidden: int = 1024,
        dropout: float = 0.1,
        n_epochs: int = 15,
        batch_size: int = 32,
        learning_rate: float = 5e-4,
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
        self.width = width
        self.n_heads = n_heads
        self.n_hidden = n_hidden
        self.dropout = dropout
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

        n_channels = grid.index.shape[1]
        width = _choose_width(self.width, n_channels, self.n_heads)
        selector = blocks.CrossAttention(
            blocks.make_sine_code(grid.rows, grid.columns, width),
            n_channels=n_channels,
            n_queries=len(queries.region),
            n_heads=self.n_heads,
            n_hidden=self.n_hidden,
            dropout=self.dropout,
        )
        readout = blocks.make_readout(queries.mixing, queries.pattern, width=width)
        return blocks.RegionNetwork(selector, readout, n_channels=n_channels, n_neuroids=len(queries.pattern))


def make_transformer(
    features: xr.DataArray, data: NeuralData, *, seed: int = 0, device: str = "cpu", **options: Any
) -> TransformerEncoder:
    """Unfitted encoder for these places, channels, regions and hemispheres; values are never read.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus" | "time", "feature")
        With the int coordinates ``row``, ``column`` and ``channel``.
    data : NeuralData
        With flags ``in_<region>``, or ``region``, and ``hemisphere`` where known.
    seed, device
        As the estimator's.
    **options
        Other parameters of :class:`TransformerEncoder`.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If a coordinate is missing.
    """
    found = {**read_token_coords(features), **read_region_coords(data)}
    return TransformerEncoder(**{**found, "seed": seed, "device": device, **options})


def compute_ensemble_weights(
    validation_r: ArrayLike, *, layers: Sequence[str] | None = None, sharpness: float = 40.0
) -> NDArray[np.float64]:
    """Weights of several encoders in the prediction of each neuroid, from their validation correlations.

    Parameters
    ----------
    validation_r : array of shape (n_encoders, n_neuroids)
        Correlation on validation rows, e.g. ``validation_r_`` of encoders on different layers.
    layers : sequence of str of length n_encoders, optional
        Which encoders share a layer: runs with other seeds. By default each has its own.
    sharpness : float
        Factor on the correlations before the softmax over layers.

    Returns
    -------
    array of shape (n_encoders, n_neuroids)
        Sums to 1 over encoders; the ensemble's prediction is ``einsum("en,esn->sn", weights, predictions)``.

    Raises
    ------
    ValueError
        If a correlation is not finite or ``layers`` has another length.

    Notes
    -----
    A softmax of 40 times the mean correlation of a layer (arXiv 2505.17329). The weight of a layer is shared
    by its runs; the original adds runs with the whole weight, so that its weights sum to the number of runs.
    """
    r = check_array("validation_r", validation_r, ndim=2, dtype=np.float64)
    names = np.arange(len(r)).astype(str) if layers is None else np.asarray(layers).astype(str)
    if names.shape != (len(r),):
        raise ValueError(f"layers must have one entry for each of the {len(r)} encoders, got {names.shape}.")
    kinds, layer = np.unique(names, return_inverse=True)
    means = np.stack([r[layer == number].mean(axis=0) for number in range(len(kinds))])
    odds = np.exp(sharpness * (means - means.max(axis=0)))
    return (odds / odds.sum(axis=0) / np.bincount(layer)[:, None])[layer]


def _choose_width(width: int | None, n_channels: int, n_heads: int) -> int:
    heads = int(check_array("n_heads", n_heads, ndim=0, minimum=1))
    unit = math.lcm(4, heads)
    if width is None:
        return unit * -(-n_channels // unit)
    if width < unit or width % unit:
        raise ValueError(f"width must be a multiple of 4 and of n_heads={heads}, got {width}; pass {unit}.")
    return width
