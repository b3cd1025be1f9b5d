"""The reference implementation of representational similarity analysis."""

import sys
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def rsatoolbox():
    # Its plotting part needs a newer scikit-learn than Brain-Score allows; the numerical parts do not.
    sys.modules.setdefault("rsatoolbox.vis", ModuleType("rsatoolbox.vis"))
    return pytest.importorskip("rsatoolbox")
