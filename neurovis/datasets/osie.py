"""OSIE: free viewing of 700 natural images by 15 people, with the images.

Xu, Jiang, Wang, Kankanhalli & Zhao (2014) Predicting human gaze beyond pixels. Journal of Vision 14(1):28.
Each image was shown for three seconds at about 24 px per degree.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neurovis.core import Fixations, StimulusSet
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.gaze_tables import finish_fixations, select_subject, stack_scanpaths
from neurovis.io.arrays import read_mat
from neurovis.io.tables import read_table

NAME = "osie"
SUBJECTS = tuple(str(number) for number in range(1, 16))
SIZE_PX = (600, 800)
PX_PER_DVA = 24.0
_COLUMNS = ("image", "subject", "fix_index", "x_px", "y_px", "duration_ms")


def load_osie(
    *, subject: str | None = None, root: str | Path | None = None, outside: str = "clip"
) -> tuple[StimulusSet, Fixations]:
    """Read images and fixations.

    Parameters
    ----------
    subject : {"1", ..., "15"}, optional
        All by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`. The folder holds either the published files
        (``data/eye/fixations.mat`` and ``data/stimuli``, a copy of the authors' repository) or
        ``fixations.tsv`` and ``stimuli``, the part of them that is shared for tests.
    outside : {"clip", "drop", "keep"}
        What becomes of fixations beyond the image; see
        :func:`neurovis.datasets.gaze_tables.finish_fixations`.

    Returns
    -------
    stimuli : StimulusSet
        Photographs of 800 x 600 px; ids are file names without ending. Columns ``task`` ("free"),
        ``height_px`` and ``width_px``.
    fixations : Fixations
        In order, with durations; onsets were not published. The central fixation before the image is not
        part of the data.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If a file is truncated, foreign, or names an image that is not there.
    """
    folder = find_dataset(NAME, root)
    if (folder / "fixations.tsv").is_file():
        table, images = _read_table(folder / "fixations.tsv"), folder / "stimuli"
    else:
        path = folder / "data" / "eye" / "fixations.mat"
        table, images = stack_scanpaths(_read_published(path)), folder / "data" / "stimuli"
    ids = sorted(set(table["stimulus_id"]))
    paths = [(images / f"{name}.jpg").relative_to(folder).as_posix() for name in ids]
    missing = [path for path in paths if not (folder / path).is_file()]
    if missing:
        raise ValueError(
            f"every image of {folder} must have a file, got {len(missing)} of {len(ids)} without, the first "
            f"is {missing[0]}; complete the folder."
        )
    described = pd.DataFrame(
        {"path": paths, "task": "free", "height_px": SIZE_PX[0], "width_px": SIZE_PX[1]},
        index=pd.Index(ids, name="stimulus_id"),
    )
    size_dva = (SIZE_PX[0] / PX_PER_DVA, SIZE_PX[1] / PX_PER_DVA)
    stimuli = StimulusSet(NAME, described, folder, size_dva)
    return select_subject(stimuli, finish_fixations(table, SIZE_PX, outside=outside), subject, SUBJECTS)


def _read_table(path: Path) -> pd.DataFrame:
    found = read_table(path, required=_COLUMNS, dtype={"subject": str, "image": str})
    return pd.DataFrame(
        {
            "subject": found["subject"],
            "stimulus_id": found["image"].str.removesuffix(".jpg"),
            "trial": 0,
            "index": found["fix_index"] - 1,
            "x_px": found["x_px"],
            "y_px": found["y_px"],
            "onset_s": np.nan,
            "duration_s": found["duration_ms"] / 1000,
        }
    )


def _read_published(path: Path) -> Iterator[dict[str, Any]]:
    """The cell array ``fixations``: a struct ``img``, ``subjects`` per image, a struct per person in it."""
    for cell in read_mat(path, ["fixations"])["fixations"].ravel():
        try:
            image = str(cell["img"][0, 0][0])
            people = [
                {name: person[name][0, 0].ravel() for name in ("fix_x", "fix_y", "fix_duration")}
                for person in cell["subjects"][0, 0].ravel()
            ]
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} must hold, for each image, img and subjects with fix_x, fix_y and fix_duration "
                f"({error}); check that it is the right file."
            ) from error
        for number, person in enumerate(people):
            yield {
                "subject": str(number + 1),
                "stimulus_id": Path(image).stem,
                "x_px": person["fix_x"],
                "y_px": person["fix_y"],
                "duration_s": person["fix_duration"] / 1000,
            }
