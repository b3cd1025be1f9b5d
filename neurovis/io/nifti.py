"""NIfTI volumes: a 4-D run and a mask to a (scans, voxels) matrix and back, with the repetition time in s.

A run is read scan by scan (:mod:`neurovis.io.nifti_scans`), so that no more is held than the masked matrix
and a few scans. Trap that the reader knows: the fourth zoom of a header is often in milliseconds while the
unit field says seconds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neurovis.core import check_array, check_option, import_optional
from neurovis.io.atomic import atomic_path
from neurovis.io.nifti_scans import find_dtype, iterate_blocks

_SECONDS_PER_UNIT = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_LONGEST_T_R = 100.0  # [s]; no scanner takes longer for one volume, so more is milliseconds
_AFFINE_TOLERANCE = 1e-2  # [mm]


@dataclass(frozen=True)
class Volume:
    """A 3-D image.

    Parameters
    ----------
    values : array of shape (x, y, z)
        Voxel values.
    affine : array of shape (4, 4)
        Voxel indices to world coordinates [mm].
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]


@dataclass(frozen=True)
class MaskedSeries:
    """The voxels of a 4-D image that a mask selects.

    Parameters
    ----------
    values : array of shape (n_scans, n_voxels)
        Time series, float32 unless another type was asked for, in the order of ``np.argwhere(mask)``
        (C order).
    mask : bool array of shape (x, y, z)
        Selected voxels.
    affine : array of shape (4, 4)
        Voxel indices to world coordinates [mm].
    t_r : float or None
        Repetition time [s]; ``None`` if the header has none.
    """

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    t_r: float | None

    @property
    def ijk(self) -> NDArray[np.int64]:
        """Voxel indices, shape (n_voxels, 3)."""
        return np.argwhere(self.mask)

    @property
    def xyz_mm(self) -> NDArray[np.float64]:
        """Voxel centres in world coordinates, shape (n_voxels, 3) [mm]."""
        return self.ijk @ self.affine[:3, :3].T + self.affine[:3, 3]


def convert_time_step(value: float, unit: str) -> float | None:
    """Repetition time in seconds from a header's number and unit.

    Parameters
    ----------
    value : float
        Fourth zoom of a NIfTI header, or ``TimeStep`` of a GIFTI file.
    unit : str
        ``"sec"``, ``"msec"``, ``"usec"`` or ``"unknown"``.

    Returns
    -------
    float or None
        [s]; ``None`` if the header holds no positive number.

    Notes
    -----
    100 "seconds" or more are taken as milliseconds: headers that say seconds and hold milliseconds are
    common, and no scanner needs 100 s for one volume.
    """
    if not np.isfinite(value) or value <= 0:
        return None
    seconds = float(value) * _SECONDS_PER_UNIT.get(unit, 1.0)
    return seconds / 1000 if seconds >= _LONGEST_T_R else seconds


def read_volume(path: str | Path) -> Volume:
    """Read a 3-D image (a 4-D image with one volume counts as 3-D).

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, empty, truncated, foreign, or has another number of dimensions.
    """
    image = open_image(path)
    shape = tuple(image.shape)
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != 3:
        raise ValueError(f"{path} must be a 3-D image, got shape {image.shape}; read runs with read_series.")
    with refuse_broken(path):
        values = np.asanyarray(image.dataobj).reshape(shape)
    return Volume(values, np.asarray(image.affine, dtype=np.float64))


def read_masked_series(
    path: str | Path,
    mask: str | Path | Volume | NDArray[Any] | None = None,
    *,
    labels: Sequence[int] | None = None,
    invalid: str = "raise",
    dtype: DTypeLike | None = np.float32,
) -> MaskedSeries:
    """Read the masked voxels of a 4-D NIfTI run.

    Parameters
    ----------
    path : path
        4-D image.
    mask : path, Volume or array of shape (x, y, z), optional
        Voxels to keep: where it is nonzero, or holds one of ``labels``. A path or a ``Volume`` is checked
        to have the affine of the run, an array only its shape. Default: every voxel.
    labels : sequence of int, optional
        Values of an integer label image to keep.
    invalid : {"raise", "drop", "keep"}
        What to do with voxels that hold NaN or infinity at any scan: refuse the run, shrink the mask, or
        leave them to the caller.
    dtype : dtype, optional
        Type of the values; ``None`` keeps the file's own (int16 stays int16), which is float64 where the
        header scales the numbers.

    Returns
    -------
    MaskedSeries

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is empty, truncated or foreign, the image is not 4-D or not of real numbers, the mask does
        not fit or selects nothing, ``dtype`` cannot hold the numbers, or values are not finite and
        ``invalid="raise"``.
    """
    check_option("invalid", invalid, ("raise", "drop", "keep"))
    image, selected, affine = _open_series(path, mask, labels)
    valid = np.ones(np.count_nonzero(selected), dtype=bool)
    kept = find_dtype(image, path, dtype)
    with refuse_broken(path):
        n_scans = int(image.shape[3])
        values = next(
            iterate_blocks(image, path, selected, dtype=kept, n_block=n_scans, finite=valid),
            np.empty((0, valid.size), dtype=kept),
        )
    if invalid == "raise":
        _check_finite(valid, selected, path, "shrink the mask or pass invalid='drop'")
    if invalid == "drop" and not valid.all():
        values = values[:, valid]
        ijk = np.argwhere(selected)
        selected = selected.copy()
        selected[tuple(ijk[~valid].T)] = False
    zooms = image.header.get_zooms()
    t_r = convert_time_step(float(zooms[3]), image.header.get_xyzt_units()[1])
    return MaskedSeries(values, selected, affine, t_r)


def iterate_masked_series(
    path: str | Path,
    mask: str | Path | Volume | NDArray[Any] | None = None,
    *,
    labels: Sequence[int] | None = None,
    block: int = 64,
    invalid: str = "raise",
    dtype: DTypeLike | None = np.float32,
) -> Iterator[NDArray[Any]]:
    """Stream the masked voxels of a 4-D NIfTI file, for runs or sessions that need not be held whole.

    Parameters
    ----------
    path, mask, labels, dtype
        As in :func:`read_masked_series`.
    block : int
        Scans at a time, at least 1.
    invalid : {"raise", "keep"}
        Refuse NaN and infinity, or leave them to the caller.

    Yields
    ------
    array of shape (<= block, n_voxels)
        Consecutive scans, a new array each time, in the order of ``np.argwhere(mask)``.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_masked_series`: what the header and the mask tell at once, damage further on and
        values that are not finite when they are reached.
    """
    check_option("invalid", invalid, ("raise", "keep"), remedy="a stream cannot shrink its mask")
    if block < 1:
        raise ValueError(f"block must be at least 1 scan, got {block}; 64 is usually enough.")
    image, selected, _ = _open_series(path, mask, labels)
    kept = find_dtype(image, path, dtype)
    return _iterate_checked(image, path, selected, kept, block, invalid)


def write_volume(
    values: NDArray[Any], path: str | Path, *, affine: NDArray[Any], t_r: float | None = None
) -> Path:
    """Write a 3-D or 4-D image atomically.

    Parameters
    ----------
    values : array of shape (x, y, z[, scans])
        Stored in their own dtype; booleans as uint8.
    path : path
        ``.nii`` or ``.nii.gz``.
    affine : array of shape (4, 4)
        Voxel indices to world coordinates [mm].
    t_r : float, optional
        Repetition time [s]; required for 4-D values.
    """
    nibabel = import_optional("nibabel", extra="fmri")
    values = np.asarray(values)
    if values.dtype == bool:
        values = values.astype(np.uint8)
    check_array("values", values, ndim=(3, 4), finite=False)
    image = nibabel.Nifti1Image(values, np.asarray(affine, dtype=np.float64))
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        if t_r is None or t_r <= 0:
            raise ValueError(f"t_r must be a positive number of seconds for 4-D values, got {t_r}; pass it.")
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    with atomic_path(path) as temporary:
        image.to_filename(temporary)
    return Path(path)


def unmask(values: NDArray[Any], mask: NDArray[np.bool_], *, fill: float = 0.0) -> NDArray[Any]:
    """Put masked values back on the grid.

    Parameters
    ----------
    values : array of shape (n_voxels,) or (n_scans, n_voxels)
        In the order of ``np.argwhere(mask)``.
    mask : bool array of shape (x, y, z)
        Where they belong.
    fill : float
        Value elsewhere.

    Returns
    -------
    array of shape (x, y, z) or (x, y, z, n_scans)
    """
    values = check_array("values", values, ndim=(1, 2), finite=False)
    n_voxels = int(np.count_nonzero(mask))
    if values.shape[-1] != n_voxels:
        raise ValueError(
            f"values must have {n_voxels} voxels as the mask selects, got shape {values.shape}; pass the "
            "mask that the values were read with."
        )
    grid = np.full((*mask.shape, *values.shape[:-1]), fill, dtype=values.dtype)
    grid[np.asarray(mask, dtype=bool)] = values.T
    return grid


def open_image(path: str | Path) -> Any:
    """Open a neuroimaging file lazily with nibabel, kept open for forward reading.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is empty, truncated or of another format.
    """
    nibabel = import_optional("nibabel", extra="fmri")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}; check the path, or fetch the file if it is a link.")
    if path.stat().st_size == 0:
        raise ValueError(
            f"{path} is empty (0 bytes), as in a data set whose large files were not downloaded; fetch its "
            "content first."
        )
    keep = {} if path.name.endswith(".gii") else {"keep_file_open": True}
    with refuse_broken(path):
        return nibabel.load(path, **keep)


@contextmanager
def refuse_broken(path: str | Path) -> Iterator[None]:
    """Turn what nibabel raises on truncated or foreign files into one ValueError with the path."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        yield
    except (ImageFileError, HeaderDataError, EOFError, OSError, zlib.error, ExpatError) as error:
        raise ValueError(
            f"{path} is truncated or not an image that nibabel reads ({error}); fetch or make it again."
        ) from error


def _open_series(
    path: str | Path, mask: str | Path | Volume | NDArray[Any] | None, labels: Sequence[int] | None
) -> tuple[Any, NDArray[np.bool_], NDArray[np.float64]]:
    image = open_image(path)
    if len(image.shape) != 4:
        raise ValueError(
            f"{path} must be a 4-D series (x, y, z, scans), got shape {image.shape}; read single volumes "
            "with read_volume."
        )
    affine = np.asarray(image.affine, dtype=np.float64)
    return image, _select(mask, labels, image.shape[:3], affine, path), affine


def _iterate_checked(
    image: Any,
    path: str | Path,
    selected: NDArray[np.bool_],
    dtype: np.dtype[Any],
    n_block: int,
    invalid: str,
) -> Iterator[NDArray[Any]]:
    valid = np.ones(np.count_nonzero(selected), dtype=bool)
    with refuse_broken(path):
        for values in iterate_blocks(image, path, selected, dtype=dtype, n_block=n_block, finite=valid):
            if invalid == "raise":
                _check_finite(valid, selected, path, "shrink the mask or pass invalid='keep'")
            yield values


def _check_finite(
    valid: NDArray[np.bool_], selected: NDArray[np.bool_], path: str | Path, remedy: str
) -> None:
    if not valid.all():
        first = tuple(np.argwhere(selected)[~valid][0].tolist())
        raise ValueError(
            f"{path} must be finite inside the mask, got NaN or infinity in {int((~valid).sum())} of "
            f"{valid.size} voxels, the first at {first}; {remedy}."
        )


def _select(
    mask: str | Path | Volume | NDArray[Any] | None,
    labels: Sequence[int] | None,
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
    path: str | Path,
) -> NDArray[np.bool_]:
    if mask is None:
        if labels is not None:
            raise ValueError(
                f"labels need a label image, got mask=None with labels {list(labels)}; pass mask."
            )
        return np.ones(shape, dtype=bool)
    if isinstance(mask, str | Path):
        mask = read_volume(mask)
    grid = np.asarray(mask.values if isinstance(mask, Volume) else mask)
    if grid.shape != tuple(shape):
        raise ValueError(
            f"mask must have the shape {tuple(shape)} of {Path(path).name}, got {grid.shape}; resample it to "
            "the run first (nilearn.image.resample_to_img with interpolation='nearest')."
        )
    if isinstance(mask, Volume) and not np.allclose(mask.affine, affine, atol=_AFFINE_TOLERANCE):
        gap = np.abs(mask.affine - affine).max()
        raise ValueError(
            f"mask must have the affine of {Path(path).name}, got one that differs by up to {gap:.3g} mm; "
            "resample it to the run first (nilearn.image.resample_to_img with interpolation='nearest')."
        )
    selected = np.nan_to_num(grid) != 0 if labels is None else np.isin(grid, list(labels))
    if not selected.any():
        which = f"labels {list(labels)}" if labels is not None else "nonzero voxels"
        raise ValueError(
            f"mask must select at least one voxel, got none for {which}; the image holds the values "
            f"{np.unique(grid)[:10].tolist()}."
        )
    return selected
