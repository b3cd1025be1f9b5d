"""Search on collages of book covers: 100 collages, six people, no images.

Sattar, Müller, Fritz & Bulling (2015) Prediction of search targets from fixations in open-world settings.
CVPR 981-990; Stauden, Barz & Sonntag (2018) Visual search target inference using bag of deep visual words.
KI 2018, LNCS 11117:297-304. A collage is a grid of 6 x 14 covers; one of five covers was looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import Fixations, StimulusSet, check_array
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.gaze_tables import (
    check_entries,
    check_lengths,
    finish_fixations,
    list_sizes,
    read_json_records,
    select_subject,
    stack_scanpaths,
)

NAME = "sti_amazon"
SUBJECTS = tuple(str(number) for number in range(1, 7))
GRID = (6, 14)
# The viewing distance is not part of the files: a nominal size, not to be used for receptive fields.
_SIZE_DVA = (30.0, 48.0)
_ENTRIES = ("fixations", "ground_truth", "size", "target")
_IMAGES = "the collages are a separate download of the STI data set"


def load_sti_amazon(
    *, subject: str | None = None, root: str | Path | None = None, outside: str = "clip"
) -> tuple[StimulusSet, Fixations]:
    """Read scanpaths; the collages are not part of the files.

    Parameters
    ----------
    subject : {"1", ..., "6"}, optional
        All by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`; the folder holds the published ``Amazon.json`` or
        the part of it that is shared for tests, ``Amazon_shared.json``.
    outside : {"clip", "drop", "keep"}
        What becomes of fixations beyond the image; see
        :func:`neurovis.datasets.gaze_tables.finish_fixations`.

    Returns
    -------
    stimuli : StimulusSet
        One row per collage, in the order of the file; ``path`` is empty and ``load`` raises. Columns ``task``
        ("search"), ``target`` (file of the cover that was looked for), the box of the target
        ``target_top_px``, ``target_left_px``, ``target_bottom_px``, ``target_right_px`` (bottom and right
        exclusive), ``height_px``, ``width_px``.
    fixations : Fixations
        Neither durations nor onsets were published, nor is the first fixation at a given place.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If the file is truncated, foreign, or a collage does not have one target.
    """
    folder = find_dataset(NAME, root)
    path = folder / "Amazon.json"
    if not path.is_file():
        path = folder / "Amazon_shared.json"
    collages = read_json_records(path)
    if not isinstance(collages, dict):
        raise ValueError(f"{path} must hold one record per collage, got a {type(collages).__name__}.")  # noqa: TRY004
    rows = {}
    for number, (name, collage) in enumerate(collages.items()):
        check_entries(path, number, collage, _ENTRIES)
        # Published as a list of one; the authors' description shows a bare record.
        boxes = collage["ground_truth"]
        box, *others = boxes if isinstance(boxes, list) else [boxes]
        if others:
            raise ValueError(f"{name} of {path} must have one target, got {1 + len(others)}; restore it.")
        check_entries(path, number, box, ("xmin", "xmax", "ymin", "ymax"))
        rows[Path(name).stem] = {
            "path": "",
            "task": "search",
            "target": str(collage["target"]),
            "target_top_px": float(box["ymin"]),
            "target_left_px": float(box["xmin"]),
            "target_bottom_px": float(box["ymax"]),
            "target_right_px": float(box["xmax"]),
            "height_px": int(collage["size"]["height"]),
            "width_px": int(collage["size"]["width"]),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stimulus_id")
    table.attrs["obtain"] = _IMAGES
    stimuli = StimulusSet(NAME, table, folder, _SIZE_DVA)
    scanpaths = stack_scanpaths(_list_scanpaths(path, collages))
    fixations = finish_fixations(scanpaths, list_sizes(table), outside=outside)
    return select_subject(stimuli, fixations, subject, SUBJECTS)


def map_to_grid(
    xy_px: ArrayLike, size_px: tuple[int, int], grid: tuple[int, int] = GRID
) -> NDArray[np.int64]:
    """Cells of a regular grid that positions lie in, counted from 0 along rows.

    Parameters
    ----------
    xy_px : array of shape (n, 2)
        Positions (x, y) [px]; those beyond the image belong to the nearest cell.
    size_px, grid : tuple of int
        (height, width) of the image, and numbers of rows and columns.

    Notes
    -----
    The collages are cut here into 6 x 14 equal cells; their authors drew the outline of every cover by hand,
    so that fixations near a border may belong to the neighbour.
    """
    xy = check_array("xy_px", xy_px, shape=(None, 2), dtype=float)
    (height, width), (n_rows, n_columns) = size_px, grid
    row = np.clip(xy[:, 1] * n_rows // height, 0, n_rows - 1)
    column = np.clip(xy[:, 0] * n_columns // width, 0, n_columns - 1)
    return (row * n_columns + column).astype(np.int64)


def _list_scanpaths(path: Path, collages: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for number, (name, collage) in enumerate(collages.items()):
        for person, points in collage["fixations"].items():
            xy = np.asarray(points, dtype=float).reshape(-1, 2)
            yield {
                "subject": str(person),
                "stimulus_id": Path(name).stem,
                **check_lengths(path, number, {"x_px": xy[:, 0], "y_px": xy[:, 1]}),
            }
