"""A searcher whose rule is known: looks at what resembles the target and is near."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from neurovis.core import check_array, make_rng
from neurovis.gaze.oat_trials import ObjectLayout, ObjectTrial, make_grid_layout

_CELL_PX = 100


def simulate_search(
    similarity: ArrayLike,
    centres: ArrayLike,
    target: int,
    *,
    start: ArrayLike,
    similarity_weight: float = 1.0,
    distance_weight: float = 0.6,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[int]:
    """Scanpath of one search, which ends on the target.

    Parameters
    ----------
    similarity : array-like of shape (n_objects,)
        How much every object resembles the target.
    centres : array-like of shape (n_objects, 2)
        Places of the objects.
    target : int
        Which object is searched for.
    start : array-like of shape (2,)
        Where the eye is at first, in the unit of the centres.
    similarity_weight, distance_weight : float
        The next object is the unvisited one with the largest ``similarity_weight * similarity -
        distance_weight * distance`` from the present place.
    noise : float
        Scale of Gumbel noise on that value: choices then follow a softmax of this temperature.
    rng : numpy.random.Generator, optional
        Needed with noise.

    Returns
    -------
    list of int
        Fixated objects; each at most once, the target last.

    Raises
    ------
    ValueError
        If shapes do not fit, the target is not an object, or noise comes without a generator.
    """
    value = check_array("similarity", similarity, ndim=1, dtype=float) * similarity_weight
    places = check_array("centres", centres, shape=(len(value), 2), dtype=float)
    eye = check_array("start", start, shape=(2,), dtype=float)
    check_array("target", target, ndim=0, minimum=0, maximum=len(value) - 1)
    if noise > 0 and rng is None:
        raise ValueError(f"rng must be given with noise, got noise={noise} alone; pass make_rng(seed).")
    free = np.ones(len(value), dtype=bool)
    path: list[int] = []
    while not path or path[-1] != target:
        total = value - distance_weight * np.hypot(*(places - eye).T)
        if noise > 0 and rng is not None:
            total = total + noise * rng.gumbel(size=len(total))
        chosen = int(np.where(free, total, -np.inf).argmax())
        path.append(chosen)
        free[chosen] = False
        eye = places[chosen]
    return path


@dataclass(frozen=True)
class GridSearcher:
    """Displays on a grid whose objects are random unit vectors, and scanpaths of a known rule over them.

    Parameters
    ----------
    n_rows, n_columns : int
        Cells of the grid.
    n_features : int
        Length of the appearance vectors.
    similarity_weight, distance_weight : float
        See :func:`simulate_search`; distances count cells, the first one from row ``n_rows // 2`` and column
        ``n_columns // 2``.
    """

    n_rows: int = 4
    n_columns: int = 6
    n_features: int = 16
    similarity_weight: float = 1.0
    distance_weight: float = 0.6

    def make_trials(self, n_trials: int, *, seed: int) -> list[ObjectTrial]:
        """New displays and the searcher's scanpaths over them; reproducible."""
        layout = make_grid_layout(
            (self.n_rows * _CELL_PX, self.n_columns * _CELL_PX), self.n_rows, self.n_columns
        )
        rng = make_rng(seed, "grid searcher")
        return [self._make_trial(layout, rng, row) for row in range(n_trials)]

    def _make_trial(self, layout: ObjectLayout, rng: np.random.Generator, row: int) -> ObjectTrial:
        n = len(layout)
        looks = rng.standard_normal((n, self.n_features))
        looks /= np.linalg.norm(looks, axis=1, keepdims=True)
        target = int(rng.integers(n))
        cells = layout.cells if layout.cells is not None else np.zeros((n, 2), dtype=int)
        path = simulate_search(
            looks @ looks[target], cells, target, start=(self.n_rows // 2, self.n_columns // 2),
            similarity_weight=self.similarity_weight, distance_weight=self.distance_weight,
        )  # fmt: skip
        looks = looks.astype(np.float32)
        return ObjectTrial(
            f"display_{row}", "searcher", "random", layout, looks, looks[target], target, tuple(path)
        )
