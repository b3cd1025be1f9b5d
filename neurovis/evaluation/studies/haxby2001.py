"""Which of eight categories was seen: the block responses of one slice (Haxby et al., Science 2001).

A linear support vector machine is trained on seven runs and tested on the eighth. The mean response of a
block over its scans, shifted by an assumed haemodynamic delay, is one case.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from neurovis.core import NeuralData, make_neural_data, make_rng
from neurovis.datasets.haxby2001 import CATEGORIES, NAME, HaxbyRuns, load_haxby2001
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci, permute_within
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table

DELAY_S = 5.0  # two scans, as the data set's description advises
_DELAYS_S = (0.0, 2.5, 5.0, 7.5)
_TREND_ORDER = 2
_SPLIT = "leave one run out of 8; null permutes labels within runs; interval resamples runs"


def compute_block_responses(runs: HaxbyRuns, *, delay_s: float = DELAY_S) -> NeuralData:
    """Mean response of each block after a quadratic trend of each run is taken out.

    Parameters
    ----------
    runs : HaxbyRuns
        As from :func:`neurovis.datasets.haxby2001.load_haxby2001`.
    delay_s : float
        Assumed haemodynamic delay [s]: scans that start in [onset + delay, onset + duration + delay) count.

    Returns
    -------
    NeuralData
        Rows ``"presentation"``, 8 runs x 8 blocks; ``stimulus_id`` is the category.

    Raises
    ------
    ValueError
        If a block has no scan, e.g. for a delay beyond the end of the run.
    """
    run_of_scan, time_s = runs.responses["run"].values, runs.responses["time_s"].values
    series = np.empty(runs.responses.shape)
    for run in np.unique(run_of_scan):
        rows = run_of_scan == run
        values = runs.responses.values[rows].astype(float)
        trend = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(values)), _TREND_ORDER)
        series[rows] = values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0]
    blocks = []
    for event in runs.events.itertuples():
        start = event.onset + delay_s
        # Half a millisecond of slack, since onsets are rounded to 0.5 s and scans are not.
        scans = (
            (time_s >= start - 5e-4) & (time_s < start + event.duration - 5e-4) & (run_of_scan == event.run)
        )
        if not scans.any():
            raise ValueError(
                f"delay_s must leave scans in every block, got {delay_s} s, which leaves none for "
                f"{event.trial_type} in run {event.run}; pass a delay of a few seconds."
            )
        blocks.append(series[scans].mean(axis=0))
    coords = ("neuroid_id", "subject", "region", "x", "y", "z")
    return make_neural_data(
        np.array(blocks),
        rows="presentation",
        row_coords={
            "stimulus_id": runs.events["trial_type"].to_numpy(dtype=str),
            "repeat": runs.events["run"].to_numpy() - 1,
            "run": runs.events["run"].to_numpy(),
        },
        neuroid_coords={name: runs.responses[name].values for name in coords},
        units="scanner",
        source=NAME,
        t_r=runs.responses.attrs["t_r"],
    )


def analyse_haxby2001(
    root: str | Path | None = None, *, n_permutations: int = 200, seed: int = 0
) -> StudyResult:
    """Decode categories, and faces from houses, and compare the geometry of odd and even runs.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of permutations and bootstraps.

    Returns
    -------
    StudyResult
        ``figures_data``: ``categories`` (8,), ``confusion`` (8, 8; shown x decoded, rows sum to 1) and
        ``null_accuracy`` (n_permutations,) at 5 s, ``rdm`` (8, 8; 1 - Pearson of mean patterns).

    Notes
    -----
    Every delay is reported, so none was picked by its result. The events of this release already hold part
    of the delay (see :mod:`neurovis.datasets.haxby2001`), and shorter ones decode better.
    """
    runs = load_haxby2001(root=root)
    rows, figures = [], {"categories": np.array(CATEGORIES)}
    for delay_s in _DELAYS_S:
        blocks = compute_block_responses(runs, delay_s=delay_s)
        X, y, run = blocks.values, blocks["stimulus_id"].values, blocks["run"].values
        hit, null = _decode(X, y, run, n_permutations, make_rng(seed, NAME, "svm", str(delay_s)))
        advised = delay_s == DELAY_S
        rows.append(
            make_result_row(
                study=NAME,
                subject="1",
                quantity=f"accuracy, 8 categories, delay {delay_s:g} s",
                value=hit.mean(),
                ci=_interval(hit.mean(axis=1), make_rng(seed, NAME, "ci")),
                chance=1 / len(CATEGORIES),
                null=null,
                n=hit.size,
                split=_SPLIT,
                reference=0.56 if advised else np.nan,
                note=f"{X.shape[1]} voxels; "
                + ("the advised delay" if advised else "reported for comparison"),
            )
        )
        if advised:
            figures |= {"confusion": _compute_confusion(X, y, run), "null_accuracy": null}
            rows += _compare_two(X, y, run, n_permutations, seed)
            row, figures["rdm"] = _compare_geometry(X, y, run, n_permutations, seed)
            rows.append(row)
    return StudyResult(make_result_table(rows), figures)


def _make_decoder() -> object:
    # A full PCA only rotates onto the span of the training cases, which a linear machine does not notice,
    # and makes it ten times faster with more voxels than cases.
    return make_pipeline(
        StandardScaler(), PCA(svd_solver="full"), LinearSVC(dual=True, max_iter=20000, random_state=0)
    )


def _predict(X: NDArray, y: NDArray, run: NDArray) -> NDArray:
    return cross_val_predict(_make_decoder(), X, y, groups=run, cv=LeaveOneGroupOut())


def _decode(
    X: NDArray, y: NDArray, run: NDArray, n_permutations: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Hits of each run (n_runs, n_blocks) and accuracies under permutation."""
    hit = (_predict(X, y, run) == y)[np.argsort(run, kind="stable")].reshape(len(np.unique(run)), -1)
    null = np.empty(n_permutations)
    for index in range(n_permutations):
        shuffled = y[permute_within(run, rng)]
        null[index] = (_predict(X, shuffled, run) == shuffled).mean()
    return hit, null


def _interval(per_run: NDArray, rng: np.random.Generator) -> tuple[float, float]:
    low, high = compute_bootstrap_ci(lambda drawn: per_run[drawn].mean(), len(per_run), rng)
    return float(low), float(high)


def _compute_confusion(X: NDArray, y: NDArray, run: NDArray) -> NDArray[np.float64]:
    predicted = _predict(X, y, run)
    return np.array([[(predicted[y == one] == other).mean() for other in CATEGORIES] for one in CATEGORIES])


def _compare_two(X: NDArray, y: NDArray, run: NDArray, n_permutations: int, seed: int) -> list[dict]:
    rows = np.isin(y, ("face", "house"))
    hit, null = _decode(X[rows], y[rows], run[rows], n_permutations, make_rng(seed, NAME, "face-house"))
    return [
        make_result_row(
            study=NAME,
            subject="1",
            quantity="accuracy, face or house",
            value=hit.mean(),
            ci=_interval(hit.mean(axis=1), make_rng(seed, NAME, "ci")),
            chance=0.5,
            null=null,
            n=hit.size,
            split=_SPLIT,
            note=f"delay {DELAY_S:g} s",
        )
    ]


def _compare_geometry(
    X: NDArray, y: NDArray, run: NDArray, n_permutations: int, seed: int
) -> tuple[dict, NDArray[np.float64]]:
    """Spearman between the category dissimilarities of odd and of even runs."""
    pairs = np.triu_indices(len(CATEGORIES), 1)

    def compute_rdm(rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        patterns = np.array([X[rows & (y == name)].mean(axis=0) for name in CATEGORIES])
        return 1 - np.corrcoef(patterns - patterns.mean(axis=0))

    odd, even = compute_rdm(run % 2 == 1), compute_rdm(run % 2 == 0)
    rng = make_rng(seed, NAME, "geometry")
    orders = [rng.permutation(len(CATEGORIES)) for _ in range(n_permutations)]
    null = [spearmanr(odd[pairs], even[np.ix_(order, order)][pairs])[0] for order in orders]
    row = make_result_row(
        study=NAME,
        subject="1",
        quantity="Spearman of category dissimilarities, odd with even runs",
        value=spearmanr(odd[pairs], even[pairs])[0],
        chance=0.0,
        null=null,
        n=len(pairs[0]),
        split="odd runs against even runs; null permutes category labels; no interval from 8 categories",
        note=f"1 - Pearson of mean patterns, mean over categories taken out; delay {DELAY_S:g} s",
    )
    return row, compute_rdm(np.ones(len(run), dtype=bool))
