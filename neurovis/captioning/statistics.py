"""What captions of many voxels say together: words that stand out, shares of person words, diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from neurovis.captioning.nouns import PERSON_WORDS, find_nouns, find_words
from neurovis.core import check_array, make_rng

N_GRAMS = 4
"""Longest run of words that BLEU compares."""


def compute_word_log_odds(
    captions: Sequence[str],
    base_captions: Sequence[str],
    *,
    prior_strength: float = 100.0,
    level: float = 0.95,
    min_count: int = 1,
    find: Callable[[str], Sequence[str]] = find_nouns,
) -> pd.DataFrame:
    """Words that captions of a region hold more or less often than captions of random images do.

    Parameters
    ----------
    captions : sequence of str
        Captions of one region's voxels.
    base_captions : sequence of str
        Captions of random bank images by the same caption model: what it says anyway.
    prior_strength : float
        Sum of the Dirichlet prior's counts: how many words of evidence outweigh the base rates. Positive.
    level : float
        Of the interval, in (0, 1).
    min_count : int
        Words that come less often in both sets together are left out.
    find : callable
        Caption to words; a word counts once per caption.

    Returns
    -------
    pandas.DataFrame
        By ``word``, largest z first: ``count`` and ``base_count`` (captions that hold it), ``share`` and
        ``base_share`` of captions, ``log_odds``, ``low`` and ``high`` (interval) and ``z``. Positive: more
        often in the region.

    Raises
    ------
    ValueError
        If a set of captions holds no words or an option is out of range.

    Notes
    -----
    Monroe, Colaresi and Quinn (Political Analysis 2008), equations 15, 16, 18, 19 and 22: the prior's counts
    are in proportion to the words of both sets together, and the variance of the log-odds difference is
    1 / (y + a) in each set. z assumes independent captions; neighbouring voxels are not, so rank words by z,
    and test regions across subjects.
    """
    if not prior_strength > 0 or not 0 < level < 1:
        raise ValueError(
            f"prior_strength must be positive and level in (0, 1), got {prior_strength} and {level}; for "
            "example 100 and 0.95."
        )
    check_array("min_count", min_count, ndim=0, minimum=1, remedy="for example min_count=1")
    counts = [
        Counter(word for text in part for word in set(find(text))) for part in (captions, base_captions)
    ]
    for name, found in zip(("captions", "base_captions"), counts, strict=True):
        if not found:
            raise ValueError(f"{name} must hold words to count, got none; check the captions and find.")
    words = sorted(word for word in counts[0] | counts[1] if counts[0][word] + counts[1][word] >= min_count)
    y, base = (np.array([found[word] for word in words], dtype=float) for found in counts)
    n, n_base = (float(sum(found.values())) for found in counts)
    prior = prior_strength * (y + base) / (n + n_base)
    odds = [(k + prior) / (total + prior_strength - k - prior) for k, total in ((y, n), (base, n_base))]
    log_odds = np.log(odds[0]) - np.log(odds[1])
    spread = np.sqrt(1 / (y + prior) + 1 / (base + prior))
    reach = stats.norm.ppf((1 + level) / 2) * spread
    table = pd.DataFrame(
        {
            "word": words, "count": y.astype(int), "base_count": base.astype(int),
            "share": y / len(captions), "base_share": base / len(base_captions), "log_odds": log_odds,
            "low": log_odds - reach, "high": log_odds + reach, "z": log_odds / spread,
        }
    )  # fmt: skip
    return table.sort_values(["z", "word"], ascending=[False, True], ignore_index=True)


def compute_word_fraction(captions: ArrayLike, words: Collection[str] = PERSON_WORDS) -> NDArray[np.float64]:
    """Share of a voxel's captions that hold any of some words: the published person map.

    Parameters
    ----------
    captions : array of str of shape (n_voxels,) or (n_repeats, n_voxels)
        Captions of one or more repeats.
    words : collection of str
        In lower case, every form that counts; words for people by default.

    Returns
    -------
    array of shape (n_voxels,)
        In [0, 1].

    Raises
    ------
    ValueError
        If there are no captions or no words.
    """
    texts = np.atleast_2d(np.asarray(captions, dtype=object))
    if texts.ndim != 2 or not texts.size or not len(words):
        raise ValueError(
            f"captions must have shape (n_repeats, n_voxels) and words must not be empty, got {texts.shape} "
            f"and {len(words)} words."
        )
    wanted = frozenset(words)
    unique, place = np.unique(texts.astype(str), return_inverse=True)
    holds = np.array([not wanted.isdisjoint(find_words(text)) for text in unique])
    return holds[place.reshape(texts.shape)].mean(axis=0)


def summarise_by_region(
    values: ArrayLike,
    regions: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean of a value over the voxels of each region, with an interval.

    Parameters
    ----------
    values : array of shape (n_voxels,)
        E.g. from :func:`compute_word_fraction`.
    regions : sequence of str of length n_voxels
        Region of each voxel.
    groups : array of shape (n_voxels,), optional
        Voxels of one group are resampled together, e.g. those of one caption.
    level : float
        Of the interval.
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        By ``region``: ``mean``, ``low``, ``high`` (NaN for a single group) and ``n_voxels``.
    """
    values = check_array("values", values, shape=(len(regions),), dtype=np.float64)
    labels = np.asarray(list(regions), dtype=str)
    belongs = np.arange(len(values)) if groups is None else check_array("groups", groups, shape=values.shape)
    rows = []
    for label in np.unique(labels):
        here = labels == label
        low, high = bootstrap_mean(values[here], belongs[here], level=level, seed=seed)
        rows.append((label, values[here].mean(), low, high, int(here.sum())))
    return pd.DataFrame(rows, columns=["region", "mean", "low", "high", "n_voxels"]).set_index("region")


def bootstrap_mean(
    values: NDArray[np.float64],
    groups: NDArray,
    *,
    level: float = 0.95,
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a mean when the values of a group belong together.

    Parameters
    ----------
    values : array of shape (n,)
        Finite.
    groups : array of shape (n,)
        Group of each value; whole groups are drawn.
    level : float
        Coverage, in (0, 1).
    n_bootstraps : int
        Samples.
    seed : int
        Of the draws.

    Returns
    -------
    low, high : float
        NaN if there is one group only.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}; for example 0.95.")
    _, place = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(place.ravel(), weights=values), np.bincount(place.ravel())
    n_groups = len(sizes)
    if n_groups < 2:
        return float("nan"), float("nan")
    rng = make_rng(seed, "bootstrap", "groups")
    means = np.empty(n_bootstraps)
    for i in range(n_bootstraps):
        times = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)
        means[i] = times @ sums / (times @ sizes)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compute_diversity(captions: Sequence[str]) -> dict[str, float]:
    """How varied captions are.

    Parameters
    ----------
    captions : sequence of str
        At least two.

    Returns
    -------
    dict of str to float
        ``unique_share``: different captions per caption; ``distinct_1`` and ``distinct_2``: different words
        and pairs of words per word and pair (Li et al., NAACL 2016); ``self_bleu``: mean BLEU-4 of each
        caption against all others (Zhu et al., SIGIR 2018), near 1 where captions repeat each other.

    Raises
    ------
    ValueError
        If there are fewer than two captions or one has no words.

    Notes
    -----
    BLEU without smoothing: a caption without a run of four words in common with others scores 0; captions
    shorter than four words are scored by the runs that they have.
    """
    sentences = [tuple(find_words(text)) for text in captions]
    if len(sentences) < 2 or not all(sentences):
        raise ValueError(
            f"captions must be at least 2 sentences with words, got {len(sentences)} with "
            f"{sum(not words for words in sentences)} empty; gate voxels first."
        )
    shares = {"unique_share": len(set(sentences)) / len(sentences)}
    for order in (1, 2):
        grams = [gram for words in sentences for gram in _list_grams(words, order)]
        shares[f"distinct_{order}"] = len(set(grams)) / max(1, len(grams))
    return {**shares, "self_bleu": _compute_self_bleu(sentences)}


def _list_grams(words: tuple[str, ...], order: int) -> list[tuple[str, ...]]:
    return [words[i : i + order] for i in range(len(words) - order + 1)]


def _compute_self_bleu(sentences: Sequence[tuple[str, ...]]) -> float:
    """Mean BLEU, each sentence against all others, without comparing pairs.

    Clipping needs the largest count of a run in any other sentence: the largest of all, or the second largest
    for the sentence that holds it.
    """
    logs = np.zeros(len(sentences))
    used = np.zeros(len(sentences))
    for order in range(1, N_GRAMS + 1):
        counts = [Counter(_list_grams(words, order)) for words in sentences]
        highest: dict[tuple[str, ...], tuple[int, int, int]] = {}
        for row, found in enumerate(counts):
            for gram, n in found.items():
                first, holder, second = highest.get(gram, (0, -1, 0))
                if n > first:
                    highest[gram] = (n, row, first)
                elif n > second:
                    highest[gram] = (first, holder, n)
        for row, found in enumerate(counts):
            total = sum(found.values())
            if not total:
                continue
            matched = 0
            for gram, n in found.items():
                first, holder, second = highest[gram]
                matched += min(n, second if holder == row else first)
            used[row] += 1
            logs[row] += np.log(matched / total) if matched else -np.inf
    lengths = np.array([len(words) for words in sentences])
    return float(np.mean(np.exp(logs / used) * _compute_brevity(lengths)))


def _compute_brevity(lengths: NDArray[np.int_]) -> NDArray[np.float64]:
    """BLEU's penalty of each sentence against the other whose length is closest (the shorter of two)."""
    values, counts = np.unique(lengths, return_counts=True)
    penalties = np.empty(len(values))
    for i, length in enumerate(values):
        others = values if counts[i] > 1 else np.delete(values, i)
        closest = others[np.lexsort((others, np.abs(others - length)))[0]]
        penalties[i] = 1.0 if length > closest else np.exp(1 - closest / length)
    return penalties[np.searchsorted(values, lengths)]
