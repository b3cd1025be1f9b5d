"""Mirrored and reversed versions of movies: the same pattern with another motion, and the reverse.

A movie and the same played backwards hold the same frames and opposite motion, so that a set of both tells
responses to motion from responses to pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array, check_option
from neurovis.io import atomic_path
from neurovis.io.video import read_movie

VARIANTS = ("plain", "reversed", "mirrored", "mirrored-reversed")


def vary_movie(frames: NDArray[np.uint8], variant: str) -> NDArray[np.uint8]:
    """A movie (n_frames, height, width, 3) mirrored left to right, played backwards, or both."""
    check_option("variant", variant, VARIANTS)
    check_array("frames", frames, shape=(None, None, None, 3), remedy="pass a movie of RGB frames")
    if "mirrored" in variant:
        frames = frames[:, :, ::-1]
    if "reversed" in variant:
        frames = frames[::-1]
    return np.ascontiguousarray(frames)


def write_movie_variants(
    stimuli: StimulusSet, folder: str | Path, *, variants: Sequence[str] = VARIANTS
) -> StimulusSet:
    """Write versions of every movie as ``.npy`` files.

    Parameters
    ----------
    stimuli : StimulusSet
        Movies with ``fps``.
    folder : path
        Where to write; created.
    variants : sequence of str
        Of ``VARIANTS``.

    Returns
    -------
    StimulusSet
        Ids ``<id>-<variant>``, those of one movie together; columns ``path``, ``source`` (the movie's id) and
        ``variant``. Split by ``source``: versions of one movie are no independent samples.

    Raises
    ------
    ValueError
        If a variant is unknown, a stimulus is an image or a single frame, or the set has no frame rate.
    """
    folder = Path(folder)
    rows = []
    for source in stimuli.stimulus_ids:
        movie = read_movie(stimuli, source, minimum_frames=2)
        for variant in variants:
            name = f"{source}-{variant}"
            with atomic_path(folder / f"{name}.npy") as temporary:
                np.save(temporary, vary_movie(movie, variant), allow_pickle=False)
            rows.append({"stimulus_id": name, "path": f"{name}.npy", "source": source, "variant": variant})
    table = pd.DataFrame(rows, columns=["stimulus_id", "path", "source", "variant"]).set_index("stimulus_id")
    return StimulusSet(f"{stimuli.name}-variants", table, folder, stimuli.size_dva, stimuli.fps)
