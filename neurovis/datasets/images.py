"""Images that a data set keeps inside an archive, written once as files so that they form a StimulusSet."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array, find_cache_root
from neurovis.io import atomic_path, read_stimulus_set, write_stimulus_table


def write_images_once(
    images: NDArray[np.uint8],
    table: pd.DataFrame,
    *,
    name: str,
    size_dva: tuple[float, float],
    cache: str | Path | None = None,
) -> StimulusSet:
    """StimulusSet of images held in an array; later calls with the same images and table only read it.

    Parameters
    ----------
    images : uint8 array of shape (n, height, width) or (n, height, width, 3)
        Grey or RGB.
    table : pandas.DataFrame
        One row for each image, index ``stimulus_id``; the column ``path`` is added.
    name : str
        Name of the set.
    size_dva : tuple of float
        (height, width) on the screen [degrees of visual angle].
    cache : path, optional
        As in :func:`neurovis.core.find_cache_root`; the folder's name carries the hash of the content.

    Raises
    ------
    TypeError
        If the images are not uint8.
    ValueError
        If images and table differ in length.
    """
    images = check_array("images", images, ndim=(3, 4))
    if images.dtype != np.uint8:
        raise TypeError(f"images must be uint8 in 0-255, got {images.dtype}; convert them first.")
    if len(images) != len(table):
        raise ValueError(f"images must be as many as the {len(table)} rows of table, got {len(images)}.")
    described = table.assign(path=[f"{stimulus_id}.png" for stimulus_id in table.index])
    digest = hashlib.sha256(repr((images.shape, size_dva)).encode() + described.to_csv().encode())
    digest.update(np.ascontiguousarray(images).data)
    folder = find_cache_root(cache) / "stimuli" / f"{name}-{digest.hexdigest()[:16]}"
    if not (folder / "stimuli.json").is_file():
        from PIL import Image

        with atomic_path(folder) as temporary:
            temporary.mkdir()
            for path, pixels in zip(described["path"], images, strict=True):
                Image.fromarray(pixels).save(temporary / path)
            write_stimulus_table(StimulusSet(name, described, temporary, size_dva))
    return read_stimulus_set(folder)
