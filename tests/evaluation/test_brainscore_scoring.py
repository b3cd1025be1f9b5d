"""The real metrics on our data: the rotation is lossless, a perfect model reaches 1, caches stay fresh."""

import numpy as np
import pytest
import xarray as xr

from neurovis.core import make_neural_data
from neurovis.evaluation.brainscore import prepare_brainscore
from neurovis.evaluation.brainscore_scoring import rotate_features, score_brainscore

pytest.importorskip("botocore", reason="Brain-Score is not installed; install the extra brainscore")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Brain-Score's own 2022 stack

N_STIMULI, N_FEATURES, N_NEUROIDS, N_REPEATS = 60, 150, 5, 4
IDS = [f"im{i:03d}" for i in range(N_STIMULI)]


@pytest.fixture(scope="module", autouse=True)
def _home():
    prepare_brainscore()


def make_features(values):
    return xr.DataArray(values, dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", IDS)})


def make_responses(signal, *, noise_sd, seed):
    rng = np.random.default_rng(seed)
    repeats = signal + noise_sd * rng.normal(size=(N_REPEATS, *signal.shape))
    return make_neural_data(
        repeats.reshape(-1, signal.shape[1]),
        rows="presentation",
        row_coords={
            "stimulus_id": IDS * N_REPEATS,
            "repeat": np.repeat(np.arange(N_REPEATS), N_STIMULI),
            "session": np.repeat(np.arange(N_REPEATS), N_STIMULI),
        },
        neuroid_coords={
            "neuroid_id": [f"v{i}" for i in range(signal.shape[1])],
            "subject": [("01", "02")[i % 2] for i in range(signal.shape[1])],
            "region": ["IT"] * signal.shape[1],
        },
        units="z",
        source="miniature",
    )


@pytest.fixture(scope="module")
def features():
    return make_features(np.random.default_rng(1).normal(size=(N_STIMULI, N_FEATURES)) + 3.0)


@pytest.fixture(scope="module")
def data(features):
    weights = np.random.default_rng(2).normal(size=(N_FEATURES, N_NEUROIDS)) / np.sqrt(N_FEATURES)
    return make_responses(features.values @ weights, noise_sd=0.7, seed=3)


def test_rotation_keeps_the_gram_matrix_of_centred_rows(rng):
    for shape in ((12, 40), (40, 12), (10, 10)):
        X = rng.normal(size=shape) * 100
        Z = rotate_features(X)
        centred = X - X.mean(axis=0)
        assert Z.shape == (shape[0], min(shape))
        np.testing.assert_allclose(Z @ Z.T, centred @ centred.T, atol=1e-8)


@pytest.mark.parametrize("metric", ["ridge", "pls", "ridgecv_split", "pls_split"])
def test_rotated_equals_unrotated(features, data, metric):
    test_ids = IDS[::4] if metric.endswith("split") else None
    fast, slow = (
        score_brainscore(features, data, metric=metric, test_ids=test_ids, rotate=rotate)
        for rotate in (True, False)
    )
    assert fast.raw == pytest.approx(slow.raw, abs=1e-9)
    assert fast.ceiling == slow.ceiling
    assert 0.1 < fast.raw < 1
    assert fast.n_stimuli == (15 if test_ids else N_STIMULI)


def test_a_perfect_model_reaches_the_ceiling_and_an_unrelated_one_does_not(rng):
    signal = rng.normal(size=(N_STIMULI, 6))
    data = make_responses(signal, noise_sd=1.0, seed=5)
    perfect = score_brainscore(make_features(signal), data, metric="ridge")
    assert perfect.ceiled == pytest.approx(1.0, abs=0.15)
    # The internal consistency of 4 repeats with unit noise is 1 / (1 + 1 / 4).
    assert perfect.ceiling == pytest.approx(0.8, abs=0.06)
    unrelated = score_brainscore(make_features(rng.normal(size=signal.shape)), data, metric="ridge")
    assert abs(unrelated.raw) < 0.35
    assert score_brainscore(make_features(signal), data, metric="cka").raw > 0.7
    rdm = score_brainscore(make_features(signal), data, metric="rdm")
    assert rdm.ceiled == pytest.approx(rdm.raw / rdm.ceiling)
    assert (
        rdm.raw
        > 0.2
        > abs(score_brainscore(make_features(rng.normal(size=(N_STIMULI, 6))), data, metric="rdm").raw)
    )


def test_no_ceiling_where_the_data_allow_none(features, data):
    uneven = data[:-1]
    result = score_brainscore(features, uneven, metric="ridge")
    assert np.isnan(result.ceiling)
    assert np.isnan(result.ceiled)


def test_bad_input_is_named(features, data):
    with pytest.raises(ValueError, match="test_ids must be given"):
        score_brainscore(features, data, metric="ridgecv_split")
    with pytest.raises(ValueError, match="at least 3 stimuli"):
        score_brainscore(features, data, metric="ridgecv_split", test_ids=["nothing"])
    with pytest.raises(ValueError, match="metric must be"):
        score_brainscore(features, data, metric="nonsense")
