"""Data sets of gaze as displays of objects: cells of a grid, with their pixels where there are images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import Fixations, StimulusSet, check_array, check_fixations
from neurovis.gaze.models import get_size
from neurovis.gaze.oat_trials import (
    ObjectLayout,
    ObjectTrial,
    cut_crops,
    make_grid_layout,
    make_object_trials,
)

_GREY = 128


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
    sizes = {
        str(name): (int(pair[0]), int(pair[1]))
        for name, pair in zip(
            stimuli.table.index, stimuli.table[["height_px", "width_px"]].to_numpy(), strict=True
        )
    }
    checked = check_fixations(fixations, size_px=sizes)
    shown = sorted(set(checked["stimulus_id"]))
    layouts = {name: make_grid_layout(sizes[name], *grid) for name in shown}
    appearances = {
        name: _label(stimuli, name, len(layouts[name]))
        if crop_px is None
        else _picture(stimuli, name, grid, crop_px)
        for name in shown
    }
    return make_object_trials(stimuli, checked, layouts, appearances, first_index=first_index)


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


def _picture(
    stimuli: StimulusSet, stimulus_id: str, grid: tuple[int, int], crop_px: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    from PIL import Image

    target = None
    if "target_path" in stimuli.table:
        with Image.open(stimuli.root / str(stimuli.table.loc[stimulus_id, "target_path"])) as picture:
            target = np.asarray(picture.convert("RGB"))
    _, crops, query = describe_grid(stimuli.load(stimulus_id), target, grid=grid, crop_px=crop_px)
    return crops, query


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
