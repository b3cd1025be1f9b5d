"""Memory and time of reading, averaging and encoding one subject of the Natural Scenes Dataset.

    python benchmarks/nsd_memory.py [--sessions 40 --voxels 15000 --features 512 --format hdf5]

Fabricates session files of the true size (81 x 104 x 83 voxels, 750 trials) in a temporary folder, removed
at the end: HDF5 with a chunk per voxel, of which only those of the region are written, or compressed NIfTI.
Prints the seconds of each stage and the peak memory of the process, which fabricating cannot raise, since it
runs in a process of its own. For development: --sessions 2 --voxels 1000.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.datasets.nsd import load_nsd
from neurovis.datasets.nsd_layout import N_IMAGES, name_stimuli
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.encoding import evaluate_encoding
from neurovis.evaluation.preparation import find_test_ids

SHAPE = (81, 104, 83)
VERSION = "betas_fithrf_GLMdenoise_RR"
AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])
MIB = 2**20


def make_region(n_voxels: int) -> NDArray[np.bool_]:
    """The voxels nearest to two points at the back, as compact as a region of each hemisphere."""
    places = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    distance = np.minimum(*(((places - point) ** 2).sum(-1) for point in ((25, 25, 40), (56, 25, 40))))
    region = np.zeros(SHAPE, dtype=bool)
    region.ravel()[np.argsort(distance, axis=None, kind="stable")[:n_voxels]] = True
    return region


def make_features(n_features: int, seed: int) -> NDArray[np.float32]:
    """Features of all images, with a decaying spectrum."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((N_IMAGES, n_features), dtype=np.float32)
    return features * np.arange(1, n_features + 1, dtype=np.float32) ** -0.5


def fabricate(root: Path, options: argparse.Namespace) -> None:
    """Write what the loader reads: design, tables, regions, ncsnr and sessions."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    import nibabel
    from miniature_nsd import make_design, write_experiment

    write_experiment(root)
    region = make_region(options.voxels)
    volumes = root / "nsddata" / "ppdata" / "subj01" / "func1pt8mm"
    betas = root / "nsddata_betas" / "ppdata" / "subj01" / "func1pt8mm" / VERSION
    (volumes / "roi").mkdir(parents=True)
    betas.mkdir(parents=True)
    side = np.arange(SHAPE[0])[:, None, None] < SHAPE[0] // 2
    for prefix, cortex in {"": region, "lh.": region & side, "rh.": region & ~side}.items():
        image = nibabel.Nifti1Image(np.where(cortex, 1, -1).astype(np.int16), AFFINE)
        image.to_filename(volumes / "roi" / f"{prefix}nsdgeneral.nii.gz")
    rng = np.random.default_rng(options.seed)
    ncsnr = np.full(SHAPE, np.nan, dtype=np.float32)
    ncsnr[region] = rng.uniform(0.2, 1.0, options.voxels)
    nibabel.Nifti1Image(ncsnr, AFFINE).to_filename(betas / "ncsnr.nii.gz")
    features = make_features(options.features, options.seed)
    weights = rng.standard_normal((options.features, options.voxels), dtype=np.float32)
    weights *= ncsnr[region] / np.sqrt((weights**2 * features.var(axis=0)[:, None]).sum(axis=0))
    order, images, _ = make_design()
    shown = images[0][order[0] - 1] - 1
    for session in range(options.sessions):
        X = features[shown[750 * session : 750 * (session + 1)]]
        percent = X @ weights + rng.standard_normal((750, options.voxels), dtype=np.float32)
        stored = np.round(300 * (percent * rng.uniform(0.5, 2) + rng.uniform(-1, 1))).astype(np.int16)
        path = betas / f"betas_session{session + 1:02d}"
        (write_hdf5 if options.format == "hdf5" else write_nifti)(path, region, stored)


def write_hdf5(path: Path, region: NDArray[np.bool_], stored: NDArray[np.int16]) -> None:
    """Chunks of one voxel; those outside the region stay unwritten and read as 0."""
    import h5py

    with h5py.File(path.with_suffix(".hdf5"), "w") as file:
        betas = file.create_dataset("betas", (750, *SHAPE[::-1]), "i2", chunks=(750, 1, 1, 1))
        for series, (x, y, z) in zip(stored.T, np.argwhere(region), strict=True):
            betas.id.write_direct_chunk((0, z, y, x), series.tobytes())


def write_nifti(path: Path, region: NDArray[np.bool_], stored: NDArray[np.int16]) -> None:
    """Compressed volumes, trial by trial."""
    import nibabel
    from isal import igzip

    image = nibabel.Nifti1Image(np.broadcast_to(np.int16(0), (*SHAPE, 750)), AFFINE)
    image.header["vox_offset"] = 352
    volume = np.zeros(SHAPE, dtype=np.int16)
    with igzip.open(f"{path}.nii.gz", "wb", compresslevel=1) as file:
        file.write(image.header.binaryblock + b"\0" * 4)
        for trial in stored:
            volume[region] = trial
            file.write(volume.tobytes(order="F"))


def read_peak() -> float:
    """Largest resident memory of this process so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(stage: str, start: float, note: str = "") -> None:
    print(
        f"{stage:12s} {time.perf_counter() - start:7.1f} s   peak so far {read_peak():6.0f} MiB   {note}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("sessions", 40), ("voxels", 15_000), ("features", 512), ("permutations", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--format", choices=("hdf5", "nifti"), default="hdf5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-gb", type=float, default=4.0, help="fail above this peak [10^9 bytes]")
    options = parser.parse_args()
    print(
        f"{options.sessions} sessions x 750 trials, {options.voxels} of {np.prod(SHAPE)} voxels, "
        f"{options.format}, {options.features} features, {options.permutations} permutations, threads "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')}, seed {options.seed}"
    )
    with tempfile.TemporaryDirectory() as folder:
        root, start = Path(folder), time.perf_counter()
        process = multiprocessing.get_context("spawn").Process(target=fabricate, args=(root, options))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"fabricating failed with exit status {process.exitcode}")
        files = [path.stat() for path in root.rglob("*.*") if path.is_file()]
        report("fabricate", start, f"{sum(s.st_blocks for s in files) * 512 / 1e9:.2f} GB on disk")

        start = time.perf_counter()
        sessions = range(1, options.sessions + 1)
        stimuli, data = load_nsd(root=root, sessions=sessions, regions=[], file_format=options.format)
        report("read", start, f"{data.shape[0]} x {data.shape[1]} means, {data.nbytes / MIB:.0f} MiB")
    start = time.perf_counter()
    features = make_features(options.features, options.seed)[stimuli.table["nsd_id"]]
    array = xr.DataArray(
        features,
        dims=("stimulus", "feature"),
        coords={"stimulus_id": ("stimulus", name_stimuli(stimuli.table["nsd_id"].to_numpy()))},
    )
    result = evaluate_encoding(
        array,
        data,
        Ridge(),
        test_ids=find_test_ids(stimuli, data),
        n_permutations=options.permutations,
        seed=options.seed,
    )
    ceiled = float(result.score.ceiled.median())
    report("encode", start, f"median r {float(result.score.values.median()):.3f}, over ceiling {ceiled:.3f}")
    peak = read_peak() * 1024**2 / 1e9
    print(f"peak memory of the process {peak:.2f} GB, limit {options.limit_gb:g} GB")
    if peak > options.limit_gb:
        sys.exit(1)


if __name__ == "__main__":
    main()
