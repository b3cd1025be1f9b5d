"""Motion-energy units whose parameters are set by hand, and adapters that make models into motion units.

:class:`EnergyUnits` are the first stage of the trainable V1-MT model of Sun et al. (NeurIPS 2023), after
Adelson & Bergen (JOSA A 1985), at one spatial scale. :class:`PatternUnits` weight them as Simoncelli & Heeger
(Vision Research 1998) propose for MT. Both are positive controls: their physiology is known in advance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, import_optional
from neurovis.motion.energy import MotionEnergyPyramid

KERNEL_RADIUS_PX = 7
N_TAPS = 6
LARGEST_SIGMA_PX = float(np.sqrt((KERNEL_RADIUS_PX - 1) ** 2 / (2 * np.log(2))))
LARGEST_DECAY_FRAMES = float(-N_TAPS / np.log(0.2))


@dataclass(frozen=True)
class EnergyUnits:
    """Bank of motion-energy units, one for each set of parameters, at every pixel.

    Parameters
    ----------
    direction_deg : sequence of float, length n_units
        Preferred direction [degrees, 0 right, counter-clockwise]; the paper's theta is 180 minus it.
    spatial_frequency_cpp, temporal_frequency_cpf : sequence of float, length n_units, or float
        Preferred frequencies [cycles per px] and [cycles per frame], 0 to 0.5.
    sigma_px, decay_frames : float
        Standard deviation of the spatial envelope [px] and time constant of the temporal one [frames].
    aspect : float
        Envelope along the bars: its standard deviation is ``sigma_px / aspect``.
    offset : float
        ``s0``: its square is added to the energy.
    fps : float
        Frames per second [Hz]; only for reports in hertz.
    name : str
        In tables.

    Raises
    ------
    ValueError
        If lengths differ or a parameter is out of range.

    Notes
    -----
    Equations of the paper's code: a spatial Gabor pair of 15 x 15 px, each member without its mean, and a
    temporal pair of 6 decaying taps make odd ``O = T_s u_c + T_c u_s`` and even ``E = T_c u_c - T_s u_s``
    responses by true convolution; energy is ``O^2 + E^2 + s0^2`` and its plain mean over valid frames is the
    response. The border of 7 px sees grey instead of the paper's zeros, which is the same for a movie of mean
    grey after the kernels' own means are taken out.
    """

    direction_deg: Sequence[float]
    spatial_frequency_cpp: Sequence[float] | float = 0.1
    temporal_frequency_cpf: Sequence[float] | float = 0.125
    sigma_px: float = 0.95 * LARGEST_SIGMA_PX
    decay_frames: float = 0.8 * LARGEST_DECAY_FRAMES
    aspect: float = 1.0
    offset: float = 0.0
    fps: float = 30.0
    name: str = "energy units"

    def __post_init__(self) -> None:
        n_units = len(check_array("direction_deg", self.direction_deg, ndim=1))
        for parameter in ("spatial_frequency_cpp", "temporal_frequency_cpf"):
            values = check_array(parameter, getattr(self, parameter), ndim=(0, 1), minimum=0, maximum=0.5)
            if values.ndim and len(values) != n_units:
                raise ValueError(
                    f"{parameter} must have one entry for each of the {n_units} directions, got "
                    f"{len(values)}; pass one number for all of them or a sequence of that length."
                )
        for parameter in ("sigma_px", "decay_frames", "aspect"):
            check_array(parameter, getattr(self, parameter), ndim=0, minimum=1e-3)

    @property
    def stages(self) -> tuple[str, ...]:
        """One stage, ``"v1"``."""
        return ("v1",)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Parameters of the units, one row each: direction and the two frequencies."""
        columns = ("direction_deg", "spatial_frequency_cpp", "temporal_frequency_cpf")
        shape = (len(self.direction_deg),)
        values = {name: np.broadcast_to(getattr(self, name), shape).astype(float) for name in columns}
        return pd.DataFrame(values).rename_axis("unit")

    def respond(self, movie: ArrayLike) -> dict[str, NDArray]:
        """Mean energy of every unit at every pixel.

        Parameters
        ----------
        movie : float array of shape (n_frames, height, width)
            Grey, 0 to 1, at least 6 frames.

        Returns
        -------
        dict of str to float32 array of shape (n_units, height, width)

        Raises
        ------
        ValueError
            If the movie has another shape, is too short, or leaves [0, 1].
        """
        frames = check_movie(movie, n_frames=N_TAPS) - 0.5
        torch = import_optional("torch", extra="torch")
        kernels, which = self._spatial
        # conv2d correlates; turned kernels make it a convolution.
        spatial = torch.nn.functional.conv2d(
            torch.from_numpy(frames)[:, None],
            torch.from_numpy(np.ascontiguousarray(kernels[:, None, ::-1, ::-1])),
            padding=KERNEL_RADIUS_PX,
        )
        n_valid = len(frames) - N_TAPS + 1
        # Axes (tap, frame, kernel, y, x): tap t sees the frame t before.
        windows = spatial.unfold(0, N_TAPS, 1).movedim(-1, 0).flip(0)
        n_kinds = len(kernels) // 2
        energy = np.empty((len(which), *frames.shape[1:]), dtype=np.float32)
        taps = torch.from_numpy(self._temporal)
        for kind in range(n_kinds):
            cosine = windows[:, :, kind].flatten(1)
            sine = windows[:, :, n_kinds + kind].flatten(1)
            own = np.flatnonzero(which == kind)
            t_c, t_s = taps[0, own], taps[1, own]
            odd = t_s @ cosine + t_c @ sine
            even = t_c @ cosine - t_s @ sine
            power = (odd**2 + even**2).reshape(len(own), n_valid, *frames.shape[1:]).mean(1)
            energy[own] = power.numpy() + self.offset**2
        return {"v1": energy}

    @cached_property
    def peak_energy(self) -> NDArray[np.float64]:
        """Energy (n_units,) for a grating of full contrast at the preferred direction and frequencies.

        The grating is half of a wave in the preferred direction and half of its mirror image, to which a
        direction-selective unit does not answer; what it does answer there is left out.
        """
        kernels, which = self._spatial
        # What the movie's wave leaves when it runs with the kernel's own: its envelope, less the means.
        waves = np.exp(-1j * self._phases)
        n_kinds = len(kernels) // 2
        spatial = ((kernels[:n_kinds] + 1j * kernels[n_kinds:]) * waves).sum(axis=(1, 2))[which]
        temporal = np.exp(-np.arange(N_TAPS) / self.decay_frames).sum()
        return np.abs(0.25 * spatial * temporal) ** 2 + self.offset**2

    @cached_property
    def _kinds(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Direction and frequency of the distinct spatial filters, and which one each unit has."""
        pairs = self.table[["direction_deg", "spatial_frequency_cpp"]].to_numpy()
        kinds, which = np.unique(pairs, axis=0, return_inverse=True)
        return kinds, which.reshape(-1)

    def _rotate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Places of the kernels' taps along the wave and across it, (n_kinds, side, side) [px]."""
        reach = np.arange(-KERNEL_RADIUS_PX, KERNEL_RADIUS_PX + 1)
        y, x = np.meshgrid(reach, reach, indexing="ij")
        theta = np.deg2rad(180.0 - self._kinds[0][:, 0])[:, None, None]
        return x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)

    @property
    def _phases(self) -> NDArray[np.float64]:
        return 2 * np.pi * self._kinds[0][:, 1, None, None] * self._rotate()[0]

    @cached_property
    def _spatial(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Cosine, then sine kernels of the distinct spatial filters, and which one each unit has."""
        along, across = self._rotate()
        envelope = np.exp(-(along**2 + (self.aspect * across) ** 2) / (2 * self.sigma_px**2))
        kernels = np.concatenate([envelope * np.cos(self._phases), envelope * np.sin(self._phases)])
        kernels -= kernels.mean(axis=(1, 2), keepdims=True)
        return kernels.astype(np.float32), self._kinds[1]

    @cached_property
    def _temporal(self) -> NDArray[np.float32]:
        """Cosine and sine taps of each unit, (2, n_units, N_TAPS)."""
        time = np.arange(N_TAPS)
        decay = np.exp(-time / self.decay_frames)
        phase = 2 * np.pi * self.table["temporal_frequency_cpf"].to_numpy()[:, None] * time
        return (decay * np.stack([np.cos(phase), np.sin(phase)])).astype(np.float32)


@dataclass(frozen=True)
class PatternUnits:
    """Units that add V1 energy where a moving pattern would have it: speed-tuned, direction of patterns.

    Parameters
    ----------
    v1 : EnergyUnits
        Bank that covers directions and both frequencies; responses are normalised across it at every pixel.
    direction_deg : sequence of float, length n_units
        Preferred direction [degrees].
    speed_ppf : float
        Preferred speed [px per frame].
    tolerance_cpf : float
        Width of the plane in frequency [cycles per frame].
    semi_saturation : float
        Of the normalisation, as a share of a unit's energy for its best grating of full contrast.
    name : str
        In tables.

    Notes
    -----
    The weight of a V1 unit is ``exp(-(w - f v . n)^2 / (2 tolerance^2))`` minus its mean over the bank, with
    the unit's frequencies f and w and its direction n: patterns of velocity v have their energy on that
    plane. The weighted sum of energies, each as a share of the unit's own peak and normalised by their mean
    over the bank, is half-squared. Slow gratings of any direction lie near every such plane, so that the
    physiology of these units is to be measured around their own frequencies.
    """

    v1: EnergyUnits
    direction_deg: Sequence[float]
    speed_ppf: float
    tolerance_cpf: float = 0.06
    semi_saturation: float = 0.1
    name: str = "pattern units"

    def __post_init__(self) -> None:
        check_array("direction_deg", self.direction_deg, ndim=1)
        check_array("speed_ppf", self.speed_ppf, ndim=0, minimum=0)
        for parameter in ("tolerance_cpf", "semi_saturation"):
            check_array(parameter, getattr(self, parameter), ndim=0, minimum=1e-6)

    @property
    def stages(self) -> tuple[str, ...]:
        """``"v1"``, the normalised bank, and ``"mt"``."""
        return ("v1", "mt")

    @property
    def fps(self) -> float:
        """Frame rate of the bank [Hz]."""
        return self.v1.fps

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each V1 unit for each unit, (n_units, n_v1_units)."""
        return compute_pattern_weights(
            self.v1.table, direction_deg=self.direction_deg, speed_ppf=self.speed_ppf,
            tolerance_cpf=self.tolerance_cpf,
        )  # fmt: skip

    def respond(self, movie: ArrayLike) -> dict[str, NDArray]:
        """Normalised energy of the bank and half-squared weighted sums; as :meth:`EnergyUnits.respond`."""
        energy = self.v1.respond(movie)["v1"] / self.v1.peak_energy.astype(np.float32)[:, None, None]
        normalised = energy / (energy.mean(axis=0) + self.semi_saturation)
        drive = np.einsum("mv,vyx->myx", self.weights.astype(np.float32), normalised)
        return {"v1": normalised, "mt": np.maximum(drive, 0) ** 2}


@dataclass(frozen=True)
class PyramidUnits:
    """Directional filters of a :class:`~neurovis.motion.energy.MotionEnergyPyramid` as motion units.

    Parameters
    ----------
    pyramid : MotionEnergyPyramid
        Its frame size is that of the movies.
    name : str
        In tables.

    Notes
    -----
    Grey 0 to 1 is taken as 0 to 100 of luminance. A filter lies at one place, so its map has one cell, and no
    border may be dropped. The response is the mean energy of the frames whose window lies in the movie.
    """

    pyramid: MotionEnergyPyramid
    name: str = "motion energy pyramid"

    @property
    def stages(self) -> tuple[str, ...]:
        """One stage, ``"pyramid"``."""
        return ("pyramid",)

    @property
    def fps(self) -> float:
        """Frame rate of the pyramid [Hz]."""
        return self.pyramid.fps

    @cached_property
    def table(self) -> pd.DataFrame:
        """Rows of the pyramid's filters that have a direction, in the order of the units."""
        filters = self.pyramid.filters
        return filters[filters["direction_deg"].notna()]

    def respond(self, movie: ArrayLike) -> dict[str, NDArray]:
        """Mean energy (n_units, 1, 1) of the directional filters; the movie must fill a window."""
        window = self.pyramid.n_frames
        frames = check_movie(movie, n_frames=window)
        after = -(-window // 2) - 1
        amplitude = self.pyramid(100 * frames, output="amplitude")[window - 1 - after : len(frames) - after]
        energy = (amplitude[:, self.table.index] ** 2).mean(axis=0)
        return {"pyramid": energy[:, None, None]}


def compute_pattern_weights(
    v1: pd.DataFrame, *, direction_deg: Sequence[float], speed_ppf: float, tolerance_cpf: float = 0.06
) -> NDArray[np.float64]:
    """Weights from V1 to units that prefer one velocity, after Simoncelli & Heeger (1998).

    Parameters
    ----------
    v1 : pandas.DataFrame
        ``direction_deg``, ``spatial_frequency_cpp`` and ``temporal_frequency_cpf`` of each V1 unit.
    direction_deg : sequence of float, length n_units
        Preferred directions [degrees].
    speed_ppf, tolerance_cpf : float
        Preferred speed [px per frame] and width of the plane in frequency [cycles per frame].

    Returns
    -------
    array of shape (n_units, n_v1_units)
        Rows have zero mean.
    """
    between = np.deg2rad(np.asarray(direction_deg)[:, None] - v1["direction_deg"].to_numpy())
    plane = v1["spatial_frequency_cpp"].to_numpy() * speed_ppf * np.cos(between)
    distance = v1["temporal_frequency_cpf"].to_numpy() - plane
    weights = np.exp(-(distance**2) / (2 * tolerance_cpf**2))
    return weights - weights.mean(axis=1, keepdims=True)


def check_movie(movie: ArrayLike, *, n_frames: int) -> NDArray[np.float32]:
    """The movie as float32 (n, height, width) in [0, 1] with at least so many frames; raises otherwise."""
    frames = check_array(
        "movie", movie, ndim=3, minimum=0, maximum=1, dtype=np.float32, remedy="pass grey from 0 to 1"
    )
    if len(frames) < n_frames:
        raise ValueError(f"movie must have at least {n_frames} frames, got {len(frames)}; make it longer.")
    return frames
