"""Models of motion: training, physiology, flow beside its truth, and movies in the cortex."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurovis.motion.protocols import FlowModel, MotionUnits

NAME = "motion"
SECTION = "Motion"
app = typer.Typer(help="Models of motion.", no_args_is_help=True)


@app.command("train-v1mt")
def train_v1mt(
    out: Path = typer.Option(Path("models/v1mt-small"), help="Folder of weights and card."),
    size: str = typer.Option("small", help="small (64 px, for a processor) or paper (256 px)."),
    n_epochs: int = typer.Option(36, help="Passes, each over new movies."),
    n_movies: int = typer.Option(50, help="Generated movies of a pass, eight samples each."),
    seed: int = typer.Option(0, help="Seed of initial weights."),
    device: str = typer.Option("cpu", help="Torch device, e.g. cuda."),
    amp: bool = typer.Option(False, "--amp", help="Integrate in bfloat16."),
    sintel: Path = typer.Option(None, help="Folder of MPI Sintel, to train on too."),
    kitti: Path = typer.Option(None, help="Folder of KITTI flow 2015 with its multi-view frames, likewise."),
    checkpoint: Path = typer.Option(None, help="File that a killed run resumes from."),
) -> None:
    """Train motion energy and recurrent attention on generated motion; write weights and card.

    OpenCV's classical flow is measured on the same movies.
    """
    from neurovis.core import check_option
    from neurovis.motion.classical import DISFlow, FarnebackFlow, LucasKanadeFlow
    from neurovis.motion.flow_io import list_kitti, list_sintel
    from neurovis.motion.flow_quality import format_quality
    from neurovis.motion.flow_training import train_v1mt as train
    from neurovis.motion.v1mt import SIZES

    # FlyingThings3D cannot serve: its movies are a frame shorter than what the network sees.
    n_frames = SIZES[check_option("size", size, SIZES)].n_frames
    published = [
        sample
        for root, find in ((sintel, list_sintel), (kitti, list_kitti))
        if root is not None
        for sample in find(root, n_frames=n_frames)
    ]
    quality = train(
        out, size=size, n_epochs=n_epochs, n_movies=n_movies, seed=seed, device=device, amp=amp,
        published=published, checkpoint=checkpoint, peers=(FarnebackFlow(), DISFlow(), LucasKanadeFlow()),
    )  # fmt: skip
    typer.echo(format_quality(quality["end_point_error_px"]))
    typer.echo(f"weights and card in {out}")


@app.command("physiology")
def examine(
    out: Path = typer.Option(..., help="Folder of tables and figures."),
    section: str = typer.Option(SECTION, help="Section of the report."),
    seed: int = typer.Option(0, help="Seed of the intervals."),
) -> None:
    """Put the shipped V1-MT model and constructed units through the physiologist's experiments."""
    import numpy as np
    import pandas as pd

    from neurovis.core import make_provenance
    from neurovis.motion.energy_units import EnergyUnits
    from neurovis.motion.neurophysiology import Screen, examine_units, summarise_stages
    from neurovis.motion.neurophysiology_illusions import measure_illusions
    from neurovis.motion.v1mt import load_v1mt
    from neurovis.plotting import (
        plot_direction_tuning,
        plot_frequency_map,
        plot_pattern_plane,
        write_figure,
        write_report_table,
    )

    record = make_provenance("motion physiology", {"seed": seed})
    models: list[MotionUnits] = [EnergyUnits([30.0 * step for step in range(12)]), load_v1mt()]
    screens = [Screen(border=14), Screen(border=1)]
    grid: dict[str, Any] = {
        "spatial_frequencies_cpp": [0.025, 0.05, 0.1, 0.2],
        "temporal_frequencies_cpf": [0.03125, 0.0625, 0.125, 0.25],
    }
    measured = [
        examine_units(units, screen=screen, **grid) for units, screen in zip(models, screens, strict=True)
    ]
    table = pd.concat([result.table for result in measured], ignore_index=True)
    write_report_table(
        summarise_stages(table, seed=seed),
        out / "stages.tsv",
        title="Units of models of motion, stage by stage",
        caption="Shares of pattern, component, speed-tuned and separable units (Smith et al. 2005; Priebe et "
        "al. 2003); medians over units that respond, with 95 % bootstrap intervals over units.",
        section=section,
        order=11,
        provenance=record,
    )
    gratings = {f"{models[0].name}, v1": measured[0].gratings["v1"]}
    gratings |= {f"{models[1].name}, {stage}": values for stage, values in measured[1].gratings.items()}
    last = list(gratings)[-1]
    chosen = {name: gratings[name] for name in dict.fromkeys([*list(gratings)[:2], last])}
    curves = {}
    for name, values in chosen.items():
        # Every unit's curve at its best frequencies, turned so that its best direction is to the right.
        best = values.max(("spatial_frequency_cpp", "temporal_frequency_cpf")).values
        curves[name] = np.mean([np.roll(row, -row.argmax()) for row in best if row.max() > 0], axis=0)
    directions = next(iter(gratings.values()))["direction_deg"].values
    write_figure(
        plot_direction_tuning(curves, directions),
        out / "direction.png",
        title="Direction tuning",
        caption="Mean over units of the response to drifting gratings at their best frequencies, every "
        "unit's best direction turned to the right.",
        section=section,
        order=1,
        provenance=record,
    )
    write_figure(
        plot_pattern_plane(
            table["z_component"],
            table["z_pattern"],
            groups=(table["model"] + ", " + table["stage"]).to_numpy(dtype=str),
        ),
        out / "plaids.png",
        title="Plaids: pattern and component units",
        caption="Fisher z of partial correlations of each unit's plaid tuning with both predictions; beyond "
        "the lines a unit follows the pattern or its components (Smith et al. 2005).",
        section=section,
        order=2,
        provenance=record,
    )
    unit = gratings[last].max(("direction_deg", "spatial_frequency_cpp", "temporal_frequency_cpf")).argmax()
    own = gratings[last][int(unit)].max("direction_deg")
    write_figure(
        plot_frequency_map(
            own.values, own["spatial_frequency_cpp"].values, own["temporal_frequency_cpf"].values
        ),
        out / "frequencies.png",
        title="Spatial and temporal frequency",
        caption=f"Response of the most responsive unit of {last} to gratings in its best direction.",
        section=section,
        order=3,
        provenance=record,
    )
    illusions = pd.concat(
        [measure_illusions(units, screen=screen) for units, screen in zip(models, screens, strict=True)],
        ignore_index=True,
    )
    write_report_table(
        illusions,
        out / "illusions.tsv",
        title="Motion illusions",
        caption="Direction that a population readout reports, from the physical one, and what people report; "
        "consistency is 1 where the shift is the same in every direction.",
        section=section,
        order=12,
        provenance=record,
    )
    typer.echo(f"tables and figures in {out}")


@app.command("compare-flow")
def compare_flow(
    out: Path = typer.Option(..., help="Folder of table and figures."),
    n_movies: int = typer.Option(8, help="Generated movies of each kind of motion."),
    section: str = typer.Option(SECTION, help="Section of the report."),
    seed: int = typer.Option(1000, help="Seed of the movies; not one that the model was trained with."),
) -> None:
    """Measure the shipped V1-MT model and classical flow on generated movies with exact flow."""
    import pandas as pd

    from neurovis.core import make_provenance
    from neurovis.motion.classical import DISFlow, FarnebackFlow, LucasKanadeFlow
    from neurovis.motion.flow_quality import measure_flow
    from neurovis.motion.flow_training_data import make_flow_movie
    from neurovis.motion.v1mt import load_v1mt
    from neurovis.plotting import plot_flow_fields, write_figure, write_report_table

    ours = load_v1mt()
    models = (ours, FarnebackFlow(), DISFlow(), LucasKanadeFlow())
    measured = measure_flow(models, n_movies=n_movies, seed=seed)
    record = make_provenance("motion compare-flow", {"n_movies": n_movies, "seed": seed})
    table = pd.DataFrame(measured).T.rename_axis("model").reset_index()
    write_report_table(
        table,
        out / "flow.tsv",
        title="Flow of generated movies",
        caption=f"Mean end-point error [px per frame] over {n_movies} new movies of each kind, 64 px wide; "
        "zero flow says how fast things are.",
        section=section,
        order=13,
        provenance=record,
    )
    moment = (ours.n_frames - 1) // 2
    rows = []
    for kind in [name for name in table.columns if name not in ("model", "all")]:
        movie = make_flow_movie(seed, n_movies, kind=kind, n_frames=ours.n_frames)
        start = {model.name: moment - (model.n_frames - 1) // 2 for model in models}
        flows = {"truth": movie.flow[moment]}
        for model in models[:2]:
            flows[model.name] = model(movie.frames[start[model.name] : start[model.name] + model.n_frames])
        rows.append((kind, movie.frames[moment], flows))
    write_figure(
        plot_flow_fields(rows),
        out / "flow.png",
        title="What moves, as it is and as models see it",
        caption="Middle frame of a new movie of each kind, its exact flow, and the flow of the shipped V1-MT "
        "model and of Farneback's method; colours as in the key, one scale in a row.",
        section=section,
        order=4,
        provenance=record,
    )
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("compare-people")
def compare_people(
    movies: Path = typer.Option(..., help="Folder with a video, .npy or folder for each slow movie."),
    out: Path = typer.Option(..., help="Folder of table and figures."),
    model: list[str] = typer.Option(
        ["v1mt", "farneback", "dis", "lucas-kanade"],
        help="v1mt, farneback, dis, lucas-kanade, raft-small, raft-large or raft-random; repeatable.",
    ),
    root: Path | None = typer.Option(None, help="Folder above the data set of reports, perceived_flow."),
    n_bootstraps: int = typer.Option(1000, help="Resamples of the probes, for intervals."),
    n_permutations: int = typer.Option(1000, help="Permutations of people's deviations, for the null."),
    section: str = typer.Option(SECTION, help="Section of the report."),
    seed: int = typer.Option(0, help="Seed of both."),
) -> None:
    """Score models against the motion that people report in slow movies of Sintel, the truth held fixed."""
    from neurovis.core import make_provenance
    from neurovis.datasets.perceived_flow import SINTEL_SIZE_PX, load_perceived_flow
    from neurovis.evaluation.flow_models import score_flow_models
    from neurovis.plotting import plot_flow_reports, write_figure, write_report_table

    probes = load_perceived_flow(root=root).sintel_slow
    found = score_flow_models(
        [_make_flow_model(name) for name in model], movies, probes.assign(frame=probes["frame"] - 1),
        size_px=SINTEL_SIZE_PX, n_bootstraps=n_bootstraps, n_permutations=n_permutations, seed=seed,
    )  # fmt: skip
    choices = {"models": model, "n_bootstraps": n_bootstraps, "n_permutations": n_permutations, "seed": seed}
    record = make_provenance("motion compare-people", choices)
    write_report_table(
        found.table,
        out / "people.tsv",
        title="Models of motion beside people",
        caption="Agreement with reports at 36 probes in each slow movie of Sintel, with 95 % intervals over "
        "probes; partial correlations and the response consistency index ask for what people see beyond the "
        "truth, and have a null in which their deviations belong to other probes.",
        section=section,
        order=16,
        provenance=record,
    )
    for number, (name, own) in enumerate(found.probes.groupby("model", sort=False)):
        write_figure(
            plot_flow_reports(
                own[["human_u", "human_v"]], own[["true_u", "true_v"]], own[["model_u", "model_v"]],
                model_name=str(name),
            ),
            out / f"people-{number}.png",
            title=f"Motion as people see it, and {name}",
            caption="Reported components of flow at the probes against those of the model.",
            section=section,
            order=8,
            provenance=record,
        )  # fmt: skip
    typer.echo(found.table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def _make_flow_model(name: str) -> FlowModel:
    from neurovis.core import check_option
    from neurovis.motion.classical import DISFlow, FarnebackFlow, LucasKanadeFlow
    from neurovis.motion.raft import make_raft
    from neurovis.motion.v1mt import load_v1mt

    builders: dict[str, Callable[[], FlowModel]] = {
        "v1mt": load_v1mt, "farneback": FarnebackFlow, "dis": DISFlow, "lucas-kanade": LucasKanadeFlow,
        "raft-small": make_raft, "raft-large": lambda: make_raft("large"),
        "raft-random": lambda: make_raft(pretrained=False),
    }  # fmt: skip
    return builders[check_option("model", name, builders)]()


@app.command("decode-flow")
def decode_flow(
    out: Path = typer.Option(..., help="Folder of table and figures."),
    seed: int = typer.Option(0, help="Seed of the simulated brain, its clips and the decoders."),
    n_train: int = typer.Option(900, help="Clips to learn from."),
    n_test: int = typer.Option(200, help="Held-out clips."),
    section: str = typer.Option(SECTION, help="Section of the report."),
) -> None:
    """Decode optical flow from simulated responses, and animate pictures with what was decoded."""
    from neurovis.core import make_provenance
    from neurovis.evaluation.flow_decoding import run_flow_decoding
    from neurovis.plotting import plot_film_strips, plot_flow_fields, write_figure, write_report_table

    found = run_flow_decoding(seed=seed, n_train=n_train, n_test=n_test)
    record = make_provenance("motion decode-flow", {"seed": seed, "n_train": n_train, "n_test": n_test})
    write_report_table(
        found.table,
        out / "decoding.tsv",
        title="Flow decoded from responses",
        caption="Mean end-point error on held-out clips [cells per step], inside the moving object, outside "
        "and everywhere; cosine of the angle inside; agreement of animated pictures with those moved by the "
        "true flow. Responses tell velocities, the first frame tells places; shuffled responses belong to "
        "other clips.",
        section=section,
        order=15,
        provenance=record,
    )
    shown = {name: flow for name, flow in found.flows.items() if name != "zero flow"}
    rows = [
        (f"clip {number}", picture, {name: flow[number] for name, flow in shown.items()})
        for number, picture in enumerate(found.pictures)
    ]
    write_figure(
        plot_flow_fields(rows, unit="cells per step"),
        out / "decoding.png",
        title="Flow decoded from responses",
        caption="First frames of held-out clips, their true flow and what is decoded from responses and "
        "frame or from the frame alone; a cell is an eighth of the picture.",
        section=section,
        order=6,
        provenance=record,
    )
    write_figure(
        plot_film_strips({name: movie[0] for name, movie in found.movies.items()}),
        out / "animation.png",
        title="A picture animated by decoded flow",
        caption="The first frame of the first clip, carried along by the true flow, by none, and by what is "
        "decoded from responses and frame or from the frame alone.",
        section=section,
        order=7,
        provenance=record,
    )
    typer.echo(found.table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("encode-movies")
def encode_movies(
    seed: int = typer.Option(..., help="Seed of movies, subject and noise."),
    out: Path = typer.Option(..., help="TSV table."),
    n_movies: int = typer.Option(40, help="Movies of the world, a quarter of them held out."),
    n_repeats: int = typer.Option(3, help="Repeats of every clip to learn from."),
) -> None:
    """Split the responses of hMT and V1 to movies into motion and pattern, beside what was planted."""
    import tempfile

    from neurovis.core import make_provenance
    from neurovis.evaluation.movie_recovery import run_movie_recovery
    from neurovis.io import write_table

    with tempfile.TemporaryDirectory() as folder:
        table = run_movie_recovery(folder, seed=seed, n_movies=n_movies, n_repeats=n_repeats)
    choices = {"seed": seed, "n_movies": n_movies, "n_repeats": n_repeats}
    write_table(table, out, provenance=make_provenance("motion encode-movies", choices))
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


@app.command("summarise-movies")
def summarise_movies(
    recovery: list[Path] = typer.Option(..., help="Tables of `motion encode-movies`; repeatable."),
    out: Path = typer.Option(..., help="Folder of table and figure."),
    section: str = typer.Option(SECTION, help="Section of the report."),
) -> None:
    """Show over seeds how well motion and pattern are told apart."""
    import pandas as pd

    from neurovis.io import read_table
    from neurovis.plotting import plot_recovery, write_figure, write_report_table

    table = pd.concat([read_table(path) for path in recovery], ignore_index=True)
    caption = (
        "Share of motion in the variance that banded ridge explains of held-out movies (product measure), "
        "and in the noise-free response, with a subject and movies of their own for each seed"
    )
    write_report_table(
        table,
        out / "movies.tsv",
        title="Motion against pattern in hMT and V1",
        caption=f"{caption}; static and motion are shares of the explainable variance.",
        section=section,
        order=14,
    )
    write_figure(
        plot_recovery(
            table["true_motion"], table["share"], groups=table["region"].to_numpy(dtype=str),
            label="share of motion",
        ),
        out / "movies.png",
        title="How much of the response is motion",
        caption=f"{caption}.",
        section=section,
        order=5,
    )  # fmt: skip
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
