import numpy as np
import pandas as pd
import pytest

from neurovis.core import StimulusSet, check_neural_data
from neurovis.datasets.simulated import make_trial_design, simulate_betas, simulate_noise
from neurovis.datasets.simulated.anatomy import load_adjacency
from neurovis.datasets.simulated.betas import (
    DRIFT_SHARE,
    PRIVATE_SHARE,
    SMOOTH_SHARE,
    make_noise_smoothing,
)


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    ids = [f"s{n:03d}" for n in range(60)]
    table = pd.DataFrame({"path": [f"{item}.png" for item in ids]}, index=ids)
    return StimulusSet("sixty", table, tmp_path_factory.mktemp("none"), (8.0, 8.0))


@pytest.fixture(scope="module")
def responses(scene_responses):
    return scene_responses[:60]


def test_design_spreads_repeats_over_sessions():
    ids = [f"s{n}" for n in range(40)]
    n_repeats = {item: 6 if n < 10 else 2 for n, item in enumerate(ids)}
    design = make_trial_design(ids, n_repeats=n_repeats, n_sessions=6, seed=0)
    assert design["stimulus_id"].value_counts().to_dict() == n_repeats
    assert design.groupby("stimulus_id")["session"].nunique().to_dict() == n_repeats
    assert np.ptp(design["session"].value_counts()) <= 1
    assert (design.groupby("stimulus_id")["repeat"].apply(list).map(lambda r: r == list(range(len(r))))).all()
    assert design["session"].is_monotonic_increasing
    assert (design.groupby("session")["run"].nunique() == 4).all()
    pd.testing.assert_frame_equal(design, make_trial_design(ids, n_repeats=n_repeats, n_sessions=6, seed=0))
    assert not design.equals(make_trial_design(ids, n_repeats=n_repeats, n_sessions=6, seed=1))


def test_data_is_well_formed_and_keeps_the_secret(subject, stimuli, responses):
    data = check_neural_data(
        simulate_betas(subject, stimuli, n_repeats=3, n_sessions=3, responses=responses), rows="presentation"
    )
    assert data.shape == (180, subject.n_vertices)
    assert data.dtype == np.float32
    assert data.attrs["units"] == "percent"
    assert not {"responsive", "ncsnr", "subdivision"} & set(data.coords)
    np.testing.assert_array_equal(data["region"], subject.table["region"])


def test_data_is_seeded_and_differs_between_subjects(subject, other_subject, stimuli, responses):
    arguments = {"n_repeats": 1, "n_sessions": 2, "responses": responses}
    first = simulate_betas(subject, stimuli, seed=3, **arguments)
    np.testing.assert_array_equal(first, simulate_betas(subject, stimuli, seed=3, **arguments))
    other = simulate_betas(subject, stimuli, seed=4, **arguments)
    assert abs(np.corrcoef(first.values[:, 0], other.values[:, 0])[0, 1]) < 0.9
    session = np.ones(400, dtype=int)
    a, b = (simulate_noise(who, session, seed=3)[:, :50] for who in (subject, other_subject))
    assert np.abs(np.mean(a * b) / (a.std() * b.std())) < 0.05


def test_noise_has_the_stated_variance_and_correlation(subject):
    session = np.repeat(np.arange(10), 300)
    noise = simulate_noise(subject, session, seed=0) / subject.table["noise_sd"].to_numpy(dtype=np.float32)
    assert pytest.approx(1.0) == PRIVATE_SHARE + SMOOTH_SHARE + DRIFT_SHARE
    assert noise.var(axis=0).mean() == pytest.approx(1.0, abs=0.01)
    assert abs(noise.mean()) < 0.01
    vertices = subject.table["vertex"].to_numpy()
    rows, columns = load_adjacency()[vertices][:, vertices].nonzero()
    smoothing = make_noise_smoothing(subject)
    stated = (SMOOTH_SHARE + DRIFT_SHARE) * (smoothing @ smoothing.T).toarray()
    measured = (noise[:, rows] * noise[:, columns]).mean(axis=0)
    assert np.abs(measured.mean() - stated[rows, columns].mean()) < 0.01
    far = (noise[:, :200] * noise[:, -200:]).mean(axis=0)
    assert np.abs(far).mean() < 0.05


def test_drift_is_slow_and_sessions_shift(subject, stimuli, responses):
    session = np.ones(400, dtype=int)
    noise = simulate_noise(subject, session, seed=1) / subject.table["noise_sd"].to_numpy(dtype=np.float32)
    spectrum = (np.abs(np.fft.rfft(noise, axis=0)) ** 2).mean(axis=1)
    assert spectrum[1] > 3 * spectrum[20:].mean()
    assert spectrum[0] < 2 * spectrum[20:].mean()
    data = simulate_betas(subject, stimuli, n_repeats=4, n_sessions=4, responses=responses)
    means = np.stack([data.values[data["session"] == s].mean(0) for s in (1, 2, 3, 4)])
    means = means / subject.table["noise_sd"].to_numpy()
    silent = ~subject.table["responsive"].to_numpy()
    assert 0.3 < means[:, silent].std() < 0.8


def test_messages(subject, stimuli, responses):
    with pytest.raises(ValueError, match="stimulus_ids must be unique, got 2 with 1 distinct"):
        make_trial_design(["a", "a"], n_repeats=1, n_sessions=1, seed=0)
    with pytest.raises(ValueError, match=r"must be at least 1.*n_repeats 0"):
        make_trial_design(["a", "b"], n_repeats=0, n_sessions=1, seed=0)
    with pytest.raises(ValueError, match="must not exceed the number of trials, got 2 x 4 for 2 trials"):
        make_trial_design(["a", "b"], n_repeats=1, n_sessions=2, seed=0)
    with pytest.raises(KeyError, match="b"):
        make_trial_design(["a", "b"], n_repeats={"a": 1}, n_sessions=1, n_runs=1, seed=0)
    with pytest.raises(ValueError, match="responses must have shape"):
        simulate_betas(subject, stimuli, responses=responses[:5])
