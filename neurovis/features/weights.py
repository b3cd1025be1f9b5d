"""Weights of networks: cards of published ones, where they lie, and loading them into a module."""

from __future__ import annotations

import os
import pickle
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from neurovis.core import compute_file_hash, find_data_root, find_model, import_optional
from neurovis.training.checkpoints import read_tensors

if TYPE_CHECKING:
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")

HUB = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
"""The hub that timm, open_clip and transformers download from."""

_PATIENCE_S = 3.0

_REMEDY = (
    "download that file elsewhere and pass it as checkpoint, ask for random weights with pretrained=False "
    "(None for open_clip), or use 'worldnet', whose weights ship with neurovis"
)


@dataclass(frozen=True)
class WeightsCard:
    """Origin of a set of weights, from ``models/<name>/card.yaml``."""

    name: str
    title: str
    source: str
    licence: str
    citation: str
    trained_on: str
    folder: str
    file: str
    sha256: str
    input: str
    quality: str


def read_weights_card(name: str) -> WeightsCard:
    """Card of a set of weights.

    Raises
    ------
    FileNotFoundError
        If there is no such card.
    ValueError
        If a field is missing or unknown.
    """
    import yaml

    path = find_model(name) / "card.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"model {name!r} must have a card at {path}, got none; restore the file.")
    record = yaml.safe_load(path.read_text())
    wanted = set(WeightsCard.__dataclass_fields__)
    if set(record) != wanted:
        raise ValueError(
            f"{path} must hold exactly {sorted(wanted)}, got {sorted(record)}; correct the card."
        )
    return WeightsCard(**record)


def find_weights(name: str, root: str | Path | None = None) -> Path:
    """File of published weights on this machine, after comparing its SHA-256 with the card.

    Parameters
    ----------
    name : str
        Folder under ``models/``.
    root : path, optional
        Folder that holds ``pretrained_nets``; otherwise ``NEUROVIS_SHARED``, then ``NEUROVIS_DATA``, then
        ``data/`` beside the package, the first that holds the file.

    Raises
    ------
    FileNotFoundError
        Naming every place searched, the source and the licence.
    ValueError
        If the content differs from the card.
    """
    card = read_weights_card(name)
    shared = os.environ.get("NEUROVIS_SHARED")
    roots = [Path(root)] if root else [*([Path(shared)] if shared else []), find_data_root()]
    searched = [place / card.folder / card.file for place in roots]
    for path in searched:
        if path.is_file():
            if compute_file_hash(path) != card.sha256:
                raise ValueError(
                    f"{path} must have SHA-256 {card.sha256}, got another; get it again from {card.source}."
                )
            return path
    raise FileNotFoundError(
        f"weights of {name!r} not found at {', '.join(map(str, searched))}; get them from {card.source} "
        f"(licence: {card.licence}) and pass the folder above pretrained_nets as root or in NEUROVIS_SHARED."
    )


def load_checkpoint(module: Network, path: str | Path) -> Network:
    """Fill ``module`` from a local file and return it.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    path : path
        ``.safetensors``, or a PyTorch file of tensors (nothing pickled is run). A ``state_dict`` or ``model``
        entry and the prefix ``module.`` of parallel training are taken off.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is broken, or names or shapes do not fit the module.
    """
    torch = import_optional("torch", extra="torch")
    path = Path(path)
    if path.suffix == ".safetensors":
        tensors, _ = read_tensors(path)
    else:
        if not path.is_file():
            raise FileNotFoundError(f"no weights at {path}; check the path.")
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise ValueError(
                f"{path} is truncated or not a file of tensors ({error}); get it again."
            ) from error
        tensors = tensors.get("state_dict", tensors.get("model", tensors))
    try:
        module.load_state_dict({name.removeprefix("module."): value for name, value in tensors.items()})
    except RuntimeError as error:
        raise ValueError(f"{path} must hold weights of this architecture, got others ({error}).") from error
    return module


def build_seeded(build: Callable[[], Network], seed: int) -> Network:
    """Build a module with random weights that depend on ``seed`` alone; torch's generator is restored."""
    torch = import_optional("torch", extra="torch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def build_pretrained(
    build: Callable[[], Network], *, name: str, origin: str, remedy: str = _REMEDY
) -> Network:
    """Build a module whose library downloads its weights, or say what is missing.

    Parameters
    ----------
    build : callable
        Makes the module.
    name : str
        Of the feature space, for the message.
    origin : str
        Where the weights come from. If it is the hub of Hugging Face and the hub does not answer, only files
        that are already here are used: its library would try again for most of a minute.
    remedy : str
        What to do without a network.

    Raises
    ------
    FileNotFoundError
        Naming the model, the weights' origin and what to do offline.
    """
    try:
        with _use_local_files() if origin.startswith(HUB) and not _answers(HUB) else nullcontext():
            return build()
    # RuntimeError is what open_clip raises; the other libraries raise kinds of OSError.
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"weights of {name!r} are not on this machine and could not be fetched from {origin} ({error}); "
            f"{remedy}."
        ) from error


@contextmanager
def _use_local_files() -> Iterator[None]:
    """Let the hub's library look at files on this machine only, as ``HF_HUB_OFFLINE=1`` does at its start."""
    constants: Any = import_optional("huggingface_hub.constants", extra="torch")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(url: str) -> bool:
    """Whether a server answers in a short time, by whatever proxy the environment names."""
    answers: list[bool] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 (the hub's address)
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S):  # noqa: S310
                answers.append(True)
        except urllib.error.HTTPError:
            answers.append(True)
        except OSError:
            answers.append(False)

    # A name server that is away has its own, longer patience, so the question is left behind.
    worker = threading.Thread(target=ask, daemon=True)
    worker.start()
    worker.join(_PATIENCE_S)
    return bool(answers and answers[0])
