"""Raw 1000 Hz gaze of one person who read three pages of text, for the detection of events.

Krakowczyk et al. (2023) pymovements: a Python package for eye movement data processing. ETRA. The pages are
not part of the files.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from neurovis.core import StimulusSet, check_array, check_option
from neurovis.datasets.cards import find_dataset
from neurovis.io.tables import read_table

NAME = "gaze_reading"
SIZE_PX = (1024, 1280)
SIZE_CM = (30.2, 38.0)
DISTANCE_CM = 68.0
SFREQ = 1000.0
_PX_PER_DVA = 39.9
_FILE = re.compile(r"trial_(?P<text>\d+)_(?P<page>\d+)\.csv")


def load_gaze_reading(
    *, subject: str | None = None, root: str | Path | None = None
) -> tuple[StimulusSet, pd.DataFrame]:
    """Read raw samples.

    Parameters
    ----------
    subject : {"1"}, optional
        The only person.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`; the folder holds ``trial_<text>_<page>.csv``.

    Returns
    -------
    stimuli : StimulusSet
        One row per page, id ``<text>_<page>``; ``path`` is empty and ``load`` raises. Columns ``task``
        ("reading"), ``text``, ``page``, ``height_px``, ``width_px``.
    samples : pandas.DataFrame
        ``subject``, ``stimulus_id``, ``time_s`` (from the first sample of the page) and ``x_px``, ``y_px``
        [px of a screen of 1280 x 1024 px]. For :func:`neurovis.gaze.events.detect_fixations`.

    Raises
    ------
    FileNotFoundError
        If the data set is missing or holds no page.
    ValueError
        If a file is truncated, foreign, or has lost samples.

    Notes
    -----
    The origin is the upper left corner, as in the library's own description: y rises as the lines are read.
    """
    check_option("subject", subject or "1", ("1",), remedy="the files hold one person")
    folder = find_dataset(NAME, root)
    pages = {path: match for path in sorted(folder.iterdir()) if (match := _FILE.fullmatch(path.name))}
    if not pages:
        raise FileNotFoundError(
            f"no trial_<text>_<page>.csv at {folder}; check that the data set is complete."
        )
    rows, tables = {}, []
    for path, match in pages.items():
        stimulus_id = f"{match['text']}_{match['page']}"
        found = read_table(path, required=("timestamp", "x", "y"))
        values = check_array(f"samples of {path}", found[["timestamp", "x", "y"]], dtype=float)
        rows[stimulus_id] = {
            "path": "",
            "task": "reading",
            "text": int(match["text"]),
            "page": int(match["page"]),
            "height_px": SIZE_PX[0],
            "width_px": SIZE_PX[1],
        }
        time_s = (values[:, 0] - values[0, 0]) / 1000
        tables.append(
            pd.DataFrame(
                {
                    "subject": "1",
                    "stimulus_id": stimulus_id,
                    "time_s": time_s,
                    "x_px": values[:, 1],
                    "y_px": values[:, 2],
                }
            )
        )
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stimulus_id")
    table.attrs["obtain"] = "the pages were not published with the samples"
    size_dva = (SIZE_PX[0] / _PX_PER_DVA, SIZE_PX[1] / _PX_PER_DVA)
    return StimulusSet(NAME, table, folder, size_dva), pd.concat(tables, ignore_index=True)
