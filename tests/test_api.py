"""The public surface: every catalog name resolves, and importing neurovis is light."""

import os
import subprocess
import sys

import pytest

from neurovis import catalog
from neurovis.core import Registry

REGISTRIES = {name: value for name, value in vars(catalog).items() if isinstance(value, Registry)}
ENTRIES = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]


def test_catalog_is_not_empty():
    assert {"datasets", "features", "encoders", "metrics"} <= set(REGISTRIES)
    assert all(len(registry) for registry in REGISTRIES.values())


@pytest.mark.parametrize(("kind", "name"), ENTRIES, ids=[f"{kind}-{name}" for kind, name in ENTRIES])
def test_catalog_name_resolves(kind, name):
    assert callable(REGISTRIES[kind].load(name))


def test_unknown_name_suggests_a_close_one():
    with pytest.raises(KeyError, match="did you mean"):
        catalog.metrics.load("pearson")


def _measure_import(statement):
    code = (
        "import sys, time; t = time.process_time(); "
        f"{statement}; "
        "print(time.process_time() - t, *(m for m in ('torch', 'matplotlib', 'nilearn') if m in sys.modules))"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    seconds, *heavy = out.stdout.split()
    return float(seconds), heavy


@pytest.mark.parametrize("statement", ["import neurovis", "import neurovis.catalog"])
def test_import_is_light(statement):
    seconds, heavy = min(_measure_import(statement) for _ in range(3))
    assert not heavy
    assert seconds < 0.3


def test_command_line_help_imports_nothing_heavy():
    _, heavy = _measure_import("import neurovis.cli")
    assert not heavy
