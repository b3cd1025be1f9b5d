"""Fabricated GOD files: true layout, keys, numbers and counts of trials, few voxels, planted responses."""

from dataclasses import dataclass

import h5py
import numpy as np

N_FEATURES = 6
LAYERS = (*(f"cnn{i}" for i in range(1, 9)), *(f"hmax{i}" for i in range(1, 4)), "gist", "sift")
AREAS = ("V1", "V2", "V3", "V4", "LOC", "FFA", "PPA")
N_VOXELS = 40
N_IMAGERY = 10


@dataclass
class GodTruth:
    root: object
    folder: object
    train: np.ndarray  # stimulus numbers category.image
    test: np.ndarray
    features: dict  # stimulus number -> features
    data_type: np.ndarray
    shown: np.ndarray  # stimulus number of every row
    voxels: np.ndarray  # (rows, N_VOXELS) as stored
    flags: dict  # region -> bool of each voxel


def write_bdata(path, parts, extra, *, names=("dataset", "metadata")):
    """``parts``: key -> columns; ``extra``: key -> (key of the columns, one number for each)."""
    table = np.hstack(list(parts.values()))
    keys, values, start = [], [], 0
    places = {}
    for key, columns in parts.items():
        places[key] = slice(start, start + columns.shape[1])
        start += columns.shape[1]
        row = np.full(table.shape[1], np.nan)
        row[places[key]] = 1
        keys.append(key)
        values.append(row)
    for key, (owner, numbers) in extra.items():
        row = np.full(table.shape[1], np.nan)
        row[places[owner]] = numbers
        keys.append(key)
        values.append(row)
    with h5py.File(path, "w") as file:
        file[names[0]] = table.astype(np.float64)
        text = h5py.string_dtype()
        file.create_dataset(f"{names[1]}/key", data=keys, dtype=text)
        file.create_dataset(f"{names[1]}/description", data=["1 = " + key for key in keys], dtype=text)
        file[f"{names[1]}/value"] = np.array(values)


def make_god(root, *, subject="1", ncsnr=0.5, seed=0, **layout):
    rng = np.random.default_rng(seed)
    folder = root / "generic_object_decoding"
    folder.mkdir(parents=True, exist_ok=True)
    category = 1_000_000 + np.sort(rng.choice(3_000_000, 200, replace=False))
    category = rng.permutation(category)
    # Images with a final zero and with few digits are what a careless reading of the number loses.
    image = rng.choice(np.arange(10, 70_000), (200, 8))
    image[:, 0] = image[:, 0] // 10 * 10
    image[:, 1] = image[:, 1] % 100 + 1
    number = category[:, None] + image / 1e6
    train, test = number[:150].ravel(), number[150:, 0]
    features = dict(zip([*train, *test], rng.normal(size=(1250, N_FEATURES)), strict=True))
    shown = np.concatenate([rng.permutation(train), *(rng.permutation(test) for _ in range(35 + N_IMAGERY))])
    data_type = np.repeat([1, 2, 3], [1200, 50 * 35, 50 * N_IMAGERY])
    weights = rng.normal(size=(N_FEATURES, N_VOXELS)) / np.sqrt(N_FEATURES)
    signal = np.array([features[item] for item in shown]) @ weights
    signal /= signal.std(axis=0)
    signal[data_type == 3] *= 0.3
    voxels = 2 + 0.7 * (signal + rng.normal(size=signal.shape) / ncsnr)
    voxels[:, -1] = 1.5  # a voxel that says nothing
    area = rng.integers(0, len(AREAS), N_VOXELS)
    flags = {name: area == place for place, name in enumerate(AREAS)}
    flags |= {"LVC": area < 4, "HVC": (area >= 4) & (rng.random(N_VOXELS) < 0.9)}
    flags["VC"] = flags["LVC"] | flags["HVC"]
    flags["V2"] = flags["V2"] | (flags["V1"] & (rng.random(N_VOXELS) < 0.5))
    parts = {
        "VoxelData": voxels,
        "DataType": data_type[:, None],
        "stimulus_id": shown[:, None],
        "Run": 1 + np.arange(len(shown))[:, None] // 50,
        "Block": 1 + np.arange(len(shown))[:, None] % 50,
    }
    extra = {f"ROI_{name}": ("VoxelData", np.where(flag, 1.0, np.nan)) for name, flag in flags.items()}
    extra |= {f"voxel_{axis}": ("VoxelData", 3.0 * rng.integers(-20, 20, N_VOXELS)) for axis in "xyz"}
    write_bdata(folder / f"Subject{subject}.h5", parts, extra, **layout)
    _write_features(folder, rng, train, test, features, **layout)
    return GodTruth(root, folder, train, test, features, data_type, shown, voxels, flags)


def _write_features(folder, rng, train, test, features, **layout):
    images = np.array([features[item] for item in [*train, *test]])
    n_candidates = 20
    parts = {}
    for place, layer in enumerate(LAYERS):
        # The first layer holds the features that drive the voxels, the others none of them.
        own = images if place == 0 else rng.normal(size=(1250, 3 + place))
        means = rng.normal(size=(50 + n_candidates, own.shape[1]))
        parts[layer] = np.vstack([own, means])
    missing = np.full(50 + n_candidates, np.nan)
    candidates = 5_000_000 + np.arange(n_candidates)
    category = np.floor(np.concatenate([train, test, test, candidates]))
    parts["ImageID"] = np.concatenate([train, test, missing])[:, None]
    parts["CatID"] = category[:, None]
    parts["FeatureType"] = np.repeat([1, 2, 3, 4], [1200, 50, 50, n_candidates])[:, None]
    write_bdata(folder / "ImageFeatures.h5", parts, {}, **layout)
