"""Feature spaces of timm's networks, with timm's own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neurovis.core import import_optional
from neurovis.features.capture import Execution, choose_stages, count_prefix_tokens
from neurovis.features.preprocessing import LibraryPreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import HUB, build_pretrained, build_seeded, load_checkpoint

if TYPE_CHECKING:
    from torch import nn


def make_timm(
    model: str = "resnet18",
    *,
    layers: Sequence[str] | None = None,
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    pool: int | None = 4,
    tokens: str | None = None,
    precision: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
) -> ModuleFeatures:
    """Feature space ``timm:<model>``.

    Parameters
    ----------
    model : str
        Any name of ``timm.list_models()``, with an optional ``.<tag>`` of the weights.
    layers : sequence of str, optional
        Default: the top-level blocks; of CrossViT both branches, ``blocks.0#0``, ``blocks.0#1`` and so on.
    pretrained : bool
        Use the tagged (or default) weights, downloaded once by timm.
    checkpoint : path, optional
        Local weights instead.
    seed : int
        Of the random weights if ``pretrained`` is false.
    pool, tokens
        As in :class:`neurovis.features.reduction.Reduction`; by default the class token where there is one,
        else the mean.
    precision, channels_last, compiled
        As in :class:`neurovis.features.capture.Execution`.

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
        origin = f"{HUB}/{cfg.hf_hub_id}" if cfg and cfg.hf_hub_id else str(cfg and cfg.url)
        module = build_pretrained(
            lambda: timm.create_model(model, pretrained=True), name=f"timm:{model}", origin=origin
        )
    else:
        module = build_seeded(lambda: timm.create_model(model), seed)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(module), is_training=False)
    n_prefix = count_prefix_tokens(module)
    # In CaiT and XCiT the class token joins after the blocks.
    late = hasattr(module, "blocks_token_only") or hasattr(module, "cls_attn_blocks")
    return ModuleFeatures(
        f"timm:{model}", module, _choose_layers(module, layers),
        LibraryPreprocessing(transform, repr(transform)), pool,
        tokens or ("first" if n_prefix and not late else "mean"), version=f"timm {timm.__version__}",
        n_prefix_tokens=n_prefix,
        # Hiera sorts its tokens by window and back at the end.
        token_grid=not hasattr(module, "unroll"), execution=Execution(precision, channels_last, compiled),
    )  # fmt: skip


def _choose_layers(module: nn.Module, layers: Sequence[str] | None) -> tuple[str, ...]:
    if layers is None and (n_branches := getattr(module, "num_branches", 0)):
        n_blocks = len(module.get_submodule("blocks"))  # type: ignore[arg-type]
        return tuple(f"blocks.{block}#{branch}" for block in range(n_blocks) for branch in range(n_branches))
    return choose_stages(module, layers)
