import numpy as np
import pytest

from neurovis.metrics.scanmatch import compute_scanmatch, estimate_threshold, make_substitution_scores

A = np.array([[100.0, 100.0], [300.0, 100.0], [300.0, 300.0], [100.0, 300.0]])
SIZE = (400, 400)


def _score_slowly(one, other, *, size, grid, threshold, bin_s, gap=0.0):
    strings = []
    for path in (one, other):
        string = []
        for x, y, seconds in path:
            cell = (int(y * grid[0] / size[0]), int(x * grid[1] / size[1]))
            string += [cell] * (1 if bin_s is None else round(seconds / bin_s))
        strings.append(string)
    a, b = strings
    table = np.zeros((len(a) + 1, len(b) + 1))
    table[:, 0], table[0] = gap * np.arange(len(a) + 1), gap * np.arange(len(b) + 1)
    for i, (row, column) in enumerate(a, 1):
        for j, (r, c) in enumerate(b, 1):
            gain = threshold - np.sqrt((row - r) ** 2 + (column - c) ** 2)
            table[i, j] = max(table[i - 1, j - 1] + gain, table[i - 1, j] + gap, table[i, j - 1] + gap)
    return table.max() / (threshold * max(len(a), len(b)))


@pytest.fixture
def scanpaths(rng):
    return [
        np.column_stack([rng.uniform((0, 0), (800, 600), (n, 2)), rng.uniform(0.03, 0.6, n)])
        for n in rng.integers(1, 14, 30)
    ]


@pytest.mark.parametrize(("bin_s", "gap", "threshold"), [(None, 0, 3.5), (0.05, 0, 3.5), (0.1, -0.3, 2.0)])
def test_equals_the_plain_programme(scanpaths, bin_s, gap, threshold):
    first, second = scanpaths[:15], scanpaths[15:]
    options = {"threshold": threshold, "bin_s": bin_s, "gap": gap}
    found = compute_scanmatch(first, second, size_px=(600, 800), grid=(8, 12), **options)
    slow = [
        _score_slowly(one, other, size=(600, 800), grid=(8, 12), **options)
        for one, other in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(found, slow, atol=1e-12)


def test_known_values():
    """Reference values for a square path, its middle exchanged, and itself shifted by 40 px."""
    others = [A, A[[0, 2, 1, 3]], np.add(A, (40, 0))]
    found = compute_scanmatch([A] * 3, others, size_px=SIZE, grid=(12, 16))
    np.testing.assert_allclose(found, [1, 0.75, 0.7143], atol=5e-5)


def test_properties(scanpaths):
    first, second = scanpaths[:15], scanpaths[15:]
    size = (600, 800)
    same = compute_scanmatch(first, first, size_px=size, bin_s=0.05)
    np.testing.assert_allclose(same, 1)
    forth, back = (compute_scanmatch(*pair, size_px=size) for pair in ((first, second), (second, first)))
    np.testing.assert_allclose(forth, back)
    assert ((forth >= 0) & (forth < 1)).all()
    # Durations matter only where they are binned.
    longer = [path * [1, 1, 3] for path in first]
    np.testing.assert_allclose(compute_scanmatch(first, longer, size_px=size), 1)
    assert (compute_scanmatch(first, longer, size_px=size, bin_s=0.05) < 0.5).all()


def test_substitution_and_threshold():
    scores = make_substitution_scores((2, 3), 3.5)
    assert scores[0, 0] == 3.5
    assert scores[0, 5] == pytest.approx(3.5 - np.sqrt(5))
    path = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 300.0]])
    found = estimate_threshold([path], size_px=(600, 800), grid=(8, 12))
    assert found == pytest.approx(2 * np.std([1.5, 4.0], ddof=1))
    with pytest.raises(ValueError, match="2 saccades"):
        estimate_threshold([path[:2]], size_px=SIZE)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="beyond it"):
        compute_scanmatch([A], [A + 200], size_px=SIZE)
    assert compute_scanmatch([A], [np.add(A, (0, 150))], size_px=SIZE, outside="clip").shape == (1,)
    with pytest.raises(ValueError, match=r"\(row, column\)"):
        compute_scanmatch([A[:, ::-1] * [0.5, 1]], [A[:, ::-1] * [0.5, 1]], size_px=(200, 400))
    with pytest.raises(ValueError, match="durations"):
        compute_scanmatch([A], [A], size_px=SIZE, bin_s=0.05)
    timed = np.column_stack([A, np.full(4, 0.01)])
    with pytest.raises(ValueError, match=r"one bin of 0\.05 s, got 1"):
        compute_scanmatch([timed], [timed], size_px=SIZE, bin_s=0.05)
    with pytest.raises(ValueError, match="bin_s must be positive"):
        compute_scanmatch([timed], [timed], size_px=SIZE, bin_s=0)
    with pytest.raises(ValueError, match="threshold must be positive"):
        compute_scanmatch([A], [A], size_px=SIZE, threshold=0)
    with pytest.raises(ValueError, match="grid must be at least 1"):
        compute_scanmatch([A], [A], size_px=SIZE, grid=(0, 12))


def test_natural_search_numbers(shared_data):
    """Search in natural scenes (Zhang et al. 2018), 15 people x 240 images: 12 x 8 regions, threshold 3.5."""
    folder = shared_data / "visual_search_asymmetry" / "NaturalDesign"

    def read(name):
        positions, counts = (
            np.load(folder / kind / f"{prefix}{name}.npy") for kind, prefix in (("fix", ""), ("ifix", "I_"))
        )
        # (row, column), zero after the last one; some gaze lies beyond the screen.
        return [
            np.ascontiguousarray(row[: min(int(n), len(row)), ::-1]).astype(float)
            for row, n in zip(positions, counts.ravel(), strict=True)
        ]

    people = read("human_all")
    options = {"size_px": (1024, 1280), "grid": (8, 12), "outside": "clip"}
    unordered = [(a * 240 + i, b * 240 + i) for a in range(15) for b in range(a) for i in range(240)]
    pairs = [[people[k] for k in side] for side in zip(*unordered, strict=True)]
    assert compute_scanmatch(*pairs, **options).mean() == pytest.approx(0.4512, abs=5e-5)
    # Of one person on another image; which one is not stated with the value, .2656.
    shifts = [(k, (k // 240) * 240 + (k + shift) % 240) for shift in range(20, 240, 20) for k in range(3600)]
    other = compute_scanmatch(*([people[k] for k in side] for side in zip(*shifts, strict=True)), **options)
    assert other.mean() == pytest.approx(0.2656, abs=0.003)
    for name, expected in {"eccNET": 0.2721, "IVSN": 0.2765}.items():
        model = read(name)
        found = compute_scanmatch(model * 15, people, **options).mean()
        assert found == pytest.approx(expected, abs=5e-5)
