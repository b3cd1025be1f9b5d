"""Frames of movies beside their flow, as it is and as models see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from neurovis.plotting.motion import plot_flow
from neurovis.plotting.style import styled

_SIDE = 1.5  # of a panel [inch]


@styled
def plot_flow_fields(
    rows: Sequence[tuple[str, ArrayLike, Mapping[str, ArrayLike]]], *, unit: str = "px per frame"
) -> Axes:
    """One movie in each row: a frame, its true flow and estimates of it, all on the scale of the truth.

    Parameters
    ----------
    rows : sequence of (label, frame, flows)
        Name of the movie; frame (height, width, 3), uint8; flow fields (height, width, 2) by name [unit, x
        right, y down], the truth first. Every row has the same names.
    unit : str
        Of the flow, for the key.

    Returns
    -------
    Axes
        That of the first frame; its figure holds all.

    Raises
    ------
    ValueError
        If there is no row, or rows have other names.
    """
    names = list(rows[0][2]) if len(rows) else []
    if not names or any(list(flows) != names for _, _, flows in rows):
        raise ValueError(
            f"rows must each hold flow fields of the same names, got {[list(row[2]) for row in rows]}."
        )
    n_columns = len(names) + 1
    size = (_SIDE * (n_columns + 0.6), _SIDE * len(rows))
    _, grid = plt.subplots(len(rows), n_columns, squeeze=False, figsize=size)
    for axes, (label, frame, flows) in zip(grid, rows, strict=True):
        axes[0].imshow(np.asarray(frame))
        axes[0].set(xticks=[], yticks=[])
        axes[0].spines[:].set_visible(False)
        axes[0].set_ylabel(label)
        speed = np.linalg.norm(np.asarray(flows[names[0]], dtype=float), axis=-1)
        largest = float(np.nanpercentile(speed, 99)) or 1.0
        for ax, (name, flow) in zip(axes[1:], flows.items(), strict=True):
            plot_flow(flow, largest_ppf=largest, key=name == names[-1], unit=unit, ax=ax)
    for ax, title in zip(grid[0], ["frame", *names], strict=True):
        ax.set_title(title)
    return grid[0, 0]


@styled
def plot_film_strips(strips: Mapping[str, ArrayLike], *, n_frames: int = 5) -> Axes:
    """Movies as rows of frames, for comparison from top to bottom.

    Parameters
    ----------
    strips : mapping of str to array of shape (n_frames, height, width, 3)
        Movies of one length by name, uint8.
    n_frames : int
        Frames that are shown, spread evenly from the first to the last.

    Returns
    -------
    Axes
        That of the first frame; its figure holds all.

    Raises
    ------
    ValueError
        If there is no movie, movies differ in length, or have fewer frames than are to be shown.
    """
    movies = {name: np.asarray(movie) for name, movie in strips.items()}
    lengths = {len(movie) for movie in movies.values()}
    if len(lengths) != 1 or min(lengths) < n_frames:
        raise ValueError(
            f"strips must hold movies of one length of at least {n_frames} frames, got lengths "
            f"{sorted(lengths)}; cut them alike or lower n_frames."
        )
    shown = np.linspace(0, lengths.pop() - 1, n_frames).round().astype(int)
    _, grid = plt.subplots(
        len(movies), n_frames, squeeze=False, figsize=(_SIDE * n_frames, _SIDE * len(movies))
    )
    for axes, (name, movie) in zip(grid, movies.items(), strict=True):
        for ax, frame in zip(axes, shown, strict=True):
            ax.imshow(movie[frame])
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        axes[0].set_ylabel(name)
    for ax, frame in zip(grid[0], shown, strict=True):
        ax.set_title(f"frame {frame}")
    return grid[0, 0]
