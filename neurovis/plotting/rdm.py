"""Representational dissimilarity matrices and the comparison of models with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.plotting.arguments import check_interval
from neurovis.plotting.style import ACCENT, FAINT, INK, MUTED, get_figure, make_axes, styled


@styled
def plot_rdm(
    rdm: ArrayLike,
    *,
    groups: Sequence[str] | NDArray | None = None,
    order: Sequence[str] | None = None,
    label: str = "dissimilarity (1 - Pearson r)",
    vmin: float | None = None,
    vmax: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Dissimilarity of every pair of stimuli.

    Parameters
    ----------
    rdm : array of shape (n_stimuli, n_stimuli)
        Symmetric; the diagonal is not looked at and left blank.
    groups : sequence of str, length n_stimuli, optional
        Category of each stimulus. Rows and columns are sorted by it (stably) and the blocks are named.
    order : sequence of str, optional
        Groups from top to bottom; by first appearance otherwise.
    label : str
        Name and unit of the dissimilarity, at the colour bar.
    vmin, vmax : float, optional
        Ends of the colour scale; the range off the diagonal by default.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If the matrix is not square and symmetric, has fewer than two stimuli, or ``groups`` does not fit.
    """
    matrix = check_array("rdm", rdm, ndim=2, finite=False, dtype=float)
    n = len(matrix)
    if matrix.shape != (n, n) or n < 2:
        raise ValueError(
            f"rdm must be square with at least two stimuli, got shape {matrix.shape}; a condensed vector "
            "becomes square with scipy.spatial.distance.squareform."
        )
    off = ~np.eye(n, dtype=bool)
    if not np.allclose(matrix[off], matrix.T[off], atol=1e-6, equal_nan=True):
        raise ValueError("rdm must be symmetric, got one that is not; average it with its transpose.")
    names = None if groups is None else np.asarray(groups).astype(str)
    if names is not None and names.shape != (n,):
        raise ValueError(f"groups must have one entry for each of the {n} stimuli, got {names.shape}.")
    ax = make_axes(ax, width=4.9, height=4.1)
    if names is not None:
        kinds = list(dict.fromkeys(names.tolist())) if order is None else list(order)
        unknown = sorted(set(names.tolist()) - set(kinds))
        if unknown:
            raise ValueError(f"order must name every group, got {kinds} without {unknown}; add them.")
        kinds = [kind for kind in kinds if kind in names]
        rank = np.array([kinds.index(name) for name in names])
        row_order = np.argsort(rank, kind="stable")
        matrix, rank = matrix[np.ix_(row_order, row_order)], rank[row_order]
        starts = np.flatnonzero(np.diff(rank, prepend=-1))
        ends = np.append(starts[1:], n)
        for edge in starts[1:]:
            ax.axhline(edge - 0.5, color="white", lw=0.8)
            ax.axvline(edge - 0.5, color="white", lw=0.8)
        middles = (starts + ends - 1) / 2
        ax.set_xticks(middles, kinds, rotation=40, ha="right", rotation_mode="anchor")
        ax.set_yticks(middles, kinds)
    else:
        ax.set_xlabel("stimulus")
        ax.set_ylabel("stimulus")
    shown = matrix.copy()
    np.fill_diagonal(shown, np.nan)
    image = ax.imshow(shown, cmap="viridis", vmin=vmin, vmax=vmax)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    colourbar = get_figure(ax).colorbar(image, ax=ax, label=label, fraction=0.045, pad=0.03)
    colourbar.outline.set_visible(False)
    ax.set_title(title)
    return ax


@styled
def plot_rsa_bars(
    models: Sequence[str],
    values: ArrayLike,
    *,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    ceiling: tuple[float, float] | None = None,
    label: str = "agreement with the brain RDM (Spearman)",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Agreement of each model's RDM with the brain's, with intervals and the noise ceiling.

    Parameters
    ----------
    models : sequence of str, length n
        Names from left to right.
    values : array of shape (n,)
        Agreement, in the metric of ``label``.
    lower, upper : arrays of shape (n,), optional
        Ends of the confidence interval, given together.
    ceiling : tuple of float, optional
        Lower and upper bound of the noise ceiling in the same metric (Nili et al. 2014), drawn as a band.
    label, title, ax
        Axis label; title; where to draw.

    Raises
    ------
    ValueError
        If a length differs from that of ``models`` or the ceiling's bounds are not ordered.
    """
    shape = (len(models),)
    values = check_array("values", values, shape=shape, dtype=float)
    ends = check_interval(lower, upper, shape)
    ax = make_axes(ax, width=max(3.6, 1.4 + 0.7 * len(models)), height=3.6)
    places = np.arange(len(models))
    if ceiling is not None:
        low, high = ceiling
        if low > high:
            raise ValueError(f"ceiling must be (lower, upper), got {ceiling}; swap its bounds.")
        # A tie still needs to be seen.
        ax.axhspan(low, max(high, low + 0.003), color=FAINT, lw=0, zorder=0, label="noise ceiling")
    ax.bar(places, values, width=0.62, color=ACCENT, alpha=0.85)
    if ends is not None:
        ax.vlines(places, *ends, color=INK, lw=1.4)
    ax.axhline(0, color=MUTED, lw=0.8)
    turned = max(map(len, models), default=0) > 9
    ax.set_xticks(places, list(models), rotation=30 if turned else 0, ha="right" if turned else "center")
    ax.tick_params(axis="x", length=0)
    ax.set_ylabel(label)
    ax.grid(axis="y")
    ax.set_title(title)
    if ceiling is not None:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0)
    return ax
