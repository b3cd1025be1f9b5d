"""The stimulus world on disk: a StimulusSet folder with annotations, made in parts that outlive a kill."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from tqdm import tqdm

from neurovis.core import (
    OtherConfigurationError,
    StimulusSet,
    check_array,
    compute_config_hash,
    make_provenance,
)
from neurovis.io import atomic_path, read_json, read_stimulus_set, write_json, write_stimulus_table
from neurovis.stimuli.world import CATEGORY_OF, SUBTYPES, WORLD_VERSION, Scene, SceneObject, make_scene

_PART = 250


def make_world(
    folder: str | Path,
    *,
    n_images: int,
    seed: int,
    size_px: int = 64,
    size_dva: tuple[float, float] = (8.0, 8.0),
    name: str = "world",
) -> StimulusSet:
    """Write scenes 0 to ``n_images - 1`` of a world as PNG files with a table and annotations.

    The folder gets ``stimuli.tsv`` (caption, dominant category and subtype, ``area_<subtype>`` as share of
    the pixels, latent factors), ``stimuli.json`` and ``annotations.json`` (boxes and run-length masks, for
    :func:`read_annotations`). An interrupted run goes on where it stopped; finished parts of the same
    configuration are kept, also when ``n_images`` grows.

    Parameters
    ----------
    folder : path
        Where to write; created.
    n_images : int
        Number of scenes.
    seed : int
        Seed of the world.
    size_px : int
        Side of the images [px].
    size_dva : tuple of float
        (height, width) on the screen [degrees of visual angle].
    name : str
        Name of the set and beginning of the ids, ``"world-00000"`` and so on.

    Returns
    -------
    StimulusSet

    Raises
    ------
    ValueError
        If a number is out of range, or the folder holds another world.
    """
    check_array("n_images", n_images, ndim=0, minimum=1, remedy="pass how many scenes to make")
    config = {
        "kind": "images",
        "world_version": WORLD_VERSION,
        "seed": int(seed),
        "size_px": int(size_px),
        "size_dva": [float(value) for value in size_dva],
        "name": name,
    }

    def write_one(index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        stimulus_id = f"{name}-{index:05d}"
        scene = make_scene(seed, index, size_px=size_px)
        path = f"images/{stimulus_id}.png"
        with atomic_path(Path(folder) / path) as temporary:
            Image.fromarray(scene.image).save(temporary, compress_level=1)
        return _describe_scene(stimulus_id, path, scene), annotate_objects(stimulus_id, scene.objects)

    return write_in_parts(folder, config, n_images, write_one, fps=None)


def write_in_parts(
    folder: str | Path,
    config: dict[str, Any],
    n_stimuli: int,
    write_one: Callable[[int], tuple[dict[str, Any], list[dict[str, Any]]]],
    *,
    fps: float | None,
) -> StimulusSet:
    """Make a stimulus folder stimulus by stimulus; the shared half of images and movies.

    Parameters
    ----------
    folder : path
        Where to write.
    config : dict
        Everything that decides the stimuli, apart from their number; ``name`` and ``size_dva`` included.
    n_stimuli : int
        How many.
    write_one : callable
        Writes the file of one index and returns its table row and its annotations.
    fps : float, optional
        Frames per second of movies.

    Returns
    -------
    StimulusSet

    Raises
    ------
    ValueError
        If the folder was made with another configuration.
    """
    folder = Path(folder)
    _check_config(folder, config)
    rows: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with tqdm(total=n_stimuli, desc=f"making {config['name']}", disable=None, file=sys.stderr) as progress:
        for start in range(0, n_stimuli, _PART):
            stop = min(start + _PART, n_stimuli)
            part = _make_part(folder, start, stop, write_one)
            rows += part["rows"][: stop - start]
            wanted = {row["stimulus_id"] for row in rows[start:]}
            annotations += [item for item in part["annotations"] if item["stimulus_id"] in wanted]
            progress.update(stop - start)
    record = {"categories": {key: list(pair) for key, pair in SUBTYPES.items()}, "annotations": annotations}
    write_json(record, folder / "annotations.json")
    height, width = config["size_dva"]
    table = pd.DataFrame(rows).set_index("stimulus_id")
    stimuli = StimulusSet(config["name"], table, folder, (height, width), fps)
    write_stimulus_table(
        stimuli, provenance=make_provenance("stimuli world", config | {"n_stimuli": n_stimuli})
    )
    return read_stimulus_set(folder)


def read_annotations(folder: str | Path) -> dict[str, tuple[SceneObject, ...]]:
    """Masks, boxes and attributes of the things in every stimulus of a world folder.

    Parameters
    ----------
    folder : path
        Written by :func:`make_world`.

    Returns
    -------
    dict
        stimulus_id to its things, the dominant one first.

    Raises
    ------
    FileNotFoundError
        If there are no annotations.
    ValueError
        If the file is not of this form.
    """
    path = Path(folder) / "annotations.json"
    record = read_json(path)
    if "annotations" not in record:
        raise ValueError(f"{path} must hold 'annotations', got {sorted(record)}; make the world again.")
    found: dict[str, list[SceneObject]] = {}
    for item in record["annotations"]:
        top, left, bottom, right = item["box"]
        segmentation = item["segmentation"]
        mask = decode_mask(segmentation["counts"], tuple(segmentation["size"]))
        box = (top, left, bottom, right)
        thing = SceneObject(item["category"], item["subtype"], mask, box, item["attributes"])
        found.setdefault(item["stimulus_id"], []).append(thing)
    return {stimulus_id: tuple(things) for stimulus_id, things in found.items()}


def encode_mask(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths of a mask, column by column as in COCO, beginning with the run of False.

    Parameters
    ----------
    mask : array of shape (height, width), bool
        Any mask.
    """
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *counts] if flat.size and flat[0] else counts


def decode_mask(counts: ArrayLike, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask of shape ``size`` from its run lengths; the inverse of :func:`encode_mask`.

    Raises
    ------
    ValueError
        If the runs do not fill the mask.
    """
    runs = check_array("counts", counts, ndim=1, minimum=0, dtype=int)
    height, width = size
    if runs.sum() != height * width:
        raise ValueError(
            f"counts must add up to {height * width} pixels for size {size}, got {runs.sum()}; "
            "the annotations belong to images of another size or are damaged."
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(size, order="F")


def annotate_objects(stimulus_id: str, objects: tuple[SceneObject, ...]) -> list[dict[str, Any]]:
    """Annotation records of the things in one stimulus, ready for JSON."""
    return [
        {
            "stimulus_id": stimulus_id,
            "category": item.category,
            "subtype": item.subtype,
            "box": list(item.box),
            "segmentation": {"size": list(item.mask.shape), "counts": encode_mask(item.mask)},
            "attributes": item.attributes,
        }
        for item in objects
    ]


def _describe_scene(stimulus_id: str, path: str, scene: Scene) -> dict[str, Any]:
    main = scene.objects[0]
    areas = dict.fromkeys(CATEGORY_OF, 0.0)
    for item in scene.objects:
        areas[item.subtype] += float(item.mask.mean())
    return {
        "stimulus_id": stimulus_id,
        "path": path,
        "caption": scene.caption,
        "category": main.category,
        "subtype": main.subtype,
        **{f"area_{subtype}": round(area, 6) for subtype, area in areas.items()},
        **scene.latents,
    }


def _check_config(folder: Path, config: dict[str, Any]) -> None:
    path = folder / "config.json"
    if not path.is_file():
        write_json({"config": config, "config_hash": compute_config_hash(config)}, path)
        return
    old = read_json(path).get("config", {})
    if compute_config_hash(old) != compute_config_hash(config):
        names = sorted(set(old) | set(config))
        changed = ", ".join(
            f"{key}: {old.get(key)!r} there, {config.get(key)!r} asked"
            for key in names
            if old.get(key) != config.get(key)
        )
        raise OtherConfigurationError(
            f"folder must be empty or hold the same world, got {folder} with another one ({changed}); "
            "delete it or choose another folder."
        )


def _make_part(
    folder: Path,
    start: int,
    stop: int,
    write_one: Callable[[int], tuple[dict[str, Any], list[dict[str, Any]]]],
) -> dict[str, list[dict[str, Any]]]:
    """Rows and annotations of stimuli ``start`` to ``stop``, from the finished part or made now."""
    path = folder / "parts" / f"part-{start // _PART:04d}.json"
    if path.is_file():
        part = read_json(path)
        if len(part["rows"]) >= stop - start and all(
            (folder / row["path"]).is_file() for row in part["rows"]
        ):
            return part
    made = [write_one(index) for index in range(start, stop)]
    part = {"rows": [row for row, _ in made], "annotations": [item for _, items in made for item in items]}
    write_json(part, path)
    return part
