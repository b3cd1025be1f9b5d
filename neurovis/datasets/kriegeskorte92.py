"""The 92-image set: dissimilarities in human IT, in human judgements and in models, with the images.

Kriegeskorte et al. (2008) Matching categorical object representations in inferior temporal cortex of man and
monkey. Neuron 60:1126-1141; Mur et al. (2013) Human object-similarity judgments. Frontiers in Psychology
4:128. Response patterns are not part of the release, only dissimilarities (1 - Pearson r).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_array, check_option
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.images import write_images_once
from neurovis.io.arrays import read_mat, read_npz

NAME = "kriegeskorte92"
SUBJECTS = ("BE", "KO", "SN")
SESSIONS = (1, 2)
N_IMAGES = 92
_SIZE_DVA = (2.9, 2.9)  # Kriegeskorte et al. (2008), experimental procedures: 175 px, 2.9 degrees
_FLAGS = ("category", "human", "face", "animal", "natural")


@dataclass(frozen=True)
class Kriegeskorte92:
    """Images and dissimilarities, all in the same order of images.

    Parameters
    ----------
    stimuli : StimulusSet
        92 images with ``category`` and the 0/1 columns ``human``, ``face``, ``animal``, ``natural``.
    brain : dict of str to array of shape (2, 92, 92)
        Human IT, subject -> one dissimilarity matrix for each session.
    judgements : array of shape (10, 92, 92)
        Multi-arrangement judgements, one matrix for each person.
    models : dict of str to array of shape (92, 92)
        Model name -> dissimilarity matrix.
    """

    stimuli: StimulusSet
    brain: Mapping[str, NDArray[np.float64]]
    judgements: NDArray[np.float64]
    models: Mapping[str, NDArray[np.float64]]


def load_kriegeskorte92(
    *, subject: str | None = None, root: str | Path | None = None, cache: str | Path | None = None
) -> Kriegeskorte92:
    """Read images and dissimilarity matrices.

    Parameters
    ----------
    subject : {"BE", "KO", "SN"}, optional
        Restricts ``brain``; default: all three.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    cache : path, optional
        Where the images are written once; as in :func:`neurovis.core.find_cache_root`.

    Raises
    ------
    FileNotFoundError
        If the data set or a file is missing.
    ValueError
        If a file is truncated, foreign, or a matrix is not a dissimilarity matrix of 92 images.
    """
    wanted = SUBJECTS if subject is None else (check_option("subject", subject, SUBJECTS),)
    folder = find_dataset(NAME, root)
    brain = _read_rdms(folder / "92_brainRDMs.mat")
    labels = [f"hIT | {name} | Session: {session}" for name in SUBJECTS for session in SESSIONS]
    if list(brain) != labels:
        raise ValueError(f"92_brainRDMs.mat must name its matrices {labels}, got {list(brain)}.")
    matrices = np.stack(list(brain.values())).reshape(len(SUBJECTS), len(SESSIONS), N_IMAGES, N_IMAGES)
    by_subject = {name: matrices[SUBJECTS.index(name)] for name in wanted}
    judgements = _read_rdms(folder / "92_behavRDMs.mat")
    found = read_npz(folder / "stimuli92.npz", ["images", *_FLAGS])
    images = check_array("images of stimuli92.npz", found["images"], shape=(N_IMAGES, None, None, 3))
    ids = pd.Index([f"niko{number:02d}" for number in range(1, N_IMAGES + 1)], name="stimulus_id")
    table = pd.DataFrame({flag: found[flag] for flag in _FLAGS}, index=ids)
    stimuli = write_images_once(images, table, name=NAME, size_dva=_SIZE_DVA, cache=cache)
    return Kriegeskorte92(
        stimuli, by_subject, np.stack(list(judgements.values())), _read_rdms(folder / "92_modelRDMs.mat")
    )


def _read_rdms(path: Path) -> dict[str, NDArray[np.float64]]:
    found = read_mat(path, ["RDM", "name"])
    names = [str(cell[0]) for cell in found["name"].ravel()]
    shape = (len(names), N_IMAGES, N_IMAGES)
    rdms = check_array(f"RDM of {path}", found["RDM"], shape=shape, dtype=float)
    diagonal = np.diagonal(rdms, axis1=1, axis2=2)
    if not np.allclose(rdms, rdms.transpose(0, 2, 1)) or not np.allclose(diagonal, 0, atol=1e-6):
        raise ValueError(f"RDM of {path} must be symmetric with a zero diagonal; restore the file.")
    return dict(zip(names, rdms, strict=True))
