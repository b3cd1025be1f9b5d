"""Training of region networks: gradient steps on everything, then the readout in closed form, in turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovis.core import make_rng
from neurovis.encoding.fitting import DEFAULT_ALPHAS
from neurovis.encoding.ridge_solvers import choose_alpha, compute_cv_error, solve_ridge
from neurovis.encoding.tokens import TokenGrid
from neurovis.encoding.transformer_network import GroupedReadout, RegionNetwork
from neurovis.metrics.regression import pearson_r
from neurovis.training.loop import ArrayBatches, train

_CLIP_NORM = 0.1
_MIXTURE_BYTES = 512e6


@dataclass(frozen=True)
class TrainingPlan:
    """Rows, steps and seeds of a fit; the fields are parameters of the estimators.

    ``train`` and ``validation`` are the rows that give gradients and those that choose epoch and penalty.
    """

    train: NDArray[np.intp]
    validation: NDArray[np.intp]
    n_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    n_refits: int
    seed: int
    device: str


@dataclass(frozen=True)
class TrainedNetwork:
    """What a fit tells: correlation on the validation rows (n_neuroids,), epochs kept in each turn, and the
    penalty of each neuroid's readout, or None if no readout was solved.
    """

    validation_r: NDArray[np.float64]
    n_epochs_kept: NDArray[np.intp]
    alpha: NDArray[np.float64] | None


def fit_network(
    network: RegionNetwork,
    features: NDArray[np.float32],
    responses: NDArray[np.float32],
    *,
    grid: TokenGrid,
    plan: TrainingPlan,
    chunk: int,
) -> TrainedNetwork:
    """Train a network in place.

    Parameters
    ----------
    network : RegionNetwork
        Untrained; left on ``plan.device`` in evaluation mode.
    features : float32 array of shape (n, n_features)
        Flat features.
    responses : float32 array of shape (n, n_neuroids)
        Responses.
    grid : TokenGrid
        Where the tokens are in the features.
    plan : TrainingPlan
        Rows, steps and seeds.
    chunk : int
        Images at a time without gradients.

    Returns
    -------
    TrainedNetwork

    Raises
    ------
    ValueError
        If the loss is not finite, or ``n_refits`` is negative or given with a token per neuroid.

    Notes
    -----
    With ``n_refits`` above 1 the epochs are divided over as many turns; each trains from the readout that
    the last one solved. Penalties are chosen on the validation rows, whose tokens no gradient has seen.
    """
    if plan.n_refits < 0 or (plan.n_refits and not isinstance(network.readout, GroupedReadout)):
        raise ValueError(
            f"refit_readout must be 0 with queries='neuroid' and at least 0 otherwise, got {plan.n_refits}; "
            "pass None for the usual number."
        )
    rows = _Rows(torch.from_numpy(features), torch.from_numpy(responses), grid, plan, chunk)
    _set_scales(network, rows)
    turns = max(1, plan.n_refits)
    kept, alpha, everything = [], None, np.arange(len(features))
    for turn in range(turns):
        kept.append(_take_steps(network, rows, turn, -(-plan.n_epochs // turns)))
        if plan.n_refits:
            alpha = _solve_readout(network, rows, plan.train)
    validation_r = _correlate(network, rows)
    if alpha is not None:
        _solve_readout(network, rows, everything, alpha)
    return TrainedNetwork(validation_r, np.array(kept), alpha)


@dataclass(frozen=True)
class _Rows:
    """All rows on the CPU, and tokens of some of them on the device."""

    features: Tensor
    responses: Tensor
    grid: TokenGrid
    plan: TrainingPlan
    chunk: int

    def load(self, rows: Tensor) -> Tensor:
        index = torch.from_numpy(self.grid.index).to(self.plan.device)
        return self.features[rows].to(self.plan.device)[:, index.ravel()].unflatten(1, index.shape)

    def iterate(self, rows: NDArray[np.intp]) -> Iterator[Tensor]:
        for part in torch.from_numpy(rows).split(self.chunk):
            yield self.load(part)


def _set_scales(network: RegionNetwork, rows: _Rows) -> None:
    """Scales of the training rows: of each channel over all places, of each neuroid; constant ones are 1.

    A constant neuroid has a response scale of 0, so that its prediction is its value.
    """
    train = rows.plan.train
    count = len(train) * len(rows.grid.rows)
    sums = [tokens.double().sum((0, 1)) for tokens in rows.iterate(train)]
    mean = torch.stack(sums).sum(0) / count
    squares = [(tokens.double() - mean).square().sum((0, 1)) for tokens in rows.iterate(train)]
    deviation = (torch.stack(squares).sum(0) / count).sqrt()
    flat = deviation <= 1e-6 * mean.abs()
    network.token_mean.copy_(mean)
    network.token_scale.copy_(torch.where(flat, 1.0, deviation))
    measured = rows.responses[train].double()
    mean, deviation = measured.mean(0), measured.std(0, unbiased=False)
    network.response_mean.copy_(mean)
    network.response_scale.copy_(torch.where(deviation <= 1e-6 * mean.abs(), 0.0, deviation))


def _take_steps(network: RegionNetwork, rows: _Rows, turn: int, n_epochs: int) -> int:
    plan = rows.plan
    seed = int(make_rng(plan.seed, "turn", turn).integers(2**31))
    # Batches are numbers of rows: a copy of all features would not fit beside them.
    batches = ArrayBatches((torch.from_numpy(plan.train),), batch_size=plan.batch_size, seed=seed)

    def compute_loss(model: RegionNetwork, batch: tuple[Tensor]) -> Tensor:
        chosen = batch[0].cpu()
        measured = rows.responses[chosen].to(plan.device)
        scale = torch.where(model.response_scale > 0, model.response_scale, 1.0)
        return ((model(rows.load(chosen)) - measured) / scale).square().mean()

    def validate(model: Any) -> float:
        return -float(_correlate(model, rows).mean())

    result = train(
        network, batches, compute_loss, n_epochs=n_epochs, seed=seed, learning_rate=plan.learning_rate,
        weight_decay=plan.weight_decay, clip_norm=_CLIP_NORM, device=plan.device, validate=validate,
    )  # fmt: skip
    return result.best_epoch + 1


def _correlate(network: RegionNetwork, rows: _Rows) -> NDArray[np.float64]:
    """Correlation of each neuroid on the validation rows."""
    network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(tokens).cpu() for tokens in rows.iterate(rows.plan.validation)])
    return pearson_r(rows.responses[rows.plan.validation].numpy(), predicted.numpy())


def _solve_readout(
    network: RegionNetwork,
    rows: _Rows,
    used: NDArray[np.intp],
    alpha: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Ridge from what each group reads; without ``alpha`` the validation rows choose one per neuroid."""
    plan, readout = rows.plan, network.readout
    assert isinstance(readout, GroupedReadout)  # fit_network refuses the other one
    scale = torch.where(network.response_scale > 0, network.response_scale, 1.0)
    targets = ((rows.responses - network.response_mean.cpu()) / scale.cpu()).numpy()
    order = readout.order.cpu().numpy()
    penalties = np.empty(len(order)) if alpha is None else alpha
    stops = np.cumsum(readout.sizes)
    per_block = max(1, int(_MIXTURE_BYTES / (4 * len(targets) * network.selector.width)))
    for first in range(0, len(stops), per_block):
        mixtures = _mix(network, readout, rows, slice(first, first + per_block))
        for mixture, stop, size in zip(
            mixtures, stops[first:], readout.sizes[first : first + per_block], strict=False
        ):
            part = slice(stop - size, stop)
            wanted = targets[:, order[part]]
            if alpha is None:
                folds = [(plan.train, plan.validation)]
                error = compute_cv_error(mixture, wanted, alphas=DEFAULT_ALPHAS, folds=folds)
                penalties[order[part]] = choose_alpha(DEFAULT_ALPHAS, error)
            solution = solve_ridge(mixture[used], wanted[used], alpha=penalties[order[part]])
            with torch.no_grad():
                readout.weight[part] = torch.from_numpy(solution.coef.T).to(readout.weight)
                readout.bias[part] = torch.from_numpy(solution.intercept).to(readout.bias)
    return penalties


def _mix(
    network: RegionNetwork, readout: GroupedReadout, rows: _Rows, patterns: slice
) -> NDArray[np.float32]:
    """What some groups read from every row, (n_patterns, n, width)."""
    network.eval()
    everything = np.arange(len(rows.features))
    with torch.no_grad():
        parts = [readout.mix(network.select(tokens), patterns).cpu() for tokens in rows.iterate(everything)]
    return torch.cat(parts, dim=1).numpy()
