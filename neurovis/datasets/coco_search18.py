"""COCO-Search18: ten people search photographs for one of 18 kinds of objects.

Chen, Yang, Ahn, Samaras, Hoai & Zelinsky (2021) COCO-Search18 fixation dataset for predicting goal-directed
attention control. Scientific Reports 11:8776; Yang et al. (2020) CVPR. Photographs were letter-boxed to
1680 x 1050 px, 54 x 35 degrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovis.core import Fixations, StimulusSet, check_option
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.gaze_tables import (
    check_entries,
    check_lengths,
    finish_fixations,
    read_json_records,
    select_subject,
    stack_scanpaths,
)

NAME = "coco_search18"
SUBJECTS = tuple(str(number) for number in range(1, 11))
SIZE_PX = (1050, 1680)
SIZE_DVA = (35.0, 54.0)
SPLITS = ("train", "valid", "test")
CONDITIONS = ("present", "absent")
_ENTRIES = ("name", "subject", "task", "condition", "X", "Y", "T", "length", "correct", "split")
_IMAGES = "get COCOSearch18-images-TP.zip and -TA.zip from the authors' page and unpack them in that folder"
_IMAGE_FOLDERS = {"present": "images", "absent": "coco_search18_images_TA"}
_BOX = ("target_left_px", "target_top_px", "target_right_px", "target_bottom_px")


def load_coco_search18(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    split: str | None = None,
    condition: str | None = None,
    outside: str = "clip",
) -> tuple[StimulusSet, Fixations]:
    """Read scanpaths, and the images if they are there.

    Parameters
    ----------
    subject : {"1", ..., "10"}, optional
        All by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`. The folder ``coco_search18`` holds the published
        files ``coco_search18_fixations_*.json`` and, below ``images/<task>`` (target present) and
        ``coco_search18_images_TA/<task>`` (absent), the images; if it is not there, ``coco_search18_val`` is
        read, a part of the validation set without images.
    split : {"train", "valid", "test"}, optional
        As the files name it; all by default.
    condition : {"present", "absent"}, optional
        Whether the target was there; both by default.
    outside : {"clip", "drop", "keep"}
        What becomes of fixations beyond the screen; see
        :func:`neurovis.datasets.gaze_tables.finish_fixations`.

    Returns
    -------
    stimuli : StimulusSet
        One row per image and task, id ``<task>_<name>`` with hyphens in the task. Columns ``task``
        ("search"), ``target`` (one of 18), ``condition``, ``split``, the box ``target_top_px``,
        ``target_left_px``, ``target_bottom_px``, ``target_right_px`` (bottom and right exclusive; NaN if
        absent), ``height_px``, ``width_px``. ``path`` is empty where the image is not there.
    fixations : Fixations
        With durations, no onsets. The first is the one at the centre, before the search. Columns of the
        trial: ``correct`` (bool) and ``rt_s`` (NaN where it was not published).

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If a choice is unknown or leaves no trial; if a file is truncated or foreign; or if an image has two
        boxes for one task.
    """
    folder = _find_folder(root)
    paths = sorted(folder.rglob("*fixations*.json"))
    if not paths:
        raise FileNotFoundError(f"no *fixations*.json at {folder}; get the files from the authors' page.")
    wanted = {
        "split": check_option("split", split, (None, *SPLITS)),
        "condition": check_option("condition", condition, (None, *CONDITIONS)),
    }
    trials = []
    for path in paths:
        found = read_json_records(path)
        for number, trial in enumerate(found):
            check_entries(path, number, trial, _ENTRIES)
            if all(value is None or trial[name] == value for name, value in wanted.items()):
                trials.append((path, number, trial))
    if not trials:
        raise ValueError(f"files of {folder} must hold trials with {wanted}, got none; choose another part.")
    table = _describe_stimuli(folder, trials)
    stimuli = StimulusSet(NAME, table, folder, SIZE_DVA)
    fixations = finish_fixations(stack_scanpaths(_list_scanpaths(trials)), SIZE_PX, outside=outside)
    return select_subject(stimuli, fixations, subject, SUBJECTS)


def _find_folder(root: str | Path | None) -> Path:
    try:
        return find_dataset(NAME, root)
    except FileNotFoundError:
        return find_dataset(f"{NAME}_val", root)


def _name_stimulus(trial: dict[str, Any]) -> str:
    return f"{trial['task'].replace(' ', '-')}_{Path(trial['name']).stem}"


def _describe_stimuli(folder: Path, trials: list[tuple[Path, int, dict[str, Any]]]) -> pd.DataFrame:
    rows: dict[str, dict[str, Any]] = {}
    for path, number, trial in trials:
        check_option(f"condition of record {number} of {path}", trial["condition"], CONDITIONS)
        box = [np.nan] * 4
        if trial["condition"] == "present":
            check_entries(path, number, trial, ("bbox",))
            left, top, width, height = trial["bbox"]
            box = [float(left), float(top), float(left + width), float(top + height)]
        image = Path(_IMAGE_FOLDERS[trial["condition"]]) / trial["task"] / trial["name"]
        row = {
            "path": image.as_posix(),
            "task": "search",
            "target": trial["task"],
            "condition": trial["condition"],
            "split": trial["split"],
            **dict(zip(_BOX, box, strict=True)),
            "height_px": SIZE_PX[0],
            "width_px": SIZE_PX[1],
        }
        known = rows.setdefault(_name_stimulus(trial), row)
        if any(known[name] != value for name, value in row.items() if value == value):
            raise ValueError(
                f"record {number} of {path} must describe {_name_stimulus(trial)} as the records before, got "
                f"{row} after {known}; restore the file."
            )
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stimulus_id").sort_index()
    table["path"] = [name if (folder / name).is_file() else "" for name in table["path"]]
    table.attrs["obtain"] = _IMAGES
    return table


def _list_scanpaths(trials: list[tuple[Path, int, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    seen: dict[tuple[str, str], int] = {}
    for path, number, trial in trials:
        key = (str(trial["subject"]), _name_stimulus(trial))
        seen[key] = seen.get(key, -1) + 1
        found = check_lengths(path, number, {name: trial[name] for name in ("X", "Y", "T")})
        if len(found["X"]) != trial["length"]:
            raise ValueError(
                f"record {number} of {path} must hold {trial['length']} fixations, got {len(found['X'])}; "
                "restore the file."
            )
        yield {
            "subject": key[0],
            "stimulus_id": key[1],
            "trial": seen[key],
            "x_px": found["X"],
            "y_px": found["Y"],
            "duration_s": found["T"] / 1000,
            "correct": bool(trial["correct"]),
            "rt_s": float(trial.get("RT", np.nan)) / 1000,
        }
