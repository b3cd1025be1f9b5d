"""A StimulusSet as a folder: ``stimuli.tsv``, ``stimuli.json`` and the files that the table names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from neurovis.core import StimulusSet
from neurovis.io.tables import read_json, read_table, write_json, write_table


def write_stimulus_table(stimuli: StimulusSet, *, provenance: Mapping[str, Any] | None = None) -> Path:
    """Describe a stimulus set inside its own root folder; the stimulus files are already there.

    Attributes of the table, such as the release and the rule of the test set, go into ``stimuli.json``, which
    is written last, so that its presence says that the set is complete.

    Returns
    -------
    pathlib.Path
        The folder, to be passed to :func:`read_stimulus_set`.
    """
    table = stimuli.table.rename_axis("stimulus_id").reset_index()
    write_table(table, stimuli.root / "stimuli.tsv")
    record = {
        "name": stimuli.name,
        "size_dva": list(stimuli.size_dva),
        "fps": stimuli.fps,
        "n_stimuli": len(stimuli),
        "about": {str(key): value for key, value in stimuli.table.attrs.items()},
        "provenance": dict(provenance or {}),
    }
    write_json(record, stimuli.root / "stimuli.json")
    return stimuli.root


def read_stimulus_set(folder: str | Path) -> StimulusSet:
    """Read a folder written by :func:`write_stimulus_table`.

    Raises
    ------
    FileNotFoundError
        If the folder is not a stimulus set.
    ValueError
        If the table is shorter or longer than the description says.
    """
    folder = Path(folder)
    record = read_json(folder / "stimuli.json")
    table = read_table(
        folder / "stimuli.tsv", required=("stimulus_id", "path"), dtype={"stimulus_id": str, "path": str}
    ).set_index("stimulus_id")
    if len(table) != record["n_stimuli"]:
        raise ValueError(
            f"{folder / 'stimuli.tsv'} must have {record['n_stimuli']} rows as stimuli.json says, got "
            f"{len(table)}; make the stimulus set again."
        )
    table.attrs.update(record.get("about", {}))
    height, width = record["size_dva"]
    return StimulusSet(record["name"], table, folder, (height, width), record["fps"])


def gather_stimulus_sets(
    sets: Sequence[StimulusSet],
    folder: str | Path,
    *,
    name: str,
    provenance: Mapping[str, Any] | None = None,
) -> StimulusSet:
    """Copy the files of one or several sets into one folder, so that a result stands on its own.

    Parameters
    ----------
    sets : sequence of StimulusSet
        Of one size and frame rate, e.g. one for each subject. A stimulus of several sets is taken from the
        first; columns and attributes that differ between sets describe subjects and are left out.
    folder : path
        Receives ``files/`` and the description.
    name : str
        Name of the gathered set.
    provenance : mapping, optional
        Stored in ``stimuli.json``.

    Raises
    ------
    ValueError
        If there is no set, sizes or frame rates differ, or a stimulus has another ``split`` in another set:
        results of one would have trained on what the other holds out.
    """
    folder = Path(folder)
    shapes = {(stimuli.size_dva, stimuli.fps) for stimuli in sets}
    if len(shapes) != 1:
        raise ValueError(
            f"sets must share one size_dva and fps, got {sorted(map(str, shapes)) or 'no set'}; "
            "gather sets of one experiment only."
        )
    table = _join_tables([stimuli.table for stimuli in sets])
    paths: dict[str, str] = {}
    for number, stimuli in enumerate(sets):
        for stimulus_id in stimuli.stimulus_ids:
            if stimulus_id not in paths:
                target = stimuli.export(stimulus_id, folder / "files" / str(number))
                paths[stimulus_id] = target.relative_to(folder).as_posix()
    table.insert(0, "path", pd.Series(paths))
    (size_dva, fps), *_ = shapes
    gathered = StimulusSet(name, table, folder, size_dva, fps)
    write_stimulus_table(gathered, provenance=provenance)
    return gathered


def _join_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all tables, each stimulus once, without paths and without what differs between tables."""
    first, *others = (table.drop(columns="path") for table in tables)
    about = {
        key: value
        for key, value in first.attrs.items()
        if all(table.attrs.get(key) == value for table in others)
    }
    joined = pd.concat([first, *others])
    n_values = joined.groupby(level=0, sort=False).nunique()
    differing = [str(column) for column in n_values.columns if (n_values[column] > 1).any()]
    if "split" in differing:
        mixed = n_values.index[n_values["split"] > 1]
        raise ValueError(
            f"a stimulus must have one split in all sets, got {len(mixed)} that train in one and test in "
            f"another, the first is {mixed[0]!r}; choose one test set for all subjects, or gather the "
            "subjects one by one."
        )
    joined = joined[~joined.index.duplicated()].drop(columns=differing)
    joined.attrs = about
    return joined
