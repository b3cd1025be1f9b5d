"""Two classifiers of the stimulus world that differ in their retina alone: log-polar and masked disc.

The log-polar one is foveated: its network's padding goes around the circle of angles. Parameters, training
scenes, fixations and order of batches are the same. The innermost ring has a sixteenth of the outer radius,
one octave less than in arXiv 2402.15480, because the scenes have half as many pixels a side. Trained by
:mod:`neurovis.foveation.world_training`; both ship with neurovis.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from neurovis.core import check_option, find_model
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.padding import convert_padding
from neurovis.foveation.sampling import CartesianSampler, LogPolarSampler
from neurovis.stimuli.world import CATEGORIES
from neurovis.training.checkpoints import read_tensors
from neurovis.training.models import check_model

MODEL_NAMES = {"logpolar": "foveated-world", "cartesian": "foveated-cartesian-world"}
RETINAS = tuple(MODEL_NAMES)

RADIUS = 0.8
"""Radius of what is seen, in half sides of the scene."""

INNER_RADIUS = RADIUS / 16
N_RINGS, N_ANGLES = 40, 96
"""Of the log-polar retina: neighbours are about as far apart along a ring as across rings."""

SIDE = 64
"""Of the Cartesian retina, which has a few more samples."""

_CHANNELS = (24, 32, 64, 128)


class _Block(nn.Module):
    """Two 3x3 convolutions beside a 1x1 shortcut."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, h, w) to (n, n_out, h, w)."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class RetinalNet(nn.Module):
    """Retinal images (n, 3, rows, columns) to logits of the six categories.

    Means of 2 x 2 places halve the maps between stages: strided convolutions would change more under
    shifts that are no multiple of the stride (Zhang, 2019, ICML).
    """

    def __init__(self) -> None:
        super().__init__()
        stem, *stages = _CHANNELS
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 5, 2, padding=2, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        )
        self.pool = nn.AvgPool2d(2)
        self.stage1 = _Block(stem, stages[0])
        self.stage2 = _Block(stages[0], stages[1])
        self.stage3 = _Block(stages[1], stages[2])
        self.head = nn.Linear(stages[2], len(CATEGORIES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 6) in the order of :data:`neurovis.stimuli.world.CATEGORIES`."""
        x = self.stage1(self.stem(x))
        x = self.stage3(self.pool(self.stage2(self.pool(x))))
        return self.head(x.mean(dim=(2, 3)))


def build_world_classifier(retina: str) -> FoveatedClassifier:
    """Untrained classifier with one of the two retinas.

    Parameters
    ----------
    retina : {"logpolar", "cartesian"}

    Raises
    ------
    ValueError
        If the retina is unknown.
    """
    check_option("retina", retina, RETINAS)
    eye: LogPolarSampler | CartesianSampler
    if retina == "logpolar":
        eye = LogPolarSampler(N_RINGS, N_ANGLES, r_min=INNER_RADIUS, r_max=RADIUS)
        backbone: nn.Module = convert_padding(RetinalNet())
    else:
        eye, backbone = CartesianSampler(SIDE, r_max=RADIUS), RetinalNet()
    return FoveatedClassifier(eye, backbone, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def load_world_classifier(retina: str, folder: str | Path | None = None) -> FoveatedClassifier:
    """Trained classifier, checked against the SHA-256 in its ``config.json``.

    Parameters
    ----------
    retina : {"logpolar", "cartesian"}
    folder : path, optional
        As written by the trainer; the model shipped with neurovis by default.

    Raises
    ------
    FileNotFoundError
        If there is no such model.
    ValueError
        If the retina is unknown, or the folder holds another one or other weights than it says.
    """
    check_option("retina", retina, RETINAS)
    config, weights = check_model(folder or find_model(MODEL_NAMES[retina]), trainer="train_foveated_world")
    if config["retina"] != retina:
        raise ValueError(
            f"retina must be that of the model, {config['retina']!r}, got {retina!r}; pass the other folder."
        )
    classifier = build_world_classifier(retina)
    classifier.load_state_dict(read_tensors(weights)[0])
    return classifier.eval()
