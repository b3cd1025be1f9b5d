"""Fitted ridge encoders in one safetensors file: arrays, with the parameters as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from neurovis import __version__
from neurovis.core import import_optional
from neurovis.encoding.ridge import Ridge
from neurovis.io import atomic_path

_FORMAT = "neurovis.encoding.ridge/1"


def write_ridge(encoder: Ridge, path: str | Path) -> Path:
    """Write what prediction needs: weights, intercepts and chosen penalties.

    Parameters
    ----------
    encoder : Ridge
        Fitted.
    path : path
        File to write, ending in ``.safetensors``; replaced atomically.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If the encoder is not fitted.
    """
    if not hasattr(encoder, "coef_"):
        raise ValueError("encoder must be fitted, got one without coef_; call fit first.")
    header = {
        "format": _FORMAT,
        "neurovis": __version__,
        "standardise": json.dumps(bool(encoder.standardise)),
        "fit_intercept": json.dumps(bool(encoder.fit_intercept)),
    }
    names = ("coef_", "intercept_", "alpha_")
    arrays = {name: np.ascontiguousarray(getattr(encoder, name)) for name in names}
    safetensors = import_optional("safetensors.numpy", extra="torch")
    with atomic_path(path) as temporary:
        safetensors.save_file(arrays, str(temporary), metadata=header)
    return Path(path)


def read_ridge(path: str | Path) -> Ridge:
    """Read an encoder that predicts as the one that was written.

    Parameters
    ----------
    path : path
        File from :func:`write_ridge`.

    Returns
    -------
    Ridge
        Fitted; ``cv_error_`` is None, since prediction does not need it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated or was not written by :func:`write_ridge`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no encoder at {path}; fit one and write it first.")
    safetensors = import_optional("safetensors", extra="torch")
    try:
        with safetensors.safe_open(str(path), framework="numpy") as stream:
            header = stream.metadata() or {}
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (not a dict)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is truncated or no safetensors file ({error}); write it again.") from error
    if header.get("format") != _FORMAT:
        raise ValueError(f"{path} must have the format {_FORMAT!r}, got {header.get('format')!r}.")
    encoder = Ridge(
        standardise=json.loads(header["standardise"]), fit_intercept=json.loads(header["fit_intercept"])
    )
    encoder.coef_, encoder.alpha_ = arrays["coef_"], arrays["alpha_"]
    encoder.intercept_, encoder.cv_error_ = arrays["intercept_"], None
    encoder.n_features_in_ = len(encoder.coef_)
    return encoder
