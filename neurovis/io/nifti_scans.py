"""Masked voxels of a 4-D image, scan by scan in the order of the file.

A NIfTI file holds its scans one after the other. Each is read into one buffer, which stays in the
processor's cache, and its masked voxels are gathered from there; only those are scaled and converted. A gz
file is decompressed ahead of the gathering by a second thread. So what bounds the time is the copy out of the
file cache, or the decompression, and what bounds memory is the result and a few scans.

Whatever is not one NIfTI file (pairs of .hdr and .img, other formats, other compressions) goes through
nibabel in blocks of scans.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neurovis.core import import_optional

_BLOCK_BYTES = 64 * 2**20
_PLAIN_SUFFIXES = (".nii", ".gz")


def find_dtype(image: Any, path: str | Path, dtype: DTypeLike | None) -> np.dtype[Any]:
    """The type to keep voxels in: the one asked for, or the file's own.

    Parameters
    ----------
    image : nibabel image
        Opened lazily.
    path : path
        For messages.
    dtype : dtype or None
        Wanted type; ``None`` is the file's own, or float64 where its header scales the numbers.

    Raises
    ------
    ValueError
        If the file holds complex numbers or colours, or the type cannot hold its numbers.
    """
    stored = np.dtype(image.get_data_dtype())
    if stored.kind not in "iuf":
        raise ValueError(
            f"{path} must hold real numbers, got {stored}; write magnitudes, or one grey image, instead."
        )
    source = np.dtype(np.float64) if _is_scaled(image) else stored.newbyteorder("=")
    target = source if dtype is None else np.dtype(dtype)
    # Rounding of floats is what was asked for; a fraction or a number lost to an integer type is not.
    if not np.can_cast(source, target, "same_kind" if target.kind == "f" else "safe"):
        scaled = ", scaled by its header" if _is_scaled(image) else ""
        raise ValueError(
            f"dtype must hold the {stored} numbers of {path}{scaled}, got {target}; pass dtype=np.float32, "
            "or None for the file's own."
        )
    return target


def iterate_blocks(
    image: Any,
    path: str | Path,
    selected: NDArray[np.bool_],
    *,
    dtype: np.dtype[Any],
    n_block: int,
    finite: NDArray[np.bool_],
) -> Iterator[NDArray[Any]]:
    """Masked voxels in blocks of scans.

    Parameters
    ----------
    image : nibabel image
        4-D, opened lazily.
    path : path
        Its file.
    selected : bool array of shape (x, y, z)
        Voxels to keep.
    dtype : dtype
        From :func:`find_dtype`.
    n_block : int
        Scans in a block; the last one may be shorter.
    finite : bool array of shape (n_voxels,)
        Set to ``False`` for voxels that hold NaN or infinity, before the block is handed out.

    Yields
    ------
    array of shape (<= n_block, n_voxels)
        A new array each time, in the order of ``np.argwhere(selected)``.

    Raises
    ------
    EOFError, OSError
        If the file is truncated or damaged.
    """
    slope, inter = 1.0, 0.0
    if _is_plain(image, path):
        scans = _iterate_plain(image, Path(path), selected)
        slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
    else:
        scans = _iterate(image, selected)
    n_scans = int(image.shape[3])
    flags = np.empty(finite.shape, dtype=bool)
    for start in range(0, n_scans, n_block):
        block = np.empty((min(n_block, n_scans - start), finite.size), dtype=dtype)
        for row in block:
            scan = next(scans)
            # In float64 and in this order, as nibabel does it.
            row[:] = scan if (slope, inter) == (1.0, 0.0) else scan.astype(np.float64) * slope + inter
            if dtype.kind == "f":
                finite &= np.isfinite(row, out=flags)
        if start + len(block) == n_scans:
            # Only the end of a gz file tells whether its content is what was compressed.
            next(scans, None)
        yield block


def _is_scaled(image: Any) -> bool:
    proxy = image.dataobj
    return (getattr(proxy, "slope", None), getattr(proxy, "inter", None)) != (1.0, 0.0)


def _is_plain(image: Any, path: str | Path) -> bool:
    nibabel = import_optional("nibabel", extra="fmri")
    return (
        isinstance(image, nibabel.Nifti1Image)  # Nifti2Image is one of them, pairs of files are not
        and Path(path).suffix.lower() in _PLAIN_SUFFIXES
    )


def _iterate_plain(image: Any, path: Path, selected: NDArray[np.bool_]) -> Iterator[NDArray[Any]]:
    """Unscaled masked voxels of each scan, in one array that the next scan overwrites."""
    n_scans = int(image.shape[3])
    scan = np.empty(selected.size, dtype=image.dataobj.dtype)
    view = scan.view(np.uint8).data
    # The file runs through x first, argwhere through z first.
    index = np.ravel_multi_index(np.nonzero(selected), selected.shape, order="F")
    gathered = np.empty(len(index), dtype=scan.dtype)
    with _open_stream(path) as stream:
        stream.read(image.dataobj.offset)
        for number in range(n_scans):
            done = 0
            while done < len(view):
                n_read = stream.readinto(view[done:])
                if not n_read:
                    raise EOFError(f"it ends in scan {number + 1} of {n_scans}")
                done += n_read
            yield np.take(scan, index, out=gathered, mode="clip")
        while stream.read(_BLOCK_BYTES):
            pass


def _iterate(image: Any, selected: NDArray[np.bool_]) -> Iterator[NDArray[Any]]:
    """Scaled masked voxels of each scan, through nibabel."""
    n_scans = int(image.shape[3])
    # Forward blocks: a compressed file can only be read from its start, and scaling makes float64.
    n_block = max(1, _BLOCK_BYTES // (selected.size * 8))
    for start in range(0, n_scans, n_block):
        block = np.asanyarray(image.dataobj[..., start : start + n_block])
        yield from block[selected].T


@contextmanager
def _open_stream(path: Path) -> Iterator[Any]:
    """Bytes of a file from its start, decompressed in a thread of their own if it is a gz file."""
    if path.suffix.lower() != ".gz":
        with path.open("rb", buffering=0) as stream:
            yield stream
        return
    threaded = import_optional("isal.igzip_threaded", extra="fmri")
    errors = import_optional("isal.isal_zlib", extra="fmri")
    try:
        with threaded.open(str(path), "rb", threads=1) as stream:
            yield stream
    except errors.error as error:
        raise OSError(f"its compressed data are damaged: {error}") from error
