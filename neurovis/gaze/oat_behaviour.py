"""How people and models of scanpaths over objects behave: search, return, length, success, and likeness.

Fang et al. (2024, ECCV), section on metrics; the metrics themselves are in :mod:`neurovis.metrics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, make_rng
from neurovis.gaze.oat_trials import ObjectLayout, ObjectTrial
from neurovis.gaze.spatial_baselines import ObjectScanpathModel
from neurovis.metrics.alignment import compute_edit_distance, stack_sequences
from neurovis.metrics.multimatch import compute_multimatch
from neurovis.metrics.object_paths import BEHAVIOURS, describe_object_paths
from neurovis.metrics.resampling import draw_counts
from neurovis.metrics.scanpath_strings import compute_sequence_score

PATH_METRICS = (*BEHAVIOURS, "sequence_score", "edit_distance", "multimatch", "nss")
STEP_METRICS = ("accuracy", "sim", "bits_per_step")
PEOPLE = "people"
CHANCE = "random objects"
_N_HALVES = 50
_INTERVAL = (2.5, 97.5)


def compare_object_models(
    models: Sequence[ObjectScanpathModel],
    trials: Sequence[ObjectTrial],
    *,
    peers: Sequence[ObjectTrial] = (),
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
    peers : sequence of ObjectTrial
        What other people did on the same displays: with a test of few observers they set the ceiling.
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
        * ``multimatch``: mean of its vector, direction, length and position similarities, between the middles
          of the objects; scanpaths of fewer than three fixations are left out.
        * ``nss``: how often an object is sampled, in standard deviations over the display's objects, at the
          objects that the person fixated.

        Metrics of single steps, given the person's own past, the end of the search included:
        ``accuracy`` of the most probable object, ``sim`` (probability of the person's choice, as the
        published similarity amounts to) and ``bits_per_step`` (its mean binary logarithm).

        "random objects" are drawn evenly, as many as the person fixated. "people" are compared with each
        other: scores over pairs of different observers of an image, the NSS of the others' fixations, the
        delta between halves of the observers or, with peers, of the peers; their behaviours are what the
        models should reach.

    Raises
    ------
    ValueError
        If there are no trials or too few images for an interval.
    """
    if not trials:
        raise ValueError("trials must hold at least one trial, got none; check the split.")
    check_array("n_paths", n_paths, ndim=0, minimum=1)
    images = sorted({trial.stimulus_id for trial in trials})
    if len(images) < 2:
        raise ValueError(f"trials must show at least 2 images, got {images}; intervals resample images.")
    place = np.array([images.index(trial.stimulus_id) for trial in trials])
    peers = [trial for trial in peers if trial.stimulus_id in images]
    counts = draw_counts(len(images), n_bootstraps, seed=seed)
    people = _describe([trial.path for trial in trials], trials)
    chance = [_draw_random(trial, n_paths, make_rng(seed, "chance", k)) for k, trial in enumerate(trials)]
    rows = _summarise(CHANCE, "chance", _score_paths(chance, trials), people, place, counts)
    for model in models:
        sampled = _score_paths(model.sample(trials, n_paths=n_paths, seed=seed), trials)
        steps = _score_steps(model.compute_log_probabilities(trials), trials)
        rows += _summarise(model.name, "model", {**sampled, **steps}, people, place, counts)
    rows += _summarise_people(trials, peers, people, place, counts, seed)
    table = pd.DataFrame(rows)
    return table.assign(n_images=len(images), n_trials=len(trials))


def compute_path_bits(model: ObjectScanpathModel, trials: Sequence[ObjectTrial]) -> NDArray[np.float64]:
    """Binary logarithm of the probability of each person's whole scanpath, the end included.

    Parameters
    ----------
    model : ObjectScanpathModel
        Fitted to other trials.
    trials : sequence of ObjectTrial
        What people did.

    Returns
    -------
    array of shape (n_trials,)
        At most 0. A scanpath of n fixations has n + 1 steps.
    """
    return _score_steps(model.compute_log_probabilities(trials), trials)["bits_per_step"][0]


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
    shape = _compare_shapes(own, beside, [trials[k].layout for k in number])
    long = np.isfinite(shape)
    if long.any():
        scores["multimatch"] = (
            np.bincount(number[long], shape[long], len(trials)),
            np.bincount(number[long], minlength=len(trials)).astype(float),
        )
    nss = np.array([_compute_nss(paths, trial) for paths, trial in zip(sampled, trials, strict=True)])
    return {**scores, "nss": (nss, np.ones(len(trials)))}


def _compare_edits(
    first: Sequence[NDArray[np.int_]], second: Sequence[NDArray[np.int_]]
) -> NDArray[np.float64]:
    symbols, lengths = stack_sequences([*first, *second])
    rows = np.arange(len(first))
    return compute_edit_distance(symbols, lengths, rows, rows + len(first)).astype(float)


def _compare_shapes(
    first: Sequence[NDArray[np.int_]],
    second: Sequence[NDArray[np.int_]],
    layouts: Sequence[ObjectLayout],
) -> NDArray[np.float64]:
    """Mean of four MultiMatch similarities of each pair; NaN where one is shorter than three fixations."""
    found = np.full(len(first), np.nan)
    sizes = np.array([layout.size_px for layout in layouts])
    for size in np.unique(sizes, axis=0):
        rows = np.flatnonzero((sizes == size).all(axis=1))
        own, other = ([layouts[k].centres[paths[k]] for k in rows] for paths in (first, second))
        # Objects have no durations.
        found[rows] = compute_multimatch(own, other, size_px=(int(size[0]), int(size[1])))[:, :4].mean(axis=1)
    return found


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
    peers: Sequence[ObjectTrial],
    people: NDArray[np.float64],
    place: NDArray[np.int_],
    counts: NDArray[np.int_],
    seed: int,
) -> list[dict[str, object]]:
    one = np.ones(len(trials))
    pooled = {name: _pool((people[:, k], one), place, counts) for k, name in enumerate(BEHAVIOURS)}
    everyone = [*trials, *peers]
    who = np.array([trial.subject for trial in everyone])
    image = np.array([trial.stimulus_id for trial in everyone])
    others = [
        np.flatnonzero((image == trial.stimulus_id) & (who != trial.subject)).tolist() for trial in trials
    ]
    number = np.repeat(np.arange(len(trials)), [len(own) for own in others])
    if len(number):
        paths = [np.array(trial.path) for trial in everyone]
        first, second = [paths[k] for k in number], [paths[k] for own in others for k in own]
        shape = _compare_shapes(first, second, [trials[k].layout for k in number])
        for name, values in {
            "sequence_score": compute_sequence_score(first, second),
            "edit_distance": _compare_edits(first, second),
            "multimatch": shape,
        }.items():
            known = np.isfinite(values)
            if known.any():
                pair = values[known], np.ones(int(known.sum()))
                pooled[name] = _pool(pair, place[number[known]], counts)
        seen = [k for k, own in enumerate(others) if own]
        nss = np.array([_compute_nss([everyone[j].path for j in others[k]], trials[k]) for k in seen])
        pooled["nss"] = _pool((nss, np.ones(len(seen))), place[seen], counts)
    if peers:
        beside = _describe([trial.path for trial in peers], peers)
        number_of = {trial.stimulus_id: k for trial, k in zip(trials, place, strict=True)}
        shown = np.array([number_of[peer.stimulus_id] for peer in peers])
        pooled["delta"] = _compare_groups((beside, shown), (people, place), counts)
    elif len(set(who)) > 1:
        pooled["delta"] = _split_people(who, people, place, counts, seed)
    return [_make_row(PEOPLE, "ceiling", name, *values) for name, values in pooled.items()]


def _split_people(
    who: NDArray[np.str_],
    people: NDArray[np.float64],
    place: NDArray[np.int_],
    counts: NDArray[np.int_],
    seed: int,
) -> tuple[float, NDArray[np.float64]]:
    """Delta between random halves of the observers; every bootstrap sample has one of the splits."""
    subjects = sorted(set(who))
    rng = make_rng(seed, "halves")
    values, samples = [], []
    for _ in range(_N_HALVES):
        half = np.isin(who, rng.permutation(subjects)[: len(subjects) // 2])
        value, sample = _compare_groups((people[half], place[half]), (people[~half], place[~half]), counts)
        values.append(value)
        samples.append(sample)
    chosen = np.arange(len(counts))
    return float(np.mean(values)), np.array(samples)[chosen % _N_HALVES, chosen]


def _compare_groups(
    model: tuple[NDArray[np.float64], NDArray[np.int_]],
    human: tuple[NDArray[np.float64], NDArray[np.int_]],
    counts: NDArray[np.int_],
) -> tuple[float, NDArray[np.float64]]:
    """Delta of one group of behaviours (n, 5) and images (n,) from another."""
    pooled = [
        [_pool((values[:, k], np.ones(len(values))), place, counts) for k in range(len(BEHAVIOURS))]
        for values, place in (model, human)
    ]
    value = _compute_delta(*(np.array([pair[0] for pair in group])[None] for group in pooled))[0]
    return float(value), _compute_delta(*(np.column_stack([pair[1] for pair in group]) for group in pooled))


def _make_row(
    name: str, role: str, metric: str, value: float, samples: NDArray[np.float64]
) -> dict[str, object]:
    low, high = np.percentile(samples, _INTERVAL)
    return {"model": name, "role": role, "metric": metric, "value": value, "low": low, "high": high}
