"""Gaze: visual search by models and people, and the network behind the models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from neurovis.gaze.oat_trials import ObjectTrial
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


@app.command("train-oat-world")
def train_oat_world(
    out: Path = typer.Option(Path("models/oat-world"), help="Folder of weights and card."),
    n_scenes: int = typer.Option(1500, help="Scenes that things are cut from."),
    n_epochs: int = typer.Option(100, help="Passes of 1600 new displays."),
    seed: int = typer.Option(0, help="Seed of initial weights."),
    checkpoint: Path | None = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train the object-level scanpath model on a simulated searcher and write weights and card."""
    from neurovis.gaze.oat_world import train_oat_world as train

    train(out, n_scenes=n_scenes, n_epochs=n_epochs, seed=seed, checkpoint=checkpoint)
    typer.echo(f"weights and card in {out}")


@app.command("train-oat")
def train_oat(
    out: Path = typer.Option(..., help="Folder of the model; comparison.tsv is written beside its card."),
    dataset: str | None = typer.Option(None, help="Catalog name of a data set of gaze."),
    root: Path | None = typer.Option(None, help="Folder above that data set."),
    stimuli: Path | None = typer.Option(
        None,
        help="Instead of --dataset: TSV of displays with stimulus_id, height_px, width_px; optionally path, "
        "target, target_path, target_top_px, target_left_px, target_bottom_px, target_right_px.",
    ),
    fixations: Path | None = typer.Option(
        None, help="With --stimuli: TSV with subject, stimulus_id, index, x_px, y_px; optionally trial."
    ),
    objects: Path | None = typer.Option(
        None,
        help="With --stimuli: TSV of objects with stimulus_id, top_px, left_px, bottom_px, right_px.",
    ),
    grid: str | None = typer.Option(None, help="Rows x columns of cells instead of boxes, e.g. 6x14."),
    crop: str | None = typer.Option(
        None,
        help="Height x width that objects are resized to [px], e.g. 48x48; without it all look alike.",
    ),
    first_index: int = typer.Option(0, help="Fixations before this one were not chosen."),
    by: str = typer.Option("image", help="What the parts do not share: image, observer, target, trial."),
    target_position: str = typer.Option("none", help="none, or true: tell the model where the target is."),
    d_model: int = typer.Option(64, help="Width of the model; 512 as published."),
    n_layers: int = typer.Option(2, help="Layers of encoder and decoder; 4 as published."),
    n_epochs: int = typer.Option(40, help="Largest number of passes; 500 as published."),
    batch_size: int = typer.Option(20, help="Scanpaths in a batch."),
    learning_rate: float = typer.Option(1e-3, help="Of Adam; 1e-4 as published."),
    monitor: str = typer.Option("loss", help="What ends the training: loss, or delta as published."),
    patience: int = typer.Option(6, help="Passes without improvement; 30 as published."),
    n_paths: int = typer.Option(100, help="Scanpaths sampled for each trial."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    seed: int = typer.Option(0, help="Seed of split, weights, order, samples and intervals."),
    checkpoint: Path | None = typer.Option(None, help="Folder in which a killed run resumes."),
) -> None:
    """Train the object-level scanpath model on people's fixations and compare it with baselines and people.

    The data are a set of the catalog (with --grid), or tables of one's own: --stimuli, --fixations, and
    either --objects (boxes that lie anywhere) or --grid.
    """
    from neurovis.core import make_provenance
    from neurovis.gaze.oat_comparison import compare_oat, make_oat_config, write_compared_oat
    from neurovis.io import write_table

    choices = {
        "dataset": dataset, "stimuli": stimuli, "fixations": fixations, "objects": objects, "grid": grid,
        "crop": crop, "first_index": first_index, "by": by, "target_position": target_position,
        "d_model": d_model, "n_layers": n_layers, "n_epochs": n_epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "monitor": monitor, "patience": patience, "seed": seed,
    }  # fmt: skip
    trials = _load_object_trials(dataset, root, (stimuli, fixations, objects), grid, crop, first_index)
    config = make_oat_config(trials, d_model=d_model, n_layers=n_layers, target_position=target_position)
    comparison = compare_oat(
        trials, {out.name: config}, by=by, n_epochs=n_epochs, batch_size=batch_size,
        learning_rate=learning_rate, monitor=monitor, patience=patience, n_paths=n_paths, seed=seed,
        device=device, checkpoint=checkpoint,
    )  # fmt: skip
    given = {key: value for key, value in choices.items() if value is not None}
    command = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in given.items())
    write_compared_oat(
        out, comparison, out.name, source=dataset or str(stimuli), split=f"split by {by}",
        command=f"neurovis gaze train-oat {command}",
    )  # fmt: skip
    record = make_provenance("gaze train-oat", given)
    write_table(comparison.table, out / "comparison.tsv", provenance=record)
    shown = comparison.table.pivot_table(index="model", columns="metric", values="value", sort=False)
    typer.echo(shown.round(3).to_string())
    typer.echo(f"weights, card and comparison in {out}")


def _load_object_trials(
    dataset: str | None,
    root: Path | None,
    tables: tuple[Path | None, Path | None, Path | None],
    grid: str | None,
    crop: str | None,
    first_index: int,
) -> list[ObjectTrial]:
    from neurovis import catalog
    from neurovis.gaze.oat_displays import make_box_trials, make_grid_trials, read_display_tables

    stimuli, fixations, objects = tables
    boxes = None
    if dataset is not None:
        if any(table is not None for table in tables):
            raise ValueError(
                f"dataset must be given without tables of one's own, got {dataset!r} and tables; drop one."
            )
        shown, gaze = catalog.datasets.load(dataset)(root=root)
    elif stimuli is None or fixations is None:
        raise ValueError("stimuli and fixations must both be given without dataset; pass two TSV tables.")
    else:
        shown, gaze, boxes = read_display_tables(stimuli, fixations, objects)
    if (grid is None) == (boxes is None):
        raise ValueError(
            "either grid or objects must be given, got both or none; pass for example --grid 6x14."
        )
    crop_px = None if crop is None else _parse_pair("crop", crop)
    if boxes is not None:
        return make_box_trials(shown, gaze, boxes, crop_px=crop_px, first_index=first_index)
    cells = _parse_pair("grid", str(grid))
    return make_grid_trials(shown, gaze, cells, crop_px=crop_px, first_index=first_index)


def _parse_pair(name: str, text: str) -> tuple[int, int]:
    """Two numbers joined by an x."""
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"{name} must be two whole numbers such as 6x14, got {text!r}; join them by an x.")
    return int(parts[0]), int(parts[1])


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
    card: Path | None = typer.Option(None, help="Folder of vgg-world whose card is to tell the indices."),
) -> None:
    """Let models do the six search-asymmetry experiments, beside people."""
    import pandas as pd

    from neurovis.core import check_option, make_provenance
    from neurovis.foveation.eccentric_pooling import ECCNET_PX_PER_DEG, compute_output_side, compute_rings
    from neurovis.gaze.eccnet import ECCNET_SLOPES
    from neurovis.gaze.search import make_array_task, simulate_search
    from neurovis.gaze.search_behaviour import analyse_asymmetry
    from neurovis.gaze.search_protocols import find_protocol
    from neurovis.gaze.search_training import write_asymmetry
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
    curves = summary.assign(
        curve=summary["searcher"] + ", " + summary["condition"],
        experiment=[CONDITIONS[name].experiment for name in summary["condition"]],
    )
    for number, rows in curves.groupby("experiment"):
        axes = plot_curves(
            rows, x="set_size", y="rt_ms", by="curve", interval=None, x_label="items",
            y_label="reaction time [ms]",
        )  # fmt: skip
        write_figure(
            axes, out / f"reaction_times-{number}.png",
            title=f"Reaction times over set size, experiment {number}",
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
    if card is not None:
        n_shown = n_trials or max(CONDITIONS[name].n_trials for name in chosen)
        write_asymmetry(card, result, n_trials=n_shown, seeds=[seed])
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


@app.command("compare")
def compare_gaze(
    out: Path = typer.Option(..., help="Folder of the table and the figure."),
    dataset: str | None = typer.Option(None, help="Catalog name of a data set of gaze."),
    root: Path | None = typer.Option(None, help="Folder above that data set."),
    options: str = typer.Option("{}", help='Choices of its loader as JSON, e.g. \'{"outside": "drop"}\'.'),
    stimuli: Path | None = typer.Option(None, help="Instead of --dataset: folder of a stimulus set."),
    fixations: Path | None = typer.Option(
        None,
        help="With --stimuli: TSV with subject, stimulus_id, index (from 0 in a scanpath), x_px, y_px; "
        "optionally trial.",
    ),
    first_index: int = typer.Option(0, help="Fixations before this one were not chosen by the observer."),
    test_share: float = typer.Option(0.25, help="Share of the images that are tested on."),
    shrink: int = typer.Option(4, help="Images are shrunk this many times; 1 for their own pixels."),
    section: str = typer.Option("Models of gaze", help="Section of the report."),
    seed: int = typer.Option(0, help="Seed of split, fits and intervals."),
) -> None:
    """Compare chance, centre bias, saliency, saccades and other people on images left out."""
    from neurovis import catalog
    from neurovis.cli.names import parse_options
    from neurovis.core import make_provenance
    from neurovis.core.fixations import FIXATION_COLUMNS
    from neurovis.gaze.gaze_comparison import compare_gaze_models
    from neurovis.io import read_stimulus_set, read_table
    from neurovis.plotting import plot_gaze_comparison, write_figure, write_report_table

    if dataset is not None and stimuli is None and fixations is None:
        shown, looked = catalog.datasets.load(dataset)(root=root, **parse_options(options))
    elif dataset is None and stimuli is not None and fixations is not None:
        shown = read_stimulus_set(stimuli)
        text = {"subject": str, "stimulus_id": str}
        needed = ("subject", "stimulus_id", "index", "x_px", "y_px")
        table = read_table(fixations, required=needed, dtype=text)
        missing = {"trial": 0, "onset_s": float("nan"), "duration_s": float("nan")}
        looked = table.assign(**{key: value for key, value in missing.items() if key not in table})
    else:
        raise ValueError("pass --dataset, or both --stimuli and --fixations.")
    if not set(FIXATION_COLUMNS) <= set(getattr(looked, "columns", ())):
        raise ValueError(f"dataset must be one of gaze, such as osie; {dataset!r} holds no fixations.")
    found = compare_gaze_models(
        shown, looked, first_index=first_index, test_share=test_share, shrink=shrink, seed=seed
    )
    choices = {
        "dataset": dataset, "options": options, "stimuli": stimuli, "fixations": fixations,
        "first_index": first_index, "test_share": test_share, "shrink": shrink, "seed": seed,
    }  # fmt: skip
    record = make_provenance("gaze compare", choices)
    images = f"{len(found.test_ids)} images left out of the fit to {len(found.training_ids)} others"
    gain = found.table[found.table["metric"] == "gain_over_uniform_bits"]
    axes = plot_gaze_comparison(
        gain["model"].tolist(), gain["value"], gain["role"].tolist(), lower=gain["low"], upper=gain["high"]
    )
    write_figure(
        axes, out / "gaze_models.png", title="What models of gaze tell about people",
        caption=f"Information about the next fixation on {images}; 95 % intervals over images.",
        section=section, order=1, provenance=record,
    )  # fmt: skip
    write_report_table(
        found.table, out / "gaze_models.tsv", title="Models of gaze",
        caption=f"Means over fixations on {images}, with 95 % intervals over images. "
        "information_gain_bits is counted beyond the centre bias; other people on the same image are the "
        "ceiling of models without a history.",
        section=section, order=100, provenance=record,
    )  # fmt: skip
    typer.echo(found.table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


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
