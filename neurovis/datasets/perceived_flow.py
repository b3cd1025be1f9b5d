"""Optical flow as people see it, next to the true flow; the movies are not part of the data.

Yang et al. (2023) iScience 26:108307; Sun et al. (2025) Nature Machine Intelligence. People matched the
motion of a noise patch to what they saw at a probed place and moment. There are no recordings of neurons
here, so the loader returns tables instead of stimuli and responses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_array
from neurovis.datasets.cards import find_dataset
from neurovis.io.arrays import read_mat

NAME = "perceived_flow"
SOURCES = (
    "KITTI", "Virtual KITTI 2", "Sintel-NV", "VIPER", "Spring", "Monkaa", "MHOF", "Driving", "FlyingThings3D",
    "TartanAir",
)  # fmt: skip
"""Origin of the ten kinds of movies; that 1 is KITTI is certain, the others follow the order of the site."""

MODULATIONS = ("noise", "blur", "water wave", "luminance", "Fourier phase", "flow shuffle", "swirl")
"""Second-order modulations, inferred from the generator of the movies by the order of its types."""

SINTEL_SIZE_PX = (872, 2048)
"""Height and width of the slow movies, in whose pixels their probes and flows are."""

PROBED_FRAME = 8  # of the 15 frames of the temporal set
_SINTEL = ("ambush_2", "ambush_4", "cave_4", "market_6", "temple_3")
_SINTEL_START_YX = ((150, 1350), (350, 1500), (450, 800), (275, 1160), (570, 1700))
_SINTEL_FRAME = (110, 95, 126, 105, 115)
_SINTEL_STEP_PX = 25
_PROBE_COLUMNS = (
    *("dataset", "session", "movie", "location", "y_coordinate", "x_coordinate"),
    *("Resp_u", "Resp_v", "GT_u", "GT_v"),
)


@dataclass(frozen=True)
class PerceivedFlow:
    """Tables of reports; flows are in pixels per frame.

    Parameters
    ----------
    probes : pandas.DataFrame
        One row per probe of the large set, mean over people: ``dataset`` (1-10), ``source``, ``session``,
        ``movie``, ``location``, ``x_px`` and ``y_px`` (from 0, y down), ``human_u``, ``human_v``,
        ``true_u``, ``true_v`` (v **down**).
    sintel_slow : pandas.DataFrame
        36 probes in each of three slow movies: ``movie`` (name), ``frame`` (from 1), ``row``, ``column``,
        ``x_px``, ``y_px`` (at twice the resolution of Sintel, as the flow), and the flows (v down).
    temporal : pandas.DataFrame
        One row per report: ``participant``, ``movie``, ``timing``, ``play`` (direction of playing),
        ``location``, ``flip`` (of the image; the report is turned back), ``human_u``, ``human_v``.
    temporal_flow : pandas.DataFrame
        Flows that the reports are compared with: ``source`` ("truth", 15 frames, or "flownet2", 14),
        ``movie``, ``timing``, ``play``, ``location``, ``frame`` (from 1; the eighth is the probed one), ``u``
        and ``v``.
    second_order : pandas.DataFrame
        40 scenes in seven modulations: ``participant``, ``scene``, ``modulation``, and the flows.
    """

    probes: pd.DataFrame
    sintel_slow: pd.DataFrame
    temporal: pd.DataFrame
    temporal_flow: pd.DataFrame
    second_order: pd.DataFrame


def load_perceived_flow(*, root: str | Path | None = None) -> PerceivedFlow:
    """Read every table of the set.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.

    Raises
    ------
    FileNotFoundError
        If the data set or a file is missing.
    ValueError
        If a file is truncated, foreign or of another shape.

    Notes
    -----
    The files of the large set have v upwards; it is turned here. Those of the temporal and the second-order
    set do not say where v points; reports and truth agree in it, and it is left as it is.
    """
    folder = find_dataset(NAME, root)
    temporal, flow = _read_temporal(folder / "temporal")
    return PerceivedFlow(
        _read_probes(folder / "huperflow_probes.csv"),
        _read_sintel(folder / "sintel_slow" / "sintel_slow.mat"),
        temporal,
        flow,
        _read_second_order(folder / "second_order"),
    )


def _read_probes(path: Path) -> pd.DataFrame:
    found = _read_csv(path, _PROBE_COLUMNS)
    check_array("dataset of huperflow_probes.csv", found["dataset"], minimum=1, maximum=len(SOURCES))
    keys = found[["dataset", "session", "movie", "location"]]
    if keys.duplicated().any():
        raise ValueError(f"{path} must name each probe once, got one twice; restore the file.")
    return keys.assign(
        source=np.array(SOURCES)[found["dataset"] - 1],
        x_px=found["x_coordinate"] - 1,
        y_px=found["y_coordinate"] - 1,
        human_u=found["Resp_u"],
        human_v=-found["Resp_v"],
        true_u=found["GT_u"],
        true_v=-found["GT_v"],
    )


def _read_sintel(path: Path) -> pd.DataFrame:
    found = read_mat(path, ["HumanResp", "SintelGT", "movie_index"])
    index = found["movie_index"].ravel()
    human, truth = (
        check_array(f"{name} of {path}", found[name], shape=(2, 36, len(index)), dtype=float)
        for name in ("HumanResp", "SintelGT")
    )
    # y varies fastest over the 6 x 6 grid.
    column, row = np.divmod(np.arange(36), 6)
    tables = []
    for place, number in enumerate(index - 1):
        y, x = _SINTEL_START_YX[number]
        table = pd.DataFrame(
            {
                "movie": _SINTEL[number],
                "frame": _SINTEL_FRAME[number],
                "row": row,
                "column": column,
                "x_px": x - 1 + _SINTEL_STEP_PX * column,
                "y_px": y - 1 + _SINTEL_STEP_PX * row,
                "human_u": human[0, :, place],
                "human_v": human[1, :, place],
                "true_u": truth[0, :, place],
                "true_v": truth[1, :, place],
            }
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _read_temporal(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    path = folder / "Temporal_Response_raw_participants1-3.mat"
    raw = read_mat(path, ["Temporal_Response_raw"])["Temporal_Response_raw"]
    axes = ("location", "flip", "play", "timing", "movie", "participant")
    raw = check_array(f"Temporal_Response_raw of {path}", raw, shape=(2, 4, 4, 2, 5, 5, None), dtype=float)
    reports = _unfold(raw, axes).rename(columns={"u": "human_u", "v": "human_v"})
    tables = []
    for file, source, n_frames in (("Temporal_GT", "truth", 15), ("Temporal_FN2", "flownet2", 14)):
        values = read_mat(folder / f"{file}.mat", [file])[file]
        values = check_array(f"{file}.mat", values, shape=(2, 4, 2, 5, 5, n_frames), dtype=float)
        table = _unfold(values, ("location", "play", "timing", "movie", "frame"))
        table.insert(0, "source", source)
        tables.append(table)
    return reports, pd.concat(tables, ignore_index=True)


def _read_second_order(folder: Path) -> pd.DataFrame:
    tables = []
    columns = [f"Mod{number}_avg_res_{axis}" for number in range(1, 8) for axis in "XY"]
    paths = sorted(folder.glob("participant*.csv"))
    if not paths:
        raise FileNotFoundError(f"no participant*.csv in {folder}; check that the data set is complete.")
    for path in paths:
        found = _read_csv(path, ("Avg_gt_X", "Avg_gt_Y", *columns))
        for number, modulation in enumerate(MODULATIONS, start=1):
            table = pd.DataFrame(
                {
                    "participant": path.stem.removeprefix("participant"),
                    "scene": np.arange(1, len(found) + 1),
                    "modulation": modulation,
                    "human_u": found[f"Mod{number}_avg_res_X"],
                    "human_v": found[f"Mod{number}_avg_res_Y"],
                    "true_u": found["Avg_gt_X"],
                    "true_v": found["Avg_gt_Y"],
                }
            )
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; check that the data set is complete.")
    found = pd.read_csv(path)
    missing = [name for name in columns if name not in found]
    if missing:
        raise ValueError(f"{path} must have the columns {list(columns)}, got none of {missing}; restore it.")
    check_array(f"columns of {path}", found[list(columns)].to_numpy())
    return found


def _unfold(values: NDArray[np.float64], axes: tuple[str, ...]) -> pd.DataFrame:
    """One row per entry of (u and v, *axes); entries are counted from 1."""
    counts = np.indices(values.shape[1:]).reshape(len(axes), -1) + 1
    table = pd.DataFrame(dict(zip(axes, counts, strict=True)))
    return table.assign(u=values[0].ravel(), v=values[1].ravel())
