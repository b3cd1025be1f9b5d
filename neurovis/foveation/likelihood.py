"""Likelihood maps: the probability of a class as a function of where one looks.

Section "likelihood maps" of arXiv 2402.15480 (Vision 2026, 10(2):17): the classifier looks at the same image
from every point of a grid, and the saccade goes where the class is most probable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neurovis.core import check_array, check_option
from neurovis.foveation.classifier import FoveatedClassifier

GRIDS = ("valid", "full", "multi")


@dataclass(frozen=True, eq=False)
class FixationGrid:
    """Points to look at and how wide.

    Parameters
    ----------
    fix_x, fix_y : array of shape (n,)
        Columns and rows of the grid, in [-1, 1].
    scale : array of shape (n, n)
        Outer radius of the retina at each point, rows by columns, in half sides of the image.
    """

    fix_x: NDArray[np.float64]
    fix_y: NDArray[np.float64]
    scale: NDArray[np.float64]


def make_fixation_grid(kind: str = "valid", *, n: int = 11, scale: float = 0.1) -> FixationGrid:
    """Grid of n x n fixations.

    Parameters
    ----------
    kind : {"valid", "full", "multi"}
        Valid: windows of radius ``scale`` that stay inside the image. Full: points from -0.9 to 0.9, whatever
        the radius. Multi: the middle with radius 1, and square rings around it whose radius falls evenly to
        ``scale`` at the outermost, each inside the image: the periphery is inspected with small windows.
    n : int
        Points along each side; odd, so that the middle is one of them.
    scale : float
        Outer radius of the (smallest) window, in half sides of the image, at most 1.

    Raises
    ------
    ValueError
        If a number is out of range or the kind unknown.
    """
    check_option("kind", kind, GRIDS)
    if n < 3 or n % 2 == 0:
        raise ValueError(f"n must be odd and at least 3, got {n}; pass for example 11.")
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be in (0, 1], got {scale}; pass for example 0.1.")
    reach = 0.9 if kind == "full" else 1 - scale
    line = np.linspace(-reach, reach, n)
    scales = np.full((n, n), float(scale))
    if kind == "multi":
        ring = np.abs(np.arange(n) - n // 2)
        widths = np.linspace(1, scale, n // 2 + 1)
        scales = widths[np.maximum(ring[:, None], ring)]
    return FixationGrid(line, line, scales)


def compute_fixation_maps(
    classifier: FoveatedClassifier,
    images: Tensor,
    grid: FixationGrid,
    *,
    labels: ArrayLike | None = None,
    batch_size: int = 256,
) -> xr.DataArray:
    """Probability of the classes from every fixation of a grid.

    Parameters
    ----------
    classifier : FoveatedClassifier
        Put into evaluation mode. Its retina is widened or narrowed as a whole to the grid's radii.
    images : Tensor of shape (n, channels, height, width)
    grid : FixationGrid
        As of :func:`make_fixation_grid`.
    labels : array of int of shape (n,), optional
        Keep the probability of this class of each image; by default all classes are kept.
    batch_size : int
        Glances in one call of the network.

    Returns
    -------
    xarray.DataArray
        Dims ("stimulus", "fix_y", "fix_x") or with "class" as the last, float32; coordinates ``fix_y``,
        ``fix_x`` and ``scale`` (fix_y, fix_x).

    Raises
    ------
    TypeError, ValueError
        If the images do not fit the retina or the labels do not fit.

    Notes
    -----
    All fixations of one radius share one pyramid of each image. A map of the true class uses the answer: the
    accuracy after a saccade to its maximum is biased upwards, see :func:`choose_saccades`.
    """
    classifier.eval()
    wanted = None if labels is None else check_array("labels", labels, shape=(len(images),), dtype=np.int64)
    x, y = np.meshgrid(grid.fix_x, grid.fix_y)
    found: NDArray[np.float32] | None = None
    with torch.no_grad():
        for scale in np.unique(grid.scale):
            chosen = grid.scale == scale
            points = torch.from_numpy(np.stack([x[chosen], y[chosen]], axis=-1))
            retina = classifier.retina.zoom(float(scale) / classifier.retina.r_max)
            n_part = max(1, batch_size // len(points))
            for start in range(0, len(images), n_part):
                rows = slice(start, start + n_part)
                part = images[rows]
                logits = torch.cat(
                    [
                        classifier(part, some.expand(len(part), -1, -1), retina=retina)
                        for some in points.split(batch_size)
                    ],
                    dim=1,
                )
                values = logits.float().softmax(-1).cpu().numpy()
                if found is None:
                    found = np.empty((len(images), *chosen.shape, values.shape[-1]), dtype=np.float32)
                found[rows, chosen] = values
    maps = xr.DataArray(
        found, dims=("stimulus", "fix_y", "fix_x", "class"),
        coords={"fix_y": grid.fix_y, "fix_x": grid.fix_x, "scale": (("fix_y", "fix_x"), grid.scale)},
    )  # fmt: skip
    return maps if wanted is None else select_class(maps, wanted)


def select_class(maps: xr.DataArray, labels: ArrayLike) -> xr.DataArray:
    """Maps of one class of each image.

    Parameters
    ----------
    maps : xarray.DataArray
        Of :func:`compute_fixation_maps` without labels.
    labels : array of int of shape (n,)

    Raises
    ------
    ValueError
        If the labels do not fit the images or the classes.
    """
    if "class" not in maps.dims:
        raise ValueError(f"maps must hold all classes, got dims {maps.dims}; compute them without labels.")
    wanted = check_array(
        "labels", labels, shape=(maps.sizes["stimulus"],), minimum=0, maximum=maps.sizes["class"] - 1,
        dtype=np.int64, remedy="number classes from 0",
    )  # fmt: skip
    rows, classes = (xr.DataArray(index, dims="stimulus") for index in (np.arange(len(wanted)), wanted))
    return maps.isel({"stimulus": rows, "class": classes}).transpose("stimulus", "fix_y", "fix_x")


def choose_saccades(maps: xr.DataArray) -> NDArray[np.float64]:
    """Where the saccade goes: the fixation of the largest value.

    Parameters
    ----------
    maps : xarray.DataArray
        Dims ("stimulus", "fix_y", "fix_x"): maps of one class, the largest value over classes (which does not
        know the answer), or any other map over the grid.

    Returns
    -------
    array of shape (n, 2)
        (x, y) in [-1, 1]; the first in reading order among equals.

    Raises
    ------
    ValueError
        If the dims are others or a map is not finite.
    """
    values = check_maps(maps).reshape(maps.sizes["stimulus"], -1)
    row, column = np.unravel_index(values.argmax(axis=1), maps.shape[1:])
    return np.stack([maps["fix_x"].values[column], maps["fix_y"].values[row]], axis=-1)


def check_maps(maps: xr.DataArray) -> NDArray[np.float64]:
    """Values of maps after checking their dims, ("stimulus", "fix_y", "fix_x"), and that they are finite."""
    if maps.dims != ("stimulus", "fix_y", "fix_x"):
        raise ValueError(
            f"maps must have dims ('stimulus', 'fix_y', 'fix_x'), got {maps.dims}; select one class first."
        )
    return check_array("maps", maps.values, dtype=np.float64)


def center_maps(maps: xr.DataArray) -> xr.DataArray:
    """Mean over images of maps shifted so that their maximum is in the middle.

    Parameters
    ----------
    maps : xarray.DataArray
        Dims ("stimulus", "fix_y", "fix_x"); the grid is evenly spaced, its sides odd.

    Returns
    -------
    xarray.DataArray
        Dims ("shift_y", "shift_x") of the grid's size, the mean over the images whose shifted map reaches
        there; NaN where none does. The coordinate ``n_maps`` says how many do.

    Raises
    ------
    ValueError
        If the dims are others, a map is not finite or a side is even.
    """
    values = check_maps(maps)
    n_rows, n_columns = values.shape[1:]
    if n_rows % 2 == 0 or n_columns % 2 == 0:
        raise ValueError(f"maps must have odd sides, got {n_rows} x {n_columns}; use an odd grid.")
    total, count = np.zeros((n_rows, n_columns)), np.zeros((n_rows, n_columns), dtype=int)
    for values_of_one in values:
        row, column = np.unravel_index(values_of_one.argmax(), values_of_one.shape)
        down, across = n_rows // 2 - row, n_columns // 2 - column
        to = tuple(slice(max(0, s), n + min(0, s)) for s, n in ((down, n_rows), (across, n_columns)))
        start = tuple(slice(max(0, -s), n + min(0, -s)) for s, n in ((down, n_rows), (across, n_columns)))
        total[to] += values_of_one[start]
        count[to] += 1
    step_y, step_x = (float(np.diff(maps[name].values).mean()) for name in ("fix_y", "fix_x"))
    return xr.DataArray(
        np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0),
        dims=("shift_y", "shift_x"),
        coords={
            "shift_y": (np.arange(n_rows) - n_rows // 2) * step_y,
            "shift_x": (np.arange(n_columns) - n_columns // 2) * step_x,
            "n_maps": (("shift_y", "shift_x"), count),
        },
    )


def compute_log_odds(probability: ArrayLike, *, floor: float = 1e-6) -> NDArray[np.float64]:
    """Natural log-odds of probabilities held within ``[floor, 1 - floor]``.

    The difference of the log-odds of two mean maps is how the paper compares retinas.
    """
    p = np.clip(check_array("probability", probability, finite=False, dtype=np.float64), floor, 1 - floor)
    return np.log(p) - np.log1p(-p)
