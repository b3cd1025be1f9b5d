"""Bridge to Brain-Score: our data as its assemblies and back, without a network.

Brain-Score (Schrimpf et al., 2018, bioRxiv 407007) keeps its own stimulus sets, assemblies and caches. Its
caches are keyed by identifiers only, so every identifier made here carries a hash of the content: changed
pixels or responses never meet an old number. Call :func:`prepare_brainscore` before anything of Brain-Score
is imported; the functions here and in :mod:`neurovis.evaluation.brainscore_scoring` do so themselves.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import sys
import tempfile
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurovis.core import NeuralData, StimulusSet, check_neural_data, import_optional
from neurovis.io import atomic_path

_FOLDERS = {
    "RESULTCACHING_HOME": "result_caching",
    "BRAINIO_HOME": "brainio",
    "BRAINSCORE_HOME": "brain-score",
}
_SETTINGS = {
    # Without this every load_* runs `pip install` for the plugin it loads.
    "BS_INSTALL_DEPENDENCIES": "no",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}
_BRIDGE_ATTRS = ("identifier", "stimulus_set", "stimulus_set_identifier", "added_coords", "time_bin_ms")
_NO_OBJECT = "stimulus"


def prepare_brainscore(home: str | Path | None = None) -> Path:
    """Point Brain-Score's caches to one folder and keep it from installing packages.

    Parameters
    ----------
    home : path, optional
        Folder of all caches. ``None`` keeps the folder in force, or makes a temporary one that is removed
        when the interpreter exits.

    Returns
    -------
    pathlib.Path
        The folder in force.

    Raises
    ------
    RuntimeError
        If Brain-Score was already imported with other folders; it reads them once, at import.
    """
    in_force = os.environ.get("RESULTCACHING_HOME")
    if "result_caching" in sys.modules:
        wanted = None if home is None else str(Path(home) / _FOLDERS["RESULTCACHING_HOME"])
        if in_force is None or wanted not in (None, in_force):
            raise RuntimeError(
                f"home must be set before Brain-Score is imported, got {home} while its cache is "
                f"{in_force or 'in the home folder'}; call prepare_brainscore first in a new process."
            )
        return Path(in_force).parent
    if home is None and in_force is None:
        home = tempfile.mkdtemp(prefix="neurovis-brainscore-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    elif home is None:
        home = Path(str(in_force)).parent
    for name, folder in _FOLDERS.items():
        os.environ[name] = str(Path(home) / folder)
    os.environ.update(_SETTINGS)
    return Path(home)


def import_brainscore(module: str = "brainscore_vision") -> Any:
    """Import a module of Brain-Score after :func:`prepare_brainscore`.

    Raises
    ------
    ImportError
        Naming the extra to install.
    """
    prepare_brainscore()
    return import_optional(module, extra="brainscore")


def compute_data_hash(data: xr.DataArray) -> str:
    """First 16 hexadecimal digits of a SHA-256 over values, dims and one-dimensional coordinates."""
    digest = hashlib.sha256(repr((data.dims, data.shape, str(data.dtype))).encode())
    digest.update(np.ascontiguousarray(data.values).tobytes())
    for name in sorted(map(str, data.coords)):
        coord = data.coords[name]
        if coord.ndim == 1:
            digest.update(name.encode() + b"\0" + "\x1f".join(map(str, coord.values)).encode())
    return digest.hexdigest()[:16]


def to_brainscore_stimuli(stimuli: StimulusSet) -> Any:
    """Brain-Score StimulusSet of the same files.

    Returns
    -------
    brainscore StimulusSet
        Columns of our table plus ``stimulus_id``; its ``identifier`` ends with a hash of ids and file
        contents, so that a changed image never meets cached activations of the old one.
    """
    bs_stimuli = import_brainscore("brainscore_core.supported_data_standards.brainio.stimuli")
    table = stimuli.table.drop(columns="path").rename_axis("stimulus_id").reset_index()
    converted = bs_stimuli.StimulusSet(table)
    converted.stimulus_paths = {item: stimuli.path(item).resolve() for item in stimuli.stimulus_ids}
    converted.identifier = f"neurovis.{stimuli.name}-{stimuli.compute_hash()[:16]}"
    return converted


def from_brainscore_stimuli(stimuli: Any, *, size_dva: tuple[float, float]) -> StimulusSet:
    """StimulusSet of a Brain-Score stimulus set.

    Parameters
    ----------
    stimuli : brainscore StimulusSet
        With ``stimulus_paths``.
    size_dva : tuple of float
        (height, width) on the screen [degrees]; Brain-Score does not store it.
    """
    table = pd.DataFrame(stimuli).set_index("stimulus_id")
    table.index = table.index.astype(str)
    paths = {str(item): Path(path).resolve() for item, path in stimuli.stimulus_paths.items()}
    table["path"] = [paths[item].as_posix() for item in table.index]
    return StimulusSet(str(stimuli.identifier), table, Path("/"), size_dva)


def to_neuroid_assembly(
    data: NeuralData,
    stimuli: StimulusSet | None = None,
    *,
    object_column: str = "category",
    time_bin_ms: tuple[float, float] = (0.0, 1000.0),
) -> Any:
    """NeuralData as a Brain-Score NeuroidAssembly.

    Parameters
    ----------
    data : NeuralData
        Rows ``"presentation"`` or ``"stimulus"``, no time dimension.
    stimuli : StimulusSet, optional
        Attached as ``stimulus_set`` (needed by benchmarks); must hold every stimulus of ``data``.
    object_column : str
        Column of the stimulus table that becomes ``object_name``, over which Brain-Score balances its
        splits; one common name where there is no such column.
    time_bin_ms : tuple of float
        Start and end of the response window [ms], kept as the scalar coordinate that benchmarks read.

    Returns
    -------
    NeuroidAssembly
        Dims ("presentation", "neuroid"); ``repeat`` is called ``repetition``. The identifier ends with a
        hash of the responses.

    Raises
    ------
    ValueError
        If rows are "time", there is a time dimension, or a stimulus is missing from ``stimuli``.
    """
    check_neural_data(data)
    rows = str(data.dims[0])
    if rows == "time" or data.ndim != 2:
        raise ValueError(
            f"data must have dims ('presentation' or 'stimulus', 'neuroid'), got {data.dims}; "
            "average a time window first."
        )
    ids = data["stimulus_id"].values.astype(str)
    coords: dict[str, tuple[str, Any]] = {}
    for name, coord in data.coords.items():
        if coord.dims == (rows,):
            coords["repetition" if name == "repeat" else str(name)] = ("presentation", coord.values)
        elif coord.dims == ("neuroid",):
            coords[str(name)] = ("neuroid", coord.values)
    added = []
    if "object_name" not in coords:
        coords["object_name"] = ("presentation", _object_names(ids, stimuli, object_column))
        added.append("object_name")
    # Brain-Score reads one scalar "time_bin": make the dimension, then squeeze it.
    coords |= {
        f"time_bin_{end}": ("time_bin", [t]) for end, t in zip(("start", "end"), time_bin_ms, strict=True)
    }
    assemblies = import_brainscore("brainscore_core.supported_data_standards.brainio.assemblies")
    assembly = assemblies.NeuroidAssembly(
        data.values[:, :, None], coords=coords, dims=["presentation", "neuroid", "time_bin"]
    ).squeeze("time_bin")
    assembly.attrs.update(data.attrs)
    assembly.attrs["added_coords"] = added
    assembly.attrs["identifier"] = f"neurovis.{data.attrs['source']}-{compute_data_hash(data)}"
    if stimuli is not None:
        missing = sorted(set(ids) - set(stimuli.stimulus_ids))
        if missing:
            raise ValueError(
                f"stimuli must hold every stimulus of data, got none for {len(missing)}, the first is "
                f"{missing[0]!r}; pass the whole stimulus set."
            )
        shown = to_brainscore_stimuli(stimuli.subset(list(dict.fromkeys(ids))))
        assembly.attrs["stimulus_set"] = shown
        assembly.attrs["stimulus_set_identifier"] = shown.identifier
    return assembly


def from_neuroid_assembly(
    assembly: Any, *, units: str | None = None, source: str | None = None
) -> NeuralData:
    """NeuralData of a Brain-Score NeuroidAssembly.

    Parameters
    ----------
    assembly : NeuroidAssembly
        Two-dimensional, any order of dims. With a ``repetition`` coordinate it becomes rows
        "presentation", otherwise rows "stimulus".
    units, source : str, optional
        Where the assembly's attributes do not say (its ``identifier`` is the default source).

    Raises
    ------
    ValueError
        If there is a time dimension, or a coordinate that NeuralData needs is missing.
    """
    if set(assembly.dims) != {"presentation", "neuroid"}:
        raise ValueError(
            f"assembly must have dims ('presentation', 'neuroid'), got {assembly.dims}; select one time bin."
        )
    assembly = assembly.transpose("presentation", "neuroid")
    flat = {name: (dims[0], values) for name, dims, values in _walk(assembly) if len(dims) == 1}
    for name in assembly.attrs.get("added_coords", ()):
        flat.pop(name, None)
    rows = "presentation" if "repetition" in flat else "stimulus"
    coords = {}
    for name, (dim, values) in flat.items():
        ours = "repeat" if name == "repetition" else name
        coords[ours] = (rows if dim == "presentation" else dim, pd.Series(values).infer_objects().to_numpy())
        if coords[ours][1].dtype == object:
            coords[ours] = (coords[ours][0], np.asarray(values).astype(str))
    attrs = {name: value for name, value in assembly.attrs.items() if name not in _BRIDGE_ATTRS}
    attrs["units"] = units or attrs.get("units") or "arbitrary"
    attrs["source"] = source or attrs.get("source") or str(assembly.attrs.get("identifier", "Brain-Score"))
    return check_neural_data(
        xr.DataArray(assembly.values, dims=(rows, "neuroid"), coords=coords, attrs=attrs), rows=rows
    )


def write_assembly(assembly: Any, path: str | Path) -> Path:
    """Write a NeuroidAssembly as the flat netCDF file that Brain-Score's own loaders read, atomically.

    The MultiIndexes, the attached stimulus set and the tuple of the time bin cannot be stored in netCDF:
    coordinates are flattened, the bin becomes the attribute ``time_bin_ms``, the stimulus set is left to
    its own files.
    """
    coords = {name: (dims, values) for name, dims, values in _walk(assembly) if dims}
    attrs = {
        name: value for name, value in assembly.attrs.items() if name not in ("stimulus_set", "added_coords")
    }
    if "time_bin" in assembly.coords and not assembly["time_bin"].dims:
        attrs["time_bin_ms"] = [float(edge) for edge in assembly["time_bin"].item()]
    flat = xr.DataArray(assembly.values, dims=assembly.dims, coords=coords, attrs=attrs)
    with atomic_path(path) as temporary:
        flat.to_netcdf(temporary)
    return Path(path)


def read_assembly(path: str | Path) -> Any:
    """Read a NeuroidAssembly written by :func:`write_assembly`, its time bin restored.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no assembly at {path}; write it with write_assembly first.")
    assemblies = import_brainscore("brainscore_core.supported_data_standards.brainio.assemblies")
    with xr.open_dataarray(path) as stored:
        flat = stored.load()
    attrs = dict(flat.attrs)
    edges = attrs.pop("time_bin_ms", None)
    if edges is not None:
        flat = flat.expand_dims("time_bin", axis=-1).assign_coords(
            time_bin_start=("time_bin", [edges[0]]), time_bin_end=("time_bin", [edges[1]])
        )
    assembly = assemblies.NeuroidAssembly(flat)
    assembly = assembly if edges is None else assembly.squeeze("time_bin")
    assembly.attrs = attrs
    return assembly


def is_offline_error(error: BaseException) -> bool:
    """Whether an error of Brain-Score comes from a missing network rather than from a wrong name.

    Its S3 loader raises a bare Exception whose argument is a *list* of the real errors, so the causes and
    the lists inside ``args`` are walked.
    """
    return any(isinstance(cause, _network_errors()) for cause in _walk_causes(error))


def load_public_benchmark(identifier: str) -> Any:
    """Load a benchmark that Brain-Score publishes, e.g. ``"MajajHong2015public.IT-pls"``.

    Raises
    ------
    ConnectionError
        If its data cannot be downloaded.
    ValueError
        If there is no benchmark of that name.
    """
    brainscore_vision = import_brainscore()
    try:
        return brainscore_vision.load_benchmark(identifier)
    except AssertionError as error:
        raise ValueError(
            f"identifier must name a benchmark of Brain-Score, got {identifier!r}; see "
            "brainscore_vision.benchmark_registry and its plugin folders."
        ) from error
    except Exception as error:
        if not is_offline_error(error):
            raise
        raise ConnectionError(
            f"the data of benchmark {identifier!r} lie in Brain-Score's public S3 store, which cannot be "
            "reached from here; run on a machine with network access, put the files under "
            f"{prepare_brainscore() / 'brainio'}/<sha1>/, or score your own data with make_benchmark."
        ) from error


def _object_names(ids: np.ndarray, stimuli: StimulusSet | None, column: str) -> np.ndarray:
    if stimuli is None or column not in stimuli.table.columns:
        return np.full(len(ids), _NO_OBJECT)
    known = stimuli.table[column].astype(str)
    return known.reindex(ids).fillna(_NO_OBJECT).to_numpy()


def _walk(assembly: Any) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
    assemblies = import_brainscore("brainscore_core.supported_data_standards.brainio.assemblies")
    return assemblies.walk_coords(assembly)


@functools.cache
def _network_errors() -> tuple[type[BaseException], ...]:
    botocore = import_optional("botocore.exceptions", extra="brainscore")
    requests = import_optional("requests", extra="brainscore")
    return (
        botocore.EndpointConnectionError,
        botocore.ConnectTimeoutError,
        botocore.NoCredentialsError,
        botocore.ClientError,
        urllib.error.URLError,
        requests.ConnectionError,
        ConnectionError,
    )


def _walk_causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = [error]
    for current in seen:
        listed = [
            item for entry in current.args for item in (entry if isinstance(entry, list | tuple) else [entry])
        ]
        found = [current.__cause__, current.__context__, *listed]
        seen += [item for item in found if isinstance(item, BaseException) and item not in seen]
    return iter(seen)
