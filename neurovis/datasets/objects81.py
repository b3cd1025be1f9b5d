"""Responses of seven visual regions of one person to 54 of 81 object categories, with two feature spaces.

Bonner & Epstein (2021) Object representations in the human brain reflect the co-occurrence statistics of
vision and language. Nature Communications 12:4081; a teaching extract. No images and no repeats, hence no
noise ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from neurovis.core import NeuralData, check_array, check_option, make_neural_data
from neurovis.datasets.cards import find_dataset
from neurovis.io.arrays import read_npz

NAME = "objects81"
REGIONS = ("EVC", "OPA", "PPA", "LOC", "PFS", "OFA", "FFA")
FEATURES = {"alexnet": "alexnet_pcs", "word2vec": "word2vec_pcs"}
_N_SOURCE = 81


@dataclass(frozen=True)
class Objects81:
    """Responses and features of the same categories, row by row.

    Parameters
    ----------
    responses : NeuralData
        Rows ``"stimulus"`` (category names), one beta a voxel, mean over ten images; column means are near
        zero. ``row_in_source`` is the row among the original 81.
    features : dict of str to xarray.DataArray
        ``"alexnet"`` (20 components) and ``"word2vec"`` (30), dims ("stimulus", "feature"). The components
        were computed over all 81 categories before the extract was made.
    """

    responses: NeuralData
    features: dict[str, xr.DataArray]


def load_objects81(*, subject: str | None = None, root: str | Path | None = None) -> Objects81:
    """Read responses and features.

    Parameters
    ----------
    subject : {"1"}, optional
        The only subject.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If the file is truncated, foreign, or its arrays do not fit together.
    """
    check_option("subject", subject or "1", ("1",), remedy="the extract holds one person")
    path = find_dataset(NAME, root) / "objects81.npz"
    names = ["betas", "conditions", "row_in_source", "roi_index", "roi_names", *FEATURES.values()]
    found = read_npz(path, names)
    if tuple(found["roi_names"]) != REGIONS:
        raise ValueError(f"roi_names of {path} must be {REGIONS}, got {tuple(found['roi_names'])}.")
    conditions = found["conditions"].astype(str)
    betas = check_array(f"betas of {path}", found["betas"], shape=(len(conditions), None))
    index = check_array(
        f"roi_index of {path}", found["roi_index"], shape=(betas.shape[1],), minimum=1, maximum=len(REGIONS)
    )
    rows = check_array(
        f"row_in_source of {path}",
        found["row_in_source"],
        shape=(len(conditions),),
        minimum=0,
        maximum=_N_SOURCE - 1,
    )
    region = np.array(REGIONS)[index - 1]
    responses = make_neural_data(
        betas,
        rows="stimulus",
        row_coords={"stimulus_id": conditions, "row_in_source": rows},
        neuroid_coords={
            "neuroid_id": [f"{name}_{column:03d}" for column, name in enumerate(region)],
            "subject": np.full(len(region), "1"),
            "region": region,
        },
        units="beta",
        source=NAME,
    )
    features = {
        name: xr.DataArray(
            check_array(f"{key} of {path}", found[key], shape=(len(conditions), None)),
            dims=("stimulus", "feature"),
            coords={"stimulus_id": ("stimulus", conditions)},
        )
        for name, key in FEATURES.items()
    }
    return Objects81(responses, features)
