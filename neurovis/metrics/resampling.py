"""Bootstrap samples of rows as counts, so that correlations of all samples are matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.core import Metric, make_rng
from neurovis.metrics.regression import explained_variance, pearson_r, r2, standardise_columns


def draw_counts(n: int, n_samples: int, *, block_length: int = 1, seed: int = 0) -> NDArray[np.int_]:
    """How often each row occurs in each bootstrap sample.

    Parameters
    ----------
    n : int
        Rows.
    n_samples : int
        Samples.
    block_length : int
        Rows per block that is drawn as one; above 1 for time series, longer than their autocorrelation.
    seed : int
        Seed of the resampling.

    Returns
    -------
    array of shape (n_samples, n)

    Raises
    ------
    ValueError
        If there are fewer than two blocks or no samples.
    """
    n_blocks = -(-n // max(1, block_length))
    if block_length < 1 or n_blocks < 2 or n_samples < 1:
        raise ValueError(
            f"block_length and n_bootstraps must leave at least 2 blocks of the {n} rows and 1 sample, got "
            f"{block_length} and {n_samples}; use shorter blocks."
        )
    drawn = make_rng(seed, "bootstrap").multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n_samples)
    return drawn.repeat(block_length, axis=1)[:, :n]


def score_samples(
    metric: Metric, truth: NDArray[np.float64], prediction: NDArray[np.float64], counts: NDArray[np.int_]
) -> NDArray[np.float64]:
    """Score of samples of rows given by how often each row occurs.

    Parameters
    ----------
    metric : Metric
        Pearson r, R^2 and explained variance of all samples come from matrix products.
    truth, prediction : array of shape (n, k)
        From :func:`neurovis.metrics.regression.check_pair`.
    counts : array of int of shape (n_samples, n)
        As from :func:`draw_counts`.

    Returns
    -------
    array of shape (n_samples, k)
    """
    if metric not in (pearson_r, r2, explained_variance):
        rows = np.arange(len(truth))
        return np.array(
            [metric(truth[own], prediction[own]) for own in (np.repeat(rows, times) for times in counts)]
        )
    weights = counts / counts.sum(axis=1, keepdims=True)
    t = standardise_columns(truth)
    mean_t = weights @ t
    variance_t = weights @ t**2 - mean_t**2
    # Squares of unit columns sum to 1: anything this small is the rounding of a constant sample.
    limit = 1e-12 / len(truth)
    if metric is pearson_r:
        p = standardise_columns(prediction)
        mean_p = weights @ p
        covariance = weights @ (t * p) - mean_t * mean_p
        variance = variance_t * (weights @ p**2 - mean_p**2)
        varies = variance > limit**2
        scale = np.sqrt(np.maximum(variance, 0))
        return np.clip(np.divide(covariance, scale, out=np.zeros_like(scale), where=varies), -1.0, 1.0)
    length = np.sqrt(((truth - truth.mean(axis=0)) ** 2).sum(axis=0))
    residual = np.divide(truth - prediction, length, out=np.zeros_like(t), where=t.any(axis=0))
    error = weights @ residual**2
    if metric is explained_variance:
        error -= (weights @ residual) ** 2
    return 1 - np.divide(error, variance_t, out=np.ones_like(error), where=variance_t > limit)
