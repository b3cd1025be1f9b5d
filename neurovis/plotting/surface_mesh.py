"""The inflated and the flattened cortical surface as panels: what is seen from one side, back to front.

A mesh is ``"fsaverage5"``, which nilearn ships (10,242 vertices a hemisphere), ``"fsaverage"`` (163,842),
which is drawn at the vertices that it shares with fsaverage5, or the ``surf`` folder of a FreeSurfer subject.
Both subdivide one icosahedron: the first 10,242 vertices of fsaverage are those of fsaverage5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional

HEMISPHERES = ("left", "right")
N_FSAVERAGE5, N_FSAVERAGE = 10242, 163842

# Towards the viewer and up, in mesh coordinates (right, anterior, superior), for the left hemisphere;
# the right one mirrors the first entry of each. "flat" is the cut and flattened sheet.
_VIEWS = {
    "lateral": ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "medial": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "ventral": ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    "dorsal": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    "posterior": ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
}
VIEWS = (*_VIEWS, "flat")


@dataclass(frozen=True)
class Panel:
    """One hemisphere from one side.

    Parameters
    ----------
    xy : array of shape (n_vertices, 2)
        Position of every vertex [mm], centred on the bounding box of the hemisphere.
    faces : array of int of shape (n_faces, 3)
        Triangles that face the viewer, from back to front.
    facing : array of shape (n_vertices,)
        Cosine between the vertex normal and the direction to the viewer.
    sulcus : array of bool of shape (n_vertices,)
        Whether the vertex lies in a sulcus.
    """

    xy: NDArray[np.float64]
    faces: NDArray[np.int64]
    facing: NDArray[np.float64]
    sulcus: NDArray[np.bool_]


@lru_cache(maxsize=16)
def make_panel(hemisphere: str, view: str, mesh: str = "fsaverage5") -> Panel:
    """Project one hemisphere.

    Parameters
    ----------
    hemisphere : {"left", "right"}
        Which one.
    view : {"lateral", "medial", "ventral", "dorsal", "posterior", "flat"}
        The side it is seen from; in ``"flat"`` every triangle faces the viewer.
    mesh : str
        ``"fsaverage5"`` or the ``surf`` folder of a FreeSurfer subject.

    Raises
    ------
    ValueError
        If an argument is unknown, or a flat view is asked of a folder.
    FileNotFoundError
        If the folder has no inflated surface.
    ImportError
        If nilearn, which brings the meshes, is missing.
    """
    check_option("hemisphere", hemisphere, HEMISPHERES)
    check_option("view", view, VIEWS)
    xyz, faces, sulcus = _load_mesh(hemisphere, "flat" if view == "flat" else "inflated", mesh)
    if view == "flat":
        right_up_towards = np.eye(3)
    else:
        towards, up = (np.array(vector) for vector in _VIEWS[view])
        if hemisphere == "right":
            towards, up = towards * [-1, 1, 1], up * [-1, 1, 1]
        right_up_towards = np.stack([np.cross(up, towards), up, towards])
    seen = xyz @ right_up_towards.T
    used = np.unique(faces)
    seen -= (seen[used].max(axis=0) + seen[used].min(axis=0)) / 2
    corners = seen[faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(seen)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals)
    # Vertices beside the cuts of the flat sheet belong to no triangle and have no normal.
    length = np.linalg.norm(normals, axis=1)
    facing = np.divide(normals[:, 2], length, out=np.zeros(len(seen)), where=length > 0)
    front = np.flatnonzero(face_normals[:, 2] > 0)
    order = front[np.argsort(corners[front, :, 2].mean(axis=1), kind="stable")]
    if view == "flat":
        facing = np.where(length > 0, 1.0, 0.0)
    return Panel(seen[:, :2], faces[order], facing, sulcus)


def count_vertices(mesh: str) -> tuple[int, int]:
    """Vertices of the left and the right hemisphere of a mesh that values may come on.

    Parameters
    ----------
    mesh : str
        ``"fsaverage5"``, ``"fsaverage"`` or the ``surf`` folder of a FreeSurfer subject.
    """
    if mesh == "fsaverage":
        return N_FSAVERAGE, N_FSAVERAGE
    if mesh == "fsaverage5":
        return N_FSAVERAGE5, N_FSAVERAGE5
    left, right = (len(_load_mesh(hemisphere, "inflated", mesh)[0]) for hemisphere in HEMISPHERES)
    return left, right


@lru_cache(maxsize=4)
def _load_mesh(
    hemisphere: str, kind: str, mesh: str
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    if mesh != "fsaverage5":
        return _read_freesurfer(hemisphere, kind, Path(mesh))
    datasets = import_optional("nilearn.datasets", extra="fmri")
    part = datasets.load_fsaverage("fsaverage5")[kind].parts[hemisphere]
    sulci = datasets.load_fsaverage_data(mesh="fsaverage5", data_type="sulcal", mesh_type="inflated")
    return (
        np.asarray(part.coordinates, dtype=np.float64),
        np.asarray(part.faces, dtype=np.int64),
        np.asarray(sulci.data.parts[hemisphere]) > 0,
    )


def _read_freesurfer(
    hemisphere: str, kind: str, folder: Path
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    if kind == "flat":
        raise ValueError(
            "views must not be ('flat',) for a folder, got it; only fsaverage5 has a flat sheet."
        )
    freesurfer = import_optional("nibabel.freesurfer", extra="fmri")
    prefix = "lh" if hemisphere == "left" else "rh"
    for name in ("inflated", "sulc"):
        if not (folder / f"{prefix}.{name}").is_file():
            raise FileNotFoundError(
                f"mesh must be 'fsaverage5', 'fsaverage' or the surf folder of a FreeSurfer subject, got "
                f"{str(folder)!r} without {prefix}.{name}; pass the folder that holds it."
            )
    xyz, faces = freesurfer.read_geometry(folder / f"{prefix}.inflated")
    sulci = freesurfer.read_morph_data(folder / f"{prefix}.sulc")
    return xyz.astype(np.float64), faces.astype(np.int64), sulci > 0
