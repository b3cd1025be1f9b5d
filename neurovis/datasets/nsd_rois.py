"""Which voxels or vertices of the Natural Scenes Dataset to read, and what they are called.

Masks have the axes of nibabel, ``(x, y, z)``, or ``(2, n_vertices)`` with the left hemisphere first. Region
names come from the colour tables (``.ctab``) beside the FreeSurfer labels: numbers mean other things in
other collections and are nowhere assumed.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional
from neurovis.datasets.nsd_layout import name_subject
from neurovis.io.nifti import open_image, read_volume, refuse_broken

VOLUMES = ("func1pt8mm", "func1mm")
SPACES = (*VOLUMES, "fsaverage")
N_VERTICES = 163_842
HEMISPHERES = {"left": "lh", "right": "rh"}
DEFAULT_REGIONS = (
    "prf-visualrois",
    "floc-bodies",
    "floc-faces",
    "floc-places",
    "floc-words",
    "streams",
)
UNLABELLED = "other"


@dataclass(frozen=True)
class Space:
    """A grid or surface in which one subject's responses are given.

    Parameters
    ----------
    folder : path
        Of the data set.
    subject : str
        "1" to "8".
    name : {"func1pt8mm", "func1mm", "fsaverage"}
        Of the space.
    """

    folder: Path
    subject: str
    name: str

    @property
    def is_volume(self) -> bool:
        """Whether masks are grids of voxels."""
        return self.name in VOLUMES

    def find_labels(self, collection: str) -> tuple[Path, ...]:
        """Files of a collection of regions: one volume, or one surface per hemisphere."""
        if self.is_volume:
            return (self._volumes / "roi" / f"{collection}.nii.gz",)
        return tuple(self._surfaces / f"{prefix}.{collection}.mgz" for prefix in HEMISPHERES.values())

    def read_labels(self, collection: str) -> NDArray[Any]:
        """Label numbers of a collection on the whole grid or surface; 0 or less outside its regions."""
        return self._read(self.find_labels(collection))

    def read_names(self, collection: str) -> dict[int, str]:
        """Region names by label number, from the collection's colour table.

        Raises
        ------
        FileNotFoundError, ValueError
            If the table is missing or has a line that is not ``number name r g b a``.
        """
        name = f"{collection}.mgz.ctab"
        own = self.folder / "nsddata" / "freesurfer" / name_subject(self.subject) / "label" / name
        places = (self._surfaces / name, own) if not self.is_volume else (own,)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"no colour table with the names of {collection!r} at {places[-1]}; get it, or leave "
                f"{collection!r} out of regions."
            )
        return _read_ctab(path)

    def read_brain(self) -> NDArray[np.bool_]:
        """Every voxel of the brain mask, or every vertex."""
        if not self.is_volume:
            return np.ones((2, N_VERTICES), dtype=bool)
        return self._read((self._volumes / "brainmask.nii.gz",)) > 0

    def read_affine(self, collection: str | None) -> NDArray[np.float64]:
        """Voxel indices to world coordinates [mm], from the header of a collection or the brain mask."""
        path = self._volumes / "brainmask.nii.gz" if collection is None else self.find_labels(collection)[0]
        return np.asarray(open_image(path).affine, dtype=np.float64)

    def read_hemispheres(self, collection: str | None, mask: NDArray[np.bool_]) -> NDArray[np.str_]:
        """Side of every neuroid of a mask: "left", "right" or, where the files do not tell, "unknown"."""
        if not self.is_volume:
            return np.where(np.argwhere(mask)[:, 0] == 0, "left", "right")
        if collection is None:
            return np.full(int(mask.sum()), "unknown")
        # The file of one hemisphere is -1 outside its cortex, 0 or more inside.
        halves = [
            self._read((self._volumes / "roi" / f"{prefix}.{collection}.nii.gz",))[mask]
            for prefix in HEMISPHERES.values()
        ]
        left, right = halves
        return np.select([left > right, right > left], list(HEMISPHERES), "unknown")

    @property
    def _volumes(self) -> Path:
        return self.folder / "nsddata" / "ppdata" / name_subject(self.subject) / self.name

    @property
    def _surfaces(self) -> Path:
        return self.folder / "nsddata" / "freesurfer" / self.name / "label"

    def _read(self, paths: Sequence[Path]) -> NDArray[Any]:
        if self.is_volume:
            return read_volume(paths[0]).values
        return np.stack([read_surface(path) for path in paths])


@dataclass(frozen=True)
class Selection:
    """Voxels or vertices to read.

    Parameters
    ----------
    mask : array of bool, shape (x, y, z) or (2, n_vertices)
        The neuroids in C order.
    collection : str or None
        Collection of regions that the mask came from; None for a mask of the caller.
    """

    mask: NDArray[np.bool_]
    collection: str | None


def select_neuroids(space: Space, roi: str | Sequence[str] | NDArray[Any] | None) -> Selection:
    """Mask of regions.

    Parameters
    ----------
    space : Space
        Where.
    roi : str, sequence of str, array or None
        A collection ("nsdgeneral": every label above 0), a region of one ("floc-faces:FFA-1"), several of
        them (union), a mask of the shape of the space, or the whole brain.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a region is unknown, a mask has another shape (such as the order of axes in HDF5 files) or nothing
        is selected.
    """
    if roi is None:
        return Selection(space.read_brain(), None)
    if isinstance(roi, np.ndarray):
        return Selection(_check_mask(roi, space.read_brain().shape), None)
    wanted = [roi] if isinstance(roi, str) else [str(item) for item in roi]
    masks = [_select_region(space, item) for item in wanted]
    if not masks:
        raise ValueError("roi must name at least one region, got an empty list; pass None for all voxels.")
    mask = np.logical_or.reduce(masks)
    if not mask.any():
        raise ValueError(f"roi must select something, got no voxel for {wanted} of subject {space.subject}.")
    return Selection(mask, wanted[0].partition(":")[0])


def describe_neuroids(space: Space, selection: Selection) -> dict[str, NDArray[Any]]:
    """Coordinates of the neuroids of a selection without their regions.

    Returns
    -------
    dict
        ``neuroid_id, subject, hemisphere`` and ``i, j, k`` (voxel), ``x, y, z`` [mm], or ``vertex`` (within
        the hemisphere).
    """
    places = np.argwhere(selection.mask)
    hemisphere = space.read_hemispheres(selection.collection, selection.mask)
    coords: dict[str, NDArray[Any]] = {
        "subject": np.full(len(places), space.subject),
        "hemisphere": hemisphere,
    }
    if not space.is_volume:
        names = [
            f"{space.subject}-{HEMISPHERES[side]}-{v}"
            for side, v in zip(hemisphere, places[:, 1], strict=True)
        ]
        return {"neuroid_id": np.array(names), **coords, "vertex": places[:, 1]}
    affine = space.read_affine(selection.collection)
    names = [f"{space.subject}-{i}-{j}-{k}" for i, j, k in places]
    coords |= dict(zip("ijk", places.T, strict=True))
    coords |= dict(zip("xyz", (places @ affine[:3, :3].T + affine[:3, 3]).T, strict=True))
    return {"neuroid_id": np.array(names), **coords}


def describe_regions(
    space: Space, mask: NDArray[np.bool_], collections: Sequence[str] | None
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Regions of the neuroids of a mask.

    Parameters
    ----------
    space : Space
        Where.
    mask : array of bool
        The neuroids in C order.
    collections : sequence of str, optional
        Collections of regions, the first one first; by default those of :data:`DEFAULT_REGIONS` that exist.

    Returns
    -------
    coords : dict
        ``region``, the label of the first collection that has one ("other" where none has), and a flag
        ``in_<region>`` for every region of every collection.
    used : tuple of str
        The collections.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a label has no name, or two collections share a name.
    """
    if collections is None:
        used = tuple(c for c in DEFAULT_REGIONS if all(path.is_file() for path in space.find_labels(c)))
    else:
        used = tuple(collections)
    region = np.full(int(mask.sum()), UNLABELLED, dtype=object)
    flags: dict[str, NDArray[Any]] = {}
    for collection in used:
        labels = _check_labels(space, collection, mask.shape)[mask]
        for number, name in space.read_names(collection).items():
            if number < 1:
                continue
            flag = f"in_{name}"
            if flag in flags:
                raise ValueError(
                    f"regions must not share names, got {name!r} in {collection!r} and in one before it; "
                    "load one of them."
                )
            flags[flag] = labels == number
            region[flags[flag] & (region == UNLABELLED)] = name
    return {"region": region.astype(str), **flags}, used


@contextmanager
def open_surface(path: Path) -> Iterator[Any]:
    """Open an ``.mgh`` or ``.mgz`` file with nibabel, which by itself would never close it.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, or truncated or foreign.
    """
    nibabel = import_optional("nibabel", extra="fmri")
    if not path.is_file():
        raise FileNotFoundError(f"no surface at {path}; get it, or check subject and space.")
    with refuse_broken(path), (gzip.open if path.suffix == ".mgz" else open)(path, "rb") as file:
        try:
            image = nibabel.MGHImage.from_stream(file)
        except TypeError as error:  # fewer bytes than a header
            raise ValueError(f"{path} is truncated or not an MGH file ({error}); get it again.") from error
        yield image


def read_surface(path: Path) -> NDArray[Any]:
    """One value per vertex of a hemisphere of fsaverage from an MGH file."""
    with open_surface(path) as image:
        if tuple(image.shape) not in ((N_VERTICES,), (N_VERTICES, 1, 1)):
            raise ValueError(
                f"{path} must hold one value for each of {N_VERTICES} vertices, got shape {image.shape}; get "
                "the file of fsaverage."
            )
        # Files are big-endian; this gives native numbers.
        return np.array(image.dataobj, dtype=np.float32).reshape(-1)


def _read_ctab(path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for line in path.read_text().splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) < 2 or not fields[0].isdigit():
            raise ValueError(
                f"{path} must have lines 'number name red green blue alpha', got {line!r}; get it again."
            )
        names[int(fields[0])] = fields[1]
    return names


def _check_labels(space: Space, collection: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Labels of a collection, after checking that they lie on the grid and that all have names."""
    labels = space.read_labels(collection)
    path = space.find_labels(collection)[0]
    if labels.shape != shape:
        raise ValueError(
            f"{path} must have shape {shape}, got {labels.shape}; get the file of space {space.name!r}."
        )
    unnamed = set(np.unique(labels[labels > 0]).tolist()) - set(space.read_names(collection))
    if unnamed:
        raise ValueError(
            f"every label of {path} must have a name in {collection}.mgz.ctab, got none for "
            f"{sorted(unnamed)[:5]}; get both files again."
        )
    return labels


def _select_region(space: Space, item: str) -> NDArray[np.bool_]:
    collection, _, region = item.partition(":")
    labels = space.read_labels(collection)
    if not region:
        return labels > 0
    numbers = {name: number for number, name in space.read_names(collection).items() if number > 0}
    check_option(f"the region of {collection!r}", region, numbers, remedy="write collection:region")
    return labels == numbers[region]


def _check_mask(mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask.shape != shape:
        turned = mask.shape == shape[::-1] and len(shape) == 3
        remedy = "it has the axes of h5py, pass mask.T" if turned else "make it in this space"
        raise ValueError(
            f"roi must be a mask of shape {shape}, as nibabel reads it, got {mask.shape}; {remedy}."
        )
    if mask.dtype != bool or not mask.any():
        raise ValueError(
            f"roi must be a boolean mask with something selected, got {mask.dtype} with "
            f"{int(np.count_nonzero(mask))} nonzero; compare it, e.g. labels > 0."
        )
    return mask
