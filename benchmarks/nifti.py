"""A 4-D NIfTI file and a mask to a matrix: ours against nilearn's NiftiMasker, raw and gz.

    python benchmarks/nifti.py [--size 64 76 64 --scans 60 --pairs 5 --dtype float32 --slope 0]
    python benchmarks/nifti.py --size 80 96 80 --scans 300            # a long run at 2 mm
    python benchmarks/nifti.py --size 81 104 83 --scans 750 --dtype int16 --pairs 1      # an NSD session

Peer and ours alternate in one process after one warm-up each; memory comes from a process of its own for
each reader: the peak beyond what the imports took. Prints one line per file with the median seconds, the
median of the pairs' ratios, the largest difference and both peaks, then what the file itself allows: the
time to copy it out of the file cache and, for gz, to decompress it with zlib and with isal without looking
at the content.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from isal import isal_zlib

from neurovis.io.nifti import iterate_masked_series, read_masked_series

READERS = ("nilearn", "ours", "stream")
_CHUNK = 2**20
_BLOCK = 16


def make_files(folder: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """A head with anatomy and noise, air of zeros around it, and a mask of its inner part."""
    rng = np.random.default_rng(options.seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in options.size], indexing="ij")
    radius = x**2 + y**2 + z**2
    anatomy = 800 + 400 * np.sin(5 * x) * np.cos(4 * y)
    values = np.zeros((*options.size, options.scans), dtype=options.dtype, order="F")
    for scan in range(options.scans):
        noise = 10 * rng.standard_normal(options.size, dtype=np.float32)
        values[..., scan] = np.where(radius < 0.9, anatomy + noise, 0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_zooms((2.0, 2.0, 2.0, 2.0))
    if options.slope:
        image.header.set_slope_inter(options.slope, 0)
    image.to_filename(folder / "run.nii")
    image.to_filename(folder / "run.nii.gz")
    mask = (radius < 0.55).astype(np.uint8)
    nibabel.Nifti1Image(mask, affine).to_filename(folder / "mask.nii")
    return folder / "run.nii", folder / "run.nii.gz"


def read(reader: str, path: Path) -> Any:
    mask = path.parent / "mask.nii"
    if reader == "nilearn":
        from nilearn.maskers import NiftiMasker

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return NiftiMasker(mask_img=str(mask), standardize=None).fit_transform(str(path))
    if reader == "ours":
        return read_masked_series(path, mask).values
    for block in iterate_masked_series(path, mask, block=_BLOCK, dtype=None):
        last = block
    return last


def measure(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def report_peak(reader: str, path: Path) -> None:
    """In a child: the peak beyond what imports and reading a tiny file took [MB]."""
    tiny = path.parent / "tiny" / "run.nii.gz"
    read(reader, tiny)
    # The peak of getrusage would be that of the parent, which held the whole file.
    before = read_peak()
    result = read(reader, path)
    print(read_peak() - before, result.nbytes / 2**20)


def read_peak() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def measure_peak(reader: str, path: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, "--child", reader, str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(output[0]), float(output[1])


def copy_out(path: Path) -> None:
    buffer = bytearray(_CHUNK)
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(buffer):
            pass


def decompress(path: Path, module: Any) -> None:
    decoder = module.decompressobj(31)
    with path.open("rb", buffering=0) as stream:
        while content := stream.read(_CHUNK):
            decoder.decompress(content)


def compare(path: Path, n_pairs: int) -> float:
    values = {reader: read(reader, path) for reader in ("nilearn", "ours")}
    difference = np.abs(values["nilearn"].astype(np.float64) - values["ours"]).max()
    values.clear()
    rounds = []
    for _ in range(n_pairs):
        peer, ours = (measure(lambda r=r: read(r, path).shape)[0] for r in ("nilearn", "ours"))
        rounds.append((peer, ours))
    peer_s, ours_s = (statistics.median(entry[side] for entry in rounds) for side in (0, 1))
    ratio = statistics.median(peer / ours for peer, ours in rounds)
    peaks = {reader: measure_peak(reader, path) for reader in READERS}
    print(
        f"{path.name:11s} nilearn {peer_s:7.3f} s  ours {ours_s:7.3f} s  ratio {ratio:6.1f}  "
        f"largest difference {difference:.1e}  peak {peaks['nilearn'][0]:.0f} / {peaks['ours'][0]:.0f} MB, "
        f"the result alone {peaks['ours'][1]:.0f}; in blocks of {_BLOCK} scans {peaks['stream'][0]:.0f} MB",
        flush=True,
    )
    return ours_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=[64, 76, 64])
    for name, default in (("scans", 60), ("pairs", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--slope", type=float, default=0.0, help="slope of the header; 0 is none")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        report_peak(options.child[0], Path(options.child[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny").mkdir()
        make_files(folder / "tiny", argparse.Namespace(**{**vars(options), "size": [8, 8, 8], "scans": 3}))
        paths = make_files(folder, options)
        megabytes = [path.stat().st_size / 2**20 for path in paths]
        print(
            f"{'x'.join(map(str, options.size))}x{options.scans} {options.dtype}, slope {options.slope:g}: "
            f"raw {megabytes[0]:.0f} MB, gz {megabytes[1]:.0f} MB; {options.pairs} pairs, "
            f"seed {options.seed}, threads {os.environ.get('OMP_NUM_THREADS', 'all')} "
            "(gz: one more that decompresses)",
            flush=True,
        )
        for path in paths:
            ours = compare(path, options.pairs)
            limits = {"copy out of the file cache": lambda path=path: copy_out(path)}
            if path.suffix == ".gz":
                limits = {
                    "zlib alone": lambda path=path: decompress(path, zlib),
                    "isal alone": lambda path=path: decompress(path, isal_zlib),
                }
            for label, function in limits.items():
                seconds = statistics.median(measure(function)[0] for _ in range(max(3, options.pairs)))
                print(f"    limit: {label} {seconds:.3f} s, ours takes {ours / seconds:.2f} times that")


if __name__ == "__main__":
    main()
