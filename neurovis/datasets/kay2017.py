"""Responses of word- and face-selective cortex (VWFA, FFA) to single images and to groups of images.

Kay & Yeatman (2017) Bottom-up and top-down computations in word- and face-selective cortex. eLife 6:e22341.
Experiment 2 (one person, fixation task) showed single images; experiment 1 (nine people) showed stimuli of
ten images each under several tasks, of which only the group means of two are part of the files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import NeuralData, StimulusSet, check_array, check_option, make_neural_data
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.images import write_images_once
from neurovis.io.arrays import read_npz

NAME = "kay2017"
REGIONS = ("VWFA", "FFA")
TASKS = ("fixation", "categorization")
CATEGORIES = ("WORD", "FACE", "OTHER")
N_STIMULI = 23
SIDE_PX = 384
_FRAME_PX = 750
_BACKGROUND = 127
# Experiment 1 states 240 px as 2 degrees. Experiment 2 does not state its scale, but its objects span the
# same 240 px, so the same scale is taken.
_PX_PER_DVA = 120.0
# Contrast is stated by the labels (relative to the full images); the series of faces starts from noise.
_CONTRAST_PERCENT = {
    f"{kind}CON{level}": level
    for kind, levels in {"FACE": (4, 6), "WORD": (3, 5), "NOISE": (4, 6)}.items()
    for level in levels
}
_COHERENCE_PERCENT = {
    "NOISE": 0,
    "FACEPH25": 25,
    "FACEPH50": 50,
    "WORDPH0": 0,
    "WORDPH25": 25,
    "WORDPH50": 50,
}
# Order of the 92 images of Kriegeskorte et al. (2008), by number of the last one of each kind.
_NIKO_KINDS = {12: "body", 24: "face", 36: "animal body", 48: "animal face", 71: "natural", 92: "artificial"}


def load_kay2017(
    *, subject: str | None = None, root: str | Path | None = None, cache: str | Path | None = None
) -> tuple[StimulusSet, NeuralData]:
    """Read images and responses of experiment 2.

    Parameters
    ----------
    subject : {"1"}, optional
        The only subject.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    cache : path, optional
        Where the images are written once; as in :func:`neurovis.core.find_cache_root`.

    Returns
    -------
    stimuli : StimulusSet
        80 grey images of 384 x 384 px, the middle of the frame of 750 px whose margin is background in every
        image; ids are the published labels. Columns ``kind`` ("face", "word", "noise", "animal face" ...),
        ``contrast_percent``, ``coherence_percent`` (phase coherence) and ``is_object`` (one of the 92
        photographs of Kriegeskorte et al. 2008).
    responses : NeuralData
        Rows ``"stimulus"``, mean percent BOLD change of VWFA and FFA; the coordinate ``standard_error`` has
        the shape of the values.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If the file is truncated, foreign, or an image leaves the middle of its frame.

    Notes
    -----
    The visual angle assumes 120 px per degree as in experiment 1: objects of both have the same size in px.
    """
    check_option("subject", subject or "1", ("1",), remedy="the file holds one person")
    path = find_dataset(NAME, root) / "experiment2.npz"
    found = read_npz(path, ["stimuli", "stim_labels", "roi_labels", "beta", "beta_se"])
    frames = check_array(f"stimuli of {path}", found["stimuli"], shape=(None, _FRAME_PX, _FRAME_PX))
    _check_labels(path, "roi_labels", found["roi_labels"], REGIONS)
    n = len(frames)
    beta = check_array(f"beta of {path}", found["beta"], shape=(n, len(REGIONS)), dtype=float)
    error = check_array(f"beta_se of {path}", found["beta_se"], shape=beta.shape, minimum=0, dtype=float)
    labels = _check_count(path, "stim_labels", found["stim_labels"], n)
    margin = (_FRAME_PX - SIDE_PX) // 2
    middle = (slice(None), slice(margin, margin + SIDE_PX), slice(margin, margin + SIDE_PX))
    drawn = frames != _BACKGROUND
    if drawn.sum() != drawn[middle].sum():
        raise ValueError(
            f"stimuli of {path} must be background ({_BACKGROUND}) outside their middle {SIDE_PX} px, got "
            "other values there; restore the file."
        )
    table = pd.DataFrame([_describe(label) for label in labels], index=pd.Index(labels, name="stimulus_id"))
    side_dva = SIDE_PX / _PX_PER_DVA
    stimuli = write_images_once(frames[middle], table, name=NAME, size_dva=(side_dva, side_dva), cache=cache)
    responses = make_neural_data(
        beta,
        rows="stimulus",
        row_coords={"stimulus_id": labels},
        neuroid_coords={
            "neuroid_id": [f"1-{region}" for region in REGIONS],
            "subject": np.full(len(REGIONS), "1"),
            "region": np.array(REGIONS),
        },
        units="percent",
        source=NAME,
    )
    return stimuli, responses.assign_coords(standard_error=(("stimulus", "neuroid"), error))


def load_kay2017_bootstraps(root: str | Path | None = None) -> NDArray[np.float64]:
    """Responses of experiment 2 on resampled trials.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.

    Returns
    -------
    array of shape (n_bootstraps, n_stimuli, 2)
        Percent BOLD change of VWFA and FFA, stimuli in the order of :func:`load_kay2017`.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_kay2017`.
    """
    path = find_dataset(NAME, root) / "experiment2.npz"
    found = read_npz(path, ["beta_boot", "stim_labels"])
    shape = (None, len(found["stim_labels"]), len(REGIONS))
    return check_array(f"beta_boot of {path}", found["beta_boot"], shape=shape, dtype=float)


def load_kay2017_experiment1(root: str | Path | None = None) -> xr.Dataset:
    """Group means of experiment 1 over nine people.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.

    Returns
    -------
    xarray.Dataset
        ``response`` and ``standard_error`` ("region", "task", "stimulus") and ``ips`` ("task", "stimulus"),
        the response of the intraparietal sulcus, NaN for the fixation task; all in percent BOLD change.
        Coordinates ``region``, ``task``, ``stimulus`` (1-23) and, along it, ``category``: "WORD", "FACE",
        "OTHER", or empty for the blank.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_kay2017`.
    """
    path = find_dataset(NAME, root) / "experiment1_group.npz"
    names = ["beta", "beta_se", "ips_beta", "task", "category", "roi_labels", "stimulus_number"]
    found = read_npz(path, names)
    _check_labels(path, "roi_labels", found["roi_labels"], REGIONS)
    _check_labels(path, "task", found["task"], TASKS)
    shape = (len(REGIONS), len(TASKS), N_STIMULI)
    beta = check_array(f"beta of {path}", found["beta"], shape=shape, dtype=float)
    error = check_array(f"beta_se of {path}", found["beta_se"], shape=shape, minimum=0, dtype=float)
    ips = check_array(f"ips_beta of {path}", found["ips_beta"], shape=shape[1:], finite=False, dtype=float)
    category = _check_count(path, "category", found["category"], N_STIMULI)
    if set(category) != {"", *CATEGORIES}:
        raise ValueError(f"category of {path} must hold {CATEGORIES} and '', got {sorted(set(category))}.")
    dims = ("region", "task", "stimulus")
    return xr.Dataset(
        {"response": (dims, beta), "standard_error": (dims, error), "ips": (dims[1:], ips)},
        coords={
            "region": list(REGIONS),
            "task": list(TASKS),
            "stimulus": found["stimulus_number"],
            "category": ("stimulus", category),
        },
        attrs={"units": "percent", "source": NAME},
    )


def _check_labels(path: Path, name: str, found: NDArray, wanted: tuple[str, ...]) -> None:
    if found.tolist() != list(wanted):
        raise ValueError(f"{name} of {path} must be {list(wanted)}, got {found.tolist()}; restore the file.")


def _check_count(path: Path, name: str, found: NDArray, n: int) -> NDArray[np.str_]:
    if found.shape != (n,):
        raise ValueError(f"{name} of {path} must have shape ({n},), got {found.shape}; restore the file.")
    return found.astype(str)


def _describe(label: str) -> dict[str, str | float | bool]:
    is_object = label.startswith("NIKO")
    if is_object:
        kind = next(kind for last, kind in _NIKO_KINDS.items() if int(label[4:]) <= last)
    else:
        kind = label.partition("CON")[0].partition("PH")[0].lower()
    return {
        "kind": kind,
        "contrast_percent": 0.0 if label == "BLANK" else float(_CONTRAST_PERCENT.get(label, 100)),
        # Only what belongs to a series of phase coherence has less than all of it.
        "coherence_percent": float(_COHERENCE_PERCENT.get(label, 0 if kind == "noise" else 100)),
        "is_object": is_object,
    }
