"""Models of transformers from tiny random configurations: images, clips and text against plain calls."""

import numpy as np
import pandas as pd
import pytest
import torch

from neurovis.core import StimulusSet
from neurovis.features import weights
from neurovis.features.cache import compute_feature_key, extract_cached
from neurovis.features.huggingface import make_huggingface, make_huggingface_text, make_huggingface_video
from neurovis.features.video import ClipSampling

transformers = pytest.importorskip("transformers")

TINY = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "vocab_size": 12, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 8,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "extra", "n_prefix"),
    [
        ("dinov2", {}, 1),
        ("dinov2_with_registers", {"num_register_tokens": 4}, 5),
        ("vit", {}, 1),
        ("clip_vision_model", {}, 1),
        ("siglip_vision_model", {}, None),
    ],
)
def test_image_models_equal_the_hidden_states(noise_stimuli, kind, extra, n_prefix):
    extractor = make_huggingface(config={"model_type": kind, **TINY, **extra}, tokens="patches", pool=None)
    assert extractor.n_prefix_tokens == n_prefix
    assert len(extractor.layers) == 2
    features = extractor(noise_stimuli, batch_size=4)
    pixels = torch.stack([extractor.preprocess(noise_stimuli.load(i)) for i in noise_stimuli.stimulus_ids])
    with torch.no_grad():
        states = extractor.module.model.eval()(pixels, output_hidden_states=True).hidden_states
    for layer, state in zip(extractor.layers, states[1:], strict=True):
        array, patches = features[layer], state[:, (n_prefix or 0) :]
        assert array.shape == (7, 16 * 16)
        expected = patches[:, array["row"].values * 4 + array["column"].values, array["channel"].values]
        np.testing.assert_allclose(array, expected, atol=1e-5)


def test_the_processor_is_that_of_the_model_and_part_of_the_identity(noise_stimuli):
    extractor = make_huggingface(config={"model_type": "dinov2", **TINY})
    image = noise_stimuli.load("image-000").copy()
    direct = transformers.BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    expected = direct(images=image, return_tensors="pt", input_data_format="channels_last")["pixel_values"][0]
    assert torch.equal(extractor.preprocess(image), expected)
    other = make_huggingface(config={"model_type": "dinov2", **TINY, "image_size": 40})
    assert "shortest_edge" in extractor.describe()["preprocess"]
    assert extractor.describe()["preprocess"] != other.describe()["preprocess"]
    again = make_huggingface(config={"model_type": "dinov2", **TINY})
    assert again.describe() == extractor.describe()
    seeded = make_huggingface(config={"model_type": "dinov2", **TINY}, seed=1)
    assert seeded.describe()["weights"] != extractor.describe()["weights"]


def test_maps_and_stages_of_pyramids(noise_stimuli):
    one = noise_stimuli.subset(["image-000"])
    convnext = make_huggingface(
        config={"model_type": "convnext", "hidden_sizes": [4, 8, 8, 8], "depths": [1] * 4, "image_size": 64},
        pool=None,
    )
    sides = [int(array["row"].max()) + 1 for array in convnext(one).values()]
    assert sides == [16, 8, 4, 2]
    swin = {"model_type": "swin", "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "image_size": 64}
    stages = make_huggingface(config=swin, tokens="patches", pool=None)(one)
    assert [int(array["row"].max()) + 1 for array in stages.values()] == [8, 8]


def test_local_folders_load_with_their_processor(noise_stimuli, tmp_path):
    made = make_huggingface(config={"model_type": "dinov2", **TINY}, seed=3)
    made.module.model.save_pretrained(tmp_path)
    transformers.BitImageProcessor(
        size={"shortest_edge": 48}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(tmp_path)
    loaded = make_huggingface(str(tmp_path))
    assert loaded.describe()["weights"] == made.describe()["weights"]
    array = loaded(noise_stimuli)[loaded.layers[0]]
    # The central 32 of 48 pixels reach the network, of an image of 8 degrees.
    assert array.attrs["size_dva"] == pytest.approx((8 * 2 / 3,) * 2, abs=0.1)


def test_without_a_network_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    with pytest.raises(FileNotFoundError, match=r"(?s)huggingface.co/facebook/dinov2-small.*path as model"):
        make_huggingface()
    with pytest.raises(ValueError, match="config must hold model_type"):
        make_huggingface(config={"hidden_size": 3})
    with pytest.raises(ValueError, match="model_type must be"):
        make_huggingface(config={"model_type": "dinov9"})


@pytest.fixture
def movies(tmp_path):
    rng = np.random.default_rng(1)
    lengths = {"long": 24, "short": 12}
    for name, n_frames in lengths.items():
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 256, (n_frames, 32, 32, 3), dtype=np.uint8))
    table = pd.DataFrame(
        {"path": [f"{name}.npy" for name in lengths]}, index=pd.Index(list(lengths), name="stimulus_id")
    )
    return StimulusSet("movies", table, tmp_path, (8.0, 8.0), fps=12.0)


VIDEOMAE = {"model_type": "videomae", **TINY, "num_frames": 4, "tubelet_size": 2}


def test_clips_in_time_equal_plain_calls(movies):
    extractor = make_huggingface_video(config=VIDEOMAE, fps=6.0, step_s=0.5, tokens="patches", pool=None)
    layer = extractor.layers[-1]
    features = extractor(movies, batch_size=3)[layer]
    assert features.dims == ("time", "feature")
    # A clip lasts 4 / 6 s; movies last 2 s and 1 s.
    np.testing.assert_allclose(features["time"], np.array([0, 0.5, 1.0, 0]) + 1 / 3)
    assert list(features["stimulus_id"].values) == ["long"] * 3 + ["short"]
    # The second clip starts with frame 6 and takes the frame shown in the middle of each sixth of a second.
    frames = list(movies.load("long")[[7, 9, 11, 13]])
    with torch.no_grad():
        model = extractor.module.model.eval()
        state = model(extractor.preprocess(frames)[None], output_hidden_states=True).hidden_states[-1]
    patches = state.reshape(1, 2, 4, 4, 16).mean(dim=1)[0]
    expected = patches[features["row"].values, features["column"].values, features["channel"].values]
    np.testing.assert_allclose(features[1], expected, atol=1e-5)


def test_one_row_for_each_movie_and_the_cache_keeps_times(movies, tmp_path):
    middle = make_huggingface_video(config=VIDEOMAE)
    features = extract_cached(middle, movies, root=tmp_path / "cache")[middle.layers[0]]
    assert features.dims == ("stimulus", "feature")
    assert features.shape == (2, 16)
    timed = make_huggingface_video(config=VIDEOMAE, fps=6.0, step_s=0.5)
    direct = timed(movies)[timed.layers[0]]
    for _ in range(2):
        stored = extract_cached(timed, movies, root=tmp_path / "cache", batch_size=1)[timed.layers[0]]
        assert stored.dims == direct.dims
        np.testing.assert_array_equal(stored["time"], direct["time"])
        np.testing.assert_array_equal(stored["stimulus_id"], direct["stimulus_id"])
        np.testing.assert_allclose(stored, direct, atol=1e-5)


def test_frames_of_clips():
    frames, centres = ClipSampling(4).choose_frames(8, 2.0)
    np.testing.assert_array_equal(frames, [[1, 3, 5, 7]])
    np.testing.assert_allclose(centres, [2.0])
    frames, centres = ClipSampling(2, fps=1.0).choose_frames(8, 2.0)
    np.testing.assert_array_equal(frames, [[3, 5]])
    with pytest.raises(ValueError, match=r"last as long as a clip, got 1 s for 4 frames at 2 Hz \(2 s\)"):
        ClipSampling(4, fps=2.0).choose_frames(2, 2.0)
    with pytest.raises(ValueError, match="fps must be given with step_s"):
        ClipSampling(4, step_s=1.0)
    with pytest.raises(ValueError, match="n_frames must be positive, got 0"):
        ClipSampling(0)
    with pytest.raises(ValueError, match="n_frames must be a whole number"):
        ClipSampling(4.5)
    with pytest.raises(ValueError, match="fps must be finite"):
        ClipSampling(4, fps=np.nan)


def test_images_are_refused_by_video_models(noise_stimuli):
    extractor = make_huggingface_video(config=VIDEOMAE)
    with pytest.raises(ValueError, match="must be movies with a frame rate, got 'test' without fps"):
        extractor(noise_stimuli)


WORDS = ("<unk>", "a", "cat", "dog", "on", "the", "wet", "road", "sees", "two")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A tokenizer of ten words, without a padding token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("words")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def captioned(noise_stimuli):
    stimuli = noise_stimuli.subset(noise_stimuli.stimulus_ids[:3])
    stimuli.table["caption"] = ["a cat", "the dog sees two cat", "road"]
    return stimuli


@pytest.mark.parametrize("tokens", ["mean", "last", "first"])
@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_texts_equal_calls_one_by_one(captioned, words, kind, tokens):
    bert = {"model_type": "bert", "vocab_size": 12, "max_position_embeddings": 8}
    bert |= {key: TINY[key] for key in TINY if not key.endswith(("image_size", "patch_size"))}
    extractor = make_huggingface_text(config=GPT2 if kind == "gpt2" else bert, tokenizer=words, tokens=tokens)
    features = extractor(captioned)[extractor.layers[0]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(words))
    for row, text in zip(features.values, captioned.table["caption"], strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = extractor.module.model.eval()(input_ids=ids, output_hidden_states=True).hidden_states
        state = states[1][0]
        expected = {"mean": state.mean(dim=0), "last": state[-1], "first": state[0]}[tokens]
        np.testing.assert_allclose(row, expected, atol=1e-5)


def test_the_text_and_not_the_picture_is_the_identity_of_text_features(captioned, words):
    extractor = make_huggingface_text(config=GPT2, tokenizer=words)
    key = compute_feature_key(extractor, captioned)
    captioned.path("image-000").write_bytes(b"changed")
    assert compute_feature_key(extractor, captioned) == key
    captioned.table["caption"] = ["a dog", *captioned.table["caption"][1:]]
    assert compute_feature_key(extractor, captioned) != key


def test_texts_that_are_missing_or_too_long_are_refused(captioned, words):
    extractor = make_huggingface_text(config=GPT2, tokenizer=words)
    captioned.table["caption"] = ["a cat", "the " * 9, "road"]
    with pytest.raises(ValueError, match="1 to 8 tokens, got 9"):
        extractor(captioned)
    captioned.table["caption"] = ["a cat", None, "road"]
    with pytest.raises(ValueError, match="a text for every stimulus, got None for 'image-001'"):
        extractor(captioned)
    with pytest.raises(ValueError, match="must have the column 'title'"):
        make_huggingface_text(config=GPT2, tokenizer=words, column="title")(captioned)
