"""Gaze: visual search by models and people, and the network behind the models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from neurovis.gaze.search import Searcher

NAME = "gaze"
SECTION = "Visual search"
app = typer.Typer(help="Eye movements: visual search and scanpaths.", no_args_is_help=True)

SEARCHERS = ("eccNET", "IVSN", "eccNET without eccentricity", "eccNET top layer", "saliency", "chance")


@app.command("train-vgg-world")
def train_vgg_world(
    out: Path = typer.Option(Path("models/vgg-world"), help="Folder of weights and card."),
    n_images: int = typer.Option(9000, help="Scenes to train on."),
    n_epochs: int = typer.Option(14, help="Passes over them."),
    seed: int = typer.Option(0, help="Seed of initial weights and order."),
    checkpoint: Path | None = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train the network of the search models on the stimulus world and write weights and card."""
    from neurovis.gaze.search_training import train_vgg_world as train

    train(out, n_images=n_images, n_epochs=n_epochs, seed=seed, checkpoint=checkpoint)
    typer.echo(f"weights and card in {out}")


@app.command("search-asymmetry")
def search_asymmetry(
    out: Path = typer.Option(..., help="Folder of tables and figures."),
    searcher: list[str] = typer.Option(["eccNET"], help=f"One of {', '.join(SEARCHERS)}; repeatable."),
    condition: list[str] = typer.Option([], help="Conditions, both of an experiment; default all twelve."),
    n_trials: int | None = typer.Option(None, help="Displays of each set size; default as published."),
    weights: str = typer.Option("vgg-world", help="vgg-world, or vgg16 of torchvision."),
    section: str = typer.Option(SECTION, help="Section of the report."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    seed: int = typer.Option(0, help="Seed of displays, intervals and permutations."),
) -> None:
    """Let models do the six search-asymmetry experiments, beside people."""
    import pandas as pd

    from neurovis.core import check_option, make_provenance
    from neurovis.foveation.eccentric_pooling import ECCNET_PX_PER_DEG, compute_output_side, compute_rings
    from neurovis.gaze.eccnet import ECCNET_SLOPES
    from neurovis.gaze.search import make_array_task, simulate_search
    from neurovis.gaze.search_behaviour import analyse_asymmetry
    from neurovis.gaze.search_protocols import find_protocol
    from neurovis.io import write_table
    from neurovis.plotting import (
        plot_asymmetry,
        plot_curves,
        plot_pooling_rings,
        plot_scanpath_panels,
        write_figure,
        write_report_table,
    )
    from neurovis.stimuli.asymmetry_experiments import CONDITIONS, make_search_displays

    chosen = [check_option("condition", name, CONDITIONS) for name in condition] or list(CONDITIONS)
    models = {name: _make_searcher(name, weights, device) for name in searcher}
    record = make_provenance(
        "gaze search-asymmetry", {"searchers": searcher, "conditions": chosen, "n_trials": n_trials,
                                  "weights": weights, "seed": seed},
    )  # fmt: skip
    trials, panels = [], []
    for name in chosen:
        displays = make_search_displays(name, seed=seed, n_trials=n_trials)
        task = make_array_task(displays)
        for model in models.values():
            found = simulate_search(model, task, find_protocol(name), seed=seed)
            trials.append(found.trials.assign(condition=name))
            if model is next(iter(models.values())):
                shown = displays.trials.index[-1]  # one of the largest displays
                box = displays.trials.loc[shown, ["target_top_px", "target_left_px", "target_bottom_px",
                                                  "target_right_px"]]  # fmt: skip
                rows = found.fixations[found.fixations["stimulus_id"] == shown]
                panels.append((name, displays.images[-1], {model.name: rows}, tuple(box.astype(float))))
    table = pd.concat(trials, ignore_index=True)
    write_table(table, out / "trials.tsv", provenance=record)
    reports = {
        name: analyse_asymmetry(rows, seed=seed) for name, rows in table.groupby("subject", sort=False)
    }
    indices = [
        report.indices.drop(index="mean", errors="ignore").reset_index().assign(searcher=name)
        for name, report in reports.items()
    ]
    # No interval: the reaction times of people are published means.
    known = indices[0]["human"]
    people = indices[0].assign(searcher="humans", asymmetry_index=known, low=known, high=known)
    bars = pd.concat([people, *indices], ignore_index=True).rename(
        columns={"asymmetry_index": "index", "low": "ci_low", "high": "ci_high"}
    )
    bars["experiment"] = bars["experiment"].map(_name_experiments(chosen))
    write_figure(
        plot_asymmetry(bars),
        out / "asymmetry.png",
        title="Search asymmetry of models and people",
        caption="Difference over sum of the slopes of reaction time over set size, of the condition that "
        "people find harder against the easier one; 95 % intervals over displays. Flat slopes give a large "
        "index by chance: see p in the table.",
        section=section, order=2, provenance=record,
    )  # fmt: skip
    write_figure(
        plot_scanpath_panels(panels),
        out / "searches.png",
        title=f"Searches of {next(iter(models))}",
        caption="One of the largest displays of each condition; fixations are numbered from the start in the "
        "middle, the target's cell is framed.",
        section=section, order=1, provenance=record,
    )  # fmt: skip
    summary = pd.concat(
        [report.summary.assign(searcher=name) for name, report in reports.items()], ignore_index=True
    )
    axes = plot_curves(
        summary.assign(curve=summary["searcher"] + ", " + summary["condition"]), x="set_size", y="rt_ms",
        by="curve", interval=None, x_label="items", y_label="reaction time [ms]",
    )  # fmt: skip
    write_figure(
        axes, out / "reaction_times.png", title="Reaction times over set size",
        caption="252 ms a fixation and 376 ms, the published constants.",
        section=section, order=3, provenance=record,
    )  # fmt: skip
    n_in = {"pool 3": 202, "pool 4": 101, "pool 5": 51}  # of a display of 11.3 degrees
    rings = {
        layer: compute_rings(n_in[layer], px_per_deg=ECCNET_PX_PER_DEG[depth], slope=ECCNET_SLOPES[depth])
        for depth, layer in enumerate(n_in, start=2)
    }
    write_figure(
        plot_pooling_rings(rings, n_out={layer: compute_output_side(n) for layer, n in n_in.items()}),
        out / "rings.png",
        title="Pooling windows of eccNET",
        caption="Windows grow with eccentricity, ring by ring; a display of 11.3 degrees at 30 px a degree.",
        section=section, order=4, provenance=record,
    )  # fmt: skip
    result = pd.concat(
        [report.indices.reset_index().assign(searcher=name) for name, report in reports.items()]
    )
    write_report_table(
        result,
        out / "asymmetry.tsv",
        title="Search asymmetry",
        caption="Asymmetry index by experiment with 95 % intervals over displays, p from displays exchanged "
        "between conditions, and the index of people (Gupta et al. 2021, from published reaction times).",
        section=section, order=100, provenance=record,
    )  # fmt: skip
    slopes = pd.concat(
        [report.slopes.reset_index(names="condition").assign(searcher=name, slope_r=report.slope_r)
         for name, report in reports.items()]
    )  # fmt: skip
    write_report_table(
        slopes,
        out / "slopes.tsv",
        title="Slopes of search",
        caption="Reaction time per item [ms] with standard errors over displays, those of people, and the "
        "correlation of both over conditions.",
        section=section, order=101, provenance=record,
    )  # fmt: skip
    typer.echo(result.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def _name_experiments(conditions: list[str]) -> dict[object, str]:
    """Number of an experiment -> its conditions, the easier one for people first."""
    from neurovis.stimuli.asymmetry_experiments import CONDITIONS

    names: dict[object, list[str]] = {}
    for name in sorted(conditions, key=lambda key: CONDITIONS[key].hard):
        names.setdefault(CONDITIONS[name].experiment, []).append(name)
    return {number: "\n".join(pair) for number, pair in names.items()}


def _make_searcher(name: str, weights: str, device: str) -> Searcher:
    from neurovis.core import check_option
    from neurovis.gaze.eccnet import EccNet, make_ivsn
    from neurovis.gaze.search_baselines import ChanceSearcher, SaliencySearcher
    from neurovis.gaze.vgg import load_torchvision_vgg, load_vgg_world

    check_option("searcher", name, SEARCHERS)
    if name == "chance":
        return ChanceSearcher()
    if name == "saliency":
        return SaliencySearcher()
    check_option("weights", weights, ("vgg-world", "vgg16"))
    backbone = load_vgg_world() if weights == "vgg-world" else load_torchvision_vgg()
    if name == "IVSN":
        return make_ivsn(backbone, device=device)
    options = {
        "eccNET without eccentricity": {"pooling": "max"},
        "eccNET top layer": {"layer_weights": (0.0, 0.0, 1.0)},
    }
    return EccNet(backbone, name=name, device=device, **options.get(name, {}))  # type: ignore[arg-type]
