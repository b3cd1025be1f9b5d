"""How well are held-out images predicted in macaque V4: ridge encoders beside distilled networks.

Cowley, Stan, Pillow & Smith (2023) bioRxiv 2023.11.22.568315 distilled one small network per neuron from an
ensemble. They are scored here on images 601-1200 of session 190923, beside ridge on the features of an
ImageNet network fitted to images 1-600; session 210325 keeps single repeats and gives the noise ceiling.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from neurovis.core import StimulusSet, average_repeats, make_rng
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.macaque_v4 import NAME, load_macaque_v4
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.studies.features import Extract, make_cached_extract
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.metrics.ceilings import compute_split_half
from neurovis.metrics.regression import pearson_r

# Correlation of each published network with the recorded means, from the data set's description.
DISTILLED = {0: 0.70, 6: 0.75, 8: 0.70, 12: 0.83, 22: 0.74, 26: 0.68}
_N_TRAIN = 600
_N_FOLDS = 5
_SPLIT_FIXED = "train images 1-600, test 601-1200; interval resamples test images, null permutes them"
_SPLIT_FOLDS = "5 folds over images, penalty chosen inside; interval resamples neurons, null permutes images"


def analyse_macaque_v4(
    root: str | Path | None = None,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
    cache: str | Path | None = None,
    extract: Extract | None = None,
) -> StudyResult:
    """Score the distilled networks and ridge encoders on held-out images, noise-corrected where possible.

    Parameters
    ----------
    root, cache : path, optional
        As in :func:`neurovis.datasets.macaque_v4.load_macaque_v4`.
    n_permutations : int
        Permutations of the test images in each null.
    seed : int
        Of folds, permutations and bootstraps.
    extract : callable, optional
        Stimuli to features (n, n_features); by default the layers of SqueezeNet, cached by content.

    Returns
    -------
    StudyResult
        ``figures_data``: ``distilled_r`` and ``ridge_r`` (6,) of the same neurons, ``reliability`` and
        ``ridge_r_210325`` (50,).

    Notes
    -----
    The null permutes test images after fitting; it asks whether predictions of held-out images are related
    to them at all. The ceiling of session 210325 is the square root of the reliability of the mean over
    repeats (Spearman-Brown corrected split halves), the correlation that a perfect model would reach.
    """
    # A network and its weights are needed only where no features were passed.
    if extract is None:
        from neurovis.features.squeezenet import make_squeezenet

        extract = make_cached_extract(make_squeezenet(Path(root) if root else None), cache=cache)
    stimuli, means = load_macaque_v4(subject="190923", root=root, cache=cache)
    test = slice(_N_TRAIN, None)
    truth = means.values[test][:, list(DISTILLED)]
    distilled = _predict_distilled(stimuli, root)
    features = extract(stimuli)
    ridge = _fit_ridge(features[:_N_TRAIN], means.values[:_N_TRAIN], seed).predict(features[test])
    rows = []
    for column, (neuron, reference) in enumerate(DISTILLED.items()):
        for quantity, prediction, published in (
            ("r of the distilled network", distilled[:, column], reference),
            ("r of ridge on SqueezeNet", ridge[:, neuron], np.nan),
        ):
            rng = make_rng(seed, NAME, quantity, neuron)
            rows.append(
                _make_row(
                    truth[:, [column]],
                    prediction[:, None],
                    quantity=f"{quantity}, neuron {neuron}",
                    split=_SPLIT_FIXED,
                    reference=published,
                    n_permutations=n_permutations,
                    rng=rng,
                )
            )
    trained_on_many = "mean of the six; the networks were distilled from an ensemble fitted to 44 sessions"
    for quantity, prediction in (
        ("mean r of six distilled networks", distilled),
        ("mean r of ridge on SqueezeNet, the same six", ridge[:, list(DISTILLED)]),
    ):
        rng = make_rng(seed, NAME, quantity)
        row = _make_row(
            truth,
            prediction,
            quantity=quantity,
            split=_SPLIT_FIXED,
            reference=float(np.mean(list(DISTILLED.values()))) if "distilled" in quantity else np.nan,
            n_permutations=n_permutations,
            rng=rng,
            note=trained_on_many if "distilled" in quantity else "fitted to 600 images of one session",
        )
        rows.append(row)
    more, reliability, ridge_r = _analyse_repeats(extract, root, cache, n_permutations, seed)
    figures = {
        "distilled_r": pearson_r(truth, distilled),
        "ridge_r": pearson_r(truth, ridge[:, list(DISTILLED)]),
        "reliability": reliability,
        "ridge_r_210325": ridge_r,
    }
    return StudyResult(make_result_table(rows + more), figures)


def _analyse_repeats(
    extract: Extract,
    root: str | Path | None,
    cache: str | Path | None,
    n_permutations: int,
    seed: int,
) -> tuple[list[dict], NDArray, NDArray]:
    """Reliability and noise-corrected prediction of session 210325, out of fold."""
    stimuli, trials = load_macaque_v4(subject="210325", root=root, cache=cache)
    reliability = compute_split_half(trials.values, trials["stimulus_id"].values, seed=seed)
    # Spearman-Brown backwards from all repeats: the correlation of two halves of exactly half of them each.
    halves = reliability / (2 - reliability)
    averaged = average_repeats(trials)
    features = extract(stimuli.subset(averaged["stimulus_id"].values.tolist()))
    prediction = np.empty(averaged.shape)
    for train, held_out in KFold(_N_FOLDS, shuffle=True, random_state=seed).split(features):
        model = _fit_ridge(features[train], averaged.values[train], seed)
        prediction[held_out] = model.predict(features[held_out])
    r = pearson_r(averaged.values, prediction)
    ceiled = r / np.sqrt(reliability)
    rng = make_rng(seed, NAME, "repeats")
    null_r = _permute(averaged.values, prediction, n_permutations, rng)
    session: dict[str, Any] = {"study": NAME, "subject": "210325", "region": "V4", "n": len(r)}

    def interval(values: NDArray) -> tuple[float, float]:
        low, high = compute_bootstrap_ci(lambda drawn: np.median(values[drawn]), len(values), rng)
        return float(low), float(high)

    halved = "random halves of the repeats, 20 splits; interval resamples neurons"
    rows = [
        make_result_row(
            **session,
            quantity="split-half correlation, median neuron",
            value=float(np.median(halves)),
            ci=interval(halves),
            split=halved,
            reference=0.63,
        ),
        make_result_row(
            **session,
            quantity="split-half correlation, best neuron",
            value=halves.max(),
            split=halved,
            reference=0.88,
        ),
        make_result_row(
            **session,
            quantity="r of ridge on SqueezeNet, median neuron",
            value=float(np.median(r)),
            ci=interval(r),
            null=np.median(null_r, axis=1),
            chance=0.0,
            split=_SPLIT_FOLDS,
        ),
        make_result_row(
            **session,
            quantity="r over its ceiling, median neuron",
            value=float(np.median(ceiled)),
            ci=interval(ceiled),
            null=np.median(null_r / np.sqrt(reliability), axis=1),
            chance=0.0,
            split=_SPLIT_FOLDS,
            note="noise-corrected by the reliability of the mean over repeats",
        ),
    ]
    return rows, reliability, r


def _predict_distilled(stimuli: StimulusSet, root: str | Path | None) -> NDArray[np.float64]:
    from neurovis.features.v4_compact import compute_v4_compact, load_v4_compact

    folder = find_dataset(NAME, root) / "compact_models_torch"
    images = np.stack([stimuli.load(stimulus_id) for stimulus_id in stimuli.stimulus_ids[_N_TRAIN:]])
    networks = [load_v4_compact(folder / f"compact_model_190923_neuron{neuron}.pt") for neuron in DISTILLED]
    return np.stack([compute_v4_compact(network, images) for network in networks], axis=1).astype(float)


def _fit_ridge(X: NDArray, y: NDArray, seed: int) -> Ridge:
    return Ridge(cv=KFold(_N_FOLDS, shuffle=True, random_state=seed)).fit(X, y)


def _make_row(
    truth: NDArray,
    prediction: NDArray,
    *,
    quantity: str,
    split: str,
    reference: float,
    n_permutations: int,
    rng: np.random.Generator,
    note: str = "",
) -> dict:
    """Row of the mean correlation over columns."""
    low, high = compute_bootstrap_ci(
        lambda drawn: pearson_r(truth[drawn], prediction[drawn]).mean(), len(truth), rng
    )
    return make_result_row(
        study=NAME,
        subject="190923",
        region="V4",
        quantity=quantity,
        value=pearson_r(truth, prediction).mean(),
        ci=(float(low), float(high)),
        null=_permute(truth, prediction, n_permutations, rng).mean(axis=1),
        chance=0.0,
        n=len(truth),
        split=split,
        reference=reference,
        note=note,
    )


def _permute(
    truth: NDArray, prediction: NDArray, n_permutations: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Correlations when test images are exchanged, (n_permutations, n_neurons)."""
    return np.stack(
        [pearson_r(truth[rng.permutation(len(truth))], prediction) for _ in range(n_permutations)]
    )
