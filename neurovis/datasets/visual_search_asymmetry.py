"""Search scanpaths of fifteen people, eccNET and IVSN in objects on a ring, Waldo scenes and natural scenes.

Gupta, Zhang, Wu, Wolfe & Kreiman (2021) Visual search asymmetry: deep nets and humans share similar inherent
biases. NeurIPS; the people's data are those of Zhang et al. (2018) Nature Communications 9:3730. The images
do not come with the scanpaths.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import Fixations, StimulusSet, check_array, check_option
from neurovis.datasets.cards import find_dataset, read_card
from neurovis.datasets.gaze_tables import finish_fixations, select_subject, stack_scanpaths
from neurovis.stimuli.asymmetry_experiments import CONDITIONS

NAME = "visual_search_asymmetry"
SIZE_PX = (1024, 1280)
PX_PER_DVA = 156 / 5
SEARCHERS = ("human", "eccNET", "IVSN")


@dataclass(frozen=True)
class _Part:
    """One of the three experiments: images, and whether positions are (x, y) instead of (row, column)."""

    n_images: int
    is_xy: bool


# First words of the authors' file names, by experiment.
_FAMILIES = {1: "curvature", 2: "lightning_dir", 3: "intersection", 4: "intersection"}
_FAMILIES |= {5: "categorization", 6: "categorization"}

PARTS = {"NaturalDesign": _Part(240, False), "Waldo": _Part(67, False), "ObjArr": _Part(300, True)}


def load_visual_search_asymmetry(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    part: str = "NaturalDesign",
    searcher: str = "human",
    outside: str = "clip",
) -> tuple[StimulusSet, Fixations]:
    """Read scanpaths and where the targets are.

    Parameters
    ----------
    subject : str, optional
        Of people one of the card's subjects, "S01" to "S15"; all by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    part : {"NaturalDesign", "Waldo", "ObjArr"}
        Experiment. The files hold (row, column) for the first two and (x, y) for the objects on a ring; here
        it is always x, y.
    searcher : {"human", "eccNET", "IVSN"}
        Whose scanpaths; those of a model are one subject of that name.
    outside : {"clip", "drop", "keep"}
        What becomes of fixations beyond the screen, which trackers recorded; see
        :func:`neurovis.datasets.gaze_tables.finish_fixations`. Of people in natural
        scenes they are 212 of 22,749, up to 421 px above the screen.

    Returns
    -------
    stimuli : StimulusSet
        Without images: reading one raises. Columns ``task`` ("search"), ``target`` (empty), the middle of the
        target ``target_x_px, target_y_px``, its box (NaN: its size is not told), ``height_px, width_px``.
    fixations : Fixations
        No times. The first is the one on the middle of the screen.

    Raises
    ------
    FileNotFoundError
        If the data set or this part of it is missing.
    ValueError
        If an option is unknown, or arrays do not fit together.

    Notes
    -----
    Rows of the files that say at which fixation people found the target belong to other trials than the rows
    of the fixations (equal in 34 % of the found natural scenes); see :func:`load_success_curves`. Targets of
    ObjArr are where eccNET's scanpaths end, as those of IVSN do.
    """
    check_option("searcher", searcher, SEARCHERS)
    folder = _find_part(part, root)
    places, lengths = _read_scanpaths(folder, part, searcher)
    targets = _read_targets(folder, part)
    n_images = PARTS[part].n_images
    ids = [f"{part}-{number + 1:03d}" for number in range(n_images)]
    names = list(read_card(NAME).subjects) if searcher == "human" else [searcher]
    table = stack_scanpaths(
        {
            "subject": names[row // n_images],
            "stimulus_id": ids[row % n_images],
            "x_px": path[:length, 0],
            "y_px": path[:length, 1],
        }
        for row, (path, length) in enumerate(zip(places, lengths, strict=True))
    )
    described = pd.DataFrame(
        {
            "path": "", "task": "search", "target": "", "target_x_px": targets[:, 0],
            "target_y_px": targets[:, 1],
            **{f"target_{edge}_px": np.nan for edge in ("top", "left", "bottom", "right")},
            "height_px": SIZE_PX[0], "width_px": SIZE_PX[1],
        },
        index=pd.Index(ids, name="stimulus_id"),
    )  # fmt: skip
    height, width = (side / PX_PER_DVA for side in SIZE_PX)
    stimuli = StimulusSet(NAME, described, folder, (height, width))
    return select_subject(stimuli, finish_fixations(table, SIZE_PX, outside=outside), subject, names)


def load_success_curves(
    *, root: str | Path | None = None, part: str = "NaturalDesign", n_saccades: int = 20
) -> pd.DataFrame:
    """Share of searches that had found the target after each saccade, as the authors stored it.

    Parameters
    ----------
    root, part
        As in :func:`load_visual_search_asymmetry`.
    n_saccades : int
        Length of the curves.

    Returns
    -------
    pandas.DataFrame
        Index ``n_saccades`` from 0; a column for each of :data:`SEARCHERS`, 0-1.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_visual_search_asymmetry`.
    """
    steps = np.arange(n_saccades + 1)
    curves = {}
    for searcher in SEARCHERS:
        when = load_success_counts(root=root, part=part, searcher=searcher)
        curves[searcher] = (when.ravel()[:, None] <= steps).mean(axis=0)
    return pd.DataFrame(curves).rename_axis("n_saccades")


def load_success_counts(
    *, root: str | Path | None = None, part: str = "NaturalDesign", searcher: str = "human"
) -> NDArray[np.float64]:
    """Saccades after which each search had found the target, as the authors stored it.

    Parameters
    ----------
    root, part, searcher
        As in :func:`load_visual_search_asymmetry`.

    Returns
    -------
    array of shape (n_searchers, n_images)
        15 people, or one model; infinite where the target was not found.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_visual_search_asymmetry`, or if the rows are not those of whole searchers.

    Notes
    -----
    The file goes person by person and in each by image, as that of the scanpaths does: in NaturalDesign every
    person's counts agree most with that person's numbers of fixations, and two people's counts correlate by
    0.45 over images on average. Yet only a third of the searches that found the target agree with their
    scanpath, so that the counts serve for shares and for samples of people and images, not beside scanpaths.
    """
    check_option("searcher", searcher, SEARCHERS)
    name = f"CP_{_name_file(searcher)}.npy"
    found = check_array(
        name, _read_npy(_find_part(part, root) / "cp" / name), ndim=2, minimum=0, maximum=1
    ).astype(bool)
    n_images = PARTS[part].n_images
    if len(found) % n_images:
        raise ValueError(
            f"{name} must have a row for each of {n_images} images and searcher, got {len(found)} rows; copy "
            "the file anew."
        )
    when = np.where(found.any(axis=1), found.argmax(axis=1), np.inf)
    return when.reshape(-1, n_images)


def load_stored_similarities(*, root: str | Path | None = None, part: str = "NaturalDesign") -> pd.DataFrame:
    """The authors' own ScanMatch scores with people, made with a toolbox whose settings are not told.

    Returns
    -------
    pandas.DataFrame
        Index of :data:`SEARCHERS`; columns ``scanmatch`` (mean) and ``sem``.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_visual_search_asymmetry`.
    """
    folder = _find_part(part, root)
    rows = {
        searcher: check_array(
            f"ss_score of {searcher}", _read_npy(folder / "ss_score" / f"{searcher}.npy"), shape=(2,)
        )
        for searcher in SEARCHERS
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["scanmatch", "sem"])


def read_asymmetry_trials(folder: str | Path) -> pd.DataFrame:
    """Trials of the asymmetry experiments from the authors' tables of one model.

    Parameters
    ----------
    folder : path
        ``out_data`` of a model: twelve files such as ``curvature_line_in_curves.csv``, a row per display, by
        set size, with a 1 at the number of saccades that found the target.

    Returns
    -------
    pandas.DataFrame
        ``condition, set_size, found, n_saccades``; rows without a 1 have not found it.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file has another number of rows, or a row more than one 1.
    """
    parts = []
    for name, condition in CONDITIONS.items():
        path = Path(folder) / f"{_FAMILIES[condition.experiment]}_{name}.csv"
        if not path.is_file():
            raise FileNotFoundError(f"no file at {path}; pass the folder out_data of a model.")
        n_rows = condition.n_trials * len(condition.set_sizes)
        table = check_array(
            str(path), np.loadtxt(path, delimiter=",", ndmin=2), shape=(n_rows, None), minimum=0, maximum=1
        )
        if table.sum(axis=1).max() > 1:
            raise ValueError(f"{path} must have at most one 1 in a row, got more; restore the file.")
        found = table.any(axis=1)
        parts.append(
            pd.DataFrame(
                {
                    "condition": name,
                    "set_size": np.repeat(condition.set_sizes, condition.n_trials),
                    "found": found,
                    "n_saccades": np.where(found, table.argmax(axis=1), table.shape[1] - 1),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _find_part(part: str, root: str | Path | None) -> Path:
    check_option("part", part, PARTS)
    folder = find_dataset(NAME, root) / part
    if not folder.is_dir():
        raise FileNotFoundError(
            f"part {part!r} of {NAME!r} not found at {folder}; get vs_saccade_exp/out/{part} from "
            f"{read_card(NAME).source}."
        )
    return folder


def _name_file(searcher: str) -> str:
    return "human_all" if searcher == "human" else searcher


def _read_npy(path: Path) -> NDArray:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; check that the data set is complete.")
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is truncated or not an array ({error}); get it again.") from error


def _read_scanpaths(folder: Path, part: str, searcher: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Positions (n, m, 2) as (x, y), subject by subject, and how many of each row are fixations."""
    name = _name_file(searcher)
    n_rows = PARTS[part].n_images * (len(read_card(NAME).subjects) if searcher == "human" else 1)
    places = check_array(
        f"fix/{name}.npy", _read_npy(folder / "fix" / f"{name}.npy"), shape=(n_rows, None, 2), dtype=float
    )
    lengths = check_array(
        f"ifix/I_{name}.npy", _read_npy(folder / "ifix" / f"I_{name}.npy"), shape=(n_rows, 1), minimum=1,
        maximum=places.shape[1],
    )[:, 0].astype(np.int64)  # fmt: skip
    return (places if PARTS[part].is_xy else places[:, :, ::-1]), lengths


def _read_targets(folder: Path, part: str) -> NDArray[np.float64]:
    """Middles (x, y) of the targets."""
    if part == "ObjArr":
        places, lengths = _read_scanpaths(folder, part, "eccNET")
        return places[np.arange(len(places)), lengths - 1]
    path = folder / "target_pos.npy"
    places = check_array(str(path), _read_npy(path), shape=(PARTS[part].n_images, 2), dtype=float)
    return places[:, ::-1]
