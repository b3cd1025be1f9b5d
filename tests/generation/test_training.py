"""Training of the world's diffusion model at a minuscule size, and the model that ships."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from neurovis.core import compute_file_hash, find_model  # noqa: E402
from neurovis.generation import training_quality, training_unet, training_vae  # noqa: E402
from neurovis.generation.diffusion_data import (  # noqa: E402
    DiffusionScenes,
    make_diffusion_scenes,
    make_short_prompts,
    make_world_tokenizer,
)
from neurovis.generation.model import load_latent_diffusion  # noqa: E402
from neurovis.generation.training import train_world_diffusion  # noqa: E402
from neurovis.generation.training_quality import (  # noqa: E402
    compute_frechet_distance,
    compute_psnr,
    compute_ssim,
)
from neurovis.stimuli.world import CATEGORIES, CATEGORY_OF  # noqa: E402

SMALL = {
    "n_images": 12, "vae_steps": 2, "decoder_steps": 2, "unet_steps": 2, "size_px": 32,
    "vae_channels": (8, 8, 16), "unet_channels": (8, 16, 16), "n_samples": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def scenes() -> DiffusionScenes:
    return make_diffusion_scenes(24, seed=3, size_px=32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_quality, "_N_STEPS", 4)
        quality = train_world_diffusion(folder / "model", work=folder / "work", **SMALL)
    return folder, quality


def load(folder):
    return diffusers.StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)


def test_folder_is_a_pipeline_in_single_precision(trained):
    pipeline = load(trained[0] / "model")
    assert pipeline.safety_checker is None
    assert pipeline.feature_extractor is None
    assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {torch.float32}
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(["a red apple", ""], num_inference_steps=2, output_type="np").images
    assert images.shape == (2, 32, 32, 3)
    assert np.isfinite(images).all()


def test_card_names_the_hash_of_every_file_of_weights(trained):
    folder, quality = trained
    config = json.loads((folder / "model/config.json").read_text())
    assert set(config["sha256"]) == {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }
    card = (folder / "model/README.md").read_text()
    for name, value in config["sha256"].items():
        assert compute_file_hash(folder / "model" / name) == value
        assert value in card
    assert config["quality"]["frechet"] == quality["frechet"]
    assert sum(quality["unguided"]["categories"].values()) == pytest.approx(1, abs=0.01)
    assert set(quality["prompts"]) == set(quality["unguided"]["categories"])


def test_changed_weights_are_noticed(trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained[0] / "model", folder)
    load_latent_diffusion(folder)
    weights = folder / "vae/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="must have sha256"):
        load_latent_diffusion(folder)


def test_finished_run_is_not_trained_again(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.setattr(training_quality, "_N_STEPS", 4)
    train_world_diffusion(folder / "again", work=folder / "work", **SMALL)
    first, again = (json.loads((folder / name / "config.json").read_text()) for name in ("model", "again"))
    assert again["sha256"] == first["sha256"]
    assert again["training"]["minutes"] == first["training"]["minutes"]


def test_killed_training_of_the_denoiser_resumes_to_the_same_weights(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(training_vae, "_STEPS_IN_EPOCH", 2)
    tokenizer = make_world_tokenizer(scenes.captions)
    prompts = training_unet.make_prompt_table(scenes, tokenizer)
    latents = torch.randn(24, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def run(checkpoint):
        return training_unet.train_denoiser(
            latents, prompts, tokenizer, n_steps=6, seed=1, channels=(8, 16, 16), text_width=16,
            batch_size=8, checkpoint=checkpoint,
        )  # fmt: skip

    unet, text, _ = run(None)
    draw, calls = training_unet.PromptTable.draw, []

    def draw_and_die(self, rows, **options):
        calls.append(rows)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return draw(self, rows, **options)

    monkeypatch.setattr(training_unet.PromptTable, "draw", draw_and_die)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "unet.safetensors")
    calls.extend([None] * 10)
    resumed, resumed_text, result = run(tmp_path / "unet.safetensors")
    assert len(calls) == 4 + 10 + 4  # The first epoch of two steps was kept.
    assert len(result.history) == 3
    for one, other in ((unet, resumed), (text, resumed_text)):
        for name, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=0)


def test_second_round_goes_on_from_the_first(scenes):
    tokenizer = make_world_tokenizer(scenes.captions)
    prompts = training_unet.make_prompt_table(scenes, tokenizer)
    latents = torch.randn(24, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    small = {"channels": (8, 16, 16), "text_width": 16, "batch_size": 8}
    first = training_unet.train_denoiser(latents, prompts, tokenizer, n_steps=1, seed=1, **small)[:2]
    kept = {name: value.clone() for name, value in first[0].state_dict().items()}
    second = training_unet.train_denoiser(
        latents, prompts, tokenizer, n_steps=1, seed=2, start=first, learning_rate=1e-9, **small
    )[:2]
    for one, other in zip(first, second, strict=True):
        for name, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=1e-6)
    assert all(torch.equal(value, kept[name]) for name, value in first[0].state_dict().items())


def test_average_lags_behind_the_weights(scenes):
    tokenizer = make_world_tokenizer(scenes.captions)
    model = training_unet.TextDenoiser(
        training_unet.build_unet(latent_px=8, channels=(8, 16, 16), text_width=16),
        training_unet.build_text_encoder(tokenizer, width=16),
    )
    start = next(model.average.parameters()).clone()
    for parameter in model.current.parameters():
        parameter.data += 1
    model.update_average()
    torch.testing.assert_close(next(model.average.parameters()).data, start + 0.9)
    model.n_updates += 10**6
    model.update_average()
    torch.testing.assert_close(next(model.average.parameters()).data, start + 0.9 + 0.001 * 0.1)


def test_decoder_is_refined_alone(scenes):
    vae, _ = training_vae.train_vae(scenes.images, n_steps=1, seed=0, channels=(8, 8, 16))
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    latents = training_vae.encode_images(vae, scenes.images) * vae.config.scaling_factor
    assert float(latents.std()) == pytest.approx(1, abs=1e-3)
    training_vae.refine_decoder(vae, scenes.images, latents, n_steps=1, seed=0)
    changed = {name for name, value in vae.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in changed)


def test_autoencoder_learns(scenes):
    first, _ = training_vae.train_vae(scenes.images, n_steps=1, seed=0, channels=(8, 8, 16))
    later, _ = training_vae.train_vae(scenes.images, n_steps=40, seed=0, channels=(8, 8, 16))
    psnr = [
        compute_psnr(
            scenes.images, training_vae.decode_latents(vae, training_vae.encode_images(vae, scenes.images))
        ).mean()
        for vae in (first, later)
    ]
    assert psnr[1] > psnr[0] + 2


def test_row_batches_go_through_all_rows_before_any_comes_again():
    batches = training_vae.RowBatches(n_rows=10, batch_size=3, n_steps=5, seed=2)
    rows = torch.cat([row for epoch in range(4) for row in batches(epoch)])
    assert len(rows) == 60
    for start in range(0, 60, 10):
        assert sorted(rows[start : start + 10].tolist()) == list(range(10))
    assert rows[:10].tolist() != rows[10:20].tolist()


@pytest.mark.parametrize(("n_steps", "expected"), [(1, (1, 1)), (100, (1, 100)), (101, (2, 100))])
def test_steps_are_split_for_checkpoints(n_steps, expected):
    assert training_vae.split_steps(n_steps) == expected


def test_every_word_of_the_captions_is_one_token(scenes, tmp_path):
    tokenizer = make_world_tokenizer(scenes.captions, max_length=48)
    words = {word for caption in scenes.captions for word in caption.split() if word.isalpha()}
    for word in words:
        assert len(tokenizer(word).input_ids) == 3, word
    again = make_world_tokenizer(reversed(scenes.captions), max_length=48)
    tokenizer.save_pretrained(tmp_path)
    stored = type(tokenizer).from_pretrained(tmp_path)
    expected = training_unet.tokenize(scenes.captions, tokenizer)
    assert expected.shape == (24, 48)
    for other in (again, stored):
        assert torch.equal(training_unet.tokenize(scenes.captions, other), expected)


def test_unknown_words_fall_apart_but_are_not_lost(scenes):
    tokenizer = make_world_tokenizer(scenes.captions)
    tokens = tokenizer("xylophone Zürich 42").input_ids
    assert tokenizer.decode(tokens, skip_special_tokens=True).split() == ["xylophone", "zürich", "4", "2"]


def test_prompts_of_a_scene_name_what_it_shows(scenes):
    made = DiffusionScenes(
        scenes.images[:2],
        (
            "a large red apple on the left in front of a beach, with a small dog",
            "a kitchen, with a small pear",
        ),
        ("fruit", "indoor"),
    )
    assert make_short_prompts(made) == [
        ("a large red apple on the left", "a photo of a fruit", "a photo of food"),
        ("a kitchen", "a photo of an indoor place", "a photo of a place"),
    ]
    tokenizer = make_world_tokenizer(made.captions)
    table = training_unet.make_prompt_table(made, tokenizer)
    drawn = table.draw(torch.zeros(2000, dtype=torch.int64), empty_share=0.3)
    shown = {tuple(row.tolist()) for row in drawn}
    empty = (drawn == training_unet.tokenize([""], tokenizer)).all(dim=1)
    assert float(empty.float().mean()) == pytest.approx(0.3, abs=0.05)
    fits = [made.captions[0], *make_short_prompts(made)[0], ""]
    assert shown == {tuple(row.tolist()) for row in training_unet.tokenize(fits, tokenizer)}


def test_scenes_are_drawn_once_and_other_settings_refused(tmp_path, monkeypatch):
    first = make_diffusion_scenes(3, seed=5, size_px=32, folder=tmp_path)
    monkeypatch.setattr("neurovis.generation.diffusion_data.make_scene", None)
    again = make_diffusion_scenes(3, seed=5, size_px=32, folder=tmp_path)
    for field in dataclasses.fields(DiffusionScenes):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name))
    with pytest.raises(ValueError, match="folder must hold scenes"):
        make_diffusion_scenes(3, seed=6, size_px=32, folder=tmp_path)


def test_steps_below_one_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unet_steps"):
        train_world_diffusion(tmp_path, **{**SMALL, "unet_steps": 0})


def test_frechet_distance_of_shifted_and_stretched_features():
    features = np.random.default_rng(0).normal(size=(200, 5)) @ np.random.default_rng(1).normal(size=(5, 5))
    assert compute_frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    assert compute_frechet_distance(features, features + 2) == pytest.approx(5 * 2**2)
    spread = np.trace(np.cov(features, rowvar=False))
    centred = features - features.mean(axis=0)
    # Standard deviations differ by twice their size, so the root of the product is three times the first.
    assert compute_frechet_distance(centred, 3 * centred) == pytest.approx((3 - 1) ** 2 * spread)


def test_psnr_and_ssim_against_scikit_image(scenes):
    metrics = pytest.importorskip("skimage.metrics")
    images = scenes.images[:3]
    noisy = np.clip(images + np.random.default_rng(0).normal(0, 20, images.shape), 0, 255).astype(np.uint8)
    for k in range(3):
        expected = metrics.structural_similarity(
            images[k], noisy[k], channel_axis=2, gaussian_weights=True, sigma=1.5, full=True,
            use_sample_covariance=False, data_range=255,
        )[1].mean()  # fmt: skip
        assert compute_ssim(images, noisy)[k] == pytest.approx(expected, abs=1e-6)
        expected = metrics.peak_signal_noise_ratio(images[k], noisy[k])
        assert compute_psnr(images, noisy)[k] == pytest.approx(expected)


def test_shipped_model_is_small_and_the_described_one():
    folder = find_model("world-diffusion")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 15e6
    load_latent_diffusion("world-diffusion")  # Refuses other weights than its description names.
    pipeline = load(folder)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a photo of a face", num_inference_steps=2, output_type="np").images
    assert image.shape == (1, 64, 64, 3)


def test_scenes_of_a_category_made_too_seldom_count_more(scenes, monkeypatch):
    shares = np.array([0.5, 0.25, 0.15, 0.1, 0, 0])
    judged = np.eye(6)[np.repeat(np.arange(6), (100 * shares).astype(int))]
    monkeypatch.setattr(training_quality, "sample_images", lambda *_, **__: np.zeros((100, 1, 1, 3)))
    monkeypatch.setattr(training_quality, "classify_images", lambda _: judged)
    weights = training_quality.weigh_scenes(None, scenes, n_samples=100, seed=0).numpy()
    own = np.array([CATEGORIES.index(CATEGORY_OF[name]) for name in scenes.subtypes])
    for number, share in enumerate(shares):
        ratio = (own == number).mean() / max(share, 0.01)
        np.testing.assert_allclose(weights[own == number], min(max(ratio, 0.5), 2), rtol=1e-6)


def test_weights_reach_the_loss(scenes):
    """Weights of one change nothing, others do."""
    tokenizer = make_world_tokenizer(scenes.captions)
    prompts = training_unet.make_prompt_table(scenes, tokenizer)
    latents = torch.randn(24, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    one = torch.zeros(24)
    one[0] = 24.0

    def run(weights):
        unet, text, _ = training_unet.train_denoiser(
            latents, prompts, tokenizer, n_steps=2, seed=1, channels=(8, 16, 16), text_width=16,
            batch_size=8, weights=weights,
        )  # fmt: skip
        return [p.detach() for part in (unet, text) for p in part.parameters()]

    plain, ones, weighted = run(None), run(torch.ones(24)), run(one)
    assert all(torch.equal(a, b) for a, b in zip(plain, ones, strict=True))
    assert any(not torch.allclose(a, b) for a, b in zip(plain, weighted, strict=True))
