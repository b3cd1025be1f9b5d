"""What the encoders of region tokens share: fitting a network to flat features, prediction, attention."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from neurovis.core import check_array, import_optional, make_rng
from neurovis.core.estimators import validate_estimator_input
from neurovis.encoding.fitting import keep_fitted, score_neuroids
from neurovis.encoding.region_queries import RegionQueries, make_region_queries
from neurovis.encoding.tokens import TokenGrid, make_token_grid

if TYPE_CHECKING:
    from torch import Tensor

    from neurovis.encoding.region_training import TrainingPlan
    from neurovis.encoding.transformer_network import RegionNetwork

_CHUNK_BYTES = 64e6
_MINIMUM_ROWS = 4


class RegionEncoder(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Base of the encoders in which neuroids read tokens of their regions; see the two subclasses."""

    _FITTED: ClassVar[tuple[str, ...]] = ("state_", "grid_", "queries_")

    @abstractmethod
    def _make_network(self, grid: TokenGrid, queries: RegionQueries) -> RegionNetwork:
        """Untrained network for these places and queries."""

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Train the network and solve its readout.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features; computed in float32.
        y : array of shape (n, n_neuroids) or (n,)
            Responses.
        groups : array of shape (n,), optional
            Rows of one group never fall on both sides of the validation split: the stimulus of each trial
            when rows are single presentations.

        Returns
        -------
        RegionEncoder
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ, there are too few rows or groups to hold some out, or an
            option or a constructor array does not fit.
        """
        import_optional("torch", extra="torch")
        from neurovis.encoding.region_training import fit_network

        features, measured = validate_estimator_input(
            self, X, y, dtype=[np.float32, np.float64], multi_output=True, y_numeric=True
        )
        if len(features) < _MINIMUM_ROWS:
            raise ValueError(
                f"X must have at least {_MINIMUM_ROWS} rows to train and hold some out, got {len(features)} "
                f"sample{'s' * (len(features) > 1)}; add rows."
            )
        responses = measured[:, None] if measured.ndim == 1 else measured
        grid = make_token_grid(self.rows, self.columns, self.channels, n_features=features.shape[1])
        queries = make_region_queries(
            responses.shape[1],
            regions=self.regions,
            region_names=self.region_names,
            hemisphere=self.hemisphere,
            queries=self.queries,
            overlap=self.overlap,
        )
        plan = self._make_plan(len(features), groups)
        network = self._make_seeded(grid, queries)
        fitted = fit_network(
            network,
            np.ascontiguousarray(features, dtype=np.float32),
            np.ascontiguousarray(responses, dtype=np.float32),
            grid=grid,
            plan=plan,
            chunk=_choose_chunk(network, grid, queries),
        )
        self.state_ = {
            name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()
        }
        self.grid_ = {"index": grid.index, "row": grid.rows, "column": grid.columns}
        self.queries_ = {
            "region": queries.region, "hemisphere": queries.hemisphere, "outside": queries.outside,
            "pattern": queries.pattern, "mixing": queries.mixing, "single": np.array(measured.ndim == 1),
        }  # fmt: skip
        keep_fitted(self, measured.ndim == 1, validation_r_=fitted.validation_r)
        self.n_epochs_kept_ = fitted.n_epochs_kept
        self.absent_ = np.array(queries.absent, dtype=str)
        if fitted.alpha is not None:
            keep_fitted(self, measured.ndim == 1, alpha_=fitted.alpha)
        elif hasattr(self, "alpha_"):
            del self.alpha_
        return self

    def predict(self, X: ArrayLike) -> NDArray:
        """Predicted responses.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features in the unit of the training features; computed in their precision.

        Returns
        -------
        array of shape (n, n_neuroids) or (n,)
            In the unit of the training responses.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        ValueError
            If a value is not finite or the number of features differs.
        """
        parts = [network(tokens).cpu().numpy() for network, tokens in self._run(X)]
        prediction = np.concatenate(parts)
        return prediction[:, 0] if self.queries_["single"] else prediction

    def score(self, X: ArrayLike, y: ArrayLike) -> Any:
        """R^2 of each neuroid, never averaged.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features.
        y : array of shape (n, n_neuroids) or (n,)
            Measured responses.

        Returns
        -------
        array of shape (n_neuroids,), or float for a single response vector
            :func:`neurovis.metrics.regression.r2`.
        """
        return score_neuroids(y, self.predict(X))

    def attend(self, X: ArrayLike, *, per_head: bool = False) -> xr.DataArray:
        """Where each query looks in each image.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features.
        per_head : bool
            Keep the heads apart in place of their mean, which hides what each of them looks for.

        Returns
        -------
        xarray.DataArray
            Weights that sum to 1 over tokens, dims ("stimulus", "query"[, "head"], "token"); coordinates
            ``row`` and ``column`` along "token", ``query`` (name), ``region``, ``hemisphere`` and
            ``outside`` (shared by neuroids of no region) along "query".

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError
            As :meth:`predict`.
        """
        parts = []
        for network, tokens in self._run(X):
            weights = network.attend(tokens)
            parts.append((weights if per_head else weights.mean(dim=2)).cpu().numpy())
        queries = _rebuild_queries(self.queries_)
        along = {"query": queries.names, "region": queries.region, "hemisphere": queries.hemisphere}
        return xr.DataArray(
            np.concatenate(parts),
            dims=("stimulus", "query", "head", "token") if per_head else ("stimulus", "query", "token"),
            coords={
                **{name: ("query", entries) for name, entries in along.items()},
                "outside": ("query", queries.outside),
                "row": ("token", self.grid_["row"]),
                "column": ("token", self.grid_["column"]),
            },
        )

    def to_module(self) -> RegionNetwork:
        """The fitted network, differentiable from tokens to responses.

        Returns
        -------
        torch.nn.Module
            In evaluation mode, float32 and on the CPU. It takes tokens (n, n_tokens, n_channels), places row
            by row and channels in the order of their numbers, in the unit of X, and gives responses
            (n, n_neuroids) as :meth:`predict`. A map (n, n_channels, height, width) becomes tokens with
            ``maps.flatten(2).transpose(1, 2)``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        """
        check_is_fitted(self, "state_")
        torch = import_optional("torch", extra="torch")
        grid, queries = _rebuild_grid(self.grid_), _rebuild_queries(self.queries_)
        network = self._make_seeded(grid, queries)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in self.state_.items()})
        return network.eval()

    @property
    def outside_(self) -> NDArray[np.bool_]:
        """Neuroids of no region, (n_neuroids,): what they reach is no evidence for routing by regions."""
        check_is_fitted(self, "queries_")
        outside, mixing = self.queries_["outside"], self.queries_["mixing"]
        of_pattern = outside if not len(mixing) else (mixing[:, outside] > 0).any(axis=1)
        outside_of = of_pattern[self.queries_["pattern"]]
        return outside_of[0] if self.queries_["single"] else outside_of

    def _make_seeded(self, grid: TokenGrid, queries: RegionQueries) -> RegionNetwork:
        torch = import_optional("torch", extra="torch")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(make_rng(self.seed, "weights").integers(2**62)))
            return self._make_network(grid, queries)

    def _make_plan(self, n: int, groups: ArrayLike | None = None) -> TrainingPlan:
        share = float(check_array("validation_share", self.validation_share, ndim=0, dtype=float))
        if not 0 < share < 1:
            raise ValueError(
                f"validation_share must be above 0 and below 1, got {share}; pass for example 0.1."
            )
        n_validation = min(max(round(share * n), 2), n - 2)
        validation = _draw_rows(n, n_validation, groups, make_rng(self.seed, "validation"))
        refits = self.refit_readout
        from neurovis.encoding.region_training import TrainingPlan

        return TrainingPlan(
            train=np.flatnonzero(~validation),
            validation=np.flatnonzero(validation),
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            n_refits=int(self.queries != "neuroid") if refits is None else int(refits),
            seed=self.seed,
            device=self.device,
        )

    def _run(self, X: ArrayLike) -> Iterator[tuple[RegionNetwork, Tensor]]:
        check_is_fitted(self, "state_")
        torch = import_optional("torch", extra="torch")
        features = validate_estimator_input(self, X, dtype=[np.float64, np.float32], reset=False)
        network = self.to_module().to(self.device, getattr(torch, features.dtype.name))
        grid, queries = _rebuild_grid(self.grid_), _rebuild_queries(self.queries_)
        index = grid.index.ravel()
        chunk = _choose_chunk(network, grid, queries)
        with torch.no_grad():
            for start in range(0, len(features), chunk):
                part = np.ascontiguousarray(features[start : start + chunk][:, index])
                yield network, torch.from_numpy(part).to(self.device).unflatten(1, grid.index.shape)


def _draw_rows(n: int, n_drawn: int, groups: ArrayLike | None, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows are drawn: so many, or whole groups until there are at least so many."""
    labels = np.arange(n) if groups is None else np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"groups must have one entry for each of the {n} rows, got shape {labels.shape}.")
    names, group, size = np.unique(labels, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    chosen = order[: 1 + int(np.searchsorted(np.cumsum(size[order]), n_drawn))]
    drawn = np.isin(group, chosen)
    if n - drawn.sum() < 2:
        raise ValueError(
            f"groups must leave at least 2 rows to train, got {len(names)} groups, of which {len(chosen)} "
            f"hold out {int(drawn.sum())} of {n} rows; use smaller groups."
        )
    return drawn


def _rebuild_grid(arrays: dict[str, NDArray]) -> TokenGrid:
    return TokenGrid(arrays["index"], arrays["row"], arrays["column"])


def _rebuild_queries(arrays: dict[str, NDArray]) -> RegionQueries:
    return RegionQueries(
        arrays["region"], arrays["hemisphere"], arrays["outside"], arrays["pattern"], arrays["mixing"]
    )


def _choose_chunk(network: RegionNetwork, grid: TokenGrid, queries: RegionQueries) -> int:
    """Images at a time without gradients, so that tokens, keys, values and region tokens stay small."""
    per_image = 4 * network.selector.width * (4 * len(grid.rows) + 2 * len(queries.region))
    return max(1, math.floor(_CHUNK_BYTES / per_image))
