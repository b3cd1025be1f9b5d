"""Features of single frames, averaged over a movie: any feature space of images for movies.

Such features see what is there and not how it moves, which makes them the static side of a comparison.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurovis.core import FeatureExtractor, StimulusSet
from neurovis.features.arrays import make_feature_array, split_ids
from neurovis.io.video import read_movie


@dataclass(frozen=True)
class FrameFeatures:
    """Mean of an image extractor's features over frames spread evenly over each movie.

    Parameters
    ----------
    extractor : FeatureExtractor
        Of images.
    n_frames : int
        Frames of each movie, in the middles of as many equal parts of it.

    Raises
    ------
    ValueError
        If ``n_frames`` is not positive.
    """

    extractor: FeatureExtractor
    n_frames: int = 4

    def __post_init__(self) -> None:
        if self.n_frames < 1:
            raise ValueError(f"n_frames must be at least 1, got {self.n_frames}; pass for example 4.")

    @property
    def name(self) -> str:
        """That of the images' feature space, with a suffix."""
        return f"{self.extractor.name}-frames"

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the images' feature space."""
        return self.extractor.layers

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable."""
        own = getattr(self.extractor, "describe", None)
        if own is None:
            raise TypeError(f"extractor {self.extractor.name!r} must have describe() to be cached; add it.")
        return {"kind": "mean over frames", "n_frames": self.n_frames, "extractor": own()}

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 32,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Features of every movie; parameters and result as :class:`neurovis.core.FeatureExtractor`.

        Raises
        ------
        ValueError
            If a stimulus is an image or has no frame, the set has no frame rate or another one than a file,
            frames lie on their side, or as the extractor.
        """
        parts: dict[str, list[xr.DataArray]] = {}
        n_movies = max(1, batch_size // self.n_frames)
        for ids in split_ids(stimuli, batch_size=n_movies, name=self.name):
            with tempfile.TemporaryDirectory() as folder:
                frames = self._write_frames(stimuli, ids, Path(folder))
                found = self.extractor(frames, layers=layers, batch_size=batch_size, device=device)
            for layer, array in found.items():
                mean = array.values.reshape(len(ids), self.n_frames, -1).mean(axis=1)
                parts.setdefault(layer, []).append(array[: len(ids)].copy(data=mean))
        return {
            layer: make_feature_array(
                np.concatenate([array.values for array in arrays]), stimuli, name=self.name, layer=layer,
                coords={str(k): c.values for k, c in arrays[0].coords.items() if c.dims == ("feature",)},
                size_dva=arrays[0].attrs.get("size_dva"),
            )
            for layer, arrays in parts.items()
        }  # fmt: skip

    def _write_frames(self, stimuli: StimulusSet, ids: Sequence[str], folder: Path) -> StimulusSet:
        names: list[str] = []
        for number, stimulus_id in enumerate(ids):
            movie = read_movie(stimuli, stimulus_id)
            moments = (np.arange(self.n_frames) + 0.5) * len(movie) / self.n_frames
            for frame in moments.astype(int):
                names.append(f"{number:06d}-{len(names)}")
                np.save(folder / f"{names[-1]}.npy", movie[frame], allow_pickle=False)
        table = pd.DataFrame({"path": [f"{name}.npy" for name in names]}, pd.Index(names, name="stimulus_id"))
        return StimulusSet(stimuli.name, table, folder, stimuli.size_dva)
