"""Choice of a layer: scikit-learn's contract, a slow search, planted layers and no leakage."""

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.core import Encoder
from neurovis.encoding.best_layer import BestLayer, make_best_layer
from neurovis.encoding.labels import number_labels
from neurovis.encoding.ridge import Ridge
from neurovis.encoding.storage import read_encoder, write_encoder
from neurovis.metrics.regression import pearson_r

ALPHAS = np.logspace(-1, 4, 6)
LAYERS = np.array(["conv1", "conv2", "fc"])[[1] * 6 + [0] * 4 + [2] * 9]
NAMES = ["conv2", "conv1", "fc"]


def plant(seed, *, n=120, n_neuroids=30, noise=1.0):
    """Features, responses and the layer behind each neuroid."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, len(LAYERS))) * np.logspace(-1, 1, len(LAYERS))
    layer = rng.integers(3, size=n_neuroids)
    weights = rng.normal(size=(len(LAYERS), n_neuroids)) * (np.array(NAMES)[layer] == LAYERS[:, None])
    signal = (X / X.std(0)) @ weights
    return X, signal / signal.std(0) + noise * rng.normal(size=signal.shape), layer


@parametrize_with_checks([BestLayer()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_an_encoder():
    assert isinstance(BestLayer(), Encoder)


@pytest.mark.parametrize("seed", range(5))
def test_the_planted_layer_is_found(seed):
    X, y, layer = plant(seed)
    fitted = BestLayer(LAYERS, alphas=ALPHAS).fit(X, y)
    assert fitted.layer_names_ == NAMES
    np.testing.assert_array_equal(fitted.layer_, layer)
    assert {name: weights.shape[0] for name, weights in fitted.coef_.items()} == {
        "conv2": 6,
        "conv1": 4,
        "fc": 9,
    }


def test_equals_a_loop_over_layers_and_neuroids():
    X, y, _ = plant(0, n=60, n_neuroids=6, noise=2.0)
    ours = BestLayer(LAYERS, alphas=ALPHAS).fit(X, y)
    for neuroid in range(6):
        searches = []
        for name in NAMES:
            part = X[:, name == LAYERS] / X[:, name == LAYERS].std(0)
            search = RidgeCV(ALPHAS, cv=KFold(5), scoring="neg_mean_squared_error")
            searches.append((search.fit(part, y[:, neuroid]), part))
        # Folds are of one size, so that the mean over folds is the mean over rows.
        errors = [-search.best_score_ for search, _ in searches]
        np.testing.assert_allclose(ours.layer_error_[:, neuroid], errors)
        search, part = searches[int(np.argmin(errors))]
        assert ours.layer_[neuroid] == np.argmin(errors)
        assert ours.alpha_[neuroid] == search.alpha_
        np.testing.assert_allclose(ours.predict(X)[:, neuroid], search.predict(part))


def test_rows_to_be_predicted_choose_nothing():
    X, y, _ = plant(1, noise=3.0)
    fitted = BestLayer(LAYERS, alphas=ALPHAS).fit(X[:80], y[:80])
    before = fitted.predict(X[80:])
    np.testing.assert_array_equal(fitted.predict(np.vstack([X[80:], 1e3 * X[80:]]))[:40], before)


@pytest.mark.parametrize("seed", range(3))
def test_many_layers_of_noise_do_not_predict_held_out_rows(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(200, 300)), rng.normal(size=(200, 60))
    layers = np.repeat(np.arange(30), 10)
    fitted = BestLayer(layers, alphas=ALPHAS).fit(X[:120], y[:120])
    assert abs(pearson_r(y[120:], fitted.predict(X[120:])).mean()) < 0.05
    # Each layer's score on the rows to be predicted, the choice that this class is there to prevent.
    scores = []
    for layer in range(30):
        part = X[:, layers == layer]
        scores.append(pearson_r(y[120:], Ridge(ALPHAS).fit(part[:120], y[:120]).predict(part[120:])))
    assert np.max(scores, axis=0).mean() > 0.15


def test_one_layer_is_a_ridge():
    X, y, _ = plant(2)
    ours, ridge = BestLayer(alphas=ALPHAS).fit(X, y), Ridge(ALPHAS).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), ridge.predict(X))
    np.testing.assert_array_equal(ours.alpha_, ridge.alpha_)


def test_one_response_vector_float32_and_groups():
    X, y, _ = plant(3)
    whole = BestLayer(LAYERS, alphas=ALPHAS).fit(X, y)
    vector = BestLayer(LAYERS, alphas=ALPHAS).fit(X, y[:, 0])
    np.testing.assert_allclose(vector.predict(X), whole.predict(X)[:, 0])
    assert vector.layer_ == whole.layer_[0]
    np.testing.assert_allclose(vector.layer_error_, whole.layer_error_[:, 0])
    assert np.isscalar(vector.score(X, y[:, 0]))
    single = BestLayer(LAYERS, alphas=ALPHAS).fit(X.astype("f4"), y.astype("f4"))
    assert single.predict(X.astype("f4")).dtype == np.float32
    np.testing.assert_allclose(single.predict(X), whole.predict(X), atol=1e-2)
    grouped = BestLayer(LAYERS, alphas=ALPHAS).fit(X, y, groups=np.arange(120) % 40)
    assert not np.allclose(grouped.layer_error_, whole.layer_error_)


def test_round_trip(tmp_path):
    X, y, _ = plant(4, n_neuroids=2)
    for responses, ids in ((y, ["a", "b"]), (y[:, 0], ["a"])):
        fitted = BestLayer(LAYERS, alphas=ALPHAS).fit(X, responses)
        read = read_encoder(write_encoder(fitted, tmp_path / "a.safetensors", neuroid_ids=ids))
        np.testing.assert_array_equal(read.predict(X), fitted.predict(X))
        assert read.layer_names_ == NAMES


def test_builder_and_messages():
    X, y, _ = plant(5)
    space = np.where(np.arange(len(LAYERS)) < 8, "first", "second")
    features = xr.DataArray(
        X, dims=("stimulus", "feature"), coords={"layer": ("feature", LAYERS), "space": ("feature", space)}
    )
    fitted = make_best_layer(features, None, seed=2, alphas=[1.0, 10.0]).fit(X, y)
    assert fitted.layer_names_ == ["first/conv2", "first/conv1", "second/conv1", "second/fc"]
    one = make_best_layer(features.drop_vars("space"), None).fit(X, y)
    assert one.layer_names_ == NAMES
    with pytest.raises(ValueError, match="features must have the coordinate 'layer' or 'space'"):
        make_best_layer(features.drop_vars(["space", "layer"]), None)
    with pytest.raises(TypeError, match="depth"):
        make_best_layer(features, None, depth=3)
    with pytest.raises(ValueError, match="layers must have one entry for each of the 19 features"):
        BestLayer(LAYERS[1:]).fit(X, y)


def test_labels_are_numbered_in_their_order():
    names, numbers = number_labels([3, 1, 3, 2], 4, parameter="layers")
    assert names == [3, 1, 2]
    np.testing.assert_array_equal(numbers, [0, 1, 0, 2])
    assert number_labels(None, 2, parameter="layers")[0] == ["all"]
