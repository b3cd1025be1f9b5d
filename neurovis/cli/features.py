"""Feature spaces: what there is, extraction into files, and the network trained in-house."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

if TYPE_CHECKING:
    from neurovis.features.video import VideoFeatures

NAME = "features"
app = typer.Typer(help="Feature spaces of stimuli.", no_args_is_help=True)


@app.command("extract")
def extract(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set."),
    features: str = typer.Option(..., help="Catalog name, or library:model such as timm:resnet18."),
    out: Path = typer.Option(..., help="netCDF file; layers are joined, the coordinate `layer` tells them."),
    layer: list[str] = typer.Option([], help="A layer; may be given again. Default: the space's own."),
    pool: int | None = typer.Option(None, help="Places along each side of a map; 0 keeps all."),
    tokens: str | None = typer.Option(None, help="Of sequences: first, mean, patches or flatten."),
    precision: str | None = typer.Option(None, help="float32, bfloat16 or float16."),
    options: str = typer.Option("{}", help="Further options of the feature space as JSON."),
    project: str | None = typer.Option(None, help="Reduce each layer: pca or sparse_random."),
    n_components: int = typer.Option(512, help="Features that the reduction leaves of a layer."),
    train_split: str = typer.Option("train", help="Value in the column `split` that components are of."),
    batch_size: int = typer.Option(32, help="Stimuli at a time."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    seed: int = typer.Option(0, help="Seed of the reduction."),
) -> None:
    """Extract layers of a feature space, through the content-addressed cache."""
    from neurovis.cli.names import build_features, parse_options
    from neurovis.core import check_option, make_provenance
    from neurovis.features.cache import extract_cached, join_layers
    from neurovis.features.projection import METHODS, RandomProjection, project_features
    from neurovis.io import read_stimulus_set, write_features

    given = {"tokens": tokens, "precision": precision} | ({} if pool is None else {"pool": pool})
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if pool == 0:
        chosen["pool"] = None
    extractor = build_features(features, chosen | parse_options(options))
    shown = read_stimulus_set(stimuli)
    if project is not None:
        check_option("project", project, METHODS)
    if project == "sparse_random":
        extractor = RandomProjection(extractor, n_components, seed)
    layers = extract_cached(extractor, shown, layers=layer or None, batch_size=batch_size, device=device)
    if project == "pca":
        train_ids = _find_split(shown.table, train_split, stimuli)
        layers = {
            name: project_features(array, train_ids, n_components=n_components, seed=seed)
            for name, array in layers.items()
        }
    joined = join_layers(layers)
    config = {"features": features, "layers": list(layers), "options": options, **chosen}
    reduction = {"project": project, "n_components": n_components, "train_split": train_split, "seed": seed}
    record = make_provenance(
        "features extract", config | (reduction if project else {}), {"stimuli": stimuli / "stimuli.tsv"}
    )
    write_features(joined, out, provenance=record)
    typer.echo(f"{joined.shape[0]} rows x {joined.shape[1]} features in {out}")


@app.command("layers")
def list_space_layers(
    features: str = typer.Argument(..., help="Catalog name, or library:model such as timm:resnet18."),
    options: str = typer.Option("{}", help='Options as JSON, e.g. {"pretrained": false}.'),
) -> None:
    """List the layers of a feature space; a star marks those that are extracted by default."""
    from neurovis.cli.names import build_features, parse_options
    from neurovis.features.capture import list_layers

    extractor = build_features(features, parse_options(options))
    module = getattr(extractor, "module", None)
    known = extractor.layers if module is None else list_layers(module)
    defaults = {name.split("#")[0] for name in extractor.layers}
    for name in known:
        typer.echo(f"{'*' if name in defaults else ' '} {name}")


@app.command("list")
def list_spaces() -> None:
    """List the feature spaces, what they take and what each needs."""
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


@app.command("train-world-clip")
def train_world_clip(
    out: Path | None = typer.Option(None, help="Folder of weights and card; default that of the shipped."),
    tower: str = typer.Option("vit", help="Image tower: vit or resnet."),
    n_images: int = typer.Option(20000, help="Scenes to train on."),
    n_epochs: int = typer.Option(6, help="Passes over them."),
    seed: int = typer.Option(0, help="Seed of initial weights and order."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    checkpoint: Path | None = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train a contrastive model of the stimulus world's images and captions; write weights and card."""
    from neurovis.features.contrastive_training import train_world_clip as train

    folder = out or Path("models/world-clip" if tower == "vit" else f"models/world-clip-{tower}")
    train(
        folder, tower=tower, n_images=n_images, n_epochs=n_epochs, seed=seed, device=device,
        checkpoint=checkpoint,
    )  # fmt: skip
    typer.echo(f"weights and card in {folder}")


@app.command("train-world-judge")
def train_world_judge(
    out: Path = typer.Option(Path("models/world-judge"), help="Folder of weights and card."),
    n_images: int = typer.Option(16000, help="Scenes to train on."),
    n_epochs: int = typer.Option(10, help="Passes over them."),
    seed: int = typer.Option(0, help="Seed of initial weights and order."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    checkpoint: Path | None = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train the classifier that judges generated images; write weights and card."""
    from neurovis.features.world_judge_training import train_world_judge as train

    train(out, n_images=n_images, n_epochs=n_epochs, seed=seed, device=device, checkpoint=checkpoint)
    typer.echo(f"weights and card in {out}")


@app.command("fine-tune-video")
def fine_tune(
    stimuli: Path = typer.Option(..., help="Folder of the movies; a column `split` names the training ones."),
    responses: Path = typer.Option(..., help="netCDF file of responses; repeats are averaged."),
    out: Path = typer.Option(..., help="Folder of network and processor, for huggingface-video:<folder>."),
    features: str = typer.Option("huggingface-video", help="Feature space of clips, e.g. with :model."),
    options: str = typer.Option("{}", help="Options of the feature space as JSON."),
    region: list[str] = typer.Option([], help="Region whose neuroids are the targets; repeatable."),
    movie_column: str | None = typer.Option(None, help="Column that names the movie of each clip."),
    validation_share: float = typer.Option(0.2, help="Share of the training movies that stop the training."),
    layer: str | None = typer.Option(None, help="Layer that is tuned to the responses; default the last."),
    n_blocks: int | None = typer.Option(None, help="Blocks to train, the last ones; default all of it."),
    n_epochs: int = typer.Option(20, help="Passes over the training movies, at most."),
    batch_size: int = typer.Option(8, help="Clips in a step."),
    learning_rate: float = typer.Option(1e-4, help="Largest learning rate."),
    train_split: str = typer.Option("train", help="Value in the column `split` of the training movies."),
    seed: int = typer.Option(0, help="Seed of validation movies, order and dropout."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    checkpoint: Path | None = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train a video encoder on responses to movies; write it as a folder of transformers."""
    from neurovis.cli.names import build_features, parse_options
    from neurovis.core import average_repeats, make_provenance
    from neurovis.features.huggingface import write_huggingface_video
    from neurovis.features.video_tuning import fine_tune_video
    from neurovis.io import read_neural_data, read_stimulus_set

    shown, data = read_stimulus_set(stimuli), read_neural_data(responses)
    if data.dims[0] == "presentation":
        data = average_repeats(data)
    if "split" in shown.table.columns:
        data = data.isel(stimulus=data["stimulus_id"].isin(_find_split(shown.table, train_split, stimuli)))
    if region:
        data = data.isel(neuroid=data["region"].isin(region))
    chosen: dict[str, Any] = {
        "movie_column": movie_column, "layer": layer, "n_blocks": n_blocks, "n_epochs": n_epochs,
        "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed,
    }  # fmt: skip
    extractor = cast("VideoFeatures", build_features(features, parse_options(options)))  # checked below
    result = fine_tune_video(
        extractor, shown, data, validation_movies=validation_share, device=device, checkpoint=checkpoint,
        **chosen,
    )  # fmt: skip
    config = {"features": features, "options": options, "region": region, **chosen}
    inputs = {"responses": responses, "stimuli": stimuli / "stimuli.tsv"}
    record = make_provenance("features fine-tune-video", config, inputs)
    write_huggingface_video(
        result.extractor, out, record | {"validation_movies": list(result.validation_movies)}
    )
    before, after = result.scores.median("neuroid").values
    typer.echo(
        f"validation movies, median r of {data.sizes['neuroid']} neuroids: {before:.3f} frozen, {after:.3f} "
        f"tuned (epoch {result.training.best_epoch + 1} of {len(result.training.history)})"
    )
    typer.echo(f"feature space huggingface-video:{out}")


def _find_split(table: Any, split: str, folder: Path) -> list[str]:
    """Ids of the training stimuli in a stimulus table."""
    if "split" not in table.columns or not (table["split"] == split).any():
        raise ValueError(
            f"the table of {folder} must have a column `split` with {split!r}, got columns "
            f"{list(table.columns)}; what is fitted is fitted to training stimuli only."
        )
    return list(table.index[table["split"] == split])
