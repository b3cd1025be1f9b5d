"""Helpers of the Snakefiles: identity of code, paths of real data, reasons of failures.

Loaded at every start of Snakemake, on every cluster job, so it imports the standard library and yaml alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parent


def compute_fingerprint(*parts: str) -> str:
    """Hash of the source below some parts of the package, so that an edit there reruns its rules.

    Snakemake sees inputs, params and the rule's own text, but not the package behind a shell command.

    Parameters
    ----------
    *parts : str
        Modules or packages below ``neurovis``, e.g. ``"features"`` or ``"datasets.glm"``.

    Returns
    -------
    str
        Twelve hexadecimal digits.

    Raises
    ------
    FileNotFoundError
        If a part does not exist.
    """
    digest = hashlib.sha256()
    for part in sorted(parts):
        base = _PACKAGE / part.replace(".", "/")
        files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
        for file in files:
            digest.update(file.relative_to(_PACKAGE).as_posix().encode() + b"\0")
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def find_real_root(config: Mapping[str, Any]) -> Path:
    """Folder of the published data sets: ``real.root`` of the config, then ``NEUROVIS_SHARED``.

    Raises
    ------
    FileNotFoundError
        If neither names a folder; the message says what to set.
    """
    given = config["real"].get("root") or os.environ.get("NEUROVIS_SHARED")
    if not given or not Path(given).is_dir():
        raise FileNotFoundError(
            f"the folder of published data was not found (got {given!r}); set NEUROVIS_SHARED or "
            "real.root in a config file to the folder that holds haxby2001_slice, macaque_v4 and the others."
        )
    return Path(given).resolve()


def read_card_entry(name: str, entry: str) -> Any:
    """One entry of a published data set's card, ``data/<name>.yaml``."""
    return yaml.safe_load((_PACKAGE.parent / "data" / f"{name}.yaml").read_text())[entry]


def find_available(config: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Those of the published data sets ``names`` whose folder is below the root, in the given order."""
    root = find_real_root(config)
    return [name for name in names if (root / read_card_entry(name, "folder")).is_dir()]
