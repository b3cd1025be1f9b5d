"""The estimator: scikit-learn's contract, equality with ridge, splitting of predictions, and no leakage."""

import numpy as np
import pytest
import xarray as xr
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis import catalog
from neurovis.core import Encoder
from neurovis.encoding.banded import BandedRidge, make_banded_ridge
from neurovis.encoding.ridge import Ridge
from neurovis.encoding.storage import read_encoder, write_encoder

ALPHAS = np.logspace(-1, 4, 6)
SPACES = np.repeat(["b", "a", "b", "c"], [4, 5, 3, 30])


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(80, 42)) * np.logspace(-1, 1, 42) + 2
    Z = X / X.std(0)
    y = Z[:, 4:9] @ rng.normal(size=(5, 6)) + 0.5 * Z[:, :4] @ rng.normal(size=(4, 6))
    return X, y + rng.normal(size=y.shape) + 3


@parametrize_with_checks([BandedRidge(), BandedRidge(alphas=1.0, standardise="space")])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_an_encoder():
    assert isinstance(BandedRidge(), Encoder)


@pytest.mark.parametrize("method", ["auto", "primal", "dual"])
def test_one_space_is_ridge(problem, method):
    X, y = problem
    ours, ridge = BandedRidge(alphas=ALPHAS, method=method).fit(X, y), Ridge(ALPHAS, method=method).fit(X, y)
    np.testing.assert_array_equal(ours.alpha_, ridge.alpha_)
    np.testing.assert_allclose(ours.predict(X), ridge.predict(X), rtol=1e-9)
    np.testing.assert_allclose(ours.cv_error_, ridge.cv_error_.min(0), rtol=1e-9)
    np.testing.assert_allclose(ours.deltas_, -np.log(ridge.alpha_)[None])


def test_the_even_mixture_is_ridge_over_all_features(problem):
    X, y = problem
    ours = BandedRidge(SPACES, alphas=ALPHAS, mixtures=np.ones((1, 3)), n_refinements=0).fit(X, y)
    ridge = Ridge(3 * ALPHAS).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), ridge.predict(X), rtol=1e-9)
    np.testing.assert_allclose(np.exp(-ours.deltas_), np.tile(ridge.alpha_, (3, 1)))


def test_contributions_and_intercept_are_the_prediction(problem):
    X, y = problem
    fitted = BandedRidge(SPACES, alphas=ALPHAS).fit(X, y)
    parts = fitted.predict(X, split=True)
    assert parts.shape == (3, 80, 6)
    assert fitted.space_names_ == ["b", "a", "c"]
    np.testing.assert_allclose(parts.sum(0) + fitted.intercept_, fitted.predict(X), rtol=1e-9)
    own = SPACES == "a"
    np.testing.assert_allclose(parts[1], X[:, own] @ fitted.coef_[own], rtol=1e-12)
    np.testing.assert_allclose(fitted.gamma_.sum(0), 1)
    np.testing.assert_allclose(fitted.score(X, y), 1 - ((y - fitted.predict(X)) ** 2).mean(0) / y.var(0))


def test_one_response_vector_equals_one_column(problem):
    X, y = problem
    vector, column = (BandedRidge(SPACES, alphas=ALPHAS).fit(X, part) for part in (y[:, 0], y[:, :1]))
    np.testing.assert_array_equal(vector.predict(X), column.predict(X)[:, 0])
    assert vector.predict(X, split=True).shape == (3, 80)
    assert vector.deltas_.shape == (3,)
    assert np.isscalar(vector.score(X, y[:, 0]))


def test_useless_space_is_turned_down(problem):
    X, y = problem
    fitted = BandedRidge(SPACES, alphas=ALPHAS).fit(X, y)
    b, a, c = fitted.gamma_
    assert (c < 0.5 * np.maximum(a, b)).all()
    assert (a > b).mean() > 0.5


def test_scales_are_of_features_or_of_spaces(problem):
    X, y = problem
    options = {"alphas": ALPHAS, "mixtures": np.ones((1, 3)), "n_refinements": 0}
    sizes = np.where(SPACES == "b", 100.0, 0.01)
    for how, same in ((True, True), ("space", True), (False, False)):
        plain, scaled = (
            BandedRidge(SPACES, standardise=how, **options).fit(Z, y).predict(Z) for Z in (X, X * sizes)
        )
        assert np.allclose(plain, scaled, rtol=1e-6) == same
    flat = np.column_stack([X, np.full(80, 0.1)])
    constant = BandedRidge([*SPACES, "c"], standardise="space", **options).fit(flat, y)
    np.testing.assert_allclose(constant.coef_[-1], 0, atol=1e-9)


def test_test_rows_never_touch_the_fit(problem):
    X, y = problem
    fitted = BandedRidge(SPACES, alphas=ALPHAS).fit(X[:50], y[:50])
    together = fitted.predict(np.vstack([X[50:], 1e3 * X[50:]]))
    np.testing.assert_array_equal(together[:30], fitted.predict(X[50:]))


def test_groups_keep_repeats_together(rng):
    stimulus = rng.permutation(np.repeat(np.arange(20), 4))
    X, y = rng.normal(size=(20, 60))[stimulus], rng.normal(size=(20, 3))[stimulus]
    spaces = np.repeat([0, 1], 30)
    leaking = BandedRidge(spaces, alphas=ALPHAS).fit(X, y)
    grouped = BandedRidge(spaces, alphas=ALPHAS).fit(X, y, groups=stimulus)
    assert leaking.cv_error_.max() < 0.05 * y.var()
    assert grouped.cv_error_.min() > 0.3


def test_builder_takes_spaces_then_layers(problem):
    X, y = problem
    features = xr.DataArray(X, dims=("stimulus", "feature"), coords={"layer": ("feature", SPACES)})
    build = catalog.encoders.load("banded-ridge")
    assert build is make_banded_ridge
    encoder = build(features, None, seed=3, alphas=[1.0, 10.0], mixtures=4)
    assert encoder.fit(X, y).space_names_ == ["b", "a", "c"]
    both = features.assign_coords(space=("feature", np.repeat(["x", "y"], 21)))
    assert build(both, None).fit(X, y).space_names_ == ["x", "y"]
    with pytest.raises(ValueError, match="'space' or 'layer' along 'feature'"):
        build(features.drop_vars("layer"), None)
    with pytest.raises(TypeError, match="penalty"):
        build(features, None, penalty=3)


def test_storage_keeps_what_prediction_needs(problem, tmp_path):
    X, y = problem
    fitted = BandedRidge(SPACES, alphas=ALPHAS, mixtures=np.eye(3), n_refinements=0).fit(X, y)
    ids = [f"v{i}" for i in range(6)]
    read = read_encoder(write_encoder(fitted, tmp_path / "e.safetensors", neuroid_ids=ids), neuroid_ids=ids)
    np.testing.assert_array_equal(read.predict(X, split=True), fitted.predict(X, split=True))
    np.testing.assert_array_equal(read.deltas_, fitted.deltas_)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spaces": SPACES[1:]}, "one entry for each of the 42 features, got shape .41,."),
        ({"standardise": "feature"}, "standardise must be True, False or 'space', got 'feature'"),
        ({"mixtures": -1}, "mixtures must be a whole number of at least 0, got -1; 20 suit 3 spaces"),
        ({"mixtures": 2.5}, "mixtures must be a whole number of at least 0, got 2.5"),
        ({"n_refinements": -3}, "n_refinements must be a whole number of at least 0, got -3; 0 keeps"),
        ({"mixtures": np.eye(2)}, "mixtures must have shape .any, 3."),
        ({"alphas": [1.0, -2.0]}, "alphas must be positive, got -2.0"),
        ({"cv": 1}, "cv must be between 2 and the 80 rows, got 1"),
        ({"method": "svd"}, "method must be 'auto', 'primal' or 'dual', got 'svd'"),
    ],
)
def test_bad_parameters(problem, change, words):
    with pytest.raises(ValueError, match=words):
        BandedRidge(**({"spaces": SPACES} | change)).fit(*problem)
