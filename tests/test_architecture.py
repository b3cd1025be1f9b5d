"""Imports point one way: a package imports only from lower rows of the table in CONTRIBUTING.md."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "neurovis"

ROWS = {
    "core": 0,
    "catalog": 1,
    "workflow": 1,
    "io": 1,
    "stimuli": 1,
    "metrics": 1,
    "training": 1,
    "datasets": 2,
    "features": 2,
    "motion": 2,
    "foveation": 2,
    "encoding": 3,
    "decoding": 3,
    "generation": 3,
    "captioning": 3,
    "gaze": 3,
    "psychophysics": 3,
    "electrophysiology": 3,
    "connectivity": 3,
    "evaluation": 4,
    "plotting": 5,
    "cli": 6,
}
# io of stimuli and responses is used by nearly all of row 1; it is the one edge inside a row.
ALLOWED_WITHIN_ROW = {("stimuli", "io"), ("training", "io"), ("metrics", "io")}
MODULES = sorted(PACKAGE.rglob("*.py"))


def _part(dotted):
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else None


def _imports(path):
    """(line, module) of every import that runs, leaving out ``if TYPE_CHECKING`` blocks."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(child) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} uses a relative import; write the full name"
            if node.module == "neurovis":
                yield from ((node.lineno, f"neurovis.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def find_violations(path, owner):
    for line, module in _imports(path):
        target = _part(module) if module.split(".")[0] == "neurovis" else None
        if target is None or target == owner or target == "__version__":
            continue
        if ROWS[target] >= ROWS[owner] and (owner, target) not in ALLOWED_WITHIN_ROW:
            yield f"{path}:{line} {owner} (row {ROWS[owner]}) imports {target} (row {ROWS[target]})"


def test_imports_point_to_lower_rows():
    violations = []
    for path in MODULES:
        relative = path.relative_to(PACKAGE)
        owner = relative.parts[0].removesuffix(".py")
        if owner in ("__init__", "__main__"):
            continue
        assert owner in ROWS, f"{path} belongs to no row; add its package to the table"
        violations += find_violations(path, owner)
    assert not violations, "\n".join(violations)


def test_an_upward_import_is_found(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from neurovis.plotting import style\n")
    assert list(find_violations(bad, "metrics"))
    bad.write_text("from neurovis import cli\n")
    assert list(find_violations(bad, "evaluation"))
    bad.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import neurovis.cli\n")
    assert not list(find_violations(bad, "metrics"))


def test_only_plotting_imports_matplotlib():
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] == "plotting":
            continue
        lines = [line for line, module in _imports(path) if module.split(".")[0] == "matplotlib"]
        assert not lines, f"{path}:{lines[0]} imports matplotlib; draw in neurovis.plotting"


@pytest.mark.parametrize("folder", ["models", "data"])
def test_no_python_in_top_level_data_folders(folder):
    assert not list((ROOT / folder).rglob("*.py"))


def test_every_module_opens_with_a_docstring():
    bare = [str(path) for path in MODULES if ast.get_docstring(ast.parse(path.read_text())) is None]
    assert not bare, f"modules without a docstring: {bare}"


def test_no_module_is_called_utils():
    assert not [path for path in MODULES if path.stem in ("utils", "helpers", "misc")]
