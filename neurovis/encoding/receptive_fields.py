"""Gaussian pooling of spatial features: where columns lie in the visual field, and what a field sees of them.

A flat feature matrix holds maps: each column has a channel and a place on that channel's grid, row 0 on top.
Positions are in degrees of visual angle, x to the right and y up, from the centre of the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array

_BLOCK_BYTES = 64e6


@dataclass(frozen=True)
class _Maps:
    """Channels that share a grid: their columns (n_maps, n_places) and the places [dva]."""

    positions: NDArray[np.intp]  # among all channels
    columns: NDArray[np.intp]
    x_dva: NDArray[np.float64]
    y_dva: NDArray[np.float64]


@dataclass(frozen=True)
class SpatialLayout:
    """How the columns of a feature matrix make up channels; from :func:`make_layout`.

    Parameters
    ----------
    maps : tuple
        Channels by grid.
    placeless : array of shape (n_placeless,)
        Columns without a place, each a channel of its own after those with one.
    n_maps : int
        Channels with places.
    """

    maps: tuple[_Maps, ...]
    placeless: NDArray[np.intp]
    n_maps: int

    @property
    def n_channels(self) -> int:
        """Channels with places and columns without one."""
        return self.n_maps + len(self.placeless)


def compute_places(
    rows: NDArray, columns: NDArray, *, grid: tuple[int, int], size_dva: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of grid cells in the visual field.

    Parameters
    ----------
    rows, columns : array of shape (n_places,)
        Position on the grid, row 0 on top.
    grid : tuple of int
        (n_rows, n_columns) of the whole grid.
    size_dva : array of shape (2,)
        (height, width) of the image [degrees].

    Returns
    -------
    x_dva, y_dva : array of shape (n_places,)
        As :func:`neurovis.core.make_grid_dva`: right and up positive, from the centre [degrees].
    """
    height, width = np.asarray(size_dva, dtype=np.float64)
    x = ((np.asarray(columns) + 0.5) / grid[1] - 0.5) * width
    y = (0.5 - (np.asarray(rows) + 0.5) / grid[0]) * height
    return x, y


def make_layout(
    n_features: int,
    *,
    rows: ArrayLike | None,
    columns: ArrayLike | None,
    channels: ArrayLike | None,
    size_dva: Sequence[float] | None,
) -> SpatialLayout:
    """Sort columns into channels and grids.

    Parameters
    ----------
    n_features : int
        Columns of the feature matrix.
    rows, columns : array of int of shape (n_features,), optional
        Place on the grid of the channel, whose size is its largest row and column plus one; -1 in both for
        features without a place. By default no feature has one.
    channels : array of shape (n_features,), optional
        Channel of each feature, integers or text; by default all features with a place are one channel.
    size_dva : sequence of float, optional
        (height, width) of the image [degrees]; needed with places.

    Returns
    -------
    SpatialLayout
        Channels in the order of their sorted labels.

    Raises
    ------
    ValueError
        If lengths differ, a place is taken twice or is half given, or ``size_dva`` is missing.
    """
    if rows is None and columns is None:
        return SpatialLayout((), np.arange(n_features), 0)
    if rows is None or columns is None:
        absent = "rows" if rows is None else "columns"
        raise ValueError(f"rows and columns must be given together, got no {absent}; pass both or neither.")
    row, column = (
        check_array(
            name, values, shape=(n_features,), minimum=-1, remedy="pass one integer for each feature"
        ).astype(np.intp)
        for name, values in (("rows", rows), ("columns", columns))
    )
    label = np.zeros(n_features, dtype=np.intp) if channels is None else np.asarray(channels)
    if label.shape != (n_features,):
        raise ValueError(
            f"channels must name the channel of each of the {n_features} features, got shape {label.shape}."
        )
    placed = row >= 0
    if not np.array_equal(placed, column >= 0):
        raise ValueError("rows and columns must be -1 together, got features with only one of them.")
    if placed.any():
        check_size(size_dva)
    names, channel = np.unique(label[placed], return_inverse=True)
    where = np.flatnonzero(placed)
    order = where[np.lexsort((column[where], row[where], channel))]
    groups: dict[tuple[bytes, bytes], list[tuple[int, NDArray[np.intp]]]] = {}
    for position, members in enumerate(np.split(order, np.cumsum(np.bincount(channel))[:-1])):
        key = (row[members].tobytes(), column[members].tobytes())
        groups.setdefault(key, []).append((position, members))
    maps = tuple(_make_maps(group, row, column, size_dva) for group in groups.values()) if len(names) else ()
    return SpatialLayout(maps, np.flatnonzero(~placed), len(names))


def make_fields(
    size_dva: ArrayLike, *, n_positions: int | tuple[int, int], sigmas_dva: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Candidate fields: a lattice of centres over the image at several sizes.

    Parameters
    ----------
    size_dva : array of shape (2,)
        (height, width) of the image [degrees].
    n_positions : int or tuple of int
        Centres along each side, or along (height, width), at the middle of equal parts.
    sigmas_dva : array of shape (n_sizes,), optional
        Standard deviations [degrees]; by default four from a sixteenth to a half of the smaller side, in
        octaves.

    Returns
    -------
    array of shape (n_sizes * n_down * n_across, 3)
        x, y and sigma [degrees].

    Raises
    ------
    ValueError
        If a size is not positive or there is no position.
    """
    height, width = check_size(size_dva)
    n_down, n_across = np.broadcast_to(check_array("n_positions", n_positions, minimum=1), (2,)).tolist()
    default = min(height, width) / 2.0 ** np.arange(4, 0, -1)
    sigmas = check_array("sigmas_dva", default if sigmas_dva is None else sigmas_dva, ndim=1, dtype=float)
    if not len(sigmas) or sigmas.min() <= 0:
        raise ValueError(f"sigmas_dva must be positive, got {sigmas.tolist()}; pass sizes in degrees.")
    x, _ = compute_places(
        np.zeros(n_across), np.arange(n_across), grid=(1, n_across), size_dva=(height, width)
    )
    _, y = compute_places(np.arange(n_down), np.zeros(n_down), grid=(n_down, 1), size_dva=(height, width))
    sigma, centre_y, centre_x = np.meshgrid(sigmas, y, x, indexing="ij")
    return np.stack([centre_x.ravel(), centre_y.ravel(), sigma.ravel()], axis=1)


def pool_fields(X: NDArray, layout: SpatialLayout, fields: NDArray) -> Iterator[tuple[int, NDArray]]:
    """What each Gaussian field sees of each channel, one field at a time.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Flat features.
    layout : SpatialLayout
        Of its columns.
    fields : array of shape (n_fields, 3)
        x, y, sigma [degrees].

    Yields
    ------
    index : int
        Of the field.
    pooled : array of shape (n, n_channels)
        Weighted mean of each map under the field, then the features without a place; in the dtype of X.

    Notes
    -----
    Weights sum to one over the places of a map, so that a field between the samples of a coarse grid, or
    beyond its border, is the nearest of them. Fields are pooled in blocks of bounded memory.
    """
    gathered = [X[:, maps.columns.ravel()].reshape(-1, maps.columns.shape[1]) for maps in layout.maps]
    per_field = max(1, len(X) * layout.n_channels * X.itemsize)
    size = max(1, int(_BLOCK_BYTES / per_field))
    for start in range(0, len(fields), size):
        block = fields[start : start + size]
        pooled = np.empty((len(block), len(X), layout.n_channels), dtype=X.dtype)
        pooled[:, :, layout.n_maps :] = X[:, layout.placeless]
        for maps, values in zip(layout.maps, gathered, strict=True):
            weights = make_weights(maps.x_dva, maps.y_dva, block).astype(X.dtype)
            seen = (values @ weights.T).reshape(len(X), len(maps.positions), len(block))
            pooled[:, :, maps.positions] = np.moveaxis(seen, 2, 0)
        yield from enumerate(pooled, start)


def make_weights(x_dva: NDArray, y_dva: NDArray, fields: NDArray) -> NDArray[np.float64]:
    """Gaussian weights of places, summing to one for each field.

    Parameters
    ----------
    x_dva, y_dva : array of shape (n_places,)
        Places [degrees].
    fields : array of shape (n_fields, 3)
        x, y, sigma [degrees].

    Returns
    -------
    array of shape (n_fields, n_places)
    """
    squared = (x_dva - fields[:, :1]) ** 2 + (y_dva - fields[:, 1:2]) ** 2
    # The nearest place counts 1 before the sum is divided out, which never underflows.
    squared -= squared.min(axis=1, keepdims=True)
    weights = np.exp(-squared / (2 * fields[:, 2:] ** 2))
    return weights / weights.sum(axis=1, keepdims=True)


def check_size(size_dva: Any) -> NDArray[np.float64]:
    """Return (height, width) [degrees] as an array; raise a ValueError unless both are given and positive."""
    if size_dva is None:
        raise ValueError("size_dva must be given for features with places; pass (height, width) in degrees.")
    size = check_array("size_dva", size_dva, shape=(2,), dtype=np.float64)
    if (size <= 0).any():
        raise ValueError(f"size_dva must be positive, got {size.tolist()}; pass (height, width) in degrees.")
    return size


def find_places(features: xr.DataArray, encoder: str) -> dict[str, Any]:
    """``rows``, ``columns`` and ``size_dva`` of spatial features, as constructor arguments of an encoder.

    Parameters
    ----------
    features : xarray.DataArray of dims (rows, "feature")
        With the coordinates ``row`` and ``column`` along "feature" and the attribute ``size_dva``.
    encoder : str
        Named in messages.

    Raises
    ------
    ValueError
        If one of them is missing.
    """
    missing = [name for name in ("row", "column") if name not in features.coords]
    missing += ["size_dva"] if "size_dva" not in features.attrs else []
    if missing:
        raise ValueError(
            f"features must hold the coordinates row and column and the attribute size_dva for {encoder!r}, "
            f"got none of {', '.join(missing)}; extract maps or patch tokens."
        )
    size = tuple(float(side) for side in features.attrs["size_dva"])
    return {"rows": features["row"].values, "columns": features["column"].values, "size_dva": size}


def _make_maps(
    group: list[tuple[int, NDArray[np.intp]]], row: NDArray, column: NDArray, size_dva: Any
) -> _Maps:
    first = group[0][1]
    places = np.stack([row[first], column[first]])
    if len(np.unique(places, axis=1).T) != len(first):
        raise ValueError(
            "rows and columns must give each feature of a channel a place of its own, got two features in "
            "one; pass channels."
        )
    grid = (int(places[0].max()) + 1, int(places[1].max()) + 1)
    x, y = compute_places(*places, grid=grid, size_dva=size_dva)
    positions, members = zip(*group, strict=True)
    return _Maps(np.array(positions), np.stack(members), x, y)
