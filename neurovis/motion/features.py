"""Motion energy as a feature space of movies: energy of moving, of still and of flickering patterns apart.

The filters are those of Nishimoto et al. (Current Biology 2011), :mod:`neurovis.motion.energy`. Kept apart as
layers, they let a banded ridge say how much of a response needs motion and how much contrast alone explains.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurovis.core import StimulusSet, check_option, import_optional
from neurovis.io.video import check_frame_rate, read_movie_blocks
from neurovis.motion.energy import MotionEnergyPyramid
from neurovis.motion.energy_filters import (
    DIRECTIONS_DEG,
    SPACING_SD,
    SPATIAL_FREQUENCIES_CPI,
    TEMPORAL_FREQUENCIES_HZ,
)
from neurovis.motion.luminance import compute_luminance
from neurovis.workflow import compute_fingerprint

LAYERS = ("motion_energy", "opponent_energy", "static_energy", "flicker_energy")
COMPRESSIONS = ("log", "sqrt", "none")

_BLOCK = 64  # frames in memory at once
_TINY = 1e-2  # amplitude at which the logarithm levels off; gratings of full contrast give hundreds
_EDGE = 1e-9  # of a sampling interval, against rounding


@dataclass(frozen=True)
class MotionEnergyFeatures:
    """Feature space of motion energy, one row for each movie or for each sample of ``t_r`` seconds.

    Parameters
    ----------
    spatial_frequencies_cpi, temporal_frequencies_hz, directions_deg : sequence of float
        As :class:`neurovis.motion.energy.MotionEnergyPyramid`, whose defaults are pymoten's. What the movie
        cannot show raises there.
    height_px : int, optional
        Frames are resampled to this height, their aspect kept; by default they stay as they are.
    t_r : float, optional
        Length of a sample [s]; rows are then ``"time"``. By default a row is a whole movie.
    spacing_sd : float
        Distance of neighbouring filters [envelope sd]. pymoten's 3.5 leaves gaps; 1.5 covers the frame.
    compression : {"log", "sqrt", "none"}
        Of the mean energy of a row: ``log(sqrt(energy) + 0.01)``, its square root, or nothing.
    name : str
        Name of the feature space.

    Raises
    ------
    ValueError
        If a number is not positive or an option is unknown.

    Notes
    -----
    Layers:

    - ``"motion_energy"``: filters with a direction;
    - ``"opponent_energy"``: the root of how much more energy there is along a direction than against it, 0
      where there is less (the opponent stage of Adelson & Bergen, JOSA A 1985, for both directions). Still
      images have none, and a movie played backwards has that of the opposite direction;
    - ``"static_energy"``: filters of temporal frequency 0: orientation, and luminance in a window;
    - ``"flicker_energy"``: filters of spatial frequency 0 that change in time.

    Energies, not their logarithms, are averaged in time, unlike in the paper: the mean then does not depend
    on the phase at which a cut falls. The first and the last frame are held before and after the movie, for
    zeros there would be an onset that drives every filter.
    """

    spatial_frequencies_cpi: Sequence[float] = SPATIAL_FREQUENCIES_CPI
    temporal_frequencies_hz: Sequence[float] = TEMPORAL_FREQUENCIES_HZ
    directions_deg: Sequence[float] = DIRECTIONS_DEG
    height_px: int | None = None
    t_r: float | None = None
    spacing_sd: float = SPACING_SD
    compression: str = "log"
    name: str = "motion-energy"

    def __post_init__(self) -> None:
        check_option("compression", self.compression, COMPRESSIONS)
        for parameter, value in (("t_r", self.t_r), ("height_px", self.height_px)):
            if value is not None and not value > 0:
                raise ValueError(f"{parameter} must be positive, got {value}; leave it out for the default.")
        directions = {round(float(value), 6) % 360 for value in self.directions_deg}
        alone = sorted(value for value in directions if (value + 180) % 360 not in directions)
        if alone:
            raise ValueError(
                f"directions_deg must hold the opposite of each direction, got {alone[0]:g} without "
                f"{(alone[0] + 180) % 360:g}; opponent energy needs both."
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that have filters at these frequencies."""
        pattern, moving = (
            max(values, default=0) > 0
            for values in (self.spatial_frequencies_cpi, self.temporal_frequencies_hz)
        )
        available = {
            "motion_energy": pattern and moving,
            "opponent_energy": pattern and moving,
            "static_energy": 0 in self.temporal_frequencies_hz,
            "flicker_energy": moving and 0 in self.spatial_frequencies_cpi,
        }
        return tuple(layer for layer in LAYERS if available[layer])

    def describe(self) -> dict[str, Any]:
        """Everything that decides the numbers, the source of the filters too; JSON-serialisable."""
        plain = {key: list(v) if isinstance(v, Sequence) and not isinstance(v, str) else v
                 for key, v in asdict(self).items()}  # fmt: skip
        return {"kind": "motion energy", **plain, "code": compute_fingerprint("motion", "io.video")}

    def __call__(
        self,
        stimuli: StimulusSet,
        *,
        layers: Sequence[str] | None = None,
        batch_size: int = _BLOCK,
        device: str = "cpu",
    ) -> dict[str, xr.DataArray]:
        """Features of every movie or of every sample of every movie.

        Parameters
        ----------
        stimuli : StimulusSet
            Movies of one size with ``fps``: ``.npy`` arrays or video files; the latter are read in blocks.
        layers : sequence of str, optional
            All by default.
        batch_size : int
            Frames in memory at once.
        device : str
            Torch device.

        Returns
        -------
        dict of str to xarray.DataArray
            Dims ("stimulus", "feature"), or ("time", "feature") with ``t_r``; float32. Row coordinates
            ``stimulus_id`` and, in time, ``time``: the middle of the sample [s from the movie's start]; a
            sample that the movie does not fill is left out. Feature coordinates as the columns of
            :func:`neurovis.motion.energy_filters.make_filter_table`, in degrees of visual angle.

        Raises
        ------
        ValueError
            If a stimulus is an image or a single frame, the set is empty or has no frame rate, that of a
            file is another one, movies differ in size or lie on their side, a movie is shorter than ``t_r``,
            or a layer is unknown or has no filter at these frequencies.
        """
        from tqdm import tqdm

        wanted = tuple(self.layers if layers is None else dict.fromkeys(layers))
        for layer in wanted:
            check_option("layers", layer, self.layers, remedy="a layer needs its frequencies")
        check_frame_rate(stimuli)
        if not len(stimuli):
            raise ValueError(f"stimuli must hold movies, got none in {stimuli.name!r}; choose some.")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}; pass for example 64.")
        pyramid, rows, energies = None, [], []
        ids = tqdm(stimuli.stimulus_ids, desc=self.name, unit="movie", disable=None, leave=False,
                   file=sys.stderr)  # fmt: skip
        for stimulus_id in ids:
            blocks = self._read(stimuli, stimulus_id, batch_size)
            first = next(blocks)
            if pyramid is None:
                pyramid = self._make_pyramid(first.shape[1:], stimuli, device)
            if first.shape[1:] != pyramid.size_px:
                swapped = first.shape[:0:-1] == pyramid.size_px
                remedy = "height and width are swapped" if swapped else "resize them, or extract them apart"
                raise ValueError(
                    f"movies must be of one size, got {first.shape[1:]} px for {stimulus_id!r} after "
                    f"{pyramid.size_px}; {remedy}."
                )
            energy = self._average(pyramid, first, blocks, stimulus_id)
            rows += [stimulus_id] * len(energy)
            energies.append(energy)
        if pyramid is None:
            raise RuntimeError("the set is not empty")
        return {
            layer: self._label(layer, np.concatenate(energies), pyramid, rows, [len(e) for e in energies])
            for layer in wanted
        }

    def _read(self, stimuli: StimulusSet, stimulus_id: str, batch_size: int) -> Iterator[NDArray[np.float32]]:
        """Luminance of one movie, block by block."""
        torch = import_optional("torch", extra="torch")
        for frames in read_movie_blocks(stimuli, stimulus_id, n_frames=batch_size):
            luminance = compute_luminance(frames)
            height, width = luminance.shape[1:]
            if self.height_px is not None and self.height_px != height:
                size = (self.height_px, max(2, round(width * self.height_px / height)))
                scaled = torch.nn.functional.interpolate(
                    torch.from_numpy(luminance)[:, None], size=size, mode="bilinear", antialias=True
                )
                luminance = scaled[:, 0].numpy()
            yield luminance

    def _make_pyramid(
        self, size_px: tuple[int, ...], stimuli: StimulusSet, device: str
    ) -> MotionEnergyPyramid:
        height, width = size_px
        return MotionEnergyPyramid(
            (height, width), check_frame_rate(stimuli), tuple(self.spatial_frequencies_cpi),
            tuple(self.temporal_frequencies_hz), tuple(self.directions_deg), stimuli.size_dva, device,
            spacing_sd=self.spacing_sd,
        )  # fmt: skip

    def _average(
        self,
        pyramid: MotionEnergyPyramid,
        first: NDArray[np.float32],
        rest: Iterator[NDArray[np.float32]],
        stimulus_id: str,
    ) -> NDArray[np.float64]:
        """Mean energy (n_rows, n_filters) of one movie, or of each of its samples."""
        held, n_frames = pyramid.n_frames, 0

        def hold_ends() -> Iterator[NDArray[np.float32]]:
            nonlocal n_frames
            yield np.repeat(first[:1], held, axis=0)
            block = first
            for block in _chain(first, rest):
                n_frames += len(block)
                yield block
            yield np.repeat(block[-1:], held, axis=0)

        sums, weights = np.zeros((0, len(pyramid.filters))), np.zeros(0)
        frame = -held
        for amplitude in pyramid.stream(hold_ends(), output="amplitude"):
            # What belongs to the held frames after the movie comes out when its length is known.
            start, stop = max(0, -frame), min(len(amplitude), n_frames - frame)
            if stop > start:
                overlap, row = self._weigh(np.arange(frame + start, frame + stop), pyramid.fps)
                grown = row + overlap.shape[0] - len(sums)
                if grown > 0:
                    sums = np.concatenate([sums, np.zeros((grown, sums.shape[1]))])
                    weights = np.concatenate([weights, np.zeros(grown)])
                here = slice(row, row + overlap.shape[0])
                sums[here] += overlap @ amplitude[start:stop].astype(np.float64) ** 2
                weights[here] += overlap.sum(axis=1)
            frame += len(amplitude)
        if n_frames < 2:
            raise ValueError(
                f"a movie must have at least 2 frames, got {n_frames} for {stimulus_id!r}; choose a feature "
                "space of images."
            )
        if self.t_r is None:
            return sums / weights[:, None]
        full = int(np.floor(n_frames / pyramid.fps / self.t_r + _EDGE))
        if not full:
            raise ValueError(
                f"a movie must last a sample of {self.t_r:g} s, got {n_frames / pyramid.fps:.3g} s for "
                f"{stimulus_id!r}; lower t_r or leave it out."
            )
        return sums[:full] / weights[:full, None]

    def _weigh(self, frames: NDArray[np.int_], fps: float) -> tuple[NDArray[np.float64], int]:
        """Time of each frame in each sample (n_samples, n_frames) [frames], and the first sample."""
        if self.t_r is None:
            return np.ones((1, len(frames))), 0
        first = int(frames[0] / fps / self.t_r + _EDGE)
        last = int((frames[-1] + 1) / fps / self.t_r - _EDGE)
        edges = np.arange(first, last + 2) * self.t_r * fps
        inside = np.minimum(edges[1:, None], frames + 1.0) - np.maximum(edges[:-1, None], frames)
        return np.maximum(inside, 0.0), first

    def _label(
        self, layer: str, energy: NDArray, pyramid: MotionEnergyPyramid, rows: list[str], lengths: list[int]
    ) -> xr.DataArray:
        table = pyramid.filters
        chosen = choose_filters(table, layer)
        if layer == "opponent_energy":
            values = _compute_opponent(energy[:, chosen], table[chosen])
        elif self.compression == "none":
            values = energy[:, chosen]
        else:
            values = np.sqrt(energy[:, chosen])
            if self.compression == "log":
                values = np.log(values + _TINY)
        row = "stimulus" if self.t_r is None else "time"
        coords: dict[str, Any] = {"stimulus_id": (row, np.array(rows, dtype=str))}
        if self.t_r is not None:
            coords["time"] = (row, np.concatenate([np.arange(n) + 0.5 for n in lengths]) * self.t_r)
        names = ["spatial_frequency_cpd", "temporal_frequency_hz", "direction_deg", "x_dva", "y_dva"]
        coords |= {name: ("feature", table.loc[chosen, name].to_numpy()) for name in names}
        # Bars of a still filter run across the direction of its label.
        bars = (table.loc[chosen, "pymoten_direction_deg"].to_numpy() + 90) % 180
        has_bars = table.loc[chosen, "spatial_frequency_cpi"].to_numpy() > 0
        coords["orientation_deg"] = ("feature", np.where(has_bars, bars, np.nan))
        attrs: dict[str, Any] = {"features": self.name, "layer": layer, "size_dva": pyramid.size_dva}
        if self.t_r is not None:
            attrs["t_r"] = self.t_r
        return xr.DataArray(values.astype(np.float32), dims=(row, "feature"), coords=coords, attrs=attrs)


def choose_filters(filters: pd.DataFrame, layer: str) -> NDArray[np.bool_]:
    """Filters of a layer.

    Parameters
    ----------
    filters : pandas.DataFrame
        Of :func:`neurovis.motion.energy_filters.make_filter_table`.
    layer : str
        One of ``LAYERS``; those of opponent energy are those of motion energy.

    Returns
    -------
    array of bool of shape (n_filters,)
    """
    moving = filters["temporal_frequency_hz"].to_numpy() > 0
    patterned = filters["spatial_frequency_cpi"].to_numpy() > 0
    if check_option("layer", layer, LAYERS) == "static_energy":
        return ~moving
    return moving & (~patterned if layer == "flicker_energy" else patterned)


def _compute_opponent(energy: NDArray[np.float64], moving: pd.DataFrame) -> NDArray[np.float64]:
    """Root of what each filter has more than that of the opposite direction, columns as ``moving``."""
    keys = ["spatial_frequency_cpi", "temporal_frequency_hz", "x", "y", "direction_deg"]
    turned = moving.assign(direction_deg=(moving["direction_deg"] + 180) % 360)
    columns = pd.Series(np.arange(len(moving)), pd.MultiIndex.from_frame(moving[keys].round(6)))
    opposite = columns.loc[pd.MultiIndex.from_frame(turned[keys].round(6))].to_numpy()
    return np.sqrt(np.maximum(energy - energy[:, opposite], 0.0))


def _chain(first: NDArray, rest: Iterator[NDArray]) -> Iterator[NDArray]:
    yield first
    yield from rest
