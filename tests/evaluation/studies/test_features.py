import numpy as np
import pandas as pd

from neurovis.datasets.images import write_images_once
from neurovis.evaluation.studies.features import make_cached_extract
from neurovis.features.gabor import GaborPyramid


def test_layers_stand_side_by_side_and_are_kept(tmp_path, rng, monkeypatch):
    images = rng.integers(0, 256, size=(3, 16, 16), dtype=np.uint8)
    table = pd.DataFrame(index=pd.Index(["a", "b", "c"], name="stimulus_id"))
    stimuli = write_images_once(images, table, name="noise", size_dva=(2.0, 2.0), cache=tmp_path)
    gabor = GaborPyramid((1.0, 2.0), grids=(2, 2), n_orientations=2, n_colour=2)
    direct = gabor(stimuli)
    both = make_cached_extract(gabor, cache=tmp_path)
    expected = np.concatenate([direct["energy"].values, direct["colour"].values], axis=1)
    np.testing.assert_allclose(both(stimuli), expected, rtol=1e-6)
    monkeypatch.setattr(GaborPyramid, "__call__", lambda *_, **__: 1 / 0)
    energy = make_cached_extract(gabor, layers=("energy",), cache=tmp_path)(stimuli)
    np.testing.assert_allclose(energy, direct["energy"].values, rtol=1e-6)
