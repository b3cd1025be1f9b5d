"""Receptive fields in the visual field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.plotting.arguments import check_grouped
from neurovis.plotting.style import FAINT, choose_colours, make_axes, styled


@styled
def plot_receptive_fields(
    x_dva: ArrayLike,
    y_dva: ArrayLike,
    sigma_dva: ArrayLike,
    *,
    regions: Sequence[str] | NDArray | None = None,
    limit_dva: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Circles of one standard deviation around every receptive-field centre.

    Parameters
    ----------
    x_dva, y_dva : arrays of shape (n,)
        Centres [degrees of visual angle]; right and up are positive.
    sigma_dva : array of shape (n,)
        Gaussian size [degrees of visual angle], not negative.
    regions : sequence of str, length n, optional
        Shown by colour.
    limit_dva : float, optional
        Half the side of the shown square; covers every centre by default.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If lengths differ or a size is negative.
    """
    x, names = check_grouped(
        "x_dva", x_dva, "regions", np.full(np.shape(x_dva), "") if regions is None else regions
    )
    y = check_array("y_dva", y_dva, shape=x.shape, dtype=float)
    sigma = check_array("sigma_dva", sigma_dva, shape=x.shape, minimum=0, dtype=float)
    limit = float(limit_dva) if limit_dva else 1.1 * float(max(np.abs(x).max(), np.abs(y).max(), 1e-6))
    ax = make_axes(ax, width=4.4, height=4.2)
    colours = choose_colours(list(dict.fromkeys(names.tolist())))
    for name, colour in colours.items():
        member = names == name
        side = 2 * sigma[member]
        ax.add_collection(
            EllipseCollection(
                side,
                side,
                np.zeros(member.sum()),
                units="xy",
                offsets=np.column_stack([x, y])[member],
                offset_transform=ax.transData,
                facecolor="none",
                edgecolor=colour,
                alpha=0.45,
                lw=0.8,
            )
        )
    ax.axhline(0, color=FAINT, lw=0.8, zorder=0)
    ax.axvline(0, color=FAINT, lw=0.8, zorder=0)
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-limit, limit)
    ax.set_aspect("equal")
    ax.set_xlabel("horizontal position [degrees of visual angle]")
    ax.set_ylabel("vertical position [degrees of visual angle]")
    ax.set_title(title)
    if regions is not None:
        handles = [Line2D([], [], color=colour, lw=2, label=name) for name, colour in colours.items()]
        ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
