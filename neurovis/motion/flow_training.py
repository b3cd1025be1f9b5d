"""Training of the two-stage motion model on generated motion: one function, one command.

``neurovis motion train-v1mt`` makes the shipped weights again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurovis.core import check_option
from neurovis.motion.flow_io import FlowSample
from neurovis.motion.flow_quality import format_quality, measure_flow, name_best
from neurovis.motion.flow_training_data import KINDS, MotionBatches
from neurovis.motion.protocols import FlowModel
from neurovis.motion.v1mt import SIZES, V1MT, V1MTModel, describe_size
from neurovis.stimuli.world import WORLD_VERSION
from neurovis.training.loop import train
from neurovis.training.models import write_model

TRAINING_SEED = 83_001
TEST_SEED = 83_002
"""Seeds of the movies; other experiments use others, so no movie is shown to both."""

LOSS_DECAY = 0.85
"""Weight of an iteration's loss relative to the next one's."""

_BALANCING_BATCHES = 8
_N_SAMPLE = 2
_LARGEST_SPEED_PX = 400.0
_RECIPES: dict[str, dict[str, float | int]] = {
    "small": {"batch_size": 4, "learning_rate": 2e-3, "weight_decay": 1e-4, "n_movies": 50, "size_px": 64},
    "paper": {"batch_size": 4, "learning_rate": 2e-4, "weight_decay": 1e-6, "n_movies": 50, "size_px": 256},
}


def compute_sequence_loss(flows: Sequence[Tensor], truth: Tensor, *, decay: float = LOSS_DECAY) -> Tensor:
    """Absolute error of a sequence of estimates, later ones weighing more.

    Parameters
    ----------
    flows : sequence of Tensor of shape (n, 2, height, width)
        Estimates of successive iterations [px].
    truth : Tensor of shape (n, 2, height, width)
        Flow; pixels with NaN or a speed from 400 px on do not count.
    decay : float
        Weight of an estimate relative to the next one.

    Returns
    -------
    Tensor
        Weighted mean of the absolute errors of both components [px].

    Raises
    ------
    ValueError
        If an estimate and the truth differ in shape, or no pixel is valid.

    Notes
    -----
    Sun et al. (2023), section 5: ``sum_i decay^(n-1-i) mean |F_i - F| / sum_i decay^(n-1-i)``, the mean over
    valid pixels and both components.
    """
    for flow in flows:
        if flow.shape != truth.shape:
            swapped = flow.shape[2:] == truth.shape[:1:-1]
            remedy = "height and width are swapped" if swapped else "crop movie and flow alike"
            raise ValueError(
                f"flows must have the shape of truth {tuple(truth.shape)}, got {tuple(flow.shape)}; {remedy}."
            )
    # A NaN is not smaller than the limit either.
    valid = truth.square().sum(dim=1, keepdim=True) < _LARGEST_SPEED_PX**2
    if not valid.any():
        raise ValueError("truth must hold a valid pixel, got none; check the flow files.")
    known = torch.where(valid, truth, 0.0)
    weights = [decay ** (len(flows) - 1 - i) for i in range(len(flows))]
    errors = [((flow - known).abs() * valid).sum() / (2 * valid.sum()) for flow in flows]
    return torch.stack([w * e for w, e in zip(weights, errors, strict=True)]).sum() / sum(weights)


def train_v1mt(
    out: str | Path,
    *,
    size: str = "small",
    n_epochs: int = 36,
    seed: int = 0,
    device: str = "cpu",
    amp: bool = False,
    n_movies: int | None = None,
    checkpoint: str | Path | None = None,
    published: Sequence[FlowSample] = (),
    peers: Sequence[FlowModel] = (),
    n_test: int = 40,
) -> dict[str, Any]:
    """Train the model from scratch on generated motion, measure it on unseen movies and write its folder.

    Parameters
    ----------
    out : path
        Receives ``weights.safetensors``, ``config.json`` and the card ``README.md``.
    size : {"small", "paper"}
        Network and recipe: 64 x 64 px in batches of 8, for a processor; or 256 x 256 px in batches of 4, for
        an accelerator.
    n_epochs : int
        Passes, each over new movies.
    seed : int
        Seed of initial weights; the movies have seeds of their own.
    device : str
        Torch device.
    amp : bool
        Integrate in bfloat16; motion energy stays in float32.
    n_movies : int, optional
        Movies of one epoch, eight samples each; 50 by default.
    checkpoint : path, optional
        File that a killed run resumes from.
    published : sequence of FlowSample
        Published movies with flow to train on beside the generated ones, as
        :class:`neurovis.motion.flow_training_data.MotionBatches` takes them.
    peers : sequence of FlowModel
        Measured on the same movies, for the card.
    n_test : int
        Movies of each kind to measure on.

    Returns
    -------
    dict
        Measured quality, as in ``config.json``; see :func:`neurovis.motion.flow_quality.measure_flow`.

    Raises
    ------
    ValueError
        If an option is unknown or a number is out of range.
    """
    check_option("size", size, SIZES)
    recipe = _RECIPES[size]
    network = make_network(size, seed)
    batches = MotionBatches(
        n_movies=int(recipe["n_movies"]) if n_movies is None else n_movies, seed=TRAINING_SEED,
        batch_size=int(recipe["batch_size"]), n_frames=network.size.n_frames, size_px=int(recipe["size_px"]),
        published=published,
    )  # fmt: skip
    first = torch.cat([movies for movies, _ in islice(batches(0), _BALANCING_BATCHES)])
    network.v1.balance(first.float() / 255)
    result = train(
        network, batches, make_loss(amp=amp), n_epochs=n_epochs, seed=seed,
        learning_rate=float(recipe["learning_rate"]), weight_decay=float(recipe["weight_decay"]),
        device=device, checkpoint=checkpoint,
    )  # fmt: skip
    model = V1MTModel(network, f"v1mt-{size}", device=device)
    measured = measure_flow([model, *peers], n_movies=n_test, seed=TEST_SEED, size_px=batches.size_px)
    # The part that a test can measure again in seconds.
    sample = measure_flow([model], n_movies=_N_SAMPLE, seed=TEST_SEED, size_px=batches.size_px)[model.name]
    quality = {
        "n_movies": n_test, "movie_seed": TEST_SEED, "end_point_error_px": measured,
        "sample": {"n_movies": _N_SAMPLE, "end_point_error_px": sample},
    }  # fmt: skip
    config = {
        "name": model.name,
        "size": describe_size(network.size),
        "training": {
            "size": size, "n_epochs": n_epochs, "n_movies": batches.n_movies, "n_batches": len(batches),
            "seed": seed, "movie_seed": TRAINING_SEED, "world_version": WORLD_VERSION, "kinds": list(KINDS),
            "n_published": len(published), "side_px": batches.size_px, **recipe, "amp": amp,
            "final_loss": round(result.history[-1].loss, 4),
            "minutes": round(sum(epoch.seconds for epoch in result.history) / 60, 1),
        },
        "quality": quality,
    }  # fmt: skip
    network.to("cpu")
    write_model(out, network, config, format_card=_format_card)
    return quality


def make_network(size: str, seed: int) -> V1MT:
    """Untrained network that depends on ``seed`` alone; torch's generator is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return V1MT(SIZES[check_option("size", size, SIZES)])


def make_loss(*, amp: bool = False) -> Callable[[V1MT, tuple[Tensor, Tensor]], Tensor]:
    """Loss of a batch of movies (uint8 grey) and flow: mean of the losses of fine and coarse flow.

    Notes
    -----
    The coarse sequence begins with the flow of the first stage, which so learns without the second one.
    """

    def compute_loss(network: V1MT, batch: tuple[Tensor, Tensor]) -> Tensor:
        movies, truth = batch
        with torch.autocast(movies.device.type, dtype=torch.bfloat16, enabled=amp):
            output = network(movies.float() / 255)
        fine = compute_sequence_loss(output.flows, truth)
        return (fine + compute_sequence_loss(output.coarse_flows, truth)) / 2

    return compute_loss


def _format_card(config: dict[str, Any]) -> str:
    training, quality = config["training"], config["quality"]
    best = ", ".join(f"{kind} {name}" for kind, name in name_best(quality["end_point_error_px"]).items())
    return f"""# {config["name"]}

Trainable motion energy (V1) and recurrent self-attention (MT) after Sun et al. (2023, NeurIPS), trained from
scratch on generated motion: dense flow, and two stages of motion-sensitive units, without any download.

- **Architecture**: `neurovis.motion.v1mt`, first-order branch, {config["n_parameters"]} parameters,
  {config["n_bytes"] / 2**20:.2f} MiB; {config["size"]["n_frames"]} grey frames, {config["size"]["n_scales"]}
  scales of {config["size"]["n_units"]} units, {config["size"]["n_iterations"]} iterations, one place per
  {config["size"]["stride"]} px. Flow in px per frame, x right, y down, of the middle frame to the next one.
- **Data**: {training["n_movies"] * training["n_epochs"]} generated movies of {training["side_px"]} x
  {training["side_px"]} px ({", ".join(training["kinds"])}) with exact flow, seed {training["movie_seed"]},
  stimulus world version {training["world_version"]}; windows, mirror images, quarter turns and inverted
  contrast at random. No recorded movie and no person's data. Speeds up to about 5 px per frame.
- **Command**: `neurovis motion train-v1mt --size {training["size"]} --n-epochs {training["n_epochs"]}
  --n-movies {training["n_movies"]} --seed {training["seed"]}`; {training["minutes"]} minutes on one shared
  core, {training["n_batches"] * training["n_epochs"]} batches of {training["batch_size"]}.
- **Licence**: BSD-3-Clause, as the rest of neurovis.
- **sha256** of `weights.safetensors`: `{config["sha256"]}`

Mean end-point error [px] on {quality["n_movies"]} unseen movies of each kind (seed
{quality["movie_seed"]}); every pixel counts, occluded ones too:

{format_quality(quality["end_point_error_px"])}

Lowest error: {best}.
The mean over kinds says most about those where a method fails. Classical methods see two frames, this model
{config["size"]["n_frames"]}.
"""
