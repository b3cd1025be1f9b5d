"""Where encoders of regions look: attention over images, and how much its peak moves from image to image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.plotting.style import ACCENT, FAINT, INK, MUTED, WARNING, make_axes, styled

_GAP = 0.08
_OPACITY = 0.8


@styled
def plot_attention(
    attention: xr.DataArray,
    *,
    images: Sequence[NDArray] | NDArray | None = None,
    labels: Sequence[str] | None = None,
    places: ArrayLike | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Attention of each query, a row of tiles, in each image, a column; the peak is a ring.

    Colour begins at what even attention would give a place and is opaque at the tile's largest value, so
    tiles show where a query looks, not how much.

    Parameters
    ----------
    attention : xarray.DataArray of dims ("stimulus", "query", "token")
        From ``attend``, with the coordinates ``row``, ``column`` and ``query``; a few stimuli.
    images : array of shape (n_stimuli, height, width[, 3]), optional
        Shown below in pale grey, uint8 or floats in [0, 1]; the grid of tokens covers all of them.
    labels : sequence of str, length n_stimuli, optional
        Written above the columns.
    places : array of shape (n_queries, n_stimuli, 2), optional
        Row and column of what a query ought to find, drawn as a cross; NaN for none.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If dimensions or coordinates are missing, or the shape of another argument does not fit.
    """
    maps = _make_maps(attention)
    n, n_queries, n_rows, n_columns = maps.shape
    sheet = _make_backgrounds(images, n)
    width = n_columns / n_rows if sheet is None else sheet.shape[2] / sheet.shape[1]
    marks = None if places is None else check_array("places", places, shape=(n_queries, n, 2), finite=False)
    if labels is not None and len(labels) != n:
        raise ValueError(f"labels must have one entry for each of the {n} stimuli, got {len(labels)}.")
    ax = _make_sheet(ax, attention["query"].values, n, width)
    for query, stimulus in np.ndindex(n_queries, n):
        box = _find_box(query, stimulus, width)
        if sheet is not None:
            ax.imshow(sheet[stimulus], extent=box, interpolation="antialiased", zorder=1)
        even = 1 / attention.sizes["token"]
        _draw_map(ax, np.maximum(maps[stimulus, query] - even, 0), box, WARNING)
        peak = np.unravel_index(maps[stimulus, query].argmax(), (n_rows, n_columns))
        for colour, thickness in (("white", 2.4), (INK, 1.1)):
            x, y = _find_centre(peak, (n_rows, n_columns), box)
            ax.plot(x, y, "o", mfc="none", mec=colour, mew=thickness, ms=7, zorder=3)
        if marks is not None and np.isfinite(marks[query, stimulus]).all():
            centre = _find_centre(marks[query, stimulus], (n_rows, n_columns), box)
            ax.plot(*centre, marker="+", ms=12, mew=1.1, color=ACCENT, ls="none", zorder=5)
    for stimulus, label in enumerate(labels or ()):
        left, right, _, top = _find_box(0, stimulus, width)
        ax.text((left + right) / 2, top - 0.04, label, ha="center", va="bottom", fontsize=8, color=INK)
    ax.set_title(title, pad=16 if labels else None)
    return ax


@styled
def plot_attention_peaks(attention: xr.DataArray, *, title: str = "", ax: Axes | None = None) -> Axes:
    """How often the peak of each query's attention lies at each place, over all images.

    One dark place means that a query is driven by location, a spread that it is driven by content.

    Parameters
    ----------
    attention : xarray.DataArray of dims ("stimulus", "query", "token")
        As in :func:`plot_attention`; many stimuli.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If dimensions or coordinates are missing.
    """
    maps = _make_maps(attention)
    n, n_queries, n_rows, n_columns = maps.shape
    peaks = maps.reshape(n, n_queries, -1).argmax(axis=-1)
    counts = np.stack([np.bincount(column, minlength=n_rows * n_columns) for column in peaks.T])
    shares = (counts / n).reshape(n_queries, n_rows, n_columns)
    width = n_columns / n_rows
    ax = _make_sheet(ax, [""], n_queries, width, inch=1.15)
    for query, share in enumerate(shares):
        box = _find_box(0, query, width)
        _draw_map(ax, share, box, ACCENT)
        left, right, bottom, top = box
        centre = (left + right) / 2
        name = attention["query"].values[query]
        ax.text(centre, top - 0.04, name, ha="center", va="bottom", fontsize=8, color=INK)
        most = f"{share.max():.0%} at one place"
        ax.text(centre, bottom + 0.04, most, ha="center", va="top", fontsize=7, color=MUTED)
    ax.set_ylim(1.2, -0.2)
    ax.set_title(title, pad=10)
    return ax


def _make_maps(attention: xr.DataArray) -> NDArray[np.float64]:
    """Attention on its grid, (n_stimuli, n_queries, n_rows, n_columns); places without a token are 0."""
    coords = [name for name in ("row", "column", "query") if name not in attention.coords]
    if attention.dims != ("stimulus", "query", "token") or coords:
        raise ValueError(
            "attention must have the dims ('stimulus', 'query', 'token') and the coordinates row, column and "
            f"query, got {attention.dims} and no {coords[0] if coords else 'other'}; pass what attend "
            "returns, and the mean over heads."
        )
    values = check_array("attention", attention.values, minimum=0)
    rows, columns = attention["row"].values, attention["column"].values
    maps = np.zeros((*values.shape[:2], rows.max() + 1, columns.max() + 1))
    maps[:, :, rows, columns] = values
    return maps


def _make_backgrounds(images: Sequence[NDArray] | NDArray | None, n: int) -> NDArray[np.float64] | None:
    """Images as pale grey RGB in [0, 1]."""
    if images is None:
        return None
    stack = check_array("images", images, ndim=(3, 4))
    if len(stack) != n:
        raise ValueError(f"images must be one for each of the {n} stimuli, got {len(stack)}; select them.")
    stack = stack / 255 if stack.dtype.kind in "ui" else check_array("images", stack, minimum=0, maximum=1)
    grey = stack if stack.ndim == 3 else stack.mean(axis=-1)
    return np.repeat(0.25 + 0.75 * grey[..., None], 3, axis=-1)


def _make_sheet(
    ax: Axes | None, names: Sequence[str] | NDArray, n_across: int, width: float, inch: float = 0.95
) -> Axes:
    across, down = n_across * (width + _GAP) - _GAP, len(names) * (1 + _GAP) - _GAP
    ax = make_axes(ax, width=inch * across + 1.2, height=inch * down + 0.6)
    ax.set_xlim(0, across)
    ax.set_ylim(down, 0)
    ax.autoscale(False)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks(np.arange(len(names)) * (1 + _GAP) + 0.5, names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def _find_box(down: int, across: int, width: float) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a tile, y downwards."""
    left, top = across * (width + _GAP), down * (1 + _GAP)
    return left, left + width, top + 1, top


def _find_centre(
    place: ArrayLike, grid: tuple[int, int], box: tuple[float, float, float, float]
) -> tuple[list[float], list[float]]:
    row, column = np.asarray(place, dtype=float)
    left, right, bottom, top = box
    x = left + (right - left) * (column + 0.5) / grid[1]
    return [x], [top + (bottom - top) * (row + 0.5) / grid[0]]


def _draw_map(ax: Axes, values: NDArray, box: tuple[float, float, float, float], colour: str) -> None:
    layer = np.empty((*values.shape, 4))
    layer[..., :3] = to_rgb(colour)
    layer[..., 3] = _OPACITY * values / max(values.max(), np.finfo(float).tiny)
    left, right, bottom, top = box
    ax.imshow(layer, extent=box, interpolation="nearest", zorder=2)
    frame = Rectangle((left, top), right - left, bottom - top, fill=False, ec=FAINT, lw=0.8, zorder=2)
    ax.add_patch(frame).set_clip_on(False)
