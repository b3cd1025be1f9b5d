"""One quiet look for every figure: sizes for a report page, colours safe for colour-blind readers.

The categorical palette is that of Okabe & Ito (2008, "Color Universal Design"); yellow is darkened so
that it can be told from white paper.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure, SubFigure

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")

INK = "#1f2933"
MUTED = "#7b8794"
FAINT = "#d9dee3"
ACCENT = "#0072b2"
WARNING = "#d55e00"

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#4b4b4b")

CATEGORY_COLOURS = {
    "face": "#d55e00",
    "body": "#cc79a7",
    "place": "#009e73",
    "word": "#0072b2",
    "food": "#e69f00",
    "object": "#56b4e9",
}

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "font.size": 9,
    "grid.color": "#e8ebee",
    "grid.linewidth": 0.7,
    "image.interpolation": "nearest",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "savefig.dpi": 120,
    "svg.fonttype": "none",
    "svg.hashsalt": "neurovis",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
    "ytick.major.size": 3,
}


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Decorator: draw inside the house style, whatever the caller's settings are."""

    @functools.wraps(draw)
    def draw_styled(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with mpl.rc_context(STYLE):
            drawn = draw(*args, **kwargs)
            interactive = mpl.is_interactive()
        # A notebook's backend is loaded with the first figure and turns interaction on, which must survive.
        mpl.interactive(interactive)
        return drawn

    return draw_styled


def make_axes(ax: Axes | None, *, width: float = 6.5, height: float = 3.6) -> Axes:
    """``ax`` itself, or the Axes of a new figure of this size [inch]."""
    if ax is not None:
        return ax
    _, new = plt.subplots(figsize=(width, height))
    return new


def get_figure(ax: Axes) -> Figure | SubFigure:
    """The figure that holds ``ax``.

    Raises
    ------
    ValueError
        If the Axes were removed from their figure.
    """
    figure = ax.figure
    if figure is None:
        raise ValueError("ax must belong to a figure, got removed Axes; make new ones.")
    return figure


def choose_colours(names: Sequence[str], colours: dict[str, str] | None = None) -> dict[str, str]:
    """Colour of each name: the given one, else that of its category, else the next of the palette.

    Parameters
    ----------
    names : sequence of str
        Distinct names, in order of appearance.
    colours : dict of str to str, optional
        Fixed colours for some or all names.
    """
    fixed = {**CATEGORY_COLOURS, **(colours or {})}
    taken = {fixed[name] for name in names if name in fixed}
    free = [colour for colour in PALETTE if colour not in taken] or list(PALETTE)
    unnamed = [name for name in names if name not in fixed]
    chosen = {name: free[index % len(free)] for index, name in enumerate(unnamed)}
    return {name: fixed.get(name, chosen.get(name, MUTED)) for name in names}


def add_note(ax: Axes, text: str, *, corner: str = "lower right") -> None:
    """Small muted text in a corner (``"upper left"`` and so on), for numbers that belong to the picture."""
    vertical, horizontal = corner.split()
    ax.text(
        0.98 if horizontal == "right" else 0.02,
        0.97 if vertical == "upper" else 0.03,
        text,
        transform=ax.transAxes,
        ha=horizontal,
        va="top" if vertical == "upper" else "bottom",
        fontsize=8,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )


def add_group_legend(ax: Axes) -> None:
    """Legend whose marks are large and opaque however small and pale the points are."""
    legend = ax.legend(loc="upper left")
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([26.0])
            handle.set_alpha(1.0)
