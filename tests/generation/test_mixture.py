"""Guidance in a world whose diffusion is known exactly: the test with no weights and no data.

Four Gaussian classes in R^64 and voxels that prefer them. Latents are 8 x 8 numbers in one channel; the
decoder brings them into [0, 1].
"""

import math

import numpy as np
import pytest
import torch

from neurovis.encoding.ridge import Ridge
from neurovis.encoding.torch_bridge import to_torch
from neurovis.generation.guidance import Guidance
from neurovis.generation.objectives import ContrastObjective, RegionObjective
from neurovis.generation.sampling import denoise, make_noise
from neurovis.generation.schedules import make_schedule

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
PRIORS = np.array([0.4, 0.3, 0.2, 0.1])
SD = 0.25
N_VOXELS = 12
_REACH = 20.0
RAREST = 3
SCALES = (0, 3, 10, 30, 100)
SEEDS = range(5)


class MixtureWorld:
    """Exact noise prediction, natural images, and a ridge encoder of simulated voxels."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        directions = rng.normal(size=(4, 64))
        self.means = torch.tensor(4 * directions / np.linalg.norm(directions, axis=1, keepdims=True))
        self.projection = torch.tensor(rng.normal(size=(48, 64)) / 8)
        self.signal = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
        self.preferred = np.repeat(np.arange(4), N_VOXELS // 4)
        self.rng = rng
        classes, images = self.draw(1500)
        effect = 2.0 * (classes[:, None] == self.preferred)
        responses = effect - effect.mean(axis=0) + rng.normal(size=effect.shape)
        self.encoder = Ridge().fit(self.embed(images).numpy(), responses)
        self.readout = to_torch(self.encoder, dtype="float64")

    def draw(self, n):
        """Classes and natural images, decoded."""
        classes = self.rng.choice(4, n, p=PRIORS)
        noise = torch.tensor(self.rng.normal(size=(n, 64)))
        return classes, self.decode((self.means[classes] + SD * noise).reshape(n, 1, 8, 8))

    def predict(self, latents, timestep):
        """Noise by the posterior over the classes: -s times the score of the mixture at this noise level."""
        signal = self.signal[int(timestep)]
        variance = signal * SD**2 + 1 - signal
        distance = latents.flatten(1)[:, None] - math.sqrt(signal) * self.means[None]
        weights = (torch.tensor(PRIORS).log() - distance.square().sum(-1) / (2 * variance)).softmax(dim=1)
        noise = math.sqrt(1 - signal) * (weights[..., None] * distance).sum(dim=1) / variance
        return noise.reshape(latents.shape)

    def decode(self, latents):
        return latents / _REACH + 0.5

    def embed(self, images):
        """Backbone: tanh of a fixed random projection, unit-normalised."""
        return torch.nn.functional.normalize(
            torch.tanh((images.flatten(1) - 0.5) * _REACH @ self.projection.T)
        )

    def respond(self, images):
        return self.readout(self.embed(images))

    def region(self, target):
        return np.flatnonzero(self.preferred == target)

    def generate(
        self, target, scale, *, n=80, n_steps=50, respond=None, objective=None, sampler="ddim", **options
    ):
        """Which images are of the target class, predicted responses, distance to the nearest mean."""
        schedule = make_schedule(CONFIG, n_steps=n_steps, sampler=sampler)
        noise = make_noise(range(n), (1, 8, 8)).double()
        objective = objective or RegionObjective(respond or self.respond, self.region(target))
        guidance = Guidance(objective, scale, **options)
        latents, _ = denoise(
            noise * schedule.start, schedule, self.predict, guidance=guidance, decode=self.decode
        )
        distance = torch.cdist(latents.flatten(1), self.means)
        predicted = RegionObjective(self.respond, self.region(target))(self.decode(latents)).numpy()
        hits = distance.argmin(dim=1).numpy() == target
        return hits, predicted, float(distance.amin(dim=1).mean() / (SD * 8))


@pytest.fixture(scope="module")
def worlds():
    return [MixtureWorld(seed) for seed in SEEDS]


@pytest.mark.parametrize("gradient", ["full", "decoder_only"])
def test_guidance_reaches_the_rarest_class(worlds, gradient):
    """Monotone in the scale, at least 0.8 at 30 (0.07 unguided), and still among the images."""
    for world in worlds:
        found = [world.generate(RAREST, scale, gradient=gradient) for scale in SCALES]
        share = [hits.mean() for hits, _, _ in found]
        predicted = [values.mean() for _, values, _ in found]
        assert share[0] < 0.2
        assert all(np.diff(share) >= 0)
        assert all(np.diff(predicted) > 0)
        assert share[3] >= 0.8
        assert found[3][2] <= 1.3
        _, natural = world.draw(2000)
        values = RegionObjective(world.respond, world.region(RAREST))(natural)
        assert predicted[3] > np.quantile(values.numpy(), 0.95)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_guidance_reaches_every_other_class(worlds, target):
    for world in worlds:
        assert world.generate(target, 30, gradient="full")[0].mean() >= 0.8


def test_controls_do_not_reach_the_class(worlds):
    """The sign flipped, and voxels that have changed places."""
    for world in worlds:
        assert world.generate(RAREST, -30, gradient="full")[0].mean() <= 0.05

        def exchanged(images, world=world):
            return world.respond(images).roll(N_VOXELS // 4, dims=1)

        hits, predicted, _ = world.generate(RAREST, 30, respond=exchanged, gradient="full")
        assert hits.mean() <= 0.05
        assert predicted.mean() < 0


def test_contrast_leaves_out_what_the_suppressed_voxels_prefer(worlds):
    """Part of the preferred voxels like class 2 as the suppressed ones do: alone they lead there too."""
    found: dict[str, list] = {"alone": [], "contrast": []}
    for world in worlds:
        one, two = world.region(1).tolist(), world.region(2).tolist()
        preferred, suppressed = [*one[:2], *two[:2]], two[2:]
        for name, objective in (
            ("alone", RegionObjective(world.respond, preferred)),
            ("contrast", ContrastObjective(world.respond, preferred, suppressed)),
        ):
            found[name].append([world.generate(k, 30, objective=objective)[0].mean() for k in (1, 2)])
    alone, contrast = (np.array(shares).T for shares in found.values())
    assert alone[1].mean() > 0.2
    assert contrast[1].max() < 0.05
    # A voxel truly responds by 2 to its class. Half of the preferred ones like each, the suppressed class 2.
    true = [(shares[0] + shares[1]) - 2 * shares[1] for shares in (alone, contrast)]
    assert (true[1] > true[0]).all()
    assert true[1].mean() > true[0].mean() + 0.3


def test_the_best_by_prediction_are_of_the_class(worlds):
    for world in worlds:
        hits, predicted, _ = world.generate(RAREST, 10, gradient="full")
        best = np.argsort(-predicted)[: len(hits) // 5]
        assert hits[best].mean() >= max(0.95, hits.mean())


def test_steps_and_samplers_agree(worlds):
    world = worlds[0]
    share = [world.generate(RAREST, 30, n_steps=n, gradient="full")[0].mean() for n in (10, 20, 50)]
    share += [world.generate(RAREST, 30, sampler=s, gradient="full")[0].mean() for s in ("dpm++", "euler")]
    assert np.ptp(share) <= 0.1


def test_gradients_kept_between_steps_guide_as_well(worlds):
    world = worlds[1]
    each, kept = (world.generate(RAREST, 30, every=every)[0].mean() for every in (1, 3))
    assert kept == pytest.approx(each, abs=0.05)


def test_a_window_guides_less(worlds):
    world = worlds[2]
    early, late = (
        world.generate(RAREST, 30, start=start, stop=stop)[0].mean() for start, stop in ((0, 0.5), (0.9, 1))
    )
    assert early > 0.8
    assert late < 0.3
