"""Stimulus sets as folders: what is kept of several subjects' sets, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.core import StimulusSet
from neurovis.io import gather_stimulus_sets, read_stimulus_set


def make_set(folder, ids, **columns):
    folder.mkdir()
    for item in ids:
        Image.fromarray(np.full((4, 4, 3), ord(item), dtype=np.uint8)).save(folder / f"{item}.png")
    table = pd.DataFrame({"path": [f"{item}.png" for item in ids], **columns}, index=list(ids))
    table.attrs.update(release="first", rule="every third", sessions=folder.name)
    return StimulusSet("few", table, folder, (8.4, 8.4))


def test_gathered_subjects_keep_what_all_agree_on(tmp_path):
    one = make_set(tmp_path / "one", "abc", split=["train", "test", "test"], n_repeats=[1, 3, 2])
    two = make_set(tmp_path / "two", "bcd", split=["test", "test", "train"], n_repeats=[3, 3, 1])
    gather_stimulus_sets([one, two], tmp_path / "all", name="all", provenance={"step": "test"})
    again = read_stimulus_set(tmp_path / "all")
    assert again.stimulus_ids == list("abcd")
    assert again.table["split"].tolist() == ["train", "test", "test", "train"]
    # Repeats and sessions are those of a subject; the release and the rule are of the set.
    assert list(again.table.columns) == ["path", "split"]
    assert again.table.attrs == {"release": "first", "rule": "every third"}
    for item in "abcd":
        assert (again.load(item) == ord(item)).all()


def test_one_set_keeps_everything(tmp_path):
    one = make_set(tmp_path / "one", "abc", split=["train", "test", "test"], n_repeats=[1, 3, 2])
    gather_stimulus_sets([one], tmp_path / "all", name="all")
    again = read_stimulus_set(tmp_path / "all")
    pd.testing.assert_frame_equal(
        again.table.drop(columns="path"), one.table.drop(columns="path"), check_names=False
    )
    assert again.table.attrs == one.table.attrs


def test_a_stimulus_that_trains_for_one_and_tests_another_is_refused(tmp_path):
    one = make_set(tmp_path / "one", "abc", split=["train", "test", "test"])
    two = make_set(tmp_path / "two", "bcd", split=["test", "train", "train"])
    with pytest.raises(ValueError, match=r"one split in all sets, got 1 .* the first is 'c'"):
        gather_stimulus_sets([one, two], tmp_path / "all", name="all")
    assert not (tmp_path / "all").exists()


def test_sets_of_other_sizes_or_none_are_refused(tmp_path):
    one = make_set(tmp_path / "one", "abc")
    other = StimulusSet("few", one.table, one.root, (12.0, 12.0))
    for sets in ([], [one, other]):
        with pytest.raises(ValueError, match="share one size_dva"):
            gather_stimulus_sets(sets, tmp_path / "all", name="all")
