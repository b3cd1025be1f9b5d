"""Forward passes whose layers are caught: hooks that are always removed, precision and memory layout."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import CodeType, FunctionType, NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional

if TYPE_CHECKING:
    from torch import Tensor, nn

OUTPUT = "output"
"""Layer name of what the whole module returns."""

PRECISIONS = ("float32", "bfloat16", "float16")

_N_TRUNK = 3

_PLAIN = (bool, int, float, str, NoneType)


@dataclass(frozen=True)
class Batch:
    """Inputs of one forward pass: a tensor, or keyword arguments of the module; rows come first.

    ``mask`` (rows, tokens) tells the tokens of a text from what fills the row.
    """

    inputs: Tensor | dict[str, Tensor]
    n_rows: int
    mask: Tensor | None = None


@dataclass(frozen=True)
class Execution:
    """How forward passes are run. Everything here may change the last digits, so it is part of a cache's key.

    Parameters
    ----------
    precision : {"float32", "bfloat16", "float16"}
        Of products and convolutions (torch's autocast: weights, norms and softmax stay in float32). Half
        precision pays on GPUs and on CPUs with such instructions. float32 is true float32 on GPUs too.
    channels_last : bool
        Keep maps with their channels innermost; pays for convolutions.
    compiled : bool
        Use torch.compile; pays on GPUs with thousands of images.

    Raises
    ------
    ValueError
        If the precision is unknown.
    """

    precision: str = "float32"
    channels_last: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        check_option("precision", self.precision, PRECISIONS)

    @contextmanager
    def prepare(self, module: nn.Module, device: str) -> Iterator[Callable[..., Any]]:
        """The module ready to be called on ``device``, without gradients; its mode returns afterwards."""
        torch = import_optional("torch", extra="torch")
        kind = torch.device(device).type
        was_training = module.training
        half = self.precision != "float32"
        cast = (
            torch.autocast(kind, dtype=getattr(torch, self.precision), cache_enabled=True)
            if half
            else nullcontext()
        )
        # cuDNN's default lets float32 convolutions run in TF32, with ten bits instead of 23.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=half)
        module.to(device).eval()
        if self.channels_last:
            module.to(memory_format=torch.channels_last)
        try:
            with torch.no_grad(), exact, cast:
                yield torch.compile(module) if self.compiled else module
        finally:
            if self.channels_last:
                module.to(memory_format=torch.contiguous_format)
            module.train(was_training)

    def place(self, batch: Any, device: str) -> Any:
        """A tensor, or a dictionary of tensors, on ``device`` in the layout wanted."""
        torch = import_optional("torch", extra="torch")
        if isinstance(batch, dict):
            return {key: value.to(device) for key, value in batch.items()}
        maps = self.channels_last and batch.ndim == 4
        return batch.to(device, memory_format=torch.channels_last if maps else torch.preserve_format)


def collect_layers(
    module: nn.Module,
    batches: Iterator[Batch],
    layers: Sequence[str],
    reduce: Callable[[Tensor, str, Batch], tuple[NDArray[np.float32], dict[str, NDArray[np.int32]]]],
    *,
    name: str,
    execution: Execution,
    device: str,
) -> dict[str, tuple[NDArray[np.float32], dict[str, NDArray[np.int32]]]]:
    """Layers of a network for batch after batch, each reduced as soon as it is there.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    batches : iterator of Batch
        Its inputs; the next one is made in a second thread while the network runs.
    layers : sequence of str
        As in :func:`capture_layers`, and ``"output"``.
    reduce : callable
        Output, layer and batch to values (rows, n_features) and the features' coordinates.
    name : str
        Of the feature space, for messages.
    execution, device
        How and where.

    Returns
    -------
    dict of str to (array of shape (n_rows, n_features), coords)

    Raises
    ------
    ValueError
        If a layer is not reached by the forward pass, or gives several outputs or none.
    """
    check_layers(module, layers, name)
    outputs = [layer for layer in layers if layer.split("#")[0] == OUTPUT]
    parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in layers}
    coords: dict[str, dict[str, NDArray[np.int32]]] = {}
    with capture_layers(module, layers) as captured, execution.prepare(module, device) as call:
        for batch in read_ahead(batches):
            captured.clear()
            placed = execution.place(batch.inputs, device)
            output = call(**placed) if isinstance(placed, dict) else call(placed)
            store_output(captured, OUTPUT, outputs, output)
            for layer in layers:
                if layer not in captured:
                    raise ValueError(
                        f"layer {layer!r} of {name!r} did not run in the forward pass; choose another of "
                        "list_layers(module)."
                    )
                values, coords[layer] = reduce(captured[layer], layer, batch)
                parts[layer].append(values)
    return {layer: (np.concatenate(arrays), coords[layer]) for layer, arrays in parts.items()}


def read_ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """The same batches, each made in a second thread while the one before is used."""
    with ThreadPoolExecutor(1) as worker:
        upcoming = worker.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = worker.submit(next, batches, None)
            yield batch


def list_layers(module: nn.Module) -> tuple[str, ...]:
    """Dotted names of every submodule in order of definition, and ``"output"``."""
    return (*(name for name, _ in module.named_modules() if name), OUTPUT)


def check_layers(module: nn.Module, layers: Sequence[str], name: str) -> None:
    """Raise a ValueError with near names if a layer does not exist."""
    known = list_layers(module)
    for layer in layers:
        base = layer.split("#")[0]
        if base not in known:
            close = difflib.get_close_matches(base, known, n=5, cutoff=0.3) or list(known[:10])
            raise ValueError(
                f"layers of {name!r} must be names of its {len(known)} layers, got {layer!r}; near names are "
                f"{', '.join(close)} (all: list_layers(module))."
            )


def list_blocks(module: nn.Module) -> tuple[str, ...]:
    """Entries of a network's first list of modules, the blocks of a transformer; none without such a list."""
    torch = import_optional("torch", extra="torch")
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.ModuleList) and len(part):
            return tuple(f"{name}.{index}" for index in range(len(part)))
    return ()


def choose_stages(module: nn.Module, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Given layers, or the blocks of a network: children of its trunk that have weights.

    The trunk is the module itself or, where one child is a sequence of at least three blocks (``features``,
    ``blocks``, ``stages``, ``encoder.layers``), that sequence.
    """
    if layers is not None:
        return tuple(layers)
    torch = import_optional("torch", extra="torch")
    sequences = [
        (name, part)
        for name, part in module.named_modules()
        if name and name.count(".") < 2 and isinstance(part, torch.nn.Sequential) and len(part) >= _N_TRUNK
    ]
    prefix, trunk = sequences[0] if sequences and not hasattr(module, "layer1") else ("", module)
    names = [
        f"{prefix}.{name}".lstrip(".")
        for name, part in trunk.named_children()
        if any(True for _ in part.parameters())
    ]
    return tuple(names)


def count_prefix_tokens(module: nn.Module) -> int | None:
    """Class, distillation and register tokens before the patches that a transformer declares, or None."""
    declared = getattr(module, "num_prefix_tokens", None)
    if declared is not None:
        return int(declared)
    found = {name.rpartition(".")[2]: value for name, value in module.named_parameters()}
    n_class = any(name.startswith(("cls_token", "class_token", "class_embedding")) for name in found)
    n_registers = found["register_tokens"].shape[-2] if "register_tokens" in found else 0
    return (int(n_class) + int("dist_token" in found) + int(n_registers)) or None


def compute_weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, shapes, types and values of parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(array.shape)} {array.dtype}\0".encode())
        digest.update(array.flatten().view(import_optional("torch", extra="torch").uint8).numpy().tobytes())
    return digest.hexdigest()


def compute_code_hash(module: nn.Module) -> str:
    """SHA-256 over what a module computes beyond its weights: the code and the plain attributes of its parts.

    Parts whose classes come with torch are left out: they are told by its version. Of other classes every
    method counts, compiled, so that comments and places of files do not.
    """
    digest = hashlib.sha256()
    kinds = {kind for part in module.modules() for kind in type(part).__mro__}
    own = [kind for kind in kinds if kind.__module__.partition(".")[0] not in ("torch", "builtins")]
    for kind in sorted(own, key=lambda kind: kind.__qualname__):
        for name, method in sorted(vars(kind).items()):
            if isinstance(method, FunctionType):
                digest.update(f"{kind.__qualname__}.{name} {_describe_code(method.__code__)}\0".encode())
                digest.update(_describe_constant(method.__defaults__).encode())
    for name, part in module.named_modules():
        for key, value in sorted(vars(part).items()):
            if key != "training" and not key.startswith("_") and isinstance(value, (*_PLAIN, tuple)):
                digest.update(f"{name}.{key}={_describe_constant(value)}\0".encode())
    return digest.hexdigest()


def _describe_code(code: CodeType) -> str:
    constants = [_describe_constant(value) for value in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _describe_constant(value: object) -> str:
    if isinstance(value, CodeType):
        return _describe_code(value)
    if isinstance(value, tuple):
        return str([_describe_constant(item) for item in value])
    if isinstance(value, frozenset):  # in another order in every process
        return str(sorted(_describe_constant(item) for item in value))
    # The address of an object says nothing about it.
    return repr(value) if isinstance(value, (*_PLAIN, bytes, complex)) else type(value).__qualname__


@contextmanager
def capture_layers(
    module: nn.Module, layers: Sequence[str], *, keep_graph: bool = False
) -> Iterator[dict[str, Tensor]]:
    """Outputs of some layers during the forward passes in the block.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    layers : sequence of str
        Dotted names, with ``#i`` for an element of a tuple or list; ``"output"`` is left to the caller.
    keep_graph : bool
        Copies through which gradients pass, in float32 at least, in place of detached ones in float32.

    Yields
    ------
    dict of str to torch.Tensor
        Filled while the network runs; float32 copies. The hooks go when the block ends, in error too.
    """
    captured: dict[str, Tensor] = {}
    wanted: dict[str, list[str]] = {}
    for layer in layers:
        wanted.setdefault(layer.split("#")[0], []).append(layer)
    handles = []
    try:
        for base, names in wanted.items():
            if base != OUTPUT:
                hook = _make_hook(captured, base, names, keep_graph)
                handles.append(module.get_submodule(base).register_forward_hook(hook))
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def _make_hook(
    captured: dict[str, Tensor], base: str, names: list[str], keep_graph: bool
) -> Callable[..., None]:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        store_output(captured, base, names, output, keep_graph=keep_graph)

    return hook


def store_output(
    captured: dict[str, Tensor], base: str, names: Sequence[str], output: Any, *, keep_graph: bool = False
) -> None:
    """Keep what a layer returned, or the elements of it that are named; see :func:`capture_layers`."""
    torch = import_optional("torch", extra="torch")
    for name in names:
        index = name.split("#")[1] if "#" in name else None
        value = output
        if isinstance(output, tuple | list):
            tensors = [item for item in output if item is not None]
            if index is None and len(tensors) == 1:
                value = tensors[0]
            elif index is None or not index.isdigit() or int(index) >= len(output):
                raise ValueError(
                    f"layer {name!r} returns {len(output)} outputs; name one as "
                    f"{base}#0 to {base}#{len(output) - 1}."
                )
            else:
                value = output[int(index)]
        elif index is not None:
            raise ValueError(
                f"layer {base!r} returns one output, got the name {name!r}; leave out '#{index}'."
            )
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"layer {name!r} must return a tensor, got {type(value).__name__}; choose a layer inside it."
            )
        # A copy, because the next layer may work in place.
        if keep_graph:
            captured[name] = value.to(torch.promote_types(value.dtype, torch.float32), copy=True)
        else:
            captured[name] = value.detach().to(torch.float32, copy=True)
