"""Published data by command: stimuli without responses, and choices that a loader does not have."""

import pytest
from miniature_nsd import make_nsd
from typer.testing import CliRunner

from neurovis import cli
from neurovis.io import read_stimulus_set

OPTIONS = '{"sessions": [1], "test_set": "shared515", "roi": "nsdgeneral"}'


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One session of which no betas were downloaded."""
    return make_nsd(tmp_path_factory.mktemp("nsd"), subjects=("1",), sessions=(1,), formats=()).root


def run(command, root, *arguments):
    arguments = ["data", command, "--dataset", "nsd", "--root", str(root), *map(str, arguments)]
    return CliRunner().invoke(cli.app, arguments)


def test_stimuli_are_gathered_before_betas_are_there(root, tmp_path):
    result = run("stimuli", root, "--subjects", "1", "--options", OPTIONS, "--out", tmp_path / "stimuli")
    assert result.exit_code == 0, result.output
    shown = read_stimulus_set(tmp_path / "stimuli")
    assert set(shown.table["split"]) == {"train", "test"}
    assert shown.table.attrs["rule"].startswith("shared515:")
    assert shown.table.attrs["sessions"] == "1"
    assert shown.load(shown.stimulus_ids[0]).shape == (425, 425, 3)
    missing = run("load", root, "--subject", "1", "--options", OPTIONS, "--out", tmp_path / "betas.nc")
    assert "none for sessions 1" in str(missing.exception)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ('{"tset_set": "shared515"}', "has no option 'tset_set'"),
        ('{"test_set": "all"}', "test_set must be"),
        ('{"sessions": 1}', "sessions must be a sequence"),
    ],
)
def test_wrong_choices_are_refused(root, tmp_path, options, reason):
    result = run("stimuli", root, "--subjects", "1", "--options", options, "--out", tmp_path / "stimuli")
    assert reason in str(result.exception)
    assert not (tmp_path / "stimuli").exists()
    result = run("load", root, "--subject", "1", "--options", options, "--out", tmp_path / "betas.nc")
    assert reason in str(result.exception)


def test_an_empty_subject_is_not_the_first_one(root, tmp_path):
    result = run("stimuli", root, "--subjects", "1,", "--options", OPTIONS, "--out", tmp_path / "stimuli")
    assert "subjects must be names" in str(result.exception)
