"""Maps on the inflated fsaverage5 surface, drawn flat: vertices are projected and shaded here.

Vertices are numbered 0..10241 on the left and 10242..20483 on the right hemisphere. Colours are
interpolated between vertices, triangles are painted from back to front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, TriMesh
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.tri import Triangulation
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, import_optional
from neurovis.plotting.style import INK, MUTED, choose_colours, get_figure, make_axes, styled

N_VERTICES = 20484
_N_HEMISPHERE = N_VERTICES // 2
_HEMISPHERES = ("left", "right")

# Towards the viewer and up, in mesh coordinates (right, anterior, superior), for the left hemisphere;
# the right one mirrors the first entry of each.
_VIEWS = {
    "lateral": ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "medial": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "ventral": ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    "dorsal": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    "posterior": ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
}
DEFAULT_VIEWS = ("lateral", "medial", "ventral", "posterior")


@dataclass(frozen=True)
class _Hemisphere:
    xyz: NDArray[np.float64]  # (n_vertices, 3) [mm]
    faces: NDArray[np.int64]  # (n_faces, 3)
    normals: NDArray[np.float64]  # (n_vertices, 3), outward, unit length
    sulci: NDArray[np.float64]  # (n_vertices,), positive in sulci


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
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Numbers on both hemispheres from several sides, over the sulcal pattern.

    Parameters
    ----------
    values : array of shape (20484,), or (n,) with ``vertices``
        One number a vertex; NaN shows the bare surface.
    vertices : array of int of shape (n,), optional
        Where the values belong, 0..20483; the rest of the surface stays bare.
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
        From ``lateral``, ``medial``, ``ventral``, ``dorsal``, ``posterior``.
    title, ax
        Title; where to draw.

    Returns
    -------
    Axes
        One Axes: views from left to right, the left hemisphere above the right one.

    Raises
    ------
    ValueError
        If lengths do not fit, a vertex does not exist or appears twice, or no value is finite.
    ImportError
        If nilearn, which brings the mesh, is missing.
    """
    full = _spread(
        check_array("values", values, ndim=1, finite=False, dtype=float), vertices, np.nan, "values"
    )
    seen = full[np.isfinite(full)]
    if seen.size == 0:
        raise ValueError("values must hold a finite number, got none; check for NaN.")
    low, high = np.percentile(seen, [2, 98]) if seen.size > 20 else (seen.min(), seen.max())
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    norm = Normalize(float(low) if vmin is None else vmin, float(high) if vmax is None else vmax)
    if norm.vmin == norm.vmax:
        norm = Normalize(norm.vmin - 0.5, norm.vmax + 0.5)  # type: ignore[operator]
    colours = colormaps[cmap](norm(np.nan_to_num(full)))[:, :3]
    ax = _draw(colours, np.isfinite(full), _spread_names(regions, vertices, len(np.ravel(values))), views, ax)
    bar = get_figure(ax).colorbar(
        ScalarMappable(norm, cmap),
        ax=ax,
        location="bottom",
        fraction=0.045,
        aspect=34,
        pad=0.02,
        label=label,
        extend="both",
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
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
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Names on both hemispheres, one colour each, with a legend.

    Parameters
    ----------
    labels : sequence of str of length 20484, or n with ``vertices``
        One name a vertex; an empty name shows the bare surface.
    vertices, regions, views, title, ax
        As in :func:`plot_surface_map`.
    colours : mapping of str to str, optional
        Colour by name; categories have fixed ones, see :mod:`neurovis.plotting.style`.

    Raises
    ------
    ValueError
        As :func:`plot_surface_map`.
    """
    given = np.asarray(labels).astype(str)
    full = _spread(given.astype(object), vertices, "", "labels").astype(str)
    names = sorted(set(full.tolist()) - {""})
    if not names:
        raise ValueError("labels must hold a name, got only empty ones; check the selection.")
    order = [name for name in colours or () if name in names]
    order += [name for name in names if name not in order]
    chosen = choose_colours(order, dict(colours or {}))
    rgb = np.array([to_rgb(chosen.get(name, MUTED)) for name in full])
    ax = _draw(rgb, full != "", _spread_names(regions, vertices, len(given)), views, ax)
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


def _spread(values: NDArray, vertices: ArrayLike | None, empty: float | str, name: str) -> NDArray:
    if vertices is None:
        if values.shape != (N_VERTICES,):
            raise ValueError(
                f"{name} must have shape ({N_VERTICES},) for fsaverage5, got {values.shape}; pass vertices "
                "to say where fewer values belong."
            )
        return values
    where = check_array(
        "vertices", vertices, shape=values.shape, minimum=0, maximum=N_VERTICES - 1, dtype=int
    )
    if len(np.unique(where)) != len(where):
        raise ValueError(
            f"vertices must not repeat, got {len(where)} entries with {len(np.unique(where))} distinct ones; "
            "draw one subject at a time, or average first."
        )
    full = np.full(N_VERTICES, empty, dtype=values.dtype)
    full[where] = values
    return full


def _spread_names(
    regions: Sequence[str] | NDArray | None, vertices: ArrayLike | None, n_values: int
) -> NDArray | None:
    if regions is None:
        return None
    names = np.asarray(regions).astype(str)
    if names.shape != (n_values,):
        raise ValueError(f"regions must have one entry for each of the {n_values} values, got {names.shape}.")
    return _spread(names.astype(object), vertices, "", "regions").astype(str)


@lru_cache(maxsize=1)
def _load_mesh() -> dict[str, _Hemisphere]:
    datasets = import_optional("nilearn.datasets", extra="fmri")
    mesh = datasets.load_fsaverage("fsaverage5")["inflated"]
    sulci = datasets.load_fsaverage_data(mesh="fsaverage5", data_type="sulcal", mesh_type="inflated")
    loaded = {}
    for name in _HEMISPHERES:
        xyz = np.asarray(mesh.parts[name].coordinates, dtype=float)
        faces = np.asarray(mesh.parts[name].faces, dtype=np.int64)
        corners = xyz[faces]
        face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.zeros_like(xyz)
        for corner in range(3):
            np.add.at(normals, faces[:, corner], face_normals)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        loaded[name] = _Hemisphere(xyz, faces, normals, np.asarray(sulci.data.parts[name], dtype=float))
    return loaded


def _draw(
    colours: NDArray,
    covered: NDArray[np.bool_],
    regions: NDArray | None,
    views: Sequence[str],
    ax: Axes | None,
) -> Axes:
    for view in views:
        check_option("each of views", view, _VIEWS)
    mesh = _load_mesh()
    extents = {view: _project(mesh["left"], "left", view)[:, :2] for view in views}
    widths = [np.ptp(extents[view][:, 0]) for view in views]
    row_height = max(np.ptp(extents[view][:, 1]) for view in views)
    gap = 9.0
    total = sum(widths) + gap * (len(views) - 1)
    inch = min(8.6, 2.3 * len(views))
    ax = make_axes(ax, width=inch, height=inch * (2 * row_height + gap) / total + 0.75)
    for row, name in enumerate(_HEMISPHERES):
        part = slice(row * _N_HEMISPHERE, (row + 1) * _N_HEMISPHERE)
        left = 0.0
        for view, width in zip(views, widths, strict=True):
            centre = np.array([left + width / 2, -row * (row_height + gap)])
            names = None if regions is None else regions[part]
            _draw_panel(ax, mesh[name], name, view, centre, colours[part], covered[part], names)
            if row == 0:
                ax.text(
                    centre[0], row_height / 2 + 3, view, ha="center", va="bottom", fontsize=8, color=MUTED
                )
            left += width + gap
        ax.text(
            -6,
            -row * (row_height + gap),
            f"{name} hemisphere",
            rotation=90,
            ha="right",
            va="center",
            fontsize=8,
            color=MUTED,
        )
    ax.set_xlim(-12, total + 2)
    ax.set_ylim(-1.5 * row_height - gap - 2, row_height / 2 + 10)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _axes_of_view(hemisphere: str, view: str) -> NDArray[np.float64]:
    """Rows: right, up and towards the viewer, in mesh coordinates."""
    towards, up = (np.array(vector) for vector in _VIEWS[view])
    if hemisphere == "right":
        towards, up = towards * [-1, 1, 1], up * [-1, 1, 1]
    return np.stack([np.cross(up, towards), up, towards])


def _project(part: _Hemisphere, hemisphere: str, view: str) -> NDArray[np.float64]:
    """(n_vertices, 3): right, up, depth towards the viewer [mm], centred on the bounding box."""
    seen = part.xyz @ _axes_of_view(hemisphere, view).T
    return seen - (seen.max(axis=0) + seen.min(axis=0)) / 2


def _draw_panel(
    ax: Axes,
    part: _Hemisphere,
    hemisphere: str,
    view: str,
    centre: NDArray,
    colours: NDArray,
    covered: NDArray[np.bool_],
    regions: NDArray | None,
) -> None:
    seen = _project(part, hemisphere, view)
    seen[:, :2] += centre
    facing = part.normals @ _axes_of_view(hemisphere, view)[2]
    # Two greys say gyrus and sulcus; the light comes from the viewer and only hints at the shape.
    ground = np.where(part.sulci > 0, 0.66, 0.82)[:, None] * np.ones(3)
    shade = (0.72 + 0.28 * np.clip(facing, 0, 1))[:, None]
    rgb = np.where(covered[:, None], colours * (0.4 + 0.6 * shade), ground * shade)
    corners = seen[part.faces]
    area = np.cross(corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2])
    front = np.flatnonzero(area > 0)
    back_to_front = front[np.argsort(corners[front, :, 2].mean(axis=1), kind="stable")]
    faces = part.faces[back_to_front]
    triangles = TriMesh(Triangulation(seen[:, 0], seen[:, 1], faces), rasterized=True)
    triangles.set_facecolor(np.clip(np.column_stack([rgb, np.ones(len(rgb))]), 0, 1))
    ax.add_collection(triangles, autolim=False)
    if regions is not None:
        _outline(ax, seen, faces, regions, facing)


def _outline(ax: Axes, seen: NDArray, faces: NDArray, regions: NDArray, facing: NDArray) -> None:
    """Borders through the middles of edges whose ends differ, and names where a region faces the viewer."""
    segments = []
    for first, second, third in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        a, b, c = faces[:, first], faces[:, second], faces[:, third]
        # Corner a is alone: the border cuts the edges a-b and a-c.
        alone = (regions[a] != regions[b]) & (regions[a] != regions[c])
        a, b, c = a[alone], b[alone], c[alone]
        segments.append(np.stack([seen[a, :2] + seen[b, :2], seen[a, :2] + seen[c, :2]], axis=1) / 2)
    ax.add_collection(LineCollection(list(np.concatenate(segments)), colors=INK, lw=0.7), autolim=False)
    visible = np.unique(faces)
    for name in sorted(set(regions.tolist()) - {""}):
        member = visible[(regions[visible] == name) & (facing[visible] > 0.55)]
        if len(member) < max(6, 0.4 * (regions == name).sum()):
            continue
        spot = np.median(seen[member, :2], axis=0)
        ax.text(
            *spot,
            name,
            ha="center",
            va="center",
            fontsize=6.5,
            color="white",
            fontweight="bold",
            path_effects=[withStroke(linewidth=1.6, foreground=INK)],
        )
