"""Figures for the report: each command reads results and writes pictures with their records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

NAME = "plot"
app = typer.Typer(help="Figures with captions, found by the report.", no_args_is_help=True)

_UNLABELLED = ("none", "other")  # what loaders call neuroids outside all regions


@app.command("stimuli")
def plot_stimuli(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set."),
    out: Path = typer.Option(..., help="PNG file."),
    section: str = typer.Option("Stimuli", help="Section of the report."),
    n_images: int = typer.Option(48, help="Images shown, spread over the set."),
) -> None:
    """Draw a sheet of stimuli."""
    import numpy as np

    from neurovis.io import read_stimulus_set
    from neurovis.plotting import plot_stimulus_gallery, write_figure

    shown = read_stimulus_set(stimuli)
    chosen = np.linspace(0, len(shown) - 1, min(n_images, len(shown))).astype(int)
    images = [shown.load(shown.stimulus_ids[row]) for row in chosen]
    axes = plot_stimulus_gallery(images, n_columns=12)
    height, width = shown.size_dva
    caption = (
        f"{len(images)} of {len(shown)} stimuli of {shown.name}, shown {height:g} x {width:g} degrees large."
    )
    about = shown.table.attrs
    if "rule" in about:
        caption += f" Test set, of {about.get('release', 'this release')}: {about['rule']}."
    write_figure(axes, out, title="What was shown", caption=caption, section=section)
    typer.echo(f"figure in {out}")


@app.command("encoding")
def plot_encoding(
    encoding: list[Path] = typer.Option(..., help="Results of `encoding fit` of one subject; repeatable."),
    out: Path = typer.Option(..., help="Folder of the figures."),
    subject: str = typer.Option(..., help="Subject, for the captions."),
    section: str = typer.Option("Encoding", help="Section of the report."),
    fdr: float = typer.Option(0.05, help="False-discovery rate of the maps."),
) -> None:
    """Draw feature spaces side by side, scores against ceilings and, for vertices, maps on the surface."""
    import numpy as np

    from neurovis.cli.names import rank_region, read_model_name
    from neurovis.evaluation.encoding import read_encoding
    from neurovis.io import read_table
    from neurovis.plotting import (
        PALETTE,
        plot_feature_comparison,
        plot_score_against_ceiling,
        plot_surface_categories,
        plot_surface_map,
        write_figure,
    )

    results = {read_model_name(path): read_encoding(path) for path in encoding}
    summaries = {read_model_name(path): read_table(path.with_suffix(".tsv")) for path in encoding}
    names = list(results)
    order = list(
        next(iter(summaries.values()))["region"].sort_values(key=lambda r: r.map(rank_region), kind="stable")
    )
    stacked = {
        column: np.stack([summaries[name].set_index("region")[column].loc[order] for name in names])
        for column in ("median", "ci_low", "ci_high")
    }
    first = next(iter(summaries.values())).set_index("region").loc[order]
    axes = plot_feature_comparison(
        stacked["median"],
        names,
        order,
        lower=stacked["ci_low"],
        upper=stacked["ci_high"],
        ceilings=first.get("median_ceiling"),
    )
    n_held_out = int(first["n_stimuli"].iloc[0])
    write_figure(
        axes,
        out / f"sub-{subject}_features.png",
        title=f"Feature spaces by region, subject {subject}",
        caption=f"Median Pearson r over neuroids on {n_held_out} held-out stimuli; bars are 95 % bootstrap "
        "intervals over stimuli, dark marks the median noise ceiling.",
        section=section,
        order=1,
    )
    values = np.stack([result.score.values.values for result in results.values()])
    best = values.argmax(axis=0)
    score = next(iter(results.values())).score
    if score.ceiling is not None:
        # Groups are coloured in order of appearance: the same colours as in the figure before.
        ranked = np.argsort(best, kind="stable")
        axes = plot_score_against_ceiling(
            values.max(axis=0)[ranked], score.ceiling.values[ranked], groups=np.array(names)[best][ranked]
        )
        write_figure(
            axes,
            out / f"sub-{subject}_ceiling.png",
            title=f"Scores against ceilings, subject {subject}",
            caption="Each neuroid by the feature space that predicts it best. Choosing the best lifts "
            "unpredictable neuroids (by about 0.1 for 60 stimuli); the tables report every feature space.",
            section=section,
            order=2,
        )
    if "vertex" not in score.values.coords:
        return
    mesh, vertices, drawn = _find_vertices(score.values)
    regions = score.values["region"].values
    regions = np.where(np.isin(regions, _UNLABELLED), "", regions)
    q_values = np.stack([result.q_values.values for result in results.values()]).min(axis=0)
    # The best of several feature spaces is tested: Bonferroni over the spaces.
    passing = q_values * len(names) <= fdr
    if not (passing & drawn).any():
        typer.echo(f"no vertex that is drawn passes a false-discovery rate of {fdr:g}; maps are left out")
        return
    axes = plot_surface_map(
        np.where(passing, values.max(axis=0), np.nan),
        vertices=vertices,
        regions=regions,
        mesh=mesh,
        label="prediction accuracy (Pearson r)",
        vmin=0.0,
    )
    caption = (
        f"Vertices that pass a false-discovery rate of {fdr:g}, corrected for the choice of the best space."
    )
    write_figure(
        axes,
        out / f"sub-{subject}_map.png",
        title=f"Prediction accuracy on the cortex, subject {subject}",
        caption=f"{caption} Views of the inflated surface; regions are outlined.",
        section=section,
        order=3,
    )
    axes = plot_surface_categories(
        np.where(passing, np.array(names)[best], ""),
        vertices=vertices,
        regions=regions,
        mesh=mesh,
        colours=dict(zip(names, PALETTE, strict=False)),
    )
    write_figure(
        axes,
        out / f"sub-{subject}_best.png",
        title=f"Which feature space predicts best, subject {subject}",
        caption=caption,
        section=section,
        order=4,
    )
    typer.echo(f"figures in {out}")


@app.command("preference")
def plot_preference(
    preference: Path = typer.Option(..., help="Table of `evaluation preference`."),
    responses: Path = typer.Option(..., help="Responses it was computed from, for the vertices."),
    out: Path = typer.Option(..., help="PNG file."),
    subject: str = typer.Option(..., help="Subject, for the caption."),
    section: str = typer.Option("Selectivity", help="Section of the report."),
    fdr: float = typer.Option(0.05, help="False-discovery rate."),
) -> None:
    """Draw the preferred category of every vertex that is selective."""
    import numpy as np

    from neurovis.io import read_neural_data, read_table
    from neurovis.plotting import plot_surface_categories, write_figure

    table = read_table(preference, required=("neuroid_id", "preferred", "q_value"))
    vertex = read_neural_data(responses)["vertex"].to_series()
    vertex.index = read_neural_data(responses)["neuroid_id"].values
    shown = np.where(table["q_value"] <= fdr, table["preferred"], "")
    axes = plot_surface_categories(
        shown,
        vertices=vertex.loc[table["neuroid_id"]].to_numpy(),
        regions=table["region"].to_numpy(dtype=str),
    )
    write_figure(
        axes,
        out,
        title=f"Preferred category, subject {subject}",
        caption="Category with the largest mean response, for vertices whose category means differ (one-way "
        f"analysis of variance over stimuli, false-discovery rate {fdr:g}).",
        section=section,
    )
    typer.echo(f"figure in {out}")


def _find_vertices(values: xr.DataArray) -> tuple[str, np.ndarray, np.ndarray]:
    """Mesh, the vertices of values in its numbering, and which of them are drawn."""
    import numpy as np

    from neurovis.plotting.surface_mesh import count_vertices

    vertices = values["vertex"].values
    if values.attrs.get("space") != "fsaverage":
        return "fsaverage5", vertices, np.ones(len(vertices), dtype=bool)
    # Loaders count the vertices of fsaverage within hemispheres, the figures over both.
    offset = np.where(values["hemisphere"].values == "right", count_vertices("fsaverage")[0], 0)
    return "fsaverage", vertices + offset, vertices < count_vertices("fsaverage5")[0]
