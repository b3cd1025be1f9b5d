"""BIDS names and folders: parse and make names, find files by entities, inherit side-cars.

The inheritance principle of BIDS 1.x: a side-car (or ``events.tsv``) applies to every file at or below its
folder whose entities include its own; a closer one wins over a farther one. Runs of functional data are put
together in :mod:`neurovis.io.bids_runs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurovis.core import check_option
from neurovis.io.tables import read_json

ENTITIES = (
    "sub", "ses", "sample", "task", "tracksys", "acq", "ce", "trc", "stain", "rec", "dir", "run", "mod",
    "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split", "recording", "chunk", "seg",
    "res", "den", "label", "from", "to", "mode", "desc",
)  # fmt: skip
"""Entity keys in the order of the standard."""

_EXTENSIONS = (".nii.gz", ".func.gii", ".label.gii", ".surf.gii", ".shape.gii", ".tsv.gz", ".dtseries.nii")
_ENTITY = re.compile(r"^([a-zA-Z]+)-([a-zA-Z0-9+]+)$")
_NOT_DATA = {"derivatives", "sourcedata", "code", "stimuli"}


@dataclass(frozen=True)
class BidsFile:
    """One file whose name follows BIDS.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    entities : dict of str to str
        Entity key (``"sub"``, ``"run"``, ...) to its label, as written.
    suffix : str
        Last part of the name, e.g. ``"bold"``.
    extension : str
        With its dot, e.g. ``".func.gii"``.
    """

    path: Path
    entities: dict[str, str]
    suffix: str
    extension: str


def parse_bids_name(path: str | Path) -> BidsFile | None:
    """Entities, suffix and extension of a BIDS file name; ``None`` if the name is not one."""
    path = Path(path)
    extension = next((e for e in _EXTENSIONS if path.name.endswith(e)), path.suffix)
    *pairs, suffix = path.name.removesuffix(extension).split("_")
    matches = [_ENTITY.match(pair) for pair in pairs]
    if not extension or not suffix.isalnum() or not all(matches):
        return None
    entities = {match[1]: match[2] for match in matches if match}
    return BidsFile(path, entities, suffix, extension)


def make_bids_name(entities: Mapping[str, str | None], suffix: str, extension: str) -> str:
    """File name with the entities in the order of the standard; entities that are ``None`` are left out.

    Raises
    ------
    ValueError
        If an entity is unknown or a label holds something else than letters, digits and ``+``.
    """
    for key, label in entities.items():
        check_option("entities", key, ENTITIES)
        if label is not None and not _ENTITY.match(f"{key}-{label}"):
            raise ValueError(
                f"entities[{key!r}] must be made of letters and digits, got {label!r}; drop other characters."
            )
    pairs = [f"{key}-{entities[key]}" for key in ENTITIES if entities.get(key) is not None]
    return "_".join([*pairs, suffix]) + extension


def find_bids_files(
    root: str | Path,
    *,
    suffix: str | None = None,
    extension: str | None = None,
    **entities: str | Iterable[str] | None,
) -> list[BidsFile]:
    """Files of one data set, without its derivatives, that carry the given entities.

    Parameters
    ----------
    root : path
        Folder with ``sub-*`` folders: the data set, or one derivative.
    suffix, extension : str, optional
        E.g. ``"bold"`` and ``".nii.gz"``.
    **entities
        Entity key to a label, several labels, or ``None`` for "must be absent". Runs that are numbers are
        compared as numbers, so ``run="1"`` finds ``run-01``.

    Returns
    -------
    list of BidsFile
        Sorted by path.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder at {root}; pass the root of a BIDS data set.")
    wanted = {
        key: None
        if labels is None
        else {_plain(x) for x in ([labels] if isinstance(labels, str) else labels)}
        for key, labels in entities.items()
    }
    subjects = wanted.get("sub")
    tops = [path for path in root.iterdir() if path.name not in _NOT_DATA and not path.name.startswith(".")]
    if subjects:  # no need to walk the folders of other subjects
        tops = [path for path in tops if _plain(path.name.removeprefix("sub-")) in subjects]
    paths = [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top])]
    found = [file for path in sorted(paths) if (file := parse_bids_name(path)) is not None]
    return [
        file
        for file in found
        if (suffix is None or file.suffix == suffix)
        and (extension is None or file.extension == extension)
        and all(_matches(file.entities.get(key), labels) for key, labels in wanted.items())
    ]


def read_metadata(file: BidsFile, root: str | Path) -> dict[str, Any]:
    """Merged side-cars of a file, from the root of the data set down to the file's own folder.

    Parameters
    ----------
    file : BidsFile
        The data file.
    root : path
        Root of the data set (or derivative) that it lies in.

    Returns
    -------
    dict
        Keys of a closer side-car replace those of a farther one; empty if there is none.
    """
    metadata: dict[str, Any] = {}
    for path in _find_inherited(file, Path(root), file.suffix, ".json"):
        metadata |= read_json(path)
    return metadata


def find_inherited(file: BidsFile, root: str | Path, *, suffix: str, extension: str) -> Path | None:
    """The closest file of another suffix that applies to ``file``, e.g. its ``events.tsv``.

    It may lie in another tree than ``file`` (raw events of a derivative): then the tree's folders of the
    same subject and session are searched.
    """
    applicable = _find_inherited(file, Path(root), suffix, extension)
    return applicable[-1] if applicable else None


def find_derivative(root: str | Path, name: str | None = None) -> Path | None:
    """Folder of a derivative of a data set.

    Parameters
    ----------
    root : path
        Root of the raw data set.
    name : str, optional
        Name below ``derivatives/`` or a path of its own. Default: the only one there is, or ``fmriprep``;
        ``None`` if there is none.

    Raises
    ------
    FileNotFoundError
        If the named one is missing.
    ValueError
        If there are several and none is named.
    """
    folder = Path(root) / "derivatives"
    if name is not None:
        for path in (folder / name, Path(name)):
            if path.is_dir():
                return path
        raise FileNotFoundError(
            f"no derivative {name!r} under {folder} nor at that path; run it or name another."
        )
    have = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    prepared = [path for path in have if path.name == "fmriprep"] or have
    if len(prepared) > 1:
        names = [path.name for path in prepared]
        raise ValueError(f"derivatives must name one of {names} under {folder}, got none; pass its name.")
    return prepared[0] if prepared else None


def _find_inherited(file: BidsFile, root: Path, suffix: str, extension: str) -> list[Path]:
    """Applicable files from the root down, within one folder from the fewest entities to the most."""
    folders = [root, root / f"sub-{file.entities.get('sub', '')}"]
    if "ses" in file.entities:
        folders.append(folders[-1] / f"ses-{file.entities['ses']}")
    folders.append(folders[-1] / file.path.parent.name)
    applicable = []
    for folder in folders:
        here = [
            found for path in sorted(folder.glob(f"*{suffix}{extension}")) if (found := parse_bids_name(path))
        ]
        fits = [
            found
            for found in here
            if found.suffix == suffix
            and found.extension == extension
            and all(_matches(file.entities.get(k), {_plain(v)}) for k, v in found.entities.items())
        ]
        applicable += [found.path for found in sorted(fits, key=lambda found: len(found.entities))]
    return applicable


def _matches(label: str | None, wanted: set[str] | None) -> bool:
    return label is None if wanted is None else label is not None and _plain(label) in wanted


def _plain(label: str) -> str:
    return str(int(label)) if label.isdigit() else label
