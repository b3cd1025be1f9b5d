"""The ``neurovis`` command: one file per domain, each command one step that a pipeline rule also runs.

A command parses, loads, calls one function and saves. Bad input ends it with one line that says why; give
``--traceback`` before the command to see where it was found.
"""

from __future__ import annotations

import os
import sys

import typer

from neurovis import __version__
from neurovis.cli import (
    captioning,
    data,
    encoding,
    evaluation,
    features,
    fmri,
    foveation,
    gaze,
    generation,
    motion,
    plot,
    report,
    simulate,
    stimuli,
    study,
)

app = typer.Typer(
    name="neurovis",
    help="Vision-neuroscience modelling workbench: from recorded brain data to a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    stimuli,
    simulate,
    data,
    fmri,
    features,
    encoding,
    evaluation,
    motion,
    generation,
    captioning,
    foveation,
    gaze,
    study,
    plot,
    report,
):
    app.add_typer(module.app, name=module.NAME)

_USER_ERRORS = (ValueError, TypeError, KeyError, OSError, ImportError)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
    traceback: bool = typer.Option(False, "--traceback", help="Show where an error was raised."),
) -> None:
    """Vision-neuroscience modelling workbench: from recorded brain data to a report."""
    if version:
        typer.echo(f"neurovis {__version__}")
        raise typer.Exit
    if traceback:
        os.environ["NEUROVIS_TRACEBACK"] = "1"


@app.command("catalog")
def list_catalog(kind: str = typer.Argument("", help="One kind only, e.g. features.")) -> None:
    """List every public name and where it lives."""
    from neurovis import catalog
    from neurovis.core import Registry, check_option

    registries = {name: value for name, value in vars(catalog).items() if isinstance(value, Registry)}
    if kind:
        check_option("kind", kind, registries)
    for name, registry in registries.items():
        if kind in ("", name):
            typer.echo(f"{name}:")
            for entry in registry:
                typer.echo(f"  {entry:<28} {registry.entries[entry]}")


def main() -> None:
    """Entry point: run the command, and turn bad input into one clear line and exit status 1."""
    try:
        app()
    except _USER_ERRORS as error:
        if os.environ.get("NEUROVIS_TRACEBACK"):
            raise
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        typer.echo(f"neurovis: error: {reason}", err=True)
        sys.exit(1)
