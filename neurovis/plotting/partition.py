"""Variance partitions: bars per region with intervals, and Venn figures of two or three feature spaces.

Components are named as by :func:`neurovis.metrics.partitioning.name_subsets`: ``"only gabor"`` for what one
space explains alone, ``"gabor & worldnet"`` for what several share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Circle
from numpy.typing import NDArray
from scipy.optimize import brentq

from neurovis.core import check_option
from neurovis.plotting.style import FAINT, INK, MUTED, choose_colours, make_axes, styled

_COLUMNS = ("region", "component", "value", "lower", "upper")
_NARROW, _NARROW_WITH_ENDS = 0.13, 0.25  # of the figure's size: too thin to hold a number


@styled
def plot_variance_partition(
    table: pd.DataFrame,
    *,
    stacked: bool = False,
    regions: Sequence[str] | None = None,
    components: Sequence[str] | None = None,
    colours: Mapping[str, str] | None = None,
    label: str = "share of the explainable variance",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """What each component explains in every region.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``region, component, value, lower, upper``, as from
        :func:`neurovis.evaluation.partitioning.summarise_partition`; one row per region and component. NaN
        ends leave the interval out.
    stacked : bool
        One bar per region in which the components lie upon each other, negative ones below zero, with a mark
        at their sum; side by side otherwise.
    regions, components : sequence of str, optional
        Order from left to right (bottom to top); by first appearance otherwise.
    colours : mapping of str to str, optional
        Of feature spaces (without "only") or components; shared components mix the colours of their spaces.
    label, title, ax
        Axis label; title; where to draw.

    Returns
    -------
    Axes
        One bar container per component, labelled with it, in order.

    Raises
    ------
    ValueError
        If a column is missing, a component of a region is missing or repeated, or an interval is the wrong
        way round.
    """
    wide = _check_table(table, regions, components)
    order, parts = list(wide["value"].index), list(wide["value"].columns)
    palette = _mix_colours(parts, colours)
    slot = 0.8 / len(parts)
    width = 1.6 + len(order) * (0.75 if stacked else max(0.6, 0.2 * len(parts) + 0.2))
    ax = make_axes(ax, width=max(4.6, min(width, 11.0)), height=3.7)
    places = np.arange(len(order))
    above, below = np.zeros(len(order)), np.zeros(len(order))
    for number, part in enumerate(parts):
        values = wide["value"][part].to_numpy()
        bottom = np.where(values >= 0, above, below) if stacked else np.zeros(len(order))
        shift = 0.0 if stacked else (number - (len(parts) - 1) / 2) * slot
        ax.bar(
            places + shift,
            values,
            bottom=bottom,
            width=0.62 if stacked else slot * 0.92,
            color=palette[part],
            edgecolor="white",
            linewidth=0.6,
            label=part,
        )
        # Stacked intervals stand side by side, where they do not hide each other.
        spread = (number - (len(parts) - 1) / 2) * 0.5 / len(parts) if stacked else shift
        ends = bottom + np.stack([wide["lower"][part].to_numpy(), wide["upper"][part].to_numpy()])
        ax.vlines(places + spread, ends[0], ends[1], color=INK, lw=1.0)
        above, below = above + values.clip(0), below + values.clip(None, 0)
    if stacked:
        total = above + below
        ax.hlines(total, places - 0.36, places + 0.36, color=INK, lw=2.0, label="sum")
    ax.axhline(0, color=MUTED, lw=0.8)
    for place in places[1:]:
        ax.axvline(place - 0.5, color=FAINT, lw=0.6, zorder=0)
    ax.set_xticks(places, order)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, len(order) - 0.5)
    ax.set_ylabel(label)
    ax.grid(axis="y")
    # The legend stands above the bars; the title above the legend.
    columns = min(len(parts) + stacked, 4 if max(map(len, parts)) < 22 else 2)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderpad=0)
    if title:
        rows = -(-(len(parts) + stacked) // columns)
        ax.set_title(title, pad=10 + 13 * rows)
    return ax


@styled
def plot_venn(
    shares: Mapping[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    colours: Mapping[str, str] | None = None,
    label: str = "share of the explainable variance",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Circles of two or three feature spaces with the share of each region written in.

    Two circles and their overlap have the areas of their shares. Three circles are a fixed scheme, since
    circles cannot show seven areas.

    Parameters
    ----------
    shares : mapping of component to float
        ``"only a"`` for each of two or three spaces and every combination as ``"a & b"``, in one unit.
    intervals : mapping of component to (lower, upper), optional
        Written below the numbers.
    colours : mapping of str to str, optional
        Of the spaces.
    label : str
        What the numbers are, written below with their sum.
    title, ax
        Title; where to draw.

    Returns
    -------
    Axes
        The patches are the circles, in the order of the spaces.

    Raises
    ------
    ValueError
        If the components are not those of two or three spaces, or a value is not finite.

    Notes
    -----
    A negative share has no area. Its number is written, two circles draw it as 0, and a line below says so.
    Negative shared variance means that spaces suppress each other, negative unique variance overfitting.
    """
    names, values = _check_shares(shares)
    palette = choose_colours(names, dict(colours or {}))
    ax = make_axes(ax, width=4.8, height=3.9) if len(names) == 2 else make_axes(ax, width=5.4, height=5.4)
    centres, radii = _place_two(names, values) if len(names) == 2 else _place_three()
    for name, centre, radius in zip(names, centres, radii, strict=True):
        ax.add_patch(
            Circle(
                tuple(centre),
                radius,
                facecolor=(*to_rgb(palette[name]), 0.30),
                edgecolor=palette[name],
                lw=1.6,
            )
        )
    low, high = (centres - radii[:, None]).min(axis=0), (centres + radii[:, None]).max(axis=0)
    size = float((high - low).max())
    ends = {frozenset(_split(name)): pair for name, pair in (intervals or {}).items()}
    room = (_NARROW_WITH_ENDS if ends else _NARROW) * size
    spots = _find_spots(names, centres, radii, size, room)
    for component, (spot, anchor) in spots.items():
        _write_share(ax, values[component], ends.get(component), spot, anchor)
        low, high = np.minimum(low, spot - 0.1 * size), np.maximum(high, spot + 0.1 * size)
    for name, (spot, align) in _find_titles(names, centres, radii, size).items():
        ax.text(
            spot[0], spot[1], name, ha=align, va="center", color=palette[name], fontsize=10, fontweight="bold"
        )
        low, high = np.minimum(low, spot - 0.06 * size), np.maximum(high, spot + 0.06 * size)
    _write_notes(ax, values, label, to_scale=len(names) == 2)
    ax.set_xlim(low[0] - 0.08 * size, high[0] + 0.08 * size)
    ax.set_ylim(low[1] - 0.04 * size, high[1] + 0.02 * size)
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_title(title)
    return ax


def _check_table(
    table: pd.DataFrame, regions: Sequence[str] | None, components: Sequence[str] | None
) -> dict[str, pd.DataFrame]:
    """Values and ends as frames of regions by components."""
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(
            f"table must have the columns {list(_COLUMNS)}, got {list(table.columns)} without {missing}; "
            "add them."
        )
    rows = list(regions) if regions is not None else list(dict.fromkeys(table["region"]))
    columns = list(components) if components is not None else list(dict.fromkeys(table["component"]))
    for name in rows:
        check_option("each of regions", name, list(dict.fromkeys(table["region"])))
    for name in columns:
        check_option("each of components", name, list(dict.fromkeys(table["component"])))
    used = table[table["region"].isin(rows) & table["component"].isin(columns)]
    if len(used) != len(rows) * len(columns) or used.duplicated(["region", "component"]).any():
        raise ValueError(
            f"table must have one row for each of {len(rows)} regions and {len(columns)} components, got "
            f"{len(used)} rows; complete the table or name fewer."
        )
    if not np.isfinite(used["value"]).all() or (used["lower"] > used["upper"]).any():
        raise ValueError(
            "table must have finite values and lower ends below upper ones, got others; check it."
        )
    return {
        name: used.pivot_table(index="region", columns="component", values=name).loc[rows, columns]
        for name in ("value", "lower", "upper")
    }


def _mix_colours(components: Sequence[str], colours: Mapping[str, str] | None) -> dict[str, str]:
    """Colour of each component: its own, or the mean of those of its spaces."""
    members = {name: _split(name) for name in components}
    spaces = list(dict.fromkeys(space for own in members.values() for space in own))
    given = {name: colour for name, colour in (colours or {}).items() if name in spaces}
    palette = choose_colours(spaces, given)
    mixed = {
        name: to_hex(np.mean([to_rgb(palette[space]) for space in own], axis=0))
        for name, own in members.items()
    }
    return {**mixed, **{name: colour for name, colour in (colours or {}).items() if name in members}}


def _split(component: str) -> list[str]:
    return component.removeprefix("only ").split(" & ")


def _check_shares(shares: Mapping[str, float]) -> tuple[list[str], dict[frozenset[str], float]]:
    """Names of the spaces, and the share of each set of them."""
    values = {frozenset(_split(name)): float(share) for name, share in shares.items()}
    names = [_split(name)[0] for name in shares if name.startswith("only ")]
    if len(names) not in (2, 3) or len(values) != 2 ** len(names) - 1 or set().union(*values) != set(names):
        raise ValueError(
            "shares must hold 'only a', 'only b', 'a & b' for two spaces, or the seven components of three, "
            f"got {list(shares)}; name them as name_subsets does."
        )
    if not np.isfinite(list(values.values())).all():
        raise ValueError(f"shares must be finite, got {dict(shares)}; leave out what was not estimated.")
    return names, values


def _place_two(
    names: Sequence[str], values: Mapping[frozenset[str], float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and radii such that circles and overlap have the areas of the shares; no area below 0."""
    shared = max(values[frozenset(names)], 0.0)
    alone = np.array([max(values[frozenset([name])], 0.0) for name in names])
    radii = np.sqrt((alone + shared) / np.pi)
    if not radii.any():
        radii = np.full(2, 0.5)
    radii = np.maximum(radii, 0.08 * radii.max())
    near, far = abs(radii[0] - radii[1]), radii.sum()
    if shared <= 0:
        distance = 1.06 * far
    elif shared >= _overlap(near, radii):
        distance = near
    else:
        distance = brentq(lambda d: _overlap(d, radii) - shared, near, far)
    return np.array([[-distance / 2, 0.0], [distance / 2, 0.0]]), radii


def _overlap(distance: float, radii: NDArray[np.float64]) -> float:
    """Area that two circles share."""
    small, large = sorted(radii)
    if distance <= large - small:
        return float(np.pi * small**2)
    if distance >= small + large:
        return 0.0
    ends = [(distance**2 + own**2 - other**2) / (2 * distance) for own, other in (radii, radii[::-1])]
    angles = [np.arccos(np.clip(end / own, -1, 1)) for end, own in zip(ends, radii, strict=True)]
    sectors = sum(own**2 * (angle - np.sin(2 * angle) / 2) for own, angle in zip(radii, angles, strict=True))
    return float(sectors)


def _place_three() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angle = np.pi / 2 + 2 * np.pi / 3 * np.array([1, 2, 0])
    return 0.66 * np.stack([np.cos(angle), np.sin(angle)], axis=1), np.ones(3)


def _find_spots(
    names: Sequence[str], centres: NDArray[np.float64], radii: NDArray[np.float64], size: float, room: float
) -> dict[frozenset[str], tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
    """Where each number stands, and the place that it points to if its region cannot hold it."""
    if len(names) == 3:
        middle = centres.mean(axis=0)
        spots = {frozenset([name]): 1.68 * own for name, own in zip(names, centres, strict=True)}
        for left_out, own in zip(names, centres, strict=True):
            spots[frozenset(names) - {left_out}] = -0.98 * own
        spots[frozenset(names)] = middle
        return {component: (spot, None) for component, spot in spots.items()}
    left, right = centres[:, 0] - radii, centres[:, 0] + radii
    inner = np.array([max(left), min(right)])
    if inner[0] > inner[1]:
        inner = np.array([inner.mean(), inner.mean()])
    spans = {
        frozenset([names[0]]): (left[0], inner[0]),
        frozenset(names): (inner[0], inner[1]),
        frozenset([names[1]]): (inner[1], right[1]),
    }
    found: dict[frozenset[str], tuple[NDArray[np.float64], NDArray[np.float64] | None]] = {}
    for number, (component, (start, stop)) in enumerate(spans.items()):
        anchor = np.array([(start + stop) / 2, 0.0])
        if stop - start >= room:
            found[component] = (anchor, None)
            continue
        # Beside the figure for a space, below it for the overlap.
        aside = (left.min() - 0.14 * size, anchor[0], right.max() + 0.14 * size)[number]
        depth = (-0.3, -0.12, -0.3)[number] * size - (radii.max() if number == 1 else 0.0)
        found[component] = (np.array([aside, depth]), anchor)
    return found


def _find_titles(
    names: Sequence[str], centres: NDArray[np.float64], radii: NDArray[np.float64], size: float
) -> dict[str, tuple[NDArray[np.float64], str]]:
    if len(names) == 3:
        return {
            names[0]: (np.array([-1.0, -1.5]), "center"),
            names[1]: (np.array([1.0, -1.5]), "center"),
            names[2]: (np.array([0.0, 1.8]), "center"),
        }
    top = radii.max() + 0.08 * size
    outer = [centres[0, 0] - 0.5 * radii[0], centres[1, 0] + 0.5 * radii[1]]
    return {
        names[0]: (np.array([outer[0], top]), "right" if outer[1] - outer[0] < 0.4 * size else "center"),
        names[1]: (np.array([outer[1], top]), "left" if outer[1] - outer[0] < 0.4 * size else "center"),
    }


def _write_share(
    ax: Axes,
    value: float,
    interval: tuple[float, float] | None,
    spot: NDArray[np.float64],
    anchor: NDArray[np.float64] | None,
) -> None:
    if anchor is not None:
        ax.plot(*np.stack([spot, anchor]).T, color=MUTED, lw=0.8, zorder=3)
        ax.plot(*anchor, "o", ms=2.5, color=MUTED, zorder=3)
    background: Any = None if anchor is None else {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    for text, vertical, size in (
        (_format(value), "center" if interval is None else "bottom", 11),
        ("" if interval is None else f"{_format(interval[0])} to {_format(interval[1])}", "top", 7),
    ):
        ax.text(
            spot[0],
            spot[1],
            text,
            ha="center",
            va=vertical,
            fontsize=size,
            color=INK,
            bbox=background,
            zorder=4,
        )


def _write_notes(ax: Axes, values: Mapping[frozenset[str], float], label: str, *, to_scale: bool) -> None:
    lines = [f"{label}; sum {_format(sum(values.values()))}"]
    if to_scale and any(value < 0 for value in values.values()):
        lines.append("negative shares are written, not drawn")
    if not to_scale:
        lines.append("areas are not to scale")
    ax.text(
        0.5, -0.02, "\n".join(lines), transform=ax.transAxes, ha="center", va="top", fontsize=8, color=MUTED
    )


def _format(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
