"""Parts of regions by what their encoder weights prefer: ``neurovis generation subregions``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from neurovis.core import Score

COMPARED = ("weights", "responses")


def find_parts(
    out: Path = typer.Option(..., help="Folder of tables and figures."),
    encoding: list[Path] = typer.Option(..., help="Result of `encoding fit`, one a subject; repeatable."),
    weights: list[Path] = typer.Option(..., help="Their ridge encoders, in the same order."),
    features: Path = typer.Option(..., help="netCDF file of the encoders' features of the stimuli."),
    stimuli: Path = typer.Option(..., help="Folder of the stimuli."),
    region: list[str] = typer.Option(..., help="Region to part; repeatable."),
    truth: list[Path] = typer.Option([], help="Folder of each subject's simulated truth, in the same order."),
    n_clusters: int = typer.Option(2, help="Parts of each region."),
    compare: str = typer.Option(
        "weights", help="weights (the paper), or the predicted responses to the training stimuli."
    ),
    fdr: float = typer.Option(0.05, help="Part the neuroids predicted at this rate; 1 takes all."),
    least_ceiled: float = typer.Option(0.6, help="Smallest accuracy as a share of its ceiling."),
    n_shown: int = typer.Option(6, help="Natural images of each part in the figure."),
    section: str = typer.Option("Images that regions prefer", help="Section of the report."),
    seed: int = typer.Option(0, help="Seed of clusters, halves, permutations and intervals."),
) -> None:
    """Part regions by k-means over the neuroids of all subjects, and show what each part prefers.

    The table neuroids.tsv makes the parts (FFA-a, FFA-b) regions of `generation guide`.
    """
    import numpy as np
    import pandas as pd

    from neurovis.cli.judging import choose_neuroids, list_neuroids, read_weights
    from neurovis.core import check_option, make_provenance
    from neurovis.encoding.storage import read_encoder
    from neurovis.evaluation.encoding import read_encoding
    from neurovis.evaluation.subregions import rank_images
    from neurovis.generation.subregions import find_subregions, shuffle_weights
    from neurovis.io import read_features, read_stimulus_set, write_table
    from neurovis.plotting import write_report_table

    check_option("compare", compare, COMPARED)
    if len(weights) != len(encoding) or len(truth) not in (0, len(encoding)):
        raise ValueError(
            f"encoding, weights and truth must name the same subjects, got {len(encoding)}, {len(weights)} "
            f"and {len(truth)} of them."
        )
    if not 2 <= n_clusters <= len(ascii_lowercase):
        raise ValueError(f"n_clusters must be between 2 and {len(ascii_lowercase)}, got {n_clusters}.")
    scores = [read_encoding(path).score for path in encoding]
    neuroids = {str(own.values["subject"].values[0]): own.values for own in scores}
    if len(neuroids) != len(encoding):
        raise ValueError(f"encoding must name each subject once, got {len(encoding)} files of {[*neuroids]}.")
    # A single neuroid without a signal that passes by chance is as far from the rest as a part of its own.
    passed = {
        subject: _gate(own, least_ceiled, path)
        for subject, own, path in zip(neuroids, scores, encoding, strict=True)
    }
    encoders = {
        subject: read_encoder(path, neuroid_ids=own["neuroid_id"].values.tolist())
        for (subject, own), path in zip(neuroids.items(), weights, strict=True)
    }
    shown = read_stimulus_set(stimuli)
    space = read_features(features, stimulus_ids=shown.stimulus_ids)
    ids = space["stimulus_id"].values.astype(str)
    train = np.ones(len(ids), dtype=bool)
    if "split" in shown.table:
        train = shown.table.loc[ids, "split"].to_numpy() == "train"
    covariance = np.cov(space.values[train].T) if compare == "responses" else None
    predicted = {subject: encoder.predict(space.values) for subject, encoder in encoders.items()}
    known = _read_known(dict(zip(neuroids, truth, strict=True))) if truth else None

    letters = list(ascii_lowercase[:n_clusters])
    tables, centres, rows, ranks = [], [], [], []
    for name in region:
        columns = {
            subject: [number for number in choose_neuroids(own, name, fdr) if passed[subject][number]]
            for subject, own in neuroids.items()
        }
        chosen = {subject: read_weights(encoders[subject])[own] for subject, own in columns.items()}
        mixed = shuffle_weights(chosen, seed=seed)
        found, null = (
            find_subregions(part, n_clusters=n_clusters, covariance=covariance, seed=seed)
            for part in (chosen, mixed)
        )
        parts = np.array([f"{name}-{letter}" for letter in letters])
        table = pd.concat(
            [
                list_neuroids(neuroids[subject][own]).assign(subregion=parts[found.labels[subject]])
                for subject, own in columns.items()
            ],
            ignore_index=True,
        ).assign(region=name)
        tables.append(table)
        centres.append(pd.DataFrame(found.centres, index=pd.Index(parts, name="subregion")))
        row = {
            "region": name, "n": len(table), "silhouette": found.silhouette,
            "silhouette_shuffled": null.silhouette, "stability": found.stability,
            "stability_shuffled": null.stability,
        }  # fmt: skip
        rows.append(row | ({} if known is None else _score(table, known, found.labels, seed)))
        ranked = rank_images(
            {subject: predicted[subject][:, own] for subject, own in columns.items()},
            found.labels,
            ids.tolist(),
        )
        ranks.append(ranked.assign(subregion=parts[ranked["cluster"]]).drop(columns="cluster"))

    record = make_provenance(
        "generation subregions",
        {"n_clusters": n_clusters, "compare": compare, "fdr": fdr, "least_ceiled": least_ceiled,
         "seed": seed},
        {f"weights of {subject}": path for subject, path in zip(neuroids, weights, strict=True)},
    )  # fmt: skip
    ranked = pd.concat(ranks, ignore_index=True)
    write_table(pd.concat(centres).reset_index(), out / "centres.tsv", provenance=record)
    write_table(ranked, out / "images.tsv", provenance=record)
    summary = pd.DataFrame(rows)
    about = f"{len(neuroids)} subject(s), by their {compare}" + (
        " to training stimuli" if compare == "responses" else ""
    )
    caption = (
        "K-means over the neuroids of all subjects. Stability: mean adjusted Rand index between clusterings "
        "from random halves; shuffled: the same for weights in another order over neuroids."
    )
    if known is not None:
        caption += (
            " ari: adjusted Rand index with the planted parts, 95 % bootstrap interval over neuroids, and "
            "the 95th percentile of parts that are exchanged within subjects."
        )
    write_report_table(
        summary, out / "summary.tsv", title=f"Parts of regions, {about}", caption=caption, section=section,
        order=110, provenance=record,
    )  # fmt: skip
    _write_figures(ranked, summary, shown, n_shown, out, about, section, record)
    found_parts = pd.concat(tables, ignore_index=True)
    if known is not None:
        _write_tuning(found_parts, known, out / "tuning.tsv", record)
    write_table(found_parts, out / "neuroids.tsv", provenance=record)
    typer.echo(summary.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"parts of {len(region)} regions in {out}")


def _gate(score: Score, least_ceiled: float, path: Path) -> NDArray:
    from neurovis.captioning import gate_voxels

    if score.ceiling is None:
        raise ValueError(f"{path} must hold noise ceilings, got none; encode data with repeats.")
    gates = gate_voxels(score.values.values, score.ceiling.values, min_ceiled=least_ceiled)
    return gates["passed"].to_numpy()


def _read_known(truth: Mapping[str, Path]) -> pd.DataFrame:
    """Planted part and weights of the twelve kinds of evidence, by neuroid."""
    import pandas as pd

    from neurovis.datasets.simulated import read_truth

    tables = []
    for subject, folder in truth.items():
        known = read_truth(folder).subject
        if known.subject != subject:
            raise ValueError(
                f"truth must come in the order of encoding, got {known.subject!r} at {subject!r}."
            )
        tables.append(known.table.set_index(pd.Index(known.neuroid_ids, name="neuroid_id")))
    joined = pd.concat(tables)
    return joined[["subdivision", *joined.columns[joined.columns.str.startswith("w_")]]]


def _score(
    table: pd.DataFrame, known: pd.DataFrame, labels: Mapping[str, Any], seed: int
) -> dict[str, float]:
    from neurovis.evaluation.subregions import score_subregions

    planted = known["subdivision"].reindex(table["neuroid_id"]).fillna("").to_numpy()
    parts = {subject: planted[(table["subject"] == subject).to_numpy()] for subject in labels}
    return score_subregions(labels, parts, seed=seed)


def _write_tuning(table: pd.DataFrame, known: pd.DataFrame, path: Path, record: dict[str, Any]) -> None:
    """Mean planted weights of each part's neuroids."""
    from neurovis.io import write_table

    tuning = known.reindex(table["neuroid_id"]).set_index(table["subregion"].to_numpy())
    tuning.index.name = "subregion"
    weights = tuning.filter(like="w_").groupby(level=0).mean()
    write_table(weights.reset_index(), path, provenance=record)


def _write_figures(
    ranked: pd.DataFrame,
    summary: pd.DataFrame,
    shown: Any,
    n_shown: int,
    out: Path,
    about: str,
    section: str,
    record: dict[str, Any],
) -> None:
    """Natural images of each part, and likeness to the planted parts."""
    from neurovis.plotting import plot_galleries, plot_intervals, write_figure

    def load(ids: Sequence[str]) -> list[Any]:
        return [shown.load(name) for name in ids]

    blocks = {
        str(part): {
            "largest predicted response": load(images.nlargest(n_shown, "response")["stimulus_id"].tolist()),
            "largest difference to the rest": load(images["stimulus_id"].head(n_shown).tolist()),
        }
        for part, images in ranked.groupby("subregion", sort=False)
    }
    write_figure(
        plot_galleries(blocks, n_shown=n_shown), out / "gallery.png",
        title=f"What parts of regions prefer, {about}",
        caption="Natural images with the largest predicted response of each part, and with the largest "
        "difference to the region's other parts.",
        section=section, order=10, provenance=record,
    )  # fmt: skip
    if "ari" not in summary:
        return
    axes = plot_intervals(
        summary["region"].tolist(), summary["ari"], lower=summary["ari_low"], upper=summary["ari_high"],
        null_upper=summary["ari_null"], passed=(summary["ari"] > summary["ari_null"]).to_numpy(),
        label="adjusted Rand index with the planted parts (95 % interval)",
    )  # fmt: skip
    write_figure(
        axes, out / "recovery.png", title=f"Planted parts that are found, {about}",
        caption="1 is the planted parts exactly, 0 chance; grey: parts exchanged within subjects, up to the "
        "95th percentile.",
        section=section, order=11, provenance=record,
    )  # fmt: skip
