"""Tables of fixations: what is accepted, what is refused, and whether the message helps."""

import numpy as np
import pandas as pd
import pytest

from neurovis.core import check_fixations, iterate_scanpaths, make_fixations


def _table():
    first = make_fixations([[10, 20], [150, 30], [5.5, 99.9]], subject="s1", stimulus_id="a")
    second = make_fixations([[0, 0], [199.9, 50]], subject="s0", stimulus_id="b", duration_s=[0.2, 0.3])
    return pd.concat([first, second], ignore_index=True)


def test_checked_table_is_sorted_and_complete():
    shuffled = _table().sample(frac=1, random_state=0).assign(session="x")
    checked = check_fixations(shuffled, size_px=(100, 200))
    assert list(checked["subject"]) == ["s0", "s0", "s1", "s1", "s1"]
    assert list(checked["index"]) == [0, 1, 0, 1, 2]
    assert list(checked["session"]) == ["x"] * 5
    keys = [key for key, _ in iterate_scanpaths(checked)]
    assert keys == [("s0", "b", 0), ("s1", "a", 0)]
    assert [len(rows) for _, rows in iterate_scanpaths(checked)] == [2, 3]


def test_no_fixation_yet():
    empty = make_fixations([], subject="s", stimulus_id="a")
    assert len(empty) == 0
    assert list(empty.columns) == list(_table().columns)
    with pytest.raises(ValueError, match="at least one row"):
        check_fixations(empty)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="y_px"), "missing: y_px"),
        (lambda t: t.assign(x_px=[np.nan, 1, 2, 3, 4]), "1 of 5 rows without, first subject s1"),
        (lambda t: t.assign(index=[0, 2, 3, 0, 1]), "got index 2 where 1 was expected"),
        (lambda t: t.assign(index=[0.5, 2, 3, 0, 1]), "whole numbers as index"),
        (lambda t: t.assign(trial=0, subject="s", stimulus_id="a"), "their own trial"),
        (lambda t: t.assign(duration_s=-0.1), "at least 0 s, got -0.1"),
        (lambda t: t.assign(x_px=t["x_px"] + 1), "1 of 5 outside"),
        (lambda t: t.assign(x_px=t["y_px"], y_px=t["x_px"]), "exchanging x and y puts all of them inside"),
    ],
)
def test_bad_tables_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_fixations(change(_table()), size_px=(100, 200))


def test_outside_is_accepted_on_request():
    table = _table().assign(x_px=lambda t: t["x_px"] - 50)
    assert (check_fixations(table, size_px=(100, 200), allow_outside=True)["x_px"] < 0).any()


def test_sizes_by_stimulus():
    sizes = {"a": (100, 200), "b": (60, 200)}
    check_fixations(_table(), size_px=sizes)
    with pytest.raises(ValueError, match="height 40"):
        check_fixations(_table(), size_px=sizes | {"b": (40, 200)})
    with pytest.raises(KeyError, match="'b'"):
        check_fixations(_table(), size_px={"a": (100, 200)})


def test_shapes_of_new_tables():
    with pytest.raises(ValueError, match="one row per fixation"):
        make_fixations([1.0, 2.0], subject="s", stimulus_id="a")
    with pytest.raises(ValueError, match="duration_s must have one value for each of 1"):
        make_fixations([[1.0, 2.0]], subject="s", stimulus_id="a", duration_s=[1, 2])
