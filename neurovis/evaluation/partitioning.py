"""Variance partitioning without leakage: what each feature space explains of held-out responses.

A banded ridge of all spaces, and one of every subset of them, is fitted on training stimuli and predicts
held-out ones through :func:`neurovis.evaluation.encoding.evaluate_encoding`, with the same splits, z-scoring
and ceiling. Shares, unique variance and Venn regions (:mod:`neurovis.metrics.partitioning`) come from these
predictions alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator

from neurovis.core import NeuralData, align, check_option
from neurovis.encoding.banded import BandedRidge, make_banded_ridge
from neurovis.evaluation.encoding import EncodingResult, compute_fold_p_values, evaluate_encoding
from neurovis.evaluation.preparation import centre_groups, prepare_split
from neurovis.io import read_dataset, write_dataset
from neurovis.metrics.partitioning import (
    compute_explained_share,
    compute_product_measure,
    compute_unique_variance,
    compute_venn_regions,
    make_subsets,
    name_subsets,
)
from neurovis.metrics.resampling import draw_counts
from neurovis.metrics.significance import compute_fdr

MOST_VENN = 4
"""Spaces whose every subset is fitted: more would need over 15 models, and no figure shows their regions."""

_FORMAT = "partition"
_BLOCK = 512  # neuroids resampled at a time


@dataclass(frozen=True)
class PartitionResult:
    """Explained variance of held-out responses, split over feature spaces.

    Parameters
    ----------
    values : xarray.Dataset
        Over "neuroid", with its coordinates: ``total``, explained variance of the model of all spaces, its
        ``p_value`` and ``q_value``, and ``ceiling`` if there are repeats, all in explained variance. Over
        ("space", "neuroid"): ``product``, product measure, which sums to ``total``; ``unique``, total minus
        that of the model without the space, with ``p_unique`` and ``q_unique``. Over ("subset", "neuroid"):
        ``explained``, of the model of each subset; its spaces are in ``member`` ("subset", "space").
    truth : xarray.DataArray of dims ("stimulus", "neuroid"), optional
        Held-out responses with the coordinate ``fold``, minus the mean of their fold; not written to file.
    contributions : array of shape (n_spaces, n_stimuli, n_neuroids), optional
        What each space adds to the prediction of the model of all spaces; not written to file.
    predictions : array of shape (n_subsets, n_stimuli, n_neuroids), optional
        Prediction of the model of each subset; not written to file.
    """

    values: xr.Dataset
    truth: xr.DataArray | None = None
    contributions: NDArray | None = None
    predictions: NDArray | None = None

    @property
    def space_names(self) -> list[str]:
        """Feature spaces in order."""
        return [str(name) for name in self.values["space"].values]

    @property
    def venn(self) -> xr.DataArray:
        """Variance of each region of the Venn diagram, dims ("component", "neuroid"); sums to ``total``.

        Raises
        ------
        ValueError
            If there were too many spaces to fit every subset.
        """
        members = self.values["member"].values.astype(bool)
        regions = compute_venn_regions(self.values["explained"].values, members)
        names = name_subsets(self.space_names, members)
        template = self.values["explained"].rename(subset="component")
        return template.copy(data=regions).assign_coords(component=("component", names))

    def write(self, path: str | Path, *, provenance: Mapping[str, Any] | None = None) -> Path:
        """Write the values as netCDF, atomically; see :func:`read_partition`."""
        return write_dataset(self.values, path, _FORMAT, provenance=provenance)


def read_partition(path: str | Path) -> PartitionResult:
    """Read what :meth:`PartitionResult.write` wrote, without responses and predictions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, not netCDF, or holds something else.
    """
    return PartitionResult(read_dataset(path, _FORMAT))


def partition_variance(
    features: xr.DataArray,
    data: NeuralData,
    encoder: BandedRidge | None = None,
    *,
    test_ids: Sequence[str] | None = None,
    splitter: int | BaseCrossValidator | None = None,
    zscore: bool = True,
    n_permutations: int = 1000,
    seed: int = 0,
) -> PartitionResult:
    """Fit banded ridge to all feature spaces and to subsets, and split what they predict of held-out stimuli.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus", "feature")
        With the coordinate ``space`` along "feature" (:func:`neurovis.features.arrays.join_spaces`), or
        ``layer``; at least two of them. Covers every stimulus of ``data``.
    data : NeuralData
        Rows "presentation" (repeats allow a ceiling) or "stimulus".
    encoder : BandedRidge, optional
        Unfitted; its ``spaces`` are replaced by those of the features. Defaults otherwise.
    test_ids, splitter, zscore
        As :func:`neurovis.evaluation.encoding.evaluate_encoding`; exactly one of the first two.
    n_permutations : int
        Of the held-out stimuli, for the nulls.
    seed : int
        Of shuffled folds and permutations, and of the mixtures of a default encoder.

    Returns
    -------
    PartitionResult
        Up to four spaces, a model of each of the ``2**n - 1`` subsets; beyond that, only the models of all
        spaces and of all but one.

    Raises
    ------
    ValueError
        If there are fewer than two spaces, or as :func:`evaluate_encoding`.

    Notes
    -----
    Penalties are chosen anew for each subset, inside its training stimuli. The p of unique variance is that
    of the partial correlation of the response with the full prediction given the reduced one, with the
    residual responses permuted (Freedman & Lane, J Bus Econ Stat 1983): permuting the response itself would
    test both models at once. On planted responses (900 stimuli, 100 to 400 neuroids) a space without weights
    passes p <= 0.05 in 4 to 6 % of neuroids if it is independent of the others, and in 7 to 10 % if it
    correlates with them: it then helps to estimate their weights from few stimuli.
    """
    template = make_banded_ridge(features, data, seed=seed) if encoder is None else clone(encoder)
    labels = np.asarray(make_banded_ridge(features, data).spaces).astype(str)
    names = list(dict.fromkeys(labels.tolist()))
    if len(names) < 2:
        raise ValueError(
            f"features must hold at least two spaces, got {names}; join them with "
            "neurovis.features.arrays.join_spaces."
        )
    options: dict[str, Any] = {"test_ids": test_ids, "splitter": splitter, "zscore": zscore, "seed": seed}
    members = _choose_subsets(len(names))
    results = []
    for inside in members:
        columns = np.isin(labels, np.array(names)[inside])
        results.append(
            evaluate_encoding(
                features[:, columns],
                data,
                _take_spaces(template, labels[columns], inside),
                metric="explained_variance",
                n_permutations=n_permutations if inside.all() else 1,
                **options,
            )
        )
    full = results[-1]
    model = _take_spaces(template, labels, members[-1])
    contributions = _split_predictions(full, features, data, model, zscore)
    truth, predictions = _gather(results)
    fold = truth["fold"].values
    contributions = np.stack([centre_groups(part, fold) for part in contributions])
    values = _assemble(full, names, members, truth.values, predictions, contributions)
    options = {"n_folds": fold.max() + 1, "n_permutations": n_permutations, "seed": seed}
    pairs = iterate_unique(truth.values, predictions, members)
    p_unique = np.stack([compute_fold_p_values(*pair, **options) for pair in pairs])
    values["p_unique"] = (("space", "neuroid"), p_unique)
    values["q_unique"] = (("space", "neuroid"), np.stack([compute_fdr(p) for p in p_unique]))
    values.attrs = {**full.score.values.attrs, "metric": "explained_variance"}
    return PartitionResult(values, truth, contributions, predictions)


def summarise_partition(
    result: PartitionResult,
    *,
    kind: str = "venn",
    by: str = "region",
    normalise: bool = True,
    minimum_ceiling: float = 0.0,
    n_bootstraps: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Table of what each component explains per group of neuroids, with 95 % intervals over stimuli.

    Parameters
    ----------
    result : PartitionResult
        From :func:`partition_variance`, with truth and predictions.
    kind : {"venn", "product", "unique"}
        Regions of the Venn diagram, product measure, or unique variance.
    by : str
        Neuroid coordinate to group by.
    normalise : bool
        Give shares of the explainable variance: the sum over neuroids of what is explained divided by the
        sum of their ceilings. Otherwise the mean explained variance. Unlike medians or means of ratios, both
        let the components add up to the total, and neuroids without signal weigh little.
    minimum_ceiling : float
        Only neuroids whose ceiling is above this count, in [0, 1); without repeats, all do.
    n_bootstraps, seed : int
        Resamples of the held-out stimuli for the percentile interval; ceilings are kept.

    Returns
    -------
    pandas.DataFrame
        Columns ``region`` (the group), ``component`` ("only gabor", "gabor & worldnet", ... for Venn regions,
        names of spaces for the product measure, "only ..." for unique variance), ``value``, ``lower``,
        ``upper``. A group without a neuroid above the minimum ceiling is left out.

    Raises
    ------
    ValueError
        If an option is unknown, shares need a ceiling that is not there, predictions are missing, or Venn
        regions are asked of more than four spaces.
    """
    check_option("kind", kind, ("venn", "product", "unique"))
    values = result.values
    check_option("by", by, [str(n) for n, c in values.coords.items() if c.dims == ("neuroid",)])
    if result.truth is None or result.contributions is None or result.predictions is None:
        raise ValueError(
            "result must hold truth and predictions, got one read from file; partition the variance again."
        )
    if normalise and "ceiling" not in values:
        raise ValueError(
            "result must hold a ceiling to normalise, got data without repeats; pass normalise=False."
        )
    usable = np.ones(values.sizes["neuroid"], dtype=bool)
    if "ceiling" in values:
        usable = values["ceiling"].values > minimum_ceiling
    names = result.space_names
    members = values["member"].values.astype(bool)
    if kind == "venn" and len(names) > MOST_VENN:
        raise ValueError(
            f"kind must be 'product' or 'unique' with more than {MOST_VENN} spaces, got 'venn' with "
            f"{len(names)}; not every subset was fitted."
        )
    alone = np.eye(len(names), dtype=bool)
    components = names if kind == "product" else name_subsets(names, members if kind == "venn" else alone)
    n = len(result.truth)
    counts = np.vstack([np.ones((1, n), dtype=int), draw_counts(n, n_bootstraps, seed=seed)])
    labels = values[by].values
    rows = []
    for label in pd.unique(labels):
        chosen = np.flatnonzero((labels == label) & usable)
        if not len(chosen):
            continue
        total = sum(
            _resample(result, kind, members, counts, chosen[start : start + _BLOCK]).sum(axis=-1)
            for start in range(0, len(chosen), _BLOCK)
        )
        drawn = total / (values["ceiling"].values[chosen].sum() if normalise else len(chosen))
        lower, upper = np.percentile(drawn[:, 1:], [2.5, 97.5], axis=1)
        for number, component in enumerate(components):
            row = {"region": label, "component": component, "value": drawn[number, 0]}
            rows.append({**row, "lower": lower[number], "upper": upper[number]})
    return pd.DataFrame(rows, columns=["region", "component", "value", "lower", "upper"])


def iterate_unique(
    truth: NDArray, predictions: NDArray, members: NDArray[np.bool_]
) -> Iterator[tuple[NDArray, NDArray]]:
    """What is left of the truth and of the full prediction once the other spaces have explained their part.

    Parameters
    ----------
    truth : array of shape (n, k)
        Held-out responses, minus their mean.
    predictions : array of shape (n_subsets, n, k)
        Of the model of each subset, minus their mean; the full set last.
    members : array of bool of shape (n_subsets, n_spaces)
        Spaces of each subset; those without one space must be there.

    Yields
    ------
    truth, prediction : array of shape (n, k)
        Residuals on the prediction without a space, for each space. Their correlation is the partial one.
    """
    for space in range(members.shape[1]):
        without = np.flatnonzero((members == (np.arange(members.shape[1]) != space)).all(axis=1))[0]
        reduced = predictions[without]
        power = (reduced**2).sum(axis=0)
        pair = []
        for values in (truth, predictions[-1]):
            along = (values * reduced).sum(axis=0)
            slope = np.divide(along, power, out=np.zeros_like(power), where=power > 0)
            pair.append(values - slope * reduced)
        yield pair[0], pair[1]


def _choose_subsets(n_spaces: int) -> NDArray[np.bool_]:
    if n_spaces <= MOST_VENN:
        return make_subsets(n_spaces)
    return np.vstack([~np.eye(n_spaces, dtype=bool), np.ones((1, n_spaces), dtype=bool)])


def _take_spaces(template: BandedRidge, labels: NDArray, inside: NDArray[np.bool_]) -> BandedRidge:
    """The encoder for some of the spaces; given mixtures keep their columns."""
    encoder = clone(template).set_params(spaces=labels)
    if np.ndim(template.mixtures) == 2:
        own = np.asarray(template.mixtures, dtype=float)[:, inside]
        encoder.set_params(mixtures=np.unique(own[own.sum(axis=1) > 0], axis=0))
    return encoder


def _split_predictions(
    full: EncodingResult, features: xr.DataArray, data: NeuralData, model: BandedRidge, zscore: bool
) -> NDArray:
    """Contributions of the spaces to held-out predictions, rows as in the result."""
    if full.truth is None:
        raise RuntimeError("an evaluation holds its truth")
    ids, fold = full.truth["stimulus_id"].values, full.truth["fold"].values
    parts = []
    for number in np.unique(fold):
        train, test, _ = prepare_split(data, ids[fold == number].tolist(), zscore=zscore)
        fitted = full.encoder
        if not isinstance(fitted, BandedRidge):  # over folds, no encoder is kept
            fitted = clone(model).fit(align(features, train)[0].values, train.values)
        parts.append(fitted.predict(align(features, test)[0].values, split=True))
    return np.concatenate(parts, axis=1)


def _gather(results: Sequence[EncodingResult]) -> tuple[xr.DataArray, NDArray[np.float64]]:
    """Truth and the predictions of all models, minus the means of their folds."""
    truths, predictions = [r.truth for r in results], [r.prediction for r in results]
    truth = truths[-1]
    if truth is None:
        raise RuntimeError("an evaluation holds its truth")
    fold = truth["fold"].values
    centred = [centre_groups(part.values, fold) for part in predictions if part is not None]
    return truth.copy(data=centre_groups(truth.values, fold)), np.stack(centred)


def _assemble(
    full: EncodingResult,
    names: list[str],
    members: NDArray[np.bool_],
    truth: NDArray,
    predictions: NDArray,
    contributions: NDArray,
) -> xr.Dataset:
    explained = np.stack([compute_explained_share(truth, part, part) for part in predictions])
    score = full.score.values
    derived = ("p_value", "q_value", "alpha")
    coords = {name: c.variable for name, c in score.coords.items() if name not in derived}
    values = xr.Dataset(
        {
            "total": ("neuroid", explained[-1]),
            "p_value": ("neuroid", full.p_values.values),
            "q_value": ("neuroid", full.q_values.values),
            "product": (("space", "neuroid"), compute_product_measure(truth, contributions)),
            "unique": (("space", "neuroid"), compute_unique_variance(explained, members)),
            "explained": (("subset", "neuroid"), explained),
            "member": (("subset", "space"), members.astype(np.int8)),
        },
        coords={**coords, "space": ("space", np.array(names, dtype=str))},
    )
    if full.score.ceiling is not None:
        values["ceiling"] = ("neuroid", full.score.ceiling.values)
    joined = [" & ".join(np.array(names)[inside]) for inside in members]
    return values.assign_coords(subset=("subset", np.array(joined, dtype=str)))


def _resample(
    result: PartitionResult, kind: str, members: NDArray[np.bool_], counts: NDArray, chosen: NDArray
) -> NDArray[np.float64]:
    """Components (n_components, n_samples, n_chosen) in each resample of the stimuli."""
    if result.truth is None or result.contributions is None or result.predictions is None:
        raise RuntimeError("checked by the caller")
    truth = result.truth.values[:, chosen]
    if kind == "product":
        parts = result.contributions[..., chosen]
        whole = parts.sum(axis=0)
        return np.stack([compute_explained_share(truth, part, whole, counts=counts) for part in parts])
    explained = np.stack(
        [
            compute_explained_share(truth, part, part, counts=counts)
            for part in result.predictions[..., chosen]
        ]
    )
    decompose = compute_venn_regions if kind == "venn" else compute_unique_variance
    return decompose(explained, members)
