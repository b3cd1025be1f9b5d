import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from neurovis.captioning.captioner import merge_similar, read_captioner, write_captioner
from neurovis.captioning.clipcap import CLIPCAP_SPACE, load_captioner
from neurovis.captioning.decoding import Decoding
from neurovis.captioning.training import make_word_tokenizer
from neurovis.features import weights


@pytest.fixture
def embeddings():
    return np.random.default_rng(0).normal(size=(20, 12)) * 3


@pytest.mark.parametrize("method", ["beam", "greedy", "nucleus"])
def test_cache_and_batches_change_nothing(captioner, embeddings, method):
    decoding = Decoding(method, width=3, max_tokens=12)
    together = captioner.caption(embeddings, decoding, merge_above=None)
    assert len(set(together.texts)) > 8
    plain = captioner.caption(embeddings, decoding, merge_above=None, use_cache=False)
    assert plain.texts == together.texts
    assert np.allclose(plain.scores, together.scores, atol=1e-5)
    batches = captioner.caption(embeddings, decoding, merge_above=None, batch_size=7)
    assert batches.texts == together.texts
    assert np.array_equal(batches.complete, together.complete)
    if method != "nucleus":
        singles = [captioner.caption(row[None], decoding).texts[0] for row in embeddings]
        assert singles == together.texts


def test_scores_are_mean_log_probabilities_of_the_model(captioner, embeddings):
    found = captioner.caption(embeddings[:4], Decoding("beam", width=4, max_tokens=10), merge_above=None)
    tokenizer = captioner.tokenizer
    with torch.inference_mode():
        prefix = captioner.mapper(torch.from_numpy(embeddings[:4].astype(np.float32)))
        for row in range(4):
            ids = tokenizer.encode(found.texts[row])
            # The stop token is not in the text; any of the two may have ended it.
            stops = [[tokenizer.get_vocab()[stop]] for stop in captioner.stop]
            endings = stops if found.complete[row] else [[]]
            means = []
            for ending in endings:
                whole = torch.tensor([ids + ending])
                inputs = torch.cat([prefix[row : row + 1], captioner.model.transformer.wte(whole)], dim=1)
                log_p = captioner.model(inputs_embeds=inputs).logits[0, 2:-1].log_softmax(-1)
                means.append(float(log_p.gather(1, whole[0][:, None]).mean()))
            assert min(abs(found.scores[row] - mean) for mean in means) < 1e-5


def test_merged_embeddings_share_a_sentence(captioner, embeddings):
    near = np.concatenate([embeddings, embeddings[::-1] * 1.001])
    found = captioner.caption(near, Decoding(max_tokens=8))
    assert found.group.tolist() == [*range(20), *range(19, -1, -1)]
    assert found.texts[20:] == found.texts[:20][::-1]
    assert captioner.caption(np.empty((0, 12))).texts == []


def test_groups_are_those_of_a_plain_loop():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(30, 8))
    embeddings = centres[rng.integers(30, size=300)] + 0.02 * rng.normal(size=(300, 8))
    embeddings[50] *= 1.5
    group = merge_similar(embeddings, min_cosine=0.999, block_rows=64)
    leaders = []
    for row, own in enumerate(embeddings):
        nearness = [
            own @ embeddings[i] / (a * b) - (a - b) ** 2 / (2 * a * b)
            for i in leaders
            for a, b in [(np.linalg.norm(own), np.linalg.norm(embeddings[i]))]
        ]
        if not any(value >= 0.999 for value in nearness):
            leaders.append(row)
        # Every member is near its leader, every leader is its own.
        leader = group[row]
        a, b = np.linalg.norm(own), np.linalg.norm(embeddings[leader])
        assert own @ embeddings[leader] / (a * b) - (a - b) ** 2 / (2 * a * b) >= 0.999 - 1e-6
        assert group[leader] == leader
    assert np.unique(group).tolist() == leaders
    assert group[50] == 50


def test_sentences_are_cut_at_the_limit_and_say_so(captioner, embeddings):
    found = captioner.caption(embeddings, Decoding("greedy", max_tokens=2), merge_above=None)
    assert not found.complete.all()
    assert all(len(text.split()) <= 2 for text in found.texts)


def test_write_and_read_back(captioner, embeddings, tmp_path):
    card = write_captioner(
        tmp_path / "model", captioner, description={"name": "tiny"}, format_card=lambda c: f"# {c['name']}\n"
    )
    assert set(card["sha256"]) == {"model.safetensors", "mapper.safetensors"}
    again = read_captioner(tmp_path / "model")
    assert again.caption(embeddings).texts == captioner.caption(embeddings).texts
    assert again.compute_hash() == captioner.compute_hash()
    assert (again.space, again.stop, again.max_tokens) == ("mean-colours", (".", "<eos>"), 12)
    GPT2LMHeadModel.from_pretrained(tmp_path / "model", local_files_only=True)
    assert load_captioner(tmp_path / "model").space == "mean-colours"
    described = json.loads((tmp_path / "model" / "captioner.json").read_text())
    assert described["prefix_length"] == 3
    path = tmp_path / "model" / "mapper.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"mapper\.safetensors must have sha256"):
        read_captioner(tmp_path / "model")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no weights at"):
        read_captioner(tmp_path / "model")


def test_the_tokenizer_gives_sentences_back():
    captions = ["A large word 'coffee' on a sign, with a dog", "a coffee cup"]
    tokenizer = make_word_tokenizer(captions)
    for caption in captions:
        ids = tokenizer.encode(f"{caption}.")
        assert tokenizer.decode(ids) == f"{caption.lower()}."
        assert ids[-1] == tokenizer.get_vocab()["."]
    assert tokenizer.decode(tokenizer.encode("a zebra")) == "a<unk>"


def test_bad_input_is_named(captioner, embeddings):
    with pytest.raises(ValueError, match=r"shape \(any, 12\), got \(20, 5\); pass unnormalised"):
        captioner.caption(embeddings[:, :5])
    with pytest.raises(ValueError, match="embeddings must be finite"):
        captioner.caption(embeddings * np.nan)
    with pytest.raises(ValueError, match="max_tokens must be at most 21"):
        captioner.caption(embeddings, Decoding(max_tokens=40))
    with pytest.raises(ValueError, match="must not exceed the model's 24 positions"):
        replace(captioner, max_tokens=30)
    with pytest.raises(ValueError, match="tokens of the vocabulary, got 'a dog'"):
        replace(captioner, stop=("a dog",))
    with pytest.raises(ValueError, match="zero row"):
        merge_similar(np.zeros((2, 3)))


def test_missing_weights_say_where_they_come_from(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(
        FileNotFoundError,
        match=r"clipcap-coco.*akhaliq/CLIP-prefix-captioning-COCO.*rmokady.*world-captioner",
    ):
        load_captioner("clipcap-coco")
    with pytest.raises(FileNotFoundError, match="source must be 'world-captioner', one of"):
        load_captioner("clipcap-flickr")


def test_published_checkpoints_load(monkeypatch, tmp_path):
    """A checkpoint under the published names, with the masks that old versions stored, and GPT-2's files."""
    small = GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=300, n_positions=128)
    monkeypatch.setattr("transformers.GPT2Config", lambda: small)
    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(small)
    state = {f"gpt.{name}": value for name, value in gpt.state_dict().items()}
    state |= {f"gpt.transformer.h.{i}.attn.bias": torch.ones(1, 1, 8, 8).tril() for i in range(2)}
    state |= {f"gpt.transformer.h.{i}.attn.masked_bias": torch.tensor(-1e4) for i in range(2)}
    shapes = {"0.weight": (80, 512), "0.bias": (80,), "2.weight": (160, 80), "2.bias": (160,)}
    state |= {f"clip_project.model.{name}": torch.randn(shape) * 0.1 for name, shape in shapes.items()}
    torch.save(state, tmp_path / "coco_weights.pt")
    letters = [*"abcdefghijklmnopqrstuvwxyz", ".", "Ġ", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    found = load_captioner("clipcap-coco", checkpoint=tmp_path / "coco_weights.pt", tokenizer=tmp_path)
    assert found.space == CLIPCAP_SPACE
    assert found.stop == (".", "<|endoftext|>")
    assert torch.equal(found.model.transformer.wte.weight, gpt.transformer.wte.weight)
    x = torch.randn(2, 512)
    hidden = torch.tanh(x @ state["clip_project.model.0.weight"].T + state["clip_project.model.0.bias"])
    expected = hidden @ state["clip_project.model.2.weight"].T + state["clip_project.model.2.bias"]
    assert torch.allclose(found.mapper(x), expected.view(2, 10, 16), atol=1e-5)
    found.caption(np.random.default_rng(0).normal(size=(2, 512)), Decoding(max_tokens=5))
    torch.save({"other": torch.ones(2)}, tmp_path / "bad.pt")
    with pytest.raises(ValueError, match="must hold weights of this architecture"):
        load_captioner("clipcap-coco", checkpoint=tmp_path / "bad.pt", tokenizer=tmp_path)
