"""MIT1003: free viewing of 1003 photographs by 15 people, from the raw samples of the eye tracker.

Judd, Ehinger, Durand & Torralba (2009) Learning to predict where humans look. ICCV 2106-2113. Each photograph
was shown for three seconds, 35 px per degree, to an eye tracker at 240 Hz. Fixations are found by the rules
of the authors' code, which looks for bursts of acceleration.
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
from neurovis.datasets.gaze_tables import finish_fixations, list_sizes, select_subject, stack_scanpaths
from neurovis.io.arrays import read_mat

NAME = "mit1003"
SUBJECTS = (
    *("CNG", "ajs", "emb", "ems", "ff", "hp", "jcw", "jw"),
    *("kae", "krl", "po", "tmj", "tu", "ya", "zb"),
)
PX_PER_DVA = 35.0
SFREQ = 240.0
# Of the authors' code, which takes 34 px per degree: the difference of velocities between two windows.
_THRESHOLD_PX = 34 * 6
_WINDOW = 4  # samples
_BURST = 3  # samples of acceleration that make a saccade
_SEARCH = 25  # samples after a burst in which its deceleration must begin
_SHORTEST = 12  # samples, 50 ms
_LONGEST_NAME = 63  # of a variable in MATLAB


def load_mit1003(
    *, subject: str | None = None, root: str | Path | None = None, outside: str = "drop"
) -> tuple[StimulusSet, Fixations]:
    """Read photographs and detect fixations in the raw samples.

    Parameters
    ----------
    subject : str, optional
        Initials as the folders name them, such as "hp"; all by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`; the folder holds ``ALLSTIMULI/*.jpeg`` and
        ``DATA/<subject>/<image>.mat`` as published.
    outside : {"drop", "clip", "keep"}
        What becomes of fixations beyond the photograph; see
        :func:`neurovis.datasets.gaze_tables.finish_fixations`. Blinks are negative positions in the files,
        which is why they are dropped unless told otherwise.

    Returns
    -------
    stimuli : StimulusSet
        Photographs of up to 1024 px, ids without ending. Columns ``task`` ("free"), ``height_px`` and
        ``width_px``.
    fixations : Fixations
        Medians of the samples, with onsets and durations. The first is the one at the central cross before
        the photograph; the authors leave it out (``fixations[fixations["index"] > 0]``, if it was not
        dropped).

    Raises
    ------
    FileNotFoundError
        If the data set, its images or the samples of an image are missing.
    ValueError
        If a file is truncated or foreign.

    Notes
    -----
    Samples are taken as pixels of the photograph as they are; MATLAB counts from 1, so they may be half a
    pixel off. Recordings of a single saccade that goes on to their end keep it, as in the authors' code.
    """
    folder = find_dataset(NAME, root)
    described = _describe_images(folder)
    people = [name for name in SUBJECTS if (folder / "DATA" / name).is_dir()]
    if not people:
        raise FileNotFoundError(f"no folder of a subject at {folder / 'DATA'}; get DATA.zip of the authors.")
    scanpaths = stack_scanpaths(_list_scanpaths(folder / "DATA", people, list(described.index)))
    fixations = finish_fixations(scanpaths, list_sizes(described), outside=outside)
    side = float(described[["height_px", "width_px"]].to_numpy().max()) / PX_PER_DVA
    return select_subject(StimulusSet(NAME, described, folder, (side, side)), fixations, subject, SUBJECTS)


def detect_fixations_by_acceleration(xy_px: ArrayLike) -> list[tuple[int, int]]:
    """Fixations between bursts of acceleration, by the rules of the code published with the data.

    Speeds are averaged over the last four samples; acceleration is their difference over five samples. A
    saccade begins with at least three samples of it above 204 px per second and ends with the deceleration
    that follows within 25 samples. Saccades with 50 ms or less between them are one.

    Parameters
    ----------
    xy_px : array of shape (n_samples, 2)
        At 240 Hz [px].

    Returns
    -------
    list of tuple of int
        First sample and the one after the last of each fixation; at least one.

    Raises
    ------
    ValueError
        If positions are not finite.
    """
    xy = check_array("xy_px", xy_px, shape=(None, 2), dtype=float)
    n = len(xy)
    speed = np.concatenate([[0.0], np.hypot(*np.diff(xy, axis=0).T)])
    smooth = np.convolve(speed, np.full(_WINDOW, 1 / _WINDOW))[:n]
    acceleration = np.zeros(n)
    step = _WINDOW + 1
    acceleration[1 : n - step] = (smooth[1 + step :] - smooth[1 : n - step]) * SFREQ / _WINDOW
    saccades = _list_saccades(acceleration)
    still = np.ones(n, dtype=bool)
    for start, stop in _join(saccades, n):
        still[start:stop] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _list_saccades(acceleration: NDArray[np.float64]) -> list[tuple[int, int]]:
    n = len(acceleration)
    rising = np.concatenate([[False], acceleration > _THRESHOLD_PX, [False]])
    bursts = np.flatnonzero(np.diff(rising.astype(int))).reshape(-1, 2)
    bursts = bursts[bursts[:, 1] - bursts[:, 0] >= _BURST]
    falling = acceleration < -_THRESHOLD_PX
    # Last samples of decelerations.
    ends = np.flatnonzero(falling[:-1] & ~falling[1:])
    last = np.flatnonzero(acceleration)
    found: list[tuple[int, int]] = []
    for start, stop in bursts.tolist():
        later = ends[(ends >= stop) & (ends <= stop + _SEARCH)]
        if len(later):
            found.append((start, int(later[0]) + 1))
        elif len(bursts) == 1 and stop - 1 == last[-1]:
            found.append((start, n))
    return found


def _join(saccades: list[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, stop in saccades:
        if joined and start - (joined[-1][1] - 1) <= _SHORTEST:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    if joined and n - joined[-1][1] <= _SHORTEST:
        joined[-1] = (joined[-1][0], n)
    return joined


def _describe_images(folder: Path) -> pd.DataFrame:
    from PIL import Image

    rows = {}
    for path in sorted((folder / "ALLSTIMULI").glob("*.jpeg")):
        with Image.open(path) as image:
            width, height = image.size
        entry = path.relative_to(folder).as_posix()
        rows[path.stem] = {"path": entry, "task": "free", "height_px": height, "width_px": width}
    if not rows:
        raise FileNotFoundError(f"no *.jpeg at {folder / 'ALLSTIMULI'}; get ALLSTIMULI.zip of the authors.")
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stimulus_id")


def _list_scanpaths(folder: Path, people: list[str], images: list[str]) -> Iterator[dict[str, Any]]:
    for person in people:
        for image in images:
            path = folder / person / f"{image}.mat"
            variable = image[:_LONGEST_NAME]
            found = read_mat(path, [variable])[variable]
            try:
                samples = found["DATA"][0, 0]["eyeData"][0, 0]
            except (ValueError, IndexError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path} must hold {variable}.DATA(1).eyeData ({error}); check that it is the right file."
                ) from error
            xy = check_array(f"eyeData of {path}", samples, ndim=2, dtype=float)[:, :2]
            spans = detect_fixations_by_acceleration(xy)
            places = np.array([np.median(xy[start:stop], axis=0) for start, stop in spans])
            yield {
                "subject": person,
                "stimulus_id": image,
                "x_px": places[:, 0],
                "y_px": places[:, 1],
                "onset_s": np.array([start for start, _ in spans]) / SFREQ,
                "duration_s": np.array([stop - start for start, stop in spans]) / SFREQ,
            }
