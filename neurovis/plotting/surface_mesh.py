"""The inflated and the flattened fsaverage5 surface as panels: what is seen from one side, back to front.

Vertices are numbered 0..10241 in each hemisphere, as everywhere on fsaverage5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional

HEMISPHERES = ("left", "right")
N_HEMISPHERE = 10242

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
    xy : array of shape (10242, 2)
        Position of every vertex [mm], centred on the bounding box of the hemisphere.
    faces : array of int of shape (n_faces, 3)
        Triangles that face the viewer, from back to front.
    facing : array of shape (10242,)
        Cosine between the vertex normal and the direction to the viewer.
    sulcus : array of bool of shape (10242,)
        Whether the vertex lies in a sulcus.
    """

    xy: NDArray[np.float64]
    faces: NDArray[np.int64]
    facing: NDArray[np.float64]
    sulcus: NDArray[np.bool_]


@lru_cache(maxsize=16)
def make_panel(hemisphere: str, view: str) -> Panel:
    """Project one hemisphere of fsaverage5.

    Parameters
    ----------
    hemisphere : {"left", "right"}
        Which one.
    view : {"lateral", "medial", "ventral", "dorsal", "posterior", "flat"}
        The side it is seen from; in ``"flat"`` every triangle faces the viewer.

    Raises
    ------
    ValueError
        If an argument is unknown.
    ImportError
        If nilearn, which brings the meshes, is missing.
    """
    check_option("hemisphere", hemisphere, HEMISPHERES)
    check_option("view", view, VIEWS)
    xyz, faces, sulcus = _load_mesh(hemisphere, "flat" if view == "flat" else "inflated")
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


@lru_cache(maxsize=4)
def _load_mesh(
    hemisphere: str, kind: str
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    datasets = import_optional("nilearn.datasets", extra="fmri")
    part = datasets.load_fsaverage("fsaverage5")[kind].parts[hemisphere]
    sulci = datasets.load_fsaverage_data(mesh="fsaverage5", data_type="sulcal", mesh_type="inflated")
    return (
        np.asarray(part.coordinates, dtype=np.float64),
        np.asarray(part.faces, dtype=np.int64),
        np.asarray(sulci.data.parts[hemisphere]) > 0,
    )
