"""Scanpaths out of an object-level attention transformer: greedy or sampled, many at once, with a cache."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from neurovis.core import check_array, make_rng
from neurovis.gaze.oat import OAT, ObjectBatch


@dataclass(frozen=True, eq=False)
class DecodedPaths:
    """Paths of every display.

    Parameters
    ----------
    objects : Tensor of shape (n_displays, n_paths, n_steps), int
        Fixated objects; -1 after the end.
    ended : Tensor of shape (n_displays, n_paths), bool
        Whether the model said that the search is over; otherwise the path reached the largest length.
    """

    objects: Tensor
    ended: Tensor

    def to_lists(self) -> list[list[list[int]]]:
        """Paths as lists of ids: display, path, step."""
        return [[[step for step in path if step >= 0] for path in paths] for paths in self.objects.tolist()]


def forbid(logits: Tensor, *, first: bool) -> Tensor:
    """Scores (..., N + 2) as decoding reads them: never padding, and no end before the first fixation.

    Parameters
    ----------
    logits : Tensor of shape (..., N + 2)
        Of the objects, the end and padding.
    first : bool
        Whether these are scores of the first fixation.
    """
    kept = logits.clone()
    kept[..., -2 if first else -1 :] = -math.inf
    return kept


def decode_greedy(network: OAT, batch: ObjectBatch, *, max_length: int) -> DecodedPaths:
    """The most probable object at every step.

    Parameters
    ----------
    network : OAT
        In evaluation mode.
    batch : ObjectBatch
        Displays; its paths are not read.
    max_length : int
        Longest path, e.g. the longest one of training.

    Returns
    -------
    DecodedPaths
        With one path per display.
    """
    return _decode(network, batch, n_paths=1, max_length=max_length, generator=None)


def sample_paths(
    network: OAT, batch: ObjectBatch, *, n_paths: int = 100, max_length: int, seed: int
) -> DecodedPaths:
    """Paths drawn from the model's probabilities (temperature 1), all of a batch at once.

    Parameters
    ----------
    network : OAT
        In evaluation mode.
    batch : ObjectBatch
        Displays; each is encoded once. Its paths are not read.
    n_paths : int
        Paths per display.
    max_length : int
        Longest path, e.g. the longest one of training.
    seed : int
        Decides the draws.

    Returns
    -------
    DecodedPaths
    """
    check_array("n_paths", n_paths, ndim=0, minimum=1)
    generator = torch.Generator(device=batch.paths.device)
    generator.manual_seed(int(make_rng(seed, "scanpaths").integers(2**62)))
    return _decode(network, batch, n_paths=n_paths, max_length=max_length, generator=generator)


@torch.no_grad()
def compute_step_log_probabilities(network: OAT, batch: ObjectBatch) -> Tensor:
    """Log-probability of every next object, given the observer's own path so far.

    Parameters
    ----------
    network : OAT
        In evaluation mode.
    batch : ObjectBatch
        Displays and paths.

    Returns
    -------
    Tensor of shape (n_trials, n_steps, N + 1)
        Natural logarithm, for the objects and the end; by the rules of decoding, so the end has none at the
        first step. Steps after a path's end mean nothing.
    """
    logits = network(batch)
    logits = torch.cat([forbid(logits[:, :1], first=True), forbid(logits[:, 1:], first=False)], dim=1)
    return logits[..., :-1].log_softmax(dim=2)


@torch.no_grad()
def _decode(
    network: OAT, batch: ObjectBatch, *, n_paths: int, max_length: int, generator: torch.Generator | None
) -> DecodedPaths:
    check_array("max_length", max_length, ndim=0, minimum=1, remedy="pass the longest path of training")
    if network.training:
        raise ValueError("network must be in evaluation mode, got training mode; call network.eval() first.")
    encoded = network.encode(batch)
    # Keys and values of the encoder's output are computed per display, not per path.
    cache = network.make_cache(encoded)
    cache.memory = [
        (keys.repeat_interleave(n_paths, 0), values.repeat_interleave(n_paths, 0))
        for keys, values in cache.memory
    ]
    displays = encoded.repeat(n_paths)
    n, n_rows = batch.n_objects, len(displays.tokens)
    objects = torch.full((n_rows, max_length), -1, dtype=torch.long, device=batch.paths.device)
    ended = torch.zeros(n_rows, dtype=torch.bool, device=batch.paths.device)
    ids = torch.full((n_rows,), n + 2, dtype=torch.long, device=batch.paths.device)
    for step in range(max_length + 1):
        logits = forbid(network.step(displays, ids, cache), first=step == 0)
        if generator is None:
            chosen = logits.argmax(dim=1)
        else:
            chosen = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
        ended |= chosen == n
        if step == max_length or bool(ended.all()):
            break
        # Paths that are over go on unread, so that the batch keeps its shape.
        objects[~ended, step] = chosen[~ended]
        ids = torch.where(ended, n + 1, chosen)
    shape = (len(batch.present), n_paths)
    return DecodedPaths(objects.unflatten(0, shape), ended.unflatten(0, shape))
