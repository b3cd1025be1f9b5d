"""Small image sets on disk for the tests of feature spaces."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.core import StimulusSet


@pytest.fixture
def make_stimuli(tmp_path):
    """Write uint8 images as PNG files and return them as a StimulusSet of 8 x 8 degrees."""

    def make(images, *, size_dva=(8.0, 8.0), folder="stimuli"):
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        names = [f"image-{row:03d}" for row in range(len(images))]
        for name, image in zip(names, images, strict=True):
            Image.fromarray(image).save(root / f"{name}.png")
        table = pd.DataFrame(
            {"path": [f"{name}.png" for name in names]}, index=pd.Index(names, name="stimulus_id")
        )
        return StimulusSet("test", table, root, size_dva)

    return make


@pytest.fixture
def noise_stimuli(make_stimuli):
    rng = np.random.default_rng(0)
    return make_stimuli(rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8))
