"""Where do people look when they search a room for a thing, and what do search models tell?

Sclar, Bujia, Vita, Solovey & Kamienkowski (2020) arXiv:2009.08373; Bujia et al. (2022) Frontiers in Systems
Neuroscience 16:882315. eccNET (Gupta et al. 2021) and IVSN (Zhang et al. 2018) see the scene and the cut-out
that people saw; they are not trained on gaze.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from neurovis.core import StimulusSet
from neurovis.datasets.interiors_search import NAME, load_interiors_search
from neurovis.evaluation.studies.gaze_models import make_gaze_result
from neurovis.evaluation.studies.object_paths import compare_objects_on
from neurovis.evaluation.studies.results import StudyResult
from neurovis.gaze.gaze_comparison import FitGazeModel, compare_gaze_models
from neurovis.gaze.oat_displays import make_grid_trials
from neurovis.gaze.oat_trials import filter_by_length
from neurovis.gaze.search_density import compute_search_maps, list_search_fits
from neurovis.gaze.search_protocols import PROTOCOLS

_SHRINK = 8
_TEST_SHARE = 0.4
# The start was drawn at random by the experiment.
_FIRST_INDEX = 1
# Cells of 128 x 128 px stand for objects.
_GRID, _CROP_PX = (6, 8), (32, 32)
_TRAINING: dict[str, Any] = {
    "n_epochs": 8,
    "patience": 3,
    "d_model": 64,
    "n_layers": 1,
    "learning_rate": 2e-3,
    "batch_size": 40,
}
_NOTE = "search maps seen from the middle, by a network trained on the stimulus world (vgg-world)"


def analyse_interiors_search(
    root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> StudyResult:
    """Compare chance, centre bias, saliency, saccades, two search models and other people on scenes left out.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.interiors_search.load_interiors_search`.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of the split, fits, nulls and bootstraps.

    Returns
    -------
    StudyResult
        See :func:`neurovis.evaluation.studies.gaze_models.make_gaze_result`. The last rows are of scanpaths
        over the cells of a grid; see :func:`neurovis.evaluation.studies.object_paths.compare_objects_on`.

    Notes
    -----
    The searchers' maps are computed at the size of the files (a nominal 30 px per degree) before the first
    saccade, seen from the middle of the scene; a new map for each of thousands of fixations would take half
    an hour. So eccNET's eccentricity is that of the middle, and where the eye is tells only the models
    "saccades on ...". Densities are compared at an eighth of the files' size. Everything that is fitted,
    which are a few numbers for each model, comes from 60 % of the scenes.

    The object-level transformer (Fang et al. 2024, ECCV) reads cells of a grid of 6 x 8 as crops of 32 px,
    the picture of the target and the past of the scanpath; it is not told where the target is. It is small
    (64 wide, one layer each; at most 8 epochs), so that its four trainings take minutes on one core;
    scanpaths longer than the mean by three standard deviations are left out, as published. Of 24 scenes it
    learns the scenes rather than what a target looks like: on new scenes it predicts people better without
    pictures, and only on scenes that other people searched better with them.
    """
    stimuli, fixations = load_interiors_search(root=root)
    comparison = compare_gaze_models(
        stimuli, fixations, fit_models=_list_searchers(stimuli), first_index=_FIRST_INDEX,
        test_share=_TEST_SHARE, shrink=_SHRINK, seed=seed,
    )  # fmt: skip
    trials = make_grid_trials(stimuli, fixations, _GRID, crop_px=_CROP_PX, first_index=_FIRST_INDEX)
    paths = compare_objects_on(
        filter_by_length(trials), study=NAME, splits=("image", "observer"), told=False, blind=True,
        n_permutations=n_permutations, seed=seed, **_TRAINING,
    )  # fmt: skip
    return make_gaze_result(
        comparison, study=NAME, n_permutations=n_permutations, seed=seed, note=_NOTE, more_rows=paths
    )


def _list_searchers(stimuli: StimulusSet) -> dict[str, FitGazeModel]:
    """Ways to fit eccNET and IVSN, alone and under saccades; their maps are computed here."""
    from neurovis.gaze.eccnet import EccNet, make_ivsn
    from neurovis.gaze.vgg import load_vgg_world

    protocol = replace(PROTOCOLS["natural-design"], size_px=None, target_px=None)
    fits: dict[str, FitGazeModel] = {}
    for searcher in (EccNet(load_vgg_world()), make_ivsn(load_vgg_world())):
        fits |= list_search_fits(compute_search_maps(searcher, stimuli, protocol), name=searcher.name)
    return fits
