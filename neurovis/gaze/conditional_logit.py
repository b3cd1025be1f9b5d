"""Choice among options whose log-probability is a weighted sum of features (McFadden 1974).

Models of where the eye goes next share this form: objects of a display or pixels of an image are the options.
The log-likelihood is concave, so a fit has one optimum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize
from scipy.special import logsumexp

from neurovis.core import check_array

_N_ITERATIONS = 500


def fit_conditional_logit(
    features: ArrayLike,
    counts: ArrayLike,
    *,
    available: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    nonnegative: ArrayLike | None = None,
    penalty: float = 1e-4,
) -> NDArray[np.float64]:
    """Weights that make the choices most probable.

    Parameters
    ----------
    features : array-like of shape (n_cases, n_options, n_features)
        What describes each option of each case.
    counts : array-like of shape (n_cases, n_options)
        How often each option was chosen.
    available : array-like of bool of shape (n_cases, n_options), optional
        Options that could be chosen; all by default.
    offset : array-like of shape (n_cases, n_options), optional
        Log-weight of the options before any feature counts, e.g. the log of their area.
    nonnegative : array-like of bool of shape (n_features,), optional
        Features whose weight may not fall below zero, for effects that can only rise.
    penalty : float
        Half the squared weights are charged this much per choice; keeps weights finite where a feature
        never occurs.

    Returns
    -------
    array of shape (n_features,)

    Raises
    ------
    ValueError
        If shapes do not fit, nothing was chosen, or something unavailable was chosen.
    """
    # Double precision: the line search stalls on the rounding of single.
    x = check_array("features", features, ndim=3, dtype=float)
    n_cases, n_options, n_features = x.shape
    chosen = check_array("counts", counts, shape=(n_cases, n_options), minimum=0, dtype=float)
    if available is None:
        free = np.ones((n_cases, n_options), dtype=bool)
    else:
        free = np.asarray(available, dtype=bool)
        check_array("available", free, shape=(n_cases, n_options))
    base = np.zeros((n_cases, n_options)) if offset is None else np.asarray(offset, dtype=float)
    check_array("offset", base, shape=(n_cases, n_options))
    total = chosen.sum()
    if total == 0 or chosen[~free].any():
        raise ValueError(
            f"counts must hold choices of available options only, got {total:g} choices, "
            f"{chosen[~free].sum():g} of them of unavailable options; check the cases."
        )
    base = np.where(free, base, -np.inf)
    if n_features == 0:
        return np.zeros(0)
    flat = np.ascontiguousarray(x.reshape(-1, n_features))
    wanted = chosen.ravel() @ flat
    per_case = chosen.sum(axis=1, keepdims=True)

    def measure(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = (flat @ weights).reshape(n_cases, n_options) + base
        top = scores.max(axis=1, keepdims=True)
        odds = np.exp(scores - top)
        total_odds = odds.sum(axis=1, keepdims=True)
        expected = (odds * (per_case / total_odds)).ravel() @ flat
        norm = top + np.log(total_odds)
        loss = float((per_case * norm).sum() - wanted @ weights - chosen[free] @ base[free])
        gradient = expected - wanted
        return loss / total + 0.5 * penalty * float(weights @ weights), gradient / total + penalty * weights

    rising = np.zeros(n_features, dtype=bool) if nonnegative is None else np.asarray(nonnegative, dtype=bool)
    check_array("nonnegative", rising, shape=(n_features,))
    found = optimize.minimize(
        measure, np.zeros(n_features), jac=True, method="L-BFGS-B",
        bounds=[(0.0, None) if up else (None, None) for up in rising],
        options={"maxiter": _N_ITERATIONS, "ftol": 1e-9, "gtol": 1e-6},
    )  # fmt: skip
    return np.asarray(found.x, dtype=float)


def compute_choice_log_probabilities(
    features: ArrayLike, weights: ArrayLike, *, available: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Log-probability of every option.

    Parameters
    ----------
    features : array-like of shape (..., n_options, n_features)
        As in :func:`fit_conditional_logit`.
    weights : array-like of shape (n_features,)
        From there.
    available : array-like of bool of shape (..., n_options), optional
        Options that could be chosen.

    Returns
    -------
    array of shape (..., n_options)
        Natural logarithm; minus infinity for what is not available.
    """
    scores = np.asarray(features) @ np.asarray(weights, dtype=float)
    if available is not None:
        scores = np.where(available, scores, -np.inf)
    return scores - logsumexp(scores, axis=-1, keepdims=True)
