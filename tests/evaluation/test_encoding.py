"""Planted linear responses: the evaluation must find the ceiling, the silence, and no leak."""

from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from sklearn.model_selection import KFold

from neurovis.core import make_neural_data
from neurovis.encoding.ridge import Ridge
from neurovis.evaluation.encoding import evaluate_encoding, read_encoding, summarise_encoding
from neurovis.evaluation.preparation import centre_groups
from neurovis.metrics.regression import pearson_r
from neurovis.metrics.significance import compute_permutation_test

N_TRAIN, N_TEST, N_FEATURES, N_SIGNAL, N_SILENT = 900, 60, 12, 40, 60
TRAIN, TEST = [f"a{i:04d}" for i in range(N_TRAIN)], [f"z{i:04d}" for i in range(N_TEST)]


def make_case(seed=0, *, ncsnr=0.8, n_test_repeats=6, n_sessions=3):
    """Planted encoding: known signal and noise; sessions differ in gain and offset."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_TRAIN + N_TEST, N_FEATURES))
    features = xr.DataArray(
        X, dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", TRAIN + TEST)}
    )
    weights = rng.normal(size=(N_FEATURES, N_SIGNAL + N_SILENT)) / np.sqrt(N_FEATURES)
    weights[:, N_SIGNAL:] = 0
    signal = X @ weights
    signal[:, :N_SIGNAL] /= signal[:, :N_SIGNAL].std(axis=0)
    rows = np.concatenate([np.arange(N_TRAIN), np.tile(np.arange(N_TRAIN, N_TRAIN + N_TEST), n_test_repeats)])
    order = rng.permutation(len(rows))
    rows = rows[order]
    repeat = np.concatenate([np.zeros(N_TRAIN, int), np.repeat(np.arange(n_test_repeats), N_TEST)])[order]
    session = np.arange(len(rows)) * n_sessions // len(rows)
    trials = signal[rows] + rng.normal(size=(len(rows), signal.shape[1])) / ncsnr
    trials = trials * (1 + session[:, None]) + 10 * session[:, None]
    data = make_neural_data(
        trials,
        rows="presentation",
        row_coords={
            "stimulus_id": np.array(TRAIN + TEST)[rows],
            "repeat": repeat,
            "session": session,
        },
        neuroid_coords={
            "neuroid_id": [f"v{i}" for i in range(signal.shape[1])],
            "subject": ["01"] * signal.shape[1],
            "region": ["V1"] * N_SIGNAL + ["V4"] * N_SILENT,
        },
        units="percent",
        source="planted",
    )
    return features, data


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture(scope="module")
def result(case):
    features, data = case
    return evaluate_encoding(features, data, Ridge(), test_ids=TEST, n_permutations=500)


def test_planted_signal_reaches_its_ceiling(result):
    ceiled = result.score.ceiled.values[:N_SIGNAL]
    assert np.median(ceiled) == pytest.approx(1.0, abs=0.03)
    analytic = np.sqrt(0.8**2 / (0.8**2 + 1 / 6))
    assert np.median(result.score.ceiling.values[:N_SIGNAL]) == pytest.approx(analytic, abs=0.03)


def test_discoveries_are_the_signal_and_null_p_values_are_uniform(result):
    found = result.q_values.values <= 0.05
    assert found[:N_SIGNAL].all()
    assert found[N_SIGNAL:].mean() <= 0.05
    null = result.p_values.values[N_SIGNAL:]
    assert 0.35 < null.mean() < 0.65
    assert result.p_values.values.min() == pytest.approx(1 / 501)


class Recorder(Ridge):
    """Ridge that keeps what every fit saw."""

    seen: ClassVar[list] = []

    def fit(self, X, y, groups=None):
        Recorder.seen.append((np.array(X), np.array(y)))
        return super().fit(X, y, groups)


@pytest.mark.parametrize("how", [{"test_ids": TEST}, {"splitter": KFold(4)}])
def test_held_out_responses_never_reach_the_fit(case, how):
    """Scramble and rescale the responses to the held-out stimuli of the first fold: the fit is the same."""
    features, data = case
    ids = data["stimulus_id"].values
    held_out = TEST if "test_ids" in how else (TRAIN + TEST)[: (N_TRAIN + N_TEST) // 4]
    broken = data.copy(deep=True)
    rows = np.flatnonzero(np.isin(ids, held_out))
    broken.values[rows] = 100 * data.values[np.random.default_rng(1).permutation(rows)] + 7
    Recorder.seen = []
    for version in (data, broken):
        evaluate_encoding(features, version, Recorder(alphas=[10.0]), n_permutations=1, **how)
    per_run = len(Recorder.seen) // 2
    for part in (0, 1):
        np.testing.assert_array_equal(Recorder.seen[0][part], Recorder.seen[per_run][part])
    trained = {item for item in ids if item not in held_out}
    assert len(Recorder.seen[0][0]) == len(trained)


def test_noise_passes_over_folds_no_more_often_than_it_may(rng):
    """A fixed penalty and many features, where permuting pooled predictions alone lets 14 % pass."""
    n, k = 80, 2000
    ids = [f"s{number:02d}" for number in range(n)]
    features = xr.DataArray(
        rng.normal(size=(n, 200)), dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", ids)}
    )
    data = make_neural_data(
        rng.normal(size=(n, k)),
        rows="stimulus",
        row_coords={"stimulus_id": ids},
        neuroid_coords={"neuroid_id": np.arange(k).astype(str), "subject": ["01"] * k, "region": ["V1"] * k},
        units="z",
        source="noise",
    )
    options = {"n_permutations": 199}
    result = evaluate_encoding(features, data, Ridge(alphas=[100.0]), splitter=5, **options)
    rate = [(result.p_values.values <= level).mean() for level in (0.05, 0.01)]
    assert 0.03 < rate[0] < 0.07
    assert rate[1] < 0.02
    fold = result.truth["fold"].values
    pair = [centre_groups(part.values, fold) for part in (result.truth, result.prediction)]
    assert (compute_permutation_test(*pair, **options).p_value <= 0.05).mean() > 0.1
    fixed = evaluate_encoding(features, data, Ridge(alphas=[100.0]), test_ids=ids[:30], **options)
    assert 0.03 < (fixed.p_values.values <= 0.05).mean() < 0.07


def test_sessions_must_be_taken_out(case, result):
    features, data = case
    raw = evaluate_encoding(features, data, Ridge(), test_ids=TEST, zscore=False, n_permutations=1)
    assert np.median(raw.score.values[:N_SIGNAL]) < np.median(result.score.values[:N_SIGNAL]) - 0.1


def test_cross_validation_agrees_with_a_plain_loop_and_leaves_null_neuroids_at_zero():
    features, data = make_case(n_sessions=1)
    shown = data[data["repeat"].values == 0]
    result = evaluate_encoding(
        features, shown, Ridge(alphas=[30.0]), splitter=5, n_permutations=200, zscore=False
    )
    assert result.score.ceiling is None
    assert abs(result.score.values[N_SIGNAL:].mean()) < 0.03
    ids = np.array(TRAIN + TEST)
    by_id = dict(zip(shown["stimulus_id"].values, shown.values, strict=True))
    Y = np.stack([by_id[item] for item in ids])
    pooled = []
    for train, test in KFold(5, shuffle=True, random_state=0).split(ids):
        fitted = Ridge(alphas=[30.0]).fit(features.values[train], Y[train])
        pair = Y[test], fitted.predict(features.values[test])
        pooled.append([part - part.mean(axis=0) for part in pair])
    expected = pearson_r(*(np.concatenate(part) for part in zip(*pooled, strict=True)))
    np.testing.assert_allclose(result.score.values, expected, atol=1e-10)


def test_groups_are_divided_by_no_fold_and_reach_the_encoder(case):
    class Spy(Ridge):
        def fit(self, X, y, groups=None):
            fitted.append(set(groups))
            return super().fit(X, y, groups)

        def predict(self, X, groups=None):
            predicted.append(set(groups))
            return super().predict(X)

    features, data = case
    group_of = {item: item[-1] for item in TRAIN + TEST}
    fitted, predicted = [], []
    evaluate_encoding(features, data, Spy(10.0), splitter=np.int64(5), groups=group_of, n_permutations=1)
    assert len(fitted) == len(predicted) == 5
    assert all(not train & test and len(test) == 2 for train, test in zip(fitted, predicted, strict=True))
    del group_of[TEST[3]]
    with pytest.raises(
        ValueError, match=f"groups must name the group of every stimulus, got none for '{TEST[3]}'"
    ):
        evaluate_encoding(features, data, Ridge(), test_ids=TEST, groups=group_of)


@pytest.mark.parametrize("splitter", [5, np.int64(5)])
def test_any_whole_number_means_shuffled_folds(case, splitter):
    features, data = case
    result = evaluate_encoding(features, data, Ridge(10.0), splitter=splitter, n_permutations=1)
    first = result.truth["stimulus_id"].values[result.truth["fold"].values == 0]
    ids = np.array(TRAIN + TEST)
    assert set(first) == set(ids[next(KFold(5, shuffle=True, random_state=0).split(ids))[1]])


@pytest.mark.parametrize("metric", ["r2", "explained_variance", "spearman_r"])
def test_other_metrics_share_the_scale_of_their_ceiling(case, result, metric):
    features, data = case
    other = evaluate_encoding(features, data, Ridge(), test_ids=TEST, metric=metric, n_permutations=1)
    if metric == "spearman_r":
        assert other.score.ceiling is None
        return
    np.testing.assert_allclose(other.score.ceiling, result.score.ceiling**2, atol=1e-12)
    assert np.median(other.score.ceiled[:N_SIGNAL]) == pytest.approx(1.0, abs=0.06)


def test_results_survive_the_file(result, tmp_path):
    path = result.write(tmp_path / "encoding.nc", provenance={"step": "test"})
    again = read_encoding(path)
    np.testing.assert_array_equal(again.score.values, result.score.values)
    np.testing.assert_array_equal(again.q_values, result.q_values)
    np.testing.assert_array_equal(again.alphas, result.alphas)
    assert set(result.to_table()) >= {
        "pearson_r",
        "ceiling",
        "ceiled",
        "region",
        "p_value",
        "q_value",
        "alpha",
    }
    with pytest.raises(ValueError, match="truth and prediction"):
        summarise_encoding(again)


def test_summary_has_an_interval_around_the_median(result):
    table = summarise_encoding(result, n_bootstraps=300).set_index("region")
    signal, silent = table.loc["V1"], table.loc["V4"]
    assert signal["ci_low"] < signal["median"] < signal["ci_high"]
    assert 0.01 < signal["ci_high"] - signal["ci_low"] < 0.2
    assert signal["share_significant"] == 1.0
    assert silent["ci_low"] < 0.1
    assert signal["median"] == pytest.approx(np.median(result.score.values[:N_SIGNAL]))
    assert signal["n_stimuli"] == N_TEST


def test_bad_input_is_named(case):
    features, data = case
    with pytest.raises(ValueError, match="exactly one of test_ids and splitter"):
        evaluate_encoding(features, data, Ridge())
    with pytest.raises(ValueError, match="'nowhere'"):
        evaluate_encoding(features, data, Ridge(), test_ids=[*TEST, "nowhere"])
    with pytest.raises(ValueError, match="every stimulus"):
        evaluate_encoding(features[:-1], data, Ridge(), test_ids=TEST)
    with pytest.raises(ValueError, match="metric"):
        evaluate_encoding(features, data, Ridge(), test_ids=TEST, metric="nonsense")
    scans = make_neural_data(
        np.zeros((6, 1)),
        rows="time",
        row_coords={"time": np.arange(6.0)},
        neuroid_coords={"neuroid_id": ["v"], "subject": ["01"], "region": ["V1"]},
        units="z",
        source="planted",
    )
    with pytest.raises(ValueError, match="rows of data must be 'presentation' or 'stimulus', got 'time'"):
        evaluate_encoding(features, scans, Ridge(), splitter=3)
    with pytest.raises(ValueError, match="finite"):
        evaluate_encoding(features, data.where(data < 20), Ridge(), test_ids=TEST)
