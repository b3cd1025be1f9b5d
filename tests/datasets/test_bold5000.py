"""A fabricated BOLD5000 2.0 folder is read as made, a planted model reaches its ceiling, faults are named."""

import shutil

import nibabel
import numpy as np
import pytest
import xarray as xr
from miniature_bold5000 import AFFINE, make_bold5000

from neurovis.datasets.bold5000 import REGIONS, load_bold5000
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.encoding import evaluate_encoding
from neurovis.evaluation.preparation import find_test_ids
from neurovis.io import read_neural_data, write_neural_data

TRIALS = {"subject": "CSI4", "rows": "presentation", "zscore": "none"}


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return make_bold5000(tmp_path_factory.mktemp("bold5000"), versions=("TYPED", "TYPEB"))


@pytest.fixture
def broken(truth, tmp_path):
    shutil.copytree(truth.folder, tmp_path / "bold5000")
    return tmp_path


def make_features(truth, stimuli):
    by_id = {name.rpartition(".")[0]: values for name, values in truth.features.items()}
    return xr.DataArray(
        np.array([by_id[item] for item in stimuli.stimulus_ids]),
        dims=("stimulus", "feature"),
        coords={"stimulus_id": ("stimulus", stimuli.stimulus_ids)},
    )


def test_every_trial_is_the_stored_one(truth, tmp_path):
    _, data = load_bold5000(root=truth.root, **TRIALS)
    assert data.shape[0] == 3108
    assert data["stimulus_id"].values.tolist() == [name.rpartition(".")[0] for name in truth.files]
    np.testing.assert_array_equal(data["session"], truth.session)
    assert data["run"].values.reshape(-1, 37).ptp(axis=1).max() == 0
    union = np.any(list(truth.masks.values()), axis=0)
    np.testing.assert_array_equal(data.values, truth.betas[:, union])
    assert (data.dtype, data.attrs["units"]) == (np.float32, "percent")
    again = read_neural_data(write_neural_data(data, tmp_path / "data.nc"))
    xr.testing.assert_identical(again, data)
    i, j, k = (data[axis].values for axis in "ijk")
    for region in REGIONS:
        inside = truth.masks[region, "LH"] | truth.masks[region, "RH"]
        np.testing.assert_array_equal(data[f"in_{region}"], inside[i, j, k])
    np.testing.assert_array_equal(data["hemisphere"] == "left", data["x"] < 0)
    both = (data["in_EarlyVis"] & data["in_LOC"]).values
    assert both.any()
    assert set(data["region"].values[both]) == {"EarlyVis"}


def test_test_set_is_the_list_and_names_have_no_prefix(truth):
    stimuli, data = load_bold5000(root=truth.root, **TRIALS)
    assert not any("rep_" in item for item in stimuli.stimulus_ids)
    test = find_test_ids(stimuli, data)
    assert len(test) == 113
    repeats = stimuli.table["n_repeats"]
    assert sorted(repeats[test].unique()) == [3, 4]
    assert repeats[stimuli.table["split"] == "train"].max() == 1
    assert stimuli.table.attrs["test_repeats"] == data.attrs["test_repeats"] == "112 x 4, 1 x 3"
    assert set(stimuli.table["image_set"]) == {"COCO", "ImageNet", "Scene"}
    assert stimuli.path("n00000001_1").parts[-2:] == ("ImageNet", "n00000001_1.JPEG")


def test_sessions_are_standardised_on_training_trials_only(truth, broken):
    """Scaled test betas change nothing but themselves."""
    options = {"subject": "CSI4", "rows": "presentation", "root": truth.root}
    stimuli, data = load_bold5000(**options)
    train = ~np.isin(data["stimulus_id"], find_test_ids(stimuli, data))
    for session in range(1, 10):
        here = data.values[train & (data["session"] == session).values].astype(float)
        np.testing.assert_allclose(here.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(here.std(axis=0), 1, atol=1e-4)
    betas = truth.betas.copy()
    betas[~train] *= 50
    for session in range(1, 10):
        image = nibabel.Nifti1Image(np.moveaxis(betas[truth.session == session], 0, -1), AFFINE)
        image.to_filename(
            broken / "bold5000" / f"CSI4_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-{session:02d}.nii.gz"
        )
    _, scaled = load_bold5000(**{**options, "root": broken})
    np.testing.assert_array_equal(scaled.values[train], data.values[train])
    assert np.abs(scaled.values[~train]).max() > 10 * np.abs(data.values[~train]).max()


def test_planted_responses_reach_the_ceiling_in_both_kinds_of_rows(truth):
    scores = []
    for rows, zscore in (("presentation", "none"), ("stimulus", "train")):
        stimuli, data = load_bold5000(root=truth.root, subject="CSI4", rows=rows, zscore=zscore)
        result = evaluate_encoding(
            make_features(truth, stimuli),
            data,
            Ridge(),
            test_ids=find_test_ids(stimuli, data),
            n_permutations=20,
        )
        assert np.median(result.score.ceiled.values) == pytest.approx(1, abs=0.03)
        scores.append(result.score)
    np.testing.assert_allclose(scores[0].values.values, scores[1].values.values, atol=1e-3)
    np.testing.assert_allclose(scores[0].ceiling.values, scores[1].ceiling.values, atol=1e-3)
    analytic = np.sqrt(0.8**2 / (0.8**2 + 1 / 4))
    assert np.median(scores[0].ceiling.values) == pytest.approx(analytic, abs=0.03)


def test_version_regions_and_sessions_are_chosen(truth):
    _, by_default = load_bold5000(root=truth.root, **TRIALS)
    _, same = load_bold5000(root=truth.root, version="TYPEB", **TRIALS)
    np.testing.assert_array_equal(same.values, by_default.values)
    _, part = load_bold5000(root=truth.root, sessions=[3, 2], regions=["PPA", "LOC"], **TRIALS)
    np.testing.assert_array_equal(np.unique(part["session"]), [2, 3])
    assert set(part["region"].values) == {"PPA", "LOC"}
    rows = np.isin(by_default["session"], [2, 3])
    columns = np.isin(by_default["neuroid_id"], part["neuroid_id"])
    np.testing.assert_array_equal(part.values, by_default.values[rows][:, columns])
    for choice, message in (
        ({"version": "TYPEC"}, "no image at .*TYPEC-FITHRF-GLMDENOISE_ses-01"),
        ({"regions": ["V1"]}, "regions must be 'EarlyVis'"),
        ({"sessions": [10]}, "from 1 to 9 for CSI4"),
        ({"version": "D"}, "version must be 'TYPEA'"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            load_bold5000(root=truth.root, **{**TRIALS, **choice})


def test_masks_must_fit_and_voxels_must_have_numbers(broken):
    path = broken / "bold5000" / "sub-CSI4" / "sub-CSI4_mask-LHPPA.nii.gz"
    mask = np.asarray(nibabel.load(path).dataobj)
    moved = AFFINE.copy()
    moved[0, 3] += 4
    nibabel.Nifti1Image(mask, moved).to_filename(path)
    with pytest.raises(ValueError, match="must share one grid, got sub-CSI4_mask-LHPPA"):
        load_bold5000(root=broken, **TRIALS)
    for other in path.parent.glob("*.nii.gz"):
        nibabel.Nifti1Image(np.asarray(nibabel.load(other).dataobj), moved).to_filename(other)
    with pytest.raises(ValueError, match="mask must have the affine of CSI4_GLMbetas"):
        load_bold5000(root=broken, **TRIALS)
    _, data = load_bold5000(root=broken, check_affine=False, **TRIALS)
    mask = np.ones_like(mask)
    nibabel.Nifti1Image(mask, moved).to_filename(path)
    with pytest.raises(ValueError, match=r"NaN or infinity in .* of 210; pass invalid='drop'"):
        load_bold5000(root=broken, check_affine=False, **TRIALS)
    _, dropped = load_bold5000(root=broken, check_affine=False, invalid="drop", **TRIALS)
    np.testing.assert_array_equal(dropped.values, data.values)


def test_lists_that_disagree_are_refused(broken):
    folder = broken / "bold5000"
    lists = folder / "BOLD5000_Stimuli" / "Stimuli_Presentation_Lists" / "CSI4"
    run = lists / "CSI4_sess02" / "CSI_sess02_run03.txt"
    text = run.read_text()
    run.write_text("\n".join(text.split()[:-1]))
    with pytest.raises(ValueError, match="must be run 3 with 37 stimuli, got 36"):
        load_bold5000(root=broken, **TRIALS)
    run.write_text(text)
    last = lists / "CSI4_sess02" / "CSI_sess02_run10.txt"
    content = last.read_text()
    last.unlink()
    with pytest.raises(ValueError, match="must hold 3108 trials, got 3071"):
        load_bold5000(root=broken, **TRIALS)
    with pytest.raises(ValueError, match="must hold the 333 trials of its lists, got 370 volumes"):
        load_bold5000(root=broken, sessions=[2], **TRIALS)
    last.write_text(content)
    listed = folder / "BOLD5000_Stimuli" / "Scene_Stimuli" / "repeated_stimuli_113_list.txt"
    names = listed.read_text().split()
    listed.write_text("\n".join([*names[1:], "kitchen2.jpg.jpg"]))
    with pytest.raises(ValueError, match="got 1 others and 112 of the list"):
        load_bold5000(root=broken, **TRIALS)
    listed.write_text("\n".join(names[:-1]))
    with pytest.raises(ValueError, match="must name 113 images, got 112"):
        load_bold5000(root=broken, **TRIALS)
