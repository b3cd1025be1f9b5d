"""Features kept by content: the same network, preprocessing, stimuli and code give the same file.

A key names everything that decides the numbers and nothing else. Work is stored part by part, so that a
killed run goes on where it stopped and no more than a part is ever in memory; a file is compared with its own
hash before it is used. One process at a time works on a key, others wait for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import (
    FeatureExtractor,
    StimulusSet,
    check_option,
    compute_config_hash,
    compute_file_hash,
    find_cache_root,
)
from neurovis.features.arrays import concatenate_features
from neurovis.io import atomic_path, read_json, write_json
from neurovis.io.arrays import read_npz
from neurovis.workflow import compute_fingerprint

PART_SIZE = 256
"""Most stimuli in one part: what a killed run loses at most."""

PART_BYTES = 1 << 28
"""Size of a part beyond which it holds fewer stimuli."""

DTYPES = ("float32", "float16")

_CODE = ("features", "core")


def compute_feature_key(extractor: FeatureExtractor, stimuli: StimulusSet) -> str:
    """Identity of an extractor's features for a stimulus set.

    Parameters
    ----------
    extractor : FeatureExtractor
        With a method ``describe()`` that returns everything that decides its numbers (weights' hash,
        preprocessing, options, library versions) as JSON-serialisable values.
    stimuli : StimulusSet
        Enters with its ids, the content of its files and its size on the screen, or with what the
        extractor's ``compute_stimuli_hash(stimuli)`` returns if it reads something else.

    Returns
    -------
    str
        Sixteen hexadecimal digits; another source of ``neurovis.features`` or ``neurovis.core`` gives others.

    Raises
    ------
    TypeError
        If the extractor does not describe itself.
    """
    describe = getattr(extractor, "describe", None)
    if describe is None:
        raise TypeError(
            f"extractor {getattr(extractor, 'name', extractor)!r} must have describe() to be cached, "
            "got none; call it directly or add describe()."
        )
    hash_stimuli = getattr(extractor, "compute_stimuli_hash", StimulusSet.compute_hash)
    identity = {
        "extractor": describe(),
        "stimuli": hash_stimuli(stimuli),
        "code": compute_fingerprint(*_CODE),
    }
    return compute_config_hash(identity)


def extract_cached(
    extractor: FeatureExtractor,
    stimuli: StimulusSet,
    *,
    layers: Sequence[str] | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    root: str | Path | None = None,
    dtype: str = "float32",
) -> dict[str, xr.DataArray]:
    """Features of a stimulus set, extracted once.

    Parameters
    ----------
    extractor : FeatureExtractor
        See :func:`compute_feature_key`.
    stimuli : StimulusSet
        Images, or what the extractor takes.
    layers : sequence of str, optional
        Default: the extractor's own. Only layers that are not in the cache are extracted.
    batch_size, device
        Passed on; they are not part of the key.
    root : path, optional
        As in :func:`neurovis.core.find_cache_root`.
    dtype : {"float32", "float16"}
        Of the stored numbers; half of the disk for 11 instead of 24 bits. Convert to float32 what is
        calculated with.

    Returns
    -------
    dict of str to xarray.DataArray
        Dims ("stimulus" or "time", "feature"); values are memory-mapped, read-only, and read when they are
        used.

    Raises
    ------
    TypeError, ValueError
        As :func:`compute_feature_key` and the extractor, and if a feature is too large for float16.

    Warns
    -----
    UserWarning
        If a stored file does not have the content that was written; it is extracted again.
    """
    check_option("dtype", dtype, DTYPES)
    wanted = tuple(extractor.layers if layers is None else layers)
    key = compute_feature_key(extractor, stimuli)
    safe_name = "".join(c if c.isalnum() or c in "-." else "-" for c in extractor.name)
    suffix = "" if dtype == "float32" else f"-{dtype}"
    folder = find_cache_root(root) / "features" / f"{safe_name}-{key}{suffix}"
    found = {layer: _read_layer(folder, layer) for layer in wanted}
    if any(array is None for array in found.values()):
        with _lock(folder):
            # Another process may have made them while this one waited.
            found = {layer: _read_layer(folder, layer) for layer in wanted}
            missing = tuple(layer for layer, array in found.items() if array is None)
            if missing:
                _fill(folder, extractor, stimuli, missing, batch_size, device, np.dtype(dtype))
                found |= {layer: _read_layer(folder, layer) for layer in missing}
    lost = [layer for layer, array in found.items() if array is None]
    if lost:
        raise OSError(f"features of {lost} could not be read back from {folder}; check the disk.")
    return {layer: array for layer, array in found.items() if array is not None}


def join_layers(features: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """All layers side by side, with the coordinate ``layer`` along ``"feature"``.

    Parameters
    ----------
    features : mapping of str to xarray.DataArray
        What an extractor returned; every array holds the same stimuli.

    Returns
    -------
    xarray.DataArray of dims ("stimulus", "feature")
        Coordinates that a layer lacks are filled as in
        :func:`neurovis.features.arrays.concatenate_features`.

    Raises
    ------
    ValueError
        If there is no layer.
    """
    joined = concatenate_features(features, "layer")
    joined.attrs.pop("layer", None)
    return joined


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache; the lock of a killed process is gone with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            # What killed writers left beside their target; nobody else writes now.
            for leftover in folder.glob(".*.*/"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)


def _stem(layer: str) -> str:
    """File name of a layer; the digest keeps layers apart whose names differ in signs only."""
    digest = hashlib.sha256(layer.encode()).hexdigest()[:8]
    return "".join(c if c.isalnum() or c in "-." else "-" for c in layer) + f"-{digest}"


def _read_layer(folder: Path, layer: str) -> xr.DataArray | None:
    """A finished layer, or None if it is not there or not what was written."""
    path, card, labels = (folder / f"{_stem(layer)}{suffix}" for suffix in (".npy", ".json", ".labels.npz"))
    if not card.is_file():
        return None
    try:
        record = read_json(card)
        intact = [compute_file_hash(file) for file in (path, labels)] == record["sha256"]
    except (ValueError, OSError, KeyError):
        intact = False
    if not intact:
        warnings.warn(f"{path} is not what was written to the cache; extracting again", stacklevel=3)
        card.unlink(missing_ok=True)
        return None
    found = read_npz(labels, [f"{dim}/{key}" for dim, key in record["coords"]])
    return xr.DataArray(
        np.load(path, mmap_mode="r", allow_pickle=False),
        dims=record["dims"],
        coords={key: (dim, found[f"{dim}/{key}"]) for dim, key in record["coords"]},
        attrs={k: tuple(v) if isinstance(v, list) else v for k, v in record["attrs"].items()},
    )


def _fill(
    folder: Path,
    extractor: FeatureExtractor,
    stimuli: StimulusSet,
    layers: tuple[str, ...],
    batch_size: int,
    device: str,
    dtype: np.dtype[Any],
) -> None:
    """Extract layers part by part, then write each as one file; the card comes last."""
    from tqdm import tqdm

    parts = folder / f"parts-{hashlib.sha256(repr(layers).encode()).hexdigest()[:8]}"
    ids, done, paths = stimuli.stimulus_ids, 0, []
    n_next = min(batch_size, PART_SIZE)
    with tqdm(total=len(ids), desc=f"{extractor.name} parts", disable=None, file=sys.stderr) as bar:
        while done < len(ids):
            # A part that was begun keeps its length, so that the ones after it can be used.
            begun = next(parts.glob(f"{done:08d}-*.npz"), None)
            n_stimuli = int(begun.stem.partition("-")[2]) if begun else min(n_next, len(ids) - done)
            path = parts / f"{done:08d}-{n_stimuli}.npz"
            if not _is_readable(path, layers):
                part = stimuli.subset(ids[done : done + n_stimuli])
                features = extractor(part, layers=layers, batch_size=batch_size, device=device)
                _write_part(path, features, dtype)
                n_bytes = sum(array.nbytes for array in features.values()) / n_stimuli
                n_next = int(np.clip(PART_BYTES // max(n_bytes, 1), 1, PART_SIZE))
            paths.append(path)
            done += n_stimuli
            bar.update(n_stimuli)
    for layer in layers:
        _merge(folder, paths, layer)
    shutil.rmtree(parts, ignore_errors=True)


def _write_part(path: Path, features: Mapping[str, xr.DataArray], dtype: np.dtype[Any]) -> None:
    content: dict[str, NDArray[Any]] = {}
    for layer, array in features.items():
        with np.errstate(over="ignore"):
            values = array.values.astype(dtype)
        if not np.isfinite(values).all():
            raise ValueError(
                f"features of layer {layer!r} must be finite and within {np.finfo(dtype).max:g} for "
                f"{dtype}, got up to {np.abs(array.values).max():g}; store them as float32."
            )
        content[_stem(layer)] = values
        for key, coord in array.coords.items():
            content[f"{_stem(layer)}/{coord.dims[0]}/{key}"] = coord.values
    # Written once for all parts: what labels the features, and the attributes.
    record = {
        layer: {
            "dims": list(map(str, array.dims)),
            "coords": [[str(coord.dims[0]), str(key)] for key, coord in array.coords.items()],
            "attrs": array.attrs,
        }
        for layer, array in features.items()
    }
    if not path.with_name("layers.json").is_file():
        write_json(record, path.with_name("layers.json"))
    with atomic_path(path) as temporary:
        np.savez(temporary, **content)


def _is_readable(path: Path, layers: Sequence[str]) -> bool:
    """Whether a part is there and whole; the archive holds a checksum of every array."""
    try:
        read_npz(path, [_stem(layer) for layer in layers])
    except (FileNotFoundError, ValueError):
        return False
    return True


def _merge(folder: Path, parts: Sequence[Path], layer: str) -> None:
    """One layer of all parts to its file of values, its file of labels and its card."""
    stem = _stem(layer)
    record = read_json(parts[0].with_name("layers.json"))[layer]
    rows = record["dims"][0]
    labels: dict[str, list[NDArray[Any]]] = {f"{dim}/{key}": [] for dim, key in record["coords"]}
    n_rows = 0
    for path in parts:
        found = read_npz(path, [f"{stem}/{name}" for name in labels])
        n_rows += len(found[f"{stem}/{rows}/stimulus_id"])
        for name, entries in labels.items():
            if name.startswith(f"{rows}/") or not entries:
                entries.append(found[f"{stem}/{name}"])
    values_path, labels_path = folder / f"{stem}.npy", folder / f"{stem}.labels.npz"
    with atomic_path(values_path) as temporary, temporary.open("wb") as stream:
        for path in parts:
            values = np.ascontiguousarray(read_npz(path, [stem])[stem])
            if path == parts[0]:
                shape = (n_rows, values.shape[1])
                header = {"descr": values.dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
            values.tofile(stream)
    with atomic_path(labels_path) as temporary:
        np.savez_compressed(temporary, **{name: np.concatenate(e) for name, e in labels.items()})
    digests = [compute_file_hash(path) for path in (values_path, labels_path)]
    write_json({"layer": layer, "sha256": digests, **record}, folder / f"{stem}.json")
