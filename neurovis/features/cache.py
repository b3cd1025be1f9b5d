"""Features kept by content: the same network, preprocessing, stimuli and code give the same file.

A key names everything that decides the numbers and nothing else. Work is stored part by part, so that a
killed run goes on where it stopped; a file is compared with its own hash before it is used.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurovis.core import (
    FeatureExtractor,
    StimulusSet,
    compute_config_hash,
    compute_file_hash,
    find_cache_root,
)
from neurovis.features.arrays import concatenate_features, make_feature_array
from neurovis.io import atomic_path, read_json, write_json
from neurovis.io.arrays import read_npz
from neurovis.workflow import compute_fingerprint

PART_SIZE = 256
"""Stimuli in one part: what a killed run loses at most."""

_CODE = ("features", "core")


def compute_feature_key(extractor: FeatureExtractor, stimuli: StimulusSet) -> str:
    """Identity of an extractor's features for a stimulus set.

    Parameters
    ----------
    extractor : FeatureExtractor
        With a method ``describe()`` that returns everything that decides its numbers (weights' hash,
        preprocessing, options, library versions) as JSON-serialisable values.
    stimuli : StimulusSet
        Enters with its ids, the content of its files and its size on the screen.

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
    identity = {
        "extractor": describe(),
        "stimuli": stimuli.compute_hash(),
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
) -> dict[str, xr.DataArray]:
    """Features of a stimulus set, extracted once.

    Parameters
    ----------
    extractor : FeatureExtractor
        See :func:`compute_feature_key`.
    stimuli : StimulusSet
        Images.
    layers : sequence of str, optional
        Default: the extractor's own. Only layers that are not in the cache are extracted.
    batch_size, device
        Passed on; they are not part of the key.
    root : path, optional
        As in :func:`neurovis.core.find_cache_root`.

    Returns
    -------
    dict of str to xarray.DataArray
        Dims ("stimulus", "feature"); values are memory-mapped, read-only, and read when they are used.

    Raises
    ------
    TypeError, ValueError
        As :func:`compute_feature_key` and the extractor.

    Warns
    -----
    UserWarning
        If a stored file does not have the content that was written; it is extracted again.
    """
    wanted = tuple(extractor.layers if layers is None else layers)
    key = compute_feature_key(extractor, stimuli)
    safe_name = "".join(c if c.isalnum() or c in "-." else "-" for c in extractor.name)
    folder = find_cache_root(root) / "features" / f"{safe_name}-{key}"
    found = {layer: _read_layer(folder, layer, stimuli, extractor.name) for layer in wanted}
    missing = tuple(layer for layer, array in found.items() if array is None)
    if missing:
        _fill(folder, extractor, stimuli, missing, batch_size, device)
        found |= {layer: _read_layer(folder, layer, stimuli, extractor.name) for layer in missing}
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


def _stem(layer: str) -> str:
    """File name of a layer; the digest keeps layers apart whose names differ in signs only."""
    digest = hashlib.sha256(layer.encode()).hexdigest()[:8]
    return "".join(c if c.isalnum() or c in "-." else "-" for c in layer) + f"-{digest}"


def _read_layer(folder: Path, layer: str, stimuli: StimulusSet, name: str) -> xr.DataArray | None:
    """A finished layer, or None if it is not there or not what was written."""
    path, card = folder / f"{_stem(layer)}.npy", folder / f"{_stem(layer)}.json"
    if not card.is_file():
        return None
    try:
        record = read_json(card)
        intact = compute_file_hash(path) == record["sha256"]
    except (ValueError, OSError, KeyError):
        intact = False
    if not intact:
        warnings.warn(f"{path} is not what was written to the cache; extracting again", stacklevel=3)
        card.unlink(missing_ok=True)
        return None
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    coords = {key: np.asarray(entries) for key, entries in record["coords"].items()}
    return make_feature_array(values, stimuli, name=name, layer=layer, coords=coords)


def _fill(
    folder: Path,
    extractor: FeatureExtractor,
    stimuli: StimulusSet,
    layers: tuple[str, ...],
    batch_size: int,
    device: str,
) -> None:
    """Extract layers part by part, then write each as one file; the card comes last."""
    from tqdm import tqdm

    parts = folder / f"parts-{hashlib.sha256(repr(layers).encode()).hexdigest()[:8]}"
    ids = stimuli.stimulus_ids
    starts = range(0, len(ids), PART_SIZE)
    coords: dict[str, dict[str, Any]] = {}
    for start in tqdm(starts, desc=f"{extractor.name} parts", disable=None, file=sys.stderr):
        path = parts / f"{start:08d}.npz"
        if start and _is_readable(path, layers):
            continue
        # The first part is always extracted: it gives the features' coordinates.
        features = extractor(
            stimuli.subset(ids[start : start + PART_SIZE]),
            layers=layers,
            batch_size=batch_size,
            device=device,
        )
        if not start:
            coords = {layer: _collect_coords(array) for layer, array in features.items()}
        with atomic_path(path) as temporary:
            np.savez(temporary, **{_stem(layer): array.values for layer, array in features.items()})
    for layer in layers:
        final = folder / f"{_stem(layer)}.npy"
        with atomic_path(final) as temporary:
            digest = _merge([parts / f"{start:08d}.npz" for start in starts], layer, len(ids), temporary)
        write_json({"layer": layer, "sha256": digest, "coords": coords[layer]}, final.with_suffix(".json"))
    shutil.rmtree(parts, ignore_errors=True)


def _collect_coords(array: xr.DataArray) -> dict[str, list[Any]]:
    return {str(k): c.values.tolist() for k, c in array.coords.items() if c.dims == ("feature",)}


def _is_readable(path: Path, layers: Sequence[str]) -> bool:
    try:
        read_npz(path, [_stem(layer) for layer in layers])
    except (FileNotFoundError, ValueError):
        return False
    return True


def _merge(paths: Sequence[Path], layer: str, n_stimuli: int, target: Path) -> str:
    merged: np.memmap[Any, np.dtype[np.float32]] | None = None
    row = 0
    for path in paths:
        values = read_npz(path, [_stem(layer)])[_stem(layer)]
        if merged is None:
            merged = np.lib.format.open_memmap(
                target, mode="w+", dtype=np.float32, shape=(n_stimuli, values.shape[1])
            )
        merged[row : row + len(values)] = values
        row += len(values)
    if merged is not None:
        merged.flush()
    del merged
    return compute_file_hash(target)
