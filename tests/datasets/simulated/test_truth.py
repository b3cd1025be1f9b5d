import numpy as np
import pandas as pd
import pytest

from neurovis.core import check_neural_data
from neurovis.datasets.simulated import (
    compute_analytic_ceiling,
    compute_category_preference,
    read_truth,
    simulate_noise,
    write_truth,
)
from neurovis.io import read_neural_data


@pytest.mark.parametrize("n_repeats", [1, 4])
def test_ceiling_equals_monte_carlo(subject, scene_responses, n_repeats):
    ceiling = compute_analytic_ceiling(subject, scene_responses, n_repeats=n_repeats)
    signal = scene_responses - scene_responses.mean(0)
    reached = []
    for draw in range(6):
        measured = np.zeros_like(signal)
        for repeat in range(n_repeats):
            noise = simulate_noise(subject, np.ones(len(signal), dtype=int), seed=100 * draw + repeat)
            measured += (signal + noise) / n_repeats
        measured -= measured.mean(0)
        norm = np.sqrt((signal**2).sum(0) * (measured**2).sum(0))
        reached.append(np.divide((signal * measured).sum(0), norm, out=np.zeros(len(norm)), where=norm > 0))
    responsive = subject.table["responsive"].to_numpy()
    mean = np.mean(reached, axis=0)[responsive]
    assert np.median(mean / ceiling[responsive]) == pytest.approx(1.0, abs=0.01)
    assert np.abs(mean - ceiling[responsive]).mean() < 0.02
    assert (ceiling[~responsive] == 0).all()


def test_ceiling_formula_by_hand(subject, scene_responses):
    repeats = np.array([3, 1] * (len(scene_responses) // 2))
    ceiling = compute_analytic_ceiling(subject, scene_responses, n_repeats=repeats, metric="r2")
    row = int(np.flatnonzero(subject.table["responsive"])[7])
    signal = np.var(scene_responses[:, row].astype(float))
    noise = subject.table["noise_sd"].iloc[row] ** 2 * (1 / 3 + 1) / 2
    assert ceiling[row] == pytest.approx(signal / (signal + noise))
    r = compute_analytic_ceiling(subject, scene_responses, n_repeats=repeats)
    np.testing.assert_allclose(r**2, ceiling)
    quiet = compute_analytic_ceiling(
        subject, scene_responses, n_repeats=1, noise_sd=np.zeros(subject.n_vertices), metric="r2"
    )
    np.testing.assert_array_equal(quiet, subject.table["responsive"].astype(float))


def test_preference_is_the_category_with_the_largest_mean():
    responses = np.array([[1.0, 0, 0], [3.0, 0, 0], [0.0, 5.0, 0], [1.0, 4.0, 0]])
    preference = compute_category_preference(responses, ["face", "face", "word", "word"])
    assert preference["preferred"].tolist() == ["face", "word", ""]
    assert preference["margin"][0] == pytest.approx(1.5 / np.std([1, 3, 0, 1]))
    assert preference["margin"][2] == 0


def test_truth_comes_back_and_is_not_neural_data(subject, scene_responses, tmp_path):
    ids = [f"s{n}" for n in range(len(scene_responses))]
    write_truth(tmp_path, subject, stimulus_ids=ids, responses=scene_responses, parameters={"n_repeats": 2})
    truth = read_truth(tmp_path)
    pd.testing.assert_frame_equal(truth.subject.table, subject.table, check_dtype=False)
    assert (truth.subject.subject, truth.subject.seed) == ("01", 0)
    np.testing.assert_array_equal(truth.responses, scene_responses)
    np.testing.assert_array_equal(truth.select(["s5", "s2"]), scene_responses[[5, 2]])
    assert truth.parameters == {"n_repeats": 2}
    with pytest.raises(KeyError, match="holds no stimulus 'x'"):
        truth.select(["x"])
    with pytest.raises(TypeError, match=r"must be an xarray.DataArray, got SimulatedTruth"):
        check_neural_data(truth)
    with pytest.raises(ValueError, match="not a netCDF file"):
        read_neural_data(tmp_path / "responses.npz")


def test_broken_truth_is_refused(subject, scene_responses, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"truth.json"):
        read_truth(tmp_path)
    ids = [f"s{n}" for n in range(4)]
    write_truth(tmp_path, subject, stimulus_ids=ids, responses=scene_responses[:4])
    whole = (tmp_path / "responses.npz").read_bytes()
    (tmp_path / "responses.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="truncated or foreign"):
        read_truth(tmp_path)
    (tmp_path / "truth.json").write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="must describe a simulated truth, got format 'other'"):
        read_truth(tmp_path)


def test_messages(subject, scene_responses):
    with pytest.raises(ValueError, match="metric must be 'pearson_r' or 'r2', got 'mse'"):
        compute_analytic_ceiling(subject, scene_responses, n_repeats=1, metric="mse")
    with pytest.raises(ValueError, match="n_repeats must be at least 1, got 0"):
        compute_analytic_ceiling(subject, scene_responses, n_repeats=0)
    with pytest.raises(ValueError, match="one category per stimulus, got 1 for 2 rows"):
        compute_category_preference(np.zeros((2, 3)), ["face"])
    with pytest.raises(ValueError, match=r"categories must be .* got 'cat'"):
        compute_category_preference(np.zeros((2, 3)), ["face", "cat"])
    with pytest.raises(ValueError, match="at least 2 different ones"):
        compute_category_preference(np.zeros((2, 3)), ["face", "face"])
