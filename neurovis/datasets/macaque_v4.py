"""Spike counts of macaque V4 neurons to natural images, three sessions.

Cowley, Stan, Pillow & Smith (2023) Compact deep neural network models of visual cortex. bioRxiv
2023.11.22.568315. Sessions 190923 (animal WE) and 201025 (PE) hold means over about 14 and 12 repeats;
session 210325 (PE) holds single repeats, so only it has a noise ceiling.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import (
    NeuralData,
    StimulusSet,
    check_array,
    check_option,
    find_cache_root,
    make_neural_data,
)
from neurovis.datasets.cards import find_dataset
from neurovis.io import atomic_path, read_stimulus_set, write_stimulus_table

NAME = "macaque_v4"
SESSIONS = {"190923": "WE", "201025": "PE", "210325": "PE"}
_WINDOW_S = 0.1
# The visual angle does not come with the files: a nominal size, not to be used for receptive fields.
_SIZE_DVA = (5.0, 5.0)


def load_macaque_v4(
    *, subject: str | None = None, root: str | Path | None = None, cache: str | Path | None = None
) -> tuple[StimulusSet, NeuralData]:
    """Read the images and the spike counts of one session.

    Parameters
    ----------
    subject : {"190923", "201025", "210325"}, optional
        Session (each has its own neurons and images); the first by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    cache : path, optional
        Where the images are unpacked once; as in :func:`neurovis.core.find_cache_root`.

    Returns
    -------
    stimuli : StimulusSet
        RGB images of 112 x 112 px, ids ``"<session>-NNNN"`` with NNNN from 0001.
    responses : NeuralData
        Spikes per second in a 100 ms window; rows ``"presentation"`` with repeats in session 210325, rows
        ``"stimulus"`` (means over repeats) in the others.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If a file is truncated or images and responses do not match in number.
    """
    session = check_option("subject", subject or "190923", SESSIONS, remedy="a subject is a session here")
    folder = find_dataset(NAME, root)
    stimuli = _unpack_images(folder / "images" / f"images_{session}.zip", session, cache)
    raw = folder / "responses_raw" / f"responses_{session}.npy"
    if raw.is_file():
        responses = _make_presentations(_read_npy(raw, 3), session, stimuli)
    else:
        means = _read_npy(folder / "responses_repeat_averaged" / f"responses_{session}.npy", 2)
        _check_count(means.shape[1], stimuli, raw.name)
        responses = make_neural_data(
            means.T / _WINDOW_S,
            rows="stimulus",
            row_coords={"stimulus_id": stimuli.stimulus_ids},
            neuroid_coords=_describe_neurons(session, len(means)),
            units="spikes/s",
            source=NAME,
        )
    return stimuli, responses


def _make_presentations(counts: NDArray, session: str, stimuli: StimulusSet) -> NeuralData:
    """(neurons, images, repeats) with NaN where an image had fewer repeats, to one row per trial."""
    _check_count(counts.shape[1], stimuli, f"responses_{session}.npy")
    image, repeat = np.nonzero(~np.isnan(counts).any(0))
    return make_neural_data(
        counts[:, image, repeat].T / _WINDOW_S,
        rows="presentation",
        row_coords={
            "stimulus_id": np.asarray(stimuli.stimulus_ids)[image],
            "repeat": repeat,
            "session": np.full(len(image), session),
        },
        neuroid_coords=_describe_neurons(session, len(counts)),
        units="spikes/s",
        source=NAME,
    )


def _describe_neurons(session: str, n_neurons: int) -> dict[str, NDArray]:
    return {
        "neuroid_id": np.array([f"{session}-{neuron}" for neuron in range(n_neurons)]),
        "subject": np.full(n_neurons, SESSIONS[session]),
        "region": np.full(n_neurons, "V4"),
    }


def _check_count(n_images: int, stimuli: StimulusSet, name: str) -> None:
    if n_images != len(stimuli):
        raise ValueError(
            f"{name} must hold responses to the {len(stimuli)} images of the archive, got {n_images}; "
            "get the session's files again."
        )


def _read_npy(path: Path, ndim: int) -> NDArray[np.float64]:
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is truncated or not a NumPy file ({error}); get it again.") from error
    return check_array(str(path), found, ndim=ndim, finite=False, dtype=float)


def _unpack_images(path: Path, session: str, cache: str | Path | None) -> StimulusSet:
    """JPEG files as they are, once; the folder's name carries what was unpacked."""
    folder = find_cache_root(cache) / "stimuli" / f"{NAME}-{session}-{path.stat().st_size}"
    if not (folder / "stimuli.json").is_file():
        try:
            with zipfile.ZipFile(path) as archive, atomic_path(folder) as temporary:
                temporary.mkdir()
                names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
                rows = []
                for name in names:
                    stem = PurePosixPath(name).stem
                    (temporary / f"{stem}.jpg").write_bytes(_check_jpeg(archive.read(name), name))
                    rows.append((f"{session}-{stem.removeprefix('image')}", f"{stem}.jpg"))
                table = pd.DataFrame(rows, columns=["stimulus_id", "path"]).set_index("stimulus_id")
                write_stimulus_table(StimulusSet(f"{NAME}-{session}", table, temporary, _SIZE_DVA))
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is truncated or not a zip archive ({error}); get it again.") from error
    return read_stimulus_set(folder)


def _check_jpeg(content: bytes, name: str) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        if image.format != "JPEG":
            raise ValueError(f"{name} must be a JPEG image, got {image.format}; get the archive again.")
    return content
