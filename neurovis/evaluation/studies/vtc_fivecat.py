"""Is category read out from ventral temporal patterns, person by person (Bugatus et al., NeuroImage 2017).

Correlation classification after Haxby et al. (2001): a test pattern belongs to the category whose mean
training pattern it correlates with best, after each run's mean over the (balanced) categories is taken out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import NeuralData, make_rng
from neurovis.datasets.vtc_fivecat import CATEGORIES, NAME, SUBJECTS, TASKS, load_vtc_fivecat
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table

_REFERENCE = {"1": 0.96, "2": 0.96, "3": 0.60}


def analyse_vtc_fivecat(
    root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0
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
        patterns = arrange_patterns(load_vtc_fivecat(subject=subject, root=root))
        task_run = np.arange(len(patterns))
        row, decoded, null = _classify_left_out(patterns, task_run, subject, n_permutations, seed)
        rows.append(row)
        nulls.append(null)
        confusions.append((decoded[:, :, None] == np.arange(len(CATEGORIES))).mean(axis=0))
        task = task_run // (len(patterns) // len(TASKS))
        rows.append(_classify_left_out(patterns, task, subject, n_permutations, seed)[0])
    figures = {
        "categories": np.array(CATEGORIES),
        "confusion": np.array(confusions),
        "null_accuracy": np.array(nulls),
    }
    return StudyResult(make_result_table(rows), figures)


def arrange_patterns(data: NeuralData) -> NDArray[np.float64]:
    """Patterns of shape (task-run, category, voxel), each task-run's mean over categories taken out.

    Parameters
    ----------
    data : NeuralData
        As from :func:`neurovis.datasets.vtc_fivecat.load_vtc_fivecat`.

    Raises
    ------
    ValueError
        If a task-run does not hold each category once.
    """
    repeat, category = data["repeat"].values, data["stimulus_id"].values
    if sorted(zip(repeat, category, strict=True)) != sorted(
        (number, name) for number in np.unique(repeat) for name in CATEGORIES
    ):
        raise ValueError(f"data must hold each of {CATEGORIES} once in every task-run; check its rows.")
    order = np.lexsort([[CATEGORIES.index(name) for name in category], repeat])
    patterns = data.values[order].reshape(-1, len(CATEGORIES), data.shape[1])
    return patterns - patterns.mean(axis=1, keepdims=True)


def _classify_left_out(
    patterns: NDArray, group: NDArray[np.intp], subject: str, n_permutations: int, seed: int
) -> tuple[dict[str, Any], NDArray[np.intp], NDArray[np.float64]]:
    """Row of the table, decoded category of each (run, pattern), accuracies under permutation."""
    n_groups = len(np.unique(group))
    new_task = n_groups == len(TASKS)
    similarity = _compute_similarity(patterns)
    decoded = _classify(similarity, group)
    hit = decoded == np.arange(len(CATEGORIES))
    rng = make_rng(seed, NAME, subject, n_groups)
    null = np.array([_permuted_accuracy(similarity, group, rng) for _ in range(n_permutations)])
    low, high = compute_bootstrap_ci(lambda drawn: hit[drawn].mean(), len(hit), rng)
    row = make_result_row(
        study=NAME,
        subject=subject,
        region="VTC",
        quantity="accuracy, 5 categories" + (", new task" if new_task else ""),
        value=hit.mean(),
        ci=(float(low), float(high)),
        chance=1 / len(CATEGORIES),
        null=null,
        n=hit.size,
        split=f"leave one of {n_groups} {'tasks' if new_task else 'task-runs'} out; null permutes categories "
        "within task-runs; interval resamples task-runs",
        reference=np.nan if new_task else _REFERENCE[subject],
        note=f"{patterns.shape[2]} voxels that are not padding",
    )
    return row, decoded, null


def _compute_similarity(patterns: NDArray) -> NDArray[np.float64]:
    """Inner products of voxel-centred patterns, (run, category, run, category).

    Means of training patterns and correlations with them follow from it, so that a permutation need not
    touch the voxels.
    """
    centred = patterns - patterns.mean(axis=2, keepdims=True)
    return np.einsum("acv,bdv->acbd", centred, centred, optimize=True)


def _classify(similarity: NDArray, group: NDArray) -> NDArray[np.intp]:
    """Category of highest correlation for each (run, pattern)."""
    decoded = np.empty(similarity.shape[:2], dtype=int)
    for left_out in np.unique(group):
        test, train = np.flatnonzero(group == left_out), np.flatnonzero(group != left_out)
        product = similarity[test][:, :, train].sum(axis=2)
        blocks = similarity[np.ix_(train, range(similarity.shape[1]), train)].sum(axis=(0, 2))
        # The length of the test pattern is the same for every candidate, so it cannot change the choice.
        decoded[test] = np.argmax(product / np.sqrt(np.diagonal(blocks)), axis=2)
    return decoded


def _permuted_accuracy(similarity: NDArray, group: NDArray, rng: np.random.Generator) -> float:
    n_runs, n_categories = similarity.shape[:2]
    order = np.array([rng.permutation(n_categories) for _ in range(n_runs)])
    run = np.arange(n_runs)
    shuffled = similarity[
        run[:, None, None, None], order[:, :, None, None], run[None, None, :, None], order[None, None]
    ]
    return float((_classify(shuffled, group) == np.arange(n_categories)).mean())
