"""Distance-preserving position codes: cosines that fall with distance as a Gaussian, in closed form.

Fang et al. (2024, ECCV, "OAT"), section on positional encoding, want vectors P with
cos(P_i, P_j) = exp(-d_ij^2 / (2 sigma^2)) and search for them by gradient descent. The matrix on the right is
positive definite, so its eigenvectors give them exactly, for any places in one or two dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array

SIGMA_STEPS = 2.0
"""Width of the Gaussian in steps of the grid, as published."""

N_TABLE_COLUMNS = 86
"""Length of the published vectors of one coordinate."""

_LARGEST_COSINE_ERROR = 0.01
# Directions with less than this share of the first eigenvalue are rounding.
_SMALLEST_EIGENVALUE = 1e-12


def compute_position_kernel(
    places: ArrayLike, others: ArrayLike, *, sigma: float = SIGMA_STEPS
) -> NDArray[np.float64]:
    """Wanted cosines between two lists of places.

    Parameters
    ----------
    places, others : array-like of shape (n,) or (n, n_dimensions)
        Coordinates, in the unit of ``sigma``.
    sigma : float
        Width of the Gaussian.

    Returns
    -------
    array of shape (n_places, n_others)
        exp(-d^2 / (2 sigma^2)).

    Raises
    ------
    ValueError
        If ``sigma`` is not positive or the dimensions differ.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}; pass a width in the unit of the places.")
    a, b = _as_points("places", places), _as_points("others", others)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"places and others must have equally many coordinates, got {a.shape[1]} and {b.shape[1]}; "
            "pass both as (n, n_dimensions)."
        )
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return np.exp(-squared / (2 * sigma**2))


@dataclass(frozen=True, eq=False)
class PositionMap:
    """Map from places to unit vectors, the same for every layout.

    Exact at the landmarks; in between, the Nystroem approximation of the same kernel.

    Parameters
    ----------
    landmarks : array of shape (n_landmarks, n_dimensions)
        Places that the map was made from.
    root : array of shape (n_landmarks, n_columns)
        Eigenvectors over roots of eigenvalues of the landmarks' kernel.
    sigma : float
        Width of the Gaussian, in the unit of the landmarks.
    """

    landmarks: NDArray[np.float64]
    root: NDArray[np.float64]
    sigma: float

    def __call__(self, places: ArrayLike) -> NDArray[np.float64]:
        """Unit vectors (n, n_columns) of places (n,) or (n, n_dimensions).

        Raises
        ------
        ValueError
            If a place lies so far from every landmark that the map knows nothing about it.
        """
        kernel = compute_position_kernel(places, self.landmarks, sigma=self.sigma)
        codes = kernel @ self.root
        norms = np.linalg.norm(codes, axis=1, keepdims=True)
        if norms.size and norms.min() < 0.9:
            worst = _as_points("places", places)[int(norms.argmin())]
            raise ValueError(
                f"places must lie among the landmarks, got {worst.tolist()}, whose code has length "
                f"{norms.min():.2f} instead of 1; make the map with landmarks that cover it."
            )
        return codes / norms


def make_position_map(
    landmarks: ArrayLike, *, sigma: float = SIGMA_STEPS, n_columns: int | None = None
) -> PositionMap:
    """Closed form of the distance-preserving codes: P = U sqrt(Lambda) of the kernel's eigenvectors.

    Parameters
    ----------
    landmarks : array-like of shape (n,) or (n, n_dimensions)
        Places at which the codes are exact: all rows of a grid, all centres of a layout, or a lattice over
        an image (:func:`make_landmarks`).
    sigma : float
        Width of the Gaussian, in the unit of the landmarks.
    n_columns : int, optional
        Length of the codes; filled with zeros if there are more columns than eigenvectors.

    Returns
    -------
    PositionMap

    Raises
    ------
    ValueError
        If ``n_columns`` is too small to keep every cosine within 0.01.
    """
    points = _as_points("landmarks", landmarks)
    kernel = compute_position_kernel(points, points, sigma=sigma)
    values, vectors = np.linalg.eigh(kernel)
    # Largest first, so that a shorter code loses least; the sign is a convention of ours.
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = vectors * np.where(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))] < 0, -1, 1)
    width = len(values) if n_columns is None else int(n_columns)
    check_array("n_columns", width, ndim=0, minimum=1, remedy="pass the length of the codes")
    kept = (values > _SMALLEST_EIGENVALUE * values[0]) & (np.arange(len(values)) < width)
    root = np.zeros((len(points), width))
    root[:, : int(kept.sum())] = vectors[:, kept] / np.sqrt(values[kept])
    position_map = PositionMap(points, root, float(sigma))
    codes = kernel @ root
    norms = np.linalg.norm(codes, axis=1)
    error = np.abs((codes @ codes.T) / np.outer(norms, norms) - kernel).max() if norms.min() > 0 else np.inf
    if error > _LARGEST_COSINE_ERROR:
        raise ValueError(
            f"n_columns must be enough for {len(points)} places, got {width}, with which cosines are off by "
            f"up to {error:.3f}; raise it, or widen sigma ({sigma})."
        )
    return position_map


def compute_position_table(
    places: ArrayLike, *, sigma: float = SIGMA_STEPS, n_columns: int | None = None
) -> NDArray[np.float64]:
    """Codes of one layout: unit vectors with cosines exp(-d^2 / (2 sigma^2)).

    Parameters
    ----------
    places : array-like of shape (n,) or (n, n_dimensions)
        Coordinates; integers 0, 1, 2 for the rows of a grid, centres for an irregular layout.
    sigma : float
        Width of the Gaussian, in the unit of the places.
    n_columns : int, optional
        Length of the codes, e.g. :data:`N_TABLE_COLUMNS`; ``len(places)`` by default.

    Returns
    -------
    array of shape (n, n_columns)

    Raises
    ------
    ValueError
        As :func:`make_position_map`.
    """
    return make_position_map(places, sigma=sigma, n_columns=n_columns)(places)


def make_landmarks(extent: tuple[float, float], *, spacing: float) -> NDArray[np.float64]:
    """Lattice of (x, y) places from 0 to ``extent``.

    Parameters
    ----------
    extent : tuple of float
        Largest x and y.
    spacing : float
        Largest step; three quarters of sigma keep cosines between landmarks within 0.002.

    Returns
    -------
    array of shape (n, 2)
    """
    if not (spacing > 0 and min(extent) > 0):
        raise ValueError(
            f"extent and spacing must be positive, got {extent} and {spacing}; pass lengths in one unit."
        )
    axes = [np.linspace(0, length, int(np.ceil(length / spacing - 1e-9)) + 1) for length in extent]
    across, down = np.meshgrid(*axes)
    return np.column_stack([across.ravel(), down.ravel()])


def _as_points(name: str, places: Any) -> NDArray[np.float64]:
    array = check_array(
        name, places, ndim=(1, 2), dtype=float, remedy="pass coordinates (n,) or (n, n_dimensions)"
    )
    if len(array) == 0:
        raise ValueError(f"{name} must hold at least one place, got none; pass coordinates.")
    return array[:, None] if array.ndim == 1 else array
