"""The six search-asymmetry experiments: finding A among B is easier than finding B among A.

Geometry after Gupta, Zhang, Wu, Wolfe & Kreiman (2021) Visual search asymmetry: deep nets and humans share
similar inherent biases. NeurIPS; the experiments are those of Wolfe, Yee & Friedman-Hill (1992), Kleffner &
Ramachandran (1992), Wolfe & DiMase (2003) and Wolfe, Friedman-Hill, Stewart & O'Connell (1992). All pictures
are drawn here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array, check_option, make_provenance, make_rng
from neurovis.io import atomic_path, read_stimulus_set, write_stimulus_table
from neurovis.stimuli.search_items import (
    compute_side,
    make_arc_item,
    make_padded_bar,
    make_shaded_disc,
    make_stroke_item,
)

PX_PER_DVA = 30
_LIGHTING_BACKGROUND = 27
_ARC_TURNS_DEG = (-45, -90, -135, 180)
_BAR_PATCH_DVA, _CURVE_PATCH_DVA, _LETTER_PATCH_DVA, _DISC_DVA = 2.3, 1.6, 5.9, 1.04
_TARGET_ANGLES_DEG = (0, -20)
_HETERO_ANGLES_DEG = (-80, -60, -40, 20, 40, 60, 80)

Items = tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]


@dataclass(frozen=True)
class AsymmetryCondition:
    """One condition of an experiment.

    Parameters
    ----------
    name : str
        Key of :data:`CONDITIONS`.
    experiment : int
        1 to 6.
    hard : bool
        Whether people find it the harder one of the two.
    size_dva : float
        Side of the display [degrees].
    patch_dva : float
        Side of an item's patch [degrees].
    n_grid : int
        Cells along each side.
    set_sizes : tuple of int
        Items in a display, the target included.
    n_trials : int
        Displays of each set size in the paper.
    background : int
        Grey of the display, 0-255.
    draw : callable
        Pixels per degree to pictures of targets and of distractors.
    order : {"cycle", "random", "deck"}
        How pictures are dealt to the items: item k gets picture k modulo their number; at random; or each
        distractor once before one comes twice.
    """

    name: str
    experiment: int
    hard: bool
    size_dva: float
    patch_dva: float
    n_grid: int
    set_sizes: tuple[int, ...]
    n_trials: int
    background: int
    draw: Callable[[float], Items]
    order: str


@dataclass(frozen=True, eq=False)
class SearchDisplays:
    """Displays of one condition.

    Parameters
    ----------
    name : str
        Condition.
    images : uint8 array of shape (n, height, width)
        Grey displays, by set size.
    targets : tuple of uint8 arrays of shape (side, side)
        Pictures of the target.
    trials : pandas.DataFrame
        One row per display, index ``stimulus_id``: ``set_size``, ``target_index`` (into ``targets``),
        ``target_cell`` and its box ``target_top_px, target_left_px, target_bottom_px, target_right_px``
        (the cell, bottom and right exclusive).
    items : pandas.DataFrame
        One row per item: ``stimulus_id, cell, top_px, left_px, side_px, is_target``.
    cells : int array of shape (height, width)
        Number of the grid cell of every pixel, -1 beyond the grid.
    background : int
        Grey of the display, 0-255.
    px_per_dva : float
        Pixels per degree.
    """

    name: str
    images: NDArray[np.uint8]
    targets: tuple[NDArray[np.uint8], ...]
    trials: pd.DataFrame
    items: pd.DataFrame
    cells: NDArray[np.int64]
    background: int
    px_per_dva: float

    def make_cell_masks(self) -> NDArray[np.uint8]:
        """Masks (n_cells, height, width) of all cells, also the empty ones; 255 inside, 0 outside."""
        numbers = np.arange(self.cells.max() + 1)
        return np.where(self.cells == numbers[:, None, None], np.uint8(255), np.uint8(0))


def _draw_curves(*, target: str) -> Callable[[float], Items]:
    def draw(px_per_dva: float) -> Items:
        curves = [
            make_arc_item(
                radius_dva=1.0, angle_rad=1.3, width_dva=1 / 6, turn_deg=turn, patch_dva=_CURVE_PATCH_DVA,
                px_per_dva=px_per_dva,
            )
            for turn in _ARC_TURNS_DEG
        ]  # fmt: skip
        lines = [
            make_padded_bar(
                length_dva=1.2, width_dva=0.2, orientation_deg=turn, patch_dva=_CURVE_PATCH_DVA,
                px_per_dva=px_per_dva,
            )
            for turn in _ARC_TURNS_DEG
        ]  # fmt: skip
        pictures = {"curve": _shade(curves, 0, 255), "line": _shade(lines, 0, 255)}
        return pictures[target], pictures["line" if target == "curve" else "curve"]

    return draw


def _draw_discs(*, light: str, shade: str) -> Callable[[float], Items]:
    def draw(px_per_dva: float) -> Items:
        target, distractor = (
            make_shaded_disc(
                diameter_dva=_DISC_DVA,
                light=side,
                background=_LIGHTING_BACKGROUND / 255,
                px_per_dva=px_per_dva,
            )
            for side in (light, shade)
        )
        return [_to_grey(target)], [_to_grey(distractor)]

    return draw


_STROKE = 0.55
_EDGE = 0.2  # half of the border of 0.4 degrees around an item of 5.5
_MIDDLE = _EDGE + (5.5 - _STROKE) / 2
_END = _EDGE + 5.5
_UPRIGHT = (_EDGE, _MIDDLE, _END, _MIDDLE + _STROKE)
_STROKES = {
    "cross": (_UPRIGHT, (_EDGE + 3 * _STROKE, _EDGE, _EDGE + 4 * _STROKE, _END)),
    # The level bar in two halves at different heights: two junctions instead of a crossing.
    "non_cross": (
        _UPRIGHT,
        (_EDGE + 3 * _STROKE, _EDGE, _EDGE + 4 * _STROKE, _EDGE + 2.75),
        (_EDGE + 6 * _STROKE, _EDGE + 2.75, _EDGE + 7 * _STROKE, _END),
    ),
    "T": (_UPRIGHT, (_EDGE, _EDGE, _EDGE + _STROKE, _END)),
    "L": ((_EDGE, _EDGE, _END, _EDGE + _STROKE), (_END - _STROKE, _EDGE, _END, _END)),
}


def _draw_strokes(*, target: str, distractor: str) -> Callable[[float], Items]:
    def draw(px_per_dva: float) -> Items:
        found = []
        for name in (target, distractor):
            item = make_stroke_item(_STROKES[name], patch_dva=_LETTER_PATCH_DVA, px_per_dva=px_per_dva)
            found.append(_shade([item, item[::-1], item.T, item.T[:, ::-1]], 255, 0))
        return found[0], found[1]

    return draw


def _draw_bars(*, target: int, distractors: tuple[int, ...]) -> Callable[[float], Items]:
    def draw(px_per_dva: float) -> Items:
        # Angles of the experiment are from vertical.
        bars = [
            make_padded_bar(
                length_dva=2.0, width_dva=0.3, orientation_deg=90 + angle, patch_dva=_BAR_PATCH_DVA,
                px_per_dva=px_per_dva,
            )
            for angle in (target, *distractors)
        ]  # fmt: skip
        pictures = _shade(bars, 255, 0)
        return pictures[:1], pictures[1:]

    return draw


def _shade(items: list[NDArray], background: int, luminance: int) -> list[NDArray[np.uint8]]:
    return [_to_grey((background + item * (luminance - background)) / 255) for item in items]


def _to_grey(luminance: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.round(255 * luminance).astype(np.uint8)


def _list_conditions() -> list[AsymmetryCondition]:
    upright, tilted = _TARGET_ANGLES_DEG
    curvature = {"size_dva": 11.3, "patch_dva": _CURVE_PATCH_DVA, "n_grid": 6, "set_sizes": (8, 16, 32)}
    curvature |= {"n_trials": 30, "background": 0, "order": "cycle"}
    lighting = {"size_dva": 6.6, "patch_dva": _DISC_DVA, "n_grid": 4, "set_sizes": (1, 6, 12)}
    lighting |= {"n_trials": 30, "background": _LIGHTING_BACKGROUND, "order": "random"}
    strokes = {"size_dva": 20.5, "patch_dva": _LETTER_PATCH_DVA, "n_grid": 3, "set_sizes": (3, 6, 9)}
    strokes |= {"n_trials": 36, "background": 255, "order": "random"}
    bars = {"size_dva": 11.3, "patch_dva": _BAR_PATCH_DVA, "n_grid": 4, "set_sizes": (1, 4, 8, 12)}
    bars |= {"n_trials": 30, "background": 255, "order": "deck"}
    entries: list[tuple[str, int, bool, Callable[[float], Items], dict]] = [
        ("curve_in_lines", 1, False, _draw_curves(target="curve"), curvature),
        ("line_in_curves", 1, True, _draw_curves(target="line"), curvature),
        ("top_down", 2, False, _draw_discs(light="top", shade="bottom"), lighting),
        ("left_right", 2, True, _draw_discs(light="left", shade="right"), lighting),
        ("non_cross", 3, False, _draw_strokes(target="non_cross", distractor="cross"), strokes),
        ("cross", 3, True, _draw_strokes(target="cross", distractor="non_cross"), strokes),
        ("Ts", 4, False, _draw_strokes(target="T", distractor="L"), strokes),
        ("Ls", 4, True, _draw_strokes(target="L", distractor="T"), strokes),
        ("homo_t20", 5, False, _draw_bars(target=tilted, distractors=(upright,)), bars),
        ("homo_t0", 5, True, _draw_bars(target=upright, distractors=(tilted,)), bars),
        ("hetero_t0", 6, False, _draw_bars(target=upright, distractors=(*_HETERO_ANGLES_DEG, tilted)), bars),
        ("hetero_t20", 6, True, _draw_bars(target=tilted, distractors=(*_HETERO_ANGLES_DEG, upright)), bars),
    ]
    return [
        AsymmetryCondition(name, experiment, hard, draw=draw, **shared)
        for name, experiment, hard, draw, shared in entries
    ]


CONDITIONS: Mapping[str, AsymmetryCondition] = MappingProxyType(
    {condition.name: condition for condition in _list_conditions()}
)
"""The twelve conditions, by experiment, the easy one of each first."""


def make_search_displays(
    condition: str, *, seed: int, n_trials: int | None = None, set_sizes: tuple[int, ...] | None = None
) -> SearchDisplays:
    """Displays of one condition.

    Parameters
    ----------
    condition : str
        Key of :data:`CONDITIONS`.
    seed : int
        Decides cells, jitter, and which pictures the items get.
    n_trials : int, optional
        Displays of each set size; the paper's 30 or 36 by default. More leave the first ones unchanged.
    set_sizes : tuple of int, optional
        Those of the paper by default.

    Returns
    -------
    SearchDisplays

    Raises
    ------
    ValueError
        If the condition is unknown, or a set size is not 1 to the number of cells.

    Notes
    -----
    Each display draws its cells without replacement, one of them for the target. An item starts at a random
    offset in its cell, below the room that is left, in both directions. Letters and crosses come upright,
    upside down, transposed, and transposed and mirrored; two of these are the same L.
    """
    chosen = CONDITIONS[check_option("condition", condition, CONDITIONS)]
    sizes = chosen.set_sizes if set_sizes is None else tuple(set_sizes)
    count = chosen.n_trials if n_trials is None else n_trials
    check_array("n_trials", count, ndim=0, minimum=1)
    check_array("set_sizes", sizes, ndim=1, minimum=1, maximum=chosen.n_grid**2, remedy="one item per cell")
    targets, distractors = chosen.draw(PX_PER_DVA)
    side, cell_px = (
        compute_side(size, PX_PER_DVA) for size in (chosen.size_dva, chosen.size_dva / chosen.n_grid)
    )
    images = np.full((count * len(sizes), side, side), chosen.background, dtype=np.uint8)
    trials, items = [], []
    for row, (set_size, trial) in enumerate((size, trial) for size in sizes for trial in range(count)):
        rng = make_rng(seed, "search displays", condition, set_size, trial)
        name = f"{condition}-{set_size:02d}-{trial:03d}"
        cells = rng.choice(chosen.n_grid**2, set_size, replace=False)
        target = int(rng.integers(set_size))
        kinds = _deal(rng, chosen.order, set_size, target, len(targets), len(distractors))
        offsets = rng.integers(max(1, cell_px - len(targets[0])), size=(set_size, 2))
        for number, (cell, kind, offset) in enumerate(zip(cells, kinds, offsets, strict=True)):
            picture = targets[kind] if number == target else distractors[kind]
            top, left = np.array(divmod(int(cell), chosen.n_grid)) * cell_px + offset
            images[row, top : top + len(picture), left : left + len(picture)] = picture
            items.append((name, int(cell), int(top), int(left), len(picture), number == target))
        top, left = (int(n) * cell_px for n in divmod(int(cells[target]), chosen.n_grid))
        box = (top, left, top + cell_px, left + cell_px)
        trials.append((name, condition, set_size, int(kinds[target]), int(cells[target]), *box))
    edges = ["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]
    columns = ["stimulus_id", "condition", "set_size", "target_index", "target_cell", *edges]
    return SearchDisplays(
        condition,
        images,
        tuple(targets),
        pd.DataFrame(trials, columns=columns).set_index("stimulus_id"),
        pd.DataFrame(items, columns=["stimulus_id", "cell", "top_px", "left_px", "side_px", "is_target"]),
        _number_cells(side, cell_px, chosen.n_grid),
        chosen.background,
        PX_PER_DVA,
    )


def write_search_displays(displays: SearchDisplays, folder: str | Path, *, seed: int) -> StimulusSet:
    """Write displays as a StimulusSet folder: PNG files, pictures of the target and a table.

    Parameters
    ----------
    displays : SearchDisplays
        Of one condition.
    folder : path
        Must not exist, or be as written before.
    seed : int
        Of the displays, kept in the table's provenance.

    Returns
    -------
    StimulusSet
        The table holds the columns of ``displays.trials``, ``height_px``, ``width_px``, ``task`` ("search"),
        ``target`` (condition) and ``target_path``.
    """
    from PIL import Image

    folder = Path(folder)
    if not (folder / "stimuli.json").is_file():
        height, width = displays.images.shape[1:]
        table = displays.trials.assign(
            path=[f"{name}.png" for name in displays.trials.index],
            target_path=[f"target_{number}.png" for number in displays.trials["target_index"]],
            task="search", target=displays.name, height_px=height, width_px=width,
        )  # fmt: skip
        size_dva = (height / displays.px_per_dva, width / displays.px_per_dva)
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            for path, pixels in zip(table["path"], displays.images, strict=True):
                Image.fromarray(pixels).save(temporary / path)
            for number, pixels in enumerate(displays.targets):
                Image.fromarray(pixels).save(temporary / f"target_{number}.png")
            config = {"condition": displays.name, "seed": seed, "n_displays": len(table)}
            write_stimulus_table(
                StimulusSet(displays.name, table, temporary, size_dva),
                provenance=make_provenance("stimuli search-displays", config),
            )
    return read_stimulus_set(folder)


def _deal(
    rng: np.random.Generator, order: str, n_items: int, target: int, n_targets: int, n_distractors: int
) -> NDArray[np.int64]:
    """Picture of every item, into the targets' for the target and the distractors' for the others."""
    if order == "cycle":
        return np.arange(n_items) % n_distractors
    if order == "random":
        kinds = rng.integers(n_distractors, size=n_items)
    else:
        n_decks = -(-max(n_items - 1, 1) // n_distractors)
        decks = [rng.permutation(n_distractors) for _ in range(n_decks)]
        others = rng.permutation(np.concatenate(decks)[: n_items - 1])
        kinds = np.insert(others, target, 0)
    kinds[target] = rng.integers(n_targets)
    return kinds


def _number_cells(side: int, cell_px: int, n_grid: int) -> NDArray[np.int64]:
    along = np.arange(side) // cell_px
    inside = along < n_grid
    return np.where(inside[:, None] & inside, along[:, None] * n_grid + along, -1)
