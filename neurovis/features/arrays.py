"""What every feature space shares: batches of images, labelled arrays and the choice of layers."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet


def load_batches(stimuli: StimulusSet, *, batch_size: int, name: str) -> Iterator[list[NDArray[np.uint8]]]:
    """Images of a stimulus set in order, in batches of ``batch_size``; the last one may be smaller.

    Parameters
    ----------
    stimuli : StimulusSet
        Images, not movies.
    batch_size : int
        Images held at a time.
    name : str
        Feature space, shown beside the progress bar on standard error.

    Yields
    ------
    list of uint8 array of shape (height, width, 3)

    Raises
    ------
    ValueError
        If the set is empty or holds movies, or ``batch_size`` is not positive.
    """
    from tqdm import tqdm

    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}; pass for example 32.")
    if len(stimuli) == 0:
        raise ValueError(
            f"stimuli must hold at least one image, got none in {stimuli.name!r}; check the subset."
        )
    ids = stimuli.stimulus_ids
    with tqdm(total=len(ids), desc=name, unit="image", disable=None, leave=False, file=sys.stderr) as bar:
        for start in range(0, len(ids), batch_size):
            images = [stimuli.load(stimulus_id) for stimulus_id in ids[start : start + batch_size]]
            for stimulus_id, image in zip(ids[start : start + batch_size], images, strict=True):
                if image.ndim != 3:
                    raise ValueError(
                        f"stimuli must be images (height, width, 3), got the movie {stimulus_id!r} of shape "
                        f"{image.shape}; make a stimulus set of its frames first."
                    )
            yield images
            bar.update(len(images))


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
) -> xr.DataArray:
    """Label one layer's features.

    Parameters
    ----------
    values : array of shape (n_stimuli, n_features)
        Rows in the order of ``stimuli``.
    stimuli : StimulusSet
        Gives the coordinate ``stimulus_id``.
    name, layer : str
        Stored as attributes.
    coords : mapping of str to array of shape (n_features,), optional
        What each feature is, e.g. ``orientation_deg``.

    Raises
    ------
    ValueError
        If values are not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError(
            f"features of {name!r} at layer {layer!r} must be finite, got "
            f"{int((~np.isfinite(values)).sum())} NaN or infinite; check the weights and preprocessing."
        )
    return xr.DataArray(
        values,
        dims=("stimulus", "feature"),
        coords={
            "stimulus_id": ("stimulus", np.asarray(stimuli.stimulus_ids, dtype=str)),
            **{key: ("feature", np.asarray(entries)) for key, entries in (coords or {}).items()},
        },
        attrs={"features": name, "layer": layer},
    )
