"""A planted world for encoders of maps: regions that follow an object wherever it is, and one that does not.

Each image is a small map of Gaussian channels. Two objects lie at independent random places, each with a key
channel that is zero elsewhere. Region A reads the features at object A's place, region B those at B's, both
without the key channels, and region RF reads the mean of a fixed window. Only an encoder that looks for the
object image by image can predict A and B; a fixed receptive field suffices for RF.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import NeuralData, make_neural_data, make_rng

KEY = 4.0
"""Value of an object's key channel at its place."""

REGIONS = ("A", "B", "RF")
_WINDOW = 2


@dataclass(frozen=True)
class RoutingWorld:
    """Features, responses and where everything is.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus", "feature")
        Maps with the coordinates ``channel``, ``row`` and ``column``; ``split`` along "stimulus".
    data : NeuralData
        Rows "stimulus", each shown once, with ``ncsnr`` = ``snr`` and ``split``.
    object_row, object_column : dict of str to int array of shape (n_stimuli,)
        Place of object A and B in each image.
    window : bool array of shape (side, side)
        What region RF reads.
    """

    features: xr.DataArray
    data: NeuralData
    object_row: dict[str, NDArray[np.intp]]
    object_column: dict[str, NDArray[np.intp]]
    window: NDArray[np.bool_]


def make_routing_world(
    *,
    seed: int,
    n_train: int = 1200,
    n_test: int = 400,
    side: int = 6,
    n_channels: int = 16,
    n_neuroids: int = 20,
    snr: float = 1.0,
) -> RoutingWorld:
    """Simulate maps and three regions.

    Parameters
    ----------
    seed : int
        Seed of everything.
    n_train, n_test : int
        Images.
    side : int
        Places along each side of the map, at least 3.
    n_channels : int
        Channels; the last two are the keys of A and B.
    n_neuroids : int
        Neuroids of each region.
    snr : float
        Standard deviation of the signal over that of the noise; the noise ceiling is
        ``snr**2 / (1 + snr**2)`` of the variance.

    Returns
    -------
    RoutingWorld

    Raises
    ------
    ValueError
        If a size is too small.
    """
    if min(n_train, n_test, n_neuroids) < 1 or side <= _WINDOW or n_channels < 3:
        raise ValueError(
            f"n_train, n_test and n_neuroids must be at least 1, side and n_channels 3, got {n_train}, "
            f"{n_test}, {n_neuroids}, {side} and {n_channels}; raise the one that is too small."
        )
    rng = make_rng(seed, "routing")
    n, n_free = n_train + n_test, n_channels - 2
    maps = np.zeros((n, n_channels, side, side))
    maps[:, :n_free] = rng.normal(size=(n, n_free, side, side))
    stimuli = np.arange(n)
    places = {name: rng.integers(side, size=(2, n)) for name in "AB"}
    for key, (row, column) in enumerate(places.values()):
        maps[stimuli, :n_free, row, column] += rng.normal(size=(n, n_free))
        maps[stimuli, n_free + key, row, column] = KEY
    window = np.zeros((side, side), dtype=bool)
    top, left = rng.integers(side - _WINDOW + 1, size=2)
    window[top : top + _WINDOW, left : left + _WINDOW] = True
    read = [maps[stimuli, :n_free, row, column] for row, column in places.values()]
    read.append(maps[:, :n_free, window].mean(axis=-1))
    signal = np.concatenate([part @ rng.normal(size=(n_free, n_neuroids)) for part in read], axis=1)
    responses = snr * signal / signal.std(axis=0) + rng.normal(size=signal.shape)
    return RoutingWorld(
        _label_features(maps, n_train),
        _label_responses(responses, n_train, n_neuroids, snr),
        {name: row for name, (row, _) in places.items()},
        {name: column for name, (_, column) in places.items()},
        window,
    )


def _label_features(maps: NDArray, n_train: int) -> xr.DataArray:
    channel, row, column = (entries.ravel() for entries in np.indices(maps.shape[1:]))
    return xr.DataArray(
        maps.reshape(len(maps), -1).astype(np.float32),
        dims=("stimulus", "feature"),
        coords={
            **_make_row_coords(len(maps), n_train),
            "channel": ("feature", channel),
            "row": ("feature", row),
            "column": ("feature", column),
        },
        attrs={"features": "routing world", "layer": "map"},
    )


def _label_responses(responses: NDArray, n_train: int, n_neuroids: int, snr: float) -> NeuralData:
    region = np.repeat(REGIONS, n_neuroids)
    ids = [f"{name}-{number % n_neuroids}" for number, name in enumerate(region)]
    rows = {name: entries for name, (_, entries) in _make_row_coords(len(responses), n_train).items()}
    return make_neural_data(
        responses.astype(np.float32),
        rows="stimulus",
        row_coords={**rows, "n_repeats": np.ones(len(responses), dtype=int)},
        neuroid_coords={
            "neuroid_id": ids,
            "subject": np.repeat("01", len(region)),
            "region": region,
            "ncsnr": np.full(len(region), float(snr)),
        },
        units="z",
        source="simulated routing world",
    )


def _make_row_coords(n: int, n_train: int) -> dict[str, tuple[str, NDArray]]:
    ids = np.array([f"map-{number:05d}" for number in range(n)])
    return {
        "stimulus_id": ("stimulus", ids),
        "split": ("stimulus", np.where(np.arange(n) < n_train, "train", "test")),
    }
