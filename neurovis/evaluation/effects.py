"""What an objective, a control or a prompt changes: images that start from the same noise, in pairs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from neurovis.core import check_option, make_rng
from neurovis.evaluation.generation import GUIDED
from neurovis.metrics.significance import compute_summary_ci

UNGUIDED = "unguided"


def compare_by_seed(
    images: pd.DataFrame, value: str, *, by: str, reference: str, n_permutations: int = 5000, seed: int = 0
) -> pd.DataFrame:
    """Difference of each group of images to a reference, seed by seed.

    Parameters
    ----------
    images : pandas.DataFrame
        One row per image: ``seed`` (of the noise it was made from), the columns ``by`` and ``value``.
        Several images of a group and seed are averaged first.
    value : str
        Column of numbers, for example a region's true response, or that of one region minus another.
    by : str
        Column that names the groups.
    reference : str
        Group that the others are compared with.
    n_permutations : int
        Flips of the differences' signs; all of them where there are no more.
    seed : int
        Of intervals and flips.

    Returns
    -------
    pandas.DataFrame
        One row per other group, in the order of ``images``: ``group``, ``reference``, ``n`` (shared seeds),
        ``mean``, ``reference_mean``, ``difference``, ``ci_low, ci_high`` (95 %, BCa bootstrap over seeds) and
        ``p_value`` (two-sided).

    Raises
    ------
    ValueError
        If a column is missing, the reference is none of the groups, or a group shares fewer than two seeds
        with it.

    Notes
    -----
    The noise decides much of an image, so differences between images of one noise vary less than images do.
    """
    missing = [name for name in ("seed", by, value) if name not in images.columns]
    if missing:
        raise ValueError(f"images must have the columns 'seed', {by!r} and {value!r}, missing {missing}.")
    groups = list(pd.unique(images[by]))
    check_option("reference", reference, groups)
    means = images.pivot_table(index="seed", columns=by, values=value)
    rows = []
    for group in [name for name in groups if name != reference]:
        both = means[[group, reference]].dropna()
        if len(both) < 2:
            raise ValueError(
                f"images of {group!r} and {reference!r} must share at least 2 seeds, got {len(both)}; make "
                "them from the same seeds."
            )
        difference = (both[group] - both[reference]).to_numpy(dtype=float)
        low, high = compute_summary_ci(difference, seed=seed)
        rows.append(
            {
                "group": group, "reference": reference, "n": len(both), "mean": both[group].mean(),
                "reference_mean": both[reference].mean(), "difference": difference.mean(), "ci_low": low,
                "ci_high": high, "p_value": _flip_signs(difference, n_permutations, seed),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def subtract_regions(responses: pd.DataFrame, value: str, preferred: str, suppressed: str) -> pd.DataFrame:
    """One row per image: the mean response of one region minus that of another.

    Parameters
    ----------
    responses : pandas.DataFrame
        One row per image and region: ``stimulus_id``, ``region`` and ``value``, as from
        :func:`neurovis.evaluation.generation.make_image_table`; other columns are those of the image.
    value : str
        Column of responses.
    preferred, suppressed : str
        Regions.

    Returns
    -------
    pandas.DataFrame
        The rows of the preferred region with the difference in the column ``value``.

    Raises
    ------
    ValueError
        If a region has no rows.
    """
    for name in (preferred, suppressed):
        check_option("region", name, list(pd.unique(responses["region"])))
    own = responses[responses["region"] == preferred]
    taken = responses[responses["region"] == suppressed].set_index("stimulus_id")[value]
    return own.assign(**{value: own[value] - own["stimulus_id"].map(taken)})


def compare_objectives(
    images: pd.DataFrame, value: str, *, pairs: Iterable[tuple[str, str]] = (), seed: int = 0
) -> pd.DataFrame:
    """What guidance, its controls and contrasts do to the regions that they are about.

    Parameters
    ----------
    images : pandas.DataFrame
        One row per generated image and region: ``stimulus_id``, ``objective`` (a region, or "A - B"),
        ``control`` ("guided" or a control), ``scale`` (0 is unguided), ``seed``, ``region`` (whose response
        it is) and ``value``. Of an objective's scales above 0 the largest counts.
    value : str
        Column of mean responses, "true" where the cortex is simulated.
    pairs : iterable of (str, str)
        Regions A and B whose difference is wanted, for images of A, of B and of "A - B".
    seed : int
        As :func:`compare_by_seed`.

    Returns
    -------
    pandas.DataFrame
        ``quantity`` (region, or "A - B") and the columns of :func:`compare_by_seed`. The reference is
        "unguided" and, for the contrast "A - B", also images of A alone: A, B and their difference there.

    Raises
    ------
    ValueError
        If there is no unguided image, or as :func:`compare_by_seed`.
    """
    strongest = images.groupby("objective")["scale"].transform("max")
    shown = images[(images["scale"] == 0) | (images["scale"] == strongest)]
    named = np.where(
        shown["control"] == GUIDED, shown["objective"], shown["objective"] + ", " + shown["control"]
    )
    shown = shown.assign(group=np.where(shown["scale"] == 0, UNGUIDED, named))
    found = []
    for region in pd.unique(shown["objective"]):
        if region in set(shown["region"]):
            own = shown[(shown["objective"] == region) & (shown["region"] == region)]
            table = compare_by_seed(own, value, by="group", reference=UNGUIDED, seed=seed)
            found.append(table.assign(quantity=region))
    for preferred, suppressed in pairs:
        contrast = f"{preferred} - {suppressed}"
        about = shown[shown["objective"].isin((preferred, suppressed, contrast))]
        about = about[(about["control"] == GUIDED) | (about["scale"] == 0)]
        difference = subtract_regions(about, value, preferred, suppressed)
        table = compare_by_seed(difference, value, by="group", reference=UNGUIDED, seed=seed)
        found.append(table.assign(quantity=contrast))
        if {preferred, contrast} <= set(difference["group"]):
            alone = about[about["group"].isin((preferred, contrast))]
            quantities = {name: alone[alone["region"] == name] for name in (preferred, suppressed)}
            quantities[contrast] = difference[difference["group"].isin((preferred, contrast))]
            found += [
                compare_by_seed(rows, value, by="group", reference=preferred, seed=seed).assign(quantity=name)
                for name, rows in quantities.items()
            ]
    if not found:
        raise ValueError("images must hold images of a region or a pair of regions, got neither.")
    joined = pd.concat(found, ignore_index=True)
    return joined[["quantity", *joined.columns.drop("quantity")]]


def _flip_signs(difference: np.ndarray, n_permutations: int, seed: int) -> float:
    if np.ptp(difference) == 0 and difference[0] == 0:
        return 1.0
    test = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", vectorized=True, n_resamples=n_permutations,
        rng=make_rng(seed, "signs"),
    )  # fmt: skip
    return float(test.pvalue)
