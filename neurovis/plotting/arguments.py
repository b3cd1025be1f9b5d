"""Checks of arguments that several figures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array


def check_grouped(
    value_name: str, values: ArrayLike, group_name: str, groups: Sequence[str] | NDArray
) -> tuple[NDArray, NDArray]:
    """Values as a vector of floats and one text label for each.

    Raises
    ------
    ValueError
        If the lengths differ; the message carries both names.
    """
    numbers = check_array(value_name, values, ndim=1, finite=False, dtype=float)
    names = np.asarray(groups).astype(str)
    if names.shape != numbers.shape:
        raise ValueError(
            f"{group_name} must have one entry for each of the {len(numbers)} {value_name}, "
            f"got shape {names.shape}; pass the coordinate of the same neuroids."
        )
    return numbers, names


def check_interval(
    lower: ArrayLike | None, upper: ArrayLike | None, shape: tuple[int, ...]
) -> tuple[NDArray, NDArray] | None:
    """Both ends of an interval as arrays of this shape, or None if neither is given.

    Raises
    ------
    ValueError
        If only one end is given, a shape differs, or an end lies on the wrong side.
    """
    if lower is None and upper is None:
        return None
    if lower is None or upper is None:
        missing = "lower" if lower is None else "upper"
        raise ValueError(f"lower and upper must be given together, got no {missing}; pass both ends.")
    low = check_array("lower", lower, shape=shape, finite=False, dtype=float)
    high = check_array("upper", upper, shape=shape, finite=False, dtype=float)
    if (low > high).any():
        raise ValueError("lower must not exceed upper, got an interval the wrong way round; swap its ends.")
    return low, high
