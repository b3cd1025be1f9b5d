"""Feature-weighted receptive fields: scikit-learn's contract, a slow search, planted fields over seeds."""

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.core import Encoder
from neurovis.encoding.fwrf import FeatureWeightedRF, make_fwrf
from neurovis.encoding.receptive_fields import (
    compute_places,
    make_fields,
    make_layout,
    make_weights,
    pool_fields,
)
from neurovis.encoding.ridge import Ridge
from neurovis.encoding.storage import read_encoder, write_encoder
from neurovis.metrics.regression import pearson_r

SIZE = (8.0, 8.0)
SIDE, N_CHANNELS = 8, 5
ROWS, COLUMNS, CHANNELS = (
    index.ravel() for index in np.meshgrid(range(SIDE), range(SIDE), range(N_CHANNELS), indexing="ij")
)
PLACED = {"rows": ROWS, "columns": COLUMNS, "channels": CHANNELS, "size_dva": SIZE}
ALPHAS = np.logspace(0, 3, 4)
N_TRAIN = 240


def plant(seed, *, local=True, n_neuroids=20, noise=1.0):
    """Features, measured and true responses, true fields and channel weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2 * N_TRAIN, SIDE * SIDE * N_CHANNELS))
    fields = np.column_stack([rng.uniform(-3, 3, (n_neuroids, 2)), rng.uniform(0.7, 2.0, n_neuroids)])
    weights = rng.normal(size=(N_CHANNELS, n_neuroids))
    if local:
        x, y = compute_places(ROWS[::N_CHANNELS], COLUMNS[::N_CHANNELS], grid=(SIDE, SIDE), size_dva=SIZE)
        maps = X.reshape(len(X), -1, N_CHANNELS)
        signal = np.einsum("npc,vp,cv->nv", maps, make_weights(x, y, fields), weights, optimize=True)
    else:
        signal = X @ rng.normal(size=(X.shape[1], n_neuroids))
    signal /= signal.std(axis=0)
    return X, signal + noise * rng.normal(size=signal.shape), signal, fields, weights


@parametrize_with_checks([FeatureWeightedRF()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_an_encoder():
    assert isinstance(FeatureWeightedRF(), Encoder)


def test_without_places_it_is_a_ridge(rng):
    X, y = rng.normal(size=(60, 9)) * 3, rng.normal(size=(60, 4))
    ours, ridge = FeatureWeightedRF(alphas=ALPHAS).fit(X, y), Ridge(ALPHAS).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), ridge.predict(X))
    np.testing.assert_array_equal(ours.alpha_, ridge.alpha_)


def test_equals_a_slow_search(rng):
    X, y, *_ = plant(3, n_neuroids=4)
    X, y = X[:60], y[:60]
    ours = FeatureWeightedRF(**PLACED, n_positions=2, sigmas_dva=[1.0, 3.0], alphas=ALPHAS, cv=3).fit(X, y)
    layout = make_layout(X.shape[1], **PLACED)
    fields = make_fields(SIZE, n_positions=2, sigmas_dva=[1.0, 3.0])
    pooled = dict(pool_fields(X, layout, fields))
    for neuroid in range(4):
        searches = []
        for index in range(len(fields)):
            scaled = StandardScaler().fit_transform(pooled[index])
            error = np.zeros(len(ALPHAS))
            for train, test in KFold(3).split(scaled):
                for row, alpha in enumerate(ALPHAS):
                    fitted = SklearnRidge(alpha).fit(scaled[train], y[train, neuroid])
                    error[row] += ((fitted.predict(scaled[test]) - y[test, neuroid]) ** 2).sum() / len(X)
            searches.append(error)
        errors = np.array(searches)
        field, row = np.unravel_index(errors.argmin(), errors.shape)
        np.testing.assert_allclose(ours.field_error_[:, neuroid], errors.min(axis=1))
        assert (ours.x_dva_[neuroid], ours.y_dva_[neuroid], ours.sigma_dva_[neuroid]) == tuple(fields[field])
        assert ours.alpha_[neuroid] == ALPHAS[row]
        closed = make_pipeline(StandardScaler(), SklearnRidge(ALPHAS[row])).fit(pooled[field], y[:, neuroid])
        np.testing.assert_allclose(ours.predict(X)[:, neuroid], closed.predict(pooled[field]))


@pytest.mark.parametrize("seed", range(5))
def test_planted_fields_and_weights_are_found(seed):
    X, y, signal, fields, weights = plant(seed)
    ours = FeatureWeightedRF(**PLACED, alphas=[1.0, 100.0], cv=2).fit(X[:N_TRAIN], y[:N_TRAIN])
    distance = np.hypot(ours.x_dva_ - fields[:, 0], ours.y_dva_ - fields[:, 1])
    # Candidates lie 1 degree apart, so that the best one is 0.4 degrees away on average.
    assert np.median(distance) < 0.7
    assert np.median(np.abs(np.log2(ours.sigma_dva_ / fields[:, 2]))) < 0.6
    assert np.median(pearson_r(ours.coef_, weights)) > 0.97
    ridge = Ridge().fit(X[:N_TRAIN], y[:N_TRAIN])
    held_out = [pearson_r(signal[N_TRAIN:], model.predict(X[N_TRAIN:])).mean() for model in (ours, ridge)]
    assert held_out[0] > 0.88
    assert held_out[0] > held_out[1] + 0.25


@pytest.mark.parametrize("seed", range(5))
def test_where_the_truth_is_global_a_flat_ridge_is_better(seed):
    X, y, signal, *_ = plant(seed, local=False)
    ours = FeatureWeightedRF(**PLACED, alphas=ALPHAS, cv=2, n_positions=4).fit(X[:N_TRAIN], y[:N_TRAIN])
    ridge = Ridge().fit(X[:N_TRAIN], y[:N_TRAIN])
    held_out = [pearson_r(signal[N_TRAIN:], model.predict(X[N_TRAIN:])).mean() for model in (ours, ridge)]
    assert held_out[0] < held_out[1] - 0.2


def test_order_of_columns_and_dtype_do_not_matter(rng):
    X, y, *_ = plant(0, n_neuroids=5)
    X, y = X[:100], y[:100]
    options = {"alphas": ALPHAS, "cv": 3, "n_positions": 3, "size_dva": SIZE}
    ours = FeatureWeightedRF(ROWS, COLUMNS, CHANNELS, **options).fit(X, y)
    order = rng.permutation(X.shape[1])
    mixed = FeatureWeightedRF(ROWS[order], COLUMNS[order], CHANNELS[order], **options).fit(X[:, order], y)
    np.testing.assert_allclose(mixed.coef_, ours.coef_, atol=1e-12)
    single = FeatureWeightedRF(ROWS, COLUMNS, CHANNELS, **options).fit(X.astype("f4"), y.astype("f4"))
    assert single.predict(X.astype("f4")).dtype == np.float32
    np.testing.assert_allclose(single.predict(X), ours.predict(X), atol=1e-3)
    vector = FeatureWeightedRF(ROWS, COLUMNS, CHANNELS, **options).fit(X, y[:, 0])
    np.testing.assert_allclose(vector.predict(X), ours.predict(X)[:, 0])
    assert (vector.x_dva_, vector.sigma_dva_) == (ours.x_dva_[0], ours.sigma_dva_[0])
    np.testing.assert_allclose(vector.field_error_, ours.field_error_[:, 0])
    assert np.isscalar(vector.score(X, y[:, 0]))


def test_round_trip(tmp_path):
    X, y, *_ = plant(1, n_neuroids=3)
    fitted = FeatureWeightedRF(**PLACED, alphas=ALPHAS, n_positions=2).fit(X[:60], y[:60])
    path = write_encoder(fitted, tmp_path / "fwrf.safetensors", neuroid_ids=["a", "b", "c"])
    np.testing.assert_array_equal(read_encoder(path).predict(X), fitted.predict(X))


def test_builder_tells_channels_of_layers_apart(rng):
    coords = {"row": [0, 0, 0, 0, -1], "column": [0, 1, 0, 1, -1], "channel": [0, 0, 0, 0, -1]}
    features = xr.DataArray(
        rng.normal(size=(20, 5)),
        dims=("stimulus", "feature"),
        coords={
            **{name: ("feature", values) for name, values in coords.items()},
            "layer": ("feature", ["a", "a", "b", "b", "b"]),
        },
        attrs={"size_dva": np.array([4.0, 8.0])},
    )
    built = make_fwrf(features, None, seed=3, n_positions=2)
    fitted = built.fit(features.values, rng.normal(size=(20, 2)))
    assert fitted.coef_.shape == (3, 2)
    assert set(fitted.x_dva_) <= {-2.0, 2.0}
    with pytest.raises(ValueError, match="features must hold the coordinate channel for 'fwrf'"):
        make_fwrf(features.drop_vars("channel"), None)
    with pytest.raises(TypeError, match="n_places"):
        make_fwrf(features, None, n_places=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size_dva": None}, "size_dva must be given"),
        ({"n_positions": 0}, "n_positions must be at least 1"),
        ({"sigmas_dva": [-1.0]}, "sigmas_dva must be positive"),
        ({"cv": 1}, "cv must be between 2 and the 240 rows"),
        ({"channels": CHANNELS[1:]}, "channels must name the channel of each"),
    ],
)
def test_bad_parameters(change, words):
    X, y, *_ = plant(0, n_neuroids=2)
    with pytest.raises(ValueError, match=words):
        FeatureWeightedRF(**{**PLACED, **change}).fit(X[:N_TRAIN], y[:N_TRAIN])
