"""Natural Scenes Dataset: responses to thousands of natural scenes, with the trials of 30 to 40 sessions.

Allen, St-Yves, Wu, Breedlove, Prince, Dowdle, Nau, Caron, Pestilli, Charest, Hutchinson, Naselaris & Kay
(2022) A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence. Nature
Neuroscience 25:116-126. Eight people saw up to 10,000 images of 8.4 degrees, three times each, 1000 of them
the same.

Sessions are read one after the other and only the masked voxels of one are ever held beside the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import NeuralData, StimulusSet, check_option, make_neural_data
from neurovis.datasets import nsd_layout as layout
from neurovis.datasets.nsd_betas import BetaFiles, find_betas, read_ncsnr, read_session
from neurovis.datasets.nsd_rois import (
    SPACES,
    Selection,
    Space,
    describe_neuroids,
    describe_regions,
    select_neuroids,
)
from neurovis.datasets.nsd_splits import find_last_session, make_test_set
from neurovis.metrics.trials import zscore_trials

SIZE_DVA = (8.4, 8.4)
ZSCORES = ("train", "all", "none")


def load_nsd(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    space: str = "func1pt8mm",
    version: str = "betas_fithrf_GLMdenoise_RR",
    roi: str | Sequence[str] | NDArray[Any] | None = "nsdgeneral",
    regions: Sequence[str] | None = None,
    file_format: str = "auto",
    sessions: Sequence[int] | None = None,
    rows: str = "stimulus",
    test_set: str | Sequence[str] | None = "shared1000",
    zscore: str = "train",
    ncsnr: bool = True,
    invalid: str = "raise",
) -> tuple[StimulusSet, NeuralData]:
    """Read images and responses of one subject.

    Parameters
    ----------
    subject : {"1", ..., "8"}, optional
        "1" by default.
    root : path, optional
        Folder that holds ``nsddata``, or as in :func:`neurovis.datasets.cards.find_dataset`.
    space : {"func1pt8mm", "func1mm", "fsaverage"}
        Voxels of the subject, or vertices of the average brain.
    version : {"betas_fithrf_GLMdenoise_RR", "betas_fithrf", "betas_assumehrf"}
        How the betas were estimated (b3, b2, b1).
    roi : str, sequence of str, array or None
        Neuroids to read: a collection of regions, a region of one such as "floc-faces:FFA-1", the union of
        several, a boolean mask with the axes of nibabel ((2, 163842) for fsaverage), or None for the brain.
    regions : sequence of str, optional
        Collections that name the neuroids, the first one first; by default the visual, category-selective
        and stream regions that were downloaded.
    file_format : {"auto", "hdf5", "nifti", "mgh"}
        Of the betas; "auto" prefers HDF5.
    sessions : sequence of int, optional
        From 1; by default all of the release.
    rows : {"stimulus", "presentation"}
        Repeats averaged over sessions, or every trial.
    test_set : {"shared1000", "shared907", "shared515", "mindeye1-982"}, sequence of str or None
        Held-out images, see :data:`neurovis.datasets.nsd_splits.RULES`; or their stimulus ids.
    zscore : {"train", "all", "none"}
        Per session and neuroid, with statistics of the training trials only, of all trials (as most published
        code does, which lets test responses into the scale of the training responses), or not at all.
    ncsnr : bool
        Read the signal-to-noise ratio of each neuroid, from which evaluation makes the noise ceiling. It
        describes z-scored betas and is left out for ``zscore="none"``.
    invalid : {"raise", "drop"}
        What to do with neuroids that hold NaN in some session or in ncsnr, as at the edge of the field of
        view and in subjects 6 and 8 on fsaverage: refuse, or leave them out.

    Returns
    -------
    stimuli : StimulusSet
        The images shown, ``nsd_00000`` to ``nsd_72999``, as rows of the image brick, which is opened only
        when pixels are wanted. Columns ``split`` ("train", "test"), ``n_repeats``, ``nsd_id``, ``coco_id``,
        ``coco_split`` and the flags ``flagged``, ``bold5000``, ``shared1000``.
    responses : NeuralData
        float32 in "z" or "percent". Row coordinate ``n_repeats``, or ``repeat`` (from 0 over the sessions
        read), ``session`` and ``trial`` (from 1) and ``run`` (1-12). Neuroid coordinates ``hemisphere``;
        ``i, j, k`` and ``x, y, z`` [mm], or ``vertex``; ``region`` and overlapping flags ``in_<region>``;
        ``ncsnr``; and ``n_constant_sessions``, in how many sessions the neuroid did not vary, so that its
        z-scores are 0 there. Attributes of both: ``release``, ``rule``, ``sessions`` and ``test_repeats``,
        how many test images were seen how often; of the responses ``n_constant``, neuroids that were
        constant in a session, and ``n_dropped``, neuroids left out by ``invalid="drop"``.

    Raises
    ------
    FileNotFoundError
        If a file is missing; for betas with every missing session.
    ValueError
        If a choice is unknown, or a file has another shape, dtype, scale or numbering than published.

    Notes
    -----
    ncsnr was computed by the authors from all trials. Nothing that a model is fitted with depends on it.
    """
    subject = check_option("subject", subject or "1", layout.N_SESSIONS)
    check_option("space", space, SPACES)
    check_option("rows", rows, ("stimulus", "presentation"))
    check_option("zscore", zscore, ZSCORES)
    check_option("invalid", invalid, ("raise", "drop"))
    if test_set is None and zscore == "train":
        raise ValueError(
            "zscore='train' must have a test set to leave out, got test_set=None; pass zscore='none' with "
            "rows='presentation' and let the evaluation z-score inside its folds, or zscore='all'."
        )
    folder = layout.find_nsd(root)
    where = Space(folder, subject, space)
    chosen = layout.check_sessions(subject, sessions, find_last_session(test_set, subject))
    files = find_betas(where, version, chosen, file_format)
    stimuli, trials = _read_shown(folder, subject, chosen, test_set)
    table = stimuli.table
    selection = select_neuroids(where, roi)
    n_selected = int(selection.mask.sum())
    scale: dict[str, NDArray[np.float64]] = {}
    if ncsnr and zscore != "none":
        selection, scale["ncsnr"] = _select_with_ncsnr(where, version, selection, invalid)
    names, used = describe_regions(where, selection.mask, regions)
    neuroids = {**describe_neuroids(where, selection), **names, **scale}
    row = np.arange(len(trials))
    if rows == "stimulus":
        row = table.index.get_indexer(pd.Index(trials["stimulus_id"]))
    values, neuroids["n_constant_sessions"] = _read_sessions(
        files, selection.mask, trials, row, zscore=zscore
    )
    # NaN and infinity stay in a sum, which needs no second array of this size.
    valid = np.isfinite(values.sum(axis=0, dtype=np.float64))
    if not valid.all():
        _refuse_invalid(invalid, valid, "betas")
        values, neuroids = values[:, valid], {name: coord[valid] for name, coord in neuroids.items()}

    responses = make_neural_data(
        values,
        rows=rows,
        row_coords=_describe_rows(rows, table, trials),
        neuroid_coords=neuroids,
        units="percent" if zscore == "none" else "z",
        source=layout.NAME,
        space=space,
        version=version,
        file_format=files.file_format,
        regions=", ".join(used),
        zscore=zscore,
        n_constant=int((neuroids["n_constant_sessions"] > 0).sum()),
        n_dropped=n_selected - values.shape[1],
        **{str(key): value for key, value in table.attrs.items()},
    )
    return stimuli, responses


def load_nsd_stimuli(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    sessions: Sequence[int] | None = None,
    test_set: str | Sequence[str] | None = "shared1000",
) -> StimulusSet:
    """Read which images one subject saw, without the betas.

    Parameters
    ----------
    subject, root, sessions, test_set
        As in :func:`load_nsd`.

    Returns
    -------
    StimulusSet
        The first result of :func:`load_nsd`.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`load_nsd`.
    """
    subject = check_option("subject", subject or "1", layout.N_SESSIONS)
    chosen = layout.check_sessions(subject, sessions, find_last_session(test_set, subject))
    return _read_shown(layout.find_nsd(root), subject, chosen, test_set)[0]


def _read_shown(
    folder: Path, subject: str, sessions: Sequence[int], test_set: str | Sequence[str] | None
) -> tuple[StimulusSet, pd.DataFrame]:
    """The images of some sessions, and their trials with what is held out."""
    held_out = test_set if test_set is None or isinstance(test_set, str) else [str(item) for item in test_set]
    design = layout.read_design(folder, subject)
    trials = layout.make_trials(design, sessions)
    layout.check_responses(folder, subject, trials)
    test = make_test_set(held_out, design, subject, trials)
    trials["is_test"] = trials["nsd_id"].isin(test.nsd_id)
    table = _describe_stimuli(folder, design, trials)
    table.attrs = {
        "release": test.release,
        "rule": test.rule,
        "test_repeats": _count_repeats(table),
        "sessions": layout.list_sessions(sessions),
    }
    return StimulusSet(layout.NAME, table, folder, SIZE_DVA), trials


def _describe_stimuli(folder: Path, design: layout.Design, trials: pd.DataFrame) -> pd.DataFrame:
    """Table of the images of the trials, in order of their numbers."""
    by_image = trials.groupby("nsd_id")["is_test"]
    table = layout.read_stimulus_info(folder, design, np.array(list(by_image.groups)))
    table["n_repeats"] = by_image.size().to_numpy()
    table["split"] = np.where(by_image.first(), "test", "train")
    return table


def _describe_rows(rows: str, table: pd.DataFrame, trials: pd.DataFrame) -> dict[str, NDArray[Any]]:
    if rows == "stimulus":
        return {"stimulus_id": table.index.to_numpy(dtype=str), "n_repeats": table["n_repeats"].to_numpy()}
    numbers = {name: trials[name].to_numpy() for name in ("repeat", "session", "run", "trial")}
    return {"stimulus_id": trials["stimulus_id"].to_numpy(dtype=str), **numbers}


def _count_repeats(table: pd.DataFrame) -> str:
    """How many test images were seen how often, e.g. "614 x 3, 213 x 2, 103 x 1"."""
    counts = table.loc[table["split"] == "test", "n_repeats"].value_counts().sort_index(ascending=False)
    return ", ".join(f"{n} x {times}" for times, n in counts.items()) or "none"


def _select_with_ncsnr(
    space: Space, version: str, selection: Selection, invalid: str
) -> tuple[Selection, NDArray[np.float64]]:
    """Selection of the neuroids whose ncsnr is known, and their ncsnr."""
    ncsnr = read_ncsnr(space, version, selection.mask)
    known = np.isfinite(ncsnr)
    if known.all():
        return selection, ncsnr
    _refuse_invalid(invalid, known, "ncsnr")
    mask = selection.mask.copy()
    mask[mask] = known
    return Selection(mask, selection.collection), ncsnr[known]


def _refuse_invalid(invalid: str, valid: NDArray[np.bool_], what: str) -> None:
    if invalid == "raise" or not valid.any():
        raise ValueError(
            f"every neuroid of roi must have numbers in the {what}, got NaN or infinity in "
            f"{int((~valid).sum())} of {len(valid)}; pass invalid='drop' to leave them out, or another roi."
        )


def _read_sessions(
    files: BetaFiles,
    mask: NDArray[np.bool_],
    trials: pd.DataFrame,
    row: NDArray[np.intp],
    *,
    zscore: str,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mean of the trials of each row, and in how many sessions each neuroid was constant.

    Only the sum and one session are held.
    """
    mean = np.zeros((int(row.max()) + 1, int(mask.sum())), dtype=np.float32)
    n_constant = np.zeros(mean.shape[1], dtype=np.int64)
    for session in files.paths:
        here = (trials["session"] == session).to_numpy()
        betas = read_session(files, session, mask)
        varies = np.ptp(betas, axis=0) != 0
        if zscore != "none":
            reference = np.ones(len(betas), dtype=bool)
            if zscore == "train":
                reference = ~trials["is_test"].to_numpy()[here]
            betas, varies = _zscore_finite(betas, reference)
        n_constant += ~varies
        # An image may come twice in a session, which `mean[rows] += betas` would count once.
        for place, trial in zip(row[here], betas, strict=True):
            mean[place] += trial
    mean /= np.bincount(row)[:, None].astype(np.float32)
    return mean, n_constant


def _zscore_finite(
    betas: NDArray[np.float32], reference: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Z-scores that leave neuroids with NaN as NaN, for the caller to drop or refuse."""
    finite = np.isfinite(betas).all(axis=0)
    if finite.all():
        return zscore_trials(betas, reference)
    varies = np.ones(len(finite), dtype=bool)
    z = np.full_like(betas, np.nan)
    z[:, finite], varies[finite] = zscore_trials(betas[:, finite], reference)
    return z, varies
