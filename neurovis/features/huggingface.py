"""Feature spaces of the transformers library: images, clips and text, with each model's own processor.

Weights come from the hub by name or from a local folder; a configuration alone gives random weights without
a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional
from neurovis.features.capture import OUTPUT, Execution, count_prefix_tokens, list_blocks
from neurovis.features.reduction import Reduction
from neurovis.features.text import TextFeatures
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.video import ClipSampling, VideoFeatures
from neurovis.features.weights import HUB, build_pretrained, build_seeded
from neurovis.features.wrapped import Wrapped
from neurovis.io import atomic_path, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

_EXTRA = "diffusion"


def make_huggingface(
    model: str = "facebook/dinov2-small",
    *,
    layers: Sequence[str] | None = None,
    pretrained: bool = True,
    config: Mapping[str, Any] | None = None,
    seed: int = 0,
    pool: int | None = 4,
    tokens: str | None = None,
    precision: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
) -> ModuleFeatures:
    """Feature space ``huggingface:<model>``: an image model, e.g. DINOv2, ViT or CLIP's image tower.

    Parameters
    ----------
    model : str
        Name on the hub, or a local folder that ``save_pretrained`` wrote.
    layers : sequence of str, optional
        Default: every block; ``"output"`` is the last hidden state.
    pretrained : bool
        Use the weights; False for random ones with the configuration of ``model``.
    config : mapping, optional
        Configuration with ``model_type`` instead of ``model``'s: random weights, no network.
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
        If the configuration or a layer is unknown.
    FileNotFoundError
        If the model is not here and cannot be fetched.
    """
    network, processor = _load(model, pretrained, config, seed, kind="image")
    network = getattr(network, "vision_model", network)
    module = Wrapped(network, _call_image)
    n_prefix = count_prefix_tokens(network)
    return ModuleFeatures(
        _name("huggingface", model, config), module, _choose_blocks(module, layers),
        FrameProcessor(processor), pool, tokens or ("first" if n_prefix else "mean"), version=_version(),
        n_prefix_tokens=n_prefix, execution=Execution(precision, channels_last, compiled),
    )  # fmt: skip


def make_huggingface_video(
    model: str = "MCG-NJU/videomae-base",
    *,
    layers: Sequence[str] | None = None,
    pretrained: bool = True,
    config: Mapping[str, Any] | None = None,
    seed: int = 0,
    fps: float | None = None,
    step_s: float | None = None,
    pool: int | None = 4,
    tokens: str = "mean",
    precision: str = "float32",
    compiled: bool = False,
) -> VideoFeatures:
    """Feature space ``huggingface-video:<model>``: a model of clips, e.g. VideoMAE.

    Parameters
    ----------
    model, layers, pretrained, config, seed
        As in :func:`make_huggingface`.
    fps, step_s
        As in :class:`neurovis.features.video.ClipSampling`; the number of frames is the model's.
    pool, tokens
        As in :class:`neurovis.features.reduction.Reduction`; ``"patches"`` averages over the clip's time.
    precision, compiled
        As in :class:`neurovis.features.capture.Execution`.

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`make_huggingface`, and if the model has no fixed number of frames.
    """
    network, processor = _load(model, pretrained, config, seed, kind="video")
    n_frames = getattr(network.config, "num_frames", None)
    if n_frames is None:
        raise ValueError(
            f"model must have num_frames in its configuration, got {network.config.model_type!r} without; "
            "choose for example 'MCG-NJU/videomae-base'."
        )
    module = Wrapped(network, _call_image)
    reduction = Reduction(
        pool, tokens, count_prefix_tokens(network) or 0,
        token_frames=n_frames // getattr(network.config, "tubelet_size", n_frames),
    )  # fmt: skip
    return VideoFeatures(
        _name("huggingface-video", model, config), module, _choose_blocks(module, layers),
        FrameProcessor(processor, is_clip=True), ClipSampling(n_frames, fps, step_s), reduction, _version(),
        Execution(precision, compiled=compiled),
    )  # fmt: skip


def write_huggingface_video(extractor: VideoFeatures, folder: str | Path, record: Mapping[str, Any]) -> Path:
    """Write network and processor as an ordinary folder of transformers.

    Parameters
    ----------
    extractor : VideoFeatures
        From :func:`make_huggingface_video`, or trained from it.
    folder : path
        Replaced as a whole. :func:`make_huggingface_video` takes it as ``model``; the sampling and what is
        kept of a layer are its options as before, and no part of the folder.
    record : mapping
        Where the weights come from, JSON-serialisable; kept beside them in ``training.json``.

    Raises
    ------
    TypeError
        If the feature space is not of transformers.
    """
    if not isinstance(extractor.module, Wrapped) or not isinstance(extractor.preprocess, FrameProcessor):
        raise TypeError(
            f"extractor must come from make_huggingface_video, got {extractor.name!r} with a "
            f"{type(extractor.module).__name__}; write its weights yourself."
        )
    with atomic_path(folder) as temporary:
        extractor.module.model.save_pretrained(temporary)  # type: ignore[operator]
        extractor.preprocess.processor.save_pretrained(temporary)
        write_json(record, temporary / "training.json")
    return Path(folder)


def make_huggingface_text(
    model: str = "openai-community/gpt2",
    *,
    layers: Sequence[str] | None = None,
    pretrained: bool = True,
    config: Mapping[str, Any] | None = None,
    tokenizer: str | Path | None = None,
    seed: int = 0,
    column: str = "caption",
    tokens: str = "mean",
    precision: str = "float32",
    compiled: bool = False,
) -> TextFeatures:
    """Feature space ``huggingface-text:<model>``: a language model, e.g. GPT-2 or BERT.

    Parameters
    ----------
    model, layers, pretrained, config, seed
        As in :func:`make_huggingface`.
    tokenizer : str or path, optional
        Name or folder of the tokenizer; the model's by default.
    column : str
        Column of the stimulus table that holds the text.
    tokens : {"mean", "last", "first"}
        What to keep of a sequence, as in :class:`neurovis.features.text.TextFeatures`.
    precision, compiled
        As in :class:`neurovis.features.capture.Execution`.

    Raises
    ------
    ValueError, FileNotFoundError
        As :func:`make_huggingface`.
    """
    transformers = import_optional("transformers", extra=_EXTRA)
    network, _ = _load(model, pretrained, config, seed, kind="text")
    source = str(tokenizer or model)
    words = _fetch(lambda: transformers.AutoTokenizer.from_pretrained(source), source)
    longest = min(
        words.model_max_length, getattr(network.config, "max_position_embeddings", words.model_max_length)
    )
    module = Wrapped(network, _call_text)
    return TextFeatures(
        _name("huggingface-text", model, config), module, _choose_blocks(module, layers),
        TextTokenizer(words, _describe_tokenizer(words), int(longest)), column, tokens, _version(),
        Execution(precision, compiled=compiled),
    )  # fmt: skip


@dataclass(frozen=True)
class FrameProcessor:
    """An image processor of transformers, for one image or the frames of a clip; its ``repr`` tells all."""

    processor: Any
    is_clip: bool = False

    def __call__(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Tensor:
        """An image (height, width, 3) to (3, height, width), or a list of frames to (frames, 3, ...)."""
        frames = [np.array(image) for image in images] if self.is_clip else [np.array(images)]
        made = self.processor(frames, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        # Video processors put a dimension of clips in front of that of frames.
        made = made.reshape(-1, *made.shape[-3:])
        return made if self.is_clip else made[0]

    def __repr__(self) -> str:
        return f"{type(self.processor).__name__} {self.processor.to_json_string()}"


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer of transformers; texts are filled up on the right and never cut."""

    tokenizer: Any = field(repr=False)
    description: str
    longest: int

    def __call__(self, texts: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
        """Texts to ``input_ids`` and ``attention_mask`` (n, tokens), and the latter as booleans."""
        torch = import_optional("torch", extra="torch")
        rows = [torch.tensor(self.tokenizer(text)["input_ids"], dtype=torch.long) for text in texts]
        for text, row in zip(texts, rows, strict=True):
            if not 0 < len(row) <= self.longest:
                raise ValueError(
                    f"texts must have 1 to {self.longest} tokens, got {len(row)} in {text[:40]!r}; shorten "
                    "it or choose a model of longer texts."
                )
        # Models without a padding token take any id here: the mask keeps it from being seen.
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.arange(ids.shape[1])[None] < torch.tensor([len(row) for row in rows])[:, None]
        return {"input_ids": ids, "attention_mask": mask.long()}, mask


def _call_image(model: nn.Module, pixel_values: Tensor) -> Tensor:
    return model(pixel_values=pixel_values).last_hidden_state


def _call_text(model: nn.Module, **inputs: Tensor) -> Tensor:
    return model(**inputs).last_hidden_state


def _load(
    model: str, pretrained: bool, config: Mapping[str, Any] | None, seed: int, *, kind: str
) -> tuple[Any, Any]:
    """Network and image processor (None for text) of a name, a folder or a configuration."""
    transformers = import_optional("transformers", extra=_EXTRA)
    if config is None and pretrained:
        network = _fetch(lambda: transformers.AutoModel.from_pretrained(model), model)
    else:
        settings = (
            _make_config(config)
            if config
            else _fetch(lambda: transformers.AutoConfig.from_pretrained(model), model)
        )
        network = build_seeded(lambda: transformers.AutoModel.from_config(settings), seed)
    if kind == "text":
        return network, None
    if config is None:
        return network, _fetch(lambda: transformers.AutoImageProcessor.from_pretrained(model), model)
    return network, _make_processor(network.config)


def _fetch(build: Callable[[], Any], model: str) -> Any:
    return build_pretrained(
        build,
        name=f"huggingface:{model}",
        origin=f"{HUB}/{model}",
        remedy="download that folder elsewhere and pass its path as model, or pass config for random weights",
    )


def _make_config(config: Mapping[str, Any]) -> Any:
    transformers = import_optional("transformers", extra=_EXTRA)
    if "model_type" not in config:
        raise ValueError(
            f"config must hold model_type, got {sorted(config)}; add for example model_type='dinov2'."
        )
    check_option(
        "model_type", config["model_type"], transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    )
    return transformers.AutoConfig.for_model(**config)


def _make_processor(config: Any) -> Any:
    """The image processor that belongs to a kind of model, with its published mean and standard deviation."""
    transformers = import_optional("transformers", extra=_EXTRA)
    known = import_optional("transformers.models.auto.image_processing_auto", extra=_EXTRA)
    kind = config.model_type.removesuffix("_vision_model").removesuffix("_with_registers")
    names = known.IMAGE_PROCESSOR_MAPPING_NAMES.get(kind)
    if not names:
        raise ValueError(
            f"config must be that of an image model with a processor of its own, got model_type "
            f"{config.model_type!r}; choose for example 'dinov2'."
        )
    make = getattr(transformers, names.get("torchvision") or names["pil"])
    side = getattr(config, "vision_config", config).image_size
    square = {"height": side, "width": side}
    size = {"shortest_edge": side} if "shortest_edge" in (make().size or {}) else square
    return make(size=size, crop_size=square)


def _choose_blocks(module: nn.Module, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Given layers, or every entry of the model's first list of modules."""
    if layers is not None:
        return tuple(layers)
    blocks = list_blocks(module)
    # Stages of Swin return their output before and after the reduction.
    element = "#0" if blocks and "Swin" in type(module.get_submodule(blocks[0])).__name__ else ""
    return tuple(f"{block}{element}" for block in blocks) or (OUTPUT,)


def _describe_tokenizer(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = repr(sorted(tokenizer.get_vocab().items())) if backend is None else backend.to_str()
    return f"{type(tokenizer).__name__} {hashlib.sha256(text.encode()).hexdigest()}"


def _name(space: str, model: str, config: Mapping[str, Any] | None) -> str:
    return f"{space}:{model if config is None else config['model_type']}"


def _version() -> str:
    return f"transformers {import_optional('transformers', extra=_EXTRA).__version__}"
