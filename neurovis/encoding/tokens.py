"""Flat feature matrices as maps of tokens: which column holds which channel at which place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array

PLACELESS = -1
"""Row and column of a feature without a place, such as one of a class token."""


@dataclass(frozen=True)
class TokenGrid:
    """Places of a feature map and the columns of X that describe them.

    Parameters
    ----------
    index : int array of shape (n_tokens, n_channels)
        Column of X with each channel at each place.
    rows, columns : int array of shape (n_tokens,)
        Place on the grid, row 0 on top; tokens go along rows, as text is read.
    """

    index: NDArray[np.intp]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


def make_token_grid(
    rows: ArrayLike | None, columns: ArrayLike | None, channels: ArrayLike | None, *, n_features: int
) -> TokenGrid:
    """Sort the columns of a feature matrix into tokens.

    Parameters
    ----------
    rows, columns, channels : int array of shape (n_features,), optional
        Place and channel of each feature, in any order; features of row and column -1 are left out. Without
        all three, the features are one token.
    n_features : int
        Columns of X.

    Returns
    -------
    TokenGrid

    Raises
    ------
    ValueError
        If only some of the three are given, a length differs, no feature has a place, or a place lacks a
        channel or has it twice.
    """
    given = {"rows": rows, "columns": columns, "channels": channels}
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        nowhere = np.zeros(1, dtype=np.intp)
        return TokenGrid(np.arange(n_features)[None], nowhere, nowhere)
    if missing:
        raise ValueError(
            f"rows, columns and channels must be given together, got no {missing[0]}; pass all three."
        )
    row, column, channel = (
        check_array(name, value, shape=(n_features,), dtype=np.intp, remedy="pass one entry per feature of X")
        for name, value in given.items()
    )
    placed = np.flatnonzero((row != PLACELESS) & (column != PLACELESS))
    if not len(placed):
        raise ValueError("rows and columns must give a place to some feature, got -1 in all; pass None.")
    places, token = np.unique(np.stack([row, column])[:, placed], axis=1, return_inverse=True)
    names, number = np.unique(channel[placed], return_inverse=True)
    index = np.full((places.shape[1], len(names)), PLACELESS, dtype=np.intp)
    index[token.ravel(), number] = placed
    if (index == PLACELESS).any() or index.size != len(placed):
        raise ValueError(
            f"every place must have each of the {len(names)} channels once, got {len(placed)} features for "
            f"{places.shape[1]} places; use one layer, or layers pooled to one grid with their own channels."
        )
    return TokenGrid(index, places[0], places[1])


def read_token_coords(features: xr.DataArray) -> dict[str, NDArray[np.intp]]:
    """Constructor arrays of an encoder of tokens from the coordinates of a feature array.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus" | "time", "feature")
        With the int coordinates ``row``, ``column`` and ``channel``, and ``layer`` or ``space`` if several
        are joined: a channel of one layer is another one than that of the next.

    Returns
    -------
    dict of str to int array of shape (n_features,)
        ``rows``, ``columns`` and ``channels``.

    Raises
    ------
    ValueError
        If a coordinate is missing.
    """
    missing = [name for name in ("row", "column", "channel") if name not in features.coords]
    if missing:
        raise ValueError(
            f"features must have the coordinates row, column and channel along 'feature', got no "
            f"{missing[0]!r}; extract maps that keep their places."
        )
    keys: list[Any] = [features[name].values for name in ("space", "layer") if name in features.coords]
    codes = [np.unique(key, return_inverse=True)[1].ravel() for key in (*keys, features["channel"].values)]
    _, channels = np.unique(np.stack(codes), axis=1, return_inverse=True)
    return {
        "rows": features["row"].values.astype(np.intp),
        "columns": features["column"].values.astype(np.intp),
        "channels": channels.ravel().astype(np.intp),
    }
