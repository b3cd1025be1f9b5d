"""The estimator: scikit-learn's contract, agreement with scikit-learn's own parts, and no leakage."""

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.core import Encoder
from neurovis.encoding import fitting
from neurovis.encoding.ridge import Ridge, make_ridge

ALPHAS = np.logspace(-1, 4, 6)


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(60, 12)) * np.logspace(-2, 2, 12) + 5
    noise = np.array([0.1, 5.0, 50.0, 500.0])
    y = (X / X.std(0)) @ rng.normal(size=(12, 4)) + noise * rng.normal(size=(60, 4)) + 3
    return X, y


@parametrize_with_checks([Ridge(), Ridge(alphas=1.0)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_an_encoder():
    assert isinstance(Ridge(), Encoder)


def test_equals_a_scikit_learn_search_per_neuroid(problem):
    X, y = problem
    ours = Ridge(ALPHAS, cv=5).fit(X, y)
    for j in range(y.shape[1]):
        search = GridSearchCV(
            SklearnRidge(), {"alpha": ALPHAS}, cv=KFold(5), scoring="neg_mean_squared_error"
        ).fit(StandardScaler().fit_transform(X), y[:, j])
        assert ours.alpha_[j] == search.best_params_["alpha"]
        closed = make_pipeline(StandardScaler(), SklearnRidge(ours.alpha_[j])).fit(X, y[:, j])
        np.testing.assert_allclose(ours.predict(X)[:, j], closed.predict(X), rtol=1e-9)
        np.testing.assert_allclose(ours.score(X, y)[j], closed.score(X, y[:, j]), rtol=1e-9)
    assert len(np.unique(ours.alpha_)) > 1


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("alphas", [3.0, ALPHAS])
def test_weights_of_rows_predict_as_those_of_features(standardise, fit_intercept, alphas, rng):
    X, X_new = (rng.normal(size=(n, 100)) * np.logspace(-1, 1, 100) + 5 for n in (20, 30))
    y = rng.normal(size=(20, 40)) + 2
    options = {"alphas": alphas, "standardise": standardise, "fit_intercept": fit_intercept}
    rows, features = Ridge(**options).fit(X, y), Ridge(**options, method="primal").fit(X, y)
    assert rows.dual_coef_.shape == (20, 40)
    assert features.dual_coef_ is None
    prediction = rows.predict(X_new)
    np.testing.assert_allclose(prediction, features.predict(X_new), atol=1e-8)
    np.testing.assert_allclose(rows.coef_, features.coef_, atol=1e-8)
    np.testing.assert_allclose(rows.intercept_, features.intercept_, atol=1e-7)
    restored = Ridge()
    restored.n_features_in_ = 100
    for name in Ridge._FITTED:
        setattr(restored, name, getattr(rows, name))
    np.testing.assert_allclose(restored.predict(X_new), prediction, atol=1e-8)


def test_one_response_vector_equals_one_column(problem):
    X, y = problem
    vector, column = Ridge(ALPHAS).fit(X, y[:, 0]), Ridge(ALPHAS).fit(X, y[:, :1])
    np.testing.assert_array_equal(vector.predict(X), column.predict(X)[:, 0])
    assert vector.coef_.shape == (12,)
    assert vector.cv_error_.shape == (6,)
    np.testing.assert_array_equal(vector.cv_error_, column.cv_error_[:, 0])
    assert np.isscalar(vector.score(X, y[:, 0]))


def test_float32_stays_float32_and_agrees(problem):
    X, y = problem
    single = Ridge(ALPHAS).fit(X.astype("f4"), y.astype("f4"))
    assert single.predict(X.astype("f4")).dtype == np.float32
    np.testing.assert_array_equal(single.alpha_, Ridge(ALPHAS).fit(X, y).alpha_)
    np.testing.assert_allclose(single.predict(X), Ridge(ALPHAS).fit(X, y).predict(X), rtol=1e-3, atol=1e-3)


def test_test_rows_never_touch_the_fit(problem):
    X, y = problem
    fitted = Ridge(ALPHAS).fit(X[:40], y[:40])
    before = fitted.predict(X[40:])
    together = fitted.predict(np.vstack([X[40:], 1e3 * X[40:]]))
    np.testing.assert_array_equal(together[:20], before)
    np.testing.assert_array_equal(fitted.coef_, Ridge(ALPHAS).fit(X[:40], y[:40]).coef_)


def test_noise_never_predicts_left_out_rows(rng):
    X, y = rng.normal(size=(200, 500)), rng.normal(size=(200, 40))
    scores = Ridge().fit(X[:150], y[:150]).score(X[150:], y[150:])
    assert -0.2 < scores.mean() < 0.01


def test_groups_keep_repeats_together(rng):
    stimulus = np.repeat(np.arange(30), 4)
    X, y = rng.normal(size=(30, 200))[stimulus], rng.normal(size=(30, 3))[stimulus]
    y = y + 0.1 * rng.normal(size=y.shape)
    order = rng.permutation(len(X))
    leaking = Ridge(ALPHAS).fit(X[order], y[order])
    grouped = Ridge(ALPHAS).fit(X[order], y[order], groups=stimulus[order])
    explicit = Ridge(ALPHAS, cv=list(GroupKFold(5).split(X[order], groups=stimulus[order])))
    np.testing.assert_array_equal(grouped.cv_error_, explicit.fit(X[order], y[order]).cv_error_)
    counted = Ridge(ALPHAS, cv=np.int64(5)).fit(X[order], y[order], groups=stimulus[order])
    np.testing.assert_array_equal(grouped.cv_error_, counted.cv_error_)
    # Repeats on both sides of a fold let the noise features look predictive.
    assert leaking.cv_error_.min(0).max() < 0.1
    assert grouped.cv_error_.min(0).min() > 0.3


def test_constant_neuroid_and_feature(problem):
    X, y = problem
    X = np.column_stack([X, np.full(60, 0.1)])
    y = np.column_stack([y, np.full(60, 7.0)])
    fitted = Ridge(ALPHAS).fit(X, y)
    np.testing.assert_allclose(fitted.coef_[-1], 0, atol=1e-9)
    np.testing.assert_allclose(fitted.predict(X)[:, -1], 7.0)
    assert fitted.score(X, y)[-1] == 0


def test_the_builder_passes_options_and_refuses_others(problem):
    X, y = problem
    features = xr.DataArray(X, dims=("stimulus", "feature"))
    data = xr.DataArray(y, dims=("stimulus", "neuroid"))
    built = make_ridge(features, data, seed=3, device="cpu", alphas=[1.0, 10.0], standardise=False)
    assert built.get_params() == Ridge([1.0, 10.0], standardise=False).get_params()
    assert all(isinstance(getattr(built.fit(X, y), name), np.ndarray) for name in Ridge._FITTED)
    with pytest.raises(TypeError, match="penalty"):
        make_ridge(features, data, penalty=1.0)


def test_columns_at_a_time_change_nothing(problem, monkeypatch):
    X, y = problem
    whole = Ridge(ALPHAS).fit(X, y)
    scores = whole.score(X, y)
    monkeypatch.setattr(fitting, "_SLAB_BYTES", 8 * len(X))
    parts = Ridge(ALPHAS).fit(X, y)
    np.testing.assert_allclose(parts.coef_, whole.coef_)
    np.testing.assert_allclose(parts.score(X, y), scores)
    with pytest.raises(ValueError, match="shape"):
        parts.score(X, y[:, :3])


def test_input_is_left_as_it_came(problem):
    X, y = problem
    before = X.copy(), y.copy()
    for standardise in (True, False):
        Ridge(ALPHAS, standardise=standardise).fit(X, y)
        np.testing.assert_array_equal(X, before[0])
        np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alphas": [1.0, -2.0]}, "alphas must be positive, got -2.0"),
        ({"alphas": []}, "alphas must be positive, got none"),
        (
            {"alphas": [[1, 2]]},
            r"alphas must have 0 or 1 dimension\(s\), got shape \(1, 2\); pass one penalty",
        ),
        ({"alphas": [1.0, np.inf]}, "alphas must be finite"),
        ({"cv": 1}, "cv must be between 2 and the 60 rows, got 1"),
        ({"cv": 1.5}, "cv must be a number of folds, a splitter or pairs .* got 1.5; pass for example 5"),
        ({"cv": "5"}, "cv must be a number of folds, a splitter or pairs .* got '5'"),
        ({"cv": True}, "cv must be a number of folds, a splitter or pairs .* got True"),
        ({"standardise": "space"}, "standardise must be True or False, got 'space'; only BandedRidge"),
        ({"method": "svd"}, "method must be 'auto', 'primal' or 'dual', got 'svd'"),
    ],
)
def test_bad_parameters(problem, change, words):
    with pytest.raises(ValueError, match=words):
        Ridge(**change).fit(*problem)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_unknown_device(problem, device):
    pytest.importorskip("torch")
    with pytest.raises(
        ValueError, match=f"device must be 'cpu' or a torch device .* got '{device}'; pass 'cpu'"
    ):
        Ridge(device=device).fit(*problem)


def test_bad_data(problem):
    X, y = problem
    with pytest.raises(ValueError, match="NaN"):
        Ridge().fit(X, np.where(y > 3, np.nan, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Ridge().fit(X[:50], y)
    with pytest.raises(ValueError, match="between 2 and the 3 groups"):
        Ridge().fit(X, y, groups=np.arange(60) % 3)
