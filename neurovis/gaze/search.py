"""Search by a map of attention: fixate the maximum, look, do not return, until the target is found.

The loop of eccNET (Gupta et al., 2021, NeurIPS) and of IVSN (Zhang et al., 2018, Nature Communications
9:3730), for any searcher that gives a map.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array
from neurovis.core.fixations import Fixations, check_fixations, make_fixations
from neurovis.gaze.search_protocols import SearchProtocol
from neurovis.stimuli.asymmetry_experiments import SearchDisplays

BOX_COLUMNS = ["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]


@dataclass(frozen=True, eq=False)
class SearchTask:
    """Trials of one search experiment, with images of one size.

    Parameters
    ----------
    name : str
        Of the experiment.
    trials : pandas.DataFrame
        Index ``stimulus_id``; columns ``target_index`` and :data:`BOX_COLUMNS` [px of the images that
        ``load`` gives]; further columns, such as ``condition`` and ``set_size``, go into the results.
    load : callable
        Number of a trial to its image (height, width, 3), uint8.
    targets : sequence of uint8 arrays (height, width, 3)
        Pictures of targets, by ``target_index``.
    size_px : tuple of int
        (height, width) of the images.
    cells : int array (height, width), optional
        Cell of every pixel, -1 outside; of arrays.
    scale : tuple of float
        (y, x) factors from these pixels to those of the fixations that are reported.
    """

    name: str
    trials: pd.DataFrame
    load: Callable[[int], NDArray[np.uint8]]
    targets: Sequence[NDArray[np.uint8]]
    size_px: tuple[int, int]
    cells: NDArray[np.int64] | None = None
    scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class SearchSetup:
    """A task, how it is done, and the seed of searchers that draw at random."""

    task: SearchTask
    protocol: SearchProtocol
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Glance:
    """What is before the eyes in some trials of a task.

    Parameters
    ----------
    images : uint8 array of shape (n, height, width, 3)
        With visited cells painted over.
    fixations : int array of shape (n, 2)
        (row, column) that each trial fixates.
    trials : int array of shape (n,)
        Numbers of the trials in the task.
    """

    images: NDArray[np.uint8]
    fixations: NDArray[np.int64]
    trials: NDArray[np.int64]


Attend = Callable[[Glance], NDArray[np.floating]]
"""A glance to maps (n, height, width); minus infinity where nothing is seen."""


class Searcher(Protocol):
    """What says where to look next."""

    @property
    def name(self) -> str:
        """Name of the searcher, the subject of its fixations."""
        ...

    def begin(self, setup: SearchSetup) -> Attend:
        """Prepare for a task, e.g. look at the pictures of its targets once."""
        ...


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a searcher did.

    Parameters
    ----------
    fixations : Fixations
        Subject is the searcher's name; the start in the middle is index 0. Times are not simulated (NaN).
    trials : pandas.DataFrame
        One row per trial: ``stimulus_id, subject, found, n_saccades`` and the task's own columns.
        ``n_saccades`` counts those made, until found or given up.
    maps : dict
        stimulus_id -> float32 (n_saccades, height, width), the map before each saccade; only if asked for.
    """

    fixations: Fixations
    trials: pd.DataFrame
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass
class _Trial:
    """A search that is going on."""

    number: int
    image: NDArray[np.uint8]
    open: NDArray[np.bool_]
    path: list[tuple[int, int]]
    maps: list[NDArray[np.float32]]


def make_array_task(displays: SearchDisplays) -> SearchTask:
    """Task of displays of an asymmetry experiment."""

    def load(number: int) -> NDArray[np.uint8]:
        return np.repeat(displays.images[number][..., None], 3, axis=2)

    targets = [np.repeat(picture[..., None], 3, axis=2) for picture in displays.targets]
    height, width = displays.images.shape[1:]
    return SearchTask(displays.name, displays.trials, load, targets, (height, width), displays.cells)


def make_scene_task(stimuli: StimulusSet, protocol: SearchProtocol) -> SearchTask:
    """Task of photographs, each with a target.

    Parameters
    ----------
    stimuli : StimulusSet
        Its table has :data:`BOX_COLUMNS` [px of the files], ``height_px``, ``width_px`` and, if targets have
        files of their own, ``target_path``; otherwise the target's picture is cut out of the image.
    protocol : SearchProtocol
        With ``size_px``, which all images are resized to, and ``target_px``.

    Returns
    -------
    SearchTask
        Fixations are reported in pixels of the files, which must be of one size.

    Raises
    ------
    ValueError
        If columns are missing, a box is not finite or the files differ in size.
    """
    from PIL import Image

    table = stimuli.table
    missing = [name for name in (*BOX_COLUMNS, "height_px", "width_px") if name not in table.columns]
    if missing:
        raise ValueError(f"the table of {stimuli.name!r} must have the columns {missing}; add them.")
    sizes = table[["height_px", "width_px"]].drop_duplicates().to_numpy()
    if len(sizes) != 1:
        raise ValueError(
            f"images of {stimuli.name!r} must be of one size, got {len(sizes)}; run each size on its own."
        )
    boxes = check_array(
        f"target boxes of {stimuli.name!r}", table[BOX_COLUMNS].to_numpy(float), remedy="leave out others"
    )
    full = (int(sizes[0, 0]), int(sizes[0, 1]))
    height, width = protocol.size_px or full
    scale = (full[0] / height, full[1] / width)
    ids = stimuli.stimulus_ids

    def resize(pixels: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
        if pixels.shape[:2] == size_px:
            return pixels
        return np.array(Image.fromarray(pixels).resize(size_px[::-1], Image.Resampling.BILINEAR))

    def load(number: int) -> NDArray[np.uint8]:
        return resize(stimuli.load(ids[number]), (height, width))

    def cut(number: int) -> NDArray[np.uint8]:
        if "target_path" in table.columns:
            with Image.open(stimuli.root / str(table["target_path"].iloc[number])) as image:
                picture = np.array(image.convert("RGB"))  # torch wants it writable
        else:
            top, left, bottom, right = np.round(boxes[number]).astype(int)
            picture = stimuli.load(ids[number])[max(top, 0) : bottom, max(left, 0) : right]
        side = protocol.target_px
        return picture if side is None else resize(picture, (side, side))

    scaled = table.drop(columns="path").assign(target_index=np.arange(len(table)))
    scaled[BOX_COLUMNS] = boxes / (*scale, *scale)
    targets = [cut(number) for number in range(len(ids))]
    return SearchTask(stimuli.name, scaled, load, targets, (height, width), scale=scale)


def simulate_search(
    searcher: Searcher,
    task: SearchTask,
    protocol: SearchProtocol,
    *,
    seed: int = 0,
    batch_size: int = 8,
    keep_maps: bool = False,
    progress: bool = True,
) -> SearchResult:
    """Let a searcher do every trial of a task.

    Parameters
    ----------
    searcher : Searcher
        Gives the maps of attention.
    task : SearchTask
        Images, targets and where they are.
    protocol : SearchProtocol
        How the search is run.
    seed : int
        For searchers that draw at random.
    batch_size : int
        Trials that go on side by side; one that ends makes room for the next.
    keep_maps : bool
        Keep every map; (height, width) float32 for each saccade.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    SearchResult

    Raises
    ------
    ValueError
        If the protocol goes by cells and the task has none.

    Notes
    -----
    The start is the middle of the image. Of equal maxima the first in reading order is fixated. In arrays a
    saccade goes to an unvisited cell, also an empty one, and the visited cells are painted over. In scenes
    the square around each fixation is closed, and the target is looked for there before each saccade.
    """
    from tqdm import tqdm

    check_array("batch_size", batch_size, ndim=0, minimum=1)
    if protocol.uses_cells and task.cells is None:
        raise ValueError(
            f"protocol {protocol.name!r} goes from cell to cell, but task {task.name!r} has no cells; use a "
            "protocol of scenes."
        )
    attend = searcher.begin(SearchSetup(task, protocol, seed))
    waiting = iter(range(len(task.trials)))
    boxes = task.trials[BOX_COLUMNS].to_numpy(float)
    active: list[_Trial] = []
    ended: list[tuple[_Trial, bool]] = []
    with tqdm(total=len(task.trials), desc=f"{searcher.name}: {task.name}", unit="trial",
              disable=None if progress else True, file=sys.stderr) as bar:  # fmt: skip
        while True:
            active += [_begin_trial(task, n) for n in _take(waiting, batch_size - len(active))]
            if not active:
                break
            going = []
            for trial in active:
                # The last saccade of a scene is not looked at any more, as in the reference.
                if len(trial.path) > protocol.max_saccades or not trial.open.any():
                    ended.append((trial, False))
                elif not protocol.uses_cells and _touches(
                    trial.path[-1], boxes[trial.number], protocol.found_px
                ):
                    ended.append((trial, True))
                else:
                    going.append(trial)
            if going:
                _move_eyes(going, attend, task, protocol, keep_maps=keep_maps)
            active = []
            for trial in going:
                if protocol.uses_cells and _touches(trial.path[-1], boxes[trial.number], protocol.found_px):
                    ended.append((trial, True))
                else:
                    active.append(trial)
            bar.update(len(ended) - bar.n)
    return _collect(searcher.name, task, sorted(ended, key=lambda pair: pair[0].number), keep_maps)


def _begin_trial(task: SearchTask, number: int) -> _Trial:
    image = np.array(task.load(number))
    expected = (*task.size_px, 3)
    if image.shape != expected or image.dtype != np.uint8:
        raise ValueError(
            f"images of task {task.name!r} must be uint8 {expected}, got {image.dtype} {image.shape}; "
            "resize them."
        )
    free = np.ones(task.size_px, dtype=bool) if task.cells is None else task.cells >= 0
    return _Trial(number, image, free, [(task.size_px[0] // 2, task.size_px[1] // 2)], [])


def _take(waiting: Iterator[int], count: int) -> list[int]:
    return [number for _, number in zip(range(count), waiting, strict=False)]


def _move_eyes(
    trials: list[_Trial], attend: Attend, task: SearchTask, protocol: SearchProtocol, *, keep_maps: bool
) -> None:
    """One saccade of every trial, and what it closes."""
    if not protocol.uses_cells:
        for trial in trials:
            _close_square(trial.open, trial.path[-1], protocol.found_px)
    images = np.stack([trial.image for trial in trials])
    fixations = np.array([trial.path[-1] for trial in trials])
    maps = attend(Glance(images, fixations, np.array([trial.number for trial in trials])))
    for trial, attention in zip(trials, maps, strict=True):
        if keep_maps:
            trial.maps.append(attention.astype(np.float32))
        allowed = np.where(trial.open, attention, -np.inf)
        row, column = (int(n) for n in np.unravel_index(int(allowed.argmax()), allowed.shape))
        if not np.isfinite(allowed[row, column]):
            # Nothing that is seen is open: go to the open place that is nearest.
            row, column = _find_nearest(trial.open, trial.path[-1])
        trial.path.append((row, column))
        if task.cells is not None:
            visited = task.cells == task.cells[row, column]
            trial.open &= ~visited
            trial.image[visited] = protocol.background


def _find_nearest(free: NDArray[np.bool_], place: tuple[int, int]) -> tuple[int, int]:
    places = np.argwhere(free) if free.any() else np.argwhere(np.ones_like(free))
    row, column = places[((places - place) ** 2).sum(axis=1).argmin()]
    return int(row), int(column)


def _close_square(free: NDArray[np.bool_], place: tuple[int, int], side: int) -> None:
    top, left = (max(n - side // 2, 0) for n in place)
    free[top : place[0] + side // 2, left : place[1] + side // 2] = False


def _touches(place: tuple[int, int], box: NDArray[np.float64], side: int) -> bool:
    """Whether the square of this side around a fixation holds a part of the target's box."""
    top, left, bottom, right = box
    half = side // 2
    return bool(
        place[0] - half < bottom
        and place[0] + half > top
        and place[1] - half < right
        and place[1] + half > left
    )


def _collect(name: str, task: SearchTask, ended: list[tuple[_Trial, bool]], keep_maps: bool) -> SearchResult:
    ids = list(task.trials.index)
    paths = []
    for trial, _ in ended:
        # Middles of pixels; x before y.
        places = (np.array(trial.path) + 0.5) * task.scale
        paths.append(make_fixations(places[:, ::-1], subject=name, stimulus_id=ids[trial.number]))
    trials = pd.DataFrame(
        {
            "stimulus_id": ids,
            "subject": name,
            "found": [found for _, found in ended],
            "n_saccades": [len(trial.path) - 1 for trial, _ in ended],
        }
    )
    own = task.trials.drop(columns=["target_index", "stimulus_id"], errors="ignore").reset_index(drop=True)
    own[BOX_COLUMNS] = own[BOX_COLUMNS] * (*task.scale, *task.scale)
    maps = {ids[trial.number]: np.stack(trial.maps) for trial, _ in ended if keep_maps and trial.maps}
    fixations = check_fixations(pd.concat(paths, ignore_index=True))
    return SearchResult(fixations, pd.concat([trials, own], axis=1), maps)
