"""A tiny caption model, a tiny embedder and small banks for the tests of captions."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from neurovis.captioning.bank_building import build_bank
from neurovis.captioning.captioner import PrefixCaptioner, PrefixMapper
from neurovis.captioning.training import make_word_tokenizer

DIM = 12
WORDS = "a red green blue dog cat house tree near the small big and with"


class MeanColours:
    """Embeds an image as the mean colours of its four quarters: a space without a network."""

    space = "mean-colours"

    def __init__(self):
        self.n_images = 0

    def describe(self):
        return {"name": self.space}

    def __call__(self, images):
        self.n_images += len(images)
        rows = []
        for image in images:
            h, w = image.shape[0] // 2, image.shape[1] // 2
            quarters = (image[:h, :w], image[:h, w:], image[h:, :w], image[h:, w:])
            rows.append(np.concatenate([quarter.mean(axis=(0, 1)) for quarter in quarters]))
        return np.array(rows) / 16


@pytest.fixture
def embed():
    return MeanColours()


@pytest.fixture(scope="session")
def captioner():
    """Random weights, large enough that different prefixes give different sentences."""
    torch.manual_seed(3)
    tokenizer = make_word_tokenizer([WORDS])
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=24, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5,
        bos_token_id=2, eos_token_id=2,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    mapper = PrefixMapper(DIM, 3, 16)
    for parameter in mapper.parameters():
        parameter.data.normal_(std=0.5)
    return PrefixCaptioner(mapper, model, tokenizer, "mean-colours", (".", "<eos>"), 12)


@pytest.fixture
def make_images():
    def make(n, seed=0, size_px=32):
        rng = np.random.default_rng(seed)
        coarse = rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
        return coarse.repeat(size_px // 4, axis=1).repeat(size_px // 4, axis=2)

    return make


class Listed:
    """An image source in memory."""

    def __init__(self, images, name="listed"):
        self.images, self.name = images, name

    def describe(self):
        return {"kind": "listed", "n": len(self.images)}

    def iterate(self, start=0):
        for number, image in enumerate(self.images[start:], start):
            yield f"{self.name}-{number:04d}", image


@pytest.fixture
def make_bank(tmp_path, make_images):
    def make(n=40, *, seed=0, shard_images=16, folder="bank", images=None):
        images = make_images(n, seed) if images is None else images
        return build_bank(
            tmp_path / folder, [Listed(list(images))], MeanColours(), shard_images=shard_images, batch_size=5
        )

    return make


@pytest.fixture
def listed():
    return Listed
