"""A fabricated Natural Scenes Dataset: the true layout and design, tiny volumes, known linear responses.

Two subjects, sessions 1-3. The design has the true size and the published counts of shared images; sessions
1-3 show 970 images, 130 of them shared, some of them less than three times.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
from scipy.io import savemat

SHAPE = (9, 11, 7)
AFFINE = np.array([[1.8, 0, 0, -7.2], [0, 1.8, 0, -30.0], [0, 0, 1.8, 4.0], [0, 0, 0, 1.0]])
VERSION = "betas_fithrf_GLMdenoise_RR"
N_FEATURES = 6
N_VERTICES = 163_842
VERTICES = (range(2000, 2030), range(7000, 7020))  # nsdgeneral of the left and the right hemisphere
CONSTANT_VOXEL = (1, 3, 3)  # in nsdgeneral; 0 in session 2
REGIONS = {
    "nsdgeneral": ("nsdgeneral",),
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
}


@lru_cache
def make_design():
    """masterordering, subjectim, sharedix as published: ids from 1, three trials for each image."""
    rng = np.random.default_rng(0)
    # Trials of each shared image in sessions 1-3, 4-30, 31-32, 33-37 and 38-40.
    counts = np.zeros((1000, 5), dtype=int)
    three, two, one, none = np.split(np.arange(1000), np.cumsum([515, 251, 141]))
    counts[three[:60], 0], counts[three[60:100], 0], counts[three[100:130], 0] = 3, 2, 1
    counts[:, 1] = np.repeat([3, 2, 1, 0], [515, 251, 141, 93]) - counts[:, 0]
    counts[np.concatenate([two[:99], one[:61], none[:23]]), 2] = 1
    seen = counts.sum(1)
    counts[none[23:75], 3] = 1
    counts[seen == 2, 3] = 1
    ones = np.flatnonzero(seen == 1)
    counts[ones, 3] = np.where(np.arange(len(ones)) < 31, 2, 1)
    counts[:, 4] = 3 - counts.sum(1)
    own = np.repeat([3, 2, 1], [450, 220, 170])
    blocks = [
        np.repeat(np.arange(1000), counts[:, 0]).tolist() + np.repeat(np.arange(1000, 1840), own).tolist()
    ]
    rest = rng.permutation(np.repeat(np.arange(1000, 10_000), 3 - np.pad(own, (0, 9000 - len(own)))))
    for block, n_sessions in zip(range(1, 5), (27, 2, 5, 3), strict=True):
        shared = np.repeat(np.arange(1000), counts[:, block])
        n_own = 750 * n_sessions - len(shared)
        blocks.append([*shared, *rest[:n_own]])
        rest = rest[n_own:]
    order = np.concatenate([rng.permutation(block) for block in blocks])
    ids = rng.permutation(73_000)
    shared = np.sort(ids[:1000])
    images = np.column_stack([np.tile(shared, (8, 1)), ids[1000:].reshape(8, 9000)])
    return order[None] + 1, images + 1, shared[None] + 1


@dataclass
class NsdTruth:
    """What the miniature was made of."""

    root: Path
    features: np.ndarray  # (73000, N_FEATURES)
    brain: np.ndarray  # (x, y, z)
    masks: dict = field(default_factory=dict)  # collection -> label volume, without the -1
    weights: dict = field(default_factory=dict)  # subject -> (N_FEATURES, x, y, z)
    ncsnr: dict = field(default_factory=dict)  # subject -> (x, y, z)
    trials: dict = field(default_factory=dict)  # subject -> nsdId of every trial from 0, in order

    def folder(self, subject, space="func1pt8mm"):
        return self.root / "nsddata_betas" / "ppdata" / f"subj0{subject}" / space / VERSION

    def signal(self, subject, nsd_id, mask):
        return self.features[nsd_id] @ self.weights[subject][:, mask]


def make_nsd(root, *, subjects=("1", "2"), sessions=(1, 2, 3), formats=("hdf5", "nifti"), noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    brain = np.zeros(SHAPE, dtype=bool)
    brain[1:-1, 1:-1, 1:-1] = True
    truth = NsdTruth(root, rng.standard_normal((73_000, N_FEATURES)), brain)
    truth.masks = make_labels()
    write_experiment(root)
    _, images, _ = make_design()
    for subject in subjects:
        write_labels(root, subject, truth)
        order = make_design()[0][0] - 1
        truth.trials[subject] = images[int(subject) - 1][order] - 1
        weights = rng.standard_normal((N_FEATURES, *SHAPE))
        truth.ncsnr[subject] = rng.uniform(0.5, 1.2, SHAPE)
        truth.weights[subject] = weights * truth.ncsnr[subject] / np.sqrt((weights**2).sum(0))
        write_responses(root, subject, truth.trials[subject], sessions)
        folder = truth.folder(subject)
        folder.mkdir(parents=True)
        ncsnr = np.where(brain, truth.ncsnr[subject], np.nan).astype("f4")
        nibabel.Nifti1Image(ncsnr, AFFINE).to_filename(folder / "ncsnr.nii.gz")
        for session in sessions:
            write_session(folder, session, simulate_session(truth, subject, session, noise, rng), formats)
    return truth


def make_labels():
    """Label volumes: nsdgeneral in both hemispheres, face areas across two visual areas."""
    labels = {name: np.zeros(SHAPE, dtype=np.int16) for name in REGIONS}
    labels["nsdgeneral"][1:8, 2:7, 2:5] = 1
    labels["nsdgeneral"][4, 2:7, 2:5] = 0
    for number in range(1, 8):
        labels["prf-visualrois"][1:8, 1 + number, 2:5] = number
    labels["floc-faces"][2:7, 4:6, 2] = 2
    labels["floc-faces"][2:7, 7:9, 2] = 3
    labels["streams"][1:8, 2:5] = 1
    labels["streams"][1:8, 5:9] = 5
    return labels


def write_experiment(root):
    """Design, stimulus table and image brick."""
    order, images, shared = make_design()
    folder = root / "nsddata" / "experiments" / "nsd"
    folder.mkdir(parents=True)
    design = {"masterordering": order, "subjectim": images, "sharedix": shared, "basiccnt": np.ones((3, 40))}
    savemat(folder / "nsd_expdesign.mat", {name: values.astype(float) for name, values in design.items()})
    nsd_id = np.arange(73_000)
    table = pd.DataFrame(
        {
            "cocoId": 2 * nsd_id + 9,
            "cocoSplit": np.where(nsd_id % 3 == 0, "val2017", "train2017"),
            "cropBox": "(0, 0, 0.1, 0.1)",
            "loss": 0.1,
            "nsdId": nsd_id,
            "flagged": nsd_id % 100 == 0,
            "BOLD5000": nsd_id % 50 == 1,
            "shared1000": np.isin(nsd_id, shared - 1),
        }
    )
    table.to_csv(folder / "nsd_stim_info_merged.csv")
    folder = root / "nsddata_stimuli" / "stimuli" / "nsd"
    folder.mkdir(parents=True)
    with h5py.File(folder / "nsd_stimuli.hdf5", "w") as file:
        shape = (73_000, 425, 425, 3)
        brick = file.create_dataset("imgBrick", shape, "u1", chunks=(1, *shape[1:]), compression="gzip")
        for number in shared[0, :3] - 1:
            brick[number] = make_image(number)


def make_image(number):
    pixels = np.zeros((425, 425, 3), dtype="u1")
    pixels[:, :200] = number % 251, number % 241, 7
    return pixels


def draw_features(truth, subject, session):
    """Write into the brick, for the images of a session, five by five colours that their features mix."""
    colours = np.random.default_rng(1).uniform(-1, 1, (N_FEATURES, 5, 5, 3))
    with h5py.File(truth.root / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5", "a") as file:
        for number in np.unique(truth.trials[subject][750 * (session - 1) : 750 * session]):
            mixture = np.tensordot(truth.features[number], colours, axes=1)
            patches = np.clip(128 + 22 * mixture, 0, 255).astype("u1")
            file["imgBrick"][number] = np.kron(patches, np.ones((85, 85, 1), dtype="u1"))


def write_labels(root, subject, truth):
    volumes = root / "nsddata" / "ppdata" / f"subj0{subject}" / "func1pt8mm"
    tables = root / "nsddata" / "freesurfer" / f"subj0{subject}" / "label"
    (volumes / "roi").mkdir(parents=True)
    tables.mkdir(parents=True)
    nibabel.Nifti1Image(truth.brain.astype("i2"), AFFINE).to_filename(volumes / "brainmask.nii.gz")
    for name, labels in truth.masks.items():
        left = np.arange(SHAPE[0])[:, None, None] < 4
        halves = {"": truth.brain, "lh.": truth.brain & left, "rh.": truth.brain & ~left}
        for prefix, cortex in halves.items():
            image = nibabel.Nifti1Image(np.where(cortex, labels, -1).astype("i2"), AFFINE)
            image.to_filename(volumes / "roi" / f"{prefix}{name}.nii.gz")
        write_ctab(tables / f"{name}.mgz.ctab", REGIONS[name])


def write_ctab(path, names):
    lines = [f"{number} {name} 10 20 30 0" for number, name in enumerate(("Unknown", *names))]
    path.write_text("\n".join([*lines, ""]))


def write_responses(root, subject, nsd_id, sessions):
    folder = root / "nsddata" / "ppdata" / f"subj0{subject}" / "behav"
    folder.mkdir(parents=True)
    lengths = (63, 62) * 6
    n = 750 * len(sessions)
    rows = np.concatenate([np.arange(750 * (session - 1), 750 * session) for session in sessions])
    table = pd.DataFrame(
        {
            "SUBJECT": int(subject),
            "SESSION": np.repeat(sessions, 750),
            "RUN": np.tile(np.repeat(np.arange(1, 13), lengths), len(sessions)),
            "TRIAL": np.tile(np.concatenate([np.arange(length) + 1 for length in lengths]), len(sessions)),
            "73KID": nsd_id[rows] + 1,
            "10KID": make_design()[0][0, rows],
            "TIME": np.arange(n) / 1e4,
            "ISOLD": 0,
            "ISCORRECT": np.where(np.arange(n) % 9 == 0, np.nan, 1),
            "RT": 800.0,
        }
    )
    table.to_csv(folder / "responses.tsv", sep="\t", index=False, na_rep="NaN")


def simulate_session(truth, subject, session, noise, rng):
    """Percent signal change (x, y, z, 750): signal and noise under another offset and gain per session."""
    nsd_id = truth.trials[subject][750 * (session - 1) : 750 * session]
    betas = np.zeros((*SHAPE, 750))
    signal = truth.signal(subject, nsd_id, truth.brain)
    inside = (signal + noise * rng.standard_normal(signal.shape)) * rng.uniform(0.5, 3) + rng.uniform(-1, 3)
    betas[truth.brain] = inside.T
    if session == 2:
        betas[CONSTANT_VOXEL] = 0
    return betas


def write_session(folder, session, percent, formats=("hdf5", "nifti")):
    stored = np.round(percent * 300).astype(np.int16)
    if "nifti" in formats:
        nibabel.Nifti1Image(stored, AFFINE).to_filename(folder / f"betas_session{session:02d}.nii.gz")
    if "hdf5" in formats:
        with h5py.File(folder / f"betas_session{session:02d}.hdf5", "w") as file:
            file.create_dataset("betas", data=stored.T, chunks=(750, *(1,) * (stored.ndim - 1)))


def add_fsaverage(truth, *, subject="1", session=1, seed=0):
    """One session on fsaverage as MGH and, of other dtype, HDF5; returns percent (750, vertices)."""
    rng = np.random.default_rng(seed)
    folder = truth.folder(subject, "fsaverage")
    labels = truth.root / "nsddata" / "freesurfer" / "fsaverage" / "label"
    for place in (folder, labels):
        place.mkdir(parents=True, exist_ok=True)
    write_ctab(labels / "streams.mgz.ctab", REGIONS["streams"])
    responses = []
    for prefix, vertices in zip(("lh", "rh"), VERTICES, strict=True):
        values = rng.standard_normal((750, len(vertices))).astype("f4")
        for name, label in (("nsdgeneral", 1), ("streams", 5)):
            write_surface(labels / f"{prefix}.{name}.mgz", vertices, label)
        write_surface(folder / f"{prefix}.ncsnr.mgh", vertices, 0.7)
        write_mgh_session(folder / f"{prefix}.betas_session{session:02d}.mgh", vertices, values)
        with h5py.File(folder / f"{prefix}.betas_session{session:02d}.hdf5", "w") as file:
            betas = file.create_dataset("betas", (750, N_VERTICES), "f4", chunks=(750, 1))
            betas[:, vertices.start : vertices.stop] = values
        responses.append(values)
    return np.hstack(responses)


def write_surface(path, vertices, value):
    values = np.zeros((N_VERTICES, 1, 1), dtype="f4")
    values[list(vertices)] = value
    nibabel.MGHImage(values, np.eye(4)).to_filename(path)


def write_mgh_session(path, vertices, values):
    """A file of the true size, 491 MB, that is a hole but for the vertices."""
    header = nibabel.freesurfer.mghformat.MGHHeader()
    header.set_data_shape((N_VERTICES, 1, 1, len(values)))
    header.set_data_dtype(np.float32)
    with path.open("wb") as file:
        header.writehdr_to(file)
        start = header.get_data_offset()
        for trial, row in enumerate(values):
            file.seek(start + 4 * (trial * N_VERTICES + vertices.start))
            file.write(row.astype(">f4").tobytes())
        file.truncate(start + 4 * N_VERTICES * len(values))
