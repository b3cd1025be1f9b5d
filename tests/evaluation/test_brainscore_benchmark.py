"""Our benchmarks and models inside Brain-Score: they meet, and never a stale cache."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from neurovis.core import StimulusSet, make_neural_data
from neurovis.evaluation.brainscore import import_brainscore, prepare_brainscore, to_brainscore_stimuli
from neurovis.evaluation.brainscore_benchmark import ExtractorModel, make_benchmark
from neurovis.evaluation.brainscore_scoring import score_brainscore

pytest.importorskip("botocore", reason="Brain-Score is not installed; install the extra brainscore")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Brain-Score's own 2022 stack

N_STIMULI, N_REPEATS = 60, 4
IDS = [f"im{i:03d}" for i in range(N_STIMULI)]


@pytest.fixture(scope="module", autouse=True)
def _home():
    prepare_brainscore()


def make_responses(signal, *, noise_sd, seed):
    noise = noise_sd * np.random.default_rng(seed).normal(size=(N_REPEATS, *signal.shape))
    k = signal.shape[1]
    return make_neural_data(
        (signal + noise).reshape(-1, k),
        rows="presentation",
        row_coords={"stimulus_id": IDS * N_REPEATS, "repeat": np.repeat(np.arange(N_REPEATS), N_STIMULI)},
        neuroid_coords={
            "neuroid_id": [f"v{i}" for i in range(k)],
            "subject": ["01"] * k,
            "region": ["IT"] * k,
        },
        units="z",
        source="miniature",
    )


@pytest.fixture
def data(rng):
    return make_responses(rng.normal(size=(N_STIMULI, 5)), noise_sd=1.0, seed=3)


@pytest.fixture
def stimuli(tmp_path, rng):
    for item in IDS:
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{item}.png")
    table = pd.DataFrame({"path": [f"{item}.png" for item in IDS]}, index=IDS)
    table["category"] = [("face", "place")[i % 2] for i in range(N_STIMULI)]
    return StimulusSet("miniature", table, tmp_path, (8.0, 8.0))


class Pixels:
    name, layers = "pixels", ("pixels",)
    gain = 1.0

    def __call__(self, stimuli, *, layers=None, batch_size=32, device="cpu"):
        values = np.stack([stimuli.load(item).ravel() / 255 * self.gain for item in stimuli.stimulus_ids])
        return {
            "pixels": xr.DataArray(
                values,
                dims=("stimulus", "feature"),
                coords={"stimulus_id": ("stimulus", stimuli.stimulus_ids)},
            )
        }


def test_our_extractor_looks_at_a_brainscore_benchmark(stimuli):
    model = ExtractorModel(Pixels(), layers={"IT": "pixels"}, size_dva=8)
    signal = Pixels()(stimuli)["pixels"].values[:, :5] * 3
    data = make_responses(signal, noise_sd=0.3, seed=7)
    benchmark = make_benchmark(data, stimuli, region="IT")
    score = benchmark(model)
    direct = score_brainscore(Pixels()(stimuli)["pixels"], data, metric="ridge", stimuli=stimuli)
    assert float(score.raw) == pytest.approx(direct.raw, abs=1e-9)
    assert float(score) == pytest.approx(direct.ceiled, abs=1e-9)
    with pytest.raises(ValueError, match="V4"):
        model.start_recording("V4")


def test_changed_data_and_weights_never_meet_the_old_cache(stimuli):
    signal = Pixels()(stimuli)["pixels"].values[:, :5] * 3
    clean, noisy = (make_responses(signal, noise_sd=sd, seed=7) for sd in (0.1, 3.0))
    first = make_benchmark(clean, stimuli, region="IT")
    second = make_benchmark(noisy, stimuli, region="IT")
    assert float(first.ceiling) > 0.95 > 0.5 > float(second.ceiling)
    # The trap itself: the same identifier with other data returns the old ceiling.
    stale = make_benchmark(noisy, stimuli, region="IT")
    stale._identifier = first.identifier
    assert float(stale.ceiling) == float(first.ceiling)

    old, new = Pixels(), Pixels()
    new.gain = 0.5
    models = [ExtractorModel(net, layers={"IT": "pixels"}, size_dva=8) for net in (old, new, Pixels())]
    assert models[0].identifier != models[1].identifier
    assert models[0].identifier == models[2].identifier


def test_stimuli_that_brainscore_cannot_place_are_refused(stimuli, data):
    wide = StimulusSet("wide", stimuli.table, stimuli.root, (8.0, 10.0))
    with pytest.raises(ValueError, match="square"):
        make_benchmark(data, wide, region="IT")
    with pytest.raises(ValueError, match="at least twice"):
        make_benchmark(data[:-1], stimuli, region="IT")


def test_public_metric_sees_the_attached_stimuli(stimuli):
    converted = to_brainscore_stimuli(stimuli)
    common = import_brainscore("brainscore_vision.benchmark_helpers.screen")
    placed = common.place_on_screen(converted, target_visual_degrees=8, source_visual_degrees=8.0)
    assert placed.identifier == converted.identifier
