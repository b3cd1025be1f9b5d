"""Sign flips against every flip written out, intervals against scipy, and the rate without an effect."""

import itertools

import numpy as np
import pytest
from scipy import stats

from neurovis.metrics.one_sample import compute_sign_flip_test, compute_t_interval, draw_signs


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_all_flips_of_few_subjects(alternative, rng):
    values = rng.normal(size=(6, 5)) + 0.5
    test = compute_sign_flip_test(values, alternative=alternative)
    fold = np.abs if alternative == "two-sided" else np.asarray
    t = [
        fold(stats.ttest_1samp(values * np.array(signs)[:, None], 0).statistic)
        for signs in itertools.product([1, -1], repeat=6)
    ]
    observed = fold(stats.ttest_1samp(values, 0).statistic)
    np.testing.assert_allclose(test.observed, observed)
    np.testing.assert_allclose(test.p_value, (np.array(t) >= observed - 1e-9).mean(0))
    np.testing.assert_allclose(test.p_value_max, (np.max(t, axis=1)[:, None] >= observed - 1e-9).mean(0))


def test_random_flips_approach_all_flips(rng):
    values = rng.normal(size=(12, 4)) + 0.3
    every = compute_sign_flip_test(values, n_permutations=4095).p_value
    some = compute_sign_flip_test(values, n_permutations=3000).p_value
    np.testing.assert_allclose(some, every, atol=0.03)
    assert len(draw_signs(12, 4095, seed=0)) == 4095
    assert len(draw_signs(12, 4094, seed=0)) == 4094


def test_p_is_uniform_and_the_maximum_controls_the_family(rng):
    p, family = [], []
    for seed in range(150):
        test = compute_sign_flip_test(rng.standard_t(5, size=(9, 10)), n_permutations=199, seed=seed)
        p.append(test.p_value[0])
        family.append((test.p_value_max <= 0.1).any())
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.03 < np.mean(family) < 0.18


def test_equal_values_have_the_smallest_p():
    test = compute_sign_flip_test(np.full((5, 1), 0.25))
    np.testing.assert_allclose(test.p_value, 1 / 32)
    np.testing.assert_array_equal(compute_sign_flip_test(np.zeros((5, 1))).p_value, 1)


def test_interval_equals_scipy(rng):
    values = rng.normal(size=(8, 3))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    np.testing.assert_allclose(compute_t_interval(values, level=0.9), [expected.low, expected.high])


def test_bad_input(rng):
    with pytest.raises(ValueError, match="at least 2 subjects, got 1"):
        compute_sign_flip_test(np.ones((1, 3)))
    with pytest.raises(ValueError, match="n_permutations must be at least 1, got 0"):
        compute_sign_flip_test(np.ones((3, 3)), n_permutations=0)
    with pytest.raises(ValueError, match=r"alternative must be .* got 'less'"):
        compute_sign_flip_test(np.ones((3, 3)), alternative="less")
    with pytest.raises(ValueError, match="level must be between 0 and 1, got 95"):
        compute_t_interval(np.ones((3, 3)), level=95)
