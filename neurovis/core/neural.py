"""NeuralData: an :class:`xarray.DataArray` with agreed dimensions and coordinates, checked, never subclassed.

Dimensions are ``(rows, "neuroid")`` or ``(rows, "neuroid", "time")``, where rows is one of

- ``"presentation"``: one trial each; coordinates ``stimulus_id``, ``repeat``, ``session``, ``run``;
- ``"stimulus"``: repeats averaged; ``stimulus_id`` is unique;
- ``"time"``: a continuous run.

Neuroid coordinates: ``neuroid_id`` (unique), ``subject``, ``region`` and optionally ``hemisphere``
("left"/"right"), ``vertex``, ``x, y, z`` [mm], ``ncsnr`` (signal sd / noise sd of one trial) and boolean
flags ``in_<region>`` where regions overlap. Attributes: ``units`` ("z", "percent", "V", "spikes/s"),
``source`` and ``t_r`` [s] or ``sfreq`` [Hz].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core.validation import check_option

NeuralData = xr.DataArray

ROWS = ("presentation", "stimulus", "time")
_ROW_COORDS = {"presentation": ("stimulus_id", "repeat"), "stimulus": ("stimulus_id",), "time": ()}
_NEUROID_COORDS = ("neuroid_id", "subject", "region")


def make_neural_data(
    values: NDArray,
    *,
    rows: str,
    row_coords: Mapping[str, Sequence[Any] | NDArray],
    neuroid_coords: Mapping[str, Sequence[Any] | NDArray],
    units: str,
    source: str,
    **attrs: Any,
) -> NeuralData:
    """Build and check a NeuralData array.

    Parameters
    ----------
    values : array of shape (n_rows, n_neuroids)
        Responses in ``units``.
    rows : {"presentation", "stimulus", "time"}
        What a row is.
    row_coords, neuroid_coords : mapping of str to sequence
        Coordinates along each dimension; see the module docstring for the required ones.
    units, source : str
        Unit of the values and where they come from.
    **attrs
        Further attributes, e.g. ``t_r`` [s].

    Raises
    ------
    ValueError
        As :func:`check_neural_data`.
    """
    coords = {name: (rows, np.asarray(entries)) for name, entries in row_coords.items()}
    coords |= {name: ("neuroid", np.asarray(entries)) for name, entries in neuroid_coords.items()}
    data = xr.DataArray(
        values, dims=(rows, "neuroid"), coords=coords, attrs={"units": units, "source": source, **attrs}
    )
    return check_neural_data(data, rows=rows)


def check_neural_data(data: NeuralData, *, rows: str | None = None) -> NeuralData:
    """Return ``data`` if it is well-formed NeuralData; raise otherwise.

    Parameters
    ----------
    data : xarray.DataArray
        What came.
    rows : {"presentation", "stimulus", "time"}, optional
        Required row dimension.

    Raises
    ------
    TypeError
        If it is not a DataArray.
    ValueError
        Naming the dimension, coordinate or attribute that is wrong and how to mend it.
    """
    if not isinstance(data, xr.DataArray):
        raise TypeError(f"data must be an xarray.DataArray, got {type(data).__name__}; see make_neural_data.")
    if len(data.dims) < 2 or data.dims[0] not in ROWS or data.dims[1] != "neuroid":
        raise ValueError(
            f"data must have dims (rows, 'neuroid'[, 'time']) with rows one of {ROWS}, got {data.dims}; "
            "transpose or rename the dimensions."
        )
    if data.dims[2:] not in ((), ("time",)):
        raise ValueError(f"the third dim of data must be 'time', got {data.dims}; rename it.")
    have = str(data.dims[0])
    if rows is not None:
        check_option("rows", rows, ROWS)
        if have != rows:
            remedy = "call average_repeats first" if rows == "stimulus" else "pass the unaveraged data"
            raise ValueError(f"data must have rows {rows!r}, got {have!r}; {remedy}.")
    for dim, names in ((have, _ROW_COORDS[have]), ("neuroid", _NEUROID_COORDS)):
        for name in names:
            if name not in data.coords or data.coords[name].dims != (dim,):
                raise ValueError(
                    f"data must have a coordinate {name!r} along {dim!r}, got "
                    f"{sorted(map(str, data.coords))}; "
                    f"assign it with data.assign_coords({name}=({dim!r}, values))."
                )
    unique = ["neuroid_id"] + (["stimulus_id"] if have == "stimulus" else [])
    for name in unique:
        entries = data.coords[name].values
        if len(np.unique(entries)) != len(entries):
            raise ValueError(
                f"coordinate {name!r} of data must be unique, got {len(entries)} entries with "
                f"{len(np.unique(entries))} distinct values; rename or average the repeated ones."
            )
    for name in ("units", "source"):
        if name not in data.attrs:
            raise ValueError(f"data must have the attribute {name!r}, got {sorted(data.attrs)}; set it.")
    return data


def average_repeats(data: NeuralData) -> NeuralData:
    """Mean over the presentations of each stimulus, ignoring NaN trials per neuroid.

    Parameters
    ----------
    data : NeuralData
        Rows ``"presentation"``.

    Returns
    -------
    NeuralData
        Rows ``"stimulus"`` in order of first presentation, with the coordinate ``n_repeats``. A neuroid
        without any valid trial of a stimulus is NaN there.
    """
    check_neural_data(data, rows="presentation")
    ids = data["stimulus_id"].values.astype(str)
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    group = rank[inverse]
    values = data.values
    valid = np.isfinite(values)
    shape = (len(unique), *values.shape[1:])
    total, count = np.zeros(shape, dtype=np.float64), np.zeros(shape, dtype=np.int64)
    np.add.at(total, group, np.where(valid, values, 0.0))
    np.add.at(count, group, valid)
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, total / count, np.nan).astype(values.dtype, copy=False)
    neuroid = {k: c.variable for k, c in data.coords.items() if c.dims == ("neuroid",) or c.dims == ("time",)}
    averaged = xr.DataArray(mean, dims=("stimulus", *data.dims[1:]), coords=neuroid, attrs=data.attrs)
    return averaged.assign_coords(
        stimulus_id=("stimulus", unique[order]), n_repeats=("stimulus", np.bincount(group))
    )


def align(features: xr.DataArray, data: NeuralData) -> tuple[xr.DataArray, NeuralData]:
    """Bring features and responses to the same stimuli in the same order.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus", "feature")
        With a unique ``stimulus_id`` along ``"stimulus"``.
    data : NeuralData
        Rows ``"stimulus"`` or ``"presentation"``.

    Returns
    -------
    features, data
        Rows of ``features`` follow the rows of ``data``; repeated presentations repeat the features.

    Raises
    ------
    ValueError
        If a stimulus of ``data`` has no features.
    """
    check_neural_data(data)
    rows = str(data.dims[0])
    if rows == "time":
        raise ValueError(
            "data must have rows 'stimulus' or 'presentation', got 'time'; align in time instead."
        )
    known = {stimulus_id: row for row, stimulus_id in enumerate(features["stimulus_id"].values.astype(str))}
    wanted = data["stimulus_id"].values.astype(str)
    missing = sorted(set(wanted) - known.keys())
    if missing:
        raise ValueError(
            f"features must cover every stimulus of data, got none for {len(missing)} of "
            f"{len(set(wanted))}, the first is {missing[0]!r}; extract features for the whole stimulus set."
        )
    return features.isel(stimulus=[known[item] for item in wanted]), data
