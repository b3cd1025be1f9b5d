"""A flow model scored against planted reports in movies whose flow is known exactly."""

import numpy as np
import pandas as pd
import pytest

from neurovis.evaluation.flow_models import compute_flow_at, score_flow_model, score_flow_models
from neurovis.stimuli.world_movies import make_movie


class ShownFlow:
    """The movie's own flow with something done to it; the movie is found by its middle frame."""

    n_frames = 3

    def __init__(self, name, movies, change):
        self.name, self.movies, self.change = name, movies, change

    def __call__(self, frames):
        for movie in self.movies.values():
            same = (movie.frames == frames[1]).all(axis=(1, 2, 3))
            if same.any():
                return self.change(movie.flow[same.argmax()]).astype(np.float32)
        raise AssertionError("frames of no movie")


def turn(flow):
    """People as planted: slower, and turned by 15 degrees."""
    angle = np.deg2rad(15)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return 0.7 * flow @ rotation.T


@pytest.fixture(scope="module")
def movies():
    return {
        kind: make_movie(3, 10 + k, kind=kind, n_frames=5, size_px=48)
        for k, kind in enumerate(("rotation", "expansion", "translation"))
    }


@pytest.fixture(scope="module")
def probes(movies):
    rng = np.random.default_rng(1)
    tables = []
    for name, movie in movies.items():
        y, x = np.nonzero(movie.valid[2])
        pick = rng.choice(len(y), 60, replace=False)
        truth = movie.flow[2][y[pick], x[pick]]
        human = turn(truth) + rng.normal(scale=0.05, size=truth.shape)
        table = pd.DataFrame({"movie": name, "frame": 2, "x_px": x[pick] + 0.2, "y_px": y[pick] - 0.2})
        tables.append(
            table.assign(human_u=human[:, 0], human_v=human[:, 1], true_u=truth[:, 0], true_v=truth[:, 1])
        )
    return pd.concat(tables, ignore_index=True).assign(block=np.repeat(np.arange(18), 10))


def score(model, movies, probes, **options):
    frames = {name: movie.frames for name, movie in movies.items()}
    return score_flow_model(model, frames, probes, n_bootstraps=20, n_permutations=39, **options)


def test_a_model_that_sees_as_people_do_reaches_the_planted_correlation(movies, probes):
    found = score(ShownFlow("turned", movies, turn), movies, probes, group="block")
    table = found.table
    # What people do beyond the truth is the turn and the slowing, but for their noise.
    human, truth = (probes[[f"{k}_u", f"{k}_v"]].to_numpy() for k in ("human", "true"))
    design = np.column_stack([np.ones(2 * len(truth)), truth.T.ravel()])

    def leave(values):
        stacked = values.T.ravel()
        return stacked - design @ np.linalg.lstsq(design, stacked, rcond=None)[0]

    planted = np.corrcoef(leave(human), leave(turn(truth)))[0, 1]
    assert table.loc["partial_uv", "value"] == pytest.approx(planted, abs=1e-5)
    assert table.loc["partial_uv", "value"] > 0.9
    assert table.loc["partial_uv", "p_value"] == 1 / 40
    assert table.loc["epe_model", "value"] < 0.1 < table.loc["epe_truth", "value"]
    assert table.loc["partial_uv", "null_95"] < 0.3
    assert (table["model"] == "turned").all()
    assert np.isnan(table.loc["r_truth", "p_value"])


def test_a_model_that_knows_the_truth_only_scores_nothing_beyond_it(movies, probes):
    rng = np.random.default_rng(2)
    exact = score(ShownFlow("exact", movies, lambda flow: flow), movies, probes).table
    assert exact.loc["partial_uv", "value"] == 0
    assert exact.loc["rci", "value"] == pytest.approx(0, abs=1e-6)
    noisy = ShownFlow("noisy", movies, lambda flow: flow + rng.normal(scale=0.2, size=flow.shape))
    table = score(noisy, movies, probes).table
    assert table.loc["r_model", "value"] > 0.8
    assert abs(table.loc["partial_uv", "value"]) < 0.2
    against = score(ShownFlow("against", movies, lambda flow: 2 * flow - turn(flow)), movies, probes).table
    assert against.loc["partial_uv", "value"] < -0.9
    assert against.loc["rci", "value"] < 0


def test_the_nearest_pixel_of_the_probed_frame_is_read(movies, probes):
    found = score(ShownFlow("exact", movies, lambda flow: flow), movies, probes).probes
    np.testing.assert_allclose(found[["model_u", "model_v"]], probes[["true_u", "true_v"]], atol=1e-6)


def test_movies_in_files_give_the_same_at_any_size(movies, probes, tmp_path):
    from PIL import Image

    models = [ShownFlow("as people", movies, turn), ShownFlow("exact", movies, lambda flow: flow)]
    for name, movie in movies.items():
        np.save(tmp_path / f"{name}.npy", movie.frames)
    (tmp_path / "rotation.npy").unlink()
    (tmp_path / "rotation").mkdir()
    for number, frame in enumerate(movies["rotation"].frames):
        Image.fromarray(frame).save(tmp_path / "rotation" / f"{number:04d}.png")
    # Reports at twice the resolution: places and flows are twice as far apart.
    places = {name: (probes[name] + 0.5) * 2 - 0.5 for name in ("x_px", "y_px")}
    flows = {f"{kind}_{axis}": 2 * probes[f"{kind}_{axis}"] for kind in ("human", "true") for axis in "uv"}
    found = score_flow_models(
        models,
        tmp_path,
        probes.assign(**places, **flows),
        size_px=(96, 96),
        n_bootstraps=20,
        n_permutations=39,
    )
    direct = [score(model, movies, probes) for model in models]
    for own in direct:
        name = own.table["model"].iloc[0]
        table = found.table[found.table["model"] == name].set_index("score")
        np.testing.assert_allclose(table["value"], own.table["value"], atol=1e-9)
        np.testing.assert_allclose(table["p_value"], own.table["p_value"])
    assert len(found.probes) == 2 * len(probes)
    options = {"size_px": (48, 48), "n_bootstraps": 2, "n_permutations": 2}
    with pytest.raises(FileNotFoundError, match=r"no movie 'rotation' in .*put a video"):
        score_flow_models(models, tmp_path / "none", probes, **options)
    with pytest.raises(ValueError, match="aspect of 48 x 60 px, got 48 x 48"):
        score_flow_models(models, tmp_path, probes, **{**options, "size_px": (48, 60)})
    with pytest.raises(ValueError, match="1 frames before them, got 0"):
        score_flow_models(models, tmp_path, probes.assign(frame=0), **options)
    with pytest.raises(ValueError, match="start and stop must lie within the 5 frames"):
        score_flow_models(models, tmp_path, probes.assign(frame=4), **options)
    with pytest.raises(ValueError, match="models must hold at least one"):
        score_flow_models([], tmp_path, probes, **options)


def test_people_on_the_command_line(tmp_path):
    from miniature_perceived_flow import make_perceived_flow
    from typer.testing import CliRunner

    from neurovis import cli

    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (131, 54, 128, 3), dtype=np.uint8)
    (tmp_path / "movies").mkdir()
    for name in ("ambush_2", "ambush_4", "cave_4"):
        np.save(tmp_path / "movies" / f"{name}.npy", frames)
    arguments = [
        "motion", "compare-people", "--movies", str(tmp_path / "movies"), "--out", str(tmp_path / "out"),
        "--root", str(make_perceived_flow(tmp_path)), "--model", "farneback", "--model", "v1mt",
        "--n-bootstraps", "5", "--n-permutations", "9",
    ]  # fmt: skip
    output = CliRunner().invoke(cli.app, arguments, catch_exceptions=False).output
    table = pd.read_csv(tmp_path / "out" / "people.tsv", sep="\t", comment="#")
    assert set(table["model"]) == {"Farneback", "v1mt-small"}
    assert {"partial_uv", "rci", "epe_model", "rho_model"} <= set(table["score"])
    assert np.isfinite(table[["value", "low", "high"]]).all(axis=None)
    assert (tmp_path / "out" / "people-1.png").is_file()
    assert "partial_uv" in output


def test_wrong_input_is_refused(movies, probes):
    model = ShownFlow("exact", movies, lambda flow: flow)
    with pytest.raises(ValueError, match=r"none of \['true_v'\]"):
        score(model, movies, probes.drop(columns="true_v"))
    with pytest.raises(ValueError, match="do not come with the reports"):
        score(model, movies, probes.assign(movie="ambush_2"))
    with pytest.raises(ValueError, match="x_px and y_px of 'rotation' must lie within its 48 x 48 px"):
        score(model, movies, probes.assign(x_px=48.0))
    with pytest.raises(ValueError, match="frame of probes must be whole numbers, got 2"):
        score(model, movies, probes.assign(frame=2.5))
    with pytest.raises(ValueError, match="frame of probes must be finite"):
        score(model, movies, probes.assign(frame=np.nan))
    flat = {name: movie.frames[:, :20] for name, movie in movies.items()}
    with pytest.raises(ValueError, match="height and width are swapped"):
        score_flow_model(model, flat, probes.assign(x_px=10.0, y_px=30.0))
    with pytest.raises(ValueError, match="pass a longer clip"):
        score(model, movies, probes.assign(frame=0))
    with pytest.raises(ValueError, match="flow of 'cut' must have shape"):
        compute_flow_at(ShownFlow("cut", movies, lambda flow: flow[1:]), movies["rotation"].frames, 1)
    with pytest.raises(TypeError, match="must be uint8"):
        score_flow_model(model, {name: m.frames / 255 for name, m in movies.items()}, probes)
