import numpy as np
import pytest

from neurovis.datasets.sti_amazon import load_sti_amazon, map_to_grid
from neurovis.metrics.scanpath_strings import (
    compute_sequence_score,
    compute_string_edit_distance,
    find_gaze_regions,
    label_classes,
    label_regions,
    repeat_labels,
)

A = np.array([[100.0, 100.0], [300.0, 100.0], [300.0, 300.0], [100.0, 300.0]])
B = A[[0, 2, 1, 3]]


def _code(word):
    return [ord(letter) for letter in word]


def test_known_values():
    assert compute_string_edit_distance([A, A], [A, B], size_px=(400, 400)).tolist() == [0, 2]
    found = compute_sequence_score([_code("ABCD")] * 2, [_code("ABDC"), _code("AB")])
    np.testing.assert_allclose(found, [0.75, 0.5])


def test_the_last_cell_takes_the_rest():
    """Of 402 px cells are 80 wide, so that x = 401 would be in a sixth column."""
    path = np.array([[401.0, 401.0], [0.0, 0.0]])
    inner = np.array([[390.0, 390.0], [0.0, 0.0]])
    assert compute_string_edit_distance([path], [inner], size_px=(402, 402)) == 0


def _match_slowly(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1))
    for i, one in enumerate(a, 1):
        for j, other in enumerate(b, 1):
            table[i, j] = max(table[i - 1, j - 1] + (one == other), table[i - 1, j], table[i, j - 1])
    return table[-1, -1] / max(len(a), len(b))


@pytest.mark.parametrize("max_length", [None, 6])
def test_sequence_score_equals_the_plain_programme(rng, max_length):
    first, second = ([rng.integers(-3, 900, rng.integers(1, 20)) // 90 for _ in range(50)] for _ in range(2))
    found = compute_sequence_score(first, second, max_length=max_length)
    slow = [_match_slowly(a[:max_length], b[:max_length]) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(found, slow)


def test_regions_of_gaze(rng):
    places = np.array([[100.0, 100.0], [500.0, 120.0], [300.0, 400.0]])
    order = [rng.permutation(3) for _ in range(12)]
    paths = [places[own] + rng.normal(scale=6, size=(3, 2)) for own in order]
    centres = find_gaze_regions(paths)
    assert len(centres) == 3
    np.testing.assert_allclose(centres[label_regions(places, centres)], places, atol=8)
    labels = [label_regions(path, centres) for path in paths]
    known = label_regions(places, centres)
    assert all((own == known[one]).all() for own, one in zip(labels, order, strict=True))
    # Positions that repeat exactly leave no bandwidth to estimate.
    assert len(find_gaze_regions([places[[0, 0, 0, 1]], places[[0, 0, 0]]] * 5)) == 2


def test_semantic_labels():
    segmentation = np.arange(6).reshape(2, 3)
    xy = [[0, 0], [299.9, 0], [0, 199.9], [150, 120]]
    assert label_classes(xy, segmentation, (200, 300)).tolist() == [0, 2, 3, 4]
    with pytest.raises(ValueError, match="beyond it"):
        label_classes([[300, 0]], segmentation, (200, 300))
    with pytest.raises(ValueError, match="whole numbers, got float64"):
        label_classes(xy, segmentation / 2, (200, 300))


def test_timed_labels():
    assert repeat_labels([4, 5, 6], [0.15, 0.04, 0.11]).tolist() == [4, 4, 4, 6, 6]
    with pytest.raises(ValueError, match=r"reach one bin of 0\.05 s, got 0\.04"):
        repeat_labels([1], [0.04])
    with pytest.raises(ValueError, match="at least 0"):
        repeat_labels([1], [-1])
    with pytest.raises(ValueError, match=r"shape \(2\)"):
        repeat_labels([1, 2], [0.1])


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="same number of strings, got 1 and 2"):
        compute_sequence_score([[1]], [[1], [2]])
    with pytest.raises(ValueError, match="at least one"):
        compute_sequence_score([[1]], [np.empty(0, int)])
    with pytest.raises(ValueError, match="max_length must be at least 1"):
        compute_sequence_score([[1]], [[1]], max_length=0)
    with pytest.raises(ValueError, match="n_cells must be from 1"):
        compute_string_edit_distance([A], [B], size_px=(400, 400), n_cells=500)
    with pytest.raises(ValueError, match="factors must be at least"):
        find_gaze_regions([A, B], factors=[0])


def test_people_on_shelves(shared_data):
    """All pairs of six people per collage, objects by a uniform grid: 0.2009 on all 100 collages."""
    stimuli, fixations = load_sti_amazon(root=shared_data)
    size = stimuli.table[["height_px", "width_px"]]
    strings = {
        key: map_to_grid(own[["x_px", "y_px"]], tuple(size.loc[key[1]]))
        for key, own in fixations.groupby(["subject", "stimulus_id"])
    }
    people = [str(number) for number in range(1, 7)]
    first, second = [], []
    for name in stimuli.stimulus_ids:
        for place, one in enumerate(people):
            first += [strings[one, name]] * (5 - place)
            second += [strings[other, name] for other in people[place + 1 :]]
    found = compute_sequence_score(first, second)
    assert len(found) == 67 * 15
    assert found.mean() == pytest.approx(0.2009, abs=0.015)
    rng = np.random.default_rng(0)
    random = [rng.integers(0, 84, len(string)) for string in first]
    # With as many random objects 0.0856.
    assert compute_sequence_score(first, random).mean() == pytest.approx(0.0856, abs=0.004)
