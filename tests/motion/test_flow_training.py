"""Training on generated motion: the loss, the batches, resuming, and that it learns."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from neurovis.io import read_json
from neurovis.motion import mt
from neurovis.motion.flow_io import list_sintel, write_flow
from neurovis.motion.flow_quality import STILL, format_quality, measure_flow, name_best
from neurovis.motion.flow_training import compute_sequence_loss, make_loss, make_network, train_v1mt
from neurovis.motion.flow_training_data import KINDS, MotionBatches
from neurovis.motion.v1mt import V1MT, V1MTSize, load_v1mt
from neurovis.training.loop import ArrayBatches, train

TINY = V1MTSize(n_scales=2, n_units=4, span=2.0, radius_px=3, stride=8, n_iterations=2)


def test_sequence_loss_by_hand():
    truth = torch.zeros(1, 2, 2, 2)
    flows = [torch.full_like(truth, 1.0), torch.full_like(truth, 3.0)]
    assert float(compute_sequence_loss(flows, truth)) == pytest.approx((0.85 * 1 + 3) / 1.85)


def test_unknown_and_wild_pixels_do_not_count():
    truth = torch.zeros(1, 2, 2, 2)
    flow = torch.ones_like(truth, requires_grad=True)
    truth[0, 0, 0, 0], truth[0, 1, 1, 1] = math.nan, 500.0
    loss = compute_sequence_loss([flow], truth)
    assert float(loss.detach()) == pytest.approx(1.0)
    loss.backward()
    assert torch.isfinite(flow.grad).all()
    assert (flow.grad != 0).sum() == 4
    with pytest.raises(ValueError, match="valid pixel"):
        compute_sequence_loss([flow], torch.full_like(truth, math.nan))


def test_portrait_against_landscape_is_named():
    with pytest.raises(ValueError, match="height and width are swapped"):
        compute_sequence_loss([torch.zeros(1, 2, 4, 6)], torch.zeros(1, 2, 6, 4))


def test_batches_are_those_of_their_seed_and_keep_movie_and_flow_together():
    batches = MotionBatches(n_movies=2, batch_size=5, n_frames=5, seed=0, size_px=32)
    first, again = list(batches(1)), list(batches(1))
    assert len(first) == len(batches) == 4
    assert [len(movies) for movies, _ in first] == [5, 5, 5, 1]
    for (movies, flow), (other, _) in zip(first, again, strict=True):
        torch.testing.assert_close(movies, other)
        assert movies.dtype == torch.uint8
        assert movies.shape[1:] == (5, 32, 32)
        assert flow.shape[1:] == (2, 32, 32)
    assert not torch.equal(first[0][0], next(iter(batches(2)))[0])


def test_turned_samples_still_move_as_their_flow_says(monkeypatch):
    """The middle frame's pixels are found in the next frame where the turned flow points."""
    from scipy.ndimage import map_coordinates

    monkeypatch.setattr("neurovis.motion.flow_training_data._SHARES", (0, 1, 0, 0, 0))
    errors = []
    for movies, flows in MotionBatches(n_movies=3, batch_size=24, n_frames=5, seed=3)(0):
        for movie, (u, v) in zip(movies.numpy().astype(float), flows.numpy(), strict=True):
            y, x = np.mgrid[:64, :64]
            inner = (slice(8, -8), slice(8, -8))
            read = [map_coordinates(movie[3], [y + s * v, x + s * u], order=1)[inner] for s in (1, 0, -1)]
            errors.append([np.abs(values - movie[2][inner]).mean() for values in read])
    with_flow, without, opposite = np.mean(errors, axis=0)
    assert with_flow < 0.6 * without
    assert with_flow < 0.6 * opposite


def test_wrong_batches_are_refused():
    with pytest.raises(ValueError, match="batch_size"):
        MotionBatches(n_movies=1, batch_size=0, n_frames=5, seed=0)
    with pytest.raises(ValueError, match="n_frames"):
        MotionBatches(n_movies=1, batch_size=1, n_frames=40, seed=0)


def test_published_movies_join_as_crops_around_known_flow(tmp_path):
    """Grey levels and flow of a crop name the place that both were cut from."""
    y, x = np.mgrid[:48, :80]
    for number in range(1, 7):
        path = tmp_path / f"training/clean/alley/frame_{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat((x + 2 * y).astype(np.uint8)[..., None], 3, axis=-1)).save(path)
    flow = np.stack([x, y], axis=-1).astype(np.float32)
    flow[:40] = np.nan
    flow_path = tmp_path / "training/flow/alley/frame_0003.flo"
    flow_path.parent.mkdir(parents=True)
    write_flow(flow, flow_path)
    samples = list_sintel(tmp_path, n_frames=5)
    assert len(samples) == 1
    options = {"n_movies": 6, "batch_size": 48, "n_frames": 5, "seed": 0, "size_px": 32}
    ((movies, flows),) = MotionBatches(**options, published=samples)(0)
    sparse = torch.isnan(flows).flatten(1).any(dim=1)
    assert 0 < int(sparse.sum()) < 48
    for movie, found in zip(movies[sparse].numpy().astype(int), flows[sparse].numpy(), strict=True):
        known = np.isfinite(found).all(axis=0)
        assert 0 < known.sum() < known.size
        # Turns and mirrors change signs and axes of the flow, inversion the grey level, neither where it is.
        level = movie[2][known]
        u, v = np.abs(found[:, known])
        assert any(
            np.allclose(grey, a + 2 * b, atol=1) for grey in (level, 255 - level) for a, b in ((u, v), (v, u))
        )
    with pytest.raises(ValueError, match="at least 64 px"):
        list(MotionBatches(**{**options, "size_px": 64}, published=samples)(0))
    with pytest.raises(ValueError, match="samples of 7 frames"):
        MotionBatches(**{**options, "n_frames": 7}, published=samples)


def test_twenty_batches_reduce_the_loss():
    torch.manual_seed(0)
    network = V1MT(TINY)
    movies, flows = next(iter(MotionBatches(n_movies=2, batch_size=8, n_frames=11, seed=1)(0)))
    network.v1.balance(movies.float() / 255)
    compute_loss = make_loss()
    with torch.no_grad():
        before = float(compute_loss(network, (movies, flows)))
    result = train(
        network, ArrayBatches((movies, flows), 4, 0), compute_loss, n_epochs=10, seed=0, learning_rate=1e-2,
        progress=False,
    )  # fmt: skip
    with torch.no_grad():
        after = float(compute_loss(network, (movies, flows)))
    assert len(result.history) == 10
    assert after < 0.85 * before


@pytest.mark.parametrize("limit", [0, 1024])
def test_half_precision_stays_close(monkeypatch, limit):
    monkeypatch.setattr(mt, "DENSE_LIMIT", limit)
    network = make_network("small", 0)
    batch = (torch.randint(0, 256, (1, 11, 32, 32), dtype=torch.uint8), torch.randn(1, 2, 32, 32))
    gradients = []
    for amp in (False, True):
        network.zero_grad()
        make_loss(amp=amp)(network, batch).backward()
        gradients.append(network.mt.step.to_values.weight.grad.flatten())
    assert functional.cosine_similarity(*gradients, dim=0) > 0.98


def test_networks_depend_on_their_seed_and_leave_the_generator():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (make_network("small", seed).mt.readout[0].weight for seed in (0, 0, 1))
    torch.testing.assert_close(torch.rand(1), expected)
    torch.testing.assert_close(one, same)
    assert not torch.equal(one, other)


def test_a_killed_run_resumes_to_the_same_weights(tmp_path, monkeypatch):
    options = {"n_epochs": 2, "n_movies": 1, "n_test": 1}
    train_v1mt(tmp_path / "whole", **options)
    original = MotionBatches.__call__

    def fail_late(self, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        return original(self, epoch)

    checkpoint = tmp_path / "run.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(MotionBatches, "__call__", fail_late)
        with pytest.raises(KeyboardInterrupt):
            train_v1mt(tmp_path / "parts", checkpoint=checkpoint, **options)
    quality = train_v1mt(tmp_path / "parts", checkpoint=checkpoint, **options)
    whole, parts = (read_json(tmp_path / name / "config.json") for name in ("whole", "parts"))
    assert whole["sha256"] == parts["sha256"]
    assert quality["end_point_error_px"] == whole["quality"]["end_point_error_px"]
    assert load_v1mt(tmp_path / "parts").name == "v1mt-small"
    card = (tmp_path / "parts" / "README.md").read_text()
    assert f"`{parts['sha256']}`" in card
    assert "--n-epochs 2" in card


class Exact:
    """A model that knows one movie's flow, of another number of frames than the others."""

    name, n_frames = "constant", 2

    def __call__(self, frames):
        assert frames.shape[0] == 2
        return np.zeros((*frames.shape[1:3], 2), dtype=np.float32)


def test_measuring_compares_at_the_same_moment():
    table = measure_flow([Exact()], n_movies=1, seed=0, size_px=32)
    assert table["constant"] == table[STILL]
    assert set(table[STILL]) == {*KINDS, "all"}
    assert table[STILL]["all"] == pytest.approx(np.mean([table[STILL][kind] for kind in KINDS]), abs=1e-4)
    assert format_quality(table).count("\n") == 3
    table["constant"]["world"] = 0.0
    assert name_best(table)["world"] == "constant"


def test_an_unknown_size_is_named(tmp_path):
    with pytest.raises(ValueError, match="size must be 'paper' or 'small'"):
        train_v1mt(tmp_path, size="huge")
