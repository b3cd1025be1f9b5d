"""fMRI: single-trial betas of a BIDS data set."""

from __future__ import annotations

from pathlib import Path

import typer

NAME = "fmri"
app = typer.Typer(help="From BOLD runs to single-trial betas.", no_args_is_help=True)


@app.command("glm")
def fit_glm(
    bids: Path = typer.Option(..., help="Root of the BIDS data set."),
    subject: str = typer.Option(..., help="Label of the subject."),
    out: Path = typer.Option(..., help="netCDF file of the betas."),
    method: str = typer.Option("lss", help="lss (one model per trial) or lsa (all trials in one)."),
    noise_model: str = typer.Option("ols", help="ols or ar1."),
    confounds: str = typer.Option("motion6", help="Confound set or comma-separated columns; empty for none."),
    space: str | None = typer.Option(None, help="Space of the images, e.g. fsaverage5."),
    regions: str | None = typer.Option(
        None, help="desc label of a segmentation; its labels are the regions."
    ),
    task: str | None = typer.Option(None, help="Task, where the data set has several."),
) -> None:
    """Fit the single-trial GLM of every run and write the betas as NeuralData."""
    from neurovis.core import make_provenance
    from neurovis.datasets.bids import load_bids
    from neurovis.datasets.single_trial import TrialGlm
    from neurovis.io import write_neural_data

    chosen = tuple(confounds.split(",")) if "," in confounds else confounds or ()
    glm = TrialGlm(method=method, noise_model=noise_model)
    _, betas = load_bids(
        subject=subject, root=bids, task=task, space=space, regions=regions, confounds=chosen, glm=glm
    )
    config = {"subject": subject, "method": method, "noise_model": noise_model, "confounds": confounds}
    write_neural_data(betas, out, provenance=make_provenance("fmri glm", config))
    typer.echo(f"{betas.shape[0]} trials x {betas.shape[1]} neuroids in {out}")
