"""A fabricated Algonauts 2023 folder: true file names, layout and dtypes, planted linear responses."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

N_FEATURES = 8
# Label values and names as published; class -> mapping.
MAPPINGS = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
}


@dataclass
class AlgonautsTruth:
    root: object
    folder: object
    features: np.ndarray  # (73000, N_FEATURES), by nsdId from 0
    train: np.ndarray  # nsdId of the training images in order
    test: np.ndarray
    vertices: dict  # lh, rh -> numbers on fsaverage
    labels: dict  # (class, lh or rh) -> label of each vertex
    ceiling: dict  # lh, rh -> share of variance of the test responses
    responses: dict  # (split, lh or rh) -> array


def make_algonauts2023(root, *, subject="1", n_train=260, n_test=60, n_vertices=(40, 50), seed=0):
    """Signal and noise are scaled so that a perfect model reaches r**2 = ceiling on the test images."""
    rng = np.random.default_rng(seed)
    folder = root / "algonauts_2023" / f"subj0{subject}"
    features = rng.normal(size=(73_000, N_FEATURES)).astype(np.float32)
    numbers = np.sort(rng.choice(73_000, n_train + n_test, replace=False))
    shuffled = rng.permutation(numbers)
    shown = {"train": shuffled[:n_train], "test": shuffled[n_train:]}
    truth = AlgonautsTruth(root, folder, features, shown["train"], shown["test"], {}, {}, {}, {})
    masks = folder / "roi_masks"
    masks.mkdir(parents=True)
    for split, long in (("train", "training"), ("test", "test")):
        (folder / f"{long}_split" / f"{long}_images").mkdir(parents=True)
        (folder / f"{long}_split" / f"{long}_fmri").mkdir()
        for rank, number in enumerate(shown[split], start=1):
            name = f"{split}-{rank:04d}_nsd-{number:05d}.png"
            pixels = np.full((5, 5, 3), number % 256, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{long}_split" / f"{long}_images" / name)
    (folder / "test_split" / "noise_ceiling").mkdir()
    for name, regions in MAPPINGS.items():
        np.save(masks / f"mapping_{name}.npy", {0: "Unknown", **dict(enumerate(regions, start=1))})
    for short, n in zip(("lh", "rh"), n_vertices, strict=True):
        inside = np.zeros(163_842, dtype=np.int64)
        truth.vertices[short] = np.sort(rng.choice(163_842, n, replace=False))
        inside[truth.vertices[short]] = 1
        np.save(masks / f"{short}.all-vertices_fsaverage_space.npy", inside)
        for name, regions in MAPPINGS.items():
            # Few vertices have a label in the category-selective classes, most in the streams.
            labelled = rng.random(n) < (0.5 if name == "streams" else 0.3)
            labels = np.where(labelled, rng.integers(1, len(regions) + 1, size=n), 0)
            whole = np.zeros(163_842, dtype=np.int64)
            whole[truth.vertices[short]] = labels
            np.save(masks / f"{short}.{name}_fsaverage_space.npy", whole)
            np.save(masks / f"{short}.{name}_challenge_space.npy", labels)
            truth.labels[name, short] = labels
        ceiling = rng.uniform(0.2, 0.6, size=n)
        ceiling[-1] = 0
        weights = rng.normal(size=(N_FEATURES, n)) / np.sqrt(N_FEATURES)
        scale = (features @ weights).std(axis=0)
        for split, long in (("train", "training"), ("test", "test")):
            signal = features[shown[split]] @ weights / scale * np.sqrt(ceiling)
            noise = rng.normal(size=signal.shape) * np.sqrt(1 - ceiling)
            truth.responses[split, short] = (signal + noise).astype(np.float32)
            np.save(
                folder / f"{long}_split" / f"{long}_fmri" / f"{short}_{long}_fmri.npy",
                truth.responses[split, short],
            )
        np.save(folder / "test_split" / "noise_ceiling" / f"{short}_noise_ceiling.npy", ceiling)
        truth.ceiling[short] = ceiling
    return truth
