"""Encoding evaluation without leakage: held-out prediction, ceiling in the same metric, permutation null.

One split or cross-validation, always by stimulus. In each split single trials are z-scored within sessions
on training trials, repeats are averaged, the encoder is fitted on training stimuli only (its penalty is
chosen inside them) and predicts the held-out ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator, GroupKFold, KFold

from neurovis.core import (
    Encoder,
    Metric,
    NeuralData,
    Score,
    align,
    average_repeats,
    check_array,
    check_neural_data,
    check_option,
)
from neurovis.evaluation.preparation import (
    ROWS,
    centre_groups,
    look_up_groups,
    prepare_split,
    zscore_sessions,
)
from neurovis.io import read_prediction, read_score, write_score
from neurovis.metrics.ceilings import compute_ncsnr, compute_noise_ceiling
from neurovis.metrics.regression import explained_variance, pearson_r, r2, spearman_r
from neurovis.metrics.significance import (
    compute_bootstrap_ci,
    compute_fdr,
    compute_p_value,
    compute_permutation_null,
)

METRICS = {
    "pearson_r": pearson_r,
    "spearman_r": spearman_r,
    "r2": r2,
    "explained_variance": explained_variance,
}
# With the rows permuted, these change only through the cross-product: Pearson's r is the same test, faster.
_PERMUTED = {**METRICS, "r2": pearson_r, "explained_variance": pearson_r}
_WITH_CEILING = ("pearson_r", "r2", "explained_variance")


@dataclass(frozen=True)
class EncodingResult:
    """Scores of one feature space on one data set.

    Parameters
    ----------
    score : Score
        One value per neuroid with its ceiling. The values carry the neuroid coordinates ``p_value``
        (one-sided permutation), ``q_value`` (Benjamini-Hochberg over the neuroids) and, if the encoder has
        one, ``alpha``; so :func:`neurovis.io.write_score` keeps everything.
    truth, prediction : xarray.DataArray of dims ("stimulus", "neuroid"), optional
        Held-out responses and out-of-sample predictions with the coordinate ``fold``; written by
        :func:`neurovis.io.write_prediction`.
    encoder : Encoder, optional
        Fitted to the training stimuli of a fixed split; None over folds. Written by
        :func:`neurovis.encoding.storage.write_encoder`.
    """

    score: Score
    truth: xr.DataArray | None = None
    prediction: xr.DataArray | None = None
    encoder: Encoder | None = None

    @property
    def p_values(self) -> xr.DataArray:
        """Permutation p per neuroid."""
        return self.score.values["p_value"]

    @property
    def q_values(self) -> xr.DataArray:
        """Benjamini-Hochberg adjusted p per neuroid."""
        return self.score.values["q_value"]

    @property
    def alphas(self) -> xr.DataArray:
        """Penalty per neuroid; over folds, the geometric mean."""
        return self.score.values["alpha"]

    def to_table(self) -> pd.DataFrame:
        """One row per neuroid: its coordinates, the value, its ceiling and their ratio."""
        columns: dict[str, NDArray] = {
            str(name): coord.values for name, coord in self.score.values.coords.items() if coord.ndim == 1
        }
        columns[self.score.metric] = self.score.values.values
        if self.score.ceiling is not None:
            columns |= {"ceiling": self.score.ceiling.values, "ceiled": self.score.ceiled.values}
        return pd.DataFrame(columns)

    def write(self, path: str | Path, *, provenance: Mapping[str, Any] | None = None) -> Path:
        """Write the score with p, q and alpha as netCDF, atomically; see :func:`read_encoding`."""
        return write_score(self.score, path, provenance=provenance)


def read_encoding(path: str | Path, *, prediction: str | Path | None = None) -> EncodingResult:
    """Read what :meth:`EncodingResult.write` wrote.

    Parameters
    ----------
    path : path
        Scores.
    prediction : path, optional
        Held-out responses and predictions of the same evaluation, from
        :func:`neurovis.io.write_prediction`; the result is without them otherwise.

    Raises
    ------
    ValueError
        If a file is something else, or the two hold different neuroids.
    """
    score = read_score(path)
    if "p_value" not in score.values.coords:
        raise ValueError(
            f"{path} must hold an encoding result with p_value, got a plain score; check the file."
        )
    if prediction is None:
        return EncodingResult(score)
    truth, predicted = read_prediction(prediction)
    if truth["neuroid_id"].values.tolist() != score.values["neuroid_id"].values.tolist():
        raise ValueError(
            f"{prediction} must hold the neuroids of {path}, got others; pass files of one evaluation."
        )
    return EncodingResult(score, truth, predicted)


def evaluate_encoding(
    features: xr.DataArray,
    data: NeuralData,
    encoder: Encoder,
    *,
    test_ids: Sequence[str] | None = None,
    splitter: int | BaseCrossValidator | None = None,
    groups: Mapping[str, str] | None = None,
    metric: str = "pearson_r",
    zscore: bool = True,
    n_permutations: int = 1000,
    seed: int = 0,
) -> EncodingResult:
    """Fit on training stimuli, predict held-out ones, and say how much of that is chance or noise.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus", "feature")
        Covers every stimulus of ``data``.
    data : NeuralData
        Rows "presentation" (repeats allow a ceiling) or "stimulus".
    encoder : Encoder
        Unfitted; cloned for every fold. It must standardise features and choose its penalty itself.
    test_ids : sequence of str, optional
        Held-out stimuli of a fixed split.
    splitter : int or scikit-learn splitter, optional
        Cross-validation over the sorted unique stimuli instead; a number means shuffled folds under ``seed``.
    groups : mapping of stimulus to group, optional
        Stimuli that belong together, such as the samples of one segment of film: neither folds nor the rows
        that an encoder holds out for itself (where its ``fit`` takes ``groups``) divide them. A number of
        folds then means unshuffled ones.
    metric : {"pearson_r", "spearman_r", "r2", "explained_variance"}
        Score per neuroid.
    zscore : bool
        Z-score single trials within sessions on training trials.
    n_permutations : int
        Of the held-out rows, for the null.
    seed : int
        Of shuffled folds and permutations.

    Returns
    -------
    EncodingResult
        Ceiling: best expected score on the means of the held-out repeats, from the ratio of signal to noise
        of those trials (:func:`neurovis.metrics.ceilings.compute_noise_ceiling`). There is none for
        ``"spearman_r"`` and for rows "stimulus" without the coordinates ``ncsnr`` and ``n_repeats``. If the
        authors give the ceiling of their test responses (``noise_ceiling``, a share of variance), that is
        taken, provided that only rows with ``split`` "test" are held out.

    Raises
    ------
    ValueError
        If not exactly one of ``test_ids`` and ``splitter`` is given, a stimulus has no features or no group,
        or a value is not finite.

    Notes
    -----
    Over folds the predictions are pooled. Correlations and explained variance are computed after the mean of
    each fold is taken out of truth and prediction: the training mean is negatively related to the held-out
    mean, which would push null neuroids below zero. The null permutes held-out stimuli against fixed
    predictions; it is the same for Pearson r, R^2 and explained variance. It is exact for a fixed split;
    over folds it is widened (:func:`compute_fold_p_values`). Where power matters, fix a split or refit for
    every permutation, as :mod:`neurovis.evaluation.studies` does for small sets. Noise has a slightly
    negative mean r over folds: -0.01 for ridge with a penalty of 100 on 10 features, 100 stimuli and 5 folds,
    and nearer to 0 with 2 folds or 100 features.
    """
    check_neural_data(data)
    check_option("rows of data", data.dims[0], ROWS, remedy="average time series within stimuli first")
    check_option("metric", metric, METRICS)
    ids = sorted(set(data["stimulus_id"].values.astype(str)))
    truths, predictions, alphas = [], [], []
    labels = None if groups is None else look_up_groups(groups, ids)
    folds = _make_folds(ids, test_ids, splitter, labels, seed)
    for held_out in folds:
        train, test, _ = prepare_split(data, held_out, zscore=zscore)
        X_train, X_test = (align(features, part)[0].values for part in (train, test))
        fitted = clone(encoder)
        fitted.fit(X_train, train.values, **_find_groups(fitted.fit, groups, train))
        if hasattr(fitted, "alpha_"):
            alphas.append(fitted.alpha_)
        truths.append(test)
        predictions.append(fitted.predict(X_test, **_find_groups(fitted.predict, groups, test)))
    neuroid = {name: c.variable for name, c in data.coords.items() if c.dims == ("neuroid",)}
    truth = _join_folds(truths, neuroid)
    prediction = truth.copy(data=np.concatenate(predictions))
    pair = [check_array("data", part.values, dtype=np.float64) for part in (truth, prediction)]
    fold = truth["fold"].values
    if metric != "r2":
        pair = [centre_groups(values, fold) for values in pair]
    p_values = compute_fold_p_values(
        *pair, metric=_PERMUTED[metric], n_folds=len(folds), n_permutations=n_permutations, seed=seed
    )
    coords: dict[str, Any] = {**neuroid, "p_value": ("neuroid", p_values)}
    coords["q_value"] = ("neuroid", compute_fdr(p_values))
    if alphas:
        mean = np.exp(np.mean([np.log(np.atleast_1d(alpha)) for alpha in alphas], axis=0))
        coords["alpha"] = ("neuroid", np.broadcast_to(mean, p_values.shape).copy())
    values = xr.DataArray(METRICS[metric](*pair), dims=("neuroid",), coords=coords)
    values.attrs = {"n_permutations": n_permutations, "n_folds": len(folds), "n_held_out": len(truth)}
    if "space" in data.attrs:
        values.attrs["space"] = str(data.attrs["space"])
    ceiling = _estimate_ceiling(data, truth, metric, zscore) if metric in _WITH_CEILING else None
    ceiled = None if ceiling is None else values.copy(data=ceiling)
    kept = fitted if splitter is None else None
    return EncodingResult(Score(values, metric, ceiled), truth, prediction, kept)


def compute_fold_p_values(
    truth: NDArray,
    prediction: NDArray,
    *,
    n_folds: int,
    metric: Metric = pearson_r,
    n_permutations: int = 1000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """One-sided permutation p of correlations with predictions that were pooled over folds.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Held-out responses and out-of-sample predictions.
    n_folds : int
        Folds that the predictions come from; 1 for a fixed split.
    metric : Metric
        A correlation: its null is centred on 0.
    n_permutations, seed : int
        Of the rows.

    Returns
    -------
    array of shape (k,)

    Notes
    -----
    A pair of folds enters the pooled correlation twice: each is predicted with what was learned from the
    other. The two terms are alike, which permuting fixed predictions does not repeat, so that the variance of
    a linear model's score is up to twice that of the permuted ones; over folds the null is therefore widened
    by the root of 2. For ridge and stacked ridge on noise alone (2 to 10 folds of 80 to 400 stimuli, 10 to
    300 features, 3000 neuroids) 2 to 6 % then pass p <= 0.05, and 0.2 to 1.5 % pass 0.01; as it is, 5 to 15 %
    and 2 to 6 % would, most with a fixed penalty and many features.
    """
    observed, null = compute_permutation_null(
        truth, prediction, metric=metric, n_permutations=n_permutations, seed=seed
    )
    if n_folds > 1:
        null *= np.sqrt(2)
    return compute_p_value(observed, null)


def fit_encoder(
    features: xr.DataArray, data: NeuralData, encoder: Encoder, *, zscore: bool = True
) -> Encoder:
    """Fit an encoder to every stimulus, to be used on others: nothing here is held out.

    Parameters
    ----------
    features, data, encoder, zscore
        As :func:`evaluate_encoding`.

    Returns
    -------
    Encoder
        A fitted clone.

    Raises
    ------
    ValueError
        If a stimulus has no features or a value is not finite.
    """
    if data.dims[0] == "presentation":
        data = average_repeats(zscore_sessions(data) if zscore else data)
    return clone(encoder).fit(align(features, data)[0].values, data.values)


def summarise_encoding(
    result: EncodingResult, *, by: str = "region", fdr: float = 0.05, n_bootstraps: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Table of scores per group of neuroids, with intervals over stimuli.

    Parameters
    ----------
    result : EncodingResult
        From :func:`evaluate_encoding`, with truth and prediction, metric "pearson_r".
    by : str
        Neuroid coordinate to group by.
    fdr : float
        Rate at which neuroids count as significant.
    n_bootstraps, seed : int
        Resamples of the held-out stimuli for the 95 % percentile interval of the median score.

    Returns
    -------
    pandas.DataFrame
        Columns ``by``, ``n_neuroids``, ``median``, ``ci_low``, ``ci_high``, ``median_ceiling``,
        ``median_ceiled`` (over neuroids whose ceiling is positive), ``share_significant``, ``n_stimuli``.

    Raises
    ------
    ValueError
        If the metric has no interval here, or truth and prediction are missing.

    Notes
    -----
    The intervals take the predictions as fixed: they say what other held-out stimuli would change, not what
    another training set would. Over folds they also leave out the dependence between folds, each of which was
    predicted from the others.
    """
    check_option("metric", result.score.metric, ("pearson_r",), remedy="bootstrap other metrics yourself")
    if result.truth is None or result.prediction is None:
        raise ValueError("result must hold truth and prediction, got one read from file; evaluate it again.")
    check_option("by", by, [str(n) for n, c in result.score.values.coords.items() if c.dims == ("neuroid",)])
    fold = result.truth["fold"].values
    truth, prediction = (centre_groups(part.values, fold) for part in (result.truth, result.prediction))
    labels = result.score.values[by].values
    rows = []
    for label in pd.unique(labels):
        chosen = labels == label
        low, high = compute_bootstrap_ci(
            truth[:, chosen],
            prediction[:, chosen],
            metric=_compute_median_r,
            n_bootstraps=n_bootstraps,
            seed=seed,
        )
        row = {
            by: label,
            "n_neuroids": int(chosen.sum()),
            "median": float(np.median(result.score.values.values[chosen])),
            "ci_low": float(low[0]),
            "ci_high": float(high[0]),
        }
        if result.score.ceiling is not None:
            ceiled = result.score.ceiled.values[chosen]
            row["median_ceiling"] = float(np.median(result.score.ceiling.values[chosen]))
            row["median_ceiled"] = float(np.nanmedian(ceiled)) if np.isfinite(ceiled).any() else np.nan
        row["share_significant"] = float((result.q_values.values[chosen] <= fdr).mean())
        rows.append({**row, "n_stimuli": len(truth)})
    return pd.DataFrame(rows)


def _make_folds(
    ids: list[str],
    test_ids: Sequence[str] | None,
    splitter: int | BaseCrossValidator | None,
    labels: NDArray | None,
    seed: int,
) -> list[list[str]]:
    if test_ids is not None and splitter is None:
        return [[str(item) for item in test_ids]]
    if splitter is not None and test_ids is None:
        folds: Any = splitter
        if isinstance(splitter, Integral):
            n = int(splitter)
            folds = KFold(n, shuffle=True, random_state=seed) if labels is None else GroupKFold(n)
        return [[ids[row] for row in test] for _, test in folds.split(ids, groups=labels)]
    raise ValueError(
        "exactly one of test_ids and splitter must be given, got "
        f"{'none' if test_ids is None else 'both'}; pass held-out ids, or splitter=5 for five folds."
    )


def _find_groups(
    method: Callable[..., Any], groups: Mapping[str, str] | None, part: NeuralData
) -> dict[str, Any]:
    """Groups of the rows, as an argument of methods that take it."""
    taken = "groups" in inspect.signature(method).parameters
    return {"groups": look_up_groups(groups, part["stimulus_id"].values)} if groups and taken else {}


def _join_folds(truths: list[NeuralData], neuroid: Mapping[Any, Any]) -> NeuralData:
    rows: dict[str, NDArray] = {
        name: np.concatenate([part[name].values for part in truths])
        for name in ("stimulus_id", "n_repeats")
        if name in truths[0].coords
    }
    rows["fold"] = np.repeat(np.arange(len(truths)), [len(part) for part in truths])
    coords = {**neuroid, **{name: ("stimulus", entries) for name, entries in rows.items()}}
    values = np.concatenate([part.values for part in truths])
    return xr.DataArray(values, dims=("stimulus", "neuroid"), coords=coords, attrs=truths[0].attrs)


def _compute_median_r(truth: NDArray, prediction: NDArray) -> NDArray[np.float64]:
    return np.median(pearson_r(truth, prediction), keepdims=True)


def _estimate_ceiling(data: NeuralData, truth: xr.DataArray, metric: str, zscore: bool) -> NDArray | None:
    held_out = np.isin(data["stimulus_id"].values.astype(str), truth["stimulus_id"].values)
    if data.dims[0] == "stimulus":
        given = "noise_ceiling" in data.coords and "split" in data.coords
        if given and (data["split"].values[held_out] == "test").all():
            share: NDArray = data["noise_ceiling"].values
            return np.sqrt(share) if metric == "pearson_r" else share
        if "ncsnr" not in data.coords or "n_repeats" not in data.coords:
            return None
        return compute_noise_ceiling(data["ncsnr"].values, data["n_repeats"].values[held_out], metric=metric)
    repeats = truth["n_repeats"].values
    if repeats.max() < 2:
        return None
    # No model sees these numbers, so all trials may set the scale of a session.
    trials = (zscore_sessions(data) if zscore else data)[held_out]
    ncsnr = compute_ncsnr(trials.values, trials["stimulus_id"].values)
    return compute_noise_ceiling(ncsnr, repeats, metric=metric)
