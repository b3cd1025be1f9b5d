"""How well a flow model predicts what people report at probes in movies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.io.video import VIDEO_SUFFIXES, read_video_frames, read_video_info
from neurovis.metrics.flow import bootstrap_flow_scores, compute_deviation_null
from neurovis.metrics.significance import compute_p_value
from neurovis.motion.protocols import FlowModel

_NEEDED = ("movie", "frame", "x_px", "y_px", "human_u", "human_v", "true_u", "true_v")
_TESTED = ("partial_uv", "partial_speed", "partial_direction", "partial_rank", "rci")


@dataclass(frozen=True)
class FlowScores:
    """What :func:`score_flow_model` returns.

    Parameters
    ----------
    table : pandas.DataFrame
        Index: the names of :func:`neurovis.metrics.flow.score_perceived_flow`; columns ``model``, ``value``,
        ``low`` and ``high`` (95 % interval), ``null_95`` and ``p_value`` (NaN for scores that the null does
        not concern).
    probes : pandas.DataFrame
        The probes with the model's flow there, ``model_u`` and ``model_v`` [px per frame].
    """

    table: pd.DataFrame
    probes: pd.DataFrame


def score_flow_model(
    model: FlowModel,
    frames: Mapping[str, ArrayLike],
    probes: pd.DataFrame,
    *,
    group: str | None = None,
    n_bootstraps: int = 1000,
    n_permutations: int = 1000,
    seed: int = 0,
) -> FlowScores:
    """Run a model around every probed frame and compare it with people, the truth held fixed.

    Parameters
    ----------
    model : FlowModel
        Called once for each probed frame.
    frames : mapping of str to uint8 array of shape (n_frames, height, width, 3)
        Movie -> its frames.
    probes : pandas.DataFrame
        ``movie``; ``frame`` (from 0), from which the flow goes to the next one; ``x_px`` and ``y_px`` (from
        0, y down), whose nearest pixel is read; ``human_u``, ``human_v``, ``true_u``, ``true_v`` [px per
        frame, v down].
    group : str, optional
        Column whose values are resampled and exchanged as a whole, for example ``"movie"``: groups of one
        size, four or more.
    n_bootstraps, n_permutations : int
        Of intervals and nulls.
    seed : int
        Of both.

    Returns
    -------
    FlowScores

    Raises
    ------
    ValueError
        If a column, movie or frame is missing, a probe lies outside, the model's flow has another shape, or
        groups are few or of different sizes.

    Notes
    -----
    The null keeps the truth and the model in place and gives people's deviations from the truth to other
    probes, so that knowing the truth alone does not count.
    """
    probes = _check_probes(probes, frames)
    predicted = np.empty((len(probes), 2))
    x, y = (np.rint(probes[name].to_numpy()).astype(int) for name in ("x_px", "y_px"))
    keys = pd.MultiIndex.from_frame(probes[["movie", "frame"]])
    for key in keys.unique():
        rows = np.flatnonzero(keys == key)
        flow = compute_flow_at(model, np.asarray(frames[key[0]]), int(key[1]))
        predicted[rows] = flow[y[rows], x[rows]]
    human, truth = (probes[[f"{kind}_u", f"{kind}_v"]].to_numpy(dtype=float) for kind in ("human", "true"))
    groups = None if group is None else probes[group].to_numpy()
    table = bootstrap_flow_scores(
        human, truth, predicted, groups=groups, n_bootstraps=n_bootstraps, seed=seed
    )
    null = compute_deviation_null(
        human, truth, predicted, groups=groups, n_permutations=n_permutations, seed=seed
    )
    value = table["value"][list(_TESTED)].to_numpy()
    nulls = null[list(_TESTED)].to_numpy()
    tested = pd.DataFrame(
        {"null_95": np.percentile(nulls, 95, axis=0), "p_value": compute_p_value(value, nulls)}, index=_TESTED
    )
    table = table.join(tested)
    table.insert(0, "model", model.name)
    return FlowScores(table, probes.assign(model_u=predicted[:, 0], model_v=predicted[:, 1]))


def score_flow_models(
    models: Sequence[FlowModel],
    folder: str | Path,
    probes: pd.DataFrame,
    *,
    size_px: tuple[int, int],
    group: str | None = None,
    n_bootstraps: int = 1000,
    n_permutations: int = 1000,
    seed: int = 0,
) -> FlowScores:
    """Several models on movies in files, of which only the frames around the probed moments are read.

    Parameters
    ----------
    models : sequence of FlowModel
        Names in tables tell them apart.
    folder : path
        For each probed movie a video file, a ``.npy`` array or a folder of images of that name.
    probes, group, n_bootstraps, n_permutations, seed
        As :func:`score_flow_model`.
    size_px : (int, int)
        Height and width that places and flows of the probes refer to [px]. Movies of another size with the
        same aspect are taken as they are: probes are brought to their size.

    Returns
    -------
    FlowScores
        Tables of the models one below the other, scores in the column ``score``; end-point errors are in
        pixels of the movies as they are.

    Raises
    ------
    FileNotFoundError
        If a movie is missing.
    ValueError
        If a movie has another aspect or ends too early, or as :func:`score_flow_model`.
    """
    if not models:
        raise ValueError("models must hold at least one, got none; pass for example FarnebackFlow().")
    before = max((model.n_frames - 1) // 2 for model in models)
    after = max(model.n_frames - (model.n_frames - 1) // 2 for model in models)
    frames: dict[str, NDArray[np.uint8]] = {}
    own = []
    for movie, table in probes.groupby("movie", sort=False):
        path = _find_movie(Path(folder), str(movie))
        height, width = read_video_info(path).size_px
        scale = height / size_px[0]
        if abs(scale * size_px[1] - width) > max(1.0, 0.01 * width):
            raise ValueError(
                f"{path} must have the aspect of {size_px[0]} x {size_px[1]} px, got {height} x {width}; "
                "take the movie uncropped."
            )
        first = int(table["frame"].min()) - before
        if first < 0:
            raise ValueError(
                f"probes of {movie!r} must have {before} frames before them, got {first + before}."
            )
        frames[str(movie)] = read_video_frames(path, start=first, stop=int(table["frame"].max()) + after)
        flows = [f"{kind}_{axis}" for kind in ("human", "true") for axis in "uv"]
        places = (table[["x_px", "y_px"]] + 0.5) * scale - 0.5  # centres of pixels are at whole numbers
        own.append(table.assign(frame=table["frame"] - first, **places, **(table[flows] * scale)))
    scaled = pd.concat(own, ignore_index=True)
    scores = [
        score_flow_model(
            model, frames, scaled, group=group, n_bootstraps=n_bootstraps, n_permutations=n_permutations,
            seed=seed,
        )
        for model in models
    ]  # fmt: skip
    return FlowScores(
        pd.concat([score.table.rename_axis("score").reset_index() for score in scores], ignore_index=True),
        pd.concat([score.probes.assign(model=score.table["model"].iloc[0]) for score in scores],
                  ignore_index=True),
    )  # fmt: skip


def compute_flow_at(model: FlowModel, clip: NDArray[np.uint8], frame: int) -> NDArray[np.float32]:
    """Flow from one frame of a clip to the next, by the window that the model wants.

    Parameters
    ----------
    model : FlowModel
        The model.
    clip : uint8 array of shape (n, height, width, 3)
        All frames of the movie.
    frame : int
        From 0.

    Returns
    -------
    float32 array of shape (height, width, 2)

    Raises
    ------
    ValueError
        If the window does not lie in the clip or the flow has another shape.
    """
    first = frame - (model.n_frames - 1) // 2
    if first < 0 or first + model.n_frames > len(clip):
        raise ValueError(
            f"frame must have the {model.n_frames} frames that {model.name!r} takes around it, got {frame} "
            f"of {len(clip)}; pass a longer clip."
        )
    flow = model(clip[first : first + model.n_frames])
    return check_array(f"flow of {model.name!r}", flow, shape=(*clip.shape[1:3], 2))


def _find_movie(folder: Path, name: str) -> Path:
    """Folder of images, array or video of a name."""
    for candidate in (folder / name, *(folder / f"{name}{suffix}" for suffix in (".npy", *VIDEO_SUFFIXES))):
        if candidate.exists():
            return candidate
    raise FileNotFoundError(
        f"no movie {name!r} in {folder}; the movies do not come with the reports: put a video, a .npy array "
        f"or a folder of images named {name!r} there."
    )


def _check_probes(probes: pd.DataFrame, frames: Mapping[str, ArrayLike]) -> pd.DataFrame:
    missing = [name for name in _NEEDED if name not in probes]
    if missing:
        raise ValueError(f"probes must have the columns {list(_NEEDED)}, got none of {missing}; add them.")
    frame = check_array("frame of probes", probes["frame"], minimum=0, remedy="count frames from 0")
    if (frame % 1).any():
        raise ValueError(
            f"frame of probes must be whole numbers, got {frame[frame % 1 != 0][0]}; the flow goes from one "
            "frame to the next."
        )
    absent = sorted(set(probes["movie"]) - set(frames))
    if absent:
        raise ValueError(
            f"frames must hold every probed movie, got none of {absent[:3]}; the movies do not come with the "
            "reports, read them from their own data sets."
        )
    for movie in probes["movie"].unique():
        own = probes[probes["movie"] == movie]
        clip = check_array(f"frames of {movie!r}", frames[movie], shape=(None, None, None, 3))
        if clip.dtype != np.uint8:
            raise TypeError(f"frames of {movie!r} must be uint8, got {clip.dtype}; scale them to 0-255.")
        y, x = (
            np.rint(check_array(f"{name} of {movie!r}", own[name], remedy="leave out probes without a place"))
            for name in ("y_px", "x_px")
        )
        height, width = clip.shape[1:3]
        if min(y.min(), x.min()) < 0 or y.max() >= height or x.max() >= width:
            swapped = min(y.min(), x.min()) >= 0 and y.max() < width and x.max() < height
            remedy = "height and width are swapped" if swapped else "count from 0, at the size of the frames"
            raise ValueError(
                f"x_px and y_px of {movie!r} must lie within its {height} x {width} px, got x from "
                f"{x.min():g} to {x.max():g} and y from {y.min():g} to {y.max():g}; {remedy}."
            )
    return probes.reset_index(drop=True)
