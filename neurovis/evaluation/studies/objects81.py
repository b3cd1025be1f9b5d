"""Which regions follow what things look like, and which what they are called (Bonner & Epstein 2021).

Each voxel is predicted by ridge regression from components of a visual network (AlexNet) and, separately, of
word embeddings (word2vec); the two are compared region by region on held-out categories.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import make_rng
from neurovis.datasets.objects81 import NAME, REGIONS, load_objects81
from neurovis.evaluation.studies.left_out import predict_left_out, score_left_out
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table

_N_FOLDS = 9
_N_REPEATS = 2  # shufflings of the folds; scores are averaged
_ALPHAS = np.geomspace(1e-1, 1e4, 11)
_BATCH = 10  # permutations that are fitted at once, as further columns
_N_BOOTSTRAPS = 500
_FEATURES = {"alexnet": "AlexNet", "word2vec": "word2vec"}
_REFERENCE = {  # over all 81 categories
    "alexnet": {"EVC": 0.54, "PPA": 0.63, "LOC": 0.62, "PFS": 0.18, "FFA": 0.23},
    "word2vec": {"EVC": 0.17, "PPA": 0.47, "LOC": 0.50, "PFS": 0.44, "FFA": 0.35},
}
_WORDS_EXPECTED = ("PFS", "FFA")
_DIFFERENCE = "the null breaks both relations, so that p of the difference is conservative where both predict"
_SPLIT = (
    f"{_N_FOLDS} shuffled folds of categories x {_N_REPEATS}, penalty per voxel within training folds; "
    "null permutes categories; interval resamples categories"
)
_NOTE = (
    "54 of the 81 categories of the reference; components were computed over all 81; predictions without the "
    "training mean"
)


def analyse_objects81(
    root: str | Path | None = None, *, n_permutations: int = 100, seed: int = 0
) -> StudyResult:
    """Predict voxels from visual and from word features, and compare the two in each region.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    n_permutations : int
        Permutations of the null; the whole nested cross-validation is repeated for each.
    seed : int
        Of folds, permutations and bootstraps.

    Returns
    -------
    StudyResult
        ``figures_data``: ``regions`` (7,), ``score_alexnet`` and ``score_word2vec`` (7,), ``ci_alexnet`` and
        ``ci_word2vec`` (2, 7), ``null_alexnet`` and ``null_word2vec`` (n_permutations, 7).

    Notes
    -----
    Chance is the mean of the null and lies below 0: over concatenated folds, a model whose weights owe
    everything to chance is right by the categories it was fitted to and wrong by those left out.

    Differences are stated in the direction that the paper expects (visual minus words, in PFS and FFA words
    minus visual), since their p values are one-sided.
    """
    data = load_objects81(root=root)
    Y = data.responses.values.astype(float)
    region = data.responses["region"].values
    average = np.array([region == name for name in REGIONS]) / np.array(
        [[np.count_nonzero(region == name)] for name in REGIONS]
    )
    scores, nulls, predictions = {}, {}, {}
    for name in _FEATURES:
        X = data.features[name].values.astype(float)
        predictions[name] = _predict(X, Y, seed)
        scores[name] = average @ score_left_out(Y, predictions[name])
        nulls[name] = _permute(X, Y, n_permutations, seed) @ average.T

    def resample(drawn: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.array(
            [average @ score_left_out(Y[drawn], predictions[name][:, drawn]) for name in _FEATURES]
        )

    rng = make_rng(seed, NAME, "ci")
    draws = compute_bootstrap_ci(
        lambda drawn: _with_difference(resample(drawn)), len(Y), rng, n_bootstraps=_N_BOOTSTRAPS
    )
    values = _with_difference(np.array([scores[name] for name in _FEATURES]))
    null = _with_difference(np.stack([nulls[name] for name in _FEATURES]))
    rows = [
        _make_row(kind, column, values[kind], draws[:, kind], null[kind], len(Y))
        for column in range(len(REGIONS))
        for kind in range(3)
    ]
    figures = {"regions": np.array(REGIONS)}
    for kind, name in enumerate(_FEATURES):
        figures |= {f"score_{name}": values[kind], f"ci_{name}": draws[:, kind], f"null_{name}": null[kind]}
    return StudyResult(make_result_table(rows), figures)


def _with_difference(scores: NDArray) -> NDArray:
    """Scores (2, ..., region) with a third entry: their difference in the expected direction."""
    sign = np.where(np.isin(REGIONS, _WORDS_EXPECTED), -1.0, 1.0)
    return np.concatenate([scores, [sign * (scores[0] - scores[1])]])


def _make_row(
    kind: int, column: int, values: NDArray, interval: NDArray, null: NDArray, n: int
) -> dict[str, Any]:
    region = REGIONS[column]
    if kind < len(_FEATURES):
        name = list(_FEATURES)[kind]
        quantity = f"mean voxel correlation, {_FEATURES[name]}"
        reference = _REFERENCE[name].get(region, np.nan)
    else:
        words = region in _WORDS_EXPECTED
        quantity = "mean voxel correlation, " + ("word2vec - AlexNet" if words else "AlexNet - word2vec")
        known = [entry.get(region, np.nan) for entry in _REFERENCE.values()]
        reference = (known[1] - known[0]) if words else (known[0] - known[1])
    return make_result_row(
        study=NAME,
        subject="1",
        region=region,
        quantity=quantity,
        value=values[column],
        ci=(interval[0, column], interval[1, column]),
        chance=null[:, column].mean(),
        null=null[:, column],
        n=n,
        split=_SPLIT,
        reference=round(reference, 2),
        note=_NOTE if kind < len(_FEATURES) else f"{_NOTE}; {_DIFFERENCE}",
    )


def _predict(X: NDArray, Y: NDArray, seed: int) -> NDArray[np.float64]:
    return predict_left_out(X, Y, alphas=_ALPHAS, n_folds=_N_FOLDS, n_repeats=_N_REPEATS, seed=seed)


def _permute(X: NDArray, Y: NDArray, n_permutations: int, seed: int) -> NDArray[np.float64]:
    """Voxel scores (n_permutations, n_voxels) with the rows of Y permuted, several permutations at once."""
    # One stream for both feature spaces: their difference is then taken within a permutation.
    rng = make_rng(seed, NAME, "null")
    orders = [rng.permutation(len(Y)) for _ in range(n_permutations)]
    null = []
    for start in range(0, n_permutations, _BATCH):
        shuffled = np.concatenate([Y[order] for order in orders[start : start + _BATCH]], axis=1)
        null.append(score_left_out(shuffled, _predict(X, shuffled, seed)).reshape(-1, Y.shape[1]))
    return np.concatenate(null)
