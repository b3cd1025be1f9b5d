"""Generated images on disk: one file for each region, scale and seed, in a StimulusSet folder.

A file is written whole or not at all and holds its own row of the table, so a killed run goes on with the
seeds that are missing, and a folder grows by more regions, scales and seeds.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovis.core import OtherConfigurationError, StimulusSet, make_provenance, make_rng
from neurovis.features.capture import compute_weights_hash
from neurovis.generation.guidance import Guidance
from neurovis.generation.model import LatentDiffusion
from neurovis.generation.sampling import GuidanceLog, sample
from neurovis.io import atomic_path, read_json, write_json, write_stimulus_table

_CHUNK = "neurovis"
_CONFIG = "generation.json"
_SAME = 1e-2
"""Relative difference of an objective's value on fixed noise beyond which it is another objective."""


def generate_images(
    model: LatentDiffusion,
    folder: str | Path,
    guidance: Mapping[str, Guidance],
    *,
    seeds: Sequence[int],
    scales: Sequence[float] | None = None,
    prompts: Mapping[str, Sequence[str]] | None = None,
    control: str = "guided",
    batch_size: int = 8,
    size_dva: tuple[float, float] = (8.0, 8.0),
    name: str = "generated",
    **options: Any,
) -> StimulusSet:
    """Sample images for several objectives and scales and keep them; a killed run goes on where it stopped.

    Parameters
    ----------
    model : LatentDiffusion
        From :func:`neurovis.generation.model.load_latent_diffusion`.
    folder : path
        Receives ``images/``, ``stimuli.tsv`` and ``stimuli.json``; images that are there are kept.
    guidance : mapping of str to Guidance
        By region, or whatever the objective is about.
    seeds : sequence of int
        One image for each, of each region and scale.
    scales : sequence of float, optional
        In the place of the scale that each guidance has; 0 is plain sampling.
    prompts : mapping of str to sequence of str, optional
        By region, a text for each seed, in the place of one ``prompt`` for all; the table gets the column
        ``prompt``.
    control : str
        What the images are, for the table: "guided", or the name of a control.
    batch_size : int
        Images at a time; a killed run loses at most these.
    size_dva : tuple of float
        (height, width) on the screen [degrees of visual angle].
    name : str
        Of the stimulus set.
    **options
        Of :func:`neurovis.generation.sampling.sample`: ``n_steps``, ``sampler``, ``self_attention``,
        ``prompt`` (one text), ``prompt_scale`` and ``size_px``.

    Returns
    -------
    StimulusSet
        All images of the folder. Columns ``region``, ``control``, ``scale``, ``seed``, ``predicted`` (the
        objective of the image as it was stored), and means over steps of ``gradient_norm`` and ``saturated``
        (NaN for plain sampling).

    Raises
    ------
    neurovis.core.OtherConfigurationError
        If the folder holds images of another model, of other settings, or of other objectives by the same
        names.
    ValueError
        If a region's name cannot be part of a file name, prompts do not fit the seeds, or as :func:`sample`.
    """
    from tqdm import tqdm

    folder = Path(folder)
    for region in (*guidance, control):
        if not re.fullmatch(r"[\w .+-]+", region):
            raise ValueError(
                f"regions and control must be named with letters, digits, space and .+-, got {region!r}."
            )
    texts = _pair_prompts(prompts, guidance, seeds)
    config = _make_config(model, guidance, control, options)
    _check_config(folder / _CONFIG, config)
    runs = []
    for region, part in guidance.items():
        for scale in (part.scale,) if scales is None else scales:
            paths = {int(seed): _make_path(control, region, float(scale), int(seed)) for seed in seeds}
            missing = _find_missing(folder, paths, texts.get(region, {}))
            runs.append((region, replace(part, scale=float(scale)), paths, missing))
    n_missing = sum(len(missing) for *_, missing in runs)
    with tqdm(total=n_missing, desc=name, unit="image", disable=None, leave=False, file=sys.stderr) as bar:
        for region, part, paths, missing in runs:
            for first in range(0, len(missing), batch_size):
                batch = missing[first : first + batch_size]
                given = {"prompt": [texts[region][seed] for seed in batch]} if texts else {}
                made = sample(
                    model, guidance=part, seeds=batch, batch_size=batch_size, **{**options, **given}
                )
                pixels = (made.images * 255).round().to(torch.uint8)
                predicted = _judge(part, pixels, model)
                about = {"region": region, "control": control, "scale": part.scale}
                for row, seed in enumerate(batch):
                    record = {**about, "seed": seed, "predicted": predicted[row], **_describe(made.log, row)}
                    record |= {"prompt": texts[region][seed]} if texts else {}
                    _write_image(folder / paths[seed], pixels[row].permute(1, 2, 0).numpy(), record)
                bar.update(len(batch))
    return _write_table(folder, size_dva, name, config)


def _pair_prompts(
    prompts: Mapping[str, Sequence[str]] | None, regions: Iterable[str], seeds: Sequence[int]
) -> dict[str, dict[int, str]]:
    """Text of each region and seed; none where one prompt serves all."""
    if prompts is None:
        return {}
    counts = {region: len(prompts.get(region, ())) for region in regions}
    if set(counts.values()) != {len(seeds)}:
        raise ValueError(
            f"prompts must hold a text for each of {len(seeds)} seeds of every region, got {counts}."
        )
    return {
        region: dict(zip((int(seed) for seed in seeds), prompts[region], strict=True)) for region in counts
    }


def _find_missing(folder: Path, paths: Mapping[int, Path], texts: Mapping[int, str]) -> list[int]:
    """Seeds without an image; one that was made from another text is refused."""
    missing = []
    for seed, path in paths.items():
        row = _read_row(folder / path)
        if row is None:
            missing.append(seed)
        elif row.get("prompt") != texts.get(seed):
            raise OtherConfigurationError(
                f"folder must be empty or hold images of the same prompts, got {folder / path} of "
                f"{row.get('prompt')!r} where {texts.get(seed)!r} is wanted; choose another folder."
            )
    return missing


def _make_config(
    model: LatentDiffusion, guidance: Mapping[str, Guidance], control: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that decides the images, but for seeds and scales; objectives by their value on noise."""
    probe = torch.from_numpy(make_rng(0, "probe").random((2, 3, 64, 64), dtype=np.float32)).to(model.device)
    settings = {}
    for region, part in guidance.items():
        with torch.no_grad():
            value = part.objective(probe)
        about = {key: item for key, item in vars(part).items() if key not in ("objective", "scale")}
        settings[f"{control}/{region}"] = {**about, "probe": [float(number) for number in value]}
    attending = options.get("self_attention")
    sampling = {**options, "self_attention": None if attending is None else asdict(attending)}
    return {
        "model": model.name, "unet": compute_weights_hash(model.unet), "vae": compute_weights_hash(model.vae),
        "scheduler": {key: value for key, value in model.scheduler_config.items() if key[0] != "_"},
        "sampling": sampling, "guidance": settings,
    }  # fmt: skip


def _check_config(path: Path, config: dict[str, Any]) -> None:
    """Compare with what the folder holds, region by region, and add the new regions."""
    asked = json.loads(json.dumps(config))
    there = read_json(path) if path.is_file() else {}
    old = there.get("guidance", {})
    changed = [
        key for key in asked if there and key not in ("guidance", "model") and there.get(key) != asked[key]
    ]
    for region in set(old) & set(asked["guidance"]):
        before, now = dict(old[region]), dict(asked["guidance"][region])
        same = np.allclose(before.pop("probe"), now.pop("probe"), rtol=_SAME, atol=1e-6)
        if before != now or not same:
            changed.append(f"guidance of {region}" if before != now else f"objective of {region}")
    if changed:
        raise OtherConfigurationError(
            f"folder must be empty or hold images of the same model and settings, got {path.parent} with "
            f"another {', '.join(changed)}; choose another folder."
        )
    write_json({**asked, "guidance": {**old, **asked["guidance"]}}, path)


def _make_path(control: str, region: str, scale: float, seed: int) -> Path:
    return Path("images", control, region, f"scale-{scale:g}_seed-{seed}.png")


def _describe(log: GuidanceLog, row: int) -> dict[str, float | None]:
    """Means over the guided steps, None where there was none, as JSON has no NaN."""
    found: dict[str, float | None] = {}
    for key in ("gradient_norm", "saturated"):
        values = getattr(log, key)[row]
        known = values[np.isfinite(values)]
        found[key] = float(known.mean()) if len(known) else None
    return found


@torch.no_grad()
def _judge(guidance: Guidance, pixels: Tensor, model: LatentDiffusion) -> list[float]:
    """The objective of images as they are stored, (n, 3, height, width) uint8."""
    return guidance.objective(pixels.to(model.device).float() / 255).float().cpu().tolist()


def _write_image(path: Path, pixels: NDArray[np.uint8], row: Mapping[str, Any]) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text(_CHUNK, json.dumps(row))
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, pnginfo=about)


def _read_row(path: Path) -> dict[str, Any] | None:
    """Row of the table that an image holds, or None if there is no such image."""
    from PIL import Image

    if not path.is_file():
        return None
    with Image.open(path) as image:
        text = getattr(image, "text", {}).get(_CHUNK)
    return None if text is None else json.loads(text)


def _write_table(
    folder: Path, size_dva: tuple[float, float], name: str, config: Mapping[str, Any]
) -> StimulusSet:
    rows = []
    for path in sorted((folder / "images").glob("*/*/*.png")):
        row = _read_row(path)
        if row is not None:
            names = (row["control"], row["region"], f"scale-{row['scale']:g}", f"seed-{row['seed']}")
            stimulus_id = "_".join(part.replace(" ", "-") for part in names)
            rows.append({"stimulus_id": stimulus_id, "path": path.relative_to(folder).as_posix(), **row})
    table = pd.DataFrame(rows).astype({"gradient_norm": float, "saturated": float})
    table = table.sort_values(["control", "region", "scale", "seed"]).set_index("stimulus_id")
    stimuli = StimulusSet(name, table, folder, size_dva)
    write_stimulus_table(stimuli, provenance=make_provenance("generation", config))
    return stimuli
