"""CKA against its formulas written out, known values and invariances."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from neurovis.metrics.cka import compute_cka, compute_gram_cka


def estimate_hsic(k, m):
    """Unbiased estimate, term by term (Song et al. 2012)."""
    n, one = len(k), np.ones(len(k))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    value = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (value - 2 * one @ k @ m @ one / (n - 2)) / (n * (n - 3))


def test_plain_value_equals_the_cross_covariance_form(rng):
    a, b = rng.normal(size=(20, 7)) + 3, rng.normal(size=(20, 40))
    x, y = a - a.mean(0), b - b.mean(0)
    expected = np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    np.testing.assert_allclose(compute_cka(a, b, debiased=False), expected)
    np.testing.assert_allclose(compute_gram_cka(a @ a.T, b @ b.T, debiased=False), expected)


def test_debiased_value_equals_the_unbiased_estimates(rng):
    a, b = rng.normal(size=(15, 7)), rng.normal(size=(15, 40)) - 2
    b[:, :7] += 2 * a
    k, m = a @ a.T, b @ b.T
    expected = estimate_hsic(k, m) / np.sqrt(estimate_hsic(k, k) * estimate_hsic(m, m))
    np.testing.assert_allclose(compute_cka(a, b), expected)
    np.testing.assert_allclose(compute_gram_cka(k, m), expected)


def test_known_values_and_invariances(rng):
    basis = rng.normal(size=(12, 4))
    basis = np.linalg.qr(basis - basis.mean(0))[0]
    # One of m equal directions: 1 / sqrt(m).
    np.testing.assert_allclose(compute_cka(basis, basis[:, :1], debiased=False), 1 / 2)
    np.testing.assert_allclose(compute_cka(basis[:, :2], basis[:, 2:], debiased=False), 0, atol=1e-12)
    a, b = rng.normal(size=(12, 5)), rng.normal(size=(12, 6))
    turned = 3 * a @ ortho_group.rvs(5, random_state=0) + 7
    for debiased in (True, False):
        np.testing.assert_allclose(compute_cka(a, a, debiased=debiased), 1)
        np.testing.assert_allclose(
            compute_cka(turned, b, debiased=debiased), compute_cka(a, b, debiased=debiased)
        )


def test_unrelated_wide_patterns_are_alike_only_by_bias(rng):
    values = [(rng.normal(size=(20, 400)), rng.normal(size=(20, 400))) for _ in range(40)]
    assert np.mean([compute_cka(*pair, debiased=False) for pair in values]) > 0.9
    assert abs(np.mean([compute_cka(*pair) for pair in values])) < 0.03


def test_bad_input(rng):
    with pytest.raises(ValueError, match="b must have the 6 stimuli of a, got 5"):
        compute_cka(rng.normal(size=(6, 2)), rng.normal(size=(5, 2)))
    with pytest.raises(ValueError, match="at least 4 stimuli, got 3"):
        compute_cka(rng.normal(size=(3, 2)), rng.normal(size=(3, 2)))
    with pytest.raises(ValueError, match="a must vary over stimuli"):
        compute_cka(np.ones((6, 2)), rng.normal(size=(6, 2)))
    with pytest.raises(ValueError, match=r"a must tell stimuli apart .* all equally far apart"):
        compute_cka(np.eye(6), rng.normal(size=(6, 2)))  # one-hot: no geometry beyond its bias
    assert compute_cka(np.eye(6), rng.normal(size=(6, 2)), debiased=False) > 0
    with pytest.raises(ValueError, match="b must tell stimuli apart"):
        compute_gram_cka(np.diag(np.arange(6.0)), np.full((6, 6), 0.1), debiased=False)
    with pytest.raises(ValueError, match="b must be a symmetric matrix"):
        compute_gram_cka(np.eye(5), np.triu(np.ones((5, 5))))
