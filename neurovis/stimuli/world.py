"""The stimulus world: seeded natural-looking scenes with captions, masks, boxes and latent factors.

Scenes are balanced: every block of twelve indices has each subtype as its dominant thing once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neurovis.core import check_array, make_rng
from neurovis.stimuli.textures import make_fractal_field
from neurovis.stimuli.world_backdrops import make_backdrop
from neurovis.stimuli.world_bodies import draw_animal_body, draw_person
from neurovis.stimuli.world_canvas import (
    BACKGROUND_OWNER,
    PLACE_OWNER,
    Canvas,
    Light,
    Pen,
    compute_supersample,
)
from neurovis.stimuli.world_faces import draw_animal_face, draw_human_face
from neurovis.stimuli.world_food import draw_dish, draw_fruit
from neurovis.stimuli.world_landscapes import draw_outdoor
from neurovis.stimuli.world_objects import draw_tool, draw_vehicle
from neurovis.stimuli.world_palette import add_article, pick_colour
from neurovis.stimuli.world_rooms import draw_indoor
from neurovis.stimuli.world_words import draw_print, draw_script

CATEGORIES = ("face", "body", "place", "word", "food", "object")
SUBTYPES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "face": ("human", "animal"),
        "body": ("person", "animal_body"),
        "place": ("indoor", "outdoor"),
        "word": ("print", "script"),
        "food": ("fruit", "dish"),
        "object": ("tool", "vehicle"),
    }
)
#: Changes whenever the same seed and index give another picture.
WORLD_VERSION = 3

CATEGORY_OF: Mapping[str, str] = MappingProxyType(
    {subtype: category for category, pair in SUBTYPES.items() for subtype in pair}
)
Draw = Callable[[Pen, np.random.Generator], dict[str, float | str]]
DRAW_SUBTYPE: Mapping[str, Draw] = MappingProxyType(
    {
        "human": draw_human_face,
        "animal": draw_animal_face,
        "person": draw_person,
        "animal_body": draw_animal_body,
        "indoor": draw_indoor,
        "outdoor": draw_outdoor,
        "print": draw_print,
        "script": draw_script,
        "fruit": draw_fruit,
        "dish": draw_dish,
        "tool": draw_tool,
        "vehicle": draw_vehicle,
    }
)
# Half extent of a dominant thing as a share of the scene, and its largest turn [degrees].
_EXTENT = {
    "face": (0.2, 0.38),
    "body": (0.34, 0.5),
    "word": (0.28, 0.43),
    "food": (0.22, 0.42),
    "object": (0.3, 0.45),
}
_TURN_DEG = {"face": 9.0, "body": 4.0, "word": 9.0, "food": 10.0, "object": 6.0}
# Offset of the middle of a thing from its origin, in its own units (faces carry a neck below).
_MIDDLE_Y = {"face": 0.15}


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One thing of a scene.

    Parameters
    ----------
    category, subtype : str
        One of :data:`CATEGORIES` and of its two :data:`SUBTYPES`.
    mask : array of shape (height, width), bool
        Pixels on which the thing is seen, after occlusion by others.
    box : tuple of int
        (top, left, bottom, right) of the mask, bottom and right exclusive [px].
    attributes : dict
        ``phrase``, ``colour``, ``identity`` and what else describes it; ``x``, ``y`` and ``scale`` (half
        extent) as shares of the scene, ``turn_deg`` counter-clockwise.
    """

    category: str
    subtype: str
    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]
    attributes: dict[str, float | str]


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and everything that is true of it.

    Parameters
    ----------
    image : array of shape (height, width, 3), uint8
        RGB.
    caption : str
        An English sentence part without a full stop.
    objects : tuple of SceneObject
        The dominant thing first, then by order of drawing.
    latents : dict
        Lighting, background and layout by name.
    """

    image: NDArray[np.uint8]
    caption: str
    objects: tuple[SceneObject, ...]
    latents: dict[str, float | str]


@dataclass(frozen=True)
class _Placement:
    """Where a thing of a scene is drawn."""

    subtype: str
    x: float
    y: float
    scale: float
    turn_deg: float
    mirror: bool
    dominant: bool


def make_scene(seed: int, index: int, *, size_px: int = 64) -> Scene:
    """One scene of the world.

    Parameters
    ----------
    seed : int
        Non-negative seed of the world.
    index : int
        Number of the scene, from 0.
    size_px : int
        Side of the square image [px], 32 to 512. Another size gives the same scene, drawn finer.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """
    check_array("index", index, ndim=0, minimum=0, remedy="scenes are numbered from 0")
    check_array("size_px", size_px, ndim=0, minimum=32, maximum=512, remedy="for example size_px=64")
    rng = make_rng(seed, "world", "scene", index)
    subtype = pick_dominant_subtype(seed, index)
    light = pick_light(rng)
    side = size_px * compute_supersample(size_px)
    grain = make_fractal_field(make_rng(seed, "world", "grain", index), side, slope=0.7, coarsest_cells=32)
    placements = _place_things(rng, subtype)
    drawn: dict[int, tuple[_Placement, dict[str, float | str]]] = {}
    place = next((p for p in placements if CATEGORY_OF[p.subtype] == "place"), None)
    backdrop, background = None, ""
    if place is None:
        backdrop, background = make_backdrop(make_rng(seed, "world", "backdrop", index), side)
    canvas = Canvas(size_px, light, backdrop)
    if place is not None:
        attributes = DRAW_SUBTYPE[place.subtype](
            canvas.pen(PLACE_OWNER), make_rng(seed, "world", "place", index)
        )
        drawn[PLACE_OWNER] = (place, attributes)
        background = str(attributes["phrase"])
    n_clutter = 0 if place is not None else int(rng.choice([0, 0, 2, 4, 7, 10]))
    _draw_clutter(canvas, make_rng(seed, "world", "clutter", index), n_clutter)
    for number, placement in enumerate(p for p in placements if p is not place):
        owner = PLACE_OWNER + 1 + number
        pen = canvas.pen(owner).at(
            placement.x, placement.y, placement.scale, placement.turn_deg, mirror=placement.mirror
        )
        _cast_ground_shadow(pen, CATEGORY_OF[placement.subtype])
        drawn[owner] = (
            placement,
            DRAW_SUBTYPE[placement.subtype](pen, make_rng(seed, "world", "thing", index, number)),
        )
    fine, owner_map = canvas.render(grain)
    objects = _find_objects(owner_map, drawn, size_px)
    latents: dict[str, float | str] = {
        "light_direction_deg": light.direction_deg,
        "light_contrast": light.contrast,
        "light_temperature": light.temperature,
        "light_brightness": light.brightness,
        "background": background,
        "n_clutter": float(n_clutter),
        "n_objects": float(len(objects)),
    }
    latents |= {key: objects[0].attributes[key] for key in ("x", "y", "scale", "turn_deg", "colour")}
    return Scene(_downscale(fine, size_px), _write_caption(objects, background), objects, latents)


def pick_dominant_subtype(seed: int, index: int) -> str:
    """Subtype of the dominant thing of a scene, balanced within every block of twelve indices."""
    block, place = divmod(int(index), len(DRAW_SUBTYPE))
    order = make_rng(seed, "world", "block", block).permutation(len(DRAW_SUBTYPE))
    return list(DRAW_SUBTYPE)[order[place]]


def pick_light(rng: np.random.Generator) -> Light:
    """Random illumination from above."""
    return Light(
        direction_deg=float(rng.uniform(35, 145)),
        contrast=float(rng.uniform(0.45, 1.0)),
        temperature=float(np.clip(rng.normal(0, 0.45), -1, 1)),
        brightness=float(rng.uniform(0.82, 1.15)),
        gradient=float(rng.uniform(0.0, 0.4)),
    )


def _place_things(rng: np.random.Generator, subtype: str) -> list[_Placement]:
    """Positions of all things, back to front, with the dominant one among them."""
    category = CATEGORY_OF[subtype]
    things: list[_Placement] = []
    if category == "place":
        main = _Placement(subtype, 0.5, 0.5, 0.5, 0.0, False, True)
        others = (
            ("person", "animal_body", "vehicle")
            if subtype == "outdoor"
            else ("person", "animal_body", "fruit")
        )
        n_extra = int(rng.choice(3, p=[0.6, 0.3, 0.1]))
        spots = rng.permutation([0.18, 0.5, 0.82])
        for spot in spots[:n_extra]:
            choice = others[rng.integers(len(others))]
            scale = float(rng.uniform(0.1, 0.17))
            y = float(rng.uniform(0.72, 0.84))
            things.append(
                _Placement(
                    choice, float(spot + rng.normal(0, 0.04)), y, scale, 0.0, _flip(rng, choice), False
                )
            )
        return [main, *things]
    low, high = _EXTENT[category]
    scale = float(rng.uniform(low, high))
    # Words must stay legible, other things may be cut by the frame.
    room = max(0.02, 0.5 - (1.15 if category == "word" else 0.85) * scale)
    x, y = (
        0.5 + rng.uniform(-room, room),
        0.5 + 0.8 * rng.uniform(-room, room) - _MIDDLE_Y.get(category, 0) * scale,
    )
    turn = float(rng.normal(0, _TURN_DEG[category]))
    main = _Placement(subtype, float(x), float(y), scale, turn, _flip(rng, subtype), True)
    free = [name for name in DRAW_SUBTYPE if CATEGORY_OF[name] not in ("place", category)]
    n_extra = int(rng.choice(3, p=[0.5, 0.34, 0.16]))
    corners = np.array([(0.17, 0.2), (0.83, 0.2), (0.17, 0.8), (0.83, 0.8)])
    far_first = np.argsort(-np.hypot(*(corners - (x, y)).T))
    for corner in corners[far_first[:n_extra]]:
        choice = free[rng.integers(len(free))]
        size = float(rng.uniform(0.11, 0.19))
        place = corner + rng.normal(0, 0.035, 2)
        turned = float(rng.normal(0, 8))
        things.append(
            _Placement(choice, float(place[0]), float(place[1]), size, turned, _flip(rng, choice), False)
        )
    n_behind = int(rng.integers(0, n_extra + 1))
    ordered = [*things[:n_behind], main, *things[n_behind:]]
    if rng.random() < 0.2:
        where = ("indoor", "outdoor")[rng.integers(2)]
        ordered.insert(0, _Placement(where, 0.5, 0.5, 0.5, 0.0, False, False))
    return ordered


def _flip(rng: np.random.Generator, subtype: str) -> bool:
    return bool(rng.random() < 0.5) and subtype not in ("print", "script")


def _draw_clutter(canvas: Canvas, rng: np.random.Generator, count: int) -> None:
    pen = canvas.pen(BACKGROUND_OWNER)
    for _ in range(count):
        (x, y), size, turn = rng.uniform(0, 1, 2), rng.uniform(0.02, 0.09), float(rng.uniform(0, 180))
        _, colour = pick_colour(rng)
        part = pen.at(float(x), float(y), float(size), turn)
        kind = rng.integers(3)
        if kind == 0:
            part.ellipse(0, 0, 1, float(rng.uniform(0.3, 1)), colour, relief=0.5, grain=0.25)
        elif kind == 1:
            part.limb(
                [(-1.5, 0), (1.5, 0)], [0.4, float(rng.uniform(0.1, 0.8))], colour, relief=0.5, grain=0.25
            )
        else:
            part.shape([(-1, -0.7), (1, -0.7), (1, 0.7), (-1, 0.7)], colour, grain=0.25)


def _cast_ground_shadow(pen: Pen, category: str) -> None:
    if category == "body":
        pen.shadow(-0.25 * pen.canvas.light.vector[0], 0.95, 0.75, 0.12, strength=0.7)


def _downscale(fine: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(fine).reduce(fine.shape[0] // size_px))


def _find_objects(
    owner_map: NDArray[np.uint8], drawn: dict[int, tuple[_Placement, dict[str, float | str]]], size_px: int
) -> tuple[SceneObject, ...]:
    factor = owner_map.shape[0] // size_px
    objects = []
    for owner, (placement, attributes) in drawn.items():
        mask = np.asarray(Image.fromarray((owner_map == owner) * np.uint8(255)).reduce(factor)) > 127
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not rows.size:
            continue
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        details = attributes | {"x": placement.x, "y": placement.y, "scale": placement.scale}
        details.setdefault("turn_deg", placement.turn_deg)
        category = CATEGORY_OF[placement.subtype]
        objects.append((not placement.dominant, SceneObject(category, placement.subtype, mask, box, details)))
    return tuple(item for _, item in sorted(objects, key=lambda pair: pair[0]))


def _write_caption(objects: tuple[SceneObject, ...], background: str) -> str:
    main = objects[0]
    rest = [item for item in objects[1:] if item.category != "place"]
    if main.category == "place":
        text = add_article(str(main.attributes["phrase"]))
    else:
        low, high = _EXTENT[main.category]
        share = (float(main.attributes["scale"]) - low) / (high - low)
        size = "large " if share > 0.6 else "small " if share < 0.25 else ""
        text = add_article(size + str(main.attributes["phrase"]))
        where = _name_position(main)
        text += (f" {where}" if where else "") + f" in front of {add_article(background)}"
    if rest:
        named = [_name_small(item) for item in rest]
        text += ", with " + " and ".join(named)
    return text


def _name_small(item: SceneObject) -> str:
    return (
        f"{add_article('small ' + str(item.attributes['phrase']))} {_name_position(item) or 'in the centre'}"
    )


def _name_position(item: SceneObject) -> str:
    x, y = float(item.attributes["x"]), float(item.attributes["y"])
    across = "left" if x < 0.4 else "right" if x > 0.6 else ""
    along = "upper" if y < 0.38 else "lower" if y > 0.62 else ""
    if across and along:
        return f"in the {along} {across}"
    if across:
        return f"on the {across}"
    return {"upper": "at the top", "lower": "at the bottom"}.get(along, "")
