"""Single-trial betas of a simulated subject: signal, noise with spatial correlation, and drift.

In trial t of session s a vertex v reads

    beta = gain_s * (signal + noise_sd * (sqrt(a) smooth + sqrt(b) private + sqrt(c) drift)) + offset_s,

with a + b + c = 1 and each of smooth, private and drift of unit variance, so that ``noise_sd`` is exactly
the standard deviation of a trial about the signal within a session. Gain and offset change between
sessions only: z-scoring within sessions removes both, as it does in real data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from neurovis.core import NeuralData, StimulusSet, check_array, make_neural_data, make_rng
from neurovis.datasets.simulated.anatomy import compute_smoothing
from neurovis.datasets.simulated.responses import compute_true_responses
from neurovis.datasets.simulated.subject import SimulatedSubject

SMOOTH_SHARE = 0.40
DRIFT_SHARE = 0.08
PRIVATE_SHARE = 1.0 - SMOOTH_SHARE - DRIFT_SHARE
"""Shares of the noise variance within a session."""

SMOOTHING_STEPS = 3
GAIN_SD = 0.08
"""Standard deviation of the sessions' log gain."""

OFFSET_SD = 0.5
"""Standard deviation of the sessions' offsets, in units of ``noise_sd``."""

_N_DRIFT_WAVES = 3


def make_trial_design(
    stimulus_ids: Sequence[str],
    *,
    n_repeats: int | Mapping[str, int],
    n_sessions: int,
    seed: int,
    n_runs: int = 4,
) -> pd.DataFrame:
    """Order of the trials: repeats of a stimulus fall into different sessions as far as there are enough.

    Parameters
    ----------
    stimulus_ids : sequence of str
        Unique ids.
    n_repeats : int or mapping of str to int
        Presentations of each stimulus, the same for all or by id.
    n_sessions : int
        Number of sessions; trials are spread evenly.
    seed : int
        Seed of the order.
    n_runs : int
        Runs in each session, of equal length as far as possible.

    Returns
    -------
    pandas.DataFrame
        One row per trial in order of presentation: ``stimulus_id``, ``repeat`` (from 0, in order of
        presentation), ``session`` and ``run`` (from 1; runs count anew in each session).

    Raises
    ------
    ValueError
        If ids repeat, a count is not positive or there are fewer trials than runs.
    KeyError
        If ``n_repeats`` lacks a stimulus.
    """
    ids = list(stimulus_ids)
    if len(set(ids)) != len(ids):
        raise ValueError(
            f"stimulus_ids must be unique, got {len(ids)} with {len(set(ids))} distinct; drop repeats."
        )
    counts = [n_repeats if isinstance(n_repeats, int) else n_repeats[item] for item in ids]
    if not ids or min(counts) < 1 or n_sessions < 1 or n_runs < 1:
        raise ValueError(
            f"stimulus_ids must not be empty and n_repeats, n_sessions and n_runs must be at least 1, got "
            f"{len(ids)} ids, n_repeats {min(counts, default=0)}, n_sessions {n_sessions}, n_runs {n_runs}."
        )
    n_trials = sum(counts)
    if n_trials < n_sessions * n_runs:
        raise ValueError(
            f"n_sessions x n_runs must not exceed the number of trials, got {n_sessions} x {n_runs} for "
            f"{n_trials} trials; use fewer sessions or runs."
        )
    rng = make_rng(seed, "design")
    # Dealing shuffled stimuli round the sessions puts consecutive repeats into consecutive sessions.
    dealt = [item for row in rng.permutation(len(ids)) for item in [ids[row]] * counts[row]]
    parts = []
    for session in range(n_sessions):
        here = dealt[session::n_sessions]
        order = rng.permutation(len(here))
        run = np.arange(len(here)) * n_runs // len(here) + 1
        parts.append(pd.DataFrame({"stimulus_id": np.array(here)[order], "session": session + 1, "run": run}))
    design = pd.concat(parts, ignore_index=True)
    design["repeat"] = design.groupby("stimulus_id").cumcount()
    return design[["stimulus_id", "repeat", "session", "run"]]


def simulate_betas(
    subject: SimulatedSubject,
    stimuli: StimulusSet,
    *,
    n_repeats: int | Mapping[str, int] = 2,
    n_sessions: int = 4,
    seed: int = 0,
    n_runs: int = 4,
    responses: NDArray | None = None,
) -> NeuralData:
    """Simulate single-trial betas.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject`.
    stimuli : StimulusSet
        What is shown.
    n_repeats, n_sessions, n_runs
        As in :func:`make_trial_design`.
    seed : int
        Seed of order and noise; the subject's label is part of the key.
    responses : array of shape (n_stimuli, n_vertices), optional
        Result of :func:`compute_true_responses` for ``stimuli``, if it is at hand.

    Returns
    -------
    NeuralData
        Rows "presentation" with ``stimulus_id, repeat, session, run``; neuroids with ``neuroid_id, subject,
        hemisphere, region, vertex``; float32 in percent signal change. Nothing in it tells silent vertices
        from responsive ones.

    Raises
    ------
    ValueError
        If ``responses`` does not fit.
    """
    design = make_trial_design(
        stimuli.stimulus_ids, n_repeats=n_repeats, n_sessions=n_sessions, seed=seed, n_runs=n_runs
    )
    if responses is None:
        responses = compute_true_responses(subject, stimuli)
    shape = (len(stimuli), subject.n_vertices)
    responses = check_array("responses", responses, shape=shape, remedy="pass compute_true_responses(...)")
    position = {stimulus_id: row for row, stimulus_id in enumerate(stimuli.stimulus_ids)}
    signal = responses[[position[stimulus_id] for stimulus_id in design["stimulus_id"]]]
    session = design["session"].to_numpy()
    noise = simulate_noise(subject, session, seed=seed)
    gain, offset = _draw_sessions(subject, int(session.max()), seed)
    values = (signal + noise) * gain[session - 1, None] + offset[session - 1]
    table = subject.table
    return make_neural_data(
        values.astype(np.float32),
        rows="presentation",
        row_coords={name: design[name].to_numpy() for name in ("repeat", "session", "run")}
        | {"stimulus_id": design["stimulus_id"].to_numpy(dtype=str)},
        neuroid_coords={
            "neuroid_id": np.array(subject.neuroid_ids),
            "subject": np.full(subject.n_vertices, subject.subject),
            "hemisphere": table["hemisphere"].to_numpy(dtype=str),
            "region": table["region"].to_numpy(dtype=str),
            "vertex": table["vertex"].to_numpy(),
        },
        units="percent",
        source=f"simulated cortex, subject seed {subject.seed}, seed {seed}",
    )


def simulate_noise(
    subject: SimulatedSubject, session: NDArray[np.int64], *, seed: int
) -> NDArray[np.float32]:
    """Noise of each trial within its session: smooth, private and drift parts.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject`.
    session : array of shape (n_trials,)
        Session of each trial, in order of presentation.
    seed : int
        Seed of the noise.

    Returns
    -------
    array of shape (n_trials, n_vertices)
        float32 [percent]; zero mean, standard deviation ``noise_sd``, correlated between neighbours.
    """
    smoothing = make_noise_smoothing(subject)
    noise_sd = subject.table["noise_sd"].to_numpy(dtype=np.float32)
    noise = np.empty((len(session), subject.n_vertices), dtype=np.float32)
    for label in np.unique(session):
        rows = np.flatnonzero(session == label)
        rng = make_rng(seed, "noise", subject.subject, int(label))
        private = rng.standard_normal((len(rows), subject.n_vertices), dtype=np.float32)
        smooth = _draw_smooth(smoothing, len(rows), rng)
        drift = _draw_drift(smoothing, len(rows), rng)
        noise[rows] = np.sqrt(PRIVATE_SHARE) * private + np.sqrt(SMOOTH_SHARE) * smooth
        noise[rows] += np.sqrt(DRIFT_SHARE) * drift
    return noise * noise_sd


def make_noise_smoothing(subject: SimulatedSubject) -> sparse.csr_matrix:
    """Operator of the smooth part of the noise, (n_vertices, n_sources), rows of unit length.

    The correlation between two vertices' noise is ``(SMOOTH_SHARE + DRIFT_SHARE) * (S @ S.T)`` off the
    diagonal.
    """
    return compute_smoothing(subject.table["vertex"].to_numpy(), n_steps=SMOOTHING_STEPS).astype(np.float32)


def _draw_smooth(smoothing: sparse.csr_matrix, n_rows: int, rng: np.random.Generator) -> NDArray[np.float32]:
    sources = rng.standard_normal((smoothing.shape[1], n_rows), dtype=np.float32)
    return np.asarray(smoothing @ sources).T


def _draw_drift(smoothing: sparse.csr_matrix, n_trials: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Slow waves over one session: zero mean over its trials, unit expected variance, smooth in space."""
    n_waves = min(_N_DRIFT_WAVES, n_trials - 1)
    if n_waves < 1:
        return np.zeros((n_trials, smoothing.shape[0]), dtype=np.float32)
    time = (np.arange(n_trials) + 0.5) / n_trials
    # Discrete cosines are orthogonal, have zero mean and mean square 1/2.
    waves = np.sqrt(2.0 / n_waves) * np.cos(np.pi * np.outer(time, np.arange(1, n_waves + 1)))
    return waves.astype(np.float32) @ _draw_smooth(smoothing, n_waves, rng)


def _draw_sessions(subject: SimulatedSubject, n_sessions: int, seed: int) -> tuple[NDArray, NDArray]:
    rng = make_rng(seed, "sessions", subject.subject)
    gain = np.exp(rng.normal(0.0, GAIN_SD, n_sessions)).astype(np.float32)
    noise_sd = subject.table["noise_sd"].to_numpy(dtype=np.float32)
    offset = OFFSET_SD * noise_sd * _draw_smooth(make_noise_smoothing(subject), n_sessions, rng)
    return gain, offset
