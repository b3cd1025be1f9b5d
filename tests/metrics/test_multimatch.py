"""Against multimatch-gaze, the library whose numbers are the reference."""

import numpy as np
import pytest

from neurovis.datasets.osie import load_osie
from neurovis.metrics.gaze_arrays import list_scanpaths
from neurovis.metrics.multimatch import DIMENSIONS, compute_multimatch, simplify_scanpath

SIZE = (768, 1024)
SIMPLIFY = {"amplitude_px": 150, "direction_deg": 45, "duration_s": 0.3}


def _ask_library(first, second, size, **options):
    multimatch_gaze = pytest.importorskip("multimatch_gaze")
    records = [np.rec.fromarrays(path.T, names="start_x,start_y,duration") for path in (*first, *second)]
    pairs = zip(records[: len(first)], records[len(first) :], strict=True)
    return np.array([multimatch_gaze.docomparison(a, b, size[::-1], **options) for a, b in pairs], float)


def _draw(rng, n_paths, fewest=3):
    return [
        np.column_stack([rng.uniform((0, 0), SIZE[::-1], (n, 2)), rng.uniform(0.02, 0.8, n)])
        for n in rng.integers(fewest, 16, n_paths)
    ]


def test_equals_the_library(rng):
    first, second = _draw(rng, 60), _draw(rng, 60)
    found = compute_multimatch(first, second, size_px=SIZE)
    np.testing.assert_allclose(found, _ask_library(first, second, SIZE), atol=1e-12)


def test_simplification_equals_the_library(rng):
    # Long enough that the library, which fails on a path of one saccade, gets through.
    first, second = _draw(rng, 60, fewest=9), _draw(rng, 60, fewest=9)
    # Some saccades that go on in one direction, and some that are small.
    for path in first:
        path[3, :2] = path[2, :2] + (1.1, 0.9) * (path[2, :2] - path[1, :2])
        path[-2, :2] = path[-1, :2] + 30
    found = compute_multimatch(first, second, size_px=SIZE, **SIMPLIFY)
    theirs = _ask_library(first, second, SIZE, grouping=True, TDir=45, TDur=0.3, TAmp=150)
    np.testing.assert_allclose(found, theirs, atol=1e-12)
    assert np.abs(found - compute_multimatch(first, second, size_px=SIZE)).max() > 0.01


def test_real_scanpaths_equal_the_library(shared_data, rng):
    _, fixations = load_osie(root=shared_data)
    _, paths = list_scanpaths(fixations)
    first, second = ([paths[k] for k in rng.integers(0, len(paths), 60)] for _ in range(2))
    found = compute_multimatch(first, second, size_px=(600, 800))
    np.testing.assert_allclose(found, _ask_library(first, second, (600, 800)), atol=1e-12)


def test_known_values(rng):
    (path,) = _draw(rng, 1, fewest=8)
    shifted = np.add(path, (100, 0, 0))
    slower = path * [1, 1, 2]
    found = compute_multimatch([path] * 3, [path, shifted, slower], size_px=SIZE)
    expected = [[1, 1, 1, 1, 1], [1, 1, 1, 0.921875, 1], [1, 1, 1, 1, 0.5]]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert DIMENSIONS == ("vector", "direction", "length", "position", "duration")


def test_short_scanpaths_and_missing_durations_are_not_guessed(rng):
    path = _draw(rng, 1, fewest=6)[0]
    found = compute_multimatch([path[:2], path, path[:2]], [path, path, path[:1]], size_px=SIZE)
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True]
    assert np.isnan(compute_multimatch([path[:2]], [path], size_px=SIZE)).all()
    untimed = compute_multimatch([path[:, :2]], [path[:, :2] + 5], size_px=SIZE)[0]
    assert np.isfinite(untimed[:4]).all()
    assert np.isnan(untimed[4])
    with pytest.raises(ValueError, match="durations to be simplified"):
        compute_multimatch([path[:, :2]], [path[:, :2]], size_px=SIZE, **SIMPLIFY)
    with pytest.raises(ValueError, match=r"\(n, 3\) with at least 3"):
        simplify_scanpath(path[:2], **SIMPLIFY)


def test_no_duration_and_no_amplitude():
    """Neither a fixation of 0 s nor a saccade of 0 px, where the library divides by zero."""
    path = np.array([[10.0, 10, 0], [10, 10, 0.2], [300, 10, 0], [300, 400, 0.1]])
    np.testing.assert_allclose(compute_multimatch([path], [path], size_px=SIZE), 1)
    found = compute_multimatch([path], [path], size_px=SIZE, **SIMPLIFY)
    np.testing.assert_allclose(found, 1)


def test_simplification_by_hand():
    straight = np.array([[0.0, 0, 0.2], [200, 0, 0.1], [400, 0, 0.2], [400, 300, 0.2]])
    rows = simplify_scanpath(straight, amplitude_px=50, direction_deg=45, duration_s=0.15)
    np.testing.assert_allclose(rows, [[0, 0, 400, 0, 0.2], [400, 0, 0, 300, 0.2]])
    # Nothing merges across a long fixation.
    rows = simplify_scanpath(straight, amplitude_px=50, direction_deg=45, duration_s=0.05)
    assert len(rows) == 3
    # A path that is one small step in the end keeps one saccade.
    small = np.array([[0.0, 0, 0.1], [5, 0, 0.1], [5, 5, 0.1]])
    assert simplify_scanpath(small, amplitude_px=50, direction_deg=45, duration_s=0.15).shape == (1, 5)
