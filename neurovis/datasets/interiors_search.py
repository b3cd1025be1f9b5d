"""Visual search in indoor scenes: what people fixated before they were stopped, and where they then pointed.

Sclar, Bujia, Vita, Solovey & Kamienkowski (2020) Modeling human visual search. arXiv:2009.08373; Bujia et al.
(2022) Frontiers in Systems Neuroscience 16:882315. A trial shows a target, then the scene; after 2, 4, 8 or
12 saccades, or on the target, it ends, and the person points at where the target was and says how surely.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from neurovis.core import Fixations, StimulusSet
from neurovis.datasets.cards import find_dataset, read_card
from neurovis.datasets.gaze_tables import (
    check_entries,
    check_lengths,
    finish_fixations,
    list_sizes,
    read_json_records,
    select_subject,
    stack_scanpaths,
)

NAME = "interiors_search"
# The screen's geometry does not come with the files; the authors' own model takes cells of 32 px for one
# degree. Nominal, then, and not to be used for receptive fields.
PX_PER_DVA = 32.0
_ENTRIES = (
    *("subject", "image", "target", "trial_order", "image_size", "target_rect", "nsaccades_allowed"),
    *("initial_position", "target_found", "search_rt_s", "reported_position", "reported_uncertainty_size"),
    *("fix_x", "fix_y", "fix_dur_ms"),
)


def load_interiors_search(
    *, subject: str | None = None, root: str | Path | None = None, outside: str = "clip"
) -> tuple[StimulusSet, Fixations]:
    """Read scenes, targets and scanpaths.

    Parameters
    ----------
    subject : str, optional
        One of the card's subjects, such as "S04"; all by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    outside : {"clip", "drop", "keep"}
        What becomes of fixations beyond the image; see
        :func:`neurovis.datasets.gaze_tables.finish_fixations`. The files hold x = 1024 and y = 768, gaze
        that was clamped to the border.

    Returns
    -------
    stimuli : StimulusSet
        Grey scenes of 1024 x 768 px; ids are file names without ending. Columns ``task`` ("search"),
        ``target`` (name of the crop), ``target_path``, the box ``target_top_px``, ``target_left_px``,
        ``target_bottom_px``, ``target_right_px`` (bottom and right exclusive), ``height_px``, ``width_px``.
    fixations : Fixations
        With durations, no onsets. The first is the one at the place where the trial began, which was drawn
        at random. Columns of the trial: ``n_saccades_allowed``, ``found`` (bool), ``rt_s``,
        ``trial_order`` (from 1), ``start_x_px``, ``start_y_px``, ``reported_x_px``, ``reported_y_px``,
        ``uncertainty_px``.

    Raises
    ------
    FileNotFoundError
        If the data set or one of its images is missing.
    ValueError
        If the file is truncated, foreign, or gives one scene two targets.
    """
    folder = find_dataset(NAME, root)
    path = folder / "trials.jsonl"
    trials = read_json_records(path, lines=True)
    for number, trial in enumerate(trials):
        check_entries(path, number, trial, _ENTRIES)
    described = _describe_scenes(path, trials)
    for column in ("path", "target_path"):
        for name in described[column]:
            if not (folder / name).is_file():
                raise FileNotFoundError(f"no file at {folder / name}; check that the data set is complete.")
    height, width = described[["height_px", "width_px"]].iloc[0]
    stimuli = StimulusSet(NAME, described, folder, (height / PX_PER_DVA, width / PX_PER_DVA))
    table = stack_scanpaths(_list_scanpaths(path, trials))
    fixations = finish_fixations(table, list_sizes(described), outside=outside)
    return select_subject(stimuli, fixations, subject, read_card(NAME).subjects)


def _describe_scenes(path: Path, trials: list[dict[str, Any]]) -> pd.DataFrame:
    scenes: dict[str, dict[str, Any]] = {}
    for trial in trials:
        left, top, right, bottom = trial["target_rect"]
        height, width = trial["image_size"]
        scene = {
            "path": f"images/{trial['image']}",
            "task": "search",
            "target": Path(trial["target"]).stem,
            "target_path": f"templates/{trial['target']}",
            "target_top_px": float(top),
            "target_left_px": float(left),
            "target_bottom_px": float(bottom),
            "target_right_px": float(right),
            "height_px": int(height),
            "width_px": int(width),
        }
        if scenes.setdefault(Path(trial["image"]).stem, scene) != scene:
            raise ValueError(f"{path} must give {trial['image']} one size and target, got two; restore it.")
    return pd.DataFrame.from_dict(scenes, orient="index").rename_axis("stimulus_id").sort_index()


def _list_scanpaths(path: Path, trials: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    seen: dict[tuple[str, str], int] = {}
    for number, trial in enumerate(trials):
        key = (str(trial["subject"]), Path(trial["image"]).stem)
        seen[key] = seen.get(key, -1) + 1
        found = check_lengths(path, number, {name: trial[name] for name in ("fix_x", "fix_y", "fix_dur_ms")})
        yield {
            "subject": key[0],
            "stimulus_id": key[1],
            "trial": seen[key],
            "x_px": found["fix_x"],
            "y_px": found["fix_y"],
            "duration_s": found["fix_dur_ms"] / 1000,
            "n_saccades_allowed": int(trial["nsaccades_allowed"]),
            "found": bool(trial["target_found"]),
            "rt_s": float(trial["search_rt_s"]),
            "trial_order": int(trial["trial_order"]),
            "start_x_px": float(trial["initial_position"][0]),
            "start_y_px": float(trial["initial_position"][1]),
            "reported_x_px": float(trial["reported_position"][0]),
            "reported_y_px": float(trial["reported_position"][1]),
            "uncertainty_px": float(trial["reported_uncertainty_size"]),
        }
