"""Captions against planted preferences, counted by hand."""

import pandas as pd
import pytest

from neurovis.evaluation.captions import name_categories, score_category_captions

MARKERS = {"face": "human", "room": "indoor", "forest": "outdoor", "apple": "fruit"}


def test_categories_are_those_of_the_main_thing():
    captions = ["a smiling face in front of a red wall", "a forest under a cloudy sky", "something else"]
    assert name_categories(captions, MARKERS) == ["face", "place", ""]


def test_shares_intervals_and_chance():
    captions = ["a smiling face", "an empty room", "a face with a hat", "a red apple"] * 2
    table = pd.DataFrame({"neuroid_id": ["a", "b", "c", "d"] * 2, "caption": captions})
    preferred = {"a": "face", "b": "place", "c": "place", "d": ""}
    scores = score_category_captions({"increase": table}, preferred, MARKERS).iloc[0]
    assert (scores["n_voxels"], scores["share"], scores["unnamed"]) == (3, pytest.approx(2 / 3), 0)
    assert scores["ci_low"] <= 2 / 3 <= scores["ci_high"]
    # Named: two thirds face, a third place; preferred the other way round.
    assert scores["chance"] == pytest.approx(2 / 9 + 2 / 9)


def test_a_repeat_that_disagrees_counts_half():
    table = pd.DataFrame({"neuroid_id": ["a", "a"], "caption": ["a smiling face", "an empty room"]})
    assert score_category_captions({"x": table}, {"a": "face"}, MARKERS)["share"].item() == 0.5


def test_bad_tables_are_refused():
    table = pd.DataFrame({"neuroid_id": ["a"], "caption": ["a face"]})
    with pytest.raises(ValueError, match="missing \\['caption'\\]"):
        score_category_captions({"x": table.drop(columns="caption")}, {"a": "face"}, MARKERS)
    with pytest.raises(ValueError, match="got none"):
        score_category_captions({"x": table}, {"b": "face"}, MARKERS)
