"""Feature spaces of open_clip's image and text towers, with open_clip's own preprocessing and tokenizer.

A model is a name that open_clip knows, or a folder in open_clip's format: one of the user's, or one that
ships with neurovis (``world-clip``, ``world-clip-resnet``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovis.core import check_option, find_model, import_optional
from neurovis.features.capture import OUTPUT, Execution, count_prefix_tokens
from neurovis.features.preprocessing import LibraryPreprocessing
from neurovis.features.text import TextFeatures
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import HUB, build_pretrained, build_seeded, load_checkpoint
from neurovis.features.wrapped import Wrapped
from neurovis.io import read_json
from neurovis.training.models import check_model

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
"""Files of a folder that open_clip loads as ``local-dir:<folder>``."""

if TYPE_CHECKING:
    from torch import Tensor


def make_open_clip(
    model: str = "ViT-B-32",
    *,
    layers: Sequence[str] | None = None,
    pretrained: str | None = "laion2b_s34b_b79k",
    checkpoint: str | Path | None = None,
    seed: int = 0,
    pool: int | None = 4,
    tokens: str | None = None,
    normalise: bool = False,
    precision: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
) -> ModuleFeatures:
    """Feature space ``open_clip:<model>``: the image tower of a CLIP model.

    Parameters
    ----------
    model : str
        Any name of ``open_clip.list_models()``, a folder of ``open_clip_config.json`` and
        ``open_clip_model.safetensors``, or the name of such a folder that ships with neurovis.
    layers : sequence of str, optional
        Default: the image embedding, ``"output"``.
    pretrained : str, optional
        Tag of the weights, downloaded once by open_clip; ``None`` for random weights. A folder brings its own
        weights, whatever the tag.
    checkpoint : path, optional
        Local weights of the whole model instead.
    seed : int
        Of the random weights.
    pool, tokens
        As in :class:`neurovis.features.reduction.Reduction`; by default the class token where there is one,
        else the mean.
    normalise : bool
        Bring the embedding to unit length; of the layer ``"output"`` alone.
    precision, channels_last, compiled
        As in :class:`neurovis.features.capture.Execution`.

    Raises
    ------
    ValueError
        If the model, the tag or a layer is unknown, ``normalise`` is asked of other layers, or a folder's
        weights are not those that its ``config.json`` names.
    FileNotFoundError
        If the weights are not here and cannot be fetched; the message says where they come from.
    """
    open_clip = import_optional("open_clip", extra="torch")
    whole = _build(model, pretrained, checkpoint, seed)
    settings = open_clip.transform.PreprocessCfg(**whole.visual.preprocess_cfg)
    transform = open_clip.transform.image_transform_v2(settings, is_train=False)
    n_prefix = count_prefix_tokens(whole.visual)
    wanted = tuple(layers or (OUTPUT,))
    if normalise and wanted != (OUTPUT,):
        raise ValueError(
            f"normalise must be False unless layers is ('output',), got {wanted}; only embeddings are "
            "compared by their direction."
        )
    tower = Wrapped(whole.visual, _embed_direction) if normalise else whole.visual
    return ModuleFeatures(
        f"open_clip:{model}", tower, wanted,
        LibraryPreprocessing(transform, repr(settings)), pool, tokens or ("first" if n_prefix else "mean"),
        version=f"open_clip {open_clip.__version__}", n_prefix_tokens=n_prefix,
        execution=Execution(precision, channels_last, compiled),
    )  # fmt: skip


def make_open_clip_text(
    model: str = "ViT-B-32",
    *,
    layers: Sequence[str] | None = None,
    pretrained: str | None = "laion2b_s34b_b79k",
    checkpoint: str | Path | None = None,
    seed: int = 0,
    column: str = "caption",
    tokens: str = "last",
    precision: str = "float32",
    compiled: bool = False,
) -> TextFeatures:
    """Feature space ``open_clip-text:<model>``: the text tower of a CLIP model.

    Parameters
    ----------
    model, pretrained, checkpoint, seed
        As in :func:`make_open_clip`.
    layers : sequence of str, optional
        Default: the text embedding, ``"output"``, which lies in the space of the images' embeddings; else
        names of the text tower such as ``model.transformer.resblocks.5``.
    column : str
        Column of the stimulus table that holds the text.
    tokens : {"last", "mean", "first"}
        What to keep of a sequence; ``"last"`` is the end-of-text token, CLIP's own choice.
    precision, compiled
        As in :class:`neurovis.features.capture.Execution`.

    Raises
    ------
    ValueError
        If the model, the tag or a layer is unknown, or its tokenizer is not CLIP's own.
    FileNotFoundError
        As :func:`make_open_clip`.
    """
    open_clip = import_optional("open_clip", extra="torch")
    whole = _build(model, pretrained, checkpoint, seed)
    if not hasattr(whole, "token_embedding") or "hf_tokenizer_name" in _read_text_config(model):
        raise ValueError(
            f"model must have CLIP's own text tower and tokenizer, got {model!r}; choose for example "
            "'ViT-B-32', or the language model itself through huggingface-text."
        )

    # The image tower would otherwise be part of the weights' hash and be moved to the device.
    whole.visual = None
    tower = Wrapped(whole, lambda model, input_ids: model.encode_text(input_ids))
    return TextFeatures(
        f"open_clip-text:{model}", tower, tuple(layers or (OUTPUT,)),
        _ClipTokenizer(open_clip.get_tokenizer(_name_for_open_clip(model)), model), column, tokens,
        version=f"open_clip {open_clip.__version__}", execution=Execution(precision, compiled=compiled),
    )  # fmt: skip


@dataclass(frozen=True)
class _ClipTokenizer:
    """CLIP's byte-pair encoding, which ships with open_clip; texts are never cut."""

    tokenizer: Any = field(repr=False)
    model: str

    def __call__(self, texts: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
        torch = import_optional("torch", extra="torch")
        longest = self.tokenizer.context_length - 2
        for text in texts:
            if (length := len(self.tokenizer.encode(text))) > longest:
                raise ValueError(
                    f"texts must have at most {longest} tokens for {self.model!r}, got {length} in "
                    f"{text[:40]!r}...; shorten it."
                )
        ids = self.tokenizer(list(texts))
        # The end-of-text token has the largest number; zeros after it are no tokens.
        mask = torch.arange(ids.shape[1])[None] <= ids.argmax(dim=1)[:, None]
        return {"input_ids": ids}, mask


def _build(model: str, pretrained: str | None, checkpoint: str | Path | None, seed: int) -> Any:
    """The whole model with its weights; parameters and errors as :func:`make_open_clip`."""
    open_clip = import_optional("open_clip", extra="torch")
    name = _name_for_open_clip(model)
    if checkpoint is not None or pretrained is None:
        whole: Any = build_seeded(lambda: open_clip.create_model(name, load_weights=False), seed)
        return whole if checkpoint is None else load_checkpoint(whole, checkpoint)
    folder = _find_folder(model)
    if folder is not None:
        return _load_folder(folder)
    tags = open_clip.list_pretrained_tags_by_model(model)
    check_option("pretrained", pretrained, tags, remedy=f"these are the tags of {model}")
    cfg = open_clip.get_pretrained_cfg(model, pretrained)
    origin = f"{HUB}/{cfg['hf_hub']}" if cfg.get("hf_hub") else cfg["url"]
    return build_pretrained(
        lambda: open_clip.create_model(model, pretrained=pretrained), name=f"open_clip:{model}", origin=origin
    )


def _load_folder(folder: Path) -> Any:
    """Model of a folder; one that was trained in-house names the hash of its weights."""
    open_clip = import_optional("open_clip", extra="torch")
    if (folder / "config.json").is_file():
        check_model(folder, trainer="train_world_clip", weights_name=WEIGHTS_NAME)
    elif not (folder / WEIGHTS_NAME).is_file():
        raise FileNotFoundError(f"no weights at {folder / WEIGHTS_NAME}; add them or pass pretrained=None.")
    return open_clip.create_model(f"local-dir:{folder}")


def _find_folder(model: str) -> Path | None:
    """Folder of a model, given or shipped, or None for a name that open_clip knows."""
    open_clip = import_optional("open_clip", extra="torch")
    known = open_clip.list_models()
    if model in known:
        return None
    try:
        folder = Path(model) if Path(model).is_dir() else find_model(model)
    except FileNotFoundError:
        check_option("model", model, known, remedy="see open_clip.list_models(), or pass a folder's path")
        raise
    if not (folder / CONFIG_NAME).is_file():
        raise ValueError(
            f"model must be a name of open_clip or a folder with {CONFIG_NAME}, got {folder} without it; "
            "choose another folder."
        )
    return folder


def _name_for_open_clip(model: str) -> str:
    folder = _find_folder(model)
    return model if folder is None else f"local-dir:{folder}"


def _read_text_config(model: str) -> dict[str, Any]:
    open_clip = import_optional("open_clip", extra="torch")
    folder = _find_folder(model)
    if folder is None:
        return dict(open_clip.get_model_config(model)["text_cfg"])
    return dict(read_json(folder / CONFIG_NAME)["model_cfg"]["text_cfg"])


def _embed_direction(visual: Any, images: Tensor) -> Tensor:
    """Image embeddings of unit length."""
    functional = import_optional("torch.nn.functional", extra="torch")
    return functional.normalize(visual(images), dim=-1)
