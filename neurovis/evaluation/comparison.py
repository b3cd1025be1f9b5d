"""Which model predicts better: paired bootstraps over stimuli within a subject, and tests over subjects.

Within a subject, stimuli are resampled, the same for both models. Over subjects, each contributes one
difference per region: their mean has Student's interval and a test by sign flips (Nichols & Holmes, Hum Brain
Mapp 2002), and a hierarchical bootstrap resamples subjects and stimuli together, for new ones of both.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import check_option, make_rng
from neurovis.evaluation.encoding import METRICS, EncodingResult
from neurovis.evaluation.preparation import centre_groups
from neurovis.metrics.one_sample import compute_sign_flip_test, compute_t_interval
from neurovis.metrics.paired import compare_samples, compute_swap_test
from neurovis.metrics.resampling import draw_counts, score_samples
from neurovis.metrics.significance import compute_fdr


def compare_models(
    results: Mapping[str, EncodingResult],
    *,
    by: str = "region",
    reference: str | None = None,
    level: float = 0.95,
    n_bootstraps: int = 1000,
    block_length: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences between the median scores of models in every region of one subject.

    Parameters
    ----------
    results : mapping of model to EncodingResult
        At least two, with truth and prediction, of the same held-out stimuli, neuroids and metric.
    by : str
        Neuroid coordinate to group by.
    reference : str, optional
        Compare every other model with this one only; all pairs by default.
    level : float
        Coverage of the percentile interval, in (0, 1).
    n_bootstraps, block_length, seed : int
        Resamples of the held-out stimuli, the same for all models; blocks of rows for time series.

    Returns
    -------
    pandas.DataFrame
        One row per group and pair: ``by, model_a, model_b, median_a, median_b, difference`` (of the medians
        over neuroids), ``ci_low, ci_high, p_value`` (two-sided), ``q_value`` (Benjamini-Hochberg over the
        table), ``n_neuroids, n_stimuli``.

    Raises
    ------
    ValueError
        If the results do not belong together, or an option is unknown.

    Notes
    -----
    The interval of a median over neuroids errs on the safe side: a sample adds noise to every neuroid, which
    the median of the data has already averaged. For two equal models of 60 stimuli and 5 independent neuroids
    it held 0 in 119 of 120 cases. It takes the predictions as fixed: it says what other held-out stimuli
    would change, not what another training set would. Over folds it also leaves out the dependence between
    folds, each of which was predicted from the others.
    """
    pairs = _choose_pairs(results, reference)
    samples = _sample_medians(results, by, n_bootstraps, block_length, seed)
    first = next(iter(results.values()))
    labels = first.score.values[by].values
    rows = []
    for column, label in enumerate(pd.unique(labels)):
        for a, b in pairs:
            test = compare_samples(samples[a][:, [column]], samples[b][:, [column]], level=level)
            rows.append(
                {
                    by: label,
                    "model_a": a,
                    "model_b": b,
                    "median_a": samples[a][0, column],
                    "median_b": samples[b][0, column],
                    "difference": test.difference[0],
                    "ci_low": test.low[0],
                    "ci_high": test.high[0],
                    "p_value": test.p_value[0],
                    "n_neuroids": int((labels == label).sum()),
                    "n_stimuli": len(_truth(first)),
                }
            )
    return _add_q_values(pd.DataFrame(rows))


def compare_neuroids(
    result_a: EncodingResult, result_b: EncodingResult, *, n_permutations: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Test of the difference between two models in every neuroid, with false-discovery control.

    Parameters
    ----------
    result_a, result_b : EncodingResult
        With truth and prediction, of the same held-out stimuli and neuroids, metric "pearson_r".
    n_permutations, seed : int
        Random swaps of the two predictions (:func:`neurovis.metrics.paired.compute_swap_test`).

    Returns
    -------
    pandas.DataFrame
        One row per neuroid: its coordinates, ``score_a, score_b, difference, p_value`` (two-sided) and
        ``q_value`` (Benjamini-Hochberg over neuroids).

    Raises
    ------
    ValueError
        If the results do not belong together or the metric is another one.
    """
    results = {"result_a": result_a, "result_b": result_b}
    metric = _check_results(results)
    check_option("metric", metric, ("pearson_r",), remedy="evaluate both models with it")
    truth, a = _centre(result_a)
    difference, p_values = compute_swap_test(
        truth, a, _centre(result_b)[1], n_permutations=n_permutations, seed=seed
    )
    values = result_a.score.values
    skipped = ("p_value", "q_value", "alpha")
    table = pd.DataFrame(
        {
            str(name): coord.values
            for name, coord in values.coords.items()
            if coord.ndim == 1 and name not in skipped
        }
    )
    scores = (result.score.values.values for result in results.values())
    return table.assign(
        **dict(zip(("score_a", "score_b"), scores, strict=True)),
        difference=difference,
        p_value=p_values,
        q_value=compute_fdr(p_values),
    )


def compare_subjects(
    results: Mapping[str, Mapping[str, EncodingResult]],
    *,
    by: str = "region",
    reference: str | None = None,
    level: float = 0.95,
    n_bootstraps: int = 1000,
    n_permutations: int = 4999,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences between models over subjects, in every region that all of them have.

    Parameters
    ----------
    results : mapping of subject to mapping of model to EncodingResult
        At least two subjects with the same models and metric.
    by, reference, level
        As :func:`compare_models`.
    n_bootstraps, n_permutations, seed : int
        Samples of the hierarchical bootstrap; sign flips, all of them where there are no more than this.

    Returns
    -------
    pandas.DataFrame
        One row per group and pair: ``by, model_a, model_b, difference`` (mean over subjects of the difference
        of medians over neuroids), ``t_low, t_high`` (Student's interval), ``p_value`` (two-sided sign flips),
        ``boot_low, boot_high, p_bootstrap`` (hierarchical), ``stimuli`` ("shared" or "own"), ``n_subjects``,
        ``q_value`` (Benjamini-Hochberg of ``p_value`` over the table).

    Raises
    ------
    ValueError
        If there are fewer than two subjects, no common group, or as :func:`compare_models`.

    Notes
    -----
    Where all subjects were tested with the same stimuli, a sample draws one set of stimuli for all of them;
    otherwise each subject, also the same one drawn twice, has its own. With few subjects the bootstrap is too
    narrow (of n subjects it sees (n - 1) / n of the variance) and sign flips cannot reach small p; Student's
    interval is then the safest.
    """
    if len(results) < 2:
        raise ValueError(f"results must hold at least 2 subjects, got {len(results)}; use compare_models.")
    models = list(next(iter(results.values())))
    for subject, own in results.items():
        if set(own) != set(models):
            raise ValueError(
                f"results must hold the models {sorted(models)} for every subject, got {sorted(own)} for "
                f"{subject}; evaluate all models."
            )
    if len({_check_results(own) for own in results.values()}) > 1:
        raise ValueError("results must have one metric for every subject, got several; evaluate them again.")
    pairs = _choose_pairs(next(iter(results.values())), reference)
    stimuli = [_truth(next(iter(own.values())))["stimulus_id"].values for own in results.values()]
    shared = all(np.array_equal(stimuli[0], other) for other in stimuli[1:])
    names = [pd.unique(next(iter(own.values())).score.values[by].values) for own in results.values()]
    common = [name for name in names[0] if all(name in other for other in names[1:])]
    if not common:
        raise ValueError(f"results must share a {by}, got none that all subjects have; use another `by`.")
    samples = [
        _sample_medians(own, by, n_bootstraps, 1, seed if shared else seed + number)
        for number, own in enumerate(results.values())
    ]
    rng, n = make_rng(seed, "subjects"), len(results)
    drawn = rng.integers(n, size=(n_bootstraps, n))
    sample = 1 + np.arange(n_bootstraps)[:, None]
    if not shared:
        sample = 1 + rng.integers(n_bootstraps, size=(n_bootstraps, n))
    rows = []
    for label, (a, b) in itertools.product(common, pairs):
        columns = [int(np.flatnonzero(own == label)[0]) for own in names]
        values = np.stack(
            [own[a][:, column] - own[b][:, column] for own, column in zip(samples, columns, strict=True)]
        )
        row = _summarise(values[:, [0]], level, n_permutations, seed)
        boot = np.append(row["mean"], values[drawn, sample].mean(axis=1))[:, None]
        test = compare_samples(boot, np.zeros_like(boot), level=level)
        rows.append(
            {
                by: label,
                "model_a": a,
                "model_b": b,
                "difference": row["mean"],
                "t_low": row["low"],
                "t_high": row["high"],
                "p_value": row["p_value"],
                "boot_low": test.low[0],
                "boot_high": test.high[0],
                "p_bootstrap": test.p_value[0],
                "stimuli": "shared" if shared else "own",
                "n_subjects": n,
            }
        )
    return _add_q_values(pd.DataFrame(rows))


def summarise_subjects(
    table: pd.DataFrame,
    *,
    value: str,
    by: str | Sequence[str] = "region",
    subject: str = "subject",
    chance: float = 0.0,
    level: float = 0.95,
    n_permutations: int = 4999,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean over subjects of any per-subject number, with interval and test against chance.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per subject and group.
    value : str
        Column to summarise: a median score, a similarity, an accuracy.
    by : str or sequence of str
        Columns that name a group.
    subject : str
        Column of subjects.
    chance : float
        What the mean is tested against.
    level : float
        Coverage of Student's interval, in (0, 1).
    n_permutations, seed : int
        Sign flips; all of them where there are no more than this.

    Returns
    -------
    pandas.DataFrame
        One row per group: ``by, mean, t_low, t_high, p_value`` (two-sided), ``q_value`` (Benjamini-Hochberg
        over the table), ``n_subjects``.

    Raises
    ------
    ValueError
        If a column is missing, a subject has two rows of one group or a group has one subject.
    """
    keys = [by] if isinstance(by, str) else list(by)
    for name in (*keys, value, subject):
        check_option("each named column", name, list(table.columns))
    repeated = table.duplicated([*keys, subject])
    if repeated.any():
        raise ValueError(
            f"table must have one row per subject and group, got {int(repeated.sum())} more; add a column to "
            "`by`, or average first."
        )
    rows = []
    for label, group in table.groupby(keys, sort=False):
        values = group[value].to_numpy(dtype=float)[:, None] - chance
        row = _summarise(values, level, n_permutations, seed)
        named: dict[str, Any] = dict(zip(keys, label if isinstance(label, tuple) else (label,), strict=True))
        limits = {"mean": row["mean"], "t_low": row["low"], "t_high": row["high"]}
        shifted = {name: number + chance for name, number in limits.items()}
        rows.append({**named, **shifted, "p_value": row["p_value"], "n_subjects": len(values)})
    return _add_q_values(pd.DataFrame(rows))


def _summarise(values: NDArray[np.float64], level: float, n_permutations: int, seed: int) -> dict[str, float]:
    """Mean, interval and two-sided p of one column of subjects."""
    low, high = compute_t_interval(values, level=level)
    test = compute_sign_flip_test(values, alternative="two-sided", n_permutations=n_permutations, seed=seed)
    return {
        "mean": float(values.mean()),
        "low": float(low[0]),
        "high": float(high[0]),
        "p_value": float(test.p_value[0]),
    }


def _choose_pairs(results: Mapping[str, EncodingResult], reference: str | None) -> list[tuple[str, str]]:
    if len(results) < 2:
        raise ValueError(f"results must hold at least 2 models, got {len(results)}; add one to compare with.")
    if reference is None:
        return list(itertools.combinations(results, 2))
    check_option("reference", reference, list(results))
    return [(name, reference) for name in results if name != reference]


def _check_results(results: Mapping[str, EncodingResult]) -> str:
    """The metric that results of one subject share, after checking that they hold the same responses."""
    first_name, first = next(iter(results.items()))
    for name, result in results.items():
        own = _truth(result)
        same = (
            result.score.metric == first.score.metric
            and np.array_equal(own["stimulus_id"].values, _truth(first)["stimulus_id"].values)
            and np.array_equal(own["neuroid_id"].values, _truth(first)["neuroid_id"].values)
            and np.array_equal(own["fold"].values, _truth(first)["fold"].values)
            and np.allclose(own.values, _truth(first).values)
        )
        if not same:
            raise ValueError(
                f"results must hold the same held-out responses, folds and metric, got others for {name} "
                f"than for {first_name}; evaluate both with the same split, seed and metric."
            )
    return first.score.metric


def _truth(result: EncodingResult) -> xr.DataArray:
    if result.truth is None or result.prediction is None:
        raise ValueError("results must hold truth and prediction, got one read from file; evaluate it again.")
    return result.truth


def _centre(result: EncodingResult) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Truth and prediction as they are scored: without the mean of each fold, except for R^2."""
    truth, prediction = _truth(result), result.prediction
    parts = [np.asarray(part, dtype=np.float64) for part in (truth, prediction)]
    if result.score.metric != "r2":
        parts = [centre_groups(part, truth["fold"].values) for part in parts]
    return parts[0], parts[1]


def _sample_medians(
    results: Mapping[str, EncodingResult], by: str, n_bootstraps: int, block_length: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Median score of each group (1 + n_bootstraps, n_groups), on the data and in each sample of stimuli."""
    metric = METRICS[check_option("metric", _check_results(results), METRICS)]
    values = next(iter(results.values())).score.values
    check_option("by", by, [str(name) for name, c in values.coords.items() if c.dims == ("neuroid",)])
    labels = values[by].values
    medians = {}
    for name, result in results.items():
        truth, prediction = _centre(result)
        counts = draw_counts(len(truth), n_bootstraps, block_length=block_length, seed=seed)
        counts = np.vstack([np.ones((1, len(truth)), dtype=int), counts])
        medians[name] = np.stack(
            [
                np.median(score_samples(metric, truth[:, own], prediction[:, own], counts), axis=1)
                for own in (labels == label for label in pd.unique(labels))
            ],
            axis=1,
        )
    return medians


def _add_q_values(table: pd.DataFrame) -> pd.DataFrame:
    place = list(table.columns).index("p_value") + 1
    table.insert(place, "q_value", compute_fdr(table["p_value"].to_numpy()))
    return table
