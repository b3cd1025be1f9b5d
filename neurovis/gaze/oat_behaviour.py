"""How people and models of scanpaths over objects behave: search, return, length, success, and likeness.

Fang et al. (2024, ECCV), section on metrics; the metrics themselves are in :mod:`neurovis.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, make_rng
from neurovis.gaze.oat_trials import ObjectTrial
from neurovis.gaze.spatial_baselines import ObjectScanpathModel
from neurovis.metrics.alignment import compute_edit_distance, stack_sequences
from neurovis.metrics.object_paths import BEHAVIOURS, describe_object_paths
from neurovis.metrics.resampling import draw_counts
from neurovis.metrics.scanpath_strings import compute_sequence_score

PATH_METRICS = (*BEHAVIOURS, "sequence_score", "edit_distance", "nss")
STEP_METRICS = ("accuracy", "sim", "bits_per_step")
PEOPLE = "people"
CHANCE = "random objects"
_N_HALVES = 50
_INTERVAL = (2.5, 97.5)


def compare_object_models(
    models: Sequence[ObjectScanpathModel],
    trials: Sequence[ObjectTrial],
    *,
    n_paths: int = 100,
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Models of scanpaths beside chance and the human ceiling.

    Parameters
    ----------
    models : sequence of ObjectScanpathModel
        Fitted to other trials.
    trials : sequence of ObjectTrial
        What people did in the test.
    n_paths : int
        Scanpaths sampled from every model for every trial.
    n_bootstraps : int
        Samples of images for the intervals.
    seed : int
        Decides scanpaths and samples.

    Returns
    -------
    pandas.DataFrame
        One row per model and metric: ``model``, ``role`` ("chance", "model" or "ceiling"), ``metric``,
        ``value``, ``low`` and ``high`` (95 % interval of a bootstrap over images), ``n_images``,
        ``n_trials``. Metrics of sampled scanpaths:

        * ``correct``, ``length``, ``search``, ``refix``, ``revisit``; see
          :func:`neurovis.metrics.object_paths.describe_object_paths`.
        * ``delta``: mean over these five of the difference of means over people's mean; lower is better.
        * ``sequence_score`` and ``edit_distance`` to the trial's own scanpath.
        * ``nss``: how often an object is sampled, in standard deviations over the display's objects, at the
          objects that the person fixated.

        Metrics of single steps, given the person's own past, the end of the search included:
        ``accuracy`` of the most probable object, ``sim`` (probability of the person's choice, as the
        published similarity amounts to) and ``bits_per_step`` (its mean binary logarithm).

        "random objects" are drawn evenly, as many as the person fixated. "people" are compared with each
        other: scores over pairs of different observers of an image, the delta between halves of the
        observers; their behaviours are what the models should reach.

    Raises
    ------
    ValueError
        If there are no trials or too few images for an interval.
    """
    if not trials:
        raise ValueError("trials must hold at least one trial, got none; check the split.")
    check_array("n_paths", n_paths, ndim=0, minimum=1)
    images = sorted({trial.stimulus_id for trial in trials})
    place = np.array([images.index(trial.stimulus_id) for trial in trials])
    counts = draw_counts(len(images), n_bootstraps, seed=seed)
    people = _describe([trial.path for trial in trials], trials)
    chance = [_draw_random(trial, n_paths, make_rng(seed, "chance", k)) for k, trial in enumerate(trials)]
    rows = _summarise(CHANCE, "chance", _score_paths(chance, trials), people, place, counts)
    for model in models:
        sampled = _score_paths(model.sample(trials, n_paths=n_paths, seed=seed), trials)
        steps = _score_steps(model.compute_log_probabilities(trials), trials)
        rows += _summarise(model.name, "model", {**sampled, **steps}, people, place, counts)
    rows += _summarise_people(trials, people, place, counts, seed)
    table = pd.DataFrame(rows)
    return table.assign(n_images=len(images), n_trials=len(trials))


def _describe(paths: Sequence[ArrayLike], trials: Sequence[ObjectTrial]) -> NDArray[np.float64]:
    """Behaviours (n, 5) of one path per trial; without a target no path is correct."""
    targets = [-1 if trial.target is None else trial.target for trial in trials]
    return describe_object_paths([np.array(path) for path in paths], targets)[list(BEHAVIOURS)].to_numpy()


def _draw_random(trial: ObjectTrial, n_paths: int, rng: np.random.Generator) -> list[list[int]]:
    return rng.integers(len(trial.layout), size=(n_paths, len(trial.path))).tolist()


def _score_paths(
    sampled: Sequence[Sequence[Sequence[int]]], trials: Sequence[ObjectTrial]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Sums over a trial's samples, and how many there are, of every metric of paths."""
    number = np.repeat(np.arange(len(trials)), [len(paths) for paths in sampled])
    own = [np.array(path) for paths in sampled for path in paths]
    described = _describe(own, [trials[k] for k in number])
    human = [np.array(trial.path) for trial in trials]
    beside = [human[k] for k in number]
    values = {
        **dict(zip(BEHAVIOURS, described.T, strict=True)),
        "sequence_score": compute_sequence_score(own, beside),
        "edit_distance": _compare_edits(own, beside),
    }
    n = np.bincount(number, minlength=len(trials)).astype(float)
    scores = {name: (np.bincount(number, one, len(trials)), n) for name, one in values.items()}
    nss = np.array([_compute_nss(paths, trial) for paths, trial in zip(sampled, trials, strict=True)])
    return {**scores, "nss": (nss, np.ones(len(trials)))}


def _compare_edits(
    first: Sequence[NDArray[np.int_]], second: Sequence[NDArray[np.int_]]
) -> NDArray[np.float64]:
    symbols, lengths = stack_sequences([*first, *second])
    rows = np.arange(len(first))
    return compute_edit_distance(symbols, lengths, rows, rows + len(first)).astype(float)


def _compute_nss(paths: Sequence[Sequence[int]], trial: ObjectTrial) -> float:
    often = np.bincount([step for path in paths for step in path], minlength=len(trial.layout)).astype(float)
    deviation = often.std()
    return float(((often - often.mean()) / deviation)[list(trial.path)].mean()) if deviation > 0 else 0.0


def _score_steps(
    log_probabilities: Sequence[NDArray[np.float64]], trials: Sequence[ObjectTrial]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Sums over a trial's steps, and how many there are, of every metric of steps."""
    sums = np.zeros((len(trials), len(STEP_METRICS)))
    for row, (steps, trial) in enumerate(zip(log_probabilities, trials, strict=True)):
        chosen = np.array([*trial.path, len(trial.layout)])
        given = steps[np.arange(len(chosen)), chosen]
        right = steps.argmax(axis=1) == chosen
        sums[row] = (right.sum(), np.exp(given).sum(), given.sum() / math.log(2))
    n = np.array([len(trial.path) + 1.0 for trial in trials])
    return {name: (sums[:, k], n) for k, name in enumerate(STEP_METRICS)}


def _pool(
    values: tuple[NDArray[np.float64], NDArray[np.float64]],
    place: NDArray[np.int_],
    counts: NDArray[np.int_],
) -> tuple[float, NDArray[np.float64]]:
    """Ratio of sums, over all images and over each sample of images."""
    n_images = counts.shape[1]
    sums, n = (np.bincount(place, weights=part, minlength=n_images) for part in values)
    return float(sums.sum() / n.sum()), (counts @ sums) / np.maximum(counts @ n, 1e-12)


def _summarise(
    name: str,
    role: str,
    scores: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    people: NDArray[np.float64],
    place: NDArray[np.int_],
    counts: NDArray[np.int_],
) -> list[dict[str, object]]:
    pooled = {metric: _pool(values, place, counts) for metric, values in scores.items()}
    one = np.ones(len(people))
    human = [_pool((people[:, k], one), place, counts) for k in range(len(BEHAVIOURS))]
    value = _compute_delta(
        np.array([pooled[metric][0] for metric in BEHAVIOURS])[None], np.array([h[0] for h in human])[None]
    )
    samples = _compute_delta(
        np.column_stack([pooled[metric][1] for metric in BEHAVIOURS]), np.column_stack([h[1] for h in human])
    )
    pooled["delta"] = (float(value[0]), samples)
    return [_make_row(name, role, metric, *pair) for metric, pair in pooled.items()]


def _compute_delta(model: NDArray[np.float64], human: NDArray[np.float64]) -> NDArray[np.float64]:
    """The published delta of rows of means (n, 5); behaviours that people never show are left out.

    As :func:`neurovis.metrics.object_paths.compute_behaviour_delta`, from means instead of tables.
    """
    shown = human > 0
    ratio = np.abs(model - human) / np.where(shown, human, 1)
    return np.where(shown, ratio, 0).sum(axis=1) / np.maximum(shown.sum(axis=1), 1)


def _summarise_people(
    trials: Sequence[ObjectTrial],
    people: NDArray[np.float64],
    place: NDArray[np.int_],
    counts: NDArray[np.int_],
    seed: int,
) -> list[dict[str, object]]:
    one = np.ones(len(trials))
    rows = [
        _make_row(PEOPLE, "ceiling", name, *_pool((people[:, k], one), place, counts))
        for k, name in enumerate(BEHAVIOURS)
    ]
    pairs = [
        (i, j)
        for image in range(counts.shape[1])
        for i, j in combinations(np.flatnonzero(place == image).tolist(), 2)
        if trials[i].subject != trials[j].subject
    ]
    if pairs:
        first, second = ([np.array(trials[pair[k]].path) for pair in pairs] for k in range(2))
        where, each = place[[i for i, _ in pairs]], np.ones(len(pairs))
        for name, compare in (("sequence_score", compute_sequence_score), ("edit_distance", _compare_edits)):
            rows.append(
                _make_row(PEOPLE, "ceiling", name, *_pool((compare(first, second), each), where, counts))
            )
    subjects = sorted({trial.subject for trial in trials})
    if len(subjects) > 1:
        rows.append(
            _make_row(PEOPLE, "ceiling", "delta", *_split_people(trials, people, place, counts, seed))
        )
    return rows


def _split_people(
    trials: Sequence[ObjectTrial],
    people: NDArray[np.float64],
    place: NDArray[np.int_],
    counts: NDArray[np.int_],
    seed: int,
) -> tuple[float, NDArray[np.float64]]:
    """Delta between random halves of the observers; every bootstrap sample has one of the splits."""
    who = np.array([trial.subject for trial in trials])
    subjects = sorted(set(who))
    rng = make_rng(seed, "halves")
    values, samples = [], []
    for _ in range(_N_HALVES):
        half = np.isin(who, rng.permutation(subjects)[: len(subjects) // 2])
        parts = []
        for chosen in (half, ~half):
            weight = chosen.astype(float)
            parts.append(
                [_pool((people[:, k] * weight, weight), place, counts) for k in range(len(BEHAVIOURS))]
            )
        values.append(_compute_delta(*(np.array([pair[0] for pair in part])[None] for part in parts))[0])
        samples.append(_compute_delta(*(np.column_stack([pair[1] for pair in part]) for part in parts)))
    return float(np.mean(values)), np.array(samples)[
        np.arange(len(counts)) % _N_HALVES, np.arange(len(counts))
    ]


def _make_row(
    name: str, role: str, metric: str, value: float, samples: NDArray[np.float64]
) -> dict[str, object]:
    low, high = np.percentile(samples, _INTERVAL)
    return {"model": name, "role": role, "metric": metric, "value": value, "low": low, "high": high}
