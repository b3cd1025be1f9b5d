"""TransNeXt: its size, its aggregated attention against loops over keys, and the names of its weights."""

import math

import numpy as np
import pytest
import torch

from neurovis.features import weights
from neurovis.features.transnext import (
    VARIANTS,
    AggregatedAttention,
    RelativePlaces,
    TransNeXt,
    Variant,
    compute_foveal_index,
    make_transnext,
)
from neurovis.features.weights import build_seeded

SMALL = Variant((8, 16, 24, 32), (1, 2, 3, 4), (1, 1, 2, 1))


def make_small(size_px=64, **options):
    """A tiny network whose parameters are all random, biases and embeddings included."""
    network = build_seeded(lambda: TransNeXt(SMALL, size_px=size_px, n_classes=5, **options), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def make_attention(side=8, n_pooled=2):
    attention = build_seeded(lambda: AggregatedAttention(12, 3, side, n_pooled), 0).double().eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    places = RelativePlaces(side, n_pooled, side).double()
    tokens = torch.randn(2, side**2, 12, generator=generator, dtype=torch.float64)
    return attention, places, tokens


@pytest.mark.parametrize(
    ("size", "millions"), [("micro", 12.809304), ("tiny", 28.26), ("small", 49.74), ("base", 89.72)]
)
def test_published_numbers_of_parameters(size, millions):
    with torch.device("meta"):
        network = TransNeXt(VARIANTS[size])
    found = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert found == pytest.approx(millions, abs=1e-9 if size == "micro" else 0.005)


def test_names_and_shapes_of_the_authors_weights():
    with torch.device("meta"):
        state = TransNeXt(VARIANTS["micro"]).state_dict()
    assert {name.split(".")[0] for name in state} == {
        *(f"{part}{stage}" for part in ("patch_embed", "block", "norm") for stage in range(1, 5)), "head",
    }  # fmt: skip
    expected = {
        "patch_embed1.proj.weight": (48, 3, 7, 7),
        "patch_embed2.norm.bias": (96,),
        "block1.1.attn.temperature": (2, 1, 1),
        "block1.0.attn.query_embedding": (2, 1, 24),
        "block2.0.attn.q.bias": (96,),
        "block3.14.attn.kv.weight": (384, 192),
        "block1.0.attn.sr.weight": (48, 48, 1, 1),
        "block1.0.attn.cpb_fc1.weight": (512, 2),
        "block4.1.attn.cpb_fc2.bias": (16,),
        "block3.0.attn.relative_pos_bias_local": (8, 9),
        "block3.0.attn.learnable_tokens": (8, 24, 9),
        "block3.0.attn.learnable_bias": (8, 1, 9),
        "block4.0.attn.qkv.weight": (1152, 384),
        "block1.0.mlp.fc1.weight": (512, 48),
        "block1.0.mlp.dwconv.dwconv.weight": (256, 1, 3, 3),
        "block4.1.mlp.fc2.weight": (384, 1024),
        "head.weight": (1000, 384),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected
    # Four of norms and six of the gated unit; 10 of global and 19 of aggregated attention.
    assert sum(name.startswith("block4.0.") for name in state) == 20
    assert sum(name.startswith("block3.0.") for name in state) == 29


def test_stages_at_224_px(noise_stimuli):
    space = make_transnext(pretrained=False, pool=None)
    features = space(noise_stimuli.subset(noise_stimuli.stimulus_ids[:1]))
    sizes = {layer: array.sizes["feature"] for layer, array in features.items()}
    assert sizes == {"norm1": 3136 * 48, "norm2": 784 * 96, "norm3": 196 * 192, "norm4": 49 * 384}
    assert int(features["norm3"]["row"].max()) == 13
    assert all(np.isfinite(array).all() for array in features.values())


def test_attention_equals_loops_over_keys():
    attention, places, tokens = make_attention()
    side, n_pooled, d = 8, 2, 4
    with torch.no_grad():
        found = attention(tokens, places).numpy()
    w = {name: value.detach().numpy() for name, value in attention.named_parameters()}
    gelu = np.vectorize(lambda z: 0.5 * z * (1 + math.erf(z / math.sqrt(2))))

    def project(x, name):
        return x @ w[f"{name}.weight"].squeeze().T + w[f"{name}.bias"]

    def normalise(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    def space(distance):
        scaled = 8 * distance / (side - 1)
        return np.sign(scaled) * np.log2(1 + abs(scaled)) / np.log2(8)

    for image in range(2):
        x = tokens[image].numpy()
        keys, values = np.split(project(x, "kv"), 2, axis=1)
        cells = gelu(project(x, "sr")).reshape(n_pooled, 4, n_pooled, 4, 12).mean(axis=(1, 3)).reshape(-1, 12)
        cells = (cells - cells.mean(1, keepdims=True)) / np.sqrt(cells.var(1, keepdims=True) + 1e-5)
        cells = cells * w["norm.weight"] + w["norm.bias"]
        cell_keys, cell_values = np.split(project(cells, "kv"), 2, axis=1)
        for place in (0, 5, 27, 63):
            row, column = divmod(place, side)
            out = np.empty(12)
            for head in range(3):
                own = slice(head * d, (head + 1) * d)
                unit = normalise(project(x[place], "q")[own])
                near = [
                    (number, (row + dy) * side + column + dx)
                    for number, (dy, dx) in enumerate((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
                    if 0 <= row + dy < side and 0 <= column + dx < side
                ]
                scale = np.log1p(np.exp(w["temperature"][head, 0, 0])) * np.log(len(near) + n_pooled**2)
                query = (unit + w["query_embedding"][head, 0]) * scale
                logits = [
                    query @ normalise(keys[at, own]) + w["relative_pos_bias_local"][head, number]
                    for number, at in near
                ]
                for cell in range(n_pooled**2):
                    where = np.array([4 * (cell // 2) + 1.5, 4 * (cell % 2) + 1.5])
                    hidden = np.maximum(project(space(np.array([row, column]) - where), "cpb_fc1"), 0)
                    logits.append(query @ normalise(cell_keys[cell, own]) + project(hidden, "cpb_fc2")[head])
                weights = np.exp(logits) / np.exp(logits).sum()
                mixed = weights[len(near) :] @ cell_values[:, own]
                for weight, (number, at) in zip(weights, near, strict=False):
                    fixed = (
                        unit @ w["learnable_tokens"][head, :, number] + w["learnable_bias"][head, 0, number]
                    )
                    mixed = mixed + (weight + fixed) * values[at, own]
                out[own] = mixed
            np.testing.assert_allclose(found[image, place], project(out, "proj"), atol=1e-9)


def test_one_softmax_over_fovea_and_periphery():
    attention, places, tokens = make_attention(side=14, n_pooled=7)
    with torch.no_grad():
        local, pooled, *_ = attention.attend(tokens, places)
    torch.testing.assert_close(local.sum(-1) + pooled.sum(-1), torch.ones(2, 3, 196, dtype=torch.float64))
    n_keys = ((local > 0).sum(-1) + (pooled > 0).sum(-1)).view(2, 3, 14, 14)
    assert (n_keys[..., 1:-1, 1:-1] == 58).all()
    assert (n_keys[..., [0, 0, -1, -1], [0, -1, 0, -1]] == 53).all()
    torch.testing.assert_close(attention.log_length.exp().view(14, 14), n_keys[0, 0].double())


def test_order_inside_a_far_pooling_cell_does_not_matter():
    attention, places, tokens = make_attention(side=12, n_pooled=3)
    rows, columns = np.divmod(np.arange(144), 12)
    cell = np.flatnonzero((rows < 4) & (columns < 4))
    order = np.arange(144)
    order[cell] = np.random.default_rng(0).permutation(cell)
    with torch.no_grad():
        before, after = attention(tokens, places), attention(tokens[:, order], places)
    far = (rows > 4) | (columns > 4)
    torch.testing.assert_close(after[:, far], before[:, far], atol=1e-12, rtol=0)
    assert (after - before)[:, ~far].abs().max() > 1e-2


def test_another_size_takes_the_same_weights_and_refuses_other_images():
    small = make_small()
    larger = make_small(96, trained_px=64)
    larger.load_state_dict(small.state_dict())
    assert larger(torch.rand(1, 3, 96, 96)).shape == (1, 5)
    with pytest.raises(ValueError, match=r"shape \(n, 3, 64, 64\), got \(1, 3, 96, 96\)"):
        small(torch.rand(1, 3, 96, 96))
    with pytest.raises(ValueError, match="size_px must be a multiple of 32 from 64, got 100"):
        make_small(100)


def test_every_parameter_receives_a_gradient():
    network = make_small()
    network(torch.rand(2, 3, 64, 64)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_foveal_index_is_a_share_and_rises_with_the_local_bias():
    network, images = make_small(), torch.rand(2, 3, 64, 64)
    before = compute_foveal_index(network, images)
    assert list(before) == ["block1.0", "block2.0", "block3.0", "block3.1"]
    assert [len(values) for values in before.values()] == [1, 2, 3, 3]
    with torch.no_grad():
        network.block2[0].attn.relative_pos_bias_local[0] += 5
    after = compute_foveal_index(network, images)
    assert after["block2.0"][0] > before["block2.0"][0] + 0.1
    assert after["block2.0"][1] == pytest.approx(before["block2.0"][1])
    assert all(0 < share < 1 for values in after.values() for share in values)


def test_checkpoints_load_and_missing_ones_say_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "micro", SMALL)
    trained = build_seeded(lambda: TransNeXt(SMALL, size_px=64), 7)
    # A training run stores its weights beside other things.
    torch.save({"model": trained.state_dict(), "epoch": 3}, tmp_path / "weights.pth")
    space = make_transnext(checkpoint=tmp_path / "weights.pth", size_px=64)
    for name, value in trained.state_dict().items():
        assert torch.equal(space.module.state_dict()[name], value)
    with pytest.raises(ValueError, match="weights of this architecture"):
        make_transnext("tiny", checkpoint=tmp_path / "weights.pth", size_px=64)
    with pytest.raises(ValueError, match="size must be 'micro', 'tiny', 'small' or 'base', got 'huge'"):
        make_transnext("huge")


def test_a_failed_download_names_the_hub(monkeypatch):
    def refuse(*arguments):
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    monkeypatch.setattr(weights, "_answers", lambda url: True)
    with pytest.raises(FileNotFoundError, match=r"DaiShiResearch/transnext-tiny-224-1k.*checkpoint"):
        make_transnext("tiny")


def test_preprocessing_is_that_of_the_authors_evaluation(monkeypatch):
    monkeypatch.setitem(VARIANTS, "micro", SMALL)
    small, large = (
        make_transnext(pretrained=False, size_px=size).preprocess.description for size in (224, 384)
    )
    assert "size=256" in small
    assert "CenterCrop(size=(224, 224))" in small
    assert "bicubic" in small
    assert "size=(384, 384)" in large
    assert "CenterCrop" not in large
