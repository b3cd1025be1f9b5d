"""netCDF files of responses, features and scores, with provenance inside.

Each file says what it holds in the attribute ``neurovis_format``, so that a foreign or truncated file is
refused with its name instead of failing later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import NeuralData, Score, check_neural_data
from neurovis.io.atomic import atomic_path

_ENGINE = "h5netcdf"
_SLAB_ROWS = 1024


def write_neural_data(
    data: NeuralData, path: str | Path, *, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write checked NeuralData, compressed and atomically; see :func:`read_neural_data`."""
    check_neural_data(data)
    return _write(data.to_dataset(name="responses"), path, "neural_data", provenance)


def read_neural_data(path: str | Path) -> NeuralData:
    """Read NeuralData into memory and check it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not netCDF, or holds something else.
    """
    return check_neural_data(_read(path, "neural_data")["responses"].rename(None))


def write_features(
    features: xr.DataArray, path: str | Path, *, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write features, dims ("stimulus" or "time", "feature"), atomically.

    Raises
    ------
    ValueError
        If the dims are others or values are not finite.
    """
    rows = features.dims[0] if features.dims else None
    if features.dims not in (("stimulus", "feature"), ("time", "feature")) or (
        rows == "stimulus" and "stimulus_id" not in features.coords
    ):
        raise ValueError(
            f"features must have dims ('stimulus' or 'time', 'feature') and a coordinate 'stimulus_id', got "
            f"{features.dims} with {sorted(map(str, features.coords))}; flatten each layer first."
        )
    if not np.isfinite(features.values).all():
        raise ValueError(f"features for {Path(path).name} hold NaN or infinity; check the network's output.")
    return _write(features.to_dataset(name="features"), path, "features", provenance)


def read_features(path: str | Path, *, stimulus_ids: Iterable[str] | None = None) -> xr.DataArray:
    """Read features written by :func:`write_features`.

    Parameters
    ----------
    path : path
        The file.
    stimulus_ids : iterable of str, optional
        Only rows of these stimuli are read, in the order of the file; those it does not hold are left to
        :func:`neurovis.core.align`. One subject of a large study saw a part of its images.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_neural_data`.
    """
    if stimulus_ids is None:
        return _read(path, "features")["features"].rename(None)
    wanted = {str(item) for item in stimulus_ids}
    with _open(path) as dataset:
        ids = dataset["stimulus_id"].values.astype(str) if "stimulus_id" in dataset else np.array([])
    rows = np.flatnonzero([item in wanted for item in ids])
    return _read(path, "features", rows=rows)["features"].rename(None)


def write_score(score: Score, path: str | Path, *, provenance: Mapping[str, Any] | None = None) -> Path:
    """Write a Score (values, ceiling, coordinates) atomically."""
    dataset = xr.Dataset({"values": score.values})
    if score.ceiling is not None:
        dataset["ceiling"] = (score.values.dims, score.ceiling.values)
    dataset.attrs["metric"] = score.metric
    return _write(dataset, path, "score", provenance)


def read_score(path: str | Path) -> Score:
    """Read a Score written by :func:`write_score`; raises as :func:`read_neural_data`."""
    dataset = _read(path, "score")
    ceiling = dataset.get("ceiling")
    return Score(dataset["values"], str(dataset.attrs["metric"]), ceiling)


def write_prediction(
    truth: xr.DataArray,
    prediction: xr.DataArray,
    path: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write held-out responses and their predictions, dims ("stimulus", "neuroid"), atomically.

    Raises
    ------
    ValueError
        If the two differ in shape.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            f"prediction must have the shape of truth {truth.shape}, got {prediction.shape}; pass both of "
            "one evaluation."
        )
    values = xr.Dataset({"truth": truth, "prediction": (truth.dims, prediction.values)})
    return _write(values, path, "prediction", provenance)


def read_prediction(path: str | Path) -> tuple[xr.DataArray, xr.DataArray]:
    """Read (truth, prediction) from :func:`write_prediction`; raises as :func:`read_neural_data`."""
    dataset = _read(path, "prediction")
    return dataset["truth"].rename(None), dataset["prediction"].rename(None)


def write_dataset(
    dataset: xr.Dataset, path: str | Path, kind: str, *, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write a result of several arrays, compressed and atomically, under the name of what it holds.

    Parameters
    ----------
    dataset : xarray.Dataset
        Without a MultiIndex.
    path : path
        File to write.
    kind : str
        What the file holds, e.g. ``"partition"``; :func:`read_dataset` refuses others.
    provenance : mapping, optional
        Record to keep inside.
    """
    return _write(dataset, path, kind, provenance)


def read_dataset(path: str | Path, kind: str) -> xr.Dataset:
    """Read a Dataset written by :func:`write_dataset`; raises as :func:`read_neural_data`."""
    return _read(path, kind)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Provenance record of any netCDF file written here (empty if it was written without one)."""
    with _open(path) as dataset:
        return json.loads(dataset.attrs.get("provenance", "{}"))


def _write(dataset: xr.Dataset, path: str | Path, kind: str, provenance: Mapping[str, Any] | None) -> Path:
    path = Path(path)
    dataset = dataset.assign_attrs(neurovis_format=kind, provenance=json.dumps(dict(provenance or {})))
    encoding = {
        str(name): {"zlib": True, "complevel": 1}
        for name, variable in dataset.data_vars.items()
        if variable.dtype.kind == "f"
    }
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine=_ENGINE, encoding=encoding)
    return path


def _open(path: str | Path) -> xr.Dataset:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; run the step that makes it first.")
    try:
        return xr.open_dataset(path, engine=_ENGINE)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is truncated or not a netCDF file ({error}); delete it and run the step again."
        ) from error


def _read(path: str | Path, kind: str, *, rows: NDArray[np.intp] | None = None) -> xr.Dataset:
    with _open(path) as dataset:
        found = dataset.attrs.get("neurovis_format")
        if found != kind:
            raise ValueError(
                f"{path} must hold neurovis {kind!r}, got {found or 'a foreign netCDF file'!r}; "
                "check which file was passed."
            )
        try:
            loaded = dataset.load() if rows is None else _load_rows(dataset, rows)
        except OSError as error:
            raise ValueError(f"{path} is truncated ({error}); delete it and run the step again.") from error
    # Strings come back as objects; fixed-width text is what the checks and comparisons expect.
    for name, variable in loaded.variables.items():
        if variable.dtype == object:
            loaded[name] = (variable.dims, variable.values.astype(str), variable.attrs)
    return loaded


def _load_rows(dataset: xr.Dataset, rows: NDArray[np.intp]) -> xr.Dataset:
    """Rows along "stimulus", slab by slab: HDF5 is slow at picking single rows."""
    variables: dict[str, Any] = {}
    for name, variable in dataset.variables.items():
        if variable.dims[:1] != ("stimulus",):
            variables[str(name)] = variable.load()
            continue
        values = np.empty((len(rows), *variable.shape[1:]), dtype=variable.dtype)
        for start in range(0, variable.shape[0], _SLAB_ROWS):
            inside = (rows >= start) & (rows < start + _SLAB_ROWS)
            if inside.any():
                values[inside] = variable[start : start + _SLAB_ROWS].values[rows[inside] - start]
        variables[str(name)] = (variable.dims, values, variable.attrs)
    return xr.Dataset(variables, attrs=dataset.attrs).set_coords(list(dataset.coords))
