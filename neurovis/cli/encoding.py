"""Encoding models: from features and responses to scores with ceilings and significance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import xarray as xr

NAME = "encoding"
app = typer.Typer(help="Encoding models, evaluated without leakage.", no_args_is_help=True)


@app.command("fit")
def fit(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set; a column `split` fixes the split."),
    features: list[Path] = typer.Option(..., help="netCDF file of features; several make a joint space."),
    responses: Path = typer.Option(..., help="netCDF file of the responses."),
    out: Path = typer.Option(..., help="netCDF file of the scores; a summary per region goes beside it."),
    encoder: str = typer.Option("ridge", help="Catalog name of the encoder."),
    options: str = typer.Option("{}", help="Options of the encoder as JSON."),
    prediction: Path | None = typer.Option(None, help="netCDF file of held-out responses and predictions."),
    weights: Path | None = typer.Option(None, help="safetensors file of the encoder of all training data."),
    n_folds: int = typer.Option(5, help="Folds over stimuli, where there is no column `split`."),
    n_permutations: int = typer.Option(1000, help="Permutations of the held-out stimuli."),
    fdr: float = typer.Option(0.05, help="False-discovery rate of the summary."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    seed: int = typer.Option(0, help="Seed of encoder, folds, permutations and intervals."),
) -> None:
    """Fit on training stimuli, predict held-out ones, and write scores, ceilings, p and q per neuroid."""
    from neurovis import catalog
    from neurovis.cli.names import parse_options
    from neurovis.core import make_provenance
    from neurovis.encoding.storage import write_encoder
    from neurovis.evaluation.encoding import evaluate_encoding, fit_encoder, summarise_encoding
    from neurovis.evaluation.preparation import find_test_ids
    from neurovis.io import read_neural_data, read_stimulus_set, write_prediction, write_table

    shown, data, space = read_stimulus_set(stimuli), read_neural_data(responses), _read_joint(features)
    test_ids = find_test_ids(shown, data)
    build = catalog.encoders.load(encoder)
    unfitted = build(space, data, seed=seed, device=device, **parse_options(options))
    result = evaluate_encoding(
        space,
        data,
        unfitted,
        test_ids=test_ids,
        splitter=n_folds if test_ids is None else None,
        n_permutations=n_permutations,
        seed=seed,
    )
    config = {"encoder": encoder, "options": options, "n_folds": n_folds, "n_permutations": n_permutations}
    inputs = {path.stem: path for path in features} | {"responses": responses}
    record = make_provenance("encoding fit", config | {"seed": seed}, inputs)
    summary = summarise_encoding(result, fdr=fdr, seed=seed)
    write_table(summary, out.with_suffix(".tsv"), provenance=record)
    if prediction is not None and result.truth is not None and result.prediction is not None:
        pair = (result.truth.astype("float32"), result.prediction.astype("float32"))
        write_prediction(*pair, prediction, provenance=record)
    if weights is not None:
        final = result.encoder or fit_encoder(space, data, unfitted)
        write_encoder(final, weights, neuroid_ids=data["neuroid_id"].values)
    result.write(out, provenance=record)
    typer.echo(summary.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"scores in {out}")


def _read_joint(paths: list[Path]) -> xr.DataArray:
    """One feature space, or several as the bands of a joint one."""
    from neurovis.features.arrays import join_spaces
    from neurovis.io import read_features

    if len(paths) == 1:
        return read_features(paths[0])
    return join_spaces({path.stem: read_features(path) for path in paths})
