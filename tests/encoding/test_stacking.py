"""Stacked ridges: scikit-learn's contract, SLSQP per neuroid, and the bound by the best single space."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.core import Encoder
from neurovis.encoding.ridge import Ridge
from neurovis.encoding.stacking import Stacked, make_stacked, solve_simplex
from neurovis.encoding.storage import read_encoder, write_encoder

ALPHAS = np.logspace(-1, 4, 6)
SPACES = np.array(["b"] * 6 + ["a"] * 5 + ["c"] * 8)


@pytest.fixture
def problem(rng):
    """Neuroids of one space, of two, of all and of none."""
    X = rng.normal(size=(90, 19)) * 3 + 1
    mixture = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]])
    names = np.array(["b", "a", "c"])
    share = mixture[:, (SPACES[:, None] == names).argmax(1)].T
    return X, X @ (share * rng.normal(size=(19, 5))) + 4 * rng.normal(size=(90, 5)) + 2


def make_products(rng, n, k, n_rows=12):
    errors = rng.normal(size=(n, n_rows, k)) + 2 * rng.normal(size=(n, n_rows, 1))
    return np.einsum("vrk,vrl->vkl", errors, errors) / n_rows


def solve_slowly(products):
    k = len(products)
    found = minimize(
        lambda w: w @ products @ w,
        np.full(k, 1 / k),
        jac=lambda w: 2 * products @ w,
        method="SLSQP",
        bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(k)},
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return found.x


@parametrize_with_checks([Stacked()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_an_encoder():
    assert isinstance(Stacked(), Encoder)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_simplex_equals_slsqp(k, rng):
    products = make_products(rng, 25, k)
    weights = solve_simplex(products)
    expected = np.array([solve_slowly(p) for p in products]).T
    np.testing.assert_allclose(weights, expected, atol=2e-5)
    if k == 5:
        assert (weights == 0).any()
        assert ((weights > 0).sum(axis=0) > 1).any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 12), n_rows=st.integers(1, 15))
def test_simplex_is_optimal_also_where_spaces_agree(seed, k, n_rows):
    rng = np.random.default_rng(seed)
    products = make_products(rng, 4, k, n_rows)
    products[0] = 0
    products[1] = products[1, 0, 0]
    weights = solve_simplex(products)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert weights.min() >= 0
    slope = np.einsum("vkl,lv->vk", products, weights)
    value = np.einsum("kv,vk->v", weights, slope)
    single = np.diagonal(products, axis1=1, axis2=2).min(axis=1)
    assert (value <= single * (1 + 1e-12)).all()
    # No vertex lies downhill: the gap bounds how far the value is from the least.
    gap = value - slope.min(axis=1)
    assert (gap <= 1e-6 * np.trace(products, axis1=1, axis2=2)).all()


def test_equals_a_slow_stack(problem):
    X, y = problem
    ours = Stacked(SPACES, alphas=ALPHAS).fit(X, y)
    assert ours.space_names_ == ["b", "a", "c"]
    scaled = X / X.std(axis=0)
    for neuroid in range(y.shape[1]):
        held_out, fitted = [], []
        for name in ours.space_names_:
            part = scaled[:, name == SPACES]
            predicted = [
                cross_val_predict(SklearnRidge(alpha), part, y[:, neuroid], cv=KFold(5)) for alpha in ALPHAS
            ]
            best = int(np.argmin([((y[:, neuroid] - p) ** 2).sum() for p in predicted]))
            held_out.append(y[:, neuroid] - predicted[best])
            fitted.append(SklearnRidge(ALPHAS[best]).fit(part, y[:, neuroid]).predict(part))
        errors = np.array(held_out)
        weights = solve_slowly(errors @ errors.T / len(y))
        np.testing.assert_allclose(ours.space_error_[:, neuroid], (errors**2).mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(ours.weights_[:, neuroid], weights, atol=1e-4)
        np.testing.assert_allclose(ours.cv_error_[neuroid], ((weights @ errors) ** 2).mean(), rtol=1e-6)
        np.testing.assert_allclose(ours.predict(X)[:, neuroid], weights @ np.array(fitted), atol=1e-2)


@pytest.mark.parametrize("seed", range(5))
def test_never_worse_than_the_best_space_and_finds_the_planted_ones(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 19))
    alone, both = X[:, SPACES == "a"].sum(1), X[:, SPACES != "c"].sum(1)
    y = np.column_stack([alone, both, np.zeros(200)]) + rng.normal(size=(200, 3))
    ours = Stacked(SPACES, alphas=ALPHAS).fit(X, y)
    assert (ours.cv_error_ <= ours.space_error_.min(axis=0) * (1 + 1e-12)).all()
    assert ours.weights_[1, 0] > 0.9
    assert ours.cv_error_[1] < 0.8 * ours.space_error_[:, 1].min()
    assert ours.weights_[2, :2].max() < 0.1


def test_one_space_is_a_ridge(problem):
    X, y = problem
    ours, ridge = Stacked(alphas=ALPHAS).fit(X, y), Ridge(ALPHAS).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), ridge.predict(X))
    np.testing.assert_allclose(ours.cv_error_, ridge.cv_error_.min(axis=0))


def test_one_response_vector_float32_and_groups(problem):
    X, y = problem
    whole = Stacked(SPACES, alphas=ALPHAS).fit(X, y)
    vector = Stacked(SPACES, alphas=ALPHAS).fit(X, y[:, 0])
    np.testing.assert_allclose(vector.predict(X), whole.predict(X)[:, 0])
    assert vector.weights_.shape == (3,)
    assert np.isscalar(vector.score(X, y[:, 0]))
    single = Stacked(SPACES, alphas=ALPHAS).fit(X.astype("f4"), y.astype("f4"))
    assert single.predict(X.astype("f4")).dtype == np.float32
    np.testing.assert_allclose(single.predict(X), whole.predict(X), atol=1e-2)
    stimulus = np.arange(90) % 30
    grouped = Stacked(SPACES, alphas=ALPHAS).fit(X, y, groups=stimulus)
    assert not np.allclose(grouped.cv_error_, whole.cv_error_)


def test_round_trip(problem, tmp_path):
    X, y = problem
    fitted = Stacked(SPACES, alphas=ALPHAS).fit(X, y)
    read = read_encoder(write_encoder(fitted, tmp_path / "a.safetensors", neuroid_ids=list("abcde")))
    np.testing.assert_array_equal(read.predict(X), fitted.predict(X))
    assert read.space_names_ == ["b", "a", "c"]


def test_builder_and_messages(problem):
    X, y = problem
    features = xr.DataArray(
        X, dims=("stimulus", "feature"), coords={"space": ("feature", SPACES), "layer": ("feature", SPACES)}
    )
    fitted = make_stacked(features, None, seed=2, alphas=[1.0, 10.0]).fit(X, y)
    assert fitted.space_names_ == ["b", "a", "c"]
    with pytest.raises(ValueError, match="features must have the coordinate 'space' or 'layer'"):
        make_stacked(features.drop_vars(["space", "layer"]), None)
    with pytest.raises(TypeError, match="bands"):
        make_stacked(features, None, bands=3)
    with pytest.raises(ValueError, match="spaces must have one entry for each of the 19 features"):
        Stacked(SPACES[1:]).fit(X, y)
    with pytest.raises(ValueError, match="cv must be between 2 and the 90 rows"):
        Stacked(SPACES, cv=100).fit(X, y)
    with pytest.raises(ValueError, match="products must be finite"):
        solve_simplex(np.full((1, 2, 2), np.nan))
