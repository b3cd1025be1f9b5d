"""Every feature space of the catalog that loads offline, random weights included, keeps one contract."""

import numpy as np
import pandas as pd
import pytest

from neurovis import catalog
from neurovis.core import FeatureExtractor, StimulusSet
from neurovis.features.cache import extract_cached
from neurovis.features.index import list_feature_spaces

TINY = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip

BUILT = {
    "cifar-resnet20": {},
    "gabor": {},
    "huggingface": {"config": {"model_type": "dinov2", **TINY}},
    "huggingface-text": {"config": {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2}},
    "huggingface-video": {"config": {"model_type": "videomae", **TINY, "num_frames": 4}},
    "motion-energy": {},
    "open_clip": {"model": "ViT-S-32-alt", "pretrained": None},
    "open_clip-text": {"model": "ViT-S-32-alt", "pretrained": None, "layers": ["output"]},
    "pixels": {},
    "squeezenet": {},
    "timm": {"model": "convnext_atto", "pretrained": False},
    "torchvision": {"model": "squeezenet1_1", "pretrained": False},
    "transnext": {"pretrained": False, "size_px": 64, "layers": ("norm1",)},
    "worldnet": {},
}
"""Options that need no network, and small networks."""


@pytest.fixture
def stimuli(tmp_path):
    """Three images or movies with captions."""

    def make(kind):
        rng = np.random.default_rng(0)
        shape = (6, 32, 32, 3) if kind == "video" else (32, 32, 3)
        for name in "abc":
            np.save(tmp_path / f"{name}.npy", rng.integers(0, 256, shape, dtype=np.uint8))
        table = pd.DataFrame(
            {"path": ["a.npy", "b.npy", "c.npy"], "caption": ["a cat", "two dogs", "a wet road"]},
            index=pd.Index(["a", "b", "c"], name="stimulus_id"),
        )
        return StimulusSet("test", table, tmp_path, (6.0, 6.0), fps=10.0 if kind == "video" else None)

    return make


@pytest.fixture
def tokenizer(tmp_path):
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "cat": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path)
    return tmp_path


def test_every_space_is_indexed_with_its_kind_and_licence():
    table = list_feature_spaces().set_index("name")
    assert list(table.index) == list(catalog.features) == list(BUILT)
    assert set(table["kind"]) == {"image", "text", "video"}
    assert (table["licence"] != "").all()
    assert ((table["needs"] == "") == table["offline"]).all()


@pytest.mark.parametrize("name", list(catalog.features))
def test_features_are_finite_labelled_and_repeat(name, stimuli, tokenizer, tmp_path, request):
    kind = list_feature_spaces().set_index("name").loc[name, "kind"]
    options = BUILT[name] | ({"tokenizer": tokenizer} if name == "huggingface-text" else {})
    if name in ("cifar-resnet20", "squeezenet"):
        options = {"root": request.getfixturevalue("shared_data")}
    build = catalog.features.load(name)
    extractor = build(**options)
    assert isinstance(extractor, FeatureExtractor)
    shown = stimuli(kind)
    features = extractor(shown)
    assert tuple(features) == extractor.layers
    for layer, array in features.items():
        assert array.dims == ("stimulus", "feature")
        assert array.dtype == np.float32
        assert np.isfinite(array.values).all()
        assert array.values.std() > 0
        assert list(array["stimulus_id"].values) == ["a", "b", "c"]
        assert (array.attrs["features"], array.attrs["layer"]) == (extractor.name, layer)
        # Places differ from scale to scale in these two.
        if name not in ("gabor", "motion-energy") or layer == "colour":
            assert {"channel", "row", "column"} <= set(array.coords)
            placed = np.stack([array[key].values for key in ("channel", "row", "column")])
            assert placed.dtype == np.int32
            assert len(np.unique(placed, axis=1).T) == array.shape[1]
            assert ((placed[1] == -1) == (placed[2] == -1)).all()
            assert (placed[1] == -1).all() or "size_dva" in array.attrs
    again = build(**options)
    repeated = again(shown)
    stored = extract_cached(again, shown, root=tmp_path, batch_size=2)
    for layer, array in features.items():
        np.testing.assert_array_equal(repeated[layer], array)
        np.testing.assert_allclose(stored[layer], array, rtol=1e-4, atol=1e-5)
