"""Pictures in named rows: what a region prefers, beside what the world holds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.plotting.style import INK, get_figure, make_axes, styled

_SIDE = 0.85  # of a picture [inch]


@styled
def plot_galleries(
    rows: Mapping[str, Mapping[str, Sequence[NDArray]]],
    *,
    n_shown: int = 6,
) -> Axes:
    """A row for each name and a block of pictures for each kind, for example a region's best guided images.

    Parameters
    ----------
    rows : mapping of row name to mapping of kind to images
        Images (height, width, 3), uint8. All rows have the same kinds.
    n_shown : int
        Pictures of a kind, from its first.

    Returns
    -------
    Axes
        That of the first block; its figure holds all.

    Raises
    ------
    ValueError
        If there is no row, rows have other kinds, or a kind has no picture.
    """
    kinds = list(next(iter(rows.values()), {}))
    if not kinds or any(
        list(blocks) != kinds or not all(map(len, blocks.values())) for blocks in rows.values()
    ):
        counts = {name: {kind: len(found) for kind, found in blocks.items()} for name, blocks in rows.items()}
        raise ValueError(f"rows must each hold pictures of the same kinds, got {counts}.")
    size = (_SIDE * (n_shown + 0.3) * len(kinds) + 0.6, _SIDE * len(rows) + 0.35)
    _, grid = plt.subplots(len(rows), len(kinds), squeeze=False, figsize=size)
    for axes, (name, blocks) in zip(grid, rows.items(), strict=True):
        for ax, kind in zip(axes, kinds, strict=True):
            ax.imshow(_join([np.asarray(image) for image in blocks[kind][:n_shown]], n_shown))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, kind in zip(grid[0], kinds, strict=True):
        ax.set_title(kind)
    return grid[0, 0]


@styled
def plot_captioned_images(
    rows: Mapping[str, Sequence[tuple[NDArray, str]]],
    *,
    n_shown: int = 5,
    n_letters: int = 26,
) -> Axes:
    """A row of pictures for each name, each below its caption.

    Parameters
    ----------
    rows : mapping of row name to sequence of (image, caption)
        Images (height, width, 3), uint8, of any size.
    n_shown : int
        Pictures of a row, from its first.
    n_letters : int
        Captions are broken into lines of at most so many letters.

    Returns
    -------
    Axes
        The first picture's; its figure holds all.

    Raises
    ------
    ValueError
        If there is no row or one without pictures.
    """
    if not rows or not all(map(len, rows.values())):
        raise ValueError(
            f"rows must each hold pictures, got { {name: len(row) for name, row in rows.items()} }."
        )
    texts = {
        name: [textwrap.fill(caption, n_letters) for _, caption in row[:n_shown]]
        for name, row in rows.items()
    }
    n_columns = max(map(len, texts.values()))
    n_lines = max(text.count("\n") + 1 for row in texts.values() for text in row)
    size = ((_SIDE + 0.75) * n_columns + 0.6, (_SIDE + 0.1 * n_lines + 0.15) * len(rows))
    _, grid = plt.subplots(len(rows), n_columns, squeeze=False, figsize=size)
    for axes, (name, row) in zip(grid, rows.items(), strict=True):
        for ax in axes:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for ax, (image, _), text in zip(axes, row, texts[name], strict=False):
            ax.imshow(check_array("image", image, shape=(None, None, 3)))
            ax.set_title(text, fontsize=5.5, loc="center", pad=2, fontweight="normal")
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return grid[0, 0]


@styled
def plot_shares(
    shares: ArrayLike,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    interval: tuple[ArrayLike, ArrayLike] | None = None,
    expected: Mapping[str, str] | None = None,
    label: str = "share of images",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Matrix of shares between 0 and 1 with their values and intervals written in.

    Parameters
    ----------
    shares : array of shape (n_rows, n_columns)
        For example of the images guided by each region (rows) that a judge puts into each category.
    rows, columns : sequence of str
        Names.
    interval : (array, array), optional
        Both ends, of the shape of ``shares``.
    expected : mapping of row to column, optional
        Where a frame is drawn: what was planted.
    label, title, ax
        Colour bar's label; title; where to draw.

    Raises
    ------
    ValueError
        If shapes do not fit or a share lies outside [0, 1].
    """
    shape = (len(rows), len(columns))
    values = check_array("shares", shares, shape=shape, minimum=0, maximum=1, dtype=float)
    ends = [check_array("interval", end, shape=shape, dtype=float) for end in interval or ()]
    ax = make_axes(ax, width=1.9 + 0.85 * len(columns), height=1.0 + 0.5 * len(rows))
    drawn = ax.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(shape):
        text = f"{values[row, column]:.2f}"
        if ends:
            text += f"\n{ends[0][row, column]:.2f}–{ends[1][row, column]:.2f}"
        dark = values[row, column] > 0.6
        ax.text(column, row, text, ha="center", va="center", fontsize=6.5, color="white" if dark else INK)
        if expected and expected.get(rows[row]) == columns[column]:
            frame = plt.Rectangle((column - 0.47, row - 0.46), 0.94, 0.92, fill=False, ec=INK, lw=1.4)
            ax.add_patch(frame)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = get_figure(ax).colorbar(drawn, ax=ax, shrink=0.85)
    bar.set_label(label)
    bar.outline.set_visible(False)
    ax.set_title(title)
    return ax


def _join(images: list[NDArray], n: int) -> NDArray[np.uint8]:
    """Images side by side with white gaps, as if there were ``n`` of them."""
    height, width = images[0].shape[:2]
    gap = max(1, width // 16)
    sheet = np.full((height, n * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        left = number * (width + gap)
        sheet[:, left : left + width] = check_array(
            "images", image, shape=(height, width, 3), remedy="pictures of a block have one size"
        )
    return sheet
