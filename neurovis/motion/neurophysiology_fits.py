"""Numbers of motion physiology from tuning arrays: direction, pattern against component, speed.

Only arrays here; :mod:`neurovis.motion.neurophysiology` shows the movies.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from neurovis.core import check_array
from neurovis.metrics.flow import compute_partial_r

CRITERION = 1.28  # one-sided z of p = 0.1
_LARGEST_R = 1 - 1e-9
_SIGMA_OCTAVES = (0.1, 10.0)
_SLOPE_LIMITS = (-2.0, 3.0)


def check_directions(directions_deg: ArrayLike) -> NDArray[np.float64]:
    """Directions as floats if they are an even number of equal steps around the circle; raises otherwise."""
    directions = check_array("directions_deg", directions_deg, ndim=1, dtype=float)
    step = 360 / max(len(directions), 1)
    if len(directions) < 4 or len(directions) % 2 or not np.allclose(np.diff(directions), step):
        raise ValueError(
            "directions_deg must be an even number of equal steps around the circle, at least 4, got "
            f"{directions.tolist()}; for example np.arange(0, 360, 30)."
        )
    return directions


def describe_directions(responses: ArrayLike, directions_deg: ArrayLike) -> pd.DataFrame:
    """How units are tuned to direction.

    Parameters
    ----------
    responses : array of shape (n_units, n_directions)
        Not negative.
    directions_deg : array of shape (n_directions,)
        Equal steps around the circle [degrees].

    Returns
    -------
    pandas.DataFrame
        One row per unit: ``peak`` response; ``best_direction_deg``, that of the peak;
        ``preferred_direction_deg``, of the vector sum; ``direction_index``, 1 - anti / best;
        ``opponent_index``, (best - anti) / (best + anti); ``direction_variance``, 1 - length of the vector
        sum over the sum; ``bandwidth_deg``, full width at half height around the peak, by linear
        interpolation (360 if no response is below half). Indices of a unit without any response are 0, its
        variance is 1, its bandwidth 360.

    Raises
    ------
    ValueError
        If a response is negative or the directions are no equal steps.
    """
    directions = check_directions(directions_deg)
    values = check_array("responses", responses, shape=(None, len(directions)), minimum=0, dtype=float)
    best = values.argmax(axis=1)
    peak = values.max(axis=1)
    anti = np.take_along_axis(values, (best[:, None] + len(directions) // 2) % len(directions), axis=1)[:, 0]
    vector = values @ np.exp(1j * np.deg2rad(directions))
    total = values.sum(axis=1)
    return pd.DataFrame(
        {
            "peak": peak,
            "best_direction_deg": directions[best],
            "preferred_direction_deg": np.round(np.rad2deg(np.angle(vector)), 9) % 360,
            "direction_index": np.where(peak > 0, 1 - _divide(anti, peak), 0.0),
            "opponent_index": compute_opponent_index(peak, anti),
            "direction_variance": 1 - _divide(np.abs(vector), total),
            "bandwidth_deg": [_measure_width(row, directions[1] - directions[0]) for row in values],
        }
    ).rename_axis("unit")


def compute_opponent_index(forward: ArrayLike, backward: ArrayLike) -> NDArray[np.float64]:
    """``(forward - backward) / (forward + backward)`` of responses that are not negative; 0 without any."""
    first = check_array("forward", forward, minimum=0, dtype=float)
    second = check_array("backward", backward, minimum=0, dtype=float)
    return _divide(first - second, first + second)


def compute_partial_pair(
    responses: ArrayLike, first: ArrayLike, second: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlation with each of two predictions when the other one is held fixed, row by row.

    Parameters
    ----------
    responses, first, second : array of shape (n_units, n)
        Measured and predicted tuning.

    Returns
    -------
    r_first, r_second : array of shape (n_units,)
        ``(r_1 - r_2 r_12) / sqrt((1 - r_2^2) (1 - r_12^2))`` and the reverse; 0 where it is 0 / 0: a row is
        constant, both predictions agree, or the other prediction is perfect.
    """
    y, a, b = (np.asarray(values, dtype=float).T for values in (responses, first, second))
    return compute_partial_r(y, a, b), compute_partial_r(y, b, a)


def classify_by_z(
    r_first: ArrayLike, r_second: ArrayLike, n: int, *, names: tuple[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_]]:
    """Fisher z of two partial correlations and the class that they put a unit in.

    Parameters
    ----------
    r_first, r_second : array of shape (n_units,)
        Of :func:`compute_partial_pair`.
    n : int
        Conditions behind them, more than 3.
    names : tuple of str
        Of the two classes.

    Returns
    -------
    z_first, z_second : array of shape (n_units,)
        ``atanh(r) sqrt(n - 3)``.
    label : array of str, shape (n_units,)
        A name if its z exceeds both the other z and 0 by 1.28, else "unclassified" (Smith, Majaj & Movshon,
        Nature Neuroscience 2005).
    """
    if n < 4:
        raise ValueError(f"n must be at least 4 conditions, got {n}; measure more.")
    limited = (np.clip(np.asarray(r, dtype=float), -_LARGEST_R, _LARGEST_R) for r in (r_first, r_second))
    first, second = (np.arctanh(r) * np.sqrt(n - 3) for r in limited)
    label = np.full(first.shape, "unclassified", dtype=f"<U{max(12, *map(len, names))}")
    label[first - np.maximum(second, 0) >= CRITERION] = names[0]
    label[second - np.maximum(first, 0) >= CRITERION] = names[1]
    return first, second, label


def classify_plaids(
    gratings: ArrayLike, plaids: ArrayLike, directions_deg: ArrayLike, *, half_angle_deg: float = 60.0
) -> pd.DataFrame:
    """Do units follow the pattern or its components (Movshon et al. 1985; Smith et al. 2005).

    Parameters
    ----------
    gratings, plaids : array of shape (n_units, n_directions)
        Tuning to the direction of gratings and of plaids.
    directions_deg : array of shape (n_directions,)
        Equal steps around the circle [degrees].
    half_angle_deg : float
        Between the plaid's direction and each component [degrees]; a whole number of steps.

    Returns
    -------
    pandas.DataFrame
        One row per unit: partial correlations ``r_pattern`` and ``r_component``, their ``z_pattern`` and
        ``z_component``, ``pattern_index`` (z_pattern - z_component) and ``plaid_class``: "pattern",
        "component" or "unclassified".

    Raises
    ------
    ValueError
        If the half angle is no whole number of steps or shapes differ.
    """
    directions = check_directions(directions_deg)
    tuning = check_array("gratings", gratings, shape=(None, len(directions)), dtype=float)
    measured = check_array("plaids", plaids, shape=tuning.shape, dtype=float)
    steps = half_angle_deg / (directions[1] - directions[0])
    if not 0 < steps < len(directions) / 4 or abs(steps - round(steps)) > 1e-6:
        raise ValueError(
            f"half_angle_deg must be a whole number of steps of {directions[1] - directions[0]:g} degrees "
            f"below 90, got {half_angle_deg}; measure directions in finer steps."
        )
    component = np.roll(tuning, round(steps), axis=1) + np.roll(tuning, -round(steps), axis=1)
    r_pattern, r_component = compute_partial_pair(measured, tuning, component)
    z_pattern, z_component, label = classify_by_z(
        r_pattern, r_component, len(directions), names=("pattern", "component")
    )
    return pd.DataFrame(
        {
            "r_pattern": r_pattern,
            "r_component": r_component,
            "z_pattern": z_pattern,
            "z_component": z_component,
            "pattern_index": z_pattern - z_component,
            "plaid_class": label,
        }
    ).rename_axis("unit")


def compute_speed_surface(
    spatial_frequency: ArrayLike, temporal_frequency: ArrayLike, parameters: ArrayLike
) -> NDArray[np.float64]:
    """Tuned surface of Priebe et al. (J Neurosci 2003).

    Parameters
    ----------
    spatial_frequency, temporal_frequency : array
        Positive, any one unit each; broadcast together.
    parameters : array of shape (6,)
        ``amplitude, s0, sigma_s, w0, sigma_t, slope`` [log2 units].

    Returns
    -------
    array
        ``A exp(-(s - s0)^2 / sigma_s^2) exp(-(w - w0 - slope (s - s0))^2 / sigma_t^2)`` with s and w the
        base-2 logarithms of the frequencies: slope 0 is separable, slope 1 prefers one speed.
    """
    amplitude, s0, sigma_s, w0, sigma_t, slope = np.asarray(parameters, dtype=float)
    s = np.log2(np.asarray(spatial_frequency, dtype=float))
    w = np.log2(np.asarray(temporal_frequency, dtype=float))
    return amplitude * np.exp(-(((s - s0) / sigma_s) ** 2) - ((w - w0 - slope * (s - s0)) / sigma_t) ** 2)


def fit_speed_tuning(
    responses: ArrayLike, spatial_frequencies: ArrayLike, temporal_frequencies: ArrayLike
) -> pd.DataFrame:
    """Fit :func:`compute_speed_surface` to responses over spatial and temporal frequency.

    Parameters
    ----------
    responses : array of shape (n_units, n_spatial, n_temporal)
        Not negative, in the preferred direction.
    spatial_frequencies, temporal_frequencies : arrays of shape (n_spatial,) and (n_temporal,)
        Positive and increasing, at least three each.

    Returns
    -------
    pandas.DataFrame
        One row per unit: ``speed_slope`` (xi: 0 separable, 1 speed-tuned), ``amplitude``, ``fit_s0``,
        ``fit_sigma_s``, ``fit_w0``, ``fit_sigma_t`` [log2 units], ``fit_r2``, and ``z_speed``,
        ``z_separable`` and ``speed_class`` from the partial correlations with the best surfaces of slope 1
        and slope 0, by the criterion of plaids. A unit without any response has slope 0, R^2 0 and is
        "unclassified".

    Raises
    ------
    ValueError
        If shapes, signs or frequencies do not fit.

    Notes
    -----
    The form has 6 parameters, so that maps of 5 x 5 are the least to ask for. Residuals are those of the
    plain response, as maxima of models are noiseless; the best of three starts is kept.
    """
    grids = []
    for name, values in (
        ("spatial_frequencies", spatial_frequencies),
        ("temporal_frequencies", temporal_frequencies),
    ):
        grid = check_array(name, values, ndim=1, dtype=float)
        if len(grid) < 3 or (grid <= 0).any() or (np.diff(grid) <= 0).any():
            raise ValueError(
                f"{name} must be at least 3 positive frequencies in rising order, got {grid.tolist()}; leave "
                "out 0, which has no logarithm."
            )
        grids.append(grid)
    maps = check_array("responses", responses, shape=(None, *map(len, grids)), minimum=0, dtype=float)
    return pd.DataFrame([_fit_surface(own, *grids) for own in maps]).rename_axis("unit")


def _fit_surface(own: NDArray, spatial: NDArray, temporal: NDArray) -> dict[str, float | str]:
    peak = own.max()
    if peak <= 0 or np.ptp(own) <= 1e-9 * peak:
        empty = dict.fromkeys(_FIT_COLUMNS, 0.0)
        return {**empty, "amplitude": float(peak), "speed_class": "unclassified"}
    scaled = own / peak
    starts = [_solve(scaled, spatial, temporal, slope, free=True) for slope in (0.0, 0.5, 1.0)]
    best, _ = min(starts, key=lambda found: found[1])
    separable, speed = (
        compute_speed_surface(
            spatial[:, None], temporal, _solve(scaled, spatial, temporal, slope, free=False)[0]
        )
        for slope in (0.0, 1.0)
    )
    rows = (values.reshape(1, -1) for values in (scaled, speed, separable))
    r_speed, r_separable = compute_partial_pair(*rows)
    z_speed, z_separable, label = classify_by_z(
        r_speed, r_separable, scaled.size, names=("speed", "separable")
    )
    residual = scaled - compute_speed_surface(spatial[:, None], temporal, best)
    r2 = 1 - (residual**2).sum() / ((scaled - scaled.mean()) ** 2).sum()
    numbers = [best[5], best[0] * peak, *best[1:5], r2, z_speed[0], z_separable[0]]
    found: dict[str, float | str] = dict(zip(_FIT_COLUMNS, map(float, numbers), strict=True))
    return {**found, "speed_class": str(label[0])}


_FIT_COLUMNS = (
    "speed_slope", "amplitude", "fit_s0", "fit_sigma_s", "fit_w0", "fit_sigma_t", "fit_r2", "z_speed",
    "z_separable",
)  # fmt: skip


def _solve(
    scaled: NDArray, spatial: NDArray, temporal: NDArray, slope: float, *, free: bool
) -> tuple[NDArray[np.float64], float]:
    """Best parameters from one slope on, with the slope free or held, and their cost."""
    s, w = np.log2(spatial), np.log2(temporal)
    row, column = np.unravel_index(scaled.argmax(), scaled.shape)
    start = np.array([1.0, s[row], 1.0, w[column], 1.0, slope])
    # Peaks may lie outside the grid by as much as it is wide.
    low = np.array(
        [0, 2 * s[0] - s[-1], _SIGMA_OCTAVES[0], 2 * w[0] - w[-1], _SIGMA_OCTAVES[0], _SLOPE_LIMITS[0]]
    )
    high = np.array(
        [10, 2 * s[-1] - s[0], _SIGMA_OCTAVES[1], 2 * w[-1] - w[0], _SIGMA_OCTAVES[1], _SLOPE_LIMITS[1]]
    )
    n_free = 6 if free else 5

    def compute_residual(parameters: NDArray) -> NDArray:
        full = np.append(parameters, slope) if not free else parameters
        return (compute_speed_surface(spatial[:, None], temporal, full) - scaled).ravel()

    found = least_squares(compute_residual, start[:n_free], bounds=(low[:n_free], high[:n_free]))
    return (found.x if free else np.append(found.x, slope)), float(found.cost)


def _measure_width(row: NDArray, step_deg: float) -> float:
    """Full width at half height around the largest value of a circular row [degrees]."""
    n, peak = len(row), row.argmax()
    half = row[peak] / 2
    if row[peak] <= 0 or (row >= half).all():
        return 360.0
    width = 0.0
    for side in (1, -1):
        walk = row[(peak + side * np.arange(n)) % n]
        below = int(np.argmax(walk < half))
        width += below - (half - walk[below]) / (walk[below - 1] - walk[below])
    return float(width * step_deg)


def _divide(above: NDArray, below: NDArray) -> NDArray[np.float64]:
    """Ratio, 0 where the denominator is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below != 0)
