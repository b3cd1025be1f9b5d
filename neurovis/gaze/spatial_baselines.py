"""Scanpaths over objects without looking at them: chance, the centre, short saccades, no return, the target.

Each baseline is a conditional logit over the objects of a display and the end of the search. What a model of
scanpaths says beyond them is what it learned from appearance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, make_rng
from neurovis.gaze.conditional_logit import compute_choice_log_probabilities, fit_conditional_logit
from neurovis.gaze.oat_trials import ObjectTrial

EFFECTS = ("centre", "distance", "visited", "target")
BASELINES: dict[str, tuple[str, ...]] = {
    "uniform": (),
    "centre bias": ("centre",),
    "distance Markov": ("distance",),
    "centre, distance and return": ("centre", "distance", "visited"),
    "target only": ("target",),
    "all effects and target": ("centre", "distance", "visited", "target"),
}
"""Effects of the usual baselines; the last two know where the target is, as no searcher does."""

# Upper edges of distance from the previous object, as shares of the display's longer side.
_DISTANCE_EDGES = (1e-6, 0.06, 0.1, 0.15, 0.22, 0.32, 0.45, 0.65)
_N_FEATURES = {"centre": 5, "distance": len(_DISTANCE_EDGES), "visited": 1, "target": 2}


@runtime_checkable
class ObjectScanpathModel(Protocol):
    """Probabilities and samples of scanpaths over objects."""

    @property
    def name(self) -> str:
        """Name of the model in tables."""
        ...

    def compute_log_probabilities(self, trials: Sequence[ObjectTrial]) -> list[NDArray[np.float64]]:
        """Per trial (len(path) + 1, n_objects + 1): of each next object and of the end, given the true past.

        Natural logarithm; the last column is the end, which has none at the first step.
        """
        ...

    def sample(self, trials: Sequence[ObjectTrial], *, n_paths: int, seed: int) -> list[list[list[int]]]:
        """Per trial ``n_paths`` scanpaths over its display; the trials' own paths are not read."""
        ...


@dataclass(frozen=True, eq=False)
class SpatialBaseline:
    """Fitted baseline; made by :func:`fit_spatial_baseline`.

    Parameters
    ----------
    name : str
        Name in tables.
    effects : tuple of str
        Of :data:`EFFECTS`.
    weights : array
        Of the effects' features and of the end.
    max_length : int
        Longest scanpath that is sampled.
    """

    name: str
    effects: tuple[str, ...]
    weights: NDArray[np.float64]
    max_length: int

    def compute_log_probabilities(self, trials: Sequence[ObjectTrial]) -> list[NDArray[np.float64]]:
        """See :class:`ObjectScanpathModel`."""
        return [
            np.stack([self._predict(trial, np.array([past], dtype=int))[0] for past in _list_pasts(trial)])
            for trial in trials
        ]

    def sample(self, trials: Sequence[ObjectTrial], *, n_paths: int, seed: int) -> list[list[list[int]]]:
        """See :class:`ObjectScanpathModel`."""
        check_array("n_paths", n_paths, ndim=0, minimum=1)
        return [
            self._sample(trial, n_paths, make_rng(seed, "baseline", row)) for row, trial in enumerate(trials)
        ]

    def _sample(self, trial: ObjectTrial, n_paths: int, rng: np.random.Generator) -> list[list[int]]:
        end = len(trial.layout)
        past = np.zeros((n_paths, 0), dtype=int)
        over = np.zeros(n_paths, dtype=bool)
        paths: list[list[int]] = [[] for _ in range(n_paths)]
        while not over.all() and past.shape[1] < self.max_length:
            cumulative = np.exp(self._predict(trial, past)).cumsum(axis=1)
            drawn = rng.random((n_paths, 1)) * cumulative[:, -1:]
            chosen = (cumulative < drawn).sum(axis=1)
            over |= chosen == end
            for row in np.flatnonzero(~over):
                paths[row].append(int(chosen[row]))
            # Paths that are over go on unread, so that the array keeps its shape.
            past = np.column_stack([past, np.where(over, 0, chosen)])
        return paths

    def _predict(self, trial: ObjectTrial, past: NDArray[np.int_]) -> NDArray[np.float64]:
        features = _describe_options(trial, past, self.effects)
        available = np.ones(features.shape[:2], dtype=bool)
        available[:, -1] = past.shape[1] > 0
        return compute_choice_log_probabilities(features, self.weights, available=available)


def fit_spatial_baseline(
    trials: Sequence[ObjectTrial], effects: Sequence[str], *, name: str | None = None
) -> SpatialBaseline:
    """Fit a baseline to scanpaths.

    Parameters
    ----------
    trials : sequence of ObjectTrial
        Training trials.
    effects : sequence of str
        Of ``"centre"`` (a quadratic in the place), ``"distance"`` (of the next object from the present one,
        in steps), ``"visited"`` (objects fixated before the present one; a negative weight is inhibition of
        return) and ``"target"`` (the target's true place, and an end after reaching it). The end has a rate
        that changes with the number of fixations in every baseline.
    name : str, optional
        Name in tables; the effects by default.

    Returns
    -------
    SpatialBaseline

    Raises
    ------
    ValueError
        If there are no trials, an effect is unknown, or ``"target"`` is asked of trials without one.
    """
    chosen = tuple(check_option("effects", effect, EFFECTS) for effect in effects)
    if not trials:
        raise ValueError("trials must hold at least one trial, got none; check the split.")
    if "target" in chosen and any(trial.target is None for trial in trials):
        raise ValueError("effects must not hold 'target' where trials have no target; leave it out.")
    n = max(len(trial.layout) for trial in trials)
    n_cases = sum(len(trial.path) + 1 for trial in trials)
    n_features = sum(_N_FEATURES[effect] for effect in chosen) + 2
    features = np.zeros((n_cases, n + 1, n_features))
    counts, available = np.zeros((n_cases, n + 1)), np.zeros((n_cases, n + 1), dtype=bool)
    case = 0
    for trial in trials:
        own = len(trial.layout)
        options = np.r_[:own, n]
        for step, past in enumerate(_list_pasts(trial)):
            features[case, options] = _describe_options(trial, np.array([past], dtype=int), chosen)[0]
            available[case, options] = True
            available[case, n] = step > 0
            counts[case, trial.path[step] if step < len(trial.path) else n] = 1
            case += 1
    weights = fit_conditional_logit(features, counts, available=available)
    return SpatialBaseline(
        name or (" + ".join(chosen) or "uniform"), chosen, weights, max(len(trial.path) for trial in trials)
    )


def fit_spatial_baselines(trials: Sequence[ObjectTrial]) -> list[SpatialBaseline]:
    """Every one of :data:`BASELINES` that the trials allow: without targets, none that knows the target."""
    has_target = all(trial.target is not None for trial in trials)
    return [
        fit_spatial_baseline(trials, effects, name=name)
        for name, effects in BASELINES.items()
        if has_target or "target" not in effects
    ]


def _list_pasts(trial: ObjectTrial) -> Iterator[tuple[int, ...]]:
    """What had been fixated before every step, the end included."""
    return (trial.path[:step] for step in range(len(trial.path) + 1))


def _describe_options(trial: ObjectTrial, past: ArrayLike, effects: tuple[str, ...]) -> NDArray[np.float64]:
    """Features (n_paths, n_objects + 1, k) of the objects and of the end after pasts (n_paths, n_steps)."""
    seen = np.asarray(past, dtype=int)
    n_paths, n_steps = seen.shape
    layout, n = trial.layout, len(trial.layout)
    height, width = layout.size_px
    parts: list[NDArray[np.float64]] = []
    if "centre" in effects:
        u, v = (layout.centres / (width, height) - 0.5).T
        quadratic = np.column_stack([u, v, u * u, v * v, u * v])
        parts.append(np.broadcast_to(quadratic, (n_paths, n, 5)))
    if "distance" in effects:
        middle = np.array(trial.start_px or (width / 2, height / 2))
        here = layout.centres[seen[:, -1]] if n_steps else np.broadcast_to(middle, (n_paths, 2))
        distance = np.hypot(*np.moveaxis(layout.centres - here[:, None], 2, 0)) / max(height, width)
        bin_of = np.searchsorted(_DISTANCE_EDGES, distance)
        # The last bin is the reference, so that the weights are unique.
        parts.append((bin_of[..., None] == np.arange(len(_DISTANCE_EDGES))).astype(float))
    if "visited" in effects:
        earlier = (seen[:, :-1, None] == np.arange(n)).any(axis=1) if n_steps > 1 else np.zeros((n_paths, n))
        parts.append(np.asarray(earlier, dtype=float)[..., None])
    if "target" in effects:
        is_target = np.broadcast_to(np.arange(n) == trial.target, (n_paths, n)).astype(float)
        parts.append(np.stack([is_target, np.zeros((n_paths, n))], axis=2))
    k = sum(part.shape[2] for part in parts)
    options = np.zeros((n_paths, n + 1, k + 2))
    options[:, :n, :k] = np.concatenate(parts, axis=2) if parts else np.zeros((n_paths, n, 0))
    if "target" in effects and n_steps:
        options[:, n, k - 1] = seen[:, -1] == trial.target
    options[:, n, k:] = (1.0, np.log1p(n_steps))
    return options
