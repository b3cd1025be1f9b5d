"""What guided images are worth: their category, predicted and true responses, against natural images.

The encoder that guided an image overstates it, so others judge: a classifier that never guided, an encoder of
another backbone fitted to other stimuli, and, where the cortex is simulated, the cortex itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option
from neurovis.metrics.significance import compute_binomial_test, compute_summary_ci

GUIDED = "guided"
CONTROLS = ("sign flipped", "weights permuted")
SELECTIONS = ("all", "best")
VALUES = ("predicted", "held_out", "true", "measured")
"""Mean response of a region: by the guiding encoder, by the held-out one, the truth, and as recorded."""

IMAGE_COLUMNS = ("stimulus_id", "region", "control", "scale", "seed", "judged", "naturalness")
NATURAL_COLUMNS = ("stimulus_id", "region", "judged", "naturalness")


def compute_region_means(responses: ArrayLike, regions: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Mean response of each region to each image.

    Parameters
    ----------
    responses : array of shape (n_images, n_neuroids)
        Predicted, true or recorded.
    regions : mapping of str to sequence of int
        Columns of each region.

    Returns
    -------
    pandas.DataFrame
        One row per image, one column per region.
    """
    values = check_array("responses", responses, ndim=2, finite=False, dtype=np.float64)
    return pd.DataFrame({name: values[:, list(columns)].mean(axis=1) for name, columns in regions.items()})


def make_image_table(
    stimulus_ids: Sequence[str],
    responses: Mapping[str, ArrayLike],
    regions: Mapping[str, Sequence[int]],
    *,
    judged: Sequence[str],
    naturalness: ArrayLike,
) -> pd.DataFrame:
    """One row per image and region: what the region does, and what others see in the image.

    Parameters
    ----------
    stimulus_ids : sequence of str
        Images.
    responses : mapping of str to array of shape (n_images, n_neuroids)
        By any of :data:`VALUES`; NaN for an image without a record.
    regions : mapping of str to sequence of int
        Columns of each region.
    judged : sequence of str
        Category of each image.
    naturalness : array of shape (n_images,)
        From :func:`compute_naturalness`.

    Returns
    -------
    pandas.DataFrame
        Columns :data:`NATURAL_COLUMNS` and one for each value.
    """
    for name in responses:
        check_option("responses", name, VALUES)
    means = {name: compute_region_means(values, regions) for name, values in responses.items()}
    about = {
        "stimulus_id": list(stimulus_ids),
        "judged": list(judged),
        "naturalness": np.asarray(naturalness),
    }
    return pd.concat(
        [
            pd.DataFrame(
                {**about, "region": region, **{name: table[region] for name, table in means.items()}}
            )
            for region in regions
        ],
        ignore_index=True,
    )


def compute_naturalness(embedding: ArrayLike, natural: ArrayLike) -> NDArray[np.float64]:
    """Cosine of each image with the most similar natural one.

    Parameters
    ----------
    embedding : array of shape (n, d)
        Of the images, by a network that did not guide them.
    natural : array of shape (m, d)
        Of natural images. A row that is also in ``embedding`` is not compared with itself.

    Returns
    -------
    array of shape (n,)

    Raises
    ------
    ValueError
        If dimensions differ, an embedding is zero, or there is no other natural image.
    """
    first = check_array("embedding", embedding, ndim=2, dtype=np.float64)
    other = check_array("natural", natural, shape=(None, first.shape[1]), dtype=np.float64)
    norms = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, other)]
    if any((norm == 0).any() for norm in norms):
        raise ValueError("embedding and natural must not hold zeros; drop images that could not be read.")
    cosine = (first / norms[0]) @ (other / norms[1]).T
    near, alike = np.nonzero(cosine > 1 - 1e-9)
    same = (first[near] == other[alike]).all(axis=1)
    cosine[near[same], alike[same]] = -np.inf
    if not np.isfinite(cosine.max(axis=1)).all():
        raise ValueError("natural must hold images besides the one that is compared; pass more.")
    return cosine.max(axis=1)


def select_best(images: pd.DataFrame, *, share: float = 0.2, by: str = "predicted") -> pd.DataFrame:
    """Re-ranking: the images of each region, control and scale with the largest predicted response.

    Parameters
    ----------
    images : pandas.DataFrame
        With the columns ``region``, ``control``, ``scale`` and ``by``.
    share : float
        Share of the images of a group that is kept, at least one; the authors show the best fifth.
    by : str
        Column of the guiding encoder's prediction.

    Returns
    -------
    pandas.DataFrame
        Rows in falling order within groups.

    Raises
    ------
    ValueError
        If the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}; 0.2 keeps the best fifth.")
    ranked = images.sort_values(by, ascending=False, kind="stable")
    parts = [
        rows.head(max(1, round(share * len(rows))))
        for _, rows in ranked.groupby(["region", "control", "scale"], sort=False)
    ]
    return pd.concat(parts)


def summarise_generation(
    images: pd.DataFrame,
    natural: pd.DataFrame,
    *,
    categories: Mapping[str, str],
    best_share: float = 0.2,
    n_natural_best: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    """Guided images beside natural ones, region by region.

    Parameters
    ----------
    images : pandas.DataFrame
        One row per generated image: :data:`IMAGE_COLUMNS`, ``predicted`` and any other of :data:`VALUES`.
        ``control`` is "guided" or one of :data:`CONTROLS`; unguided images have scale 0 and stand once per
        region. ``judged`` is the category that an independent classifier sees.
    natural : pandas.DataFrame
        One row per natural image and region: :data:`NATURAL_COLUMNS` and the same values.
    categories : mapping of str to str
        Category that each region is known for.
    best_share : float
        Of re-ranking, as :func:`select_best`.
    n_natural_best : int
        Natural images with the largest predicted, and with the largest recorded, response.
    seed : int
        Of the bootstrap intervals over images.

    Returns
    -------
    pandas.DataFrame
        Columns ``region, category, control, scale, selection, n``; ``share`` in the region's category with
        ``share_low, share_high`` (95 %, Wilson); for each of :data:`VALUES` that there is its mean,
        ``<value>_low``, ``<value>_high`` (95 % bootstrap) and ``<value>_percentile``: the share of natural
        images that evoke less than this mean; ``naturalness`` (median). Natural images are rows with the
        control "natural" and the selections "all", "top predicted" and, where there are records, "top
        measured".

    Raises
    ------
    ValueError
        If a column is missing, or a region has no category or no natural image.
    """
    for name, table, columns in (("images", images, IMAGE_COLUMNS), ("natural", natural, NATURAL_COLUMNS)):
        needed = [*columns, "predicted"]
        missing = [column for column in needed if column not in table.columns]
        if missing or table.empty:
            raise ValueError(f"{name} must have rows and the columns {needed}, missing {missing}.")
    values = [name for name in VALUES if name in images.columns and name in natural.columns]
    rows = []
    for region in pd.unique(images["region"]):
        check_option("region", region, categories, remedy="name the category that it is known for")
        world = natural[natural["region"] == region]
        if world.empty:
            raise ValueError(f"natural must hold images for region {region!r}; score them for it too.")
        own = images[images["region"] == region]
        groups = [
            ((control, scale, selection), chosen)
            for selection, table in (("all", own), ("best", select_best(own, share=best_share)))
            for (control, scale), chosen in table.groupby(["control", "scale"], sort=False)
        ]
        groups += [(("natural", 0.0, "all"), world)]
        for value in ("predicted", "measured"):
            if value in world.columns:
                groups.append((("natural", 0.0, f"top {value}"), world.nlargest(n_natural_best, value)))
        for (control, scale, selection), chosen in groups:
            row = {
                "region": region, "category": categories[region], "control": control, "scale": scale,
                "selection": selection, "n": len(chosen),
            }  # fmt: skip
            row |= _describe_share(chosen["judged"] == categories[region])
            available = values if control != "natural" else [v for v in VALUES if v in world.columns]
            for value in available:
                row |= _describe_value(value, chosen[value], world[value], seed)
            rows.append(row | {"naturalness": float(chosen["naturalness"].median())})
    return pd.DataFrame(rows)


def compute_specificity(
    images: pd.DataFrame, names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Share of each region's images that are judged as each category.

    Parameters
    ----------
    images : pandas.DataFrame
        Columns ``region`` and ``judged``: the images of one control, scale and selection.
    names : sequence of str
        Categories of the judge, in order.

    Returns
    -------
    share, low, high : pandas.DataFrame
        Regions by categories, with 95 % intervals (Wilson).
    """
    regions = list(pd.unique(images["region"]))
    parts: dict[str, list[list[float]]] = {"share": [], "share_low": [], "share_high": []}
    for region in regions:
        judged = images.loc[images["region"] == region, "judged"]
        cells = [_describe_share(judged == name) for name in names]
        for key, found in parts.items():
            found.append([cell[key] for cell in cells])
    share, low, high = (pd.DataFrame(found, index=regions, columns=list(names)) for found in parts.values())
    return share, low, high


def _describe_share(hits: pd.Series) -> dict[str, float]:
    n_hits, n = int(hits.sum()), len(hits)
    # The test needs a chance level; only its interval, which does not depend on it, is used.
    _, low, high = compute_binomial_test(n_hits, n, chance=0.5)
    return {"share": n_hits / n, "share_low": low, "share_high": high}


def _describe_value(name: str, values: pd.Series, world: pd.Series, seed: int) -> dict[str, float]:
    numbers = values.dropna().to_numpy(dtype=float)
    mean = float(numbers.mean()) if len(numbers) else np.nan
    low, high = (
        compute_summary_ci(numbers, n_bootstraps=1000, seed=seed) if len(numbers) > 1 else (mean, mean)
    )
    below = float((world.dropna().to_numpy(dtype=float) < mean).mean())
    return {name: mean, f"{name}_low": low, f"{name}_high": high, f"{name}_percentile": below}
