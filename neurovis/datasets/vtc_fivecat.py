"""Ventral temporal betas of five categories under three tasks, three people.

Bugatus, Weiner & Grill-Spector (2017) Task alters category representations in prefrontal but not high-level
visual cortex. NeuroImage 155:437-449; a course copy of the betas. No images and no voxel positions.

Trap: the 15 columns of subjects 2 and 3 run through the categories within each task (task-major). Read the
other way round, categories are scrambled and decoding falls to about half.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurovis.core import NeuralData, check_array, check_option, make_neural_data
from neurovis.datasets.cards import find_dataset
from neurovis.io.arrays import read_mat

NAME = "vtc_fivecat"
CATEGORIES = ("face", "body", "car", "house", "word")
TASKS = ("oddball", "working_memory", "selective_attention")
SUBJECTS = ("1", "2", "3")
_N_RUNS = 3
_TASK_VARIABLES = ("OB", "WM", "SA")


def load_vtc_fivecat(*, subject: str | None = None, root: str | Path | None = None) -> NeuralData:
    """Read the betas of one person or of all.

    Parameters
    ----------
    subject : {"1", "2", "3"}, optional
        Default: all, side by side along ``"neuroid"``; voxels do not correspond between people.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.

    Returns
    -------
    NeuralData
        Rows ``"presentation"`` (3 tasks x 3 runs x 5 categories = 45): ``stimulus_id`` is the category,
        ``session`` the task, ``run`` 1-3 within the task, ``repeat`` 0-8. Units of a GLM beta
        ("percent"-like). Rows of padding (all zero, 40-62 % of each file) are dropped.

    Raises
    ------
    FileNotFoundError
        If the data set or a file is missing.
    ValueError
        If a file is truncated, foreign or of another shape.
    """
    subjects = SUBJECTS if subject is None else (check_option("subject", subject, SUBJECTS),)
    folder = find_dataset(NAME, root)
    betas = {name: _read_betas(folder / f"sub{name}_betas.mat", name) for name in subjects}
    responsive = {name: np.flatnonzero((part != 0).any(axis=(1, 2, 3))) for name, part in betas.items()}
    values = np.concatenate([betas[name][rows] for name, rows in responsive.items()])
    task, run, category = (index.ravel() for index in np.indices((len(TASKS), _N_RUNS, len(CATEGORIES))))
    return make_neural_data(
        values.transpose(1, 3, 2, 0).reshape(-1, len(values)),
        rows="presentation",
        row_coords={
            "stimulus_id": np.array(CATEGORIES)[category],
            "repeat": task * _N_RUNS + run,
            "session": np.array(TASKS)[task],
            "run": run + 1,
        },
        neuroid_coords={
            "neuroid_id": [f"sub-{name}_row{row:04d}" for name, rows in responsive.items() for row in rows],
            "subject": np.repeat(subjects, [len(rows) for rows in responsive.values()]),
            "region": np.full(len(values), "VTC"),
        },
        units="percent",
        source=NAME,
    )


def _read_betas(path: Path, subject: str) -> NDArray[np.float64]:
    """Betas of shape (row, task, category, run)."""
    n_tasks, n_categories = len(TASKS), len(CATEGORIES)
    if subject == "1":
        found = read_mat(path, _TASK_VARIABLES)
        columns = (n_categories, _N_RUNS)
    else:
        found = read_mat(path, [f"sub{subject}_betas"])
        columns = (n_tasks * n_categories, _N_RUNS)
    betas = [check_array(f"{name} of {path}", part, shape=(None, *columns)) for name, part in found.items()]
    if not any(part.any() for part in betas):
        raise ValueError(f"{path} must hold responses, got zeros only; restore the file.")
    return np.stack(betas, axis=1).reshape(-1, n_tasks, n_categories, _N_RUNS)
