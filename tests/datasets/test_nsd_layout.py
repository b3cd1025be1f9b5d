"""Design, test sets and everything that a wrong file must be refused for, by name."""

import shutil

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from miniature_nsd import AFFINE, SHAPE, make_design, make_nsd
from scipy.io import loadmat, savemat

from neurovis.datasets.nsd import load_nsd
from neurovis.datasets.nsd_layout import list_sessions, make_trials, read_design, read_stimulus_info
from neurovis.datasets.nsd_rois import N_VERTICES, read_surface
from neurovis.datasets.nsd_splits import find_last_session, make_test_set


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return make_nsd(tmp_path_factory.mktemp("nsd"), subjects=("1",), sessions=(1, 2))


@pytest.fixture
def broken(intact, tmp_path):
    """A copy to break."""
    shutil.copytree(intact.root, tmp_path / "nsd")
    return tmp_path / "nsd"


DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
BETAS = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
ROI = "nsddata/ppdata/subj01/func1pt8mm/roi"


def change_design(**changes):
    def change(root):
        path = root / DESIGN
        design = {name: values for name, values in loadmat(path).items() if not name.startswith("__")}
        savemat(
            path,
            {name: changes[name](values) if name in changes else values for name, values in design.items()},
        )

    return change


def change_info(change_table):
    def change(root):
        change_table(pd.read_csv(root / INFO, index_col=0)).to_csv(root / INFO)

    return change


def write_hdf5(values, name="betas"):
    def change(root):
        (root / BETAS / "betas_session01.hdf5").unlink()
        with h5py.File(root / BETAS / "betas_session01.hdf5", "w") as file:
            file[name] = values

    return change


def write_nifti(values, slope=None):
    def change(root):
        for session in (1, 2):
            (root / BETAS / f"betas_session{session:02d}.hdf5").unlink()
        image = nibabel.Nifti1Image(values, AFFINE)
        if slope:
            image.header.set_slope_inter(slope, 0)
        image.to_filename(root / BETAS / "betas_session01.nii.gz")

    return change


def write_volume(path, values):
    return lambda root: nibabel.Nifti1Image(values, AFFINE).to_filename(root / path)


def remove(path):
    return lambda root: (root / path).unlink()


def truncate(path):
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:900])


def shift_responses(root):
    path = root / "nsddata/ppdata/subj01/behav/responses.tsv"
    table = pd.read_csv(path, sep="\t")
    table["73KID"] -= 1
    table.to_csv(path, sep="\t", index=False)


def shorten_responses(root):
    path = root / "nsddata/ppdata/subj01/behav/responses.tsv"
    pd.read_csv(path, sep="\t").iloc[:-10].to_csv(path, sep="\t", index=False)


STORED = np.zeros((750, *SHAPE[::-1]), dtype=np.int16)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (change_design(masterordering=lambda a: a - 1), ValueError, "masterordering.*from 1 to 10000, got 0"),
        (change_design(subjectim=lambda a: a - 1), ValueError, "subjectim.*(from 1 to 73000|sharedix)"),
        (change_design(sharedix=lambda a: a - 1), ValueError, "subjectim.*images of sharedix"),
        (change_design(subjectim=lambda a: a[:, :9999]), ValueError, r"\(8, 10000\), got \(8, 9999\)"),
        (change_design(subjectim=np.transpose), ValueError, r"subjectim.*\(8, 10000\), got \(10000, 8\)"),
        (change_design(masterordering=lambda a: a[:, :-1]), ValueError, r"\(1, 30000\), got \(1, 29999\)"),
        (change_design(masterordering=lambda a: a + 0.5), ValueError, "masterordering.*whole numbers"),
        (remove(DESIGN), FileNotFoundError, r"nsd_expdesign\.mat"),
        (truncate(DESIGN), ValueError, r"nsd_expdesign\.mat is truncated"),
        (
            change_info(lambda t: t.assign(nsdId=t["nsdId"] + 1)),
            ValueError,
            "run from 0 to 72999, got.* from 1",
        ),
        (change_info(lambda t: t.iloc[:-1]), ValueError, "72999 rows"),
        (change_info(lambda t: t.drop(columns="cocoId")), ValueError, "must have the columns.*cocoId"),
        (
            change_info(lambda t: t.assign(shared1000=np.roll(t["shared1000"], 1))),
            ValueError,
            "shared1000.*sharedix.*count from 1",
        ),
        (remove(INFO), FileNotFoundError, r"nsd_stim_info_merged\.csv"),
        (shift_responses, ValueError, "73KID.*1500 of 1500 trials.*session 1, run 1, trial 1"),
        (shorten_responses, ValueError, "one row for each of the 1500 trials.*got 1490"),
        (write_hdf5(STORED.astype(np.float32)), ValueError, r"session01\.hdf5 must hold int16, got float32"),
        (
            write_hdf5(STORED[:740]),
            ValueError,
            r"\(750, 7, 11, 9\).*got \(740, 7, 11, 9\); a session has 750",
        ),
        (write_hdf5(STORED.T), ValueError, r"got \(9, 11, 7, 750\); its axes are reversed"),
        (write_hdf5(STORED[:, :-1]), ValueError, r"got \(750, 6, 11, 9\); get the published file"),
        (write_hdf5(STORED, "other"), ValueError, r"must hold the array 'betas', got \['other'\]"),
        (truncate(f"{BETAS}/betas_session01.hdf5"), ValueError, r"session01\.hdf5 is truncated"),
        (write_nifti(STORED.T.astype(np.float32)), ValueError, r"nii\.gz must hold int16, got float32"),
        (write_nifti(STORED.T, slope=1 / 300), ValueError, r"nii\.gz must have no scaling.*0\.0033"),
        (write_nifti(STORED.T[..., :740]), ValueError, r"nii\.gz must have shape.*740\); a session has 750"),
        (write_nifti(STORED), ValueError, r"nii\.gz must have shape.*axes are reversed"),
        (remove(f"{BETAS}/ncsnr.nii.gz"), FileNotFoundError, r"ncsnr\.nii\.gz"),
        (
            write_volume(f"{BETAS}/ncsnr.nii.gz", np.ones((2, 3, 4))),
            ValueError,
            r"ncsnr.*\(9, 11, 7\).*\(2, 3, 4\)",
        ),
        (remove(f"{ROI}/nsdgeneral.nii.gz"), FileNotFoundError, r"nsdgeneral\.nii\.gz"),
        (remove(f"{ROI}/lh.nsdgeneral.nii.gz"), FileNotFoundError, r"lh\.nsdgeneral\.nii\.gz"),
        (
            write_volume(f"{ROI}/streams.nii.gz", np.ones((2, 3, 4))),
            ValueError,
            r"streams.*\(9, 11, 7\).*\(2, 3, 4\)",
        ),
    ],
)
def test_a_wrong_file_is_named(broken, change, error, words):
    change(broken)
    with pytest.raises(error, match=f"(?s){words}"):
        load_nsd(root=broken, sessions=[1, 2])


@pytest.mark.parametrize(
    ("choices", "error", "words"),
    [
        ({}, FileNotFoundError, r"sessions 1-40, got none for sessions 3-40.*session03.*sessions=\[1, 2\]"),
        ({"version": "betas_fithrf"}, FileNotFoundError, "betas_fithrf/betas_session01.*check version"),
        ({"version": "b3"}, ValueError, "version must be 'betas_assumehrf'"),
        ({"sessions": [0]}, ValueError, "distinct numbers from 1 to 40"),
        ({"sessions": [41]}, ValueError, "distinct numbers from 1 to 40"),
        ({"sessions": [1, 1]}, ValueError, "distinct"),
        ({"sessions": []}, ValueError, "distinct"),
        ({"subject": "9"}, ValueError, "subject must be '1'"),
        ({"space": "MNI"}, ValueError, "space must be"),
        ({"file_format": "mgh"}, ValueError, "'auto', 'hdf5' or 'nifti'"),
        ({"rows": "time"}, ValueError, "rows must be"),
        ({"zscore": "session"}, ValueError, "zscore must be 'train'"),
        ({"test_set": None}, ValueError, "test_set=None"),
        ({"test_set": "shared982"}, ValueError, "'mindeye1-982'"),
        ({"test_set": "mindeye1-982", "sessions": [38]}, ValueError, "from 1 to 37"),
        ({"test_set": "mindeye1-982", "subject": "3"}, ValueError, "'1', '2', '5' or '7'"),
        ({"test_set": ["nsd_99999"], "sessions": [1]}, ValueError, "'nsd_99999'"),
        ({"roi": [], "sessions": [1]}, ValueError, "at least one region"),
        ({"roi": None, "sessions": [1], "regions": [], "invalid": "zero"}, ValueError, "invalid must be"),
    ],
)
def test_impossible_choices_are_refused(intact, choices, error, words):
    with pytest.raises(error, match=words):
        load_nsd(root=intact.root, **choices)


def test_missing_data_set_names_its_licence(tmp_path):
    with pytest.raises(FileNotFoundError, match="no redistribution"):
        load_nsd(root=tmp_path)


def test_unknown_ncsnr_is_refused_or_dropped(broken):
    path = broken / BETAS / "ncsnr.nii.gz"
    values = np.array(nibabel.load(path).dataobj)
    values[1, 2, 2] = np.nan
    nibabel.Nifti1Image(values, AFFINE).to_filename(path)
    with pytest.raises(ValueError, match=r"ncsnr, got NaN or infinity in 1 of 90"):
        load_nsd(root=broken, sessions=[1])
    _, data = load_nsd(root=broken, sessions=[1], invalid="drop")
    assert data.attrs["n_dropped"] == 1
    assert "1-1-2-2" not in data["neuroid_id"].values
    _, without = load_nsd(root=broken, sessions=[1], ncsnr=False)
    assert without.sizes["neuroid"] == 90
    np.testing.assert_array_equal(without.values[:, 1:], data.values)


def test_a_format_with_a_gap_is_not_mixed_with_another(broken):
    (broken / BETAS / "betas_session02.hdf5").unlink()
    _, data = load_nsd(root=broken, sessions=[1, 2])
    assert data.attrs["file_format"] == "nifti"
    with pytest.raises(FileNotFoundError, match=r"sessions 2 as hdf5.*sessions=\[1\]"):
        load_nsd(root=broken, sessions=[1, 2], file_format="hdf5")


@pytest.mark.parametrize("content", [b"", b"no surface", None])
def test_broken_surfaces_are_refused(tmp_path, content):
    path = tmp_path / "lh.ncsnr.mgh"
    image = nibabel.MGHImage(np.zeros((N_VERTICES, 1, 1), dtype="f4"), np.eye(4))
    image.to_filename(path)
    assert read_surface(path).shape == (N_VERTICES,)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ValueError, match=r"lh\.ncsnr\.mgh is truncated"):
        read_surface(path)
    nibabel.MGHImage(np.zeros((100, 1, 1), dtype="f4"), np.eye(4)).to_filename(path)
    with pytest.raises(ValueError, match=r"163842 vertices, got shape \(100, 1, 1\)"):
        read_surface(path)


def make_test(root, name, subject, sessions):
    design = read_design(root, subject)
    trials = make_trials(design, sessions)
    test = make_test_set(name, design, subject, trials)
    counts = trials["nsd_id"].value_counts().reindex(test.nsd_id)
    return test, [int((counts == n).sum()) for n in (3, 2, 1)]


@pytest.mark.parametrize(
    ("name", "subject", "last", "repeats"),
    [
        ("shared1000", "1", 40, [1000, 0, 0]),
        ("shared1000", "3", 32, [614, 213, 103]),
        ("shared1000", "8", 30, [515, 251, 141]),
        ("shared907", "8", 30, [515, 251, 141]),
        ("shared907", "2", 40, [907, 0, 0]),
        ("shared515", "6", 32, [515, 0, 0]),
        ("mindeye1-982", "5", 37, [858, 72, 52]),
    ],
)
def test_test_sets_have_the_published_counts(intact, name, subject, last, repeats):
    """Spec: Allen et al.'s counts of repeats; 2770 trials of 982 images in the first 37 sessions."""
    assert find_last_session(name, subject) == last
    test, counts = make_test(intact.root, name, subject, range(1, last + 1))
    assert counts == repeats
    assert test.rule.startswith(f"{name}: the shared images")
    assert ("last three" in test.release) is (name == "mindeye1-982")
    if name == "mindeye1-982":
        assert np.dot(counts, [3, 2, 1]) == 2770


def test_sets_named_by_the_caller_and_by_fewer_sessions(intact):
    stimuli, data = load_nsd(root=intact.root, sessions=[1, 2], test_set="shared515")
    test = stimuli.table[stimuli.table["split"] == "test"]
    assert test["shared1000"].all()
    assert len(test) < stimuli.table["shared1000"].sum() + 1
    assert stimuli.table.attrs["rule"] == data.attrs["rule"]
    assert data.attrs["sessions"] == "1-2"
    chosen = stimuli.stimulus_ids[5:9]
    stimuli, data = load_nsd(root=intact.root, sessions=[1, 2], test_set=chosen)
    assert stimuli.table.index[stimuli.table["split"] == "test"].tolist() == chosen
    assert data.attrs["rule"] == "4 images named by the caller"


def test_trials_follow_runs_and_count_repeats(intact):
    trials = make_trials(read_design(intact.root, "1"), (2, 7))
    assert trials.groupby(["session", "run"]).size().tolist() == [63, 62] * 12
    assert trials.groupby(["session", "run"])["trial"].max().tolist() == [63, 62] * 12
    order, images, _ = make_design()
    for row in (0, 749, 750, 1499):
        session, within = divmod(row, 750)
        g = ((2, 7)[session] - 1) * 750 + within
        assert trials["nsd_id"][row] == images[0, order[0, g] - 1] - 1
        assert trials["stimulus_id"][row] == f"nsd_{trials['nsd_id'][row]:05d}"
    seen = {}
    for number, repeat in zip(trials["nsd_id"], trials["repeat"], strict=True):
        assert repeat == seen.get(number, 0)
        seen[number] = repeat + 1


def test_sessions_in_words():
    assert list_sessions([3, 1, 2]) == "1-3"
    assert list_sessions([1, 2, 5, 9, 10]) == "1-2, 5, 9-10"


def test_table_follows_the_order_asked_for(intact):
    design = read_design(intact.root, "1")
    table = read_stimulus_info(intact.root, design, np.array([72_999, 13]))
    assert table.index.tolist() == ["nsd_72999", "nsd_00013"]
    assert table["path"].iloc[1].endswith("nsd_stimuli.hdf5#imgBrick/13")
    assert table["coco_id"].tolist() == [2 * 72_999 + 9, 35]


def test_a_session_is_never_read_twice_or_skipped(intact, tmp_path):
    """Rows of session 2 alone equal those of session 2 among both."""
    load = {"root": intact.root, "rows": "presentation", "zscore": "all"}
    _, both = load_nsd(**load, sessions=[2, 1])
    _, second = load_nsd(**load, sessions=[2])
    np.testing.assert_array_equal(both.values[(both["session"] == 2).values], second.values)
    assert both["session"].values.tolist() == [1] * 750 + [2] * 750
