"""The solvers against one scikit-learn fit per penalty, fold and neuroid."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, TimeSeriesSplit
from threadpoolctl import threadpool_limits

from neurovis.encoding import ridge_blocks, ridge_folds
from neurovis.encoding.ridge_solvers import (
    choose_alpha,
    compute_cv_error,
    compute_kernel_cv_error,
    solve_kernel_ridge,
    solve_ridge,
    solve_ridge_cv,
)

ALPHAS = np.logspace(-3, 5, 12)
CASES = [  # rows, features, method
    (60, 20, "primal"),
    (60, 20, "dual"),
    (30, 80, "primal"),
    (30, 80, "dual"),
    (200, 8, "auto"),  # test folds with more rows than features
    (40, 40, "auto"),  # at the interpolation threshold
]


def make_problem(rng, n, p, k=5):
    X = rng.normal(size=(n, p)) * np.logspace(0, -2, p) + 3
    noise = np.logspace(-2, 2, k)
    return X, X @ rng.normal(size=(p, k)) + noise * rng.normal(size=(n, k)) + 7


def loop_over_penalties(X, Y, folds, fit_intercept):
    error = np.zeros((len(ALPHAS), Y.shape[1]))
    for row, alpha in enumerate(ALPHAS):
        for train, test in folds:
            fitted = Ridge(alpha, fit_intercept=fit_intercept, solver="svd").fit(X[train], Y[train])
            error[row] += ((fitted.predict(X[test]) - Y[test]) ** 2).sum(0)
    return error / sum(len(test) for _, test in folds)


@pytest.mark.parametrize(("n", "p", "method"), CASES)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_equals_a_loop_over_penalties(n, p, method, fit_intercept, device, rng):
    if device != "cpu":
        pytest.importorskip("torch")
    X, Y = make_problem(rng, n, p)
    folds = list(KFold(4).split(X))
    ours = solve_ridge_cv(
        X, Y, alphas=ALPHAS, folds=folds, fit_intercept=fit_intercept, method=method, device=device
    )
    expected = loop_over_penalties(X, Y, folds, fit_intercept)
    np.testing.assert_allclose(ours.cv_error, expected, rtol=1e-6)
    np.testing.assert_array_equal(ours.alpha, ALPHAS[expected.argmin(0)])
    final = Ridge(ours.alpha, fit_intercept=fit_intercept).fit(X, Y)
    np.testing.assert_allclose(ours.coef, final.coef_.T, atol=1e-8)
    np.testing.assert_allclose(X @ ours.coef + ours.intercept, final.predict(X), rtol=1e-8)


@pytest.mark.parametrize("method", ["primal", "dual"])
def test_rows_in_neither_part_are_left_out(method, rng):
    X, Y = make_problem(rng, 60, 12)
    folds = [(train[:-6], test) for train, test in TimeSeriesSplit(4).split(X)]
    error = compute_cv_error(X, Y, alphas=ALPHAS, folds=folds, method=method)
    np.testing.assert_allclose(error, loop_over_penalties(X, Y, folds, True), rtol=1e-6)


@pytest.mark.parametrize(("n", "p", "method"), CASES)
def test_float32_chooses_as_float64(n, p, method, rng):
    X, Y = make_problem(rng, n, p, k=40)
    folds = list(KFold(4).split(X))
    single = solve_ridge_cv(X.astype("f4"), Y.astype("f4"), alphas=ALPHAS, folds=folds, method=method)
    double = solve_ridge_cv(X, Y, alphas=ALPHAS, folds=folds, method=method)
    assert single.coef.dtype == np.float32
    chosen = np.searchsorted(ALPHAS, single.alpha)
    loss = double.cv_error[chosen, np.arange(40)] / double.cv_error.min(0)
    assert loss.max() < 1.001
    np.testing.assert_allclose(single.cv_error, double.cv_error, rtol=1e-2)


@pytest.mark.parametrize(
    "limits",
    [
        {"_BLOCK_BYTES": 1},  # 64 neuroids at a time
        {"_FOLD_BYTES": 1},  # a pass over the neuroids for each fold
        {"_GRAM_BYTES": 8 * 300 * 3},
        {"_TEST_ROWS": 16, "_GROUPS": (6,)},  # parts of the spectrum that do not reach all rotated rows
        {"_CACHE_BYTES": 1, "_TEST_ROWS": 5},
    ],
)
@pytest.mark.parametrize(("n", "p"), [(300, 60), (60, 80)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_how_the_work_is_cut_changes_nothing(limits, n, p, n_threads, rng, monkeypatch):
    X, Y = make_problem(rng, n, p, k=100)
    folds = list(KFold(4, shuffle=True, random_state=0).split(X))
    whole = solve_ridge_cv(X, Y, alphas=ALPHAS, folds=folds)
    for name, value in limits.items():
        monkeypatch.setattr(ridge_blocks if hasattr(ridge_blocks, name) else ridge_folds, name, value)
    with threadpool_limits(n_threads, "blas"):
        parts = solve_ridge_cv(X, Y, alphas=ALPHAS, folds=folds)
    np.testing.assert_allclose(parts.cv_error, whole.cv_error, rtol=1e-7)
    np.testing.assert_allclose(parts.coef, whole.coef, atol=1e-9)


@pytest.mark.parametrize(("n", "p"), [(600, 60), (60, 200)])
def test_memory_grows_by_the_results_alone(n, p, rng, monkeypatch):
    monkeypatch.setattr(ridge_blocks, "_BLOCK_BYTES", 1e6)
    monkeypatch.setattr(ridge_folds, "_CACHE_BYTES", 1e5)
    X, Y = make_problem(rng, n, p, k=6000)
    X, Y = X.astype("f4"), Y.astype("f4")
    folds, alphas = list(KFold(3).split(X)), ALPHAS[::4]

    def measure_peak(n_neuroids):
        tracemalloc.start()
        solve_ridge_cv(X, Y[:, :n_neuroids], alphas=alphas, folds=folds)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    measure_peak(100)
    each = (measure_peak(6000) - measure_peak(3000)) / 3000
    results = 4 * (p + 1) + 8 * (len(alphas) + 1)
    assert results <= each < results + 0.25 * 4 * n  # a copy of the responses is 4 n


@pytest.mark.parametrize(("n", "p", "method"), CASES)
def test_torch_equals_numpy_in_single_precision(n, p, method, rng):
    pytest.importorskip("torch")
    X, Y = (part.astype("f4") for part in make_problem(rng, n, p, k=40))
    options = {"alphas": ALPHAS[4:], "folds": list(KFold(4).split(X)), "method": method}
    ours, torch = (solve_ridge_cv(X, Y, **options, device=device) for device in ("cpu", "cpu:0"))
    assert torch.coef.dtype == np.float32
    np.testing.assert_allclose(torch.cv_error, ours.cv_error, rtol=1e-4)
    assert np.mean(torch.alpha == ours.alpha) >= 0.95
    same = torch.alpha == ours.alpha
    np.testing.assert_allclose(torch.coef[:, same], ours.coef[:, same], atol=1e-3 * np.abs(ours.coef).max())


@pytest.mark.parametrize("method", ["primal", "dual"])
def test_collinear_and_constant_features_are_safe_in_single_precision(method, rng):
    X, Y = make_problem(rng, 60, 10, k=8)
    X = np.column_stack([X, X, X[:, :3] + 1e-4 * X[:, 3:6], np.full(60, 5.0), np.zeros(60)])
    folds, alphas = list(KFold(4).split(X)), np.logspace(-6, 2, 9)
    single = solve_ridge_cv(X.astype("f4"), Y.astype("f4"), alphas=alphas, folds=folds, method=method)
    expected = solve_ridge_cv(X, Y, alphas=alphas, folds=folds, method=method)
    assert np.isfinite(single.cv_error).all()
    chosen = np.searchsorted(alphas, single.alpha)
    assert (expected.cv_error[chosen, np.arange(8)] / expected.cv_error.min(0)).max() < 1.01
    error = X @ single.coef + single.intercept - X @ expected.coef - expected.intercept
    assert (error.std(0) / Y.std(0)).max() < 0.01


def test_a_penalty_per_neuroid(rng):
    X, Y = make_problem(rng, 40, 10)
    alpha = np.logspace(-2, 3, 5)
    expected = np.column_stack([Ridge(a).fit(X, y).coef_ for a, y in zip(alpha, Y.T, strict=True)])
    np.testing.assert_allclose(solve_ridge(X, Y, alpha=alpha).coef, expected, atol=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_inner_products_serve_as_well_as_features(fit_intercept, device, rng):
    X, Y = make_problem(rng, 40, 60)
    options = {"fit_intercept": fit_intercept, "device": device}
    folds = list(KFold(4).split(X))
    error = compute_kernel_cv_error(X @ X.T, Y, alphas=ALPHAS, folds=folds, **options)
    np.testing.assert_allclose(error, loop_over_penalties(X, Y, folds, fit_intercept), rtol=1e-6)
    alpha = np.logspace(-2, 3, 5)
    dual = solve_kernel_ridge(X @ X.T, Y, alpha=alpha, **options)
    expected = solve_ridge(X, Y, alpha=alpha, **options)
    np.testing.assert_allclose(X.T @ dual, expected.coef, atol=1e-8)
    if fit_intercept:
        intercept = Y.mean(0) - (X @ X.T).mean(0) @ dual
        np.testing.assert_allclose(intercept, expected.intercept, rtol=1e-5)


def test_held_out_rows_do_not_enter_their_own_error(rng):
    X, Y = make_problem(rng, 40, 60)
    fold = [(np.arange(30), np.arange(30, 40))]
    error = compute_cv_error(X, Y, alphas=ALPHAS, folds=fold)
    # Twice the rows, larger and in no fold: nothing of them may reach the error.
    more_X, more_Y = np.vstack([X, 10 * X]), np.vstack([Y, Y])
    np.testing.assert_allclose(compute_cv_error(more_X, more_Y, alphas=ALPHAS, folds=fold), error, rtol=1e-5)


def test_constant_input(rng):
    X, Y = make_problem(rng, 30, 5)
    Y[:, 0] = 0.1
    folds = list(KFold(3).split(X))
    ours = solve_ridge_cv(X, Y, alphas=ALPHAS, folds=folds)
    np.testing.assert_allclose(ours.coef[:, 0], 0, atol=1e-12)
    assert ours.intercept[0] == pytest.approx(0.1)
    flat = solve_ridge_cv(np.ones_like(X), Y, alphas=ALPHAS, folds=folds, method="dual")
    np.testing.assert_allclose(flat.coef, 0, atol=1e-12)
    np.testing.assert_allclose(flat.intercept, Y.mean(0))


def test_ties_take_the_largest_penalty():
    error = np.array([[1.0, 0.0], [1.0, 2.0], [1.0, 0.0]])
    np.testing.assert_array_equal(choose_alpha([1.0, 100.0, 10.0], error), [100.0, 10.0])


@pytest.mark.parametrize("n_groups", [1, 7])
def test_compressed_filters_equal_the_filters(n_groups, rng, monkeypatch):
    monkeypatch.setattr(ridge_folds, "_GROUPS", (n_groups,))
    w = np.logspace(0, 4, 300)
    filters = (w[:, None] + ALPHAS[0]) / (w[:, None] + ALPHAS)
    groups = ridge_folds.compress_filters(filters, tolerance=1e-6)
    rebuilt = np.vstack([basis @ mixture for _, basis, mixture in groups])
    np.testing.assert_allclose(rebuilt, filters, atol=1e-6)
    assert len(groups) == n_groups
    assert sum(basis.size for _, basis, _ in groups) < filters.size * (0.6 if n_groups > 1 else 1)


def test_bad_input(rng):
    X, Y = make_problem(rng, 20, 4)
    folds = list(KFold(4).split(X))
    good = {"alphas": ALPHAS, "folds": folds}
    for change, words in [
        ({"alphas": [0.0, 1.0]}, "alphas must be positive, got 0.0"),
        ({"folds": []}, "at least one .train, test. pair"),
        ({"folds": [(np.arange(10), np.arange(9, 20))]}, "fold 0 must not train on its own test rows, got 1"),
        (
            {"folds": [(np.arange(10), np.arange(15, 25))]},
            "test rows of fold 0 must be distinct, within 0 and 19",
        ),
        ({"method": "svd"}, "method must be 'auto', 'primal' or 'dual', got 'svd'"),
    ]:
        with pytest.raises(ValueError, match=words):
            solve_ridge_cv(X, Y, **(good | change))
    with pytest.raises(ValueError, match="same number of rows, at least 2, got 20 and 19"):
        solve_ridge_cv(X, Y[1:], **good)
    with pytest.raises(ValueError, match="alpha must hold one penalty or one per neuroid, got 3 for 5"):
        solve_ridge(X, Y, alpha=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="gram must be square, got shape"):
        solve_kernel_ridge(X, Y, alpha=1.0)
    with pytest.raises(ValueError, match="gram and Y must have the same number of rows"):
        compute_kernel_cv_error(X @ X.T, Y[1:], **good)
    with pytest.raises(ValueError, match="Y must be finite, got 1 NaN"):
        solve_ridge_cv(X, np.where(Y[0, 0] == Y, np.nan, Y), **good)
