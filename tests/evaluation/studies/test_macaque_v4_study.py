"""The study on fabricated sessions: planted linear neurons reach their ceiling, noise is not predicted."""

import numpy as np
import pandas as pd
import pytest

from neurovis.core import StimulusSet, make_neural_data
from neurovis.evaluation.studies import macaque_v4
from neurovis.evaluation.studies.macaque_v4 import DISTILLED, analyse_macaque_v4

N_TRAIN, N_TEST, N_REPEATS, N_FEATURES = 60, 40, 6, 5
NEURONS = list(DISTILLED)


def _make_session(monkeypatch, tmp_path, *, effect, noise_sd):
    """Both sessions share stimuli and 27 neurons; the study reads them as if they were files."""
    rng = np.random.default_rng(0)
    n, n_neurons = N_TRAIN + N_TEST, 27
    ids = [f"image-{row:03d}" for row in range(n)]
    table = pd.DataFrame({"path": [f"{name}.png" for name in ids]}, index=pd.Index(ids, name="stimulus_id"))
    stimuli = StimulusSet("fabricated", table, tmp_path, (5.0, 5.0))
    features = rng.normal(size=(n, N_FEATURES))
    signal = effect * features @ rng.normal(size=(N_FEATURES, n_neurons)) / np.sqrt(N_FEATURES)
    neurons = {
        "neuroid_id": [f"n{neuron}" for neuron in range(n_neurons)],
        "subject": ["WE"] * n_neurons,
        "region": ["V4"] * n_neurons,
    }
    attrs = {"units": "spikes/s", "source": "fabricated"}
    trials = np.repeat(signal, N_REPEATS, axis=0) + noise_sd * rng.normal(size=(n * N_REPEATS, n_neurons))
    sessions = {
        "190923": make_neural_data(
            signal + noise_sd / np.sqrt(N_REPEATS) * rng.normal(size=signal.shape),
            rows="stimulus",
            row_coords={"stimulus_id": ids},
            neuroid_coords=neurons,
            **attrs,
        ),
        "210325": make_neural_data(
            trials,
            rows="presentation",
            row_coords={"stimulus_id": np.repeat(ids, N_REPEATS), "repeat": np.tile(np.arange(N_REPEATS), n)},
            neuroid_coords=neurons,
            **attrs,
        ),
    }
    monkeypatch.setattr(macaque_v4, "_N_TRAIN", N_TRAIN)
    monkeypatch.setattr(macaque_v4, "load_macaque_v4", lambda *, subject, **_: (stimuli, sessions[subject]))
    perfect = signal[N_TRAIN:][:, NEURONS] + 1e-9 * rng.normal(size=(N_TEST, len(NEURONS)))
    monkeypatch.setattr(macaque_v4, "_predict_distilled", lambda *_: perfect)
    return features, sessions


def _run(features, **options):
    found = analyse_macaque_v4(n_permutations=30, extract=lambda stimuli: features[: len(stimuli)], **options)
    return found, found.table.set_index("quantity")


def test_planted_neurons_reach_their_ceiling(monkeypatch, tmp_path):
    features, sessions = _make_session(monkeypatch, tmp_path, effect=1.0, noise_sd=1.0)
    found, table = _run(features)
    truth = sessions["190923"].values[N_TRAIN:, 12]
    X = np.column_stack([np.ones(N_TRAIN), features[:N_TRAIN]])
    weights = np.linalg.lstsq(X, sessions["190923"].values[:N_TRAIN, 12], rcond=None)[0]
    free = np.corrcoef(truth, features[N_TRAIN:] @ weights[1:])[0, 1]
    row = table.loc["r of ridge on SqueezeNet, neuron 12"]
    # Few features and many images: a fit without penalty is nearly the same.
    assert row["value"] == pytest.approx(free, abs=0.03)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert row["p_value"] == 1 / 31
    assert table.loc["r over its ceiling, median neuron", "value"] == pytest.approx(1, abs=0.1)
    expected = 1 / (1 + 1 / N_REPEATS)  # variance of the signal over that of the mean of repeats
    assert np.median(found.figures_data["reliability"]) == pytest.approx(expected, abs=0.1)
    halves = table.loc["split-half correlation, median neuron", "value"]
    assert halves == pytest.approx(1 / (1 + 2 / N_REPEATS), abs=0.12)


def test_columns_of_the_distilled_networks_belong_to_their_neurons(monkeypatch, tmp_path):
    features, _ = _make_session(monkeypatch, tmp_path, effect=1.0, noise_sd=0.1)
    found, table = _run(features)
    assert (found.figures_data["distilled_r"] > 0.97).all()
    assert table.loc["r of the distilled network, neuron 22", "value"] > 0.97
    values = [table.loc[f"r of ridge on SqueezeNet, neuron {neuron}", "value"] for neuron in NEURONS]
    np.testing.assert_allclose(values, found.figures_data["ridge_r"])
    mean = table.loc["mean r of ridge on SqueezeNet, the same six", "value"]
    assert mean == pytest.approx(np.mean(values))


def test_features_that_say_nothing_predict_nothing(monkeypatch, tmp_path):
    features, _ = _make_session(monkeypatch, tmp_path, effect=1.0, noise_sd=1.0)
    other = np.random.default_rng(1).normal(size=features.shape)
    _, table = _run(other)
    row = table.loc["r of ridge on SqueezeNet, median neuron"]
    assert abs(row["value"]) < 0.25
    assert table.loc["mean r of ridge on SqueezeNet, the same six", "p_value"] > 0.02


@pytest.mark.slow
def test_real_networks_score_what_was_published(shared_data, tmp_path):
    table = analyse_macaque_v4(shared_data, n_permutations=20, cache=tmp_path).table
    published = table[table["quantity"].str.startswith("r of the distilled")]
    np.testing.assert_allclose(published["value"], published["reference"], atol=0.01)
    table = table.set_index("quantity")
    ridge = table.loc["mean r of ridge on SqueezeNet, the same six"]
    assert ridge["null_95"] < 0.1 < 0.6 < ridge["value"]
    assert table.loc["r over its ceiling, median neuron", "value"] == pytest.approx(0.71, abs=0.03)
