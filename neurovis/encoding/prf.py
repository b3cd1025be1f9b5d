"""PRF: population receptive fields as a scikit-learn estimator, from apertures or contrast maps.

The mathematics is in :mod:`neurovis.encoding.prf_solvers`; this class checks, places features in the visual
field and keeps results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from neurovis.core import NeuralData, check_array
from neurovis.encoding.fitting import check_rows, check_training, keep_fitted, score_neuroids
from neurovis.encoding.prf_solvers import (
    Convolution,
    PRFSolution,
    Screen,
    make_convolution,
    make_hrf,
    predict_prf,
    solve_prf,
)
from neurovis.encoding.receptive_fields import check_size, compute_places, find_places, make_fields


class PRF(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Gaussian population receptive field of each neuroid, with or without compressive spatial summation.

    Parameters
    ----------
    rows, columns : array of int of shape (n_features,), optional
        Place of each feature on the grid, row 0 on top; features at one place (channels) are summed. The
        grid reaches to the largest row and column. By default the features are one row from left to right.
    size_dva : sequence of float, optional
        (height, width) of the grid [degrees]; by default one degree for each place of the single row.
    n_positions : int
        Centres of the coarse search along each side, at most one for each place.
    sigmas_dva : sequence of float, optional
        Sizes of the coarse search [degrees]; by default six from one place to half the longer side.
    compressive : bool
        Fit the exponent of Kay et al. (2013); features must not be negative.
    hrf : {"glover", "spm"} or array of shape (n_scans,), optional
        For rows that are scans: haemodynamic response, by name or at the scan of the stimulus and those that
        follow. By default rows are single stimuli.
    t_r : float, optional
        Repetition time [s]; needed with a named ``hrf``.
    n_refinements : int
        Refining steps; 0 leaves the best candidates of the search.
    device : str
        ``"cpu"``, or a torch device such as ``"cuda"``.

    Attributes
    ----------
    x_dva_, y_dva_ : array of shape (n_neuroids,)
        Centre, right and up positive [degrees]; may lie outside the image by half its size.
    sigma_dva_ : array of shape (n_neuroids,)
        Standard deviation of the Gaussian [degrees].
    exponent_ : array of shape (n_neuroids,)
        1 unless ``compressive``.
    gain_, baseline_ : array of shape (n_neuroids,)
        Response to a stimulus of 1 that fills the whole field, above the response to nothing.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    Dumoulin & Wandell (2008) NeuroImage 39:647, eq. 1-4; Kay et al. (2013) J Neurophysiol 110:481, eq. 1. The
    Gaussian has unit volume, so that the gain does not depend on the size, and the gain is not negative.
    Baselines are constant: take drifts out of time series first. A neuroid that nothing explains has gain 0,
    and its field means nothing. With a single response vector the attributes are numbers.
    """

    _FITTED: ClassVar[tuple[str, ...]] = (
        "x_dva_",
        "y_dva_",
        "sigma_dva_",
        "exponent_",
        "gain_",
        "baseline_",
    )

    def __init__(
        self,
        rows: ArrayLike | None = None,
        columns: ArrayLike | None = None,
        *,
        size_dva: Sequence[float] | None = None,
        n_positions: int = 12,
        sigmas_dva: Sequence[float] | None = None,
        compressive: bool = False,
        hrf: str | ArrayLike | None = None,
        t_r: float | None = None,
        n_refinements: int = 40,
        device: str = "cpu",
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.size_dva = size_dva
        self.n_positions = n_positions
        self.sigmas_dva = sigmas_dva
        self.compressive = compressive
        self.hrf = hrf
        self.t_r = t_r
        self.n_refinements = n_refinements
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Search, then refine the receptive field of each neuroid.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Apertures (0 or 1) or contrast. float32 is computed in float32.
        y : array of shape (n, n_neuroids) or (n,)
            Responses.
        groups : array of shape (n,), optional
            Run of each scan, which the haemodynamic response does not leave; by default all are one run.

        Returns
        -------
        PRF
            Itself.

        Raises
        ------
        ValueError
            If a value is not finite, rows differ, a feature has no place, a size is not positive, features
            are negative with ``compressive``, or ``t_r`` is missing.
        """
        features, responses, single = check_training(self, X, y)
        check_array("n_refinements", self.n_refinements, ndim=0, minimum=0)
        screen, grid, size = self._make_screen(features, groups)
        cell = (size / grid).min()
        sigmas = np.geomspace(cell, max(cell, size.max() / 2), 6)
        fields = make_fields(
            size,
            n_positions=(min(self.n_positions, grid[0]), min(self.n_positions, grid[1])),
            sigmas_dva=sigmas if self.sigmas_dva is None else self.sigmas_dva,
        )
        solution = solve_prf(
            screen,
            responses.astype(features.dtype, copy=False),
            fields=fields,
            compressive=self.compressive,
            bounds=((-size[1], -size[0], cell / 2), (size[1], size[0], 2 * size.max())),
            n_refinements=self.n_refinements,
            device=self.device,
        )
        keep_fitted(self, single, **{f"{name}_": values for name, values in vars(solution).items()})
        return self

    def predict(self, X: ArrayLike, groups: ArrayLike | None = None) -> NDArray:
        """Predicted responses.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Apertures or contrast, in the unit of the training features.
        groups : array of shape (n,), optional
            Run of each scan.

        Returns
        -------
        array of shape (n, n_neuroids) or (n,)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before :meth:`fit`.
        ValueError
            If a value is not finite or the number of features differs.
        """
        features = check_rows(self, X)
        fitted = PRFSolution(*(np.atleast_1d(getattr(self, name)) for name in self._FITTED))
        prediction = predict_prf(self._make_screen(features, groups)[0], fitted, device=self.device)
        return prediction if np.ndim(self.x_dva_) else prediction[:, 0]

    def score(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """R^2 of each neuroid, never averaged.

        Parameters
        ----------
        X : array of shape (n, n_features)
            Apertures or contrast.
        y : array of shape (n, n_neuroids) or (n,)
            Measured responses.
        groups : array of shape (n,), optional
            Run of each scan.

        Returns
        -------
        array of shape (n_neuroids,), or float for a single response vector
        """
        return score_neuroids(y, self.predict(X, groups))

    @property
    def size_dva_(self) -> NDArray[np.float64]:
        """Size of the field as responses show it, sigma / sqrt(exponent) (Kay et al. 2013) [degrees]."""
        check_is_fitted(self)
        return self.sigma_dva_ / np.sqrt(self.exponent_)

    @property
    def eccentricity_dva_(self) -> NDArray[np.float64]:
        """Distance of the centre from fixation [degrees]."""
        check_is_fitted(self)
        return np.hypot(self.x_dva_, self.y_dva_)

    @property
    def polar_angle_deg_(self) -> NDArray[np.float64]:
        """Direction of the centre, 0 right and counter-clockwise, -180 to 180 [degrees]."""
        check_is_fitted(self)
        return np.rad2deg(np.arctan2(self.y_dva_, self.x_dva_))

    def _make_screen(
        self, features: NDArray, groups: ArrayLike | None
    ) -> tuple[Screen, NDArray[np.intp], NDArray[np.float64]]:
        """What was shown, (n_rows, n_columns) of the grid and its size [degrees]."""
        n = self.n_features_in_
        if (self.rows is None) != (self.columns is None):
            raise ValueError("rows and columns must be given together, got only one; pass both or neither.")
        row, column = (
            check_array(
                name,
                default if values is None else values,
                shape=(n,),
                minimum=0,
                remedy="pass one place for each feature, and leave out features without one",
            ).astype(np.intp)
            for name, values, default in (
                ("rows", self.rows, np.zeros(n)),
                ("columns", self.columns, np.arange(n)),
            )
        )
        grid = np.array([row.max() + 1, column.max() + 1])
        size = check_size(grid if self.rows is None and self.size_dva is None else self.size_dva)
        if self.compressive and features.min() < 0:
            raise ValueError(
                f"X must not be negative with compressive=True, got {features.min():.3g}; pass apertures or "
                "contrast, not standardised features."
            )
        place = row * grid[1] + column
        used, place = np.unique(place, return_inverse=True)
        summing = sparse.csr_matrix((np.ones(n, features.dtype), (np.arange(n), place)))
        x, y = compute_places(used // grid[1], used % grid[1], grid=(grid[0], grid[1]), size_dva=size)
        area = float(size.prod() / grid.prod())
        return (
            Screen(features @ summing, x, y, area, self._make_convolution(len(features), groups)),
            grid,
            size,
        )

    def _make_convolution(self, n: int, groups: ArrayLike | None) -> Convolution:
        if self.hrf is None:
            return ()
        kernel = self.hrf
        if isinstance(kernel, str):
            if self.t_r is None:
                raise ValueError(f"t_r must be given with hrf={kernel!r}; pass the repetition time in s.")
            kernel = make_hrf(kernel, float(check_array("t_r", self.t_r, ndim=0, minimum=1e-3)))
        runs = np.zeros(n) if groups is None else np.asarray(groups)
        if runs.shape != (n,):
            raise ValueError(f"groups must name the run of each of the {n} rows, got shape {runs.shape}.")
        return make_convolution(kernel, runs)


def make_prf(
    features: xr.DataArray,
    data: NeuralData,  # noqa: ARG001 (every builder's; this one needs no neuroid)
    *,
    seed: int = 0,  # noqa: ARG001 (nothing is random)
    device: str = "cpu",
    **options: Any,
) -> PRF:
    """Unfitted population receptive fields for apertures or contrast maps.

    Parameters
    ----------
    features : xarray.DataArray of dims (rows, "feature")
        With the coordinates ``row`` and ``column`` along "feature" and the attribute ``size_dva``.
    data : NeuralData
        Not used.
    seed : int
        Not used.
    device : str
        ``"cpu"``, or a torch device.
    **options
        Of :class:`PRF`.

    Raises
    ------
    ValueError
        If a coordinate or ``size_dva`` is missing.
    TypeError
        If an option is unknown.
    """
    return PRF(**find_places(features, "prf"), device=device, **options)
