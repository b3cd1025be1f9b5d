"""Flow models of others on motion that is known exactly."""

import re
import urllib.error
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from neurovis.metrics.flow import compute_epe, summarise_epe
from neurovis.motion.classical import DISFlow, FarnebackFlow, LucasKanadeFlow
from neurovis.motion.protocols import FlowModel
from neurovis.motion.raft import RAFTFlow, make_raft
from neurovis.stimuli.world_movies import make_movie

MODELS = (FarnebackFlow(), DISFlow(), LucasKanadeFlow())
NAMES = [model.name for model in MODELS]


def make_pair(moved, size=(96, 120)):
    rng = np.random.default_rng(5)
    field = gaussian_filter(rng.normal(size=size), 2, mode="wrap")
    field = (field - field.min()) / np.ptp(field)
    frames = [field, shift(field, (moved[1], moved[0]), order=3, mode="grid-wrap")]
    return np.repeat((np.stack(frames) * 255).clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
@pytest.mark.parametrize("moved", [(2.0, 0.0), (0.0, 1.5), (-1.0, -2.0)])
def test_a_shift_is_found_right_and_down(model, moved):
    assert isinstance(model, FlowModel)
    flow = model(make_pair(moved))
    assert flow.shape == (96, 120, 2)
    assert flow.dtype == np.float32
    inner = flow[16:-16, 16:-16]
    np.testing.assert_allclose(np.median(inner, axis=(0, 1)), moved, atol=0.1)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_layers_of_a_movie_are_better_than_no_flow(model):
    movie = make_movie(1, 4, kind="expansion", n_frames=3, size_px=128, speed_dps=2.0)
    truth, valid = movie.flow[0], movie.valid[0]
    still = compute_epe(truth, 0 * truth)[valid]
    found = compute_epe(truth, model(movie.frames[:2]))[valid]
    assert np.median(found) < 0.5 * np.median(still)


def test_untextured_frames_do_not_move():
    grey = np.full((2, 40, 40, 3), 90, dtype=np.uint8)
    for model in MODELS:
        assert np.abs(model(grey)).max() < 1e-3


def test_a_real_pair_with_its_true_flow(shared_data):
    from PIL import Image

    folder = shared_data / "motion_clips" / "flow_gt"
    frames = np.stack([np.asarray(Image.open(folder / f"0img{number}.ppm")) for number in (0, 1)])
    values = np.fromfile(folder / "0flow.flo", "<f4")
    width, height = np.fromfile(folder / "0flow.flo", "<i4")[1:3]
    truth = values[3:].reshape(height, width, 2)
    errors = {model.name: summarise_epe(compute_epe(truth, model(frames)).ravel()) for model in MODELS}
    # 3.04 px is what the description of the pair gives for Farneback, whose settings it does not give.
    assert errors["Farneback"]["mean"] == pytest.approx(3.04, abs=0.1)
    assert errors["DIS"]["mean"] < 2
    assert max(error["median"] for error in errors.values()) < 0.1


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_wrong_frames_are_refused(model):
    frames = make_pair((1, 0), size=(32, 32))
    with pytest.raises(ValueError, match=r"frames must have shape \(2, any, any, 3\)"):
        model(frames[:1])
    with pytest.raises(TypeError, match="uint8"):
        model(frames / 255)
    with pytest.raises(ValueError, match="sides of at least"):
        model(frames[:, :6])
    with pytest.raises(ValueError, match="preset must be"):
        DISFlow("best")


def test_random_raft_is_seeded_and_says_that_it_is_random():
    frames = make_pair((2, 0), size=(130, 128))
    first, again, other = (make_raft(pretrained=False, seed=seed, n_updates=2) for seed in (0, 0, 1))
    assert isinstance(first, FlowModel)
    assert first.name == "RAFT small, random weights"
    flow = first(frames)
    assert flow.shape == (130, 128, 2)
    assert flow.dtype == np.float32
    np.testing.assert_array_equal(flow, again(frames))
    assert np.abs(flow - other(frames)).max() > 1e-3


def test_flow_of_resized_frames_is_in_their_own_pixels():
    from torch import full_like, nn, stack

    class Constant(nn.Module):
        def forward(self, first, second, num_flow_updates):
            assert first.shape[-2:] == (128, 136)
            assert num_flow_updates == 7
            assert -1 <= first.min() < first.max() <= 1
            u = full_like(first[:, 0], 4.0)
            return [0 * stack([u, u], 1), stack([u, -2 * u], 1)]

    flow = RAFTFlow(Constant(), "constant", n_updates=7)(make_pair((0, 0), size=(64, 132)))
    np.testing.assert_allclose(flow[..., 0], 4 * 132 / 136, rtol=1e-6)
    np.testing.assert_allclose(flow[..., 1], -8 * 64 / 128, rtol=1e-6)


def test_raft_reads_a_checkpoint_and_refuses_a_foreign_one(tmp_path):
    import torch

    source = make_raft(pretrained=False, seed=3, n_updates=1)
    path = tmp_path / "mine.pth"
    torch.save(source.network.state_dict(), path)
    found = make_raft(checkpoint=path, n_updates=1)
    assert found.name == "RAFT small, mine"
    frames = make_pair((1, 1), size=(128, 128))
    np.testing.assert_array_equal(found(frames), source(frames))
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="must hold weights of RAFT small"):
        make_raft(checkpoint=path)
    path.write_bytes(b"half a file")
    with pytest.raises(ValueError, match="must hold weights of RAFT small"):
        make_raft(checkpoint=path)
    with pytest.raises(FileNotFoundError, match="raft_small"):
        make_raft(checkpoint=tmp_path / "none.pth")
    with pytest.raises(ValueError, match="size must be"):
        make_raft("huge")


def test_raft_without_a_network_says_what_to_do_and_takes_a_file_put_there(monkeypatch, tmp_path):
    import torch

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    with pytest.raises(FileNotFoundError, match=r"RAFT small.*checkpoint.*pretrained=False") as caught:
        make_raft()
    url, place = re.search(r"download (https://download\.pytorch\.org/\S+) elsewhere and put it at (\S+)",
                           str(caught.value)).groups()  # fmt: skip
    assert Path(place).name == url.rpartition("/")[2]
    source = make_raft(pretrained=False, seed=3, n_updates=1)
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    torch.save(source.network.state_dict(), place)
    found = make_raft(n_updates=1)
    assert found.name == "RAFT small"
    frames = make_pair((1, 1), size=(128, 128))
    np.testing.assert_array_equal(found(frames), source(frames))
    Path(place).write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"must hold weights of RAFT small.*get it again from https"):
        make_raft()
