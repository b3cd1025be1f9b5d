"""Maps on the cortical surface: inflated from several sides, or flattened, over the sulcal pattern.

Vertices are numbered from 0 on the left hemisphere, and on from there on the right one: 0..20483 on
fsaverage5, 0..327683 on fsaverage. Colours are interpolated between vertices, triangles are painted from back
to front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, TriMesh
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.tri import Triangulation
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.plotting.style import INK, MUTED, choose_colours, get_figure, make_axes, styled
from neurovis.plotting.surface_mesh import (
    HEMISPHERES,
    N_FSAVERAGE,
    N_FSAVERAGE5,
    VIEWS,
    Panel,
    count_vertices,
    make_panel,
)

DEFAULT_VIEWS = ("lateral", "medial", "ventral", "posterior")
_GAP_MM = 9.0
_CROP_MARGIN_MM = 18.0
_NAME_SIZE_PT = 6.5
_NAME_SIZE_FLAT_PT = 8.0


@dataclass(frozen=True)
class _Place:
    """Where a panel goes: ``window`` is (left, bottom, right, top) in the panel's own millimetres."""

    hemisphere: int
    view: str
    window: tuple[float, float, float, float]
    offset: tuple[float, float]
    title: str
    side: str


@dataclass(frozen=True)
class _Sheet:
    """Values of every vertex that is drawn: on ``mesh``, left hemisphere in front of ``n_left``."""

    mesh: str
    n_left: int

    def part(self, hemisphere: int) -> slice:
        return slice(self.n_left, None) if hemisphere else slice(0, self.n_left)


@styled
def plot_surface_map(
    values: ArrayLike,
    *,
    vertices: ArrayLike | None = None,
    regions: Sequence[str] | NDArray | None = None,
    label: str = "value",
    cmap: str = "viridis",
    vmin: float | None = None,
    vmax: float | None = None,
    symmetric: bool = False,
    views: Sequence[str] = DEFAULT_VIEWS,
    mesh: str | Path = "fsaverage5",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Numbers on both hemispheres from several sides, over the sulcal pattern.

    Parameters
    ----------
    values : array of shape (n_vertices,), or (n,) with ``vertices``
        One number a vertex; NaN shows the bare surface. 327,684 values are taken to be on fsaverage.
    vertices : array of int of shape (n,), optional
        Where the values belong, in the numbering of the mesh; the rest of the surface stays bare.
    regions : sequence of str, as long as ``values``, optional
        Region of each value; regions are outlined and named. An empty name has no outline.
    label : str
        Name and unit at the colour bar.
    cmap : str
        Matplotlib colour map.
    vmin, vmax : float, optional
        Ends of the colour scale; the 2nd and 98th percentile by default.
    symmetric : bool
        Centre the scale on zero (use it with a diverging ``cmap`` such as ``"RdBu_r"``).
    views : sequence of str
        From ``lateral``, ``medial``, ``ventral``, ``dorsal``, ``posterior``; or ``("flat",)`` alone for both
        flattened hemispheres, cropped to where there are values.
    mesh : str or path
        ``"fsaverage5"`` (20,484 vertices); ``"fsaverage"`` (327,684), of which those are drawn that
        fsaverage5 shares; or the ``surf`` folder of a FreeSurfer subject with ``lh.inflated``, ``lh.sulc``
        and the same for ``rh``, drawn at full resolution.
    title, ax
        Title; where to draw.

    Returns
    -------
    Axes
        One Axes: views from left to right, the left hemisphere above the right one (flat: beside it).

    Raises
    ------
    ValueError
        If lengths do not fit, a vertex does not exist or appears twice, or no value is finite.
    ImportError
        If nilearn, which brings the mesh, is missing.
    """
    given = check_array("values", values, ndim=1, finite=False, dtype=float)
    sheet, full, names = _lay_out(given, vertices, np.nan, "values", regions, str(mesh))
    seen = full[np.isfinite(full)]
    if seen.size == 0:
        raise ValueError("values must hold a finite number, got none; check for NaN.")
    low, high = np.percentile(seen, [2, 98]) if seen.size > 20 else (seen.min(), seen.max())
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    norm = Normalize(float(low) if vmin is None else vmin, float(high) if vmax is None else vmax)
    if norm.vmin == norm.vmax:
        norm = Normalize(norm.vmin - 0.5, norm.vmax + 0.5)  # type: ignore[operator]  # both are set
    colours = colormaps[cmap](norm(np.nan_to_num(full)))[:, :3]
    ax = _draw(sheet, colours, np.isfinite(full), names, views, ax, below=0.7)
    beyond = (seen.min() < norm.vmin, seen.max() > norm.vmax)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = get_figure(ax).colorbar(
        ScalarMappable(norm, cmap),
        ax=ax,
        location="bottom",
        shrink=0.4,
        fraction=0.04,
        aspect=26,
        pad=0.01,
        label=label,
        extend=extend[beyond],
    )
    bar.outline.set_visible(False)
    ax.set_title(title)
    return ax


@styled
def plot_surface_categories(
    labels: Sequence[str] | NDArray,
    *,
    vertices: ArrayLike | None = None,
    regions: Sequence[str] | NDArray | None = None,
    colours: Mapping[str, str] | None = None,
    views: Sequence[str] = DEFAULT_VIEWS,
    mesh: str | Path = "fsaverage5",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Names on both hemispheres, one colour each, with a legend.

    Parameters
    ----------
    labels : sequence of str, one a vertex, or n with ``vertices``
        An empty name shows the bare surface.
    vertices, regions, views, mesh, title, ax
        As in :func:`plot_surface_map`.
    colours : mapping of str to str, optional
        Colour by name; categories have fixed ones, see :mod:`neurovis.plotting.style`.

    Raises
    ------
    ValueError
        As :func:`plot_surface_map`.
    """
    given = np.asarray(labels).astype(str)
    sheet, full, borders = _lay_out(given.astype(object), vertices, "", "labels", regions, str(mesh))
    names = sorted(set(full.tolist()) - {""})
    if not names:
        raise ValueError("labels must hold a name, got only empty ones; check the selection.")
    order = [name for name in colours or () if name in names]
    order += [name for name in names if name not in order]
    chosen = choose_colours(order, dict(colours or {}))
    rgb = np.array([to_rgb(chosen.get(name, MUTED)) for name in full])
    ax = _draw(sheet, rgb, full != "", borders, views, ax, below=0.4)
    handles = [Patch(color=chosen[name], label=name) for name in order]
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=min(len(order), 8),
        handlelength=1.0,
        handleheight=1.0,
    )
    ax.set_title(title)
    return ax


def _lay_out(
    values: NDArray,
    vertices: ArrayLike | None,
    empty: float | str,
    name: str,
    regions: Sequence[str] | NDArray | None,
    mesh: str,
) -> tuple[_Sheet, NDArray, NDArray | None]:
    """What is drawn where, the value of every drawn vertex, and its region."""
    if mesh == "fsaverage5" and vertices is None and values.shape == (2 * N_FSAVERAGE,):
        mesh = "fsaverage"
    sizes = count_vertices(mesh)
    full = _spread(values, vertices, empty, name, sizes, mesh)
    borders = None
    if regions is not None:
        borders = np.asarray(regions).astype(str)
        if borders.shape != values.shape:
            raise ValueError(
                f"regions must have one entry for each of the {len(values)} values, got {borders.shape}."
            )
        borders = _spread(borders.astype(object), vertices, "", "regions", sizes, mesh).astype(str)
    if mesh == "fsaverage":
        shared = np.concatenate([np.arange(N_FSAVERAGE5), N_FSAVERAGE + np.arange(N_FSAVERAGE5)])
        full, borders = full[shared], None if borders is None else borders[shared]
        mesh, sizes = "fsaverage5", (N_FSAVERAGE5, N_FSAVERAGE5)
    return _Sheet(mesh, sizes[0]), full if full.dtype.kind == "f" else full.astype(str), borders


def _spread(
    values: NDArray,
    vertices: ArrayLike | None,
    empty: float | str,
    name: str,
    sizes: tuple[int, int],
    mesh: str,
) -> NDArray:
    n_vertices = sum(sizes)
    if vertices is None:
        if values.shape != (n_vertices,):
            raise ValueError(
                f"{name} must have shape ({n_vertices},) for {mesh}, got {values.shape}; pass vertices "
                "to say where fewer values belong, or the mesh that they are on."
            )
        return values
    where = check_array(
        "vertices", vertices, shape=values.shape, minimum=0, maximum=n_vertices - 1, dtype=int
    )
    if len(np.unique(where)) != len(where):
        raise ValueError(
            f"vertices must not repeat, got {len(where)} entries with {len(np.unique(where))} distinct ones; "
            "draw one subject at a time, or average first."
        )
    full = np.full(n_vertices, empty, dtype=values.dtype)
    full[where] = values
    return full


def _draw(
    sheet: _Sheet,
    colours: NDArray,
    covered: NDArray[np.bool_],
    regions: NDArray | None,
    views: Sequence[str],
    ax: Axes | None,
    *,
    below: float,
) -> Axes:
    """Paint every panel; ``below`` is the height kept for a colour bar or a legend [inch]."""
    places, width, height = _arrange(sheet, tuple(views), covered)
    inch = 7.6 if tuple(views) == ("flat",) else min(8.6, 2.3 * len(views))
    ax = make_axes(ax, width=inch, height=inch * height / width + below)
    for place in places:
        part = sheet.part(place.hemisphere)
        names = None if regions is None else regions[part]
        panel = make_panel(HEMISPHERES[place.hemisphere], place.view, sheet.mesh)
        _draw_panel(ax, place, panel, colours[part], covered[part], names, points_per_mm=72 * inch / width)
    ax.set_xlim(0, width)
    ax.set_ylim(-height, 0)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _arrange(
    sheet: _Sheet, views: tuple[str, ...], covered: NDArray[np.bool_]
) -> tuple[list[_Place], float, float]:
    """Every panel in a grid of columns as wide as their widest panel, and the size of the sheet [mm]."""
    if not views or not set(views) <= set(VIEWS) or ("flat" in views and len(views) > 1):
        raise ValueError(
            f"views must be ('flat',) or some of {[view for view in VIEWS if view != 'flat']}, got {views}; "
            "draw the flat map on its own."
        )
    flat = views == ("flat",)
    grid = [[(0, "flat"), (1, "flat")]] if flat else [[(side, view) for view in views] for side in (0, 1)]
    windows = {
        cell: _find_window(
            make_panel(HEMISPHERES[cell[0]], cell[1], sheet.mesh), cell[1], covered[sheet.part(cell[0])]
        )
        for row in grid
        for cell in row
    }
    wide = [max(windows[cell][2] - windows[cell][0] for cell in column) for column in zip(*grid, strict=True)]
    tall = [max(windows[cell][3] - windows[cell][1] for cell in row) for row in grid]
    places, y = [], -1.5 * _GAP_MM
    for number, row in enumerate(grid):
        x = _GAP_MM
        for column, cell in enumerate(row):
            left, bottom, right, top = windows[cell]
            offset = (x + (wide[column] - left - right) / 2, y - (tall[number] + bottom + top) / 2)
            name = f"{HEMISPHERES[cell[0]]} hemisphere"
            title = name if flat else cell[1] if number == 0 else ""
            side = name if not flat and column == 0 else ""
            places.append(_Place(*cell, windows[cell], offset, title, side))
            x += wide[column] + _GAP_MM
        y -= tall[number] + _GAP_MM
    return places, x - _GAP_MM + 2, -y


def _find_window(panel: Panel, view: str, covered: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Bounding box of a panel; of the flat sheet only around what is covered."""
    drawn = np.zeros(len(panel.xy), dtype=bool)
    drawn[panel.faces] = True
    low, high = panel.xy[drawn].min(axis=0), panel.xy[drawn].max(axis=0)
    if view == "flat" and (drawn & covered).any():
        # A few vertices on the far side of a cut would otherwise bring the whole sheet back.
        near, far = np.percentile(panel.xy[drawn & covered], [2, 98], axis=0)
        low, high = np.maximum(low, near - _CROP_MARGIN_MM), np.minimum(high, far + _CROP_MARGIN_MM)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _draw_panel(
    ax: Axes,
    place: _Place,
    panel: Panel,
    colours: NDArray,
    covered: NDArray[np.bool_],
    regions: NDArray | None,
    *,
    points_per_mm: float,
) -> None:
    xy = panel.xy + place.offset
    left, bottom, right, top = (edge + place.offset[index % 2] for index, edge in enumerate(place.window))
    # Two greys say gyrus and sulcus; the light comes from the viewer and only hints at the shape.
    ground = np.where(panel.sulcus, 0.66, 0.82)[:, None] * np.ones(3)
    shade = (0.72 + 0.28 * np.clip(panel.facing, 0, 1))[:, None]
    rgb = np.where(covered[:, None], colours * (0.4 + 0.6 * shade), ground * shade)
    triangles = TriMesh(Triangulation(xy[:, 0], xy[:, 1], panel.faces), rasterized=True)
    triangles.set_facecolor([tuple(row) for row in np.clip(rgb, 0, 1)])
    ax.add_collection(triangles, autolim=False)
    window = Rectangle((left, bottom), right - left, top - bottom, transform=ax.transData)
    triangles.set_clip_path(window)
    if regions is not None:
        borders = LineCollection(_find_borders(xy, panel.faces, regions), colors=INK, lw=0.7)
        ax.add_collection(borders, autolim=False)
        borders.set_clip_path(window)
        size = _NAME_SIZE_FLAT_PT if place.view == "flat" else _NAME_SIZE_PT
        _name_regions(ax, xy, panel, regions, size_pt=size, points_per_mm=points_per_mm)
    quiet: Any = {"fontsize": 8, "color": MUTED}
    ax.text((left + right) / 2, -2, place.title, ha="center", va="top", **quiet)
    ax.text(left - 4, (top + bottom) / 2, place.side, rotation=90, ha="right", va="center", **quiet)


def _find_borders(xy: NDArray, faces: NDArray, regions: NDArray) -> list[NDArray]:
    """Segments between the middles of edges whose ends lie in different regions."""
    segments = []
    for first, second, third in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        a, b, c = faces[:, first], faces[:, second], faces[:, third]
        # Corner a is alone: the border cuts the edges a-b and a-c.
        alone = (regions[a] != regions[b]) & (regions[a] != regions[c])
        a, b, c = a[alone], b[alone], c[alone]
        segments.append(np.stack([xy[a] + xy[b], xy[a] + xy[c]], axis=1) / 2)
    return list(np.concatenate(segments))


def _name_regions(
    ax: Axes, xy: NDArray, panel: Panel, regions: NDArray, *, size_pt: float, points_per_mm: float
) -> None:
    """Write the names of the regions that face the viewer, the largest first, where there is room."""
    visible = np.unique(panel.faces)
    visible = visible[panel.facing[visible] > 0.5]
    found = []
    for name in set(regions.tolist()) - {""}:
        member = visible[regions[visible] == name]
        if len(member) >= max(6, 0.4 * (regions == name).sum()):
            middle = np.median(xy[member], axis=0)
            # The name must stand on its region, also where the region is bent.
            spot = xy[member[np.argmin(((xy[member] - middle) ** 2).sum(axis=1))]]
            found.append((len(member), name, spot))
    taken: list[tuple[NDArray, NDArray]] = []
    for _, name, spot in sorted(found, key=lambda entry: (-entry[0], entry[1])):
        half = np.array([0.36 * len(name) + 0.1, 0.55]) * size_pt / points_per_mm
        if any((np.abs(spot - other) < half + size).all() for other, size in taken):
            continue
        taken.append((spot, half))
        ax.text(
            spot[0],
            spot[1],
            name,
            ha="center",
            va="center",
            fontsize=size_pt,
            color="white",
            fontweight="bold",
            path_effects=[withStroke(linewidth=1.6, foreground=INK)],
        )
