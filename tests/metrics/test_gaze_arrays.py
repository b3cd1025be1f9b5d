import numpy as np
import pandas as pd
import pytest

from neurovis.core import check_fixations, make_fixations
from neurovis.metrics.gaze_arrays import (
    check_on_screen,
    iterate_batches,
    list_scanpaths,
    pad_rows,
    pair_scanpaths,
    stack_scanpaths,
)

PATH = np.array([[10.0, 20.0, 0.2], [150.0, 30.0, 0.3]])


def test_the_same_object_is_prepared_once():
    other = PATH + 1
    pairs = pair_scanpaths([PATH, PATH, other], [other, PATH, PATH])
    assert pairs.lengths.tolist() == [2, 2]
    assert pairs.first.tolist() == [0, 0, 1]
    assert pairs.second.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(pairs.split(pairs.values)[1], other)


@pytest.mark.parametrize(
    ("scanpaths", "words"),
    [
        ([PATH, np.empty((0, 3))], r"scanpaths\[1\] .* at least one fixation"),
        ([PATH[:, :1]], r"scanpaths\[0\] must have shape \(n, 2\)"),
        ([PATH, PATH[:, :2]], "all have durations or all have none"),
        ([PATH, PATH * [1, np.nan, 1]], r"scanpaths\[1\] must be finite"),
        ([PATH * [1, 1, 1000]], "durations are seconds"),
        ([PATH * [1, 1, -1]], "durations from 0"),
        ([], "at least one scanpath"),
    ],
)
def test_wrong_scanpaths_are_refused(scanpaths, words):
    with pytest.raises(ValueError, match=words):
        stack_scanpaths("scanpaths", scanpaths)


def test_wrong_pairs_are_refused():
    with pytest.raises(ValueError, match="same number of scanpaths, got 1 and 2"):
        pair_scanpaths([PATH], [PATH, PATH])
    with pytest.raises(ValueError, match="must have durations here"):
        pair_scanpaths([PATH[:, :2]], [PATH[:, :2]], durations=True)


def test_positions_beyond_the_screen():
    xy = np.array([[50.0, 20.0], [199.9, 99.9], [-3.0, 120.0]])
    with pytest.raises(ValueError, match=r"got 1 of 3 beyond it, first x=-3, y=120"):
        check_on_screen("gaze", xy, (100, 200))
    np.testing.assert_array_equal(check_on_screen("gaze", xy, (100, 200), outside="clip")[2], [0.5, 99.5])
    with pytest.raises(ValueError, match=r"\(row, column\)"):
        check_on_screen("gaze", np.array([[20.0, 150.0], [90.0, 10.0]]), (100, 200))
    with pytest.raises(ValueError, match=r"positive \(height, width\)"):
        check_on_screen("gaze", xy, (0, 200))


def test_table_to_arrays():
    timed = make_fixations(PATH[:, :2], subject="a", stimulus_id="i", duration_s=PATH[:, 2])
    keys, arrays = list_scanpaths(check_fixations(timed))
    assert keys.values.tolist() == [["a", "i", 0]]
    np.testing.assert_array_equal(arrays[0], PATH)
    untimed = make_fixations(PATH[:, :2], subject="b", stimulus_id="i")
    _, arrays = list_scanpaths(check_fixations(pd.concat([timed, untimed])))
    assert [array.shape for array in arrays] == [(2, 2), (2, 2)]


def test_batches_hold_every_pair_once(rng):
    n_first, n_second = rng.integers(1, 40, (2, 500))
    batches = list(iterate_batches(n_first, n_second, n_cells=5000))
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert len(batches) > 10
    for batch in batches:
        assert len(batch) == 1 or n_first[batch].max() * n_second[batch].max() * len(batch) <= 5000


def test_padding():
    padded = pad_rows(np.arange(6), np.array([1, 3, 2]), fill=-1)
    assert padded.tolist() == [[0, -1, -1], [1, 2, 3], [4, 5, -1]]
