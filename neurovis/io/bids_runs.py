"""Functional runs of a BIDS data set: each with its events, side-cars, and fMRIPrep's confounds and mask."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovis.io.bids import (
    BidsFile,
    find_bids_files,
    find_derivative,
    find_inherited,
    read_metadata,
)
from neurovis.io.tables import read_table

_MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
_EXPANSIONS = ("", "_derivative1", "_power2", "_derivative1_power2")

CONFOUND_SETS = {
    "motion6": _MOTION,
    "motion12": tuple(f"{name}{end}" for end in _EXPANSIONS[:2] for name in _MOTION),
    "motion24": tuple(f"{name}{end}" for end in _EXPANSIONS for name in _MOTION),
}
"""Short names of column groups of fMRIPrep's table: rigid-body motion, its derivatives and their squares."""

_HEMISPHERES = {"L": "left", "R": "right"}
_ACQUISITION = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo")


@dataclass(frozen=True)
class FunctionalRun:
    """A functional run with everything that belongs to it.

    Parameters
    ----------
    bold : dict of str to pathlib.Path
        ``{"volume": path}`` or ``{"left": path, "right": path}`` (or one hemisphere).
    events, confounds, mask : pathlib.Path or None
        ``events.tsv``, fMRIPrep's ``desc-confounds`` table, the brain mask in the space of the run.
    metadata : dict
        Merged side-cars of the run.
    subject, task : str
        Labels without ``sub-`` and ``task-``.
    session, run, space : str
        Labels; ``""`` where the name has none.
    """

    bold: dict[str, Path]
    events: Path | None
    confounds: Path | None
    mask: Path | None
    metadata: dict[str, Any]
    subject: str
    task: str
    session: str = ""
    run: str = ""
    space: str = ""

    @property
    def name(self) -> str:
        """How messages call the run, e.g. ``"sub-01 ses-02 task-scenes run-3"``."""
        parts = {"sub": self.subject, "ses": self.session, "task": self.task, "run": self.run}
        return " ".join(f"{key}-{label}" for key, label in parts.items() if label)


def find_functional_runs(
    root: str | Path,
    *,
    subject: str,
    task: str | None = None,
    session: str | Iterable[str] | None = None,
    run: str | Iterable[str] | None = None,
    space: str | None = None,
    derivatives: str | None = None,
    **entities: str | Iterable[str] | None,
) -> list[FunctionalRun]:
    """Functional runs of one subject, paired with events, confounds, mask and side-cars.

    Parameters
    ----------
    root : path
        Root of the raw data set.
    subject : str
        Label, with or without ``sub-``.
    task : str, optional
        Required if the subject has several tasks.
    session, run : str or iterable of str, optional
        Restrict to these labels.
    space : str, optional
        Space of pre-processed data, e.g. ``"fsaverage5"`` or ``"MNI152NLin2009cAsym"``; default: the raw
        ``bold`` files.
    derivatives : str, optional
        Which derivative holds pre-processed data and confounds; see
        :func:`neurovis.io.bids.find_derivative`.
    **entities
        Further entities, e.g. ``desc="preproc"`` or ``echo="2"``, where one run has several files.

    Returns
    -------
    list of FunctionalRun
        In the order of session, then run.

    Raises
    ------
    FileNotFoundError, ValueError
        Naming what was looked for and which subjects, tasks or spaces there are.
    """
    root = Path(root)
    subject = subject.removeprefix("sub-")
    derivative = find_derivative(root, derivatives)
    source = root if space is None else derivative
    if source is None:
        raise FileNotFoundError(
            f"space={space!r} needs pre-processed data under {root / 'derivatives'}, got none; run the "
            "pre-processing or leave space out for the raw data."
        )
    filters: dict[str, Any] = {"ses": session, "run": run, "task": task, **entities}
    filters = {key: labels for key, labels in filters.items() if labels is not None}
    bold = [
        file
        for file in find_bids_files(source, suffix="bold", sub=subject, space=space, **filters)
        if file.extension in (".nii", ".nii.gz", ".func.gii")
    ]
    if not bold:
        raise FileNotFoundError(_describe_missing(source, subject, space, filters))
    tasks = sorted({file.entities.get("task", "") for file in bold})
    if len(tasks) > 1:
        raise ValueError(f"task must be one of {tasks} for sub-{subject}, got none; pass task=...")
    groups: dict[tuple[str, ...], list[BidsFile]] = {}
    for file in bold:
        groups.setdefault(tuple(file.entities.get(key, "") for key in ("ses", "run")), []).append(file)
    runs = [_pair(files, root, source, derivative) for files in groups.values()]
    return sorted(runs, key=lambda item: (item.session, item.run.zfill(8)))


def read_events(path: str | Path) -> pd.DataFrame:
    """Read an ``events.tsv`` and check onsets and durations.

    Returns
    -------
    pandas.DataFrame
        Sorted by ``onset`` [s]; ``duration`` [s] and the file's other columns as text, so that labels
        such as ``"007"`` stay what they are.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the table is empty, or an onset or duration is not a number or a duration is negative.
    """
    events = read_table(path, required=("onset", "duration"), dtype=str)
    if events.empty:
        raise ValueError(f"{path} must hold at least one event, got none; restore the file.")
    for column in ("onset", "duration"):
        numbers = pd.to_numeric(events[column], errors="coerce")
        bad = ~np.isfinite(numbers.to_numpy(dtype=float))
        if column == "duration":
            bad |= numbers.to_numpy(dtype=float) < 0
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            expected = "a non-negative number" if column == "duration" else "a number"
            raise ValueError(
                f"{column} in {path} must be {expected} of seconds in every row, got "
                f"{events[column].iloc[row]!r} in data row {row + 1}; mend the table."
            )
        events[column] = numbers.astype(float)
    return events.sort_values("onset", kind="stable", ignore_index=True)


def read_confounds(path: str | Path, columns: str | Sequence[str]) -> pd.DataFrame:
    """Read chosen columns of a confounds table as fMRIPrep writes it.

    Parameters
    ----------
    path : path
        ``*_desc-confounds_timeseries.tsv``.
    columns : str or sequence of str
        Column names, patterns such as ``"a_comp_cor_0?"``, and names of ``CONFOUND_SETS`` such as
        ``"motion6"``.

    Returns
    -------
    pandas.DataFrame
        One row per scan. The first value of a temporal derivative or displacement, which is undefined and
        written as ``n/a``, is 0.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a name matches no column (the closest names are given), or values beyond the first row are
        missing.
    """
    table = read_table(path)
    asked = [columns] if isinstance(columns, str) else list(columns)
    chosen: list[str] = []
    for name in [item for entry in asked for item in CONFOUND_SETS.get(entry, (entry,))]:
        matches = [column for column in table.columns if fnmatch.fnmatchcase(column, name)]
        if not matches:
            close = difflib.get_close_matches(name, [*table.columns, *CONFOUND_SETS], n=3)
            hint = "did you mean " + " or ".join(close) if close else f"it has {list(table)}"
            raise ValueError(
                f"confounds must be columns of {Path(path).name}, patterns, or one of {list(CONFOUND_SETS)}, "
                f"got {name!r}; {hint}."
            )
        chosen += [column for column in matches if column not in chosen]
    confounds = table[chosen].apply(pd.to_numeric, errors="coerce").astype(float)
    confounds.iloc[0] = confounds.iloc[0].fillna(0.0)
    holes = confounds.columns[~np.isfinite(confounds.to_numpy()).all(axis=0)]
    if len(holes):
        raise ValueError(
            f"confounds must be finite after the first scan, got missing values in {list(holes)} of "
            f"{Path(path).name}; leave these columns out."
        )
    return confounds


def _pair(files: list[BidsFile], root: Path, source: Path, derivative: Path | None) -> FunctionalRun:
    first = files[0]
    paths = {_HEMISPHERES.get(file.entities.get("hemi", ""), "volume"): file.path for file in files}
    if len(paths) != len(files) or ("volume" in paths and len(paths) > 1):
        names = [file.path.name for file in files]
        raise ValueError(
            f"a run must have one volume or one file per hemisphere, got {names}; tell them apart by an "
            "entity, e.g. space=, desc= or echo=."
        )
    raw_metadata = read_metadata(first, root) if source != root else {}
    confounds = mask = None
    if derivative is not None:
        for suffix in ("timeseries", "regressors"):  # fMRIPrep from and before 20.2
            confounds = confounds or _find_desc(first, derivative, "confounds", suffix, ".tsv", space=None)
        space = first.entities.get("space")
        mask = _find_desc(first, derivative, "brain", "mask", ".nii.gz", space=space)
    return FunctionalRun(
        bold=dict(sorted(paths.items())),
        events=find_inherited(first, root, suffix="events", extension=".tsv"),
        confounds=confounds,
        mask=mask,
        metadata=raw_metadata | read_metadata(first, source),
        subject=first.entities["sub"],
        task=first.entities.get("task", ""),
        session=first.entities.get("ses", ""),
        run=first.entities.get("run", ""),
        space=first.entities.get("space", ""),
    )


def _find_desc(
    file: BidsFile, root: Path, desc: str, suffix: str, extension: str, *, space: str | None
) -> Path | None:
    """File of the same acquisition as ``file`` in a derivative."""
    entities = {key: file.entities.get(key) for key in _ACQUISITION}
    found = find_bids_files(root, suffix=suffix, extension=extension, desc=desc, space=space, **entities)
    return found[0].path if found else None


def _describe_missing(source: Path, subject: str, space: str | None, filters: Mapping[str, Any]) -> str:
    subjects = sorted(path.name.removeprefix("sub-") for path in source.glob("sub-*") if path.is_dir())
    of_subject = find_bids_files(source, suffix="bold", sub=subject)
    keys = ("task", "space", "ses", "run")
    have = {key: sorted({file.entities.get(key, "none") for file in of_subject}) for key in keys}
    there = f"it has {have}" if of_subject else f"the subjects there are {subjects}"
    return (
        f"no bold files of sub-{subject} with space={space!r} and {dict(filters)} under {source}; {there}. "
        "Choose among these."
    )
