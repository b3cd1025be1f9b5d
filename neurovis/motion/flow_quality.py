"""Models of motion measured side by side on generated movies with exact flow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurovis.core import check_array
from neurovis.metrics.flow import compute_epe
from neurovis.motion.flow_training_data import KINDS, make_flow_movie
from neurovis.motion.protocols import FlowModel

STILL = "zero flow"
"""Name of the estimate that nothing moves, against which every error is read."""


def measure_flow(
    models: Sequence[FlowModel], *, n_movies: int, seed: int, size_px: int = 64
) -> dict[str, dict[str, float]]:
    """Mean end-point error of models by kind of motion.

    Parameters
    ----------
    models : sequence of FlowModel
        Each sees its number of frames around the same moment of every movie.
    n_movies : int
        Movies of each kind in :data:`neurovis.motion.flow_training_data.KINDS`.
    seed : int
        Seed of the movies; none that a model was trained on.
    size_px : int
        Side of the frames [px].

    Returns
    -------
    dict of str to dict of str to float
        Model -> kind -> mean error over pixels and movies [px], and ``all``, the mean over kinds. The model
        ``zero flow`` says how fast things are.
    """
    check_array("n_movies", n_movies, ndim=0, minimum=1, remedy="pass how many movies of each kind")
    n_frames = max([2, *(model.n_frames for model in models)])
    moment = (n_frames - 1) // 2
    errors: dict[str, dict[str, list[float]]] = {
        name: {kind: [] for kind in KINDS} for name in (STILL, *(model.name for model in models))
    }
    for kind in KINDS:
        for index in range(n_movies):
            movie = make_flow_movie(seed, index, kind=kind, n_frames=n_frames, size_px=size_px)
            truth = movie.flow[moment]
            errors[STILL][kind].append(float(np.hypot(*np.moveaxis(truth, -1, 0)).mean()))
            for model in models:
                start = moment - (model.n_frames - 1) // 2
                flow = model(movie.frames[start : start + model.n_frames])
                errors[model.name][kind].append(float(compute_epe(truth, flow).mean()))
    table = {
        name: {kind: round(float(np.mean(values)), 4) for kind, values in by_kind.items()}
        for name, by_kind in errors.items()
    }
    for row in table.values():
        row["all"] = round(float(np.mean([row[kind] for kind in KINDS])), 4)
    return table


def name_best(table: dict[str, dict[str, float]]) -> dict[str, str]:
    """Model with the lowest error of each kind, from the table of :func:`measure_flow`."""
    kinds = next(iter(table.values()))
    return {kind: min(table, key=lambda name: table[name][kind]) for kind in kinds}


def format_quality(table: dict[str, dict[str, float]]) -> str:
    """Table of :func:`measure_flow` as Markdown."""
    kinds = list(next(iter(table.values())))
    lines = ["| model | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{row[kind]:.3f}" for kind in kinds) + " |"
        for name, row in table.items()
    ]
    return "\n".join(lines)
