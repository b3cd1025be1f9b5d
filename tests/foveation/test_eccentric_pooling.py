"""Eccentricity-dependent pooling against the published ring tables and a slow loop over masks."""

import math

import numpy as np
import pytest
import torch

from neurovis.foveation.eccentric_pooling import (
    ECCNET_PX_PER_DEG,
    ECCNET_SLOPES,
    EccentricPool2d,
    compute_output_side,
    compute_rings,
    make_size_map,
)


def make_eccnet_rings(n_in, depth):
    return compute_rings(n_in, px_per_deg=ECCNET_PX_PER_DEG[depth - 1], slope=ECCNET_SLOPES[depth - 1])


def find_input_side(model_input, depth):
    for _ in range(depth - 1):
        model_input = compute_output_side(model_input)
    return model_input


def read_rings(text):
    pairs = [item.split(":") for item in text.split()]
    return [(math.inf if radius == "rest" else int(radius), int(size)) for radius, size in pairs]


@pytest.mark.parametrize(
    ("model_input", "depth", "n_out", "rings"),
    [
        (806, 3, 101, "16:2 20:3 24:3 28:4 32:4 36:5 40:5 44:6 48:6 rest:7"),
        (806, 4, 51, "8:2 10:3 12:3 14:4 16:5 18:5 20:6 22:6 24:7 rest:8"),
        (806, 5, 26, "4:2 5:3 6:3 7:4 8:5 9:5 10:6 11:6 12:7 rest:8"),
        (524, 3, 66, "16:2 20:3 24:3 28:4 32:4 rest:5"),
        (524, 4, 33, "8:2 10:3 12:3 14:4 16:5 rest:5"),
        (524, 5, 17, "4:2 5:3 6:3 7:4 8:5 rest:5"),
    ],
)
def test_published_ring_tables(model_input, depth, n_out, rings):
    n_in = find_input_side(model_input, depth)
    assert compute_output_side(n_in) == n_out
    assert list(make_eccnet_rings(n_in, depth)) == read_rings(rings)


@pytest.mark.parametrize(
    ("depth", "n_out", "first", "last", "rest"),
    [(3, 170, (16, 2), (84, 12), 12), (4, 85, (8, 2), (42, 13), 14), (5, 43, (4, 2), (21, 13), 14)],
)
def test_published_ends_of_the_largest_tables(depth, n_out, first, last, rest):
    n_in = find_input_side(1358, depth)
    rings = make_eccnet_rings(n_in, depth)
    assert compute_output_side(n_in) == n_out
    assert (rings[0], rings[-2], rings[-1].size_px) == (first, last, rest)
    assert depth != 3 or len(rings) == 19


def pool_slowly(image, size):
    """TensorFlow's "same" average pool with stride 2, one window after the other."""
    n = len(image)
    n_out = (n + 1) // 2
    before = max((n_out - 1) * 2 + size - n, 0) // 2
    out = np.empty((n_out, n_out))
    for row in range(n_out):
        for column in range(n_out):
            top, left = 2 * row - before, 2 * column - before
            window = image[max(top, 0) : top + size, max(left, 0) : left + size]
            out[row, column] = window.mean()
    return out


def pool_by_masks(image, rings):
    """The authors' way: one pool of the whole map per ring, masked by differences of discs."""
    n_out = (len(image) + 1) // 2
    row, column = np.mgrid[:n_out, :n_out] - n_out // 2
    total, inner = np.zeros((n_out, n_out)), np.zeros((n_out, n_out), dtype=bool)
    for radius, size in rings:
        disc = np.hypot(row, column) < radius
        total += (disc & ~inner) * pool_slowly(image, size)
        inner = disc
    return total


@pytest.mark.parametrize("n_in", [44, 45, 46, 63])
def test_equals_masked_pools(rng, n_in):
    pool = EccentricPool2d(n_in, px_per_deg=4, slope=0.4)
    assert len(pool.rings) > 2
    maps = rng.normal(size=(2, 3, n_in, n_in))
    found = pool(torch.from_numpy(maps)).numpy()
    expected = [[pool_by_masks(plane, pool.rings) for plane in image] for image in maps]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    channels_last = torch.from_numpy(maps).to(memory_format=torch.channels_last)
    np.testing.assert_array_equal(pool(channels_last), found)


@pytest.mark.parametrize("n_in", [26, 27])
def test_slope_zero_is_an_ordinary_pool(n_in):
    maps = torch.randn(2, 5, n_in, n_in, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.avg_pool2d(maps, 2, 2, ceil_mode=True, count_include_pad=False)
    torch.testing.assert_close(EccentricPool2d(n_in, px_per_deg=2, slope=0)(maps), expected)
    # A fovea larger than the map makes the slope irrelevant.
    torch.testing.assert_close(EccentricPool2d(n_in, px_per_deg=30, slope=0.3)(maps), expected)


def test_a_constant_stays_constant():
    pool = EccentricPool2d(202, px_per_deg=8, slope=3.5 * 0.02)
    assert (pool(torch.full((1, 1, 202, 202), 3.7)) / 3.7 - 1).abs().max() < 1e-6


@pytest.mark.parametrize("size", [2, 8])
def test_an_impulse_peaks_at_one_over_the_window(size):
    n_in = find_input_side(806, 4)
    pool = EccentricPool2d(n_in, px_per_deg=4, slope=0.16)
    rows, columns = np.nonzero(make_size_map(pool.n_out, pool.rings) == size)
    inside = (np.minimum(rows, columns) > 4) & (np.maximum(rows, columns) < pool.n_out - 5)
    image = torch.zeros(1, 1, n_in, n_in)
    image[0, 0, 2 * rows[inside][0], 2 * columns[inside][0]] = 1
    assert float(pool(image)[0, 0, rows[inside][0], columns[inside][0]]) == pytest.approx(1 / size**2)


def test_maps_that_are_not_square_are_padded_with_counted_zeros(rng):
    pool = EccentricPool2d(41, px_per_deg=4, slope=0.4)
    wide = rng.normal(size=(1, 1, 30, 41))
    padded = np.pad(wide[0, 0], ((5, 6), (0, 0)))
    expected = pool_by_masks(padded, pool.rings)
    np.testing.assert_allclose(pool(torch.from_numpy(wide))[0, 0], expected, atol=1e-12)
    tall = np.swapaxes(wide, 2, 3).copy()
    np.testing.assert_allclose(pool(torch.from_numpy(tall))[0, 0], expected.T, atol=1e-12)


def test_gradients_reach_every_pixel():
    pool = EccentricPool2d(23, px_per_deg=2, slope=0.5)
    maps = torch.randn(1, 2, 23, 23, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(pool, (maps,), fast_mode=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slope": -0.1}, "slope must be at least 0, got -0.1"),
        ({"px_per_deg": 0}, "px_per_deg must be positive, got 0"),
        ({"px_per_deg": 1}, "ring_deg must be at least one output pixel"),
        ({"n_in": 1}, "n_in must be at least 2"),
    ],
)
def test_bad_numbers_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        compute_rings(**({"n_in": 40, "px_per_deg": 4, "slope": 0.1} | arguments))


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"larger side of 40, got \(1, 3, 39, 39\)"):
        EccentricPool2d(40, px_per_deg=4, slope=0.1)(torch.zeros(1, 3, 39, 39))
