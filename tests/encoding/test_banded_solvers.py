"""The solver against one closed form per mixture, penalty, fold and neuroid, and against planted scales."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.model_selection import KFold

from neurovis.encoding import ridge_blocks
from neurovis.encoding.banded_solvers import make_mixtures, solve_banded_ridge_cv
from neurovis.encoding.ridge_solvers import solve_ridge_cv
from neurovis.metrics.regression import r2

ALPHAS = np.logspace(-2, 4, 7)


def make_problem(rng, sizes=(4, 9, 40), n=60, k=6, gains=(1.0, 0.4, 0.0)):
    bands = np.repeat(np.arange(len(sizes)), sizes)
    X = rng.normal(size=(n, len(bands))) + 2
    weights = rng.normal(size=(len(bands), k)) * np.array(gains)[bands][:, None]
    return X, X @ weights + rng.normal(size=(n, k)) + 5, bands


def loop_over_candidates(X, Y, bands, mixtures, folds, fit_intercept):
    """Least error of each mixture, and weights of the best candidate, by scaling features."""
    errors = np.zeros((len(mixtures), len(ALPHAS), Y.shape[1]))
    for i, gamma in enumerate(mixtures):
        for j, alpha in enumerate(ALPHAS):
            for train, test in folds:
                model = SklearnRidge(alpha, fit_intercept=fit_intercept)
                Z = X * np.sqrt(gamma[bands])
                errors[i, j] += ((model.fit(Z[train], Y[train]).predict(Z[test]) - Y[test]) ** 2).sum(0)
    errors /= len(Y)
    best = [np.unravel_index(errors[..., v].argmin(), errors.shape[:2]) for v in range(Y.shape[1])]
    coef = np.empty((X.shape[1], Y.shape[1]))
    for v, (i, j) in enumerate(best):
        root = np.sqrt(mixtures[i][bands])
        model = SklearnRidge(ALPHAS[j], fit_intercept=fit_intercept).fit(X * root, Y[:, v])
        coef[:, v] = model.coef_ * root
    return errors.min(axis=1), best, coef


@pytest.mark.parametrize("method", ["auto", "primal", "dual"])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equals_a_loop_over_mixtures_and_penalties(method, device, fit_intercept, rng):
    if device != "cpu":
        pytest.importorskip("torch")
    X, Y, bands = make_problem(rng)
    mixtures, folds = make_mixtures(3, 3), list(KFold(4).split(X))
    ours = solve_banded_ridge_cv(
        X,
        Y,
        bands=bands,
        mixtures=mixtures,
        alphas=ALPHAS,
        folds=folds,
        method=method,
        device=device,
        fit_intercept=fit_intercept,
    )
    error, best, coef = loop_over_candidates(X, Y, bands, mixtures, folds, fit_intercept)
    np.testing.assert_allclose(ours.cv_error, error, rtol=1e-6)
    np.testing.assert_allclose(ours.gamma, np.array([mixtures[i] for i, _ in best]).T)
    np.testing.assert_array_equal(ours.alpha, [ALPHAS[j] for _, j in best])
    np.testing.assert_allclose(ours.coef, coef, atol=1e-7)
    expected = (Y.mean(0) - X.mean(0) @ coef) * fit_intercept
    np.testing.assert_allclose(ours.intercept, expected, atol=1e-6)


@pytest.mark.parametrize("sizes", [(4, 9, 40), (30, 50, 40)])
def test_float32_chooses_as_float64(sizes, rng):
    X, Y, bands = make_problem(rng, sizes, k=40)
    given = {
        "bands": bands,
        "mixtures": make_mixtures(3, 6),
        "alphas": ALPHAS,
        "folds": list(KFold(4).split(X)),
    }
    single = solve_banded_ridge_cv(X.astype("f4"), Y.astype("f4"), **given)
    double = solve_banded_ridge_cv(X, Y, **given)
    assert single.coef.dtype == single.intercept.dtype == np.float32
    np.testing.assert_allclose(single.cv_error, double.cv_error, rtol=1e-2)
    np.testing.assert_allclose(single.cv_error.min(0), double.cv_error.min(0), rtol=2e-3)


def test_one_space_is_ridge(rng):
    X, Y, _ = make_problem(rng)
    folds = list(KFold(4).split(X))
    banded = solve_banded_ridge_cv(
        X, Y, bands=np.zeros(53, int), mixtures=[[2.0]], alphas=ALPHAS, folds=folds, n_refinements=4
    )
    ridge = solve_ridge_cv(X, Y, alphas=ALPHAS, folds=folds)
    np.testing.assert_allclose(banded.coef, ridge.coef, atol=1e-9)
    np.testing.assert_array_equal(banded.alpha, ridge.alpha)
    assert banded.mixtures.tolist() == [[1.0]]


def test_refinements_come_closer_than_as_many_random_mixtures():
    refined, random = [], []
    for seed in range(4):
        X, Y, bands = make_problem(
            np.random.default_rng(seed), (20,) * 4, n=110, k=20, gains=(1.0, 0.3, 0.1, 0.03)
        )
        given = {"bands": bands, "alphas": np.logspace(-1, 3, 7), "folds": list(KFold(3).split(X))}
        near = solve_banded_ridge_cv(X, Y, mixtures=make_mixtures(4, 8, seed=seed), n_refinements=16, **given)
        wide = solve_banded_ridge_cv(X, Y, mixtures=make_mixtures(4, 24, seed=seed), **given)
        assert near.mixtures.shape == wide.mixtures.shape
        np.testing.assert_allclose(near.mixtures.sum(1), 1)
        refined.append(near.cv_error.min(0).mean())
        random.append(wide.cv_error.min(0).mean())
    assert np.mean(refined) < np.mean(random)


def test_many_small_blocks_change_nothing(rng, monkeypatch):
    X, Y, bands = make_problem(rng, k=100)
    given = {"bands": bands, "mixtures": make_mixtures(3, 2), "alphas": ALPHAS, "folds": [*KFold(3).split(X)]}
    whole = solve_banded_ridge_cv(X, Y, **given)
    monkeypatch.setattr(ridge_blocks, "_BLOCK_BYTES", 1)
    parts = solve_banded_ridge_cv(X, Y, **given)
    np.testing.assert_allclose(parts.cv_error, whole.cv_error, rtol=1e-9)
    np.testing.assert_allclose(parts.coef, whole.coef, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_beats_ridge_where_spaces_differ_and_equals_it_where_they_do_not(seed):
    rng = np.random.default_rng(seed)
    scores = {}
    for name, gains in (("differ", (1.0, 0.0, 0.0)), ("alike", (0.3, 0.3, 0.3))):
        X, Y, bands = make_problem(rng, (15, 60, 60), n=500, k=50, gains=gains)
        Y += 2 * rng.normal(size=Y.shape)
        train, test = slice(0, 200), slice(200, None)
        folds = list(KFold(5).split(X[train]))
        alphas = np.logspace(-1, 4, 11)
        given = {"mixtures": make_mixtures(3, 6), "n_refinements": 4, "alphas": alphas, "folds": folds}
        banded = solve_banded_ridge_cv(X[train], Y[train], bands=bands, **given)
        ridge = solve_ridge_cv(X[train], Y[train], alphas=alphas, folds=folds)
        scores[name] = [r2(Y[test], X[test] @ fit.coef + fit.intercept).mean() for fit in (banded, ridge)]
    assert scores["differ"][0] > scores["differ"][1] + 0.1
    assert scores["alike"][0] == pytest.approx(scores["alike"][1], abs=0.015)


def test_mixtures_hold_the_even_one_and_each_space_alone():
    mixtures = make_mixtures(3, 40, seed=1)
    np.testing.assert_allclose(mixtures.sum(1), 1)
    np.testing.assert_allclose(mixtures[0], 1 / 3)
    np.testing.assert_array_equal(mixtures[1:4], np.eye(3))
    sparse, even = mixtures[4::2].max(1), mixtures[5::2].max(1)
    assert np.median(sparse) > 0.9 > np.median(even)
    np.testing.assert_array_equal(mixtures, make_mixtures(3, 40, seed=1))
    assert not np.array_equal(mixtures, make_mixtures(3, 40, seed=2))


def test_constant_input(rng):
    X, Y, bands = make_problem(rng)
    Y[:, 0] = 0.1
    X[:, bands == 0] = 3.0
    given = {"mixtures": make_mixtures(3, 2), "alphas": ALPHAS, "folds": list(KFold(3).split(X))}
    ours = solve_banded_ridge_cv(X, Y, bands=bands, **given)
    np.testing.assert_allclose(ours.coef[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(ours.coef[bands == 0], 0, atol=1e-12)
    assert ours.intercept[0] == pytest.approx(0.1)


def test_bad_input(rng):
    X, Y, bands = make_problem(rng)
    good = {"bands": bands, "mixtures": np.eye(3), "alphas": ALPHAS, "folds": list(KFold(4).split(X))}
    for change, words in [
        ({"bands": bands + 1}, "bands must number the spaces of the 53 features from 0 without gaps"),
        ({"bands": bands[1:]}, "got shape .52,."),
        ({"mixtures": -np.eye(3)}, "mixtures must be at least 0"),
        ({"mixtures": np.zeros((1, 3))}, "each with a positive sum"),
        ({"mixtures": np.eye(4)}, "mixtures must have shape .any, 3., got .4, 4."),
        ({"alphas": [0.0]}, "alphas must be positive, got 0.0"),
        ({"folds": []}, "at least one .train, test. pair"),
    ]:
        with pytest.raises(ValueError, match=words):
            solve_banded_ridge_cv(X, Y, **(good | change))
    with pytest.raises(ValueError, match="n_spaces must be at least 1"):
        make_mixtures(0, 3)
