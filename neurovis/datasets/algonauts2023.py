"""Algonauts 2023: the Natural Scenes Dataset as a challenge, on the vertices of the average brain.

Gifford, Lahner, Saba-Sadiya, Vilas, Lascelles, Oliva, Kay, Roig & Cichy (2023) The Algonauts Project 2023
challenge: how the human brain makes sense of natural scenes. arXiv 2301.03198. The responses are those of
Allen et al. (2022), Nature Neuroscience 25:116-126, z-scored within sessions, repeats averaged, in every
vertex of ``nsdgeneral`` and of a retrosplenial region beside it. Test images were shown in the last three
sessions only. Score: :func:`neurovis.evaluation.algonauts.compute_challenge_score`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import NeuralData, StimulusSet, check_array, check_option, make_neural_data
from neurovis.datasets.cards import find_dataset
from neurovis.io.npy_mapping import read_npy_mapping

NAME = "algonauts2023"
SUBJECTS = tuple("12345678")
SIZE_DVA = (8.4, 8.4)
REGIONS = ("prf-visualrois", "floc-bodies", "floc-faces", "floc-places", "floc-words", "streams")
UNLABELLED = "none"
HEMISPHERES = {"left": "lh", "right": "rh"}
SPLITS = {"train": "training", "test": "test"}
RELEASE = "Algonauts 2023 challenge data"
RULE = (
    "train: images of the sessions before the subject's last three; test: images whose trials all fall in "
    "the last three and that train no other subject"
)
_N_VERTICES = 163_842
_IMAGE = re.compile(r"(?P<split>train|test)-(?P<rank>\d{4})_nsd-(?P<nsd_id>\d{5})\.png")


def load_algonauts2023(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    regions: Sequence[str] = REGIONS,
    invalid: str = "raise",
) -> tuple[StimulusSet, NeuralData]:
    """Read images and responses of one subject.

    Parameters
    ----------
    subject : {"1", ..., "8"}, optional
        "1" by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`; the folder holds ``subj01`` to ``subj08``.
    regions : sequence of str
        Classes of regions that name the vertices, the first one first; of ``"prf-visualrois"``,
        ``"floc-bodies"``, ``"floc-faces"``, ``"floc-places"``, ``"floc-words"`` and ``"streams"``.
    invalid : {"raise", "drop"}
        Refuse vertices that hold NaN, or leave them out.

    Returns
    -------
    stimuli : StimulusSet
        All images, ``nsd_00013`` for ``train-0001_nsd-00013.png``. Columns ``split`` ("train", "test"),
        ``rank`` (within the split, from 1) and ``nsd_id`` (from 0).
    responses : NeuralData
        Rows "stimulus", float32, z-scored by the authors. Rows of test images are there if their responses
        are (``test_fmri``, given out after the challenge); else the responses are of the training images
        only. Row coordinate ``split`` ("train", "test"). Neuroid coordinates ``hemisphere``, ``vertex`` (of
        fsaverage, within the hemisphere), ``region``: the first region in the order of ``regions`` or "none",
        a flag ``in_<region>`` for each region, and, if its file is there, ``noise_ceiling``: the share of the
        variance of the *test* responses that the images drive (0-1), with the test images' own mixture of
        repeats; it says nothing about training responses. Attributes of both: ``release``, ``rule``.

    Raises
    ------
    FileNotFoundError
        If the data set or one of its files is missing.
    ValueError
        If a choice is unknown; if a file has another name, shape, dtype or range than published; if numbers
        of images, responses and vertices disagree; or if an image is in both splits.

    Notes
    -----
    Session-wise z-scoring by the authors used all trials of a session; training and test images come from
    different sessions, so nothing of the test set is in the training responses. How many repeats each mean
    holds is not given out, hence no ``n_repeats``.
    """
    subject = check_option("subject", subject or "1", SUBJECTS)
    check_option("invalid", invalid, ("raise", "drop"))
    for name in regions:
        check_option("regions", name, REGIONS)
    folder = find_dataset(NAME, root) / f"subj0{subject}"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no folder of subject {subject} at {folder}; get it from the challenge's page."
        )
    table = pd.concat([_list_images(folder, split) for split in SPLITS])
    both = table.index[table.index.duplicated()]
    if len(both):
        raise ValueError(
            f"images of {folder.name} must be in one split, got {len(both)} in both, the first is {both[0]}; "
            "get the folders again."
        )
    neuroids = _describe_vertices(folder, subject, regions)
    values, splits = _read_responses(folder, table, neuroids["hemisphere"])
    ceiling = _read_noise_ceiling(folder, neuroids["hemisphere"])
    if ceiling is not None:
        neuroids["noise_ceiling"] = ceiling
    # NaN and infinity stay in a sum, which needs no second array of this size.
    valid = np.isfinite(values.sum(axis=0, dtype=np.float64))
    if not valid.all():
        if invalid == "raise" or not valid.any():
            raise ValueError(
                f"responses of {folder.name} must be finite, got NaN or infinity in {int((~valid).sum())} of "
                f"{len(valid)} vertices; pass invalid='drop' to leave them out."
            )
        values, neuroids = values[:, valid], {name: coord[valid] for name, coord in neuroids.items()}
    record = {"release": RELEASE, "rule": RULE}
    table.attrs.update(record)
    shown = table[table["split"].isin(splits)]
    responses = make_neural_data(
        values,
        rows="stimulus",
        row_coords={
            "stimulus_id": shown.index.to_numpy(dtype=str),
            "split": shown["split"].to_numpy(dtype=str),
        },
        neuroid_coords=neuroids,
        units="z",
        source=NAME,
        space="fsaverage",
        **record,
    )
    stimuli = StimulusSet(f"{NAME}-{subject}", table, folder, SIZE_DVA)
    return stimuli, responses


def _list_images(folder: Path, split: str) -> pd.DataFrame:
    long = SPLITS[split]
    images = folder / f"{long}_split" / f"{long}_images"
    found = sorted(path.name for path in images.glob("*.png"))
    if not found:
        raise FileNotFoundError(f"no images at {images}; check that the data set is complete.")
    rows = []
    for place, name in enumerate(found, start=1):
        match = _IMAGE.fullmatch(name)
        if match is None or match["split"] != split or int(match["rank"]) != place:
            raise ValueError(
                f"images of {images} must be {split}-0001_nsd-*.png and so on without a gap, got {name} in "
                f"place {place}; get the folder again."
            )
        rows.append(
            {
                "stimulus_id": f"nsd_{match['nsd_id']}",
                "path": str((images / name).relative_to(folder)),
                "split": split,
                "rank": place,
                "nsd_id": int(match["nsd_id"]),
            }
        )
    return pd.DataFrame(rows).set_index("stimulus_id")


def _describe_vertices(folder: Path, subject: str, regions: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Coordinates of the vertices of both hemispheres, left first."""
    masks = folder / "roi_masks"
    sides: dict[str, NDArray[np.intp]] = {}
    for side, short in HEMISPHERES.items():
        path = masks / f"{short}.all-vertices_fsaverage_space.npy"
        mask = check_array(str(path), _read_npy(path), shape=(_N_VERTICES,), minimum=0, maximum=1)
        sides[side] = np.flatnonzero(mask)
    names = [f"{subject}-{HEMISPHERES[side]}-{v}" for side, vertices in sides.items() for v in vertices]
    n_neuroids = len(names)
    region = np.full(n_neuroids, UNLABELLED, dtype=object)
    flags: dict[str, NDArray[Any]] = {}
    for collection in regions:
        labels = np.concatenate([_read_labels(masks, collection, side, sides[side]) for side in sides])
        mapping = read_npy_mapping(masks / f"mapping_{collection}.npy")
        unknown = sorted(set(np.unique(labels).tolist()) - {0, *mapping})
        if unknown:
            raise ValueError(
                f"mapping_{collection}.npy must name every label of {masks}, got none for {unknown}; get the "
                "folder again."
            )
        for number, name in mapping.items():
            if number != 0:
                inside = labels == number
                flags[f"in_{name}"] = flags.get(f"in_{name}", np.zeros(n_neuroids, dtype=bool)) | inside
                region[inside & (region == UNLABELLED)] = name
    return {
        "neuroid_id": np.array(names),
        "subject": np.full(n_neuroids, subject),
        "region": region.astype(str),
        "hemisphere": np.repeat(list(sides), [len(vertices) for vertices in sides.values()]),
        "vertex": np.concatenate(list(sides.values())),
        **flags,
    }


def _read_labels(masks: Path, collection: str, side: str, vertices: NDArray[np.intp]) -> NDArray[Any]:
    """Label numbers of one hemisphere's vertices; their order is checked against the whole surface."""
    short = HEMISPHERES[side]
    path = masks / f"{short}.{collection}_challenge_space.npy"
    labels = check_array(str(path), _read_npy(path), shape=vertices.shape)
    whole = masks / f"{short}.{collection}_fsaverage_space.npy"
    if not np.array_equal(check_array(str(whole), _read_npy(whole), shape=(_N_VERTICES,))[vertices], labels):
        raise ValueError(
            f"{path} must hold the labels of {whole.name} at the vertices of {short}.all-vertices, got "
            "others; get the folder again."
        )
    return labels.astype(np.int64)


def _read_responses(
    folder: Path, table: pd.DataFrame, hemisphere: NDArray[Any]
) -> tuple[NDArray[np.float32], list[str]]:
    """Responses of both hemispheres, training images first, and the splits that have them."""
    paths = {
        split: [
            folder / f"{long}_split" / f"{long}_fmri" / f"{short}_{long}_fmri.npy"
            for short in HEMISPHERES.values()
        ]
        for split, long in SPLITS.items()
    }
    # Test responses came after the challenge; half of them is a broken download.
    splits = ["train", "test"] if any(path.is_file() for path in paths["test"]) else ["train"]
    n_images = {split: int((table["split"] == split).sum()) for split in splits}
    values = np.empty((sum(n_images.values()), len(hemisphere)), dtype=np.float32)
    start = 0
    for split in splits:
        stop = start + n_images[split]
        for side, path in zip(HEMISPHERES, paths[split], strict=True):
            here = hemisphere == side
            part = _read_npy(path)
            if part.dtype != np.float32:
                raise ValueError(f"{path} must hold float32, got {part.dtype}; get it again.")
            wanted = (n_images[split], int(here.sum()))
            values[start:stop, here] = check_array(str(path), part, shape=wanted, finite=False)
        start = stop
    return values, splits


def _read_noise_ceiling(folder: Path, hemisphere: NDArray[Any]) -> NDArray[np.float64] | None:
    paths = [
        folder / "test_split" / "noise_ceiling" / f"{short}_noise_ceiling.npy"
        for short in HEMISPHERES.values()
    ]
    if not any(path.is_file() for path in paths):
        return None
    parts = [
        check_array(
            str(path),
            _read_npy(path),
            shape=(int((hemisphere == side).sum()),),
            minimum=0,
            maximum=1,
            dtype=np.float64,
            remedy="the ceiling is a share of variance, not percent",
        )
        for side, path in zip(HEMISPHERES, paths, strict=True)
    ]
    return np.concatenate(parts)


def _read_npy(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}; check that the data set is complete.")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is truncated or not a NumPy file ({error}); get it again.") from error
