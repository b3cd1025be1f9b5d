"""What every feature space shares: batches of images, labelled arrays and the choice of layers."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet


def split_ids(stimuli: StimulusSet, *, batch_size: int, name: str) -> Iterator[list[str]]:
    """Stimulus ids in order, in batches of ``batch_size``, under a progress bar on standard error.

    Parameters
    ----------
    stimuli : StimulusSet
        Not empty.
    batch_size : int
        Stimuli at a time; the last batch may be smaller.
    name : str
        Feature space, shown beside the bar.

    Raises
    ------
    ValueError
        If the set is empty or ``batch_size`` is not positive.
    """
    from tqdm import tqdm

    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}; pass for example 32.")
    if len(stimuli) == 0:
        raise ValueError(
            f"stimuli must hold at least one stimulus, got none in {stimuli.name!r}; check the subset."
        )
    ids = stimuli.stimulus_ids
    with tqdm(total=len(ids), desc=name, unit="stim", disable=None, leave=False, file=sys.stderr) as bar:
        for start in range(0, len(ids), batch_size):
            batch = ids[start : start + batch_size]
            yield batch
            bar.update(len(batch))


def load_batches(stimuli: StimulusSet, *, batch_size: int, name: str) -> Iterator[list[NDArray[np.uint8]]]:
    """Images of a stimulus set in order, batch by batch; parameters as :func:`split_ids`.

    Yields
    ------
    list of uint8 array of shape (height, width, 3)

    Raises
    ------
    ValueError
        As :func:`split_ids`, and if the set holds movies.
    """
    for ids in split_ids(stimuli, batch_size=batch_size, name=name):
        images = [stimuli.load(stimulus_id) for stimulus_id in ids]
        for stimulus_id, image in zip(ids, images, strict=True):
            if image.ndim != 3:
                raise ValueError(
                    f"stimuli must be images (height, width, 3), got the movie {stimulus_id!r} of shape "
                    f"{image.shape}; make a stimulus set of its frames first."
                )
        yield images


def choose_layers(requested: Sequence[str] | None, available: Sequence[str], *, name: str) -> tuple[str, ...]:
    """Requested layers, or all; raises a ValueError with close names if one does not exist."""
    if requested is None:
        return tuple(available)
    if isinstance(requested, str):
        raise TypeError(
            f"layers must be a sequence of names, got the string {requested!r}; pass [{requested!r}]."
        )
    unknown = [layer for layer in requested if layer not in available]
    if unknown or not requested:
        close = difflib.get_close_matches(unknown[0], available, n=5, cutoff=0.4) if unknown else []
        raise ValueError(
            f"layers of {name!r} must be among its {len(available)} layers, got {list(requested)}; "
            f"{'near names are' if close else 'choose from'} {', '.join(close or list(available)[:20])}."
        )
    return tuple(dict.fromkeys(requested))


def make_feature_array(
    values: NDArray[np.float32],
    stimuli: StimulusSet,
    *,
    name: str,
    layer: str,
    coords: Mapping[str, NDArray] | None = None,
    size_dva: tuple[float, float] | None = None,
    times: Sequence[tuple[str, float]] | None = None,
) -> xr.DataArray:
    """Label one layer's features.

    Parameters
    ----------
    values : array of shape (n_rows, n_features)
        Rows in the order of ``stimuli``, or of ``times``.
    stimuli : StimulusSet
        Gives the coordinate ``stimulus_id``.
    name, layer : str
        Stored as attributes.
    coords : mapping of str to array of shape (n_features,), optional
        What each feature is, e.g. ``orientation_deg``.
    size_dva : tuple of float, optional
        (height, width) that a grid of features covers [degrees], stored as an attribute.
    times : sequence of (str, float), optional
        Stimulus and time from its start [s] of each row, where rows are moments of movies.

    Raises
    ------
    ValueError
        If values are not finite.
    """
    n_bad = sum(int((~np.isfinite(values[rows])).sum()) for rows in _split_rows(values))
    if n_bad:
        raise ValueError(
            f"features of {name!r} at layer {layer!r} must be finite, got {n_bad} NaN or infinite; check the "
            "weights and preprocessing, and that half precision can hold them."
        )
    row = "stimulus" if times is None else "time"
    ids = stimuli.stimulus_ids if times is None else [stimulus_id for stimulus_id, _ in times]
    return xr.DataArray(
        values,
        dims=(row, "feature"),
        coords={
            "stimulus_id": (row, np.asarray(ids, dtype=str)),
            **({} if times is None else {"time": np.array([time for _, time in times])}),
            **{key: ("feature", np.asarray(entries)) for key, entries in (coords or {}).items()},
        },
        attrs={"features": name, "layer": layer, **({"size_dva": size_dva} if size_dva else {})},
    )


def _split_rows(values: NDArray, n_bytes: int = 1 << 26) -> Iterator[slice]:
    """Slices of rows of about ``n_bytes``, so that mapped files are never read as a whole."""
    step = max(1, n_bytes // max(1, values[:1].nbytes))
    return (slice(start, start + step) for start in range(0, len(values), step))


def concatenate_features(parts: Mapping[str, xr.DataArray], coord: str) -> xr.DataArray:
    """Feature arrays of the same rows side by side, with a coordinate that tells their columns apart.

    Parameters
    ----------
    parts : mapping of str to xarray.DataArray
        Name -> array of dims ("stimulus" | "time", "feature"); all with the same rows in the same order.
    coord : str
        Name of the coordinate along ``"feature"`` that holds the names.

    Returns
    -------
    xarray.DataArray
        A coordinate of the features that a part lacks is -1 there for whole numbers, ``""`` for text and
        NaN for others; an attribute is kept if all parts have it alike.

    Raises
    ------
    ValueError
        If there is no part, rows differ, or a coordinate is text in one part and numbers in another.
    """
    if not parts:
        raise ValueError(f"at least one {coord} must be given, got none; pass what an extractor returned.")
    arrays = list(parts.values())
    first = arrays[0]
    for name, array in parts.items():
        sizes = [f"{a.sizes[a.dims[0]]} along {a.dims[0]!r}" for a in (array, first)]
        if array.dims != first.dims or len(array) != len(first):
            raise ValueError(
                f"all {coord}s must have the same rows, got {sizes[0]} in {name!r} and {sizes[1]} in "
                f"{next(iter(parts))!r}; extract them from the same stimuli."
            )
        if not np.array_equal(array["stimulus_id"].values, first["stimulus_id"].values):
            raise ValueError(
                f"all {coord}s must hold the same stimuli in one order, got others in {name!r} than in "
                f"{next(iter(parts))!r}; select by stimulus_id first."
            )
    keys = dict.fromkeys(
        str(key) for array in arrays for key, c in array.coords.items() if c.dims == ("feature",)
    )
    coords = {key: _join_coord(key, arrays) for key in keys if key != coord}
    coords[coord] = np.repeat(np.array(list(parts), dtype=str), [array.shape[1] for array in arrays])
    rows = {key: c for key, c in first.coords.items() if c.dims == first.dims[:1]}
    attrs = {
        key: value
        for key, value in first.attrs.items()
        if all(key in array.attrs and np.array_equal(array.attrs[key], value) for array in arrays)
    }
    return xr.DataArray(
        np.concatenate([array.values for array in arrays], axis=1),
        dims=first.dims,
        coords={**rows, **{key: ("feature", entries) for key, entries in coords.items()}},
        attrs=attrs,
    )


def concatenate_rows(parts: Sequence[xr.DataArray]) -> xr.DataArray:
    """The same features of one set of stimuli after another; coordinates and attributes are the first's."""
    first = parts[0]
    row = first.dims[0]
    coords = {
        key: (coord.dims, np.concatenate([part.coords[key].values for part in parts]))
        if coord.dims == (row,)
        else coord
        for key, coord in first.coords.items()
    }
    values = np.concatenate([part.values for part in parts])
    return xr.DataArray(values, dims=first.dims, coords=coords, attrs=first.attrs)


def join_spaces(spaces: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Feature spaces side by side, with the coordinate ``space`` along ``"feature"``.

    Parameters
    ----------
    spaces : mapping of str to xarray.DataArray
        Name -> features of the same stimuli in the same order, dims ("stimulus" | "time", "feature"); one
        layer or several joined. A space of one layer gets its name as the coordinate ``layer``.

    Returns
    -------
    xarray.DataArray
        Columns of the first space first; what a space lacks is filled as in :func:`concatenate_features`.
        The attribute ``features`` lists the names.

    Raises
    ------
    ValueError
        If there is no space, rows differ, or a coordinate is text in one space and numbers in another.
    """
    layered = {
        name: array
        if "layer" in array.coords or "layer" not in array.attrs
        else array.assign_coords(layer=("feature", np.repeat(str(array.attrs["layer"]), array.shape[1])))
        for name, array in spaces.items()
    }
    joined = concatenate_features(layered, "space")
    joined.attrs.pop("layer", None)
    return joined.assign_attrs(features=", ".join(spaces))


def _join_coord(key: str, arrays: Sequence[xr.DataArray]) -> NDArray:
    """One coordinate of all arrays' features; see :func:`concatenate_features` for what fills gaps."""
    found = [array.coords[key].values if key in array.coords else None for array in arrays]
    kinds = {"U" if entries.dtype.kind in "UO" else "n" for entries in found if entries is not None}
    if len(kinds) > 1:
        raise ValueError(
            f"coordinate {key!r} must be text or numbers in all arrays, got both; rename it in one of them."
        )
    dtype = np.result_type(
        *(np.asarray(e, dtype=str if kinds == {"U"} else None) for e in found if e is not None)
    )
    blank = "" if dtype.kind == "U" else -1 if dtype.kind in "iu" else np.nan
    return np.concatenate(
        [
            np.full(array.shape[1], blank, dtype=dtype) if entries is None else entries.astype(dtype)
            for array, entries in zip(arrays, found, strict=True)
        ]
    )
