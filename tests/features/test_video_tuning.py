"""Video encoders trained on responses: what they learn, what stays frozen, and resuming."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from neurovis import cli
from neurovis.core import StimulusSet, average_repeats, make_neural_data
from neurovis.datasets.simulated import make_subject, simulate_betas
from neurovis.datasets.simulated.movies import compute_movie_responses, select_regions
from neurovis.features.huggingface import make_huggingface_video, write_huggingface_video
from neurovis.features.video import ClipSampling, VideoFeatures
from neurovis.features.video_tuning import LinearHead, fine_tune_video
from neurovis.io import write_neural_data, write_stimulus_table
from neurovis.stimuli.movie_variants import write_movie_variants
from neurovis.stimuli.world_movies import make_movie_world

pytest.importorskip("transformers")

TINY = {
    "model_type": "videomae", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "image_size": 16, "patch_size": 8, "num_frames": 4, "tubelet_size": 2,
}  # fmt: skip
N_MOVIES, N_TEST, N_NEUROIDS = 200, 60, 6
OPTIONS = {"n_epochs": 12, "batch_size": 16, "learning_rate": 3e-3, "patience": None}


def _make_movie(rng, angle):
    """A new texture of one spatial frequency that drifts by two pixels in each frame."""
    down, across = np.fft.fftfreq(48)[:, None], np.fft.fftfreq(48)[None]
    band = np.exp(-((np.hypot(down, across) - 0.12) ** 2) / (2 * 0.03**2))
    spectrum = np.fft.fft2(rng.normal(size=(48, 48))) * band
    shift = 2.0 * (across * np.cos(angle) - down * np.sin(angle))
    frames = np.array([np.fft.ifft2(spectrum * np.exp(-2j * np.pi * shift * t)).real for t in range(4)])
    grey = np.clip(128 + 45 * frames / frames.std(), 0, 255).astype(np.uint8)[:, :16, :16]
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Movies, noisy responses of direction-tuned neuroids to all, and the ids of the test movies."""
    folder, rng = tmp_path_factory.mktemp("movies"), np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, N_MOVIES)
    ids = [f"movie-{number:03d}" for number in range(N_MOVIES)]
    for name, angle in zip(ids, angles, strict=True):
        np.save(folder / f"{name}.npy", _make_movie(rng, angle))
    table = pd.DataFrame(
        {"path": [f"{name}.npy" for name in ids], "source": [f"film-{n // 4}" for n in range(N_MOVIES)]},
        index=pd.Index(ids, name="stimulus_id"),
    )
    stimuli = StimulusSet("movies", table, folder, (8.0, 8.0), fps=4.0)
    preferred = np.linspace(0, 2 * np.pi, N_NEUROIDS, endpoint=False)
    clean = np.exp(1.5 * (np.cos(angles[:, None] - preferred) - 1))
    data = make_neural_data(
        clean + 0.1 * rng.normal(size=clean.shape),
        rows="stimulus",
        row_coords={"stimulus_id": ids},
        neuroid_coords={
            "neuroid_id": [f"hMT-{n}" for n in range(N_NEUROIDS)],
            "subject": ["01"] * N_NEUROIDS,
            "region": ["hMT"] * N_NEUROIDS,
        },
        units="z",
        source="test",
    )
    return stimuli, data, ids[-N_TEST:]


@pytest.fixture(scope="module")
def training(world):
    stimuli, data, test = world
    return stimuli, data.isel(stimulus=~np.isin(data["stimulus_id"], test))


@pytest.fixture(scope="module")
def tuned(training):
    extractor = make_huggingface_video(config=TINY)
    return extractor, fine_tune_video(extractor, *training, **OPTIONS)


def _predict_held_out(extractor, world):
    """Pearson r of a ridge regression on features of the training movies, over held-out movies."""
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    stimuli, data, test = world
    features = extractor(stimuli, layers=extractor.layers[-1:])[extractor.layers[-1]].values
    is_test = np.isin(data["stimulus_id"], test)
    x = StandardScaler().fit(features[~is_test]).transform(features)
    found = RidgeCV(np.logspace(-2, 5, 15)).fit(x[~is_test], data.values[~is_test]).predict(x[is_test])
    truth = data.values[is_test]
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(truth.T, found.T, strict=True)])


def test_tuned_features_predict_held_out_movies_better(world, tuned):
    frozen, result = tuned
    before, after = (_predict_held_out(extractor, world) for extractor in (frozen, result.extractor))
    assert before < 0.4
    assert after > before + 0.3
    assert result.scores.sel(stage="after").mean() > result.scores.sel(stage="before").mean() + 0.3
    assert result.extractor.name == "huggingface-video:videomae-tuned"
    # Everything before the layer was trained; the given extractor is as it was.
    assert len(result.trained) == len(list(frozen.module.parameters()))
    again = make_huggingface_video(config=TINY)
    assert frozen.describe() == again.describe()
    assert result.extractor.describe()["weights"] != frozen.describe()["weights"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_tuning_gains_on_hmt_of_the_simulated_cortex(seed, tmp_path):
    """Random VideoMAE, before and after, on clips of held-out movies; no movie is on both sides."""
    world = make_movie_world(
        tmp_path / "world", n_movies=96, seed=seed + 100, n_frames=16, fps=12.0, size_px=32
    )
    clips = write_movie_variants(world, tmp_path / "clips")
    subject = select_regions(make_subject("01", seed=seed), ["hMT"])
    shown = compute_movie_responses(subject, clips).parts.sum(axis=0)
    betas = simulate_betas(subject, clips, n_repeats=5, n_sessions=10, seed=seed, responses=shown)
    data = average_repeats(betas)[:, subject.table["responsive"].to_numpy()]
    data = data[pd.Index(data["stimulus_id"].values).get_indexer(clips.stimulus_ids)]
    films = clips.table.loc[data["stimulus_id"].values.astype(str), "source"].to_numpy()
    is_test = np.isin(films, world.stimulus_ids[72:])
    config = TINY | {
        "image_size": 32, "num_frames": 16, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 4, "num_attention_heads": 4,
    }  # fmt: skip
    extractor = make_huggingface_video(config=config, tokens="patches", pool=2)
    tuned = fine_tune_video(
        extractor, clips, data.isel(stimulus=~is_test), movie_column="source", n_epochs=15, batch_size=16,
        learning_rate=1e-3, patience=6, seed=seed,
    ).extractor  # fmt: skip
    held_out = clips, data, data["stimulus_id"].values[is_test]
    before, after = (_predict_held_out(features, held_out) for features in (extractor, tuned))
    print(f"seed {seed}: mean r on held-out movies {before:.3f} before, {after:.3f} after")
    assert after > before + 0.05


def test_a_written_folder_is_a_feature_space(world, tuned, tmp_path):
    stimuli, _, test = world
    extractor = tuned[1].extractor
    folder = write_huggingface_video(extractor, tmp_path / "tuned", {"seed": 0})
    loaded = make_huggingface_video(str(folder))
    shown = stimuli.subset(test[:5])
    for layer, array in extractor(shown).items():
        np.testing.assert_array_equal(loaded(shown)[layer], array)
    assert (folder / "training.json").is_file()
    own = dataclasses.replace(extractor, preprocess=torch.from_numpy)
    with pytest.raises(TypeError, match="must come from make_huggingface_video"):
        write_huggingface_video(own, folder, {})


@pytest.mark.parametrize(
    ("layer", "n_blocks", "free"), [(None, 1, "layer.1"), ("model.encoder.layer.0", 1, "layer.0")]
)
def test_frozen_parts_stay_bit_for_bit(training, layer, n_blocks, free):
    extractor = make_huggingface_video(config={**TINY, "hidden_dropout_prob": 0.3})
    result = fine_tune_video(
        extractor, *training, layer=layer, n_blocks=n_blocks, **{**OPTIONS, "n_epochs": 2}
    )
    before, after = extractor.module.state_dict(), result.extractor.module.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert changed <= set(result.trained)
    assert all(f"model.encoder.{free}." in name for name in result.trained)
    # Without biases that no gradient reaches.
    assert len(changed) >= len(result.trained) - 1


class Normalised(torch.nn.Module):
    """Blocks with running means, whose frozen ones must not move."""

    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList(
            [torch.nn.Sequential(torch.nn.Conv3d(n, 4, 3), torch.nn.BatchNorm3d(4)) for n in (3, 4)]
        )

    def forward(self, clips):
        x = clips.transpose(1, 2)
        x = self.blocks[0](torch.nn.functional.pad(x, (0, 0, 0, 0, 1, 1))).relu()
        return self.blocks[1](x).relu()


def test_running_means_of_frozen_blocks_stay(training):
    preprocess = make_huggingface_video(config=TINY).preprocess
    extractor = VideoFeatures("own", Normalised(), ("output",), preprocess, ClipSampling(4))
    result = fine_tune_video(extractor, *training, n_blocks=1, **{**OPTIONS, "n_epochs": 1})
    before, after = extractor.module.state_dict(), result.extractor.module.state_dict()
    moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"1"}
    assert "blocks.1.1.running_mean" in {n for n in before if not torch.equal(before[n], after[n])}


def test_a_resumed_run_equals_one_that_was_not_killed(training, tmp_path, monkeypatch):
    options = {**OPTIONS, "n_epochs": 3, "seed": 3}
    extractor = make_huggingface_video(config={**TINY, "hidden_dropout_prob": 0.1})
    whole = fine_tune_video(extractor, *training, **options)
    load, count = StimulusSet.load, 0

    def fail_late(self, stimulus_id):
        nonlocal count
        count += 1
        if count > 3 * len(training[1]):
            raise OSError("killed")
        return load(self, stimulus_id)

    monkeypatch.setattr(StimulusSet, "load", fail_late)
    with pytest.raises(OSError, match="killed"):
        fine_tune_video(extractor, *training, checkpoint=tmp_path / "run.safetensors", **options)
    monkeypatch.undo()
    resumed = fine_tune_video(extractor, *training, checkpoint=tmp_path / "run.safetensors", **options)
    assert [e.loss for e in resumed.training.history] == [e.loss for e in whole.training.history]
    weights = whole.extractor.module.state_dict()
    for name, tensor in resumed.extractor.module.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    np.testing.assert_array_equal(resumed.scores, whole.scores)


def test_clips_of_one_movie_stay_together(training):
    stimuli, data = training
    short = {**OPTIONS, "n_epochs": 1}
    extractor = make_huggingface_video(config=TINY)
    result = fine_tune_video(extractor, stimuli, data, movie_column="source", **short)
    assert len(result.validation_movies) == 7
    assert set(result.validation_movies) < set(stimuli.table["source"])
    # Values of validation movies reach the trained weights by the first head's penalty only.
    chosen = fine_tune_video(
        extractor, stimuli, data, validation_movies=["film-3"], movie_column="source", **short
    )
    assert chosen.validation_movies == ("film-3",)


def test_head_is_the_ridge_regression():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    x = rng.normal(3, [1, 2, 5, 0.1], (30, 4))
    y = rng.normal(size=(30, 2))
    y -= y.mean(axis=0)
    pair = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    head = LinearHead.fit(pair, pair)  # the smallest penalty predicts what it was fitted to best
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    ridge = Ridge(1e-4 * (z**2).sum(axis=1).mean(), fit_intercept=False).fit(z, y)
    np.testing.assert_allclose(head(pair[0]).detach(), ridge.predict(z), atol=1e-5)


def test_on_the_command_line(world, tmp_path):
    stimuli, data, test = world
    split = np.where(np.isin(stimuli.stimulus_ids, test), "test", "train")
    write_stimulus_table(dataclasses.replace(stimuli, table=stimuli.table.assign(split=split)))
    write_neural_data(data, tmp_path / "responses.nc")
    options = json.dumps({"config": TINY, "tokens": "patches"})
    output = CliRunner().invoke(
        cli.app,
        [
            "features", "fine-tune-video", "--stimuli", str(stimuli.root),
            "--responses", str(tmp_path / "responses.nc"), "--out", str(tmp_path / "tuned"),
            "--options", options, "--region", "hMT", "--movie-column", "source",
            "--n-blocks", "1", "--n-epochs", "1", "--batch-size", "32",
        ],
        catch_exceptions=False,
    ).output  # fmt: skip
    assert "median r of 6 neuroids" in output
    record = json.loads((tmp_path / "tuned" / "training.json").read_text())
    assert record["config"]["n_blocks"] == 1
    assert len(record["validation_movies"]) == 7
    assert not set(record["validation_movies"]) & set(stimuli.table.loc[test, "source"])
    loaded = make_huggingface_video(str(tmp_path / "tuned"), tokens="patches")
    assert loaded.describe()["weights"] != make_huggingface_video(config=TINY).describe()["weights"]


def test_says_what_is_wrong(training):
    stimuli, data = training
    extractor = make_huggingface_video(config=TINY)
    many = make_huggingface_video(config=TINY, fps=4.0, step_s=1.0)
    with pytest.raises(TypeError, match="must be a video encoder, got str"):
        fine_tune_video("videomae", stimuli, data)
    with pytest.raises(ValueError, match=r"one clip of a stimulus, got step_s=1\.0"):
        fine_tune_video(many, stimuli, data)
    with pytest.raises(ValueError, match="n_blocks must lie between 1 and the 2 blocks"):
        fine_tune_video(extractor, stimuli, data, n_blocks=3)
    with pytest.raises(ValueError, match="layers of 'huggingface-video:videomae'"):
        fine_tune_video(extractor, stimuli, data, layer="model.encoder.layer.9")
    with pytest.raises(ValueError, match=r"must name some of the 140 movies.*got \['film-1'\]"):
        fine_tune_video(extractor, stimuli, data, validation_movies=["film-1"])
    with pytest.raises(ValueError, match="must name some of the 140 movies"):
        fine_tune_video(extractor, stimuli, data, validation_movies=1.0)
    with pytest.raises(ValueError, match="movie_column must be a column"):
        fine_tune_video(extractor, stimuli, data, movie_column="film")
    with pytest.raises(ValueError, match="stimuli must hold every stimulus of responses, got none for 130"):
        fine_tune_video(extractor, stimuli.subset(stimuli.stimulus_ids[:10]), data)
    broken = data.copy()
    broken.values[0, 0] = np.nan
    with pytest.raises(ValueError, match="responses must be finite, got NaN or infinity in 1 neuroids"):
        fine_tune_video(extractor, stimuli, broken)
