"""Where do people look when they search a photograph for a kind of object (COCO-Search18)?

Chen, Yang, Ahn, Samaras, Hoai & Zelinsky (2021) Scientific Reports 11:8776; Yang et al. (2020) CVPR.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurovis.datasets.coco_search18 import load_coco_search18
from neurovis.evaluation.studies.gaze_models import draw_images, make_gaze_result
from neurovis.evaluation.studies.object_paths import compare_objects_on
from neurovis.evaluation.studies.results import StudyResult
from neurovis.gaze.gaze_comparison import compare_gaze_models
from neurovis.gaze.oat_displays import make_grid_trials
from neurovis.gaze.oat_trials import filter_by_length

NAME = "coco_search18_val"
_N_STIMULI = 300
_SHRINK = 8
# The first fixation is the given one at the centre.
_FIRST_INDEX = 1
# Cells of 210 x 210 px stand for objects.
_GRID = (5, 8)
_TRAINING: dict[str, Any] = {
    "n_epochs": 20,
    "patience": 4,
    "d_model": 64,
    "n_layers": 1,
    "learning_rate": 1e-3,
    "batch_size": 40,
}


def analyse_coco_search18_val(
    root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> StudyResult:
    """Compare uniform density, centre bias, saccades, saliency where there are images, and other people.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.coco_search18.load_coco_search18`; of the whole data set, the
        validation split is used, with the target present.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of the images, the split, fits, nulls and bootstraps.

    Returns
    -------
    StudyResult
        See :func:`neurovis.evaluation.studies.gaze_models.make_gaze_result`. The last rows are of scanpaths
        over the cells of a grid; see :func:`neurovis.evaluation.studies.object_paths.compare_objects_on`.

    Notes
    -----
    People were told a kind of object and saw no picture of the target, so that models which match a picture
    have nothing to match. Tasks on the same photograph stay on one side of the split. At most 300 pairs of
    task and photograph are used; densities are compared at an eighth of the screen's size.

    The object-level transformer (Fang et al. 2024, ECCV) reads cells of a grid of 5 x 8, the name of the
    target and the past of the scanpath, but no pictures. It is small (64 wide, one layer each; at most 20
    epochs), so that its six trainings take minutes on one core; scanpaths longer than the mean by three
    standard deviations are left out, as published. On people left out it says more than places do; on
    photographs left out only where both are told the target, and on targets left out, whose names mean
    nothing to it, less.
    """
    stimuli, fixations = load_coco_search18(root=root, split="valid", condition="present")
    some, own = draw_images(stimuli, fixations, _N_STIMULI, seed=seed)
    comparison = compare_gaze_models(
        some, own, first_index=_FIRST_INDEX, group_of=_get_photograph, shrink=_SHRINK, seed=seed
    )
    notes = [f"{len(some)} of {len(stimuli)} stimuli"] if len(some) < len(stimuli) else []
    if (some.table["path"] == "").any():
        notes.append("images are not here: no saliency")
    paths = compare_objects_on(
        filter_by_length(make_grid_trials(some, own, _GRID, first_index=_FIRST_INDEX)), study=NAME,
        n_permutations=n_permutations, seed=seed,
        image_of=lambda trial: _get_photograph(trial.stimulus_id), **_TRAINING,
    )  # fmt: skip
    return make_gaze_result(
        comparison, study=NAME, n_permutations=n_permutations, seed=seed, note="; ".join(notes),
        more_rows=paths,
    )  # fmt: skip


def _get_photograph(stimulus_id: str) -> str:
    """Ids are ``<task>_<photograph>``, with hyphens in the task."""
    return stimulus_id.partition("_")[2]
