"""Is category read out from ventral temporal patterns, person by person (Bugatus et al., NeuroImage 2017).

Correlation classification after Haxby et al. (2001): a test pattern belongs to the category whose mean
training pattern it correlates with best, after each run's mean over the (balanced) categories is taken out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import NeuralData
from neurovis.datasets.vtc_fivecat import CATEGORIES, NAME, SUBJECTS, load_vtc_fivecat
from neurovis.decoding.classification import (
    CorrelationClassifier,
    Decoding,
    compute_permutation_null,
    decode_left_out_runs,
)
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.metrics.significance import compute_summary_ci

_REFERENCE = {"1": 0.96, "2": 0.96, "3": 0.60}


def analyse_vtc_fivecat(
    root: str | Path | None = None, *, n_permutations: int = 200, seed: int = 0
) -> StudyResult:
    """Classify the category of left-out runs, and of a task that was never trained on.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of permutations and bootstraps.

    Returns
    -------
    StudyResult
        ``figures_data``: ``categories`` (5,), ``confusion`` (3 subjects, 5 shown, 5 decoded; rows sum to 1)
        and ``null_accuracy`` (3, n_permutations) of left-out task-runs.
    """
    rows, confusions, nulls = [], [], []
    for subject in SUBJECTS:
        data = load_vtc_fivecat(subject=subject, root=root)
        row, decoding, null = _classify(data, "repeat", subject, n_permutations, seed)
        order = np.searchsorted(decoding.classes, CATEGORIES)
        confusions.append(
            decoding.confusion[np.ix_(order, order)] / decoding.confusion.sum(axis=1)[order, None]
        )
        nulls.append(null)
        rows += [row, _classify(data, "session", subject, n_permutations, seed)[0]]
    figures = {
        "categories": np.array(CATEGORIES),
        "confusion": np.array(confusions),
        "null_accuracy": np.array(nulls),
    }
    return StudyResult(make_result_table(rows), figures)


def centre_task_runs(data: NeuralData) -> NDArray[np.float64]:
    """Patterns without the mean over the categories of their task-run, rows as in ``data``.

    The mean needs no label, since each task-run holds each category once.

    Parameters
    ----------
    data : NeuralData
        As from :func:`neurovis.datasets.vtc_fivecat.load_vtc_fivecat`.

    Returns
    -------
    array of shape (n_presentations, n_voxels)

    Raises
    ------
    ValueError
        If a task-run does not hold each category once.
    """
    repeat, category = data["repeat"].values, data["stimulus_id"].values
    centred = np.empty(data.shape)
    for number in np.unique(repeat):
        rows = repeat == number
        if sorted(category[rows]) != sorted(CATEGORIES):
            raise ValueError(
                f"data must hold each of {CATEGORIES} once in every task-run, got {category[rows].tolist()} "
                f"in task-run {number}; check its rows."
            )
        centred[rows] = data.values[rows] - data.values[rows].mean(axis=0)
    return centred


def _classify(
    data: NeuralData, left_out: str, subject: str, n_permutations: int, seed: int
) -> tuple[dict[str, Any], Decoding, NDArray[np.float64]]:
    """Row of the table, the decoding, and accuracies under permutation, leaving one ``left_out`` out."""
    X, y, groups = centre_task_runs(data), data["stimulus_id"].values, data[left_out].values
    classifier = CorrelationClassifier()
    decoding = decode_left_out_runs(X, y, groups, classifier=classifier)
    null = compute_permutation_null(
        X, y, groups, classifier=classifier, n_permutations=n_permutations, seed=seed
    )
    new_task = left_out == "session"
    hit = (decoding.predicted == y).reshape(-1, len(CATEGORIES)).mean(axis=1)
    what = "tasks" if new_task else "task-runs"
    row = make_result_row(
        study=NAME,
        subject=subject,
        region="VTC",
        quantity="accuracy, 5 categories" + (", new task" if new_task else ""),
        value=decoding.accuracy,
        ci=compute_summary_ci(hit, seed=seed),
        chance=1 / len(CATEGORIES),
        null=null,
        n=len(y),
        split=f"leave one of {len(decoding.runs)} {what} out; null permutes categories within {what}; "
        "interval resamples task-runs",
        reference=np.nan if new_task else _REFERENCE[subject],
        note=f"{X.shape[1]} voxels that are not padding",
    )
    return row, decoding, null
