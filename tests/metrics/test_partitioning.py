"""Shares against himalaya's, closed forms for known weights, and the identities that define them."""

import numpy as np
import pytest

from neurovis.metrics.partitioning import (
    compute_explained_share,
    compute_product_measure,
    compute_unique_variance,
    compute_venn_regions,
    make_subsets,
    name_subsets,
)
from neurovis.metrics.regression import explained_variance, r2


@pytest.fixture
def case(rng):
    parts = rng.normal(size=(3, 50, 6)) + np.array([1.0, 0.0, -2.0])[:, None, None]
    parts[1] += 0.5 * parts[0]
    return parts.sum(0) + rng.normal(size=(50, 6)) + 4, parts


def test_product_measure_sums_to_the_explained_variance(case):
    truth, parts = case
    shares = compute_product_measure(truth, parts)
    assert shares.shape == (3, 6)
    np.testing.assert_allclose(shares.sum(0), explained_variance(truth, parts.sum(0)), rtol=1e-12)
    whole = parts.sum(0) - parts.sum(0).mean(0) + truth.mean(0)
    np.testing.assert_allclose(shares.sum(0), r2(truth, whole), rtol=1e-12)


def test_product_measure_equals_himalaya(case):
    scoring = pytest.importorskip("himalaya.scoring")
    truth, parts = case
    centred = parts - parts.mean(axis=1, keepdims=True)
    theirs = scoring.r2_score_split(truth - truth.mean(0), centred)
    np.testing.assert_allclose(compute_product_measure(truth, parts), theirs, rtol=1e-12)


def test_product_measure_ignores_offsets_and_order(case):
    truth, parts = case
    shares = compute_product_measure(truth, parts)
    np.testing.assert_allclose(compute_product_measure(truth + 7, parts - 3), shares, rtol=1e-9)
    np.testing.assert_allclose(compute_product_measure(truth, parts[::-1]), shares[::-1], rtol=1e-12)
    np.testing.assert_allclose(compute_product_measure(5 * truth, 5 * parts), shares, rtol=1e-12)
    np.testing.assert_allclose(compute_product_measure(truth + 1e8, parts), shares, rtol=1e-6)


def test_constant_truth_has_no_share(case):
    truth, parts = case
    np.testing.assert_array_equal(compute_product_measure(np.full_like(truth, 0.1), parts), 0)
    truth[:25] = 0.1  # varies, but not in a sample of its first rows
    counts = np.repeat([2, 0], 25)[None]
    np.testing.assert_array_equal(compute_explained_share(truth, parts[0], parts[0], counts=counts), 0)


def test_resampled_shares_equal_resampled_rows(case, rng):
    truth, parts = case
    rows = rng.integers(0, 50, size=(4, 50))
    counts = np.stack([np.bincount(drawn, minlength=50) for drawn in rows])
    fast = compute_explained_share(truth, parts[0], parts.sum(0), counts=counts)
    slow = [compute_product_measure(truth[drawn], parts[:, drawn])[0] for drawn in rows]
    np.testing.assert_allclose(fast, slow, rtol=1e-9)


@pytest.mark.parametrize("n_spaces", [1, 2, 3, 4])
def test_venn_regions_obey_their_definition(n_spaces, rng):
    subsets = make_subsets(n_spaces)
    assert len(subsets) == 2**n_spaces - 1
    assert len(np.unique(subsets, axis=0)) == len(subsets)
    planted = rng.normal(size=(len(subsets), 5))
    # A model explains every region that one of its spaces reaches.
    explained = np.stack([planted[(subsets & model).any(1)].sum(0) for model in subsets])
    regions = compute_venn_regions(explained, subsets)
    np.testing.assert_allclose(regions, planted, atol=1e-12)
    np.testing.assert_allclose(regions.sum(0), explained[-1], atol=1e-12)
    alone = subsets.sum(1) == 1
    np.testing.assert_allclose(compute_unique_variance(explained, subsets), planted[alone], atol=1e-12)
    order = rng.permutation(len(subsets))
    np.testing.assert_allclose(
        compute_venn_regions(explained[order], subsets[order]), planted[order], atol=1e-12
    )


def test_unique_variance_is_full_minus_reduced():
    subsets = np.array([[True, True, True], [False, True, True], [True, False, True], [True, True, False]])
    unique = compute_unique_variance([[0.5], [0.3], [0.5], [0.55]], subsets)
    np.testing.assert_allclose(unique[:, 0], [0.2, 0.0, -0.05])


def test_names_of_regions():
    names = name_subsets(["gabor", "worldnet"], make_subsets(2))
    assert names == ["only gabor", "only worldnet", "gabor & worldnet"]


def test_bad_input(case):
    truth, parts = case
    with pytest.raises(ValueError, match="contributions must have 3 dimension"):
        compute_product_measure(truth, parts[0])
    with pytest.raises(ValueError, match="prediction must have the shape of truth"):
        compute_product_measure(truth, parts[:, :-1])
    with pytest.raises(ValueError, match=r"counts must have shape \(n_samples, 50\)"):
        compute_explained_share(truth, parts[0], parts[0], counts=np.ones((3, 49)))
    with pytest.raises(ValueError, match=r"must hold the spaces \[0, 1\], got 2 others"):
        compute_venn_regions(np.zeros((2, 3)), make_subsets(2)[:2])
    with pytest.raises(ValueError, match="subsets must be booleans"):
        compute_unique_variance(np.zeros((3, 3)), make_subsets(2).astype(int))
    with pytest.raises(ValueError, match="n_spaces must be between 1 and 12, got 0"):
        make_subsets(0)
