"""Any BIDS fMRI data set with events: stimuli and single-trial betas of one subject.

Raw runs or a derivative's (fMRIPrep's, say), volume or surface; one GLM per run, after which runs and
sessions are put together. Nothing is standardised across runs here: that belongs inside an analysis.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from neurovis.core import NeuralData, StimulusSet, check_option, find_data_root, make_neural_data
from neurovis.datasets.bids_mask import Selection, make_neuroid_coords, read_selected, select_neuroids
from neurovis.datasets.single_trial import (
    TrialGlm,
    estimate_trial_betas,
    make_frame_times,
    make_nuisance,
    make_trial_regressors,
    scale_series,
)
from neurovis.io import read_json, read_stimulus_set
from neurovis.io.bids import find_derivative
from neurovis.io.bids_runs import FunctionalRun, find_functional_runs, read_confounds, read_events

STIMULUS_COLUMNS = ("stimulus_id", "stim_file", "trial_type")
"""Columns of ``events.tsv`` that may say what was shown; the first one present is used."""

_T_R_TOLERANCE = 0.01  # relative


def load_bids(
    *,
    subject: str,
    root: str | Path | None = None,
    task: str | None = None,
    session: str | Iterable[str] | None = None,
    run: str | Iterable[str] | None = None,
    space: str | None = None,
    derivatives: str | None = None,
    regions: str | None = None,
    include: Sequence[str] | None = None,
    mask: Any = None,
    confounds: str | Sequence[str] = (),
    glm: TrialGlm | None = None,
    stimulus_column: str | None = None,
    trial_types: Sequence[str] | None = None,
    t_r: float | None = None,
    invalid: str = "raise",
    size_dva: tuple[float, float] | None = None,
    **entities: str | Iterable[str] | None,
) -> tuple[StimulusSet, NeuralData]:
    """Load one subject of a BIDS data set as single-trial betas.

    Parameters
    ----------
    subject : str
        Label, with or without ``sub-``.
    root : path, optional
        Root of the raw data set; otherwise the data root (``NEUROVIS_DATA``).
    task, session, run, space, derivatives, **entities
        As in :func:`neurovis.io.bids_runs.find_functional_runs`.
    regions, include, mask
        As in :func:`neurovis.datasets.bids_mask.select_neuroids`.
    confounds : str or sequence of str
        As in :func:`neurovis.io.bids_runs.read_confounds`, e.g. ``"motion6"``.
    glm : TrialGlm, optional
        The model; by default ``TrialGlm()``.
    stimulus_column : str, optional
        Column of ``events.tsv`` that identifies the stimulus; see ``STIMULUS_COLUMNS``.
    trial_types : sequence of str, optional
        Events that are trials; the others get one regressor of no interest per type. Default: all events.
    t_r : float, optional
        Repetition time [s], where header and side-car are wrong.
    invalid : {"raise", "drop"}
        What to do with voxels that are constant or not finite in any run.
    size_dva : tuple of float, optional
        (height, width) of the stimuli [degrees]; needed if the data set's ``stimuli`` folder does not say.

    Returns
    -------
    stimuli : StimulusSet
        In order of first presentation; files under ``stimuli/`` as ``stim_file`` names them.
    data : NeuralData
        Rows "presentation" with ``stimulus_id, repeat`` (from 0), ``session, run`` (numbers if all labels
        are), ``onset`` [s] and, if known, ``trial_type``.

    Raises
    ------
    FileNotFoundError
        If a run has no events, or a file is missing.
    ValueError
        Naming the run and what does not fit: repetition time, confounds, events, mask, values.
    """
    check_option("invalid", invalid, ("raise", "drop"))
    root = find_data_root(root)
    glm = glm or TrialGlm()
    choices = {"task": task, "session": session, "run": run, "space": space, "derivatives": derivatives}
    runs = find_functional_runs(root, subject=subject, **choices, **entities)  # type: ignore[arg-type]  # a union
    derivative = find_derivative(root, derivatives)
    selections = select_neuroids(runs[0], derivative=derivative, regions=regions, include=include, mask=mask)
    betas, tables, steps = [], [], set()
    for item in tqdm(runs, desc=f"GLM sub-{runs[0].subject}", disable=None, file=sys.stderr):
        try:
            trials, others = _read_trials(item, stimulus_column, trial_types)
            series, step = _read_series(item, selections, t_r, invalid)
            betas.append(_fit(item, series, step, trials, others, confounds, glm))
        except ValueError as error:
            raise ValueError(f"{item.name}: {error}") from error
        tables.append(trials)
        steps.add(round(step, 6))
    if len(steps) > 1:
        raise ValueError(f"all runs must have one repetition time, got {sorted(steps)} s; load them apart.")
    values, neuroids = np.concatenate(betas), make_neuroid_coords(selections, runs[0].subject)
    valid = np.isfinite(values).all(axis=0)
    if not valid.all():
        values = values[:, valid]
        neuroids = {name: column[valid] for name, column in neuroids.items()}
    if not valid.any():
        raise ValueError(
            f"sub-{runs[0].subject} must have at least one valid voxel, got none; check the mask."
        )
    trials = pd.concat(tables, ignore_index=True)
    trials["repeat"] = trials.groupby("stimulus_id").cumcount()
    rows = {name: trials[name].to_numpy() for name in ("repeat", "onset")}
    rows["stimulus_id"] = trials["stimulus_id"].to_numpy(dtype=str)
    rows |= {name: _as_numbers(trials[name]) for name in ("session", "run")}
    if "trial_type" in trials:
        rows["trial_type"] = trials["trial_type"].fillna("n/a").to_numpy(dtype=str)
    name = _read_name(root)
    data = make_neural_data(
        values,
        rows="presentation",
        row_coords=rows,
        neuroid_coords=neuroids,
        units="percent" if glm.scaling == "percent" else "a.u.",
        source=f"{name}, sub-{runs[0].subject}, task-{runs[0].task}, {glm.method} betas",
        t_r=steps.pop(),
    )
    return _make_stimuli(root, name, trials, size_dva), data


def _read_trials(
    run: FunctionalRun, column: str | None, trial_types: Sequence[str] | None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Trials with ``stimulus_id, session, run`` and the events that are not trials."""
    if run.events is None:
        raise FileNotFoundError(
            f"no events.tsv belongs to {run.name}; add it, or leave the run out with run=[...] or task=."
        )
    events = read_events(run.events)
    others = None
    if trial_types is not None:
        if "trial_type" not in events:
            raise ValueError(
                f"trial_types needs the column 'trial_type', got {list(events)} in {run.events.name}; "
                "leave trial_types out."
            )
        for name in trial_types:
            check_option("trial_types", name, sorted(events["trial_type"].dropna().unique()))
        chosen = events["trial_type"].isin(list(trial_types))
        events, others = (
            events[chosen].reset_index(drop=True),
            events[~chosen].fillna({"trial_type": "other"}),
        )
    present = [name for name in STIMULUS_COLUMNS if name in events]
    column = column or (present[0] if present else None)
    if column is None or column not in events:
        raise ValueError(
            f"stimulus_column must be a column of {run.events.name}, got {column!r}; it has {list(events)}."
        )
    if events[column].isna().any():
        raise ValueError(
            f"every trial must have a {column}, got {int(events[column].isna().sum())} without one in "
            f"{run.events.name}; name the events that are trials with trial_types=[...]."
        )
    names = events[column].astype(str)
    # One identity whether files are named with or without their folder and suffix.
    ids = names.map(lambda name: Path(name).stem) if column == "stim_file" else names
    if column == "trial_type":  # a condition may have many files
        events = events.drop(columns="stim_file", errors="ignore")
    return events.assign(stimulus_id=ids, session=run.session, run=run.run), others


def _read_series(
    run: FunctionalRun, selections: Sequence[Selection], t_r: float | None, invalid: str
) -> tuple[NDArray[np.float32], float]:
    """Series of all images of a run side by side, and the repetition time [s]."""
    parts = [read_selected(run, selection) for selection in selections]
    lengths = {len(values) for values, _ in parts}
    if len(lengths) > 1:
        raise ValueError(
            f"both hemispheres must have the same scans, got {sorted(lengths)}; check the files."
        )
    series = np.concatenate([values for values, _ in parts], axis=1)
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(series).all(axis=0) | (np.ptp(series, axis=0) == 0)
    if bad.any():
        if invalid == "raise":
            raise ValueError(
                f"every selected voxel must vary and be finite, got {int(bad.sum())} of {bad.size} that are "
                "constant or NaN; shrink the mask or pass invalid='drop'."
            )
        series[:, bad] = np.nan
    return series, _resolve_t_r(run, parts[0][1], t_r)


def _resolve_t_r(run: FunctionalRun, header: float | None, given: float | None) -> float:
    sidecar = run.metadata.get("RepetitionTime")
    if given is not None:
        if given <= 0:
            raise ValueError(f"t_r must be a positive number of seconds, got {given}; pass it in seconds.")
        return given
    if sidecar is None and header is None:
        raise ValueError(
            "the repetition time must be in the side-car (RepetitionTime) or the header, got neither; "
            "pass t_r=... in seconds."
        )
    if sidecar is None:
        return float(header)  # type: ignore[arg-type]  # not None here
    if header is not None and abs(header - sidecar) > _T_R_TOLERANCE * sidecar:
        raise ValueError(
            f"RepetitionTime of the side-car must agree with the header, got {sidecar:g} s and {header:g} s; "
            "find out which is right and pass t_r=... in seconds."
        )
    return float(sidecar)


def _fit(
    run: FunctionalRun,
    series: NDArray[np.float32],
    t_r: float,
    trials: pd.DataFrame,
    others: pd.DataFrame | None,
    confounds: str | Sequence[str],
    glm: TrialGlm,
) -> NDArray[np.float32]:
    # Pre-processing that shifts slices to the middle of a scan says so here (fMRIPrep).
    start = float(run.metadata.get("StartTime", 0.0))
    frame_times = make_frame_times(len(series), t_r, start=start)
    table = None
    if len(confounds):
        if run.confounds is None:
            raise ValueError(
                f"confounds={confounds!r} need a desc-confounds table of the run, got none; name the "
                "derivative that has it, or pass confounds=()."
            )
        table = read_confounds(run.confounds, confounds)
    nuisance = make_nuisance(frame_times, glm, confounds=table, other_events=others)
    design = make_trial_regressors(trials, frame_times, hrf_model=glm.hrf_model)
    betas = np.full((len(trials), series.shape[1]), np.nan, dtype=np.float32)
    valid = np.isfinite(series[0])
    betas[:, valid] = estimate_trial_betas(
        scale_series(series[:, valid], scaling=glm.scaling), design, nuisance, glm
    )
    return betas


def _make_stimuli(
    root: Path, name: str, trials: pd.DataFrame, size_dva: tuple[float, float] | None
) -> StimulusSet:
    folder = root / "stimuli"
    first = trials.drop_duplicates("stimulus_id").set_index("stimulus_id")
    if (folder / "stimuli.json").is_file():
        return read_stimulus_set(folder).subset(list(first.index))
    if size_dva is None:
        raise ValueError(
            f"size_dva must be given for {name}, since BIDS does not say how large stimuli were; pass "
            "(height, width) in degrees of visual angle."
        )
    if "stim_file" in trials:
        files = trials.groupby("stimulus_id")["stim_file"].nunique()
        if (files > 1).any():
            raise ValueError(
                f"a stimulus must have one stim_file, got several for {files.index[files > 1][0]!r}; pass "
                "stimulus_column='stim_file'."
            )
    known = [column for column in ("trial_type",) if column in trials]
    table = first[known].assign(path=first.get("stim_file", ""))
    return StimulusSet(name, table, folder, size_dva)


def _as_numbers(labels: pd.Series) -> NDArray:
    """Labels as integers if all are numbers, 1 if there are none, else as text."""
    if (labels == "").all():
        return np.ones(len(labels), dtype=int)
    if labels.str.isdigit().all():
        return labels.to_numpy(dtype=int)
    return labels.to_numpy(dtype=str)


def _read_name(root: Path) -> str:
    path = root / "dataset_description.json"
    return str(read_json(path).get("Name", root.name)) if path.is_file() else root.name
