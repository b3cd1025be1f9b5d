"""Trainable motion energy of primary visual cortex: the first stage of Sun et al. (2023, NeurIPS).

Banks of direction-selective energy units (Adelson and Bergen 1985, JOSA A) at several scales, all of whose
tuning is learnt, and divisive normalisation over units (Heeger 1992, Visual Neuroscience).

What makes it fast: the four temporal filterings of a quadrature pair are one product with a block Toeplitz
matrix per unit, for both phases and every output frame at once.
"""

from __future__ import annotations

import math
from typing import cast

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

_HIGHEST_FREQUENCY = 0.25  # cycles per px of the level, and cycles per frame
_SPATIAL_DECAY = 0.5
_TEMPORAL_DECAY = 0.2


class EnergyBank(nn.Module):
    """Motion-energy units of one scale.

    Parameters
    ----------
    n_units : int
        Units.
    radius_px : int
        Of the square kernels [px of the level].
    n_taps : int
        Length of the temporal kernels [frames].
    n_pooled : int
        Frames of energy that are pooled, with a learnt weight each.

    Notes
    -----
    A parameter p reaches the filter through a sigmoid, so that tuning stays where the kernels can carry it:
    orientation in 0 to 360 degrees, frequencies up to 0.25 cycles per px and per frame, envelopes that fit.
    Initial values are uniform, one in each of equal parts of the range, and units come in pairs that differ
    in nothing but their opposite directions; the paper draws every unit alone. Small banks so cover all
    directions, and motion can be read from differences at once.
    """

    def __init__(self, n_units: int, radius_px: int, n_taps: int, n_pooled: int) -> None:
        super().__init__()
        self.radius_px, self.n_taps = radius_px, n_taps
        half = _draw_shares(-(-n_units // 2), 0.01, 0.49)
        self.orientation = nn.Parameter(torch.logit(torch.cat([half, half + 0.5])[:n_units]))
        self.spatial_frequency = _make_paired(n_units, 0.2, 0.8)
        self.temporal_frequency = _make_paired(n_units, 0.01, 0.99)
        self.spatial_sd = _make_paired(n_units, 0.8, 0.99)
        self.aspect = nn.Parameter(torch.ones(n_units))
        self.phase = nn.Parameter(torch.zeros(n_units), requires_grad=False)
        self.decay = nn.Parameter((torch.arange(n_units) % -(-n_units // 2) % 4) / 2 + 1)
        self.pooling = nn.Parameter(torch.ones(n_units, n_pooled))

    def compute_tuning(self) -> dict[str, Tensor]:
        """Tuning in units of the level, each of shape (n_units,).

        Returns
        -------
        dict of str to Tensor
            ``orientation`` [radians; the wave vector, y down], ``spatial_frequency`` [cycles per px],
            ``temporal_frequency`` [cycles per frame], ``spatial_sd`` [px], ``aspect`` (length over width of
            the envelope, inverse), ``decay`` [frames].
        """
        widest = math.sqrt((self.radius_px - 1) ** 2 / (2 * math.log(1 / _SPATIAL_DECAY)))
        return {
            "orientation": 2 * math.pi * torch.sigmoid(self.orientation),
            "spatial_frequency": _HIGHEST_FREQUENCY * torch.sigmoid(self.spatial_frequency),
            "temporal_frequency": _HIGHEST_FREQUENCY * torch.sigmoid(self.temporal_frequency),
            "spatial_sd": widest * torch.sigmoid(self.spatial_sd),
            "aspect": self.aspect.abs(),
            "decay": self.n_taps / math.log(1 / _TEMPORAL_DECAY) * torch.sigmoid(self.decay),
        }

    def make_spatial_kernels(self) -> Tensor:
        """Gabors (2, n_units, side, side), cosine then sine, without their mean."""
        tuning = {name: value[:, None, None] for name, value in self.compute_tuning().items()}
        offset = torch.arange(-self.radius_px, self.radius_px + 1, device=self.aspect.device).float()
        y, x = offset[:, None], offset[None, :]
        cosine, sine = torch.cos(tuning["orientation"]), torch.sin(tuning["orientation"])
        along, across = x * cosine + y * sine, y * cosine - x * sine
        spread = along**2 + (tuning["aspect"] * across) ** 2
        envelope = torch.exp(-spread / (2 * tuning["spatial_sd"] ** 2))
        angle = 2 * math.pi * tuning["spatial_frequency"] * along + self.phase[:, None, None]
        pair = torch.stack([envelope * torch.cos(angle), envelope * torch.sin(angle)])
        return pair - pair.mean(dim=(-2, -1), keepdim=True)

    def make_temporal_kernels(self) -> Tensor:
        """Decaying waves (2, n_units, n_taps), cosine then sine, the present first."""
        tuning = self.compute_tuning()
        lag = torch.arange(self.n_taps, device=self.aspect.device).float()
        angle = 2 * math.pi * tuning["temporal_frequency"][:, None] * lag
        decayed = torch.exp(-lag / tuning["decay"][:, None])
        return torch.stack([decayed * torch.cos(angle), decayed * torch.sin(angle)])

    def forward(self, movie: Tensor, floor: Tensor) -> Tensor:
        """Pooled motion energy.

        Parameters
        ----------
        movie : Tensor of shape (n, n_frames, height, width)
            Grey movie at this scale; ``n_frames`` is ``n_pooled + n_taps - 1``.
        floor : Tensor
            Spontaneous activity, whose square is added to the energy.

        Returns
        -------
        Tensor of shape (n, n_units, height, width)
        """
        n, n_frames, height, width = movie.shape
        # The library correlates; a flipped kernel makes it the convolution that the paper means.
        kernels = self.make_spatial_kernels().flip(-2, -1).flatten(0, 1)[:, None]
        filtered = functional.conv2d(
            movie.reshape(n * n_frames, 1, height, width), kernels, padding=self.radius_px
        )
        n_units = len(self.aspect)
        # (n_units, both phases of every frame, samples x places)
        rows = filtered.view(n, n_frames, 2, n_units, height * width).permute(3, 2, 1, 0, 4)
        both = torch.bmm(self._make_blocks(n_frames), rows.reshape(n_units, 2 * n_frames, -1))
        energy = both.view(n_units, 2, -1, both.shape[-1]).square().sum(dim=1) + floor**2
        pooled = torch.bmm(self.pooling[:, None] / self.pooling.shape[1], energy).abs()
        return pooled.view(n_units, n, height, width).transpose(0, 1)

    def _make_blocks(self, n_frames: int) -> Tensor:
        """Toeplitz blocks [[sine, cosine], [cosine, -sine]] over the (cosine, sine) frames."""
        kernels = self.make_temporal_kernels().flip(-1)
        n_pooled = n_frames - self.n_taps + 1
        # A row shorter by one than its neighbours shifts the kernel by one frame per row.
        padded = functional.pad(kernels, (0, n_pooled)).repeat(1, 1, n_pooled)
        cosine, sine = padded[..., : n_pooled * n_frames].unflatten(-1, (n_pooled, n_frames))
        return torch.cat([torch.cat([sine, cosine], dim=-1), torch.cat([cosine, -sine], dim=-1)], dim=1)


class V1Stage(nn.Module):
    """Motion-energy banks over scales, pooled to one map and normalised over units.

    Parameters
    ----------
    n_scales, n_units : int
        Scales, and units at each of them; 8 and 32 in the paper.
    span : float
        Ratio of the first scale to the last one; every scale is ``r = span ** (-1 / (n_scales - 1))`` of the
        one before, the first of the frames.
    radius_px : int
        Of the kernels [px of the level].
    n_taps : int
        Frames of the temporal kernels.
    n_frames : int
        Frames of a movie.
    stride : int
        Pixels of the frames for each place of the map.

    Notes
    -----
    Equations: Sun et al. (2023), section 3. 3,331 parameters at the paper's size, of which the 256 phases
    stay at zero.
    """

    def __init__(
        self, n_scales: int = 8, n_units: int = 32, *, span: float = 16.0, radius_px: int = 7,
        n_taps: int = 6, n_frames: int = 11, stride: int = 8,
    ) -> None:  # fmt: skip
        super().__init__()
        self.scale_step = span ** (-1 / (n_scales - 1))
        self.n_frames, self.stride = n_frames, stride
        self.banks = nn.ModuleList(
            EnergyBank(n_units, radius_px, n_taps, n_frames - n_taps + 1) for _ in range(n_scales)
        )
        self.floor = nn.Parameter(torch.tensor(0.3))
        self.gain = nn.Parameter(torch.tensor(4.0))
        self.semisaturation = nn.Parameter(torch.tensor(0.2))

    def forward(self, movie: Tensor) -> Tensor:
        """Normalised motion energy.

        Parameters
        ----------
        movie : Tensor of shape (n, n_frames, height, width)
            Grey, 0 to 1; height and width multiples of ``stride``.

        Returns
        -------
        Tensor of shape (n, n_scales * n_units, height / stride, width / stride)
            Not negative.
        """
        size = (movie.shape[-2] // self.stride, movie.shape[-1] // self.stride)
        maps, level = [], movie
        for bank in self.banks:
            level = functional.interpolate(
                level, scale_factor=self.scale_step, mode="bilinear", align_corners=False
            )
            energy = bank(level, self.floor)
            maps.append(functional.interpolate(energy, size=size, mode="bilinear", align_corners=True))
        energy = torch.cat(maps, dim=1)
        pool = energy.mean(dim=1, keepdim=True) + self.semisaturation**2
        return self.gain.abs() * energy / pool

    @torch.no_grad()
    def balance(self, movies: Tensor) -> None:
        """Set the pooling weights so that every unit's mean energy on these movies is one, and the gain too.

        Energy of natural movies falls steeply with frequency; without this the coarsest units drown the rest
        until training has found their weights.
        """
        level = movies
        for bank in self.banks:
            level = functional.interpolate(
                level, scale_factor=self.scale_step, mode="bilinear", align_corners=False
            )
            bank.pooling /= bank(level, torch.zeros_like(self.floor)).mean(dim=(0, 2, 3))[:, None]
        self.gain.fill_(1.0)

    @torch.no_grad()
    def make_tuning_table(self) -> pd.DataFrame:
        """Tuning of every unit in the units of the frames, in the order of the map.

        Returns
        -------
        DataFrame
            ``scale`` (from 1), ``direction_deg`` (preferred motion; 0 right, counter-clockwise),
            ``spatial_frequency_cpp`` [cycles per px of the frames], ``temporal_frequency_cpf`` [cycles per
            frame], ``speed_px`` [px per frame], ``spatial_sd_px`` [px], ``aspect`` and ``decay_frames``.

        Notes
        -----
        The wave vector points against the preferred motion, and a level is ``r ** scale`` of the frames; the
        authors' own table multiplies by ``r ** (scale - 1)``, which is 1.49 times too high.
        """
        parts = []
        for scale, bank in enumerate(self.banks, start=1):
            measure = cast("EnergyBank", bank).compute_tuning
            tuning = {name: value.double().cpu().numpy() for name, value in measure().items()}
            px = self.scale_step**-scale
            frequency = tuning["spatial_frequency"] / px
            parts.append(
                pd.DataFrame(
                    {
                        "scale": scale,
                        "direction_deg": (180 - 180 / math.pi * tuning["orientation"]) % 360,
                        "spatial_frequency_cpp": frequency,
                        "temporal_frequency_cpf": tuning["temporal_frequency"],
                        "speed_px": tuning["temporal_frequency"] / frequency,
                        "spatial_sd_px": tuning["spatial_sd"] * px,
                        "aspect": tuning["aspect"],
                        "decay_frames": tuning["decay"],
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)


def _draw_shares(n: int, low: float, high: float) -> Tensor:
    """Values between two bounds, one in each of ``n`` equal parts, in random order."""
    return low + (high - low) * (torch.randperm(n) + torch.rand(n)) / n


def _make_paired(n: int, low: float, high: float) -> nn.Parameter:
    """Inverse sigmoid of random shares, the second half as the first one."""
    return nn.Parameter(torch.logit(_draw_shares(-(-n // 2), low, high)).repeat(2)[:n])
