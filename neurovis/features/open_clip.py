"""Feature spaces of open_clip's image and text towers, with open_clip's own preprocessing and tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovis.core import check_option, import_optional
from neurovis.features.capture import OUTPUT, Execution, count_prefix_tokens
from neurovis.features.preprocessing import LibraryPreprocessing
from neurovis.features.text import TextFeatures
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import HUB, build_pretrained, build_seeded, load_checkpoint
from neurovis.features.wrapped import Wrapped

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
    precision: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
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
        As in :class:`neurovis.features.reduction.Reduction`; by default the class token where there is one,
        else the mean.
    precision, channels_last, compiled
        As in :class:`neurovis.features.capture.Execution`.

    Raises
    ------
    ValueError
        If the model, the tag or a layer is unknown.
    FileNotFoundError
        If the weights are not here and cannot be fetched; the message says where they come from.
    """
    open_clip = import_optional("open_clip", extra="torch")
    whole = _build(model, pretrained, checkpoint, seed)
    settings = open_clip.transform.PreprocessCfg(**whole.visual.preprocess_cfg)
    transform = open_clip.transform.image_transform_v2(settings, is_train=False)
    n_prefix = count_prefix_tokens(whole.visual)
    return ModuleFeatures(
        f"open_clip:{model}", whole.visual, tuple(layers or (OUTPUT,)),
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
    if (
        not hasattr(whole, "token_embedding")
        or "hf_tokenizer_name" in open_clip.get_model_config(model)["text_cfg"]
    ):
        raise ValueError(
            f"model must have CLIP's own text tower and tokenizer, got {model!r}; choose for example "
            "'ViT-B-32', or the language model itself through huggingface-text."
        )

    # The image tower would otherwise be part of the weights' hash and be moved to the device.
    whole.visual = None
    tower = Wrapped(whole, lambda model, input_ids: model.encode_text(input_ids))
    return TextFeatures(
        f"open_clip-text:{model}", tower, tuple(layers or (OUTPUT,)),
        _ClipTokenizer(open_clip.get_tokenizer(model), model), column, tokens,
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
    check_option("model", model, open_clip.list_models(), remedy="see open_clip.list_models()")
    if checkpoint is not None or pretrained is None:
        whole: Any = build_seeded(lambda: open_clip.create_model(model), seed)
        return whole if checkpoint is None else load_checkpoint(whole, checkpoint)
    tags = open_clip.list_pretrained_tags_by_model(model)
    check_option("pretrained", pretrained, tags, remedy=f"these are the tags of {model}")
    cfg = open_clip.get_pretrained_cfg(model, pretrained)
    origin = f"{HUB}/{cfg['hf_hub']}" if cfg.get("hf_hub") else cfg["url"]
    return build_pretrained(
        lambda: open_clip.create_model(model, pretrained=pretrained), name=f"open_clip:{model}", origin=origin
    )
