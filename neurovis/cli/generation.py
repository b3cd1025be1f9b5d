"""Images that brain regions prefer: guided diffusion, and what others than the guide make of them."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from neurovis.core import StimulusSet
    from neurovis.features.torch_module import ModuleFeatures
    from neurovis.generation.views import ViewAverage

from neurovis.cli.subregions import find_parts

NAME = "generation"
SECTION = "Images that regions prefer"
app = typer.Typer(help="Brain-guided image synthesis.", no_args_is_help=True)
app.command("subregions")(find_parts)


@app.command("train-diffusion")
def train_diffusion(
    out: Path = typer.Option(Path("models/world-diffusion"), help="Folder of the pipeline and its card."),
    n_images: int = typer.Option(30_000, help="Scenes to train on."),
    unet_steps: int = typer.Option(5500, help="Updates of the denoiser in a round, of 32 scenes each."),
    unet_rounds: int = typer.Option(1, help="Rounds; more of them go on from fewer in the same work folder."),
    seed: int = typer.Option(0, help="Seed of initial weights, order and noise."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    work: Path = typer.Option(None, help="Folder that a killed run resumes from."),
) -> None:
    """Train the in-house latent diffusion model on the stimulus world and write weights and card."""
    from neurovis.generation.training import train_world_diffusion

    train_world_diffusion(
        out, n_images=n_images, unet_steps=unet_steps, unet_rounds=unet_rounds, seed=seed, device=device,
        work=work,
    )  # fmt: skip
    typer.echo(f"pipeline and card in {out}")


@app.command("guide")
def guide(
    out: Path = typer.Option(..., help="Folder of images; a killed run goes on where it stopped."),
    encoding: Path = typer.Option(..., help="Result of `encoding fit`: neuroids, regions and their q."),
    weights: Path = typer.Option(..., help="Encoder that guides, from the same `encoding fit`."),
    features: str = typer.Option(..., help="Feature space that it reads, e.g. open_clip:world-clip."),
    region: list[str] = typer.Option(..., help="Region whose response is to be large; repeatable."),
    suppress: str = typer.Option("", help="Region whose response is to be small."),
    subregions: Path | None = typer.Option(
        None, help="Table of `generation subregions`, whose parts are then regions too."
    ),
    options: str = typer.Option("{}", help="Options of the feature space as JSON."),
    model: str = typer.Option("world-diffusion", help="Shipped name, folder, or name on the hub."),
    scale: list[float] = typer.Option([0.0, 100.0], help="Guidance scale; repeatable, 0 is unguided."),
    n_seeds: int = typer.Option(10, help="Images of each region and scale."),
    first_seed: int = typer.Option(0, help="Seed of the first of them."),
    n_steps: int = typer.Option(50, help="Denoising steps."),
    sampler: str = typer.Option("dpm++", help="dpm++, sde-dpm++, ddim or euler."),
    self_attention: float = typer.Option(0.0, help="Weight of self-attention guidance; the paper: 0.75."),
    gradient: str = typer.Option("decoder_only", help="full (the paper) or decoder_only."),
    n_views: int = typer.Option(1, help="Views of each image that the encoder sees; the paper: 1."),
    decode_scale: float = typer.Option(1.0, help="Decode for the objective at this share of the size."),
    every: int = typer.Option(1, help="Compute the gradient in every so many steps."),
    stop: float = typer.Option(1.0, help="Share of the steps after which guidance ends."),
    prompt: str = typer.Option("", help="Text; empty for none."),
    prompt_scale: float = typer.Option(1.0, help="Classifier-free guidance."),
    control: list[str] = typer.Option(
        [], help="'sign flipped' or 'weights permuted', at the largest scale; repeatable."
    ),
    fdr: float = typer.Option(0.05, help="Guide by neuroids predicted at this rate; 1 takes all."),
    dtype: str = typer.Option("float32", help="float32, bfloat16 or float16."),
    batch_size: int = typer.Option(8, help="Images at a time."),
    size_dva: float = typer.Option(8.0, help="Side of the images on the screen [degrees]."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    compiled: bool = typer.Option(False, "--compiled", help="Compile network and decoder."),
    replace: bool = typer.Option(False, "--replace", help="Delete images of other settings in the folder."),
    seed: int = typer.Option(0, help="Seed of the permuted weights."),
) -> None:
    """Synthesise images that an encoder predicts to drive regions (BrainDiVE)."""
    import shutil

    from neurovis.cli.judging import choose_neuroids, read_neuroids
    from neurovis.core import OtherConfigurationError, check_option, make_rng
    from neurovis.encoding.storage import read_encoder
    from neurovis.evaluation.generation import CONTROLS, GUIDED
    from neurovis.generation.guidance import Guidance
    from neurovis.generation.images import generate_images
    from neurovis.generation.model import load_latent_diffusion
    from neurovis.generation.objectives import ContrastObjective, RegionObjective
    from neurovis.generation.self_attention import SelfAttention

    for name in control:
        check_option("control", name, CONTROLS)
    neuroids = read_neuroids(encoding, subregions)
    fitted = read_encoder(weights, neuroid_ids=neuroids["neuroid_id"].values.tolist())
    respond = _make_responses(features, options, fitted, n_views=n_views, device=device)
    chosen = {name: choose_neuroids(neuroids, name, fdr) for name in {*region, suppress} - {""}}
    # As if the rows of the encoder had been dealt out again: other neuroids under the same names.
    order = make_rng(seed, "permuted weights").permutation(neuroids.sizes["neuroid"])
    denoiser = load_latent_diffusion(model, device=device, dtype=dtype, compiled=compiled)

    def make(kind: str) -> StimulusSet:
        guidance = {}
        for name in region:
            columns = {key: chosen[key] for key in (name, suppress) if key}
            if kind == "weights permuted":
                columns = {key: order[own].tolist() for key, own in columns.items()}
            objective: Any = RegionObjective(respond, columns[name])
            if suppress:
                objective = ContrastObjective(respond, columns[name], columns[suppress])
            guidance[f"{name} - {suppress}" if suppress else name] = Guidance(
                objective, gradient=gradient, decode_scale=decode_scale, every=every, stop=stop
            )
        return generate_images(
            denoiser, out, guidance, seeds=range(first_seed, first_seed + n_seeds),
            scales=scale if kind == GUIDED else [max(scale) * (-1 if kind == "sign flipped" else 1)],
            control=kind, batch_size=batch_size, size_dva=(size_dva, size_dva), n_steps=n_steps,
            sampler=sampler, self_attention=SelfAttention(self_attention) if self_attention else None,
            prompt=prompt, prompt_scale=prompt_scale,
        )  # fmt: skip

    for kind in (GUIDED, *control):
        try:
            images = make(kind)
        except OtherConfigurationError:
            if not replace or kind != GUIDED:
                raise
            shutil.rmtree(out)
            images = make(kind)
    typer.echo(f"{len(images)} images in {out}")


@app.command("evaluate")
def evaluate(
    out: Path = typer.Option(..., help="Folder of tables and figures."),
    images: list[Path] = typer.Option(..., help="Folder of `generation guide`; repeatable."),
    stimuli: Path = typer.Option(..., help="Folder of the natural images."),
    encoding: Path = typer.Option(..., help="Result of the guiding `encoding fit`."),
    weights: Path = typer.Option(..., help="The guiding encoder."),
    features: str = typer.Option(..., help="Feature space that it reads."),
    options: str = typer.Option("{}", help="Options of that space as JSON."),
    held_out_weights: Path = typer.Option(..., help="Encoder of another backbone and other stimuli."),
    held_out: str = typer.Option(..., help="Feature space that it reads."),
    held_out_options: str = typer.Option("{}", help="Options of that space as JSON."),
    categories: str = typer.Option(..., help='Category of each region as JSON, e.g. {"FFA": "face"}.'),
    judge: str = typer.Option("world-judge", help="world-judge, or a model such as open_clip:ViT-B-16."),
    prompts: str = typer.Option("{}", help="Words for each category as JSON, where the judge reads texts."),
    responses: Path | None = typer.Option(None, help="Recorded responses to the natural images."),
    truth: Path | None = typer.Option(None, help="Folder of the simulated truth."),
    best_share: float = typer.Option(0.2, help="Share of the images that re-ranking keeps."),
    n_views: int = typer.Option(1, help="As in `generation guide`, for the prediction that ranks."),
    n_natural: int = typer.Option(1000, help="Natural images, from the first."),
    subject: str = typer.Option(..., help="Subject, for the captions."),
    section: str = typer.Option(SECTION, help="Section of the report."),
    fdr: float = typer.Option(0.05, help="As in `generation guide`."),
    subregions: Path | None = typer.Option(None, help="As in `generation guide`."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    seed: int = typer.Option(0, help="Seed of the intervals."),
) -> None:
    """Judge guided images by what did not guide them, beside natural images and controls."""
    import pandas as pd

    from neurovis.cli.judging import (
        choose_neuroids,
        extract_joined,
        judge_images,
        look_up_responses,
        read_neuroids,
    )
    from neurovis.cli.names import parse_options, rank_region
    from neurovis.core import make_provenance
    from neurovis.datasets.simulated import compute_true_responses, read_truth
    from neurovis.encoding.storage import read_encoder
    from neurovis.evaluation.generation import (
        compute_naturalness,
        make_image_table,
        summarise_generation,
    )
    from neurovis.io import read_neural_data, read_stimulus_set, write_table
    from neurovis.plotting import write_report_table

    made, world = _join([read_stimulus_set(path) for path in images]), read_stimulus_set(stimuli)
    world = world.subset(world.stimulus_ids[:n_natural])
    neuroids = read_neuroids(encoding, subregions)
    ids = neuroids["neuroid_id"].values.tolist()
    names = parse_options(categories)
    objectives = made.table["region"].unique()
    regions = sorted({name for objective in objectives for name in objective.split(" - ")}, key=rank_region)
    columns = {name: choose_neuroids(neuroids, name, fdr) for name in regions}
    sets = {"made": made, "world": world}
    found: dict[str, dict[str, NDArray]] = {name: {} for name in sets}
    for value, path, space, settings in (
        ("predicted", weights, features, options),
        ("held_out", held_out_weights, held_out, held_out_options),
    ):
        seen = {name: extract_joined(space, settings, shown, device) for name, shown in sets.items()}
        fitted = read_encoder(path, neuroid_ids=ids)
        for name, shown in sets.items():
            if value == "predicted" and n_views > 1:
                respond = _make_responses(space, settings, fitted, n_views=n_views, device=device)
                found[name][value] = _respond_to(respond, shown, device)
            else:
                found[name][value] = fitted.predict(seen[name])
    # The last features are those of the held-out backbone, which has not guided.
    natural = {name: compute_naturalness(seen[name], seen["world"]) for name in sets}
    if truth is not None:
        subject_truth = read_truth(truth).subject
        for name, shown in sets.items():
            found[name]["true"] = compute_true_responses(subject_truth, shown)
    if responses is not None:
        found["world"]["measured"] = look_up_responses(read_neural_data(responses), world)
    known = list(dict.fromkeys(names.values()))
    judged = {
        name: judge_images(judge, parse_options(prompts), known, shown, device)
        for name, shown in sets.items()
    }
    tables = {
        name: make_image_table(
            shown.stimulus_ids, found[name], columns, judged=judged[name], naturalness=natural[name]
        )
        for name, shown in sets.items()
    }
    about = made.table.reset_index()[["stimulus_id", "region", "control", "scale", "seed"]]
    about["scale"] = about["scale"].abs()  # the sign is the control
    about["objective"], about["region"] = about["region"], about["region"].str.split(" - ").str[0]
    own = about.merge(tables["made"], on=["stimulus_id", "region"])
    record = make_provenance(
        "generation evaluate",
        {"judge": judge, "best_share": best_share, "n_views": n_views, "fdr": fdr, "seed": seed},
        {"weights": weights, "held_out_weights": held_out_weights},
    )  # fmt: skip
    write_table(own, out / "images.tsv", provenance=record)
    crossed = about.drop(columns="region").merge(tables["made"], on="stimulus_id")
    _write_effects(crossed, subregions is not None, out, subject, section, record, seed)
    summary = pd.concat(
        [
            summarise_generation(
                rows, tables["world"], categories=names, best_share=best_share, seed=seed
            ).assign(objective=objective)
            for objective, rows in own.groupby("objective", sort=False)
        ],
        ignore_index=True,
    )
    order = {name: number for number, name in enumerate(regions)}
    summary = summary.sort_values("region", key=lambda column: column.map(order), kind="stable")
    write_report_table(
        summary,
        out / "summary.tsv",
        title=f"Guided images beside natural ones, subject {subject}",
        caption="Share that the judge puts into the region's category, and mean responses, with 95 % "
        "intervals; percentile: share of natural images that evoke less. Best: largest "
        "predictions of the guide. Held out: an encoder of another backbone fitted to other stimuli.",
        section=section,
        order=100,
        provenance=record,
    )
    _draw(own, summary, tables["world"], sets, names, out, subject, section, record)
    shown_columns = ["objective", "control", "scale", "selection", "n", "share", "predicted", "held_out"]
    shown_columns += [name for name in ("true", "true_percentile") if name in summary]
    typer.echo(summary[shown_columns].to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def _write_effects(
    images: pd.DataFrame,
    with_parts: bool,
    out: Path,
    subject: str,
    section: str,
    record: dict[str, Any],
    seed: int,
) -> None:
    """Table of what guidance changes, where there are unguided images to compare with and several seeds."""
    from neurovis.evaluation.effects import compare_objectives
    from neurovis.plotting import write_report_table

    unguided = images[images["scale"] == 0]
    if unguided["seed"].nunique() < 2:
        return
    objectives = list(images["objective"].unique())
    pairs = [tuple(name.split(" - ")) for name in objectives if " - " in name]
    if with_parts:  # of one region, against each other
        pairs += [
            (one, other)
            for one in objectives
            for other in objectives
            if one != other and one.rpartition("-")[0] == other.rpartition("-")[0] != ""
        ]
    value = "true" if "true" in images else "held_out"
    table = compare_objectives(images, value, pairs=dict.fromkeys(pairs), seed=seed)
    write_report_table(
        table,
        out / "effects.tsv",
        title=f"What guidance changes, subject {subject}",
        caption=f"Mean {value} responses of regions, and of one region minus another, to images of each "
        "objective and to others made from the same noise: differences with 95 % intervals over seeds "
        "(bootstrap) and two-sided p (flipped signs).",
        section=section,
        order=101,
        provenance=record,
    )
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def _make_responses(features: str, options: str, encoder: Any, *, n_views: int, device: str) -> ViewAverage:
    """Differentiable responses of an encoder to views of images."""
    from torch import nn

    from neurovis.cli.names import build_features, parse_options
    from neurovis.encoding.torch_bridge import to_torch
    from neurovis.features.differentiable import make_differentiable
    from neurovis.generation.views import ViewAverage

    extractor = cast("ModuleFeatures", build_features(features, parse_options(options)))
    network = nn.Sequential(make_differentiable(extractor), to_torch(encoder)).to(device)
    return ViewAverage(network, n_views=n_views)


def _respond_to(respond: ViewAverage, stimuli: StimulusSet, device: str) -> NDArray:
    """Responses (n, n_neuroids) to images of a set, a few of one size at a time."""
    import numpy as np
    import torch

    names, parts = stimuli.stimulus_ids, []
    for start in range(0, len(names), 16):
        loaded = [stimuli.load(name) for name in names[start : start + 16]]
        for _, group in groupby(loaded, key=np.shape):
            images = torch.from_numpy(np.stack(list(group))).to(device).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                parts.append(respond(images).cpu().numpy())
    return np.concatenate(parts)


def _join(sets: list[StimulusSet]) -> StimulusSet:
    """Several sets as one; ids name region, control, scale and seed, so none comes twice."""
    import pandas as pd

    from neurovis.core import StimulusSet

    tables = [
        part.table.assign(path=[str((part.root / path).resolve()) for path in part.table["path"]])
        for part in sets
    ]
    return StimulusSet("generated", pd.concat(tables), Path(), sets[0].size_dva)


def _draw(
    images: pd.DataFrame,
    summary: pd.DataFrame,
    natural: pd.DataFrame,
    sets: dict[str, StimulusSet],
    categories: dict[str, str],
    out: Path,
    subject: str,
    section: str,
    record: dict[str, Any],
) -> None:
    """Gallery, curves over the scale, and the matrix of categories."""
    from neurovis.evaluation.generation import GUIDED, compute_specificity, select_best
    from neurovis.plotting import plot_curves, plot_galleries, plot_shares, write_figure

    strongest = images.groupby("objective")["scale"].transform("max")
    guided = images[(images["control"] == GUIDED) & (images["scale"] == strongest)]
    blocks: dict[str, dict[str, list[NDArray]]] = {}
    for objective, rows in guided.groupby("objective", sort=False):
        world = natural[natural["region"] == rows["region"].iloc[0]]
        columns = [name for name in ("predicted", "measured") if name in natural.columns]
        blocks[str(objective)] = {
            "guided, best first": [
                sets["made"].load(name) for name in rows.nlargest(6, "predicted")["stimulus_id"]
            ],
            **{
                f"natural, top {column}": [
                    sets["world"].load(name) for name in world.nlargest(6, column)["stimulus_id"]
                ]
                for column in columns
            },
        }
    caption = (
        "Images guided at the largest scale with the largest predictions of the guide, beside the natural "
        "images with the largest predicted and recorded responses."
    )
    figures = [("gallery", plot_galleries(blocks), "What each region prefers", caption)]
    curves = summary[(summary["selection"] == "all") & (summary["control"] == GUIDED)]
    value = "true" if "true" in summary.columns else "held_out"
    if len(set(curves["scale"])) > 1:
        for column, label in (("share", "share in the region's category"), (value, f"{value} response")):
            axes = plot_curves(
                curves.rename(columns={f"{column}_low": "ci_low", f"{column}_high": "ci_high"}),
                x="scale", y=column, by="objective", scale="symlog", x_label="guidance scale", y_label=label,
            )  # fmt: skip
            text = (
                f"{label.capitalize()} of all guided images, with 95 % intervals; 0 is unguided. Scales of "
                "gradients through the denoiser and past it are not alike."
            )
            figures.append((f"scale_{column}", axes, f"Guidance scale: {label}", text))
    best = select_best(guided.assign(region=guided["objective"]), share=0.5)
    # Every category that the judge knows about, in the order of the regions.
    judged = list(dict.fromkeys([*categories.values(), *sorted(images["judged"].unique())]))
    share, low, high = compute_specificity(best, judged)
    expected = {name: categories[name.split(" - ")[0]] for name in share.index}
    axes = plot_shares(
        share.values,
        rows=list(share.index),
        columns=judged,
        interval=(low.values, high.values),
        expected=expected,
    )
    caption = (
        "Share of the better half of the guided images, by the guide, that an independent judge puts into "
        "each category, with 95 % intervals; frames mark the category that the region is known for."
    )
    figures.append(("specificity", axes, "Specificity", caption))
    for order, (name, axes, title, caption) in enumerate(figures, start=1):
        write_figure(
            axes, out / f"{name}.png", title=f"{title}, subject {subject}", caption=caption,
            section=section, order=order, provenance=record,
        )  # fmt: skip
