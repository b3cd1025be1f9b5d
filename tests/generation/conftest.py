"""A latent diffusion model small enough for tests: random weights, every part of the real one."""

import json
import os

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def make_tokenizer(folder):
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    folder.mkdir(parents=True, exist_ok=True)
    letters = list(bytes_to_unicode().values())
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)


def make_pipeline(folder, **scheduler):
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, block_out_channels=(16, 32), layers_per_block=1,
        norm_num_groups=8, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=32, attention_head_dim=2,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16), latent_channels=4, layers_per_block=1, norm_num_groups=8, sample_size=32,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=514, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=16, bos_token_id=512, eos_token_id=513, pad_token_id=513,
        )
    )  # fmt: skip
    settings = {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False,
        "steps_offset": 1, "set_alpha_to_one": False, **scheduler,
    }  # fmt: skip
    return StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=make_tokenizer(folder / "words"), unet=unet,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        scheduler=DDIMScheduler(**settings),
    )  # fmt: skip


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    made = make_pipeline(tmp_path_factory.mktemp("pipeline"))
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="session")
def pipeline_folder(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    pipeline.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def model(pipeline_folder):
    from neurovis.generation.model import load_latent_diffusion

    return load_latent_diffusion(pipeline_folder)
