"""Scanpaths over objects as densities over pixels, so that they are scored beside every other gaze model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import Fixations, check_array
from neurovis.gaze.gaze_comparison import GazeTraining, split_stimuli
from neurovis.gaze.models import get_size
from neurovis.gaze.oat_trials import TARGET_BOX, ObjectLayout, ObjectTrial, make_object_trials
from neurovis.gaze.spatial_baselines import ObjectScanpathModel

if TYPE_CHECKING:
    from neurovis.gaze.oat import OATConfig

Describe = Callable[[NDArray[Any], NDArray[Any] | None], tuple[ObjectLayout, NDArray[Any], NDArray[Any]]]
"""Image and picture of the target to (layout, appearance of the objects, appearance of the target)."""


@dataclass(frozen=True, eq=False)
class ObjectDensity:
    """A model of scanpaths over objects as a :class:`neurovis.core.GazeModel`.

    The probability of every object is spread evenly over its box. The end of the search is left out: the
    density says where the next fixation falls if there is one.

    Parameters
    ----------
    model : ObjectScanpathModel
        For example :class:`neurovis.gaze.oat_training.OATPredictor`. It must not be told the target's place.
    describe : callable
        Finds the objects of an image; see :data:`Describe`.
    floor : float
        Share of a uniform density, for fixations on no object.
    first_index : int
        Fixations before this one were not chosen; the last of them is where the eye starts.

    Notes
    -----
    The objects of the last image are kept until another array comes, so an image must not be changed in
    place between calls.
    """

    model: ObjectScanpathModel
    describe: Describe
    floor: float = 0.01
    first_index: int = 0
    _last: list[Any] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        check_array("floor", self.floor, ndim=0, minimum=0, maximum=1)

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.model.name

    def log_density(
        self, image: NDArray[Any], history: Fixations, *, target: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """See :class:`neurovis.core.GazeModel`."""
        if not self._last or self._last[0] is not image or self._last[1] is not target:
            self._last[:] = [image, target, self.describe(image, target)]
        layout, appearance, query = self._last[2]
        xy = history[["x_px", "y_px"]].to_numpy(dtype=float)
        given, own = xy[: self.first_index], xy[self.first_index :]
        path = tuple(layout.find_objects(own).tolist()) if len(own) else ()
        start = (float(given[-1, 0]), float(given[-1, 1])) if len(given) else None
        trial = ObjectTrial("", "", "", layout, appearance, query, None, path, start)
        steps = self.model.compute_log_probabilities([trial])[0]
        probabilities = np.exp(steps[len(path), :-1])
        return spread_over_boxes(probabilities, layout, get_size(image), floor=self.floor)


def spread_over_boxes(
    probabilities: NDArray[np.float64], layout: ObjectLayout, size_px: tuple[int, int], *, floor: float
) -> NDArray[np.float64]:
    """Log-density of pixels from probabilities of objects.

    Parameters
    ----------
    probabilities : array of shape (n_objects,)
        At least 0; divided by their sum.
    layout : ObjectLayout
        Boxes; a box covers the pixels whose middle it holds.
    size_px : tuple of int
        (height, width) of the result; the boxes are scaled to it.
    floor : float
        Share of a uniform density.

    Returns
    -------
    array of shape (height, width)
        Natural logarithm; the exponential sums to 1.

    Raises
    ------
    ValueError
        If nothing is probable, or a box holds no pixel.
    """
    weights = check_array("probabilities", probabilities, shape=(len(layout),), minimum=0, dtype=float)
    if weights.sum() <= 0:
        raise ValueError("probabilities must have a positive sum, got 0; one object must be possible.")
    height, width = size_px
    scale = np.array([height / layout.size_px[0], width / layout.size_px[1]] * 2)
    edges = np.ceil(layout.boxes * scale - 0.5).astype(int)
    edges = np.clip(edges, 0, [height, width, height, width])
    density = np.zeros((height, width))
    for weight, (top, left, bottom, right) in zip(weights / weights.sum(), edges, strict=True):
        if bottom <= top or right <= left:
            raise ValueError(
                f"boxes must hold at least one pixel of an image of {height} x {width} px, got one that does "
                "not; use a larger image."
            )
        density[top:bottom, left:right] += weight / ((bottom - top) * (right - left))
    with np.errstate(divide="ignore"):
        return np.log((1 - floor) * density / density.sum() + floor / (height * width))


def fit_object_density(
    training: GazeTraining,
    describe: Describe,
    config: OATConfig,
    *,
    n_epochs: int = 40,
    learning_rate: float = 1e-3,
    patience: int = 4,
    validation_share: float = 0.15,
    floor: float = 0.02,
    progress: bool = True,
) -> ObjectDensity:
    """Train an object-level transformer inside :func:`neurovis.gaze.gaze_comparison.compare_gaze_models`.

    Parameters
    ----------
    training : GazeTraining
        Images and fixations of the training part.
    describe : callable
        Finds the objects of an image, e.g. :func:`neurovis.gaze.oat_displays.describe_grid` with its options
        filled in.
    config : OATConfig
        Size of the model; it is not told where the target is.
    n_epochs, learning_rate, patience, progress
        As in :func:`neurovis.gaze.oat_training.train_oat`, which watches the validation loss.
    validation_share : float
        Share of the training images that only end the training.
    floor : float
        See :class:`ObjectDensity`.

    Returns
    -------
    ObjectDensity

    Raises
    ------
    ValueError
        If the configuration tells the target's position, which a density of gaze must not know.
    """
    if config.target_position != "none" or config.flag_fixated_target:
        raise ValueError(
            "config must have target_position='none' and flag_fixated_target=False here, got "
            f"{config.target_position!r} and {config.flag_fixated_target}; they tell the target."
        )
    from neurovis.gaze.oat_training import train_oat

    names = training.stimuli.stimulus_ids
    described = {name: describe(training.load_image(name), training.load_target(name)) for name in names}
    # Boxes of the table are in pixels of the files; the model must not know them anyway.
    table = training.stimuli.table.drop(columns=TARGET_BOX, errors="ignore")
    trials = make_object_trials(
        replace(training.stimuli, table=table), training.fixations,
        {name: found[0] for name, found in described.items()},
        {name: found[1:] for name, found in described.items()},
        first_index=training.first_index,
    )  # fmt: skip
    kept, _ = split_stimuli(
        names, test_share=validation_share, group_of=training.group_of, seed=training.seed
    )
    parts = [[t for t in trials if (t.stimulus_id in kept) is own] for own in (True, False)]
    model, _ = train_oat(
        parts[0], parts[1], config, n_epochs=n_epochs, learning_rate=learning_rate, monitor="loss",
        patience=patience, seed=training.seed, progress=progress,
    )  # fmt: skip
    return ObjectDensity(model, describe, floor, training.first_index)
