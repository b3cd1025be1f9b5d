"""Networks of torchvision, timm and open_clip with random weights: layers, places, precision, offline."""

import dataclasses
import time

import numpy as np
import pytest
import torch

from neurovis.features import weights
from neurovis.features.capture import Execution, capture_layers
from neurovis.features.open_clip import make_open_clip, make_open_clip_text
from neurovis.features.timm import make_timm
from neurovis.features.torchvision import make_torchvision
from neurovis.features.worldnet import make_worldnet


@pytest.fixture
def two(noise_stimuli):
    return noise_stimuli.subset(noise_stimuli.stimulus_ids[:2])


def _forward(extractor, stimuli, layer):
    """Output of a layer in a plain forward pass."""
    images = [extractor.preprocess(stimuli.load(i)) for i in stimuli.stimulus_ids]
    with torch.no_grad(), capture_layers(extractor.module.eval(), [layer]) as captured:
        extractor.module(torch.stack(images))
    return captured[layer]


def test_vision_transformer_of_timm_gives_tokens_in_every_form(two):
    made = {
        kind: make_timm("vit_tiny_patch16_224", pretrained=False, layers=["blocks.3"], tokens=kind, pool=None)
        for kind in ("first", "mean", "patches", "flatten")
    }
    expected = _forward(made["first"], two, "blocks.3")
    assert expected.shape == (2, 197, 192)
    arrays = {kind: extractor(two)["blocks.3"] for kind, extractor in made.items()}
    np.testing.assert_allclose(arrays["first"], expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(arrays["mean"], expected.mean(dim=1), atol=1e-5)
    np.testing.assert_allclose(arrays["flatten"], expected.flatten(1), atol=1e-5)
    patches = arrays["patches"]
    place = (patches["channel"] == 7) & (patches["row"] == 2) & (patches["column"] == 11)
    np.testing.assert_allclose(patches.values[:, place], expected[:, 1 + 2 * 14 + 11, 7:8], atol=1e-5)
    assert int((arrays["flatten"]["row"] == -1).sum()) == 192


def test_crossvit_gives_both_branches(two):
    extractor = make_timm("crossvit_tiny_240", pretrained=False)
    assert extractor.layers == tuple(f"blocks.{i}#{j}" for i in range(3) for j in (0, 1))
    features = extractor(two)
    assert [features[f"blocks.2#{j}"].shape for j in (0, 1)] == [(2, 96), (2, 192)]
    np.testing.assert_allclose(
        features["blocks.2#1"], _forward(extractor, two, "blocks.2#1")[:, 0], atol=1e-5
    )
    patches = make_timm("crossvit_tiny_240", pretrained=False, tokens="patches", pool=None)
    layers = patches(two, layers=["blocks.0#0", "blocks.0#1"])
    # The small branch sees 240 px in patches of 12, the large one 224 px in patches of 16.
    assert [int(array["row"].max()) + 1 for array in layers.values()] == [20, 14]
    with pytest.raises(ValueError, match=r"blocks.0#0 to blocks.0#1"):
        patches(two, layers=["blocks.0"])


@pytest.mark.parametrize("make", [make_timm, make_torchvision])
def test_swin_maps_with_channels_last_are_read_right(make, two):
    model, layer = (
        ("swin_tiny_patch4_window7_224", "layers.0") if make is make_timm else ("swin_t", "features.1")
    )
    extractor = make(model, pretrained=False, layers=[layer], pool=7)
    expected = _forward(extractor, two, layer)
    assert expected.shape == (2, 56, 56, 96)
    array = extractor(two)[layer]
    place = (array["channel"] == 5) & (array["row"] == 1) & (array["column"] == 6)
    np.testing.assert_allclose(
        array.values[:, place][:, 0], expected[:, 8:16, 48:56, 5].mean(dim=(1, 2)), atol=1e-5
    )


def test_convnext_and_late_class_tokens_load_with_their_defaults(two):
    one = two.subset(["image-000"])
    maps = make_timm("convnext_atto", pretrained=False)(one)
    assert {int(array["row"].max()) for array in maps.values()} == {3}
    xcit = make_timm("xcit_nano_12_p16_224", pretrained=False, layers=["blocks.1", "cls_attn_blocks.0"])
    assert xcit.tokens == "mean"
    assert xcit(one)["cls_attn_blocks.0"].shape == (1, 128)
    hiera = make_timm("hiera_tiny_224", pretrained=False, layers=["blocks.0"], tokens="flatten")(one)[
        "blocks.0"
    ]
    assert (hiera["row"] == -1).all()
    assert (
        make_timm("vit_small_patch14_reg4_dinov2", pretrained=False, layers=["blocks.0"]).n_prefix_tokens == 5
    )


def test_half_precision_and_channels_last_stay_close(noise_stimuli):
    exact = make_worldnet(layers=("stage4",))
    expected = exact(noise_stimuli)["stage4"].values
    scale = np.abs(expected).max()
    errors = {}
    for execution in (Execution("bfloat16"), Execution("float16"), Execution(channels_last=True)):
        extractor = dataclasses.replace(exact, execution=execution)
        array = extractor(noise_stimuli)["stage4"]
        assert array.dtype == np.float32
        errors[execution] = np.abs(array.values - expected).max() / scale
        assert extractor.describe() != exact.describe()
        assert extractor.describe()["weights"] == exact.describe()["weights"]
        assert all(value.is_contiguous() for value in extractor.module.state_dict().values())
    bfloat16, float16, channels_last = errors.values()
    # Eight and eleven bits of significand, through ten convolutions.
    assert 1e-4 < bfloat16 < 0.05
    assert 1e-5 < float16 < 0.005
    assert channels_last < 1e-5
    with pytest.raises(ValueError, match="precision must be 'float32', 'bfloat16' or 'float16', got 'half'"):
        make_timm("resnet10t", pretrained=False, precision="half")


@pytest.mark.slow
def test_compiled_networks_give_the_same_layers(two):
    layers = ["features.3", "output"]
    plain, compiled = (
        make_torchvision("squeezenet1_1", pretrained=False, layers=layers, compiled=flag)(two)
        for flag in (False, True)
    )
    for layer in layers:
        np.testing.assert_allclose(compiled[layer], plain[layer], rtol=1e-4, atol=1e-5)


def test_open_clip_text_tower(two):
    captions = ["a cat", "three dogs on a wet road"]
    two.table["caption"] = captions
    layer = "model.transformer.resblocks.1"
    extractor = make_open_clip_text("ViT-S-32-alt", pretrained=None, layers=["output", layer])
    features = extractor(two, batch_size=1)
    module = extractor.module.model.eval()
    import open_clip

    ids = open_clip.get_tokenizer("ViT-S-32-alt")(captions)
    with torch.no_grad(), capture_layers(module, [layer.removeprefix("model.")]) as captured:
        expected = module.encode_text(ids)
    np.testing.assert_allclose(features["output"], expected, atol=1e-5)
    # Start, two words, end: the end-of-text token is the fourth.
    state = captured[layer.removeprefix("model.")]
    np.testing.assert_allclose(features[layer][0], state[0, 3], atol=1e-5)
    mean = make_open_clip_text("ViT-S-32-alt", pretrained=None, layers=[layer], tokens="mean")(two)
    np.testing.assert_allclose(mean[layer][0], state[0, :4].mean(dim=0), atol=1e-5)
    two.table["caption"] = ["a cat", "many " * 90]
    with pytest.raises(ValueError, match="at most 75 tokens for 'ViT-S-32-alt', got 90"):
        extractor(two)


@pytest.mark.parametrize(
    "make", [lambda: make_timm("resnet10t"), lambda: make_open_clip("RN50", pretrained="yfcc15m")]
)
def test_without_a_network_the_message_comes_at_once(make, monkeypatch):
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    start = time.perf_counter()
    with pytest.raises(
        FileNotFoundError, match=r"could not be fetched from https://huggingface.co.*checkpoint"
    ):
        make()
    assert time.perf_counter() - start < 5


def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    def wait(*args, **kwargs):
        time.sleep(1)
        raise OSError("no route")

    monkeypatch.setattr(weights, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(weights.urllib.request, "urlopen", wait)
    start = time.perf_counter()
    assert not weights._answers("https://example.org")
    assert time.perf_counter() - start < 0.8
    time.sleep(1)
