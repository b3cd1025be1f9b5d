"""The score of the Algonauts 2023 challenge: explained share of the explainable variance, per vertex.

Gifford et al. (2023) arXiv 2301.03198, section 4 (evaluation): ``100 * min(1, max(r, 0)**2 / NC)`` with the
noise ceiling NC of the test responses as a share of variance; the challenge ranks by the median over the
vertices of all subjects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.regression import pearson_r

_LEAST_CEILING = 1e-14


@dataclass(frozen=True)
class ChallengeScore:
    """Noise-normalised accuracy of one or more subjects.

    Parameters
    ----------
    values : array of shape (n_vertices,)
        Per vertex [% of the explainable variance], 0-100.
    median, mean : float
        Over all vertices; the challenge ranks by the median.
    median_reliable, mean_reliable : float or None
        Over the vertices whose ceiling is above the threshold; None if there are none.
    n_reliable : int
        How many vertices those are.
    """

    values: NDArray[np.float64]
    median: float
    mean: float
    median_reliable: float | None
    mean_reliable: float | None
    n_reliable: int


def compute_challenge_score(
    truth: ArrayLike, prediction: ArrayLike, noise_ceiling: ArrayLike, *, reliable: float = 0.1
) -> ChallengeScore:
    """Score predictions of test responses as the challenge does.

    Parameters
    ----------
    truth, prediction : array of shape (n_images, n_vertices)
        Test responses and what was predicted for them.
    noise_ceiling : array of shape (n_vertices,)
        Share of the variance of the test responses that the images drive, 0-1 and not percent: the
        coordinate ``noise_ceiling`` of :func:`neurovis.datasets.algonauts2023.load_algonauts2023`.
    reliable : float
        Vertices with a larger ceiling enter the second pair of summaries.

    Returns
    -------
    ChallengeScore

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite, or a ceiling is outside 0-1.

    Notes
    -----
    A ceiling of 0 counts as 1e-14, as in the challenge: any positive correlation there, however small, scores
    100. Where the ceiling is low the score is mostly noise cut off at both ends, so the summaries over
    reliable vertices say more about a model. To score several subjects as the challenge does, join ``values``
    over subjects and take the median.
    """
    r = pearson_r(truth, prediction)
    ceiling = check_array(
        "noise_ceiling",
        noise_ceiling,
        shape=r.shape,
        minimum=0,
        maximum=1,
        dtype=np.float64,
        remedy="pass a share of variance per vertex, not percent",
    )
    explained = np.maximum(r, 0) ** 2
    values = 100 * np.minimum(explained / np.where(ceiling > 0, ceiling, _LEAST_CEILING), 1)
    chosen = values[ceiling > reliable]
    return ChallengeScore(
        values,
        float(np.median(values)),
        float(values.mean()),
        float(np.median(chosen)) if len(chosen) else None,
        float(chosen.mean()) if len(chosen) else None,
        len(chosen),
    )
