"""Band-limited noise: Gaussian noise filtered in spatial frequency and orientation, at a set contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, compute_px_per_dva, make_rng


def make_band_limited_noise(
    *,
    size_px: tuple[int, int],
    size_dva: tuple[float, float],
    spatial_frequency_cpd: float,
    bandwidth_octaves: float,
    rms_contrast: float,
    seed: int,
    orientation_deg: float | None = None,
    orientation_bandwidth_deg: float = 30.0,
) -> NDArray[np.float64]:
    """White Gaussian noise in a sharp octave band, scaled to an exact contrast.

    Parameters
    ----------
    size_px, size_dva : tuple
        (height, width) [px] and [degrees].
    spatial_frequency_cpd : float
        Centre of the band (geometric mean of its edges) [cycles per degree].
    bandwidth_octaves : float
        Full width of the band [octaves].
    rms_contrast : float
        Standard deviation over mean luminance; exact before clipping.
    seed : int
        Decides the noise.
    orientation_deg : float, optional
        Orientation of the bars [degrees from horizontal, counter-clockwise]; isotropic by default.
    orientation_bandwidth_deg : float
        Full width of the orientation band [degrees].

    Returns
    -------
    array of shape (height, width)
        Luminance around 0.5, **not clipped**: with a high contrast values leave [0, 1], and the caller
        decides what the display does with them.

    Raises
    ------
    ValueError
        If the band holds no frequency of this display.
    """
    check_array("bandwidth_octaves", bandwidth_octaves, ndim=0, minimum=1e-6)
    check_array("rms_contrast", rms_contrast, ndim=0, minimum=0)
    px_per_dva = compute_px_per_dva(size_px, size_dva)
    vertical = np.fft.fftfreq(size_px[0], d=1 / px_per_dva)[:, None]
    horizontal = np.fft.rfftfreq(size_px[1], d=1 / px_per_dva)[None, :]
    radius = np.hypot(vertical, horizontal)
    half = 2 ** (bandwidth_octaves / 2)
    keep = (radius >= spatial_frequency_cpd / half) & (radius <= spatial_frequency_cpd * half) & (radius > 0)
    if orientation_deg is not None:
        # Rows grow downwards, so the vertical frequency changes sign; bars are orthogonal to the wave.
        wave = np.rad2deg(np.arctan2(-vertical, horizontal))
        apart = (wave - orientation_deg - 90 + 90) % 180 - 90
        keep &= np.abs(apart) <= orientation_bandwidth_deg / 2
    if not keep.any():
        low, high = 1 / max(size_dva), px_per_dva / 2
        raise ValueError(
            f"spatial_frequency_cpd and bandwidth_octaves must leave a frequency between {low:.3g} and "
            f"{high:.3g} cycles per degree, got {spatial_frequency_cpd} and {bandwidth_octaves}; "
            "widen the band."
        )
    white = make_rng(seed, "band_limited_noise").normal(size=size_px)
    noise = np.fft.irfft2(np.fft.rfft2(white) * keep, s=size_px)
    return 0.5 * (1 + rms_contrast * noise / noise.std())


def scramble_phase(image: NDArray, *, seed: int) -> NDArray[np.float64]:
    """Image with its amplitude spectrum and random phases, the usual control of a localiser.

    Parameters
    ----------
    image : array of shape (height, width) or (height, width, channels)
        Any real values; all channels get the same phase shifts, which keeps their colour relations.
    seed : int
        Decides the phases.

    Returns
    -------
    array
        Same shape, mean and variance per channel, in floating point.
    """
    image = check_array("image", image, ndim=(2, 3), dtype=float)
    noise = make_rng(seed, "scramble_phase").normal(size=image.shape[:2])
    # The phase of a real image is odd by construction, so the result is real.
    phase = np.angle(np.fft.rfft2(noise))
    phase[0, 0] = 0.0
    if image.ndim == 3:
        phase = phase[..., None]
    spectrum = np.fft.rfft2(image, axes=(0, 1))
    scrambled = np.fft.irfft2(spectrum * np.exp(1j * phase), s=image.shape[:2], axes=(0, 1))
    mean, sd = image.mean((0, 1)), image.std((0, 1))
    spread = scrambled.std((0, 1))
    scale = np.divide(sd, spread, out=np.zeros_like(spread), where=spread > 0)
    return mean + (scrambled - scrambled.mean((0, 1))) * scale
