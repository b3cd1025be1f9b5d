"""Which stimulus category each neuroid prefers, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from neurovis.core import NeuralData, average_repeats, check_array, check_neural_data, make_rng
from neurovis.evaluation.preparation import zscore_sessions
from neurovis.metrics.significance import compute_fdr


def compute_preference(
    data: NeuralData, categories: Mapping[str, str], *, zscore: bool = True, n_splits: int = 20, seed: int = 0
) -> pd.DataFrame:
    """Preferred category per neuroid, with a test over categories and a cross-validated margin.

    Parameters
    ----------
    data : NeuralData
        Rows "presentation" or "stimulus"; repeats are averaged, so that stimuli are the cases.
    categories : mapping of str to str
        Category of each stimulus id; stimuli of ``data`` that are not in it are left out.
    zscore : bool
        Z-score single trials within sessions first.
    n_splits : int
        Random halves of the stimuli of each category for the margin and the agreement.
    seed : int
        Of the halves.

    Returns
    -------
    pandas.DataFrame
        One row per neuroid: its coordinates ``neuroid_id, subject, region``;
        ``preferred`` (largest mean response), ``margin`` (mean response to the category that one half of the
        stimuli prefers minus that to all others, measured in the other half, in standard deviations over
        stimuli; 0 expected without selectivity), ``agreement`` (share of splits in which both halves prefer
        the same category), ``p_value`` (one-way analysis of variance over categories; no category is picked,
        so no selection biases it), ``q_value`` (Benjamini-Hochberg), and ``mean_<category>``.

    Raises
    ------
    ValueError
        If fewer than two categories have four stimuli each, or a response is not finite.
    """
    check_neural_data(data)
    if data.dims[0] == "presentation":
        data = average_repeats(zscore_sessions(data) if zscore else data)
    ids = data["stimulus_id"].values.astype(str)
    known = np.isin(ids, list(categories))
    values = check_array("data", data.values[known], ndim=2, dtype=np.float64)
    labels = np.array([categories[item] for item in ids[known]], dtype=str)
    names, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.min() < 4:
        raise ValueError(
            "categories must name at least 2 categories with at least 4 stimuli of data each, got "
            f"{dict(zip(names.tolist(), counts.tolist(), strict=True))}; merge small categories."
        )
    means = _compute_group_means(values, group, len(names))
    table = pd.DataFrame({name: data[name].values for name in ("neuroid_id", "subject", "region")})
    table["preferred"] = names[means.argmax(axis=0)]
    table["margin"], table["agreement"] = _cross_validate(values, group, len(names), n_splits, seed)
    table["p_value"] = _test_categories(values, means, group, counts)
    table["q_value"] = compute_fdr(table["p_value"].to_numpy())
    for name, mean in zip(names, means, strict=True):
        table[f"mean_{name}"] = mean
    return table


def _compute_group_means(values: NDArray, group: NDArray, n_groups: int) -> NDArray[np.float64]:
    members = np.eye(n_groups)[group].T
    return members @ values / members.sum(axis=1, keepdims=True)


def _test_categories(values: NDArray, means: NDArray, group: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """P of the F test that all category means are equal; 1 for constant neuroids."""
    between = (counts[:, None] * (means - values.mean(axis=0)) ** 2).sum(axis=0)
    within = ((values - means[group]) ** 2).sum(axis=0)
    df_between, df_within = len(counts) - 1, len(values) - len(counts)
    ratio = np.zeros(values.shape[1])
    np.divide(between / df_between, within / df_within, out=ratio, where=within > 0)
    return f_distribution.sf(ratio, df_between, df_within)


def _cross_validate(
    values: NDArray, group: NDArray, n_groups: int, n_splits: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = make_rng(seed, "preference halves")
    sd = values.std(axis=0)
    margin, agreement = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    columns = np.arange(values.shape[1])
    for _ in range(n_splits):
        # Ranks within each category, shuffled: even ones are one half, so both halves are balanced.
        order = np.lexsort((rng.random(len(group)), group))
        first = np.zeros(len(group), dtype=bool)
        first[order[::2]] = True
        halves = [_compute_group_means(values[half], group[half], n_groups) for half in (first, ~first)]
        best = [half.argmax(axis=0) for half in halves]
        agreement += (best[0] == best[1]) / n_splits
        for chosen, other in ((best[0], halves[1]), (best[1], halves[0])):
            rest = (other.sum(axis=0) - other[chosen, columns]) / (n_groups - 1)
            margin += (other[chosen, columns] - rest) / (2 * n_splits)
    return np.divide(margin, sd, out=np.zeros_like(margin), where=sd > 0), agreement
