"""Images that were made from captions of voxels: what the regions of those voxels make of them.

Luo et al. (2024, arXiv 2310.04420) check captions so: a text-to-image model draws them, and an independent
encoder, here also the simulated cortex, responds to the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from neurovis.core import check_option, make_rng
from neurovis.evaluation.effects import compare_by_seed

SOURCES: Mapping[str, str] = {
    "increase": "own captions",
    "suppress": "captions of -w",
    "permuted": "captions of permuted weights",
}
"""Kinds of captions, and what images of a region's own voxels are called."""

OTHERS = "captions of other regions"


def draw_captions(
    tables: Mapping[str, pd.DataFrame], region: str, *, n: int, seed: int = 0
) -> dict[str, list[str]]:
    """Captions of randomly drawn voxels of a region, of the same voxels in each table.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        By any of :data:`SOURCES`, one row per voxel: ``neuroid_id``, ``region``, ``caption``.
    region : str
        Region.
    n : int
        Voxels to draw; some come several times where there are fewer.
    seed : int
        Of the draw.

    Returns
    -------
    dict of str to list of str of length n

    Raises
    ------
    ValueError
        If no voxel of the region is in all tables.
    """
    for name in tables:
        check_option("tables", name, SOURCES)
    own = {
        name: table[table["region"] == region]
        .drop_duplicates("neuroid_id")
        .set_index("neuroid_id")["caption"]
        for name, table in tables.items()
    }
    shared = sorted(set.intersection(*(set(captions.index) for captions in own.values())))
    if not shared:
        raise ValueError(f"tables must hold captions of voxels of {region!r}, got none that all have.")
    chosen = make_rng(seed, "captions", region).choice(shared, n, replace=n > len(shared))
    return {name: captions.loc[chosen].tolist() for name, captions in own.items()}


def arrange_illustrations(images: pd.DataFrame, responses: pd.DataFrame) -> pd.DataFrame:
    """For each region, the images of its own captions and those of other regions'.

    Parameters
    ----------
    images : pandas.DataFrame
        One row per image: ``stimulus_id``, ``source`` (region whose caption it shows), ``kind`` (of
        :data:`SOURCES`) and ``seed``.
    responses : pandas.DataFrame
        One row per image and region, from :func:`neurovis.evaluation.generation.make_image_table`.

    Returns
    -------
    pandas.DataFrame
        The rows of ``responses`` that compare anything, with ``control`` (a value of :data:`SOURCES`, or
        :data:`OTHERS`), ``scale`` 0, ``seed`` and ``source``: what
        :func:`neurovis.evaluation.generation.summarise_generation` reads.

    Raises
    ------
    ValueError
        If a kind is unknown.
    """
    for kind in pd.unique(images["kind"]):
        check_option("kind", kind, SOURCES)
    rows = images[["stimulus_id", "source", "kind", "seed"]].merge(responses, on="stimulus_id")
    mine = rows["source"] == rows["region"]
    rows = rows[mine | (rows["kind"] == "increase")]
    mine = rows["source"] == rows["region"]
    control = np.where(mine, rows["kind"].map(SOURCES), OTHERS)
    return rows.assign(control=control, scale=0.0).drop(columns="kind")


def compare_illustrations(images: pd.DataFrame, value: str, *, seed: int = 0) -> pd.DataFrame:
    """Response of each region to its own captions' images minus that to others, from the same noise.

    Parameters
    ----------
    images : pandas.DataFrame
        From :func:`arrange_illustrations`.
    value : str
        Column of responses, e.g. "true" or "held_out".
    seed : int
        Of intervals and permutations.

    Returns
    -------
    pandas.DataFrame
        ``region`` and the columns of :func:`neurovis.evaluation.effects.compare_by_seed`, whose group is
        always "own captions"; images of several other regions are averaged.

    Raises
    ------
    ValueError
        As :func:`neurovis.evaluation.effects.compare_by_seed`.
    """
    own = SOURCES["increase"]
    found = []
    for region, rows in images.groupby("region", sort=False):
        for other in [name for name in pd.unique(rows["control"]) if name != own]:
            pair = rows[rows["control"].isin((own, other))]
            table = compare_by_seed(pair, value, by="control", reference=other, seed=seed)
            found.append(table.assign(region=region))
    joined = pd.concat(found, ignore_index=True)
    return joined[["region", *joined.columns.drop("region")]]
