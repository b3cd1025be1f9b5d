"""The report: one self-contained HTML page from everything under a results folder."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "report"
app = typer.Typer(help="One HTML page for people.", no_args_is_help=True)

_TEXTS = {
    "simulated": (
        "neurovis: the embedded default",
        (
            "Two simulated subjects were scanned into BIDS files and analysed like recorded ones, "
            "offline: single-trial GLM, feature spaces, encoding models, ceilings, RSA and Brain-Score's own "
            "metrics. Since the selectivity was planted, every result stands beside the truth."
        ),
        (
            "Parameter recovery",
            "Stimuli",
            "Encoding",
            "Selectivity",
            "Images that regions prefer",
            "Captions of voxels",
            "Motion",
            "Foveated vision",
            "Visual search",
            "Representational similarity",
            "Brain-Score metrics",
            "Recovered from BIDS files",
        ),
        (
            ("Run the same rules on published data:", "NEUROVIS_SHARED=/path/to/data make real"),
            ("Other subjects, sizes or seeds:", "snakemake --cores 4 --configfile mine.yaml"),
            ("On a cluster:", "snakemake --profile pipelines/profiles/slurm"),
            ("Every step as a command:", "neurovis --help"),
        ),
    ),
    "real": (
        "neurovis: published data",
        (
            "The rules of the embedded default on recorded data, and for each data set the analysis that "
            "answers its own question, with split, chance level, permutation null and interval."
        ),
        ("All studies",),
        (
            ("One study alone:", "neurovis study run --study haxby2001 --out results/mine"),
            ("Your own BIDS data set:", "neurovis fmri glm --bids DIR --subject 01 --out betas.nc"),
        ),
    ),
}


@app.command("build")
def build(
    results: Path = typer.Option(..., help="Folder searched for figures and tables."),
    out: Path = typer.Option(..., help="HTML file."),
    kind: str = typer.Option("simulated", help="simulated or real."),
    benchmarks: Path | None = typer.Option(None, help="Folder of Snakemake's benchmark files."),
    logs: Path | None = typer.Option(None, help="Folder of logs; those that end in an error are listed."),
    config: Path | None = typer.Option(None, help="Configuration to show."),
) -> None:
    """Gather every figure and table into one page; unfinished branches are listed with their reason."""
    import yaml

    from neurovis.core import check_option
    from neurovis.plotting import build_report

    title, summary, sections, steps = _TEXTS[check_option("kind", kind, _TEXTS)]
    packages = (
        "neurovis",
        "numpy",
        "xarray",
        "scikit-learn",
        "torch",
        "nilearn",
        "brainscore-vision",
        "snakemake",
    )
    versions = {name: _find_version(name) for name in packages}
    details = {"Versions": versions}
    if config is not None:
        details["Configuration"] = yaml.safe_load(config.read_text())
    build_report(
        results,
        out,
        title=title,
        summary=summary,
        kind=kind,
        sections=dict.fromkeys(sections, ""),
        benchmarks=benchmarks,
        failures=_find_failures(logs) if logs else (),
        details=details,
        next_steps=steps,
    )
    typer.echo(f"report in {out}")


def _find_version(package: str) -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _find_failures(logs: Path) -> list[tuple[str, str, Path]]:
    """Logs that end in an error message, a traceback or a kill: step, reason and the log."""
    mark = "neurovis: error: "
    failures = []
    for path in sorted(logs.rglob("*.log")):
        lines = path.read_text(errors="replace").rstrip().splitlines()
        if not lines:
            continue
        broken = any(line.startswith("Traceback (most recent call last)") for line in lines)
        if lines[-1].startswith((mark, "Killed")) or broken:
            step = path.relative_to(logs).with_suffix("").as_posix()
            failures.append((step, lines[-1].removeprefix(mark), path))
    return failures
