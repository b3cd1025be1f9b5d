"""Our features and our data under the real metrics of ``brainscore_vision``.

PLS, ridge and least squares see the features only through inner products between stimuli, so an orthogonal
change of basis changes no prediction. :func:`rotate_assemblies` replaces wide features (25,000 columns) by at
most as many columns as there are stimuli; the scores stay the same to rounding and the regressions become
tens of times faster.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import (
    NeuralData,
    StimulusSet,
    align,
    average_repeats,
    check_array,
    check_neural_data,
    check_option,
)
from neurovis.evaluation.brainscore import (
    import_brainscore,
    to_neuroid_assembly,
)

CROSS_VALIDATED = ("ridge", "pls", "linear_predictivity")
SPLIT = ("ridge_split", "ridgecv_split", "pls_split", "dual_ridge_split", "dual_ridgecv_split")
SIMILARITY = ("rdm", "cka")


@dataclass(frozen=True)
class BrainScoreResult:
    """One number of a Brain-Score metric and what belongs to it.

    Parameters
    ----------
    metric : str
        Name in Brain-Score's registry.
    identifier : str
        Of the assembly, with the content hash.
    raw : float
        The metric: median over neuroids of Pearson r (regressions), RDM correlation or CKA.
    error : float
        Standard error of the mean over splits; NaN where there is one split.
    ceiling : float
        Split-half internal consistency of the scored stimuli (regressions), or agreement of each subject's
        RDM with the mean RDM (``"rdm"``, several subjects); NaN where the data allow none.
    ceiled : float
        ``raw**2 / ceiling`` for regressions, as ``NeuralBenchmark`` defines it (it can exceed 1);
        ``raw / ceiling`` for ``"rdm"``; NaN without a ceiling.
    n_stimuli, n_neuroids : int
        Size of the scored data.
    seconds : float
        Wall time of the metric itself.
    """

    metric: str
    identifier: str
    raw: float
    error: float
    ceiling: float
    ceiled: float
    n_stimuli: int
    n_neuroids: int
    seconds: float


def rotate_features(X: NDArray) -> NDArray[np.float64]:
    """Coordinates of the rows in an orthonormal basis of the space that they span.

    Parameters
    ----------
    X : array of shape (n_stimuli, n_features)
        Features.

    Returns
    -------
    array of shape (n_stimuli, min(n_stimuli, n_features))
        ``Z`` with ``Z @ Z.T`` equal to the Gram matrix of the centred rows: with ``X.T = QR`` it is ``R.T``.
        No direction is cut off, so nothing is lost for a method that uses inner products only.
    """
    X = check_array("X", X, ndim=2, dtype=np.float64)
    (upper,) = scipy.linalg.qr((X - X.mean(axis=0)).T, mode="r", overwrite_a=True, check_finite=False)
    return np.ascontiguousarray(upper[: min(X.shape)].T)


def rotate_assemblies(*assemblies: Any) -> tuple[Any, ...]:
    """Rotate the features of several assemblies jointly; lossless for PLS, ridge and least squares.

    Not for RDMs of correlation distance, for sparse or for per-feature scaled regressions.

    Parameters
    ----------
    *assemblies : NeuroidAssembly
        The same neuroids in the same order in each, e.g. training and test features.

    Returns
    -------
    tuple of NeuroidAssembly
        Presentations unchanged, neuroids replaced by the shared basis.
    """
    values = [item.transpose("presentation", "neuroid").values for item in assemblies]
    rotated = rotate_features(np.concatenate(values))
    parts = np.split(rotated, np.cumsum([len(part) for part in values])[:-1])
    bs = import_brainscore("brainscore_core.supported_data_standards.brainio.assemblies")
    turned = []
    for assembly, part in zip(assemblies, parts, strict=True):
        coords = {
            name: (dims, entries)
            for name, dims, entries in bs.walk_coords(assembly)
            if dims and "neuroid" not in dims
        }
        new = bs.NeuroidAssembly(
            part, coords={**coords, **make_feature_coords(part.shape[1])}, dims=["presentation", "neuroid"]
        )
        new.attrs.update(assembly.attrs)
        turned.append(new)
    return tuple(turned)


def to_feature_assembly(features: xr.DataArray, like: Any) -> Any:
    """Features as a NeuroidAssembly whose presentations follow ``like``.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus", "feature")
        With ``stimulus_id``; already in the order of the rows of ``like``.
    like : NeuroidAssembly
        Its ``stimulus_id`` and ``object_name`` are taken over.
    """
    bs = import_brainscore("brainscore_core.supported_data_standards.brainio.assemblies")
    coords = {name: ("presentation", like[name].values) for name in ("stimulus_id", "object_name")}
    return bs.NeuroidAssembly(
        features.values,
        coords={**coords, **make_feature_coords(features.shape[1])},
        dims=["presentation", "neuroid"],
    )


def score_brainscore(
    features: xr.DataArray,
    data: NeuralData,
    *,
    metric: str = "ridge",
    stimuli: StimulusSet | None = None,
    test_ids: Sequence[str] | None = None,
    rotate: bool = True,
    ceiling: float | None = None,
) -> BrainScoreResult:
    """Score features on our data with a metric of ``brainscore_vision``.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus", "feature")
        Covers every stimulus of ``data``.
    data : NeuralData
        Rows "presentation" or "stimulus"; one region, as a rule, since the metric takes the median over
        neuroids.
    metric : str
        One of :data:`CROSS_VALIDATED` (10 shuffled splits, 90 % training, seed 1), :data:`SPLIT` or
        :data:`SIMILARITY`. ``"ridge"`` has a fixed penalty of 1; ``"ridgecv_split"`` chooses one penalty.
    stimuli : StimulusSet, optional
        Gives the categories that cross-validation balances.
    test_ids : sequence of str, optional
        Held-out stimuli; required by the split metrics and refused by the others.
    rotate : bool
        Use the lossless rotation where the metric allows it.
    ceiling : float, optional
        Result of :func:`compute_internal_consistency` for the same scored trials; a regression then does not
        compute it again.

    Raises
    ------
    ValueError
        If the metric is unknown, the split is missing or useless, or responses are not finite.
    """
    check_option("metric", metric, (*CROSS_VALIDATED, *SPLIT, *SIMILARITY))
    if (metric in SPLIT) != (test_ids is not None):
        raise ValueError(
            f"test_ids must be given for the metrics {SPLIT} and for no other, got {test_ids!r:.60} with "
            f"metric={metric!r}; pass the held-out stimuli or choose a cross-validated metric."
        )
    check_neural_data(data)
    averaged = average_repeats(data) if data.dims[0] == "presentation" else data
    check_array("data", averaged.values, remedy="drop neuroids without responses first")
    aligned, _ = align(features, averaged)
    target = to_neuroid_assembly(averaged, stimuli)
    source = to_feature_assembly(aligned, target)
    scored = average_mask = np.ones(len(averaged), dtype=bool)
    if test_ids is not None:
        scored = np.isin(averaged["stimulus_id"].values, list(test_ids))
        average_mask = ~scored
        if scored.sum() < 3 or average_mask.sum() < 3:
            raise ValueError(
                f"test_ids must leave at least 3 stimuli on each side, got {scored.sum()} test and "
                f"{average_mask.sum()} training stimuli; check the ids."
            )
    compute = import_brainscore().load_metric(metric)
    start = time.perf_counter()
    if metric in SIMILARITY:
        raw, error = _score_similarity(compute, source, target, per_subject=metric == "rdm")
    elif metric in CROSS_VALIDATED:
        (source,) = rotate_assemblies(source) if rotate else (source,)
        score = compute(source, target)
        raw, error = float(score), float(score.attrs["error"])
    else:
        source_train, source_test = source[average_mask], source[scored]
        if rotate:
            source_train, source_test = rotate_assemblies(source_train, source_test)
        score = compute(
            source_train=source_train,
            source_test=source_test,
            target_train=target[average_mask],
            target_test=target[scored],
        )
        raw, error = float(score), float("nan")
    seconds = time.perf_counter() - start
    if metric in SIMILARITY:
        ceiling = _compute_rdm_ceiling(target) if metric == "rdm" else float("nan")
        ceiled = raw / ceiling
    else:
        if ceiling is None:
            ceiling = compute_internal_consistency(data, averaged["stimulus_id"].values[scored])
        ceiled = raw**2 / ceiling
    n_scored = int(scored.sum())
    return BrainScoreResult(
        metric,
        target.attrs["identifier"],
        raw,
        error,
        ceiling,
        ceiled,
        n_scored,
        data.sizes["neuroid"],
        seconds,
    )


def compute_internal_consistency(data: NeuralData, stimulus_ids: Sequence[str] | NDArray) -> float:
    """Brain-Score's ceiling: median over neuroids of the split-half r after Spearman-Brown.

    Parameters
    ----------
    data : NeuralData
        Rows "presentation".
    stimulus_ids : sequence of str
        Stimuli that are scored.

    Returns
    -------
    float
        NaN where the ceiling would not be that of the scored means: rows already averaged, one repeat,
        or numbers of repeats that differ between the stimuli.
    """
    if data.dims[0] != "presentation":
        return float("nan")
    shown = data[np.isin(data["stimulus_id"].values, stimulus_ids)]
    repeated = make_repetition_assembly(shown)
    if repeated is None:
        return float("nan")
    return float(import_brainscore().load_ceiling("internal_consistency")(repeated))


def make_feature_coords(n: int) -> dict[str, tuple[str, Any]]:
    """Coordinates of ``n`` features along ``"neuroid"``, as Brain-Score's metrics want them."""
    # Two coordinates: with one, xarray makes a plain index and metrics do not find "neuroid_id".
    return {
        "neuroid_id": ("neuroid", [f"feature-{index}" for index in range(n)]),
        "neuroid_num": ("neuroid", np.arange(n)),
    }


def make_repetition_assembly(data: NeuralData) -> Any | None:
    """NeuroidAssembly of trials for Brain-Score's ceilings.

    Parameters
    ----------
    data : NeuralData
        Rows "presentation".

    Returns
    -------
    NeuroidAssembly or None
        ``repetition`` counts 0..n-1 per stimulus; None if stimuli were shown once or unequally often.
    """
    ids = pd.Series(data["stimulus_id"].values.astype(str))
    counts = ids.value_counts()
    if counts.min() < 2 or counts.min() < counts.max():
        return None
    ordinal = ids.groupby(ids).cumcount().to_numpy()
    # Brain-Score averages over every coordinate but the repetition: session and run would split the means.
    extra = [name for name, c in data.coords.items() if c.dims == ("presentation",) and name != "stimulus_id"]
    return to_neuroid_assembly(data.drop_vars(extra).assign_coords(repeat=("presentation", ordinal)))


def _score_similarity(compute: Any, source: Any, target: Any, *, per_subject: bool) -> tuple[float, float]:
    if not per_subject:
        return float(compute(source, target)), float("nan")
    scores = [
        float(compute(source, target[:, target["subject"].values == subject]))
        for subject in np.unique(target["subject"].values)
    ]
    error = float(np.std(scores, ddof=1) / np.sqrt(len(scores))) if len(scores) > 1 else float("nan")
    return float(np.mean(scores)), error


def _compute_rdm_ceiling(target: Any) -> float:
    if len(np.unique(target["subject"].values)) < 2:
        return float("nan")
    return float(import_brainscore().load_metric("rsa_ceiling")(target))
