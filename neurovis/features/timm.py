"""Feature spaces of timm's networks, with timm's own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurovis.core import import_optional
from neurovis.features.torch_module import LibraryPreprocessing, ModuleFeatures, choose_stages
from neurovis.features.weights import build_pretrained, build_seeded, load_checkpoint


def make_timm(
    model: str = "resnet18",
    *,
    layers: Sequence[str] | None = None,
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    pool: int | None = 4,
    tokens: str = "first",
) -> ModuleFeatures:
    """Feature space ``timm:<model>``.

    Parameters
    ----------
    model : str
        Any name of ``timm.list_models()``, with an optional ``.<tag>`` of the weights.
    layers : sequence of str, optional
        Default: the top-level blocks.
    pretrained : bool
        Use the tagged (or default) weights, downloaded once by timm.
    checkpoint : path, optional
        Local weights instead.
    seed : int
        Of the random weights if ``pretrained`` is false.
    pool, tokens
        As in :class:`ModuleFeatures`.

    Raises
    ------
    ValueError
        If the model or a layer is unknown.
    FileNotFoundError
        If the weights are not here and cannot be fetched; the message says where they come from.
    """
    timm = import_optional("timm", extra="torch")
    if not timm.is_model(model.partition(".")[0]):
        near = ", ".join(timm.list_models(f"*{model.partition('_')[0]}*")[:8]) or "see timm.list_models()"
        raise ValueError(f"model must be a timm model, got {model!r}; near names: {near}.")
    if checkpoint is not None:
        module = load_checkpoint(build_seeded(lambda: timm.create_model(model), seed), checkpoint)
    elif pretrained:
        cfg = timm.get_pretrained_cfg(model)
        origin = f"https://huggingface.co/{cfg.hf_hub_id}" if cfg and cfg.hf_hub_id else str(cfg and cfg.url)
        module = build_pretrained(
            lambda: timm.create_model(model, pretrained=True), name=f"timm:{model}", origin=origin
        )
    else:
        module = build_seeded(lambda: timm.create_model(model), seed)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module), is_training=False)
    return ModuleFeatures(
        f"timm:{model}", module, choose_stages(module, layers),
        LibraryPreprocessing(transform, repr(transform)), pool, tokens, version=f"timm {timm.__version__}",
    )  # fmt: skip
