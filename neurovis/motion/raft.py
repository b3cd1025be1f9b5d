"""RAFT: recurrent all-pairs field transforms for optical flow (Teed & Deng, ECCV 2020), from torchvision.

Code and weights: torchvision (BSD-3-Clause); the default weights were trained on FlyingChairs and
FlyingThings3D, those of the large model on further sets as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, import_optional

if TYPE_CHECKING:
    from torch import nn

SIZES = ("small", "large")
_STRIDE = 8
# What PyTorch raises of a file that holds no weights, or others.
_UNREADABLE = (
    RuntimeError, TypeError, ValueError, LookupError, AttributeError, OSError, EOFError, struct.error,
    UnpicklingError,
)  # fmt: skip
_SMALLEST_PX = 128  # the coarsest of four levels of correlations needs two places


@dataclass(frozen=True, eq=False)
class RAFTFlow:
    """A RAFT network as a flow model.

    Parameters
    ----------
    network : torch.nn.Module
        As torchvision builds it, in evaluation mode.
    name : str
        In tables; says so if the weights are random.
    n_updates : int
        Recurrent updates.
    device : str
        Torch device of the computation.

    Notes
    -----
    Frames are resized bilinearly to the next multiple of 8, and to at least 128 px, and the flow back.
    """

    network: nn.Module
    name: str
    n_updates: int = 12
    device: str = "cpu"
    n_frames: ClassVar[int] = 2

    def __call__(self, frames: ArrayLike) -> NDArray[np.float32]:
        """Flow of two frames; as :class:`neurovis.motion.protocols.FlowModel`."""
        torch = import_optional("torch", extra="torch")
        pair = check_array("frames", frames, shape=(2, None, None, 3), remedy="pass two RGB frames")
        if pair.dtype != np.uint8:
            raise TypeError(f"frames must be uint8, got {pair.dtype}; scale them to 0-255 and convert.")
        height, width = pair.shape[1:3]
        inner = tuple(max(_SMALLEST_PX, -(-side // _STRIDE) * _STRIDE) for side in (height, width))
        resize = torch.nn.functional.interpolate
        images = torch.tensor(pair, dtype=torch.float32, device=self.device).permute(0, 3, 1, 2) / 127.5 - 1
        images = resize(images, inner, mode="bilinear", align_corners=False)
        with torch.inference_mode():
            flow = self.network.to(self.device)(images[:1], images[1:], num_flow_updates=self.n_updates)[-1]
        flow = resize(flow, (height, width), mode="bilinear", align_corners=False)[0].cpu().numpy()
        scale = np.array([width / inner[1], height / inner[0]], dtype=np.float32)
        return np.ascontiguousarray(flow.transpose(1, 2, 0) * scale, dtype=np.float32)


def make_raft(
    size: str = "small",
    *,
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    n_updates: int = 12,
    seed: int = 0,
    device: str = "cpu",
) -> RAFTFlow:
    """Build RAFT with published, given or random weights.

    Parameters
    ----------
    size : {"small", "large"}
        1.0 or 5.3 million parameters.
    pretrained : bool
        Take the weights that torchvision downloads, once, into ``checkpoints`` of ``torch.hub.get_dir()``;
        a file that was put there by hand is used as well. Otherwise random ones, whose flow means nothing.
    checkpoint : path, optional
        State dictionary of this architecture, a PyTorch file of tensors; used instead of a download.
    n_updates : int
        Recurrent updates.
    seed : int
        Of random weights.
    device : str
        Torch device.

    Raises
    ------
    FileNotFoundError
        If the weights are not here and cannot be fetched, or there is no such checkpoint.
    ValueError
        If the size is unknown, or the checkpoint or the downloaded file does not fit.
    """
    check_option("size", size, SIZES)
    check_array("n_updates", n_updates, ndim=0, minimum=1)
    torch = import_optional("torch", extra="torch")
    module = import_optional("torchvision.models.optical_flow", extra="torch")
    build: Callable[..., nn.Module] = getattr(module, f"raft_{size}")
    weights = getattr(module, f"Raft_{size.capitalize()}_Weights").DEFAULT
    if pretrained and checkpoint is None:
        network = _fetch(build, weights, size)
        return RAFTFlow(network.eval(), f"RAFT {size}", n_updates, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build().eval()
    if checkpoint is None:
        return RAFTFlow(network, f"RAFT {size}, random weights", n_updates, device)
    path = Path(checkpoint)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; check the path, or get them from {weights.url}.")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except _UNREADABLE as error:
        raise ValueError(f"{path} must hold weights of RAFT {size} ({error}); get it again.") from error
    return RAFTFlow(network, f"RAFT {size}, {path.stem}", n_updates, device)


def _fetch(build: Callable[..., nn.Module], weights: Any, size: str) -> nn.Module:
    torch = import_optional("torch", extra="torch")
    place = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    was_here = place.is_file()
    try:
        return build(weights=weights, progress=False)
    except _UNREADABLE as error:
        if was_here:
            raise ValueError(
                f"{place} must hold weights of RAFT {size} ({error}); get it again from {weights.url}."
            ) from error
        raise FileNotFoundError(
            f"weights of RAFT {size} are not on this machine and could not be fetched ({error}); download "
            f"{weights.url} elsewhere and put it at {place} or pass its path as checkpoint, or ask for "
            "random weights with pretrained=False."
        ) from error
