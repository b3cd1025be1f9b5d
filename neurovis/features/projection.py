"""Fewer features: principal components of training stimuli, and sparse random projection while extracting.

What is fitted sees training stimuli alone; what is random depends on a seed alone (Achlioptas 2003, J Comput
Syst Sci 66, 671-687; Li, Hastie & Church 2006, KDD, with density 1 / sqrt(n_features)).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import FeatureExtractor, StimulusSet, check_option, make_rng
from neurovis.features.arrays import concatenate_rows, split_ids

METHODS = ("pca", "sparse_random")

STREAM_BYTES = 1 << 30
"""Size of the training features beyond which components are fitted in batches."""

_BATCH_BYTES = 1 << 27


def project_features(
    features: xr.DataArray,
    train_ids: Sequence[str] | None,
    *,
    method: str = "pca",
    n_components: int,
    seed: int = 0,
) -> xr.DataArray:
    """Features of all stimuli, projected by what training stimuli alone decide.

    Parameters
    ----------
    features : xarray.DataArray of dims ("stimulus" | "time", "feature")
        One layer or several joined; may be memory-mapped, then only batches of rows are read.
    train_ids : sequence of str, optional
        Stimuli of the training split; needed by ``"pca"`` and not used by ``"sparse_random"``.
    method : {"pca", "sparse_random"}
        Principal components of the training rows around their mean, or a random matrix that depends on the
        number of features, the layer and the seed.
    n_components : int
        Features that are left.
    seed : int
        Of the random matrix, and of the randomised decomposition.

    Returns
    -------
    xarray.DataArray of dims ("stimulus" | "time", "feature")
        float32, with the coordinate ``component``. Attributes say how it was made: ``projection``,
        ``n_features_before``, ``seed`` and, for components, ``n_train_rows``, ``train_ids_sha256`` and
        ``train_variance_share`` (of the training rows' variance that is kept).

    Raises
    ------
    ValueError
        If a training stimulus is not in the features, or ``n_components`` exceeds what there is.

    Notes
    -----
    Training features larger than :data:`STREAM_BYTES` go through incremental components (Ross et al. 2008,
    Int J Comput Vis 77, 125-141), which approximate the exact ones.
    """
    check_option("method", method, METHODS)
    n_features = features.shape[1]
    record: dict[str, Any] = {"projection": method, "n_features_before": n_features, "seed": seed}
    if method == "sparse_random":
        _check_components(n_components, n_features, "features")
        fitted = _make_random(n_features, n_components, seed, str(features.attrs.get("layer", "")))
    else:
        train = _find_rows(features, train_ids)
        _check_components(n_components, min(len(train), n_features), "training rows and features")
        fitted, share = _fit_components(features, train, n_components, seed)
        digest = hashlib.sha256("\0".join(sorted(map(str, train_ids or ()))).encode()).hexdigest()
        record |= {"n_train_rows": len(train), "train_ids_sha256": digest, "train_variance_share": share}
    values = np.empty((len(features), n_components), dtype=np.float32)
    for rows in _split(np.arange(len(features)), features, 1):
        values[rows] = fitted.transform(_read(features, rows))
    kept = {k: v for k, v in features.attrs.items() if k in ("features", "layer")}
    return _label(values, features, kept | record)


@dataclass(frozen=True)
class RandomProjection:
    """Any feature space behind a sparse random projection, applied batch by batch while it is extracted.

    Parameters
    ----------
    extractor : FeatureExtractor
        Its layers are projected one by one, each by a matrix of its own.
    n_components : int
        Features that are left of a layer; layers with no more than that stay as they are.
    seed : int
        Of the matrices.

    Raises
    ------
    ValueError
        If ``n_components`` is not positive.
    """

    extractor: FeatureExtractor
    n_components: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_components < 1:
            raise ValueError(
                f"n_components must be at least 1, got {self.n_components}; pass for example 4096."
            )

    @property
    def name(self) -> str:
        """Name of the feature space inside."""
        return self.extractor.name

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the feature space inside."""
        return self.extractor.layers

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, JSON-serialisable."""
        import sklearn

        return {
            "kind": "sparse random projection", "inner": self.extractor.describe(),  # type: ignore[attr-defined]
            "n_components": self.n_components, "seed": self.seed, "sklearn": sklearn.__version__,
        }  # fmt: skip

    def compute_stimuli_hash(self, stimuli: StimulusSet) -> str:
        """Identity of the stimuli for the feature space inside."""
        return getattr(self.extractor, "compute_stimuli_hash", StimulusSet.compute_hash)(stimuli)

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = 32,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Projected features; parameters and result as :class:`neurovis.core.FeatureExtractor`."""
        parts: dict[str, list[xr.DataArray]] = {}
        for ids in split_ids(stimuli, batch_size=batch_size, name=f"{self.name} projected"):
            part = stimuli.subset(ids)
            found = self.extractor(part, layers=layers, batch_size=batch_size, device=device)
            for layer, array in found.items():
                narrow = array.shape[1] <= self.n_components
                parts.setdefault(layer, []).append(array if narrow else self._project(array))
        return {layer: concatenate_rows(arrays) for layer, arrays in parts.items()}

    def _project(self, array: xr.DataArray) -> xr.DataArray:
        return project_features(
            array, None, method="sparse_random", n_components=self.n_components, seed=self.seed
        )


def _make_random(n_features: int, n_components: int, seed: int, layer: str) -> Any:
    from scipy.sparse import csr_matrix
    from sklearn.random_projection import SparseRandomProjection

    state = int(make_rng(seed, "random projection", layer, n_features).integers(2**31))
    # The matrix depends on the number of features alone, so an empty row is all it is fitted to.
    return SparseRandomProjection(n_components, random_state=state).fit(
        csr_matrix((1, n_features), dtype=np.float32)
    )


def _fit_components(
    features: xr.DataArray, train: NDArray[np.intp], n_components: int, seed: int
) -> tuple[Any, float]:
    """Fitted components, and their share of the training rows' variance."""
    from sklearn.decomposition import PCA, IncrementalPCA

    state = int(make_rng(seed, "principal components").integers(2**31))
    if len(train) * features.shape[1] * 4 <= STREAM_BYTES:
        fitted = PCA(n_components, random_state=state).fit(_read(features, train))
    else:
        fitted = IncrementalPCA(n_components)
        for rows in _split(train, features, n_components):
            fitted.partial_fit(_read(features, rows))
    return fitted, float(fitted.explained_variance_ratio_.sum())


def _split(rows: NDArray[np.intp], features: xr.DataArray, smallest: int) -> Iterator[NDArray[np.intp]]:
    """Batches of rows that fit into memory, none with fewer than ``smallest``."""
    from sklearn.utils import gen_batches

    size = max(smallest, _BATCH_BYTES // (4 * features.shape[1]), 1)
    for batch in gen_batches(len(rows), int(size), min_batch_size=smallest):
        yield rows[batch]


def _read(features: xr.DataArray, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    return np.asarray(features.values[rows], dtype=np.float32)


def _find_rows(features: xr.DataArray, train_ids: Sequence[str] | None) -> NDArray[np.intp]:
    if train_ids is None or len(train_ids) == 0:
        raise ValueError("train_ids must name the training stimuli for method 'pca', got none.")
    known = features["stimulus_id"].values.astype(str)
    missing = sorted(set(map(str, train_ids)) - set(known))
    if missing:
        raise ValueError(
            f"train_ids must be stimuli of the features, got {len(missing)} others, the first is "
            f"{missing[0]!r}; pass ids of the training split."
        )
    return np.flatnonzero(np.isin(known, list(map(str, train_ids))))


def _check_components(n_components: int, largest: int, of_what: str) -> None:
    if not 1 <= n_components <= largest:
        raise ValueError(
            f"n_components must be from 1 to {largest}, the number of {of_what}, got {n_components}."
        )


def _label(values: NDArray[np.float32], features: xr.DataArray, attrs: dict[str, Any]) -> xr.DataArray:
    row = features.dims[0]
    coords = {key: coord for key, coord in features.coords.items() if coord.dims == (row,)}
    component = ("feature", np.arange(values.shape[1], dtype=np.int32))
    return xr.DataArray(values, dims=features.dims, coords={**coords, "component": component}, attrs=attrs)
