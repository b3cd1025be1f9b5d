"""The network against slow references: positional code, decoder, readouts and gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurovis.encoding.region_queries import make_region_queries  # noqa: E402
from neurovis.encoding.transformer_network import (  # noqa: E402
    CrossAttention,
    GroupedReadout,
    NeuroidReadout,
    RegionNetwork,
    StaticMaps,
    make_sine_code,
)


def make_selector(n_channels=12, width=12, n_heads=3, n_queries=4, side=3, dropout=0.0):
    row, column = (entries.ravel() for entries in np.indices((side, side)))
    torch.manual_seed(0)
    selector = CrossAttention(
        make_sine_code(row, column, width), n_channels=n_channels, n_queries=n_queries, n_heads=n_heads,
        n_hidden=7, dropout=dropout,
    )  # fmt: skip
    with torch.no_grad():  # away from the zeros and ones they start from
        for parameter in selector.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return selector.eval()


def normalise(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-5) * weight + bias


def decode_slowly(p, tokens, code, n_heads):
    """One image, query by query and head by head, from the text of the paper's description."""

    def linear(name, x):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    lifted = linear("lift", tokens) if "lift.weight" in p else tokens
    keys, values = linear("to_key", lifted + code), linear("to_value", lifted)
    found, maps = [], []
    for query in linear("to_query", normalise(np.zeros_like(p["queries"]), 1.0, p["target"]) + p["queries"]):
        picked = []
        for part in np.split(np.arange(len(query)), n_heads):
            odds = np.exp(keys[:, part] @ query[part] / np.sqrt(len(part)))
            maps.append(odds / odds.sum())
            picked.append(maps[-1] @ values[:, part])
        t = linear("merge", np.concatenate(picked))
        hidden = np.maximum(linear("hidden", normalise(t, p["norm.weight"], p["norm.bias"])), 0)
        t = t + linear("output", hidden)
        found.append(normalise(t, p["last_norm.weight"], p["last_norm.bias"]))
    return np.array(found), np.array(maps).reshape(len(found), n_heads, -1)


@pytest.mark.parametrize("n_channels", [12, 5])
def test_cross_attention_equals_a_loop_over_queries_and_heads(rng, n_channels):
    selector = make_selector(n_channels).double()
    tokens = torch.from_numpy(rng.normal(size=(2, 9, n_channels)))
    p = {name: value.detach().numpy() for name, value in selector.named_parameters()}
    with torch.no_grad():
        regions, maps = selector(tokens).numpy(), selector.attend(tokens).numpy()
    for image in range(2):
        slow, slow_maps = decode_slowly(p, tokens[image].numpy(), selector.code.numpy(), 3)
        np.testing.assert_allclose(regions[image], slow, atol=1e-10)
        np.testing.assert_allclose(maps[image], slow_maps, atol=1e-12)


def test_sine_code_is_written_out():
    code = make_sine_code(np.array([3, 3, 4, 5]), np.array([0, 1, 0, 1]), 8)
    for token, (row, column) in enumerate([(1 / 3, 1 / 2), (1 / 3, 1), (2 / 3, 1 / 2), (1, 1)]):
        for half, share in enumerate((row, column)):
            for pair in range(2):
                angle = 2 * np.pi * share / 10000 ** (2 * pair / 4)
                np.testing.assert_allclose(code[token, 4 * half + 2 * pair], np.sin(angle), atol=1e-6)
                np.testing.assert_allclose(code[token, 4 * half + 2 * pair + 1], np.cos(angle), atol=1e-6)


@pytest.mark.parametrize("overlap", ["sum", "mean", "first"])
def test_grouped_readout_equals_the_naive_masked_sum(rng, overlap):
    n_regions, n_neuroids, width = 5, 60, 8
    members = rng.random((n_regions, n_neuroids)) < 0.35
    members[3] = False
    hemisphere = rng.choice(["left", "right"], n_neuroids)
    queries = make_region_queries(n_neuroids, regions=members, hemisphere=hemisphere, overlap=overlap)
    assert queries.absent == ("region 3",)
    assert len(queries.mixing) < n_neuroids
    readout = GroupedReadout(queries.mixing, queries.pattern, width=width)
    with torch.no_grad():
        readout.bias += torch.randn(n_neuroids)
        regions = torch.randn(3, len(queries.region), width)
        fast = readout(regions).numpy()
        w, b = readout.weight[readout.inverse].numpy(), readout.bias[readout.inverse].numpy()
    for v in range(n_neuroids):
        own = [
            q
            for q, (name, side) in enumerate(zip(queries.region, queries.hemisphere, strict=True))
            if side == hemisphere[v]
            and (name == "no region" if not members[:, v].any() else name in _names(members[:, v]))
        ]
        own = own[:1] if overlap == "first" else own
        read = regions[:, own].numpy().sum(1) / (len(own) if overlap == "mean" else 1)
        np.testing.assert_allclose(fast[:, v], read @ w[v] + b[v], atol=1e-5)


def _names(flags):
    return {f"region {number}" for number in np.flatnonzero(flags)}


def test_neuroid_readout_is_the_diagonal_of_all_pairs():
    readout = NeuroidReadout(30, width=8)
    regions = torch.randn(4, 30, 8)
    with torch.no_grad():
        everything = regions @ readout.weight.T + readout.bias
        diagonal = torch.diagonal(everything, dim1=1, dim2=2)
        np.testing.assert_allclose(readout(regions).numpy(), diagonal.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["cross-attention", "static"])
def test_gradients_of_the_tokens(kind):
    queries = make_region_queries(7, regions=list("AABBCCC"))
    if kind == "static":
        selector = StaticMaps(n_tokens=9, n_channels=12, n_queries=3)
    else:
        selector = make_selector(n_queries=3)
    readout = GroupedReadout(queries.mixing, queries.pattern, width=selector.width)
    network = RegionNetwork(selector, readout, n_channels=12, n_neuroids=7).double().eval()
    network.token_scale += 1
    network.response_mean += 3
    tokens = torch.randn(2, 9, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (tokens,))


def test_dropout_acts_in_training_alone():
    selector = make_selector(dropout=0.5)
    tokens = torch.randn(2, 9, 12)
    with torch.no_grad():
        assert torch.equal(selector(tokens), selector(tokens))
        selector.train()
        assert not torch.allclose(selector(tokens), selector(tokens))


def test_one_step_at_the_size_of_the_paper(rng):
    """961 tokens of 768 channels, 50 queries, 2000 neuroids in up to three regions."""
    row, column = (entries.ravel() for entries in np.indices((31, 31)))
    members = np.zeros((24, 2000), dtype=bool)
    members[rng.integers(24, size=(3, 2000)), np.arange(2000)] = True
    members[:, :200] = False
    queries = make_region_queries(2000, regions=members, hemisphere=np.repeat(["left", "right"], 1000))
    assert len(queries.region) == 49  # neuroids of no region are all in the left hemisphere
    selector = CrossAttention(
        make_sine_code(row, column, 768), n_channels=768, n_queries=49, n_heads=16, n_hidden=1024, dropout=0.1
    )
    readout = GroupedReadout(queries.mixing, queries.pattern, width=768)
    network = RegionNetwork(selector, readout, n_channels=768, n_neuroids=2000)
    own = {parameter.data_ptr() for parameter in network.parameters()}
    kept = {}

    def keep(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    tokens = torch.randn(4, 961, 768)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(tokens).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    # Five arrays of the size of the tokens (tokens, with code, keys, values, scaled) and the small rest.
    assert sum(kept.values()) < 7 * tokens.nbytes
