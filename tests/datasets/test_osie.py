import numpy as np
import pandas as pd
import pytest
from miniature_gaze import make_osie
from scipy.io import savemat

from neurovis.core.fixations import FIXATION_COLUMNS
from neurovis.datasets.osie import load_osie


def test_shared_and_published_layouts_hold_the_same(tmp_path):
    shared = load_osie(root=make_osie(tmp_path / "a"))
    stimuli, published = load_osie(root=make_osie(tmp_path / "b", published=True))
    pd.testing.assert_frame_equal(shared[1], published[shared[1].columns.tolist()])
    assert list(published.columns) == FIXATION_COLUMNS
    assert stimuli.stimulus_ids == ["1001", "1002", "1004"]
    assert stimuli.load("1002").shape == (600, 800, 3)
    assert stimuli.size_dva == (25.0, pytest.approx(100 / 3))
    assert len(published.groupby(["subject", "stimulus_id"])) == 44  # one person skipped one image
    raw = pd.read_csv(tmp_path / "a" / "osie_freeviewing" / "fixations.tsv", sep="\t")
    first = raw.query("image == '1002.jpg' and subject == 11")
    own = published.query("stimulus_id == '1002' and subject == '11'")
    np.testing.assert_array_equal(own[["x_px", "y_px"]], first[["x_px", "y_px"]])
    np.testing.assert_allclose(own["duration_s"], first["duration_ms"] / 1000)


def test_one_subject(tmp_path):
    stimuli, fixations = load_osie(root=make_osie(tmp_path), subject="2")
    assert set(fixations["subject"]) == {"2"}
    assert stimuli.stimulus_ids == ["1001", "1002"]  # not the one that it skipped
    with pytest.raises(ValueError, match="subject must be '1', "):
        load_osie(root=tmp_path, subject="16")


def test_fixations_beyond_the_image(tmp_path):
    path = make_osie(tmp_path) / "osie_freeviewing" / "fixations.tsv"
    table = pd.read_csv(path, sep="\t")
    table.loc[0, ["x_px", "y_px"]] = [803.0, -2.0]
    table.to_csv(path, sep="\t", index=False)
    keys = "subject == '1' and stimulus_id == '1001'"
    kept, clipped, dropped = (
        load_osie(root=tmp_path, outside=outside)[1].query(keys) for outside in ("keep", "clip", "drop")
    )
    assert kept[["x_px", "y_px"]].iloc[0].tolist() == [803.0, -2.0]
    assert clipped[["x_px", "y_px"]].iloc[0].tolist() == [799.5, 0.5]
    assert len(dropped) == len(kept) - 1
    assert dropped["index"].tolist() == list(range(len(dropped)))
    with pytest.raises(ValueError, match="'clip', 'drop' or 'keep'"):
        load_osie(root=tmp_path, outside="remove")


def test_wrong_files_are_refused(tmp_path):
    folder = make_osie(tmp_path) / "osie_freeviewing"
    (folder / "stimuli" / "1004.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 3 without, the first is stimuli/1004\.jpg"):
        load_osie(root=tmp_path)
    (folder / "fixations.tsv").write_text("image\tsubject\n")
    with pytest.raises(ValueError, match="fix_index"):
        load_osie(root=tmp_path)
    (folder / "fixations.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"fixations\.mat"):
        load_osie(root=tmp_path)
    (folder / "data" / "eye").mkdir(parents=True)
    savemat(folder / "data" / "eye" / "fixations.mat", {"fixations": np.zeros((3, 1))})
    with pytest.raises(ValueError, match="img and subjects"):
        load_osie(root=tmp_path)
    with pytest.raises(FileNotFoundError, match="NUS-VIP"):
        load_osie(root=tmp_path / "elsewhere")


def test_real_numbers(shared_data):
    stimuli, fixations = load_osie(root=shared_data, outside="keep")
    lengths = fixations.groupby(["subject", "stimulus_id"]).size()
    assert (len(stimuli), len(lengths)) == (220, 3300)
    assert lengths.mean() == pytest.approx(9.3, abs=0.05)
    assert fixations["duration_s"].median() == pytest.approx(0.191)
    assert stimuli.load(stimuli.stimulus_ids[0]).shape == (600, 800, 3)
