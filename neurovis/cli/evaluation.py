"""Evaluation: RSA, preference, Brain-Score metrics, and scores against the truth of simulated data."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "evaluation"
app = typer.Typer(help="What the fitted models are worth.", no_args_is_help=True)


@app.command("rsa")
def run_rsa(
    features: list[Path] = typer.Option(..., help="Feature files; repeatable."),
    responses: list[Path] = typer.Option(..., help="Responses, one file per subject; repeatable."),
    stimuli: Path = typer.Option(
        ..., help="Folder of the stimulus set; its split `test` is compared, if any."
    ),
    out: Path = typer.Option(..., help="Folder of the table and the figures."),
    section: str = typer.Option("Representational similarity", help="Section of the report."),
    n_permutations: int = typer.Option(1000, help="Permutations of stimulus labels."),
    n_bootstraps: int = typer.Option(500, help="Resamples of stimuli."),
    seed: int = typer.Option(0, help="Seed of both."),
) -> None:
    """Compare dissimilarities of feature spaces with those of every region, with ceilings."""
    from neurovis.core import make_provenance
    from neurovis.evaluation.preparation import find_test_ids
    from neurovis.evaluation.rsa import evaluate_rsa
    from neurovis.io import read_features, read_neural_data, read_stimulus_set
    from neurovis.plotting import plot_feature_comparison, write_figure, write_report_table

    data = [read_neural_data(path) for path in responses]
    shown = read_stimulus_set(stimuli)
    table = evaluate_rsa(
        {path.stem: read_features(path) for path in features},
        data,
        stimulus_ids=find_test_ids(shown, data[0]),
        n_bootstraps=n_bootstraps,
        n_permutations=n_permutations,
        seed=seed,
    )
    config = {"n_permutations": n_permutations, "n_bootstraps": n_bootstraps, "seed": seed}
    inputs = {path.stem: path for path in [*features, *responses]}
    record = make_provenance("evaluation rsa", config, inputs)
    regions, spaces = table["region"].unique().tolist(), table["features"].unique().tolist()
    wide = {
        column: table.pivot_table(index="features", columns="region", values=column, dropna=False).loc[
            spaces, regions
        ]
        for column in ("similarity", "ci_low", "ci_high", "ceiling_low")
    }
    first = table.iloc[0]
    with_ceiling = first["ceiling_of"] != "none"
    axes = plot_feature_comparison(
        wide["similarity"],
        spaces,
        regions,
        lower=wide["ci_low"],
        upper=wide["ci_high"],
        ceilings=wide["ceiling_low"].iloc[0] if with_ceiling else None,
        label="agreement of RDMs (Spearman)",
    )
    over = f", dark marks the lower noise ceiling over {first['ceiling_of']} (Nili et al. 2014)"
    write_figure(
        axes,
        out / "rsa.png",
        title="Representational similarity by region",
        caption=f"Spearman correlation of dissimilarities (1 - Pearson r) over {first['n_stimuli']} stimuli; "
        f"bars are 95 % intervals that resample stimuli{over if with_ceiling else ''}.",
        section=section,
        order=1,
        provenance=record,
    )
    write_report_table(
        table,
        out / "rsa.tsv",
        title="RSA, every region and feature space",
        caption="p from permuted stimulus labels, q by Benjamini-Hochberg over the table.",
        section=section,
        order=100,
        provenance=record,
    )
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("preference")
def run_preference(
    responses: Path = typer.Option(..., help="netCDF file of the responses."),
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set, with the column `category`."),
    out: Path = typer.Option(..., help="TSV table, one row per neuroid."),
    seed: int = typer.Option(0, help="Seed of the split halves."),
) -> None:
    """Write the preferred stimulus category of every neuroid with its test."""
    from neurovis.core import make_provenance
    from neurovis.evaluation.preference import compute_preference
    from neurovis.io import read_neural_data, read_stimulus_set, write_table

    shown = read_stimulus_set(stimuli)
    categories = dict(zip(shown.stimulus_ids, shown.table["category"].astype("str"), strict=True))
    table = compute_preference(read_neural_data(responses), categories, seed=seed)
    record = make_provenance("evaluation preference", {"seed": seed}, {"responses": responses})
    write_table(table, out, provenance=record)
    typer.echo(table.groupby("region")["preferred"].agg(lambda names: names.mode().iloc[0]).to_string())


@app.command("brainscore")
def run_brainscore(
    features: list[Path] = typer.Option(..., help="Feature files; repeatable."),
    responses: Path = typer.Option(..., help="netCDF file of the responses of one subject."),
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set, with a column `split`."),
    out: Path = typer.Option(..., help="TSV table."),
    regions: str = typer.Option(..., help="Comma-separated regions."),
    metrics: str = typer.Option("ridgecv_split,pls_split,rdm,cka", help="Comma-separated metrics."),
    section: str = typer.Option("Brain-Score metrics", help="Section of the report."),
) -> None:
    """Score features with the metrics of brainscore_vision, our data being a NeuroidAssembly."""
    from dataclasses import asdict

    import pandas as pd

    from neurovis.core import make_provenance
    from neurovis.evaluation.brainscore_scoring import (
        SIMILARITY,
        SPLIT,
        compute_internal_consistency,
        score_brainscore,
    )
    from neurovis.evaluation.preparation import find_test_ids, zscore_sessions
    from neurovis.io import read_features, read_neural_data, read_stimulus_set
    from neurovis.plotting import write_report_table

    data, shown = read_neural_data(responses), read_stimulus_set(stimuli)
    test_ids = find_test_ids(shown, data)
    held_out = data["stimulus_id"].isin(test_ids or [])
    if data.dims[0] == "presentation":
        data = zscore_sessions(data, reference=~held_out.values)
    rows = []
    for region in regions.split(","):
        part = data[:, data["region"].values == region]
        # The ceiling is the slowest step and belongs to the data alone.
        ceiling = compute_internal_consistency(part, test_ids) if test_ids else None
        for path in features:
            space = read_features(path)
            for metric in metrics.split(","):
                # Dissimilarities of single trials are mostly noise: only repeated stimuli are compared.
                chosen = part[held_out.values] if metric in SIMILARITY and test_ids else part
                result = score_brainscore(
                    space,
                    chosen,
                    metric=metric,
                    stimuli=shown,
                    test_ids=test_ids if metric in SPLIT else None,
                    ceiling=ceiling if metric in SPLIT else None,
                )
                rows.append({"features": path.stem, "region": region, **asdict(result)})
    table = pd.DataFrame(rows).drop(columns="identifier", errors="ignore")
    record = make_provenance(
        "evaluation brainscore", {"regions": regions, "metrics": metrics}, {"responses": responses}
    )
    write_report_table(
        table,
        out,
        title=f"Scored by brainscore_vision, subject {data['subject'].values[0]}",
        caption="The package's own metrics on our responses as a NeuroidAssembly, features rotated without "
        "loss to the sample space. Ceiled is raw squared over the internal consistency for regressions and "
        "raw over the ceiling for RDMs, as the package normalises; n/a where repeats do not allow one.",
        section=section,
        provenance=record,
    )
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("truth")
def score_truth(
    truth: Path = typer.Option(..., help="Folder of the truth of one subject."),
    encoding: list[Path] = typer.Option(..., help="Results of `encoding fit`; repeatable."),
    responses: Path = typer.Option(..., help="The responses they were fitted to."),
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set."),
    preference: Path = typer.Option(..., help="Table of `evaluation preference`."),
    out: Path = typer.Option(..., help="TSV table."),
    fdr: float = typer.Option(0.05, help="False-discovery rate."),
    section: str = typer.Option("Recovered from BIDS files", help="Section of the report."),
) -> None:
    """Score one subject's results against what was planted; the only step that reads the truth."""
    import pandas as pd

    from neurovis.cli.names import read_entity
    from neurovis.core import make_provenance
    from neurovis.datasets.simulated import read_truth
    from neurovis.datasets.simulated.bold import compute_beta_noise_sd
    from neurovis.evaluation.encoding import read_encoding
    from neurovis.evaluation.preparation import find_test_ids
    from neurovis.evaluation.truth import score_recovery
    from neurovis.io import read_neural_data, read_provenance, read_stimulus_set, read_table
    from neurovis.plotting import write_report_table

    known, data, shown = read_truth(truth), read_neural_data(responses), read_stimulus_set(stimuli)
    counts = pd.Series(data["stimulus_id"].values).value_counts()
    # The noise gain of the GLM behind the betas is part of the truth.
    method = read_provenance(responses)["config"]["method"]
    signal_sd = known.select(counts.index.tolist()).std(axis=0)
    noise_sd = compute_beta_noise_sd(known.parameters, known.subject, method=method, signal_sd=signal_sd)
    table = score_recovery(
        known,
        {read_entity(path, "features"): read_encoding(path) for path in encoding},
        held_out={item: int(counts[item]) for item in find_test_ids(shown, data) or []},
        preference=read_table(preference),
        categories={item: str(shown.table.loc[item, "category"]) for item in counts.index},
        noise_sd=noise_sd,
        fdr=fdr,
    )
    subject = known.subject.subject
    write_report_table(
        table,
        out,
        title=f"Against the truth, subject {subject}",
        caption="From BOLD files through a GLM that knows the haemodynamic response which made them. "
        "Targets (low to high) are those of the fast path; a subject with fewer trials need not reach them. "
        "Benjamini-Hochberg controls the silent share among discoveries; where most vertices respond, about "
        "4 % of the silent ones pass, more or less by sampling.",
        section=section,
        provenance=make_provenance(
            "evaluation truth", {"method": method, "fdr": fdr}, {"responses": responses}
        ),
    )
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("recovery")
def run_recovery(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set, with the column `split`."),
    features: list[Path] = typer.Option(..., help="Feature files; repeatable."),
    out: Path = typer.Option(..., help="TSV table."),
    seed: int = typer.Option(..., help="Seed of subject, order and noise."),
    n_test_repeats: int = typer.Option(6, help="Presentations of each held-out image."),
    n_permutations: int = typer.Option(1000, help="Permutations of the held-out stimuli."),
) -> None:
    """Simulate one subject's betas, analyse them blindly and score the analysis against the truth."""
    from neurovis.core import make_provenance
    from neurovis.encoding.ridge import Ridge
    from neurovis.evaluation.recovery import run_recovery as run
    from neurovis.io import read_features, read_stimulus_set, write_table

    shown = read_stimulus_set(stimuli)
    by_split = shown.table.groupby("split").groups
    ordered = shown.subset([*by_split["test"], *by_split["train"]])
    table = run(
        ordered,
        {path.stem: read_features(path) for path in features},
        Ridge(),
        seed=seed,
        n_test=len(by_split["test"]),
        n_test_repeats=n_test_repeats,
        n_permutations=n_permutations,
    )
    record = make_provenance("evaluation recovery", {"seed": seed}, {path.stem: path for path in features})
    write_table(table, out, provenance=record)
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("summarise-recovery")
def summarise(
    recovery: list[Path] = typer.Option(..., help="Tables of `evaluation recovery`; repeatable."),
    out: Path = typer.Option(..., help="Folder of the checks, the table and the figure."),
    section: str = typer.Option("Parameter recovery", help="Section of the report."),
) -> None:
    """Summarise the seeds with intervals, as the checks on top of the report."""
    import numpy as np

    from neurovis.evaluation.truth import summarise_recovery
    from neurovis.io import read_table
    from neurovis.plotting import plot_intervals, write_checks, write_figure, write_report_table

    text = {"region": str, "features": str, "passed": str}
    tables = [read_table(path, dtype=text).fillna({"features": "", "passed": ""}) for path in recovery]
    table = summarise_recovery(tables)
    promised = table[table["passed"] != ""]
    named = zip(
        promised["quantity"], promised["region"].replace("all", ""), promised["features"], strict=True
    )
    labels = [" ".join(part for part in parts if part) for parts in named]
    checks = promised.rename(columns={"ci_low": "lower", "ci_high": "upper", "n_seeds": "n"}).assign(
        quantity=labels,
        target=[_say_target(low, high) for low, high in zip(promised["low"], promised["high"], strict=True)],
        passed=promised["passed"] == "yes",
    )
    write_checks(
        checks[["quantity", "target", "mean", "lower", "upper", "passed", "n"]],
        out / "checks.tsv",
        caption=f"Means over {len(tables)} seeds, each with its own anatomy, tuning and noise, with 95 % "
        "intervals (Student's t). The analysis sees betas and stimuli; only these scores read the truth.",
    )
    shares = table[table["quantity"] == "share of ceiling"]
    suits = shares[shares["passed"] != ""]
    axes = plot_intervals(
        [f"{row.region} ({row.features})" for row in suits.itertuples()],
        suits["mean"],
        lower=suits["ci_low"],
        upper=suits["ci_high"],
        targets=np.full(len(suits), 0.9),
        passed=(suits["passed"] == "yes").to_numpy(),
        label="Pearson r over the analytic ceiling, median vertex",
    )
    write_figure(
        axes,
        out / "share_of_ceiling.png",
        title="How much of the attainable is reached",
        caption="Responsive vertices, with the feature space that suits the region; dark ticks are targets. "
        "Worldnet and the network behind the category regions learned the same labels from other scenes, so "
        "this shows what the method reaches with a feature space that suits, not what a network explains.",
        section=section,
        order=1,
    )
    write_report_table(
        table,
        out / "recovery.tsv",
        title="Every quantity over the seeds",
        caption="`worst` is the seed farthest outside its target, or from the mean where there is none.",
        section=section,
        order=2,
    )
    typer.echo(checks[["quantity", "target", "mean", "passed"]].to_string(index=False))


def _say_target(low: float, high: float) -> str:
    if low in (0.0, -float("inf")):
        return f"<= {high:g}"
    return f">= {low:g}" if high in (1.0, float("inf")) else f"{low:g} to {high:g}"
