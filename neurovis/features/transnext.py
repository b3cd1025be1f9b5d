"""TransNeXt: every token attends at once to its neighbours and to a pooled map of the whole image.

Shi (2024) TransNeXt: robust foveal visual perception for vision transformers. CVPR. Written from the paper's
equations; names of parameters are those of the authors' weights (https://github.com/DaiShiResearch/TransNeXt,
Apache-2.0), which load unchanged and are not shipped here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from neurovis.core import check_option, import_optional
from neurovis.features.preprocessing import LibraryPreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import HUB, build_pretrained, build_seeded, load_checkpoint

DEFAULT_LAYERS = ("norm1", "norm2", "norm3", "norm4")
_STRIDES = (4, 8, 16, 32)
_MLP_RATIOS = (8, 8, 4, 4)
_WINDOW = 3
_N_LOCAL = _WINDOW**2
_N_BIAS = 512
_MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Variant:
    """Channels, heads and blocks of the four stages."""

    channels: tuple[int, ...]
    heads: tuple[int, ...]
    depths: tuple[int, ...]


VARIANTS = {
    "micro": Variant((48, 96, 192, 384), (2, 4, 8, 16), (2, 2, 15, 2)),
    "tiny": Variant((72, 144, 288, 576), (3, 6, 12, 24), (2, 2, 15, 2)),
    "small": Variant((72, 144, 288, 576), (3, 6, 12, 24), (5, 5, 22, 5)),
    "base": Variant((96, 192, 384, 768), (4, 8, 16, 32), (5, 5, 23, 5)),
}


class RelativePlaces(nn.Module):
    """Distances from all tokens of a map to those of the pooled map, by the maps' sides.

    Their unit is that of the map that was trained on, of side ``n_trained``.
    """

    table: Tensor
    index: Tensor

    def __init__(self, n_queries: int, n_keys: int, n_trained: int) -> None:
        super().__init__()
        queries = np.arange(n_queries)
        keys = queries.reshape(n_keys, -1).mean(axis=1)
        unique, index = np.unique(queries[:, None] - keys, return_inverse=True)
        scaled = torch.from_numpy(8 * unique / (n_trained - 1)).float()
        # The log-spaced continuous position bias: sign(d) log2(1 + |d|) / log2(8).
        spaced = scaled.sign() * scaled.abs().log1p() / math.log(8)
        self.register_buffer("table", torch.cartesian_prod(spaced, spaced), persistent=False)
        # Rows and columns have the same distances, so pairs of tokens are pairs of their places in the list.
        index = index.reshape(n_queries, n_keys)
        pairs = index[:, None, :, None] * len(unique) + index[None, :, None, :]
        places = torch.from_numpy(pairs.reshape(n_queries**2, n_keys**2))
        self.register_buffer("index", places, persistent=False)


class CosineAttention(nn.Module):
    """Temperature, query embedding and position bias, which both kinds of attention share."""

    def __init__(self, n_channels: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        # softplus(temperature) starts at 1 / 0.24.
        self.temperature = nn.Parameter(torch.full((n_heads, 1, 1), math.log(math.expm1(1 / 0.24))))
        self.query_embedding = nn.Parameter(torch.empty(n_heads, 1, n_channels // n_heads))
        nn.init.trunc_normal_(self.query_embedding, std=0.02)
        self.cpb_fc1 = nn.Linear(2, _N_BIAS)
        self.cpb_fc2 = nn.Linear(_N_BIAS, n_heads)
        self.proj = nn.Linear(n_channels, n_channels)

    def split_heads(self, x: Tensor) -> Tensor:
        """(n, tokens, channels) to (n, heads, tokens, channels of a head)."""
        return x.unflatten(2, (self.n_heads, -1)).transpose(1, 2)

    def scale_queries(self, unit: Tensor, log_length: Tensor | float) -> Tensor:
        """Unit queries (n, heads, tokens, d) with their embedding, times softplus(tau) ln(number of keys)."""
        return (unit + self.query_embedding) * functional.softplus(self.temperature) * log_length

    def compute_bias(self, places: RelativePlaces) -> Tensor:
        """Position bias (heads, queries, keys)."""
        bias = self.cpb_fc2(functional.relu(self.cpb_fc1(places.table)))
        return bias[places.index].permute(2, 0, 1)


class GlobalAttention(CosineAttention):
    """Length-scaled cosine attention among all tokens: the last stage."""

    def __init__(self, n_channels: int, n_heads: int, side: int) -> None:
        super().__init__(n_channels, n_heads)
        self.qkv = nn.Linear(n_channels, 3 * n_channels)
        self.log_length = math.log(side**2)

    def forward(self, x: Tensor, places: RelativePlaces) -> Tensor:
        """Tokens (n, side^2, channels) to the same shape."""
        q, k, v = (self.split_heads(part) for part in self.qkv(x).chunk(3, dim=2))
        queries = self.scale_queries(functional.normalize(q, dim=-1), self.log_length)
        similarity = queries @ functional.normalize(k, dim=-1).mT + self.compute_bias(places)
        return self.proj((similarity.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))


class AggregatedAttention(CosineAttention):
    """One softmax over the 3 x 3 neighbours of a token, its fovea, and a pooled map, its periphery.

    ``side`` and ``n_pooled`` are the sides of the map of tokens and of the pooled map.
    """

    outside: Tensor
    log_length: Tensor

    def __init__(self, n_channels: int, n_heads: int, side: int, n_pooled: int) -> None:
        super().__init__(n_channels, n_heads)
        self.side, self.n_pooled = side, n_pooled
        d = n_channels // n_heads
        self.q = nn.Linear(n_channels, n_channels)
        self.kv = nn.Linear(n_channels, 2 * n_channels)
        self.sr = nn.Conv2d(n_channels, n_channels, 1)
        self.norm = nn.LayerNorm(n_channels)
        self.relative_pos_bias_local = nn.Parameter(torch.empty(n_heads, _N_LOCAL))
        nn.init.trunc_normal_(self.relative_pos_bias_local, std=0.0004)
        self.learnable_tokens = nn.Parameter(torch.empty(n_heads, d, _N_LOCAL))
        nn.init.trunc_normal_(self.learnable_tokens, std=0.02)
        self.learnable_bias = nn.Parameter(torch.zeros(n_heads, 1, _N_LOCAL))
        neighbour = np.arange(side)[:, None] + np.arange(_WINDOW) - _WINDOW // 2
        valid = (neighbour >= 0) & (neighbour < side)
        inside = (valid[:, None, :, None] & valid[None, :, None, :]).reshape(side**2, _N_LOCAL)
        self.register_buffer("outside", torch.from_numpy(~inside), persistent=False)
        log_length = np.log(inside.sum(axis=1, keepdims=True) + n_pooled**2)
        self.register_buffer("log_length", torch.from_numpy(log_length).float(), persistent=False)

    def attend(self, x: Tensor, places: RelativePlaces) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Weights of the neighbours (n, heads, side^2, 9), row by row, and of the pooled map, which sum to 1.

        Also unit queries, values of tokens and values of the pooled map, by heads.
        """
        unit = functional.normalize(self.split_heads(self.q(x)), dim=-1)
        queries = self.scale_queries(unit, self.log_length)
        k, v = (self.split_heads(part) for part in self.kv(x).chunk(2, dim=2))
        neighbours = self._shift(functional.normalize(k, dim=-1))
        local = torch.stack([(queries * shifted).sum(dim=-1) for shifted in neighbours], dim=-1)
        local = local + self.relative_pos_bias_local[:, None]
        image = x.mT.unflatten(2, (self.side, self.side))
        overview = functional.adaptive_avg_pool2d(functional.gelu(self.sr(image)), self.n_pooled)
        overview = self.norm(overview.flatten(2).mT)
        pooled_k, pooled_v = (self.split_heads(part) for part in self.kv(overview).chunk(2, dim=2))
        pooled = queries @ functional.normalize(pooled_k, dim=-1).mT + self.compute_bias(places)
        similarity = torch.cat([local.masked_fill(self.outside, -math.inf), pooled], dim=-1)
        local, pooled = similarity.softmax(dim=-1).split([_N_LOCAL, self.n_pooled**2], dim=-1)
        return local, pooled, unit, v, pooled_v

    def forward(self, x: Tensor, places: RelativePlaces) -> Tensor:
        """Tokens (n, side^2, channels) to the same shape."""
        local, pooled, unit, v, pooled_v = self.attend(x, places)
        # Positional attention that does not depend on keys; not part of the softmax.
        local = local + unit @ self.learnable_tokens + self.learnable_bias
        mixed = pooled @ pooled_v
        for number, shifted in enumerate(self._shift(v)):
            mixed = mixed + local[..., number, None] * shifted
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _shift(self, tokens: Tensor) -> Iterator[Tensor]:
        """The nine neighbours of every token (n, heads, side^2, d), zero outside: a ninth of the memory."""
        side = self.side
        framed = functional.pad(tokens.unflatten(2, (side, side)), (0, 0, 1, 1, 1, 1))
        for row in range(_WINDOW):
            for column in range(_WINDOW):
                yield framed[:, :, row : row + side, column : column + side].flatten(2, 3)


class DepthwiseConv(nn.Module):
    """A 3x3 convolution of every channel."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(n_channels, n_channels, 3, padding=1, groups=n_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (n, side^2, channels) to the same shape."""
        side = math.isqrt(x.shape[1])
        return self.dwconv(x.mT.unflatten(2, (side, side))).flatten(2).mT


class ConvolutionalGLU(nn.Module):
    """Gated linear unit whose gate sees its neighbours: GELU(DWConv(x)) times v."""

    def __init__(self, n_channels: int, ratio: int) -> None:
        super().__init__()
        hidden = 2 * ratio * n_channels // 3
        self.fc1 = nn.Linear(n_channels, 2 * hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, n_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (n, side^2, channels) to the same shape."""
        gate, value = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(functional.gelu(self.dwconv(gate)) * value)


class Block(nn.Module):
    """Attention and gated unit, each after a layer norm and beside a shortcut."""

    def __init__(self, n_channels: int, attention: nn.Module, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(n_channels, eps=1e-6)
        self.attn = attention
        self.norm2 = nn.LayerNorm(n_channels, eps=1e-6)
        self.mlp = ConvolutionalGLU(n_channels, ratio)

    def forward(self, x: Tensor, places: RelativePlaces) -> Tensor:
        """Tokens (n, side^2, channels) to the same shape."""
        x = x + self.attn(self.norm1(x), places)
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Overlapping strided convolution to normalised tokens."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(n_out)

    def forward(self, image: Tensor) -> Tensor:
        """Map (n, n_in, h, w) to tokens (n, h w / stride^2, n_out)."""
        return self.norm(self.proj(image).flatten(2).mT)


class TransNeXt(nn.Module):
    """Images (n, 3, size_px, size_px) to logits.

    Parameters
    ----------
    variant : Variant
        One of :data:`VARIANTS`.
    size_px : int
        Side of the images, a multiple of 32. Weights for 224 px load into a network for any size.
    trained_px : int
        Side of the images in pre-training.
    n_classes : int

    Raises
    ------
    ValueError
        If a size is no positive multiple of 32.

    Notes
    -----
    Stages give tokens row by row: ``norm1`` to ``norm4`` (n, 3136, c1), (n, 784, c2), (n, 196, c3) and
    (n, 49, c4) at 224 px. Dropout and stochastic depth of the authors' training are left out.
    """

    def __init__(
        self, variant: Variant, *, size_px: int = 224, trained_px: int = 224, n_classes: int = 1000
    ) -> None:
        super().__init__()
        for name, value in (("size_px", size_px), ("trained_px", trained_px)):
            if value < 64 or value % 32:
                raise ValueError(
                    f"{name} must be a multiple of 32 from 64, got {value}; pass for example 224."
                )
        self.size_px, self.n_pooled = size_px, size_px // _STRIDES[-1]
        inputs = (3, *variant.channels)
        for number, stride in enumerate(_STRIDES):
            n_channels, n_heads, side = variant.channels[number], variant.heads[number], size_px // stride
            kernel, step = (7, 4) if number == 0 else (3, 2)
            blocks = nn.ModuleList(
                Block(n_channels, self._make_attention(n_channels, n_heads, side), _MLP_RATIOS[number])
                for _ in range(variant.depths[number])
            )
            setattr(
                self, f"patch_embed{number + 1}", PatchEmbedding(inputs[number], n_channels, kernel, step)
            )
            setattr(self, f"places{number + 1}", RelativePlaces(side, self.n_pooled, trained_px // stride))
            setattr(self, f"block{number + 1}", blocks)
            setattr(self, f"norm{number + 1}", nn.LayerNorm(n_channels, eps=1e-6))
        self.head = nn.Linear(variant.channels[-1], n_classes)
        self.apply(_initialise)

    def _make_attention(self, n_channels: int, n_heads: int, side: int) -> CosineAttention:
        if side == self.n_pooled:
            return GlobalAttention(n_channels, n_heads, side)
        return AggregatedAttention(n_channels, n_heads, side, self.n_pooled)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, n_classes).

        Raises
        ------
        ValueError
            If the images are not (n, 3, size_px, size_px).
        """
        if images.ndim != 4 or images.shape[1:] != (3, self.size_px, self.size_px):
            raise ValueError(
                f"images must have shape (n, 3, {self.size_px}, {self.size_px}), got {tuple(images.shape)}; "
                "resize them or build the network with size_px of the images."
            )
        x = images
        for number, stride in enumerate(_STRIDES):
            embed, places, blocks, norm = (
                getattr(self, f"{part}{number + 1}") for part in ("patch_embed", "places", "block", "norm")
            )
            x = embed(x)
            for block in blocks:
                x = block(x, places)
            x = norm(x)
            if stride < _STRIDES[-1]:
                side = self.size_px // stride
                x = x.mT.unflatten(2, (side, side))
        return self.head(x.mean(dim=1))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels / module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def compute_foveal_index(network: TransNeXt, images: Tensor) -> dict[str, NDArray[np.float32]]:
    """Share of attention that tokens give to their 3 x 3 neighbours, head by head.

    Parameters
    ----------
    network : TransNeXt
        Put into evaluation mode.
    images : Tensor of shape (n, 3, size_px, size_px)

    Returns
    -------
    dict of str to array of shape (n_heads,)
        Of each block with aggregated attention, averaged over images and tokens.
    """
    network.eval()
    found: dict[str, NDArray[np.float32]] = {}

    def listen(name: str, attention: AggregatedAttention, inputs: tuple[Any, ...]) -> None:
        found[name] = attention.attend(*inputs)[0].sum(dim=-1).mean(dim=(0, 2)).cpu().numpy()

    with ExitStack() as stack, torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, AggregatedAttention):
                handle = module.register_forward_pre_hook(partial(listen, name.removesuffix(".attn")))
                stack.callback(handle.remove)
        network(images)
    return found


def make_transnext(
    size: str = "micro",
    *,
    layers: tuple[str, ...] = DEFAULT_LAYERS,
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    size_px: int = 224,
    pool: int | None = 4,
    tokens: str = "patches",
) -> ModuleFeatures:
    """Feature space ``transnext:<size>``.

    Parameters
    ----------
    size : {"micro", "tiny", "small", "base"}
    layers : tuple of str
        Default: the normalised tokens of the four stages.
    pretrained : bool
        Use the authors' weights for 224 px, downloaded once from the hub of Hugging Face.
    checkpoint : path, optional
        Local weights instead, e.g. ``transnext_micro_224_1k.pth``.
    seed : int
        Of the random weights if ``pretrained`` is false.
    size_px : int
        Side of the input, a multiple of 32; weights for 224 px fit any.
    pool, tokens
        As in :class:`neurovis.features.reduction.Reduction`.

    Raises
    ------
    ValueError
        If the size or a layer is unknown, ``size_px`` no multiple of 32, or the checkpoint does not fit.
    FileNotFoundError
        If the weights are not here and cannot be fetched; the message says where they come from.

    Notes
    -----
    Images are prepared as in the authors' evaluation: bicubic, the shorter side to ``size_px / 0.875`` and
    the central part of it; from 384 px on the whole image is resized.
    """
    check_option("size", size, VARIANTS)
    name = f"transnext:{size}"

    def build() -> TransNeXt:
        return TransNeXt(VARIANTS[size], size_px=size_px)

    if checkpoint is not None:
        module = load_checkpoint(build_seeded(build, seed), checkpoint)
    elif pretrained:
        repository = f"DaiShiResearch/transnext-{size}-224-1k"

        def fetch() -> TransNeXt:
            hub = import_optional("huggingface_hub", extra="torch")
            path = hub.hf_hub_download(repository, f"transnext_{size}_224_1k.pth")
            return load_checkpoint(build_seeded(build, seed), path)

        module = build_pretrained(fetch, name=name, origin=f"{HUB}/{repository}")
    else:
        module = build_seeded(build, seed)
    return ModuleFeatures(
        name, module.eval(), layers, _make_preprocessing(size_px), pool, tokens, n_prefix_tokens=0
    )  # fmt: skip


def _make_preprocessing(size_px: int) -> LibraryPreprocessing:
    transforms = import_optional("torchvision.transforms", extra="torch")
    bicubic = transforms.InterpolationMode.BICUBIC
    resize = (
        [transforms.Resize((size_px, size_px), bicubic)]
        if size_px >= 384
        else [transforms.Resize(int(size_px / 0.875), bicubic), transforms.CenterCrop(size_px)]
    )
    transform = transforms.Compose([*resize, transforms.ToTensor(), transforms.Normalize(*_MEAN_STD)])
    return LibraryPreprocessing(transform, repr(transform))
