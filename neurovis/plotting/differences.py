"""Paired differences between models, region by region."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from neurovis.plotting.style import FAINT, MUTED, choose_colours, make_axes, styled

_COLUMNS = ("model_a", "model_b", "difference", "ci_low", "ci_high", "q_value")


@styled
def plot_model_differences(
    table: pd.DataFrame,
    *,
    by: str = "region",
    level: float = 0.05,
    label: str = "difference of median Pearson r",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Difference of every model to the one they are compared with, with intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`neurovis.evaluation.comparison.compare_models` with one reference.
    by : str
        Column of the groups.
    level : float
        Marks whose ``q_value`` is at most this are filled.
    label, title, ax
        Axis label; title; where to draw.

    Raises
    ------
    ValueError
        If a column is missing or the models are compared with several others.
    """
    missing = [column for column in (by, *_COLUMNS) if column not in table.columns]
    if missing:
        raise ValueError(f"table must have the columns {missing}, got {list(table.columns)}.")
    if len(set(table["model_b"])) != 1:
        raise ValueError(
            f"table must compare models with a single one, got {table['model_b'].unique().tolist()}; pass "
            "reference to compare_models."
        )
    groups, models = (list(pd.unique(table[column])) for column in (by, "model_a"))
    colours = choose_colours(models)
    ax = make_axes(ax, width=max(4.5, 1.8 + 0.6 * len(groups)), height=3.5)
    offsets = np.linspace(-0.28, 0.28, len(models)) if len(models) > 1 else np.zeros(1)
    for model, offset in zip(models, offsets, strict=True):
        rows = table[table["model_a"] == model].set_index(by).loc[groups]
        places = np.arange(len(groups)) + offset
        colour = colours[model]
        ax.vlines(places, rows["ci_low"], rows["ci_high"], color=colour, lw=1.6, alpha=0.8)
        passing = (rows["q_value"] <= level).to_numpy()
        for chosen, face in ((passing, colour), (~passing, "white")):
            ax.plot(places[chosen], rows["difference"][chosen], "o", ms=5, color=colour, markerfacecolor=face)
        ax.plot([], [], "o", ms=5, color=colour, label=model)
    for place in range(1, len(groups)):
        ax.axvline(place - 0.5, color=FAINT, lw=0.6, zorder=0)
    ax.axhline(0, color=MUTED, lw=1.0, zorder=0)
    ax.set_xticks(np.arange(len(groups)), groups)
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_ylabel(label)
    ax.grid(axis="y")
    ax.set_title(title)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=min(4, len(models)), borderpad=0)
    return ax
