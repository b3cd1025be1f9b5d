"""Simple motions with exact flow: gratings, textures, textured objects and plain shapes.

What a model of motion is trained and measured on beside the movies of the stimulus world: drifting gratings,
whose flow is that of the grating; whole-field texture; textured objects on their own paths; shapes and
grounds without texture, where only the outline tells the motion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, check_option, make_rng
from neurovis.stimuli.textures import make_fractal_field
from neurovis.stimuli.world_movies import Layer, Movie, render_layers

KINDS = ("grating", "texture", "objects", "shapes")

_PATHS = ("line", "circle", "wander")
_FASTEST_DRIFT = 0.4
"""Largest temporal frequency [cycles per frame]; above a half a grating turns back."""

_FINE = 2  # texture pixels per frame pixel


def make_motion_scene(
    seed: int,
    index: int,
    *,
    kind: str | None = None,
    n_frames: int = 11,
    size_px: int = 64,
    largest_speed_px: float = 5.0,
) -> Movie:
    """One movie of simple motion.

    Parameters
    ----------
    seed : int
        Non-negative seed.
    index : int
        Number of the movie, from 0.
    kind : str, optional
        One of :data:`KINDS`, by default in turn with ``index``: a drifting grating, or the sum of two with
        one velocity; a texture that translates, turns, grows and shears; one to four textured blobs on
        straight, circular or wandering paths over a moving texture; polygons and ellipses of one colour
        over a still ground of one colour.
    n_frames : int
        At least 2.
    size_px : int
        Side of the square frames [px].
    largest_speed_px : float
        Speeds are uniform from 0 to this [px per frame]; turning and growing add to it away from the centre.

    Returns
    -------
    Movie
        With exact flow. Of a grating it is the velocity across its bars, of a sum of two their common one.

    Raises
    ------
    ValueError
        If ``kind`` is unknown or a number is out of range.

    Notes
    -----
    Kinds of motion after Sun et al. (2023, NeurIPS), section 5, with our own ranges.
    """
    check_array("index", index, ndim=0, minimum=0, remedy="movies are numbered from 0")
    check_array("n_frames", n_frames, ndim=0, minimum=2, remedy="a movie needs at least two frames")
    check_array("size_px", size_px, ndim=0, minimum=16, maximum=1024, remedy="for example size_px=64")
    check_array("largest_speed_px", largest_speed_px, ndim=0, minimum=0, remedy="pass for example 5")
    kind = KINDS[index % len(KINDS)] if kind is None else check_option("kind", kind, KINDS)
    rng = make_rng(seed, "motion-scene", kind, index)
    if kind == "grating":
        return _make_drift(rng, n_frames, size_px, largest_speed_px)
    make = {"texture": _make_texture, "objects": _make_objects, "shapes": _make_shapes}[kind]
    layers, caption = make(rng, n_frames, size_px, largest_speed_px)
    frames, flow, valid = render_layers(layers, size_px)
    return Movie(frames, flow, valid, caption, {"kind": kind, "n_layers": float(len(layers))})


def _make_drift(rng: np.random.Generator, n_frames: int, size_px: int, largest: float) -> Movie:
    """Grating, or two gratings with one velocity that a model can tell from it."""
    n_gratings = int(rng.integers(1, 3))
    angle = rng.uniform(0, 2 * np.pi)
    waves = 2.0 ** rng.uniform(np.log2(1 / 32), np.log2(1 / 5), n_gratings)
    speed = min(rng.uniform(0, largest), _FASTEST_DRIFT / waves.max())
    velocity = speed * np.array([np.cos(angle), -np.sin(angle)])
    # The second wave vector leans away from the motion, up to 60 degrees to either side.
    lean = np.array([0.0, rng.choice([-1, 1]) * rng.uniform(np.pi / 6, np.pi / 3)])[:n_gratings]
    contrasts = rng.uniform(0.2, 1.0, n_gratings) / n_gratings
    centres = np.arange(size_px) + 0.5
    time = np.arange(n_frames)[:, None, None]
    grey = np.full((n_frames, size_px, size_px), 0.5)
    for wave, tilt, contrast in zip(waves, lean, contrasts, strict=True):
        x, y = wave * np.cos(angle + tilt), -wave * np.sin(angle + tilt)
        cycles = x * (centres - velocity[0] * time) + y * (centres[:, None] - velocity[1] * time)
        grey += 0.5 * contrast * np.sin(2 * np.pi * (cycles + rng.uniform()))
    frames = np.repeat(np.rint(255 * grey).astype(np.uint8)[..., None], 3, axis=-1)
    flow = np.tile(velocity.astype(np.float32), (n_frames - 1, size_px, size_px, 1))
    target = np.stack(np.meshgrid(centres, centres), axis=-1) + velocity
    valid = np.tile(((target >= 0.5) & (target <= size_px - 0.5)).all(-1), (n_frames - 1, 1, 1))
    caption = f"{'a grating' if n_gratings == 1 else 'two gratings'} drifting"
    latents: dict[str, float | str] = {
        "kind": "grating", "n_gratings": float(n_gratings), "speed_px": float(speed),
        "direction_deg": float(np.rad2deg(angle)), "highest_frequency_cpp": float(waves.max()),
    }  # fmt: skip
    return Movie(frames, flow, valid, caption, latents)


def _make_texture(
    rng: np.random.Generator, n_frames: int, size_px: int, largest: float
) -> tuple[list[Layer], str]:
    poses = _move(rng, n_frames, size_px, rng.uniform(0, largest), deforming=True)
    return [Layer(_paint_texture(rng, size_px), None, poses)], "a moving texture"


def _make_objects(
    rng: np.random.Generator, n_frames: int, size_px: int, largest: float
) -> tuple[list[Layer], str]:
    ground_speed = rng.choice([0.0, rng.uniform(0, largest / 2)])
    layers = [
        Layer(
            _paint_texture(rng, size_px), None, _move(rng, n_frames, size_px, ground_speed, deforming=False)
        )
    ]
    for _ in range(rng.integers(1, 5)):
        alpha = _draw_blob(rng, size_px) if rng.random() < 0.7 else _draw_shape(rng, size_px)
        poses = _move(rng, n_frames, size_px, rng.uniform(0, largest), deforming=bool(rng.random() < 0.5))
        layers.append(Layer(_paint_texture(rng, size_px), alpha, poses))
    return layers, f"{len(layers) - 1} textured object(s) over a texture"


def _make_shapes(
    rng: np.random.Generator, n_frames: int, size_px: int, largest: float
) -> tuple[list[Layer], str]:
    still = np.tile(np.eye(2, 3), (n_frames, 1, 1))
    layers = [Layer(_paint_plain(rng, size_px), None, still)]
    for _ in range(rng.integers(1, 4)):
        poses = _move(rng, n_frames, size_px, rng.uniform(0, largest), deforming=bool(rng.random() < 0.3))
        layers.append(Layer(_paint_plain(rng, size_px), _draw_shape(rng, size_px), poses))
    return layers, f"{len(layers) - 1} plain shape(s)"


def _move(
    rng: np.random.Generator, n_frames: int, size_px: int, speed: float, *, deforming: bool
) -> NDArray[np.float64]:
    """Poses (n_frames, 2, 3) along a path through the identity in the middle of the movie."""
    time = np.arange(n_frames) - (n_frames - 1) / 2
    angle = rng.uniform(0, 2 * np.pi)
    path = _PATHS[rng.choice(3, p=(0.6, 0.2, 0.2))]
    turn = np.zeros(n_frames)
    if path == "circle":
        turn = rng.uniform(-0.25, 0.25) * time
    elif path == "wander":
        turn = np.cumsum(rng.normal(0, 0.2, n_frames))
    heading = angle + turn
    steps = speed * np.stack([np.cos(heading), -np.sin(heading)], axis=-1)
    place = np.cumsum(steps, axis=0) - steps / 2
    place -= place[n_frames // 2]
    centre = size_px / 2 + rng.uniform(-0.2, 0.2, 2) * size_px
    linear = np.tile(np.eye(2), (n_frames, 1, 1))
    if deforming:
        turning, growing = rng.normal(0, 0.03), rng.normal(0, 0.015)
        shear = rng.normal(0, 0.01, 2)
        rate = np.array([[growing + shear[0], turning + shear[1]], [-turning + shear[1], growing - shear[0]]])
        # A constant rate gives the same deformation in every frame.
        linear = np.stack([_exponentiate(rate * moment) for moment in time])
    poses = np.zeros((n_frames, 2, 3))
    poses[:, :, :2] = linear
    poses[:, :, 2] = centre + place - linear @ centre
    return poses


def _exponentiate(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.linalg import expm

    return expm(rate)


def _paint_texture(rng: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    """Coloured fractal noise of random coarseness and contrast."""
    side = _FINE * size_px
    slope, coarsest = rng.uniform(0.6, 1.8), int(rng.choice([4, 8, 16, 32]))
    field = make_fractal_field(rng, side, slope=slope, coarsest_cells=coarsest)
    low, high = rng.uniform(0, 255, (2, 3))
    share = 1 / (1 + np.exp(-rng.uniform(0.7, 3.0) * field[..., None]))
    return np.rint(low + (high - low) * share).astype(np.uint8)


def _paint_plain(rng: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    return np.tile(rng.integers(0, 256, 3).astype(np.uint8), (_FINE * size_px, _FINE * size_px, 1))


def _draw_blob(rng: np.random.Generator, size_px: int) -> NDArray[np.float32]:
    """Coverage of a blob whose outline is a few random waves around an ellipse."""
    angle, radius, size = _make_polar(rng, size_px)
    outline = np.ones_like(angle)
    for wave in range(2, 6):
        outline += rng.normal(0, 0.25 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return _cover(size * outline - radius)


def _draw_shape(rng: np.random.Generator, size_px: int) -> NDArray[np.float32]:
    """Coverage of an ellipse or a regular polygon, stretched."""
    angle, radius, size = _make_polar(rng, size_px)
    n_corners = int(rng.integers(2, 7))
    if n_corners == 2:
        return _cover(size - radius)
    sector = 2 * np.pi / n_corners
    inside = np.cos(np.mod(angle + rng.uniform(0, sector), sector) - sector / 2)
    return _cover(size * np.cos(sector / 2) - radius * inside)


def _make_polar(
    rng: np.random.Generator, size_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Angle and radius [px] around a random place in stretched coordinates, and a random size [px]."""
    position = (np.arange(_FINE * size_px) + 0.5) / _FINE
    x0, y0 = rng.uniform(0.2, 0.8, 2) * size_px
    x, y = position - x0, (position - y0)[:, None]
    tilt, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1, 2.5))
    across = (x * np.cos(tilt) + y * np.sin(tilt)) / stretch
    along = (y * np.cos(tilt) - x * np.sin(tilt)) * stretch
    return np.arctan2(along, across), np.hypot(along, across), float(rng.uniform(0.08, 0.25)) * size_px


def _cover(inside_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coverage from the signed distance to the outline, soft over one pixel of the texture."""
    return np.clip(0.5 + _FINE * inside_px, 0, 1).astype(np.float32)
