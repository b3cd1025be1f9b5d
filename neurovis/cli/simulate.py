"""The simulated cortex: a real BIDS data set, its truth beside it, and the network behind the truth."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "simulate"
app = typer.Typer(help="Simulated subjects with known selectivity.", no_args_is_help=True)


@app.command("bids-dataset")
def write_dataset(
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set."),
    out: Path = typer.Option(..., help="Folder of the BIDS data set."),
    subjects: str = typer.Option(..., help="Comma-separated labels of all participants."),
    t_r: float = typer.Option(1.5, help="Repetition time [s]."),
    seed: int = typer.Option(0, help="Seed of the simulation."),
) -> None:
    """Write the description, the participants and the stimuli of a BIDS data set."""
    from neurovis.datasets.simulated.bids import write_bids_dataset
    from neurovis.io import read_stimulus_set

    write_bids_dataset(out, read_stimulus_set(stimuli), subjects.split(","), t_r=t_r, seed=seed)
    typer.echo(f"data set in {out}")


@app.command("bids-subject")
def write_subject(
    subject: str = typer.Option(..., help="Label of the subject."),
    stimuli: Path = typer.Option(..., help="Folder of the stimulus set, with the column `split`."),
    bids: Path = typer.Option(..., help="Folder of the BIDS data set."),
    truth: Path = typer.Option(..., help="Folder of the truth; outside the data set."),
    n_train: int = typer.Option(720, help="Images of the split `train` that are shown, once each."),
    n_test: int = typer.Option(60, help="Images of the split `test` that are shown."),
    n_test_repeats: int = typer.Option(4, help="Presentations of each held-out image."),
    n_runs: int = typer.Option(10, help="Runs; two sessions."),
    t_r: float = typer.Option(1.5, help="Repetition time [s]."),
    bold: str = typer.Option("surface", help="surface (GIFTI) or volume (NIfTI)."),
    seed: int = typer.Option(0, help="Seed of the simulation."),
    replace: bool = typer.Option(False, help="Delete the subject's runs of another configuration."),
) -> None:
    """Scan one subject: BOLD runs, events, confounds, side-cars. Complete runs are kept."""
    import shutil
    from functools import partial

    from neurovis.core import OtherConfigurationError, check_option
    from neurovis.datasets.simulated import make_subject, make_trial_design
    from neurovis.datasets.simulated.bids import write_bids_subject
    from neurovis.datasets.simulated.bold import Acquisition
    from neurovis.io import read_stimulus_set

    check_option("n_runs", n_runs % 2, [0], remedy="two sessions share the runs, pass an even number")
    shown = read_stimulus_set(stimuli)
    by_split = shown.table.groupby("split").groups
    train, test = list(by_split["train"])[:n_train], list(by_split["test"])[:n_test]
    n_repeats = {**dict.fromkeys(train, 1), **dict.fromkeys(test, n_test_repeats)}
    design = make_trial_design(
        [*train, *test], n_repeats=n_repeats, n_sessions=2, n_runs=n_runs // 2, seed=seed
    )
    scan = partial(
        write_bids_subject,
        bids,
        make_subject(subject, seed=seed),
        shown,
        design,
        truth=truth,
        seed=seed,
        acquisition=Acquisition(t_r=t_r),
        format=bold,
    )
    try:
        folder = scan()
    except OtherConfigurationError:
        if not replace:
            raise
        for old in bids.glob(f"**/sub-{subject}"):
            shutil.rmtree(old)
        folder = scan()
    typer.echo(f"{len(design)} trials in {folder}, truth in {truth}")


@app.command("train-evidence")
def train_evidence(
    out: Path = typer.Option(Path("models/simulated-cortex-evidence"), help="Folder of weights and card."),
    n_images: int = typer.Option(5000, help="Scenes to train on."),
    n_epochs: int = typer.Option(12, help="Passes over them."),
    seed: int = typer.Option(0, help="Seed of initial weights and order."),
) -> None:
    """Train the network that the category regions of the simulated cortex respond by."""
    from neurovis.datasets.simulated.evidence_training import train_evidence_network

    train_evidence_network(out, n_images=n_images, n_epochs=n_epochs, seed=seed)
    typer.echo(f"weights and card in {out}")
