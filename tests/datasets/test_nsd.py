import tracemalloc

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from miniature_nsd import (
    AFFINE,
    CONSTANT_VOXEL,
    SHAPE,
    VERSION,
    VERTICES,
    add_fsaverage,
    make_image,
    make_nsd,
    write_ctab,
    write_experiment,
    write_session,
)

from neurovis.core import average_repeats
from neurovis.datasets.nsd import load_nsd, load_nsd_stimuli
from neurovis.datasets.nsd_betas import find_betas, read_session
from neurovis.datasets.nsd_rois import Space
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.encoding import evaluate_encoding
from neurovis.evaluation.preparation import find_test_ids, prepare_split
from neurovis.io import gather_stimulus_sets, read_neural_data, write_neural_data
from neurovis.metrics.ceilings import compute_noise_ceiling
from neurovis.metrics.regression import pearson_r

SESSIONS = (1, 2, 3)
TRIALS = {"rows": "presentation", "sessions": SESSIONS}


@pytest.fixture(scope="module")
def nsd(tmp_path_factory):
    truth = make_nsd(tmp_path_factory.mktemp("nsd"))
    truth.fsaverage = add_fsaverage(truth)
    return truth


@pytest.fixture(scope="module")
def means(nsd):
    return load_nsd(root=nsd.root, sessions=SESSIONS)


def numbers_of(data):
    return np.array([int(item[4:]) for item in data["stimulus_id"].values])


def varying(data):
    return data["n_constant_sessions"].values == 0


def test_both_readers_give_what_was_stored(nsd):
    by_format = {
        name: load_nsd(root=nsd.root, file_format=name, zscore="none", test_set=None, **TRIALS)[1]
        for name in ("hdf5", "nifti")
    }
    np.testing.assert_array_equal(by_format["hdf5"].values, by_format["nifti"].values)
    mask = nsd.masks["nsdgeneral"] == 1
    stored = [
        np.asarray(nibabel.load(nsd.folder(1) / f"betas_session{session:02d}.nii.gz").dataobj)[mask].T
        for session in SESSIONS
    ]
    np.testing.assert_allclose(by_format["hdf5"].values, np.concatenate(stored) / 300, rtol=1e-6)
    assert by_format["hdf5"].attrs["units"] == "percent"
    assert "ncsnr" not in by_format["hdf5"].coords


@pytest.mark.parametrize("chunks", [None, (50, 7, 4, 9), (750, 3, 3, 3)])
def test_other_layouts_of_hdf5_read_the_same(nsd, tmp_path, rng, chunks):
    percent = rng.normal(size=(*SHAPE, 750))
    write_session(tmp_path, 1, percent, ["nifti"])
    stored = np.asarray(nibabel.load(tmp_path / "betas_session01.nii.gz").dataobj)
    mask = rng.random(SHAPE) < 0.2
    folder = tmp_path / "nsddata_betas" / "ppdata" / "subj01" / "func1pt8mm" / VERSION
    folder.mkdir(parents=True)
    with h5py.File(folder / "betas_session01.hdf5", "w") as file:
        file.create_dataset("betas", data=stored.T, chunks=chunks)
    files = find_betas(Space(tmp_path, "1", "func1pt8mm"), VERSION, [1])
    np.testing.assert_allclose(read_session(files, 1, mask), stored[mask].T / 300, rtol=1e-6)


def test_every_trial_maps_to_its_image(tmp_path):
    """Without noise the nearest predicted pattern is the image shown, for every trial."""
    truth = make_nsd(tmp_path, subjects=("2",), sessions=(2,), noise=0.0, formats=("hdf5",))
    options = {"root": tmp_path, "sessions": [2], "subject": "2", "invalid": "drop"}
    stimuli, data = load_nsd(**options, rows="presentation", zscore="all")
    candidates = np.unique(truth.trials["2"])
    mask = truth.masks["nsdgeneral"] == 1
    mask[CONSTANT_VOXEL] = False
    patterns = truth.signal("2", candidates, mask)
    shown = truth.signal("2", truth.trials["2"][750:1500], mask)
    patterns, shown = ((part - shown.mean(0)) / shown.std(0) for part in (patterns, shown))
    trials = data.values[:, varying(data)]
    distance = (patterns**2).sum(1) - 2 * trials @ patterns.T
    decoded = [f"nsd_{number:05d}" for number in candidates[distance.argmin(axis=1)]]
    assert decoded == data["stimulus_id"].values.tolist()
    assert set(decoded) == set(stimuli.stimulus_ids)


@pytest.mark.parametrize("zscore", ["all", "train"])
def test_sessions_are_standardised(nsd, zscore):
    stimuli, data = load_nsd(root=nsd.root, zscore=zscore, **TRIALS)
    used = np.ones(len(data), dtype=bool)
    if zscore == "train":
        used = ~np.isin(data["stimulus_id"], find_test_ids(stimuli, data))
    for session in SESSIONS:
        values = data.values[(data["session"] == session).values & used][:, varying(data)]
        assert np.abs(values.mean(0, dtype=float)).max() < 1e-5
        assert np.abs(values.std(0, dtype=float) - 1).max() < 1e-3
    assert data.attrs["n_constant"] == 1
    dead = tuple(int(data[axis].values[~varying(data)][0]) for axis in "ijk")
    assert dead == CONSTANT_VOXEL
    assert data.attrs["units"] == "z"


def test_means_equal_those_of_the_evaluation(nsd, means):
    """The loader's averages are what prepare_split makes of raw trials under the same test set."""
    stimuli, data = means
    _, raw = load_nsd(root=nsd.root, zscore="none", **TRIALS)
    train, test, _ = prepare_split(raw, find_test_ids(stimuli, data))
    for part in (train, test):
        own = data.isel(stimulus=stimuli.table.index.get_indexer(part["stimulus_id"].values))
        np.testing.assert_allclose(own.values, part.values, atol=1e-5)
        np.testing.assert_array_equal(own["n_repeats"], part["n_repeats"])
    _, trials = load_nsd(root=nsd.root, **TRIALS)
    averaged = average_repeats(trials).sortby("stimulus_id")
    np.testing.assert_allclose(data.values, averaged.values, atol=1e-6)


@pytest.mark.parametrize("zscore", ["train", "all"])
def test_test_trials_reach_training_rows_only_through_all_trial_scores(nsd, means, tmp_path, zscore):
    stimuli, data = load_nsd(root=nsd.root, sessions=[1], zscore=zscore)
    held_out = np.isin(data["stimulus_id"], find_test_ids(stimuli, data))
    changed = tmp_path / "changed"
    changed.mkdir()
    for name in ("nsddata", "nsddata_stimuli"):
        (changed / name).symlink_to(nsd.root / name)
    folder = changed / nsd.folder(1).relative_to(nsd.root)
    folder.mkdir(parents=True)
    (folder / "ncsnr.nii.gz").symlink_to(nsd.folder(1) / "ncsnr.nii.gz")
    percent = np.asarray(nibabel.load(nsd.folder(1) / "betas_session01.nii.gz").dataobj) / 300
    is_test = np.isin(nsd.trials["1"][:750], numbers_of(data)[held_out])
    write_session(folder, 1, percent + np.where(is_test, 20.0, 0.0), ["hdf5"])
    _, after = load_nsd(root=changed, sessions=[1], zscore=zscore)
    assert np.array_equal(after.values[~held_out], data.values[~held_out]) is (zscore == "train")
    assert (after.values[held_out] != data.values[held_out]).any()


@pytest.mark.parametrize("n_repeats", [1, 2, 3, (1, 2, 3)])
def test_oracle_reaches_the_noise_ceiling(nsd, n_repeats):
    _, data = load_nsd(root=nsd.root, sessions=SESSIONS, zscore="all")
    rows = np.isin(data["n_repeats"].values, n_repeats)
    data = data[rows][:, varying(data)]
    mask = np.zeros(SHAPE, dtype=bool)
    mask[tuple(data[axis].values for axis in "ijk")] = True
    oracle = nsd.signal("1", numbers_of(data), mask)
    ceiling = compute_noise_ceiling(data["ncsnr"].values, data["n_repeats"].values, metric="r2")
    ratio = pearson_r(data.values, oracle) ** 2 / ceiling
    assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_evaluation_reaches_the_ceiling_of_mixed_repeats(nsd, means):
    stimuli, data = means
    data = data[:, varying(data)]
    features = data[:, :6].copy(data=nsd.features[numbers_of(data)]).rename(neuroid="feature")
    result = evaluate_encoding(
        features.drop_vars([name for name, c in features.coords.items() if c.dims == ("feature",)]),
        data,
        Ridge(1e-3),
        test_ids=find_test_ids(stimuli, data),
        metric="explained_variance",
        n_permutations=20,
    )
    assert float(result.score.ceiled.mean()) == pytest.approx(1, abs=0.05)
    assert data.attrs["test_repeats"] == "60 x 3, 40 x 2, 30 x 1"


def test_masks_of_hdf5_order_are_refused(nsd):
    mask = nsd.masks["nsdgeneral"] == 1
    _, data = load_nsd(root=nsd.root, sessions=[1], roi=mask)
    assert data.sizes["neuroid"] == mask.sum()
    assert set(data["hemisphere"].values) == {"unknown"}
    with pytest.raises(ValueError, match=r"shape \(9, 11, 7\), as nibabel.*\(7, 11, 9\).*mask\.T"):
        load_nsd(root=nsd.root, sessions=[1], roi=mask.T)
    with pytest.raises(ValueError, match="make it in this space"):
        load_nsd(root=nsd.root, sessions=[1], roi=mask[:-1])
    with pytest.raises(ValueError, match="boolean mask"):
        load_nsd(root=nsd.root, sessions=[1], roi=mask.astype(int))
    for file_format in ("hdf5", "nifti"):
        files = find_betas(Space(nsd.root, "1", "func1pt8mm"), VERSION, [1], file_format)
        with pytest.raises(ValueError, match=r"must have shape .*7, 11, 9|must have shape .*9, 11, 7"):
            read_session(files, 1, mask.T)


def test_a_voxel_of_known_label_keeps_its_place(nsd):
    _, data = load_nsd(root=nsd.root, sessions=[1], roi="floc-faces:FFA-1", zscore="none")
    mask = nsd.masks["floc-faces"] == 2
    np.testing.assert_array_equal(np.column_stack([data[axis] for axis in "ijk"]), np.argwhere(mask))
    np.testing.assert_allclose(
        np.column_stack([data[axis] for axis in "xyz"]), np.argwhere(mask) * 1.8 + AFFINE[:3, 3]
    )
    assert set(data["region"].values) == {"V2d", "V2v"}
    assert data["in_FFA-1"].values.all()
    assert not data["in_FFA-2"].values.any()
    np.testing.assert_array_equal(data["in_V2d"].values, data["region"].values == "V2d")
    np.testing.assert_array_equal(data["in_early"], nsd.masks["streams"][mask] == 1)
    np.testing.assert_array_equal(data["hemisphere"] == "left", np.argwhere(mask)[:, 0] < 4)
    assert data.attrs["regions"] == "prf-visualrois, floc-faces, streams"


def test_region_choices(nsd):
    load = {"root": nsd.root, "sessions": [1]}
    _, faces = load_nsd(**load, roi=["floc-faces:FFA-1", "floc-faces:FFA-2"], regions=["floc-faces"])
    assert set(faces["region"].values) == {"FFA-1", "FFA-2"}
    assert sum(name.startswith("in_") for name in faces.coords) == 5
    _, brain = load_nsd(**load, roi=None, regions=["floc-faces"])
    assert brain.sizes["neuroid"] == nsd.brain.sum()
    assert set(brain["region"].values) == {"FFA-1", "FFA-2", "other"}
    with pytest.raises(ValueError, match=r"'FFA-9'"):
        load_nsd(**load, roi="floc-faces:FFA-9")
    with pytest.raises(ValueError, match=r"no voxel for \['floc-faces:OFA'\]"):
        load_nsd(**load, roi="floc-faces:OFA")
    with pytest.raises(FileNotFoundError, match=r"corticalsulc\.nii\.gz"):
        load_nsd(**load, regions=["corticalsulc"])
    with pytest.raises(ValueError, match=r"share names, got 'FFA-1'|share names, got 'OFA'"):
        load_nsd(**load, regions=["floc-faces", "floc-faces"])


def test_images_are_described_and_lie_in_the_brick(nsd, means, tmp_path):
    stimuli, data = means
    assert stimuli.stimulus_ids == data["stimulus_id"].values.tolist()
    assert stimuli.size_dva == (8.4, 8.4)
    np.testing.assert_array_equal(stimuli.table["coco_id"], 2 * stimuli.table["nsd_id"] + 9)
    np.testing.assert_array_equal(stimuli.table["flagged"], stimuli.table["nsd_id"] % 100 == 0)
    np.testing.assert_array_equal(stimuli.table["shared1000"], stimuli.table["split"] == "test")
    assert stimuli.table["shared1000"].sum() == 130
    written = [item for item in stimuli.stimulus_ids if stimuli.load(item).any()]
    assert written
    for item in written:
        np.testing.assert_array_equal(stimuli.load(item), make_image(int(item[4:])))
    gathered = gather_stimulus_sets([stimuli.subset(written)], tmp_path, name="few")
    np.testing.assert_array_equal(gathered.load(written[0]), stimuli.load(written[0]))


def test_stimuli_need_no_betas(nsd, means, tmp_path):
    stimuli, data = means
    for name in ("nsddata", "nsddata_stimuli"):
        (tmp_path / name).symlink_to(nsd.root / name)
    alone = load_nsd_stimuli(subject="1", root=tmp_path, sessions=[1, 2, 3])
    pd.testing.assert_frame_equal(alone.table, stimuli.table)
    assert alone.table.attrs == stimuli.table.attrs
    assert {key: data.attrs[key] for key in alone.table.attrs} == alone.table.attrs


def test_results_survive_a_file(means, tmp_path):
    _, data = means
    again = read_neural_data(write_neural_data(data, tmp_path / "nsd.nc"))
    assert again.identical(data)


def test_fsaverage_is_the_same_in_both_formats(nsd):
    load = {"root": nsd.root, "space": "fsaverage", "sessions": [1], "rows": "presentation"}
    for file_format in ("mgh", "hdf5"):
        _, data = load_nsd(**load, file_format=file_format, zscore="none")
        np.testing.assert_array_equal(data.values, nsd.fsaverage)
    _, data = load_nsd(**load)
    assert data.attrs["file_format"] == "hdf5"
    np.testing.assert_allclose(data["ncsnr"], 0.7, rtol=1e-6)
    np.testing.assert_array_equal(
        data["vertex"], np.concatenate([np.arange(v.start, v.stop) for v in VERTICES])
    )
    assert (data["hemisphere"].values == np.repeat(["left", "right"], [30, 20])).all()
    assert set(data["region"].values) == {"ventral"}
    np.testing.assert_allclose(data.values.std(0), 1, atol=0.05)
    with pytest.raises(ValueError, match="'auto', 'hdf5' or 'mgh'"):
        load_nsd(**load, file_format="nifti")


def test_invalid_vertices_are_refused_or_dropped_never_zeroed(nsd, tmp_path):
    path = nsd.folder(1, "fsaverage") / "lh.betas_session01.hdf5"
    intact = path.read_bytes()
    load = {"root": nsd.root, "space": "fsaverage", "sessions": [1], "file_format": "hdf5"}
    try:
        with h5py.File(path, "a") as file:
            file["betas"][5, 2001] = np.nan
        with pytest.raises(ValueError, match=r"NaN or infinity in 1 of 50.*invalid='drop'"):
            load_nsd(**load)
        _, data = load_nsd(**load, invalid="drop")
        _, raw = load_nsd(**load, invalid="drop", zscore="none", rows="presentation")
    finally:
        path.write_bytes(intact)
    assert data.attrs["n_dropped"] == 1
    assert "1-lh-2001" not in data["neuroid_id"].values
    np.testing.assert_array_equal(raw.values, np.delete(nsd.fsaverage, 1, axis=1))


@pytest.mark.parametrize(("file_format", "share"), [("nifti", 1.2), ("hdf5", 0.4)])
def test_memory_stays_near_one_session(tmp_path, file_format, share):
    """Beside the result at most 1.2 sessions for NIfTI, far less for HDF5."""
    shape, brain = (48, 40, 36), np.zeros((48, 40, 36), dtype=np.int16)
    brain[10:30, 5:15, 10:20] = 1
    volumes = tmp_path / "nsddata" / "ppdata" / "subj01" / "func1pt8mm"
    (volumes / "roi").mkdir(parents=True)
    for name in ("nsdgeneral", "lh.nsdgeneral", "rh.nsdgeneral"):
        nibabel.Nifti1Image(brain, AFFINE).to_filename(volumes / "roi" / f"{name}.nii.gz")
    write_experiment(tmp_path)
    folder = tmp_path / "nsddata_betas" / "ppdata" / "subj01" / "func1pt8mm" / VERSION
    folder.mkdir(parents=True)
    values = np.arange(750)[:, None] % np.arange(2, brain.sum() + 2)
    for session in (1, 2):
        if file_format == "nifti":
            stored = np.zeros((*shape, 750), dtype=np.int16)
            stored[brain > 0] = values.T
            image = nibabel.Nifti1Image(stored, AFFINE)
            image.to_filename(folder / f"betas_session{session:02d}.nii.gz")
            continue
        with h5py.File(folder / f"betas_session{session:02d}.hdf5", "w") as file:
            betas = file.create_dataset("betas", (750, *shape[::-1]), "i2", chunks=(750, 1, 1, 1))
            betas[:, 10:20, 5:15, 10:30] = values.reshape(750, 20, 10, 10).transpose(0, 3, 2, 1)
    tracemalloc.start()
    _, data = load_nsd(root=tmp_path, sessions=[1, 2], ncsnr=False, file_format=file_format)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - data.values.nbytes < share * 750 * np.prod(shape) * 2
    assert data.sizes["neuroid"] == brain.sum()


@pytest.mark.parametrize("subject", ["1", "8"])
def test_published_voxel_counts_and_ceilings(shared_data, subject):
    if not (shared_data / "natural-scenes-dataset").is_dir():
        pytest.skip("the Natural Scenes Dataset is not among the real data")
    _, data = load_nsd(root=shared_data, subject=subject, sessions=[1], invalid="drop")
    n_voxels, percent = {"1": (15_724, 28.1), "8": (14_386, 13.3)}[subject]
    assert data.sizes["neuroid"] + data.attrs["n_dropped"] == n_voxels
    ceiling = compute_noise_ceiling(data["ncsnr"].values, 3)
    assert 100 * np.median(ceiling) == pytest.approx(percent, abs=0.5)


def test_names_follow_the_colour_table(tmp_path):
    truth = make_nsd(tmp_path, subjects=("1",), sessions=(1,), formats=("hdf5",))
    table = tmp_path / "nsddata" / "freesurfer" / "subj01" / "label" / "floc-faces.mgz.ctab"
    write_ctab(table, ("OFA", "renamed", "FFA-2"))
    load = {"root": tmp_path, "sessions": [1], "roi": "floc-faces:renamed", "regions": ["floc-faces"]}
    _, data = load_nsd(**load)
    assert set(data["region"].values) == {"renamed"}
    assert data.sizes["neuroid"] == (truth.masks["floc-faces"] == 2).sum()
    write_ctab(table, ("OFA",))
    with pytest.raises(ValueError, match=r"floc-faces\.nii\.gz must have a name.*\[2, 3\]"):
        load_nsd(root=tmp_path, sessions=[1], regions=["floc-faces"])
    table.write_text("one OFA 1 2 3 0\n")
    with pytest.raises(ValueError, match=r"floc-faces\.mgz\.ctab must have lines"):
        load_nsd(**load)
    table.unlink()
    with pytest.raises(FileNotFoundError, match=r"floc-faces\.mgz\.ctab"):
        load_nsd(**load)
