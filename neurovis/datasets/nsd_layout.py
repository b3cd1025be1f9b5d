"""Where the files of the Natural Scenes Dataset lie, and which image was shown in which trial.

Traps that the readers know: ids count from 1 in ``nsd_expdesign.mat`` and ``responses.tsv``, from 0 in
``nsd_stim_info_merged.csv`` and in the image brick; the number of sessions differs between subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_option
from neurovis.datasets.cards import find_dataset
from neurovis.io.arrays import read_mat
from neurovis.io.tables import read_table

NAME = "nsd"
N_SESSIONS = {"1": 40, "2": 40, "3": 32, "4": 30, "5": 40, "6": 32, "7": 40, "8": 30}
"""Sessions of each subject, all public since 20 August 2023."""

N_TRIALS = 750
"""Trials of a session."""

N_IMAGES, N_SHOWN, N_SHARED = 73_000, 10_000, 1_000
RUN_LENGTHS = (63, 62) * 6
BRICK = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIMULUS_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
_INFO_COLUMNS = {
    "nsdId": "nsd_id",
    "cocoId": "coco_id",
    "cocoSplit": "coco_split",
    "flagged": "flagged",
    "BOLD5000": "bold5000",
    "shared1000": "shared1000",
}


@dataclass(frozen=True)
class Design:
    """Which image each trial of a subject showed, over all 40 planned sessions.

    Parameters
    ----------
    order : array of shape (30000,)
        Number of the image among the subject's 10,000, from 0; the same for all subjects, and below 1000
        for the shared images.
    nsd_id : array of shape (30000,)
        Number of the image among all 73,000, from 0.
    shared : array of shape (1000,)
        Numbers among all 73,000 of the images that every subject saw, in the order of ``order``.
    """

    order: NDArray[np.int64]
    nsd_id: NDArray[np.int64]
    shared: NDArray[np.int64]


def find_nsd(root: str | Path | None = None) -> Path:
    """Folder that holds ``nsddata`` and ``nsddata_betas``: ``root`` itself, or as :func:`find_dataset`."""
    if root is not None and (Path(root) / "nsddata").is_dir():
        return Path(root)
    return find_dataset(NAME, root)


def name_subject(subject: str) -> str:
    """Name of a subject in paths: "1" is "subj01"."""
    return f"subj{int(check_option('subject', subject, N_SESSIONS)):02d}"


def name_stimuli(nsd_id: NDArray[np.int64]) -> NDArray[np.str_]:
    """Stimulus ids such as ``nsd_00013``, with the number from 0."""
    return np.array([f"nsd_{number:05d}" for number in nsd_id], dtype=str)


def check_sessions(subject: str, sessions: Sequence[int] | None, last: int) -> tuple[int, ...]:
    """Sessions to read in ascending order; ``None`` means 1 to ``last``.

    Raises
    ------
    TypeError
        If ``sessions`` is no sequence.
    ValueError
        If a session repeats or the subject has no such session up to ``last``.
    """
    if sessions is None:
        return tuple(range(1, last + 1))
    if np.ndim(sessions) != 1:
        raise TypeError(f"sessions must be a sequence of numbers, got {sessions!r}; pass for example [1, 2].")
    chosen = sorted(int(session) for session in sessions)
    wrong = [session for session in chosen if not 1 <= session <= last]
    if not chosen or wrong or len(set(chosen)) != len(chosen):
        raise ValueError(
            f"sessions must be distinct numbers from 1 to {last} for subject {subject} and this test set, "
            f"got {list(sessions)}; leave out the others."
        )
    return tuple(chosen)


def list_sessions(sessions: Sequence[int]) -> str:
    """Sessions in words, e.g. "1-3, 7"."""
    numbers = np.sort(np.asarray(sessions, dtype=int))
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def read_design(folder: Path, subject: str) -> Design:
    """Read the design and take 1 off its ids.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If an array has another shape or range than published, e.g. ids from 0.
    """
    path = folder / DESIGN
    found = read_mat(path, ["masterordering", "subjectim", "sharedix"])
    n_subjects = len(N_SESSIONS)
    order = _check_ids(path, "masterordering", found["masterordering"], (1, 30_000), N_SHOWN)
    images = _check_ids(path, "subjectim", found["subjectim"], (n_subjects, N_SHOWN), N_IMAGES)
    shared = _check_ids(path, "sharedix", found["sharedix"].reshape(1, -1), (1, N_SHARED), N_IMAGES)
    own = images[int(subject) - 1]
    if (images[:, :N_SHARED] != own[:N_SHARED]).any() or set(own[:N_SHARED]) != set(shared[0]):
        raise ValueError(
            f"the first {N_SHARED} columns of subjectim of {path} must be the images of sharedix for every "
            "subject, got others; check that both count from 1, or get the file again."
        )
    return Design(order[0], own[order[0]], own[:N_SHARED])


def make_trials(design: Design, sessions: Sequence[int]) -> pd.DataFrame:
    """One row per trial of the sessions, in order of presentation.

    Returns
    -------
    pandas.DataFrame
        ``session`` (from 1), ``run`` (1-12), ``trial`` (from 1 in its run), ``nsd_id`` (from 0),
        ``stimulus_id`` and ``repeat`` (from 0, counted over these sessions).
    """
    numbers = np.asarray(sessions)
    rows = ((numbers - 1)[:, None] * N_TRIALS + np.arange(N_TRIALS)).ravel()
    table = pd.DataFrame(
        {
            "session": np.repeat(numbers, N_TRIALS),
            "run": np.tile(np.repeat(np.arange(1, 13), RUN_LENGTHS), len(numbers)),
            "trial": np.tile(np.concatenate([np.arange(1, n + 1) for n in RUN_LENGTHS]), len(numbers)),
            "nsd_id": design.nsd_id[rows],
        }
    )
    table["stimulus_id"] = name_stimuli(table["nsd_id"].to_numpy())
    table["repeat"] = table.groupby("nsd_id").cumcount()
    return table


def check_responses(folder: Path, subject: str, trials: pd.DataFrame) -> None:
    """Compare the images of the design with those of the behavioural table, if that was downloaded.

    Raises
    ------
    ValueError
        If a trial is missing or names another image.
    """
    path = folder / "nsddata" / "ppdata" / name_subject(subject) / "behav" / "responses.tsv"
    if not path.is_file():
        return
    keys = ["SESSION", "RUN", "TRIAL"]
    shown = read_table(path, required=(*keys, "73KID"))
    merged = trials.merge(shown, left_on=["session", "run", "trial"], right_on=keys, how="left")
    if len(merged) != len(trials) or merged["73KID"].isna().any():
        raise ValueError(
            f"{path} must have one row for each of the {len(trials)} trials of these sessions, got "
            f"{int(merged['73KID'].notna().sum())}; get it again."
        )
    differs = merged["73KID"].to_numpy() != merged["nsd_id"].to_numpy() + 1
    if differs.any():
        first = merged[differs].iloc[0]
        raise ValueError(
            f"73KID of {path} must be the image of {DESIGN} (both from 1), got another one in "
            f"{int(differs.sum())} of {len(trials)} trials, the first in session {first['session']}, run "
            f"{first['run']}, trial {first['trial']}: {first['73KID']} instead of {first['nsd_id'] + 1}; "
            "check that both files belong to one release."
        )


def read_stimulus_info(folder: Path, design: Design, nsd_id: NDArray[np.int64]) -> pd.DataFrame:
    """Description of some images.

    Parameters
    ----------
    folder : path
        Of the data set.
    design : Design
        Its shared images are compared with the table's.
    nsd_id : array of shape (n,)
        Images, from 0.

    Returns
    -------
    pandas.DataFrame
        Index ``stimulus_id``; ``path`` (in the brick), ``nsd_id``, ``coco_id``, ``coco_split`` and the flags
        ``flagged`` (unsuitable content), ``bold5000``, ``shared1000``.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it has other rows or columns, ids from 1, or other shared images than the design.
    """
    path = folder / STIMULUS_INFO
    if not path.is_file():
        raise FileNotFoundError(f"no stimulus table at {path}; get the folder nsddata/experiments.")
    try:
        table = pd.read_csv(path, usecols=list(_INFO_COLUMNS))
    except ValueError as error:
        raise ValueError(
            f"{path} must have the columns {list(_INFO_COLUMNS)} ({error}); get it again."
        ) from error
    numbers = table["nsdId"].to_numpy()
    if not np.array_equal(numbers, np.arange(N_IMAGES)):
        first = numbers[0] if len(numbers) else "nothing"
        raise ValueError(
            f"nsdId of {path} must run from 0 to {N_IMAGES - 1}, got {len(numbers)} rows from {first}; get "
            "the file again, unsorted and unshifted."
        )
    if not np.array_equal(np.flatnonzero(table["shared1000"]), np.sort(design.shared)):
        raise ValueError(
            f"shared1000 of {path} must mark the images that sharedix of {DESIGN} names (minus 1), got "
            "others; check that the ids of the design count from 1, or get both files again."
        )
    chosen = table.iloc[nsd_id][list(_INFO_COLUMNS)].rename(columns=_INFO_COLUMNS)
    flags = ("flagged", "bold5000", "shared1000")
    chosen = chosen.astype(dict.fromkeys(flags, bool))
    chosen.index = pd.Index(name_stimuli(nsd_id), name="stimulus_id")
    chosen.insert(0, "path", [f"{BRICK}#imgBrick/{number}" for number in nsd_id])
    return chosen


def _check_ids(
    path: Path, name: str, found: NDArray, shape: tuple[int, int], largest: int
) -> NDArray[np.int64]:
    """Ids from 0, after checking that those of the file count from 1."""
    if found.shape != shape:
        raise ValueError(f"{name} of {path} must have shape {shape}, got {found.shape}; get the file again.")
    ids = found.astype(np.int64)
    if (ids != found).any() or ids.min() < 1 or ids.max() > largest:
        raise ValueError(
            f"{name} of {path} must hold whole numbers from 1 to {largest}, got {found.min()} to "
            f"{found.max()}; pass the published file, whose ids count from 1."
        )
    return ids - 1
