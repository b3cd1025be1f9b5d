"""Projection: what training decides, what a seed decides, and streams against whole arrays."""

import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA

from neurovis.core import FeatureExtractor
from neurovis.features import projection
from neurovis.features.cache import compute_feature_key, extract_cached
from neurovis.features.pixels import PixelFeatures
from neurovis.features.projection import RandomProjection, project_features


@pytest.fixture
def features(rng):
    """Sixty rows of forty features with a decaying spectrum."""
    values = rng.normal(size=(60, 40)) * 0.8 ** np.arange(40) @ np.linalg.qr(rng.normal(size=(40, 40)))[0]
    return xr.DataArray(
        (values + 3).astype(np.float32),
        dims=("stimulus", "feature"),
        coords={"stimulus_id": ("stimulus", [f"s{i:02d}" for i in range(60)])},
        attrs={"features": "net", "layer": "a", "size_dva": (8.0, 8.0)},
    )


def test_components_are_those_of_the_training_rows(features):
    train = list(features["stimulus_id"].values[10:50])
    made = project_features(features, train, n_components=5)
    x = features.values[10:50].astype(float)
    mean = x.mean(axis=0)
    _, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    expected = (features.values - mean) @ vt[:5].T
    np.testing.assert_allclose(np.abs(made), np.abs(expected), atol=2e-4)
    assert made.attrs["train_variance_share"] == pytest.approx((s[:5] ** 2).sum() / (s**2).sum(), rel=1e-4)
    assert made.attrs["n_train_rows"] == 40
    assert made.attrs["n_features_before"] == 40
    assert "size_dva" not in made.attrs
    assert list(made["stimulus_id"].values) == list(features["stimulus_id"].values)


def test_test_rows_change_nothing_but_themselves(features):
    train = list(features["stimulus_id"].values[:40])
    made = project_features(features, train, n_components=5)
    changed = features.copy(deep=True)
    changed.values[40:] *= 100
    again = project_features(changed, train, n_components=5)
    np.testing.assert_array_equal(again[:40], made[:40])
    assert not np.allclose(again[40:], made[40:])
    shuffled = project_features(features, train[::-1], n_components=5)
    np.testing.assert_array_equal(shuffled, made)
    assert shuffled.attrs == made.attrs


def test_streamed_components_approximate_the_exact_ones(features, monkeypatch):
    train = list(features["stimulus_id"].values)
    exact = project_features(features, train, n_components=4)
    monkeypatch.setattr(projection, "STREAM_BYTES", 0)
    monkeypatch.setattr(projection, "_BATCH_BYTES", 20 * 40 * 4)
    streamed = project_features(features, train, n_components=4)
    r = [abs(np.corrcoef(exact[:, k], streamed[:, k])[0, 1]) for k in range(4)]
    assert min(r) > 0.98
    assert streamed.attrs["train_variance_share"] == pytest.approx(
        exact.attrs["train_variance_share"], abs=0.01
    )


def test_joint_rows_of_movies_keep_their_times(features):
    run = features.rename(stimulus="time").assign_coords(time=np.arange(60.0))
    made = project_features(run, list(run["stimulus_id"].values), n_components=3)
    assert made.dims == ("time", "feature")
    np.testing.assert_array_equal(made["time"], run["time"])


def test_random_projection_keeps_distances_and_depends_on_seed_and_layer(rng):
    values = rng.normal(size=(12, 3000)).astype(np.float32)
    ids = ("stimulus", [str(i) for i in range(12)])
    wide = xr.DataArray(
        values, dims=("stimulus", "feature"), coords={"stimulus_id": ids}, attrs={"layer": "a"}
    )
    made = project_features(wide, None, method="sparse_random", n_components=1500)
    pairs = np.triu_indices(12, 1)
    before, after = (np.linalg.norm(x[pairs[0]] - x[pairs[1]], axis=1) for x in (values, made.values))
    # The standard deviation of a squared distance's ratio is sqrt(2 / n_components), 0.037.
    np.testing.assert_allclose((after / before) ** 2, 1, atol=5 * 0.037)
    same = project_features(wide[:3], None, method="sparse_random", n_components=1500)
    np.testing.assert_allclose(same, made[:3], atol=1e-4)
    for other in (
        project_features(wide, None, method="sparse_random", n_components=1500, seed=1),
        project_features(wide.assign_attrs(layer="b"), None, method="sparse_random", n_components=1500),
    ):
        assert np.abs(np.corrcoef(other.values.ravel(), made.values.ravel())[0, 1]) < 0.1


def test_projection_while_extracting_equals_projection_afterwards(noise_stimuli, tmp_path):
    inner = PixelFeatures(8, 6)
    extractor = RandomProjection(inner, n_components=64, seed=2)
    assert isinstance(extractor, FeatureExtractor)
    features = extract_cached(extractor, noise_stimuli, batch_size=3, root=tmp_path)
    whole = inner(noise_stimuli)
    # 64 grey pixels are no more than the components; 108 of colour are.
    np.testing.assert_array_equal(features["grey"], whole["grey"])
    expected = project_features(whole["colour"], None, method="sparse_random", n_components=64, seed=2)
    np.testing.assert_allclose(features["colour"], expected, atol=1e-5)
    assert features["colour"].attrs == expected.attrs
    keys = {
        compute_feature_key(e, noise_stimuli)
        for e in (inner, extractor, RandomProjection(inner, 65, 2), RandomProjection(inner, 64, 3))
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        (None, {"n_components": 3}, "train_ids must name the training stimuli"),
        (["s01", "x"], {"n_components": 1}, "got 1 others, the first is 'x'"),
        (["s01", "s02"], {"n_components": 3}, "from 1 to 2, the number of training rows and features, got 3"),
        (
            None,
            {"n_components": 41, "method": "sparse_random"},
            "from 1 to 40, the number of features, got 41",
        ),
        (["s01"], {"n_components": 1, "method": "ica"}, "method must be 'pca' or 'sparse_random', got 'ica'"),
    ],
)
def test_impossible_projections_are_refused(features, train, options, message):
    with pytest.raises(ValueError, match=message):
        project_features(features, train, **options)
    with pytest.raises(ValueError, match="n_components must be at least 1, got 0"):
        RandomProjection(PixelFeatures(), 0)


def test_components_agree_with_scikit_learn(features):
    train = list(features["stimulus_id"].values[:50])
    made = project_features(features, train, n_components=3)
    expected = PCA(3, svd_solver="full").fit(features.values[:50]).transform(features.values)
    np.testing.assert_allclose(made, expected, atol=1e-3)
