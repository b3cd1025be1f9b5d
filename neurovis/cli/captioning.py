"""Sentences for voxels: banks of image embeddings, captions from encoder weights, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from neurovis.cli.illustration import illustrate

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from neurovis.captioning import VoxelCaptions


NAME = "captioning"
SECTION = "Captions of voxels"
app = typer.Typer(help="Natural-language captions of voxels.", no_args_is_help=True)
app.command("illustrate")(illustrate)


@app.command("train-world-captioner")
def train_world_captioner(
    out: Path = typer.Option(Path("models/world-captioner"), help="Folder of the model and its card."),
    n_images: int = typer.Option(24000, help="Scenes to train on."),
    n_epochs: int = typer.Option(6, help="Passes over them."),
    seed: int = typer.Option(0, help="Seed of initial weights and order."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    amp: bool = typer.Option(False, "--amp", help="Train in bfloat16."),
    checkpoint: Path = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train the in-house caption decoder on the stimulus world and write weights and card."""
    from neurovis.captioning import train_world_captioner as train

    train(out, n_images=n_images, n_epochs=n_epochs, seed=seed, device=device, amp=amp, checkpoint=checkpoint)
    typer.echo(f"weights and card in {out}")


@app.command("build-bank")
def build_bank(
    out: Path = typer.Option(..., help="Folder of the bank; a killed run goes on where it stopped."),
    features: str = typer.Option("open_clip:world-clip-resnet", help="Feature space, not normalised."),
    options: str = typer.Option("{}", help="Options of the feature space as JSON."),
    folder: list[Path] = typer.Option([], help="Folder of images; repeatable."),
    tar: list[Path] = typer.Option([], help="Tar file of images, as of webdataset; repeatable."),
    parquet: list[Path] = typer.Option([], help="Parquet file with a column of images; repeatable."),
    stimuli: list[Path] = typer.Option([], help="Folder of a stimulus set; repeatable."),
    shard_images: int = typer.Option(65536, help="Images of a shard, which is written whole."),
    batch_size: int = typer.Option(256, help="Images at a time."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
) -> None:
    """Embed natural images, streamed from wherever they are; failed images are listed and left out."""
    from neurovis.captioning import (
        ExtractorEmbedder,
        FolderImages,
        ParquetImages,
        StimulusImages,
        TarImages,
    )
    from neurovis.captioning import build_bank as build
    from neurovis.cli.names import build_features, parse_options
    from neurovis.io import read_stimulus_set

    sources: list[Any] = [FolderImages(path, path.name) for path in folder]
    sources += [TarImages(tar)] if tar else []
    sources += [ParquetImages(parquet)] if parquet else []
    sources += [StimulusImages(read_stimulus_set(path)) for path in stimuli]
    embed = ExtractorEmbedder(
        build_features(features, parse_options(options)), batch_size=batch_size, device=device
    )
    bank = build(out, sources, embed, space=features, shard_images=shard_images, batch_size=batch_size)
    typer.echo(f"{len(bank)} embeddings in {out}")


@app.command("caption")
def caption(
    out: Path = typer.Option(..., help="Folder of captions; a killed run goes on where it stopped."),
    encoding: Path = typer.Option(..., help="Result of `encoding fit`: voxels, accuracy and ceilings."),
    weights: Path = typer.Option(..., help="Its ridge encoder of unit-norm embeddings."),
    bank: Path = typer.Option(..., help="Folder of `captioning build-bank`, of the same network."),
    evaluated: Path = typer.Option(..., help="Stimulus set of the encoder, which the bank must not hold."),
    captioner: str = typer.Option("world-captioner", help="Shipped name, folder, or clipcap-coco."),
    region: list[str] = typer.Option([], help="Only these regions; repeatable."),
    least_ceiled: float = typer.Option(0.4, help="Smallest accuracy as a share of its ceiling."),
    inverse_temperature: float = typer.Option(150.0, help="Sharpness of the projection."),
    n_repeats: int = typer.Option(5, help="Disjoint parts of the bank."),
    leaks: str = typer.Option("refuse", help="Images of the bank that were evaluated: refuse, drop, keep."),
    width: int = typer.Option(5, help="Beams."),
    n_base: int = typer.Option(500, help="Random bank images that are captioned for base rates."),
    precision: str = typer.Option("float32", help="Of the projection: float32, bfloat16 or float16."),
    batch_size: int = typer.Option(128, help="Voxels at a time."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    replace: bool = typer.Option(False, "--replace", help="Delete captions of other settings."),
    seed: int = typer.Option(0, help="Seed of repeats, permuted weights and random images."),
) -> None:
    """Caption voxels, their negated weights and permuted weights, and random images (BrainSCUBA)."""
    import shutil

    import numpy as np
    import pandas as pd

    from neurovis.captioning import (
        Decoding,
        caption_random_images,
        caption_voxels,
        draw_repeats,
        find_leaks,
        gate_voxels,
        load_captioner,
        permute_weights,
        read_bank,
        remove_leaks,
    )
    from neurovis.cli.judging import list_neuroids, read_weights
    from neurovis.core import OtherConfigurationError, make_provenance
    from neurovis.encoding.storage import read_encoder
    from neurovis.evaluation.encoding import read_encoding
    from neurovis.io import read_stimulus_set, write_table

    score = read_encoding(encoding).score
    if score.ceiling is None:
        raise ValueError(f"{encoding} must hold noise ceilings, got none; encode data with repeats.")
    ids = score.values["neuroid_id"].values.astype(str)
    coefficients = read_weights(read_encoder(weights, neuroid_ids=ids.tolist()))
    natural = read_bank(bank)
    copies = find_leaks(natural, read_stimulus_set(evaluated))
    natural = remove_leaks(natural, copies, policy=leaks)
    model = load_captioner(captioner, device=device)
    gates = gate_voxels(score.values.values, score.ceiling.values, min_ceiled=least_ceiled)
    chosen = gates["passed"].to_numpy()
    if region:
        chosen &= np.isin(score.values["region"].values.astype(str), region)
    if not chosen.any():
        raise ValueError(
            f"encoding must hold voxels of {region or 'any region'} at {least_ceiled:g} of their ceiling, "
            "got none; lower least_ceiled or fit a better encoder."
        )
    voxels = list_neuroids(score.values).assign(ceiled=gates["ceiled"])[chosen]
    rows = draw_repeats(natural, n_repeats, seed=seed)
    decoding = Decoding(width=width, max_tokens=model.max_tokens)
    kinds = {
        "increase": (coefficients[chosen], False),
        "suppress": (coefficients[chosen], True),
        "permuted": (permute_weights(coefficients[chosen], seed=seed), False),
    }
    record = make_provenance(
        "captioning caption",
        {"captioner": captioner, "inverse_temperature": inverse_temperature, "n_repeats": n_repeats,
         "leaks": leaks, "n_leaks": len(copies), "seed": seed},
        {"weights": weights, "bank": bank / "index.json"},
    )  # fmt: skip

    def make(kind: str) -> VoxelCaptions:
        part, suppression = kinds[kind]
        return caption_voxels(
            part, voxels, natural, model, inverse_temperature=inverse_temperature, repeats=rows,
            suppression=suppression, decoding=decoding, batch_size=batch_size, precision=precision,
            device=device, folder=out / kind,
        )  # fmt: skip

    for kind in kinds:
        try:
            found = make(kind)
        except OtherConfigurationError:
            if not replace:
                raise
            shutil.rmtree(out / kind)
            found = make(kind)
        agreement = np.tile(found.agreement, n_repeats)
        write_table(found.table.assign(agreement=agreement), out / f"{kind}.tsv", provenance=record)
    base = caption_random_images(
        natural,
        model,
        n_images=min(n_base, len(natural)),
        seed=seed,
        decoding=decoding,
        batch_size=batch_size,
    )
    write_table(pd.DataFrame({"caption": base}), out / "random_images.tsv", provenance=record)
    typer.echo(f"captions of {int(chosen.sum())} voxels in {out}; {len(copies)} leaks ({leaks})")


@app.command("evaluate")
def evaluate(
    out: Path = typer.Option(..., help="Folder of tables and figures."),
    captions: Path = typer.Option(..., help="Folder of `captioning caption`."),
    encoding: Path = typer.Option(..., help="Result of the `encoding fit`."),
    weights: Path = typer.Option(..., help="Its encoder."),
    features: Path = typer.Option(..., help="netCDF file of the encoder's features of the stimuli."),
    stimuli: Path = typer.Option(..., help="The stimuli; captions are judged on those of the split `test`."),
    texts: str = typer.Option("open_clip-text:world-clip-resnet", help="Text tower of the same network."),
    texts_options: str = typer.Option("{}", help="Options of the text tower as JSON."),
    bank_stimuli: Path | None = typer.Option(
        None, help="Stimulus set of the bank with true captions: the known words of each category."
    ),
    truth: Path | None = typer.Option(None, help="Folder of the simulated truth."),
    least_agreement: float = typer.Option(0.9, help="Smallest cosine across disjoint banks."),
    subject: str = typer.Option(..., help="Subject, for the captions of figures."),
    section: str = typer.Option(SECTION, help="Section of the report."),
    seed: int = typer.Option(0, help="Seed of intervals and permutations."),
) -> None:
    """Say what captions name, region by region, whether they tell voxels apart, and how null captions do."""
    import numpy as np
    import pandas as pd

    from neurovis.captioning import (
        compute_diversity,
        compute_word_fraction,
        compute_word_log_odds,
        embed_captions,
        identify_voxels,
        summarise_by_region,
    )
    from neurovis.captioning.world_captions import find_marker_words
    from neurovis.cli.names import build_features, parse_options, rank_region
    from neurovis.core import make_provenance
    from neurovis.encoding.storage import read_encoder
    from neurovis.evaluation.captions import score_category_captions
    from neurovis.evaluation.encoding import read_encoding
    from neurovis.io import read_features, read_stimulus_set, read_table
    from neurovis.plotting import plot_words, write_figure, write_report_table

    tables = {
        kind: read_table(captions / f"{kind}.tsv", required=("neuroid_id", "region", "caption", "agreement"))
        for kind in ("increase", "suppress", "permuted")
    }
    base = read_table(captions / "random_images.tsv", required=("caption",))["caption"].tolist()
    record = make_provenance("captioning evaluate", {"seed": seed}, {"captions": captions / "increase.tsv"})
    own = tables["increase"]
    own = own[own["agreement"].isna() | (own["agreement"] >= least_agreement)]
    if own.empty:
        raise ValueError(
            f"captions must hold voxels whose repeats agree at {least_agreement:g}, got none; take a larger "
            "bank or a lower inverse_temperature."
        )
    regions = sorted(own["region"].unique(), key=rank_region)
    words = pd.concat(
        [
            compute_word_log_odds(own.loc[own["region"] == name, "caption"].tolist(), base).assign(
                region=name
            )
            for name in regions
        ],
        ignore_index=True,
    )
    write_report_table(
        words[words["z"] > 1.96].groupby("region", sort=False).head(5),
        out / "words.tsv",
        title=f"Words of each region, subject {subject}",
        caption="Nouns that captions of a region's voxels hold more often than captions of random images, by "
        "log-odds with an informative Dirichlet prior (Monroe et al. 2008), 95 % intervals; the first five.",
        section=section, order=100, provenance=record,
    )  # fmt: skip
    write_figure(
        plot_words(words),
        out / "words.png",
        title=f"Words that voxels are captioned with, subject {subject}",
        caption="Nouns by their log-odds against captions of random images; blue where z > 1.96.",
        section=section, order=1, provenance=record,
    )  # fmt: skip

    first = own[own["repeat"] == 0].set_index("neuroid_id")
    persons = own.assign(person=compute_word_fraction(own["caption"].to_numpy()[None])).groupby("neuroid_id")
    fraction = persons["person"].mean().loc[first.index]
    score = read_encoding(encoding).score.values
    _draw_surface(fraction, score, out, subject, section, record)
    summary = summarise_by_region(fraction.to_numpy(), first["region"].tolist(), seed=seed)
    summary = summary.rename(columns={"mean": "person_words", "low": "person_low", "high": "person_high"})
    diversity = {
        name: compute_diversity(own.loc[own["region"] == name, "caption"].tolist()) for name in regions
    }
    summary = summary.join(pd.DataFrame(diversity).T, how="left").loc[regions].reset_index(names="region")
    if bank_stimuli is not None and truth is not None:
        known = read_stimulus_set(bank_stimuli).table
        named = score_category_captions(
            tables, _find_preference(truth, read_stimulus_set(stimuli).table),
            find_marker_words(known["caption"], known["subtype"]), seed=seed,
        )  # fmt: skip
        write_report_table(
            named,
            out / "categories.tsv",
            title=f"Captions against the planted preference, subject {subject}",
            caption="Share of captions whose main thing is of the category to which the noise-free response "
            "is largest, for captions of weights, of negated and of permuted weights, with 95 % intervals "
            "(bootstrap over voxels); chance: the same captions exchanged between voxels.",
            section=section, order=101, provenance=record,
        )  # fmt: skip
        typer.echo(named.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    write_report_table(
        summary,
        out / "summary.tsv",
        title=f"Captions by region, subject {subject}",
        caption="Share of captions with a word for a person, with 95 % intervals over voxels, and how many "
        "captions differ.",
        section=section, order=102, provenance=record,
    )  # fmt: skip

    shown = read_stimulus_set(stimuli)
    held_out = shown.table.index[shown.table["split"] == "test"].tolist()
    space = read_features(features, stimulus_ids=held_out)
    ids = score["neuroid_id"].values.astype(str)
    fitted = read_encoder(weights, neuroid_ids=ids.tolist())
    column = {name: number for number, name in enumerate(ids)}
    predicted = fitted.predict(space.values)[:, [column[name] for name in first.index]]
    towers = build_features(texts, parse_options(texts_options))
    identified = identify_voxels(
        embed_captions(first["caption"].tolist(), lambda batch: _embed_texts(towers, batch)),
        space.values, predicted, first["region"].tolist(), seed=seed,
    ).summary.reset_index(names="among")  # fmt: skip
    write_report_table(
        identified,
        out / "identification.tsv",
        title=f"From the caption back to the voxel, subject {subject}",
        caption=f"Captions' profiles over {len(held_out)} held-out images against predicted responses: share "
        "of other voxels that the right one beats (chance 0.5), with p from exchanged captions.",
        section=section, order=103, provenance=record,
    )  # fmt: skip
    typer.echo(identified.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    typer.echo(f"{np.unique(own['caption']).size} different captions of {len(first)} voxels; in {out}")


def _embed_texts(towers: Any, texts: Sequence[str]) -> NDArray:
    import pandas as pd

    from neurovis.core import StimulusSet

    index = pd.Index([f"text-{number}" for number in range(len(texts))], name="stimulus_id")
    table = pd.DataFrame({"path": "", "caption": list(texts)}, index)
    (found,) = towers(StimulusSet("captions", table, Path(), (1.0, 1.0))).values()
    return found.values


def _find_preference(truth: Path, world: pd.DataFrame) -> dict[str, str]:
    """Category to which each vertex responds most without noise."""
    from neurovis.datasets.simulated import compute_category_preference, read_truth

    known = read_truth(truth)
    categories = world.loc[list(known.stimulus_ids), "category"].tolist()
    preferred = compute_category_preference(known.responses, categories)["preferred"]
    return dict(zip(known.subject.neuroid_ids, preferred, strict=True))


def _draw_surface(
    fraction: pd.Series, values: xr.DataArray, out: Path, subject: str, section: str, record: dict[str, Any]
) -> None:
    """Map of person words, where voxels are vertices of fsaverage5."""
    import numpy as np

    from neurovis.plotting import plot_surface_map, write_figure

    if "vertex" not in values.coords or values.attrs.get("space") == "fsaverage":
        return
    ids = values["neuroid_id"].values.astype(str)
    shown = fraction.reindex(ids).to_numpy()
    if not np.isfinite(shown).any():
        return
    axes = plot_surface_map(
        shown, vertices=values["vertex"].values, regions=values["region"].values, vmin=0.0, vmax=1.0,
        label="share of captions with a word for a person",
    )  # fmt: skip
    write_figure(
        axes, out / "persons.png", title=f"Words for persons on the cortex, subject {subject}",
        caption="Share over repeats of captions that name a person; voxels that pass the gates.",
        section=section, order=2, provenance=record,
    )  # fmt: skip
