"""Features of any torch module that takes images: layers by dotted name, with the place of every feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet, import_optional
from neurovis.features.arrays import choose_layers, load_batches, make_feature_array
from neurovis.features.capture import (
    Batch,
    Execution,
    check_layers,
    collect_layers,
    compute_code_hash,
    compute_weights_hash,
)
from neurovis.features.preprocessing import compute_seen_dva
from neurovis.features.reduction import Reduction

if TYPE_CHECKING:
    from torch import Tensor, nn


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
        Default layers: dotted names as in :func:`neurovis.features.capture.list_layers`, ``"output"`` for
        what the module returns, and ``"name#i"`` for element ``i`` of a layer that returns a tuple or list.
    preprocess : callable
        One uint8 image (height, width, 3) to a tensor (3, height, width); its ``repr`` is part of the
        identity of the features.
    pool, tokens, n_prefix_tokens, maps, token_grid
        What to keep of maps and sequences: see :class:`neurovis.features.reduction.Reduction`.
    version : str
        Anything else that decides the numbers, e.g. library versions; the code of the module's own classes
        and their plain attributes need not be named.
    execution : Execution
        Precision, memory layout and compilation.

    Raises
    ------
    ValueError
        If a layer does not exist (with near names) or an option is unknown.

    Notes
    -----
    A layer that runs more than once in a forward pass gives its last output. Outputs are copied inside the
    hook, so a following in-place operation does not change them.

    Examples
    --------
    A network that no library holds, e.g. the authors' TransNeXt or OverLoCK, with the authors' preprocessing
    and hook points (``norm1`` to ``norm4`` of TransNeXt; ``blocks3`` and ``sub_blocks3`` of OverLoCK tell
    bottom-up maps from those that have seen the overview)::

        module = transnext_micro(img_size=224)
        module.load_state_dict(torch.load("transnext_micro_224_1k.pth", weights_only=True))
        list_layers(module)
        extractor = ModuleFeatures(
            "transnext-micro", module, ("norm1", "norm2", "norm3", "norm4"),
            ImagePreprocessing(resize=256, crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
            pool=7, tokens="patches", n_prefix_tokens=0, version="transnext 224 1k",
        )
        features = extract_cached(extractor, stimuli)
    """

    name: str
    module: nn.Module
    layers: tuple[str, ...]
    preprocess: Callable[[NDArray[np.uint8]], Tensor]
    pool: int | None = None
    tokens: str = "flatten"
    version: str = ""
    n_prefix_tokens: int | None = None
    maps: str = "auto"
    token_grid: bool = True
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        _ = self.reduction
        check_layers(self.module, self.layers, self.name)

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
            Dims ("stimulus", "feature"), float32; coordinates ``channel``, ``row`` and ``column`` along
            ``"feature"``, the latter two -1 for what has no place. The attribute ``size_dva`` is the extent
            of the visual field that the grid covers: that of the image that is left after cropping.

        Raises
        ------
        ValueError
            If a layer does not exist, is not reached by the forward pass or gives no tensor.
        """
        wanted = self.layers if layers is None else choose_layers(layers, layers, name=self.name)
        reduction = self.reduction

        def reduce(output: Tensor, layer: str, batch: Batch) -> tuple[NDArray, dict[str, NDArray]]:
            _, _, height, width = batch.inputs.shape  # type: ignore[union-attr]
            return reduction(output, layer=layer, n_rows=batch.n_rows, input_px=(height, width))

        found = collect_layers(
            self.module, self._make_batches(stimuli, batch_size), wanted, reduce,
            name=self.name, execution=self.execution, device=device,
        )  # fmt: skip
        height, width, _ = stimuli.load(stimuli.stimulus_ids[0]).shape
        seen = compute_seen_dva(self.preprocess, (height, width), stimuli.size_dva)
        return {
            layer: make_feature_array(
                values, stimuli, name=self.name, layer=layer, coords=coords, size_dva=seen
            )
            for layer, (values, coords) in found.items()
        }

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable: the extractor's part of a cache key.

        Raises
        ------
        ValueError
            If ``preprocess`` has no stable ``repr``.
        """
        return {
            **describe_network(self.module, self.preprocess, self.execution),
            "kind": "torch module", "name": self.name, "version": self.version,
            **asdict(self.reduction),
        }  # fmt: skip

    @property
    def reduction(self) -> Reduction:
        """What is kept of maps and sequences.

        Raises
        ------
        ValueError
            If an option is unknown.
        """
        return Reduction(self.pool, self.tokens, self.n_prefix_tokens, self.maps, self.token_grid)

    def _make_batches(self, stimuli: StimulusSet, batch_size: int) -> Iterator[Batch]:
        torch = import_optional("torch", extra="torch")
        for images in load_batches(stimuli, batch_size=batch_size, name=self.name):
            yield Batch(torch.stack([self.preprocess(image) for image in images]), len(images))


def describe_network(module: nn.Module, preprocess: object, execution: Execution) -> dict[str, Any]:
    """What a network, its preprocessing and the way it is run contribute to a cache key.

    Raises
    ------
    ValueError
        If ``preprocess`` has no stable ``repr``.
    """
    torch = import_optional("torch", extra="torch")
    from PIL import __version__ as pillow

    text = repr(preprocess)
    if " at 0x" in text:
        raise ValueError(
            f"preprocess must have a repr that says what it does, got {text}; use ImagePreprocessing or "
            "give it a __repr__."
        )
    return {
        "architecture": repr(module), "code": compute_code_hash(module),
        "weights": compute_weights_hash(module), "preprocess": text,
        "execution": asdict(execution), "torch": torch.__version__, "pillow": pillow,
    }  # fmt: skip
