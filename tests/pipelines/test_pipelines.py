"""The workflow: what is planned, what a change reruns, what a broken input stops."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from miniature_nsd import REGIONS, draw_features, make_design, make_nsd

from neurovis import catalog
from neurovis.io import read_features, read_prediction, read_stimulus_set, read_table

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


def imported(module):
    """What an analysis imports from the three packages that decide its numbers, at any depth."""
    found, left = set(), [module]
    while left:
        path = ROOT / "neurovis" / (left.pop().replace(".", "/") + ".py")
        nodes = ast.walk(ast.parse(path.read_text()))
        names = {node.module.removeprefix("neurovis.") for node in nodes if isinstance(node, ast.ImportFrom)}
        new = {name for name in names if name.split(".")[0] in ("encoding", "evaluation", "metrics")} - found
        found |= new
        left += new
    return found


def test_encoding_runs_again_when_any_of_its_code_changes():
    text = (ROOT / "pipelines" / "encoding.smk").read_text()
    fingerprints = [
        set(re.findall(r'"([\w.]+)"', call)) for call in re.findall(r"fingerprint\((.*?)\)", text, re.S)
    ]
    assert len(fingerprints) == 3
    for parts in fingerprints:
        for analysis in [part for part in parts if part.startswith("evaluation.")]:
            missing = {name for name in imported(analysis) if not {name, name.split(".")[0]} & parts}
            assert not missing, f"{analysis} rests on {missing}"


def test_main_job_is_planned_whole(tmp_path):
    jobs = planned(snakemake(tmp_path, "--dry-run", "--quiet", "rules"))
    assert jobs["scan_subject"] == jobs["fit_glm"] == jobs["score_truth"] == jobs["score_brainscore"] == 2
    assert jobs["fit_encoder"] == 12
    assert jobs["compare_models"] == jobs["partition_variance"] == jobs["plot_encoding"] == 2
    assert jobs["recover_seed"] == 5
    assert jobs["encode_movies"] == 2
    assert jobs["examine_motion"] == jobs["compare_flow"] == jobs["summarise_movies"] == 1
    assert jobs["decode_flow"] == 1
    assert jobs["guide_images"] == 5
    assert jobs["fit_role"] == 2
    assert jobs["judge_images"] == jobs["caption_voxels"] == jobs["evaluate_captions"] == 1
    assert jobs["find_subregions"] == jobs["illustrate_captions"] == 1
    assert jobs["search_asymmetry"] == jobs["compare_foveation"] == 1
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


def test_guidance_of_a_large_data_set_is_planned_for_its_own_regions(tmp_path):
    folder = ROOT / "pipelines" / "config"
    own = yaml.safe_load((folder / "nsd_generation.yaml").read_text())["generation"]
    run = snakemake(
        tmp_path, "results/real/nsd/generation/figures/sub-1/summary.tsv", "--dry-run", "--printshellcmds",
        "--configfile", str(folder / "nsd.yaml"), str(folder / "nsd_generation.yaml"),
        NEUROVIS_SHARED=str(tmp_path / "nowhere"),
    )  # fmt: skip
    commands = re.findall(r"neurovis generation guide .*", run.stdout + run.stderr)
    assert {re.search(r"--region (\S+)", text)[1] for text in commands} == {
        entry["region"] for entry in own["regions"]
    }
    # As published, whatever the demo does.
    published = {"--n-views 1", "--sampler dpm++", "--self-attention 0.75", "--gradient full", "--stop 1.0"}
    assert all(option in text for text in commands for option in published)


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


@pytest.mark.slow
def test_a_published_study_runs_from_its_files_to_the_report(tmp_path):
    """One session of the miniature Natural Scenes Dataset: named test set, ceiling, options, report."""
    truth = make_nsd(tmp_path / "published nsd", subjects=("1",), sessions=(1,), formats=("hdf5",))
    draw_features(truth, "1", 1)
    study = {
        "spaces": {"few-pixels": {"space": "pixels", "options": {"grey_px": 5, "colour_px": 5},
                                  "extract": {"layer": ["colour"]}}},
        "encoding": {"n_permutations": 100},
        "real": {"datasets": {"nsd": {
            "root": str(truth.root), "subjects": ["1"], "features": ["few-pixels"], "rsa": [],
            "options": {"roi": "nsdgeneral", "sessions": [1], "test_set": "shared515"},
        }}},
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    arguments = ["results/real/nsd/report.html", "--configfile", str(tmp_path / "study.yaml")]
    run = snakemake(tmp_path, *arguments, NEUROVIS_SHARED="")
    assert run.returncode == 0, run.stdout + run.stderr
    results = tmp_path / "results/real/nsd"

    shown = read_stimulus_set(results / "stimuli")
    seen = make_design()[0][0, :750] - 1
    # Who has the fewest sessions, 30, saw these three times.
    order = make_design()[0][0, : 750 * 30] - 1
    held_out = [number for number in set(seen[seen < 1000]) if (order == number).sum() == 3]
    images = make_design()[1][0]
    wanted = {f"nsd_{images[number] - 1:05d}" for number in held_out}
    assert set(shown.table.index[shown.table["split"] == "test"]) == wanted
    assert len(shown) == len(set(seen))
    assert shown.table.attrs["rule"].startswith("shared515:")

    space = read_features(results / "features/few-pixels.nc")
    assert space.shape == (len(shown), 75)
    name = results / "encoding/sub-1_features-few-pixels_encoder-ridge"
    scores = read_table(Path(f"{name}_encoding.tsv"))
    assert set(scores["region"]) == set(REGIONS["prf-visualrois"][:5])
    assert (scores["n_stimuli"] == len(wanted)).all()
    assert scores["median_ceiled"].between(0.85, 1.1).all()
    assert set(read_prediction(f"{name}_prediction.nc")[0]["stimulus_id"].values) == wanted
    page = (results / "report.html").read_text()
    assert "shared515: the shared images that all eight subjects saw three times" in page
    again = snakemake(tmp_path, *arguments, "--dry-run", NEUROVIS_SHARED="")
    assert "Nothing to be done" in again.stdout + again.stderr
