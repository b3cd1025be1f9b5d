"""Captions of images by CoCa (Yu et al., 2022, arXiv 2205.01917) as open_clip has it, decoded by our search.

CoCa attends to all tokens of an image, so it captions images, not projected weights: bank images that
resemble a voxel's projection, or random ones for the base rate of words.

``CoCa.generate`` of open_clip 3.3 needs a class that ``transformers`` 5 has removed, so sentences come from
:mod:`neurovis.captioning.decoding`. An image is encoded once; the text is read again at every step, since
open_clip's decoder keeps no cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurovis.captioning.captioner import Captions
from neurovis.captioning.clipcap import SHIPPED
from neurovis.captioning.decoding import Decoding, decode
from neurovis.core import check_array, check_option, import_optional
from neurovis.features.weights import HUB, build_pretrained, load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

MODELS = ("coca_ViT-B-32", "coca_ViT-L-14")
PRETRAINED = "mscoco_finetuned_laion2b_s13b_b90k"
"""Weights fine-tuned on the captions of COCO; those without write less regular sentences."""

_START, _END = 49406, 49407
_MAX_TOKENS = 30


@dataclass(frozen=True)
class CocaCaptioner:
    """A CoCa model with open_clip's preprocessing.

    Parameters
    ----------
    model : open_clip.CoCa
        On the device that is computed on.
    preprocess : callable
        A PIL image to a tensor (3, height, width).
    """

    model: Any
    preprocess: Any

    def __post_init__(self) -> None:
        self.model.eval()

    def caption(
        self, images: Sequence[NDArray[np.uint8]], decoding: Decoding | None = None, *, batch_size: int = 32
    ) -> Captions:
        """Caption images.

        Parameters
        ----------
        images : sequence of array of shape (height, width, 3), uint8
            RGB, of any sizes.
        decoding : Decoding, optional
            By default beam search of width 5 and at most 30 tokens.
        batch_size : int
            Images decoded together.

        Returns
        -------
        Captions
            Every row is its own group.

        Raises
        ------
        ValueError
            If sentences longer than the model's context are asked for.
        """
        torch = import_optional("torch", extra="torch")
        open_clip = import_optional("open_clip", extra="torch")
        from PIL import Image

        check_array("batch_size", batch_size, ndim=0, minimum=1, remedy="for example 32")
        decoding = decoding or Decoding(max_tokens=min(_MAX_TOKENS, self.model.context_length - 1))
        if decoding.max_tokens >= self.model.context_length:
            raise ValueError(
                f"max_tokens must be below the context of {self.model.context_length} tokens, got "
                f"{decoding.max_tokens}; lower it."
            )
        device = next(self.model.parameters()).device
        texts: list[str] = []
        scores, complete = np.empty(len(images)), np.empty(len(images), dtype=bool)
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            pixels = torch.stack([self.preprocess(Image.fromarray(image)) for image in images[part]])
            follow = _CocaTokens(self.model, pixels.to(device))
            found = decode(follow, decoding, stop_tokens=[_END], first_row=start)
            kept = ([token for token in tokens if token != _END] for tokens in found.tokens)
            texts += [open_clip.decode(torch.tensor(tokens)).strip(" .") for tokens in kept]
            scores[part], complete[part] = found.scores, found.stopped
        return Captions(texts, scores, complete, np.arange(len(images)))


def load_coca(
    model: str = "coca_ViT-B-32",
    *,
    pretrained: str = PRETRAINED,
    checkpoint: str | Path | None = None,
    device: str = "cpu",
) -> CocaCaptioner:
    """CoCa by name.

    Parameters
    ----------
    model : {"coca_ViT-B-32", "coca_ViT-L-14"}
        Architecture.
    pretrained : str
        Tag of the weights, downloaded once by open_clip.
    checkpoint : path, optional
        Local weights instead.
    device : str
        Torch device.

    Raises
    ------
    FileNotFoundError
        If the weights are not here and cannot be fetched; the message says where they come from.
    ValueError
        If the model or the tag is unknown.
    """
    open_clip = import_optional("open_clip", extra="torch")
    check_option("model", model, MODELS)
    if checkpoint is not None:
        network = load_checkpoint(open_clip.create_model(model, load_weights=False), checkpoint)
    else:
        check_option("pretrained", pretrained, open_clip.list_pretrained_tags_by_model(model))
        origin = f"{HUB}/{open_clip.get_pretrained_cfg(model, pretrained)['hf_hub']}"
        network = build_pretrained(
            lambda: open_clip.create_model(model, pretrained=pretrained), name=f"{model} ({pretrained})",
            origin=origin,
            remedy=f"download them elsewhere and pass the file as checkpoint, or caption embeddings with "
            f"{SHIPPED!r}, whose weights ship with neurovis",
        )  # fmt: skip
    settings = open_clip.transform.PreprocessCfg(**network.visual.preprocess_cfg)
    return CocaCaptioner(network.to(device), open_clip.transform.image_transform_v2(settings, is_train=False))


class _CocaTokens:
    """Next tokens of CoCa for a batch of images."""

    def __init__(self, model: Any, pixels: Tensor) -> None:
        torch = import_optional("torch", extra="torch")
        self.model = model
        with torch.inference_mode():
            self.latent, self.tokens = model._encode_image(pixels)  # noqa: SLF001 (no public method returns both)
        self.text = torch.full((len(pixels), 1), _START, device=pixels.device)

    def start(self) -> Tensor:
        output = self.model(
            image=None, text=self.text, image_latent=self.latent, image_embs=self.tokens, output_labels=False
        )
        return output["logits"][:, -1]

    def extend(self, parents: Tensor, tokens: Tensor) -> Tensor:
        torch = import_optional("torch", extra="torch")
        self.latent, self.tokens = self.latent[parents], self.tokens[parents]
        self.text = torch.cat([self.text[parents], tokens[:, None]], dim=1)
        return self.start()
