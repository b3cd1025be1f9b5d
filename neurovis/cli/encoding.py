"""Encoding models: from features and responses to scores with ceilings and significance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import xarray as xr

    from neurovis.core import NeuralData, StimulusSet

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
    part: str = typer.Option("1/1", help="Part of the training stimuli; 1/2 and 2/2 share none."),
    n_folds: int = typer.Option(5, help="Folds over stimuli, where there is no column `split`."),
    n_permutations: int = typer.Option(1000, help="Permutations of the held-out stimuli."),
    fdr: float = typer.Option(0.05, help="False-discovery rate of the summary."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    seed: int = typer.Option(0, help="Seed of encoder, folds, permutations and intervals."),
) -> None:
    """Fit on training stimuli, predict held-out ones, and write scores, ceilings, p and q per neuroid."""
    from neurovis import catalog
    from neurovis.cli.names import parse_options, parse_part
    from neurovis.core import make_provenance
    from neurovis.encoding.storage import write_encoder
    from neurovis.evaluation.encoding import evaluate_encoding, fit_encoder, summarise_encoding
    from neurovis.evaluation.preparation import select_training_part
    from neurovis.io import read_neural_data, read_stimulus_set, write_prediction, write_table

    shown, data = read_stimulus_set(stimuli), read_neural_data(responses)
    test_ids = _find_test_ids(shown, data)
    data = select_training_part(data, parse_part(part), test_ids=test_ids, seed=seed)
    space = _read_joint(features, data)
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
    config = {
        "encoder": encoder, "options": options, "part": part, "n_folds": n_folds,
        "n_permutations": n_permutations,
    }  # fmt: skip
    inputs = {path.stem: path for path in features} | {"responses": responses}
    record = make_provenance("encoding fit", config | {"seed": seed}, inputs)
    summary = summarise_encoding(result, fdr=fdr, seed=seed)
    write_table(summary, out.with_suffix(".tsv"), provenance=record)
    if prediction is not None and result.truth is not None and result.prediction is not None:
        pair = (result.truth.astype("float32"), result.prediction.astype("float32"))
        write_prediction(*pair, prediction, provenance=record)
    if weights is not None:
        final = result.encoder or fit_encoder(space, data, unfitted)
        write_encoder(final, weights, neuroid_ids=data["neuroid_id"].values.tolist())
    result.write(out, provenance=record)
    typer.echo(summary.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"scores in {out}")


@app.command("compare")
def compare(
    encoding: list[Path] = typer.Option(..., help="Results of `encoding fit` of one subject; repeatable."),
    prediction: list[Path] = typer.Option(..., help="Their predictions, in the same order."),
    out: Path = typer.Option(..., help="TSV table; the figure goes beside it."),
    subject: str = typer.Option(..., help="Subject, for the captions."),
    reference: str | None = typer.Option(None, help="Model the others are compared with; default the first."),
    section: str = typer.Option("Encoding", help="Section of the report."),
    n_bootstraps: int = typer.Option(1000, help="Resamples of the held-out stimuli."),
    seed: int = typer.Option(0, help="Seed of the resamples."),
) -> None:
    """Compare models on the same held-out stimuli, region by region, with paired intervals."""
    from neurovis.cli.names import rank_region, read_model_name
    from neurovis.core import make_provenance
    from neurovis.evaluation.comparison import compare_models
    from neurovis.evaluation.encoding import read_encoding
    from neurovis.plotting import plot_model_differences, write_figure, write_report_table

    names = [read_model_name(scores) for scores in encoding]
    if len(prediction) != len(names) or len(set(names)) != len(names):
        raise ValueError(
            "encoding and prediction must hold one file per model, got "
            f"{len(encoding)} and {len(prediction)} files of the models {sorted(set(names))}; pass those of "
            "one subject, in the same order."
        )
    results = {
        name: read_encoding(scores, prediction=pair)
        for name, scores, pair in zip(names, encoding, prediction, strict=True)
    }
    base = reference or next(iter(results))
    table = compare_models(results, reference=base, n_bootstraps=n_bootstraps, seed=seed)
    table = table.sort_values("region", key=lambda names: names.map(rank_region), kind="stable")
    config = {"reference": base, "n_bootstraps": n_bootstraps, "seed": seed}
    record = make_provenance("encoding compare", config, {path.stem: path for path in encoding})
    caption = (
        f"Difference of the median score over neuroids to that of {base} on the same "
        f"{table['n_stimuli'].max()} held-out stimuli, with 95 % paired bootstrap intervals over stimuli"
    )
    write_figure(
        plot_model_differences(table),
        out.with_suffix(".png"),
        title=f"Models against {base}, subject {subject}",
        caption=f"{caption}; filled marks have q <= 0.05.",
        section=section,
        order=2,
        provenance=record,
    )
    write_report_table(
        table,
        out,
        title=f"Models against {base}, subject {subject}",
        caption=f"{caption}; p two-sided, q by Benjamini-Hochberg over the table.",
        section=section,
        order=100,
        provenance=record,
    )
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("partition")
def partition(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set; a column `split` fixes the split."),
    features: list[Path] = typer.Option(..., help="netCDF file of each space; one alone is split by layer."),
    responses: Path = typer.Option(..., help="netCDF file of the responses."),
    out: Path = typer.Option(..., help="TSV table; figure and values per neuroid go beside it."),
    subject: str = typer.Option(..., help="Subject, for the captions."),
    options: str = typer.Option("{}", help="Options of banded ridge as JSON."),
    section: str = typer.Option("Encoding", help="Section of the report."),
    n_folds: int = typer.Option(5, help="Folds over stimuli, where there is no column `split`."),
    n_permutations: int = typer.Option(500, help="Permutations of the held-out stimuli."),
    n_bootstraps: int = typer.Option(500, help="Resamples of the held-out stimuli."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    seed: int = typer.Option(0, help="Seed of folds, mixtures, permutations and intervals."),
) -> None:
    """Split held-out explained variance into what each feature space adds and what they share."""
    from neurovis.cli.names import parse_options, rank_region
    from neurovis.core import make_provenance
    from neurovis.encoding.banded import make_banded_ridge
    from neurovis.evaluation.partitioning import MOST_VENN, partition_variance, summarise_partition
    from neurovis.io import read_neural_data, read_stimulus_set
    from neurovis.plotting import plot_variance_partition, write_figure, write_report_table

    shown, data = read_stimulus_set(stimuli), read_neural_data(responses)
    space = _read_joint(features, data)
    test_ids = _find_test_ids(shown, data)
    result = partition_variance(
        space,
        data,
        make_banded_ridge(space, data, seed=seed, device=device, **parse_options(options)),
        test_ids=test_ids,
        splitter=n_folds if test_ids is None else None,
        n_permutations=n_permutations,
        seed=seed,
    )
    with_ceiling = "ceiling" in result.values
    venn = len(result.space_names) <= MOST_VENN
    table = summarise_partition(
        result,
        kind="venn" if venn else "product",
        normalise=with_ceiling,
        n_bootstraps=n_bootstraps,
        seed=seed,
    )
    table = table.sort_values("region", key=lambda names: names.map(rank_region), kind="stable")
    inputs = {path.stem: path for path in features} | {"responses": responses}
    config = {"options": options, "n_permutations": n_permutations, "n_bootstraps": n_bootstraps}
    record = make_provenance("encoding partition", config | {"seed": seed}, inputs)
    result.write(out.with_suffix(".nc"), provenance=record)
    names = " and ".join(result.space_names)
    unit = "explainable variance" if with_ceiling else "variance"
    kind = "what only one space adds and what several could explain" if venn else "the product measure"
    n_stimuli = result.values.attrs["n_held_out"]
    write_figure(
        plot_variance_partition(table),
        out.with_suffix(".png"),
        title=f"What {names} explain together and alone, subject {subject}",
        caption=f"Share of {unit} of held-out responses that banded ridge explains: {kind}. {n_stimuli} "
        "held-out stimuli; bars are 95 % bootstrap intervals over them. A negative share means that a space "
        "disturbs more than it adds.",
        section=section,
        order=5,
        provenance=record,
    )
    write_report_table(
        table,
        out,
        title=f"Variance partition of {names}, subject {subject}",
        caption=f"Shares of {unit} per region with 95 % intervals over held-out stimuli.",
        section=section,
        order=101,
        provenance=record,
    )
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def _find_test_ids(shown: StimulusSet, data: NeuralData) -> list[str] | None:
    """Held-out stimuli with responses, or None where the set fixes no split."""
    from neurovis.evaluation.preparation import find_test_ids

    test_ids = find_test_ids(shown, data)
    if test_ids is not None and not test_ids:
        raise ValueError(
            f"responses must hold test stimuli of {shown.name!r}, got training stimuli only; get the test "
            f"responses, or take the column `split` out of {shown.root / 'stimuli.tsv'} to cross-validate."
        )
    return test_ids


def _read_joint(paths: list[Path], data: NeuralData) -> xr.DataArray:
    """Features of the stimuli that were shown: one space, or several as the bands of a joint one."""
    from neurovis.features.arrays import join_spaces
    from neurovis.io import read_features

    shown = set(data["stimulus_id"].values.astype(str))
    spaces = {path.stem: read_features(path, stimulus_ids=shown) for path in paths}
    return next(iter(spaces.values())) if len(spaces) == 1 else join_spaces(spaces)
