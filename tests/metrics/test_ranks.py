"""Ranks and inversions against scipy and against every pair written out."""

import itertools

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata

from neurovis.metrics.ranks import compute_tau_a, count_inversions, rank_densely, rank_rows


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_ranks_equal_scipy(decimals, rng):
    values = np.round(rng.normal(size=(3, 500)), decimals)
    np.testing.assert_array_equal(rank_rows(values), rankdata(values, axis=1))
    dense = rank_densely(values[0])
    np.testing.assert_array_equal(dense.ranks, rankdata(values[0], method="dense") - 1)
    assert dense.n_tied == sum(a == b for a, b in itertools.combinations(values[0], 2))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 700])
@pytest.mark.parametrize("top", [2, 30, 10_000])
def test_inversions_equal_every_pair(n, top, rng):
    values = rng.integers(0, top, n)
    assert count_inversions(values) == int(np.triu(values[:, None] > values, k=1).sum())


@pytest.mark.parametrize("n", [127 * 64, 127 * 64 + 1, 40_000])
def test_inversions_of_long_vectors_follow_from_tau(n, rng):
    order = rng.permutation(n)
    assert count_inversions(np.arange(n)[::-1]) == n * (n - 1) // 2
    tau = kendalltau(np.arange(n), order).statistic
    assert count_inversions(order) == round((1 - tau) * n * (n - 1) / 4)


def test_tau_a_of_long_tied_vectors_follows_from_tau_b(rng):
    a, b = rng.integers(0, 40, (2, 9000))
    ranks = rank_densely(a), rank_densely(a + b)
    n_pairs = 9000 * 8999 / 2
    untied = [n_pairs - rank.n_tied for rank in ranks]
    expected = kendalltau(a, a + b).statistic * np.sqrt(untied[0] * untied[1]) / n_pairs
    np.testing.assert_allclose(compute_tau_a(*ranks), expected, rtol=1e-12)
    assert compute_tau_a(rank_densely(np.full(9000, 3)), ranks[0]) == 0
