"""Studies: the question of each published data set, answered with nulls and intervals."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "study"
app = typer.Typer(help="Analyses of published data, each with its null and interval.", no_args_is_help=True)


@app.command("run")
def run_study(
    study: str = typer.Option(..., help="Name of the study, see `neurovis catalog studies`."),
    out: Path = typer.Option(..., help="Folder of the table and the figures."),
    root: Path | None = typer.Option(None, help="Folder above the data set."),
    n_permutations: int = typer.Option(1000, help="Permutations of each null."),
    seed: int = typer.Option(0, help="Seed of nulls and intervals."),
) -> None:
    """Run one study and write its table and figures for the report."""
    import numpy as np

    from neurovis import catalog
    from neurovis.core import make_provenance
    from neurovis.datasets.cards import read_card
    from neurovis.io import atomic_path
    from neurovis.plotting import write_figure, write_report_table
    from neurovis.plotting.study import find_units, plot_study, plot_study_arrays

    result = catalog.studies.load(study)(root, n_permutations=n_permutations, seed=seed)
    card = read_card(study)
    record = make_provenance("study run", {"study": study, "n_permutations": n_permutations, "seed": seed})
    with atomic_path(out / "arrays.npz") as temporary:
        np.savez_compressed(temporary, **result.figures_data)
    section = card.title
    for order, (name, title, caption, axes) in enumerate(plot_study_arrays(result.figures_data), start=1):
        write_figure(
            axes,
            out / f"{name}.png",
            title=title,
            caption=caption,
            section=section,
            order=order,
            provenance=record,
        )
    for number, unit in enumerate(find_units(result.table)):
        write_figure(
            plot_study(result.table, unit=unit),
            out / f"summary{f'-{number + 1}' if number else ''}.png",
            title=f"Measured values{f' [{unit}]' if unit else ''}",
            caption="Points with 95 % intervals; dark ticks are published numbers, grey bars reach to the "
            "95th percentile of the permutation null, dotted ticks are chance. "
            f"{card.answers}? {card.citation}.",
            section=section,
            order=number / 10,
            provenance=record,
        )
    # The table is the rule's output, so it is written last.
    write_report_table(
        result.table.drop(columns="study"),
        out / "table.tsv",
        title="Every number of this study",
        caption=f"Source: {card.source}. Licence: {card.licence}.",
        section=section,
        order=100,
        provenance=record,
    )
    typer.echo(result.table[["subject", "region", "quantity", "value", "null_95", "p_value"]].to_string())
    typer.echo(f"written to {out}")


@app.command("summarise")
def summarise(
    table: list[Path] = typer.Option(..., help="Tables of `study run`; repeatable."),
    out: Path = typer.Option(..., help="TSV table."),
) -> None:
    """Put the numbers that have a null or a published counterpart side by side, over all studies."""
    import pandas as pd

    from neurovis.datasets.cards import read_card
    from neurovis.io import read_table
    from neurovis.plotting import write_report_table

    parts = []
    for path in table:
        study = path.parents[1].name
        rows = read_table(
            path, required=("quantity", "value", "p_value", "reference"), dtype={"subject": str}
        )
        judged = rows[rows["p_value"].notna() | rows["reference"].notna()]
        parts.append(judged.assign(study=study).drop(columns=["note"]))
    joined = pd.concat(parts, ignore_index=True)
    joined.insert(0, "study", joined.pop("study"))
    joined["split"] = joined.pop("split")
    cited = "; ".join(read_card(name).citation for name in joined["study"].unique())
    write_report_table(
        joined,
        out,
        title="Published data: measured values, intervals and nulls",
        caption="Value with its 95 % interval, chance level, 95th percentile of the permutation null and "
        "one-sided p; reference is the number published with the data; split says what was held out. "
        f"{cited}.",
        section="All studies",
    )
    typer.echo(f"{len(joined)} numbers of {len(table)} studies in {out}")
