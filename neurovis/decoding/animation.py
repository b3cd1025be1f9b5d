"""From a first frame and flow to a movie: an interface for animators, and two that fill it differently.

:class:`WarpAnimator` moves the pixels of the first frame along the flow; it needs no weights and adds nothing
that the flow does not say, which makes it the check of a decoded flow. :class:`VideoDiffusionAnimator` runs
Stable Video Diffusion, which makes plausible films of a first frame but does **not** take flow: it is the
control without a brain. A flow-conditioned model (DragNUWA and its kind) fits the same interface; its
conventions are in :func:`spread_drags` and :func:`make_frame_flow`.

Flow is in px per frame of the resolution at hand, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from neurovis.core import check_array, check_option, import_optional, make_rng

INTERPOLATIONS = ("constant", "linear")
RESIZE_METHODS = ("linear", "area", "nearest")

_LEAST_COVER = 0.25  # of a pixel, below which it counts as a hole
_SAME_PX = 0.5  # difference of distances moved that is no difference of layers
_SVD = "stabilityai/stable-video-diffusion-img2vid"


@runtime_checkable
class Animator(Protocol):
    """First frame and flow to a movie."""

    @property
    def name(self) -> str:
        """Name of the animator in tables."""
        ...

    @property
    def uses_flow(self) -> bool:
        """Whether the movie depends on the flow at all."""
        ...

    def __call__(self, frame: NDArray, flow: NDArray) -> NDArray:
        """Animate one frame.

        Parameters
        ----------
        frame : uint8 array of shape (height, width, 3)
            RGB.
        flow : array of shape (n_fields, height, width, 2)
            Displacement from each frame to the next [px], at the places of the earlier one.

        Returns
        -------
        uint8 array of shape (n_fields + 1, height, width, 3)
            The first is the given frame.
        """
        ...


@dataclass(frozen=True)
class WarpAnimator:
    """Carry every pixel of the first frame along the flow and splat it bilinearly.

    Parameters
    ----------
    sharpness : float
        Where pixels meet, the one that has moved further lies in front (what is near moves faster); its
        weight grows by ``exp(sharpness)`` for each px. 0 mixes them equally.

    Notes
    -----
    What the first frame does not show cannot be known: holes take the colour of the nearest pixel that has
    moved least around them, the background.
    """

    sharpness: float = 2.0

    @property
    def name(self) -> str:
        """Name in tables."""
        return "warp"

    @property
    def uses_flow(self) -> bool:
        """Always."""
        return True

    def __call__(self, frame: ArrayLike, flow: ArrayLike) -> NDArray[np.uint8]:
        """Animate one frame; see :class:`Animator`.

        Raises
        ------
        ValueError
            If shapes do not fit or a value is not finite.
        """
        first, fields = _check_clip(frame, flow)
        height, width = first.shape[:2]
        start = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
        place, frames = start.copy(), [first]
        for field in fields:
            # A pixel meets the flow of each step where it is by then.
            place = place + sample_at(field, place)
            frames.append(self._splat(first, place, np.hypot(*np.moveaxis(place - start, -1, 0))))
        return np.stack(frames)

    def _splat(
        self, colours: NDArray[np.uint8], place: NDArray[np.float64], distance: NDArray[np.float64]
    ) -> NDArray[np.uint8]:
        height, width = colours.shape[:2]
        # How far a pixel has come travels with its colour.
        values = np.concatenate([colours, distance[..., None]], axis=-1).reshape(-1, 4).astype(np.float64)
        corner = np.floor(place).astype(int)
        inside = place - corner
        # Weights relative to the furthest pixel: no overflow, and only those that meet are compared.
        front = np.exp(np.maximum(self.sharpness * (distance - distance.max()), -50.0)).ravel()
        total = np.zeros((height * width, 4))
        weights, cover = np.zeros((2, height * width))
        for dx in (0, 1):
            for dy in (0, 1):
                share = (inside[..., 0] if dx else 1 - inside[..., 0]) * (
                    inside[..., 1] if dy else 1 - inside[..., 1]
                )
                x, y = corner[..., 0] + dx, corner[..., 1] + dy
                valid = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).ravel()
                index, part = (y * width + x).ravel()[valid], share.ravel()[valid]
                np.add.at(cover, index, part)
                np.add.at(weights, index, part * front[valid])
                np.add.at(total, index, (part * front[valid])[:, None] * values[valid])
        seen = (cover >= _LEAST_COVER) & (weights > 0)
        image = np.zeros_like(total)
        image[seen] = total[seen] / weights[seen, None]
        return _fill(image.reshape(height, width, 4), seen.reshape(height, width))


@dataclass(frozen=True)
class VideoDiffusionAnimator:
    """Stable Video Diffusion of the first frame (Blattmann et al., arXiv 2311.15127), blind to the flow.

    Parameters
    ----------
    model : str or diffusers.StableVideoDiffusionPipeline
        Name on the hub, local folder, or a pipeline.
    n_steps : int
        Denoising steps.
    motion_bucket, fps, noise : int, int, float
        Conditioning of the model: how much motion, frames per second, and noise added to the first frame.
    seed : int
        Of the noise: another one gives another film, none of which knows the brain.
    device : str
        Torch device.

    Notes
    -----
    The flow gives only the number of frames. As a baseline report a single sample as well as the best of
    several: picking the best against the truth is an oracle.
    """

    model: Any = _SVD
    n_steps: int = 25
    motion_bucket: int = 127
    fps: int = 4
    noise: float = 0.02
    seed: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Name in tables."""
        return "stable video diffusion"

    @property
    def uses_flow(self) -> bool:
        """Never: the movie comes from the first frame and the seed."""
        return False

    def __call__(self, frame: ArrayLike, flow: ArrayLike) -> NDArray[np.uint8]:
        """Animate one frame; see :class:`Animator`.

        Raises
        ------
        FileNotFoundError
            If the weights are not here and cannot be fetched.
        ValueError
            If shapes do not fit, or a side is no multiple of 8 px, which the model needs.
        """
        torch = import_optional("torch", extra="torch")
        from PIL import Image

        first, fields = _check_clip(frame, flow)
        height, width = first.shape[:2]
        if height % 8 or width % 8:
            raise ValueError(
                f"frame must have sides that are multiples of 8 px, got {height} x {width}; resize it first."
            )
        pipeline = self._pipeline
        generator = torch.Generator("cpu").manual_seed(int(make_rng(self.seed, "svd").integers(2**62)))
        frames = pipeline(
            Image.fromarray(first), height=height, width=width, num_frames=len(fields) + 1,
            num_inference_steps=self.n_steps, fps=self.fps, motion_bucket_id=self.motion_bucket,
            noise_aug_strength=self.noise, decode_chunk_size=4, generator=generator, output_type="np",
        ).frames[0]  # fmt: skip
        movie = np.clip(np.asarray(frames) * 255 + 0.5, 0, 255).astype(np.uint8)
        movie[0] = first
        return movie

    @cached_property
    def _pipeline(self) -> Any:
        diffusers = import_optional("diffusers", extra="diffusion")
        if not isinstance(self.model, str | Path):
            return self.model.to(self.device)
        try:
            pipeline = diffusers.StableVideoDiffusionPipeline.from_pretrained(str(self.model))
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f"no weights of {self.model!r} here and none could be fetched ({type(error).__name__}); get "
                f"https://huggingface.co/{_SVD} (licence: Stability AI community) elsewhere and pass its "
                "folder as model."
            ) from error
        return pipeline.to(self.device)


def resize_flow(
    flow: ArrayLike, size_px: tuple[int, int], *, method: str | None = None
) -> NDArray[np.float32]:
    """Flow at another resolution: fields are resampled and vectors scaled with them.

    Parameters
    ----------
    flow : array of shape (..., height, width, 2)
        [px per frame of this resolution].
    size_px : (int, int)
        New height and width [px].
    method : {"linear", "area", "nearest"}, optional
        By default the area mean where both sides shrink, else linear. Means shrink the motion of objects
        that are smaller than a cell; nearest keeps it.

    Returns
    -------
    array of shape (..., size_px[0], size_px[1], 2)
        float32 [px per frame of the new resolution]: x is multiplied by new over old width, y by new over
        old height.

    Raises
    ------
    ValueError
        If the last axis is not (x, y), a size is not positive and whole, or the method is unknown.
    """
    torch = import_optional("torch", extra="torch")
    fields = check_array("flow", flow, dtype=np.float32)
    if fields.ndim < 3 or fields.shape[-1] != 2 or min(size_px) < 1 or any(side % 1 for side in size_px):
        raise ValueError(
            f"flow must have shape (..., height, width, 2) and size_px be positive and whole, got "
            f"{fields.shape} and {size_px}; move x and y last."
        )
    height, width = fields.shape[-3:-1]
    if method is None:
        method = "area" if size_px[0] <= height and size_px[1] <= width else "linear"
    check_option("method", method, RESIZE_METHODS)
    maps = torch.from_numpy(np.moveaxis(fields.reshape(-1, height, width, 2), -1, 1).copy())
    mode = {"linear": "bilinear", "area": "area", "nearest": "nearest-exact"}[method]
    resized = torch.nn.functional.interpolate(maps, size=tuple(size_px), mode=mode).numpy()
    scale = np.array([size_px[1] / width, size_px[0] / height], dtype=np.float32)
    return (np.moveaxis(resized, 1, -1) * scale).reshape(*fields.shape[:-3], *size_px, 2)


def make_frame_flow(
    flow: ArrayLike, n_fields: int, *, interpolation: str = "constant"
) -> NDArray[np.float32]:
    """Flow from frame to frame from few fields that each span several frames.

    Parameters
    ----------
    flow : array of shape (n_steps, height, width, 2)
        Displacements over equal parts of the clip [px].
    n_fields : int
        Frame-to-frame fields, at least as many; 13 for the 14 frames of Stable Video Diffusion.
    interpolation : {"constant", "linear"}
        Of the velocity between steps.

    Returns
    -------
    array of shape (n_fields, height, width, 2)
        float32 [px per frame]. With "constant" they sum over time to the sum of the steps exactly.

    Raises
    ------
    ValueError
        If there is no step, there are fewer fields than steps, or the interpolation is unknown.
    """
    steps = check_array("flow", flow, ndim=4, shape=(None, None, None, 2), dtype=np.float64)
    check_option("interpolation", interpolation, INTERPOLATIONS)
    n_steps = len(steps)
    if not n_steps or n_fields < n_steps or n_fields % 1:
        raise ValueError(
            f"n_fields must be a whole number, at least the {n_steps} steps of flow, of which there must be "
            f"one, got {n_fields}; raise it."
        )
    speed = steps * n_steps / n_fields  # px per frame, were each step spread evenly
    if interpolation == "constant":
        edges = np.arange(n_fields + 1) * n_steps / n_fields
        overlap = np.minimum(edges[1:, None], np.arange(1, n_steps + 1)) - np.maximum(
            edges[:-1, None], np.arange(n_steps)
        )
        weights = np.maximum(overlap, 0) * n_fields / n_steps
    else:
        moment = np.clip((np.arange(n_fields) + 0.5) * n_steps / n_fields - 0.5, 0, n_steps - 1)
        weights = np.maximum(0.0, 1 - np.abs(moment[:, None] - np.arange(n_steps)))
    return np.tensordot(weights, speed, axes=1).astype(np.float32)


def spread_drags(
    drags: ArrayLike, *, sigma_px: float = 20.0, radius_px: int = 99, dense: bool = True
) -> NDArray[np.float32]:
    """Smooth drags as DragNUWA takes them, with or without the correction that dense flow needs.

    Parameters
    ----------
    drags : array of shape (n_fields, height, width, 2)
        Dense flow, or zero but at the points of trajectories [px per frame].
    sigma_px, radius_px : float, int
        Of the Gaussian; its peak is 1, so that a single drag becomes a bump of its own height.
    dense : bool
        Divide by the response of the filter to ones. Without, a dense field would come out about
        ``2 pi sigma**2``, 2500 times, too large.

    Returns
    -------
    array of the same shape
        float32 [px per frame].

    Raises
    ------
    ValueError
        If the drags are no flow or not finite, or the Gaussian has no width.
    """
    fields = check_array("drags", drags, ndim=4, shape=(None, None, None, 2), dtype=np.float64)
    check_array("sigma_px", sigma_px, ndim=0, minimum=1e-3, remedy="DragNUWA takes 20")
    check_array("radius_px", radius_px, ndim=0, minimum=0, remedy="DragNUWA takes 99")
    offsets = np.arange(-radius_px, radius_px + 1)
    kernel = np.exp(-(offsets**2) / (2 * sigma_px**2))

    def smooth(maps: NDArray) -> NDArray:
        for axis in (1, 2):
            maps = ndimage.correlate1d(maps, kernel, axis=axis, mode="constant")
        return maps

    spread = smooth(fields)
    if dense:
        spread /= smooth(np.ones((1, *fields.shape[1:3], 1)))
    return spread.astype(np.float32)


def compute_psnr(truth: ArrayLike, prediction: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Peak signal-to-noise ratio of 8-bit images or movies, in dB.

    Parameters
    ----------
    truth, prediction : uint8 array of shape (..., height, width, 3)
        RGB.
    mask : bool array of shape (..., height, width), optional
        Pixels that count.

    Returns
    -------
    float
        Infinite for equal pixels.

    Raises
    ------
    TypeError
        If pixels are not 8-bit, whose largest value the ratio refers to.
    ValueError
        If shapes differ or the mask is empty.
    """
    images = np.asarray(truth), np.asarray(prediction)
    if any(image.dtype != np.uint8 for image in images):
        raise TypeError(
            f"truth and prediction must be uint8, got {images[0].dtype} and {images[1].dtype}; scale them to "
            "0-255 and convert."
        )
    first, second = (image.astype(np.float64) for image in images)
    inside = np.ones(first.shape[:-1], dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if first.shape != second.shape or inside.shape != first.shape[:-1] or not inside.any():
        raise ValueError(
            f"truth, prediction and mask must agree and the mask hold pixels, got {first.shape}, "
            f"{second.shape} and {int(inside.sum())} pixels of {inside.shape}."
        )
    error = ((first - second)[inside] ** 2).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def sample_at(field: NDArray, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear samples of a field (height, width, k) at places (..., 2) in (x, y) [px], edges continued."""
    where = [place[..., 1], place[..., 0]]
    return np.stack(
        [
            ndimage.map_coordinates(field[..., k], where, order=1, mode="nearest")
            for k in range(field.shape[-1])
        ],
        axis=-1,
    )


def _check_clip(frame: ArrayLike, flow: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    first = np.asarray(frame)
    fields = check_array("flow", flow, ndim=4, shape=(None, None, None, 2), dtype=np.float64)
    if first.dtype != np.uint8 or first.shape != (*fields.shape[1:3], 3) or not len(fields):
        raise ValueError(
            f"frame must be uint8 (height, width, 3) of the size of flow, got {first.dtype} {first.shape} "
            f"for flow {fields.shape}; resize the flow with resize_flow."
        )
    return first, fields


def _fill(image: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colours of (red, green, blue, distance moved); holes take those of the nearest background."""
    if not seen.all() and seen.any():
        moved = image[..., 3]
        background = seen & (moved <= np.median(moved[seen]) + _SAME_PX)
        nearest = ndimage.distance_transform_edt(~background, return_distances=False, return_indices=True)
        image = np.where(seen[..., None], image, image[tuple(nearest)])
    return np.clip(image[..., :3] + 0.5, 0, 255).astype(np.uint8)
