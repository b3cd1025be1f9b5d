"""Small fabricated copies of published data sets: true file names, keys, dtypes and orders, planted effects.

``effect`` scales what a study should find; 0 leaves noise only.
"""

import numpy as np
import pandas as pd
from scipy.io import savemat

HAXBY_CATEGORIES = ("face", "house", "cat", "bottle", "scissors", "shoe", "chair", "scrambledpix")


def make_haxby2001(root, *, effect=1.0, seed=0, n_scans=121):
    import nibabel

    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(8, 4, 5, 1))
    head = np.zeros((6, 7, 1), dtype=bool)
    head[1:5, 1:6] = True
    affine = np.diag([-3.1, 3.75, 3.75, 1.0])
    onsets = 15 + 35 * np.arange(8)
    for run in range(1, 9):
        folder = root / "haxby2001_slice" / "sub001" / "BOLD" / f"task001_run{run:03d}"
        folder.mkdir(parents=True)
        order = rng.permutation(8)
        signal = np.zeros((4, 5, 1, n_scans))
        for onset, category in zip(onsets, order, strict=True):
            scans = slice(int((onset + 2.5) // 2.5), int((onset + 25) // 2.5))
            signal[..., scans] += effect * patterns[category][..., None]
        values = rng.integers(0, 12, size=(6, 7, 1, n_scans)).astype(float)
        drift = 30 * np.linspace(-1, 1, n_scans) ** 2
        inside = 1500 + 20 * signal + drift + 10 * rng.normal(size=signal.shape)
        values[1:5, 1:6] = inside
        image = nibabel.Nifti1Image(values.astype(np.int16), affine)
        image.header.set_zooms((3.1, 3.75, 3.75, 2.5))
        image.header.set_xyzt_units("mm", "sec")
        image.to_filename(folder / "bold_1slice.nii.gz")
        image.to_filename(folder / "bold_25mm.nii.gz")
        events = {
            "onset": onsets.astype(float),
            "duration": 22.5,
            "trial_type": np.array(HAXBY_CATEGORIES)[order],
        }
        pd.DataFrame(events).to_csv(folder / "bold_events.tsv", sep="\t", index=False)
    masks = root / "haxby2001_slice" / "sub001" / "masks" / "25mm"
    masks.mkdir(parents=True)
    nibabel.Nifti1Image(head.astype(np.uint8), affine).to_filename(masks / "brain.nii.gz")
    return root


def make_vtc_fivecat(root, *, effect=1.0, seed=0, n_rows=60):
    rng = np.random.default_rng(seed)
    folder = root / "vtc_fivecat_betas"
    folder.mkdir(parents=True)
    for subject in (1, 2, 3):
        category = effect * rng.normal(size=(n_rows, 1, 5, 1))
        betas = category + rng.normal(size=(n_rows, 3, 5, 3)) + 2.0
        betas[n_rows // 2 :] = 0
        if subject == 1:
            tasks = {name: betas[:, task] for task, name in enumerate(("OB", "WM", "SA"))}
            savemat(folder / "sub1_betas.mat", tasks)
        else:
            savemat(folder / f"sub{subject}_betas.mat", {f"sub{subject}_betas": betas.reshape(n_rows, 15, 3)})
    return root


def make_objects81(root, *, effect=1.0, seed=0, n_stimuli=54, n_voxels=6):
    """EVC, OPA, PPA and LOC follow the visual components, PFS, OFA and FFA those of words."""
    rng = np.random.default_rng(seed)
    folder = root / "objects81_roi_betas"
    folder.mkdir(parents=True)
    visual, words = rng.normal(size=(n_stimuli, 20)), rng.normal(size=(n_stimuli, 30))
    visual, words = visual * np.geomspace(10, 1, 20), words * np.geomspace(10, 1, 30)
    region = np.repeat(np.arange(1, 8), n_voxels)
    betas = rng.normal(size=(n_stimuli, region.size))
    for column, number in enumerate(region):
        features = visual if number <= 4 else words
        signal = features[:, :4] @ rng.normal(size=4)
        betas[:, column] += effect * signal / signal.std()
    np.savez(
        folder / "objects81.npz",
        betas=betas.astype(np.float32),
        conditions=np.array([f"thing{row:02d}" for row in range(n_stimuli)]),
        row_in_source=np.arange(n_stimuli),
        roi_index=region.astype(np.uint8),
        roi_names=np.array(["EVC", "OPA", "PPA", "LOC", "PFS", "OFA", "FFA"]),
        alexnet_pcs=visual.astype(np.float32),
        word2vec_pcs=words.astype(np.float32),
    )
    return root


def make_digit69(root, *, effect=1.0, seed=0, n_trials=40, n_voxels=50):
    """Upright images: a six has its blob at the bottom left, a nine at the top right."""
    rng = np.random.default_rng(seed)
    folder = root / "digit69_fmri"
    folder.mkdir(parents=True)
    labels = np.repeat([1, 2], n_trials // 2)
    images = np.zeros((n_trials, 28, 28), dtype=np.uint8)
    for trial, label in enumerate(labels):
        row, column = (18, 6) if label == 1 else (6, 18)
        row, column = row + rng.integers(-3, 4), column + rng.integers(-3, 4)
        images[trial, row - 3 : row + 4, column - 3 : column + 4] = 255
    flat = images.transpose(0, 2, 1).reshape(n_trials, -1)
    weights = rng.normal(size=(784, n_voxels)) / 784
    responses = 30 * effect * (flat / 255.0) @ weights + 0.3 * rng.normal(size=(n_trials, n_voxels))
    savemat(
        folder / "digit69_train.mat",
        {"fmriTrn": responses, "stimTrn": flat, "labelTrn": labels[:, None].astype(np.uint8)},
    )
    return root


def make_kriegeskorte92(root, *, effect=1.0, seed=0):
    rng = np.random.default_rng(seed)
    folder = root / "kriegeskorte92"
    folder.mkdir(parents=True)
    animal = np.arange(92) < 48
    animacy = (animal[:, None] != animal).astype(float)

    def make_rdms(n, share):
        noise = rng.normal(size=(n, 92, 92))
        noise = (noise + noise.transpose(0, 2, 1)) / 2
        rdms = 1 + 0.2 * noise + share * 0.2 * animacy
        rdms[:, np.arange(92), np.arange(92)] = 0
        return rdms

    def save(name, rdms, labels):
        cells = np.empty((1, len(labels)), dtype=object)
        cells[0] = labels
        savemat(folder / name, {"RDM": rdms, "name": cells})

    labels = [f"hIT | {name} | Session: {session}" for name in ("BE", "KO", "SN") for session in (1, 2)]
    save("92_brainRDMs.mat", make_rdms(6, effect).astype(np.float32), labels)
    save("92_behavRDMs.mat", make_rdms(10, effect), [f"simJudge | subject{n}" for n in range(1, 11)])
    models = np.concatenate([animacy[None], make_rdms(8, 0.0)])
    names = ["animacy", "FaceBodyManmadeNatobj", "EVA", "HMAX", "V1", "Silhouette", "RADON", "V1 model"]
    save("92_modelRDMs.mat", models, [*names, "HMAX natural image patches"])
    flags = {flag: animal.astype(np.uint8) for flag in ("human", "face", "animal", "natural")}
    np.savez(
        folder / "stimuli92.npz",
        images=rng.integers(0, 256, size=(92, 12, 12, 3), dtype=np.uint8),
        category=np.where(animal, "human face", "artificial inanimate"),
        category_vectors=np.zeros((92, 12), dtype=np.uint8),
        category_labels=np.array(["x"] * 12),
        **flags,
    )
    return root


KAY_SERIES = (
    *("BLANK", "FACECON4", "FACECON6", "FACE", "WORDCON3", "WORDCON5", "WORD", "NOISECON4", "NOISECON6"),
    *("NOISE", "FACEPH25", "FACEPH50", "WORDPH0", "WORDPH25", "WORDPH50", "POLYGON", "CHECKERBOARD", "HOUSE"),
)


def make_kay2017(root, *, effect=1.0, seed=0):
    """FFA prefers faces and VWFA words, by contrast and coherence, and the second task scales both.

    A face is a disc and a word a row of bars, so that pixels tell them apart.
    """
    rng = np.random.default_rng(seed)
    folder = root / "kay2017_words_faces"
    folder.mkdir(parents=True)
    labels = np.array([*KAY_SERIES, *(f"NIKO{number:02d}" for number in range(2, 93, 3))])
    stimuli = np.full((len(labels), 750, 750), 127, dtype=np.uint8)
    beta = 0.1 * rng.normal(size=(len(labels), 2))
    vertical, horizontal = np.mgrid[:750, :750] - 375
    disc = vertical**2 + horizontal**2 < 110**2
    bars = (abs(vertical) < 40) & (abs(horizontal) < 140) & (horizontal % 20 < 10)
    blob = (abs(vertical) < 90) & (abs(horizontal) < 60)
    for row, label in enumerate(labels):
        number = int(label[4:]) if label.startswith("NIKO") else 0
        is_face = label.startswith("FACE") or 13 <= number <= 24 or 37 <= number <= 48
        digits = "".join(sign for sign in label if sign.isdigit())
        level = float(digits) / 100 if digits and not number else 1.0
        if label == "BLANK":
            continue
        shape = disc if is_face else bars if label.startswith("WORD") else blob
        stimuli[row, shape] = 127 + round(100 * (level if "CON" in label else 1.0))
        beta[row, 0] += effect * level * label.startswith("WORD")
        beta[row, 1] += effect * level * is_face
    np.savez(
        folder / "experiment2.npz",
        stimuli=stimuli,
        stim_labels=labels,
        roi_labels=np.array(["VWFA", "FFA"]),
        beta=beta.astype(np.float32),
        beta_se=np.full(beta.shape, 0.1, dtype=np.float32),
        beta_boot=(beta + 0.1 * rng.normal(size=(20, *beta.shape))).astype(np.float32),
        row_in_source=np.arange(len(labels)),
    )
    category = np.array(["", *["FACE"] * 6, *["WORD"] * 6, *["OTHER"] * 10])
    response = np.repeat(0.3 + 0.05 * rng.uniform(size=(2, 1, 23)), 2, axis=1)
    response[0, :, category == "WORD"] += 0.5 * effect
    response[1, :, category == "FACE"] += 0.5 * effect
    ips = np.stack([np.full(23, np.nan), 0.3 + 0.1 * rng.normal(size=23)])
    response[:, 1] *= 1 + effect * ips[1]
    np.savez(
        folder / "experiment1_group.npz",
        beta=response,
        beta_se=np.full(response.shape, 0.05),
        ips_beta=ips,
        task=np.array(["fixation", "categorization"]),
        category=category,
        roi_labels=np.array(["VWFA", "FFA"]),
        stimulus_number=np.arange(1, 24),
    )
    return root
