"""Single-trial GLM of one run: a beta per trial and voxel, all trials in one model (LSA) or one each (LSS).

LSA ("least squares all") gives every trial its own regressor in one model. LSS ("least squares separate",
Mumford et al. 2012, NeuroImage 59:2636, equation 2) fits one model per trial: that trial, all other trials
as one regressor, and the nuisance. Both are linear in the data, so both are computed as one matrix
(n_trials, n_scans) times the series: LSS costs no more than LSA.

Regressors and drifts are nilearn's, so the betas equal those of its first-level models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_array, check_option, import_optional

METHODS = ("lsa", "lss")
NOISE_MODELS = ("ols", "ar1")
DRIFT_MODELS = ("cosine", "polynomial", "none")
HRF_MODELS = ("glover", "spm")
SCALINGS = ("percent", "none")

# As in nilearn: AR(1) coefficients are rounded towards zero in steps of 0.01, so that vertices share models.
_AR_BINS = 100
_LEAST_ENERGY = 1e-4


@dataclass(frozen=True)
class TrialGlm:
    """Choices of a single-trial GLM.

    Parameters
    ----------
    method : {"lsa", "lss"}
        All trials in one model, or one model per trial. LSA is unbiased and needs more scans than trials;
        LSS is less noisy when trials overlap, and pulls neighbouring trials towards each other.
    hrf_model : {"glover", "spm"}
        Haemodynamic response of :mod:`nilearn.glm`.
    drift_model : {"cosine", "polynomial", "none"}
        Low-frequency nuisance beside the constant.
    high_pass : float
        Cut-off of the cosine drifts [Hz].
    drift_order : int
        Order of the polynomial drifts.
    noise_model : {"ols", "ar1"}
        Ordinary least squares, or whitening with a first-order autoregressive model per voxel.
    scaling : {"percent", "none"}
        Percent of the voxel's mean over the run, or the numbers of the file.

    Raises
    ------
    ValueError
        If a choice is unknown or out of range.
    """

    method: str = "lss"
    hrf_model: str = "glover"
    drift_model: str = "cosine"
    high_pass: float = 0.01
    drift_order: int = 3
    noise_model: str = "ols"
    scaling: str = "percent"

    def __post_init__(self) -> None:
        check_option("method", self.method, METHODS)
        check_option("hrf_model", self.hrf_model, HRF_MODELS)
        check_option("drift_model", self.drift_model, DRIFT_MODELS)
        check_option("noise_model", self.noise_model, NOISE_MODELS)
        check_option("scaling", self.scaling, SCALINGS)
        if self.high_pass <= 0 or self.drift_order < 0:
            raise ValueError(
                f"high_pass must be positive and drift_order not negative, got {self.high_pass} and "
                f"{self.drift_order}; pass for example high_pass=0.01 [Hz], drift_order=3."
            )


def make_frame_times(n_scans: int, t_r: float, *, start: float = 0.0) -> NDArray[np.float64]:
    """Time of every scan [s], from ``start`` on in steps of ``t_r``."""
    return start + t_r * np.arange(n_scans)


def make_trial_regressors(
    events: pd.DataFrame, frame_times: NDArray[np.float64], *, hrf_model: str = "glover"
) -> NDArray[np.float64]:
    """One regressor per event: a boxcar of the event's duration convolved with the HRF.

    Parameters
    ----------
    events : pandas.DataFrame
        ``onset`` and ``duration`` [s].
    frame_times : array of shape (n_scans,)
        Time of each scan [s].
    hrf_model : {"glover", "spm"}
        Of :mod:`nilearn.glm`; its integral is one, so a beta is the plateau of a lasting stimulus.

    Returns
    -------
    array of shape (n_scans, n_events)

    Raises
    ------
    ValueError
        If an event starts after the last scan.
    """
    first_level = import_optional("nilearn.glm.first_level", extra="fmri")
    check_option("hrf_model", hrf_model, HRF_MODELS)
    step = frame_times[1] - frame_times[0]
    end = frame_times[-1] + step
    late = events["onset"].to_numpy() >= end
    if late.any():
        raise ValueError(
            f"events must start before the run ends at {end:g} s, got {int(late.sum())} later, the first "
            f"at {events['onset'][late].iloc[0]:g} s; check that events and run belong together, and the "
            "repetition time."
        )
    columns = [
        first_level.compute_regressor(([onset], [duration], [1.0]), hrf_model, frame_times)[0][:, 0]
        for onset, duration in zip(events["onset"], events["duration"], strict=True)
    ]
    return np.stack(columns, axis=1)


def make_nuisance(
    frame_times: NDArray[np.float64],
    glm: TrialGlm,
    *,
    confounds: pd.DataFrame | NDArray | None = None,
    other_events: pd.DataFrame | None = None,
) -> NDArray[np.float64]:
    """Regressors of no interest: drifts, the constant, confounds and events that are not trials.

    Parameters
    ----------
    frame_times : array of shape (n_scans,)
        Time of each scan [s].
    glm : TrialGlm
        Drift and HRF models.
    confounds : table or array of shape (n_scans, n_confounds), optional
        Standardised here, which leaves the betas as they are and the model well conditioned; a constant
        column is dropped.
    other_events : pandas.DataFrame, optional
        ``onset, duration, trial_type``: one regressor per ``trial_type``.

    Returns
    -------
    array of shape (n_scans, n_nuisance)
        The constant is the last column.

    Raises
    ------
    ValueError
        If confounds have another number of scans or are not finite.
    """
    first_level = import_optional("nilearn.glm.first_level", extra="fmri")
    drifts = first_level.make_first_level_design_matrix(
        frame_times,
        drift_model=None if glm.drift_model == "none" else glm.drift_model,
        high_pass=glm.high_pass,
        drift_order=glm.drift_order,
    ).to_numpy()
    parts = []
    if confounds is not None:
        table = check_array("confounds", np.asarray(confounds, dtype=float), ndim=2)
        if len(table) != len(frame_times):
            raise ValueError(
                f"confounds must have one row per scan ({len(frame_times)}), got {len(table)}; check that "
                "the table belongs to this run and that no volumes were removed from one of them."
            )
        spread = table.std(axis=0)
        parts.append((table - table.mean(axis=0))[:, spread > 0] / spread[spread > 0])
    if other_events is not None and len(other_events):
        parts += [
            make_trial_regressors(group, frame_times, hrf_model=glm.hrf_model).sum(axis=1, keepdims=True)
            for _, group in other_events.groupby("trial_type", sort=True)
        ]
    return np.hstack([*parts, drifts])


def compute_trial_weights(
    trials: NDArray[np.float64], nuisance: NDArray[np.float64], *, method: str
) -> NDArray[np.float64]:
    """Matrix that turns a series into trial betas by ordinary least squares.

    Parameters
    ----------
    trials : array of shape (n_scans, n_trials)
        From :func:`make_trial_regressors`.
    nuisance : array of shape (n_scans, n_nuisance)
        From :func:`make_nuisance`.
    method : {"lsa", "lss"}
        See the module docstring.

    Returns
    -------
    array of shape (n_trials, n_scans)
        ``weights @ series`` are the betas.

    Raises
    ------
    ValueError
        If a trial cannot be told from the nuisance (it ends the run, say), or LSA has too few scans.

    Notes
    -----
    LSS: after projecting out the nuisance, let x be the trial, o the sum of the others. The 2 x 2 normal
    equations give ``beta = ((o'o) x'y - (x'o) o'y) / ((x'x)(o'o) - (x'o)^2)``, for all trials at once.
    """
    check_option("method", method, METHODS)
    n_scans, n_trials = trials.shape
    basis, _ = np.linalg.qr(nuisance)
    x = trials - basis @ (basis.T @ trials)
    energy, total = (x**2).sum(axis=0), (trials**2).sum(axis=0)
    lost = energy <= _LEAST_ENERGY * np.maximum(total, _LEAST_ENERGY * np.median(total))
    if lost.any():
        raise ValueError(
            f"every trial must show beyond the nuisance, got {int(lost.sum())} of {n_trials} "
            f"that are not, the first is trial {int(np.flatnonzero(lost)[0])}; leave out trials at the "
            "end of the run or confounds that follow the trials."
        )
    if method == "lsa":
        rank = np.linalg.matrix_rank(x)
        if rank < n_trials or n_trials + basis.shape[1] >= n_scans:
            raise ValueError(
                f"method='lsa' must have more scans than regressors and separable trials, got {n_scans} "
                f"scans for {n_trials} trials (rank {rank}) and {basis.shape[1]} nuisance regressors; pass "
                "method='lss'."
            )
        return np.linalg.pinv(x)
    others = x.sum(axis=1, keepdims=True) - x
    oo, xo = (others**2).sum(axis=0), (x * others).sum(axis=0)
    if n_trials == 1:
        return x.T / energy[:, None]
    determinant = energy * oo - xo**2
    return (oo[:, None] * x.T - xo[:, None] * others.T) / determinant[:, None]


def estimate_trial_betas(
    series: NDArray, trials: NDArray[np.float64], nuisance: NDArray[np.float64], glm: TrialGlm
) -> NDArray[np.float32]:
    """Betas of every trial and voxel of one run.

    Parameters
    ----------
    series : array of shape (n_scans, n_voxels)
        From :func:`scale_series`.
    trials, nuisance : array of shape (n_scans, n_regressors)
        Design of the run.
    glm : TrialGlm
        ``method`` and ``noise_model`` are used here.

    Returns
    -------
    array of shape (n_trials, n_voxels)
        float32, in the unit of the series.

    Raises
    ------
    ValueError
        As :func:`compute_trial_weights`.

    Notes
    -----
    The AR(1) coefficient of a voxel comes from the residuals of the LSA model, as in nilearn, or, for LSS,
    of the model with all trials in one regressor, which is shared by all trials (nilearn run trial by trial
    would estimate it anew for each).
    """
    weights = compute_trial_weights(trials, nuisance, method=glm.method)
    if glm.noise_model == "ols":
        return (weights.astype(series.dtype) @ series).astype(np.float32)
    model = trials if glm.method == "lsa" else trials.sum(axis=1, keepdims=True)
    coefficients = compute_ar1(series, np.hstack([model, nuisance]))
    betas = np.empty((trials.shape[1], series.shape[1]), dtype=np.float32)
    for coefficient in np.unique(coefficients):
        here = coefficients == coefficient
        weights = compute_trial_weights(
            _whiten(trials, coefficient), _whiten(nuisance, coefficient), method=glm.method
        )
        betas[:, here] = weights @ _whiten(series[:, here], coefficient)
    return betas


def compute_ar1(series: NDArray, design: NDArray[np.float64]) -> NDArray[np.float64]:
    """AR(1) coefficient of each voxel's residuals (Yule-Walker), rounded towards zero to 0.01.

    Parameters
    ----------
    series : array of shape (n_scans, n_voxels)
        Data.
    design : array of shape (n_scans, n_regressors)
        Model whose residuals are used.

    Returns
    -------
    array of shape (n_voxels,)
    """
    basis, _ = np.linalg.qr(design)
    residuals = series - basis @ (basis.T @ series)
    n_scans = len(residuals)
    lag0 = np.einsum("tv,tv->v", residuals, residuals) / n_scans
    lag1 = np.einsum("tv,tv->v", residuals[:-1], residuals[1:]) / (n_scans - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        coefficient = np.where(lag0 > 0, lag1 / lag0, 0.0)
    return np.trunc(coefficient * _AR_BINS) / _AR_BINS


def scale_series(series: NDArray, *, scaling: str = "percent") -> NDArray[np.float32]:
    """Series in percent of each voxel's mean over the run (zero-mean), or as they are.

    Parameters
    ----------
    series : array of shape (n_scans, n_voxels)
        Data of one run.
    scaling : {"percent", "none"}
        ``"none"`` only converts to float32.

    Returns
    -------
    array of shape (n_scans, n_voxels)

    Raises
    ------
    ValueError
        If a voxel's mean is not positive and ``scaling="percent"``.
    """
    check_option("scaling", scaling, SCALINGS)
    if scaling == "none":
        return series.astype(np.float32)
    mean = series.mean(axis=0, dtype=np.float64)
    bad = ~(mean > 0)
    if bad.any():
        raise ValueError(
            f"each voxel's mean must be positive for scaling='percent', got {int(bad.sum())} of "
            f"{bad.size} that are not; mask them out or pass scaling='none' if the run was centred before."
        )
    return (100.0 * (series / mean - 1.0)).astype(np.float32)


def _whiten(columns: NDArray, coefficient: float) -> NDArray[np.float64]:
    whitened = np.asarray(columns, dtype=np.float64).copy()
    whitened[1:] -= coefficient * columns[:-1]
    return whitened
