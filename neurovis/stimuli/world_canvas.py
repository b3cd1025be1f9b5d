"""The drawing surface of the stimulus world: colour, relief, grain and owner of every pixel at once.

Things are drawn back to front in relative coordinates on a supersampled canvas. Relief is painted beside
the colour as nested shapes that drift towards the light, and one blur turns it into smooth shading.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
NEUTRAL_SHADE = 128
BACKGROUND_OWNER = 0
PLACE_OWNER = 1
_RELIEF_LEVELS = (1.0, 0.8, 0.6, 0.4, 0.2)
_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_HALF_CIRCLE = tuple((math.cos(angle), math.sin(angle)) for angle in (k * math.pi / 6 for k in range(-3, 4)))


@dataclass(frozen=True)
class Light:
    """Illumination of a scene.

    Parameters
    ----------
    direction_deg : float
        Where the light comes from [degrees; 0 = right, counter-clockwise, 90 = above].
    contrast : float
        Strength of shading, 0 (flat) to about 1.
    temperature : float
        -1 (cool, blue) to 1 (warm, orange).
    brightness : float
        Overall gain, about 1.
    gradient : float
        Fall of brightness across the scene away from the light, 0 to about 0.5.
    """

    direction_deg: float = 120.0
    contrast: float = 0.7
    temperature: float = 0.0
    brightness: float = 1.0
    gradient: float = 0.15

    @property
    def vector(self) -> NDArray[np.float64]:
        """Unit vector towards the light in image coordinates (x right, y down)."""
        angle = np.deg2rad(self.direction_deg)
        return np.array([np.cos(angle), -np.sin(angle)])


class Canvas:
    """Supersampled square surface on which pens draw.

    Parameters
    ----------
    size_px : int
        Side of the final image [px].
    light : Light
        Decides where relief is bright.
    backdrop : array of shape (n, n, 3), uint8, optional
        What lies behind everything, already at ``side_px``.
    """

    def __init__(self, size_px: int, light: Light, backdrop: NDArray[np.uint8] | None = None) -> None:
        self.size_px = size_px
        self.light = light
        self.supersample = compute_supersample(size_px)
        self.side_px = size_px * self.supersample
        side = (self.side_px, self.side_px)
        self._paint = Image.new("RGBA", side, (128, 128, 128, NEUTRAL_SHADE))
        if backdrop is not None:
            self._paint.paste(Image.fromarray(backdrop))
            self._paint.putalpha(NEUTRAL_SHADE)
        self._info = Image.new("RGB", side, (BACKGROUND_OWNER, 0, 0))
        self._shadow = Image.new("L", side, 0)
        self.draw_paint = ImageDraw.Draw(self._paint)
        self.draw_info = ImageDraw.Draw(self._info)
        self.draw_shadow = ImageDraw.Draw(self._shadow)

    def pen(self, owner: int = BACKGROUND_OWNER) -> Pen:
        """Pen in scene coordinates: x and y from 0 to 1, y down; its pixels belong to ``owner``."""
        matrix = np.array([[self.side_px, 0.0, 0.0], [0.0, self.side_px, 0.0]])
        return Pen(self, matrix, owner)

    def stamp(self, mask: Image.Image, colour: Colour, *, shade: int = NEUTRAL_SHADE) -> None:
        """Paint ``colour`` through an "L" mask of the whole canvas, leaving owners as they are."""
        self._paint.paste((*colour, shade), (0, 0), mask)

    def claim(self, outline: list[float], owner: int) -> None:
        """Change the owner inside an outline of canvas pixels; colour, grain and shadows stay."""
        owners = self._info.getchannel("R")
        ImageDraw.Draw(owners).polygon(outline, fill=owner)
        self._info.paste(Image.merge("RGB", (owners, *self._info.split()[1:])))

    def render(self, grain: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Light the painted scene.

        Parameters
        ----------
        grain : array of shape (side_px, side_px)
            Fine texture with zero mean and unit variance.

        Returns
        -------
        image : array of shape (side_px, side_px, 3), uint8
            RGB before downscaling.
        owner : array of shape (side_px, side_px), uint8
            Owner of each pixel.
        """
        paint = np.asarray(self._paint)
        info = np.asarray(self._info)
        shade = self._paint.getchannel("A").filter(ImageFilter.GaussianBlur(self.side_px / 110))
        gain = np.asarray(shade, dtype=np.float32) * np.float32(1 / NEUTRAL_SHADE)
        gain *= 1 + info[..., 1] * (grain * np.float32(0.5 / 255))
        gain *= 1 - self._cast_shadows(info[..., 2]) * (info[..., 2] == 0)
        np.maximum(gain, 0, out=gain)
        gain *= self._compute_gradient() * np.float32(self.light.brightness)
        warm = np.float32(0.16 * self.light.temperature)
        tint = np.array([1 + warm, 1 + 0.2 * warm, 1 - warm], dtype=np.float32)
        lit = np.empty((self.side_px, self.side_px, 3), dtype=np.uint8)
        for channel in range(3):
            np.minimum(
                paint[..., channel] * (gain * tint[channel]), 255, out=lit[..., channel], casting="unsafe"
            )
        return lit, info[..., 0]

    def _cast_shadows(self, solid: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Share of light that things take from what lies behind: their silhouettes, away from the light."""
        silhouette = Image.fromarray(np.ascontiguousarray(solid))
        # Shadows are blurred far beyond a quarter of the resolution.
        silhouette, shadow = silhouette.reduce(4), self._shadow.reduce(4)
        away = -self.light.vector * self.side_px * 0.03 / 4
        shadow.paste(int(120 * self.light.contrast), (round(away[0]), round(away[1])), silhouette)
        blurred = shadow.filter(ImageFilter.GaussianBlur(self.side_px / 160)).resize(self._info.size)
        return np.asarray(blurred) * np.float32(1 / 255)

    def _compute_gradient(self) -> NDArray[np.float32]:
        position = np.linspace(-1, 1, self.side_px, dtype=np.float32)
        x, y = self.light.vector.astype(np.float32)
        return 1 + np.float32(self.light.gradient / 1.42) * (x * position[None, :] + y * position[:, None])


def compute_supersample(size_px: int) -> int:
    """Samples along a side of one final pixel: fewer where the image itself is fine."""
    return 3 if size_px <= 96 else 2


@dataclass(frozen=True, eq=False)
class Pen:
    """Draws parts of one owner in its own coordinates.

    Parameters
    ----------
    canvas : Canvas
        Where it draws.
    matrix : array of shape (2, 3)
        Local (x right, y down) to canvas pixels.
    owner : int
        Number written into the owner map; 0 is the background.
    """

    canvas: Canvas
    matrix: NDArray[np.float64]
    owner: int

    def at(
        self,
        x: float,
        y: float,
        scale: float | tuple[float, float] = 1.0,
        turn_deg: float = 0.0,
        *,
        mirror: bool = False,
        owner: int | None = None,
    ) -> Pen:
        """Pen whose origin is at (x, y), turned counter-clockwise and scaled (in x and y)."""
        scale_x, scale_y = scale if isinstance(scale, tuple) else (scale, scale)
        angle = np.deg2rad(turn_deg)
        cosine, sine = np.cos(angle), np.sin(angle)
        flip = -1.0 if mirror else 1.0
        local = np.array(
            [[flip * cosine * scale_x, sine * scale_y], [-flip * sine * scale_x, cosine * scale_y]]
        )
        linear = self.matrix[:, :2]
        matrix = np.column_stack([linear @ local, linear @ (x, y) + self.matrix[:, 2]])
        return Pen(self.canvas, matrix, self.owner if owner is None else owner)

    def to_px(self, points: ArrayLike) -> NDArray[np.float64]:
        """Canvas pixels of local points (n, 2)."""
        return np.asarray(points, dtype=float) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def shape(
        self,
        points: ArrayLike,
        colour: Colour,
        *,
        relief: float = 0.0,
        grain: float = 0.08,
        shade: float = 1.0,
    ) -> None:
        """Filled outline.

        Parameters
        ----------
        points : array of shape (n, 2)
            Corners in local coordinates.
        colour : tuple of int
            RGB under neutral light.
        relief : float
            Roundness, 0 (flat) to 1 (ball).
        grain : float
            Strength of the fine texture, 0 to 1; twice its standard deviation.
        shade : float
            Brightness of the whole part, 1 = neutral.
        """
        outline = self.to_px(points)
        self._own(outline.ravel().tolist(), grain)
        draw = self.canvas.draw_paint
        strength = relief * self.canvas.light.contrast
        if strength <= 0:
            draw.polygon(outline.ravel().tolist(), fill=(*colour, _clip(NEUTRAL_SHADE * shade)))
            return
        low, high = outline.min(0), outline.max(0)
        centre = (low + high) / 2
        drift = self.canvas.light.vector * (min(high - low) * 0.32)
        for level in _RELIEF_LEVELS:
            inner = centre + (outline - centre) * level + drift * (1 - level)
            ink = _clip(NEUTRAL_SHADE * shade * _relief_gain(level, strength))
            draw.polygon(inner.ravel().tolist(), fill=(*colour, ink))

    def ellipse(
        self,
        x: float,
        y: float,
        radius_x: float,
        radius_y: float | None = None,
        colour: Colour = (128, 128, 128),
        *,
        turn_deg: float = 0.0,
        relief: float = 0.0,
        grain: float = 0.08,
        shade: float = 1.0,
    ) -> None:
        """Filled ellipse around (x, y); a circle without ``radius_y``."""
        points = _CIRCLE * (radius_x, radius_x if radius_y is None else radius_y)
        if turn_deg:
            points = points @ _rotation(turn_deg)
        self.shape(np.add(points, (x, y)), colour, relief=relief, grain=grain, shade=shade)

    def limb(
        self,
        points: ArrayLike,
        widths: float | Sequence[float],
        colour: Colour,
        *,
        relief: float = 0.0,
        grain: float = 0.08,
        shade: float = 1.0,
    ) -> None:
        """Chain of tapered rods with round ends: arms, tails, branches, letters.

        Parameters
        ----------
        points : array of shape (n, 2)
            Joints in local coordinates.
        widths : float or sequence of n floats
            Full width at each joint in local units.
        """
        joints = self.to_px(points)
        scale = np.sqrt(abs(np.linalg.det(self.matrix[:, :2])))
        radii = np.broadcast_to(np.asarray(widths, dtype=float) * scale / 2, len(joints))
        strength = relief * self.canvas.light.contrast
        levels = _RELIEF_LEVELS[::2] if strength > 0 else (1.0,)
        toward_x, toward_y = self.canvas.light.vector.tolist()
        chain = [(x, y, radius) for (x, y), radius in zip(joints.tolist(), radii.tolist(), strict=True)]
        for level in levels:
            drift = 0.6 * (1 - level)
            ink = _clip(NEUTRAL_SHADE * shade * _relief_gain(level, strength))
            for (x0, y0, start), (x1, y1, end) in itertools.pairwise(chain):
                rod = _rod(
                    x0 + drift * start * toward_x,
                    y0 + drift * start * toward_y,
                    x1 + drift * end * toward_x,
                    y1 + drift * end * toward_y,
                    start * level,
                    end * level,
                )
                if level == 1.0:
                    self._own(rod, grain)
                self.canvas.draw_paint.polygon(rod, fill=(*colour, ink))

    def shadow(self, x: float, y: float, radius_x: float, radius_y: float, *, strength: float = 0.45) -> None:
        """Soft shadow on the ground, besides the one that the silhouette casts by itself."""
        outline = self.to_px(np.add(_CIRCLE * (radius_x, radius_y), (x, y)))
        self.canvas.draw_shadow.polygon(
            outline.ravel().tolist(), fill=_clip(255 * strength * self.canvas.light.contrast)
        )

    def claim(self, points: ArrayLike) -> None:
        """Give the pixels inside an outline to the owner without painting them."""
        outline = self.to_px(points).ravel().tolist()
        self.canvas.claim(outline, self.owner)

    def _own(self, outline: list[float], grain: float) -> None:
        solid = 255 if self.owner > PLACE_OWNER else 0
        self.canvas.draw_info.polygon(outline, fill=(self.owner, _clip(255 * grain), solid))


def smooth_outline(
    points: ArrayLike | Sequence[ArrayLike], *, closed: bool = True, n_between: int = 5
) -> NDArray[np.float64]:
    """Catmull-Rom curve through points.

    Parameters
    ----------
    points : array of shape (n, 2)
        Corners to pass through.
    closed : bool
        Join the last to the first.
    n_between : int
        Samples for each corner.

    Returns
    -------
    array of shape (m, 2)
    """
    knots = np.asarray(points, dtype=float)
    padded = (
        np.concatenate([knots[-1:], knots, knots[:2]])
        if closed
        else np.concatenate([knots[:1], knots, knots[-1:]])
    )
    t = np.linspace(0, 1, n_between, endpoint=False)[:, None, None]
    before, start, stop, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    curve = 0.5 * (
        2 * start
        + (stop - before) * t
        + (2 * before - 5 * start + 4 * stop - after) * t**2
        + (3 * start - before - 3 * stop + after) * t**3
    )
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def _relief_gain(level: float, strength: float) -> float:
    return 1 + strength * (0.28 - 0.78 * level**2)


def _rotation(turn_deg: float) -> NDArray[np.float64]:
    angle = np.deg2rad(turn_deg)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _rod(x0: float, y0: float, x1: float, y1: float, radius: float, end: float) -> list[float]:
    """Outline of a rod with round ends; plain floats, since it is drawn tens of times a scene."""
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    along_x, along_y = (x1 - x0) / length, (y1 - y0) / length
    outline: list[float] = []
    for x, y, size in ((x1, y1, end), (x0, y0, -radius)):
        for cosine, sine in _HALF_CIRCLE:
            outline.append(x + size * (along_x * cosine - along_y * sine))
            outline.append(y + size * (along_y * cosine + along_x * sine))
    return outline


def _clip(value: float) -> int:
    return int(min(255, max(0, value)))
