"""Finite impulse response: delayed copies of features, so that a linear model learns the shape of a response.

A response that follows its cause over several samples is a convolution of the features with a kernel. With
one copy of each feature per delay, the weights of the copies are the kernel; nothing is assumed of its shape.
Delays count samples: with ``t_r`` in seconds, delay d looks ``d * t_r`` s into the past. For fMRI with a
``t_r`` of 2 s, delays 1 to 4 or 5 cover the haemodynamic response (Nishimoto et al., Current Biology 2011).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from neurovis.core import check_array
from neurovis.core.estimators import validate_estimator_input


def make_delayed(
    X: ArrayLike, delays: Sequence[int], *, groups: ArrayLike | None = None, fill: float | str = 0.0
) -> NDArray:
    """Copies of the features delayed within each run.

    Parameters
    ----------
    X : array of shape (n, n_features)
        Features in order of time.
    delays : sequence of int
        Distinct delays in samples: row i of a copy holds row i - delay of X. Negative ones look ahead.
    groups : array of shape (n,), optional
        Run of each row; the rows of a run lie together. Nothing passes from one run to another.
    fill : float or "edge"
        What stands where a run has no such row: a number, or the nearest row of the run. 0 is the mean of
        centred features.

    Returns
    -------
    array of shape (n, n_delays * n_features)
        All features at the first delay, then all at the next: column ``d * n_features + f``. Labels of the
        columns are ``np.tile(labels, n_delays)``. Floating dtypes are kept, others become float64.

    Raises
    ------
    ValueError
        If delays are none, equal or no whole numbers, rows of a run lie apart, or a value is not finite.
    """
    features = check_array("X", X, ndim=2, remedy="drop or fill missing samples first")
    if features.dtype.kind != "f":
        features = features.astype(np.float64)
    steps = _check_delays(delays)
    if fill != "edge" and isinstance(fill, str):
        raise ValueError(f"fill must be a number or 'edge', got {fill!r}; 0.0 suits centred features.")
    starts = _find_runs(groups, len(features))
    delayed = np.empty((len(features), len(steps), features.shape[1]), dtype=features.dtype)
    for start, stop in itertools.pairwise(starts):
        place = np.arange(start, stop)
        for number, step in enumerate(steps):
            source = place - step
            delayed[start:stop, number] = features[np.clip(source, start, stop - 1)]
            if fill != "edge":
                delayed[place[(source < start) | (source >= stop)], number] = fill
    return delayed.reshape(len(features), -1)


def delay_features(
    features: xr.DataArray, delays: Sequence[int], *, run: str = "run", fill: float | str = 0.0
) -> xr.DataArray:
    """Delayed copies of labelled features; columns keep their space, layer and other coordinates.

    Parameters
    ----------
    features : xarray.DataArray of dims ("time", "feature")
        In order of time.
    delays : sequence of int
        In samples; see :func:`make_delayed`.
    run : str
        Coordinate of the rows that holds the run; without it, all rows are one run.
    fill : float or "edge"
        As :func:`make_delayed`.

    Returns
    -------
    xarray.DataArray
        With the coordinate ``delay`` along "feature" [samples]. The bands of a banded ridge stay the feature
        spaces, so that all delays of a space share its penalty.

    Raises
    ------
    ValueError
        As :func:`make_delayed`, or if the dims are others or the columns have delays already.
    """
    if features.dims != ("time", "feature") or "delay" in features.coords:
        raise ValueError(
            f"features must have dims ('time', 'feature') and no delays yet, got {features.dims} with "
            f"{sorted(map(str, features.coords))}; delay features of movies once."
        )
    groups = features[run].values if run in features.coords else None
    values = make_delayed(features.values, delays, groups=groups, fill=fill)
    coords: dict[str, Any] = {name: c for name, c in features.coords.items() if c.dims == ("time",)}
    for name, coord in features.coords.items():
        if coord.dims == ("feature",):
            coords[str(name)] = ("feature", np.tile(coord.values, len(delays)))
    coords["delay"] = ("feature", np.repeat(_check_delays(delays), features.shape[1]))
    return xr.DataArray(values, dims=features.dims, coords=coords, attrs=features.attrs)


class Delayer(TransformerMixin, BaseEstimator):
    """Transformer that adds delayed copies of the features, for use in a scikit-learn pipeline.

    Parameters
    ----------
    delays : sequence of int
        In samples; see :func:`make_delayed`.
    run_length : int, optional
        Rows per run, where all runs are equally long; a pipeline passes no groups to ``transform``. By
        default all rows of a call are one run.
    fill : float or "edge"
        As :func:`make_delayed`.

    Attributes
    ----------
    n_features_in_ : int
        Number of features before the delays.

    Notes
    -----
    Call ``transform`` on whole runs: rows on either side of a random split are no neighbours in time. A
    following ridge must keep runs on one side of its folds (``groups``), because neighbouring rows share
    delayed samples.
    """

    def __init__(
        self, delays: Sequence[int] = (1, 2, 3, 4), *, run_length: int | None = None, fill: float | str = 0.0
    ) -> None:
        self.delays = delays
        self.run_length = run_length
        self.fill = fill

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: ARG002 (scikit-learn's signature)
        """Check the features and the delays; nothing is learned from the values.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features in order of time.
        y : ignored

        Raises
        ------
        ValueError
            If a value is not finite or a delay is no whole number.
        """
        validate_estimator_input(self, X, dtype=[np.float64, np.float32])
        _check_delays(self.delays)
        return self

    def transform(self, X: ArrayLike, groups: ArrayLike | None = None) -> NDArray:
        """Delayed features.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Features in order of time.
        groups : array of shape (n,), optional
            Run of each row, in place of ``run_length``.

        Returns
        -------
        array of shape (n, n_delays * n_features)
            As :func:`make_delayed`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        ValueError
            If the rows are no whole number of runs, or as :func:`make_delayed`.
        """
        check_is_fitted(self)
        features = validate_estimator_input(self, X, dtype=[np.float64, np.float32], reset=False)
        if groups is None and self.run_length is not None:
            if self.run_length < 1 or len(features) % self.run_length:
                raise ValueError(
                    f"run_length must divide the {len(features)} rows, got {self.run_length}; pass groups "
                    "where runs differ in length."
                )
            groups = np.arange(len(features)) // self.run_length
        return make_delayed(features, self.delays, groups=groups, fill=self.fill)


def _check_delays(delays: Sequence[int]) -> NDArray[np.intp]:
    steps = np.atleast_1d(np.asarray(delays))
    whole = steps.dtype.kind in "iu" or (steps.dtype.kind == "f" and np.array_equal(steps, np.round(steps)))
    if steps.ndim != 1 or not len(steps) or not whole or len(np.unique(steps)) != len(steps):
        raise ValueError(
            f"delays must be distinct whole numbers of samples, at least one, got {delays!r}; divide seconds "
            "by t_r and round."
        )
    return steps.astype(np.intp)


def _find_runs(groups: ArrayLike | None, n: int) -> NDArray[np.intp]:
    """First row of each run, and the number of rows at the end."""
    if groups is None:
        return np.array([0, n])
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(
            f"groups must have one entry for each of the {n} rows, got shape {labels.shape}; pass the run of "
            "each sample."
        )
    changes = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    starts = np.array([0, *changes])
    if len(np.unique(labels[starts])) != len(starts):
        raise ValueError(
            f"groups must keep the rows of a run together, got {len(starts)} stretches of "
            f"{len(np.unique(labels))} runs; sort rows by run and time."
        )
    return np.array([*starts, n])
