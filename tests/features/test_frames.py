"""Features of frames are the mean of the extractor's features over the frames in between."""

import numpy as np
import pandas as pd
import pytest

from neurovis.core import FeatureExtractor, StimulusSet
from neurovis.features.cache import compute_feature_key
from neurovis.features.frames import FrameFeatures
from neurovis.features.pixels import PixelFeatures


def make_set(folder, arrays, fps):
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    table = pd.DataFrame({"path": [f"{n}.npy" for n in arrays]}, pd.Index(list(arrays), name="stimulus_id"))
    return StimulusSet("s", table, folder, (4.0, 4.0), fps)


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_mean_over_evenly_spread_frames(tmp_path, rng, batch_size):
    movies = {name: rng.integers(0, 256, (9, 16, 16, 3), dtype=np.uint8) for name in "abcde"}
    extractor = FrameFeatures(PixelFeatures(), n_frames=3)
    assert isinstance(extractor, FeatureExtractor)
    found = extractor(make_set(tmp_path, movies, 10.0), batch_size=batch_size)
    # Three parts of three frames: the middle ones are 1, 4 and 7.
    frames = {f"{name}{t}": movie[t] for name, movie in movies.items() for t in (1, 4, 7)}
    images = PixelFeatures()(make_set(tmp_path, frames, None))
    for layer, array in images.items():
        expected = array.values.reshape(5, 3, -1).mean(1)
        np.testing.assert_allclose(found[layer].values, expected, rtol=1e-5, atol=1e-6)
        assert list(found[layer].stimulus_id.values) == list("abcde")
        assert {k for k, c in array.coords.items() if c.dims == ("feature",)} <= set(found[layer].coords)


def test_images_are_refused_and_keys_differ(tmp_path, rng):
    stimuli = make_set(tmp_path, {"a": rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)}, None)
    with pytest.raises(ValueError, match="must be movies"):
        FrameFeatures(PixelFeatures())(stimuli)
    with pytest.raises(ValueError, match="n_frames must be at least 1"):
        FrameFeatures(PixelFeatures(), n_frames=0)
    keys = {
        compute_feature_key(e, stimuli)
        for e in (PixelFeatures(), FrameFeatures(PixelFeatures()), FrameFeatures(PixelFeatures(), 2))
    }
    assert len(keys) == 3
