"""Movies from a frame and flow: exact where the flow is, better than stillness where a brain gave it."""

import numpy as np
import pytest
from scipy import ndimage

from neurovis.datasets.simulated.flow import simulate_flow_clips
from neurovis.decoding.animation import (
    Animator,
    VideoDiffusionAnimator,
    WarpAnimator,
    compute_psnr,
    make_frame_flow,
    resize_flow,
    spread_drags,
)
from neurovis.decoding.flow import train_flow_decoder
from neurovis.stimuli.world_movies import Layer, make_movie, render_layers

SIDE, GRID = 64, 8


def make_texture(rng, side=SIDE, sigma=3.0):
    noise = ndimage.gaussian_filter(rng.normal(size=(side, side, 3)), (sigma, sigma, 0), mode="wrap")
    return np.clip(128 + 55 * noise / noise.std(), 0, 255).astype(np.uint8)


def test_resizing_scales_the_vectors():
    flow = np.tile(np.array([2.0, -1.0], np.float32), (3, 16, 24, 1))
    larger = resize_flow(flow, (48, 48))
    assert larger.shape == (3, 48, 48, 2)
    np.testing.assert_allclose(larger, np.broadcast_to([4.0, -3.0], larger.shape), rtol=1e-6)
    np.testing.assert_allclose(resize_flow(larger, (16, 24)), flow, rtol=1e-5)
    # A small object keeps its motion under nearest, and loses it to the mean.
    flow = np.zeros((16, 16, 2), np.float32)
    flow[9, 9] = 8.0
    assert resize_flow(flow, (4, 4), method="nearest").max() in (0.0, 2.0)
    assert resize_flow(flow, (4, 4)).max() == pytest.approx(8 / 16 / 4)


@pytest.mark.parametrize("interpolation", ["constant", "linear"])
def test_few_steps_become_many_fields(rng, interpolation):
    steps = rng.normal(size=(3, 4, 5, 2))
    for n_fields in (3, 7, 13):
        fields = make_frame_flow(steps, n_fields, interpolation=interpolation)
        assert fields.shape == (n_fields, 4, 5, 2)
        if interpolation == "constant":
            np.testing.assert_allclose(fields.sum(0), steps.sum(0), atol=1e-5)
    still = np.broadcast_to(steps[:1], steps.shape)
    np.testing.assert_allclose(
        make_frame_flow(still, 12, interpolation=interpolation), np.repeat(still[:1] / 4, 12, 0), rtol=1e-5
    )
    with pytest.raises(ValueError, match="at least the 3 steps"):
        make_frame_flow(steps, 2)


def test_drags_of_a_constant_field_stay_and_a_point_becomes_a_bump():
    field = np.tile(np.array([3.0, -2.0]), (2, 120, 150, 1))
    np.testing.assert_allclose(spread_drags(field), field, rtol=1e-5)
    raw = spread_drags(field[:, :90, :90], sigma_px=5, radius_px=24, dense=False)
    assert raw[0, 45, 45, 0] == pytest.approx(3 * 2 * np.pi * 25, rel=0.01)
    point = np.zeros((1, 60, 60, 2))
    point[0, 30, 20] = 4.0, 1.0
    bump = spread_drags(point, sigma_px=5, radius_px=24, dense=False)
    assert bump[0, 30, 20].tolist() == [4.0, 1.0]
    assert bump[0, 30, 25, 0] == pytest.approx(4 * np.exp(-0.5), rel=1e-5)


def test_whole_pixel_shifts_are_exact(rng):
    frame = make_texture(rng)
    warp = WarpAnimator()
    assert isinstance(warp, Animator)
    flow = np.tile(np.array([2.0, -1.0]), (3, SIDE, SIDE, 1))
    movie = warp(frame, flow)
    assert movie.shape == (4, SIDE, SIDE, 3)
    for t in range(4):
        np.testing.assert_array_equal(
            movie[t, : SIDE - t, 2 * t :], frame[t:, : SIDE - 2 * t], err_msg=f"frame {t}"
        )
    np.testing.assert_array_equal(warp(frame, np.zeros((2, SIDE, SIDE, 2))), [frame] * 3)


def test_what_moves_lies_in_front_and_uncovers_background():
    frame = np.full((40, 40, 3), 100, np.uint8)
    frame[15:25, 5:15] = 220
    flow = np.zeros((1, 40, 40, 2))
    flow[0, 15:25, 5:15, 0] = 12.0
    moved = WarpAnimator()(frame, flow)[1]
    expected = np.full((40, 40, 3), 100, np.uint8)
    expected[15:25, 17:27] = 220
    np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize("index", range(4))
def test_true_flow_animates_movies_of_the_world(index):
    movie = make_movie(3, index, kind="translation", n_frames=4, size_px=64, speed_dps=3.0)
    made = WarpAnimator()(movie.frames[0], movie.flow)
    inside = movie.valid[0]
    still = compute_psnr(movie.frames[1], movie.frames[0], inside)
    assert compute_psnr(movie.frames[1], made[1], inside) > still + 3


def render(clips, number, rng):
    """Two frames of a clip: a square and the background move by their velocities [px]."""
    rows, columns = (np.flatnonzero(clips.mask[number].any(axis)) for axis in (1, 0))
    cell = SIDE // GRID
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[rows[0] * cell : (rows[-1] + 1) * cell, columns[0] * cell : (columns[-1] + 1) * cell] = 1.0
    poses = np.zeros((2, 2, 2, 3))
    poses[:, :, :, :2] = np.eye(2)
    poses[0, 1, :, 2], poses[1, 1, :, 2] = clips.velocity[number, 2:], clips.velocity[number, :2]
    layers = [Layer(make_texture(rng), None, poses[0]), Layer(make_texture(rng), alpha, poses[1])]
    frames = render_layers(layers, SIDE)[0]
    y, x = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    there = [x - clips.velocity[number, 0], y - clips.velocity[number, 1]]
    return frames, ndimage.map_coordinates(alpha, there[::-1], order=0) > 0.5


def test_flow_from_the_brain_beats_stillness_by_a_decibel():
    train = simulate_flow_clips(900, seed=0)
    test = simulate_flow_clips(60, seed=0, part="test")
    # Velocities are px of the rendered frames; on the grid a px is an eighth.
    decoder = train_flow_decoder(
        train.brain, train.frame, train.flow * GRID / SIDE, train.mask, n_codes=16, n_epochs=10, seed=0
    )
    order = np.roll(np.arange(60), 1)
    flows = {
        "brain": decoder.decode(test.brain, test.frame),
        "shuffled": decoder.decode(test.brain[order], test.frame),
        "true": test.flow * GRID / SIDE,
    }
    psnr = {name: [] for name in (*flows, "still")}
    rng = np.random.default_rng(0)
    for number in range(60):
        frames, mask = render(test, number, rng)
        psnr["still"].append(compute_psnr(frames[1], frames[0], mask))
        for name, flow in flows.items():
            # Nearest keeps the edge of the object where the grid has it.
            dense = resize_flow(flow[number], (SIDE, SIDE), method="nearest")
            made = WarpAnimator()(frames[0], dense)
            psnr[name].append(compute_psnr(frames[1], made[1], mask))
    mean = {name: np.mean(values) for name, values in psnr.items()}
    print({name: round(float(value), 2) for name, value in mean.items()})
    assert mean["brain"] > mean["still"] + 1
    assert mean["brain"] > mean["shuffled"] + 1
    assert mean["true"] > mean["brain"]


def test_psnr_follows_its_definition(rng):
    first = rng.integers(0, 200, (5, 6, 3), dtype=np.uint8)
    second = first + rng.integers(1, 50, first.shape, dtype=np.uint8)
    mask = rng.random((5, 6)) < 0.5
    error = np.mean(
        [(int(a) - int(b)) ** 2 for a, b in zip(first[mask].ravel(), second[mask].ravel(), strict=True)]
    )
    assert compute_psnr(first, second, mask) == pytest.approx(20 * np.log10(255) - 10 * np.log10(error))
    assert compute_psnr(first, first) == np.inf
    with pytest.raises(ValueError, match="mask hold pixels"):
        compute_psnr(first, second, np.zeros_like(mask))


def make_tiny_svd():
    torch = pytest.importorskip("torch")
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=8, in_channels=8, out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=32, num_attention_heads=8, projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=[32, 64], in_channels=3, out_channels=3,
        down_block_types=["DownEncoderBlock2D", "DownEncoderBlock2D"], latent_channels=4,
    )  # fmt: skip
    config = transformers.CLIPVisionConfig(
        hidden_size=32, projection_dim=32, num_hidden_layers=1, num_attention_heads=4, image_size=224,
        intermediate_size=37, patch_size=32,
    )  # fmt: skip
    return diffusers.StableVideoDiffusionPipeline(
        vae=vae, image_encoder=transformers.CLIPVisionModelWithProjection(config).eval(), unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", use_karras_sigmas=True),
        feature_extractor=transformers.CLIPImageProcessor(crop_size=224, size=224),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_video_diffusion_runs_offline_from_a_folder_and_is_blind_to_flow(rng, tmp_path):
    pipeline = make_tiny_svd()
    pipeline.set_progress_bar_config(disable=True)
    animate = VideoDiffusionAnimator(pipeline, n_steps=2, seed=1)
    assert isinstance(animate, Animator)
    assert not animate.uses_flow
    frame = make_texture(rng, 32)
    flow = np.zeros((2, 32, 32, 2))
    movie = animate(frame, flow)
    assert movie.shape == (3, 32, 32, 3)
    assert movie.dtype == np.uint8
    np.testing.assert_array_equal(movie[0], frame)
    np.testing.assert_array_equal(movie, animate(frame, flow + 5.0))
    assert (movie != VideoDiffusionAnimator(pipeline, n_steps=2, seed=2)(frame, flow)).any()
    with pytest.raises(ValueError, match="multiples of 8"):
        animate(frame[:30], flow[:, :30])
    pipeline.save_pretrained(tmp_path)
    from_disk = VideoDiffusionAnimator(tmp_path, n_steps=2, seed=1)
    np.testing.assert_array_equal(from_disk(frame, flow), movie)


def test_missing_weights_and_bad_shapes_say_what_to_do(tmp_path, rng):
    frame, flow = make_texture(rng, 32), np.zeros((1, 32, 32, 2))
    pytest.importorskip("diffusers")
    with pytest.raises(FileNotFoundError, match="pass its folder"):
        VideoDiffusionAnimator(tmp_path)(frame, flow)
    with pytest.raises(ValueError, match="resize_flow"):
        WarpAnimator()(frame, flow[:, :16])
    with pytest.raises(ValueError, match="uint8"):
        WarpAnimator()(frame / 255, flow)
    with pytest.raises(ValueError, match="method"):
        resize_flow(flow, (8, 8), method="cubic")
    with pytest.raises(ValueError, match="move x and y last"):
        resize_flow(np.zeros((2, 8, 8)), (4, 4))
    with pytest.raises(ValueError, match="positive and whole"):
        resize_flow(flow, (4.5, 4))
    with pytest.raises(ValueError, match="flow must be finite"):
        WarpAnimator()(frame, flow * np.nan)
    for steps, n_fields in ((flow, 1.5), (flow[:0], 4)):
        with pytest.raises(ValueError, match="n_fields must be a whole number"):
            make_frame_flow(steps, n_fields)
    with pytest.raises(ValueError, match="sigma_px must be at least"):
        spread_drags(flow, sigma_px=0)
    with pytest.raises(TypeError, match="uint8"):
        compute_psnr(frame / 255, frame / 255)
