"""From numbers of saccades to behaviour: reaction times, slopes over set size, search asymmetry.

Measures of Gupta et al. (2021, NeurIPS), sections 3 and 4 of the supplement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from neurovis.core import check_array, make_rng
from neurovis.metrics.regression import pearson_r
from neurovis.metrics.resampling import draw_counts
from neurovis.metrics.significance import compute_p_value
from neurovis.stimuli.asymmetry_experiments import CONDITIONS

RT_SLOPE_MS = 252.359
RT_INTERCEPT_MS = 376.271
"""Reaction time per saccade and at none, the authors' constants."""

HUMAN_RT_MS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "curve_in_lines": (510.0, 516.4, 529.2),
        "line_in_curves": (565.0, 640.0, 750.0),
        "top_down": (426.67, 432.0, 472.0),
        "left_right": (488.0, 674.67, 754.67),
        "non_cross": (645.0, 780.0, 915.0),
        "cross": (829.0, 1117.0, 1405.0),
        "Ts": (541.0, 583.0, 625.0),
        "Ls": (573.0, 672.0, 771.0),
        "homo_t20": (414.74, 437.89, 441.05, 444.21),
        "homo_t0": (431.58, 547.37, 552.63, 557.89),
        "hetero_t0": (431.58, 568.42, 633.68, 707.37),
        "hetero_t20": (526.32, 831.58, 1084.21, 1326.32),
    }
)
"""Mean reaction times of people by ascending set size, read off the published figures [ms]."""


def compute_reaction_times(trials: pd.DataFrame) -> pd.Series:
    """Reaction time of every simulated search [ms].

    Parameters
    ----------
    trials : pandas.DataFrame
        Columns ``found``, ``n_saccades`` and ``set_size``. A search that found nothing counts as many
        saccades as there were items.

    Notes
    -----
    No search of an array takes less than 628.6 ms, that of one saccade.
    """
    n = trials["n_saccades"].where(trials["found"].astype(bool), trials["set_size"])
    return (RT_SLOPE_MS * n + RT_INTERCEPT_MS).rename("rt_ms")


def summarise_reaction_times(trials: pd.DataFrame) -> pd.DataFrame:
    """Mean reaction time by condition and set size.

    Parameters
    ----------
    trials : pandas.DataFrame
        As for :func:`compute_reaction_times`, with ``condition``.

    Returns
    -------
    pandas.DataFrame
        Columns ``condition, set_size, rt_ms, sem_ms, n_saccades`` (mean) and ``n_trials``; the standard error
        divides the population standard deviation, as the authors do.
    """
    timed = trials.assign(rt_ms=compute_reaction_times(trials))
    grouped = timed.groupby(["condition", "set_size"], sort=False)
    summary = grouped.agg(
        rt_ms=("rt_ms", "mean"),
        sem_ms=("rt_ms", lambda values: values.std(ddof=0) / np.sqrt(len(values))),
        n_saccades=("n_saccades", "mean"),
        n_trials=("rt_ms", "size"),
    )
    return summary.reset_index()


def make_human_summary(conditions: Sequence[str] | None = None) -> pd.DataFrame:
    """Human reaction times in the form of :func:`summarise_reaction_times`, without errors of the mean."""
    rows = [
        (name, set_size, rt)
        for name in (conditions or CONDITIONS)
        for set_size, rt in zip(CONDITIONS[name].set_sizes, HUMAN_RT_MS[name], strict=True)
    ]
    return pd.DataFrame(rows, columns=["condition", "set_size", "rt_ms"])


def compute_search_slopes(summary: pd.DataFrame) -> pd.Series:
    """Slope of mean reaction time over set size, by ordinary least squares [ms / item].

    Parameters
    ----------
    summary : pandas.DataFrame
        Columns ``condition, set_size, rt_ms``.

    Returns
    -------
    pandas.Series
        By condition; NaN for a condition with one set size.
    """

    names, weights = _make_slope_weights(summary)
    return pd.Series(weights @ summary["rt_ms"].to_numpy(float), index=names, name="slope_ms")


def _make_slope_weights(summary: pd.DataFrame) -> tuple[list[str], NDArray[np.float64]]:
    """Conditions, and the matrix (n_conditions, n_rows) that takes means of rows to slopes."""
    groups = summary.reset_index(drop=True).groupby("condition", sort=False).indices
    weights = np.zeros((len(groups), len(summary)))
    for row, places in zip(weights, groups.values(), strict=True):
        size = summary["set_size"].to_numpy(float)[places]
        size = size - size.mean()
        row[places] = size / (size @ size) if size.any() else np.nan
    return [str(name) for name in groups], weights


def compute_asymmetry_index(hard_slope: float, easy_slope: float) -> float:
    """Difference over sum of two slopes, negative ones counted as 0.

    Parameters
    ----------
    hard_slope, easy_slope : float
        Of the condition that people find harder, and of the other one [ms / item].

    Returns
    -------
    float
        -1 to 1, positive where the asymmetry is that of people; 0 if both slopes are.
    """
    return float(_compute_indices(np.array(hard_slope), np.array(easy_slope)))


def _compute_indices(hard: NDArray[np.float64], easy: NDArray[np.float64]) -> NDArray[np.float64]:
    # Below a millionth of a millisecond a slope is the rounding of equal reaction times.
    hard, easy = (np.where(slope < 1e-6, 0.0, slope) for slope in (hard, easy))
    total = hard + easy
    return np.divide(hard - easy, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def compute_asymmetry_indices(slopes: Mapping[str, float] | pd.Series) -> pd.Series:
    """Asymmetry index of every experiment whose two conditions are there.

    Returns
    -------
    pandas.Series
        By number of the experiment.
    """
    found = {
        experiment: compute_asymmetry_index(slopes[hard], slopes[easy])
        for experiment, (easy, hard) in _pair_conditions(slopes).items()
    }
    return pd.Series(found, name="asymmetry_index", dtype=float)


def _pair_conditions(names: Mapping[str, float] | pd.Series) -> dict[int, tuple[str, str]]:
    """(easy, hard) condition of every experiment that has both."""
    pairs: dict[int, list[str]] = {}
    for name, condition in CONDITIONS.items():
        pairs.setdefault(condition.experiment, []).append(name)
    return {number: (easy, hard) for number, (easy, hard) in pairs.items() if easy in names and hard in names}


@dataclass(frozen=True)
class AsymmetryReport:
    """What a searcher's reaction times say.

    Parameters
    ----------
    summary : pandas.DataFrame
        Of :func:`summarise_reaction_times`.
    slopes : pandas.DataFrame
        By condition: ``slope_ms``, ``sem_ms`` (bootstrap), ``human_slope_ms``.
    indices : pandas.DataFrame
        By experiment and ``"mean"``: ``asymmetry_index, low, high, null_95, p_value`` and ``human``.
    slope_r : float
        Pearson correlation of the slopes with those of people; NaN for fewer than three conditions or equal
        slopes.
    slope_r_interval : tuple of float
        Ends of its interval over displays; NaN as it.
    """

    summary: pd.DataFrame
    slopes: pd.DataFrame
    indices: pd.DataFrame
    slope_r: float
    slope_r_interval: tuple[float, float]


def analyse_asymmetry(
    trials: pd.DataFrame, *, level: float = 0.95, n_bootstraps: int = 1000, seed: int = 0
) -> AsymmetryReport:
    """Slopes, asymmetry indices and their intervals over trials.

    Parameters
    ----------
    trials : pandas.DataFrame
        Of one searcher: ``condition, set_size, found, n_saccades``.
    level : float
        Coverage of the intervals.
    n_bootstraps : int
        Resamples of the trials within condition and set size; also the number of permutations.
    seed : int
        Seed of both.

    Returns
    -------
    AsymmetryReport

    Notes
    -----
    Intervals are percentiles over displays, for the one set of network weights. The index divides by the sum
    of the slopes, so it is large by chance where both are flat: ``p_value`` is the share of indices as large
    when displays of the same set size exchange the two conditions of their experiment.
    """
    check_array("level", level, ndim=0, minimum=1e-6, maximum=1 - 1e-6)
    trials = trials.reset_index(drop=True)
    summary = summarise_reaction_times(trials)
    slopes = compute_search_slopes(summary)
    human = compute_search_slopes(make_human_summary(list(slopes.index)))
    indices = compute_asymmetry_indices(slopes)
    rt = compute_reaction_times(trials).to_numpy()
    places = trials.groupby(["condition", "set_size"], sort=False).indices
    means = np.empty((n_bootstraps, len(summary)))
    for column, (condition, size) in enumerate(zip(summary["condition"], summary["set_size"], strict=True)):
        own = rt[places[condition, size]]
        key = int(make_rng(seed, "asymmetry", condition, int(size)).integers(2**31))
        means[:, column] = draw_counts(len(own), n_bootstraps, seed=key) @ own / len(own)
    names, weights = _make_slope_weights(summary)
    drawn_slopes = means @ weights.T
    pairs = _pair_conditions(slopes).values()
    drawn = np.array(
        [
            _compute_indices(drawn_slopes[:, names.index(hard)], drawn_slopes[:, names.index(easy)])
            for easy, hard in pairs
        ]
    ).reshape(len(pairs), n_bootstraps)
    tails = [(1 - level) / 2, (1 + level) / 2]
    table = pd.DataFrame({"asymmetry_index": indices})
    table["low"], table["high"] = np.quantile(drawn, tails, axis=1)
    human_indices = compute_asymmetry_indices(human)
    null = _permute_indices(trials, rt, summary, n_bootstraps, seed)
    table["null_95"] = np.quantile(null, 0.95, axis=1)
    table["p_value"] = [
        float(compute_p_value(value, row)[0]) for value, row in zip(indices, null, strict=True)
    ]
    table["human"] = human_indices
    if len(table):
        mean_low, mean_high = np.quantile(drawn.mean(axis=0), tails)
        mean_p = float(compute_p_value(indices.mean(), null.mean(axis=0))[0])
        mean_null = np.quantile(null.mean(axis=0), 0.95)
        table.loc["mean"] = [indices.mean(), mean_low, mean_high, mean_null, mean_p, human_indices.mean()]
    slope_r = correlate_slopes(slopes, human)
    ends = (slope_r, slope_r)
    if np.isfinite(slope_r):
        drawn_r = pearson_r(np.tile(human.to_numpy()[:, None], n_bootstraps), drawn_slopes.T)
        ends = tuple(np.nanquantile(drawn_r, tails).tolist())
    return AsymmetryReport(
        summary,
        pd.DataFrame(
            {"slope_ms": slopes, "sem_ms": drawn_slopes.std(axis=0, ddof=1), "human_slope_ms": human}
        ),
        table.rename_axis("experiment"),
        slope_r,
        ends,
    )


def _permute_indices(
    trials: pd.DataFrame, rt: NDArray[np.float64], summary: pd.DataFrame, n_permutations: int, seed: int
) -> NDArray[np.float64]:
    """Indices (n_experiments, n_permutations) when displays change condition within set size."""
    names, weights = _make_slope_weights(summary)
    rows = {
        (str(name), int(size)): number
        for number, (name, size) in enumerate(zip(summary["condition"], summary["set_size"], strict=True))
    }
    places = trials.groupby(["condition", "set_size"], sort=False).indices
    means = np.tile(summary["rt_ms"].to_numpy(float), (n_permutations, 1))
    pairs = _pair_conditions(dict.fromkeys(names, 0.0))
    for experiment, (easy, hard) in pairs.items():
        rng = make_rng(seed, "asymmetry null", experiment)
        for size in sorted({size for name, size in rows if name == easy} & {s for n, s in rows if n == hard}):
            pooled = rt[np.concatenate([places[easy, size], places[hard, size]])]
            mixed = rng.permuted(np.tile(pooled, (n_permutations, 1)), axis=1)
            n_easy = len(places[easy, size])
            means[:, rows[easy, size]] = mixed[:, :n_easy].mean(axis=1)
            means[:, rows[hard, size]] = mixed[:, n_easy:].mean(axis=1)
    slopes = means @ weights.T
    return np.array(
        [_compute_indices(slopes[:, names.index(h)], slopes[:, names.index(e)]) for e, h in pairs.values()]
    ).reshape(len(pairs), n_permutations)


def correlate_slopes(slopes: pd.Series, human_slopes: pd.Series) -> float:
    """Pearson correlation of two sets of slopes over their conditions; NaN where it is not defined."""
    one, two = slopes.align(human_slopes, join="inner")
    # Slopes of equal reaction times differ by rounding.
    if len(one) < 3 or min(np.ptp(one), np.ptp(two)) < 1e-9:
        return float("nan")
    return float(stats.pearsonr(one, two).statistic)


def compare_search_lines(set_size: ArrayLike, rt_ms: ArrayLike, is_second: ArrayLike) -> tuple[float, float]:
    """F test of whether two conditions need lines of their own.

    Parameters
    ----------
    set_size, rt_ms : array of shape (n,)
        Set size and reaction time of every trial of both conditions.
    is_second : bool array of shape (n,)
        Trials of the second condition.

    Returns
    -------
    f, p : float
        RT ~ set size against RT ~ set size x condition, with 2 and n - 4 degrees of freedom. If both fit
        perfectly, f is 0 and p is 1; if only the second does, f is infinite and p is 0.

    Raises
    ------
    ValueError
        If lengths differ or there are fewer than five trials.
    """
    rt = check_array("rt_ms", rt_ms, ndim=1, dtype=np.float64)
    size = check_array("set_size", set_size, shape=rt.shape, dtype=np.float64)
    second = check_array("is_second", is_second, shape=rt.shape, dtype=np.float64)
    if len(rt) < 5:
        raise ValueError(f"rt_ms must hold at least 5 trials, got {len(rt)}; run more.")
    one = np.ones_like(rt)
    shared, own = (
        _compute_residual(np.stack(columns, axis=1), rt)
        for columns in ([one, size], [one, size, second, size * second])
    )
    n_free = len(rt) - 4
    # What rounding leaves of a perfect fit.
    nothing = 1e-12 * max(float(rt @ rt), 1e-300)
    if own <= nothing:
        return (0.0, 1.0) if shared <= nothing else (float("inf"), 0.0)
    f = (shared - own) / 2 / (own / n_free)
    return float(f), float(stats.f.sf(f, 2, n_free))


def _compute_residual(design: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(((values - fitted) ** 2).sum())
