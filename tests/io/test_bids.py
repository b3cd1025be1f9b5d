"""BIDS names, inheritance and pairing, on the real tree of a public study and on small made ones."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurovis.io import bids, bids_runs

LABELS = st.from_regex(r"[a-zA-Z0-9]{1,6}", fullmatch=True)


@given(entities=st.dictionaries(st.sampled_from(bids.ENTITIES), LABELS, min_size=1), suffix=LABELS)
def test_names_round_trip(entities, suffix):
    for extension in (".nii.gz", ".func.gii", ".tsv", ".json"):
        parsed = bids.parse_bids_name(bids.make_bids_name(entities, suffix, extension))
        assert (parsed.entities, parsed.suffix, parsed.extension) == (entities, suffix, extension)


def test_entities_come_in_the_order_of_the_standard():
    name = bids.make_bids_name(
        {"hemi": "L", "run": "1", "task": "x", "sub": "01", "space": "fsaverage5", "ses": None},
        "bold",
        ".func.gii",
    )
    assert name == "sub-01_task-x_run-1_hemi-L_space-fsaverage5_bold.func.gii"
    with pytest.raises(ValueError, match=r"entities\['task'\] must be made of letters and digits, got 'a_b'"):
        bids.make_bids_name({"task": "a_b"}, "bold", ".nii")
    with pytest.raises(ValueError, match="got 'subject'"):
        bids.make_bids_name({"subject": "a"}, "bold", ".nii")


@pytest.mark.parametrize("name", ["README", "dataset_description.json", "sub-01_bo-ld_.tsv", "a_b_c.txt"])
def test_other_names_are_not_bids(name):
    parsed = bids.parse_bids_name(name)
    assert parsed is None or not parsed.entities


@pytest.fixture
def tree(tmp_path):
    """Two sessions of two runs, raw and pre-processed on the surface, with side-cars at three levels."""
    root = tmp_path / "study"
    prepared = root / "derivatives" / "fmriprep"
    sidecar = {"RepetitionTime": 2.0, "TaskName": "x", "Level": "root"}
    (prepared / "sub-01").mkdir(parents=True)
    (root / "task-x_bold.json").write_text(json.dumps(sidecar))
    for session in ("a", "b"):
        func = root / "sub-01" / f"ses-{session}" / "func"
        surface = prepared / "sub-01" / f"ses-{session}" / "func"
        func.mkdir(parents=True)
        surface.mkdir(parents=True)
        for run in ("01", "02"):
            stem = f"sub-01_ses-{session}_task-x_run-{run}"
            (func / f"{stem}_bold.nii.gz").touch()
            (func / f"{stem}_events.tsv").write_text("onset\tduration\ttrial_type\n4\t1\tb\n2\t0.5\ta\n")
            for hemisphere in "LR":
                (surface / f"{stem}_hemi-{hemisphere}_space-fsaverage5_bold.func.gii").touch()
            (surface / f"{stem}_space-T1w_desc-brain_mask.nii.gz").touch()
            table = "trans_x\ttrans_y\ttrans_x_derivative1\ta_comp_cor_00\ta_comp_cor_01\tholes\n"
            table += "1\t2\tn/a\t5\t6\t1\n2\t4\t1\t5\t6\tn/a\n"
            (surface / f"{stem}_desc-confounds_timeseries.tsv").write_text(table)
    (root / "sub-01" / "ses-b" / "sub-01_ses-b_task-x_bold.json").write_text('{"Level": "session"}')
    (root / "sub-01" / "ses-b" / "func" / "sub-01_ses-b_task-x_run-02_bold.json").write_text(
        '{"Level": "run"}'
    )
    return root


def test_runs_are_paired_across_trees(tree):
    raw = bids_runs.find_functional_runs(tree, subject="sub-01")
    surface = bids_runs.find_functional_runs(tree, subject="01", space="fsaverage5")
    assert [(r.session, r.run) for r in raw] == [("a", "01"), ("a", "02"), ("b", "01"), ("b", "02")]
    for one, other in zip(raw, surface, strict=True):
        assert list(one.bold) == ["volume"]
        assert list(other.bold) == ["left", "right"]
        assert "hemi-L" in other.bold["left"].name
        assert one.events == other.events
        assert f"ses-{one.session}_task-x_run-{one.run}_events" in one.events.name
        assert one.confounds == other.confounds
        assert f"ses-{one.session}_task-x_run-{one.run}_desc-confounds" in one.confounds.name
        assert one.mask is None  # the only mask is in another space
    assert raw[3].name == "sub-01 ses-b task-x run-02"
    assert [r.run for r in bids_runs.find_functional_runs(tree, subject="01", session="b", run="2")] == ["02"]


def test_closer_sidecars_win(tree):
    for space in (None, "fsaverage5"):
        runs = bids_runs.find_functional_runs(tree, subject="01", space=space)
        assert [r.metadata["Level"] for r in runs] == ["root", "root", "session", "run"]
        assert all(r.metadata["RepetitionTime"] == 2.0 for r in runs)


def test_events_of_the_task_apply_to_every_run(tree):
    for path in tree.rglob("*_events.tsv"):
        path.unlink()
    assert bids_runs.find_functional_runs(tree, subject="01")[0].events is None
    (tree / "task-x_events.tsv").write_text("onset\tduration\n1\t1\n")
    assert {r.events for r in bids_runs.find_functional_runs(tree, subject="01")} == {
        tree / "task-x_events.tsv"
    }


def test_missing_things_say_what_there_is(tree):
    find = bids_runs.find_functional_runs
    with pytest.raises(FileNotFoundError, match=r"no bold files of sub-9 .* subjects there are \['01'\]"):
        find(tree, subject="9")
    with pytest.raises(FileNotFoundError, match=r"'space': \['fsaverage5'\]"):
        find(tree, subject="01", space="MNI")
    with pytest.raises(FileNotFoundError, match=r"'task': \['x'\]"):
        find(tree, subject="01", task="y")
    with pytest.raises(FileNotFoundError, match="no derivative 'other'"):
        find(tree, subject="01", derivatives="other")
    with pytest.raises(FileNotFoundError, match="no folder at"):
        find(tree / "absent", subject="01")
    (tree / "derivatives" / "fmriprep").rename(tree / "derivatives" / "one")
    (tree / "derivatives" / "two").mkdir()
    with pytest.raises(ValueError, match=r"derivatives must name one of \['one', 'two'\]"):
        find(tree, subject="01")
    assert len(find(tree, subject="01", space="fsaverage5", derivatives="one")) == 4


def test_ambiguous_files_are_refused(tree):
    func = tree / "sub-01" / "ses-a" / "func"
    (func / "sub-01_ses-a_task-y_run-01_bold.nii.gz").touch()
    with pytest.raises(ValueError, match=r"task must be one of \['x', 'y'\]"):
        bids_runs.find_functional_runs(tree, subject="01")
    (func / "sub-01_ses-a_task-x_run-01_echo-2_bold.nii.gz").touch()
    with pytest.raises(ValueError, match=r"one volume or one file per hemisphere.*echo"):
        bids_runs.find_functional_runs(tree, subject="01", task="x")


def test_events_are_sorted_and_checked(tree, tmp_path):
    run = bids_runs.find_functional_runs(tree, subject="01")[0]
    assert bids_runs.read_events(run.events)["trial_type"].tolist() == ["a", "b"]
    path = tmp_path / "events.tsv"
    path.write_text("onset\tduration\n1\tn/a\n")
    with pytest.raises(
        ValueError, match=r"duration in .* must be a non-negative number .* got nan in data row 1"
    ):
        bids_runs.read_events(path)
    path.write_text("onset\tduration\n1\t-1\n")
    with pytest.raises(ValueError, match="must be a non-negative number"):
        bids_runs.read_events(path)
    path.write_text("onset,duration\n1,1\n")
    with pytest.raises(ValueError, match="separated by tabs"):
        bids_runs.read_events(path)
    path.write_text("onset\tduration\n")
    with pytest.raises(ValueError, match="at least one event"):
        bids_runs.read_events(path)


def test_confounds_by_name_pattern_and_set(tree):
    path = bids_runs.find_functional_runs(tree, subject="01")[0].confounds
    table = bids_runs.read_confounds(path, ["trans_x", "trans_x_derivative1", "a_comp_cor_*", "trans_x"])
    assert list(table) == ["trans_x", "trans_x_derivative1", "a_comp_cor_00", "a_comp_cor_01"]
    np.testing.assert_array_equal(table.to_numpy(), [[1, 0, 5, 6], [2, 1, 5, 6]])
    with pytest.raises(ValueError, match=r"got 'trans_z'; did you mean .*trans_"):
        bids_runs.read_confounds(path, "motion6")
    with pytest.raises(ValueError, match=r"missing values in \['holes'\]"):
        bids_runs.read_confounds(path, "holes")


def test_real_tree(shared_data):
    root = shared_data / "bids_layouts" / "ds105"
    runs = bids_runs.find_functional_runs(root, subject="2")
    assert [r.run for r in runs] == [f"{number:02d}" for number in range(1, 13)]
    for run in runs:
        assert run.task == "objectviewing"
        assert run.metadata["RepetitionTime"] == 2.5
        assert run.confounds is None
        events = bids_runs.read_events(run.events)
        assert len(events) == 96
        assert events["onset"].iloc[0] == 12.0
        assert events["trial_type"].nunique() == 8
    multimodal = shared_data / "bids_layouts" / "ieeg_visual_multimodal"
    found = bids.find_bids_files(multimodal, suffix="events", sub="som682", task="spatialpattern", run="2")
    assert [file.path.name for file in found]
    assert {file.entities["run"] for file in found} == {"02"}
