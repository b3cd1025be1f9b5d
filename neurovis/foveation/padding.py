"""Padding for log-polar images: the angle goes around, the radius ends.

A log-polar image has no left and right edge. Convolutions that pad columns circularly commute with shifts of
columns, that is with rotations about the fixation; circular padding of both axes, as in the authors' code,
would join the fovea to the rim.
"""

from __future__ import annotations

import copy
import math
from typing import TypeVar

from torch import Tensor, nn

from neurovis.core import check_option

R_MODES = ("zeros", "replicate")
Backbone = TypeVar("Backbone", bound=nn.Module)


class ThetaCircularPad(nn.Module):
    """Pad columns circularly and rows with zeros or with their last values.

    Parameters
    ----------
    n_rows, n_columns : int
        Rows and columns to add on either side.
    r_mode : {"zeros", "replicate"}
        What lies beyond the first and the last ring.
    fill : float
        Value instead of zero.

    Raises
    ------
    ValueError
        If a number is negative or the mode unknown.
    """

    def __init__(self, n_rows: int, n_columns: int, *, r_mode: str = "zeros", fill: float = 0.0) -> None:
        super().__init__()
        check_option("r_mode", r_mode, R_MODES)
        if min(n_rows, n_columns) < 0:
            raise ValueError(
                f"n_rows and n_columns must not be negative, got {n_rows} and {n_columns}; pass 0 for none."
            )
        self.n_rows, self.n_columns, self.r_mode, self.fill = n_rows, n_columns, r_mode, fill

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, rings, angles) to (n, c, rings + 2 n_rows, angles + 2 n_columns).

        Raises
        ------
        ValueError
            If there are fewer angles than columns to add.
        """
        if self.n_columns > x.shape[-1]:
            raise ValueError(
                f"x must have at least {self.n_columns} angles to go around, got shape {tuple(x.shape)}; "
                "sample more angles."
            )
        if self.n_columns:
            x = nn.functional.pad(x, (self.n_columns, self.n_columns, 0, 0), mode="circular")
        if not self.n_rows:
            return x
        rows = (0, 0, self.n_rows, self.n_rows)
        if self.r_mode == "replicate":
            return nn.functional.pad(x, rows, mode="replicate")
        return nn.functional.pad(x, rows, value=self.fill)

    def extra_repr(self) -> str:
        """Numbers and mode."""
        return f"{self.n_rows}, {self.n_columns}, r_mode={self.r_mode!r}, fill={self.fill}"


class ThetaConv2d(nn.Conv2d):
    """A convolution that pads with :class:`ThetaCircularPad`; its state is that of ``nn.Conv2d``."""

    r_mode = "zeros"

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padded = _pad(x, self.padding, self.r_mode, 0.0)
        return nn.functional.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """As of ``nn.Conv2d``, with the mode of padding."""
        return f"{super().extra_repr()}, theta circular, r_mode={self.r_mode!r}"


class ThetaMaxPool2d(nn.MaxPool2d):
    """Largest value of windows that go around the circle; rings beyond the ends never win."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, rings, angles) to smaller ones."""
        padded = _pad(x, self.padding, "zeros", -math.inf)
        return nn.functional.max_pool2d(
            padded, self.kernel_size, self.stride, 0, self.dilation, ceil_mode=self.ceil_mode
        )


class ThetaAvgPool2d(nn.AvgPool2d):
    """Mean of windows that go around the circle; the first and the last ring are repeated."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, rings, angles) to smaller ones."""
        padded = _pad(x, self.padding, "replicate", 0.0)
        return nn.functional.avg_pool2d(padded, self.kernel_size, self.stride, 0, ceil_mode=self.ceil_mode)


def convert_padding(model: Backbone, *, r_mode: str = "zeros") -> Backbone:
    """Copy of a network whose padded layers go around the circle of angles.

    Parameters
    ----------
    model : torch.nn.Module
        Any network of ``nn.Conv2d``, ``nn.MaxPool2d`` and ``nn.AvgPool2d``, e.g. of torchvision or timm.
    r_mode : {"zeros", "replicate"}
        Padding of convolutions beyond the first and the last ring.

    Returns
    -------
    torch.nn.Module
        Same names, weights and mode; ``load_state_dict`` takes the same checkpoints.

    Raises
    ------
    TypeError
        If a layer pads in a way of its own: a subclass of ``nn.Conv2d``, or ``padding="same"`` of an even
        kernel or with a stride.
    ValueError
        If the mode is unknown or no layer pads.
    """
    check_option("r_mode", r_mode, R_MODES)
    model = copy.deepcopy(model)
    converted = [_convert(name, layer, r_mode) for name, layer in model.named_modules()]
    found = {name: new for (name, _), new in zip(model.named_modules(), converted, strict=True) if new}
    if not found:
        raise ValueError("model must hold a layer that pads, got none; there is nothing to convert.")
    if "" in found:
        return found[""]  # type: ignore[return-value]
    for name, layer in found.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer)
    return model


def _convert(name: str, layer: nn.Module, r_mode: str) -> nn.Module | None:
    """Layer that replaces this one; None for one that does not pad."""
    if isinstance(layer, nn.Conv2d):
        if layer.padding == "valid" or not any(_find_padding(name, layer)):
            return None
        if type(layer) not in (nn.Conv2d, ThetaConv2d):
            raise TypeError(
                f"model must pad in plain nn.Conv2d layers, got {type(layer).__name__} at {name!r}; replace "
                "that layer first."
            )
        new = ThetaConv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,  # type: ignore[arg-type]
            _find_padding(name, layer), layer.dilation, layer.groups,  # type: ignore[arg-type]
            bias=layer.bias is not None, device="meta",
        )  # fmt: skip
        new.weight, new.bias, new.r_mode = layer.weight, layer.bias, r_mode
        return new.train(layer.training)
    if isinstance(layer, nn.MaxPool2d) and any(_pair(layer.padding)):
        return ThetaMaxPool2d(
            layer.kernel_size, layer.stride, layer.padding, layer.dilation, ceil_mode=layer.ceil_mode
        )
    if isinstance(layer, nn.AvgPool2d) and any(_pair(layer.padding)):
        return ThetaAvgPool2d(layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)
    return None


def _find_padding(name: str, layer: nn.Conv2d) -> tuple[int, int]:
    if layer.padding != "same":
        return _pair(layer.padding)  # type: ignore[arg-type]
    total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    if any(n % 2 for n in total):
        raise TypeError(
            f"model must pad both sides alike, got padding='same' of kernel {layer.kernel_size} at {name!r}; "
            "replace that layer first."
        )
    return total[0] // 2, total[1] // 2


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _pad(x: Tensor, padding: object, r_mode: str, fill: float) -> Tensor:
    n_rows, n_columns = _pair(padding)  # type: ignore[arg-type]
    return ThetaCircularPad(n_rows, n_columns, r_mode=r_mode, fill=fill)(x)
