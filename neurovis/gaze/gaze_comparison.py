"""Models of gaze against people on one data set: chance, centre bias, models and the human ceiling.

Everything is fitted on some images and scored on others; intervals are over images.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import Fixations, GazeModel, StimulusSet, check_array, check_fixations, make_rng
from neurovis.gaze.human_density import fit_human_density
from neurovis.gaze.likelihood import TrialGazeModel, make_blank_image, score_gaze_model
from neurovis.gaze.models import CentreBias, UniformModel, fit_centre_bias, get_size
from neurovis.gaze.saccade_model import fit_saccade_model
from neurovis.gaze.saliency_map import fit_map_density
from neurovis.metrics.resampling import draw_counts

METRICS = ("information_gain_bits", "gain_over_uniform_bits", "auc", "nss")
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class GazeTraining:
    """What a model may be fitted to: training images and the fixations on them, nothing of the test.

    Parameters
    ----------
    stimuli : StimulusSet
        Training images. Sizes and boxes in its table are those of the files.
    fixations : pandas.DataFrame
        Fixations on them, in pixels of what ``load_image`` gives.
    load_image : callable
        stimulus_id to image (height, width, 3), which may be smaller than the file's.
    load_target : callable
        stimulus_id to the picture of what is searched for, or None.
    centre_bias : CentreBias
        Fitted to these images.
    first_index : int
        Fixations before this one were not chosen by the observer.
    group_of : callable
        stimulus_id to the image that it shows, where several stimuli show one.
    seed : int
        For whatever a fit draws.
    """

    stimuli: StimulusSet
    fixations: Fixations
    load_image: Callable[[str], NDArray[Any]]
    load_target: Callable[[str], NDArray[Any] | None]
    centre_bias: CentreBias
    first_index: int
    group_of: Callable[[str], str]
    seed: int


AnyGazeModel = GazeModel | TrialGazeModel
FitGazeModel = Callable[[GazeTraining], AnyGazeModel]


@dataclass(frozen=True, eq=False)
class GazeComparison:
    """Result of :func:`compare_gaze_models`.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per model and metric: ``model``, ``role`` ("chance", "baseline", "model" or "ceiling"),
        ``metric``, ``value`` (mean over fixations), ``low`` and ``high`` (95 % interval of a bootstrap over
        images), ``n_images``, ``n_fixations``.
    scores : pandas.DataFrame
        One row per model and test fixation; see :func:`neurovis.gaze.likelihood.score_gaze_model`.
    models : dict
        Fitted models by name.
    training_ids, test_ids : tuple of str
        The split.
    fixations : pandas.DataFrame
        The test fixations that were scored, in pixels of what ``load_image`` gives.
    load_image, load_target, group_of : callable
        As in :class:`GazeTraining`, for every stimulus.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    models: dict[str, AnyGazeModel]
    training_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    fixations: Fixations
    load_image: Callable[[str], NDArray[Any]]
    load_target: Callable[[str], NDArray[Any] | None]
    group_of: Callable[[str], str]


def compare_gaze_models(
    stimuli: StimulusSet,
    fixations: Fixations,
    *,
    fit_models: Mapping[str, FitGazeModel] | None = None,
    first_index: int = 0,
    test_share: float = 0.25,
    group_of: Callable[[str], str] | None = None,
    shrink: int = 4,
    n_bootstraps: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> GazeComparison:
    """Fit the usual models, and any others, to some images and score them on the rest.

    Uniform, centre bias, saliency (where the images are there), saccades on the centre bias, saccades on
    saliency, and the ceiling that the other people's fixations on the test image set.

    Parameters
    ----------
    stimuli : StimulusSet
        If a row has an empty ``path``, there are no images, models see black ones, and the columns
        ``height_px`` and ``width_px`` are needed. ``target_path`` holds pictures of what is searched for,
        if given.
    fixations : pandas.DataFrame
        Human fixations, on screen.
    fit_models : mapping of name to callable, optional
        Further models: each callable gets a :class:`GazeTraining` and returns a fitted model.
    first_index : int
        Fixations before this one are history only, e.g. 1 where the first one was at a given place.
    test_share : float
        Share of the images that are tested on.
    group_of : callable, optional
        stimulus_id to the image that it shows, where several stimuli show one: they stay together.
    shrink : int
        Images and fixations are shrunk this many times first, which leaves smooth densities as they are and
        saves time; 1 for the pixels of the files.
    n_bootstraps : int
        Samples of images for the intervals.
    seed : int
        Decides split, fits and samples.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    GazeComparison

    Raises
    ------
    ValueError
        If there are too few images, or as the models.
    """
    check_array("shrink", shrink, ndim=0, minimum=1)
    group = group_of or str
    data = _Shrunk(stimuli, shrink)
    sizes = data.list_sizes()
    checked = check_fixations(fixations, size_px=sizes)
    small = checked.assign(x_px=checked["x_px"] / shrink, y_px=checked["y_px"] / shrink)
    shown = [name for name in stimuli.stimulus_ids if name in set(small["stimulus_id"])]
    training_ids, test_ids = split_stimuli(shown, test_share=test_share, group_of=group, seed=seed)
    own = small[small["stimulus_id"].isin(training_ids)].reset_index(drop=True)
    test = small[small["stimulus_id"].isin(test_ids)].reset_index(drop=True)
    centre = fit_centre_bias(
        own, {name: get_size(data.load_image(name)) for name in training_ids},
        first_index=first_index, seed=seed,
    )  # fmt: skip
    training = GazeTraining(
        stimuli.subset(training_ids), own, data.load_image, data.load_target, centre, first_index, group, seed
    )
    models: dict[str, AnyGazeModel] = {"uniform": UniformModel(), centre.name: centre}
    roles = {"uniform": "chance", centre.name: "baseline"}
    fits: dict[str, FitGazeModel] = {"saccades": fit_saccades_on}
    if data.has_images:
        saliency = _fit_saliency(training)
        name = "saccades on saliency"
        fits |= {"saliency": lambda _: saliency, name: partial(fit_saccades_on, prior=saliency, name=name)}
    for name, fit in {**fits, **(fit_models or {})}.items():
        models[name], roles[name] = fit(training), "model"
    models["other people"] = fit_human_density(
        small, training_ids, data.load_image, centre, first_index=first_index, seed=seed
    )
    roles["other people"] = "ceiling"

    from tqdm import tqdm

    parts = [
        score_gaze_model(
            model, stimuli, test, baseline=centre, first_index=first_index,
            load_image=data.load_image, load_target=data.load_target,
        ).assign(model=name)
        for name, model in tqdm(
            models.items(), desc="scoring", disable=None if progress else True, file=sys.stderr
        )
    ]  # fmt: skip
    scores = pd.concat(parts, ignore_index=True)
    table = summarise_gaze_scores(scores, group_of=group, n_bootstraps=n_bootstraps, seed=seed)
    table.insert(1, "role", table["model"].map(roles))
    scored = test[test["index"] >= first_index].reset_index(drop=True)
    return GazeComparison(
        table, scores, models, tuple(training_ids), tuple(test_ids), scored, data.load_image,
        data.load_target, group,
    )  # fmt: skip


def summarise_gaze_scores(
    scores: pd.DataFrame,
    *,
    group_of: Callable[[str], str] = str,
    n_bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Means over fixations, with intervals over images.

    Parameters
    ----------
    scores : pandas.DataFrame
        Rows of :func:`neurovis.gaze.likelihood.score_gaze_model` with a column ``model``; one of the models
        is called "uniform".
    group_of : callable
        stimulus_id to the image that it shows.
    n_bootstraps : int
        Samples of images.
    seed : int
        Decides the samples, which are the same for all models.

    Returns
    -------
    pandas.DataFrame
        See :class:`GazeComparison`. ``information_gain_bits`` is counted beyond the baseline of the scores,
        ``gain_over_uniform_bits`` beyond a uniform density.
    """
    chance = scores.loc[scores["model"] == "uniform", "log_likelihood"].to_numpy()
    rows = []
    for name, scored in scores.groupby("model", sort=False):
        gain = (scored["log_likelihood"].to_numpy() - chance) / math.log(2)
        own = scored.assign(gain_over_uniform_bits=gain, image=scored["stimulus_id"].map(group_of))
        sums = own.groupby("image")[list(METRICS)].sum()
        n = own.groupby("image").size().to_numpy(dtype=float)
        counts = draw_counts(len(sums), n_bootstraps, seed=seed)
        # A ratio of sums: images with more fixations weigh more, as in the mean over fixations.
        resampled = (counts @ sums.to_numpy()) / (counts @ n)[:, None]
        low, high = np.percentile(resampled, _INTERVAL, axis=0)
        means = sums.sum().to_numpy() / n.sum()
        rows += [
            {
                "model": name, "metric": metric, "value": means[k], "low": low[k], "high": high[k],
                "n_images": len(sums), "n_fixations": len(own),
            }
            for k, metric in enumerate(METRICS)
        ]  # fmt: skip
    return pd.DataFrame(rows)


def split_stimuli(
    stimulus_ids: Sequence[str], *, test_share: float, group_of: Callable[[str], str] = str, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Training and test stimuli that show no image in common.

    Parameters
    ----------
    stimulus_ids : sequence of str
        All of them.
    test_share : float
        Share of the images that go into the test, at least one.
    group_of : callable
        stimulus_id to the image that it shows.
    seed : int
        Decides which.

    Raises
    ------
    ValueError
        If the share leaves no image on one side.
    """
    groups = sorted({group_of(name) for name in stimulus_ids})
    n_test = max(1, round(test_share * len(groups)))
    if not 0 < test_share < 1 or n_test >= len(groups):
        raise ValueError(
            f"test_share must leave images on both sides, got {test_share} of {len(groups)}; pass for "
            "example 0.25."
        )
    order = make_rng(seed, "gaze split").permutation(len(groups))
    held_out = {groups[row] for row in order[:n_test]}
    return (
        [name for name in stimulus_ids if group_of(name) not in held_out],
        [name for name in stimulus_ids if group_of(name) in held_out],
    )


def _fit_saliency(training: GazeTraining) -> GazeModel:
    images = {name: training.load_image(name) for name in training.stimuli.stimulus_ids}
    return fit_map_density(images, training.fixations, training.centre_bias, first_index=training.first_index)


def fit_saccades_on(
    training: GazeTraining, *, prior: AnyGazeModel | None = None, name: str = "saccades"
) -> AnyGazeModel:
    """Saccades on a density without a history, the centre bias by default.

    Parameters
    ----------
    training : GazeTraining
        What it is fitted to.
    prior : GazeModel or TrialGazeModel, optional
        Fitted to the same images.
    name : str
        Name in tables.
    """
    return fit_saccade_model(
        training.load_image, training.fixations, prior or training.centre_bias,
        first_index=training.first_index, seed=training.seed, name=name,
    )  # fmt: skip


class _Shrunk:
    """Pictures of a set, read once and shrunk."""

    def __init__(self, stimuli: StimulusSet, shrink: int) -> None:
        self._stimuli, self._shrink = stimuli, shrink
        self.has_images = bool((stimuli.table["path"] != "").all())
        self._images: dict[str, NDArray[np.uint8]] = {}

    def list_sizes(self) -> dict[str, tuple[int, int]]:
        """(height, width) of the files, from the table or from the files themselves."""
        table = self._stimuli.table
        if {"height_px", "width_px"} <= set(table.columns):
            pairs = table[["height_px", "width_px"]].to_numpy(dtype=int).tolist()
            return {name: (pair[0], pair[1]) for name, pair in zip(table.index, pairs, strict=True)}
        if not self.has_images:
            raise ValueError(
                f"the table of {self._stimuli.name!r} must have the columns height_px and width_px where "
                "there are no images; add them."
            )
        return {name: get_size(self._stimuli.load(name)) for name in self._stimuli.stimulus_ids}

    def load_image(self, stimulus_id: str) -> NDArray[np.uint8]:
        if stimulus_id not in self._images:
            read = self._stimuli.load if self.has_images else partial(make_blank_image, self._stimuli)
            self._images[stimulus_id] = self._reduce(read(stimulus_id))
        return self._images[stimulus_id]

    def load_target(self, stimulus_id: str) -> NDArray[np.uint8] | None:
        from PIL import Image

        if "target_path" not in self._stimuli.table:
            return None
        path = self._stimuli.root / str(self._stimuli.table.loc[stimulus_id, "target_path"])
        with Image.open(path) as picture:
            return self._reduce(np.asarray(picture.convert("RGB")))

    def _reduce(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image

        return np.asarray(Image.fromarray(pixels).reduce(self._shrink))
