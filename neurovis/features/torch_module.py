"""Features of any torch module: layers by dotted name, captured with hooks that are always removed."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_option, import_optional
from neurovis.features.arrays import choose_layers, load_batches, make_feature_array

if TYPE_CHECKING:
    from torch import Tensor, nn

OUTPUT = "output"
"""Layer name of what the whole module returns."""

TOKENS = ("flatten", "mean", "first")

_N_TRUNK = 3


@dataclass(frozen=True)
class ImagePreprocessing:
    """Pixels to a network's input.

    Parameters
    ----------
    resize : int or (int, int), optional
        Length of the shorter side, or (height, width) [px]; bilinear with antialiasing.
    crop : int, optional
        Side of the central square [px].
    mean, std : tuple of float
        Taken off and divided by, in RGB order, in the range that ``scale`` gives.
    scale : float
        Factor on 0-255 pixels.
    bgr : bool
        Whether the network wants blue first; channels are swapped last.
    """

    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: float = 1 / 255
    bgr: bool = False

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """One image (height, width, 3) to a tensor (3, height, width)."""
        torch = import_optional("torch", extra="torch")
        from PIL import Image

        if self.resize is not None:
            height, width = image.shape[:2]
            if isinstance(self.resize, int):
                ratio = self.resize / min(height, width)
                size = (max(self.resize, round(height * ratio)), max(self.resize, round(width * ratio)))
            else:
                size = self.resize
            if size != (height, width):
                image = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        if self.crop is not None:
            top, left = ((side - self.crop) // 2 for side in image.shape[:2])
            if min(top, left) < 0:
                raise ValueError(
                    f"crop must not exceed the image, got {self.crop} for {image.shape[:2]} px; set resize."
                )
            image = image[top : top + self.crop, left : left + self.crop]
        mean, std = (np.array(numbers, dtype=np.float32) for numbers in (self.mean, self.std))
        values = (image.astype(np.float32) * np.float32(self.scale) - mean) / std
        values = values[..., ::-1] if self.bgr else values
        return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


@dataclass(frozen=True)
class LibraryPreprocessing:
    """A library's own transform of PIL images, with a text that says what it does."""

    transform: Callable[[Any], Tensor] = field(repr=False)
    description: str

    def __call__(self, image: NDArray[np.uint8]) -> Tensor:
        """One image (height, width, 3) to a tensor (3, height, width)."""
        from PIL import Image

        return self.transform(Image.fromarray(image))


@dataclass(frozen=True)
class ModuleFeatures:
    """Feature space of a torch module.

    Parameters
    ----------
    name : str
        Name of the feature space.
    module : torch.nn.Module
        Images (n, 3, height, width) to anything.
    layers : tuple of str
        Default layers: dotted names as in :func:`list_layers`, ``"output"`` for what the module returns, and
        ``"name#i"`` for element ``i`` of a layer that returns a tuple or list.
    preprocess : callable
        One uint8 image (height, width, 3) to a tensor (3, height, width); its ``repr`` is part of the
        identity of the features.
    pool : int, optional
        Average maps (n, channels, height, width) down to at most ``pool`` by ``pool`` places.
    tokens : {"flatten", "mean", "first"}
        What to keep of sequences (n, tokens, channels); ``"first"`` is the class token.
    version : str
        Anything else that decides the numbers, e.g. library versions.

    Raises
    ------
    ValueError
        If a layer does not exist (with near names) or an option is unknown.

    Notes
    -----
    A layer that runs more than once in a forward pass gives its last output. Outputs are copied inside the
    hook, so a following in-place operation does not change them.
    """

    name: str
    module: nn.Module
    layers: tuple[str, ...]
    preprocess: Callable[[NDArray[np.uint8]], Tensor]
    pool: int | None = None
    tokens: str = "flatten"
    version: str = ""

    def __post_init__(self) -> None:
        check_option("tokens", self.tokens, TOKENS)
        if self.pool is not None and self.pool < 1:
            raise ValueError(f"pool must be at least 1, got {self.pool}; pass None to keep every place.")
        object.__setattr__(self, "layers", tuple(self.layers))
        _check_layers(self.module, self.layers, self.name)

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 32,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Features of every image, layer by layer.

        Parameters
        ----------
        stimuli : StimulusSet
            Images of any size that ``preprocess`` takes.
        layers : sequence of str, optional
            Any layers of the module; default :attr:`layers`.
        batch_size : int
            Images in one forward pass.
        device : str
            Torch device.

        Returns
        -------
        dict of str to xarray.DataArray
            Dims ("stimulus", "feature"), float32.

        Raises
        ------
        ValueError
            If a layer does not exist, is not reached by the forward pass or gives no tensor.
        """
        torch = import_optional("torch", extra="torch")
        wanted = self.layers if layers is None else choose_layers(layers, layers, name=self.name)
        _check_layers(self.module, wanted, self.name)
        parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in wanted}
        was_training = self.module.training
        self.module.to(device).eval()
        try:
            with torch.no_grad(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
                for images in load_batches(stimuli, batch_size=batch_size, name=self.name):
                    batch = torch.stack([self.preprocess(image) for image in images]).to(device)
                    with capture_layers(self.module, wanted) as captured:
                        output = self.module(batch)
                        _store(
                            captured,
                            OUTPUT,
                            [name for name in wanted if name.split("#")[0] == OUTPUT],
                            output,
                        )
                    for layer in wanted:
                        if layer not in captured:
                            raise ValueError(
                                f"layer {layer!r} of {self.name!r} did not run in the forward pass; choose "
                                "another of list_layers(module)."
                            )
                        parts[layer].append(self._reduce(captured[layer], layer, len(images)))
        finally:
            self.module.train(was_training)
        return {
            layer: make_feature_array(np.concatenate(arrays), stimuli, name=self.name, layer=layer)
            for layer, arrays in parts.items()
        }

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable: the extractor's part of a cache key.

        Raises
        ------
        ValueError
            If ``preprocess`` has no stable ``repr``.
        """
        torch = import_optional("torch", extra="torch")
        preprocess = repr(self.preprocess)
        if " at 0x" in preprocess:
            raise ValueError(
                f"preprocess must have a repr that says what it does, got {preprocess}; use "
                "ImagePreprocessing or give it a __repr__."
            )
        return {
            "kind": "torch module", "name": self.name, "architecture": repr(self.module),
            "weights": compute_weights_hash(self.module), "preprocess": preprocess, "pool": self.pool,
            "tokens": self.tokens, "version": self.version, "torch": torch.__version__,
        }  # fmt: skip

    def _reduce(self, output: Tensor, layer: str, n_images: int) -> NDArray[np.float32]:
        torch = import_optional("torch", extra="torch")
        if output.ndim == 0 or output.shape[0] != n_images:
            raise ValueError(
                f"layer {layer!r} of {self.name!r} must return images first, got shape {tuple(output.shape)} "
                f"for {n_images} images; choose a layer after the dimensions are put in order."
            )
        if output.ndim == 4 and self.pool is not None:
            places = [min(side, self.pool) for side in output.shape[-2:]]
            output = torch.nn.functional.adaptive_avg_pool2d(output, places)
        elif output.ndim == 3 and self.tokens != "flatten":
            output = output[:, 0] if self.tokens == "first" else output.mean(dim=1)
        return output.flatten(1).cpu().numpy()


def list_layers(module: nn.Module) -> tuple[str, ...]:
    """Dotted names of every submodule in order of definition, and ``"output"``."""
    return (*(name for name, _ in module.named_modules() if name), OUTPUT)


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


def compute_weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, shapes, types and values of parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(array.shape)} {array.dtype}\0".encode())
        digest.update(array.flatten().view(import_optional("torch", extra="torch").uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def capture_layers(module: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Outputs of some layers during the forward passes in the block.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    layers : sequence of str
        Dotted names, with ``#i`` for an element of a tuple or list; ``"output"`` is left to the caller.

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
                hook = _make_hook(captured, base, names)
                handles.append(module.get_submodule(base).register_forward_hook(hook))
        yield captured
    finally:
        for handle in handles:
            handle.remove()


def _make_hook(captured: dict[str, Tensor], base: str, names: list[str]) -> Callable[..., None]:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        _store(captured, base, names, output)

    return hook


def _store(captured: dict[str, Tensor], base: str, names: Sequence[str], output: Any) -> None:
    torch = import_optional("torch", extra="torch")
    for name in names:
        index = name.split("#")[1] if "#" in name else None
        value = output
        if isinstance(output, tuple | list):
            if index is None or not index.isdigit() or int(index) >= len(output):
                raise ValueError(
                    f"layer {name!r} returns {len(output)} outputs; name one as "
                    f"{base}#0 to {base}#{len(output) - 1}."
                )
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
        captured[name] = value.detach().to(torch.float32, copy=True)


def _check_layers(module: nn.Module, layers: Sequence[str], name: str) -> None:
    known = list_layers(module)
    for layer in layers:
        base = layer.split("#")[0]
        if base not in known:
            close = difflib.get_close_matches(base, known, n=5, cutoff=0.3) or list(known[:10])
            raise ValueError(
                f"layers of {name!r} must be names of its {len(known)} layers, got {layer!r}; near names are "
                f"{', '.join(close)} (all: list_layers(module))."
            )
