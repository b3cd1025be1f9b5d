"""Cards of published data sets: ``data/<name>.yaml`` says what a set is, whose it is, and what its files are.

A loader finds its folder with :func:`find_dataset`; when the folder is missing, the message says where the
data come from and under which licence, since none of them ship with neurovis.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from neurovis.core import compute_file_hash, find_data_root

_PACKAGE = Path(__file__).resolve().parents[1]
# A wheel carries data/ inside the package; a checkout has it beside the package.
_FOLDERS = (_PACKAGE.parent / "data", _PACKAGE / "_data")


@dataclass(frozen=True)
class DatasetCard:
    """Description of one published data set.

    Parameters
    ----------
    name : str
        Name of the set and of the module that reads it.
    folder : str
        Folder of the set below the root of shared data.
    title, source, licence, citation, answers : str
        What it is, where the files come from, terms, paper, and the question that it can answer.
    subjects : tuple of str
        Accepted values of ``subject``.
    files : mapping of str to str
        Path below the folder -> SHA-256.
    """

    name: str
    folder: str
    title: str
    source: str
    licence: str
    citation: str
    answers: str
    subjects: tuple[str, ...]
    files: Mapping[str, str]


def read_card(name: str) -> DatasetCard:
    """Card of one data set.

    Raises
    ------
    FileNotFoundError
        If there is no card of that name.
    ValueError
        If the card lacks an entry or has a foreign one.
    """
    for folder in _FOLDERS:
        path = folder / f"{name}.yaml"
        if path.is_file():
            break
    else:
        places = ", ".join(str(folder) for folder in _FOLDERS)
        raise FileNotFoundError(f"no card {name}.yaml in {places}; add one, see CONTRIBUTING.")
    record: dict[str, Any] = yaml.safe_load(path.read_text())
    wanted = set(DatasetCard.__dataclass_fields__)
    if set(record) != wanted:
        raise ValueError(
            f"{path} must have the entries {sorted(wanted)}, got {sorted(record)}; add the missing ones and "
            "remove the others."
        )
    record["subjects"] = tuple(str(subject) for subject in record["subjects"])
    return DatasetCard(**record)


def find_dataset(name: str, root: str | Path | None = None) -> Path:
    """Folder of a data set on this machine.

    Parameters
    ----------
    name : str
        Name of a card.
    root : path, optional
        Folder that holds the set's folder; otherwise ``NEUROVIS_SHARED``, then ``NEUROVIS_DATA``, then
        ``data/`` beside the package, the first that holds it.

    Raises
    ------
    FileNotFoundError
        Naming every place searched, and the set's source and licence.
    """
    card = read_card(name)
    shared = os.environ.get("NEUROVIS_SHARED")
    roots = [Path(root)] if root else [*([Path(shared)] if shared else []), find_data_root()]
    for place in roots:
        if (place / card.folder).is_dir():
            return place / card.folder
    places = ", ".join(str(place / card.folder) for place in roots)
    raise FileNotFoundError(
        f"data set {name!r} not found at {places}; get it from {card.source} (licence: {card.licence}) and "
        "pass the folder above it as root or in NEUROVIS_SHARED."
    )


def check_dataset_files(name: str, root: str | Path | None = None) -> list[Path]:
    """Every file of a data set, after comparing its SHA-256 with the card.

    Raises
    ------
    FileNotFoundError
        If the folder or a file is missing.
    ValueError
        Naming the files whose content differs.
    """
    card = read_card(name)
    folder = find_dataset(name, root)
    missing = [path for path in card.files if not (folder / path).is_file()]
    if missing:
        raise FileNotFoundError(
            f"data set {name!r} at {folder} lacks {len(missing)} of {len(card.files)} files, the first is "
            f"{missing[0]}; get it again from {card.source}."
        )
    changed = [path for path, digest in card.files.items() if compute_file_hash(folder / path) != digest]
    if changed:
        raise ValueError(
            f"data set {name!r} at {folder} has {len(changed)} files that differ from its card, "
            f"the first is {changed[0]}; get it again from {card.source}."
        )
    return [folder / path for path in card.files]
