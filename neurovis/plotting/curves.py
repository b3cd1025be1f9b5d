"""Lines over what is varied, with intervals: guidance scales, fixations made, angles of rotation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovis.core import check_option
from neurovis.plotting.style import INK, MUTED, choose_colours, make_axes, styled

SCALES = ("linear", "log", "symlog")


@styled
def plot_curves(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    interval: tuple[str, str] | None = ("ci_low", "ci_high"),
    dashed: Sequence[str] = (),
    reference: float | None = None,
    reference_label: str = "",
    scale: str = "linear",
    x_label: str = "",
    y_label: str = "",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One line for each group, with the interval as a band.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each point.
    x, y : str
        Columns of the variable and of the value.
    by : str
        Column of the groups; their order of appearance is that of the legend.
    interval : (str, str), optional
        Columns of both ends.
    dashed : sequence of str
        Groups drawn with dashes: controls and baselines.
    reference : float, optional
        Level of a horizontal line, such as chance.
    reference_label : str
        Its name.
    scale : {"linear", "log", "symlog"}
        Of the variable; "symlog" keeps zero on the axis.
    x_label, y_label, title, ax
        Axis labels, default the columns; title; where to draw.

    Raises
    ------
    ValueError
        If a column is missing, there is no row, or the scale is unknown.
    """
    needed = [x, y, by, *(interval or ())]
    missing = [column for column in needed if column not in table.columns]
    if missing or table.empty:
        raise ValueError(
            f"table must have rows and the columns {needed}, got {len(table)} rows without {missing}."
        )
    check_option("scale", scale, SCALES)
    groups = [str(name) for name in pd.unique(table[by])]
    colours = choose_colours(groups)
    ax = make_axes(ax, width=6.2, height=3.6)
    labels = table[by].astype(str)
    for name in groups:
        rows = table[labels == name].sort_values(x)
        style = "--" if name in dashed else "-"
        few = len(rows) <= 15
        ax.plot(
            rows[x],
            rows[y],
            style,
            color=colours[name],
            lw=1.7,
            marker="o" if few else None,
            ms=3.5,
            label=name,
        )
        if interval is not None:
            ax.fill_between(
                rows[x], rows[interval[0]], rows[interval[1]], color=colours[name], alpha=0.15, lw=0
            )
    if reference is not None:
        ax.axhline(reference, color=MUTED, lw=0.9, ls=":", zorder=0)
        ax.annotate(
            reference_label, (1, reference), xycoords=("axes fraction", "data"), ha="right", va="bottom",
            fontsize=8, color=INK,
        )  # fmt: skip
    if scale == "log":
        ax.set_xscale("log")
    elif scale == "symlog":
        positive = table[x].to_numpy(dtype=float)
        ax.set_xscale("symlog", linthresh=float(np.min(positive[positive > 0], initial=1.0)))
    ax.set(xlabel=x_label or x, ylabel=y_label or y)
    ax.grid(axis="y")
    ax.set_title(title)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderpad=0)
    return ax
