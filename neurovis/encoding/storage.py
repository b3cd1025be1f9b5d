"""Fitted encoders in one safetensors file: arrays, with class, parameters and voxel-mask hash in its header.

Parameters and fitted attributes may be JSON values, numpy arrays, scikit-learn splitters, other encoders, and
lists, tuples or dictionaries of these, so that a stack of encoders is one file. Classes are looked up in a
table below; a file can never name anything else. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import model_selection
from sklearn.base import BaseEstimator

from neurovis import __version__
from neurovis.core import check_array, check_option, import_optional
from neurovis.io import atomic_path, write_json

ENCODER_CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "BandedRidge": "neurovis.encoding.banded",
        "BestLayer": "neurovis.encoding.best_layer",
        "Factorised": "neurovis.encoding.factorised",
        "FeatureWeightedRF": "neurovis.encoding.fwrf",
        "PRF": "neurovis.encoding.prf",
        "Ridge": "neurovis.encoding.ridge",
        "Stacked": "neurovis.encoding.stacking",
        "TransformerEncoder": "neurovis.encoding.transformer",
    }
)
"""Class name -> module of every encoder that can be written and read."""

_FORMAT = "neurovis.encoding/1"
_SPLITTERS = ("GroupKFold", "KFold", "LeaveOneGroupOut", "LeaveOneOut", "ShuffleSplit")


def write_encoder(encoder: BaseEstimator, path: str | Path, *, neuroid_ids: Sequence[str]) -> Path:
    """Write what prediction needs, and beside it the same record without arrays as JSON for people.

    Parameters
    ----------
    encoder : estimator
        Fitted; its class is one of :data:`ENCODER_CLASSES` and names in ``_FITTED`` what prediction needs.
    path : path
        File to write, ending in ``.safetensors``; the twin ends in ``.json``. Both are replaced atomically.
    neuroid_ids : sequence of str
        Neuroids in the order of the columns that were fitted, unique.

    Returns
    -------
    pathlib.Path
        The safetensors file.

    Raises
    ------
    TypeError
        If the class is unknown, or a parameter is of a kind that cannot be written.
    ValueError
        If the encoder is not fitted, an array is not finite, the ids are not those of its neuroids, or the
        suffix is another one.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path.name!r}; rename it.")
    arrays: dict[str, NDArray] = {}
    packed = _pack_encoder(encoder, "encoder", arrays)
    ids = _check_neuroid_ids(neuroid_ids)
    n_neuroids = _count_neuroids(encoder)
    if len(ids) != n_neuroids:
        raise ValueError(
            f"neuroid_ids must name the {n_neuroids} neuroids of the encoder, got {len(ids)}; pass those of "
            "the data it was fitted to."
        )
    record = {
        "format": _FORMAT,
        "neurovis": __version__,
        "encoder": packed,
        "n_neuroids": n_neuroids,
        "neuroid_hash": compute_neuroid_hash(ids),
    }
    safetensors = import_optional("safetensors.numpy", extra="torch")
    with atomic_path(path) as temporary:
        safetensors.save_file(arrays, str(temporary), metadata={"record": json.dumps(record)})
    shapes = {name: f"{array.dtype} {array.shape}" for name, array in arrays.items()}
    write_json({**record, "arrays": shapes, "first_neuroid_ids": ids[:3]}, path.with_suffix(".json"))
    return path


def read_encoder(path: str | Path, *, neuroid_ids: Sequence[str] | None = None) -> Any:
    """Read an encoder that predicts as the one that was written.

    Parameters
    ----------
    path : path
        File from :func:`write_encoder`; its JSON twin is not needed.
    neuroid_ids : sequence of str, optional
        Neuroids that the predictions are meant for, in order. Pass them wherever the predictions meet data.

    Returns
    -------
    estimator
        Fitted. Attributes that prediction does not need, such as errors of the inner folds, are missing.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, foreign, of an unknown class or not finite, or if it was fitted to other
        neuroids.
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
    record = _read_record(header.get("record", ""), path)
    if neuroid_ids is not None:
        _check_mask(record, _check_neuroid_ids(neuroid_ids), path)
    for name, array in arrays.items():
        check_array(f"array {name!r} of {path}", array, remedy="the file is damaged; write it again")
    try:
        return _unpack_encoder(record["encoder"], arrays)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} must hold a whole encoder of neurovis {__version__}, got one of "
            f"{record.get('neurovis')} that differs ({error}); fit and write it again."
        ) from error


def compute_neuroid_hash(neuroid_ids: Sequence[str]) -> str:
    """SHA-256 of neuroid ids in their order: the hash of the voxel mask, as hexadecimal text.

    Parameters
    ----------
    neuroid_ids : sequence of str
        In the order of the columns of the responses.
    """
    return hashlib.sha256(json.dumps([str(item) for item in neuroid_ids]).encode()).hexdigest()


def _check_neuroid_ids(neuroid_ids: Sequence[str]) -> list[str]:
    if isinstance(neuroid_ids, str):
        raise TypeError(f"neuroid_ids must be a sequence of names, got the string {neuroid_ids!r}.")
    ids = [str(item) for item in np.asarray(neuroid_ids).tolist()]
    if len(set(ids)) != len(ids):
        raise ValueError(
            f"neuroid_ids must be unique, got {len(ids) - len(set(ids))} repeated; check the data's "
            "coordinate neuroid_id."
        )
    return ids


def _check_mask(record: Mapping[str, Any], ids: list[str], path: Path) -> None:
    if compute_neuroid_hash(ids) == record["neuroid_hash"]:
        return
    n = record["n_neuroids"]
    told = "as many, but others or in another order" if len(ids) == n else f"{len(ids)} neuroids"
    raise ValueError(
        f"{path} must be used with the {n} neuroids it was fitted to, in their order, got {told} "
        f"(hash {compute_neuroid_hash(ids)[:12]} in place of {record['neuroid_hash'][:12]}); select and sort "
        "the neuroids of the data as for the fit."
    )


def _read_record(text: str, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except json.JSONDecodeError:
        record = None
    found = record.get("format") if isinstance(record, dict) else None
    if not isinstance(record, dict) or found != _FORMAT:
        raise ValueError(f"{path} must have the format {_FORMAT!r}, got {found!r}; check which file it is.")
    return record


def _count_neuroids(encoder: Any) -> int:
    prediction = np.asarray(encoder.predict(np.zeros((1, encoder.n_features_in_))))
    return 1 if prediction.ndim == 1 else prediction.shape[1]


def _pack_encoder(encoder: Any, prefix: str, arrays: dict[str, NDArray]) -> dict[str, Any]:
    name = type(encoder).__name__
    if ENCODER_CLASSES.get(name) != type(encoder).__module__:
        raise TypeError(
            f"encoder must be {', '.join(sorted(ENCODER_CLASSES))}, got {type(encoder).__module__}.{name}; "
            "add its class to neurovis.encoding.storage.ENCODER_CLASSES."
        )
    missing = [item for item in (*encoder._FITTED, "n_features_in_") if not hasattr(encoder, item)]  # noqa: SLF001
    if missing:
        raise ValueError(f"encoder must be fitted, got {name} without {missing[0]}; call fit first.")
    parts = {
        "parameters": encoder.get_params(deep=False),
        "fitted": {item: getattr(encoder, item) for item in encoder._FITTED},  # noqa: SLF001
    }
    packed = {
        part: {key: _pack(value, f"{prefix}.{key}", arrays) for key, value in values.items()}
        for part, values in parts.items()
    }
    return {"class": name, "n_features": int(encoder.n_features_in_), **packed}


def _pack(value: Any, name: str, arrays: dict[str, NDArray]) -> Any:
    """JSON value; what JSON lacks becomes a dictionary of one key that says what it is."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(check_array(name, value, remedy="fit the encoder again with a finite value"))
    if isinstance(value, np.ndarray | np.generic):
        return _pack_array(np.asarray(value), name, arrays)
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{name}.{number}", arrays) for number, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, Mapping):
        return {"dict": {str(key): _pack(item, f"{name}.{key}", arrays) for key, item in value.items()}}
    if isinstance(value, BaseEstimator):
        return {"encoder": _pack_encoder(value, name, arrays)}
    kind = type(value)
    if kind.__name__ in _SPLITTERS and kind is getattr(model_selection, kind.__name__):
        options = {key: getattr(value, key) for key in inspect.signature(kind).parameters}
        return {"splitter": [kind.__name__, _pack(options, name, arrays)]}
    raise TypeError(
        f"{name} must be a JSON value, an array, an encoder or one of the splitters {', '.join(_SPLITTERS)}, "
        f"got {kind.__name__}; fit the encoder with one of these."
    )


def _pack_array(array: NDArray, name: str, arrays: dict[str, NDArray]) -> dict[str, Any]:
    if name in arrays:  # keys of a dictionary may hold a dot
        name = f"{name}#{len(arrays)}"
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat):
        array = array.astype(str)
    if array.dtype.kind == "U":
        # Labels repeat: their text is written once, and the array as numbers.
        labels, codes = np.unique(array, return_inverse=True)
        arrays[name] = codes.reshape(array.shape)
        return {"text": [name, labels.tolist()]}
    checked = check_array(name, array, remedy="an encoder with such values cannot predict; fit it again")
    arrays[name] = np.ascontiguousarray(checked, dtype=checked.dtype.newbyteorder("=")).reshape(array.shape)
    return {"array": name}


def _unpack(packed: Any, arrays: Mapping[str, NDArray]) -> Any:
    if isinstance(packed, list):
        return [_unpack(item, arrays) for item in packed]
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "array":
        return arrays[content][()]
    if kind == "text":
        return np.array(content[1], dtype=str)[arrays[content[0]]]
    if kind == "tuple":
        return tuple(_unpack(item, arrays) for item in content)
    if kind == "dict":
        return {key: _unpack(item, arrays) for key, item in content.items()}
    if kind == "encoder":
        return _unpack_encoder(content, arrays)
    check_option("kind of a stored value", kind, ("splitter",), remedy="write the file again")
    splitter = getattr(model_selection, check_option("splitter", content[0], _SPLITTERS))
    return splitter(**_unpack(content[1], arrays))


def _unpack_encoder(packed: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Any:
    name = check_option(
        "class of the stored encoder", packed["class"], ENCODER_CLASSES, remedy="check which file it is"
    )
    made = getattr(importlib.import_module(ENCODER_CLASSES[name]), name)
    parameters = {key: _unpack(value, arrays) for key, value in packed["parameters"].items()}
    encoder = made(**parameters)
    for key in encoder._FITTED:  # noqa: SLF001
        setattr(encoder, key, _unpack(packed["fitted"][key], arrays))
    encoder.n_features_in_ = packed["n_features"]
    return encoder
