"""Which feature spaces load on this machine, what the others need, and under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_RANDOM = "the weights: a download by the library or a local copy; without either, random weights ({})"


@dataclass(frozen=True)
class _Space:
    """What a feature space takes, and where its numbers come from."""

    description: str
    stimuli: str
    source: str
    licence: str
    random: str = ""


_SPACES = {
    "cifar-resnet20": _Space("ResNet-20 trained on CIFAR-10", "image", "weights", ""),
    "gabor": _Space("Pooled, normalised Gabor energy and colour", "image", "nothing", "BSD-3-Clause"),
    "huggingface": _Space(
        "Image models of transformers: DINOv2, ViT, CLIP ...", "image", "download",
        "of each model; DINOv2 Apache-2.0", "config={'model_type': 'dinov2', ...}",
    ),
    "huggingface-text": _Space(
        "Language models of transformers: GPT-2, BERT ...", "text", "download",
        "of each model; GPT-2 MIT", "config={'model_type': 'gpt2', ...} and a tokenizer",
    ),
    "huggingface-video": _Space(
        "Models of clips of transformers: VideoMAE ...", "video", "download",
        "of each model; VideoMAE CC-BY-NC-4.0", "config={'model_type': 'videomae', ...}",
    ),
    "motion-energy": _Space("Motion and static energy of movies", "video", "nothing", "BSD-3-Clause"),
    "open_clip": _Space(
        "Image towers of open_clip, by model and tag", "image", "download",
        "of each tag; LAION and OpenAI tags MIT", "pretrained=None",
    ),
    "open_clip-text": _Space(
        "Text towers of open_clip, by model and tag", "text", "download",
        "of each tag; LAION and OpenAI tags MIT", "pretrained=None",
    ),
    "pixels": _Space("Grey and colour pixels, averaged down", "image", "nothing", "BSD-3-Clause"),
    "squeezenet": _Space("SqueezeNet v1.0 trained on ImageNet", "image", "weights", ""),
    "timm": _Space(
        "Networks of timm, by model: CNNs, ViTs, CrossViT ...", "image", "download",
        "of each model, mostly Apache-2.0", "pretrained=False",
    ),
    "torchvision": _Space(
        "Networks of torchvision, by model", "image", "download",
        "BSD-3-Clause; training data have terms of their own", "pretrained=False",
    ),
    "transnext": _Space(
        "TransNeXt, foveal attention, by size", "image", "download", "Apache-2.0", "pretrained=False",
    ),
    "worldnet": _Space("Residual network trained on the stimulus world", "image", "shipped", "BSD-3-Clause"),
}  # fmt: skip


def list_feature_spaces() -> pd.DataFrame:
    """Every feature space of the catalog, by name.

    Returns
    -------
    pandas.DataFrame
        Columns ``name``, ``description``, ``kind`` (of stimuli: image, video or text), ``offline`` (whether
        it works on this machine without a network, with the weights it is known for), ``licence`` and
        ``needs`` (what is missing or where it comes from, else empty).
    """
    import pandas as pd

    rows = []
    for name, space in _SPACES.items():
        offline, licence, needs = _check(name, space)
        rows.append(
            {
                "name": name, "description": space.description, "kind": space.stimuli, "offline": offline,
                "licence": licence, "needs": needs,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _check(name: str, space: _Space) -> tuple[bool, str, str]:
    from neurovis.core import find_model

    if space.source == "download":
        return False, space.licence, _RANDOM.format(space.random)
    licence = space.licence
    try:
        if space.source == "shipped":
            find_model(name)
        elif space.source == "weights":
            from neurovis.features.weights import find_weights, read_weights_card

            licence = read_weights_card(name).licence
            find_weights(name)
    except (FileNotFoundError, ValueError) as error:
        return False, licence, str(error)
    return True, licence, ""
