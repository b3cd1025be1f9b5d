"""What turns images into embeddings: any callable, or a feature extractor made into one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import FeatureExtractor, StimulusSet

EmbedImages = Callable[[Sequence[NDArray[np.uint8]]], ArrayLike]
"""Images, each (height, width, 3) uint8, to unnormalised embeddings (n, d)."""


@dataclass(frozen=True)
class ExtractorEmbedder:
    """A feature extractor as a callable from images to embeddings.

    Parameters
    ----------
    extractor : FeatureExtractor
        Takes stimulus sets; its embeddings must not be normalised.
    layer : str, optional
        Default: the extractor's only default layer.
    batch_size : int
        Images in one forward pass.
    device : str
        Torch device.

    Raises
    ------
    ValueError
        If ``layer`` is not given and the extractor has several.

    Notes
    -----
    An extractor reads files, so a batch passes through a temporary folder of ``.npy`` files.
    """

    extractor: FeatureExtractor
    layer: str | None = None
    batch_size: int = 64
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.layer is None and len(self.extractor.layers) != 1:
            raise ValueError(
                f"layer must name one of {self.extractor.layers} of {self.extractor.name!r}, got None; "
                "choose the image embedding."
            )

    @property
    def space(self) -> str:
        """Name of the feature space."""
        return self.extractor.name

    def describe(self) -> dict[str, Any]:
        """What decides the embeddings, JSON-serialisable."""
        describe = getattr(self.extractor, "describe", None)
        return {"layer": self._layer, **(describe() if describe else {"name": self.space})}

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Embeddings (n, d) of images (height, width, 3), uint8, of any sizes."""
        names = [f"{number:06d}" for number in range(len(images))]
        table = pd.DataFrame(
            {"path": [f"{name}.npy" for name in names]}, index=pd.Index(names, name="stimulus_id")
        )
        with tempfile.TemporaryDirectory() as folder:
            for name, image in zip(names, images, strict=True):
                np.save(Path(folder) / f"{name}.npy", image)
            found = self.extractor(
                StimulusSet("images", table, Path(folder), (1.0, 1.0)),
                layers=[self._layer], batch_size=self.batch_size, device=self.device,
            )  # fmt: skip
        return np.asarray(found[self._layer].transpose("stimulus", "feature").values, dtype=np.float32)

    @property
    def _layer(self) -> str:
        return self.layer or self.extractor.layers[0]


def check_embeddings(
    values: ArrayLike, n_images: int, *, dim: int | None = None, finite: bool = True
) -> NDArray[np.float32]:
    """What an embedder returned as float32 (n, d).

    Parameters
    ----------
    values : array-like
        What came.
    n_images : int
        Images it was given.
    dim : int, optional
        Dimension that earlier images had.
    finite : bool
        Refuse NaN and infinity.

    Raises
    ------
    ValueError
        If the shape is another one or a value is not finite.
    """
    found = np.asarray(values, dtype=np.float32)
    if found.ndim != 2 or len(found) != n_images or (dim is not None and found.shape[1] != dim):
        wanted = f"({n_images}, {'d' if dim is None else dim})"
        raise ValueError(
            f"embed must return an array of shape {wanted} for {n_images} images, got {found.shape}; pass "
            "the embedder that made the bank."
        )
    if finite and not np.isfinite(found).all():
        raise ValueError("embed must return finite numbers, got NaN or infinity; check the network.")
    return found
