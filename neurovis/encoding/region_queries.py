"""Which learned queries there are and which of them each neuroid listens to: the book-keeping of regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import NeuralData, check_array, check_option

QUERIES = ("region", "hemisphere", "neuroid")
OVERLAPS = ("sum", "mean", "first")
NO_REGION = "no region"
_UNLABELLED = ("", "none", "None", "nan")


@dataclass(frozen=True)
class RegionQueries:
    """Queries, and groups of neuroids that listen to the same ones.

    Parameters
    ----------
    region, hemisphere : str array of shape (n_queries,)
        What a query stands for; hemisphere is ``""`` where none was told. With a query per neuroid, region
        is its number.
    outside : bool array of shape (n_queries,)
        The query is shared by neuroids of no region.
    pattern : int array of shape (n_neuroids,)
        Group of each neuroid.
    mixing : float32 array of shape (n_patterns, n_queries)
        How much of each query's token a group reads; empty with a query per neuroid.
    absent : tuple of str
        Regions without a neuroid, which have no query.
    """

    region: NDArray[np.str_]
    hemisphere: NDArray[np.str_]
    outside: NDArray[np.bool_]
    pattern: NDArray[np.intp]
    mixing: NDArray[np.float32]
    absent: tuple[str, ...] = ()

    @property
    def names(self) -> NDArray[np.str_]:
        """``"left V1"``, or ``"V1"`` where no hemisphere was told."""
        pairs = zip(self.hemisphere.tolist(), self.region.tolist(), strict=True)
        return np.array([f"{side} {region}".strip() for side, region in pairs])


def make_region_queries(
    n_neuroids: int,
    *,
    regions: ArrayLike | None = None,
    region_names: Sequence[str] | None = None,
    hemisphere: Sequence[str] | NDArray | None = None,
    queries: str = "region",
    overlap: str = "sum",
) -> RegionQueries:
    """Queries of a set of neuroids, and the pattern of regions of each neuroid.

    Parameters
    ----------
    n_neuroids : int
        Neuroids that are fitted.
    regions : bool array of shape (n_regions, n_neuroids) or sequence of str of length n_neuroids, optional
        Members of each region, which may overlap, or one label per neuroid (``""`` or ``"none"``: no region).
        Without it no neuroid is in a region.
    region_names : sequence of str of length n_regions, optional
        Names of the rows of a bool array; numbers otherwise.
    hemisphere : sequence of str of length n_neuroids, optional
        A region of two hemispheres has two queries; first the region's in order of the first hemisphere.
    queries : {"region", "hemisphere", "neuroid"}
        One per region and hemisphere, plus one per hemisphere for neuroids of no region; one per hemisphere;
        or one per neuroid.
    overlap : {"sum", "mean", "first"}
        What a neuroid of several regions reads: the sum or mean of their tokens, or that of the region
        listed first.

    Returns
    -------
    RegionQueries

    Raises
    ------
    ValueError
        If an option is unknown or a length differs.
    """
    check_option("queries", queries, QUERIES)
    check_option("overlap", overlap, OVERLAPS)
    sides = np.full(n_neuroids, "") if hemisphere is None else np.asarray(hemisphere).astype(str)
    _check_length("hemisphere", sides.shape, n_neuroids)
    members, names = _read_regions(regions, region_names, n_neuroids)
    absent = tuple(names[~members.any(axis=1)].tolist())
    if queries == "neuroid":
        return RegionQueries(
            np.arange(n_neuroids).astype(str), sides, ~members.any(axis=0), np.arange(n_neuroids),
            np.zeros((0, n_neuroids), dtype=np.float32), absent,
        )  # fmt: skip
    if queries == "hemisphere":
        members, names, absent = np.ones((1, n_neuroids), dtype=bool), np.array(["all"]), ()
    loose = ~members.any(axis=0)
    kinds = list(zip([*names.tolist(), NO_REGION], [*members, loose], strict=True))
    listed = [
        (name, side, name == NO_REGION, row & (sides == side))
        for side in dict.fromkeys(sorted(sides.tolist()))
        for name, row in kinds
        if (row & (sides == side)).any()
    ]
    patterns, pattern = np.unique(np.stack([row for *_, row in listed]), axis=1, return_inverse=True)
    mixing = patterns.T.astype(np.float32)
    if overlap == "mean":
        mixing /= mixing.sum(axis=1, keepdims=True)
    elif overlap == "first":
        mixing = np.eye(mixing.shape[1], dtype=np.float32)[mixing.argmax(axis=1)]
    region, side, outside, _ = zip(*listed, strict=True)
    return RegionQueries(
        np.array(region), np.array(side), np.array(outside), pattern.ravel().astype(np.intp), mixing, absent
    )


def read_region_coords(data: NeuralData) -> dict[str, NDArray | list[str]]:
    """Constructor arguments of an encoder of regions from the coordinates of neural data.

    Parameters
    ----------
    data : NeuralData
        Flags ``in_<region>`` where there are any, else ``region``; and ``hemisphere`` if it is there.

    Returns
    -------
    dict
        ``regions`` (bool, (n_regions, n_neuroids)), ``region_names`` and, where known, ``hemisphere``.
    """
    flags = [str(name) for name in data.coords if str(name).startswith("in_")]
    if flags:
        members = np.stack([data[name].values.astype(bool) for name in flags])
        names = [name.removeprefix("in_") for name in flags]
    else:
        members, labels = _read_regions(data["region"].values, None, data.sizes["neuroid"])
        names = labels.tolist()
    found: dict[str, NDArray | list[str]] = {"regions": members, "region_names": names}
    if "hemisphere" in data.coords:
        found["hemisphere"] = data["hemisphere"].values.astype(str)
    return found


def _read_regions(
    regions: ArrayLike | None, region_names: Sequence[str] | None, n_neuroids: int
) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
    if regions is None:
        return np.zeros((0, n_neuroids), dtype=bool), np.array([], dtype=str)
    given = np.asarray(regions)
    if given.dtype.kind in "UO":
        labels = given.astype(str)
        _check_length("regions", labels.shape, n_neuroids)
        found = [name for name in dict.fromkeys(labels.tolist()) if name not in _UNLABELLED]
        return np.stack([labels == name for name in found] or [np.zeros(n_neuroids, bool)][:0]).reshape(
            len(found), n_neuroids
        ), np.array(found, dtype=str)
    members = check_array(
        "regions",
        given,
        shape=(None, n_neuroids),
        minimum=0,
        maximum=1,
        remedy="pass a row of flags per region",
    ).astype(bool)
    names = np.array([f"region {n}" for n in range(len(members))] if region_names is None else region_names)
    if names.shape != (len(members),) or len(set(names.tolist())) != len(names):
        raise ValueError(
            f"region_names must name each of the {len(members)} regions once, got {names.tolist()}; pass one "
            "name per row of regions."
        )
    return members, names.astype(str)


def _check_length(parameter: str, shape: tuple[int, ...], n_neuroids: int) -> None:
    if shape != (n_neuroids,):
        raise ValueError(
            f"{parameter} must have one entry for each of the {n_neuroids} neuroids of y, got shape {shape}; "
            "pass the coordinate of the same neuroids."
        )
