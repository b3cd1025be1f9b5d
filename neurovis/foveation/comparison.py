"""What a foveated retina changes: robustness, localisation and saccades of classifiers on the same scenes.

Follows arXiv 2402.15480 (Vision 2026, 10(2):17) on the stimulus world, with controls that the paper lacks:
maps of a wrong class, masks of another scene, and saccades that do not know the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import make_rng
from neurovis.foveation.cam import compute_grad_cam
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.likelihood import (
    FixationGrid,
    center_maps,
    choose_saccades,
    compute_fixation_maps,
    make_fixation_grid,
    select_class,
)
from neurovis.foveation.localisation import (
    compute_box_distance,
    compute_energy_ratio,
    compute_iou_curve,
    compute_pointing,
    sample_masks,
)
from neurovis.foveation.sweeps import summarise_sweep, sweep_retina
from neurovis.foveation.world import RETINAS, load_world_classifier
from neurovis.foveation.world_training import WorldViews, make_world_views, to_tensor
from neurovis.metrics.resampling import draw_counts
from neurovis.stimuli.world import CATEGORIES

ANGLES_DEG = tuple(np.arange(-180.0, 181.0, 15.0).tolist())
ZOOMS = tuple((2.0 ** np.arange(-1.5, 1.51, 0.25)).tolist())
LOCALISATION_SCALE = 0.6
"""Outer radius of the window of likelihood maps, in half sides of the scene: narrower than the retina was
trained with. Of 0.2, 0.3, 0.4, 0.6 and 0.8 chosen on scenes of the test seed, which no comparison shows."""

_CAM_LAYER = "stage3"
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class FoveationComparison:
    """Tables of :func:`compare_foveation`; ``low`` and ``high`` bound 95 % of bootstrap samples of scenes.

    Parameters
    ----------
    curves : pandas.DataFrame
        ``classifier``, ``transform``, ``amount``, ``accuracy``, ``low``, ``high``.
    by_seed : pandas.DataFrame
        ``classifier``, ``transform``, ``seed``, ``area`` and ``worst``: the same sweeps, one world each.
    robustness : pandas.DataFrame
        ``classifier`` (or ``"a - b"``), ``transform``, ``statistic``, ``value``, ``low``, ``high``; see
        :func:`neurovis.foveation.sweeps.summarise_sweep`.
    localisation : pandas.DataFrame
        ``classifier``, ``map`` (``likelihood``; its controls ``wrong class`` and ``other scene``;
        ``grad-cam``; ``constant``, which is chance), ``measure``, ``value``, ``low``, ``high``.
    saccades : pandas.DataFrame
        ``classifier``, ``fixation`` and its ``accuracy`` with ``low`` and ``high``.
    mean_maps : dict of str to xarray.DataArray
        Likelihood maps shifted to their maximum and averaged; see
        :func:`neurovis.foveation.likelihood.center_maps`.
    """

    curves: pd.DataFrame
    by_seed: pd.DataFrame
    robustness: pd.DataFrame
    localisation: pd.DataFrame
    saccades: pd.DataFrame
    mean_maps: dict[str, xr.DataArray]


def compare_foveation(
    classifiers: Mapping[str, FoveatedClassifier] | None = None,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    n_images: int = 120,
    angles_deg: Sequence[float] = ANGLES_DEG,
    zooms: Sequence[float] = ZOOMS,
    grid: FixationGrid | None = None,
    n_bootstraps: int = 2000,
    seed: int = 0,
) -> FoveationComparison:
    """Compare classifiers of the stimulus world on scenes that none has seen.

    Parameters
    ----------
    classifiers : mapping of str to FoveatedClassifier, optional
        By name; the shipped ``logpolar`` and ``cartesian`` by default. Differences are taken from the first.
    seeds : sequence of int
        Seeds of the worlds; scenes of all are pooled.
    n_images : int
        Scenes of each world, a multiple of 12 for balance.
    angles_deg, zooms : sequence of float
        Rotations (counter-clockwise, 0 among them) and enlargements (1 among them) about the middle of the
        dominant thing, rising.
    grid : FixationGrid, optional
        Of the likelihood maps; 11 x 11 points from -0.9 to 0.9 and windows of radius
        :data:`LOCALISATION_SCALE` by default.
    n_bootstraps, seed
        Of the intervals, of the control's wrong classes and of random fixations.

    Returns
    -------
    FoveationComparison

    Raises
    ------
    ValueError
        If there are no classifiers or seeds, or a number is out of range.

    Notes
    -----
    Places fill the scene and are left out of localisation, as are things that cover no cell of the grid. The
    best threshold of the overlap is chosen on the same scenes for every map, controls included. A map of the
    true class knows the answer, so accuracy after its saccade is an upper bound; the saccade to the most
    confident glance does not, and the random one is its control.
    """
    eyes = classifiers or {name: load_world_classifier(name) for name in RETINAS}
    if not len(seeds):
        raise ValueError("seeds must hold at least one seed, got none; pass for example seeds=(0, 1, 2).")
    worlds = [make_world_views(n_images, seed=number) for number in seeds]
    views = WorldViews(*(np.concatenate([getattr(w, name) for w in worlds]) for name in _FIELDS))
    of_seed = np.repeat(np.asarray(seeds), n_images)
    where = grid or make_fixation_grid("full", scale=LOCALISATION_SCALE)
    counts = draw_counts(len(views.labels), n_bootstraps, seed=seed)
    sweeps = {
        (name, transform): sweep_retina(
            eye, to_tensor(views.images), views.labels, transform=transform, amounts=amounts,
            fixations=views.middles,
        )
        for name, eye in eyes.items()
        for transform, amounts in (("rotation", angles_deg), ("zoom", zooms))
    }  # fmt: skip
    found = {name: _measure_maps(eye, views, where, seed) for name, eye in eyes.items()}
    return FoveationComparison(
        curves=pd.concat([_tabulate_curve(*key, sweep, counts) for key, sweep in sweeps.items()]),
        by_seed=pd.concat([_tabulate_seeds(*key, sweep, of_seed) for key, sweep in sweeps.items()]),
        robustness=_tabulate_robustness(sweeps, list(eyes), n_bootstraps, seed),
        localisation=pd.concat(
            [_tabulate_scores(name, maps.scores, n_bootstraps, seed) for name, maps in found.items()]
        ),
        saccades=pd.concat([_tabulate_saccades(name, maps.right, counts) for name, maps in found.items()]),
        mean_maps={name: maps.mean for name, maps in found.items()},
    )


_FIELDS = ("images", "labels", "masks", "middles")


@dataclass(frozen=True, eq=False)
class _Maps:
    """Scores of every scene (kind -> measure -> values), hits by fixation, and the centred mean map."""

    scores: dict[str, dict[str, NDArray[np.float64]]]
    right: dict[str, NDArray[np.bool_]]
    mean: xr.DataArray


def _measure_maps(eye: FoveatedClassifier, views: WorldViews, grid: FixationGrid, seed: int) -> _Maps:
    rng = make_rng(seed, "foveation", "controls")
    images, labels = to_tensor(views.images), views.labels
    maps = compute_fixation_maps(eye, images, grid)
    own = select_class(maps, labels)
    wrong = select_class(maps, (labels + rng.integers(1, len(CATEGORIES), len(labels))) % len(CATEGORIES))
    random = np.stack([rng.choice(grid.fix_x, len(labels)), rng.choice(grid.fix_y, len(labels))], axis=-1)
    fixations = {
        "middle of the scene": np.zeros((len(labels), 2)),
        "middle of the thing": views.middles,
        "largest true class": choose_saccades(own),
        "most confident": choose_saccades(maps.max("class")),
        "random": random,
    }
    right = {name: _classify(eye, images, points) == labels for name, points in fixations.items()}
    masks = sample_masks(views.masks, grid.fix_x, grid.fix_y)
    kept = np.flatnonzero(
        (labels != CATEGORIES.index("place")) & masks.any(axis=(1, 2)) & ~masks.all(axis=(1, 2))
    )
    cams = _sample_cams(eye, views, kept, grid)
    shown, inside, boxes = own.values[kept], masks[kept], _find_boxes(views.masks[kept])
    # Another scene's mask keeps the habit of things to lie near the middle, but not this scene's thing.
    other = np.roll(np.arange(len(kept)), 1)
    kinds = {
        "likelihood": (shown, inside, boxes),
        "wrong class": (wrong.values[kept], inside, boxes),
        "other scene": (shown, inside[other], boxes[other]),
        "grad-cam": (cams, inside, boxes),
        "constant": (np.full_like(shown, 0.5), inside, boxes),
    }
    scores = {kind: _score_maps(*parts, grid) for kind, parts in kinds.items()}
    return _Maps(scores, right, center_maps(own[kept]))


def _score_maps(
    maps: NDArray, masks: NDArray[np.bool_], boxes: NDArray[np.float64], grid: FixationGrid
) -> dict[str, NDArray[np.float64]]:
    row, column = np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), maps.shape[1:])
    points = np.stack([grid.fix_x[column], grid.fix_y[row]], axis=-1)
    # A Grad-CAM without any evidence is zero everywhere: as good as a constant.
    positive = np.where(maps.max(axis=(1, 2), keepdims=True) > 0, maps, 1.0)
    return {
        "pointing": compute_pointing(maps, masks),
        "iou": compute_iou_curve(maps, masks),
        "energy_ratio": compute_energy_ratio(np.maximum(positive, 1e-9), masks),
        "distance": compute_box_distance(points, boxes),
    }


def _sample_cams(
    eye: FoveatedClassifier, views: WorldViews, kept: NDArray[np.intp], grid: FixationGrid
) -> NDArray[np.float64]:
    """Grad-CAM from the middle of the scene at the grid's points, each between 0 and its maximum of 1."""
    side, parts = views.images.shape[1], []
    x, y = np.meshgrid(grid.fix_x, grid.fix_y)
    columns, rows = (np.clip(((v + 1) / 2 * side).astype(int), 0, side - 1) for v in (x, y))
    for part in np.array_split(kept, max(1, len(kept) // _CHUNK)):
        cam = compute_grad_cam(eye, to_tensor(views.images[part]), views.labels[part], layer=_CAM_LAYER)
        parts.append(eye.retina.invert(cam, side_px=side)[:, 0, rows, columns].numpy())
    cams = np.concatenate(parts).astype(np.float64)
    largest = cams.max(axis=(1, 2), keepdims=True)
    return np.divide(cams, largest, out=np.zeros_like(cams), where=largest > 0)


def _classify(eye: FoveatedClassifier, images: torch.Tensor, points: NDArray[np.float64]) -> NDArray:
    eye.eval()
    parts = zip(images.split(_CHUNK), torch.from_numpy(points).split(_CHUNK), strict=True)
    with torch.no_grad():
        return torch.cat([eye(part, where).argmax(1) for part, where in parts]).numpy()


def _find_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(top, left, bottom, right) of masks in normalised coordinates."""
    edges = []
    for axis in (2, 1):
        line = masks.any(axis=axis)
        n = line.shape[1]
        edges.append((line.argmax(axis=1), n - line[:, ::-1].argmax(axis=1)))
    (top, bottom), (left, right) = edges
    return 2 * np.stack([top, left, bottom, right], axis=-1) / masks.shape[1] - 1


def _tabulate_curve(name: str, transform: str, sweep: xr.Dataset, counts: NDArray) -> pd.DataFrame:
    correct = sweep["correct"].values.astype(np.float64)
    low, high = np.quantile(counts @ correct / len(correct), [0.025, 0.975], axis=0)
    return pd.DataFrame(
        {"classifier": name, "transform": transform, "amount": sweep["amount"].values,
         "accuracy": correct.mean(axis=0), "low": low, "high": high}
    )  # fmt: skip


def _tabulate_seeds(name: str, transform: str, sweep: xr.Dataset, of_seed: NDArray) -> pd.DataFrame:
    rows = []
    for number in np.unique(of_seed):
        part = summarise_sweep(sweep.isel(stimulus=of_seed == number), n_bootstraps=1)["value"]
        rows.append(
            {"classifier": name, "transform": transform, "seed": int(number), **part[["area", "worst"]]}
        )
    return pd.DataFrame(rows)


def _tabulate_robustness(
    sweeps: Mapping[tuple[str, str], xr.Dataset], names: list[str], n_bootstraps: int, seed: int
) -> pd.DataFrame:
    tables = []
    for transform in dict.fromkeys(transform for _, transform in sweeps):
        first = sweeps[names[0], transform]
        pairs: dict[str, tuple[xr.Dataset, xr.Dataset | None]]
        pairs = {name: (sweeps[name, transform], None) for name in names}
        pairs |= {f"{names[0]} - {name}": (first, sweeps[name, transform]) for name in names[1:]}
        for label, (sweep, other) in pairs.items():
            table = summarise_sweep(sweep, other, n_bootstraps=n_bootstraps, seed=seed)
            table = table.rename_axis("statistic").reset_index()
            table.insert(0, "transform", transform)
            table.insert(0, "classifier", label)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _tabulate_scores(
    name: str, scores: Mapping[str, Mapping[str, NDArray[np.float64]]], n_bootstraps: int, seed: int
) -> pd.DataFrame:
    """Means over scenes; the largest of the mean overlap curve; the median of the ratio, which has a tail."""
    rows = []
    for kind, measures in scores.items():
        n = len(measures["pointing"])
        counts = np.concatenate([np.ones((1, n), int), draw_counts(n, n_bootstraps, seed=seed)])
        for measure, values in measures.items():
            if measure == "energy_ratio":
                samples = np.array([np.median(np.repeat(values, times)) for times in counts])
            else:
                samples = counts @ values / n
                samples = samples.max(axis=1) if measure == "iou" else samples
            low, high = np.quantile(samples[1:], [0.025, 0.975])
            rows.append((name, kind, measure, samples[0], low, high))
    return pd.DataFrame(rows, columns=["classifier", "map", "measure", "value", "low", "high"])


def _tabulate_saccades(name: str, right: Mapping[str, NDArray[np.bool_]], counts: NDArray) -> pd.DataFrame:
    rows = []
    for fixation, hits in right.items():
        low, high = np.quantile(counts @ hits / len(hits), [0.025, 0.975])
        rows.append((name, fixation, hits.mean(), low, high))
    return pd.DataFrame(rows, columns=["classifier", "fixation", "accuracy", "low", "high"])
