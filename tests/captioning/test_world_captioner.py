"""The caption decoder that ships with neurovis, on scenes that it has not seen."""

import json

import numpy as np
import pytest

from neurovis.captioning.captioner import read_captioner
from neurovis.captioning.clipcap import load_captioner
from neurovis.captioning.decoding import Decoding
from neurovis.captioning.embedders import ExtractorEmbedder
from neurovis.captioning.projection import make_tiles, project_weights
from neurovis.captioning.training import TEST_SEED
from neurovis.captioning.world_captions import name_subtype, score_captions
from neurovis.core import find_model
from neurovis.features.open_clip import make_open_clip
from neurovis.stimuli.world import CATEGORIES, CATEGORY_OF, make_scene

DECODING = Decoding(width=5, max_tokens=48)


@pytest.fixture(scope="module")
def captioner():
    return load_captioner("world-captioner")


@pytest.fixture(scope="module")
def described():
    return json.loads((find_model("world-captioner") / "captioner.json").read_text())


@pytest.fixture(scope="module")
def embedder():
    return ExtractorEmbedder(make_open_clip("world-clip-resnet"))


@pytest.fixture(scope="module")
def scenes(embedder):
    found = [make_scene(TEST_SEED, i) for i in range(144)]
    return found, embedder([scene.image for scene in found])


def test_it_belongs_to_the_shipped_embedding(captioner, described, embedder):
    assert captioner.space == embedder.space == "open_clip:world-clip-resnet"
    assert described["embedder"] == embedder.describe()["weights"], "train the captioner again"
    folder = find_model("world-captioner")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 15 * 2**20
    card = (folder / "README.md").read_text()
    assert all(value in card for value in described["sha256"].values())
    assert read_captioner(folder).compute_hash() == captioner.compute_hash()


def test_captions_are_as_right_as_the_card_says(captioner, described, scenes):
    found, embeddings = scenes
    captions = captioner.caption(embeddings, DECODING, merge_above=None)
    assert captions.complete.mean() > 0.95
    right = score_captions([scene.caption for scene in found], captions.texts, described["markers"])
    for field in ("category", "subtype", "colour", "position", "background"):
        expected = described["quality"]["beam"][field]
        assert right[field] == pytest.approx(expected, abs=3.5 * np.sqrt(expected * (1 - expected) / 144))
    # Chance is a sixth and a twelfth.
    assert right["category"] > 0.6


def test_projected_directions_of_categories_are_captioned_as_such(captioner, described, scenes):
    found, embeddings = scenes
    categories = np.array([scene.objects[0].category for scene in found])
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    weights = [units[categories == c].mean(axis=0) - units.mean(axis=0) for c in CATEGORIES]
    projected = project_weights(weights, make_tiles(embeddings), 15.0)
    texts = captioner.caption(projected.embeddings[0], DECODING).texts
    named = [CATEGORY_OF.get(name_subtype(text, described["markers"]), "") for text in texts]
    assert sum(a == b for a, b in zip(named, CATEGORIES, strict=True)) >= 5, texts
