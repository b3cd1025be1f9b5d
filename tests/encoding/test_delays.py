"""Delays stay inside their run, keep their labels, and give back a planted impulse response."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import gamma
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurovis.encoding.banded import BandedRidge, make_banded_ridge
from neurovis.encoding.delays import Delayer, delay_features, make_delayed
from neurovis.encoding.ridge import Ridge

T_R, DELAYS = 2.0, (0, 1, 2, 3, 4, 5, 6)


# Rows are samples in time: a delay is about their neighbours, so that these two must fail.
OF_SINGLE_ROWS = ("check_methods_sample_order_invariance", "check_methods_subset_invariance")


@parametrize_with_checks([Delayer(), Delayer((0, 2), fill="edge")])
def test_scikit_learn_contract(estimator, check):
    if check.func.__name__ in OF_SINGLE_ROWS:
        with pytest.raises(AssertionError):
            check(estimator)
    else:
        check(estimator)


def slow_delayed(X, delays, groups, fill):
    rows = []
    for i in range(len(X)):
        own = []
        for delay in delays:
            j = i - delay
            if 0 <= j < len(X) and groups[j] == groups[i]:
                own.append(X[j])
            elif fill == "edge":
                run = np.flatnonzero(groups == groups[i])
                own.append(X[run[0] if j < run[0] else run[-1]])
            else:
                own.append(np.full(X.shape[1], fill))
        rows.append(np.concatenate(own))
    return np.array(rows)


@pytest.mark.parametrize("fill", [0.0, -1.5, "edge"])
def test_equals_a_loop_over_rows(fill, rng):
    X, groups = rng.normal(size=(23, 3)), np.repeat(["c", "a", "b"], [9, 2, 12])
    delays = (0, 3, 1, -2)
    np.testing.assert_array_equal(
        make_delayed(X, delays, groups=groups, fill=fill), slow_delayed(X, delays, groups, fill)
    )
    one = np.zeros(23, int)
    np.testing.assert_array_equal(make_delayed(X, delays, fill=fill), slow_delayed(X, delays, one, fill))


def test_nothing_passes_from_run_to_run(rng):
    X, groups = rng.normal(size=(40, 4)), np.repeat([0, 1], 20)
    before = make_delayed(X, DELAYS, groups=groups)
    X[:20] += 1e6
    np.testing.assert_array_equal(make_delayed(X, DELAYS, groups=groups)[20:], before[20:])
    assert make_delayed(X.astype("f4"), DELAYS).dtype == np.float32
    assert make_delayed(np.arange(6).reshape(3, 2), [1]).dtype == np.float64


def plant(rng, n_runs=6, n=120, p=12, k=15, snr=1.0):
    """Haemodynamic kernels (double gamma) with a peak between 4 and 7 s, one per neuroid."""
    times = np.arange(len(DELAYS)) * T_R
    peaks = rng.uniform(4, 7, size=k)
    kernels = np.stack([gamma.pdf(times, peak + 1) - 0.3 * gamma.pdf(times, peak + 8) for peak in peaks])
    X, runs = rng.normal(size=(n_runs * n, p)), np.repeat(np.arange(n_runs), n)
    drive = X @ rng.normal(size=(p, k))
    signal = np.zeros_like(drive)
    for run in range(n_runs):
        own = runs == run
        for v in range(k):
            signal[own, v] = np.convolve(drive[own, v], kernels[v])[:n]
    return X, signal + signal.std(0) / snr * rng.normal(size=signal.shape), runs, kernels


@pytest.mark.parametrize("seed", range(5))
def test_planted_impulse_response_is_recovered(seed):
    X, y, runs, kernels = plant(np.random.default_rng(seed))
    fitted = Ridge().fit(make_delayed(X, DELAYS, groups=runs), y, groups=runs)
    coef = fitted.coef_.reshape(len(DELAYS), X.shape[1], -1)
    for v, kernel in enumerate(kernels):
        U, s, _ = np.linalg.svd(coef[..., v], full_matrices=False)
        response = U[:, 0] * np.sign(U[:, 0] @ kernel)
        assert np.corrcoef(response, kernel)[0, 1] > 0.95
        assert s[0] > 3 * s[1]


def test_pipeline_learns_the_delay_and_leaks_no_run(rng):
    X, y, runs, _ = plant(rng, k=3)
    model = make_pipeline(Delayer(DELAYS, run_length=120), Ridge(cv=6)).fit(X[:600], y[:600])
    direct = Ridge(cv=6).fit(make_delayed(X[:600], DELAYS, groups=runs[:600]), y[:600])
    test = make_delayed(X[600:], DELAYS)
    np.testing.assert_allclose(model.predict(X[600:]), direct.predict(test), rtol=1e-9)
    assert direct.score(test, y[600:]).min() > 0.2
    assert Ridge(cv=6).fit(X[:600], y[:600]).score(X[600:], y[600:]).max() < 0.1


def test_delayed_columns_keep_their_space(rng):
    X, y, runs, _ = plant(rng, k=3)
    features = xr.DataArray(
        X,
        dims=("time", "feature"),
        coords={
            "space": ("feature", np.repeat(["motion", "words"], 6)),
            "run": ("time", runs),
            "time": np.arange(len(X)) * T_R,
        },
        attrs={"features": "motion, words"},
    )
    delayed = delay_features(features, DELAYS)
    np.testing.assert_array_equal(delayed.values, make_delayed(X, DELAYS, groups=runs))
    assert delayed.attrs == features.attrs
    np.testing.assert_array_equal(delayed["time"], features["time"])
    early = delayed.isel(feature=(delayed["delay"] == 2).values & (delayed["space"] == "words").values)
    np.testing.assert_array_equal(early.values[2:120], X[:118, 6:])
    encoder = make_banded_ridge(delayed, None, mixtures=2, n_refinements=0)
    assert isinstance(encoder, BandedRidge)
    assert encoder.fit(delayed.values, y, groups=runs).predict(delayed.values, split=True).shape == (
        2,
        720,
        3,
    )
    without = delay_features(features.drop_vars("run"), [1])
    assert (without.values[120] == X[119]).all()


def test_bad_input(rng):
    X = rng.normal(size=(20, 2))
    for delays in ([], [1, 1], [0.5]):
        with pytest.raises(ValueError, match="delays must be distinct whole numbers"):
            make_delayed(X, delays)
    with pytest.raises(ValueError, match="groups must keep the rows of a run together, got 3 stretches of 2"):
        make_delayed(X, [1], groups=np.repeat([0, 1, 0], [5, 5, 10]))
    with pytest.raises(ValueError, match="groups must have one entry for each of the 20 rows"):
        make_delayed(X, [1], groups=[0, 1])
    with pytest.raises(ValueError, match="fill must be a number or 'edge', got 'mean'"):
        make_delayed(X, [1], fill="mean")
    with pytest.raises(ValueError, match="run_length must divide the 20 rows, got 7"):
        Delayer([1], run_length=7).fit_transform(X)
    with pytest.raises(ValueError, match=r"dims \('time', 'feature'\)"):
        delay_features(xr.DataArray(X, dims=("stimulus", "feature")), [1])
