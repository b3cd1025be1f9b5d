"""Optical flow against the truth, and against what people see of it.

A flow vector is (u, v) in pixels per frame; which way v points does not matter as long as all arrays agree.
The measures of perceived flow are those of Yang et al. (iScience 2023) and Sun et al. (Nature Machine
Intelligence 2025): people deviate from the truth, so a model of people must predict these deviations, not
only the truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from scipy.stats.mstats import winsorize

from neurovis.core import check_array, check_option, make_rng
from neurovis.metrics.regression import standardise_columns

ASPECTS = ("uv", "speed", "direction")
_NOTHING_LEFT = 1e-6  # length of a residual, as a share, that is rounding


def compute_epe(truth: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """End-point error: length of the difference of two flows.

    Parameters
    ----------
    truth, prediction : array of shape (..., 2)
        [px per frame].

    Returns
    -------
    array of shape (...)
        [px per frame].

    Raises
    ------
    ValueError
        If the shapes differ, the last axis is not (u, v), or a value is not finite.
    """
    first, second = _check_flows(truth=truth, prediction=prediction)
    return np.hypot(*np.moveaxis(second - first, -1, 0))


def compute_speed_error(truth: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """Speed of the prediction minus speed of the truth [px per frame]; shapes as :func:`compute_epe`."""
    first, second = _check_flows(truth=truth, prediction=prediction)
    return np.linalg.norm(second, axis=-1) - np.linalg.norm(first, axis=-1)


def compute_direction_error(truth: ArrayLike, prediction: ArrayLike) -> NDArray[np.float64]:
    """Angle between two flows.

    Parameters
    ----------
    truth, prediction : array of shape (..., 2)
        [px per frame].

    Returns
    -------
    array of shape (...)
        0 to 180 degrees; NaN where either flow is 0 and has no direction.
    """
    first, second = _check_flows(truth=truth, prediction=prediction)
    dot = (first * second).sum(axis=-1)
    cross = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    still = ~(first.any(axis=-1) & second.any(axis=-1))
    return np.where(still, np.nan, np.rad2deg(np.abs(np.arctan2(cross, dot))))


def summarise_epe(errors: ArrayLike, *, share: float = 0.05) -> dict[str, float]:
    """Mean end-point error and two that a few gross outliers do not move.

    Parameters
    ----------
    errors : array of shape (n,)
        Of :func:`compute_epe`.
    share : float
        Share of the largest errors that are set to the largest of the others, 0 to 0.5.

    Returns
    -------
    dict of str to float
        ``mean``, ``median`` and ``winsorised`` [px per frame].
    """
    values = check_array("errors", errors, ndim=1, minimum=0, dtype=float)
    check_array("share", share, ndim=0, minimum=0, maximum=0.5)
    trimmed = np.asarray(winsorize(values, limits=(0, share)))
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "winsorised": float(trimmed.mean()),
    }


def compute_partial_r(first: ArrayLike, second: ArrayLike, given: ArrayLike) -> NDArray[np.float64]:
    """Pearson correlation of two arrays after a third one is regressed out of both, column by column.

    Parameters
    ----------
    first, second, given : array of shape (n, k)
        For example human reports, a model and the truth; finite.

    Returns
    -------
    array of shape (k,)
        In [-1, 1]; 0 where the regression leaves nothing of a column (a model that is the truth).

    Raises
    ------
    ValueError
        If shapes differ or a value is not finite.
    """
    columns = [check_array("first", first, ndim=2, dtype=float)]
    for name, values in (("second", second), ("given", given)):
        columns.append(check_array(name, values, shape=columns[0].shape, dtype=float))
    one, two, fixed = (standardise_columns(values) for values in columns)
    rest = []
    for values in (one, two):
        left = values - (values * fixed).sum(axis=0) * fixed
        length = np.sqrt((left**2).sum(axis=0))
        kept = length > _NOTHING_LEFT
        rest.append(np.divide(left, length, out=np.zeros_like(left), where=kept))
    return np.clip((rest[0] * rest[1]).sum(axis=0), -1.0, 1.0)


def compute_rci(human: ArrayLike, truth: ArrayLike, model: ArrayLike) -> NDArray[np.float64]:
    """Response consistency index: does a model deviate from the truth where and how people do.

    Parameters
    ----------
    human, truth, model : array of shape (n, 2)
        [px per frame].

    Returns
    -------
    array of shape (n,)
        ``A B C`` of each probe, to be averaged: ``A = |R - G| / (|G| + |R|)``, the cosine B between
        ``R - G`` and ``M - G``, and ``C = |M - G| / (|M - G| + |M - R|)``, with R human, G truth and M
        model. In [-1, 1]; a model that is the mean human reaches A. 0 where one of them is undefined: report
        or model equals the truth.

    Raises
    ------
    ValueError
        If shapes differ or a value is not finite.
    """
    R, G, M = _check_flows(human=human, truth=truth, model=model)
    deviation, own, apart = R - G, M - G, M - R
    d, m, a = (np.linalg.norm(values, axis=-1) for values in (deviation, own, apart))
    size = np.linalg.norm(G, axis=-1) + np.linalg.norm(R, axis=-1)
    cosine = _divide((deviation * own).sum(axis=-1), d * m)
    return _divide(d, size) * cosine * _divide(m, m + a)


def describe_aspect(flow: ArrayLike, truth: ArrayLike, *, aspect: str) -> NDArray[np.float64]:
    """A flow as the vector that correlations are taken over.

    Parameters
    ----------
    flow, truth : array of shape (n, 2)
        [px per frame].
    aspect : {"uv", "speed", "direction"}
        All u, then all v (2 n,); speeds (n,) [px per frame]; or directions (n,) [radians], the truth's in
        [0, 2 pi) and the flow's within half a turn of it, so that no pair lies on two sides of the cut.

    Raises
    ------
    ValueError
        If the aspect is unknown or the shapes differ.
    """
    check_option("aspect", aspect, ASPECTS)
    own, true = _check_flows(flow=flow, truth=truth)
    if aspect == "uv":
        return own.T.ravel()
    if aspect == "speed":
        return np.linalg.norm(own, axis=-1)
    angle, target = (np.arctan2(values[:, 1], values[:, 0]) % (2 * np.pi) for values in (own, true))
    return target + np.mod(angle - target + np.pi, 2 * np.pi) - np.pi


def score_perceived_flow(
    human: ArrayLike, truth: ArrayLike, model: ArrayLike | None = None
) -> dict[str, float]:
    """Agreement of people with the truth and, if given, of a model with people.

    Parameters
    ----------
    human, truth, model : array of shape (n, 2)
        [px per frame], at least 3 probes.

    Returns
    -------
    dict of str to float
        With the truth: ``r_truth`` (u and v stacked), ``rho_truth`` (Spearman), ``r_truth_speed``,
        ``r_truth_direction``, ``epe_truth``, ``median_epe_truth``, ``winsorised_epe_truth``,
        ``speed_ratio`` (human over true, median) and ``direction_error_truth`` (median, degrees; probes
        without a direction left out, NaN without any). With a model also ``r_model``, ``rho_model``,
        ``epe_model``, ``median_epe_model``; ``partial_uv``, ``partial_speed``, ``partial_direction``,
        ``partial_rank`` (u and v, ranks): correlation of model and people with the truth held fixed; and
        ``rci``.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or there are fewer than 3 probes.
    """
    R, G = _check_flows(human=human, truth=truth)
    if R.ndim != 2 or len(R) < 3:
        raise ValueError(f"human must have shape (n, 2) with at least 3 probes, got {R.shape}; probe more.")
    found = {f"r_truth{suffix}": _correlate(R, G, G, aspect) for aspect, suffix in _SUFFIX.items()}
    found["rho_truth"] = _correlate(R, G, G, "uv", ranks=True)
    errors = summarise_epe(compute_epe(G, R))
    angle = compute_direction_error(G, R)
    speed = np.linalg.norm(G, axis=1)
    found |= {
        "epe_truth": errors["mean"],
        "median_epe_truth": errors["median"],
        "winsorised_epe_truth": errors["winsorised"],
        "speed_ratio": _median(np.linalg.norm(R, axis=1)[speed > 0] / speed[speed > 0]),
        "direction_error_truth": _median(angle[np.isfinite(angle)]),
    }
    if model is None:
        return found
    M, _ = _check_flows(model=model, human=human)
    errors = summarise_epe(compute_epe(R, M))
    found |= {
        "r_model": _correlate(R, M, G, "uv"),
        "rho_model": _correlate(R, M, G, "uv", ranks=True),
        "epe_model": errors["mean"],
        "median_epe_model": errors["median"],
        "rci": float(compute_rci(R, G, M).mean()),
    }
    for aspect in ASPECTS:
        columns = [describe_aspect(flow, G, aspect=aspect)[:, None] for flow in (R, M, G)]
        found[f"partial_{aspect}"] = compute_partial_r(*columns).item()
        if aspect == "uv":
            found["partial_rank"] = compute_partial_r(*(rankdata(c, axis=0) for c in columns)).item()
    return found


def bootstrap_flow_scores(
    human: ArrayLike,
    truth: ArrayLike,
    model: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The scores with percentile intervals over probes.

    Parameters
    ----------
    human, truth, model : array of shape (n, 2)
        As :func:`score_perceived_flow`.
    groups : array of shape (n,), optional
        What is drawn as a whole, for example the movie of each probe; by default probes are independent.
    n_bootstraps, seed : int
        Samples, and their seed.

    Returns
    -------
    pandas.DataFrame
        Index: names of :func:`score_perceived_flow`; columns ``value``, ``low``, ``high`` (95 %).

    Raises
    ------
    ValueError
        If there are fewer than two groups.
    """
    flows = _check_flows(human=human, truth=truth, **({} if model is None else {"model": model}))
    rng = make_rng(seed, "flow", "bootstrap")
    draw = make_group_sampler(np.arange(len(flows[0])) if groups is None else groups)
    samples = pd.DataFrame(
        [
            score_perceived_flow(*(flow[rows] for flow in flows))
            for rows in (draw(rng) for _ in range(n_bootstraps))
        ]
    )
    low, high = samples.quantile(0.025), samples.quantile(0.975)
    return pd.DataFrame({"value": score_perceived_flow(*flows), "low": low, "high": high})


def compute_deviation_null(
    human: ArrayLike,
    truth: ArrayLike,
    model: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of a model when people's deviations from the truth belong to other probes.

    Parameters
    ----------
    human, truth, model : array of shape (n, 2)
        As :func:`score_perceived_flow`.
    groups : array of shape (n,), optional
        What is exchanged as a whole, for example the clip of each probe: probes of one clip deviate alike,
        and exchanging them one by one would make chance look smaller than it is.
    n_permutations, seed : int
        Permutations, and their seed.

    Returns
    -------
    pandas.DataFrame
        One row per permutation; columns are the scores with the model. The truth stays where it is, so that
        a model that knows nothing but the truth scores as high here as on the data.

    Raises
    ------
    ValueError
        As :func:`make_group_permuter`.
    """
    R, G, M = _check_flows(human=human, truth=truth, model=model)
    rng = make_rng(seed, "flow", "deviations")
    permute = make_group_permuter(np.arange(len(G)) if groups is None else groups)
    deviation = R - G
    return pd.DataFrame(
        [score_perceived_flow(G + deviation[permute(rng)], G, M) for _ in range(n_permutations)]
    )


def make_group_permuter(groups: ArrayLike) -> Callable[[np.random.Generator], NDArray[np.intp]]:
    """Function that gives an order of the rows in which whole groups have changed places.

    Raises
    ------
    ValueError
        If there are fewer than four groups or their sizes differ.
    """
    rows = _split_groups(groups, fewest=4)
    if len({len(own) for own in rows}) > 1:
        raise ValueError(
            "groups must be of one size to change places, got sizes from "
            f"{min(map(len, rows))} to {max(map(len, rows))}; leave out probes or exchange them one by one."
        )
    block = np.stack(rows)

    def permute(rng: np.random.Generator) -> NDArray[np.intp]:
        order = np.empty(block.size, dtype=np.intp)
        order[block] = block[rng.permutation(len(block))]
        return order

    return permute


def make_group_sampler(groups: ArrayLike) -> Callable[[np.random.Generator], NDArray[np.intp]]:
    """Function that draws whole groups with replacement and returns their rows.

    Raises
    ------
    ValueError
        If there are fewer than two groups.
    """
    rows = _split_groups(groups, fewest=2)
    return lambda rng: np.concatenate([rows[number] for number in rng.integers(len(rows), size=len(rows))])


def _split_groups(groups: ArrayLike, *, fewest: int) -> list[NDArray[np.intp]]:
    """Rows of each group."""
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < fewest:
        raise ValueError(
            f"groups must name at least {fewest} groups to resample, got {len(names)}; give more, or probes."
        )
    return [np.flatnonzero(which == number) for number in range(len(names))]


_SUFFIX = {"uv": "", "speed": "_speed", "direction": "_direction"}


def _correlate(human: NDArray, other: NDArray, truth: NDArray, aspect: str, *, ranks: bool = False) -> float:
    columns = np.stack([describe_aspect(flow, truth, aspect=aspect) for flow in (human, other)], axis=1)
    unit = standardise_columns(rankdata(columns, axis=0) if ranks else columns)
    return float(np.clip(unit[:, 0] @ unit[:, 1], -1, 1))


def _check_flows(**flows: ArrayLike) -> list[NDArray[np.float64]]:
    """Flows of one shape (..., 2), finite."""
    found: list[NDArray[np.float64]] = []
    for name, values in flows.items():
        flow = check_array(name, values, dtype=float, remedy="leave out probes without a report")
        if flow.ndim < 1 or flow.shape[-1] != 2 or (found and flow.shape != found[0].shape):
            wanted = found[0].shape if found else "(..., 2)"
            raise ValueError(
                f"{name} must have the shape {wanted}, got {flow.shape}; the last axis is u and v."
            )
        found.append(flow)
    return found


def _median(values: NDArray) -> float:
    return float(np.median(values)) if values.size else np.nan


def _divide(above: NDArray, below: NDArray) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)
