"""Ridge predictions of every case of a study from models that were fitted without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurovis.encoding.ridge import Ridge
from neurovis.metrics.regression import pearson_r

_N_INNER_FOLDS = 5


def predict_left_out(
    X: NDArray,
    Y: NDArray[np.float64],
    *,
    alphas: Sequence[float] | NDArray[np.float64],
    n_folds: int,
    n_repeats: int,
    seed: int,
) -> NDArray[np.float64]:
    """Prediction of every row, as a change from the training mean, over repeated shuffled folds.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Features; scaled to unit variance over the training rows of each fold.
    Y : array of shape (n, k)
        Responses; every column has a penalty of its own, chosen within the training rows.
    alphas : array of shape (n_alphas,)
        Candidate penalties.
    n_folds, n_repeats : int
        Folds, and how often they are drawn.
    seed : int
        Of the first set of folds; those that follow count up from it.

    Returns
    -------
    array of shape (n_repeats, n, k)

    Notes
    -----
    The mean of the training rows is low where the left-out rows are high, so that with it even a model that
    knows nothing correlates negatively over folds.
    """
    predicted = np.empty((n_repeats, *Y.shape))
    for repeat in range(n_repeats):
        shuffled = {"shuffle": True, "random_state": seed + repeat}
        for train, test in KFold(n_folds, **shuffled).split(X):
            # The rotation onto the span of the training rows changes nothing but the time of many features.
            rotation = make_pipeline(StandardScaler(), PCA(svd_solver="full")).fit(X[train].astype(float))
            model = Ridge(alphas, cv=KFold(_N_INNER_FOLDS, **shuffled), standardise=False)
            model.fit(rotation.transform(X[train]), Y[train])
            predicted[repeat, test] = model.predict(rotation.transform(X[test])) - Y[train].mean(axis=0)
    return predicted


def score_left_out(Y: NDArray[np.float64], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each column with its predictions, averaged over the sets of folds.

    Parameters
    ----------
    Y : array of shape (n, k)
        Responses.
    predictions : array of shape (n_repeats, n, k)
        As from :func:`predict_left_out`, of the same rows.

    Returns
    -------
    array of shape (k,)
        Pearson r.
    """
    # Side by side they are standardised in one call, which counts in a bootstrap.
    r = pearson_r(np.tile(Y, len(predictions)), np.concatenate(list(predictions), axis=1))
    return r.reshape(len(predictions), -1).mean(axis=0)
