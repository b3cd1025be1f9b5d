"""Where data and shipped model files lie: argument, then environment variable, then the checkout."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def find_data_root(root: str | Path | None = None) -> Path:
    """Folder of raw data sets: ``root``, then ``NEUROVIS_DATA``, then ``data/`` beside the package."""
    return Path(root or os.environ.get("NEUROVIS_DATA") or _PACKAGE.parent / "data")


def find_cache_root(root: str | Path | None = None) -> Path:
    """Folder of content-addressed files: ``root``, then ``NEUROVIS_CACHE``, then the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neurovis"
    return Path(root or os.environ.get("NEUROVIS_CACHE") or default)


def find_model(name: str, root: str | Path | None = None) -> Path:
    """Folder of a model that ships with neurovis (weights and card).

    Parameters
    ----------
    name : str
        Folder name under ``models/``.
    root : path, optional
        Overrides ``NEUROVIS_MODELS`` and the copy inside the installed package.

    Raises
    ------
    FileNotFoundError
        With every folder that was searched.
    """
    given = root or os.environ.get("NEUROVIS_MODELS")
    # A wheel carries models/ inside the package; a checkout has it beside the package.
    searched = [Path(given)] if given else [_PACKAGE.parent / "models", _PACKAGE / "_models"]
    for folder in searched:
        if (folder / name).is_dir():
            return folder / name
    places = ", ".join(str(folder) for folder in searched)
    raise FileNotFoundError(
        f"model {name!r} not found under {places}; set NEUROVIS_MODELS to the folder that holds it."
    )
