"""Generic object decoding (GOD): objects of 150 categories to learn from, of 50 new ones to be tested on.

Horikawa & Kamitani (2017) Generic decoding of seen and imagined objects using hierarchical visual features.
Nature Communications 8:15037. Images of 12 degrees, each shown for a block of 9 s: 1200 training images (8 of
each of 150 ImageNet categories) once, 50 test images of other categories 35 times; in another experiment the
50 categories were imagined. Files: ``Subject1.h5`` to ``Subject5.h5`` and ``ImageFeatures.h5``, in the format
of :mod:`neurovis.io.bdata`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurovis.core import (
    NeuralData,
    StimulusSet,
    align,
    average_repeats,
    check_array,
    check_neural_data,
    check_option,
    make_neural_data,
)
from neurovis.datasets.cards import find_dataset
from neurovis.io.bdata import BData, open_bdata
from neurovis.metrics.ceilings import compute_ncsnr
from neurovis.metrics.regression import pearson_r

NAME = "god"
SUBJECTS = tuple("12345")
SIZE_DVA = (12.0, 12.0)
AREAS = ("V1", "V2", "V3", "V4", "LOC", "FFA", "PPA")
UNIONS = ("LVC", "HVC", "VC")
UNLABELLED = "none"
TESTS = {"perception": 2, "imagery": 3}
ZSCORES = ("train", "none")
FEATURES = (
    *(f"cnn{number}" for number in range(1, 9)),
    *(f"hmax{number}" for number in range(1, 4)),
    "gist",
    "sift",
)
KINDS = {"images": (1, 2), "test_categories": (3,), "candidate_categories": (4,)}
RELEASE = "Generic Object Decoding, figshare 7387130"
RULES = {
    "perception": "50 images of 50 categories that are not among the 150 of the training images, viewed",
    "imagery": "the categories of the 50 test images, imagined; none is among the 150 of the training images",
}
OBTAIN = "the images are given out on request only, at https://forms.gle/ujvA34948Xg49jdn9"
_TRAINING = 1
_N_TRAINING, _N_OF_CATEGORY, _N_TEST, _N_PRESENTATIONS = 1200, 8, 50, 35
_LABELS = ("stimulus_id", "Label")  # the first since 2019
_logger = logging.getLogger(__name__)


def load_god(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    roi: str | Sequence[str] = "VC",
    test: str = "perception",
    rows: str = "stimulus",
    zscore: str = "train",
) -> tuple[StimulusSet, NeuralData]:
    """Read stimuli and responses of one subject.

    Parameters
    ----------
    subject : {"1", ..., "5"}, optional
        "1" by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    roi : str or sequence of str
        Voxels to read: "VC" (all of visual cortex), "LVC", "HVC", one of :data:`AREAS`, or the union of
        several.
    test : {"perception", "imagery"}
        Which test trials to read beside the training trials.
    rows : {"stimulus", "presentation"}
        Repeats averaged, or every block.
    zscore : {"train", "none"}
        Normalise each voxel with mean and standard deviation (n - 1) of the training trials, as the paper
        does, or not at all.

    Returns
    -------
    stimuli : StimulusSet
        Ids are ImageNet's names, ``n01443537_22563`` for the stored number 1443537.022563. Columns ``split``
        ("train", "test"), ``n_repeats`` and ``category`` (``n01443537``). The images are not part of the data
        set: loading one says where to ask for them; put them in ``images/training`` and ``images/test``.
    responses : NeuralData
        Mean of each block, float32. Rows "presentation" with ``repeat`` (from 0), ``run`` and ``block``, or
        rows "stimulus" with ``n_repeats``; in both ``data_type``: 1 for training, 2 for perception, 3 for
        imagery. Neuroid coordinates ``region`` (the first of :data:`AREAS` that holds the voxel, or "none"),
        a flag ``in_<region>`` for every region of the file, ``x, y, z`` [mm] if the file has them, and
        ``ncsnr`` from the repeated test trials. Attributes of both: ``release``, ``rule``,
        ``test_repeats``; of the responses ``n_voxels``, which is also logged: published counts of voxels
        differ between versions of the data.

    Raises
    ------
    FileNotFoundError
        If the data set is missing.
    ValueError
        If a choice is unknown; if the file is not laid out as published; if trials, stimuli, categories or
        repeats have other numbers; if stimulus numbers are not of double precision; or if a test category
        is among the training categories.

    Notes
    -----
    The file states no unit. The authors' preprocessing (relative to rest, in percent) makes it "percent".
    The number of imagery trials is taken as it is in the file.
    """
    subject = check_option("subject", subject or "1", SUBJECTS)
    check_option("test", test, TESTS)
    check_option("rows", rows, ("stimulus", "presentation"))
    check_option("zscore", zscore, ZSCORES)
    names = [roi] if isinstance(roi, str) else list(roi)
    for name in names:
        check_option("roi", name, (*UNIONS, *AREAS))
    folder = find_dataset(NAME, root)
    bdata = open_bdata(folder / f"Subject{subject}.h5")
    trials = _read_trials(bdata)
    trials = trials[trials["data_type"].isin((_TRAINING, TESTS[test]))]
    _check_trials(bdata.path, trials, test)
    table = _describe_stimuli(trials)
    columns = np.unique(np.concatenate([bdata.find_columns(f"ROI_{name}") for name in names]))
    _logger.info("%s: %d voxels in %s", bdata.path.name, len(columns), ", ".join(names))
    values = bdata.read(columns, rows=trials.index.to_numpy(), dtype=np.float32)
    values = check_array(f"voxels of {bdata.path}", values, remedy="get the file again")
    is_test = (trials["data_type"] != _TRAINING).to_numpy()
    neuroids = _describe_voxels(bdata, subject, columns)
    ids = trials["stimulus_id"].to_numpy(dtype=str)
    neuroids["ncsnr"] = compute_ncsnr(values[is_test], ids[is_test])
    if zscore == "train":
        values = _normalise(values, ~is_test)
    record = {"release": RELEASE, "rule": RULES[test], "test_repeats": _count_repeats(table)}
    table.attrs.update(record, obtain=OBTAIN)
    data = make_neural_data(
        values,
        rows="presentation",
        row_coords={"stimulus_id": ids}
        | {name: trials[name].to_numpy() for name in ("repeat", "run", "block", "data_type")},
        neuroid_coords=neuroids,
        units="z" if zscore == "train" else "percent",
        source=NAME,
        n_voxels=len(columns),
        zscore=zscore,
        **record,
    )
    stimuli = StimulusSet(f"{NAME}-{test}", table, folder, SIZE_DVA)
    if rows == "presentation":
        return stimuli, data
    means = average_repeats(data)
    is_test = means["stimulus_id"].isin(table.index[table["split"] == "test"])
    return stimuli, means.assign_coords(data_type=("stimulus", np.where(is_test, TESTS[test], _TRAINING)))


def read_god_features(layer: str, *, root: str | Path | None = None, kind: str = "images") -> xr.DataArray:
    """Read the published features of the stimuli.

    Parameters
    ----------
    layer : str
        One of :data:`FEATURES`: "cnn1" to "cnn8" (AlexNet; units drawn by the authors), "hmax1" to "hmax3",
        "gist", "sift".
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    kind : {"images", "test_categories", "candidate_categories"}
        Training and test images; means over other images of each test category; or means of the categories
        that compete in identification.

    Returns
    -------
    xarray.DataArray of dims ("stimulus", "feature")
        float32; ``stimulus_id`` is that of :func:`load_god` for images and the category (``n01443537``) for
        means. Attributes ``features`` ("god") and ``layer``.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_god`.
    """
    check_option("layer", layer, FEATURES)
    check_option("kind", kind, KINDS)
    bdata = open_bdata(find_dataset(NAME, root) / "ImageFeatures.h5")
    types = _read_column(bdata, "FeatureType")
    rows = np.flatnonzero(np.isin(types, KINDS[kind]))
    if not len(rows):
        raise ValueError(f"FeatureType of {bdata.path} must hold {KINDS[kind]}, got {np.unique(types)}.")
    if kind == "images":
        ids = _name_stimuli(_read_column(bdata, "ImageID")[rows], bdata.path)["stimulus_id"].to_numpy(
            dtype=str
        )
    else:
        ids = np.array([f"n{int(number):08d}" for number in _read_column(bdata, "CatID")[rows]])
    values = bdata.read(bdata.find_columns(layer), rows=rows, dtype=np.float32)
    return xr.DataArray(
        check_array(f"{layer} of {bdata.path}", values, remedy="get the file again"),
        dims=("stimulus", "feature"),
        coords={"stimulus_id": ("stimulus", ids)},
        attrs={"features": NAME, "layer": layer},
    )


def select_voxels(data: NeuralData, target: xr.DataArray, *, n_voxels: int) -> NDArray[np.intp]:
    """Voxels that follow each feature most closely over the training trials.

    Parameters
    ----------
    data : NeuralData
        From :func:`load_god`; only rows with ``data_type`` 1 are looked at.
    target : xarray.DataArray of dims ("stimulus", "feature")
        Features of the stimuli.
    n_voxels : int
        To keep for each feature. The paper takes 500 of an area and 1000 of VC, LVC or HVC.

    Returns
    -------
    array of shape (n_features, n_voxels)
        Positions along "neuroid", the largest absolute correlation first; fewer columns if ``data`` has fewer
        voxels.

    Raises
    ------
    ValueError
        If ``data`` has no ``data_type``, a training stimulus has no features, or ``n_voxels`` is below 1.
    """
    check_neural_data(data)
    if "data_type" not in data.coords:
        raise ValueError(
            "data must have the coordinate 'data_type' of load_god, got none; pass its responses."
        )
    if n_voxels < 1:
        raise ValueError(f"n_voxels must be at least 1, got {n_voxels}; the paper takes 500 of an area.")
    features, training = align(target, data[data["data_type"].values == _TRAINING])
    n_kept = min(n_voxels, training.sizes["neuroid"])
    chosen = np.empty((features.sizes["feature"], n_kept), dtype=np.intp)
    for unit, own in enumerate(features.values.T):
        r = np.abs(pearson_r(training.values, np.broadcast_to(own[:, None], training.shape)))
        chosen[unit] = np.argsort(-r, kind="stable")[:n_kept]
    return chosen


def _read_column(bdata: BData, key: str) -> NDArray[np.float64]:
    columns = bdata.find_columns(key)
    if len(columns) != 1:
        raise ValueError(f"{key!r} of {bdata.path} must be one column, got {len(columns)}; get it again.")
    return bdata.read(columns)[:, 0]


def _read_trials(bdata: BData) -> pd.DataFrame:
    label = next((key for key in _LABELS if key in bdata.metadata), _LABELS[0])
    trials = _name_stimuli(_read_column(bdata, label), bdata.path)
    trials["data_type"] = _to_whole(_read_column(bdata, "DataType"), "DataType", bdata.path)
    for name, key in (("run", "Run"), ("block", "Block")):
        # Files made before 2019 number the runs only.
        found = _read_column(bdata, key) if key in bdata.metadata else np.zeros(len(trials))
        trials[name] = _to_whole(found, key, bdata.path)
    trials["repeat"] = trials.groupby(["data_type", "stimulus_id"]).cumcount()
    return trials


def _to_whole(values: NDArray[np.float64], key: str, path: Path) -> NDArray[np.int64]:
    values = check_array(f"{key} of {path}", values, remedy="get the file again")
    if (values != np.rint(values)).any():
        raise ValueError(
            f"{key} of {path} must hold whole numbers, got {values[values != np.rint(values)][0]}."
        )
    return values.astype(np.int64)


def _name_stimuli(numbers: ArrayLike, path: Path) -> pd.DataFrame:
    """ImageNet's names from numbers "category.image", the image with six digits."""
    numbers = check_array(f"stimulus numbers of {path}", numbers, ndim=1, minimum=0)
    category = np.floor(numbers).astype(np.int64)
    scaled = (numbers - category) * 1e6
    image = np.rint(scaled).astype(np.int64)
    # Single precision has no digits left for the image.
    if (np.abs(scaled - image) > 0.01).any() or not image.all():
        worst = numbers[np.abs(scaled - image).argmax()]
        raise ValueError(
            f"stimulus numbers of {path} must be category.image with six digits, got {worst!r}; numbers cut "
            "to single precision have lost the image, get the file again."
        )
    names = [f"n{c:08d}" for c in category]
    ids = [f"{name}_{i}" for name, i in zip(names, image, strict=True)]
    return pd.DataFrame({"stimulus_id": ids, "category": names})


def _check_trials(path: Path, trials: pd.DataFrame, test: str) -> None:
    training = trials[trials["data_type"] == _TRAINING]
    tested = trials[trials["data_type"] != _TRAINING]
    per_category = training["category"].value_counts()
    repeats = tested["stimulus_id"].value_counts()
    wanted = {
        "training trials": (len(training), _N_TRAINING),
        "training images": (training["stimulus_id"].nunique(), _N_TRAINING),
        "training categories": (len(per_category), _N_TRAINING // _N_OF_CATEGORY),
        f"{test} stimuli": (len(repeats), _N_TEST),
        f"{test} categories": (tested["category"].nunique(), _N_TEST),
    }
    if test == "perception":
        wanted["perception trials"] = (len(tested), _N_TEST * _N_PRESENTATIONS)
    wrong = [f"{got} {name} instead of {want}" for name, (got, want) in wanted.items() if got != want]
    if wrong or repeats.min() != repeats.max():
        raise ValueError(
            f"{path} must hold the published trials, equally often for each test stimulus, got "
            f"{'; '.join(wrong) or f'{repeats.min()} to {repeats.max()} repeats'}; get it again."
        )
    shared = sorted(set(training["category"]) & set(tested["category"]))
    if shared:
        raise ValueError(
            f"test categories of {path} must not be among the training categories, got {len(shared)} that "
            f"are, the first is {shared[0]}; get it again."
        )


def _describe_stimuli(trials: pd.DataFrame) -> pd.DataFrame:
    table = trials.groupby("stimulus_id", sort=False).agg(
        n_repeats=("stimulus_id", "size"), category=("category", "first"), data_type=("data_type", "first")
    )
    table["split"] = np.where(table["data_type"] == _TRAINING, "train", "test")
    folder = table["split"].map({"train": "training", "test": "test"})
    table["path"] = [f"images/{place}/{name}.JPEG" for name, place in folder.items()]
    return table.drop(columns="data_type")


def _describe_voxels(bdata: BData, subject: str, columns: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    first = bdata.find_columns("VoxelData")[0]
    flags = {
        key.removeprefix("ROI_"): bdata.metadata[key][columns] == 1
        for key in sorted(bdata.metadata)
        if key.startswith("ROI_")
    }
    areas = [name for name in AREAS if name in flags]
    places = {axis: f"voxel_{axis}" for axis in "xyz" if f"voxel_{axis}" in bdata.metadata}
    return {
        "neuroid_id": np.array([f"{subject}-{column - first}" for column in columns]),
        "subject": np.full(len(columns), subject),
        "region": np.select([flags[name] for name in areas], areas, default=UNLABELLED),
        **{f"in_{name}": flag for name, flag in flags.items()},
        **{axis: bdata.metadata[key][columns] for axis, key in places.items()},
    }


def _count_repeats(table: pd.DataFrame) -> str:
    repeats = table.loc[table["split"] == "test", "n_repeats"]
    return f"{len(repeats)} x {repeats.iloc[0]}"


def _normalise(values: NDArray[np.float32], reference: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Z-scores by mean and standard deviation (n - 1) of the reference rows; 0 where those are constant."""
    used = values[reference].astype(np.float64)
    mean, sd = used.mean(axis=0), used.std(axis=0, ddof=1)
    varies = np.ptp(used, axis=0) > 0
    z = np.zeros(values.shape, dtype=np.float32)
    z[:, varies] = (values[:, varies] - mean[varies]) / sd[varies]
    return z
