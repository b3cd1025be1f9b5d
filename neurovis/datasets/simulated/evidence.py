"""Category evidence: a small network that marks where in an image each of twelve subtypes is seen.

It is the truth of the simulated category regions: trained here on the masks of the stimulus world, stored
under ``models/simulated-cortex-evidence`` and never offered as a feature space.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from neurovis.core import find_model, import_optional
from neurovis.stimuli.world_shares import SUBTYPE_NAMES
from neurovis.training.checkpoints import read_tensors
from neurovis.training.models import check_model

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL_NAME = "simulated-cortex-evidence"
EVIDENCE_GRID = 16
EVIDENCE_CHANNELS = (24, 40, 56, 56, 56)


def make_evidence_network(channels: tuple[int, ...] = EVIDENCE_CHANNELS) -> nn.Module:
    """Untrained network: pixels (n, 3, 64, 64) in [0, 1] to logits (n, 12, 16, 16).

    Two strided convolutions, then dilated ones whose receptive field covers the image; group
    normalisation, so that one image's evidence does not depend on its batch.
    """
    torch = import_optional("torch", extra="torch")
    nn = torch.nn
    a, b, c, d, e = channels
    return nn.Sequential(
        nn.Conv2d(3, a, 5, stride=2, padding=2),
        nn.GroupNorm(4, a),
        nn.GELU(),
        nn.Conv2d(a, b, 3, stride=2, padding=1),
        nn.GroupNorm(4, b),
        nn.GELU(),
        nn.Conv2d(b, c, 3, padding=1),
        nn.GroupNorm(4, c),
        nn.GELU(),
        nn.Conv2d(c, d, 3, padding=2, dilation=2),
        nn.GroupNorm(4, d),
        nn.GELU(),
        nn.Conv2d(d, e, 3, padding=4, dilation=4),
        nn.GroupNorm(4, e),
        nn.GELU(),
        nn.Conv2d(e, len(SUBTYPE_NAMES), 1),
    )


def compute_evidence(network: nn.Module, pixels: Tensor) -> Tensor:
    """Evidence of each subtype at each place.

    Parameters
    ----------
    network : torch.nn.Module
        From :func:`load_evidence_network`.
    pixels : torch.Tensor of shape (n_images, 3, 64, 64)
        From :func:`neurovis.datasets.simulated.early.prepare_images`.

    Returns
    -------
    torch.Tensor of shape (n_images, 12, 16 * 16)
        Estimated share of each place covered by the subtype, in (0, 1).
    """
    torch = import_optional("torch", extra="torch")
    return torch.sigmoid(network(2.0 * pixels - 1.0)).flatten(2)


@lru_cache(maxsize=2)
def load_evidence_network(folder: str | Path | None = None) -> nn.Module:
    """Trained network from its folder, checked against the SHA-256 in its description.

    Parameters
    ----------
    folder : path, optional
        Folder of ``weights.safetensors`` and ``config.json``; the model shipped with neurovis by default.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the weights are not those that the description names.
    """
    config, weights = check_model(folder or find_model(MODEL_NAME), trainer="train_evidence_network")
    tensors, _ = read_tensors(weights)
    network = make_evidence_network(tuple(config["channels"]))
    network.load_state_dict(tensors)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()
