"""How a classifier bears rotation, zoom and translation of its images.

Protocols of arXiv 2402.15480 (Vision 2026, 10(2):17): accuracy and probability of the true class along a
series of transforms of the same images. Any function from images to logits can be swept; a classifier with a
retina is swept by turning or widening the retina, which loses no corners and interpolates once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from torch import Tensor, nn

from neurovis.core import check_array, check_option
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.points import check_points, make_square
from neurovis.foveation.sampling import LogPolarSampler
from neurovis.metrics.regression import pearson_r
from neurovis.metrics.resampling import draw_counts, score_samples

TRANSFORMS = ("rotation", "zoom", "shift")
Classify = Callable[[Tensor], Tensor]


def transform_images(images: Tensor, *, transform: str, amount: float | Sequence[float]) -> Tensor:
    """Turn, zoom or move square images.

    Parameters
    ----------
    images : Tensor of shape (n, channels, side, side)
        Floating point.
    transform : {"rotation", "zoom", "shift"}
    amount : float or (float, float)
        Rotation: degrees counter-clockwise about the middle, zeros outside, nothing expanded. Zoom: factor of
        enlargement about the middle. Shift: (x, y) in half sides, rounded to whole pixels; what leaves on one
        side enters on the other, so nothing is lost.

    Returns
    -------
    Tensor of the images' shape

    Raises
    ------
    TypeError, ValueError
        If the images are not square or not floating point, or the transform or its amount is not possible.
    """
    check_option("transform", transform, TRANSFORMS)
    images = make_square(images)
    if transform == "shift":
        x, y = check_array("amount", amount, shape=(2,), remedy="pass (x, y) in half sides")
        pixels = [round(float(length) * images.shape[-1] / 2) for length in (y, x)]
        return images.roll(pixels, (-2, -1))
    number = float(check_array("amount", amount, ndim=0, remedy="pass one number"))
    if transform == "zoom" and number <= 0:
        raise ValueError(f"amount must be positive for a zoom, got {number}; 2 enlarges twice.")
    turn = np.deg2rad(number) if transform == "rotation" else 0.0
    scale = 1 / number if transform == "zoom" else 1.0
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0]])
    grid = nn.functional.affine_grid(
        torch.from_numpy(matrix).to(images).expand(len(images), 2, 3), list(images.shape), align_corners=False
    )
    return nn.functional.grid_sample(images, grid, align_corners=False)


def sweep_images(
    classify: Classify,
    images: Tensor,
    labels: ArrayLike,
    *,
    transform: str,
    amounts: ArrayLike,
    batch_size: int = 64,
) -> xr.Dataset:
    """Classify images transformed by each of several amounts.

    Parameters
    ----------
    classify : callable
        Images (n, channels, side, side) to logits (n, n_classes); a module in evaluation mode.
    images : Tensor of shape (n, channels, side, side)
    labels : array of int of shape (n,)
        True classes.
    transform, amounts
        Each amount as in :func:`transform_images`; shifts as an array of shape (m, 2).
    batch_size : int
        Images in one call.

    Returns
    -------
    xarray.Dataset
        ``probability`` of the true class and ``correct`` (bool), dims ("stimulus", "amount"); the coordinate
        ``amount`` for rotation and zoom, ``shift_x`` and ``shift_y`` for shifts.

    Raises
    ------
    TypeError, ValueError
        As :func:`transform_images`, and if labels do not fit the images or the classes.
    """

    steps = _check_amounts(transform, amounts)

    def look(rows: slice) -> Iterator[Tensor]:
        for amount in steps:
            yield classify(transform_images(images[rows], transform=transform, amount=amount))

    return _sweep(look, len(images), labels, transform, steps, batch_size)


def sweep_retina(
    classifier: FoveatedClassifier,
    images: Tensor,
    labels: ArrayLike,
    *,
    transform: str,
    amounts: ArrayLike,
    fixations: ArrayLike | None = None,
    keep_inner: bool = False,
    batch_size: int = 64,
) -> xr.Dataset:
    """Sweep a classifier through its retina: about the fixation, with one interpolation.

    Parameters
    ----------
    classifier : FoveatedClassifier
        In evaluation mode.
    images, labels, transform, amounts, batch_size
        As in :func:`sweep_images`.
    fixations : array of shape (n, 2), optional
        (x, y) in [-1, 1]; the middle by default.
    keep_inner : bool
        In a zoom change the outer radius alone, as in the paper; by default the whole retina shrinks, which
        is a zoom of the image.

    Returns
    -------
    xarray.Dataset
        As of :func:`sweep_images`.

    Raises
    ------
    TypeError, ValueError
        As :func:`sweep_images`.

    Notes
    -----
    Rotations by multiples of ``360 / n_theta`` of a log-polar retina are circular shifts of columns of one
    sampled image, so only the network runs again.
    """
    classifier.eval()
    steps = _check_amounts(transform, amounts)
    retina = classifier.retina
    points = check_points(fixations, images)[:, 0]

    def look(rows: slice) -> Iterator[Tensor]:
        part, where = images[rows], points[rows]
        # Not in the loop: all turns by whole columns share these samples.
        straight = classifier.look(part, where) if transform == "rotation" else None
        for amount in steps:
            if transform == "zoom":
                yield classifier(part, where, retina=retina.zoom(1 / float(amount), keep_inner=keep_inner))
            elif straight is None:
                yield classifier(transform_images(part, transform=transform, amount=amount), where)
            elif isinstance(retina, LogPolarSampler) and _is_whole(n := amount * retina.n_theta / 360):
                yield classifier.backbone(straight.roll(-round(float(n)), -1))
            else:
                yield classifier(part, where, angle_deg=float(amount))

    return _sweep(look, len(images), labels, transform, steps, batch_size)


def summarise_sweep(
    sweep: xr.Dataset, other: xr.Dataset | None = None, *, n_bootstraps: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Accuracy of a sweep in a few numbers, with intervals over images.

    Parameters
    ----------
    sweep : xarray.Dataset
        Of :func:`sweep_images` or :func:`sweep_retina`, with rotations or zooms among which is none: 0
        degrees, or a factor of 1.
    other : xarray.Dataset, optional
        Sweep of another classifier through the same images and amounts; the numbers are then differences
        ``sweep - other`` and images are resampled together.
    n_bootstraps, seed
        Of the percentile bootstrap.

    Returns
    -------
    pandas.DataFrame
        Columns ``value``, ``low`` and ``high`` (95 %); rows ``unchanged`` (accuracy at no change), ``area``
        (mean accuracy along degrees or octaves, by trapezoids), ``worst`` (lowest accuracy of any amount),
        ``loss`` (``unchanged - area``) and ``likeness``: correlation over images of the probability of the
        true class with that at no change, averaged over the other amounts.

    Raises
    ------
    ValueError
        If amounts are shifts, fewer than three, do not rise or lack the one of no change, or the sweeps
        disagree.
    """
    if "amount" not in sweep.coords or sweep.sizes["amount"] < 3:
        raise ValueError(
            "sweep must hold at least 3 rotations or zooms, got "
            f"{dict(sweep.sizes)}; pass more amounts, or take the means of a sweep of shifts."
        )
    amounts, transform = sweep["amount"].values, sweep.attrs["transform"]
    still = np.flatnonzero(np.isclose(amounts, 0 if transform == "rotation" else 1))
    if not len(still) or (np.diff(amounts) <= 0).any():
        raise ValueError(
            f"amounts must rise and include the one of no change, got {amounts.tolist()}; sort or add it."
        )
    sweeps = [sweep] if other is None else [sweep, other]
    if other is not None and not (
        sweep["correct"].shape == other["correct"].shape and np.array_equal(amounts, other["amount"])
    ):
        raise ValueError(
            f"other must hold the same images and amounts, got {dict(other.sizes)}; sweep it likewise."
        )
    place = amounts if transform == "rotation" else np.log2(amounts)
    n = sweep.sizes["stimulus"]
    # The first sample is the data themselves: every image once.
    counts = np.concatenate([np.ones((1, n), int), draw_counts(n, n_bootstraps, seed=seed)])
    tables = [_describe(part, counts, int(still[0]), place) for part in sweeps]
    samples = tables[0] if other is None else {key: tables[0][key] - tables[1][key] for key in tables[0]}
    rows = {key: (values[0], *np.quantile(values[1:], [0.025, 0.975])) for key, values in samples.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])


def _describe(
    sweep: xr.Dataset, counts: NDArray[np.int_], still: int, place: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Each statistic for every sample of images."""
    n = counts.shape[1]
    curves = counts @ sweep["correct"].values.astype(np.float64) / n
    area = trapezoid(curves, place, axis=1) / (place[-1] - place[0])
    probability = sweep["probability"].values.astype(np.float64)
    others = np.delete(probability, still, axis=1)
    reference = np.repeat(probability[:, [still]], others.shape[1], axis=1)
    return {
        "unchanged": curves[:, still], "area": area, "worst": curves.min(axis=1),
        "loss": curves[:, still] - area,
        "likeness": score_samples(pearson_r, reference, others, counts).mean(axis=1),
    }  # fmt: skip


def _check_amounts(transform: str, amounts: ArrayLike) -> NDArray[np.float64]:
    check_option("transform", transform, TRANSFORMS)
    shape = (None, 2) if transform == "shift" else (None,)
    steps = check_array(
        "amounts", amounts, shape=shape, dtype=np.float64, remedy=f"see transform_images for a {transform}"
    )
    if not len(steps):
        raise ValueError("amounts must hold at least one amount, got none; pass for example [0, 90].")
    if transform == "zoom" and steps.min() <= 0:
        raise ValueError(f"amounts must be positive for a zoom, got {steps.min()}; 2 enlarges twice.")
    return steps


def _is_whole(number: float) -> bool:
    return bool(abs(number - round(float(number))) < 1e-9)


def _sweep(
    look: Callable[[slice], Iterator[Tensor]],
    n: int,
    labels: ArrayLike,
    transform: str,
    steps: NDArray[np.float64],
    batch_size: int,
) -> xr.Dataset:
    """Ask ``look`` for the logits of each amount, a part of the images at a time."""
    truth = torch.as_tensor(check_array("labels", labels, shape=(n,), minimum=0, dtype=np.int64))
    probability = np.empty((n, len(steps)), dtype=np.float32)
    correct = np.empty((n, len(steps)), dtype=bool)
    with torch.no_grad():
        for start in range(0, n, batch_size):
            rows = slice(start, start + batch_size)
            own = truth[rows]
            for column, logits in enumerate(look(rows)):
                if logits.ndim != 2 or own.max() >= logits.shape[1]:
                    raise ValueError(
                        f"labels must be classes of logits (n, n_classes), got {int(own.max())} for logits "
                        f"{tuple(logits.shape)}; number classes from 0."
                    )
                values = logits.float().softmax(1).cpu()
                probability[rows, column] = values.gather(1, own[:, None])[:, 0]
                correct[rows, column] = (values.argmax(1) == own).numpy()
    coords = (
        {"shift_x": ("amount", steps[:, 0]), "shift_y": ("amount", steps[:, 1])}
        if transform == "shift"
        else {"amount": steps}
    )
    both = {"probability": probability, "correct": correct}
    return xr.Dataset(
        {name: (("stimulus", "amount"), values) for name, values in both.items()},
        coords=coords, attrs={"transform": transform},
    )  # fmt: skip
