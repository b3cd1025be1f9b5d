"""What a feature extractor and an encoder look like; structural types, nothing to inherit from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import xarray as xr
from numpy.typing import NDArray

from neurovis.core.fixations import Fixations
from neurovis.core.neural import NeuralData
from neurovis.core.stimuli import StimulusSet

if TYPE_CHECKING:
    from torch import Tensor

Metric = Callable[[NDArray, NDArray], NDArray]
"""Truth (n, k) and prediction (n, k) to one value per column (k,)."""

Loader = Callable[..., tuple[StimulusSet, NeuralData | Fixations]]
"""Keyword-only ``subject=None, root=None, **choices`` to stimuli and responses, or fixations."""

Objective = Callable[["Tensor"], "Tensor"]
"""Images (n, 3, height, width) in [0, 1] to one value per image (n,); larger is better, differentiable."""


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


@runtime_checkable
class GazeModel(Protocol):
    """Where the next fixation falls; one method gives likelihood, information gain, AUC, NSS and samples."""

    @property
    def name(self) -> str:
        """Name of the model in tables."""
        ...

    def log_density(
        self, image: NDArray[Any], history: Fixations, *, target: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Natural logarithm of the probability of each pixel (height, width); its ``exp`` sums to 1.

        ``image`` is (height, width, 3) uint8, ``history`` holds the fixations made so far (perhaps none) and
        ``target`` is the picture of what is searched for, if anything is.
        """
        ...
