"""What a feature extractor and an encoder look like; structural types, nothing to inherit from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self, runtime_checkable

import xarray as xr
from numpy.typing import NDArray

from neurovis.core.neural import NeuralData
from neurovis.core.stimuli import StimulusSet

Metric = Callable[[NDArray, NDArray], NDArray]
"""Truth (n, k) and prediction (n, k) to one value per column (k,)."""

Loader = Callable[..., tuple[StimulusSet, NeuralData]]
"""Keyword-only ``subject=None, root=None, **choices`` to stimuli and responses."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Stimuli to features, layer by layer."""

    @property
    def name(self) -> str:
        """Name of the feature space, part of the cache's key."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that can be asked for; all of them by default."""
        ...

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 32,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Layer -> array of dims ("stimulus", "feature") with the coordinate ``stimulus_id``."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Features to responses; a scikit-learn estimator."""

    def fit(self, X: NDArray, y: NDArray) -> Self:
        """``X`` (n, n_features) and ``y`` (n, n_neuroids)."""
        ...

    def predict(self, X: NDArray) -> NDArray:
        """Predicted responses (n, n_neuroids)."""
        ...

    def score(self, X: NDArray, y: NDArray) -> NDArray:
        """R^2 per neuroid (n_neuroids,), never averaged."""
        ...
