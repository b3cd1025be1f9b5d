"""Words that tell groups of texts apart, larger the more they do."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovis.plotting.style import ACCENT, FAINT, INK, make_axes, styled

_COLUMNS = ("word", "z")


@styled
def plot_words(
    table: pd.DataFrame,
    *,
    by: str = "region",
    n_words: int = 7,
    level: float = 1.96,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Column of words for each group, in the order and size of their z.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``word`` and ``z`` (log-odds against the base rate over its standard error) and the groups.
    by : str
        Column of the groups.
    n_words : int
        Words of a group.
    level : float
        Words with a z above this are coloured; the others are grey.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If a column is missing or there is no row.
    """
    missing = [column for column in (by, *_COLUMNS) if column not in table.columns]
    if missing or table.empty:
        raise ValueError(f"table must have rows and the columns {(by, *_COLUMNS)}, missing {missing}.")
    groups = [str(name) for name in pd.unique(table[by])]
    ax = make_axes(ax, width=max(4.0, 1.05 * len(groups)), height=0.5 + 0.3 * n_words)
    largest = max(float(table["z"].max()), level)
    names = table[by].astype(str)
    for column, group in enumerate(groups):
        best = table[names == group].nlargest(n_words, "z")
        for row, (word, z) in enumerate(zip(best["word"], best["z"], strict=True)):
            size = 6.5 + 6.5 * np.sqrt(max(z, 0.0) / largest)
            colour = ACCENT if z > level else FAINT
            ax.text(column, -row, word, ha="center", va="center", fontsize=size, color=colour)
        ax.text(column, 1.0, group, ha="center", va="center", fontsize=9, color=INK, weight="bold")
    ax.set(xlim=(-0.6, len(groups) - 0.4), ylim=(-n_words + 0.3, 1.5))
    ax.set_axis_off()
    ax.set_title(title)
    return ax
