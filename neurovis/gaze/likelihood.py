"""What any gaze model can be asked once it has a density: likelihood, information gain, AUC, NSS, samples.

The metrics are conditional: the model predicts each fixation from the observer's own fixations before it, as
in Zelinsky et al. (2021) and Kümmerer & Bethge (2021, "State-of-the-art in human scanpath prediction",
arXiv 2102.12239).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import Fixations, GazeModel, StimulusSet, check_array, check_fixations, make_rng
from neurovis.core.fixations import SCANPATH_KEYS, make_fixations
from neurovis.gaze.models import get_size
from neurovis.metrics.gaze_arrays import check_log_density, find_pixels
from neurovis.metrics.saliency import compute_nss
from neurovis.metrics.saliency_auc import compute_auc


@runtime_checkable
class TrialGazeModel(Protocol):
    """A model that knows more than the picture, such as what other people did on it."""

    def for_trial(self, stimulus_id: str, subject: str) -> GazeModel:
        """The model for one person and one stimulus."""
        ...


def make_blank_image(stimuli: StimulusSet, stimulus_id: str) -> NDArray[np.uint8]:
    """A black picture of the size of a stimulus, for models that only ask how large the picture is.

    Parameters
    ----------
    stimuli : StimulusSet
        With the columns ``height_px`` and ``width_px``.
    stimulus_id : str
        Which one.

    Returns
    -------
    array of shape (height, width, 3), uint8
    """
    row = stimuli.table.loc[[stimulus_id], ["height_px", "width_px"]].to_numpy(dtype=int)[0]
    return np.zeros((row[0], row[1], 3), dtype=np.uint8)


def compute_log_density(
    model: GazeModel, image: NDArray[Any], history: Fixations, *, target: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """A model's answer, checked.

    Parameters
    ----------
    model : GazeModel
        Anything with the method ``log_density``.
    image, history, target
        See :class:`neurovis.core.GazeModel`.

    Returns
    -------
    array of shape (height, width)
        Natural logarithm of probabilities that sum to 1.

    Raises
    ------
    TypeError
        If the model has no such method.
    ValueError
        If the answer has another shape, holds NaN, or its exponential does not sum to 1.
    """
    if not callable(getattr(model, "log_density", None)):
        raise TypeError(
            f"model must have a method log_density(image, history, *, target=None), got "
            f"{type(model).__name__}; see neurovis.core.GazeModel."
        )
    name = f"log_density of {getattr(model, 'name', type(model).__name__)!r}"
    found = np.asarray(model.log_density(image, history, target=target), dtype=float)
    if found.shape != image.shape[:2]:
        raise ValueError(
            f"{name} must have the image's shape (height, width) = {image.shape[:2]}, got {found.shape}; "
            "rows come first."
        )
    return check_log_density(name, found)


def score_gaze_model(
    model: GazeModel | TrialGazeModel,
    stimuli: StimulusSet,
    fixations: Fixations,
    *,
    baseline: GazeModel | None = None,
    first_index: int = 0,
    load_image: Callable[[str], NDArray[Any]] | None = None,
    load_target: Callable[[str], NDArray[Any] | None] | None = None,
) -> pd.DataFrame:
    """Score a model fixation by fixation, each predicted from the observer's own fixations before it.

    Parameters
    ----------
    model : GazeModel or TrialGazeModel
        Anything with ``log_density``, or with ``for_trial`` that gives such a thing. If it has an attribute
        ``uses_history`` that is false, its density is computed once per image.
    stimuli : StimulusSet
        The images.
    fixations : pandas.DataFrame
        Human fixations on them, on screen [px].
    baseline : GazeModel, optional
        Information is counted beyond this model; beyond a uniform density by default.
    first_index : int
        Fixations before this one are history only, e.g. 1 where the first one was at a given place.
    load_image : callable, optional
        stimulus_id to image (height, width, 3); ``stimuli.load`` by default. Pass
        ``functools.partial(make_blank_image, stimuli)`` where there are no images and the model needs none.
    load_target : callable, optional
        stimulus_id to the picture of what is searched for; none by default.

    Returns
    -------
    pandas.DataFrame
        One row per fixation: ``subject``, ``stimulus_id``, ``trial``, ``index``, ``log_likelihood`` [nats],
        ``information_gain_bits``, ``auc`` (share of the image's pixels with a lower density, ties counting
        half, so that chance is 0.5) and ``nss`` (density at the fixation in standard deviations of the
        image's densities; 0 for a constant density).

    Raises
    ------
    TypeError, ValueError
        If the model's answer is no density, there is nothing to score, or a fixation lies beyond its image;
        the message says so when x and y look exchanged.

    References
    ----------
    Kümmerer, Wallis & Bethge (2015) PNAS 112:16054-16059, for the information gain.
    """
    checked = check_fixations(fixations)
    if not (checked["index"] >= first_index).any():
        raise ValueError(
            f"fixations must hold some from index {first_index} on, got none; lower first_index."
        )
    read = load_image or stimuli.load
    parts = []
    for stimulus_id, rows in checked.groupby("stimulus_id", sort=False):
        image = read(str(stimulus_id))
        check_fixations(rows, size_px=get_size(image))
        target = load_target(str(stimulus_id)) if load_target is not None else None
        scores = _score_image(model, baseline, image, target, rows.reset_index(drop=True), first_index)
        parts.append(scores)
    return pd.concat(parts, ignore_index=True)


def sample_scanpaths(
    model: GazeModel,
    image: NDArray[Any],
    n_scanpaths: int,
    *,
    length: int | Sequence[int],
    seed: int,
    start_px: tuple[float, float] | None = None,
    target: NDArray[Any] | None = None,
    stimulus_id: str = "image",
) -> Fixations:
    """Draw scanpaths from a model, each fixation from the density given those before it.

    Parameters
    ----------
    model : GazeModel
        Anything with ``log_density``.
    image : array of shape (height, width, 3), uint8
        What is looked at.
    n_scanpaths : int
        How many.
    length : int or sequence of int
        Fixations of every scanpath, or of each; a start counts.
    seed : int
        Decides the draws; every scanpath has a generator of its own.
    start_px : tuple of float, optional
        (x, y) of a first fixation that is given rather than drawn [px].
    target : array of shape (height, width, 3), uint8, optional
        What is searched for.
    stimulus_id : str
        Name of the image in the table.

    Returns
    -------
    pandas.DataFrame
        Fixations with the model's name as subject and the scanpath's number as trial. Positions lie anywhere
        within the drawn pixel.

    Raises
    ------
    ValueError
        If a number is out of range or the model's answer is no density.
    """
    check_array("n_scanpaths", n_scanpaths, ndim=0, minimum=1)
    lengths = np.repeat(length, n_scanpaths) if np.ndim(length) == 0 else np.asarray(length)
    check_array("length", lengths, shape=(n_scanpaths,), minimum=1, remedy="pass one number, or one for each")
    name = getattr(model, "name", type(model).__name__)
    keeps = getattr(model, "uses_history", True)
    fixed: NDArray[np.float64] | None = None
    tables = []
    for number in range(n_scanpaths):
        rng = make_rng(seed, "scanpath", number)
        xy = np.zeros((0, 2)) if start_px is None else np.array([start_px], dtype=float)
        while len(xy) < int(lengths[number]):
            if keeps or fixed is None:
                past = make_fixations(xy, subject=name, stimulus_id=stimulus_id, trial=number)
                fixed = np.exp(compute_log_density(model, image, past, target=target)).ravel().cumsum()
            pixel = int(np.searchsorted(fixed, rng.random() * fixed[-1], side="right"))
            row, column = divmod(min(pixel, len(fixed) - 1), image.shape[1])
            xy = np.vstack([xy, (column + rng.random(), row + rng.random())])
        tables.append(make_fixations(xy, subject=name, stimulus_id=stimulus_id, trial=number))
    return check_fixations(pd.concat(tables, ignore_index=True), size_px=get_size(image))


def _score_image(
    model: GazeModel | TrialGazeModel,
    baseline: GazeModel | None,
    image: NDArray[Any],
    target: NDArray[Any] | None,
    rows: pd.DataFrame,
    first_index: int,
) -> pd.DataFrame:
    """Scores of all fixations on one image."""
    scored = (rows["index"] >= first_index).to_numpy()
    own = _score_fixations(model, image, target, rows, scored)
    reference = np.full(len(own), -math.log(image.shape[0] * image.shape[1]))
    if baseline is not None:
        reference = _score_fixations(baseline, image, target, rows, scored)[:, 0]
    table = rows.loc[scored, [*SCANPATH_KEYS, "index"]].reset_index(drop=True)
    return table.assign(
        log_likelihood=own[:, 0],
        information_gain_bits=(own[:, 0] - reference) / math.log(2),
        auc=own[:, 1],
        nss=own[:, 2],
    )


def _score_fixations(
    model: GazeModel | TrialGazeModel,
    image: NDArray[Any],
    target: NDArray[Any] | None,
    rows: pd.DataFrame,
    scored: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Log-likelihood, AUC and NSS (n_scored, 3), with one density for all fixations that share one."""
    found = np.zeros((len(rows), 3))
    xy = rows[["x_px", "y_px"]].to_numpy(dtype=float)
    subjects = rows["subject"].to_numpy(dtype=object)
    first = np.arange(len(rows)) - rows["index"].to_numpy()
    if isinstance(model, TrialGazeModel):
        stimulus_id = str(rows["stimulus_id"].iloc[0])
        parts = [
            (model.for_trial(stimulus_id, str(subject)), scored & (subjects == subject))
            for subject in dict.fromkeys(subjects[scored])
        ]
    else:
        parts = [(model, scored)]
    for bound, mine in parts:
        if not mine.any():
            continue  # everyone stopped before the first fixation that counts
        if not getattr(bound, "uses_history", True):
            density = compute_log_density(bound, image, rows.iloc[:0], target=target)
            found[mine] = score_positions(density, xy[mine])
            continue
        for row in np.flatnonzero(mine):
            history = rows.iloc[first[row] : row].reset_index(drop=True)
            density = compute_log_density(bound, image, history, target=target)
            found[row] = score_positions(density, xy[row : row + 1])
    return found[scored]


def score_positions(log_density: NDArray[np.float64], xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of positions under one density.

    Parameters
    ----------
    log_density : array of shape (height, width)
        Natural logarithm.
    xy_px : array of shape (n, 2)
        x and y [px].

    Returns
    -------
    array of shape (n, 3)
        Log-likelihood [nats], AUC against all pixels and NSS.
    """
    density = np.exp(log_density)
    here = log_density[find_pixels(xy_px, density.shape)]
    return np.column_stack([here, compute_auc(density, xy_px), compute_nss(density, xy_px)])
