"""Foveated vision: two classifiers of the stimulus world that differ in their retina."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "foveation"
SECTION = "Foveated vision"
app = typer.Typer(help="Foveated classifiers.", no_args_is_help=True)


@app.command("train")
def train(
    retina: str = typer.Option("logpolar", help="logpolar or cartesian."),
    out: Path | None = typer.Option(None, help="Folder of weights and card; default that of the shipped."),
    n_images: int = typer.Option(8000, help="Scenes to train on."),
    n_epochs: int = typer.Option(12, help="Passes over them."),
    seed: int = typer.Option(0, help="Seed of initial weights and order."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    checkpoint: Path | None = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train a classifier of the stimulus world behind one of two retinas; write weights and card."""
    from neurovis.core import check_option
    from neurovis.foveation.world import MODEL_NAMES
    from neurovis.foveation.world_training import train_foveated_world

    folder = out or Path("models") / MODEL_NAMES[check_option("retina", retina, MODEL_NAMES)]
    train_foveated_world(
        folder, retina=retina, n_images=n_images, n_epochs=n_epochs, seed=seed, device=device,
        checkpoint=checkpoint,
    )  # fmt: skip
    typer.echo(f"weights and card in {folder}")


@app.command("compare")
def compare(
    out: Path = typer.Option(..., help="Folder of tables and figures."),
    n_images: int = typer.Option(120, help="New scenes of each world, a multiple of 12."),
    world_seed: list[int] = typer.Option([0, 1, 2], help="Seed of a world; repeatable."),
    section: str = typer.Option(SECTION, help="Section of the report."),
    seed: int = typer.Option(0, help="Seed of the intervals."),
) -> None:
    """Turn and zoom scenes before both retinas, and find things by where they are recognised."""
    import numpy as np
    import pandas as pd

    from neurovis.core import make_provenance
    from neurovis.foveation.comparison import LOCALISATION_SCALE, compare_foveation
    from neurovis.foveation.likelihood import compute_fixation_maps, make_fixation_grid
    from neurovis.foveation.world import load_world_classifier
    from neurovis.foveation.world_training import make_world_views, to_tensor
    from neurovis.plotting import plot_curves, plot_fixation_map, write_figure, write_report_table

    found = compare_foveation(seeds=world_seed, n_images=n_images, seed=seed)
    record = make_provenance("foveation compare", {"n_images": n_images, "worlds": world_seed, "seed": seed})
    pooled = f"{n_images * len(world_seed)} new scenes of {len(world_seed)} worlds"
    curves = found.curves.rename(columns={"low": "ci_low", "high": "ci_high"})
    labels = {"rotation": "rotation [degrees, counter-clockwise]", "zoom": "zoom [factor]"}
    for order, (transform, rows) in enumerate(curves.groupby("transform", sort=False), start=1):
        write_figure(
            plot_curves(
                rows, x="amount", y="accuracy", by="classifier", reference=1 / 6, reference_label="chance",
                scale="log" if transform == "zoom" else "linear", x_label=labels[str(transform)],
                y_label="accuracy",
            ),
            out / f"{transform}.png",
            title=f"Recognition under {transform}",
            caption=f"{pooled}, changed about the middle of their main thing, 95 % intervals over scenes.",
            section=section, order=order, provenance=record,
        )  # fmt: skip
    # Of a few scenes, the one whose thing lies farthest from the centre shows what a map is.
    views = make_world_views(12, seed=world_seed[0])
    things = np.flatnonzero(views.masks.mean(axis=(1, 2)) < 0.5)
    chosen = int(things[np.abs(views.middles[things]).max(axis=1).argmax()])
    grid = make_fixation_grid("full", scale=LOCALISATION_SCALE)
    shown = slice(chosen, chosen + 1)
    values = compute_fixation_maps(
        load_world_classifier("logpolar"), to_tensor(views.images[shown]), grid, labels=views.labels[shown]
    )[0]
    ends = (float(values["fix_x"].min()), float(values["fix_x"].max()))
    rows_px, columns_px = (np.flatnonzero(views.masks[chosen].any(axis=axis)) for axis in (1, 0))
    box = (rows_px[0], columns_px[0], rows_px[-1] + 1, columns_px[-1] + 1)
    write_figure(
        plot_fixation_map(
            views.images[chosen], values.values, extent=((ends[0] + 1) / 2, (ends[1] + 1) / 2), box_px=box
        ),
        out / "map.png",
        title="Where a foveated network recognises what is there",
        caption="Probability of the true category over 121 fixations, beside the box of the thing.",
        section=section, order=3, provenance=record,
    )  # fmt: skip
    tables = {
        "robustness": (found.robustness, "Rotation and zoom"),
        "localisation": (found.localisation, "Localisation by likelihood over fixations"),
        "saccades": (found.saccades, "Recognition before and after a saccade"),
        "worlds": (found.by_seed, "The same sweeps, world by world"),
    }
    captions = {
        "robustness": "Accuracy at no change, mean along the sweep (area), lowest (worst), and likeness of "
        "probabilities to those at no change",
        "localisation": "Against the maps of a wrong class, of another scene, Grad-CAM and a constant map, "
        "which is chance",
        "saccades": "Accuracy at the first fixation and at the chosen ones; that of the true class knows the "
        "answer and is an upper bound",
        "worlds": "One row for each seed",
    }
    for order, (name, (table, title)) in enumerate(tables.items(), start=100):
        write_report_table(
            pd.DataFrame(table), out / f"{name}.tsv", title=title,
            caption=f"{captions[name]}. {pooled}, 95 % bootstrap intervals over scenes.", section=section,
            order=order, provenance=record,
        )  # fmt: skip
    typer.echo(found.robustness.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"tables and figures in {out}")
