"""In which order do people visit the covers of a shelf, and what does a model of objects say about it.

Data of Sattar et al. (CVPR 2015), as one of the data sets of Fang et al. (ECCV 2024), "OAT: Object-Level
Attention Transformer for Gaze Scanpath Prediction". The collages are not part of the data: the transformer
reads places, the name of the target and the past of the scanpath, but no pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from neurovis.core import make_rng
from neurovis.datasets.sti_amazon import GRID, NAME, load_sti_amazon
from neurovis.evaluation.studies.object_paths import compare_objects_on
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.gaze.oat_behaviour import CHANCE, PEOPLE, compare_object_models
from neurovis.gaze.oat_displays import make_grid_trials
from neurovis.gaze.oat_trials import ObjectTrial, filter_by_length
from neurovis.metrics.scanpath_strings import compute_sequence_score

_N_PATHS = 20
_N_BOOTSTRAPS = 500
_N_COLLAGES = 100  # published; the shared part holds fewer
# (quantity, model, metric, number computed from all 100 collages on the same uniform grid)
_BEHAVIOURS = (
    ("people end on the target [share]", PEOPLE, "correct", 0.840),
    ("fixations of a search [fixations]", PEOPLE, "length", 14.47),
    ("runs on a new cover [share of fixations]", PEOPLE, "search", 0.780),
    ("the same cover again [share of fixations]", PEOPLE, "refix", 0.170),
    ("runs on an earlier cover [share of fixations]", PEOPLE, "revisit", 0.050),
    ("sequence score of random covers [0 to 1]", CHANCE, "sequence_score", 0.0856),
)
_AGREEMENT = 0.2009
_TRAINING: dict[str, Any] = {
    "n_epochs": 30,
    "patience": 6,
    "d_model": 64,
    "n_layers": 1,
    "learning_rate": 2e-3,
}


def analyse_sti_amazon(
    root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> StudyResult:
    """Behaviour of people over covers, their agreement, and models of their scanpaths.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.sti_amazon.load_sti_amazon`.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of splits, trainings, samples, bootstraps and permutations.

    Returns
    -------
    StudyResult
        ``figures_data``: ``people_agreement`` (1,), mean sequence score of two people on one collage, and
        ``null_people_agreement`` (n_permutations,), with collages exchanged within each person.

    Notes
    -----
    Models are trained on 60 % of the collages, observers or targets, stopped by 20 % and tested on 20 %,
    without scanpaths that are longer than the mean by three standard deviations, as published. The
    transformer is small (64 wide, one layer each; at most 30 epochs), so that all six trainings take minutes
    on one core; published are 512, four layers and 500 epochs. Published results of models are not at hand.
    With a few hundred scanpaths and no pictures the transformer says no more than distance does, and less
    than a baseline with the same knowledge of the target.
    """
    stimuli, fixations = load_sti_amazon(root=root)
    trials = make_grid_trials(stimuli, fixations, GRID)
    people, figures = _describe_people(trials, n_permutations, seed)
    models = compare_objects_on(
        filter_by_length(trials), study=NAME, n_permutations=n_permutations, seed=seed, **_TRAINING
    )
    return StudyResult(make_result_table([*people, *models]), figures)


def _describe_people(
    trials: Sequence[ObjectTrial], n_permutations: int, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    table = compare_object_models([], trials, n_paths=_N_PATHS, n_bootstraps=_N_BOOTSTRAPS, seed=seed)
    found = {
        (model, metric): (float(value), (float(low), float(high)))
        for model, metric, value, low, high in zip(
            *(table[name] for name in ("model", "metric", "value", "low", "high")), strict=True
        )
    }
    n = int(table["n_images"].iloc[0])
    place: dict[str, Any] = {
        "study": NAME, "region": "all collages", "n": n,
        "note": f"reference computed on the same grid from all {_N_COLLAGES} collages, here {n}",
    }  # fmt: skip
    rows = []
    for quantity, model, metric, reference in _BEHAVIOURS:
        value, ci = found[model, metric]
        rows.append(
            make_result_row(
                quantity=quantity, value=value, ci=ci, reference=reference,
                split="no fitting; interval resamples collages", **place,
            )
        )  # fmt: skip
    agreement, ci = found[PEOPLE, "sequence_score"]
    null = _permute_collages(trials, n_permutations, seed)
    rows.append(
        make_result_row(
            quantity="sequence score of two people [0 to 1]", value=agreement, ci=ci, null=null,
            reference=_AGREEMENT, chance=found[CHANCE, "sequence_score"][0],
            split="no fitting; interval resamples collages, null exchanges them within each person", **place,
        )
    )  # fmt: skip
    return rows, {"people_agreement": np.array([agreement]), "null_people_agreement": null}


def _permute_collages(trials: Sequence[ObjectTrial], n_permutations: int, seed: int) -> np.ndarray:
    """Mean sequence score of two people when each one's scanpaths are dealt to other collages."""
    who = np.array([trial.subject for trial in trials])
    image = np.array([trial.stimulus_id for trial in trials])
    subjects = np.unique(who)
    # Every scanpath of one person with every one of another, once; a permutation then only looks up.
    pairs = np.array(
        [
            (i, j)
            for a, b in combinations(subjects, 2)
            for i in np.flatnonzero(who == a)
            for j in np.flatnonzero(who == b)
        ]
    )
    paths = [np.array(trial.path) for trial in trials]
    score = np.zeros((len(trials), len(trials)))
    score[tuple(pairs.T)] = compute_sequence_score(
        [paths[i] for i in pairs[:, 0]], [paths[j] for j in pairs[:, 1]]
    )
    rng = make_rng(seed, NAME, "agreement")
    own = [np.flatnonzero(who == subject) for subject in subjects]
    null = np.empty(n_permutations)
    for number in range(n_permutations):
        dealt = image.copy()
        for rows in own:
            dealt[rows] = dealt[rng.permutation(rows)]
        first, second = pairs.T
        null[number] = score[first, second][dealt[first] == dealt[second]].mean()
    return null
