"""The two-stage model: shapes, sizes, protocols, clear refusals, and what the shipped weights can do."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from neurovis.core import find_model
from neurovis.io import read_json
from neurovis.motion.flow_quality import STILL, measure_flow
from neurovis.motion.flow_training_data import KINDS
from neurovis.motion.protocols import FlowModel, MotionUnits
from neurovis.motion.v1mt import SIZES, V1MT, ConvexUpsampler, V1MTModel, V1MTSize, compute_luma, load_v1mt
from neurovis.stimuli.motion_scenes import make_motion_scene

TINY = V1MTSize(n_scales=2, n_units=4, span=2.0, radius_px=3, stride=8, n_iterations=2)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return V1MTModel(V1MT(TINY).eval(), "tiny")


@pytest.fixture(scope="module")
def shipped():
    return load_v1mt()


def make_frames(rng, size=(32, 40), n_frames=11):
    return rng.integers(0, 256, (n_frames, *size, 3), dtype=np.uint8)


def test_parameters_of_the_paper():
    network = V1MT(SIZES["paper"])
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert counts == {"v1": 3331, "mt": 11_474_690, "decoder": 110_754, "upsampler": 2_512_448}
    assert network.smallest_side_px == 48


def test_it_is_a_flow_model_and_a_set_of_units(tiny):
    assert isinstance(tiny, FlowModel)
    assert isinstance(tiny, MotionUnits)
    assert tiny.stages == ("v1", "mt1", "mt2")


@pytest.mark.parametrize("size", [(32, 40), (40, 32), (33, 47)])
def test_flow_has_the_size_of_the_frames(tiny, rng, size):
    flow = tiny(make_frames(rng, size))
    assert flow.shape == (*size, 2)
    assert flow.dtype == np.float32
    assert np.isfinite(flow).all()


def test_odd_sizes_are_padded_by_the_edge(tiny, rng):
    frames = make_frames(rng, (32, 35))
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 5), (0, 0)), mode="edge")
    np.testing.assert_allclose(tiny(frames), tiny(padded)[:, :35], atol=1e-5)


def test_training_and_calling_give_the_same_flow(tiny, rng):
    frames = make_frames(rng)
    with torch.no_grad():
        output = tiny.network(torch.from_numpy(compute_luma(frames))[None])
    np.testing.assert_allclose(tiny(frames), output.flows[-1][0].permute(1, 2, 0), atol=1e-5)
    assert [len(part) for part in (output.mt, output.flows, output.coarse_flows)] == [2, 2, 3]
    assert {tuple(flow.shape) for flow in (*output.flows, *output.coarse_flows)} == {(1, 2, 32, 40)}


def test_units_average_over_windows(tiny, rng):
    movie = rng.random((14, 32, 40)).astype(np.float32)
    found = tiny.respond(movie)
    assert set(found) == {"v1", "mt1", "mt2"}
    with torch.no_grad():
        windows = torch.from_numpy(np.stack([movie[start : start + 11] for start in range(4)]))
        output = tiny.network(windows)
    for stage, maps in (("v1", output.v1), ("mt2", output.mt[1])):
        assert found[stage].shape == (8, 4, 5)
        assert (found[stage] >= 0).all()
        np.testing.assert_allclose(found[stage], maps.mean(0), atol=1e-5)


def test_gradients_reach_both_stages(rng):
    torch.manual_seed(0)
    network = V1MT(TINY)
    output = network(torch.rand(1, 11, 32, 32))
    sum(flow.abs().mean() for flow in (*output.flows, *output.coarse_flows)).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name


def test_uniform_flow_stays_uniform_when_upsampled():
    torch.manual_seed(0)
    flow = torch.tensor([0.5, -0.25])[None, :, None, None].expand(1, 2, 3, 4)
    fine = ConvexUpsampler(8, 4)(flow, torch.randn(1, 8, 3, 4))
    torch.testing.assert_close(fine, 4 * flow[:, :, :1, :1].expand(1, 2, 12, 16))


def test_upsampled_flow_lies_between_its_neighbours():
    torch.manual_seed(0)
    flow, attention = torch.randn(1, 2, 3, 4), torch.randn(1, 8, 3, 4)
    fine = ConvexUpsampler(8, 4)(flow, attention)
    around = functional.pad(4 * flow, (1, 1, 1, 1), mode="replicate")
    highest = functional.max_pool2d(around, 3, stride=1).repeat_interleave(4, 2).repeat_interleave(4, 3)
    lowest = -functional.max_pool2d(-around, 3, stride=1).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert ((fine <= highest + 1e-5) & (fine >= lowest - 1e-5)).all()


def test_wrong_frames_are_refused(tiny, rng):
    frames = make_frames(rng)
    with pytest.raises(ValueError, match="must be 11, got 10"):
        tiny(frames[:10])
    with pytest.raises(TypeError, match="uint8"):
        tiny(frames / 255)
    with pytest.raises(ValueError, match="height, width, 3"):
        tiny(frames[..., 0])
    with pytest.raises(ValueError, match="at least 8 px"):
        tiny(frames[:, :7])


def test_wrong_movies_are_refused(tiny, rng):
    movie = rng.random((11, 32, 40)).astype(np.float32)
    with pytest.raises(TypeError, match="floating point"):
        tiny.respond((255 * movie).astype(np.uint8))
    with pytest.raises(ValueError, match="at least 11 frames"):
        tiny.respond(movie[:5])
    with pytest.raises(ValueError, match="at most 1"):
        tiny.respond(255 * movie)
    movie[3, 4, 5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        tiny.respond(movie)
    with pytest.raises(ValueError, match="NaN"):
        tiny.network(torch.from_numpy(movie)[None])


def test_wrong_tensors_are_refused(tiny):
    with pytest.raises(ValueError, match="windows of 11 frames"):
        tiny.network(torch.rand(1, 10, 32, 32))
    with pytest.raises(ValueError, match="multiples of 8 px, got 30 x 32"):
        tiny.network(torch.rand(1, 11, 30, 32))
    with pytest.raises(TypeError, match="floating point"):
        tiny.network(torch.zeros(1, 11, 32, 32, dtype=torch.uint8))
    small = V1MT(SIZES["small"])
    with pytest.raises(ValueError, match="at least 13 px for 4 scales"):
        small(torch.rand(1, 11, 12, 32))


def test_luma():
    frames = np.eye(3, dtype=np.uint8)[None] * 255
    np.testing.assert_allclose(compute_luma(frames), [[0.299, 0.587, 0.114]], rtol=1e-6)


def test_shipped_model_reproduces_its_card(shipped):
    quality = read_json(find_model("v1mt-small") / "config.json")["quality"]
    sample = quality["sample"]
    found = measure_flow([shipped], n_movies=sample["n_movies"], seed=quality["movie_seed"])[shipped.name]
    assert found == pytest.approx(sample["end_point_error_px"], abs=2e-3)


def test_shipped_model_beats_a_still_world_and_classical_flow():
    table = read_json(find_model("v1mt-small") / "config.json")["quality"]["end_point_error_px"]
    assert table["v1mt-small"]["all"] < min(row["all"] for name, row in table.items() if name != "v1mt-small")
    for kind in KINDS:
        # Plain shapes stand still nearly everywhere: only there is no motion a good guess.
        assert table["v1mt-small"][kind] < (1.1 if kind == "shapes" else 0.8) * table[STILL][kind]


def test_shipped_model_has_physical_signs(shipped):
    """x to the right, y down: mirrored movies move the other way."""
    movies = [make_motion_scene(11, index, kind="texture") for index in range(6)]
    for axis, mirror in ((None, (1, 1)), (1, (-1, 1)), (0, (1, -1))):
        found, truth = [], []
        for movie in movies:
            frames = movie.frames if axis is None else np.flip(movie.frames, axis + 1)
            found.append(shipped(frames).mean(axis=(0, 1)))
            truth.append(movie.flow[5].mean(axis=(0, 1)) * mirror)
        for found_part, true_part in zip(np.transpose(found), np.transpose(truth), strict=True):
            assert np.corrcoef(found_part, true_part)[0, 1] > 0.8


def test_more_iterations_can_be_asked_for(rng):
    model = load_v1mt(n_iterations=5)
    assert model.stages[-1] == "mt5"
    assert model(make_frames(rng, (32, 32))).shape == (32, 32, 2)


def test_a_missing_or_foreign_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_v1mt(tmp_path)
