import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from neurovis.captioning.coca import CocaCaptioner, load_coca
from neurovis.captioning.decoding import Decoding
from neurovis.features import weights


@pytest.fixture(scope="module")
def coca(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    text = {"context_length": 12, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1}
    config = {
        "embed_dim": 8,
        "vision_cfg": {
            "image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16,
            "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True,
        },
        "text_cfg": {**text, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {**text, "attn_pooler_heads": 2},
        "custom_text": True,
    }  # fmt: skip
    (folder / "nv-tiny-coca.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    model = open_clip.create_model("nv-tiny-coca")
    for parameter in model.parameters():
        parameter.data.mul_(3)
    # open_clip leaves this one as memory happens to be.
    model.text_decoder.text_projection.data.normal_(std=0.3)
    settings = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    return CocaCaptioner(model, open_clip.transform.image_transform_v2(settings, is_train=False))


def test_greedy_captions_are_those_of_the_plain_loop(coca, make_images):
    images = list(make_images(3))
    found = coca.caption(images, Decoding("greedy", max_tokens=6))
    model = coca.model
    with torch.inference_mode():
        pixels = torch.stack([coca.preprocess(Image.fromarray(image)) for image in images])
        text = torch.full((3, 1), 49406)
        for _ in range(6):
            text = torch.cat([text, model(pixels, text, output_labels=False)["logits"][:, -1:].argmax(-1)], 1)
    for row in range(3):
        tokens = text[row, 1:].tolist()
        tokens = tokens[: tokens.index(49407)] if 49407 in tokens else tokens
        assert found.texts[row] == open_clip.decode(torch.tensor(tokens)).strip(" .")


def test_batches_equal_singles_with_beams(coca, make_images):
    images = list(make_images(5, seed=2))
    decoding = Decoding("beam", width=3, max_tokens=5)
    together = coca.caption(images, decoding)
    assert together.texts == [coca.caption([image], decoding).texts[0] for image in images]
    assert np.allclose(together.scores, coca.caption(images, decoding, batch_size=2).scores, atol=1e-5)


def test_missing_weights_and_bad_options_are_named(coca, make_images, monkeypatch):
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    with pytest.raises(
        FileNotFoundError, match=r"coca_ViT-B-32 \(mscoco.*laion/mscoco_finetuned_CoCa.*world-captioner"
    ):
        load_coca()
    with pytest.raises(ValueError, match="model must be 'coca_ViT-B-32' or 'coca_ViT-L-14'"):
        load_coca("ViT-B-32")
    with pytest.raises(ValueError, match="pretrained must be 'laion2b_s13b_b90k' or"):
        load_coca(pretrained="openai")
    with pytest.raises(ValueError, match="below the context of 12 tokens, got 12"):
        coca.caption(list(make_images(1)), Decoding(max_tokens=12))
