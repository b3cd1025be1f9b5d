"""Searchers to compare with: chance, the middle, where others looked, saliency, and likeness of pixels.

All run in the same loop as the models (:func:`neurovis.gaze.search.simulate_search`), so what they share with
them, e.g. that they do not return, is not what tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from neurovis.core import check_array, make_rng
from neurovis.core.fixations import Fixations
from neurovis.gaze.search import Attend, Glance, SearchSetup

_SALIENCY_SIDE_PX = 64
_RESIDUAL_PX = 3
_SALIENCY_BLUR = 2.5


@dataclass(frozen=True)
class ChanceSearcher:
    """Goes anywhere: every open pixel alike, drawn anew before each saccade.

    In an array of n cells that are all filled it needs (n + 1) / 2 saccades on average.
    """

    name: str = "chance"

    def begin(self, setup: SearchSetup) -> Attend:
        """Draws depend on the seed, the trial and the number of draws that it had."""
        task = setup.task
        rngs = [make_rng(setup.seed, "chance search", str(name)) for name in task.trials.index]

        def attend(glance: Glance) -> NDArray[np.float32]:
            return np.stack([rngs[trial].random(task.size_px, dtype=np.float32) for trial in glance.trials])

        return attend


@dataclass(frozen=True)
class CentreSearcher:
    """Goes to the open place that is nearest to the image's middle."""

    name: str = "centre"

    def begin(self, setup: SearchSetup) -> Attend:
        """Nothing is random."""
        task = setup.task
        down, across = (np.arange(side) + 0.5 - side / 2 for side in task.size_px)
        density = -np.hypot(down[:, None], across).astype(np.float32)
        return lambda glance: np.broadcast_to(density, (len(glance.trials), *task.size_px))


@dataclass(frozen=True, eq=False)
class DensitySearcher:
    """Goes where people looked in the other images: smoothed counts of fixations.

    Parameters
    ----------
    fixations : Fixations
        Of people, in the pixels that the task reports. Fixations on the image that is searched are left out,
        and so are those beyond the image.
    sigma_px : float
        Standard deviation of the smoothing [px of the task's images].
    name : str
        Of the searcher.
    """

    fixations: Fixations
    sigma_px: float
    name: str = "where others looked"

    def begin(self, setup: SearchSetup) -> Attend:
        """Counts are made once; those of the searched image are taken off in each trial."""
        task = setup.task
        check_array("sigma_px", self.sigma_px, ndim=0, minimum=1e-6)
        rows = np.floor(self.fixations["y_px"].to_numpy() / task.scale[0]).astype(int)
        columns = np.floor(self.fixations["x_px"].to_numpy() / task.scale[1]).astype(int)
        inside = (rows >= 0) & (rows < task.size_px[0]) & (columns >= 0) & (columns < task.size_px[1])
        shown = self.fixations["stimulus_id"].to_numpy()
        ids = task.trials.index.to_numpy()

        def count(chosen: NDArray[np.bool_]) -> NDArray[np.float32]:
            counts = np.zeros(task.size_px, dtype=np.float32)
            np.add.at(counts, (rows[chosen], columns[chosen]), 1)
            return ndimage.gaussian_filter(counts, self.sigma_px)

        whole = count(inside)

        def attend(glance: Glance) -> NDArray[np.float32]:
            return np.stack([whole - count(inside & (shown == ids[trial])) for trial in glance.trials])

        return attend


@dataclass(frozen=True)
class SaliencySearcher:
    """Goes to what stands out, whatever the target: the spectral residual.

    Hou & Zhang (2007) Saliency detection: a spectral residual approach. CVPR. The authors of eccNET
    used graph-based visual saliency instead.
    """

    name: str = "saliency"

    def begin(self, setup: SearchSetup) -> Attend:  # noqa: ARG002 (of the interface)
        """Targets are not looked at."""
        return lambda glance: np.stack([compute_spectral_residual(image) for image in glance.images])


@dataclass(frozen=True, eq=False)
class PixelSearcher:
    """Goes to where the picture of the target fits best: normalised cross-correlation of grey values."""

    name: str = "pixel match"

    def begin(self, setup: SearchSetup) -> Attend:
        """Pictures are matched as they are, neither turned nor resized."""
        task = setup.task
        grey = [picture.mean(axis=2) for picture in task.targets]
        target_of = task.trials["target_index"].to_numpy()

        def attend(glance: Glance) -> NDArray[np.float32]:
            return np.stack(
                [
                    match_template(image.mean(axis=2), grey[target_of[trial]])
                    for image, trial in zip(glance.images, glance.trials, strict=True)
                ]
            ).astype(np.float32)

        return attend


def compute_spectral_residual(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Saliency of an image (height, width, 3): what its log amplitude spectrum has beyond the local mean.

    Computed at a larger side of 64 px, smoothed, and grown to the image's size. A plain image is salient
    nowhere.
    """
    grey = image.mean(axis=2)
    if np.ptp(grey) == 0:
        return np.zeros(grey.shape, dtype=np.float32)
    small = ndimage.zoom(grey, _SALIENCY_SIDE_PX / max(grey.shape), order=1, mode="nearest")
    spectrum = fft.fft2(small)
    amplitude = np.log(np.abs(spectrum) + 1e-9)
    residual = amplitude - ndimage.uniform_filter(amplitude, _RESIDUAL_PX, mode="wrap")
    salient = np.abs(fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    salient = ndimage.gaussian_filter(salient, _SALIENCY_BLUR)
    rows, columns = (
        (np.arange(side) + 0.5) * size / side - 0.5
        for side, size in zip(grey.shape, small.shape, strict=True)
    )
    places = np.meshgrid(rows, columns, indexing="ij")
    return ndimage.map_coordinates(salient, places, order=1, mode="nearest").astype(np.float32)


def match_template(image: NDArray[np.floating], template: NDArray[np.floating]) -> NDArray[np.float64]:
    """Correlation of a template with the image around every pixel.

    Parameters
    ----------
    image : array of shape (height, width)
        Mirrored beyond its border.
    template : array of shape (h, w)
        Not larger than the image. Of an even side, the middle is the pixel behind it.

    Returns
    -------
    array of shape (height, width)
        Pearson correlation, -1 to 1; 0 where the image does not vary.
    """
    image = check_array("image", image, ndim=2, dtype=np.float64)
    template = check_array("template", template, ndim=2, dtype=np.float64)
    if (np.array(template.shape) > image.shape).any():
        raise ValueError(f"template must fit the image of {image.shape}, got {template.shape}; resize it.")
    height, width = template.shape
    before = (height // 2, width // 2)
    padded = np.pad(
        image - image.mean(),
        [(b, n - 1 - b) for b, n in zip(before, (height, width), strict=True)],
        mode="symmetric",
    )
    size = [fft.next_fast_len(n, real=True) for n in padded.shape]
    spectrum = fft.rfft2(padded, size)

    def slide(kernel: NDArray, of: NDArray) -> NDArray:
        return fft.irfft2(of * fft.rfft2(kernel, size).conj(), size)[: image.shape[0], : image.shape[1]]

    ones = np.ones((height, width)) / (height * width)
    mean = slide(ones, spectrum)
    variance = slide(ones, fft.rfft2(padded**2, size)) - mean**2
    centred = (template - template.mean()) / (height * width)
    scale = np.sqrt(np.clip(variance, 0, None)) * template.std()
    varies = scale > 1e-6 * max(image.std() * template.std(), 1e-12)
    return np.divide(slide(centred, spectrum), scale, out=np.zeros_like(mean), where=varies)
