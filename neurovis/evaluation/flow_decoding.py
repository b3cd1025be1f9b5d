"""Flow decoded from responses to planted movies, and what a picture looks like when it moves along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import make_rng
from neurovis.datasets.simulated.flow import FlowClips, simulate_flow_clips
from neurovis.decoding.animation import WarpAnimator, compute_psnr, resize_flow
from neurovis.decoding.flow import compare_flow_decoders, train_flow_decoder
from neurovis.stimuli.textures import make_fractal_field

SIDE_PX = 64
N_FRAMES = 8
BRAIN, FRAME = "brain and frame", "frame alone"


@dataclass(frozen=True)
class FlowDecoding:
    """What :func:`run_flow_decoding` found.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`neurovis.decoding.flow.compare_flow_decoders`, with ``predictor`` and ``seed`` as columns
        and ``psnr_db``: agreement of the animated pictures with those moved by the true flow.
    pictures : array of shape (n_shown, 64, 64, 3)
        First frames of the first held-out clips, uint8.
    flows : dict of str to array of shape (n_shown, grid, grid, 2)
        True and decoded flow of them [cells per step].
    movies : dict of str to array of shape (n_shown, n_frames, 64, 64, 3)
        Those pictures animated, uint8.
    """

    table: pd.DataFrame
    pictures: NDArray[np.uint8]
    flows: dict[str, NDArray[np.float32]]
    movies: dict[str, NDArray[np.uint8]]


def run_flow_decoding(
    *,
    seed: int,
    n_train: int = 900,
    n_test: int = 200,
    n_shown: int = 4,
    n_epochs: int = 12,
) -> FlowDecoding:
    """Train decoders of flow on simulated clips, measure them on others, and animate pictures with them.

    Parameters
    ----------
    seed : int
        Of the simulated brain, its clips and the decoders.
    n_train, n_test : int
        Clips to learn from and held-out clips.
    n_shown : int
        Held-out clips that are animated.
    n_epochs : int
        Of the training.

    Returns
    -------
    FlowDecoding

    Raises
    ------
    ValueError
        If a number is not positive or ``n_shown`` exceeds ``n_test``.
    """
    if not 1 <= n_shown <= n_test:
        raise ValueError(f"n_shown must lie between 1 and n_test = {n_test}, got {n_shown}; lower it.")
    train = simulate_flow_clips(n_train, seed=seed)
    test = simulate_flow_clips(n_test, seed=seed, part="test")
    decoders = {
        name: train_flow_decoder(
            train.brain, train.frame, train.flow, train.mask, source=source, n_codes=16, n_epochs=n_epochs,
            seed=seed,
        )
        for name, source in ((BRAIN, "brain and frame"), (FRAME, "frame"))
    }  # fmt: skip
    table = compare_flow_decoders(
        decoders, test.brain, test.frame, test.flow, test.mask, mean_flow=train.flow.mean(axis=0), seed=seed
    )
    shown = slice(n_shown)
    flows = {"truth": test.flow[shown], "zero flow": np.zeros_like(test.flow[shown])}
    flows |= {
        name: decoder.decode(test.brain[shown], test.frame[shown]) for name, decoder in decoders.items()
    }
    pictures = _paint(test, n_shown, seed)
    movies = {name: _animate(pictures, fields) for name, fields in flows.items()}
    table["psnr_db"] = pd.Series(
        {
            name: compute_psnr(movies["truth"][:, 1:], movie[:, 1:])
            for name, movie in movies.items()
            if name != "truth"
        }
    )
    table.insert(0, "seed", seed)
    return FlowDecoding(
        table.reset_index(), pictures, {name: fields[:, 0] for name, fields in flows.items()}, movies
    )


def _animate(pictures: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pictures on their way along one step of flow, from none of it to all of it."""
    warp = WarpAnimator()
    movies = []
    for picture, step in zip(pictures, flow[:, 0], strict=True):
        # Nearest: objects are few cells wide, and interpolation would bend them. The whole way belongs to the
        # place of a pixel in the first frame, so each frame is warped from that one.
        field = resize_flow(step, picture.shape[:2], method="nearest")
        moved = [warp(picture, field[None] * share)[-1] for share in np.arange(1, N_FRAMES) / (N_FRAMES - 1)]
        movies.append(np.stack([picture, *moved]))
    return np.stack(movies)


def _paint(clips: FlowClips, n: int, seed: int) -> NDArray[np.uint8]:
    """A textured object before a textured background, where the mask of each clip says."""
    pictures = np.empty((n, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    for number in range(n):
        rng = make_rng(seed, "picture", number)
        cell = SIDE_PX // clips.mask.shape[1]
        inside = clips.mask[number].repeat(cell, axis=0).repeat(cell, axis=1)
        for where, middle in ((inside, rng.uniform(120, 230, 3)), (~inside, rng.uniform(30, 120, 3))):
            texture = make_fractal_field(rng, SIDE_PX)[..., None] * 18 + middle
            pictures[number][where] = np.clip(texture, 0, 255).astype(np.uint8)[where]
    return pictures
