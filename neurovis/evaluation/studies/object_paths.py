"""Scanpaths over objects on one data set: a transformer, baselines, chance and people, as rows of a study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.evaluation.studies.results import make_result_row
from neurovis.gaze.oat_behaviour import CHANCE, PEOPLE, compute_path_bits
from neurovis.gaze.oat_comparison import ObjectComparison, compare_oat, make_oat_config
from neurovis.gaze.oat_trials import ObjectTrial
from neurovis.metrics.one_sample import draw_signs
from neurovis.metrics.resampling import draw_counts

OAT, OAT_TOLD, OAT_BLIND = "OAT", "OAT told the target", "OAT without pictures"
SPATIAL, TARGET = "centre, distance and return", "all effects and target"
MODELS = (CHANCE, "centre bias", SPATIAL, OAT_BLIND, OAT, TARGET, OAT_TOLD, PEOPLE)
METRICS = {
    "delta": "behavioural delta, {} [relative]",
    "sequence_score": "sequence score, {} [0 to 1]",
    "edit_distance": "edit distance, {} [objects]",
    "multimatch": "MultiMatch, {} [mean of 4]",
    "nss": "NSS of the objects, {} [SD]",
    "bits_per_step": "log-likelihood, {} [bit/step]",
    "accuracy": "next object, {} [share right]",
    "correct": "last on the target, {} [share]",
    "length": "length, {} [fixations]",
}
"""Metrics of :func:`neurovis.gaze.oat_behaviour.compare_object_models` and the quantities they become."""

_TELLS = "; knows where the target is"
_N_BOOTSTRAPS = 500
_N_PATHS = 20


def compare_objects_on(
    trials: Sequence[ObjectTrial],
    *,
    study: str,
    splits: Sequence[str] = ("image", "observer", "target"),
    told: bool = True,
    blind: bool = False,
    n_permutations: int = 1000,
    seed: int = 0,
    references: Mapping[str, float] | None = None,
    image_of: Callable[[ObjectTrial], str] | None = None,
    **training: Any,
) -> list[dict[str, Any]]:
    """Rows of a study: every model of scanpaths over objects, and what the transformer adds to places.

    Parameters
    ----------
    trials : sequence of ObjectTrial
        Scanpaths of several people, e.g. of :func:`neurovis.gaze.oat_displays.make_grid_trials`.
    study : str
        Name of the data set.
    splits : sequence of str
        What training and test do not share, each with models of its own: "image", "observer", "target".
    told : bool
        Also train a transformer that is told where the target is, as published; it stands beside the
        baseline that knows the same.
    blind : bool
        Also train a transformer that sees neither the objects nor the target; what pictures add is the
        difference from it.
    n_permutations : int
        Sign flips of images, for the null of the differences.
    seed : int
        Of splits, trainings, samples, bootstraps and flips.
    references : mapping of quantity to number, optional
        Published numbers.
    image_of : callable, optional
        Trial to the image that is kept on one side of the split by image, where several stimuli show one.
    **training
        ``d_model``, ``n_layers`` and ``dropout`` of :func:`neurovis.gaze.oat_comparison.make_oat_config`,
        the rest of :func:`neurovis.gaze.oat_comparison.compare_oat`.

    Returns
    -------
    list of dict
        Rows of :func:`neurovis.evaluation.studies.results.make_result_row`; ``region`` names the split. The
        differences of log-likelihood are between models that know the same: without the target's place, and
        with it.

    Raises
    ------
    ValueError
        As the functions named above.
    """
    size = {key: training.pop(key) for key in ("d_model", "n_layers", "dropout") if key in training}
    configs = {OAT: make_oat_config(trials, **size)}
    if told:
        configs[OAT_TOLD] = make_oat_config(trials, target_position="true", **size)
    if blind:
        configs[OAT_BLIND] = make_oat_config(trials, appearance="none", **size)
    rows = []
    for by in splits:
        comparison = compare_oat(
            trials, configs, by=by, group_of=image_of if by == "image" else None, n_paths=_N_PATHS,
            n_bootstraps=_N_BOOTSTRAPS, seed=seed, **training,
        )  # fmt: skip
        split = _describe_split(comparison, by)
        place: dict[str, Any] = {"study": study, "region": f"by {by}", "split": split}
        known = references or {}
        for model, metric, value, low, high, n in comparison.table[
            ["model", "metric", "value", "low", "high", "n_images"]
        ].itertuples(index=False):
            if model in MODELS and metric in METRICS:
                quantity = METRICS[metric].format(model)
                rows.append(
                    make_result_row(
                        quantity=quantity, value=value, ci=(low, high), n=n,
                        reference=known.get(quantity, np.nan), note=_note(comparison, model), **place,
                    )
                )  # fmt: skip
        rows += [
            _compare_bits(comparison, model, baseline, n_permutations, seed, **place)
            for model, baseline in ((OAT, SPATIAL), (OAT_BLIND, SPATIAL), (OAT_TOLD, TARGET))
            if model in comparison.predictors and baseline in comparison.baselines
        ]
    return rows


def _describe_split(comparison: ObjectComparison, by: str) -> str:
    key = {"image": "stimulus_id", "observer": "subject", "target": "target_name"}[by]
    counts = "/".join(str(len({getattr(trial, key) for trial in part})) for part in comparison.parts)
    return (
        f"training/validation/test {counts} {by}s; interval resamples images; null flips the sign of images"
    )


def _note(comparison: ObjectComparison, model: str) -> str:
    tells = _TELLS.removeprefix("; ") if model in (TARGET, OAT_TOLD, "target only") else ""
    if model not in comparison.results:
        return tells
    result = comparison.results[model]
    trained = f"best of {len(result.history)} epochs: {result.best_epoch + 1}"
    return f"{trained}{_TELLS}" if tells else trained


def _compare_bits(
    comparison: ObjectComparison,
    model: str,
    baseline: str,
    n_permutations: int,
    seed: int,
    **place: Any,
) -> dict[str, Any]:
    """Row of the difference in log-likelihood per step, its null flips the sign of whole images."""
    test = comparison.parts[2]
    names = sorted({trial.stimulus_id for trial in test})
    image = np.array([names.index(trial.stimulus_id) for trial in test])
    difference = compute_path_bits(comparison.predictors[model], test) - compute_path_bits(
        comparison.baselines[baseline], test
    )
    gain = np.bincount(image, difference).astype(float)
    steps = np.bincount(image, [len(trial.path) + 1 for trial in test])
    counts = draw_counts(len(names), _N_BOOTSTRAPS, seed=seed)
    samples = (counts @ gain) / (counts @ steps)
    return make_result_row(
        quantity=f"log-likelihood, {model} minus {baseline} [bit/step]",
        value=gain.sum() / steps.sum(),
        ci=tuple(np.percentile(samples, [2.5, 97.5])),
        chance=0.0,
        null=_flip(gain, n_permutations, seed) / steps.sum(),
        n=len(names),
        **place,
    )


def _flip(values: NDArray[np.float64], n_permutations: int, seed: int) -> NDArray[np.float64]:
    return draw_signs(len(values), n_permutations, seed=seed) @ values
