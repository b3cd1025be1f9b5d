"""Encoding models of responses to movies in time, without leakage, and their variance partitioned.

What time asks for, beyond :mod:`neurovis.evaluation.encoding`:

- features are delayed within each segment (finite impulse response), never across a cut between segments;
- segments, not samples, are held out, and they alone make the inner folds: neighbouring samples share
  haemodynamic responses and delayed features;
- slow drifts are taken out of responses and features alike, run by run;
- the null turns the held-out responses round in time within each segment, which keeps their autocorrelation.
  Permuting samples would not, and would call noise significant.

Repeats of a segment are averaged; those of held-out segments give the ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from neurovis.core import Encoder, NeuralData, Score, check_neural_data, check_option, make_rng
from neurovis.encoding.banded import BandedRidge, make_banded_ridge
from neurovis.encoding.delays import delay_features
from neurovis.evaluation.encoding import EncodingResult, evaluate_encoding
from neurovis.evaluation.partitioning import PartitionResult, iterate_unique, partition_variance
from neurovis.metrics.ceilings import compute_ncsnr
from neurovis.metrics.significance import compute_fdr

DELAYS = (1, 2, 3, 4)
METRICS = ("pearson_r", "r2", "explained_variance")
HIGH_PASS_S = 128.0
"""Default period beyond which changes count as drift [s]."""


def arrange_features(
    features: xr.DataArray, segments: dict[str, Sequence[str]], *, t_r: float
) -> xr.DataArray:
    """Features in time of segments that show one clip for each sample.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus", "feature")
        One row for each clip.
    segments : dict of str to sequence of str
        Clips of each segment in order.
    t_r : float
        Length of a clip and of a sample [s].

    Returns
    -------
    xarray.DataArray of dims ("time", "feature")
        With ``stimulus_id`` (the segment) and ``time`` (middle of the sample [s]) along "time", and the
        attribute ``t_r`` [s].

    Raises
    ------
    ValueError
        If a clip has no features.
    """
    place = {str(item): row for row, item in enumerate(features["stimulus_id"].values)}
    clips = [clip for shown in segments.values() for clip in shown]
    unknown = [clip for clip in clips if clip not in place]
    if unknown:
        raise ValueError(f"features must cover every clip, got none for {unknown[0]!r}; extract them first.")
    lengths = [len(shown) for shown in segments.values()]
    rows = features.isel(stimulus=[place[clip] for clip in clips]).rename(stimulus="time")
    return rows.assign_coords(
        stimulus_id=("time", np.repeat(list(segments), lengths)),
        time=("time", (np.concatenate([np.arange(n) for n in lengths]) + 0.5) * t_r),
    ).assign_attrs(t_r=float(t_r))


def evaluate_movie_encoding(
    features: xr.DataArray,
    data: NeuralData,
    encoder: Encoder,
    *,
    test_segments: Sequence[str],
    delays: Sequence[int] = DELAYS,
    high_pass_s: float | None = HIGH_PASS_S,
    metric: str = "pearson_r",
    n_permutations: int = 1000,
    seed: int = 0,
) -> EncodingResult:
    """Fit on the runs of some segments of film, predict those of others.

    Parameters
    ----------
    features : xarray.DataArray of dims ("time", "feature")
        With ``stimulus_id`` (the segment) along "time"; one row for each sample of each segment of ``data``.
    data : NeuralData
        Rows "time" with ``stimulus_id`` (the segment), ``run`` and the attribute ``t_r`` [s]. Runs of one
        segment are repeats.
    encoder : Encoder
        Unfitted; a number of inner folds in its parameter ``cv`` is replaced by that many folds over
        segments, and a ``fit`` that takes ``groups`` is given the segments.
    test_segments : sequence of str
        Held-out segments.
    delays : sequence of int
        Of the features [samples], see :func:`neurovis.encoding.delays.make_delayed`.
    high_pass_s : float, optional
        Longest period that is kept [s]; None takes out the mean of a run only.
    metric : {"pearson_r", "r2", "explained_variance"}
        Score per neuroid, on the mean of the held-out repeats.
    n_permutations : int
        Turns of the held-out segments, for the null.
    seed : int
        Of the turns.

    Returns
    -------
    EncodingResult
        As :func:`neurovis.evaluation.encoding.evaluate_encoding`; rows of truth and prediction are samples
        with ids ``<segment>#<sample>``. There is no ceiling without repeats.

    Raises
    ------
    ValueError
        If a segment is unknown, rows of a run lie apart, a run differs in length or in sampling interval from
        its features, or less than two segments are left for training.

    Notes
    -----
    Responses are divided by their standard deviation over the training samples. The null takes responses to
    be stationary, and the two ends of a segment that meet in a turn do not fit: on noise with an
    autocorrelation of 0.9 and segments of 120 samples 6.5 % pass p <= 0.05 (more than 20 % where samples are
    permuted).
    """
    check_option("metric", metric, METRICS)
    rows, responses, test_ids = prepare_movie_rows(
        features, data, test_segments=test_segments, delays=delays, high_pass_s=high_pass_s
    )
    model = _fold_over_segments(clone(encoder), responses, test_ids)
    groups = dict(zip(responses["stimulus_id"].values, _find_segments(responses), strict=True))
    options: dict[str, Any] = {"test_ids": test_ids, "metric": metric, "n_permutations": 1, "seed": seed}
    result = evaluate_encoding(rows, responses, model, groups=groups, **options)
    if result.truth is None or result.prediction is None:
        raise RuntimeError("an evaluation holds its truth")
    p_values = compute_turn_test(
        result.truth.values, result.prediction.values, _find_segments(result.truth),
        n_permutations=n_permutations, seed=seed,
    )  # fmt: skip
    values = result.score.values.assign_coords(
        p_value=("neuroid", p_values), q_value=("neuroid", compute_fdr(p_values))
    )
    values.attrs["n_permutations"] = n_permutations
    return replace(result, score=Score(values, metric, result.score.ceiling))


def partition_movie_variance(
    features: xr.DataArray,
    data: NeuralData,
    encoder: BandedRidge | None = None,
    *,
    test_segments: Sequence[str],
    delays: Sequence[int] = DELAYS,
    high_pass_s: float | None = HIGH_PASS_S,
    n_permutations: int = 1000,
    seed: int = 0,
) -> PartitionResult:
    """Split what banded ridge predicts of held-out segments over feature spaces.

    Parameters
    ----------
    features : xarray.DataArray of dims ("time", "feature")
        With the coordinate ``space`` along "feature"; rows as :func:`evaluate_movie_encoding`. All delays of
        a space share its penalty.
    data, test_segments, delays, high_pass_s, n_permutations, seed
        As :func:`evaluate_movie_encoding`.
    encoder : BandedRidge, optional
        Unfitted; as :func:`neurovis.evaluation.partitioning.partition_variance`.

    Returns
    -------
    PartitionResult
        The p-values, those of unique variance too, are from turns in time.

    Raises
    ------
    ValueError
        As :func:`evaluate_movie_encoding` and :func:`partition_variance`.

    Notes
    -----
    Intervals of :func:`neurovis.evaluation.partitioning.summarise_partition` resample samples as if they were
    independent, which those of a movie are not: they are too narrow here.
    """
    rows, responses, test_ids = prepare_movie_rows(
        features, data, test_segments=test_segments, delays=delays, high_pass_s=high_pass_s
    )
    template = make_banded_ridge(rows, responses, seed=seed) if encoder is None else clone(encoder)
    model = _fold_over_segments(template, responses, test_ids)
    result = partition_variance(rows, responses, model, test_ids=test_ids, n_permutations=1, seed=seed)
    if result.truth is None or result.predictions is None:
        raise RuntimeError("a partition holds its truth")
    truth, full = result.truth.values, result.predictions[-1]
    members = result.values["member"].values.astype(bool)
    segments = _find_segments(result.truth)
    options: dict[str, Any] = {"n_permutations": n_permutations, "seed": seed}
    p_value = compute_turn_test(truth, full, segments, **options)
    pairs = iterate_unique(truth, result.predictions, members)
    p_unique = [compute_turn_test(*pair, segments, **options) for pair in pairs]
    values = result.values.assign(
        p_value=("neuroid", p_value),
        q_value=("neuroid", compute_fdr(p_value)),
        p_unique=(("space", "neuroid"), np.stack(p_unique)),
        q_unique=(("space", "neuroid"), np.stack([compute_fdr(p) for p in p_unique])),
    )
    values.attrs = {**result.values.attrs, "n_permutations": n_permutations}
    return replace(result, values=values)


def prepare_movie_rows(
    features: xr.DataArray,
    data: NeuralData,
    *,
    test_segments: Sequence[str],
    delays: Sequence[int] = DELAYS,
    high_pass_s: float | None = HIGH_PASS_S,
) -> tuple[xr.DataArray, NeuralData, list[str]]:
    """Delayed features and mean responses of every sample of every segment, and the held-out samples.

    Parameters
    ----------
    features, data, test_segments, delays, high_pass_s
        As :func:`evaluate_movie_encoding`.

    Returns
    -------
    features : xarray.DataArray of dims ("stimulus", "feature")
        Delayed, free of drifts; ids ``<segment>#<sample>``.
    responses : NeuralData
        Rows "stimulus" with ``n_repeats`` and, if held-out segments have repeats, ``ncsnr``; in units of the
        standard deviation over the training samples.
    test_ids : list of str
        Samples of the held-out segments.

    Raises
    ------
    ValueError
        As :func:`evaluate_movie_encoding`.
    """
    check_neural_data(data, rows="time")
    runs, held_out = _find_runs(features, data, test_segments)
    t_r = float(data.attrs["t_r"])
    segment_of = features["stimulus_id"].values.astype(str)
    train_rows = ~np.isin(segment_of, list(held_out))
    # Zeros before a segment stand for the mean of the training samples.
    centred = features.copy(data=features.values - features.values[train_rows].mean(axis=0))
    delayed = delay_features(centred.assign_coords(run=("time", segment_of)), delays)
    values = np.array(delayed.values)
    trials, ids = [], []
    for segment in dict.fromkeys(segment_of.tolist()):
        rows = np.flatnonzero(segment_of == segment)
        basis = make_drift_basis(len(rows), t_r, high_pass_s)
        values[rows] -= basis @ (basis.T @ values[rows])
        for start in runs[segment]:
            series = np.asarray(data.values[start : start + len(rows)], dtype=np.float64)
            trials.append(series - basis @ (basis.T @ series))
            ids.append(np.array([f"{segment}#{sample:05d}" for sample in range(len(rows))]))
    segment_ids = [f"{s}#{n:05d}" for s, n in zip(segment_of, _count(segment_of), strict=True)]
    all_trials, all_ids = np.concatenate(trials), np.concatenate(ids)
    is_test = np.isin(np.char.rpartition(all_ids, "#")[:, 0], list(held_out))
    scale = all_trials[~is_test].std(axis=0)
    all_trials /= np.where(scale > 0, scale, 1.0)
    order = {sample: row for row, sample in enumerate(segment_ids)}
    number = np.array([order[sample] for sample in all_ids])
    n_repeats = np.bincount(number, minlength=len(order))
    mean = np.zeros((len(order), all_trials.shape[1]))
    np.add.at(mean, number, all_trials)
    neuroid: dict[Any, Any] = {n: c.variable for n, c in data.coords.items() if c.dims == ("neuroid",)}
    if n_repeats[number[is_test]].max() > 1:
        neuroid["ncsnr"] = ("neuroid", compute_ncsnr(all_trials[is_test], all_ids[is_test]))
    responses = xr.DataArray(
        mean / n_repeats[:, None],
        dims=("stimulus", "neuroid"),
        coords={**neuroid, "stimulus_id": ("stimulus", segment_ids), "n_repeats": ("stimulus", n_repeats)},
        attrs={**data.attrs, "units": "z"},
    )
    columns = {name: c.variable for name, c in delayed.coords.items() if c.dims == ("feature",)}
    prepared = xr.DataArray(
        values,
        dims=("stimulus", "feature"),
        coords={**columns, "stimulus_id": ("stimulus", segment_ids)},
        attrs=features.attrs,
    )
    return prepared, responses, [item for item, kept in zip(segment_ids, train_rows, strict=True) if not kept]


def make_drift_basis(n: int, t_r: float, high_pass_s: float | None) -> NDArray[np.float64]:
    """Orthonormal constant and cosines of periods beyond ``high_pass_s``, (n, n_waves)."""
    n_waves = 0 if high_pass_s is None else int(np.floor(2 * n * t_r / high_pass_s))
    moments = (np.arange(n) + 0.5) / n
    basis = np.cos(np.pi * np.outer(moments, np.arange(min(n_waves, n - 1) + 1)))
    return basis / np.sqrt((basis**2).sum(axis=0))


def compute_turn_test(
    truth: NDArray,
    prediction: NDArray,
    segments: NDArray,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """One-sided p of the covariance of truth and prediction, by turning the truth in time.

    Parameters
    ----------
    truth, prediction : array of shape (n, k)
        Held-out responses and predictions in order of time.
    segments : array of shape (n,)
        Segment of each row; each is turned by its own random number of samples, its end to its beginning.
    n_permutations : int
        Random turns, at least 1.
    seed : int
        Of the turns.

    Returns
    -------
    array of shape (k,)
        ``(1 + number of turns that reach the observed value) / (1 + n_permutations)``. Turns keep mean and
        variance of the truth, so that the test is the same for Pearson r, R^2 and explained variance.

    Raises
    ------
    ValueError
        If there is no permutation.
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}; pass for example 1000.")
    rng = make_rng(seed, "turns")
    null = np.zeros((n_permutations, truth.shape[1]))
    observed = np.zeros(truth.shape[1])
    y, p = (np.asarray(values, dtype=np.float64) for values in (truth, prediction))
    y, p = y - y.mean(axis=0), p - p.mean(axis=0)
    for segment in dict.fromkeys(segments.tolist()):
        rows = segments == segment
        n = int(rows.sum())
        # Products at all turns at once, by the correlation theorem.
        products = np.fft.irfft(
            np.conj(np.fft.rfft(y[rows], axis=0)) * np.fft.rfft(p[rows], axis=0), n, axis=0
        )
        observed += products[0]
        null += products[rng.integers(n, size=n_permutations)]
    tie = 1e-9 * np.maximum(1.0, np.abs(observed))
    return (1 + (null >= observed - tie).sum(axis=0)) / (1 + n_permutations)


def _find_runs(
    features: xr.DataArray, data: NeuralData, test_segments: Sequence[str]
) -> tuple[dict[str, list[int]], set[str]]:
    """First row of each run of each segment, and the held-out segments."""
    missing = [name for name in ("stimulus_id", "run") if name not in data.coords]
    if missing or "t_r" not in data.attrs or features.dims != ("time", "feature"):
        raise ValueError(
            "data must have stimulus_id and run along 'time' and the attribute t_r, and features dims "
            f"('time', 'feature'), got no {missing}, attributes {sorted(data.attrs)} and {features.dims}."
        )
    t_r = features.attrs.get("t_r", data.attrs["t_r"])
    if not np.isclose(t_r, data.attrs["t_r"]):
        raise ValueError(
            f"features must have the sampling interval of data, {data.attrs['t_r']:g} s, got {t_r:g} s; "
            "extract them again with that t_r."
        )
    if not np.isfinite(data.values).all():
        bad = int((~np.isfinite(data.values)).any(axis=0).sum())
        raise ValueError(f"data must be finite, got NaN or infinity in {bad} neuroids; drop those neuroids.")
    run, shown = data["run"].values, data["stimulus_id"].values.astype(str)
    starts = np.flatnonzero(np.r_[True, (run[1:] != run[:-1]) | (shown[1:] != shown[:-1])])
    if len(np.unique(run[starts])) != len(starts):
        raise ValueError("rows of a run must lie together and show one segment; sort data by run and time.")
    lengths = np.diff(np.r_[starts, len(run)])
    segment_of = features["stimulus_id"].values.astype(str)
    changes = 1 + int((segment_of[1:] != segment_of[:-1]).sum())
    if changes != len(np.unique(segment_of)):
        raise ValueError(
            "rows of a segment of features must lie together; sort features by segment and time."
        )
    sizes = dict(zip(*np.unique(segment_of, return_counts=True), strict=True))
    found: dict[str, list[int]] = {segment: [] for segment in sizes}
    for start, length in zip(starts, lengths, strict=True):
        segment = shown[start]
        if sizes.get(segment) != length:
            raise ValueError(
                f"features must have one row for each sample of a run, got {sizes.get(segment, 0)} for the "
                f"{length} samples of run {run[start]} of {segment!r}; trim or extract them again."
            )
        found[segment].append(int(start))
    unseen = [segment for segment, first in found.items() if not first]
    held_out = set(map(str, test_segments))
    if unseen or not held_out or held_out - found.keys() or len(found) - len(held_out) < 2:
        raise ValueError(
            "test_segments must name segments of data and leave at least 2 for training, and every segment "
            f"of features must be shown, got {sorted(held_out)} of {len(found)} and {unseen} not shown."
        )
    return found, held_out


def _fold_over_segments(encoder: Any, responses: NeuralData, test_ids: Sequence[str]) -> Any:
    """The encoder with its number of inner folds replaced by folds over training segments."""
    n_folds = encoder.get_params().get("cv")
    if not isinstance(n_folds, Integral):
        return encoder
    ids = responses["stimulus_id"].values
    segments = np.char.rpartition(ids[~np.isin(ids, list(test_ids))].astype(str), "#")[:, 0]
    folds = GroupKFold(min(int(n_folds), len(np.unique(segments))))
    return encoder.set_params(cv=list(folds.split(segments, groups=segments)))


def _find_segments(truth: xr.DataArray) -> NDArray:
    return np.char.rpartition(truth["stimulus_id"].values.astype(str), "#")[:, 0]


def _count(labels: NDArray) -> NDArray[np.intp]:
    """Place of each row within its stretch of equal labels."""
    place = np.arange(len(labels))
    starts = np.r_[True, labels[1:] != labels[:-1]]
    return place - np.maximum.accumulate(np.where(starts, place, 0))
