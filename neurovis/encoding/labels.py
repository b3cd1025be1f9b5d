"""Labels of feature columns, such as spaces and layers, as numbers in the order of their first columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray


def number_labels(
    labels: ArrayLike | None, n_features: int, *, parameter: str
) -> tuple[list[Any], NDArray[np.intp]]:
    """Names and the number of each column's name.

    Parameters
    ----------
    labels : array of shape (n_features,), optional
        Names or numbers in any order; by default one label, ``"all"``.
    n_features : int
        Columns of the feature matrix.
    parameter : str
        Name of the argument, for messages.

    Returns
    -------
    names : list
        Distinct labels in the order of their first columns.
    numbers : array of shape (n_features,)
        Position of each column's label in ``names``.

    Raises
    ------
    ValueError
        If there is not one label for each column.
    """
    if labels is None:
        return ["all"], np.zeros(n_features, dtype=np.intp)
    given = np.asarray(labels)
    if given.shape != (n_features,):
        raise ValueError(
            f"{parameter} must have one entry for each of the {n_features} features, got shape "
            f"{given.shape}; pass the coordinate of the features."
        )
    names, first, numbers = np.unique(given, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return names[order].tolist(), np.argsort(order)[numbers]


def find_labels(features: xr.DataArray, coords: tuple[str, ...], *, encoder: str) -> NDArray:
    """The first of some coordinates that features have along "feature".

    Parameters
    ----------
    features : xarray.DataArray of dims (rows, "feature")
        Joined by :func:`neurovis.features.arrays.join_spaces` or ``join_layers``.
    coords : tuple of str
        Coordinates in order of preference, e.g. ``("space", "layer")``.
    encoder : str
        Catalog name of the encoder, for the message.

    Returns
    -------
    array of shape (n_features,)

    Raises
    ------
    ValueError
        If there is none of them.
    """
    for name in coords:
        if name in features.coords and features[name].dims == ("feature",):
            return features[name].values
    raise ValueError(
        f"features must have the coordinate {' or '.join(map(repr, coords))} along 'feature' for "
        f"{encoder!r}, got {sorted(map(str, features.coords))}; join them with neurovis.features.arrays."
    )
