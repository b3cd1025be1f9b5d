"""SALICON: where people on the web moved a mouse that uncovered a photograph, as a proxy of gaze.

Jiang, Huang, Duan & Zhao (2015) SALICON: saliency in context. CVPR 1072-1080. 10,000 photographs of COCO
with positions for training and 5,000 for validation, 640 x 480 px, about 50 people each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovis.core import Fixations, StimulusSet, check_array, check_option
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.gaze_tables import (
    check_entries,
    finish_fixations,
    list_sizes,
    read_json_records,
    stack_scanpaths,
)
from neurovis.io.arrays import read_mat

NAME = "salicon"
SPLITS = ("train", "val")
# People looked at screens of their own: a nominal size, not to be used for receptive fields.
_SIZE_DVA = (15.0, 20.0)
_IMAGES = "get the images of SALICON and unpack them as images/train and images/val in that folder"


def load_salicon(
    *, subject: str | None = None, root: str | Path | None = None, split: str = "val", outside: str = "clip"
) -> tuple[StimulusSet, Fixations]:
    """Read positions, and the images if they are there.

    Parameters
    ----------
    subject : str, optional
        Number of a worker in the JSON files; in the MATLAB files, which do not name people, the place of an
        observer in its image.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`. The folder holds
        ``annotations/fixations_<split>2014.json``, or, if it is not there, ``fixations/<split>/*.mat``, as
        published, and the images in ``images/<split>``.
    split : {"train", "val"}
        Positions of the test images are not public.
    outside : {"clip", "drop", "keep"}
        What becomes of positions beyond the image; see
        :func:`neurovis.datasets.gaze_tables.finish_fixations`.

    Returns
    -------
    stimuli : StimulusSet
        Ids are file names without ending. Columns ``task`` ("free"), ``split``, ``height_px``, ``width_px``;
        ``path`` is empty where the image is not there.
    fixations : Fixations
        Middles of the pixels that the authors take for fixations of the mouse, in their order; neither
        durations nor onsets.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If a choice is unknown, or a file is truncated or foreign.
    """
    check_option("split", split, SPLITS)
    folder = find_dataset(NAME, root)
    path = folder / "annotations" / f"fixations_{split}2014.json"
    described, scanpaths = _read_json(path) if path.is_file() else _read_mats(folder / "fixations" / split)
    images = Path("images") / split
    described["path"] = [
        (images / f"{name}.jpg").as_posix() if (folder / images / f"{name}.jpg").is_file() else ""
        for name in described.index
    ]
    described = described.assign(task="free", split=split)
    described.attrs["obtain"] = _IMAGES
    fixations = finish_fixations(scanpaths, list_sizes(described), outside=outside)
    stimuli = StimulusSet(NAME, described, folder, _SIZE_DVA)
    if subject is None:
        return stimuli, fixations
    own = fixations[fixations["subject"] == subject].reset_index(drop=True)
    if own.empty:
        raise ValueError(
            f"subject must have looked at an image of {split!r}, got {subject!r}; see the files."
        )
    shown = set(own["stimulus_id"])
    return stimuli.subset([name for name in stimuli.stimulus_ids if name in shown]), own


def _read_json(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    record = read_json_records(path)
    check_entries(path, 0, record, ("images", "annotations"))
    names, rows = {}, {}
    for number, image in enumerate(record["images"]):
        check_entries(path, number, image, ("id", "file_name", "height", "width"))
        name = names[image["id"]] = Path(image["file_name"]).stem
        rows[name] = {"height_px": int(image["height"]), "width_px": int(image["width"])}

    def list_scanpaths() -> Iterator[dict[str, Any]]:
        seen: dict[tuple[str, str], int] = {}
        for number, item in enumerate(record["annotations"]):
            check_entries(path, number, item, ("image_id", "worker_id", "fixations"))
            if item["image_id"] not in names:
                raise ValueError(f"record {number} of {path} must be of an image of it; restore the file.")
            key = (str(item["worker_id"]), names[item["image_id"]])
            seen[key] = seen.get(key, -1) + 1
            if not item["fixations"]:
                continue
            shape = (None, 2)
            # (row, column), counted from 1.
            places = check_array(f"record {number} of {path}", item["fixations"], shape=shape, dtype=float)
            yield _make_record(*key, seen[key], places[:, ::-1])

    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stimulus_id").sort_index()
    return table, stack_scanpaths(list_scanpaths())


def _read_mats(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    paths = sorted(folder.glob("*.mat"))
    if not paths:
        raise FileNotFoundError(f"no *.mat at {folder} and no JSON file beside it; get SALICON's fixations.")
    rows: dict[str, dict[str, int]] = {}

    def list_scanpaths() -> Iterator[dict[str, Any]]:
        for path in paths:
            found = read_mat(path, ["gaze", "resolution"])
            height, width = check_array(f"resolution of {path}", found["resolution"]).ravel().tolist()
            rows[path.stem] = {"height_px": int(height), "width_px": int(width)}
            if found["gaze"].dtype.names is None or "fixations" not in found["gaze"].dtype.names:
                raise ValueError(
                    f"gaze of {path} must have the field fixations; check that it is the right file."
                )
            for number, places in enumerate(found["gaze"]["fixations"].ravel()):
                if places.size:
                    shape = (None, 2)
                    # (x, y), counted from 1.
                    xy = check_array(f"fixations {number + 1} of {path}", places, shape=shape, dtype=float)
                    yield _make_record(str(number + 1), path.stem, 0, xy)

    scanpaths = stack_scanpaths(list_scanpaths())
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stimulus_id"), scanpaths


def _make_record(subject: str, stimulus_id: str, trial: int, xy: np.ndarray) -> dict[str, Any]:
    return {
        "subject": subject,
        "stimulus_id": stimulus_id,
        "trial": trial,
        # Pixels counted from 1; the middle of the first one is 0.5.
        "x_px": xy[:, 0] - 0.5,
        "y_px": xy[:, 1] - 0.5,
    }
