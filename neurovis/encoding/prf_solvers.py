"""Population receptive fields: a coarse search for all neuroids at once, then batched least squares.

The response of neuroid v to stimulus s(p) is ``baseline + gain * h * (sum_p s(p) w(p))^n`` with a Gaussian
``w`` of unit volume at (x, y) with size sigma (Dumoulin & Wandell 2008, eq. 1-4), an exponent n (compressive
spatial summation, Kay et al. 2013, eq. 1) and, for time series, convolution with a haemodynamic response h.

1. Regressors of all candidates are made once; their correlations with all neuroids are one matrix product.
2. From the best candidate, Levenberg-Marquardt steps refine x, y, log sigma (and log n). Gain and baseline
   are linear and are solved at every step (variable projection; Golub & Pereyra 1973, in the form of Kaufman
   1975), which leaves three or four numbers for each neuroid, stepped together in blocks.

One code path serves numpy arrays and, for other devices than ``"cpu"``, torch tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, import_optional
from neurovis.encoding.ridge_blocks import find_library

EXPONENT_BOUNDS = (0.05, 2.0)

_BLOCK_BYTES = 64e6
_START_EXPONENTS = (0.25, 0.5, 1.0)
_TINY_DRIVE = 1e-9  # share of the field; keeps powers below one finite where nothing is shown
_LEAST_RESPONSE = 1e-3  # of that to a full field: what responds less has a gain that noise decides
_DAMPING = (1e-2, 0.3, 5.0, 1e8)  # start, factor after success, factor after failure, end
_TOLERANCE = 1e-7  # relative fall of the squared error that counts as progress

Convolution = Sequence[tuple[NDArray[np.intp], NDArray]]
"""For every run its rows and the matrix that convolves them."""


@dataclass(frozen=True)
class PRFSolution:
    """Receptive fields of all neuroids, arrays of shape (n_neuroids,).

    Parameters
    ----------
    x_dva, y_dva, sigma_dva : array
        Centre (right and up positive) and size [degrees].
    exponent : array
        1 where it was not fitted.
    gain : array
        Response when the whole field is shown, at least 0.
    baseline : array
        Response to nothing.
    """

    x_dva: NDArray
    y_dva: NDArray
    sigma_dva: NDArray
    exponent: NDArray
    gain: NDArray
    baseline: NDArray


@dataclass(frozen=True)
class Screen:
    """What was shown, and how it reaches the response.

    Parameters
    ----------
    shown : array of shape (n, n_places)
        Aperture or contrast at each place.
    x_dva, y_dva : array of shape (n_places,)
        Places [degrees].
    area_dva : float
        Of one place [degrees squared].
    convolution : sequence of (rows, matrix)
        From :func:`make_convolution`; none for rows that are single stimuli.
    """

    shown: NDArray
    x_dva: NDArray[np.float64]
    y_dva: NDArray[np.float64]
    area_dva: float
    convolution: Convolution = ()

    @cached_property
    def peaks(self) -> tuple[float, float]:
        """Largest size of what was shown, and of a response to it that lasts one row."""
        kernels = [float(abs(operator).max()) for _, operator in self.convolution]
        return float(abs(self.shown).max()), max(kernels, default=1.0)


def make_hrf(model: str, t_r: float) -> NDArray[np.float64]:
    """Response at the scans after a stimulus that lasts one scan, summing to one.

    Parameters
    ----------
    model : {"glover", "spm"}
        Of :mod:`nilearn.glm`.
    t_r : float
        Repetition time [s].

    Returns
    -------
    array of shape (n_scans,)
        The first entry is the scan at the onset, 0.
    """
    check_option("hrf", model, ("glover", "spm"), remedy="or pass an array of responses at the scans")
    first_level = import_optional("nilearn.glm.first_level", extra="fmri")
    oversampling = 50
    fine = getattr(first_level, f"{model}_hrf")(t_r, oversampling)
    whole = np.pad(fine, (0, -len(fine) % oversampling)).reshape(-1, oversampling).sum(axis=1)
    return np.concatenate([[0.0], whole / whole.sum()])


def make_convolution(hrf: ArrayLike, runs: NDArray) -> Convolution:
    """Operators that convolve each run with a haemodynamic response, none reaching into another run.

    Parameters
    ----------
    hrf : array of shape (n_scans,)
        Response at the scan of the stimulus and those that follow.
    runs : array of shape (n,)
        Run of each row; rows of a run are in order of time.
    """
    kernel = check_array("hrf", hrf, ndim=1, dtype=np.float64)
    operators = []
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        column = np.zeros(len(rows))
        column[: len(kernel)] = kernel[: len(rows)]
        operators.append((rows, scipy.linalg.toeplitz(column, np.zeros(len(rows)))))
    return operators


def solve_prf(
    screen: Screen,
    Y: NDArray,
    *,
    fields: NDArray,
    compressive: bool = False,
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]],
    n_refinements: int = 40,
    device: str = "cpu",
) -> PRFSolution:
    """Fit a receptive field to every neuroid by least squares.

    Parameters
    ----------
    screen : Screen
        What was shown; not negative where ``compressive``.
    Y : array of shape (n, n_neuroids)
        Responses.
    fields : array of shape (n_fields, 3)
        Candidates of the coarse search: x, y, sigma [degrees].
    compressive : bool
        Fit the exponent, within 0.05 and 2.
    bounds : pair of (x, y, sigma)
        Least and largest values of the refinement [degrees].
    n_refinements : int
        Refining steps; 0 leaves the best candidates.
    device : str
        ``"cpu"``, or a torch device.

    Returns
    -------
    PRFSolution
        A neuroid that is constant, or that no candidate explains with a positive gain, stays at its best
        candidate and has gain 0. Fields whose response varies by less than a thousandth of that to a
        full field count as unseen.
    """
    to = _Converter(device, screen.shown.dtype)
    here = _convert(screen, to)
    means = Y.mean(axis=0)
    low, high = (
        to(_pack(np.array([[*edge, EXPONENT_BOUNDS[side]]]), compressive)) for side, edge in enumerate(bounds)
    )
    parts = []
    starts = _search(here, to, Y - means, fields, compressive)
    n, n_places = screen.shown.shape
    for block in _make_blocks(Y.shape[1], (5 * n_places + 12 * n) * screen.shown.itemsize):
        centred = to(Y[:, block] - means[block])
        theta = _refine(here, to, centred, to(starts[:, block]), low, high, n_refinements)
        response, _ = _respond(here, to.xp, theta, derivatives=False)
        gain, _ = _project(here, to.xp, theta, response - response.mean(0), centred)
        parts.append(np.stack([*_unpack(to.back(theta)), to.back(gain), to.back(-gain * response.mean(0))]))
    x, y, sigma, exponent, gain, baseline = np.concatenate(parts, axis=1)
    return PRFSolution(x, y, sigma, exponent, gain, baseline + means)


def predict_prf(screen: Screen, solution: PRFSolution, *, device: str = "cpu") -> NDArray:
    """Responses (n, n_neuroids) of fitted receptive fields.

    Parameters
    ----------
    screen : Screen
        What is shown.
    solution : PRFSolution
        From :func:`solve_prf`.
    device : str
        ``"cpu"``, or a torch device.
    """
    to = _Converter(device, screen.shown.dtype)
    here = _convert(screen, to)
    fitted = np.stack([solution.x_dva, solution.y_dva, solution.sigma_dva, solution.exponent], axis=1)
    theta = _pack(fitted, bool((solution.exponent != 1).any()))
    n, n_places = screen.shown.shape
    prediction = np.empty((n, len(fitted)), dtype=screen.shown.dtype)
    for block in _make_blocks(len(fitted), (5 * n_places + 4 * n) * screen.shown.itemsize):
        response, _ = _respond(here, to.xp, to(theta[:, block]), derivatives=False)
        prediction[:, block] = to.back(response) * solution.gain[block] + solution.baseline[block]
    return prediction


def _search(screen: Screen, to: _Converter, centred: NDArray, fields: NDArray, compressive: bool) -> NDArray:
    """Parameters (3 or 4, n_neuroids) of the candidate with the largest correlation."""
    exponents = _START_EXPONENTS if compressive else (1.0,)
    candidates = np.array([[*field, n] for field, n in itertools.product(fields, exponents)])
    theta = _pack(candidates, compressive)
    n, n_places = screen.shown.shape
    regressors = []
    for block in _make_blocks(len(candidates), (5 * n_places + 4 * n) * centred.itemsize):
        own = to(theta[:, block])
        response, _ = _respond(screen, to.xp, own, derivatives=False)
        response = response - response.mean(0)
        squared, seen = _measure(screen, to.xp, own, response)
        regressors.append(to.xp.where(seen, response / squared**0.5, 0.0))
    unit = to.xp.concatenate(regressors, 1)
    best = np.empty(centred.shape[1], dtype=np.intp)
    for block in _make_blocks(centred.shape[1], 2 * len(candidates) * centred.itemsize):
        best[block] = to.back((unit.T @ to(centred[:, block])).argmax(0))
    return theta[:, best]


def _refine(
    screen: Screen, to: _Converter, centred: Any, theta: Any, low: Any, high: Any, n_refinements: int
) -> Any:
    """Levenberg-Marquardt for one block; ``theta`` (n_parameters, n_block) is replaced, never worsened."""
    xp = to.xp
    start, success, failure, end = _DAMPING
    damping = xp.zeros_like(theta[0]) + start
    gradient, curvature, error = _linearise(screen, xp, theta, centred)
    active = np.flatnonzero(to.back((error > 0) & (curvature.sum((0, 1)) > 0)))
    for _ in range(n_refinements):
        if not len(active):
            break
        step = _solve_step(xp, gradient[:, active], curvature[:, :, active], damping[active])
        trial = xp.clip(theta[:, active] + step, low, high)
        new_gradient, new_curvature, new_error = _linearise(screen, xp, trial, centred[:, active])
        fall = error[active] - new_error
        better = to.back(fall > 0)
        settled = to.back((fall >= 0) & (fall <= _TOLERANCE * error[active]))
        damping[active] = damping[active] * to(np.where(better, success, failure))
        won = active[better]
        theta[:, won], error[won] = trial[:, better], new_error[better]
        gradient[:, won], curvature[:, :, won] = new_gradient[:, better], new_curvature[:, :, better]
        active = active[~settled & (to.back(damping[active]) < end)]
    return theta


def _linearise(screen: Screen, xp: ModuleType, theta: Any, centred: Any) -> tuple[Any, Any, Any]:
    """Gradient (k, b), Gauss-Newton matrix (k, k, b) and squared error (b,), gain and baseline solved out."""
    response, slopes = _respond(screen, xp, theta, derivatives=True)
    response = response - response.mean(0)
    gain, squared = _project(screen, xp, theta, response, centred)
    residual = centred - gain * response
    slopes = [gain * (slope - slope.mean(0)) for slope in slopes]
    slopes = [slope - response * ((response * slope).sum(0) / squared) for slope in slopes]
    gradient = xp.stack([(slope * residual).sum(0) for slope in slopes])
    curvature = xp.stack([xp.stack([(a * b).sum(0) for b in slopes]) for a in slopes])
    return gradient, curvature, (residual**2).sum(0)


def _project(screen: Screen, xp: ModuleType, theta: Any, response: Any, centred: Any) -> tuple[Any, Any]:
    """Gain of least squares, 0 where negative or unseen, and the squared length of the response."""
    squared, seen = _measure(screen, xp, theta, response)
    gain = (response * centred).sum(0) / squared
    return xp.where(seen & (gain > 0), gain, 0.0), squared


def _measure(screen: Screen, xp: ModuleType, theta: Any, response: Any) -> tuple[Any, Any]:
    """Squared length of centred responses (1 where nothing is seen), and which fields see something."""
    shown, lasting = screen.peaks
    exponent = xp.exp(theta[3]) if len(theta) > 3 else 1.0
    squared = (response**2).sum(0)
    seen = squared > (_LEAST_RESPONSE * lasting * shown**exponent) ** 2
    return xp.where(seen, squared, 1.0), seen


def _solve_step(xp: ModuleType, gradient: Any, curvature: Any, damping: Any) -> Any:
    """Damped step (k, b); a parameter without influence stays."""
    k = len(gradient)
    diagonal = xp.stack([curvature[i, i] for i in range(k)])
    scale = xp.where(diagonal > 0, diagonal, 1.0) ** 0.5
    matrix = curvature / (scale[:, None] * scale)
    for i in range(k):
        matrix[i, i] = 1.0 + damping
    right = (gradient / scale).T[:, :, None]
    return xp.linalg.solve(xp.moveaxis(matrix, 2, 0), right)[:, :, 0].T / scale


def _respond(screen: Screen, xp: ModuleType, theta: Any, *, derivatives: bool) -> tuple[Any, list[Any]]:
    """Response (n, b) of unit gain, and its slopes along the parameters."""
    sigma = xp.exp(theta[2])
    dx, dy = screen.x_dva[:, None] - theta[0], screen.y_dva[:, None] - theta[1]
    squared = (dx**2 + dy**2) / sigma**2
    weights = screen.area_dva / (2 * np.pi * sigma**2) * xp.exp(-squared / 2)
    drive = screen.shown @ weights
    slopes = []
    if derivatives:
        kinds = (weights * dx / sigma**2, weights * dy / sigma**2, weights * (squared - 2))
        slopes = [screen.shown @ kind for kind in kinds]
    response = drive
    if len(theta) > 3:
        exponent = xp.exp(theta[3])
        visible = xp.where(drive > _TINY_DRIVE, drive, _TINY_DRIVE)
        rate = visible ** (exponent - 1)
        response = drive * rate
        slopes = [exponent * rate * slope for slope in slopes]
        if derivatives:
            slopes.append(exponent * response * xp.log(visible))
    return _convolve(screen, response), [_convolve(screen, slope) for slope in slopes]


def _convolve(screen: Screen, values: Any) -> Any:
    if not screen.convolution:
        return values
    convolved = values * 0.0
    for rows, operator in screen.convolution:
        convolved[rows] = operator @ values[rows]
    return convolved


class _Converter:
    """numpy arrays to the device's and back."""

    def __init__(self, device: str, dtype: Any) -> None:
        self.xp: ModuleType = find_library(device)
        self._device, self._dtype = device, np.dtype(dtype)

    def __call__(self, values: NDArray) -> Any:
        values = np.ascontiguousarray(values, dtype=self._dtype)
        return values if self.xp is np else self.xp.as_tensor(values, device=self._device)

    def back(self, values: Any) -> NDArray:
        return np.asarray(values if self.xp is np else values.cpu())


def _convert(screen: Screen, to: _Converter) -> Screen:
    operators = [(rows, to(operator)) for rows, operator in screen.convolution]
    return Screen(to(screen.shown), to(screen.x_dva), to(screen.y_dva), screen.area_dva, operators)


def _pack(parameters: NDArray, compressive: bool) -> NDArray:
    """(b, 4) of x, y, sigma, exponent to (3 or 4, b) of x, y, log sigma, log exponent."""
    theta = np.array(parameters, dtype=np.float64).T
    theta[2:] = np.log(theta[2:])
    return theta if compressive else theta[:3]


def _unpack(theta: NDArray) -> list[NDArray]:
    exponent = np.exp(theta[3]) if len(theta) > 3 else np.ones_like(theta[0])
    return [theta[0], theta[1], np.exp(theta[2]), exponent]


def _make_blocks(n: int, bytes_each: float) -> Iterator[slice]:
    size = max(16, int(_BLOCK_BYTES / max(1.0, bytes_each)))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
