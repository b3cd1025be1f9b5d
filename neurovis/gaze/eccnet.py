"""eccNET: search by matching a target's features with those of a display whose grain falls with eccentricity.

Gupta, Zhang, Wu, Wolfe & Kreiman (2021) Visual search asymmetry: deep nets and humans share similar inherent
biases. NeurIPS (arXiv 2106.02953). With ordinary pools and one layer the same code is IVSN: Zhang et al.
(2018) Finding any Waldo with zero-shot invariant and efficient visual search. Nature Communications 9:3730.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.core import check_array, check_option
from neurovis.foveation.eccentric_pooling import ECCNET_SLOPES, EccentricPool2d
from neurovis.gaze.search import Attend, Glance, SearchSetup
from neurovis.gaze.search_protocols import SearchProtocol
from neurovis.gaze.vgg import Backbone

POOLINGS = ("eccentric", "average", "max")
PRECISIONS = ("float32", "bfloat16")
N_COMPARED = 3
_FOURIER_KERNEL_PX = 12
# OpenCV's kernels up to size 7 where no sigma is given; larger ones follow a formula.
_FIXED_KERNELS = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
}


@dataclass(frozen=True)
class EccNet:
    """A searcher that attends to what matches the target's features.

    Parameters
    ----------
    backbone : Backbone
        Stages between which this model pools, e.g. of :func:`neurovis.gaze.vgg.load_vgg_world`.
    pooling : {"eccentric", "average", "max"}
        Average pools that grow with eccentricity, or ordinary ones of 2 x 2.
    layer_weights : tuple of float
        Use of the last three stages, from the third last; (0, 0, 1) compares the top alone.
    slopes : tuple of float
        Growth of the pool behind each stage with eccentricity, if it is eccentric.
    name : str
        Of the searcher.
    device : str
        Torch device.
    precision : {"float32", "bfloat16"}
        Of the convolutions. The short one takes about three quarters of the time on processors that have it,
        and flips near ties.

    Raises
    ------
    ValueError
        If an option is unknown, the weights are negative or all zero, or there are fewer stages than weights
        or slopes.

    Notes
    -----
    The display is compared before the pools of the last three stages, all brought to the grain of the last;
    the target behind them. So layers 9, 13 and 17 of VGG-16 meet layers 10, 14 and 18 of the target, and the
    last pool changes the target alone. What is computed equals one pass over the whole window; where the
    window shows nothing but background, features are those of an empty window, which are computed once.

    Authors' models: ``EccNet(backbone)``; IVSN :func:`make_ivsn`; "without eccentricity"
    ``EccNet(backbone, pooling="max")``, which also changes the kind of pool: ``"average"`` changes
    eccentricity alone; "one layer" ``layer_weights=(0, 0, 1)``.
    """

    backbone: Backbone
    pooling: str = "eccentric"
    layer_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)
    slopes: tuple[float, ...] = ECCNET_SLOPES
    name: str = "eccNET"
    device: str = "cpu"
    precision: str = "float32"

    def __post_init__(self) -> None:
        check_option("pooling", self.pooling, POOLINGS)
        check_option("precision", self.precision, PRECISIONS)
        weights = check_array("layer_weights", self.layer_weights, shape=(N_COMPARED,), minimum=0)
        n_stages = len(self.backbone.stages)
        if not weights.any() or n_stages < N_COMPARED or len(self.slopes) != n_stages:
            raise ValueError(
                "layer_weights must not all be zero and slopes must have one entry for each of at least 3 "
                f"stages, got {self.layer_weights}, {len(self.slopes)} slopes and {n_stages} stages."
            )
        # Narrow stages are three times faster with the channels last.
        self.backbone.stages.to(self.device).to(memory_format=torch.channels_last)

    def begin(self, setup: SearchSetup) -> Attend:
        """Prepare the window; each target is looked at once, nothing is random."""
        task, protocol = setup.task, setup.protocol
        window = _Window(self, task.size_px, protocol)
        kernels: dict[int, list[Tensor]] = {}
        target_of = task.trials["target_index"].to_numpy()

        def attend(glance: Glance) -> NDArray[np.float32]:
            for index in {int(number) for number in target_of[glance.trials]} - set(kernels):
                kernels[index] = self.compute_target_features(task.targets[index], protocol)
            # On a processor one window after the other stays in cache and in memory that is at hand.
            n_parts = len(glance.trials) if self.device == "cpu" else 1
            maps = []
            with torch.inference_mode():
                for rows in np.array_split(np.arange(len(glance.trials)), n_parts):
                    fixations = glance.fixations[rows]
                    layers = window.compute_features(glance.images[rows], fixations)
                    found = [
                        self._combine(
                            [layer[place] for layer in layers], kernels[int(target_of[trial])], protocol
                        )
                        for place, trial in enumerate(glance.trials[rows])
                    ]
                    maps.append(window.crop_maps(torch.stack(found), fixations))
            return np.concatenate(maps)

        return attend

    def compute_target_features(self, target: NDArray[np.uint8], protocol: SearchProtocol) -> list[Tensor]:
        """Features (c, h, w) of a target's picture behind the pools of the last three stages, at one grain.

        Parameters
        ----------
        target : uint8 array of shape (height, width, 3)
            The picture.
        protocol : SearchProtocol
            Its pixels per degree.
        """
        with torch.inference_mode():
            x = self.backbone.prepare(target[None]).to(self.device)
            plain = _make_plain_pool(self)
            found: list[Tensor] = []
            for depth, stage in enumerate(self.backbone.stages):
                x = _run_stage(self, stage, x)
                x = _make_pool(self, depth, max(x.shape[-2:]), protocol)(x)
                found = [plain(layer) for layer in found] + [x]
            return [layer[0] for layer in found[-N_COMPARED:]]

    def _combine(
        self, layers: Sequence[Tensor], kernels: Sequence[Tensor], protocol: SearchProtocol
    ) -> Tensor:
        """Attention over the window (n, n) from the features of one display and one target."""
        total, sum_of_weights = torch.zeros_like(layers[0][0]), 0.0
        for layer, kernel, use in zip(layers, kernels, self.layer_weights, strict=True):
            if not use:
                continue
            match = correlate(layer, kernel)
            low, high = match.min(), match.max()
            weight = use * (float(high) if protocol.weighting == "maximum" else 1.0)
            if high > low:
                total += weight * (match - low) / (high - low)
            sum_of_weights += weight
        return sharpen(total / sum_of_weights if sum_of_weights > 0 else total, protocol.kernels)


def make_ivsn(backbone: Backbone, *, device: str = "cpu") -> EccNet:
    """IVSN: the top layer alone, maximum pools, no eccentricity."""
    return EccNet(backbone, "max", (0.0, 0.0, 1.0), (0.0,) * len(backbone.stages), "IVSN", device)


def correlate(x: Tensor, kernel: Tensor) -> Tensor:
    """Cross-correlation of features with a target's features, summed over channels, at the size of ``x``.

    Parameters
    ----------
    x : Tensor of shape (c, height, width)
    kernel : Tensor of shape (c, h, w)
        Of an even side, the extra row and column of padding come last. Kernels of 12 and more are applied in
        the Fourier domain.

    Returns
    -------
    Tensor of shape (height, width)
    """
    height, width = kernel.shape[-2:]
    top, left = (height - 1) // 2, (width - 1) // 2
    padded = nn.functional.pad(x, (left, width - 1 - left, top, height - 1 - top))
    if min(height, width) < _FOURIER_KERNEL_PX:
        return nn.functional.conv2d(padded[None], kernel[None])[0, 0]
    size = padded.shape[-2:]
    spectrum = (torch.fft.rfft2(padded, size) * torch.fft.rfft2(kernel, size).conj()).sum(dim=0)
    return torch.fft.irfft2(spectrum, size)[: x.shape[-2], : x.shape[-1]]


def sharpen(x: Tensor, kernels: Sequence[tuple[int, float]], *, n_passes: int = 3) -> Tensor:
    """Add the difference of a narrow and a wide Gaussian, three times.

    Parameters
    ----------
    x : Tensor of shape (height, width)
    kernels : sequence of (size_px, sigma)
        Narrow and wide kernel. A sigma of 0 stands for OpenCV's own kernels: fixed ones up to a size of 7,
        else 0.3 ((size - 1) / 2 - 1) + 0.8. Borders are mirrored without repeating the edge.
    """
    narrow, wide = ((_make_gaussian(*kernel).to(x), kernel[0] // 2) for kernel in kernels)
    for _ in range(n_passes):
        x = x + _blur(x, *narrow) - _blur(x, *wide)
    return x


def _make_gaussian(size: int, sigma: float) -> Tensor:
    if sigma == 0 and size in _FIXED_KERNELS:
        return torch.tensor(_FIXED_KERNELS[size])
    width = sigma or 0.3 * ((size - 1) / 2 - 1) + 0.8
    kernel = torch.exp(-((torch.arange(size) - size // 2) ** 2) / (2 * width**2))
    return kernel / kernel.sum()


def _blur(x: Tensor, kernel: Tensor, reach: int) -> Tensor:
    padded = nn.functional.pad(x[None, None], (reach,) * 4, mode="reflect")
    return nn.functional.conv2d(
        nn.functional.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)
    )[0, 0]


def _make_pool(model: EccNet, depth: int, n_in: int, protocol: SearchProtocol) -> nn.Module:
    """The model's own pool behind a stage, for maps of this side."""
    if model.pooling != "eccentric" or n_in < 2:
        return _make_plain_pool(model)
    # Half to even, as in the reference: 30, 15, 8, 4 and 2 pixels per degree.
    px_per_deg = round(protocol.px_per_dva / 2**depth)
    if px_per_deg < 2:
        raise ValueError(
            f"px_per_dva of protocol {protocol.name!r} must leave 2 pixels per degree at pool {depth + 1}, "
            f"got {protocol.px_per_dva}; enlarge images and targets, e.g. to 30 pixels per degree."
        )
    return EccentricPool2d(n_in, px_per_deg=px_per_deg, slope=model.slopes[depth]).to(model.device)


def _run_stage(model: EccNet, stage: nn.Module, x: Tensor) -> Tensor:
    """Output of a stage, in single precision whatever it was computed in."""
    short = model.precision == "bfloat16"
    with torch.autocast(torch.device(model.device).type, torch.bfloat16, enabled=short):
        return stage(x).float()


def _make_plain_pool(model: EccNet) -> nn.Module:
    if model.pooling == "max":
        return nn.MaxPool2d(2, ceil_mode=True)
    return nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)


class _Window:
    """What the model sees: a square of twice the image's height and the margin, centred on the fixation."""

    def __init__(self, model: EccNet, size_px: tuple[int, int], protocol: SearchProtocol) -> None:
        self.model, self.size_px, self.protocol = model, size_px, protocol
        self.half, self.plain = size_px[0] + protocol.margin_px, _make_plain_pool(model)
        stages = model.backbone.stages
        empty = self._fill(
            np.empty((0, 2), dtype=np.int64), np.empty((0, *size_px, 3), dtype=np.uint8), blank=True
        )
        self.n_early = len(stages) - N_COMPARED + 1
        with torch.inference_mode():
            self.empty = self._compute_early(empty)
            side = self.empty.shape[-1]
            self.pools = []
            for depth in range(self.n_early - 1, len(stages) - 1):
                self.pools.append(_make_pool(model, depth, side, protocol))
                side = (side + 1) // 2
        self.grow = _make_area_matrix(side, 2 * self.half).to(model.device)
        # Pixels that one feature sees on each side, and one step of the features; None if not known.
        self.reach = _compute_reach(stages[: self.n_early])
        self.step = 2 ** (self.n_early - 1)

    def compute_features(self, images: NDArray[np.uint8], fixations: NDArray[np.int64]) -> list[Tensor]:
        """Last three stages before their pools, at the grain of the last: (n, c, side, side) each."""
        x = self._compute_visible(images, fixations)
        found = [x]
        for pool, stage in zip(self.pools, self.model.backbone.stages[self.n_early :], strict=True):
            x = _run_stage(self.model, stage, pool(x))
            found = [self.plain(layer) for layer in found] + [x]
        return found

    def crop_maps(self, maps: Tensor, fixations: NDArray[np.int64]) -> NDArray[np.float32]:
        """Maps (n, side, side) of windows to (n, height, width) of images; minus infinity out of sight."""
        grown = (self.grow @ maps @ self.grow.T).float().cpu().numpy()
        height, width = self.size_px
        found = np.full((len(maps), height, width), -np.inf, dtype=np.float32)
        sight = self.half - self.protocol.margin_px
        for row, (down, across) in enumerate(fixations):
            top, left = max(down - sight, 0), max(across - sight, 0)
            bottom, right = min(down + sight, height), min(across + sight, width)
            dy, dx = self.half - down, self.half - across
            found[row, top:bottom, left:right] = grown[row, top + dy : bottom + dy, left + dx : right + dx]
        return found

    def _compute_visible(self, images: NDArray[np.uint8], fixations: NDArray[np.int64]) -> Tensor:
        """Features of the early stages, (n, c, side, side)."""
        height, width = self.size_px
        if self.reach is None:
            return self._compute_early(self._fill(fixations, images))
        # Features within reach of the image are computed from a cut that reaches twice as far, since its
        # border spoils the outer ones; the others are those of the empty window.
        spoilt = -(-self.reach // self.step)
        more = spoilt * self.step + self.reach
        if more + self.step > self.protocol.margin_px or width != height:
            return self._compute_early(self._fill(fixations, images))
        first = (self.half - fixations - more) // self.step * self.step
        side = -(-(height + 2 * more + self.step) // self.step) * self.step
        cut = self._compute_early(self._fill(fixations, images, first=first, side=side))
        inner = cut[:, :, spoilt:-spoilt, spoilt:-spoilt]
        visible = self.empty.expand(len(images), -1, -1, -1).clone(memory_format=torch.channels_last)
        n = inner.shape[-1]
        for row, (top, left) in enumerate(first // self.step + spoilt):
            visible[row, :, top : top + n, left : left + n] = inner[row]
        return visible

    def _fill(
        self,
        fixations: NDArray[np.int64],
        images: NDArray[np.uint8],
        *,
        first: NDArray[np.int64] | None = None,
        side: int | None = None,
        blank: bool = False,
    ) -> NDArray[np.uint8]:
        """Parts of the windows as pixels: from ``first`` (n, 2) on in the window, of this side."""
        side = side or 2 * self.half
        pixels = np.full(
            (max(len(images), int(blank)), side, side, 3), self.protocol.background, dtype=np.uint8
        )
        starts = self.half - fixations - (0 if first is None else first)
        for row, (image, start) in enumerate(zip(images, starts, strict=True)):
            top, left = np.maximum(start, 0)
            bottom, right = np.minimum(start + image.shape[:2], side)
            pixels[row, top:bottom, left:right] = image[
                top - start[0] : bottom - start[0], left - start[1] : right - start[1]
            ]
        return pixels

    def _compute_early(self, pixels: NDArray[np.uint8]) -> Tensor:
        x = self.model.backbone.prepare(pixels).to(self.model.device, memory_format=torch.channels_last)
        for depth, stage in enumerate(self.model.backbone.stages[: self.n_early]):
            x = _run_stage(self.model, stage, x)
            if depth < self.n_early - 1:
                x = self._pool_early(depth, x)
        return x

    def _pool_early(self, depth: int, x: Tensor) -> Tensor:
        if self.model.pooling == "eccentric" and self.model.slopes[depth]:
            return _make_pool(self.model, depth, max(x.shape[-2:]), self.protocol)(x)
        return self.plain(x)


def _compute_reach(stages: nn.ModuleList) -> int | None:
    """Pixels that a feature of plain convolutions with ordinary pools sees on each side; None for others."""
    reach, step = 0, 1
    for number, stage in enumerate(stages):
        if number:
            reach, step = reach + step, 2 * step
        for layer in stage.modules():
            if isinstance(layer, nn.Conv2d):
                reach += step * layer.dilation[0] * (layer.kernel_size[0] - 1) // 2
            elif not isinstance(layer, nn.Sequential | nn.ReLU | nn.BatchNorm2d | nn.Identity):
                return None
    return reach


def _make_area_matrix(n_in: int, n_out: int) -> Tensor:
    """Matrix (n_out, n_in) that resizes by the area that an output pixel shares with the input pixels."""
    edges = np.arange(n_out + 1) * n_in / n_out
    shared = np.minimum(edges[1:, None], np.arange(1, n_in + 1)) - np.maximum(
        edges[:-1, None], np.arange(n_in)
    )
    return torch.from_numpy((np.clip(shared, 0, None) * n_out / n_in).astype(np.float32))
