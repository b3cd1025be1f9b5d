"""A simulated subject as a real BIDS data set: BOLD runs, events, side-cars, confounds, stimuli.

Two forms. ``"surface"``: fsaverage5 GIFTI runs in a derivative, as a pre-processing pipeline leaves them,
covering the posterior part of the brain as a visual experiment's slab does (zero elsewhere).
``"volume"``: raw 4-D NIfTI runs on a voxel grid in which each voxel near a vertex takes its response.

The files hold nothing about tuning or silent vertices; the region labels are the anatomical regions that an
analyst would draw. The truth goes to another folder, see :mod:`neurovis.datasets.simulated.truth`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from tqdm import tqdm

from neurovis import __version__
from neurovis.core import (
    OtherConfigurationError,
    StimulusSet,
    check_array,
    check_option,
    compute_config_hash,
    make_rng,
)
from neurovis.datasets.simulated.anatomy import REGIONS, load_surface
from neurovis.datasets.simulated.bold import (
    Acquisition,
    RunDesign,
    compute_noise_gain,
    make_confounds,
    make_run_designs,
    simulate_background,
    simulate_run,
)
from neurovis.datasets.simulated.responses import compute_true_responses
from neurovis.datasets.simulated.subject import SimulatedSubject
from neurovis.datasets.simulated.truth import write_truth
from neurovis.io import atomic_path, read_json, write_json, write_stimulus_table, write_table
from neurovis.io.bids import make_bids_name
from neurovis.io.gifti import write_surface_labels, write_surface_series
from neurovis.io.nifti import unmask, write_volume

TASK = "scenes"
SPACE = "fsaverage5"
DERIVATIVE = "simulated"
REGIONS_DESC = "regions"
FORMATS = ("surface", "volume")

_BASELINE = 10000.0  # scanner units; whole numbers then resolve 0.01 %
_BASELINE_SD = 0.1
_HEMI = {"left": "L", "right": "R"}
_LABELS = {0: "unknown", **{index + 1: name for index, name in enumerate(REGIONS)}}


@dataclass(frozen=True)
class _Grid:
    """Sites of the images of one subject and the vertex (row of the table, -1: background) of each."""

    rows: NDArray[np.int64]
    mask: NDArray[np.bool_]  # (20484,) or (x, y, z)
    affine: NDArray[np.float64] | None


def write_bids_dataset(
    root: str | Path, stimuli: StimulusSet, subjects: Sequence[str], *, t_r: float, seed: int
) -> Path:
    """Write what the subjects of a data set share: descriptions, participants, stimuli.

    Parameters
    ----------
    root : path
        Folder of the data set.
    stimuli : StimulusSet
        Its files are copied to ``stimuli/``.
    subjects : sequence of str
        Labels of all participants.
    t_r : float
        Repetition time [s] of the task's side-car.
    seed : int
        Recorded in the description.

    Returns
    -------
    pathlib.Path
        ``root``.
    """
    root = Path(root)
    common = {
        "BIDSVersion": "1.9.0",
        "License": "CC0",
        "GeneratedBy": [{"Name": "neurovis", "Version": __version__}],
    }
    name = f"Simulated cortex, seed {seed}"
    write_json({"Name": name, "DatasetType": "raw", **common}, root / "dataset_description.json")
    derived = {"Name": f"{name}: simulated pre-processing", "DatasetType": "derivative", **common}
    write_json(derived, root / "derivatives" / DERIVATIVE / "dataset_description.json")
    sidecar = {
        "TaskName": TASK,
        "RepetitionTime": t_r,
        "TaskDescription": "Scenes, one after the other, with fixation between them.",
        "Instructions": "Look at the centre of the screen.",
    }
    write_json(sidecar, root / f"task-{TASK}_bold.json")
    columns = {
        "trial_type": {"Description": "Dominant category of the scene"},
        "stim_file": {"Description": "File below stimuli/"},
        "stimulus_id": {"Description": "Name of the scene in stimuli/stimuli.tsv"},
    }
    write_json(columns, root / f"task-{TASK}_events.json")
    people = pd.DataFrame({"participant_id": [f"sub-{subject}" for subject in subjects]})
    write_table(people, root / "participants.tsv")
    with atomic_path(root / "README") as temporary:
        temporary.write_text(
            f"{name}. Made by neurovis {__version__}; no person was measured.\n\nSurface runs lie in "
            f"derivatives/{DERIVATIVE}, where pre-processing would leave them; there are no raw volumes of "
            "these. Volume runs lie in sub-*/. Confounds follow the names of fMRIPrep.\n"
        )
    _copy_stimuli(stimuli, root / "stimuli")
    return root


def write_bids_subject(
    root: str | Path,
    subject: SimulatedSubject,
    stimuli: StimulusSet,
    design: pd.DataFrame,
    *,
    truth: str | Path,
    seed: int,
    acquisition: Acquisition | None = None,
    format: str = "surface",  # noqa: A002 (the plain word for the choice)
    voxel_mm: float = 3.0,
    responses: NDArray | None = None,
) -> Path:
    """Write all runs of one subject; runs that are complete are not written again.

    Parameters
    ----------
    root : path
        Folder of the data set, see :func:`write_bids_dataset`.
    subject : SimulatedSubject
        From :func:`make_subject`.
    stimuli : StimulusSet
        What is shown; a column ``category`` or ``trial_type`` becomes ``trial_type``.
    design : pandas.DataFrame
        From :func:`make_trial_design`.
    truth : path
        Folder for the truth of this subject; must lie outside ``root``.
    seed : int
        Seed of schedule and noise.
    acquisition : Acquisition, optional
        Timing, HRF and disturbances.
    format : {"surface", "volume"}
        See the module docstring.
    voxel_mm : float
        Side of a voxel [mm].
    responses : array of shape (n_stimuli, n_vertices), optional
        Result of :func:`compute_true_responses` for ``stimuli``, if it is at hand.

    Returns
    -------
    pathlib.Path
        Folder of the subject's pre-processed files.

    Raises
    ------
    ValueError
        If ``truth`` lies inside ``root``, a response does not fit, or the folder holds runs that were
        simulated with other settings.
    """
    root, truth = Path(root), Path(truth)
    check_option("format", format, FORMATS)
    if root.resolve() in (truth.resolve(), *truth.resolve().parents):
        raise ValueError(f"truth must lie outside the data set {root}, got {truth}; choose another folder.")
    acquisition = acquisition or Acquisition()
    if responses is None:
        responses = compute_true_responses(subject, stimuli)
    responses = check_array(
        "responses", responses, shape=(len(stimuli), subject.n_vertices), dtype=np.float32
    )
    runs = make_run_designs(design, acquisition, subject=subject.subject, seed=seed)
    gains = {method: compute_noise_gain(runs, acquisition, method=method) for method in ("lsa", "lss")}
    grid = _make_surface_grid(subject) if format == "surface" else _make_volume_grid(subject, voxel_mm)
    settings = {
        "subject": subject.subject,
        "subject_seed": subject.seed,
        "seed": seed,
        "format": format,
        "voxel_mm": voxel_mm if format == "volume" else None,
        "acquisition": asdict(acquisition),
    }
    content = [stimuli.stimulus_ids, design.to_csv(), [round(float(x), 3) for x in responses.mean(axis=1)]]
    digest = compute_config_hash(settings | {"content": content})
    position = {stimulus_id: row for row, stimulus_id in enumerate(stimuli.stimulus_ids)}
    prepared = root / "derivatives" / DERIVATIVE / f"sub-{subject.subject}"
    _write_regions(prepared / "anat", subject, grid)
    for run in tqdm(runs, desc=f"BIDS sub-{subject.subject}", disable=None, file=sys.stderr):
        done = _run_path(root, subject, run, "bold", ".json", format=format)
        if done.is_file():
            found = read_json(done).get("SimulationHash")
            if found != digest:
                raise OtherConfigurationError(
                    f"{done.name} must come from the same simulation (hash {digest}), got {found!r}; delete "
                    "the data set or choose another folder."
                )
            continue
        shown = responses[[position[item] for item in run.trials["stimulus_id"]]]
        _write_run(root, subject, stimuli, run, shown, acquisition, grid, gain=gains["lsa"][0], seed=seed)
        write_json({"RepetitionTime": acquisition.t_r, "TaskName": TASK, "SimulationHash": digest}, done)
    _write_truth(truth, subject, stimuli, responses, runs, grid, settings, gains)
    return prepared


def _write_run(
    root: Path,
    subject: SimulatedSubject,
    stimuli: StimulusSet,
    run: RunDesign,
    responses: NDArray[np.float32],
    acquisition: Acquisition,
    grid: _Grid,
    *,
    gain: float,
    seed: int,
) -> None:
    known = grid.rows >= 0
    series = np.empty((len(run.frame_times), len(grid.rows)), dtype=np.float32)
    series[:, known] = simulate_run(
        subject, responses, run, acquisition, gain=gain, seed=seed, rows=grid.rows[known]
    )
    keys = (subject.subject, int(run.trials["session"].iloc[0]), int(run.trials["run"].iloc[0]))
    sd = float(np.median(subject.table["noise_sd"])) / gain
    series[:, ~known] = simulate_background(
        run, acquisition, int((~known).sum()), sd=sd, rng=make_rng(seed, "background", *keys)
    )
    baseline = _BASELINE * np.exp(
        _BASELINE_SD * make_rng(seed, "baseline", subject.subject).standard_normal(len(grid.rows))
    )
    # A scanner's numbers are integers; rounding here keeps the compressed files small.
    bold = np.rint(baseline * (1.0 + series / 100.0)).astype(np.float32)
    confounds = make_confounds(run.motion)
    confounds["global_signal"] = bold.mean(axis=1)
    write_table(confounds, _run_path(root, subject, run, "timeseries", ".tsv", desc="confounds"))
    if grid.affine is None:
        whole = np.zeros((len(bold), len(grid.mask)), dtype=np.float32)
        whole[:, grid.mask] = bold
        for hemisphere, part in zip(_HEMI, np.split(whole, 2, axis=1), strict=True):
            path = _run_path(root, subject, run, "bold", ".func.gii", hemi=_HEMI[hemisphere], space=SPACE)
            write_surface_series(part, path, t_r=acquisition.t_r, hemisphere=hemisphere)
    else:
        path = _run_path(root, subject, run, "bold", ".nii.gz", format="volume")
        volume = unmask(bold, grid.mask).astype(np.int16)
        write_volume(volume, path, affine=grid.affine, t_r=acquisition.t_r)
        mask_path = _run_path(root, subject, run, "mask", ".nii.gz", desc="brain")
        write_volume(grid.mask, mask_path, affine=grid.affine)
    events = run.trials[["onset", "duration"]].copy()
    shown = stimuli.table.loc[run.trials["stimulus_id"]]
    named = [column for column in ("trial_type", "category") if column in shown]
    events["trial_type"] = shown[named[0]].to_numpy() if named else "scene"
    events["stim_file"] = shown["path"].to_numpy()
    events["stimulus_id"] = run.trials["stimulus_id"].to_numpy()
    write_table(events, _run_path(root, subject, run, "events", ".tsv", format="volume"))


def _run_path(
    root: Path, subject: SimulatedSubject, run: RunDesign, suffix: str, extension: str, **extra: str
) -> Path:
    """Path of a run's file: raw tree for ``format="volume"``, else the derivative."""
    raw = extra.pop("format", "surface") == "volume"
    session, number = (f"{int(run.trials[name].iloc[0]):02d}" for name in ("session", "run"))
    if suffix == "bold" and not raw:
        extra.setdefault("space", SPACE)
    entities = {"sub": subject.subject, "ses": session, "task": TASK, "run": number, **extra}
    top = root if raw else root / "derivatives" / DERIVATIVE
    folder = top / f"sub-{subject.subject}" / f"ses-{session}" / "func"
    return folder / make_bids_name(entities, suffix, extension)


def _make_surface_grid(subject: SimulatedSubject) -> _Grid:
    _, pial = load_surface()
    points = np.concatenate([pial["left"], pial["right"]])
    vertex = subject.table["vertex"].to_numpy()
    # A slab from the back of the brain to the most anterior analysed vertex.
    mask = points[:, 1] <= points[vertex, 1].max()
    rows = np.full(len(points), -1)
    rows[vertex] = np.arange(len(vertex))
    return _Grid(rows[mask], mask, None)


def _make_volume_grid(subject: SimulatedSubject, voxel_mm: float) -> _Grid:
    if not 1.0 <= voxel_mm <= 10.0:
        raise ValueError(f"voxel_mm must lie between 1 and 10 mm, got {voxel_mm}; 2 to 3 is usual.")
    _, pial = load_surface()
    points = np.concatenate([pial["left"], pial["right"]])
    vertex = subject.table["vertex"].to_numpy()
    lower, upper = points[vertex].min(axis=0) - 2 * voxel_mm, points[vertex].max(axis=0) + 2 * voxel_mm
    shape = tuple(np.ceil((upper - lower) / voxel_mm).astype(int) + 1)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = lower
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * voxel_mm + lower
    distance, nearest = cKDTree(points).query(centres.reshape(-1, 3), distance_upper_bound=voxel_mm)
    mask = np.isfinite(distance)
    rows = np.full(len(points), -1)
    rows[vertex] = np.arange(len(vertex))
    return _Grid(rows[nearest[mask]], mask.reshape(shape), affine)


def _write_regions(folder: Path, subject: SimulatedSubject, grid: _Grid) -> None:
    """Anatomical region of every site, silent or not."""
    numbers = {name: index for index, name in _LABELS.items()}
    code = subject.table["region"].map(numbers).to_numpy(dtype=np.int16)
    labels = np.where(grid.rows >= 0, code[grid.rows], 0).astype(np.int16)
    entities = {"sub": subject.subject, "desc": REGIONS_DESC}
    if grid.affine is None:
        whole = np.zeros(len(grid.mask), dtype=np.int16)
        whole[grid.mask] = labels
        for hemisphere, part in zip(_HEMI, np.split(whole, 2), strict=True):
            name = make_bids_name(
                {**entities, "hemi": _HEMI[hemisphere], "space": SPACE}, "dseg", ".label.gii"
            )
            write_surface_labels(part, folder / name, names=_LABELS, hemisphere=hemisphere)
    else:
        name = make_bids_name(entities, "dseg", ".nii.gz")
        write_volume(unmask(labels, grid.mask), folder / name, affine=grid.affine)
        table = pd.DataFrame({"index": list(_LABELS), "name": list(_LABELS.values())})
        write_table(table, folder / make_bids_name(entities, "dseg", ".tsv"))


def _copy_stimuli(stimuli: StimulusSet, folder: Path) -> None:
    for stimulus_id in stimuli.stimulus_ids:
        source, target = (
            stimuli.path(stimulus_id),
            folder / stimuli.path(stimulus_id).relative_to(stimuli.root),
        )
        if target.is_file() and target.stat().st_size == source.stat().st_size:
            continue
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    write_stimulus_table(StimulusSet(stimuli.name, stimuli.table, folder, stimuli.size_dva, stimuli.fps))


def _write_truth(
    folder: Path,
    subject: SimulatedSubject,
    stimuli: StimulusSet,
    responses: NDArray[np.float32],
    runs: list[RunDesign],
    grid: _Grid,
    settings: dict[str, Any],
    gains: dict[str, tuple[float, float]],
) -> None:
    write_table(pd.concat([run.trials for run in runs], ignore_index=True), folder / "trials.tsv")
    index = np.argwhere(grid.mask)
    columns = ("i", "j", "k") if grid.affine is not None else ("vertex",)
    sites = pd.DataFrame(index, columns=list(columns)).assign(row=grid.rows)
    write_table(sites[sites["row"] >= 0], folder / "sites.tsv")
    noise = {method: {"gain": gain, "leak": leak} for method, (gain, leak) in gains.items()}
    parameters = settings | {"beta_noise": noise}
    write_truth(
        folder, subject, stimulus_ids=stimuli.stimulus_ids, responses=responses, parameters=parameters
    )
