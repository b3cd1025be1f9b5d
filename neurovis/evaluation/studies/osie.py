"""Where do people look when they look freely, and what does a simple model of the image tell (OSIE)?

Xu, Jiang, Wang, Kankanhalli & Zhao (2014) Journal of Vision 14(1):28.
"""

from __future__ import annotations

from pathlib import Path

from neurovis.datasets.osie import NAME, load_osie
from neurovis.evaluation.studies.gaze_models import draw_images, make_gaze_result
from neurovis.evaluation.studies.results import StudyResult
from neurovis.gaze.gaze_comparison import compare_gaze_models

_N_IMAGES = 120
_SHRINK = 5


def analyse_osie(root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0) -> StudyResult:
    """Compare uniform density, centre bias, saliency, saccades and other people on images left out.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.osie.load_osie`.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of the images, the split, fits, nulls and bootstraps.

    Returns
    -------
    StudyResult
        See :func:`neurovis.evaluation.studies.gaze_models.make_gaze_result`.

    Notes
    -----
    120 images are drawn, and shrunk to 160 x 120 px, which leaves smooth densities as they are.
    """
    stimuli, fixations = load_osie(root=root)
    some, own = draw_images(stimuli, fixations, _N_IMAGES, seed=seed)
    comparison = compare_gaze_models(some, own, shrink=_SHRINK, seed=seed)
    note = f"{len(some)} of {len(stimuli)} images" if len(some) < len(stimuli) else ""
    return make_gaze_result(comparison, study=NAME, n_permutations=n_permutations, seed=seed, note=note)
