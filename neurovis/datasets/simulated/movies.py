"""Movies shown to the simulated cortex: what motion and what the frames alone add, and BOLD in time.

The response to a clip is a static part, what its frames evoke one by one, plus a motion part, which only hMT
has (:mod:`neurovis.datasets.simulated.motion`). Clips of one sampling interval follow each other in segments;
the series of a run is, in percent of the baseline,

    h * (static + motion) + noise_sd e,

with h a haemodynamic response of unit sum and e autocorrelated noise with the subject's spatial correlation.
The parts are known, so their shares in the variance are, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import signal

from neurovis.core import NeuralData, StimulusSet, check_array, import_optional, make_neural_data, make_rng
from neurovis.datasets.simulated.anatomy import REGIONS
from neurovis.datasets.simulated.betas import SMOOTH_SHARE, make_noise_smoothing
from neurovis.datasets.simulated.early import FIELD_DVA, prepare_images
from neurovis.datasets.simulated.responses import ResponseModel
from neurovis.datasets.simulated.subject import SimulatedSubject
from neurovis.io.video import check_frame_rate, read_movie

PARTS = ("static", "motion")

_HRF_LENGTH_S = 32.0
_HRF_STEPS = 16  # per sampling interval


@dataclass(frozen=True)
class MovieResponses:
    """Noise-free responses to clips, part by part.

    Parameters
    ----------
    subject : SimulatedSubject
        Whose responses they are.
    stimulus_ids : tuple of str
        Clips.
    parts : array of shape (2, n_clips, n_vertices)
        Static and motion part [percent signal change]; their sum is the response.
    """

    subject: SimulatedSubject
    stimulus_ids: tuple[str, ...]
    parts: NDArray[np.float32]

    def arrange(self, clips: Sequence[str], *, t_r: float | None = None) -> NDArray[np.float64]:
        """Parts (2, n, n_vertices) of clips in order; with ``t_r``, as the BOLD response to one each [s].

        Raises
        ------
        KeyError
            Naming a clip without responses.
        """
        place = {stimulus_id: row for row, stimulus_id in enumerate(self.stimulus_ids)}
        unknown = [clip for clip in clips if clip not in place]
        if unknown:
            raise KeyError(f"no responses to clip {unknown[0]!r} ({len(unknown)} are unknown)")
        parts = self.parts[:, [place[clip] for clip in clips]].astype(np.float64)
        if t_r is None:
            return parts
        kernel = make_hrf_kernel(t_r)
        return signal.oaconvolve(parts, kernel[None, :, None], axes=1)[:, : len(clips)]

    def compute_shares(
        self, segments: Mapping[str, Sequence[str]] | None = None, *, t_r: float | None = None
    ) -> xr.DataArray:
        """True share of each part in the variance of the response.

        Parameters
        ----------
        segments : mapping of str to sequence of str, optional
            Clips of each segment, over which the variance is taken; by default all clips once.
        t_r : float, optional
            Take the variance of the BOLD series instead of that of the clips' responses [s].

        Returns
        -------
        xarray.DataArray of dims ("space", "neuroid")
            ``cov(part, response) / var(response)``, which sums to 1 over ``static`` and ``motion``: what the
            product measure (:func:`neurovis.metrics.partitioning.compute_product_measure`) gives for a model
            that knows both parts. NaN in silent vertices. Coordinates ``neuroid_id`` and ``region``.
        """
        lists = [list(self.stimulus_ids)] if segments is None else list(segments.values())
        series = [self.arrange(clips, t_r=t_r) for clips in lists]
        parts = np.concatenate([part - part.mean(axis=1, keepdims=True) for part in series], axis=1)
        response = parts.sum(axis=0)
        power = (response**2).sum(axis=0)
        shares = np.full((2, parts.shape[2]), np.nan)
        np.divide((parts * response).sum(axis=1), power, out=shares, where=power > 0)
        table = self.subject.table
        coords = {
            "space": ("space", list(PARTS)),
            "neuroid_id": ("neuroid", self.subject.neuroid_ids),
            "region": ("neuroid", table["region"].to_numpy(dtype=str)),
        }
        return xr.DataArray(shares, dims=("space", "neuroid"), coords=coords)


def select_regions(subject: SimulatedSubject, regions: Sequence[str]) -> SimulatedSubject:
    """The subject with the vertices of some regions only, silent ones included.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject`.
    regions : sequence of str
        Names of regions, e.g. ``("V1", "hMT")``.

    Raises
    ------
    ValueError
        If a region is unknown or there is none.
    """
    unknown = sorted(set(regions) - set(REGIONS))
    if unknown or not len(regions):
        raise ValueError(f"regions must be among {sorted(REGIONS)}, at least one, got {list(regions)}.")
    kept = subject.table[subject.table["region"].isin(list(regions))].reset_index(drop=True)
    return SimulatedSubject(subject.subject, subject.seed, kept)


def compute_movie_responses(subject: SimulatedSubject, stimuli: StimulusSet) -> MovieResponses:
    """Static and motion part of the responses to every clip.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject` or :func:`select_regions`.
    stimuli : StimulusSet
        Movies with ``fps``.

    Returns
    -------
    MovieResponses
        The sum of the parts is what :func:`compute_true_responses` gives.

    Raises
    ------
    ValueError
        If the set holds images or single frames, has another frame rate than a file, or frames lie on their
        side.
    """
    torch = import_optional("torch", extra="torch")
    fps, model = check_frame_rate(stimuli), ResponseModel(subject)
    parts = np.zeros((2, len(stimuli), subject.n_vertices), dtype=np.float32)
    with torch.no_grad():
        for row, stimulus_id in enumerate(stimuli.stimulus_ids):
            movie = read_movie(stimuli, stimulus_id, minimum_frames=2)
            frames = prepare_images(movie, size_dva=stimuli.size_dva)
            split = model.split_movie(frames, fps=fps, size_dva=(FIELD_DVA, FIELD_DVA))
            parts[:, row] = [part.numpy() for part in split]
    return MovieResponses(subject, tuple(stimuli.stimulus_ids), parts)


def make_hrf_kernel(t_r: float) -> NDArray[np.float64]:
    """Response of each sample to a neural response that lasts the first one, (n,), in units of its height.

    Glover's (NeuroImage 1999) double gamma of :mod:`nilearn`, integrated over the sampling interval; sums to
    1, so that a steady response stays as it is.

    Parameters
    ----------
    t_r : float
        Sampling interval [s].
    """
    check_array("t_r", t_r, ndim=0, minimum=1e-3, remedy="pass the repetition time in seconds")
    hrf = import_optional("nilearn.glm.first_level.hemodynamic_models", extra="fmri")
    fine = hrf.glover_hrf(t_r, oversampling=_HRF_STEPS, time_length=_HRF_LENGTH_S)
    box = np.convolve(fine, np.ones(_HRF_STEPS))
    # A sample is read in the middle of its interval.
    kernel = box[_HRF_STEPS // 2 :: _HRF_STEPS]
    return kernel / kernel.sum()


def simulate_movie_runs(
    responses: MovieResponses,
    segments: Mapping[str, Sequence[str]],
    *,
    n_repeats: int | Mapping[str, int],
    t_r: float,
    seed: int,
    noise: float = 1.0,
    ar1: float = 0.3,
    drift: float = 1.0,
) -> NeuralData:
    """BOLD series of runs that each show one segment, one clip for each sample.

    Parameters
    ----------
    responses : MovieResponses
        From :func:`compute_movie_responses`.
    segments : mapping of str to sequence of str
        Clips of each segment in order.
    n_repeats : int or mapping of str to int
        Runs of each segment.
    t_r : float
        Sampling interval and length of a clip [s].
    seed : int
        Of the noise.
    noise : float
        Standard deviation of a sample's noise in units of the subject's trial noise.
    ar1 : float
        Autocorrelation of the noise at one sample, in (-1, 1).
    drift : float
        Height of a slow wave, half a period in a run, in the same units.

    Returns
    -------
    NeuralData
        Rows "time" with ``stimulus_id`` (the segment), ``run`` (from 1), ``repeat`` (from 0) and ``time``
        [s from the start of the run]; attribute ``t_r`` [s]. float32 [percent].

    Raises
    ------
    ValueError
        If there is no segment, a number of repeats is below 1 or a level is out of range.
    KeyError
        Naming a clip without responses.
    """
    counts = {name: n_repeats if isinstance(n_repeats, int) else n_repeats[name] for name in segments}
    if not counts or min(counts.values()) < 1 or not -1 < ar1 < 1 or min(noise, drift) < 0:
        raise ValueError(
            "segments must not be empty, n_repeats at least 1, ar1 in (-1, 1), noise and drift at least 0, "
            f"got {len(counts)} segments, {min(counts.values(), default=0)}, {ar1}, {noise} and {drift}."
        )
    subject = responses.subject
    smoothing = make_noise_smoothing(subject)
    noise_sd = subject.table["noise_sd"].to_numpy()
    # Repeats of a segment lie apart, as in experiments.
    order = [(name, repeat) for repeat in range(max(counts.values())) for name in segments
             if repeat < counts[name]]  # fmt: skip
    values, rows = [], []
    for run, (name, repeat) in enumerate(order, start=1):
        clean = responses.arrange(segments[name], t_r=t_r).sum(axis=0)
        rng = make_rng(seed, "movie noise", subject.subject, name, repeat)
        shape = (len(clean), smoothing.shape[1] + subject.n_vertices)
        white = rng.standard_normal(shape)
        white[1:] *= np.sqrt(1 - ar1**2)  # the first sample is stationary already
        coloured = signal.lfilter([1.0], [1.0, -ar1], white, axis=0)
        shared, private = coloured[:, : smoothing.shape[1]], coloured[:, smoothing.shape[1] :]
        error = np.sqrt(SMOOTH_SHARE) * (smoothing @ shared.T).T + np.sqrt(1 - SMOOTH_SHARE) * private
        wave = np.cos(np.pi * (np.arange(len(clean)) + 0.5) / len(clean))
        slow = drift * rng.standard_normal(subject.n_vertices) * wave[:, None]
        values.append(clean + noise_sd * (noise * error + slow))
        rows.append(
            pd.DataFrame(
                {"stimulus_id": name, "run": run, "repeat": repeat, "time": np.arange(len(clean)) * t_r}
            )
        )
    table = pd.concat(rows, ignore_index=True)
    regions = subject.table
    return make_neural_data(
        np.concatenate(values).astype(np.float32),
        rows="time",
        row_coords={
            "stimulus_id": table["stimulus_id"].to_numpy(dtype=str),
            **{name: table[name].to_numpy() for name in ("run", "repeat", "time")},
        },
        neuroid_coords={
            "neuroid_id": np.array(subject.neuroid_ids),
            "subject": np.full(subject.n_vertices, subject.subject),
            "hemisphere": regions["hemisphere"].to_numpy(dtype=str),
            "region": regions["region"].to_numpy(dtype=str),
        },
        units="percent",
        source=f"simulated cortex, subject seed {subject.seed}, seed {seed}",
        t_r=float(t_r),
    )
