"""Captions of voxels as images: ``neurovis captioning illustrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from neurovis.core import StimulusSet


def illustrate(
    out: Path = typer.Option(..., help="Folder of tables and figures; images/ below it."),
    captions: Path = typer.Option(..., help="Folder of `captioning caption`."),
    encoding: Path = typer.Option(..., help="Result of the `encoding fit` whose weights were captioned."),
    weights: Path = typer.Option(..., help="Its encoder."),
    features: str = typer.Option(..., help="Feature space that it reads."),
    options: str = typer.Option("{}", help="Options of that space as JSON."),
    held_out_weights: Path = typer.Option(..., help="Encoder of another backbone."),
    held_out: str = typer.Option(..., help="Feature space that it reads."),
    held_out_options: str = typer.Option("{}", help="Options of that space as JSON."),
    stimuli: Path = typer.Option(..., help="Folder of the natural images."),
    categories: str = typer.Option(..., help='Category of each region as JSON, e.g. {"FFA": "face"}.'),
    kind: list[str] = typer.Option(
        ["increase", "suppress", "permuted"], help="Captions to draw: of weights, negated, permuted."
    ),
    model: str = typer.Option("world-diffusion", help="Shipped name, folder, or name on the hub."),
    n_images: int = typer.Option(8, help="Voxels of each region, one image of each caption."),
    n_steps: int = typer.Option(15, help="Denoising steps."),
    prompt_scale: float = typer.Option(4.0, help="Classifier-free guidance."),
    judge: str = typer.Option("world-judge", help="world-judge, or a model such as open_clip:ViT-B-16."),
    prompts: str = typer.Option("{}", help="Words for each category as JSON, where the judge reads texts."),
    truth: Path | None = typer.Option(None, help="Folder of the simulated truth."),
    least_agreement: float = typer.Option(0.9, help="Smallest cosine across disjoint banks."),
    n_natural: int = typer.Option(500, help="Natural images, from the last."),
    fdr: float = typer.Option(0.05, help="Regions are the neuroids predicted at this rate; 1 takes all."),
    size_dva: float = typer.Option(8.0, help="Side of the images on the screen [degrees]."),
    batch_size: int = typer.Option(8, help="Images at a time."),
    subject: str = typer.Option(..., help="Subject, for the captions of figures."),
    section: str = typer.Option("Captions of voxels", help="Section of the report."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    replace: bool = typer.Option(False, "--replace", help="Delete images of other settings in the folder."),
    seed: int = typer.Option(0, help="Seed of the drawn voxels and of intervals."),
) -> None:
    """Draw captions of voxels and see whether their regions respond to the pictures (BrainSCUBA)."""
    import shutil

    from torch import nn

    from neurovis.cli.judging import choose_neuroids, extract_joined, judge_images, read_neuroids
    from neurovis.cli.names import build_features, parse_options, rank_region
    from neurovis.core import OtherConfigurationError, make_provenance
    from neurovis.datasets.simulated import compute_true_responses, read_truth
    from neurovis.encoding.storage import read_encoder
    from neurovis.encoding.torch_bridge import to_torch
    from neurovis.evaluation.generation import (
        compute_naturalness,
        make_image_table,
        summarise_generation,
    )
    from neurovis.evaluation.illustrations import (
        arrange_illustrations,
        compare_illustrations,
        draw_captions,
    )
    from neurovis.features.differentiable import make_differentiable
    from neurovis.generation.guidance import Guidance
    from neurovis.generation.images import generate_images
    from neurovis.generation.model import load_latent_diffusion
    from neurovis.generation.objectives import RegionObjective
    from neurovis.io import read_stimulus_set, read_table, write_table
    from neurovis.plotting import write_report_table

    if "increase" not in kind or len(set(kind)) != len(kind):
        raise ValueError(f"kind must hold 'increase' and none twice, got {kind}.")
    names = parse_options(categories)
    tables = {}
    for name in kind:
        table = read_table(captions / f"{name}.tsv", required=("neuroid_id", "region", "caption", "repeat"))
        tables[name] = table[(table["repeat"] == 0) & ~(table["agreement"] < least_agreement)]
    regions = sorted(set(tables["increase"]["region"]) & set(names), key=rank_region)
    drawn = {region: draw_captions(tables, region, n=n_images, seed=seed) for region in regions}
    neuroids = read_neuroids(encoding, None)
    ids = neuroids["neuroid_id"].values.tolist()
    columns = {name: choose_neuroids(neuroids, name, fdr) for name in regions}
    encoder = read_encoder(weights, neuroid_ids=ids)
    extractor: Any = build_features(features, parse_options(options))
    respond = nn.Sequential(make_differentiable(extractor), to_torch(encoder)).to(device)
    denoiser = load_latent_diffusion(model, device=device)

    def make() -> StimulusSet:
        # Nothing guides: the objective only says what the captioned encoder predicts.
        unguided = {region: Guidance(RegionObjective(respond, own), 0.0) for region, own in columns.items()}
        for name in kind:
            made = generate_images(
                denoiser, out / "images", unguided, seeds=range(n_images), control=name,
                prompts={region: texts[name] for region, texts in drawn.items()}, batch_size=batch_size,
                prompt_scale=prompt_scale, n_steps=n_steps, size_dva=(size_dva, size_dva),
                name="illustrations",
            )  # fmt: skip
        return made

    try:
        made = make()
    except OtherConfigurationError:
        if not replace:
            raise
        shutil.rmtree(out / "images")
        made = make()

    world = read_stimulus_set(stimuli)
    world = world.subset(world.stimulus_ids[-n_natural:])
    sets = {"made": made, "world": world}
    found: dict[str, dict[str, NDArray]] = {name: {} for name in sets}
    other = read_encoder(held_out_weights, neuroid_ids=ids)
    judging = {
        name: extract_joined(held_out, held_out_options, shown, device) for name, shown in sets.items()
    }
    known = read_truth(truth).subject if truth is not None else None
    for name, shown in sets.items():
        found[name]["predicted"] = encoder.predict(extract_joined(features, options, shown, device))
        found[name]["held_out"] = other.predict(judging[name])
        if known is not None:
            found[name]["true"] = compute_true_responses(known, shown)
    words = parse_options(prompts)
    responses = {
        name: make_image_table(
            shown.stimulus_ids, found[name], columns,
            judged=judge_images(judge, words, list(dict.fromkeys(names.values())), shown, device),
            naturalness=compute_naturalness(judging[name], judging["world"]),
        )
        for name, shown in sets.items()
    }  # fmt: skip
    about = made.table.reset_index().rename(columns={"region": "source", "control": "kind"})
    images = arrange_illustrations(about, responses["made"])
    record = make_provenance(
        "captioning illustrate",
        {"kinds": kind, "n_images": n_images, "n_steps": n_steps, "prompt_scale": prompt_scale, "seed": seed},
        {"captions": captions / "increase.tsv", "held_out_weights": held_out_weights},
    )  # fmt: skip
    write_table(images.merge(about[["stimulus_id", "prompt"]]), out / "images.tsv", provenance=record)
    summary = summarise_generation(images, responses["world"], categories=names, seed=seed)
    summary = summary[summary["selection"] != "best"].sort_values(
        "region", key=lambda column: column.map(rank_region), kind="stable"
    )
    value = "true" if known is not None else "held_out"
    write_report_table(
        summary.drop(columns=["scale"]), out / "summary.tsv",
        title=f"Captions as images, subject {subject}",
        caption="Images drawn from captions of a region's voxels, of other regions' voxels, of negated and "
        "of permuted weights, and natural images: share that the judge puts into the region's category, mean "
        "responses with 95 % intervals, and the share of natural images that evoke less.",
        section=section, order=104, provenance=record,
    )  # fmt: skip
    effects = compare_illustrations(images, value, seed=seed)
    write_report_table(
        effects, out / "effects.tsv", title=f"Own captions against others, subject {subject}",
        caption=f"Mean {value} response of a region to images of its own captions minus that to others made "
        "from the same noise, with 95 % intervals over seeds (bootstrap) and two-sided p (flipped signs).",
        section=section, order=105, provenance=record,
    )  # fmt: skip
    _draw(about, effects, made, value, out, subject, section, record)
    typer.echo(effects.to_string(index=False, float_format=lambda number: f"{number:.3f}"))


def _draw(
    about: pd.DataFrame,
    effects: pd.DataFrame,
    made: StimulusSet,
    value: str,
    out: Path,
    subject: str,
    section: str,
    record: dict[str, Any],
) -> None:
    """Pictures below their captions, and responses to own captions against others."""
    from neurovis.plotting import plot_captioned_images, plot_intervals, write_figure

    own = about[about["kind"] == "increase"]
    rows = {
        str(region): [
            (made.load(name), text) for name, text in zip(part["stimulus_id"], part["prompt"], strict=True)
        ]
        for region, part in own.groupby("source", sort=False)
    }
    write_figure(
        plot_captioned_images(rows), out / "gallery.png", title=f"Captions as images, subject {subject}",
        caption="Captions of voxels of each region, drawn by the text-to-image model.",
        section=section, order=3, provenance=record,
    )  # fmt: skip
    axes = plot_intervals(
        [f"{row.region}: {row.reference}" for row in effects.itertuples()], effects["difference"],
        lower=effects["ci_low"], upper=effects["ci_high"], chance=[0.0] * len(effects),
        passed=(effects["ci_low"] > 0).to_numpy(),
        label=f"{value} response, own minus other captions (95 % interval)",
    )  # fmt: skip
    write_figure(
        axes, out / "effects.png", title=f"Own captions against others, subject {subject}",
        caption=f"Difference of a region's mean {value} response between images of its own captions and "
        f"others made from the same noise, over {effects['n'].min()} seeds.",
        section=section, order=4, provenance=record,
    )  # fmt: skip
