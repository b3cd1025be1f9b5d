"""The BIDS loader on a small made tree, on real runs laid out as BIDS, and on broken data sets."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from neurovis.datasets.bids import load_bids
from neurovis.datasets.single_trial import TrialGlm, make_frame_times, make_trial_regressors
from neurovis.io import read_neural_data, write_neural_data
from neurovis.io.nifti import Volume, write_volume

T_R, N_SCANS, SHAPE = 2.0, 60, (3, 4, 2)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
TRIALS = ["b", "a", "c", "a", "b", "c"]


@pytest.fixture
def tree(tmp_path, rng):
    """Two runs whose betas are known: trial t in voxel v has beta (t + 1) (v + 1) / 10 percent."""
    root = tmp_path / "study"
    func = root / "sub-01" / "func"
    confounds = root / "derivatives" / "fmriprep" / "sub-01" / "func"
    func.mkdir(parents=True)
    confounds.mkdir(parents=True)
    (root / "task-x_bold.json").write_text(json.dumps({"RepetitionTime": T_R, "TaskName": "x"}))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "tiny", "BIDSVersion": "1.9.0"}))
    events = pd.DataFrame({"onset": 10.0 + 16.0 * np.arange(6), "duration": 3.0, "trial_type": "image"})
    events["stim_file"] = [f"set/{name}.png" for name in TRIALS]
    regressors = make_trial_regressors(events, make_frame_times(N_SCANS, T_R))
    cue = pd.DataFrame({"onset": [3.0, 50.0], "duration": 1.0, "trial_type": "cue"})
    cued = make_trial_regressors(cue, make_frame_times(N_SCANS, T_R)).sum(axis=1)
    factor = (np.arange(24) + 1) / 10
    for run in (1, 2):
        motion = rng.normal(size=(N_SCANS, 6))
        signal = np.outer(regressors @ np.arange(1, 7), factor) + 5 * motion[:, :1] + 3 * cued[:, None]
        # Percent of the mean: the mean over the run is what the loader divides by.
        bold = 1000 * (1 + (signal - signal.mean(axis=0)) / 100)
        stem = f"sub-01_task-x_run-{run}"
        write_volume(
            bold.T.reshape(*SHAPE, N_SCANS).astype(np.float32),
            func / f"{stem}_bold.nii.gz",
            affine=AFFINE,
            t_r=T_R,
        )
        pd.concat([events, cue]).to_csv(func / f"{stem}_events.tsv", sep="\t", index=False, na_rep="n/a")
        names = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
        table = pd.DataFrame(motion, columns=names)
        table.to_csv(confounds / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)
    return root


def load(root, **choices):
    choices = {
        "subject": "01", "trial_types": ["image"], "confounds": "motion6", "size_dva": (5.0, 5.0),
        "glm": TrialGlm("lsa", drift_model="none"), **choices,
    }  # fmt: skip
    return load_bids(root=root, **choices)


def test_known_betas_come_back(tree, tmp_path):
    stimuli, data = load(tree)
    expected = np.outer(np.arange(1, 7), (np.arange(24) + 1) / 10)
    np.testing.assert_allclose(data.values, np.tile(expected, (2, 1)), rtol=1e-3, atol=2e-3)
    assert data["stimulus_id"].values.tolist() == TRIALS * 2
    assert data["repeat"].values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert data["run"].values.tolist() == [1] * 6 + [2] * 6
    assert set(data["session"].values.tolist()) == {1}
    np.testing.assert_allclose(data["onset"].values[:6], 10.0 + 16.0 * np.arange(6))
    assert data.attrs["t_r"] == T_R
    assert data.attrs["units"] == "percent"
    np.testing.assert_allclose([data[axis].values[9] for axis in "xyz"], 3.0 * np.array([1, 0, 1]))
    assert stimuli.stimulus_ids == ["b", "a", "c"]
    assert stimuli.path("a") == tree / "stimuli" / "set" / "a.png"
    again = read_neural_data(write_neural_data(data, tmp_path / "betas.nc"))
    np.testing.assert_array_equal(again.values, data.values)
    np.testing.assert_array_equal(again["stimulus_id"], data["stimulus_id"])


def test_leaving_out_confounds_or_other_events_costs(tree):
    expected = np.tile(np.outer(np.arange(1, 7), (np.arange(24) + 1) / 10), (2, 1))
    for choices in ({"confounds": ()}, {"trial_types": None, "stimulus_column": "trial_type"}):
        _, data = load(tree, **choices)
        if len(data) == len(expected):
            assert np.abs(data.values - expected).mean() > 0.05
        else:
            assert data["stimulus_id"].values.tolist().count("cue") == 4


def test_masks_and_runs_are_chosen(tree):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1, 2:] = True
    _, all_voxels = load(tree)
    _, data = load(tree, mask=Volume(mask, AFFINE), run="2")
    np.testing.assert_allclose(data.values, all_voxels.values[6:][:, mask.ravel()], rtol=1e-6)
    assert set(data["run"].values) == {2}
    with pytest.raises(ValueError, match="mask must have the shape"):
        load(tree, mask=Volume(mask[:2], AFFINE))
    with pytest.raises(ValueError, match="affine"):
        load(tree, mask=Volume(mask, 2 * AFFINE))
    with pytest.raises(FileNotFoundError, match=r"no segmentation desc-areas_dseg.nii.gz .* there are \[\]"):
        load(tree, regions="areas")


def test_labels_that_look_like_numbers_keep_their_zeros(tree):
    for path in tree.rglob("*_events.tsv"):
        table = pd.read_csv(path, sep="\t")
        table.assign(stimulus_id="007").to_csv(path, sep="\t", index=False, na_rep="n/a")
    stimuli, data = load(tree, stimulus_column="stim_file")
    assert set(data["stimulus_id"].values) == {"a", "b", "c"}
    with pytest.raises(ValueError, match="one stim_file, got several for '007'"):
        load(tree)
    assert stimuli.stimulus_ids == ["b", "a", "c"]


def test_invalid_voxels_are_refused_or_dropped(tree):
    path = tree / "sub-01" / "func" / "sub-01_task-x_run-2_bold.nii.gz"
    values = np.random.default_rng(0).normal(1000, 1, size=(*SHAPE, N_SCANS)).astype(np.float32)
    values[0, 0, 0, 3] = np.nan
    values[0, 0, 1] = 5.0
    write_volume(values, path, affine=AFFINE, t_r=T_R)
    with pytest.raises(ValueError, match=r"run-2: every selected voxel .* got 2 of 24"):
        load(tree)
    _, data = load(tree, invalid="drop")
    assert data.sizes["neuroid"] == 22
    assert "sub-01_i0j0k0" not in data["neuroid_id"].values
    assert np.isfinite(data.values).all()


def test_what_does_not_fit_is_named(tree):
    func = tree / "sub-01" / "func"
    with pytest.raises(ValueError, match="got 'transx'; did you mean"):
        load(tree, confounds=["transx"])
    with pytest.raises(ValueError, match="every trial must have a stim_file, got 2 without"):
        load(tree, trial_types=None)
    with pytest.raises(ValueError, match="trial_types must be 'cue' or 'image', got 'picture'"):
        load(tree, trial_types=["picture"])
    with pytest.raises(ValueError, match="size_dva must be given for tiny"):
        load(tree, size_dva=None)
    with pytest.raises(ValueError, match="stimulus_column must be a column"):
        load(tree, stimulus_column="name")
    sidecar = tree / "task-x_bold.json"
    sidecar.write_text(json.dumps({"RepetitionTime": 2.5}))
    with pytest.raises(ValueError, match=r"got 2.5 s and 2 s; find out which is right and pass t_r"):
        load(tree)
    assert load(tree, t_r=2.0)[1].attrs["t_r"] == 2.0
    sidecar.write_text(json.dumps({"RepetitionTime": T_R}))
    events = func / "sub-01_task-x_run-1_events.tsv"
    text = events.read_text()
    events.write_text(text + "130\t1\timage\tset/a.png\n")
    with pytest.raises(ValueError, match="run-1: events must start before the run ends at 120 s"):
        load(tree)
    events.unlink()
    with pytest.raises(FileNotFoundError, match=r"no events.tsv belongs to sub-01 task-x run-1"):
        load(tree)
    events.write_text(text)
    confounds = next(tree.rglob("*run-1_desc-confounds_timeseries.tsv"))
    lines = confounds.read_text().splitlines(keepends=True)
    confounds.write_text("".join(lines[:-5]))
    with pytest.raises(ValueError, match=r"run-1: confounds must have one row per scan \(60\), got 55"):
        load(tree)
    confounds.unlink()
    with pytest.raises(ValueError, match="need a desc-confounds table of the run, got none"):
        load(tree)


def test_slices_shifted_to_the_middle_move_the_model(tree):
    _, right = load(tree)
    (tree / "task-x_bold.json").write_text(json.dumps({"RepetitionTime": T_R, "StartTime": 1.0}))
    _, shifted = load(tree)
    assert np.abs(shifted.values - right.values).mean() > 0.02


def test_real_tree_with_empty_images_says_so(shared_data):
    root = shared_data / "bids_layouts" / "ds105"
    with pytest.raises(ValueError, match=r"run-01_bold.nii.gz is empty \(0 bytes\).*fetch its content"):
        load_bids(subject="2", root=root, size_dva=(8.0, 8.0))
    with pytest.raises(FileNotFoundError, match=r"subjects there are \['2', '3', '4'\]"):
        load_bids(subject="1", root=root, size_dva=(8.0, 8.0))


def test_real_runs_give_betas_that_tell_categories_apart(shared_data, tmp_path):
    """Haxby et al. (2001), one slice, laid out as BIDS: 8-way, leave one run out, nearest class mean."""
    source = shared_data / "haxby2001_slice" / "sub001" / "BOLD"
    func = tmp_path / "sub-1" / "func"
    func.mkdir(parents=True)
    (tmp_path / "task-objects_bold.json").write_text(json.dumps({"RepetitionTime": 2.5}))
    for run in range(1, 9):
        folder = source / f"task001_run{run:03d}"
        shutil.copy(folder / "bold_1slice.nii.gz", func / f"sub-1_task-objects_run-{run}_bold.nii.gz")
        shutil.copy(folder / "bold_events.tsv", func / f"sub-1_task-objects_run-{run}_events.tsv")
    _, data = load_bids(subject="1", root=tmp_path, glm=TrialGlm("lsa"), invalid="drop", size_dva=(8.0, 8.0))
    assert data.sizes["presentation"] == 64
    assert (np.unique(data["stimulus_id"].values, return_counts=True)[1] == 8).all()
    labels, runs = data["stimulus_id"].values, data["run"].values
    correct = []
    for run in range(1, 9):
        train, test = runs != run, runs == run
        mean, sd = data.values[train].mean(axis=0), data.values[train].std(axis=0)
        patterns = (data.values - mean) / sd
        names = np.unique(labels)
        centres = np.stack([patterns[train & (labels == name)].mean(axis=0) for name in names])
        r = np.corrcoef(np.vstack([patterns[test], centres]))[: test.sum(), test.sum() :]
        correct += (names[r.argmax(axis=1)] == labels[test]).tolist()
    # Chance 1/8; 16 or more of 64 right has p = 0.005 under the binomial null.
    assert np.mean(correct) > 0.25
