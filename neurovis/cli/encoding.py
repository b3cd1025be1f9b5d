"""Encoding models: from features and responses to scores with ceilings and significance."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "encoding"
app = typer.Typer(help="Encoding models, evaluated without leakage.", no_args_is_help=True)


@app.command("fit")
def fit(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set; a column `split` fixes the split."),
    features: Path = typer.Option(..., help="netCDF file of the features."),
    responses: Path = typer.Option(..., help="netCDF file of the responses."),
    out: Path = typer.Option(..., help="netCDF file of the scores; a summary per region goes beside it."),
    encoder: str = typer.Option("ridge", help="Catalog name of the encoder."),
    n_folds: int = typer.Option(5, help="Folds over stimuli, where there is no column `split`."),
    n_permutations: int = typer.Option(1000, help="Permutations of the held-out stimuli."),
    fdr: float = typer.Option(0.05, help="False-discovery rate of the summary."),
    seed: int = typer.Option(0, help="Seed of folds, permutations and intervals."),
) -> None:
    """Fit on training stimuli, predict held-out ones, and write scores, ceilings, p and q per neuroid."""
    from neurovis import catalog
    from neurovis.core import make_provenance
    from neurovis.evaluation.encoding import evaluate_encoding, summarise_encoding
    from neurovis.evaluation.preparation import find_test_ids
    from neurovis.io import read_features, read_neural_data, read_stimulus_set, write_table

    shown = read_stimulus_set(stimuli)
    data = read_neural_data(responses)
    test_ids = find_test_ids(shown, data)
    result = evaluate_encoding(
        read_features(features),
        data,
        catalog.encoders.load(encoder)(),
        test_ids=test_ids,
        splitter=n_folds if test_ids is None else None,
        n_permutations=n_permutations,
        seed=seed,
    )
    config = {"encoder": encoder, "n_folds": n_folds, "n_permutations": n_permutations, "seed": seed}
    record = make_provenance("encoding fit", config, {"features": features, "responses": responses})
    summary = summarise_encoding(result, fdr=fdr, seed=seed)
    write_table(summary, out.with_suffix(".tsv"), provenance=record)
    result.write(out, provenance=record)
    typer.echo(summary.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"scores in {out}")
