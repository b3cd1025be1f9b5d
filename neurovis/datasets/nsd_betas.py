"""Betas of the Natural Scenes Dataset, session by session: only the masked voxels are ever held.

Volumes hold whole numbers (int16), percent signal change times 300; surfaces as MGH hold percent (float32).
An HDF5 file has the order of MATLAB, so that h5py sees ``(trials, z, y, x)`` where nibabel sees
``(x, y, z, trials)``; the two readers return the same matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional
from neurovis.datasets.nsd_layout import N_TRIALS, list_sessions, name_subject
from neurovis.datasets.nsd_rois import HEMISPHERES, N_VERTICES, VOLUMES, Space, open_surface, read_surface
from neurovis.io.nifti import open_image, read_masked_series, read_volume

VERSIONS = ("betas_assumehrf", "betas_fithrf", "betas_fithrf_GLMdenoise_RR")
SCALE = 300.0
"""Stored integers per percent signal change."""

_SUFFIXES = {"hdf5": ".hdf5", "nifti": ".nii.gz", "mgh": ".mgh"}
_BLOCK_BYTES = 32 * 2**20
_GAP = 3  # unmasked voxels that are cheaper to read along than to leave out


@dataclass(frozen=True)
class BetaFiles:
    """Files of some sessions in one format.

    Parameters
    ----------
    file_format : {"hdf5", "nifti", "mgh"}
        Of all files.
    paths : dict of int to tuple of path
        Session to its file, or to its files of the left and the right hemisphere.
    """

    file_format: str
    paths: dict[int, tuple[Path, ...]]


def find_betas(space: Space, version: str, sessions: Sequence[int], file_format: str = "auto") -> BetaFiles:
    """Files of the sessions, checked to be there.

    Parameters
    ----------
    space : Space
        Subject and space.
    version : str
        One of :data:`VERSIONS`.
    sessions : sequence of int
        From 1.
    file_format : {"auto", "hdf5", "nifti", "mgh"}
        "auto" takes HDF5 where all sessions have it, since it is read fastest, and the other one else.

    Raises
    ------
    FileNotFoundError
        Naming the missing sessions and the first missing file.
    ValueError
        If the space has no such format.
    """
    offered = ("hdf5", "nifti") if space.name in VOLUMES else ("hdf5", "mgh")
    check_option("version", version, VERSIONS)
    check_option("file_format", file_format, ("auto", *offered), remedy=f"as space {space.name!r} has them")
    formats = offered if file_format == "auto" else (file_format,)
    missing: dict[str, list[int]] = {}
    for name in formats:
        paths = {s: _name_files(space, version, f"betas_session{s:02d}{_SUFFIXES[name]}") for s in sessions}
        missing[name] = [s for s, files in paths.items() if not all(file.is_file() for file in files)]
        if not missing[name]:
            return BetaFiles(name, paths)
    best = min(missing, key=lambda name: len(missing[name]))
    absent = _name_files(space, version, f"betas_session{missing[best][0]:02d}{_SUFFIXES[best]}")
    lacking = next(file for file in absent if not file.is_file())
    there = sorted(set(sessions) - set(missing[best]))
    remedy = f"pass sessions={there} to read fewer" if there else "check version and space"
    raise FileNotFoundError(
        f"betas of {name_subject(space.subject)} must be there for sessions {list_sessions(sessions)}, got "
        f"none for sessions {list_sessions(missing[best])} as {best}, the first file is {lacking}; get them, "
        f"or {remedy}."
    )


def read_ncsnr(space: Space, version: str, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Signal sd / noise sd of one trial for every neuroid of a mask; NaN where it was not estimated.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing or lies on another grid.
    """
    paths = _name_files(space, version, "ncsnr.nii.gz" if space.is_volume else "ncsnr.mgh")
    if space.is_volume:
        values = read_volume(paths[0]).values
    else:
        values = np.stack([read_surface(path) for path in paths])
    if values.shape != mask.shape:
        raise ValueError(
            f"{paths[0]} must have the shape {mask.shape} of the mask, got {values.shape}; get it again."
        )
    return values[mask].astype(np.float64)


def read_session(files: BetaFiles, session: int, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Betas of one session.

    Parameters
    ----------
    files : BetaFiles
        From :func:`find_betas`.
    session : int
        One of its sessions.
    mask : array of bool, shape (x, y, z) or (2, n_vertices)
        Neuroids, with the axes of nibabel whatever the format.

    Returns
    -------
    array of shape (750, n_neuroids)
        Percent signal change, neuroids in C order of the mask; NaN only if an MGH file has it.

    Raises
    ------
    ValueError
        If a file is truncated, or has another shape, dtype or scaling than published.
    """
    paths = files.paths[session]
    if files.file_format == "nifti":
        return _read_nifti(paths[0], mask)
    if mask.ndim == 3:
        return _read_hdf5(paths[0], mask, (np.int16,))
    # The integers of a surface in HDF5 are scaled as those of a volume; its floats are percent.
    read = _read_mgh if files.file_format == "mgh" else _read_surface_hdf5
    values = np.empty((N_TRIALS, int(mask.sum())), dtype=np.float32)
    start = 0
    for path, half in zip(paths, mask, strict=True):
        stop = start + int(half.sum())
        if stop > start:
            values[:, start:stop] = read(path, half)
        start = stop
    return values


def _name_files(space: Space, version: str, name: str) -> tuple[Path, ...]:
    folder = space.folder / "nsddata_betas" / "ppdata" / name_subject(space.subject) / space.name / version
    if space.is_volume:
        return (folder / name,)
    return tuple(folder / f"{prefix}.{name}" for prefix in HEMISPHERES.values())


def _read_nifti(path: Path, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    image = open_image(path)
    shape, dtype = tuple(image.shape), image.get_data_dtype()
    _check_file(path, shape, (*mask.shape, N_TRIALS), dtype, (np.int16,))
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if (slope, intercept) != (1.0, 0.0):
        raise ValueError(
            f"{path} must have no scaling in its header, since its integers are percent x 300, got slope "
            f"{slope} and intercept {intercept}; get the published file."
        )
    values: NDArray[np.float32] = read_masked_series(path, mask).values
    values /= SCALE
    return values


def _read_mgh(path: Path, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    vertices = np.flatnonzero(mask)
    values = np.empty((N_TRIALS, len(vertices)), dtype=np.float32)
    with open_surface(path) as image:
        shape, wanted = tuple(image.shape), (N_VERTICES, 1, 1, N_TRIALS)
        _check_file(path, shape, wanted, image.get_data_dtype(), (np.float32,))
        # Mapped into memory: pages without a wanted vertex are never read.
        series = np.asanyarray(image.dataobj)
        for trial in range(N_TRIALS):
            values[trial] = series[:, 0, 0, trial][vertices]
    return values


def _read_surface_hdf5(path: Path, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return _read_hdf5(path, mask, (np.int16, np.float32))


def _read_hdf5(path: Path, mask: NDArray[np.bool_], dtypes: Sequence[Any]) -> NDArray[np.float32]:
    """Neuroids of a dataset ``betas`` whose axes are those of the mask, reversed, after the trials."""
    with _open_betas(path) as betas:
        _check_file(path, betas.shape, (N_TRIALS, *mask.shape[::-1]), betas.dtype, dtypes)
        stored = mask.T
        # Position in C order of the mask of each neuroid in the order of the file.
        place = np.empty(mask.shape, dtype=np.intp)
        place[mask] = np.arange(mask.sum())
        order = place.T[stored]
        whole_series = betas.chunks is not None and betas.chunks[0] == N_TRIALS
        gather = _gather_series if whole_series else _gather_trials
        values = np.empty((N_TRIALS, len(order)), dtype=np.float32)
        values[:, order] = gather(betas, stored)
        if betas.dtype == np.int16:
            values /= SCALE
    return values


@contextmanager
def _open_betas(path: Path) -> Iterator[Any]:
    h5py = import_optional("h5py", extra="fmri")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is truncated or not an HDF5 file ({error}); get it again.") from error
    with file:
        betas = file.get("betas")
        if getattr(betas, "shape", None) is None:
            raise ValueError(f"{path} must hold the array 'betas', got {sorted(file)}; get it again.")
        try:
            yield betas
        except OSError as error:
            raise ValueError(f"{path} is truncated ({error}); get it again.") from error


def _check_file(
    path: Path, shape: tuple[int, ...], wanted: tuple[int, ...], dtype: Any, dtypes: Sequence[Any]
) -> None:
    if shape != wanted:
        remedy = "get the published file, and pass a mask of its space with the axes of nibabel"
        if shape == wanted[::-1]:
            remedy = "its axes are reversed: it was not written in the order of MATLAB"
        elif len(shape) == len(wanted) and N_TRIALS not in shape:
            remedy = f"a session has {N_TRIALS} trials"
        raise ValueError(
            f"{path} must have shape {wanted} for this mask and {N_TRIALS} trials, got {shape}; {remedy}."
        )
    if np.dtype(dtype).newbyteorder("=") not in [np.dtype(item) for item in dtypes]:
        names = " or ".join(np.dtype(item).name for item in dtypes)
        raise ValueError(
            f"{path} must hold {names}, got {np.dtype(dtype).name}: its scale is unknown; get the published "
            "file."
        )


def _gather_series(betas: Any, stored: NDArray[np.bool_]) -> NDArray[Any]:
    """Neuroids of a dataset whose chunks are series of one neuroid, in the order of the file."""
    values = np.empty((N_TRIALS, int(stored.sum())), dtype=betas.dtype)
    column = 0
    for line in np.argwhere(stored.any(axis=-1)):
        inside = np.flatnonzero(stored[tuple(line)])
        for run in np.split(inside, np.flatnonzero(np.diff(inside) > _GAP) + 1):
            block = betas[(slice(None), *line, slice(run[0], run[-1] + 1))]
            values[:, column : column + len(run)] = block[:, run - run[0]]
            column += len(run)
    return values


def _gather_trials(betas: Any, stored: NDArray[np.bool_]) -> NDArray[Any]:
    """The same of a dataset in any other layout, some whole trials at a time."""
    values = np.empty((N_TRIALS, int(stored.sum())), dtype=betas.dtype)
    step = max(1, _BLOCK_BYTES // (betas.dtype.itemsize * stored.size))
    if betas.chunks is not None:
        step = max(step, betas.chunks[0])
    for start in range(0, N_TRIALS, step):
        values[start : start + step] = betas[start : start + step][:, stored]
    return values
