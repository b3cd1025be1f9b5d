"""Training state as safetensors: weights, optimiser state and history in one file, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovis.core import import_optional
from neurovis.io import atomic_path

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(
    tensors: Mapping[str, Tensor], path: str | Path, *, record: Mapping[str, Any] | None = None
) -> Path:
    """Write named tensors and a JSON record into one safetensors file, atomically.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        Copied to contiguous memory on the CPU.
    path : path
        The ``.safetensors`` file.
    record : mapping, optional
        JSON-serialisable; read back by :func:`read_tensors`.
    """
    safetensors = import_optional("safetensors.torch", extra="torch")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        safetensors.save_file(plain, temporary, metadata={"record": json.dumps(dict(record or {}))})
    return Path(path)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and record of a file written by :func:`write_tensors`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated or not a safetensors file.
    """
    safetensors = import_optional("safetensors", extra="torch")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; check the path or make them again.")
    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            record = json.loads((stream.metadata() or {}).get("record", "{}"))
            return {name: stream.get_tensor(name) for name in stream.keys()}, record  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is truncated or not a safetensors file ({error}); delete it and make it again."
        ) from error


def flatten_optimiser(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by ``"<parameter>.<key>"`` and the rest of ``optimiser.state_dict()`` as JSON."""
    torch = import_optional("torch", extra="torch")
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for parameter, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{parameter}.{key}"] = value
            else:
                numbers[f"{parameter}.{key}"] = value
    return tensors, {"param_groups": state["param_groups"], "numbers": numbers}


def unflatten_optimiser(tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`flatten_optimiser`."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **record["numbers"]}.items():
        parameter, key = name.split(".", 1)
        state.setdefault(int(parameter), {})[key] = value
    return {"state": state, "param_groups": record["param_groups"]}
