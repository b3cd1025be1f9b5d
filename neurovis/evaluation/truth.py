"""Results on simulated data against the truth: the only code outside the simulator that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from neurovis.core import check_option
from neurovis.datasets.simulated import (
    CATEGORY_OF_REGION,
    SimulatedTruth,
    compute_analytic_ceiling,
    compute_category_preference,
)
from neurovis.evaluation.encoding import EncodingResult

MATCHING_FEATURES = {
    **dict.fromkeys(("V1", "V2", "V3", "hV4", "hMT"), "gabor"),
    **dict.fromkeys(CATEGORY_OF_REGION, "worldnet"),
}
"""Feature space that suits each region; none of them is what the responses were computed from.

They suit by design: gabor is of the same family as the early regions' filters, and worldnet learned the
labels that the network behind the category regions learned, from other scenes and with another architecture.
"""

TARGETS = {
    "ceiling ratio": (0.95, 1.05),
    "share of ceiling": (0.9, np.inf),
    "silent among discoveries": (-np.inf, 0.05),
    "silent vertices passing": (-np.inf, 0.05),
    "preference agreement": (0.9, np.inf),
}
"""Range in which each quantity must lie; quantities without a target are reported only."""


def score_recovery(
    truth: SimulatedTruth,
    results: Mapping[str, EncodingResult],
    *,
    held_out: Mapping[str, int] | None = None,
    preference: pd.DataFrame | None = None,
    categories: Mapping[str, str] | None = None,
    matching: Mapping[str, str] = MATCHING_FEATURES,
    noise_sd: NDArray | None = None,
    fdr: float = 0.05,
) -> pd.DataFrame:
    """Compare encoders, ceilings, significance and preference of one subject with what is known.

    Parameters
    ----------
    truth : SimulatedTruth
        Of the subject and the stimuli.
    results : mapping of str to EncodingResult
        By feature space, Pearson r with ceilings, on the same vertices and held-out stimuli.
    held_out : mapping of str to int, optional
        Repeats of each held-out stimulus; by default those of the first result, which results read from a
        file do not hold.
    preference : pandas.DataFrame, optional
        From :func:`neurovis.evaluation.preference.compute_preference`.
    categories : mapping of str to str, optional
        Category of each stimulus behind ``preference``; needed with it.
    matching : mapping of str to str
        Feature space by region.
    noise_sd : array of shape (n_vertices,), optional
        Noise of one trial [percent] where it is not the simulator's own, e.g. of betas from a GLM.
    fdr : float
        Rate at which vertices are called significant.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity, region, features, value, low, high, passed, n``. The target is ``low <= value <=
        high`` (NaN: no target, ``passed`` is then empty). Quantities:

        - "ceiling ratio": median over responsive vertices of estimated over analytic ceiling;
        - "ceiling correlation": over responsive vertices, estimated with analytic;
        - "share of ceiling": median over responsive vertices of a region of r over the *analytic* ceiling,
          with the matching features (and the others, without a target);
        - "silent among discoveries": silent vertices among those significant at ``fdr``, and "silent vertices
          passing": significant ones among the silent; both with the matching features of each region;
        - "preference agreement": share of responsive vertices of the category regions whose preferred
          category is that of the noise-free responses.

    Raises
    ------
    ValueError
        If vertices differ from the truth, or a matching feature space was not evaluated.
    """
    table = truth.subject.table
    first = next(iter(results.values()))
    for name, result in results.items():
        _check_vertices(truth, result.score.values["neuroid_id"].values, f"results[{name!r}]")
    for name in set(matching.values()):
        check_option("matching", name, results, remedy="evaluate that feature space or pass another mapping")
    if first.score.ceiling is None:
        raise ValueError("results must hold ceilings, got none; evaluate data with repeats.")
    if held_out is None:
        if first.truth is None:
            raise ValueError(
                "held_out must be given for results read from a file; pass repeats by stimulus id."
            )
        shown = first.truth["stimulus_id"].values.tolist()
        held_out = dict(zip(shown, first.truth["n_repeats"].values.tolist(), strict=True))
    analytic = compute_analytic_ceiling(
        truth.subject, truth.select(list(held_out)), n_repeats=list(held_out.values()), noise_sd=noise_sd
    )
    responsive = table["responsive"].to_numpy() & (analytic > 0)
    region = table["region"].to_numpy(dtype=str)
    estimated = first.score.ceiling.values
    ratio = np.divide(estimated, analytic, out=np.zeros_like(analytic), where=responsive)[responsive]
    correlation = float(np.corrcoef(estimated[responsive], analytic[responsive])[0, 1])
    n = int(responsive.sum())
    rows = [
        _make_row("ceiling ratio", float(np.median(ratio)), n),
        _make_row("ceiling correlation", correlation, n),
    ]
    for name, result in results.items():
        for label, suited in matching.items():
            chosen = responsive & (region == label)
            if not chosen.any():
                continue
            share = float(np.median(result.score.values.values[chosen] / analytic[chosen]))
            row = _make_row("share of ceiling", share, int(chosen.sum()), label, name, target=suited == name)
            rows.append(row)
    q_values = np.full(len(table), np.nan)
    for label, name in matching.items():
        q_values[region == label] = results[name].q_values.values[region == label]
    found, silent = q_values <= fdr, ~table["responsive"].to_numpy()
    rows += [
        _make_row("silent among discoveries", _share(silent[found]), int(found.sum())),
        _make_row("silent vertices passing", _share(found[silent]), int(silent.sum())),
        _make_row("responsive vertices passing", _share(found[responsive]), n),
    ]
    if preference is not None:
        rows += _score_preference(truth, preference, categories or {}, responsive, region)
    return pd.DataFrame(rows)


def summarise_recovery(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over seeds of every quantity, with a 95 % interval from Student's t.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        One of :func:`score_recovery` for each seed (or subject).

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity, region, features, mean, ci_low, ci_high, worst, low, high, passed, n_seeds``.
        ``passed``: the mean lies in the target; ``worst`` is the seed farthest outside it, or farthest from
        the mean where there is no target. One seed has no interval (NaN).

    Raises
    ------
    ValueError
        If there is no table.
    """
    if not tables:
        raise ValueError("tables must hold at least one table of score_recovery, got none.")
    keys = ["quantity", "region", "features"]
    rows = []
    for key, part in pd.concat(list(tables)).groupby(keys, sort=False):
        value = part["value"].to_numpy(dtype=float)
        low, high = float(part["low"].iloc[0]), float(part["high"].iloc[0])
        mean, half = float(value.mean()), np.nan
        if len(value) > 1:
            half = float(scipy.stats.t.ppf(0.975, len(value) - 1) * value.std(ddof=1) / np.sqrt(len(value)))
        distance = np.abs(value - mean) if np.isnan(low) else np.maximum(low - value, value - high)
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "mean": mean,
                "ci_low": mean - half,
                "ci_high": mean + half,
                "worst": float(value[distance.argmax()]),
                "low": low,
                "high": high,
                "passed": "" if np.isnan(low) else _say(low <= mean <= high),
                "n_seeds": len(value),
            }
        )
    return pd.DataFrame(rows)


def _score_preference(
    truth: SimulatedTruth,
    preference: pd.DataFrame,
    categories: Mapping[str, str],
    responsive: NDArray,
    region: NDArray,
) -> list[dict[str, Any]]:
    _check_vertices(truth, preference["neuroid_id"].to_numpy(), "preference")
    shown = [item for item in truth.stimulus_ids if item in categories]
    if not shown:
        raise ValueError(
            "categories must name the category of the stimuli behind preference, got none of them."
        )
    true = compute_category_preference(truth.select(shown), [categories[item] for item in shown])
    agrees = preference["preferred"].to_numpy(dtype=str) == true["preferred"].to_numpy(dtype=str)
    chosen = responsive & np.isin(region, list(CATEGORY_OF_REGION))
    rows = [_make_row("preference agreement", _share(agrees[chosen]), int(chosen.sum()))]
    for label in CATEGORY_OF_REGION:
        here = chosen & (region == label)
        if here.any():
            rows.append(
                _make_row("preference agreement", _share(agrees[here]), int(here.sum()), label, target=False)
            )
    return rows


def _make_row(
    quantity: str, value: float, n: int, region: str = "all", features: str = "", *, target: bool = True
) -> dict[str, Any]:
    low, high = TARGETS.get(quantity, (np.nan, np.nan)) if target else (np.nan, np.nan)
    passed = "" if np.isnan(low) else _say(low <= value <= high)
    row = {"quantity": quantity, "region": region, "features": features, "value": value}
    return {**row, "low": low, "high": high, "passed": passed, "n": n}


def _say(passed: bool) -> str:
    return "yes" if passed else "no"


def _share(flags: NDArray) -> float:
    return float(flags.mean()) if flags.size else 0.0


def _check_vertices(truth: SimulatedTruth, neuroid_ids: NDArray, parameter: str) -> None:
    expected = truth.subject.neuroid_ids
    if list(neuroid_ids.astype(str)) != expected:
        raise ValueError(
            f"{parameter} must hold the {len(expected)} vertices of sub-{truth.subject.subject} in order, "
            f"got {len(neuroid_ids)} starting with {neuroid_ids[:1]}; select or sort the neuroids."
        )
