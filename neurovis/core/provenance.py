"""What made a file: package version, configuration hash and the hashes of its inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurovis import __version__

_CHUNK = 1 << 20


class OtherConfigurationError(ValueError):
    """A folder holds finished parts of another configuration, so a run cannot go on in it."""


def compute_file_hash(path: str | Path) -> str:
    """SHA-256 of a file, or of every file below a folder (names included), as hexadecimal text."""
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            digest.update(compute_file_hash(file).encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def compute_config_hash(config: Mapping[str, Any]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a configuration, independent of key order."""
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_provenance(
    step: str, config: Mapping[str, Any], inputs: Mapping[str, str | Path] | None = None
) -> dict[str, Any]:
    """Provenance record that the writers of :mod:`neurovis.io` store in a file.

    Parameters
    ----------
    step : str
        Name of the command or function, e.g. ``"encoding fit"``.
    config : mapping
        Every parameter that decides the numbers; JSON-serialisable.
    inputs : mapping of str to path, optional
        Input files by role; each is hashed by content.

    Returns
    -------
    dict
        ``step, neurovis, config, config_hash, inputs`` (role -> file name and sha256).
    """
    hashed = {
        role: {"name": Path(path).name, "sha256": compute_file_hash(path)}
        for role, path in (inputs or {}).items()
    }
    return {
        "step": step,
        "neurovis": __version__,
        "config": json.loads(json.dumps(dict(config), sort_keys=True, default=str)),
        "config_hash": compute_config_hash(config),
        "inputs": hashed,
    }
