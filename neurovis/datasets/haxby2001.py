"""Haxby et al. (2001), subject 1: fMRI of eight object categories in blocks, runs 1-8.

Haxby, Gobbini, Furey, Ishai, Schouten & Pietrini (2001) Distributed and overlapping representations of faces
and objects in ventral temporal cortex. Science 293:2425-2430. No images come with the data: a block names
its category. Files follow the OpenfMRI layout (``sub001/BOLD/task001_runNNN``).

Trap: by design a run was 12 s of rest, then 24 s blocks and 12 s rests in turn, so blocks began at 12, 48,
84 ... s. The event files say 15, 52.5, 87.5 ... s, 1 to 4.5 s later: they already hold part of the
haemodynamic delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import NeuralData, check_option, make_neural_data
from neurovis.datasets.cards import find_dataset
from neurovis.io import read_table
from neurovis.io.nifti import MaskedSeries, read_masked_series

NAME = "haxby2001"
CATEGORIES = ("face", "house", "cat", "bottle", "scissors", "shoe", "chair", "scrambledpix")
RUNS = tuple(range(1, 9))
_IMAGES = {"slice": "bold_1slice.nii.gz", "25mm": "bold_25mm.nii.gz"}
_IN_HEAD = 0.1  # of the bright end of the mean image; background is dark but not zero


@dataclass(frozen=True)
class HaxbyRuns:
    """Continuous runs and their blocks.

    Parameters
    ----------
    responses : NeuralData
        Rows ``"time"`` (968 scans, runs after each other) with coordinates ``run`` and ``time_s`` (start of
        the scan within its run); neuroids are in-head voxels with ``x, y, z`` [mm]. Scanner units, raw:
        neither detrended nor scaled. ``attrs["t_r"]`` is 2.5 s.
    events : pandas.DataFrame
        ``run``, ``onset`` [s], ``duration`` [s], ``trial_type``; eight blocks a run.
    mask : bool array of shape (x, y, z)
        The voxels, in C order.
    """

    responses: NeuralData
    events: pd.DataFrame
    mask: NDArray[np.bool_]


def load_haxby2001(
    *, subject: str | None = None, root: str | Path | None = None, resolution: str = "slice"
) -> HaxbyRuns:
    """Read the runs of one subject.

    Parameters
    ----------
    subject : {"1"}, optional
        The only subject of the slice.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    resolution : {"slice", "25mm"}
        Half of one axial slice at 3.1 x 3.75 x 3.75 mm, or the whole brain at 25 mm.

    Raises
    ------
    FileNotFoundError
        If the data set or one of its files is missing.
    ValueError
        If a file is truncated or foreign, or the runs do not belong together.
    """
    check_option("subject", subject or "1", ("1",), remedy="only subject 1 is in this slice")
    check_option("resolution", resolution, tuple(_IMAGES))
    folder = find_dataset(NAME, root) / "sub001"
    paths = {run: folder / "BOLD" / f"task001_run{run:03d}" / _IMAGES[resolution] for run in RUNS}
    mask: NDArray[np.bool_] | Path
    if resolution == "slice":
        mask = _compute_head_mask([read_masked_series(path) for path in paths.values()])
    else:
        mask = folder / "masks" / "25mm" / "brain.nii.gz"
    series = {run: read_masked_series(path, mask) for run, path in paths.items()}
    first = series[RUNS[0]]
    t_r = first.t_r
    if t_r is None:
        raise ValueError(
            f"{paths[RUNS[0]]} must state a repetition time in its header, got none; restore it."
        )
    for run, entry in series.items():
        if entry.t_r != t_r or not np.allclose(entry.affine, first.affine):
            raise ValueError(
                f"run {run} of {NAME} must have the grid and repetition time of run 1 ({t_r} s), got "
                f"{entry.t_r} s; restore the files."
            )
    scans = [len(entry.values) for entry in series.values()]
    x, y, z = first.xyz_mm.T
    responses = make_neural_data(
        np.concatenate([entry.values for entry in series.values()]),
        rows="time",
        row_coords={
            "run": np.repeat(RUNS, scans),
            "time_s": np.concatenate([np.arange(n) * t_r for n in scans]),
        },
        neuroid_coords={
            "neuroid_id": ["_".join(["v", *map(str, index)]) for index in first.ijk],
            "subject": np.full(len(x), "1"),
            "region": np.full(len(x), "brain"),
            "x": x,
            "y": y,
            "z": z,
        },
        units="scanner",
        source=NAME,
        t_r=t_r,
    )
    events = [_read_events(path.parent / "bold_events.tsv").assign(run=run) for run, path in paths.items()]
    return HaxbyRuns(responses, pd.concat(events, ignore_index=True), first.mask)


def _compute_head_mask(series: list[MaskedSeries]) -> NDArray[np.bool_]:
    shapes = {entry.mask.shape for entry in series}
    if len(shapes) > 1:
        raise ValueError(f"the runs of {NAME} must share one grid, got {sorted(shapes)}; restore the files.")
    mean = np.mean([entry.values.mean(axis=0) for entry in series], axis=0)
    return (mean > _IN_HEAD * np.percentile(mean, 98)).reshape(shapes.pop())


def _read_events(path: Path) -> pd.DataFrame:
    events = read_table(path, required=("onset", "duration", "trial_type"))
    unknown = sorted(set(events["trial_type"]) ^ set(CATEGORIES))
    if unknown or len(events) != len(CATEGORIES):
        raise ValueError(
            f"{path} must hold one block of each of {list(CATEGORIES)}, got {list(events['trial_type'])}; "
            "restore the file."
        )
    return events
