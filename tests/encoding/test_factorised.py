"""The factorised encoder: scikit-learn's contract, and a map and weights that were planted."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.core import Encoder
from neurovis.datasets.simulated.routing import make_routing_world
from neurovis.encoding.factorised import Factorised, make_factorised
from neurovis.encoding.storage import read_encoder, write_encoder

torch = pytest.importorskip("torch")

CHANNEL, ROW, COLUMN = (entries.ravel() for entries in np.indices((6, 3, 4)))
PLACES = {"rows": ROW, "columns": COLUMN, "channels": CHANNEL}


@pytest.fixture(scope="module")
def planted():
    """Two regions, each with its map over places; neuroids differ in their weights on channels."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 6, 12))
    maps = np.zeros((2, 12))
    maps[0, [1, 2]] = 0.5
    maps[1, 11] = 1.0
    pooled = np.einsum("ncp,rp->rnc", X, maps)
    y = np.concatenate([part @ rng.normal(size=(6, 4)) for part in pooled], axis=1)
    y = y / y.std(0) + 0.5 * rng.normal(size=y.shape)
    regions = np.repeat(["first", "second"], 4)
    encoder = Factorised(**PLACES, regions=regions, n_epochs=15, learning_rate=0.1)
    return encoder.fit(X.reshape(500, -1)[:400], y[:400]), X.reshape(500, -1), y, maps


@parametrize_with_checks([Factorised(n_epochs=3)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_is_an_encoder():
    assert isinstance(Factorised(), Encoder)


def test_planted_maps_are_found(planted):
    encoder, X, y, maps = planted
    attention = encoder.attend(X[:3])
    np.testing.assert_array_equal(attention[0], attention[2])
    for found, true in zip(attention[0].values, maps, strict=True):
        assert found[true > 0].sum() > 0.8
    assert encoder.score(X[400:], y[400:]).min() > 0.7


def test_prediction_is_a_map_times_weights(planted):
    encoder, X, _, _ = planted
    state, queries = encoder.state_, encoder.queries_
    tokens = (X.reshape(500, 6, 12) - state["token_mean"][:, None]) / state["token_scale"][:, None]
    odds = np.exp(state["selector.logits"])
    pooled = np.einsum("ncp,qp->qnc", tokens, odds / odds.sum(1, keepdims=True))
    order = np.argsort(queries["pattern"], kind="stable")
    for row, v in enumerate(order):
        query = queries["mixing"][queries["pattern"][v]].argmax()
        z = pooled[query] @ state["readout.weight"][row] + state["readout.bias"][row]
        expected = z * state["response_scale"][v] + state["response_mean"][v]
        np.testing.assert_allclose(encoder.predict(X)[:, v], expected, atol=1e-5)


def test_every_neuroid_may_have_its_own_map(planted):
    _, X, y, _ = planted
    encoder = Factorised(**PLACES, queries="neuroid", n_epochs=15, learning_rate=0.1).fit(X[:400], y[:400])
    found = encoder.attend(X[:1])[0].values
    assert found.shape == (8, 12)
    assert found[4:, 11].min() > 0.5
    assert encoder.score(X[400:], y[400:]).min() > 0.5


def test_builder_and_round_trip(tmp_path):
    world = make_routing_world(seed=0, n_train=40, n_test=2, n_neuroids=2)
    encoder = make_factorised(world.features, world.data, seed=2, n_epochs=2)
    assert encoder.seed == 2
    X = world.features.values
    encoder.fit(X, world.data.values)
    ids = world.data["neuroid_id"].values
    read = read_encoder(write_encoder(encoder, tmp_path / "a.safetensors", neuroid_ids=ids), neuroid_ids=ids)
    np.testing.assert_array_equal(read.predict(X), encoder.predict(X))
    with pytest.raises(TypeError, match="n_heads"):
        make_factorised(world.features, world.data, n_heads=2)
