"""What file names say: entities such as ``sub-01_features-gabor_encoding.nc``, as in BIDS."""

from __future__ import annotations

from pathlib import Path


def read_features_entity(path: Path) -> str:
    """Feature space in the name of a result.

    Raises
    ------
    ValueError
        If the name holds no ``features-<name>``.
    """
    entities = dict(part.split("-", 1) for part in path.stem.split("_") if "-" in part)
    if "features" not in entities:
        raise ValueError(
            f"the name of {path} must hold the feature space, e.g. "
            "sub-01_features-gabor_encoding.nc; rename it."
        )
    return entities["features"]
