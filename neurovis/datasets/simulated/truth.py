"""What is known about simulated data and hidden from analyses: tuning, noise-free responses, ceilings.

Only scoring code reads it. It has its own type and files, which readers of neural data refuse.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_array, check_option
from neurovis.datasets.simulated.subject import SimulatedSubject
from neurovis.io import atomic_path, read_json, read_table, write_json, write_table
from neurovis.stimuli.world import CATEGORIES

_FORMAT = "simulated_truth"


@dataclass(frozen=True)
class SimulatedTruth:
    """Truth of one subject for one stimulus set.

    Parameters
    ----------
    subject : SimulatedSubject
        Tuning, regions, silent vertices, noise.
    stimulus_ids : tuple of str
        Rows of ``responses``.
    responses : array of shape (n_stimuli, n_vertices)
        Noise-free responses [percent].
    parameters : dict
        What the data were simulated with, e.g. seed, sessions and repeats.
    """

    subject: SimulatedSubject
    stimulus_ids: tuple[str, ...]
    responses: NDArray[np.float32]
    parameters: dict[str, Any]

    def select(self, stimulus_ids: Sequence[str]) -> NDArray[np.float32]:
        """Noise-free responses to some stimuli, in that order; KeyError names an unknown one."""
        position = {stimulus_id: row for row, stimulus_id in enumerate(self.stimulus_ids)}
        unknown = [item for item in stimulus_ids if item not in position]
        if unknown:
            raise KeyError(f"the truth holds no stimulus {unknown[0]!r} ({len(unknown)} are unknown)")
        return self.responses[[position[item] for item in stimulus_ids]]


def compute_analytic_ceiling(
    subject: SimulatedSubject,
    responses: NDArray,
    *,
    n_repeats: int | Sequence[int] | NDArray,
    metric: str = "pearson_r",
    noise_sd: NDArray | None = None,
) -> NDArray[np.float64]:
    """Best attainable score of a prediction of the mean over repeats.

    With signal variance S over the given stimuli and noise variance N of a trial, the share of variance of
    the mean of n trials that is signal is NC = S / (S + N / n); with unequal repeats N / n becomes N times
    the mean of 1 / n (Allen et al. 2022, Methods). A perfect prediction reaches r = sqrt(NC) and
    r^2 = R^2 = NC.

    Parameters
    ----------
    subject : SimulatedSubject
        From :func:`make_subject`.
    responses : array of shape (n_stimuli, n_vertices)
        Noise-free responses to the stimuli that are scored, from :func:`compute_true_responses`.
    n_repeats : int or sequence of int of length n_stimuli
        Trials averaged for each stimulus.
    metric : {"pearson_r", "r2"}
        Unit of the ceiling.
    noise_sd : array of shape (n_vertices,), optional
        Noise of a trial [percent] if it is not the subject's own, e.g. of betas estimated from time series.

    Returns
    -------
    array of shape (n_vertices,)
        In [0, 1]; zero in silent vertices.

    Raises
    ------
    ValueError
        If shapes do not fit, a repeat count is below 1 or the metric is unknown.

    Notes
    -----
    Exact for trials z-scored within sessions: this removes the sessions' gain and offset; drift within a
    session stays and is part of ``noise_sd``. Without z-scoring the sessions' differences add noise that
    is not in the formula. Repeats in the same session share a small part of their drift (8 % of the noise
    variance); :func:`make_trial_design` keeps repeats in different sessions while there are enough.
    """
    check_option("metric", metric, ("pearson_r", "r2"))
    responses = check_array("responses", responses, shape=(None, subject.n_vertices))
    repeats = np.broadcast_to(check_array("n_repeats", n_repeats, ndim=(0, 1), minimum=1), (len(responses),))
    if noise_sd is None:
        noise_sd = subject.table["noise_sd"].to_numpy()
    noise_sd = check_array("noise_sd", noise_sd, shape=(subject.n_vertices,), minimum=0)
    signal = responses.astype(np.float64).var(axis=0)
    noise = noise_sd.astype(np.float64) ** 2 * np.mean(1.0 / repeats)
    total = signal + noise
    explained = np.divide(signal, total, out=np.zeros_like(total), where=total > 0)
    return np.sqrt(explained) if metric == "pearson_r" else explained


def compute_category_preference(responses: NDArray, categories: Sequence[str]) -> pd.DataFrame:
    """Category with the largest mean response, for each vertex.

    Parameters
    ----------
    responses : array of shape (n_stimuli, n_vertices)
        Noise-free responses for the truth; the same function serves for measured ones.
    categories : sequence of str of length n_stimuli
        Dominant category of each stimulus.

    Returns
    -------
    pandas.DataFrame
        ``preferred`` (category; "" where all means are equal, as in silent vertices) and ``margin``: mean
        response to the preferred minus that to the next category, in standard deviations over stimuli.

    Raises
    ------
    ValueError
        If lengths differ, a category is unknown or there is only one.
    """
    responses = check_array("responses", responses, ndim=2).astype(np.float64)
    labels = np.asarray(categories, dtype=str)
    if len(labels) != len(responses):
        raise ValueError(
            f"categories must name one category per stimulus, got {len(labels)} for {len(responses)} rows."
        )
    present = [category for category in CATEGORIES if (labels == category).any()]
    for label in np.unique(labels):
        check_option("categories", label, CATEGORIES)
    if len(present) < 2:
        raise ValueError(f"categories must hold at least 2 different ones, got {present}; add stimuli.")
    means = np.stack([responses[labels == category].mean(axis=0) for category in present])
    ordered = np.sort(means, axis=0)
    spread = responses.std(axis=0)
    difference = ordered[-1] - ordered[-2]
    margin = np.divide(difference, spread, out=np.zeros_like(spread), where=spread > 0)
    preferred = np.where(margin > 0, np.array(present)[means.argmax(axis=0)], "")
    return pd.DataFrame({"preferred": preferred, "margin": margin})


def write_truth(
    folder: str | Path,
    subject: SimulatedSubject,
    *,
    stimulus_ids: Sequence[str],
    responses: NDArray,
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Write the truth of one subject: ``vertices.tsv``, ``responses.npz`` and, last, ``truth.json``.

    Parameters
    ----------
    folder : path
        Folder to fill; keep it apart from the data.
    subject : SimulatedSubject
        From :func:`make_subject`.
    stimulus_ids : sequence of str
        Rows of ``responses``.
    responses : array of shape (n_stimuli, n_vertices)
        From :func:`compute_true_responses`.
    parameters : mapping, optional
        What the data were simulated with; JSON-serialisable.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(folder)
    responses = check_array("responses", responses, shape=(len(stimulus_ids), subject.n_vertices))
    write_table(subject.table, folder / "vertices.tsv")
    with atomic_path(folder / "responses.npz") as temporary, temporary.open("wb") as stream:
        np.savez(
            stream, stimulus_id=np.array(stimulus_ids, dtype=str), responses=responses.astype(np.float32)
        )
    record = {
        "format": _FORMAT,
        "subject": subject.subject,
        "seed": subject.seed,
        "n_vertices": subject.n_vertices,
        "n_stimuli": len(stimulus_ids),
        "parameters": dict(parameters or {}),
    }
    write_json(record, folder / "truth.json")
    return folder


def read_truth(folder: str | Path) -> SimulatedTruth:
    """Read what :func:`write_truth` wrote.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is truncated, foreign or does not fit the others.
    """
    folder = Path(folder)
    record = read_json(folder / "truth.json")
    if record.get("format") != _FORMAT:
        raise ValueError(
            f"{folder / 'truth.json'} must describe a simulated truth, got format {record.get('format')!r}; "
            "check which folder was passed."
        )
    text = {"hemisphere": str, "region": str, "subdivision": str}
    table = read_table(folder / "vertices.tsv", required=("vertex", "region", "responsive"), dtype=text)
    table["subdivision"] = table["subdivision"].fillna("")
    path = folder / "responses.npz"
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; simulate the data again.")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            stimulus_ids, responses = archive["stimulus_id"], archive["responses"]
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is truncated or foreign ({error}); simulate the data again.") from error
    expected = (record["n_stimuli"], record["n_vertices"])
    if responses.shape != expected or len(table) != record["n_vertices"]:
        raise ValueError(
            f"{folder} must hold responses of shape {expected} as truth.json says, got {responses.shape} and "
            f"{len(table)} vertices; simulate the data again."
        )
    subject = SimulatedSubject(str(record["subject"]), int(record["seed"]), table)
    return SimulatedTruth(subject, tuple(stimulus_ids.tolist()), responses, record["parameters"])
