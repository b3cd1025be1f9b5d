"""Self-attention guidance against a slow form: another way to the attention, and loops for the blur."""

import math

import pytest
import torch

from neurovis.generation.sampling import make_noise, sample
from neurovis.generation.schedules import make_schedule
from neurovis.generation.self_attention import (
    SelfAttention,
    blur_latents,
    compute_attention_mask,
    compute_degraded_noise,
    find_attention,
    watch_attention,
)


class Recorder:
    """Attention computed the long way, which keeps its weights."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        assert encoder_hidden_states is None
        query, key, value = (
            attn.head_to_batch_dim(part(hidden_states)) for part in (attn.to_q, attn.to_k, attn.to_v)
        )
        self.weights = attn.get_attention_scores(query, key, None)
        mixed = attn.batch_to_head_dim(torch.bmm(self.weights, value))
        return attn.to_out[0](mixed)


def _blur_slowly(image):
    """Gaussian of 1 px on 9 x 9, mirrored borders, pixel by pixel."""
    height, width = image.shape
    pixels = image.tolist()
    line = [math.exp(-0.5 * distance**2) for distance in range(-4, 5)]
    blurred = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            total = 0.0
            for down in range(-4, 5):
                for across in range(-4, 5):
                    r, c = row + down, column + across
                    r = -r if r < 0 else 2 * (height - 1) - r if r >= height else r
                    c = -c if c < 0 else 2 * (width - 1) - c if c >= width else c
                    total += line[down + 4] * line[across + 4] * pixels[r][c]
            blurred[row, column] = total / sum(line) ** 2
    return blurred


def test_equals_the_slow_form(model):
    schedule = make_schedule(model.scheduler_config, n_steps=10)
    step = 4
    alpha, sigma, timestep = schedule.alpha[step], schedule.sigma[step], schedule.timesteps[step]
    z = make_noise([0, 1], (4, 8, 8))
    told = model.embed([""])
    attention = find_attention(model.unet)
    before, recorder = attention.processor, Recorder()

    attention.set_processor(recorder)
    try:
        with torch.no_grad():
            noise = model.predict(z, timestep, told)
    finally:
        attention.set_processor(before)
    n_heads = attention.heads
    clean = (z - sigma * noise) / alpha
    degraded = clean.clone()
    blurred = [[_blur_slowly(channel) for channel in image] for image in clean]
    for image in range(2):
        received = sum(recorder.weights[image * n_heads + head] for head in range(n_heads)) / n_heads
        for row in range(8):
            for column in range(8):
                # The middle block sees 4 x 4 places.
                if received[:, (row // 2) * 4 + column // 2].sum() > 1:
                    for channel in range(4):
                        degraded[image, channel, row, column] = blurred[image][channel][row, column]
    with torch.no_grad():
        expected = model.predict(alpha * degraded + sigma * noise, timestep, told)

    with watch_attention(attention) as seen:
        watched = model.predict(z, timestep, told)
    torch.testing.assert_close(seen[0].flatten(0, 1), recorder.weights, rtol=1e-4, atol=1e-5)
    found = compute_degraded_noise(
        watched, seen[0], z, lambda latents, time: model.predict(latents, time, told), schedule, step
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_moves_the_prediction_away_from_the_degraded_one(model):
    schedule = make_schedule(model.scheduler_config, n_steps=1)
    z = make_noise([3], (4, 16, 16))
    told = model.embed([""])
    with torch.no_grad(), watch_attention(find_attention(model.unet)) as seen:
        noise = model.predict(z, schedule.timesteps[0], told)
        degraded = compute_degraded_noise(
            noise, seen[0], z, lambda latents, time: model.predict(latents, time, told), schedule, 0
        )
        latents, _ = schedule.advance(noise + 0.75 * (noise - degraded), z, None, 0)
        expected = model.decode(latents).clamp(0, 1)
    found = sample(model, seeds=[3], n_steps=1, self_attention=SelfAttention())
    torch.testing.assert_close(found.images, expected, rtol=1e-4, atol=1e-4)


def test_is_computed_without_the_prompt(model):
    """With classifier-free guidance, the difference is that of the network without a prompt."""
    options = {"seeds": [3], "n_steps": 1, "size_px": (16, 16)}
    plain = sample(model, prompt="food", prompt_scale=2.0, **options)
    both = sample(model, prompt="food", prompt_scale=2.0, self_attention=SelfAttention(), **options)
    assert not torch.equal(plain.images, both.images)
    twice = sample(model, prompt="food", prompt_scale=2.0, self_attention=SelfAttention(0.0), **options)
    assert torch.equal(plain.images, twice.images)


def test_mask_marks_what_receives_more_than_its_share():
    weights = torch.full((1, 2, 4, 4), 0.2)
    weights[..., 2] = 0.4  # the lower left of 2 x 2 places
    mask = compute_attention_mask(weights, (4, 4))
    assert mask[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]


def test_blur_keeps_constants_and_needs_room():
    torch.testing.assert_close(blur_latents(torch.ones(1, 2, 6, 5)), torch.ones(1, 2, 6, 5))
    with pytest.raises(ValueError, match="larger than 4 px"):
        blur_latents(torch.ones(1, 2, 4, 8))
    with pytest.raises(ValueError, match="middle block attends to itself"):
        find_attention(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="scale must be finite"):
        SelfAttention(float("inf"))
