"""Every sampler against the scheduler of diffusers of the same name, step by step."""

import math

import pytest
import torch

from neurovis.generation.schedules import make_schedule

BASE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
CONFIGS = {
    "sd": BASE,
    "leading": {**BASE, "timestep_spacing": "leading", "set_alpha_to_one": False},
    "trailing": {**BASE, "timestep_spacing": "trailing"},
    "linear": {"beta_schedule": "linear", "timestep_spacing": "linspace", "num_train_timesteps": 400},
    "karras": {**BASE, "use_karras_sigmas": True},
}
NAMES = {
    "dpm++": "DPMSolverMultistepScheduler",
    "sde-dpm++": "DPMSolverMultistepScheduler",
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
}
OWN = {"ddim": {"clip_sample": False}, "sde-dpm++": {"algorithm_type": "sde-dpmsolver++"}}


def _fake_network(scaled, timestep):
    """Any smooth function of the network's input and time."""
    return torch.tanh(scaled * 0.7 + math.sin(0.01 * float(timestep))) + 0.1 * scaled.flip(-1)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("sampler", NAMES)
@pytest.mark.parametrize("n_steps", [1, 4, 20])
def test_equals_the_scheduler_of_diffusers(sampler, config, prediction, n_steps):
    import diffusers

    settings = {**CONFIGS[config], "prediction_type": prediction}
    scheduler = getattr(diffusers, NAMES[sampler]).from_config({**settings, **OWN.get(sampler, {})})
    scheduler.set_timesteps(n_steps)
    noise = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    theirs = noise * scheduler.init_noise_sigma

    schedule = make_schedule(settings, n_steps=n_steps, sampler=sampler)
    assert torch.equal(schedule.timesteps, scheduler.timesteps)
    ours, before = noise.double() * schedule.start, None
    for step, timestep in enumerate(scheduler.timesteps):
        output = _fake_network(scheduler.scale_model_input(theirs, timestep), timestep)
        fresh = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(step))
        given = {"variance_noise": fresh} if sampler == "sde-dpm++" else {}
        theirs = scheduler.step(output, timestep, theirs, return_dict=False, **given)[0]
        own_noise = schedule.to_noise(_fake_network(ours, timestep), ours, step)
        ours, before = schedule.advance(own_noise, ours, before, step, fresh.double())
        # Euler's scheduler keeps its state on another scale: x = z / a.
        scale = schedule.alpha_next[step] if sampler == "euler" else 1.0
        torch.testing.assert_close(ours.float(), theirs * scale, rtol=2e-4, atol=2e-4)


def test_signal_and_noise_keep_unit_variance():
    schedule = make_schedule(BASE, n_steps=10, sampler="ddim")
    for alpha, sigma in zip(schedule.alpha, schedule.sigma, strict=True):
        assert alpha**2 + sigma**2 == pytest.approx(1, abs=1e-12)
    assert len(schedule) == 10
    assert list(schedule.sigma) == sorted(schedule.sigma, reverse=True)


def test_second_order_is_more_exact_than_first():
    """On a denoiser whose flow is known: data from N(0, 0.5^2), whose eps is linear in z."""

    def run(sampler, n_steps):
        schedule = make_schedule({**BASE, "use_karras_sigmas": True}, n_steps=n_steps, sampler=sampler)
        z, before = torch.ones(1, dtype=torch.float64), None
        for step in range(n_steps):
            variance = (0.5 * schedule.alpha[step]) ** 2 + schedule.sigma[step] ** 2
            z, before = schedule.advance(schedule.sigma[step] / variance * z, z, before, step)
        first = math.sqrt((0.5 * schedule.alpha[0]) ** 2 + schedule.sigma[0] ** 2)
        return abs(float(z) - 0.5 / first)

    assert run("dpm++", 20) < 0.3 * run("euler", 20)


def test_a_stochastic_sampler_keeps_the_distribution():
    """The spread of data from N(0, 0.5^2), whose eps is known, comes out, and needs noise to do so."""
    schedule = make_schedule({**BASE, "beta_end": 0.02}, n_steps=100, sampler="sde-dpm++")
    rng = torch.Generator().manual_seed(0)
    z, before = torch.randn(20_000, generator=rng, dtype=torch.float64), None
    for step in range(len(schedule)):
        variance = (0.5 * schedule.alpha[step]) ** 2 + schedule.sigma[step] ** 2
        fresh = torch.randn(z.shape, generator=rng, dtype=torch.float64)
        z, before = schedule.advance(schedule.sigma[step] / variance * z, z, before, step, fresh)
    assert float(z.std()) == pytest.approx(0.5, abs=0.015)
    with pytest.raises(ValueError, match="fresh must be standard normal noise"):
        schedule.advance(z, z, None, 0)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"sampler": "heun"}, "sampler must be"),
        ({}, {"n_steps": 0}, "n_steps must be between 1 and 1000, got 0"),
        ({"clip_sample": True}, {}, "clip_sample of the scheduler must be false"),
        ({"rescale_betas_zero_snr": True}, {}, "no signal is left"),
        ({"prediction_type": "sample"}, {}, "prediction_type"),
    ],
)
def test_refuses_what_it_cannot_do(changes, options, message):
    with pytest.raises(ValueError, match=message):
        make_schedule({**BASE, **changes}, **{"n_steps": 5, **options})
