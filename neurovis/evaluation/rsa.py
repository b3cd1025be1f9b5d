"""Representational similarity of feature spaces and regions, with noise ceilings, intervals and nulls.

After Kriegeskorte, Mur & Bandettini (Frontiers in Systems Neuroscience 2008); inference on stimuli and
ceilings after Nili et al. (PLoS Computational Biology 2014). The arithmetic is in :mod:`neurovis.metrics.rdm`
and :mod:`neurovis.metrics.rsa`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import NeuralData, align, average_repeats, check_neural_data, check_option
from neurovis.evaluation.preparation import zscore_sessions
from neurovis.metrics.rdm import compare_rdms, compute_rdm
from neurovis.metrics.rsa import bootstrap_rsa, compute_rsa_ceiling, compute_rsa_p_value
from neurovis.metrics.significance import compute_fdr


def evaluate_rsa(
    features: Mapping[str, xr.DataArray],
    data: NeuralData | Sequence[NeuralData],
    *,
    stimulus_ids: Sequence[str] | None = None,
    by: str = "region",
    distance: str = "correlation",
    comparison: str = "spearman_r",
    zscore: bool = True,
    n_bootstraps: int = 500,
    n_permutations: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the dissimilarities of feature spaces with those of every region.

    Parameters
    ----------
    features : mapping of str to xarray.DataArray of dims ("stimulus", "feature")
        Feature spaces by name.
    data : NeuralData or sequence of NeuralData
        One array for each subject, rows "presentation" or "stimulus".
    stimulus_ids : sequence of str, optional
        Stimuli to compare; by default all that every subject saw. Choose those with repeats: dissimilarities
        of single trials are mostly noise.
    by : str
        Neuroid coordinate that groups neuroids; a group needs at least three in every subject.
    distance, comparison : str
        As :func:`neurovis.metrics.rdm.compute_rdm` and :func:`neurovis.metrics.rdm.compare_rdms`.
    zscore : bool
        Z-score single trials within sessions over all trials; no model is fitted here.
    n_bootstraps, n_permutations, seed : int
        Resamples of stimuli for the 95 % percentile interval and permutations of their labels for p.

    Returns
    -------
    pandas.DataFrame
        One row per group and feature space: ``by, features, similarity`` (mean over subjects, or over split
        halves for one subject), ``ci_low, ci_high, p_value, q_value`` (Benjamini-Hochberg over the table),
        ``ceiling_low, ceiling_high, ceiling_of`` ("subjects" or "split halves"; NaN and "none" where there
        are neither), ``n_stimuli, n_neuroids, n_subjects``.

    Raises
    ------
    ValueError
        If subjects share fewer than four of the stimuli, a group is in no subject, or a pattern is constant.

    Notes
    -----
    With one subject the independent parts are two halves of the repeats of each stimulus (odd and even
    ones); similarity, interval and p then also use the two half RDMs, so that the ceiling belongs to the
    number it bounds. Averaging the halves first would raise the similarity but not its ceiling.
    """
    subjects = [data] if isinstance(data, xr.DataArray) else list(data)
    for item in subjects:
        check_neural_data(item)
        check_option("by", by, [str(name) for name, c in item.coords.items() if c.dims == ("neuroid",)])
    shared = _find_shared(subjects, stimulus_ids)
    parts = [part for item in subjects for part in _make_parts(item, shared, len(subjects), zscore)]
    source = "subjects" if len(subjects) > 1 else "split halves" if len(parts) > 1 else "none"
    models = {name: _compute_model_rdm(values, parts[0], distance) for name, values in features.items()}
    stacked = np.stack(list(models.values()))
    rows = []
    for label in pd.unique(np.concatenate([item[by].values for item in subjects])):
        groups = [part.values[:, part[by].values == label] for part in parts]
        if min(group.shape[1] for group in groups) < 3:
            continue
        measured = np.stack([compute_rdm(group, distance=distance) for group in groups])
        similarity = compare_rdms(measured, stacked, comparison=comparison).mean(axis=0)
        samples = bootstrap_rsa(
            measured,
            stacked,
            comparison=comparison,
            resample="stimuli",
            n_bootstraps=n_bootstraps,
            seed=seed,
        ).similarity
        low, high = np.percentile(samples, [2.5, 97.5], axis=0)
        p_values = compute_rsa_p_value(
            measured, stacked, comparison=comparison, n_permutations=n_permutations, seed=seed
        )
        ceiling = (np.nan, np.nan)
        if len(measured) > 1:
            ceiling = compute_rsa_ceiling(measured, comparison=comparison)
        n_neuroids = sum(int((item[by].values == label).sum()) for item in subjects)
        rows += [
            {
                by: label,
                "features": name,
                "similarity": float(similarity[column]),
                "ci_low": float(low[column]),
                "ci_high": float(high[column]),
                "p_value": float(p_values[column]),
                "ceiling_low": ceiling[0],
                "ceiling_high": ceiling[1],
                "ceiling_of": source,
                "n_stimuli": len(shared),
                "n_neuroids": n_neuroids,
                "n_subjects": len(subjects),
            }
            for column, name in enumerate(models)
        ]
    if not rows:
        raise ValueError(
            f"data must hold a {by} with at least 3 neuroids in every subject, got none; use another `by`."
        )
    table = pd.DataFrame(rows)
    table.insert(6, "q_value", compute_fdr(table["p_value"].to_numpy()))
    return table


def _find_shared(subjects: Sequence[NeuralData], stimulus_ids: Sequence[str] | None) -> list[str]:
    seen = [dict.fromkeys(item["stimulus_id"].values.astype(str)) for item in subjects]
    wanted = list(seen[0]) if stimulus_ids is None else [str(item) for item in stimulus_ids]
    shared = [item for item in wanted if all(item in ids for ids in seen)]
    if len(shared) < 4:
        raise ValueError(
            f"stimulus_ids must name at least 4 stimuli that every subject saw, got {len(shared)} of "
            f"{len(wanted)}; check the ids."
        )
    return shared


def _make_parts(data: NeuralData, shared: list[str], n_subjects: int, zscore: bool) -> list[NeuralData]:
    """Means per stimulus in the order of ``shared``; one subject's repeats make two parts."""
    if data.dims[0] == "stimulus":
        return [_select(data, shared)]
    if zscore:
        data = zscore_sessions(data)
    data = data[np.isin(data["stimulus_id"].values.astype(str), shared)]
    ids = pd.Series(data["stimulus_id"].values.astype(str))
    if n_subjects > 1 or ids.value_counts().min() < 2:
        return [_select(average_repeats(data), shared)]
    odd = ids.groupby(ids).cumcount().to_numpy() % 2 == 1
    return [_select(average_repeats(data[half]), shared) for half in (~odd, odd)]


def _select(means: NeuralData, shared: list[str]) -> NeuralData:
    place = {item: row for row, item in enumerate(means["stimulus_id"].values.astype(str))}
    return means[[place[item] for item in shared]]


def _compute_model_rdm(features: xr.DataArray, part: NeuralData, distance: str) -> NDArray[np.float64]:
    return compute_rdm(align(features, part)[0].values, distance=distance)
