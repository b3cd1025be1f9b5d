"""What ran when, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.plotting.arguments import check_grouped
from neurovis.plotting.style import INK, choose_colours, make_axes, styled


@styled
def plot_timeline(
    steps: Sequence[str],
    start_s: ArrayLike,
    duration_s: ArrayLike,
    *,
    groups: Sequence[str] | NDArray | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One bar a step, from its start to its end.

    Parameters
    ----------
    steps : sequence of str, length n
        Names; drawn by start, the earliest on top.
    start_s, duration_s : arrays of shape (n,)
        Start after the first step's start, and duration [s].
    groups : sequence of str, length n, optional
        Shown by colour.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If lengths differ or a duration is negative.
    """
    start = check_array("start_s", start_s, shape=(len(steps),), dtype=float)
    duration = check_array("duration_s", duration_s, shape=(len(steps),), minimum=0, dtype=float)
    _, names = check_grouped("start_s", start, "groups", [""] * len(steps) if groups is None else groups)
    earliest_first = np.argsort(start, kind="stable")
    colours = choose_colours(list(dict.fromkeys(names[earliest_first].tolist())))
    ax = make_axes(ax, width=7.6, height=0.8 + 0.21 * len(steps))
    labelled: set[str] = set()
    for row, index in enumerate(earliest_first):
        name = str(names[index])
        new = groups is not None and name not in labelled
        labelled.add(name)
        ax.barh(
            row,
            duration[index],
            left=start[index],
            height=0.66,
            color=colours[name],
            lw=0,
            label=name if new else None,
        )
        ax.annotate(
            f"{duration[index]:.1f} s",
            (start[index] + duration[index], row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=INK,
        )
    ax.set_yticks(range(len(steps)), [steps[index] for index in earliest_first])
    ax.set_ylim(len(steps) - 0.4, -0.6)
    ax.set_xlim(0, float((start + duration).max(initial=1.0)) * 1.08)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
    ax.set_xlabel("time after the first step began [s]")
    ax.set_title(title)
    if groups is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=8, borderpad=0)
    return ax
