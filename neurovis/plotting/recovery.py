"""Estimates beside the truth: scatter with the identity line, and intervals beside their targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.plotting.arguments import check_grouped, check_interval
from neurovis.plotting.style import (
    ACCENT,
    FAINT,
    INK,
    MUTED,
    WARNING,
    add_group_legend,
    add_note,
    choose_colours,
    get_figure,
    make_axes,
    styled,
)

_DENSE = 4000


@styled
def plot_recovery(
    truth: ArrayLike,
    estimate: ArrayLike,
    *,
    groups: Sequence[str] | NDArray | None = None,
    label: str = "value",
    tolerance: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Estimated against true values, with the identity line.

    Parameters
    ----------
    truth, estimate : arrays of shape (n,)
        In the same unit; pairs with NaN are left out.
    groups : sequence of str, length n, optional
        Shown by colour, for example the region.
    label : str
        Quantity and unit, e.g. ``"noise ceiling (Pearson r)"``.
    tolerance : float, optional
        Relative band around the identity, e.g. 0.05.
    title, ax
        Title; where to draw.

    Returns
    -------
    Axes
        With the correlation, the median deviation and the number of cases written in a corner. More than
        4000 cases without groups are drawn as a density of hexagons.

    Raises
    ------
    ValueError
        If lengths differ or fewer than two pairs are finite.
    """
    true = check_array("truth", truth, ndim=1, finite=False, dtype=float)
    found = check_array("estimate", estimate, shape=true.shape, finite=False, dtype=float)
    keep = np.isfinite(true) & np.isfinite(found)
    if keep.sum() < 2:
        raise ValueError(f"truth and estimate must share two finite cases, got {keep.sum()}; check for NaN.")
    ax = make_axes(ax, width=4.6, height=4.2)
    x, y = true[keep], found[keep]
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.04 * (high - low) or 0.5
    ends = np.array([low - margin, high + margin])
    if tolerance is not None:
        band = np.abs(ends) * tolerance
        ax.fill_between(
            ends, ends - band, ends + band, color=FAINT, lw=0, zorder=0, label=f"±{tolerance:.0%}"
        )
    ax.plot(ends, ends, color=INK, lw=1, zorder=1 if groups is None else 0)
    if groups is None and keep.sum() > _DENSE:
        extent = (*ends, *ends)
        image = ax.hexbin(x, y, gridsize=60, extent=extent, cmap="Blues", norm=LogNorm(), mincnt=1, lw=0)
        get_figure(ax).colorbar(image, ax=ax, label="cases", fraction=0.045, pad=0.03)
    else:
        _, names = check_grouped(
            "truth", true, "groups", np.full(true.shape, "") if groups is None else groups
        )
        colours = choose_colours(list(dict.fromkeys(names[keep].tolist())))
        size = float(np.clip(900 / keep.sum(), 3, 18))
        for name, colour in colours.items():
            member = names[keep] == name
            ax.scatter(
                x[member],
                y[member],
                s=size,
                alpha=0.5,
                lw=0,
                label=name or None,
                color=colour if groups is not None else ACCENT,
            )
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    ax.set_aspect("equal")
    ax.set_xlabel(f"true {label}")
    ax.set_ylabel(f"estimated {label}")
    ax.set_title(title)
    r = float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) > 0 and np.ptp(y) > 0 else float("nan")
    add_note(ax, f"r = {r:.3f}\nmedian deviation = {np.median(y - x):+.2g}\nn = {keep.sum()}")
    if groups is not None or tolerance is not None:
        add_group_legend(ax)
    return ax


@styled
def plot_intervals(
    labels: Sequence[str],
    values: ArrayLike,
    *,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    targets: ArrayLike | None = None,
    chance: ArrayLike | None = None,
    null_upper: ArrayLike | None = None,
    passed: Sequence[bool] | NDArray | None = None,
    label: str = "value (95 % interval)",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Forest plot: one line a quantity with its interval, target, chance and null.

    Parameters
    ----------
    labels : sequence of str, length n
        Quantities from top to bottom.
    values : array of shape (n,)
        Point estimates, all on one scale.
    lower, upper : arrays of shape (n,), optional
        Interval ends, given together; NaN where there is none.
    targets : array of shape (n,), optional
        What was to be reached; a dark tick.
    chance : array of shape (n,), optional
        Chance level; a dotted tick.
    null_upper : array of shape (n,), optional
        95th percentile of the permutation null; a grey bar from chance (or 0) to it.
    passed : sequence of bool, length n, optional
        Colours the points: blue where true, vermilion where not.
    label, title, ax
        Axis label with unit; title; where to draw.

    Raises
    ------
    ValueError
        If a length differs from that of ``labels``.
    """
    shape = (len(labels),)
    values = check_array("values", values, shape=shape, finite=False, dtype=float)
    ends = check_interval(lower, upper, shape)
    ax = make_axes(ax, width=6.5, height=0.9 + 0.29 * len(labels))
    places = np.arange(len(labels))
    start = np.zeros(shape)
    if chance is not None:
        start = check_array("chance", chance, shape=shape, finite=False, dtype=float)
    if null_upper is not None:
        null = check_array("null_upper", null_upper, shape=shape, finite=False, dtype=float)
        left = np.nan_to_num(start)
        ax.barh(places, null - left, left=left, height=0.62, color=FAINT, lw=0, label="null, up to its 95 %")
    if chance is not None:
        ax.vlines(start, places - 0.36, places + 0.36, color=MUTED, lw=1.2, ls=":", label="chance")
    if targets is not None:
        target = check_array("targets", targets, shape=shape, finite=False, dtype=float)
        ax.vlines(target, places - 0.36, places + 0.36, color=INK, lw=1.8, label="target")
    good = np.ones(shape, dtype=bool) if passed is None else np.asarray(passed, dtype=bool)
    if good.shape != shape:
        raise ValueError(f"passed must have length {len(labels)}, got {len(good)}; one entry a label.")
    for row, ok in enumerate(good):
        colour = ACCENT if ok else WARNING
        if ends is not None:
            ax.hlines(row, ends[0][row], ends[1][row], color=colour, lw=2)
        ax.plot(values[row], row, "o" if ok else "X", ms=6, color=colour)
    ax.set_yticks(places, list(labels))
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_xlabel(label)
    ax.set_title(title)
    if targets is not None or chance is not None or null_upper is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderpad=0)
    return ax
