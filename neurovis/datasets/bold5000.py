"""BOLD5000, release 2.0: single-trial responses to 4916 photographs from three sets used in computer vision.

Chang, Pyles, Marcus, Gupta, Tarr & Aminoff (2019) BOLD5000, a public fMRI dataset while viewing 5000 visual
images. Scientific Data 6:49. Slow event-related design, one image every 10 s. 113 images were shown three or
four times and are the test set; all others once. Files, all in one folder::

    CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-01.nii.gz      betas [% signal change], one volume a trial
    sub-CSI1/sub-CSI1_mask-LHEarlyVis.nii.gz                    regions, one file for each and hemisphere
    BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI1/CSI1_sess01/CSI_sess01_run01.txt
    BOLD5000_Stimuli/Scene_Stimuli/repeated_stimuli_113_list.txt
    BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/{COCO,ImageNet,Scene}/*
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import NeuralData, StimulusSet, average_repeats, check_option, make_neural_data
from neurovis.datasets.cards import find_dataset
from neurovis.io.nifti import Volume, read_masked_series, read_volume
from neurovis.metrics.ceilings import compute_ncsnr
from neurovis.metrics.trials import zscore_trials

NAME = "bold5000"
N_SESSIONS = {"CSI1": 15, "CSI2": 15, "CSI3": 15, "CSI4": 9}
N_TRIALS = {"CSI1": 5254, "CSI2": 5254, "CSI3": 5254, "CSI4": 3108}
SIZE_DVA = (4.6, 4.6)
REGIONS = ("EarlyVis", "LOC", "OPA", "PPA", "RSC")
HEMISPHERES = {"left": "LH", "right": "RH"}
# Type B was published as "TYBEB".
VERSIONS = {
    "TYPEA": ("TYPEA-ASSUMEHRF",),
    "TYPEB": ("TYBEB-FITHRF", "TYPEB-FITHRF"),
    "TYPEC": ("TYPEC-FITHRF-GLMDENOISE",),
    "TYPED": ("TYPED-FITHRF-GLMDENOISE-RR",),
}
ZSCORES = ("train", "all", "none")
RELEASE = "BOLD5000 release 2.0"
RULE = "the 113 images of repeated_stimuli_113_list.txt, shown three or four times in 15 sessions"
_N_REPEATED = 113
_N_TRIALS_OF_RUN = 37
# Some masks of the release have other names.
_MISSPELT = {"LHLOC": ("LHLO",), "RHLOC": ("RHLO",), "RHRSC": ("RHRRSC",)}
_IMAGENET = re.compile(r"n\d{8}_")


def load_bold5000(
    *,
    subject: str | None = None,
    root: str | Path | None = None,
    version: str = "TYPED",
    regions: Sequence[str] = REGIONS,
    sessions: Sequence[int] | None = None,
    rows: str = "stimulus",
    zscore: str = "train",
    check_affine: bool = True,
    invalid: str = "raise",
) -> tuple[StimulusSet, NeuralData]:
    """Read images and responses of one subject.

    Parameters
    ----------
    subject : {"CSI1", "CSI2", "CSI3", "CSI4"}, optional
        "CSI1" by default.
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    version : {"TYPED", "TYPEC", "TYPEB", "TYPEA"}
        How the betas were estimated; D (fitted response shapes, denoising, ridge regression) is recommended
        by the authors.
    regions : sequence of str
        Regions to read, of both hemispheres: "EarlyVis", "LOC", "OPA", "PPA", "RSC".
    sessions : sequence of int, optional
        From 1; all by default.
    rows : {"stimulus", "presentation"}
        Repeats averaged, or every trial.
    zscore : {"train", "all", "none"}
        Per session and voxel, with statistics of the training trials only, of all trials, or not at all.
    check_affine : bool
        Refuse masks whose position in space differs from that of the betas. Pass False only after looking
        at both: masks and betas then are matched by voxel.
    invalid : {"raise", "drop"}
        What to do with voxels without numbers in some trial (outside the brain): refuse, or leave them out.

    Returns
    -------
    stimuli : StimulusSet
        The images shown, in order of their first trial; ids are file names without suffix and without the
        prefix ``rep_`` of repeated trials. Columns ``split`` ("train", "test"), ``n_repeats`` and
        ``image_set`` ("COCO", "ImageNet", "Scene").
    responses : NeuralData
        float32 in "z" or "percent" signal change. Rows "presentation" with ``repeat`` (from 0 over the
        sessions read), ``session``, ``run`` (from 1 in each session) and ``trial`` (from 1 in each session),
        or rows "stimulus" with ``n_repeats``. Neuroid coordinates ``hemisphere``; ``i, j, k`` and
        ``x, y, z`` [mm]; ``region``, the first of ``regions`` that holds the voxel, and a flag
        ``in_<region>`` for each; unless ``zscore="none"``, ``ncsnr`` from the repeated trials of the test
        set, for the ceiling. Attributes of both: ``release``, ``rule``, ``sessions``, ``test_repeats``.

    Raises
    ------
    FileNotFoundError
        If the data set or one of its files is missing.
    ValueError
        If a choice is unknown; if trials, betas and lists disagree in number; if an image outside the list
        of the test set was repeated; if masks do not fit the betas; or if values are not finite.

    Notes
    -----
    Ridge regression and denoising of versions C and D were cross-validated by the authors over the repeated
    images, so their test betas have seen each other; training betas have not seen them.
    """
    subject = check_option("subject", subject or "CSI1", N_SESSIONS)
    check_option("version", version, VERSIONS)
    check_option("rows", rows, ("stimulus", "presentation"))
    check_option("zscore", zscore, ZSCORES)
    check_option("invalid", invalid, ("raise", "drop"))
    folder = find_dataset(NAME, root)
    chosen = _check_sessions(subject, sessions)
    trials = _read_trials(folder, subject, chosen)
    table = _describe_stimuli(folder, trials)
    held_out = trials["stimulus_id"].isin(table.index[table["split"] == "test"]).to_numpy()
    mask, neuroids = _read_regions(folder, subject, regions)
    values, valid = _read_betas(folder, subject, version, trials, mask if check_affine else mask.values)
    if not valid.all():
        if invalid == "raise" or not valid.any():
            raise ValueError(
                f"every voxel of regions must have numbers in the betas, got NaN or infinity in "
                f"{int((~valid).sum())} of {len(valid)}; pass invalid='drop' to leave them out."
            )
        values, neuroids = values[:, valid], {name: coord[valid] for name, coord in neuroids.items()}
    if zscore != "none":
        neuroids["ncsnr"] = _compute_test_ncsnr(values, trials, held_out)
        values = _zscore(values, trials, ~held_out if zscore == "train" else np.ones(len(trials), dtype=bool))
    record = {
        "release": RELEASE,
        "rule": RULE,
        "test_repeats": _count_repeats(table),
        "sessions": ", ".join(map(str, chosen)),
    }
    table.attrs.update(record)
    responses = make_neural_data(
        values,
        rows="presentation",
        row_coords={name: trials[name].to_numpy() for name in ("repeat", "session", "run", "trial")}
        | {"stimulus_id": trials["stimulus_id"].to_numpy(dtype=str)},
        neuroid_coords=neuroids,
        units="percent" if zscore == "none" else "z",
        source=NAME,
        version=version,
        zscore=zscore,
        **record,
    )
    stimuli = StimulusSet(f"{NAME}-{subject}", table, folder, SIZE_DVA)
    return stimuli, average_repeats(responses) if rows == "stimulus" else responses


def _check_sessions(subject: str, sessions: Sequence[int] | None) -> list[int]:
    if sessions is not None and np.ndim(sessions) != 1:
        raise TypeError(f"sessions must be a sequence of numbers, got {sessions!r}; pass for example [1, 2].")
    known = range(1, N_SESSIONS[subject] + 1)
    chosen = list(known) if sessions is None else [int(number) for number in sessions]
    if not chosen or not set(chosen) <= set(known) or len(set(chosen)) != len(chosen):
        raise ValueError(
            f"sessions must be different numbers from 1 to {known[-1]} for {subject}, got {sessions}."
        )
    return sorted(chosen)


def _read_trials(folder: Path, subject: str, sessions: Sequence[int]) -> pd.DataFrame:
    """Every trial in order, from the lists of the runs."""
    parts = []
    for session in sessions:
        place = folder / "BOLD5000_Stimuli" / "Stimuli_Presentation_Lists" / subject
        place = place / f"{subject}_sess{session:02d}"
        lists = sorted(place.glob("*_run*.txt"))
        if not lists:
            raise FileNotFoundError(f"no lists of presented stimuli at {place}; get BOLD5000_Stimuli.")
        for run, path in enumerate(lists, start=1):
            files = path.read_text().split()
            if not path.stem.endswith(f"_run{run:02d}") or len(files) != _N_TRIALS_OF_RUN:
                raise ValueError(
                    f"{path} must be run {run} with {_N_TRIALS_OF_RUN} stimuli, got {len(files)}; get the "
                    "lists again."
                )
            names = [name.removeprefix("rep_") for name in files]
            parts.append(pd.DataFrame({"file": names, "session": session, "run": run}))
    trials = pd.concat(parts, ignore_index=True)
    wanted = N_TRIALS[subject]
    if len(sessions) == N_SESSIONS[subject] and len(trials) != wanted:
        raise ValueError(
            f"the lists of {subject} must hold {wanted} trials, got {len(trials)}; get the lists again."
        )
    trials["stimulus_id"] = [Path(name).stem for name in trials["file"]]
    trials["repeat"] = trials.groupby("stimulus_id").cumcount()
    trials["trial"] = trials.groupby("session").cumcount() + 1
    return trials


def _describe_stimuli(folder: Path, trials: pd.DataFrame) -> pd.DataFrame:
    path = folder / "BOLD5000_Stimuli" / "Scene_Stimuli" / "repeated_stimuli_113_list.txt"
    if not path.is_file():
        raise FileNotFoundError(f"no list of the test set at {path}; get BOLD5000_Stimuli.")
    repeated = {Path(name).stem for name in path.read_text().split()}
    if len(repeated) != _N_REPEATED:
        raise ValueError(f"{path} must name {_N_REPEATED} images, got {len(repeated)}; get it again.")
    table = trials.groupby("stimulus_id", sort=False).agg(file=("file", "first"), n_repeats=("file", "size"))
    is_test = table.index.isin(repeated)
    beyond = table.index[(table["n_repeats"] > 1) & ~is_test]
    if len(beyond) or not is_test.any():
        raise ValueError(
            f"images shown more than once must be those of {path.name}, got {len(beyond)} others and "
            f"{int(is_test.sum())} of the list; the lists are not of one release, get them again."
        )
    images = Path("BOLD5000_Stimuli") / "Scene_Stimuli" / "Presented_Stimuli"
    table["image_set"] = [_name_image_set(name) for name in table["file"]]
    table["path"] = [
        str(images / image_set / name)
        for image_set, name in zip(table["image_set"], table["file"], strict=True)
    ]
    table["split"] = np.where(is_test, "test", "train")
    return table.drop(columns="file")


def _name_image_set(file: str) -> str:
    if file.startswith("COCO_"):
        return "COCO"
    return "ImageNet" if _IMAGENET.match(file) else "Scene"


def _count_repeats(table: pd.DataFrame) -> str:
    """How many test images were seen how often, e.g. "112 x 4, 1 x 3"."""
    counts = table.loc[table["split"] == "test", "n_repeats"].value_counts().sort_index(ascending=False)
    return ", ".join(f"{n} x {times}" for times, n in counts.items())


def _read_regions(
    folder: Path, subject: str, regions: Sequence[str]
) -> tuple[Volume, dict[str, NDArray[Any]]]:
    """Union of the regions' masks, and the coordinates of its voxels."""
    if not regions:
        raise ValueError(f"regions must name at least one of {', '.join(REGIONS)}, got none.")
    masks: dict[tuple[str, str], NDArray[np.bool_]] = {}
    affine = None
    for region in regions:
        check_option("regions", region, REGIONS)
        for side, short in HEMISPHERES.items():
            path = _find_mask(folder, subject, f"{short}{region}")
            volume = read_volume(path)
            affine = volume.affine if affine is None else affine
            first = next(iter(masks.values()), volume.values)
            if volume.values.shape != first.shape or not np.allclose(volume.affine, affine, atol=1e-2):
                raise ValueError(
                    f"masks of {subject} must share one grid, got {path.name} of shape {volume.values.shape} "
                    f"after {first.shape} or with another affine; get the masks again."
                )
            masks[region, side] = np.nan_to_num(volume.values) != 0
    assert affine is not None
    union = np.any(list(masks.values()), axis=0)
    if not union.any():
        raise ValueError(f"regions of {subject} must hold at least one voxel, got none in {list(regions)}.")
    places = np.argwhere(union)
    flags = {region: masks[region, "left"][union] | masks[region, "right"][union] for region in regions}
    left = np.any([masks[region, "left"][union] for region in regions], axis=0)
    coords = {
        "neuroid_id": np.array([f"{subject}-{i}-{j}-{k}" for i, j, k in places]),
        "subject": np.full(len(places), subject),
        "region": np.select(list(flags.values()), list(flags)),
        "hemisphere": np.where(left, "left", "right"),
        **dict(zip("ijk", places.T, strict=True)),
        **dict(zip("xyz", (places @ affine[:3, :3].T + affine[:3, 3]).T, strict=True)),
        **{f"in_{region}": flag for region, flag in flags.items()},
    }
    return Volume(union, affine), coords


def _find_mask(folder: Path, subject: str, name: str) -> Path:
    place = folder / f"sub-{subject}"
    paths = [place / f"sub-{subject}_mask-{spelling}.nii.gz" for spelling in (name, *_MISSPELT.get(name, ()))]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"no region mask at {paths[0]}; get derivatives/spm of OpenNeuro ds001499, or name your own mask so."
    )


def _read_betas(
    folder: Path,
    subject: str,
    version: str,
    trials: pd.DataFrame,
    mask: Volume | NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Masked betas of every trial, and which voxels are finite in all of them."""
    n_voxels = int((mask.values if isinstance(mask, Volume) else mask).sum())
    values = np.empty((len(trials), n_voxels), dtype=np.float32)
    for session, here in trials.groupby("session").indices.items():
        names = [f"{subject}_GLMbetas-{spelling}_ses-{session:02d}.nii.gz" for spelling in VERSIONS[version]]
        path = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
        betas = read_masked_series(path, mask, invalid="keep").values
        if len(betas) != len(here):
            raise ValueError(
                f"{path.name} must hold the {len(here)} trials of its lists, got {len(betas)} volumes; get "
                "the file or the lists again."
            )
        values[here] = betas
    # NaN and infinity stay in a sum, which needs no second array of this size.
    return values, np.isfinite(values.sum(axis=0, dtype=np.float64))


def _zscore(
    values: NDArray[np.float32], trials: pd.DataFrame, reference: NDArray[np.bool_]
) -> NDArray[np.float32]:
    z = np.empty_like(values)
    for here in trials.groupby("session").indices.values():
        z[here], _ = zscore_trials(values[here], reference[here])
    return z


def _compute_test_ncsnr(
    values: NDArray[np.float32], trials: pd.DataFrame, held_out: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Signal to noise of the test trials; no model sees it, so all trials set the scale of a session."""
    z = _zscore(values, trials, np.ones(len(trials), dtype=bool))
    repeated = held_out & (trials.groupby("stimulus_id")["file"].transform("size") > 1).to_numpy()
    if not repeated.any():
        raise ValueError(
            "sessions must hold some test image more than once for ncsnr, got none; read more sessions, or "
            "pass zscore='none'."
        )
    return compute_ncsnr(z[repeated], trials["stimulus_id"].to_numpy(dtype=str)[repeated])
