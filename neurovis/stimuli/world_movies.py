"""Moving versions of the stimulus world, with optical flow that is exact by construction.

A movie is a stack of painted layers, each with its own affine pose in every frame. The flow at a pixel is the
motion of the layer seen there, in closed form from two poses; nothing is estimated from the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from neurovis.core import StimulusSet, check_array, check_option, compute_px_per_dva, make_rng
from neurovis.io import atomic_path
from neurovis.stimuli.textures import make_fractal_field
from neurovis.stimuli.world import DRAW_SUBTYPE, WORLD_VERSION, pick_light
from neurovis.stimuli.world_backdrops import make_backdrop
from neurovis.stimuli.world_canvas import PLACE_OWNER, Canvas, Light, compute_supersample
from neurovis.stimuli.world_files import write_in_parts
from neurovis.stimuli.world_palette import add_article
from neurovis.stimuli.world_walker import make_walker

KINDS = ("translation", "rotation", "expansion", "biological")
_SPEED_DPS = {"translation": (1, 6), "rotation": (1, 6), "expansion": (0.5, 2), "biological": (1, 6)}
_SAMPLES = 2
_MOVING_THINGS = ("human", "animal", "animal_body", "fruit", "dish", "tool", "vehicle", "print")
_THING_OWNER = PLACE_OWNER + 1


@dataclass(frozen=True, eq=False)
class Movie:
    """Frames and their motion.

    Parameters
    ----------
    frames : array of shape (n_frames, height, width, 3), uint8
        RGB.
    flow : array of shape (n_frames - 1, height, width, 2), float32
        Motion (x to the right, y **down**) of what each pixel of frame t shows, until frame t + 1 [px].
    valid : array of shape (n_frames - 1, height, width), bool
        Pixels that show one layer only, and whose target shows the same layer inside the next frame:
        there frame t + 1 at the target repeats frame t.
    caption : str
        What is seen.
    latents : dict
        ``kind``, ``speed_dps``, ``direction_deg`` or ``sign`` and the rest of what was drawn at random.
    """

    frames: NDArray[np.uint8]
    flow: NDArray[np.float32]
    valid: NDArray[np.bool_]
    caption: str
    latents: dict[str, float | str]


@dataclass(frozen=True, eq=False)
class Layer:
    """A painted plane that moves rigidly.

    Parameters
    ----------
    pixels : array of shape (side, side, 3), uint8
        Texture that covers the frame when the pose is the identity.
    alpha : array of shape (side, side), float32, or None
        Coverage; ``None`` for a background that is continued by mirror images.
    poses : array of shape (n_frames, 2, 3)
        Layer coordinates to frame coordinates, both in frame pixels from the top left corner.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.float32] | None
    poses: NDArray[np.float64]


def make_movie(
    seed: int,
    index: int,
    *,
    kind: str | None = None,
    n_frames: int = 16,
    fps: float = 12.0,
    size_px: int = 64,
    size_dva: float = 8.0,
    speed_dps: float | None = None,
    direction_deg: float | None = None,
) -> Movie:
    """One movie of the world.

    Parameters
    ----------
    seed : int
        Non-negative seed of the world.
    index : int
        Number of the movie, from 0.
    kind : str, optional
        One of :data:`KINDS`; by default they take turns with ``index``. Nearer things move faster than the
        background in the first three; "biological" is a person who walks in front of a still background.
    n_frames : int
        At least 2.
    fps : float
        Frames per second [Hz].
    size_px : int
        Side of the square frames [px].
    size_dva : float
        Side of the frames on the screen [degrees of visual angle].
    speed_dps : float, optional
        Speed of the background, for rotation and expansion half way from the centre to the edge, and of
        the walker for biological motion [degrees of visual angle per second]; at random by default, 1 to 6
        or, for expansion, which is exponential in time, 0.5 to 2.
    direction_deg : float, optional
        Direction of translation [degrees; 0 = right, counter-clockwise]; at random by default. A walker
        goes to the side nearest to it.

    Returns
    -------
    Movie

    Raises
    ------
    ValueError
        If ``kind`` is unknown or a number is out of range.
    """
    check_array("index", index, ndim=0, minimum=0, remedy="movies are numbered from 0")
    check_array("n_frames", n_frames, ndim=0, minimum=2, remedy="a movie needs at least two frames")
    check_array("size_px", size_px, ndim=0, minimum=32, maximum=512, remedy="for example size_px=64")
    for name, value in (("fps", fps), ("size_dva", size_dva)):
        check_array(name, value, ndim=0, minimum=1e-3, remedy="pass a positive number")
    if speed_dps is not None:
        check_array(
            "speed_dps", speed_dps, ndim=0, minimum=0, remedy="turn direction_deg to go the other way"
        )
    kind = KINDS[index % len(KINDS)] if kind is None else check_option("kind", kind, KINDS)
    rng = make_rng(seed, "world", "movie", index)
    drawn_speed = float(rng.uniform(*_SPEED_DPS[kind]))
    speed = drawn_speed if speed_dps is None else float(speed_dps)
    drawn_direction, sign = float(rng.uniform(0, 360)), float(rng.choice([-1, 1]))
    direction = drawn_direction if direction_deg is None else float(direction_deg) % 360
    light = pick_light(rng)
    background, where = _paint_background(seed, index, rng, size_px, light)
    seconds = np.arange(n_frames) / fps
    px_per_dva = compute_px_per_dva((size_px, size_px), (size_dva, size_dva))
    latents: dict[str, float | str] = {"kind": kind, "speed_dps": speed, "background": where}
    if kind == "biological":
        side = 1.0 if np.cos(np.deg2rad(direction)) >= 0 else -1.0
        still = Layer(background, None, np.tile(np.eye(2, 3), (n_frames, 1, 1)))
        parts, phrase = make_walker(
            make_rng(seed, "world", "walker", index), light, size_px, seconds, side * speed * px_per_dva
        )
        layers = [still, *(Layer(pixels, alpha, poses) for pixels, alpha, poses in parts)]
        latents |= {"direction_deg": 0.0 if side > 0 else 180.0}
        caption = (
            f"{add_article(phrase)} to the {'right' if side > 0 else 'left'} in front of {add_article(where)}"
        )
    else:
        # Undisturbed in the middle of the movie, so that things stay in view.
        travel = speed * px_per_dva * (seconds - seconds.mean())
        layers = [Layer(background, None, _pose(kind, travel, direction, sign, size_px))]
        names = []
        for number in range(int(rng.integers(1, 3))):
            nearness = float(rng.uniform(1.2, 1.7))
            pixels, alpha, phrase = _paint_thing(seed, index, number, rng, size_px, light)
            layers.append(Layer(pixels, alpha, _pose(kind, travel * nearness, direction, sign, size_px)))
            latents[f"nearness_{number}"] = nearness
            names.append(add_article(phrase))
        latents |= {"direction_deg": direction} if kind == "translation" else {"sign": sign}
        caption = (
            f"{' and '.join(names)} in front of {add_article(where)}, {_name_motion(kind, direction, sign)}"
        )
    frames, flow, valid = render_layers(layers, size_px)
    return Movie(frames, flow, valid, caption, latents)


def make_movie_world(
    folder: str | Path,
    *,
    n_movies: int,
    seed: int,
    kinds: Sequence[str] = KINDS,
    n_frames: int = 16,
    fps: float = 12.0,
    size_px: int = 64,
    size_dva: tuple[float, float] = (8.0, 8.0),
    name: str = "movie-world",
) -> StimulusSet:
    """Write movies 0 to ``n_movies - 1`` as ``.npy`` files, with flow beside them and a table.

    Resumable like :func:`neurovis.stimuli.world_files.make_world`. The table names the flow file of each
    movie in ``flow_path`` (float32, as in :class:`Movie`; pixels that are not valid hold NaN).

    Parameters
    ----------
    folder : path
        Where to write; created.
    n_movies : int
        Number of movies.
    seed : int
        Seed of the world.
    kinds : sequence of str
        Kinds of motion that take turns.
    n_frames, fps, size_px
        As in :func:`make_movie`.
    size_dva : tuple of float
        (height, width) on the screen, equal since frames are square [degrees of visual angle].
    name : str
        Name of the set and beginning of the ids.

    Returns
    -------
    StimulusSet
        With ``fps``.

    Raises
    ------
    ValueError
        If a parameter is out of range, or the folder holds another world.
    """
    check_array("n_movies", n_movies, ndim=0, minimum=1, remedy="pass how many movies to make")
    compute_px_per_dva((size_px, size_px), size_dva)
    for kind in kinds:
        check_option("kinds", kind, KINDS)
    config: dict[str, Any] = {
        "kind": "movies",
        "world_version": WORLD_VERSION,
        "seed": int(seed),
        "kinds": list(kinds),
        "n_frames": int(n_frames),
        "fps": float(fps),
        "size_px": int(size_px),
        "size_dva": [float(value) for value in size_dva],
        "name": name,
    }

    def write_one(index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        stimulus_id = f"{name}-{index:05d}"
        movie = make_movie(
            seed, index, kind=kinds[index % len(kinds)], n_frames=n_frames, fps=fps, size_px=size_px,
            size_dva=size_dva[0],
        )  # fmt: skip
        flow = np.where(movie.valid[..., None], movie.flow, np.float32(np.nan))
        paths = {"path": f"movies/{stimulus_id}.npy", "flow_path": f"flow/{stimulus_id}.npy"}
        for path, array in zip(paths.values(), (movie.frames, flow), strict=True):
            with atomic_path(Path(folder) / path) as temporary:
                np.save(temporary, array, allow_pickle=False)
        return {"stimulus_id": stimulus_id, **paths, "caption": movie.caption, **movie.latents}, []

    return write_in_parts(folder, config, n_movies, write_one, fps=float(fps))


def render_layers(
    layers: Sequence[Layer], size_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """Frames of moving layers, drawn back to front, and their flow.

    Parameters
    ----------
    layers : sequence of Layer
        The first one fills the frame (``alpha`` is ``None``).
    size_px : int
        Side of the frames [px].

    Returns
    -------
    frames, flow, valid
        As in :class:`Movie`.
    """
    n_frames = len(layers[0].poses)
    fine = _make_grid(size_px, _SAMPLES)
    centres = _make_grid(size_px, 1)
    frames = np.empty((n_frames, size_px, size_px, 3), dtype=np.uint8)
    seen = np.zeros((n_frames, size_px, size_px), dtype=np.uint8)
    pure = np.ones((n_frames, size_px, size_px), dtype=bool)
    for t in range(n_frames):
        image = np.zeros((*fine.shape[:2], 3), dtype=np.float32)
        for number, layer in enumerate(layers):
            where = _to_texture(layer, t, fine, size_px)
            colour = _sample(layer.pixels, where, mirrored=layer.alpha is None)
            if layer.alpha is None:
                image = colour
                continue
            cover = _sample(layer.alpha[..., None], where, mirrored=False)
            image += cover * (colour - image)
            cover = cover[..., 0].reshape(size_px, _SAMPLES, size_px, _SAMPLES).mean((1, 3))
            seen[t][cover >= 0.5] = number
            pure[t][cover > 0.01] = False
            pure[t][cover > 0.99] = True
        blocks = image.reshape(size_px, _SAMPLES, size_px, _SAMPLES, 3)
        frames[t] = np.clip(blocks.mean((1, 3)) + 0.5, 0, 255).astype(np.uint8)
    flow = np.empty((n_frames - 1, size_px, size_px, 2), dtype=np.float32)
    for t in range(n_frames - 1):
        for number, layer in enumerate(layers):
            step = _compose(layer.poses[t + 1], _invert(layer.poses[t]))
            here = seen[t] == number
            flow[t][here] = centres[here] @ (step[:, :2] - np.eye(2)).T + step[:, 2]
    return frames, flow, _find_valid(flow, seen, pure, centres)


def _find_valid(
    flow: NDArray[np.float32], seen: NDArray[np.uint8], pure: NDArray[np.bool_], centres: NDArray[np.float64]
) -> NDArray[np.bool_]:
    size = seen.shape[1]
    target = np.floor(centres[None] + flow).astype(int)
    # One pixel of margin, since a target between pixels is read from its four neighbours.
    inside = ((target >= 1) & (target < size - 1)).all(-1)
    x, y = np.clip(target[..., 0], 0, size - 1), np.clip(target[..., 1], 0, size - 1)
    time = np.arange(1, len(seen))[:, None, None]
    return inside & pure[:-1] & pure[time, y, x] & (seen[time, y, x] == seen[:-1])


def _make_grid(size_px: int, samples: int) -> NDArray[np.float64]:
    """Sample positions (rows, columns, (x, y)) in frame pixels."""
    position = (np.arange(size_px * samples) + 0.5) / samples
    return np.stack(np.meshgrid(position, position), axis=-1)


def _to_texture(layer: Layer, t: int, grid: NDArray[np.float64], size_px: int) -> NDArray[np.float64]:
    """Row and column in the layer's texture of every position of the frame."""
    inverse = _invert(layer.poses[t])
    local = grid @ inverse[:, :2].T + inverse[:, 2]
    scale = layer.pixels.shape[0] / size_px
    return np.moveaxis(local[..., ::-1] * scale - 0.5, -1, 0)


def _sample(texture: NDArray, where: NDArray[np.float64], *, mirrored: bool) -> NDArray[np.float32]:
    """Bilinear samples of a texture, continued by mirror images or by its edge colour and no coverage."""
    outside = "reflect" if mirrored else "constant"
    out = np.empty((*where.shape[1:], texture.shape[-1]), dtype=np.float32)
    for channel in range(texture.shape[-1]):
        map_coordinates(
            texture[..., channel], where, output=out[..., channel], order=1, mode=outside, prefilter=False
        )
    return out


def _compose(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine map that applies ``first``, then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def _invert(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.linalg.inv(pose[:, :2])
    return np.column_stack([linear, -linear @ pose[:, 2]])


def _pose(
    kind: str, travel_px: NDArray[np.float64], direction_deg: float, sign: float, size_px: int
) -> NDArray[np.float64]:
    """Poses (n_frames, 2, 3) of a layer that has travelled so far, half way from the centre to the edge."""
    poses = np.zeros((len(travel_px), 2, 3))
    if kind == "translation":
        angle = np.deg2rad(direction_deg)
        poses[:, :, :2] = np.eye(2)
        poses[:, :, 2] = travel_px[:, None] * (np.cos(angle), -np.sin(angle))
        return poses
    centre = np.full(2, size_px / 2)
    ratio = sign * travel_px / (size_px / 4)
    if kind == "rotation":
        cosine, sine = np.cos(ratio), np.sin(ratio)
        poses[:, :, :2] = np.stack([cosine, sine, -sine, cosine], axis=-1).reshape(-1, 2, 2)
    else:
        poses[:, :, :2] = np.exp(ratio)[:, None, None] * np.eye(2)
    poses[:, :, 2] = centre - poses[:, :, :2] @ centre
    return poses


def _name_motion(kind: str, direction_deg: float, sign: float) -> str:
    if kind == "translation":
        names = ("right", "upper right", "top", "upper left", "left", "lower left", "bottom", "lower right")
        return f"moving to the {names[round(direction_deg / 45) % 8]}"
    if kind == "rotation":
        return f"turning {'counter-clockwise' if sign > 0 else 'clockwise'}"
    return "coming closer" if sign > 0 else "moving away"


def _paint_background(
    seed: int, index: int, rng: np.random.Generator, size_px: int, light: Light
) -> tuple[NDArray[np.uint8], str]:
    """Pixels of a scene without things, before downscaling, and the words for it."""
    side = size_px * compute_supersample(size_px)
    own = make_rng(seed, "world", "movie-background", index)
    grain = make_fractal_field(own, side, slope=0.7, coarsest_cells=32)
    if rng.random() < 0.5:
        backdrop, phrase = make_backdrop(own, side)
        return Canvas(size_px, light, backdrop).render(grain)[0], phrase
    canvas = Canvas(size_px, light)
    attributes = DRAW_SUBTYPE[("indoor", "outdoor")[rng.integers(2)]](canvas.pen(PLACE_OWNER), own)
    return canvas.render(grain)[0], str(attributes["phrase"])


def _paint_thing(
    seed: int, index: int, number: int, rng: np.random.Generator, size_px: int, light: Light
) -> tuple[NDArray[np.uint8], NDArray[np.float32], str]:
    """Pixels, coverage and words of one thing alone."""
    own = make_rng(seed, "world", "movie-thing", index, number)
    subtype = _MOVING_THINGS[rng.integers(len(_MOVING_THINGS))]
    canvas = Canvas(size_px, light)
    x, y = rng.uniform(0.25, 0.75, 2)
    scale = rng.uniform(0.16, 0.26)
    pen = canvas.pen(_THING_OWNER).at(float(x), float(y), float(scale), float(rng.normal(0, 6)))
    attributes = DRAW_SUBTYPE[subtype](pen, own)
    grain = make_fractal_field(own, canvas.side_px, slope=0.7, coarsest_cells=32)
    pixels, owner = canvas.render(grain)
    return pixels, (owner == _THING_OWNER).astype(np.float32), str(attributes["phrase"])
