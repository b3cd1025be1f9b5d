"""Do atlases of visual areas agree, and does the simulated cortex put its areas where they are.

Agreement is Dice's overlap on fsaverage5. Its null rotates one map on the sphere (Alexander-Bloch et al.
2018, NeuroImage 178:540), which keeps the size and shape of areas and breaks their position.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import linregress

from neurovis.core import import_optional, make_rng
from neurovis.datasets.fsaverage_retinotopy import NAME, load_fsaverage_retinotopy
from neurovis.datasets.simulated import make_subject
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table

# Wang's areas are split into ventral and dorsal parts; the prefix joins them.
_AREAS = ("V1", "V2", "V3", "hV4")
_N_PER_HEMISPHERE = 10242
_PATCH_SIZE = 20  # vertices; areas differ along their borders, so single vertices are no independent cases
_SPIN = (
    "no fit; null rotates the second map on the sphere; interval resamples patches of about "
    f"{_PATCH_SIZE} vertices"
)
_READ = "no fit: the atlas states size as a function of eccentricity, so the slope checks the reading"


def analyse_fsaverage_retinotopy(
    root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> StudyResult:
    """Compare Benson's with Wang's areas, and the simulated cortex with both.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.fsaverage_retinotopy.load_fsaverage_retinotopy`.
    n_permutations : int
        Rotations of each null.
    seed : int
        Of rotations and bootstraps.

    Returns
    -------
    StudyResult
        ``figures_data``: ``vertices`` (n,) of fsaverage5, left first, ``benson`` and ``wang`` (n,) area
        names, ``eccentricity_dva, angle_deg`` (n,) of the Benson atlas.

    Notes
    -----
    The simulated cortex is drawn from coordinates of the literature, not from these atlases, so its overlap
    is a check of its anatomy and not of a method.
    """
    atlas = load_fsaverage_retinotopy(root=root)
    wang = np.array([_join_parts(name) for name in atlas["wang"]])
    benson = atlas["benson"].to_numpy(dtype=str)
    simulated = _paint_simulated(seed)
    spheres = _load_spheres()
    spins = _make_spins(spheres, n_permutations, make_rng(seed, NAME, "spin"))
    patches = _make_patches(spheres, make_rng(seed, NAME, "patches"))
    rows = []
    for label, first, second in (
        ("Benson and Wang atlases", benson, wang),
        ("simulated cortex and Wang atlas", simulated, wang),
    ):
        rows += [
            _make_overlap_row(label, area, first == area, second == area, spins, patches, seed)
            for area in _AREAS
        ]
    rows += [_make_slope_row(atlas, area) for area in ("V1", "V2", "V3")]
    labelled = np.flatnonzero(benson != "")
    figures = {
        "vertices": labelled,
        "benson": benson[labelled],
        "wang": wang[labelled],
        **{name: atlas[name].to_numpy()[labelled] for name in ("eccentricity_dva", "angle_deg", "sigma_dva")},
    }
    return StudyResult(make_result_table(rows), figures)


def compute_dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Dice's overlap of two areas, 0 to 1: twice the shared vertices over the sum of both sizes."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 0.0


def _join_parts(name: str) -> str:
    return name[:-1] if name[:-1] in ("V1", "V2", "V3") and name[-1] in "vd" else name


def _paint_simulated(seed: int) -> NDArray[np.str_]:
    table = make_subject("01", seed=seed).table
    painted = np.full(2 * _N_PER_HEMISPHERE, "", dtype="U8")
    painted[table["vertex"].to_numpy()] = table["region"].to_numpy(dtype=str)
    return painted


def _load_spheres() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places of the vertices on the left and the right sphere, (10242, 3) each."""
    nilearn_datasets = import_optional("nilearn.datasets", extra="fmri")
    parts = nilearn_datasets.load_fsaverage("fsaverage5")["sphere"].parts
    left, right = (np.asarray(parts[name].coordinates, dtype=float) for name in ("left", "right"))
    return left, right


def _make_patches(
    spheres: tuple[NDArray[np.float64], NDArray[np.float64]], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Patch of each vertex (20484,): that of the nearest of randomly drawn vertices."""
    patches = []
    for number, places in enumerate(spheres):
        n_patches = len(places) // _PATCH_SIZE
        seeds = places[rng.choice(len(places), n_patches, replace=False)]
        patches.append(cKDTree(seeds).query(places)[1] + number * n_patches)
    return np.concatenate(patches)


def _make_spins(
    spheres: tuple[NDArray[np.float64], NDArray[np.float64]], n_spins: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Vertex whose label each vertex takes, (n_spins, 20484); hemispheres turn as mirror images."""
    mirror = np.diag([-1.0, 1.0, 1.0])
    spins = np.empty((n_spins, 2 * _N_PER_HEMISPHERE), dtype=np.int32)
    for offset, places in zip((0, _N_PER_HEMISPHERE), spheres, strict=True):
        tree = cKDTree(places)
        turns = Rotation.random(n_spins, random_state=np.random.RandomState(rng.integers(2**31)))
        for spin, turn in enumerate(turns.as_matrix()):
            turned = places @ (turn if offset == 0 else mirror @ turn @ mirror)
            spins[spin, offset : offset + _N_PER_HEMISPHERE] = tree.query(turned)[1] + offset
    return spins


def _make_overlap_row(
    label: str, area: str, first: NDArray, second: NDArray, spins: NDArray, patches: NDArray, seed: int
) -> dict:
    either = np.flatnonzero(first | second)
    members = [either[patches[either] == number] for number in np.unique(patches[either])]

    def resample(drawn: NDArray[np.intp]) -> float:
        vertices = np.concatenate([members[number] for number in drawn])
        return compute_dice(first[vertices], second[vertices])

    low, high = compute_bootstrap_ci(resample, len(members), make_rng(seed, NAME, label, area))
    return make_result_row(
        study=NAME,
        subject="fsaverage",
        region=area,
        quantity=f"Dice overlap, {label}",
        value=compute_dice(first, second),
        ci=(float(low), float(high)),
        null=np.array([compute_dice(first, second[spin]) for spin in spins]),
        n=len(members),
        split=_SPIN,
    )


def _make_slope_row(atlas: pd.DataFrame, area: str) -> dict:
    """Growth of receptive fields with eccentricity; beyond 12 degrees the atlas extrapolates."""
    own = atlas[(atlas["benson"] == area) & (atlas["eccentricity_dva"] < 12)]
    return make_result_row(
        study=NAME,
        subject="fsaverage",
        region=area,
        quantity="growth of pRF size with eccentricity [dva / dva]",
        value=linregress(own["eccentricity_dva"], own["sigma_dva"]).slope,
        n=len(own),
        split=_READ,
    )
