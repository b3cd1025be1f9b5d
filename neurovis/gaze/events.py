"""Fixations and saccades in raw gaze, by the detectors of pymovements.

I-DT and I-VT: Salvucci & Goldberg (2000) Identifying fixations and saccades in eye-tracking protocols, ETRA
71-78. Velocity ellipse: Engbert & Kliegl (2003) Microsaccades uncover the orientation of covert attention,
Vision Research 43:1035-1045. Main sequence: Bahill, Clark & Stark (1975) Mathematical Biosciences 24:191-204.

Positions come in pixels (x right, y down) and times in seconds; thresholds are in degrees of visual angle.
Stretches between lost samples are handled apart, so that no event and no velocity reaches across a blink.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import (
    Fixations,
    check_array,
    check_fixations,
    check_option,
    import_optional,
    make_fixations,
)

METHODS = ("ivt", "idt", "engbert")
# Samples that the five-point derivative needs.
_SHORTEST = 5
# Positions all within this many degrees of 0 are degrees, not pixels of a screen.
_DEGREES = 40.0


@dataclass(frozen=True)
class Screen:
    """Where a screen stood.

    Parameters
    ----------
    size_px : tuple of int
        (height, width) [px].
    size_cm : tuple of float
        (height, width) [cm].
    distance_cm : float
        From the eye to the middle of the screen [cm].
    """

    size_px: tuple[int, int]
    size_cm: tuple[float, float]
    distance_cm: float

    def __post_init__(self) -> None:
        if min(*self.size_px, *self.size_cm, self.distance_cm) <= 0:
            raise ValueError(f"sizes and distance of the screen must be positive, got {self}.")
        ratio = (self.size_px[0] / self.size_cm[0]) / (self.size_px[1] / self.size_cm[1])
        if not 0.8 < ratio < 1.25:
            raise ValueError(
                f"pixels of the screen must be about square, got {ratio:.2f} times as many per cm along the "
                f"height as along the width ({self}); are sizes (height, width)?"
            )

    @property
    def px_per_dva(self) -> float:
        """Pixels per degree in the middle of the screen, along its width."""
        return self.size_px[1] / self.size_cm[1] * self.distance_cm * float(np.tan(np.radians(1)))


@dataclass(frozen=True)
class MainSequence:
    """Peak velocity of saccades as ``v_max (1 - exp(-amplitude / amplitude_constant))``.

    Parameters
    ----------
    v_max_dps : float
        Velocity that large saccades approach [degrees per second].
    amplitude_constant_dva : float
        Amplitude at which 63 % of it are reached [degrees].
    r : float
        Correlation of measured and fitted velocities, both as logarithms.
    n_saccades : int
        Saccades fitted.
    """

    v_max_dps: float
    amplitude_constant_dva: float
    r: float
    n_saccades: int


def detect_fixations(
    time_s: ArrayLike,
    xy_px: ArrayLike,
    *,
    screen: Screen,
    sfreq: float,
    subject: str,
    stimulus_id: str,
    trial: int = 0,
    method: str = "ivt",
    velocity_dps: float = 20.0,
    dispersion_dva: float = 1.0,
    threshold_factor: float = 6.0,
    minimum_s: float = 0.1,
    missing: str = "raise",
    padding_s: float = 0.0,
) -> Fixations:
    """Fixations of one recording.

    Parameters
    ----------
    time_s : array of shape (n_samples,)
        Times of the samples [s].
    xy_px : array of shape (n_samples, 2)
        x and y [px], y down; NaN where the eye was lost.
    screen : Screen
        For degrees of visual angle.
    sfreq : float
        Sampling rate [Hz]; compared with the times.
    subject, stimulus_id, trial
        Written into the table.
    method : {"ivt", "idt", "engbert"}
        Below a velocity, within a dispersion (range of x plus range of y), or between the saccades of
        :func:`detect_saccades`.
    velocity_dps : float
        Of I-VT [degrees per second].
    dispersion_dva : float
        Of I-DT [degrees].
    threshold_factor : float
        Of Engbert and Kliegl's ellipse.
    minimum_s : float
        Shortest fixation [s].
    missing : {"raise", "split"}
        Refuse lost samples, or end events there.
    padding_s : float
        How much more is lost on both sides of a gap [s]: the lid moves the signal before it hides the pupil.

    Returns
    -------
    Fixations
        Mean position of the samples of each fixation [px], onset and duration [s]; a duration counts the last
        sample's interval. Positions beyond the screen are kept.

    Raises
    ------
    ImportError
        Without pymovements (extra ``gaze``).
    ValueError
        If times do not fit the sampling rate, positions look like degrees or like (row, column), samples are
        lost and ``missing`` is "raise", or there is no fixation.
    """
    check_option("method", method, METHODS)
    recording = _check_recording(time_s, xy_px, screen, sfreq, missing, padding_s)
    shortest = max(2, round(minimum_s * sfreq))
    if method == "engbert":
        events = _list_pauses(recording, _detect_saccades(recording, threshold_factor, 0.006, 0.02))
        events = [(start, stop) for start, stop in events if stop - start >= shortest]
    else:
        events = _detect_stillness(recording, method, velocity_dps, dispersion_dva, shortest)
    if not events:
        raise ValueError(
            f"the recording of {len(recording.time_s)} samples must hold a fixation, got none; check units "
            "and thresholds."
        )
    return check_fixations(
        make_fixations(
            [recording.xy_px[start:stop].mean(axis=0) for start, stop in events],
            subject=subject,
            stimulus_id=stimulus_id,
            trial=trial,
            onset_s=[recording.time_s[start] for start, _ in events],
            duration_s=[(stop - start) / sfreq for start, stop in events],
        ),
        allow_outside=True,
    )


def detect_saccades(
    time_s: ArrayLike,
    xy_px: ArrayLike,
    *,
    screen: Screen,
    sfreq: float,
    threshold_factor: float = 6.0,
    minimum_s: float = 0.006,
    merge_s: float = 0.02,
    missing: str = "raise",
    padding_s: float = 0.0,
) -> pd.DataFrame:
    """Saccades and microsaccades after Engbert and Kliegl (2003).

    A sample belongs to a saccade if its velocity lies outside an ellipse whose axes are ``threshold_factor``
    median-based standard deviations of the horizontal and vertical velocity of the whole recording.

    Parameters
    ----------
    time_s, xy_px, screen, sfreq, missing, padding_s
        As :func:`detect_fixations`.
    threshold_factor : float
        6 by custom; 3 to 5 for microsaccades in clean recordings.
    minimum_s : float
        Shortest saccade [s].
    merge_s : float
        Saccades with less than this between them [s] are one: the eye overshoots.

    Returns
    -------
    pandas.DataFrame
        One row per saccade: ``onset_s``, ``duration_s``, ``start_x_px``, ``start_y_px``, ``end_x_px``,
        ``end_y_px``, ``amplitude_dva`` (from start to end) and ``peak_velocity_dps``.

    Raises
    ------
    ImportError, ValueError
        As :func:`detect_fixations`; no saccade is no error.
    """
    recording = _check_recording(time_s, xy_px, screen, sfreq, missing, padding_s)
    rows = []
    for start, stop in _detect_saccades(recording, threshold_factor, minimum_s, merge_s):
        first, last = recording.xy_px[start], recording.xy_px[stop - 1]
        speed = np.hypot(*recording.velocity_dps[start:stop].T)
        rows.append(
            {
                "onset_s": recording.time_s[start],
                "duration_s": (stop - start) / sfreq,
                "start_x_px": first[0],
                "start_y_px": first[1],
                "end_x_px": last[0],
                "end_y_px": last[1],
                "amplitude_dva": np.hypot(*(recording.xy_dva[stop - 1] - recording.xy_dva[start])),
                "peak_velocity_dps": np.nanmax(speed),
            }
        )
    columns = ["onset_s", "duration_s", "start_x_px", "start_y_px", "end_x_px", "end_y_px"]
    return pd.DataFrame(rows, columns=[*columns, "amplitude_dva", "peak_velocity_dps"])


def fit_main_sequence(amplitude_dva: ArrayLike, peak_velocity_dps: ArrayLike) -> MainSequence:
    """Main sequence of saccades, by least squares of the logarithm of the velocity.

    Parameters
    ----------
    amplitude_dva, peak_velocity_dps : array of shape (n_saccades,)
        As :func:`detect_saccades` returns them; at least 5.

    Raises
    ------
    ValueError
        If there are fewer than 5 saccades or values are not positive.
    """
    from scipy.optimize import curve_fit

    amplitude = check_array("amplitude_dva", amplitude_dva, ndim=1, dtype=float)
    velocity = check_array("peak_velocity_dps", peak_velocity_dps, shape=amplitude.shape, dtype=float)
    if len(amplitude) < 5 or min(amplitude.min(), velocity.min()) <= 0:
        raise ValueError(
            f"a main sequence needs at least 5 saccades with amplitudes and velocities above 0, got "
            f"{len(amplitude)}; detect more."
        )

    def predict(size: NDArray[np.float64], log_v: float, log_c: float) -> NDArray[np.float64]:
        return log_v + np.log1p(-np.exp(-size / np.exp(log_c)))

    # Logarithms keep both parameters positive.
    guess = (np.log(velocity.max()), np.log(np.median(amplitude)))
    (log_v, log_c), _ = curve_fit(predict, amplitude, np.log(velocity), p0=guess, maxfev=10_000)
    r = np.corrcoef(np.log(velocity), predict(amplitude, log_v, log_c))[0, 1]
    return MainSequence(float(np.exp(log_v)), float(np.exp(log_c)), float(r), len(amplitude))


@dataclass(frozen=True)
class _Recording:
    """A checked recording with its stretches without lost samples, as (start, stop)."""

    time_s: NDArray[np.float64]
    xy_px: NDArray[np.float64]
    xy_dva: NDArray[np.float64]
    velocity_dps: NDArray[np.float64]
    stretches: list[tuple[int, int]]
    sfreq: float


def _check_recording(
    time_s: ArrayLike, xy_px: ArrayLike, screen: Screen, sfreq: float, missing: str, padding_s: float
) -> _Recording:
    check_option("missing", missing, ("raise", "split"))
    time = check_array("time_s", time_s, ndim=1, dtype=float)
    xy = check_array("xy_px", xy_px, shape=(len(time), 2), finite=False, dtype=float)
    if len(time) < _SHORTEST or sfreq <= 0:
        raise ValueError(
            f"time_s must hold at least {_SHORTEST} samples and sfreq be positive, got {len(time)} "
            f"and {sfreq}."
        )
    steps = np.diff(time) * sfreq
    if not (np.abs(steps - 1) < 0.1).all():
        step = float(np.median(np.diff(time)))
        rate = f"{1 / step:g} Hz" if step > 0 else "no rate"
        raise ValueError(
            f"time_s must rise by 1 / sfreq = {1 / sfreq:g} s from sample to sample, got steps of "
            f"{np.diff(time).min():g} to {np.diff(time).max():g} s (median {step:g}: {rate}); times are "
            "seconds, gaps in time need samples of NaN."
        )
    found = np.isfinite(xy).all(axis=1)
    if not found.any():
        raise ValueError("xy_px must hold a position, got lost samples only; check the recording.")
    if not found.all() and missing == "raise":
        raise ValueError(
            f"xy_px must be finite, got {int((~found).sum())} of {len(xy)} samples lost (blinks?); pass "
            "missing='split' to end events there, and padding_s to leave out what lies beside."
        )
    _check_units(xy[found], screen)
    stretches = list(_list_stretches(found, round(padding_s * sfreq)))
    xy_dva, velocity = (np.full(xy.shape, np.nan) for _ in range(2))
    for start, stop in stretches:
        xy_dva[start:stop], velocity[start:stop] = _derive(xy[start:stop], screen, sfreq)
    return _Recording(time, xy, xy_dva, velocity, stretches, sfreq)


def _check_units(xy: NDArray[np.float64], screen: Screen) -> None:
    height, width = screen.size_px
    if np.abs(xy).max() < min(_DEGREES, 0.25 * min(height, width)):
        raise ValueError(
            f"xy_px must be pixels of a screen of {height} x {width} px (height x width), got positions from "
            f"{xy.min():g} to {xy.max():g}; they look like degrees of visual angle, which are made here."
        )
    inside = ((xy >= 0) & (xy < (width, height))).all(axis=1).mean()
    if inside < 0.5:
        swapped = ((xy >= 0) & (xy < (height, width))).all(axis=1).mean()
        remedy = "exchange x and y" if swapped > 0.9 else "the origin is the upper left corner, y down"
        raise ValueError(
            f"xy_px must lie on the screen of height {height} and width {width} most of the time, got "
            f"{100 * inside:.0f} % of the samples on it; {remedy}."
        )


def _list_stretches(found: NDArray[np.bool_], padding: int) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(int)))
    for start, stop in edges.reshape(-1, 2).tolist():
        # The recording's own ends are no gaps.
        own = (start + (padding if start else 0), stop - (padding if stop < len(found) else 0))
        if own[1] - own[0] >= _SHORTEST:
            yield own


def _derive(
    xy_px: NDArray[np.float64], screen: Screen, sfreq: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions [dva] and velocities [dva/s] of a stretch; the latter are NaN at its two ends."""
    pymovements: Any = import_optional("pymovements", extra="gaze")
    (height, width), (height_cm, width_cm) = screen.size_px, screen.size_cm
    experiment = pymovements.Experiment(
        screen_width_px=width,
        screen_height_px=height,
        screen_width_cm=width_cm,
        screen_height_cm=height_cm,
        distance_cm=screen.distance_cm,
        origin="upper left",
        sampling_rate=sfreq,
    )
    gaze = pymovements.gaze.from_numpy(time=np.arange(len(xy_px)), pixel=xy_px.T, experiment=experiment)
    gaze.pix2deg()
    gaze.pos2vel("fivepoint")
    columns = [
        np.column_stack([gaze.samples[name].list.get(axis).to_numpy() for axis in (0, 1)])
        for name in ("position", "velocity")
    ]
    return columns[0].astype(float), columns[1].astype(float)


def _detect_stillness(
    recording: _Recording, method: str, velocity_dps: float, dispersion_dva: float, shortest: int
) -> list[tuple[int, int]]:
    events: Any = import_optional("pymovements", extra="gaze").events
    found: list[tuple[int, int]] = []
    for start, stop in recording.stretches:
        if stop - start < shortest:
            continue
        if method == "ivt":
            detected = events.ivt(
                recording.velocity_dps[start:stop],
                minimum_duration=shortest - 1,
                velocity_threshold=velocity_dps,
            )
        else:
            detected = events.idt(
                recording.xy_dva[start:stop], minimum_duration=shortest, dispersion_threshold=dispersion_dva
            )
        found += _to_spans(detected, start)
    return found


def _detect_saccades(
    recording: _Recording, threshold_factor: float, minimum_s: float, merge_s: float
) -> list[tuple[int, int]]:
    events: Any = import_optional("pymovements", extra="gaze").events
    # One ellipse for the whole recording, not one for each stretch between blinks.
    centred = recording.velocity_dps - np.nanmedian(recording.velocity_dps, axis=0)
    threshold = np.sqrt(np.nanmedian(centred**2, axis=0))
    if not (threshold > 0).all():
        raise ValueError(
            "xy_px must vary from sample to sample, got a median velocity of 0; the gaze is constant, or was "
            "sampled more coarsely than its times say."
        )
    spans: list[tuple[int, int]] = []
    for start, stop in recording.stretches:
        detected = events.microsaccades(
            recording.velocity_dps[start:stop],
            minimum_duration=max(1, round(minimum_s * recording.sfreq)) - 1,
            threshold=threshold,
            threshold_factor=threshold_factor,
        )
        merged: list[tuple[int, int]] = []
        for span in _to_spans(detected, start):
            if merged and span[0] - merged[-1][1] < merge_s * recording.sfreq:
                merged[-1] = (merged[-1][0], span[1])
            else:
                merged.append(span)
        spans += merged
    return spans


def _list_pauses(recording: _Recording, saccades: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What lies between saccades, within the stretches."""
    still = np.zeros(len(recording.time_s), dtype=bool)
    for start, stop in recording.stretches:
        still[start:stop] = True
    for start, stop in saccades:
        still[start:stop] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(int)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _to_spans(detected: Any, offset: int) -> list[tuple[int, int]]:
    """Events of pymovements, whose last sample is part of them, as (start, stop)."""
    frame = detected.frame
    onsets, offsets = (frame[name].to_numpy().astype(int) for name in ("onset", "offset"))
    return [(int(on) + offset, int(off) + offset + 1) for on, off in zip(onsets, offsets, strict=True)]
