"""Optional dependencies: imported at the point of use, with the extra's name when one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType


def import_optional(module: str, *, extra: str) -> ModuleType:
    """Import ``module`` or say which extra of neurovis brings it.

    Parameters
    ----------
    module : str
        Dotted module name, e.g. ``"nibabel"``.
    extra : str
        Extra of the package that installs it, e.g. ``"fmri"``.

    Raises
    ------
    ImportError
        Naming the missing module and the extra to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        raise ImportError(
            f"{module} is needed here but not installed; install it with: pip install 'neurovis[{extra}]'."
        ) from error
