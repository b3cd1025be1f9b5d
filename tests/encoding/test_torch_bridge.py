"""Encoders as torch modules predict what the estimators do, and pass gradients to the features."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from neurovis.encoding.banded import BandedRidge
from neurovis.encoding.best_layer import BestLayer
from neurovis.encoding.factorised import Factorised
from neurovis.encoding.fwrf import FeatureWeightedRF
from neurovis.encoding.ridge import Ridge
from neurovis.encoding.stacking import Stacked
from neurovis.encoding.storage import read_encoder, write_encoder
from neurovis.encoding.torch_bridge import to_torch
from neurovis.encoding.transformer import TransformerEncoder

SPACES = np.array(["a", "b", "a", "b", "b", "c"] * 4)
GRID = {
    "rows": np.repeat([0, 0, 1, 1], 6),
    "columns": np.repeat([0, 1, 0, 1], 6),
    "channels": np.tile(np.arange(6), 4),
}
REGIONS = {"regions": np.array(["V1", "V1", "FFA", "FFA", "PPA"]), "n_epochs": 2}
ENCODERS = {
    "ridge": lambda: Ridge(),
    "ridge, one penalty": lambda: Ridge(10.0, standardise=False, fit_intercept=False),
    "banded": lambda: BandedRidge(SPACES, mixtures=4, n_refinements=0),
    "stacked": lambda: Stacked(SPACES),
    "best layer": lambda: BestLayer(SPACES),
    "transformer": lambda: TransformerEncoder(**GRID, **REGIONS, n_heads=2, width=8),
    "factorised": lambda: Factorised(**GRID, **REGIONS),
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(2, 3, (60, 24))
    # Neuroids read other spaces, so that the best layer differs between them.
    weights = rng.normal(size=(24, 5)) * (SPACES[:, None] == np.array(["a", "b", "c", "a", "b"]))
    return X, X @ weights + rng.normal(size=(60, 5))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predicts_what_the_encoder_does(name, dtype, data):
    X, y = data
    encoder = ENCODERS[name]().fit(X, y)
    module = to_torch(encoder, dtype=dtype)
    features = torch.from_numpy(X[:7].astype(dtype)).requires_grad_(True)
    responses = module(features)
    expected = encoder.predict(X[:7].astype(dtype))
    np.testing.assert_allclose(responses.detach().numpy(), expected, rtol=1e-5, atol=1e-5 * y.std())
    (gradient,) = torch.autograd.grad(responses[:, 2].sum(), features)
    assert gradient.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.parametrize("name", ["ridge", "best layer", "transformer"])
def test_gradient_is_the_slope_of_predict(name, data):
    X, y = data
    encoder = ENCODERS[name]().fit(X, y)
    features = torch.from_numpy(X[:1]).requires_grad_(True)
    (gradient,) = torch.autograd.grad(to_torch(encoder, dtype="float64")(features)[0, 1], features)
    for column in (0, 3, 11):
        step = np.zeros_like(X[:1])
        step[0, column] = 1e-4
        slope = (encoder.predict(X[:1] + step) - encoder.predict(X[:1] - step))[0, 1] / 2e-4
        assert float(gradient[0, column]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_single_response_vector_is_one_neuroid(data):
    X, y = data
    for encoder in (Ridge(), BestLayer(SPACES)):
        encoder.fit(X, y[:, 0])
        responses = to_torch(encoder, dtype="float64")(torch.from_numpy(X))
        np.testing.assert_allclose(responses.numpy(), encoder.predict(X)[:, None], rtol=1e-9)


def test_weights_of_rows_are_formed(data):
    _, y = data
    few = np.random.default_rng(1).normal(size=(4, 400))
    encoder = Ridge(1.0).fit(few, np.repeat(y[:4], 100, axis=1))
    assert encoder.dual_coef_ is not None
    responses = to_torch(encoder, dtype="float64")(torch.from_numpy(few))
    np.testing.assert_allclose(responses.numpy(), encoder.predict(few), rtol=1e-6, atol=1e-9)


def test_holds_after_writing_and_reading(data, tmp_path):
    X, y = data
    encoder = BestLayer(SPACES).fit(X, y)
    path = write_encoder(encoder, tmp_path / "encoder.safetensors", neuroid_ids=[f"v{i}" for i in range(5)])
    read = to_torch(read_encoder(path), dtype="float64")(torch.from_numpy(X))
    assert torch.equal(read, to_torch(encoder, dtype="float64")(torch.from_numpy(X)))


def test_tells_what_it_cannot_do(data):
    X, y = data
    with pytest.raises(TypeError, match="got LinearRegression"):
        to_torch(LinearRegression().fit(X, y))
    with pytest.raises(TypeError, match="got FeatureWeightedRF"):
        to_torch(FeatureWeightedRF())
    with pytest.raises(NotFittedError):
        to_torch(Ridge())
    with pytest.raises(ValueError, match=r"features must have shape \(n, 24\), got \(2, 5\)"):
        to_torch(Ridge().fit(X, y))(torch.zeros(2, 5))
