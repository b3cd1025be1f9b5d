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

    ``stimuli.json`` is written last, so its presence says that the set is complete.

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
        Of one size and frame rate; an id that occurs in several sets is taken from the first.
    folder : path
        Receives ``files/`` and the description.
    name : str
        Name of the gathered set.
    provenance : mapping, optional
        Stored in ``stimuli.json``.

    Raises
    ------
    ValueError
        If there is no set, or sizes or frame rates differ.
    """
    folder = Path(folder)
    shapes = {(stimuli.size_dva, stimuli.fps) for stimuli in sets}
    if len(shapes) != 1:
        raise ValueError(
            f"sets must share one size_dva and fps, got {sorted(map(str, shapes)) or 'no set'}; "
            "gather sets of one experiment only."
        )
    rows: dict[str, dict[str, Any]] = {}
    for number, stimuli in enumerate(sets):
        for stimulus_id, row in stimuli.table.iterrows():
            if stimulus_id in rows:
                continue
            target = stimuli.export(str(stimulus_id), folder / "files" / str(number))
            entries = {str(column): entry for column, entry in row.items()}
            rows[str(stimulus_id)] = entries | {"path": target.relative_to(folder).as_posix()}
    (size_dva, fps), *_ = shapes
    table = pd.DataFrame.from_dict(rows, orient="index")
    gathered = StimulusSet(name, table, folder, size_dva, fps)
    write_stimulus_table(gathered, provenance=provenance)
    return gathered
