"""Brain-guided sampling against the published algorithm's own sequence of operations, on the same weights.

    python benchmarks/guidance.py [--region FFA --images 8 --steps 50 --fast-steps 25 --every 2]
    python benchmarks/guidance.py --region PPA --gradient full --stop 0.5 --every 1 --scale 50
    python benchmarks/guidance.py --size sd21 --device cuda --dtype float16 --images 8
    python benchmarks/guidance.py --size sd21 --count

The reference makes one image at a time. In each step it evaluates the network three times (for the
prediction, for self-attention guidance, and again for the gradient), differentiates through the network and
through a decoder of the full size, and resizes without antialiasing; its steps are those of diffusers'
scheduler. ``world`` runs on the shipped model with an encoder of a simulated subject, and prints for both:
seconds for each image, the share that an independent judge puts into the region's category, the predicted and
the true response, and along one run the cosine of the published gradient with the fast one and, as a check,
with ours of the same settings. ``sd21`` has the architectures of
Stable Diffusion 2.1-base and of CLIP's ViT-B/16 with random weights: only its times, or with ``--count`` its
floating-point operations, mean something.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurovis.generation.guidance import GRADIENTS, Guidance, Objective, compute_guidance
from neurovis.generation.model import LatentDiffusion, load_latent_diffusion
from neurovis.generation.objectives import RegionObjective
from neurovis.generation.sampling import make_noise, sample
from neurovis.generation.schedules import SAMPLERS, make_schedule
from neurovis.generation.self_attention import blur_latents, find_attention, watch_attention
from neurovis.generation.views import ViewAverage

_SD21_UNET = {
    "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024, "use_linear_projection": True,
}  # fmt: skip
_SD21_VAE = {
    "block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2, "latent_channels": 4,
}  # fmt: skip
_SD_SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_WORLD_IMAGES = 1200
_ATTENDED, _SAG = 1.0, 0.75


def sample_published(
    model: LatentDiffusion, objective: Objective, *, seed: int, n_steps: int, scale: float
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """One image (1, 3, h, w) as the paper makes it, and the state and gradient of each step."""
    import diffusers

    scheduler = diffusers.DPMSolverMultistepScheduler.from_config(dict(model.scheduler_config))
    scheduler.set_timesteps(n_steps)
    told = model.embed([""])
    attention = find_attention(model.unet)
    z = make_noise([seed], model.make_latent_shape()).to(model.device)
    history = []
    for timestep in scheduler.timesteps:
        signal = scheduler.alphas_cumprod[timestep]
        a, s = float(signal.sqrt()), float((1 - signal).sqrt())
        with torch.no_grad():
            with watch_attention(attention) as seen:
                base = model.predict(z, timestep, told)
            clean = (z - s * base) / a
            received = seen[0].mean(dim=1).sum(dim=1)
            side = round(received.shape[1] ** 0.5)
            mask = (received > _ATTENDED).to(z.dtype).reshape(1, 1, side, side)
            mask = nn.functional.interpolate(mask, size=z.shape[-2:])
            degraded = a * (mask * blur_latents(clean) + (1 - mask) * clean) + s * base
            noise = base + _SAG * (base - model.predict(degraded, timestep, told))
        leaf = z.detach().requires_grad_(True)
        predicted = model.predict(leaf, timestep, told)
        blended = s * (leaf - s * predicted) / a + (1 - s) * leaf
        response = objective(model.decode(blended).clamp(0, 1))
        (gradient,) = torch.autograd.grad(scale * response.sum(), leaf)
        history.append((z, gradient))
        z = scheduler.step(noise - s * gradient, timestep, z, return_dict=False)[0]
    with torch.no_grad():
        return model.decode(z).clamp(0, 1).float().cpu(), history


def compare_gradients(
    model: LatentDiffusion, fast: Guidance, history: list[tuple[Tensor, Tensor]], n_steps: int
) -> list[float]:
    """Cosine of the fast gradient with the published one in each of its states."""
    schedule = make_schedule(model.scheduler_config, n_steps=n_steps)
    told = model.embed([""])
    cosines = []
    for step, (z, gradient) in enumerate(history):
        found = compute_guidance(
            fast, z, lambda latents, time: model.predict(latents, time, told), model.decode, schedule, step
        )
        both = found.gradient.flatten(), gradient.flatten()
        cosines.append(float(nn.functional.cosine_similarity(*both, dim=0)))
    return cosines


def time_call(call: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Seconds and result, all of a GPU's work included."""
    start = time.perf_counter()
    result = call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def run_both(
    options: argparse.Namespace, model: LatentDiffusion, objectives: tuple[Objective, Objective], scale: float
) -> dict[str, tuple[float, Tensor]]:
    """Seconds for each image and images of the reference and of the fast way; prints the cosine."""
    published, own = objectives
    seeds = list(range(options.first_seed, options.first_seed + options.images))
    fast = Guidance(
        own,
        options.fast_scale or scale,
        stop=options.stop,
        every=options.every,
        gradient=options.gradient,
        decode_scale=options.decode_scale,
    )
    fast_way: dict[str, Any] = {
        "n_steps": options.fast_steps, "batch_size": options.batch, "sampler": options.sampler,
    }  # fmt: skip
    slow_way: dict[str, Any] = {"n_steps": options.steps, "scale": scale}
    # One step of each brings memory and kernels up.
    sample_published(model, published, seed=0, n_steps=1, scale=scale)
    sample(model, guidance=fast, seeds=seeds, **{**fast_way, "n_steps": 1})
    n_slow = min(options.images, options.slow_images or options.images)
    seconds, images = [], []
    for seed in seeds[:n_slow]:
        took, (image, history) = time_call(
            lambda seed=seed: sample_published(model, published, seed=seed, **slow_way), options.device
        )
        seconds.append(took)
        images.append(image)
    took, samples = time_call(lambda: sample(model, guidance=fast, seeds=seeds, **fast_way), options.device)
    exact = Guidance(published, scale, gradient="full")
    for name, guidance in (("fast", fast), ("same settings", exact)):
        cosines = compare_gradients(model, guidance, history, options.steps)
        quarters = ", ".join(f"{np.mean(part):.3f}" for part in np.array_split(cosines, 4))
        print(f"cosine with the published gradient by quarter of the steps, {name}: {quarters}")
    return {
        "published": (statistics.median(seconds), torch.cat(images)),
        "neurovis": (took / len(seeds), samples.images),
    }


def report_seconds(found: dict[str, tuple[float, Tensor]]) -> None:
    for name, (seconds, _) in found.items():
        print(f"{name:>10}: {seconds:8.3f} s for each image")
    print(f"{'ratio':>10}: {found['published'][0] / found['neurovis'][0]:8.1f}")


def run_world(options: argparse.Namespace) -> None:
    """Both ways on the shipped model, judged by a classifier and by the simulated cortex itself."""
    from neurovis.core import average_repeats
    from neurovis.datasets.simulated import (
        CATEGORY_OF_REGION,
        compute_true_responses,
        make_subject,
        simulate_betas,
    )
    from neurovis.encoding.ridge import Ridge
    from neurovis.encoding.torch_bridge import to_torch
    from neurovis.features.differentiable import make_differentiable
    from neurovis.features.open_clip import make_open_clip
    from neurovis.features.world_judge import classify_images
    from neurovis.stimuli.world import CATEGORIES
    from neurovis.stimuli.world_files import make_world

    model = load_latent_diffusion(device=options.device, dtype=options.dtype)
    subject = make_subject("01", seed=0)
    extractor = make_open_clip("world-clip-resnet", normalise=True)
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(options.folder or folder, n_images=_WORLD_IMAGES, seed=0)
        betas = average_repeats(simulate_betas(subject, world, seed=0))
        features = extractor(world)["output"]
    row = {name: number for number, name in enumerate(features["stimulus_id"].values)}
    order = [row[name] for name in betas["stimulus_id"].values]
    encoder = Ridge().fit(features.values[order], betas.values)
    region = np.flatnonzero(subject.table["region"] == options.region)
    readout = to_torch(encoder)
    objectives = []
    for antialias, n_views in ((False, 1), (True, options.views)):
        network = nn.Sequential(make_differentiable(extractor, antialias=antialias), readout)
        respond = ViewAverage(network.to(options.device), n_views=n_views)
        objectives.append(RegionObjective(respond, region))
    found = run_both(options, model, (objectives[0], objectives[1]), options.scale)
    category = CATEGORIES.index(CATEGORY_OF_REGION[options.region])
    for name, (_, images) in found.items():
        pixels = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
        share = (classify_images(pixels).argmax(axis=1) == category).mean()
        with torch.no_grad():
            predicted = objectives[0](images.to(options.device)).mean()
        true = compute_true_responses(subject, pixels)[:, region].mean()
        print(
            f"{name:>10}: {len(pixels)} images, {share:.2f} judged {CATEGORIES[category]}, predicted "
            f"{predicted:.2f}, true {true:.2f}"
        )
    report_seconds(found)


class _Words:
    """Stands in for a tokenizer: 77 tokens whatever the text."""

    model_max_length = 77

    def __call__(self, texts: Any, **_: Any) -> SimpleNamespace:
        ids = [0] if isinstance(texts, str) else torch.zeros(len(texts), 77, dtype=torch.long)
        return SimpleNamespace(input_ids=ids)


class _Embedding(nn.Module):
    """Stands in for a text encoder."""

    def forward(self, ids: Tensor) -> tuple[Tensor]:
        return (torch.zeros(*ids.shape, _SD21_UNET["cross_attention_dim"], device=ids.device),)


def build_sd21() -> tuple[LatentDiffusion, nn.Module]:
    """Untrained networks of the published size, and an encoder of 512 neuroids on ViT-B/16."""
    import diffusers
    import timm

    from neurovis.features.differentiable import make_tensor_preprocessing
    from neurovis.features.preprocessing import ImagePreprocessing

    model = LatentDiffusion(
        diffusers.UNet2DConditionModel(**_SD21_UNET), diffusers.AutoencoderKL(**_SD21_VAE), _SD_SCHEDULER,
        _Embedding(), _Words(), "sd21",
    )  # fmt: skip
    tower = timm.create_model("vit_base_patch16_clip_224", num_classes=512).requires_grad_(False).eval()
    prepare = make_tensor_preprocessing(
        ImagePreprocessing(resize=(224, 224), mean=(0.48, 0.46, 0.41), std=(0.27, 0.26, 0.28))
    )

    class Respond(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = tower

        def forward(self, images: Tensor) -> Tensor:
            return self.tower(prepare(images))

    return model, Respond()


def run_sd21(options: argparse.Namespace) -> None:
    """Times of both ways at the published size."""
    torch.manual_seed(0)
    with torch.device(options.device):
        model, respond = build_sd21()
    kind = getattr(torch, options.dtype)
    for part in (model.unet, model.vae):
        part.to(kind, memory_format=torch.channels_last)
    objective = RegionObjective(respond, list(range(100)))
    report_seconds(run_both(options, model, (objective, objective), options.scale))


def count_sd21(options: argparse.Namespace) -> None:
    """Floating-point operations of both ways at the published size, counted without running them."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model, respond = build_sd21()
        told = torch.zeros(1, 77, _SD21_UNET["cross_attention_dim"])
        time_step = torch.zeros((), dtype=torch.long)

    def count(call: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> tuple[float, float]:
        """Tera-operations forward, and of the backward pass to the input."""
        x = torch.zeros(shape, device="meta", requires_grad=True)
        with FlopCounterMode(display=False) as forward:
            output = call(x)
        with FlopCounterMode(display=False) as backward:
            torch.autograd.grad(output.sum(), x)
        return forward.get_total_flops() / 1e12, backward.get_total_flops() / 1e12

    side = max(1, round(options.decode_scale * 64))
    network = count(lambda z: model.predict(z, time_step, told), (1, 4, 64, 64))
    whole, small = (count(model.decode, (1, 4, px, px)) for px in (64, side))
    judge = count(respond, (1, 3, 224, 224))
    for name, (forward, backward) in {
        "network": network, "decoder, 512 px": whole, f"decoder, {side * 8} px": small, "encoder": judge,
    }.items():  # fmt: skip
        print(f"{name:>16}: {forward:.2f} forward, {backward:.2f} backward [TFLOP]")
    published = options.steps * (3 * network[0] + network[1] + sum(whole) + sum(judge)) + whole[0]
    guided = -(-round(options.stop * options.fast_steps) // options.every)
    gradient = sum(small) + sum(judge) + (network[1] if options.gradient == "full" else 0)
    fast = options.fast_steps * network[0] + guided * gradient + whole[0]
    print(f"{published:.0f} against {fast:.0f} TFLOP for each image, ratio {published / fast:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=("world", "sd21"), default="world")
    parser.add_argument("--count", action="store_true", help="count operations of sd21, run nothing")
    parser.add_argument("--region", default="FFA")
    parser.add_argument("--folder", type=Path, help="keep the stimulus world here")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--slow-images", type=int, help="images of the reference, all by default")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--fast-steps", type=int, default=25)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--stop", type=float, default=1.0, help="share of the steps that are guided")
    parser.add_argument("--gradient", choices=GRADIENTS, default="decoder_only")
    parser.add_argument("--sampler", choices=SAMPLERS, default="sde-dpm++", help="of the fast way")
    parser.add_argument("--views", type=int, default=4, help="of each image, in the fast way")
    parser.add_argument("--decode-scale", type=float)
    parser.add_argument("--scale", type=float, default=130.0)
    parser.add_argument("--fast-scale", type=float, help="of the fast way, if another")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    if options.decode_scale is None:
        options.decode_scale = 1.0 if options.size == "world" else 28 / 64
    torch.set_num_threads(1)
    if options.count:
        count_sd21(options)
    elif options.size == "sd21":
        run_sd21(options)
    else:
        run_world(options)


if __name__ == "__main__":
    main()
