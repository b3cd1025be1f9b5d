"""Where the regions of a simulated subject lie on fsaverage5, and how the visual field is laid over them.

Positions are measured on the spherical surface (radius 100 mm), where distances along the cortex have a
closed form. Early areas are bands along the calcarine sulcus, as in the templates of Benson et al. (2014):
V1 in the middle, V2 and V3 mirrored above (lower field) and below (upper field), eccentricity growing from
the occipital pole forwards. Category regions are patches around coordinates of the localiser literature,
and a vertex belongs to the patch whose border is farthest away. All sizes and places vary by subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from neurovis.core import import_optional, make_rng

HEMISPHERES = ("left", "right")
EARLY_REGIONS = ("V1", "V2", "V3", "hV4")
CATEGORY_OF_REGION: Mapping[str, str] = MappingProxyType(
    {
        "OFA": "face",
        "FFA": "face",
        "EBA": "body",
        "FBA": "body",
        "OPA": "place",
        "PPA": "place",
        "RSC": "place",
        "VWFA": "word",
        "food": "food",
    }
)
REGIONS = (*EARLY_REGIONS, "hMT", *CATEGORY_OF_REGION)

N_VERTICES_PER_HEMISPHERE = 10242
MAXIMUM_ECCENTRICITY_DVA = 4.6
MINIMUM_ECCENTRICITY_DVA = 0.15

# MNI coordinates [mm] of the right hemisphere; the left mirrors x.
_FOVEA = (16.0, -100.0, -8.0)
_CALCARINE = (9.0, -72.0, 7.0)
_CUNEUS = (9.0, -92.0, 22.0)

# Extent along the calcarine axis and across it, on the sphere [mm].
_CALCARINE_LENGTH = 58.0
_FAR_MM = 1e6
_BAND_WIDTH = {"V1": 32.0, "V2": 13.0, "V3": 12.0}
_HV4_LENGTH, _HV4_WIDTH, _HV4_START = 30.0, 17.0, -10.0


@dataclass(frozen=True)
class _Patch:
    """One elliptical patch: centre (right hemisphere, MNI mm) and half-axes on the sphere [mm].

    ``along`` is the half-axis in posterior-anterior direction, ``across`` the one perpendicular to it.
    """

    region: str
    centre: tuple[float, float, float]
    along: float
    across: float
    left_scale: float = 1.0
    subdivision: int = 0


_PATCHES = (
    _Patch("hMT", (46.0, -73.0, 2.0), 17.0, 15.0),
    _Patch("OFA", (40.0, -78.0, -12.0), 14.0, 14.0, left_scale=0.85),
    _Patch("FFA", (40.0, -52.0, -20.0), 24.0, 20.0, left_scale=0.7),
    _Patch("EBA", (46.0, -78.0, 13.0), 19.0, 19.0),
    _Patch("FBA", (41.0, -34.0, -25.0), 15.0, 15.0, left_scale=0.9),
    _Patch("OPA", (33.0, -84.0, 20.0), 18.0, 18.0),
    _Patch("PPA", (27.0, -44.0, -10.0), 22.0, 17.0),
    _Patch("RSC", (15.0, -57.0, 13.0), 18.0, 16.0),
    _Patch("VWFA", (48.0, -60.0, -11.0), 11.0, 11.0, left_scale=1.6),
    _Patch("food", (30.0, -56.0, -13.0), 22.0, 11.0, subdivision=1),
    _Patch("food", (51.0, -46.0, -17.0), 22.0, 11.0, subdivision=2),
)


@lru_cache(maxsize=1)
def load_surface() -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Spherical (scaled to radius 1) and pial coordinates [mm] of fsaverage5 by hemisphere.

    Returns
    -------
    sphere, pial : dict of hemisphere to array of shape (10242, 3)
    """
    datasets = import_optional("nilearn.datasets", extra="fmri")
    meshes = datasets.load_fsaverage("fsaverage5")
    sphere, pial = {}, {}
    for hemisphere in HEMISPHERES:
        points = np.asarray(meshes["sphere"].parts[hemisphere].coordinates, dtype=float)
        sphere[hemisphere] = points / np.linalg.norm(points, axis=1, keepdims=True)
        pial[hemisphere] = np.asarray(meshes["pial"].parts[hemisphere].coordinates, dtype=float)
    return sphere, pial


@lru_cache(maxsize=1)
def load_adjacency() -> sparse.csr_matrix:
    """Edges of both hemispheres as one symmetric matrix of ones, shape (20484, 20484), no self loops."""
    datasets = import_optional("nilearn.datasets", extra="fmri")
    mesh = datasets.load_fsaverage("fsaverage5")["sphere"]
    blocks = []
    for hemisphere in HEMISPHERES:
        faces = np.asarray(mesh.parts[hemisphere].faces)
        rows = faces[:, [0, 1, 2]].ravel()
        columns = faces[:, [1, 2, 0]].ravel()
        n = N_VERTICES_PER_HEMISPHERE
        edges = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n)).tocsr()
        blocks.append(((edges + edges.T) > 0).astype(np.float64))
    return sparse.block_diag(blocks, format="csr")


def make_anatomy(subject: str, *, seed: int) -> pd.DataFrame:
    """Regions of one subject.

    Parameters
    ----------
    subject : str
        Subject label; another label gives another brain under the same seed.
    seed : int
        Seed of all subjects.

    Returns
    -------
    pandas.DataFrame
        One row per vertex inside a region, ordered by vertex: ``vertex`` (0-20483, left first),
        ``hemisphere``, ``region``, ``subdivision`` ("" or "<region>-1"/"<region>-2"), and for early areas
        the visual-field position ``x_dva`` (right positive), ``y_dva`` (up positive); NaN elsewhere.
    """
    parts = []
    for hemisphere in HEMISPHERES:
        rng = make_rng(seed, "anatomy", subject, hemisphere)
        early = _make_early_areas(hemisphere, rng)
        patches = _make_patches(hemisphere, rng)
        patches = patches[~patches["vertex"].isin(early["vertex"])]
        parts.append(pd.concat([early, patches]).assign(hemisphere=hemisphere))
    parts[1]["vertex"] += N_VERTICES_PER_HEMISPHERE
    columns = ["vertex", "hemisphere", "region", "subdivision", "x_dva", "y_dva"]
    return pd.concat(parts).sort_values("vertex").reset_index(drop=True)[columns]


def compute_smoothing(vertices: NDArray[np.int64], *, n_steps: int) -> sparse.csr_matrix:
    """Operator that turns white noise on the surface into spatially correlated noise of unit variance.

    Each step averages a vertex with its neighbours; rows are then scaled to unit length, so that the
    variance of every vertex is exactly one.

    Parameters
    ----------
    vertices : array of shape (n_vertices,)
        Rows to keep, indices into the 20484 vertices.
    n_steps : int
        Number of averaging steps; the correlation falls to about 0.5 at ``1.2 * sqrt(n_steps)`` edges.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n_vertices, n_sources)
        Only the columns that reach a kept vertex.
    """
    if n_steps < 0:
        raise ValueError(f"n_steps must not be negative, got {n_steps}; pass 0 for no smoothing.")
    adjacency = load_adjacency()
    step = adjacency + sparse.identity(adjacency.shape[0], format="csr")
    step = sparse.diags(1.0 / np.asarray(step.sum(axis=1)).ravel()) @ step
    operator = sparse.identity(adjacency.shape[0], format="csr")[np.asarray(vertices)]
    for _ in range(n_steps):
        operator = operator @ step
    operator = sparse.csr_matrix(operator)
    operator = operator[:, np.unique(operator.indices)]
    length = np.sqrt(np.asarray(operator.multiply(operator).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / length) @ operator)


def _find_on_sphere(hemisphere: str, point: tuple[float, float, float]) -> NDArray[np.float64]:
    sphere, pial = load_surface()
    x, y, z = point
    target = np.array([x if hemisphere == "right" else -x, y, z])
    return sphere[hemisphere][np.linalg.norm(pial[hemisphere] - target, axis=1).argmin()]


def _project(points: NDArray, origin: NDArray, axis: NDArray) -> tuple[NDArray, NDArray]:
    """Azimuthal equidistant coordinates [mm on the sphere of radius 100] along and across ``axis``."""
    forward = axis - (axis @ origin) * origin
    forward /= np.linalg.norm(forward)
    side = np.cross(origin, forward)
    distance = 100.0 * np.arccos(np.clip(points @ origin, -1.0, 1.0))
    tangent = points - (points @ origin)[:, None] * origin
    length = np.maximum(np.linalg.norm(tangent, axis=1), 1e-12)
    along, across = distance * (tangent @ forward) / length, distance * (tangent @ side) / length
    # Opposite the origin every direction leads back to it: the far half of the sphere is simply far away.
    along[points @ origin < 0] = _FAR_MM
    return along, across


def _make_early_areas(hemisphere: str, rng: np.random.Generator) -> pd.DataFrame:
    sphere, _ = load_surface()
    origin = _find_on_sphere(hemisphere, _FOVEA)
    along, across = _project(sphere[hemisphere], origin, _find_on_sphere(hemisphere, _CALCARINE))
    _, above = _project(
        _find_on_sphere(hemisphere, _CUNEUS)[None], origin, _find_on_sphere(hemisphere, _CALCARINE)
    )
    across = across * np.sign(above[0])
    # The subject's own place, size and tilt.
    tilt = rng.normal(0.0, 0.04)
    along, across = along - rng.normal(0.0, 2.0), across - rng.normal(0.0, 2.0) - tilt * along
    size = np.exp(rng.normal(0.0, 0.08))
    width = {name: value * size * np.exp(rng.normal(0.0, 0.06)) for name, value in _BAND_WIDTH.items()}

    position = along / (_CALCARINE_LENGTH * size)
    inside = (position >= 0.0) & (position <= 1.0)
    depth = np.abs(across)
    lower = across > 0
    v1, v2 = width["V1"] / 2, width["V1"] / 2 + width["V2"]
    v3 = v2 + width["V3"]
    # Fraction of the quarter field from the horizontal (0) to the vertical meridian (1).
    fraction = np.select(
        [depth <= v1, depth <= v2, depth <= v3],
        [depth / v1, 1.0 - (depth - v1) / (v2 - v1), (depth - v2) / (v3 - v2)],
    )
    region = np.select([depth <= v1, depth <= v2, depth <= v3], ["V1", "V2", "V3"], default="").astype(object)
    region[~inside] = ""
    polar = np.where(lower, -fraction, fraction) * np.pi / 2
    eccentricity = _eccentricity(position)

    # hV4 holds the whole contralateral half field, below ventral V3.
    hv4_along = (along - _HV4_START) / (_HV4_LENGTH * size)
    hv4_across = (-across - v3) / (_HV4_WIDTH * size)
    hv4 = (hv4_along >= 0) & (hv4_along <= 1) & (hv4_across > 0) & (hv4_across <= 1)
    region[hv4] = "hV4"
    polar[hv4] = (1.0 - 2.0 * hv4_across[hv4]) * np.pi / 2
    eccentricity[hv4] = _eccentricity(hv4_along[hv4])

    keep = region != ""
    contralateral = 1.0 if hemisphere == "left" else -1.0
    return pd.DataFrame(
        {
            "vertex": np.flatnonzero(keep),
            "region": region[keep],
            "subdivision": "",
            "x_dva": contralateral * eccentricity[keep] * np.cos(polar[keep]),
            "y_dva": eccentricity[keep] * np.sin(polar[keep]),
        }
    )


def _eccentricity(position: NDArray) -> NDArray:
    """Exponential magnification from the fovea (0) to the anterior border (1) [dva]."""
    position = np.clip(position, 0.0, 1.0)
    growth = 2.0
    share = np.expm1(growth * position) / np.expm1(growth)
    return MINIMUM_ECCENTRICITY_DVA + (MAXIMUM_ECCENTRICITY_DVA - MINIMUM_ECCENTRICITY_DVA) * share


def _make_patches(hemisphere: str, rng: np.random.Generator) -> pd.DataFrame:
    sphere, _ = load_surface()
    anterior = np.array([0.0, 1.0, 0.0])
    nearest = np.full(N_VERTICES_PER_HEMISPHERE, 1.0)
    region = np.full(N_VERTICES_PER_HEMISPHERE, "", dtype=object)
    subdivision = np.full(N_VERTICES_PER_HEMISPHERE, "", dtype=object)
    # Neighbouring patches move together, so that no subject loses a region altogether.
    shift = rng.normal(0.0, 0.02, size=3)
    for patch in _PATCHES:
        scale = np.exp(rng.normal(0.0, 0.08)) * (patch.left_scale if hemisphere == "left" else 1.0)
        centre = _find_on_sphere(hemisphere, patch.centre) + shift + rng.normal(0.0, 0.008, size=3)
        along, across = _project(sphere[hemisphere], centre / np.linalg.norm(centre), anterior)
        mixture = rng.uniform(0.35, 0.65)
        depth = np.hypot(along / (patch.along * scale), across / (patch.across * scale))
        mine = depth < nearest
        nearest[mine] = depth[mine]
        region[mine] = patch.region
        if patch.region == "hMT":
            subdivision[mine] = ""
        elif patch.subdivision:
            subdivision[mine] = f"{patch.region}-{patch.subdivision}"
        else:
            # Posterior part prefers the first subtype; its share of the patch is the subject's mixture.
            border = np.quantile(along[mine], mixture)
            subdivision[mine] = np.where(along[mine] < border, f"{patch.region}-1", f"{patch.region}-2")
    keep = region != ""
    return pd.DataFrame(
        {
            "vertex": np.flatnonzero(keep),
            "region": region[keep],
            "subdivision": subdivision[keep],
            "x_dva": np.nan,
            "y_dva": np.nan,
        }
    )
