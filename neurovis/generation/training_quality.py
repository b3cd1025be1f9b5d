"""How good a diffusion model of the stimulus world is: reconstruction, coverage, prompts and memorisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from neurovis.core import import_optional, make_rng
from neurovis.features.world_judge import classify_images, sum_subtypes
from neurovis.features.worldnet import load_worldnet
from neurovis.generation.diffusion_data import CATEGORY_PHRASES, DiffusionScenes
from neurovis.generation.training_vae import decode_latents, encode_images, take_pixels
from neurovis.stimuli.world import CATEGORIES, CATEGORY_OF
from neurovis.stimuli.world_shares import SUBTYPE_NAMES

GUIDANCE_SCALE = 4.0
"""Of the prompts whose following is measured."""

_N_STEPS = 50
_BATCH_SIZE = 32
_NEIGHBOUR_PX = 16


def compute_psnr(truth: NDArray[np.uint8], found: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio (n,) [dB] of images (n, h, w, 3); infinite where they are equal."""
    errors = np.square(truth.astype(float) - found.astype(float)).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255.0**2 / errors)


def compute_ssim(truth: NDArray[np.uint8], found: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity (n,) of images (n, h, w, 3) (Wang et al., 2004, IEEE TIP, equation 13).

    Gaussian windows of 1.5 px, cut at 5 px, the image mirrored at its edges; the mean over channels.
    """

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(values, sigma=(0, 1.5, 1.5, 0), truncate=3.5)

    a, b = truth.astype(float), found.astype(float)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similarity /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return similarity.mean(axis=(1, 2, 3))


def compute_frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Squared Fréchet distance of normal distributions fitted to two sets of features (n, k).

    Heusel et al. (2017, NeurIPS, equation 6). It falls with the number of rows: compare equal numbers.
    """
    cov_a, cov_b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # The root of cov_a cov_b has the trace of that of this symmetric product, also where both are singular.
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    shift = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    return float(shift + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap)


@torch.no_grad()
def embed_worldnet(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pooled features (n, 96) of worldnet."""
    network = load_worldnet()
    parts = []
    for rows in torch.arange(len(images)).split(_BATCH_SIZE):
        two = network.stage2(network.stage1(network.stem(take_pixels(images, rows, "cpu"))))
        parts.append(network.pooled(network.pool(network.stage4(network.stage3(two)))))
    return torch.cat(parts).double().numpy()


def sample_images(
    pipeline: Any, prompts: Sequence[str], *, guidance_scale: float, seed: int, stochastic: bool = True
) -> NDArray[np.uint8]:
    """One image (n, size, size, 3) of each prompt, by diffusers: 50 steps of (SDE-)DPM-Solver++ (2M)."""
    diffusers = import_optional("diffusers", extra="diffusion")
    scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="sde-dpmsolver++" if stochastic else "dpmsolver++"
    )
    runner = diffusers.StableDiffusionPipeline(
        **{**pipeline.components, "scheduler": scheduler}, requires_safety_checker=False
    )
    runner.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(int(make_rng(seed, "samples").integers(2**62)))
    parts = [
        runner(
            list(prompts[start : start + _BATCH_SIZE]), num_inference_steps=_N_STEPS, output_type="np",
            guidance_scale=guidance_scale, generator=generator,
        ).images
        for start in range(0, len(prompts), _BATCH_SIZE)
    ]  # fmt: skip
    return np.round(np.concatenate(parts) * 255).astype(np.uint8)


def weigh_scenes(pipeline: Any, scenes: DiffusionScenes, *, n_samples: int, seed: int) -> Tensor:
    """How much each scene (n,) must count for samples to hold all categories in proportion.

    The share of its category in the scenes over that in samples without guidance, as the judge finds it;
    between one half and two. A small network makes some categories too often, for example those that its
    failures are taken for.
    """
    samples = sample_images(pipeline, [""] * n_samples, guidance_scale=1.0, seed=seed)
    found = np.bincount(classify_images(samples).argmax(axis=1), minlength=len(CATEGORIES)) / n_samples
    own = np.array([CATEGORIES.index(CATEGORY_OF[name]) for name in scenes.subtypes])
    expected = np.bincount(own, minlength=len(CATEGORIES)) / len(own)
    ratio = np.clip(expected / np.maximum(found, 1 / n_samples), 0.5, 2)
    return torch.from_numpy(ratio[own].astype(np.float32))


def measure_diffusion(
    pipeline: Any,
    train: DiffusionScenes,
    test: DiffusionScenes,
    *,
    n_samples: int,
    seed: int,
) -> dict[str, Any]:
    """Quality of a model beside what real scenes reach in the same measure.

    Parameters
    ----------
    pipeline : diffusers.StableDiffusionPipeline
        Model to measure.
    train, test : DiffusionScenes
        What it was trained on, and scenes that it has not seen, ``2 * n_samples`` at least.
    n_samples : int
        Samples without guidance, and samples with prompts.
    seed : int
        Seed of the samples.

    Returns
    -------
    dict
        ``reconstruction``: ``psnr_db`` and ``ssim`` of unseen scenes through the autoencoder.
        ``unguided``: what world-judge calls samples with the empty prompt: ``categories`` and ``subtypes``,
        name -> share, ``confidence``, the mean probability of the category that it chose, and ``distance``,
        the total variation between these shares of categories and those of the unseen scenes, beside
        ``chance_distance``, which 95 of 100 pairs of equal sets of this size do not exceed.
        ``deterministic``: the same without noise in the steps. ``unseen``: the same of unseen scenes, and
        ``accuracy``, how often the judge is right there. ``prompts``: category ->
        share of the samples of "a photo of <category>" with guidance that the judge calls so.
        ``frechet``: distance in worldnet's pooled features to one half of the unseen scenes, of ``samples``,
        of ``deterministic`` ones, of the ``other_half`` and of the ``reconstructions`` of the other half.
        ``neighbours``: root mean squared difference to the nearest training image at 16 x 16 [grey levels],
        medians of ``samples`` and ``unseen`` scenes, and ``share_closer``, the share of samples closer than
        99 in 100 unseen scenes are.

    Raises
    ------
    ValueError
        If there are too few unseen scenes.
    """
    if len(test.images) < 2 * n_samples:
        raise ValueError(
            f"test must hold at least 2 * n_samples = {2 * n_samples} scenes, got "
            f"{len(test.images)}; make more."
        )
    here, other = np.array(test.images[:n_samples]), np.array(test.images[n_samples : 2 * n_samples])
    rebuilt = decode_latents(pipeline.vae, encode_images(pipeline.vae, other))
    free, flowing = (
        sample_images(pipeline, [""] * n_samples, guidance_scale=1.0, seed=seed, stochastic=stochastic)
        for stochastic in (True, False)
    )
    prompted = [CATEGORIES[k % len(CATEGORIES)] for k in range(n_samples)]
    guided = sample_images(
        pipeline, [f"a photo of {CATEGORY_PHRASES[name]}" for name in prompted],
        guidance_scale=GUIDANCE_SCALE, seed=seed + 1,
    )  # fmt: skip
    followed = classify_images(guided).argmax(axis=1) == [CATEGORIES.index(name) for name in prompted]
    truth, features = classify_images(here, level="subtype"), embed_worldnet(here)
    right = sum_subtypes(truth).argmax(axis=1) == [
        CATEGORIES.index(CATEGORY_OF[name]) for name in test.subtypes[:n_samples]
    ]
    unseen = _count_found(truth)
    near, near_unseen = (_find_nearest(images, train.images) for images in (free, here))
    return {
        "n_samples": n_samples,
        "reconstruction": {
            "psnr_db": round(float(compute_psnr(other, rebuilt).mean()), 2),
            "ssim": round(float(compute_ssim(other, rebuilt).mean()), 3),
        },
        **{
            name: {**found, **_compare_shares(found["categories"], unseen["categories"], n_samples, seed)}
            for name, images in (("unguided", free), ("deterministic", flowing))
            for found in [_count_found(classify_images(images, level="subtype"))]
        },
        "unseen": {**unseen, "accuracy": round(float(right.mean()), 3)},
        "prompts": {
            name: round(float(followed[np.array(prompted) == name].mean()), 3)
            for name in dict.fromkeys(prompted)
        },
        "frechet": {
            name: round(compute_frechet_distance(embed_worldnet(images), features), 3)
            for name, images in (
                ("samples", free),
                ("deterministic", flowing),
                ("other_half", other),
                ("reconstructions", rebuilt),
            )
        },
        "neighbours": {
            "samples": round(float(np.median(near)), 2),
            "unseen": round(float(np.median(near_unseen)), 2),
            "share_closer": round(float((near < np.quantile(near_unseen, 0.01)).mean()), 3),
        },
    }


def _count_found(probabilities: NDArray[np.floating]) -> dict[str, Any]:
    """Shares of what the judge found in images, from its probabilities of subtypes (n, 12)."""
    by_category = sum_subtypes(probabilities)
    counts = {}
    for level, names, values in (
        ("categories", CATEGORIES, by_category),
        ("subtypes", SUBTYPE_NAMES, probabilities),
    ):
        shares = np.bincount(values.argmax(axis=1), minlength=len(names)) / len(values)
        counts[level] = dict(zip(names, shares.round(3).tolist(), strict=True))
    return {**counts, "confidence": round(float(by_category.max(axis=1).mean()), 3)}


def _compare_shares(
    found: Mapping[str, float], expected: Mapping[str, float], n: int, seed: int
) -> dict[str, float]:
    """Total variation between shares found in two sets of n images, and what chance alone makes of it."""
    one, other = (np.array(list(shares.values())) for shares in (found, expected))
    pooled = (one + other) / (one + other).sum()
    draws = make_rng(seed, "shares").multinomial(n, pooled, size=(2, 10_000)) / n
    chance = np.abs(draws[0] - draws[1]).sum(axis=1) / 2
    return {
        "distance": round(float(np.abs(one - other).sum() / 2), 3),
        "chance_distance": round(float(np.quantile(chance, 0.95)), 3),
    }


def _find_nearest(images: NDArray[np.uint8], bank: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Root mean squared difference (n,) of each image to the nearest of the bank, both at 16 x 16."""
    queries = _shrink(images)
    nearest = np.full(len(queries), np.inf)
    for start in range(0, len(bank), 2000):
        part = _shrink(np.asarray(bank[start : start + 2000]))
        squares = np.square(queries).sum(1)[:, None] - 2 * queries @ part.T + np.square(part).sum(1)
        nearest = np.minimum(nearest, squares.min(axis=1))
    return np.sqrt(np.maximum(nearest, 0) / queries.shape[1])


def _shrink(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    factor = images.shape[1] // _NEIGHBOUR_PX
    shape = (len(images), _NEIGHBOUR_PX, factor, _NEIGHBOUR_PX, factor, 3)
    return images.reshape(shape).mean(axis=(2, 4)).reshape(len(images), -1)
