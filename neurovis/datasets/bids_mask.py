"""Which voxels or vertices of a BIDS run are analysed, and their labels and coordinates.

A selection is made once per subject and used for every run, so that all runs have the same neuroids. It
comes from a segmentation of the derivative (``desc-<name>_dseg``, volume or surface, with its label table),
from a mask, from the brain mask, or is everything there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.io.bids import find_bids_files
from neurovis.io.bids_runs import FunctionalRun
from neurovis.io.gifti import read_surface_labels, read_surface_series
from neurovis.io.nifti import Volume, open_image, read_masked_series, read_volume
from neurovis.io.tables import read_table

_HEMI = {"left": "L", "right": "R"}


@dataclass(frozen=True)
class Selection:
    """Analysed part of one image of a run.

    Parameters
    ----------
    part : {"left", "right", "volume"}
        Which image.
    mask : bool array of shape (n_vertices,) or (x, y, z)
        Selected vertices or voxels.
    region : str array of shape (n_selected,)
        Label of each; ``""`` without a segmentation.
    affine : array of shape (4, 4) or None
        Of the volume [mm].
    """

    part: str
    mask: NDArray[np.bool_]
    region: NDArray[np.str_]
    affine: NDArray[np.float64] | None = None


def select_neuroids(
    run: FunctionalRun,
    *,
    derivative: Path | None,
    regions: str | None = None,
    include: Sequence[str] | None = None,
    mask: Any = None,
) -> list[Selection]:
    """Selection for every image of a run.

    Parameters
    ----------
    run : FunctionalRun
        Any run of the subject and space.
    derivative : path or None
        Folder that holds the segmentation.
    regions : str, optional
        ``desc`` label of a segmentation; its labelled voxels are selected.
    include : sequence of str, optional
        Only these regions of it.
    mask : path, Volume, array, or mapping of part to one of these, optional
        Where to look; nonzero is inside. Default: fMRIPrep's brain mask if there is one, else everything.

    Returns
    -------
    list of Selection
        Left before right.

    Raises
    ------
    FileNotFoundError, ValueError
        If the segmentation or a region is missing, a mask does not fit, or nothing is selected.
    """
    if include is not None and regions is None:
        raise ValueError(
            f"include needs regions, got include={list(include)} without; pass regions='<desc>'."
        )
    selections = []
    for part in run.bold:
        inside = _read_mask(run, part, mask)
        if regions is None:
            grid = inside.values if inside is not None else _everything(run, part).values
            region = np.full(int(np.count_nonzero(grid)), "")
            affine = inside.affine if inside is not None else _everything(run, part).affine
            selections.append(_make_selection(part, grid != 0, region, affine))
            continue
        labels, names = _read_segmentation(run, part, derivative, regions)
        unknown = sorted(set(include or ()) - set(names.values()))
        if unknown:
            raise ValueError(
                f"include must be regions of desc-{regions}, got {unknown}; it has "
                f"{sorted(set(names.values()))}."
            )
        wanted = [key for key, name in names.items() if key != 0 and (include is None or name in include)]
        grid = np.isin(labels.values, wanted)
        if inside is not None:
            _check_fit(inside, labels, part)
            grid &= inside.values != 0
        region = np.array([names[key] for key in labels.values[grid]], dtype=str)
        selections.append(_make_selection(part, grid, region, labels.affine))
    if not sum(len(selection.region) for selection in selections):
        raise ValueError(
            f"the mask and regions must select at least one voxel of {run.name}, got none; check that they "
            "overlap."
        )
    return selections


def read_selected(run: FunctionalRun, selection: Selection) -> tuple[NDArray[np.float32], float | None]:
    """Series of the selected voxels or vertices of one image, with NaN where the file has NaN.

    Returns
    -------
    series : array of shape (n_scans, n_selected)
    t_r : float or None
        As the file's header says [s].

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, empty, truncated, or of another shape than the selection.
    """
    path = run.bold[selection.part]
    if selection.part == "volume":
        assert selection.affine is not None
        masked = read_masked_series(path, Volume(selection.mask, selection.affine), invalid="keep")
        return masked.values, masked.t_r
    surface = read_surface_series(path)
    n_vertices = surface.values.shape[1]
    if n_vertices != len(selection.mask):
        raise ValueError(
            f"{path.name} must have {len(selection.mask)} vertices as the mask or segmentation has, got "
            f"{n_vertices}; use files of one surface, e.g. fsaverage5."
        )
    return surface.values[:, selection.mask], surface.t_r


def make_neuroid_coords(selections: Sequence[Selection], subject: str) -> dict[str, NDArray]:
    """Neuroid coordinates of NeuralData: ids, region, and vertex and hemisphere, or x, y, z [mm].

    Notes
    -----
    Vertices count from 0 in the left hemisphere and go on in the right one, as nilearn concatenates them;
    both have the same number in the surfaces that BIDS names.
    """
    coords: dict[str, list[NDArray]] = {}
    for selection in selections:
        index = np.argwhere(selection.mask)
        columns: dict[str, NDArray]
        if selection.affine is None:
            vertex = index[:, 0] + (len(selection.mask) if selection.part == "right" else 0)
            ids = [f"sub-{subject}_v{number:05d}" for number in vertex]
            columns = {"vertex": vertex, "hemisphere": np.full(len(vertex), selection.part)}
        else:
            xyz = index @ selection.affine[:3, :3].T + selection.affine[:3, 3]
            ids = [f"sub-{subject}_i{i}j{j}k{k}" for i, j, k in index]
            columns = {"x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2]}
        columns |= {"neuroid_id": np.array(ids, dtype=str), "region": selection.region}
        columns["subject"] = np.full(len(index), subject)
        for name, values in columns.items():
            coords.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in coords.items()}


def _make_selection(
    part: str, mask: NDArray[np.bool_], region: NDArray[np.str_], affine: NDArray | None
) -> Selection:
    return Selection(part, mask, region, None if mask.ndim == 1 else affine)


def _read_mask(run: FunctionalRun, part: str, mask: Any) -> Volume | None:
    if isinstance(mask, Mapping):
        if part not in mask:
            raise ValueError(f"mask must have an entry for {part!r}, got {sorted(mask)}; add it.")
        mask = mask[part]
    if mask is None:
        return read_volume(run.mask) if part == "volume" and run.mask is not None else None
    if isinstance(mask, Volume):
        return mask
    if isinstance(mask, str | Path):
        if part == "volume":
            return read_volume(mask)
        return Volume(read_surface_labels(mask)[0], np.eye(4))
    if part == "volume":
        return Volume(np.asarray(mask), _everything(run, part).affine)
    return Volume(np.asarray(mask), np.eye(4))


def _everything(run: FunctionalRun, part: str) -> Volume:
    path = run.bold[part]
    if part == "volume":
        image = open_image(path)
        return Volume(np.ones(image.shape[:3], dtype=bool), np.asarray(image.affine, dtype=float))
    return Volume(np.ones(read_surface_series(path).values.shape[1], dtype=bool), np.eye(4))


def _read_segmentation(
    run: FunctionalRun, part: str, derivative: Path | None, desc: str
) -> tuple[Volume, dict[int, str]]:
    entities: dict[str, str | None] = {"sub": run.subject, "space": run.space or None}
    extension = ".nii.gz"
    if part in _HEMI:
        entities["hemi"], extension = _HEMI[part], ".label.gii"
    found = []
    if derivative is not None:
        every = find_bids_files(derivative, suffix="dseg", extension=extension, **entities)
        found = [file for file in every if file.entities.get("desc") == desc]
    if not found:
        have = sorted({file.entities.get("desc", "none") for file in every}) if derivative is not None else []
        raise FileNotFoundError(
            f"no segmentation desc-{desc}_dseg{extension} of sub-{run.subject} in space "
            f"{run.space or 'native'!r} under {derivative}; the desc labels there are {have}. "
            "Name one of them, or pass a mask."
        )
    path = found[0].path
    if part in _HEMI:
        labels, names = read_surface_labels(path)
        return Volume(labels, np.eye(4)), names
    table = read_table(path.with_name(path.name.replace(".nii.gz", ".tsv")), required=("index", "name"))
    return read_volume(path), dict(
        zip(table["index"].astype(int).tolist(), table["name"].astype("str").tolist(), strict=True)
    )


def _check_fit(mask: Volume, labels: Volume, part: str) -> None:
    if mask.values.shape != labels.values.shape or not np.allclose(mask.affine, labels.affine, atol=1e-2):
        raise ValueError(
            f"mask and segmentation of the {part} must lie on one grid, got shapes {mask.values.shape} and "
            f"{labels.values.shape} (or other affines); resample one to the other with nearest neighbours."
        )
