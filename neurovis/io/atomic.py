"""Write beside, then rename: a reader never sees half a file, and a killed run leaves the old one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Temporary path beside ``path`` that replaces it when the block ends without an error.

    Parameters
    ----------
    path : path
        Final file, or final folder if the block creates a folder at the temporary path. Parents are
        created. The temporary name keeps all suffixes, since many writers choose the format by them.

    Yields
    ------
    pathlib.Path
        Does not exist yet; in the same folder, so that the rename is atomic.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary = holder / path.name
    try:
        yield temporary
        if not temporary.exists():
            raise FileNotFoundError(f"nothing was written to {temporary.name}; the writer made no output")
        if temporary.is_dir() and path.is_dir():
            # A folder cannot be replaced in one step: move the old one aside first.
            path.replace(holder / "replaced")
        temporary.replace(path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
