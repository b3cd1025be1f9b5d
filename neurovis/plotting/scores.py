"""Scores of encoders and decoders: distributions against ceilings, comparisons, nulls, confusions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, make_rng
from neurovis.plotting.arguments import check_grouped, check_interval
from neurovis.plotting.style import (
    ACCENT,
    FAINT,
    INK,
    MUTED,
    PALETTE,
    WARNING,
    add_group_legend,
    add_note,
    choose_colours,
    get_figure,
    make_axes,
    styled,
)

_MAX_POINTS = 250
_MOST_WIDE = 18.0  # [inch]
_MARKS = "os^D"


@styled
def plot_scores_by_region(
    values: ArrayLike,
    regions: Sequence[str] | NDArray,
    *,
    ceilings: ArrayLike | None = None,
    order: Sequence[str] | None = None,
    label: str = "prediction accuracy (Pearson r)",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Distribution of scores in every region, with medians and median ceilings.

    Parameters
    ----------
    values : array of shape (n_neuroids,)
        Score of each neuroid; NaN is left out.
    regions : sequence of str, length n_neuroids
        Region of each neuroid.
    ceilings : array of shape (n_neuroids,), optional
        Ceiling in the same metric; its median is drawn as a dark bar.
    order : sequence of str, optional
        Regions from left to right; by first appearance otherwise.
    label : str
        Axis label with the metric.
    title : str
        Title above the Axes.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        The line labelled ``"median"`` and the collection labelled ``"median ceiling"`` hold the drawn
        heights, in ``order``.

    Raises
    ------
    ValueError
        If lengths differ, or a region of ``order`` has no finite value.
    """
    values, names = check_grouped("values", values, "regions", regions)
    limit = None
    if ceilings is not None:
        limit = check_array("ceilings", ceilings, shape=values.shape, finite=False, dtype=float)
    order = list(order) if order is not None else list(dict.fromkeys(names.tolist()))
    ax = make_axes(ax, width=max(4.5, 1.6 + 0.55 * len(order)), height=3.5)
    rng = make_rng(0, "jitter")
    medians, tops, ticks = [], [], []
    for place, region in enumerate(order):
        member = (names == region) & np.isfinite(values)
        if not member.any():
            raise ValueError(
                f"order must name regions with finite values, got {region!r} without any; "
                f"choose from {', '.join(sorted(set(names.tolist())))}."
            )
        inside = values[member]
        if len(inside) > 4 and np.ptp(inside) > 0:
            parts = ax.violinplot(inside, positions=[place], widths=0.8, showextrema=False)
            for body in parts["bodies"]:  # type: ignore[attr-defined]  # stubs: a list
                body.set(facecolor=ACCENT, alpha=0.22, edgecolor="none")
        shown = inside if len(inside) <= _MAX_POINTS else rng.choice(inside, _MAX_POINTS, replace=False)
        jitter = rng.uniform(-0.13, 0.13, len(shown))
        ax.scatter(place + jitter, shown, s=3, color=ACCENT, alpha=0.35, linewidths=0, rasterized=True)
        medians.append(float(np.median(inside)))
        bounds = np.empty(0) if limit is None else limit[member & np.isfinite(limit)]
        tops.append(float(np.median(bounds)) if bounds.size else float("nan"))
        ticks.append(f"{region}\n{member.sum()}")
    places = np.arange(len(order))
    ax.plot(places, medians, "o", ms=6, mfc="white", mec=ACCENT, mew=1.6, label="median")
    if limit is not None:
        ax.hlines(tops, places - 0.3, places + 0.3, color=INK, lw=2.2, label="median ceiling", zorder=3)
    ax.axhline(0, color=MUTED, lw=0.8, zorder=0)
    ax.set_xticks(places, ticks)
    ax.set_xlim(-0.6, len(order) - 0.4)
    ax.set_xlabel("region, number of neuroids")
    ax.set_ylabel(label)
    ax.grid(axis="y")
    ax.tick_params(axis="x", length=0)
    ax.set_title(title)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderpad=0)
    return ax


@styled
def plot_score_against_ceiling(
    values: ArrayLike,
    ceilings: ArrayLike,
    *,
    groups: Sequence[str] | NDArray | None = None,
    fraction: float | None = 0.9,
    label: str = "Pearson r",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Score of every neuroid over its ceiling, with the identity line.

    Parameters
    ----------
    values, ceilings : arrays of shape (n_neuroids,)
        In the same metric; pairs with NaN are left out.
    groups : sequence of str, optional
        Group of each neuroid, shown by colour.
    fraction : float, optional
        Also draw the line at this share of the ceiling.
    label, title, ax
        Name of the metric; title; where to draw.

    Raises
    ------
    ValueError
        If lengths differ or no pair is finite.
    """
    values = check_array("values", values, ndim=1, finite=False, dtype=float)
    limit = check_array("ceilings", ceilings, shape=values.shape, finite=False, dtype=float)
    names = np.full(values.shape, "") if groups is None else np.asarray(groups).astype(str)
    if names.shape != values.shape:
        raise ValueError(f"groups must have length {len(values)}, got {len(names)}.")
    keep = np.isfinite(values) & np.isfinite(limit)
    if not keep.any():
        raise ValueError("values and ceilings must share a finite neuroid, got none; check for NaN.")
    ax = make_axes(ax, width=4.6, height=4.2)
    present = list(dict.fromkeys(names[keep].tolist()))
    colours = choose_colours(present)
    size = float(np.clip(900 / keep.sum(), 3, 18))
    for name in present:
        member = keep & (names == name)
        colour = colours[name] if groups is not None else ACCENT
        ax.scatter(limit[member], values[member], s=size, alpha=0.5, lw=0, color=colour, label=name or None)
    low = min(0.0, float(values[keep].min()), float(limit[keep].min()))
    high = max(float(values[keep].max()), float(limit[keep].max())) * 1.05
    ends = np.array([low, high])
    ax.plot(ends, ends, color=INK, lw=1, zorder=0)
    ax.annotate(
        "ceiling",
        (high, high),
        ha="right",
        va="bottom",
        fontsize=8,
        color=INK,
        xytext=(-8, 0),
        textcoords="offset points",
    )
    if fraction is not None:
        ax.plot(ends.clip(0), ends.clip(0) * fraction, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high * 1.03)
    ax.set_aspect("equal")
    ax.set_xlabel(f"ceiling ({label})")
    ax.set_ylabel(f"score ({label})")
    ax.set_title(title)
    positive = keep & (limit > 0)
    if positive.any():
        ratio = float(np.median(values[positive] / limit[positive]))
        line = "" if fraction is None else f"\ndashed: {fraction:.0%} of the ceiling"
        add_note(ax, f"median score / ceiling = {ratio:.2f}\nn = {keep.sum()}{line}", corner="lower right")
    if groups is not None:
        add_group_legend(ax)
    return ax


@styled
def plot_feature_comparison(
    values: ArrayLike,
    features: Sequence[str],
    regions: Sequence[str],
    *,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    ceilings: ArrayLike | None = None,
    label: str = "median prediction accuracy (Pearson r)",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One dot for every feature space in every region, with intervals and the region's ceiling.

    Parameters
    ----------
    values : array of shape (n_features, n_regions)
        Summary score; NaN leaves the place empty.
    features, regions : sequences of str
        Names of rows and columns.
    lower, upper : arrays of shape (n_features, n_regions), optional
        Ends of the confidence interval, given together.
    ceilings : array of shape (n_regions,), optional
        Ceiling in the same metric.
    label, title, ax
        Axis label; title; where to draw.

    Raises
    ------
    ValueError
        If a shape does not fit the names.
    """
    shape = (len(features), len(regions))
    values = check_array("values", values, shape=shape, finite=False, dtype=float)
    ends = check_interval(lower, upper, shape)
    width = max(4.5, 1.8 + max(0.6, 0.13 * len(features)) * len(regions))
    width = min(width, _MOST_WIDE)
    ax = make_axes(ax, width=width, height=3.5)
    places = np.arange(len(regions))
    offsets = np.linspace(-0.3, 0.3, len(features)) if len(features) > 1 else np.zeros(1)
    for row, (name, offset) in enumerate(zip(features, offsets, strict=True)):
        colour = PALETTE[row % len(PALETTE)]
        if ends is not None:
            ax.vlines(places + offset, ends[0][row], ends[1][row], color=colour, lw=1.6, alpha=0.8)
        # A second round of colours has other marks.
        mark = _MARKS[row // len(PALETTE) % len(_MARKS)]
        ax.plot(places + offset, values[row], mark, ms=5, color=colour, label=name)
    if ceilings is not None:
        limit = check_array("ceilings", ceilings, shape=shape[1:], finite=False, dtype=float)
        ax.hlines(limit, places - 0.42, places + 0.42, color=INK, lw=1.6, label="ceiling")
    for place in places[1:]:
        ax.axvline(place - 0.5, color=FAINT, lw=0.6, zorder=0)
    ax.axhline(0, color=MUTED, lw=0.8, zorder=0)
    ax.set_xticks(places, list(regions))
    if max(map(len, regions), default=0) > 7:
        for tick in ax.get_xticklabels():
            tick.set(rotation=35, ha="right")
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, len(regions) - 0.5)
    ax.set_ylabel(label)
    ax.grid(axis="y")
    ax.set_title(title)
    # As many columns as the figure is wide, or the legend would squeeze the axes.
    n_columns = int(width / (0.5 + 0.075 * max(map(len, features), default=0)))
    n_columns = int(np.clip(n_columns, 1, min(6, len(features) + 1)))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=n_columns, borderpad=0)
    return ax


@styled
def plot_null_distribution(
    null: ArrayLike,
    observed: float,
    *,
    chance: float | None = None,
    label: str = "score",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Permutation null with the observed value, its 95th percentile and the one-sided p.

    Parameters
    ----------
    null : array of shape (n_permutations,)
        The score under permutation.
    observed : float
        The score of the data as they are.
    chance : float, optional
        Theoretical chance level.
    label, title, ax
        Axis label; title; where to draw.

    Notes
    -----
    ``p = (1 + #{null >= observed}) / (1 + n_permutations)`` (Phipson & Smyth 2010, equation 2).
    """
    null = check_array("null", null, ndim=1, dtype=float)
    observed = float(check_array("observed", observed, ndim=0, dtype=float))
    if null.size == 0:
        raise ValueError("null must hold at least one permutation, got none; run the permutation test.")
    ax = make_axes(ax, width=4.6, height=3.0)
    ax.hist(null, bins=min(40, max(8, null.size // 12)), color=FAINT, edgecolor="white", lw=0.5, label="null")
    ax.axvline(float(np.percentile(null, 95)), color=MUTED, lw=1.2, ls=(0, (4, 3)), label="95 % of the null")
    if chance is not None:
        ax.axvline(chance, color=MUTED, lw=1.2, ls=":", label="chance")
    ax.axvline(observed, color=WARNING, lw=2, label="observed")
    p_value = (1 + int((null >= observed - 1e-12).sum())) / (1 + null.size)
    ax.set_xlabel(label)
    ax.set_ylabel("permutations")
    ax.set_title(title or f"observed {observed:.3g}, p = {p_value:.2g} ({null.size} permutations)")
    ax.legend(loc="best")
    return ax


@styled
def plot_confusion(
    confusion: ArrayLike,
    labels: Sequence[str],
    *,
    normalise: bool = True,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Confusion matrix with the shares written in.

    Parameters
    ----------
    confusion : array of shape (n_classes, n_classes)
        Counts or shares; rows are the truth, columns the decoded class.
    labels : sequence of str, length n_classes
        Class names.
    normalise : bool
        Divide each row by its sum.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If the matrix is not square in the number of labels, has negative entries, or an empty row is to be
        normalised.
    """
    matrix = check_array("confusion", confusion, shape=(len(labels), len(labels)), minimum=0, dtype=float)
    if normalise:
        totals = matrix.sum(axis=1, keepdims=True)
        if (totals == 0).any():
            empty = labels[int(np.flatnonzero(totals[:, 0] == 0)[0])]
            raise ValueError(
                f"confusion must have cases in every row, got none for {empty!r}; leave the class out."
            )
        matrix = matrix / totals
    side = 1.9 + 0.42 * len(labels)
    ax = make_axes(ax, width=side + 0.9, height=side)
    image = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=max(float(matrix.max()), 1e-9))
    half = matrix.max() / 2
    for (row, column), share in np.ndenumerate(matrix):
        text = f"{share:.2f}".lstrip("0") if normalise and share < 1 else f"{share:.3g}"
        colour = "white" if share > half else INK
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(len(labels)), list(labels), rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(labels)), list(labels))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("decoded")
    ax.set_ylabel("shown")
    name = "share of the presentations" if normalise else "presentations"
    colourbar = get_figure(ax).colorbar(image, ax=ax, label=name, fraction=0.045, pad=0.03)
    colourbar.outline.set_visible(False)
    ax.set_title(title)
    return ax
