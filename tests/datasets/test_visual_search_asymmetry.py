import numpy as np
import pytest
from miniature_gaze import SEARCH_IMAGES, make_asymmetry_trials, make_search_part

from neurovis.datasets import visual_search_asymmetry as module
from neurovis.datasets.visual_search_asymmetry import (
    PX_PER_DVA,
    load_stored_similarities,
    load_success_counts,
    load_success_curves,
    load_visual_search_asymmetry,
    read_asymmetry_trials,
)
from neurovis.gaze.search_behaviour import analyse_asymmetry
from neurovis.gaze.search_success import compute_saccade_sizes, compute_split_half_reliability


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    root = tmp_path_factory.mktemp("search")
    return root, {part: make_search_part(root, part) for part in SEARCH_IMAGES}


@pytest.mark.parametrize("part", SEARCH_IMAGES)
def test_positions_are_x_and_y_in_every_part(miniature, part):
    root, folders = miniature
    stimuli, fixations = load_visual_search_asymmetry(root=root, part=part)
    assert len(stimuli) == SEARCH_IMAGES[part]
    starts = fixations[fixations["index"] == 0]
    assert len(starts) == 15 * SEARCH_IMAGES[part]
    assert starts[["x_px", "y_px"]].drop_duplicates().to_numpy().tolist() == [[640, 512]]
    # The fourth image of the third subject.
    raw = np.load(folders[part] / "fix" / "human_all.npy")[2 * SEARCH_IMAGES[part] + 3]
    n = np.load(folders[part] / "ifix" / "I_human_all.npy")[2 * SEARCH_IMAGES[part] + 3, 0]
    own = fixations.query("subject == 'S03' and stimulus_id == @stimuli.stimulus_ids[3]")
    found = own[["x_px", "y_px"]].to_numpy()
    np.testing.assert_array_equal(found, raw[:n] if part == "ObjArr" else raw[:n, ::-1])
    if part != "ObjArr":
        assert stimuli.table[["target_x_px", "target_y_px"]].iloc[5].tolist() == [10, 5]
    with pytest.raises((FileNotFoundError, ValueError), match=stimuli.name):
        stimuli.load(stimuli.stimulus_ids[0])


def test_objects_lie_where_the_model_ends(miniature):
    root, _ = miniature
    stimuli, _ = load_visual_search_asymmetry(root=root, part="ObjArr")
    _, model = load_visual_search_asymmetry(root=root, part="ObjArr", searcher="eccNET")
    assert model["subject"].unique().tolist() == ["eccNET"]
    last = model.groupby("stimulus_id").last()
    np.testing.assert_array_equal(stimuli.table[["target_x_px", "target_y_px"]], last[["x_px", "y_px"]])


def test_one_subject_and_curves(miniature):
    root, folders = miniature
    _, one = load_visual_search_asymmetry(root=root, part="Waldo", subject="S15")
    assert one["subject"].unique().tolist() == ["S15"]
    curves = load_success_curves(root=root, part="Waldo", n_saccades=8)
    lengths = np.load(folders["Waldo"] / "ifix" / "I_IVSN.npy")[:, 0]
    np.testing.assert_allclose(curves["IVSN"], [(lengths - 1 <= n).mean() for n in range(9)])
    people = np.load(folders["Waldo"] / "ifix" / "I_human_all.npy")[:, 0] - 1
    counts = load_success_counts(root=root, part="Waldo")
    np.testing.assert_array_equal(counts, people.reshape(15, 67))
    assert load_stored_similarities(root=root, part="Waldo").loc["IVSN", "sem"] == 0.01


def test_searches_that_found_nothing_and_rows_of_no_searcher(tmp_path):
    folder = make_search_part(tmp_path, "Waldo")
    path = folder / "cp" / "CP_IVSN.npy"
    found = np.load(path)
    found[3] = 0
    np.save(path, found)
    counts = load_success_counts(root=tmp_path, part="Waldo", searcher="IVSN")
    assert counts.shape == (1, 67)
    assert np.flatnonzero(np.isinf(counts[0])).tolist() == [3]
    np.save(path, found[:50])
    with pytest.raises(ValueError, match="67 images"):
        load_success_counts(root=tmp_path, part="Waldo", searcher="IVSN")


def test_off_screen_samples_are_clipped_dropped_or_kept(miniature):
    root, folders = miniature
    path = folders["Waldo"] / "fix" / "human_all.npy"
    kept = np.load(path)
    row = int(np.flatnonzero(np.load(folders["Waldo"] / "ifix" / "I_human_all.npy")[:, 0] > 2)[0])
    changed = kept.copy()
    changed[row, 1] = -421, 1290
    np.save(path, changed)
    try:
        tables = {
            way: load_visual_search_asymmetry(root=root, part="Waldo", outside=way)[1]
            for way in ("clip", "drop", "keep")
        }
    finally:
        np.save(path, kept)
    key = f"subject == 'S{row // 67 + 1:02d}' and stimulus_id == 'Waldo-{row % 67 + 1:03d}'"
    places = {way: table.query(key)[["x_px", "y_px"]].to_numpy() for way, table in tables.items()}
    assert places["keep"][1].tolist() == [1290, -421]
    assert places["clip"][1].tolist() == [1279.5, 0.5]
    assert len(places["drop"]) == len(places["keep"]) - 1


def test_tables_of_a_model_become_trials(tmp_path):
    make_asymmetry_trials(tmp_path / "out_data", 3)
    path = tmp_path / "out_data" / "intersection_Ls.csv"
    table = np.loadtxt(path, delimiter=",")
    table[40] = 0
    np.savetxt(path, table, delimiter=",", fmt="%d")
    trials = read_asymmetry_trials(tmp_path / "out_data")
    assert len(trials) == 1272
    assert trials.groupby("condition")["n_saccades"].nunique().to_dict().pop("Ts") == 1
    lost = trials[~trials["found"]]
    assert lost[["condition", "set_size", "n_saccades"]].to_numpy().tolist() == [["Ls", 6, 7]]
    report = analyse_asymmetry(trials[trials["condition"] != "Ls"], n_bootstraps=20)
    assert (report.indices["asymmetry_index"] == 0).all()
    table[40] = 1
    np.savetxt(path, table, delimiter=",", fmt="%d")
    with pytest.raises(ValueError, match="at most one 1 in a row"):
        read_asymmetry_trials(tmp_path / "out_data")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="intersection_Ls"):
        read_asymmetry_trials(tmp_path / "out_data")


def test_wrong_names_and_arrays_are_refused(miniature, tmp_path):
    root, folders = miniature
    with pytest.raises(ValueError, match="part must be 'NaturalDesign', 'Waldo' or 'ObjArr'"):
        load_visual_search_asymmetry(root=root, part="waldo")
    with pytest.raises(ValueError, match="searcher must be"):
        load_visual_search_asymmetry(root=root, searcher="GBVS")
    with pytest.raises(ValueError, match="subject must be"):
        load_visual_search_asymmetry(root=root, subject="S16")
    path = folders["NaturalDesign"] / "ifix" / "I_IVSN.npy"
    kept = np.load(path)
    for change, message in ((kept + 5, "at most 6"), (kept - 4, "at least 1"), (kept[:-1], "shape")):
        np.save(path, change)
        with pytest.raises(ValueError, match=rf"ifix/I_IVSN\.npy must .*{message}"):
            load_visual_search_asymmetry(root=root, searcher="IVSN")
    path.write_bytes(b"not an array")
    with pytest.raises(ValueError, match="truncated"):
        load_visual_search_asymmetry(root=root, searcher="IVSN")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="I_IVSN"):
        load_visual_search_asymmetry(root=root, searcher="IVSN")
    np.save(path, kept)
    (tmp_path / "visual_search_asymmetry").mkdir()
    with pytest.raises(FileNotFoundError, match="vs_saccade_exp/out/Waldo"):
        load_visual_search_asymmetry(root=tmp_path, part="Waldo")


@pytest.fixture(scope="module")
def natural(shared_data):
    if not (shared_data / "visual_search_asymmetry" / "NaturalDesign").is_dir():
        pytest.skip(f"visual_search_asymmetry is not among the real data at {shared_data}")
    return {
        searcher: load_visual_search_asymmetry(root=shared_data, searcher=searcher, outside="keep")
        for searcher in module.SEARCHERS
    }


def test_published_saccades_and_reliability(natural):
    sizes = {
        searcher: np.median(compute_saccade_sizes(fixations, px_per_dva=PX_PER_DVA))
        for searcher, (_, fixations) in natural.items()
    }
    np.testing.assert_allclose([sizes[name] for name in module.SEARCHERS], [6.22, 5.79, 15.97], atol=0.006)
    human = natural["human"][1]
    outside = ~(human["x_px"].between(0, 1279) & human["y_px"].between(0, 1023))
    assert (len(human), int(outside.sum())) == (22749, 212)
    n = human.groupby(["subject", "stimulus_id"]).size().unstack() - 1
    np.testing.assert_allclose(compute_split_half_reliability(n.to_numpy(float)), 0.83, atol=0.01)


def test_published_success_and_similarity(shared_data, natural):
    stored = load_stored_similarities(root=shared_data)["scanmatch"]
    np.testing.assert_allclose(stored[list(module.SEARCHERS)], [0.395, 0.311, 0.313], atol=6e-4)
    curves = load_success_curves(root=shared_data, n_saccades=7)
    # Found by the 2nd, 5th and 7th saccade, as the extract's description says.
    np.testing.assert_allclose(curves["human"][[1, 4, 6]], [0.16, 0.50, 0.60], atol=0.006)
    # The authors' rows of success are not those of the fixations: 34 % of the found ones agree.
    folder = shared_data / "visual_search_asymmetry" / "NaturalDesign"
    found = np.load(folder / "cp" / "CP_human_all.npy")
    lengths = np.load(folder / "ifix" / "I_human_all.npy")[:, 0]
    agree = (found.argmax(axis=1) == lengths - 1)[found.any(axis=1)].mean()
    np.testing.assert_allclose(agree, 0.34, atol=0.005)
    # Yet the files hold people and images in the same order.
    counts = load_success_counts(root=shared_data)
    same = (counts[:, None] == lengths.reshape(15, 240) - 1).mean(axis=2)
    assert (same.argmax(axis=1) == np.arange(15)).all()
    alike = np.corrcoef(np.where(np.isinf(counts), 66, counts))[np.triu_indices(15, 1)]
    np.testing.assert_allclose(alike.mean(), 0.45, atol=0.01)
