"""BOLD time series of a simulated subject: schedule, HRF, autocorrelated noise, drifts and motion.

The series of one run, in percent of the baseline, is

    a X r + s_v (noise + drift + motion),   s_v = noise_sd_v / g,

with a the gain of the session, X one HRF-convolved regressor per trial, r the noise-free responses, noise an
AR(1) process of unit variance with the subject's spatial correlation, and g the noise gain of a
least-squares-all GLM: the betas of that GLM are unbiased and have ``noise_sd_v`` [percent] of trial noise
within a session, as :func:`neurovis.datasets.simulated.simulate_betas` draws directly. Drift lies below the
cut-off of the GLM's high-pass and motion is linear in the six rigid-body parameters, so a good analysis
removes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import signal, sparse

from neurovis.core import check_option, make_rng
from neurovis.datasets.simulated.betas import GAIN_SD, SMOOTH_SHARE, make_noise_smoothing
from neurovis.datasets.simulated.subject import SimulatedSubject
from neurovis.datasets.single_trial import (
    METHODS,
    TrialGlm,
    compute_trial_weights,
    make_frame_times,
    make_nuisance,
    make_trial_regressors,
)

MOTION_NAMES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
_HEAD_RADIUS = 50.0  # [mm], of framewise displacement (Power et al. 2012)
_N_DRIFT_WAVES = 3
_DELAY_STEP = 0.25  # [s]


@dataclass(frozen=True)
class Acquisition:
    """How runs are scanned and what disturbs them.

    Parameters
    ----------
    t_r : float
        Repetition time [s].
    spacing_s, jitter_s, duration_s : float
        Time from one trial to the next, half-width of its uniform jitter, and time on screen [s].
    blank_share : float
        Share of blank trials, which help to tell neighbouring trials apart.
    lead_in_s, tail_s : float
        Fixation before the first and after the last trial [s].
    hrf_model : {"glover", "spm"}
        Of :mod:`nilearn.glm`.
    hrf_delay_sd : float
        Standard deviation over vertices of a shift of the response [s].
    ar1 : float
        Autocorrelation of the noise at one scan.
    noise, drift, motion : float
        Standard deviations in units of s_v; ``noise=1`` gives the subject's own trial noise.
    """

    t_r: float = 1.6
    spacing_s: float = 4.0
    jitter_s: float = 0.5
    duration_s: float = 2.0
    blank_share: float = 0.1
    lead_in_s: float = 8.0
    tail_s: float = 14.0
    hrf_model: str = "glover"
    hrf_delay_sd: float = 0.0
    ar1: float = 0.3
    noise: float = 1.0
    drift: float = 1.5
    motion: float = 1.0

    def __post_init__(self) -> None:
        if min(self.t_r, self.duration_s) <= 0 or self.spacing_s - 2 * self.jitter_s < self.duration_s:
            raise ValueError(
                f"t_r and duration_s must be positive, spacing_s - 2 jitter_s at least duration_s, got t_r "
                f"{self.t_r}, duration_s {self.duration_s}, spacing_s {self.spacing_s}, jitter_s "
                f"{self.jitter_s}; lengthen the spacing."
            )
        if (
            not 0 <= self.blank_share < 1
            or not -1 < self.ar1 < 1
            or min(self.noise, self.drift, self.motion) < 0
        ):
            raise ValueError(
                f"blank_share must lie in [0, 1), ar1 in (-1, 1) and noise, drift, motion from 0 on, "
                f"got {self.blank_share}, {self.ar1}, {self.noise}, {self.drift}, {self.motion}."
            )


@dataclass(frozen=True)
class RunDesign:
    """Time course of one run before any brain is in it.

    Parameters
    ----------
    trials : pandas.DataFrame
        ``stimulus_id, repeat, session, run, onset, duration`` of its trials.
    frame_times : array of shape (n_scans,)
        [s].
    regressors : array of shape (n_scans, n_trials)
        HRF-convolved, from :func:`neurovis.datasets.single_trial.make_trial_regressors`.
    motion : pandas.DataFrame
        Six rigid-body parameters [mm, rad] per scan.
    """

    trials: pd.DataFrame
    frame_times: NDArray[np.float64]
    regressors: NDArray[np.float64]
    motion: pd.DataFrame


def make_run_designs(
    design: pd.DataFrame, acquisition: Acquisition, *, subject: str, seed: int
) -> list[RunDesign]:
    """Onsets, scans and motion of every run.

    Parameters
    ----------
    design : pandas.DataFrame
        From :func:`make_trial_design`: ``stimulus_id, repeat, session, run``.
    acquisition : Acquisition
        Timing.
    subject : str
        Label; part of the seed.
    seed : int
        Seed of jitter, blanks and motion.

    Returns
    -------
    list of RunDesign
        In the order of session and run.
    """
    designs = []
    for _, trials in design.groupby(["session", "run"], sort=True):
        session, run = int(trials["session"].iloc[0]), int(trials["run"].iloc[0])
        rng = make_rng(seed, "schedule", subject, session, run)
        n_trials = len(trials)
        n_blanks = round(n_trials * acquisition.blank_share / (1 - acquisition.blank_share))
        blank = np.zeros(n_trials + n_blanks, dtype=bool)
        # Neither the first nor the last place is blank: that would only lengthen the fixation there.
        blank[1 + rng.permutation(n_trials + n_blanks - 2)[:n_blanks]] = True
        places = np.flatnonzero(~blank) * acquisition.spacing_s
        onsets = acquisition.lead_in_s + places + acquisition.jitter_s * rng.uniform(-1, 1, n_trials)
        end = onsets[-1] + acquisition.duration_s + acquisition.tail_s
        n_scans = int(np.ceil(end / acquisition.t_r))
        timed = trials.assign(onset=onsets.round(3), duration=acquisition.duration_s).reset_index(drop=True)
        frame_times = make_frame_times(n_scans, acquisition.t_r)
        regressors = make_trial_regressors(timed, frame_times, hrf_model=acquisition.hrf_model)
        designs.append(RunDesign(timed, frame_times, regressors, _simulate_motion(n_scans, rng)))
    return designs


def make_confounds(motion: pd.DataFrame) -> pd.DataFrame:
    """Motion columns of a confounds table, named as fMRIPrep names them.

    Parameters
    ----------
    motion : pandas.DataFrame
        ``trans_x, trans_y, trans_z`` [mm], ``rot_x, rot_y, rot_z`` [rad].

    Returns
    -------
    pandas.DataFrame
        Parameters, ``_derivative1``, ``_power2``, ``_derivative1_power2`` and ``framewise_displacement``
        [mm]; the first value of a derivative is NaN.
    """
    table = motion.copy()
    for name in MOTION_NAMES:
        table[f"{name}_derivative1"] = motion[name].diff()
        table[f"{name}_power2"] = motion[name] ** 2
        table[f"{name}_derivative1_power2"] = motion[name].diff() ** 2
    steps = motion.diff().abs()
    table["framewise_displacement"] = steps[list(MOTION_NAMES[:3])].sum(axis=1, skipna=False) + (
        _HEAD_RADIUS * steps[list(MOTION_NAMES[3:])].sum(axis=1, skipna=False)
    )
    return table


def compute_noise_gain(
    runs: list[RunDesign], acquisition: Acquisition, *, method: str = "lsa"
) -> tuple[float, float]:
    """What a single-trial GLM with drifts and six motion parameters makes of unit noise and of neighbours.

    Parameters
    ----------
    runs : list of RunDesign
        From :func:`make_run_designs`.
    acquisition : Acquisition
        Timing and autocorrelation.
    method : {"lsa", "lss"}
        Estimator of the betas.

    Returns
    -------
    gain : float
        Standard deviation of a beta about its session's mean under unit noise (root mean square over
        trials).
    leak : float
        Standard deviation that the other trials' responses add to a beta, in units of the standard
        deviation of responses over stimuli; 0 for LSA. With M = W X, the root mean square over trials of
        the off-diagonal of M, since its rows sum to one.
    """
    glm = TrialGlm(method, acquisition.hrf_model)
    n_trials = pd.Series([len(run.trials) for run in runs])
    session = [int(run.trials["session"].iloc[0]) for run in runs]
    in_session = n_trials.groupby(session).transform("sum")
    noise, leak = 0.0, 0.0
    for run, n_all in zip(runs, in_session, strict=True):
        nuisance = make_nuisance(run.frame_times, glm, confounds=run.motion)
        weights = compute_trial_weights(run.regressors, nuisance, method=method)
        n_scans = len(run.frame_times)
        covariance = acquisition.ar1 ** np.abs(np.subtract.outer(np.arange(n_scans), np.arange(n_scans)))
        covariance = weights @ covariance @ weights.T
        # What all trials of a session share is an offset of the session, not noise of a trial.
        noise += np.trace(covariance) - covariance.sum() / n_all
        mixing = weights @ run.regressors
        leak += (mixing**2).sum() - (np.diag(mixing) ** 2).sum()
    total = float(n_trials.sum())
    return float(np.sqrt(noise / total)), float(np.sqrt(max(leak / total, 0.0)))


def compute_beta_noise_sd(
    parameters: Mapping[str, Any], subject: SimulatedSubject, *, method: str, signal_sd: NDArray
) -> NDArray[np.float64]:
    """Noise of one trial's beta [percent] as a GLM of the written runs has it.

    Parameters
    ----------
    parameters : mapping
        ``parameters`` of the subject's :class:`SimulatedTruth`.
    subject : SimulatedSubject
        Of that truth.
    method : {"lsa", "lss"}
        Estimator of the betas.
    signal_sd : array of shape (n_vertices,)
        Standard deviation of the noise-free responses over the shown stimuli [percent].

    Returns
    -------
    array of shape (n_vertices,)
        For ``noise_sd`` of :func:`compute_analytic_ceiling`. LSA of data with ``noise=1`` gives the
        subject's own ``noise_sd``; LSS adds the neighbours' leak and has less of the noise.
    """
    check_option("method", method, METHODS)
    noise = parameters["beta_noise"]
    level = parameters["acquisition"]["noise"] * noise[method]["gain"] / noise["lsa"]["gain"]
    own = level * subject.table["noise_sd"].to_numpy()
    return np.sqrt(own**2 + (noise[method]["leak"] * np.asarray(signal_sd)) ** 2)


def simulate_run(
    subject: SimulatedSubject,
    responses: NDArray[np.float32],
    run: RunDesign,
    acquisition: Acquisition,
    *,
    gain: float,
    seed: int,
    rows: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Series of one run in percent of the baseline.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject`.
    responses : array of shape (n_trials, n_vertices)
        Noise-free response of every trial of the run [percent].
    run : RunDesign
        From :func:`make_run_designs`.
    acquisition : Acquisition
        HRF and disturbances.
    gain : float
        Noise gain g, from :func:`compute_noise_gain`.
    seed : int
        Seed of the noise.
    rows : array of shape (n_sites,), optional
        Vertex (row of the subject's table) of each site, for voxels; default: the vertices themselves.
        Voxels of one vertex share its signal and smooth noise, not the private noise.

    Returns
    -------
    array of shape (n_scans, n_sites)
        float32.
    """
    if rows is None:
        rows = np.arange(subject.n_vertices)
    session, number = int(run.trials["session"].iloc[0]), int(run.trials["run"].iloc[0])
    keys = (subject.subject, session, number)
    delays = _draw_delays(subject, acquisition, seed)
    series = np.zeros((len(run.frame_times), subject.n_vertices), dtype=np.float32)
    session_gain = np.exp(make_rng(seed, "session gain", subject.subject, session).normal(0.0, GAIN_SD))
    for delay in np.unique(delays):
        here = delays == delay
        design = run.regressors
        if delay:
            events = run.trials.assign(onset=run.trials["onset"] + delay)
            design = make_trial_regressors(events, run.frame_times, hrf_model=acquisition.hrf_model)
        series[:, here] = (session_gain * design).astype(np.float32) @ responses[:, here]
    scale = subject.table["noise_sd"].to_numpy(dtype=np.float32) / gain
    smoothing = make_noise_smoothing(subject)
    disturbance = _draw_slow(run, acquisition, smoothing, make_rng(seed, "slow", *keys))
    rng = make_rng(seed, "noise", *keys)
    disturbance += acquisition.noise * np.sqrt(SMOOTH_SHARE) * _draw_ar1(run, acquisition, rng, smoothing)
    private = _draw_ar1(run, acquisition, rng, len(rows))
    share = np.float32(acquisition.noise * np.sqrt(1 - SMOOTH_SHARE))
    return (series + scale * disturbance)[:, rows] + share * scale[rows] * private


def simulate_background(
    run: RunDesign, acquisition: Acquisition, n_sites: int, *, sd: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise of sites without any response, (n_scans, n_sites) [percent]."""
    return np.float32(sd * acquisition.noise) * _draw_ar1(run, acquisition, rng, n_sites)


def _simulate_motion(n_scans: int, rng: np.random.Generator) -> pd.DataFrame:
    """Slow wander with a few sudden moves; some tenths of a millimetre and of a degree."""
    steps = rng.normal(0, 1, (n_scans, 6)) + 12.0 * (rng.random((n_scans, 1)) < 0.01) * rng.normal(
        0, 1, (1, 6)
    )
    walk = signal.lfilter([1.0], [1.0, -0.97], steps, axis=0)
    walk -= walk[0]
    scale = np.array([0.03] * 3 + [np.deg2rad(0.03)] * 3)
    return pd.DataFrame((walk * scale).round(6), columns=list(MOTION_NAMES))


def _draw_delays(subject: SimulatedSubject, acquisition: Acquisition, seed: int) -> NDArray[np.float64]:
    rng = make_rng(seed, "hrf", subject.subject)
    delays = acquisition.hrf_delay_sd * rng.normal(size=subject.n_vertices)
    return np.round(delays / _DELAY_STEP) * _DELAY_STEP


def _draw_slow(
    run: RunDesign, acquisition: Acquisition, smoothing: sparse.csr_matrix, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Drift and motion artefact, smooth in space, (n_scans, n_vertices)."""
    time = (np.arange(len(run.frame_times)) + 0.5) / len(run.frame_times)
    waves = np.sqrt(2.0 / _N_DRIFT_WAVES) * np.cos(np.pi * np.outer(time, np.arange(1, _N_DRIFT_WAVES + 1)))
    moves = run.motion.to_numpy()
    moves = (moves - moves.mean(axis=0)) / moves.std(axis=0) / np.sqrt(moves.shape[1])
    sources = np.hstack([acquisition.drift * waves, acquisition.motion * moves]).astype(np.float32)
    maps = smoothing @ rng.standard_normal((smoothing.shape[1], sources.shape[1]), dtype=np.float32)
    return sources @ np.asarray(maps).T


def _draw_ar1(
    run: RunDesign, acquisition: Acquisition, rng: np.random.Generator, sites: int | sparse.csr_matrix
) -> NDArray[np.float32]:
    """AR(1) noise of unit variance: independent sites, or smoothed by an operator of unit rows."""
    n_scans = len(run.frame_times)
    n_sources = sites if isinstance(sites, int) else sites.shape[1]
    white = rng.standard_normal((n_scans, n_sources), dtype=np.float32)
    # The first scan is drawn from the stationary distribution, the rest from the recursion.
    white[1:] *= np.float32(np.sqrt(1 - acquisition.ar1**2))
    coloured = signal.lfilter(
        np.ones(1, dtype=np.float32), np.array([1.0, -acquisition.ar1], dtype=np.float32), white, axis=0
    )
    return coloured if isinstance(sites, int) else np.asarray(sites @ coloured.T).T
