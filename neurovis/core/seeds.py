"""Random generators derived from one seed and a path of names.

Two calls with other keys give independent streams, so adding a subject or a step never changes the
numbers of another one.
"""

from __future__ import annotations

import hashlib

import numpy as np


def make_rng(seed: int, *keys: str | int) -> np.random.Generator:
    """Generator for one purpose under one seed.

    Parameters
    ----------
    seed : int
        Non-negative user seed.
    *keys : str or int
        Names of the purpose, e.g. ``"noise", subject, session``.

    Returns
    -------
    numpy.random.Generator
        The same for the same arguments, on every platform.

    Raises
    ------
    ValueError
        If ``seed`` is negative or not an integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}; pass for example seed=0.")
    digest = hashlib.sha256("\x1f".join(str(key) for key in keys).encode()).digest()
    words = np.frombuffer(digest, dtype=np.uint32)
    return np.random.default_rng([int(seed), *words.tolist()])
