"""A trained network as a folder: ``weights.safetensors``, ``config.json`` and the card ``README.md``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovis.core import compute_file_hash
from neurovis.io import atomic_path, read_json, write_json
from neurovis.training.checkpoints import write_tensors

if TYPE_CHECKING:
    from torch import nn

_WEIGHTS = "weights.safetensors"


def write_model(
    folder: str | Path,
    network: nn.Module,
    config: Mapping[str, Any],
    *,
    format_card: Callable[[dict[str, Any]], str],
    weights_name: str = _WEIGHTS,
) -> dict[str, Any]:
    """Write a network with its description and its card.

    Parameters
    ----------
    folder : path
        Receives the three files.
    network : torch.nn.Module
        Its state is stored.
    config : mapping
        JSON-serialisable: architecture, training and measured quality.
    format_card : callable
        Description to the text of the card.
    weights_name : str
        File of the weights, for formats of other libraries that have a name of their own.

    Returns
    -------
    dict
        What was written: ``config`` with ``n_parameters``, ``n_bytes`` and ``sha256`` of the weights.
    """
    folder = Path(folder)
    weights = write_tensors(network.state_dict(), folder / weights_name)
    written = {
        **config,
        "n_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "n_bytes": weights.stat().st_size,
        "sha256": compute_file_hash(weights),
    }
    write_json(written, folder / "config.json")
    with atomic_path(folder / "README.md") as temporary:
        temporary.write_text(format_card(written))
    return written


def check_model(
    folder: str | Path, *, trainer: str, weights_name: str = _WEIGHTS
) -> tuple[dict[str, Any], Path]:
    """Description of a model folder and the path of its weights, which are those that it names.

    Parameters
    ----------
    folder : path
        As written by :func:`write_model`.
    trainer : str
        Function that trains the network, named when the weights are other ones.
    weights_name : str
        As in :func:`write_model`.

    Raises
    ------
    FileNotFoundError
        If the description or the weights are missing.
    ValueError
        If the weights have another SHA-256 than the description says.
    """
    config, weights = read_json(Path(folder) / "config.json"), Path(folder) / weights_name
    if not weights.is_file():
        raise FileNotFoundError(f"no weights at {weights}; restore them or train again with {trainer}.")
    found = compute_file_hash(weights)
    if found != config["sha256"]:
        raise ValueError(
            f"{weights} must have sha256 {config['sha256'][:12]}..., got {found[:12]}...; restore the file "
            f"or train again with {trainer}."
        )
    return config, weights
