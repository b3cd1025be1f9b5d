"""Motion illusions of a population of units: reverse phi, missing fundamental, barber pole, aftereffect.

The direction that a stage reports is read out by one linear decoder of its responses to gratings, the optimal
linear estimator (Salinas & Abbott, J Comput Neurosci 1994), whose two outputs are the sine and cosine of the
direction. It is fitted to plain gratings only and then asked about each illusion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.motion.neurophysiology import DIRECTIONS_DEG, Screen, measure_gratings, measure_responses
from neurovis.motion.neurophysiology_fits import check_directions, compute_opponent_index
from neurovis.motion.protocols import MotionUnits
from neurovis.stimuli.motion_probes import (
    make_barber_pole,
    make_counterphase,
    make_drifting_grating,
    make_missing_fundamental,
    make_reverse_phi,
)

_RIDGE = 1e-3  # share of the mean variance of a unit, against units that are nearly copies
_QUARTER = 0.25


@dataclass(frozen=True)
class DirectionReadout:
    """Linear estimate of direction from a population.

    Parameters
    ----------
    weights : array of shape (n_units, 2)
        To the cosine and the sine of the direction.
    peak : array of shape (n_units,)
        Largest response of each unit to the gratings; responses are taken as shares of it.
    """

    weights: NDArray[np.float64]
    peak: NDArray[np.float64]

    def decode(self, responses: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Direction and strength of each column of responses.

        Parameters
        ----------
        responses : array of shape (n_units, n_movies)
            Not negative.

        Returns
        -------
        direction_deg, strength : array of shape (n_movies,)
            In [0, 360) and at least 0; a plain grating has strength 1. Without any response both are 0.
        """
        values = check_array("responses", responses, shape=(len(self.peak), None), minimum=0, dtype=float)
        shares = np.divide(
            values, self.peak[:, None], out=np.zeros_like(values), where=self.peak[:, None] > 0
        )
        cosine, sine = self.weights.T @ shares
        return np.round(np.rad2deg(np.arctan2(sine, cosine)), 9) % 360, np.hypot(cosine, sine)


def fit_direction_readout(gratings: xr.DataArray) -> DirectionReadout:
    """Fit the readout to the responses of one stage to gratings of all directions and frequencies.

    Parameters
    ----------
    gratings : xarray.DataArray
        Of :func:`neurovis.motion.neurophysiology.measure_gratings`.

    Raises
    ------
    ValueError
        If no unit tells directions apart.

    Notes
    -----
    Ridge regression without intercept, which an even set of directions does not need; units that no grating
    drives get weight 0.
    """
    directions = check_directions(gratings["direction_deg"].to_numpy())
    values = gratings.values.reshape(len(gratings), len(directions), -1)
    peak = values.max(axis=(1, 2))
    if not (np.ptp(values, axis=1) > 1e-6 * peak[:, None]).any():
        raise ValueError("gratings must drive some unit by their direction, got none that varies with it.")
    shares = np.divide(values, peak[:, None, None], out=np.zeros_like(values), where=peak[:, None, None] > 0)
    X = shares.transpose(1, 2, 0).reshape(-1, len(values))
    angle = np.repeat(np.deg2rad(directions), values.shape[2])
    y = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    gram = X.T @ X
    gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
    return DirectionReadout(np.linalg.solve(gram, X.T @ y), peak)


def measure_opponent_index(
    units: MotionUnits,
    make_movie: Callable[[float], ArrayLike],
    direction_deg: float,
    *,
    screen: Screen | None = None,
) -> dict[str, NDArray[np.float64]]:
    """How much more a stimulus drives each unit in one direction than in the opposite one.

    Parameters
    ----------
    units : MotionUnits
        The model.
    make_movie : callable
        Direction [degrees] -> movie.
    direction_deg : float
        The direction that counts as positive, for example a unit's own.
    screen : Screen, optional
        Only its border counts.

    Returns
    -------
    dict of str to array of shape (n_units,)
        Stage -> ``(forward - backward) / (forward + backward)``.
    """
    movies = [make_movie(direction_deg), make_movie(direction_deg + 180)]
    responses = measure_responses(units, movies, screen=screen)
    return {stage: compute_opponent_index(*values.T) for stage, values in responses.items()}


def measure_illusions(
    units: MotionUnits,
    *,
    screen: Screen | None = None,
    spatial_frequency_cpp: float = 0.1,
    temporal_frequency_cpf: float = 0.125,
    directions_deg: ArrayLike = DIRECTIONS_DEG,
    barber_ratio: float = 3.0,
    adaptation: float = 1.0,
) -> pd.DataFrame:
    """Direction that each stage reports for each illusion, next to what people report.

    Parameters
    ----------
    units : MotionUnits
        The model.
    screen : Screen, optional
        How probes are shown.
    spatial_frequency_cpp, temporal_frequency_cpf : float
        Of the gratings [cycles per px] and [cycles per frame]; reverse phi and the missing fundamental move
        in quarter cycles, and the latter's third harmonic has the spatial frequency given here.
    directions_deg : sequence of float
        Directions tested and used to fit the readout; equal steps around the circle [degrees].
    barber_ratio : float
        Longer over shorter side of the barber pole.
    adaptation : float
        As in :func:`measure_aftereffect`.

    Returns
    -------
    pandas.DataFrame
        One row per stage and illusion: ``stimulus``; ``shift_deg``, mean over directions of the reported
        direction from the physical one, -180 to 180; ``consistency``, length of that mean vector (1: the
        same shift in all directions); ``strength`` of the readout; ``human_shift_deg``: 0 for plain motion,
        180 for both reversals and for the aftereffect, towards the longer side for the barber pole (45
        degrees at most, whose shift is therefore taken as positive towards it).

    Raises
    ------
    ValueError
        If a stage does not tell directions apart or a movie cannot be drawn.
    """
    screen = screen or Screen()
    directions = check_directions(directions_deg)
    temporal = sorted({temporal_frequency_cpf, _QUARTER})
    gratings = measure_gratings(
        units, screen=screen, directions_deg=directions, spatial_frequencies_cpp=[spatial_frequency_cpp],
        temporal_frequencies_cpf=temporal,
    )  # fmt: skip
    readouts = {stage: fit_direction_readout(values) for stage, values in gratings.items()}
    grating = {**screen.settings, "spatial_frequency_cpp": spatial_frequency_cpp}
    quarter = {**grating, "temporal_frequency_cpf": _QUARTER}
    jumps = {**screen.settings, "contrast": min(screen.contrast, 0.8), "period_px": 3 / spatial_frequency_cpp}
    makers: dict[str, tuple[Callable[[float], NDArray], float]] = {
        "grating": (lambda d: make_drifting_grating(direction_deg=d, **quarter), 0.0),
        "reverse phi": (
            lambda d: make_reverse_phi(make_drifting_grating(direction_deg=d, **quarter)), 180.0),
        "missing fundamental": (lambda d: make_missing_fundamental(direction_deg=d, **jumps), 180.0),
    }  # fmt: skip
    rows = []
    for stimulus, (make_movie, human) in makers.items():
        responses = measure_responses(units, (make_movie(d) for d in directions), screen=screen)
        for stage, values in responses.items():
            decoded, strength = readouts[stage].decode(values)
            rows.append(_make_row(stage, stimulus, decoded - directions, strength, human))
    rows += _measure_barber_pole(
        units, readouts, screen, barber_ratio, {**grating, "temporal_frequency_cpf": temporal_frequency_cpf}
    )
    after = measure_aftereffect(
        units, screen=screen, spatial_frequency_cpp=spatial_frequency_cpp,
        temporal_frequency_cpf=temporal_frequency_cpf, directions_deg=directions, adaptation=adaptation,
    )  # fmt: skip
    flicker = after[after["test"] == "counterphase"]
    for stage in units.stages:
        own = flicker[flicker["stage"] == stage]
        shift = (own["after_deg"] - own["adapted_deg"]).to_numpy()
        rows.append(_make_row(stage, "aftereffect", shift, own["strength"].to_numpy(), 180.0))
    table = pd.DataFrame(rows)
    table.insert(0, "model", units.name)
    order = {stage: place for place, stage in enumerate(units.stages)}
    return table.sort_values("stage", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def measure_aftereffect(
    units: MotionUnits,
    *,
    screen: Screen | None = None,
    spatial_frequency_cpp: float = 0.1,
    temporal_frequency_cpf: float = 0.125,
    directions_deg: ArrayLike = DIRECTIONS_DEG,
    adaptation: float = 1.0,
) -> pd.DataFrame:
    """Adapt the gains of units to motion in one direction and read out what is then shown.

    Parameters
    ----------
    units, screen, spatial_frequency_cpp, temporal_frequency_cpf, directions_deg
        As :func:`measure_illusions`.
    adaptation : float
        Strength k: a unit that the adaptor drives fully keeps ``1 / (1 + k)`` of its gain. 0 adapts nothing.

    Returns
    -------
    pandas.DataFrame
        One row per stage, adapted direction and test: ``adapted_deg``; ``test``, "counterphase" (flicker
        that moves equally in the adapted direction and against it) or "grating"; ``offset_deg``, direction of
        the test from the adapted one, -180 to 180 (0 for flicker); ``before_deg`` and ``after_deg``,
        directions read out without and with adaptation; ``shift_deg``, their difference, positive away from
        the adapted direction; ``strength`` after adaptation.

    Raises
    ------
    ValueError
        If ``adaptation`` is negative or a stage does not tell directions apart.

    Notes
    -----
    A model of the bare gain change, ``g = 1 / (1 + k r / peak)`` with the response r to the adaptor: without
    time course, without subtractive components and after the model's own normalisation. The readout does not
    know of it. Repulsion of near directions, and flicker that seems to drift the other way (the motion
    aftereffect), follow.
    """
    check_array("adaptation", adaptation, ndim=0, minimum=0, remedy="0 adapts nothing, 1 halves the gain")
    screen = screen or Screen()
    directions = check_directions(directions_deg)
    grating = {
        "spatial_frequency_cpp": spatial_frequency_cpp,
        "temporal_frequency_cpf": temporal_frequency_cpf,
    }
    tuning = measure_gratings(
        units, screen=screen, directions_deg=directions, spatial_frequencies_cpp=[spatial_frequency_cpp],
        temporal_frequencies_cpf=[temporal_frequency_cpf],
    )  # fmt: skip
    movies = (make_counterphase(direction_deg=d, **grating, **screen.settings) for d in directions)
    flicker = measure_responses(units, movies, screen=screen)
    tables = []
    for stage, responses in tuning.items():
        values = responses.values[:, :, 0, 0]
        readout = fit_direction_readout(responses)
        gains = compute_adapted_gains(values, readout.peak, adaptation=adaptation)
        for place, adapted in enumerate(directions):
            tests = np.column_stack([flicker[stage][:, place], values])
            before, _ = readout.decode(tests)
            after, strength = readout.decode(tests * gains[:, place, None])
            offset = _wrap(directions - adapted)
            shift = _wrap(after - before)
            table = pd.DataFrame(
                {
                    "stage": stage,
                    "adapted_deg": adapted,
                    "test": ["counterphase"] + ["grating"] * len(directions),
                    "offset_deg": [0.0, *offset],
                    "before_deg": before,
                    "after_deg": after,
                    "shift_deg": shift * np.where(np.append(0.0, offset) < 0, -1, 1),
                    "strength": strength,
                }
            )
            tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    found.insert(0, "model", units.name)
    return found


def compute_adapted_gains(adaptor: ArrayLike, peak: ArrayLike, *, adaptation: float) -> NDArray[np.float64]:
    """Gains after adaptation, ``1 / (1 + adaptation * adaptor / peak)``.

    Parameters
    ----------
    adaptor : array of shape (n_units, ...)
        Responses to adaptors, not negative.
    peak : array of shape (n_units,)
        Largest response of each unit; units with 0 keep their gain.
    adaptation : float
        Strength, at least 0.

    Returns
    -------
    array of shape (n_units, ...)
        In (0, 1].
    """
    values = check_array("adaptor", adaptor, minimum=0, dtype=float)
    largest = check_array("peak", peak, shape=(len(values),), minimum=0, dtype=float)
    largest = largest.reshape(-1, *[1] * (values.ndim - 1))
    return 1 / (1 + adaptation * np.divide(values, largest, out=np.zeros_like(values), where=largest > 0))


def _measure_barber_pole(
    units: MotionUnits,
    readouts: Mapping[str, DirectionReadout],
    screen: Screen,
    ratio: float,
    grating: Mapping[str, object],
) -> list[dict[str, object]]:
    """Gratings at 45 degrees to the sides of upright and lying apertures."""
    check_array("barber_ratio", ratio, ndim=0, minimum=1, remedy="longer over shorter side")
    long = 2 * round(0.75 * min(screen.size_px) / 2)
    short = 2 * max(1, round(long / ratio / 2))
    parity = [side % 2 for side in screen.size_px]
    conditions = []
    for upright in (False, True):
        sides = (long, short) if upright else (short, long)
        aperture = (sides[0] + parity[0], sides[1] + parity[1])
        conditions += [(direction, upright, aperture) for direction in (45.0, 135.0, 225.0, 315.0)]
    movies = (
        make_barber_pole(aperture_px=aperture, direction_deg=direction, **grating)  # type: ignore[arg-type]  # checked there
        for direction, _, aperture in conditions
    )
    responses = measure_responses(units, movies, screen=screen)
    rows = []
    for stage, values in responses.items():
        decoded, strength = readouts[stage].decode(values)
        # Positive towards the longer side, 45 degrees to the left or to the right of the direction.
        sign = [1.0 if (direction % 180 == 45) == upright else -1.0 for direction, upright, _ in conditions]
        shift = _wrap(decoded - np.array([direction for direction, _, _ in conditions])) * sign
        rows.append(_make_row(stage, f"barber pole {ratio:g}:1", shift, strength, 45.0))
    return rows


def _make_row(
    stage: str, stimulus: str, shift_deg: NDArray, strength: NDArray, human: float
) -> dict[str, object]:
    vector = np.exp(1j * np.deg2rad(shift_deg)).mean()
    return {
        "stage": stage,
        "stimulus": stimulus,
        "shift_deg": float(np.rad2deg(np.angle(vector))),
        "consistency": float(np.abs(vector)),
        "strength": float(np.mean(strength)),
        "human_shift_deg": human,
    }


def _wrap(degrees: NDArray) -> NDArray[np.float64]:
    """Angles in [-180, 180)."""
    wrapped: NDArray[np.float64] = np.mod(degrees + 180.0, 360.0) - 180.0
    return wrapped
