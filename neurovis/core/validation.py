"""The two validation helpers that every public function uses, so that all bad input reads the same.

A message names the parameter, what was expected, what came, and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_option(parameter: str, value: Any, allowed: Iterable[Any], *, remedy: str = "") -> Any:
    """Return ``value`` if it is one of ``allowed``; raise otherwise.

    Parameters
    ----------
    parameter : str
        Name of the parameter, as the caller wrote it.
    value : object
        What came.
    allowed : iterable
        Every accepted value.
    remedy : str
        What to do instead; appended to the message.

    Raises
    ------
    ValueError
        With the parameter, the allowed values in English and the value received.
    """
    options = list(allowed)
    if value in options:
        return value
    listed = _join_english([repr(option) for option in options])
    raise ValueError(_sentence(f"{parameter} must be {listed}, got {value!r}", remedy))


def check_array(
    parameter: str,
    value: Any,
    *,
    ndim: int | Sequence[int] | None = None,
    shape: Sequence[int | None] | None = None,
    finite: bool = True,
    minimum: float | None = None,
    maximum: float | None = None,
    dtype: Any = None,
    remedy: str = "",
) -> NDArray[Any]:
    """Return ``value`` as an array after checking shape, finiteness and range.

    Parameters
    ----------
    parameter : str
        Name of the parameter, as the caller wrote it.
    value : array-like
        What came; scalars are accepted with ``ndim=0``.
    ndim : int or sequence of int, optional
        Accepted numbers of dimensions.
    shape : sequence of int or None, optional
        Expected shape; ``None`` entries match any length.
    finite : bool
        Refuse NaN and infinity in floating arrays.
    minimum, maximum : float, optional
        Inclusive bounds of every entry.
    dtype : dtype, optional
        Converted to this type; object arrays are always refused.
    remedy : str
        What to do instead; appended to every message.

    Raises
    ------
    TypeError
        If the value is not numeric.
    ValueError
        If dimensions, shape, finiteness or range are wrong.
    """
    try:
        array = np.asarray(value) if dtype is None else np.asarray(value, dtype=dtype)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        message = f"{parameter} must be an array, got a sequence whose entries differ in shape"
        raise ValueError(_sentence(message, remedy)) from error
    if array.dtype == object or array.dtype.kind in "USO":
        raise TypeError(_sentence(f"{parameter} must be numeric, got {type(value).__name__}", remedy))
    if ndim is not None:
        accepted = [ndim] if isinstance(ndim, int) else list(ndim)
        if array.ndim not in accepted:
            wanted = _join_english([str(n) for n in accepted])
            message = f"{parameter} must have {wanted} dimension(s), got shape {array.shape}"
            raise ValueError(_sentence(message, remedy))
    if shape is not None:
        fits = len(shape) == array.ndim and all(
            want is None or want == have for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
            message = f"{parameter} must have shape {wanted}, got {array.shape}"
            raise ValueError(_sentence(message, remedy))
    if finite and array.dtype.kind in "fc" and not np.isfinite(array).all():
        n_bad = int((~np.isfinite(array)).sum())
        message = f"{parameter} must be finite, got {n_bad} NaN or infinite value(s) of {array.size}"
        raise ValueError(_sentence(message, remedy))
    if minimum is not None and array.size and array.min() < minimum:
        message = f"{parameter} must be at least {minimum}, got {array.min()}"
        raise ValueError(_sentence(message, remedy))
    if maximum is not None and array.size and array.max() > maximum:
        message = f"{parameter} must be at most {maximum}, got {array.max()}"
        raise ValueError(_sentence(message, remedy))
    return array


def _join_english(items: list[str]) -> str:
    if len(items) <= 1:
        return "".join(items)
    return ", ".join(items[:-1]) + " or " + items[-1]


def _sentence(message: str, remedy: str) -> str:
    return f"{message}; {remedy}." if remedy else f"{message}."
