"""In-silico neurophysiology: the experiments of V1 and MT on any model of motion-sensitive units.

A unit's response to a movie is the mean of its map without the border. Gratings give tuning to direction,
spatial and temporal frequency; plaids at each unit's own optimum tell pattern from component cells; a fitted
surface tells tuning to speed from separable tuning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, make_rng
from neurovis.motion.neurophysiology_fits import (
    check_directions,
    classify_plaids,
    describe_directions,
    fit_speed_tuning,
)
from neurovis.motion.protocols import MotionUnits
from neurovis.stimuli.motion_probes import make_drifting_grating, make_drifting_plaid

DIRECTIONS_DEG = tuple(range(0, 360, 30))
SPATIAL_FREQUENCIES_CPP = (0.025, 0.05, 0.1, 0.15, 0.2)
TEMPORAL_FREQUENCIES_CPF = (1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4)

_DIMS = ("unit", "direction_deg", "spatial_frequency_cpp", "temporal_frequency_cpf")
_CLASSES = {
    "pattern": "plaid_class",
    "component": "plaid_class",
    "speed": "speed_class",
    "separable": "speed_class",
}
_N_BOOTSTRAPS = 1000
_SUMMARISED = ("direction_index", "pattern_index", "speed_slope", "fit_r2")


@dataclass(frozen=True)
class Screen:
    """How every probe is shown.

    Parameters
    ----------
    size_px : tuple of int
        (height, width) of the movies [px].
    n_frames : int
        Their length.
    contrast : float
        Of gratings and of whole plaids, 0 to 1.
    border : int or mapping of str to int
        Cells of each stage's map to leave out at every side; one number for all stages, or one for each.
    """

    size_px: tuple[int, int] = (64, 64)
    n_frames: int = 16
    contrast: float = 1.0
    border: int | Mapping[str, int] = 0

    def __post_init__(self) -> None:
        check_array("size_px", self.size_px, shape=(2,), minimum=1)
        check_array("n_frames", self.n_frames, ndim=0, minimum=1)
        check_array("contrast", self.contrast, ndim=0, minimum=0, maximum=1)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that every maker of movies shares: size, frames and contrast."""
        return {"size_px": self.size_px, "n_frames": self.n_frames, "contrast": self.contrast}

    def get_border(self, stage: str) -> int:
        """Cells to leave out at a stage."""
        if not isinstance(self.border, Mapping):
            return int(self.border)
        if stage not in self.border:
            raise ValueError(
                f"border must have an entry for the stage {stage!r}, got {sorted(self.border)}; name every "
                "stage or pass one number."
            )
        return int(self.border[stage])


@dataclass(frozen=True)
class Physiology:
    """What :func:`examine_units` measured.

    Parameters
    ----------
    gratings : dict of str to xarray.DataArray
        Stage -> responses, dims ("unit", "direction_deg", "spatial_frequency_cpp", "temporal_frequency_cpf").
    plaids : dict of str to xarray.DataArray
        Stage -> responses to plaids at the optimum of each unit, dims ("unit", "direction_deg").
    table : pandas.DataFrame
        One row per unit: ``model``, ``stage``, ``unit``, its optimum (``best_spatial_frequency_cpp``,
        ``best_temporal_frequency_cpf``, ``best_speed_ppf``; ``best_temporal_frequency_hz``), and the columns
        of :func:`~neurovis.motion.neurophysiology_fits.describe_directions`, ``classify_plaids`` and
        ``fit_speed_tuning``.
    """

    gratings: Mapping[str, xr.DataArray]
    plaids: Mapping[str, xr.DataArray]
    table: pd.DataFrame


def examine_units(
    units: MotionUnits,
    *,
    screen: Screen | None = None,
    directions_deg: ArrayLike = DIRECTIONS_DEG,
    spatial_frequencies_cpp: ArrayLike = SPATIAL_FREQUENCIES_CPP,
    temporal_frequencies_cpf: ArrayLike = TEMPORAL_FREQUENCIES_CPF,
    half_angle_deg: float = 60.0,
) -> Physiology:
    """All experiments on all units of a model.

    Parameters
    ----------
    units : MotionUnits
        The model.
    screen : Screen, optional
        How probes are shown.
    directions_deg : array of shape (n_directions,)
        Equal steps around the circle [degrees].
    spatial_frequencies_cpp, temporal_frequencies_cpf : arrays
        Grid of the gratings [cycles per px] and [cycles per frame], positive and rising, at least three each.
    half_angle_deg : float
        Between a plaid's direction and its components [degrees].

    Returns
    -------
    Physiology

    Raises
    ------
    ValueError
        If the grid cannot be shown, a response is negative or not finite, or the border leaves no cell.
    """
    screen = screen or Screen()
    gratings = measure_gratings(
        units, screen=screen, directions_deg=directions_deg, spatial_frequencies_cpp=spatial_frequencies_cpp,
        temporal_frequencies_cpf=temporal_frequencies_cpf,
    )  # fmt: skip
    plaids = measure_plaids(units, gratings, screen=screen, half_angle_deg=half_angle_deg)
    tables = [
        _describe_stage(units, stage, gratings[stage], plaids[stage], half_angle_deg)
        for stage in units.stages
    ]
    return Physiology(gratings, plaids, pd.concat(tables, ignore_index=True))


def measure_gratings(
    units: MotionUnits,
    *,
    screen: Screen | None = None,
    directions_deg: ArrayLike = DIRECTIONS_DEG,
    spatial_frequencies_cpp: ArrayLike = SPATIAL_FREQUENCIES_CPP,
    temporal_frequencies_cpf: ArrayLike = TEMPORAL_FREQUENCIES_CPF,
) -> dict[str, xr.DataArray]:
    """Responses to drifting gratings over direction, spatial and temporal frequency.

    Parameters
    ----------
    units, screen, directions_deg, spatial_frequencies_cpp, temporal_frequencies_cpf
        As :func:`examine_units`; a temporal frequency of 0 is allowed here.

    Returns
    -------
    dict of str to xarray.DataArray
        Stage -> responses, dims ("unit", "direction_deg", "spatial_frequency_cpp", "temporal_frequency_cpf").
    """
    screen = screen or Screen()
    grid = [check_directions(directions_deg)]
    for name, values in (
        ("spatial_frequencies_cpp", spatial_frequencies_cpp),
        ("temporal_frequencies_cpf", temporal_frequencies_cpf),
    ):
        grid.append(check_array(name, values, ndim=1, minimum=0, maximum=0.5, dtype=float))
    conditions = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, 3)
    movies = (
        make_drifting_grating(
            direction_deg=direction, spatial_frequency_cpp=spatial, temporal_frequency_cpf=temporal,
            **screen.settings,
        )
        for direction, spatial, temporal in conditions
    )  # fmt: skip
    responses = measure_responses(units, movies, screen=screen)
    shape = tuple(len(axis) for axis in grid)
    return {
        stage: xr.DataArray(
            values.reshape(len(values), *shape),
            dims=_DIMS,
            coords={"unit": np.arange(len(values)), **dict(zip(_DIMS[1:], grid, strict=True))},
            attrs={"model": units.name, "stage": stage, "fps": units.fps, "contrast": screen.contrast},
        )
        for stage, values in responses.items()
    }


def measure_plaids(
    units: MotionUnits,
    gratings: Mapping[str, xr.DataArray],
    *,
    screen: Screen | None = None,
    half_angle_deg: float = 60.0,
) -> dict[str, xr.DataArray]:
    """Responses to plaids whose components have the best frequencies of each unit.

    Parameters
    ----------
    units, screen, half_angle_deg
        As :func:`examine_units`.
    gratings : mapping of str to xarray.DataArray
        Of :func:`measure_gratings`.

    Returns
    -------
    dict of str to xarray.DataArray
        Stage -> responses, dims ("unit", "direction_deg"); a plaid's direction is that of its pattern.
    """
    screen = screen or Screen()
    optima = {stage: find_optima(responses) for stage, responses in gratings.items()}
    wanted = {
        stage: list(zip(*(found[dim] for dim in _DIMS[2:]), strict=True)) for stage, found in optima.items()
    }
    pairs = sorted(set().union(*wanted.values()))
    directions = next(iter(gratings.values()))["direction_deg"].to_numpy()
    movies = (
        make_drifting_plaid(
            direction_deg=direction, half_angle_deg=half_angle_deg, spatial_frequency_cpp=spatial,
            temporal_frequency_cpf=temporal, **screen.settings,
        )
        for spatial, temporal in pairs
        for direction in directions
    )  # fmt: skip
    responses = measure_responses(units, movies, screen=screen)
    plaids = {}
    for stage, values in responses.items():
        own = [pairs.index(pair) for pair in wanted[stage]]
        by_pair = values.reshape(len(values), len(pairs), len(directions))
        plaids[stage] = xr.DataArray(
            by_pair[np.arange(len(values)), own],
            dims=_DIMS[:2],
            coords={"unit": np.arange(len(values)), "direction_deg": directions},
            attrs={**gratings[stage].attrs, "half_angle_deg": half_angle_deg},
        )
    return plaids


def find_optima(gratings: xr.DataArray) -> pd.DataFrame:
    """The moving grating that drives each unit best.

    Parameters
    ----------
    gratings : xarray.DataArray
        Of one stage, from :func:`measure_gratings`.

    Returns
    -------
    pandas.DataFrame
        ``direction_deg``, ``spatial_frequency_cpp`` and ``temporal_frequency_cpf``, one row per unit.
    """
    moving = gratings.isel(temporal_frequency_cpf=np.flatnonzero(gratings["temporal_frequency_cpf"] > 0))
    flat = moving.values.reshape(len(moving), -1).argmax(axis=1)
    places = np.unravel_index(flat, moving.shape[1:])
    return pd.DataFrame(
        {dim: moving[dim].to_numpy()[place] for dim, place in zip(_DIMS[1:], places, strict=True)}
    ).rename_axis("unit")


def measure_responses(
    units: MotionUnits, movies: Iterable[ArrayLike], *, screen: Screen | None = None
) -> dict[str, NDArray[np.float64]]:
    """Mean responses of every unit to movies.

    Parameters
    ----------
    units : MotionUnits
        The model.
    movies : iterable of array of shape (n_frames, height, width)
        Shown one after the other.
    screen : Screen, optional
        Only its border counts here.

    Returns
    -------
    dict of str to array of shape (n_units, n_movies)

    Raises
    ------
    ValueError
        If there is no movie, a response is negative or not finite, a stage is missing, or the border leaves
        no cell.
    """
    screen = screen or Screen()
    found: dict[str, list[NDArray]] = {stage: [] for stage in units.stages}
    for movie in movies:
        maps = units.respond(np.asarray(movie, dtype=np.float32))
        if set(maps) != set(found):
            raise ValueError(
                f"units must answer with the stages {list(found)}, got {list(maps)}; mend respond of "
                f"{units.name!r}."
            )
        for stage, values in maps.items():
            found[stage].append(_average(stage, values, screen.get_border(stage)))
    if not found or not next(iter(found.values())):
        raise ValueError("movies must hold at least one movie and units one stage, got none.")
    return {stage: np.stack(rows, axis=1) for stage, rows in found.items()}


def summarise_stages(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """How a model's stages differ: classes of units, and medians with intervals over units.

    Parameters
    ----------
    table : pandas.DataFrame
        Of a :class:`Physiology`, or several in one.
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        One row per model and stage, in order: ``n_units``; shares ``pattern``, ``component``, ``speed`` and
        ``separable`` of the units; ``direction_index``, ``pattern_index``, ``speed_slope`` and ``fit_r2``,
        without which a slope means little: medians over units that respond, with ``_low`` and ``_high`` of
        the 95 % interval (NaN with fewer than two units).
    """
    rows = []
    for (model, stage), own in table.groupby(["model", "stage"], sort=False):
        alive = own[own["peak"] > 0]
        row: dict[str, Any] = {
            "model": model,
            "stage": stage,
            "n_units": len(own),
            "n_silent": len(own) - len(alive),
        }
        for name, column in _CLASSES.items():
            row[name] = float((own[column] == name).mean())
        for column in _SUMMARISED:
            values = alive[column].to_numpy(dtype=float)
            row[column] = np.median(values) if len(values) else np.nan
            row[f"{column}_low"], row[f"{column}_high"] = _bootstrap_median(values, seed, f"{stage} {column}")
        rows.append(row)
    return pd.DataFrame(rows)


def _bootstrap_median(values: NDArray, seed: int, purpose: str) -> tuple[float, float]:
    if len(values) < 2:
        return np.nan, np.nan
    draws = make_rng(seed, "neurophysiology", purpose).integers(
        len(values), size=(_N_BOOTSTRAPS, len(values))
    )
    low, high = np.percentile(np.median(values[draws], axis=1), [2.5, 97.5])
    return float(low), float(high)


def _average(stage: str, values: ArrayLike, border: int) -> NDArray[np.float64]:
    maps = check_array(f"responses of {stage!r}", values, ndim=3, minimum=0, dtype=float)
    height, width = maps.shape[1:]
    if border < 0 or 2 * border >= min(height, width):
        raise ValueError(
            f"border must leave cells of the {height} x {width} map of {stage!r}, got {border}; lower it or "
            "show larger movies."
        )
    return maps[:, border : height - border, border : width - border].mean(axis=(1, 2))


def _describe_stage(
    units: MotionUnits, stage: str, gratings: xr.DataArray, plaids: xr.DataArray, half_angle_deg: float
) -> pd.DataFrame:
    optima = find_optima(gratings)
    every = np.arange(len(optima))
    indices = {dim: np.searchsorted(gratings[dim].to_numpy(), optima[dim]) for dim in _DIMS[1:]}
    values = gratings.values
    tuning = values[every, :, indices["spatial_frequency_cpp"], indices["temporal_frequency_cpf"]]
    maps = values[every, indices["direction_deg"]]
    directions = gratings["direction_deg"].to_numpy()
    spatial, temporal = (gratings[dim].to_numpy() for dim in _DIMS[2:])
    best = optima.rename(columns=lambda name: f"best_{name}").drop(columns="best_direction_deg")
    parts = [
        best.assign(
            best_temporal_frequency_hz=optima["temporal_frequency_cpf"] * units.fps,
            best_speed_ppf=optima["temporal_frequency_cpf"] / optima["spatial_frequency_cpp"],
        ),
        describe_directions(tuning, directions),
        classify_plaids(tuning, plaids.values, directions, half_angle_deg=half_angle_deg),
        fit_speed_tuning(maps, spatial, temporal),
    ]
    table = pd.concat(parts, axis=1).reset_index()
    table.insert(0, "stage", stage)
    table.insert(0, "model", units.name)
    return table
