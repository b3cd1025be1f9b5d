"""Feature spaces of open_clip's image encoders, with open_clip's own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurovis.core import check_option, import_optional
from neurovis.features.torch_module import OUTPUT, LibraryPreprocessing, ModuleFeatures
from neurovis.features.weights import build_pretrained, build_seeded, load_checkpoint


def make_open_clip(
    model: str = "ViT-B-32",
    *,
    layers: Sequence[str] | None = None,
    pretrained: str | None = "laion2b_s34b_b79k",
    checkpoint: str | Path | None = None,
    seed: int = 0,
    pool: int | None = 4,
    tokens: str = "first",
) -> ModuleFeatures:
    """Feature space ``open_clip:<model>``: the image tower of a CLIP model.

    Parameters
    ----------
    model : str
        Any name of ``open_clip.list_models()``.
    layers : sequence of str, optional
        Default: the image embedding, ``"output"``.
    pretrained : str, optional
        Tag of the weights, downloaded once by open_clip; ``None`` for random weights.
    checkpoint : path, optional
        Local weights of the whole model instead.
    seed : int
        Of the random weights.
    pool, tokens
        As in :class:`ModuleFeatures`.

    Raises
    ------
    ValueError
        If the model, the tag or a layer is unknown.
    FileNotFoundError
        If the weights are not here and cannot be fetched; the message says where they come from.
    """
    open_clip = import_optional("open_clip", extra="torch")
    check_option("model", model, open_clip.list_models(), remedy="see open_clip.list_models()")
    if checkpoint is not None or pretrained is None:
        whole: Any = build_seeded(lambda: open_clip.create_model(model), seed)
        whole = whole if checkpoint is None else load_checkpoint(whole, checkpoint)
    else:
        tags = open_clip.list_pretrained_tags_by_model(model)
        check_option("pretrained", pretrained, tags, remedy=f"these are the tags of {model}")
        cfg = open_clip.get_pretrained_cfg(model, pretrained)
        origin = f"https://huggingface.co/{cfg['hf_hub']}" if cfg.get("hf_hub") else cfg["url"]
        whole = build_pretrained(
            lambda: open_clip.create_model(model, pretrained=pretrained),
            name=f"open_clip:{model}",
            origin=origin,
        )
    settings = open_clip.transform.PreprocessCfg(**whole.visual.preprocess_cfg)
    transform = open_clip.transform.image_transform_v2(settings, is_train=False)
    return ModuleFeatures(
        f"open_clip:{model}", whole.visual, tuple(layers or (OUTPUT,)),
        LibraryPreprocessing(transform, repr(settings)), pool, tokens,
        version=f"open_clip {open_clip.__version__}",
    )  # fmt: skip
