"""Scores per neuroid against scipy and scikit-learn, column by column."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import explained_variance_score, r2_score

from neurovis import catalog
from neurovis.metrics.regression import explained_variance, pearson_r, r2, spearman_r

METRICS = [pearson_r, spearman_r, r2, explained_variance]
REFERENCES = {
    pearson_r: lambda t, p: stats.pearsonr(t, p).statistic,
    spearman_r: lambda t, p: stats.spearmanr(t, p).statistic,
    r2: r2_score,
    explained_variance: explained_variance_score,
}


@pytest.fixture
def pair(rng):
    truth = rng.normal(size=(40, 6)) * np.logspace(-6, 6, 6) + 100
    return truth, truth + np.logspace(-6, 6, 6) * rng.normal(size=(40, 6)) + 0.5


@pytest.mark.parametrize("metric", METRICS)
def test_equals_reference_per_column(metric, pair):
    truth, prediction = pair
    expected = [REFERENCES[metric](truth[:, j], prediction[:, j]) for j in range(truth.shape[1])]
    np.testing.assert_allclose(metric(truth, prediction), expected, rtol=1e-6)


def test_spearman_with_ties_equals_reference(rng):
    truth, prediction = rng.integers(0, 4, (30, 3)), rng.integers(0, 4, (30, 3))
    expected = [stats.spearmanr(truth[:, j], prediction[:, j]).statistic for j in range(3)]
    np.testing.assert_allclose(spearman_r(truth, prediction), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_perfect_prediction_is_one(metric, pair):
    np.testing.assert_allclose(metric(pair[0], pair[0]), 1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_constant_columns_score_zero(metric, value, dtype, rng):
    varying = rng.normal(size=(33, 2)).astype(dtype)
    constant = np.full((33, 2), value, dtype=dtype)
    np.testing.assert_array_equal(metric(constant, varying), 0)
    if metric in (pearson_r, spearman_r):
        np.testing.assert_array_equal(metric(varying, constant), 0)


def test_offset_and_scale(pair):
    truth, prediction = pair
    np.testing.assert_allclose(pearson_r(truth, 3 * prediction - 2), pearson_r(truth, prediction))
    np.testing.assert_allclose(
        explained_variance(truth, prediction + 9), explained_variance(truth, prediction)
    )
    assert (r2(truth, prediction) <= explained_variance(truth, prediction) + 1e-12).all()
    np.testing.assert_allclose(r2(truth, np.broadcast_to(truth.mean(0), truth.shape)), 0, atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input(metric, pair):
    truth, prediction = pair
    with pytest.raises(ValueError, match=r"prediction must have the shape of truth \(40, 6\), got \(39, 6\)"):
        metric(truth, prediction[:-1])
    with pytest.raises(ValueError, match="truth must be finite, got 1 NaN"):
        metric(np.where(truth == truth[3, 2], np.nan, truth), prediction)
    with pytest.raises(ValueError, match="prediction must be finite"):
        metric(truth, prediction * np.inf)
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        metric(truth[:1], prediction[:1])
    with pytest.raises(ValueError, match="truth must have 2 dimension"):
        metric(truth[:, 0], prediction[:, 0])


def test_catalog_metrics_have_the_signature(pair):
    for name in catalog.metrics:
        assert catalog.metrics.load(name)(*pair).shape == (6,)
