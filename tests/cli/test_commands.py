"""The command line end to end on a miniature: each command is the step that a pipeline rule runs."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from neurovis import cli
from neurovis.cli.judging import choose_neuroids, read_neuroids
from neurovis.core import align
from neurovis.encoding.storage import read_encoder
from neurovis.features.arrays import join_spaces
from neurovis.io import (
    read_features,
    read_neural_data,
    read_prediction,
    read_table,
    write_features,
    write_table,
)

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


MODELS = {"gabor": "ridge", "pixels": "ridge", "gabor+pixels": "banded-ridge"}


def name_model(folder, features, suffix="encoding.nc"):
    return folder / f"sub-01_features-{features}_encoder-{MODELS[features]}_{suffix}"


@pytest.fixture(scope="module")
def fitted(folder):
    for features, encoder in MODELS.items():
        spaces = [f"--features={folder / name}.nc" for name in features.split("+")]
        options = {"banded-ridge": '{"mixtures": 5}'}.get(encoder, "{}")
        call(
            *("encoding", "fit", "--stimuli", folder / "world", *spaces, "--responses", folder / "betas.nc"),
            *("--encoder", encoder, "--options", options, "--n-permutations", 100),
            *("--out", name_model(folder, features)),
            *("--prediction", name_model(folder, features, "prediction.nc")),
            *("--weights", name_model(folder, features, "weights.safetensors")),
        )
    return folder


def test_betas_follow_the_design(folder):
    betas = read_neural_data(folder / "betas.nc")
    assert betas.sizes["presentation"] == 48 + 3 * 12
    assert {"V1", "FFA", "PPA"} <= set(betas["region"].values)
    assert read_features(folder / "gabor.nc").sizes["stimulus"] == 60


def test_encoding_writes_scores_and_a_summary(fitted):
    summary = read_table(name_model(fitted, "gabor", "encoding.tsv"))
    assert summary["n_stimuli"].eq(12).all()
    assert summary["median_ceiling"].between(0, 1).all()


@pytest.mark.parametrize("features", MODELS)
def test_stored_encoder_predicts_what_was_scored(fitted, features):
    truth, prediction = read_prediction(name_model(fitted, features, "prediction.nc"))
    spaces = {name: read_features(fitted / f"{name}.nc") for name in features.split("+")}
    joint = join_spaces(spaces) if len(spaces) > 1 else spaces[features]
    encoder = read_encoder(
        name_model(fitted, features, "weights.safetensors"), neuroid_ids=truth["neuroid_id"].values
    )
    again = encoder.predict(align(joint, truth.assign_attrs(units="z", source="test"))[0].values)
    np.testing.assert_allclose(again, prediction.values, atol=2e-3)


def test_models_are_compared_and_their_variance_is_split(fitted):
    files = [
        f"--{kind}={name_model(fitted, features, f'{kind}.nc')}"
        for kind in ("encoding", "prediction")
        for features in MODELS
    ]
    out = fitted / "results" / "comparison.tsv"
    call(
        *("encoding", "compare", *files, "--reference", "gabor", "--subject", "01"),
        *("--n-bootstraps", 100, "--out", out),
    )
    table = read_table(out)
    assert set(table["model_a"]) == {"pixels", "gabor+pixels (banded-ridge)"}
    assert table["region"].iloc[0] == "V1"
    spaces = [f"--features={fitted / name}.nc" for name in ("gabor", "pixels")]
    out = fitted / "results" / "partition.tsv"
    call(
        *("encoding", "partition", "--stimuli", fitted / "world", *spaces),
        *("--responses", fitted / "betas.nc", "--subject", "01", "--n-permutations", 100),
        *("--n-bootstraps", 100, "--out", out),
    )
    assert set(read_table(out)["component"]) == {"only gabor", "only pixels", "gabor & pixels"}
    assert out.with_suffix(".png").is_file()


@pytest.mark.slow
def test_layers_of_one_file_are_split_where_no_venn_diagram_shows_them(fitted):
    features = read_features(fitted / "gabor.nc")[:, :10]
    layers = np.array([f"layer {number}" for number in np.arange(features.shape[1]) % 5])
    write_features(features.assign_coords(layer=("feature", layers)), fitted / "five.nc")
    out = fitted / "results" / "five.tsv"
    call(
        *("encoding", "partition", "--stimuli", fitted / "world", "--features", fitted / "five.nc"),
        *("--responses", fitted / "betas.nc", "--subject", "01", "--n-permutations", 2),
        *("--n-bootstraps", 2, "--out", out),
    )
    assert list(dict.fromkeys(read_table(out)["component"])) == list(dict.fromkeys(layers))


@pytest.mark.parametrize("pairs", [[("gabor", "gabor"), ("pixels", None)], [("gabor", "gabor")] * 2])
def test_models_to_compare_must_differ_and_come_with_their_predictions(fitted, pairs):
    files = []
    for scores, prediction in pairs:
        files.append(f"--encoding={name_model(fitted, scores)}")
        files += [f"--prediction={name_model(fitted, prediction, 'prediction.nc')}"] if prediction else []
    with pytest.raises(ValueError, match="encoding and prediction must hold one file per model"):
        call("encoding", "compare", *files, "--subject", "01", "--out", fitted / "x.tsv")


def test_options_must_be_json(fitted):
    with pytest.raises(ValueError, match="options must be a JSON object"):
        call(
            *("encoding", "fit", "--stimuli", fitted / "world", "--features", fitted / "gabor.nc"),
            *("--responses", fitted / "betas.nc", "--options", "{alphas: 1}", "--out", fitted / "x.nc"),
        )


def test_regions_are_parted_into_what_guidance_takes_as_regions(fitted):
    out = fitted / "parts"
    call(
        *("generation", "subregions", "--encoding", name_model(fitted, "gabor")),
        *("--weights", name_model(fitted, "gabor", "weights.safetensors")),
        *("--features", fitted / "gabor.nc", "--stimuli", fitted / "world", "--region", "food"),
        *("--truth", fitted / "truth", "--fdr", 1, "--least-ceiled", -100, "--out", out),
    )
    table = read_table(out / "neuroids.tsv")
    assert set(table["subregion"]) == {"food-a", "food-b"}
    (summary,) = read_table(out / "summary.tsv").to_dict("records")
    assert summary["n"] == len(table)
    assert summary["ari_low"] <= summary["ari"] <= summary["ari_high"] <= 1
    assert (out / "gallery.png").is_file()
    neuroids = read_neuroids(name_model(fitted, "gabor"), out / "neuroids.tsv")
    chosen = neuroids["neuroid_id"].values[choose_neuroids(neuroids, "food-b", 1.0)]
    assert set(chosen) == set(table.loc[table["subregion"] == "food-b", "neuroid_id"])
    with pytest.raises(ValueError, match="weights and truth must name the same subjects, got 1, 2 and 0"):
        call(
            *("generation", "subregions", "--encoding", name_model(fitted, "gabor")),
            *("--weights", "a", "--weights", "b", "--features", fitted / "gabor.nc"),
            *("--stimuli", fitted / "world", "--region", "food", "--out", out),
        )


def test_truth_is_scored(fitted):
    call(
        *("evaluation", "preference", "--responses", fitted / "betas.nc", "--stimuli", fitted / "world"),
        *("--out", fitted / "preference.tsv"),
    )
    with pytest.raises(ValueError, match="evaluate that feature space"):
        call(
            *("evaluation", "truth", "--truth", fitted / "truth", "--responses", fitted / "betas.nc"),
            *("--encoding", name_model(fitted, "gabor"), "--stimuli", fitted / "world"),
            *("--preference", fitted / "preference.tsv", "--out", fitted / "truth.tsv"),
        )


def test_figures_and_report_are_written(fitted):
    out = fitted / "results"
    encoding = [f"--encoding={name_model(fitted, features)}" for features in MODELS]
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
