"""A simulated subject written as BIDS and read back: betas against the truth, timing, confounds, resuming."""

import dataclasses

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.core import StimulusSet
from neurovis.datasets.bids import load_bids
from neurovis.datasets.simulated import bids, bold, read_truth
from neurovis.datasets.simulated.anatomy import load_adjacency
from neurovis.datasets.simulated.betas import make_trial_design
from neurovis.datasets.simulated.subject import SimulatedSubject
from neurovis.datasets.single_trial import TrialGlm
from neurovis.io import read_table
from neurovis.io.bids_runs import find_functional_runs

# A fiftieth of the usual noise: silent vertices must not be constant, or they would be refused.
QUIET = bold.Acquisition(noise=0.02, drift=0.0, motion=0.0)
N_STIMULI, N_VERTICES = 12, 40


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    ids = [f"world-{index:05d}" for index in range(N_STIMULI)]
    for index, name in enumerate(ids):
        Image.fromarray(np.full((4, 4, 3), index, np.uint8)).save(folder / f"{name}.png")
    table = pd.DataFrame(
        {"path": [f"{name}.png" for name in ids], "category": ["face", "place"] * 6}, index=ids
    )
    return StimulusSet("world", table, folder, (8.0, 8.0))


@pytest.fixture(scope="module")
def subject():
    rng = np.random.default_rng(3)
    adjacency = load_adjacency()
    patches = []
    for start in (100, 10242 + 50):
        patch = [start]
        while len(patch) < N_VERTICES // 2:
            patch += [vertex for vertex in adjacency[patch].indices if vertex not in patch][:1]
        patches.append(np.sort(patch))
    vertex = np.concatenate(patches)
    table = pd.DataFrame(
        {
            "vertex": vertex,
            "hemisphere": np.where(vertex < 10242, "left", "right"),
            "region": np.where(np.arange(N_VERTICES) % 4 < 2, "V1", "FFA"),
            "subdivision": "",
            "responsive": np.arange(N_VERTICES) % 5 > 0,
            "signal_sd": 1.0,
            "noise_sd": rng.uniform(0.5, 1.0, N_VERTICES),
        }
    )
    return SimulatedSubject("01", 0, table)


@pytest.fixture(scope="module")
def responses(subject):
    rng = np.random.default_rng(4)
    return (rng.normal(1, 1, (N_STIMULI, N_VERTICES)) * subject.table["responsive"].to_numpy()).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def design(stimuli):
    return make_trial_design(stimuli.stimulus_ids, n_repeats=4, n_sessions=2, seed=0, n_runs=2)


def write(root, subject, stimuli, design, responses, acquisition, **choices):
    bids.write_bids_dataset(root / "bids", stimuli, ["01"], t_r=acquisition.t_r, seed=0)
    return bids.write_bids_subject(
        root / "bids", subject, stimuli, design, truth=root / "truth", seed=0, acquisition=acquisition,
        responses=responses, **choices
    )  # fmt: skip


def load(root, **choices):
    choices = {"space": "fsaverage5", "regions": "regions", "glm": TrialGlm("lsa"), **choices}
    return load_bids(subject="01", root=root / "bids", derivatives="simulated", **choices)


def true_trials(data, stimuli, responses):
    return responses[[stimuli.stimulus_ids.index(item) for item in data["stimulus_id"].values]]


def correlate(a, b, keep):
    a, b = a[:, keep], b[:, keep]
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


@pytest.fixture(scope="module")
def surface(tmp_path_factory, subject, stimuli, design, responses):
    root = tmp_path_factory.mktemp("surface")
    write(root, subject, stimuli, design, responses, QUIET)
    return root


def test_surface_round_trip_with_little_noise(surface, subject, stimuli, design, responses):
    shown, data = load(surface)
    assert data.dims == ("presentation", "neuroid")
    np.testing.assert_array_equal(data["vertex"], subject.table["vertex"])
    np.testing.assert_array_equal(data["region"], subject.table["region"])
    np.testing.assert_array_equal(data["hemisphere"], subject.table["hemisphere"])
    np.testing.assert_array_equal(data["neuroid_id"], subject.neuroid_ids)
    for name in ("stimulus_id", "session", "run", "repeat"):
        np.testing.assert_array_equal(data[name], design[name], err_msg=name)
    responsive = subject.table["responsive"].to_numpy()
    truth = true_trials(data, stimuli, responses)
    for session in (1, 2):  # sessions differ in gain
        rows = data["session"].values == session
        assert correlate(data.values[rows], truth[rows], responsive).min() > 0.995
    assert np.abs(data.values[:, ~responsive]).max() < 0.1
    assert shown.size_dva == (8.0, 8.0)
    np.testing.assert_array_equal(shown.load("world-00007"), 7)
    assert set(data["trial_type"].values) == {"face", "place"}
    _, lss = load(surface, glm=TrialGlm("lss"))
    assert np.median(correlate(lss.values, truth, responsive)) > 0.8


def test_the_betas_need_the_right_hrf_timing(surface, subject, stimuli, responses):
    """A model whose trials come 2 s too late explains the responses worse."""
    truth = true_trials(load(surface)[1], stimuli, responses)
    responsive = subject.table["responsive"].to_numpy()
    right = np.median(correlate(load(surface)[1].values, truth, responsive))
    runs = find_functional_runs(surface / "bids", subject="01", space="fsaverage5", derivatives="simulated")
    tables = {run.events: run.events.read_text() for run in runs}
    try:
        for path in tables:
            events = read_table(path)
            events.assign(onset=events["onset"] + 2.0).to_csv(path, sep="\t", index=False)
        wrong = np.median(correlate(load(surface)[1].values, truth, responsive))
    finally:
        for path, text in tables.items():
            path.write_text(text)
    assert right > 0.9
    assert wrong < right - 0.2


def test_motion_confounds_remove_the_planted_artefact(tmp_path, subject, stimuli, design, responses):
    moving = dataclasses.replace(QUIET, motion=3.0)
    write(tmp_path, subject, stimuli, design, responses, moving)
    error = {}
    for confounds in ((), "motion6", "motion24"):
        data = load(tmp_path, confounds=confounds)[1]
        rows = data["session"].values == 1
        truth = true_trials(data, stimuli, responses)[rows]
        gain = np.polyfit(truth.ravel(), data.values[rows].ravel(), 1)[0]
        error[confounds] = np.median(np.std(data.values[rows] - gain * truth, axis=0))
    assert error["motion6"] < 0.15 * error[()]
    assert error["motion24"] < 0.15 * error[()]


def test_noise_of_the_betas_is_the_subjects(tmp_path, subject, stimuli, responses):
    design = make_trial_design(stimuli.stimulus_ids, n_repeats=24, n_sessions=2, seed=1, n_runs=2)
    write(tmp_path, subject, stimuli, design, responses * 0, bold.Acquisition())
    parameters = read_truth(tmp_path / "truth").parameters
    for method, tolerance in (("lsa", 0.06), ("lss", 0.06)):
        data = load(tmp_path, glm=TrialGlm(method), confounds="motion6")[1]
        parts = [data.values[data["session"].values == session] for session in (1, 2)]
        measured = np.sqrt(np.mean([part.var(axis=0) for part in parts], axis=0))
        expected = bold.compute_beta_noise_sd(
            parameters, subject, method=method, signal_sd=np.zeros(N_VERTICES)
        )
        assert np.mean(measured**2) == pytest.approx(np.mean(expected**2), rel=2 * tolerance), method
    np.testing.assert_allclose(
        bold.compute_beta_noise_sd(parameters, subject, method="lsa", signal_sd=np.ones(N_VERTICES)),
        subject.table["noise_sd"],
    )


def test_volume_round_trip(tmp_path, subject, stimuli, design, responses):
    write(tmp_path, subject, stimuli, design, responses, QUIET, format="volume", voxel_mm=4.0)
    _, data = load(tmp_path, space=None)
    sites = read_table(tmp_path / "truth" / "sites.tsv")
    assert len(sites) == data.sizes["neuroid"]
    names = [f"sub-01_i{i}j{j}k{k}" for i, j, k in sites[["i", "j", "k"]].to_numpy()]
    np.testing.assert_array_equal(data["neuroid_id"], names)
    np.testing.assert_array_equal(data["region"], subject.table["region"].to_numpy()[sites["row"]])
    # Every voxel lies within one voxel of the vertex whose response it has.
    _, pial = bids.load_surface()
    points = np.concatenate([pial["left"], pial["right"]])[subject.table["vertex"].to_numpy()[sites["row"]]]
    xyz = np.stack([data[axis].values for axis in "xyz"], axis=1)
    assert np.linalg.norm(points - xyz, axis=1).max() <= 4.0
    truth = true_trials(data, stimuli, responses)[:, sites["row"]]
    responsive = subject.table["responsive"].to_numpy()[sites["row"]]
    rows = data["session"].values == 1
    assert correlate(data.values[rows], truth[rows], responsive).min() > 0.99
    raw = find_functional_runs(tmp_path / "bids", subject="01", derivatives="simulated")[0]
    assert nibabel.load(raw.bold["volume"]).header.get_zooms()[3] == pytest.approx(1.6)
    assert raw.mask is not None
    _, ffa = load(tmp_path, space=None, include=["FFA"], mask=raw.mask)
    assert set(ffa["region"].values) == {"FFA"}


def test_a_killed_run_resumes_and_other_settings_are_refused(surface, subject, stimuli, design, responses):
    functional = sorted((surface / "bids").rglob("*_bold.func.gii"))
    sidecars = sorted((surface / "bids" / "derivatives").rglob("*_bold.json"))
    before = {path: path.read_bytes() for path in functional}
    old = {path: path.stat().st_mtime_ns for path in functional}
    sidecars[1].unlink()  # the side-car comes last, so this run counts as broken off
    write(surface, subject, stimuli, design, responses, QUIET)
    assert {path: path.read_bytes() for path in functional} == before
    renewed = [path for path in functional if path.stat().st_mtime_ns != old[path]]
    assert {path.name.split("_hemi")[0] for path in renewed} == {sidecars[1].name.split("_space")[0]}
    louder = dataclasses.replace(QUIET, noise=1.0)
    with pytest.raises(ValueError, match=r"same simulation .* choose another folder"):
        write(surface, subject, stimuli, design, responses, louder)


def test_nothing_in_the_data_set_names_the_truth(surface, subject):
    text = [
        path
        for path in (surface / "bids").rglob("*")
        if path.suffix in (".tsv", ".json") or path.name == "README"
    ]
    words = ("responsive", "noise_sd", "ncsnr", "silent", "leak")
    assert not [(path.name, word) for path in text for word in words if word in path.read_text()]
    with pytest.raises(ValueError, match="truth must lie outside"):
        bids.write_bids_subject(
            surface / "bids", subject, None, None, truth=surface / "bids" / "derivatives" / "x", seed=0
        )


def test_schedule_and_confounds(design):
    acquisition = bold.Acquisition(blank_share=0.2)
    runs = bold.make_run_designs(design, acquisition, subject="01", seed=0)
    assert len(runs) == 4
    for run in runs:
        steps = np.diff(run.trials["onset"])
        assert steps.min() >= acquisition.spacing_s - 2 * acquisition.jitter_s - 1e-9
        assert (steps > 6).sum() >= 1
        assert (
            run.frame_times[-1]
            >= run.trials["onset"].iloc[-1] + acquisition.duration_s + acquisition.tail_s - 1.6
        )
        assert 0.01 < run.motion["trans_x"].std() < 3
    table = bold.make_confounds(runs[0].motion)
    steps = np.abs(np.diff(runs[0].motion.to_numpy(), axis=0))
    expected = steps[:, :3].sum(axis=1) + 50.0 * steps[:, 3:].sum(axis=1)
    np.testing.assert_allclose(table["framewise_displacement"].to_numpy()[1:], expected)
    assert np.isnan(table["framewise_displacement"].iloc[0])
    assert table.shape[1] == 25
    with pytest.raises(ValueError, match="lengthen the spacing"):
        bold.Acquisition(spacing_s=2.0)
    with pytest.raises(ValueError, match=r"ar1 in \(-1, 1\)"):
        bold.Acquisition(ar1=1.0)


def test_noise_of_a_run_is_autocorrelated_and_smooth_in_space(subject):
    design = make_trial_design(["a", "b"], n_repeats=60, n_sessions=1, seed=0, n_runs=1)
    acquisition = bold.Acquisition(drift=0.0, motion=0.0, ar1=0.5)
    run = bold.make_run_designs(design, acquisition, subject="01", seed=0)[0]
    nothing = np.zeros((len(run.trials), N_VERTICES), dtype=np.float32)
    series = bold.simulate_run(subject, nothing, run, acquisition, gain=2.0, seed=0)
    np.testing.assert_allclose(series.std(axis=0), subject.table["noise_sd"] / 2.0, rtol=0.3)
    scaled = series / series.std(axis=0)
    assert np.mean(scaled[1:] * scaled[:-1]) == pytest.approx(0.5, abs=0.06)
    # Vertices of one hemisphere share smooth noise where they are neighbours; hemispheres share none.
    correlation = np.corrcoef(scaled.T)
    assert np.abs(correlation[: N_VERTICES // 2, N_VERTICES // 2 :].mean()) < 0.05
    smoothing = bold.make_noise_smoothing(subject)
    expected = 0.4 * (smoothing @ smoothing.T).toarray()
    off = ~np.eye(N_VERTICES, dtype=bool)
    assert expected[off].max() > 0.2
    assert np.corrcoef(correlation[off], expected[off])[0, 1] > 0.6


def test_delays_shift_the_response(subject):
    design = make_trial_design(["a"], n_repeats=1, n_sessions=1, seed=0, n_runs=1)
    late = dataclasses.replace(QUIET, hrf_delay_sd=1.0, t_r=0.5)
    design = pd.concat([design] * 3, ignore_index=True)
    run = bold.make_run_designs(design, late, subject="01", seed=0)[0]
    ones = np.ones((3, N_VERTICES), dtype=np.float32)
    series = bold.simulate_run(subject, ones, run, late, gain=1.0, seed=0)
    assert np.unique(series.argmax(axis=0)).size > 3
