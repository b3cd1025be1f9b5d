"""The training loop against a hand-written one, and its resumption against an undisturbed run."""

import itertools

import numpy as np
import pytest
import torch

from neurovis.training.checkpoints import read_tensors, write_tensors
from neurovis.training.loop import ArrayBatches, compute_learning_rate, train


def _make_problem(seed=0):
    rng = np.random.default_rng(seed)
    X = torch.from_numpy(rng.standard_normal((50, 6)).astype(np.float32))
    y = X @ torch.from_numpy(rng.standard_normal((6, 2)).astype(np.float32))
    return X, y


def _make_model():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 2))


def _loss(model, batch):
    X, y = batch
    return torch.nn.functional.mse_loss(model(X), y)


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_equals_a_plain_loop():
    X, y = _make_problem()
    batches = ArrayBatches((X, y), batch_size=16, seed=1)
    model = torch.nn.Linear(6, 2)
    reference = torch.nn.Linear(6, 2)
    reference.load_state_dict(model.state_dict())
    train(model, batches, _loss, n_epochs=3, seed=0, schedule="constant", clip_norm=None, progress=False)
    optimiser = torch.optim.AdamW(reference.parameters(), lr=1e-3, weight_decay=0.0)
    for epoch in range(3):
        for batch in batches(epoch):
            optimiser.zero_grad()
            _loss(reference, batch).backward()
            optimiser.step()
    torch.testing.assert_close(_weights(model), _weights(reference))


def test_batches_cover_every_row_once_in_a_new_order():
    X = torch.arange(23)
    batches = ArrayBatches((X,), batch_size=5, seed=0)
    first, second = ([int(v) for (b,) in batches(epoch) for v in b] for epoch in (0, 1))
    assert len(batches) == 5
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second
    assert first == [int(v) for (b,) in batches(0) for v in b]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_killed_and_resumed_run_ends_with_the_same_weights(tmp_path, optimiser):
    X, y = _make_problem()
    batches = ArrayBatches((X, y), batch_size=16, seed=1)
    settings = {"n_epochs": 5, "seed": 7, "optimiser": optimiser, "learning_rate": 0.01, "progress": False}
    whole = _make_model()
    train(whole, batches, _loss, **settings)

    def failing(model, batch):
        failing.calls += 1
        if failing.calls > 10:
            raise KeyboardInterrupt
        return _loss(model, batch)

    failing.calls = 0
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(_make_model(), batches, failing, checkpoint=path, **settings)
    resumed = _make_model()
    result = train(resumed, batches, _loss, checkpoint=path, **settings)
    torch.testing.assert_close(_weights(resumed), _weights(whole), rtol=0, atol=0)
    assert [entry.epoch for entry in result.history] == list(range(5))
    again = _make_model()
    train(again, batches, failing, checkpoint=path, **settings)
    torch.testing.assert_close(_weights(again), _weights(whole), rtol=0, atol=0)


def test_early_stopping_restores_the_best_weights():
    X, y = _make_problem()
    seen = []

    def validate(model):
        seen.append(_weights(model).clone())
        return [3.0, 1.0, 2.0, 2.0, 2.0][len(seen) - 1]

    model = _make_model()
    result = train(
        model,
        ArrayBatches((X, y), 16, 0),
        _loss,
        n_epochs=20,
        seed=0,
        validate=validate,
        patience=2,
        progress=False,
    )
    assert result.stopped_early
    assert result.best_epoch == 1
    assert len(result.history) == 4
    torch.testing.assert_close(_weights(model), seen[1])
    assert not model.training


def test_global_generator_is_left_alone():
    X, y = _make_problem()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    train(_make_model_without_seed(), ArrayBatches((X, y), 16, 0), _loss, n_epochs=1, seed=5, progress=False)
    torch.testing.assert_close(torch.rand(3), expected)


def _make_model_without_seed():
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(6, 2, bias=False))
    torch.manual_seed(0)
    return model


def test_schedules():
    rates = [compute_learning_rate(step, 100, peak=1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[20]) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.001)
    assert all(a >= b for a, b in itertools.pairwise(rates[20:]))
    assert compute_learning_rate(0, 100, peak=0.5, schedule="cosine") == pytest.approx(0.5)


def test_bad_input_is_named(tmp_path):
    X, y = _make_problem()
    batches = ArrayBatches((X, y), 16, 0)
    with pytest.raises(ValueError, match=r"schedule must be .*'linear'"):
        train(_make_model(), batches, _loss, n_epochs=1, seed=0, schedule="linear")
    with pytest.raises(ValueError, match="patience needs validate"):
        train(_make_model(), batches, _loss, n_epochs=1, seed=0, patience=2)
    with pytest.raises(ValueError, match="loss must be finite"):
        train(_make_model(), batches, lambda m, b: _loss(m, b) * np.nan, n_epochs=1, seed=0, progress=False)
    path = tmp_path / "run.safetensors"
    train(_make_model(), batches, _loss, n_epochs=1, seed=0, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match="another configuration"):
        train(_make_model(), batches, _loss, n_epochs=2, seed=0, checkpoint=path, progress=False)
    with pytest.raises(ValueError, match="one length"):
        ArrayBatches((X, y[:3]), 16, 0)


def test_tensor_file_round_trip_and_truncation(tmp_path):
    path = write_tensors(
        {"a": torch.arange(4.0).reshape(2, 2).T}, tmp_path / "x.safetensors", record={"n": 1}
    )
    tensors, record = read_tensors(path)
    assert record == {"n": 1}
    torch.testing.assert_close(tensors["a"], torch.tensor([[0.0, 2.0], [1.0, 3.0]]))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="truncated"):
        read_tensors(path)
