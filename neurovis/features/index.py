"""Which feature spaces load on this machine, and what the others need."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_SPACES = {
    "cifar-resnet20": ("ResNet-20 trained on CIFAR-10", "weights"),
    "gabor": ("Pooled, normalised Gabor energy and colour", "nothing"),
    "open_clip": ("Image encoders of open_clip, by model and tag", "download"),
    "pixels": ("Grey and colour pixels, averaged down", "nothing"),
    "squeezenet": ("SqueezeNet v1.0 trained on ImageNet", "weights"),
    "timm": ("Networks of timm, by model", "download"),
    "torchvision": ("Networks of torchvision, by model", "download"),
    "worldnet": ("Residual network trained on the stimulus world", "shipped"),
}


def list_feature_spaces() -> pd.DataFrame:
    """Every feature space of the catalog, by name.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``description``, ``offline`` (whether it works on this machine without a network)
        and ``needs`` (what is missing or where it comes from, else empty).
    """
    import pandas as pd

    rows = []
    for name, (description, kind) in _SPACES.items():
        offline, needs = _check(name, kind)
        rows.append({"name": name, "description": description, "offline": offline, "needs": needs})
    return pd.DataFrame(rows)


def _check(name: str, kind: str) -> tuple[bool, str]:
    from neurovis.core import find_model

    if kind == "download":
        return False, "a download by the library, or a local file as checkpoint"
    if kind == "nothing":
        return True, ""
    try:
        if kind == "shipped":
            find_model(name)
        else:
            from neurovis.features.weights import find_weights

            find_weights(name)
    except (FileNotFoundError, ValueError) as error:
        return False, str(error)
    return True, ""
