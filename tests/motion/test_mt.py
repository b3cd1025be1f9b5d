"""Recurrent integration: the streamed graph against the written-out one, and what the stage promises."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from neurovis.motion import mt
from neurovis.motion.mt import MTStage, add_position, spread_dense, spread_streamed


def make_graph(dtype, n_nodes=70, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, n_nodes, 8, generator=generator, dtype=dtype)
    values = torch.randn(2, n_nodes, 8, generator=generator, dtype=dtype)
    gain = torch.tensor([2.0, 9.0], dtype=dtype)[:, None, None]
    return functional.normalize(features, dim=-1), gain, values


def spread_literally(features, gain, values):
    """The authors' steps, one after the other."""
    graph = torch.exp(gain * (features @ features.transpose(1, 2)))
    graph = graph / graph.max()
    root = 1 / (graph.sum(-1, keepdim=True).sqrt() + 1e-6)
    return (root * graph * root.transpose(1, 2)) @ values


@pytest.mark.parametrize("strip", [512, 32])
def test_streamed_graph_equals_the_dense_one(monkeypatch, strip):
    monkeypatch.setattr(mt, "_STRIP", strip)
    features, gain, values = make_graph(torch.float32)
    expected = spread_literally(features, gain, values)
    torch.testing.assert_close(spread_dense(features, gain, values), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(spread_streamed(features, gain, values), expected, atol=1e-5, rtol=0)


def test_gradients_of_the_streamed_graph(monkeypatch):
    monkeypatch.setattr(mt, "_STRIP", 32)
    arguments = [a.requires_grad_() for a in make_graph(torch.float64)]
    weights = torch.randn(2, 70, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    dense = torch.autograd.grad((weights * spread_dense(*arguments)).sum(), arguments)
    streamed = torch.autograd.grad((weights * spread_streamed(*arguments)).sum(), arguments)
    for one, other in zip(dense, streamed, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-10)


def test_gradients_by_finite_differences(monkeypatch):
    monkeypatch.setattr(mt, "_STRIP", 4)
    features, gain, values = (a[:, :6].clone().requires_grad_() for a in make_graph(torch.float64))
    assert torch.autograd.gradcheck(
        lambda f, s, v: spread_streamed(functional.normalize(f, dim=-1), s, v), (features, gain, values)
    )


def test_the_graph_is_symmetric_and_keeps_its_leading_vector():
    features, gain, _ = make_graph(torch.float64, n_nodes=12)
    eye = torch.eye(12, dtype=torch.float64).expand(2, 12, 12)
    graph = spread_dense(features, gain, eye)
    torch.testing.assert_close(graph, graph.transpose(1, 2))
    # The square roots of the degrees are the eigenvector of eigenvalue one, the largest.
    degree = torch.exp(gain * features @ features.transpose(1, 2)).sum(-1, keepdim=True).sqrt()
    torch.testing.assert_close(graph @ degree, degree)
    assert torch.linalg.eigvalsh(graph).max() == pytest.approx(1.0)


def test_parameters_of_the_paper():
    assert sum(p.numel() for p in MTStage().parameters()) == 11_474_690


def test_responses_are_a_positive_code_of_bounded_mean():
    torch.manual_seed(0)
    stage = MTStage(16)
    with torch.no_grad():
        responses, states = stage(torch.rand(2, 16, 5, 7) * 4, 3)
    assert len(responses) == len(states) == 3
    for response, state in zip(responses, states, strict=True):
        assert response.shape == state.shape == (2, 16, 5, 7)
        assert (response >= 0).all()
        assert (response.mean(dim=(1, 2, 3)) < 1.8).all()


def test_a_sample_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    stage, energy = MTStage(8), torch.rand(3, 8, 6, 6)
    with torch.no_grad():
        together, alone = stage(energy, 2)[0][-1][1:2], stage(energy[1:2], 2)[0][-1]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_dense_and_streamed_stage_agree(monkeypatch):
    torch.manual_seed(0)
    stage, energy = MTStage(8), torch.rand(1, 8, 9, 8)
    with torch.no_grad():
        dense = stage(energy, 2)[0][-1]
        monkeypatch.setattr(mt, "DENSE_LIMIT", 0)
        streamed = stage(energy, 2)[0][-1]
    torch.testing.assert_close(dense, streamed, atol=1e-5, rtol=1e-5)


def test_position_code_keeps_the_mean_and_tells_places_apart():
    energy = torch.ones(2, 8, 6, 5) * torch.tensor([1.0, 3.0])[:, None, None, None]
    placed = add_position(energy)
    np.testing.assert_allclose(placed.abs().mean((1, 2, 3)), [1, 3], rtol=1e-6)
    places = placed[0].flatten(1).T
    distances = torch.cdist(places, places) + 10 * torch.eye(30)
    assert distances.min() > 1e-2
