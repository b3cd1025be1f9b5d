"""Stimuli: the procedural world and its movies as folders of files."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "stimuli"
app = typer.Typer(help="Stimulus sets made from seeds.", no_args_is_help=True)


@app.command("make-world")
def make_world(
    out: Path = typer.Option(..., help="Folder of the stimulus set."),
    n_train: int = typer.Option(1200, help="Images for fitting."),
    n_test: int = typer.Option(120, help="Held-out images; the last ones of the world."),
    size_px: int = typer.Option(64, help="Side of the square images [px]."),
    seed: int = typer.Option(0, help="Seed of the world."),
    replace: bool = typer.Option(False, help="Delete a world of another configuration in the folder."),
) -> None:
    """Write scenes with captions, masks and latents; the column `split` says which are held out."""
    import shutil

    from neurovis.core import OtherConfigurationError, StimulusSet, make_provenance
    from neurovis.io import write_stimulus_table
    from neurovis.stimuli.world_files import make_world as make

    try:
        world = make(out, n_images=n_train + n_test, seed=seed, size_px=size_px)
    except OtherConfigurationError:
        if not replace:
            raise
        shutil.rmtree(out)
        world = make(out, n_images=n_train + n_test, seed=seed, size_px=size_px)
    table = world.table.assign(split=["train"] * n_train + ["test"] * n_test)
    config = {"n_train": n_train, "n_test": n_test, "size_px": size_px, "seed": seed}
    write_stimulus_table(
        StimulusSet(world.name, table, world.root, world.size_dva),
        provenance=make_provenance("stimuli make-world", config),
    )
    typer.echo(f"{len(table)} images in {out}")
