"""Caption models by name: the one that ships with neurovis, a folder, or the published CLIPCap weights.

CLIPCap: Mokady, Hertz and Bermano (arXiv 2111.09734), code and weights MIT,
github.com/rmokady/CLIP_prefix_caption. Its weights hold the whole GPT-2; the tokenizer comes apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from neurovis.captioning.captioner import PrefixCaptioner, PrefixMapper, read_captioner
from neurovis.core import find_model, import_optional
from neurovis.features.weights import HUB, build_pretrained, load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = "world-captioner"
CLIPCAP_FILES = {
    "clipcap-coco": ("akhaliq/CLIP-prefix-captioning-COCO-weights", "coco_weights.pt"),
    "clipcap-conceptual": ("akhaliq/CLIP-prefix-captioning-conceptual-weights", "conceptual_weights.pt"),
}
"""Copies on the hub of the files that the authors' repository links to."""

CLIPCAP_SPACE = "open_clip:ViT-B-32-quickgelu"
_EMBEDDING_DIM, _PREFIX_LENGTH = 512, 10
_REMEDY = (
    "download the .pt file (linked from github.com/rmokady/CLIP_prefix_caption) and GPT-2's vocab.json and "
    f"merges.txt elsewhere and pass them as checkpoint and tokenizer, or use {SHIPPED!r}, whose weights ship "
    "with neurovis"
)


def load_captioner(
    source: str | Path = SHIPPED,
    *,
    checkpoint: str | Path | None = None,
    tokenizer: str | Path = "gpt2",
    device: str = "cpu",
) -> PrefixCaptioner:
    """Caption model by name or from a folder.

    Parameters
    ----------
    source : str or path
        ``"world-captioner"``, ``"clipcap-coco"``, ``"clipcap-conceptual"``, or a folder written by
        :func:`neurovis.captioning.captioner.write_captioner`.
    checkpoint : path, optional
        Local file of CLIPCap weights instead of a download.
    tokenizer : str or path
        Of CLIPCap: a folder with GPT-2's ``vocab.json`` and ``merges.txt``, or its name on the hub.
    device : str
        Torch device.

    Returns
    -------
    PrefixCaptioner

    Raises
    ------
    FileNotFoundError
        If weights are not here and cannot be fetched; the message says where they come from and what to do
        offline.
    ValueError
        If weights are damaged or belong to another architecture.

    Notes
    -----
    CLIPCap was trained on unnormalised embeddings of OpenAI's ViT-B/32, whose activation is QuickGELU:
    ``make_open_clip("ViT-B-32-quickgelu", pretrained="openai")``. Embeddings of other weights or of ViT-B/16
    have the same dimension and give nonsense.
    """
    if str(source) in CLIPCAP_FILES:
        return _load_clipcap(str(source), checkpoint, tokenizer).to(device)
    folder = Path(source)
    if not folder.is_dir():
        try:
            folder = find_model(str(source))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"source must be {SHIPPED!r}, one of {sorted(CLIPCAP_FILES)} or a folder, got {source!r} "
                f"({error})"
            ) from error
    return read_captioner(folder).to(device)


class _ClipCap(nn.Module):
    """Parts under the names of the published checkpoints."""

    def __init__(self, transformers: Any) -> None:
        super().__init__()
        self.gpt = transformers.GPT2LMHeadModel(transformers.GPT2Config())
        self.clip_project = PrefixMapper(_EMBEDDING_DIM, _PREFIX_LENGTH, self.gpt.config.n_embd)
        self.register_load_state_dict_pre_hook(_drop_masks)


def _drop_masks(_module: nn.Module, tensors: dict[str, Tensor], *_rest: Any) -> None:
    """Leave out the causal masks that older versions of ``transformers`` stored with the weights."""
    for name in [name for name in tensors if name.endswith((".attn.bias", ".attn.masked_bias"))]:
        del tensors[name]


def _load_clipcap(name: str, checkpoint: str | Path | None, tokenizer: str | Path) -> PrefixCaptioner:
    transformers = import_optional("transformers", extra="diffusion")
    repository, filename = CLIPCAP_FILES[name]
    if checkpoint is None:
        hub = import_optional("huggingface_hub", extra="torch")
        checkpoint = build_pretrained(
            lambda: hub.hf_hub_download(repository, filename),
            name=name, origin=f"{HUB}/{repository}", remedy=_REMEDY,
        )  # fmt: skip
    parts = load_checkpoint(_ClipCap(transformers), checkpoint)
    words = build_pretrained(
        lambda: transformers.GPT2TokenizerFast.from_pretrained(
            tokenizer, local_files_only=Path(tokenizer).is_dir()
        ),
        name=f"the tokenizer of {name}", origin=f"{HUB}/{tokenizer}", remedy=_REMEDY,
    )  # fmt: skip
    # Training captions without a full stop end in spaces up to the limit; the end of text is a stop too.
    return PrefixCaptioner(parts.clip_project, parts.gpt, words, CLIPCAP_SPACE, stop=(".", words.eos_token))
