"""What names and options on the command line say.

Files are named by entities, as in BIDS: ``sub-01_features-gabor_encoder-ridge_encoding.nc``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurovis.core import FeatureExtractor


def read_entity(path: Path, entity: str) -> str:
    """One entity in the name of a result, e.g. ``features`` or ``encoder``.

    Raises
    ------
    ValueError
        If the name does not hold it.
    """
    entities = dict(part.split("-", 1) for part in path.stem.split("_") if "-" in part)
    if entity not in entities:
        raise ValueError(
            f"the name of {path} must hold {entity}-<name>, e.g. "
            "sub-01_features-gabor_encoder-ridge_encoding.nc; rename it."
        )
    return entities[entity]


def read_model_name(path: Path) -> str:
    """Feature space and encoder in the name of a result, short where the encoder is ridge.

    Raises
    ------
    ValueError
        As :func:`read_entity`.
    """
    features, encoder = read_entity(path, "features"), read_entity(path, "encoder")
    return features if encoder == "ridge" else f"{features} ({encoder})"


def parse_options(text: str) -> dict[str, Any]:
    """Keyword arguments written as a JSON object.

    Raises
    ------
    ValueError
        If the text is no JSON object.
    """
    try:
        options = json.loads(text)
    except json.JSONDecodeError:
        options = None
    if isinstance(options, dict):
        return options
    raise ValueError(f'options must be a JSON object such as {{"pool": 8}}, got {text!r}; mind the quotes.')


def build_features(features: str, options: dict[str, Any]) -> FeatureExtractor:
    """A feature space by catalog name, with the model after a colon, e.g. ``timm:resnet18``.

    Raises
    ------
    ValueError
        If the space has no such option.
    """
    import inspect

    from neurovis import catalog

    name, _, model = features.partition(":")
    build = catalog.features.load(name)
    known = inspect.signature(build).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"feature space {name!r} has no option {unknown[0]!r}; its options are {', '.join(known)}."
        )
    return build(*([model] if model else []), **options)


def parse_part(text: str) -> tuple[int, int]:
    """Part of a whole written as ``1/2``.

    Raises
    ------
    ValueError
        If the text is not two numbers with a slash.
    """
    number, _, n_parts = text.partition("/")
    if number.isdigit() and n_parts.isdigit():
        return int(number), int(n_parts)
    raise ValueError(f"part must be written as 1/2, got {text!r}; 1/1 is the whole.")


def rank_region(region: str) -> int:
    """Early areas first, then the ventral and lateral ones, then anything else; parts beside each other.

    Parts are numbered or ventral and dorsal, such as ``V1v`` and ``V1d`` or ``FFA-1`` and ``FFA-2``.
    """
    order = (
        "early",
        "EarlyVis",
        "V1",
        "V2",
        "V3",
        "hV4",
        "V4",
        "LOC",
        "hMT",
        "OFA",
        "FFA",
        "mTL-faces",
        "aTL-faces",
        "EBA",
        "FBA",
        "mTL-bodies",
        "OPA",
        "PPA",
        "RSC",
        "OWFA",
        "VWFA",
        "food",
    )
    parts = ("", "v", "d", "-1", "-2")
    names = [area + part for area in order for part in parts]
    return names.index(region) if region in names else len(names)
