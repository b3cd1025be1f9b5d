"""Atlases of visual areas and retinotopy on the fsaverage surface.

Benson et al. (2014) PLoS Comput Biol 10:e1003538 and Benson & Winawer (2018) eLife 7:e40224 (angle,
eccentricity, pRF size, area); Wang et al. (2015) Cereb Cortex 25:3911 (maximum-probability areas); Rosenke et
al. (2018) NeuroImage 170:257 (ventral cytoarchitecture); Glasser et al. (2016) Nature 536:171 (180 parcels).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional
from neurovis.datasets.cards import find_dataset

NAME = "fsaverage_retinotopy"
N_VERTICES = {"fsaverage": 163842, "fsaverage5": 10242}
HEMISPHERES = {"left": "lh", "right": "rh"}
BENSON_AREAS = ("V1", "V2", "V3", "hV4", "VO1", "VO2", "LO1", "LO2", "TO1", "TO2", "V3b", "V3a")
WANG_AREAS = (
    *("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4", "VO1", "VO2", "PHC1", "PHC2", "MST", "hMT", "LO2"),
    *("LO1", "V3b", "V3a", "IPS0", "IPS1", "IPS2", "IPS3", "IPS4", "IPS5", "SPL1", "FEF"),
)
_FILES = {
    "angle_deg": "benson14_angle.v4_0",
    "eccentricity_dva": "benson14_eccen.v4_0",
    "sigma_dva": "benson14_sigma.v4_0",
    "benson": "benson14_varea.v4_0",
    "wang": "wang15_mplbl.v1_0",
    "rosenke": "rosenke18_vcatlas.v1_0",
    "glasser": "glasser16_atlas.v1_0",
}


def load_fsaverage_retinotopy(*, root: str | Path | None = None, mesh: str = "fsaverage5") -> pd.DataFrame:
    """Read every atlas as one row per vertex.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`.
    mesh : {"fsaverage5", "fsaverage"}
        Resolution; the vertices of fsaverage5 are the first 10242 of fsaverage.

    Returns
    -------
    pandas.DataFrame
        Left hemisphere first; columns ``hemisphere, vertex`` (within the hemisphere), ``angle_deg`` (0 upper
        vertical meridian to 180 lower, of the contralateral field), ``eccentricity_dva, sigma_dva`` (NaN
        outside the Benson areas), ``benson, wang`` (area names, "" outside), ``rosenke, glasser`` (label
        numbers, 0 outside).

    Raises
    ------
    FileNotFoundError
        If the data set or a file is missing.
    ValueError
        If a file is truncated or has another number of vertices.
    """
    n_vertices = N_VERTICES[check_option("mesh", mesh, N_VERTICES)]
    folder = find_dataset(NAME, root) / "fsaverage" / "surf"
    halves = []
    for hemisphere, prefix in HEMISPHERES.items():
        columns = {
            name: _read_mgz(folder / f"{prefix}.{file}.mgz")[:n_vertices] for name, file in _FILES.items()
        }
        half = pd.DataFrame(columns)
        half.insert(0, "vertex", np.arange(n_vertices))
        half.insert(0, "hemisphere", hemisphere)
        halves.append(half)
    table = pd.concat(halves, ignore_index=True)
    table["benson"] = _name_areas(table["benson"], BENSON_AREAS)
    table["wang"] = _name_areas(table["wang"], WANG_AREAS)
    for name in ("rosenke", "glasser"):
        table[name] = table[name].fillna(0).astype(int)
    outside = table["benson"] == ""
    table.loc[outside, ["angle_deg", "eccentricity_dva", "sigma_dva"]] = np.nan
    return table


def _read_mgz(path: Path) -> NDArray[np.float64]:
    nibabel = import_optional("nibabel", extra="fmri")
    if not path.is_file():
        raise FileNotFoundError(f"no atlas at {path}; get the data set {NAME} again.")
    try:
        # Files are big-endian with unit axes; this gives native doubles, one per vertex.
        values = np.asarray(nibabel.load(path).dataobj, dtype=np.float64).squeeze()
    except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise ValueError(f"{path} is truncated or not an MGZ file ({error}); get it again.") from error
    if values.shape != (N_VERTICES["fsaverage"],):
        raise ValueError(
            f"{path} must hold one value for each of {N_VERTICES['fsaverage']} vertices, got {values.shape}; "
            "pass files on fsaverage."
        )
    return values


def _name_areas(labels: pd.Series, names: tuple[str, ...]) -> NDArray[np.str_]:
    return np.array(["", *names])[labels.to_numpy().astype(int)]
