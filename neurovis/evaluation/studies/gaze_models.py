"""Rows and arrays of a study in which gaze models are compared with people on held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import Fixations, StimulusSet, make_rng
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.gaze.gaze_comparison import GazeComparison
from neurovis.gaze.other_images import EXCHANGED, OtherImages, score_other_images, uses_history

QUANTITIES = {
    "gain_over_uniform_bits": ("gain over uniform", "bits/fixation", 0.0),
    "information_gain_bits": ("gain over centre bias", "bits/fixation", 0.0),
    "auc": ("AUC", "", 0.5),
    "nss": ("NSS", "SD", 0.0),
}
"""Metric to its name in a study's table, its unit and its chance level."""

SHUFFLED = "shuffled AUC"
_CONSTANT = ("uniform", "centre bias")
_N_BOOTSTRAPS = 1000


def make_gaze_result(
    comparison: GazeComparison,
    *,
    study: str,
    n_permutations: int,
    seed: int,
    note: str = "",
    more_rows: Sequence[Mapping[str, Any]] = (),
) -> StudyResult:
    """Result of a study from a comparison of gaze models.

    Parameters
    ----------
    comparison : GazeComparison
        Of :func:`neurovis.gaze.gaze_comparison.compare_gaze_models`.
    study : str
        Name of the study.
    n_permutations : int
        Of the null.
    seed : int
        Of null and intervals.
    note : str
        Said of every row of the comparison.
    more_rows : sequence of mapping
        What else the study measured, e.g. of
        :func:`neurovis.evaluation.studies.object_paths.compare_objects_on`.

    Returns
    -------
    StudyResult
        Rows of :func:`make_gaze_rows`. ``figures_data``: ``gaze_models`` and ``gaze_roles`` (names),
        ``gaze_gain`` (n,), bits per fixation over a uniform density, and ``gaze_gain_ci`` (2, n).
    """
    rows = make_gaze_rows(comparison, study=study, n_permutations=n_permutations, seed=seed, note=note)
    return StudyResult(make_result_table([*rows, *more_rows]), make_gaze_arrays(comparison))


def make_gaze_arrays(comparison: GazeComparison) -> dict[str, NDArray]:
    """Arrays of :func:`make_gaze_result`'s figure."""
    own = comparison.table[comparison.table["metric"] == "gain_over_uniform_bits"]
    return {
        "gaze_models": own["model"].to_numpy(dtype=str),
        "gaze_roles": own["role"].to_numpy(dtype=str),
        "gaze_gain": own["value"].to_numpy(dtype=float),
        "gaze_gain_ci": own[["low", "high"]].to_numpy(dtype=float).T,
    }


def make_gaze_rows(
    comparison: GazeComparison, *, study: str, n_permutations: int, seed: int, note: str = ""
) -> list[dict[str, Any]]:
    """Rows of a study from a comparison of gaze models.

    Parameters
    ----------
    comparison, study, n_permutations, seed, note
        As in :func:`make_gaze_result`.

    Returns
    -------
    list of dict
        For each model: gain over a uniform density and over the centre bias, AUC, NSS and, for models without
        a history, shuffled AUC.

    Notes
    -----
    The null deals the densities of the test images out to them anew. None is defined for densities that are
    the same for all images, nor for models of the next fixation, whose history belongs to one image.
    """
    n_images = len({comparison.group_of(name) for name in comparison.test_ids})
    split = (
        f"fitted to {len(comparison.training_ids)} stimuli, tested on {len(comparison.test_ids)} others of "
        f"{n_images} images; interval resamples images"
    )
    rows = []
    for name, scored in comparison.table.groupby("model", sort=False):
        exchanged, why = None, "no null: the same for all images"
        if name not in _CONSTANT:
            why = "no null: the history belongs to one image"
            if not uses_history(comparison, str(name)):
                exchanged, why = score_other_images(comparison, str(name)), ""
        null = None if exchanged is None else exchanged.permute(n_permutations, seed=seed)
        role = scored["role"].iloc[0]
        said = "; ".join(part for part in (role if role == "ceiling" else "", why, note) if part)
        over_uniform = scored.loc[scored["metric"] == "gain_over_uniform_bits", "value"].iloc[0]
        for found in scored.to_dict("records"):
            metric = found["metric"]
            quantity, unit, chance = QUANTITIES[metric]
            rows.append(
                make_result_row(
                    study=study,
                    quantity=f"{quantity}, {name}" + (f" [{unit}]" if unit else ""),
                    value=found["value"],
                    ci=(found["low"], found["high"]),
                    chance=chance,
                    null=None if null is None else _choose_null(null, metric, over_uniform - found["value"]),
                    n=found["n_fixations"],
                    split=split + ("" if null is None else ", null permutes densities over images"),
                    note=said,
                )
            )
        if exchanged is not None:
            rows.append(_make_shuffled_row(exchanged, str(name), study, split, said, seed))
    return rows


def _choose_null(null: NDArray, metric: str, over_uniform: float) -> NDArray:
    """Null of one metric; gains over the two baselines differ by a constant, ``over_uniform``."""
    if metric in EXCHANGED:
        return null[:, EXCHANGED.index(metric)]
    return null[:, 0] - over_uniform


def _make_shuffled_row(
    exchanged: OtherImages, name: str, study: str, split: str, note: str, seed: int
) -> dict[str, Any]:
    grouped = exchanged.shuffled_auc.groupby("image")["shuffled_auc"]
    sums, counts = grouped.sum().to_numpy(), grouped.size().to_numpy()
    ci = compute_bootstrap_ci(
        lambda rows: sums[rows].sum() / counts[rows].sum(), len(sums), make_rng(seed, study, SHUFFLED, name),
        n_bootstraps=_N_BOOTSTRAPS,
    )  # fmt: skip
    return make_result_row(
        study=study, quantity=f"{SHUFFLED}, {name}", value=exchanged.shuffled_auc["shuffled_auc"].mean(),
        ci=(ci[0], ci[1]), chance=0.5, n=exchanged.n_fixations, split=split, note=note,
    )  # fmt: skip


def draw_images(
    stimuli: StimulusSet, fixations: Fixations, n_images: int, *, seed: int
) -> tuple[StimulusSet, Fixations]:
    """Some of the images, so that a study ends in time, and the fixations on them.

    Parameters
    ----------
    stimuli : StimulusSet
        All of them.
    fixations : pandas.DataFrame
        On them.
    n_images : int
        How many to keep at most.
    seed : int
        Decides which.
    """
    order = make_rng(seed, "images of a study").permutation(len(stimuli))[:n_images]
    kept = [stimuli.stimulus_ids[row] for row in np.sort(order)]
    own = fixations[fixations["stimulus_id"].isin(kept)].reset_index(drop=True)
    return stimuli.subset(kept), own
