"""Loading diffusion models: shipped, from a folder, from the hub, and what is said if they are missing."""

import json
import shutil

import pytest
import torch

from neurovis.core import compute_file_hash
from neurovis.generation.model import LatentDiffusion, load_latent_diffusion


def test_parts_equal_those_of_the_pipeline(pipeline, model):
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    told, _ = pipeline.encode_prompt(["a face", ""], "cpu", 1, False)
    assert torch.equal(model.embed(["a face", ""]), told)
    with torch.no_grad():
        expected = pipeline.unet(latents, 7, encoder_hidden_states=told).sample
        images = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
        torch.testing.assert_close(model.predict(latents, torch.tensor(7), told), expected)
        torch.testing.assert_close(model.decode(latents), images / 2 + 0.5)
    assert model.reduction == 2
    assert model.make_latent_shape() == (4, 16, 16)
    assert model.make_latent_shape((40, 32)) == (4, 20, 16)
    parts = (*model.unet.parameters(), *model.vae.parameters(), *model.text_encoder.parameters())
    assert not any(parameter.requires_grad for parameter in parts)


def test_half_precision_gives_nearly_the_same(model, pipeline_folder):
    half = load_latent_diffusion(pipeline_folder, dtype="bfloat16", channels_last=True, checkpointing=True)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    one, other = (m.predict(latents, torch.tensor(500), m.embed([""])) for m in (model, half))
    assert other.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


def test_a_model_without_text(pipeline):
    bare = LatentDiffusion(_plain_unet(), pipeline.vae, {})
    assert bare.embed(["", ""]) is None
    latents = torch.zeros(1, 4, 16, 16)
    assert bare.predict(latents, torch.tensor(1), None).shape == latents.shape
    with pytest.raises(ValueError, match="has no text encoder"):
        bare.embed(["a face"])
    with pytest.raises(ValueError, match="network that attends to text"):
        LatentDiffusion(pipeline.unet, pipeline.vae, {})


def test_texts_are_never_cut(model):
    with pytest.raises(ValueError, match="at most 16 tokens"):
        model.embed(["a very long prompt"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no-such-model", "set NEUROVIS_MODELS"),
        ("./missing", "StableDiffusionPipeline.save_pretrained"),
        ("owner/name", r"huggingface.co/owner/name.*hf download owner/name --local-dir FOLDER"),
    ],
)
def test_says_where_a_missing_model_comes_from(source, message):
    with pytest.raises(FileNotFoundError, match=message):
        load_latent_diffusion(source)


def test_names_the_part_that_is_missing(pipeline_folder, tmp_path):
    folder = shutil.copytree(pipeline_folder, tmp_path / "broken")
    shutil.rmtree(folder / "vae")
    with pytest.raises(FileNotFoundError, match="must hold vae"):
        load_latent_diffusion(folder)


def test_refuses_other_families(pipeline_folder, tmp_path, pipeline):
    folder = shutil.copytree(pipeline_folder, tmp_path / "xl")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionXLPipeline"}))
    with pytest.raises(ValueError, match="SDXL and later have several text encoders"):
        load_latent_diffusion(folder)
    told = _plain_unet(class_embed_type="timestep")
    with pytest.raises(ValueError, match="sizes or classes"):
        LatentDiffusion(told, pipeline.vae, {})
    with pytest.raises(ValueError, match="got 9 to 4; inpainting"):
        LatentDiffusion(_plain_unet(in_channels=9), pipeline.vae, {})


def test_compares_weights_with_the_description(pipeline_folder, tmp_path):
    folder = shutil.copytree(pipeline_folder, tmp_path / "shipped")
    name = "unet/diffusion_pytorch_model.safetensors"
    found = compute_file_hash(folder / name)
    (folder / "config.json").write_text(json.dumps({"sha256": {name: found}}))
    load_latent_diffusion(folder)
    (folder / "config.json").write_text(json.dumps({"sha256": {name: "0" * 64}}))
    with pytest.raises(ValueError, match="must have sha256 000000000000"):
        load_latent_diffusion(folder)


def _plain_unet(**changes):
    from diffusers import UNet2DConditionModel

    settings = {
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 8),
        "layers_per_block": 1, "norm_num_groups": 4, "down_block_types": ("DownBlock2D",) * 2,
        "up_block_types": ("UpBlock2D",) * 2, "mid_block_type": "UNetMidBlock2D", "cross_attention_dim": 8,
        "attention_head_dim": 4,
    }  # fmt: skip
    return UNet2DConditionModel(**{**settings, **changes})
