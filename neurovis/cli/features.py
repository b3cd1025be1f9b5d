"""Feature spaces: what there is, extraction into files, and the network trained in-house."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "features"
app = typer.Typer(help="Feature spaces of stimuli.", no_args_is_help=True)


@app.command("extract")
def extract(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set."),
    features: str = typer.Option(..., help="Catalog name, or library:model such as timm:resnet18."),
    out: Path = typer.Option(..., help="netCDF file; layers are joined, the coordinate `layer` tells them."),
    batch_size: int = typer.Option(32, help="Images at a time."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
) -> None:
    """Extract every default layer of a feature space, through the content-addressed cache."""
    from neurovis import catalog
    from neurovis.core import make_provenance
    from neurovis.features.cache import extract_cached, join_layers
    from neurovis.io import read_stimulus_set, write_features

    name, _, model = features.partition(":")
    extractor = catalog.features.load(name)(*([model] if model else []))
    layers = extract_cached(extractor, read_stimulus_set(stimuli), batch_size=batch_size, device=device)
    joined = join_layers(layers)
    record = make_provenance("features extract", {"features": features}, {"stimuli": stimuli / "stimuli.tsv"})
    write_features(joined, out, provenance=record)
    typer.echo(f"{joined.sizes['stimulus']} stimuli x {joined.sizes['feature']} features in {out}")


@app.command("list")
def list_spaces() -> None:
    """List the feature spaces and what each needs."""
    from neurovis.features.index import list_feature_spaces

    typer.echo(list_feature_spaces().to_string(index=False))


@app.command("train-worldnet")
def train_worldnet(
    out: Path = typer.Option(Path("models/worldnet"), help="Folder of weights and card."),
    n_images: int = typer.Option(10000, help="Scenes to train on."),
    n_epochs: int = typer.Option(10, help="Passes over them."),
    seed: int = typer.Option(0, help="Seed of initial weights and order."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
) -> None:
    """Train the in-house image network on the stimulus world and write weights and card."""
    from neurovis.features.worldnet_training import train_worldnet as train

    train(out, n_images=n_images, n_epochs=n_epochs, seed=seed, device=device)
    typer.echo(f"weights and card in {out}")
