"""Scanpaths as sequences of objects: new ones, the same again, earlier ones; distance of models from people.

Fang, Yu, Zhang, van der Lans & Shi (2024) OAT: object-level attention transformer for gaze scanpath
prediction, ECCV (arXiv 2407.13335), section on behavioural metrics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from neurovis.metrics.alignment import stack_sequences

BEHAVIOURS = ("correct", "length", "search", "refix", "revisit")


def describe_object_paths(paths: Sequence[ArrayLike], targets: ArrayLike) -> pd.DataFrame:
    """What each path does: find, go on, stay and come back.

    Parameters
    ----------
    paths : sequence of array of int of shape (n,)
        Objects in the order of their fixations.
    targets : array of int of shape (n_paths,)
        Object that was looked for.

    Returns
    -------
    pandas.DataFrame
        One row per path: ``correct`` (1 if the last object is the target), ``length`` (fixations), and as
        shares of the length ``search`` (runs on an object for the first time), ``revisit`` (runs on an
        object seen before) and ``refix`` (further fixations of a run); the three sum to 1.

    Raises
    ------
    ValueError
        If a path is empty, does not hold whole numbers, or numbers differ.
    """
    objects, lengths = stack_sequences(paths)
    sought = np.asarray(targets)
    if sought.shape != lengths.shape:
        raise ValueError(f"targets must have shape {lengths.shape}, got {sought.shape}; one per path.")
    number = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    run = np.ones(len(objects), dtype=bool)
    run[1:] = (objects[1:] != objects[:-1]) | (number[1:] != number[:-1])
    # np.unique gives the first place of each object of each path.
    new = np.zeros(len(objects), dtype=bool)
    new[np.unique(np.column_stack([number, objects]), axis=0, return_index=True)[1]] = True
    counts = [np.add.reduceat(kind.astype(float), starts) for kind in (new, ~run, run & ~new)]
    search, refix, revisit = (count / lengths for count in counts)
    return pd.DataFrame(
        {
            "correct": (objects[starts + lengths - 1] == sought).astype(float),
            "length": lengths.astype(float),
            "search": search,
            "refix": refix,
            "revisit": revisit,
        }
    )


def compute_behaviour_delta(model: pd.DataFrame, human: pd.DataFrame) -> float:
    """Mean over the five behaviours of ``|model - human| / human``, each averaged over paths first.

    Parameters
    ----------
    model, human : pandas.DataFrame
        As :func:`describe_object_paths` returns them; numbers of paths may differ.

    Returns
    -------
    float
        0 if the means are equal; lower is better. Behaviours that people never show are left out.

    Raises
    ------
    ValueError
        If a column is missing, or people show none of the behaviours.
    """
    means = []
    for name, table in (("model", model), ("human", human)):
        missing = [column for column in BEHAVIOURS if column not in table.columns]
        if missing or not len(table):
            raise ValueError(
                f"{name} must have at least one row and the columns {list(BEHAVIOURS)}, got {len(table)} "
                f"rows without {missing}; use describe_object_paths."
            )
        means.append(table[list(BEHAVIOURS)].mean().to_numpy())
    own, other = means
    shown = other > 0
    return float((np.abs(own - other)[shown] / other[shown]).mean())
