"""Are VWFA and FFA selective for words and faces, and does an image-computable model say so (eLife 6:e22341).

Kay & Yeatman (2017) measured both regions under two tasks (experiment 1) and with many images (experiment 2).
Selectivity, the scaling by the task, the growth with contrast and phase coherence, and prediction by ridge
from Gabor energy and from SqueezeNet are measured here; their own template model is not rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import NeuralData, StimulusSet, make_rng
from neurovis.datasets.kay2017 import (
    CATEGORIES,
    NAME,
    REGIONS,
    TASKS,
    load_kay2017,
    load_kay2017_bootstraps,
    load_kay2017_experiment1,
)
from neurovis.evaluation.studies.features import Extract
from neurovis.evaluation.studies.kay2017_prediction import make_extractors, predict_images
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.metrics.regression import spearman_r

_PREFERRED = {"VWFA": "WORD", "FFA": "FACE"}
_PLURAL = {"WORD": "words", "FACE": "faces", "OTHER": "other images"}
_MEANS = {  # categorization task, from the data set's description
    "VWFA": {"WORD": 0.62, "FACE": 0.24, "OTHER": 0.26},
    "FFA": {"WORD": 0.42, "FACE": 0.85, "OTHER": 0.30},
}
_OBJECT_MEANS = {"VWFA": (0.55, 0.61), "FFA": (1.17, 0.49)}  # face images, the others
_SERIES = {
    ("FFA", "contrast"): ("FACECON4", "FACECON6", "FACE"),
    ("FFA", "phase coherence"): ("NOISE", "FACEPH25", "FACEPH50", "FACE"),
    ("VWFA", "contrast"): ("WORDCON3", "WORDCON5", "WORD"),
    ("VWFA", "phase coherence"): ("WORDPH0", "WORDPH25", "WORDPH50", "WORD"),
}
_N_BOOTSTRAPS = 1000
_MEAN = "no fit; interval resamples stimuli"
_GROUPS = "no fit; null is every exchange of category labels (exact); interval resamples stimuli"
_TASK = "no fit; null exchanges the tasks of each stimulus; interval resamples stimuli"
_OBJECTS = "no fit; null exchanges face labels over the images; interval resamples images"
_LEVELS = "no fit; null is every order of the levels (exact); interval from 100 resamplings of trials"


def analyse_kay2017(
    root: str | Path | None = None,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
    cache: str | Path | None = None,
    extract: Mapping[str, Extract] | None = None,
) -> StudyResult:
    """Measure selectivity, task scaling and series of levels, and predict responses from images.

    Parameters
    ----------
    root, cache : path, optional
        As in :func:`neurovis.datasets.kay2017.load_kay2017`.
    n_permutations : int
        Permutations of each null that is not exact.
    seed : int
        Of folds, permutations and bootstraps.
    extract : mapping of str to callable, optional
        ``"gabor"`` and ``"squeezenet"`` -> function of stimuli to features (n, n_features); by default both
        are computed and cached by content.

    Returns
    -------
    StudyResult
        ``figures_data``: ``categories`` (3,), ``conditions`` (4,; region and task), ``mean_response`` and its
        standard error over stimuli ``se_mean_response`` (3, 4); ``regions`` (2,), ``score_<features>`` (2,),
        ``ci_<features>`` (2, 2), ``null_<features>`` (n_permutations, 2) and ``ceiling`` (2,) of the
        prediction of 80 images.

    Notes
    -----
    One-sided p values test the preference that each region is named for; the VWFA of experiment 2, which
    does not prefer objects to faces, is tested for less response to faces. The ceiling is the square root
    of the share of variance over images that the squared standard errors leave.
    """
    groups = load_kay2017_experiment1(root)
    stimuli, responses = load_kay2017(root=root, cache=cache)
    means = _summarise_groups(groups)
    rows = _compare_groups(groups, seed) + _compare_tasks(groups, n_permutations, seed)
    rows += _compare_objects(stimuli, responses, n_permutations, seed)
    rows += _rank_series(responses, load_kay2017_bootstraps(root))
    predicted, figures = predict_images(
        extract or make_extractors(root, cache), stimuli, responses, n_permutations=n_permutations, seed=seed
    )
    summary = {"categories": np.array([_PLURAL[name] for name in CATEGORIES]), **means}
    return StudyResult(make_result_table(rows + predicted), summary | figures)


def _make_row(region: str, quantity: str, subject: str = "1", **entries: Any) -> dict[str, Any]:
    return make_result_row(study=NAME, subject=subject, region=region, quantity=quantity, **entries)


def _compute_ci(
    statistic: Callable[[NDArray[np.intp]], float], groups: NDArray, seed: int, *keys: str
) -> tuple[float, float]:
    """95 % interval of a statistic of row numbers when rows are drawn again within their groups."""
    rng = make_rng(seed, NAME, "ci", *keys)
    members = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    draws = [
        statistic(np.concatenate([rng.choice(own, len(own)) for own in members]))
        for _ in range(_N_BOOTSTRAPS)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _difference(values: NDArray, chosen: NDArray[np.bool_]) -> float:
    return float(values[chosen].mean() - values[~chosen].mean())


def _compute_mean_ci(values: NDArray, seed: int, *keys: str) -> tuple[float, float]:
    return _compute_ci(lambda drawn: float(values[drawn].mean()), np.zeros(len(values)), seed, *keys)


def _compute_difference_ci(
    values: NDArray, chosen: NDArray[np.bool_], seed: int, *keys: str
) -> tuple[float, float]:
    return _compute_ci(lambda drawn: _difference(values[drawn], chosen[drawn]), chosen, seed, *keys)


def _summarise_groups(groups: xr.Dataset) -> dict[str, NDArray]:
    """Mean response of each category in each region and task, with its standard error over stimuli."""
    category = groups["category"].values
    conditions = [(region, task) for region in REGIONS for task in TASKS]
    values = [groups["response"].sel(region=region, task=task).values for region, task in conditions]
    own = [[one[category == name] for one in values] for name in CATEGORIES]
    return {
        "conditions": np.array([f"{region}, {task}" for region, task in conditions]),
        "mean_response": np.array([[one.mean() for one in line] for line in own]),
        "se_mean_response": np.array([[one.std(ddof=1) / np.sqrt(len(one)) for one in line] for line in own]),
    }


def _compare_groups(groups: xr.Dataset, seed: int) -> list[dict[str, Any]]:
    """Mean of each category, and words against faces with every other assignment of the labels as null."""
    category = groups["category"].values
    rows = []
    for region in REGIONS:
        for task in TASKS:
            values = groups["response"].sel(region=region, task=task).values
            for name in CATEGORIES:
                own = values[category == name]
                rows.append(
                    _make_row(
                        region,
                        f"response to {_PLURAL[name]}, {task} [% BOLD]",
                        "group",
                        value=own.mean(),
                        ci=_compute_mean_ci(own, seed, region, task, name),
                        n=len(own),
                        split=_MEAN,
                        reference=_MEANS[region][name] if task == "categorization" else np.nan,
                    )
                )
            rows.append(_compare_words_with_faces(values, category, region, task, seed))
    return rows


def _compare_words_with_faces(
    values: NDArray, category: NDArray, region: str, task: str, seed: int
) -> dict[str, Any]:
    preferred = _PREFERRED[region]
    other = "FACE" if preferred == "WORD" else "WORD"
    rows = np.flatnonzero(np.isin(category, [preferred, other]))
    values, chosen = values[rows], category[rows] == preferred
    assignments = np.array(
        [np.isin(np.arange(len(rows)), picked) for picked in combinations(range(len(rows)), chosen.sum())]
    )
    others = assignments[(assignments != chosen).any(axis=1)]
    reference = _MEANS[region][preferred] - _MEANS[region][other]
    return _make_row(
        region,
        f"{_PLURAL[preferred]} - {_PLURAL[other]}, {task} [% BOLD]",
        "group",
        value=_difference(values, chosen),
        ci=_compute_difference_ci(values, chosen, seed, region, task),
        chance=0.0,
        null=np.array([_difference(values, picked) for picked in others]),
        n=len(rows),
        split=_GROUPS,
        reference=round(reference, 2) if task == "categorization" else np.nan,
    )


def _compare_tasks(groups: xr.Dataset, n_permutations: int, seed: int) -> list[dict[str, Any]]:
    """How much categorization scales responses, and whether by the response of the intraparietal sulcus."""
    shown = groups.isel(stimulus=np.flatnonzero(groups["category"].values != ""))
    ips = shown["ips"].sel(task="categorization").values
    everything = np.zeros(len(ips))
    rows = []
    for region in REGIONS:
        fixation, categorization = (shown["response"].sel(region=region, task=task).values for task in TASKS)
        rng = make_rng(seed, NAME, "tasks", region)
        swapped = rng.random((n_permutations, len(ips))) < 0.5
        above = np.where(swapped, fixation, categorization).mean(axis=1)
        below = np.where(swapped, categorization, fixation).mean(axis=1)
        scaling = categorization / fixation

        def scale(drawn: NDArray[np.intp], own: tuple[NDArray, ...] = (categorization, fixation)) -> float:
            return float(own[0][drawn].mean() / own[1][drawn].mean())

        def rank(drawn: NDArray[np.intp], scaling: NDArray = scaling) -> float:
            return float(spearman_r(ips[drawn][:, None], scaling[drawn][:, None])[0])

        orders = np.array([rng.permutation(len(ips)) for _ in range(n_permutations)])
        rows.append(
            _make_row(
                region,
                "response, categorization / fixation [ratio]",
                "group",
                value=scale(np.arange(len(ips))),
                ci=_compute_ci(scale, everything, seed, "scaling", region),
                chance=1.0,
                null=above / below,
                n=len(ips),
                split=_TASK,
            )
        )
        rows.append(
            _make_row(
                region,
                "Spearman of task scaling with the intraparietal response",
                "group",
                value=rank(np.arange(len(ips))),
                ci=_compute_ci(rank, everything, seed, "ips", region),
                chance=0.0,
                null=spearman_r(ips[orders].T, np.tile(scaling[:, None], n_permutations)),
                n=len(ips),
                split="no fit; null permutes stimuli; interval resamples stimuli",
            )
        )
    return rows


def _compare_objects(
    stimuli: StimulusSet, responses: NeuralData, n_permutations: int, seed: int
) -> list[dict[str, Any]]:
    """Faces against the other photographs of objects in experiment 2."""
    table = stimuli.table.loc[responses["stimulus_id"].values]
    objects = table["is_object"].to_numpy()
    is_face = table["kind"].isin(["face", "animal face"]).to_numpy()[objects]
    rows = []
    for column, region in enumerate(REGIONS):
        values = responses.values[objects, column]
        for name, own, reference in zip(
            ("faces", "other objects"), (is_face, ~is_face), _OBJECT_MEANS[region], strict=True
        ):
            rows.append(
                _make_row(
                    region,
                    f"response to photographs of {name} [% BOLD]",
                    value=values[own].mean(),
                    ci=_compute_mean_ci(values[own], seed, region, name),
                    n=own.sum(),
                    split=_MEAN,
                    reference=reference,
                )
            )
        chosen = is_face if _PREFERRED[region] == "FACE" else ~is_face
        signs = ("faces - other objects", "other objects - faces")
        rng = make_rng(seed, NAME, "objects", region)
        rows.append(
            _make_row(
                region,
                f"photographs of {signs[int(chosen is not is_face)]} [% BOLD]",
                value=_difference(values, chosen),
                ci=_compute_difference_ci(values, chosen, seed, region, "objects"),
                chance=0.0,
                null=np.array([_difference(values, rng.permutation(chosen)) for _ in range(n_permutations)]),
                n=len(values),
                split=_OBJECTS,
                reference=round(abs(np.subtract(*_OBJECT_MEANS[region])), 2),
            )
        )
    return rows


def _rank_series(responses: NeuralData, resampled: NDArray) -> list[dict[str, Any]]:
    """Rank correlation of responses with contrast and with phase coherence, and the mean of both."""
    ids = responses["stimulus_id"].values.tolist()
    rows = []
    for column, region in enumerate(REGIONS):
        series = [_SERIES[region, feature] for feature in ("contrast", "phase coherence")]
        # The full image ends both series, so the images of both are exchanged together.
        images = list(dict.fromkeys(name for names in series for name in names))
        kind = _PLURAL[_PREFERRED[region]]
        for name, chosen in (
            (f"Spearman with contrast of {kind}", series[:1]),
            (f"Spearman with phase coherence of {kind}", series[1:]),
            (f"mean Spearman of both series of {kind}", series),
        ):
            shown = [image for image in images if any(image in names for names in chosen)]
            levels = [[shown.index(image) for image in names] for names in chosen]
            places = [ids.index(image) for image in shown]
            measured = responses.values[places, column]
            draws = _rank_levels(resampled[:, places, column].T, levels)
            low, high = np.percentile(draws, [2.5, 97.5])
            orders = np.array(list(permutations(range(len(shown)))))
            # The first order is the measured one, which the p value counts by itself.
            null = _rank_levels(measured[orders[1:]].T, levels)
            rows.append(
                _make_row(
                    region,
                    name,
                    value=_rank_levels(measured[:, None], levels)[0],
                    ci=(low, high),
                    chance=0.0,
                    null=null,
                    n=len(shown),
                    split=_LEVELS,
                )
            )
    return rows


def _rank_levels(values: NDArray, levels: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Mean over series of the rank correlation of each column with its place in the series."""
    places = [np.tile(np.arange(len(own))[:, None], values.shape[1]) for own in levels]
    ranked = [spearman_r(place, values[list(own)]) for place, own in zip(places, levels, strict=True)]
    return np.mean(ranked, axis=0)
