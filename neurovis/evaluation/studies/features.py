"""Features of the stimuli of a study, as one matrix, extracted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from numpy.typing import NDArray

from neurovis.core import FeatureExtractor, StimulusSet

Extract = Callable[[StimulusSet], NDArray]
"""Stimuli to features of shape (n_stimuli, n_features)."""


def make_cached_extract(
    extractor: FeatureExtractor, *, layers: Sequence[str] | None = None, cache: str | Path | None = None
) -> Extract:
    """Function that joins the layers of an extractor, kept by content.

    Parameters
    ----------
    extractor : FeatureExtractor
        See :func:`neurovis.features.cache.compute_feature_key`.
    layers : sequence of str, optional
        Default: the extractor's own.
    cache : path, optional
        As in :func:`neurovis.core.find_cache_root`.
    """
    from neurovis.features.cache import extract_cached, join_layers

    def extract(stimuli: StimulusSet) -> NDArray:
        return join_layers(extract_cached(extractor, stimuli, layers=layers, root=cache)).values

    return extract
