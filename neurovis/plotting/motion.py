"""Physiology of motion units, flow fields, and flow as people report it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm, hsv_to_rgb
from matplotlib.lines import Line2D
from matplotlib.projections.polar import PolarAxes
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.flow import score_perceived_flow
from neurovis.motion.neurophysiology_fits import (
    CRITERION,
    check_directions,
    compute_speed_surface,
)
from neurovis.plotting.style import (
    FAINT,
    INK,
    MUTED,
    PALETTE,
    WARNING,
    add_note,
    choose_colours,
    get_figure,
    make_axes,
    styled,
)

_FIT_STEPS = 60
_LEVELS = (0.25, 0.5, 0.75)
_WHEEL_PX = 181
_LARGEST_Z = 10.0  # correlations near 1 give any z


@styled
def plot_direction_tuning(
    curves: Mapping[str, ArrayLike],
    directions_deg: ArrayLike,
    *,
    polar: bool = True,
    normalise: bool = True,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Responses over direction of motion.

    Parameters
    ----------
    curves : mapping of str to array of shape (n_directions,)
        Label -> responses, not negative, for example to gratings and to plaids.
    directions_deg : array of shape (n_directions,)
        Equal steps around the circle [degrees, 0 right, counter-clockwise].
    polar : bool
        Around a circle, or along a line; a given ``ax`` decides for itself.
    normalise : bool
        Show every curve as a share of its largest response.
    title, ax
        Title; where to draw, a polar Axes for a circle.

    Raises
    ------
    ValueError
        If there is no curve, or a shape or sign is wrong.
    """
    directions = check_directions(directions_deg)
    if not curves:
        raise ValueError("curves must hold at least one tuning curve, got none; measure gratings first.")
    if ax is None and polar:
        ax = plt.figure(figsize=(4.2, 4.2)).add_subplot(projection="polar")
    ax = make_axes(ax, width=5.2, height=3.2)
    around = ax if isinstance(ax, PolarAxes) else None
    x = np.append(directions, directions[0] + 360)
    for (label, values), colour in zip(curves.items(), choose_colours(list(curves)).values(), strict=True):
        curve = check_array(f"curves[{label!r}]", values, shape=directions.shape, minimum=0, dtype=float)
        curve = curve / curve.max() if normalise and curve.max() > 0 else curve
        closed = np.append(curve, curve[0])
        ax.plot(
            np.deg2rad(x) if around is not None else x,
            closed,
            "o-",
            color=colour,
            ms=3.5,
            lw=1.6,
            label=label,
        )
    name = "response (share of the largest)" if normalise else "response"
    if around is not None:
        around.set_thetagrids(np.arange(0, 360, 45))
        ax.tick_params(axis="x", pad=1)
        if normalise:
            around.set_rgrids([0.5, 1.0], angle=112)  # between labels, where tuning is low
        ax.spines["polar"].set_color(FAINT)
        ax.set_xlabel(f"direction of motion; {name}")
    else:
        ax.set_xticks(np.arange(0, 361, 90))
        ax.set_xlim(directions[0], directions[0] + 360)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("direction of motion [degrees, 90 is up]")
        ax.set_ylabel(name)
    ax.set_title(title)
    if len(curves) > 1:
        place = (0.86, 0.9) if around is not None else (1.0, 0.8)
        ax.legend(loc="lower left", bbox_to_anchor=place)
    return ax


@styled
def plot_frequency_map(
    responses: ArrayLike,
    spatial_frequencies_cpp: ArrayLike,
    temporal_frequencies_cpf: ArrayLike,
    *,
    fit: ArrayLike | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Responses over spatial and temporal frequency, with the surface that fits them.

    Parameters
    ----------
    responses : array of shape (n_spatial, n_temporal)
        In the preferred direction, not negative.
    spatial_frequencies_cpp, temporal_frequencies_cpf : arrays
        Positive and rising [cycles per px] and [cycles per frame].
    fit : array of shape (6,), optional
        Parameters of :func:`neurovis.motion.neurophysiology_fits.compute_speed_surface`; drawn as contours
        of a quarter, a half and three quarters of its height, with the line of its best temporal frequency.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If shapes do not fit or a frequency is not positive.
    """
    spatial = check_array(
        "spatial_frequencies_cpp", spatial_frequencies_cpp, ndim=1, minimum=1e-9, dtype=float
    )
    temporal = check_array(
        "temporal_frequencies_cpf", temporal_frequencies_cpf, ndim=1, minimum=1e-9, dtype=float
    )
    values = check_array("responses", responses, shape=(len(spatial), len(temporal)), minimum=0, dtype=float)
    ax = make_axes(ax, width=4.6, height=3.6)
    s, w = np.log2(spatial), np.log2(temporal)
    mesh = ax.pcolormesh(
        _find_edges(s), _find_edges(w), values.T, cmap="Greys", vmin=0, edgecolors="white", lw=0.4
    )
    bar = get_figure(ax).colorbar(mesh, ax=ax, shrink=0.9)
    bar.set_label("response [units of the model]")
    bar.outline.set_visible(False)
    if fit is not None:
        parameters = check_array("fit", fit, shape=(6,), dtype=float)
        (low_s, high_s), (low_w, high_w) = (_find_edges(axis)[[0, -1]].tolist() for axis in (s, w))
        fine_s, fine_w = np.linspace(low_s, high_s, _FIT_STEPS), np.linspace(low_w, high_w, _FIT_STEPS)
        surface = compute_speed_surface(2 ** fine_s[:, None], 2**fine_w, parameters)
        levels = [share * parameters[0] for share in _LEVELS if share * parameters[0] < surface.max()]
        if levels:
            ax.contour(fine_s, fine_w, surface.T, levels=levels, colors=WARNING, linewidths=1.2)
        ridge = parameters[3] + parameters[5] * (fine_s - parameters[1])
        ax.plot(fine_s, ridge, ls="--", lw=1.1, color=WARNING)
        add_note(
            ax, f"slope {round(parameters[5], 2) + 0.0:.2f} (0 separable, 1 one speed)", corner="upper left"
        )
        ax.set_ylim(low_w, high_w)
    ax.set_xticks(s, [f"{value:.3g}" for value in spatial])
    ax.set_yticks(w, [f"{value:.3g}" for value in temporal])
    ax.set_xlabel("spatial frequency [cycles per px]")
    ax.set_ylabel("temporal frequency [cycles per frame]")
    ax.set_title(title)
    return ax


@styled
def plot_pattern_plane(
    z_component: ArrayLike,
    z_pattern: ArrayLike,
    *,
    groups: Sequence[str] | NDArray | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Each unit by how much it follows the components of plaids and how much their pattern.

    Parameters
    ----------
    z_component, z_pattern : array of shape (n_units,)
        Of :func:`neurovis.motion.neurophysiology_fits.classify_plaids`.
    groups : sequence of str, length n_units, optional
        Shown by colour, for example the stage.
    title, ax
        Title; where to draw.

    Returns
    -------
    Axes
        Lines bound the classes: one of the values exceeds the other, and 0, by 1.28. Values beyond 10 are
        drawn there, and counted in a note.

    Raises
    ------
    ValueError
        If lengths differ or a value is not finite.
    """
    x = check_array("z_component", z_component, ndim=1, dtype=float)
    y = check_array("z_pattern", z_pattern, shape=x.shape, dtype=float)
    names = np.full(x.shape, "units") if groups is None else np.asarray(groups).astype(str)
    check_array("groups", np.zeros(names.shape), shape=x.shape, remedy="pass one name for each unit")
    ax = make_axes(ax, width=4.8, height=4.4)
    beyond = int((np.maximum(np.abs(x), np.abs(y)) > _LARGEST_Z).sum())
    x, y = (np.clip(values, -_LARGEST_Z, _LARGEST_Z) for values in (x, y))
    ends = np.concatenate([x, y, [-2.0, 4.0]])
    low, high = ends.min() - 0.06 * np.ptp(ends), ends.max() + 0.06 * np.ptp(ends)
    border = np.array([[low, 0, high], [CRITERION, CRITERION, high + CRITERION]])
    ax.plot(*border, color=MUTED, lw=0.9)
    ax.plot(*border[::-1], color=MUTED, lw=0.9)
    ax.text(0.03, 0.97, "pattern", ha="left", va="top", color=MUTED, transform=ax.transAxes)
    ax.text(0.97, 0.03, "component", ha="right", va="bottom", color=MUTED, transform=ax.transAxes)
    for name, colour in choose_colours(list(dict.fromkeys(names.tolist()))).items():
        own = names == name
        ax.scatter(x[own], y[own], s=16, color=colour, alpha=0.7, lw=0, label=name)
    if beyond:
        add_note(ax, f"{beyond} beyond {_LARGEST_Z:g}, drawn there", corner="upper right")
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set_xlabel("follows the components (z)")
    ax.set_ylabel("follows the pattern (z)")
    ax.set_title(title)
    if groups is not None:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


@styled
def plot_flow(
    flow: ArrayLike,
    *,
    largest_ppf: float | None = None,
    key: bool = True,
    unit: str = "px per frame",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Flow field: hue is direction, saturation is speed, white does not move.

    Parameters
    ----------
    flow : array of shape (height, width, 2)
        x right, y down; NaN where unknown, shown grey.
    largest_ppf : float, optional
        Speed of full colour; the 99th percentile by default.
    key : bool
        Draw the wheel of colours beside the field.
    unit : str
        Of the flow, for the key.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If the shape is wrong or no vector is known.
    """
    field = check_array("flow", flow, shape=(None, None, 2), finite=False, dtype=float)
    speed = np.hypot(field[..., 0], field[..., 1])
    known = np.isfinite(speed)
    if not known.any():
        raise ValueError("flow must hold at least one finite vector, got none; check the model's output.")
    largest = float(largest_ppf or np.percentile(speed[known], 99) or 1.0)
    height, width = speed.shape
    ax = make_axes(ax, width=5.2, height=1.0 + 4.2 * min(1.4, height / width))
    ax.imshow(_colour_flow(field, largest), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title)
    if key:
        _draw_key(ax, largest, unit)
    return ax


@styled
def plot_flow_reports(
    human: ArrayLike,
    truth: ArrayLike,
    model: ArrayLike | None = None,
    *,
    model_name: str = "model",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Reported flow against that of a model, coloured by the truth; or against the truth.

    Parameters
    ----------
    human, truth, model : array of shape (n, 2)
        [px per frame].
    model_name : str
        For the axis.
    title, ax
        Title; where to draw.

    Returns
    -------
    Axes
        Each probe gives two points, u (discs) and v (squares). With a model the note says its correlation
        with people and the partial one, the truth held fixed.
    """
    scores = score_perceived_flow(human, truth, model)
    R, G = np.asarray(human, dtype=float), np.asarray(truth, dtype=float)
    ax = make_axes(ax, width=5.0, height=4.2)
    shown = G if model is None else np.asarray(model, dtype=float)
    limit = float(np.percentile(np.abs(np.concatenate([shown, R])), 99.5)) * 1.08 or 1.0
    ax.plot([-limit, limit], [-limit, limit], color=INK, lw=0.9, zorder=0)
    scale = float(np.percentile(np.abs(G), 98)) or 1.0
    colours = ScalarMappable(TwoSlopeNorm(0, -scale, scale), "RdYlBu_r")
    legend = []
    for axis, (name, marker) in enumerate((("u", "o"), ("v", "s"))):
        colour = PALETTE[axis] if model is None else colours.to_rgba(G[:, axis])
        ax.scatter(
            shown[:, axis], R[:, axis], s=12, marker=marker, c=colour, alpha=0.7, lw=0.3, edgecolors=MUTED
        )
        shown_as = PALETTE[axis] if model is None else INK
        legend.append(Line2D([], [], ls="", ms=4, marker=marker, color=shown_as, label=name))
    if model is None:
        text = f"r {scores['r_truth']:.2f}, speed × {scores['speed_ratio']:.2f}"
    else:
        text = f"r {scores['r_model']:.2f}, partial r {scores['partial_uv']:.2f}"
        bar = get_figure(ax).colorbar(colours, ax=ax, shrink=0.85, extend="both")
        bar.set_label("true flow [px per frame]")
        bar.outline.set_visible(False)
    add_note(ax, text)
    outside = int((np.abs(np.concatenate([shown, R], axis=1)) > limit).any(axis=1).sum())
    if outside:
        add_note(ax, f"{outside} of {len(R)} probes lie outside", corner="lower left")
    ax.legend(handles=legend, loc="upper left")
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    ax.set_xlabel(f"{'true flow' if model is None else model_name} [px per frame]")
    ax.set_ylabel("reported flow [px per frame]")
    ax.set_title(title)
    return ax


def _colour_flow(field: NDArray[np.float64], largest: float) -> NDArray[np.float64]:
    speed = np.hypot(field[..., 0], field[..., 1])
    known = np.isfinite(speed)
    hue = np.mod(np.arctan2(-field[..., 1], field[..., 0]) / (2 * np.pi), 1)
    saturation = np.clip(speed / largest, 0, 1)
    # Faster than the key goes is darker, so that it is seen.
    value = np.where(speed > largest, 0.75, 1.0)
    colour = hsv_to_rgb(np.stack([np.where(known, part, 0) for part in (hue, saturation, value)], axis=-1))
    colour[~known] = 0.6
    return colour


def _draw_key(ax: Axes, largest: float, unit: str) -> None:
    wheel = ax.inset_axes((1.04, 0.62, 0.24, 0.36))
    line = np.linspace(-1.0, 1.0, _WHEEL_PX)
    field = np.stack(np.meshgrid(line, line), axis=-1)
    field[np.hypot(field[..., 0], field[..., 1]) > 1] = np.nan
    colours = np.concatenate([_colour_flow(field, 1.0), np.isfinite(field[..., :1]).astype(float)], axis=-1)
    wheel.imshow(colours, extent=(-1, 1, -1, 1))
    wheel.set(xticks=[], yticks=[], aspect="equal")
    wheel.spines[:].set_visible(False)
    wheel.set_xlabel(
        f"direction,\n{largest:.3g} {unit}\nat the rim,\ndarker: faster",
        fontsize=8,
        color=INK,
        loc="left",
    )


def _find_edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges half way between centres, and as far beyond the ends."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
