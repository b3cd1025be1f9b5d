"""Displays of objects and scanpaths over them: what the object-level models read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import Fixations, StimulusSet, check_array, check_option, make_rng
from neurovis.core.fixations import iterate_scanpaths

TARGET_BOX = ["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]
SPLITS = ("image", "observer", "target", "trial")


@dataclass(frozen=True, eq=False)
class ObjectLayout:
    """Where the objects of a display lie.

    Parameters
    ----------
    boxes : array of shape (n_objects, 4)
        (top, left, bottom, right), bottom and right exclusive [px].
    size_px : tuple of int
        (height, width) of the display.
    cells : array of shape (n_objects, 2), int, optional
        Row and column of each object, if the display is a grid.

    Raises
    ------
    ValueError
        If a box is empty or shapes differ.
    """

    boxes: NDArray[np.float64]
    size_px: tuple[int, int]
    cells: NDArray[np.int_] | None = None

    def __post_init__(self) -> None:
        boxes = check_array("boxes", self.boxes, shape=(None, 4), dtype=float)
        if len(boxes) == 0 or (boxes[:, 2:] <= boxes[:, :2]).any():
            raise ValueError(
                "boxes must be (top, left, bottom, right) with bottom > top and right > left, got "
                f"{boxes[:1].tolist()}...; check the order of the columns."
            )
        if self.cells is not None:
            cells = check_array("cells", self.cells, shape=(len(boxes), 2), minimum=0)
            object.__setattr__(self, "cells", cells.astype(int))
        object.__setattr__(self, "boxes", boxes)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def centres(self) -> NDArray[np.float64]:
        """(x, y) of the boxes' centres [px], shape (n_objects, 2)."""
        return np.column_stack(
            [(self.boxes[:, 1] + self.boxes[:, 3]) / 2, (self.boxes[:, 0] + self.boxes[:, 2]) / 2]
        )

    def find_objects(self, xy_px: ArrayLike) -> NDArray[np.int_]:
        """Object that each position (n, 2) belongs to: the box around it, else the nearest centre.

        Where boxes overlap, the one whose centre is nearest.
        """
        xy = check_array("xy_px", xy_px, shape=(None, 2), dtype=float, remedy="pass (x, y) [px]")
        x, y = xy[:, :1], xy[:, 1:]
        inside = (
            (y >= self.boxes[:, 0])
            & (x >= self.boxes[:, 1])
            & (y < self.boxes[:, 2])
            & (x < self.boxes[:, 3])
        )
        distance = np.hypot(x - self.centres[:, 0], y - self.centres[:, 1])
        # Any object around the position wins over all that are not.
        return np.where(inside, distance, distance + 1e9).argmin(axis=1)


@dataclass(frozen=True, eq=False)
class ObjectTrial:
    """One scanpath over the objects of one display.

    Parameters
    ----------
    stimulus_id, subject, target_name : str
        What was shown to whom, and what was searched for ("" in free viewing).
    layout : ObjectLayout
        Where the objects lie.
    appearance : array of shape (n_objects, height, width, 3), uint8, or (n_objects, n_features), float
        Trials of one display may share the array.
    query : array like one row of ``appearance``
        Appearance of the target.
    target : int, optional
        Which object is the target, if one of them is.
    path : tuple of int
        Fixated objects in order.
    start_px : tuple of float, optional
        (x, y) where the eye was before; the middle of the display by default.
    """

    stimulus_id: str
    subject: str
    target_name: str
    layout: ObjectLayout
    appearance: NDArray[Any]
    query: NDArray[Any]
    target: int | None
    path: tuple[int, ...]
    start_px: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        n = len(self.layout)
        if len(self.appearance) != n or self.appearance.shape[1:] != self.query.shape:
            raise ValueError(
                f"appearance must have one row like query for each of {n} objects, got shapes "
                f"{self.appearance.shape} and {self.query.shape}; pass crops of one size."
            )
        outside = [i for i in (*self.path, *([] if self.target is None else [self.target])) if not 0 <= i < n]
        if outside:
            raise ValueError(
                f"path and target must be ids from 0 to {n - 1}, got {outside[0]} in trial "
                f"{self.subject}, {self.stimulus_id}; ids in files often count from 1."
            )


def make_grid_layout(size_px: tuple[int, int], n_rows: int, n_columns: int) -> ObjectLayout:
    """Display cut into equal cells, numbered row by row.

    Parameters
    ----------
    size_px : tuple of int
        (height, width) [px].
    n_rows, n_columns : int
        Cells down and across, e.g. 6 and 14 for the book-cover displays.
    """
    check_array("n_rows and n_columns", [n_rows, n_columns], minimum=1)
    rows, columns = (index.ravel() for index in np.indices((n_rows, n_columns)))
    height, width = size_px[0] / n_rows, size_px[1] / n_columns
    boxes = np.column_stack([rows * height, columns * width, (rows + 1) * height, (columns + 1) * width])
    return ObjectLayout(boxes, (int(size_px[0]), int(size_px[1])), np.column_stack([rows, columns]))


def cut_crops(
    image: NDArray[np.uint8], boxes: NDArray[np.float64], crop_px: tuple[int, int]
) -> NDArray[np.uint8]:
    """Crops of an image, resized to one size.

    Parameters
    ----------
    image : array of shape (height, width, 3), uint8
        Display.
    boxes : array of shape (n, 4)
        (top, left, bottom, right) [px].
    crop_px : tuple of int
        (height, width) of the result.

    Returns
    -------
    array of shape (n, height, width, 3), uint8
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.stack(
        [
            np.asarray(
                picture.resize(
                    (crop_px[1], crop_px[0]), Image.Resampling.BILINEAR, box=(left, top, right, bottom)
                )
            )
            for top, left, bottom, right in np.asarray(boxes, dtype=float)
        ]
    )


def make_object_trials(
    stimuli: StimulusSet,
    fixations: Fixations,
    layouts: Mapping[str, ObjectLayout],
    appearances: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    *,
    first_index: int = 0,
) -> list[ObjectTrial]:
    """Scanpaths in pixels as scanpaths over objects.

    Parameters
    ----------
    stimuli : StimulusSet
        With the columns ``target`` and ``target_top_px`` to ``target_right_px`` where there is a target.
    fixations : pandas.DataFrame
        Checked table of fixations.
    layouts : mapping of stimulus_id to ObjectLayout
        Objects of every display.
    appearances : mapping of stimulus_id to (appearance, query)
        What the objects and the target look like; see :class:`ObjectTrial`.
    first_index : int
        Fixations before this one were not chosen by the observer; the last of them is where the eye starts.

    Returns
    -------
    list of ObjectTrial
        In the order of the table, without scanpaths that have no fixation left.
    """
    boxes = stimuli.table.reindex(
        columns=[f"target_{side}_px" for side in ("top", "left", "bottom", "right")]
    )
    names = stimuli.table.get("target")
    trials = []
    for (subject, stimulus_id, _), rows in iterate_scanpaths(fixations):
        if len(rows) <= first_index:
            continue
        layout = layouts[stimulus_id]
        xy = rows[["x_px", "y_px"]].to_numpy(dtype=float)
        box = boxes.loc[stimulus_id].to_numpy(dtype=float)
        target = None
        if np.isfinite(box).all():
            middle = [[(box[1] + box[3]) / 2, (box[0] + box[2]) / 2]]
            target = int(layout.find_objects(middle)[0])
        appearance, query = appearances[stimulus_id]
        trials.append(
            ObjectTrial(
                stimulus_id, subject, "" if names is None else str(names.loc[stimulus_id]), layout,
                appearance, query, target, tuple(layout.find_objects(xy[first_index:]).tolist()),
                None if first_index == 0 else (float(xy[first_index - 1, 0]), float(xy[first_index - 1, 1])),
            )
        )  # fmt: skip
    return trials


def filter_by_length(trials: Sequence[ObjectTrial], *, n_sd: float = 3.0) -> list[ObjectTrial]:
    """Trials whose length lies within ``n_sd`` (population) standard deviations of the mean, as published."""
    lengths = np.array([len(trial.path) for trial in trials], dtype=float)
    keep = np.abs(lengths - lengths.mean()) <= n_sd * lengths.std()
    return [trial for trial, kept in zip(trials, keep, strict=True) if kept]


def split_trials(
    trials: Sequence[ObjectTrial],
    *,
    by: str = "image",
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    group_of: Callable[[ObjectTrial], str] | None = None,
) -> tuple[list[ObjectTrial], list[ObjectTrial], list[ObjectTrial]]:
    """Training, validation and test trials that share no image, no observer or no target.

    Parameters
    ----------
    trials : sequence of ObjectTrial
        All trials.
    by : {"image", "observer", "target", "trial"}
        What the parts do not share. The published split is by trial, where images and observers are shared,
        which overstates generalisation.
    shares : tuple of float
        Of the groups; every part gets at least one.
    seed : int
        Decides the groups.
    group_of : callable, optional
        Trial to the group that it belongs to, instead of ``by``: e.g. the image that several stimuli show.

    Raises
    ------
    ValueError
        If there are fewer than three groups or the shares do not sum to 1.
    """
    check_option("by", by, SPLITS)
    given = check_array("shares", shares, shape=(3,), minimum=0, dtype=float)
    if abs(given.sum() - 1) > 1e-9:
        raise ValueError(f"shares must sum to 1, got {shares}; pass for example (0.6, 0.2, 0.2).")
    choose: dict[str, Callable[[ObjectTrial], str]] = {
        "image": lambda trial: trial.stimulus_id,
        "observer": lambda trial: trial.subject,
        "target": lambda trial: trial.target_name,
    }
    if group_of is None and by == "trial":
        groups = [str(row) for row in range(len(trials))]
    else:
        groups = [(group_of or choose[by])(trial) for trial in trials]
    names = sorted(set(groups))
    if len(names) < 3:
        raise ValueError(
            f"trials must come from at least 3 groups to be split by {by}, got {names}; choose another split."
        )
    order = make_rng(seed, "split", by).permutation(len(names))
    n_test, n_validation = (max(1, round(float(share) * len(names))) for share in (given[2], given[1]))
    n_validation = min(n_validation, len(names) - n_test - 1)
    part_of = {}
    for place, number in enumerate(order):
        part_of[names[number]] = 2 if place < n_test else 1 if place < n_test + n_validation else 0
    parts: tuple[list[ObjectTrial], list[ObjectTrial], list[ObjectTrial]] = ([], [], [])
    for trial, group in zip(trials, groups, strict=True):
        parts[part_of[group]].append(trial)
    return parts
