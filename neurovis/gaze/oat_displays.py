"""Data sets of gaze as displays of objects: boxes or cells of a grid, with pixels where there are images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import Fixations, StimulusSet, check_array, check_fixations
from neurovis.core.fixations import FIXATION_COLUMNS
from neurovis.gaze.models import get_size
from neurovis.gaze.oat_trials import (
    TARGET_BOX,
    ObjectLayout,
    ObjectTrial,
    cut_crops,
    make_grid_layout,
    make_object_trials,
)

OBJECT_BOX = ["top_px", "left_px", "bottom_px", "right_px"]

_GREY = 128


def read_display_tables(
    stimuli: str | Path, fixations: str | Path, objects: str | Path | None = None
) -> tuple[StimulusSet, Fixations, pd.DataFrame | None]:
    """Displays, scanpaths and boxes of objects from three TSV tables of one's own.

    Parameters
    ----------
    stimuli : path
        ``stimulus_id``, ``height_px``, ``width_px``; optionally ``path`` and ``target_path`` (images,
        relative to this table's folder), ``target`` (name of what is searched for) and its box
        ``target_top_px``, ``target_left_px``, ``target_bottom_px``, ``target_right_px``.
    fixations : path
        ``subject``, ``stimulus_id``, ``index`` (from 0), ``x_px``, ``y_px``; optionally ``trial``,
        ``onset_s``, ``duration_s``.
    objects : path, optional
        ``stimulus_id`` and the box of each object, ``top_px``, ``left_px``, ``bottom_px``, ``right_px``
        (bottom and right exclusive).

    Returns
    -------
    stimuli : StimulusSet
        Its size in degrees is not known and stands as 1 x 1.
    fixations : pandas.DataFrame
    objects : pandas.DataFrame or None

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    ValueError
        If a table lacks a column, or as :func:`neurovis.core.check_fixations`.
    """
    from neurovis.io import read_table

    names = {"stimulus_id": str, "subject": str}
    shown = read_table(stimuli, required=("stimulus_id", "height_px", "width_px"), dtype=names)
    shown = shown.set_index("stimulus_id")
    shown["path"] = shown["path"].fillna("") if "path" in shown else ""
    gaze = read_table(fixations, required=("subject", "stimulus_id", "index", "x_px", "y_px"), dtype=names)
    for column, missing in {"trial": 0, "onset_s": np.nan, "duration_s": np.nan}.items():
        if column not in gaze:
            gaze[column] = missing
    gaze = check_fixations(gaze[[*FIXATION_COLUMNS, *gaze.columns.difference(FIXATION_COLUMNS)]])
    boxes = None
    if objects is not None:
        boxes = read_table(objects, required=("stimulus_id", *OBJECT_BOX), dtype=names)
    path = Path(stimuli)
    return StimulusSet(path.stem, shown, path.parent, (1.0, 1.0)), gaze, boxes


def make_grid_trials(
    stimuli: StimulusSet,
    fixations: Fixations,
    grid: tuple[int, int],
    *,
    crop_px: tuple[int, int] | None = None,
    first_index: int = 0,
) -> list[ObjectTrial]:
    """Scanpaths over the cells of a grid that is laid over every image.

    Parameters
    ----------
    stimuli : StimulusSet
        With ``height_px`` and ``width_px``; ``target`` and its box where something is searched for;
        ``target_path`` where there are pictures of it.
    fixations : pandas.DataFrame
        Human fixations, on screen.
    grid : tuple of int
        Rows and columns of cells: 6 and 14 are the covers of the book-cover displays; on photographs the
        cells stand for objects.
    crop_px : tuple of int, optional
        (height, width) that the cells' pixels are resized to. Without it the objects have no appearance, and
        the target is a label: a unit vector over the names in ``target``. This is for data without images.
    first_index : int
        Fixations before this one were not chosen by the observer; the last of them is where the eye starts.

    Returns
    -------
    list of ObjectTrial

    Raises
    ------
    ValueError
        If fixations lie beyond their image.
    """
    layouts = {name: make_grid_layout(size, *grid) for name, size in _list_sizes(stimuli).items()}
    return _make_trials(stimuli, fixations, layouts, crop_px, first_index)


def make_box_trials(
    stimuli: StimulusSet,
    fixations: Fixations,
    objects: pd.DataFrame,
    *,
    crop_px: tuple[int, int] | None = None,
    first_index: int = 0,
) -> list[ObjectTrial]:
    """Scanpaths over objects that lie anywhere.

    Parameters
    ----------
    stimuli, fixations, crop_px, first_index
        As in :func:`make_grid_trials`. The picture of the target is stretched like those of the objects; it
        is what the target's box holds where there is no ``target_path``.
    objects : pandas.DataFrame
        One row per object: ``stimulus_id`` and its box, ``top_px``, ``left_px``, ``bottom_px``, ``right_px``.
        Ids of objects count the rows of a stimulus. The target is the object around the middle of its box.

    Returns
    -------
    list of ObjectTrial

    Raises
    ------
    ValueError
        If a stimulus that was looked at has no object, or fixations lie beyond their image.
    """
    sizes = _list_sizes(stimuli)
    layouts = {
        str(name): ObjectLayout(rows[OBJECT_BOX].to_numpy(dtype=float), sizes[str(name)])
        for name, rows in objects.groupby("stimulus_id", sort=False)
        if str(name) in sizes
    }
    return _make_trials(stimuli, fixations, layouts, crop_px, first_index)


def describe_grid(
    image: NDArray[np.uint8],
    target: NDArray[np.uint8] | None,
    *,
    grid: tuple[int, int],
    crop_px: tuple[int, int] | None,
) -> tuple[ObjectLayout, NDArray[Any], NDArray[Any]]:
    """Cells of one image as objects, for :mod:`neurovis.gaze.object_density`.

    Parameters
    ----------
    image : array of shape (height, width, 3), uint8
        What is looked at.
    target : array of shape (h, w, 3), uint8, optional
        What is searched for, at the scale of the image.
    grid : tuple of int
        Rows and columns of cells.
    crop_px : tuple of int, optional
        (height, width) that the cells' pixels are resized to; without it they have no appearance.

    Returns
    -------
    layout : ObjectLayout
    appearance : array of shape (n_cells, height, width, 3), uint8, or zeros (n_cells, 1)
    query : array of shape (height, width, 3), uint8, or (1,)
        The target in the middle of a grey cell, or a white one if nothing is searched for.
    """
    layout = make_grid_layout(get_size(image), *grid)
    if crop_px is None:
        return layout, np.zeros((len(layout), 1), dtype=np.float32), np.zeros(1, dtype=np.float32)
    pixels = check_array("image", image, shape=(None, None, 3)).astype(np.uint8)
    return layout, cut_crops(pixels, layout.boxes, crop_px), _frame_target(target, layout, crop_px)


def _list_sizes(stimuli: StimulusSet) -> dict[str, tuple[int, int]]:
    pairs = stimuli.table[["height_px", "width_px"]].to_numpy(dtype=int).tolist()
    return {name: (pair[0], pair[1]) for name, pair in zip(stimuli.stimulus_ids, pairs, strict=True)}


def _make_trials(
    stimuli: StimulusSet,
    fixations: Fixations,
    layouts: dict[str, ObjectLayout],
    crop_px: tuple[int, int] | None,
    first_index: int,
) -> list[ObjectTrial]:
    checked = check_fixations(fixations, size_px=_list_sizes(stimuli))
    shown = sorted(set(checked["stimulus_id"]))
    bare = [name for name in shown if name not in layouts]
    if bare:
        raise ValueError(
            f"objects must hold boxes of every stimulus that was looked at, got none of {bare[0]!r} and "
            f"{len(bare) - 1} others; add their rows or drop their fixations."
        )
    appearances = {
        name: _label(stimuli, name, len(layouts[name]))
        if crop_px is None
        else _picture(stimuli, name, layouts[name], crop_px)
        for name in shown
    }
    return make_object_trials(stimuli, checked, layouts, appearances, first_index=first_index)


def _picture(
    stimuli: StimulusSet, stimulus_id: str, layout: ObjectLayout, crop_px: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    from PIL import Image

    image, target = stimuli.load(stimulus_id), None
    if "target_path" in stimuli.table:
        with Image.open(stimuli.root / str(stimuli.table.loc[stimulus_id, "target_path"])) as picture:
            target = np.asarray(picture.convert("RGB"))
    crops = cut_crops(image, layout.boxes, crop_px)
    if layout.cells is not None:
        return crops, _frame_target(target, layout, crop_px)
    box = stimuli.table.reindex(columns=TARGET_BOX).loc[stimulus_id].to_numpy(dtype=float)
    if target is None and np.isfinite(box).all():
        return crops, cut_crops(image, box[None], crop_px)[0]
    if target is None:
        return crops, np.full((*crop_px, 3), 255, dtype=np.uint8)
    return crops, cut_crops(target, np.array([[0.0, 0.0, *target.shape[:2]]]), crop_px)[0]


def _frame_target(
    target: NDArray[np.uint8] | None, layout: ObjectLayout, crop_px: tuple[int, int]
) -> NDArray[np.uint8]:
    """The target at the scale of the cells, which it must not be stretched to."""
    if target is None:
        return np.full((*crop_px, 3), 255, dtype=np.uint8)
    cell = layout.boxes[0]
    height, width = (max(1, round(float(side))) for side in (cell[2] - cell[0], cell[3] - cell[1]))
    frame = np.full((max(height, target.shape[0]), max(width, target.shape[1]), 3), _GREY, dtype=np.uint8)
    top, left = ((frame.shape[axis] - target.shape[axis]) // 2 for axis in range(2))
    frame[top : top + target.shape[0], left : left + target.shape[1]] = target
    return cut_crops(frame, np.array([[0.0, 0.0, *frame.shape[:2]]]), crop_px)[0]


def _label(stimuli: StimulusSet, stimulus_id: str, n_cells: int) -> tuple[NDArray[Any], NDArray[Any]]:
    if "target" not in stimuli.table:
        return np.zeros((n_cells, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)
    target = stimuli.table["target"].astype(str)
    names = np.unique(target.to_numpy(dtype=str))
    query = (names == target.loc[stimulus_id]).astype(np.float32)
    return np.zeros((n_cells, len(names)), dtype=np.float32), query
