"""Where people and models look: scanpaths on their image, densities, and windows that grow from the fovea."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from numpy.typing import ArrayLike

from neurovis.core import Fixations, check_array
from neurovis.plotting.style import (
    ACCENT,
    FAINT,
    INK,
    MUTED,
    WARNING,
    choose_colours,
    get_figure,
    make_axes,
    styled,
)


@styled
def plot_scanpath(
    image: ArrayLike,
    scanpaths: Mapping[str, Fixations],
    *,
    box_px: tuple[float, float, float, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Fixations on an image, numbered in their order and joined.

    Parameters
    ----------
    image : array of shape (height, width[, 3])
        uint8.
    scanpaths : mapping of str to Fixations
        One scanpath for each name, e.g. of a person and of a model.
    box_px : tuple of float, optional
        (top, left, bottom, right) of the target [px].
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If a scanpath has no fixation.
    """
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    ax = make_axes(ax, width=3.4, height=3.4 * height / width + 0.3)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    colours = choose_colours(list(scanpaths))
    for name, rows in scanpaths.items():
        if rows.empty:
            raise ValueError(f"scanpaths must hold fixations, got none for {name!r}; leave it out.")
        x, y = rows["x_px"].to_numpy(), rows["y_px"].to_numpy()
        ax.plot(x, y, "-", color=colours[name], lw=1.3, alpha=0.9, label=name)
        ax.plot(x, y, "o", color=colours[name], ms=8.5, markeredgecolor="white", markeredgewidth=0.8)
        for number, (u, v) in enumerate(zip(x, y, strict=True), start=1):
            ax.text(u, v, str(number), ha="center", va="center", fontsize=5.5, color="white")
    if box_px is not None:
        top, left, bottom, right = box_px
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=WARNING, lw=1.6))
    ax.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    if len(scanpaths) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.01), ncols=len(scanpaths), borderpad=0)
    return ax


@styled
def plot_scanpath_panels(
    panels: Sequence[
        tuple[str, ArrayLike, Mapping[str, Fixations], tuple[float, float, float, float] | None]
    ],
    *,
    n_columns: int = 4,
) -> Axes:
    """Several images with scanpaths on one sheet.

    Parameters
    ----------
    panels : sequence of (title, image, scanpaths, box_px)
        As :func:`plot_scanpath`.
    n_columns : int
        Panels in a row.

    Returns
    -------
    Axes
        That of the first panel; its figure holds all.

    Raises
    ------
    ValueError
        If there is no panel, or as :func:`plot_scanpath`.
    """
    if not panels:
        raise ValueError("panels must hold at least one image, got none.")
    n_columns = min(n_columns, len(panels))
    n_rows = -(-len(panels) // n_columns)
    _, grid = plt.subplots(n_rows, n_columns, squeeze=False, figsize=(2.35 * n_columns, 2.6 * n_rows))
    for ax, panel in zip(grid.flat, panels, strict=False):
        title, image, scanpaths, box_px = panel
        plot_scanpath(image, scanpaths, box_px=box_px, title=title, ax=ax)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    return grid[0, 0]


@styled
def plot_asymmetry(
    table: pd.DataFrame,
    *,
    people: str = "humans",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Index of search asymmetry of people and models, experiment by experiment.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``searcher``, ``experiment`` and ``index`` (-1 to 1; positive has the polarity of people);
        with ``ci_low`` and ``ci_high`` intervals are drawn.
    people : str
        The searcher drawn in black.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    missing = [column for column in ("searcher", "experiment", "index") if column not in table.columns]
    if missing:
        raise ValueError(f"table must have the columns {missing}, got {list(table.columns)}.")
    searchers = [str(name) for name in pd.unique(table["searcher"])]
    experiments = [str(name) for name in pd.unique(table["experiment"])]
    colours = choose_colours(searchers, {people: INK})
    ax = make_axes(ax, width=max(6.0, 1.15 * len(experiments) + 1.5), height=3.3)
    width = 0.8 / len(searchers)
    for number, name in enumerate(searchers):
        rows = table[table["searcher"] == name].set_index("experiment").reindex(experiments)
        places = np.arange(len(experiments)) + (number - (len(searchers) - 1) / 2) * width
        ax.bar(places, rows["index"], width * 0.9, color=colours[name], label=name)
        if {"ci_low", "ci_high"} <= set(table.columns):
            ax.vlines(places, rows["ci_low"], rows["ci_high"], color=MUTED, lw=1.2)
    ax.axhline(0, color=INK, lw=0.8)
    ax.set_xticks(range(len(experiments)), experiments)
    ax.tick_params(axis="x", length=0)
    ax.set(ylim=(-1.05, 1.05), ylabel="asymmetry index")
    ax.grid(axis="y")
    ax.set_title(title)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(5, len(searchers)), borderpad=0)
    return ax


@styled
def plot_gaze_comparison(
    models: Sequence[str],
    gain: ArrayLike,
    roles: Sequence[str],
    *,
    lower: ArrayLike,
    upper: ArrayLike,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Information gain of gaze models as bars, with chance, centre bias and the human ceiling as lines.

    Parameters
    ----------
    models : sequence of str, length n
        Names.
    gain : array of shape (n,)
        Bits per fixation over a uniform density.
    roles : sequence of str, length n
        "chance", "baseline", "model" or "ceiling"; models are bars from top to bottom, the others lines.
    lower, upper : arrays of shape (n,)
        Ends of the intervals.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If a length differs or there is no model.
    """
    shape = (len(models),)
    values, low, high = (
        check_array(name, given, shape=shape, dtype=float)
        for name, given in (("gain", gain), ("lower", lower), ("upper", upper))
    )
    bars = [row for row, role in enumerate(roles) if role == "model"]
    if len(roles) != len(models) or not bars:
        raise ValueError(f"roles must be one for each of {len(models)} models, at least one 'model'.")
    ax = make_axes(ax, width=5.6, height=1.3 + 0.36 * len(bars))
    places = np.arange(len(bars))
    ax.barh(places, values[bars], height=0.62, color=ACCENT)
    ax.hlines(places, low[bars], high[bars], color=INK, lw=1.6)
    lines = {"chance": (MUTED, ":"), "baseline": (INK, "--"), "ceiling": (WARNING, "-")}
    for row, role in enumerate(roles):
        if role in lines:
            colour, dash = lines[role]
            ax.axvspan(low[row], high[row], color=colour, alpha=0.12, lw=0, zorder=0)
            ax.axvline(values[row], color=colour, ls=dash, lw=1.4, label=models[row])
    ax.set_yticks(places, [models[row] for row in bars])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.set_xlabel("information gain over a uniform density [bits / fixation]")
    ax.set_title(title)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderpad=0)
    return ax


@styled
def plot_pooling_rings(
    layers: Mapping[str, Sequence[tuple[float, int]]],
    *,
    n_out: Mapping[str, int],
) -> Axes:
    """Windows of eccentricity-dependent pooling, ring by ring, on the output map of each layer.

    Parameters
    ----------
    layers : mapping of str to sequence of (radius_px, size_px)
        Outer radius of each ring on the output map, infinite for the last one, and side of its windows on the
        input map.
    n_out : mapping of str to int
        Side of the output map [px].

    Returns
    -------
    Axes
        That of the first layer; its figure holds all.

    Raises
    ------
    ValueError
        If there is no layer or the names differ.
    """
    if not layers or set(layers) != set(n_out):
        raise ValueError(f"layers and n_out must have the same names, got {list(layers)} and {list(n_out)}.")
    _, grid = plt.subplots(1, len(layers), squeeze=False, figsize=(2.7 * len(layers) + 0.6, 2.7))
    largest = max(size for rings in layers.values() for _, size in rings)
    colours = plt.get_cmap("Blues")
    for ax, (name, rings) in zip(grid[0], layers.items(), strict=True):
        side = n_out[name]
        last = rings[-1][1]
        ax.add_patch(Rectangle((0, 0), side, side, color=colours(0.1 + 0.8 * last / largest), lw=0))
        for radius, size in reversed(rings[:-1]):
            shade = colours(0.1 + 0.8 * size / largest)
            ax.add_patch(Circle((side / 2, side / 2), radius, facecolor=shade, edgecolor="white", lw=0.5))
        text = ", ".join(dict.fromkeys(str(size) for _, size in rings))
        ax.set(xlim=(0, side), ylim=(side, 0), aspect="equal", xlabel=f"windows of {text} px")
        ax.set_title(f"{name} ({side} x {side})")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return grid[0, 0]


@styled
def plot_fixation_map(
    image: ArrayLike,
    fixation_map: ArrayLike,
    *,
    extent: tuple[float, float] = (0.0, 1.0),
    box_px: tuple[float, float, float, float] | None = None,
    label: str = "probability of the true class",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Value of a map over fixations, laid over the image that is looked at.

    Parameters
    ----------
    image : array of shape (height, width, 3)
        uint8.
    fixation_map : array of shape (n_y, n_x)
        Value for a regular grid of fixations from edge to edge of ``extent``.
    extent : (float, float)
        First and last fixation as shares of the image's sides.
    box_px : tuple of float, optional
        (top, left, bottom, right) of the object [px].
    label, title, ax
        Colour bar's label; title; where to draw.

    Raises
    ------
    ValueError
        If the map is not two-dimensional.
    """
    values = check_array("fixation_map", fixation_map, ndim=2, finite=False, dtype=float)
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    ax = make_axes(ax, width=3.6, height=3.0 * height / width + 0.3)
    ax.imshow(pixels.mean(axis=-1), cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    low, high = extent
    # The grid names middles of cells; the picture reaches half a step further.
    down, across = ((high - low) / max(n - 1, 1) / 2 for n in values.shape)
    x, y = ((low - across) * width, (high + across) * width), ((high + down) * height, (low - down) * height)
    drawn = ax.imshow(values, cmap="inferno", alpha=0.55, vmin=0, interpolation="bilinear", extent=(*x, *y))
    if box_px is not None:
        top, left, bottom, right = box_px
        ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, ec=FAINT, lw=1.6))
    ax.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    ax.spines[:].set_visible(False)
    bar = get_figure(ax).colorbar(drawn, ax=ax, shrink=0.8)
    bar.set_label(label)
    bar.outline.set_visible(False)
    ax.set_title(title)
    return ax
