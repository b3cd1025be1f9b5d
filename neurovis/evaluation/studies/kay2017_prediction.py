"""Prediction of VWFA and FFA by ridge from what can be computed from the images alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import NeuralData, StimulusSet, make_rng
from neurovis.datasets.kay2017 import NAME, REGIONS
from neurovis.evaluation.studies.features import Extract, make_cached_extract
from neurovis.evaluation.studies.left_out import predict_left_out, score_left_out
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci
from neurovis.evaluation.studies.results import make_result_row

FEATURES = {"gabor": "Gabor energy", "squeezenet": "SqueezeNet"}
_N_FOLDS = 10
_N_REPEATS = 3  # shufflings of the folds; scores are averaged
_ALPHAS = np.geomspace(1e0, 1e7, 15)
_SPLIT = (
    f"{_N_FOLDS} shuffled folds of images x {_N_REPEATS}, penalty per region within training folds; null "
    "permutes images and refits; interval resamples images"
)
_NOTE = "predictions without the training mean"


def make_extractors(root: str | Path | None, cache: str | Path | None) -> dict[str, Extract]:
    """Gabor energy up to 8 cycles per degree, and the layers of SqueezeNet, both kept by content.

    Parameters
    ----------
    root : path, optional
        Folder that holds ``pretrained_nets``.
    cache : path, optional
        As in :func:`neurovis.core.find_cache_root`.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`neurovis.features.weights.find_weights`.
    """
    # Networks are needed only where no features were passed.
    from neurovis.features.gabor import GaborPyramid
    from neurovis.features.squeezenet import make_squeezenet

    # Strokes of words are thinner than what the default pyramid resolves.
    gabor = GaborPyramid((0.5, 1.0, 2.0, 4.0, 8.0), grids=(4, 4, 6, 8, 8), px_per_dva=20.0)
    return {
        "gabor": make_cached_extract(gabor, layers=("energy",), cache=cache),
        "squeezenet": make_cached_extract(make_squeezenet(Path(root) if root else None), cache=cache),
    }


def predict_images(
    extract: Mapping[str, Extract],
    stimuli: StimulusSet,
    responses: NeuralData,
    *,
    n_permutations: int,
    seed: int,
) -> tuple[list[dict[str, Any]], dict[str, NDArray]]:
    """Score out-of-fold predictions over all images and over photographs of objects alone.

    Parameters
    ----------
    extract : mapping of str to callable
        Keys of :data:`FEATURES`.
    stimuli, responses
        As from :func:`neurovis.datasets.kay2017.load_kay2017`.
    n_permutations : int
        Permutations of the null; the whole nested cross-validation is repeated for each.
    seed : int
        Of folds, permutations and bootstraps.

    Returns
    -------
    rows : list of dict
        For :func:`neurovis.evaluation.studies.results.make_result_table`.
    figures_data : dict of str to array
        ``regions``, ``score_*``, ``ci_*``, ``null_*`` and ``ceiling`` over all images.
    """
    Y = responses.values.astype(float)
    shown = stimuli.subset(responses["stimulus_id"].values.tolist())
    # One stream for both feature spaces: their difference is then taken within a permutation.
    rng = make_rng(seed, NAME, "null")
    orders = [np.arange(len(Y)), *(rng.permutation(len(Y)) for _ in range(n_permutations))]
    shuffled = np.concatenate([Y[order] for order in orders], axis=1)
    predictions = {
        name: predict_left_out(
            extract[name](shown), shuffled, alphas=_ALPHAS, n_folds=_N_FOLDS, n_repeats=_N_REPEATS, seed=seed
        )
        for name in FEATURES
    }
    error = responses["standard_error"].values
    rows: list[dict[str, Any]] = []
    figures: dict[str, NDArray] = {}
    subsets = {"all images": np.ones(len(Y), dtype=bool), "objects": shown.table["is_object"].to_numpy()}
    for subset, chosen in subsets.items():
        own = np.flatnonzero(chosen)
        scores = np.stack([score_left_out(shuffled[own], predictions[name][:, own]) for name in FEATURES])
        scores = np.concatenate([scores, [scores[1] - scores[0]]]).reshape(3, len(orders), len(REGIONS))

        def resample(drawn: NDArray[np.intp], own: NDArray = own) -> NDArray[np.float64]:
            again = own[drawn]
            r = [score_left_out(Y[again], predictions[name][:, again, : len(REGIONS)]) for name in FEATURES]
            return np.stack([*r, r[1] - r[0], _compute_ceiling(Y[again], error[again])])

        ci = compute_bootstrap_ci(resample, len(own), make_rng(seed, NAME, "ci", subset))
        ceiling = _compute_ceiling(Y[own], error[own])
        rows += _make_rows(subset, scores, ci, ceiling, len(own))
        if not figures:
            figures = {"regions": np.array(REGIONS), "ceiling": ceiling}
            for kind, name in enumerate(FEATURES):
                figures |= {f"score_{name}": scores[kind, 0], f"ci_{name}": ci[:, kind]}
                figures |= {f"null_{name}": scores[kind, 1:]}
    return rows, figures


def _make_rows(subset: str, scores: NDArray, ci: NDArray, ceiling: NDArray, n: int) -> list[dict[str, Any]]:
    first, second = FEATURES.values()
    rows = []
    for column, region in enumerate(REGIONS):
        common: dict[str, Any] = {"study": NAME, "subject": "1", "region": region, "n": n}
        for kind, what in enumerate((first, second, f"{second} - {first}")):
            rows.append(
                make_result_row(
                    **common,
                    quantity=f"r of {what}, {subset}",
                    value=scores[kind, 0, column],
                    ci=(ci[0, kind, column], ci[1, kind, column]),
                    chance=0.0,
                    null=scores[kind, 1:, column],
                    split=_SPLIT,
                    note=_NOTE,
                )
            )
        rows.append(
            make_result_row(
                **common,
                quantity=f"ceiling of r, {subset}",
                value=ceiling[column],
                ci=(ci[0, 3, column], ci[1, 3, column]),
                split="no fit; from the standard errors of the responses; interval resamples images",
            )
        )
    return rows


def _compute_ceiling(Y: NDArray, error: NDArray) -> NDArray[np.float64]:
    """Expected r of a model that knows the noise-free responses, 0 where noise is all there is."""
    share = 1 - (error**2).mean(axis=0) / Y.var(axis=0, ddof=1)
    return np.sqrt(np.clip(share, 0, 1))
