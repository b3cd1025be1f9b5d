"""The command line end to end on a miniature: each command is the step that a pipeline rule runs."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from neurovis import cli
from neurovis.io import read_features, read_neural_data, read_table, write_table

RUNNER = CliRunner()


def call(*arguments):
    result = RUNNER.invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """World, scan, GLM and features of one small subject."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROVIS_CACHE", str(folder / "cache"))
        call("stimuli", "make-world", "--out", folder / "world", "--n-train", 48, "--n-test", 12)
        call(
            "simulate",
            "bids-dataset",
            "--stimuli",
            folder / "world",
            "--out",
            folder / "bids",
            "--subjects",
            "01",
        )
        scan = ("--bids", folder / "bids", "--truth", folder / "truth", "--n-train", 48, "--n-test", 12)
        subject = ("--subject", "01", "--stimuli", folder / "world")
        call("simulate", "bids-subject", *subject, *scan, "--n-test-repeats", 3, "--n-runs", 2)
        glm = ("--space", "fsaverage5", "--regions", "regions", "--method", "lsa")
        call("fmri", "glm", "--bids", folder / "bids", "--subject", "01", *glm, "--out", folder / "betas.nc")
        for name in ("gabor", "pixels"):
            out = folder / f"{name}.nc"
            call("features", "extract", "--stimuli", folder / "world", "--features", name, "--out", out)
    return folder


@pytest.fixture(scope="module")
def fitted(folder):
    for name in ("gabor", "pixels"):
        out = folder / f"sub-01_features-{name}_encoding.nc"
        inputs = ("--features", folder / f"{name}.nc", "--responses", folder / "betas.nc")
        call("encoding", "fit", "--stimuli", folder / "world", *inputs, "--n-permutations", 100, "--out", out)
    return folder


def test_betas_follow_the_design(folder):
    betas = read_neural_data(folder / "betas.nc")
    assert betas.sizes["presentation"] == 48 + 3 * 12
    assert {"V1", "FFA", "PPA"} <= set(betas["region"].values)
    assert read_features(folder / "gabor.nc").sizes["stimulus"] == 60


def test_encoding_writes_scores_and_a_summary(fitted):
    summary = read_table(fitted / "sub-01_features-gabor_encoding.tsv")
    assert summary["n_stimuli"].eq(12).all()
    assert summary["median_ceiling"].between(0, 1).all()


def test_truth_is_scored(fitted):
    call(
        *("evaluation", "preference", "--responses", fitted / "betas.nc", "--stimuli", fitted / "world"),
        *("--out", fitted / "preference.tsv"),
    )
    with pytest.raises(ValueError, match="evaluate that feature space"):
        call(
            *("evaluation", "truth", "--truth", fitted / "truth", "--responses", fitted / "betas.nc"),
            *("--encoding", fitted / "sub-01_features-gabor_encoding.nc", "--stimuli", fitted / "world"),
            *("--preference", fitted / "preference.tsv", "--out", fitted / "truth.tsv"),
        )


def test_figures_and_report_are_written(fitted):
    out = fitted / "results"
    encoding = [
        f"--encoding={fitted / f'sub-01_features-{name}_encoding.nc'}" for name in ("gabor", "pixels")
    ]
    call("plot", "encoding", *encoding, "--subject", "01", "--out", out)
    features = [f"--features={fitted / f'{name}.nc'}" for name in ("gabor", "pixels")]
    numbers = ("--n-permutations", 100, "--n-bootstraps", 100)
    call(
        *("evaluation", "rsa", *features, "--responses", fitted / "betas.nc", "--stimuli", fitted / "world"),
        *("--out", out, *numbers),
    )
    call("report", "build", "--results", out, "--out", out / "report.html")
    page = (out / "report.html").read_text()
    assert "Feature spaces by region, subject 01" in page
    assert "RSA, every region and feature space" in page


def test_seeds_are_summarised_as_checks(tmp_path):
    row = {
        "quantity": "share of ceiling",
        "region": "V1",
        "features": "gabor",
        "low": 0.9,
        "high": float("inf"),
    }
    free = {"quantity": "ceiling correlation", "region": "all", "features": "", "passed": ""}
    for seed, value in enumerate((0.92, 0.96)):
        table = pd.DataFrame(
            [{**row, "value": value, "passed": "yes", "n": 9}, {**free, "value": value, "n": 9}]
        )
        write_table(table, tmp_path / f"{seed}.tsv")
    tables = [f"--recovery={tmp_path / f'{seed}.tsv'}" for seed in range(2)]
    call("evaluation", "summarise-recovery", *tables, "--out", tmp_path / "out")
    checks = read_table(tmp_path / "out" / "checks.tsv")
    assert checks["quantity"].tolist() == ["share of ceiling V1 gabor"]
    assert checks["target"].tolist() == [">= 0.9"]
    assert checks["mean"].tolist() == pytest.approx([0.94])
    # Student's t with one degree of freedom: 12.706 standard errors of 0.02 to each side.
    assert checks["upper"].tolist() == pytest.approx([0.94 + 12.706 * 0.02], rel=1e-3)


def test_bad_input_ends_with_one_line(monkeypatch, capsys, tmp_path):
    arguments = [
        "features",
        "extract",
        "--stimuli",
        tmp_path,
        "--features",
        "gabr",
        "--out",
        tmp_path / "a.nc",
    ]
    monkeypatch.setattr("sys.argv", ["neurovis", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("neurovis: error: feature space 'gabr' is not in the catalog; did you mean gabor")
    assert "\n" not in error


def test_lists_and_version():
    assert call("--version").startswith("neurovis ")
    assert "worldnet" in call("catalog", "features")
    assert "haxby2001" in call("data", "list")
