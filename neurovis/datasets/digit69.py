"""Handwritten sixes and nines with the responses of V1-V3: 70 of 100 trials.

van Gerven, de Lange & Heskes (2010) Neural decoding with hierarchical generative models. Neural Computation
22:3127-3142. Each trial shows its own image; voxels carry neither positions nor area names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from neurovis.core import NeuralData, StimulusSet, check_array, check_option, make_neural_data
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.images import write_images_once
from neurovis.io.arrays import read_mat

NAME = "digit69"
SIDE_PX = 28
_DIGITS = {1: 6, 2: 9}
# The visual angle does not come with the files: a nominal size, not to be used for receptive fields.
_SIZE_DVA = (10.0, 10.0)


def load_digit69(
    *, subject: str | None = None, root: str | Path | None = None, cache: str | Path | None = None
) -> tuple[StimulusSet, NeuralData]:
    """Read images and responses.

    Parameters
    ----------
    subject : {"1"}, optional
        The only subject.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    cache : path, optional
        Where the images are written once; as in :func:`neurovis.core.find_cache_root`.

    Returns
    -------
    stimuli : StimulusSet
        70 upright digits of 28 x 28 px, column ``digit`` (6 or 9).
    responses : NeuralData
        Rows ``"presentation"``, one trial for each image; 3092 voxels.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If the file is truncated, foreign, or its arrays do not fit together.
    """
    check_option("subject", subject or "1", ("1",), remedy="the file holds one person")
    path = find_dataset(NAME, root) / "digit69_train.mat"
    found = read_mat(path, ["fmriTrn", "stimTrn", "labelTrn"])
    values = check_array(f"fmriTrn of {path}", found["fmriTrn"], ndim=2, dtype=float)
    n_trials, n_voxels = values.shape
    pixels = check_array(
        f"stimTrn of {path}", found["stimTrn"], shape=(n_trials, SIDE_PX**2), minimum=0, maximum=255
    )
    labels = check_array(f"labelTrn of {path}", found["labelTrn"], shape=(n_trials, 1)).ravel()
    if not set(labels.tolist()) <= set(_DIGITS):
        raise ValueError(f"labelTrn of {path} must hold 1 (six) and 2 (nine), got {sorted(set(labels))}.")
    # Rows were flattened column by column, as MATLAB does.
    upright = pixels.astype(np.uint8).reshape(n_trials, SIDE_PX, SIDE_PX).transpose(0, 2, 1)
    ids = [f"digit-{trial:03d}" for trial in range(n_trials)]
    table = pd.DataFrame(
        {"digit": [_DIGITS[int(label)] for label in labels]}, index=pd.Index(ids, name="stimulus_id")
    )
    stimuli = write_images_once(upright, table, name=NAME, size_dva=_SIZE_DVA, cache=cache)
    responses = make_neural_data(
        values,
        rows="presentation",
        row_coords={"stimulus_id": ids, "repeat": np.zeros(n_trials, dtype=int)},
        neuroid_coords={
            "neuroid_id": [f"voxel-{column:04d}" for column in range(n_voxels)],
            "subject": np.full(n_voxels, "1"),
            "region": np.full(n_voxels, "V1-V3"),
        },
        units="z",
        source=NAME,
    )
    return stimuli, responses
