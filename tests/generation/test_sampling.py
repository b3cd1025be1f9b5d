"""The sampling loop with a whole model: against the pipeline of diffusers, finite differences and itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovis.generation.guidance import Guidance, compute_guidance
from neurovis.generation.model import LatentDiffusion, load_latent_diffusion
from neurovis.generation.sampling import denoise, make_noise, sample
from neurovis.generation.schedules import SAMPLERS, make_schedule
from neurovis.generation.self_attention import SelfAttention

SIZE = (16, 16)
CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def redness(images):
    """A smooth objective with a weight for every pixel."""
    weights = torch.linspace(-1, 1, images[0].numel(), dtype=images.dtype).reshape(images[0].shape)
    return (torch.tanh(2 * images) * weights.sin()).flatten(1).sum(dim=1)


@pytest.fixture(scope="module")
def exact(pipeline_folder):
    """The model in float64."""
    return load_latent_diffusion(pipeline_folder, dtype="float64")


@pytest.mark.parametrize("prompt_scale", [1.0, 3.0])
def test_equals_the_pipeline_of_diffusers(pipeline, model, prompt_scale):
    from diffusers import DPMSolverMultistepScheduler

    before = pipeline.scheduler
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(dict(model.scheduler_config))
    try:
        expected = pipeline(
            ["a face"], num_inference_steps=4, guidance_scale=prompt_scale, output_type="pt",
            generator=torch.Generator().manual_seed(5),
        ).images  # fmt: skip
    finally:
        pipeline.scheduler = before
    found = sample(model, seeds=[5], n_steps=4, prompt="a face", prompt_scale=prompt_scale)
    torch.testing.assert_close(found.images, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("gradient", ["full", "decoder_only"])
@pytest.mark.parametrize("clamp", ["clamp", "straight_through"])
def test_gradient_equals_finite_differences(exact, gradient, clamp):
    schedule = make_schedule(exact.scheduler_config, n_steps=10)
    guidance = Guidance(redness, 3.0, gradient=gradient, clamp=clamp)
    z = make_noise([0, 1], (4, 8, 8)).double()
    told = exact.embed([""])
    # Far inside [0, 1], where both ways of clipping are the identity.
    decode = _shrink_range(exact.decode)
    step = 6
    sigma, alpha = schedule.sigma[step], schedule.alpha[step]

    def predict(latents, timestep):
        return exact.predict(latents, timestep, told)

    found = compute_guidance(guidance, z, predict, decode, schedule, step)
    fixed = predict(z, schedule.timesteps[step])

    def loss(moved):
        """The objective, with the network or with what stands for it: eps + s (z' - z)."""
        noise = (
            predict(moved, schedule.timesteps[step]) if gradient == "full" else fixed + sigma * (moved - z)
        )
        blended = sigma * (moved - sigma * noise) / alpha + (1 - sigma) * moved
        return 3.0 * redness(decode(blended).clamp(0, 1)).sum()

    rng = torch.Generator().manual_seed(1)
    for _ in range(4):
        direction = torch.randn(z.shape, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            slope = (loss(z + 1e-5 * direction) - loss(z - 1e-5 * direction)) / 2e-5
        assert float((found.gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)
    assert found.saturated.max() == 0
    torch.testing.assert_close(found.noise, fixed)


def test_clipped_pixels_pass_gradients_only_straight_through(exact):
    schedule = make_schedule(exact.scheduler_config, n_steps=10)
    z = make_noise([0], (4, 8, 8)).double()

    def predict(latents, timestep):
        return exact.predict(latents, timestep, exact.embed([""]))

    def decode(latents):
        return exact.decode(latents) + 50  # all white

    norms = {}
    for clamp in ("clamp", "straight_through"):
        found = compute_guidance(Guidance(redness, clamp=clamp), z, predict, decode, schedule, 3)
        norms[clamp] = float(found.gradient.norm())
        assert float(found.saturated) == 1
    assert norms["clamp"] == 0
    assert norms["straight_through"] > 0


def test_a_small_decode_gives_the_gradient_of_the_shrunk_latents():
    schedule = make_schedule(CONFIG, n_steps=10)
    z = make_noise([0, 1], (3, 16, 12)).double()
    weights = torch.linspace(0, 1, 16 * 12, dtype=torch.float64).reshape(16, 12)
    seen = []

    def decode(latents):
        seen.append(tuple(latents.shape[-2:]))
        return 0.5 + 0.01 * latents

    def objective(images):
        whole = torch.nn.functional.interpolate(images, size=(16, 12), mode="bilinear")
        return (whole * weights).mean(dim=(1, 2, 3))

    one, half = (
        compute_guidance(
            Guidance(objective, decode_scale=share), z, lambda latents, _: 0.5 * latents, decode, schedule, 8
        ).gradient.flatten()
        for share in (1.0, 0.5)
    )
    assert seen == [(16, 12), (8, 6)]
    assert torch.nn.functional.cosine_similarity(one, half, dim=0) > 0.99
    assert float(half.norm() / one.norm()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("sampler", ["dpm++", "sde-dpm++"])
@pytest.mark.parametrize("gradient", ["full", "decoder_only"])
def test_a_batch_equals_single_images(model, gradient, sampler):
    options = {
        "guidance": Guidance(redness, 2.0, gradient=gradient), "n_steps": 4, "size_px": SIZE,
        "self_attention": SelfAttention(), "sampler": sampler,
    }  # fmt: skip
    together = sample(model, seeds=[3, 7, 4], **options)
    for row, seed in enumerate((3, 7, 4)):
        alone = sample(model, seeds=[seed], **options)
        torch.testing.assert_close(together.images[row], alone.images[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(together.log.value[row], alone.log.value[0], rtol=1e-3)
    parts = sample(model, seeds=[3, 7, 4], batch_size=2, **options)
    torch.testing.assert_close(parts.images, together.images, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_scale_zero_is_the_plain_sampler_bit_for_bit(model, sampler):
    options = {"seeds": [1, 2], "n_steps": 3, "sampler": sampler, "size_px": SIZE}
    plain = sample(model, **options)
    zero = sample(model, guidance=Guidance(redness, 0.0), **options)
    assert torch.equal(plain.images, zero.images)
    assert np.isnan(zero.log.value).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_guidance_raises_the_objective(model, sampler):
    options = {"seeds": [1, 2], "n_steps": 6, "sampler": sampler, "size_px": SIZE}
    values = [
        redness(sample(model, guidance=Guidance(redness, scale, clamp="straight_through"), **options).images)
        for scale in (-0.05, 0.0, 0.05)
    ]
    assert (values[0] < values[1]).all()
    assert (values[1] < values[2]).all()


def test_log_says_what_happened(model):
    guidance = Guidance(redness, 0.5, start=0.25, stop=0.75, every=2)
    log = sample(model, guidance=guidance, seeds=[0, 1], n_steps=8, size_px=SIZE).log
    for values in (log.value, log.gradient_norm, log.saturated):
        assert np.isfinite(values).all(axis=0).tolist() == [
            False,
            False,
            True,
            False,
            True,
            False,
            False,
            False,
        ]
    assert (np.nan_to_num(log.saturated) <= 1).all()
    assert np.nanmin(log.gradient_norm) > 0


def test_v_prediction_equals_epsilon(model):
    """The same denoiser told in v: v = (eps - s z) / a."""
    signal = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, dim=0)

    class Velocity(torch.nn.Module):
        def __init__(self, unet):
            super().__init__()
            self.unet, self.config, self.dtype = unet, unet.config, unet.dtype

        def forward(self, latents, timestep, **options):
            noise = self.unet(latents, timestep, **options)[0]
            a = signal[int(timestep)]
            return ((noise - (1 - a).sqrt() * latents) / a.sqrt(),)

    velocity = LatentDiffusion(
        Velocity(model.unet), model.vae, {**model.scheduler_config, "prediction_type": "v_prediction"},
        model.text_encoder, model.tokenizer,
    )  # fmt: skip
    for gradient in ("full", "decoder_only"):
        options = {
            "guidance": Guidance(redness, 1.0, gradient=gradient), "seeds": [2], "n_steps": 5,
            "sampler": "ddim", "size_px": SIZE,
        }  # fmt: skip
        one, other = sample(model, **options), sample(velocity, **options)
        torch.testing.assert_close(one.images, other.images, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(one.log.gradient_norm, other.log.gradient_norm, rtol=1e-2)


def test_half_precision_keeps_the_gradient(model, pipeline_folder):
    half = load_latent_diffusion(pipeline_folder, dtype="bfloat16")
    guidance = Guidance(redness, 1.0, gradient="full")
    one, other = (
        sample(m, guidance=guidance, seeds=[0], n_steps=2, size_px=SIZE).log.gradient_norm
        for m in (model, half)
    )
    np.testing.assert_allclose(one[0, 0], other[0, 0], rtol=0.05)


def test_prompts_of_their_own(model):
    both = sample(model, seeds=[1, 1], prompt=["a face", "food"], prompt_scale=2.0, n_steps=2, size_px=SIZE)
    assert not torch.equal(both.images[0], both.images[1])
    alone = sample(model, seeds=[1], prompt="food", prompt_scale=2.0, n_steps=2, size_px=SIZE)
    torch.testing.assert_close(both.images[1:], alone.images, rtol=1e-4, atol=1e-4)


def test_tells_what_does_not_fit(model):
    with pytest.raises(ValueError, match="one value for each of the 2 images"):
        sample(model, guidance=Guidance(lambda images: images.mean(), 1.0), seeds=[0, 1], n_steps=1)
    with pytest.raises(ValueError, match="seeds must not be empty"):
        sample(model, seeds=[])
    with pytest.raises(ValueError, match="one for each seed, got 1 for 2"):
        sample(model, seeds=[0, 1], prompt=["a face"])
    with pytest.raises(ValueError, match="multiples of 4"):
        sample(model, size_px=(30, 32))
    with pytest.raises(ValueError, match="latents must stay finite"):
        sample(model, guidance=Guidance(redness, 1e38), n_steps=2, size_px=SIZE)
    with pytest.raises(ValueError, match="compiled=False"):
        sample(replace(model, compiled=True), self_attention=SelfAttention(), n_steps=1)
    schedule = make_schedule(model.scheduler_config, n_steps=1)
    with pytest.raises(ValueError, match="decode must be given"):
        denoise(torch.zeros(1, 4, 8, 8), schedule, lambda z, t: z, guidance=Guidance(redness))
    for options, message in (
        ({"start": 0.5, "stop": 0.5}, "start below stop"),
        ({"every": 0}, "every must be"),
        ({"gradient": "none"}, "gradient must be"),
        ({"clamp": "none"}, "clamp must be"),
        ({"decode_scale": 0}, "decode_scale must be above 0"),
        ({"scale": float("nan")}, "scale must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            Guidance(redness, **options)


def _shrink_range(decode):
    return lambda latents: 0.5 + 0.05 * torch.tanh(decode(latents))
