"""Does human IT group 92 images by what they are or by how they look (Kriegeskorte et al., Neuron 2008).

Representational similarity analysis of the released dissimilarity matrices: Spearman correlation over the
4186 pairs of images, with noise ceilings over people after Nili et al. (PLoS Comput Biol 2014).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from neurovis.core import make_rng
from neurovis.datasets.kriegeskorte92 import N_IMAGES, NAME, Kriegeskorte92, load_kriegeskorte92
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.metrics.rdm import compare_rdms, make_units
from neurovis.metrics.rsa import bootstrap_rsa, compute_rsa_ceiling

_REFERENCE = {  # with the mean of the six brain matrices
    "animacy": 0.59,
    "FaceBodyManmadeNatobj": 0.41,
    "EVA": 0.30,
    "HMAX": 0.19,
    "V1": 0.09,
    "Silhouette": 0.09,
}
_SESSIONS_REFERENCE = {"BE": 0.28, "KO": 0.10, "SN": 0.38}
_SPLIT = "no fitting; null permutes images of the model; interval resamples images"
_BY_SUBJECT = ("animacy", "V1")
_N_BOOTSTRAPS = 300


def analyse_kriegeskorte92(
    root: str | Path | None = None,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
    cache: str | Path | None = None,
) -> StudyResult:
    """Compare models, judgements and sessions with human IT.

    Parameters
    ----------
    root, cache : path, optional
        As in :func:`neurovis.datasets.kriegeskorte92.load_kriegeskorte92`.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of permutations and bootstraps.

    Returns
    -------
    StudyResult
        ``figures_data``: ``rdm_it`` (92, 92; mean of people and sessions), ``models`` (n,), ``similarity``
        (n,), ``ci`` (2, n), ``null`` (n_permutations, n) and ``ceiling`` (2,; mean person, Spearman).

    Notes
    -----
    The mean of six matrices is less noisy than one person's, so similarities with it exceed the ceiling of
    the mean person; the ceiling belongs to the rows of subject "mean person", where each person's two
    sessions are averaged and each person is compared alone.
    """
    data = load_kriegeskorte92(root=root, cache=cache)
    people = np.stack([_flatten(sessions.mean(axis=0)) for sessions in data.brain.values()])
    group = people.mean(axis=0)
    models = {name: _flatten(rdm) for name, rdm in data.models.items() if name in _REFERENCE}
    models["judgements of ten people"] = _flatten(data.judgements.mean(axis=0))
    names = list(models)
    stacked = np.stack(list(models.values()))
    shuffled = _permute_images(stacked, n_permutations, seed)

    similarity = compare_rdms(group, stacked)[0]
    null = shuffled @ _normalise(group)
    resampled = bootstrap_rsa(group, stacked, resample="stimuli", n_bootstraps=_N_BOOTSTRAPS, seed=seed)
    ci = np.percentile(resampled.similarity, [2.5, 97.5], axis=0)
    rows = [
        _make_row("group", f"Spearman with {name}", similarity[i], ci[:, i], null[:, i], _REFERENCE.get(name))
        for i, name in enumerate(names)
    ]
    animacy, v1 = names.index("animacy"), names.index("V1")
    rows.append(
        _make_row(
            "group",
            "Spearman with animacy - with V1",
            similarity[animacy] - similarity[v1],
            np.percentile(resampled.similarity[:, animacy] - resampled.similarity[:, v1], [2.5, 97.5]),
            null[:, animacy] - null[:, v1],
            0.50,
            note="the null breaks both relations, so that p is conservative where both models are related",
        )
    )
    picked = [names.index(name) for name in _BY_SUBJECT]
    ceiling_rows, ceiling = _compute_ceiling(people, stacked[picked], seed)
    rows += _compare_people(data, people, stacked[picked], shuffled[:, picked], seed) + ceiling_rows
    figures = {
        "rdm_it": squareform(group),
        "models": np.array(names),
        "similarity": similarity,
        "ci": ci,
        "null": null,
        "ceiling": ceiling,
    }
    return StudyResult(make_result_table(rows), figures)


def _make_row(
    subject: str,
    quantity: str,
    value: float,
    ci: NDArray | None,
    null: NDArray | None,
    reference: float | None = None,
    split: str = _SPLIT,
    note: str = "",
) -> dict[str, Any]:
    return make_result_row(
        study=NAME,
        subject=subject,
        region="IT",
        quantity=quantity,
        value=value,
        ci=None if ci is None else (ci[0], ci[1]),
        chance=0.0 if null is not None else np.nan,
        null=null,
        n=N_IMAGES,
        split=split,
        reference=np.nan if reference is None else reference,
        note=note,
    )


def _flatten(rdm: NDArray) -> NDArray[np.float64]:
    return squareform(rdm, checks=False)


def _normalise(rdm: NDArray) -> NDArray[np.float64]:
    """Ranks of zero mean and unit length, whose inner products are Spearman correlations."""
    return make_units(rdm, comparison="spearman_r")[0]


def _permute_images(models: NDArray, n_permutations: int, seed: int) -> NDArray[np.float64]:
    """Normalised models with their images in another order, (n_permutations, n_models, n_pairs)."""
    rng = make_rng(seed, NAME, "images")
    # Another order of the images is another order of the pairs, so ranks need not be taken again.
    squares = np.stack([squareform(_normalise(model)) for model in models])
    first, second = np.triu_indices(N_IMAGES, 1)
    orders = (rng.permutation(N_IMAGES) for _ in range(n_permutations))
    return np.stack([squares[:, order[first], order[second]] for order in orders])


def _compare_people(
    data: Kriegeskorte92, people: NDArray, models: NDArray, shuffled: NDArray, seed: int
) -> list[dict[str, Any]]:
    """Each person alone: two models, and the agreement of the two sessions."""
    rows = []
    for (subject, sessions), own in zip(data.brain.items(), people, strict=True):
        first, second = (_flatten(session) for session in sessions)
        # The second session is compared like a model, with the same kind of interval and null.
        compared = np.vstack([models, second])
        measured = [own, own, first]
        session_null = _permute_images(second[None], len(shuffled), seed)
        for i, target in enumerate(measured):
            null = (shuffled[:, i] if i < len(models) else session_null[:, 0]) @ _normalise(target)
            resampled = bootstrap_rsa(
                target, compared[i], resample="stimuli", n_bootstraps=_N_BOOTSTRAPS, seed=seed
            )
            rows.append(
                _make_row(
                    subject,
                    f"Spearman with {_BY_SUBJECT[i]}" if i < len(models) else "Spearman of two sessions",
                    compare_rdms(target, compared[i]).item(),
                    np.percentile(resampled.similarity[:, 0], [2.5, 97.5]),
                    null,
                    None if i < len(models) else _SESSIONS_REFERENCE[subject],
                    note="mean of two sessions" if i < len(models) else "",
                )
            )
    return rows


def _compute_ceiling(
    people: NDArray, models: NDArray, seed: int
) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """Rows of the mean person: the two models and the bounds of the noise ceiling."""
    bounds = np.array(compute_rsa_ceiling(people))
    similarity = compare_rdms(people, models).mean(axis=0)
    resampled = bootstrap_rsa(people, models, resample="both", n_bootstraps=_N_BOOTSTRAPS, seed=seed)
    split = "one person against the mean of the others (lower) or of all (upper); interval resamples images "
    split += f"and the {len(people)} people"
    values = np.concatenate([similarity, bounds])
    # A resampled ceiling with the same person twice compares him with himself, hence no interval for it.
    cis = [*np.percentile(resampled.similarity, [2.5, 97.5], axis=0).T, None, None]
    quantities = [f"Spearman with {name}" for name in _BY_SUBJECT]
    quantities += [f"noise ceiling, {bound} bound (Spearman)" for bound in ("lower", "upper")]
    rows = [
        _make_row("mean person", quantity, value, ci, None, split=split)
        for quantity, value, ci in zip(quantities, values, cis, strict=True)
    ]
    return rows, bounds
