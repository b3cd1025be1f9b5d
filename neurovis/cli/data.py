"""Published data sets: list them, and bring one into the form that every later step reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurovis.core import StimulusSet

NAME = "data"
app = typer.Typer(help="Published data sets.", no_args_is_help=True)


@app.command("list")
def list_datasets() -> None:
    """List the data sets in the catalog with the question that each answers."""
    from neurovis import catalog
    from neurovis.datasets.cards import read_card

    for name in catalog.datasets:
        answers = "seeds alone; no files" if name == "simulated" else read_card(name).answers
        typer.echo(f"{name:<22} {answers}")


@app.command("check")
def check(dataset: str, root: Path | None = typer.Option(None, help="Folder above the data set.")) -> None:
    """Compare every file of a data set with the SHA-256 on its card."""
    from neurovis.datasets.cards import check_dataset_files

    files = check_dataset_files(dataset, root)
    typer.echo(f"{dataset}: {len(files)} files are as published")


@app.command("stimuli")
def gather_stimuli(
    dataset: str = typer.Option(..., help="Catalog name."),
    subjects: str = typer.Option(..., help="Comma-separated subjects whose stimuli are gathered."),
    out: Path = typer.Option(..., help="Folder of the stimulus set."),
    root: Path | None = typer.Option(None, help="Folder above the data set."),
    options: str = typer.Option("{}", help='Choices of the loader as JSON, e.g. \'{"roi": "streams"}\'.'),
) -> None:
    """Write the stimuli of a data set as one folder."""
    from neurovis.cli.names import parse_options
    from neurovis.core import make_provenance
    from neurovis.io import gather_stimulus_sets

    load = _find_stimuli_loader(dataset, parse_options(options))
    names = [name.strip() for name in subjects.split(",")]
    if "" in names:
        raise ValueError(f"subjects must be names between commas, got {subjects!r}; take out the empty one.")
    sets = [load(subject=subject, root=root) for subject in names]
    record = make_provenance("data stimuli", {"dataset": dataset, "subjects": subjects, "options": options})
    stimuli = gather_stimulus_sets(sets, out, name=dataset, provenance=record)
    typer.echo(f"{len(stimuli)} stimuli in {out}")


@app.command("load")
def load_responses(
    dataset: str = typer.Option(..., help="Catalog name."),
    subject: str = typer.Option(..., help="Subject or session."),
    out: Path = typer.Option(..., help="netCDF file of the responses."),
    root: Path | None = typer.Option(None, help="Folder above the data set."),
    options: str = typer.Option("{}", help="Choices of the loader as JSON."),
) -> None:
    """Write the responses of one subject as NeuralData."""
    from neurovis import catalog
    from neurovis.cli.names import parse_options
    from neurovis.core import make_provenance
    from neurovis.io import write_neural_data

    load, choices = catalog.datasets.load(dataset), parse_options(options)
    _check_choices(dataset, load, choices)
    _, responses = load(subject=subject, root=root, **choices)
    record = make_provenance("data load", {"dataset": dataset, "subject": subject, "options": options})
    write_neural_data(responses, out, provenance=record)
    typer.echo(f"{responses.shape[0]} rows x {responses.shape[1]} neuroids in {out}")


def _find_stimuli_loader(dataset: str, choices: dict[str, Any]) -> Callable[..., StimulusSet]:
    """What reads the stimuli by these choices of the loader, without responses where that is possible."""
    import inspect

    from neurovis import catalog

    load = catalog.datasets.load(dataset)
    _check_choices(dataset, load, choices)
    if dataset not in catalog.stimulus_sets:
        return lambda **where: load(**where, **choices)[0]
    load_stimuli = catalog.stimulus_sets.load(dataset)
    own = {key: choices[key] for key in inspect.signature(load_stimuli).parameters if key in choices}
    return lambda **where: load_stimuli(**where, **own)


def _check_choices(dataset: str, load: Callable[..., Any], choices: dict[str, Any]) -> None:
    import inspect

    known = [name for name in inspect.signature(load).parameters if name not in ("subject", "root")]
    unknown = sorted(set(choices) - set(known))
    if unknown:
        raise ValueError(
            f"data set {dataset!r} has no option {unknown[0]!r}, only {', '.join(known) or 'none'}."
        )
