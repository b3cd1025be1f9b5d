"""The network of the flow decoder (arXiv 2406.02659, section on the motion decoder). Imports torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedBlock(nn.Module):
    """Residual 1 x 1 convolutions whose channels are gated by their mean over places.

    Where the paper pools over places is not known in public; here the pooled features open a
    squeeze-and-excite gate (Hu et al., CVPR 2018).
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width), nn.GELU(), nn.Conv2d(width, width, 1),
            nn.GELU(), nn.Dropout(dropout), nn.Conv2d(width, width, 1),
        )  # fmt: skip
        self.gate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, width, h, w) to maps of the same shape."""
        added = self.body(x)
        gate = torch.sigmoid(self.gate(added.mean((2, 3))))
        return x + added * gate[:, :, None, None]


class FlowNetwork(nn.Module):
    """Brain (n, n_voxels) and frame (n, n_channels, h, w) to (n, n_outputs, h, w).

    A perceptron turns the responses into a vector that is laid over all places beside the frame's features;
    residual blocks follow.

    Parameters
    ----------
    n_voxels, n_channels, n_outputs : int
        Sizes; 0 voxels or 0 channels leave that branch out, not both.
    width, n_blocks : int
        Of the convolutions.
    brain_width : int
        Length of the vector; the hidden layer has twice that.
    dropout : float
        In every block and in the perceptron.

    Raises
    ------
    ValueError
        If both branches are left out.
    """

    def __init__(
        self,
        n_voxels: int,
        n_channels: int,
        n_outputs: int,
        *,
        width: int = 64,
        n_blocks: int = 2,
        brain_width: int = 32,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not n_voxels and not n_channels:
            raise ValueError("n_voxels or n_channels must be positive, got 0 and 0; decode from one of them.")
        self.sees_frame = n_channels > 0
        self.brain = None
        if n_voxels:
            self.brain = nn.Sequential(
                nn.Linear(n_voxels, 2 * brain_width), nn.GELU(), nn.Dropout(dropout),
                nn.Linear(2 * brain_width, brain_width),
            )  # fmt: skip
        self.enter = nn.Conv2d(n_channels + (brain_width if n_voxels else 0), width, 1)
        self.blocks = nn.Sequential(*(GatedBlock(width, dropout) for _ in range(n_blocks)))
        self.leave = nn.Conv2d(width, n_outputs, 1)

    def forward(self, brain: Tensor, frame: Tensor) -> Tensor:
        """Outputs at every place of the frame; what the network does not read gives only its shape."""
        parts = [frame] if self.sees_frame else []
        if self.brain is not None:
            vector = self.brain(brain)[:, :, None, None]
            parts.append(vector.expand(-1, -1, *frame.shape[2:]))
        return self.leave(self.blocks(self.enter(torch.cat(parts, dim=1))))
