"""Names to things: a dictionary of ``"module:attribute"`` strings, resolved on use."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Registry:
    """Public names of one kind, resolved lazily so that listing them imports nothing.

    Parameters
    ----------
    kind : str
        What the names denote, used in messages, e.g. ``"metric"``.
    entries : mapping of str to str
        Name -> ``"module:attribute"``.
    """

    kind: str
    entries: Mapping[str, str]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.entries))

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def load(self, name: str) -> Any:
        """Import and return what ``name`` stands for.

        Raises
        ------
        KeyError
            If the name is unknown; the message lists close matches and how to see all names.
        """
        if name not in self.entries:
            close = difflib.get_close_matches(name, self.entries, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(self)}"
            raise KeyError(f"{self.kind} {name!r} is not in the catalog; {hint}")
        module, attribute = self.entries[name].split(":")
        return getattr(importlib.import_module(module), attribute)
