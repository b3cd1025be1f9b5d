"""Captions of voxels against what is known of them: the category that the simulated cortex truly prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neurovis.captioning.world_captions import name_subtype
from neurovis.metrics.significance import compute_summary_ci
from neurovis.stimuli.world import CATEGORY_OF

COLUMNS = ("neuroid_id", "caption")


def name_categories(captions: Sequence[str], markers: Mapping[str, str]) -> list[str]:
    """Category of the main thing of each caption, "" where no known word tells.

    Parameters
    ----------
    captions : sequence of str
        In the words of the stimulus world.
    markers : mapping of str to str
        Word to subtype, from :func:`neurovis.captioning.world_captions.find_marker_words`.
    """
    return [CATEGORY_OF.get(name_subtype(caption, markers), "") for caption in captions]


def score_category_captions(
    tables: Mapping[str, pd.DataFrame],
    preferred: Mapping[str, str],
    markers: Mapping[str, str],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """How often captions name the category that a voxel prefers.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Captions by kind, e.g. of weights, negated and permuted ones: :data:`COLUMNS`, one row for each voxel
        and repeat.
    preferred : mapping of str to str
        Preferred category of each voxel; voxels without one ("") are left out.
    markers : mapping of str to str
        As :func:`name_categories`.
    seed : int
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        By kind: ``n_voxels``, ``share`` (mean over repeats, then voxels), ``ci_low, ci_high`` (95 %,
        bootstrap over voxels; neighbours are not independent, so true intervals are wider), ``chance`` (the
        same captions and preferences, exchanged between voxels) and ``unnamed`` (captions without a known
        word).

    Raises
    ------
    ValueError
        If a column is missing or no voxel has a preference.
    """
    rows = []
    for kind, table in tables.items():
        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise ValueError(f"tables[{kind!r}] must have the columns {list(COLUMNS)}, missing {missing}.")
        truth = table["neuroid_id"].map(lambda name: preferred.get(str(name), ""))
        known = table[truth != ""].assign(preferred=truth[truth != ""])
        if known.empty:
            raise ValueError(f"preferred must name the category of voxels of tables[{kind!r}], got none.")
        known["named"] = name_categories(known["caption"].tolist(), markers)
        known["hit"] = (known["named"] == known["preferred"]).astype(float)
        by_voxel = known.groupby("neuroid_id")["hit"].mean().to_numpy()
        low, high = compute_summary_ci(by_voxel, seed=seed) if len(by_voxel) > 1 else (np.nan, np.nan)
        shares = [known[column].value_counts(normalize=True) for column in ("named", "preferred")]
        rows.append(
            {
                "captions": kind, "n_voxels": len(by_voxel), "share": float(by_voxel.mean()), "ci_low": low,
                "ci_high": high, "chance": float((shares[0] * shares[1]).sum()),
                "unnamed": float((known["named"] == "").mean()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
