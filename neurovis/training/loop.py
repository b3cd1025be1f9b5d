"""The training loop: model, batches and a loss in; trained weights in place and a history out.

Every epoch draws its batches and its dropout from the seed and the epoch's number alone, so a run that was
killed and resumed from its checkpoint ends with the same weights as one that was not.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from neurovis.core import check_option, compute_config_hash, import_optional, make_rng
from neurovis.training.checkpoints import flatten_optimiser, read_tensors, unflatten_optimiser, write_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEDULES = ("one-cycle", "cosine", "constant")
OPTIMISERS = ("adamw", "sgd")
_WARM_UP = 0.2
_MOMENTUM = 0.9


class Batches(Protocol):
    """What one epoch goes through: ``len(batches)`` batches, the same for the same epoch number."""

    def __len__(self) -> int:
        """Batches in one epoch."""
        ...

    def __call__(self, epoch: int) -> Iterable[Any]:
        """Batches of this epoch: tensors, or tuples, lists or dictionaries of tensors."""
        ...


@dataclass(frozen=True)
class ArrayBatches:
    """Shuffled batches of tensors held in memory.

    Parameters
    ----------
    tensors : sequence of torch.Tensor
        Equal first dimensions; each batch is a tuple with a part of every tensor.
    batch_size : int
        Rows in a batch; the last batch of an epoch may be smaller.
    seed : int
        Decides the order together with the epoch's number.

    Raises
    ------
    ValueError
        If the tensors differ in length, are empty, or ``batch_size`` is not positive.
    """

    tensors: Sequence[Tensor]
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        lengths = {len(tensor) for tensor in self.tensors}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                f"tensors must be of one length above zero, got lengths {sorted(lengths)}; pass equal ones."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}; pass for example 64.")

    def __len__(self) -> int:
        """Batches in one epoch."""
        return math.ceil(len(self.tensors[0]) / self.batch_size)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """Batches of one epoch in a seeded order."""
        order = make_rng(self.seed, "batches", epoch).permutation(len(self.tensors[0]))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield tuple(tensor[rows] for tensor in self.tensors)


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did: mean training loss, last learning rate, validation value (or None) and time [s]."""

    epoch: int
    loss: float
    learning_rate: float
    validation: float | None
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """History of a run; ``best_epoch`` is the one whose weights the model holds at the end."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    stopped_early: bool


def compute_learning_rate(step: int, n_steps: int, *, peak: float, schedule: str = "one-cycle") -> float:
    """Learning rate of one step.

    Parameters
    ----------
    step : int
        From 0 to ``n_steps - 1``.
    n_steps : int
        Steps of the whole run.
    peak : float
        Largest learning rate.
    schedule : {"one-cycle", "cosine", "constant"}
        One-cycle rises linearly from a tenth of the peak over the first fifth and falls along a cosine;
        cosine only falls.

    Returns
    -------
    float
        In (0, peak]; the falling schedules end at a thousandth of the peak.
    """
    check_option("schedule", schedule, SCHEDULES)
    if schedule == "constant":
        return peak
    warm = _WARM_UP * n_steps if schedule == "one-cycle" else 0.0
    if step < warm:
        return peak * (0.1 + 0.9 * step / warm)
    fraction = (step - warm) / max(n_steps - 1 - warm, 1.0)
    return peak * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0))))


def train(
    model: nn.Module,
    batches: Batches,
    compute_loss: Callable[[Any, Any], Tensor],
    *,
    n_epochs: int,
    seed: int,
    learning_rate: float = 1e-3,
    optimiser: str = "adamw",
    weight_decay: float = 0.0,
    schedule: str = "one-cycle",
    clip_norm: float | None = 1.0,
    device: str = "cpu",
    validate: Callable[[nn.Module], float] | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train ``model`` in place.

    Parameters
    ----------
    model : torch.nn.Module
        Moved to ``device``; in evaluation mode at the end.
    batches : Batches
        ``batches(epoch)`` gives the batches of an epoch, e.g. :class:`ArrayBatches`.
    compute_loss : callable
        (model, batch) to a scalar loss; the batch is on ``device``.
    n_epochs : int
        Passes over the batches.
    seed : int
        Decides dropout and anything else that draws from torch's generators; those are restored afterwards.
    learning_rate, schedule
        See :func:`compute_learning_rate`.
    optimiser : {"adamw", "sgd"}
        SGD has Nesterov momentum 0.9.
    weight_decay : float
        As in torch's optimisers.
    clip_norm : float, optional
        Largest norm of the whole gradient.
    device : str
        Torch device.
    validate : callable, optional
        Model, in evaluation mode and without gradients, to a number; smaller is better. The weights of the
        best epoch are restored at the end. Without it the last weights stay.
    patience : int, optional
        Stop after this many epochs without improvement; needs ``validate``.
    checkpoint : path, optional
        ``.safetensors`` file, written after every epoch and resumed from if it exists.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        If an option is unknown, ``patience`` comes without ``validate``, the loss is not finite, an epoch has
        no batch, or the checkpoint belongs to other settings or another model.
    """
    torch = import_optional("torch", extra="torch")
    check_option("optimiser", optimiser, OPTIMISERS)
    check_option("schedule", schedule, SCHEDULES)
    if patience is not None and validate is None:
        raise ValueError(f"patience needs validate, got patience={patience} without it; pass validate.")
    if n_epochs < 1 or len(batches) < 1:
        raise ValueError(
            f"n_epochs and len(batches) must be at least 1, got {n_epochs} and {len(batches)}; "
            "pass more data or epochs."
        )
    model.to(device)
    settings = {
        "n_epochs": n_epochs, "n_batches": len(batches), "seed": seed, "learning_rate": learning_rate,
        "optimiser": optimiser, "weight_decay": weight_decay, "schedule": schedule, "clip_norm": clip_norm,
        "patience": patience, "shapes": {name: list(t.shape) for name, t in model.state_dict().items()},
    }  # fmt: skip
    key = compute_config_hash(settings)
    stepper = _make_optimiser(model, optimiser, learning_rate, weight_decay)
    history: list[EpochRecord] = []
    best, best_weights = _Best(), None
    if checkpoint is not None and Path(checkpoint).is_file():
        history, best, best_weights = _resume(model, stepper, checkpoint, key)

    from tqdm import tqdm

    n_steps = n_epochs * len(batches)
    bar = tqdm(
        total=n_steps, initial=len(history) * len(batches), desc="training", unit="batch",
        disable=None if progress else True, file=sys.stderr,
    )  # fmt: skip
    stopped = _is_stalled(history, best, patience)
    with bar, torch.random.fork_rng(devices=_list_devices(device)):
        while len(history) < n_epochs and not stopped:
            epoch, started, total, n_seen, rate = len(history), time.perf_counter(), 0.0, 0, learning_rate
            torch.manual_seed(int(make_rng(seed, "training", epoch).integers(2**62)))
            model.train()
            for batch in batches(epoch):
                rate = compute_learning_rate(
                    epoch * len(batches) + n_seen, n_steps, peak=learning_rate, schedule=schedule
                )
                total += _take_step(model, stepper, compute_loss, _move(batch, device), rate, clip_norm)
                n_seen += 1
                bar.update()
            if n_seen != len(batches):
                raise ValueError(
                    f"batches(epoch) must give len(batches) = {len(batches)} batches, got {n_seen} in epoch "
                    f"{epoch}; correct its __len__."
                )
            value = _validate(model, validate)
            history.append(EpochRecord(epoch, total / n_seen, rate, value, time.perf_counter() - started))
            bar.set_postfix(loss=f"{total / n_seen:.4g}", validation=value)
            if value is None or value < best.value:
                best = _Best(epoch, math.inf if value is None else value)
                best_weights = copy.deepcopy(model.state_dict()) if validate is not None else None
            if checkpoint is not None:
                _save(model, stepper, checkpoint, key, history, best, best_weights)
            stopped = _is_stalled(history, best, patience)
    if best_weights is not None:
        model.load_state_dict(best_weights)
    model.eval()
    return TrainingResult(tuple(history), best.epoch, stopped and len(history) < n_epochs)


@dataclass(frozen=True)
class _Best:
    epoch: int = -1
    value: float = math.inf


def _make_optimiser(model: nn.Module, name: str, learning_rate: float, weight_decay: float) -> Any:
    torch = import_optional("torch", extra="torch")
    if name == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    return torch.optim.SGD(
        model.parameters(), lr=learning_rate, weight_decay=weight_decay, momentum=_MOMENTUM, nesterov=True
    )


def _take_step(
    model: nn.Module,
    stepper: Any,
    compute_loss: Callable[[nn.Module, Any], Tensor],
    batch: Any,
    rate: float,
    clip_norm: float | None,
) -> float:
    torch = import_optional("torch", extra="torch")
    for group in stepper.param_groups:
        group["lr"] = rate
    stepper.zero_grad(set_to_none=True)
    loss = compute_loss(model, batch)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ValueError(
            f"the training loss must be finite, got {value} at learning rate {rate:.3g}; lower learning_rate "
            "or check the targets."
        )
    loss.backward()
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    stepper.step()
    return value


def _validate(model: nn.Module, validate: Callable[[nn.Module], float] | None) -> float | None:
    torch = import_optional("torch", extra="torch")
    if validate is None:
        return None
    model.eval()
    with torch.no_grad():
        value = float(validate(model))
    if not math.isfinite(value):
        raise ValueError(f"validate must return a finite number, got {value}; check the validation data.")
    return value


def _is_stalled(history: Sequence[EpochRecord], best: _Best, patience: int | None) -> bool:
    return patience is not None and len(history) - 1 - best.epoch >= patience > 0 and bool(history)


def _move(batch: Any, device: str) -> Any:
    if isinstance(batch, dict):
        return {key: _move(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(_move(value, device) for value in batch)
    return batch.to(device) if hasattr(batch, "to") else batch


def _list_devices(device: str) -> list[int]:
    torch = import_optional("torch", extra="torch")
    return list(range(torch.cuda.device_count())) if str(device).startswith("cuda") else []


def _save(
    model: nn.Module,
    stepper: Any,
    path: str | Path,
    key: str,
    history: Sequence[EpochRecord],
    best: _Best,
    best_weights: dict[str, Tensor] | None,
) -> None:
    moments, rest = flatten_optimiser(stepper.state_dict())
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"optimiser/{name}": value for name, value in moments.items()}
    tensors |= {f"best/{name}": value for name, value in (best_weights or {}).items()}
    record = {
        "settings": key,
        "history": [asdict(entry) for entry in history],
        "best": {"epoch": best.epoch, "value": None if math.isinf(best.value) else best.value},
        "optimiser": rest,
    }
    write_tensors(tensors, path, record=record)


def _resume(
    model: nn.Module, stepper: Any, path: str | Path, key: str
) -> tuple[list[EpochRecord], _Best, dict[str, Tensor] | None]:
    tensors, record = read_tensors(path)
    if record.get("settings") != key:
        raise ValueError(
            f"checkpoint {path} must come from the same model and settings, got another configuration; "
            "delete it to start anew or pass another path."
        )
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "best": {}}
    for name, value in tensors.items():
        part, rest = name.split("/", 1)
        parts[part][rest] = value
    model.load_state_dict(parts["model"])
    stepper.load_state_dict(unflatten_optimiser(parts["optimiser"], record["optimiser"]))
    best = record["best"]
    lowest = math.inf if best["value"] is None else float(best["value"])
    history = [EpochRecord(**entry) for entry in record["history"]]
    return history, _Best(best["epoch"], lowest), parts["best"] or None
