import numpy as np
import pytest

from neurovis.metrics.alignment import align_sequences, compute_edit_distance, stack_sequences


def _fill_slowly(a, b, scores, gap):
    table = np.zeros((len(a) + 1, len(b) + 1))
    table[:, 0] = gap * np.arange(len(a) + 1)
    table[0] = gap * np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            match = table[i - 1, j - 1] + scores[a[i - 1], b[j - 1]]
            table[i, j] = max(match, table[i - 1, j] + gap, table[i, j - 1] + gap)
    return table


def _levenshtein_slowly(a, b):
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        before, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (one != other)))
    return row[-1]


@pytest.fixture
def sequences(rng):
    return [rng.integers(0, 7, rng.integers(1, 23)) for _ in range(40)]


@pytest.fixture
def pairs(rng):
    return rng.integers(0, 40, 300), rng.integers(0, 40, 300)


@pytest.mark.parametrize("gap", [0.0, -0.4])
def test_equals_the_table_cell_by_cell(sequences, pairs, rng, gap):
    scores = rng.normal(size=(7, 7))
    tables = [_fill_slowly(sequences[i], sequences[j], scores, gap) for i, j in zip(*pairs, strict=True)]
    stacked = stack_sequences(sequences)
    corner = align_sequences(*stacked, *pairs, scores, gap=gap)
    best = align_sequences(*stacked, *pairs, scores, gap=gap, end="best")
    np.testing.assert_allclose(corner, [table[-1, -1] for table in tables], atol=1e-12)
    np.testing.assert_allclose(best, [table.max() for table in tables], atol=1e-12)


def test_batches_do_not_matter(sequences, pairs, monkeypatch):
    from neurovis.metrics import alignment, gaze_arrays

    whole = align_sequences(*stack_sequences(sequences), *pairs, np.eye(7))

    def small(n_first, n_second):
        return gaze_arrays.iterate_batches(n_first, n_second, n_cells=500)

    monkeypatch.setattr(alignment, "iterate_batches", small)
    np.testing.assert_array_equal(align_sequences(*stack_sequences(sequences), *pairs, np.eye(7)), whole)


def test_edit_distance(sequences, pairs):
    found = compute_edit_distance(*stack_sequences(sequences), *pairs)
    slow = [_levenshtein_slowly(sequences[i], sequences[j]) for i, j in zip(*pairs, strict=True)]
    assert found.tolist() == slow
    kitten, sitting = ([ord(letter) for letter in word] for word in ("kitten", "sitting"))
    assert compute_edit_distance(*stack_sequences([kitten, sitting]), *np.array([[0], [1]])) == 3


def test_wrong_sequences_are_refused():
    with pytest.raises(ValueError, match=r"sequences\[1\] .* at least one"):
        stack_sequences([[1, 2], np.empty(0, int)])
    with pytest.raises(ValueError, match="whole numbers"):
        stack_sequences([[1.5, 2.0]])
    with pytest.raises(ValueError, match="got none"):
        stack_sequences([])
    stacked, pair = stack_sequences([[0, 3]]), np.array([0])
    with pytest.raises(ValueError, match=r"symbols must be at most 2.* every symbol"):
        align_sequences(*stacked, pair, pair, np.eye(3))
    with pytest.raises(ValueError, match="gap must not be positive"):
        align_sequences(*stacked, pair, pair, np.eye(4), gap=0.1)
    with pytest.raises(ValueError, match="'corner' or 'best'"):
        align_sequences(*stacked, pair, pair, np.eye(4), end="middle")
