"""Feature spaces of torchvision's classification networks, with torchvision's own preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurovis.core import check_option, import_optional
from neurovis.features.capture import Execution, choose_stages, count_prefix_tokens
from neurovis.features.preprocessing import LibraryPreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import build_pretrained, build_seeded, load_checkpoint


def make_torchvision(
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
    """Feature space ``torchvision:<model>``.

    Parameters
    ----------
    model : str
        Any classification model of ``torchvision.models.list_models()``.
    layers : sequence of str, optional
        Default: the top-level blocks.
    pretrained : bool
        Use torchvision's default weights, downloaded once by torchvision.
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
    models = import_optional("torchvision.models", extra="torch")
    check_option(
        "model", model, models.list_models(module=models), remedy="see torchvision.models.list_models()"
    )
    weights = models.get_model_weights(model).DEFAULT
    if checkpoint is not None:
        module = load_checkpoint(
            build_seeded(lambda: models.get_model(model, weights=None), seed), checkpoint
        )
    elif pretrained:
        module = build_pretrained(
            lambda: models.get_model(model, weights=weights), name=f"torchvision:{model}", origin=weights.url
        )
    else:
        module = build_seeded(lambda: models.get_model(model, weights=None), seed)
    transform = weights.transforms()
    n_prefix = count_prefix_tokens(module)
    return ModuleFeatures(
        f"torchvision:{model}", module, choose_stages(module, layers),
        LibraryPreprocessing(transform, repr(transform)), pool, tokens or ("first" if n_prefix else "mean"),
        version=f"torchvision {import_optional('torchvision', extra='torch').__version__}",
        n_prefix_tokens=n_prefix, execution=Execution(precision, channels_last, compiled),
    )  # fmt: skip
