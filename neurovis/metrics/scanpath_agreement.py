"""Agreement of people with each other, the ceiling of scanpath models, and of a model with people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import Fixations, make_rng
from neurovis.metrics.gaze_arrays import list_scanpaths

PairScore = Callable[[Sequence[NDArray], Sequence[NDArray]], NDArray]
"""Two sequences of scanpaths (n, 2) or (n, 3) -> one value, or several, for each pair."""


def compare_observers(
    fixations: Fixations, score: PairScore, *, names: Sequence[str] = ("score",)
) -> pd.DataFrame:
    """Scores of all ordered pairs of different observers of the same image, averaged within the image.

    Parameters
    ----------
    fixations : Fixations
        From :func:`neurovis.core.check_fixations`. Several trials of one person are never compared with each
        other.
    score : callable
        For example ``functools.partial(compute_scanmatch, size_px=(600, 800))``.
    names : sequence of str
        Names of the columns of the score, such as :data:`neurovis.metrics.multimatch.DIMENSIONS`.

    Returns
    -------
    pandas.DataFrame
        One row per stimulus: the means, and ``n_pairs``, the ordered pairs. Pairs whose score is NaN (too
        short for MultiMatch) are left out of a mean; it is NaN if none is left.

    Raises
    ------
    ValueError
        If no image was seen by two people, or the score has another number of columns than ``names``.
    """
    keys, scanpaths = list_scanpaths(fixations)
    first, second = [], []
    for _, rows in keys.groupby("stimulus_id", sort=False):
        subject = rows["subject"].to_numpy()
        own, other = np.nonzero(subject[:, None] != subject)
        first.append(rows.index.to_numpy()[own])
        second.append(rows.index.to_numpy()[other])
    pairs = np.concatenate(first), np.concatenate(second)
    if not len(pairs[0]):
        raise ValueError("fixations must have an image that two people saw, got none; choose other images.")
    return _average(
        keys["stimulus_id"].to_numpy()[pairs[0]], [scanpaths[k] for k in pairs[0]],
        [scanpaths[k] for k in pairs[1]], score, names,
    )  # fmt: skip


def compare_with_observers(
    model: Fixations, fixations: Fixations, score: PairScore, *, names: Sequence[str] = ("score",)
) -> pd.DataFrame:
    """Scores of every scanpath of a model with every person's on the same image, averaged within the image.

    Parameters
    ----------
    model : Fixations
        One or several scanpaths per image, told apart by ``subject`` or ``trial``.
    fixations : Fixations
        Of people. Images that only one of the two has are left out.
    score, names
        As :func:`compare_observers`; the model's scanpath comes first.

    Returns
    -------
    pandas.DataFrame
        As :func:`compare_observers`.

    Raises
    ------
    ValueError
        If the two share no image, or only one has durations.
    """
    (own_keys, own), (keys, scanpaths) = list_scanpaths(model), list_scanpaths(fixations)
    if own[0].shape[1] != scanpaths[0].shape[1]:
        raise ValueError(
            "model and fixations must both have durations or both have none, got one of each; set duration_s "
            "to NaN to compare positions only."
        )
    joined = own_keys.reset_index().merge(keys.reset_index(), on="stimulus_id", suffixes=("", "_human"))
    if joined.empty:
        raise ValueError("model and fixations must share a stimulus_id, got none; check the names of images.")
    return _average(
        joined["stimulus_id"].to_numpy(), [own[k] for k in joined["index"]],
        [scanpaths[k] for k in joined["index_human"]], score, names,
    )  # fmt: skip


def bootstrap_images(table: pd.DataFrame, *, n_bootstraps: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Mean over images with a percentile interval over images drawn with replacement.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`compare_observers` returns it, or one row per image of other scores; ``n_pairs`` is left
        out.
    n_bootstraps, seed : int
        Samples, and their seed.

    Returns
    -------
    pandas.DataFrame
        Index: names of the scores; columns ``value``, ``low``, ``high`` (95 %) and ``n_images``, those with a
        value.

    Raises
    ------
    ValueError
        If a score has fewer than two images with a value.
    """
    scores = table.drop(columns="n_pairs", errors="ignore")
    rng = make_rng(seed, "images", "bootstrap")
    rows = {}
    for name in scores.columns:
        values = scores[name].dropna().to_numpy(dtype=float)
        if len(values) < 2:
            raise ValueError(
                f"{name} must have a value for at least 2 images, got {len(values)}; add images."
            )
        counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=n_bootstraps)
        low, high = np.quantile(counts @ values / len(values), [0.025, 0.975])
        rows[name] = {"value": values.mean(), "low": low, "high": high, "n_images": len(values)}
    return pd.DataFrame.from_dict(rows, orient="index").astype({"n_images": int})


def _average(
    stimulus_id: NDArray,
    first: Sequence[NDArray],
    second: Sequence[NDArray],
    score: PairScore,
    names: Sequence[str],
) -> pd.DataFrame:
    values = np.asarray(score(first, second), dtype=float)
    values = values[:, None] if values.ndim == 1 else values
    if values.shape != (len(first), len(names)):
        raise ValueError(
            f"score must return {len(names)} values ({', '.join(names)}) for each of {len(first)} pairs, got "
            f"shape {values.shape}; name each of its columns."
        )
    grouped = pd.DataFrame(values, columns=list(names)).groupby(pd.Index(stimulus_id, name="stimulus_id"))
    return grouped.mean().assign(n_pairs=grouped.size())
