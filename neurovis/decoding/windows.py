"""Windows of responses in time: which samples after a moment of a movie hold the response to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.regression import pearson_r


def stack_windows(responses: ArrayLike, offsets: Sequence[int], runs: ArrayLike) -> NDArray[np.float64]:
    """Responses at several samples around each one, side by side, within runs.

    Parameters
    ----------
    responses : array of shape (n, n_voxels)
        In order of time.
    offsets : sequence of int
        Samples relative to each row; positive ones are later, where the haemodynamic response is.
    runs : array of shape (n,)
        Run of each row; what lies outside it is 0, the mean of z-scored responses.

    Returns
    -------
    array of shape (n, n_offsets * n_voxels)
        All voxels at the first offset first.
    """
    values = check_array("responses", responses, ndim=2, dtype=np.float64)
    labels = np.asarray(runs)
    stacked = np.zeros((len(offsets), *values.shape))
    place = np.arange(len(values))
    for number, offset in enumerate(offsets):
        source = place + offset
        valid = (source >= 0) & (source < len(values))
        valid[valid] &= labels[source[valid]] == labels[valid]
        stacked[number, valid] = values[source[valid]]
    return np.concatenate(list(stacked), axis=1)


def choose_delay(
    responses: ArrayLike,
    target: ArrayLike,
    runs: ArrayLike,
    *,
    validation: Sequence[Any],
    delays: Sequence[int],
) -> tuple[int, dict[int, float]]:
    """Delay of the responses from which a ridge predicts validation runs best.

    Parameters
    ----------
    responses : array of shape (n, n_voxels)
        Training and validation runs in order of time; never test runs.
    target : array of shape (n, k)
        What to decode, e.g. mean flow inside the object.
    runs : array of shape (n,)
        Run of each row.
    validation : sequence
        Runs that score; the others fit.
    delays : sequence of int
        Candidates [samples].

    Returns
    -------
    delay : int
        The best one.
    scores : dict of int to float
        Delay -> mean Pearson r over the columns of the target on the validation runs.
    """
    from sklearn.linear_model import RidgeCV

    goal = check_array("target", target, ndim=2, dtype=np.float64)
    held_out = np.isin(np.asarray(runs), list(validation))
    if not 0 < held_out.sum() < len(held_out):
        raise ValueError("validation must name some runs and leave others to fit, got all or none.")
    scores = {}
    for delay in delays:
        X = stack_windows(responses, [delay], runs)
        model = RidgeCV(np.logspace(-1, 6, 8)).fit(X[~held_out], goal[~held_out])
        scores[int(delay)] = float(pearson_r(goal[held_out], model.predict(X[held_out])).mean())
    return max(scores, key=lambda delay: scores[delay]), scores
