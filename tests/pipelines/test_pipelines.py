"""The workflow: what is planned, what a change reruns, what a broken input stops."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from neurovis import catalog

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]


def snakemake(folder, *arguments, **environment):
    env = {**os.environ, "NEUROVIS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1", **environment}
    command = [*SNAKEMAKE, "--directory", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def planned(run):
    """Rule -> number of jobs in the table of a dry run."""
    assert run.returncode == 0, run.stderr
    lines = (run.stdout + run.stderr).splitlines()
    start = max(i for i, line in enumerate(lines) if line.split() == ["job", "count"])
    counts = Counter()
    for line in lines[start + 2 :]:
        parts = line.split()
        if len(parts) != 2 or parts[0] == "total":
            break
        counts[parts[0]] = int(parts[1])
    return counts


def test_main_job_is_planned_whole(tmp_path):
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules"))
    assert jobs["scan_subject"] == jobs["fit_glm"] == jobs["score_truth"] == jobs["score_brainscore"] == 2
    assert jobs["fit_encoder"] == 10
    assert jobs["compare_models"] == jobs["partition_variance"] == jobs["plot_encoding"] == 2
    assert jobs["recover_seed"] == 5
    assert jobs["report_simulated"] == 1


def test_study_of_a_large_data_set_is_planned_without_it(tmp_path):
    study = ROOT / "pipelines" / "config" / "nsd.yaml"
    run = snakemake(
        tmp_path, "results/real/nsd/report.html", "--dry-run", "--quiet", "rules", "--configfile", str(study),
        NEUROVIS_SHARED=str(tmp_path / "nowhere"),
    )  # fmt: skip
    jobs = planned(run)
    entry = yaml.safe_load(study.read_text())["real"]["datasets"]["nsd"]
    n_models = sum(len(block["features"]) * len(block["encoders"]) for block in entry["models"])
    assert jobs["load_responses"] == len(entry["subjects"]) == 8
    assert jobs["fit_encoder"] == 8 * n_models
    assert jobs["compare_models"] == jobs["partition_variance"] == 8


def test_names_of_the_study_are_in_the_catalog():
    study = yaml.safe_load((ROOT / "pipelines" / "config" / "nsd.yaml").read_text())
    spaces = [entry["space"] for entry in study["spaces"].values()]
    models = study["real"]["datasets"]["nsd"]["models"]
    spaces += [part for block in models for name in block["features"] for part in name.split("+")]
    named = {space.partition(":")[0] for space in spaces if space not in study["spaces"]}
    assert named <= set(catalog.features)
    assert {encoder for block in models for encoder in block["encoders"]} <= set(catalog.encoders)


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_profiles_know_their_options(tmp_path, profile):
    folder = str(ROOT / "pipelines" / "profiles" / profile)
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--profile", folder, "make_world"))
    assert jobs["make_world"] == 1


def test_real_job_takes_what_is_there(tmp_path):
    card = yaml.safe_load((ROOT / "data" / "digit69.yaml").read_text())
    (tmp_path / "published" / card["folder"]).mkdir(parents=True)
    run = snakemake(
        tmp_path, "real", "--dry-run", "--quiet", "rules", NEUROVIS_SHARED=str(tmp_path / "published")
    )
    jobs = planned(run)
    assert jobs["run_study"] == 1
    assert jobs["gather_stimuli"] == jobs["load_responses"] == 1
    assert "scan_subject" not in jobs


def test_real_job_without_data_says_what_to_set(tmp_path):
    run = snakemake(tmp_path, "real", "--dry-run", NEUROVIS_SHARED=str(tmp_path / "nowhere"))
    assert run.returncode != 0
    assert "set NEUROVIS_SHARED or real.root" in run.stdout + run.stderr


@pytest.mark.parametrize("wrong", ["subjets=1", 'features="gabor"', "seed=-1"])
def test_wrong_configuration_is_refused_before_any_job(tmp_path, wrong):
    run = snakemake(tmp_path, "--dry-run", "--config", wrong)
    assert run.returncode != 0
    assert "Error validating config file" in run.stdout + run.stderr
    assert not (tmp_path / "results").exists()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run on 24 images in which one feature space has no weights."""
    folder = tmp_path_factory.mktemp("small")
    config = {
        "world": {"n_train": 20, "n_test": 10, "size_px": 32},
        "features": ["pixels", "squeezenet"],
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    targets = [f"results/simulated/features/{name}.nc" for name in config["features"]]
    arguments = [
        *targets,
        "results/simulated/figures/stimuli.png",
        "--configfile",
        str(folder / "small.yaml"),
        "--keep-going",
    ]
    run = snakemake(folder, *arguments, NEUROVIS_SHARED=str(folder / "nowhere"), NEUROVIS_DATA=str(folder))
    return folder, run, arguments


def test_a_broken_branch_stops_alone_with_its_reason(small):
    folder, run, _ = small
    assert run.returncode != 0
    assert (folder / "results/simulated/features/pixels.nc").is_file()
    assert (folder / "results/simulated/figures/stimuli.png").is_file()
    assert not (folder / "results/simulated/features/squeezenet.nc").exists()
    log = (folder / "logs/simulated/features/squeezenet.log").read_text()
    assert "neurovis: error:" in log
    assert "squeezenet" in log


def test_a_failed_run_leaves_a_report_with_the_reason(small):
    folder, _, _ = small
    page = (folder / "results/report.html").read_text()
    assert "features/squeezenet" in page
    assert "What was shown" in page


def test_a_second_run_repeats_nothing_that_is_finished(small):
    folder, _, arguments = small
    jobs = planned(snakemake(folder, *arguments, "--dry-run", "--quiet", "rules"))
    assert jobs == Counter({"extract_features": 1})
