import numpy as np
import pytest

from neurovis.core import make_rng
from neurovis.metrics import saliency_auc
from neurovis.metrics.saliency_auc import (
    compute_auc,
    compute_auc_borji,
    compute_auc_judd,
    compute_shuffled_auc,
    iterate_shuffled_negatives,
)


def _share_slowly(value, negatives):
    return np.mean([1.0 if other < value else 0.5 if other == value else 0.0 for other in negatives])


@pytest.fixture
def xy(rng):
    return rng.uniform((0, 0), (60, 40), (25, 2))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("few", [0, 1 << 20])
def test_equals_the_definition(rng, xy, ties, few, monkeypatch):
    """Both ways to count: by classes of values and by a full sort."""
    monkeypatch.setattr(saliency_auc, "_FEW", few)
    values = rng.integers(0, 9, (40, 60)).astype(float) if ties else rng.normal(size=(40, 60)) ** 3
    rows, columns = np.floor(xy).astype(int).T[::-1]
    positives = values[rows, columns]
    free = np.ones(values.shape, dtype=bool)
    free[rows, columns] = False
    elsewhere = rng.uniform((0, 0), (60, 40), (300, 2))
    cases = {
        "uniform": (values.ravel(), "uniform"),
        "unfixated": (values[free], "unfixated"),
        "places": (values[tuple(np.floor(elsewhere).astype(int).T[::-1])], elsewhere),
    }
    for negatives, choice in cases.values():
        slow = [_share_slowly(value, negatives) for value in positives]
        np.testing.assert_allclose(compute_auc(values, xy, negatives=choice), slow, atol=1e-12)


def test_extreme_maps(rng, xy, monkeypatch):
    """Nearly all values in one class, and a range that has no finite scale."""
    monkeypatch.setattr(saliency_auc, "_FEW", 0)
    for values in (np.exp(30 * rng.random((40, 60))), rng.random((40, 60)) * 1e-310, np.ones((40, 60))):
        positives = values[tuple(np.floor(xy).astype(int).T[::-1])]
        slow = [_share_slowly(value, values.ravel()) for value in positives]
        np.testing.assert_allclose(compute_auc(values, xy), slow, atol=1e-12)


def test_large_jitter_and_maps_that_are_not_finite(rng, xy, monkeypatch):
    monkeypatch.setattr(saliency_auc, "_FEW", 0)
    values = rng.random((40, 60))
    # Noise beyond the width of a class: values of every class in reach are told apart by their noise.
    noisy = values + 0.3 * np.ptp(values) * make_rng(2, "auc-judd").random(2400).reshape(40, 60)
    with monkeypatch.context() as patch:
        patch.setattr(saliency_auc, "_N_CLASSES", 1)
        whole = compute_auc_judd(values, xy, jitter=0.3, seed=2)
    assert whole == pytest.approx(compute_auc_judd(noisy, xy, jitter=0), abs=1e-12)
    # Only pixels in reach of a fixation get noise, so that others draw other numbers: the mean is the same.
    many = [compute_auc_judd(values, xy, jitter=0.3, seed=seed) for seed in range(40)]
    assert np.mean(many) == pytest.approx(whole, abs=0.03)
    for bad in (np.nan, np.inf, -np.inf):
        broken = values.copy()
        broken[3, 4] = bad
        for measure in (compute_auc, compute_auc_judd):
            with pytest.raises(ValueError, match="saliency_map must be finite, got 1"):
                measure(broken, xy)


def test_a_single_fixation_is_compared_directly(rng, xy, monkeypatch):
    monkeypatch.setattr(saliency_auc, "_FEW", 0)
    values = rng.integers(0, 9, (40, 60)).astype(float)
    found = [compute_auc(values, place[None])[0] for place in xy]
    np.testing.assert_allclose(found, compute_auc(values, xy), atol=1e-12)


def test_only_the_order_of_values_counts(rng, xy):
    values = rng.random((40, 60))
    np.testing.assert_allclose(compute_auc(values, xy), compute_auc(np.exp(5 * values) - 7, xy))
    np.testing.assert_allclose(compute_auc(values, xy), 1 - compute_auc(-values, xy))


@pytest.mark.parametrize("few", [0, 1 << 20])
@pytest.mark.parametrize("sizes", [[(40, 60)] * 4, [(40, 60), (80, 60), (40, 60), (33, 47)]])
def test_shuffled_equals_one_image_after_the_other(rng, few, sizes, monkeypatch):
    monkeypatch.setattr(saliency_auc, "_FEW", few)
    # Few levels, so that there are ties, and one place that is fixated on every image.
    maps = [rng.integers(0, 30, size).astype(float) for size in sizes]
    fixations = [
        np.concatenate([rng.uniform((0, 0), size[::-1], (count, 2)), [[10.5, 7.5]]])
        for size, count in zip(sizes, (5, 30, 1, 12), strict=True)
    ]
    found = compute_shuffled_auc(maps, fixations)
    negatives = iterate_shuffled_negatives(fixations, sizes)
    for values, xy, other, areas in zip(maps, fixations, negatives, found, strict=True):
        at = [values[tuple(np.floor(places).astype(int).T[::-1])] for places in (xy, other)]
        slow = [_share_slowly(value, at[1]) for value in at[0]]
        np.testing.assert_allclose(areas, slow, atol=1e-12)
    with pytest.raises(ValueError, match=r"same number of images.*got 4 and 3"):
        compute_shuffled_auc(maps[:3], fixations)
    maps[1][:] = np.nan
    with pytest.raises(ValueError, match=r"saliency_maps\[1\] must be finite"):
        compute_shuffled_auc(maps, fixations)


def test_shuffled_negatives_are_scaled_and_repeated():
    first = np.array([[10.0, 5.0], [10.0, 5.0], [59.9, 39.9]])
    second = np.array([[20.0, 30.0]])
    third = np.array([[1.0, 1.0], [2.0, 3.0]])
    found = list(iterate_shuffled_negatives([first, second, third], [(40, 60), (80, 60), (40, 120)]))
    np.testing.assert_allclose(found[0], [[20, 15], [0.5, 1], [1, 3]])
    np.testing.assert_allclose(found[1], [[10, 10], [10, 10], [59.9, 79.8], [0.5, 2], [1, 6]])
    assert [len(negatives) for negatives in found] == [3, 5, 4]
    with pytest.raises(ValueError, match="at least 2, got 1"):
        next(iterate_shuffled_negatives([first], [(40, 60)]))
    with pytest.raises(ValueError, match="beyond it"):
        next(iterate_shuffled_negatives([first, second], [(40, 60), (20, 60)]))


def _judd_slowly(values, xy):
    values = (values - values.min()) / (values.max() - values.min())
    thresholds = sorted((values[int(y), int(x)] for x, y in xy), reverse=True)
    n, true, false = len(thresholds), [0.0], [0.0]
    for i, threshold in enumerate(thresholds, 1):
        true.append(i / n)
        false.append(((values >= threshold).sum() - i) / (values.size - n))
    true, false = [*true, 1.0], [*false, 1.0]
    return sum((b - a) * (s + t) / 2 for a, b, s, t in zip(false, false[1:], true, true[1:], strict=False))


def test_judd(rng, xy):
    values = rng.random((40, 60)) + np.linspace(0, 1, 60)
    assert compute_auc_judd(values, xy, jitter=0) == pytest.approx(_judd_slowly(values, xy), abs=1e-12)
    assert compute_auc_judd(values, xy) == pytest.approx(compute_auc(values, xy).mean(), abs=0.03)
    assert compute_auc_judd(values, xy, seed=1) == compute_auc_judd(values, xy, seed=1)
    flat = np.ones((40, 60))
    areas = [compute_auc_judd(flat, xy, seed=seed) for seed in range(40)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.05)
    assert np.std(areas) > 0.01
    with pytest.raises(ValueError, match="fewer than the 4 pixels"):
        compute_auc_judd(np.eye(2), np.full((4, 2), 0.5))


def _borji_slowly(positives, negatives, step):
    thresholds = np.arange(0, 1 + step / 2, step)[::-1]
    true = [0, *[np.mean(positives >= t) for t in thresholds], 1]
    false = [0, *[np.mean(negatives >= t) for t in thresholds], 1]
    return sum((b - a) * (s + t) / 2 for a, b, s, t in zip(false, false[1:], true, true[1:], strict=False))


def test_borji(rng, xy):
    values = rng.random((40, 60))
    values = (values - values.min()) / np.ptp(values)
    rows, columns = np.floor(xy).astype(int).T[::-1]
    # Of places that were fixated elsewhere each counts once, and none that was fixated here.
    elsewhere = np.concatenate([rng.uniform((0, 0), (60, 40), (80, 2)), xy[:5]])
    places = {tuple(place) for place in np.floor(np.repeat(elsewhere, 2, axis=0)).astype(int)}
    places -= set(zip(columns.tolist(), rows.tolist(), strict=True))
    negatives = np.array([values[y, x] for x, y in places])
    found = compute_auc_borji(values, xy, negatives=elsewhere)
    assert found == pytest.approx(_borji_slowly(values[rows, columns], negatives, 0.01), abs=1e-12)
    random = compute_auc_borji(values, xy, n_random=200_000)
    assert random == pytest.approx(compute_auc(values, xy).mean(), abs=0.01)
    with pytest.raises(ValueError, match="step must lie"):
        compute_auc_borji(values, xy, step=1)
    with pytest.raises(ValueError, match="not fixated here"):
        compute_auc_borji(values, xy, negatives=xy)


def test_wrong_input_is_refused(rng, xy):
    values = rng.random((40, 60))
    with pytest.raises(ValueError, match="'uniform' or 'unfixated'"):
        compute_auc(values, xy, negatives="shuffled")
    with pytest.raises(ValueError, match="negatives must lie on the screen"):
        compute_auc(values, xy, negatives=[[100, 5]])
    everywhere = np.argwhere(np.ones((2, 2))) + 0.5
    with pytest.raises(ValueError, match="a pixel without a fixation"):
        compute_auc(np.eye(2), everywhere, negatives="unfixated")
