"""A fabricated BOLD5000 2.0 folder: true names, lists and counts, tiny volumes, planted linear responses."""

from dataclasses import dataclass, field

import nibabel
import numpy as np

N_FEATURES = 6
SHAPE = (7, 6, 5)
AFFINE = np.array([[-2.0, 0, 0, 6], [0, 2, 0, -5], [0, 0, 2, -4], [0, 0, 0, 1]])
SUFFIX = {"TYPED": "TYPED-FITHRF-GLMDENOISE-RR", "TYPEB": "TYBEB-FITHRF"}
N_RUNS = {"CSI1": (10,) * 7 + (9,) * 8, "CSI4": (10,) * 3 + (9,) * 6}


@dataclass
class Bold5000Truth:
    root: object
    folder: object
    subject: str
    files: list  # file name of every trial without the prefix
    session: np.ndarray
    features: dict  # file name -> features
    betas: np.ndarray  # (trials, x, y, z) as stored
    masks: dict = field(default_factory=dict)


def make_bold5000(root, *, subject="CSI4", ncsnr=0.8, seed=0, versions=("TYPED",)):
    """Sessions differ in gain and offset; the voxels outside the regions are NaN."""
    rng = np.random.default_rng(seed)
    folder = root / "bold5000"
    stimuli = folder / "BOLD5000_Stimuli"
    n_runs = N_RUNS[subject]
    n_trials = 37 * sum(n_runs)
    n_repeats = np.array([4] * 112 + [3])
    n_single = n_trials - n_repeats.sum()
    names = [
        (f"COCO_train2014_{i:012d}.jpg", f"n{i:08d}_{i}.JPEG", f"kitchen{i}.jpg")[i % 3]
        for i in range(113 + n_single)
    ]
    shown = np.concatenate([np.repeat(np.arange(113), n_repeats), np.arange(113, 113 + n_single)])
    shown = rng.permutation(shown)
    files = [names[i] for i in shown]
    (stimuli / "Scene_Stimuli").mkdir(parents=True)
    (stimuli / "Scene_Stimuli" / "repeated_stimuli_113_list.txt").write_text("\n".join(names[:113]) + "\n")
    session, trial, seen = [], 0, set()
    for number, runs in enumerate(n_runs, start=1):
        place = stimuli / "Stimuli_Presentation_Lists" / subject / f"{subject}_sess{number:02d}"
        place.mkdir(parents=True)
        for run in range(1, runs + 1):
            lines = []
            for name in files[trial : trial + 37]:
                lines.append(f"rep_{name}" if name in seen else name)
                seen.add(name)
            (place / f"CSI_sess{number:02d}_run{run:02d}.txt").write_text("\n".join(lines) + "\n")
            trial += 37
        session += [number] * (37 * runs)
    session = np.array(session)
    features = dict(zip(names, rng.normal(size=(len(names), N_FEATURES)), strict=True))
    truth = Bold5000Truth(root, folder, subject, files, session, features, np.empty(0))
    inside = _write_masks(truth, rng)
    weights = rng.normal(size=(N_FEATURES, inside.sum())) / np.sqrt(N_FEATURES)
    signal = np.array([features[name] for name in files]) @ weights
    signal /= signal.std(axis=0)
    trials = signal + rng.normal(size=signal.shape) / ncsnr
    trials = 0.5 * trials * (1 + session[:, None] / 5) + session[:, None]
    truth.betas = np.full((n_trials, *SHAPE), np.nan, dtype=np.float32)
    truth.betas[:, inside] = trials
    for version in versions:
        for number in range(1, len(n_runs) + 1):
            image = nibabel.Nifti1Image(np.moveaxis(truth.betas[session == number], 0, -1), AFFINE)
            image.to_filename(folder / f"{subject}_GLMbetas-{SUFFIX[version]}_ses-{number:02d}.nii.gz")
    return truth


def _write_masks(truth, rng):
    """Regions side by side along y, overlapping by one voxel; left is where x is negative."""
    place = truth.folder / f"sub-{truth.subject}"
    place.mkdir()
    x = AFFINE[0, 0] * np.arange(SHAPE[0]) + AFFINE[0, 3]
    union = np.zeros(SHAPE, dtype=bool)
    for number, region in enumerate(("EarlyVis", "LOC", "OPA", "PPA", "RSC")):
        for short, side in (("LH", x < 0), ("RH", x > 0)):
            mask = np.zeros(SHAPE, dtype=np.uint8)
            mask[side, number : number + 2] = rng.random((side.sum(), 2, SHAPE[2])) < 0.3
            name = {"LHLOC": "LHLO", "RHRSC": "RHRRSC"}.get(short + region, short + region)
            nibabel.Nifti1Image(mask, AFFINE).to_filename(place / f"sub-{truth.subject}_mask-{name}.nii.gz")
            truth.masks[region, short] = mask.astype(bool)
            union |= mask.astype(bool)
    return union
